/*
 * rank.c
 *		Keys that can be ranked, and finding the k-th smallest without
 *		sorting.
 *
 * Owns the order: what a key of a magnitude or of a random draw is.  Does not
 * know where keys come from or what becomes of the elements.
 */
#include "kernel/kernel.h"

#include <string.h>

/* ---------- keys ---------- */

#define F32_INFINITY	UINT32_C(0x7f800000)
#define F64_INFINITY	UINT64_C(0x7ff0000000000000)

/* The bits of a float without its sign are in the order of magnitudes. */
KERNEL_CLONES
void
kernel_magnitude_keys_f32(const float *x, size_t n, uint32_t *keys)
{
	for (size_t i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, x + i, sizeof(bits));
		bits &= INT32_MAX;
		keys[i] = bits > F32_INFINITY ? F32_INFINITY + 1 : bits;
	}
}

KERNEL_CLONES
void
kernel_magnitude_keys_f64(const double *x, size_t n, uint64_t *keys)
{
	for (size_t i = 0; i < n; i++)
	{
		uint64_t	bits;

		memcpy(&bits, x + i, sizeof(bits));
		bits &= INT64_MAX;
		keys[i] = bits > F64_INFINITY ? F64_INFINITY + 1 : bits;
	}
}

/*
 * SplitMix64's output function, a bijection of 64 bits (Steele, Lea and
 * Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), so
 * elements of one tensor never draw the same number.
 */
static inline uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

uint64_t
kernel_random_seed(uint64_t seed, const char *name)
{
	uint64_t	state = mix(seed + GOLDEN_GAMMA);

	for (; *name != '\0'; name++)
		state = mix(state + (uint8_t) *name + GOLDEN_GAMMA);
	return state;
}

KERNEL_CLONES
void
kernel_random_keys(uint64_t seed, uint64_t first, size_t n, uint64_t *keys)
{
	for (size_t i = 0; i < n; i++)
	{
		uint64_t	key = mix(seed + (first + i + 1) * GOLDEN_GAMMA);

		keys[i] = key + (key == 0);
	}
}

/* ---------- the bracket ---------- */

/*
 * Few keys lie in a bracket, so a run of them is first asked, in vectors,
 * whether any does.  Counters as wide as the keys keep the counting in
 * vectors, and blocks short enough for the counters keep them from wrapping.
 */
#define RUN 8
#define BLOCK 4096

#define DEFINE_SCAN(bits) \
static inline __attribute__((always_inline)) void \
count_outside##bits(KernelBracket *bracket, const uint##bits##_t *keys, \
					size_t n) \
{ \
	const uint##bits##_t low = (uint##bits##_t) bracket->low; \
	const uint##bits##_t high = (uint##bits##_t) bracket->high; \
	uint##bits##_t below = 0; \
	uint##bits##_t at_low = 0; \
	uint##bits##_t at_high = 0; \
\
	for (size_t i = 0; i < n; i++) \
	{ \
		below += keys[i] < low; \
		at_low += keys[i] == low; \
		at_high += keys[i] == high; \
	} \
	bracket->below += (int64_t) below; \
	bracket->at_low += (int64_t) at_low; \
	bracket->at_high += low == high ? 0 : (int64_t) at_high; \
} \
\
/* Stores those of a few keys that are less than span above first. */ \
static inline __attribute__((always_inline)) void \
collect##bits(KernelBracket *bracket, const uint##bits##_t *keys, size_t n, \
			  uint##bits##_t first, uint##bits##_t span) \
{ \
	uint##bits##_t *between = bracket->between; \
	size_t		found = (size_t) bracket->nbetween; \
\
	for (size_t i = 0; i < n; i++) \
	{ \
		if (found < bracket->room) \
			between[found] = keys[i]; \
		found += (uint##bits##_t) (keys[i] - first) < span; \
	} \
	bracket->nbetween = (int64_t) found; \
} \
\
static inline __attribute__((always_inline)) void \
collect_inside##bits(KernelBracket *bracket, const uint##bits##_t *keys, \
					 size_t n) \
{ \
	const uint##bits##_t low = (uint##bits##_t) bracket->low; \
	const uint##bits##_t high = (uint##bits##_t) bracket->high; \
	const uint##bits##_t first = low + 1; \
	const uint##bits##_t span = high > low ? high - low - 1 : 0; \
	uint16_t	runs[BLOCK / RUN]; \
	size_t		nruns = 0; \
	size_t		i = 0; \
\
	for (; i + RUN <= n; i += RUN) \
	{ \
		uint##bits##_t inside = 0; \
\
		for (size_t j = 0; j < RUN; j++) \
			inside |= (uint##bits##_t) (keys[i + j] - first) < span; \
		runs[nruns] = (uint16_t) i; \
		nruns += inside; \
	} \
	for (size_t run = 0; run < nruns; run++) \
		collect##bits(bracket, keys + runs[run], RUN, first, span); \
	collect##bits(bracket, keys + i, n - i, first, span); \
} \
\
static inline __attribute__((always_inline)) void \
scan##bits(KernelBracket *bracket, const uint##bits##_t *keys, size_t n) \
{ \
	for (size_t done = 0; done < n; done += BLOCK) \
	{ \
		size_t		m = n - done < BLOCK ? n - done : BLOCK; \
\
		count_outside##bits(bracket, keys + done, m); \
		collect_inside##bits(bracket, keys + done, m); \
	} \
}

DEFINE_SCAN(32)
DEFINE_SCAN(64)

KERNEL_CLONES
void
kernel_bracket_scan(KernelBracket *bracket, const void *keys, size_t n,
					int width)
{
	if (width == 4)
		scan32(bracket, keys, n);
	else
		scan64(bracket, keys, n);
}

/* ---------- digit by digit ---------- */

int
kernel_top_digit(int width)
{
	return (width * 8 - 1) / KERNEL_DIGIT_BITS * KERNEL_DIGIT_BITS;
}

/* The bits above a digit; none above the highest one. */
static inline uint64_t
above_digit(uint64_t key, int shift)
{
	int			next = shift + KERNEL_DIGIT_BITS;

	return next < 64 ? key >> next : 0;
}

void
kernel_count_digits(const void *keys, size_t n, int width, uint64_t prefix,
					int shift, int64_t counts[KERNEL_DIGITS])
{
	const uint32_t *narrow = keys;
	const uint64_t *wide = keys;
	const uint64_t wanted = above_digit(prefix, shift);

	for (size_t i = 0; i < n; i++)
	{
		uint64_t	key = width == 4 ? narrow[i] : wide[i];

		counts[(key >> shift) & (KERNEL_DIGITS - 1)] +=
			above_digit(key, shift) == wanted;
	}
}

void
kernel_descend(const int64_t counts[KERNEL_DIGITS], int shift,
			   uint64_t *prefix, int64_t *rank)
{
	uint64_t	digit = 0;

	while (*rank >= counts[digit])
		*rank -= counts[digit++];
	*prefix |= digit << shift;
}
