/*
 * difference.c
 *		How far two sequences of numbers are from each other.
 *
 * Sums are in double, LANES of them that are added up in a fixed order, so that
 * every vector width gives the same bits; they go on from chunk to chunk, whose
 * lengths must be multiples of LANES but for the last.
 */
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

#define LANES KERNEL_DIFFERENCE_LANES

#define INLINE static inline __attribute__((always_inline))

void
kernel_difference_init(KernelDifference *difference)
{
	memset(difference, 0, sizeof(*difference));
}

/* Equal numbers are at no distance, and neither are two NaNs; an infinity and
 * another number are as far as can be. */
INLINE double
distance(double a, double b)
{
	double		d = fabs(a - b);

	return a == b || (a != a && b != b) ? 0 : d;
}

INLINE void
add(KernelDifference *difference, size_t lane, double a, double b)
{
	double		d = distance(a, b);
	double		most = difference->max[lane];

	/* NaN stays: no comparison with it is true. */
	difference->max[lane] = d <= most ? most : d;
	difference->max[lane] = most != most ? most : difference->max[lane];
	difference->errors[lane] += d * d;
	difference->squares[lane] += a * a;
}

#define DEFINE_ADD(name, ctype) \
KERNEL_CLONES \
void \
name(KernelDifference *difference, const ctype *a, const ctype *b, size_t n) \
{ \
	KernelDifference local = *difference; \
	size_t		whole = n - n % LANES; \
\
	for (size_t i = 0; i < whole; i += LANES) \
		for (size_t lane = 0; lane < LANES; lane++) \
			add(&local, lane, (double) a[i + lane], (double) b[i + lane]); \
	for (size_t lane = 0; lane < n - whole; lane++) \
		add(&local, lane, (double) a[whole + lane], (double) b[whole + lane]); \
	*difference = local; \
}

DEFINE_ADD(kernel_difference_f32, float)
DEFINE_ADD(kernel_difference_f64, double)

double
kernel_difference_max(const KernelDifference *difference)
{
	double		most = 0;

	for (int lane = 0; lane < LANES; lane++)
	{
		if (!(difference->max[lane] <= most))
			most = difference->max[lane];
		if (most != most)
			break;
	}
	return most;
}

static double
add_lanes(const double *lanes)
{
	double		sum = 0;

	for (int lane = 0; lane < LANES; lane++)
		sum += lanes[lane];
	return sum;
}

double
kernel_difference_errors(const KernelDifference *difference)
{
	return add_lanes(difference->errors);
}

double
kernel_difference_squares(const KernelDifference *difference)
{
	return add_lanes(difference->squares);
}
