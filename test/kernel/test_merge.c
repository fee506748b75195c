/*
 * test_merge.c
 *		Merged numbers, against the formulas written out one by one.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <string.h>

#define N 1000

static double base[N],
			x[N],
			y[N],
			dx[N],
			dy[N],
			got[N],
			wanted[N];
static uint8_t keep_x[N],
			keep_y[N];

/* NaNs are equal whatever their bits. */
static bool
same_numbers(void)
{
	for (int i = 0; i < N; i++)
	{
		bool		both_nan = isnan(got[i]) && isnan(wanted[i]);

		if (!both_nan && memcmp(&got[i], &wanted[i], sizeof(double)) != 0)
		{
			note("element %d is %.17g, not %.17g; ", i, got[i], wanted[i]);
			return false;
		}
		if (both_nan)
			got[i] = NAN;
	}
	digest(got, sizeof(got));
	return true;
}

static void
draw_all(bool special)
{
	fill_doubles(base, N, special);
	fill_doubles(x, N, special);
	fill_doubles(y, N, special);
	for (int i = 0; i < N; i++)
	{
		if (draw_below(4) == 0)
			x[i] = base[i];
		if (draw_below(4) == 0)
			y[i] = base[i];
		keep_x[i] = draw_below(3) != 0;
		keep_y[i] = draw_below(3) != 0;
	}
	kernel_task_vector(dx, x, base, N);
	kernel_task_vector(dy, y, base, N);
}

static bool
linear(bool special)
{
	draw_all(special);
	kernel_merge_linear(got, x, y, 0.3, 0.7, N);
	for (int i = 0; i < N; i++)
		wanted[i] = 0.3 * x[i] + 0.7 * y[i];
	return same_numbers();
}

/* What did not move has moved by 0, from infinity too. */
static bool
task_vectors(bool special)
{
	draw_all(special);
	memcpy(got, dx, sizeof(got));
	for (int i = 0; i < N; i++)
		wanted[i] = x[i] == base[i] ? 0.0 : x[i] - base[i];
	return same_numbers();
}

static bool
task_arithmetic(bool special)
{
	draw_all(special);
	kernel_merge_task(got, base, dx, dy, 2, -0.5, 0.4, N);
	for (int i = 0; i < N; i++)
		wanted[i] = base[i] + 0.4 * (2 * dx[i] + -0.5 * dy[i]);
	return same_numbers();
}

static double
sign_of(double v)
{
	return v > 0 ? 1 : v < 0 ? -1 : 0;
}

static bool
ties(double wx, double wy, bool special)
{
	draw_all(special);
	kernel_merge_ties(got, base, dx, dy, keep_x, keep_y, wx, wy, 0.5, N);
	for (int i = 0; i < N; i++)
	{
		double		terms[2] = {keep_x[i] ? wx * dx[i] : 0, keep_y[i] ? wy * dy[i] : 0};
		double		weights[2] = {wx, wy};
		double		elected = terms[0] + terms[1] >= 0 ? 1 : -1;
		double		sum = 0;
		double		divisor = 0;

		for (int k = 0; k < 2; k++)
			if (sign_of(terms[k]) == elected)
			{
				sum += terms[k];
				divisor += weights[k];
			}
		if (isnan(terms[0] + terms[1]))
			wanted[i] = NAN;
		else
			wanted[i] = base[i] + 0.5 * (divisor == 0 ? sum : sum / divisor);
	}
	return same_numbers();
}

void
test_merge(void)
{
	for (int special = 0; special < 2; special++)
	{
		const char *kind = special ? "any numbers" : "finite numbers";

		ok(linear(special), "weighted sums of %s", kind);
		ok(task_vectors(special), "task vectors of %s", kind);
		ok(task_arithmetic(special), "task arithmetic on %s", kind);
		ok(ties(1, 1, special) && ties(2, 0.5, special) &&
		   ties(1, -1, special), "TIES merging of %s", kind);
	}
}
