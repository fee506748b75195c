/*
 * test_bytes.c
 *		Byte order, strided views, what bytes are.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <string.h>

static bool
swaps(int width)
{
	bool		good = true;

	for (int i = 0; i < nlengths; i++)
		for (size_t offset = 0; offset < 3; offset++)
		{
			size_t		n = lengths[i];
			uint8_t    *data = buffer(n * width, offset);
			uint8_t    *wanted = buffer(n * width, 0);

			for (size_t j = 0; j < n * width; j++)
				wanted[j] = data[j / width * width + width - 1 - j % width];
			kernel_byteswap(data, n, width);
			good &= same(data, wanted, n * width);
			free_buffers();
		}
	return good;
}

/* ---------- views ---------- */

#define MAX_DIMS 6

/* What gathering means: element by element, by its indexes. */
static void
naive_gather(uint8_t *dst, const uint8_t *src, int width, int ndim,
			 const int64_t *dims, const int64_t *strides)
{
	int64_t		count = 1;

	for (int d = 0; d < ndim; d++)
		count *= dims[d];
	for (int64_t i = 0; i < count; i++)
	{
		int64_t		rest = i;
		int64_t		place = 0;

		for (int d = ndim - 1; d >= 0; d--)
		{
			place += rest % dims[d] * strides[d];
			rest /= dims[d];
		}
		memcpy(dst + i * width, src + place * width, width);
	}
}

/* A view of a dense array: dimensions permuted, some repeated (stride 0),
 * some with a step. */
static bool
gathers_view(int width)
{
	int			ndim = (int) draw_below(MAX_DIMS);
	int64_t		dims[MAX_DIMS];
	int64_t		strides[MAX_DIMS];
	int64_t		stride = 1;
	int64_t		count = 1;
	int64_t		last = 0;
	uint8_t    *src;
	uint8_t    *got;
	uint8_t    *wanted;
	bool		good;

	for (int d = ndim - 1; d >= 0; d--)
	{
		int			step = (int) draw_below(4);

		dims[d] = 1 + (int64_t) draw_below(ndim > 2 ? 6 : 90);
		if (draw_below(60) == 0)
			dims[d] = 0;
		strides[d] = stride * (step == 2 ? 2 : 1);
		stride = strides[d] * (dims[d] > 0 ? dims[d] : 1);
		if (step == 3 && draw_below(3) == 0)
			strides[d] = 0;
		count *= dims[d];
	}
	for (int d = ndim - 1; d > 0; d--)
	{
		int			other = (int) draw_below((size_t) d + 1);
		int64_t		dim = dims[d];

		stride = strides[d];
		dims[d] = dims[other];
		strides[d] = strides[other];
		dims[other] = dim;
		strides[other] = stride;
	}
	for (int d = 0; d < ndim; d++)
		last += dims[d] > 0 ? (dims[d] - 1) * strides[d] : 0;

	src = buffer((size_t) (last + 1) * width, draw_below(3));
	got = buffer((size_t) count * width, draw_below(3));
	wanted = buffer((size_t) count * width, 0);
	naive_gather(wanted, src, width, ndim, dims, strides);
	kernel_gather(got, src, width, ndim, dims, strides);
	good = same(got, wanted, (size_t) count * width);
	if (!good)
	{
		note("width %d, shape:", width);
		for (int d = 0; d < ndim; d++)
			note(" %lld/%lld", (long long) dims[d], (long long) strides[d]);
		note("; ");
	}
	free_buffers();
	return good;
}

static bool
gathers(int width)
{
	bool		good = true;

	for (int i = 0; i < 2000; i++)
		good &= gathers_view(width);
	return good;
}

static bool
transposes(int width)
{
	int64_t		dims[2] = {211, 307};
	int64_t		strides[2] = {1, 211};
	uint8_t    *src = buffer(211 * 307 * width, 0);
	uint8_t    *got = buffer(211 * 307 * width, 1);
	bool		good = true;

	kernel_gather(got, src, width, 2, dims, strides);
	for (int i = 0; i < 211; i++)
		for (int j = 0; j < 307; j++)
			good &= same(got + (i * 307 + j) * width,
						 src + (j * 211 + i) * width, width);
	free_buffers();
	return good;
}

/* ---------- what bytes are ---------- */

/* Right for clean bytes, and for one that is not at each place. */
static bool
judges(bool (*judge) (const uint8_t *, size_t), uint8_t good_most,
	   uint8_t bad_least)
{
	bool		good = true;

	for (size_t n = 0; n < 200; n++)
	{
		uint8_t    *data = buffer(n, n % 3);

		for (size_t i = 0; i < n; i++)
			data[i] = good_most > 0 ? data[i] % (good_most + 1) : 0;
		good &= judge(data, n);
		for (size_t i = 0; i < n; i++)
		{
			uint8_t		before = data[i];

			data[i] = bad_least;
			good &= !judge(data, n);
			data[i] = 0x80;
			good &= !judge(data, n);
			data[i] = before;
		}
		free_buffers();
	}
	return good;
}

static bool
is_zero(const uint8_t *data, size_t n)
{
	return kernel_is_zero(data, n);
}

void
test_bytes(void)
{
	for (int width = 1; width <= 8; width *= 2)
	{
		if (width > 1)
			ok(swaps(width), "bytes: byte order of %d bytes", width);
		ok(gathers(width), "bytes: strided views of %d bytes", width);
		ok(transposes(width), "bytes: a transposed matrix of %d bytes", width);
	}
	ok(judges(kernel_is_bool, 1, 2), "bytes: whether all are 0 or 1");
	ok(judges(is_zero, 0, 1), "bytes: whether all are 0");
}
