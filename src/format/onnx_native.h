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

#include "format/onnx_activations.h"
#include "model/affine.h"

/* Where the elements of an initializer come from. */
typedef enum OnnxSource
{
	ONNX_FROM_ELEMENTS,			/* the payload's, decoded */
	ONNX_FROM_STORED,			/* the payload's bytes, from an offset on */
	ONNX_FROM_MEMORY,
	ONNX_FROM_BLOCKS,			/* codes as MatMulNBits has them */
	ONNX_FROM_ROWS,				/* codes of rows that are filled up */
} OnnxSource;

/* Versions of ONNX's operators from which on DequantizeLinear can do so. */
#define ONNX_OPSET_AXIS		13	/* a scale for each channel */
#define ONNX_OPSET_HALF		19	/* scales that are halves */
#define ONNX_OPSET_BLOCKS	21	/* groups, and integers of 4 and 16 bits */

#define ONNX_MAX_PARTS 8

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
	bool		raises;			/* the graph's operators are of a later version */

	/* when nodes that take the tensor are replaced */
	bool		in_blocks;
	OnnxBytes	taken_as;		/* what these take: the tensor, or what a
								 * Transpose makes of it, which goes */
	char	   *part_names[ONNX_MAX_PARTS];
	Affine		affine;
	int64		rows;			/* K, what is summed over */
	int64		columns;		/* N */
	bool		transposed;		/* the tensor is columns x rows */

	/* when rows of codes are filled up */
	int64		row;			/* codes of a row */
	int64		padded;			/* with what fills it up */
} OnnxNative;

/* How the tensor is written, or NULL when it is decoded. */
extern OnnxNative *onnx_native(const OnnxSurvey *survey,
							   const OnnxActivations *activations,
							   const Tensor *tensor, Payload *payload,
							   DType graph_dtype);

/* Puts the elements of a part. */
extern void onnx_native_put(const OnnxNative *native, const OnnxPart *part,
							Sink *sink, uint64 at);

/* Appends what takes the place of a node that takes the tensor as the input of
 * that place; inputs are the node's, renamed as they have to be. */
extern void onnx_native_replace(const OnnxNative *native,
								const OnnxSurvey *survey, OnnxBytes node,
								char **inputs, int ninputs, StringInfo out);

/* ---------- shared by onnx_native.c and onnx_native_rows.c ---------- */

/* Adds an initializer whose source is to be set. */
extern OnnxPart *onnx_native_part(OnnxNative *native, const OnnxSurvey *survey,
								  const char *suffix, DType dtype, int ndim,
								  const int64 *dims);

/* Scales as elements of that dtype; NULL when it does not hold them. */
extern char *onnx_native_scales(const OnnxNative *native, DType dtype);

/* Groups as rows of a matrix, which takes the tensor's shape afterwards; NULL
 * when groups are no stretches of elements. */
extern OnnxNative *onnx_native_in_rows(OnnxNative *native,
									   const OnnxSurvey *survey,
									   const Tensor *tensor);

/* Puts the codes of rows that are filled up. */
extern void onnx_native_put_rows(const OnnxNative *native, Sink *sink,
								 uint64 at);

#endif							/* MODELOPT_ONNX_NATIVE_H */
