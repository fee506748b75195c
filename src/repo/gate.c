/*
 * gate.c
 *		The only way into the repository.
 *
 * Each function in the schema modelopt is this gate, and what C does for people
 * outside of it goes the same way.  It remembers who calls,
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
#include "access/parallel.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
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

/*
 * What decides what a body means must not be the caller's to choose: what
 * unqualified names find, whether a backslash in a literal escapes, and with
 * how many digits the audit has a number.  And who called is known in this process alone: a worker of a body's query would
 * take the repository's owner for the caller, so a body has none.
 */
static const struct
{
	const char *name;
	const char *value;
}			pinned_settings[] = {
	{"search_path", "pg_catalog, modelopt_private, pg_temp"},
	{"standard_conforming_strings", "on"},
	{"extra_float_digits", "1"},
	{"max_parallel_workers_per_gather", "0"},
};

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
	char	   *writer;			/* the verb's name if it writes, or NULL */
} GateState;

/* In a schema that the caller need not have access to. */
Oid
repo_find_body(Form_pg_proc gate)
{
	Oid			schema = get_namespace_oid("modelopt_private", false);
	Oid			body = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
									   NameGetDatum(&gate->proname),
									   PointerGetDatum(&gate->proargtypes),
									   ObjectIdGetDatum(schema));

	if (!OidIsValid(body))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the model repository has no function \"%s\"",
						NameStr(gate->proname)),
				 errhint("It belongs to the extension modelopt, which must be installed whole.")));
	return body;
}

static GateState *
open_gate(FmgrInfo *flinfo)
{
	HeapTuple	tuple;
	Form_pg_proc gate;
	GateState  *state;

	if (flinfo->fn_extra != NULL)
		return flinfo->fn_extra;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", flinfo->fn_oid);
	gate = (Form_pg_proc) GETSTRUCT(tuple);
	state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(GateState));
	state->owner = gate->proowner;
	if (gate->provolatile == PROVOLATILE_VOLATILE)
		state->writer = MemoryContextStrdup(flinfo->fn_mcxt,
											psprintf("modelopt.%s()", NameStr(gate->proname)));
	fmgr_info_cxt(repo_find_body(gate), &state->body, flinfo->fn_mcxt);
	fmgr_info_set_expr(flinfo->fn_expr, &state->body);
	ReleaseSysCache(tuple);
	flinfo->fn_extra = state;
	return state;
}

static void
pin_settings(void)
{
	for (int i = 0; i < lengthof(pinned_settings); i++)
		(void) set_config_option(pinned_settings[i].name,
								 pinned_settings[i].value, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
}

/*
 * What the repository raises by itself, in so many words, is told with where
 * its caller was: functions of the repository, and lines in them, are nothing
 * to look into.  Of other errors they are.
 */
static void
hide_own_context(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->funcname == NULL ||
		strcmp(error->funcname, "exec_stmt_raise") != 0)
	{
		FreeErrorData(error);
		PG_RE_THROW();
	}
	FlushErrorState();
	error->context = GetErrorContextStack();
	ReThrowError(error);
}

/*
 * May well be called in a parallel worker: the caller is who runs the query.
 *
 * When the work raises, the end of the transaction or subtransaction restores
 * user and settings, as it does for SECURITY DEFINER functions; what it does
 * not know is who called.
 */
Datum
repo_as_owner(Oid owner, Datum (*work) (void *), void *argument)
{
	const VerbCall previous = call;
	const MemoryContext context = CurrentMemoryContext;
	Oid			user;
	int			security;
	int			guc_level = NewGUCNestLevel();
	Datum		result;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(owner, security | SECURITY_LOCAL_USERID_CHANGE);
	pin_settings();
	call.caller = user;
	call.authority = user;
	call.table = InvalidOid;
	PG_TRY();
	{
		result = work(argument);
	}
	PG_CATCH();
	{
		call = previous;
		hide_own_context(context);
	}
	PG_END_TRY();
	call = previous;
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, security);
	return result;
}

typedef struct GateCall
{
	FunctionCallInfo fcinfo;
	GateState  *state;
} GateCall;

/* Calls the body with the arguments and the result's place of the gate. */
static Datum
call_body(void *argument)
{
	FunctionCallInfo fcinfo = ((GateCall *) argument)->fcinfo;
	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	Datum		result;

	InitFunctionCallInfoData(*inner, &((GateCall *) argument)->state->body,
							 fcinfo->nargs, fcinfo->fncollation,
							 fcinfo->context, fcinfo->resultinfo);
	memcpy(inner->args, fcinfo->args, fcinfo->nargs * sizeof(NullableDatum));
	result = FunctionCallInvoke(inner);
	fcinfo->isnull = inner->isnull;
	return result;
}

Datum
modelopt_gate(PG_FUNCTION_ARGS)
{
	GateCall	gate = {fcinfo, open_gate(fcinfo->flinfo)};

	if (gate.state->writer != NULL)
		PreventCommandIfReadOnly(gate.state->writer);
	return repo_as_owner(gate.state->owner, call_body, &gate);
}

/* ---------- who it is ---------- */

Oid
repo_caller(void)
{
	if (OidIsValid(call.caller))
		return call.caller;
	if (IsParallelWorker())
		elog(ERROR, "a parallel worker does not know who called the repository");
	return GetUserId();
}

static Datum
role_name(Oid role)
{
	return PointerGetDatum(cstring_to_text(GetUserNameFromId(role, false)));
}

bool
repo_in_verb(void)
{
	return OidIsValid(call.caller);
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
	PG_RETURN_BOOL(repo_in_verb());
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
