/*
 * drops.c
 *		Entries of models that are dropped.
 *
 * They go when the transaction commits that dropped the model, and not when it,
 * or the subtransaction, is rolled back.  Who had the model before may count it
 * after that, and a transaction that was prepared commits where nobody is told: so
 * who looks at statistics, and finds no model, makes them go too.
 */
#include "postgres.h"

#include "compat.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "monitor/shared.h"
#include "repo/repo.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(modelopt_model_dropped);
PG_FUNCTION_INFO_V1(modelopt_forget_if_dropped);

typedef struct Drop
{
	int64		model_id;
	int			level;			/* of the transaction that it is part of */
	struct Drop *next;
} Drop;

/* In the top transaction's memory; deepest levels first. */
static Drop *drops = NULL;

/* A trigger on named_model, for each row that is deleted. */
Datum
modelopt_model_dropped(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		isnull;
	Drop	   *drop;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called as a trigger");
	if (!monitor_preloaded)
		PG_RETURN_POINTER(NULL);
	drop = MemoryContextAlloc(TopTransactionContext, sizeof(Drop));
	drop->model_id = DatumGetInt64(heap_getattr(trigger->tg_trigtuple, 1,
												RelationGetDescr(trigger->tg_relation), &isnull));
	drop->level = GetCurrentTransactionNestLevel();
	drop->next = drops;
	drops = drop;
	PG_RETURN_POINTER(NULL);
}

static void
at_transaction_event(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			return;
		case XACT_EVENT_COMMIT:
			if (drops != NULL)
				pending_flush(true);
			for (; drops != NULL; drops = drops->next)
				stat_drop_model(MyDatabaseId, drops->model_id);
			break;
		default:
			/* One that is prepared may yet be rolled back. */
			break;
	}
	drops = NULL;
}

static void
at_subtransaction_event(SubXactEvent event, SubTransactionId subtransaction,
						SubTransactionId parent, void *argument)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (drops != NULL && drops->level >= level)
			drops = drops->next;
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (Drop *drop = drops; drop != NULL && drop->level >= level; drop = drop->next)
			drop->level = level - 1;
	}
}

/* Those that somebody is making or dropping are there. */
static bool
model_is_there(int64 model_id)
{
	Relation	table = table_open(repo_relation("named_model"), AccessShareLock);
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(model_id));
	scan = systable_beginscan(table, repo_relation("named_model_pkey"), true, &dirty, 1, &key);
	found = systable_getnext(scan) != NULL;
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return found;
}

/* forget_if_dropped(model_id): whether there is no such model, and no entry of it
 * any more */
Datum
modelopt_forget_if_dropped(PG_FUNCTION_ARGS)
{
	int64		model_id = PG_GETARG_INT64(0);

	if (model_is_there(model_id))
		PG_RETURN_BOOL(false);
	stat_drop_model(MyDatabaseId, model_id);
	PG_RETURN_BOOL(true);
}

void
drops_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}
