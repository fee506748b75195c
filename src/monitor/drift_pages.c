/*
 * drift_pages.c
 *		Pages of shared memory that counts of features are in.
 *
 * A page has a few cells, for all windows each, so that features of few bins and
 * of many share the memory; or it has values or texts, of which a reference is to
 * be made.
 * Who holds the lock of all slots takes and frees them.
 */
#include "postgres.h"

#include "compat.h"

#include "monitor/drift_pages.h"
#include "storage/shmem.h"

typedef struct DriftPages
{
	int			npages;
	int			free_page;		/* first of a list */
	int			free_pages;
} DriftPages;

static DriftPages *state = NULL;
static char *pages = NULL;

int
drift_ring_size(void)
{
	return monitor_drift_windows + 1;
}

Size
drift_page_bytes(void)
{
	return MAXALIGN(sizeof(int64) + (Size) drift_ring_size() * DRIFT_PAGE_CELLS * sizeof(DriftCell));
}

int
drift_page_count(Size slot_bytes)
{
	return Max((int) ((Size) monitor_drift_memory * 1024 / (drift_page_bytes() + slot_bytes)), 1);
}

int64 *
drift_page_next(int page)
{
	return (int64 *) (pages + page * drift_page_bytes());
}

DriftCell *
drift_page_cells(int page)
{
	return (DriftCell *) (drift_page_next(page) + 1);
}

int
drift_values_per_page(void)
{
	return (int) ((drift_page_bytes() - sizeof(int64)) / sizeof(double));
}

/* One at least: a page has cells of two windows. */
int
drift_texts_per_page(void)
{
	StaticAssertStmt(sizeof(DriftText) <= 2 * DRIFT_PAGE_CELLS * sizeof(DriftCell),
					 "a text fits into each page");
	return (int) ((drift_page_bytes() - sizeof(int64)) / sizeof(DriftText));
}

void
drift_free_pages(int first)
{
	while (first != DRIFT_NO_PAGE)
	{
		int			next = (int) *drift_page_next(first);

		*drift_page_next(first) = state->free_page;
		state->free_page = first;
		state->free_pages++;
		first = next;
	}
}

int
drift_take_pages(int n)
{
	int			list = DRIFT_NO_PAGE;

	for (int i = 0; i < n; i++)
	{
		int			page = state->free_page;

		state->free_page = (int) *drift_page_next(page);
		state->free_pages--;
		memset(pages + page * drift_page_bytes(), 0, drift_page_bytes());
		*drift_page_next(page) = list;
		list = page;
	}
	return list;
}

int
drift_pages_for(DriftContent content, int n)
{
	int			per_page = content == DRIFT_HAS_COUNTS ? DRIFT_PAGE_CELLS :
		content == DRIFT_HAS_VALUES ? drift_values_per_page() : drift_texts_per_page();
	int			needed = content == DRIFT_HAS_TEXTS ? DRIFT_TEXTS : n;

	return needed / per_page + (needed % per_page > 0);
}

Size
drift_pages_bytes(int npages)
{
	return add_size(MAXALIGN(sizeof(DriftPages)), MAXALIGN(mul_size(npages, drift_page_bytes())));
}

int
drift_pages_there(void)
{
	return state->npages;
}

int
drift_pages_left(void)
{
	return state->free_pages;
}

void
drift_take_pages_memory(int npages)
{
	bool		found;

	pages = ShmemInitStruct("modelopt drift pages", mul_size(npages, drift_page_bytes()), &found);
	state = ShmemInitStruct("modelopt drift free pages", sizeof(DriftPages), &found);
	if (found)
		return;
	state->npages = npages;
	state->free_page = DRIFT_NO_PAGE;
	state->free_pages = 0;
	for (int page = npages - 1; page >= 0; page--)
	{
		*drift_page_next(page) = DRIFT_NO_PAGE;
		drift_free_pages(page);
	}
}
