/*
 * planes.c
 *		Byte planes: the bytes of the same significance of many elements.
 *
 * Owns where the bits of an element go before they are split.  Does not know
 * what becomes of a plane.
 */
#include "kernel/kernel.h"

#include <string.h>

/* Bytes that are split at once, each plane in a pass of its own, so that all
 * passes but the first find them in the nearest cache. */
#define TILE_BYTES 4096

#define DEFINE_PLANES(bits) \
static inline __attribute__((always_inline)) uint##bits##_t \
turn##bits(uint##bits##_t v, KernelNumber number) \
{ \
	uint##bits##_t sign = (uint##bits##_t) (v >> (bits - 1)); \
	uint##bits##_t twice = (uint##bits##_t) (v << 1); \
\
	switch (number) \
	{ \
		case KERNEL_SIGNED: \
			return (uint##bits##_t) (twice ^ (uint##bits##_t) -sign); \
		case KERNEL_FLOAT: \
			return (uint##bits##_t) (twice | sign); \
		default: \
			return v; \
	} \
} \
\
static inline __attribute__((always_inline)) uint##bits##_t \
turn_back##bits(uint##bits##_t v, KernelNumber number) \
{ \
	uint##bits##_t sign = (uint##bits##_t) (v & 1); \
	uint##bits##_t half = (uint##bits##_t) (v >> 1); \
\
	switch (number) \
	{ \
		case KERNEL_SIGNED: \
			return (uint##bits##_t) (half ^ (uint##bits##_t) -sign); \
		case KERNEL_FLOAT: \
			return (uint##bits##_t) (half | (uint##bits##_t) (sign << (bits - 1))); \
		default: \
			return v; \
	} \
} \
\
static inline __attribute__((always_inline)) void \
split##bits(uint8_t *const *planes, const uint8_t *src, size_t n, \
			KernelNumber number) \
{ \
	const size_t width = bits / 8; \
	const size_t tile = TILE_BYTES / width; \
\
	for (size_t start = 0; start < n; start += tile) \
	{ \
		size_t		m = n - start < tile ? n - start : tile; \
		const uint8_t *from = src + start * width; \
\
		for (size_t p = 0; p < width; p++) \
		{ \
			uint8_t    *restrict plane = planes[p] + start; \
\
			for (size_t i = 0; i < m; i++) \
			{ \
				uint##bits##_t v; \
\
				memcpy(&v, from + i * width, width); \
				plane[i] = (uint8_t) (turn##bits(v, number) >> (8 * p)); \
			} \
		} \
	} \
} \
\
static inline __attribute__((always_inline)) void \
merge##bits(uint8_t *restrict dst, const uint8_t *const *planes, size_t n, \
			KernelNumber number) \
{ \
	const uint8_t *plane[bits / 8]; \
\
	memcpy(plane, planes, sizeof(plane)); \
	for (size_t i = 0; i < n; i++) \
	{ \
		uint##bits##_t v = 0; \
\
		for (int p = 0; p < bits / 8; p++) \
			v = (uint##bits##_t) (v | (uint##bits##_t) plane[p][i] << (8 * p)); \
		v = turn_back##bits(v, number); \
		memcpy(dst + i * sizeof(v), &v, sizeof(v)); \
	} \
} \
\
/* The number is a constant in each call, so that each loop has its own. */ \
KERNEL_CLONES static void \
split_numbers##bits(uint8_t *const *planes, const uint8_t *src, size_t n, \
					KernelNumber number) \
{ \
	if (number == KERNEL_FLOAT) \
		split##bits(planes, src, n, KERNEL_FLOAT); \
	else if (number == KERNEL_SIGNED) \
		split##bits(planes, src, n, KERNEL_SIGNED); \
	else \
		split##bits(planes, src, n, KERNEL_UNSIGNED); \
} \
\
KERNEL_CLONES static void \
merge_numbers##bits(uint8_t *dst, const uint8_t *const *planes, size_t n, \
					KernelNumber number) \
{ \
	if (number == KERNEL_FLOAT) \
		merge##bits(dst, planes, n, KERNEL_FLOAT); \
	else if (number == KERNEL_SIGNED) \
		merge##bits(dst, planes, n, KERNEL_SIGNED); \
	else \
		merge##bits(dst, planes, n, KERNEL_UNSIGNED); \
}

DEFINE_PLANES(16)
DEFINE_PLANES(32)
DEFINE_PLANES(64)

void
kernel_planes_split(uint8_t *const *planes, const void *src, size_t n,
					int width, KernelNumber number)
{
	switch (width)
	{
		case 1:
			memcpy(planes[0], src, n);
			break;
		case 2:
			split_numbers16(planes, src, n, number);
			break;
		case 4:
			split_numbers32(planes, src, n, number);
			break;
		default:
			split_numbers64(planes, src, n, number);
			break;
	}
}

void
kernel_planes_merge(void *dst, const uint8_t *const *planes, size_t n,
					int width, KernelNumber number)
{
	switch (width)
	{
		case 1:
			memcpy(dst, planes[0], n);
			break;
		case 2:
			merge_numbers16(dst, planes, n, number);
			break;
		case 4:
			merge_numbers32(dst, planes, n, number);
			break;
		default:
			merge_numbers64(dst, planes, n, number);
			break;
	}
}
