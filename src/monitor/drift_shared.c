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
#include "monitor/drift_slots.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

typedef struct DriftShared
{
	LWLock	   *lock;
	int			tranche;
} DriftShared;

static DriftShared *drift = NULL;
HTAB	   *drift_slots = NULL;

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
	drift_slots = ShmemInitHash("modelopt drift slots", max_slots(), max_slots(), &layout,
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

DriftSlot *
drift_enter_slot(const DriftKey *key, DriftContent content, int n)
{
	int			npages = drift_pages_for(content, n);
	DriftSlot  *slot;
	bool		found;

	if (npages > drift_pages_left())
		return NULL;
	slot = hash_search(drift_slots, key, HASH_ENTER_NULL, &found);
	if (slot == NULL)
		return NULL;
	memset((char *) slot + sizeof(DriftKey), 0, sizeof(DriftSlot) - sizeof(DriftKey));
	LWLockInitialize(&slot->lock, drift->tranche);
	slot->content = content;
	slot->n = n;
	slot->first_page = drift_take_pages(npages);
	return slot;
}

static void
remove_slot(DriftSlot *slot)
{
	drift_free_pages(slot->first_page);
	(void) hash_search(drift_slots, &slot->key, HASH_REMOVE, NULL);
}

static void
count_dropped(void)
{
	LWLockAcquire(monitor_shared->stats_lock, LW_EXCLUSIVE);
	monitor_shared->totals.drift_dropped++;
	LWLockRelease(monitor_shared->stats_lock);
}

bool
drift_make_slot(const DriftKey *key, DriftContent content, int n)
{
	DriftSlot  *slot;
	bool		made;
	bool		dropped;

	LWLockAcquire(drift->lock, LW_EXCLUSIVE);
	slot = hash_search(drift_slots, key, HASH_FIND, NULL);
	/* One that was collected for the reference is done with. */
	if (slot != NULL && slot->content != DRIFT_HAS_COUNTS && content == DRIFT_HAS_COUNTS)
	{
		remove_slot(slot);
		slot = NULL;
	}
	if (slot == NULL)
		slot = drift_enter_slot(key, content, n);
	dropped = slot == NULL;
	made = !dropped && slot->content == content && (content != DRIFT_HAS_COUNTS || slot->n == n);
	LWLockRelease(drift->lock);
	if (dropped)
		count_dropped();
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
	hash_seq_init(&scan, drift_slots);
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
	hash_seq_init(&scan, drift_slots);
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

DriftSlot *
drift_acquire_slot(const DriftKey *key, LWLockMode mode, bool wait, bool *busy)
{
	DriftSlot  *slot;

	*busy = !wait && !LWLockConditionalAcquire(drift->lock, LW_SHARED);
	if (*busy)
		return NULL;
	if (wait)
		LWLockAcquire(drift->lock, LW_SHARED);
	slot = hash_search(drift_slots, key, HASH_FIND, NULL);
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

void
drift_release_slot(DriftSlot *slot)
{
	LWLockRelease(&slot->lock);
	LWLockRelease(drift->lock);
}

bool
drift_add(const DriftKey *key, const DriftCell *cells, int n, TimestampTz now,
		  bool wait, bool *busy)
{
	DriftSlot  *slot = drift_acquire_slot(key, LW_EXCLUSIVE, wait, busy);
	int			window;

	if (slot == NULL)
		return false;
	if (slot->content == DRIFT_HAS_COUNTS && slot->n == n)
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
	drift_release_slot(slot);
	return true;
}

/* ---------- reading ---------- */

/* A window that nothing was counted in yet is not in the ring. */
static bool
has_window(const DriftSlot *slot, int64 window)
{
	return window <= slot->window && slot->window - window < drift_ring_size();
}

/* Rows of a window, by all cells but those that are counted twice. */
static int64
window_rows(DriftSlot *slot, int64 window)
{
	int64		rows = 0;

	if (!has_window(slot, window))
		return 0;
	for (int i = 0; i < slot->n - DRIFT_EXTRAS + DRIFT_BELOW; i++)
		rows += slot_cell(slot, ring_place(window), i)->count;
	return rows;
}

static void
add_window(DriftSlot *slot, int64 window, DriftCell *cells)
{
	if (!has_window(slot, window))
		return;
	for (int i = 0; i < slot->n; i++)
	{
		DriftCell  *cell = slot_cell(slot, ring_place(window), i);

		cells[i].count += cell->count;
		cells[i].sum += cell->sum;
	}
}

/* Adds up windows from one on to the past, as many as have that many rows together
 * but none before the oldest; returns the last of them. */
static int64
add_windows(DriftSlot *slot, int64 window, int64 oldest, int64 min_rows, DriftCell *cells)
{
	int64		rows = 0;

	for (;; window--)
	{
		add_window(slot, window, cells);
		rows += window_rows(slot, window);
		if (rows >= min_rows || window <= oldest)
			return window;
	}
}

static bool
is_counted(const DriftSlot *slot)
{
	return slot->content == DRIFT_HAS_COUNTS && slot->window_seconds == monitor_drift_window;
}

static TimestampTz
window_start(int64 window)
{
	return window * monitor_drift_window * USECS_PER_SEC;
}

static void
copy_slot(DriftSlot *slot, DriftCounts *copy, TimestampTz now, int64 min_rows)
{
	int64		window = window_at(now);
	int64		oldest = window - drift_ring_size() + 1;

	memset(copy, 0, sizeof(DriftCounts));
	copy->key = slot->key;
	copy->cells = slot->content == DRIFT_HAS_COUNTS ? slot->n : 0;
	copy->window_end = window_start(window + 1);
	copy->window_start = window_start(window);
	if (!is_counted(slot))
		return;
	window = add_windows(slot, window, oldest, min_rows, copy->cell);
	copy->window_start = window_start(window);
	if (window > oldest)
		(void) add_windows(slot, window - 1, oldest, min_rows, copy->previous);
}

DriftCounts *
drift_copy_all(int *count, int64 min_rows)
{
	TimestampTz now = GetCurrentTimestamp();
	int			room = hash_get_num_entries(drift_slots) + 16;
	DriftCounts *copies = MemoryContextAllocHuge(CurrentMemoryContext,
												 (Size) room * sizeof(DriftCounts));
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	*count = 0;
	LWLockAcquire(drift->lock, LW_SHARED);
	hash_seq_init(&scan, drift_slots);
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
drift_copy_windows(const DriftKey *key, DriftCounts *windows, int max_windows, int64 min_rows)
{
	int64		window = window_at(GetCurrentTimestamp());
	int64		oldest = window - drift_ring_size() + 1;
	DriftCell	newest[DRIFT_MAX_CELLS] = {{0}};
	bool		busy;
	DriftSlot  *slot = drift_acquire_slot(key, LW_SHARED, true, &busy);
	int			n = 0;

	if (slot == NULL)
		return 0;
	if (is_counted(slot))
	{
		window = add_windows(slot, window, oldest, min_rows, newest);
		while (--window >= oldest && n < max_windows)
		{
			if (window_rows(slot, window) < min_rows)
				continue;
			memset(&windows[n], 0, sizeof(DriftCounts));
			windows[n].key = *key;
			windows[n].cells = slot->n;
			windows[n].window_start = window_start(window);
			windows[n].window_end = window_start(window + 1);
			add_window(slot, window, windows[n++].cell);
		}
	}
	drift_release_slot(slot);
	return n;
}

DriftKey *
drift_keys(int64 reference, int *count)
{
	int			room = hash_get_num_entries(drift_slots) + 16;
	DriftKey   *keys = palloc(room * sizeof(DriftKey));
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	*count = 0;
	LWLockAcquire(drift->lock, LW_SHARED);
	hash_seq_init(&scan, drift_slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->key.database == MyDatabaseId && slot->key.reference == reference &&
			slot->content == DRIFT_HAS_COUNTS && *count < room)
			keys[(*count)++] = slot->key;
	}
	LWLockRelease(drift->lock);
	return keys;
}

void
drift_clear(int64 reference)
{
	HASH_SEQ_STATUS scan;
	DriftSlot  *slot;

	LWLockAcquire(drift->lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, drift_slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (slot->key.database != MyDatabaseId ||
			(reference != 0 && slot->key.reference != reference))
			continue;
		for (int i = 0; i < drift_ring_size() && slot->content == DRIFT_HAS_COUNTS; i++)
			clear_window(slot, i);
		slot->collected = 0;
		slot->rows = 0;
		memset(slot->extras, 0, sizeof(slot->extras));
	}
	LWLockRelease(drift->lock);
}

void
drift_get_info(DriftInfo *info)
{
	LWLockAcquire(drift->lock, LW_SHARED);
	info->slots = hash_get_num_entries(drift_slots);
	info->pages = drift_pages_there() - drift_pages_left();
	info->max_pages = drift_pages_there();
	LWLockRelease(drift->lock);
}
