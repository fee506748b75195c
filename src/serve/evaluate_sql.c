/*
 * evaluate_sql.c
 *		evaluate(): how good a model is on the rows of a query.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "serve/call.h"
#include "serve/classes.h"
#include "serve/labels.h"
#include "serve/metrics.h"
#include "serve/query_rows.h"
#include "serve/search.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_evaluate);

/* Places of the arguments. */
enum
{
	ARG_MODEL,
	ARG_QUERY,
	ARG_TASK,
	ARG_LABELS,
	ARG_METRICS,
	ARG_OUTPUT,
	ARG_SCORES,
	ARG_BATCH_SIZE,
};

typedef struct Evaluation
{
	QueryRows  *query;
	Labels	   *labels;
	MetricTask	task;			/* as asked for */
	ScoreKind	scores;
	bool		all_metrics;
	bool		wanted[METRIC_COUNT];
	int			output;
	Metrics    *metrics;		/* NULL before the first prediction */
	int64		nulls;			/* rows that have one */
	bool		by_name;		/* scores are in maps */
	int			nnames;
	char	  **names;			/* of classes, that the model has */
	ArrayType  *given_names;	/* of classes, or NULL */
} Evaluation;

/* ---------- what is evaluated ---------- */

/*
 * Several values for a row are scores of classes, unless the label has as many;
 * one is a score when the label is no number, or the model has names of classes.
 */
static MetricTask
find_task(const Evaluation *evaluation, int64 width)
{
	LabelKind	kind = labels_kind(evaluation->labels);

	if (evaluation->task != TASK_AUTO)
		return evaluation->task;
	if (kind == LABEL_NAME || kind == LABEL_BOOLEAN)
		return TASK_CLASSIFICATION;
	return (width > 1 || evaluation->nnames > 0) && kind == LABEL_NUMBER ? TASK_CLASSIFICATION : TASK_REGRESSION;
}

static void
check_values(const Evaluation *evaluation, const RowOutput *output)
{
	if (output->width < 1 || output->width > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has " INT64_FORMAT " values for a row, which cannot be evaluated",
						utf8_to_server(output->port->name), output->width)));
	if (labels_kind(evaluation->labels) == LABEL_NAME ||
		labels_kind(evaluation->labels) == LABEL_BOOLEAN)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("labels of a regression must be numbers")));
}

/* The first prediction of a run tells what all are, if nobody does. */
static ScoreKind
find_score_kind(const Evaluation *evaluation, const float *scores, int n, int width)
{
	ScoreSource source = evaluation->query->batch->session->sources[evaluation->output];

	if (evaluation->scores != SCORES_AUTO)
		return evaluation->scores;
	for (int i = 0; i < n; i++)
	{
		const float *row = scores + i * width;

		if (!classes_have_nan(row, width) && !classes_are_probabilities(row, width, source))
			return SCORES_LOGITS;
	}
	return SCORES_PROBABILITIES;
}

static void
check_metrics(Evaluation *evaluation, MetricTask task)
{
	for (int i = 0; i < METRIC_COUNT; i++)
	{
		if (evaluation->all_metrics)
			evaluation->wanted[i] = metric_task(i) == task;
		else if (evaluation->wanted[i] && metric_task(i) != task)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("metric \"%s\" is not for a %s", metric_name(i),
							task == TASK_REGRESSION ? "regression" : "classification"),
					 errhint("The argument task says which it is.")));
	}
}

static ArrayType *
names_array(char **names, int n)
{
	Datum	   *values = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(names[i]);
	return construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT);
}

/* What classes are called, the model says, unless the caller does; true and false
 * are the second and the first one of two, whatever these are called. */
static void
use_names(Evaluation *evaluation)
{
	QueryRows  *query = evaluation->query;

	if (evaluation->given_names == NULL && labels_kind(evaluation->labels) != LABEL_BOOLEAN)
		evaluation->labels = labels_create(query_rows_type(query, query->portal->tupDesc->natts),
										   names_array(evaluation->names, evaluation->nnames));
}

static void
begin_metrics(Evaluation *evaluation, const RowOutput *output, const float *values, int n)
{
	MetricTask	task = find_task(evaluation, output->width);
	MemoryContext previous;

	if (task == TASK_CLASSIFICATION)
		classes_check_scores(output);
	else
		check_values(evaluation, output);
	check_metrics(evaluation, task);
	previous = MemoryContextSwitchTo(evaluation->query->context);
	evaluation->metrics =
		metrics_create(task, task == TASK_REGRESSION ? SCORES_AUTO :
					   find_score_kind(evaluation, values, n, output->width),
					   output->width, evaluation->wanted);
	if (task == TASK_CLASSIFICATION && evaluation->nnames == evaluation->metrics->nclasses)
		use_names(evaluation);
	if (task == TASK_CLASSIFICATION)
		labels_are_classes(evaluation->labels, evaluation->metrics->nclasses);
	MemoryContextSwitchTo(previous);
}

/* ---------- rows ---------- */

/* Where probabilities were expected by the first rows, all are to be such. */
static void
check_probabilities(const Evaluation *evaluation, const float *scores, int64 row)
{
	const Metrics *metrics = evaluation->metrics;

	if (metrics->scores != SCORES_PROBABILITIES)
		return;
	for (int i = 0; i < metrics->width; i++)
		if (isnan(scores[i]))
			return;
	if (!classes_are_probabilities(scores, metrics->width, SCORES_OF_ANYTHING))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model gives no probabilities for row " INT64_FORMAT " of the query", row),
				 errdetail("Scores of a row are between 0 and 1 and add up to 1."),
				 errhint("scores => 'logits' takes scores of any size.")));
}

static void
take_row(Evaluation *evaluation, int row, const float *prediction)
{
	QueryRows  *query = evaluation->query;
	Metrics    *metrics = evaluation->metrics;
	bool		is_null;
	Datum		label = SPI_getbinval(query->now.rows->vals[row], query->now.rows->tupdesc,
									  query->now.rows->tupdesc->natts, &is_null);
	int64		number = query->now.done + row + 1;

	if (!is_null && metrics->task == TASK_CLASSIFICATION)
	{
		check_probabilities(evaluation, prediction, number);
		metrics_add_class(metrics, prediction, labels_class(evaluation->labels, label, number));
		return;
	}
	if (!is_null)
	{
		const double *values = labels_values(evaluation->labels, label, metrics->width, number);

		is_null = values == NULL;
		if (!is_null)
			metrics_add_values(metrics, prediction, values);
	}
	evaluation->nulls += is_null;
}

/* ---------- scores by name ---------- */

static void
begin_named(Evaluation *evaluation, char **names, int n, const float *scores)
{
	QueryRows  *query = evaluation->query;
	MemoryContext previous = MemoryContextSwitchTo(query->context);

	if (evaluation->task == TASK_REGRESSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scores of classes are no values of a regression")));
	check_metrics(evaluation, TASK_CLASSIFICATION);
	evaluation->nnames = n;
	evaluation->names = palloc(n * sizeof(char *));
	for (int i = 0; i < n; i++)
		evaluation->names[i] = pstrdup(names[i]);
	use_names(evaluation);
	evaluation->metrics = metrics_create(TASK_CLASSIFICATION,
										 find_score_kind(evaluation, scores, 1, n),
										 n, evaluation->wanted);
	labels_are_classes(evaluation->labels, evaluation->metrics->nclasses);
	MemoryContextSwitchTo(previous);
}

static void
check_names(const Evaluation *evaluation, char **names, int n)
{
	bool		same = n == evaluation->metrics->width;

	for (int i = 0; i < n && same; i++)
		same = strcmp(names[i], evaluation->names[i]) == 0;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives scores of other classes for other rows")));
}

static void
take_named(QueryRows *query, int first, int n, void *argument)
{
	Evaluation *evaluation = argument;

	for (int i = 0; i < n; i++)
	{
		char	  **names;
		float	   *scores;
		int			count = classes_read_score_map(query->batch->session, evaluation->output,
												   i, &names, &scores);

		if (evaluation->metrics == NULL)
			begin_named(evaluation, names, count, scores);
		check_names(evaluation, names, count);
		take_row(evaluation, query->now.good[first + i], scores);
	}
}

/* ---------- scores in their order ---------- */

static void
take_predictions(QueryRows *query, int first, int n, void *argument)
{
	Evaluation *evaluation = argument;
	RowOutput	output;
	float	   *values;

	rows_output(query->batch, evaluation->output, &output);
	values = palloc_extended(Max(n * output.width, 1) * sizeof(float), MCXT_ALLOC_HUGE);
	elements_to_floats(output.port->type, output.tensor->data, 0, n * output.width,
					   values, utf8_to_server(output.port->name));
	if (evaluation->metrics == NULL)
		begin_metrics(evaluation, &output, values, n);
	else if (output.width != evaluation->metrics->width)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives rows of different lengths")));
	for (int i = 0; i < n; i++)
		take_row(evaluation, query->now.good[first + i], values + i * output.width);
	pfree(values);
}

/* ---------- arguments ---------- */

static int
choose(FunctionCallInfo fcinfo, int argument, const char *what,
	   const char *const *names)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(argument));

	for (int i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", what, name),
			 errhint("It is %s, %s or %s.", names[0], names[1], names[2])));
}

static void
read_metrics(Evaluation *evaluation, ArrayType *names)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? "" : TextDatumGetCString(values[i]);
		int			metric = metric_find(name);

		if (metric == METRIC_COUNT)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown metric \"%s\"", name),
					 errhint("Metrics are accuracy, f1, auc and log_loss of a classification, and r2, mse and mae of a regression.")));
		evaluation->wanted[metric] = true;
	}
}

static void
read_arguments(FunctionCallInfo fcinfo, Evaluation *evaluation)
{
	static const char *const tasks[] = {"auto", "classification", "regression"};
	static const char *const scores[] = {"auto", "probabilities", "logits"};

	if (PG_ARGISNULL(ARG_MODEL) || PG_ARGISNULL(ARG_QUERY) || PG_ARGISNULL(ARG_TASK) ||
		PG_ARGISNULL(ARG_SCORES) || PG_ARGISNULL(ARG_BATCH_SIZE))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model, query, task, scores and batch_size must not be null")));
	if (PG_GETARG_INT32(ARG_BATCH_SIZE) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be at least 1")));
	evaluation->task = choose(fcinfo, ARG_TASK, "task", tasks);
	evaluation->scores = choose(fcinfo, ARG_SCORES, "kind of scores", scores);
	evaluation->all_metrics = PG_ARGISNULL(ARG_METRICS);
	if (!evaluation->all_metrics)
		read_metrics(evaluation, PG_GETARG_ARRAYTYPE_P(ARG_METRICS));
}

/* What has scores, or just the first tensor, unless an output is named.  Scores
 * in their order are of the classes that the label beside them names. */
static void
find_outputs(FunctionCallInfo fcinfo, const Session *session, Evaluation *evaluation)
{
	char	   *name = PG_ARGISNULL(ARG_OUTPUT) ? NULL : text_to_utf8(PG_GETARG_TEXT_PP(ARG_OUTPUT));
	ClassOutputs outputs;

	if (!classes_find_outputs(session, name, &outputs))
	{
		if (name == NULL)
			outputs.scores = rows_find_output(session, NULL);
		else if (session->outputs[outputs.scores].kind != PORT_TENSOR)
			classes_none(session, &outputs);
	}
	evaluation->output = outputs.scores;
	evaluation->by_name = outputs.by_name;
	if (outputs.label < 0 || evaluation->by_name)
		return;
	evaluation->nnames = session->nclass_names;
	evaluation->names = palloc(Max(evaluation->nnames, 1) * sizeof(char *));
	for (int i = 0; i < evaluation->nnames; i++)
		evaluation->names[i] = pstrdup(utf8_to_server(session->class_names[i]));
}

/* ---------- the function ---------- */

static void
put_metric(ReturnSetInfo *result, const char *name, bool is_null, double value, int64 n)
{
	Datum		values[3] = {CStringGetTextDatum(name), Float8GetDatum(value), Int64GetDatum(n)};
	bool		nulls[3] = {false, is_null, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_metrics(ReturnSetInfo *result, Evaluation *evaluation)
{
	Metrics    *metrics = evaluation->metrics;
	int64		n = metrics == NULL ? 0 : metrics->n;

	for (int i = 0; i < METRIC_COUNT; i++)
	{
		double		value = 0;

		if (evaluation->wanted[i])
		{
			bool		is_defined = metrics != NULL && metrics_value(metrics, i, &value);

			put_metric(result, metric_name(i), !is_defined, value, n);
		}
	}
	put_metric(result, "null_rows", false, evaluation->nulls, n + evaluation->nulls);
}

/* evaluate(model or name, query, task, labels, metrics, output, scores, batch_size) */
Datum
modelopt_evaluate(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Evaluation	evaluation = {0};
	QueryRows  *query;
	Target	   *target;
	char	   *text_of_query;
	int			work;

	read_arguments(fcinfo, &evaluation);
	InitMaterializedSRF(fcinfo, 0);
	text_of_query = text_to_cstring(PG_GETARG_TEXT_PP(ARG_QUERY));
	target = call_target(fcinfo, ARG_MODEL);
	find_outputs(fcinfo, target_session(target), &evaluation);
	evaluation.given_names = PG_ARGISNULL(ARG_LABELS) ? NULL : PG_GETARG_ARRAYTYPE_P(ARG_LABELS);

	SPI_connect();
	query = evaluation.query = query_rows_open(target, text_of_query, 0, 1,
											   PG_GETARG_INT32(ARG_BATCH_SIZE), false);
	evaluation.labels = labels_create(query_rows_type(query, query->portal->tupDesc->natts),
									  evaluation.given_names);
	work = progress_begin("evaluate", "rows", 0);
	while (query_rows_next(query, evaluation.by_name ? take_named : take_predictions, &evaluation))
	{
		evaluation.nulls += query->now.nrows - query->now.ngood;
		progress_add(query->now.nrows);
	}
	progress_end(work);
	search_evaluated();
	put_metrics(result, &evaluation);
	query_rows_close(query);
	SPI_finish();
	return (Datum) 0;
}
