/*
 * graph_walk.c
 *		The walk over the nodes of a graph that makes places and joins them.
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Axes that a reshape tries at most. */
#define GRAPH_MAX_CHOICES 4


static void
doubt_value(Graph *graph, int value, int node)
{
	GraphValue *v;

	if (value < 0)
		return;
	v = &graph->values[value];
	for (int i = 0; i < v->rank; i++)
		graph_pin(graph, value, i, PIN_DOUBT, node);
}

void
graph_doubt(Graph *graph, int node)
{
	GraphNode  *n = &graph->nodes[node];

	for (int i = 0; i < n->ninputs; i++)
		doubt_value(graph, n->inputs[i], node);
	for (int i = 0; i < n->noutputs; i++)
	{
		if (n->outputs[i] < 0)
			continue;
		doubt_value(graph, n->outputs[i], node);
		graph->values[n->outputs[i]].doubt = node;
	}
}

/* What a node makes of something doubtful is doubtful. */
static void
inherit_doubt(Graph *graph, int node)
{
	GraphNode  *n = &graph->nodes[node];
	int			doubt = -1;

	for (int i = 0; i < n->ninputs && doubt < 0; i++)
	{
		if (n->inputs[i] >= 0)
			doubt = graph->values[n->inputs[i]].doubt;
	}
	for (int i = 0; i < n->noutputs && doubt >= 0; i++)
	{
		if (n->outputs[i] >= 0 && graph->values[n->outputs[i]].doubt < 0)
			graph->values[n->outputs[i]].doubt = doubt;
	}
}

static void
apply_node(Graph *graph, int node)
{
	GraphNode  *n = &graph->nodes[node];

	graph_find_ints(graph, node);
	if (n->op == NULL)
		graph_doubt(graph, node);
	else
	{
		n->op->apply(graph, node);
		inherit_doubt(graph, node);
	}
}

static bool
has_shape_of(const GraphValue *value, const GraphValue *other)
{
	return value->rank == other->rank &&
		memcmp(value->dims, other->dims, value->rank * sizeof(int64)) == 0;
}

static void
pin_all(Graph *graph, int value)
{
	for (int axis = 0; axis < graph->values[value].rank; axis++)
		graph_pin(graph, value, axis, PIN_FIXED, -1);
}

/* Tensors that are tied stay so: they lose the same, or, where their shapes
 * are different, nothing. */
static void
join_tied(Graph *graph)
{
	const Model *model = graph->model;
	int		   *first = palloc(Max(model->npayloads, 1) * sizeof(int));

	for (int i = 0; i < model->npayloads; i++)
		first[i] = -1;
	for (int i = 0; i < graph->nvalues; i++)
	{
		const GraphValue *value = &graph->values[i];
		int		   *other;

		if (value->tensor < 0)
			continue;
		other = &first[model->tensors[value->tensor].payload];
		if (*other < 0)
			*other = i;
		else if (has_shape_of(value, &graph->values[*other]))
		{
			for (int axis = 0; axis < value->rank; axis++)
				graph_join(graph, -1, i, axis, 0, *other, axis, 0,
						   value->dims[axis]);
		}
		else
		{
			pin_all(graph, i);
			pin_all(graph, *other);
		}
	}
	pfree(first);
}

/* The model's outputs stay, and what graphs in nodes take. */
static void
pin_ends(Graph *graph)
{
	for (int i = 0; i < graph->nvalues; i++)
	{
		const GraphValue *value = &graph->values[i];

		for (int axis = 0; axis < value->rank; axis++)
		{
			if (value->is_output)
				graph_pin(graph, i, axis, PIN_OUTPUT, -1);
			if (value->is_captured)
				graph_pin(graph, i, axis, PIN_FIXED, -1);
		}
	}
}

static void
forget_places(Graph *graph)
{
	graph->nplaces = 0;
	graph->nruns = 0;
	graph->nproducts = 0;
	graph->npatches = 0;
	graph->ncopies = 0;
	for (int i = 0; i < graph->nnodes; i++)
	{
		graph->nodes[i].chosen = UNKNOWN;
		graph->nodes[i].has_more = false;
	}
	for (int i = 0; i < graph->nvalues; i++)
	{
		for (int axis = 0; axis < graph->values[i].rank; axis++)
			graph->values[i].places[axis] = UNKNOWN;
		graph->values[i].doubt = -1;
		graph->values[i].ints = NULL;
	}
	MemoryContextReset(graph->ints_memory);
	graph->nints = 0;
}

/* What a node needs for itself goes with it, be there many nodes or walks. */
static void
walk(Graph *graph)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt graph node",
											   ALLOCSET_DEFAULT_SIZES);

	forget_places(graph);
	for (int i = 0; i < graph->nnodes; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(work);

		CHECK_FOR_INTERRUPTS();
		apply_node(graph, i);
		MemoryContextSwitchTo(old);
		MemoryContextReset(work);
	}
	MemoryContextDelete(work);
	join_tied(graph);
	graph_pin_copies(graph);
	pin_ends(graph);
}

static bool
is_pinned(Graph *graph, const GraphValue *value, int axis)
{
	for (int64 i = 0; i < value->dims[axis]; i++)
	{
		if (graph->pin[graph_unit(graph, value->places[axis] + i)] == PIN_NONE)
			return false;
	}
	return true;
}

/* Reshapes whose axis turned out to be fixed try the next one; false when
 * there is none. */
static bool
choose_again(Graph *graph)
{
	bool		changed = false;

	for (int i = 0; i < graph->nnodes; i++)
	{
		GraphNode  *node = &graph->nodes[i];

		if (!node->has_more || node->chosen == UNKNOWN ||
			!is_pinned(graph, &graph->values[node->outputs[0]], node->chosen))
			continue;
		node->choice++;
		changed = true;
	}
	return changed;
}

/*
 * Twice: what a layer takes tells the sizes of what comes before it, as when a
 * picture of unknown height is flattened for a linear layer.  And again where a
 * reshape has a choice.
 */
void
graph_analyze(Graph *graph)
{
	walk(graph);
	walk(graph);
	for (int i = 0; i < GRAPH_MAX_CHOICES && choose_again(graph); i++)
		walk(graph);
}
