/*
 * test_delta.c
 *		Differences and masks against arithmetic, and back again.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

static const int widths[] = {1, 2, 4, 8};
static const KernelNumber numbers[] = {
	KERNEL_UNSIGNED, KERNEL_SIGNED, KERNEL_FLOAT
};

static uint64_t
element(const void *data, size_t i, int width)
{
	uint64_t	v = 0;

	memcpy(&v, (const uint8_t *) data + i * width, width);
	return v;
}

/* The zigzag of a difference, by its definition. */
static uint64_t
zigzag(int64_t difference)
{
	return difference >= 0 ? 2 * (uint64_t) difference :
		2 * (uint64_t) -difference - 1;
}

static int
compare_halves(const void *a, const void *b)
{
	uint16_t	x = *(const uint16_t *) a;
	uint16_t	y = *(const uint16_t *) b;
	float		fx = kernel_f16_to_f32(x);
	float		fy = kernel_f16_to_f32(y);

	if (fx != fy)
		return fx < fy ? -1 : 1;
	return (x == 0) - (y == 0); /* -0 is below +0 */
}

/* Any two 16-bit floats are as far apart as their places in the order of their
 * values. */
static bool
floats_are_in_order(void)
{
	uint16_t   *order = buffer(2 * 65536, 0);
	uint16_t	deltas[64];
	uint16_t	bases[64];
	uint16_t	values[64];
	size_t		n = 0;
	bool		good = true;

	for (uint32_t v = 0; v < 65536; v++)
		if ((v & 0x7fff) <= 0x7c00) /* no NaN */
			order[n++] = (uint16_t) v;
	qsort(order, n, sizeof(order[0]), compare_halves);
	for (int round = 0; round < 3000; round++)
	{
		size_t		at[64];
		size_t		from[64];

		for (int i = 0; i < 64; i++)
		{
			at[i] = draw_below(n);
			from[i] = round % 2 == 0 ? draw_below(n) : at[i] == 0 ? 1 : at[i] - 1;
			values[i] = order[at[i]];
			bases[i] = order[from[i]];
		}
		kernel_delta_encode(deltas, values, bases, 64, 2, KERNEL_FLOAT);
		for (int i = 0; i < 64; i++)
		{
			int64_t		steps = (int64_t) at[i] - (int64_t) from[i];

			/* Modulo 2^16. */
			if (steps >= 32768)
				steps -= 65536;
			if (steps < -32768)
				steps += 65536;
			good &= deltas[i] == zigzag(steps);
		}
	}
	free_buffers();
	return good;
}

static bool
integers_subtract(int width)
{
	bool		good = true;

	for (int round = 0; round < 200; round++)
	{
		uint8_t		values[64];
		uint8_t		bases[64];
		uint8_t		deltas[64];
		size_t		n = 64 / width;
		int			unused = 64 - 8 * width;

		fill(values, 64);
		fill(bases, 64);
		kernel_delta_encode(deltas, values, bases, n, width,
							numbers[round % 2]);
		for (size_t i = 0; i < n; i++)
		{
			uint64_t	difference = element(values, i, width) -
				element(bases, i, width);
			int64_t		steps = (int64_t) (difference << unused) >> unused;

			if (steps == INT64_MIN)
				continue;
			good &= element(deltas, i, width) == zigzag(steps);
		}
	}
	return good;
}

/* Every pattern of bits comes back, also in place. */
static bool
comes_back(int width, KernelNumber number)
{
	bool		good = true;

	for (int l = 0; l < nlengths; l++)
	{
		size_t		n = lengths[l];
		size_t		bytes = n * width;
		size_t		offset = l % 5;
		uint8_t    *values = buffer(bytes, offset);
		uint8_t    *base = buffer(bytes, offset + 1);
		uint8_t    *delta = buffer(bytes, offset);
		uint8_t    *back = buffer(bytes, 0);

		if (width == 4)
			fill_floats((float *) back, n, true);
		else if (width == 8)
			fill_doubles((double *) back, n, true);
		if (width >= 4 && bytes > 0 && number == KERNEL_FLOAT)
			memcpy(values, back, bytes);
		kernel_delta_encode(delta, values, base, n, width, number);
		digest(delta, bytes);
		kernel_delta_decode(back, delta, base, n, width, number);
		good &= same(back, values, bytes);
		kernel_delta_encode(back, back, base, n, width, number);
		good &= same(back, delta, bytes);
		kernel_delta_decode(back, back, base, n, width, number);
		good &= same(back, values, bytes);
		kernel_delta_encode(back, values, values, n, width, number);
		good &= kernel_is_zero(back, bytes);
		free_buffers();
	}
	return good;
}

/* All pairs of bytes, so all patterns of both. */
static bool
all_bytes(KernelNumber number)
{
	bool		good = true;

	for (int b = 0; b < 256; b++)
	{
		uint8_t		values[256];
		uint8_t		base[256];
		uint8_t		delta[256];

		memset(base, b, sizeof(base));
		for (int i = 0; i < 256; i++)
			values[i] = (uint8_t) i;
		kernel_delta_encode(delta, values, base, 256, 1, number);
		good &= delta[b] == 0;
		kernel_delta_decode(delta, delta, base, 256, 1, number);
		good &= same(delta, values, 256);
	}
	return good;
}

static bool
masks_work(int width)
{
	bool		good = true;

	for (int l = 0; l < nlengths; l++)
	{
		size_t		n = lengths[l];
		size_t		bytes = n * width;
		uint8_t    *base = buffer(bytes, l % 5);
		uint8_t    *child = buffer(bytes, l % 3);
		uint8_t    *mask = buffer((n + 7) / 8, 1);
		uint8_t    *expected = buffer((n + 7) / 8, 0);
		uint8_t    *back = buffer(bytes, 2);

		memset(expected, 0, (n + 7) / 8);
		for (size_t i = 0; i < n; i++)
		{
			bool		kept = draw_below(2) == 0;

			if (kept)
				memcpy(child + i * width, base + i * width, width);
			else
				memset(child + i * width, 0, width);
			if (element(child, i, width) != 0)
				expected[i / 8] |= (uint8_t) (1 << (i % 8));
		}
		good &= kernel_mask_of(mask, child, base, n, width) &&
			same(mask, expected, (n + 7) / 8);
		digest(mask, (n + 7) / 8);
		kernel_mask_apply(back, base, mask, n, width);
		good &= same(back, child, bytes);
		if (n > 0)
		{
			/* One bit more or less than base's, anywhere, is no mask. */
			size_t		byte = draw_below(n) * width + draw_below(width);

			memcpy(child, base, bytes);
			child[byte] ^= (uint8_t) (1 << draw_below(8));
			if (element(child, byte / width, width) != 0)
				good &= !kernel_mask_of(mask, child, base, n, width);
		}
		free_buffers();
	}
	return good;
}

void
test_delta(void)
{
	ok(floats_are_in_order(),
	   "delta: 16-bit floats are apart as their values are in order");
	for (int w = 0; w < 4; w++)
	{
		ok(integers_subtract(widths[w]),
		   "delta: integers of %d bytes are subtracted", widths[w]);
		for (int i = 0; i < 3; i++)
			ok(comes_back(widths[w], numbers[i]),
			   "delta: %d bytes, number %d, comes back", widths[w],
			   numbers[i]);
		ok(masks_work(widths[w]), "delta: masks of elements of %d bytes",
		   widths[w]);
	}
	for (int i = 0; i < 3; i++)
		ok(all_bytes(numbers[i]), "delta: all pairs of bytes, number %d",
		   numbers[i]);
}
