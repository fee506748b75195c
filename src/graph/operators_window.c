/*
 * operators_window.c
 *		Operators whose windows slide: convolutions, pools, padding.
 */
#include "postgres.h"

#include "graph/operators.h"

/* ---------- windows ---------- */

typedef struct Window
{
	int			n;				/* dimensions */
	int64		kernel[MODEL_MAX_DIMS];
	int64		stride[MODEL_MAX_DIMS];
	int64		dilation[MODEL_MAX_DIMS];
	int64		padding[MODEL_MAX_DIMS];	/* before and after */
	bool		is_known;		/* false when sizes are not to be told */
	bool		rounds_up;
} Window;

/* Sizes of at most 2^31 are meant; others make the shape unknown. */
static bool
is_sane(int64 value)
{
	return value >= 0 && value <= PG_INT32_MAX;
}

static bool
read_sizes(const GraphNode *node, const char *name, int n, int64 otherwise,
		   int64 *sizes)
{
	int			given;
	int64	   *values = graph_attribute_integers(node, name, &given);

	if ((values != NULL || given == UNKNOWN) && given != n)
		return false;
	for (int i = 0; i < n; i++)
	{
		sizes[i] = values != NULL ? values[i] : otherwise;
		if (!is_sane(sizes[i]))
			return false;
	}
	return true;
}

static void
read_window(const GraphNode *node, Window *window, int n)
{
	OnnxBytes	automatic = onnx_get(graph_attribute(node, "auto_pad"),
									 ATTRIBUTE_S);
	int64		pads[2 * MODEL_MAX_DIMS];

	window->n = n;
	window->is_known =
		read_sizes(node, "kernel_shape", n, 0, window->kernel) &&
		read_sizes(node, "strides", n, 1, window->stride) &&
		read_sizes(node, "dilations", n, 1, window->dilation) &&
		read_sizes(node, "pads", 2 * n, 0, pads) &&
		(automatic.size == 0 || onnx_equals(automatic, "NOTSET") ||
		 onnx_equals(automatic, "VALID"));
	window->rounds_up = graph_attribute_integer(node, "ceil_mode", 0) != 0;
	for (int i = 0; i < n && window->is_known; i++)
		window->padding[i] = pads[i] + pads[n + i];
}

/* The size that a window leaves of a dimension. */
static int64
slid_size(const Window *window, int i, int64 size)
{
	int64		span;

	if (!window->is_known || !is_sane(size) || !is_sane(window->kernel[i]) ||
		window->kernel[i] < 1 || window->stride[i] < 1)
		return UNKNOWN;
	span = size + window->padding[i] -
		(window->dilation[i] * (window->kernel[i] - 1) + 1);
	if (span < 0)
		return UNKNOWN;
	/* Rounding up, the last window may not begin in the padding. */
	if (window->rounds_up)
		return span % window->stride[i] == 0 ? span / window->stride[i] + 1 : UNKNOWN;
	return span / window->stride[i] + 1;
}

/* What a window slides over is in an order, which nothing can go from. */
static void
pin_window(Graph *graph, int x)
{
	for (int axis = 2; axis < graph->values[x].rank; axis++)
		graph_pin(graph, x, axis, PIN_FIXED, -1);
}

/* ---------- Conv ---------- */

/* Joins what lies at the same place of each of n parts of an axis. */
static void
join_parts(Graph *graph, int node, int value, int axis, int64 parts)
{
	int64		n = graph->values[value].dims[axis] / parts;

	if (graph_places(graph, value, axis) == UNKNOWN)
		return;
	for (int64 i = 1; i < parts; i++)
		graph_join(graph, node, value, axis, 0, value, axis, i * n, n);
}

/* Places of a value's axis that all belong to the value of the weight. */
static void
join_to_parts(Graph *graph, int node, int weight, int axis, int value,
			  int value_axis, int64 parts)
{
	int64		n = graph->values[weight].dims[axis];

	/* A part without places says all that there is to say; there may be very
	 * many of them. */
	if (graph_places(graph, value, value_axis) == UNKNOWN)
		parts = 1;
	for (int64 i = 0; i < parts; i++)
		graph_join(graph, node, weight, axis, 0, value, value_axis, i * n, n);
}

/* Each group is one channel: it goes with all that is made of it. */
static void
join_depthwise(Graph *graph, int node, int x, int y, int64 groups)
{
	int64		multiple = graph->values[y].dims[1] / groups;

	if (graph_places(graph, x, 1) == UNKNOWN && graph_places(graph, y, 1) == UNKNOWN)
		return;
	for (int64 i = 0; i < groups; i++)
	{
		for (int64 j = 0; j < multiple; j++)
			graph_join(graph, node, x, 1, i, y, 1, i * multiple + j, 1);
	}
	graph_follow_attribute(graph, node, "group", 0, x, 1, 0, groups);
}

/* The weight has [out, in / groups, ...]. */
void
apply_conv(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			w = node_input(graph, node, 1);
	int			bias = node_input(graph, node, 2);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, w);
	int64		groups = graph_attribute_integer(&graph->nodes[node], "group", 1);
	int64		dims[MODEL_MAX_DIMS];
	int64		in;
	int64		out;
	Window		window;

	if (value_rank(graph, x) == UNKNOWN && x >= 0 && rank >= 3)
		graph_set_rank(graph, &graph->values[x], rank);
	if (rank < 3 || value_rank(graph, x) != rank || y < 0 ||
		!is_sane(graph->values[w].dims[0]) || !is_sane(graph->values[w].dims[1]))
	{
		graph_doubt(graph, node);
		return;
	}
	out = graph->values[w].dims[0];
	in = graph->values[w].dims[1];
	if (groups < 1 || groups > Max(out, 1) || out % groups != 0)
		graph_misfit(graph, node, psprintf("has " INT64_FORMAT " groups for " INT64_FORMAT " channels",
										   groups, out));
	graph_set_dim(graph, node, x, 1, in * groups);
	read_window(&graph->nodes[node], &window, rank - 2);
	dims[0] = graph->values[x].dims[0];
	dims[1] = out;
	for (int i = 0; i < rank - 2; i++)
	{
		window.kernel[i] = graph->values[w].dims[i + 2];
		dims[i + 2] = slid_size(&window, i, graph->values[x].dims[i + 2]);
	}
	graph_set_shape(graph, node, y, rank, dims);
	pin_window(graph, x);
	graph_derive_axis(graph, node, x, 0, y, 0);
	graph_derive_axis(graph, node, w, 0, y, 1);
	if (groups > 1 && in == 1)
		join_depthwise(graph, node, x, y, groups);
	else
	{
		join_to_parts(graph, node, w, 1, x, 1, groups);
		join_parts(graph, node, y, 1, groups);
	}
	if (bias >= 0 && value_rank(graph, bias) == 1)
	{
		graph_set_dim(graph, node, bias, 0, out);
		graph_join(graph, node, bias, 0, 0, y, 1, 0, out);
	}
	graph_note_product(graph, node, x, 1, w, 1, 0, y, 1, groups, bias);
}

/* The weight has [in, out / groups, ...]. */
void
apply_conv_transpose(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			w = node_input(graph, node, 1);
	int			bias = node_input(graph, node, 2);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, w);
	int64		groups = graph_attribute_integer(&graph->nodes[node], "group", 1);
	int64		dims[MODEL_MAX_DIMS];

	if (rank < 3 || value_rank(graph, x) != rank || y < 0 || groups != 1)
	{
		graph_doubt(graph, node);
		return;
	}
	graph_same_dim(graph, node, x, 1, w, 0);
	dims[0] = graph->values[x].dims[0];
	dims[1] = graph->values[w].dims[1];
	for (int i = 2; i < rank; i++)
		dims[i] = UNKNOWN;
	graph_set_shape(graph, node, y, rank, dims);
	pin_window(graph, x);
	graph_derive_axis(graph, node, x, 0, y, 0);
	graph_derive_axis(graph, node, w, 1, y, 1);
	graph_join(graph, node, x, 1, 0, w, 0, 0, Max(graph->values[w].dims[0], 0));
	if (bias >= 0 && value_rank(graph, bias) == 1)
	{
		graph_same_dim(graph, node, bias, 0, y, 1);
		graph_join(graph, node, bias, 0, 0, y, 1, 0,
				   Max(graph->values[y].dims[1], 0));
	}
	graph_note_product(graph, node, x, 1, w, 0, 1, y, 1, 1, bias);
}

/* ---------- pools ---------- */

/* Batch and channels stay, windows slide over the rest. */
static void
pool(Graph *graph, int node, const Window *window)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, x);
	int64		dims[MODEL_MAX_DIMS] = {0};

	for (int i = 0; i < rank; i++)
		dims[i] = i < 2 ? graph->values[x].dims[i] :
			window == NULL ? 1 :
			slid_size(window, i - 2, graph->values[x].dims[i]);
	graph_set_shape(graph, node, y, rank, dims);
	for (int axis = 0; axis < 2; axis++)
		graph_derive_axis(graph, node, x, axis, y, axis);
	pin_window(graph, x);
}

static bool
can_pool(Graph *graph, int node)
{
	const GraphNode *n = &graph->nodes[node];

	/* Indexes of maxima count elements. */
	if (value_rank(graph, node_input(graph, node, 0)) >= 3 &&
		node_output(graph, node, 0) >= 0 && n->noutputs == 1)
		return true;
	graph_doubt(graph, node);
	return false;
}

void
apply_pool(Graph *graph, int node)
{
	Window		window;

	if (!can_pool(graph, node))
		return;
	read_window(&graph->nodes[node], &window,
				value_rank(graph, node_input(graph, node, 0)) - 2);
	pool(graph, node, &window);
}

void
apply_global_pool(Graph *graph, int node)
{
	if (can_pool(graph, node))
		pool(graph, node, NULL);
}

/* Padding along an axis with places would add some. */
void
apply_pad(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, x);
	int			n;
	int64	   *pads = graph_attribute_integers(&graph->nodes[node], "pads", &n);
	const GraphInts *ints = pads == NULL ?
		graph_known_ints(graph, node_input(graph, node, 1)) : NULL;
	int64		dims[MODEL_MAX_DIMS];

	if (ints != NULL)
	{
		pads = ints->values;
		n = ints->n;
	}
	if (rank == UNKNOWN || y < 0 || pads == NULL || n != 2 * rank ||
		node_input(graph, node, 3) >= 0)
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 0; i < rank; i++)
	{
		int64		size = graph->values[x].dims[i];

		dims[i] = is_sane(size) && pads[i] > -PG_INT32_MAX &&
			pads[i] < PG_INT32_MAX && pads[rank + i] > -PG_INT32_MAX &&
			pads[rank + i] < PG_INT32_MAX ? size + pads[i] + pads[rank + i] : UNKNOWN;
		if (dims[i] < 0)
			dims[i] = UNKNOWN;
	}
	graph_set_shape(graph, node, y, rank, dims);
	for (int i = 0; i < rank; i++)
	{
		if (pads[i] == 0 && pads[rank + i] == 0)
			graph_derive_axis(graph, node, x, i, y, i);
		else
			graph_pin(graph, x, i, PIN_FIXED, -1);
	}
}
