/*
 * latency_sql.c
 *		Histograms of latencies in SQL.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "monitor/shared.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_histogram_buckets);
PG_FUNCTION_INFO_V1(modelopt_histogram_percentile);
PG_FUNCTION_INFO_V1(modelopt_histogram_bounds);
PG_FUNCTION_INFO_V1(modelopt_histogram_cumulative);

#define MS_PER_SECOND 1e3

/* The counts of a histogram that somebody made or added up. */
static const int64 *
get_histogram(ArrayType *array)
{
	const int64 *counts = (const int64 *) ARR_DATA_PTR(array);
	int64		sum = 0;

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != KERNEL_LATENCY_BUCKETS ||
		array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a histogram of latencies is an array of %d counts",
						KERNEL_LATENCY_BUCKETS)));
	for (int i = 0; i < KERNEL_LATENCY_BUCKETS; i++)
	{
		if (counts[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a histogram of latencies has no negative counts")));
		if (pg_add_s64_overflow(sum, counts[i], &sum))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("a histogram of latencies has counted too much")));
	}
	return counts;
}

/* histogram_percentile(buckets, fractions) */
Datum
modelopt_histogram_percentile(PG_FUNCTION_ARGS)
{
	const int64 *counts = get_histogram(PG_GETARG_ARRAYTYPE_P(0));
	ArrayType  *fractions = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			dims[1];
	int			first[1] = {1};

	deconstruct_array(fractions, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, &nulls, &n);
	if (n == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(FLOAT8OID));
	for (int i = 0; i < n; i++)
	{
		double		fraction = nulls[i] ? 0 : DatumGetFloat8(values[i]);
		double		seconds;

		if (!(fraction >= 0 && fraction <= 1))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("percentile value %g is not between 0 and 1", fraction)));
		seconds = kernel_latency_percentile(counts, fraction);
		nulls[i] = nulls[i] || isnan(seconds);
		values[i] = Float8GetDatum(seconds * MS_PER_SECOND);
	}
	dims[0] = n;
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, dims, first, FLOAT8OID,
											 sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* histogram_cumulative(buckets, step) */
Datum
modelopt_histogram_cumulative(PG_FUNCTION_ARGS)
{
	const int64 *counts = get_histogram(PG_GETARG_ARRAYTYPE_P(0));
	int			step = PG_GETARG_INT32(1);
	Datum		cumulated[KERNEL_LATENCY_BUCKETS];
	int64		sum = 0;
	int			n = 0;

	if (step < 1 || step > KERNEL_LATENCY_BUCKETS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("step must be between 1 and %d", KERNEL_LATENCY_BUCKETS)));
	for (int i = 0; i < KERNEL_LATENCY_BUCKETS; i++)
	{
		sum += counts[i];
		if (i % step == 0)
			cumulated[n++] = Int64GetDatum(sum);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(cumulated, n, INT8OID, sizeof(int64),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
modelopt_histogram_bounds(PG_FUNCTION_ARGS)
{
	Datum		bounds[KERNEL_LATENCY_BUCKETS];

	for (int i = 0; i < KERNEL_LATENCY_BUCKETS; i++)
		bounds[i] = Float8GetDatum(kernel_latency_bound(i) * MS_PER_SECOND);
	PG_RETURN_ARRAYTYPE_P(construct_array(bounds, KERNEL_LATENCY_BUCKETS, FLOAT8OID,
										  sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

enum
{
	BUCKET_BOUND = 0,
	BUCKET_COUNT,
	BUCKET_CUMULATIVE,
	BUCKET_COLUMNS
};

/* histogram_buckets(buckets): rows of those that have counted something */
Datum
modelopt_histogram_buckets(PG_FUNCTION_ARGS)
{
	const int64 *counts = get_histogram(PG_GETARG_ARRAYTYPE_P(0));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		sum = 0;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < KERNEL_LATENCY_BUCKETS; i++)
	{
		Datum		values[BUCKET_COLUMNS];
		bool		nulls[BUCKET_COLUMNS] = {false};

		if (counts[i] == 0)
			continue;
		sum += counts[i];
		values[BUCKET_BOUND] = Float8GetDatum(kernel_latency_bound(i) * MS_PER_SECOND);
		values[BUCKET_COUNT] = Int64GetDatum(counts[i]);
		values[BUCKET_CUMULATIVE] = Int64GetDatum(sum);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
