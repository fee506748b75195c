/*
 * operators_linear.c
 *		Operators that multiply by weights, and tables that are chosen from.
 */
#include "postgres.h"

#include "graph/operators.h"

/* ---------- weights ---------- */

/* How a value is made of an initializer. */
typedef struct WeightSource
{
	bool		turned;			/* its two dimensions are exchanged */
	int			coded_by;		/* as of GraphProduct */
	bool		is_shifted;
} WeightSource;

/* Whether a DequantizeLinear takes anything but zeros for its zero points. */
static bool
has_zero_points(Graph *graph, int node)
{
	int			zeros = node_input(graph, node, 2);
	Payload    *payload;

	if (zeros < 0)
		return false;
	if (graph->values[zeros].tensor < 0)
		return true;
	payload = tensor_payload(graph->model,
							 &graph->model->tensors[graph->values[zeros].tensor]);
	return payload_zeros(payload) < payload->count;
}

/*
 * The initializer that a constant value is made of without change, as when a
 * weight is transposed or dequantized first.  -1 when it is something else.
 */
static int
weight_source(Graph *graph, int value, WeightSource *source)
{
	*source = (WeightSource) {.coded_by = -1};
	while (value >= 0 && graph->values[value].tensor < 0)
	{
		int			producer = graph->values[value].producer;
		const GraphNode *node;

		if (producer < 0)
			return -1;
		node = &graph->nodes[producer];
		if (node->op == NULL)
			return -1;
		if (strcmp(node->op->name, "Transpose") == 0 &&
			value_rank(graph, node_input(graph, producer, 0)) == 2)
		{
			int			n;
			int64	   *perm = graph_attribute_integers(node, "perm", &n);

			if (perm == NULL || n != 2 || perm[0] == 1)
				source->turned = !source->turned;
		}
		else if (strcmp(node->op->name, "DequantizeLinear") == 0)
		{
			source->coded_by = producer;
			source->is_shifted |= has_zero_points(graph, producer);
		}
		else if (strcmp(node->op->name, "Identity") != 0 &&
				 strcmp(node->op->name, "Cast") != 0)
			return -1;
		value = node_input(graph, producer, 0);
	}
	return value;
}

/* Whether an axis of a value is that axis of the tensor it is made of.  Nodes may
 * have inputs and outputs that their operators do not know of. */
static bool
is_axis_of(const Graph *graph, int value, int axis, int tensor,
		   int tensor_axis)
{
	const GraphValue *v = &graph->values[value];
	const GraphValue *t = &graph->values[tensor];

	return t->rank == v->rank && t->dims[tensor_axis] == v->dims[axis];
}

void
graph_note_product(Graph *graph, int node, int x, int x_axis, int w, int in_axis,
			 int out_axis, int y, int y_axis, int groups, int bias)
{
	WeightSource source;
	int			weight = weight_source(graph, w, &source);
	int			weight_in = source.turned ? 1 - in_axis : in_axis;
	int			weight_out = source.turned ? 1 - out_axis : out_axis;
	GraphProduct *product;

	if (weight < 0 || !is_axis_of(graph, w, in_axis, weight, weight_in) ||
		!is_axis_of(graph, w, out_axis, weight, weight_out))
	{
		graph_mix(graph, x, x_axis);
		graph_mix(graph, w, in_axis);
		return;
	}
	product = graph_add_product(graph, node);
	product->weight = weight;
	product->in_axis = weight_in;
	product->out_axis = weight_out;
	product->groups = groups;
	product->x = graph->values[x].places[x_axis];
	product->nx = graph->values[x].dims[x_axis];
	product->y = graph->values[y].places[y_axis];
	product->ny = graph->values[y].dims[y_axis];
	product->bias = bias;
	product->coded_by = source.coded_by;
	product->is_shifted = source.is_shifted;
}

/* ---------- Gemm ---------- */

/* The bias is a vector, or broadcast along some axes. */
static void
join_bias(Graph *graph, int node, int bias, int y)
{
	int			rank = value_rank(graph, bias);

	if (bias < 0)
		return;
	if (rank == UNKNOWN || rank > 2)
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 0; i < rank; i++)
	{
		int			axis = i + 2 - rank;
		int64		size = graph->values[bias].dims[i];

		if (size >= 0 && size == graph->values[y].dims[axis])
			graph_join(graph, node, bias, i, 0, y, axis, 0, size);
		else if (size != 1)
			graph_misfit(graph, node, psprintf("adds \"%s\" of size " INT64_FORMAT " to " INT64_FORMAT,
											   graph_value_title(graph, bias), size,
											   graph->values[y].dims[axis]));
	}
}

void
apply_gemm(Graph *graph, int node)
{
	const GraphNode *n = &graph->nodes[node];
	int			x = node_input(graph, node, 0);
	int			w = node_input(graph, node, 1);
	int			bias = node_input(graph, node, 2);
	int			y = node_output(graph, node, 0);
	int			row = graph_attribute_integer(n, "transA", 0) != 0;
	int			in_axis = graph_attribute_integer(n, "transB", 0) != 0;
	int64		dims[2];

	if (value_rank(graph, x) == UNKNOWN && x >= 0)
		graph_set_rank(graph, &graph->values[x], 2);
	if (value_rank(graph, x) != 2 || value_rank(graph, w) != 2 || y < 0)
	{
		graph_doubt(graph, node);
		return;
	}
	graph_same_dim(graph, node, x, 1 - row, w, in_axis);
	dims[0] = graph->values[x].dims[row];
	dims[1] = graph->values[w].dims[1 - in_axis];
	graph_set_shape(graph, node, y, 2, dims);
	graph_join(graph, node, x, 1 - row, 0, w, in_axis, 0,
			   Max(graph->values[w].dims[in_axis], 0));
	graph_derive_axis(graph, node, x, row, y, 0);
	graph_derive_axis(graph, node, w, 1 - in_axis, y, 1);
	join_bias(graph, node, bias, y);
	graph_note_product(graph, node, x, 1 - row, w, in_axis, 1 - in_axis, y, 1, 1,
				 bias);
}

/* ---------- MatMul ---------- */

/* Axes before the last two, of which those of size 1 are stretched. */
static void
offer_batch(Graph *graph, int value, int y)
{
	int			shift = graph->values[y].rank - graph->values[value].rank;

	for (int axis = 0; axis < graph->values[value].rank - 2; axis++)
	{
		if (graph->values[value].dims[axis] != 1)
			graph_offer(graph, value, axis, y, axis + shift);
	}
}

/* They belong to each other, from the end on. */
static void
join_batch(Graph *graph, int node, int value, int y)
{
	int			rank = graph->values[value].rank;
	int			shift = graph->values[y].rank - rank;

	for (int axis = 0; axis < rank - 2; axis++)
	{
		if (graph->values[value].dims[axis] ==
			graph->values[y].dims[axis + shift])
			graph_derive(graph, node, value, axis, 0, y, axis + shift, 0,
						 Max(graph->values[y].dims[axis + shift], 0));
		else
		{
			graph_pin(graph, value, axis, PIN_FIXED, -1);
			if (graph->values[value].dims[axis] < 0)
				graph_pin(graph, y, axis + shift, PIN_FIXED, -1);
		}
	}
}

static int64
batch_size(const Graph *graph, int value, int axis, int rank)
{
	int			own = axis - (rank - graph->values[value].rank);

	return own < 0 ? 1 : graph->values[value].dims[own];
}

void
apply_matmul(Graph *graph, int node)
{
	int			a = node_input(graph, node, 0);
	int			b = node_input(graph, node, 1);
	int			y = node_output(graph, node, 0);
	int			rank_a = value_rank(graph, a);
	int			rank_b = value_rank(graph, b);
	int			rank = Max(rank_a, rank_b);
	int64		dims[MODEL_MAX_DIMS];

	if (rank_a < 2 || rank_b < 2 || y < 0)
	{
		graph_doubt(graph, node);
		return;
	}
	graph_same_dim(graph, node, a, rank_a - 1, b, rank_b - 2);
	for (int axis = 0; axis < rank - 2; axis++)
	{
		int64		size_a = batch_size(graph, a, axis, rank);
		int64		size_b = batch_size(graph, b, axis, rank);

		dims[axis] = size_a == 1 || (size_a < 0 && size_b > 1) ? size_b : size_a;
		if (size_a > 1 && size_b > 1 && size_a != size_b)
			graph_misfit(graph, node, psprintf("takes sizes " INT64_FORMAT " and " INT64_FORMAT " together",
											   size_a, size_b));
	}
	dims[rank - 2] = graph->values[a].dims[rank_a - 2];
	dims[rank - 1] = graph->values[b].dims[rank_b - 1];
	graph_set_shape(graph, node, y, rank, dims);
	graph_join(graph, node, a, rank_a - 1, 0, b, rank_b - 2, 0,
			   Max(graph->values[a].dims[rank_a - 1], 0));
	offer_batch(graph, a, y);
	offer_batch(graph, b, y);
	join_batch(graph, node, a, y);
	join_batch(graph, node, b, y);
	graph_derive_axis(graph, node, a, rank_a - 2, y, rank - 2);
	graph_derive_axis(graph, node, b, rank_b - 1, y, rank - 1);
	if (rank_a == 2 && graph->values[a].is_constant)
		graph_note_product(graph, node, b, rank_b - 2, a, 1, 0, y, rank - 2, 1, -1);
	else if (rank_b == 2)
		graph_note_product(graph, node, a, rank_a - 1, b, 0, 1, y, rank - 1, 1, -1);
	else
	{
		graph_mix(graph, a, rank_a - 1);
		graph_mix(graph, b, rank_b - 2);
	}
}

/* ---------- Gather ---------- */

/*
 * Rows of a table, as an embedding's, or a part of a value.  What is chosen
 * from stays as it is; other axes move along.
 */
void
apply_gather(Graph *graph, int node)
{
	int			data = node_input(graph, node, 0);
	int			index = node_input(graph, node, 1);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, data);
	int			index_rank = value_rank(graph, index);
	int			axis = graph_axis(rank, graph_attribute_integer(&graph->nodes[node],
																"axis", 0));
	int64		dims[2 * MODEL_MAX_DIMS];
	int			n = 0;
	int			from[2 * MODEL_MAX_DIMS];

	if (axis == UNKNOWN || index_rank == UNKNOWN || y < 0)
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 0; i < rank; i++)
	{
		if (i != axis)
		{
			from[n] = i;
			dims[n++] = graph->values[data].dims[i];
			continue;
		}
		for (int j = 0; j < index_rank; j++)
		{
			from[n] = UNKNOWN;
			dims[n++] = graph->values[index].dims[j];
		}
	}
	graph_set_shape(graph, node, y, n, dims);
	graph_pin(graph, data, axis, PIN_FIXED, -1);
	for (int i = 0; i < n; i++)
	{
		if (from[i] != UNKNOWN)
			graph_derive_axis(graph, node, data, from[i], y, i);
	}
	if (graph->values[data].tensor >= 0 && rank == 2 && axis == 0)
	{
		GraphProduct *product = graph_add_product(graph, node);

		product->weight = data;
		product->in_axis = 0;
		product->out_axis = 1;
		product->is_lookup = true;
		product->y = graph->values[y].places[n - 1];
		product->ny = graph->values[y].dims[n - 1];
	}
}
