/*
 * cut_layers_sql.c
 *		cut_layers and cut_layers_dry_run.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "transform/arguments.h"
#include "transform/cut_layers.h"
#include "transform/recipe.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(modelopt_cut_layers_text);
PG_FUNCTION_INFO_V1(modelopt_cut_layers_array);
PG_FUNCTION_INFO_V1(modelopt_cut_layers_fraction);
PG_FUNCTION_INFO_V1(modelopt_cut_layers_dry_run_text);
PG_FUNCTION_INFO_V1(modelopt_cut_layers_dry_run_array);
PG_FUNCTION_INFO_V1(modelopt_cut_layers_dry_run_fraction);

enum
{
	ARG_MODEL, ARG_LAYERS, ARG_METHOD, ARG_SIMILARITY,
};

static const char *const method_names[] = {"importance", "similarity"};

/* What was asked for, for the recipe. */
typedef struct Request
{
	int			nlayers;
	char	  **layers;			/* patterns in UTF-8 */
	bool		is_fraction;
	double		fraction;
	bool		by_similarity;
} Request;

/* ---------- by name ---------- */

static void
read_array(Request *request, ArrayType *array)
{
	Datum	   *items;
	bool	   *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls,
					  &request->nlayers);
	request->layers = palloc(Max(request->nlayers, 1) * sizeof(char *));
	for (int i = 0; i < request->nlayers; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a layer to cut must not be null")));
		request->layers[i] = text_to_utf8(DatumGetTextPP(items[i]));
	}
}

/* One name or pattern, or an array in braces. */
static void
read_text(Request *request, text *layers)
{
	char	   *string = text_to_cstring(layers);

	if (*string == '{')
	{
		Datum		array = OidInputFunctionCall(F_ARRAY_IN, string, TEXTOID, -1);

		read_array(request, DatumGetArrayTypeP(array));
		return;
	}
	request->nlayers = 1;
	request->layers = palloc(sizeof(char *));
	request->layers[0] = text_to_utf8(layers);
}

static LayerPlan *
plan_by_name(const Model *model, const Request *request)
{
	LayerPlan  *plan = layer_plan_create(model);

	for (int i = 0; i < request->nlayers; i++)
		layer_plan_name(plan, request->layers[i]);
	return plan;
}

/* ---------- by importance ---------- */

/* What is more alike before and after is less important. */
static void
set_similarity(LayerPlan *plan, Jsonb *similarity)
{
	if (!JB_ROOT_IS_OBJECT(similarity))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("similarity of layers must be a JSON object"),
				 errhint("It has a number for each layer, like {\"encoder.layer.0\": 0.98}.")));
	for (int i = 0; i < plan->nchoices; i++)
	{
		const char *name = utf8_to_server(plan->choices[i].name);
		JsonbValue *value = getKeyJsonValueFromContainer(&similarity->root,
														 name, strlen(name),
														 NULL);

		plan->choices[i].importance = get_float8_nan();
		if (value == NULL)
			continue;
		if (value->type != jbvNumeric)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("similarity of layer \"%s\" is no number", name)));
		plan->choices[i].importance =
			-DatumGetFloat8(DirectFunctionCall1(numeric_float8,
												NumericGetDatum(value->val.numeric)));
	}
}

static void
read_fraction(FunctionCallInfo fcinfo, Request *request)
{
	if (PG_ARGISNULL(ARG_LAYERS))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount of layers to cut must not be null")));
	request->is_fraction = true;
	request->fraction = PG_GETARG_FLOAT8(ARG_LAYERS);
	if (!(request->fraction >= 0 && request->fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount %.15g is not between 0 and 1", request->fraction),
				 errhint("The amount is the fraction of layers to cut; layers can also be named.")));
	request->by_similarity = argument_word(fcinfo, ARG_METHOD, "method",
										   method_names, lengthof(method_names),
										   0) == 1;
	if (request->by_similarity && PG_ARGISNULL(ARG_SIMILARITY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"similarity\" needs similarity"),
				 errhint("It is an object with a number for each layer: how alike what it takes and what it gives are.")));
	if (!request->by_similarity && !PG_ARGISNULL(ARG_SIMILARITY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"importance\" does not take similarity")));
}

static LayerPlan *
plan_by_fraction(FunctionCallInfo fcinfo, const Request *request)
{
	LayerPlan  *plan = layer_plan_create(PG_GETARG_MODEL(ARG_MODEL));

	layer_plan_check(plan);
	if (request->by_similarity)
		set_similarity(plan, PG_GETARG_JSONB_P(ARG_SIMILARITY));
	else
		layer_plan_measure(plan);
	layer_plan_cut_fraction(plan, request->fraction);
	return plan;
}

/* ---------- recipe ---------- */

static void
append_list(StringInfo out, const char *key, const LayerPlan *plan)
{
	bool		any = false;

	recipe_key(out, key);
	appendStringInfoChar(out, '[');
	for (int i = 0; i < plan->nchoices; i++)
	{
		if (!plan->choices[i].is_cut)
			continue;
		appendStringInfoString(out, any ? ", " : "");
		json_append_string(out, plan->choices[i].name,
						   strlen(plan->choices[i].name));
		any = true;
	}
	appendStringInfoChar(out, ']');
}

static void
append_arguments(StringInfo out, const Request *request)
{
	recipe_key(out, "arguments");
	appendStringInfoChar(out, '{');
	if (request->is_fraction)
	{
		recipe_real(out, "amount", request->fraction);
		if (request->by_similarity)
			recipe_string(out, "method", method_names[1]);
	}
	else
	{
		recipe_key(out, "layers");
		for (int i = 0; i < request->nlayers; i++)
		{
			appendStringInfoString(out, i == 0 ? "[" : ", ");
			json_append_string(out, request->layers[i],
							   strlen(request->layers[i]));
		}
		appendStringInfoString(out, request->nlayers == 0 ? "[]" : "]");
	}
	appendStringInfoChar(out, '}');
}

static void
append_rates(StringInfo out, const Model *before, const Model *after)
{
	int64		parameters = model_parameters(before);
	int			nbefore;
	int			nafter;

	(void) graph_layers(before, &nbefore);
	(void) graph_layers(after, &nafter);
	recipe_key(out, "rates");
	appendStringInfoChar(out, '{');
	recipe_integer(out, "layers", nbefore);
	recipe_integer(out, "cut", nbefore - nafter);
	if (nbefore > 0)
		recipe_real(out, "layer_cutting_rate",
					(double) (nbefore - nafter) / nbefore);
	if (parameters > 0)
		recipe_real(out, "parameter_rate",
					(double) (parameters - model_parameters(after)) / parameters);
	appendStringInfoChar(out, '}');
}

static Datum
apply(LayerPlan *plan, const Request *request)
{
	Model	   *out = layer_plan_apply(plan);
	StringInfoData step;

	initStringInfo(&step);
	appendStringInfoChar(&step, '{');
	recipe_string(&step, "function", "cut_layers");
	append_arguments(&step, request);
	append_list(&step, "layers", plan);
	append_rates(&step, plan->model, out);
	appendStringInfoChar(&step, '}');
	recipe_append(out, &step);
	PG_RETURN_MODEL(out);
}

/* ---------- dry run ---------- */

static void
put_choice(ReturnSetInfo *result, const LayerPlan *plan,
		   const LayerChoice *choice)
{
	const char *name = choice->is_cut ? NULL : layer_new_name(plan, choice->name);
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = PointerGetDatum(utf8_to_text(choice->name));
	values[1] = Int32GetDatum(choice->ntensors);
	values[2] = Int64GetDatum(choice->parameters);
	values[3] = Float8GetDatum(choice->importance);
	nulls[3] = isnan(choice->importance);
	values[4] = BoolGetDatum(name == NULL);
	nulls[5] = name == NULL;
	if (name != NULL)
		values[5] = PointerGetDatum(utf8_to_text(name));
	nulls[6] = name == NULL || choice->problem == NULL;
	if (!nulls[6])
		values[6] = CStringGetTextDatum(choice->problem);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static Datum
put_rows(FunctionCallInfo fcinfo, LayerPlan *plan)
{
	layer_plan_try(plan);
	for (int i = 0; i < plan->nchoices; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_choice((ReturnSetInfo *) fcinfo->resultinfo, plan,
				   &plan->choices[i]);
	}
	return (Datum) 0;
}

/* ---------- SQL functions ---------- */

static void
read_names(FunctionCallInfo fcinfo, Request *request, bool is_array)
{
	if (PG_ARGISNULL(ARG_LAYERS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("layers to cut must not be null")));
	if (is_array)
		read_array(request, PG_GETARG_ARRAYTYPE_P(ARG_LAYERS));
	else
		read_text(request, PG_GETARG_TEXT_PP(ARG_LAYERS));
}

static Datum
cut_by_name(FunctionCallInfo fcinfo, bool is_array)
{
	Request		request = {0};

	if (PG_ARGISNULL(ARG_MODEL))
		PG_RETURN_NULL();
	read_names(fcinfo, &request, is_array);
	return apply(plan_by_name(PG_GETARG_MODEL(ARG_MODEL), &request), &request);
}

static Datum
dry_run_by_name(FunctionCallInfo fcinfo, bool is_array)
{
	Request		request = {0};
	LayerPlan  *plan;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARG_MODEL))
		return (Datum) 0;
	read_names(fcinfo, &request, is_array);
	plan = plan_by_name(PG_GETARG_MODEL(ARG_MODEL), &request);
	layer_plan_check(plan);
	layer_plan_measure(plan);
	return put_rows(fcinfo, plan);
}

Datum
modelopt_cut_layers_text(PG_FUNCTION_ARGS)
{
	return cut_by_name(fcinfo, false);
}

Datum
modelopt_cut_layers_array(PG_FUNCTION_ARGS)
{
	return cut_by_name(fcinfo, true);
}

Datum
modelopt_cut_layers_fraction(PG_FUNCTION_ARGS)
{
	Request		request = {0};
	LayerPlan  *plan;

	if (PG_ARGISNULL(ARG_MODEL))
		PG_RETURN_NULL();
	read_fraction(fcinfo, &request);
	plan = plan_by_fraction(fcinfo, &request);
	layer_plan_check_ranked(plan);
	return apply(plan, &request);
}

Datum
modelopt_cut_layers_dry_run_text(PG_FUNCTION_ARGS)
{
	return dry_run_by_name(fcinfo, false);
}

Datum
modelopt_cut_layers_dry_run_array(PG_FUNCTION_ARGS)
{
	return dry_run_by_name(fcinfo, true);
}

Datum
modelopt_cut_layers_dry_run_fraction(PG_FUNCTION_ARGS)
{
	Request		request = {0};

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARG_MODEL))
		return (Datum) 0;
	read_fraction(fcinfo, &request);
	return put_rows(fcinfo, plan_by_fraction(fcinfo, &request));
}
