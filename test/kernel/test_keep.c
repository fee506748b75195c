/*
 * test_keep.c
 *		What stays and what goes, and what is made of it.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <string.h>

/* Keys of few values, so that there are ties. */
static uint64_t
put_key(void *keys, size_t i, int width, uint64_t different)
{
	uint64_t	key = draw() % different;

	memcpy((char *) keys + i * width, &key, width);
	return key;
}

static bool
above(int width)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (int turn = 0; turn < 12; turn++)
		{
			size_t		n = lengths[i];
			void	   *keys = buffer(n * width, draw_below(3) * width);
			uint8_t    *keep = buffer(n, draw_below(3));
			uint8_t    *wanted = buffer(n, 0);
			uint64_t	threshold = draw_below(12);
			int64_t		ties = (int64_t) draw_below(turn % 2 ? 4 : n + 4);
			int64_t		left = ties;

			for (size_t j = 0; j < n; j++)
			{
				uint64_t	key = put_key(keys, j, width, 10);

				wanted[j] = key > threshold;
				if (key == threshold && left > 0)
					left--;
				else if (key == threshold)
					wanted[j] = 1;
			}
			kernel_keep_above(keys, n, width, threshold, &ties, keep);
			good &= ties == left && same(keep, wanted, n);
			free_buffers();
		}
	return good;
}

static bool
by_value(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		double	   *x = buffer(n * 8, draw_below(3) * 8);
		uint8_t    *keep = buffer(n, draw_below(3));

		fill_doubles(x, n, true);
		kernel_keep_nonzero(x, n, keep);
		for (size_t j = 0; j < n; j++)
			good &= keep[j] == (x[j] != 0);
		for (int turn = 0; turn < 4; turn++)
		{
			double		threshold = turn == 0 || n == 0 ? 0.5 :
				fabs(x[draw_below(n)]);

			kernel_keep_from(x, n, threshold, keep);
			for (size_t j = 0; j < n && !isnan(threshold); j++)
				good &= keep[j] == (isnan(x[j]) || fabs(x[j]) >= threshold);
		}
		free_buffers();
	}
	return good;
}

/* ---------- n of every m ---------- */

/* How many of a group's other keys go before key j. */
static int
go_before(const uint64_t *group, int m, int j)
{
	int			before = 0;

	for (int i = 0; i < m; i++)
		before += group[i] < group[j] || (group[i] == group[j] && i < j);
	return before;
}

/* Groups side by side (as along a row), or one key of each after another (as
 * down the columns), perhaps with a gap. */
static bool
largest_of(int width, int n, int m, size_t groups, bool rows)
{
	size_t		gap = draw_below(3);
	size_t		group_step = rows ? (size_t) m + gap : 1;
	size_t		step = rows ? 1 : groups + gap;
	size_t		size = groups > 0 ?
		(groups - 1) * group_step + (size_t) (m - 1) * step + 1 : 0;
	void	   *keys = buffer(size * width, 0);
	uint8_t    *keep = buffer(size, draw_below(3));
	uint8_t    *wanted = buffer(size, 0);
	bool		good;

	if (size > 0)
		memcpy(wanted, keep, size);
	for (size_t g = 0; g < groups; g++)
	{
		uint64_t	group[KERNEL_PATTERN_MAX];

		for (int j = 0; j < m; j++)
			group[j] = put_key(keys, g * group_step + (size_t) j * step, width,
							   draw_below(3) == 0 ? 3 : 1000);
		for (int j = 0; j < m; j++)
			wanted[g * group_step + (size_t) j * step] =
				go_before(group, m, j) >= m - n;
	}
	kernel_keep_largest(keys, width, groups, group_step, step, n, m, keep);
	good = same(keep, wanted, size);
	if (!good)
		note("%d of %d, %zu groups; ", n, m, groups);
	free_buffers();
	return good;
}

static bool
patterns(int width)
{
	static const size_t groups[] = {0, 1, 2, 31, 127, KERNEL_PATTERN_GROUPS};
	static const int sizes[] = {1, 2, 3, 4, 8, 16, 33, KERNEL_PATTERN_MAX};
	bool		good = true;

	for (int s = 0; s < 8; s++)
		for (int n = 0; n <= sizes[s]; n += 1 + sizes[s] / 8)
			for (int g = 0; g < 6; g++)
			{
				good &= largest_of(width, n, sizes[s], groups[g], true);
				good &= largest_of(width, n, sizes[s], groups[g], false);
			}
	return good;
}

/* ---------- applied ---------- */

/* All bits but, in a float, the highest: those of which a zero has none. */
static bool
is_zero(const uint8_t *element, int width, bool is_float)
{
	uint8_t		all = 0;

	for (int i = 0; i < width; i++)
		all |= i == width - 1 && is_float ? element[i] & 0x7f : element[i];
	return all == 0;
}

static bool
applied(int width, bool is_float, size_t n)
{
	uint8_t    *src = buffer(n * width, draw_below(3) * width);
	uint8_t    *dst = buffer(n * width, draw_below(3) * width);
	uint8_t    *wanted = buffer(n * width, 0);
	uint8_t    *keep = buffer(n, draw_below(3));
	KernelKept	counts = {1000, 2000, 3000};
	KernelKept	right = counts;
	int			mostly = 1 + (int) draw_below(9);
	bool		good;

	fill_sparse(src, n, width, 700);
	for (size_t i = 0; i < n; i++)
	{
		uint8_t    *element = src + i * width;

		/* -0 is a zero of its own kind. */
		if (draw_below(5) == 0)
		{
			memset(element, 0, width);
			element[width - 1] = 0x80;
		}
		keep[i] = draw_below(10) < (size_t) mostly;
		memset(wanted + i * width, 0, width);
		if (keep[i])
			memcpy(wanted + i * width, element, width);
		right.kept += keep[i];
		right.zeros_before += is_zero(element, width, is_float);
		right.zeros_after += is_zero(wanted + i * width, width, is_float);
	}
	kernel_apply_keep(dst, src, keep, n, width, is_float, &counts);
	good = same(dst, wanted, n * width) && same(&counts, &right, sizeof(counts));
	if (!good)
		note("n %zu; ", n);
	free_buffers();
	return good;
}

static bool
applies(int width)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (int turn = 0; turn < 8; turn++)
			good &= applied(width, turn % 2, lengths[i]);

	/* Counters do not wrap. */
	return good && applied(width, true, 300000);
}

/* Nothing but ones, and nothing but zeros, many times over. */
static bool
counts_do_not_wrap(int width)
{
	size_t		n = 300000;
	uint8_t    *src = buffer(n * width, 0);
	uint8_t    *dst = buffer(n * width, 0);
	uint8_t    *keep = buffer(n, 0);
	KernelKept	counts = {0, 0, 0};

	memset(src, 0, n * width);
	memset(keep, 1, n);
	kernel_apply_keep(dst, src, keep, n, width, false, &counts);
	free_buffers();
	return counts.kept == (int64_t) n && counts.zeros_before == (int64_t) n &&
		counts.zeros_after == (int64_t) n;
}

void
test_keep(void)
{
	for (int width = 4; width <= 8; width += 4)
	{
		ok(above(width), "keep: above a threshold, keys of %d bytes", width);
		ok(patterns(width), "keep: n of every m, keys of %d bytes", width);
	}
	ok(by_value(), "keep: by value");
	for (int width = 1; width <= 8; width *= 2)
	{
		ok(applies(width), "keep: applied to elements of %d bytes", width);
		ok(counts_do_not_wrap(width), "keep: counts of many elements of %d bytes",
		   width);
	}
}
