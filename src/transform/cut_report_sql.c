/*
 * cut_report_sql.c
 *		What is said of nodes that are cut: in the recipe and in dry runs.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "transform/cut_report.h"
#include "transform/recipe.h"
#include "utils/array.h"

/* The nodes that go of a layer, counted from 0 in it. */
static int
cut_indexes(const CutPlan *plan, const CutLayer *layer, int *indexes)
{
	int			n = 0;

	for (int i = 0; i < layer->n; i++)
	{
		if (cut_is_cut(plan, layer->first + i))
			indexes[n++] = i;
	}
	return n;
}

/* By layer the indexes that went, so that what was can be found again. */
static void
append_nodes(StringInfo out, const CutPlan *plan, int64 *nodes, int64 *ncut)
{
	recipe_key(out, "nodes");
	appendStringInfoChar(out, '{');
	for (int i = 0; i < plan->nlayers; i++)
	{
		const CutLayer *layer = &plan->layers[i];
		int		   *indexes = palloc_extended(layer->n * sizeof(int),
											  MCXT_ALLOC_HUGE);
		int			n = cut_indexes(plan, layer, indexes);

		*nodes += layer->n;
		*ncut += n;
		if (n > 0)
		{
			if (out->data[out->len - 1] != '{')
				appendStringInfoString(out, ", ");
			json_append_string(out, layer->name, strlen(layer->name));
			for (int j = 0; j < n; j++)
				appendStringInfo(out, "%s%d", j == 0 ? ": [" : ", ", indexes[j]);
			appendStringInfoChar(out, ']');
		}
		pfree(indexes);
	}
	appendStringInfoChar(out, '}');
}

void
cut_append_nodes(StringInfo step, const CutPlan *plan, const Model *out)
{
	int64		before = model_parameters(plan->model);
	int64		nodes = 0;
	int64		ncut = 0;

	append_nodes(step, plan, &nodes, &ncut);
	recipe_key(step, "rates");
	appendStringInfoChar(step, '{');
	recipe_integer(step, "nodes", nodes);
	recipe_integer(step, "cut", ncut);
	if (nodes > 0)
		recipe_real(step, "node_cutting_rate", (double) ncut / nodes);
	if (before > 0)
		recipe_real(step, "parameter_rate",
					(double) (before - model_parameters(out)) / before);
	appendStringInfoChar(step, '}');
}

/* ---------- rows ---------- */

static Datum
indexes_to_array(const CutPlan *plan, const CutLayer *layer, int *n)
{
	int		   *indexes = palloc_extended(Max(layer->n, 1) * sizeof(int),
										  MCXT_ALLOC_HUGE);
	Datum	   *datums;
	ArrayType  *array;

	*n = cut_indexes(plan, layer, indexes);
	datums = palloc_extended(Max(*n, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	for (int i = 0; i < *n; i++)
		datums[i] = Int32GetDatum(indexes[i]);
	array = construct_array(datums, *n, INT4OID, sizeof(int32), true,
							TYPALIGN_INT);
	pfree(indexes);
	pfree(datums);
	return PointerGetDatum(array);
}

static void
put_layer(ReturnSetInfo *result, const CutPlan *plan, const CutLayer *layer)
{
	const CutGroup *group = &plan->groups[layer->group];
	const char *reason = NULL;
	Datum		values[6];
	bool		nulls[6] = {false};
	int			n;

	if (group->nunits == 0 || group->is_left)
		reason = cut_group_reason(plan, group);
	else if (!group->is_chosen)
		reason = "it is not to be cut";
	values[0] = PointerGetDatum(utf8_to_text(layer->name));
	values[1] = Int32GetDatum(layer->group + 1);
	values[2] = Int32GetDatum(layer->n);
	values[4] = indexes_to_array(plan, layer, &n);
	values[3] = Int32GetDatum(n);
	nulls[5] = reason == NULL;
	if (reason != NULL)
		values[5] = CStringGetTextDatum(reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void
cut_put_layers(FunctionCallInfo fcinfo, const CutPlan *plan)
{
	for (int i = 0; i < plan->nlayers; i++)
		put_layer((ReturnSetInfo *) fcinfo->resultinfo, plan,
				  &plan->layers[i]);
}
