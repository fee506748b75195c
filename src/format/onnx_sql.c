/*
 * onnx_sql.c
 *		SQL functions that show the graph of an ONNX model.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "format/onnx.h"
#include "format/onnx_sql.h"
#include "model/model_sql.h"
#include "utils/array.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_inputs);
PG_FUNCTION_INFO_V1(modelopt_outputs);
PG_FUNCTION_INFO_V1(modelopt_nodes);

/* ---------- values ---------- */

static Datum
bytes_to_text(OnnxBytes bytes)
{
	return PointerGetDatum(utf8_to_text(onnx_string(bytes)));
}

/* Texts that grow. */
typedef struct Texts
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			allocated;
} Texts;

static void
add_text(Texts *texts, Datum value, bool is_null)
{
	if (texts->n == texts->allocated)
	{
		texts->allocated = Max(2 * texts->allocated, 16);
		if (texts->n == 0)
		{
			texts->values = palloc(texts->allocated * sizeof(Datum));
			texts->nulls = palloc(texts->allocated * sizeof(bool));
		}
		else
		{
			texts->values = repalloc(texts->values,
									 texts->allocated * sizeof(Datum));
			texts->nulls = repalloc(texts->nulls,
									texts->allocated * sizeof(bool));
		}
	}
	texts->values[texts->n] = value;
	texts->nulls[texts->n++] = is_null;
}

static Datum
texts_to_array(Texts *texts)
{
	int			dims[1] = {texts->n};
	int			bounds[1] = {1};

	return PointerGetDatum(construct_md_array(texts->values, texts->nulls,
											  texts->n > 0 ? 1 : 0, dims,
											  bounds, TEXTOID, -1, false,
											  TYPALIGN_INT));
}

/* ---------- inputs and outputs ---------- */

static Datum
shape_to_array(OnnxBytes shape)
{
	PbReader	reader = onnx_reader(shape);
	PbField		field;
	Texts		texts = {0};

	while (onnx_next(&reader, SHAPE_DIM, &field))
	{
		char	   *dim = onnx_show_dimension(onnx_bytes(&field));

		if (dim == NULL)
			add_text(&texts, (Datum) 0, true);
		else
			add_text(&texts, PointerGetDatum(utf8_to_text(dim)), false);
	}
	return texts_to_array(&texts);
}

static void
put_value(ReturnSetInfo *result, OnnxBytes value)
{
	OnnxBytes	type = onnx_get(value, VALUE_TYPE);
	OnnxBytes	shape = onnx_shape(type);
	char	   *shown = onnx_show_type(type);
	Datum		values[3];
	bool		nulls[3] = {false};

	values[0] = bytes_to_text(onnx_get(value, VALUE_NAME));
	nulls[1] = shown == NULL;
	if (shown != NULL)
		values[1] = CStringGetTextDatum(shown);
	nulls[2] = shape.data == NULL;
	if (shape.data != NULL)
		values[2] = shape_to_array(shape);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static int
compare_names(const void *a, const void *b)
{
	return onnx_compare(*(const OnnxBytes *) a, *(const OnnxBytes *) b);
}

/* Names of the initializers, sorted: before IR version 4 all of them were
 * inputs too, and later ones may be, as defaults. */
static OnnxBytes *
initializer_names(OnnxBytes graph, int *n)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	int			allocated = 64;
	OnnxBytes  *names = palloc(allocated * sizeof(OnnxBytes));

	*n = 0;
	while (pb_next(&reader, &field))
	{
		OnnxBytes	tensor = onnx_bytes(&field);

		if (field.number == GRAPH_SPARSE_INITIALIZER)
			tensor = onnx_get(tensor, SPARSE_VALUES);
		else if (field.number != GRAPH_INITIALIZER)
			continue;
		if (*n == allocated)
			names = repalloc_huge(names, (allocated *= 2) * sizeof(OnnxBytes));
		names[(*n)++] = onnx_get(tensor, TENSOR_NAME);
	}
	qsort(names, *n, sizeof(OnnxBytes), compare_names);
	return names;
}

/* Puts a row for each value of a field, but for those that are excluded. */
static void
put_values(FunctionCallInfo fcinfo, OnnxBytes graph, uint32 number,
		   const OnnxBytes *excluded, int nexcluded)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext,
													  "row of a graph",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(row_context);

	while (onnx_next(&reader, number, &field))
	{
		OnnxBytes	name = onnx_get(onnx_bytes(&field), VALUE_NAME);

		CHECK_FOR_INTERRUPTS();
		if (nexcluded > 0 &&
			bsearch(&name, excluded, nexcluded, sizeof(OnnxBytes),
					compare_names) != NULL)
			continue;
		put_value(result, onnx_bytes(&field));
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
}

void
onnx_put_inputs(FunctionCallInfo fcinfo, const Model *model)
{
	OnnxBytes	graph = onnx_get(onnx_model_graph(model), MODEL_GRAPH);
	int			n;
	OnnxBytes  *initializers = initializer_names(graph, &n);

	InitMaterializedSRF(fcinfo, 0);
	put_values(fcinfo, graph, GRAPH_INPUT, initializers, n);
}

void
onnx_put_outputs(FunctionCallInfo fcinfo, const Model *model)
{
	OnnxBytes	graph = onnx_get(onnx_model_graph(model), MODEL_GRAPH);

	InitMaterializedSRF(fcinfo, 0);
	put_values(fcinfo, graph, GRAPH_OUTPUT, NULL, 0);
}

Datum
modelopt_inputs(PG_FUNCTION_ARGS)
{
	onnx_put_inputs(fcinfo, PG_GETARG_MODEL(0));
	return (Datum) 0;
}

Datum
modelopt_outputs(PG_FUNCTION_ARGS)
{
	onnx_put_outputs(fcinfo, PG_GETARG_MODEL(0));
	return (Datum) 0;
}

/* ---------- nodes ---------- */

static Datum
names_to_array(OnnxBytes node, uint32 number)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	Texts		texts = {0};

	while (onnx_next(&reader, number, &field))
		add_text(&texts, bytes_to_text(onnx_bytes(&field)), false);
	return texts_to_array(&texts);
}

static Datum
attributes_to_jsonb(OnnxBytes node)
{
	StringInfoData json;

	initStringInfo(&json);
	onnx_show_attributes(&json, node);
	return JsonbPGetDatum(json_text_to_jsonb(json.data));
}

static void
put_node(ReturnSetInfo *result, int position, OnnxBytes node)
{
	OnnxBytes	name = onnx_get(node, NODE_NAME);
	OnnxBytes	domain = onnx_domain(onnx_get(node, NODE_DOMAIN));
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = Int32GetDatum(position);
	nulls[1] = name.size == 0;
	if (name.size > 0)
		values[1] = bytes_to_text(name);
	values[2] = bytes_to_text(onnx_get(node, NODE_OP_TYPE));
	values[3] = domain.size > 0 ? bytes_to_text(domain) :
		CStringGetTextDatum("ai.onnx");
	values[4] = names_to_array(node, NODE_INPUT);
	values[5] = names_to_array(node, NODE_OUTPUT);
	values[6] = attributes_to_jsonb(node);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
modelopt_nodes(PG_FUNCTION_ARGS)
{
	OnnxBytes	model = onnx_model_graph(PG_GETARG_MODEL(0));
	PbReader	reader = onnx_reader(onnx_get(model, MODEL_GRAPH));
	PbField		field;
	int			position = 0;
	MemoryContext row_context;
	MemoryContext old_context;

	InitMaterializedSRF(fcinfo, 0);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "node row",
										ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(row_context);
	while (onnx_next(&reader, GRAPH_NODE, &field))
	{
		CHECK_FOR_INTERRUPTS();
		put_node((ReturnSetInfo *) fcinfo->resultinfo, ++position,
				 onnx_bytes(&field));
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
	return (Datum) 0;
}
