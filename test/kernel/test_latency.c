/*
 * test_latency.c
 *		Histograms of durations, against bounds and order statistics found here.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>

static double
bound(int bucket)
{
	return pow(2, -20 + bucket / 8.0);
}

/* Looked for one after the other. */
static int
naive_bucket(double seconds)
{
	int			bucket = 0;

	while (bucket < KERNEL_LATENCY_BUCKETS - 1 && seconds > bound(bucket))
		bucket++;
	return bucket;
}

static bool
buckets(void)
{
	bool		good = true;

	for (int i = 0; i < 200000; i++)
	{
		int64_t		ns = (int64_t) (draw() >> (24 + draw_below(40)));

		good &= kernel_latency_bucket(ns) == naive_bucket((double) ns * 1e-9);
	}
	return good;
}

static bool
ends(void)
{
	return kernel_latency_bucket(-5) == 0 && kernel_latency_bucket(0) == 0 &&
		kernel_latency_bucket(1) == 0 && kernel_latency_bucket(953) == 0 &&
		kernel_latency_bucket(954) == 1 &&
		kernel_latency_bucket(1000000000) == 160 &&	/* a second is in its own */
		kernel_latency_bucket(1000000001) == 161 &&
		kernel_latency_bucket(128000000000) == KERNEL_LATENCY_BUCKETS - 2 &&
		kernel_latency_bucket(128000000001) == KERNEL_LATENCY_BUCKETS - 1 &&
		kernel_latency_bucket(INT64_MAX) == KERNEL_LATENCY_BUCKETS - 1;
}

static bool
bounds(void)
{
	bool		good = isinf(kernel_latency_bound(KERNEL_LATENCY_BUCKETS - 1)) != 0;

	for (int i = 0; i < KERNEL_LATENCY_BUCKETS - 1; i++)
		good &= fabs(kernel_latency_bound(i) / bound(i) - 1) < 1e-14;
	for (int i = 0; i <= 27; i++)
		good &= kernel_latency_bound(8 * i) == ldexp(1, i - 20);
	return good;
}

static int
compare(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

/* Box and Muller's. */
static double
draw_normal(void)
{
	double		u = ((double) (draw() >> 11) + 0.5) / 9007199254740992.0;
	double		v = (double) (draw() >> 11) / 9007199254740992.0;

	return sqrt(-2 * log(u)) * cos(2 * acos(-1) * v);
}

/* Of many durations, and of a few, against their order statistics. */
static bool
percentiles(double median, double sigma, size_t n, double tolerance)
{
	static const double fractions[] = {0.5, 0.9, 0.95, 0.99};
	double	   *x = buffer(n * 8, 0);
	int64_t		counts[KERNEL_LATENCY_BUCKETS] = {0};
	bool		good = true;

	for (size_t i = 0; i < n; i++)
	{
		int64_t		ns = (int64_t) (median * exp(sigma * draw_normal()) * 1e9);

		x[i] = (double) ns * 1e-9;
		counts[kernel_latency_bucket(ns)]++;
	}
	qsort(x, n, sizeof(double), compare);
	for (int i = 0; i < 4; i++)
	{
		double		exact = x[(size_t) ceil(fractions[i] * (double) n) - 1];
		double		found = kernel_latency_percentile(counts, fractions[i]);

		if (fabs(found / exact - 1) > tolerance)
		{
			note("p%g of %zu about %g: %g and not %g; ", fractions[i] * 100, n, median, found, exact);
			good = false;
		}
	}
	free_buffers();
	return good;
}

void
test_latency(void)
{
	int64_t		none[KERNEL_LATENCY_BUCKETS] = {0};
	static const double medians[] = {5e-6, 200e-6, 5e-3, 80e-3};

	ok(buckets(), "latency: buckets are those that a search finds");
	ok(ends(), "latency: bounds are in their buckets, and nothing is outside");
	ok(bounds(), "latency: bounds are powers of 2^(1/8)");
	ok(isnan(kernel_latency_percentile(none, 0.5)) != 0, "latency: nothing has no percentile");
	for (int i = 0; i < 4; i++)
	{
		ok(percentiles(medians[i], 0.4, 200000, 0.01), "latency: percentiles about %g s, narrow", medians[i]);
		ok(percentiles(medians[i], 1.0, 200000, 0.01), "latency: percentiles about %g s, wide", medians[i]);
		ok(percentiles(medians[i], 1.0, 37, pow(2, 0.125) - 1), "latency: a few are in the right bucket about %g s", medians[i]);
	}
}
