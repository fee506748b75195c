/*
 * drift_sql.c
 *		Drift as rows.
 *
 * As those of stat_sql.c, these functions tell everything.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "monitor/drift.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_read_drift);
PG_FUNCTION_INFO_V1(modelopt_read_drift_windows);
PG_FUNCTION_INFO_V1(modelopt_drift_mean);
PG_FUNCTION_INFO_V1(modelopt_drift_distances);
PG_FUNCTION_INFO_V1(modelopt_clear_drift);
PG_FUNCTION_INFO_V1(modelopt_keep_drift);
PG_FUNCTION_INFO_V1(modelopt_reference_changed);

/* ---------- counts ---------- */

enum
{
	DRIFT_REFERENCE = 0,
	DRIFT_NUMBER,
	DRIFT_WINDOW_START,
	DRIFT_WINDOW_END,
	DRIFT_COUNTS,
	DRIFT_SUMS,
	DRIFT_PREVIOUS_COUNTS,
	DRIFT_PREVIOUS_SUMS,
	DRIFT_COLUMNS
};

/* Windows of a feature that thresholds are found by. */
#define AUTO_WINDOWS 24

static void
put_cells(Datum *counts, Datum *sums, const DriftCell *cells, int n)
{
	Datum		values[DRIFT_MAX_CELLS];

	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(cells[i].count);
	*counts = PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	for (int i = 0; i < n; i++)
		values[i] = Float8GetDatum(cells[i].sum);
	*sums = PointerGetDatum(construct_array(values, n, FLOAT8OID, sizeof(float8),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
put_counts(ReturnSetInfo *result, const DriftCounts *counts)
{
	Datum		values[DRIFT_COLUMNS];
	bool		nulls[DRIFT_COLUMNS] = {false};

	values[DRIFT_REFERENCE] = Int64GetDatum(counts->key.reference);
	values[DRIFT_NUMBER] = Int32GetDatum(counts->key.feature);
	values[DRIFT_WINDOW_START] = TimestampTzGetDatum(counts->window_start);
	values[DRIFT_WINDOW_END] = TimestampTzGetDatum(counts->window_end);
	put_cells(&values[DRIFT_COUNTS], &values[DRIFT_SUMS], counts->cell, counts->cells);
	put_cells(&values[DRIFT_PREVIOUS_COUNTS], &values[DRIFT_PREVIOUS_SUMS], counts->previous, counts->cells);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* read_drift(): of this database, in the newest windows. */
Datum
modelopt_read_drift(PG_FUNCTION_ARGS)
{
	DriftCounts *counts;
	int			n;

	monitor_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	drift_flush(true);
	counts = drift_copy_all(&n, monitor_drift_min_rows);
	for (int i = 0; i < n; i++)
	{
		if (counts[i].cells > 0)
			put_counts((ReturnSetInfo *) fcinfo->resultinfo, &counts[i]);
	}
	return (Datum) 0;
}

/* read_drift_windows(reference): the last windows of each feature that have rows
 * enough, one by one, before those that read_drift() adds up. */
Datum
modelopt_read_drift_windows(PG_FUNCTION_ARGS)
{
	DriftCounts *windows = palloc(AUTO_WINDOWS * sizeof(DriftCounts));
	DriftKey   *keys;
	int			nkeys;

	monitor_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	drift_flush(true);
	keys = drift_keys(PG_GETARG_INT64(0), &nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		int			n = drift_copy_windows(&keys[i], windows, AUTO_WINDOWS, monitor_drift_min_rows);

		for (int j = 0; j < n; j++)
			put_counts((ReturnSetInfo *) fcinfo->resultinfo, &windows[j]);
		CHECK_FOR_INTERRUPTS();
	}
	return (Datum) 0;
}

Datum
modelopt_clear_drift(PG_FUNCTION_ARGS)
{
	monitor_require_preloaded();
	drift_flush(true);
	drift_clear(PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}

/* keep_drift(references, databases): those that there are. */
Datum
modelopt_keep_drift(PG_FUNCTION_ARGS)
{
	Datum	   *values;
	int64	   *references;
	Oid		   *databases;
	int			nreferences;
	int			ndatabases;

	if (!monitor_preloaded)
		PG_RETURN_VOID();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, NULL, &nreferences);
	references = palloc(Max(nreferences, 1) * sizeof(int64));
	for (int i = 0; i < nreferences; i++)
		references[i] = DatumGetInt64(values[i]);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), OIDOID, sizeof(Oid), true, TYPALIGN_INT,
					  &values, NULL, &ndatabases);
	databases = palloc(Max(ndatabases, 1) * sizeof(Oid));
	for (int i = 0; i < ndatabases; i++)
		databases[i] = DatumGetObjectId(values[i]);
	drift_keep_only(references, nreferences, databases, ndatabases);
	PG_RETURN_VOID();
}

/* A trigger on drift_reference: whoever has read it reads it again. */
Datum
modelopt_reference_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called as a trigger");
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}

/* ---------- distances ---------- */

enum
{
	DISTANCE_REFERENCE_ROWS = 0,
	DISTANCE_ROWS,
	DISTANCE_NULLS,
	DISTANCE_OUT_OF_RANGE,
	DISTANCE_PSI,
	DISTANCE_PSI_FLOOR,
	DISTANCE_JS,
	DISTANCE_WASSERSTEIN,
	DISTANCE_KS,
	DISTANCE_LINF,
	DISTANCE_MEAN,
	DISTANCE_MEAN_SHIFT,
	DISTANCE_NULL_RATE_DELTA,
	DISTANCE_OUT_OF_RANGE_RATE,
	DISTANCE_COLUMNS
};

typedef struct Counts
{
	int			cells;
	int			bins;
	int64		counts[DRIFT_MAX_CELLS];
	double		sums[DRIFT_MAX_CELLS];
	int64		values;			/* in bins */
	int64		rows;			/* with what is in none */
} Counts;

static void
get_counts(Counts *into, ArrayType *counts, ArrayType *sums)
{
	Datum	   *values;
	Datum	   *floats;
	int			n;
	int			nsums;

	memset(into, 0, sizeof(Counts));
	if (array_contains_nulls(counts) || array_contains_nulls(sums))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("counts of bins must not be null")));
	deconstruct_array(counts, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, NULL, &n);
	deconstruct_array(sums, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &floats, NULL, &nsums);
	if (n != nsums || n <= DRIFT_EXTRAS || n > DRIFT_MAX_CELLS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d counts and %d sums are not those of a feature", n, nsums)));
	into->cells = n;
	into->bins = n - DRIFT_EXTRAS;
	for (int i = 0; i < n; i++)
	{
		into->counts[i] = DatumGetInt64(values[i]);
		into->sums[i] = DatumGetFloat8(floats[i]);
		if (into->counts[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("counts of bins must not be negative")));
		if (i < into->bins)
			into->values += into->counts[i];
	}
	into->rows = into->values + into->counts[into->bins + DRIFT_NULLS] +
		into->counts[into->bins + DRIFT_NOT_FINITE];
}

static double
rate(int64 part, int64 whole)
{
	return whole > 0 ? (double) part / (double) whole : 0;
}

static double
mean_of(const Counts *counts)
{
	double		sum = 0;

	for (int i = 0; i < counts->bins; i++)
		sum += counts->sums[i];
	return sum / (double) counts->values;
}

Datum
modelopt_drift_mean(PG_FUNCTION_ARGS)
{
	Counts		counts;

	get_counts(&counts, PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1));
	if (counts.values == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(mean_of(&counts));
}

/* What is below or above all of the reference, or no finite number. */
static int64
out_of_range(const Counts *counts)
{
	const int64 *extras = &counts->counts[counts->bins];

	return extras[DRIFT_BELOW] + extras[DRIFT_ABOVE] + extras[DRIFT_NOT_FINITE];
}

static double
out_of_range_rate(const Counts *counts)
{
	return rate(out_of_range(counts), counts->rows - counts->counts[counts->bins + DRIFT_NULLS]);
}

static double
null_rate(const Counts *counts)
{
	return rate(counts->counts[counts->bins + DRIFT_NULLS], counts->rows);
}

/*
 * drift_distances(reference_counts, reference_sums, counts, sums, mean,
 * deviation, features): a row.  mean and deviation are the reference's, and
 * deviation is null of what is no number; features are those among which one is
 * to be told from chance.
 */
Datum
modelopt_drift_distances(PG_FUNCTION_ARGS)
{
	Counts		p;
	Counts		q;
	bool		numeric = !PG_ARGISNULL(5);
	TupleDesc	description;
	Datum		values[DISTANCE_COLUMNS];
	bool		nulls[DISTANCE_COLUMNS] = {false};
	bool		comparable;

	get_counts(&p, PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1));
	get_counts(&q, PG_GETARG_ARRAYTYPE_P(2), PG_GETARG_ARRAYTYPE_P(3));
	if (p.cells != q.cells)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("counts of %d and of %d bins cannot be compared", p.bins, q.bins)));
	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	comparable = p.values > 0 && q.values > 0;
	values[DISTANCE_REFERENCE_ROWS] = Int64GetDatum(p.rows);
	values[DISTANCE_ROWS] = Int64GetDatum(q.rows);
	values[DISTANCE_NULLS] = Int64GetDatum(q.counts[q.bins + DRIFT_NULLS]);
	values[DISTANCE_OUT_OF_RANGE] = Int64GetDatum(out_of_range(&q));
	values[DISTANCE_NULL_RATE_DELTA] =
		Float8GetDatum(fabs(null_rate(&q) - null_rate(&p)));
	values[DISTANCE_OUT_OF_RANGE_RATE] =
		Float8GetDatum(fmax(out_of_range_rate(&q) - out_of_range_rate(&p), 0));
	for (int i = DISTANCE_PSI; i <= DISTANCE_MEAN_SHIFT; i++)
		nulls[i] = !comparable;
	nulls[DISTANCE_KS] |= !numeric;
	nulls[DISTANCE_MEAN] |= !numeric;
	nulls[DISTANCE_LINF] |= numeric;
	if (comparable)
	{
		double		confidence = 1 - 0.01 / Max(PG_GETARG_INT32(6), 1);
		double		deviation = numeric ? PG_GETARG_FLOAT8(5) : 0;

		values[DISTANCE_PSI] = Float8GetDatum(kernel_drift_psi(p.counts, q.counts, p.bins));
		values[DISTANCE_PSI_FLOOR] =
			Float8GetDatum(p.bins < 2 ? 0 : kernel_chi_square_quantile(confidence, p.bins - 1) *
						   (1 / (double) p.values + 1 / (double) q.values));
		values[DISTANCE_JS] = Float8GetDatum(kernel_drift_js(p.counts, q.counts, p.bins));
		values[DISTANCE_KS] = Float8GetDatum(kernel_drift_ks(p.counts, q.counts, p.bins));
		values[DISTANCE_LINF] = Float8GetDatum(kernel_drift_linf(p.counts, q.counts, p.bins));
		/* What was always the same has no standard deviation to measure in. */
		nulls[DISTANCE_WASSERSTEIN] = deviation == 0;
		if (!nulls[DISTANCE_WASSERSTEIN])
			values[DISTANCE_WASSERSTEIN] =
				Float8GetDatum(kernel_drift_wasserstein(p.counts, p.sums, q.counts, q.sums, p.bins) /
							   deviation);
		values[DISTANCE_MEAN] = Float8GetDatum(mean_of(&q));
		nulls[DISTANCE_MEAN_SHIFT] = PG_ARGISNULL(4) || deviation == 0;
		if (!nulls[DISTANCE_MEAN_SHIFT])
			values[DISTANCE_MEAN_SHIFT] =
				Float8GetDatum((mean_of(&q) - PG_GETARG_FLOAT8(4)) / deviation);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}
