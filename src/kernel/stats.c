/*
 * stats.c
 *		Moments, extremes and counts of numbers.
 *
 * Floating-point addition depends on its order, so the order is fixed: blocks
 * of up to KERNEL_STATS_BLOCK finite elements, in each of them LANES sums of every
 * LANES-th element, added up pairwise, and a compensated sum (Neumaier's) of
 * the blocks.  A vector register of any width adds lanes in that very order,
 * so all machines agree, provided that the compiler does not fuse multiply
 * and add: this folder is compiled with -ffp-contract=off.
 *
 * Squared distances are taken from the mean of each block, in a second pass
 * while it is in the cache, and blocks are joined by the formula of Chan,
 * Golub and LeVeque, so a small deviation beside a large mean keeps its
 * digits.
 */
#include "kernel/kernel.h"
#include "kernel/lanes.h"

#define LANES 16
#define QUADS (LANES / 4)

/* ---------- sums of a block ---------- */

INLINE double
add_lanes(const Quad *lanes)
{
	Quad		sum = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);

	return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

typedef struct BlockSums
{
	double		sum;
	double		l1;
	double		squares;
} BlockSums;

INLINE void
sum_block(const void *x, size_t n, Width width, BlockSums *out)
{
	const QuadBits magnitude = (QuadBits) {0} + INT64_MAX;
	Quad		sum[QUADS] = {{0}};
	Quad		l1[QUADS] = {{0}};
	Quad		squares[QUADS] = {{0}};
	size_t		whole = n - n % LANES;

	for (size_t i = 0; i < whole; i += LANES)
	{
		for (int q = 0; q < QUADS; q++)
		{
			Quad		v;

			load_quad(&v, x, i + 4 * q, width);
			sum[q] += v;
			l1[q] += (Quad) ((QuadBits) v & magnitude);
			squares[q] += v * v;
		}
	}
	for (size_t lane = 0; lane < n - whole; lane++)
	{
		double		v = load_one(x, whole + lane, width);

		sum[lane / 4][lane % 4] += v;
		l1[lane / 4][lane % 4] += fabs(v);
		squares[lane / 4][lane % 4] += v * v;
	}
	out->sum = add_lanes(sum);
	out->l1 = add_lanes(l1);
	out->squares = add_lanes(squares);
}

/* Sum of squared distances from the block's mean. */
INLINE double
deviate_block(const void *x, size_t n, Width width, double mean)
{
	Quad		m2[QUADS] = {{0}};
	size_t		whole = n - n % LANES;

	for (size_t i = 0; i < whole; i += LANES)
	{
		for (int q = 0; q < QUADS; q++)
		{
			Quad		distance;

			load_quad(&distance, x, i + 4 * q, width);
			distance -= mean;
			m2[q] += distance * distance;
		}
	}
	for (size_t lane = 0; lane < n - whole; lane++)
	{
		double		distance = load_one(x, whole + lane, width) - mean;

		m2[lane / 4][lane % 4] += distance * distance;
	}
	return add_lanes(m2);
}

/* ---------- extremes and zeros of a block ---------- */

/*
 * As integers, floats order like sign and magnitude; turning the magnitude of
 * negative ones around makes them order like integers.  Integers have a
 * minimum that does not depend on the order of -0 and +0, and that every
 * compiler can vectorize.
 */
typedef struct Extremes
{
	double		min;
	double		max;
	size_t		zeros;
} Extremes;

INLINE int32_t
turn32(int32_t bits)
{
	return bits ^ ((bits >> 31) & INT32_MAX);
}

INLINE int64_t
turn64(int64_t bits)
{
	return bits ^ ((bits >> 63) & INT64_MAX);
}

INLINE void
extremes_f32(const float *x, size_t n, Extremes *out)
{
	int32_t		least = INT32_MAX;
	int32_t		greatest = INT32_MIN;
	int32_t		zeros = 0;
	float		min,
				max;

	for (size_t i = 0; i < n; i++)
	{
		int32_t		bits,
					key;

		memcpy(&bits, &x[i], sizeof(bits));
		key = turn32(bits);
		least = key < least ? key : least;
		greatest = key > greatest ? key : greatest;
		zeros += (bits & INT32_MAX) == 0;
	}
	least = turn32(least);
	greatest = turn32(greatest);
	memcpy(&min, &least, sizeof(min));
	memcpy(&max, &greatest, sizeof(max));
	out->min = min;
	out->max = max;
	out->zeros = zeros;
}

INLINE void
extremes_f64(const double *x, size_t n, Extremes *out)
{
	int64_t		least = INT64_MAX;
	int64_t		greatest = INT64_MIN;
	int64_t		zeros = 0;

	for (size_t i = 0; i < n; i++)
	{
		int64_t		bits,
					key;

		memcpy(&bits, &x[i], sizeof(bits));
		key = turn64(bits);
		least = key < least ? key : least;
		greatest = key > greatest ? key : greatest;
		zeros += (bits & INT64_MAX) == 0;
	}
	least = turn64(least);
	greatest = turn64(greatest);
	memcpy(&out->min, &least, sizeof(out->min));
	memcpy(&out->max, &greatest, sizeof(out->max));
	out->zeros = zeros;
}

/* ---------- blocks ---------- */

typedef struct BlockStats
{
	BlockSums	sums;
	Extremes	extremes;
	double		mean;
	double		m2;
} BlockStats;

static void
add_block(KernelStats *stats, size_t n, const BlockStats *block)
{
	double		before = (double) stats->count;
	double		after = before + (double) n;
	double		step = block->mean - stats->mean;

	stats->m2 += block->m2 + step * step * (before * (double) n / after);
	stats->mean += step * ((double) n / after);
	stats->count += (int64_t) n;
	stats->zeros += (int64_t) block->extremes.zeros;
	if (block->extremes.min < stats->min)
		stats->min = block->extremes.min;
	if (block->extremes.max > stats->max)
		stats->max = block->extremes.max;
	add_compensated(&stats->sum, &stats->sum_lost, block->sums.sum);
	add_compensated(&stats->l1, &stats->l1_lost, block->sums.l1);
	add_compensated(&stats->squares, &stats->squares_lost,
					block->sums.squares);
}

/* Everything about a block of finite elements, at least one. */
KERNEL_CLONES
static void
measure_f32(const float *x, size_t n, BlockStats *block)
{
	sum_block(x, n, WIDTH_F32, &block->sums);
	block->mean = block->sums.sum / (double) n;
	block->m2 = deviate_block(x, n, WIDTH_F32, block->mean);
	extremes_f32(x, n, &block->extremes);
}

KERNEL_CLONES
static void
measure_f64(const double *x, size_t n, BlockStats *block)
{
	sum_block(x, n, WIDTH_F64, &block->sums);
	block->mean = block->sums.sum / (double) n;
	block->m2 = deviate_block(x, n, WIDTH_F64, block->mean);
	extremes_f64(x, n, &block->extremes);
}

/* Moves what is finite to dst and counts the rest. */
static size_t
finite_f32(KernelStats *stats, const float *x, size_t n, float *dst)
{
	size_t		kept = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (isnan(x[i]))
			stats->nans++;
		else if (isinf(x[i]))
			stats->infinities++;
		else
			dst[kept++] = x[i];
	}
	return kept;
}

static size_t
finite_f64(KernelStats *stats, const double *x, size_t n, double *dst)
{
	size_t		kept = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (isnan(x[i]))
			stats->nans++;
		else if (isinf(x[i]))
			stats->infinities++;
		else
			dst[kept++] = x[i];
	}
	return kept;
}

/*
 * Blocks are measured as if all of their elements were finite, which a sum of
 * magnitudes that is finite proves.  Only where it does not is there another
 * look.
 */
static void
add_block_f32(KernelStats *stats, const float *x, size_t n)
{
	float		finite[KERNEL_STATS_BLOCK];
	BlockStats	block;

	measure_f32(x, n, &block);
	if (!isfinite(block.sums.l1))
	{
		n = finite_f32(stats, x, n, finite);
		if (n == 0)
			return;
		measure_f32(finite, n, &block);
	}
	add_block(stats, n, &block);
}

static void
add_block_f64(KernelStats *stats, const double *x, size_t n)
{
	double		finite[KERNEL_STATS_BLOCK];
	BlockStats	block;

	measure_f64(x, n, &block);
	if (!isfinite(block.sums.l1))
	{
		n = finite_f64(stats, x, n, finite);
		if (n == 0)
			return;
		measure_f64(finite, n, &block);
	}
	add_block(stats, n, &block);
}

/* ---------- what others call ---------- */

void
kernel_stats_init(KernelStats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->min = INFINITY;
	stats->max = -INFINITY;
}

void
kernel_stats_f32(KernelStats *stats, const float *x, size_t n)
{
	while (n > 0)
	{
		size_t		m = n < KERNEL_STATS_BLOCK ? n : KERNEL_STATS_BLOCK;

		add_block_f32(stats, x, m);
		x += m;
		n -= m;
	}
}

void
kernel_stats_f64(KernelStats *stats, const double *x, size_t n)
{
	while (n > 0)
	{
		size_t		m = n < KERNEL_STATS_BLOCK ? n : KERNEL_STATS_BLOCK;

		add_block_f64(stats, x, m);
		x += m;
		n -= m;
	}
}

void
kernel_stats_finish(KernelStats *stats)
{
	stats->sum = restored(stats->sum, stats->sum_lost);
	stats->l1 = restored(stats->l1, stats->l1_lost);
	stats->squares = restored(stats->squares, stats->squares_lost);

	/* Equal numbers are their mean, even if their sum had to be rounded. */
	if (stats->min == stats->max)
	{
		stats->mean = stats->min;
		stats->m2 = 0;
	}
	else if (stats->count > 0)
	{
		stats->mean = stats->sum / (double) stats->count;
		if (isnan(stats->m2))
			stats->m2 = INFINITY;
	}

	/* Zeros of either sign are one number. */
	if (stats->min == 0)
		stats->min = 0;
	if (stats->max == 0)
		stats->max = 0;
	if (stats->mean == 0)
		stats->mean = 0;
}

/* ---------- zeros alone ---------- */

/*
 * Counters as wide as the elements keep the loops in vectors; blocks short
 * enough for the counters keep them from wrapping.
 */
#define DEFINE_ZERO_FLOATS(bits, magnitude, block) \
KERNEL_CLONES \
static size_t \
zero_floats##bits(const uint##bits##_t *x, size_t n) \
{ \
	size_t		total = 0; \
\
	for (size_t done = 0; done < n; done += (block)) \
	{ \
		size_t		m = n - done < (block) ? n - done : (block); \
		uint##bits##_t zeros = 0; \
\
		for (size_t i = 0; i < m; i++) \
			zeros = (uint##bits##_t) (zeros + ((x[done + i] & (magnitude)) == 0)); \
		total += zeros; \
	} \
	return total; \
}

DEFINE_ZERO_FLOATS(8, INT8_MAX, 255)
DEFINE_ZERO_FLOATS(16, INT16_MAX, 4096)
DEFINE_ZERO_FLOATS(32, INT32_MAX, 65536)
DEFINE_ZERO_FLOATS(64, INT64_MAX, 65536)

size_t
kernel_count_zero_floats(const void *src, size_t n, int width)
{
	switch (width)
	{
		case 1:
			return zero_floats8(src, n);
		case 2:
			return zero_floats16(src, n);
		case 4:
			return zero_floats32(src, n);
		default:
			return zero_floats64(src, n);
	}
}
