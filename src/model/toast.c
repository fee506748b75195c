/*
 * toast.c
 *		Payloads that are still in a TOAST table.
 *
 * Owns the promise that a lazy payload is read correctly or not at all.  The
 * rows of a TOASTed datum stay readable while a snapshot that could see them
 * is registered, so a source registers one, on the transaction, and:
 *
 *	 - before the transaction commits, what somebody still holds is loaded;
 *	 - when the transaction aborts, the source is gone, and reading it is an
 *	   error that says so; likewise with the subtransaction in which it was
 *	   found, unless that had written nothing until then: rows that it wrote
 *	   itself may vanish any time;
 *	 - so it is when the transaction itself truncates, rewrites or drops the
 *	   table, against which no snapshot helps.
 *
 * This file knows the server's table access and transactions; what the bytes
 * mean is flat.c's and payload.c's to know.
 */
#include "postgres.h"

#include "compat.h"

#include "access/detoast.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "model/model.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* Bytes fetched between looks for interrupts. */
#define FETCH_BYTES		(4 * 1024 * 1024)

typedef struct ToastSource
{
	dlist_node	node;			/* in all_sources */
	dlist_head	payloads;		/* by toast_node */
	struct varatt_external pointer;
	Oid			filenode;		/* of the table, once it was read */
	Snapshot	snapshot;		/* NULL when gone */
	const char *why;			/* then */
	SubTransactionId subtransaction;	/* in which it was found */
	bool		maybe_own;		/* whose rows it may be */
} ToastSource;

static const char *const rolled_back =
"the transaction or the block with an exception handler in which the model was read has been rolled back";
static const char *const committed =
"the transaction in which the model was read has ended";
static const char *const without_table =
"the table has been truncated, rewritten or dropped";

static dlist_head all_sources = DLIST_STATIC_INIT(all_sources);

struct ToastSource *
toast_source_create(const struct varlena *pointer)
{
	ToastSource *toast = MemoryContextAllocZero(TopMemoryContext,
												sizeof(ToastSource));

	VARATT_EXTERNAL_GET_POINTER(toast->pointer, pointer);
	dlist_init(&toast->payloads);
	toast->subtransaction = GetCurrentSubTransactionId();
	toast->maybe_own = TransactionIdIsValid(GetCurrentTransactionIdIfAny());
	dlist_push_head(&all_sources, &toast->node);

	/* If this raises, the end of the transaction frees the source. */
	toast->snapshot = RegisterSnapshotOnOwner(GetActiveSnapshot(),
											  TopTransactionResourceOwner);
	return toast;
}

static void
let_snapshot_go(ToastSource *toast)
{
	if (toast->snapshot != NULL)
		UnregisterSnapshotFromOwner(toast->snapshot,
									TopTransactionResourceOwner);
	toast->snapshot = NULL;
}

static void
free_source(ToastSource *toast)
{
	let_snapshot_go(toast);
	dlist_delete(&toast->node);
	pfree(toast);
}

void
toast_source_attach(struct ToastSource *toast, Payload *payload)
{
	payload->toast = toast;
	dlist_push_tail(&toast->payloads, &payload->toast_node);
}

void
toast_source_detach(Payload *payload)
{
	ToastSource *toast = payload->toast;

	dlist_delete(&payload->toast_node);
	payload->toast = NULL;
	if (dlist_is_empty(&toast->payloads))
		free_source(toast);
}

void
toast_source_release_unused(struct ToastSource *toast)
{
	if (dlist_is_empty(&toast->payloads))
		free_source(toast);
}

/* Offsets within a TOASTed datum do not count the length word. */
static void
fetch(Relation rel, ToastSource *toast, uint64 offset, uint64 length,
	  char *dst)
{
	/* The access method writes behind a length word that it leaves alone. */
	struct varlena *result = (struct varlena *) (dst - VARHDRSZ);

	table_relation_fetch_toast_slice(rel, toast->pointer.va_valueid,
									 VARATT_EXTERNAL_GET_EXTSIZE(toast->pointer),
									 offset - VARHDRSZ, length, result);
}

/* Opens the TOAST table; NULL when it is gone or has other files by now. */
static Relation
open_table(ToastSource *toast)
{
	Relation	rel = try_relation_open(toast->pointer.va_toastrelid,
										AccessShareLock);

	if (rel == NULL)
		return NULL;
	if (!OidIsValid(toast->filenode))
		toast->filenode = rel->rd_rel->relfilenode;
	if (toast->filenode == rel->rd_rel->relfilenode)
		return rel;
	relation_close(rel, AccessShareLock);
	return NULL;
}

static bool
has_table(ToastSource *toast)
{
	Relation	rel = open_table(toast);

	if (rel == NULL)
		return false;
	relation_close(rel, AccessShareLock);
	return true;
}

static void
report_gone(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("weights of the model are no longer available"),
			 errdetail("They were to be read from the table when needed, and %s.",
					   why),
			 errhint("Read the model from its table again.")));
}

void
toast_source_read(struct ToastSource *toast, uint64 offset, uint64 length,
				  char *dst)
{
	Relation	rel;

	if (toast->snapshot == NULL)
		report_gone(toast->why);
	if (length == 0)
		return;

	rel = open_table(toast);
	if (rel == NULL)
		report_gone(without_table);
	for (uint64 done = 0; done < length; done += FETCH_BYTES)
	{
		CHECK_FOR_INTERRUPTS();
		fetch(rel, toast, offset + done,
			  Min((uint64) FETCH_BYTES, length - done), dst + done);
	}
	relation_close(rel, AccessShareLock);
}

/* ---------- ends of transactions ---------- */

/* A source that can still be read, or NULL. */
static ToastSource *
first_readable(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_sources)
	{
		ToastSource *toast = dlist_container(ToastSource, node, iter.cur);

		if (toast->snapshot != NULL)
			return toast;
	}
	return NULL;
}

/* Loads what is still held and can be.  Loading the last payload frees its
 * source. */
static void
load_all(void)
{
	ToastSource *toast;

	while ((toast = first_readable()) != NULL)
	{
		if (dlist_is_empty(&toast->payloads))
			free_source(toast);
		else if (!has_table(toast))
		{
			toast->why = without_table;
			let_snapshot_go(toast);
		}
		else
			payload_own(dlist_head_element(Payload, toast_node,
										   &toast->payloads));
	}
}

static void
mark_gone(ToastSource *toast)
{
	toast->why = rolled_back;
	toast_source_release_unused(toast);
}

static void
at_abort(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &all_sources)
	{
		ToastSource *toast = dlist_container(ToastSource, node, iter.cur);

		let_snapshot_go(toast);
		mark_gone(toast);
	}
}

/* What was found too late to be loaded; the snapshots are gone already. */
static void
at_commit(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &all_sources)
	{
		ToastSource *toast = dlist_container(ToastSource, node, iter.cur);

		toast->snapshot = NULL;
		if (toast->why == NULL)
			toast->why = committed;
		toast_source_release_unused(toast);
	}
}

static void
at_transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			load_all();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			at_abort();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			at_commit();
			break;
	}
}

/*
 * A source of a subtransaction becomes its parent's, which may have written
 * the rows, unless they may have gone with it.
 */
static void
at_subtransaction_event(SubXactEvent event, SubTransactionId subtransaction,
						SubTransactionId parent, void *arg)
{
	dlist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_foreach_modify(iter, &all_sources)
	{
		ToastSource *toast = dlist_container(ToastSource, node, iter.cur);

		if (toast->subtransaction != subtransaction)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB && toast->maybe_own)
		{
			let_snapshot_go(toast);
			mark_gone(toast);
		}
		else
		{
			toast->subtransaction = parent;
			toast->maybe_own = true;
		}
	}
}

void
toast_source_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}
