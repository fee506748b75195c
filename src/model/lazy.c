/*
 * lazy.c
 *		Payloads that are not in memory yet, and until when they can be read.
 *
 * Owns the promise that a lazy payload is read correctly or not at all.  Rows
 * of a table stay readable while a snapshot that could see them is
 * registered, so a transactional source registers one, on the transaction,
 * and:
 *
 *	 - before the transaction commits, what somebody still holds is loaded;
 *	 - when the transaction aborts, the source is gone, and reading it is an
 *	   error that says so; likewise with the subtransaction in which it was
 *	   found, unless that had written nothing until then: rows that it wrote
 *	   itself may vanish any time;
 *	 - so it is when the transaction itself truncates, rewrites or drops the
 *	   table, against which no snapshot helps.
 *
 * This file knows the server's transactions; where the bytes are is the
 * sources' to know, and what they mean is flat.c's and payload.c's.
 */
#include "postgres.h"

#include "access/xact.h"
#include "model/lazy.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

static const char *const rolled_back =
"the transaction or the block with an exception handler in which the model was read has been rolled back";
static const char *const committed =
"the transaction in which the model was read has ended";

static dlist_head all_sources = DLIST_STATIC_INIT(all_sources);

LazySource *
lazy_source_create(Size size, const LazyMethods *methods)
{
	LazySource *source = MemoryContextAllocZero(TopMemoryContext, size);

	source->methods = methods;
	dlist_init(&source->payloads);
	if (!methods->transactional)
		return source;

	source->subtransaction = GetCurrentSubTransactionId();
	source->maybe_own = TransactionIdIsValid(GetCurrentTransactionIdIfAny());
	dlist_push_head(&all_sources, &source->node);

	/* If this raises, the end of the transaction frees the source. */
	source->snapshot = RegisterSnapshotOnOwner(GetActiveSnapshot(),
											   TopTransactionResourceOwner);
	return source;
}

static void
let_snapshot_go(LazySource *source)
{
	if (source->snapshot != NULL)
		UnregisterSnapshotFromOwner(source->snapshot,
									TopTransactionResourceOwner);
	source->snapshot = NULL;
}

static void
free_source(LazySource *source)
{
	let_snapshot_go(source);
	if (source->methods->transactional)
		dlist_delete(&source->node);
	source->methods->release(source);
	pfree(source);
}

void
lazy_source_attach(LazySource *source, Payload *payload)
{
	payload->lazy = source;
	dlist_push_tail(&source->payloads, &payload->lazy_node);
}

void
lazy_source_release_unused(LazySource *source)
{
	if (dlist_is_empty(&source->payloads))
		free_source(source);
}

void
lazy_source_detach(Payload *payload)
{
	LazySource *source = payload->lazy;

	dlist_delete(&payload->lazy_node);
	payload->lazy = NULL;
	lazy_source_release_unused(source);
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
lazy_source_check(LazySource *source)
{
	const char *why;

	if (source->methods->transactional && source->snapshot == NULL)
		report_gone(source->why);
	why = source->methods->gone(source);
	if (why != NULL)
		report_gone(why);
}

void
lazy_read(const Payload *payload, uint64 offset, uint64 length, char *dst)
{
	if (length == 0)
		return;
	lazy_source_check(payload->lazy);
	payload->lazy->methods->read(payload->lazy, payload, offset, length, dst);
}

bool
lazy_has_elements(const Payload *payload)
{
	return payload->source == PAYLOAD_LAZY &&
		payload->lazy->methods->read_elements != NULL;
}

void
lazy_read_elements(const Payload *payload, int64 first, int64 n, void *dst)
{
	lazy_source_check(payload->lazy);
	payload->lazy->methods->read_elements(payload->lazy, payload, first, n,
										  dst);
}

/* ---------- ends of transactions ---------- */

/* A source that can still be read, or NULL. */
static LazySource *
first_readable(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_sources)
	{
		LazySource *source = dlist_container(LazySource, node, iter.cur);

		if (source->snapshot != NULL)
			return source;
	}
	return NULL;
}

/* Loads what is still held and can be.  Loading the last payload frees its
 * source. */
static void
load_all(void)
{
	LazySource *source;

	while ((source = first_readable()) != NULL)
	{
		const char *why;

		if (dlist_is_empty(&source->payloads))
			free_source(source);
		else if ((why = source->methods->gone(source)) != NULL)
		{
			source->why = why;
			let_snapshot_go(source);
		}
		else
			payload_own(dlist_head_element(Payload, lazy_node,
										   &source->payloads));
	}
}

static void
mark_gone(LazySource *source)
{
	source->why = rolled_back;
	lazy_source_release_unused(source);
}

static void
at_abort(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &all_sources)
	{
		LazySource *source = dlist_container(LazySource, node, iter.cur);

		let_snapshot_go(source);
		mark_gone(source);
	}
}

/* What was found too late to be loaded. */
static void
at_commit(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &all_sources)
	{
		LazySource *source = dlist_container(LazySource, node, iter.cur);

		let_snapshot_go(source);
		if (source->why == NULL)
			source->why = committed;
		lazy_source_release_unused(source);
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
		LazySource *source = dlist_container(LazySource, node, iter.cur);

		if (source->subtransaction != subtransaction)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB && source->maybe_own)
		{
			let_snapshot_go(source);
			mark_gone(source);
		}
		else
		{
			source->subtransaction = parent;
			source->maybe_own = true;
		}
	}
}

void
lazy_source_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}
