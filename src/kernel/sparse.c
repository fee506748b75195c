/*
 * sparse.c
 *		Bitmask and values: packing, unpacking, counting.
 *
 * Owns the choice between the variants for the CPU that we run on, and the
 * generic one.  Elements are bits here; what they mean is nobody's concern.
 */
#include "kernel/kernel.h"
#include "kernel/sparse_variants.h"

#include <string.h>

/* ---------- counting ---------- */

KERNEL_CLONES
size_t
kernel_popcount(const uint8_t *mask, size_t bytes)
{
	size_t		count = 0;
	size_t		i = 0;

	for (; i + 8 <= bytes; i += 8)
	{
		uint64_t	word;

		memcpy(&word, mask + i, 8);
		count += __builtin_popcountll(word);
	}
	for (; i < bytes; i++)
		count += __builtin_popcount(mask[i]);
	return count;
}

/*
 * Counters as wide as the elements keep the loops in vectors; blocks short
 * enough for the counters keep them from wrapping.
 */
#define DEFINE_COUNT_NONZERO(bits, block) \
static inline __attribute__((always_inline)) size_t \
count_nonzero##bits(const uint8_t *src, size_t n) \
{ \
	size_t		count = 0; \
\
	for (size_t done = 0; done < n; done += (block)) \
	{ \
		size_t		m = n - done < (block) ? n - done : (block); \
		uint##bits##_t zeros = 0; \
\
		for (size_t i = 0; i < m; i++) \
		{ \
			uint##bits##_t v; \
\
			memcpy(&v, src + (done + i) * sizeof(v), sizeof(v)); \
			zeros = (uint##bits##_t) (zeros + (v == 0)); \
		} \
		count += m - zeros; \
	} \
	return count; \
}

DEFINE_COUNT_NONZERO(8, 255)
DEFINE_COUNT_NONZERO(16, 4096)
DEFINE_COUNT_NONZERO(32, 65536)
DEFINE_COUNT_NONZERO(64, 65536)

KERNEL_CLONES
size_t
kernel_count_nonzero(const void *src, size_t n, int width)
{
	switch (width)
	{
		case 1:
			return count_nonzero8(src, n);
		case 2:
			return count_nonzero16(src, n);
		case 4:
			return count_nonzero32(src, n);
		default:
			return count_nonzero64(src, n);
	}
}

/* ---------- generic variant ---------- */

/*
 * Every element is stored, and only those that count move the place of the
 * next one, so that nothing depends on a branch that cannot be predicted.
 */
#define DEFINE_PACK(bits) \
static size_t \
pack##bits(const uint8_t *src, size_t n, uint8_t *mask, uint8_t *values) \
{ \
	size_t		count = 0; \
\
	for (size_t i = 0; i < n; i += 8) \
	{ \
		size_t		m = n - i < 8 ? n - i : 8; \
		unsigned	byte = 0; \
\
		for (size_t j = 0; j < m; j++) \
		{ \
			uint##bits##_t v; \
\
			memcpy(&v, src + (i + j) * sizeof(v), sizeof(v)); \
			memcpy(values + count * sizeof(v), &v, sizeof(v)); \
			count += v != 0; \
			byte |= (unsigned) (v != 0) << j; \
		} \
		mask[i / 8] = (uint8_t) byte; \
	} \
	return count; \
}

/*
 * Here every element reads a value, the next one there is, and keeps it only
 * when its bit is set; the last value stands in for those beyond it.
 */
#define DEFINE_UNPACK(bits) \
static void \
unpack##bits(uint8_t *dst, size_t n, const uint8_t *mask, \
			 const uint8_t *values, size_t last) \
{ \
	size_t		next = 0; \
\
	for (size_t i = 0; i < n; i++) \
	{ \
		unsigned	bit = (mask[i / 8] >> (i % 8)) & 1; \
		uint##bits##_t v; \
\
		memcpy(&v, values + (next < last ? next : last) * sizeof(v), \
			   sizeof(v)); \
		v = (uint##bits##_t) (v & (uint##bits##_t) -(uint##bits##_t) bit); \
		memcpy(dst + i * sizeof(v), &v, sizeof(v)); \
		next += bit; \
	} \
}

DEFINE_PACK(8)
DEFINE_PACK(16)
DEFINE_PACK(32)
DEFINE_PACK(64)

DEFINE_UNPACK(8)
DEFINE_UNPACK(16)
DEFINE_UNPACK(32)
DEFINE_UNPACK(64)

static bool
generic_supported(void)
{
	return true;
}

static size_t
generic_pack(const void *src, size_t n, int width, uint8_t *mask,
			 void *values)
{
	switch (width)
	{
		case 1:
			return pack8(src, n, mask, values);
		case 2:
			return pack16(src, n, mask, values);
		case 4:
			return pack32(src, n, mask, values);
		default:
			return pack64(src, n, mask, values);
	}
}

size_t
sparse_announced(const uint8_t *mask, size_t n)
{
	size_t		count = kernel_popcount(mask, n / 8);

	if (n % 8 != 0)
		count += __builtin_popcount(mask[n / 8] & ((1u << (n % 8)) - 1));
	return count;
}

static size_t
generic_unpack(void *dst, size_t n, int width, const uint8_t *mask,
			   const void *values)
{
	size_t		count = sparse_announced(mask, n);

	if (count == 0)
	{
		if (n > 0)
			memset(dst, 0, n * width);
		return 0;
	}
	switch (width)
	{
		case 1:
			unpack8(dst, n, mask, values, count - 1);
			break;
		case 2:
			unpack16(dst, n, mask, values, count - 1);
			break;
		case 4:
			unpack32(dst, n, mask, values, count - 1);
			break;
		default:
			unpack64(dst, n, mask, values, count - 1);
			break;
	}
	return count;
}

const SparseVariant kernel_sparse_generic = {
	"generic", generic_supported, generic_pack, generic_unpack
};

/* ---------- what vector variants share ---------- */

#if defined(__x86_64__)
void
sparse_cursor_init(ValueCursor *cursor, const void *values, size_t bytes,
				   size_t vector)
{
	cursor->next = values;
	cursor->end = cursor->next + bytes;
	if (bytes < vector)
		sparse_cursor_move(cursor);
	else
		cursor->safe = cursor->end - vector;
}

void
sparse_cursor_move(ValueCursor *cursor)
{
	size_t		left = (size_t) (cursor->end - cursor->next);

	memset(cursor->last, 0, sizeof(cursor->last));
	if (left > 0)
		memcpy(cursor->last, cursor->next, left);
	cursor->next = cursor->last;
	cursor->end = cursor->last + left;
	cursor->safe = cursor->end;
}
#endif

/* ---------- choice of the variant ---------- */

const SparseVariant *const kernel_sparse_variants[] = {
#if defined(__x86_64__)
	&kernel_sparse_avx512,
	&kernel_sparse_avx2,
#endif
	&kernel_sparse_generic
};

const int	kernel_sparse_nvariants =
	sizeof(kernel_sparse_variants) / sizeof(kernel_sparse_variants[0]);

static const SparseVariant *
chosen_variant(void)
{
	static const SparseVariant *chosen = NULL;

	if (chosen == NULL)
	{
		int			i = 0;

		while (!kernel_sparse_variants[i]->supported())
			i++;
		chosen = kernel_sparse_variants[i];
	}
	return chosen;
}

size_t
kernel_sparse_pack(const void *src, size_t n, int width, uint8_t *mask,
				   void *values)
{
	return chosen_variant()->pack(src, n, width, mask, values);
}

size_t
kernel_sparse_unpack(void *dst, size_t n, int width, const uint8_t *mask,
					 const void *values)
{
	return chosen_variant()->unpack(dst, n, width, mask, values);
}
