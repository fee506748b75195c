/*
 * driver.c
 *		Invocations of models that are none, for tests of the monitor.
 *
 * A library beside modelopt's, which calls its monitor as serving does, with
 * numbers that a test chooses.
 */
#include "postgres.h"

#include "compat.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "monitor/monitor.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(driver_call);
PG_FUNCTION_INFO_V1(driver_calls);
PG_FUNCTION_INFO_V1(driver_cost);
PG_FUNCTION_INFO_V1(driver_clock);
PG_FUNCTION_INFO_V1(driver_cpu);
PG_FUNCTION_INFO_V1(driver_observe);
PG_FUNCTION_INFO_V1(driver_observe_floats);
PG_FUNCTION_INFO_V1(driver_observe_text);

static void
fill(MonitorCall *call, int64 rows, int64 ns)
{
	call->runtime = MONITOR_RUNNER;
	call->began -= ns;
	monitor_count(call, MONITOR_ROWS, rows);
	monitor_count(call, MONITOR_BATCHES, 1);
	monitor_count(call, MONITOR_CACHE_LOOKUPS, 1);
	monitor_count(call, MONITOR_CACHE_HITS, 1);
	monitor_count(call, MONITOR_INPUT_BYTES, 8 * rows);
	monitor_count(call, MONITOR_OUTPUT_BYTES, 4 * rows);
}

/*
 * call(model_id, version, rows, ns, sqlstate, seconds): an invocation that took
 * so many nanoseconds, and then raises unless sqlstate is null; with seconds it
 * sleeps, and can be canceled.  Returns the rows.
 */
Datum
driver_call(PG_FUNCTION_ARGS)
{
	MonitorCall call;
	int64		rows = PG_GETARG_INT64(2);

	monitor_begin(&call);
	PG_TRY();
	{
		monitor_subject(&call, PG_GETARG_INT64(0), PG_GETARG_INT32(1));
		monitor_enter(&call, MONITOR_PREPARE);
		monitor_enter(&call, MONITOR_INFER);
		if (call.tracked)
			fill(&call, rows, PG_GETARG_INT64(3));
		if (!PG_ARGISNULL(5))
			DirectFunctionCall1(pg_sleep, PG_GETARG_DATUM(5));
		if (!PG_ARGISNULL(4))
		{
			char	   *state = text_to_cstring(PG_GETARG_TEXT_PP(4));

			ereport(ERROR,
					(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
					 errmsg("raised as asked")));
		}
		monitor_end(&call);
	}
	PG_CATCH();
	{
		monitor_fail(&call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	PG_RETURN_INT64(rows);
}

/* calls(n, models): n invocations of one row, of as many models in turn, numbered
 * from 1000 on. */
Datum
driver_calls(PG_FUNCTION_ARGS)
{
	int64		n = PG_GETARG_INT64(0);
	int64		models = PG_GETARG_INT64(1);

	for (int64 i = 0; i < n; i++)
	{
		MonitorCall call;

		monitor_begin(&call);
		monitor_subject(&call, 1000 + i % models, 1);
		if (call.tracked)
			fill(&call, 1, 1000);
		monitor_end(&call);
	}
	PG_RETURN_INT64(n);
}

/* cost(n): nanoseconds that each of n invocations costs. */
Datum
driver_cost(PG_FUNCTION_ARGS)
{
	int64		n = PG_GETARG_INT64(0);
	struct timespec before;
	struct timespec after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int64 i = 0; i < n; i++)
	{
		MonitorCall call;

		monitor_begin(&call);
		monitor_subject(&call, 1, 1);
		monitor_count(&call, MONITOR_ROWS, 1);
		monitor_end(&call);
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	PG_RETURN_FLOAT8(((double) (after.tv_sec - before.tv_sec) * 1e9 +
					  (double) (after.tv_nsec - before.tv_nsec)) / (double) n);
}

/* clock(n): nanoseconds that each of n looks at the clock takes. */
Datum
driver_clock(PG_FUNCTION_ARGS)
{
	int64		n = PG_GETARG_INT64(0);
	struct timespec before;
	struct timespec after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int64 i = 0; i < n; i++)
		clock_gettime(CLOCK_MONOTONIC, &after);
	PG_RETURN_FLOAT8(((double) (after.tv_sec - before.tv_sec) * 1e9 +
					  (double) (after.tv_nsec - before.tv_nsec)) / (double) n);
}

/* cpu(): nanoseconds that this backend has run for. */
Datum
driver_cpu(PG_FUNCTION_ARGS)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	PG_RETURN_INT64((int64) now.tv_sec * INT64CONST(1000000000) + now.tv_nsec);
}

/*
 * observe(model_id, version, outputs, columns, values, nulls, first): rows of so
 * many columns, as one array, which are features from that number on; returns
 * whether there was a reference to compare with.
 */
Datum
driver_observe(PG_FUNCTION_ARGS)
{
	MonitorDrift *drift = monitor_find_drift(PG_GETARG_INT64(0), PG_GETARG_INT32(1));
	int			columns = PG_GETARG_INT32(3);
	ArrayType  *values = PG_GETARG_ARRAYTYPE_P(4);
	int64		n = ArrayGetNItems(ARR_NDIM(values), ARR_DIMS(values));
	const bool *nulls = PG_ARGISNULL(5) ? NULL : (bool *) ARR_DATA_PTR(PG_GETARG_ARRAYTYPE_P(5));

	int			first = PG_NARGS() > 6 ? PG_GETARG_INT32(6) : 1;

	if (drift != NULL)
		monitor_observe_doubles(drift, PG_GETARG_BOOL(2), first, (double *) ARR_DATA_PTR(values), nulls,
								n / columns, columns);
	PG_RETURN_BOOL(drift != NULL);
}

/* observe_floats(model_id, version, columns, values): the same of inputs that are
 * floats, in an invocation, with which they may wait to be counted. */
Datum
driver_observe_floats(PG_FUNCTION_ARGS)
{
	MonitorDrift *drift = monitor_find_drift(PG_GETARG_INT64(0), PG_GETARG_INT32(1));
	int			columns = PG_GETARG_INT32(2);
	ArrayType  *values = PG_GETARG_ARRAYTYPE_P(3);
	int64		n = ArrayGetNItems(ARR_NDIM(values), ARR_DIMS(values));
	MonitorCall call;

	monitor_begin(&call);
	monitor_subject(&call, PG_GETARG_INT64(0), PG_GETARG_INT32(1));
	if (drift != NULL)
		monitor_observe_floats(drift, false, 1, (float *) ARR_DATA_PTR(values), NULL, n / columns, columns);
	monitor_end(&call);
	PG_RETURN_BOOL(drift != NULL);
}

/* observe_text(model_id, version, number, value) */
Datum
driver_observe_text(PG_FUNCTION_ARGS)
{
	MonitorDrift *drift = monitor_find_drift(PG_GETARG_INT64(0), PG_GETARG_INT32(1));
	char	   *value = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));

	if (drift != NULL)
		monitor_observe_text(drift, false, PG_GETARG_INT32(2), value, value == NULL ? 0 : strlen(value));
	PG_RETURN_BOOL(drift != NULL);
}
