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
