/*
 * diff.h
 *		How two models differ, tensor by tensor.
 *
 * Knows models, not versions: of those that come from the repository it reads
 * only the tensors that differ, because it knows the digests of the others.
 */
#ifndef MODELOPT_DIFF_H
#define MODELOPT_DIFF_H

#include "model/model.h"

typedef enum TensorChange
{
	TENSOR_UNCHANGED,
	TENSOR_ADDED,
	TENSOR_REMOVED,
	TENSOR_MODIFIED,
	TENSOR_RENAMED,				/* the same dtype, shape and elements */
	TENSOR_RETYPED,
	TENSOR_RESHAPED,			/* and perhaps retyped */
} TensorChange;

typedef struct TensorDiff
{
	TensorChange change;
	const Tensor *before;		/* NULL when added */
	const Tensor *after;		/* NULL when removed */
} TensorDiff;

/* What the elements of two tensors, one by one, are apart. */
typedef struct ElementDiff
{
	bool		has_pairs;		/* both have the same number of elements */
	bool		is_read;		/* and digests did not say that all are equal */
	int64		changed;		/* elements that have other bits */
	int64		not_finite;		/* pairs left out of what follows, if is_read */
	double		max_abs;		/* largest distance */
	double		l2;				/* Euclidean length of the difference */
	double		norm_before;	/* and of both, if is_read */
	double		norm_after;
	double		product;		/* inner product, if is_read */
} ElementDiff;

/*
 * Pairs the tensors of two models by name, and those without a partner by
 * content; in the order of the second model, then what was removed in the
 * order of the first.  Tensors whose digests nobody computed yet are taken for
 * modified.
 */
extern TensorDiff *diff_models(Model *before, Model *after, int *n);

/*
 * Compares the elements of a pair of tensors; reads both at once, in memory
 * for a chunk, unless they are known to be equal.  Counts zeros on the way.
 */
extern void diff_elements(Payload *before, Payload *after, ElementDiff *diff);

#endif							/* MODELOPT_DIFF_H */
