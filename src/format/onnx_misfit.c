/*
 * onnx_misfit.c
 *		Tensors that are not what the graph says of them.
 */
#include "postgres.h"

#include "format/onnx_misfit.h"

void
onnx_report_misfit(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("tensors of the model do not fit its ONNX graph"),
			 errdetail("%s", detail),
			 errhint("Formats without a graph, such as safetensors, hold any tensors.")));
}

static char *
show_shape(int ndim, const int64 *dims)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < ndim; i++)
		appendStringInfo(&out, i > 0 ? ", " INT64_FORMAT : INT64_FORMAT,
						 dims[i]);
	return psprintf("[%s]", out.data);
}

const char *
onnx_quote_tensor(const Tensor *tensor)
{
	OnnxBytes	name = {tensor->name, strlen(tensor->name)};

	return onnx_quote(name);
}

void
onnx_check_shape(const Tensor *tensor, const OnnxTensor *initializer)
{
	if (tensor->ndim != initializer->ndim ||
		memcmp(tensor->dims, initializer->dims,
			   tensor->ndim * sizeof(int64)) != 0)
		onnx_report_misfit(psprintf("Tensor %s has shape %s, and %s in the graph.",
									onnx_quote_tensor(tensor),
									show_shape(tensor->ndim, tensor->dims),
									show_shape(initializer->ndim, initializer->dims)));
}

void
onnx_check_dtype(const Tensor *tensor, DType dtype,
				 const OnnxTensor *initializer)
{
	if (dtype != initializer->type->dtype)
		onnx_report_misfit(psprintf("Tensor %s has dtype %s, and %s in the graph.",
									onnx_quote_tensor(tensor), dtype_name(dtype),
									initializer->type->name));
}
