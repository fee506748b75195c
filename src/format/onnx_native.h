/*
 * onnx_native.h
 *		Encoded tensors as ONNX has them.
 *
 * Private to the ONNX writer.  An initializer whose tensor is encoded in a way
 * that the format knows becomes a few initializers, and nodes that make the
 * value of the old name of them, or nodes that take them instead of it.
 */
#ifndef MODELOPT_ONNX_NATIVE_H
#define MODELOPT_ONNX_NATIVE_H

#include "format/onnx_build.h"
#include "format/onnx_survey.h"
#include "model/affine.h"

/* Where the elements of an initializer come from. */
typedef enum OnnxSource
{
	ONNX_FROM_ELEMENTS,			/* the payload's, decoded */
	ONNX_FROM_STORED,			/* the payload's bytes, from an offset on */
	ONNX_FROM_MEMORY,
	ONNX_FROM_BLOCKS,			/* codes as MatMulNBits has them */
} OnnxSource;

#define ONNX_MAX_PARTS 3

typedef struct OnnxPart
{
	StringInfoData head;		/* all of the message before the elements */
	uint64		size;			/* bytes of these */
	OnnxSource	source;
	uint64		offset;			/* ONNX_FROM_STORED */
	char	   *bytes;			/* ONNX_FROM_MEMORY */
} OnnxPart;

typedef struct OnnxNative
{
	const char *name;			/* of the tensor */
	Payload    *payload;
	int			nparts;
	OnnxPart	parts[ONNX_MAX_PARTS];
	StringInfoData nodes;		/* fields of the graph that make the value */
	bool		microsoft;		/* operators of ONNX Runtime are used */

	/* when nodes that take the tensor are replaced */
	bool		in_blocks;
	bool		blocks_have_zeros;
	char	   *part_names[ONNX_MAX_PARTS];
	Affine		affine;
	int64		rows;			/* K, what is summed over */
	int64		columns;		/* N */
	bool		transposed;		/* the tensor is columns x rows */
} OnnxNative;

/* How the tensor is written, or NULL when it is decoded. */
extern OnnxNative *onnx_native(const OnnxSurvey *survey, const Tensor *tensor,
							   Payload *payload, DType graph_dtype);

/* Puts the elements of a part. */
extern void onnx_native_put(const OnnxNative *native, const OnnxPart *part,
							Sink *sink, uint64 at);

/* Appends what takes the place of a node that takes the tensor as the input of
 * that place; inputs are the node's, renamed as they have to be. */
extern void onnx_native_replace(const OnnxNative *native,
								const OnnxSurvey *survey, OnnxBytes node,
								char **inputs, int ninputs, StringInfo out);

#endif							/* MODELOPT_ONNX_NATIVE_H */
