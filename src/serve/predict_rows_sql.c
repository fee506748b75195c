/*
 * predict_rows_sql.c
 *		predict_rows(): a table in, a table out.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/invocation.h"
#include "serve/predictions.h"
#include "serve/rows_table.h"

PG_FUNCTION_INFO_V1(modelopt_predict_rows);
PG_FUNCTION_INFO_V1(modelopt_predict_rows_typed);

/* Predictions of the batch at work, by number of good row. */
typedef struct Predictions
{
	int			output;
	PredictionShape shape;
	float	   *values;
	ArrayType  *array;			/* that all are written into in turn */
} Predictions;

/* Keeps the predictions of a run. */
static void
take_predictions(QueryRows *query, int first, int n, void *argument)
{
	Predictions *predictions = argument;
	PredictionShape *shape = &predictions->shape;
	RowOutput	output;

	rows_output(query->batch, predictions->output, &output);
	if (first == 0)
	{
		prediction_shape(&output, shape);
		predictions->array = prediction_array(shape);
		predictions->values = palloc_extended((Size) query->now.nrows * shape->width * sizeof(float) + 1,
											  MCXT_ALLOC_HUGE);
	}
	else
		prediction_check(&output, shape);
	elements_to_floats(output.tensor->shape.type, output.tensor->data, 0, n * output.width,
					   predictions->values + first * output.width,
					   utf8_to_server(output.port->name));
}

static void
put_prediction(void *argument, int good, Datum *values, bool *nulls)
{
	Predictions *predictions = argument;
	int64		width = predictions->shape.width;

	memcpy(ARR_DATA_PTR(predictions->array), predictions->values + good * width,
		   width * sizeof(float));
	values[1] = PointerGetDatum(predictions->array);
	nulls[1] = false;
}

/* The arguments before "first" are model, query and perhaps a type; from there
 * on they are batch_size, output and on_error. */
static Datum
predict_rows(FunctionCallInfo fcinfo, int first)
{
	Predictions predictions = {0};
	RowsTable	table = {
		.name = "predict_rows", .batch_size = first, .on_error = first + 2,
		.take = take_predictions, .put = put_prediction, .argument = &predictions
	};
	Target	   *target;
	char	   *output;

	rows_table_check(fcinfo, &table);
	output = PG_ARGISNULL(first + 1) ? NULL : text_to_utf8(PG_GETARG_TEXT_PP(first + 1));
	target = call_target(fcinfo, 0);
	predictions.output = rows_find_output(target_session(target), output);
	rows_table_run(fcinfo, &table, target);
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
