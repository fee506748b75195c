/*
 * onnx_external.c
 *		Elements of tensors in files beside the model.
 *
 * A tensor names a file and a place in it.  Which files it may name is for
 * those to say who open them (Siblings), here only that it names one.
 */
#include "postgres.h"

#include "format/onnx.h"
#include "mb/pg_wchar.h"

/* A number of decimal digits; false when it is none or does not fit. */
static bool
parse_number(OnnxBytes digits, uint64 *number)
{
	uint64		value = 0;

	if (digits.size == 0 || digits.size > 18)
		return false;
	for (uint64 i = 0; i < digits.size; i++)
	{
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return false;
		value = value * 10 + (digits.data[i] - '0');
	}
	*number = value;
	return true;
}

const char *
onnx_scan_external(const OnnxTensor *tensor, OnnxExternal *external)
{
	PbReader	reader = onnx_reader(tensor->message);
	PbField		field;
	bool		has_offset = false;

	memset(external, 0, sizeof(OnnxExternal));
	if (tensor->location != 1)
		return "names another file, but not as the place of its elements";
	while (onnx_next(&reader, TENSOR_EXTERNAL_DATA, &field))
	{
		OnnxBytes	key = onnx_get(onnx_bytes(&field), ENTRY_KEY);
		OnnxBytes	value = onnx_get(onnx_bytes(&field), ENTRY_VALUE);

		if (onnx_equals(key, "location") && external->path.size == 0)
			external->path = value;
		else if (onnx_equals(key, "offset") && !has_offset &&
				 parse_number(value, &external->offset))
			has_offset = true;
		else if (onnx_equals(key, "length") && !external->has_length &&
				 parse_number(value, &external->length))
			external->has_length = true;
		else if (!onnx_equals(key, "checksum"))
			return "has external_data that is no location, offset or length, or has one twice";
	}
	if (external->path.size == 0)
		return "has elements in another file and does not name it";
	if (external->has_length && external->length != onnx_raw_size(tensor))
		return "has an external_data length that does not fit its type and shape";
	return NULL;
}

static void
report_short_file(const OnnxTensor *tensor, const char *path, uint64 size)
{
	char	   *name = onnx_string(tensor->name);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid ONNX model"),
			 errdetail("Tensor \"%s\" has its elements outside of the " UINT64_FORMAT " bytes of file \"%s\".",
					   pg_any_to_server(name, strlen(name), PG_UTF8), size,
					   pg_any_to_server(path, strlen(path), PG_UTF8))));
}

const char *
onnx_read_external(const OnnxTensor *tensor, Siblings *siblings, char *dst)
{
	OnnxExternal external;
	uint64		needed = onnx_raw_size(tensor);
	uint64		size;
	char	   *path;

	(void) onnx_scan_external(tensor, &external);
	path = onnx_string(external.path);
	size = siblings->size(siblings, path);

	/* Without a length they go to the end of the file. */
	if (external.offset > size || needed > size - external.offset ||
		(!external.has_length && needed != size - external.offset))
		report_short_file(tensor, path, size);
	siblings->read(siblings, path, external.offset, needed, dst);
	pfree(path);
	return onnx_check_bytes(tensor, dst);
}
