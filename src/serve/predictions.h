/*
 * predictions.h
 *		Predictions as arrays of SQL.
 *
 * A prediction has the dimensions of a model's output but the first, which
 * counts rows; predictions together have that one, too.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_PREDICTIONS_H
#define MODELOPT_SERVE_PREDICTIONS_H

#include "serve/rows.h"

typedef struct PredictionShape
{
	int			ndim;			/* of a row, one at least */
	int			dims[MAXDIM];
	int64		width;			/* elements of a row */
} PredictionShape;

/* Of a row; raises 0A000 when no array has so many dimensions, and 54000 when
 * it is too large for one. */
extern void prediction_shape(const RowOutput *output, PredictionShape *shape);

/* Raises 0A000 when another run has rows of another shape. */
extern void prediction_check(const RowOutput *output, const PredictionShape *shape);

/* An array for a row's values, or for those of some rows, which the caller
 * writes at ARR_DATA_PTR; in the current context. */
extern ArrayType *prediction_array(const PredictionShape *shape);
extern ArrayType *prediction_arrays(const PredictionShape *shape, int rows);

/* Predictions of the good ones among some rows, the other rows being null. */
extern ArrayType *prediction_arrays_with_nulls(const PredictionShape *shape, int rows,
											   const float *values, const int *good, int ngood);

#endif							/* MODELOPT_SERVE_PREDICTIONS_H */
