/*
 * bytes.c
 *		Elements as bytes: their order, where they lie, whether they are zero.
 *
 * Does not know what an element means, only how wide it is.  Buffers need no
 * alignment, since containers put elements anywhere.
 */
#include "kernel/kernel.h"

#include <string.h>

/* ---------- byte order ---------- */

static void
byteswap16(uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint16_t	v;

		memcpy(&v, data + 2 * i, sizeof(v));
		v = (uint16_t) ((v >> 8) | (v << 8));
		memcpy(data + 2 * i, &v, sizeof(v));
	}
}

static void
byteswap32(uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint32_t	v;

		memcpy(&v, data + 4 * i, sizeof(v));
		v = __builtin_bswap32(v);
		memcpy(data + 4 * i, &v, sizeof(v));
	}
}

static void
byteswap64(uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint64_t	v;

		memcpy(&v, data + 8 * i, sizeof(v));
		v = __builtin_bswap64(v);
		memcpy(data + 8 * i, &v, sizeof(v));
	}
}

void
kernel_byteswap(void *data, size_t n, int width)
{
	switch (width)
	{
		case 2:
			byteswap16(data, n);
			break;
		case 4:
			byteswap32(data, n);
			break;
		case 8:
			byteswap64(data, n);
			break;
		default:
			break;
	}
}

/* ---------- strided views ---------- */

/* Edge of the blocks that a transposed view is gathered in, in elements. */
#define GATHER_BLOCK 32

/* A view with dimensions of one element dropped and neighbours joined. */
typedef struct View
{
	int			ndim;
	int64_t		dims[KERNEL_MAX_DIMS];
	int64_t		strides[KERNEL_MAX_DIMS];
} View;

/* Fills in the view; false when it has no elements. */
static bool
simplify_view(View *view, int ndim, const int64_t *dims,
			  const int64_t *strides)
{
	int			n = 0;

	for (int i = 0; i < ndim; i++)
	{
		if (dims[i] == 0)
			return false;
		if (dims[i] == 1)
			continue;

		/* The outer neighbour steps over just what this one walks through. */
		if (n > 0 && view->strides[n - 1] % dims[i] == 0 &&
			view->strides[n - 1] / dims[i] == strides[i])
		{
			view->dims[n - 1] *= dims[i];
			view->strides[n - 1] = strides[i];
			continue;
		}
		view->dims[n] = dims[i];
		view->strides[n] = strides[i];
		n++;
	}
	view->ndim = n;
	return true;
}

/* n elements that lie stride elements apart, into neighbouring places. */
static inline void
gather_run(uint8_t *dst, const uint8_t *src, int width, size_t n,
		   size_t stride)
{
	if (stride == 1)
		memcpy(dst, src, n * width);
	else
	{
		size_t		step = stride * width;

		/* One loop a width, so that each copy is one load and one store. */
		switch (width)
		{
			case 1:
				for (size_t i = 0; i < n; i++)
					dst[i] = src[i * step];
				break;
			case 2:
				for (size_t i = 0; i < n; i++)
					memcpy(dst + 2 * i, src + i * step, 2);
				break;
			case 4:
				for (size_t i = 0; i < n; i++)
					memcpy(dst + 4 * i, src + i * step, 4);
				break;
			default:
				for (size_t i = 0; i < n; i++)
					memcpy(dst + 8 * i, src + i * step, 8);
				break;
		}
	}
}

/*
 * The two innermost dimensions.  When the inner one has the longer stride (a
 * transposed matrix), whole rows would touch each cache line many times over,
 * so it goes block by block.
 */
static void
gather_plane(uint8_t *dst, const uint8_t *src, int width, const int64_t *dims,
			 const int64_t *strides)
{
	size_t		rows = dims[0];
	size_t		columns = dims[1];
	size_t		block = columns;

	if (strides[1] > strides[0])
		block = GATHER_BLOCK;

	for (size_t first = 0; first < columns; first += block)
	{
		size_t		n = columns - first < block ? columns - first : block;

		for (size_t row = 0; row < rows; row++)
			gather_run(dst + (row * columns + first) * width,
					   src + (row * strides[0] + first * strides[1]) * width,
					   width, n, strides[1]);
	}
}

void
kernel_gather(void *dst, const void *src, int width, int ndim,
			  const int64_t *dims, const int64_t *strides)
{
	View		view;
	int64_t		index[KERNEL_MAX_DIMS] = {0};
	uint8_t    *to = dst;
	const uint8_t *from = src;
	size_t		plane;
	int			outer;

	if (!simplify_view(&view, ndim, dims, strides))
		return;
	if (view.ndim == 0)
	{
		memcpy(to, from, width);
		return;
	}
	if (view.ndim == 1)
	{
		gather_run(to, from, width, view.dims[0], view.strides[0]);
		return;
	}

	outer = view.ndim - 2;
	plane = (size_t) (view.dims[outer] * view.dims[outer + 1]) * width;
	for (;;)
	{
		int			d = outer - 1;

		gather_plane(to, from, width, view.dims + outer, view.strides + outer);
		to += plane;

		/* The outer dimensions count up like an odometer. */
		while (d >= 0 && ++index[d] == view.dims[d])
		{
			from -= (view.dims[d] - 1) * view.strides[d] * width;
			index[d--] = 0;
		}
		if (d < 0)
			return;
		from += view.strides[d] * width;
	}
}

/* ---------- what bytes are ---------- */

KERNEL_CLONES
bool
kernel_is_bool(const uint8_t *data, size_t n)
{
	uint8_t		all = 0;

	for (size_t i = 0; i < n; i++)
		all |= data[i];
	return all <= 1;
}

KERNEL_CLONES
bool
kernel_is_zero(const void *data, size_t n)
{
	const uint8_t *bytes = data;
	uint8_t		all = 0;

	for (size_t i = 0; i < n; i++)
		all |= bytes[i];
	return all == 0;
}
