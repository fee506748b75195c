/*
 * delta.c
 *		Elements as seen from those of a base: differences and masks.
 *
 * A difference of integers in the order of the numbers beats XOR, which turns
 * a step over a power of two into many bits: by 1 to 5 points of the packed
 * size in every dense update that was measured, and in none did it lose.  So
 * there is no XOR here.
 */
#include "kernel/kernel.h"

#include <string.h>

#define DEFINE_DELTA(bits) \
/* Integers in the order of floats: below zero, more bits are less. */ \
static inline __attribute__((always_inline)) uint##bits##_t \
to_order##bits(uint##bits##_t v, bool is_float) \
{ \
	const uint##bits##_t top = (uint##bits##_t) ((uint##bits##_t) 1 << (bits - 1)); \
	uint##bits##_t sign = (uint##bits##_t) (v >> (bits - 1)); \
\
	return is_float ? (uint##bits##_t) (v ^ ((uint##bits##_t) -sign | top)) : v; \
} \
\
static inline __attribute__((always_inline)) uint##bits##_t \
from_order##bits(uint##bits##_t v, bool is_float) \
{ \
	const uint##bits##_t top = (uint##bits##_t) ((uint##bits##_t) 1 << (bits - 1)); \
	uint##bits##_t sign = (uint##bits##_t) (v >> (bits - 1)); \
\
	return is_float ? (uint##bits##_t) (v ^ ((uint##bits##_t) (sign - 1) | top)) : v; \
} \
\
static inline __attribute__((always_inline)) void \
encode##bits(uint8_t *dst, const uint8_t *src, const uint8_t *base, size_t n, \
			 bool is_float) \
{ \
	for (size_t i = 0; i < n; i++) \
	{ \
		uint##bits##_t v; \
		uint##bits##_t from; \
\
		memcpy(&v, src + i * sizeof(v), sizeof(v)); \
		memcpy(&from, base + i * sizeof(v), sizeof(v)); \
		v = (uint##bits##_t) (to_order##bits(v, is_float) - \
							  to_order##bits(from, is_float)); \
		v = (uint##bits##_t) ((uint##bits##_t) (v << 1) ^ \
							  (uint##bits##_t) -(uint##bits##_t) (v >> (bits - 1))); \
		memcpy(dst + i * sizeof(v), &v, sizeof(v)); \
	} \
} \
\
static inline __attribute__((always_inline)) void \
decode##bits(uint8_t *dst, const uint8_t *delta, const uint8_t *base, \
			 size_t n, bool is_float) \
{ \
	for (size_t i = 0; i < n; i++) \
	{ \
		uint##bits##_t v; \
		uint##bits##_t from; \
\
		memcpy(&v, delta + i * sizeof(v), sizeof(v)); \
		memcpy(&from, base + i * sizeof(v), sizeof(v)); \
		v = (uint##bits##_t) ((v >> 1) ^ \
							  (uint##bits##_t) -(uint##bits##_t) (v & 1)); \
		v = (uint##bits##_t) (v + to_order##bits(from, is_float)); \
		v = from_order##bits(v, is_float); \
		memcpy(dst + i * sizeof(v), &v, sizeof(v)); \
	} \
} \
\
KERNEL_CLONES static void \
encode_numbers##bits(void *dst, const void *src, const void *base, size_t n, \
					 bool is_float) \
{ \
	if (is_float) \
		encode##bits(dst, src, base, n, true); \
	else \
		encode##bits(dst, src, base, n, false); \
} \
\
KERNEL_CLONES static void \
decode_numbers##bits(void *dst, const void *delta, const void *base, \
					 size_t n, bool is_float) \
{ \
	if (is_float) \
		decode##bits(dst, delta, base, n, true); \
	else \
		decode##bits(dst, delta, base, n, false); \
} \
\
/* Eight elements a byte of the mask, and never a branch between them. */ \
KERNEL_CLONES static bool \
mask_of##bits(uint8_t *mask, const uint8_t *child, const uint8_t *base, \
			  size_t n) \
{ \
	uint##bits##_t differences = 0; \
\
	for (size_t i = 0; i < n; i += 8) \
	{ \
		size_t		m = n - i < 8 ? n - i : 8; \
		unsigned	byte = 0; \
\
		for (size_t j = 0; j < m; j++) \
		{ \
			uint##bits##_t v; \
			uint##bits##_t from; \
\
			memcpy(&v, child + (i + j) * sizeof(v), sizeof(v)); \
			memcpy(&from, base + (i + j) * sizeof(v), sizeof(v)); \
			byte |= (unsigned) (v != 0) << j; \
			differences = (uint##bits##_t) \
				(differences | ((v ^ from) & \
								(uint##bits##_t) -(uint##bits##_t) (v != 0))); \
		} \
		mask[i / 8] = (uint8_t) byte; \
	} \
	return differences == 0; \
} \
\
KERNEL_CLONES static void \
mask_apply##bits(uint8_t *dst, const uint8_t *base, const uint8_t *mask, \
				 size_t n) \
{ \
	for (size_t i = 0; i < n; i += 8) \
	{ \
		size_t		m = n - i < 8 ? n - i : 8; \
		unsigned	byte = mask[i / 8]; \
\
		for (size_t j = 0; j < m; j++) \
		{ \
			uint##bits##_t v; \
\
			memcpy(&v, base + (i + j) * sizeof(v), sizeof(v)); \
			v = (uint##bits##_t) (v & (uint##bits##_t) \
								  -(uint##bits##_t) ((byte >> j) & 1)); \
			memcpy(dst + (i + j) * sizeof(v), &v, sizeof(v)); \
		} \
	} \
}

DEFINE_DELTA(8)
DEFINE_DELTA(16)
DEFINE_DELTA(32)
DEFINE_DELTA(64)

void
kernel_delta_encode(void *dst, const void *src, const void *base, size_t n,
					int width, KernelNumber number)
{
	bool		is_float = number == KERNEL_FLOAT;

	switch (width)
	{
		case 1:
			encode_numbers8(dst, src, base, n, is_float);
			break;
		case 2:
			encode_numbers16(dst, src, base, n, is_float);
			break;
		case 4:
			encode_numbers32(dst, src, base, n, is_float);
			break;
		default:
			encode_numbers64(dst, src, base, n, is_float);
			break;
	}
}

void
kernel_delta_decode(void *dst, const void *delta, const void *base, size_t n,
					int width, KernelNumber number)
{
	bool		is_float = number == KERNEL_FLOAT;

	switch (width)
	{
		case 1:
			decode_numbers8(dst, delta, base, n, is_float);
			break;
		case 2:
			decode_numbers16(dst, delta, base, n, is_float);
			break;
		case 4:
			decode_numbers32(dst, delta, base, n, is_float);
			break;
		default:
			decode_numbers64(dst, delta, base, n, is_float);
			break;
	}
}

bool
kernel_mask_of(uint8_t *mask, const void *child, const void *base, size_t n,
			   int width)
{
	switch (width)
	{
		case 1:
			return mask_of8(mask, child, base, n);
		case 2:
			return mask_of16(mask, child, base, n);
		case 4:
			return mask_of32(mask, child, base, n);
		default:
			return mask_of64(mask, child, base, n);
	}
}

void
kernel_mask_apply(void *dst, const void *base, const uint8_t *mask, size_t n,
				  int width)
{
	switch (width)
	{
		case 1:
			mask_apply8(dst, base, mask, n);
			break;
		case 2:
			mask_apply16(dst, base, mask, n);
			break;
		case 4:
			mask_apply32(dst, base, mask, n);
			break;
		default:
			mask_apply64(dst, base, mask, n);
			break;
	}
}
