/*
 * difference.c
 *		How far the elements of one payload are from those of another.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "transform/difference.h"

/* Elements converted at once. */
#define BLOCK 1024

typedef struct Side
{
	Payload    *payload;
	PayloadReader *reader;
	const void *elements;
	float		floats[BLOCK];
	double		doubles[BLOCK];
} Side;

static Side *
side_create(Payload *payload)
{
	Side	   *side = palloc(sizeof(Side));

	side->payload = payload;
	side->reader = payload_reader_create(payload);
	return side;
}

static void
side_free(Side *side)
{
	payload_reader_free(side->reader);
	pfree(side);
}

/* A float holds every float of 32 bits or fewer, and no other numbers. */
static bool
fits_float(const Payload *payload)
{
	return dtype_is_float(payload->dtype) && dtype_bits(payload->dtype) <= 32;
}

static const float *
as_floats(Side *side, int64 first, int64 n)
{
	if (side->payload->dtype == DTYPE_F32)
		return (const float *) side->elements + first;
	dtype_to_float(side->payload->dtype, side->elements, first, n,
				   side->floats);
	return side->floats;
}

static const double *
as_doubles(Side *side, int64 first, int64 n)
{
	dtype_to_double(side->payload->dtype, side->elements, first, n,
					side->doubles);
	return side->doubles;
}

void
measure_difference(Payload *a, Payload *b, Difference *difference)
{
	bool		floats = fits_float(a) && fits_float(b);
	Side	   *left = side_create(a);
	Side	   *right = side_create(b);
	KernelDifference sums;
	int64		n;

	kernel_difference_init(&sums);
	while ((n = payload_reader_next(left->reader, &left->elements)) > 0)
	{
		(void) payload_reader_next(right->reader, &right->elements);
		for (int64 done = 0; done < n; done += BLOCK)
		{
			int64		m = Min(n - done, BLOCK);

			if (floats)
				kernel_difference_f32(&sums, as_floats(left, done, m),
									  as_floats(right, done, m), m);
			else
				kernel_difference_f64(&sums, as_doubles(left, done, m),
									  as_doubles(right, done, m), m);
		}
	}
	side_free(left);
	side_free(right);
	difference->max = kernel_difference_max(&sums);
	difference->errors = kernel_difference_errors(&sums);
	difference->squares = kernel_difference_squares(&sums);
}
