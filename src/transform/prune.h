/*
 * prune.h
 *		What the files that prune share.
 *
 * Private to src/transform.  prune_sql.c reads the arguments and writes the
 * result, prune_targets.c says which payloads are meant, and one file per
 * family of methods decides which elements go: prune_unstructured.c ranks
 * elements, prune_structured.c ranks slices, prune_wanda.c the inputs of each
 * output, prune_pattern.c looks at each element with its neighbours (n:m), a
 * threshold or a mask.  All of them tell
 * a PruneWriter, block by block, what stays.
 */
#ifndef MODELOPT_PRUNE_H
#define MODELOPT_PRUNE_H

#include "compat.h"

#include "model/model.h"
#include "transform/select.h"
#include "transform/targets.h"
#include "utils/jsonb.h"

typedef enum PruneMethod
{
	PRUNE_L1,					/* smallest magnitudes */
	PRUNE_L2,					/* the same order */
	PRUNE_RANDOM,
	PRUNE_THRESHOLD,
	PRUNE_LN_STRUCTURED,
	PRUNE_RANDOM_STRUCTURED,
	PRUNE_N_M,
	PRUNE_MASK,
	PRUNE_WANDA,				/* smallest |weight| x norm of its input */
} PruneMethod;

typedef enum PruneScope
{
	PRUNE_SCOPE_GLOBAL,
	PRUNE_SCOPE_LAYER,
	PRUNE_SCOPE_TENSOR,
} PruneScope;

/* How many of n units (elements or slices) go. */
typedef struct PruneAmount
{
	bool		is_count;
	double		fraction;		/* 0 to 1, unless is_count */
	int64		count;			/* if is_count */
	bool		of_remaining;	/* of what is not zero yet */
} PruneAmount;

/* What is to be done; strings are UTF-8. */
typedef struct PruneRequest
{
	const char *function;		/* of SQL, for the recipe */
	PruneMethod method;
	PruneScope	scope;			/* of unstructured methods */
	PruneAmount amount;
	double		threshold;		/* PRUNE_THRESHOLD */
	bool		has_dim;
	int			dim;			/* if has_dim; negative from the end */
	double		norm;
	int			n;				/* PRUNE_N_M */
	int			m;
	int64		seed;
	Patterns	patterns;
	Model	   *mask;			/* PRUNE_MASK */
	const Tensor **masks;		/* its tensors, sorted by name */
	Jsonb	   *norms;			/* PRUNE_WANDA: tensor -> array of norms */
} PruneRequest;

/*
 * A payload to prune, once however many tensors are tied to it, and what was
 * done to it.
 */
typedef struct PruneTarget
{
	Payload    *payload;
	int			index;			/* of the payload in the source model */
	int			tensor;			/* the first chosen one over it */
	const char *name;			/* its name */
	int			ndim;			/* and its shape */
	const int64 *dims;
	int			inputs;			/* the dimension of inputs; PRUNE_WANDA */

	/* results */
	int			result;			/* payload in the new model; -1 in a dry run */
	int64		selected;		/* elements chosen, those already zero too */
	int64		zeros_before;	/* elements that were +0 or -0 */
	int64		zeros_after;
	uint64		stored_after;	/* bytes of the new payload */
	double		max_error;		/* of |before - after|; dry run only */
	double		squared_error;	/* summed up; dry run only */
} PruneTarget;

/* ---------- prune_targets.c ---------- */

/*
 * The payloads that the request means, in the order of the model.  Raises
 * 42704 for a pattern that matches nothing, and 0A000 for dtypes that cannot
 * be pruned.
 */
extern PruneTarget **prune_targets(const Model *source,
								   const PruneRequest *request,
								   int *ntargets);

/* ---------- prune_unit.c ---------- */

/* Elements that are worked on at once, so that they and what is made of them
 * stay in the nearest cache; divides PAYLOAD_CHUNK. */
#define PRUNE_BLOCK 1024

/*
 * How many of n units go, half-to-even of fraction x n, or the count.  With
 * of_remaining it is so many of the units that are not zero, and the zeros are
 * added: they are ranked lowest, and kept in the end.
 * Raises 22023 when a count is too large; units and name are for its text,
 * name being NULL for all targets together.
 */
extern int64 prune_amount_of(const PruneAmount *amount, int64 n, int64 zeros,
							 const char *units, const char *name);

/* Width of keys for the magnitudes of a dtype: 4 or 8 bytes. */
extern int	prune_key_width(DType dtype);

/* Keys of that width for elements first to first + n - 1. */
extern void prune_magnitude_keys(DType dtype, const void *elements,
								 int64 first, int64 n, int width, void *keys);

/*
 * Elements of a payload in blocks of at most PRUNE_BLOCK, all but the last of
 * that size.
 */
typedef struct PruneReader
{
	PayloadReader *payload;
	DType		dtype;
	const char *chunk;
	int64		left;			/* in the chunk */
	int64		next;			/* index in the payload */
} PruneReader;

extern void prune_reader_init(PruneReader *reader, Payload *payload);

/* How many elements come next, 0 at the end; frees what the reader holds
 * there.  *first is the index of the first one. */
extern int64 prune_reader_next(PruneReader *reader, const void **elements,
							   int64 *first);

/* Tells what stays when the k units of the lowest keys go, lowest index first
 * among equal ones.  All keys are in memory. */
extern void prune_rank_units(const void *keys, int64 n, int width, int64 k,
							 uint8 *keep);

/* Whether single elements can be had without reading those before. */
extern bool prune_has_elements(const Payload *payload);

/* Brings a payload that is lazy, or whose elements cannot be had singly,
 * into the current context, for several passes over it; any other is handed
 * back as it is. */
extern Payload *prune_load(Payload *payload);
extern void prune_unload(Payload *original, Payload *loaded);

/* ---------- prune_writer.c ---------- */

/*
 * Takes the elements of one target from first to last, with a byte for each
 * that says whether it stays, and makes the new payload and the target's
 * results.  With out NULL (a dry run) nothing is built, and the errors are
 * measured.
 */
typedef struct PruneWriter PruneWriter;

/* nonzero is an upper bound on elements that stay, or -1 if unknown. */
extern PruneWriter *prune_writer_create(Model *out, int64 nonzero,
										PruneTarget *target);

/* At most PRUNE_BLOCK elements, and a multiple of 64 but for the last call. */
extern void prune_writer_append(PruneWriter *writer, const void *elements,
								const uint8 *keep, int64 n);

/* Sets the target's results; frees the writer. */
extern void prune_writer_finish(PruneWriter *writer);

/* All of it for elements that lie densely in memory, a byte for each. */
extern void prune_write_kept(PruneTarget *target, const char *elements,
							 const uint8 *keep, Model *out);

/* ---------- methods ---------- */

/*
 * Each takes targets and the model for their new payloads, NULL for a dry
 * run.  Temporary memory comes from the current context.
 */

/* Zeroes the lowest elements of all targets ranked together: exactly
 * prune_amount_of(...) of them, equal ones by lowest (target, index) first. */
extern void prune_unstructured(PruneTarget **targets, int ntargets,
							   const PruneRequest *request,
							   const char *name, Model *out);

/* Zeroes whole slices along a dimension (default the first). */
extern void prune_structured(PruneTarget *target, const PruneRequest *request,
							 Model *out);

/* What the elements of each slice along a dimension add up to: magnitudes to
 * the power of p. */
extern void prune_slice_norms(Payload *payload, int ndim, const int64 *dims,
							  int dim, double p, double *norms);

/* Zeroes |x| < threshold; NaN stays. */
extern void prune_threshold(PruneTarget *target, const PruneRequest *request,
							Model *out);

/* Keeps the n largest of every m neighbours along a dimension (default the
 * second); an incomplete last group stays as it is. */
extern void prune_n_m(PruneTarget *target, const PruneRequest *request,
					  Model *out);

/* Zeroes what is zero in the mask's tensor of the same name. */
extern void prune_mask(PruneTarget *target, const PruneRequest *request,
					   Model *out);

/* Zeroes in each row of inputs the lowest |weight| x norm: a fraction, rounded
 * down, or all but the n largest of every m. */
extern void prune_wanda(PruneTarget *target, const PruneRequest *request,
						Model *out);

/* Finds each target's dimension of inputs: the graph's, or else the second. */
extern void prune_wanda_find_inputs(const Model *source, PruneTarget **targets,
									int ntargets);

/* The dimension that the request names, or else the method's own; raises
 * 22023 when the target has none such. */
extern int	prune_dimension(const PruneTarget *target,
							const PruneRequest *request, int otherwise);

/* ---------- prune_sql.c ---------- */

/* The pruned model, with its recipe, and the rows of a dry run. */
extern Model *prune_model(const Model *source, const PruneRequest *request);
extern void prune_put_dry_run(FunctionCallInfo fcinfo, const Model *source,
							  const PruneRequest *request);

/* ---------- prune_recipe.c ---------- */

/* Adds what was done to the recipe of the result. */
extern void prune_add_recipe(Model *out, const PruneRequest *request,
							 PruneTarget **targets, int ntargets);

/* Names as SQL has them. */
extern const char *prune_method_name(PruneMethod method);
extern const char *prune_scope_name(PruneScope scope);

#endif							/* MODELOPT_PRUNE_H */
