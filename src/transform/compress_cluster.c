/*
 * compress_cluster.c
 *		Weights that share values: the best 2^bits of them.
 *
 * The values are the means of clusters, and the clusters those of the least
 * squared distances from their means, exact for a histogram of the elements
 * that is much finer than the clusters are.  If there are zeros, zero is one of
 * the values, so that what was pruned stays zero.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "transform/compress.h"

/* Bins of the histogram: dozens for each of as many clusters as can be. */
#define BINS	16384

/* Bins with points; before[i] is what lies in those before bin i. */
typedef struct Points
{
	size_t		n;
	KernelBin  *before;
} Points;

/* Zeros do not count when they have a value of their own. */
static void
count_elements(Line *line, KernelBin *bins)
{
	int64		count = line->target->payload->count;
	float		scale = line_scale(line, BINS);

	for (int64 done = 0; done < count; done += LINE_PIECE)
	{
		int64		n = Min(count - done, LINE_PIECE);

		CHECK_FOR_INTERRUPTS();
		kernel_histogram(line_piece(line, done, n), n, line->min, scale, bins,
						 BINS);
	}
	if (line->zeros > 0)
		bins[kernel_histogram_bin(0, line->min, scale, BINS)].weight -=
			(double) line->zeros;
}

/* Brings the bins with points together, in place; sums are those of distances
 * from the middle, lest they drown in it. */
static Points
gather_points(KernelBin *bins, double middle)
{
	Points		points = {0};
	KernelBin	before = {0};

	for (int i = 0; i < BINS; i++)
	{
		KernelBin	bin = bins[i];

		if (bin.weight <= 0)
			continue;
		bins[points.n++] = before;
		before.weight += bin.weight;
		before.sum += bin.sum - middle * bin.weight;
	}
	bins[points.n] = before;
	points.before = bins;
	return points;
}

/* The means of the best k clusters. */
static void
best_means(const Points *points, int k, double middle, Palette *palette)
{
	double	   *fewer = palloc((points->n + 1) * sizeof(double));
	double	   *best = palloc((points->n + 1) * sizeof(double));
	uint16	   *starts;
	size_t		end = points->n;

	k = Min(k, (int) points->n);
	starts = palloc_extended((size_t) Max(k, 1) * (points->n + 1) * sizeof(uint16),
							 MCXT_ALLOC_HUGE);
	kernel_cluster_first(points->before, points->n, fewer);
	for (int i = 2; i <= k; i++)
	{
		double	   *swap = fewer;

		CHECK_FOR_INTERRUPTS();
		kernel_cluster_next(points->before, points->n, i, fewer, best,
							starts + (i - 1) * (points->n + 1));
		fewer = best;
		best = swap;
	}
	palette->n = k;
	for (int i = k; i-- > 0;)
	{
		size_t		start = i == 0 ? 0 : starts[i * (points->n + 1) + end];
		double		weight = points->before[end].weight -
			points->before[start].weight;
		double		sum = points->before[end].sum - points->before[start].sum;

		palette->values[i] = middle + sum / weight;
		end = start;
	}
	pfree(fewer);
	pfree(best);
	pfree(starts);
}

static void
choose_values(Line *line, int k, Palette *palette)
{
	KernelBin  *bins = palloc0((BINS + 1) * sizeof(KernelBin));
	double		middle = ((double) line->min + (double) line->max) / 2;
	Points		points;

	count_elements(line, bins);
	points = gather_points(bins, middle);
	best_means(&points, line->zeros > 0 ? k - 1 : k, middle, palette);
	palette_round(palette, line->target->payload->dtype);
	if (line->zeros > 0)
		palette_add_zero(palette);
	pfree(bins);
}

const char *
compress_cluster(const EncodeTarget *target, const void *arg, Model *out)
{
	const CompressRequest *request = arg;
	int			k = 1 << request->bits;
	const char *why;
	Palette		palette;
	Line		line;

	if (target->payload->count == 0)
		return "it has no elements";
	encode_refuse_lossy(target, "cluster", "Decompress the model first.");
	line_open(&line, target);
	if (palette_encode_exact(target, k, out, &why))
		return why;
	if (palette_stored(target->payload, k) >= target->payload->stored)
		return encode_no_smaller(target);
	choose_values(&line, k, &palette);
	palette_encode(&line, &palette, out);
	line_close(&line);
	return NULL;
}
