/*
 * metrics.c
 *		How good predictions are.
 */
#include "postgres.h"

#include "compat.h"

#include <float.h>
#include <math.h>

#include "serve/classes.h"
#include "serve/metrics.h"
#include "utils/float.h"

static const struct
{
	const char *name;
	MetricTask	task;
}			metric_table[] = {
	[METRIC_ACCURACY] = {"accuracy", TASK_CLASSIFICATION},
	[METRIC_F1] = {"f1", TASK_CLASSIFICATION},
	[METRIC_AUC] = {"auc", TASK_CLASSIFICATION},
	[METRIC_LOG_LOSS] = {"log_loss", TASK_CLASSIFICATION},
	[METRIC_R2] = {"r2", TASK_REGRESSION},
	[METRIC_MSE] = {"mse", TASK_REGRESSION},
	[METRIC_MAE] = {"mae", TASK_REGRESSION},
};

StaticAssertDecl(lengthof(metric_table) == METRIC_COUNT, "a name for each metric");

const char *
metric_name(Metric metric)
{
	return metric_table[metric].name;
}

MetricTask
metric_task(Metric metric)
{
	return metric_table[metric].task;
}

int
metric_find(const char *name)
{
	int			metric = 0;

	while (metric < METRIC_COUNT && strcmp(metric_table[metric].name, name) != 0)
		metric++;
	return metric;
}

Metrics *
metrics_create(MetricTask task, ScoreKind scores, int width, const bool *wanted)
{
	Metrics    *metrics = palloc0(sizeof(Metrics));

	metrics->task = task;
	metrics->scores = scores;
	metrics->width = width;
	memcpy(metrics->wanted, wanted, sizeof(metrics->wanted));
	if (task == TASK_REGRESSION)
	{
		metrics->values = palloc0(width * sizeof(ValueSums));
		return metrics;
	}
	metrics->nclasses = Max(width, 2);
	metrics->classes = palloc0(metrics->nclasses * sizeof(ClassCounts));
	metrics->probabilities = palloc(metrics->nclasses * sizeof(double));
	if (wanted[METRIC_AUC])
		metrics->auc = auc_create();
	return metrics;
}

/* ---------- classes ---------- */

/* A single score is the second class's. */
static void
set_probabilities(Metrics *metrics, const float *scores)
{
	double	   *probabilities = metrics->probabilities;

	if (metrics->width == 1 && metrics->scores == SCORES_LOGITS)
		classes_softmax((float[]) {0, scores[0]}, 2, probabilities);
	else if (metrics->width == 1)
	{
		probabilities[0] = 1 - (double) scores[0];
		probabilities[1] = scores[0];
	}
	else if (metrics->scores == SCORES_LOGITS)
		classes_softmax(scores, metrics->width, probabilities);
	else
		for (int i = 0; i < metrics->width; i++)
			probabilities[i] = scores[i];
}

/* The first one of the largest score; of a single score from a half on the
 * second. */
static int
best_class(const Metrics *metrics, const float *scores)
{
	int			best = 0;

	if (metrics->width == 1)
		return scores[0] >= (metrics->scores == SCORES_LOGITS ? 0 : 0.5f);
	for (int i = 1; i < metrics->width; i++)
		if (scores[i] > scores[best])
			best = i;
	return best;
}

/* Never 0, whose logarithm is infinite: as near as the numbers have it that
 * were computed with. */
static double
log_loss(const Metrics *metrics, int label)
{
	double		least = metrics->scores == SCORES_LOGITS ? DBL_EPSILON : FLT_EPSILON;
	double		p = metrics->probabilities[label];

	return -log(Min(Max(p, least), 1 - least));
}

static void
add_scores(Metrics *metrics, int label)
{
	int			first = metrics->nclasses == 2 ? 1 : 0;

	for (int i = first; i < metrics->nclasses; i++)
		auc_add(metrics->auc, i - first, metrics->probabilities[i], i == label);
}

/* A row with a score that is no number is of no class. */
void
metrics_add_class(Metrics *metrics, const float *scores, int label)
{
	int			best;

	metrics->n++;
	metrics->classes[label].actual++;
	if (classes_have_nan(scores, metrics->width))
	{
		metrics->has_nan = true;
		return;
	}
	best = best_class(metrics, scores);
	metrics->classes[best].predicted++;
	if (best == label)
	{
		metrics->right++;
		metrics->classes[best].right++;
	}
	if (!metrics->wanted[METRIC_LOG_LOSS] && metrics->auc == NULL)
		return;
	set_probabilities(metrics, scores);
	metrics->log_loss += log_loss(metrics, label);
	if (metrics->auc != NULL)
		add_scores(metrics, label);
}

/* The mean over classes that are there, or were predicted. */
static double
f1(const Metrics *metrics)
{
	double		sum = 0;
	int			n = 0;

	for (int i = 0; i < metrics->nclasses; i++)
	{
		const ClassCounts *class = &metrics->classes[i];

		if (class->actual + class->predicted == 0)
			continue;
		sum += 2.0 * class->right / (class->actual + class->predicted);
		n++;
	}
	return sum / n;
}

/* ---------- values ---------- */

void
metrics_add_values(Metrics *metrics, const float *predictions, const double *values)
{
	metrics->n++;
	for (int i = 0; i < metrics->width; i++)
	{
		ValueSums  *sums = &metrics->values[i];
		double		error = values[i] - predictions[i];
		double		distance = values[i] - sums->mean;

		sums->mean += distance / metrics->n;
		sums->spread += distance * (values[i] - sums->mean);
		sums->squares += error * error;
		sums->magnitudes += fabs(error);
	}
}

/* Of values that are all the same it is 1 when they are predicted, and 0. */
static double
r2(const ValueSums *sums)
{
	if (sums->spread == 0)
		return sums->squares == 0 ? 1 : isnan(sums->squares) ? get_float8_nan() : 0;
	return 1 - sums->squares / sums->spread;
}

static double
mean_over_values(const Metrics *metrics, Metric metric)
{
	double		sum = 0;

	for (int i = 0; i < metrics->width; i++)
	{
		const ValueSums *sums = &metrics->values[i];

		sum += metric == METRIC_R2 ? r2(sums) :
			(metric == METRIC_MSE ? sums->squares : sums->magnitudes) / metrics->n;
	}
	return sum / metrics->width;
}

/* ---------- results ---------- */

bool
metrics_value(Metrics *metrics, Metric metric, double *value)
{
	if (metrics->n == 0 || (metric == METRIC_R2 && metrics->n < 2))
		return false;
	if (metrics->task == TASK_REGRESSION)
		*value = mean_over_values(metrics, metric);
	else if (metric == METRIC_ACCURACY)
		*value = (double) metrics->right / metrics->n;
	else if (metric == METRIC_F1)
		*value = f1(metrics);
	else if (metrics->has_nan)
		*value = get_float8_nan();
	else if (metric == METRIC_LOG_LOSS)
		*value = metrics->log_loss / metrics->n;
	else
		return auc_finish(metrics->auc, metrics->nclasses == 2 ? 1 : metrics->nclasses, value);
	return true;
}
