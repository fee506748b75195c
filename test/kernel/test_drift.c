/*
 * test_drift.c
 *		Distances of distributions, against closed forms, and against what
 *		statistics says of chance.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS 10
#define REFERENCE 10000

static bool
near(double x, double wanted, double tolerance)
{
	if (fabs(x - wanted) <= tolerance)
		return true;
	note("%.17g and not %.17g; ", x, wanted);
	return false;
}

static double
draw_normal(void)
{
	double		u = ((double) (draw() >> 11) + 0.5) / 9007199254740992.0;
	double		v = (double) (draw() >> 11) / 9007199254740992.0;

	return sqrt(-2 * log(u)) * cos(2 * acos(-1) * v);
}

static bool
same_counts(void)
{
	static const int64_t p[] = {3, 0, 5, 100};
	static const double sums[] = {3, 0, 50, 9000};

	return kernel_drift_psi(p, p, 4) == 0 && kernel_drift_js(p, p, 4) == 0 &&
		kernel_drift_ks(p, p, 4) == 0 && kernel_drift_linf(p, p, 4) == 0 &&
		kernel_drift_wasserstein(p, sums, p, sums, 4) == 0;
}

/* Nothing in common: 0 on one side and 3 on the other. */
static bool
disjoint(void)
{
	static const int64_t p[] = {7, 0};
	static const int64_t q[] = {0, 2};
	static const double p_sums[] = {0, 0};
	static const double q_sums[] = {0, 6};

	return near(kernel_drift_js(p, q, 2), 1, 1e-15) && near(kernel_drift_ks(p, q, 2), 1, 1e-15) &&
		near(kernel_drift_linf(p, q, 2), 1, 1e-15) &&
		near(kernel_drift_wasserstein(p, p_sums, q, q_sums, 2), 3, 1e-12);
}

/* A half and a half, against a quarter and three. */
static bool
by_hand(void)
{
	static const int64_t p[] = {50, 50};
	static const int64_t q[] = {25, 75};
	static const double p_sums[] = {50, 100};	/* 1 and 2 */
	static const double q_sums[] = {25, 150};
	double		a = 50.5 / 101;
	double		b = 25.5 / 101;
	double		c = 75.5 / 101;
	double		js = 0.5 * (0.5 * log2(0.5 / 0.375) + 0.5 * log2(0.5 / 0.625) +
							0.25 * log2(0.25 / 0.375) + 0.75 * log2(0.75 / 0.625));

	return near(kernel_drift_psi(p, q, 2), (b - a) * log(b / a) + (c - a) * log(c / a), 1e-14) &&
		near(kernel_drift_js(p, q, 2), sqrt(js), 1e-14) && near(kernel_drift_ks(p, q, 2), 0.25, 1e-15) &&
		near(kernel_drift_linf(p, q, 2), 0.25, 1e-15) &&
		near(kernel_drift_wasserstein(p, p_sums, q, q_sums, 2), 0.25, 1e-14);
}

/* With two degrees of freedom it is -2 ln(1 - p), with one the square of a normal
 * quantile, and the sum of what is below adds up for others: from tables. */
static bool
chi_square(void)
{
	bool		good = true;

	for (double p = 0.01; p < 1; p += 0.01)
		good &= near(kernel_chi_square_quantile(p, 2), -2 * log(1 - p), 1e-9);
	good &= near(kernel_chi_square_quantile(0.95, 1), 3.841459, 1e-6);
	good &= near(kernel_chi_square_quantile(0.95, 9), 16.918978, 1e-6);
	good &= near(kernel_chi_square_quantile(0.99, 9), 21.665994, 1e-6);
	good &= near(kernel_chi_square_quantile(0.99, 30), 50.892181, 1e-6);
	good &= near(kernel_chi_square_quantile(0.999, 30), 59.703064, 1e-6);
	return good;
}

static int
compare(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

/* Edges of what is drawn; equal values are never apart. */
static bool
edges_of(size_t n, size_t distinct)
{
	double	   *x = buffer((n + 1) * 8, 0);
	double		edges[BINS];
	int64_t		counts[BINS] = {0};
	int			nedges;
	bool		good = true;

	for (size_t i = 0; i < n; i++)
		x[i] = distinct > 0 ? (double) draw_below(distinct) : draw_normal();
	qsort(x, n, sizeof(double), compare);
	nedges = kernel_drift_edges(x, (int64_t) n, BINS, edges);
	good &= nedges < BINS;
	for (int i = 1; i < nedges; i++)
		good &= edges[i] > edges[i - 1];
	for (size_t i = 0; i < n; i++)
		counts[kernel_drift_bin(edges, nedges, x[i])]++;
	for (int i = 0; i <= nedges && n > 0; i++)
		good &= counts[i] > 0;
	if (distinct == 0 && n >= 1000)
	{
		for (int i = 0; i < BINS; i++)
			good &= near((double) counts[i], (double) n / BINS, 1);
	}
	if (distinct == 1)
		good &= nedges == 0;
	free_buffers();
	return good;
}

static bool
bins(void)
{
	static const double edges[] = {-1, 0, 2.5};

	return kernel_drift_bin(edges, 3, -INFINITY) == 0 && kernel_drift_bin(edges, 3, -1) == 0 &&
		kernel_drift_bin(edges, 3, -0.5) == 1 && kernel_drift_bin(edges, 3, 0) == 1 &&
		kernel_drift_bin(edges, 3, 2.5) == 2 && kernel_drift_bin(edges, 3, 2.6) == 3 &&
		kernel_drift_bin(edges, 0, 7) == 0;
}

/* Of many values at once they are those of each, for any number of edges. */
static bool
many_bins(void)
{
	double		edges[31];
	double		values[129];
	int64_t		bins[129];

	for (int i = 0; i < 31; i++)
		edges[i] = (i - 15) * 0.25;
	for (int i = 0; i < 129; i++)
		values[i] = (i - 64) * 0.125;
	for (int nedges = 0; nedges <= 31; nedges++)
		for (int n = 0; n <= 129; n++)
		{
			kernel_drift_bins(edges, nedges, values, n, bins);
			for (int i = 0; i < n; i++)
				if (bins[i] != kernel_drift_bin(edges, nedges, values[i]))
					return false;
		}
	return true;
}

/* A reference of many normal numbers, and its edges. */
typedef struct Reference
{
	double		edges[BINS];
	int64_t		counts[BINS];
	double		sums[BINS];
} Reference;

static void
count(const Reference *reference, size_t n, double shift, double scale, int64_t *counts, double *sums)
{
	memset(counts, 0, BINS * sizeof(int64_t));
	memset(sums, 0, BINS * sizeof(double));
	for (size_t i = 0; i < n; i++)
	{
		double		x = draw_normal() * scale + shift;
		int			bin = kernel_drift_bin(reference->edges, BINS - 1, x);

		counts[bin]++;
		sums[bin] += x;
	}
}

static void
make_reference(Reference *reference)
{
	double	   *x = buffer(REFERENCE * 8, 0);

	for (int i = 0; i < REFERENCE; i++)
		x[i] = draw_normal();
	qsort(x, REFERENCE, sizeof(double), compare);
	(void) kernel_drift_edges(x, REFERENCE, BINS, reference->edges);
	memset(reference->counts, 0, sizeof(reference->counts));
	memset(reference->sums, 0, sizeof(reference->sums));
	for (int i = 0; i < REFERENCE; i++)
	{
		int			bin = kernel_drift_bin(reference->edges, BINS - 1, x[i]);

		reference->counts[bin]++;
		reference->sums[bin] += x[i];
	}
	free_buffers();
}

/*
 * Without drift: how often PSI is above what is said to be chance in 95 % of
 * cases, and above the 0.1 of folklore, which with few rows it often is.
 */
static bool
without_drift(size_t n, double *above_floor, double *above_folklore)
{
	int			runs = 2000;
	int			floors = 0;
	int			folklores = 0;

	for (int i = 0; i < runs; i++)
	{
		Reference	reference;
		int64_t		counts[BINS];
		double		sums[BINS];
		double		psi;

		make_reference(&reference);
		count(&reference, n, 0, 1, counts, sums);
		psi = kernel_drift_psi(reference.counts, counts, BINS);
		floors += psi > kernel_chi_square_quantile(0.95, BINS - 1) * (1.0 / REFERENCE + 1.0 / (double) n);
		folklores += psi >= 0.1;
	}
	*above_floor = (double) floors / runs;
	*above_folklore = (double) folklores / runs;
	return true;
}

/* A shift of half a standard deviation, and a spread of half as much again. */
static bool
with_drift(void)
{
	Reference	reference;
	int64_t		counts[BINS];
	double		sums[BINS];
	bool		good;

	make_reference(&reference);
	count(&reference, 200000, 0.5, 1, counts, sums);
	good = near(kernel_drift_wasserstein(reference.counts, reference.sums, counts, sums, BINS), 0.5, 0.03) &&
		near(kernel_drift_ks(reference.counts, counts, BINS), 0.197, 0.02) &&
		near(kernel_drift_psi(reference.counts, counts, BINS), 0.243, 0.03) &&
		near(kernel_drift_js(reference.counts, counts, BINS), 0.207, 0.015);
	count(&reference, 200000, 0, 1.5, counts, sums);
	/* The mean of |1.5x - x|, which is half of the mean of |x|. */
	good &= near(kernel_drift_wasserstein(reference.counts, reference.sums, counts, sums, BINS),
				 0.5 * sqrt(2 / acos(-1)), 0.03);
	return good;
}

void
test_drift(void)
{
	double		above_floor;
	double		above_folklore;

	ok(same_counts(), "drift: the same counts are no distance");
	ok(disjoint(), "drift: distances are greatest where nothing is in common");
	ok(by_hand(), "drift: two bins, by hand");
	ok(chi_square(), "drift: chi-square quantiles");
	ok(bins(), "drift: the bin of a value");
	ok(many_bins(), "drift: the bins of many values");
	ok(edges_of(0, 0) && edges_of(1, 0) && edges_of(7, 0) && edges_of(10000, 0),
	   "drift: edges of different numbers");
	ok(edges_of(1000, 1) && edges_of(1000, 2) && edges_of(1000, 7) && edges_of(10000, 30),
	   "drift: edges of few numbers are merged");
	ok(with_drift(), "drift: normal numbers that are shifted or spread");
	without_drift(500, &above_floor, &above_folklore);
	ok(above_floor > 0.03 && above_floor < 0.07 && above_folklore == 0,
	   "drift: 500 rows without drift are above the noise in a twentieth of cases");
	without_drift(100, &above_floor, &above_folklore);
	ok(above_floor > 0.02 && above_floor < 0.07 && above_folklore > 0.2 && above_folklore < 0.4,
	   "drift: 100 rows without drift are above 0.1 in a third of cases, and above the noise in few");
}
