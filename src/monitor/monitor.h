/*
 * monitor.h
 *		What models do: counters, times, drift and progress, in shared memory.
 *
 * Owns the statistics of every model version, which are kept in the backend
 * that counts and added to shared memory in batches, and their views.  It knows
 * versions by number; it must not know how a model is run, nor what a
 * prediction is.
 *
 * Who serves models says of each invocation when it begins and how it ends:
 *
 *		MonitorCall call;
 *
 *		monitor_begin(&call);
 *		PG_TRY();
 *		{
 *			monitor_subject(&call, model_id, version);
 *			monitor_enter(&call, MONITOR_LOAD);
 *			...
 *			monitor_enter(&call, MONITOR_INFER);
 *			...
 *			call.counts[MONITOR_ROWS] += rows;
 *			monitor_end(&call);
 *		}
 *		PG_CATCH();
 *		{
 *			monitor_fail(&call);
 *			PG_RE_THROW();
 *		}
 *		PG_END_TRY();
 *
 * Without shared_preload_libraries, and where modelopt.track says none, each of
 * these is a test of a flag.
 */
#ifndef MODELOPT_MONITOR_H
#define MODELOPT_MONITOR_H

#include "postgres.h"

/* ---------- invocations (pending.c) ---------- */

/* What is counted of a model version.  Nanoseconds are of invocations that
 * returned; all others are counted however they end. */
typedef enum MonitorCounter
{
	MONITOR_CALLS,				/* invocations that returned; by monitor_end() */
	MONITOR_ERRORS_INPUT,		/* and that did not; by monitor_fail() */
	MONITOR_ERRORS_MODEL,
	MONITOR_ERRORS_CANCELED,
	MONITOR_ERRORS_RESOURCE,
	MONITOR_TOTAL_NS,			/* by monitor_end() */
	MONITOR_LOAD_NS,			/* by monitor_enter() */
	MONITOR_PREPARE_NS,
	MONITOR_INFER_NS,
	MONITOR_ROWS,				/* predictions; the rest is the caller's to add */
	MONITOR_BATCHES,			/* runs of the runtime */
	MONITOR_CACHE_LOOKUPS,
	MONITOR_CACHE_HITS,
	MONITOR_CACHE_EVICTIONS,	/* of other models, for this one */
	MONITOR_MODEL_BYTES,		/* of models, read to make a session */
	MONITOR_INPUT_BYTES,		/* of tensors */
	MONITOR_OUTPUT_BYTES,
	MONITOR_NULL_INPUTS,		/* rows with a null in a feature */
	MONITOR_REJECTED_ROWS,		/* rows that do not fit the model */
	MONITOR_COUNTERS
} MonitorCounter;

/* What an invocation is at. */
typedef enum MonitorPhase
{
	MONITOR_NO_PHASE,
	MONITOR_LOAD,				/* from the name to a session that can run */
	MONITOR_PREPARE,			/* from arguments to tensors */
	MONITOR_INFER,				/* the runtime, and back to values */
	MONITOR_PHASES
} MonitorPhase;

typedef enum MonitorRuntime
{
	MONITOR_NO_RUNTIME,
	MONITOR_RUNNER,				/* a process of its own */
	MONITOR_INPROCESS,
	MONITOR_RUNTIMES
} MonitorRuntime;

/* One invocation, in the memory of who serves it.  Everything but counts and
 * runtime belongs to the monitor. */
typedef struct MonitorCall
{
	bool		tracked;
	bool		outermost;
	struct MonitorCall *outer;	/* the tracked one around this one */
	int			depth;			/* of invocations around this one */
	MonitorRuntime runtime;
	MonitorPhase phase;
	int64		model_id;		/* 0: of no model of the repository */
	int32		version;
	int64		began;			/* nanoseconds of the monotonic clock */
	int64		entered;		/* the phase */
	int64		counts[MONITOR_COUNTERS];
} MonitorCall;

/* Values of modelopt.track. */
typedef enum MonitorTrack
{
	MONITOR_TRACK_NONE,
	MONITOR_TRACK_TOP,			/* not what is invoked by another invocation */
	MONITOR_TRACK_ALL
} MonitorTrack;

extern PGDLLEXPORT int	monitor_track;
extern PGDLLEXPORT bool monitor_preloaded;	/* shared memory is there */
extern PGDLLEXPORT int	monitor_depth;		/* of tracked invocations */

/* Whether invocations are counted at all. */
static inline bool
monitor_enabled(void)
{
	return monitor_preloaded && monitor_track != MONITOR_TRACK_NONE;
}

extern PGDLLEXPORT void monitor_do_begin(MonitorCall *call);
extern PGDLLEXPORT void monitor_do_subject(MonitorCall *call, int64 model_id, int32 version);
extern PGDLLEXPORT void monitor_do_enter(MonitorCall *call, MonitorPhase phase);
extern PGDLLEXPORT void monitor_do_end(MonitorCall *call);
extern PGDLLEXPORT void monitor_do_fail(MonitorCall *call);

static inline void
monitor_begin(MonitorCall *call)
{
	call->tracked = monitor_preloaded &&
		monitor_track > (monitor_depth > 0 ? MONITOR_TRACK_TOP : MONITOR_TRACK_NONE);
	if (call->tracked)
		monitor_do_begin(call);
}

/* Says which version it is, as soon as that is known. */
static inline void
monitor_subject(MonitorCall *call, int64 model_id, int32 version)
{
	if (call->tracked)
		monitor_do_subject(call, model_id, version);
}

/* Ends the phase that the invocation is in, and begins another; the first began
 * with the invocation. */
static inline void
monitor_enter(MonitorCall *call, MonitorPhase phase)
{
	if (call->tracked)
		monitor_do_enter(call, phase);
}

/* Adds to one of the caller's counters. */
static inline void
monitor_count(MonitorCall *call, MonitorCounter counter, int64 n)
{
	if (call->tracked)
		call->counts[counter] += n;
}

/* The invocation returned; nothing of it is told before. */
static inline void
monitor_end(MonitorCall *call)
{
	if (call->tracked)
		monitor_do_end(call);
}

/* The invocation raised; in a PG_CATCH block, where geterrcode() says why. */
static inline void
monitor_fail(MonitorCall *call)
{
	if (call->tracked)
		monitor_do_fail(call);
}

/* ---------- drift (drift_reference.c, drift_observe.c) ---------- */

/* Features of a version, at most: modelopt.drift_max_features goes up to it. */
#define MONITOR_MAX_FEATURES 10000

/* What a version is compared with, until the transaction ends. */
typedef struct MonitorDrift MonitorDrift;

extern PGDLLEXPORT bool monitor_drift_enabled;

extern PGDLLEXPORT MonitorDrift *monitor_do_find_drift(int64 model_id, int32 version);

/*
 * The reference of a version; NULL when it has none, or when this invocation is
 * not looked at (modelopt.drift_sample_rate).  May read a table; to be called
 * once for each invocation, before it is known whether it succeeds, and its
 * values observed when it has.
 */
static inline MonitorDrift *
monitor_find_drift(int64 model_id, int32 version)
{
	if (!monitor_preloaded || !monitor_drift_enabled || model_id == 0)
		return NULL;
	return monitor_do_find_drift(model_id, version);
}

/*
 * Rows of values, one after the other, of features first, first + 1, ...,
 * counted from 1: all inputs of a model are numbered in one row, and so are all
 * outputs.  nulls is NULL where there are none.
 */
extern PGDLLEXPORT void monitor_observe_floats(MonitorDrift *drift, bool outputs, int first,
											   const float *values, const bool *nulls,
											   int64 rows, int columns);
extern PGDLLEXPORT void monitor_observe_doubles(MonitorDrift *drift, bool outputs, int first,
												const double *values, const bool *nulls,
												int64 rows, int columns);

/* A row of inputs that is null as a whole. */
extern PGDLLEXPORT void monitor_observe_missing(MonitorDrift *drift);

/* One text of a feature; NULL is a null. */
extern PGDLLEXPORT void monitor_observe_text(MonitorDrift *drift, bool outputs, int number,
											 const char *value, int length);

/* ---------- for modelopt.c (shared.c) ---------- */

/* Defines the settings and, when the server preloads the library, takes shared
 * memory. */
extern PGDLLEXPORT void monitor_init(void);

#endif							/* MODELOPT_MONITOR_H */
