/*
 * search_sql.c
 *		Functions that call functions anybody can call, and are SQL themselves.
 *
 * Their bodies are in the schema modelopt_private, and run with the rights of
 * who calls.  Owns how far they are, and that what goes wrong is told without
 * lines of theirs: a user's query is the user's, and the rest is nothing to
 * look into.
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "model/progress.h"
#include "repo/repo.h"
#include "serve/search.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(modelopt_search);

typedef struct SearchState
{
	FmgrInfo	body;
	bool		counts;
	char		name[NAMEDATALEN];
} SearchState;

static int	searches = 0;		/* one within another */

static SearchState *
open_search(FmgrInfo *flinfo)
{
	HeapTuple	tuple;
	Form_pg_proc search;
	SearchState *state = flinfo->fn_extra;

	if (state != NULL)
		return state;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", flinfo->fn_oid);
	search = (Form_pg_proc) GETSTRUCT(tuple);
	state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(SearchState));
	strlcpy(state->name, NameStr(search->proname), NAMEDATALEN);
	/* One that gets a name calls the one that gets a model, which counts. */
	state->counts = search->proargtypes.values[0] != TEXTOID;
	fmgr_info_cxt(repo_find_body(search), &state->body, flinfo->fn_mcxt);
	fmgr_info_set_expr(flinfo->fn_expr, &state->body);
	ReleaseSysCache(tuple);
	flinfo->fn_extra = state;
	return state;
}

static Datum
call_body(FunctionCallInfo fcinfo, FmgrInfo *body)
{
	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	Datum		result;

	InitFunctionCallInfoData(*inner, body, fcinfo->nargs, fcinfo->fncollation,
							 fcinfo->context, fcinfo->resultinfo);
	memcpy(inner->args, fcinfo->args, fcinfo->nargs * sizeof(NullableDatum));
	result = FunctionCallInvoke(inner);
	fcinfo->isnull = inner->isnull;
	return result;
}

/* Raises the error again, with where the caller was and no more. */
pg_noreturn static void
rethrow_bare(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	error->context = GetErrorContextStack();
	ReThrowError(error);
}

static Datum
call_bare(FunctionCallInfo fcinfo, FmgrInfo *body, bool counts)
{
	const MemoryContext context = CurrentMemoryContext;
	const int	outer = searches;
	Datum		result;

	PG_TRY();
	{
		searches += counts;
		result = call_body(fcinfo, body);
	}
	PG_CATCH();
	{
		searches = outer;
		rethrow_bare(context);
	}
	PG_END_TRY();
	searches = outer;
	return result;
}

Datum
modelopt_search(PG_FUNCTION_ARGS)
{
	SearchState *state = open_search(fcinfo->flinfo);
	int			work = state->counts ? progress_begin(state->name, "evaluations", 0) : 0;
	Datum		result = call_bare(fcinfo, &state->body, state->counts);

	if (state->counts)
		progress_end(work);
	return result;
}

void
search_evaluated(void)
{
	if (searches > 0)
		progress_add(1);
}
