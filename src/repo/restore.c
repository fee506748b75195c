/*
 * restore.c
 *		Rows that come from a dump, and not from a function of the repository.
 *
 * Owns the two triggers around every insertion into the repository's tables.
 * Where the extension's owner is no superuser, a superuser owns what is in it,
 * and the owner may insert, as pg_restore does for them: but only into tables
 * that are empty, and nothing into a history that is there.
 *
 * pg_restore --jobs fills the tables of an extension in any order, whatever
 * their foreign keys say.  So the keys are not checked while a table is filled
 * by a COPY as pg_dump writes it; the dump has them from a repository where
 * they were.  The trick is the one of logical replication: the role that a
 * session has for triggers.  Nothing of anybody else's runs meanwhile: such a
 * COPY calls no function that is not the repository's.
 */
#include "postgres.h"

#include "compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "repo/repo.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(modelopt_begin_insert);
PG_FUNCTION_INFO_V1(modelopt_end_insert);

/* When the transaction began in which keys are not checked; 0 for none. */
static TimestampTz unchecked = 0;

static bool
is_empty(Relation table)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);
	bool		empty = !table_scan_getnextslot(scan, ForwardScanDirection, slot);

	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return empty;
}

/* Whether the session's command is the COPY into a table that pg_dump writes,
 * and nothing else. */
static bool
is_bare_copy(Relation table)
{
	const char *rest = debug_query_string;
	char	   *start = psprintf("COPY modelopt_private.%s (", RelationGetRelationName(table));
	static const char column_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_\", ";
	static const char end[] = ") FROM stdin;";

	if (rest == NULL || strncmp(rest, start, strlen(start)) != 0)
		return false;
	rest += strlen(start);
	rest += strspn(rest, column_characters);
	if (strncmp(rest, end, strlen(end)) != 0)
		return false;
	rest += strlen(end);
	return rest[strspn(rest, " \n\r")] == '\0';
}

static void
set_trigger_role(const char *role)
{
	(void) set_config_option("session_replication_role", role, PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static Relation
triggered_table(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called as a trigger");
	return ((TriggerData *) fcinfo->context)->tg_relation;
}

/* Before a statement inserts. */
Datum
modelopt_begin_insert(PG_FUNCTION_ARGS)
{
	Relation	table = triggered_table(fcinfo);

	if (repo_in_verb())
		PG_RETURN_POINTER(NULL);
	if (is_empty(table))
	{
		if (is_bare_copy(table))
		{
			set_trigger_role("replica");
			unchecked = GetCurrentTransactionStartTimestamp();
		}
	}
	else if (!has_privs_of_role(GetUserId(), table->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("rows of \"%s\" are made by the functions of the schema modelopt",
						RelationGetRelationName(table)),
				 errdetail("Only a table that is empty can be filled from a dump.")));
	PG_RETURN_POINTER(NULL);
}

/* After it. */
Datum
modelopt_end_insert(PG_FUNCTION_ARGS)
{
	(void) triggered_table(fcinfo);
	if (unchecked != 0 && unchecked == GetCurrentTransactionStartTimestamp())
		set_trigger_role("origin");
	unchecked = 0;
	PG_RETURN_POINTER(NULL);
}
