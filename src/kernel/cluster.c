/*
 * cluster.c
 *		Clusters on a line: histograms, the best cuts, and who is in which.
 *
 * The best k clusters of points on a line are found by dynamic programming over
 * where the last cluster starts.  A cluster's squared distances from its mean
 * are the sum of its squares, which does not depend on the cuts, less the
 * square of its sum divided by its weight; so what is looked for is the most of
 * the latter.  Where the best last cluster starts does not move left when the
 * points go on to the right, so each half of the points bounds the other's
 * search.
 */
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

/* ---------- histograms ---------- */

static inline size_t
bin_of(float x, float min, float scale, size_t nbins)
{
	float		place = (x - min) * scale;
	float		last = (float) (nbins - 1);

	place = place > 0 ? place : 0;
	return (size_t) (int32_t) (place < last ? place : last);
}

size_t
kernel_histogram_bin(float x, float min, float scale, size_t nbins)
{
	return bin_of(x, min, scale, nbins);
}

void
kernel_histogram(const float *x, size_t n, float min, float scale,
				 KernelBin *bins, size_t nbins)
{
	for (size_t i = 0; i < n; i++)
	{
		size_t		place = bin_of(x[i], min, scale, nbins);
		KernelBin  *bin = &bins[place];

		bin->weight += 1;
		bin->sum += (double) x[i];
	}
}

void
kernel_histogram_extremes(const float *x, size_t n, float min, float scale,
						  KernelExtremes *bins, size_t nbins)
{
	for (size_t i = 0; i < n; i++)
	{
		size_t		place = bin_of(x[i], min, scale, nbins);
		KernelExtremes *bin = &bins[place];

		bin->min = x[i] < bin->min ? x[i] : bin->min;
		bin->max = x[i] > bin->max ? x[i] : bin->max;
	}
}

/* ---------- the best cuts ---------- */

/* What the points from i up to j are worth as a cluster. */
static inline double
worth(const KernelBin *before, size_t i, size_t j)
{
	double		sum = before[j].sum - before[i].sum;

	return sum * sum / (before[j].weight - before[i].weight);
}

/* The places first to last, whose clusters start at low to high. */
static void
solve(const KernelBin *before, const double *fewer, double *best,
	  uint16_t *starts, size_t first, size_t last, size_t low, size_t high)
{
	while (first <= last)
	{
		size_t		middle = first + (last - first) / 2;
		size_t		end = high < middle - 1 ? high : middle - 1;
		size_t		start = low;
		double		most = -1;

		for (size_t i = low; i <= end; i++)
		{
			double		each = fewer[i] + worth(before, i, middle);

			if (each > most)
			{
				most = each;
				start = i;
			}
		}
		best[middle] = most;
		starts[middle] = (uint16_t) start;
		if (middle > first)
			solve(before, fewer, best, starts, first, middle - 1, low, start);
		first = middle + 1;
		low = start;
	}
}

void
kernel_cluster_first(const KernelBin *before, size_t n, double *best)
{
	best[0] = 0;
	for (size_t j = 1; j <= n; j++)
		best[j] = worth(before, 0, j);
}

void
kernel_cluster_next(const KernelBin *before, size_t n, size_t k,
					const double *fewer, double *best, uint16_t *starts)
{
	if (k <= n)
		solve(before, fewer, best, starts, k, n, k - 1, n - 1);
}

/* ---------- who is in which ---------- */

/* So few limits are all compared, which makes vector code. */
#define FEW 15

KERNEL_CLONES
static void
assign_few(uint8_t *restrict codes, const float *restrict x, size_t n,
		   const float *restrict limits)
{
	for (size_t i = 0; i < n; i++)
	{
		int32_t		code = 0;

		for (int j = 0; j < FEW; j++)
			code += x[i] > limits[j] ? 1 : 0;
		codes[i] = (uint8_t) code;
	}
}

void
kernel_assign_init(KernelAssigner *assigner, const float *limits, int n)
{
	float		width;

	assigner->n = n;
	for (int i = 0; i < KERNEL_ASSIGN_LIMITS; i++)
		assigner->limits[i] = i < n ? limits[i] : INFINITY;
	assigner->min = n > 0 ? limits[0] : 0;
	width = n > 0 ? limits[n - 1] - limits[0] : 0;
	assigner->scale = width > 0 ? KERNEL_ASSIGN_BINS / width : 0;
	if (!isfinite(assigner->scale))
		assigner->scale = 0;

	/*
	 * Whatever rounding does to the bin of a number, a larger number is not in
	 * an earlier one; so a float is beyond all limits of bins before its own.
	 */
	memset(assigner->first, 0, sizeof(assigner->first));
	for (int i = 0; i < n; i++)
	{
		size_t		bin = bin_of(limits[i], assigner->min,
											   assigner->scale,
											   KERNEL_ASSIGN_BINS);

		if (bin + 1 < KERNEL_ASSIGN_BINS)
			assigner->first[bin + 1] = (uint8_t) (i + 1);
	}
	for (int i = 1; i < KERNEL_ASSIGN_BINS; i++)
	{
		if (assigner->first[i] < assigner->first[i - 1])
			assigner->first[i] = assigner->first[i - 1];
	}
}

void
kernel_assign(const KernelAssigner *assigner, uint8_t *codes, const float *x,
			  size_t n)
{
	if (assigner->n <= FEW)
	{
		assign_few(codes, x, n, assigner->limits);
		return;
	}
	for (size_t i = 0; i < n; i++)
	{
		unsigned	code =
			assigner->first[bin_of(x[i], assigner->min,
												 assigner->scale,
												 KERNEL_ASSIGN_BINS)];

		while (x[i] > assigner->limits[code])
			code++;
		codes[i] = (uint8_t) code;
	}
}
