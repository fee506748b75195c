/*
 * drift_saved.c
 *		Counts of features while the server is stopped: slots and their pages, in
 *		the file of saved.c.
 */
#include "postgres.h"

#include "compat.h"

#include "monitor/drift_pages.h"
#include "monitor/drift_slots.h"

/* What is written of a slot: this, and its pages one after the other. */
typedef struct SavedSlot
{
	DriftKey	key;
	DriftContent content;
	int			n;
	int			collected;
	int			window_seconds;
	int64		window;
	int64		rows;
	DriftCell	extras[DRIFT_EXTRAS];
} SavedSlot;

uint32
drift_saved_slots(void)
{
	return hash_get_num_entries(drift_slots);
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
	saved.content = slot->content;
	saved.n = slot->n;
	saved.collected = slot->collected;
	saved.window_seconds = slot->window_seconds;
	saved.window = slot->window;
	saved.rows = slot->rows;
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

	hash_seq_init(&scan, drift_slots);
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
	switch (saved->content)
	{
		case DRIFT_HAS_COUNTS:
			return saved->n > DRIFT_EXTRAS && saved->n <= DRIFT_MAX_CELLS && saved->collected == 0;
		case DRIFT_HAS_VALUES:
			return saved->n >= 0 && saved->n <= drift_pages_there() * drift_values_per_page() &&
				saved->collected >= 0 && saved->collected <= saved->n;
		case DRIFT_HAS_TEXTS:
			return saved->n >= 0 && saved->collected >= 0 && saved->collected <= DRIFT_TEXTS;
	}
	return false;
}

/* Reads the pages of a slot, into the slot if there is one. */
static bool
restore_pages(const SavedSlot *saved, DriftSlot *slot,
			  bool (*get) (void *file, void *bytes, Size n), void *file)
{
	int			npages = drift_pages_for(saved->content, saved->n);
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
			slot = drift_enter_slot(&saved.key, saved.content, saved.n);
		if (slot != NULL)
		{
			slot->collected = saved.collected;
			slot->window_seconds = saved.window_seconds;
			slot->window = saved.window;
			slot->rows = saved.rows;
			memcpy(slot->extras, saved.extras, sizeof(slot->extras));
		}
		else if (restore)
			monitor_shared->totals.drift_dropped++;
		if (!restore_pages(&saved, slot, get, file))
			return false;
	}
	return true;
}
