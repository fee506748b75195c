/*
 * predict_batch_sql.c
 *		predict_batch(): rows of a window through a model together.
 *
 * An aggregate over a frame that starts at the current row and reaches over
 * some that follow, whose result is the prediction for the current row.  The
 * first row of a frame without one takes all rows of the frame along, so that
 * each row goes through the model once, with as many others as the frame has.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"
#include "serve/call.h"
#include "serve/invocation.h"
#include "serve/predictions.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_batch_add);
PG_FUNCTION_INFO_V1(modelopt_batch_remove);
PG_FUNCTION_INFO_V1(modelopt_batch_first);
PG_FUNCTION_INFO_V1(modelopt_batch_frame);

/* A row of the frame. */
typedef struct BatchRow
{
	ArrayType  *features;		/* or NULL */
	bool		has_null;		/* there are none, or there is one in them */
	bool		is_done;		/* there is a prediction, or never will be */
	ArrayType  *prediction;		/* or NULL */
} BatchRow;

typedef struct BatchState
{
	MemoryContext context;
	Target		target;
	bool		has_target;
	BatchRow   *rows;			/* a ring */
	int			allocated;
	int			head;
	int			nrows;
} BatchState;

static BatchRow *
row_at(const BatchState *state, int i)
{
	return &state->rows[(state->head + i) % state->allocated];
}

/* ---------- the frame ---------- */

static MemoryContext
window_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	int			frame;

	if (AggCheckCallContext(fcinfo, &context) != AGG_CONTEXT_WINDOW)
		ereport(ERROR,
				(errcode(ERRCODE_WINDOWING_ERROR),
				 errmsg("predict_batch needs a window"),
				 errhint("Write predict_batch(...) OVER (ROWS BETWEEN CURRENT ROW AND 255 FOLLOWING).")));
	frame = ((WindowAggState *) fcinfo->context)->frameOptions;
	if (!(frame & FRAMEOPTION_ROWS) || !(frame & FRAMEOPTION_START_CURRENT_ROW) ||
		(frame & FRAMEOPTION_EXCLUSION))
		ereport(ERROR,
				(errcode(ERRCODE_WINDOWING_ERROR),
				 errmsg("the frame of predict_batch must start at the current row"),
				 errhint("Write predict_batch(...) OVER (ROWS BETWEEN CURRENT ROW AND 255 FOLLOWING).")));
	return context;
}

/* A row that does not get into the frame would have the prediction of the next
 * one that does. */
static void
refuse_filter(FunctionCallInfo fcinfo)
{
	ListCell   *cell;

	foreach(cell, ((WindowAggState *) fcinfo->context)->funcs)
	{
		WindowFunc *call = ((WindowFuncExprState *) lfirst(cell))->wfunc;

		if (call->aggfilter != NULL && strcmp(get_func_name(call->winfnoid), "predict_batch") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("predict_batch cannot have a FILTER"),
					 errhint("Rows whose features are null have null predictions.")));
	}
}

static BatchState *
get_state(FunctionCallInfo fcinfo)
{
	MemoryContext context = window_context(fcinfo);
	BatchState *state;

	if (!PG_ARGISNULL(0))
		return (BatchState *) PG_GETARG_POINTER(0);
	refuse_filter(fcinfo);
	state = MemoryContextAllocZero(context, sizeof(BatchState));
	state->context = context;
	return state;
}

static void
make_room(BatchState *state)
{
	BatchRow   *rows;

	if (state->nrows < state->allocated)
		return;
	rows = MemoryContextAllocHuge(state->context,
								  Max((Size) 2 * state->allocated, 64) * sizeof(BatchRow));
	for (int i = 0; i < state->nrows; i++)
		rows[i] = *row_at(state, i);
	if (state->rows != NULL)
		pfree(state->rows);
	state->rows = rows;
	state->head = 0;
	state->allocated = Max(2 * state->allocated, 64);
}

/* A value that lives as long as the window. */
static void *
keep(const BatchState *state, Datum value)
{
	MemoryContext previous = MemoryContextSwitchTo(state->context);
	Datum		copy = datumCopy(value, false, -1);

	MemoryContextSwitchTo(previous);
	return DatumGetPointer(copy);
}

/* The model is the same for all rows of a partition; it must outlive the
 * rows that it comes with. */
static void
set_target(BatchState *state, const Target *target)
{
	if (state->has_target)
	{
		if (memcmp(&state->target.key, &target->key, sizeof(SessionKey)) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the model of predict_batch must be the same for all rows"),
					 errhint("PARTITION BY the model.")));
		return;
	}
	state->target = *target;
	if (!target->is_version)
		state->target.value = PointerGetDatum(keep(state, target->value));
	state->has_target = true;
}

/* predict_batch's step: (state, model or name, features) */
Datum
modelopt_batch_add(PG_FUNCTION_ARGS)
{
	BatchState *state = get_state(fcinfo);
	BatchRow   *row;

	if (!PG_ARGISNULL(1))
		set_target(state, call_target(fcinfo, 1));
	make_room(state);
	row = row_at(state, state->nrows++);
	row->prediction = NULL;
	row->is_done = PG_ARGISNULL(1);
	row->features = PG_ARGISNULL(2) || row->is_done ? NULL :
		keep(state, PointerGetDatum(PG_GETARG_ARRAYTYPE_P(2)));
	row->has_null = row->features == NULL || array_contains_nulls(row->features);
	PG_RETURN_POINTER(state);
}

static void
free_row(BatchRow *row)
{
	if (row->features != NULL)
		pfree(row->features);
	if (row->prediction != NULL)
		pfree(row->prediction);
}

/* The first row leaves the frame. */
Datum
modelopt_batch_remove(PG_FUNCTION_ARGS)
{
	BatchState *state = get_state(fcinfo);

	if (state->nrows == 0)
		elog(ERROR, "predict_batch has no row to remove");
	free_row(row_at(state, 0));
	state->head = (state->head + 1) % state->allocated;
	state->nrows--;
	PG_RETURN_POINTER(state);
}

/* ---------- predictions ---------- */

static ArrayType *
keep_prediction(const BatchState *state, const RowOutput *output, int row)
{
	MemoryContext previous = MemoryContextSwitchTo(state->context);
	PredictionShape shape;
	ArrayType  *array;

	prediction_shape(output, &shape);
	array = prediction_array(&shape);
	MemoryContextSwitchTo(previous);
	elements_to_floats(output->tensor->shape.type, output->tensor->data, row * output->width,
					   output->width, (float *) ARR_DATA_PTR(array),
					   utf8_to_server(output->port->name));
	return array;
}

static void
put_features(RowBatch *batch, int row, ArrayType *features)
{
	ArraySource source;
	RowPart		part = rows_array_part(features);
	char	   *problem;

	source_of_array(&source, features);
	problem = rows_misfit(batch, &part, 1);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", problem)));
	problem = rows_put(batch, row, 0, source.kind, source.values, source.count);
	if (problem != NULL)
		rows_refuse(problem);
}

static void
predict_some(BatchState *state, BatchRow **rows, int n)
{
	Session    *session = target_session(&state->target);
	RowPart		part = rows_array_part(rows[0]->features);
	RowBatch   *batch = rows_prepare(session, &part, 1, NULL);
	int			number = rows_find_output(session, NULL);

	for (int done = 0; done < n;)
	{
		int			nrows = rows_limit(batch, n - done);
		RowOutput	output;

		rows_begin(batch, session, nrows);
		for (int i = 0; i < nrows; i++)
			put_features(batch, i, rows[done + i]->features);
		rows_run(batch);
		rows_output(batch, number, &output);
		for (int i = 0; i < nrows; i++)
		{
			rows[done + i]->prediction = keep_prediction(state, &output, i);
			rows[done + i]->is_done = true;
		}
		done += nrows;
	}
}

/* A row that does not go into the model. */
static void
observe_nulls(BatchRow *row)
{
	ArraySource source;

	row->is_done = true;
	invocation_count(MONITOR_NULL_INPUTS, 1);
	if (row->features == NULL)
		invocation_observe_missing();
	else
	{
		source_of_array(&source, row->features);
		invocation_observe_nulls(1, &source, 0, source.count);
	}
}

/* Predicts for the first n rows, those that are not done. */
static void
predict_rows(BatchState *state, int n)
{
	BatchRow  **rows = palloc_extended(Max(n, 1) * sizeof(BatchRow *), MCXT_ALLOC_HUGE);
	int			nrows = 0;

	invocation_of(&state->target);
	for (int i = 0; i < n; i++)
	{
		BatchRow   *row = row_at(state, i);

		if (!row->is_done && row->has_null)
			observe_nulls(row);
		else if (!row->is_done)
			rows[nrows++] = row;
	}
	if (nrows > 0)
		predict_some(state, rows, nrows);
}

/* What runs the model is an invocation, and not every row of the window. */
static Datum
predict_first(FunctionCallInfo fcinfo)
{
	predict_rows((BatchState *) PG_GETARG_POINTER(0), 1);
	return (Datum) 0;
}

static Datum
predict_frame(FunctionCallInfo fcinfo)
{
	BatchState *state = (BatchState *) PG_GETARG_POINTER(0);

	predict_rows(state, state->nrows);
	return (Datum) 0;
}

static Datum
first_prediction(FunctionCallInfo fcinfo, Datum (*work) (FunctionCallInfo fcinfo))
{
	BatchState *state;
	BatchRow   *row;

	(void) window_context(fcinfo);
	state = PG_ARGISNULL(0) ? NULL : (BatchState *) PG_GETARG_POINTER(0);
	if (state == NULL || state->nrows == 0)
		PG_RETURN_NULL();
	row = row_at(state, 0);
	if (!row->is_done)
		(void) invocation_run(fcinfo, work);
	if (row->prediction == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(datumCopy(PointerGetDatum(row->prediction), false, -1));
}

/* Where rows do not move through the frame (an argument is volatile), what is
 * predicted for others would be lost. */
Datum
modelopt_batch_first(PG_FUNCTION_ARGS)
{
	return first_prediction(fcinfo, predict_first);
}

Datum
modelopt_batch_frame(PG_FUNCTION_ARGS)
{
	return first_prediction(fcinfo, predict_frame);
}
