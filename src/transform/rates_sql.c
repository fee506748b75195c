/*
 * rates_sql.c
 *		What a transformation gained: compression_rate, pruning_rate,
 *		layer_cutting_rate and node_cutting_rate.
 *
 * All compare a model with the one that it was made from, and are fractions
 * of the original: 0 for nothing gained, 1 for all gone, null when there was
 * nothing to begin with.
 */
#include "postgres.h"

#include "graph/graph.h"
#include "model/model_sql.h"

PG_FUNCTION_INFO_V1(modelopt_compression_rate);
PG_FUNCTION_INFO_V1(modelopt_pruning_rate);
PG_FUNCTION_INFO_V1(modelopt_layer_cutting_rate);
PG_FUNCTION_INFO_V1(modelopt_node_cutting_rate);

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

/* ---------- layers and nodes ---------- */

static uint64
count_layers(const Model *model)
{
	int			n;

	(void) graph_layers(model, &n);
	return n;
}

Datum
modelopt_layer_cutting_rate(PG_FUNCTION_ARGS)
{
	return rate(fcinfo, count_layers(PG_GETARG_MODEL(0)),
				count_layers(PG_GETARG_MODEL(1)));
}

Datum
modelopt_node_cutting_rate(PG_FUNCTION_ARGS)
{
	const Model *original = PG_GETARG_MODEL(0);
	const Model *now = PG_GETARG_MODEL(1);
	bool		by_graph = original->graph != NULL && now->graph != NULL;

	return rate(fcinfo, graph_count_nodes(original, by_graph),
				graph_count_nodes(now, by_graph));
}
