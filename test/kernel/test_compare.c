/*
 * test_compare.c
 *		Distances of two sequences: against sums in the C library's widest
 *		type, with numbers that are none, and the same bits however they are
 *		cut.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <string.h>

static void
compare_f64(KernelComparison *c, const double *x, const double *y, size_t n)
{
	kernel_compare_init(c);
	kernel_compare_f64(c, x, y, n);
	kernel_compare_finish(c);
}

static bool
near(double got, long double wanted, long double scale)
{
	return fabsl((long double) got - wanted) <= 1e-14L * scale;
}

/* The specification, pair by pair. */
static bool
as_specified(const KernelComparison *c, const double *x, const double *y,
			 size_t n)
{
	long double squares = 0,
				first = 0,
				second = 0,
				products = 0,
				magnitudes = 0;
	double		max_abs = 0;
	int64_t		count = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (!isfinite(x[i]) || !isfinite(y[i]))
			continue;
		count++;
		squares += ((long double) y[i] - x[i]) * ((long double) y[i] - x[i]);
		first += (long double) x[i] * x[i];
		second += (long double) y[i] * y[i];
		products += (long double) x[i] * y[i];
		magnitudes += fabsl((long double) x[i] * y[i]);
		max_abs = fmax(max_abs, fabs(y[i] - x[i]));
	}
	return c->count == count && c->max_abs == max_abs &&
		near(c->squares, squares, squares * 10) &&
		near(c->first_squares, first, first) &&
		near(c->second_squares, second, second) &&
		near(c->products, products, magnitudes);
}

static bool
sums(bool special)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		double	   *x = buffer(n * 8, 8);
		double	   *y = buffer(n * 8, 16);
		float	   *narrow_x = buffer(n * 4, 4);
		float	   *narrow_y = buffer(n * 4, 12);
		KernelComparison c;
		bool		right;

		fill_floats(narrow_x, n, special);
		fill_floats(narrow_y, n, special);
		for (size_t j = 0; j < n; j++)
		{
			x[j] = narrow_x[j];
			y[j] = narrow_y[j];
		}
		kernel_compare_init(&c);
		kernel_compare_f32(&c, narrow_x, narrow_y, n);
		kernel_compare_finish(&c);
		right = as_specified(&c, x, y, n);
		digest(&c, sizeof(c));
		compare_f64(&c, x, y, n);
		right &= as_specified(&c, x, y, n);
		digest(&c, sizeof(c));
		if (!right)
			note("n %zu; ", n);
		good &= right;
		free_buffers();
	}
	return good;
}

static bool
cuts(void)
{
	const size_t n = 5 * KERNEL_STATS_BLOCK + 77;
	double	   *x = buffer(n * 8, 0);
	double	   *y = buffer(n * 8, 0);
	KernelComparison whole,
				cut;
	size_t		done = 0;

	fill_doubles(x, n, true);
	fill_doubles(y, n, true);
	compare_f64(&whole, x, y, n);
	kernel_compare_init(&cut);
	while (done < n)
	{
		size_t		m = (1 + draw_below(2)) * KERNEL_STATS_BLOCK;

		m = m < n - done ? m : n - done;
		kernel_compare_f64(&cut, x + done, y + done, m);
		done += m;
	}
	kernel_compare_finish(&cut);
	free_buffers();
	return same(&whole, &cut, sizeof(whole));
}

static bool
extremes(void)
{
	double		x[3] = {1e300, -1e300, 1};
	double		y[3] = {-1e300, 1e300, NAN};
	KernelComparison c;
	bool		good;

	compare_f64(&c, x, y, 3);
	good = c.count == 2 && c.max_abs == 2e300 && isinf(c.squares) &&
		isinf(c.first_squares);
	compare_f64(&c, x + 2, y + 2, 1);
	good &= c.count == 0 && c.max_abs == 0 && c.squares == 0;
	compare_f64(&c, x, y, 0);
	return good && c.count == 0 && c.products == 0;
}

static bool
different(void)
{
	static const int widths[] = {1, 2, 4, 8};
	bool		good = true;

	for (int w = 0; w < 4; w++)
		for (int i = 0; i < nlengths; i++)
		{
			size_t		n = lengths[i];
			int			width = widths[w];
			uint8_t    *x = buffer(n * width, width);
			uint8_t    *y = buffer(n * width, width);
			size_t		wanted = 0;

			fill(x, n * width);
			memcpy(y, x, n * width);
			for (size_t j = 0; j < n; j++)
				if (draw_below(3) == 0)
				{
					y[j * width + draw_below(width)] ^= (uint8_t) (1 << draw_below(8));
					wanted++;
				}
			good &= kernel_count_different(x, y, n, width) == wanted;
			good &= kernel_count_different(x, x, n, width) == 0;
			memset(x, 0, n * width);
			memset(y, 0xff, n * width);
			good &= kernel_count_different(x, y, n, width) == n;
			free_buffers();
		}
	return good;
}

void
test_compare(void)
{
	ok(sums(false), "distances of floats and doubles");
	ok(sums(true), "distances of those pairs that are finite");
	ok(cuts(), "distances do not depend on where a sequence is cut");
	ok(extremes(), "distances that overflow, and none");
	ok(different(), "elements with other bits");
}
