/*
 * test_pack.c
 *		Planes and packed blocks: what goes in comes out, in little more than
 *		its entropy, and nothing else does any harm.
 */
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int widths[] = {1, 2, 4, 8};
static const char *const number_names[] = {"unsigned", "signed", "float"};

static KernelPacker *packer;
static KernelUnpacker *unpacker;

/* ---------- planes ---------- */

/* Where the bits of an element go, by the definition. */
static uint64_t
turned(uint64_t v, int bits, KernelNumber number)
{
	uint64_t	all = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
	uint64_t	sign = v >> (bits - 1) & 1;

	if (bits == 8 || number == KERNEL_UNSIGNED)
		return v;
	if (number == KERNEL_FLOAT)
		return ((v << 1) & all) | sign;
	return sign ? 2 * (~v & all) + 1 : 2 * v;
}

static bool
planes_work(int width, KernelNumber number)
{
	bool		good = true;

	for (int l = 0; l < nlengths; l++)
	{
		size_t		n = lengths[l];
		uint8_t    *src = buffer(n * width, l % 5);
		uint8_t    *back = buffer(n * width, l % 3);
		uint8_t    *planes[8] = {NULL};

		for (int p = 0; p < width; p++)
			planes[p] = buffer(n, (l + p) % 4);
		kernel_planes_split(planes, src, n, width, number);
		for (size_t i = 0; i < n; i++)
		{
			uint64_t	v = 0;

			memcpy(&v, src + i * width, width);
			v = turned(v, 8 * width, number);
			for (int p = 0; p < width; p++)
				good &= planes[p][i] == (uint8_t) (v >> (8 * p));
		}
		kernel_planes_merge(back, (const uint8_t *const *) planes, n, width,
							number);
		good &= same(back, src, n * width);
		free_buffers();
	}
	return good;
}

/* ---------- data of every kind ---------- */

typedef enum Shape
{
	SHAPE_RANDOM,
	SHAPE_CONSTANT,
	SHAPE_ZERO,
	SHAPE_WEIGHTS,				/* exponents that cluster, random fractions */
	SHAPE_PRUNED,				/* of those every second is zero */
	SHAPE_MULTIPLIED,			/* likewise, but with the sign that it had */
	SHAPE_SMALL,				/* integers near zero, of both signs */
	SHAPE_RARE,					/* nearly all equal to one that is not zero */
	SHAPE_ROWS,					/* the same rows again and again */
	SHAPE_COUNTER,
	SHAPE_MIXED,				/* one kind after the other */
	NSHAPES
} Shape;

static void
put(uint8_t *data, size_t i, int width, uint64_t v)
{
	memcpy(data + i * width, &v, width);
}

static uint64_t
shaped(Shape shape, size_t i, int width)
{
	int			exponent;

	switch (shape)
	{
		case SHAPE_CONSTANT:
			return UINT64_C(0x1122334455667788);
		case SHAPE_ZERO:
			return 0;
		case SHAPE_MULTIPLIED:
			if (draw_below(2) == 0)
				return (draw() & 1) << (8 * width - 1);
			return shaped(SHAPE_WEIGHTS, i, width);
		case SHAPE_PRUNED:
			if (draw_below(2) == 0)
				return 0;
			/* FALLTHROUGH */
		case SHAPE_WEIGHTS:
			exponent = 0;
			while (exponent < 20 && draw_below(2) == 0)
				exponent++;
			if (width == 1)
				return 120 - exponent;
			return (draw() & ~(UINT64_C(0xff) << (8 * width - 9))) |
				(uint64_t) (120 - exponent) << (8 * width - 9);
		case SHAPE_SMALL:
			return (uint64_t) ((int64_t) draw_below(9) - 4);
		case SHAPE_RARE:
			return draw_below(50) == 0 ? draw() : UINT64_C(0x0101010101010102);
		case SHAPE_COUNTER:
			return i;
		case SHAPE_MIXED:
			return shaped((Shape) (i / 3000 % SHAPE_ROWS), i, width);
		default:
			return draw();
	}
}

static void
fill_shape(uint8_t *data, size_t bytes, int width, Shape shape)
{
	size_t		n = bytes / width;
	size_t		row = 48;

	fill(data, bytes);
	for (size_t i = 0; i < n; i++)
	{
		if (shape == SHAPE_ROWS && i >= row)
			memcpy(data + i * width, data + (i - row) * width, width);
		else
			put(data, i, width, shaped(shape, i, width));
	}
}

/* Packs into memory of just the size that it may take, and keeps no more than
 * it has; NULL with a note when it does not come back. */
static uint8_t *
pack_and_unpack(const uint8_t *src, size_t bytes, int width,
				KernelNumber number, size_t *size)
{
	uint8_t    *room = buffer(kernel_pack_bound(bytes), 0);
	uint8_t    *packed;
	uint8_t    *back = buffer(bytes, 3);

	*size = kernel_pack(packer, room, src, bytes, width, number);
	digest(room, *size);
	packed = buffer(*size, 1);
	memcpy(packed, room, *size);
	if (*size > kernel_pack_bound(bytes) ||
		!kernel_unpack(unpacker, back, bytes, packed, *size) ||
		!same(back, src, bytes))
	{
		note("%zu bytes, width %d, number %d, packed %zu; ", bytes, width,
			 number, *size);
		return NULL;
	}
	return packed;
}

/* Sizes of whole elements and others, up to a block. */
static size_t
some_size(int round)
{
	if (round < nlengths)
		return lengths[round];
	return round == nlengths ? KERNEL_PACK_BLOCK :
		round == nlengths + 1 ? KERNEL_PACK_BLOCK - 1 :
		draw_below(KERNEL_PACK_BLOCK);
}

static bool
blocks_come_back(Shape shape, int width, KernelNumber number)
{
	bool		good = true;

	for (int round = 0; round < nlengths + 4; round++)
	{
		size_t		bytes = some_size(round);
		uint8_t    *src = buffer(bytes, round % 9);
		size_t		size;

		fill_shape(src, bytes, width, shape);
		good &= pack_and_unpack(src, bytes, width, number, &size) != NULL;
		free_buffers();
	}
	return good;
}

/* ---------- how small ---------- */

/* Bytes that no code of order 0 of the planes can beat. */
static double
order_0(const uint8_t *src, size_t bytes, int width, KernelNumber number)
{
	size_t		n = bytes / width;
	uint8_t    *planes[8] = {NULL};
	double		bits = 0;

	for (int p = 0; p < width; p++)
		planes[p] = buffer(n, 0);
	kernel_planes_split(planes, src, n, width, number);
	for (int p = 0; p < width; p++)
	{
		double		counts[256] = {0};

		for (size_t i = 0; i < n; i++)
			counts[planes[p][i]]++;
		for (int i = 0; i < 256; i++)
			if (counts[i] > 0)
				bits += counts[i] * log2(n / counts[i]);
	}
	return bits / 8;
}

/* Within so many points of the block of the bound, or below it. */
static bool
is_small(Shape shape, int width, KernelNumber number, double points)
{
	uint8_t    *src = buffer(KERNEL_PACK_BLOCK, 0);
	size_t		size;
	double		bound;
	bool		good;

	fill_shape(src, KERNEL_PACK_BLOCK, width, shape);
	bound = order_0(src, KERNEL_PACK_BLOCK, width, number);
	good = pack_and_unpack(src, KERNEL_PACK_BLOCK, width, number, &size) &&
		size <= bound + KERNEL_PACK_BLOCK * points / 100;
	if (!good)
		note("width %d: %zu, bound %.0f", width, size, bound);
	free_buffers();
	return good;
}

/* Where half of the weights are zeros of either sign, these cost a bit and a
 * half an element, and the others what they cost by themselves. */
static bool
zeros_are_left_out(int width)
{
	size_t		n = KERNEL_PACK_BLOCK / width;
	uint8_t    *src = buffer(KERNEL_PACK_BLOCK, 0);
	size_t		size;
	size_t		others;
	bool		good;

	fill_shape(src, KERNEL_PACK_BLOCK / 2, width, SHAPE_WEIGHTS);
	good = pack_and_unpack(src, KERNEL_PACK_BLOCK / 2, width, KERNEL_FLOAT,
						   &others) != NULL;
	fill_shape(src, KERNEL_PACK_BLOCK, width, SHAPE_MULTIPLIED);
	good &= pack_and_unpack(src, KERNEL_PACK_BLOCK, width, KERNEL_FLOAT,
							&size) != NULL;
	good &= size <= others + 1.5 * n / 8 + 0.01 * KERNEL_PACK_BLOCK;
	if (!good)
		note("width %d: %zu, others %zu; ", width, size, others);
	free_buffers();
	return good;
}

static bool
rows_are_found(int width)
{
	uint8_t    *src = buffer(KERNEL_PACK_BLOCK, 0);
	size_t		size;
	bool		good;

	fill_shape(src, KERNEL_PACK_BLOCK, width, SHAPE_ROWS);
	good = pack_and_unpack(src, KERNEL_PACK_BLOCK, width, KERNEL_FLOAT, &size) &&
		size < KERNEL_PACK_BLOCK / 20;
	free_buffers();
	return good;
}

/* Bitmasks, with a share of bits in a thousand. */
static bool
masks_are_small(int per_mille)
{
	size_t		bytes = KERNEL_PACK_BLOCK / 4;
	uint8_t    *mask = buffer(bytes, 0);
	double		p = per_mille / 1000.0;
	double		bits = per_mille % 1000 == 0 ? 0 : -p * log2(p) - (1 - p) * log2(1 - p);
	size_t		size;
	bool		good;

	memset(mask, 0, bytes);
	for (size_t i = 0; i < 8 * bytes; i++)
		if (draw_below(1000) < (size_t) per_mille)
			mask[i / 8] |= (uint8_t) (1 << (i % 8));
	good = pack_and_unpack(mask, bytes, 1, KERNEL_UNSIGNED, &size) &&
		size <= bytes * (bits + 0.02) + 100;
	if (!good)
		note("%d in a thousand: %zu of %zu, entropy %g", per_mille, size,
			 bytes, bits);
	free_buffers();
	return good;
}

static bool
estimate_is_near(Shape shape, int width, KernelNumber number)
{
	size_t		bytes = 5 * KERNEL_PACK_BLOCK;
	uint8_t    *src = buffer(bytes, 0);
	uint8_t    *room = buffer(kernel_pack_bound(KERNEL_PACK_BLOCK), 0);
	double		packed = 0;
	double		estimate;

	fill_shape(src, bytes, width, shape);
	for (size_t done = 0; done < bytes; done += KERNEL_PACK_BLOCK)
		packed += kernel_pack(packer, room, src + done, KERNEL_PACK_BLOCK,
							  width, number);
	estimate = kernel_pack_estimate(packer, src, bytes, width, number);
	free_buffers();
	if (fabs(estimate - packed) > 0.02 * bytes)
	{
		note("shape %d, width %d: %.0f, is %.0f; ", shape, width, estimate,
			 packed);
		return false;
	}
	return true;
}

/* ---------- bytes from somewhere else ---------- */

/* A copy of its own size, so that sanitizers see what is read beyond. */
static bool
unpacks(const uint8_t *packed, size_t size, size_t bytes)
{
	uint8_t    *copy = malloc(size > 0 ? size : 1);
	uint8_t    *back = malloc(bytes > 0 ? bytes : 1);
	bool		good;

	if (size > 0)
		memcpy(copy, packed, size);
	good = kernel_unpack(unpacker, back, bytes, copy, size);
	free(copy);
	free(back);
	return good;
}

/* No beginning of a block is one, nor a block of another size. */
static bool
refuses_other_sizes(Shape shape, int width)
{
	size_t		bytes = 3000 + draw_below(8);
	uint8_t    *src = buffer(bytes, 0);
	size_t		size;
	uint8_t    *packed;
	bool		good = true;

	fill_shape(src, bytes, width, shape);
	packed = pack_and_unpack(src, bytes, width, KERNEL_FLOAT, &size);
	for (size_t cut = 0; cut < size; cut++)
		good &= !unpacks(packed, cut, bytes);
	for (size_t other = bytes - 64; other < bytes + 64; other++)
		good &= other == bytes || !unpacks(packed, size, other);
	packed = realloc(memcpy(malloc(size + 1), packed, size), size + 1);
	packed[size] = 0;
	good &= !unpacks(packed, size + 1, bytes);
	free(packed);
	free_buffers();
	return good;
}

/* Nothing is asked of what changed bytes unpack to, but that they harm nothing
 * and that the unpacker still works. */
static bool
survives_changes(Shape shape, int width)
{
	size_t		bytes = 20000;
	uint8_t    *src = buffer(bytes, 0);
	size_t		size;
	uint8_t    *packed;
	uint8_t    *back = buffer(bytes, 0);
	bool		good;

	fill_shape(src, bytes, width, shape);
	packed = pack_and_unpack(src, bytes, width, KERNEL_SIGNED, &size);
	for (int round = 0; round < 400; round++)
	{
		uint8_t    *changed = buffer(size, 0);
		int			changes = 1 + (int) draw_below(3);

		memcpy(changed, packed, size);
		while (changes-- > 0)
		{
			/* Most of what is checked is near the start. */
			size_t		where = draw_below(draw_below(2) == 0 && size > 64 ? 64 : size);

			changed[where] = draw_below(2) == 0 ? (uint8_t) draw() :
				changed[where] ^ (uint8_t) (1 << draw_below(8));
		}
		unpacks(changed, size, bytes);
		if (round % 32 == 31)
		{
			uint8_t    *kept = malloc(size);
			uint8_t    *kept_src = malloc(bytes);

			memcpy(kept, packed, size);
			memcpy(kept_src, src, bytes);
			free_buffers();
			src = memcpy(buffer(bytes, 0), kept_src, bytes);
			packed = memcpy(buffer(size, 0), kept, size);
			back = buffer(bytes, 0);
			free(kept);
			free(kept_src);
		}
	}
	good = kernel_unpack(unpacker, back, bytes, packed, size) &&
		same(back, src, bytes);
	free_buffers();
	return good;
}

/* Sections within sections, as deep as the bytes say. */
static bool
refuses_depth(void)
{
	static const uint8_t header[] = {1, 0, 0, 0, 1, 0}; /* 65536 bytes */
	static const uint8_t sparse[] = {3, 0, 0, 0, 0};
	uint8_t    *block = buffer(4096, 0);
	size_t		size = sizeof(header);
	bool		good;

	memset(block, 0, 4096);
	memcpy(block, header, sizeof(header));
	for (; size + sizeof(sparse) <= 4096; size += sizeof(sparse))
		memcpy(block + size, sparse, sizeof(sparse));
	good = !unpacks(block, 4096, 65536);
	free_buffers();
	return good;
}

void
test_pack(void)
{
	void	   *packer_memory = malloc(kernel_packer_size());
	void	   *unpacker_memory = malloc(kernel_unpacker_size());

	packer = kernel_packer_init(packer_memory);
	unpacker = kernel_unpacker_init(unpacker_memory);
	for (int w = 0; w < 4; w++)
	{
		bool		estimates = true;
		bool		refused = true;
		bool		survived = true;

		for (int number = 0; number < 3; number++)
		{
			bool		good = true;

			ok(planes_work(widths[w], number),
			   "pack: planes of %d bytes, %s", widths[w],
			   number_names[number]);
			for (int shape = 0; shape < NSHAPES; shape++)
				good &= blocks_come_back(shape, widths[w], number);
			ok(good, "pack: blocks of %d bytes, %s, come back", widths[w],
			   number_names[number]);
		}
		ok(is_small(SHAPE_WEIGHTS, widths[w], KERNEL_FLOAT, 2),
		   "pack: weights of %d bytes are near their entropy", widths[w]);
		ok(is_small(SHAPE_PRUNED, widths[w], KERNEL_FLOAT, 2),
		   "pack: pruned weights of %d bytes are near or below it", widths[w]);
		ok(widths[w] == 1 || zeros_are_left_out(widths[w]),
		   "pack: zeros of both signs are left out, %d bytes", widths[w]);
		ok(is_small(SHAPE_SMALL, widths[w], KERNEL_SIGNED, 2),
		   "pack: small integers of %d bytes are near it", widths[w]);
		ok(is_small(SHAPE_RARE, widths[w], KERNEL_UNSIGNED, 2),
		   "pack: what differs rarely is near it, %d bytes", widths[w]);
		ok(rows_are_found(widths[w]), "pack: rows of %d bytes are found",
		   widths[w]);
		for (int shape = 0; shape < NSHAPES; shape++)
		{
			/* Places differ in what follows. */
			if (shape != SHAPE_MIXED && shape != SHAPE_COUNTER)
				estimates &= estimate_is_near(shape, widths[w], KERNEL_FLOAT);
			refused &= refuses_other_sizes(shape, widths[w]);
			survived &= survives_changes(shape, widths[w]);
		}
		ok(estimates, "pack: estimates are near, %d bytes", widths[w]);
		ok(refused, "pack: other sizes are refused, %d bytes", widths[w]);
		ok(survived, "pack: changed bytes do no harm, %d bytes", widths[w]);
	}
	for (int per_mille = 0; per_mille <= 1000; per_mille += 1000)
		ok(masks_are_small(per_mille), "pack: masks of one kind of bit");
	ok(masks_are_small(2) && masks_are_small(10) && masks_are_small(100) &&
	   masks_are_small(300) && masks_are_small(500) && masks_are_small(950),
	   "pack: masks are near their entropy");
	ok(refuses_depth(), "pack: sections in sections without end are refused");
	free(packer_memory);
	free(unpacker_memory);
}
