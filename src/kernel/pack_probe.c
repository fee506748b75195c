/*
 * pack_probe.c
 *		What a plane is like, seen from a sample.
 *
 * Costs a few microseconds, and decides what is tried at all.  Counts and
 * logarithms are exact or in plain double arithmetic, so that every machine
 * decides the same.
 */
#include "kernel/pack_format.h"

#include <string.h>

/* ---------- how often bytes come ---------- */

#define SAMPLE_RUNS 16
#define SAMPLE_RUN 256

/* To about six digits; the C library's differs between machines. */
static double
log2_of(uint32_t v)
{
	int			exponent = 31 - __builtin_clz(v);
	double		x = (double) v / (double) (UINT64_C(1) << exponent);
	double		t = (x - 1) / (x + 1);
	double		t2 = t * t;

	return exponent + 2.8853900817779268 * t *
		(1 + t2 * (1 / 3.0 + t2 * (1 / 5.0 + t2 * (1 / 7.0 + t2 / 9.0))));
}

/* Counts a sample of runs spread over the plane; returns its size. */
static uint32_t
count_sample(uint32_t counts[256], const uint8_t *plane, size_t n)
{
	uint32_t	other[256] = {0};	/* neighbours count in different tables */
	size_t		run = SAMPLE_RUN;
	size_t		runs = SAMPLE_RUNS;

	if (n <= run * runs)
	{
		run = n;
		runs = 1;
	}
	memset(counts, 0, 256 * sizeof(counts[0]));
	for (size_t r = 0; r < runs; r++)
	{
		const uint8_t *from = plane + (runs > 1 ? (n - run) / (runs - 1) * r : 0);
		size_t		i;

		for (i = 0; i + 2 <= run; i += 2)
		{
			counts[from[i]]++;
			other[from[i + 1]]++;
		}
		if (i < run)
			counts[from[i]]++;
	}
	for (int i = 0; i < 256; i++)
		counts[i] += other[i];
	return (uint32_t) (run * runs);
}

void
pack_probe(PackProbe *probe, const uint8_t *plane, size_t n)
{
	uint32_t	counts[256];
	uint32_t	total = count_sample(counts, plane, n);
	uint32_t	most = 0;
	double		bits = 0;

	for (int i = 0; i < 256; i++)
	{
		if (counts[i] == 0)
			continue;
		bits += counts[i] * log2_of(counts[i]);
		if (counts[i] > most)
		{
			most = counts[i];
			probe->mode = (uint8_t) i;
		}
	}
	probe->bits = log2_of(total) - bits / total;
	probe->mode_share = (double) most / total;
}

/* ---------- what was there before ---------- */

/*
 * Places are picked by the bytes that are there, so that what comes again is
 * picked again wherever it lies, and remembered by a hash of more bytes than
 * come again by chance.
 */
#define PICKS 128				/* about so many places */
#define STEP 4					/* bytes from one place to the next */
#define GROUP 64				/* places looked at in one go */
#define REMEMBERED 64			/* bytes */
#define SLOTS 512
#define SMALLEST 1024			/* bytes that are looked at */

static inline uint64_t
hash_at(const uint8_t *bytes)
{
	uint64_t	hash = 0;

	for (int i = 0; i < REMEMBERED; i += 8)
	{
		uint64_t	word;

		memcpy(&word, bytes + i, 8);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
	}
	return hash;
}

static inline __attribute__((always_inline)) bool
is_picked(const uint8_t *bytes, uint32_t limit)
{
	uint32_t	word;

	/* Zeros are never picked. */
	memcpy(&word, bytes, sizeof(word));
	return (word ^ word >> 15) * UINT32_C(0x9e3779b1) - 1 < limit;
}

static inline __attribute__((always_inline)) bool
any_picked(const uint8_t *bytes, uint32_t limit)
{
	uint32_t	any = 0;

	for (int i = 0; i < GROUP; i++)
		any |= is_picked(bytes + i * STEP, limit);
	return any != 0;
}

/* Whether an eighth of the places in so many bytes have been there before. */
KERNEL_CLONES
static bool
repeats_within(const uint8_t *plane, size_t n)
{
	uint64_t	slots[SLOTS] = {0};
	uint32_t	limit = (uint32_t) (UINT64_C(0x100000000) * PICKS / (n / STEP));
	int			picked = 0;
	int			repeated = 0;

	for (size_t i = 0; i + GROUP * STEP + REMEMBERED <= n; i += GROUP * STEP)
	{
		if (!any_picked(plane + i, limit))
			continue;
		for (const uint8_t *at = plane + i; at < plane + i + GROUP * STEP; at += STEP)
		{
			uint64_t	hash;
			uint64_t   *slot;

			if (!is_picked(at, limit))
				continue;
			hash = hash_at(at);
			slot = slots + hash % SLOTS;
			picked++;
			repeated += *slot == hash;
			*slot = hash;
		}
	}
	return picked >= 8 && repeated * 8 >= picked;
}

bool
pack_probe_repeats(const uint8_t *plane, size_t n)
{
	/* What repeats after few bytes has few places to be picked from, so that
	 * they are picked more densely in less. */
	for (; n >= SMALLEST; n /= 4)
		if (repeats_within(plane, n))
			return true;
	return false;
}
