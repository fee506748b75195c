/*
 * onnx_build.c
 *		Writes messages of ONNX into memory, field by field.
 *
 * What is written becomes a model's graph, so its size is limited as one's.
 */
#include "postgres.h"

#include "onnx/onnx.h"

/* ---------- fields ---------- */

void
onnx_reserve(const StringInfoData *out, uint64 size)
{
	if (size > MODEL_MAX_GRAPH - (uint64) out->len)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("graph of the model is too large"),
				 errdetail("At most %d bytes may be left of an ONNX model without the elements of its initializers.",
						   MODEL_MAX_GRAPH),
				 errhint("Elements of constants and of nested graphs are among them; make initializers of these.")));
}

void
onnx_put(StringInfo out, const char *data, uint64 size)
{
	onnx_reserve(out, size);
	appendBinaryStringInfo(out, data, (int) size);
}

void
onnx_put_bytes(StringInfo out, uint32 number, const char *data, uint64 size)
{
	char		header[2 * PB_MAX_VARINT];

	onnx_put(out, header, pb_put_header(header, number, size) - header);
	onnx_put(out, data, size);
}

void
onnx_put_text(StringInfo out, uint32 number, const char *string)
{
	onnx_put_bytes(out, number, string, strlen(string));
}

void
onnx_put_message(StringInfo out, uint32 number, const StringInfoData *message)
{
	onnx_put_bytes(out, number, message->data, message->len);
}

void
onnx_put_integer(StringInfo out, uint32 number, int64 value)
{
	char		bytes[2 * PB_MAX_VARINT];
	char	   *end = pb_put_varint(bytes, (uint64) number << 3 | PB_VARINT);

	onnx_put(out, bytes, pb_put_varint(end, (uint64) value) - bytes);
}

void
onnx_put_float(StringInfo out, uint32 number, float value)
{
	char		bytes[2 * PB_MAX_VARINT];
	char	   *end = pb_put_varint(bytes, (uint64) number << 3 | PB_FIXED32);
	uint32		bits;

	memcpy(&bits, &value, sizeof(bits));
	for (int i = 0; i < 4; i++)
		*end++ = (char) (bits >> (8 * i));
	onnx_put(out, bytes, end - bytes);
}

/* ---------- attributes ---------- */

static void
begin_attribute(StringInfo attribute, const char *name)
{
	initStringInfo(attribute);
	onnx_put_text(attribute, ATTRIBUTE_NAME, name);
}

static void
end_attribute(StringInfo out, StringInfo attribute, int type)
{
	onnx_put_integer(attribute, ATTRIBUTE_TYPE, type);
	onnx_put_message(out, NODE_ATTRIBUTE, attribute);
	pfree(attribute->data);
}

void
onnx_put_attribute(StringInfo out, const char *name, int64 value)
{
	StringInfoData attribute;

	begin_attribute(&attribute, name);
	onnx_put_integer(&attribute, ATTRIBUTE_I, value);
	end_attribute(out, &attribute, ONNX_ATTRIBUTE_INT);
}

void
onnx_put_attribute_integers(StringInfo out, const char *name, int n,
							const int64 *values)
{
	StringInfoData attribute;

	begin_attribute(&attribute, name);
	for (int i = 0; i < n; i++)
		onnx_put_integer(&attribute, ATTRIBUTE_INTS, values[i]);
	end_attribute(out, &attribute, ONNX_ATTRIBUTE_INTS);
}

void
onnx_put_attribute_float(StringInfo out, const char *name, float value)
{
	StringInfoData attribute;

	begin_attribute(&attribute, name);
	onnx_put_float(&attribute, ATTRIBUTE_F, value);
	end_attribute(out, &attribute, ONNX_ATTRIBUTE_FLOAT);
}

void
onnx_put_attribute_tensor(StringInfo out, const char *name,
						  const StringInfoData *tensor)
{
	StringInfoData attribute;

	begin_attribute(&attribute, name);
	onnx_put_message(&attribute, ATTRIBUTE_T, tensor);
	end_attribute(out, &attribute, ONNX_ATTRIBUTE_TENSOR);
}

/* ---------- tensors ---------- */

void
onnx_put_tensor_head(StringInfo out, const char *name, DType dtype, int ndim,
					 const int64 *dims)
{
	for (int i = 0; i < ndim; i++)
		onnx_put_integer(out, TENSOR_DIMS, dims[i]);
	onnx_put_integer(out, TENSOR_DATA_TYPE, onnx_type_of(dtype));
	onnx_put_text(out, TENSOR_NAME, name);
}
