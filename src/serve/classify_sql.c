/*
 * classify_sql.c
 *		classify(): the label of a row, and how probable it is.
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/classes.h"
#include "serve/invocation.h"

PG_FUNCTION_INFO_V1(modelopt_classify);

static void
run_row(RowBatch *batch, ArrayType *features)
{
	ArraySource source;
	char	   *problem;

	source_of_array(&source, features);
	rows_begin(batch, batch->session, 1);
	problem = rows_put(batch, 0, 0, source.kind, source.values, source.count);
	if (problem != NULL)
		rows_refuse(problem);
	rows_run(batch);
}

/* classify(model or name, features, labels, output) */
static Datum
classify(FunctionCallInfo fcinfo)
{
	Session    *session;
	ArrayType  *features;
	ClassOutputs outputs;
	RowPart		row;
	RowBatch   *batch;
	char	   *label;
	double		probability;
	TupleDesc	columns;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	session = target_session(call_target(fcinfo, 0));
	features = call_features(fcinfo, 1, session);
	if (array_contains_nulls(features))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!classes_find_outputs(session, PG_ARGISNULL(3) ? NULL : text_to_utf8(PG_GETARG_TEXT_PP(3)), &outputs))
		classes_none(session, &outputs);
	row = rows_array_part(features);
	batch = rows_prepare(session, &row, 1, row.ndim > 1 ? "classify() takes one row, and classify_rows() a table." : NULL);
	run_row(batch, features);
	label = classes_answer(batch, &outputs, 0, PG_ARGISNULL(2) ? NULL :
						   classes_read_names(PG_GETARG_ARRAYTYPE_P(2)), &probability);
	nulls[0] = label == NULL;
	values[0] = label == NULL ? (Datum) 0 : CStringGetTextDatum(label);
	values[1] = Float4GetDatum(probability);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

Datum
modelopt_classify(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, classify);
}
