/*
 * invocation.h
 *		What is told about an invocation while it is served.
 *
 * Whoever serves says what it does here, and need not know whether somebody
 * counts it.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_INVOCATION_H
#define MODELOPT_SERVE_INVOCATION_H

#include "compat.h"

#include "monitor/monitor.h"
#include "serve/elements.h"
#include "serve/serve.h"

typedef struct Invocation
{
	MonitorCall call;
	MonitorDrift *drift;		/* or NULL: nobody compares what goes in and out */
} Invocation;

/* The one at work, the inner one when a query of one makes another; NULL when
 * nobody counts. */
extern Invocation *invocation;

/* Does the work of a function as an invocation. */
extern Datum invocation_run(FunctionCallInfo fcinfo,
							Datum (*work) (FunctionCallInfo fcinfo));

/* Which version it is of. */
extern void invocation_of(const Target *target);

static inline void
invocation_enter(MonitorPhase phase)
{
	if (invocation != NULL)
		monitor_enter(&invocation->call, phase);
}

static inline void
invocation_count(MonitorCounter counter, int64 n)
{
	if (invocation != NULL)
		monitor_count(&invocation->call, counter, n);
}

static inline bool
invocation_is_compared(void)
{
	return invocation != NULL && invocation->drift != NULL;
}

/* Rows of a tensor that went in or came out: columns elements of each, which
 * are features from that number on, counted from 1. */
extern void invocation_observe(bool outputs, int first, const ServedTensor *tensor,
							   int64 rows, int64 columns);

/* Of a row with nulls, which does not go into the model: values from one on, which
 * are features from the first on; with no values at all they are null. */
extern void invocation_observe_nulls(int64 first, const ArraySource *source,
									 int64 start, int64 width);

/* A row that is null as a whole. */
extern void invocation_observe_missing(void);

#endif							/* MODELOPT_SERVE_INVOCATION_H */
