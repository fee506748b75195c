/*
 * block.h
 *		One block of an object's cells, coded.
 *
 * A block is coded by itself or against the cells that an older object has in
 * the same place.  What it is coded as is its first byte; a block of no bytes
 * is the base's.  Bytes of a block are taken for hostile: they may have been
 * restored from anywhere.
 */
#ifndef MODELOPT_BLOCK_H
#define MODELOPT_BLOCK_H

#include "kernel/kernel.h"
#include "repo/object.h"

typedef struct BlockCoder BlockCoder;

/* In the current context, and freed with it. */
extern BlockCoder *block_coder_create(CellLayout layout);

/*
 * Codes a block of at most OBJECT_BLOCK_BYTES; base has as many bytes, or is
 * NULL.  Tries what may be smallest on some blocks, and does with those that
 * follow what was best there.  Returns the coded size; *coded stays valid
 * until the next call.
 */
extern Size block_encode(BlockCoder *coder, const void *cells,
						 const void *base, Size bytes, const void **coded);

/* What a coded block may have at most. */
extern Size block_coded_bound(void);

/* Whether decoding takes the base's cells. */
extern bool block_needs_base(const void *coded, Size size);

/* False when the bytes are no block of that size. */
extern bool block_decode(BlockCoder *coder, void *cells, const void *base,
						 Size bytes, const void *coded, Size size);

#endif							/* MODELOPT_BLOCK_H */
