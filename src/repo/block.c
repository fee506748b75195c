/*
 * block.c
 *		How the cells of a block are coded.
 *
 * Owns the layout of a coded block: a byte of flags, then what they say.
 *
 *	 nothing at all			the base's cells
 *	 0						packed cells
 *	 DELTA					packed differences to the base's cells
 *	 SPARSE					mask and values of cells that are not zero, packed
 *	 DELTA and SPARSE		the same of the differences: few cells changed
 *	 MASKED					a packed mask: the base's cell or zero, which is
 *							what pruning does
 *
 * Does not know where blocks are kept, nor which object is a good base.
 */
#include "postgres.h"

#include "repo/block.h"

#define BLOCK_DELTA		0x01
#define BLOCK_SPARSE	0x02
#define BLOCK_MASKED	0x04

/* What may be tried in turn. */
static const uint8 plans[] = {0, BLOCK_DELTA, BLOCK_SPARSE, BLOCK_DELTA | BLOCK_SPARSE};

/* Blocks that are coded as the last one that was tried in every way. */
#define BLOCKS_PER_TRIAL	16

/* A delta ties an object to its base, and has to earn that. */
#define WORTH_A_BASE		0.9

/* Before the packed mask of sparse cells: how many values, and the size of the
 * packed mask. */
#define SPARSE_HEADER		(2 * sizeof(uint32))

struct BlockCoder
{
	CellLayout	layout;
	KernelPacker *packer;
	KernelUnpacker *unpacker;
	char	   *difference;		/* cells of a delta */
	uint8	   *mask;
	char	   *values;			/* of a sparse block */
	char	   *coded[2];		/* the best so far and one more try */
	uint8		plan;			/* of the blocks until the next trial */
	int			until_trial;
};

Size
block_coded_bound(void)
{
	return 1 + SPARSE_HEADER + kernel_pack_bound(OBJECT_BLOCK_BYTES) +
		kernel_pack_bound(OBJECT_BLOCK_BYTES / 8);
}

BlockCoder *
block_coder_create(CellLayout layout)
{
	BlockCoder *coder = palloc0(sizeof(BlockCoder));

	coder->layout = layout;
	coder->packer = kernel_packer_init(palloc(kernel_packer_size()));
	coder->unpacker = kernel_unpacker_init(palloc(kernel_unpacker_size()));
	coder->difference = palloc(OBJECT_BLOCK_BYTES + MODEL_ALIGNMENT);
	coder->mask = palloc(OBJECT_BLOCK_BYTES / 8 + MODEL_ALIGNMENT);
	coder->values = palloc(OBJECT_BLOCK_BYTES + MODEL_ALIGNMENT);
	coder->coded[0] = palloc(block_coded_bound());
	coder->coded[1] = palloc(block_coded_bound());
	return coder;
}

static Size
mask_bytes(const BlockCoder *coder, Size bytes)
{
	return (bytes / coder->layout.width + 7) / 8;
}

/* ---------- encoding ---------- */

static Size
pack_mask(BlockCoder *coder, char *dst, Size bytes)
{
	return kernel_pack(coder->packer, dst, coder->mask,
					   mask_bytes(coder, bytes), 1, KERNEL_UNSIGNED);
}

static Size
encode_sparse(BlockCoder *coder, char *dst, const void *cells, Size bytes,
			  KernelNumber number)
{
	int			width = coder->layout.width;
	uint32		header[2];
	Size		packed;

	header[0] = kernel_sparse_pack(cells, bytes / width, width, coder->mask,
								   coder->values);
	header[1] = pack_mask(coder, dst + SPARSE_HEADER, bytes);
	memcpy(dst, header, SPARSE_HEADER);
	packed = kernel_pack(coder->packer, dst + SPARSE_HEADER + header[1],
						 coder->values, (Size) header[0] * width, width,
						 number);
	return SPARSE_HEADER + header[1] + packed;
}

/* Codes a block as a plan says. */
static Size
encode_as(BlockCoder *coder, uint8 plan, char *dst, const void *cells,
		  const void *base, Size bytes)
{
	int			width = coder->layout.width;
	KernelNumber number = coder->layout.number;

	dst[0] = plan;
	if (plan & BLOCK_DELTA)
	{
		kernel_delta_encode(coder->difference, cells, base, bytes / width,
							width, number);
		cells = coder->difference;
		number = KERNEL_UNSIGNED;
	}
	if (plan & BLOCK_SPARSE)
		return 1 + encode_sparse(coder, dst + 1, cells, bytes, number);
	return 1 + kernel_pack(coder->packer, dst + 1, cells, bytes, width, number);
}

static void
swap_coded(BlockCoder *coder)
{
	char	   *other = coder->coded[0];

	coder->coded[0] = coder->coded[1];
	coder->coded[1] = other;
}

/* Codes a block in every way that may pay, and remembers which did. */
static Size
encode_best(BlockCoder *coder, const void *cells, const void *base,
			Size bytes)
{
	Size		best = 0;
	double		best_cost = 0;

	for (int i = 0; i < lengthof(plans); i++)
	{
		uint8		plan = plans[i];
		Size		size;
		double		cost;

		if ((plan & BLOCK_DELTA) && base == NULL)
			continue;
		size = encode_as(coder, plan, coder->coded[1], cells, base, bytes);
		cost = (plan & BLOCK_DELTA) ? size / WORTH_A_BASE : size;
		if (best != 0 && cost >= best_cost)
			continue;
		best = size;
		best_cost = cost;
		coder->plan = plan;
		swap_coded(coder);
	}
	coder->until_trial = BLOCKS_PER_TRIAL;
	return best;
}

Size
block_encode(BlockCoder *coder, const void *cells, const void *base,
			 Size bytes, const void **coded)
{
	int			width = coder->layout.width;
	Size		size;

	if (base != NULL && memcmp(cells, base, bytes) == 0)
		size = 0;
	else if (base != NULL && bytes % width == 0 &&
			 kernel_mask_of(coder->mask, cells, base, bytes / width, width))
	{
		coder->coded[0][0] = BLOCK_MASKED;
		size = 1 + pack_mask(coder, coder->coded[0] + 1, bytes);
	}
	else if (coder->until_trial <= 0 ||
			 ((coder->plan & BLOCK_DELTA) && base == NULL))
		size = encode_best(coder, cells, base, bytes);
	else
	{
		coder->until_trial--;
		size = encode_as(coder, coder->plan, coder->coded[0], cells, base,
						 bytes);
	}
	*coded = coder->coded[0];
	return size;
}

/* ---------- decoding ---------- */

bool
block_needs_base(const void *coded, Size size)
{
	return size == 0 ||
		(((const uint8 *) coded)[0] & (BLOCK_DELTA | BLOCK_MASKED)) != 0;
}

static bool
decode_mask(BlockCoder *coder, Size bytes, const char *src, Size size)
{
	Size		cells = bytes / coder->layout.width;
	Size		n = mask_bytes(coder, bytes);

	return kernel_unpack(coder->unpacker, coder->mask, n, src, size) &&
		(cells % 8 == 0 || coder->mask[n - 1] >> (cells % 8) == 0);
}

static bool
decode_sparse(BlockCoder *coder, void *cells, Size bytes, const char *src,
			  Size size)
{
	int			width = coder->layout.width;
	uint32		header[2];

	if (size < SPARSE_HEADER)
		return false;
	memcpy(header, src, SPARSE_HEADER);
	src += SPARSE_HEADER;
	size -= SPARSE_HEADER;
	if (header[1] > size || header[0] > bytes / width ||
		!decode_mask(coder, bytes, src, header[1]) ||
		kernel_popcount(coder->mask, mask_bytes(coder, bytes)) != header[0] ||
		!kernel_unpack(coder->unpacker, coder->values,
					   (Size) header[0] * width, src + header[1],
					   size - header[1]))
		return false;
	kernel_sparse_unpack(cells, bytes / width, width, coder->mask,
						 coder->values);
	return true;
}

static bool
decode_masked(BlockCoder *coder, void *cells, const void *base, Size bytes,
			  const char *src, Size size)
{
	int			width = coder->layout.width;

	if (!decode_mask(coder, bytes, src, size))
		return false;
	kernel_mask_apply(cells, base, coder->mask, bytes / width, width);
	return true;
}

bool
block_decode(BlockCoder *coder, void *cells, const void *base, Size bytes,
			 const void *coded, Size size)
{
	int			width = coder->layout.width;
	const char *src = coded;
	uint8		flags;
	bool		good;

	Assert(base != NULL || !block_needs_base(coded, size));
	if (size == 0)
	{
		memcpy(cells, base, bytes);
		return true;
	}
	flags = *src++;
	size--;
	if (bytes % width != 0 ||
		(flags & ~(BLOCK_DELTA | BLOCK_SPARSE | BLOCK_MASKED)) != 0)
		return false;
	if (flags & BLOCK_MASKED)
		return flags == BLOCK_MASKED &&
			decode_masked(coder, cells, base, bytes, src, size);
	if (flags & BLOCK_SPARSE)
		good = decode_sparse(coder, cells, bytes, src, size);
	else
		good = kernel_unpack(coder->unpacker, cells, bytes, src, size);
	if (good && (flags & BLOCK_DELTA))
		kernel_delta_decode(cells, cells, base, bytes / width, width,
							coder->layout.number);
	return good;
}
