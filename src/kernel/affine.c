/*
 * affine.c
 *		Ranges of floats, and small integers that stand for them.
 *
 * An integer stands for (integer - zero) * scale, in float with one rounding.
 * The rules for choosing it differ between the tools that models are quantized
 * with, and each is computed here operation by operation as the tool has it, so
 * that the same floats and scales give the same integers.
 */
#include "kernel/kernel.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* ---------- ranges ---------- */

INLINE int32_t
bits_of(float x)
{
	int32_t		bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

/*
 * As integers, floats order like sign and magnitude; turning the magnitude of
 * negative ones around makes them order like integers, NaNs at both ends.
 */
INLINE int32_t
turn(int32_t bits)
{
	return bits ^ ((bits >> 31) & INT32_MAX);
}

INLINE int32_t
key_of(float x)
{
	return turn(bits_of(x));
}

INLINE float
of_key(int32_t key)
{
	float		x;

	key = turn(key);
	memcpy(&x, &key, sizeof(x));
	return x;
}

KERNEL_CLONES
void
kernel_range(const float *x, size_t n, float *min, float *max)
{
	int32_t		least = key_of(*min);
	int32_t		greatest = key_of(*max);

	for (size_t i = 0; i < n; i++)
	{
		int32_t		key = key_of(x[i]);

		least = key < least ? key : least;
		greatest = key > greatest ? key : greatest;
	}
	*min = of_key(least);
	*max = of_key(greatest);
}

KERNEL_CLONES
void
kernel_range_each(const float *restrict x, size_t n, float *restrict mins,
				  float *restrict maxs)
{
	for (size_t i = 0; i < n; i++)
	{
		int32_t		key = key_of(x[i]);
		int32_t		least = key_of(mins[i]);
		int32_t		greatest = key_of(maxs[i]);

		mins[i] = of_key(key < least ? key : least);
		maxs[i] = of_key(key > greatest ? key : greatest);
	}
}

/* ---------- rounding ---------- */

/* Adding 1.5 * 2^23 leaves no room for a fraction, and the adder rounds halves to
 * the even integer, which is then in the low bits.  Further bits order like the
 * numbers do that are no such integers, down to negative ones. */
#define WHOLE 12582912.0f
#define WHOLE_BITS 0x4b400000

INLINE int32_t
between(int32_t x, int32_t low, int32_t high)
{
	x = x > low ? x : low;
	return x < high ? x : high;
}

INLINE float
within(float x, float low, float high)
{
	x = x > low ? x : low;
	return x < high ? x : high;
}

/* Halves go away from zero: twice what is left of a whole number is a whole
 * one again from a half on.  All of it is exact. */
INLINE float
round_away(float x)
{
	int32_t		whole = (int32_t) x;
	float		rest = x - (float) whole;

	return (float) (whole + (int32_t) (rest + rest));
}

/* The reciprocal of a scale, 0 for one that has none. */
INLINE float
reciprocal(float scale)
{
	float		r = 1.0f / scale;

	return r - r == 0 ? r : 0;
}

/* What rounds to less than the lowest code is that one, and so on; before
 * rounding away there is room for what rounding may add. */
INLINE int32_t
code(KernelAffineRule rule, float x, float scale, float inverse, float zero,
	 int low, int high)
{
	int32_t		origin = WHOLE_BITS - (int32_t) zero;

	if (rule == KERNEL_AFFINE_AWAY)
		return (int32_t) within(round_away(within(x * inverse + zero, (float) low - 1,
												  (float) high + 1)),
								(float) low, (float) high);
	x = rule == KERNEL_AFFINE_DIVIDE ? x / scale : x * inverse;
	return between(bits_of(x + WHOLE), origin + low, origin + high) - origin;
}

/* ---------- encoding ---------- */

/* A function for each rule and width of the codes: constants in the loop. */
#define DEFINE_ENCODE(name, rule, ctype) \
KERNEL_CLONES \
static void \
name(ctype *restrict dst, const float *restrict x, size_t n, \
	 const float *restrict scales, const float *restrict zeros, int step, \
	 int low, int high) \
{ \
	if (step == 0) \
	{ \
		float		scale = scales[0]; \
		float		inverse = reciprocal(scale); \
		float		zero = zeros[0]; \
\
		for (size_t i = 0; i < n; i++) \
			dst[i] = (ctype) code(rule, x[i], scale, inverse, zero, low, high); \
	} \
	else \
		for (size_t i = 0; i < n; i++) \
			dst[i] = (ctype) code(rule, x[i], scales[i], \
								  reciprocal(scales[i]), zeros[i], low, high); \
}

DEFINE_ENCODE(divide8, KERNEL_AFFINE_DIVIDE, int8_t)
DEFINE_ENCODE(multiply8, KERNEL_AFFINE_MULTIPLY, int8_t)
DEFINE_ENCODE(away8, KERNEL_AFFINE_AWAY, int8_t)
DEFINE_ENCODE(divide16, KERNEL_AFFINE_DIVIDE, int16_t)

/* ---------- quotients without dividing ---------- */

/*
 * Dividing takes longer than all the rest.  A product with the reciprocal is off
 * a quotient below 256 by less than 3/4 of 2^-14, and rounding it to that unit
 * by as much as 1/2: so they round to the same integer unless the product is
 * within two units of the middle of two, which is one in 4000.  A block that has
 * such an element is divided after all.
 */
#define FRACTION_BITS 14
#define HALF ((1 << FRACTION_BITS) / 2)
#define DOUBT 2
#define DOUBT_MASK ((1 << FRACTION_BITS) - 2 * DOUBT)
#define FRACTION 768.0f			/* adding it leaves that many bits */
#define FRACTION_PLACE 0x44400000
#define DIVIDE_BLOCK 128

/* The reciprocal has all its bits, and quotients of codes are below 256. */
static bool
can_multiply(float scale, float zero, int low, int high)
{
	float		inverse = fabsf(reciprocal(scale));

	return inverse >= FLT_MIN && high - low < 256 && zero >= (float) low &&
		zero <= (float) high;
}

/* Codes of a block; whether they are those that dividing gives. */
INLINE bool
multiply_block(int8_t *restrict dst, const float *restrict x, float inverse,
			   int zero, int low, int high)
{
	const int32_t shift = HALF + DOUBT + zero * (1 << FRACTION_BITS);
	const int32_t lowest = FRACTION_PLACE + low * (1 << FRACTION_BITS);
	const int32_t highest = FRACTION_PLACE + high * (1 << FRACTION_BITS);
	int32_t		surest = INT32_MAX;

	for (int i = 0; i < DIVIDE_BLOCK; i++)
	{
		int32_t		place = bits_of(x[i] * inverse + FRACTION) + shift;
		int32_t		sure = place & DOUBT_MASK;

		surest = sure < surest ? sure : surest;
		dst[i] = (int8_t) (between(place, lowest, highest) >> FRACTION_BITS);
	}
	return surest != 0;
}

KERNEL_CLONES
static void
quotients8(int8_t *restrict dst, const float *restrict x, size_t n,
		   const float *scale, const float *zero, int low, int high)
{
	const float inverse = reciprocal(*scale);
	size_t		i;

	for (i = 0; i + DIVIDE_BLOCK <= n; i += DIVIDE_BLOCK)
	{
		if (!multiply_block(dst + i, x + i, inverse, (int) *zero, low, high))
			divide8(dst + i, x + i, DIVIDE_BLOCK, scale, zero, 0, low, high);
	}
	divide8(dst + i, x + i, n - i, scale, zero, 0, low, high);
}

void
kernel_affine_encode(KernelAffineRule rule, void *dst, int width,
					 const float *x, size_t n, const float *scales,
					 const float *zeros, int step, int low, int high)
{
	if (width == 2)
		divide16(dst, x, n, scales, zeros, step, low, high);
	else if (rule == KERNEL_AFFINE_MULTIPLY)
		multiply8(dst, x, n, scales, zeros, step, low, high);
	else if (rule == KERNEL_AFFINE_AWAY)
		away8(dst, x, n, scales, zeros, step, low, high);
	else if (step == 0 && n > 0 && can_multiply(*scales, *zeros, low, high))
		quotients8(dst, x, n, scales, zeros, low, high);
	else
		divide8(dst, x, n, scales, zeros, step, low, high);
}

KERNEL_CLONES
void
kernel_pack_nibbles(uint8_t *restrict dst, const uint8_t *restrict codes,
					size_t n)
{
	for (size_t i = 0; i < n / 2; i++)
		dst[i] = (uint8_t) ((codes[2 * i] & 0x0f) | codes[2 * i + 1] << 4);
	if (n % 2 != 0)
		dst[n / 2] = codes[n - 1] & 0x0f;
}

KERNEL_CLONES
void
kernel_flip(uint8_t *codes, size_t n, uint8_t mask)
{
	for (size_t i = 0; i < n; i++)
		codes[i] ^= mask;
}

/* ---------- decoding ---------- */

KERNEL_CLONES
void
kernel_nibbles_to_f32(float *restrict dst, const uint8_t *restrict src,
					  size_t n, bool is_signed)
{
	int			sign = is_signed ? 8 : 0;

	for (size_t i = 0; i < n / 2; i++)
	{
		dst[2 * i] = (float) (((src[i] & 0x0f) ^ sign) - sign);
		dst[2 * i + 1] = (float) (((src[i] >> 4) ^ sign) - sign);
	}
	if (n % 2 != 0)
		dst[n - 1] = (float) (((src[n / 2] & 0x0f) ^ sign) - sign);
}

KERNEL_CLONES
void
kernel_affine_decode(float *restrict x, size_t n,
					 const float *restrict scales,
					 const float *restrict zeros, int step)
{
	if (step == 0)
	{
		float		scale = scales[0];
		float		zero = zeros == NULL ? 0 : zeros[0];

		for (size_t i = 0; i < n; i++)
			x[i] = (x[i] - zero) * scale;
	}
	else if (zeros == NULL)
		for (size_t i = 0; i < n; i++)
			x[i] *= scales[i];
	else
		for (size_t i = 0; i < n; i++)
			x[i] = (x[i] - zeros[i]) * scales[i];
}
