/*
 * test_rank.c
 *		Keys and their order, and finding the k-th smallest.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------- keys ---------- */

/* -1, 0 or 1: how magnitudes compare, NaN being last and equal to itself. */
static int
compare_magnitudes(double a, double b)
{
	if (isnan(a) || isnan(b))
		return (isnan(a) != 0) - (isnan(b) != 0);
	return (fabs(a) > fabs(b)) - (fabs(a) < fabs(b));
}

static bool
float_keys(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		float	   *x = buffer(n * 4, draw_below(4) * 4);
		uint32_t   *keys = buffer(n * 4, draw_below(4) * 4);

		fill_floats(x, n, true);
		kernel_magnitude_keys_f32(x, n, keys);
		for (size_t j = 0; j + 1 < n; j++)
		{
			size_t		k = draw_below(n);

			good &= (keys[j] > keys[k]) - (keys[j] < keys[k]) ==
				compare_magnitudes((double) x[j], (double) x[k]);
		}
		digest(keys, n * 4);

		/* In place. */
		kernel_magnitude_keys_f32(x, n, (uint32_t *) x);
		good &= same(x, keys, n * 4);
		free_buffers();
	}
	return good;
}

static bool
double_keys(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		double	   *x = buffer(n * 8, draw_below(2) * 8);
		uint64_t   *keys = buffer(n * 8, draw_below(2) * 8);

		fill_doubles(x, n, true);
		kernel_magnitude_keys_f64(x, n, keys);
		for (size_t j = 0; j + 1 < n; j++)
		{
			size_t		k = draw_below(n);

			good &= (keys[j] > keys[k]) - (keys[j] < keys[k]) ==
				compare_magnitudes(x[j], x[k]);
		}
		digest(keys, n * 8);
		kernel_magnitude_keys_f64(x, n, (uint64_t *) x);
		good &= same(x, keys, n * 8);
		free_buffers();
	}
	return good;
}

/* SplitMix64's numbers for seed 1234567, as published with its sources. */
static bool
random_vectors(void)
{
	static const uint64_t wanted[] = {
		UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
		UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
		UINT64_C(16408922859458223821)
	};
	uint64_t	keys[5];

	kernel_random_keys(1234567, 0, 5, keys);
	return same(keys, wanted, sizeof(wanted));
}

/* The same numbers however they are asked for. */
static bool
random_stretches(void)
{
	uint64_t   *all = buffer(5000 * 8, 0);
	uint64_t   *some = buffer(5000 * 8, 8);
	bool		good = true;

	kernel_random_keys(99, 0, 5000, all);
	for (int i = 0; i < 200; i++)
	{
		size_t		first = draw_below(5000);
		size_t		n = draw_below(5001 - first);

		kernel_random_keys(99, first, n, some);
		good &= same(some, all + first, n * 8);
	}
	digest(all, 5000 * 8);
	free_buffers();
	return good;
}

static bool
random_seeds(void)
{
	static const char *const names[] = {"", "a", "b", "ab", "ba", "a.weight"};
	uint64_t	seeds[12];
	bool		good = true;

	for (int i = 0; i < 12; i++)
	{
		seeds[i] = kernel_random_seed(i < 6 ? 0 : 1, names[i % 6]);
		good &= seeds[i] == kernel_random_seed(i < 6 ? 0 : 1, names[i % 6]);
		for (int j = 0; j < i; j++)
			good &= seeds[i] != seeds[j];
	}
	digest(seeds, sizeof(seeds));
	return good;
}

/* ---------- selection ---------- */

static uint64_t
key_at(const void *keys, size_t i, int width)
{
	uint32_t	narrow;
	uint64_t	wide;

	if (width == 4)
	{
		memcpy(&narrow, (const char *) keys + i * 4, 4);
		return narrow;
	}
	memcpy(&wide, (const char *) keys + i * 8, 8);
	return wide;
}

/* Keys of any value, or of a few, so that many are equal; biased makes the
 * extreme ones come. */
static void
fill_keys(void *keys, size_t n, int width, uint64_t different)
{
	for (size_t i = 0; i < n; i++)
	{
		uint64_t	key = draw();

		if (different > 0)
			key = key % different;
		else if (key % 16 == 0)
			key = UINT64_MAX;
		memcpy((char *) keys + i * width, &key, width);
	}
}

/* Bounds: any two of the keys, one twice, the least and the greatest. */
static void
choose_bounds(const void *keys, size_t n, int width, KernelBracket *bracket)
{
	uint64_t	a = draw() >> (width == 4 ? 32 : 0);
	uint64_t	b = draw() >> (width == 4 ? 32 : 0);

	if (n > 0 && draw_below(4) > 0)
		a = key_at(keys, draw_below(n), width);
	if (n > 0 && draw_below(4) > 0)
		b = key_at(keys, draw_below(n), width);
	if (draw_below(8) == 0)
		a = 0;
	if (draw_below(8) == 0)
		b = width == 4 ? UINT32_MAX : UINT64_MAX;
	if (draw_below(8) == 0)
		a = b;
	bracket->low = a < b ? a : b;
	bracket->high = a < b ? b : a;
}

static bool
bracket_is_right(const void *keys, size_t n, int width,
				 const KernelBracket *bracket)
{
	int64_t		below = 0,
				at_low = 0,
				at_high = 0,
				between = 0;
	bool		good = true;

	for (size_t i = 0; i < n; i++)
	{
		uint64_t	key = key_at(keys, i, width);

		if (key < bracket->low)
			below++;
		else if (key == bracket->low)
			at_low++;
		else if (key == bracket->high)
			at_high++;
		else if (key < bracket->high)
		{
			if (between < (int64_t) bracket->room)
				good &= key_at(bracket->between, (size_t) between, width) == key;
			between++;
		}
	}
	return good && bracket->below == below && bracket->at_low == at_low &&
		bracket->at_high == at_high && bracket->nbetween == between;
}

/* In one go and in pieces, with room for all that is found and for less. */
static bool
brackets(int width)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (int turn = 0; turn < 30; turn++)
		{
			size_t		n = lengths[i];
			char	   *keys = buffer(n * width, draw_below(3) * width);
			KernelBracket bracket = {0};

			fill_keys(keys, n, width, turn % 3 == 0 ? 0 : turn % 3 * 20);
			choose_bounds(keys, n, width, &bracket);
			bracket.room = turn % 2 == 0 ? n : draw_below(n + 1);
			bracket.between = buffer(bracket.room * width, 0);
			for (size_t done = 0; done < n;)
			{
				size_t		m = turn % 4 < 2 ? n : 1 + draw_below(n - done);

				kernel_bracket_scan(&bracket, keys + done * width, m, width);
				done += m;
			}
			if (!bracket_is_right(keys, n, width, &bracket))
			{
				note("n %zu, %llx to %llx, room %zu; ", n,
					 (unsigned long long) bracket.low,
					 (unsigned long long) bracket.high, bracket.room);
				good = false;
			}
			free_buffers();
		}
	return good;
}

static int
compare_wide(const void *a, const void *b)
{
	uint64_t	left = *(const uint64_t *) a;
	uint64_t	right = *(const uint64_t *) b;

	return (left > right) - (left < right);
}

/* The key of each rank, digit by digit, is where sorting puts it. */
static bool
digits(int width)
{
	bool		good = true;

	for (int turn = 0; turn < 60; turn++)
	{
		size_t		n = 1 + draw_below(500);
		char	   *keys = buffer(n * width, 0);
		uint64_t   *sorted = buffer(n * 8, 0);
		int64_t		rank = (int64_t) draw_below(n);
		int64_t		left = rank;
		uint64_t	key = 0;

		fill_keys(keys, n, width, turn % 3 == 0 ? 0 : turn % 3 * 20);
		for (size_t i = 0; i < n; i++)
			sorted[i] = key_at(keys, i, width);
		qsort(sorted, n, 8, compare_wide);
		for (int shift = kernel_top_digit(width); shift >= 0;
			 shift -= KERNEL_DIGIT_BITS)
		{
			int64_t		counts[KERNEL_DIGITS] = {0};

			kernel_count_digits(keys, n, width, key, shift, counts);
			kernel_descend(counts, shift, &key, &left);
		}
		good &= key == sorted[rank];

		/* What is left of the rank counts among the equal ones. */
		good &= left <= rank && sorted[rank - left] == key &&
			(left == rank || sorted[rank - left - 1] < key);
		free_buffers();
	}
	return good;
}

void
test_rank(void)
{
	ok(float_keys(), "rank: keys of f32 are in the order of magnitudes");
	ok(double_keys(), "rank: keys of f64 are in the order of magnitudes");
	ok(random_vectors(), "rank: random keys are SplitMix64's");
	ok(random_stretches(), "rank: random keys do not depend on the stretch");
	ok(random_seeds(), "rank: names have seeds of their own");
	for (int width = 4; width <= 8; width += 4)
	{
		ok(brackets(width), "rank: brackets of keys of %d bytes", width);
		ok(digits(width), "rank: selection of keys of %d bytes", width);
	}
}
