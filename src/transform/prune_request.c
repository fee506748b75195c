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

#include "catalog/pg_type.h"
#include "kernel/kernel.h"
#include "model/model_sql.h"
#include "transform/prune_request.h"
#include "utils/array.h"

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

/* The place of a word among those that an argument can be; otherwise if it
 * is null. */
static int
read_word(FunctionCallInfo fcinfo, int argument, const char *what,
		  const char *const *words, int nwords, int otherwise)
{
	char	   *word;
	StringInfoData hint;

	if (PG_ARGISNULL(argument))
		return otherwise;
	word = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	initStringInfo(&hint);
	for (int i = 0; i < nwords; i++)
	{
		if (strcmp(word, words[i]) == 0)
			return i;
		appendStringInfo(&hint, "%s%s", i == 0 ? "" : i == nwords - 1 ? " and " : ", ",
						 words[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", what, word),
			 errhint("There are %s.", hint.data)));
	return otherwise;			/* not reached */
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

/* Whether a method prunes so and so much, rather than what it finds. */
static bool
has_amount(PruneMethod method)
{
	return is_unstructured(method) || is_structured(method);
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
	if (!has_amount(request->method))
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
	else if (has_amount(request->method))
		read_fraction(request, fcinfo);
	else if (request->method == PRUNE_THRESHOLD)
		read_threshold(request, fcinfo);
	else if (!PG_ARGISNULL(PRUNE_ARG_AMOUNT))
		report_needless(request, "an amount");

	request->amount.of_remaining =
		read_word(fcinfo, PRUNE_ARG_OF, "value of argument \"of\":",
				  of_names, lengthof(of_names), 0) == 1;
	if (request->amount.of_remaining && !has_amount(request->method))
		report_needless(request, "an amount of what remains");
}

/* ---------- the rest ---------- */

static void
read_scope(PruneRequest *request, FunctionCallInfo fcinfo)
{
	request->scope = read_word(fcinfo, PRUNE_ARG_SCOPE, "scope",
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
	if (!is_structured(request->method) && request->method != PRUNE_N_M)
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

	if (request->method != PRUNE_N_M)
	{
		if (!PG_ARGISNULL(PRUNE_ARG_N) || !PG_ARGISNULL(PRUNE_ARG_M_OF))
			report_needless(request, "n and m_of");
		return;
	}
	if (!complete)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"n:m\" needs n and m_of"),
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

/* An array of patterns, or none, in UTF-8. */
static char **
read_patterns(FunctionCallInfo fcinfo, int argument, const char *what,
			  int *npatterns)
{
	Datum	   *items;
	bool	   *nulls;
	char	  **patterns;

	*npatterns = 0;
	if (PG_ARGISNULL(argument))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), TEXTOID, -1, false,
					  TYPALIGN_INT, &items, &nulls, npatterns);
	patterns = palloc(Max(*npatterns, 1) * sizeof(char *));
	for (int i = 0; i < *npatterns; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a pattern to %s must not be null", what)));
		patterns[i] = text_to_utf8(DatumGetTextPP(items[i]));
	}
	return patterns;
}

PruneRequest *
prune_request_read(FunctionCallInfo fcinfo, int count_argument)
{
	PruneRequest *request = palloc0(sizeof(PruneRequest));

	request->method = read_word(fcinfo, PRUNE_ARG_METHOD, "method",
								method_names, lengthof(method_names),
								PRUNE_L1);
	read_mask(request, fcinfo);
	read_amount(request, fcinfo, count_argument);
	read_scope(request, fcinfo);
	read_dim(request, fcinfo);
	read_norm(request, fcinfo);
	read_n_m(request, fcinfo);
	request->include = read_patterns(fcinfo, PRUNE_ARG_INCLUDE, "include",
									 &request->ninclude);
	request->exclude = read_patterns(fcinfo, PRUNE_ARG_EXCLUDE, "exclude",
									 &request->nexclude);
	read_seed(request, fcinfo);
	return request;
}
