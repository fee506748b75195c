/*
 * encoding_planes.c
 *		Elements packed without loss: planes.h.
 *
 * Who makes them is not known here.  What a block unpacks to is checked while
 * it is read, since it is nowhere else.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/encoding.h"
#include "model/planes.h"

#define KIND "packed"

/* At least so many bytes for so many of elements. */
#define LEAST_PART 1024

/* No block is smaller: a header and a section. */
#define LEAST_BLOCK 8

StaticAssertDecl(KERNEL_PACK_BLOCK % (PAYLOAD_CHUNK * sizeof(int64)) == 0,
				 "a block has whole chunks");

/* ---------- layout ---------- */

void
planes_plan(Planes *planes, DType dtype, int64 count)
{
	planes->bytes = dtype_bytes(dtype, count);
	planes->nblocks = (planes->bytes + KERNEL_PACK_BLOCK - 1) /
		KERNEL_PACK_BLOCK;
	planes->blocks_at = planes->nblocks * sizeof(uint32);
	planes->least = planes->bytes / LEAST_PART;
}

uint32
planes_block_bytes(const Planes *planes, int64 block)
{
	return Min(planes->bytes - (uint64) block * KERNEL_PACK_BLOCK,
			   (uint64) KERNEL_PACK_BLOCK);
}

int
planes_width(DType dtype)
{
	return Max(dtype_bits(dtype) / 8, 1);
}

KernelNumber
planes_number(DType dtype)
{
	switch (dtype_info(dtype)->kind)
	{
		case DTYPE_KIND_FLOAT:
			return KERNEL_FLOAT;
		case DTYPE_KIND_SIGNED:
			return dtype_bits(dtype) < 8 ? KERNEL_UNSIGNED : KERNEL_SIGNED;
		default:
			return KERNEL_UNSIGNED;
	}
}

/* ---------- checking ---------- */

static const char *
check_size(DType dtype, int64 count, uint64 stored)
{
	Planes		planes;

	planes_plan(&planes, dtype, count);
	if (count == 0 || stored >= planes.bytes || stored < planes.least ||
		stored < planes.blocks_at + planes.nblocks * LEAST_BLOCK)
		return "A packed payload's size does not fit its number of elements.";
	return NULL;
}

/* That the blocks are what their directory says; elements are checked by
 * reading them. */
static const char *
verify(const Payload *payload)
{
	Planes		planes;
	uint64		end;

	planes_plan(&planes, payload->dtype, payload->count);
	end = planes.blocks_at;
	for (int64 i = 0; i < planes.nblocks; i++)
	{
		uint32		size;

		memcpy(&size, payload->bytes + i * sizeof(size), sizeof(size));
		if (size > payload->stored - end)
			return "A packed payload's blocks reach past its end.";
		end += size;
	}
	if (payload->stored != Max(end, planes.least) ||
		!kernel_is_zero(payload->bytes + end, payload->stored - end))
		return "A packed payload has something after its last block.";
	return NULL;
}

/* ---------- reading ---------- */

typedef struct PlanesReader
{
	DType		dtype;
	Planes		planes;
	ByteStream	sizes;
	ByteStream	blocks;
	KernelUnpacker *unpacker;
	int64		next_block;
	char	   *block;			/* its elements */
	uint32		position;		/* of what has not been handed out */
	uint32		end;
} PlanesReader;

static void *
begin(Payload *payload)
{
	PlanesReader *reader = palloc(sizeof(PlanesReader));

	reader->dtype = payload->dtype;
	planes_plan(&reader->planes, payload->dtype, payload->count);
	stream_init(&reader->sizes, payload, 0, reader->planes.blocks_at);
	stream_init(&reader->blocks, payload, reader->planes.blocks_at,
				payload->stored);
	reader->unpacker = kernel_unpacker_init(palloc(kernel_unpacker_size()));
	reader->block = palloc(Min(reader->planes.bytes,
							   (uint64) KERNEL_PACK_BLOCK));
	reader->next_block = 0;
	reader->position = reader->end = 0;
	return reader;
}

static void
unpack_block(PlanesReader *reader)
{
	uint32		bytes = planes_block_bytes(&reader->planes,
										   reader->next_block);
	uint32		size;

	memcpy(&size, stream_take(&reader->sizes, sizeof(size)), sizeof(size));
	if (size > reader->blocks.end - reader->blocks.position ||
		size > kernel_pack_bound(bytes) ||
		!kernel_unpack(reader->unpacker, reader->block, bytes,
					   stream_take(&reader->blocks, size), size))
		encoding_corrupt(KIND, psprintf("Its block " INT64_FORMAT " cannot be unpacked.",
										reader->next_block));
	reader->next_block++;
	reader->position = 0;
	reader->end = bytes;
}

static const void *
next(void *state, int64 n)
{
	PlanesReader *reader = state;
	const char *elements;
	const char *problem;

	if (reader->position == reader->end)
		unpack_block(reader);
	elements = reader->block + reader->position;
	reader->position += dtype_bytes(reader->dtype, n);
	problem = elements_problem(reader->dtype, elements, n);
	if (problem != NULL)
		encoding_corrupt(KIND, problem);
	return elements;
}

static void
end(void *state)
{
	PlanesReader *reader = state;

	stream_free(&reader->sizes);
	stream_free(&reader->blocks);
	pfree(reader->unpacker);
	pfree(reader->block);
	pfree(reader);
}

const EncodingMethods encoding_planes = {
	check_size, verify, begin, next, end
};
