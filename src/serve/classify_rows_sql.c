/*
 * classify_rows_sql.c
 *		classify_rows(): the labels of a table's rows.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/classes.h"
#include "serve/invocation.h"
#include "serve/rows_table.h"

PG_FUNCTION_INFO_V1(modelopt_classify_rows);
PG_FUNCTION_INFO_V1(modelopt_classify_rows_typed);

/* What the model says of a row. */
typedef struct RowAnswer
{
	char	   *label;			/* or NULL */
	double		probability;
} RowAnswer;

typedef struct Classification
{
	ClassOutputs outputs;
	ClassNames *labels;			/* or NULL */
	RowAnswer  *answers;		/* of the batch at work, by number of good row */
} Classification;

static void
take_answers(QueryRows *query, int first, int n, void *argument)
{
	Classification *all = argument;

	if (first == 0)
		all->answers = palloc_extended((Size) query->now.nrows * sizeof(RowAnswer),
									   MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		RowAnswer  *answer = &all->answers[first + i];

		CHECK_FOR_INTERRUPTS();
		answer->label = classes_answer(query->batch, &all->outputs, i, all->labels,
									   &answer->probability);
	}
}

static void
put_answer(void *argument, int good, Datum *values, bool *nulls)
{
	const RowAnswer *answer = &((Classification *) argument)->answers[good];

	nulls[1] = answer->label == NULL;
	if (!nulls[1])
		values[1] = CStringGetTextDatum(answer->label);
	values[2] = Float4GetDatum(answer->probability);
	nulls[2] = false;
}

/* The arguments before "first" are model, query and perhaps a type; from there
 * on they are labels, batch_size, output and on_error. */
static Datum
classify_rows(FunctionCallInfo fcinfo, int first)
{
	Classification all = {0};
	RowsTable	table = {
		.name = "classify_rows", .batch_size = first + 1, .on_error = first + 3,
		.take = take_answers, .put = put_answer, .argument = &all
	};
	Target	   *target;
	Session    *session;

	rows_table_check(fcinfo, &table);
	all.labels = PG_ARGISNULL(first) ? NULL : classes_read_names(PG_GETARG_ARRAYTYPE_P(first));
	target = call_target(fcinfo, 0);
	session = target_session(target);
	if (!classes_find_outputs(session, PG_ARGISNULL(first + 2) ? NULL :
							  text_to_utf8(PG_GETARG_TEXT_PP(first + 2)), &all.outputs))
		classes_none(session, &all.outputs);
	rows_table_run(fcinfo, &table, target);
	return (Datum) 0;
}

static Datum
classify_rows_plain(FunctionCallInfo fcinfo)
{
	return classify_rows(fcinfo, 2);
}

/* With an argument whose type is the id's. */
static Datum
classify_rows_typed(FunctionCallInfo fcinfo)
{
	return classify_rows(fcinfo, 3);
}

Datum
modelopt_classify_rows(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, classify_rows_plain);
}

Datum
modelopt_classify_rows_typed(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, classify_rows_typed);
}
