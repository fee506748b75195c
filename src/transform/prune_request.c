/*
 * prune_request.c
 *		Arguments of the pruning functions: reading them, and what has no
 *		meaning.
 *
 * An argument that a method does not look at is an error, not ignored: who
 * gives one expects something of it.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "model/model_sql.h"
#include "transform/arguments.h"
#include "transform/prune_request.h"

/* ---------- names ---------- */

/* Indexed by PruneMethod. */
static const char *const method_names[] = {
	[PRUNE_L1] = "l1",
	[PRUNE_L2] = "l2",
	[PRUNE_RANDOM] = "random",
	[PRUNE_THRESHOLD] = "threshold",
	[PRUNE_LN_STRUCTURED] = "ln_structured",
	[PRUNE_RANDOM_STRUCTURED] = "random_structured",
	[PRUNE_N_M] = "n:m",
	[PRUNE_MASK] = "mask",
	[PRUNE_WANDA] = "wanda",
};

/* Indexed by PruneScope. */
static const char *const scope_names[] = {
	[PRUNE_SCOPE_GLOBAL] = "global",
	[PRUNE_SCOPE_LAYER] = "layer",
	[PRUNE_SCOPE_TENSOR] = "tensor",
};

/* Indexed by PruneAmount.of_remaining. */
static const char *const of_names[] = {"all", "remaining"};

const char *
prune_method_name(PruneMethod method)
{
	return method_names[method];
}

const char *
prune_scope_name(PruneScope scope)
{
	return scope_names[scope];
}

/* ---------- amounts ---------- */

static bool
is_unstructured(PruneMethod method)
{
	return method == PRUNE_L1 || method == PRUNE_L2 || method == PRUNE_RANDOM;
}

static bool
is_structured(PruneMethod method)
{
	return method == PRUNE_LN_STRUCTURED || method == PRUNE_RANDOM_STRUCTURED;
}

/* Whether n of every m are kept. */
static bool
has_pattern(const PruneRequest *request)
{
	return request->method == PRUNE_N_M || request->m > 0;
}

/* Whether a method prunes so and so much, rather than what it finds. */
static bool
has_amount(const PruneRequest *request)
{
	return is_unstructured(request->method) ||
		is_structured(request->method) ||
		(request->method == PRUNE_WANDA && !has_pattern(request));
}

static void
report_needless(const PruneRequest *request, const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("method \"%s\" does not take %s",
					prune_method_name(request->method), argument)));
}

static void
read_threshold(PruneRequest *request, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(PRUNE_ARG_AMOUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"threshold\" needs an amount"),
				 errhint("It is the magnitude below which weights go.")));
	request->threshold = PG_GETARG_FLOAT8(PRUNE_ARG_AMOUNT);
	if (isnan(request->threshold) || request->threshold < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("threshold %.15g is no magnitude", request->threshold),
				 errhint("The amount is the magnitude below which weights go: 0 or more.")));
}

static void
read_fraction(PruneRequest *request, FunctionCallInfo fcinfo)
{
	double		fraction;

	if (PG_ARGISNULL(PRUNE_ARG_AMOUNT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" needs an amount",
						prune_method_name(request->method)),
				 errhint("It is the fraction to prune, from 0 to 1; prune_count takes a number instead.")));
	fraction = PG_GETARG_FLOAT8(PRUNE_ARG_AMOUNT);
	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("amount %.15g is not between 0 and 1", fraction),
				 errhint("The amount is the fraction to prune; prune_count takes a number instead.")));
	request->amount.fraction = fraction;
}

static void
read_count(PruneRequest *request, FunctionCallInfo fcinfo, int argument)
{
	if (!has_amount(request))
		report_needless(request, "a count");
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count must not be null")));
	request->amount.is_count = true;
	request->amount.count = PG_GETARG_INT64(argument);
	if (request->amount.count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("count " INT64_FORMAT " is negative",
						request->amount.count)));
}

static void
read_amount(PruneRequest *request, FunctionCallInfo fcinfo, int count_argument)
{
	if (count_argument >= 0)
		read_count(request, fcinfo, count_argument);
	else if (has_amount(request))
		read_fraction(request, fcinfo);
	else if (request->method == PRUNE_THRESHOLD)
		read_threshold(request, fcinfo);
	else if (!PG_ARGISNULL(PRUNE_ARG_AMOUNT))
		report_needless(request, "an amount");

	request->amount.of_remaining =
		argument_word(fcinfo, PRUNE_ARG_OF, "value of argument \"of\":",
				  of_names, lengthof(of_names), 0) == 1;
	if (request->amount.of_remaining &&
		(!has_amount(request) || request->method == PRUNE_WANDA))
		report_needless(request, "an amount of what remains");
}

/* ---------- the rest ---------- */

static void
read_scope(PruneRequest *request, FunctionCallInfo fcinfo)
{
	request->scope = argument_word(fcinfo, PRUNE_ARG_SCOPE, "scope",
							   scope_names, lengthof(scope_names),
							   PRUNE_SCOPE_GLOBAL);
	if (request->scope == PRUNE_SCOPE_LAYER &&
		!is_unstructured(request->method))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" does not take scope \"layer\"",
						prune_method_name(request->method)),
				 errhint("It works on each tensor by itself.")));
}

static void
read_dim(PruneRequest *request, FunctionCallInfo fcinfo)
{
	request->has_dim = !PG_ARGISNULL(PRUNE_ARG_DIM);
	if (!request->has_dim)
		return;
	if (!is_structured(request->method) && request->method != PRUNE_N_M &&
		request->method != PRUNE_WANDA)
		report_needless(request, "dim");
	request->dim = PG_GETARG_INT32(PRUNE_ARG_DIM);
}

static void
read_norm(PruneRequest *request, FunctionCallInfo fcinfo)
{
	request->norm = 2;
	if (PG_ARGISNULL(PRUNE_ARG_NORM))
		return;
	request->norm = PG_GETARG_FLOAT8(PRUNE_ARG_NORM);
	if (request->norm != 2 && request->method != PRUNE_LN_STRUCTURED)
		report_needless(request, "norm");
	if (isnan(request->norm) || (request->norm < 0 && !isinf(request->norm)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no norm %.15g", request->norm),
				 errhint("It is 0, a positive number, Infinity or -Infinity.")));
}

static void
read_n_m(PruneRequest *request, FunctionCallInfo fcinfo)
{
	bool		complete = !PG_ARGISNULL(PRUNE_ARG_N) &&
		!PG_ARGISNULL(PRUNE_ARG_M_OF);

	bool		none = PG_ARGISNULL(PRUNE_ARG_N) && PG_ARGISNULL(PRUNE_ARG_M_OF);

	if (request->method != PRUNE_N_M && none)
		return;
	if (request->method != PRUNE_N_M && request->method != PRUNE_WANDA)
		report_needless(request, "n and m_of");
	if (!complete)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" needs n and m_of",
						prune_method_name(request->method)),
				 errhint("n => 2, m_of => 4 keeps two weights of every four.")));
	request->n = PG_GETARG_INT32(PRUNE_ARG_N);
	request->m = PG_GETARG_INT32(PRUNE_ARG_M_OF);
	if (request->n < 1 || request->n >= request->m || request->m > KERNEL_PATTERN_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot keep %d of every %d weights", request->n,
						request->m),
				 errhint("m_of is at most %d, and n at least 1 and less than m_of.",
						 KERNEL_PATTERN_MAX)));
}

static void
read_seed(PruneRequest *request, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(PRUNE_ARG_SEED))
		return;
	request->seed = PG_GETARG_INT64(PRUNE_ARG_SEED);
	if (request->seed != 0 && request->method != PRUNE_RANDOM &&
		request->method != PRUNE_RANDOM_STRUCTURED)
		report_needless(request, "a seed");
}

static void
read_mask(PruneRequest *request, FunctionCallInfo fcinfo)
{
	bool		given = !PG_ARGISNULL(PRUNE_ARG_MASK);

	if (given && request->method != PRUNE_MASK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" does not take a mask",
						prune_method_name(request->method)),
				 errhint("Say method => 'mask'.")));
	if (!given && request->method == PRUNE_MASK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"mask\" needs a mask"),
				 errhint("The mask is a model with tensors of the same names and shapes; where they are zero, weights go.")));
	if (!given)
		return;
	request->mask = PG_GETARG_MODEL(PRUNE_ARG_MASK);
	request->masks = model_sort_tensors(request->mask);
}

static void
read_norms(PruneRequest *request, FunctionCallInfo fcinfo)
{
	bool		given = !PG_ARGISNULL(PRUNE_ARG_NORMS);

	if (given && request->method != PRUNE_WANDA)
		report_needless(request, "activation norms");
	if (!given && request->method == PRUNE_WANDA)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"wanda\" needs activation norms"),
				 errhint("They are a JSON object with an array for each tensor, a norm for each of its inputs.")));
	if (!given)
		return;
	request->norms = PG_GETARG_JSONB_P(PRUNE_ARG_NORMS);
	if (!JB_ROOT_IS_OBJECT(request->norms))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("activation norms must be a JSON object")));
}

PruneRequest *
prune_request_read(FunctionCallInfo fcinfo, int count_argument)
{
	PruneRequest *request = palloc0(sizeof(PruneRequest));

	request->function = count_argument >= 0 ? "prune_count" : "prune";
	request->method = argument_word(fcinfo, PRUNE_ARG_METHOD, "method",
								method_names, lengthof(method_names),
								PRUNE_L1);
	read_mask(request, fcinfo);
	read_n_m(request, fcinfo);
	read_amount(request, fcinfo, count_argument);
	read_scope(request, fcinfo);
	read_dim(request, fcinfo);
	read_norm(request, fcinfo);
	read_norms(request, fcinfo);
	argument_patterns(fcinfo, PRUNE_ARG_INCLUDE, PRUNE_ARG_EXCLUDE, "prune",
					  &request->patterns);
	read_seed(request, fcinfo);
	return request;
}
