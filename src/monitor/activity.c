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

static ActivitySlot *
own_slot(void)
{
	int			slot = MyBackendSlot;

	if (slot < 0 || slot >= monitor_shared->slots)
		return NULL;
	return &monitor_slots[slot];
}

static void
begin_change(ActivitySlot *slot)
{
	slot->changes++;
	pg_write_barrier();
}

static void
end_change(ActivitySlot *slot)
{
	pg_write_barrier();
	slot->changes++;
}

void
activity_begin(const MonitorCall *call)
{
	ActivitySlot *slot = own_slot();

	if (slot == NULL)
		return;
	begin_change(slot);
	slot->pid = MyProcPid;
	slot->database = MyDatabaseId;
	slot->user = GetUserId();
	slot->running = true;
	slot->phase = MONITOR_NO_PHASE;
	slot->model_id = 0;
	slot->version = 0;
	slot->rows = 0;
	slot->began = call->began;
	end_change(slot);
}

void
activity_update(const MonitorCall *call)
{
	ActivitySlot *slot = own_slot();

	if (slot == NULL)
		return;
	begin_change(slot);
	slot->phase = call->phase;
	slot->model_id = call->model_id;
	slot->version = call->version;
	slot->rows = call->counts[MONITOR_ROWS];
	end_change(slot);
}

void
activity_end(void)
{
	ActivitySlot *slot = own_slot();

	if (slot == NULL || !slot->running)
		return;
	begin_change(slot);
	slot->running = false;
	end_change(slot);
}

/* ---------- reading ---------- */

bool
activity_read(int number, ActivitySlot *copy)
{
	volatile ActivitySlot *slot = &monitor_slots[number];

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
		volatile ActivitySlot *slot = &monitor_slots[i];

		if (slot->running && slot->database == key->database &&
			slot->model_id == key->model_id && slot->version == key->version)
			return true;
	}
	return false;
}
