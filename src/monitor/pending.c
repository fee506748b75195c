/*
 * pending.c
 *		Counting, in the backend that predicts.
 *
 * An invocation costs two looks at the clock and some additions to memory of
 * its own: shared memory is written at the end of a transaction, and in a long
 * one every so often.  A rollback takes nothing back: it was done.
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "monitor/drift.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#define MAX_PENDING 16

/* How long what was counted may wait while others are in the way. */
#define MAX_WAIT_NS INT64CONST(60000000000)

typedef struct Pending
{
	StatKey		key;
	StatBatch	batch;
	int64		first_end;		/* of the monotonic clock */
	int64		last_end;
	bool		used;
} Pending;

int			monitor_depth = 0;

static MonitorCall *running = NULL;	/* the innermost */
static Pending *pendings = NULL;	/* MAX_PENDING of them */
static Pending *latest = NULL;	/* which the next invocation is likely of */
static int	used_pendings = 0;
static int64 last_flush = 0;	/* of the monotonic clock */
static int	outermost_level = 0;	/* of transactions, of the invocation with
									 * depth 0 */

static void count_failed(MonitorCall *call, MonitorCounter error);

/* ---------- to shared memory ---------- */

static void
clear_pending(Pending *pending)
{
	StatBatch  *batch = &pending->batch;
	int			first = batch->first_bucket;
	int			last = batch->last_bucket;

	if (first <= last)
		memset(&batch->numbers.buckets[first], 0,
			   (last - first + 1) * sizeof(batch->numbers.buckets[0]));
	memset(&batch->numbers, 0, offsetof(StatNumbers, buckets));
	batch->numbers.min = PG_INT64_MAX;
	batch->numbers.max = -1;
	batch->first_bucket = KERNEL_LATENCY_BUCKETS;
	batch->last_bucket = -1;
	batch->runtime = MONITOR_NO_RUNTIME;
	pending->first_end = 0;
	pending->used = false;
}

static bool
flush_one(Pending *pending, int64 clock, TimestampTz now, bool wait)
{
	pending->batch.first_call = now - (clock - pending->first_end) / 1000;
	pending->batch.last_call = now - (clock - pending->last_end) / 1000;
	if (!stat_add(&pending->key, &pending->batch, wait))
		return false;
	clear_pending(pending);
	used_pendings--;
	return true;
}

void
pending_flush(bool wait)
{
	int64		clock;
	TimestampTz now;

	if (used_pendings == 0)
		return;
	clock = monitor_clock();
	now = GetCurrentTimestamp();
	for (int i = 0; i < MAX_PENDING; i++)
	{
		if (pendings[i].used)
			(void) flush_one(&pendings[i], clock, now, wait);
	}
	if (used_pendings == 0)
		last_flush = clock;
}

/* Where others are in the way, what was counted waits for a while. */
static void
flush_soon(void)
{
	if (used_pendings > 0)
		pending_flush(monitor_clock() - last_flush >= monitor_flush_interval * INT64CONST(1000000));
	if (drift_has_pending())
		drift_flush(false);
}

/* Whose session ends while they run, as pg_terminate_backend() ends it, neither
 * return nor raise. */
static void
count_running(void)
{
	for (; running != NULL; running = running->outer)
		count_failed(running, MONITOR_ERRORS_CANCELED);
}

static void
at_exit(int code, Datum argument)
{
	count_running();
	pending_flush(true);
	drift_flush(true);
	activity_end();
}

static void
forget_invocations(void)
{
	monitor_depth = 0;
	running = NULL;
	activity_end();
}

static void
at_transaction_event(XactEvent event, void *argument)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			if (monitor_depth > 0)
				forget_invocations();
			flush_soon();
			drift_at_transaction_end();
			break;
	}
}

/* What raised in a subtransaction, and was caught around it without ever saying
 * so here, runs no more. */
static void
at_subtransaction_event(SubXactEvent event, SubTransactionId subtransaction,
						SubTransactionId parent, void *argument)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && monitor_depth > 0 &&
		outermost_level >= GetCurrentTransactionNestLevel())
		forget_invocations();
}

void
pending_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}

/* ---------- finding the place ---------- */

static void
make_pendings(void)
{
	Pending    *made = MemoryContextAllocZero(TopMemoryContext,
											  MAX_PENDING * sizeof(Pending));

	for (int i = 0; i < MAX_PENDING; i++)
		clear_pending(&made[i]);
	activity_init();
	before_shmem_exit(at_exit, (Datum) 0);
	last_flush = monitor_clock();
	pendings = made;
	latest = &made[0];
}

static inline bool
is_of(const Pending *pending, const MonitorCall *call, Oid user)
{
	return pending->used && pending->key.model_id == call->model_id &&
		pending->key.version == call->version && pending->key.user == user;
}

static Pending *
take_pending(const MonitorCall *call, Oid user)
{
	if (used_pendings == MAX_PENDING)
		pending_flush(true);
	for (int i = 0; i < MAX_PENDING; i++)
	{
		Pending    *pending = &pendings[i];

		if (pending->used)
			continue;
		memset(&pending->key, 0, sizeof(StatKey));
		pending->key.database = MyDatabaseId;
		pending->key.user = user;
		pending->key.model_id = call->model_id;
		pending->key.version = call->version;
		pending->used = true;
		used_pendings++;
		return pending;
	}
	pg_unreachable();
}

static Pending *
find_pending(const MonitorCall *call)
{
	Oid			user = monitor_track_users ? GetUserId() : InvalidOid;

	if (is_of(latest, call, user))
		return latest;
	for (int i = 0; i < MAX_PENDING; i++)
	{
		if (is_of(&pendings[i], call, user))
			return latest = &pendings[i];
	}
	return latest = take_pending(call, user);
}

/* ---------- counting ---------- */

static void
add_time(StatBatch *batch, int64 ns)
{
	StatNumbers *numbers = &batch->numbers;
	int			bucket = kernel_latency_bucket(ns);
	double		delta = (double) ns - numbers->mean;

	numbers->timed++;
	numbers->mean += delta / (double) numbers->timed;
	numbers->squares += delta * ((double) ns - numbers->mean);
	numbers->min = Min(numbers->min, ns);
	numbers->max = Max(numbers->max, ns);
	numbers->buckets[bucket]++;
	batch->first_bucket = Min(batch->first_bucket, bucket);
	batch->last_bucket = Max(batch->last_bucket, bucket);
}

static Pending *
count_call(const MonitorCall *call, int64 now)
{
	Pending    *pending = find_pending(call);
	StatNumbers *numbers = &pending->batch.numbers;

	if (pending->first_end == 0)
		pending->first_end = now;
	pending->last_end = now;
	for (int i = 0; i < MONITOR_COUNTERS; i++)
		numbers->counts[i] += call->counts[i];
	if (call->runtime != MONITOR_NO_RUNTIME)
		pending->batch.runtime = call->runtime;
	return pending;
}

static void
count_failed(MonitorCall *call, MonitorCounter error)
{
	call->counts[MONITOR_LOAD_NS] = 0;
	call->counts[MONITOR_PREPARE_NS] = 0;
	call->counts[MONITOR_INFER_NS] = 0;
	call->counts[MONITOR_ROWS] = 0;
	call->counts[MONITOR_BATCHES] = 0;
	call->counts[error] = 1;
	(void) count_call(call, monitor_clock());
}

void
monitor_do_begin(MonitorCall *call)
{
	if (pendings == NULL)
		make_pendings();
	call->outermost = monitor_depth == 0;
	call->depth = monitor_depth++;
	call->outer = running;
	call->runtime = MONITOR_NO_RUNTIME;
	call->phase = MONITOR_NO_PHASE;
	call->model_id = 0;
	call->version = 0;
	memset(call->counts, 0, sizeof(call->counts));
	call->began = monitor_clock();
	call->entered = call->began;
	if (call->outermost)
	{
		outermost_level = GetCurrentTransactionNestLevel();
		activity_begin(call);
	}
	running = call;
}

void
monitor_do_subject(MonitorCall *call, int64 model_id, int32 version)
{
	call->model_id = model_id;
	call->version = version;
	if (call->outermost)
		activity_subject(call);
}

/* Where the time of a phase goes; the first has none. */
static const MonitorCounter phase_counters[MONITOR_PHASES] = {
	[MONITOR_LOAD] = MONITOR_LOAD_NS,
	[MONITOR_PREPARE] = MONITOR_PREPARE_NS,
	[MONITOR_INFER] = MONITOR_INFER_NS,
};

static inline void
leave_phase(MonitorCall *call, int64 now)
{
	if (call->phase != MONITOR_NO_PHASE)
		call->counts[phase_counters[call->phase]] += now - call->entered;
	call->entered = now;
}

void
monitor_do_enter(MonitorCall *call, MonitorPhase phase)
{
	/* The first phase began with the invocation. */
	if (monitor_track_timing && call->phase != MONITOR_NO_PHASE)
		leave_phase(call, monitor_clock());
	call->phase = phase;
	if (call->outermost)
		activity_enter(call);
}

static void
leave_call(const MonitorCall *call)
{
	monitor_depth = call->depth;
	running = call->outer;
	if (call->outermost)
		activity_end();
}

void
monitor_do_end(MonitorCall *call)
{
	int64		now = monitor_clock();
	Pending    *pending;

	leave_call(call);
	call->counts[MONITOR_CALLS] = 1;
	if (monitor_track_timing)
	{
		leave_phase(call, now);
		call->counts[MONITOR_TOTAL_NS] = now - call->began;
	}
	pending = count_call(call, now);
	if (monitor_track_timing)
		add_time(&pending->batch, now - call->began);
	drift_count_full();
	if (now - last_flush >= monitor_flush_interval * INT64CONST(1000000))
	{
		pending_flush(now - last_flush >= MAX_WAIT_NS);
		drift_flush(false);
	}
}

/* Whose fault it was, by the class of the error. */
static MonitorCounter
error_counter(int code)
{
	int			class = ERRCODE_TO_CATEGORY(code);

	if (code == ERRCODE_QUERY_CANCELED)
		return MONITOR_ERRORS_CANCELED;
	if (class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		class == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION))
		return MONITOR_ERRORS_INPUT;
	if (class == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES))
		return MONITOR_ERRORS_RESOURCE;
	return MONITOR_ERRORS_MODEL;
}

void
monitor_do_fail(MonitorCall *call)
{
	leave_call(call);
	count_failed(call, error_counter(geterrcode()));
}
