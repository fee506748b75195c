/*
 * metrics.h
 *		How good predictions are: what scikit-learn calls its metrics.
 *
 * Rows are taken one by one and not kept; what a metric needs of them is
 * counted, but for the area under the curve, whose scores are sorted (auc.h).
 * Knows neither models nor queries.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_METRICS_H
#define MODELOPT_SERVE_METRICS_H

#include "serve/auc.h"

typedef enum Metric
{
	METRIC_ACCURACY,
	METRIC_F1,
	METRIC_AUC,
	METRIC_LOG_LOSS,
	METRIC_R2,
	METRIC_MSE,
	METRIC_MAE,
} Metric;

#define METRIC_COUNT (METRIC_MAE + 1)

/* What is predicted, and what scores of classes are. */
typedef enum MetricTask
{
	TASK_AUTO,
	TASK_CLASSIFICATION,
	TASK_REGRESSION,
} MetricTask;

typedef enum ScoreKind
{
	SCORES_AUTO,
	SCORES_PROBABILITIES,
	SCORES_LOGITS,
} ScoreKind;

extern const char *metric_name(Metric metric);
extern MetricTask metric_task(Metric metric);

/* The one of that name, or METRIC_COUNT. */
extern int	metric_find(const char *name);

/* Predictions of a class: how many were right, of how many. */
typedef struct ClassCounts
{
	int64		right;
	int64		predicted;
	int64		actual;
} ClassCounts;

/* A value of each row, and its prediction. */
typedef struct ValueSums
{
	double		mean;			/* of the true values */
	double		spread;			/* sum of their squared distances to it */
	double		squares;		/* of errors */
	double		magnitudes;		/* of errors */
} ValueSums;

typedef struct Metrics
{
	MetricTask	task;
	ScoreKind	scores;
	bool		wanted[METRIC_COUNT];
	int			width;			/* of a prediction */
	int			nclasses;
	int64		n;				/* rows */
	int64		right;
	double		log_loss;		/* sum */
	bool		has_nan;		/* among scores */
	double	   *probabilities;	/* of the row at work */
	ClassCounts *classes;
	ValueSums  *values;
	AucSort    *auc;			/* NULL when nobody wants it */
} Metrics;

/* Of predictions so wide; task and scores are known.  Allocates in the current
 * context. */
extern Metrics *metrics_create(MetricTask task, ScoreKind scores, int width,
							   const bool *wanted);

/* A row's scores, and its class. */
extern void metrics_add_class(Metrics *metrics, const float *scores, int label);

/* A row's predictions, and its values. */
extern void metrics_add_values(Metrics *metrics, const float *predictions,
							   const double *values);

/* False when it is not defined, as for no rows.  Sorts, for the area under the
 * curve, so once for each metric. */
extern bool metrics_value(Metrics *metrics, Metric metric, double *value);

#endif							/* MODELOPT_SERVE_METRICS_H */
