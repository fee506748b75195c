/*
 * class_names.c
 *		The labels that a classifier gives, as its graph tells.
 *
 * What was trained on names of classes gives one, beside scores.  Either an
 * operator for classifiers makes both and has the names in an attribute, or the
 * place of the largest score is looked up in a list of names, as skl2onnx
 * writes it.  Any other output of integers is none, whatever it counts.
 */
#include "postgres.h"

#include "serve/scores.h"

/* Nodes in a row that only give on what they take. */
#define MAX_STEPS	16

/* Of a graph that may come from anybody. */
#define MAX_NAMES	PG_INT16_MAX

static bool
is_classifier(OnnxBytes operator)
{
	static const char *const classifiers[] = {
		"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"
	};

	return ONNX_IS_ONE_OF(operator, classifiers);
}

/* Whether a node only gives on the names in its first input. */
static bool
is_passing(OnnxBytes operator)
{
	static const char *const passing[] = {
		"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten"
	};

	return ONNX_IS_ONE_OF(operator, passing);
}

/* The i-th input or output of a node, whose name is empty when it is left out. */
static OnnxBytes
node_value(OnnxBytes node, uint32 number, int i)
{
	PbReader	values = onnx_reader(node);
	PbField		value;

	while (onnx_next(&values, number, &value))
		if (i-- == 0)
			return onnx_bytes(&value);
	return (OnnxBytes) {NULL, 0};
}

/* Whether a node looks up the place of a largest value in its first input. */
static bool
is_lookup(OnnxBytes graph, OnnxBytes node)
{
	OnnxBytes	maker;

	if (!onnx_equals(onnx_get(node, NODE_OP_TYPE), "ArrayFeatureExtractor"))
		return false;
	maker = scores_find_maker(graph, node_value(node, NODE_INPUT, 1));
	return maker.data != NULL && onnx_equals(onnx_get(maker, NODE_OP_TYPE), "ArgMax");
}

OnnxBytes
label_maker(OnnxBytes graph, const char *output)
{
	OnnxBytes	value = {output, strlen(output)};

	for (int i = 0; i < MAX_STEPS; i++)
	{
		OnnxBytes	node = scores_find_maker(graph, value);
		OnnxBytes	operator;

		if (node.data == NULL)
			break;
		operator = onnx_get(node, NODE_OP_TYPE);
		if (is_lookup(graph, node) ||
			(is_classifier(operator) && onnx_compare(node_value(node, NODE_OUTPUT, 0), value) == 0))
			return node;
		if (!is_passing(operator))
			break;
		value = node_value(node, NODE_INPUT, 0);
	}
	return (OnnxBytes) {NULL, 0};
}

/* ---------- names ---------- */

typedef struct Names
{
	int			n;
	int			allocated;
	char	  **names;
} Names;

/* False when they are too many. */
static bool
add_name(Names *names, char *name)
{
	if (names->n == MAX_NAMES)
		return false;
	if (names->n == names->allocated)
	{
		names->allocated = Max(16, 2 * names->allocated);
		names->names = names->names == NULL ? palloc(names->allocated * sizeof(char *)) :
			repalloc(names->names, names->allocated * sizeof(char *));
	}
	names->names[names->n++] = name;
	return true;
}

static bool
add_strings(Names *names, OnnxBytes message, uint32 number)
{
	PbReader	strings = onnx_reader(message);
	PbField		string;

	while (onnx_next(&strings, number, &string))
		if (!add_name(names, onnx_string(onnx_bytes(&string))))
			return false;
	return true;
}

static bool
add_integers(Names *names, OnnxBytes attribute)
{
	OnnxIntegers integers = onnx_integers(attribute, ATTRIBUTE_INTS);
	int64		value;

	while (onnx_next_integer(&integers, &value))
		if (!add_name(names, psprintf(INT64_FORMAT, value)))
			return false;
	return true;
}

/* classlabels_strings, and classlabels_ints or classlabels_int64s. */
static bool
names_of_classifier(Names *names, OnnxBytes node)
{
	PbReader	attributes = onnx_reader(node);
	PbField		field;

	while (onnx_next(&attributes, NODE_ATTRIBUTE, &field))
	{
		OnnxBytes	attribute = onnx_bytes(&field);
		OnnxBytes	name = onnx_get(attribute, ATTRIBUTE_NAME);

		if (name.size < strlen("classlabels_") ||
			memcmp(name.data, "classlabels_", strlen("classlabels_")) != 0)
			continue;
		if (!add_strings(names, attribute, ATTRIBUTE_STRINGS) ||
			!add_integers(names, attribute))
			return false;
	}
	return true;
}

/* Strings stay in the graph. */
static bool
names_of_initializer(Names *names, OnnxBytes graph, OnnxBytes name)
{
	PbReader	initializers = onnx_reader(graph);
	PbField		field;

	while (onnx_next(&initializers, GRAPH_INITIALIZER, &field))
		if (onnx_compare(onnx_get(onnx_bytes(&field), TENSOR_NAME), name) == 0)
			return add_strings(names, onnx_bytes(&field), TENSOR_STRING_DATA);
	return true;
}

/* Integers are a tensor of the model. */
static bool
names_of_tensor(Names *names, const Model *model, OnnxBytes name)
{
	int			i = model_find_tensor(model, onnx_string(name));
	Payload    *payload;
	char	   *copy = NULL;
	const char *elements;

	if (i < 0)
		return true;
	payload = tensor_payload(model, &model->tensors[i]);
	if (payload->count > MAX_NAMES || dtype_bits(payload->dtype) < 8)
		return false;
	elements = payload_dense(payload, &copy);
	for (int64 k = 0; k < payload->count; k++)
	{
		double		value;

		dtype_to_double(payload->dtype, elements, k, 1, &value);
		(void) add_name(names, payload->dtype == DTYPE_I64 ?
						psprintf(INT64_FORMAT, ((const int64 *) elements)[k]) :
						psprintf("%.0f", value));
	}
	if (copy != NULL)
		pfree(copy);
	return true;
}

char **
label_class_names(const Model *model, OnnxBytes graph, const char *label, int *n)
{
	OnnxBytes	node = label_maker(graph, label);
	Names		names = {0};
	bool		all;

	*n = 0;
	if (node.data == NULL)
		return NULL;
	if (is_classifier(onnx_get(node, NODE_OP_TYPE)))
		all = names_of_classifier(&names, node);
	else
		all = names_of_initializer(&names, graph, node_value(node, NODE_INPUT, 0)) &&
			names_of_tensor(&names, model, node_value(node, NODE_INPUT, 0));
	if (!all || names.n == 0)
		return NULL;
	*n = names.n;
	return names.names;
}
