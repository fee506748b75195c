/*
 * drift_collected.c
 *		What is served, collected in shared memory until a reference is made of it.
 *
 * Numbers are kept as they are, as many rows of them as were asked for.  Texts are
 * kept with how often each comes, for as many different ones as there is room for;
 * those that come later are others.  A category that matters comes early.
 */
#include "postgres.h"

#include "compat.h"

#include "monitor/drift_pages.h"
#include "monitor/drift_slots.h"
#include "utils/memutils.h"

/* Page number i of a slot. */
static int
slot_page(const DriftSlot *slot, int i)
{
	int			page = slot->first_page;

	for (; i > 0; i--)
		page = (int) *drift_page_next(page);
	return page;
}

static void
add_extras(DriftSlot *slot, const DriftCell *extras)
{
	for (int i = 0; i < DRIFT_EXTRAS; i++)
		slot->extras[i].count += extras[i].count;
}

/* ---------- values ---------- */

/* Puts values behind those that are there, as many as are still wanted. */
static void
append_values(DriftSlot *slot, const double *values, int n)
{
	int			per_page = drift_values_per_page();
	int			page = slot_page(slot, slot->collected / per_page);

	for (int i = 0; i < n && slot->collected < slot->n; i++)
	{
		((double *) drift_page_cells(page))[slot->collected % per_page] = values[i];
		if (++slot->collected % per_page == 0)
			page = (int) *drift_page_next(page);
	}
}

bool
drift_add_values(const DriftKey *key, const double *values, int n,
				 const DriftCell *extras)
{
	bool		busy;
	DriftSlot  *slot = drift_acquire_slot(key, LW_EXCLUSIVE, true, &busy);

	if (slot == NULL)
		return false;
	if (slot->content == DRIFT_HAS_VALUES)
	{
		append_values(slot, values, n);
		add_extras(slot, extras);
	}
	drift_release_slot(slot);
	return true;
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
	slot = drift_acquire_slot(key, LW_SHARED, true, &busy);
	if (slot == NULL)
		return -1;
	room = slot->content == DRIFT_HAS_VALUES ? slot->collected : 0;
	drift_release_slot(slot);
	copy = MemoryContextAllocHuge(CurrentMemoryContext, Max(room, 1) * sizeof(double));

	slot = drift_acquire_slot(key, LW_SHARED, true, &busy);
	if (slot == NULL)
		return -1;
	if (slot->content == DRIFT_HAS_VALUES)
	{
		int			page = slot->first_page;

		n = Min(slot->collected, room);
		for (int i = 0; i < n; i += per_page)
		{
			memcpy(&copy[i], drift_page_cells(page), Min(per_page, n - i) * sizeof(double));
			page = (int) *drift_page_next(page);
		}
		memcpy(extras, slot->extras, sizeof(slot->extras));
	}
	drift_release_slot(slot);
	*values = copy;
	return n;
}

/* ---------- texts ---------- */

static DriftText *
slot_text(const DriftSlot *slot, int i)
{
	int			per_page = drift_texts_per_page();

	return (DriftText *) drift_page_cells(slot_page(slot, i / per_page)) + i % per_page;
}

/* The same text in the slot, which takes it if there is room; NULL if not. */
static DriftText *
find_text(DriftSlot *slot, const DriftText *wanted)
{
	DriftText  *taken;

	for (int i = 0; i < slot->collected; i++)
	{
		DriftText  *candidate = slot_text(slot, i);

		if (candidate->length == wanted->length && memcmp(candidate->text, wanted->text, wanted->length) == 0)
			return candidate;
	}
	if (slot->collected == DRIFT_TEXTS)
		return NULL;
	taken = slot_text(slot, slot->collected++);
	taken->count = 0;
	taken->length = wanted->length;
	memcpy(taken->text, wanted->text, wanted->length);
	return taken;
}

/* What is in no text is in rows alone. */
bool
drift_add_texts(const DriftKey *key, const DriftTexts *texts, const DriftCell *extras)
{
	bool		busy;
	DriftSlot  *slot = drift_acquire_slot(key, LW_EXCLUSIVE, true, &busy);

	if (slot == NULL)
		return false;
	if (slot->content == DRIFT_HAS_TEXTS)
	{
		for (int i = 0; i < texts->n && slot->rows < slot->n; i++)
		{
			int64		count = Min(texts->text[i].count, slot->n - slot->rows);
			DriftText  *kept = find_text(slot, &texts->text[i]);

			if (kept != NULL)
				kept->count += count;
			slot->rows += count;
		}
		slot->rows += Min(texts->others, slot->n - slot->rows);
		add_extras(slot, extras);
	}
	drift_release_slot(slot);
	return true;
}

bool
drift_copy_texts(const DriftKey *key, DriftTexts *texts, DriftCell extras[DRIFT_EXTRAS])
{
	bool		busy;
	DriftSlot  *slot = drift_acquire_slot(key, LW_SHARED, true, &busy);
	bool		found = slot != NULL && slot->content == DRIFT_HAS_TEXTS;

	if (found)
	{
		texts->n = slot->collected;
		texts->others = slot->rows;
		for (int i = 0; i < texts->n; i++)
		{
			DriftText  *copy = &texts->text[i];

			*copy = *slot_text(slot, i);
			copy->length = Min(Max(copy->length, 0), DRIFT_MAX_TEXT);
			texts->others -= copy->count;
		}
		memcpy(extras, slot->extras, sizeof(slot->extras));
	}
	if (slot != NULL)
		drift_release_slot(slot);
	return found;
}
