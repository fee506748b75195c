/*
 * activity.c
 *		What every backend runs now.
 */
#include "postgres.h"

#include "compat.h"

#include "monitor/shared.h"

/* NULL where there is none. */
static ActivitySlot *own = NULL;

void
activity_init(void)
{
	int			slot = slot_number();

	if (slot >= 0)
		own = &monitor_slots[slot].slot;
}

void
activity_begin(const MonitorCall *call)
{
	if (own == NULL)
		return;
	slot_begin_change(&own->head);
	slot_take(&own->head);
	own->phase = MONITOR_NO_PHASE;
	own->model_id = 0;
	own->version = 0;
	own->rows = 0;
	own->began = call->began;
	slot_end_change(&own->head);
}

void
activity_subject(const MonitorCall *call)
{
	if (own == NULL)
		return;
	slot_begin_change(&own->head);
	own->model_id = call->model_id;
	own->version = call->version;
	slot_end_change(&own->head);
}

void
activity_enter(const MonitorCall *call)
{
	if (own == NULL)
		return;
	own->phase = call->phase;
	own->rows = call->counts[MONITOR_ROWS];
}

void
activity_end(void)
{
	if (own != NULL)
		slot_stop(&own->head);
}

bool
activity_read(int slot, ActivitySlot *copy)
{
	return slot_read(&monitor_slots[slot].slot.head, copy, sizeof(ActivitySlot));
}

bool
activity_has(const StatKey *key)
{
	for (int i = 0; i < monitor_shared->slots; i++)
	{
		volatile ActivitySlot *slot = &monitor_slots[i].slot;

		if (slot->head.running && slot->head.database == key->database &&
			slot->model_id == key->model_id && slot->version == key->version)
			return true;
	}
	return false;
}
