/*
 * sparse_variants.h
 *		The ways that sparse.c has of packing and unpacking.
 *
 * Private to sparse*.c and to the test that compares them.  The generic
 * variant is the specification, and does what the others leave over at the
 * end of a buffer.
 */
#ifndef MODELOPT_SPARSE_VARIANTS_H
#define MODELOPT_SPARSE_VARIANTS_H

#include "kernel/kernel.h"

typedef struct SparseVariant
{
	const char *name;
	bool		(*supported) (void);	/* by the CPU that we run on */

	/* As kernel_sparse_pack and kernel_sparse_unpack. */
	size_t		(*pack) (const void *src, size_t n, int width,
						 uint8_t *mask, void *values);
	size_t		(*unpack) (void *dst, size_t n, int width,
						   const uint8_t *mask, const void *values);
} SparseVariant;

/* Best first; the last one is supported everywhere. */
extern const SparseVariant *const kernel_sparse_variants[];
extern const int kernel_sparse_nvariants;

extern const SparseVariant kernel_sparse_generic;

#if defined(__x86_64__)
extern const SparseVariant kernel_sparse_avx512;
extern const SparseVariant kernel_sparse_avx2;

#define SPARSE_MAX_VECTOR 64	/* bytes that a variant reads at once */

/*
 * Where the next values are read when whole vectors of them are.  The last
 * ones are moved to a place that may be read beyond, so that no value is read
 * that the mask does not announce.
 */
typedef struct ValueCursor
{
	const uint8_t *next;
	const uint8_t *end;			/* of the values, wherever they are now */
	const uint8_t *safe;		/* the last place to read a vector from */
	uint8_t		last[2 * SPARSE_MAX_VECTOR];
} ValueCursor;

extern void sparse_cursor_init(ValueCursor *cursor, const void *values,
							   size_t bytes, size_t vector);

/* Called when next has passed safe. */
extern void sparse_cursor_move(ValueCursor *cursor);
#endif

/* Values that a mask announces for n elements. */
extern size_t sparse_announced(const uint8_t *mask, size_t n);

#endif							/* MODELOPT_SPARSE_VARIANTS_H */
