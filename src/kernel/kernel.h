/*
 * kernel.h
 *		Numeric loops on plain buffers.
 *
 * Pure C without the server: no allocation, no errors, no globals but the
 * choice of CPU variant.  Every function here gives the same bits on every
 * machine; the plain loop is the specification, and a vector variant must
 * equal it.  Callers hand over chunks of at most a few hundred kilobytes and
 * check for interrupts between them.
 */
#ifndef MODELOPT_KERNEL_H
#define MODELOPT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * KERNEL_CLONES before a function has the compiler make a variant per
 * instruction set, chosen by the loader.  Sanitizers run before the loader is
 * done, so they get the plain one; arm64's base set has vectors anyway.
 */
#if defined(__x86_64__) && defined(__linux__) && !defined(KERNEL_NO_CLONES)
#define KERNEL_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define KERNEL_CLONES
#endif

/* ---------- half.c: floats of 8 and 16 bits ---------- */

extern float kernel_f16_to_f32(uint16_t h);
extern float kernel_f8e4m3_to_f32(uint8_t b);
extern float kernel_f8e5m2_to_f32(uint8_t b);
extern uint16_t kernel_f32_to_f16(float f);
extern uint16_t kernel_f32_to_bf16(float f);
extern uint8_t kernel_f32_to_f8e4m3(float f);
extern uint8_t kernel_f32_to_f8e5m2(float f);
extern void kernel_f16_to_f32_many(float *dst, const uint16_t *src, size_t n);
extern void kernel_bf16_to_f32_many(float *dst, const uint16_t *src, size_t n);

/* ---------- bytes.c ---------- */

/* Reverses the bytes of n elements of width 2, 4 or 8, in place. */
extern void kernel_byteswap(void *data, size_t n, int width);

#define KERNEL_MAX_DIMS 32		/* of a view */

/* Gathers a strided view of elements of width 1, 2, 4 or 8 into dst, densely
 * and in row-major order.  Strides count elements and are not negative. */
extern void kernel_gather(void *dst, const void *src, int width, int ndim,
						  const int64_t *dims, const int64_t *strides);

/* Whether every byte is 0 or 1. */
extern bool kernel_is_bool(const uint8_t *data, size_t n);

/* Whether every byte is 0. */
extern bool kernel_is_zero(const void *data, size_t n);

/* ---------- stats.c: moments and counts ---------- */

/* What a sequence of numbers adds up to; kernel_stats_init, then chunks. */
typedef struct KernelStats
{
	int64_t		count;			/* finite elements; the rest is about them */
	int64_t		zeros;			/* of either sign */
	int64_t		nans;
	int64_t		infinities;
	double		min;			/* +infinity when there are none */
	double		max;			/* -infinity when there are none */
	double		sum;
	double		l1;				/* sum of magnitudes */
	double		squares;		/* sum of squares */
	double		mean;
	double		m2;				/* sum of squared distances from the mean */

	/* private */
	double		sum_lost;		/* what rounding took from the sums above */
	double		l1_lost;
	double		squares_lost;
} KernelStats;

/* Chunks must be multiples of this but for the last, which makes the result
 * the same however a sequence is cut. */
#define KERNEL_STATS_BLOCK 2048

extern void kernel_stats_init(KernelStats *stats);
extern void kernel_stats_f32(KernelStats *stats, const float *x, size_t n);
extern void kernel_stats_f64(KernelStats *stats, const double *x, size_t n);

/* Makes the results final; once, after the last chunk. */
extern void kernel_stats_finish(KernelStats *stats);

/* Floats of width 1, 2, 4 or 8 that are +0 or -0. */
extern size_t kernel_count_zero_floats(const void *src, size_t n, int width);

/* ---------- sparse.c: bitmask and values ---------- */

/*
 * An element is a zero when all its bits are 0, so -0.0 is a value.  Bit i of
 * the mask, least significant first, tells whether element i has a value;
 * bits after the last element are 0.  Widths are 1, 2, 4 or 8 bytes.
 */

/* Writes (n + 7) / 8 bytes of mask and the values, and returns how many there
 * are.  Up to 64 bytes after the last value may be overwritten. */
extern size_t kernel_sparse_pack(const void *src, size_t n, int width,
								 uint8_t *mask, void *values);

/* The inverse; returns how many values were taken.  Reads no value that the
 * mask does not announce. */
extern size_t kernel_sparse_unpack(void *dst, size_t n, int width,
								   const uint8_t *mask, const void *values);

/* Elements with a value: in a mask of so many bytes, and in dense elements. */
extern size_t kernel_popcount(const uint8_t *mask, size_t bytes);
extern size_t kernel_count_nonzero(const void *src, size_t n, int width);

#endif							/* MODELOPT_KERNEL_H */
