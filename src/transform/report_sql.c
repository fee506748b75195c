/*
 * report_sql.c
 *		What a transformation cost and gained: report.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/difference.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_report);

#define COLUMNS 13

/* One side of a row. */
typedef struct Side
{
	bool		present;
	int64		parameters;
	int64		zeros;
	uint64		bytes;
} Side;

typedef struct Row
{
	const char *name;			/* NULL for the totals */
	const char *encoding;		/* NULL likewise, or when the tensor is gone */
	Side		before;
	Side		after;
	bool		compared;		/* the same shape on both sides */
	bool		incomplete;		/* totals: not so of all tensors */
	Difference	difference;
} Row;

/* ---------- a row ---------- */

static void
put_number(Datum *values, bool *nulls, int column, double value, bool known)
{
	values[column] = Float8GetDatum(value);
	nulls[column] = !known;
}

static void
put_side(Datum *values, bool *nulls, int first, const Side *side)
{
	values[first] = Int64GetDatum(side->parameters);
	nulls[first] = !side->present;
}

/* What is gone, as a fraction of what there was. */
static void
put_rate(Datum *values, bool *nulls, int column, double before, double after)
{
	put_number(values, nulls, column,
			   after < before ? (before - after) / before : 0, before > 0);
}

static void
put_row(ReturnSetInfo *result, const Row *row)
{
	const Side *before = &row->before;
	const Side *after = &row->after;
	const Difference *difference = &row->difference;
	double		relative = sqrt(difference->errors / difference->squares);
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	nulls[0] = row->name == NULL;
	if (row->name != NULL)
		values[0] = PointerGetDatum(utf8_to_text(row->name));
	nulls[1] = row->encoding == NULL;
	if (row->encoding != NULL)
		values[1] = CStringGetTextDatum(row->encoding);
	put_side(values, nulls, 2, before);
	put_side(values, nulls, 3, after);
	values[4] = Int64GetDatum((int64) before->bytes);
	nulls[4] = !before->present;
	values[5] = Int64GetDatum((int64) after->bytes);
	nulls[5] = !after->present;
	put_number(values, nulls, 6, (double) before->zeros / before->parameters,
			   before->parameters > 0);
	put_number(values, nulls, 7, (double) after->zeros / after->parameters,
			   after->parameters > 0);
	put_number(values, nulls, 8, difference->max, row->compared);
	put_number(values, nulls, 9, relative,
			   row->compared && difference->squares > 0);
	put_number(values, nulls, 10, -20 * log10(relative),
			   row->compared && difference->squares > 0);
	put_rate(values, nulls, 11, before->bytes, after->bytes);
	put_rate(values, nulls, 12, before->parameters - before->zeros,
			 after->parameters - after->zeros);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ---------- tensors ---------- */

static Side
measure_side(Payload *payload)
{
	Side		side = {.present = true};

	side.parameters = payload->count;
	side.zeros = payload_zeros(payload);
	side.bytes = payload->stored;
	return side;
}

static bool
same_shape(const Tensor *a, const Tensor *b)
{
	return a->ndim == b->ndim &&
		memcmp(a->dims, b->dims, a->ndim * sizeof(int64)) == 0;
}

static void
compare_tensors(const Model *original, const Tensor *a, const Model *now,
				const Tensor *b, Row *row)
{
	memset(row, 0, sizeof(*row));
	row->name = a != NULL ? a->name : b->name;
	if (a != NULL)
		row->before = measure_side(tensor_payload(original, a));
	if (b != NULL)
	{
		row->after = measure_side(tensor_payload(now, b));
		row->encoding =
			encoding_info(tensor_payload(now, b)->encoding)->name;
	}
	row->compared = a != NULL && b != NULL && same_shape(a, b) &&
		row->before.parameters > 0;
	if (row->compared)
		measure_difference(tensor_payload(original, a),
						   tensor_payload(now, b), &row->difference);
}

/*
 * Whether a tensor is weights, rather than indices, shapes or a number that the
 * graph computes with: these may be as large as their type has room for, and
 * nothing else would show beside them.
 */
static bool
has_weights(const Model *model, const Tensor *tensor)
{
	return dtype_is_float(tensor_payload(model, tensor)->dtype) && tensor->ndim > 0;
}

static void
add_to_totals(Row *totals, const Row *row, bool has_errors)
{
	totals->before.zeros += row->before.zeros;
	totals->after.zeros += row->after.zeros;
	if (!has_errors)
		return;
	if (!row->compared)
	{
		totals->incomplete |= row->before.parameters > 0 ||
			row->after.parameters > 0;
		return;
	}
	totals->compared = true;
	if (!(row->difference.max <= totals->difference.max))
		totals->difference.max = row->difference.max;
	totals->difference.errors += row->difference.errors;
	totals->difference.squares += row->difference.squares;
}

static void
finish_totals(Row *totals, const Model *original, const Model *now)
{
	totals->before.present = totals->after.present = true;
	totals->before.parameters = model_parameters(original);
	totals->after.parameters = model_parameters(now);
	totals->before.bytes = model_flat_size(original);
	totals->after.bytes = model_flat_size(now);

	/* Errors of some of the tensors would pass for those of the model. */
	if (totals->incomplete)
		totals->compared = false;
}

/* Tensors over payloads that came before are left out. */
static bool
is_first(const Model *model, int tensor, bool *seen)
{
	int			payload = model->tensors[tensor].payload;
	bool		first = !seen[payload];

	seen[payload] = true;
	return first;
}

static void
put_rows(ReturnSetInfo *result, const Model *original, const Model *now,
		 Row *totals)
{
	bool	   *seen = palloc0(Max(original->npayloads, 1));
	bool	   *seen_now = palloc0(Max(now->npayloads, 1));
	const Tensor **sorted = model_sort_tensors(now);
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt report",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	Row			row;

	for (int i = 0; i < original->ntensors; i++)
	{
		const Tensor *a = &original->tensors[i];
		const Tensor *b = model_find_sorted(sorted, now->ntensors, a->name);

		if (b != NULL)
			seen_now[b->payload] = true;
		if (!is_first(original, i, seen))
			continue;
		CHECK_FOR_INTERRUPTS();
		compare_tensors(original, a, now, b, &row);
		put_row(result, &row);
		add_to_totals(totals, &row, has_weights(original, a));
		MemoryContextReset(work);
	}
	for (int i = 0; i < now->ntensors; i++)
	{
		if (!is_first(now, i, seen_now))
			continue;
		CHECK_FOR_INTERRUPTS();
		compare_tensors(original, NULL, now, &now->tensors[i], &row);
		put_row(result, &row);
		add_to_totals(totals, &row, has_weights(now, &now->tensors[i]));
		MemoryContextReset(work);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

Datum
modelopt_report(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Model	   *original = PG_GETARG_MODEL(0);
	Model	   *now = PG_GETARG_MODEL(1);
	Row			totals = {0};

	InitMaterializedSRF(fcinfo, 0);
	put_rows(result, original, now, &totals);
	finish_totals(&totals, original, now);
	put_row(result, &totals);
	return (Datum) 0;
}
