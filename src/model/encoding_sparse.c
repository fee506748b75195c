/*
 * encoding_sparse.c
 *		A bitmask, and the elements whose bits are not all zero.
 *
 * The mask is padded to MODEL_ALIGNMENT; after it come the values.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/encoding.h"

typedef struct Sparse
{
	Payload    *payload;
	int			width;			/* bytes of an element */
	bool		by_elements;	/* as long as the source has them */
	int64		position;		/* elements handed out */
	int64		values_left;	/* not yet taken */
	ByteStream	mask;
	ByteStream	values;
	char	   *chunk;			/* decoded elements */
} Sparse;

uint64
sparse_mask_size(int64 count)
{
	uint64		bytes = ((uint64) count + 7) / 8;

	return (bytes + MODEL_ALIGNMENT - 1) & ~(uint64) (MODEL_ALIGNMENT - 1);
}

int64
sparse_value_count(const Payload *payload)
{
	int			width = dtype_bits(payload->dtype) / 8;

	return (payload->stored - sparse_mask_size(payload->count)) / width;
}

static const char *
check_size(DType dtype, int64 count, uint64 stored)
{
	if (dtype_bits(dtype) < 8 || stored >= dtype_bytes(dtype, count) ||
		stored < sparse_mask_size(count) ||
		(stored - sparse_mask_size(count)) % (dtype_bits(dtype) / 8) != 0)
		return "A sparse payload's size does not fit its number of elements.";
	return NULL;
}

static const char *
verify(const Payload *payload)
{
	uint64		mask_size = sparse_mask_size(payload->count);
	const uint8 *mask = (const uint8 *) payload->bytes;
	uint64		mask_bytes = ((uint64) payload->count + 7) / 8;
	int			tail_bits = payload->count % 8;
	int64		nvalues = sparse_value_count(payload);

	if (!kernel_is_zero(mask + mask_bytes, mask_size - mask_bytes) ||
		(tail_bits != 0 && (mask[mask_bytes - 1] >> tail_bits) != 0))
		return "A sparse payload's mask is longer than the payload.";
	if (kernel_popcount(mask, mask_bytes) != nvalues)
		return "A sparse payload's mask and its values disagree.";
	if (kernel_count_nonzero(payload->bytes + mask_size, nvalues,
							 dtype_bits(payload->dtype) / 8) != nvalues)
		return "A sparse payload stores a zero as a value.";
	return elements_problem(payload->dtype, payload->bytes + mask_size,
							nvalues);
}

pg_noreturn static void
report_mismatch(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("sparse tensor is corrupt: its mask and its values disagree")));
	pg_unreachable();
}

static void *
begin(Payload *payload)
{
	Sparse	   *sparse = palloc(sizeof(Sparse));
	uint64		mask_size = sparse_mask_size(payload->count);
	int64		largest = Min(payload->count, PAYLOAD_CHUNK);

	sparse->payload = payload;
	sparse->width = dtype_bits(payload->dtype) / 8;
	sparse->by_elements = lazy_has_elements(payload);
	sparse->position = 0;
	sparse->values_left = sparse_value_count(payload);
	stream_init(&sparse->mask, payload, 0, mask_size);
	stream_init(&sparse->values, payload, mask_size, payload->stored);
	sparse->chunk = palloc(dtype_bytes(payload->dtype, largest) +
						   MODEL_ALIGNMENT);
	return sparse;
}

static const void *
next_encoded(Sparse *sparse, int64 n)
{
	const uint8 *mask;
	int64		nvalues;

	mask = (const uint8 *) stream_take(&sparse->mask, (n + 7) / 8);
	nvalues = kernel_popcount(mask, (n + 7) / 8);
	if (nvalues > sparse->values_left || nvalues > n)
		report_mismatch();
	sparse->values_left -= nvalues;
	if (sparse->position + n == sparse->payload->count &&
		sparse->values_left != 0)
		report_mismatch();
	if ((int64) kernel_sparse_unpack(sparse->chunk, n, sparse->width, mask,
									 stream_take(&sparse->values,
												 nvalues * sparse->width)) != nvalues)
		report_mismatch();
	return sparse->chunk;
}

/* A source that has the elements themselves, until somebody loads the payload;
 * from then on the encoded form is read from where the elements ended. */
static const void *
next_elements(Sparse *sparse, int64 n)
{
	Payload    *payload = sparse->payload;

	if (lazy_has_elements(payload))
	{
		lazy_read_elements(payload, sparse->position, n, sparse->chunk);
		return sparse->chunk;
	}
	for (int64 done = 0; done < sparse->position; done += PAYLOAD_CHUNK)
	{
		const char *mask = stream_take(&sparse->mask, PAYLOAD_CHUNK / 8);
		int64		nvalues = kernel_popcount((const uint8 *) mask,
											  PAYLOAD_CHUNK / 8);

		sparse->values.position += nvalues * sparse->width;
		sparse->values_left -= nvalues;
	}
	sparse->by_elements = false;
	return next_encoded(sparse, n);
}

static const void *
next(void *state, int64 n)
{
	Sparse	   *sparse = state;
	const void *elements = sparse->by_elements ? next_elements(sparse, n) :
		next_encoded(sparse, n);

	sparse->position += n;
	return elements;
}

static void
end(void *state)
{
	Sparse	   *sparse = state;

	stream_free(&sparse->mask);
	stream_free(&sparse->values);
	pfree(sparse->chunk);
	pfree(sparse);
}

const EncodingMethods encoding_sparse = {
	check_size, verify, begin, next, end
};
