/*
 * cut_nodes_sql.c
 *		cut_nodes, cut_nodes_count and cut_nodes_dry_run.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/arguments.h"
#include "transform/cut.h"
#include "transform/cut_report.h"
#include "transform/recipe.h"

PG_FUNCTION_INFO_V1(modelopt_cut_nodes);
PG_FUNCTION_INFO_V1(modelopt_cut_nodes_count);
PG_FUNCTION_INFO_V1(modelopt_cut_nodes_dry_run);

/* Places of the arguments, which the three functions share. */
enum
{
	ARG_MODEL, ARG_AMOUNT, ARG_METHOD, ARG_SCOPE, ARG_ROUND_TO, ARG_INCLUDE,
	ARG_EXCLUDE, ARG_SEED, ARG_COUNT,
};

/* Indexed by CutMethod. */
static const char *const method_names[] = {"l2", "l1", "random", "bn_scale"};

/* Indexed by CutRequest.is_global. */
static const char *const scope_names[] = {"layer", "global"};

/* ---------- arguments ---------- */

static void
read_fraction(CutRequest *request, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_AMOUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount of nodes to cut must not be null"),
				 errhint("It is a fraction, from 0 to 1; cut_nodes_count takes a number instead.")));
	request->fraction = PG_GETARG_FLOAT8(ARG_AMOUNT);
	if (!(request->fraction >= 0 && request->fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount %.15g is not between 0 and 1", request->fraction),
				 errhint("The amount is the fraction of nodes to cut; cut_nodes_count takes a number instead.")));
}

static void
read_count(CutRequest *request, FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count must not be null")));
	request->is_count = true;
	request->count = PG_GETARG_INT64(argument);
	if (request->count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count " INT64_FORMAT " is negative", request->count)));
}

static CutRequest *
read_request(FunctionCallInfo fcinfo, int count_argument)
{
	CutRequest *request = palloc0(sizeof(CutRequest));

	if (count_argument >= 0)
		read_count(request, fcinfo, count_argument);
	else
		read_fraction(request, fcinfo);
	request->method = argument_word(fcinfo, ARG_METHOD, "method", method_names,
									lengthof(method_names), CUT_L2);
	request->is_global = argument_word(fcinfo, ARG_SCOPE, "scope", scope_names,
									   lengthof(scope_names), 0) == 1;
	request->round_to = PG_ARGISNULL(ARG_ROUND_TO) ? 1 :
		PG_GETARG_INT32(ARG_ROUND_TO);
	if (request->round_to < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot round to multiples of " INT64_FORMAT,
						request->round_to)));
	argument_patterns(fcinfo, ARG_INCLUDE, ARG_EXCLUDE, "cut nodes of",
					  &request->patterns);
	if (!PG_ARGISNULL(ARG_SEED))
		request->seed = PG_GETARG_INT64(ARG_SEED);
	if (request->seed != 0 && request->method != CUT_RANDOM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" does not take a seed",
						method_names[request->method])));
	return request;
}

/* A dry run says of each layer what the cut would raise for. */
static CutPlan *
make_plan(const Model *model, const CutRequest *request, bool is_dry)
{
	CutPlan    *plan = cut_plan_create(model);

	cut_plan_choose(plan, &request->patterns);
	if (is_dry)
		cut_plan_leave_refused(plan);
	else
		cut_plan_check(plan);
	if (cut_allowed(plan) == 0)
	{
		if (is_dry)
			return plan;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model has no nodes that may be cut"),
				 errhint("Outputs of the model are cut only when include names their layer in full; cut_nodes_dry_run(m, 0) says what is the matter with each layer.")));
	}
	cut_measure(plan, request);
	if (is_dry)
		cut_plan_leave_refused(plan);
	else
		cut_plan_check_ranked(plan);
	if (cut_allowed(plan) > 0)
		cut_choose(plan, request);
	return plan;
}

/* ---------- recipe ---------- */

static void
append_arguments(StringInfo out, const CutRequest *request)
{
	recipe_key(out, "arguments");
	appendStringInfoChar(out, '{');
	if (request->is_count)
		recipe_integer(out, "count", request->count);
	else
		recipe_real(out, "amount", request->fraction);
	if (request->method != CUT_L2)
		recipe_string(out, "method", method_names[request->method]);
	if (request->is_global)
		recipe_string(out, "scope", scope_names[1]);
	if (request->round_to != 1)
		recipe_integer(out, "round_to", request->round_to);
	recipe_patterns(out, &request->patterns);
	if (request->seed != 0)
		recipe_integer(out, "seed", request->seed);
	appendStringInfoChar(out, '}');
}

static void
add_recipe(Model *out, const CutPlan *plan, const CutRequest *request)
{
	StringInfoData step;

	initStringInfo(&step);
	appendStringInfoChar(&step, '{');
	recipe_string(&step, "function",
				  request->is_count ? "cut_nodes_count" : "cut_nodes");
	append_arguments(&step, request);
	cut_append_nodes(&step, plan, out);
	appendStringInfoChar(&step, '}');
	recipe_append(out, &step);
}

/* ---------- cut_nodes ---------- */

static Datum
cut_and_return(FunctionCallInfo fcinfo, int count_argument)
{
	CutRequest *request;
	CutPlan    *plan;
	Model	   *out;

	if (PG_ARGISNULL(ARG_MODEL))
		PG_RETURN_NULL();
	request = read_request(fcinfo, count_argument);
	plan = make_plan(PG_GETARG_MODEL(ARG_MODEL), request, false);
	out = cut_apply(plan);
	add_recipe(out, plan, request);
	PG_RETURN_MODEL(out);
}

Datum
modelopt_cut_nodes(PG_FUNCTION_ARGS)
{
	return cut_and_return(fcinfo, -1);
}

Datum
modelopt_cut_nodes_count(PG_FUNCTION_ARGS)
{
	return cut_and_return(fcinfo, ARG_AMOUNT);
}

/* ---------- dry run ---------- */

Datum
modelopt_cut_nodes_dry_run(PG_FUNCTION_ARGS)
{
	bool		counted = !PG_ARGISNULL(ARG_COUNT);
	CutRequest *request;
	CutPlan    *plan;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARG_MODEL))
		return (Datum) 0;
	if (counted && !PG_ARGISNULL(ARG_AMOUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount and count exclude one another")));
	request = read_request(fcinfo, counted ? ARG_COUNT : -1);
	plan = make_plan(PG_GETARG_MODEL(ARG_MODEL), request, true);
	cut_put_layers(fcinfo, plan);
	return (Datum) 0;
}
