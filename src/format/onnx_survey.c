/*
 * onnx_survey.c
 *		Who uses what in a graph.
 */
#include "postgres.h"

#include "format/onnx_survey.h"
#include "miscadmin.h"

/* Names that grow. */
typedef struct List
{
	OnnxBytes  *items;
	int			n;
	int			allocated;
} List;

static void
add_name(List *list, OnnxBytes name)
{
	if (name.size == 0)
		return;
	if (list->n == list->allocated)
	{
		list->allocated = Max(2 * list->allocated, 64);
		list->items = list->items == NULL ?
			palloc(list->allocated * sizeof(OnnxBytes)) :
			repalloc_huge(list->items, list->allocated * sizeof(OnnxBytes));
	}
	list->items[list->n++] = name;
}

static int
compare_names(const void *a, const void *b)
{
	return onnx_compare(*(const OnnxBytes *) a, *(const OnnxBytes *) b);
}

/* bsearch wants an array even when there is nothing in it. */
static void
sort_names(List *list, OnnxBytes **items, int *n)
{
	if (list->items == NULL)
		list->items = palloc(sizeof(OnnxBytes));
	qsort(list->items, list->n, sizeof(OnnxBytes), compare_names);
	*items = list->items;
	*n = list->n;
}

static bool
has_name(const OnnxBytes *names, int n, OnnxBytes name)
{
	return bsearch(&name, names, n, sizeof(OnnxBytes), compare_names) != NULL;
}

static int
compare_uses(const void *a, const void *b)
{
	return onnx_compare(((const OnnxUse *) a)->name,
						((const OnnxUse *) b)->name);
}

/* ---------- making it ---------- */

typedef struct Walk
{
	OnnxSurvey *survey;
	int			uses_allocated;
	List		names;
	List		inputs;
	List		outputs;
} Walk;

static void
add_use(Walk *walk, OnnxBytes name, OnnxBytes node, int input)
{
	OnnxSurvey *survey = walk->survey;
	OnnxUse    *use;

	if (name.size == 0)
		return;
	if (survey->nuses == walk->uses_allocated)
	{
		walk->uses_allocated = Max(2 * walk->uses_allocated, 64);
		survey->uses = survey->uses == NULL ?
			palloc(walk->uses_allocated * sizeof(OnnxUse)) :
			repalloc_huge(survey->uses, walk->uses_allocated * sizeof(OnnxUse));
	}
	use = &survey->uses[survey->nuses++];
	use->name = name;
	use->node = node;
	use->input = input;
}

static void walk_graph(Walk *walk, OnnxBytes graph, bool nested);

/* Graphs that an attribute has.  The check of the model bounds their depth. */
static void
walk_attribute(Walk *walk, OnnxBytes attribute)
{
	PbReader	reader = onnx_reader(attribute);
	PbField		field;

	while (pb_next(&reader, &field))
	{
		if (field.number != ATTRIBUTE_G && field.number != ATTRIBUTE_GRAPHS)
			continue;
		walk->survey->has_nested = true;
		walk_graph(walk, onnx_bytes(&field), true);
	}
}

static void
walk_node(Walk *walk, OnnxBytes node, bool nested)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	int			input = 0;

	while (pb_next(&reader, &field))
	{
		if (field.number == NODE_INPUT && !nested)
			add_use(walk, onnx_bytes(&field), node, input++);
		else if (field.number == NODE_OUTPUT)
			add_name(&walk->names, onnx_bytes(&field));
		else if (field.number == NODE_ATTRIBUTE)
			walk_attribute(walk, onnx_bytes(&field));
	}
}

static void
walk_graph(Walk *walk, OnnxBytes graph, bool nested)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;

	while (pb_next(&reader, &field))
	{
		OnnxBytes	name;

		CHECK_FOR_INTERRUPTS();
		switch (field.number)
		{
			case GRAPH_NODE:
				walk_node(walk, onnx_bytes(&field), nested);
				break;
			case GRAPH_INITIALIZER:
				add_name(&walk->names, onnx_get(onnx_bytes(&field), TENSOR_NAME));
				break;
			case GRAPH_SPARSE_INITIALIZER:
				name = onnx_get(onnx_bytes(&field), SPARSE_VALUES);
				add_name(&walk->names, onnx_get(name, TENSOR_NAME));
				break;
			case GRAPH_INPUT:
				name = onnx_get(onnx_bytes(&field), VALUE_NAME);
				add_name(&walk->names, name);
				if (!nested)
					add_name(&walk->inputs, name);
				break;
			case GRAPH_OUTPUT:
				if (!nested)
					add_name(&walk->outputs,
							 onnx_get(onnx_bytes(&field), VALUE_NAME));
				break;
		}
	}
}

static void
read_opsets(OnnxSurvey *survey, OnnxBytes model)
{
	PbReader	reader = onnx_reader(model);
	PbField		field;

	while (onnx_next(&reader, MODEL_OPSET_IMPORT, &field))
	{
		OnnxBytes	opset = onnx_bytes(&field);
		OnnxBytes	domain = onnx_domain(onnx_get(opset,
												  OPERATOR_SET_DOMAIN));

		if (domain.size == 0)
			survey->opset = onnx_get_integer(opset, OPERATOR_SET_VERSION);
		else if (onnx_equals(domain, "com.microsoft"))
			survey->has_microsoft = true;
	}
}

OnnxSurvey *
onnx_survey(OnnxBytes model)
{
	OnnxSurvey *survey = palloc0(sizeof(OnnxSurvey));
	Walk		walk = {.survey = survey};

	survey->graph = onnx_get(model, MODEL_GRAPH);
	survey->has_functions = onnx_get(model, MODEL_FUNCTIONS).data != NULL;
	read_opsets(survey, model);
	walk_graph(&walk, survey->graph, false);
	if (survey->uses == NULL)
		survey->uses = palloc(sizeof(OnnxUse));
	qsort(survey->uses, survey->nuses, sizeof(OnnxUse), compare_uses);
	sort_names(&walk.names, &survey->names, &survey->nnames);
	sort_names(&walk.inputs, &survey->inputs, &survey->ninputs);
	sort_names(&walk.outputs, &survey->outputs, &survey->noutputs);
	return survey;
}

/* ---------- asking it ---------- */

const OnnxUse *
onnx_uses_of(const OnnxSurvey *survey, OnnxBytes name, int *n)
{
	OnnxUse		key = {.name = name};
	OnnxUse    *found = bsearch(&key, survey->uses, survey->nuses,
								sizeof(OnnxUse), compare_uses);
	OnnxUse    *end;

	*n = 0;
	if (found == NULL)
		return NULL;
	while (found > survey->uses && compare_uses(found - 1, &key) == 0)
		found--;
	for (end = found; end < survey->uses + survey->nuses &&
		 compare_uses(end, &key) == 0; end++)
		(*n)++;
	return found;
}

bool
onnx_is_input(const OnnxSurvey *survey, OnnxBytes name)
{
	return has_name(survey->inputs, survey->ninputs, name);
}

bool
onnx_is_output(const OnnxSurvey *survey, OnnxBytes name)
{
	return has_name(survey->outputs, survey->noutputs, name);
}

char *
onnx_new_name(const OnnxSurvey *survey, const char *base, const char *suffix)
{
	char	   *name = psprintf("%s%s", base, suffix);

	for (int i = 2;; i++)
	{
		OnnxBytes	bytes = {name, strlen(name)};

		if (!has_name(survey->names, survey->nnames, bytes))
			return name;
		pfree(name);
		name = psprintf("%s%s%d", base, suffix, i);
	}
}

OnnxBytes
onnx_operator(OnnxBytes node)
{
	OnnxBytes	none = {NULL, 0};

	if (onnx_domain(onnx_get(node, NODE_DOMAIN)).size > 0)
		return none;
	return onnx_get(node, NODE_OP_TYPE);
}

static OnnxBytes
find_attribute(OnnxBytes node, const char *name)
{
	PbReader	reader = onnx_reader(node);
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
onnx_attribute(OnnxBytes node, const char *name, int64 otherwise)
{
	OnnxBytes	attribute = find_attribute(node, name);

	return attribute.data == NULL ? otherwise :
		onnx_get_integer(attribute, ATTRIBUTE_I);
}

int64
onnx_attribute_first(OnnxBytes node, const char *name, int64 otherwise)
{
	OnnxBytes	attribute = find_attribute(node, name);
	OnnxIntegers integers = onnx_integers(attribute, ATTRIBUTE_INTS);
	int64		value;

	if (attribute.data == NULL || !onnx_next_integer(&integers, &value))
		return otherwise;
	return value;
}

float
onnx_attribute_float(OnnxBytes node, const char *name, float otherwise)
{
	OnnxBytes	attribute = find_attribute(node, name);
	PbReader	reader;
	PbField		field;
	float		value = 0;

	if (attribute.data == NULL)
		return otherwise;
	reader = onnx_reader(attribute);
	if (onnx_next(&reader, ATTRIBUTE_F, &field))
	{
		uint32		bits = (uint32) field.value;

		memcpy(&value, &bits, sizeof(value));
	}
	return value;
}
