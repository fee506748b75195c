/*
 * stat_sql.c
 *		Statistics as rows.
 *
 * These functions tell everything, and are called by those of the schema
 * modelopt_private that know who may see what.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "monitor/drift.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_read_stat_entries);
PG_FUNCTION_INFO_V1(modelopt_stat_info);
PG_FUNCTION_INFO_V1(modelopt_require_preloaded);
PG_FUNCTION_INFO_V1(modelopt_read_activity);
PG_FUNCTION_INFO_V1(modelopt_reset_entries);
PG_FUNCTION_INFO_V1(modelopt_forget_database);

#define NS_IN_MS 1e6
#define MS_PER_SECOND 1e3

Datum
modelopt_require_preloaded(PG_FUNCTION_ARGS)
{
	monitor_require_preloaded();
	PG_RETURN_VOID();
}

/* ---------- entries ---------- */

/* Columns of read_stat_entries. */
enum
{
	ENTRY_DATABASE = 0,
	ENTRY_USER,
	ENTRY_MODEL_ID,
	ENTRY_VERSION,
	ENTRY_RUNTIME,
	ENTRY_CALLS,
	ENTRY_ROWS,
	ENTRY_BATCHES,
	ENTRY_ERRORS,
	ENTRY_ERRORS_INPUT,
	ENTRY_ERRORS_MODEL,
	ENTRY_ERRORS_CANCELED,
	ENTRY_ERRORS_RESOURCE,
	ENTRY_TOTAL_TIME,
	ENTRY_MIN_TIME,
	ENTRY_MAX_TIME,
	ENTRY_MEAN_TIME,
	ENTRY_STDDEV_TIME,
	ENTRY_PERCENTILES,			/* four of them */
	ENTRY_LOAD_TIME = ENTRY_PERCENTILES + 4,
	ENTRY_PREPARE_TIME,
	ENTRY_INFER_TIME,
	ENTRY_CACHE_LOOKUPS,
	ENTRY_CACHE_HITS,
	ENTRY_CACHE_EVICTIONS,
	ENTRY_MODEL_BYTES,
	ENTRY_INPUT_BYTES,
	ENTRY_OUTPUT_BYTES,
	ENTRY_NULL_INPUTS,
	ENTRY_REJECTED_ROWS,
	ENTRY_FIRST_CALL,
	ENTRY_LAST_CALL,
	ENTRY_SINCE,
	ENTRY_MINMAX_SINCE,
	ENTRY_HISTOGRAM,
	ENTRY_COLUMNS
};

static const struct
{
	int			column;
	MonitorCounter counter;
}			count_columns[] = {
	{ENTRY_CALLS, MONITOR_CALLS},
	{ENTRY_ROWS, MONITOR_ROWS},
	{ENTRY_BATCHES, MONITOR_BATCHES},
	{ENTRY_ERRORS_INPUT, MONITOR_ERRORS_INPUT},
	{ENTRY_ERRORS_MODEL, MONITOR_ERRORS_MODEL},
	{ENTRY_ERRORS_CANCELED, MONITOR_ERRORS_CANCELED},
	{ENTRY_ERRORS_RESOURCE, MONITOR_ERRORS_RESOURCE},
	{ENTRY_CACHE_LOOKUPS, MONITOR_CACHE_LOOKUPS},
	{ENTRY_CACHE_HITS, MONITOR_CACHE_HITS},
	{ENTRY_CACHE_EVICTIONS, MONITOR_CACHE_EVICTIONS},
	{ENTRY_MODEL_BYTES, MONITOR_MODEL_BYTES},
	{ENTRY_INPUT_BYTES, MONITOR_INPUT_BYTES},
	{ENTRY_OUTPUT_BYTES, MONITOR_OUTPUT_BYTES},
	{ENTRY_NULL_INPUTS, MONITOR_NULL_INPUTS},
	{ENTRY_REJECTED_ROWS, MONITOR_REJECTED_ROWS},
},
			time_columns[] = {
	{ENTRY_TOTAL_TIME, MONITOR_TOTAL_NS},
	{ENTRY_LOAD_TIME, MONITOR_LOAD_NS},
	{ENTRY_PREPARE_TIME, MONITOR_PREPARE_NS},
	{ENTRY_INFER_TIME, MONITOR_INFER_NS},
};

static const double percentiles[] = {0.50, 0.90, 0.95, 0.99};

static const char *const runtime_names[MONITOR_RUNTIMES] = {
	[MONITOR_RUNNER] = "runner",
	[MONITOR_INPROCESS] = "inprocess",
};

static int64
count_errors(const StatNumbers *numbers)
{
	int64		errors = 0;

	for (int i = MONITOR_ERRORS_INPUT; i <= MONITOR_ERRORS_RESOURCE; i++)
		errors += numbers->counts[i];
	return errors;
}

static void
put_times(const StatData *data, Datum *values, bool *nulls)
{
	const StatNumbers *numbers = &data->numbers;
	bool		has_minmax = numbers->max >= 0;

	nulls[ENTRY_MIN_TIME] = !has_minmax;
	nulls[ENTRY_MAX_TIME] = !has_minmax;
	values[ENTRY_MIN_TIME] = Float8GetDatum((double) numbers->min / NS_IN_MS);
	values[ENTRY_MAX_TIME] = Float8GetDatum((double) numbers->max / NS_IN_MS);
	nulls[ENTRY_MEAN_TIME] = numbers->timed == 0;
	nulls[ENTRY_STDDEV_TIME] = numbers->timed == 0;
	values[ENTRY_MEAN_TIME] = Float8GetDatum(numbers->mean / NS_IN_MS);
	values[ENTRY_STDDEV_TIME] = Float8GetDatum(
											   sqrt(numbers->squares / (double) Max(numbers->timed, 1)) / NS_IN_MS);
	for (int i = 0; i < lengthof(percentiles); i++)
	{
		double		ms = kernel_latency_percentile(numbers->buckets, percentiles[i]) * MS_PER_SECOND;

		/* A bucket is wider than the times in it may be. */
		if (has_minmax && data->minmax_since == data->since)
			ms = Max(Min(ms, (double) numbers->max / NS_IN_MS), (double) numbers->min / NS_IN_MS);
		nulls[ENTRY_PERCENTILES + i] = numbers->timed == 0;
		values[ENTRY_PERCENTILES + i] = Float8GetDatum(ms);
	}
}

/* The histogram has room for what is in an entry. */
static void
put_entry(ReturnSetInfo *result, const StatData *data, ArrayType *histogram)
{
	const StatNumbers *numbers = &data->numbers;
	Datum		values[ENTRY_COLUMNS];
	bool		nulls[ENTRY_COLUMNS] = {false};

	values[ENTRY_DATABASE] = ObjectIdGetDatum(data->key.database);
	values[ENTRY_USER] = ObjectIdGetDatum(data->key.user);
	nulls[ENTRY_USER] = !OidIsValid(data->key.user);
	values[ENTRY_MODEL_ID] = Int64GetDatum(data->key.model_id);
	values[ENTRY_VERSION] = Int32GetDatum(data->key.version);
	nulls[ENTRY_RUNTIME] = data->runtime == MONITOR_NO_RUNTIME;
	if (!nulls[ENTRY_RUNTIME])
		values[ENTRY_RUNTIME] = CStringGetTextDatum(runtime_names[data->runtime]);
	for (int i = 0; i < lengthof(count_columns); i++)
		values[count_columns[i].column] = Int64GetDatum(numbers->counts[count_columns[i].counter]);
	values[ENTRY_ERRORS] = Int64GetDatum(count_errors(numbers));
	for (int i = 0; i < lengthof(time_columns); i++)
		values[time_columns[i].column] =
			Float8GetDatum((double) numbers->counts[time_columns[i].counter] / NS_IN_MS);
	put_times(data, values, nulls);
	values[ENTRY_FIRST_CALL] = TimestampTzGetDatum(data->first_call);
	values[ENTRY_LAST_CALL] = TimestampTzGetDatum(data->last_call);
	values[ENTRY_SINCE] = TimestampTzGetDatum(data->since);
	values[ENTRY_MINMAX_SINCE] = TimestampTzGetDatum(data->minmax_since);
	memcpy(ARR_DATA_PTR(histogram), numbers->buckets, sizeof(numbers->buckets));
	values[ENTRY_HISTOGRAM] = PointerGetDatum(histogram);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* read_stat_entries(by_user) */
Datum
modelopt_read_stat_entries(PG_FUNCTION_ARGS)
{
	Datum		zeros[KERNEL_LATENCY_BUCKETS] = {0};
	ArrayType  *histogram = construct_array(zeros, KERNEL_LATENCY_BUCKETS, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	StatData  **entries;
	int			count;

	monitor_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	pending_flush(true);
	entries = stat_copy_all(PG_GETARG_BOOL(0), &count);
	for (int i = 0; i < count; i++)
		put_entry((ReturnSetInfo *) fcinfo->resultinfo, entries[i], histogram);
	return (Datum) 0;
}

/* reset_entries(database, user, model_id, version, minmax_only); null is any */
Datum
modelopt_reset_entries(PG_FUNCTION_ARGS)
{
	StatScope	scope = {
		.database = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0),
		.user = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
		.any_model = PG_ARGISNULL(2),
		.model_id = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2),
		.version = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3),
	};

	monitor_require_preloaded();
	pending_flush(true);
	PG_RETURN_TIMESTAMPTZ(stat_reset(&scope, PG_GETARG_BOOL(4)));
}

Datum
modelopt_forget_database(PG_FUNCTION_ARGS)
{
	StatScope	scope = {.database = MyDatabaseId, .any_model = true};

	if (!monitor_preloaded)
		PG_RETURN_VOID();
	(void) stat_reset(&scope, false);
	drift_forget_database();
	PG_RETURN_VOID();
}

/* ---------- the whole ---------- */

enum
{
	INFO_PRELOADED = 0,
	INFO_ENTRIES,
	INFO_MAX_ENTRIES,
	INFO_DEALLOC,
	INFO_DROPPED,
	INFO_EVICTED_CALLS,
	INFO_EVICTED_ROWS,
	INFO_EVICTED_ERRORS,
	INFO_STATS_RESET,
	INFO_LOADED,
	INFO_BYTES,
	INFO_DRIFT_FEATURES,
	INFO_DRIFT_PAGES,
	INFO_DRIFT_MAX_PAGES,
	INFO_DRIFT_DROPPED,
	INFO_COLUMNS
};

Datum
modelopt_stat_info(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[INFO_COLUMNS];
	bool		nulls[INFO_COLUMNS];
	StatTotals	totals;
	DriftInfo	drift;

	InitMaterializedSRF(fcinfo, 0);
	memset(nulls, !monitor_preloaded, sizeof(nulls));
	nulls[INFO_PRELOADED] = false;
	values[INFO_PRELOADED] = BoolGetDatum(monitor_preloaded);
	if (monitor_preloaded)
	{
		pending_flush(true);
		LWLockAcquire(monitor_shared->stats_lock, LW_SHARED);
		totals = monitor_shared->totals;
		LWLockRelease(monitor_shared->stats_lock);
		values[INFO_ENTRIES] = Int64GetDatum(hash_get_num_entries(monitor_entries));
		values[INFO_MAX_ENTRIES] = Int64GetDatum(monitor_stat_max);
		values[INFO_DEALLOC] = Int64GetDatum(totals.dealloc);
		values[INFO_DROPPED] = Int64GetDatum(totals.dropped);
		values[INFO_EVICTED_CALLS] = Int64GetDatum(totals.evicted.counts[MONITOR_CALLS]);
		values[INFO_EVICTED_ROWS] = Int64GetDatum(totals.evicted.counts[MONITOR_ROWS]);
		values[INFO_EVICTED_ERRORS] = Int64GetDatum(count_errors(&totals.evicted));
		values[INFO_STATS_RESET] = TimestampTzGetDatum(totals.stats_reset);
		values[INFO_LOADED] = BoolGetDatum(monitor_shared->loaded);
		values[INFO_BYTES] = Int64GetDatum(monitor_shared->bytes);
		drift_get_info(&drift);
		values[INFO_DRIFT_FEATURES] = Int64GetDatum(drift.slots);
		values[INFO_DRIFT_PAGES] = Int64GetDatum(drift.pages);
		values[INFO_DRIFT_MAX_PAGES] = Int64GetDatum(drift.max_pages);
		values[INFO_DRIFT_DROPPED] = Int64GetDatum(totals.drift_dropped);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

/* ---------- what runs ---------- */

enum
{
	ACTIVITY_PID = 0,
	ACTIVITY_DATABASE,
	ACTIVITY_USER,
	ACTIVITY_MODEL_ID,
	ACTIVITY_VERSION,
	ACTIVITY_PHASE,
	ACTIVITY_ROWS,
	ACTIVITY_STARTED,
	ACTIVITY_COLUMNS
};

static const char *const phase_names[MONITOR_PHASES] = {
	[MONITOR_NO_PHASE] = "start",
	[MONITOR_LOAD] = "load",
	[MONITOR_PREPARE] = "prepare",
	[MONITOR_INFER] = "infer",
};

Datum
modelopt_read_activity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ActivitySlot slot;

	monitor_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < monitor_shared->slots; i++)
	{
		Datum		values[ACTIVITY_COLUMNS];
		bool		nulls[ACTIVITY_COLUMNS] = {false};

		if (!activity_read(i, &slot))
			continue;
		values[ACTIVITY_PID] = Int32GetDatum(slot.head.pid);
		values[ACTIVITY_DATABASE] = ObjectIdGetDatum(slot.head.database);
		values[ACTIVITY_USER] = ObjectIdGetDatum(slot.head.user);
		values[ACTIVITY_MODEL_ID] = Int64GetDatum(slot.model_id);
		values[ACTIVITY_VERSION] = Int32GetDatum(slot.version);
		values[ACTIVITY_PHASE] = CStringGetTextDatum(phase_names[slot.phase]);
		values[ACTIVITY_ROWS] = Int64GetDatum(slot.rows);
		values[ACTIVITY_STARTED] = TimestampTzGetDatum(monitor_clock_time(slot.began));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
