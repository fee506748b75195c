/*
 * onnx_build.c
 *		Nodes that the writer adds to a graph.
 */
#include "postgres.h"

#include "format/onnx_build.h"

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
