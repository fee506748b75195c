/*
 * test_stats.c
 *		Moments, extremes and counts: sums that are known by arithmetic, sums
 *		in the C library's widest type, and the same bits however it is cut.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <string.h>

static void
measure_f64(KernelStats *stats, const double *x, size_t n)
{
	kernel_stats_init(stats);
	kernel_stats_f64(stats, x, n);
	kernel_stats_finish(stats);
}

/* Whole numbers of which every sum is exact. */
static bool
whole_numbers(size_t n)
{
	double	   *x = buffer(n * 8, 0);
	float	   *narrow = buffer(n * 4, 4);
	double		count = (double) n;
	double		mean = (count - 1) / 2;
	KernelStats stats[2];
	bool		good = true;

	for (size_t i = 0; i < n; i++)
		narrow[i] = (float) (x[i] = (double) i - 10);
	measure_f64(&stats[0], x, n);
	kernel_stats_init(&stats[1]);
	kernel_stats_f32(&stats[1], narrow, n);
	kernel_stats_finish(&stats[1]);
	for (int i = 0; i < 2; i++)
	{
		const KernelStats *s = &stats[i];

		good &= s->count == (int64_t) n && s->zeros == (n > 10) &&
			s->nans == 0 && s->infinities == 0;
		good &= s->sum == count * mean - 10 * count;
		good &= s->min == -10 && s->max == count - 11;
		/* 0 to n - 1, moved by 10. */
		good &= s->squares == count * (count - 1) * (2 * count - 1) / 6 -
			20 * count * mean + 100 * count;
		good &= s->mean == mean - 10;
		good &= fabs(s->m2 - count * (count * count - 1) / 12) <=
			1e-12 * count * count * count;
		if (n > 10)
			good &= s->l1 == (count - 11) * (count - 10) / 2 + 55;
	}
	free_buffers();
	return good;
}

static bool
exact_sums(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		bool		right = lengths[i] == 0 || whole_numbers(lengths[i]);

		if (!right)
			note("n %zu; ", lengths[i]);
		good &= right;
	}
	return good && whole_numbers(100000);
}

/* Within a few units in the last place of the same in long double. */
static bool
near(double got, long double wanted, long double scale)
{
	return fabsl((long double) got - wanted) <= 1e-14L * scale;
}

static bool
against_long_double(size_t n, double shift)
{
	double	   *x = buffer(n * 8, 0);
	long double sum = 0,
				l1 = 0,
				squares = 0,
				m2 = 0;
	KernelStats stats;
	bool		good;

	fill_doubles(x, n, false);
	for (size_t i = 0; i < n; i++)
	{
		x[i] += shift;
		sum += x[i];
		l1 += fabsl((long double) x[i]);
		squares += (long double) x[i] * x[i];
	}
	for (size_t i = 0; i < n; i++)
		m2 += (x[i] - sum / n) * (x[i] - sum / n);
	measure_f64(&stats, x, n);
	good = near(stats.sum, sum, l1) && near(stats.l1, l1, l1) &&
		near(stats.squares, squares, squares) &&
		near(stats.mean, sum / n, l1 / n) &&
		near(stats.m2, m2, m2 * (1 + fabs(shift)) * 10);
	if (!good)
		note("n %zu, about %g; ", n, shift);
	digest(&stats, sizeof(stats));
	free_buffers();
	return good;
}

static bool
sums(void)
{
	static const double shifts[] = {0, 1, -1000};
	bool		good = true;

	for (int i = 1; i < nlengths; i++)
		for (int j = 0; j < 3; j++)
			good &= against_long_double(lengths[i], shifts[j]);
	return good && against_long_double(100000, 0);
}

/* In a block: sums of every sixteenth number, folded in halves. */
static bool
in_order(size_t n)
{
	double	   *x = buffer(n * 8, 0);
	double		lanes[16] = {0};
	KernelStats stats;

	fill_doubles(x, n, false);
	for (size_t i = 0; i < n; i++)
		lanes[i % 16] += x[i];
	for (int half = 8; half > 0; half /= 2)
		for (int i = 0; i < half; i++)
			lanes[i] += lanes[i + half];
	measure_f64(&stats, x, n);
	free_buffers();
	return stats.sum == lanes[0];
}

static bool
orders(void)
{
	bool		good = true;

	for (int turn = 0; turn < 200; turn++)
		good &= in_order(1 + draw_below(KERNEL_STATS_BLOCK));
	return good;
}

/* A block that is small beside the sum so far, and a sum so far that is small
 * beside the block, lose nothing: 1 + 1e17 + 1 + 1 - 1e17 is 3. */
static bool
compensates(void)
{
	static const double first[] = {1, 1e17, 1, 1, -1e17};
	double	   *x = buffer(5 * KERNEL_STATS_BLOCK * 8, 0);
	KernelStats stats;

	for (int i = 0; i < 5 * KERNEL_STATS_BLOCK; i++)
		x[i] = i % KERNEL_STATS_BLOCK == 0 ? first[i / KERNEL_STATS_BLOCK] : 0;
	measure_f64(&stats, x, 5 * KERNEL_STATS_BLOCK);
	free_buffers();
	return stats.sum == 3;
}

/* Chunks of whole blocks, and floats widened by hand, give the same bits. */
static bool
the_same_bits(bool special)
{
	size_t		n = 7 * KERNEL_STATS_BLOCK + 137;
	float	   *narrow = buffer(n * 4, 4);
	double	   *x = buffer(n * 8, 8);
	KernelStats whole,
				cut,
				widened;

	fill_floats(narrow, n, special);
	for (size_t i = 0; i < n; i++)
		x[i] = (double) narrow[i];
	kernel_stats_init(&whole);
	kernel_stats_f32(&whole, narrow, n);
	kernel_stats_finish(&whole);
	kernel_stats_init(&cut);
	for (size_t done = 0; done < n; done += 2 * KERNEL_STATS_BLOCK)
		kernel_stats_f32(&cut, narrow + done,
						 n - done < 2 * KERNEL_STATS_BLOCK ? n - done :
						 2 * KERNEL_STATS_BLOCK);
	kernel_stats_finish(&cut);
	measure_f64(&widened, x, n);
	digest(&whole, sizeof(whole));
	free_buffers();
	return same(&whole, &cut, sizeof(whole)) &&
		same(&whole, &widened, sizeof(whole));
}

static bool
what_is_not_finite(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		double	   *x = buffer(n * 8, 0);
		int64_t		zeros = 0,
					nans = 0,
					infinities = 0;
		double		min = INFINITY,
					max = -INFINITY;
		KernelStats stats;

		fill_doubles(x, n, true);
		for (size_t j = 0; j < n; j++)
		{
			zeros += x[j] == 0;
			nans += isnan(x[j]) != 0;
			infinities += isinf(x[j]) != 0;
			if (isfinite(x[j]))
			{
				min = fmin(min, x[j]);
				max = fmax(max, x[j]);
			}
		}
		measure_f64(&stats, x, n);
		good &= stats.zeros == zeros && stats.nans == nans &&
			stats.infinities == infinities && stats.min == min &&
			stats.max == max && stats.count == (int64_t) n - nans - infinities;
		free_buffers();
	}
	return good;
}

static bool
equal_numbers(void)
{
	double		x[1000];
	KernelStats stats;

	for (int i = 0; i < 1000; i++)
		x[i] = 0.1;
	measure_f64(&stats, x, 1000);
	return stats.mean == 0.1 && stats.m2 == 0 && stats.min == 0.1 &&
		stats.max == 0.1;
}

/* Zeros of either sign are zero; so is nothing else. */
static bool
zeros(int width)
{
	bool		good = true;

	for (int i = 0; i <= nlengths; i++)
		for (size_t offset = 0; offset < 3; offset++)
		{
			size_t		n = i < nlengths ? lengths[i] : 300000;
			uint8_t    *x = buffer(n * width, offset * width);
			size_t		wanted = 0;

			fill_sparse(x, n, width, i < nlengths ? 500 : 0);
			for (size_t j = 0; j < n; j++)
			{
				bool		zero = (x[j * width + width - 1] & 0x7f) == 0;

				for (int b = 0; b < width - 1; b++)
					zero &= x[j * width + b] == 0;
				wanted += zero;
			}
			good &= kernel_count_zero_floats(x, n, width) == wanted;
			free_buffers();
		}
	return good;
}

void
test_stats(void)
{
	ok(exact_sums(), "stats: whole numbers, exactly");
	ok(sums(), "stats: as in long double");
	ok(orders(), "stats: a block is added up in the order that is promised");
	ok(compensates(), "stats: blocks are added up without loss");
	ok(the_same_bits(false), "stats: the same bits however it is cut");
	ok(the_same_bits(true), "stats: the same with NaN and infinities");
	ok(what_is_not_finite(), "stats: counts and extremes");
	ok(equal_numbers(), "stats: equal numbers are their mean");
	for (int width = 1; width <= 8; width *= 2)
		ok(zeros(width), "stats: zeros of %d bytes", width);
}
