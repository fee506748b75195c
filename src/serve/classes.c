/*
 * classes.c
 *		Outputs that are scores of classes, and labels.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "model/model_sql.h"
#include "serve/classes.h"
#include "serve/labels.h"
#include "utils/float.h"

/* ---------- scores ---------- */

bool
classes_are_probabilities(const float *scores, int n, ScoreSource source)
{
	double		sum = 0;

	if (n == 1 && source == SCORES_OF_PRODUCT)
		return false;
	for (int i = 0; i < n; i++)
	{
		/* Sums of shares may end a little beside. */
		if (!(scores[i] >= -1e-5 && scores[i] <= 1 + 1e-5))
			return false;
		sum += scores[i];
	}
	return n == 1 || fabs(sum - 1) < 1e-3;
}

static double
sigmoid(double x)
{
	return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

void
classes_softmax(const float *scores, int n, double *probabilities)
{
	double		most = scores[0];
	double		sum = 0;

	for (int i = 1; i < n; i++)
		most = Max(most, scores[i]);
	for (int i = 0; i < n; i++)
		sum += probabilities[i] = exp(scores[i] - most);
	for (int i = 0; i < n; i++)
		probabilities[i] /= sum;
}

/* Of one of the classes that have a score each. */
static double
class_probability(const float *scores, int n, int class)
{
	double	   *probabilities;
	double		probability;

	if (classes_are_probabilities(scores, n, SCORES_OF_ANYTHING))
		return Min(Max(scores[class], 0), 1);
	probabilities = palloc(n * sizeof(double));
	classes_softmax(scores, n, probabilities);
	probability = probabilities[class];
	pfree(probabilities);
	return probability;
}

bool
classes_have_nan(const float *scores, int n)
{
	for (int i = 0; i < n; i++)
		if (isnan(scores[i]))
			return true;
	return false;
}

/* Infinite scores have no softmax, but a largest one. */
int
classes_best(const float *scores, int n, ScoreSource source, double *probability)
{
	int			best = 0;

	*probability = get_float8_nan();
	if (classes_have_nan(scores, n))
		return -1;
	if (n == 1)
	{
		double		p = classes_are_probabilities(scores, 1, source) ?
			Min(Max(scores[0], 0), 1) : sigmoid(scores[0]);

		*probability = p >= 0.5 ? p : 1 - p;
		return p >= 0.5;
	}
	for (int i = 1; i < n; i++)
		if (scores[i] > scores[best])
			best = i;
	*probability = class_probability(scores, n, best);
	return best;
}

/* ---------- outputs ---------- */

static bool
is_float_type(int type)
{
	DType		dtype = element_dtype(type);

	return dtype != DTYPE_INVALID && dtype_is_float(dtype);
}

/* The map of a type that is one, or a sequence of them, with scores as values;
 * else NULL. */
static const Port *
score_map(const Port *port)
{
	if (port->kind == PORT_SEQUENCE)
		port = port->of;
	return port->kind == PORT_MAP && port->of->kind == PORT_TENSOR &&
		is_float_type(port->of->type) ? port : NULL;
}

/* The first tensor of floats that is no label, or else the first map; or -1. */
static int
find_scores(const Session *session)
{
	for (int i = 0; i < session->noutputs; i++)
		if (session->outputs[i].kind == PORT_TENSOR && i != session->label &&
			is_float_type(session->outputs[i].type))
			return i;
	for (int i = 0; i < session->noutputs; i++)
		if (score_map(&session->outputs[i]) != NULL)
			return i;
	return -1;
}

bool
classes_find_outputs(const Session *session, const char *name, ClassOutputs *outputs)
{
	int			found = find_scores(session);

	outputs->scores = name == NULL ? found : rows_find_output(session, name);
	outputs->by_name = outputs->scores >= 0 && score_map(&session->outputs[outputs->scores]) != NULL;
	/* A model may tell several things apart, and its label is of the first. */
	outputs->label = outputs->scores == found ? session->label : -1;
	return outputs->scores >= 0 && outputs->scores != session->label &&
		(outputs->by_name || (session->outputs[outputs->scores].kind == PORT_TENSOR &&
							  is_float_type(session->outputs[outputs->scores].type)));
}

void
classes_check_scores(const RowOutput *output)
{
	if (output->width >= 1 && output->width <= PG_INT16_MAX && output->ndim <= 1 &&
		is_float_type(output->port->type))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("output \"%s\" has no scores of classes",
					utf8_to_server(output->port->name)),
			 output->ndim > 1 ?
			 errdetail("It has %d dimensions for a row, and scores have one.", output->ndim) :
			 errdetail("It has " INT64_FORMAT " values of type %s for a row.",
					   output->width, element_name(output->port->type)),
			 errhint("The argument output names the one that has scores; predict() and predict_json() give others.")));
}

static char *
label_of_output(const RowOutput *output, int row)
{
	int			type = output->tensor->shape.type;
	double		value;

	if (output->width != 1)
		return NULL;
	if (type == ELEMENT_STRING)
		return string_element(output->tensor, output->count, row);
	/* A label may be any number, also one that no double is. */
	if (type == ELEMENT_I64)
		return psprintf(INT64_FORMAT, ((const int64 *) output->tensor->data)[row]);
	if (type == ELEMENT_U64)
		return psprintf(UINT64_FORMAT, ((const uint64 *) output->tensor->data)[row]);
	dtype_to_double(element_dtype(type), output->tensor->data, row, 1, &value);
	return psprintf("%.0f", value);
}

/* ---------- scores by name ---------- */

static char **
read_names(const Port *map, const ServedTensor *keys, int n)
{
	char	  **names = palloc(n * sizeof(char *));

	for (int i = 0; i < n; i++)
		names[i] = map->type == ELEMENT_STRING ? string_element(keys, n, i) :
			psprintf(INT64_FORMAT, ((const int64 *) keys->data)[i]);
	return names;
}

int
classes_read_score_map(const Session *session, int i, int64 row, char ***names,
					   float **scores)
{
	const Port *port = &session->outputs[i];
	const Port *map = score_map(port);
	ServedTensor place = *session_output(session, i);
	ServedTensor keys,
				values;
	int64		count = 0;

	if (place.shape.type != ELEMENT_NONE && map != port)
		session_part(&place, row, ELEMENT_VALUE, &place);
	if (place.shape.type != ELEMENT_NONE)
		count = session_map(map, &place, &keys, &values);
	if (count < 1 || count > PG_INT16_MAX ||
		(map->type != ELEMENT_STRING && map->type != ELEMENT_I64))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has no scores of classes", utf8_to_server(port->name))));
	*names = read_names(map, &keys, count);
	*scores = palloc(count * sizeof(float));
	elements_to_floats(map->of->type, values.data, 0, count, *scores, utf8_to_server(port->name));
	return count;
}

/* ---------- answers ---------- */

/* What the model says of a row. */
typedef struct Answer
{
	int			nclasses;		/* that have a score */
	int			best;			/* the class that it is; -1 for none */
	double		probability;
	char	   *label;			/* the model's, or NULL when it gives none */
	char	  **names;			/* of classes, or NULL when they have numbers */
} Answer;

static void
read_scores(const RowBatch *batch, int scores_output, int row, Answer *answer)
{
	ScoreSource source = batch->session->sources[scores_output];
	RowOutput	output;
	float	   *scores;

	rows_output(batch, scores_output, &output);
	if (source == SCORES_OF_REGRESSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has values of a regression, and no scores of classes",
						utf8_to_server(output.port->name)),
				 errhint("predict() gives them.")));
	classes_check_scores(&output);
	scores = palloc(output.width * sizeof(float));
	elements_to_floats(output.tensor->shape.type, output.tensor->data, row * output.width,
					   output.width, scores, utf8_to_server(output.port->name));
	answer->nclasses = output.width;
	answer->best = classes_best(scores, output.width, source, &answer->probability);
	pfree(scores);
}

/* The class that has the highest score, unless the model says that it is another
 * one. */
static int
find_class(const Answer *answer, const float *scores)
{
	int			best = classes_have_nan(scores, answer->nclasses) ? -1 : 0;

	for (int i = 0; i < answer->nclasses; i++)
	{
		if (answer->label != NULL && strcmp(answer->names[i], answer->label) == 0)
			return i;
		if (best >= 0 && scores[i] > scores[best])
			best = i;
	}
	return best;
}

static void
read_score_map(const RowBatch *batch, int scores_output, int row, Answer *answer)
{
	float	   *scores;

	answer->nclasses = classes_read_score_map(batch->session, scores_output, row,
											  &answer->names, &scores);
	answer->best = find_class(answer, scores);
	answer->probability = answer->best < 0 ? get_float8_nan() :
		class_probability(scores, answer->nclasses, answer->best);
	pfree(scores);
}

ClassNames *
classes_read_names(ArrayType *array)
{
	ClassNames *names = palloc0(sizeof(ClassNames));

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names->values, &names->nulls,
					  &names->n);
	return names;
}

static void
check_names(ClassNames *names, int nclasses)
{
	if (names->n != nclasses)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d labels for a model that tells %d classes apart", names->n, nclasses)));
	if (!names->checked)
		labels_check_names(names->values, names->nulls, names->n);
	names->checked = true;
}

static char *
given_label(ClassNames *labels, const Answer *answer)
{
	check_names(labels, answer->nclasses == 1 && answer->names == NULL ? 2 : answer->nclasses);
	return answer->best < 0 || labels->nulls[answer->best] ? NULL :
		TextDatumGetCString(labels->values[answer->best]);
}

/* A name for the class; a label that the model gives is its own. */
static char *
find_label(const Answer *answer, ClassNames *labels)
{
	if (labels != NULL)
		return given_label(labels, answer);
	if (answer->label != NULL)
		return answer->label;
	if (answer->best < 0)
		return NULL;
	return answer->names != NULL ? answer->names[answer->best] : psprintf("%d", answer->best);
}

char *
classes_answer(const RowBatch *batch, const ClassOutputs *outputs, int row,
			   ClassNames *labels, double *probability)
{
	Answer		answer = {0};
	RowOutput	output;

	if (outputs->label >= 0 && (outputs->by_name || labels == NULL))
	{
		rows_output(batch, outputs->label, &output);
		answer.label = label_of_output(&output, row);
	}
	if (outputs->by_name)
		read_score_map(batch, outputs->scores, row, &answer);
	else
		read_scores(batch, outputs->scores, row, &answer);
	*probability = answer.probability;
	return find_label(&answer, labels);
}

void
classes_none(const Session *session, const ClassOutputs *outputs)
{
	if (outputs->scores >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has no scores of classes",
						utf8_to_server(session->outputs[outputs->scores].name)),
				 errdetail("The model gives %s.", describe_ports(session->outputs, session->noutputs))));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("model gives no scores of classes"),
			 errdetail("It gives %s.", describe_ports(session->outputs, session->noutputs))));
}
