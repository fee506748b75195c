/*
 * progress.c
 *		How far long work is, in a slot of each backend.
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "model/progress.h"
#include "monitor/shared.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(modelopt_read_progress);
PG_FUNCTION_INFO_V1(modelopt_begin_progress);
PG_FUNCTION_INFO_V1(modelopt_progress_phase);
PG_FUNCTION_INFO_V1(modelopt_end_progress);

#define MAX_WORD 32

typedef struct ProgressSlot
{
	SlotHead	head;
	char		operation[MAX_WORD];
	char		phase[MAX_WORD];
	char		unit[MAX_WORD];
	int64		total;
	int64		done;
	int64		began;			/* nanoseconds of the monotonic clock */
} ProgressSlot;

static ProgressSlot *slots = NULL;
static ProgressSlot *own = NULL;	/* while work runs */
static int	depth = 0;			/* of work within work */
static int	level = 0;			/* of transactions, of the outermost */
static bool exit_is_watched = false;

/* ---------- telling ---------- */

static void
stop(void)
{
	if (own != NULL)
		slot_stop(&own->head);
	own = NULL;
	depth = 0;
}

static void
at_exit(int code, Datum argument)
{
	stop();
}

static int
begin(const char *operation, const char *unit, int64 total)
{
	int			slot = slot_number();

	if (depth++ > 0 || slot < 0)
		return depth - 1;
	if (!exit_is_watched)
		before_shmem_exit(at_exit, (Datum) 0);
	exit_is_watched = true;
	level = GetCurrentTransactionNestLevel();
	own = &slots[slot];
	slot_begin_change(&own->head);
	slot_take(&own->head);
	strlcpy(own->operation, operation, MAX_WORD);
	strlcpy(own->phase, "", MAX_WORD);
	strlcpy(own->unit, unit, MAX_WORD);
	own->total = total;
	own->done = 0;
	own->began = monitor_clock();
	slot_end_change(&own->head);
	return 0;
}

static void
set_phase(const char *phase)
{
	if (own == NULL || depth != 1)
		return;
	slot_begin_change(&own->head);
	strlcpy(own->phase, phase, MAX_WORD);
	slot_end_change(&own->head);
}

static void
add(int64 n)
{
	if (own != NULL && depth == 1)
		own->done += n;
}

static void
end(int began)
{
	if (began == 0)
		stop();
	else
		depth = began;
}

static void
at_transaction_event(XactEvent event, void *argument)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE ||
		event == XACT_EVENT_PARALLEL_COMMIT || event == XACT_EVENT_PARALLEL_ABORT)
		stop();
}

/* What raised within the subtransaction is over; if the work began outside of
 * it, work within it is. */
static void
at_subtransaction_event(SubXactEvent event, SubTransactionId subtransaction,
						SubTransactionId parent, void *argument)
{
	if (event != SUBXACT_EVENT_ABORT_SUB || depth == 0)
		return;
	if (level >= GetCurrentTransactionNestLevel())
		stop();
	else
		depth = 1;
}

/* ---------- set-up ---------- */

Size
progress_bytes(int nslots)
{
	return mul_size(nslots, sizeof(ProgressSlot));
}

void
progress_take_memory(int nslots)
{
	bool		found;

	slots = ShmemInitStruct("modelopt progress", progress_bytes(nslots), &found);
	if (!found)
		memset(slots, 0, progress_bytes(nslots));
}

void
progress_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
	progress_listener = (ProgressListener) {begin, set_phase, add, end};
}

/* ---------- of functions that are SQL ---------- */

/* begin_progress(operation, phase, unit, total) */
Datum
modelopt_begin_progress(PG_FUNCTION_ARGS)
{
	int			began = progress_begin(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									   text_to_cstring(PG_GETARG_TEXT_PP(2)),
									   PG_GETARG_INT64(3));

	progress_phase(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_INT32(began);
}

Datum
modelopt_progress_phase(PG_FUNCTION_ARGS)
{
	progress_phase(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

Datum
modelopt_end_progress(PG_FUNCTION_ARGS)
{
	progress_end(PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

/* ---------- reading ---------- */

enum
{
	PROGRESS_PID = 0,
	PROGRESS_DATABASE,
	PROGRESS_USER,
	PROGRESS_OPERATION,
	PROGRESS_PHASE,
	PROGRESS_UNIT,
	PROGRESS_DONE,
	PROGRESS_TOTAL,
	PROGRESS_STARTED,
	PROGRESS_COLUMNS
};

Datum
modelopt_read_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ProgressSlot slot;

	monitor_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < monitor_shared->slots; i++)
	{
		Datum		values[PROGRESS_COLUMNS];
		bool		nulls[PROGRESS_COLUMNS] = {false};

		if (!slot_read(&slots[i].head, &slot, sizeof(slot)))
			continue;
		values[PROGRESS_PID] = Int32GetDatum(slot.head.pid);
		values[PROGRESS_DATABASE] = ObjectIdGetDatum(slot.head.database);
		values[PROGRESS_USER] = ObjectIdGetDatum(slot.head.user);
		values[PROGRESS_OPERATION] = CStringGetTextDatum(slot.operation);
		values[PROGRESS_PHASE] = CStringGetTextDatum(slot.phase);
		values[PROGRESS_UNIT] = CStringGetTextDatum(slot.unit);
		nulls[PROGRESS_TOTAL] = slot.total <= 0;
		values[PROGRESS_TOTAL] = Int64GetDatum(slot.total);
		/* Some bytes are looked at twice. */
		values[PROGRESS_DONE] = Int64GetDatum(slot.total > 0 ? Min(slot.done, slot.total) : slot.done);
		values[PROGRESS_STARTED] = TimestampTzGetDatum(monitor_clock_time(slot.began));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
