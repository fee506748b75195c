/*
 * predict_sql.c
 *		predict() of rows in arrays.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/invocation.h"
#include "serve/predictions.h"

PG_FUNCTION_INFO_V1(modelopt_predict);

/* How an array is rows. */
typedef struct ArrayRows
{
	int			nrows;
	bool		is_single;		/* the array is one row, not an array of one */
	RowPart		row;
} ArrayRows;

/*
 * One dimension is a row; two are rows, unless the model's rows have two
 * themselves; with more, a row has the dimensions of the model's, and rows of
 * them one more.
 */
static void
array_rows(const Session *session, ArrayType *array, ArrayRows *rows)
{
	const Port *port = session->ninputs == 1 ? &session->inputs[0] : NULL;
	int			ndim = ARR_NDIM(array);
	int		   *dims = ARR_DIMS(array);
	int			count = ArrayGetNItems(ndim, dims);

	*rows = (ArrayRows) {1, true, {count, ndim, dims}};
	if (ndim <= 1 ||
		(port != NULL && ndim == port->ndim - 1 && rows_match_dims(port, dims)))
		return;
	if (ndim == 2 || (port != NULL && ndim == port->ndim && rows_match_dims(port, dims + 1)))
		*rows = (ArrayRows) {dims[0], false, {count / dims[0], ndim - 1, dims + 1}};
	else
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array of features has not the dimensions of the model's input"),
				 errdetail("It has %s, and the model takes %s.", describe_array_dims(ndim, dims),
						   describe_ports(session->inputs, session->ninputs)),
				 errhint("A row has the dimensions of the input without the first, and rows have all.")));
}

/* The rows of an array that have no null. */
static int *
rows_without_nulls(const ArraySource *source, const ArrayRows *rows, int *n)
{
	int		   *good = palloc(Max(rows->nrows, 1) * sizeof(int));

	*n = 0;
	for (int row = 0; row < rows->nrows; row++)
	{
		int64		first = row * rows->row.width;
		bool		has_null = false;

		for (int64 i = 0; source->nulls != NULL && i < rows->row.width && !has_null; i++)
			has_null = source->nulls[first + i];
		if (has_null)
		{
			invocation_count(MONITOR_NULL_INPUTS, 1);
			invocation_observe_nulls(1, source, first, rows->row.width);
		}
		else
			good[(*n)++] = row;
	}
	return good;
}

/* Predictions of some rows, one after another; *shape is of one. */
static float *
predict_some(Session *session, const ArraySource *source, const ArrayRows *rows,
			 const int *wanted, int n, int output_number, PredictionShape *shape)
{
	RowBatch   *batch = rows_prepare(session, &rows->row, 1, NULL);
	float	   *values = NULL;

	for (int done = 0; done < n;)
	{
		int			nrows = rows_limit(batch, n - done);
		RowOutput	output;

		rows_begin(batch, session, nrows);
		for (int i = 0; i < nrows; i++)
		{
			const char *values_of_row = source->values +
				wanted[done + i] * rows->row.width * source_width(source->kind);
			char	   *complaint = rows_put(batch, i, 0, source->kind,
											 values_of_row, rows->row.width);

			if (complaint != NULL)
				rows_refuse(complaint);
		}
		rows_run(batch);
		rows_output(batch, output_number, &output);
		if (done == 0)
		{
			prediction_shape(&output, shape);
			if (output.width > (int64) (MaxAllocSize / sizeof(float)) / n)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("predictions are too large for an array"),
						 errhint("Predict fewer rows at once.")));
			values = palloc(Max(n * output.width, 1) * sizeof(float));
		}
		else
			prediction_check(&output, shape);
		elements_to_floats(output.tensor->shape.type, output.tensor->data, 0,
						   nrows * output.width, values + done * output.width,
						   utf8_to_server(output.port->name));
		done += nrows;
	}
	return values;
}

/* predict(model or name, features, output) */
static Datum
predict(FunctionCallInfo fcinfo)
{
	Target	   *target;
	ArrayType  *array;
	ArraySource source;
	ArrayRows	rows;
	Session    *session;
	int		   *good;
	int			ngood;
	int			output;
	PredictionShape shape;
	float	   *values;
	ArrayType  *predictions;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	target = call_target(fcinfo, 0);
	if (PG_ARGISNULL(1))
	{
		invocation_count(MONITOR_NULL_INPUTS, 1);
		invocation_observe_missing();
		PG_RETURN_NULL();
	}
	session = target_session(target);
	array = call_features(fcinfo, 1, session);
	output = rows_find_output(session, PG_ARGISNULL(2) ? NULL : text_to_utf8(PG_GETARG_TEXT_PP(2)));
	array_rows(session, array, &rows);
	source_of_array(&source, array);
	good = rows_without_nulls(&source, &rows, &ngood);
	if (ngood == 0)
		PG_RETURN_NULL();
	values = predict_some(session, &source, &rows, good, ngood, output, &shape);
	if (ngood < rows.nrows && !rows.is_single)
		PG_RETURN_ARRAYTYPE_P(prediction_arrays_with_nulls(&shape, rows.nrows, values, good, ngood));
	predictions = rows.is_single ? prediction_array(&shape) : prediction_arrays(&shape, rows.nrows);
	memcpy(ARR_DATA_PTR(predictions), values, ngood * shape.width * sizeof(float));
	PG_RETURN_ARRAYTYPE_P(predictions);
}

Datum
modelopt_predict(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, predict);
}
