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
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "parser/parse_func.h"
#include "repo/repo.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(modelopt_gate);
PG_FUNCTION_INFO_V1(modelopt_caller);
PG_FUNCTION_INFO_V1(modelopt_authority);
PG_FUNCTION_INFO_V1(modelopt_in_verb);
PG_FUNCTION_INFO_V1(modelopt_act_for);
PG_FUNCTION_INFO_V1(modelopt_acting_table);

/* What may be found by an unqualified name in there. */
#define PINNED_SEARCH_PATH "pg_catalog, modelopt_private, pg_temp"

/* The verb that is at work; all InvalidOid when none is. */
typedef struct VerbCall
{
	Oid			caller;
	Oid			authority;		/* whose privileges count */
	Oid			table;			/* for whose owner it acts, or InvalidOid */
} VerbCall;

static VerbCall call = {InvalidOid, InvalidOid, InvalidOid};

typedef struct GateState
{
	FmgrInfo	body;
	Oid			owner;			/* of the gate: as whom the body runs */
} GateState;

/* The body with the gate's name and arguments. */
static Oid
find_body(Form_pg_proc gate)
{
	List	   *name = list_make2(makeString("modelopt_private"),
								  makeString(pstrdup(NameStr(gate->proname))));

	return LookupFuncName(name, gate->pronargs, gate->proargtypes.values,
						  false);
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

/*
 * When the body raises, the end of the transaction or subtransaction restores
 * user and search_path, as it does for SECURITY DEFINER functions; what it does
 * not know is who called.
 */
Datum
modelopt_gate(PG_FUNCTION_ARGS)
{
	GateState  *volatile state = open_gate(fcinfo->flinfo);
	const VerbCall previous = call;
	Oid			user;
	int			security;
	int			guc_level = NewGUCNestLevel();
	Datum		result;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(state->owner,
						   security | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", PINNED_SEARCH_PATH, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	call.caller = user;
	call.authority = user;
	call.table = InvalidOid;
	PG_TRY();
	{
		result = call_body(fcinfo, state);
	}
	PG_FINALLY();
	{
		call = previous;
	}
	PG_END_TRY();
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, security);
	return result;
}

/* ---------- who it is ---------- */

Oid
repo_caller(void)
{
	return OidIsValid(call.caller) ? call.caller : GetUserId();
}

static Datum
role_name(Oid role)
{
	return PointerGetDatum(cstring_to_text(GetUserNameFromId(role, false)));
}

Datum
modelopt_caller(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(role_name(repo_caller()));
}

Datum
modelopt_authority(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(role_name(OidIsValid(call.authority) ?
							  call.authority : GetUserId()));
}

Datum
modelopt_in_verb(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(OidIsValid(call.caller));
}

/*
 * A trigger does what the table's owner may, as the checks of foreign keys do:
 * who changes a row needs no privileges on models.
 */
Datum
modelopt_act_for(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));

	if (!OidIsValid(call.caller) || !HeapTupleIsValid(tuple))
		elog(ERROR, "cannot act for the owner of relation %u", table);
	call.authority = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	call.table = table;
	ReleaseSysCache(tuple);
	PG_RETURN_VOID();
}

Datum
modelopt_acting_table(PG_FUNCTION_ARGS)
{
	if (!OidIsValid(call.table))
		PG_RETURN_NULL();
	PG_RETURN_OID(call.table);
}
