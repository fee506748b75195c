/*
 * operators_shape.c
 *		Operators that move elements and compute nothing.
 */
#include "postgres.h"

#include "graph/operators.h"

void
apply_shape(Graph *graph, int node)
{
	int			output = node_output(graph, node, 0);
	const GraphInts *ints = graph_some_ints(graph, output);
	int64		dims[1] = {ints != NULL ? ints->n : UNKNOWN};

	if (output >= 0)
		graph_set_shape(graph, node, output, 1, dims);
}

/* How many elements there are. */
void
apply_size(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);

	for (int axis = 0; axis < value_rank(graph, input); axis++)
		graph_mix(graph, input, axis);
	graph_set_shape(graph, node, node_output(graph, node, 0), 0, NULL);
}

/* ---------- axes that move, come and go ---------- */

/* from says for each axis of the output which one of the input it is, or
 * UNKNOWN for one of size 1. */
static void
move_axes(Graph *graph, int node, int rank, const int *from)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	int64		dims[MODEL_MAX_DIMS] = {0};

	for (int i = 0; i < rank; i++)
		dims[i] = from[i] == UNKNOWN ? 1 : graph->values[x].dims[from[i]];
	graph_set_shape(graph, node, y, rank, dims);
	for (int i = 0; i < rank; i++)
	{
		if (from[i] != UNKNOWN)
			graph_derive_axis(graph, node, x, from[i], y, i);
	}
}

void
apply_transpose(Graph *graph, int node)
{
	int			rank = value_rank(graph, node_input(graph, node, 0));
	int			n;
	int64	   *perm = graph_attribute_integers(&graph->nodes[node], "perm", &n);
	bool		seen[MODEL_MAX_DIMS] = {false};
	int			from[MODEL_MAX_DIMS];

	if (rank == UNKNOWN || node_output(graph, node, 0) < 0 ||
		((perm != NULL || n == UNKNOWN) && n != rank))
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 0; i < rank; i++)
	{
		int64		axis = perm != NULL ? perm[i] : rank - 1 - i;

		if (axis < 0 || axis >= rank || seen[axis])
			graph_misfit(graph, node, "has a perm that is no permutation");
		seen[axis] = true;
		from[i] = (int) axis;
	}
	move_axes(graph, node, rank, from);
}

/* The axes that an attribute or an input names, of so many; false when they
 * are not known. */
static bool
named_axes(Graph *graph, int node, int rank, bool *is_named, int *count)
{
	int			n;
	int64	   *axes = graph_attribute_integers(&graph->nodes[node], "axes", &n);
	const GraphInts *ints = axes == NULL ?
		graph_known_ints(graph, node_input(graph, node, 1)) : NULL;

	if (ints != NULL)
	{
		axes = ints->values;
		n = ints->n;
	}
	if (axes == NULL)
		return false;
	/* With the axes that an Unsqueeze adds. */
	if (*count != 0)
		rank += n;
	if (rank > MODEL_MAX_DIMS)
		return false;
	memset(is_named, 0, MODEL_MAX_DIMS);
	for (int i = 0; i < n; i++)
	{
		int			axis = graph_axis(rank, axes[i]);

		if (axis == UNKNOWN || is_named[axis])
			return false;
		is_named[axis] = true;
	}
	*count = n;
	return true;
}

void
apply_squeeze(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			rank = value_rank(graph, x);
	bool		is_named[MODEL_MAX_DIMS];
	int			from[MODEL_MAX_DIMS];
	int			count = 0;
	int			n = 0;

	if (rank == UNKNOWN || node_output(graph, node, 0) < 0 ||
		!named_axes(graph, node, rank, is_named, &count))
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 0; i < rank; i++)
	{
		if (!is_named[i])
			from[n++] = i;
		else
		{
			graph_set_dim(graph, node, x, i, 1);
			graph_pin(graph, x, i, PIN_FIXED, -1);
		}
	}
	move_axes(graph, node, n, from);
}

void
apply_unsqueeze(Graph *graph, int node)
{
	int			rank = value_rank(graph, node_input(graph, node, 0));
	bool		is_named[MODEL_MAX_DIMS];
	int			from[MODEL_MAX_DIMS];
	int			count = 1;
	int			next = 0;

	if (rank == UNKNOWN || node_output(graph, node, 0) < 0 ||
		!named_axes(graph, node, rank, is_named, &count))
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 0; i < rank + count; i++)
		from[i] = is_named[i] ? UNKNOWN : next++;
	move_axes(graph, node, rank + count, from);
}

/* Sizes of 1 become as many as the shape says. */
void
apply_expand(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, x);
	const GraphInts *shape = graph_some_ints(graph, node_input(graph, node, 1));
	int64		dims[MODEL_MAX_DIMS];
	int			n;

	if (rank == UNKNOWN || y < 0 || shape == NULL || shape->n > MODEL_MAX_DIMS)
	{
		graph_doubt(graph, node);
		return;
	}
	n = Max(rank, shape->n);
	for (int i = 0; i < n; i++)
	{
		int			own = i - (n - rank);
		int			wanted = i - (n - shape->n);
		int64		have = own < 0 ? 1 : graph->values[x].dims[own];

		dims[i] = wanted < 0 || (shape->known[wanted] && shape->values[wanted] == 1) ?
			have : have > 1 ? have :
			have == 1 && shape->known[wanted] ? shape->values[wanted] : UNKNOWN;
		if (dims[i] < 0)
			dims[i] = UNKNOWN;
	}
	graph_set_shape(graph, node, y, n, dims);
	for (int i = 0; i < n; i++)
	{
		int			own = i - (n - rank);
		int			wanted = i - (n - shape->n);

		if (own < 0)
			continue;
		/* A size that is known only when the model runs cannot follow. */
		if (graph->values[x].dims[own] >= 0 &&
			graph->values[x].dims[own] == graph->values[y].dims[i] &&
			(wanted < 0 || shape->known[wanted]))
		{
			graph_derive_axis(graph, node, x, own, y, i);
			if (wanted >= 0 && shape->known[wanted] && shape->values[wanted] > 1)
				graph_follow_integer(graph, node_input(graph, node, 1), wanted,
									 y, i, 0, shape->values[wanted]);
		}
		else
			graph_pin(graph, x, own, PIN_FIXED, -1);
	}
}

/* ---------- parts of an axis ---------- */

/* What sizes come of a concatenation. */
static void
concat_dims(const Graph *graph, const GraphNode *node, int rank, int along,
			int64 *dims)
{
	for (int i = 0; i < node->ninputs; i++)
	{
		const int64 *own = graph->values[node->inputs[i]].dims;

		for (int axis = 0; axis < rank; axis++)
		{
			if (i == 0)
				dims[axis] = own[axis];
			else if (axis != along)
				dims[axis] = dims[axis] < 0 && own[axis] >= 0 ? own[axis] : dims[axis];
			else if (dims[axis] >= 0)
				dims[axis] = own[axis] < 0 || own[axis] > PG_INT32_MAX ||
					dims[axis] > PG_INT32_MAX ? UNKNOWN : dims[axis] + own[axis];
		}
	}
}

void
apply_concat(Graph *graph, int node)
{
	GraphNode  *n = &graph->nodes[node];
	int			rank = value_rank(graph, node_input(graph, node, 0));
	int			along = graph_axis(rank, graph_attribute_integer(n, "axis", 1));
	int			y = node_output(graph, node, 0);
	int64		dims[MODEL_MAX_DIMS];
	int64		start = 0;

	for (int i = 0; i < n->ninputs && along != UNKNOWN; i++)
	{
		if (value_rank(graph, n->inputs[i]) != rank)
			along = UNKNOWN;
	}
	if (along == UNKNOWN || y < 0)
	{
		graph_doubt(graph, node);
		return;
	}
	concat_dims(graph, n, rank, along, dims);
	graph_set_shape(graph, node, y, rank, dims);
	for (int i = 0; i < n->ninputs; i++)
	{
		for (int axis = 0; axis < rank; axis++)
			graph_offer(graph, n->inputs[i], axis, y, axis);
	}
	for (int i = 0; i < n->ninputs; i++)
	{
		for (int axis = 0; axis < rank; axis++)
		{
			if (axis != along)
				graph_derive_axis(graph, node, n->inputs[i], axis, y, axis);
		}
	}
	for (int i = 0; i < n->ninputs; i++)
	{
		int64		size = graph->values[n->inputs[i]].dims[along];

		if (dims[along] < 0 || size < 0)
		{
			graph_pin(graph, n->inputs[i], along, PIN_FIXED, -1);
			graph_pin(graph, y, along, PIN_FIXED, -1);
		}
		else
			graph_derive(graph, node, n->inputs[i], along, 0, y, along, start,
						 size);
		start += Max(size, 0);
	}
}

/* Sizes of the parts: an attribute, an input, or equal ones. */
static const int64 *
split_sizes(Graph *graph, int node, int *n, const GraphInts **ints)
{
	int64	   *sizes = graph_attribute_integers(&graph->nodes[node], "split", n);

	*ints = NULL;
	if (sizes != NULL || node_input(graph, node, 1) < 0)
		return sizes;
	*ints = graph_known_ints(graph, node_input(graph, node, 1));
	if (*ints == NULL)
		return NULL;
	*n = (*ints)->n;
	return (*ints)->values;
}

void
apply_split(Graph *graph, int node)
{
	GraphNode  *n = &graph->nodes[node];
	int			x = node_input(graph, node, 0);
	int			rank = value_rank(graph, x);
	int			along = graph_axis(rank, graph_attribute_integer(n, "axis", 0));
	int64		whole = along == UNKNOWN ? UNKNOWN : graph->values[x].dims[along];
	int			nsizes = 0;
	const GraphInts *ints;
	const int64 *sizes = split_sizes(graph, node, &nsizes, &ints);
	int64		start = 0;
	int64		sum = 0;

	for (int i = 0; i < nsizes && sizes != NULL; i++)
		sum = sizes[i] < 0 || sizes[i] > PG_INT32_MAX ? -1 - PG_INT32_MAX * (int64) nsizes : sum + sizes[i];
	if (whole < 0 || n->noutputs == 0 || nsizes == UNKNOWN ||
		(node_input(graph, node, 1) >= 0 && sizes == NULL) ||
		(sizes != NULL && (nsizes != n->noutputs || sum != whole)) ||
		(sizes == NULL && whole % n->noutputs != 0))
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 0; i < n->noutputs; i++)
	{
		int64		size = sizes != NULL ? sizes[i] : whole / n->noutputs;
		int			y = n->outputs[i];
		int64		dims[MODEL_MAX_DIMS];

		/* Parts that are equal without being told so stay equal. */
		if (sizes == NULL && i > 0 && graph_places(graph, x, along) != UNKNOWN)
			graph_join(graph, node, x, along, 0, x, along, start, size);
		if (y >= 0)
		{
			memcpy(dims, graph->values[x].dims, rank * sizeof(int64));
			dims[along] = size;
			graph_set_shape(graph, node, y, rank, dims);
			for (int axis = 0; axis < rank; axis++)
			{
				if (axis != along)
					graph_derive_axis(graph, node, x, axis, y, axis);
			}
			graph_derive(graph, node, x, along, start, y, along, 0, size);
		}
		if (ints != NULL)
			graph_follow_integer(graph, node_input(graph, node, 1), i, x, along,
								 start, size);
		else if (sizes != NULL)
			graph_follow_attribute(graph, node, "split", i, x, along, start, size);
		start += size;
	}
}

/* ---------- Slice ---------- */

typedef struct SliceArguments
{
	int			n;
	const int64 *starts;
	const int64 *ends;
	const int64 *axes;			/* NULL for the first ones */
	const int64 *steps;			/* NULL for 1 */
	const GraphInts *start_ints;	/* NULL when they are attributes */
	const GraphInts *end_ints;
} SliceArguments;

static bool
slice_arguments(Graph *graph, int node, SliceArguments *slice)
{
	GraphNode  *n = &graph->nodes[node];
	const GraphInts *axes;
	const GraphInts *steps;
	int			nstarts;
	int			nends;
	int			naxes;

	memset(slice, 0, sizeof(SliceArguments));
	if (node_input(graph, node, 1) < 0)
	{
		slice->starts = graph_attribute_integers(n, "starts", &nstarts);
		slice->ends = graph_attribute_integers(n, "ends", &nends);
		slice->axes = graph_attribute_integers(n, "axes", &naxes);
		slice->n = nstarts;
		return slice->starts != NULL && slice->ends != NULL &&
			nstarts == nends && naxes != UNKNOWN &&
			(slice->axes == NULL || naxes == nstarts);
	}
	slice->start_ints = graph_known_ints(graph, node_input(graph, node, 1));
	slice->end_ints = graph_known_ints(graph, node_input(graph, node, 2));
	axes = graph_known_ints(graph, node_input(graph, node, 3));
	steps = graph_known_ints(graph, node_input(graph, node, 4));
	if (slice->start_ints == NULL || slice->end_ints == NULL ||
		slice->start_ints->n != slice->end_ints->n ||
		(node_input(graph, node, 3) >= 0 && axes == NULL) ||
		(node_input(graph, node, 4) >= 0 && steps == NULL) ||
		(axes != NULL && axes->n != slice->start_ints->n) ||
		(steps != NULL && steps->n != slice->start_ints->n))
		return false;
	slice->n = slice->start_ints->n;
	slice->starts = slice->start_ints->values;
	slice->ends = slice->end_ints->values;
	slice->axes = axes != NULL ? axes->values : NULL;
	slice->steps = steps != NULL ? steps->values : NULL;
	return true;
}

/* A start or an end in terms of a size. */
static int64
slice_bound(int64 bound, int64 size)
{
	if (bound < 0)
		return bound < -size ? 0 : bound + size;
	return Min(bound, size);
}

/* What stays of a slice is what is left of its places; its ends follow. */
static void
slice_axis(Graph *graph, int node, const SliceArguments *slice, int i,
		   int axis, int64 start, int64 n)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	int64		size = graph->values[x].dims[axis];

	if (graph_places(graph, x, axis) == UNKNOWN)
		return;
	if ((slice->steps != NULL && slice->steps[i] != 1) ||
		slice->start_ints == NULL || slice->starts[i] < 0 ||
		(slice->ends[i] < 0 && start + n != size))
	{
		graph_pin(graph, x, axis, PIN_FIXED, -1);
		return;
	}
	graph_derive(graph, node, x, axis, start, y, axis, 0, n);
	if (slice->starts[i] > 0)
		graph_follow_integer(graph, node_input(graph, node, 1), i, x, axis, 0,
							 start);
	if (slice->ends[i] <= size)
		graph_follow_integer(graph, node_input(graph, node, 2), i, x, axis, 0,
							 start + n);
}

void
apply_slice(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, x);
	SliceArguments slice;
	int64		dims[MODEL_MAX_DIMS];
	int			argument[MODEL_MAX_DIMS];

	if (rank == UNKNOWN || y < 0 || !slice_arguments(graph, node, &slice))
	{
		graph_doubt(graph, node);
		return;
	}
	for (int axis = 0; axis < rank; axis++)
	{
		argument[axis] = UNKNOWN;
		dims[axis] = graph->values[x].dims[axis];
	}
	for (int i = 0; i < slice.n; i++)
	{
		int			axis = graph_axis(rank, slice.axes != NULL ? slice.axes[i] : i);
		int64		step = slice.steps != NULL ? slice.steps[i] : 1;

		if (axis == UNKNOWN || argument[axis] != UNKNOWN)
		{
			graph_doubt(graph, node);
			return;
		}
		argument[axis] = i;
		if (dims[axis] < 0 || step != 1)
			dims[axis] = UNKNOWN;
		else
			dims[axis] = Max(slice_bound(slice.ends[i], dims[axis]) -
							 slice_bound(slice.starts[i], dims[axis]), 0);
	}
	graph_set_shape(graph, node, y, rank, dims);
	for (int axis = 0; axis < rank; axis++)
	{
		int			i = argument[axis];

		if (i == UNKNOWN)
			graph_derive_axis(graph, node, x, axis, y, axis);
		else if (dims[axis] < 0)
			graph_pin(graph, x, axis, PIN_FIXED, -1);
		else
			slice_axis(graph, node, &slice, i, axis,
					   slice_bound(slice.starts[i], graph->values[x].dims[axis]),
					   dims[axis]);
	}
}
