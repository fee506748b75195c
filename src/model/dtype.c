/*
 * dtype.c
 *		Element types: their names and sizes, and conversion to and from
 *		floating point.
 *
 * Owns the list of types.  Elements are little endian, as they lie in the
 * flat form, and aligned to their width.  Does not know of tensors.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "model/model.h"

#ifdef WORDS_BIGENDIAN
#error "elements are used as they are stored, in little endian"
#endif

/* Indexed by DType. */
static const DTypeInfo dtypes[] = {
	[DTYPE_F64] = {"f64", 64, DTYPE_KIND_FLOAT},
	[DTYPE_F32] = {"f32", 32, DTYPE_KIND_FLOAT},
	[DTYPE_F16] = {"f16", 16, DTYPE_KIND_FLOAT},
	[DTYPE_BF16] = {"bf16", 16, DTYPE_KIND_FLOAT},
	[DTYPE_F8E4M3] = {"f8e4m3", 8, DTYPE_KIND_FLOAT},
	[DTYPE_F8E5M2] = {"f8e5m2", 8, DTYPE_KIND_FLOAT},
	[DTYPE_I64] = {"i64", 64, DTYPE_KIND_SIGNED},
	[DTYPE_I32] = {"i32", 32, DTYPE_KIND_SIGNED},
	[DTYPE_I16] = {"i16", 16, DTYPE_KIND_SIGNED},
	[DTYPE_I8] = {"i8", 8, DTYPE_KIND_SIGNED},
	[DTYPE_U64] = {"u64", 64, DTYPE_KIND_UNSIGNED},
	[DTYPE_U32] = {"u32", 32, DTYPE_KIND_UNSIGNED},
	[DTYPE_U16] = {"u16", 16, DTYPE_KIND_UNSIGNED},
	[DTYPE_U8] = {"u8", 8, DTYPE_KIND_UNSIGNED},
	[DTYPE_BOOL] = {"bool", 8, DTYPE_KIND_BOOL},
	[DTYPE_I4] = {"i4", 4, DTYPE_KIND_SIGNED},
	[DTYPE_U4] = {"u4", 4, DTYPE_KIND_UNSIGNED},
	[DTYPE_F8E4M3FNUZ] = {"f8e4m3fnuz", 8, DTYPE_KIND_FLOAT},
	[DTYPE_F8E5M2FNUZ] = {"f8e5m2fnuz", 8, DTYPE_KIND_FLOAT},
	[DTYPE_F8E8M0] = {"f8e8m0", 8, DTYPE_KIND_POWER},
};

const DTypeInfo *
dtype_info(int dtype)
{
	if (dtype <= DTYPE_INVALID || dtype >= (int) lengthof(dtypes))
		return NULL;
	return &dtypes[dtype];
}

const char *
dtype_name(DType dtype)
{
	return dtypes[dtype].name;
}

int
dtype_bits(DType dtype)
{
	return dtypes[dtype].bits;
}

bool
dtype_is_float(DType dtype)
{
	return dtypes[dtype].kind == DTYPE_KIND_FLOAT;
}

bool
dtype_has_zero(DType dtype)
{
	return dtypes[dtype].kind != DTYPE_KIND_POWER;
}

bool
dtype_has_negative_zero(DType dtype)
{
	return dtype_is_float(dtype) && dtype != DTYPE_F8E4M3FNUZ &&
		dtype != DTYPE_F8E5M2FNUZ;
}

uint64
dtype_bytes(DType dtype, int64 count)
{
	int			bits = dtypes[dtype].bits;

	if (bits < 8)
		return ((uint64) count * bits + 7) / 8;
	return (uint64) count * (bits / 8);
}

/*
 * ---------- conversions ----------
 *
 * Three functions for each type, and a table of them.
 */

typedef void (*ToDouble) (const void *src, int64 first, int64 n, double *dst);
typedef void (*ToFloat) (const void *src, int64 first, int64 n, float *dst);

/* The values are known to fit. */
typedef void (*FromFloat) (const float *src, int64 n, void *dst);

/* Types that C converts by itself. */
#define DEFINE_CONVERSIONS(name, ctype) \
static void \
name##_to_double(const void *src, int64 first, int64 n, double *dst) \
{ \
	const ctype *elements = (const ctype *) src + first; \
\
	for (int64 i = 0; i < n; i++) \
		dst[i] = (double) elements[i]; \
} \
\
static void \
name##_to_float(const void *src, int64 first, int64 n, float *dst) \
{ \
	const ctype *elements = (const ctype *) src + first; \
\
	for (int64 i = 0; i < n; i++) \
		dst[i] = (float) elements[i]; \
} \
\
static void \
name##_from_float(const float *src, int64 n, void *dst) \
{ \
	ctype	   *elements = dst; \
\
	for (int64 i = 0; i < n; i++) \
		elements[i] = (ctype) src[i]; \
}

DEFINE_CONVERSIONS(f64, double)
DEFINE_CONVERSIONS(f32, float)
DEFINE_CONVERSIONS(i64, int64)
DEFINE_CONVERSIONS(i32, int32)
DEFINE_CONVERSIONS(i16, int16)
DEFINE_CONVERSIONS(i8, int8)
DEFINE_CONVERSIONS(u64, uint64)
DEFINE_CONVERSIONS(u32, uint32)
DEFINE_CONVERSIONS(u16, uint16)
DEFINE_CONVERSIONS(u8, uint8)

/* Elements converted to double by way of float, at once. */
#define STAGE 1024

static void
by_way_of_float(ToFloat to_float, const void *src, int64 first, int64 n,
				double *dst)
{
	float		stage[STAGE];

	for (int64 done = 0; done < n; done += STAGE)
	{
		int64		m = Min(n - done, STAGE);

		to_float(src, first + done, m, stage);
		for (int64 i = 0; i < m; i++)
			dst[done + i] = stage[i];
	}
}

/* Floats that C does not know. */
static void
f16_to_float(const void *src, int64 first, int64 n, float *dst)
{
	kernel_f16_to_f32_many(dst, (const uint16 *) src + first, n);
}

static void
f16_to_double(const void *src, int64 first, int64 n, double *dst)
{
	by_way_of_float(f16_to_float, src, first, n, dst);
}

static void
f16_from_float(const float *src, int64 n, void *dst)
{
	kernel_f32_to_f16_many(dst, src, n);
}

static void
bf16_to_float(const void *src, int64 first, int64 n, float *dst)
{
	kernel_bf16_to_f32_many(dst, (const uint16 *) src + first, n);
}

static void
bf16_to_double(const void *src, int64 first, int64 n, double *dst)
{
	by_way_of_float(bf16_to_float, src, first, n, dst);
}

static void
bf16_from_float(const float *src, int64 n, void *dst)
{
	kernel_f32_to_bf16_many(dst, src, n);
}

static void
f8e4m3_to_float(const void *src, int64 first, int64 n, float *dst)
{
	const uint8 *elements = (const uint8 *) src + first;

	for (int64 i = 0; i < n; i++)
		dst[i] = kernel_f8e4m3_to_f32(elements[i]);
}

static void
f8e4m3_to_double(const void *src, int64 first, int64 n, double *dst)
{
	by_way_of_float(f8e4m3_to_float, src, first, n, dst);
}

static void
f8e4m3_from_float(const float *src, int64 n, void *dst)
{
	kernel_f32_to_f8e4m3_many(dst, src, n);
}

static void
f8e5m2_to_float(const void *src, int64 first, int64 n, float *dst)
{
	const uint8 *elements = (const uint8 *) src + first;

	for (int64 i = 0; i < n; i++)
		dst[i] = kernel_f8e5m2_to_f32(elements[i]);
}

static void
f8e5m2_to_double(const void *src, int64 first, int64 n, double *dst)
{
	by_way_of_float(f8e5m2_to_float, src, first, n, dst);
}

static void
f8e5m2_from_float(const float *src, int64 n, void *dst)
{
	kernel_f32_to_f8e5m2_many(dst, src, n);
}

/* Those of 8 bits that came later. */
#define DEFINE_F8_CONVERSIONS(name) \
static void \
name##_to_float(const void *src, int64 first, int64 n, float *dst) \
{ \
	const uint8 *elements = (const uint8 *) src + first; \
\
	for (int64 i = 0; i < n; i++) \
		dst[i] = kernel_##name##_to_f32(elements[i]); \
} \
\
static void \
name##_to_double(const void *src, int64 first, int64 n, double *dst) \
{ \
	by_way_of_float(name##_to_float, src, first, n, dst); \
} \
\
static void \
name##_from_float(const float *src, int64 n, void *dst) \
{ \
	uint8	   *elements = dst; \
\
	for (int64 i = 0; i < n; i++) \
		elements[i] = kernel_f32_to_##name(src[i]); \
}

DEFINE_F8_CONVERSIONS(f8e4m3fnuz)
DEFINE_F8_CONVERSIONS(f8e5m2fnuz)
DEFINE_F8_CONVERSIONS(f8e8m0)

/* Integers of half a byte; first is even. */
static void
i4_to_float(const void *src, int64 first, int64 n, float *dst)
{
	kernel_nibbles_to_f32(dst, (const uint8 *) src + first / 2, n, true);
}

static void
i4_to_double(const void *src, int64 first, int64 n, double *dst)
{
	by_way_of_float(i4_to_float, src, first, n, dst);
}

static void
u4_to_float(const void *src, int64 first, int64 n, float *dst)
{
	kernel_nibbles_to_f32(dst, (const uint8 *) src + first / 2, n, false);
}

static void
u4_to_double(const void *src, int64 first, int64 n, double *dst)
{
	by_way_of_float(u4_to_float, src, first, n, dst);
}

static void
nibbles_from_float(const float *src, int64 n, void *dst)
{
	uint8	   *packed = dst;

	for (int64 i = 0; i < n; i += 2)
	{
		int			low = (int) src[i] & 0x0f;
		int			high = i + 1 < n ? (int) src[i + 1] & 0x0f : 0;

		packed[i / 2] = low | (high << 4);
	}
}

typedef struct Conversions
{
	ToDouble	to_double;
	ToFloat		to_float;
	FromFloat	from_float;
} Conversions;

/* Indexed by DType. */
static const Conversions conversions[] = {
	[DTYPE_F64] = {f64_to_double, f64_to_float, f64_from_float},
	[DTYPE_F32] = {f32_to_double, f32_to_float, f32_from_float},
	[DTYPE_F16] = {f16_to_double, f16_to_float, f16_from_float},
	[DTYPE_BF16] = {bf16_to_double, bf16_to_float, bf16_from_float},
	[DTYPE_F8E4M3] = {f8e4m3_to_double, f8e4m3_to_float, f8e4m3_from_float},
	[DTYPE_F8E5M2] = {f8e5m2_to_double, f8e5m2_to_float, f8e5m2_from_float},
	[DTYPE_I64] = {i64_to_double, i64_to_float, i64_from_float},
	[DTYPE_I32] = {i32_to_double, i32_to_float, i32_from_float},
	[DTYPE_I16] = {i16_to_double, i16_to_float, i16_from_float},
	[DTYPE_I8] = {i8_to_double, i8_to_float, i8_from_float},
	[DTYPE_U64] = {u64_to_double, u64_to_float, u64_from_float},
	[DTYPE_U32] = {u32_to_double, u32_to_float, u32_from_float},
	[DTYPE_U16] = {u16_to_double, u16_to_float, u16_from_float},
	[DTYPE_U8] = {u8_to_double, u8_to_float, u8_from_float},
	[DTYPE_BOOL] = {u8_to_double, u8_to_float, u8_from_float},
	[DTYPE_I4] = {i4_to_double, i4_to_float, nibbles_from_float},
	[DTYPE_U4] = {u4_to_double, u4_to_float, nibbles_from_float},
	[DTYPE_F8E4M3FNUZ] = {f8e4m3fnuz_to_double, f8e4m3fnuz_to_float, f8e4m3fnuz_from_float},
	[DTYPE_F8E5M2FNUZ] = {f8e5m2fnuz_to_double, f8e5m2fnuz_to_float, f8e5m2fnuz_from_float},
	[DTYPE_F8E8M0] = {f8e8m0_to_double, f8e8m0_to_float, f8e8m0_from_float},
};

void
dtype_to_double(DType dtype, const void *src, int64 first, int64 n,
				double *dst)
{
	conversions[dtype].to_double(src, first, n, dst);
}

void
dtype_to_float(DType dtype, const void *src, int64 first, int64 n, float *dst)
{
	conversions[dtype].to_float(src, first, n, dst);
}

/* Index of the first value that has no power of two near it, or -1. */
static int64
first_not_positive(const float *src, int64 n)
{
	for (int64 i = 0; i < n; i++)
	{
		if (src[i] <= 0)
			return i;
	}
	return -1;
}

/* Index of the first value that a type which is no float cannot hold, or -1. */
static int64
first_unfit(DType dtype, const float *src, int64 n)
{
	const DTypeInfo *info = &dtypes[dtype];
	float		lowest = 0;
	float		above;			/* a power of two, so exact in a float */

	if (info->kind == DTYPE_KIND_POWER)
		return first_not_positive(src, n);
	if (info->kind == DTYPE_KIND_BOOL)
		above = 2;
	else if (info->kind == DTYPE_KIND_UNSIGNED)
		above = ldexpf(1, info->bits);
	else
	{
		above = ldexpf(1, info->bits - 1);
		lowest = -above;
	}
	for (int64 i = 0; i < n; i++)
	{
		/* NaN is in no range, so the comparisons are this way round. */
		if (!(src[i] >= lowest && src[i] < above && truncf(src[i]) == src[i]))
			return i;
	}
	return -1;
}

int64
dtype_from_float(DType dtype, const float *src, int64 n, void *dst)
{
	if (!dtype_is_float(dtype))
	{
		int64		unfit = first_unfit(dtype, src, n);

		if (unfit >= 0)
			return unfit;
	}
	conversions[dtype].from_float(src, n, dst);
	return -1;
}
