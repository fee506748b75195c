/*
 * onnx_write.c
 *		Writes a model with a graph: the graph, with the elements of the
 *		model's tensors put back into its initializers.
 *
 * A file whose elements were raw_data comes out byte for byte; other elements
 * become raw_data.  Lengths of what they are in are written anew.
 *
 * The format ends at 2 GB.  Of a larger file (or one beyond what the user set)
 * all but small elements go to another file beside it, where there can be one.
 */
#include "postgres.h"

#include "format/onnx.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* Bytes that are collected before they are put. */
#define PENDING_BYTES (1024 * 1024)

/* Elements of fewer bytes stay in the model: they may be shapes, which readers
 * want to see at once.  The onnx package has the same limit. */
#define MIN_EXTERNAL	1024

/* Others start at a page, so that a reader can map them. */
#define PAGE_BYTES		((uint64) 4096)

int			onnx_external_data_threshold = ONNX_MAX_THRESHOLD;

/* An initializer that gets its elements from a tensor. */
typedef struct Entry
{
	const Tensor *tensor;
	const char *place;			/* in the initializer, where they go */
	const char *resume;			/* and what comes after them */
	uint64		rest;			/* bytes of it without those between */
	uint64		elements;		/* bytes of them */
	bool		has_raw;
	bool		is_external;
	uint64		offset;			/* in the other file */
} Entry;

typedef struct Writer
{
	Model	   *model;
	const Tensor **sorted;		/* the model's tensors by name */
	Entry	   *entries;		/* in the order of the graph */
	int			nentries;
	uint64		rest;			/* bytes of the graph without these */
	uint64		graph_size;
	Sink	   *sink;
	uint64		at;				/* bytes that the sink has */
	Sink	   *beside;			/* the other file, or NULL */
	const char *beside_name;
	uint64		beside_at;		/* bytes that it has */
	StringInfoData pending;
	StringInfoData place;		/* fields that say where elements are */
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
check_fits(const Writer *writer, const Tensor *tensor,
		   const OnnxTensor *initializer)
{
	DType		dtype = tensor_payload(writer->model, tensor)->dtype;

	if (dtype != initializer->type->dtype)
		report_misfit(psprintf("Tensor \"%s\" has dtype %s, and %s in the graph.",
							   server_name(tensor->name), dtype_name(dtype),
							   initializer->type->name));
	if (tensor->ndim != initializer->ndim ||
		memcmp(tensor->dims, initializer->dims,
			   tensor->ndim * sizeof(int64)) != 0)
		report_misfit(psprintf("Tensor \"%s\" has shape %s, and %s in the graph.",
							   server_name(tensor->name),
							   show_shape(tensor->ndim, tensor->dims),
							   show_shape(initializer->ndim, initializer->dims)));
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

static void
add_entry(Writer *writer, const OnnxTensor *initializer)
{
	Entry	   *entry = &writer->entries[writer->nentries++];

	entry->tensor = find_tensor(writer, initializer);
	check_fits(writer, entry->tensor, initializer);
	find_place(entry, initializer);
	entry->rest = initializer->message.size - (entry->resume - entry->place);
	entry->elements = onnx_raw_size(initializer);
	entry->is_external = false;
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

static void
plan_graph(Writer *writer, OnnxBytes graph)
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
		{
			writer->rest += field.end - field.start;
			continue;
		}
		if (writer->nentries == allocated)
			writer->entries = repalloc(writer->entries,
									   (allocated *= 2) * sizeof(Entry));
		add_entry(writer, &initializer);
	}
	check_leftover(writer);
}

/* ---------- sizes ---------- */

/* The fields that say where an entry's elements are. */
static const StringInfoData *
place_of(Writer *writer, const Entry *entry)
{
	resetStringInfo(&writer->place);
	onnx_put_external(&writer->place, writer->beside_name, entry->offset,
					  entry->elements);
	return &writer->place;
}

/* Bytes of an initializer. */
static uint64
entry_size(Writer *writer, const Entry *entry)
{
	if (entry->is_external)
		return entry->rest + place_of(writer, entry)->len;
	if (entry->has_raw)
		return entry->rest + entry->elements +
			pb_header_size(TENSOR_RAW_DATA, entry->elements);
	return entry->rest;
}

/* Bytes of the file; those of its graph are noted. */
static uint64
measure(Writer *writer, OnnxBytes model)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;

	writer->graph_size = writer->rest;
	for (int i = 0; i < writer->nentries; i++)
	{
		uint64		size = entry_size(writer, &writer->entries[i]);

		writer->graph_size += pb_header_size(GRAPH_INITIALIZER, size) + size;
	}
	(void) onnx_next(&reader, MODEL_GRAPH, &field);
	return model.size - (field.end - field.start) +
		pb_header_size(MODEL_GRAPH, writer->graph_size) + writer->graph_size;
}

/* Gives all but small elements a place in another file. */
static void
move_out(Writer *writer)
{
	uint64		size = 0;

	for (int i = 0; i < writer->nentries; i++)
	{
		Entry	   *entry = &writer->entries[i];

		entry->is_external = entry->elements >= MIN_EXTERNAL;
		if (!entry->is_external)
			continue;
		entry->offset = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
		size = entry->offset + entry->elements;
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

static void
put_beside(Writer *writer, const Entry *entry)
{
	sink_put_zeros(writer->beside, writer->beside_at, entry->offset);
	sink_put_payload(writer->beside, entry->offset,
					 tensor_payload(writer->model, entry->tensor));
	writer->beside_at = entry->offset + entry->elements;
}

static void
put_initializer(Writer *writer, const Entry *entry, const PbField *field)
{
	put_header(writer, GRAPH_INITIALIZER, entry_size(writer, entry));
	put(writer, field->data, entry->place);
	if (entry->is_external)
	{
		const StringInfoData *place = place_of(writer, entry);

		put(writer, place->data, place->data + place->len);
		put_beside(writer, entry);
	}
	else if (entry->has_raw)
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

	put_header(writer, MODEL_GRAPH, writer->graph_size);
	while (pb_next(&reader, &field))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_taken(&field, &initializer))
			put_initializer(writer, entry++, &field);
		else
			put(writer, field.start, field.end);
	}
}

static void
put_model(Writer *writer, OnnxBytes model)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;

	while (pb_next(&reader, &field))
	{
		if (field.number == MODEL_GRAPH)
			put_graph(writer, onnx_bytes(&field));
		else
			put(writer, field.start, field.end);
	}
	flush(writer);
}

void
onnx_write(Model *model, Sink *sink)
{
	OnnxBytes	message = onnx_model_graph(model);
	Writer		writer = {.model = model,.sink = sink};
	uint64		size;

	if (message.data == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has no graph to write as ONNX"),
				 errdetail("It has tensors, and nothing that says how to compute with them."),
				 errhint("Only models that were read from ONNX have a graph.")));
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
	pfree(writer.entries);
	pfree(writer.sorted);
}
