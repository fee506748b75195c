/*
 * test_norm.c
 *		Norms of slices: against a sum in the order that norm.c promises.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>

#define P 1.7

static const KernelNorm norms[] = {
	KERNEL_NORM_0, KERNEL_NORM_1, KERNEL_NORM_2, KERNEL_NORM_P,
	KERNEL_NORM_MAX, KERNEL_NORM_MIN
};
static const char *const names[] = {"0", "1", "2", "1.7", "max", "min"};

static double
naive_term(KernelNorm norm, double x)
{
	if (norm == KERNEL_NORM_0)
		return x != 0 ? 1 : 0;
	if (norm == KERNEL_NORM_2)
		return x * x;
	if (norm == KERNEL_NORM_P)
		return pow(fabs(x), P);
	return fabs(x);
}

static double
naive_join(KernelNorm norm, double a, double b)
{
	if (norm != KERNEL_NORM_MAX && norm != KERNEL_NORM_MIN)
		return a + b;
	if (isnan(a) || isnan(b))
		return NAN;
	return norm == KERNEL_NORM_MAX ? fmax(a, b) : fmin(a, b);
}

/* Eight sums, of every eighth element each, added up in order. */
static double
naive_run(KernelNorm norm, double sum, const double *x, size_t n)
{
	int			lanes = norm == KERNEL_NORM_P ? 1 : 8;

	for (int lane = 0; lane < lanes; lane++)
	{
		double		part = kernel_norm_start(norm);

		for (size_t i = (size_t) lane; i < n; i += (size_t) lanes)
			part = naive_join(norm, part, naive_term(norm, x[i]));
		sum = naive_join(norm, sum, part);
	}
	return sum;
}

static bool
equal(double a, double b)
{
	return isnan(a) ? isnan(b) != 0 : a == b;
}

static bool
sums_run(KernelNorm norm, size_t n, bool special, bool cut)
{
	double	   *x = buffer(n * 8, draw_below(4) * 8);
	double		start = kernel_norm_start(norm);
	KernelNormRun run;
	double		sum;
	bool		good;

	fill_doubles(x, n, special);
	kernel_norm_begin(norm, &run);
	for (size_t done = 0; done < n;)
	{
		size_t		m = cut ? draw_below(n - done + 1) : n;

		kernel_norm_add(norm, P, &run, x + done, m);
		done += m;
	}
	sum = kernel_norm_end(norm, &run, start);
	good = equal(sum, naive_run(norm, start, x, n));
	if (!good)
		note("n %zu: %a; ", n, sum);
	else if (!isnan(sum))
		digest(&sum, norm == KERNEL_NORM_P ? 0 : sizeof(sum));
	free_buffers();
	return good;
}

static bool
runs(KernelNorm norm)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (int turn = 0; turn < 12; turn++)
			good &= sums_run(norm, lengths[i], turn % 4 == 3, turn % 2 == 1);
	return good;
}

static bool
each(KernelNorm norm)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		double	   *sums = buffer(n * 8, draw_below(3) * 8);
		double	   *wanted = buffer(n * 8, 0);
		double	   *x = buffer(n * 8, draw_below(3) * 8);

		for (size_t j = 0; j < n; j++)
			sums[j] = wanted[j] = kernel_norm_start(norm);
		for (int row = 0; row < 5; row++)
		{
			fill_doubles(x, n, row == 4);
			kernel_norm_add_each(norm, P, sums, x, n);
			for (size_t j = 0; j < n; j++)
				wanted[j] = naive_join(norm, wanted[j], naive_term(norm, x[j]));
		}
		for (size_t j = 0; j < n; j++)
			good &= equal(sums[j], wanted[j]);
		free_buffers();
	}
	return good;
}

/* 3 and 4 and -12: by arithmetic. */
static bool
by_arithmetic(void)
{
	static const double x[] = {3, 0, 4, -12};
	static const double wanted[] = {3, 19, 169, 0, 12, 0};
	bool		good = true;

	for (int i = 0; i < 6; i++)
	{
		KernelNormRun run;

		if (norms[i] == KERNEL_NORM_P)
			continue;
		kernel_norm_begin(norms[i], &run);
		kernel_norm_add(norms[i], 0, &run, x, 4);
		good &= kernel_norm_end(norms[i], &run, kernel_norm_start(norms[i])) ==
			wanted[i];
	}
	return good;
}

/* Both ways through a matrix of small whole numbers, whose sums are exact in
 * any order; rows are cut anyhow. */
static bool
both_ways(bool squares, size_t run)
{
	bool		good = true;

	for (size_t columns = 1; columns < 70; columns += 3)
	{
		float	   *x = buffer(columns * run * 4, draw_below(3) * 4);
		double	   *sums = buffer(columns * 8, draw_below(3) * 8);
		double	   *wanted = buffer(columns * 8, 0);
		double		row_wanted = 0;
		double		row = 0;
		double		lanes[KERNEL_NORM_LANES] = {0};

		for (size_t i = 0; i < columns; i++)
		{
			sums[i] = wanted[i] = i % 5;
			for (size_t j = 0; j < run; j++)
			{
				double		value = (double) draw_below(2001) - 1000;

				x[i * run + j] = value;
				value = squares ? value * value : fabs(value);
				wanted[i] += value;
				row_wanted += value;
			}
		}
		for (size_t done = 0; done < columns;)
		{
			size_t		n = (1 + draw_below(4)) * KERNEL_NORM_LANES;

			n = n < columns - done ? n : columns - done;
			kernel_norm_row(squares, x + done * run, n, run, lanes,
							sums + done);
			done += n;
		}
		for (int lane = 0; lane < KERNEL_NORM_LANES; lane++)
			row += lanes[lane];
		good &= row == row_wanted;
		for (size_t i = 0; i < columns; i++)
			good &= sums[i] == wanted[i];
		free_buffers();
	}
	return good;
}

void
test_norm(void)
{
	for (int squares = 0; squares < 2; squares++)
	{
		ok(both_ways(squares, 1), "norm: both ways, %s", squares ? "squares" : "magnitudes");
		ok(both_ways(squares, 9), "norm: both ways, %s of runs", squares ? "squares" : "magnitudes");
	}
	ok(by_arithmetic(), "norm: of four numbers");
	for (int i = 0; i < 6; i++)
	{
		ok(runs(norms[i]), "norm: %s, along memory, cut anyhow", names[i]);
		ok(each(norms[i]), "norm: %s, across", names[i]);
	}
}
