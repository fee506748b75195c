/*
 * test_cluster.c
 *		Codes of any bits, histograms, cuts and products of matrices, against
 *		plain loops.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <string.h>

/* ---------- bits ---------- */

static bool
bits_round_trip(int bits)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		size_t		bytes = (n * bits + 7) / 8;
		uint8_t    *codes = buffer(n, 1);
		uint8_t    *back = buffer(n, 0);
		uint8_t    *packed = buffer(bytes, 3);

		fill(codes, n);
		for (size_t j = 0; j < n; j++)
			codes[j] &= (1 << bits) - 1;
		kernel_pack_bits(packed, codes, n, bits);
		kernel_unpack_bits(back, packed, n, bits);
		good &= same(codes, back, n);
		for (size_t j = 0; j < n * bits; j++)
			good &= ((packed[j / 8] >> j % 8) & 1) ==
				((codes[j / bits] >> j % bits) & 1);
		for (size_t j = n * bits; j < bytes * 8; j++)
			good &= ((packed[j / 8] >> j % 8) & 1) == 0;
		digest(packed, bytes);
		free_buffers();
	}
	return good;
}

static bool
lookups(int width)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		uint8_t    *codes = buffer(n, 1);
		uint8_t    *values = buffer(256 * width, 8);
		uint8_t    *dst = buffer(n * width, 8);

		fill(codes, n);
		fill(values, 256 * width);
		kernel_lookup(dst, codes, n, values, width);
		for (size_t j = 0; j < n; j++)
			good &= same(dst + j * width, values + codes[j] * width, width);
		free_buffers();
	}
	return good;
}

/* ---------- histograms ---------- */

static bool
histograms(void)
{
	enum
	{
	NBINS = 37};
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		float	   *x = buffer(n * 4, 4);
		KernelBin	bins[NBINS] = {{0, 0}};
		KernelExtremes extremes[NBINS];
		double		sum = 0;
		double		weight = 0;

		for (int j = 0; j < NBINS; j++)
		{
			extremes[j].min = INFINITY;
			extremes[j].max = -INFINITY;
		}
		for (size_t j = 0; j < n; j++)
			x[j] = ((float) draw_below(20001) - 10000) / 5000;
		kernel_histogram(x, n, -2, NBINS / 4.0f, bins, NBINS);
		kernel_histogram_extremes(x, n, -2, NBINS / 4.0f, extremes, NBINS);
		for (size_t j = 0; j < n; j++)
		{
			size_t		bin = kernel_histogram_bin(x[j], -2, NBINS / 4.0f, NBINS);

			good &= bin < NBINS;
			good &= extremes[bin].min <= x[j] && extremes[bin].max >= x[j];
			sum += x[j];
		}
		for (int j = 0; j < NBINS; j++)
		{
			weight += bins[j].weight;
			sum -= bins[j].sum;
			good &= (bins[j].weight > 0) == (extremes[j].min <= extremes[j].max);
		}
		good &= weight == (double) n && fabs(sum) < 1e-9 * (double) (n + 1);
		free_buffers();
	}
	return good;
}

static bool
assigns(int nlimits)
{
	static KernelAssigner assigner;
	float		limits[256];
	bool		good = true;

	limits[0] = -3;
	for (int i = 1; i < nlimits; i++)
		limits[i] = limits[i - 1] + (float) draw_below(1000) / 50000;
	kernel_assign_init(&assigner, limits, nlimits);
	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		float	   *x = buffer(n * 4, 4);
		uint8_t    *codes = buffer(n, 1);

		for (size_t j = 0; j < n; j++)
		{
			/* Some are limits, and so not beyond them. */
			x[j] = ((float) draw_below(20001) - 10000) / 2000;
			if (nlimits > 0 && j % 3 == 0)
				x[j] = limits[draw_below((size_t) nlimits)];
		}
		kernel_assign(&assigner, codes, x, n);
		for (size_t j = 0; j < n; j++)
		{
			int			code = 0;

			while (code < nlimits && x[j] > limits[code])
				code++;
			good &= codes[j] == code;
		}
		digest(codes, n);
		free_buffers();
	}
	return good;
}

/* ---------- the best cuts ---------- */

/* The worth of the best k clusters of the first n points, trying all. */
static double
best_of_all(const KernelBin *before, size_t n, int k)
{
	double		most = -1;

	if (k == 1)
		return before[n].sum * before[n].sum / before[n].weight;
	for (size_t i = (size_t) k - 1; i < n; i++)
	{
		double		sum = before[n].sum - before[i].sum;
		double		each = best_of_all(before, i, k - 1) +
			sum * sum / (before[n].weight - before[i].weight);

		most = each > most ? each : most;
	}
	return most;
}

static bool
cuts(void)
{
	enum
	{
	N = 14};
	bool		good = true;

	for (int round = 0; round < 50; round++)
	{
		KernelBin	before[N + 1] = {{0, 0}};
		double		fewer[N + 1];
		double		best[N + 1];
		uint16_t	starts[N + 1];
		double		place = -3;

		for (int i = 0; i < N; i++)
		{
			double		weight = 1 + (double) draw_below(5);

			place += 0.01 + (double) draw_below(100) / 50;
			before[i + 1].weight = before[i].weight + weight;
			before[i + 1].sum = before[i].sum + weight * place;
		}
		kernel_cluster_first(before, N, fewer);
		for (int k = 2; k <= 4; k++)
		{
			kernel_cluster_next(before, N, (size_t) k, fewer, best, starts);
			for (size_t j = (size_t) k; j <= N; j++)
			{
				double		sum = before[j].sum - before[starts[j]].sum;

				good &= fabs(best[j] - best_of_all(before, j, k)) < 1e-9 * (1 + fabs(best[j]));
				good &= best[j] == fewer[starts[j]] + sum * sum /
					(before[j].weight - before[starts[j]].weight);
			}
			memcpy(fewer, best, sizeof(fewer));
		}
	}
	return good;
}

/* ---------- products and differences ---------- */

static bool
products(void)
{
	static const size_t columns[] = {1, 3, 16, 63, 64, 65, 130, 200};
	bool		good = true;

	for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++)
		for (size_t rows = 1; rows <= KERNEL_MULTIPLY_ROWS; rows++)
		{
			size_t		n = columns[c];
			size_t		inner = 1 + draw_below(20);
			size_t		step = n + draw_below(3);
			float	   *left = buffer(rows * inner * 4, 4);
			float	   *right = buffer(inner * step * 4, 8);
			float	   *dst = buffer(rows * n * 4, 4);
			double	   *left64 = buffer(rows * inner * 8, 8);
			double	   *right64 = buffer(inner * step * 8, 8);
			double	   *dst64 = buffer(rows * n * 8, 8);

			fill_floats(left, rows * inner, false);
			fill_floats(right, inner * step, false);
			for (size_t i = 0; i < rows * inner; i++)
				left64[i] = left[i] = (float) draw_below(1000) / 7 - 60;
			for (size_t i = 0; i < inner * step; i++)
				right64[i] = right[i] = (float) draw_below(1000) / 7 - 60;
			kernel_multiply_f32(dst, left, right, rows, inner, n, step);
			kernel_multiply_f64(dst64, left64, right64, rows, inner, n, step);
			for (size_t i = 0; i < rows; i++)
				for (size_t j = 0; j < n; j++)
				{
					volatile float sum = 0;
					volatile double sum64 = 0;

					for (size_t k = 0; k < inner; k++)
					{
						volatile float product = left[i * inner + k] * right[k * step + j];
						volatile double product64 = left64[i * inner + k] * right64[k * step + j];

						sum = sum + product;
						sum64 = sum64 + product64;
					}
					good &= dst[i * n + j] == sum && dst64[i * n + j] == sum64;
				}
			digest(dst, rows * n * 4);
			free_buffers();
		}
	return good;
}

static bool
differences(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		size_t		first = n / 2 / KERNEL_DIFFERENCE_LANES * KERNEL_DIFFERENCE_LANES;
		float	   *a = buffer(n * 4, 4);
		float	   *b = buffer(n * 4, 8);
		double	   *a64 = buffer(n * 8, 8);
		double	   *b64 = buffer(n * 8, 0);
		KernelDifference narrow;
		KernelDifference wide;
		KernelDifference odd;
		double		most = 0;
		double		errors = 0;
		double		squares = 0;

		for (size_t j = 0; j < n; j++)
		{
			a64[j] = a[j] = (float) draw_below(2000) / 1000 - 1;
			b64[j] = b[j] = (float) draw_below(2000) / 1000 - 1;
			most = fmax(most, fabs(a64[j] - b64[j]));
			errors += (a64[j] - b64[j]) * (a64[j] - b64[j]);
			squares += a64[j] * a64[j];
		}
		kernel_difference_init(&narrow);
		kernel_difference_f32(&narrow, a, b, first);
		kernel_difference_f32(&narrow, a + first, b + first, n - first);
		kernel_difference_init(&wide);
		kernel_difference_f64(&wide, a64, b64, n);
		good &= same(&narrow, &wide, sizeof(wide));
		good &= kernel_difference_max(&wide) == most;
		good &= fabs(kernel_difference_errors(&wide) - errors) <= 1e-12 * errors;
		good &= fabs(kernel_difference_squares(&wide) - squares) <= 1e-12 * squares;
		digest(&wide, sizeof(wide));

		kernel_difference_init(&odd);
		if (n > 2)
		{
			a[0] = b[0] = NAN;
			a[1] = b[1] = INFINITY;
			kernel_difference_f32(&odd, a, b, n);
			good &= kernel_difference_max(&odd) <= 2;
			b[n - 1] = NAN;
			kernel_difference_f32(&odd, a, b, n);
			good &= isnan(kernel_difference_max(&odd)) != 0;
		}
		free_buffers();
	}
	return good;
}

void
test_cluster(void)
{
	for (int bits = 1; bits <= 8; bits++)
		ok(bits_round_trip(bits), "cluster: codes of %d bits", bits);
	for (int width = 1; width <= 8; width *= 2)
		ok(lookups(width), "cluster: values of %d bytes", width);
	ok(histograms(), "cluster: histograms");
	ok(assigns(0) && assigns(1) && assigns(7) && assigns(15),
	   "cluster: few limits");
	ok(assigns(16) && assigns(100) && assigns(255), "cluster: many limits");
	ok(cuts(), "cluster: no other cuts are better");
	ok(products(), "multiply: sums in order");
	ok(differences(), "difference: the largest, and sums");
}
