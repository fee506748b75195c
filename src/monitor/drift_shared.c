/*
 * drift_shared.c
 *		Counts of features in shared memory.
 *
 * A slot is a feature of a reference.  Its counts are kept for the current
 * window and some before it, in a ring that turns as time passes: a window is so
 * many seconds since the epoch, divided.  Cells lie in pages of a few, for all
 * windows each, so that features of few bins and of many share the memory.  A
 * slot whose reference is still to be made keeps values there instead.
 *
 * drift->lock guards which slots there are, and a slot's own lock its numbers.
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "monitor/drift_pages.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

typedef struct DriftSlot
{
	DriftKey	key;			/* where the hash table looks */
	LWLock		lock;
	int			cells;			/* 0: values are collected */
	int			wanted;			/* of these */
	int			collected;
	int			first_page;
	int			window_seconds;
	int64		window;			/* the current one's number */
	DriftCell	extras[DRIFT_EXTRAS];	/* beside collected values */
} DriftSlot;

typedef struct DriftShared
{
	LWLock	   *lock;
	int			tranche;
	int64		dropped;		/* features that there was no room for */
} DriftShared;

static DriftShared *drift = NULL;
static HTAB *slots = NULL;

/* Each takes a page at least. */
static int
max_slots(void)
{
	return drift_page_count(sizeof(DriftSlot));
}

Size
drift_bytes(void)
{
	Size		bytes = MAXALIGN(sizeof(DriftShared));

	bytes = add_size(bytes, hash_estimate_size(max_slots(), sizeof(DriftSlot)));
	return add_size(bytes, drift_pages_bytes(max_slots()));
}

/* The caller registers the tranche's name. */
void
drift_take_memory(LWLock *lock)
{
	HASHCTL		layout = {.keysize = sizeof(DriftKey), .entrysize = sizeof(DriftSlot)};
	bool		found;

	drift_take_pages_memory(max_slots());
	slots = ShmemInitHash("modelopt drift slots", max_slots(), max_slots(), &layout,
						  HASH_ELEM | HASH_BLOBS);
	drift = ShmemInitStruct("modelopt drift", sizeof(DriftShared), &found);
	if (!found)
	{
		memset(drift, 0, sizeof(DriftShared));
		drift->lock = lock;
		drift->tranche = monitor_shared->entry_tranche;
	}
}

/* ---------- slots ---------- */

static DriftSlot *
enter_slot(const DriftKey *key, int cells, int wanted)
{
	int			npages = drift_pages_for(cells, wanted);
	DriftSlot  *slot;
	bool		found;

	if (npages > drift_pages_left())
		return NULL;
	slot = hash_search(slots, key, HASH_ENTER_NULL, &found);
	if (slot == NULL)
		return NULL;
	memset((char *) slot + sizeof(DriftKey), 0, sizeof(DriftSlot) - sizeof(DriftKey));
	LWLockInitialize(&slot->lock, drift->tranche);
	slot->cells = cells;
	slot->wanted = wanted;
	slot->first_page = drift_take_pages(npages);
	return slot;
}

static void
remove_slot(DriftSlot *slot)
{
	drift_free_pages(slot->first_page);
	(void) hash_search(slots, &slot->key, HASH_REMOVE, NULL);
}

bool
drift_make_slot(const DriftKey *key, int cells, int wanted)
{
	DriftSlot  *slot;
	bool		made;

	LWLockAcquire(drift->lock, LW_EXCLUSIVE);
	slot = hash_search(slots, key, HASH_FIND, NULL);
	/* One that was collected for the reference is done with. */
	if (slot != NULL && slot->cells == 0 && cells > 0)
	{
		remove_slot(slot);
		slot = NULL;
	}
	if (slot == NULL)
		slot = enter_slot(key, cells, wanted);
	made = slot != NULL && slot->cells == cells;
	if (slot == NULL)
		drift->dropped++;
	LWLockRelease(drift->lock);
	return made;
}

static bool
is_kept(const DriftKey *key, const int64 *references, int nreferences,
		const Oid *databases, int ndatabases)
{
	if (key->database != MyDatabaseId)
	{
		for (int i = 0; i < ndatabases; i++)
			if (key->database == databases[i])
				return true;
		return false;
	}
	for (int i = 0; i < nreferences; i++)
		if (key->reference == references[i])
			return true;
	return false;
}

void
drift_keep_only(const int64 *references, int nreferences,
				const Oid *databases, int ndatabases)
{
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	LWLockAcquire(drift->lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (!is_kept(&slot->key, references, nreferences, databases, ndatabases))
			remove_slot(slot);
	}
	LWLockRelease(drift->lock);
}

void
drift_forget_database(void)
{
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	LWLockAcquire(drift->lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->key.database == MyDatabaseId)
			remove_slot(slot);
	}
	LWLockRelease(drift->lock);
}

/* ---------- windows ---------- */

/* Where in the ring a window is.  Those before 2000 have negative numbers, as the
 * oldest of many long ones do, and windows of a clock that nobody has set. */
static int
ring_place(int64 window)
{
	int			place = (int) (window % drift_ring_size());

	return place < 0 ? place + drift_ring_size() : place;
}

/* Cell number i of a window in the ring. */
static DriftCell *
slot_cell(DriftSlot *slot, int window, int i)
{
	int			page = slot->first_page;

	for (int n = i / DRIFT_PAGE_CELLS; n > 0; n--)
		page = (int) *drift_page_next(page);
	return &drift_page_cells(page)[window * DRIFT_PAGE_CELLS + i % DRIFT_PAGE_CELLS];
}

static void
clear_window(DriftSlot *slot, int window)
{
	for (int page = slot->first_page; page != DRIFT_NO_PAGE; page = (int) *drift_page_next(page))
		memset(&drift_page_cells(page)[window * DRIFT_PAGE_CELLS], 0, DRIFT_PAGE_CELLS * sizeof(DriftCell));
}

static int64
window_at(TimestampTz now)
{
	int64		length = monitor_drift_window * USECS_PER_SEC;

	return now / length - (now % length < 0);
}

/* Turns the ring to the window that it is now.  Where windows have another length
 * than before, what was counted is forgotten. */
static void
turn(DriftSlot *slot, TimestampTz now)
{
	int64		window = window_at(now);
	int64		passed = window - slot->window;

	if (slot->window_seconds != monitor_drift_window)
		passed = drift_ring_size();
	else if (passed <= 0)
		return;
	for (int64 i = 0; i < Min(passed, drift_ring_size()); i++)
		clear_window(slot, ring_place(window - i));
	slot->window = window;
	slot->window_seconds = monitor_drift_window;
}

/* ---------- adding ---------- */

/* The slot, with its lock and that of all slots; NULL without. */
static DriftSlot *
acquire_slot(const DriftKey *key, LWLockMode mode, bool wait, bool *busy)
{
	DriftSlot  *slot;

	*busy = !wait && !LWLockConditionalAcquire(drift->lock, LW_SHARED);
	if (*busy)
		return NULL;
	if (wait)
		LWLockAcquire(drift->lock, LW_SHARED);
	slot = hash_search(slots, key, HASH_FIND, NULL);
	if (slot != NULL && wait)
		LWLockAcquire(&slot->lock, mode);
	else if (slot != NULL && !LWLockConditionalAcquire(&slot->lock, mode))
	{
		*busy = true;
		slot = NULL;
	}
	if (slot == NULL)
		LWLockRelease(drift->lock);
	return slot;
}

static void
release_slot(DriftSlot *slot)
{
	LWLockRelease(&slot->lock);
	LWLockRelease(drift->lock);
}

bool
drift_add(const DriftKey *key, const DriftCell *cells, int n, TimestampTz now,
		  bool wait, bool *busy)
{
	DriftSlot  *slot = acquire_slot(key, LW_EXCLUSIVE, wait, busy);
	int			window;

	if (slot == NULL)
		return false;
	if (slot->cells == n)
	{
		turn(slot, now);
		window = ring_place(slot->window);
		for (int i = 0; i < n; i++)
		{
			DriftCell  *cell = slot_cell(slot, window, i);

			cell->count += cells[i].count;
			cell->sum += cells[i].sum;
		}
	}
	release_slot(slot);
	return true;
}

bool
drift_add_values(const DriftKey *key, const double *values, int n,
				 const DriftCell *extras)
{
	bool		busy;
	DriftSlot  *slot = acquire_slot(key, LW_EXCLUSIVE, true, &busy);
	int			per_page = drift_values_per_page();

	if (slot == NULL)
		return false;
	for (int i = 0; i < n && slot->cells == 0 && slot->collected < slot->wanted; i++)
	{
		int			page = slot->first_page;

		for (int j = slot->collected / per_page; j > 0; j--)
			page = (int) *drift_page_next(page);
		((double *) drift_page_cells(page))[slot->collected++ % per_page] = values[i];
	}
	for (int i = 0; i < DRIFT_EXTRAS; i++)
		slot->extras[i].count += extras[i].count;
	release_slot(slot);
	return true;
}

/* ---------- reading ---------- */

/* Rows of a window, by all cells but those that are counted twice. */
static int64
window_rows(DriftSlot *slot, int window)
{
	int64		rows = 0;

	for (int i = 0; i < slot->cells - DRIFT_EXTRAS + DRIFT_BELOW; i++)
		rows += slot_cell(slot, window, i)->count;
	return rows;
}

static void
copy_slot(DriftSlot *slot, DriftCounts *copy, TimestampTz now, int64 min_rows)
{
	int64		window = window_at(now);
	int64		rows = 0;

	memset(copy, 0, sizeof(DriftCounts));
	copy->key = slot->key;
	copy->cells = slot->cells;
	copy->window_end = (window + 1) * monitor_drift_window * USECS_PER_SEC;
	copy->window_start = window * monitor_drift_window * USECS_PER_SEC;
	if (slot->cells == 0 || slot->window_seconds != monitor_drift_window)
		return;
	for (int64 i = 0; i < drift_ring_size(); i++)
	{
		copy->window_start = (window - i) * monitor_drift_window * USECS_PER_SEC;
		/* A window that nothing was counted in yet is not in the ring. */
		if (window - i > slot->window || slot->window - (window - i) >= drift_ring_size())
			continue;
		for (int j = 0; j < slot->cells; j++)
		{
			DriftCell  *cell = slot_cell(slot, ring_place(window - i), j);

			copy->cell[j].count += cell->count;
			copy->cell[j].sum += cell->sum;
		}
		rows += window_rows(slot, ring_place(window - i));
		if (rows >= min_rows)
			break;
	}
}

DriftCounts *
drift_copy_all(int *count, int64 min_rows)
{
	TimestampTz now = GetCurrentTimestamp();
	int			room = hash_get_num_entries(slots) + 16;
	DriftCounts *copies = MemoryContextAllocHuge(CurrentMemoryContext,
												 (Size) room * sizeof(DriftCounts));
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	*count = 0;
	LWLockAcquire(drift->lock, LW_SHARED);
	hash_seq_init(&scan, slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->key.database != MyDatabaseId)
			continue;
		/* More than a moment ago: the rest is seen the next time. */
		if (*count == room)
		{
			hash_seq_term(&scan);
			break;
		}
		LWLockAcquire(&slot->lock, LW_SHARED);
		copy_slot(slot, &copies[(*count)++], now, min_rows);
		LWLockRelease(&slot->lock);
	}
	LWLockRelease(drift->lock);
	return copies;
}

int
drift_copy_values(const DriftKey *key, double **values, DriftCell extras[DRIFT_EXTRAS])
{
	int			per_page = drift_values_per_page();
	double	   *copy;
	DriftSlot  *slot;
	bool		busy;
	int			room;
	int			n = -1;

	/* Nothing is allocated under the lock. */
	slot = acquire_slot(key, LW_SHARED, true, &busy);
	if (slot == NULL)
		return -1;
	room = slot->cells == 0 ? slot->collected : 0;
	release_slot(slot);
	copy = MemoryContextAllocHuge(CurrentMemoryContext, Max(room, 1) * sizeof(double));

	slot = acquire_slot(key, LW_SHARED, true, &busy);
	if (slot == NULL)
		return -1;
	if (slot->cells == 0)
	{
		int			page = slot->first_page;

		n = Min(slot->collected, room);
		for (int i = 0; i < n; i++)
		{
			if (i > 0 && i % per_page == 0)
				page = (int) *drift_page_next(page);
			copy[i] = ((double *) drift_page_cells(page))[i % per_page];
		}
		memcpy(extras, slot->extras, sizeof(slot->extras));
	}
	release_slot(slot);
	*values = copy;
	return n;
}

void
drift_clear(int64 reference)
{
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	LWLockAcquire(drift->lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->key.database != MyDatabaseId ||
			(reference != 0 && slot->key.reference != reference))
			continue;
		for (int i = 0; i < drift_ring_size() && slot->cells > 0; i++)
			clear_window(slot, i);
		slot->collected = 0;
		memset(slot->extras, 0, sizeof(slot->extras));
	}
	LWLockRelease(drift->lock);
}

void
drift_get_info(DriftInfo *info)
{
	LWLockAcquire(drift->lock, LW_SHARED);
	info->slots = hash_get_num_entries(slots);
	info->pages = drift_pages_there() - drift_pages_left();
	info->max_pages = drift_pages_there();
	info->dropped = drift->dropped;
	LWLockRelease(drift->lock);
}

/* ---------- while the server is stopped ---------- */

/* What is written of a slot: this, and its pages one after the other. */
typedef struct SavedSlot
{
	DriftKey	key;
	int			cells;
	int			wanted;
	int			collected;
	int			window_seconds;
	int64		window;
	DriftCell	extras[DRIFT_EXTRAS];
} SavedSlot;

uint32
drift_saved_slots(void)
{
	return hash_get_num_entries(slots);
}

uint32
drift_saved_bytes(void)
{
	return (uint32) (drift_page_bytes() + sizeof(SavedSlot));
}

static bool
save_slot(DriftSlot *slot, bool (*put) (void *file, const void *bytes, Size n), void *file)
{
	SavedSlot	saved;

	memset(&saved, 0, sizeof(saved));
	saved.key = slot->key;
	saved.cells = slot->cells;
	saved.wanted = slot->wanted;
	saved.collected = slot->collected;
	saved.window_seconds = slot->window_seconds;
	saved.window = slot->window;
	memcpy(saved.extras, slot->extras, sizeof(saved.extras));
	if (!put(file, &saved, sizeof(saved)))
		return false;
	for (int page = slot->first_page; page != DRIFT_NO_PAGE; page = (int) *drift_page_next(page))
	{
		if (!put(file, drift_page_cells(page), drift_page_bytes() - sizeof(int64)))
			return false;
	}
	return true;
}

bool
drift_save(bool (*put) (void *file, const void *bytes, Size n), void *file)
{
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	hash_seq_init(&scan, slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (!save_slot(slot, put, file))
		{
			hash_seq_term(&scan);
			return false;
		}
	}
	return true;
}

static bool
saved_slot_fits(const SavedSlot *saved)
{
	return saved->cells >= 0 && saved->cells <= DRIFT_MAX_CELLS &&
		(saved->cells == 0 || saved->cells > DRIFT_EXTRAS) &&
		saved->wanted >= 0 && saved->wanted <= drift_pages_there() * drift_values_per_page() &&
		saved->collected >= 0 && saved->collected <= saved->wanted;
}

/* Reads the pages of a slot, into the slot if there is one. */
static bool
restore_pages(const SavedSlot *saved, DriftSlot *slot,
			  bool (*get) (void *file, void *bytes, Size n), void *file)
{
	int			npages = drift_pages_for(saved->cells, saved->wanted);
	int			page = slot != NULL ? slot->first_page : DRIFT_NO_PAGE;
	char	   *scratch = palloc(drift_page_bytes());
	bool		good = true;

	for (int i = 0; i < npages && good; i++)
	{
		char	   *place = page != DRIFT_NO_PAGE ? (char *) drift_page_cells(page) : scratch;

		good = get(file, place, drift_page_bytes() - sizeof(int64));
		if (page != DRIFT_NO_PAGE)
			page = (int) *drift_page_next(page);
	}
	pfree(scratch);
	return good;
}

/* In the postmaster, before there is anybody else. */
bool
drift_restore(bool (*get) (void *file, void *bytes, Size n), void *file,
			  uint32 count, bool restore)
{
	for (uint32 i = 0; i < count; i++)
	{
		SavedSlot	saved;
		DriftSlot  *slot = NULL;

		if (!get(file, &saved, sizeof(saved)) || !saved_slot_fits(&saved))
			return false;
		if (restore)
			slot = enter_slot(&saved.key, saved.cells, saved.wanted);
		if (slot != NULL)
		{
			slot->collected = saved.collected;
			slot->window_seconds = saved.window_seconds;
			slot->window = saved.window;
			memcpy(slot->extras, saved.extras, sizeof(slot->extras));
		}
		else if (restore)
			drift->dropped++;
		if (!restore_pages(&saved, slot, get, file))
			return false;
	}
	return true;
}
