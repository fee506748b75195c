/*
 * prune_wanda.c
 *		Pruning by weights and activations: what contributes least to an output
 *		goes.
 *
 * The score of a weight is its magnitude times the norm of the input that it
 * multiplies, over the samples that somebody ran through the model; it is
 * compared within the row of an output only (Sun et al., "A Simple and Effective
 * Pruning Approach for Large Language Models", 2023).  Scores are floats, and
 * of equal ones the first goes, as in the paper's own code.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "model/uses.h"
#include "transform/prune.h"
#include "utils/fmgrprotos.h"

/* Rows of inputs, one for each output. */
typedef struct Rows
{
	int64		n;
	int64		length;			/* inputs of a row */
	int64		row_step;		/* elements from one row to the next */
	int64		step;			/* and from one input to the next */
	float	   *norms;			/* of the inputs */
} Rows;

/* ---------- norms ---------- */

pg_noreturn static void
report_norms(const PruneTarget *target, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("activation norms of tensor \"%s\" are wrong",
					utf8_to_server(target->name)),
			 errdetail("%s", detail)));
	pg_unreachable();
}

static float
get_norm(const PruneTarget *target, const JsonbValue *value)
{
	double		norm;

	if (value->type != jbvNumeric)
		report_norms(target, "They must be an array of numbers.");
	norm = DatumGetFloat8(DirectFunctionCall1(numeric_float8,
											  NumericGetDatum(value->val.numeric)));
	if (!(norm >= 0) || !isfinite((float) norm))
		report_norms(target, "One of them is negative, infinite or not a number.");
	return (float) norm;
}

/* The array for the target; *n says how many there are. */
static float *
find_norms(const PruneTarget *target, const PruneRequest *request, int *n)
{
	const char *name = utf8_to_server(target->name);
	JsonbValue *array = getKeyJsonValueFromContainer(&request->norms->root,
													 name, strlen(name), NULL);
	JsonbIterator *walk;
	JsonbIteratorToken token;
	JsonbValue	item;
	float	   *norms;

	if (array == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there are no activation norms for tensor \"%s\"", name),
				 errhint("Tensors without norms can be left out with exclude.")));
	if (array->type != jbvBinary ||
		!JsonContainerIsArray(array->val.binary.data))
		report_norms(target, "They must be an array of numbers.");
	norms = palloc(Max(JsonContainerSize(array->val.binary.data), 1) *
				   sizeof(float));
	*n = 0;
	walk = JsonbIteratorInit(array->val.binary.data);
	while ((token = JsonbIteratorNext(&walk, &item, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			norms[(*n)++] = get_norm(target, &item);
	}
	return norms;
}

/* A norm for each input of a row, repeated where several weights share one. */
static void
set_norms(Rows *rows, const PruneTarget *target, const PruneRequest *request,
		  int64 inputs)
{
	int			n;
	float	   *norms = find_norms(target, request, &n);

	if (n != inputs && n != rows->length)
		report_norms(target,
					 psprintf("There are %d of them, and the tensor has " INT64_FORMAT " inputs.",
							  n, inputs));
	rows->norms = palloc_extended(Max(rows->length, 1) * sizeof(float),
								  MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < rows->length; i++)
		rows->norms[i] = norms[i / (rows->length / n)];
	pfree(norms);
}

/* ---------- rows ---------- */

void
prune_wanda_find_inputs(const Model *source, PruneTarget **targets, int ntargets)
{
	const TensorUse *uses = uses_provider.tensor_uses(source);

	for (int i = 0; i < ntargets; i++)
	{
		const TensorUse *use = uses != NULL ? &uses[targets[i]->tensor] : NULL;

		targets[i]->inputs = use != NULL && use->known && use->inputs >= 0 ? use->inputs : 1;
	}
}

/* Where the outputs are the first dimension, a row is all that is behind it. */
static void
find_rows(Rows *rows, const PruneTarget *target, const PruneRequest *request)
{
	int			dim = prune_dimension(target, request, target->inputs);

	if (dim > 1 || (dim == 0 && target->ndim > 2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"wanda\" cannot prune tensor \"%s\" along dimension %d",
						utf8_to_server(target->name), dim),
				 errhint("The inputs are the second dimension, or the first one of two.")));
	if (dim == 1)
	{
		rows->n = target->dims[0];
		rows->length = target->payload->count / Max(rows->n, 1);
		rows->row_step = rows->length;
		rows->step = 1;
	}
	else
	{
		rows->n = target->dims[1];
		rows->length = target->dims[0];
		rows->row_step = 1;
		rows->step = rows->n;
	}
	set_norms(rows, target, request, target->dims[dim]);
}

/* Keys of the scores of a row. */
static void
score_row(const Rows *rows, DType dtype, const char *elements, int64 row,
		  float *scores)
{
	int64		start = row * rows->row_step;

	if (rows->step == 1)
		dtype_to_float(dtype, elements, start, rows->length, scores);
	else
		for (int64 i = 0; i < rows->length; i++)
			dtype_to_float(dtype, elements, start + i * rows->step, 1,
						   scores + i);
	for (int64 i = 0; i < rows->length; i++)
		scores[i] = fabsf(scores[i]) * rows->norms[i];
	kernel_magnitude_keys_f32(scores, rows->length, (uint32 *) scores);
}

/* How many of a row go; the paper's code rounds down. */
static int64
count_of_row(const Rows *rows, const PruneTarget *target,
			 const PruneRequest *request)
{
	const PruneAmount *amount = &request->amount;

	if (!amount->is_count)
		return (int64) floor(amount->fraction * (double) rows->length);
	return prune_amount_of(amount, rows->length, 0, "inputs of an output",
						   target->name);
}

static void
choose_in_row(const Rows *rows, const PruneRequest *request, int64 k,
			  const void *keys, uint8 *keep)
{
	if (request->m == 0)
	{
		prune_rank_units(keys, rows->length, sizeof(uint32), k, keep);
		return;
	}
	memset(keep, 1, rows->length);
	for (int64 done = 0; done + request->m <= rows->length;
		 done += KERNEL_PATTERN_GROUPS * request->m)
	{
		int64		groups = Min((rows->length - done) / request->m,
								 KERNEL_PATTERN_GROUPS);

		kernel_keep_largest((const uint32 *) keys + done, sizeof(uint32),
							groups, request->m, 1, request->n, request->m,
							keep + done);
	}
}

void
prune_wanda(PruneTarget *target, const PruneRequest *request, Model *out)
{
	Payload    *payload = target->payload;
	int64		count = payload->count;
	Rows		rows;
	char	   *decoded;
	const char *elements;
	float	   *scores;
	uint8	   *row_keep;
	uint8	   *keep;
	int64		k;

	find_rows(&rows, target, request);
	k = request->m == 0 ? count_of_row(&rows, target, request) : 0;
	elements = payload_dense(payload, &decoded);
	scores = palloc_extended(Max(rows.length, 1) * sizeof(float),
							 MCXT_ALLOC_HUGE);
	row_keep = palloc_extended(Max(rows.length, 1), MCXT_ALLOC_HUGE);
	keep = palloc_extended(Max(count, 1), MCXT_ALLOC_HUGE);
	for (int64 row = 0; row < rows.n && count > 0; row++)
	{
		CHECK_FOR_INTERRUPTS();
		score_row(&rows, payload->dtype, elements, row, scores);
		choose_in_row(&rows, request, k, scores, row_keep);
		if (rows.step == 1)
			memcpy(keep + row * rows.row_step, row_keep, rows.length);
		else
			for (int64 i = 0; i < rows.length; i++)
				keep[row * rows.row_step + i * rows.step] = row_keep[i];
	}
	prune_write_kept(target, elements, keep, out);
	if (decoded != NULL)
		pfree(decoded);
	pfree(scores);
	pfree(row_keep);
	pfree(keep);
	pfree(rows.norms);
}
