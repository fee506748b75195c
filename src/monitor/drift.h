/*
 * drift.h
 *		What is compared with what a model was made for.
 *
 * A reference says for each feature, which is an input's or an output's column,
 * between which edges (or for which categories) values are counted.  It is rows
 * of modelopt_private.drift_reference and drift_feature; drift_reference.c has
 * those of the versions that this backend serves, drift_observe.c counts, and
 * drift_shared.c adds up, in windows of time.
 */
#ifndef MODELOPT_MONITOR_DRIFT_H
#define MODELOPT_MONITOR_DRIFT_H

#include "postgres.h"

#include "monitor/shared.h"

#define DRIFT_MIN_BINS 5
#define DRIFT_MAX_BINS 32
#define DRIFT_MAX_CATEGORIES 30 /* and one more for all others */
#define DRIFT_MAX_TEXT 255		/* bytes; longer ones are among the others */

/* Different texts of which a reference is collected, the first that come; the
 * rest are others. */
#define DRIFT_TEXTS 100

/* After the bins of values come those of nulls, of what is no finite number, and
 * of what is below and above all of the reference, which is in a bin too. */
typedef enum DriftExtra
{
	DRIFT_NULLS,
	DRIFT_NOT_FINITE,
	DRIFT_BELOW,
	DRIFT_ABOVE,
	DRIFT_EXTRAS
} DriftExtra;

#define DRIFT_MAX_CELLS (DRIFT_MAX_BINS + DRIFT_EXTRAS)

typedef struct DriftCell
{
	int64		count;
	double		sum;
} DriftCell;

/* Hashed as bytes. */
typedef struct DriftKey
{
	Oid			database;
	int32		feature;		/* n: the nth input; -n: the nth output */
	int64		reference;
} DriftKey;

/* ---------- settings (shared.c) ---------- */

extern bool monitor_drift_enabled;
extern double monitor_drift_sample_rate;
extern int	monitor_drift_window;	/* seconds */
extern int	monitor_drift_windows;	/* that are kept beside the current one */
extern int	monitor_drift_memory;	/* kilobytes */
extern int	monitor_drift_min_rows;
extern int	monitor_drift_max_features;
extern int	monitor_drift_bins;

/* ---------- drift_shared.c ---------- */

/* What there is of a feature in shared memory: what is counted against its
 * reference, or what is collected to make one of. */
typedef enum DriftContent
{
	DRIFT_HAS_COUNTS,
	DRIFT_HAS_VALUES,
	DRIFT_HAS_TEXTS
} DriftContent;

/* What is counted of one feature in some windows, and in those before them. */
typedef struct DriftCounts
{
	DriftKey	key;
	TimestampTz window_start;
	TimestampTz window_end;
	int			cells;			/* 0: nothing is, for values are collected */
	DriftCell	cell[DRIFT_MAX_CELLS];
	DriftCell	previous[DRIFT_MAX_CELLS];
} DriftCounts;

/* A text that is collected. */
typedef struct DriftText
{
	int64		count;
	int32		length;
	char		text[DRIFT_MAX_TEXT];
} DriftText;

/* Those of a feature. */
typedef struct DriftTexts
{
	int			n;
	int64		others;
	DriftText	text[DRIFT_TEXTS];
} DriftTexts;

extern Size drift_bytes(void);
extern void drift_take_memory(LWLock *lock);

/* Makes room for a feature: for so many cells of counts, or to collect so many
 * rows; false when there is none. */
extern bool drift_make_slot(const DriftKey *key, DriftContent content, int n);

/* Adds to a slot; false when it is not there, or when it would have to wait and
 * must not (busy). */
extern bool drift_add(const DriftKey *key, const DriftCell *cells, int n, TimestampTz now,
					  bool wait, bool *busy);

/* Adds values that are collected, waiting if need be; false when the slot is not
 * there. */
extern bool drift_add_values(const DriftKey *key, const double *values, int n,
							 const DriftCell *extras);

/* The same with texts. */
extern bool drift_add_texts(const DriftKey *key, const DriftTexts *texts, const DriftCell *extras);

/* What was counted of all features of this database in the newest windows, as
 * many as have that many rows, and in as many before those. */
extern DriftCounts *drift_copy_all(int *count, int64 min_rows);

/* What was counted of a feature in each of the newest windows that have that many
 * rows, without those that drift_copy_all() adds up; returns how many.  previous
 * is left alone. */
extern int	drift_copy_windows(const DriftKey *key, DriftCounts *windows, int max_windows, int64 min_rows);

/* The features of a reference that are counted, in the current context. */
extern DriftKey *drift_keys(int64 reference, int *count);

/* What was collected of a feature, in the current context: -1 when no values are. */
extern int	drift_copy_values(const DriftKey *key, double **values, DriftCell extras[DRIFT_EXTRAS]);

/* False when no texts are. */
extern bool drift_copy_texts(const DriftKey *key, DriftTexts *texts, DriftCell extras[DRIFT_EXTRAS]);

/* Forgets what was counted of a reference, or with id 0 of all in this database. */
extern void drift_clear(int64 reference);

/* Frees slots of this database whose references are not among these, and those
 * of databases that are not among these. */
extern void drift_keep_only(const int64 *references, int nreferences,
							const Oid *databases, int ndatabases);

/* Frees all slots of this database. */
extern void drift_forget_database(void);

typedef struct DriftInfo
{
	int64		slots;
	int64		pages;
	int64		max_pages;
} DriftInfo;

extern void drift_get_info(DriftInfo *info);

/* ---------- drift_profile.c ---------- */

/* A text in another encoding, or NULL when there is no such. */
extern char *drift_convert(const char *string, int length, int from, int to);

/* ---------- drift_saved.c ---------- */

/* What is saved: so many slots, where pages have that size, and what put() or
 * get() is called for.  drift_restore() only reads unless it is to restore. */
extern uint32 drift_saved_slots(void);
extern uint32 drift_saved_bytes(void);
extern bool drift_save(bool (*put) (void *file, const void *bytes, Size n), void *file);
extern bool drift_restore(bool (*get) (void *file, void *bytes, Size n), void *file,
						  uint32 slots, bool restore);

/* ---------- drift_observe.c ---------- */

/* Adds what this backend has counted to shared memory; without wait, unless it did
 * so a moment ago. */
extern void drift_flush(bool wait);

/* Counts rows that wait, if there is no room for more; when an invocation is over,
 * so that its time has nothing of that. */
extern void drift_count_full(void);
extern bool drift_has_pending(void);

/* ---------- drift_reference.c ---------- */

/* Frees references that nobody can have any more. */
extern void drift_at_transaction_end(void);

#endif							/* MODELOPT_MONITOR_DRIFT_H */
