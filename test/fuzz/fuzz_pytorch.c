/*
 * fuzz_pytorch.c
 *		libFuzzer target: checkpoints, from bytes to a model and back.
 *
 * An input is a checkpoint in either layout.  It is read in the ways that
 * model_read offers.  A model that comes out must have metadata that jsonb
 * takes, must not depend on what was in memory before, must pass for a model
 * when its bytes come back from outside, and must be the same when it is
 * written as a checkpoint and read again.
 */
#include "postgres.h"

#include "format/format.h"
#include "harness.h"

/* The ways in which a checkpoint is read, the plain one last. */
static const ReadOptions ways[] = {
	{.key = "a.0",.allow_modules = true,.check_crc = false},
	{.key = "model",.allow_modules = false,.check_crc = false},
	{.key = "",.allow_modules = true,.check_crc = false},
	{.key = NULL,.allow_modules = true,.check_crc = false},
	{.key = NULL,.allow_modules = false,.check_crc = true},
};

typedef struct Job
{
	const char *data;
	size_t		size;
	const ReadOptions *options;
	char	   *flat;			/* the model */
	uint64		flat_size;
	char	   *written;		/* the model as a checkpoint, or NULL */
	size_t		written_size;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---------- reading ---------- */

static void
read_checkpoint(void *arg)
{
	Job		   *job = arg;
	const Format *format = format_detect(job->data, job->size);
	Model	   *model = harness_read(format, job->data, job->size, job->options);

	harness_check_json(model->metadata, '{');
	harness_check_json(model->recipe, '[');
	model_append_recipe(model, "{\"step\": \"read\"}");
	harness_check_json(model->recipe, '[');
	harness_read_payloads(model);
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
	done = harness_attempt(read_checkpoint, &again);
	server_memory_fill = fill;
	if (!done || again.flat_size != job->flat_size ||
		memcmp(again.flat, job->flat, job->flat_size) != 0)
		server_die("a checkpoint gives another model the second time");
}

/* ---------- storing, and writing ---------- */

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

static void
write_checkpoint(void *arg)
{
	Job		   *job = arg;
	struct varlena *written = sink_to_bytea(&format_pytorch, parse_flat(job), NULL);

	job->written_size = VARSIZE(written) - VARHDRSZ;
	job->written = harness_copy(VARDATA(written), job->written_size,
								HARNESS_BYTEA_OFFSET);
}

static void
compare_tensors(const Model *a, const Model *b, int i)
{
	const Tensor *left = &a->tensors[i];
	const Tensor *right = &b->tensors[i];

	if (strcmp(left->name, right->name) != 0 || left->ndim != right->ndim ||
		(left->ndim > 0 && memcmp(left->dims, right->dims,
								  left->ndim * sizeof(int64)) != 0))
		server_die("tensor %d is written as another one", i);
	if (left->payload != right->payload)
		server_die("tensor %d is tied otherwise once it is written", i);
	if (tensor_payload(a, left)->dtype != tensor_payload(b, right)->dtype ||
		memcmp(payload_digest(tensor_payload(a, left)),
			   payload_digest(tensor_payload(b, right)),
			   MODEL_DIGEST_LENGTH) != 0)
		server_die("the elements of tensor %d are written as others", i);
}

static void
read_written(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.key = "",.check_crc = true};
	const Format *format = format_detect(job->written, job->written_size);
	Model	   *model = parse_flat(job);
	Model	   *again = harness_read(format, job->written, job->written_size,
									 &options);

	if (format != &format_pytorch)
		server_die("a checkpoint is written that looks like something else");
	if (again->ntensors != model->ntensors)
		server_die("%d tensors are written as %d", model->ntensors,
				   again->ntensors);
	for (int i = 0; i < model->ntensors; i++)
		compare_tensors(model, again, i);
}

static void
check_model(Job *job)
{
	check_determinism(job);
	if (!harness_attempt(verify_flat, job))
		server_die("a model that was read cannot be stored: %s",
				   server_error_text());
	if (!harness_attempt(write_checkpoint, job))
		server_die("a model that was read cannot be written: %s",
				   server_error_text());
	if (!harness_attempt(read_written, job))
		server_die("a checkpoint that was written cannot be read: %s",
				   server_error_text());
}

/* ---------- the target ---------- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Job			job = {.size = size};
	bool		was_read = false;

	for (int i = 0; i < lengthof(ways); i++)
	{
		harness_begin(data, size);
		job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
		job.options = &ways[i];
		if (harness_attempt(read_checkpoint, &job))
		{
			was_read = true;
			check_model(&job);
		}
		harness_end();
	}
	harness_outcome(was_read);
	return 0;
}
