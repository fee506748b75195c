/*
 * merge_sql.c
 *		Merging as a function, for the repository's own SQL.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "transform/merge.h"

PG_FUNCTION_INFO_V1(modelopt_merge_models);

/* What a step is called, and its numbers: weights of ours and of theirs,
 * density, lambda. */
#define NUMBERS_PER_STEP 4

typedef struct MethodName
{
	const char *name;
	MergeMethod method;
} MethodName;

static const MethodName method_names[] = {
	{"ours", MERGE_OURS},
	{"theirs", MERGE_THEIRS},
	{"base", MERGE_BASE},
	{"average", MERGE_LINEAR},
	{"weighted", MERGE_LINEAR},
	{"slerp", MERGE_SLERP},
	{"task_arithmetic", MERGE_TASK_ARITHMETIC},
	{"ties", MERGE_TIES},
};

static MergeMethod
method_of(const char *name)
{
	for (int i = 0; i < lengthof(method_names); i++)
	{
		if (strcmp(method_names[i].name, name) == 0)
			return method_names[i].method;
	}
	elog(ERROR, "unrecognized method of merging \"%s\"", name);
}

static Model *
model_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_MODEL(n);
}

/* The elements of an array argument, and how many they are; raises when one is
 * null. */
static Datum *
array_argument(FunctionCallInfo fcinfo, int i, Oid type, int *n)
{
	Datum	   *elements;

	if (type == TEXTOID)
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), type, -1, false,
						  TYPALIGN_INT, &elements, NULL, n);
	else
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), type, 8, FLOAT8PASSBYVAL,
						  TYPALIGN_DOUBLE, &elements, NULL, n);
	return elements;
}

static void
read_steps(FunctionCallInfo fcinfo, MergePlan *plan)
{
	int			nmethods;
	int			nnumbers;
	Datum	   *names = array_argument(fcinfo, 3, TEXTOID, &plan->ntensors);
	Datum	   *methods = array_argument(fcinfo, 4, TEXTOID, &nmethods);
	Datum	   *numbers = array_argument(fcinfo, 5, FLOAT8OID, &nnumbers);

	if (nmethods != plan->ntensors ||
		nnumbers != (int64) NUMBERS_PER_STEP * plan->ntensors)
		elog(ERROR, "the plan of a merge has a step for each tensor");
	plan->names = palloc((plan->ntensors + 1) * sizeof(char *));
	plan->steps = palloc((plan->ntensors + 1) * sizeof(MergeStep));
	for (int i = 0; i < plan->ntensors; i++)
	{
		MergeStep  *step = &plan->steps[i];

		plan->names[i] = text_to_utf8(DatumGetTextPP(names[i]));
		step->method = method_of(TextDatumGetCString(methods[i]));
		step->weight_ours = DatumGetFloat8(numbers[NUMBERS_PER_STEP * i]);
		step->weight_theirs = DatumGetFloat8(numbers[NUMBERS_PER_STEP * i + 1]);
		step->density = DatumGetFloat8(numbers[NUMBERS_PER_STEP * i + 2]);
		step->lambda = DatumGetFloat8(numbers[NUMBERS_PER_STEP * i + 3]);
	}
}

/* merge_models(base, ours, theirs, names, methods, numbers, graph, step) */
Datum
modelopt_merge_models(PG_FUNCTION_ARGS)
{
	MergePlan	plan = {0};
	Model	   *out;

	plan.base = model_argument(fcinfo, 0);
	plan.ours = PG_GETARG_MODEL(1);
	plan.theirs = PG_GETARG_MODEL(2);
	read_steps(fcinfo, &plan);
	switch (method_of(text_to_cstring(PG_GETARG_TEXT_PP(6))))
	{
		case MERGE_OURS:
			plan.graph = plan.ours;
			break;
		case MERGE_THEIRS:
			plan.graph = plan.theirs;
			break;
		default:
			plan.graph = plan.base;
	}
	out = merge_models(CurrentMemoryContext, &plan);
	model_append_recipe(out, jsonb_to_json_text(PG_GETARG_JSONB_P(7)));
	PG_RETURN_MODEL(out);
}
