/*
 * calibrate_sql.c
 *		calibrate(): what values inside of a model are like, on rows of a query.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "serve/activations.h"
#include "serve/query_rows.h"

PG_FUNCTION_INFO_V1(modelopt_calibrate);

static void
take_run(QueryRows *query, int first, int n, void *argument)
{
	activations_look(argument, query->batch);
}

/* calibrate(model, query, batch_size) */
Datum
modelopt_calibrate(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	char	   *text_of_query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Activations *activations;
	Model	   *shown;
	Target		target;
	QueryRows  *query;
	TupleDesc	columns;
	Datum		values[3];
	bool		nulls[3] = {false};
	int64		rows = 0;
	int64		with_nulls = 0;
	int			work;

	if (PG_GETARG_INT32(2) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be at least 1")));
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	activations = activations_of(model, &shown);
	target_of_value(&target, ModelGetDatum(shown));

	SPI_connect();
	query = query_rows_open(&target, text_of_query, 0, 0, PG_GETARG_INT32(2), false);
	work = progress_begin("calibrate", "rows", 0);
	while (query_rows_next(query, take_run, activations))
	{
		rows += query->now.ngood;
		with_nulls += query->now.nrows - query->now.ngood;
		progress_add(query->now.nrows);
	}
	progress_end(work);
	query_rows_close(query);
	SPI_finish();
	if (rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query gives no rows to calibrate with"),
				 with_nulls > 0 ? errdetail("Each of its " INT64_FORMAT " rows has a null.", with_nulls) : 0));

	values[0] = JsonbPGetDatum(activations_ranges(activations));
	values[1] = JsonbPGetDatum(activations_norms(activations));
	values[2] = Int64GetDatum(rows);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}
