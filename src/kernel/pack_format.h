/*
 * pack_format.h
 *		What a packed block looks like, and what packing and unpacking share.
 *
 * Private to pack*.c and unpack.c.  All numbers are little endian.
 *
 *		PACK_VERSION, a byte
 *		PackForm, a byte
 *		the size of what was packed, four bytes
 *		when elements of zero bits are left out: the number of others, four
 *			bytes, and a section with the mask that tells them (as in sparse.c)
 *		when the -0 among those are left out too: the same once more
 *		the planes of the elements, a section each, the most significant first
 *		bytes after the last whole element, as they were
 *
 * How many bytes a section stands for is known from before.  It is a byte that
 * says how, and then
 *
 *		PACK_RAW		those bytes
 *		PACK_CONSTANT	the byte that all are
 *		PACK_ZSTD		a size, three bytes, and so much of zstd, without magic
 *						number
 *		PACK_SPARSE		the byte that most of them are, the number of others,
 *						three bytes, a section with the mask of the others, and
 *						a section with the others
 */
#ifndef MODELOPT_PACK_FORMAT_H
#define MODELOPT_PACK_FORMAT_H

#include "kernel/kernel.h"

/* What makes a context in the caller's memory is declared under this. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "packed blocks are written in the byte order of the machine, which must be little endian"
#endif

#define PACK_VERSION 1

/* The logarithm of the width in two bits, KernelNumber in two, and how many
 * times elements are left out. */
#define PACK_FORM(log_width, number, masks) \
	((log_width) | (number) << 2 | (masks) << 4)
#define PACK_FORM_WIDTH(form) (1 << ((form) & 3))
#define PACK_FORM_NUMBER(form) ((form) >> 2 & 3)
#define PACK_FORM_MASKS(form) ((form) >> 4)
#define PACK_MAX_MASKS 2

#define PACK_HEADER 6			/* bytes */

typedef enum PackMethod
{
	PACK_RAW = 0,
	PACK_CONSTANT = 1,
	PACK_ZSTD = 2,
	PACK_SPARSE = 3,
} PackMethod;

#define PACK_ZSTD_HEADER 4		/* bytes, with that of the method */
#define PACK_SPARSE_HEADER 5

/* Sparse sections in sparse sections; each is at most half as long. */
#define PACK_MAX_DEPTH 8

/* ---------- memory for as long as a block takes ---------- */

static inline size_t
pack_align(size_t size)
{
	return (size + 63) / 64 * 64;
}

/* Makes -0 an element of zero bits, and back. */
static inline void
pack_flip_signs(uint8_t *floats, size_t n, int width)
{
	for (size_t i = 1; i <= n; i++)
		floats[i * width - 1] ^= 0x80;
}

/* Taken from the start on, and given back by setting "used" back. */
typedef struct PackArena
{
	uint8_t    *start;
	size_t		size;
	size_t		used;
} PackArena;

/* NULL when there is not so much left.  Vectors may be stored up to 64 bytes
 * beyond the end. */
static inline uint8_t *
pack_arena_take(PackArena *arena, size_t bytes)
{
	size_t		taken = pack_align(bytes + 64);
	uint8_t    *memory = arena->start + arena->used;

	if (taken > arena->size - arena->used)
		return NULL;
	arena->used += taken;
	return memory;
}

/* ---------- pack_probe.c: what a plane is like ---------- */

typedef struct PackProbe
{
	double		bits;			/* a byte, by the entropy of order 0 */
	double		mode_share;		/* of the byte that comes most often */
	uint8_t		mode;
} PackProbe;

/* From a sample; n > 0. */
extern void pack_probe(PackProbe *probe, const uint8_t *plane, size_t n);

/* Whether a good part seems to have been there before, longer than chance
 * would have it. */
extern bool pack_probe_repeats(const uint8_t *plane, size_t n);

#endif							/* MODELOPT_PACK_FORMAT_H */
