/*
 * elements.c
 *		Elements on their way from a file into a payload.
 */
#include "postgres.h"

#include "model/elements.h"
#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/model.h"

#define SLICE_BYTES	(1024 * 1024)	/* between looks for interrupts */

/* Likewise, where each byte takes less time. */
#define STRETCH		((uint64) 4 * 1024 * 1024)

void
elements_copy(char *dst, const char *src, uint64 n)
{
	for (uint64 done = 0; done < n; done += STRETCH)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(dst + done, src + done, Min(STRETCH, n - done));
	}
}

void
elements_swap(char *elements, uint64 n, int width)
{
	for (uint64 done = 0; done < n; done += STRETCH)
	{
		CHECK_FOR_INTERRUPTS();
		kernel_byteswap(elements + done, Min(STRETCH, n - done) / width, width);
	}
}

bool
elements_are_bool(const char *elements, uint64 n)
{
	for (uint64 done = 0; done < n; done += STRETCH)
	{
		CHECK_FOR_INTERRUPTS();
		if (!kernel_is_bool((const uint8 *) elements + done,
							Min(STRETCH, n - done)))
			return false;
	}
	return true;
}

/*
 * The view is gathered in slices of bounded size: the dimensions from some
 * one on are gathered at once, as many rows of it as fit, and those before it
 * are stepped through.
 */
void
elements_gather(char *dst, const char *src, int width, int ndim,
				const int64 *dims, const int64 *strides)
{
	int64		room = SLICE_BYTES / width;
	int64		slice[MODEL_MAX_DIMS];
	int64		position[MODEL_MAX_DIMS] = {0};
	int64		row = 1;		/* elements after the split dimension */
	int			split = ndim - 1;

	while (split > 0 && row * dims[split] <= room)
		row *= dims[split--];
	memcpy(slice, dims, ndim * sizeof(int64));

	for (;;)
	{
		int64		offset = 0;
		int			i;

		CHECK_FOR_INTERRUPTS();
		for (i = 0; i <= split; i++)
			offset += position[i] * strides[i];
		slice[split] = Min(dims[split] - position[split],
						   Max(room / row, 1));
		kernel_gather(dst, src + offset * width, width, ndim - split,
					  slice + split, strides + split);
		dst += slice[split] * row * width;

		position[split] += slice[split];
		for (i = split; i > 0 && position[i] == dims[i]; i--)
		{
			position[i] = 0;
			position[i - 1]++;
		}
		if (position[0] == dims[0])
			return;
	}
}
