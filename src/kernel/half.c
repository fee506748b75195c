/*
 * half.c
 *		Floats of 8 and 16 bits, to and from float.
 *
 * Owns the bit layouts of IEEE half (f16), bfloat16 (bf16) and the two 8-bit
 * floats of the OCP specification (f8e4m3, the kind without infinities, and
 * f8e5m2), their two kinds with other biases and neither infinities nor -0
 * (f8e4m3fnuz, f8e5m2fnuz), and the bare exponent (f8e8m0).  Into float is
 * exact.  From float rounds to nearest even, and what is too large becomes
 * infinity; f8e4m3, which has none, saturates, as ONNX's Cast does by default
 * and torch in its recent versions, and the other three have NaN for it, as
 * torch has.
 *
 * NaN stays NaN with its sign.  The 16-bit formats keep the leading bits of
 * its payload and make it quiet, as F16C and arm64's FCVT do; the 8-bit ones
 * have it all ones, but for the fnuz kinds, whose one NaN has -0's bits.
 *
 * All of it is integer arithmetic but for scaling and aligning subnormals,
 * which is exact or rounds as the format asks, so every machine gives the
 * same bits.  Both branches of each choice are computed, so that loops over
 * these functions become vector code.
 */
#include "kernel/kernel.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define F32_INFINITY	0x7f800000u
#define F32_QUIET		0x00400000u

static inline uint32_t
float_bits(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

static inline float
bits_float(uint32_t bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static inline float
f16_to_f32(uint16_t h)
{
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	magnitude = h & 0x7fff;
	uint32_t	normal = (magnitude << 13) + ((127u - 15u) << 23);
	uint32_t	special = (magnitude << 13) | F32_INFINITY |
		(magnitude > 0x7c00 ? F32_QUIET : 0);
	uint32_t	subnormal = float_bits((float) (int32_t) magnitude * 0x1p-24f);
	uint32_t	bits;

	bits = magnitude < 0x0400 ? subnormal : normal;
	bits = magnitude >= 0x7c00 ? special : bits;
	return bits_float(sign | bits);
}

float
kernel_f16_to_f32(uint16_t h)
{
	return f16_to_f32(h);
}

KERNEL_CLONES
void
kernel_f16_to_f32_many(float *dst, const uint16_t *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = f16_to_f32(src[i]);
}

KERNEL_CLONES
void
kernel_bf16_to_f32_many(float *dst, const uint16_t *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = bits_float((uint32_t) src[i] << 16);
}

float
kernel_f8e4m3_to_f32(uint8_t b)
{
	uint32_t	sign = (uint32_t) (b & 0x80) << 24;
	uint32_t	magnitude = b & 0x7f;
	uint32_t	bits;

	if (magnitude == 0x7f)
		bits = F32_INFINITY | F32_QUIET;
	else if (magnitude < 0x08)
		bits = float_bits((float) magnitude * 0x1p-9f);
	else
		bits = (magnitude << 20) + ((127u - 7u) << 23);
	return bits_float(sign | bits);
}

/* f8e5m2 is the upper byte of an f16. */
float
kernel_f8e5m2_to_f32(uint8_t b)
{
	return f16_to_f32((uint16_t) ((uint16_t) b << 8));
}

/* The fnuz kinds, with so many bits of mantissa and such a bias. */
static inline float
fnuz_to_f32(uint8_t b, int mantissa_bits, int bias)
{
	uint32_t	sign = (uint32_t) (b & 0x80) << 24;
	uint32_t	magnitude = b & 0x7f;
	uint32_t	normal = (magnitude << (23 - mantissa_bits)) +
		((uint32_t) (127 - bias) << 23);
	float		unit = bits_float((uint32_t) (127 + 1 - bias - mantissa_bits) << 23);
	uint32_t	subnormal = float_bits((float) magnitude * unit);
	uint32_t	bits = magnitude >> mantissa_bits == 0 ? subnormal : normal;

	return bits_float(b == 0x80 ? F32_INFINITY | F32_QUIET : sign | bits);
}

float
kernel_f8e4m3fnuz_to_f32(uint8_t b)
{
	return fnuz_to_f32(b, 3, 8);
}

float
kernel_f8e5m2fnuz_to_f32(uint8_t b)
{
	return fnuz_to_f32(b, 2, 16);
}

/* The smallest power is a subnormal float. */
float
kernel_f8e8m0_to_f32(uint8_t b)
{
	uint32_t	bits = b == 0 ? 0x00400000 : (uint32_t) b << 23;

	return bits_float(b == 0xff ? bits | F32_QUIET : bits);
}

/*
 * A finite magnitude (float bits without sign) as a narrower float with so
 * many bits of mantissa and such a bias, rounded to nearest even.  The result
 * may come out above the largest finite one.
 */
static inline uint32_t
round_magnitude(uint32_t magnitude, int mantissa_bits, int bias)
{
	int			drop = 23 - mantissa_bits;
	uint32_t	smallest_normal = (uint32_t) (127 - bias + 1) << 23;

	/*
	 * Adding a power of two whose last bit weighs as much as the narrow
	 * format's last subnormal bit makes the adder round at the right place.
	 */
	uint32_t	aligner = (uint32_t) (127 - bias + 1 + drop) << 23;
	uint32_t	subnormal =
		float_bits(bits_float(magnitude) + bits_float(aligner)) - aligner;
	uint32_t	odd = (magnitude >> drop) & 1;
	uint32_t	normal =
		(magnitude - ((uint32_t) (127 - bias) << 23) +
		 ((1u << (drop - 1)) - 1) + odd) >> drop;

	return magnitude < smallest_normal ? subnormal : normal;
}

static inline uint16_t
f32_to_f16(float f)
{
	uint32_t	bits = float_bits(f);
	uint32_t	sign = (bits >> 16) & 0x8000;
	uint32_t	magnitude = bits & 0x7fffffff;
	uint32_t	half = round_magnitude(magnitude, 10, 15);
	uint32_t	nan = 0x7e00 | ((magnitude >> 13) & 0x01ff);

	half = magnitude >= (127u + 16u) << 23 ? 0x7c00 : half;
	half = magnitude > F32_INFINITY ? nan : half;
	return (uint16_t) (sign | half);
}

static inline uint16_t
f32_to_bf16(float f)
{
	uint32_t	bits = float_bits(f);

	uint32_t	nan = (bits >> 16) | 0x0040;
	uint32_t	rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;

	return (uint16_t) ((bits & 0x7fffffff) > F32_INFINITY ? nan : rounded);
}

static inline uint8_t
f32_to_f8e4m3(float f)
{
	uint32_t	bits = float_bits(f);
	uint32_t	sign = (bits >> 24) & 0x80;
	uint32_t	magnitude = bits & 0x7fffffff;
	uint32_t	narrow = round_magnitude(magnitude, 3, 7);

	narrow = magnitude >= 0x43e00000 ? 0x7e : narrow;	/* 448, the largest */
	narrow = magnitude > F32_INFINITY ? 0x7f : narrow;
	return (uint8_t) (sign | narrow);
}

static inline uint8_t
f32_to_f8e5m2(float f)
{
	uint32_t	bits = float_bits(f);
	uint32_t	sign = (bits >> 24) & 0x80;
	uint32_t	magnitude = bits & 0x7fffffff;
	uint32_t	narrow = round_magnitude(magnitude, 2, 15);

	narrow = magnitude >= (127u + 16u) << 23 ? 0x7c : narrow;
	narrow = magnitude > F32_INFINITY ? 0x7f : narrow;
	return (uint8_t) (sign | narrow);
}

#define DEFINE_FROM_FLOAT(name, ctype) \
ctype \
kernel_f32_to_##name(float f) \
{ \
	return f32_to_##name(f); \
} \
\
KERNEL_CLONES \
void \
kernel_f32_to_##name##_many(ctype *dst, const float *src, size_t n) \
{ \
	for (size_t i = 0; i < n; i++) \
		dst[i] = f32_to_##name(src[i]); \
}

DEFINE_FROM_FLOAT(bf16, uint16_t)
DEFINE_FROM_FLOAT(f8e4m3, uint8_t)
DEFINE_FROM_FLOAT(f8e5m2, uint8_t)

/* ---------- f16, by the machine's own instruction where there is one ---------- */

uint16_t
kernel_f32_to_f16(float f)
{
	return f32_to_f16(f);
}

KERNEL_CLONES
static void
f32_to_f16_plain(uint16_t *dst, const float *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = f32_to_f16(src[i]);
}

#if defined(__x86_64__) && !defined(KERNEL_NO_CLONES)
/* It rounds to nearest even, and makes of a NaN what we do. */
__attribute__((target("f16c,avx")))
static void
f32_to_f16_f16c(uint16_t *dst, const float *src, size_t n)
{
	size_t		i;

	for (i = 0; i + 8 <= n; i += 8)
		_mm_storeu_si128((__m128i *) (dst + i),
						 _mm256_cvtps_ph(_mm256_loadu_ps(src + i),
										 _MM_FROUND_TO_NEAREST_INT));
	for (; i < n; i++)
		dst[i] = f32_to_f16(src[i]);
}

/* Not every compiler can be asked by the feature's name. */
static bool
has_f16c(void)
{
	static int	known = -1;
	unsigned	a,
				b,
				c,
				d;

	if (known < 0)
		known = __builtin_cpu_supports("avx") &&
			__get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
	return known;
}
#endif

void
kernel_f32_to_f16_many(uint16_t *dst, const float *src, size_t n)
{
#if defined(__x86_64__) && !defined(KERNEL_NO_CLONES)
	if (has_f16c())
	{
		f32_to_f16_f16c(dst, src, n);
		return;
	}
#endif
	f32_to_f16_plain(dst, src, n);
}

/* What is not finite rounds to something too large, as what is. */
static inline uint8_t
f32_to_fnuz(float f, int mantissa_bits, int bias)
{
	uint32_t	bits = float_bits(f);
	uint32_t	sign = (bits >> 24) & 0x80;
	uint32_t	narrow = round_magnitude(bits & 0x7fffffff, mantissa_bits, bias);
	uint32_t	code = narrow == 0 ? 0 : sign | narrow;

	return (uint8_t) (narrow > 0x7f ? 0x80 : code);
}

uint8_t
kernel_f32_to_f8e4m3fnuz(float f)
{
	return f32_to_fnuz(f, 3, 8);
}

uint8_t
kernel_f32_to_f8e5m2fnuz(float f)
{
	return f32_to_fnuz(f, 2, 16);
}

/*
 * Halfway between two powers it is the larger one, since the even mantissa of
 * 1.1 in binary is 10.  Between the two smallest there is no halfway in torch
 * and ml_dtypes: all that is above the smallest becomes the other one.
 */
uint8_t
kernel_f32_to_f8e8m0(float f)
{
	uint32_t	magnitude = float_bits(f) & 0x7fffffff;
	uint32_t	is_smallest = magnitude <= 0x00400000;
	uint32_t	rounded = (magnitude + 0x00400000 - is_smallest) >> 23;

	return (uint8_t) (magnitude >= F32_INFINITY ? 0xff : rounded);
}
