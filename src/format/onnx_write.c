/*
 * onnx_write.c
 *		Writes a model with a graph: the graph, with the elements of the
 *		model's tensors put back into its initializers.
 *
 * A file whose elements were raw_data comes out byte for byte; other elements
 * become raw_data.  Lengths of what they are in are written anew.  Tensors that
 * are encoded in a way that ONNX knows are written so (onnx_native.c), and
 * values whose ranges are known are quantized (onnx_activations.c); both put
 * nodes before those of the graph, and have some of these written anew.
 */
#include "postgres.h"

#include <limits.h>

#include "format/onnx_activations.h"
#include "format/onnx_native.h"
#include "format/onnx_rewrite.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* Bytes that are collected before they are put. */
#define PENDING_BYTES (1024 * 1024)

/* An initializer that gets its elements from a tensor. */
typedef struct Entry
{
	const Tensor *tensor;
	OnnxNative *native;			/* NULL when it is written as it was; else the
								 * rest does not count */
	const char *place;			/* in the initializer, where they go */
	const char *resume;			/* and what comes after them */
	bool		has_raw;
	uint64		elements;		/* bytes of them */
	uint64		size;			/* bytes of the initializer then */
} Entry;

typedef struct Writer
{
	Model	   *model;
	const Tensor **sorted;		/* the model's tensors by name */
	Entry	   *entries;		/* in the order of the graph */
	int			nentries;
	OnnxRewrite rewrite;
	StringInfoData first;		/* fields of the graph that come first */
	bool		microsoft;		/* operators of ONNX Runtime are used */
	uint64		graph_size;
	OnnxBytes	message;		/* the model's */
	Sink	   *sink;
	uint64		at;				/* bytes that the sink has */
	StringInfoData pending;
} Writer;

/* ---------- what does not fit ---------- */

static const char *
server_name(const char *name)
{
	return pg_any_to_server(name, strlen(name), PG_UTF8);
}

static void
report_misfit(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("tensors of the model do not fit its ONNX graph"),
			 errdetail("%s", detail),
			 errhint("Formats without a graph, such as safetensors, hold any tensors.")));
}

static char *
show_shape(int ndim, const int64 *dims)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < ndim; i++)
		appendStringInfo(&out, i > 0 ? ", " INT64_FORMAT : INT64_FORMAT,
						 dims[i]);
	return psprintf("[%s]", out.data);
}

static void
check_fits(const Tensor *tensor, const OnnxTensor *initializer)
{
	if (tensor->ndim != initializer->ndim ||
		memcmp(tensor->dims, initializer->dims,
			   tensor->ndim * sizeof(int64)) != 0)
		report_misfit(psprintf("Tensor \"%s\" has shape %s, and %s in the graph.",
							   server_name(tensor->name),
							   show_shape(tensor->ndim, tensor->dims),
							   show_shape(initializer->ndim, initializer->dims)));
}

static void
check_dtype(const Tensor *tensor, DType dtype, const OnnxTensor *initializer)
{
	if (dtype != initializer->type->dtype)
		report_misfit(psprintf("Tensor \"%s\" has dtype %s, and %s in the graph.",
							   server_name(tensor->name), dtype_name(dtype),
							   initializer->type->name));
}

/* ---------- which tensor belongs where ---------- */

static int
compare_tensors(const void *a, const void *b)
{
	return strcmp((*(const Tensor *const *) a)->name,
				  (*(const Tensor *const *) b)->name);
}

static void
sort_tensors(Writer *writer)
{
	int			n = writer->model->ntensors;

	writer->sorted = palloc(Max(n, 1) * sizeof(Tensor *));
	for (int i = 0; i < n; i++)
		writer->sorted[i] = &writer->model->tensors[i];
	qsort(writer->sorted, n, sizeof(Tensor *), compare_tensors);
}

static const Tensor *
find_tensor(const Writer *writer, const OnnxTensor *initializer)
{
	char	   *name = onnx_string(initializer->name);
	Tensor		key = {.name = name};
	const Tensor *wanted = &key;
	const Tensor **found = bsearch(&wanted, writer->sorted,
								   writer->model->ntensors, sizeof(Tensor *),
								   compare_tensors);

	if (found == NULL)
		report_misfit(psprintf("The graph has an initializer \"%s\", and the model no such tensor.",
							   server_name(name)));
	pfree(name);
	return *found;
}

/* Where raw_data is, or where it belongs by its number. */
static void
find_place(Entry *entry, const OnnxTensor *initializer)
{
	PbReader	reader = onnx_reader(initializer->message);
	PbField		field;

	entry->has_raw = initializer->has_raw || initializer->count > 0;
	entry->place = reader.end;
	entry->resume = reader.end;
	while (pb_next(&reader, &field))
	{
		if (field.number < TENSOR_RAW_DATA ||
			(initializer->has_raw && field.number != TENSOR_RAW_DATA))
			continue;
		entry->place = field.start;
		entry->resume = initializer->has_raw ? field.end : field.start;
		return;
	}
}

static const OnnxSurvey *
get_survey(Writer *writer)
{
	if (writer->rewrite.survey == NULL)
		writer->rewrite.survey = onnx_survey(writer->message);
	return writer->rewrite.survey;
}

/* How an encoded tensor is written; NULL when it is decoded. */
static OnnxNative *
find_native(Writer *writer, const Tensor *tensor, DType graph_dtype)
{
	Payload    *payload = tensor_payload(writer->model, tensor);

	if (payload->dtype == graph_dtype && payload->encoding != ENCODING_AFFINE)
		return NULL;
	return onnx_native(get_survey(writer), tensor, payload, graph_dtype);
}

/* Bytes of a part's message. */
static uint64
part_size(const OnnxPart *part)
{
	return part->head.len + pb_header_size(TENSOR_RAW_DATA, part->size) +
		part->size;
}

static void
add_native(Writer *writer, const OnnxNative *native)
{
	for (int i = 0; i < native->nparts; i++)
	{
		uint64		size = part_size(&native->parts[i]);

		writer->graph_size += pb_header_size(GRAPH_INITIALIZER, size) + size;
	}
	appendBinaryStringInfo(&writer->first, native->nodes.data,
						   native->nodes.len);
	writer->microsoft |= native->microsoft;
}

static void
add_entry(Writer *writer, const OnnxTensor *initializer)
{
	Entry	   *entry = &writer->entries[writer->nentries++];
	DType		graph_dtype = initializer->type->dtype;

	entry->tensor = find_tensor(writer, initializer);
	check_fits(entry->tensor, initializer);
	entry->native = find_native(writer, entry->tensor, graph_dtype);
	if (entry->native != NULL)
	{
		add_native(writer, entry->native);
		return;
	}
	check_dtype(entry->tensor,
				tensor_payload(writer->model, entry->tensor)->dtype,
				initializer);
	find_place(entry, initializer);
	entry->elements = onnx_raw_size(initializer);
	entry->size = initializer->message.size - (entry->resume - entry->place);
	if (entry->has_raw)
		entry->size += pb_header_size(TENSOR_RAW_DATA, entry->elements) +
			entry->elements;
	writer->graph_size += pb_header_size(GRAPH_INITIALIZER, entry->size) +
		entry->size;
}

/* All tensors have gone to initializers, or else one is left over. */
static void
check_leftover(Writer *writer)
{
	int			n = writer->model->ntensors;
	bool	   *used = palloc0(Max(n, 1) * sizeof(bool));

	for (int i = 0; i < writer->nentries; i++)
		used[writer->entries[i].tensor - writer->model->tensors] = true;
	for (int i = 0; i < n; i++)
	{
		if (!used[i])
			report_misfit(psprintf("The graph has no initializer for tensor \"%s\".",
								   server_name(writer->model->tensors[i].name)));
	}
	pfree(used);
}

/* Whether a field of the graph is an initializer that a tensor goes to. */
static bool
is_taken(const PbField *field, OnnxTensor *initializer)
{
	if (field->number != GRAPH_INITIALIZER)
		return false;
	onnx_scan_tensor(initializer, onnx_bytes(field));
	return initializer->type->dtype != DTYPE_INVALID;
}

/* ---------- the plan ---------- */

/* Ranges of the graph's own inputs are there before any node. */
static void
plan_activations(Writer *writer)
{
	const OnnxActivations *activations;

	if (!onnx_has_activations(writer->model))
		return;
	(void) get_survey(writer);
	writer->rewrite.activations = onnx_activations(writer->model, writer->rewrite.survey);
	activations = writer->rewrite.activations;
	for (int i = 0; i < activations->n; i++)
	{
		const OnnxActivation *each = &activations->items[i];

		onnx_put_activation_tensors(each, &writer->first);
		if (onnx_is_input(writer->rewrite.survey, each->name))
			onnx_put_activation_nodes(activations, each, &writer->first);
	}
	writer->microsoft |= activations->n > 0 && activations->microsoft;
}

/* The tensors that nodes are to take in blocks. */
static void
gather_blocks(Writer *writer)
{
	OnnxRewrite *rewrite = &writer->rewrite;

	rewrite->blocks = palloc(Max(writer->nentries, 1) * sizeof(OnnxNative *));
	for (int i = 0; i < writer->nentries; i++)
	{
		const OnnxNative *native = writer->entries[i].native;

		if (native != NULL && native->in_blocks)
			rewrite->blocks[rewrite->nblocks++] = native;
	}
	onnx_rewrite_sort(rewrite);
}

static void
plan_initializers(Writer *writer, OnnxBytes graph)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	OnnxTensor	initializer;
	int			allocated = 16;

	sort_tensors(writer);
	writer->entries = palloc(allocated * sizeof(Entry));
	while (pb_next(&reader, &field))
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_taken(&field, &initializer))
			continue;
		if (writer->nentries == allocated)
			writer->entries = repalloc(writer->entries,
									   (allocated *= 2) * sizeof(Entry));
		add_entry(writer, &initializer);
	}
	check_leftover(writer);
	gather_blocks(writer);
}

/* Everything else that the graph has. */
static void
plan_rest(Writer *writer, OnnxBytes graph)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	OnnxTensor	initializer;
	StringInfoData node;

	initStringInfo(&node);
	while (pb_next(&reader, &field))
	{
		CHECK_FOR_INTERRUPTS();
		if (field.number == GRAPH_NODE && writer->rewrite.survey != NULL)
		{
			resetStringInfo(&node);
			onnx_rewrite_node(&writer->rewrite, &field, &node);
			writer->graph_size += node.len;
		}
		else if (!is_taken(&field, &initializer))
			writer->graph_size += field.end - field.start;
	}
	pfree(node.data);
	writer->graph_size += writer->first.len;
}

static void
plan_graph(Writer *writer, OnnxBytes graph)
{
	initStringInfo(&writer->first);
	plan_activations(writer);
	plan_initializers(writer, graph);
	plan_rest(writer, graph);
}

/* ---------- the file ---------- */

static void
flush(Writer *writer)
{
	writer->sink->put(writer->sink, writer->at, writer->pending.data,
					  writer->pending.len);
	writer->at += writer->pending.len;
	resetStringInfo(&writer->pending);
}

static void
put(Writer *writer, const char *start, const char *end)
{
	appendBinaryStringInfo(&writer->pending, start, (int) (end - start));
	if (writer->pending.len >= PENDING_BYTES)
		flush(writer);
}

static void
put_header(Writer *writer, uint32 number, uint64 size)
{
	char		header[2 * PB_MAX_VARINT];

	put(writer, header, pb_put_header(header, number, size));
}

static void
put_native(Writer *writer, const OnnxNative *native)
{
	for (int i = 0; i < native->nparts; i++)
	{
		const OnnxPart *part = &native->parts[i];

		put_header(writer, GRAPH_INITIALIZER, part_size(part));
		put(writer, part->head.data, part->head.data + part->head.len);
		put_header(writer, TENSOR_RAW_DATA, part->size);
		flush(writer);
		onnx_native_put(native, part, writer->sink, writer->at);
		writer->at += part->size;
	}
}

static void
put_initializer(Writer *writer, const Entry *entry, const PbField *field)
{
	if (entry->native != NULL)
	{
		put_native(writer, entry->native);
		return;
	}
	put_header(writer, GRAPH_INITIALIZER, entry->size);
	put(writer, field->data, entry->place);
	if (entry->has_raw)
	{
		put_header(writer, TENSOR_RAW_DATA, entry->elements);
		flush(writer);
		sink_put_payload(writer->sink, writer->at,
						 tensor_payload(writer->model, entry->tensor));
		writer->at += entry->elements;
	}
	put(writer, entry->resume, field->end);
}

static void
put_graph(Writer *writer, OnnxBytes graph)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	OnnxTensor	initializer;
	const Entry *entry = writer->entries;
	StringInfoData node;

	initStringInfo(&node);
	put_header(writer, MODEL_GRAPH, writer->graph_size);
	put(writer, writer->first.data, writer->first.data + writer->first.len);
	while (pb_next(&reader, &field))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_taken(&field, &initializer))
			put_initializer(writer, entry++, &field);
		else if (field.number == GRAPH_NODE && writer->rewrite.survey != NULL)
		{
			resetStringInfo(&node);
			onnx_rewrite_node(&writer->rewrite, &field, &node);
			put(writer, node.data, node.data + node.len);
		}
		else
			put(writer, field.start, field.end);
	}
	pfree(node.data);
}

/* The import of ONNX Runtime's operators, when they are used and it is not
 * there. */
static void
append_import(const Writer *writer, StringInfo out)
{
	StringInfoData opset;

	if (!writer->microsoft || writer->rewrite.survey->has_microsoft)
		return;
	initStringInfo(&opset);
	onnx_put_text(&opset, OPERATOR_SET_DOMAIN, ONNX_MICROSOFT);
	onnx_put_integer(&opset, OPERATOR_SET_VERSION, 1);
	onnx_put_bytes(out, MODEL_OPSET_IMPORT, opset.data, opset.len);
	pfree(opset.data);
}

static void
put_model(Writer *writer, OnnxBytes model)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;
	StringInfoData import;

	while (pb_next(&reader, &field))
	{
		if (field.number == MODEL_GRAPH)
			put_graph(writer, onnx_bytes(&field));
		else
			put(writer, field.start, field.end);
	}
	initStringInfo(&import);
	append_import(writer, &import);
	put(writer, import.data, import.data + import.len);
	pfree(import.data);
	flush(writer);
}

/* Bytes of the file. */
static uint64
model_size(const Writer *writer, OnnxBytes model)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;
	uint64		size = model.size;
	StringInfoData import;

	(void) onnx_next(&reader, MODEL_GRAPH, &field);
	size -= field.end - field.start;
	size += pb_header_size(MODEL_GRAPH, writer->graph_size) +
		writer->graph_size;
	initStringInfo(&import);
	append_import(writer, &import);
	size += import.len;
	pfree(import.data);
	if (size > INT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model is too large for an ONNX file"),
				 errdetail("The file would have " UINT64_FORMAT " bytes, and the format allows %d.",
						   size, INT_MAX)));
	return size;
}

void
onnx_write(Model *model, Sink *sink)
{
	OnnxBytes	message = onnx_model_graph(model);
	Writer		writer = {.model = model, .message = message, .sink = sink};

	if (message.data == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has no graph to write as ONNX"),
				 errdetail("It has tensors, and nothing that says how to compute with them."),
				 errhint("Only models that were read from ONNX have a graph.")));
	plan_graph(&writer, onnx_get(message, MODEL_GRAPH));
	sink->start(sink, model_size(&writer, message));
	initStringInfo(&writer.pending);
	put_model(&writer, message);
	pfree(writer.pending.data);
	pfree(writer.first.data);
	pfree(writer.entries);
	pfree(writer.sorted);
}
