/*
 * sparse_avx2.c
 *		Packing and unpacking with AVX2, eight elements at a time (four of
 *		eight bytes), which a table of permutations brings into place.
 */
#include "kernel/sparse_variants.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,popcnt")))
#define TARGET_INLINE \
	static inline __attribute__((always_inline, target("avx2,popcnt")))

static bool
avx2_supported(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

/* ---------- tables ---------- */

/*
 * An entry has eight numbers of a byte.  To pack by the mask m: the places of
 * the bits that are set, in order.  To unpack: for each bit how many are set
 * before it, and 0xff if it is not set itself.
 */
#define BIT(m, i)		(((m) >> (i)) & 1)
#define RANK(m, i)		(RANK_OF((m) & ((1 << (i)) - 1)))
#define RANK_OF(b)		(BIT(b, 0) + BIT(b, 1) + BIT(b, 2) + BIT(b, 3) + \
						 BIT(b, 4) + BIT(b, 5) + BIT(b, 6))

#define PACK_BIT(m, i)	(BIT(m, i) ? (uint64_t) (i) << (8 * RANK(m, i)) : 0)
#define PACK_ENTRY(m)	(PACK_BIT(m, 0) | PACK_BIT(m, 1) | PACK_BIT(m, 2) | \
						 PACK_BIT(m, 3) | PACK_BIT(m, 4) | PACK_BIT(m, 5) | \
						 PACK_BIT(m, 6) | PACK_BIT(m, 7))

#define UNPACK_BIT(m, i) \
	((uint64_t) (BIT(m, i) ? RANK(m, i) : 0xff) << (8 * (i)))
#define UNPACK_ENTRY(m)	(UNPACK_BIT(m, 0) | UNPACK_BIT(m, 1) | \
						 UNPACK_BIT(m, 2) | UNPACK_BIT(m, 3) | \
						 UNPACK_BIT(m, 4) | UNPACK_BIT(m, 5) | \
						 UNPACK_BIT(m, 6) | UNPACK_BIT(m, 7))

#define ENTRIES4(e, m)	e(m), e((m) + 1), e((m) + 2), e((m) + 3)
#define ENTRIES16(e, m) ENTRIES4(e, m), ENTRIES4(e, (m) + 4), \
						ENTRIES4(e, (m) + 8), ENTRIES4(e, (m) + 12)
#define ENTRIES64(e, m) ENTRIES16(e, m), ENTRIES16(e, (m) + 16), \
						ENTRIES16(e, (m) + 32), ENTRIES16(e, (m) + 48)
#define ENTRIES256(e)	ENTRIES64(e, 0), ENTRIES64(e, 64), \
						ENTRIES64(e, 128), ENTRIES64(e, 192)

static const uint64_t pack_table[256] = {ENTRIES256(PACK_ENTRY)};
static const uint64_t unpack_table[256] = {ENTRIES256(UNPACK_ENTRY)};

/* ---------- permutations ---------- */

/*
 * Brings elements to the places that an entry numbers, and leaves zero where
 * it says 0xff.  Shuffles of bytes do the latter by themselves, of an index
 * whose top bit is set; those of words need it done.
 */
TARGET_INLINE __m128i
permute_bytes(__m128i v, uint64_t entry)
{
	return _mm_shuffle_epi8(v, _mm_cvtsi64_si128((long long) entry));
}

TARGET_INLINE __m128i
permute_halves(__m128i v, uint64_t entry)
{
	__m128i		low,
				high;

	low = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_cvtsi64_si128((long long) entry)),
						 1);
	high = _mm_slli_epi16(_mm_or_si128(low, _mm_set1_epi16(1)), 8);
	low = _mm_and_si128(low, _mm_set1_epi16(0xff));
	return _mm_shuffle_epi8(v, _mm_or_si128(low, high));
}

TARGET_INLINE __m256i
permute_words(__m256i v, __m256i index)
{
	return _mm256_andnot_si256(_mm256_srai_epi32(index, 31),
							   _mm256_permutevar8x32_epi32(v, index));
}

TARGET_INLINE __m256i
word_index(uint64_t entry)
{
	return _mm256_cvtepi8_epi32(_mm_cvtsi64_si128((long long) entry));
}

/* Pairs of words, of an entry for four elements. */
TARGET_INLINE __m256i
pair_index(uint64_t entry)
{
	__m256i		low,
				high;

	low = _mm256_slli_epi64(_mm256_cvtepi8_epi64(_mm_cvtsi64_si128((long long) entry)),
							1);
	high = _mm256_slli_epi64(_mm256_or_si256(low, _mm256_set1_epi64x(1)), 32);
	low = _mm256_and_si256(low, _mm256_set1_epi64x(0xffffffff));
	return _mm256_or_si256(low, high);
}

/* ---------- groups of elements ---------- */

#define GROUP(width) ((width) == 8 ? 4 : 8)

/* Which of a group's elements have a value. */
TARGET_INLINE unsigned
group_mask(const uint8_t *src, int width)
{
	const __m128i *half = (const __m128i *) src;
	const __m256i *whole = (const __m256i *) src;
	__m256i		zero = _mm256_setzero_si256();
	unsigned	zeros;

	if (width == 1)
		zeros = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadl_epi64(half),
												 _mm_setzero_si128()));
	else if (width == 2)
		zeros = _mm_movemask_epi8(_mm_packs_epi16(_mm_cmpeq_epi16(_mm_loadu_si128(half),
																  _mm_setzero_si128()),
												  _mm_setzero_si128()));
	else if (width == 4)
		zeros = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_loadu_si256(whole),
																		  zero)));
	else
		zeros = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_loadu_si256(whole),
																		  zero)));
	return ~zeros & ((1u << GROUP(width)) - 1);
}

TARGET_INLINE void
permute_group(uint8_t *dst, const uint8_t *src, int width, uint64_t entry)
{
	if (width == 1)
		_mm_storel_epi64((__m128i *) dst,
						 permute_bytes(_mm_loadl_epi64((const __m128i *) src),
									   entry));
	else if (width == 2)
		_mm_storeu_si128((__m128i *) dst,
						 permute_halves(_mm_loadu_si128((const __m128i *) src),
										entry));
	else
		_mm256_storeu_si256((__m256i *) dst,
							permute_words(_mm256_loadu_si256((const __m256i *) src),
										  width == 4 ? word_index(entry) : pair_index(entry)));
}

TARGET_INLINE size_t
pack_groups(const uint8_t *src, size_t n, int width, uint8_t *mask,
			uint8_t *values)
{
	size_t		count = 0;
	size_t		i;

	for (i = 0; i + 8 <= n; i += 8)
	{
		unsigned	byte = 0;

		for (int j = 0; j < 8; j += GROUP(width))
		{
			const uint8_t *group = src + (i + j) * width;
			unsigned	bits = group_mask(group, width);

			permute_group(values + count * width, group, width,
						  pack_table[bits]);
			count += (size_t) __builtin_popcount(bits);
			byte |= bits << j;
		}
		mask[i / 8] = (uint8_t) byte;
	}
	return count + kernel_sparse_generic.pack(src + i * width, n - i, width,
											  mask + i / 8,
											  values + count * width);
}

TARGET_INLINE void
unpack_groups(uint8_t *dst, size_t n, int width, const uint8_t *mask,
			  ValueCursor *cursor)
{
	size_t		i;

	for (i = 0; i + 8 <= n; i += 8)
	{
		for (int j = 0; j < 8; j += GROUP(width))
		{
			unsigned	bits = (mask[i / 8] >> j) & ((1u << GROUP(width)) - 1);

			if (cursor->next > cursor->safe)
				sparse_cursor_move(cursor);
			permute_group(dst + (i + j) * width, cursor->next, width,
						  unpack_table[bits]);
			cursor->next += (size_t) __builtin_popcount(bits) * width;
		}
	}
	kernel_sparse_generic.unpack(dst + i * width, n - i, width, mask + i / 8,
								 cursor->next);
}

/* ---------- by width, so that each loop is compiled for its own ---------- */

TARGET static size_t
avx2_pack(const void *src, size_t n, int width, uint8_t *mask, void *values)
{
	switch (width)
	{
		case 1:
			return pack_groups(src, n, 1, mask, values);
		case 2:
			return pack_groups(src, n, 2, mask, values);
		case 4:
			return pack_groups(src, n, 4, mask, values);
		default:
			return pack_groups(src, n, 8, mask, values);
	}
}

TARGET static size_t
avx2_unpack(void *dst, size_t n, int width, const uint8_t *mask,
			const void *values)
{
	size_t		count = sparse_announced(mask, n);
	ValueCursor cursor;

	sparse_cursor_init(&cursor, values, count * width, GROUP(width) * width);
	switch (width)
	{
		case 1:
			unpack_groups(dst, n, 1, mask, &cursor);
			break;
		case 2:
			unpack_groups(dst, n, 2, mask, &cursor);
			break;
		case 4:
			unpack_groups(dst, n, 4, mask, &cursor);
			break;
		default:
			unpack_groups(dst, n, 8, mask, &cursor);
			break;
	}
	return count;
}

const SparseVariant kernel_sparse_avx2 = {
	"avx2", avx2_supported, avx2_pack, avx2_unpack
};

#endif							/* __x86_64__ */
