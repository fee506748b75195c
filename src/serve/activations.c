/*
 * activations.c
 *		Values inside of a graph, as they were seen while it ran.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "serve/activations.h"

/* Elements that are looked at at once. */
#define CHUNK 8192

/* What a weight is multiplied with. */
typedef struct WeightInputs
{
	int			tensor;
	int64		n;				/* 0 before they were seen */
	double	   *squares;		/* sums over rows */
} WeightInputs;

/* A weight that a value is multiplied with. */
typedef struct Feed
{
	struct Feed *next;
	int			weight;			/* number among WeightInputs */
	int			axis;			/* of features; -1 for the last one */
	int64		groups;
} Feed;

typedef struct Activation
{
	const char *name;			/* UTF-8 */
	int			value;			/* of the graph */
	int			output;			/* of the session, or -1 when not yet known */
	bool		is_seen;
	float		min;
	float		max;
	Feed	   *feeds;
} Activation;

struct Activations
{
	MemoryContext context;
	const Model *model;
	int64		nrows;			/* looked at */
	int			n;
	Activation *items;
	int			nweights;
	WeightInputs *weights;
};

/* ---------- which values ---------- */

static Activation *
find_activation(Activations *activations, const Graph *graph, int value)
{
	Activation *found = activations->items;

	while (found < activations->items + activations->n && found->value != value)
		found++;
	if (found == activations->items + activations->n)
	{
		memset(found, 0, sizeof(*found));
		found->value = value;
		found->name = onnx_string(graph->values[value].name);
		found->output = -1;
		activations->n++;
	}
	return found;
}

static int
find_weight(Activations *activations, int tensor)
{
	int			i = 0;

	while (i < activations->nweights && activations->weights[i].tensor != tensor)
		i++;
	if (i == activations->nweights)
		activations->weights[activations->nweights++] = (WeightInputs) {.tensor = tensor};
	return i;
}

static void
add_feed(Activations *activations, const Graph *graph, const GraphFeed *given)
{
	Activation *activation = find_activation(activations, graph, given->value);
	Feed	   *feed;

	if (given->weight < 0)
		return;
	feed = palloc(sizeof(Feed));
	feed->weight = find_weight(activations, given->weight);
	feed->axis = given->axis;
	feed->groups = Max(given->groups, 1);
	feed->next = activation->feeds;
	activation->feeds = feed;
}

static Model *
show_values(const Activations *activations, const Model *model, const Graph *graph)
{
	Model	   *shown = model_copy(CurrentMemoryContext, model);
	int		   *values = palloc(Max(activations->n, 1) * sizeof(int));
	int			n = 0;
	OnnxBytes	bytes;

	for (int i = 0; i < activations->n; i++)
		if (!graph->values[activations->items[i].value].is_output)
			values[n++] = activations->items[i].value;
	bytes = graph_with_outputs(graph, values, n);
	model_set_graph(shown, bytes.data, bytes.size);
	return shown;
}

Activations *
activations_of(const Model *model, Model **shown)
{
	Activations *activations = palloc0(sizeof(Activations));
	Graph	   *graph = graph_read(model);
	GraphFeed  *feeds;
	int			n;

	if (graph == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has no graph, so nothing says how to compute with it"),
				 errhint("set_graph() gives one to the weights of a network; ONNX files have theirs.")));
	feeds = graph_feeds(graph, &n);
	activations->context = CurrentMemoryContext;
	activations->model = model;
	activations->items = palloc_extended(Max(n, 1) * sizeof(Activation), MCXT_ALLOC_HUGE);
	activations->weights = palloc_extended(Max(n, 1) * sizeof(WeightInputs), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_feed(activations, graph, &feeds[i]);
		if (activations->n > ORT_MAX_PORTS / 2)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("model has too many values to calibrate"),
					 errdetail("More than %d go into its products.", ORT_MAX_PORTS / 2)));
	}
	*shown = show_values(activations, model, graph);
	return activations;
}

/* ---------- a run ---------- */

static void
find_output(Activation *activation, const Session *session)
{
	for (int i = 0; i < session->noutputs && activation->output < 0; i++)
		if (strcmp(session->outputs[i].name, activation->name) == 0)
			activation->output = i;
	if (activation->output < 0)
		elog(ERROR, "model does not give \"%s\"", utf8_to_server(activation->name));
}

/* The elements that one feature has in the tensor: runs of step, every
 * nfeatures x step elements. */
typedef struct Features
{
	int64		n;
	int64		step;
	double	   *squares;
} Features;

static bool
find_features(Activations *activations, const Feed *feed, const TensorShape *shape,
			  Features *features)
{
	int			axis = feed->axis < 0 ? shape->ndim - 1 : feed->axis;
	WeightInputs *inputs = &activations->weights[feed->weight];

	if (axis < 0 || axis >= shape->ndim)
		return false;
	features->n = shape->dims[axis];
	features->step = 1;
	for (int i = axis + 1; i < shape->ndim; i++)
		features->step *= shape->dims[i];
	if (features->n == 0 || features->n % feed->groups != 0)
		return false;
	if (inputs->squares == NULL)
	{
		inputs->n = features->n / feed->groups;
		inputs->squares = MemoryContextAllocExtended(activations->context,
													 inputs->n * sizeof(double),
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	}
	features->squares = inputs->squares;
	return inputs->n == features->n / feed->groups;
}

static void
add_squares(const Features *features, int64 ninputs, const float *values, int64 first, int64 n)
{
	for (int64 i = 0; i < n; i++)
	{
		int64		feature = (first + i) / features->step % features->n;

		features->squares[feature % ninputs] += (double) values[i] * values[i];
	}
}

static void
add_range(Activation *activation, const float *values, int64 n)
{
	for (int64 i = 0; i < n; i++)
	{
		if (!isfinite(values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("value \"%s\" of the graph is not finite",
							utf8_to_server(activation->name))));
		activation->min = activation->is_seen ? Min(activation->min, values[i]) : values[i];
		activation->max = activation->is_seen ? Max(activation->max, values[i]) : values[i];
		activation->is_seen = true;
	}
}

/* Elements of the rows that there are, and not of padding. */
static int64
count_elements(const RowBatch *batch, const TensorShape *shape)
{
	int64		count;

	(void) shape_elements(shape, &count);
	if (batch->nrows < batch->batch && shape->ndim > 0 && shape->dims[0] % batch->batch == 0)
		count = count / batch->batch * batch->nrows;
	return count;
}

static void
look(Activations *activations, Activation *activation, const RowBatch *batch)
{
	const ServedTensor *tensor;
	DType		dtype;
	int64		count;
	float		values[CHUNK];

	if (activation->output < 0)
		find_output(activation, batch->session);
	tensor = session_output(batch->session, activation->output);
	dtype = element_dtype(tensor->shape.type);
	if (dtype == DTYPE_INVALID || !dtype_is_float(dtype))
		return;
	count = count_elements(batch, &tensor->shape);
	for (int64 first = 0; first < count; first += CHUNK)
	{
		int64		n = Min(CHUNK, count - first);
		Features	features;

		CHECK_FOR_INTERRUPTS();
		elements_to_floats(tensor->shape.type, tensor->data, first, n, values, activation->name);
		add_range(activation, values, n);
		for (const Feed *feed = activation->feeds; feed != NULL; feed = feed->next)
			if (find_features(activations, feed, &tensor->shape, &features))
				add_squares(&features, activations->weights[feed->weight].n, values, first, n);
	}
}

void
activations_look(Activations *activations, const RowBatch *batch)
{
	activations->nrows += batch->nrows;
	for (int i = 0; i < activations->n; i++)
		look(activations, &activations->items[i], batch);
}

/* ---------- results ---------- */

static void
append_key(StringInfo out, const char *name)
{
	appendStringInfoChar(out, out->len > 1 ? ',' : '{');
	json_append_string(out, name, strlen(name));
	appendStringInfoChar(out, ':');
}

static void
append_float(StringInfo out, float value)
{
	char		digits[FLOAT_SHORTEST_DECIMAL_LEN];

	float_to_shortest_decimal_buf(value, digits);
	appendStringInfoString(out, digits);
}

static Jsonb *
finish_object(StringInfo out)
{
	if (out->len == 0)
		appendStringInfoChar(out, '{');
	appendStringInfoChar(out, '}');
	return json_text_to_jsonb(out->data);
}

Jsonb *
activations_ranges(const Activations *activations)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < activations->n; i++)
	{
		const Activation *activation = &activations->items[i];

		if (!activation->is_seen)
			continue;
		append_key(&out, activation->name);
		appendStringInfoChar(&out, '[');
		append_float(&out, activation->min);
		appendStringInfoChar(&out, ',');
		append_float(&out, activation->max);
		appendStringInfoChar(&out, ']');
	}
	return finish_object(&out);
}

Jsonb *
activations_norms(const Activations *activations)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < activations->nweights; i++)
	{
		const WeightInputs *inputs = &activations->weights[i];

		if (inputs->squares == NULL)
			continue;
		append_key(&out, activations->model->tensors[inputs->tensor].name);
		for (int64 k = 0; k < inputs->n; k++)
		{
			appendStringInfoChar(&out, k == 0 ? '[' : ',');
			append_float(&out, (float) sqrt(inputs->squares[k] / activations->nrows));
		}
		appendStringInfoChar(&out, ']');
	}
	return finish_object(&out);
}
