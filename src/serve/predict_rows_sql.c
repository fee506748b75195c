/*
 * predict_rows_sql.c
 *		predict_rows(): a table in, a table out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "parser/parse_coerce.h"
#include "model/progress.h"
#include "serve/call.h"
#include "serve/invocation.h"
#include "serve/query_rows.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(modelopt_predict_rows);
PG_FUNCTION_INFO_V1(modelopt_predict_rows_typed);

typedef struct RowsCall
{
	ReturnSetInfo *result;
	QueryRows  *query;
	int			output;
	Oid			id_type;		/* of the result */
	FmgrInfo	id_in;			/* from text, when the query's is another */
	FmgrInfo	id_out;
	Oid			id_param;
	bool		casts_id;
	bool		widens_id;		/* from integer to bigint, as is common */

	/* predictions of the batch at work, by number of good row */
	float	   *values;
	int64		width;
} RowsCall;

/* Keeps the predictions of a run. */
static void
take_predictions(QueryRows *query, int first, int n, void *argument)
{
	RowsCall   *call = argument;
	RowOutput	output;

	rows_output(query->batch, call->output, &output);
	if (first == 0)
	{
		call->width = output.width;
		if (output.width > (int64) (MaxAllocSize / sizeof(float)))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("predictions are too large for an array")));
		call->values = palloc_extended((Size) query->now.nrows * output.width * sizeof(float) + 1,
									   MCXT_ALLOC_HUGE);
	}
	else if (output.width != call->width)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives rows of different lengths")));
	elements_to_floats(output.tensor->shape.type, output.tensor->data, 0, n * output.width,
					   call->values + first * output.width,
					   utf8_to_server(output.port->name));
}

static Datum
convert_id(RowsCall *call, Datum id)
{
	if (!call->casts_id)
		return id;
	if (call->widens_id)
		return Int64GetDatum(DatumGetInt32(id));
	return InputFunctionCall(&call->id_in, OutputFunctionCall(&call->id_out, id),
							 call->id_param, -1);
}

static void
put_row(RowsCall *call, int row, Datum prediction)
{
	QueryRows  *query = call->query;
	Datum		values[3] = {0};
	bool		nulls[3];

	values[0] = SPI_getbinval(query->now.rows->vals[row], query->now.rows->tupdesc, 1, &nulls[0]);
	if (!nulls[0])
		values[0] = convert_id(call, values[0]);
	values[1] = prediction;
	nulls[1] = prediction == (Datum) 0;
	nulls[2] = query->now.problems[row] == NULL;
	if (!nulls[2])
		values[2] = CStringGetTextDatum(query->now.problems[row]);
	tuplestore_putvalues(call->result->setResult, call->result->setDesc, values, nulls);
}

/* The array that all rows' predictions are written into in turn. */
static ArrayType *
row_array(int64 width)
{
	int			ndim = width > 0 ? 1 : 0;
	Size		size = ARR_OVERHEAD_NONULLS(ndim) + width * sizeof(float);
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = ndim;
	array->elemtype = FLOAT4OID;
	if (ndim > 0)
	{
		ARR_DIMS(array)[0] = width;
		ARR_LBOUND(array)[0] = 1;
	}
	return array;
}

static void
put_batch(RowsCall *call)
{
	QueryRows  *query = call->query;
	MemoryContext previous = MemoryContextSwitchTo(query->now.context);
	ArrayType  *array = query->now.ngood > 0 ? row_array(call->width) : NULL;
	int			next = 0;

	for (int row = 0; row < query->now.nrows; row++)
	{
		bool		is_good = next < query->now.ngood && query->now.good[next] == row;

		if (is_good)
			memcpy(ARR_DATA_PTR(array), call->values + next++ * call->width,
				   call->width * sizeof(float));
		put_row(call, row, is_good ? PointerGetDatum(array) : (Datum) 0);
	}
	MemoryContextSwitchTo(previous);
}

static void
prepare_id(RowsCall *call)
{
	Oid			given = query_rows_type(call->query, 1);
	Oid			function;
	bool		is_varlena;

	call->id_type = TupleDescAttr(call->result->setDesc, 0)->atttypid;
	call->casts_id = given != call->id_type;
	call->widens_id = given == INT4OID && call->id_type == INT8OID;
	if (!call->casts_id || call->widens_id)
		return;
	if (call->id_type == INT8OID && TypeCategory(given) != TYPCATEGORY_NUMERIC)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("ids of type %s are no bigints", format_type_be(given)),
				 errdetail("The first column of the query is the id."),
				 errhint("Say of which type ids are: id_type => null::%s.", format_type_be(given))));
	getTypeOutputInfo(given, &function, &is_varlena);
	fmgr_info(function, &call->id_out);
	getTypeInputInfo(call->id_type, &function, &call->id_param);
	fmgr_info(function, &call->id_in);
}

static bool
keeps_bad_rows(const char *on_error)
{
	if (strcmp(on_error, "null") == 0)
		return true;
	if (strcmp(on_error, "error") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown on_error \"%s\"", on_error),
				 errhint("It is error or null.")));
	return false;
}

/* The arguments before "first" are model, query and perhaps a type; from there
 * on they are batch_size, output and on_error. */
static Datum
predict_rows(FunctionCallInfo fcinfo, int first)
{
	RowsCall	call = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	Target	   *target;
	char	   *output;
	int			batch_size;
	int			work;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(first) || PG_ARGISNULL(first + 2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model, query, batch_size and on_error must not be null")));
	batch_size = PG_GETARG_INT32(first);
	if (batch_size < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be at least 1")));
	InitMaterializedSRF(fcinfo, 0);
	output = PG_ARGISNULL(first + 1) ? NULL : text_to_utf8(PG_GETARG_TEXT_PP(first + 1));
	target = call_target(fcinfo, 0);
	call.output = rows_find_output(target_session(target), output);

	SPI_connect();
	call.query = query_rows_open(target, text_to_cstring(PG_GETARG_TEXT_PP(1)), 1, 0,
								 batch_size,
								 keeps_bad_rows(text_to_cstring(PG_GETARG_TEXT_PP(first + 2))));
	call.query->hint = "on_error => 'null' goes on with the other rows.";
	prepare_id(&call);
	work = progress_begin("predict_rows", "rows", 0);
	while (query_rows_next(call.query, take_predictions, &call))
	{
		put_batch(&call);
		progress_add(call.query->now.nrows);
	}
	progress_end(work);
	query_rows_close(call.query);
	SPI_finish();
	return (Datum) 0;
}

static Datum
predict_rows_plain(FunctionCallInfo fcinfo)
{
	return predict_rows(fcinfo, 2);
}

/* With an argument whose type is the id's. */
static Datum
predict_rows_typed(FunctionCallInfo fcinfo)
{
	return predict_rows(fcinfo, 3);
}

Datum
modelopt_predict_rows(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, predict_rows_plain);
}

Datum
modelopt_predict_rows_typed(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, predict_rows_typed);
}
