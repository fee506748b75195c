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

/* Copies elements that are in a file beside the model, onnx_raw_size bytes;
 * raises when they are not there, or are none of the tensor's type. */
extern void onnx_read_external(const OnnxTensor *tensor, Siblings *siblings,
							   char *dst);

/* Raises 54000 when the initializers of a graph would have many more elements
 * than a model of so many bytes and the files beside it. */
extern void onnx_check_growth(OnnxBytes graph, uint64 size,
							  Siblings *siblings);

/* Appends the fields of a tensor that say where its elements are. */
extern void onnx_put_external(StringInfo out, const char *path, uint64 offset,
							  uint64 length);

/* ---------- the format ---------- */

/* Whether bytes start with fields of a ModelProto. */
extern bool onnx_detect(const char *data, size_t size);

extern Model *onnx_read(const char *data, size_t size,
						const ReadOptions *options);
extern void onnx_write(Model *model, Sink *sink);

/* Sets the graph of a model that is read, from a message that was checked; the
 * whole one where elements that stay in it are in other files (onnx_graph.c). */
extern void onnx_set_graph(Model *model, OnnxBytes message);
extern void onnx_set_whole_graph(Model *model, OnnxBytes message,
								 Siblings *siblings);

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

/* Pieces of JSON text: a key of an object, after a comma unless it is the first
 * one, and a string. */
extern void onnx_show_key(StringInfo out, const char *key);
extern void onnx_show_text(StringInfo out, OnnxBytes bytes);

/* Attributes of a node as JSON text of an object. */
extern void onnx_show_attributes(StringInfo out, OnnxBytes node);

#endif							/* MODELOPT_FORMAT_ONNX_H */
