/*
 * onnx_read.c
 *		Makes a model of a ModelProto: tensors of its graph's initializers,
 *		and a graph of the rest.
 */
#include "postgres.h"

#include "format/onnx.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* Fields between two looks for interrupts. */
#define STRETCH 65536

/* ---------- the graph, without elements ---------- */

/* Whether a field says in which file elements are. */
static bool
is_place(uint32 number)
{
	return number == TENSOR_EXTERNAL_DATA || number == TENSOR_DATA_LOCATION;
}

/*
 * All fields of a tensor but those with elements, or with the file that they
 * are in.  An empty raw_data takes their place: where there was one, or where
 * it belongs by its number.
 */
static void
put_tensor(StringInfo out, const OnnxTensor *tensor)
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
			onnx_put_bytes(out, TENSOR_RAW_DATA, "", 0);
			is_due = false;
		}
		if (!onnx_is_elements(field.number) &&
			!(tensor->has_external && is_place(field.number)))
			onnx_put(out, field.start, field.end - field.start);
	}
	if (is_due)
		onnx_put_bytes(out, TENSOR_RAW_DATA, "", 0);
}

static void
put_graph(StringInfo out, OnnxBytes graph)
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
		put_tensor(&stripped, &tensor);
		onnx_put_bytes(out, GRAPH_INITIALIZER, stripped.data, stripped.len);
	}
	pfree(stripped.data);
}

static void
set_graph(Model *model, OnnxBytes message)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	StringInfoData out;
	StringInfoData graph;

	initStringInfo(&out);
	initStringInfo(&graph);
	while (pb_next(&reader, &field))
	{
		if (field.number == MODEL_GRAPH)
		{
			put_graph(&graph, onnx_bytes(&field));
			onnx_put_bytes(&out, MODEL_GRAPH, graph.data, graph.len);
		}
		else
			onnx_put(&out, field.start, field.end - field.start);
	}
	model_set_graph(model, out.data, out.len);
	pfree(graph.data);
	pfree(out.data);
}

/* ---------- the tensors ---------- */

static void
report_tensor(const OnnxTensor *tensor, const char *problem)
{
	char	   *name = onnx_string(tensor->name);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid ONNX model"),
			 errdetail("Tensor \"%s\" %s.",
					   pg_any_to_server(name, strlen(name), PG_UTF8),
					   problem)));
}

static void
add_tensor(Model *model, const OnnxTensor *tensor, Siblings *siblings)
{
	int			payload = model_new_payload(model, tensor->type->dtype,
											ENCODING_DENSE, tensor->count,
											onnx_raw_size(tensor));
	char	   *bytes = model->payloads[payload]->bytes;
	const char *problem;

	if (tensor->has_external)
		problem = onnx_read_external(tensor, siblings, bytes);
	else
		problem = onnx_read_elements(tensor, bytes);
	if (problem != NULL)
		report_tensor(tensor, problem);
	model_add_tensor(model, tensor->name.data, tensor->name.size,
					 tensor->ndim, tensor->dims, payload);
}

static void
add_tensors(Model *model, OnnxBytes graph, Siblings *siblings)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;

	while (onnx_next(&reader, GRAPH_INITIALIZER, &field))
	{
		OnnxTensor	tensor;

		CHECK_FOR_INTERRUPTS();
		onnx_scan_tensor(&tensor, onnx_bytes(&field));
		if (tensor.type->dtype != DTYPE_INVALID)
			add_tensor(model, &tensor, siblings);
	}
}

Model *
onnx_read(const char *data, size_t size, const ReadOptions *options)
{
	OnnxBytes	message = {data, size};
	Siblings   *siblings = options->siblings;
	Model	   *model;

	if (!onnx_detect(data, size) && format_is_recognized(data, size))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("not an ONNX model"),
				 errdetail("The bytes look like %s.",
						   format_describe(data, size))));
	onnx_check(message, siblings != NULL ? ONNX_ANYWHERE : ONNX_IN_MODEL);
	model = model_create(CurrentMemoryContext);
	set_graph(model, message);
	add_tensors(model, onnx_get(message, MODEL_GRAPH), siblings);
	model_set_metadata(model, onnx_metadata(message));
	return model;
}
