/*
 * onnx_build.c
 *		Pieces of ONNX messages, put together.
 */
#include "postgres.h"

#include "format/onnx_build.h"

void
onnx_put_bytes(StringInfo out, uint32 number, const char *data, uint64 size)
{
	char		header[2 * PB_MAX_VARINT];

	appendBinaryStringInfo(out, header,
						   (int) (pb_put_header(header, number, size) - header));
	appendBinaryStringInfo(out, data, (int) size);
}

void
onnx_put_text(StringInfo out, uint32 number, const char *s)
{
	onnx_put_bytes(out, number, s, strlen(s));
}

void
onnx_put_integer(StringInfo out, uint32 number, int64 value)
{
	char		field[2 * PB_MAX_VARINT];
	char	   *end = pb_put_varint(field, (uint64) number << 3 | PB_VARINT);

	end = pb_put_varint(end, (uint64) value);
	appendBinaryStringInfo(out, field, (int) (end - field));
}

void
onnx_put_attribute(StringInfo out, const char *name, int64 value)
{
	StringInfoData attribute;

	initStringInfo(&attribute);
	onnx_put_text(&attribute, ATTRIBUTE_NAME, name);
	onnx_put_integer(&attribute, ATTRIBUTE_I, value);
	onnx_put_integer(&attribute, ATTRIBUTE_TYPE, ONNX_ATTRIBUTE_INT);
	onnx_put_bytes(out, NODE_ATTRIBUTE, attribute.data, attribute.len);
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
		appendBinaryStringInfo(&message, node->attributes,
							   node->attributes_size);
	if (node->domain[0] != '\0')
		onnx_put_text(&message, NODE_DOMAIN, node->domain);
	onnx_put_bytes(out, GRAPH_NODE, message.data, message.len);
	pfree(message.data);
}

int
onnx_type_number(DType dtype)
{
	int			number = 1;

	for (; onnx_type(number) != NULL; number++)
	{
		if (onnx_type(number)->dtype == dtype)
			return number;
	}
	elog(ERROR, "ONNX has no number for dtype %d", dtype);
	return 0;
}

void
onnx_put_tensor_head(StringInfo out, const char *name, DType dtype, int ndim,
					 const int64 *dims)
{
	for (int i = 0; i < ndim; i++)
		onnx_put_integer(out, TENSOR_DIMS, dims[i]);
	onnx_put_integer(out, TENSOR_DATA_TYPE, onnx_type_number(dtype));
	onnx_put_text(out, TENSOR_NAME, name);
}
