/*
 * prune_sql.c
 *		prune, prune_count and prune_dry_run.
 *
 * Owns the order of work: which targets are ranked together, and how their
 * new payloads and those that stay become a model.
 */
#include "postgres.h"

#include <math.h>

#include "model/model_sql.h"
#include "transform/prune_request.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_prune);
PG_FUNCTION_INFO_V1(modelopt_prune_count);
PG_FUNCTION_INFO_V1(modelopt_prune_dry_run);

/* ---------- ranked together ---------- */

/* Bytes of the name up to its last dot: the layer's name. */
static int
layer_length(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot == NULL ? 0 : dot - name;
}

static int
compare_layers(const void *a, const void *b)
{
	const PruneTarget *left = *(PruneTarget *const *) a;
	const PruneTarget *right = *(PruneTarget *const *) b;
	int			left_length = layer_length(left->name);
	int			right_length = layer_length(right->name);
	int			order = memcmp(left->name, right->name,
							   Min(left_length, right_length));

	if (order == 0)
		order = left_length - right_length;
	return order != 0 ? order : left->index - right->index;
}

static bool
same_layer(const PruneTarget *a, const PruneTarget *b)
{
	int			length = layer_length(a->name);

	return length == layer_length(b->name) &&
		memcmp(a->name, b->name, length) == 0;
}

static void
prune_layers(PruneTarget **targets, int ntargets, const PruneRequest *request,
			 Model *out)
{
	PruneTarget **sorted = palloc(ntargets * sizeof(PruneTarget *));
	int			end;

	memcpy(sorted, targets, ntargets * sizeof(PruneTarget *));
	qsort(sorted, ntargets, sizeof(PruneTarget *), compare_layers);
	for (int start = 0; start < ntargets; start = end)
	{
		end = start + 1;
		while (end < ntargets && same_layer(sorted[start], sorted[end]))
			end++;
		prune_unstructured(sorted + start, end - start, request,
						   pnstrdup(sorted[start]->name,
									layer_length(sorted[start]->name)), out);
	}
	pfree(sorted);
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
prune_all(PruneTarget **targets, int ntargets, const PruneRequest *request,
		  Model *out)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt prune",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);

	if (!is_ranked_across(request))
	{
		for (int i = 0; i < ntargets; i++)
		{
			prune_tensor(targets[i], request, out);
			MemoryContextReset(work);
		}
	}
	else if (request->scope == PRUNE_SCOPE_LAYER)
		prune_layers(targets, ntargets, request, out);
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
	for (int i = 0; i < source->ntensors; i++)
	{
		const Tensor *tensor = &source->tensors[i];

		model_add_tensor(out, tensor->name, strlen(tensor->name),
						 tensor->ndim, tensor->dims, tensor->payload);
	}
	return out;
}

static void
notice_nothing(void)
{
	ereport(NOTICE,
			(errmsg("model has no tensors to prune"),
			 errhint("Only floating-point tensors of two or more dimensions that are no embeddings are pruned unless include names others in full.")));
}

static Datum
prune_and_return(FunctionCallInfo fcinfo, int count_argument)
{
	PruneRequest *request;
	PruneTarget **targets;
	int			ntargets;
	Model	   *source;
	Model	   *pruned;
	Model	   *out;

	if (PG_ARGISNULL(PRUNE_ARG_MODEL))
		PG_RETURN_NULL();
	request = prune_request_read(fcinfo, count_argument);
	source = PG_GETARG_MODEL(PRUNE_ARG_MODEL);
	targets = prune_targets(source, request, &ntargets);
	if (ntargets == 0)
		notice_nothing();

	pruned = model_create(CurrentMemoryContext);
	prune_all(targets, ntargets, request, pruned);
	out = assemble(source, pruned, targets, ntargets);
	model_free(pruned);
	prune_add_recipe(out, request, targets, ntargets);
	PG_RETURN_MODEL(out);
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

Datum
modelopt_prune_dry_run(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	PruneRequest *request;
	PruneTarget **targets;
	int			ntargets;
	bool		counted = !PG_ARGISNULL(PRUNE_ARG_COUNT);

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(PRUNE_ARG_MODEL))
		return (Datum) 0;
	if (counted && !PG_ARGISNULL(PRUNE_ARG_AMOUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount and count exclude one another")));
	request = prune_request_read(fcinfo, counted ? PRUNE_ARG_COUNT : -1);
	targets = prune_targets(PG_GETARG_MODEL(PRUNE_ARG_MODEL), request,
							&ntargets);
	if (ntargets == 0)
		notice_nothing();
	prune_all(targets, ntargets, request, NULL);
	for (int i = 0; i < ntargets; i++)
		put_target(result, targets[i]);
	return (Datum) 0;
}
