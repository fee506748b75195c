/*
 * served.c
 *		Versions to run.
 *
 * Serving asks by reference and gets a version's identity and, when it has not
 * loaded it yet, its model: with the right USAGE, which is not one to weights.
 * So nothing here is a function in SQL.
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "model/model_sql.h"
#include "repo/repo.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* A call of one of the repository's own functions. */
typedef struct OwnCall
{
	Oid			function;
	int			nargs;
	Datum		args[2];
} OwnCall;

static Datum
call_own(void *argument)
{
	OwnCall    *call = argument;

	return call->nargs == 1 ? OidFunctionCall1(call->function, call->args[0]) :
		OidFunctionCall2(call->function, call->args[0], call->args[1]);
}

static Datum
call_as_owner(const char *name, const Oid *types, OwnCall *call)
{
	Oid			schema = get_namespace_oid("modelopt_private", true);
	oidvector  *arguments = buildoidvector(types, call->nargs);
	HeapTuple	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name),
										PointerGetDatum(arguments),
										ObjectIdGetDatum(schema));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the model repository has no function \"%s\"", name),
				 errhint("It belongs to the extension modelopt, which must be installed whole.")));
	call->function = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return repo_as_owner(owner, call_own, call);
}

static Datum
column(HeapTupleHeader row, const char *name)
{
	bool		is_null;
	Datum		value = GetAttributeByName(row, name, &is_null);

	if (is_null)
		elog(ERROR, "a version to run has no %s", name);
	return value;
}

void
repo_find_served(const char *ref, ServedVersion *version)
{
	static const Oid types[] = {TEXTOID};
	OwnCall		call = {.nargs = 1,.args = {CStringGetTextDatum(ref)}};
	HeapTupleHeader row = DatumGetHeapTupleHeader(call_as_owner("served", types, &call));
	bytea	   *digest = DatumGetByteaPP(column(row, "digest"));

	memset(version, 0, sizeof(*version));
	version->model_id = DatumGetInt64(column(row, "model_id"));
	version->version = DatumGetInt32(column(row, "version"));
	version->tree_id = DatumGetInt64(column(row, "tree_id"));
	if (VARSIZE_ANY_EXHDR(digest) != sizeof(version->digest))
		elog(ERROR, "the digest of a version has not its length");
	memcpy(version->digest, VARDATA_ANY(digest), sizeof(version->digest));
}

Model *
repo_open_served(const ServedVersion *version)
{
	static const Oid types[] = {INT8OID, TEXTOID};
	OwnCall		call = {.nargs = 2,.args = {Int64GetDatum(version->tree_id),
	CStringGetTextDatum("[]")}};

	return DatumGetModel(call_as_owner("open_tree", types, &call));
}
