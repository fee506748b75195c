/*
 * histogram_sql.c
 *		How a tensor's values are spread.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "kernel/kernel.h"
#include "model/model_sql.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_tensor_histogram);

#define MAX_BINS 1000

static void
check_arguments(double low, double high, int bins)
{
	if (bins < 1 || bins > MAX_BINS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a histogram has from 1 to %d bins", MAX_BINS)));
	if (!isfinite(low) || !isfinite(high) || low > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a histogram's bounds must be finite, and in order")));
}

/* The same numbers without zeros; returns how many are left. */
static int64
drop_zeros(double *x, int64 n)
{
	int64		kept = 0;

	for (int64 i = 0; i < n; i++)
	{
		x[kept] = x[i];
		kept += x[i] != 0;
	}
	return kept;
}

/* Counts elements block by block, so that converted ones stay in the cache. */
static void
count_elements(int64 *counts, int bins, double low, double high,
			   DType dtype, const void *elements, int64 n)
{
	double		block[KERNEL_STATS_BLOCK];

	for (int64 done = 0; done < n; done += KERNEL_STATS_BLOCK)
	{
		int64		m = Min(n - done, KERNEL_STATS_BLOCK);

		dtype_to_double(dtype, elements, done, m, block);
		m = drop_zeros(block, m);
		kernel_histogram_f64(counts, bins, low, high, block, m);
	}
}

/*
 * tensor_histogram(model, tensor, low, high, bins): of the elements that are not
 * zero, which a pruned tensor has so many of that nothing else is seen.
 */
Datum
modelopt_tensor_histogram(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	int			index = model_lookup_tensor(model, PG_GETARG_TEXT_PP(1));
	double		low = PG_GETARG_FLOAT8(2);
	double		high = PG_GETARG_FLOAT8(3);
	int			bins = PG_GETARG_INT32(4);
	Payload    *payload = tensor_payload(model, &model->tensors[index]);
	PayloadReader *reader;
	int64		counts[MAX_BINS] = {0};
	Datum		result[MAX_BINS];
	const void *elements;
	int64		n;

	check_arguments(low, high, bins);
	reader = payload_reader_create(payload);
	while ((n = payload_reader_next(reader, &elements)) > 0)
		count_elements(counts, bins, low, high, payload->dtype, elements, n);
	payload_reader_free(reader);
	for (int i = 0; i < bins; i++)
		result[i] = Int64GetDatum(counts[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(result, bins, INT8OID, sizeof(int64),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
