/*
 * test_half.c
 *		Floats of 8 and 16 bits: every pattern into float, and back the values,
 *		the middles between neighbours, and random floats.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <string.h>

/* What codes stand for beside numbers of either sign. */
typedef enum Kind
{
	IEEE,						/* infinities and NaNs */
	FN,							/* one NaN and no more */
	FNUZ,						/* likewise, where -0 would be */
	POWER,						/* powers of two without a sign, and a NaN */
} Kind;

typedef struct Format
{
	const char *name;
	int			bits;
	int			mantissa;		/* bits of it */
	int			bias;
	Kind		kind;
	unsigned	largest;		/* code of the largest finite value */
	unsigned	too_large;		/* code of what is larger */
	float		(*to_float) (unsigned code);
	unsigned	(*from_float) (float f);
} Format;

static float
bf16_to_f32(uint16_t h)
{
	float		f;

	kernel_bf16_to_f32_many(&f, &h, 1);
	return f;
}

#define WRAP(name, type) \
static float \
name##_to(unsigned code) \
{ \
	return NAME_TO(name) ((type) code); \
} \
static unsigned \
name##_from(float f) \
{ \
	return kernel_f32_to_##name(f); \
}
#define NAME_TO(name) name##_to_f32
#define f16_to_f32 kernel_f16_to_f32
#define f8e4m3_to_f32 kernel_f8e4m3_to_f32
#define f8e5m2_to_f32 kernel_f8e5m2_to_f32
#define f8e4m3fnuz_to_f32 kernel_f8e4m3fnuz_to_f32
#define f8e5m2fnuz_to_f32 kernel_f8e5m2fnuz_to_f32
#define f8e8m0_to_f32 kernel_f8e8m0_to_f32

WRAP(f16, uint16_t)
WRAP(bf16, uint16_t)
WRAP(f8e4m3, uint8_t)
WRAP(f8e5m2, uint8_t)
WRAP(f8e4m3fnuz, uint8_t)
WRAP(f8e5m2fnuz, uint8_t)
WRAP(f8e8m0, uint8_t)

static const Format formats[] = {
	{"f16", 16, 10, 15, IEEE, 0x7bff, 0x7c00, f16_to, f16_from},
	{"bf16", 16, 7, 127, IEEE, 0x7f7f, 0x7f80, bf16_to, bf16_from},
	{"f8e4m3", 8, 3, 7, FN, 0x7e, 0x7e, f8e4m3_to, f8e4m3_from},
	{"f8e5m2", 8, 2, 15, IEEE, 0x7b, 0x7c, f8e5m2_to, f8e5m2_from},
	{"f8e4m3fnuz", 8, 3, 8, FNUZ, 0x7f, 0x80, f8e4m3fnuz_to, f8e4m3fnuz_from},
	{"f8e5m2fnuz", 8, 2, 16, FNUZ, 0x7f, 0x80, f8e5m2fnuz_to, f8e5m2fnuz_from},
	{"f8e8m0", 8, 0, 127, POWER, 0xfe, 0xff, f8e8m0_to, f8e8m0_from},
};

static unsigned
sign_of(const Format *format)
{
	return format->kind == POWER ? 0 : 1u << (format->bits - 1);
}

/* The code of what a code stands for with another sign, if it has one. */
static unsigned
negative(const Format *format, unsigned code)
{
	return format->kind == FNUZ && code == 0 ? 0 : code | sign_of(format);
}

/* What a code without its sign stands for, by arithmetic. */
static double
value_of(const Format *format, unsigned code)
{
	int			exponent = (int) (code >> format->mantissa);
	double		mantissa = code & ((1u << format->mantissa) - 1);

	if (format->kind == POWER)
		return ldexp(1, (int) code - format->bias);
	if (exponent == 0)
		return ldexp(mantissa, 1 - format->bias - format->mantissa);
	return ldexp(mantissa + (1 << format->mantissa),
				 exponent - format->bias - format->mantissa);
}

/* A NaN keeps its sign, if it has one, and the bits of its mantissa; it becomes
 * a quiet one, but for a bf16's, whose bits stay as they are. */
static bool
is_right_nan(const Format *format, unsigned code, float f)
{
	unsigned	sign = format->kind == FNUZ ? 0 : sign_of(format);
	uint32_t	mantissa = code & ((1u << format->mantissa) - 1);
	uint32_t	wanted = mantissa << (23 - format->mantissa);
	uint32_t	bits;

	if (format->kind != IEEE)
		wanted = 0;
	if (format->bias != 127 || format->kind == POWER)
		wanted |= 0x00400000;
	memcpy(&bits, &f, sizeof(bits));
	return bits == (wanted | 0x7f800000 | (code & sign ? 0x80000000 : 0));
}

static bool
into_float(const Format *format)
{
	unsigned	sign = sign_of(format);
	bool		good = true;

	for (unsigned code = 0; code < 1u << format->bits; code++)
	{
		float		f = format->to_float(code);
		unsigned	magnitude = code & ~sign;
		double		with_sign = code & sign ? -1 : 1;
		bool		right;

		if (format->kind == FNUZ && code == 0x80)
			right = is_right_nan(format, code, f);
		else if (magnitude <= format->largest)
			right = f == with_sign * value_of(format, magnitude) &&
				(signbit(f) != 0) == (with_sign < 0);
		else if (format->kind == IEEE && magnitude == format->too_large)
			right = f == with_sign * INFINITY;
		else
			right = is_right_nan(format, code, f);
		if (!right)
			note("%x is not %g; ", code, (double) f);
		good &= right;
		digest(&f, sizeof(f));
	}
	return good;
}

/* The nearest code without sign of a finite float, the even one of two.  Of
 * powers it is the larger one of two, as 2 has more zeros at the end than 1 in
 * a mantissa of one bit, and the second one of what is between the first two,
 * as in torch and ml_dtypes. */
static unsigned
nearest(const Format *format, float f)
{
	double		x = fabs((double) f);
	unsigned	low = 0;
	unsigned	high = format->largest + 1;	/* beyond it: too large */
	double		below,
				above;

	while (high - low > 1)
	{
		unsigned	middle = (low + high) / 2;

		if (value_of(format, middle) <= x)
			low = middle;
		else
			high = middle;
	}
	below = x - value_of(format, low);
	above = value_of(format, high) - x;
	if (format->kind == POWER)
		low = below > 0 && (above <= below || low == 0) ? high : low;
	else if (above < below || (above == below && high % 2 == 0))
		low = high;
	return low > format->largest ? format->too_large : low;
}

static bool
rounds(const Format *format, float f)
{
	unsigned	wanted = nearest(format, f);
	bool		good = format->from_float(f) == wanted &&
		format->from_float(-f) == negative(format, wanted);

	if (!good)
		note("%a becomes %x, not %x; ", (double) f, format->from_float(f),
			 wanted);
	return good;
}

/* Zero, every value, the middle to the next, and the floats beside these. */
static bool
values_and_middles(const Format *format)
{
	bool		good = rounds(format, 0);

	for (unsigned code = 0; code <= format->largest; code++)
	{
		double		value = value_of(format, code);
		float		middle = (float) ((value + value_of(format, code + 1)) / 2);

		good &= format->from_float((float) value) == code;
		good &= rounds(format, nextafterf((float) value, 0));
		good &= rounds(format, nextafterf((float) value, INFINITY));
		good &= rounds(format, middle);
		good &= rounds(format, nextafterf(middle, 0));
		good &= rounds(format, nextafterf(middle, INFINITY));
	}
	return good;
}

static bool
random_floats(const Format *format)
{
	bool		good = true;

	for (int i = 0; i < 300000; i++)
	{
		uint32_t	bits = (uint32_t) (draw() >> 33);
		float		f;

		/* Half of them near the format's own range. */
		if (i % 2 == 0)
			bits = (bits & 0x0fffffff) + (i % 4 ? 0x38000000 : 0x30000000);
		memcpy(&f, &bits, sizeof(f));
		if (isfinite(f))
			good &= rounds(format, f);
	}
	return good;
}

static bool
what_is_not_finite(const Format *format)
{
	bool		good = true;

	good &= format->from_float(INFINITY) == format->too_large;
	good &= format->from_float(-INFINITY) == negative(format, format->too_large);
	for (uint32_t bits = 0x7f800001; bits < 0x80000000; bits += 4093)
	{
		uint32_t	signed_bits = bits | 0x80000000;
		uint32_t	leading = bits & 0x007fffff;
		float		f;
		unsigned	code;
		unsigned	wanted = 0x7f;

		memcpy(&f, &bits, sizeof(f));
		code = format->from_float(f);
		if (format->bits == 16)
			wanted = format->too_large | 1u << (format->mantissa - 1) |
				leading >> (23 - format->mantissa);
		else if (format->kind >= FNUZ)
			wanted = format->too_large;
		good &= code == wanted;
		memcpy(&f, &signed_bits, sizeof(f));
		good &= format->from_float(f) == negative(format, wanted);
		good &= isnan(format->to_float(code)) != 0;
	}
	return good;
}

/* Loops over many against one at a time. */
static bool
many(void (*convert) (float *, const uint16_t *, size_t),
	 float (*one) (unsigned))
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (size_t offset = 0; offset < 8; offset += 2)
		{
			size_t		n = lengths[i];
			uint16_t   *src = buffer(n * 2, offset);
			float	   *dst = buffer(n * 4, offset * 2);

			convert(dst, src, n);
			for (size_t j = 0; j < n; j++)
			{
				float		f = one(src[j]);

				good &= same(&f, dst + j, sizeof(f));
			}
			free_buffers();
		}
	return good;
}

static bool
all_patterns(void (*convert) (float *, const uint16_t *, size_t),
			 float (*one) (unsigned))
{
	static uint16_t src[65536];
	static float dst[65536];
	bool		good = true;

	for (unsigned i = 0; i < 65536; i++)
		src[i] = (uint16_t) i;
	convert(dst, src, 65536);
	for (unsigned i = 0; i < 65536; i++)
	{
		float		f = one(i);

		good &= same(&f, dst + i, sizeof(f));
	}
	digest(dst, sizeof(dst));
	return good;
}

/* From float, many at once: floats of every kind. */
#define DEFINE_MANY_FROM(name, type) \
static bool \
many_##name(void) \
{ \
	bool		good = true; \
\
	for (int i = 0; i < nlengths; i++) \
	{ \
		size_t		n = lengths[i]; \
		float	   *src = buffer(n * 4, 4); \
		type	   *dst = buffer(n * sizeof(type), sizeof(type)); \
\
		fill_floats(src, n, true); \
		kernel_f32_to_##name##_many(dst, src, n); \
		for (size_t j = 0; j < n; j++) \
			good &= dst[j] == kernel_f32_to_##name(src[j]); \
		digest(dst, n * sizeof(type)); \
		free_buffers(); \
	} \
	return good; \
}

DEFINE_MANY_FROM(f16, uint16_t)
DEFINE_MANY_FROM(bf16, uint16_t)
DEFINE_MANY_FROM(f8e4m3, uint8_t)
DEFINE_MANY_FROM(f8e5m2, uint8_t)

/* A bfloat16 is the upper half of a float; so every NaN keeps its bits. */
static float
bf16_by_bits(unsigned code)
{
	uint32_t	bits = code << 16;
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

#ifdef __FLT16_MANT_DIG__
/* The compiler's own half is a second opinion. */
static bool
compilers_half(void)
{
	bool		good = true;

	for (unsigned i = 0; i < 65536; i++)
	{
		uint16_t	bits = (uint16_t) i;
		_Float16	half;
		float		f;

		memcpy(&half, &bits, sizeof(half));
		f = (float) half;
		if (!isnan(f))
			good &= kernel_f16_to_f32(bits) == f;
	}
	for (int i = 0; i < 300000; i++)
	{
		uint32_t	bits = (uint32_t) (draw() >> 32);
		uint16_t	wanted;
		_Float16	half;
		float		f;

		if (i % 2 == 0)
			bits = (bits & 0x8fffffff) + 0x38000000;
		memcpy(&f, &bits, sizeof(f));
		half = (_Float16) f;
		memcpy(&wanted, &half, sizeof(wanted));
		if (!isnan(f))
			good &= kernel_f32_to_f16(f) == wanted;
	}
	return good;
}
#endif

void
test_half(void)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
	{
		const Format *format = &formats[i];

		ok(into_float(format), "half: every %s into float", format->name);
		ok(values_and_middles(format),
		   "half: into %s, values and the middles between them", format->name);
		ok(random_floats(format), "half: random floats into %s", format->name);
		ok(what_is_not_finite(format), "half: NaN and infinities into %s",
		   format->name);
	}
	ok(many(kernel_f16_to_f32_many, f16_to), "half: f16, many at once");
	ok(many(kernel_bf16_to_f32_many, bf16_by_bits), "half: bf16, many at once");
	ok(many_f16() && many_bf16() && many_f8e4m3() && many_f8e5m2(),
	   "half: from float, many at once");
	ok(all_patterns(kernel_f16_to_f32_many, f16_to), "half: f16, all at once");
	ok(all_patterns(kernel_bf16_to_f32_many, bf16_by_bits),
	   "half: bf16, all at once");
#ifdef __FLT16_MANT_DIG__
	ok(compilers_half(), "half: f16 as the compiler's _Float16");
#else
	ok(true, "half: f16 as the compiler's _Float16 # SKIP it has none");
#endif
}
