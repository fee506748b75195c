/*
 * ports_sql.c
 *		inputs() and outputs() of a version, for those who may run it.
 *
 * What a model takes is nothing secret to who may give it, so the right is that
 * of predict(), and not the one to weights.
 */
#include "postgres.h"

#include "format/onnx_sql.h"
#include "repo/repo.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(modelopt_served_inputs);
PG_FUNCTION_INFO_V1(modelopt_served_outputs);

static Model *
find_model(FunctionCallInfo fcinfo)
{
	ServedVersion version;

	repo_find_served(text_to_cstring(PG_GETARG_TEXT_PP(0)), &version);
	return repo_open_served(&version);
}

Datum
modelopt_served_inputs(PG_FUNCTION_ARGS)
{
	onnx_put_inputs(fcinfo, find_model(fcinfo));
	return (Datum) 0;
}

Datum
modelopt_served_outputs(PG_FUNCTION_ARGS)
{
	onnx_put_outputs(fcinfo, find_model(fcinfo));
	return (Datum) 0;
}
