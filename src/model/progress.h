/*
 * progress.h
 *		How far long work is, for whoever wants to show it.
 *
 * The ground floor says what is told, and modelopt.c's monitor who listens; until
 * then each of these is a test of a pointer.  Of work within work, only the
 * outer one is told.  An error ends it: the listener knows when.
 */
#ifndef MODELOPT_MODEL_PROGRESS_H
#define MODELOPT_MODEL_PROGRESS_H

#include "postgres.h"

typedef struct ProgressListener
{
	int			(*begin) (const char *operation, const char *unit, int64 total);
	void		(*phase) (const char *phase);
	void		(*add) (int64 n);
	void		(*end) (int began);
} ProgressListener;

extern PGDLLEXPORT ProgressListener progress_listener;

/* Work of so many units ("bytes", "elements", "rows", ...) begins; 0 when nobody
 * knows how many.  What it returns is for progress_end(). */
static inline int
progress_begin(const char *operation, const char *unit, int64 total)
{
	return progress_listener.begin != NULL ? progress_listener.begin(operation, unit, total) : 0;
}

/* What the work is at. */
static inline void
progress_phase(const char *phase)
{
	if (progress_listener.phase != NULL)
		progress_listener.phase(phase);
}

/* So many units more are done. */
static inline void
progress_add(int64 n)
{
	if (progress_listener.add != NULL)
		progress_listener.add(n);
}

static inline void
progress_end(int began)
{
	if (progress_listener.end != NULL)
		progress_listener.end(began);
}

#endif							/* MODELOPT_MODEL_PROGRESS_H */
