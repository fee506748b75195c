/*
 * test_histogram.c
 *		Bins of equal width: numbers whose bins are known by arithmetic, at the
 *		ends of what doubles can be, and what is outside.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <float.h>
#include <math.h>
#include <string.h>

static bool
is(const int64_t *counts, const int64_t *expected, int bins)
{
	return memcmp(counts, expected, bins * sizeof(int64_t)) == 0;
}

static bool
whole_numbers(void)
{
	double		x[1000];
	int64_t		counts[10] = {0};
	bool		good = true;

	for (int i = 0; i < 1000; i++)
		x[i] = i;
	/* In two parts, which add up; 1000 is no element, so all have a hundred. */
	kernel_histogram_f64(counts, 10, 0, 1000, x, 123);
	kernel_histogram_f64(counts, 10, 0, 1000, x + 123, 1000 - 123);
	for (int i = 0; i < 10; i++)
		good &= counts[i] == 100;
	return good;
}

static bool
outside(void)
{
	const double x[] = {-1, 0, 0.25, 0.5, 0.75, 1, 2, NAN, INFINITY, -INFINITY};
	const int64_t expected[] = {2, 3};
	int64_t		counts[2] = {0};

	kernel_histogram_f64(counts, 2, 0, 1, x, 10);
	return is(counts, expected, 2);
}

static bool
ends_of_doubles(void)
{
	const double wide[] = {-DBL_MAX, -DBL_MAX / 4, DBL_MAX / 4, DBL_MAX};
	const double narrow[] = {0, 5e-324, 1e-323, 1.5e-323};
	const double same[] = {3, 3, 4};
	const int64_t one_each[] = {1, 1, 1, 1};
	const int64_t two[] = {2, 0, 0, 0};
	int64_t		counts[3][4] = {{0}};

	kernel_histogram_f64(counts[0], 4, -DBL_MAX, DBL_MAX, wide, 4);
	kernel_histogram_f64(counts[1], 4, 0, 1.5e-323, narrow, 4);
	kernel_histogram_f64(counts[2], 4, 3, 3, same, 3);
	return is(counts[0], one_each, 4) && is(counts[1], one_each, 4) && is(counts[2], two, 4);
}

void
test_histogram(void)
{
	ok(whole_numbers(), "histogram: whole numbers");
	ok(outside(), "histogram: what is outside, and no number, is not counted");
	ok(ends_of_doubles(), "histogram: ranges that overflow, that are denormal, and of no width");
}
