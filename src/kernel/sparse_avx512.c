/*
 * sparse_avx512.c
 *		Packing and unpacking with AVX-512's compress and expand.
 *
 * Needs no more than AVX512F: elements of one and two bytes are widened to
 * four on the way, which is as fast as memory.
 */
#include "kernel/sparse_variants.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,popcnt")))
#define TARGET_INLINE \
	static inline __attribute__((always_inline, target("avx512f,popcnt")))

static bool
avx512_supported(void)
{
	return __builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("popcnt");
}

/* ---------- sixteen elements of one, two or four bytes ---------- */

TARGET_INLINE __m512i
load_lanes(const uint8_t *src, int width)
{
	if (width == 4)
		return _mm512_loadu_si512(src);
	if (width == 2)
		return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) src));
	return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) src));
}

TARGET_INLINE void
store_lanes(uint8_t *dst, int width, __m512i lanes)
{
	if (width == 4)
		_mm512_storeu_si512(dst, lanes);
	else if (width == 2)
		_mm256_storeu_si256((__m256i *) dst, _mm512_cvtepi32_epi16(lanes));
	else
		_mm_storeu_si128((__m128i *) dst, _mm512_cvtepi32_epi8(lanes));
}

TARGET_INLINE size_t
pack_lanes(const uint8_t *src, size_t n, int width, uint8_t *mask,
		   uint8_t *values)
{
	size_t		count = 0;
	size_t		i;

	for (i = 0; i + 16 <= n; i += 16)
	{
		__m512i		v = load_lanes(src + i * width, width);
		uint16_t	bits = (uint16_t) _mm512_test_epi32_mask(v, v);

		/* Into a register first: compressing into memory is slow on AMD. */
		store_lanes(values + count * width, width,
					_mm512_maskz_compress_epi32(bits, v));
		memcpy(mask + i / 8, &bits, 2);
		count += (size_t) __builtin_popcount(bits);
	}
	return count + kernel_sparse_generic.pack(src + i * width, n - i, width,
											  mask + i / 8,
											  values + count * width);
}

TARGET_INLINE void
unpack_lanes(uint8_t *dst, size_t n, int width, const uint8_t *mask,
			 ValueCursor *cursor)
{
	size_t		i;

	for (i = 0; i + 16 <= n; i += 16)
	{
		uint16_t	bits;

		if (cursor->next > cursor->safe)
			sparse_cursor_move(cursor);
		memcpy(&bits, mask + i / 8, 2);
		store_lanes(dst + i * width, width,
					_mm512_maskz_expand_epi32(bits,
											  load_lanes(cursor->next, width)));
		cursor->next += (size_t) __builtin_popcount(bits) * width;
	}
	kernel_sparse_generic.unpack(dst + i * width, n - i, width, mask + i / 8,
								 cursor->next);
}

/* ---------- eight elements of eight bytes ---------- */

TARGET static size_t
pack_wide_lanes(const uint8_t *src, size_t n, uint8_t *mask, uint8_t *values)
{
	size_t		count = 0;
	size_t		i;

	for (i = 0; i + 8 <= n; i += 8)
	{
		__m512i		v = _mm512_loadu_si512(src + i * 8);
		__mmask8	bits = _mm512_test_epi64_mask(v, v);

		_mm512_storeu_si512(values + count * 8,
							_mm512_maskz_compress_epi64(bits, v));
		mask[i / 8] = (uint8_t) bits;
		count += (size_t) __builtin_popcount(bits);
	}
	return count + kernel_sparse_generic.pack(src + i * 8, n - i, 8,
											  mask + i / 8, values + count * 8);
}

TARGET static void
unpack_wide_lanes(uint8_t *dst, size_t n, const uint8_t *mask,
				  ValueCursor *cursor)
{
	size_t		i;

	for (i = 0; i + 8 <= n; i += 8)
	{
		uint8_t		bits = mask[i / 8];

		if (cursor->next > cursor->safe)
			sparse_cursor_move(cursor);
		_mm512_storeu_si512(dst + i * 8,
							_mm512_maskz_expand_epi64(bits,
													  _mm512_loadu_si512(cursor->next)));
		cursor->next += (size_t) __builtin_popcount(bits) * 8;
	}
	kernel_sparse_generic.unpack(dst + i * 8, n - i, 8, mask + i / 8,
								 cursor->next);
}

/* ---------- by width, so that each loop is compiled for its own ---------- */

TARGET static size_t
avx512_pack(const void *src, size_t n, int width, uint8_t *mask, void *values)
{
	switch (width)
	{
		case 1:
			return pack_lanes(src, n, 1, mask, values);
		case 2:
			return pack_lanes(src, n, 2, mask, values);
		case 4:
			return pack_lanes(src, n, 4, mask, values);
		default:
			return pack_wide_lanes(src, n, mask, values);
	}
}

TARGET static size_t
avx512_unpack(void *dst, size_t n, int width, const uint8_t *mask,
			  const void *values)
{
	size_t		count = sparse_announced(mask, n);
	ValueCursor cursor;

	sparse_cursor_init(&cursor, values, count * width,
					   width == 8 ? 64 : 16 * width);
	switch (width)
	{
		case 1:
			unpack_lanes(dst, n, 1, mask, &cursor);
			break;
		case 2:
			unpack_lanes(dst, n, 2, mask, &cursor);
			break;
		case 4:
			unpack_lanes(dst, n, 4, mask, &cursor);
			break;
		default:
			unpack_wide_lanes(dst, n, mask, &cursor);
			break;
	}
	return count;
}

const SparseVariant kernel_sparse_avx512 = {
	"avx512", avx512_supported, avx512_pack, avx512_unpack
};

#endif							/* __x86_64__ */
