/*
 * merge.c
 *		Numbers of two sequences, or of two and the one that both come from,
 *		made one.
 *
 * Each result depends on the elements of its own place alone, so there is no
 * order to keep.  What the formulas are called, and where they come from, is
 * written where they are chosen.
 */
#include "kernel/kernel.h"

KERNEL_CLONES
void
kernel_merge_linear(double *dst, const double *x, const double *y,
					double weight_x, double weight_y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = weight_x * x[i] + weight_y * y[i];
}

KERNEL_CLONES
void
kernel_task_vector(double *dst, const double *x, const double *base, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = x[i] == base[i] ? 0 : x[i] - base[i];
}

KERNEL_CLONES
void
kernel_merge_task(double *dst, const double *base, const double *dx,
				  const double *dy, double weight_x, double weight_y,
				  double lambda, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = base[i] + lambda * (weight_x * dx[i] + weight_y * dy[i]);
}

/*
 * A sum of zero elects the positive sign, and a zero agrees with none.  What
 * is no number stays none, and comparisons with it would lose it.
 */
KERNEL_CLONES
void
kernel_merge_ties(double *dst, const double *base, const double *dx,
				  const double *dy, const uint8_t *keep_x,
				  const uint8_t *keep_y, double weight_x, double weight_y,
				  double lambda, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		double		x = keep_x[i] ? weight_x * dx[i] : 0;
		double		y = keep_y[i] ? weight_y * dy[i] : 0;
		double		sum = x + y;
		double		sign = sum < 0 ? -1 : 1;
		int			agrees_x = x * sign > 0;
		int			agrees_y = y * sign > 0;
		double		divisor = (agrees_x ? weight_x : 0) +
			(agrees_y ? weight_y : 0);
		double		mean = ((agrees_x ? x : 0) + (agrees_y ? y : 0)) /
			(divisor == 0 ? 1 : divisor);

		dst[i] = base[i] + lambda * (sum == sum ? mean : sum);
	}
}
