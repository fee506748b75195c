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
	DRIFT_COLUMNS
};

static void
put_counts(ReturnSetInfo *result, const DriftCounts *counts)
{
	Datum		values[DRIFT_COLUMNS];
	bool		nulls[DRIFT_COLUMNS] = {false};
	Datum		cells[DRIFT_MAX_CELLS];

	values[DRIFT_REFERENCE] = Int64GetDatum(counts->key.reference);
	values[DRIFT_NUMBER] = Int32GetDatum(counts->key.feature);
	values[DRIFT_WINDOW_START] = TimestampTzGetDatum(counts->window_start);
	values[DRIFT_WINDOW_END] = TimestampTzGetDatum(counts->window_end);
	for (int i = 0; i < counts->cells; i++)
		cells[i] = Int64GetDatum(counts->cell[i].count);
	values[DRIFT_COUNTS] = PointerGetDatum(construct_array(cells, counts->cells, INT8OID, sizeof(int64),
														   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	for (int i = 0; i < counts->cells; i++)
		cells[i] = Float8GetDatum(counts->cell[i].sum);
	values[DRIFT_SUMS] = PointerGetDatum(construct_array(cells, counts->cells, FLOAT8OID, sizeof(float8),
														 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
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

Datum
modelopt_clear_drift(PG_FUNCTION_ARGS)
{
	monitor_require_preloaded();
	drift_flush(true);
	drift_clear(PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}

/* keep_drift(references): those that there are. */
Datum
modelopt_keep_drift(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *values;
	int64	   *references;
	int			n;

	if (!monitor_preloaded)
		PG_RETURN_VOID();
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, NULL, &n);
	references = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		references[i] = DatumGetInt64(values[i]);
	drift_keep_only(references, n);
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

/*
 * drift_distances(reference_counts, reference_sums, counts, sums, deviation,
 * features): a row.  deviation is null of what is no number; features are those
 * among which one is to be told from chance.
 */
Datum
modelopt_drift_distances(PG_FUNCTION_ARGS)
{
	Counts		p;
	Counts		q;
	bool		numeric = !PG_ARGISNULL(4);
	TupleDesc	description;
	Datum		values[DISTANCE_COLUMNS];
	bool		nulls[DISTANCE_COLUMNS] = {false};
	int64		out_of_range;
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
	out_of_range = q.counts[q.bins + DRIFT_BELOW] + q.counts[q.bins + DRIFT_ABOVE] +
		q.counts[q.bins + DRIFT_NOT_FINITE];
	values[DISTANCE_REFERENCE_ROWS] = Int64GetDatum(p.rows);
	values[DISTANCE_ROWS] = Int64GetDatum(q.rows);
	values[DISTANCE_NULLS] = Int64GetDatum(q.counts[q.bins + DRIFT_NULLS]);
	values[DISTANCE_OUT_OF_RANGE] = Int64GetDatum(out_of_range);
	values[DISTANCE_NULL_RATE_DELTA] =
		Float8GetDatum(fabs(rate(q.counts[q.bins + DRIFT_NULLS], q.rows) -
							rate(p.counts[p.bins + DRIFT_NULLS], p.rows)));
	values[DISTANCE_OUT_OF_RANGE_RATE] =
		Float8GetDatum(rate(out_of_range, q.rows - q.counts[q.bins + DRIFT_NULLS]));
	for (int i = DISTANCE_PSI; i <= DISTANCE_MEAN; i++)
		nulls[i] = !comparable;
	nulls[DISTANCE_KS] |= !numeric;
	nulls[DISTANCE_WASSERSTEIN] |= !numeric;
	nulls[DISTANCE_MEAN] |= !numeric;
	nulls[DISTANCE_LINF] |= numeric;
	if (comparable)
	{
		double		confidence = 1 - 0.01 / Max(PG_GETARG_INT32(5), 1);
		double		deviation = numeric ? PG_GETARG_FLOAT8(4) : 1;

		values[DISTANCE_PSI] = Float8GetDatum(kernel_drift_psi(p.counts, q.counts, p.bins));
		values[DISTANCE_PSI_FLOOR] =
			Float8GetDatum(p.bins < 2 ? 0 : kernel_chi_square_quantile(confidence, p.bins - 1) *
						   (1 / (double) p.values + 1 / (double) q.values));
		values[DISTANCE_JS] = Float8GetDatum(kernel_drift_js(p.counts, q.counts, p.bins));
		values[DISTANCE_KS] = Float8GetDatum(kernel_drift_ks(p.counts, q.counts, p.bins));
		values[DISTANCE_LINF] = Float8GetDatum(kernel_drift_linf(p.counts, q.counts, p.bins));
		values[DISTANCE_WASSERSTEIN] =
			Float8GetDatum(kernel_drift_wasserstein(p.counts, p.sums, q.counts, q.sums, p.bins) /
						   Max(deviation, 1e-12));
		values[DISTANCE_MEAN] = Float8GetDatum(mean_of(&q));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}
