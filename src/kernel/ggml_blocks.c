/*
 * ggml_blocks.c
 *		The block encodings of ggml, which GGUF files are quantized in.
 *
 * A block is 32 or 256 consecutive elements that share scales of 16 bits; its
 * elements are integers of 4, 5, 6 or 8 bits.  Decoding computes in float and
 * in the order of ggml's dequantize_row functions, encoding in that of its
 * quantize_row reference functions, so that both give the same bits as ggml.
 *
 * Two things are said here that are left open there.  What a scale that is
 * infinite or NaN makes NaN comes out as the same NaN on every machine.  And a
 * block of elements so small that the reciprocal of its scale overflows has
 * the integers of zeros, which it decodes to anyway.
 */
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

#define SMALL			32		/* elements of a block without letter */
#define LARGE			256		/* of a K block */
#define LARGE_SCALES	12		/* bytes of the packed scales of Q4_K, Q5_K */

#define F32_INFINITY	0x7f800000u
#define F32_NAN			0x7fc00000u
#define F16_INFINITY	0x7c00u

static const struct
{
	int			elements;
	int			bytes;
}			sizes[] = {
	[KERNEL_BLOCK_Q4_0] = {SMALL, 18},
	[KERNEL_BLOCK_Q4_1] = {SMALL, 20},
	[KERNEL_BLOCK_Q5_0] = {SMALL, 22},
	[KERNEL_BLOCK_Q5_1] = {SMALL, 24},
	[KERNEL_BLOCK_Q8_0] = {SMALL, 34},
	[KERNEL_BLOCK_Q4_K] = {LARGE, 144},
	[KERNEL_BLOCK_Q5_K] = {LARGE, 176},
	[KERNEL_BLOCK_Q6_K] = {LARGE, 210},
};

int
kernel_block_elements(KernelBlock kind)
{
	return sizes[kind].elements;
}

int
kernel_block_bytes(KernelBlock kind)
{
	return sizes[kind].bytes;
}

/* ---------- decoding ---------- */

static inline uint16_t
get_u16(const uint8_t *src)
{
	return (uint16_t) (src[0] | src[1] << 8);
}

static inline uint32_t
get_u32(const uint8_t *src)
{
	return get_u16(src) | (uint32_t) get_u16(src + 2) << 16;
}

static inline float
get_scale(const uint8_t *src)
{
	return kernel_f16_to_f32(get_u16(src));
}

static inline bool
is_finite_scale(const uint8_t *src)
{
	return (get_u16(src) & F16_INFINITY) != F16_INFINITY;
}

/* Which NaN an operation gives depends on the machine. */
static void
unify_nans(float *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, &dst[i], sizeof(bits));
		if ((bits & 0x7fffffff) > F32_INFINITY)
		{
			bits = F32_NAN;
			memcpy(&dst[i], &bits, sizeof(bits));
		}
	}
}

/* Low nibbles are the first half of a block's elements, high ones the
 * second. */
KERNEL_CLONES
static void
decode_q4_0(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 18, dst += SMALL)
	{
		const uint8_t *q = src + 2;
		float		d = get_scale(src);

		for (int j = 0; j < SMALL / 2; j++)
		{
			dst[j] = (float) ((q[j] & 0x0f) - 8) * d;
			dst[j + SMALL / 2] = (float) ((q[j] >> 4) - 8) * d;
		}
		if (!is_finite_scale(src))
			unify_nans(dst, SMALL);
	}
}

KERNEL_CLONES
static void
decode_q4_1(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 20, dst += SMALL)
	{
		const uint8_t *q = src + 4;
		float		d = get_scale(src);
		float		m = get_scale(src + 2);

		for (int j = 0; j < SMALL / 2; j++)
		{
			dst[j] = (float) (q[j] & 0x0f) * d + m;
			dst[j + SMALL / 2] = (float) (q[j] >> 4) * d + m;
		}
		if (!is_finite_scale(src) || !is_finite_scale(src + 2))
			unify_nans(dst, SMALL);
	}
}

/* The fifth bits of all elements lie together. */
KERNEL_CLONES
static void
decode_q5_0(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 22, dst += SMALL)
	{
		const uint8_t *q = src + 6;
		uint32_t	high = get_u32(src + 2);
		float		d = get_scale(src);

		for (int j = 0; j < SMALL / 2; j++)
		{
			int			fifth0 = (int) (high >> j & 1) << 4;
			int			fifth1 = (int) (high >> (j + SMALL / 2) & 1) << 4;

			dst[j] = (float) (((q[j] & 0x0f) | fifth0) - 16) * d;
			dst[j + SMALL / 2] = (float) (((q[j] >> 4) | fifth1) - 16) * d;
		}
		if (!is_finite_scale(src))
			unify_nans(dst, SMALL);
	}
}

KERNEL_CLONES
static void
decode_q5_1(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 24, dst += SMALL)
	{
		const uint8_t *q = src + 8;
		uint32_t	high = get_u32(src + 4);
		float		d = get_scale(src);
		float		m = get_scale(src + 2);

		for (int j = 0; j < SMALL / 2; j++)
		{
			int			fifth0 = (int) (high >> j & 1) << 4;
			int			fifth1 = (int) (high >> (j + SMALL / 2) & 1) << 4;

			dst[j] = (float) ((q[j] & 0x0f) | fifth0) * d + m;
			dst[j + SMALL / 2] = (float) ((q[j] >> 4) | fifth1) * d + m;
		}
		if (!is_finite_scale(src) || !is_finite_scale(src + 2))
			unify_nans(dst, SMALL);
	}
}

KERNEL_CLONES
static void
decode_q8_0(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 34, dst += SMALL)
	{
		const int8_t *q = (const int8_t *) src + 2;
		float		d = get_scale(src);

		for (int j = 0; j < SMALL; j++)
			dst[j] = (float) q[j] * d;
		if (!is_finite_scale(src))
			unify_nans(dst, SMALL);
	}
}

/*
 * Scale and minimum of stretch j of a K block, of 6 bits each.  Those of the
 * first four lie in bytes 0-3 and 4-7; of the others, the low nibbles share
 * bytes 8-11 and the upper two bits are in what the first four leave free.
 */
static inline void
get_scale_and_min(const uint8_t *packed, int j, uint8_t *scale, uint8_t *min)
{
	if (j < 4)
	{
		*scale = packed[j] & 0x3f;
		*min = packed[j + 4] & 0x3f;
	}
	else
	{
		*scale = (packed[j + 4] & 0x0f) | (packed[j - 4] >> 6) << 4;
		*min = (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
	}
}

/* Eight stretches of 32 elements; two share the bytes of their nibbles. */
KERNEL_CLONES
static void
decode_q4_k(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 144)
	{
		const uint8_t *packed = src + 4;
		const uint8_t *q = packed + LARGE_SCALES;
		float		d = get_scale(src);
		float		dmin = get_scale(src + 2);

		for (int j = 0; j < LARGE / 32; j++, dst += 32)
		{
			uint8_t		scale;
			uint8_t		min;
			float		dj;
			float		mj;
			int			shift = j % 2 * 4;

			get_scale_and_min(packed, j, &scale, &min);
			dj = d * (float) scale;
			mj = dmin * (float) min;
			for (int l = 0; l < 32; l++)
				dst[l] = dj * (float) (q[j / 2 * 32 + l] >> shift & 0x0f) - mj;
		}
		if (!is_finite_scale(src) || !is_finite_scale(src + 2))
			unify_nans(dst - LARGE, LARGE);
	}
}

/* As Q4_K; bit j of 32 bytes is the fifth one of stretch j. */
KERNEL_CLONES
static void
decode_q5_k(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 176)
	{
		const uint8_t *packed = src + 4;
		const uint8_t *high = packed + LARGE_SCALES;
		const uint8_t *q = high + LARGE / 8;
		float		d = get_scale(src);
		float		dmin = get_scale(src + 2);

		for (int j = 0; j < LARGE / 32; j++, dst += 32)
		{
			uint8_t		scale;
			uint8_t		min;
			float		dj;
			float		mj;
			int			shift = j % 2 * 4;

			get_scale_and_min(packed, j, &scale, &min);
			dj = d * (float) scale;
			mj = dmin * (float) min;
			for (int l = 0; l < 32; l++)
				dst[l] = dj * (float) ((q[j / 2 * 32 + l] >> shift & 0x0f) |
									   (high[l] >> j & 1) << 4) - mj;
		}
		if (!is_finite_scale(src) || !is_finite_scale(src + 2))
			unify_nans(dst - LARGE, LARGE);
	}
}

/*
 * Two halves of 128 elements, in each four stretches of 32.  Stretches 0 and 1
 * have the low nibbles of 64 bytes, 2 and 3 the high ones; 32 bytes have two
 * more bits of each stretch.  A signed scale for every 16 elements.
 */
KERNEL_CLONES
static void
decode_q6_k(float *restrict dst, const uint8_t *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, src += 210)
	{
		const int8_t *scales = (const int8_t *) src + LARGE * 3 / 4;
		float		d = get_scale(src + 208);

		for (int j = 0; j < LARGE / 16; j++, dst += 16)
		{
			int			half = j / 8;
			int			stretch = j % 8 / 2;
			int			place = j % 2 * 16;
			const uint8_t *low = src + half * 64 + stretch % 2 * 32 + place;
			const uint8_t *high = src + LARGE / 2 + half * 32 + place;
			int			low_shift = stretch / 2 * 4;
			int			high_shift = stretch * 2;
			float		dj = d * (float) scales[j];

			for (int l = 0; l < 16; l++)
				dst[l] = dj * (float) (((low[l] >> low_shift & 0x0f) |
										(high[l] >> high_shift & 3) << 4) - 32);
		}
		if (!is_finite_scale(src + 208))
			unify_nans(dst - LARGE, LARGE);
	}
}

void
kernel_block_decode(KernelBlock kind, float *dst, const void *src,
					size_t blocks)
{
	static void (*const decoders[]) (float *restrict dst,
									 const uint8_t *restrict src,
									 size_t blocks) =
	{
		[KERNEL_BLOCK_Q4_0] = decode_q4_0,
		[KERNEL_BLOCK_Q4_1] = decode_q4_1,
		[KERNEL_BLOCK_Q5_0] = decode_q5_0,
		[KERNEL_BLOCK_Q5_1] = decode_q5_1,
		[KERNEL_BLOCK_Q8_0] = decode_q8_0,
		[KERNEL_BLOCK_Q4_K] = decode_q4_k,
		[KERNEL_BLOCK_Q5_K] = decode_q5_k,
		[KERNEL_BLOCK_Q6_K] = decode_q6_k,
	};

	decoders[kind] (dst, src, blocks);
}

/* ---------- encoding ---------- */

/* The largest magnitude; not finite when an element is not. */
static inline float
largest_magnitude(const float *src)
{
	uint32_t	bits[SMALL];
	uint32_t	largest = 0;
	float		magnitude;

	memcpy(bits, src, sizeof(bits));
	for (int j = 0; j < SMALL; j++)
	{
		uint32_t	each = bits[j] & 0x7fffffff;

		largest = each > largest ? each : largest;
	}
	memcpy(&magnitude, &largest, sizeof(magnitude));
	return magnitude;
}

/* Stores a scale and gives its reciprocal; false when 16 bits cannot hold the
 * scale. */
static inline bool
put_scale(uint8_t *dst, float d, float *reciprocal)
{
	uint16_t	half = kernel_f32_to_f16(d);
	uint32_t	bits;

	dst[0] = half & 0xff;
	dst[1] = half >> 8;
	*reciprocal = d != 0 ? 1.0f / d : 0;
	memcpy(&bits, reciprocal, sizeof(bits));
	if ((bits & F32_INFINITY) == F32_INFINITY)
		*reciprocal = 0;
	return (half & F16_INFINITY) != F16_INFINITY;
}

/* The first element of the largest magnitude, which is not infinite.  As
 * integers, positive floats order as they are and negative ones, unsigned, by
 * their magnitude; so mostly it is known without a search which one it is. */
static inline float
first_extreme(const float *src, float magnitude)
{
	uint32_t	wanted;
	int32_t		highest = 0;
	uint32_t	lowest = 0;
	int			first = 0;

	memcpy(&wanted, &magnitude, sizeof(wanted));
	for (int j = 0; j < SMALL; j++)
	{
		uint32_t	bits;

		memcpy(&bits, &src[j], sizeof(bits));
		highest = (int32_t) bits > highest ? (int32_t) bits : highest;
		lowest = bits > lowest ? bits : lowest;
	}
	if ((uint32_t) highest != wanted)
		return -magnitude;
	if (lowest != (wanted | 0x80000000u))
		return magnitude;
	while (src[first] != magnitude && src[first] != -magnitude)
		first++;
	return src[first];
}

KERNEL_CLONES
static bool
encode_q4_0(uint8_t *restrict dst, const float *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, dst += 18, src += SMALL)
	{
		float		largest = largest_magnitude(src);
		float		reciprocal;

		if (!isfinite(largest))
			return false;
		/* Of several with this magnitude, the first one's sign counts. */
		if (!put_scale(dst, first_extreme(src, largest) / -8, &reciprocal))
			return false;
		for (int j = 0; j < SMALL / 2; j++)
		{
			int			low = (int) (src[j] * reciprocal + 8.5f);
			int			high = (int) (src[j + SMALL / 2] * reciprocal + 8.5f);

			low = low < 15 ? low : 15;
			high = high < 15 ? high : 15;
			dst[2 + j] = (uint8_t) (low | high << 4);
		}
	}
	return true;
}

/* Halves go away from zero: twice what is left of a whole number is a whole
 * one again from a half on. */
static inline int
round_to_int(float x)
{
	int			whole = (int) x;
	float		rest = x - (float) whole;

	return whole + (int) (rest + rest);
}

KERNEL_CLONES
static bool
encode_q8_0(uint8_t *restrict dst, const float *restrict src, size_t blocks)
{
	for (; blocks > 0; blocks--, dst += 34, src += SMALL)
	{
		float		reciprocal;

		if (!put_scale(dst, largest_magnitude(src) / 127, &reciprocal))
			return false;
		for (int j = 0; j < SMALL; j++)
			dst[2 + j] = (uint8_t) round_to_int(src[j] * reciprocal);
	}
	return true;
}

bool
kernel_block_encode(KernelBlock kind, void *dst, const float *src,
					size_t blocks)
{
	if (kind == KERNEL_BLOCK_Q4_0)
		return encode_q4_0(dst, src, blocks);
	if (kind == KERNEL_BLOCK_Q8_0)
		return encode_q8_0(dst, src, blocks);
	return false;
}
