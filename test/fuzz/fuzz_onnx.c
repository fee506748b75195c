/*
 * fuzz_onnx.c
 *		libFuzzer target: ONNX models, to a model and back, and their graphs.
 *
 * An input is a ModelProto, read once by itself and once with a file "w" of 64
 * bytes beside it.  A model that comes out must have metadata that jsonb
 * takes, must not depend on what was in memory before, must pass for a model
 * when its bytes come back from outside, must be written as a file that gives
 * the same model, and all of its graph can be shown.
 *
 * Then the input is taken for the graph of a stored model, which may come from
 * anybody: what passes the check is shown, and written with tensors that fit.
 */
#include "postgres.h"

#include "format/onnx.h"
#include "harness.h"

#define BESIDE_NAME	"w"
#define BESIDE_SIZE	64

/* Tensors for a graph have up to so many elements. */
#define MAX_ELEMENTS 65536

typedef struct Job
{
	const char *data;
	size_t		size;
	Siblings   *siblings;
	char	   *flat;			/* the model */
	uint64		flat_size;
	char	   *written;		/* the model as a file */
	size_t		written_size;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t		LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t		LLVMFuzzerCustomMutator(uint8_t *data, size_t size,
									size_t max_size, unsigned int seed);

/* ---------- the file beside ---------- */

static void
check_beside(const char *name)
{
	if (strcmp(name, BESIDE_NAME) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("there is no file of that name")));
}

static uint64
beside_size(Siblings *siblings, const char *name)
{
	check_beside(name);
	return BESIDE_SIZE;
}

static void
beside_read(Siblings *siblings, const char *name, uint64 offset, uint64 n,
			char *dst)
{
	check_beside(name);
	if (offset > BESIDE_SIZE || n > BESIDE_SIZE - offset)
		server_die("bytes are read that the file beside does not have");
	memset(dst, 1, n);
}

/* ---------- showing ---------- */

static void
show_values(OnnxBytes graph, uint32 number)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;

	while (onnx_next(&reader, number, &field))
	{
		OnnxBytes	type = onnx_get(onnx_bytes(&field), VALUE_TYPE);
		PbReader	dims = onnx_reader(onnx_shape(type));
		PbField		dim;

		(void) onnx_show_type(type);
		while (onnx_next(&dims, SHAPE_DIM, &dim))
		{
			char	   *shown = onnx_show_dimension(onnx_bytes(&dim));

			if (shown != NULL && !server_utf8_is_valid(shown, strlen(shown)))
				server_die("a dimension is no text");
		}
	}
}

static void
show_graph(const Model *model)
{
	OnnxBytes	graph = onnx_get(onnx_model_graph(model), MODEL_GRAPH);
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	StringInfoData json;

	show_values(graph, GRAPH_INPUT);
	show_values(graph, GRAPH_OUTPUT);
	initStringInfo(&json);
	while (onnx_next(&reader, GRAPH_NODE, &field))
	{
		resetStringInfo(&json);
		onnx_show_attributes(&json, onnx_bytes(&field));
		harness_check_json(json.data, '{');
	}
}

/* ---------- reading ---------- */

static void
read_file(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.check_crc = true,.siblings = job->siblings};
	Model	   *model = harness_read(&format_onnx, job->data, job->size, &options);

	model_check_names(model, ERRCODE_INTERNAL_ERROR);
	harness_check_json(model->metadata, '{');
	harness_read_payloads(model);
	show_graph(model);
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

static void
write_file(void *arg)
{
	Job		   *job = arg;

	job->written = harness_write(&format_onnx, parse_flat(job),
								 &job->written_size);
}

static void
read_written(void *arg)
{
	Job		   *job = arg;
	Job			again = {job->written, job->written_size};

	read_file(&again);
	if (again.flat_size != job->flat_size ||
		memcmp(again.flat, job->flat, job->flat_size) != 0)
		server_die("a model that was written is read as another");
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
	if (!harness_attempt(read_written, job))
		server_die("a file that was written cannot be read: %s",
				   server_error_text());
}

/* ---------- a stored graph ---------- */

/* A tensor of zeros for each initializer; false when one is too large. */
static bool
add_tensors(Model *model, OnnxBytes graph)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;

	while (onnx_next(&reader, GRAPH_INITIALIZER, &field))
	{
		OnnxTensor	tensor;
		int			payload;

		onnx_scan_tensor(&tensor, onnx_bytes(&field));
		if (tensor.type->dtype == DTYPE_INVALID)
			continue;
		if (tensor.count > MAX_ELEMENTS || tensor.name.size > MODEL_MAX_NAME)
			return false;
		payload = model_new_payload(model, tensor.type->dtype,
									ENCODING_DENSE, tensor.count,
									onnx_raw_size(&tensor));
		memset(model->payloads[payload]->bytes, 0, onnx_raw_size(&tensor));
		model_add_tensor(model, tensor.name.data, tensor.name.size,
						 tensor.ndim, tensor.dims, payload);
	}
	return true;
}

static void
use_graph(void *arg)
{
	Job		   *job = arg;
	Model	   *model = model_create(CurrentMemoryContext);
	OnnxBytes	graph;
	ReadOptions options = {.check_crc = true};

	model_set_graph(model, job->data, job->size);
	graph = onnx_get(onnx_model_graph(model), MODEL_GRAPH);
	show_graph(model);
	if (!add_tensors(model, graph))
		return;
	job->written = harness_write(&format_onnx, model, &job->written_size);
	harness_compare_tensors(model,
							harness_read(&format_onnx, job->written, job->written_size,
											 &options), true);
}

/* ---------- the target ---------- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Siblings	siblings = {beside_size, beside_read};
	bool		was_read = false;

	for (int way = 0; way < 2; way++)
	{
		Job			job = {.size = size};

		harness_begin(data, size);
		job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
		job.siblings = way == 0 ? &siblings : NULL;
		if (harness_attempt(read_file, &job))
		{
			was_read = true;
			check_model(&job);
		}
		(void) harness_attempt(use_graph, &job);
		harness_end();
	}
	harness_outcome(was_read);
	return 0;
}

/* ---------- the mutator ---------- */

/* A message that is to be changed, in what is around it. */
typedef struct Place
{
	uint8	   *start;			/* of its content */
	size_t		size;
	size_t		header;			/* bytes of its tag and length, before start */
	uint32		number;
} Place;

static uint32
next_random(uint32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* One of the messages that a message has, or false when there is none. */
static bool
choose_inner(const Place *outer, OnnxMessage *message, Place *inner,
			 uint32 *random)
{
	PbReader	reader = pb_reader((const char *) outer->start, outer->size);
	PbField		field;
	OnnxMessage chosen = *message;
	int			n = 0;

	while (pb_next(&reader, &field))
	{
		const OnnxFieldInfo *info = onnx_field(*message, field.number);

		if (info == NULL || info->kind <= ONNX_DOUBLE ||
			field.wire != PB_BYTES ||
			next_random(random) % ++n != 0)
			continue;
		inner->start = (uint8 *) unconstify(char *, field.data);
		inner->size = field.size;
		inner->header = field.data - field.start;
		inner->number = field.number;
		chosen = info->kind == ONNX_SUBMESSAGE ? info->message : ONNX_SEGMENT;
	}
	*message = chosen;
	return n > 0;
}

/* Changes a message somewhere inside, and the lengths of all that it is in. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
						unsigned int seed)
{
	uint32		random = seed;
	Place		places[32] = {{data, size}};
	OnnxMessage message = ONNX_MODEL;
	int			depth = 0;
	uint8	   *changed;
	size_t		changed_size;

	while (depth + 1 < lengthof(places) && next_random(&random) % 4 != 0 &&
		   choose_inner(&places[depth], &message, &places[depth + 1], &random))
		depth++;
	if (depth == 0)
		return LLVMFuzzerMutate(data, size, max_size);

	/* Room for lengths that become longer. */
	changed = malloc(max_size + 512);
	memcpy(changed, places[depth].start, places[depth].size);
	changed_size = LLVMFuzzerMutate(changed, places[depth].size, max_size);
	for (; depth > 0 && changed_size <= max_size; depth--)
	{
		Place	   *inner = &places[depth];
		Place	   *outer = &places[depth - 1];
		char		header[2 * PB_MAX_VARINT];
		size_t		header_size = pb_put_header(header, inner->number,
												changed_size) - header;
		size_t		before = inner->start - inner->header - outer->start;
		size_t		after = outer->size - before - inner->header - inner->size;
		uint8	   *whole = malloc(before + header_size + changed_size + after);

		memcpy(whole, outer->start, before);
		memcpy(whole + before, header, header_size);
		memcpy(whole + before + header_size, changed, changed_size);
		memcpy(whole + before + header_size + changed_size,
			   inner->start + inner->size, after);
		free(changed);
		changed = whole;
		changed_size += before + header_size + after;
	}
	if (changed_size <= max_size)
	{
		memcpy(data, changed, changed_size);
		size = changed_size;
	}
	free(changed);
	return size;
}
