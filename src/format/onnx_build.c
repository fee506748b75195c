/*
 * onnx_build.c
 *		Nodes and initializers that the writer adds to a graph.
 */
#include "postgres.h"

#include "format/onnx_build.h"

void
onnx_put_attribute(StringInfo out, const char *name, int64 value)
{
	StringInfoData attribute;

	initStringInfo(&attribute);
	onnx_put_text(&attribute, ATTRIBUTE_NAME, name);
	onnx_put_integer(&attribute, ATTRIBUTE_I, value);
	onnx_put_integer(&attribute, ATTRIBUTE_TYPE, ONNX_ATTRIBUTE_INT);
	onnx_put_message(out, NODE_ATTRIBUTE, &attribute);
	pfree(attribute.data);
}

void
onnx_put_node(StringInfo out, const OnnxNode *node)
{
	StringInfoData message;

	initStringInfo(&message);
	for (int i = 0; i < node->ninputs; i++)
		onnx_put_text(&message, NODE_INPUT, node->inputs[i]);
	onnx_put_text(&message, NODE_OUTPUT, node->output);
	onnx_put_text(&message, NODE_NAME,
				  psprintf("%s.%s", node->output, node->op_type));
	onnx_put_text(&message, NODE_OP_TYPE, node->op_type);
	if (node->attributes != NULL)
		onnx_put(&message, node->attributes, node->attributes_size);
	if (node->domain[0] != '\0')
		onnx_put_text(&message, NODE_DOMAIN, node->domain);
	onnx_put_message(out, GRAPH_NODE, &message);
	pfree(message.data);
}

void
onnx_put_tensor_head(StringInfo out, const char *name, DType dtype, int ndim,
					 const int64 *dims)
{
	for (int i = 0; i < ndim; i++)
		onnx_put_integer(out, TENSOR_DIMS, dims[i]);
	onnx_put_integer(out, TENSOR_DATA_TYPE, onnx_type_of(dtype));
	onnx_put_text(out, TENSOR_NAME, name);
}
