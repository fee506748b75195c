/*
 * diff_sql.c
 *		The difference of two models as rows.
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "model/model_sql.h"
#include "repo/diff.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_diff);

/* In the order of the columns. */
enum
{
	TENSOR,
	STATUS,
	RENAMED_FROM,
	DTYPE_A,
	DTYPE_B,
	SHAPE_A,
	SHAPE_B,
	ELEMENTS,
	CHANGED,
	CHANGED_PCT,
	NOT_FINITE,
	MAX_ABS,
	L2,
	REL_L2,
	COSINE,
	SPARSITY_A,
	SPARSITY_B,
	BYTES_A,
	BYTES_B,
	NCOLUMNS
};

static const char *const change_names[] = {
	[TENSOR_UNCHANGED] = "unchanged",
	[TENSOR_ADDED] = "added",
	[TENSOR_REMOVED] = "removed",
	[TENSOR_MODIFIED] = "modified",
	[TENSOR_RENAMED] = "renamed",
	[TENSOR_RETYPED] = "retyped",
	[TENSOR_RESHAPED] = "reshaped",
};

typedef struct DiffRow
{
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];
} DiffRow;

static void
set_column(DiffRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

/* Leaves the column null for what is no number. */
static void
set_real(DiffRow *row, int column, double value)
{
	if (!isnan(value))
		set_column(row, column, Float8GetDatum(value));
}

/* Columns about one of the two tensors; zeros only where they are known. */
static void
set_side(DiffRow *row, const Tensor *tensor, const Payload *payload,
		 bool is_after)
{
	set_column(row, is_after ? DTYPE_B : DTYPE_A,
			   CStringGetTextDatum(dtype_name(payload->dtype)));
	set_column(row, is_after ? SHAPE_B : SHAPE_A,
			   PointerGetDatum(tensor_shape_array(tensor)));
	set_column(row, is_after ? BYTES_B : BYTES_A,
			   Int64GetDatum((int64) payload->stored));
	if (payload->zeros >= 0 && payload->count > 0)
		set_column(row, is_after ? SPARSITY_B : SPARSITY_A,
				   Float8GetDatum((double) payload->zeros / payload->count));
}

/* A ratio has no value where it would divide by zero; equal tensors are the
 * same whatever their norm. */
static void
set_distances(DiffRow *row, const ElementDiff *diff, int64 count)
{
	double		norms = diff->norm_before * diff->norm_after;
	bool		equal = !diff->is_read;

	if (!diff->has_pairs)
		return;
	set_column(row, CHANGED, Int64GetDatum(diff->changed));
	if (count > 0)
		set_real(row, CHANGED_PCT, 100.0 * diff->changed / count);
	if (diff->is_read)
		set_column(row, NOT_FINITE, Int64GetDatum(diff->not_finite));
	set_real(row, MAX_ABS, diff->max_abs);
	set_real(row, L2, diff->l2);
	set_real(row, REL_L2, diff->l2 == 0 ? 0 :
			 diff->norm_before == 0 ? NAN : diff->l2 / diff->norm_before);
	set_real(row, COSINE, equal ? 1 : norms == 0 ? NAN :
			 Max(-1, Min(1, diff->product / norms)));
}

/* A tensor that is only on one side is read when nobody knows its zeros. */
static void
measure(DiffRow *row, TensorDiff *diff, Payload *before, Payload *after)
{
	ElementDiff elements;

	if (before == NULL || after == NULL)
	{
		payload_zeros(before == NULL ? after : before);
		return;
	}
	diff_elements(before, after, &elements);
	if (diff->change == TENSOR_MODIFIED && elements.changed == 0)
		diff->change = TENSOR_UNCHANGED;
	set_distances(row, &elements, after->count);
}

static void
put_diff(ReturnSetInfo *result, Model *a, Model *b, TensorDiff *diff,
		 bool unchanged)
{
	Payload    *before = diff->before ? tensor_payload(a, diff->before) : NULL;
	Payload    *after = diff->after ? tensor_payload(b, diff->after) : NULL;
	const Tensor *named = diff->after ? diff->after : diff->before;
	DiffRow		row;

	memset(row.nulls, true, sizeof(row.nulls));
	measure(&row, diff, before, after);
	if (diff->change == TENSOR_UNCHANGED && !unchanged)
		return;
	set_column(&row, TENSOR, PointerGetDatum(utf8_to_text(named->name)));
	set_column(&row, STATUS, CStringGetTextDatum(change_names[diff->change]));
	set_column(&row, ELEMENTS,
			   Int64GetDatum((after ? after : before)->count));
	if (diff->change == TENSOR_RENAMED)
		set_column(&row, RENAMED_FROM,
				   PointerGetDatum(utf8_to_text(diff->before->name)));
	if (before != NULL)
		set_side(&row, diff->before, before, false);
	if (after != NULL)
		set_side(&row, diff->after, after, true);
	tuplestore_putvalues(result->setResult, result->setDesc, row.values,
						 row.nulls);
}

Datum
modelopt_diff(PG_FUNCTION_ARGS)
{
	Model	   *a = PG_GETARG_MODEL(0);
	Model	   *b = PG_GETARG_MODEL(1);
	bool		unchanged = PG_GETARG_BOOL(2);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_context;
	MemoryContext old_context;
	TensorDiff *diffs;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	diffs = diff_models(a, b, &n);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "diff row",
										ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(row_context);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (diffs[i].change == TENSOR_UNCHANGED && !unchanged)
			continue;
		put_diff(result, a, b, &diffs[i], unchanged);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
	return (Datum) 0;
}
