/*
 * call.c
 *		Where in a query a model is called.
 *
 * A name means what it means under the statement's snapshot, to the user at
 * the time, so a place in a query asks once for each.  Of a stored value, the
 * pointer to where it is stored stands for it as long as its query can see it,
 * and the header of the value need not be read for every row.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/elements.h"
#include "serve/invocation.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* What tells snapshots of a backend apart. */
typedef struct SnapshotMark
{
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	CommandId	curcid;
	uint64		completions;
	Oid			user;
} SnapshotMark;

typedef struct CallSite
{
	Oid		   *types;			/* of the function's arguments, as declared:
								 * not every caller has an expression of them */
	Target		target;
	bool		is_known;
	MemoryContext context;
	char	   *name;			/* of the target, if that */
	SnapshotMark mark;
	struct varatt_external stored;	/* or where its value is */
	bool		is_stored;
} CallSite;

static SnapshotMark
mark_snapshot(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SnapshotMark mark;

	memset(&mark, 0, sizeof(mark));
	mark.xmin = snapshot->xmin;
	mark.xmax = snapshot->xmax;
	mark.xcnt = snapshot->xcnt;
	mark.subxcnt = snapshot->subxcnt;
	mark.curcid = snapshot->curcid;
	mark.completions = snapshot->snapXactCompletionCount;
	mark.user = GetUserId();
	return mark;
}

static void
find_by_name(CallSite *site, text *name)
{
	SnapshotMark mark = mark_snapshot();
	int			length = VARSIZE_ANY_EXHDR(name);
	MemoryContext previous;

	if (site->is_known && site->name != NULL &&
		strncmp(site->name, VARDATA_ANY(name), length) == 0 &&
		site->name[length] == '\0' &&
		memcmp(&site->mark, &mark, sizeof(mark)) == 0)
		return;
	site->is_known = false;
	MemoryContextReset(site->context);
	previous = MemoryContextSwitchTo(site->context);
	site->name = text_to_cstring(name);
	target_of_name(&site->target, site->name);
	MemoryContextSwitchTo(previous);
	site->mark = mark;
	site->is_known = true;
}

static void
find_by_value(CallSite *site, Datum value)
{
	struct varlena *pointer = (struct varlena *) DatumGetPointer(value);
	struct varatt_external stored;
	bool		is_stored = VARATT_IS_EXTERNAL_ONDISK(pointer);

	if (is_stored)
		VARATT_EXTERNAL_GET_POINTER(stored, pointer);
	if (is_stored && site->is_known && site->is_stored &&
		memcmp(&stored, &site->stored, sizeof(stored)) == 0)
	{
		site->target.value = value;
		return;
	}
	site->is_known = false;
	target_of_value(&site->target, value);
	site->is_stored = is_stored;
	if (is_stored)
		site->stored = stored;
	site->is_known = true;
}

static CallSite *
call_site(FmgrInfo *function)
{
	CallSite   *site = function->fn_extra;
	MemoryContext previous;
	int			n;

	if (site != NULL)
		return site;
	previous = MemoryContextSwitchTo(function->fn_mcxt);
	site = palloc0(sizeof(CallSite));
	(void) get_func_signature(function->fn_oid, &site->types, &n);
	site->context = AllocSetContextCreate(function->fn_mcxt,
										  "modelopt call", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(previous);
	function->fn_extra = site;
	return site;
}

Target *
call_target(FunctionCallInfo fcinfo, int argument)
{
	CallSite   *site = call_site(fcinfo->flinfo);

	if (site->types[argument] == TEXTOID)
		find_by_name(site, PG_GETARG_TEXT_PP(argument));
	else
		find_by_value(site, PG_GETARG_DATUM(argument));
	invocation_of(&site->target);
	return &site->target;
}

/* ---------- features ---------- */

/* Elements of an array that nobody gave a type. */
static Oid
features_type(const Session *session)
{
	int			type = session->ninputs > 0 ? session->inputs[0].type : ELEMENT_F32;
	DType		dtype = element_dtype(type);

	if (type == ELEMENT_STRING)
		return TEXTOID;
	return dtype != DTYPE_INVALID && dtype_is_float(dtype) ? FLOAT8OID : NUMERICOID;
}

ArrayType *
call_features(FunctionCallInfo fcinfo, int argument, const Session *session)
{
	if (call_site(fcinfo->flinfo)->types[argument] != TEXTOID)
		return PG_GETARG_ARRAYTYPE_P(argument);
	return DatumGetArrayTypeP(OidFunctionCall3(F_ARRAY_IN,
											   CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(argument))),
											   ObjectIdGetDatum(features_type(session)),
											   Int32GetDatum(-1)));
}
