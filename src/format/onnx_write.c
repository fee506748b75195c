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
 *
 * The format ends at 2 GB.  Of a larger file (or one beyond what the user set)
 * all but small elements go to another file beside it, where there can be one.
 */
#include "postgres.h"

#include "format/onnx_activations.h"
#include "format/onnx_misfit.h"
#include "format/onnx_native.h"
#include "format/onnx_raise.h"
#include "format/onnx_rewrite.h"
#include "miscadmin.h"

/* Bytes that are collected before they are put. */
#define PENDING_BYTES (1024 * 1024)

/* Elements of fewer bytes stay in the model: they may be shapes, which readers
 * want to see at once.  The onnx package has the same limit. */
#define MIN_EXTERNAL	1024

/* Others start at a page, so that a reader can map them. */
#define PAGE_BYTES		((uint64) 4096)

int			onnx_external_data_threshold = ONNX_MAX_THRESHOLD;

/* Where the elements of an initializer go. */
typedef struct Elements
{
	uint64		bytes;
	bool		is_external;
	uint64		offset;			/* in the other file */
} Elements;

/* An initializer that gets its elements from a tensor. */
typedef struct Entry
{
	const Tensor *tensor;
	OnnxNative *native;			/* written in its parts; NULL when it is written
								 * as it was */
	Elements	elements[ONNX_MAX_PARTS];	/* of each part, or its own */

	/* when it is written as it was */
	const char *place;			/* in the initializer, where they go */
	const char *resume;			/* and what comes after them */
	uint64		rest;			/* bytes of it without those between */
	bool		has_raw;
} Entry;

typedef struct Writer
{
	Model	   *model;
	const Tensor **sorted;		/* the model's tensors by name */
	Entry	   *entries;		/* in the order of the graph */
	int			nentries;
	uint64		rest;			/* bytes of the graph without these */
	OnnxRewrite rewrite;
	StringInfoData first;		/* fields of the graph that come first */
	bool		microsoft;		/* operators of ONNX Runtime are used */
	uint64		graph_size;
	OnnxBytes	message;		/* the model's */
	Sink	   *sink;
	uint64		at;				/* bytes that the sink has */
	Sink	   *beside;			/* the other file, or NULL */
	const char *beside_name;
	uint64		beside_at;		/* bytes that it has */
	StringInfoData pending;
	StringInfoData place;		/* fields that say where elements are */
} Writer;

/* ---------- which tensor belongs where ---------- */

static const Tensor *
find_tensor(const Writer *writer, const OnnxTensor *initializer)
{
	char	   *name = onnx_string(initializer->name);
	const Tensor *found = model_find_sorted(writer->sorted,
											writer->model->ntensors, name);

	if (found == NULL)
		onnx_report_misfit(psprintf("The graph has an initializer %s, and the model no such tensor.",
									onnx_quote(initializer->name)));
	pfree(name);
	return found;
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
	return onnx_native(get_survey(writer), writer->rewrite.activations, tensor,
					   payload, graph_dtype);
}

static void
add_native(Writer *writer, Entry *entry)
{
	const OnnxNative *native = entry->native;

	for (int i = 0; i < native->nparts; i++)
		entry->elements[i].bytes = native->parts[i].size;
	appendBinaryStringInfo(&writer->first, native->nodes.data,
						   native->nodes.len);
	writer->microsoft |= native->microsoft;
	writer->rewrite.raises |= native->raises;
}

static void
add_entry(Writer *writer, const OnnxTensor *initializer)
{
	Entry	   *entry = &writer->entries[writer->nentries++];
	DType		graph_dtype = initializer->type->dtype;

	memset(entry, 0, sizeof(Entry));
	entry->tensor = find_tensor(writer, initializer);
	onnx_check_shape(entry->tensor, initializer);
	entry->native = find_native(writer, entry->tensor, graph_dtype);
	if (entry->native != NULL)
	{
		add_native(writer, entry);
		return;
	}
	onnx_check_dtype(entry->tensor,
					 tensor_payload(writer->model, entry->tensor)->dtype,
					 initializer);
	find_place(entry, initializer);
	entry->rest = initializer->message.size - (entry->resume - entry->place);
	entry->elements[0].bytes = onnx_raw_size(initializer);
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
			onnx_report_misfit(psprintf("The graph has no initializer for tensor %s.",
										onnx_quote_tensor(&writer->model->tensors[i])));
	}
	pfree(used);
}

/* A file that is larger than the model was, for elements that have been rounded,
 * is no surprise for anybody. */
static void
notice_decoded(const Writer *writer)
{
	const int	most = 5;
	StringInfoData names;
	int			n = 0;

	initStringInfo(&names);
	for (int i = 0; i < writer->nentries; i++)
	{
		const Entry *entry = &writer->entries[i];
		Payload    *payload = tensor_payload(writer->model, entry->tensor);

		if (entry->native != NULL || !encoding_info(payload->encoding)->lossy)
			continue;
		if (n++ < most)
			appendStringInfo(&names, "%s%s (%s)", n > 1 ? ", " : "",
							 onnx_quote_tensor(entry->tensor),
							 encoding_info(payload->encoding)->name);
	}
	if (n > 0)
		ereport(NOTICE,
				(errmsg_plural("%d tensor is written decoded, as ONNX has no such encoding",
							   "%d tensors are written decoded, as ONNX has no such encoding",
							   n, n),
				 errdetail("%s%s", names.data, n > most ? ", ..." : ""),
				 errhint("What quantize makes with granularity => 'channel' is written as integers.")));
	pfree(names.data);
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

	writer->sorted = model_sort_tensors(writer->model);
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
	if (!writer->sink->is_passing)
		notice_decoded(writer);
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
			writer->rest += node.len;
		}
		else if (!is_taken(&field, &initializer))
			writer->rest += field.end - field.start;
	}
	pfree(node.data);
	writer->rest += writer->first.len;
}

static void
plan_graph(Writer *writer, OnnxBytes graph)
{
	initStringInfo(&writer->first);
	plan_activations(writer);
	plan_initializers(writer, graph);
	plan_rest(writer, graph);
}

/* ---------- fields of the model ---------- */

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

/* Appends those that are not as they were, or were not there, and returns how
 * many bytes of the model they take the place of. */
static uint64
append_changed(const Writer *writer, OnnxBytes model, StringInfo out)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;
	uint64		replaced = 0;

	while (writer->rewrite.raises && pb_next(&reader, &field))
		if (onnx_raise_field(&field, out))
			replaced += field.end - field.start;
	append_import(writer, out);
	return replaced;
}

/* ---------- sizes ---------- */

/* The fields that say where elements are that are in the other file. */
static const StringInfoData *
place_of(Writer *writer, const Elements *elements)
{
	resetStringInfo(&writer->place);
	onnx_put_external(&writer->place, writer->beside_name, elements->offset,
					  elements->bytes);
	return &writer->place;
}

/* Bytes that elements take in their initializer. */
static uint64
elements_size(Writer *writer, const Elements *elements)
{
	if (elements->is_external)
		return place_of(writer, elements)->len;
	return elements->bytes + pb_header_size(TENSOR_RAW_DATA, elements->bytes);
}

static int
initializers_of(const Entry *entry)
{
	return entry->native != NULL ? entry->native->nparts : 1;
}

/* Bytes of one of the initializers that become of one. */
static uint64
initializer_size(Writer *writer, const Entry *entry, int i)
{
	if (entry->native != NULL)
		return entry->native->parts[i].head.len +
			elements_size(writer, &entry->elements[i]);
	return entry->rest +
		(entry->has_raw ? elements_size(writer, &entry->elements[0]) : 0);
}

static uint64
graph_size(Writer *writer)
{
	uint64		total = writer->rest;

	for (int i = 0; i < writer->nentries; i++)
	{
		const Entry *entry = &writer->entries[i];

		for (int j = 0; j < initializers_of(entry); j++)
		{
			uint64		size = initializer_size(writer, entry, j);

			total += pb_header_size(GRAPH_INITIALIZER, size) + size;
		}
	}
	return total;
}

/* Bytes of the file; those of its graph are noted. */
static uint64
measure(Writer *writer, OnnxBytes model)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;
	StringInfoData changed;
	uint64		size;

	writer->graph_size = graph_size(writer);
	(void) onnx_next(&reader, MODEL_GRAPH, &field);
	initStringInfo(&changed);
	size = model.size - append_changed(writer, model, &changed);
	size = size - (field.end - field.start) + changed.len +
		pb_header_size(MODEL_GRAPH, writer->graph_size) + writer->graph_size;
	pfree(changed.data);
	return size;
}

/* Gives all but small elements a place in another file. */
static void
move_out(Writer *writer)
{
	uint64		size = 0;

	for (int i = 0; i < writer->nentries; i++)
	{
		Entry	   *entry = &writer->entries[i];

		for (int j = 0; j < initializers_of(entry); j++)
		{
			Elements   *elements = &entry->elements[j];

			elements->is_external = elements->bytes >= MIN_EXTERNAL;
			if (!elements->is_external)
				continue;
			elements->offset = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
			size = elements->offset + elements->bytes;
		}
	}
	if (size > 0)
		writer->beside = writer->sink->start_beside(writer->sink, size,
													&writer->beside_name);
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

/* Puts what comes before elements, or says where they are; returns where they
 * are to be put. */
static Sink *
start_elements(Writer *writer, const Elements *elements, uint64 *at)
{
	if (elements->is_external)
	{
		const StringInfoData *place = place_of(writer, elements);

		put(writer, place->data, place->data + place->len);
		sink_put_zeros(writer->beside, writer->beside_at, elements->offset);
		writer->beside_at = elements->offset + elements->bytes;
		*at = elements->offset;
		return writer->beside;
	}
	put_header(writer, TENSOR_RAW_DATA, elements->bytes);
	flush(writer);
	*at = writer->at;
	writer->at += elements->bytes;
	return writer->sink;
}

static void
put_native(Writer *writer, const Entry *entry)
{
	const OnnxNative *native = entry->native;

	for (int i = 0; i < native->nparts; i++)
	{
		const OnnxPart *part = &native->parts[i];
		Sink	   *sink;
		uint64		at;

		put_header(writer, GRAPH_INITIALIZER, initializer_size(writer, entry, i));
		put(writer, part->head.data, part->head.data + part->head.len);
		sink = start_elements(writer, &entry->elements[i], &at);
		onnx_native_put(native, part, sink, at);
	}
}

static void
put_initializer(Writer *writer, const Entry *entry, const PbField *field)
{
	if (entry->native != NULL)
	{
		put_native(writer, entry);
		return;
	}
	put_header(writer, GRAPH_INITIALIZER, initializer_size(writer, entry, 0));
	put(writer, field->data, entry->place);
	if (entry->has_raw)
	{
		uint64		at;
		Sink	   *sink = start_elements(writer, &entry->elements[0], &at);

		sink_put_payload(sink, at, tensor_payload(writer->model, entry->tensor));
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

static void
put_model(Writer *writer, OnnxBytes model)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;
	StringInfoData changed;

	initStringInfo(&changed);
	while (pb_next(&reader, &field))
	{
		if (field.number == MODEL_GRAPH)
			put_graph(writer, onnx_bytes(&field));
		else if (!writer->rewrite.raises || !onnx_raise_field(&field, &changed))
			put(writer, field.start, field.end);
	}
	append_import(writer, &changed);
	put(writer, changed.data, changed.data + changed.len);
	pfree(changed.data);
	flush(writer);
}

void
onnx_write(Model *model, Sink *sink)
{
	OnnxBytes	message = onnx_model_graph(model);
	Writer		writer = {.model = model, .message = message, .sink = sink};
	uint64		size;

	if (message.data == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has no graph to write as ONNX"),
				 errdetail("It has tensors, and nothing that says how to compute with them."),
				 errhint("Models that were read from ONNX have one, and set_graph gives one to others.")));
	initStringInfo(&writer.pending);
	initStringInfo(&writer.place);
	plan_graph(&writer, onnx_get(message, MODEL_GRAPH));
	size = measure(&writer, message);
	if (sink->start_beside != NULL &&
		size / 1024 >= (uint64) onnx_external_data_threshold)
	{
		move_out(&writer);
		size = measure(&writer, message);
	}
	sink->start(sink, size);
	put_model(&writer, message);
	pfree(writer.place.data);
	pfree(writer.pending.data);
	pfree(writer.first.data);
	pfree(writer.entries);
	pfree(writer.sorted);
}
