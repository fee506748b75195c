/*
 * norm.c
 *		Norms of slices, in double precision and in a fixed order.
 *
 * A sum along memory runs in eight lanes that are added at the end, in every
 * variant, so that vectors give the bits of the plain loop.
 */
#include "kernel/kernel.h"

#include <math.h>

#define LANES KERNEL_NORM_LANES

double
kernel_norm_start(KernelNorm norm)
{
	return norm == KERNEL_NORM_MIN ? INFINITY : 0;
}

/* What an element adds to a sum. */
static inline __attribute__((always_inline)) double
term(KernelNorm norm, double x)
{
	switch (norm)
	{
		case KERNEL_NORM_0:
			return x != 0;
		case KERNEL_NORM_2:
			return x * x;
		default:
			return fabs(x);
	}
}

/* Once NaN, always NaN: unlike fmin and fmax. */
static inline __attribute__((always_inline)) double
join(KernelNorm norm, double a, double b)
{
	switch (norm)
	{
		case KERNEL_NORM_MAX:
			return b > a || b != b ? b : a;
		case KERNEL_NORM_MIN:
			return b < a || b != b ? b : a;
		default:
			return a + b;
	}
}

/* Element i of the run goes to lane i % LANES, however the run is cut. */
static inline __attribute__((always_inline)) void
add_along(KernelNorm norm, KernelNormRun *run, const double *x, size_t n)
{
	size_t		lane = run->n % LANES;
	size_t		i = 0;
	double		lanes[LANES];

	for (; lane > 0 && lane < LANES && i < n; lane++, i++)
		run->lanes[lane] = join(norm, run->lanes[lane], term(norm, x[i]));
	for (int j = 0; j < LANES; j++)
		lanes[j] = run->lanes[j];
	for (; i + LANES <= n; i += LANES)
		for (int j = 0; j < LANES; j++)
			lanes[j] = join(norm, lanes[j], term(norm, x[i + j]));
	for (int j = 0; i < n; i++, j++)
		lanes[j] = join(norm, lanes[j], term(norm, x[i]));
	for (int j = 0; j < LANES; j++)
		run->lanes[j] = lanes[j];
	run->n += n;
}

static inline __attribute__((always_inline)) void
add_each(KernelNorm norm, double *sums, const double *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sums[i] = join(norm, sums[i], term(norm, x[i]));
}

/* NaN^0 is no case here: p is neither 0 nor infinite. */
static void
add_powers(double p, KernelNormRun *run, const double *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		run->lanes[0] += pow(fabs(x[i]), p);
}

void
kernel_norm_begin(KernelNorm norm, KernelNormRun *run)
{
	for (int j = 0; j < LANES; j++)
		run->lanes[j] = kernel_norm_start(norm);
	run->n = 0;
}

KERNEL_CLONES
void
kernel_norm_add(KernelNorm norm, double p, KernelNormRun *run,
				const double *x, size_t n)
{
	switch (norm)
	{
		case KERNEL_NORM_0:
			add_along(KERNEL_NORM_0, run, x, n);
			break;
		case KERNEL_NORM_1:
			add_along(KERNEL_NORM_1, run, x, n);
			break;
		case KERNEL_NORM_2:
			add_along(KERNEL_NORM_2, run, x, n);
			break;
		case KERNEL_NORM_MAX:
			add_along(KERNEL_NORM_MAX, run, x, n);
			break;
		case KERNEL_NORM_MIN:
			add_along(KERNEL_NORM_MIN, run, x, n);
			break;
		default:
			add_powers(p, run, x, n);
			break;
	}
}

double
kernel_norm_end(KernelNorm norm, const KernelNormRun *run, double sum)
{
	for (int j = 0; j < LANES; j++)
		sum = join(norm, sum, run->lanes[j]);
	return sum;
}

KERNEL_CLONES
void
kernel_norm_add_each(KernelNorm norm, double p, double *sums,
					 const double *x, size_t n)
{
	switch (norm)
	{
		case KERNEL_NORM_0:
			add_each(KERNEL_NORM_0, sums, x, n);
			break;
		case KERNEL_NORM_1:
			add_each(KERNEL_NORM_1, sums, x, n);
			break;
		case KERNEL_NORM_2:
			add_each(KERNEL_NORM_2, sums, x, n);
			break;
		case KERNEL_NORM_MAX:
			add_each(KERNEL_NORM_MAX, sums, x, n);
			break;
		case KERNEL_NORM_MIN:
			add_each(KERNEL_NORM_MIN, sums, x, n);
			break;
		default:
			for (size_t i = 0; i < n; i++)
				sums[i] += pow(fabs(x[i]), p);
			break;
	}
}

/* ---------- rows and columns of a matrix ---------- */

static inline double
power_of(bool squares, float x)
{
	double		wide = x;

	return squares ? wide * wide : fabs(wide);
}

static inline void
norm_row_of_ones(bool squares, const float *x, size_t columns, double *lanes,
				 double *sums)
{
	size_t		i = 0;

	for (; i + KERNEL_NORM_LANES <= columns; i += KERNEL_NORM_LANES)
	{
		for (int lane = 0; lane < KERNEL_NORM_LANES; lane++)
		{
			double		value = power_of(squares, x[i + lane]);

			lanes[lane] += value;
			sums[i + lane] += value;
		}
	}
	for (int lane = 0; i < columns; i++, lane++)
	{
		double		value = power_of(squares, x[i]);

		lanes[lane] += value;
		sums[i] += value;
	}
}

static inline void
norm_row_of_runs(bool squares, const float *x, size_t columns, size_t run,
				 double *lanes, double *sums)
{
	for (size_t i = 0; i < columns; i++)
	{
		double		sum = 0;

		for (size_t j = 0; j < run; j++)
			sum += power_of(squares, x[i * run + j]);
		lanes[i % KERNEL_NORM_LANES] += sum;
		sums[i] += sum;
	}
}

KERNEL_CLONES void
kernel_norm_row(bool squares, const float *x, size_t columns, size_t run,
				double lanes[KERNEL_NORM_LANES], double *sums)
{
	if (run == 1 && squares)
		norm_row_of_ones(true, x, columns, lanes, sums);
	else if (run == 1)
		norm_row_of_ones(false, x, columns, lanes, sums);
	else if (squares)
		norm_row_of_runs(true, x, columns, run, lanes, sums);
	else
		norm_row_of_runs(false, x, columns, run, lanes, sums);
}
