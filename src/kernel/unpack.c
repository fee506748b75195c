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

static bool
unpack_sparse(KernelUnpacker *unpacker, uint8_t *room, size_t n, int depth)
{
	const uint8_t *header = take(unpacker, PACK_SPARSE_HEADER);
	const uint8_t *mask;
	const uint8_t *values;
	uint32_t	nvalues;

	if (header == NULL || depth >= PACK_MAX_DEPTH)
		return false;
	memcpy(&nvalues, header + 1, sizeof(nvalues));
	if (nvalues > n / 2)
		return false;
	mask = unpack_taken(unpacker, (n + 7) / 8, depth + 1);
	if (mask == NULL || kernel_popcount(mask, (n + 7) / 8) != nvalues)
		return false;
	values = unpack_taken(unpacker, nvalues, depth + 1);
	if (values == NULL ||
		kernel_sparse_unpack(room, n, 1, mask, values) != nvalues)
		return false;
	if (header[0] != 0)
		for (size_t i = 0; i < n; i++)
			room[i] ^= header[0];
	return true;
}

static bool
unpack_zstd(KernelUnpacker *unpacker, uint8_t *room, size_t n)
{
	const uint8_t *frame = unpacker->next;
	size_t		size = unpacker->left;

	/* One frame: the decoder would take several. */
	return ZSTD_findFrameCompressedSize(frame, size) == size &&
		ZSTD_decompressDCtx(unpacker->zstd, room, n, frame, size) == n &&
		take(unpacker, size) != NULL;
}

/* Fills room, or tells where those bytes are in the block. */
static const uint8_t *
unpack_data(KernelUnpacker *unpacker, PackMethod method, uint8_t *room,
			size_t n, int depth)
{
	const uint8_t *data;

	switch (method)
	{
		case PACK_RAW:
			return take(unpacker, n);
		case PACK_CONSTANT:
			data = take(unpacker, 1);
			if (data == NULL)
				return NULL;
			memset(room, data[0], n);
			return room;
		case PACK_ZSTD:
			return unpack_zstd(unpacker, room, n) ? room : NULL;
		case PACK_SPARSE:
			return unpack_sparse(unpacker, room, n, depth) ? room : NULL;
	}
	return NULL;
}

/* The next section, of n bytes, or NULL. */
static const uint8_t *
unpack_section(KernelUnpacker *unpacker, uint8_t *room, size_t n, int depth)
{
	const uint8_t *header = take(unpacker, PACK_SECTION_HEADER);
	const uint8_t *bytes;
	size_t		left;
	uint32_t	stored;

	if (header == NULL)
		return NULL;
	memcpy(&stored, header + 1, sizeof(stored));
	if (stored > unpacker->left)
		return NULL;

	/* Its data is all there is until it has been read. */
	left = unpacker->left - stored;
	unpacker->left = stored;
	bytes = unpack_data(unpacker, header[0], room, n, depth);
	if (unpacker->left != 0)
		return NULL;
	unpacker->left = left;
	return bytes;
}

/* ---------- blocks ---------- */

static bool
read_header(KernelUnpacker *unpacker, PackHeader *header, size_t bytes)
{
	const uint8_t *stored = take(unpacker, sizeof(*header));
	size_t		n;

	if (stored == NULL)
		return false;
	memcpy(header, stored, sizeof(*header));
	if (header->version != PACK_VERSION || header->bytes != bytes ||
		bytes > KERNEL_PACK_BLOCK || header->number > KERNEL_FLOAT ||
		header->masked > 1)
		return false;
	if (header->width != 1 && header->width != 2 && header->width != 4 &&
		header->width != 8)
		return false;
	n = bytes / header->width;
	return header->masked ? header->values <= n : header->values == n;
}

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

/* Values go where the mask has a bit. */
static bool
unpack_masked(KernelUnpacker *unpacker, uint8_t *dst, size_t n,
			  const PackHeader *header)
{
	size_t		nvalues = header->values;
	const uint8_t *mask = unpack_taken(unpacker, (n + 7) / 8, 0);
	uint8_t    *values = pack_arena_take(&unpacker->arena,
										 nvalues * header->width);

	return mask != NULL && values != NULL &&
		kernel_popcount(mask, (n + 7) / 8) == nvalues &&
		unpack_planes(unpacker, values, nvalues, header->width,
					  header->number) &&
		kernel_sparse_unpack(dst, n, header->width, mask, values) == nvalues;
}

bool
kernel_unpack(KernelUnpacker *unpacker, void *dst, size_t bytes,
			  const void *src, size_t size)
{
	PackHeader	header;
	const uint8_t *tail;
	size_t		n;

	unpacker->next = src;
	unpacker->left = size;
	unpacker->arena.used = 0;
	if (!read_header(unpacker, &header, bytes))
		return false;
	n = bytes / header.width;
	if (header.masked)
	{
		if (!unpack_masked(unpacker, dst, n, &header))
			return false;
	}
	else if (!unpack_planes(unpacker, dst, n, header.width, header.number))
		return false;
	tail = take(unpacker, bytes % header.width);
	if (tail == NULL || unpacker->left != 0)
		return false;
	memcpy((uint8_t *) dst + n * header.width, tail, bytes % header.width);
	return true;
}
