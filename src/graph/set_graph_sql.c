/*
 * set_graph_sql.c
 *		set_graph: an architecture for a model that has none.
 */
#include "postgres.h"

#include "graph/graph.h"
#include "model/model_sql.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(modelopt_set_graph_text);
PG_FUNCTION_INFO_V1(modelopt_set_graph_jsonb);

/* ---------- an architecture as jsonb ---------- */

static void
fail_json(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid architecture"),
			 errdetail("%s.", problem),
			 errhint("It is an array of steps, like [{\"op\": \"linear\", \"name\": \"layer1\"}, \"relu\"].")));
}

/* A string or a number, in UTF-8. */
static char *
scalar_to_utf8(const JsonbValue *value)
{
	char	   *s;

	if (value->type == jbvString)
		s = pnstrdup(value->val.string.val, value->val.string.len);
	else if (value->type == jbvNumeric)
		s = DatumGetCString(DirectFunctionCall1(numeric_out,
												NumericGetDatum(value->val.numeric)));
	else
		return NULL;
	return pg_server_to_any(s, strlen(s), PG_UTF8);
}

/* The values of an array: names are given one by one, sizes with an x between
 * them. */
static void
set_array(struct Step *step, const char *key, JsonbContainer *array)
{
	bool		one_by_one = strcmp(key, "from") == 0;
	StringInfoData sizes;
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;

	initStringInfo(&sizes);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *item;

		if (token != WJB_ELEM)
			continue;
		item = value.type == jbvNull ? pstrdup("?") : scalar_to_utf8(&value);
		if (item == NULL)
			fail_json(psprintf("Option \"%s\" has an array of something else than strings and numbers",
							   utf8_to_server(key)));
		if (one_by_one)
			step_set(step, key, item);
		else
			appendStringInfo(&sizes, "%s%s", sizes.len > 0 ? "x" : "", item);
	}
	if (!one_by_one)
		step_set(step, key, sizes.data);
}

/* A member that is a string, or NULL. */
static char *
member_string(JsonbContainer *object, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, key, strlen(key),
													 NULL);

	if (value == NULL)
		return NULL;
	if (value->type != jbvString)
		fail_json(psprintf("A step's \"%s\" is no string", key));
	return scalar_to_utf8(value);
}

static void
add_object(Architecture *architecture, JsonbContainer *object)
{
	char	   *op = member_string(object, "op");
	char	   *name = member_string(object, "name");
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;
	struct Step *step;

	if (op == NULL)
		fail_json("A step has no \"op\"");
	step = architecture_add(architecture, name, op);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *item;

		if (token == WJB_KEY)
			key = scalar_to_utf8(&value);
		if (token != WJB_VALUE || strcmp(key, "op") == 0 ||
			strcmp(key, "name") == 0)
			continue;
		if (value.type == jbvBinary &&
			JsonContainerIsArray(value.val.binary.data))
		{
			set_array(step, key, value.val.binary.data);
			continue;
		}
		item = scalar_to_utf8(&value);
		if (item == NULL)
			fail_json(psprintf("Option \"%s\" is neither a string nor a number nor an array",
							   utf8_to_server(key)));
		step_set(step, key, item);
	}
}

static void
add_json(Architecture *architecture, Jsonb *jsonb)
{
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_ARRAY(jsonb) || JB_ROOT_IS_SCALAR(jsonb))
		fail_json("It is no array");
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		if (value.type == jbvString)
			architecture_read(architecture, scalar_to_utf8(&value));
		else if (value.type == jbvBinary &&
				 JsonContainerIsObject(value.val.binary.data))
			add_object(architecture, value.val.binary.data);
		else
			fail_json("A step is neither an object nor a string");
	}
}

/* ---------- the model ---------- */

/* Who forgets a layer should hear of it; counters that PyTorch keeps beside a
 * batch norm compute nothing. */
static void
notice_unused(const Model *model, const bool *used)
{
	static const char counter[] = "num_batches_tracked";
	StringInfoData names;
	int			n = 0;

	initStringInfo(&names);
	for (int i = 0; i < model->ntensors; i++)
	{
		const char *name = model->tensors[i].name;
		size_t		length = strlen(name);

		if (used[i] || (length >= strlen(counter) &&
						strcmp(name + length - strlen(counter), counter) == 0))
			continue;
		if (++n <= 5)
			appendStringInfo(&names, "%s\"%s\"", n > 1 ? ", " : "",
							 utf8_to_server(name));
	}
	if (n > 0)
		ereport(NOTICE,
				(errmsg_plural("%d tensor is not used by the architecture",
							   "%d tensors are not used by the architecture",
							   n, n),
				 errdetail("%s%s", names.data, n > 5 ? ", ..." : "")));
}

/* The arguments as JSON text, for the recipe. */
static void
add_recipe(Model *model, const char *architecture)
{
	char	   *step = psprintf("{\"function\": \"set_graph\", \"arguments\": {\"architecture\": %s}}",
								architecture);

	model_append_recipe(model, jsonb_to_json_text(json_text_to_jsonb(step)));
}

static Datum
set_graph(FunctionCallInfo fcinfo, const Architecture *architecture,
		  const char *recipe)
{
	Model	   *model = PG_GETARG_MODEL(0);
	const bool *used;
	OnnxBytes	graph = architecture_build(model, architecture, &used);
	Model	   *out = model_copy(CurrentMemoryContext, model);

	notice_unused(model, used);
	model_set_graph(out, graph.data, graph.size);
	add_recipe(out, recipe);
	PG_RETURN_MODEL(out);
}

static void
check_not_null(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("architecture of a model must not be null")));
}

static Datum
set_graph_by_json(FunctionCallInfo fcinfo, Jsonb *json)
{
	Architecture *architecture = architecture_create();

	add_json(architecture, json);
	return set_graph(fcinfo, architecture, jsonb_to_json_text(json));
}

static Datum
set_graph_by_text(FunctionCallInfo fcinfo, const char *text_utf8)
{
	Architecture *architecture = architecture_create();
	StringInfoData recipe;

	architecture_read(architecture, text_utf8);
	initStringInfo(&recipe);
	json_append_string(&recipe, text_utf8, strlen(text_utf8));
	return set_graph(fcinfo, architecture, recipe.data);
}

/* A literal in JSON is text as long as nobody says otherwise. */
static bool
is_json(const char *string)
{
	string += strspn(string, " \t\r\n");
	return *string == '[' || *string == '{';
}

Datum
modelopt_set_graph_text(PG_FUNCTION_ARGS)
{
	char	   *string;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	check_not_null(fcinfo);
	string = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (is_json(string))
		return set_graph_by_json(fcinfo,
								 DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
																	CStringGetDatum(string))));
	return set_graph_by_text(fcinfo, text_to_utf8(PG_GETARG_TEXT_PP(1)));
}

Datum
modelopt_set_graph_jsonb(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	check_not_null(fcinfo);
	return set_graph_by_json(fcinfo, PG_GETARG_JSONB_P(1));
}
