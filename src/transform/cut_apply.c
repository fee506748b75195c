/*
 * cut_apply.c
 *		Makes a model of what stays when units go.
 *
 * Shapes in the graph follow, and numbers in it that are some of them; then
 * the graph is gone through once more, which raises if anything does not fit.
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut.h"

/* ---------- the graph ---------- */

static int64
count_left(const CutPlan *plan, int first, int64 n)
{
	int64		left = 0;

	if (first == UNKNOWN)
		return n;
	for (int64 i = 0; i < n; i++)
		left += !cut_is_cut(plan, first + i);
	return left;
}

static void
set_new_dims(CutPlan *plan, GraphValue *value)
{
	int64	   *dims = NULL;

	for (int axis = 0; axis < value->rank; axis++)
	{
		int			first = value->places[axis];
		int64		left = first == UNKNOWN ? value->dims[axis] :
			count_left(plan, first, value->dims[axis]);

		if (left == value->dims[axis])
			continue;
		if (dims == NULL)
		{
			dims = palloc(value->rank * sizeof(int64));
			memcpy(dims, value->dims, value->rank * sizeof(int64));
		}
		dims[axis] = left;
	}
	value->new_dims = dims;
}

static void
change_literal(CutPlan *plan, GraphLiteral literal, int64 left)
{
	GraphValue *value = &plan->graph->values[literal.value];
	int64	   *ints = unconstify(int64 *, value->new_ints);

	if (ints == NULL)
	{
		ints = palloc(value->ints->n * sizeof(int64));
		memcpy(ints, value->ints->values, value->ints->n * sizeof(int64));
		value->new_ints = ints;
	}
	ints[literal.index] = left;
}

static void
change_attribute(CutPlan *plan, const GraphPatch *patch, int64 left)
{
	GraphNode  *node = &plan->graph->nodes[patch->node];

	if (node->nchanges == 0)
		node->changes = palloc(sizeof(GraphAttribute));
	else
		node->changes = repalloc(node->changes,
								 (node->nchanges + 1) * sizeof(GraphAttribute));
	node->changes[node->nchanges].name = patch->attribute;
	node->changes[node->nchanges].index = patch->index;
	node->changes[node->nchanges++].value = left;
}

static int
compare_patches(const void *a, const void *b)
{
	const GraphPatch *left = a;
	const GraphPatch *right = b;

	if (left->literal.value != right->literal.value)
		return left->literal.value < right->literal.value ? -1 : 1;
	return left->literal.index - right->literal.index;
}

/* How many nodes take each value. */
static int *
count_uses(const Graph *graph)
{
	int		   *uses = palloc0(Max(graph->nvalues, 1) * sizeof(int));

	for (int i = 0; i < graph->nnodes; i++)
	{
		for (int j = 0; j < graph->nodes[i].ninputs; j++)
		{
			if (graph->nodes[i].inputs[j] >= 0)
				uses[graph->nodes[i].inputs[j]]++;
		}
	}
	return uses;
}

/* What stands in the graph once must be right for all that use it. */
static void
change_shared(CutPlan *plan, const GraphPatch *patches, int n, int uses)
{
	GraphLiteral literal = patches[0].literal;
	int64		left = count_left(plan, patches[0].first, patches[0].n);
	bool		agree = true;

	for (int i = 1; i < n; i++)
		agree &= count_left(plan, patches[i].first, patches[i].n) == left;
	if (agree && left == plan->graph->values[literal.value].ints->values[literal.index])
		return;
	if (!agree || n < uses)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("value \"%s\" of the graph is used for sizes that would become different",
						graph_value_title(plan->graph, literal.value)),
				 errhint("exclude leaves layers as they are.")));
	change_literal(plan, literal, left);
}

static void
change_numbers(CutPlan *plan)
{
	Graph	   *graph = plan->graph;
	GraphPatch *patches = graph->patches;
	int		   *uses = count_uses(graph);
	int			n;

	if (graph->npatches > 0)
		qsort(patches, graph->npatches, sizeof(GraphPatch), compare_patches);
	for (int i = 0; i < graph->npatches; i += n)
	{
		CHECK_FOR_INTERRUPTS();
		n = 1;
		if (patches[i].literal.value < 0)
		{
			int64		left = count_left(plan, patches[i].first, patches[i].n);

			if (patches[i].node >= 0 && left != patches[i].n)
				change_attribute(plan, &patches[i], left);
			continue;
		}
		while (i + n < graph->npatches &&
			   compare_patches(&patches[i], &patches[i + n]) == 0)
			n++;
		change_shared(plan, &patches[i], n, uses[patches[i].literal.value]);
	}
	pfree(uses);
}

/* ---------- whether all follows ---------- */

static void
report_stray(const Graph *graph, int value, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot cut nodes of this graph"),
			 errdetail("Value \"%s\" would not have the %s that what is left has.",
					   graph_value_title(graph, value), what),
			 errhint("exclude leaves layers as they are.")));
}

/* Shapes are what was meant, where both are known, and so are numbers that the
 * graph computes from them. */
static void
check_result(CutPlan *plan, Graph *now)
{
	const Graph *graph = plan->graph;

	graph_analyze(now);
	for (int i = 0; i < graph->nvalues; i++)
	{
		const GraphValue *value = &graph->values[i];
		const int64 *dims = value->new_dims != NULL ? value->new_dims : value->dims;
		int			same = graph_find(now, value->name);

		if (same < 0 || now->values[same].rank != value->rank)
			continue;
		for (int axis = 0; axis < value->rank; axis++)
		{
			int64		found = now->values[same].dims[axis];

			if (found >= 0 && dims[axis] >= 0 && found != dims[axis])
				report_stray(graph, i, "shape");
		}
	}
	for (int i = 0; i < graph->npatches; i++)
	{
		const GraphPatch *patch = &graph->patches[i];
		const GraphInts *ints;

		CHECK_FOR_INTERRUPTS();
		if (patch->value < 0)
			continue;
		ints = graph_some_ints(now, graph_find(now, graph->values[patch->value].name));
		if (ints == NULL || patch->index >= ints->n || !ints->known[patch->index] ||
			ints->values[patch->index] != count_left(plan, patch->first, patch->n))
			report_stray(graph, patch->value, "numbers");
	}
}

/* ---------- tensors ---------- */

/* For each dimension what stays, NULL for all. */
static void
set_keep(const CutPlan *plan, const GraphValue *value, uint8 **keep)
{
	for (int axis = 0; axis < value->rank; axis++)
	{
		keep[axis] = NULL;
		if (value->new_dims[axis] == value->dims[axis])
			continue;
		keep[axis] = palloc_extended(value->dims[axis], MCXT_ALLOC_HUGE);
		for (int64 i = 0; i < value->dims[axis]; i++)
			keep[axis][i] = !cut_is_cut(plan, value->places[axis] + i);
	}
}

static void
add_cut_payload(CutPlan *plan, Model *out, const GraphValue *value)
{
	Payload    *payload = tensor_payload(plan->model,
										 &plan->model->tensors[value->tensor]);
	uint8	   *keep[MODEL_MAX_DIMS];

	set_keep(plan, value, keep);
	cut_gather(out, payload, value->rank, value->dims, keep);
	for (int axis = 0; axis < value->rank; axis++)
	{
		if (keep[axis] != NULL)
			pfree(keep[axis]);
	}
}

/* Integers that the graph computes shapes with. */
static void
add_int_payload(const CutPlan *plan, Model *out, const GraphValue *value)
{
	DType		dtype = tensor_payload(plan->model,
									   &plan->model->tensors[value->tensor])->dtype;
	int			n = value->ints->n;
	int			index = model_new_payload(out, dtype, ENCODING_DENSE, n,
										  dtype_bytes(dtype, n));
	char	   *bytes = out->payloads[index]->bytes;

	for (int i = 0; i < n; i++)
	{
		int32		narrow = (int32) value->new_ints[i];

		if (dtype == DTYPE_I64)
			memcpy(bytes + i * sizeof(int64), &value->new_ints[i], sizeof(int64));
		else
			memcpy(bytes + i * sizeof(int32), &narrow, sizeof(int32));
	}
	payload_complete(out->payloads[index]);
}

/* Codes of quantized elements cannot be picked one by one. */
static void
notice_decoded(const CutPlan *plan, const GraphValue **values)
{
	const Model *model = plan->model;
	int			n = 0;

	for (int i = 0; i < model->npayloads; i++)
		n += values[i] != NULL && values[i]->new_dims != NULL &&
			model->payloads[i]->encoding != ENCODING_DENSE &&
			model->payloads[i]->encoding != ENCODING_SPARSE;
	if (n > 0)
		ereport(NOTICE,
				(errmsg_plural("%d quantized or compressed tensor was cut and is stored as plain elements",
							   "%d quantized or compressed tensors were cut and are stored as plain elements",
							   n, n),
				 errhint("Cut first, and quantize or compress the result.")));
}

/* Tensors that are tied lose the same, since their places are joined. */
static const GraphValue **
values_of_payloads(const CutPlan *plan)
{
	const Model *model = plan->model;
	const GraphValue **values = palloc0(Max(model->npayloads, 1) * sizeof(GraphValue *));

	for (int i = 0; i < plan->graph->nvalues; i++)
	{
		const GraphValue *value = &plan->graph->values[i];

		if (value->tensor >= 0 &&
			(value->new_dims != NULL || value->new_ints != NULL))
			values[model->tensors[value->tensor].payload] = value;
	}
	return values;
}

static void
add_tensors(const CutPlan *plan, Model *out)
{
	const Model *model = plan->model;
	const int64 **dims = palloc0(Max(model->ntensors, 1) * sizeof(int64 *));

	for (int i = 0; i < plan->graph->nvalues; i++)
	{
		const GraphValue *value = &plan->graph->values[i];

		if (value->tensor >= 0)
			dims[value->tensor] = value->new_dims;
	}
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		model_add_tensor(out, tensor->name, strlen(tensor->name), tensor->ndim,
						 dims[i] != NULL ? dims[i] : tensor->dims,
						 tensor->payload);
	}
	pfree(dims);
}

Model *
cut_apply(CutPlan *plan)
{
	const Model *model = plan->model;
	Model	   *out = model_create_like(CurrentMemoryContext, model);
	const GraphValue **values;
	OnnxBytes	bytes;

	for (int i = 0; i < plan->graph->nvalues; i++)
		set_new_dims(plan, &plan->graph->values[i]);
	change_numbers(plan);
	values = values_of_payloads(plan);
	notice_decoded(plan, values);
	for (int i = 0; i < model->npayloads; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (values[i] == NULL)
			model_share_payload(out, model->payloads[i]);
		else if (values[i]->new_ints != NULL)
			add_int_payload(plan, out, values[i]);
		else
			add_cut_payload(plan, out, values[i]);
	}
	add_tensors(plan, out);
	bytes = graph_write(plan->graph);
	model_set_graph(out, bytes.data, bytes.size);
	check_result(plan, graph_read(out));
	return out;
}
