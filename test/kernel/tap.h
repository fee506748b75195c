/*
 * tap.h
 *		What the kernel tests share: results, random numbers, buffers.
 */
#ifndef TEST_KERNEL_TAP_H
#define TEST_KERNEL_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints a line of TAP. */
extern void ok(bool passed, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* Says more about the test that fails next. */
extern void note(const char *format,...) __attribute__((format(printf, 1, 2)));

/* Adds to the digest of all results, by which builds are compared. */
extern void digest(const void *data, size_t n);

/* A fixed sequence of numbers, the same in every build. */
extern uint64_t draw(void);
extern size_t draw_below(size_t n);

/*
 * Memory of just that size, malloc'ed for the sanitizers' sake, that starts
 * "offset" bytes behind a multiple of 64.  All buffers go by free_buffers().
 */
extern void *buffer(size_t n, size_t offset);
extern void free_buffers(void);

/* Random bytes. */
extern void fill(void *data, size_t n);

/* Floats of every kind: many ordinary ones, and zeros of both signs,
 * subnormals, infinities and NaNs when special. */
extern void fill_floats(float *x, size_t n, bool special);
extern void fill_doubles(double *x, size_t n, bool special);

/* Elements of a width, of which a share in a thousand are not zero. */
extern void fill_sparse(void *data, size_t n, int width, int per_mille);

/* The same bits? */
extern bool same(const void *a, const void *b, size_t n);

/* Lengths around what vectors hold, and longer ones. */
extern const size_t lengths[];
extern const int nlengths;

/* The tests, a file each. */
extern void test_affine(void);
extern void test_bytes(void);
extern void test_cluster(void);
extern void test_compare(void);
extern void test_delta(void);
extern void test_drift(void);
extern void test_half(void);
extern void test_histogram(void);
extern void test_keep(void);
extern void test_latency(void);
extern void test_merge(void);
extern void test_norm(void);
extern void test_pack(void);
extern void test_rank(void);
extern void test_sparse(void);
extern void test_stats(void);

#endif							/* TEST_KERNEL_TAP_H */
