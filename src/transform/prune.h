/*
 * prune.h
 *		What the files that prune share.
 *
 * Private to src/transform.  prune_sql.c reads the arguments, prune_targets.c
 * says which payloads they mean and in which groups, and one file per family
 * of methods decides which elements go: prune_unstructured.c ranks elements,
 * prune_structured.c ranks slices, prune_pattern.c looks at each element with
 * its neighbours (n:m), a threshold or a mask.  All of them hand their result,
 * chunk by chunk, to a PruneWriter.
 */
#ifndef MODELOPT_PRUNE_H
#define MODELOPT_PRUNE_H

#include "model/model.h"

typedef enum PruneMethod
{
	PRUNE_L1,					/* smallest magnitudes; l2 ranks the same */
	PRUNE_L2,
	PRUNE_RANDOM,
	PRUNE_THRESHOLD,
	PRUNE_LN_STRUCTURED,
	PRUNE_RANDOM_STRUCTURED,
	PRUNE_N_M,
	PRUNE_MASK,
} PruneMethod;

/* How many of n units (elements or slices) go. */
typedef struct PruneAmount
{
	bool		is_count;
	double		fraction;		/* 0 to 1, unless is_count */
	int64		count;			/* if is_count */
	bool		of_remaining;	/* of what is not zero yet */
} PruneAmount;

/*
 * A payload to prune, once however many tensors are tied to it, and what was
 * done to it.
 */
typedef struct PruneTarget
{
	int			payload;		/* in the source model */
	const char *name;			/* of the first tensor over it, UTF-8 */
	int			ndim;			/* and that tensor's shape */
	const int64 *dims;

	/* results */
	int			result;			/* payload in the new model; -1 in a dry run */
	int64		selected;		/* elements chosen, those already zero too */
	int64		zeros_before;	/* elements that were +0 or -0 */
	int64		zeros_after;
	uint64		stored_after;	/* bytes of the new payload */
	double		max_error;		/* of |before - after|; dry run only */
	double		sum_squared_error;	/* dry run only */
} PruneTarget;

/* Half-to-even of fraction x n, or the count; raises 22023 when a count is
 * larger than n.  zeros is only looked at with of_remaining. */
extern int64 prune_amount_of(const PruneAmount *amount, int64 n, int64 zeros);

/* ---------- prune_writer.c ---------- */

/*
 * Takes the elements of one target from first to last, before and after, and
 * makes the new payload and the target's results.  With out NULL (a dry run)
 * nothing is built, and the errors are measured.
 */
typedef struct PruneWriter PruneWriter;

/* nonzero is an upper bound on elements that stay, or -1 if unknown. */
extern PruneWriter *prune_writer_create(Model *out, DType dtype, int64 count,
										int64 nonzero, PruneTarget *target);

/* n must be a multiple of 64 in every call but the last. */
extern void prune_writer_append(PruneWriter *writer, const void *before,
								const void *after, int64 n);

/* Sets target->result and the counts; frees the writer. */
extern void prune_writer_finish(PruneWriter *writer);

/* ---------- prune_unstructured.c ---------- */

/*
 * Zeroes the smallest elements of all targets ranked together: exactly
 * prune_amount_of(amount, elements, zeros) of them, equal ones by lowest
 * (target, index) first.  random ranks by a hash of (seed, target's name,
 * index) instead of by magnitude.
 */
extern void prune_unstructured(const Model *source, Model *out,
							   PruneTarget **targets, int ntargets,
							   bool random, int64 seed,
							   const PruneAmount *amount);

/* ---------- prune_structured.c ---------- */

/* Zeroes whole slices along dim (negative counts from the end), those of the
 * smallest norm, or at random. */
extern void prune_structured(const Model *source, Model *out,
							 PruneTarget *target, int dim, double norm,
							 bool random, int64 seed,
							 const PruneAmount *amount);

/* ---------- prune_pattern.c ---------- */

/* Zeroes |x| < threshold; NaN stays. */
extern void prune_threshold(const Model *source, Model *out,
							PruneTarget *target, double threshold);

/* Keeps the n largest of every m neighbours along dim; an incomplete last
 * group stays as it is. */
extern void prune_n_m(const Model *source, Model *out, PruneTarget *target,
					  int dim, int n, int m);

/* Zeroes what is zero in the mask's payload, which has as many elements. */
extern void prune_mask(const Model *source, Model *out, PruneTarget *target,
					   Payload *mask);

#endif							/* MODELOPT_PRUNE_H */
