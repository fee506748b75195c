/*
 * pack.c
 *		Packing a block of elements without loss.
 *
 * Weights do not repeat, but their exponents are few: nearly all that can be
 * saved is in how often bytes come in the plane of the exponents.  So planes
 * are coded by order 0, and the coder is zstd's own Huffman coder, reached by
 * asking for no matches (the strongest acceleration there is) and for
 * literals to be compressed all the same.  On planes of the exponents of
 * bfloat16 weights that gives 66.2 % of the weights at 1.0 GB/s of plane in
 * and 2.4 out, where the bound is 65.9; zstd's level -100 gives 66.9 at 0.7
 * and 1.9, level 3 gives 70.0 at 0.2 and 0.9, because it takes chance for
 * repetition.
 *
 * Two things a Huffman code cannot do are done around it.  A byte that makes
 * up most of a plane still costs a bit each time; it is left out and told by a
 * mask, which is a plane of bytes again and codes eight places at once.
 * And what does repeat (rows of an embedding, counters) is looked for in a
 * sample, and given to zstd's matcher.
 */
#include "kernel/pack_format.h"

#include <string.h>

/* Section data that saves less than 3 % is not worth its decoding. */
#define WORTH(size, n) ((size) + (n) / 32 < (n))

/* From this share on a byte is told by a mask: where a Huffman code would
 * give it one bit, and its information is well below that. */
#define MASK_SHARE 0.6

/* Bytes that are never worth it. */
#define SMALL 32

/* Elements of zero bits are left out from this share on, which pays for the
 * mask even where nothing else is saved. */
#define ZEROS_PART 16

#define MATCHES 1				/* the level of zstd */
#define NO_MATCHES ZSTD_minCLevel()

/* Renamed, with the value that it had. */
#if ZSTD_VERSION_NUMBER < 10500
#define ZSTD_ps_enable ZSTD_lcm_huffman
#endif

/* Planes of a block, its values and mask, and what sections need: a copy, a
 * mask and values, each level half as long as the one before. */
#define ARENA_SIZE (5 * KERNEL_PACK_BLOCK + 64 * 256)

#define SAMPLE_PIECES 4
#define SAMPLE_PIECE (16 * 1024)
#define SAMPLE (SAMPLE_PIECES * SAMPLE_PIECE)

struct KernelPacker
{
	ZSTD_CCtx  *zstd;
	bool		repeats;		/* in the elements that are packed now */
	uint8_t    *sample;			/* for an estimate, and what it packs to */
	uint8_t    *packed;
	PackArena	arena;
};

/* ---------- memory ---------- */

static size_t
context_size(void)
{
	return pack_align(ZSTD_estimateCCtxSize(MATCHES));
}

size_t
kernel_pack_bound(size_t bytes)
{
	/* zstd is faster with room for more than comes. */
	return bytes + bytes / 128 + 1024;
}

size_t
kernel_packer_size(void)
{
	return pack_align(sizeof(KernelPacker)) + context_size() + SAMPLE +
		pack_align(kernel_pack_bound(SAMPLE)) + ARENA_SIZE;
}

KernelPacker *
kernel_packer_init(void *memory)
{
	KernelPacker *packer = memory;
	uint8_t    *next = (uint8_t *) memory + pack_align(sizeof(KernelPacker));

	packer->zstd = ZSTD_initStaticCCtx(next, context_size());
	packer->sample = next + context_size();
	packer->packed = packer->sample + SAMPLE;
	packer->arena.start = packer->packed + pack_align(kernel_pack_bound(SAMPLE));
	packer->arena.size = ARENA_SIZE;
	packer->arena.used = 0;
	return packer;
}

/* ---------- sections ---------- */

/* Each of these writes a section and returns its size. */

static size_t
pack_raw(uint8_t *dst, const uint8_t *plane, size_t n)
{
	dst[0] = PACK_RAW;
	if (n > 0)
		memcpy(dst + 1, plane, n);
	return 1 + n;
}

static size_t
pack_constant(uint8_t *dst, uint8_t byte)
{
	dst[0] = PACK_CONSTANT;
	dst[1] = byte;
	return 2;
}

/* 0 when it does not fit. */
static size_t
pack_zstd(KernelPacker *packer, uint8_t *dst, size_t room,
		  const uint8_t *plane, size_t n, int level)
{
	ZSTD_CCtx  *zstd = packer->zstd;
	uint32_t	stored;
	size_t		size;

	ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_literalCompressionMode,
						   ZSTD_ps_enable);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_format, ZSTD_f_zstd1_magicless);
	size = ZSTD_compress2(zstd, dst + PACK_ZSTD_HEADER,
						  room - PACK_ZSTD_HEADER, plane, n);
	if (ZSTD_isError(size))
		return 0;
	dst[0] = PACK_ZSTD;
	stored = (uint32_t) size;
	memcpy(dst + 1, &stored, 3);
	return PACK_ZSTD_HEADER + size;
}

static size_t pack_section(KernelPacker *packer, uint8_t *dst, size_t room,
						   const uint8_t *plane, size_t n, int depth);

/* A copy that has 0 where the plane has the byte. */
static const uint8_t *
make_zero(PackArena *arena, const uint8_t *plane, size_t n, uint8_t byte)
{
	uint8_t    *copy;

	if (byte == 0)
		return plane;
	copy = pack_arena_take(arena, n);
	if (copy != NULL)
		for (size_t i = 0; i < n; i++)
			copy[i] = plane[i] ^ byte;
	return copy;
}

/* The others keep their differences from the mode, which sorts them as well
 * as they were.  0 when there are too many of them. */
static size_t
pack_sparse(KernelPacker *packer, uint8_t *dst, size_t room,
			const uint8_t *plane, size_t n, uint8_t mode, int depth)
{
	PackArena  *arena = &packer->arena;
	const uint8_t *zeroed = make_zero(arena, plane, n, mode);
	uint8_t    *mask = pack_arena_take(arena, (n + 7) / 8);
	uint8_t    *values = pack_arena_take(arena, n);
	size_t		size = PACK_SPARSE_HEADER;
	uint32_t	nvalues;

	if (zeroed == NULL || mask == NULL || values == NULL)
		return 0;
	nvalues = (uint32_t) kernel_sparse_pack(zeroed, n, 1, mask, values);
	if (nvalues > n / 2)
		return 0;
	dst[0] = PACK_SPARSE;
	dst[1] = mode;
	memcpy(dst + 2, &nvalues, 3);
	size += pack_section(packer, dst + size, room - size, mask, (n + 7) / 8,
						 depth + 1);
	size += pack_section(packer, dst + size, room - size, values, nvalues,
						 depth + 1);
	return size;
}

/* 0 when nothing seems to be saved. */
static size_t
pack_smaller(KernelPacker *packer, uint8_t *dst, size_t room,
			 const uint8_t *plane, size_t n, int depth)
{
	PackProbe	probe;
	size_t		size = 0;

	pack_probe(&probe, plane, n);
	if (probe.mode_share >= MASK_SHARE && depth < PACK_MAX_DEPTH)
		size = pack_sparse(packer, dst, room, plane, n, probe.mode, depth);
	if (size > 0)
		return size;
	if (packer->repeats)
		size = pack_zstd(packer, dst, room, plane, n, MATCHES);
	if (size > 0 && size < probe.bits * n / 8)
		return size;
	if (!WORTH(probe.bits * n / 8, n))
		return 0;
	return pack_zstd(packer, dst, room, plane, n, NO_MATCHES);
}

static size_t
pack_section(KernelPacker *packer, uint8_t *dst, size_t room,
			 const uint8_t *plane, size_t n, int depth)
{
	size_t		used = packer->arena.used;
	size_t		size;

	if (n < SMALL)
		return pack_raw(dst, plane, n);
	if (memcmp(plane, plane + 1, n - 1) == 0)
		return pack_constant(dst, plane[0]);
	size = pack_smaller(packer, dst, room, plane, n, depth);
	packer->arena.used = used;
	return size > 0 && WORTH(size, n) ? size : pack_raw(dst, plane, n);
}

/* ---------- blocks ---------- */

/* The planes of n elements, the most significant first. */
static size_t
pack_planes(KernelPacker *packer, uint8_t *dst, size_t room, const void *src,
			size_t n, int width, KernelNumber number)
{
	uint8_t    *planes[8];
	size_t		size = 0;

	if (width == 1)
	{
		packer->repeats = pack_probe_repeats(src, n);
		return pack_section(packer, dst, room, src, n, 0);
	}
	for (int p = 0; p < width; p++)
		planes[p] = pack_arena_take(&packer->arena, n);
	kernel_planes_split(planes, src, n, width, number);
	/* Elements repeat where the bytes do that differ most. */
	packer->repeats = pack_probe_repeats(planes[0], n);
	for (int p = width; p-- > 0;)
		size += pack_section(packer, dst + size, room - size, planes[p], n, 0);
	return size;
}

/* What is packed, and where to. */
typedef struct Packing
{
	uint8_t    *dst;
	size_t		room;
	size_t		size;			/* so far */
	const void *elements;
	size_t		n;
	int			width;
	KernelNumber number;
} Packing;

/* Goes on with the elements that have bits, of which there are so many, after
 * the mask that tells them. */
static uint8_t *
leave_out(KernelPacker *packer, Packing *packing, size_t count)
{
	size_t		mask_bytes = (packing->n + 7) / 8;
	uint8_t    *mask = pack_arena_take(&packer->arena, mask_bytes);
	uint8_t    *kept = pack_arena_take(&packer->arena,
									   packing->n * packing->width);
	uint32_t	stored = (uint32_t) count;

	kernel_sparse_pack(packing->elements, packing->n, packing->width, mask,
					   kept);
	memcpy(packing->dst + packing->size, &stored, sizeof(stored));
	packing->size += sizeof(stored);
	packer->repeats = false;
	packing->size += pack_section(packer, packing->dst + packing->size,
								  packing->room - packing->size, mask,
								  mask_bytes, 0);
	packing->elements = kept;
	packing->n = count;
	return kept;
}

/* Leaves zeros out where that pays: those of zero bits, and then, since weights
 * that were multiplied by a mask have zeros of both signs, the -0 among the
 * others.  Returns how many times. */
static int
leave_zeros_out(KernelPacker *packer, Packing *packing)
{
	int			width = packing->width;
	size_t		n = packing->n;
	size_t		count = kernel_count_nonzero(packing->elements, n, width);
	uint8_t    *kept;
	size_t		zeros;

	if (width == 1 || n - count <= n / ZEROS_PART)
		return 0;
	kept = leave_out(packer, packing, count);
	if (packing->number != KERNEL_FLOAT)
		return 1;
	zeros = kernel_count_zero_floats(kept, count, width);
	if (zeros <= count / ZEROS_PART)
		return 1;
	pack_flip_signs(kept, count, width);
	kept = leave_out(packer, packing, count - zeros);
	pack_flip_signs(kept, count - zeros, width);
	return 2;
}

size_t
kernel_pack(KernelPacker *packer, void *dst, const void *src, size_t bytes,
			int width, KernelNumber number)
{
	Packing		packing = {
		dst, kernel_pack_bound(bytes), PACK_HEADER, src, bytes / width, width,
		number
	};
	uint32_t	stored = (uint32_t) bytes;
	size_t		tail = bytes % width;
	int			masks;

	packer->arena.used = 0;
	masks = leave_zeros_out(packer, &packing);
	packing.dst[0] = PACK_VERSION;
	packing.dst[1] = (uint8_t) PACK_FORM(__builtin_ctz(width), number, masks);
	memcpy(packing.dst + 2, &stored, sizeof(stored));
	packing.size += pack_planes(packer, packing.dst + packing.size,
								packing.room - packing.size, packing.elements,
								packing.n, width, number);
	if (tail > 0)
		memcpy(packing.dst + packing.size,
			   (const uint8_t *) src + bytes - tail, tail);
	return packing.size + tail;
}

size_t
kernel_pack_estimate(KernelPacker *packer, const void *src, size_t bytes,
					 int width, KernelNumber number)
{
	const uint8_t *piece = src;
	size_t		step;
	size_t		packed;

	if (bytes <= SAMPLE)
		return kernel_pack(packer, packer->packed, src, bytes, width, number);
	step = (bytes - SAMPLE_PIECE) / (SAMPLE_PIECES - 1) / width * width;
	for (int i = 0; i < SAMPLE_PIECES; i++, piece += step)
		memcpy(packer->sample + i * SAMPLE_PIECE, piece, SAMPLE_PIECE);
	packed = kernel_pack(packer, packer->packed, packer->sample, SAMPLE,
						 width, number);
	return (size_t) ((double) bytes / SAMPLE * packed);
}
