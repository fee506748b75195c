/*
 * onnx_read.c
 *		Makes a model of a ModelProto: tensors of its graph's initializers,
 *		and a graph of the rest (onnx_graph.c).
 */
#include "postgres.h"

#include "format/onnx.h"
#include "miscadmin.h"

static void
add_tensor(Model *model, const OnnxTensor *tensor, Siblings *siblings)
{
	int			payload = model_new_payload(model, tensor->type->dtype,
											ENCODING_DENSE, tensor->count,
											onnx_raw_size(tensor));
	char	   *bytes = model->payloads[payload]->bytes;
	const char *problem = NULL;

	if (tensor->has_external)
		onnx_read_external(tensor, siblings, bytes);
	else
		problem = onnx_read_elements(tensor, bytes);
	if (problem != NULL)
		onnx_report_tensor(tensor, problem);
	payload_complete(model->payloads[payload]);
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
	bool		is_scattered;
	OnnxBytes	graph;
	Model	   *model;

	if (!onnx_detect(data, size) && format_is_recognized(data, size))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("not an ONNX model"),
				 errdetail("The bytes look like %s.",
						   format_describe(data, size))));
	is_scattered = onnx_check(message, siblings != NULL ? ONNX_ANYWHERE :
							  ONNX_IN_MODEL);
	graph = onnx_get(message, MODEL_GRAPH);
	if (siblings != NULL)
		onnx_check_growth(graph, size, siblings);
	model = model_create(CurrentMemoryContext);
	if (is_scattered)
		onnx_set_whole_graph(model, message, siblings);
	else
		onnx_set_graph(model, message);
	add_tensors(model, graph, siblings);
	model_set_metadata(model, onnx_metadata(message));
	return model;
}
