/*
 * unpack.c
 *		Unpacking a block, whatever its bytes are.
 *
 * Every size is checked before it is used, against what is there and against
 * what is still to be made; what a section stands for is known before it is
 * read, so nothing grows beyond the block.
 */
#include "kernel/pack_format.h"

#include <string.h>

/* Planes, values and mask of a block; masks and values of sections, each
 * level half as long as the one before. */
#define ARENA_SIZE (4 * KERNEL_PACK_BLOCK + 64 * 256)

struct KernelUnpacker
{
	ZSTD_DCtx  *zstd;
	PackArena	arena;
	const uint8_t *next;		/* of the block, and what is left of it */
	size_t		left;
};

/* ---------- memory ---------- */

size_t
kernel_unpacker_size(void)
{
	return pack_align(sizeof(KernelUnpacker)) + pack_align(ZSTD_estimateDCtxSize()) +
		ARENA_SIZE;
}

KernelUnpacker *
kernel_unpacker_init(void *memory)
{
	KernelUnpacker *unpacker = memory;
	size_t		context = pack_align(ZSTD_estimateDCtxSize());
	uint8_t    *next = (uint8_t *) memory + pack_align(sizeof(KernelUnpacker));

	unpacker->zstd = ZSTD_initStaticDCtx(next, context);
	ZSTD_DCtx_setParameter(unpacker->zstd, ZSTD_d_format,
						   ZSTD_f_zstd1_magicless);
	unpacker->arena.start = next + context;
	unpacker->arena.size = ARENA_SIZE;
	unpacker->arena.used = 0;
	return unpacker;
}

/* The next bytes of the block, or NULL. */
static const uint8_t *
take(KernelUnpacker *unpacker, size_t n)
{
	const uint8_t *bytes = unpacker->next;

	if (n > unpacker->left)
		return NULL;
	unpacker->next += n;
	unpacker->left -= n;
	return bytes;
}

/* The next number, of one, three or four bytes. */
static bool
take_number(KernelUnpacker *unpacker, int bytes, uint32_t *number)
{
	const uint8_t *stored = take(unpacker, bytes);

	*number = 0;
	if (stored != NULL)
		memcpy(number, stored, bytes);
	return stored != NULL;
}

/* ---------- sections ---------- */

static const uint8_t *unpack_section(KernelUnpacker *unpacker, uint8_t *room,
									 size_t n, int depth);

/* A section into memory of the arena; NULL when something is wrong. */
static const uint8_t *
unpack_taken(KernelUnpacker *unpacker, size_t n, int depth)
{
	uint8_t    *room = pack_arena_take(&unpacker->arena, n);

	return room == NULL ? NULL : unpack_section(unpacker, room, n, depth);
}

/* A mask with so many bits. */
static const uint8_t *
unpack_mask(KernelUnpacker *unpacker, size_t n, uint32_t count, int depth)
{
	const uint8_t *mask = unpack_taken(unpacker, (n + 7) / 8, depth);

	return mask != NULL && kernel_popcount(mask, (n + 7) / 8) == count ?
		mask : NULL;
}

static bool
unpack_sparse(KernelUnpacker *unpacker, uint8_t *room, size_t n, int depth)
{
	uint32_t	mode;
	uint32_t	count;
	const uint8_t *mask;
	const uint8_t *values;

	if (depth >= PACK_MAX_DEPTH || !take_number(unpacker, 1, &mode) ||
		!take_number(unpacker, 3, &count) || count > n / 2)
		return false;
	mask = unpack_mask(unpacker, n, count, depth + 1);
	values = mask == NULL ? NULL : unpack_taken(unpacker, count, depth + 1);
	if (values == NULL ||
		kernel_sparse_unpack(room, n, 1, mask, values) != count)
		return false;
	if (mode != 0)
		for (size_t i = 0; i < n; i++)
			room[i] ^= (uint8_t) mode;
	return true;
}

static bool
unpack_zstd(KernelUnpacker *unpacker, uint8_t *room, size_t n)
{
	uint32_t	size;
	const uint8_t *data;

	if (!take_number(unpacker, 3, &size))
		return false;
	data = take(unpacker, size);
	return data != NULL &&
		ZSTD_decompressDCtx(unpacker->zstd, room, n, data, size) == n;
}

/* The next section, of n bytes, or NULL: fills room, or tells where those
 * bytes are in the block. */
static const uint8_t *
unpack_section(KernelUnpacker *unpacker, uint8_t *room, size_t n, int depth)
{
	uint32_t	method;
	uint32_t	byte;

	if (!take_number(unpacker, 1, &method))
		return NULL;
	switch (method)
	{
		case PACK_RAW:
			return take(unpacker, n);
		case PACK_CONSTANT:
			if (!take_number(unpacker, 1, &byte))
				return NULL;
			memset(room, (int) byte, n);
			return room;
		case PACK_ZSTD:
			return unpack_zstd(unpacker, room, n) ? room : NULL;
		case PACK_SPARSE:
			return unpack_sparse(unpacker, room, n, depth) ? room : NULL;
		default:
			return NULL;
	}
}

/* ---------- blocks ---------- */

/* n elements, which are in all of the planes. */
static bool
unpack_planes(KernelUnpacker *unpacker, uint8_t *dst, size_t n, int width,
			  KernelNumber number)
{
	const uint8_t *planes[8];

	if (width == 1)
	{
		planes[0] = unpack_section(unpacker, dst, n, 0);
		if (planes[0] != NULL && planes[0] != dst && n > 0)
			memcpy(dst, planes[0], n);
		return planes[0] != NULL;
	}
	for (int p = width; p-- > 0;)
	{
		planes[p] = unpack_taken(unpacker, n, 0);
		if (planes[p] == NULL)
			return false;
	}
	kernel_planes_merge(dst, planes, n, width, number);
	return true;
}

/* n elements of which some were left out so many times; the first time those
 * that are +0, then those that are -0. */
static bool
unpack_elements(KernelUnpacker *unpacker, uint8_t *dst, size_t n, int width,
				KernelNumber number, int masks, int done)
{
	uint32_t	count;
	const uint8_t *mask;
	uint8_t    *kept;

	if (done == masks)
		return unpack_planes(unpacker, dst, n, width, number);
	if (!take_number(unpacker, 4, &count) || count > n)
		return false;
	mask = unpack_mask(unpacker, n, count, 0);
	kept = pack_arena_take(&unpacker->arena, (size_t) count * width);
	if (mask == NULL || kept == NULL ||
		!unpack_elements(unpacker, kept, count, width, number, masks,
						 done + 1))
		return false;
	if (done == 1)
		pack_flip_signs(kept, count, width);
	if (kernel_sparse_unpack(dst, n, width, mask, kept) != count)
		return false;
	if (done == 1)
		pack_flip_signs(dst, n, width);
	return true;
}

bool
kernel_unpack(KernelUnpacker *unpacker, void *dst, size_t bytes,
			  const void *src, size_t size)
{
	uint32_t	version;
	uint32_t	form;
	uint32_t	stored;
	const uint8_t *tail;
	int			width;
	size_t		n;

	unpacker->next = src;
	unpacker->left = size;
	unpacker->arena.used = 0;
	if (!take_number(unpacker, 1, &version) || version != PACK_VERSION ||
		!take_number(unpacker, 1, &form) || PACK_FORM_MASKS(form) > PACK_MAX_MASKS ||
		PACK_FORM_NUMBER(form) > KERNEL_FLOAT ||
		!take_number(unpacker, 4, &stored) || stored != bytes ||
		bytes > KERNEL_PACK_BLOCK)
		return false;
	width = PACK_FORM_WIDTH(form);
	n = bytes / width;
	if (!unpack_elements(unpacker, dst, n, width, PACK_FORM_NUMBER(form),
						 PACK_FORM_MASKS(form), 0))
		return false;
	tail = take(unpacker, bytes % width);
	if (tail == NULL || unpacker->left != 0)
		return false;
	memcpy((uint8_t *) dst + n * width, tail, bytes % width);
	return true;
}
