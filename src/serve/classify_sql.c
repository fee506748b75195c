/*
 * classify_sql.c
 *		classify(): the label of a row, and how probable it is.
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/invocation.h"
#include "serve/classes.h"
#include "serve/labels.h"
#include "serve/rows.h"
#include "utils/float.h"

PG_FUNCTION_INFO_V1(modelopt_classify);

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

static bool
has_nan(const float *scores, int n)
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
	if (has_nan(scores, n))
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

bool
classes_find_outputs(const Session *session, int *scores, int *label)
{
	*scores = *label = -1;
	for (int i = 0; i < session->noutputs; i++)
	{
		const Port *port = &session->outputs[i];

		if (port->kind != PORT_TENSOR)
			continue;
		if (is_float_type(port->type) && *scores < 0)
			*scores = i;
		if (!is_float_type(port->type) && *label < 0)
			*label = i;
	}
	return *scores >= 0;
}

char *
classes_label_of_output(const RowOutput *output, int row)
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

int
classes_find_score_map(const Session *session)
{
	for (int i = 0; i < session->noutputs; i++)
		if (score_map(&session->outputs[i]) != NULL)
			return i;
	return -1;
}

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

static void
run_row(RowBatch *batch, ArrayType *features)
{
	ArraySource source;
	char	   *problem;

	source_of_array(&source, features);
	rows_begin(batch, batch->session, 1);
	problem = rows_put(batch, 0, 0, source.kind, source.values, source.count);
	if (problem != NULL)
		rows_refuse(problem);
	rows_run(batch);
}

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
read_scores(const RowBatch *batch, int scores_output, Answer *answer)
{
	RowOutput	output;
	float	   *scores;

	ScoreSource source = batch->session->sources[scores_output];

	rows_output(batch, scores_output, &output);
	if (source == SCORES_OF_REGRESSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has values of a regression, and no scores of classes",
						utf8_to_server(output.port->name)),
				 errhint("predict() gives them.")));
	if (output.width < 1 || output.width > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has " INT64_FORMAT " values for a row, which are no scores of classes",
						utf8_to_server(output.port->name), output.width)));
	scores = palloc(output.width * sizeof(float));
	elements_to_floats(output.tensor->shape.type, output.tensor->data, 0, output.width, scores,
					   utf8_to_server(output.port->name));
	answer->nclasses = output.width;
	answer->best = classes_best(scores, output.width, source, &answer->probability);
}

/* The class that has the highest score, unless the model says that it is another
 * one. */
static int
find_class(const Answer *answer, const float *scores)
{
	int			best = has_nan(scores, answer->nclasses) ? -1 : 0;

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
read_score_map(const RowBatch *batch, int scores_output, Answer *answer)
{
	float	   *scores;

	answer->nclasses = classes_read_score_map(batch->session, scores_output, 0,
											  &answer->names, &scores);
	answer->best = find_class(answer, scores);
	answer->probability = answer->best < 0 ? get_float8_nan() :
		class_probability(scores, answer->nclasses, answer->best);
}

/* ---------- the function ---------- */

static char *
given_label(ArrayType *labels, const Answer *answer)
{
	int			nclasses = answer->nclasses == 1 && answer->names == NULL ? 2 : answer->nclasses;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(labels, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	if (n != nclasses)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d labels for a model that tells %d classes apart", n, nclasses)));
	labels_check_names(values, nulls, n);
	return answer->best < 0 || nulls[answer->best] ? NULL : TextDatumGetCString(values[answer->best]);
}

/* A name for the class; a label that the model gives is its own. */
static char *
find_label(const Answer *answer, ArrayType *labels)
{
	if (labels != NULL)
		return given_label(labels, answer);
	if (answer->label != NULL)
		return answer->label;
	if (answer->best < 0)
		return NULL;
	return answer->names != NULL ? answer->names[answer->best] : psprintf("%d", answer->best);
}

static void
ask(Session *session, ArrayType *features, bool has_labels, Answer *answer)
{
	int			scores_output,
				label_output;
	bool		by_number = classes_find_outputs(session, &scores_output, &label_output);
	RowPart		row = rows_array_part(features);
	RowBatch   *batch;
	RowOutput	output;

	if (!by_number)
		scores_output = classes_find_score_map(session);
	if (scores_output < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives no scores of classes"),
				 errdetail("It gives %s.", describe_ports(session->outputs, session->noutputs))));
	batch = rows_prepare(session, &row, 1);
	run_row(batch, features);
	if (label_output >= 0 && !(by_number && has_labels))
	{
		rows_output(batch, label_output, &output);
		answer->label = classes_label_of_output(&output, 0);
	}
	if (by_number)
		read_scores(batch, scores_output, answer);
	else
		read_score_map(batch, scores_output, answer);
}

/* classify(model or name, features, labels) */
static Datum
classify(FunctionCallInfo fcinfo)
{
	Session    *session;
	ArrayType  *features;
	ArrayType  *labels;
	Answer		answer = {0};
	char	   *label;
	TupleDesc	columns;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	session = target_session(call_target(fcinfo, 0));
	features = call_features(fcinfo, 1, session);
	if (array_contains_nulls(features))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	labels = PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2);
	ask(session, features, labels != NULL, &answer);
	label = find_label(&answer, labels);
	nulls[0] = label == NULL;
	values[0] = label == NULL ? (Datum) 0 : CStringGetTextDatum(label);
	values[1] = Float4GetDatum(answer.probability);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

Datum
modelopt_classify(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, classify);
}
