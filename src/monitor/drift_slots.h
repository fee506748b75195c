/*
 * drift_slots.h
 *		Slots of shared memory, one a feature: private to drift_shared.c, which
 *		counts in them, drift_collected.c, which collects, and drift_saved.c.
 */
#ifndef MODELOPT_MONITOR_DRIFT_SLOTS_H
#define MODELOPT_MONITOR_DRIFT_SLOTS_H

#include "postgres.h"

#include "monitor/drift.h"

typedef struct DriftSlot
{
	DriftKey	key;			/* where the hash table looks */
	LWLock		lock;
	DriftContent content;
	int			n;				/* cells, or rows that are to be collected */
	int			collected;		/* values, or different texts */
	int			first_page;
	int			window_seconds;
	int64		window;			/* the current one's number */
	int64		rows;			/* whose texts are collected */
	DriftCell	extras[DRIFT_EXTRAS];	/* beside what is collected */
} DriftSlot;

extern HTAB *drift_slots;

/* A new slot, as drift_make_slot() has it, with the lock of all slots; NULL when
 * there is no room. */
extern DriftSlot *drift_enter_slot(const DriftKey *key, DriftContent content, int n);

/* The slot, with its lock and that of all slots; NULL without, because it is not
 * there or, without wait, because it would have to wait (busy). */
extern DriftSlot *drift_acquire_slot(const DriftKey *key, LWLockMode mode, bool wait, bool *busy);
extern void drift_release_slot(DriftSlot *slot);

#endif							/* MODELOPT_MONITOR_DRIFT_SLOTS_H */
