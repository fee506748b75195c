/*
 * slots.c
 *		What every backend says of itself, in slots of its own.
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "monitor/shared.h"

/* Times a slot is read again before it is given up. */
#define MAX_READS 1000

int
slot_number(void)
{
	int			slot = MyBackendSlot;

	return slot >= 0 && slot < monitor_shared->slots ? slot : -1;
}

void
slot_take(SlotHead *slot)
{
	slot->running = true;
	slot->pid = MyProcPid;
	slot->database = MyDatabaseId;
	slot->user = GetUserId();
}

void
slot_stop(SlotHead *slot)
{
	slot->running = false;
}

bool
slot_read(const SlotHead *slot, void *copy, Size bytes)
{
	const volatile SlotHead *watched = slot;

	for (int i = 0; i < MAX_READS; i++)
	{
		uint32		before = watched->changes;

		pg_read_barrier();
		memcpy(copy, slot, bytes);
		pg_read_barrier();
		if (watched->changes == before && before % 2 == 0)
			return ((SlotHead *) copy)->running;
	}
	return false;
}
