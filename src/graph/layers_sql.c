/*
 * layers_sql.c
 *		The SQL functions layers and layer_tensors.
 */
#include "postgres.h"

#include "graph/graph.h"
#include "model/model_sql.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_layers);
PG_FUNCTION_INFO_V1(modelopt_layer_tensors);

/* Counts and sizes; a payload counts in the first layer that has it. */
static void
measure_layer(const Model *model, const ModelLayer *layer, bool *counted,
			  int64 *parameters, int64 *bytes)
{
	*parameters = 0;
	*bytes = 0;
	for (int i = 0; i < layer->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[layer->tensors[i]];

		if (counted[tensor->payload])
			continue;
		counted[tensor->payload] = true;
		*parameters += tensor_payload(model, tensor)->count;
		*bytes += tensor_payload(model, tensor)->stored;
	}
}

static void
put_layer(ReturnSetInfo *result, const Model *model, const ModelLayer *layer,
		  bool *counted)
{
	int64		parameters,
				bytes;
	Datum		values[5];
	bool		nulls[5] = {false};

	measure_layer(model, layer, counted, &parameters, &bytes);
	values[0] = PointerGetDatum(utf8_to_text(layer->name));
	if (layer->kind != NULL)
		values[1] = CStringGetTextDatum(layer->kind);
	else
		nulls[1] = true;
	values[2] = Int32GetDatum(layer->ntensors);
	values[3] = Int64GetDatum(parameters);
	values[4] = Int64GetDatum(bytes);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
modelopt_layers(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool	   *counted = palloc0(model->npayloads * sizeof(bool));
	int			nlayers;
	ModelLayer *layers = graph_layers(model, &nlayers);
	MemoryContext row_context;
	MemoryContext old_context;

	InitMaterializedSRF(fcinfo, 0);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "layers row",
										ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(row_context);
	for (int i = 0; i < nlayers; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_layer(result, model, &layers[i], counted);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
	return (Datum) 0;
}

Datum
modelopt_layer_tensors(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			nlayers;
	ModelLayer *layers = graph_layers(model, &nlayers);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < nlayers; i++)
	{
		Datum		values[2] = {PointerGetDatum(utf8_to_text(layers[i].name))};
		bool		nulls[2] = {false};

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < layers[i].ntensors; k++)
		{
			values[1] = PointerGetDatum(utf8_to_text(model->tensors[layers[i].tensors[k]].name));
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
			pfree(DatumGetPointer(values[1]));
		}
	}
	return (Datum) 0;
}
