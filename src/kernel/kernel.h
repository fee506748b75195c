/*
 * kernel.h
 *		Numeric loops on plain buffers.
 *
 * Pure C without the server: no allocation, no errors, no globals but the
 * choice of CPU variant.  Every function here gives the same bits on every
 * machine (but for KERNEL_NORM_P, latency.c and drift.c, which call the C
 * library's pow, log and the like); the plain loop is the specification, and a
 * vector variant must equal it.  Callers hand over chunks of at most a few
 * hundred kilobytes and check for interrupts between them.
 */
#ifndef MODELOPT_KERNEL_H
#define MODELOPT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * KERNEL_CLONES before a function has the compiler make a variant per
 * instruction set, chosen by the loader, which takes glibc's.  Clang before 18
 * gives the chosen one a name that calls from other files do not have.
 * Sanitizers run before the loader is done, so they get the plain one; arm64's
 * base set has vectors anyway.
 */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(KERNEL_NO_CLONES) && \
	(!defined(__clang__) || __clang_major__ >= 18)
/* Narrow integers take AVX-512's later parts, which have a name together since
 * gcc 12. */
#if !defined(__clang__) && __GNUC__ >= 12
#define KERNEL_WIDEST "arch=x86-64-v4"
#else
#define KERNEL_WIDEST "avx512f"
#endif
#define KERNEL_CLONES __attribute__((target_clones(KERNEL_WIDEST, "avx2", "default")))
#else
#define KERNEL_CLONES
#endif

/* ---------- half.c: floats of 8 and 16 bits ---------- */

extern float kernel_f16_to_f32(uint16_t h);
extern float kernel_f8e4m3_to_f32(uint8_t b);
extern float kernel_f8e5m2_to_f32(uint8_t b);
extern float kernel_f8e4m3fnuz_to_f32(uint8_t b);
extern float kernel_f8e5m2fnuz_to_f32(uint8_t b);
extern float kernel_f8e8m0_to_f32(uint8_t b);
extern uint16_t kernel_f32_to_f16(float f);
extern uint16_t kernel_f32_to_bf16(float f);
extern uint8_t kernel_f32_to_f8e4m3(float f);
extern uint8_t kernel_f32_to_f8e5m2(float f);
extern uint8_t kernel_f32_to_f8e4m3fnuz(float f);
extern uint8_t kernel_f32_to_f8e5m2fnuz(float f);
extern uint8_t kernel_f32_to_f8e8m0(float f);	/* of the magnitude */
extern void kernel_f32_to_f16_many(uint16_t *dst, const float *src, size_t n);
extern void kernel_f32_to_bf16_many(uint16_t *dst, const float *src, size_t n);
extern void kernel_f32_to_f8e4m3_many(uint8_t *dst, const float *src, size_t n);
extern void kernel_f32_to_f8e5m2_many(uint8_t *dst, const float *src, size_t n);
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

/* ---------- ggml_blocks.c: floats quantized in blocks ---------- */

/* As ggml calls them, and with its layouts. */
typedef enum KernelBlock
{
	KERNEL_BLOCK_Q4_0,
	KERNEL_BLOCK_Q4_1,
	KERNEL_BLOCK_Q5_0,
	KERNEL_BLOCK_Q5_1,
	KERNEL_BLOCK_Q8_0,
	KERNEL_BLOCK_Q4_K,
	KERNEL_BLOCK_Q5_K,
	KERNEL_BLOCK_Q6_K,
} KernelBlock;

#define KERNEL_BLOCK_MAX 256	/* elements */

/* Elements of a block, and its bytes. */
extern int	kernel_block_elements(KernelBlock kind);
extern int	kernel_block_bytes(KernelBlock kind);

extern void kernel_block_decode(KernelBlock kind, float *dst, const void *src,
								size_t blocks);

/* For Q4_0 and Q8_0 only.  False, with dst in part undefined, when an element
 * is not finite or too large for the scale of its block. */
extern bool kernel_block_encode(KernelBlock kind, void *dst, const float *src,
								size_t blocks);

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

/* ---------- histogram.c: bins of equal width ---------- */

/* Adds to the counts of bins, of which the first begins with low and the last
 * ends with high, both finite; what is outside, or a NaN, is not counted. */
extern void kernel_histogram_f64(int64_t *counts, int bins, double low,
								 double high, const double *x, size_t n);

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

/* ---------- rank.c: the k smallest of many ---------- */

/*
 * Keys are unsigned integers of width 4 or 8 bytes whose order is the order
 * of what they stand for.  How a threshold is found without sorting: pick a
 * bracket that should hold the k-th smallest key, count once over all keys
 * what lies below it and collect what lies in it, and select in the few that
 * were collected.
 */

/* The order of magnitudes: -0 equals +0, NaN comes last, and all NaNs are
 * equal.  keys may be x itself. */
extern void kernel_magnitude_keys_f32(const float *x, size_t n, uint32_t *keys);
extern void kernel_magnitude_keys_f64(const double *x, size_t n, uint64_t *keys);

/* The random order that a seed gives to elements first, first + 1, ...: keys
 * of 8 bytes, never 0. */
extern void kernel_random_keys(uint64_t seed, uint64_t first, size_t n,
							   uint64_t *keys);

/* Seeds that belong to different names. */
extern uint64_t kernel_random_seed(uint64_t seed, const char *name);

/* What a pass over keys finds; zero it but for the first group. */
typedef struct KernelBracket
{
	uint64_t	low;			/* low <= high */
	uint64_t	high;
	void	   *between;		/* room for collected keys */
	size_t		room;			/* how many */

	int64_t		below;			/* keys < low */
	int64_t		at_low;			/* = low */
	int64_t		at_high;		/* = high, if that is not low */
	int64_t		nbetween;		/* low < key < high; in memory up to room */
} KernelBracket;

extern void kernel_bracket_scan(KernelBracket *bracket, const void *keys,
								size_t n, int width);

#define KERNEL_DIGIT_BITS 11
#define KERNEL_DIGITS (1 << KERNEL_DIGIT_BITS)

/* Counts, for the keys that equal prefix above the digit that starts at bit
 * shift, how often each value of the digit comes. */
extern void kernel_count_digits(const void *keys, size_t n, int width,
								uint64_t prefix, int shift,
								int64_t counts[KERNEL_DIGITS]);

/* Where the highest digit of a key of that width starts. */
extern int	kernel_top_digit(int width);

/* Takes the key of rank *rank one digit further: extends *prefix, and makes
 * *rank count among the keys that share it. */
extern void kernel_descend(const int64_t counts[KERNEL_DIGITS], int shift,
						   uint64_t *prefix, int64_t *rank);

/* ---------- keep.c: what stays of a buffer ---------- */

/* A byte for each element, 1 for what stays and 0 for what goes; so
 * kernel_count_nonzero counts what stays. */

/* Keys above the threshold stay, and those equal to it but the first *ties,
 * which is counted down. */
extern void kernel_keep_above(const void *keys, size_t n, int width,
							  uint64_t threshold, int64_t *ties,
							  uint8_t *keep);

/* Those of key 0 stay too. */
extern void kernel_keep_zero_keys(const void *keys, size_t n, int width,
								  uint8_t *keep);

/* |x| >= threshold stays, and NaN. */
extern void kernel_keep_from(const double *x, size_t n, double threshold,
							 uint8_t *keep);

/* What is not zero stays, NaN included. */
extern void kernel_keep_nonzero(const double *x, size_t n, uint8_t *keep);

#define KERNEL_PATTERN_GROUPS 128	/* at most, in one call */
#define KERNEL_PATTERN_MAX 64

/*
 * The n largest keys of each group of m stay; of equal ones the first go.
 * Key j of group g is keys[g * group_step + j * step]; keep has the same
 * layout.
 */
extern void kernel_keep_largest(const void *keys, int width, size_t groups,
								size_t group_step, size_t step, int n, int m,
								uint8_t *keep);

/* Elements of which something is true; kernel_apply_keep adds to them. */
typedef struct KernelKept
{
	int64_t		kept;
	int64_t		zeros_before;
	int64_t		zeros_after;	/* kept ones and those put there */
} KernelKept;

/* Copies what stays and puts +0 in place of what goes; widths as above.  Where
 * there is a -0, it is a zero too. */
extern void kernel_apply_keep(void *dst, const void *src, const uint8_t *keep,
							  size_t n, int width, bool negative_zero,
							  KernelKept *counts);

/* ---------- norm.c: norms of slices ---------- */

/* What a slice's elements add up to; which of them depends on the norm. */
typedef enum KernelNorm
{
	KERNEL_NORM_0,				/* elements that are not zero */
	KERNEL_NORM_1,
	KERNEL_NORM_2,				/* sum of squares: the same order */
	KERNEL_NORM_P,				/* sum of |x|^p, by the C library's pow */
	KERNEL_NORM_MAX,
	KERNEL_NORM_MIN,
} KernelNorm;

/* What no elements have. */
extern double kernel_norm_start(KernelNorm norm);

/*
 * Neighbours that go into one sum: begin, add them in order, cut anyhow, and
 * end.  They are added in a fixed order, the same wherever the cuts are, so
 * that equal slices have equal norms.  NaN makes the sum NaN.
 */
#define KERNEL_NORM_LANES 8

typedef struct KernelNormRun
{
	double		lanes[KERNEL_NORM_LANES];
	size_t		n;				/* added so far */
} KernelNormRun;

extern void kernel_norm_begin(KernelNorm norm, KernelNormRun *run);
extern void kernel_norm_add(KernelNorm norm, double p, KernelNormRun *run,
							const double *x, size_t n);

/* The sum with the run added to it. */
extern double kernel_norm_end(KernelNorm norm, const KernelNormRun *run,
							  double sum);

/* Adds x[i] to sums[i]. */
extern void kernel_norm_add_each(KernelNorm norm, double p, double *sums,
								 const double *x, size_t n);

/* ---------- compare.c: two sequences, element by element ---------- */

/* How a second sequence differs from a first one; kernel_compare_init, then
 * chunks. */
typedef struct KernelComparison
{
	int64_t		count;			/* pairs of finite elements; the rest is about them */
	double		max_abs;		/* largest distance; 0 when there are none */
	double		squares;		/* sum of squared distances */
	double		first_squares;	/* sums of squares */
	double		second_squares;
	double		products;		/* sum of products */

	/* private */
	double		lost[4];		/* what rounding took from the sums above */
} KernelComparison;

/* Chunks must be multiples of KERNEL_STATS_BLOCK but for the last. */
extern void kernel_compare_init(KernelComparison *comparison);
extern void kernel_compare_f32(KernelComparison *comparison,
							   const float *first, const float *second,
							   size_t n);
extern void kernel_compare_f64(KernelComparison *comparison,
							   const double *first, const double *second,
							   size_t n);

/* Makes the results final; once, after the last chunk. */
extern void kernel_compare_finish(KernelComparison *comparison);

/* Elements of width 1, 2, 4 or 8 that have other bits. */
extern size_t kernel_count_different(const void *first, const void *second,
									 size_t n, int width);

/* ---------- merge.c: one sequence of two or three ---------- */

/* dst = weight_x x + weight_y y */
extern void kernel_merge_linear(double *dst, const double *x, const double *y,
								double weight_x, double weight_y, size_t n);

/* How far x has moved from base: x - base, and 0 where they are equal, infinite
 * or not. */
extern void kernel_task_vector(double *dst, const double *x,
							   const double *base, size_t n);

/* dst = base + lambda (weight_x dx + weight_y dy), of task vectors. */
extern void kernel_merge_task(double *dst, const double *base,
							  const double *dx, const double *dy,
							  double weight_x, double weight_y, double lambda,
							  size_t n);

/*
 * The same of the mean of those of the two that agree with the sign of their
 * weighted sum.  keep_x and keep_y (of keep.c) say which were not trimmed.
 */
extern void kernel_merge_ties(double *dst, const double *base,
							  const double *dx, const double *dy,
							  const uint8_t *keep_x, const uint8_t *keep_y,
							  double weight_x, double weight_y, double lambda,
							  size_t n);

/* ---------- numbers as bits, for what follows ---------- */

/* What the bits of an element of width 1, 2, 4 or 8 mean. */
typedef enum KernelNumber
{
	KERNEL_UNSIGNED,
	KERNEL_SIGNED,				/* two's complement */
	KERNEL_FLOAT,				/* sign bit, then exponent, then fraction */
} KernelNumber;

/* ---------- planes.c: bytes of the same significance ---------- */

/*
 * Plane i has byte i of every element, least significant first, after bits
 * have been moved to where they compress: the sign of a float to its lowest
 * bit, so that the exponent starts the highest plane, and signed integers
 * zigzag (0, -1, 1, -2, ...), so that small ones of both signs have zeros in
 * the high planes.  Elements of one byte are left as they are.
 */
extern void kernel_planes_split(uint8_t *const *planes, const void *src,
								size_t n, int width, KernelNumber number);
extern void kernel_planes_merge(void *dst, const uint8_t *const *planes,
								size_t n, int width, KernelNumber number);

/* ---------- delta.c: elements as seen from those of a base ---------- */

/*
 * How far apart elements are, counted in representable numbers: both are taken
 * as integers in the order of what they stand for, and the difference, modulo
 * 2^bits, is zigzagged, so that near neighbours give small unsigned integers
 * and equal ones 0.  Exact for every pattern of bits, NaNs and -0 included.
 * dst may be src.
 */
extern void kernel_delta_encode(void *dst, const void *src, const void *base,
								size_t n, int width, KernelNumber number);

/* The inverse; dst may be delta. */
extern void kernel_delta_decode(void *dst, const void *delta,
								const void *base, size_t n, int width,
								KernelNumber number);

/*
 * Whether every element of child is that of base or has only zero bits, as
 * pruning leaves them.  Then mask, in the layout of sparse.c, tells which
 * elements are base's, and is all that is needed; else it is undefined.
 */
extern bool kernel_mask_of(uint8_t *mask, const void *child, const void *base,
						   size_t n, int width);

/* Elements of base where the mask has a bit, and +0 elsewhere. */
extern void kernel_mask_apply(void *dst, const void *base,
							  const uint8_t *mask, size_t n, int width);

/* ---------- pack.c, unpack.c: blocks without loss ---------- */

/*
 * A block is at most KERNEL_PACK_BLOCK bytes of elements, packed by the bytes
 * of each plane and by how often they come; it says itself how.  Bytes after
 * the last whole element are kept as they are, and a bitmask is packed as
 * unsigned elements of one byte.  A block has no checksum: who stores it has a
 * digest of what was packed.  Its bytes may depend on the version of libzstd,
 * and what they unpack to does not.
 */
#define KERNEL_PACK_BLOCK (256 * 1024)

/* What packing and unpacking work in: the caller's memory, of at least that
 * size and aligned for any type.  Nothing needs to be freed. */
typedef struct KernelPacker KernelPacker;
typedef struct KernelUnpacker KernelUnpacker;

extern size_t kernel_packer_size(void);
extern KernelPacker *kernel_packer_init(void *memory);
extern size_t kernel_unpacker_size(void);
extern KernelUnpacker *kernel_unpacker_init(void *memory);

/* What packing so many bytes may write; little more than the bytes. */
extern size_t kernel_pack_bound(size_t bytes);

/* Packs a block into kernel_pack_bound(bytes) of memory and returns the size
 * it has. */
extern size_t kernel_pack(KernelPacker *packer, void *dst, const void *src,
						  size_t bytes, int width, KernelNumber number);

/* About what all bytes, however many, would take in blocks: packs a sample of
 * them, and does not see what repeats only far away. */
extern size_t kernel_pack_estimate(KernelPacker *packer, const void *src,
								   size_t bytes, int width,
								   KernelNumber number);

/*
 * Unpacks a block that was packed from just so many bytes.  False when it is
 * not one, with dst undefined; whatever the bytes are, nothing outside of src
 * is read and nothing outside of dst is written.
 */
extern bool kernel_unpack(KernelUnpacker *unpacker, void *dst, size_t bytes,
						  const void *src, size_t size);

/* ---------- affine.c: small integers for floats ---------- */

/* Widens a range to what n floats are in.  The order is that of numbers, with
 * -0 before 0 and NaNs at both ends, so that a range whose ends are finite has
 * finite floats alone.  Each: a range for every float. */
extern void kernel_range(const float *x, size_t n, float *min, float *max);
extern void kernel_range_each(const float *x, size_t n, float *mins,
							  float *maxs);

/* How the integer for x is computed from a scale and a zero point. */
typedef enum KernelAffineRule
{
	KERNEL_AFFINE_DIVIDE,		/* x / scale, halves to even, + zero */
	KERNEL_AFFINE_MULTIPLY,		/* x * (1 / scale), likewise */
	KERNEL_AFFINE_AWAY,			/* x * (1 / scale) + zero, halves away from
								 * zero; a scale of 0 has the reciprocal 0 */
} KernelAffineRule;

/*
 * Integers of 1 or 2 bytes between low and high (2: by KERNEL_AFFINE_DIVIDE
 * only).  All elements have the first scale and zero, or with a step of 1
 * each its own.
 */
extern void kernel_affine_encode(KernelAffineRule rule, void *dst, int width,
								 const float *x, size_t n,
								 const float *scales, const float *zeros,
								 int step, int low, int high);

/* The low halves of n bytes, two to a byte, the first one low. */
extern void kernel_pack_nibbles(uint8_t *dst, const uint8_t *codes, size_t n);

/* Integers of 4 bits, the first one low, as floats. */
extern void kernel_nibbles_to_f32(float *dst, const uint8_t *src, size_t n,
								  bool is_signed);

/* Flips the bits of a mask in each of n bytes. */
extern void kernel_flip(uint8_t *codes, size_t n, uint8_t mask);

/* From integers, as floats, to what they stand for, in place.  Zeros may be
 * NULL for none. */
extern void kernel_affine_decode(float *x, size_t n, const float *scales,
								 const float *zeros, int step);

/* ---------- difference.c: how far two sequences are apart ---------- */

#define KERNEL_DIFFERENCE_LANES 16

/* Init, add chunks (multiples of the lanes but for the last), and ask. */
typedef struct KernelDifference
{
	double		max[KERNEL_DIFFERENCE_LANES];
	double		errors[KERNEL_DIFFERENCE_LANES];
	double		squares[KERNEL_DIFFERENCE_LANES];
} KernelDifference;

extern void kernel_difference_init(KernelDifference *difference);
extern void kernel_difference_f32(KernelDifference *difference,
								  const float *a, const float *b, size_t n);
extern void kernel_difference_f64(KernelDifference *difference,
								  const double *a, const double *b, size_t n);

/* The largest |a - b|, NaN when there is one; the sums of (a - b)^2 and of
 * a^2. */
extern double kernel_difference_max(const KernelDifference *difference);
extern double kernel_difference_errors(const KernelDifference *difference);
extern double kernel_difference_squares(const KernelDifference *difference);

/* ---------- bits.c: codes of 1 to 8 bits ---------- */

/* Code i has the bits from i * bits on, the lowest of a byte first; the last
 * byte is filled up with zeros.  A code in memory takes a byte. */
extern void kernel_unpack_bits(uint8_t *dst, const void *src, size_t n,
							   int bits);
extern void kernel_pack_bits(void *dst, const uint8_t *codes, size_t n,
							 int bits);

/* Values of 1, 2, 4 or 8 bytes for codes; there are 256 of them. */
extern void kernel_lookup(void *dst, const uint8_t *codes, size_t n,
						  const void *values, int width);

/* ---------- cluster.c: clusters on a line ---------- */

/* Points of a bin, or of all bins before a place: how many, and their sum. */
typedef struct KernelBin
{
	double		weight;
	double		sum;
} KernelBin;

typedef struct KernelExtremes
{
	float		min;			/* +infinity without points */
	float		max;			/* -infinity */
} KernelExtremes;

/* The bin of a float. */
extern size_t kernel_histogram_bin(float x, float min, float scale,
								   size_t nbins);

/* Adds floats to bins; bin i has those from min + i / scale on, and the last
 * one all that are larger. */
extern void kernel_histogram(const float *x, size_t n, float min, float scale,
							 KernelBin *bins, size_t nbins);
extern void kernel_histogram_extremes(const float *x, size_t n, float min,
									  float scale, KernelExtremes *bins,
									  size_t nbins);

#define KERNEL_CLUSTER_POINTS 65536 /* at most */

/*
 * The best clusters of points in order.  before[i] is what lies before point i,
 * and before[n] all; no point has the weight 0.  best[j] is the worth of the
 * first j points in one cluster, then in k of them from that in k - 1 (fewer);
 * starts[j] is where the last of these k starts.  Only places k to n are set.
 */
extern void kernel_cluster_first(const KernelBin *before, size_t n,
								 double *best);
extern void kernel_cluster_next(const KernelBin *before, size_t n, size_t k,
								const double *fewer, double *best,
								uint16_t *starts);

#define KERNEL_ASSIGN_LIMITS 256
#define KERNEL_ASSIGN_BINS 4096

/* How many of some limits, at most 255 and in order, a float is beyond. */
typedef struct KernelAssigner
{
	int			n;
	float		limits[KERNEL_ASSIGN_LIMITS];	/* infinity after the last */
	float		min;
	float		scale;
	uint8_t		first[KERNEL_ASSIGN_BINS];	/* limits before each bin */
} KernelAssigner;

extern void kernel_assign_init(KernelAssigner *assigner, const float *limits,
							   int n);
extern void kernel_assign(const KernelAssigner *assigner, uint8_t *codes,
						  const float *x, size_t n);

/* ---------- multiply.c: products of matrices ---------- */

#define KERNEL_MULTIPLY_ROWS 8	/* at once, for good speed */

/*
 * dst (rows x columns) is left (rows x inner) times right (inner x columns, a
 * row every right_step elements); every element is added up in order.
 */
extern void kernel_multiply_f32(float *dst, const float *left,
								const float *right, size_t rows,
								size_t inner, size_t columns,
								size_t right_step);
extern void kernel_multiply_f64(double *dst, const double *left,
								const double *right, size_t rows,
								size_t inner, size_t columns,
								size_t right_step);

/*
 * Both ways through a matrix at once: part of a row, whose columns have so many
 * elements each.  What the elements of a column add up to is added to its sum,
 * and to the row's, which is spread over lanes: parts but the last have a number
 * of columns that is a multiple of KERNEL_NORM_LANES.
 */
extern void kernel_norm_row(bool squares, const float *x, size_t columns,
							size_t run, double lanes[KERNEL_NORM_LANES],
							double *sums);

/* ---------- latency.c: histograms of durations ---------- */

#define KERNEL_LATENCY_BUCKETS 218	/* the last has no bound */

/* The bucket of a duration in nanoseconds. */
extern int	kernel_latency_bucket(int64_t ns);

/* The upper bound of a bucket in seconds, which is in it. */
extern double kernel_latency_bound(int bucket);

/* The duration, in seconds, that a fraction of those counted does not exceed;
 * NaN when none are. */
extern double kernel_latency_percentile(const int64_t *counts, double fraction);

/* ---------- drift.c: distances of distributions, by counts in bins ---------- */

/* Population stability index, of shares that are smoothed by half a count. */
extern double kernel_drift_psi(const int64_t *p, const int64_t *q, int bins);

/* Jensen-Shannon distance of base 2, 0 to 1. */
extern double kernel_drift_js(const int64_t *p, const int64_t *q, int bins);

/* Greatest difference of the distribution functions, at the bounds of bins. */
extern double kernel_drift_ks(const int64_t *p, const int64_t *q, int bins);

/* Greatest difference of a bin's shares. */
extern double kernel_drift_linf(const int64_t *p, const int64_t *q, int bins);

/* Wasserstein distance of order 1, by the bins' means. */
extern double kernel_drift_wasserstein(const int64_t *p, const double *p_sums,
									   const int64_t *q, const double *q_sums,
									   int bins);

/* What a chi-square variable is below of with that probability. */
extern double kernel_chi_square_quantile(double probability, int freedom);

/* The bin of a value: how many edges are below it. */
extern int	kernel_drift_bin(const double *edges, int nedges, double value);

/* The same of many values, without branches that nobody could predict. */
extern void kernel_drift_bins(const double *edges, int nedges,
							  const double *values, size_t n, int64_t *bins);

/* Edges of up to so many bins of about as many values each; equal ones are
 * merged, and no bin is empty.  Returns how many there are, below bins. */
extern int	kernel_drift_edges(const double *sorted, int64_t n, int bins,
							   double *edges);

#endif							/* MODELOPT_KERNEL_H */
