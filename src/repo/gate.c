/*
 * gate.c
 *		The only way into the repository.
 *
 * Each function in the schema modelopt is this gate.  It remembers who calls,
 * becomes the repository's owner, calls the function of the same name and
 * arguments in the schema modelopt_private, which does the work and asks first
 * whether the caller may, and is the caller again.
 *
 * Why not SECURITY DEFINER: inside such a function nobody can tell who called
 * it.  The session's user is the wrong answer for a caller that is a SECURITY
 * DEFINER function itself, and an attack where somebody's function runs in a
 * superuser's session (an index expression, a materialized view).
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "repo/repo.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(modelopt_gate);
PG_FUNCTION_INFO_V1(modelopt_caller);
PG_FUNCTION_INFO_V1(modelopt_in_verb);

/* What may be found by an unqualified name in there. */
#define PINNED_SEARCH_PATH "pg_catalog, modelopt_private, pg_temp"

/* Who called the verb that is at work; InvalidOid when none is. */
static Oid	caller = InvalidOid;

typedef struct GateState
{
	FmgrInfo	body;
	Oid			owner;			/* of the gate: as whom the body runs */
} GateState;

/* The body with the gate's name and arguments, which the caller need not be
 * allowed to look up. */
static Oid
find_body(Form_pg_proc gate)
{
	Oid			schema = get_namespace_oid("modelopt_private", false);
	Oid			body = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
									   NameGetDatum(&gate->proname),
									   PointerGetDatum(&gate->proargtypes),
									   ObjectIdGetDatum(schema));

	if (!OidIsValid(body))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the model repository has no function \"%s\" with these arguments",
						NameStr(gate->proname)),
				 errhint("It belongs to the extension modelopt, which must be installed whole.")));
	return body;
}

static GateState *
open_gate(FmgrInfo *flinfo)
{
	HeapTuple	tuple;
	GateState  *state;

	if (flinfo->fn_extra != NULL)
		return flinfo->fn_extra;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", flinfo->fn_oid);
	state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(GateState));
	state->owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	fmgr_info_cxt(find_body((Form_pg_proc) GETSTRUCT(tuple)), &state->body,
				  flinfo->fn_mcxt);
	fmgr_info_set_expr(flinfo->fn_expr, &state->body);
	ReleaseSysCache(tuple);
	flinfo->fn_extra = state;
	return state;
}

/* Calls the body with the arguments and the result's place of the gate. */
static Datum
call_body(FunctionCallInfo fcinfo, GateState *state)
{
	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	Datum		result;

	InitFunctionCallInfoData(*inner, &state->body, fcinfo->nargs,
							 fcinfo->fncollation, fcinfo->context,
							 fcinfo->resultinfo);
	memcpy(inner->args, fcinfo->args, fcinfo->nargs * sizeof(NullableDatum));
	result = FunctionCallInvoke(inner);
	fcinfo->isnull = inner->isnull;
	return result;
}

/* Until the gate is left. */
static void
set_for_body(const char *setting, const char *value)
{
	(void) set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * A worker of a parallel query is the owner, as the body is, but does not know
 * who called and would take the owner for the caller; so a body has none.  A
 * gate may well be called in a worker: the caller is who runs the query.
 *
 * When the body raises, the end of the transaction or subtransaction restores
 * user and search_path, as it does for SECURITY DEFINER functions; what it does
 * not know is who called.
 */
Datum
modelopt_gate(PG_FUNCTION_ARGS)
{
	GateState  *volatile state = open_gate(fcinfo->flinfo);
	const Oid	previous_caller = caller;
	Oid			user;
	int			security;
	int			guc_level = NewGUCNestLevel();
	Datum		result;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(state->owner,
						   security | SECURITY_LOCAL_USERID_CHANGE);
	set_for_body("search_path", PINNED_SEARCH_PATH);
	set_for_body("max_parallel_workers_per_gather", "0");
	caller = user;
	PG_TRY();
	{
		result = call_body(fcinfo, state);
	}
	PG_FINALLY();
	{
		caller = previous_caller;
	}
	PG_END_TRY();
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, security);
	return result;
}

Oid
repo_caller(void)
{
	return OidIsValid(caller) ? caller : GetUserId();
}

Datum
modelopt_caller(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(GetUserNameFromId(repo_caller(), false)));
}

Datum
modelopt_in_verb(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(OidIsValid(caller));
}
