/*
 * prune_sql.c
 *		prune, prune_count and prune_dry_run.
 *
 * Owns the order of work: which targets are ranked together, and how their
 * new payloads and those that stay become a model.
 */
#include "postgres.h"

#include <math.h>

#include "graph/graph.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "transform/prune_request.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_prune);
PG_FUNCTION_INFO_V1(modelopt_prune_count);
PG_FUNCTION_INFO_V1(modelopt_prune_dry_run);

/* ---------- ranked together ---------- */

static void
prune_layers(const Model *source, PruneTarget **targets, int ntargets,
			 const PruneRequest *request, Model *out)
{
	PruneTarget **of_tensor = palloc0(source->ntensors * sizeof(PruneTarget *));
	PruneTarget **of_layer = palloc(ntargets * sizeof(PruneTarget *));
	int			nlayers;
	ModelLayer *layers = graph_layers(source, &nlayers);

	for (int i = 0; i < ntargets; i++)
		of_tensor[targets[i]->tensor] = targets[i];
	for (int i = 0; i < nlayers; i++)
	{
		int			n = 0;

		for (int j = 0; j < layers[i].ntensors; j++)
		{
			PruneTarget *target = of_tensor[layers[i].tensors[j]];

			if (target != NULL)
				of_layer[n++] = target;
		}
		if (n > 0)
			prune_unstructured(of_layer, n, request, layers[i].name, out);
	}
}

static void
prune_tensor(PruneTarget *target, const PruneRequest *request, Model *out)
{
	switch (request->method)
	{
		case PRUNE_L1:
		case PRUNE_L2:
		case PRUNE_RANDOM:
			prune_unstructured(&target, 1, request, target->name, out);
			break;
		case PRUNE_THRESHOLD:
			prune_threshold(target, request, out);
			break;
		case PRUNE_LN_STRUCTURED:
		case PRUNE_RANDOM_STRUCTURED:
			prune_structured(target, request, out);
			break;
		case PRUNE_N_M:
			prune_n_m(target, request, out);
			break;
		case PRUNE_MASK:
			prune_mask(target, request, out);
			break;
		case PRUNE_WANDA:
			prune_wanda(target, request, out);
			break;
	}
}

/* Only unstructured methods look beyond a tensor. */
static bool
is_ranked_across(const PruneRequest *request)
{
	return request->method <= PRUNE_RANDOM &&
		request->scope != PRUNE_SCOPE_TENSOR;
}

/* Does the work, in a context for what is temporary. */
static void
prune_all(const Model *source, PruneTarget **targets, int ntargets,
		  const PruneRequest *request, Model *out)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt prune",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);

	if (request->method == PRUNE_WANDA)
		prune_wanda_find_inputs(source, targets, ntargets);
	if (!is_ranked_across(request))
	{
		for (int i = 0; i < ntargets; i++)
		{
			prune_tensor(targets[i], request, out);
			MemoryContextReset(work);
		}
	}
	else if (request->scope == PRUNE_SCOPE_LAYER)
		prune_layers(source, targets, ntargets, request, out);
	else
		prune_unstructured(targets, ntargets, request, NULL, out);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

/* ---------- a model of it ---------- */

/* Payloads come in the order of the source, whatever the order of work. */
static Model *
assemble(const Model *source, const Model *pruned, PruneTarget **targets,
		 int ntargets)
{
	Model	   *out = model_create_like(CurrentMemoryContext, source);
	int			next = 0;

	for (int i = 0; i < source->npayloads; i++)
	{
		if (next < ntargets && targets[next]->index == i)
			model_share_payload(out, pruned->payloads[targets[next++]->result]);
		else
			model_share_payload(out, source->payloads[i]);
	}
	model_add_tensors_of(out, source);
	return out;
}

static void
notice_nothing(const PruneRequest *request)
{
	ereport(NOTICE,
			(errmsg("model has no tensors to prune"),
			 request->patterns.nexclude > 0 ?
			 errhint("Those that would be pruned are excluded.") :
			 errhint("Only floating-point tensors of two or more dimensions that are no embeddings are pruned unless include names others in full.")));
}

static int64
count_elements(PruneTarget **targets, int ntargets)
{
	int64		n = 0;

	for (int i = 0; i < ntargets; i++)
		n += targets[i]->payload->count;
	return n;
}

Model *
prune_model(const Model *source, const PruneRequest *request)
{
	PruneTarget **targets;
	int			ntargets;
	int			began;
	Model	   *pruned;
	Model	   *out;

	targets = prune_targets(source, request, &ntargets);
	if (ntargets == 0)
		notice_nothing(request);

	began = progress_begin("prune", "elements", count_elements(targets, ntargets));
	pruned = model_create(CurrentMemoryContext);
	prune_all(source, targets, ntargets, request, pruned);
	progress_end(began);
	out = assemble(source, pruned, targets, ntargets);
	model_free(pruned);
	prune_add_recipe(out, request, targets, ntargets);
	return out;
}

static Datum
prune_and_return(FunctionCallInfo fcinfo, int count_argument)
{
	PruneRequest *request;

	if (PG_ARGISNULL(PRUNE_ARG_MODEL))
		PG_RETURN_NULL();
	request = prune_request_read(fcinfo, count_argument);
	PG_RETURN_MODEL(prune_model(PG_GETARG_MODEL(PRUNE_ARG_MODEL), request));
}

Datum
modelopt_prune(PG_FUNCTION_ARGS)
{
	return prune_and_return(fcinfo, -1);
}

Datum
modelopt_prune_count(PG_FUNCTION_ARGS)
{
	return prune_and_return(fcinfo, PRUNE_ARG_AMOUNT);
}

/* ---------- dry run ---------- */

static void
put_target(ReturnSetInfo *result, const PruneTarget *target)
{
	int64		count = target->payload->count;
	Datum		values[9];
	bool		nulls[9] = {false};

	values[0] = PointerGetDatum(utf8_to_text(target->name));
	values[1] = Int64GetDatum(count);
	values[2] = Int64GetDatum(target->selected);
	values[3] = Float8GetDatum((double) target->zeros_before / Max(count, 1));
	values[4] = Float8GetDatum((double) target->zeros_after / Max(count, 1));
	values[5] = Int64GetDatum((int64) target->payload->stored);
	values[6] = Int64GetDatum((int64) target->stored_after);
	values[7] = Float8GetDatum(target->max_error);
	values[8] = Float8GetDatum(sqrt(target->squared_error / Max(count, 1)));
	if (count == 0)
		nulls[3] = nulls[4] = nulls[7] = nulls[8] = true;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void
prune_put_dry_run(FunctionCallInfo fcinfo, const Model *source,
				  const PruneRequest *request)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			ntargets;
	PruneTarget **targets = prune_targets(source, request, &ntargets);

	if (ntargets == 0)
		notice_nothing(request);
	prune_all(source, targets, ntargets, request, NULL);
	for (int i = 0; i < ntargets; i++)
		put_target(result, targets[i]);
}

Datum
modelopt_prune_dry_run(PG_FUNCTION_ARGS)
{
	bool		counted = !PG_ARGISNULL(PRUNE_ARG_COUNT);
	PruneRequest *request;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(PRUNE_ARG_MODEL))
		return (Datum) 0;
	if (counted && !PG_ARGISNULL(PRUNE_ARG_AMOUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount and count exclude one another")));
	request = prune_request_read(fcinfo, counted ? PRUNE_ARG_COUNT : -1);
	prune_put_dry_run(fcinfo, PG_GETARG_MODEL(PRUNE_ARG_MODEL), request);
	return (Datum) 0;
}
