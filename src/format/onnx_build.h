/*
 * onnx_build.h
 *		Nodes that the writer adds to a graph.
 *
 * Private to src/format.  What is appended to a StringInfo is fields of a
 * message (src/onnx puts single ones); names are NUL-terminated UTF-8.
 */
#ifndef MODELOPT_FORMAT_ONNX_BUILD_H
#define MODELOPT_FORMAT_ONNX_BUILD_H

#include "format/onnx.h"

#define ONNX_MICROSOFT "com.microsoft"	/* domain of ONNX Runtime's operators */

typedef struct OnnxNode
{
	const char *op_type;
	const char *domain;			/* "" for ONNX's own */
	int			ninputs;
	const char *inputs[5];
	const char *output;			/* the node is named after it */
	const char *attributes;		/* fields of a node, or NULL */
	int			attributes_size;
} OnnxNode;

/* A node as a field of a graph. */
extern void onnx_put_node(StringInfo out, const OnnxNode *node);

#endif							/* MODELOPT_FORMAT_ONNX_BUILD_H */
