/*
 * payload.c
 *		Reading and building the elements of payloads.
 *
 * Readers walk elements whatever their encoding is, builders make payloads of
 * the two encodings that any element fits, dense and sparse.  What an
 * encoding's bytes mean is in its own file (encoding.h).
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/encoding.h"
#include "utils/memutils.h"

/* ---------- reader ---------- */

struct PayloadReader
{
	Payload    *payload;
	const EncodingMethods *methods;
	void	   *state;			/* the encoding's */
	int64		position;		/* elements handed out */
};

PayloadReader *
payload_reader_create(Payload *payload)
{
	PayloadReader *reader = palloc(sizeof(PayloadReader));

	reader->payload = payload;
	reader->methods = encoding_methods(payload->encoding);
	reader->state = reader->methods->open(payload);
	reader->position = 0;
	return reader;
}

int64
payload_reader_next(PayloadReader *reader, const void **elements)
{
	int64		n = Min(reader->payload->count - reader->position,
						PAYLOAD_CHUNK);

	if (n == 0)
		return 0;
	CHECK_FOR_INTERRUPTS();
	*elements = reader->methods->next(reader->state, n);
	reader->position += n;
	return n;
}

void
payload_reader_free(PayloadReader *reader)
{
	reader->methods->close(reader->state);
	pfree(reader);
}

/* ---------- whole payloads ---------- */

void
payload_copy_stored(Payload *payload, char *dst)
{
	if (payload->source == PAYLOAD_LAZY)
	{
		lazy_read(payload, 0, payload->stored, dst);
		return;
	}
	for (uint64 done = 0; done < payload->stored; done += WINDOW_BYTES)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(dst + done, payload->bytes + done,
			   Min((uint64) WINDOW_BYTES, payload->stored - done));
	}
}

void
payload_copy_part(Payload *payload, uint64 offset, uint64 n, char *dst)
{
	Assert(offset <= payload->stored && n <= payload->stored - offset);
	if (payload->source == PAYLOAD_LAZY)
		lazy_read(payload, offset, n, dst);
	else
		memcpy(dst, payload->bytes + offset, n);
}

void
payload_decode(Payload *payload, char *dst)
{
	PayloadReader *reader;
	const void *elements;
	int64		n;

	if (payload->encoding == ENCODING_DENSE)
	{
		payload_copy_stored(payload, dst);
		return;
	}
	reader = payload_reader_create(payload);
	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		uint64		bytes = dtype_bytes(payload->dtype, n);

		memcpy(dst, elements, bytes);
		dst += bytes;
	}
	payload_reader_free(reader);
}

const char *
payload_dense(Payload *payload, char **copy)
{
	*copy = NULL;
	if (payload->encoding == ENCODING_DENSE &&
		payload->source != PAYLOAD_LAZY)
		return payload->bytes;
	*copy = model_alloc_bytes(CurrentMemoryContext,
							  dtype_bytes(payload->dtype, payload->count));
	payload_decode(payload, *copy);
	return *copy;
}

/* ---------- builder ---------- */

/*
 * A builder that knows how many values there will be at most packs them where
 * they belong.  One that does not know keeps the elements dense, with room for
 * a mask before them, and packs them in place at the end if that pays.
 */
struct PayloadBuilder
{
	Payload    *payload;		/* of width >= 1 byte, or dense */
	int			index;			/* in the model */
	int			width;			/* bytes of an element; 0 for packed ones */
	int64		appended;		/* elements */
	int64		nonzero;		/* values among them, where known */
	bool		packing;		/* sparse from the start */
	uint64		mask_size;		/* of the sparse form */
};

uint64
payload_built_size(DType dtype, int64 count, int64 nonzero)
{
	int			width = dtype_bits(dtype) / 8;
	uint64		dense = dtype_bytes(dtype, count);

	if (width == 0)
		return dense;
	return Min(dense, sparse_mask_size(count) + (uint64) nonzero * width);
}

static uint64
sparse_size(const PayloadBuilder *builder, int64 nonzero)
{
	return builder->mask_size + (uint64) nonzero * builder->width;
}

PayloadBuilder *
payload_builder_create(Model *model, DType dtype, int64 count, int64 nonzero)
{
	PayloadBuilder *builder = palloc0(sizeof(PayloadBuilder));
	uint64		dense = dtype_bytes(dtype, count);

	builder->width = dtype_bits(dtype) / 8;
	builder->mask_size = builder->width > 0 ? sparse_mask_size(count) : 0;
	builder->packing = nonzero >= 0 &&
		payload_built_size(dtype, count, nonzero) < dense;

	if (builder->packing)
		builder->index = model_new_payload(model, dtype, ENCODING_SPARSE,
										   count,
										   sparse_size(builder, nonzero));
	else
		builder->index = model_new_payload(model, dtype, ENCODING_DENSE,
										   count,
										   builder->mask_size + dense);
	builder->payload = model->payloads[builder->index];
	if (builder->packing)
		memset(builder->payload->bytes, 0, builder->mask_size);
	else
	{
		builder->payload->bytes += builder->mask_size;
		builder->payload->stored = dense;
	}
	return builder;
}

/* Packs n elements behind what is packed; values must have the slack that
 * kernel_sparse_pack asks for. */
static void
pack_elements(PayloadBuilder *builder, const void *elements, int64 n)
{
	char	   *start = builder->payload->allocation;
	int64		room = (builder->payload->stored - builder->mask_size) /
		builder->width - builder->nonzero;

	/* Near the end of the room the values are counted before they are written. */
	if (n > room &&
		(int64) kernel_count_nonzero(elements, n, builder->width) > room)
		elog(ERROR, "payload has more values than announced");
	builder->nonzero +=
		kernel_sparse_pack(elements, n, builder->width,
						   (uint8 *) start + builder->appended / 8,
						   start + sparse_size(builder, builder->nonzero));
}

void
payload_builder_append(PayloadBuilder *builder, const void *elements, int64 n)
{
	Payload    *payload = builder->payload;

	Assert(builder->appended % 64 == 0);
	if (n > payload->count - builder->appended)
		elog(ERROR, "payload has more elements than announced");
	if (builder->packing)
		pack_elements(builder, elements, n);
	else
	{
		memcpy(payload->bytes + dtype_bytes(payload->dtype, builder->appended),
			   elements, dtype_bytes(payload->dtype, n));
		if (builder->width > 0)
			builder->nonzero += kernel_count_nonzero(elements, n,
													 builder->width);
	}
	builder->appended += n;
}

/*
 * Turns the dense elements, which lie mask_size bytes into the allocation,
 * into the sparse form at its start.  Values never overtake elements that
 * are still to be read; they go through scratch memory only because the
 * kernel writes past its last one.
 */
static void
pack_in_place(PayloadBuilder *builder)
{
	Payload    *payload = builder->payload;
	uint8	   *mask = payload->allocation;
	char	   *values = payload->bytes;
	const char *next = payload->bytes;
	int			width = builder->width;
	char	   *scratch = palloc(PAYLOAD_CHUNK * width + MODEL_ALIGNMENT);

	memset(mask, 0, builder->mask_size);
	for (int64 done = 0; done < payload->count; done += PAYLOAD_CHUNK)
	{
		int64		n = Min(payload->count - done, PAYLOAD_CHUNK);
		size_t		packed;

		CHECK_FOR_INTERRUPTS();
		packed = kernel_sparse_pack(next, n, width, mask + done / 8, scratch);
		memcpy(values, scratch, packed * width);
		values += packed * width;
		next += n * width;
	}
	pfree(scratch);
	payload->encoding = ENCODING_SPARSE;
	payload->bytes = payload->allocation;
}

/* Gives back what the payload does not need of its allocation. */
static void
trim_allocation(Payload *payload)
{
	size_t		before = payload->bytes - (char *) payload->allocation;

	payload->allocation = repalloc_huge(payload->allocation,
										before + payload->stored +
										MODEL_ALIGNMENT);
	payload->bytes = (char *) payload->allocation + before;
}

int
payload_builder_finish(PayloadBuilder *builder)
{
	Payload    *payload = builder->payload;
	int			index = builder->index;
	uint64		sparse = sparse_size(builder, builder->nonzero);

	if (builder->appended != payload->count)
		elog(ERROR, "payload has fewer elements than announced");
	if (builder->width > 0 && (builder->packing || sparse < payload->stored))
	{
		if (!builder->packing)
			pack_in_place(builder);
		if (payload->stored != sparse)
		{
			payload->stored = sparse;
			trim_allocation(payload);
		}
	}
	pfree(builder);
	payload_complete(payload);
	return index;
}
