/*
 * predict_json_sql.c
 *		predict_json(): values of any type and shape, as JSON.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/invocation.h"
#include "serve/json_values.h"

PG_FUNCTION_INFO_V1(modelopt_predict_json);

/* predict_json(model or name, inputs) */
static Datum
predict_json(FunctionCallInfo fcinfo)
{
	Jsonb	   *inputs = PG_GETARG_JSONB_P(1);
	Session    *session = target_session(call_target(fcinfo, 0));
	int64		rows = json_give_inputs(session, inputs);

	session_run(session, rows, rows > 0 ? rows : 1);
	return json_of_outputs(session);
}

Datum
modelopt_predict_json(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, predict_json);
}
