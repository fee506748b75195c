/*
 * onnx_graph.c
 *		What of a ModelProto becomes the graph of a model: all but the elements
 *		of its graph's initializers.
 *
 * Elements that stay in the graph, of tensors in attributes, nested graphs and
 * functions, are in it even where the file had them in another one: a model is
 * whole wherever it goes.
 */
#include "postgres.h"

#include "format/onnx.h"
#include "miscadmin.h"

/* Fields between two looks for interrupts. */
#define STRETCH 65536

/* ---------- pieces ---------- */

/* Whether a field says in which file elements are. */
static bool
is_place(uint32 number)
{
	return number == TENSOR_EXTERNAL_DATA || number == TENSOR_DATA_LOCATION;
}

/*
 * All fields of a tensor but those with elements, or with the file that they
 * are in.  raw_data of other bytes takes their place: where there was one, or
 * where it belongs by its number.
 */
static void
put_tensor(StringInfo out, const OnnxTensor *tensor, const char *raw,
		   uint64 size)
{
	PbReader	reader = onnx_reader(tensor->message);
	PbField		field;
	bool		is_due = !tensor->has_raw && tensor->count > 0;
	int			n = 0;

	while (pb_next(&reader, &field))
	{
		if (++n % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		if (field.number == TENSOR_RAW_DATA ||
			(is_due && field.number > TENSOR_RAW_DATA))
		{
			onnx_put_bytes(out, TENSOR_RAW_DATA, raw, size);
			is_due = false;
		}
		if (!onnx_is_elements(field.number) &&
			!(tensor->has_external && is_place(field.number)))
			onnx_put(out, field.start, field.end - field.start);
	}
	if (is_due)
		onnx_put_bytes(out, TENSOR_RAW_DATA, raw, size);
}

/* ---------- without elements ---------- */

static void
strip_graph(StringInfo out, OnnxBytes graph)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	StringInfoData stripped;

	initStringInfo(&stripped);
	while (pb_next(&reader, &field))
	{
		OnnxTensor	tensor;

		CHECK_FOR_INTERRUPTS();
		if (field.number == GRAPH_INITIALIZER)
			onnx_scan_tensor(&tensor, onnx_bytes(&field));
		if (field.number != GRAPH_INITIALIZER ||
			tensor.type->dtype == DTYPE_INVALID)
		{
			onnx_put(out, field.start, field.end - field.start);
			continue;
		}
		resetStringInfo(&stripped);
		put_tensor(&stripped, &tensor, "", 0);
		onnx_put_bytes(out, GRAPH_INITIALIZER, stripped.data, stripped.len);
	}
	pfree(stripped.data);
}

static void
strip_model(StringInfo out, OnnxBytes message)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	StringInfoData graph;

	initStringInfo(&graph);
	while (pb_next(&reader, &field))
	{
		if (field.number == MODEL_GRAPH)
		{
			strip_graph(&graph, onnx_bytes(&field));
			onnx_put_bytes(out, MODEL_GRAPH, graph.data, graph.len);
		}
		else
			onnx_put(out, field.start, field.end - field.start);
	}
	pfree(graph.data);
}

/* ---------- elements from other files ---------- */

static void
inline_tensor(StringInfo out, const OnnxTensor *tensor, Siblings *siblings)
{
	uint64		size = onnx_raw_size(tensor);
	char	   *elements;

	onnx_reserve(out, size);
	elements = palloc(Max(size, 1));
	onnx_read_external(tensor, siblings, elements);
	put_tensor(out, tensor, elements, size);
	pfree(elements);
}

/* A message, with the elements of every tensor in it.  It has been checked, so
 * that messages are at most ONNX_MAX_DEPTH deep. */
static void
inline_message(StringInfo out, OnnxMessage kind, OnnxBytes message,
			   Siblings *siblings)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	StringInfoData inner;

	if (kind == ONNX_TENSOR)
	{
		OnnxTensor	tensor;

		onnx_scan_tensor(&tensor, message);
		if (tensor.has_external)
		{
			inline_tensor(out, &tensor, siblings);
			return;
		}
	}
	initStringInfo(&inner);
	while (pb_next(&reader, &field))
	{
		const OnnxFieldInfo *info = onnx_field(kind, field.number);

		CHECK_FOR_INTERRUPTS();
		if (info == NULL || info->kind != ONNX_SUBMESSAGE)
		{
			onnx_put(out, field.start, field.end - field.start);
			continue;
		}
		resetStringInfo(&inner);
		inline_message(&inner, info->message, onnx_bytes(&field), siblings);
		onnx_put_bytes(out, field.number, inner.data, inner.len);
	}
	pfree(inner.data);
}

void
onnx_set_graph(Model *model, OnnxBytes message)
{
	StringInfoData graph;

	initStringInfo(&graph);
	strip_model(&graph, message);
	model_set_graph(model, graph.data, graph.len);
	pfree(graph.data);
}

void
onnx_set_whole_graph(Model *model, OnnxBytes message, Siblings *siblings)
{
	StringInfoData stripped;
	StringInfoData graph;
	OnnxBytes	whole;

	initStringInfo(&stripped);
	initStringInfo(&graph);
	strip_model(&stripped, message);
	whole.data = stripped.data;
	whole.size = stripped.len;
	inline_message(&graph, ONNX_MODEL, whole, siblings);

	/* Elements that were not there to be checked, such as indices. */
	whole.data = graph.data;
	whole.size = graph.len;
	(void) onnx_check(whole, ONNX_TAKEN_OUT);
	model_set_graph(model, graph.data, graph.len);
	pfree(graph.data);
	pfree(stripped.data);
}
