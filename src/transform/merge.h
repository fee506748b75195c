/*
 * merge.h
 *		One model of two that come from a third one.
 *
 * Does not know why a tensor is to be merged, nor which of the models it would
 * otherwise come from: a plan says so.
 */
#ifndef MODELOPT_MERGE_H
#define MODELOPT_MERGE_H

#include "model/model.h"

/*
 * What becomes of a tensor.  The methods after the first three work on
 * floating-point tensors of one dtype and shape, in double precision; the
 * result is rounded to real, unless it is f64, and then to the dtype.
 */
typedef enum MergeMethod
{
	MERGE_OURS,					/* as it is in that model */
	MERGE_THEIRS,
	MERGE_BASE,
	MERGE_LINEAR,				/* weighted sum */

	/*
	 * Spherical interpolation (Shoemake, "Animating rotation with quaternion
	 * curves", SIGGRAPH 1985) of tensors as vectors; the weights are the
	 * shares of the angle between them, and linear where there is hardly one.
	 */
	MERGE_SLERP,

	/*
	 * base + lambda (weighted sum of the task vectors), a task vector being
	 * what was added to the base (Ilharco and others, "Editing models with task
	 * arithmetic", ICLR 2023).
	 */
	MERGE_TASK_ARITHMETIC,

	/*
	 * base + lambda (mean of the trimmed task vectors that agree with the
	 * elected sign), a share "density" of each tensor's task vector, the
	 * largest magnitudes, being left by trimming, and the sign being that of
	 * the weighted sum (Yadav and others, "TIES-merging: resolving interference
	 * when merging models", NeurIPS 2023).
	 */
	MERGE_TIES,
} MergeMethod;

typedef struct MergeStep
{
	MergeMethod method;
	double		weight_ours;
	double		weight_theirs;
	double		density;		/* MERGE_TIES: above 0, at most 1 */
	double		lambda;			/* methods with task vectors */
} MergeStep;

typedef struct MergePlan
{
	Model	   *base;			/* NULL when there is none */
	Model	   *ours;
	Model	   *theirs;
	int			ntensors;
	char	  **names;			/* UTF-8; of the result's tensors, in its order */
	MergeStep  *steps;
	Model	   *graph;			/* one of the three, whose graph it gets; or NULL */
} MergePlan;

/* The merged model, with the metadata and the recipe of ours.  Needs memory for
 * what it makes, and for the task vector of one tensor at a time. */
extern Model *merge_models(MemoryContext parent, const MergePlan *plan);

/*
 * Makes a payload of two, or of three, that have the same dtype and number of
 * elements; returns its index in the model.  (merge_tensor.c)
 */
extern int	merge_payloads(Model *out, Payload *base, Payload *ours,
						   Payload *theirs, const MergeStep *step);

#endif							/* MODELOPT_MERGE_H */
