/*
 * histogram.c
 *		How many numbers lie in bins of equal width.
 *
 * A number's bin is by its distance from the lower end as a fraction of the
 * range, which is exact to the last bit at both ends and cannot overflow where
 * the range does: halves have the same fractions.
 */
#include "kernel/kernel.h"

#include <math.h>

void
kernel_histogram_f64(int64_t *counts, int bins, double low, double high,
					 const double *x, size_t n)
{
	const double unit = isinf(high - low) ? 0.5 : 1;
	const double start = low * unit;
	const double range = high * unit - start;

	for (size_t i = 0; i < n; i++)
	{
		/* Not so for a NaN, and nothing is within a range that is none. */
		if (x[i] >= low && x[i] <= high)
		{
			double		place = range > 0 ? (x[i] * unit - start) / range : 0;
			int			bin = (int) (place * bins);

			counts[bin < bins ? bin : bins - 1]++;
		}
	}
}
