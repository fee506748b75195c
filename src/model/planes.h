/*
 * planes.h
 *		The planes encoding: elements packed without loss, block by block.
 *
 *		directory		the size of each block, four bytes each
 *		blocks			one after another, as src/kernel packs them: of
 *						KERNEL_PACK_BLOCK bytes of elements, the last of what is
 *						left
 *		zeros			up to a thousandth of the elements' bytes, so that no few
 *						bytes from outside decode to very many
 */
#ifndef MODELOPT_PLANES_H
#define MODELOPT_PLANES_H

#include "kernel/kernel.h"
#include "model/model.h"

typedef struct Planes
{
	uint64		bytes;			/* of the elements */
	int64		nblocks;
	uint64		blocks_at;		/* offset in the payload */
	uint64		least;			/* bytes that the payload has at least */
} Planes;

extern void planes_plan(Planes *planes, DType dtype, int64 count);

/* Bytes of elements in a block. */
extern uint32 planes_block_bytes(const Planes *planes, int64 block);

/* What the kernel is to take elements for: their width in bytes, of those with
 * less than a byte too, and their kind. */
extern int	planes_width(DType dtype);
extern KernelNumber planes_number(DType dtype);

#endif							/* MODELOPT_PLANES_H */
