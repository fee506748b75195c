/*
 * predictions.c
 *		Predictions as arrays of SQL.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "serve/predictions.h"

/* ---------- shapes ---------- */

void
prediction_shape(const RowOutput *output, PredictionShape *shape)
{
	const char *name = utf8_to_server(output->port->name);

	if (output->ndim > MAXDIM)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has %d dimensions for a row, and an array has %d at most",
						name, output->ndim, MAXDIM),
				 errhint("predict_json() gives outputs as they are.")));
	if (output->width > (int64) (MaxAllocSize / sizeof(float)))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("predictions are too large for an array")));
	shape->width = output->width;
	shape->ndim = Max(output->ndim, 1);
	shape->dims[0] = output->width;
	for (int d = 0; d < output->ndim && output->width > 0; d++)
		shape->dims[d] = output->dims[d];
}

void
prediction_check(const RowOutput *output, const PredictionShape *shape)
{
	PredictionShape other;
	bool		same;

	prediction_shape(output, &other);
	same = other.width == shape->width && other.ndim == shape->ndim;
	for (int d = 0; d < shape->ndim && same && shape->width > 0; d++)
		same = other.dims[d] == shape->dims[d];
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives rows of different lengths")));
}

/* ---------- arrays ---------- */

/* An array without elements has no dimensions. */
static ArrayType *
make_array(int ndim, const int *dims, int64 count)
{
	Size		size;
	ArrayType  *array;

	if (count == 0)
		ndim = 0;
	size = ARR_OVERHEAD_NONULLS(ndim) + count * sizeof(float);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = ndim;
	array->elemtype = FLOAT4OID;
	for (int d = 0; d < ndim; d++)
	{
		ARR_DIMS(array)[d] = dims[d];
		ARR_LBOUND(array)[d] = 1;
	}
	return array;
}

ArrayType *
prediction_array(const PredictionShape *shape)
{
	return make_array(shape->ndim, shape->dims, shape->width);
}

/* The dimensions of so many rows; returns how many these are. */
static int
dims_of_rows(const PredictionShape *shape, int rows, int *dims)
{
	if (shape->ndim == MAXDIM)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("predictions have %d dimensions, and an array of them has %d at most",
						shape->ndim, MAXDIM - 1),
				 errhint("Predict a row at a time, or use predict_rows() or predict_json().")));
	if (shape->width > (int64) (MaxAllocSize / sizeof(float)) / Max(rows, 1))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("predictions are too large for an array"),
				 errhint("Predict fewer rows at once.")));
	dims[0] = rows;
	memcpy(dims + 1, shape->dims, shape->ndim * sizeof(int));
	return shape->ndim + 1;
}

ArrayType *
prediction_arrays(const PredictionShape *shape, int rows)
{
	int			dims[MAXDIM];
	int			ndim = dims_of_rows(shape, rows, dims);

	return make_array(ndim, dims, rows * shape->width);
}

ArrayType *
prediction_arrays_with_nulls(const PredictionShape *shape, int rows,
							 const float *values, const int *good, int ngood)
{
	int			dims[MAXDIM];
	int			lower_bounds[MAXDIM];
	int			ndim = dims_of_rows(shape, rows, dims);
	Size		count = (Size) rows * shape->width;
	Datum	   *datums = palloc_extended(Max(count, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	bool	   *nulls = palloc_extended(Max(count, 1), MCXT_ALLOC_HUGE);

	if (count == 0)
		return make_array(0, NULL, 0);
	for (int d = 0; d < ndim; d++)
		lower_bounds[d] = 1;
	memset(nulls, true, count);
	for (int i = 0; i < ngood; i++)
		for (int64 k = 0; k < shape->width; k++)
		{
			Size		at = (Size) good[i] * shape->width + k;

			datums[at] = Float4GetDatum(values[(Size) i * shape->width + k]);
			nulls[at] = false;
		}
	return construct_md_array(datums, nulls, ndim, dims, lower_bounds,
							  FLOAT4OID, sizeof(float4), true, TYPALIGN_INT);
}
