/*
 * rates_sql.c
 *		What a transformation gained: compression_rate and pruning_rate.
 *
 * Both compare a model with the one that it was made from, and are fractions
 * of the original: 0 for nothing gained, 1 for all gone, null when there was
 * nothing to begin with.
 */
#include "postgres.h"

#include "model/model_sql.h"

PG_FUNCTION_INFO_V1(modelopt_compression_rate);
PG_FUNCTION_INFO_V1(modelopt_pruning_rate);

static Datum
rate(FunctionCallInfo fcinfo, uint64 original, uint64 now)
{
	if (original == 0)
		PG_RETURN_NULL();
	if (now >= original)
		PG_RETURN_FLOAT8(0);
	PG_RETURN_FLOAT8((double) (original - now) / (double) original);
}

Datum
modelopt_compression_rate(PG_FUNCTION_ARGS)
{
	return rate(fcinfo, model_flat_size(PG_GETARG_MODEL(0)),
				model_flat_size(PG_GETARG_MODEL(1)));
}

static uint64
nonzero_parameters(const Model *model)
{
	return model_parameters(model) - model_zeros(model);
}

Datum
modelopt_pruning_rate(PG_FUNCTION_ARGS)
{
	return rate(fcinfo, nonzero_parameters(PG_GETARG_MODEL(0)),
				nonzero_parameters(PG_GETARG_MODEL(1)));
}
