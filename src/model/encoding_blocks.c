/*
 * encoding_blocks.c
 *		Blocks of quantized floats, one after another, as ggml has them.
 *
 * What is in a block is src/kernel's.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/encoding.h"

StaticAssertDecl(PAYLOAD_CHUNK % KERNEL_BLOCK_MAX == 0,
				 "a chunk has whole blocks");

typedef struct Blocks
{
	Encoding	encoding;
	ByteStream	blocks;
	float	   *chunk;
} Blocks;

static void *
begin(Payload *payload)
{
	Blocks	   *blocks = palloc(sizeof(Blocks));
	int64		largest = Min(payload->count, PAYLOAD_CHUNK);

	blocks->encoding = payload->encoding;
	stream_init(&blocks->blocks, payload, 0, payload->stored);
	blocks->chunk = palloc(largest * sizeof(float) + MODEL_ALIGNMENT);
	return blocks;
}

static const void *
next(void *state, int64 n)
{
	Blocks	   *blocks = state;
	Encoding	encoding = blocks->encoding;
	const char *src = stream_take(&blocks->blocks,
								  encoding_blocks_size(encoding, n));

	kernel_block_decode(encoding_info(encoding)->block, blocks->chunk, src,
						n / encoding_block_elements(encoding));
	return blocks->chunk;
}

static void
end(void *state)
{
	Blocks	   *blocks = state;

	stream_free(&blocks->blocks);
	pfree(blocks->chunk);
	pfree(blocks);
}

/* Sizes are checked by payload_mismatch, which knows the kind of block. */
const EncodingMethods encoding_blocks = {
	NULL, NULL, begin, next, end
};

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
