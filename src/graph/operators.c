/*
 * operators.c
 *		The table of operators, and those that work on each element or along an
 *		axis.
 */
#include "postgres.h"

#include "graph/operators.h"

/* ---------- element by element ---------- */

/* The axis of an input that is an axis of the output, aligned at the end; -1
 * when the input has none. */
static inline int
aligned(const Graph *graph, int value, int axis, int rank)
{
	return axis - (rank - graph->values[value].rank);
}

/* The size along an axis: sizes of 1 are stretched. */
static int64
stretched_size(Graph *graph, int node, int axis, int rank)
{
	GraphNode  *n = &graph->nodes[node];
	int64		size = 1;

	for (int i = 0; i < n->ninputs; i++)
	{
		int			own = n->inputs[i] < 0 ? -1 :
			aligned(graph, n->inputs[i], axis, rank);
		int64		dim = own < 0 ? 1 : graph->values[n->inputs[i]].dims[own];

		if (dim == 1 || dim == size)
			continue;
		if (size == 1 || (size < 0 && dim >= 0))
			size = dim;
		else if (dim >= 0 && size >= 0)
			graph_misfit(graph, node,
						 psprintf("takes sizes " INT64_FORMAT " and " INT64_FORMAT " together",
								  size, dim));
	}
	return size;
}

static bool
any_places(const Graph *graph, int node, int axis, int rank)
{
	const GraphNode *n = &graph->nodes[node];

	if (n->ninputs == 1)
		return true;
	for (int i = 0; i < n->ninputs; i++)
	{
		int			own = n->inputs[i] < 0 ? -1 :
			aligned(graph, n->inputs[i], axis, rank);

		if (own >= 0 && graph->values[n->inputs[i]].places[own] != UNKNOWN &&
			graph->values[n->inputs[i]].dims[own] != 1)
			return true;
	}
	return false;
}

static void
join_inputs(Graph *graph, int node, int axis, int rank, int64 size)
{
	GraphNode  *n = &graph->nodes[node];
	int			output = n->outputs[0];

	if (n->ninputs > 1 && size >= 0)
		graph_make_places(graph, output, axis);
	for (int i = 0; i < n->ninputs; i++)
	{
		int			value = n->inputs[i];
		int			own = value < 0 ? -1 : aligned(graph, value, axis, rank);

		if (own < 0)
			continue;
		if (graph->values[value].dims[own] == size)
			graph_derive(graph, node, value, own, 0, output, axis, 0, size);
		else
		{
			/* Stretched, or of a size that is not known. */
			graph_pin(graph, value, own, PIN_FIXED, -1);
			if (graph->values[value].dims[own] < 0)
				graph_pin(graph, output, axis, PIN_FIXED, -1);
		}
	}
}

void
apply_elementwise(Graph *graph, int node)
{
	GraphNode  *n = &graph->nodes[node];
	int			rank = 0;
	int64		dims[MODEL_MAX_DIMS];

	for (int i = 0; i < n->ninputs; i++)
	{
		int			own = value_rank(graph, n->inputs[i]);

		if (n->inputs[i] >= 0 && own == UNKNOWN)
		{
			graph_doubt(graph, node);
			return;
		}
		rank = Max(rank, own);
	}
	for (int axis = 0; axis < rank; axis++)
		dims[axis] = stretched_size(graph, node, axis, rank);
	if (node_output(graph, node, 0) < 0)
		return;
	graph_set_shape(graph, node, n->outputs[0], rank, dims);
	for (int axis = 0; axis < rank; axis++)
	{
		if (any_places(graph, node, axis, rank))
			join_inputs(graph, node, axis, rank,
						graph->values[n->outputs[0]].dims[axis]);
	}
}

/* ---------- norms ---------- */

/* The output has the input's shape and places. */
static bool
keep_shape(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);
	int			output = node_output(graph, node, 0);

	if (value_rank(graph, input) == UNKNOWN || output < 0)
	{
		graph_doubt(graph, node);
		return false;
	}
	graph_set_shape(graph, node, output, graph->values[input].rank,
					graph->values[input].dims);
	for (int axis = 0; axis < graph->values[input].rank; axis++)
		graph_derive_axis(graph, node, input, axis, output, axis);
	return true;
}

/* A vector has an element for each place of an axis. */
static void
join_vector(Graph *graph, int node, int value, int axis, int vector)
{
	if (vector < 0)
		return;
	if (value_rank(graph, vector) != 1)
		graph_misfit(graph, node, psprintf("takes \"%s\", which is no vector",
										   graph_value_title(graph, vector)));
	graph_same_dim(graph, node, value, axis, vector, 0);
	if (graph->values[value].dims[axis] < 0)
		graph_pin(graph, vector, 0, PIN_FIXED, -1);
	else
		graph_join(graph, node, value, axis, 0, vector, 0, 0,
				   graph->values[value].dims[axis]);
}

static void
join_vectors(Graph *graph, int node, int n)
{
	int			input = node_input(graph, node, 0);

	if (value_rank(graph, input) < 2)
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 1; i <= n; i++)
		join_vector(graph, node, input, 1, node_input(graph, node, i));
	(void) keep_shape(graph, node);
}

void
apply_batch_norm(Graph *graph, int node)
{
	if (graph->nodes[node].noutputs > 1)
		graph_doubt(graph, node);	/* which is training */
	else
		join_vectors(graph, node, 4);
}

/* Statistics are over all of a picture. */
static void
mix_picture(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);

	for (int axis = 2; axis < value_rank(graph, input); axis++)
		graph_mix(graph, input, axis);
}

void
apply_instance_norm(Graph *graph, int node)
{
	join_vectors(graph, node, 2);
	mix_picture(graph, node);
}

void
apply_layer_norm(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);
	int			rank = value_rank(graph, input);
	int			first = graph_axis(rank, graph_attribute_integer(&graph->nodes[node],
																  "axis", -1));

	if (first == UNKNOWN || !keep_shape(graph, node))
	{
		graph_doubt(graph, node);
		return;
	}
	for (int i = 1; i <= 2; i++)
	{
		int			vector = node_input(graph, node, i);

		if (vector < 0)
			continue;
		if (value_rank(graph, vector) != rank - first)
		{
			graph_doubt(graph, node);
			return;
		}
		for (int axis = first; axis < rank; axis++)
		{
			graph_same_dim(graph, node, input, axis, vector, axis - first);
			graph_join(graph, node, input, axis, 0, vector, axis - first, 0,
					   Max(graph->values[input].dims[axis], 0));
		}
	}
	for (int axis = first; axis < rank; axis++)
		graph_mix(graph, input, axis);
}

/* What lies at the same place of each group can only go from all of them. */
static void
join_groups(Graph *graph, int node, int value, int axis, int64 groups)
{
	int64		n = graph->values[value].dims[axis];

	if (n < 0 || graph->values[value].places[axis] == UNKNOWN)
		return;
	for (int64 start = n / groups; start < n; start += n / groups)
		graph_join(graph, node, value, axis, 0, value, axis, start, n / groups);
}

void
apply_group_norm(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);
	int64		groups = graph_attribute_integer(&graph->nodes[node],
												 "num_groups", 0);
	int64		channels = value_rank(graph, input) < 2 ? UNKNOWN :
		graph->values[input].dims[1];

	if (groups < 1 || channels < 0 || channels % groups != 0 ||
		channels == 0 || !keep_shape(graph, node))
	{
		graph_doubt(graph, node);
		return;
	}
	join_groups(graph, node, input, 1, groups);
	graph_mix(graph, input, 1);
	mix_picture(graph, node);
	for (int i = 1; i <= 2; i++)
	{
		int			vector = node_input(graph, node, i);

		/* Before opset 21 there is one for each group. */
		if (value_rank(graph, vector) == 1 &&
			graph->values[vector].dims[0] == channels)
			join_vector(graph, node, input, 1, vector);
	}
}

/* Across neighbouring channels. */
void
apply_local_norm(Graph *graph, int node)
{
	if (value_rank(graph, node_input(graph, node, 0)) < 2)
		graph_doubt(graph, node);
	else if (keep_shape(graph, node))
		graph_mix(graph, node_input(graph, node, 0), 1);
}

void
apply_softmax(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);
	int			rank = value_rank(graph, input);
	bool		is_flat = graph->opset < 13;
	int			axis = graph_axis(rank, graph_attribute_integer(&graph->nodes[node],
																"axis", is_flat ? 1 : -1));

	if (axis == UNKNOWN || !keep_shape(graph, node))
	{
		graph_doubt(graph, node);
		return;
	}
	/* Earlier it was over all axes from this one on. */
	for (int last = is_flat ? rank - 1 : axis; axis <= last; axis++)
		graph_mix(graph, input, axis);
}

/* ---------- along axes ---------- */

/* Marks the axes that a node reduces; false when they are not known. */
static bool
reduced_axes(Graph *graph, int node, int rank, bool *is_reduced)
{
	GraphNode  *n = &graph->nodes[node];
	int			naxes;
	int64	   *axes = graph_attribute_integers(n, "axes", &naxes);

	memset(is_reduced, 0, MODEL_MAX_DIMS);
	if (naxes == UNKNOWN)
		return false;
	if (axes == NULL && node_input(graph, node, 1) >= 0)
	{
		const GraphInts *ints = graph_known_ints(graph, n->inputs[1]);

		if (ints == NULL)
			return false;
		axes = ints->values;
		naxes = ints->n;
	}
	if (naxes == 0 &&
		graph_attribute_integer(n, "noop_with_empty_axes", 0) != 0)
		return true;
	for (int i = 0; i < rank; i++)
		is_reduced[i] = naxes == 0;
	for (int i = 0; i < naxes; i++)
	{
		int			axis = graph_axis(rank, axes[i]);

		if (axis == UNKNOWN)
			return false;
		is_reduced[axis] = true;
	}
	return true;
}

static void
reduce(Graph *graph, int node, const bool *is_reduced)
{
	int			input = node_input(graph, node, 0);
	int			output = node_output(graph, node, 0);
	bool		keep = graph_attribute_integer(&graph->nodes[node],
											   "keepdims", 1) != 0;
	int			rank = 0;
	int64		dims[MODEL_MAX_DIMS];
	int			from[MODEL_MAX_DIMS];

	for (int axis = 0; axis < graph->values[input].rank; axis++)
	{
		if (is_reduced[axis])
			graph_mix(graph, input, axis);
		if (is_reduced[axis] && !keep)
			continue;
		dims[rank] = is_reduced[axis] ? 1 : graph->values[input].dims[axis];
		from[rank++] = is_reduced[axis] ? UNKNOWN : axis;
	}
	if (output < 0)
		return;
	graph_set_shape(graph, node, output, rank, dims);
	for (int axis = 0; axis < rank; axis++)
	{
		if (from[axis] != UNKNOWN)
			graph_derive_axis(graph, node, input, from[axis], output, axis);
	}
}

void
apply_reduce(Graph *graph, int node)
{
	int			rank = value_rank(graph, node_input(graph, node, 0));
	bool		is_reduced[MODEL_MAX_DIMS];

	if (rank == UNKNOWN || !reduced_axes(graph, node, rank, is_reduced))
		graph_doubt(graph, node);
	else
		reduce(graph, node, is_reduced);
}

/* An index along an axis: its places are numbers that mean something. */
void
apply_arg(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);
	int			axis = graph_axis(value_rank(graph, input),
								  graph_attribute_integer(&graph->nodes[node],
														  "axis", 0));
	bool		is_reduced[MODEL_MAX_DIMS] = {false};

	if (axis == UNKNOWN)
	{
		graph_doubt(graph, node);
		return;
	}
	graph_pin(graph, input, axis, PIN_OUTPUT, -1);
	is_reduced[axis] = true;
	reduce(graph, node, is_reduced);
}

/* ---------- other ---------- */

/* A scale and a zero point for all, or for each place of an axis. */
void
apply_quantize(Graph *graph, int node)
{
	int			input = node_input(graph, node, 0);
	int			axis = graph_axis(value_rank(graph, input),
								  graph_attribute_integer(&graph->nodes[node],
														  "axis", 1));

	for (int i = 1; i <= 2; i++)
	{
		int			scale = node_input(graph, node, i);
		int			rank = value_rank(graph, scale);

		if (scale >= 0 && (rank == UNKNOWN || rank > 1 ||
						   (rank == 1 && axis == UNKNOWN)))
		{
			graph_doubt(graph, node);
			return;
		}
		if (rank == 1)
			join_vector(graph, node, input, axis, scale);
	}
	(void) keep_shape(graph, node);
}

void
apply_constant(Graph *graph, int node)
{
	OnnxBytes	message = onnx_get(graph_attribute(&graph->nodes[node], "value"),
								   ATTRIBUTE_T);
	int			output = node_output(graph, node, 0);
	OnnxTensor	tensor;

	if (message.data == NULL || output < 0)
		return;
	onnx_scan_tensor(&tensor, message);
	if (tensor.ndim <= MODEL_MAX_DIMS && tensor.count >= 0)
		graph_set_shape(graph, node, output, tensor.ndim, tensor.dims);
}

/* Makes something new, of a size that does not matter. */
void
apply_nothing(Graph *graph, int node)
{
}

/* ---------- the table ---------- */

#define UNARY(name, zero) {name, apply_elementwise, zero, true}
#define BINARY(name, zero) {name, apply_elementwise, zero, false}
#define REDUCE(name) {name, apply_reduce, ZERO_NEVER, false}
#define OTHER(name, apply) {name, apply, ZERO_NEVER, false}
#define MOVE(name, apply) {name, apply, ZERO_ALL, false}

/* Sorted by name. */
static const GraphOperator operators[] = {
	UNARY("Abs", ZERO_ALL),
	BINARY("Add", ZERO_ALL),
	BINARY("And", ZERO_NEVER),
	OTHER("ArgMax", apply_arg),
	OTHER("ArgMin", apply_arg),
	MOVE("AveragePool", apply_pool),
	OTHER("BatchNormalization", apply_batch_norm),
	MOVE("Cast", apply_elementwise),
	UNARY("Ceil", ZERO_ALL),
	UNARY("Celu", ZERO_ALL),
	UNARY("Clip", ZERO_NEVER),
	MOVE("Concat", apply_concat),
	OTHER("Constant", apply_constant),
	OTHER("ConstantOfShape", apply_nothing),
	OTHER("Conv", apply_conv),
	OTHER("ConvTranspose", apply_conv_transpose),
	OTHER("DequantizeLinear", apply_quantize),
	BINARY("Div", ZERO_NEVER),
	MOVE("Dropout", apply_elementwise),
	UNARY("Elu", ZERO_ALL),
	BINARY("Equal", ZERO_NEVER),
	UNARY("Erf", ZERO_ALL),
	UNARY("Exp", ZERO_NEVER),
	OTHER("Expand", apply_expand),
	MOVE("Flatten", apply_flatten),
	UNARY("Floor", ZERO_ALL),
	OTHER("Gather", apply_gather),
	UNARY("Gelu", ZERO_ALL),
	OTHER("Gemm", apply_gemm),
	MOVE("GlobalAveragePool", apply_global_pool),
	MOVE("GlobalLpPool", apply_global_pool),
	MOVE("GlobalMaxPool", apply_global_pool),
	BINARY("Greater", ZERO_NEVER),
	OTHER("GroupNormalization", apply_group_norm),
	UNARY("HardSigmoid", ZERO_NEVER),
	UNARY("HardSwish", ZERO_ALL),
	OTHER("Hardmax", apply_softmax),
	MOVE("Identity", apply_elementwise),
	OTHER("InstanceNormalization", apply_instance_norm),
	OTHER("LRN", apply_local_norm),
	OTHER("LayerNormalization", apply_layer_norm),
	UNARY("LeakyRelu", ZERO_ALL),
	BINARY("Less", ZERO_NEVER),
	UNARY("Log", ZERO_NEVER),
	OTHER("LogSoftmax", apply_softmax),
	MOVE("LpPool", apply_pool),
	OTHER("MatMul", apply_matmul),
	BINARY("Max", ZERO_ALL),
	MOVE("MaxPool", apply_pool),
	BINARY("Mean", ZERO_ALL),
	BINARY("Min", ZERO_ALL),
	UNARY("Mish", ZERO_ALL),
	BINARY("Mul", ZERO_ANY),
	UNARY("Neg", ZERO_ALL),
	UNARY("Not", ZERO_NEVER),
	BINARY("Or", ZERO_NEVER),
	BINARY("PRelu", ZERO_NEVER),
	OTHER("Pad", apply_pad),
	BINARY("Pow", ZERO_NEVER),
	OTHER("QuantizeLinear", apply_quantize),
	OTHER("Range", apply_nothing),
	UNARY("Reciprocal", ZERO_NEVER),
	REDUCE("ReduceL1"),
	REDUCE("ReduceL2"),
	REDUCE("ReduceLogSum"),
	REDUCE("ReduceLogSumExp"),
	REDUCE("ReduceMax"),
	REDUCE("ReduceMean"),
	REDUCE("ReduceMin"),
	REDUCE("ReduceProd"),
	REDUCE("ReduceSum"),
	REDUCE("ReduceSumSquare"),
	UNARY("Relu", ZERO_ALL),
	MOVE("Reshape", apply_reshape),
	UNARY("Round", ZERO_ALL),
	UNARY("Selu", ZERO_ALL),
	OTHER("Shape", apply_shape),
	UNARY("Sigmoid", ZERO_NEVER),
	UNARY("Sign", ZERO_ALL),
	UNARY("Sin", ZERO_ALL),
	OTHER("Size", apply_size),
	MOVE("Slice", apply_slice),
	OTHER("Softmax", apply_softmax),
	UNARY("Softplus", ZERO_NEVER),
	UNARY("Softsign", ZERO_ALL),
	MOVE("Split", apply_split),
	UNARY("Sqrt", ZERO_ALL),
	MOVE("Squeeze", apply_squeeze),
	BINARY("Sub", ZERO_ALL),
	BINARY("Sum", ZERO_ALL),
	UNARY("Tanh", ZERO_ALL),
	MOVE("Transpose", apply_transpose),
	MOVE("Unsqueeze", apply_unsqueeze),
	BINARY("Where", ZERO_NEVER),
};

static int
compare_operator(const void *a, const void *b)
{
	OnnxBytes	name = *(const OnnxBytes *) a;
	const char *other = ((const GraphOperator *) b)->name;
	OnnxBytes	bytes = {other, strlen(other)};

	return onnx_compare(name, bytes);
}

const GraphOperator *
graph_operator(OnnxBytes name)
{
	return bsearch(&name, operators, lengthof(operators),
				   sizeof(GraphOperator), compare_operator);
}
