/*
 * graph_read.c
 *		A model's graph in memory: values by name, and nodes that take and make
 *		them.
 *
 * The bytes have been checked (onnx_check): names are made once and before
 * they are used, so the nodes are in an order in which they can compute, and
 * there are no cycles.
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "utils/memutils.h"

#define GRAPH_MAX_INTEGERS 4096

/* Names of sizes that are told apart. */
#define GRAPH_MAX_NAMES 256

/* ---------- names ---------- */

typedef struct Names
{
	int			n;
	int			allocated;
	OnnxBytes  *names;
} Names;

static void
add_name(Names *names, OnnxBytes name)
{
	if (name.size == 0)
		return;
	if (names->n == names->allocated)
	{
		names->allocated = Max(64, names->allocated * 2);
		names->names = names->names == NULL ?
			palloc(names->allocated * sizeof(OnnxBytes)) :
			repalloc_huge(names->names, names->allocated * sizeof(OnnxBytes));
	}
	names->names[names->n++] = name;
}

static int
compare_names(const void *a, const void *b)
{
	return onnx_compare(*(const OnnxBytes *) a, *(const OnnxBytes *) b);
}

/* Names that the nodes of a graph take, and of graphs in them: all of them,
 * since those from outside are among them. */
static void
add_captured(Names *names, OnnxBytes graph)
{
	PbReader	nodes = onnx_reader(graph);
	PbField		node;

	while (onnx_next(&nodes, GRAPH_NODE, &node))
	{
		PbReader	reader = onnx_reader(onnx_bytes(&node));
		PbField		field;

		CHECK_FOR_INTERRUPTS();
		while (pb_next(&reader, &field))
		{
			if (field.number == NODE_INPUT)
				add_name(names, onnx_bytes(&field));
			else if (field.number == NODE_ATTRIBUTE)
			{
				PbReader	inner = onnx_reader(onnx_bytes(&field));
				PbField		content;

				while (pb_next(&inner, &content))
				{
					if (content.number == ATTRIBUTE_G ||
						content.number == ATTRIBUTE_GRAPHS)
						add_captured(names, onnx_bytes(&content));
				}
			}
		}
	}
	nodes = onnx_reader(graph);
	while (onnx_next(&nodes, GRAPH_OUTPUT, &node))
		add_name(names, onnx_get(onnx_bytes(&node), VALUE_NAME));
}

/* The graphs in a node's attributes. */
static bool
add_node_graphs(Names *names, OnnxBytes node)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	bool		found = false;

	while (onnx_next(&reader, NODE_ATTRIBUTE, &field))
	{
		PbReader	inner = onnx_reader(onnx_bytes(&field));
		PbField		content;

		while (pb_next(&inner, &content))
		{
			if (content.number != ATTRIBUTE_G &&
				content.number != ATTRIBUTE_GRAPHS)
				continue;
			add_captured(names, onnx_bytes(&content));
			found = true;
		}
	}
	return found;
}

static void
add_node_names(Names *names, OnnxBytes node)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;

	while (pb_next(&reader, &field))
	{
		if (field.number == NODE_INPUT || field.number == NODE_OUTPUT)
			add_name(names, onnx_bytes(&field));
	}
}

static void
make_values(Graph *graph, OnnxBytes message)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	Names		names = {0};
	int			n = 0;

	while (pb_next(&reader, &field))
	{
		OnnxBytes	bytes = onnx_bytes(&field);

		CHECK_FOR_INTERRUPTS();
		if (field.number == GRAPH_NODE)
		{
			graph->nnodes++;
			add_node_names(&names, bytes);
		}
		else if (field.number == GRAPH_INITIALIZER)
			add_name(&names, onnx_get(bytes, TENSOR_NAME));
		else if (field.number == GRAPH_SPARSE_INITIALIZER)
			add_name(&names, onnx_get(onnx_get(bytes, SPARSE_VALUES),
									  TENSOR_NAME));
		else if (field.number == GRAPH_INPUT || field.number == GRAPH_OUTPUT)
			add_name(&names, onnx_get(bytes, VALUE_NAME));
	}
	if (names.n > 0)
		qsort(names.names, names.n, sizeof(OnnxBytes), compare_names);
	graph->values = palloc_extended(Max(names.n, 1) * sizeof(GraphValue),
									MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < names.n; i++)
	{
		GraphValue *value;

		if (i > 0 && onnx_compare(names.names[i - 1], names.names[i]) == 0)
			continue;
		value = &graph->values[n++];
		value->name = names.names[i];
		value->producer = -1;
		value->tensor = -1;
		value->rank = UNKNOWN;
		value->doubt = -1;
		value->replacement = -1;
	}
	graph->nvalues = n;
	if (names.names != NULL)
		pfree(names.names);
}

static int
compare_value(const void *a, const void *b)
{
	return onnx_compare(*(const OnnxBytes *) a, ((const GraphValue *) b)->name);
}

int
graph_find(const Graph *graph, OnnxBytes name)
{
	const GraphValue *found = bsearch(&name, graph->values, graph->nvalues,
									  sizeof(GraphValue), compare_value);

	return found != NULL ? found - graph->values : -1;
}

/* ---------- titles ---------- */

const char *
graph_value_title(const Graph *graph, int value)
{
	return utf8_to_server(onnx_string(graph->values[value].name));
}

const char *
graph_node_title(const Graph *graph, int node)
{
	const GraphNode *n = &graph->nodes[node];
	const char *name;

	if (n->name.size > 0)
		name = utf8_to_server(onnx_string(n->name));
	else if (n->noutputs > 0 && n->outputs[0] >= 0)
		name = graph_value_title(graph, n->outputs[0]);
	else
		name = psprintf("%d", node + 1);
	return psprintf("\"%s\" (%s)", name,
					utf8_to_server(onnx_string(n->op_type)));
}

/* ---------- attributes ---------- */

OnnxBytes
graph_attribute(const GraphNode *node, const char *name)
{
	PbReader	reader = onnx_reader(node->message);
	PbField		field;
	OnnxBytes	none = {NULL, 0};

	while (onnx_next(&reader, NODE_ATTRIBUTE, &field))
	{
		if (onnx_equals(onnx_get(onnx_bytes(&field), ATTRIBUTE_NAME), name))
			return onnx_bytes(&field);
	}
	return none;
}

int64
graph_attribute_integer(const GraphNode *node, const char *name,
						int64 otherwise)
{
	OnnxBytes	attribute = graph_attribute(node, name);

	if (attribute.data == NULL ||
		onnx_get_integer(attribute, ATTRIBUTE_TYPE) != ONNX_ATTRIBUTE_INT)
		return otherwise;
	return onnx_get_integer(attribute, ATTRIBUTE_I);
}

/* NULL when there is no such attribute, and with *n UNKNOWN when it is longer
 * than any that means something to us. */
int64 *
graph_attribute_integers(const GraphNode *node, const char *name, int *n)
{
	OnnxBytes	attribute = graph_attribute(node, name);
	OnnxIntegers integers = onnx_integers(attribute, ATTRIBUTE_INTS);
	int64		value;
	int64	   *values;
	int			allocated = 8;

	*n = 0;
	if (attribute.data == NULL ||
		onnx_get_integer(attribute, ATTRIBUTE_TYPE) != ONNX_ATTRIBUTE_INTS)
		return NULL;
	values = palloc(allocated * sizeof(int64));
	while (onnx_next_integer(&integers, &value))
	{
		if (*n == GRAPH_MAX_INTEGERS)
		{
			pfree(values);
			*n = UNKNOWN;
			return NULL;
		}
		if (*n == allocated)
			values = repalloc(values, (allocated *= 2) * sizeof(int64));
		values[(*n)++] = value;
	}
	return values;
}

/* ---------- nodes ---------- */

static int *
read_names(const Graph *graph, OnnxBytes node, uint32 number, int *n)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	int		   *values;

	*n = 0;
	while (onnx_next(&reader, number, &field))
		(*n)++;
	values = palloc_extended(Max(*n, 1) * sizeof(int), MCXT_ALLOC_HUGE);
	*n = 0;
	reader = onnx_reader(node);
	while (onnx_next(&reader, number, &field))
		values[(*n)++] = field.size == 0 ? -1 :
			graph_find(graph, onnx_bytes(&field));
	return values;
}

static void
read_node(Graph *graph, int index, OnnxBytes message)
{
	GraphNode  *node = &graph->nodes[index];
	Names		captured = {0};

	node->message = message;
	node->name = onnx_get(message, NODE_NAME);
	node->op_type = onnx_get(message, NODE_OP_TYPE);
	node->is_standard = onnx_domain(onnx_get(message, NODE_DOMAIN)).size == 0;
	node->inputs = read_names(graph, message, NODE_INPUT, &node->ninputs);
	node->outputs = read_names(graph, message, NODE_OUTPUT, &node->noutputs);
	for (int i = 0; i < node->noutputs; i++)
	{
		if (node->outputs[i] >= 0)
			graph->values[node->outputs[i]].producer = index;
	}
	node->has_graphs = add_node_graphs(&captured, message);
	for (int i = 0; i < captured.n; i++)
	{
		int			value = graph_find(graph, captured.names[i]);

		if (value >= 0)
			graph->values[value].is_captured = true;
	}
	if (node->is_standard && !node->has_graphs)
		node->op = graph_operator(node->op_type);
}

static void
read_nodes(Graph *graph, OnnxBytes message)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	int			n = 0;

	graph->nodes = palloc_extended(Max(graph->nnodes, 1) * sizeof(GraphNode),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	while (onnx_next(&reader, GRAPH_NODE, &field))
	{
		CHECK_FOR_INTERRUPTS();
		read_node(graph, n++, onnx_bytes(&field));
	}
}

/* ---------- types ---------- */

void
graph_set_rank(Graph *graph, GraphValue *value, int rank)
{
	value->rank = rank;
	value->dims = MemoryContextAlloc(graph->memory,
									 Max(rank, 1) * sizeof(int64));
	value->places = MemoryContextAlloc(graph->memory,
									   Max(rank, 1) * sizeof(int));
	for (int i = 0; i < rank; i++)
	{
		value->dims[i] = UNKNOWN;
		value->places[i] = UNKNOWN;
	}
}

/* A size of an input is known by its name, if it has one, or by itself. */
static int64
name_size(Graph *graph, OnnxBytes name)
{
	for (int i = 0; i < graph->nnames; i++)
	{
		if (name.size > 0 && onnx_compare(graph->names[i], name) == 0)
			return UNKNOWN - 1 - i;
	}
	if (graph->nnames == GRAPH_MAX_NAMES)
		return UNKNOWN;
	graph->names[graph->nnames++] = name;
	return UNKNOWN - graph->nnames;
}

/* What a ValueInfoProto says of a value's shape. */
static void
read_type(Graph *graph, GraphValue *value, OnnxBytes info)
{
	OnnxBytes	tensor = onnx_get(onnx_get(info, VALUE_TYPE), TYPE_TENSOR);
	OnnxBytes	shape = onnx_get(tensor, TYPE_SHAPE);
	PbReader	reader = onnx_reader(shape);
	PbField		field;
	int			rank = 0;

	if (shape.data == NULL || value->rank != UNKNOWN)
		return;
	while (onnx_next(&reader, SHAPE_DIM, &field))
		rank++;
	if (rank > MODEL_MAX_DIMS)
		return;
	graph_set_rank(graph, value, rank);
	reader = onnx_reader(shape);
	for (int i = 0; onnx_next(&reader, SHAPE_DIM, &field); i++)
	{
		OnnxBytes	dim = onnx_bytes(&field);
		PbReader	content = onnx_reader(dim);
		PbField		number;

		if (onnx_next(&content, DIMENSION_VALUE, &number) &&
			(int64) number.value >= 0)
			value->dims[i] = (int64) number.value;
		else if (value->is_input)
			value->dims[i] = name_size(graph, onnx_get(dim, DIMENSION_PARAM));
	}
}

static void
read_types(Graph *graph, OnnxBytes message)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;

	while (pb_next(&reader, &field))
	{
		OnnxBytes	info = onnx_bytes(&field);
		int			value;

		if (field.number != GRAPH_INPUT && field.number != GRAPH_OUTPUT &&
			field.number != GRAPH_VALUE_INFO)
			continue;
		CHECK_FOR_INTERRUPTS();
		value = graph_find(graph, onnx_get(info, VALUE_NAME));
		if (value < 0)
			continue;
		graph->values[value].is_input |= field.number == GRAPH_INPUT;
		graph->values[value].is_output |= field.number == GRAPH_OUTPUT;
		read_type(graph, &graph->values[value], info);
	}
}

/* ---------- initializers ---------- */

static void
report_misfit(const char *name, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tensors of the model do not fit its graph"),
			 errdetail("Initializer \"%s\" of the graph %s.",
					   utf8_to_server(name), problem)));
}

/* The tensor that an initializer has its elements from. */
static void
set_tensor(Graph *graph, const Tensor **sorted, const OnnxTensor *initializer)
{
	GraphValue *value = &graph->values[graph_find(graph, initializer->name)];
	char	   *name = onnx_string(initializer->name);
	const Tensor *found = model_find_sorted(sorted, graph->model->ntensors,
											name);

	if (found == NULL)
		report_misfit(name, "is no tensor of the model");
	if (found->ndim != initializer->ndim ||
		memcmp(found->dims, initializer->dims,
			   initializer->ndim * sizeof(int64)) != 0)
		report_misfit(name, "has another shape than the model's tensor");
	value->tensor = found - graph->model->tensors;
	pfree(name);
}

static void
read_initializers(Graph *graph, OnnxBytes message)
{
	const Tensor **sorted = model_sort_tensors(graph->model);
	PbReader	reader = onnx_reader(message);
	PbField		field;

	while (onnx_next(&reader, GRAPH_INITIALIZER, &field))
	{
		OnnxTensor	tensor;
		GraphValue *value;

		CHECK_FOR_INTERRUPTS();
		onnx_scan_tensor(&tensor, onnx_bytes(&field));
		value = &graph->values[graph_find(graph, tensor.name)];
		value->is_constant = true;
		graph_set_rank(graph, value, tensor.ndim);
		memcpy(value->dims, tensor.dims, tensor.ndim * sizeof(int64));
		if (tensor.type->dtype != DTYPE_INVALID)
			set_tensor(graph, sorted, &tensor);
	}
	pfree(sorted);
	reader = onnx_reader(message);
	while (onnx_next(&reader, GRAPH_SPARSE_INITIALIZER, &field))
	{
		OnnxBytes	values = onnx_get(onnx_bytes(&field), SPARSE_VALUES);

		graph->values[graph_find(graph, onnx_get(values, TENSOR_NAME))].is_constant = true;
	}
}

/* ---------- all of it ---------- */

/* The version of ONNX's own operators. */
static int64
read_opset(OnnxBytes message)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;

	while (onnx_next(&reader, MODEL_OPSET_IMPORT, &field))
	{
		OnnxBytes	entry = onnx_bytes(&field);

		if (onnx_domain(onnx_get(entry, OPERATOR_SET_DOMAIN)).size == 0)
			return onnx_get_integer(entry, OPERATOR_SET_VERSION);
	}
	return 0;
}

static void
find_constants(Graph *graph)
{
	for (int i = 0; i < graph->nnodes; i++)
	{
		GraphNode  *node = &graph->nodes[i];
		bool		is_constant = !node->has_graphs;

		for (int j = 0; j < node->ninputs; j++)
			is_constant &= node->inputs[j] < 0 ||
				graph->values[node->inputs[j]].is_constant;
		for (int j = 0; j < node->noutputs; j++)
		{
			if (node->outputs[j] >= 0)
				graph->values[node->outputs[j]].is_constant = is_constant;
		}
	}
}

Graph *
graph_read(const Model *model)
{
	Graph	   *graph = palloc0(sizeof(Graph));
	OnnxBytes	message;

	graph->model = model;
	graph->message = onnx_model_graph(model);
	if (graph->message.data == NULL)
		return NULL;
	graph->memory = CurrentMemoryContext;
	graph->ints_memory = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt graph integers",
											   ALLOCSET_SMALL_SIZES);
	graph->names = palloc(GRAPH_MAX_NAMES * sizeof(OnnxBytes));
	graph->opset = read_opset(graph->message);
	message = onnx_get(graph->message, MODEL_GRAPH);
	make_values(graph, message);
	read_nodes(graph, message);
	read_initializers(graph, message);
	read_types(graph, message);
	/* Initializers that are inputs too are their default values. */
	find_constants(graph);
	return graph;
}
