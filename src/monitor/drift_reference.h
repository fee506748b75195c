/*
 * drift_reference.h
 *		References in this backend: private to drift_reference.c, which reads them,
 *		and drift_observe.c, which counts.
 */
#ifndef MODELOPT_MONITOR_DRIFT_REFERENCE_H
#define MODELOPT_MONITOR_DRIFT_REFERENCE_H

#include "postgres.h"

#include "monitor/drift.h"

typedef struct Category
{
	char	   *name;
	int			length;
	double		number;			/* or NaN */
} Category;

typedef struct Feature
{
	int32		number;			/* as in DriftKey */
	bool		categorical;
	bool		collecting;		/* texts when it is categorical, else values */
	bool		has_room;		/* in shared memory */
	int			bins;
	int			nedges;
	double	   *edges;
	int			ncategories;
	Category   *categories;
	double		minimum;
	double		maximum;
	DriftCell	cells[DRIFT_MAX_CELLS]; /* not added yet; when collecting, only
										 * extras, from 0 on */
	int			nvalues;		/* collected and not added yet */
	double	   *values;
	DriftTexts *texts;			/* the same */
} Feature;

/* Rows of features 1, 2, ... that wait to be counted together. */
typedef struct WaitingRows
{
	float	   *values;			/* room for some, or NULL */
	int			columns;
	int			rows;
} WaitingRows;

/* Hashed as bytes: unused is always 0. */
typedef struct DriftVersion
{
	int64		model_id;
	int32		version;
	int32		unused;
} DriftVersion;

struct MonitorDrift
{
	DriftVersion served;		/* where the hash table looks */
	bool		loaded;
	int64		reference;		/* 0: there is none */
	int			wanted;			/* rows to collect, or 0 */
	bool		is_pending;		/* has counts that are not shown yet */
	MonitorDrift *next_pending; /* of those */
	int			ninputs;
	int			noutputs;
	Feature    *inputs;
	Feature    *outputs;
	WaitingRows waiting_inputs;
	WaitingRows waiting_outputs;
};

/* Where references are kept, until somebody changes one. */
extern MemoryContext drift_context;

/* Somebody did, and they are to be read again. */
extern bool drift_stale;

extern DriftKey drift_feature_key(const MonitorDrift *drift, const Feature *feature);

/* Takes room in shared memory for features, which has_room tells of. */
extern void drift_take_room(MonitorDrift *drift, Feature *features, int n);

#endif							/* MODELOPT_MONITOR_DRIFT_REFERENCE_H */
