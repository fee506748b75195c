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
#include "serve/rows.h"

PG_FUNCTION_INFO_V1(modelopt_classify);

/* ---------- scores ---------- */

bool
classes_are_probabilities(const float *scores, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
	{
		if (!(scores[i] >= 0 && scores[i] <= 1))
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

int
classes_best(const float *scores, int n, double *probability)
{
	double	   *probabilities;
	int			best = 0;

	if (n == 1)
	{
		double		p = classes_are_probabilities(scores, 1) ? scores[0] : sigmoid(scores[0]);

		*probability = p >= 0.5 ? p : 1 - p;
		return p >= 0.5;
	}
	for (int i = 1; i < n; i++)
		if (scores[i] > scores[best])
			best = i;
	*probability = scores[best];
	if (classes_are_probabilities(scores, n))
		return best;
	probabilities = palloc(n * sizeof(double));
	classes_softmax(scores, n, probabilities);
	*probability = probabilities[best];
	pfree(probabilities);
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

/* ---------- the function ---------- */

static char *
given_label(ArrayType *labels, int nclasses, int best)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(labels, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	if (n != (nclasses == 1 ? 2 : nclasses))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d labels for a model that tells %d classes apart", n,
						nclasses == 1 ? 2 : nclasses)));
	return nulls[best] ? NULL : TextDatumGetCString(values[best]);
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

static char *
find_label(const RowBatch *batch, int label_output, ArrayType *labels,
		   int nclasses, int best)
{
	RowOutput	output;
	char	   *label = NULL;

	if (labels != NULL)
		return given_label(labels, nclasses, best);
	if (label_output >= 0)
	{
		rows_output(batch, label_output, &output);
		label = classes_label_of_output(&output, 0);
	}
	return label != NULL ? label : psprintf("%d", best);
}

/* classify(model or name, features, labels) */
static Datum
classify(FunctionCallInfo fcinfo)
{
	ArrayType  *features;
	Session    *session;
	RowBatch   *batch;
	RowOutput	output;
	int			scores_output,
				label_output;
	float	   *scores;
	double		probability;
	int			best;
	char	   *label;
	TupleDesc	columns;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	features = PG_GETARG_ARRAYTYPE_P(1);
	if (array_contains_nulls(features))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	session = target_session(call_target(fcinfo, 0));
	if (!classes_find_outputs(session, &scores_output, &label_output))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives no scores of classes"),
				 errdetail("It gives %s.", describe_ports(session->outputs, session->noutputs))));
	batch = rows_prepare(session, ArrayGetNItems(ARR_NDIM(features), ARR_DIMS(features)), NULL);
	run_row(batch, features);
	rows_output(batch, scores_output, &output);
	if (output.width < 1 || output.width > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has " INT64_FORMAT " values for a row, which are no scores of classes",
						utf8_to_server(output.port->name), output.width)));
	scores = palloc(output.width * sizeof(float));
	elements_to_floats(output.tensor->shape.type, output.tensor->data, 0, output.width, scores,
					   utf8_to_server(output.port->name));
	best = classes_best(scores, output.width, &probability);
	label = find_label(batch, label_output, PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2),
					   output.width, best);
	nulls[0] = label == NULL;
	values[0] = label == NULL ? (Datum) 0 : CStringGetTextDatum(label);
	values[1] = Float4GetDatum(probability);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

Datum
modelopt_classify(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, classify);
}
