/*
 * activity.c
 *		What every backend runs now, in a slot of its own.
 *
 * A slot is written without a lock, by its backend alone; who reads it sees by
 * its number of changes that it was not written meanwhile.
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "monitor/shared.h"
#include "port/atomics.h"
#include "storage/ipc.h"

#include <time.h>

/* Times a slot is read again before it is given up. */
#define MAX_READS 1000

int64
monitor_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * INT64CONST(1000000000) + now.tv_nsec;
}

TimestampTz
monitor_clock_time(int64 clock)
{
	return GetCurrentTimestamp() - (monitor_clock() - clock) / 1000;
}

/* ---------- this backend's slot ---------- */

/* NULL in a process that is none of MaxBackends. */
static ActivitySlot *own = NULL;

void
activity_init(void)
{
	int			slot = MyBackendSlot;

	if (slot >= 0 && slot < monitor_shared->slots)
		own = &monitor_slots[slot].slot;
}

static inline void
begin_change(void)
{
	own->changes++;
	pg_write_barrier();
}

static inline void
end_change(void)
{
	pg_write_barrier();
	own->changes++;
}

void
activity_begin(const MonitorCall *call)
{
	if (own == NULL)
		return;
	begin_change();
	own->pid = MyProcPid;
	own->database = MyDatabaseId;
	own->user = GetUserId();
	own->running = true;
	own->phase = MONITOR_NO_PHASE;
	own->model_id = 0;
	own->version = 0;
	own->rows = 0;
	own->began = call->began;
	end_change();
}

void
activity_update(const MonitorCall *call)
{
	if (own == NULL)
		return;
	begin_change();
	own->phase = call->phase;
	own->model_id = call->model_id;
	own->version = call->version;
	own->rows = call->counts[MONITOR_ROWS];
	end_change();
}

void
activity_end(void)
{
	if (own == NULL || !own->running)
		return;
	begin_change();
	own->running = false;
	end_change();
}

/* ---------- reading ---------- */

bool
activity_read(int number, ActivitySlot *copy)
{
	volatile ActivitySlot *slot = &monitor_slots[number].slot;

	for (int i = 0; i < MAX_READS; i++)
	{
		uint32		before = slot->changes;

		pg_read_barrier();
		*copy = *slot;
		pg_read_barrier();
		if (slot->changes == before && before % 2 == 0)
			return copy->running;
	}
	return false;
}

bool
activity_has(const StatKey *key)
{
	for (int i = 0; i < monitor_shared->slots; i++)
	{
		volatile ActivitySlot *slot = &monitor_slots[i].slot;

		if (slot->running && slot->database == key->database &&
			slot->model_id == key->model_id && slot->version == key->version)
			return true;
	}
	return false;
}
