/*
 * onnx.h
 *		What the files of the ONNX reader and writer share.
 *
 * Private to src/format; what a ModelProto is, src/onnx knows.
 */
#ifndef MODELOPT_FORMAT_ONNX_H
#define MODELOPT_FORMAT_ONNX_H

#include "format/format.h"
#include "onnx/onnx.h"

/* ---------- elements in other files (onnx_external.c) ---------- */

/* Copies elements that are in a file beside the model; returns what is wrong
 * with them, or NULL, and raises when they are not there. */
extern const char *onnx_read_external(const OnnxTensor *tensor,
									  Siblings *siblings, char *dst);

/* ---------- the format ---------- */

/* Whether bytes start with fields of a ModelProto. */
extern bool onnx_detect(const char *data, size_t size);

extern Model *onnx_read(const char *data, size_t size,
						const ReadOptions *options);
extern void onnx_write(Model *model, Sink *sink);

/* What the graph does with tensors, and whether it has values: uses.h
 * (onnx_uses.c). */
extern struct TensorUse *onnx_tensor_uses(const Model *model);
extern const char *onnx_missing_value(const Model *model,
									  const char *const *names, int nnames);

/* Metadata of a model that is read, as JSON text (onnx_metadata.c). */
extern char *onnx_metadata(OnnxBytes model);

/* ---------- for people to see (onnx_show.c) ---------- */

/* The type of a value as text, or NULL when it has none. */
extern char *onnx_show_type(OnnxBytes type);

/* The shape of a tensor type; no bytes when its rank is not known. */
extern OnnxBytes onnx_shape(OnnxBytes type);

/* A dimension as text, or NULL when it is not known. */
extern char *onnx_show_dimension(OnnxBytes dimension);

/* Attributes of a node as JSON text of an object. */
extern void onnx_show_attributes(StringInfo out, OnnxBytes node);

#endif							/* MODELOPT_FORMAT_ONNX_H */
