/*
 * fuzz_gguf.c
 *		libFuzzer target: GGUF files, from bytes to a model and back.
 *
 * An input is a GGUF file.  A model that comes out must have metadata that
 * jsonb takes, must not depend on what was in memory before, and must pass for
 * a model when its bytes come back from outside.  Written, it must be the
 * input again to the last byte; with its floats as another type it must be a
 * file of the same tensors, or be refused because a value does not fit.
 */
#include "postgres.h"

#include "format/gguf.h"
#include "harness.h"

typedef struct Job
{
	const char *data;
	size_t		size;
	const char *type;			/* for gguf_write_as, or NULL */
	char	   *flat;			/* the model */
	uint64		flat_size;
	char	   *written;		/* the model as a file */
	size_t		written_size;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---------- reading ---------- */

static void
read_file(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.check_crc = true};
	Model	   *model = harness_read(&format_gguf, job->data, job->size, &options);

	if (!format_gguf.detect(job->data, job->size))
		server_die("a file is read that is not detected");
	harness_check_json(model->metadata, '{');
	harness_read_payloads(model);
	harness_rebuild_payloads(model);
	job->flat = harness_flatten(model, &job->flat_size);
}

/* Reads once more into memory that was filled with something else. */
static void
check_determinism(const Job *job)
{
	Job			again = *job;
	uint8		fill = server_memory_fill;
	bool		done;

	server_memory_fill = (uint8) ~fill;
	done = harness_attempt(read_file, &again);
	server_memory_fill = fill;
	if (!done || again.flat_size != job->flat_size ||
		memcmp(again.flat, job->flat, job->flat_size) != 0)
		server_die("a file gives another model the second time");
}

static Model *
parse_flat(const Job *job)
{
	return model_parse(CurrentMemoryContext, job->flat, job->flat_size,
					   job->flat_size, NULL);
}

static void
verify_flat(void *arg)
{
	Job		   *job = arg;
	Model	   *model = parse_flat(job);
	uint64		size;
	char	   *flat;

	model_verify(model);
	flat = harness_flatten(model, &size);
	if (size != job->flat_size || memcmp(flat, job->flat, size) != 0)
		server_die("a model that was read is stored in two ways");
}

/* ---------- writing ---------- */

/* A buffer for gguf_write_as, which model_write does not come to. */
typedef struct BufferSink
{
	Sink		sink;			/* must be first */
	char	   *bytes;
	uint64		size;
} BufferSink;

static void
buffer_start(Sink *sink, uint64 size)
{
	BufferSink *buffer = (BufferSink *) sink;

	buffer->bytes = harness_buffer(size, HARNESS_BYTEA_OFFSET);
	buffer->size = size;
}

static void
buffer_put(Sink *sink, uint64 at, const void *bytes, uint64 n)
{
	BufferSink *buffer = (BufferSink *) sink;

	if (at > buffer->size || n > buffer->size - at)
		server_die("a writer puts bytes behind the end of the file");
	if (n > 0)
		memcpy(buffer->bytes + at, bytes, n);
}

static void
write_file(void *arg)
{
	Job		   *job = arg;
	BufferSink	buffer = {.sink = {buffer_start, buffer_put}};

	if (job->type == NULL)
	{
		job->written = harness_write(&format_gguf, parse_flat(job),
									 &job->written_size);
		return;
	}
	gguf_write_as(parse_flat(job), &buffer.sink, job->type);
	job->written = buffer.bytes;
	job->written_size = buffer.size;
}

/* The padding at the end may have been missing. */
static void
compare_written(const Job *job)
{
	if (job->written_size < job->size ||
		memcmp(job->written, job->data, job->size) != 0)
		server_die("a file is written that is another than the one read");
	for (size_t i = job->size; i < job->written_size; i++)
	{
		if (job->written[i] != 0)
			server_die("a file is written that is longer than the one read");
	}
}

/* The same tensors but for their types, and what is not a float exactly. */
static void
read_converted(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.check_crc = true};
	Model	   *model = parse_flat(job);
	Model	   *again = harness_read(&format_gguf, job->written, job->written_size,
										 &options);

	if (again->ntensors != model->ntensors)
		server_die("%d tensors are written as %d", model->ntensors,
				   again->ntensors);
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *left = &model->tensors[i];
		const Tensor *right = &again->tensors[i];
		Payload    *from = tensor_payload(model, left);
		Payload    *to = tensor_payload(again, right);

		if (strcmp(left->name, right->name) != 0 ||
			left->ndim != right->ndim ||
			(left->ndim > 0 && memcmp(left->dims, right->dims,
									  left->ndim * sizeof(int64)) != 0))
			server_die("tensor %d is written as another one", i);
		if (!dtype_is_float(from->dtype) &&
			(from->dtype != to->dtype ||
			 memcmp(payload_digest(from), payload_digest(to),
					MODEL_DIGEST_LENGTH) != 0))
			server_die("the elements of tensor %d are written as others", i);
	}
}

static void
convert(Job *job)
{
	static const char *const types[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};

	for (int i = 0; i < lengthof(types); i++)
	{
		job->type = types[i];
		if (harness_attempt(write_file, job))
		{
			if (!harness_attempt(read_converted, job))
				server_die("a file with %s cannot be read: %s", types[i],
						   server_error_text());
		}
		else if (server_error_code() != ERRCODE_FEATURE_NOT_SUPPORTED)
			server_die("a model cannot be written with %s: %s", types[i],
					   server_error_text());
	}
	job->type = NULL;
}

static void
check_model(Job *job)
{
	check_determinism(job);
	if (!harness_attempt(verify_flat, job))
		server_die("a model that was read cannot be stored: %s",
				   server_error_text());
	if (!harness_attempt(write_file, job))
		server_die("a model that was read cannot be written: %s",
				   server_error_text());
	compare_written(job);
	convert(job);
}

/* ---------- the target ---------- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Job			job = {.size = size};
	bool		was_read;

	harness_begin(data, size);
	job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
	was_read = harness_attempt(read_file, &job);
	if (was_read)
		check_model(&job);
	harness_end();
	harness_outcome(was_read);
	return 0;
}
