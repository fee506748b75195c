/*
 * test_affine.c
 *		Ranges and small integers, against arithmetic in double.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static float
of_bits(uint32_t bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static bool
ranges(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		float	   *x = buffer(n * 4, 4);
		float	   *mins = buffer(n * 4, 8);
		float	   *maxs = buffer(n * 4, 12);
		float		least = 0;
		float		greatest = 0;
		float		min = 0;
		float		max = 0;

		fill_floats(x, n, false);
		memset(mins, 0, n * 4);
		memset(maxs, 0, n * 4);
		kernel_range(x, n, &min, &max);
		kernel_range_each(x, n, mins, maxs);
		for (size_t j = 0; j < n; j++)
		{
			least = x[j] < least ? x[j] : least;
			greatest = x[j] > greatest ? x[j] : greatest;
			good &= mins[j] == (x[j] < 0 ? x[j] : 0);
			good &= maxs[j] == (x[j] > 0 ? x[j] : 0);
		}
		good &= min == least && max == greatest;
		free_buffers();
	}
	return good;
}

/* One of them anywhere shows. */
static bool
not_finite(void)
{
	static const uint32_t odd[] = {0x7f800000, 0xff800000, 0x7fc00000,
	0xffc00000, 0x7f800001, 0xffffffff};
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (size_t k = 0; k < sizeof(odd) / sizeof(odd[0]) && lengths[i] > 0; k++)
		{
			size_t		n = lengths[i];
			float	   *x = buffer(n * 4, 0);
			float		min = 0;
			float		max = 0;

			fill_floats(x, n, false);
			x[draw_below(n)] = of_bits(odd[k]);
			kernel_range(x, n, &min, &max);
			good &= !isfinite(min) || !isfinite(max);
			free_buffers();
		}
	return good;
}

/* The integer by the rule's definition; float operations are rounded one by
 * one, and double ones on floats are exact enough to round anew. */
static int
wanted(KernelAffineRule rule, float x, float scale, float zero, int low,
	   int high)
{
	volatile float inverse = scale == 0 ? 0 : 1.0f / scale;
	volatile float place;
	double		code;

	if (isinf(inverse))
		inverse = 0;
	if (rule == KERNEL_AFFINE_DIVIDE)
		place = x / scale;
	else
		place = x * inverse;
	if (rule == KERNEL_AFFINE_AWAY)
	{
		place = place + zero;
		code = round(place);
	}
	else
		code = rint(place) + zero;
	return code < low ? low : code > high ? high : (int) code;
}

static bool
encodes(KernelAffineRule rule, int width, int step)
{
	bool		good = true;
	int			low = rule == KERNEL_AFFINE_AWAY ? 0 : width == 1 ? -128 : -32768;
	int			high = rule == KERNEL_AFFINE_AWAY ? 15 : width == 1 ? 127 : 32767;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		size_t		nscales = step == 0 ? 1 : n;
		float	   *x = buffer(n * 4, 4);
		float	   *scales = buffer(nscales * 4 + 4, 0);
		float	   *zeros = buffer(nscales * 4 + 4, 8);
		uint8_t    *codes = buffer(n * width, 2);

		for (size_t j = 0; j < nscales; j++)
		{
			scales[j] = (float) (1 + draw_below(50)) / (width == 1 ? 16 : 4096);
			zeros[j] = rule == KERNEL_AFFINE_AWAY ? 8 : (float) draw_below(9);
			if (rule == KERNEL_AFFINE_AWAY && draw_below(2) == 0)
				scales[j] = draw_below(3) == 0 ? 0 : -scales[j];
		}
		/* Many of them just in the middle of two integers. */
		for (size_t j = 0; j < n; j++)
			x[j] = ((float) draw_below(4001) - 2000) / 2 *
				scales[step == 0 ? 0 : j] / (j % 3 == 0 ? 1 : 16);
		kernel_affine_encode(rule, codes, width, x, n, scales, zeros, step, low,
							 high);
		for (size_t j = 0; j < n; j++)
		{
			size_t		at = step == 0 ? 0 : j;
			int			code = width == 1 ? (int8_t) codes[j] :
				(int16_t) (codes[2 * j] | codes[2 * j + 1] << 8);

			good &= code == wanted(rule, x[j], scales[at], zeros[at], low, high);
		}
		digest(codes, n * width);
		free_buffers();
	}
	return good;
}

/*
 * Blocks without an element near the middle of two integers, blocks with a
 * single one, and scales whose reciprocals have lost bits.
 */
static bool
quotients(void)
{
	static const float edges[] = {0x1p-149f, 0x1p-127f, 3e-39f, 0x1p-126f, 1e30f,
	0x1.8p126f, 0x1.fp127f, -0.37f};
	const size_t n = 300;
	bool		good = true;

	for (int round = 0; round < 500; round++)
	{
		float	   *x = buffer(n * 4, 4);
		int8_t	   *codes = buffer(n, 1);
		bool		is_signed = round % 2 == 0;
		int			low = is_signed ? -128 : 0;
		int			high = low + 255;
		float		zero = round % 5 == 4 ? 1000 : (float) (low + (int) draw_below(256));
		float		scale = round % 7 == 6 ?
			edges[draw_below(sizeof(edges) / sizeof(edges[0]))] :
			(float) (1 + draw_below(1 << 23)) / (float) (1 << 27);

		for (size_t j = 0; j < n; j++)
			x[j] = ((float) draw_below(1 << 20) / (1 << 20) - 0.5f) * 600 * scale;
		x[draw_below(n)] = scale < 1 ? 3e38f : -FLT_MIN;
		/* A middle and its neighbours, on either side. */
		for (int k = -2; k <= 2 && round % 3 == 2; k++)
		{
			float		middle = ((float) draw_below(255) - 127.5f) * scale;

			for (int i = 0; i < abs(k); i++)
				middle = nextafterf(middle, k * INFINITY);
			x[draw_below(n)] = middle;
		}
		kernel_affine_encode(KERNEL_AFFINE_DIVIDE, codes, 1, x, n, &scale, &zero, 0, low,
							 high);
		for (size_t j = 0; j < n; j++)
			good &= (is_signed ? codes[j] : (uint8_t) codes[j]) ==
				wanted(KERNEL_AFFINE_DIVIDE, x[j], scale, zero, low, high);
		digest(codes, n);
		free_buffers();
	}
	return good;
}

static bool
decodes(int step, bool has_zeros)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		size_t		nscales = step == 0 ? 1 : n;
		float	   *x = buffer(n * 4, 4);
		float	   *before = buffer(n * 4, 0);
		float	   *scales = buffer(nscales * 4 + 4, 0);
		float	   *zeros = buffer(nscales * 4 + 4, 8);

		fill_floats(scales, nscales, false);
		for (size_t j = 0; j < nscales; j++)
			zeros[j] = (float) draw_below(256) - 128;
		for (size_t j = 0; j < n; j++)
			x[j] = before[j] = (float) draw_below(256) - 128;
		kernel_affine_decode(x, n, scales, has_zeros ? zeros : NULL, step);
		for (size_t j = 0; j < n; j++)
		{
			size_t		at = step == 0 ? 0 : j;

			good &= x[j] == (float) (((double) before[j] -
									  (has_zeros ? zeros[at] : 0)) *
									 (double) scales[at]);
		}
		digest(x, n * 4);
		free_buffers();
	}
	return good;
}

static bool
nibbles(void)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
	{
		size_t		n = lengths[i];
		uint8_t    *codes = buffer(n, 1);
		uint8_t    *packed = buffer((n + 1) / 2, 3);
		float	   *x = buffer(n * 4, 4);
		float	   *y = buffer(n * 4, 4);

		fill(codes, n);
		kernel_pack_nibbles(packed, codes, n);
		kernel_nibbles_to_f32(x, packed, n, false);
		kernel_nibbles_to_f32(y, packed, n, true);
		for (size_t j = 0; j < n; j++)
		{
			int			low = codes[j] & 15;

			good &= x[j] == (float) low;
			good &= y[j] == (float) (low > 7 ? low - 16 : low);
		}
		if (n % 2 != 0)
			good &= packed[n / 2] >> 4 == 0;
		kernel_flip(codes, n, 0x88);
		for (size_t j = 0; j < n; j++)
			good &= (codes[j] & 15) == ((int) x[j] ^ 8);
		free_buffers();
	}
	return good;
}

void
test_affine(void)
{
	ok(ranges(), "affine: ranges");
	ok(not_finite(), "affine: what is not finite is at an end of the range");
	ok(quotients(), "affine: quotients by products");
	for (int step = 0; step < 2; step++)
	{
		ok(encodes(KERNEL_AFFINE_DIVIDE, 1, step), "affine: divide, step %d", step);
		ok(encodes(KERNEL_AFFINE_DIVIDE, 2, step),
		   "affine: divide, 16 bits, step %d", step);
		ok(encodes(KERNEL_AFFINE_MULTIPLY, 1, step), "affine: multiply, step %d",
		   step);
		ok(encodes(KERNEL_AFFINE_AWAY, 1, step), "affine: away, step %d", step);
		ok(decodes(step, false), "affine: decode, step %d", step);
		ok(decodes(step, true), "affine: decode with zeros, step %d", step);
	}
	ok(nibbles(), "affine: nibbles");
}
