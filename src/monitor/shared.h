/*
 * shared.h
 *		What the monitor has in shared memory, and who may touch it how.
 *
 * MonitorShared.stats_lock guards which entries there are: shared to find one
 * and for as long as it is used, exclusive to make or remove some.  An entry's
 * own lock guards its numbers.  Under any of these locks nothing is allocated,
 * raised or looked up in a catalog.
 */
#ifndef MODELOPT_MONITOR_SHARED_H
#define MODELOPT_MONITOR_SHARED_H

#include "postgres.h"

#include "kernel/kernel.h"
#include "monitor/monitor.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

/* ---------- numbers of a model version ---------- */

/* Hashed as bytes: unused is always 0. */
typedef struct StatKey
{
	Oid			database;
	Oid			user;			/* 0: of all users */
	int64		model_id;
	int32		version;
	int32		unused;
} StatKey;

typedef struct StatNumbers
{
	int64		counts[MONITOR_COUNTERS];
	int64		timed;			/* invocations with a time, which these are of */
	double		mean;			/* nanoseconds */
	double		squares;		/* sum of squared differences from the mean */
	int64		min;
	int64		max;
	int64		buckets[KERNEL_LATENCY_BUCKETS];
} StatNumbers;

/* What is added to shared memory at once. */
typedef struct StatBatch
{
	StatNumbers numbers;
	int			first_bucket;	/* those outside are 0 */
	int			last_bucket;
	TimestampTz first_call;
	TimestampTz last_call;
	MonitorRuntime runtime;
} StatBatch;

/* An entry but for its lock: what is kept when the server is stopped. */
typedef struct StatData
{
	StatKey		key;
	MonitorRuntime runtime;
	double		usage;			/* who is evicted last */
	TimestampTz first_call;
	TimestampTz last_call;
	TimestampTz since;			/* when it was made or reset */
	TimestampTz minmax_since;
	StatNumbers numbers;
} StatData;

typedef struct StatEntry
{
	StatKey		key;			/* where the hash table looks */
	LWLock		lock;
	StatData	data;
} StatEntry;

/* Somebody to evict. */
typedef struct StatVictim
{
	double		usage;
	TimestampTz last_call;
	StatEntry  *entry;
} StatVictim;

/* ---------- what is there once ---------- */

/* What of the totals is kept when the server is stopped. */
typedef struct StatTotals
{
	int64		dealloc;		/* evictions, of several entries each */
	int64		dropped;		/* batches that found no place */
	int64		drift_dropped;	/* features that there was no room for */
	TimestampTz stats_reset;
	StatNumbers evicted;		/* of entries that are gone */
} StatTotals;

/* ---------- what each backend does now ---------- */

/*
 * A slot in shared memory is written without a lock, by its backend alone; who
 * reads it sees by its number of changes that it was not written meanwhile.  This
 * is what each begins with.
 */
typedef struct SlotHead
{
	uint32		changes;		/* odd while it is being written */
	bool		running;		/* otherwise there is nothing in it */
	int			pid;
	Oid			database;
	Oid			user;
} SlotHead;

/* What is told at once is written between these.  One word may be written at any
 * time. */
static inline void
slot_begin_change(SlotHead *slot)
{
	slot->changes++;
	pg_write_barrier();
}

static inline void
slot_end_change(SlotHead *slot)
{
	pg_write_barrier();
	slot->changes++;
}

typedef struct ActivitySlot
{
	SlotHead	head;
	MonitorPhase phase;
	int64		model_id;
	int32		version;
	int64		rows;
	int64		began;			/* nanoseconds of the monotonic clock */
} ActivitySlot;

typedef struct MonitorShared
{
	LWLock	   *stats_lock;
	int			entry_tranche;
	bool		loaded;			/* from what was saved */
	Size		bytes;			/* of all shared memory */
	StatTotals	totals;
	int			slots;
} MonitorShared;

extern MonitorShared *monitor_shared;
extern HTAB *monitor_entries;
extern StatVictim *monitor_victims; /* room for all entries */

/* Slots of two backends share no line of a cache, since each is written several
 * times in an invocation. */
typedef union PaddedActivitySlot
{
	ActivitySlot slot;
	char		line[PG_CACHE_LINE_SIZE];
} PaddedActivitySlot;

extern PaddedActivitySlot *monitor_slots;

/* ---------- settings (shared.c) ---------- */

extern bool monitor_track_timing;
extern bool monitor_track_users;
extern int	monitor_stat_max;
extern bool monitor_stat_save;
extern int	monitor_flush_interval; /* milliseconds */

/* Raises when the library was not preloaded. */
extern void monitor_require_preloaded(void);

/* ---------- entries.c ---------- */

extern void stat_numbers_clear(StatNumbers *numbers);
extern void stat_numbers_merge(StatNumbers *into, const StatNumbers *from,
							   int first_bucket, int last_bucket);

/* Adds to an entry, which is made if need be.  Returns false, and has done
 * nothing, when it would have to wait and must not. */
extern bool stat_add(const StatKey *key, const StatBatch *batch, bool wait);

/* Copies of all entries in order, of each user or of all users together, in the
 * current context. */
extern StatData **stat_copy_all(bool by_user, int *count);

/* Which entries; what is 0 or less is not asked for. */
typedef struct StatScope
{
	Oid			database;
	Oid			user;
	int64		model_id;
	int32		version;
	bool		any_model;		/* model_id is not asked for */
} StatScope;

/* Forgets all that is in the scope, or only the shortest and longest times;
 * returns when. */
extern TimestampTz stat_reset(const StatScope *scope, bool minmax_only);

/* Removes entries of a model; their numbers stay in the totals. */
extern void stat_drop_model(Oid database, int64 model_id);

/* Puts back an entry that was saved; false when there is no room. */
extern bool stat_restore(const StatData *data);

/* ---------- pending.c ---------- */

/* Adds what this backend has counted to shared memory. */
extern void pending_flush(bool wait);

extern void pending_init(void);

/* ---------- drops.c ---------- */

extern void drops_init(void);

/* ---------- clock.c ---------- */

extern void clock_init(void);

/* Nanoseconds of the monotonic clock. */
extern int64 monitor_clock(void);

/* When a moment of the monotonic clock was. */
extern TimestampTz monitor_clock_time(int64 clock);

/* ---------- slots.c ---------- */

/* The number of this backend's slots, or -1 in a process that is none of
 * MaxBackends. */
extern int	slot_number(void);

/* Says who it is, and that something runs; between the changes. */
extern void slot_take(SlotHead *slot);

extern void slot_stop(SlotHead *slot);

/* A copy of a slot as it was at one moment; false when nothing runs. */
extern bool slot_read(const SlotHead *slot, void *copy, Size bytes);

/* ---------- activity.c ---------- */

/* Once in a process. */
extern void activity_init(void);

extern void activity_begin(const MonitorCall *call);
extern void activity_subject(const MonitorCall *call);
extern void activity_enter(const MonitorCall *call);
extern void activity_end(void);

extern bool activity_read(int slot, ActivitySlot *copy);

/* Whether some backend runs what the key is of. */
extern bool activity_has(const StatKey *key);

/* ---------- progress.c ---------- */

extern Size progress_bytes(int nslots);
extern void progress_take_memory(int nslots);
extern void progress_init(void);

/* ---------- saved.c ---------- */

extern void saved_load(void);
extern void saved_write(int code, Datum argument);

#endif							/* MODELOPT_MONITOR_SHARED_H */
