/*
 * keep.c
 *		What stays of a buffer and what goes: a byte for each element, and
 *		what is made of it.
 *
 * Every pruning method ends here.  Does not know how elements are ranked.
 */
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

/* ---------- ranked ---------- */

/*
 * Counters as wide as the keys keep the loops in vectors; blocks short enough
 * for the counters keep them from wrapping.
 */
#define BLOCK 4096

#define DEFINE_KEEP_ABOVE(bits) \
static inline __attribute__((always_inline)) size_t \
keep_above##bits(const uint##bits##_t *keys, size_t n, \
				 uint##bits##_t threshold, uint8_t *keep) \
{ \
	size_t		equal = 0; \
\
	for (size_t done = 0; done < n; done += BLOCK) \
	{ \
		size_t		end = n - done < BLOCK ? n : done + BLOCK; \
		uint##bits##_t in_block = 0; \
\
		for (size_t i = done; i < end; i++) \
		{ \
			keep[i] = keys[i] >= threshold; \
			in_block += keys[i] == threshold; \
		} \
		equal += in_block; \
	} \
	return equal; \
} \
\
static void \
drop_ties##bits(const uint##bits##_t *keys, uint##bits##_t threshold, \
				size_t ties, uint8_t *keep) \
{ \
	for (size_t i = 0; ties > 0; i++) \
	{ \
		if (keys[i] == threshold) \
		{ \
			keep[i] = 0; \
			ties--; \
		} \
	} \
}

DEFINE_KEEP_ABOVE(32)
DEFINE_KEEP_ABOVE(64)

KERNEL_CLONES
static size_t
keep_above(const void *keys, size_t n, int width, uint64_t threshold,
		   uint8_t *keep)
{
	if (width == 4)
		return keep_above32(keys, n, (uint32_t) threshold, keep);
	return keep_above64(keys, n, threshold, keep);
}

void
kernel_keep_above(const void *keys, size_t n, int width, uint64_t threshold,
				  int64_t *ties, uint8_t *keep)
{
	int64_t		drop = (int64_t) keep_above(keys, n, width, threshold, keep);

	if (drop > *ties)
		drop = *ties;
	if (width == 4)
		drop_ties32(keys, (uint32_t) threshold, drop, keep);
	else
		drop_ties64(keys, threshold, drop, keep);
	*ties -= drop;
}

KERNEL_CLONES
void
kernel_keep_zero_keys(const void *keys, size_t n, int width, uint8_t *keep)
{
	const uint32_t *narrow = keys;
	const uint64_t *wide = keys;

	if (width == 4)
		for (size_t i = 0; i < n; i++)
			keep[i] |= narrow[i] == 0;
	else
		for (size_t i = 0; i < n; i++)
			keep[i] |= wide[i] == 0;
}

/* ---------- by value ---------- */

KERNEL_CLONES
void
kernel_keep_from(const double *x, size_t n, double threshold, uint8_t *keep)
{
	for (size_t i = 0; i < n; i++)
		keep[i] = !(fabs(x[i]) < threshold);
}

KERNEL_CLONES
void
kernel_keep_nonzero(const double *x, size_t n, uint8_t *keep)
{
	for (size_t i = 0; i < n; i++)
		keep[i] = x[i] != 0;
}

/* ---------- n of every m ---------- */

/*
 * Element j of every group lies in a plane of its own, so that the groups are
 * compared side by side in vectors.  goes[j] counts, for each group, how many
 * of the others go before element j.
 */
#define DEFINE_KEEP_LARGEST(bits) \
static inline __attribute__((always_inline)) void \
keep_largest##bits(const uint##bits##_t *keys, size_t groups, \
				   size_t group_step, size_t step, int n, int m, \
				   uint8_t *keep) \
{ \
	uint##bits##_t planes[KERNEL_PATTERN_MAX][KERNEL_PATTERN_GROUPS]; \
	uint8_t		before[KERNEL_PATTERN_MAX][KERNEL_PATTERN_GROUPS]; \
\
	for (int j = 0; j < m; j++) \
	{ \
		for (size_t g = 0; g < groups; g++) \
			planes[j][g] = keys[g * group_step + j * step]; \
		memset(before[j], 0, groups); \
	} \
	for (int j = 1; j < m; j++) \
		for (int i = 0; i < j; i++) \
			for (size_t g = 0; g < groups; g++) \
			{ \
				uint8_t		i_goes = planes[i][g] <= planes[j][g]; \
\
				before[j][g] += i_goes; \
				before[i][g] += !i_goes; \
			} \
	for (int j = 0; j < m; j++) \
		for (size_t g = 0; g < groups; g++) \
			keep[g * group_step + j * step] = before[j][g] >= m - n; \
}

DEFINE_KEEP_LARGEST(32)
DEFINE_KEEP_LARGEST(64)

KERNEL_CLONES
void
kernel_keep_largest(const void *keys, int width, size_t groups,
					size_t group_step, size_t step, int n, int m,
					uint8_t *keep)
{
	if (width == 4)
		keep_largest32(keys, groups, group_step, step, n, m, keep);
	else
		keep_largest64(keys, groups, group_step, step, n, m, keep);
}

/* ---------- applied ---------- */

/*
 * Everything about a block is counted while it is at hand.  Counters as wide
 * as the elements, and blocks short enough for them, as above.
 */
#define DEFINE_APPLY(bits, block) \
static inline __attribute__((always_inline)) void \
apply##bits(uint##bits##_t *dst, const uint##bits##_t *src, \
			const uint8_t *keep, size_t n, uint##bits##_t nonzero, \
			KernelKept *counts) \
{ \
	for (size_t done = 0; done < n; done += (block)) \
	{ \
		size_t		end = n - done < (block) ? n : done + (block); \
		uint##bits##_t kept = 0; \
		uint##bits##_t before = 0; \
		uint##bits##_t after = 0; \
\
		for (size_t i = done; i < end; i++) \
		{ \
			uint##bits##_t stays = keep[i]; \
			uint##bits##_t v = src[i] & (uint##bits##_t) -stays; \
\
			kept = (uint##bits##_t) (kept + stays); \
			before = (uint##bits##_t) (before + ((src[i] & nonzero) == 0)); \
			after = (uint##bits##_t) (after + ((v & nonzero) == 0)); \
			dst[i] = v; \
		} \
		counts->kept += (int64_t) kept; \
		counts->zeros_before += (int64_t) before; \
		counts->zeros_after += (int64_t) after; \
	} \
}

DEFINE_APPLY(8, 255)
DEFINE_APPLY(16, BLOCK)
DEFINE_APPLY(32, BLOCK)
DEFINE_APPLY(64, BLOCK)

KERNEL_CLONES
void
kernel_apply_keep(void *dst, const void *src, const uint8_t *keep, size_t n,
				  int width, bool negative_zero, KernelKept *counts)
{
	switch (width)
	{
		case 1:
			apply8(dst, src, keep, n, negative_zero ? INT8_MAX : UINT8_MAX, counts);
			break;
		case 2:
			apply16(dst, src, keep, n, negative_zero ? INT16_MAX : UINT16_MAX,
					counts);
			break;
		case 4:
			apply32(dst, src, keep, n, negative_zero ? INT32_MAX : UINT32_MAX,
					counts);
			break;
		default:
			apply64(dst, src, keep, n, negative_zero ? INT64_MAX : UINT64_MAX,
					counts);
			break;
	}
}
