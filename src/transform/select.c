/*
 * select.c
 *		Finding the key of a rank without sorting.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "transform/select.h"

/* Keys that are looked at between two looks for interrupts. */
#define STRETCH (1024 * 1024)

uint64
select_key(const void *keys, int64 n, int width, int64 rank, int64 *below)
{
	uint64		key = 0;
	int64		left = rank;

	for (int shift = kernel_top_digit(width); shift >= 0;
		 shift -= KERNEL_DIGIT_BITS)
	{
		int64		counts[KERNEL_DIGITS] = {0};

		for (int64 done = 0; done < n; done += STRETCH)
		{
			CHECK_FOR_INTERRUPTS();
			kernel_count_digits((const char *) keys + done * width,
								Min(n - done, STRETCH), width, key, shift,
								counts);
		}
		kernel_descend(counts, shift, &key, &left);
	}
	*below = rank - left;
	return key;
}
