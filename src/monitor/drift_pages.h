/*
 * drift_pages.h
 *		Pages of shared memory that counts of features are in: private to
 *		drift_shared.c.
 */
#ifndef MODELOPT_MONITOR_DRIFT_PAGES_H
#define MODELOPT_MONITOR_DRIFT_PAGES_H

#include "postgres.h"

#include "monitor/drift.h"

#define DRIFT_PAGE_CELLS 14		/* ten bins and the extras */
#define DRIFT_NO_PAGE (-1)

/* Windows that are kept, with the current one. */
extern int	drift_ring_size(void);

extern Size drift_page_bytes(void);
extern int	drift_values_per_page(void);
extern int	drift_texts_per_page(void);

/* As many as modelopt.drift_memory has room for, with as many slots. */
extern int	drift_page_count(Size slot_bytes);

/* What a slot takes for so many cells, or to collect so many rows. */
extern int	drift_pages_for(DriftContent content, int n);

extern Size drift_pages_bytes(int npages);
extern void drift_take_pages_memory(int npages);

extern int	drift_pages_there(void);
extern int	drift_pages_left(void);

/* A list of zeroed pages; there are enough. */
extern int	drift_take_pages(int n);

/* All of a list. */
extern void drift_free_pages(int first);

/* The number of the next page, of the slot or of the free ones. */
extern int64 *drift_page_next(int page);

extern DriftCell *drift_page_cells(int page);

#endif							/* MODELOPT_MONITOR_DRIFT_PAGES_H */
