/*
 * cut_region.c
 *		Takes a layer's nodes out of a graph and closes the gap.
 *
 * A region is the nodes that compute with the layer's tensors and all nodes
 * between them.  Where its result joins what it was made of, as in a residual
 * block, the join is part of it.  What comes in must be one value, what comes
 * out another one of the same shape; the first takes the place of the second.
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut_layers.h"

typedef struct Region
{
	Graph	   *graph;
	const bool *is_mine;		/* tensors */
	bool	   *holds;			/* values that are made of such tensors alone */
	bool	   *is_in;			/* nodes */
	bool	   *is_entry;		/* values that come in */
	bool	   *is_exit;		/* values that go out */
	int			nentries;
	int			nexits;
	int			entry;			/* one of each */
	int			exit;
} Region;

/* ---------- nodes of the region ---------- */

static bool
is_data(const Graph *graph, int value)
{
	/* Integers are shapes and the like, which the exporter computes. */
	return value >= 0 && !graph->values[value].is_constant &&
		graph->values[value].ints == NULL;
}

static void
find_own_nodes(Region *region)
{
	Graph	   *graph = region->graph;

	for (int i = 0; i < graph->nvalues; i++)
	{
		int			tensor = graph->values[i].tensor;

		region->holds[i] = tensor >= 0 && region->is_mine[tensor];
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		const GraphNode *node = &graph->nodes[i];
		bool		takes = false;
		bool		is_constant = true;

		if (node->is_removed)
			continue;
		for (int j = 0; j < node->ninputs; j++)
		{
			if (node->inputs[j] < 0)
				continue;
			takes |= region->holds[node->inputs[j]];
			is_constant &= graph->values[node->inputs[j]].is_constant;
		}
		region->is_in[i] = takes && !is_constant;
		for (int j = 0; j < node->noutputs && takes && is_constant; j++)
		{
			if (node->outputs[j] >= 0)
				region->holds[node->outputs[j]] = true;
		}
	}
}

/* Nodes that hear of one of the region's own and are heard by another one. */
static void
add_between(Region *region)
{
	Graph	   *graph = region->graph;
	bool	   *after = palloc0(Max(graph->nnodes, 1));
	bool	   *before = palloc0(Max(graph->nnodes, 1));

	for (int i = 0; i < graph->nnodes; i++)
	{
		const GraphNode *node = &graph->nodes[i];

		after[i] = region->is_in[i];
		for (int j = 0; j < node->ninputs && !node->is_removed; j++)
		{
			int			value = graph_final(graph, node->inputs[j]);

			if (value >= 0 && graph->values[value].producer >= 0)
				after[i] |= after[graph->values[value].producer];
		}
	}
	for (int i = graph->nnodes; i-- > 0;)
	{
		const GraphNode *node = &graph->nodes[i];

		before[i] |= region->is_in[i];
		for (int j = 0; j < node->ninputs && before[i] && !node->is_removed; j++)
		{
			int			value = graph_final(graph, node->inputs[j]);

			if (value >= 0 && graph->values[value].producer >= 0)
				before[graph->values[value].producer] = true;
		}
	}
	for (int i = 0; i < graph->nnodes; i++)
		region->is_in[i] |= after[i] && before[i] && !graph->nodes[i].is_removed;
	pfree(after);
	pfree(before);
}

/* ---------- what comes in and goes out ---------- */

static bool
is_made_inside(const Region *region, int value)
{
	int			producer = region->graph->values[value].producer;

	return producer >= 0 && region->is_in[producer];
}

static void
add_exit(Region *region, int value)
{
	if (region->is_exit[value])
		return;
	region->is_exit[value] = true;
	region->exit = value;
	region->nexits++;
}

static void
find_ends(Region *region)
{
	Graph	   *graph = region->graph;

	memset(region->is_entry, 0, graph->nvalues);
	memset(region->is_exit, 0, graph->nvalues);
	region->nentries = region->nexits = 0;
	for (int i = 0; i < graph->nnodes; i++)
	{
		const GraphNode *node = &graph->nodes[i];

		for (int j = 0; j < node->ninputs && !node->is_removed; j++)
		{
			int			value = graph_final(graph, node->inputs[j]);

			if (value < 0)
				continue;
			if (!region->is_in[i] && is_made_inside(region, value))
				add_exit(region, value);
			if (region->is_in[i] && is_data(graph, value) &&
				!is_made_inside(region, value) && !region->is_entry[value])
			{
				region->is_entry[value] = true;
				region->entry = value;
				region->nentries++;
			}
		}
	}
	for (int i = 0; i < graph->nvalues; i++)
	{
		const GraphValue *value = &graph->values[i];

		if ((value->is_output || value->is_captured) &&
			value->replacement < 0 && is_made_inside(region, i))
			add_exit(region, i);
	}
}

/* A node outside that takes what goes out together with something else, all of
 * which is of the region. */
static bool
is_join(const Region *region, int index)
{
	const Graph *graph = region->graph;
	const GraphNode *node = &graph->nodes[index];
	int			first = -1;
	bool		takes_exit = false;
	bool		takes_other = false;

	if (node->is_removed || region->is_in[index])
		return false;
	for (int j = 0; j < node->ninputs; j++)
	{
		int			value = graph_final(graph, node->inputs[j]);

		if (value < 0 || !is_data(graph, value))
			continue;
		if (!region->is_exit[value] && !region->is_entry[value])
			return false;
		takes_exit |= region->is_exit[value];
		takes_other |= first >= 0 && value != first;
		first = value;
	}
	return takes_exit && takes_other;
}

static void
add_joins(Region *region)
{
	bool		changed = true;

	while (changed)
	{
		changed = false;
		find_ends(region);
		for (int i = 0; i < region->graph->nnodes && !changed; i++)
		{
			if (!is_join(region, i))
				continue;
			region->is_in[i] = true;
			changed = true;
		}
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---------- activations that would come twice ---------- */

/* Whether a node works element by element and has no tensors of its own. */
static bool
is_plain(const Graph *graph, const GraphNode *node)
{
	if (node->op == NULL || node->op->apply != apply_elementwise)
		return false;
	for (int j = 0; j < node->ninputs; j++)
	{
		if (node->inputs[j] >= 0 && graph->values[node->inputs[j]].tensor >= 0)
			return false;
	}
	return true;
}

/* Takes data from inside of a set of values only. */
static bool
takes_only(const Graph *graph, const GraphNode *node, const bool *is_inside)
{
	bool		any = false;

	for (int j = 0; j < node->ninputs; j++)
	{
		int			value = graph_final(graph, node->inputs[j]);

		if (value < 0 || !is_data(graph, value))
			continue;
		if (!is_inside[value])
			return false;
		any = true;
	}
	return any;
}

/*
 * The plain nodes that only follow the exit, in order; returns how many there
 * are.  None when the exit goes elsewhere too.
 */
static int
find_tail(const Region *region, int *tail)
{
	const Graph *graph = region->graph;
	bool	   *is_inside = palloc0(Max(graph->nvalues, 1));
	int			n = 0;

	is_inside[region->exit] = true;
	for (int i = 0; i < graph->nnodes; i++)
	{
		const GraphNode *node = &graph->nodes[i];

		if (node->is_removed || region->is_in[i] || !is_plain(graph, node) ||
			!takes_only(graph, node, is_inside))
			continue;
		tail[n++] = i;
		for (int j = 0; j < node->noutputs; j++)
		{
			if (node->outputs[j] >= 0)
				is_inside[node->outputs[j]] = true;
		}
	}
	pfree(is_inside);
	return n;
}

/* The plain nodes before the entry, the last one first; at most so many. */
static int
find_head(const Region *region, int *head, int most)
{
	const Graph *graph = region->graph;
	bool	   *is_wanted = palloc0(Max(graph->nvalues, 1));
	int			n = 0;

	is_wanted[region->entry] = true;
	for (int i = graph->nnodes; i-- > 0 && n < most;)
	{
		const GraphNode *node = &graph->nodes[i];
		bool		makes = false;

		for (int j = 0; j < node->noutputs; j++)
			makes |= node->outputs[j] >= 0 && is_wanted[node->outputs[j]];
		if (node->is_removed || !makes || !is_plain(graph, node))
			continue;
		head[n++] = i;
		for (int j = 0; j < node->ninputs; j++)
		{
			int			value = graph_final(graph, node->inputs[j]);

			if (value >= 0 && is_data(graph, value))
				is_wanted[value] = true;
		}
	}
	pfree(is_wanted);
	return n;
}

/*
 * The activation after a layer goes with it when the layer before has the same
 * one: it would be applied twice.
 */
static void
add_activation(Region *region)
{
	Graph	   *graph = region->graph;
	int		   *tail = palloc(Max(graph->nnodes, 1) * sizeof(int));
	int		   *head = palloc(Max(graph->nnodes, 1) * sizeof(int));
	int			n = find_tail(region, tail);
	bool		same = n > 0 && find_head(region, head, n) == n;

	for (int i = 0; i < n && same; i++)
	{
		const GraphNode *a = &graph->nodes[tail[i]];
		const GraphNode *b = &graph->nodes[head[n - 1 - i]];

		same = onnx_compare(a->op_type, b->op_type) == 0;
	}
	for (int i = 0; i < n && same; i++)
		region->is_in[tail[i]] = true;
	if (same)
	{
		find_ends(region);
		/* Not all of it was the activation. */
		if (region->nexits != 1 || region->nentries != 1)
		{
			for (int i = 0; i < n; i++)
				region->is_in[tail[i]] = false;
			find_ends(region);
		}
	}
	pfree(tail);
	pfree(head);
}

/* ---------- whether it fits ---------- */

static const char *
show_shape(const GraphValue *value)
{
	StringInfoData out;

	if (value->rank == UNKNOWN)
		return "of unknown shape";
	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	for (int i = 0; i < value->rank; i++)
	{
		if (i > 0)
			appendStringInfoString(&out, ", ");
		if (value->dims[i] < 0)
			appendStringInfoChar(&out, '?');
		else
			appendStringInfo(&out, INT64_FORMAT, value->dims[i]);
	}
	appendStringInfoChar(&out, ']');
	return out.data;
}

/* Windows that step over places, or pools, make sizes smaller, also those that
 * are not known. */
static bool
changes_sizes(const Region *region)
{
	const Graph *graph = region->graph;

	for (int i = 0; i < graph->nnodes; i++)
	{
		const GraphNode *node = &graph->nodes[i];
		int			n;
		int64	   *strides;
		bool		steps = false;

		if (!region->is_in[i])
			continue;
		strides = graph_attribute_integers(node, "strides", &n);
		if (n == UNKNOWN)
			return true;
		if (strides == NULL)
			continue;
		for (int j = 0; j < n; j++)
			steps |= strides[j] != 1;
		pfree(strides);
		if (steps)
			return true;
	}
	return false;
}

static const char *
shape_problem(const Region *region)
{
	const GraphValue *in = &region->graph->values[region->entry];
	const GraphValue *out = &region->graph->values[region->exit];
	bool		same = in->rank != UNKNOWN && in->rank == out->rank;
	bool		known = true;

	for (int i = 0; i < in->rank && same; i++)
	{
		known &= in->dims[i] != UNKNOWN && in->dims[i] == out->dims[i];
		same = in->dims[i] == out->dims[i] || in->dims[i] < 0 ||
			out->dims[i] < 0;
	}
	if (same && (known || !changes_sizes(region)))
		return NULL;
	return psprintf("it takes %s and gives %s", show_shape(in),
					show_shape(out));
}

/* Another layer's weight that a node of the region computes with: it lies in
 * between.  Tensors that several layers share, such as masks, are no weights. */
static const char *
foreign_weight(const Region *region)
{
	const Graph *graph = region->graph;

	for (int i = 0; i < graph->nproducts; i++)
	{
		const GraphProduct *product = &graph->products[i];
		int			tensor = graph->values[product->weight].tensor;

		if (region->is_in[product->node] && !region->is_mine[tensor])
			return utf8_to_server(graph->model->tensors[tensor].name);
	}
	return NULL;
}

static const char *
region_problem(const Region *region)
{
	const Graph *graph = region->graph;
	const char *foreign = foreign_weight(region);

	if (foreign != NULL)
		return psprintf("\"%s\" lies between its parts", foreign);
	if (region->nentries == 0)
		return "no node of the graph computes with it";
	if (region->nentries > 1)
		return psprintf("it takes %d values", region->nentries);
	if (region->nexits != 1)
		return psprintf("it gives %d values", region->nexits);
	if (graph->values[region->exit].is_captured)
		return "a graph inside of a node takes what it gives";
	if (graph->values[region->exit].is_output &&
		(graph->values[region->entry].producer < 0 ||
		 graph->values[region->entry].is_output ||
		 graph->values[region->entry].is_captured))
		return "nothing would be left between the model's input and its output";
	return shape_problem(region);
}

/* ---------- taking it out ---------- */

static void
take_out(Region *region)
{
	Graph	   *graph = region->graph;
	GraphValue *in = &graph->values[region->entry];
	GraphValue *out = &graph->values[region->exit];

	for (int i = 0; i < graph->nnodes; i++)
		graph->nodes[i].is_removed |= region->is_in[i];
	out->replacement = region->entry;
	if (!out->is_output)
		return;
	/* The output keeps its name, which is now made by another node. */
	in->new_name = out->new_name != NULL ? out->new_name : onnx_string(out->name);
	in->is_output = true;
	in->is_removed = true;		/* from the list of values in between */
}

const char *
region_cut(Graph *graph, const bool *is_mine, bool try)
{
	Region		region = {graph, is_mine};
	int			nvalues = Max(graph->nvalues, 1);
	const char *problem;

	region.holds = palloc0(nvalues);
	region.is_in = palloc0(Max(graph->nnodes, 1));
	region.is_entry = palloc0(nvalues);
	region.is_exit = palloc0(nvalues);
	find_own_nodes(&region);
	add_between(&region);
	add_joins(&region);
	if (region.nentries == 1 && region.nexits == 1)
		add_activation(&region);
	problem = region_problem(&region);
	if (problem == NULL && !try)
		take_out(&region);
	pfree(region.holds);
	pfree(region.is_in);
	pfree(region.is_entry);
	pfree(region.is_exit);
	return problem;
}

/* ---------- what nobody takes any more ---------- */

static void
count_uses(const Graph *graph, int *uses)
{
	for (int i = 0; i < graph->nnodes; i++)
	{
		const GraphNode *node = &graph->nodes[i];

		for (int j = 0; j < node->ninputs && !node->is_removed; j++)
		{
			int			value = graph_final(graph, node->inputs[j]);

			if (value >= 0)
				uses[value]++;
		}
	}
	for (int i = 0; i < graph->nvalues; i++)
	{
		if (graph->values[i].is_output || graph->values[i].is_captured)
			uses[i]++;
	}
}

/* Nodes that make nothing that is taken, the last ones first. */
static void
remove_idle_nodes(Graph *graph, int *uses)
{
	for (int i = graph->nnodes; i-- > 0;)
	{
		GraphNode  *node = &graph->nodes[i];
		bool		is_idle = !node->is_removed && !node->has_graphs;

		for (int j = 0; j < node->noutputs && is_idle; j++)
			is_idle = node->outputs[j] < 0 || uses[node->outputs[j]] == 0;
		if (!is_idle)
			continue;
		node->is_removed = true;
		for (int j = 0; j < node->ninputs; j++)
		{
			int			value = graph_final(graph, node->inputs[j]);

			if (value >= 0)
				uses[value]--;
		}
	}
}

const char *
region_clean(Graph *graph, const bool *is_mine, bool *is_gone)
{
	int		   *before = palloc0(Max(graph->nvalues, 1) * sizeof(int));
	int		   *uses = palloc0(Max(graph->nvalues, 1) * sizeof(int));
	const char *problem = NULL;

	for (int i = 0; i < graph->nnodes; i++)
	{
		for (int j = 0; j < graph->nodes[i].ninputs; j++)
		{
			if (graph->nodes[i].inputs[j] >= 0)
				before[graph->nodes[i].inputs[j]]++;
		}
	}
	count_uses(graph, uses);
	remove_idle_nodes(graph, uses);
	for (int i = 0; i < graph->nvalues; i++)
	{
		GraphValue *value = &graph->values[i];

		if (value->producer >= 0 && graph->nodes[value->producer].is_removed &&
			!value->is_output)
			value->is_removed = true;
		if (value->tensor < 0)
			continue;
		if (is_mine[value->tensor] && uses[i] > 0)
			problem = psprintf("its tensor \"%s\" is used elsewhere",
							   graph_value_title(graph, i));
		if (is_mine[value->tensor] || (before[i] > 0 && uses[i] == 0))
		{
			value->is_removed = true;
			is_gone[value->tensor] = true;
		}
	}
	pfree(before);
	pfree(uses);
	return problem;
}
