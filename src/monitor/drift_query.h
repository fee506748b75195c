/*
 * drift_query.h
 *		Values of the columns of a query, which a reference is made of: private to
 *		drift_profile.c.
 */
#ifndef MODELOPT_MONITOR_DRIFT_QUERY_H
#define MODELOPT_MONITOR_DRIFT_QUERY_H

#include "postgres.h"

#include "fmgr.h"
#include "monitor/drift.h"

/* One feature while its values are collected. */
typedef struct DriftValues
{
	char	   *name;
	bool		categorical;
	int64		n;
	int64		room;
	double	   *numbers;
	char	  **texts;
	DriftCell	extras[DRIFT_EXTRAS];
	int64		long_texts;
} DriftValues;

/* A column of the query: one feature, or an array of as many as its first value
 * has. */
typedef struct DriftColumn
{
	char	   *name;
	Oid			type;
	Oid			element;		/* of an array of numbers, or InvalidOid */
	FmgrInfo	output;			/* of what is no number */
	int			nfeatures;		/* -1: not known yet */
	DriftValues  *features;
	int64		null_rows;		/* before it was */
} DriftColumn;

/* Runs a query as the current user, for so many rows at most. */
extern DriftColumn *drift_run_query(const char *query, int64 max_rows, int *ncolumns);

#endif							/* MODELOPT_MONITOR_DRIFT_QUERY_H */
