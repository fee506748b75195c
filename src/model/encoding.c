/*
 * encoding.c
 *		The ways in which payloads store their elements.
 *
 * Owns the list of encodings.  What is in a block is src/kernel's, and the
 * layout of sparse payloads is payload.c's.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/model.h"

/* Indexed by Encoding. */
static const EncodingInfo encodings[] = {
	[ENCODING_DENSE] = {"dense", -1},
	[ENCODING_SPARSE] = {"sparse", -1},
	[ENCODING_Q4_0] = {"q4_0", KERNEL_BLOCK_Q4_0},
	[ENCODING_Q4_1] = {"q4_1", KERNEL_BLOCK_Q4_1},
	[ENCODING_Q5_0] = {"q5_0", KERNEL_BLOCK_Q5_0},
	[ENCODING_Q5_1] = {"q5_1", KERNEL_BLOCK_Q5_1},
	[ENCODING_Q8_0] = {"q8_0", KERNEL_BLOCK_Q8_0},
	[ENCODING_Q4_K] = {"q4_k", KERNEL_BLOCK_Q4_K},
	[ENCODING_Q5_K] = {"q5_k", KERNEL_BLOCK_Q5_K},
	[ENCODING_Q6_K] = {"q6_k", KERNEL_BLOCK_Q6_K},
};

const EncodingInfo *
encoding_info(int encoding)
{
	if (encoding < 0 || encoding >= (int) lengthof(encodings))
		return NULL;
	return &encodings[encoding];
}

bool
encoding_has_blocks(Encoding encoding)
{
	return encodings[encoding].block >= 0;
}

int
encoding_block_elements(Encoding encoding)
{
	return kernel_block_elements(encodings[encoding].block);
}

uint64
encoding_blocks_size(Encoding encoding, int64 count)
{
	int			kind = encodings[encoding].block;

	Assert(count % kernel_block_elements(kind) == 0);
	return (uint64) count / kernel_block_elements(kind) *
		kernel_block_bytes(kind);
}
