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

#include <string.h>

/* ---------- histograms ---------- */

size_t
kernel_histogram_bin(float x, float min, float scale, size_t nbins)
{
	float		place = (x - min) * scale;
	size_t		bin = place > 0 ? (size_t) place : 0;

	return bin < nbins ? bin : nbins - 1;
}

void
kernel_histogram(const float *x, size_t n, float min, float scale,
				 KernelBin *bins, size_t nbins)
{
	for (size_t i = 0; i < n; i++)
	{
		size_t		place = kernel_histogram_bin(x[i], min, scale, nbins);
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
		size_t		place = kernel_histogram_bin(x[i], min, scale, nbins);
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

#define BLOCK 64

/* A binary search without branches, one step for all of a block. */
KERNEL_CLONES
void
kernel_assign(uint8_t *restrict codes, const float *restrict x, size_t n,
			  const float *restrict limits, int bits)
{
	for (size_t done = 0; done < n; done += BLOCK)
	{
		size_t		m = n - done < BLOCK ? n - done : BLOCK;
		int32_t		places[BLOCK] = {0};
		float		block[BLOCK] = {0};

		memcpy(block, x + done, m * sizeof(float));
		for (int32_t step = 1 << (bits - 1); step > 0; step /= 2)
			for (int i = 0; i < BLOCK; i++)
				places[i] += block[i] > limits[places[i] + step - 1] ? step : 0;
		for (size_t i = 0; i < m; i++)
			codes[done + i] = (uint8_t) places[i];
	}
}
