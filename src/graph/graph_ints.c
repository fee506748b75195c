/*
 * graph_ints.c
 *		Integers that nodes compute with: shapes, sizes, indexes.
 *
 * Exporters compute the shape of a reshape from the shapes of other values, so
 * a little arithmetic is done here, on few integers of which some may not be
 * known.  Where an integer stands in the graph as it is, that is remembered.
 * Integers live until the next walk over the graph.
 */
#include "postgres.h"

#include "common/int.h"
#include "graph/operators.h"

static GraphInts *
make_ints(Graph *graph, int n)
{
	MemoryContext old = MemoryContextSwitchTo(graph->ints_memory);
	GraphInts  *ints = palloc(sizeof(GraphInts));

	graph->nints += Max(n, 1);
	if (graph->nints > GRAPH_MAX_ENTRIES)
		graph_too_large(GRAPH_MAX_ENTRIES, "integers to compute sizes with");
	ints->n = n;
	ints->is_wide = true;
	ints->values = palloc0(Max(n, 1) * sizeof(int64));
	ints->known = palloc0(Max(n, 1) * sizeof(bool));
	ints->literals = palloc(Max(n, 1) * sizeof(GraphLiteral));
	ints->origins = palloc(Max(n, 1) * sizeof(GraphOrigin));
	for (int i = 0; i < n; i++)
	{
		ints->literals[i].value = -1;
		ints->origins[i].value = -1;
	}
	MemoryContextSwitchTo(old);
	return ints;
}

static void
set_literal(GraphInts *ints, int i, int64 number, int value)
{
	ints->values[i] = number;
	ints->known[i] = true;
	ints->literals[i].value = value;
	ints->literals[i].index = i;
}

static void
copy_int(GraphInts *ints, int i, const GraphInts *from, int j)
{
	ints->is_wide &= from->is_wide;
	ints->values[i] = from->values[j];
	ints->known[i] = from->known[j];
	ints->literals[i] = from->literals[j];
	ints->origins[i] = from->origins[j];
}

/* ---------- where integers come from ---------- */

static bool
is_integer(DType dtype)
{
	return dtype == DTYPE_I64 || dtype == DTYPE_I32;
}

static GraphInts *
decode_ints(Graph *graph, DType dtype, int64 count, const char *bytes,
			int value)
{
	GraphInts  *ints = make_ints(graph, count);

	ints->is_wide = dtype == DTYPE_I64;
	for (int i = 0; i < count; i++)
	{
		int64		wide;
		int32		narrow;

		if (dtype == DTYPE_I64)
			memcpy(&wide, bytes + i * sizeof(int64), sizeof(int64));
		else
		{
			memcpy(&narrow, bytes + i * sizeof(int32), sizeof(int32));
			wide = narrow;
		}
		set_literal(ints, i, wide, value);
	}
	return ints;
}

static GraphInts *
initializer_ints(Graph *graph, int value)
{
	const GraphValue *v = &graph->values[value];
	Payload    *payload = tensor_payload(graph->model,
										 &graph->model->tensors[v->tensor]);
	GraphInts  *ints;
	char	   *bytes;

	if (!is_integer(payload->dtype) || payload->count > GRAPH_MAX_INTS ||
		v->rank > 1)
		return NULL;
	bytes = palloc(dtype_bytes(payload->dtype, payload->count) + MODEL_ALIGNMENT);
	payload_decode(payload, bytes);
	ints = decode_ints(graph, payload->dtype, payload->count, bytes, value);
	pfree(bytes);
	return ints;
}

/* The tensor of a Constant node. */
static GraphInts *
tensor_ints(Graph *graph, OnnxBytes message, int value)
{
	OnnxTensor	tensor;
	char	   *bytes;

	onnx_scan_tensor(&tensor, message);
	if (tensor.type == NULL || !is_integer(tensor.type->dtype) ||
		tensor.count > GRAPH_MAX_INTS || tensor.ndim > 1)
		return NULL;
	bytes = palloc(onnx_raw_size(&tensor) + MODEL_ALIGNMENT);
	if (onnx_read_elements(&tensor, bytes) != NULL)
		return NULL;
	return decode_ints(graph, tensor.type->dtype, tensor.count, bytes, value);
}

static GraphInts *
constant_ints(Graph *graph, int index)
{
	const GraphNode *node = &graph->nodes[index];
	OnnxBytes	tensor = onnx_get(graph_attribute(node, "value"), ATTRIBUTE_T);
	int			n;
	int64	   *values;
	GraphInts  *ints;

	if (tensor.data != NULL)
		return tensor_ints(graph, tensor, node->outputs[0]);
	if (graph_attribute(node, "value_int").data != NULL)
	{
		ints = make_ints(graph, 1);
		set_literal(ints, 0, graph_attribute_integer(node, "value_int", 0),
					node->outputs[0]);
		return ints;
	}
	values = graph_attribute_integers(node, "value_ints", &n);
	if (values == NULL || n > GRAPH_MAX_INTS)
		return NULL;
	ints = make_ints(graph, n);
	for (int i = 0; i < n; i++)
		set_literal(ints, i, values[i], node->outputs[0]);
	return ints;
}

/* What is known of a shape; opset 15 can ask for a part of it. */
static GraphInts *
shape_ints(Graph *graph, int node)
{
	int			value = node_input(graph, node, 0);
	int			rank = value_rank(graph, value);
	int64		start = graph_attribute_integer(&graph->nodes[node], "start", 0);
	int64		end = graph_attribute_integer(&graph->nodes[node], "end", rank);
	GraphInts  *ints;

	if (rank == UNKNOWN)
		return NULL;
	start = start < 0 ? Max(start + rank, 0) : Min(start, rank);
	end = end < 0 ? Max(end + rank, 0) : Min(end, rank);
	ints = make_ints(graph, Max(end - start, 0));
	for (int i = 0; i < ints->n; i++)
	{
		ints->values[i] = graph->values[value].dims[start + i];
		ints->known[i] = ints->values[i] >= 0;
		ints->origins[i].value = value;
		ints->origins[i].axis = start + i;
		ints->origins[i].is_computed = false;
	}
	return ints;
}

/* ---------- what is made of them ---------- */

static GraphInts *
gather_ints(Graph *graph, int node)
{
	const GraphInts *data = graph_some_ints(graph, node_input(graph, node, 0));
	const GraphInts *index = graph_known_ints(graph, node_input(graph, node, 1));
	GraphInts  *ints;

	if (data == NULL || index == NULL)
		return NULL;
	ints = make_ints(graph, index->n);
	for (int i = 0; i < index->n; i++)
	{
		int64		at = index->values[i] < 0 ? index->values[i] + data->n :
			index->values[i];

		if (at < 0 || at >= data->n)
			return NULL;
		copy_int(ints, i, data, at);
	}
	return ints;
}

static GraphInts *
concat_ints(Graph *graph, int node)
{
	GraphInts  *ints;
	int			n = 0;

	for (int i = 0; i < graph->nodes[node].ninputs; i++)
	{
		const GraphInts *part = graph_some_ints(graph, node_input(graph, node, i));

		if (part == NULL || (n += part->n) > GRAPH_MAX_INTS)
			return NULL;
	}
	ints = make_ints(graph, n);
	n = 0;
	for (int i = 0; i < graph->nodes[node].ninputs; i++)
	{
		const GraphInts *part = graph_some_ints(graph, node_input(graph, node, i));

		for (int j = 0; j < part->n; j++)
			copy_int(ints, n++, part, j);
	}
	return ints;
}

static GraphInts *
slice_ints(Graph *graph, int node)
{
	const GraphInts *data = graph_some_ints(graph, node_input(graph, node, 0));
	const GraphInts *start = graph_known_ints(graph, node_input(graph, node, 1));
	const GraphInts *end = graph_known_ints(graph, node_input(graph, node, 2));
	const GraphInts *step = graph_known_ints(graph, node_input(graph, node, 4));
	bool		has_step = node_input(graph, node, 4) >= 0;
	int64		from;
	int64		to;
	GraphInts  *ints;

	if (data == NULL || start == NULL || end == NULL || start->n != 1 ||
		end->n != 1 ||
		(has_step && (step == NULL || step->n != 1 || step->values[0] != 1)))
		return NULL;
	from = start->values[0] < 0 ? Max(start->values[0] + data->n, 0) :
		Min(start->values[0], data->n);
	to = end->values[0] < 0 ? Max(end->values[0] + data->n, 0) :
		Min(end->values[0], data->n);
	ints = make_ints(graph, Max(to - from, 0));
	for (int i = 0; i < ints->n; i++)
		copy_int(ints, i, data, from + i);
	return ints;
}

static bool
compute(char op, int64 a, int64 b, int64 *result)
{
	switch (op)
	{
		case 'A':				/* Add */
			return !pg_add_s64_overflow(a, b, result);
		case 'S':				/* Sub */
			return !pg_sub_s64_overflow(a, b, result);
		case 'M':				/* Mul */
			return !pg_mul_s64_overflow(a, b, result);
		case 'D':				/* Div, of sizes */
			if (b <= 0 || a < 0)
				return false;
			*result = a / b;
			return true;
	}
	return false;
}

/* A result comes from one axis; the other one must not change. */
static void
set_origin(Graph *graph, GraphOrigin *origin, GraphOrigin a, GraphOrigin b)
{
	*origin = a.value >= 0 ? a : b;
	origin->is_computed = true;
	if (a.value >= 0 && b.value >= 0)
		graph_pin(graph, b.value, b.axis, PIN_FIXED, -1);
}

static GraphInts *
arithmetic_ints(Graph *graph, int node)
{
	const GraphInts *a = graph_some_ints(graph, node_input(graph, node, 0));
	const GraphInts *b = graph_some_ints(graph, node_input(graph, node, 1));
	GraphInts  *ints;

	if (a == NULL || b == NULL || a->n == 0 || b->n == 0 ||
		(a->n != b->n && a->n != 1 && b->n != 1))
		return NULL;
	ints = make_ints(graph, Max(a->n, b->n));
	ints->is_wide = a->is_wide && b->is_wide;
	for (int i = 0; i < ints->n; i++)
	{
		int			at_a = a->n == 1 ? 0 : i;
		int			at_b = b->n == 1 ? 0 : i;

		ints->values[i] = UNKNOWN;
		ints->known[i] = a->known[at_a] && b->known[at_b] &&
			compute(graph->nodes[node].op_type.data[0], a->values[at_a],
					b->values[at_b], &ints->values[i]);
		set_origin(graph, &ints->origins[i], a->origins[at_a],
				   b->origins[at_b]);
	}
	return ints;
}

/*
 * The node's output stands for the integers, if all of them are literals: a
 * Constant can take the node's place, and other uses of the literals stay.
 */
static GraphInts *
own_literals(const GraphNode *node, GraphInts *ints)
{
	for (int i = 0; i < ints->n; i++)
	{
		if (ints->literals[i].value < 0 || !ints->is_wide)
			return ints;
	}
	for (int i = 0; i < ints->n; i++)
		set_literal(ints, i, ints->values[i], node->outputs[0]);
	return ints;
}

static GraphInts *
same_ints(Graph *graph, int node)
{
	const GraphInts *from = graph_some_ints(graph, node_input(graph, node, 0));
	GraphInts  *ints;

	if (from == NULL)
		return NULL;
	ints = make_ints(graph, from->n);
	for (int i = 0; i < from->n; i++)
		copy_int(ints, i, from, i);
	return ints;
}

/* Of more than one integer there would be two dimensions, and what follows
 * would not know. */
static GraphInts *
unsqueeze_ints(Graph *graph, int node)
{
	const GraphInts *from = graph_some_ints(graph, node_input(graph, node, 0));

	return from != NULL && from->n == 1 ? same_ints(graph, node) : NULL;
}

/* Floats do not compute as integers do: 7 / 2 is no 3. */
static GraphInts *
cast_ints(Graph *graph, int node)
{
	int64		to = graph_attribute_integer(&graph->nodes[node], "to", 0);
	GraphInts  *ints;

	if (to != onnx_type_of(DTYPE_I64) && to != onnx_type_of(DTYPE_I32))
		return NULL;
	ints = same_ints(graph, node);
	if (ints != NULL)
		ints->is_wide = to == onnx_type_of(DTYPE_I64);
	return ints;
}

/* ---------- what takes them ---------- */

/* Whether an input of a node says how large something is, or where it lies, and
 * has no say in what the elements are. */
static bool
is_size(const GraphNode *node, int input)
{
	static const char *const names[] = {
		"Expand", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze",
	};

	for (int i = 0; i < (int) lengthof(names) && input > 0; i++)
	{
		if (onnx_equals(node->op_type, names[i]))
			return true;
	}
	return onnx_equals(node->op_type, "ConstantOfShape");
}

/* A size that becomes an element, as where a width divides: how many places
 * there are has a say in what comes out. */
static void
mix_origins(Graph *graph, int node)
{
	const GraphNode *n = &graph->nodes[node];

	for (int i = 0; i < n->ninputs; i++)
	{
		const GraphInts *ints = n->inputs[i] < 0 ? NULL :
			graph->values[n->inputs[i]].ints;

		for (int j = 0; ints != NULL && j < ints->n && !is_size(n, i); j++)
		{
			if (ints->origins[j].value >= 0)
				graph_mix(graph, ints->origins[j].value, ints->origins[j].axis);
		}
	}
}

/* ---------- the table ---------- */

static const struct
{
	const char *name;
	GraphInts  *(*find) (Graph *graph, int node);
}			finders[] =
{
	{"Shape", shape_ints},
	{"Gather", gather_ints},
	{"Concat", concat_ints},
	{"Slice", slice_ints},
	{"Add", arithmetic_ints},
	{"Sub", arithmetic_ints},
	{"Mul", arithmetic_ints},
	{"Div", arithmetic_ints},
	{"Unsqueeze", unsqueeze_ints},
	{"Squeeze", same_ints},
	{"Identity", same_ints},
	{"Cast", cast_ints},
};

void
graph_find_ints(Graph *graph, int node)
{
	const GraphNode *n = &graph->nodes[node];
	GraphInts  *ints = NULL;

	if (!n->is_standard || n->noutputs != 1 || n->outputs[0] < 0)
	{
		mix_origins(graph, node);
		return;
	}
	if (onnx_equals(n->op_type, "Constant"))
		ints = constant_ints(graph, node);
	for (int i = 0; i < (int) lengthof(finders); i++)
	{
		if (onnx_equals(n->op_type, finders[i].name))
			ints = finders[i].find(graph, node);
	}
	if (ints != NULL)
		ints = own_literals(n, ints);
	else
		mix_origins(graph, node);
	graph->values[n->outputs[0]].ints = ints;
}

const GraphInts *
graph_some_ints(Graph *graph, int value)
{
	GraphValue *v;

	if (value < 0)
		return NULL;
	v = &graph->values[value];
	if (v->ints == NULL && v->tensor >= 0)
		v->ints = initializer_ints(graph, value);
	return v->ints;
}

const GraphInts *
graph_known_ints(Graph *graph, int value)
{
	const GraphInts *ints = graph_some_ints(graph, value);

	for (int i = 0; ints != NULL && i < ints->n; i++)
	{
		if (!ints->known[i])
			return NULL;
	}
	return ints;
}
