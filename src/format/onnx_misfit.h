/*
 * onnx_misfit.h
 *		Tensors that are not what the graph says of them.
 *
 * Private to the ONNX writer.  What these raise is 0A000.
 */
#ifndef MODELOPT_ONNX_MISFIT_H
#define MODELOPT_ONNX_MISFIT_H

#include "format/onnx.h"

extern void onnx_report_misfit(const char *detail);

/* A tensor's name for the detail. */
extern const char *onnx_quote_tensor(const Tensor *tensor);

/* Unless a tensor has the shape, or elements that dtype, of its initializer. */
extern void onnx_check_shape(const Tensor *tensor,
							 const OnnxTensor *initializer);
extern void onnx_check_dtype(const Tensor *tensor, DType dtype,
							 const OnnxTensor *initializer);

#endif							/* MODELOPT_ONNX_MISFIT_H */
