/*
 * cut_edges_sql.c
 *		cut_edges, cut_edges_dry_run, cut_dead_nodes and cut_dead_nodes_dry_run.
 *
 * An edge is a single weight.  Cutting edges is pruning of single weights, and
 * done by its machinery; afterwards some nodes may have no say any more.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/arguments.h"
#include "transform/cut.h"
#include "transform/cut_report.h"
#include "transform/prune.h"
#include "transform/recipe.h"

PG_FUNCTION_INFO_V1(modelopt_cut_edges);
PG_FUNCTION_INFO_V1(modelopt_cut_edges_dry_run);
PG_FUNCTION_INFO_V1(modelopt_cut_dead_nodes);
PG_FUNCTION_INFO_V1(modelopt_cut_dead_nodes_dry_run);

/* Places of the arguments, which the two functions share. */
enum
{
	ARG_MODEL, ARG_AMOUNT, ARG_METHOD, ARG_SCOPE, ARG_INCLUDE, ARG_EXCLUDE,
	ARG_SEED,
	ARG_DEAD_NODES,				/* of cut_edges only */
};

/* ---------- edges ---------- */

static const struct
{
	const char *name;
	PruneScope	scope;
}			scopes[] =
{
	{"global", PRUNE_SCOPE_GLOBAL},
	{"layer", PRUNE_SCOPE_LAYER},
};

/* Those of prune's methods that choose single weights by an amount. */
static const struct
{
	const char *name;
	PruneMethod method;
}			methods[] =
{
	{"l1", PRUNE_L1},
	{"l2", PRUNE_L2},
	{"random", PRUNE_RANDOM},
};

static void
read_method(PruneRequest *request, FunctionCallInfo fcinfo)
{
	const char *names[] = {methods[0].name, methods[1].name, methods[2].name};
	int			i = argument_word(fcinfo, ARG_METHOD, "method", names,
								  lengthof(names), 0);

	request->method = methods[i].method;
	if (!PG_ARGISNULL(ARG_SEED))
		request->seed = PG_GETARG_INT64(ARG_SEED);
	if (request->seed != 0 && request->method != PRUNE_RANDOM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" does not take a seed", names[i])));
}

static PruneRequest *
read_request(FunctionCallInfo fcinfo)
{
	PruneRequest *request = palloc0(sizeof(PruneRequest));
	const char *names[] = {scopes[0].name, scopes[1].name};
	double		amount;

	if (PG_ARGISNULL(ARG_AMOUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount of edges to cut must not be null"),
				 errhint("It is a fraction, from 0 to 1.")));
	amount = PG_GETARG_FLOAT8(ARG_AMOUNT);
	if (!(amount >= 0 && amount <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount %.15g is not between 0 and 1", amount),
				 errhint("The amount is the fraction of edges to cut.")));
	request->function = "cut_edges";
	read_method(request, fcinfo);
	request->norm = 2;
	request->amount.fraction = amount;
	request->scope = scopes[argument_word(fcinfo, ARG_SCOPE, "scope", names,
										  lengthof(names), 0)].scope;
	argument_patterns(fcinfo, ARG_INCLUDE, ARG_EXCLUDE, "cut edges of",
					  &request->patterns);
	return request;
}

/* ---------- dead nodes ---------- */

/* NULL when there is nothing to cut. */
static Model *
cut_dead(const Model *model)
{
	CutPlan    *plan = cut_plan_create(model);
	Model	   *out;
	StringInfoData step;

	if (cut_find_dead(plan) == 0)
		return NULL;
	out = cut_apply(plan);
	initStringInfo(&step);
	appendStringInfoChar(&step, '{');
	recipe_string(&step, "function", "cut_dead_nodes");
	cut_append_nodes(&step, plan, out);
	appendStringInfoChar(&step, '}');
	recipe_append(out, &step);
	return out;
}

Datum
modelopt_cut_dead_nodes(PG_FUNCTION_ARGS)
{
	Model	   *out = cut_dead(PG_GETARG_MODEL(0));

	if (out == NULL)
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	PG_RETURN_MODEL(out);
}

Datum
modelopt_cut_dead_nodes_dry_run(PG_FUNCTION_ARGS)
{
	CutPlan    *plan;

	InitMaterializedSRF(fcinfo, 0);
	plan = cut_plan_create(PG_GETARG_MODEL(0));
	(void) cut_find_dead(plan);
	cut_put_layers(fcinfo, plan);
	return (Datum) 0;
}

/* ---------- SQL functions of edges ---------- */

Datum
modelopt_cut_edges(PG_FUNCTION_ARGS)
{
	PruneRequest *request;
	Model	   *out;
	Model	   *smaller = NULL;

	if (PG_ARGISNULL(ARG_MODEL))
		PG_RETURN_NULL();
	request = read_request(fcinfo);
	out = prune_model(PG_GETARG_MODEL(ARG_MODEL), request);
	if (!PG_ARGISNULL(ARG_DEAD_NODES) && PG_GETARG_BOOL(ARG_DEAD_NODES))
		smaller = cut_dead(out);
	PG_RETURN_MODEL(smaller != NULL ? smaller : out);
}

Datum
modelopt_cut_edges_dry_run(PG_FUNCTION_ARGS)
{
	PruneRequest *request;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARG_MODEL))
		return (Datum) 0;
	request = read_request(fcinfo);
	prune_put_dry_run(fcinfo, PG_GETARG_MODEL(ARG_MODEL), request);
	return (Datum) 0;
}
