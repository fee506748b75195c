/*
 * bits.c
 *		Codes of 1 to 8 bits, one after another, and what they stand for.
 *
 * Code i has the bits from i * bits on, counted from the lowest bit of the first
 * byte.  Eight codes are as many bytes as a code has bits.
 */
#include "kernel/kernel.h"

#include <string.h>

/* The word that eight codes are in. */
static inline uint64_t
load_word(const uint8_t *src, size_t bytes)
{
	uint64_t	word = 0;

	for (size_t i = 0; i < bytes; i++)
		word |= (uint64_t) src[i] << (8 * i);
	return word;
}

static inline __attribute__((always_inline)) void
unpack(uint8_t *dst, const uint8_t *src, size_t n, int bits)
{
	uint8_t		mask = (uint8_t) ((1 << bits) - 1);
	size_t		i;

	for (i = 0; i + 8 <= n; i += 8, src += bits)
	{
		uint64_t	word = load_word(src, (size_t) bits);

		for (int j = 0; j < 8; j++)
			dst[i + j] = (uint8_t) (word >> (j * bits)) & mask;
	}
	if (i < n)
	{
		uint64_t	word = load_word(src, ((n - i) * bits + 7) / 8);

		for (int j = 0; i + j < n; j++)
			dst[i + j] = (uint8_t) (word >> (j * bits)) & mask;
	}
}

/* A loop for each number of bits, in which it is a constant. */
KERNEL_CLONES
void
kernel_unpack_bits(uint8_t *dst, const void *src, size_t n, int bits)
{
	switch (bits)
	{
		case 1:
			unpack(dst, src, n, 1);
			break;
		case 2:
			unpack(dst, src, n, 2);
			break;
		case 3:
			unpack(dst, src, n, 3);
			break;
		case 4:
			unpack(dst, src, n, 4);
			break;
		case 5:
			unpack(dst, src, n, 5);
			break;
		case 6:
			unpack(dst, src, n, 6);
			break;
		case 7:
			unpack(dst, src, n, 7);
			break;
		default:
			memcpy(dst, src, n);
			break;
	}
}

void
kernel_pack_bits(void *dst, const uint8_t *codes, size_t n, int bits)
{
	uint8_t    *out = dst;

	for (size_t i = 0; i < n; i += 8)
	{
		size_t		m = n - i < 8 ? n - i : 8;
		size_t		bytes = (m * bits + 7) / 8;
		uint64_t	word = 0;

		for (size_t j = 0; j < m; j++)
			word |= (uint64_t) codes[i + j] << (j * bits);
		for (size_t j = 0; j < bytes; j++)
			out[j] = (uint8_t) (word >> (8 * j));
		out += bytes;
	}
}

#define DEFINE_LOOKUP(bits) \
KERNEL_CLONES \
static void \
lookup##bits(uint##bits##_t *restrict dst, const uint8_t *restrict codes, \
			 size_t n, const uint##bits##_t *restrict values) \
{ \
	for (size_t i = 0; i < n; i++) \
		dst[i] = values[codes[i]]; \
}

DEFINE_LOOKUP(8)
DEFINE_LOOKUP(16)
DEFINE_LOOKUP(32)
DEFINE_LOOKUP(64)

void
kernel_lookup(void *dst, const uint8_t *codes, size_t n, const void *values,
			  int width)
{
	switch (width)
	{
		case 1:
			lookup8(dst, codes, n, values);
			break;
		case 2:
			lookup16(dst, codes, n, values);
			break;
		case 4:
			lookup32(dst, codes, n, values);
			break;
		default:
			lookup64(dst, codes, n, values);
			break;
	}
}
