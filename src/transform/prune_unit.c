/*
 * prune_unit.c
 *		How many units go, and which: counts, keys, ranks.
 *
 * A unit is an element or a slice.  What the methods share and kernels cannot
 * know: dtypes, errors, where payloads lie.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/prune.h"

int64
prune_amount_of(const PruneAmount *amount, int64 n, int64 zeros,
				const char *units, const char *name)
{
	int64		base = amount->of_remaining ? zeros : 0;
	int64		available = n - base;

	if (!amount->is_count)
		return base + (int64) rint(amount->fraction * (double) available);
	if (amount->count > available)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot prune " INT64_FORMAT " %s", amount->count, units),
				 name != NULL ?
				 errdetail("\"%s\" has " INT64_FORMAT "%s.",
						   utf8_to_server(name), available,
						   amount->of_remaining ? " that are not zero" : "") :
				 errdetail("The tensors to prune have " INT64_FORMAT "%s in all.",
						   available,
						   amount->of_remaining ? " that are not zero" : "")));
	return base + amount->count;
}

int
prune_dimension(const PruneTarget *target, const PruneRequest *request,
				int otherwise)
{
	int			dim = request->has_dim ? request->dim : otherwise;

	if (target->ndim < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" cannot prune tensor \"%s\"",
						prune_method_name(request->method),
						utf8_to_server(target->name)),
				 errdetail("It takes two or more dimensions, and the tensor has %d.",
						   target->ndim),
				 errhint("It can be left out with exclude.")));
	if (dim >= target->ndim || dim < -target->ndim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tensor \"%s\" has no dimension %d",
						utf8_to_server(target->name), dim),
				 errhint("Its dimensions are 0 to %d, or -%d to -1 counted from the end.",
						 target->ndim - 1, target->ndim)));
	return dim < 0 ? dim + target->ndim : dim;
}

/* ---------- keys ---------- */

/* A float holds every float of 16 bits or fewer; integers and f64 need a
 * double, which rounds integers beyond 2^53. */
int
prune_key_width(DType dtype)
{
	return dtype_is_float(dtype) && dtype_bits(dtype) <= 32 ? 4 : 8;
}

/* Keys are made where the numbers are, since both have the same size. */
void
prune_magnitude_keys(DType dtype, const void *elements, int64 first, int64 n,
					 int width, void *keys)
{
	if (width == 8)
	{
		dtype_to_double(dtype, elements, first, n, keys);
		kernel_magnitude_keys_f64(keys, n, keys);
	}
	else if (dtype == DTYPE_F32)
		kernel_magnitude_keys_f32((const float *) elements + first, n, keys);
	else
	{
		dtype_to_float(dtype, elements, first, n, keys);
		kernel_magnitude_keys_f32(keys, n, keys);
	}
}

/* ---------- ranks ---------- */

void
prune_rank_units(const void *keys, int64 n, int width, int64 k, uint8 *keep)
{
	uint64		threshold = 0;
	int64		ties = 0;

	if (k > 0)
	{
		int64		below;

		threshold = select_key(keys, n, width, k - 1, &below);
		ties = k - below;
	}
	kernel_keep_above(keys, n, width, threshold, &ties, keep);
}

/* ---------- blocks ---------- */

void
prune_reader_init(PruneReader *reader, Payload *payload)
{
	reader->payload = payload_reader_create(payload);
	reader->dtype = payload->dtype;
	reader->chunk = NULL;
	reader->left = 0;
	reader->next = 0;
}

int64
prune_reader_next(PruneReader *reader, const void **elements, int64 *first)
{
	int64		n;

	if (reader->left == 0)
	{
		const void *chunk;

		reader->left = payload_reader_next(reader->payload, &chunk);
		reader->chunk = chunk;
		if (reader->left == 0)
		{
			payload_reader_free(reader->payload);
			return 0;
		}
	}
	n = Min(reader->left, PRUNE_BLOCK);
	*elements = reader->chunk;
	*first = reader->next;
	reader->chunk += dtype_bytes(reader->dtype, n);
	reader->left -= n;
	reader->next += n;
	return n;
}

/* ---------- loading ---------- */

bool
prune_has_elements(const Payload *payload)
{
	return payload->encoding == ENCODING_DENSE ||
		payload->encoding == ENCODING_SPARSE ||
		encoding_has_blocks(payload->encoding);
}

Payload *
prune_load(Payload *payload)
{
	Payload    *loaded;

	if (payload->source != PAYLOAD_LAZY && prune_has_elements(payload))
		return payload;
	loaded = palloc(sizeof(Payload));
	*loaded = *payload;
	loaded->source = PAYLOAD_BORROWED;
	loaded->lazy = NULL;
	loaded->allocation = NULL;
	if (prune_has_elements(payload))
	{
		loaded->bytes = model_alloc_bytes(CurrentMemoryContext,
										  payload->stored);
		payload_copy_stored(payload, loaded->bytes);
		return loaded;
	}
	loaded->encoding = ENCODING_DENSE;
	loaded->stored = dtype_bytes(payload->dtype, payload->count);
	loaded->bytes = model_alloc_bytes(CurrentMemoryContext, loaded->stored);
	payload_decode(payload, loaded->bytes);
	return loaded;
}

void
prune_unload(Payload *original, Payload *loaded)
{
	if (loaded == original)
		return;
	pfree(loaded->bytes);
	pfree(loaded);
}
