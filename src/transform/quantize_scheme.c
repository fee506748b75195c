/*
 * quantize_scheme.c
 *		The formulas of the tools that models are quantized with.
 *
 * Scales, zero points and rounding differ between tools in a tenth of the
 * codes, so each is here operation by operation, in the precision that the tool
 * computes it in:
 *
 *	 - ONNX Runtime, tensors and channels: its Python quantizer as of 1.32
 *	   (before, asymmetric spans were rounded to float, and subnormal scales of
 *	   halves given up).  Symmetric
 *	   signed ranges are -127..127 for eight bits, but -8..7 for four.
 *	 - ONNX Runtime, groups: the C++ quantizer of its MatMulNBits operator.  The
 *	   scale of a symmetric group has a sign, that of the element of the largest
 *	   magnitude stands for -8 (or -128).
 *	 - torch: MinMaxObserver and PerChannelMinMaxObserver with
 *	   quantize_per_tensor and quantize_per_channel.
 *
 * In all of them 0 has a code of its own, so what was pruned stays zero: the
 * range is widened to hold 0, and the zero point is an integer.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "transform/quantize.h"

static float
as_half(float x)
{
	return kernel_f16_to_f32(kernel_f32_to_f16(x));
}

/* A scale is stored in the tensor's own type, where the format asks for it. */
static float
stored_scale(DType dtype, float scale)
{
	return dtype == DTYPE_F16 ? as_half(scale) : scale;
}

static bool
is_signed(const QuantizeRequest *request)
{
	DType		dtype = request->type->dtype;

	return dtype == DTYPE_I4 || dtype == DTYPE_I8 || dtype == DTYPE_I16;
}

static bool
is_grouped(const QuantizeRequest *request)
{
	return request->granularity == QUANTIZE_PER_GROUP;
}

/* All codes of the type. */
static void
type_range(const QuantizeRequest *request, int *low, int *high)
{
	int			bits = dtype_bits(request->type->dtype);

	*low = is_signed(request) ? -(1 << (bits - 1)) : 0;
	*high = *low + (1 << bits) - 1;
}

QuantizeCodes
quantize_codes(const QuantizeRequest *request)
{
	QuantizeCodes codes = {0};

	type_range(request, &codes.low, &codes.high);
	codes.rule = request->scheme == QUANTIZE_TORCH ? KERNEL_AFFINE_MULTIPLY :
		KERNEL_AFFINE_DIVIDE;
	codes.has_zeros = request->affine || !is_signed(request);
	if (is_grouped(request))
	{
		int			span = codes.high - codes.low;

		/* Computed as unsigned; signed codes are half the range lower. */
		codes.rule = KERNEL_AFFINE_AWAY;
		codes.flip = is_signed(request) ? (span + 1) / 2 : 0;
		codes.low = 0;
		codes.high = span;
	}
	return codes;
}

/* ---------- ONNX Runtime: tensors and channels ---------- */

/* The codes that the range is spread over. */
static void
onnx_range(const QuantizeRequest *request, int *low, int *high)
{
	type_range(request, low, high);
	if (request->reduce_range)
	{
		*low = is_signed(request) ? -64 : 0;
		*high = is_signed(request) ? 64 : 127;
	}
	else if (!request->affine && is_signed(request) &&
			 dtype_bits(request->type->dtype) > 4)
		*low += 1;
}

static bool
onnx_parameters(const QuantizeRequest *request, DType dtype, float min,
				float max, float *scale, float *zero)
{
	double		magnitude = -min > max ? -min : max;
	double		span = !request->affine ? magnitude + magnitude :
		(double) max - (double) min;
	double		wide;
	int			low;
	int			high;

	onnx_range(request, &low, &high);
	wide = span / (double) (high - low);
	*scale = stored_scale(dtype, (float) wide);
	*zero = 0;
	/* With such scales all elements are 0. */
	if (dtype == DTYPE_F16 ? *scale == 0 : wide < FLT_MIN)
		*scale = 1;
	else if (!request->affine)
		*zero = (float) rint((low + high) / 2.0);
	else
		*zero = (float) rint(low - (double) min / wide);
	return isfinite(*scale);
}

/* ---------- ONNX Runtime: groups ---------- */

static bool
group_parameters(const QuantizeRequest *request, DType dtype, float min,
				 float max, float *scale, float *zero)
{
	int			span = (1 << dtype_bits(request->type->dtype)) - 1;
	float		half = (float) ((span + 1) / 2);

	if (!request->affine)
	{
		float		extreme = fabsf(max) > fabsf(min) ? max : min;

		*scale = stored_scale(dtype, extreme / -half);
		*zero = half;
	}
	else
	{
		float		wide = (max - min) / (float) span;
		float		place = min;

		*scale = stored_scale(dtype, wide);
		if (wide != 0)
			place = 0.0f - min / wide;
		*zero = roundf(place < 0 ? 0 : place > span ? span : place);
	}
	return isfinite(*scale);
}

/* ---------- torch ---------- */

static bool
torch_parameters(const QuantizeRequest *request, float min, float max,
				 float *scale, float *zero)
{
	int			low;
	int			high;

	type_range(request, &low, &high);
	if (!request->affine)
	{
		float		magnitude = -min > max ? -min : max;

		*scale = magnitude / ((float) (high - low) / 2);
		*zero = is_signed(request) ? 0 : 128;
	}
	else
		*scale = (max - min) / (float) (high - low);
	*scale = *scale > FLT_EPSILON ? *scale : FLT_EPSILON;
	if (request->affine)
	{
		float		place = (float) low - rintf(min / *scale);

		*zero = place < low ? low : place > high ? high : place;
	}
	return isfinite(*scale);
}

bool
quantize_parameters(const QuantizeRequest *request, DType dtype, float min,
					float max, float *scale, float *zero)
{
	if (request->scheme == QUANTIZE_TORCH)
		return torch_parameters(request, min, max, scale, zero);
	if (is_grouped(request))
		return group_parameters(request, dtype, min, max, scale, zero);
	return onnx_parameters(request, dtype, min, max, scale, zero);
}
