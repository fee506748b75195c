/*
 * graph_write.c
 *		A graph with changes, as a ModelProto.
 *
 * Whatever is not changed is copied as it lies: unknown fields, names, the
 * order of all.
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"

int
graph_final(const Graph *graph, int value)
{
	while (value >= 0 && graph->values[value].replacement >= 0)
		value = graph->values[value].replacement;
	return value;
}

static OnnxBytes
final_name(const Graph *graph, int value)
{
	const GraphValue *v = &graph->values[graph_final(graph, value)];
	OnnxBytes	name = v->name;

	if (v->new_name != NULL)
	{
		name.data = v->new_name;
		name.size = strlen(v->new_name);
	}
	return name;
}

static void
put_field(StringInfo out, const PbField *field)
{
	onnx_put(out, field->start, field->end - field->start);
}

/* Copies a message, but for the fields of one number, which change. */
typedef void (*PutField) (StringInfo out, const PbField *field,
						  const void *arg);

static void
put_changed(StringInfo out, OnnxBytes message, uint32 number, PutField put,
			const void *arg)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;

	while (pb_next(&reader, &field))
	{
		if (field.number == number)
			put(out, &field, arg);
		else
			put_field(out, &field);
	}
}

/* The same, as a field of another message. */
static void
put_inner(StringInfo out, const PbField *outer, uint32 number, PutField put,
		  const void *arg)
{
	StringInfoData inner;

	initStringInfo(&inner);
	put_changed(&inner, onnx_bytes(outer), number, put, arg);
	onnx_put_message(out, outer->number, &inner);
	pfree(inner.data);
}

/* ---------- shapes ---------- */

typedef struct DimsWriter
{
	const int64 *dims;
	int			rank;
	int			next;
} DimsWriter;

static void
put_dim(StringInfo out, const PbField *field, const void *arg)
{
	DimsWriter *writer = unconstify(DimsWriter *, (const DimsWriter *) arg);
	int64		size = writer->next < writer->rank ?
		writer->dims[writer->next++] : UNKNOWN;
	PbReader	reader = pb_content(field);
	PbField		content;
	StringInfoData dim;

	if (size < 0 || !onnx_next(&reader, DIMENSION_VALUE, &content))
	{
		put_field(out, field);
		return;
	}
	initStringInfo(&dim);
	onnx_put_integer(&dim, DIMENSION_VALUE, size);
	onnx_put_message(out, field->number, &dim);
	pfree(dim.data);
}

static void
put_shape(StringInfo out, const PbField *field, const void *arg)
{
	put_inner(out, field, SHAPE_DIM, put_dim, arg);
}

static void
put_tensor(StringInfo out, const PbField *field, const void *arg)
{
	put_inner(out, field, TYPE_SHAPE, put_shape, arg);
}

/* Of an input, an output or another value: its name and its shape.  A graph may
 * say of a value more than once what it is, and of other ranks than it has. */
static void
put_value(StringInfo out, const Graph *graph, int value, const PbField *field)
{
	const GraphValue *v = &graph->values[value];
	DimsWriter	writer = {v->new_dims, v->rank, 0};
	PbReader	reader = pb_content(field);
	PbField		content;
	StringInfoData info;

	initStringInfo(&info);
	while (pb_next(&reader, &content))
	{
		if (content.number == VALUE_NAME && v->new_name != NULL)
			onnx_put_text(&info, VALUE_NAME, v->new_name);
		else if (content.number == VALUE_TYPE && v->new_dims != NULL)
			put_inner(&info, &content, TYPE_TENSOR, put_tensor, &writer);
		else
			put_field(&info, &content);
	}
	onnx_put_message(out, field->number, &info);
	pfree(info.data);
}

static void
put_initializer(StringInfo out, const GraphValue *value, const PbField *field)
{
	PbReader	reader = pb_content(field);
	PbField		content;
	StringInfoData tensor;

	initStringInfo(&tensor);
	for (int i = 0; value->new_dims != NULL && i < value->rank; i++)
		onnx_put_integer(&tensor, TENSOR_DIMS,
						 value->new_dims[i]);
	while (pb_next(&reader, &content))
	{
		if (content.number == TENSOR_NAME && value->new_name != NULL)
			onnx_put_text(&tensor, TENSOR_NAME, value->new_name);
		else if (content.number != TENSOR_DIMS || value->new_dims == NULL)
			put_field(&tensor, &content);
	}
	onnx_put_message(out, field->number, &tensor);
	pfree(tensor.data);
}

/* ---------- nodes ---------- */

static bool
is_changed(const Graph *graph, const GraphNode *node)
{
	for (int i = 0; i < node->ninputs; i++)
	{
		int			value = node->inputs[i];

		if (value >= 0 && (graph->values[value].replacement >= 0 ||
						   graph->values[value].new_name != NULL))
			return true;
	}
	for (int i = 0; i < node->noutputs; i++)
	{
		if (node->outputs[i] >= 0 &&
			(graph->values[node->outputs[i]].new_name != NULL ||
			 graph->values[node->outputs[i]].new_ints != NULL))
			return true;
	}
	return node->nchanges > 0;
}

/* The integers of an attribute, of which some become others. */
static void
put_integers(StringInfo out, OnnxBytes attribute, const GraphNode *node,
			 const char *name)
{
	int64		type = onnx_get_integer(attribute, ATTRIBUTE_TYPE);
	int			n = 1;
	int64		single = onnx_get_integer(attribute, ATTRIBUTE_I);
	int64	   *values = type == ONNX_ATTRIBUTE_INTS ?
		graph_attribute_integers(node, name, &n) : &single;

	onnx_put_text(out, ATTRIBUTE_NAME, name);
	for (int i = 0; i < node->nchanges; i++)
	{
		if (strcmp(node->changes[i].name, name) == 0 &&
			node->changes[i].index < n)
			values[node->changes[i].index] = node->changes[i].value;
	}
	for (int i = 0; i < n; i++)
		onnx_put_integer(out, type == ONNX_ATTRIBUTE_INTS ? ATTRIBUTE_INTS :
						 ATTRIBUTE_I, values[i]);
	onnx_put_integer(out, ATTRIBUTE_TYPE, type);
}

/* The value of a Constant whose integers change, in the same form. */
static void
put_constant(StringInfo out, OnnxBytes attribute, const GraphValue *value)
{
	OnnxBytes	message = onnx_get(attribute, ATTRIBUTE_T);
	OnnxTensor	scanned;
	StringInfoData tensor;

	if (message.data == NULL)
	{
		int64		type = onnx_get_integer(attribute, ATTRIBUTE_TYPE);

		onnx_put_bytes(out, ATTRIBUTE_NAME, onnx_get(attribute, ATTRIBUTE_NAME).data,
					   onnx_get(attribute, ATTRIBUTE_NAME).size);
		for (int i = 0; i < value->ints->n; i++)
			onnx_put_integer(out, type == ONNX_ATTRIBUTE_INTS ? ATTRIBUTE_INTS :
							 ATTRIBUTE_I, value->new_ints[i]);
		onnx_put_integer(out, ATTRIBUTE_TYPE, type);
		return;
	}
	onnx_scan_tensor(&scanned, message);
	initStringInfo(&tensor);
	for (int i = 0; i < scanned.ndim; i++)
		onnx_put_integer(&tensor, TENSOR_DIMS, scanned.dims[i]);
	onnx_put_integer(&tensor, TENSOR_DATA_TYPE, scanned.data_type);
	if (scanned.type->dtype == DTYPE_I64)
		onnx_put_bytes(&tensor, TENSOR_RAW_DATA, (const char *) value->new_ints,
					   value->ints->n * sizeof(int64));
	else
	{
		for (int i = 0; i < value->ints->n; i++)
			onnx_put_integer(&tensor, TENSOR_INT32_DATA, value->new_ints[i]);
	}
	onnx_put_text(out, ATTRIBUTE_NAME, "value");
	onnx_put_message(out, ATTRIBUTE_T, &tensor);
	onnx_put_integer(out, ATTRIBUTE_TYPE, ONNX_ATTRIBUTE_TENSOR);
	pfree(tensor.data);
}

static void
put_attribute(StringInfo out, const Graph *graph, const GraphNode *node,
			  const PbField *field)
{
	OnnxBytes	bytes = onnx_bytes(field);
	char	   *name = onnx_string(onnx_get(bytes, ATTRIBUTE_NAME));
	const GraphValue *output = node->noutputs == 1 && node->outputs[0] >= 0 ?
		&graph->values[node->outputs[0]] : NULL;
	StringInfoData attribute;
	bool		is_changing = false;

	initStringInfo(&attribute);
	for (int i = 0; i < node->nchanges; i++)
		is_changing |= strcmp(node->changes[i].name, name) == 0;
	if (is_changing)
		put_integers(&attribute, bytes, node, name);
	else if (output != NULL && output->new_ints != NULL &&
			 strncmp(name, "value", 5) == 0)
		put_constant(&attribute, bytes, output);
	else
		onnx_put(&attribute, bytes.data, bytes.size);
	onnx_put_message(out, NODE_ATTRIBUTE, &attribute);
	pfree(attribute.data);
	pfree(name);
}

/* A group that is left out means 1, so it may have to be written. */
static void
put_missing(StringInfo out, const GraphNode *node)
{
	for (int i = 0; i < node->nchanges; i++)
	{
		const GraphAttribute *change = &node->changes[i];

		if (graph_attribute(node, change->name).data == NULL)
			onnx_put_attribute(out, change->name, change->value);
	}
}

static void
put_name(StringInfo out, const Graph *graph, uint32 number, int value)
{
	OnnxBytes	name = {"", 0};

	if (value >= 0)
		name = final_name(graph, value);
	onnx_put_bytes(out, number, name.data, name.size);
}

/* A node whose integers are no longer what it would compute. */
static void
put_as_constant(StringInfo out, const Graph *graph, const GraphNode *node)
{
	const GraphValue *value = &graph->values[node->outputs[0]];
	StringInfoData tensor;
	StringInfoData message;

	initStringInfo(&tensor);
	if (value->rank != 0)
		onnx_put_integer(&tensor, TENSOR_DIMS, value->ints->n);
	onnx_put_integer(&tensor, TENSOR_DATA_TYPE, onnx_type_of(DTYPE_I64));
	onnx_put_bytes(&tensor, TENSOR_RAW_DATA, (const char *) value->new_ints,
				   value->ints->n * sizeof(int64));
	initStringInfo(&message);
	put_name(&message, graph, NODE_OUTPUT, node->outputs[0]);
	onnx_put_bytes(&message, NODE_NAME, node->name.data, node->name.size);
	onnx_put_text(&message, NODE_OP_TYPE, "Constant");
	onnx_put_attribute_tensor(&message, "value", &tensor);
	onnx_put_message(out, GRAPH_NODE, &message);
	pfree(tensor.data);
	pfree(message.data);
}

static bool
becomes_constant(const Graph *graph, const GraphNode *node)
{
	return node->noutputs == 1 && node->outputs[0] >= 0 &&
		graph->values[node->outputs[0]].new_ints != NULL &&
		!onnx_equals(node->op_type, "Constant");
}

static void
put_node(StringInfo out, const Graph *graph, const GraphNode *node)
{
	PbReader	reader = onnx_reader(node->message);
	PbField		field;
	int			input = 0;
	int			output = 0;
	StringInfoData message;

	initStringInfo(&message);
	while (pb_next(&reader, &field))
	{
		if (field.number == NODE_INPUT)
			put_name(&message, graph, NODE_INPUT, node->inputs[input++]);
		else if (field.number == NODE_OUTPUT)
			put_name(&message, graph, NODE_OUTPUT, node->outputs[output++]);
		else if (field.number == NODE_ATTRIBUTE)
			put_attribute(&message, graph, node, &field);
		else
			put_field(&message, &field);
	}
	put_missing(&message, node);
	onnx_put_message(out, GRAPH_NODE, &message);
	pfree(message.data);
}

/* ---------- the graph ---------- */

static bool
put_graph_value(StringInfo out, const Graph *graph, const PbField *field)
{
	int			value;

	if (field->number == GRAPH_INITIALIZER)
		value = graph_find(graph, onnx_get(onnx_bytes(field), TENSOR_NAME));
	else if (field->number == GRAPH_INPUT || field->number == GRAPH_OUTPUT ||
			 field->number == GRAPH_VALUE_INFO)
		value = graph_find(graph, onnx_get(onnx_bytes(field), VALUE_NAME));
	else
		return false;
	if (value < 0)
		return false;
	if (graph->values[value].is_removed)
		return true;
	if (graph->values[value].new_name == NULL &&
		graph->values[value].new_dims == NULL)
		return false;
	if (field->number == GRAPH_INITIALIZER)
		put_initializer(out, &graph->values[value], field);
	else
		put_value(out, graph, value, field);
	return true;
}

static void
put_graph(StringInfo out, const Graph *graph, OnnxBytes message, const void *unused)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	int			next = 0;

	while (pb_next(&reader, &field))
	{
		CHECK_FOR_INTERRUPTS();
		if (field.number == GRAPH_NODE)
		{
			const GraphNode *node = &graph->nodes[next++];

			if (node->is_removed)
				continue;
			if (becomes_constant(graph, node))
				put_as_constant(out, graph, node);
			else if (is_changed(graph, node))
				put_node(out, graph, node);
			else
				put_field(out, &field);
		}
		else if (!put_graph_value(out, graph, &field))
			put_field(out, &field);
	}
}

OnnxBytes
graph_rewrite(const Graph *graph, GraphPut put, const void *argument)
{
	PbReader	reader = onnx_reader(graph->message);
	PbField		field;
	StringInfoData out;
	StringInfoData inner;
	OnnxBytes	bytes;

	initStringInfo(&out);
	initStringInfo(&inner);
	while (pb_next(&reader, &field))
	{
		if (field.number == MODEL_GRAPH)
		{
			put(&inner, graph, onnx_bytes(&field), argument);
			onnx_put_message(&out, MODEL_GRAPH, &inner);
		}
		else
			put_field(&out, &field);
	}
	pfree(inner.data);
	bytes.data = out.data;
	bytes.size = out.len;
	onnx_check(bytes, ONNX_TAKEN_OUT);
	return bytes;
}

OnnxBytes
graph_write(const Graph *graph)
{
	return graph_rewrite(graph, put_graph, NULL);
}
