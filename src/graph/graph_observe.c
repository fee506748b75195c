/*
 * graph_observe.c
 *		What goes into the products of a graph, to be looked at while it runs.
 */
#include "postgres.h"

#include "graph/graph.h"
#include "miscadmin.h"

/* ---------- what is multiplied ---------- */

/* Nodes between a tensor and its use, as exporters and quantizers put them. */
#define MAX_HOPS 8

/* The tensor that a value has the elements of, maybe turned or rounded. */
static int
tensor_behind(const Graph *graph, int value)
{
	static const char *const names[] = {"Cast", "DequantizeLinear", "Identity", "Transpose"};

	for (int steps = 0; value >= 0 && steps < MAX_HOPS; steps++)
	{
		const GraphValue *v = &graph->values[value];
		const GraphNode *node = v->producer >= 0 ? &graph->nodes[v->producer] : NULL;
		bool		hands_on = false;

		if (v->tensor >= 0)
			return v->tensor;
		for (int i = 0; node != NULL && node->is_standard && i < (int) lengthof(names); i++)
			hands_on |= onnx_equals(node->op_type, names[i]);
		value = hands_on && node->ninputs > 0 ? node->inputs[0] : -1;
	}
	return -1;
}

/* Of a matrix that is multiplied from the right side; of others the inputs are
 * not those of a feature each. */
static int
weight_of(const Graph *graph, int value, int rank)
{
	int			tensor = tensor_behind(graph, value);

	return tensor >= 0 && (rank < 0 || graph->model->tensors[tensor].ndim == rank) ? tensor : -1;
}

static void
add_feed(const Graph *graph, const GraphNode *node, int input, int weight,
		 GraphFeed *feeds, int *n)
{
	int			value = input < node->ninputs ? node->inputs[input] : -1;

	if (value < 0 || graph->values[value].is_constant || graph->values[value].tensor >= 0)
		return;
	feeds[(*n)++] = (GraphFeed) {.value = value, .weight = weight, .axis = -1, .groups = 1};
}

static void
add_feeds(const Graph *graph, const GraphNode *node, GraphFeed *feeds, int *n)
{
	int			before = *n;
	int			second = node->ninputs > 1 ? node->inputs[1] : -1;

	if (onnx_equals(node->op_type, "MatMul"))
	{
		add_feed(graph, node, 0, weight_of(graph, second, 2), feeds, n);
		add_feed(graph, node, 1, -1, feeds, n);
	}
	else if (onnx_equals(node->op_type, "Gemm"))
	{
		add_feed(graph, node, 0, weight_of(graph, second, 2), feeds, n);
		if (*n > before && graph_attribute_integer(node, "transA", 0) != 0)
			feeds[before].axis = 0;
		add_feed(graph, node, 1, -1, feeds, n);
	}
	else if (onnx_equals(node->op_type, "Conv"))
	{
		add_feed(graph, node, 0, weight_of(graph, second, -1), feeds, n);
		if (*n > before)
		{
			feeds[before].axis = 1;
			feeds[before].groups = graph_attribute_integer(node, "group", 1);
		}
	}
}

GraphFeed *
graph_feeds(const Graph *graph, int *n)
{
	GraphFeed  *feeds = palloc_extended(Max(2 * (Size) graph->nnodes, 1) * sizeof(GraphFeed),
										MCXT_ALLOC_HUGE);

	*n = 0;
	for (int i = 0; i < graph->nnodes; i++)
		if (graph->nodes[i].is_standard)
			add_feeds(graph, &graph->nodes[i], feeds, n);
	return feeds;
}

/* ---------- the graph that shows them ---------- */

typedef struct FurtherOutputs
{
	const int  *values;
	int			n;
} FurtherOutputs;

/* What type an output has, whoever runs the graph finds out. */
static void
put_with_outputs(StringInfo out, const Graph *graph, OnnxBytes message,
				 const void *argument)
{
	const FurtherOutputs *outputs = argument;

	onnx_put(out, message.data, message.size);
	for (int i = 0; i < outputs->n; i++)
	{
		const GraphValue *value = &graph->values[outputs->values[i]];
		StringInfoData info;

		initStringInfo(&info);
		onnx_put_bytes(&info, VALUE_NAME, value->name.data, value->name.size);
		onnx_put_message(out, GRAPH_OUTPUT, &info);
		pfree(info.data);
	}
}

OnnxBytes
graph_with_outputs(const Graph *graph, const int *values, int n)
{
	FurtherOutputs outputs = {values, n};

	return graph_rewrite(graph, put_with_outputs, &outputs);
}
