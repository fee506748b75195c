/*
 * quantize.h
 *		What the files that quantize share.
 *
 * Private to src/transform.  quantize_request.c reads the arguments;
 * quantize_affine.c makes integers with scales, by the formulas of
 * quantize_scheme.c; quantize_cast.c makes smaller floats and ggml's blocks.
 */
#ifndef MODELOPT_QUANTIZE_H
#define MODELOPT_QUANTIZE_H

#include "kernel/kernel.h"
#include "model/affine.h"
#include "model/uses.h"
#include "transform/encode.h"

/* Whose formulas. */
typedef enum QuantizeScheme
{
	QUANTIZE_ONNX,				/* ONNX Runtime's quantization */
	QUANTIZE_TORCH,				/* torch's observers and quantize_per_* */
	QUANTIZE_GGUF,				/* ggml's blocks */
} QuantizeScheme;

typedef enum QuantizeGranularity
{
	QUANTIZE_PER_TENSOR,
	QUANTIZE_PER_CHANNEL,
	QUANTIZE_PER_GROUP,
} QuantizeGranularity;

/* What a type is made of. */
typedef enum QuantizeKind
{
	QUANTIZE_INTEGER,
	QUANTIZE_FLOAT,
	QUANTIZE_BLOCKS,
} QuantizeKind;

typedef struct QuantizeType
{
	const char *name;			/* as SQL has it: "int8" */
	QuantizeKind kind;
	DType		dtype;			/* of codes, or of the floats */
	Encoding	encoding;		/* QUANTIZE_BLOCKS */
} QuantizeType;

typedef struct QuantizeRequest
{
	Patterns	patterns;
	const QuantizeType *type;
	QuantizeScheme scheme;		/* the rest is for QUANTIZE_INTEGER */
	QuantizeGranularity granularity;
	bool		affine;			/* or symmetric: 0 in the middle */
	int			group;			/* elements, of QUANTIZE_PER_GROUP */
	bool		has_axis;
	int			axis;			/* if has_axis; negative from the end */
	bool		reduce_range;
	bool		requantize;
	const TensorUse *uses;		/* of the model's tensors, or NULL */
} QuantizeRequest;

/* Places of the arguments. */
typedef enum QuantizeArgument
{
	QUANTIZE_ARG_MODEL,
	QUANTIZE_ARG_DTYPE,
	QUANTIZE_ARG_SCHEME,
	QUANTIZE_ARG_GRANULARITY,
	QUANTIZE_ARG_AFFINE,
	QUANTIZE_ARG_GROUP_SIZE,
	QUANTIZE_ARG_AXIS,
	QUANTIZE_ARG_REDUCE_RANGE,
	QUANTIZE_ARG_INCLUDE,
	QUANTIZE_ARG_EXCLUDE,
	QUANTIZE_ARG_REQUANTIZE,
	QUANTIZE_ARG_ACTIVATION_RANGES,
} QuantizeArgument;

/* Reads and checks all arguments but the model; null stands for the default.
 * Raises 22023 for what has no meaning, alone or together. */
extern QuantizeRequest *quantize_request_read(FunctionCallInfo fcinfo);

extern const char *quantize_scheme_name(QuantizeScheme scheme);
extern const char *quantize_granularity_name(QuantizeGranularity granularity);

/* ---------- activations (quantize_ranges.c) ---------- */

/* Between which numbers a value of the graph lies. */
typedef struct QuantizeRange
{
	const char *name;			/* UTF-8 */
	float		min;
	float		max;
} QuantizeRange;

typedef struct QuantizeRanges
{
	int			n;
	QuantizeRange *items;
} QuantizeRanges;

/* The argument, or NULL when there is none. */
extern QuantizeRanges *quantize_ranges_read(FunctionCallInfo fcinfo,
											const QuantizeRequest *request);

/* Scale and zero point for unsigned integers of 8 bits, as ONNX Runtime
 * computes them. */
extern void quantize_activation(const QuantizeRange *range, float *scale,
								float *zero);

/* ---------- formulas (quantize_scheme.c) ---------- */

/* Codes that a request makes, and how. */
typedef struct QuantizeCodes
{
	KernelAffineRule rule;
	int			low;			/* of the codes, as the rule computes them */
	int			high;
	int			flip;			/* xor'ed to them then: unsigned to signed */
	bool		has_zeros;
} QuantizeCodes;

extern QuantizeCodes quantize_codes(const QuantizeRequest *request);

/*
 * Scale and zero point (as the rule computes with it) for elements between min
 * and max, 0 included; of a tensor of that dtype.  False when they are too far
 * apart for a finite scale.
 */
extern bool quantize_parameters(const QuantizeRequest *request, DType dtype,
								float min, float max, float *scale,
								float *zero);

/* ---------- encoders ---------- */

/* The dimension of channels, or of groups; -1 when groups take all but the
 * first.  Raises 22023 when the tensor does not have the one asked for. */
extern int	quantize_axis(const EncodeTarget *target,
						  const QuantizeRequest *request);

extern const char *quantize_affine(const EncodeTarget *target,
								   const void *request, Model *out);
extern const char *quantize_float(const EncodeTarget *target,
								  const void *request, Model *out);
extern const char *quantize_blocks(const EncodeTarget *target,
								   const void *request, Model *out);

#endif							/* MODELOPT_QUANTIZE_H */
