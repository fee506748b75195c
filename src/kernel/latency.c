/*
 * latency.c
 *		Histograms of durations: eight buckets an octave.
 *
 * Bounds are powers of 2^(1/8) seconds, those of Prometheus' native histograms
 * of schema 3, so that every eighth is a power of two and buckets add up to
 * coarser ones exactly.  A bucket has what is above the bound before it and not
 * above its own; the first also what is faster, the last what is slower.
 */
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

#define PER_OCTAVE 8
#define FIRST_EXPONENT (-20)	/* 0.95 microseconds */

/* 2^(i/8) */
static const double steps[PER_OCTAVE] = {
	1.0, 1.0905077326652577, 1.189207115002721, 1.2968395546510096,
	1.4142135623730951, 1.5422108254079407, 1.681792830507429, 1.8340080864093424
};

int
kernel_latency_bucket(int64_t ns)
{
	double		seconds = (double) ns * 1e-9;
	uint64_t	bits;
	double		mantissa;
	int			exponent;
	int			bucket = 0;

	if (!(seconds > 0))
		return 0;
	memcpy(&bits, &seconds, sizeof(bits));
	exponent = (int) (bits >> 52) - 1023;
	bits = (bits & 0xFFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL;
	memcpy(&mantissa, &bits, sizeof(mantissa));
	for (int i = 0; i < PER_OCTAVE; i++)
		bucket += mantissa > steps[i];
	bucket += (exponent - FIRST_EXPONENT) * PER_OCTAVE;
	if (bucket < 0)
		return 0;
	return bucket < KERNEL_LATENCY_BUCKETS ? bucket : KERNEL_LATENCY_BUCKETS - 1;
}

double
kernel_latency_bound(int bucket)
{
	if (bucket >= KERNEL_LATENCY_BUCKETS - 1)
		return INFINITY;
	return ldexp(steps[bucket % PER_OCTAVE], FIRST_EXPONENT + bucket / PER_OCTAVE);
}

/*
 * Within a bucket durations are taken to be spread evenly on a logarithmic
 * scale; of what is slower than all bounds only that is known.
 */
double
kernel_latency_percentile(const int64_t *counts, double fraction)
{
	double		total = 0;
	double		rank;
	double		before = 0;

	for (int i = 0; i < KERNEL_LATENCY_BUCKETS; i++)
		total += (double) counts[i];
	if (!(total > 0))
		return NAN;
	rank = fraction * total;
	for (int i = 0; i < KERNEL_LATENCY_BUCKETS - 1; i++)
	{
		double		count = (double) counts[i];

		if (count > 0 && before + count >= rank)
			return kernel_latency_bound(i) *
				pow(2.0, ((rank - before) / count - 1) / PER_OCTAVE);
		before += count;
	}
	return kernel_latency_bound(KERNEL_LATENCY_BUCKETS - 2);
}
