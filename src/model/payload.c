/*
 * payload.c
 *		Reading and building the elements of payloads.
 *
 * Owns the layouts of two encodings: dense (the elements as they are) and
 * sparse (a bitmask, padded to MODEL_ALIGNMENT, then the elements whose bits
 * are not all zero).  Blocks of quantized floats lie one after the other.  Does
 * not know where a lazy payload comes from.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/model.h"
#include "utils/memutils.h"

/* Bytes of lazy payloads fetched at once, and copied between looks for interrupts. */
#define WINDOW_BYTES	(1024 * 1024)

StaticAssertDecl(PAYLOAD_CHUNK % KERNEL_BLOCK_MAX == 0,
				 "a chunk has whole blocks");

/* ---------- sparse layout ---------- */

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

/* ---------- sizes ---------- */

static const char *
block_mismatch(int dtype, int encoding, int64 count, uint64 stored)
{
	if (encoding_info(encoding) == NULL)
		return "A payload has an unknown encoding.";
	if (dtype != DTYPE_F32 ||
		count % encoding_block_elements(encoding) != 0 ||
		stored != encoding_blocks_size(encoding, count))
		return "A quantized payload's size or dtype does not fit its number of elements.";
	return NULL;
}

const char *
payload_mismatch(int dtype, int encoding, int64 count, uint64 stored)
{
	uint64		dense;

	if (dtype_info(dtype) == NULL)
		return "A payload has an unknown dtype.";
	if (count < 0 || count > PG_INT64_MAX / 16)
		return "A payload has an impossible number of elements.";
	dense = dtype_bytes(dtype, count);
	switch (encoding)
	{
		case ENCODING_DENSE:
			if (stored != dense)
				return "A dense payload's size does not fit its number of elements.";
			return NULL;
		case ENCODING_SPARSE:
			if (dtype_bits(dtype) < 8 || stored >= dense ||
				stored < sparse_mask_size(count) ||
				(stored - sparse_mask_size(count)) % (dtype_bits(dtype) / 8) != 0)
				return "A sparse payload's size does not fit its number of elements.";
			return NULL;
		default:
			return block_mismatch(dtype, encoding, count, stored);
	}
}

static void
report_sparse_mismatch(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("sparse tensor is corrupt: its mask and its values disagree")));
}

/* ---------- bytes of a payload, in order ---------- */

typedef struct ByteStream
{
	Payload    *payload;
	uint64		position;		/* of the next byte, in the payload */
	uint64		end;
	char	   *window;			/* bytes of a lazy payload, or NULL */
	uint64		window_start;
	uint64		window_end;
} ByteStream;

static void
stream_init(ByteStream *stream, Payload *payload, uint64 start, uint64 end)
{
	stream->payload = payload;
	stream->position = start;
	stream->end = end;
	stream->window = NULL;
	stream->window_start = stream->window_end = start;
	if (payload->source == PAYLOAD_LAZY)
		stream->window = palloc(WINDOW_BYTES + MODEL_ALIGNMENT);
}

/* The next n bytes, which must be there: at most half a window. */
static const char *
stream_take(ByteStream *stream, uint64 n)
{
	uint64		start = stream->position;

	Assert(start + n <= stream->end && n <= WINDOW_BYTES);
	stream->position += n;

	/* Somebody may have loaded the payload since the last call. */
	if (stream->payload->source != PAYLOAD_LAZY)
		return stream->payload->bytes + start;

	if (start + n > stream->window_end)
	{
		uint64		length = Min((uint64) WINDOW_BYTES, stream->end - start);

		lazy_read(stream->payload, start, length, stream->window);
		stream->window_start = start;
		stream->window_end = start + length;
	}
	return stream->window + (start - stream->window_start);
}

static void
stream_free(ByteStream *stream)
{
	if (stream->window != NULL)
		pfree(stream->window);
}

/* ---------- reader ---------- */

struct PayloadReader
{
	Payload    *payload;
	int64		position;		/* elements handed out */
	bool		by_elements;	/* sparse: as long as the source has them */
	int64		values_left;	/* sparse: not yet taken */
	ByteStream	mask;			/* sparse */
	ByteStream	values;			/* sparse: values; else all that is stored */
	char	   *chunk;			/* decoded elements, unless dense */
};

PayloadReader *
payload_reader_create(Payload *payload)
{
	PayloadReader *reader = palloc0(sizeof(PayloadReader));
	int64		largest = Min(payload->count, PAYLOAD_CHUNK);

	reader->payload = payload;
	if (payload->encoding == ENCODING_SPARSE)
	{
		uint64		mask_size = sparse_mask_size(payload->count);

		reader->by_elements = lazy_has_elements(payload);
		reader->values_left = sparse_value_count(payload);
		stream_init(&reader->mask, payload, 0, mask_size);
		stream_init(&reader->values, payload, mask_size, payload->stored);
	}
	else
		stream_init(&reader->values, payload, 0, payload->stored);
	if (payload->encoding != ENCODING_DENSE)
		reader->chunk = palloc(dtype_bytes(payload->dtype, largest) +
							   MODEL_ALIGNMENT);
	return reader;
}

static const void *
read_sparse_chunk(PayloadReader *reader, int64 n)
{
	int			width = dtype_bits(reader->payload->dtype) / 8;
	const uint8 *mask;
	int64		nvalues;

	mask = (const uint8 *) stream_take(&reader->mask, (n + 7) / 8);
	nvalues = kernel_popcount(mask, (n + 7) / 8);
	if (nvalues > reader->values_left || nvalues > n)
		report_sparse_mismatch();
	reader->values_left -= nvalues;
	if (reader->position + n == reader->payload->count &&
		reader->values_left != 0)
		report_sparse_mismatch();
	if ((int64) kernel_sparse_unpack(reader->chunk, n, width, mask,
									 stream_take(&reader->values,
												 nvalues * width)) != nvalues)
		report_sparse_mismatch();
	return reader->chunk;
}

/* A source that has the elements themselves, until somebody loads the payload;
 * from then on the encoded form is read from where the elements ended. */
static const void *
read_element_chunk(PayloadReader *reader, int64 n)
{
	Payload    *payload = reader->payload;
	const uint8 *mask;
	int64		nvalues;

	if (lazy_has_elements(payload))
	{
		lazy_read_elements(payload, reader->position, n, reader->chunk);
		return reader->chunk;
	}
	for (int64 done = 0; done < reader->position; done += PAYLOAD_CHUNK)
	{
		mask = (const uint8 *) stream_take(&reader->mask, PAYLOAD_CHUNK / 8);
		nvalues = kernel_popcount(mask, PAYLOAD_CHUNK / 8);
		reader->values.position += nvalues * (dtype_bits(payload->dtype) / 8);
		reader->values_left -= nvalues;
	}
	reader->by_elements = false;
	return read_sparse_chunk(reader, n);
}

static const void *
read_block_chunk(PayloadReader *reader, int64 n)
{
	Encoding	encoding = reader->payload->encoding;
	const char *blocks = stream_take(&reader->values,
									 encoding_blocks_size(encoding, n));

	kernel_block_decode(encoding_info(encoding)->block,
						(float *) reader->chunk, blocks,
						n / encoding_block_elements(encoding));
	return reader->chunk;
}

int64
payload_reader_next(PayloadReader *reader, const void **elements)
{
	Payload    *payload = reader->payload;
	int64		n = Min(payload->count - reader->position, PAYLOAD_CHUNK);

	if (n == 0)
		return 0;
	CHECK_FOR_INTERRUPTS();
	if (reader->by_elements)
		*elements = read_element_chunk(reader, n);
	else if (payload->encoding == ENCODING_SPARSE)
		*elements = read_sparse_chunk(reader, n);
	else if (encoding_has_blocks(payload->encoding))
		*elements = read_block_chunk(reader, n);
	else
		*elements = stream_take(&reader->values,
								dtype_bytes(payload->dtype, n));
	reader->position += n;
	return n;
}

void
payload_reader_free(PayloadReader *reader)
{
	if (reader->payload->encoding == ENCODING_SPARSE)
		stream_free(&reader->mask);
	if (reader->chunk != NULL)
		pfree(reader->chunk);
	stream_free(&reader->values);
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

float
payload_block_element(Payload *payload, int64 index)
{
	Encoding	encoding = payload->encoding;
	int			n = encoding_block_elements(encoding);
	float		block[KERNEL_BLOCK_MAX];
	char		stored[KERNEL_BLOCK_MAX * sizeof(float)];

	payload_copy_part(payload,
					  encoding_blocks_size(encoding, index - index % n),
					  encoding_blocks_size(encoding, n), stored);
	kernel_block_decode(encoding_info(encoding)->block, block, stored, 1);
	return block[index % n];
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
