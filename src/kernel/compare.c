/*
 * compare.c
 *		How far two sequences of numbers are apart.
 *
 * Blocks are measured as if all of their elements were finite, which sums of
 * squares that are finite prove; only where they do not are the pairs of
 * finite elements looked for.  The order of additions is that of lanes.h.
 */
#include "kernel/kernel.h"
#include "kernel/lanes.h"

#define LANES 8
#define QUADS (LANES / 4)

/* The sums, in the order of KernelComparison.lost. */
enum
{
	SQUARES,
	FIRST_SQUARES,
	SECOND_SQUARES,
	PRODUCTS,
	NSUMS
};

typedef struct BlockDistance
{
	double		sums[NSUMS];
	double		max_abs;
} BlockDistance;

/* Adds a quad of pairs to the sums and the maximum in its lanes. */
INLINE void
add_pairs(Quad sums[NSUMS], Quad *max_abs, const Quad *first,
		  const Quad *second)
{
	const QuadBits magnitude = (QuadBits) {0} + INT64_MAX;
	Quad		distance = *second - *first;
	QuadBits	size = (QuadBits) distance & magnitude;
	QuadBits	larger = (Quad) size > *max_abs;

	sums[SQUARES] += distance * distance;
	sums[FIRST_SQUARES] += *first * *first;
	sums[SECOND_SQUARES] += *second * *second;
	sums[PRODUCTS] += *first * *second;
	*max_abs = (Quad) ((larger & size) | (~larger & (QuadBits) *max_abs));
}

/* The pairs left over at the end, in lanes of their own; the others are
 * zeros, which add nothing. */
INLINE void
add_last_pairs(Quad sums[QUADS][NSUMS], Quad *max_abs, const void *first,
			   const void *second, size_t start, size_t n, Width width)
{
	for (int q = 0; q < QUADS; q++)
	{
		Quad		x = {0};
		Quad		y = {0};

		for (size_t lane = 0; lane < 4 && start + 4 * q + lane < n; lane++)
		{
			x[lane] = load_one(first, start + 4 * q + lane, width);
			y[lane] = load_one(second, start + 4 * q + lane, width);
		}
		add_pairs(sums[q], &max_abs[q], &x, &y);
	}
}

INLINE void
measure_block(const void *first, const void *second, size_t n, Width width,
			  BlockDistance *out)
{
	Quad		sums[QUADS][NSUMS] = {{{0}}};
	Quad		max_abs[QUADS] = {{0}};
	size_t		whole = n - n % LANES;

	for (size_t i = 0; i < whole; i += LANES)
	{
		for (int q = 0; q < QUADS; q++)
		{
			Quad		x;
			Quad		y;

			load_quad(&x, first, i + 4 * q, width);
			load_quad(&y, second, i + 4 * q, width);
			add_pairs(sums[q], &max_abs[q], &x, &y);
		}
	}
	add_last_pairs(sums, max_abs, first, second, whole, n, width);

	for (int i = 0; i < NSUMS; i++)
	{
		Quad		sum = sums[0][i] + sums[1][i];

		out->sums[i] = (sum[0] + sum[2]) + (sum[1] + sum[3]);
	}
	out->max_abs = 0;
	for (int lane = 0; lane < LANES; lane++)
		out->max_abs = fmax(out->max_abs, max_abs[lane / 4][lane % 4]);
}

KERNEL_CLONES
static void
measure_f32(const float *first, const float *second, size_t n,
			BlockDistance *block)
{
	measure_block(first, second, n, WIDTH_F32, block);
}

KERNEL_CLONES
static void
measure_f64(const double *first, const double *second, size_t n,
			BlockDistance *block)
{
	measure_block(first, second, n, WIDTH_F64, block);
}

/* ---------- blocks ---------- */

static void
add_block(KernelComparison *comparison, size_t n, const BlockDistance *block)
{
	double	   *sums[NSUMS] = {
		[SQUARES] = &comparison->squares,
		[FIRST_SQUARES] = &comparison->first_squares,
		[SECOND_SQUARES] = &comparison->second_squares,
		[PRODUCTS] = &comparison->products,
	};

	comparison->count += (int64_t) n;
	for (int i = 0; i < NSUMS; i++)
		add_compensated(sums[i], &comparison->lost[i], block->sums[i]);
	if (block->max_abs > comparison->max_abs)
		comparison->max_abs = block->max_abs;
}

static bool
all_finite(const BlockDistance *block)
{
	return isfinite(block->sums[FIRST_SQUARES]) &&
		isfinite(block->sums[SECOND_SQUARES]);
}

/* One block of each width; where it is not finite, those pairs that are. */
#define DEFINE_ADD(type, name) \
static void \
add_block_##name(KernelComparison *comparison, const type *first, \
				 const type *second, size_t n) \
{ \
	type		x[KERNEL_STATS_BLOCK]; \
	type		y[KERNEL_STATS_BLOCK]; \
	size_t		kept = 0; \
	BlockDistance block; \
\
	measure_##name(first, second, n, &block); \
	if (all_finite(&block)) \
	{ \
		add_block(comparison, n, &block); \
		return; \
	} \
	for (size_t i = 0; i < n; i++) \
	{ \
		x[kept] = first[i]; \
		y[kept] = second[i]; \
		kept += isfinite(first[i]) && isfinite(second[i]); \
	} \
	measure_##name(x, y, kept, &block); \
	add_block(comparison, kept, &block); \
} \
\
void \
kernel_compare_##name(KernelComparison *comparison, const type *first, \
					  const type *second, size_t n) \
{ \
	for (size_t done = 0; done < n; done += KERNEL_STATS_BLOCK) \
	{ \
		size_t		left = n - done; \
\
		add_block_##name(comparison, first + done, second + done, \
						 left < KERNEL_STATS_BLOCK ? left : KERNEL_STATS_BLOCK); \
	} \
}

DEFINE_ADD(float, f32)
DEFINE_ADD(double, f64)

/* ---------- what others call ---------- */

void
kernel_compare_init(KernelComparison *comparison)
{
	memset(comparison, 0, sizeof(*comparison));
}

void
kernel_compare_finish(KernelComparison *comparison)
{
	comparison->squares = restored(comparison->squares,
								   comparison->lost[SQUARES]);
	comparison->first_squares = restored(comparison->first_squares,
										 comparison->lost[FIRST_SQUARES]);
	comparison->second_squares = restored(comparison->second_squares,
										  comparison->lost[SECOND_SQUARES]);
	comparison->products = restored(comparison->products,
									comparison->lost[PRODUCTS]);
}

/* ---------- bits ---------- */

/* Counters as wide as elements keep the counting in vectors, and blocks short
 * enough keep them from wrapping. */
#define DEFINE_COUNT(bits, block) \
INLINE size_t \
count_different##bits(const uint8_t *first, const uint8_t *second, size_t n) \
{ \
	size_t		total = 0; \
\
	for (size_t done = 0; done < n; done += block) \
	{ \
		size_t		m = n - done < block ? n - done : block; \
		uint##bits##_t different = 0; \
\
		for (size_t i = done; i < done + m; i++) \
		{ \
			uint##bits##_t x; \
			uint##bits##_t y; \
\
			memcpy(&x, first + i * sizeof(x), sizeof(x)); \
			memcpy(&y, second + i * sizeof(y), sizeof(y)); \
			different = (uint##bits##_t) (different + (x != y)); \
		} \
		total += different; \
	} \
	return total; \
}

DEFINE_COUNT(8, 255)
DEFINE_COUNT(16, 4096)
DEFINE_COUNT(32, 4096)
DEFINE_COUNT(64, 4096)

KERNEL_CLONES
size_t
kernel_count_different(const void *first, const void *second, size_t n,
					   int width)
{
	switch (width)
	{
		case 1:
			return count_different8(first, second, n);
		case 2:
			return count_different16(first, second, n);
		case 4:
			return count_different32(first, second, n);
		default:
			return count_different64(first, second, n);
	}
}
