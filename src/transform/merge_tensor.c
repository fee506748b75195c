/*
 * merge_tensor.c
 *		The elements of a tensor that was merged.
 *
 * Streams the payloads side by side.  What depends on all of a tensor (the
 * angle of slerp, the smallest magnitude that trimming leaves) is found in a
 * pass of its own before.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "transform/merge.h"
#include "transform/select.h"
#include "utils/memutils.h"

/* Elements that are worked on at once, so that they and what is made of them
 * stay in the nearest caches; divides PAYLOAD_CHUNK. */
#define BLOCK KERNEL_STATS_BLOCK

StaticAssertDecl(PAYLOAD_CHUNK % BLOCK == 0, "chunks are whole blocks");

/* ---------- several payloads, side by side ---------- */

/* BASE is the last one, since not all methods have it. */
enum
{
	OURS,
	THEIRS,
	BASE,
	NINPUTS
};

typedef struct Inputs
{
	DType		dtype;
	int			n;				/* 2, or 3 with a base */
	PayloadReader *readers[NINPUTS];
	const void *chunks[NINPUTS];
	int64		left;			/* elements in the chunks */
	int64		next;			/* in the chunks */
	double		values[NINPUTS][BLOCK];
} Inputs;

static Inputs *
inputs_open(Payload *const *payloads, int n)
{
	Inputs	   *inputs = palloc0(sizeof(Inputs));

	inputs->dtype = payloads[0]->dtype;
	inputs->n = n;
	for (int i = 0; i < n; i++)
	{
		if (payloads[i]->dtype != payloads[0]->dtype ||
			payloads[i]->count != payloads[0]->count)
			elog(ERROR, "payloads to merge are not alike");
		inputs->readers[i] = payload_reader_create(payloads[i]);
	}
	return inputs;
}

/* The next block of all of them as doubles; 0 at the end, where what they hold
 * is freed. */
static int64
inputs_next(Inputs *inputs)
{
	int64		n;

	if (inputs->left == 0)
	{
		for (int i = 0; i < inputs->n; i++)
			inputs->left = payload_reader_next(inputs->readers[i], &inputs->chunks[i]);
		inputs->next = 0;
	}
	n = Min(inputs->left, BLOCK);
	for (int i = 0; i < inputs->n && n > 0; i++)
		dtype_to_double(inputs->dtype, inputs->chunks[i], inputs->next, n,
						inputs->values[i]);
	inputs->left -= n;
	inputs->next += n;
	if (n == 0)
	{
		for (int i = 0; i < inputs->n; i++)
			payload_reader_free(inputs->readers[i]);
		pfree(inputs);
	}
	return n;
}

/* ---------- slerp ---------- */

/* Directions that are nearer than this, or opposite, have no plane in which an
 * angle could be measured well; and norms that are none. */
#define NEARLY_PARALLEL	0.9995
#define NEARLY_ZERO		1e-8

/* Replaces shares of the angle by the weights of a sum. */
static void
find_slerp_weights(Payload *const *payloads, MergeStep *step)
{
	KernelComparison sums;
	Inputs	   *inputs = inputs_open(payloads, 2);
	double		norms[2];
	double		cosine;
	double		angle;
	int64		n;

	kernel_compare_init(&sums);
	while ((n = inputs_next(inputs)) > 0)
		kernel_compare_f64(&sums, inputs->values[OURS], inputs->values[THEIRS], n);
	kernel_compare_finish(&sums);

	norms[0] = sqrt(sums.first_squares);
	norms[1] = sqrt(sums.second_squares);
	cosine = sums.products;
	for (int i = 0; i < 2; i++)
	{
		if (norms[i] > NEARLY_ZERO)
			cosine /= norms[i];
	}
	if (!(fabs(cosine) <= NEARLY_PARALLEL))
		return;
	angle = acos(cosine);
	step->weight_ours = sin(step->weight_ours * angle) / sin(angle);
	step->weight_theirs = sin(step->weight_theirs * angle) / sin(angle);
}

/* ---------- trimming ---------- */

/* What goes of a task vector: magnitudes below the threshold, and the first so
 * many that equal it. */
typedef struct Trim
{
	bool		all_stay;
	uint64		threshold;
	int64		ties;
} Trim;

/* Floats of 32 bits have the magnitudes of their task vectors ranked as such:
 * half the memory. */
static int
key_width(DType dtype)
{
	return dtype_bits(dtype) > 32 ? 8 : 4;
}

static void
make_keys(DType dtype, const double *task_vector, int64 n, void *keys)
{
	float		narrow[BLOCK];

	if (key_width(dtype) == 8)
	{
		kernel_magnitude_keys_f64(task_vector, n, keys);
		return;
	}
	for (int64 i = 0; i < n; i++)
		narrow[i] = (float) task_vector[i];
	kernel_magnitude_keys_f32(narrow, n, keys);
}

/* So many elements stay: one at least, lest short tensors lose everything. */
static int64
elements_that_stay(int64 count, double density)
{
	int64		stay = (int64) (density * (double) count);

	return Min(Max(stay, 1), count);
}

static void
find_trim(Payload *const *payloads, int side, double density, Trim *trim)
{
	int64		count = payloads[0]->count;
	int64		go = count - elements_that_stay(count, density);
	int			width = key_width(payloads[0]->dtype);
	Payload    *pair[2] = {payloads[side], payloads[BASE]};
	Inputs	   *inputs;
	double		task_vector[BLOCK];
	char	   *keys;
	int64		done = 0;
	int64		below;
	int64		n;

	trim->all_stay = go == 0;
	if (trim->all_stay)
		return;
	keys = model_alloc_bytes(CurrentMemoryContext, (uint64) count * width);
	inputs = inputs_open(pair, 2);
	while ((n = inputs_next(inputs)) > 0)
	{
		kernel_task_vector(task_vector, inputs->values[0], inputs->values[1], n);
		make_keys(pair[0]->dtype, task_vector, n, keys + done * width);
		done += n;
	}
	trim->threshold = select_key(keys, count, width, go - 1, &below);
	trim->ties = go - below;
	pfree(keys);
}

static void
keep_untrimmed(Trim *trim, DType dtype, const double *task_vector, int64 n,
			   uint8 *keep)
{
	uint64		keys[BLOCK];

	if (trim->all_stay)
	{
		memset(keep, 1, n);
		return;
	}
	make_keys(dtype, task_vector, n, keys);
	kernel_keep_above(keys, n, key_width(dtype), trim->threshold, &trim->ties,
					  keep);
}

/* ---------- results ---------- */

static void
merge_task_vectors(const Inputs *inputs, const MergeStep *step,
				   Trim trims[2], int64 n, double *merged)
{
	const double *base = inputs->values[BASE];
	double		ours[BLOCK];
	double		theirs[BLOCK];
	uint8		keep_ours[BLOCK];
	uint8		keep_theirs[BLOCK];

	kernel_task_vector(ours, inputs->values[OURS], base, n);
	kernel_task_vector(theirs, inputs->values[THEIRS], base, n);
	if (step->method == MERGE_TASK_ARITHMETIC)
	{
		kernel_merge_task(merged, base, ours, theirs, step->weight_ours,
						  step->weight_theirs, step->lambda, n);
		return;
	}
	keep_untrimmed(&trims[OURS], inputs->dtype, ours, n, keep_ours);
	keep_untrimmed(&trims[THEIRS], inputs->dtype, theirs, n, keep_theirs);
	kernel_merge_ties(merged, base, ours, theirs, keep_ours, keep_theirs,
					  step->weight_ours, step->weight_theirs, step->lambda, n);
}

/* Rounds what was merged to the dtype. */
static void
append_rounded(PayloadBuilder *builder, DType dtype, const double *merged,
			   int64 n)
{
	float		narrow[BLOCK];
	float		elements[BLOCK];

	if (dtype == DTYPE_F64)
	{
		payload_builder_append(builder, merged, n);
		return;
	}
	for (int64 i = 0; i < n; i++)
		narrow[i] = (float) merged[i];
	dtype_from_float(dtype, narrow, n, elements);
	payload_builder_append(builder, elements, n);
}

int
merge_payloads(Model *out, Payload *base, Payload *ours, Payload *theirs,
			   const MergeStep *step)
{
	Payload    *payloads[NINPUTS] = {ours, theirs, base};
	bool		with_base = step->method >= MERGE_TASK_ARITHMETIC;
	MergeStep	final = *step;
	Trim		trims[2];
	PayloadBuilder *builder;
	Inputs	   *inputs;
	double		merged[BLOCK];
	int64		n;

	if (step->method == MERGE_SLERP)
		find_slerp_weights(payloads, &final);
	if (step->method == MERGE_TIES)
	{
		find_trim(payloads, OURS, step->density, &trims[OURS]);
		find_trim(payloads, THEIRS, step->density, &trims[THEIRS]);
	}
	builder = payload_builder_create(out, ours->dtype, ours->count, -1);
	inputs = inputs_open(payloads, with_base ? 3 : 2);
	while ((n = inputs_next(inputs)) > 0)
	{
		if (with_base)
			merge_task_vectors(inputs, &final, trims, n, merged);
		else
			kernel_merge_linear(merged, inputs->values[OURS],
								inputs->values[THEIRS], final.weight_ours,
								final.weight_theirs, n);
		append_rounded(builder, ours->dtype, merged, n);
	}
	return payload_builder_finish(builder);
}
