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

/* The runtime's outputs are bounded, and the model has some of its own. */
#define MAX_VALUES (ORT_MAX_PORTS / 2)

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

/* Numbers by value and by tensor, -1 for none, while they are given. */
typedef struct Numbers
{
	int		   *of_values;
	int		   *of_tensors;
} Numbers;

static int *
no_numbers(int n)
{
	int		   *numbers = palloc_extended(Max((Size) n, 1) * sizeof(int), MCXT_ALLOC_HUGE);

	memset(numbers, -1, n * sizeof(int));
	return numbers;
}

static Activation *
find_activation(Activations *activations, const Graph *graph, int value, Numbers *numbers)
{
	int		   *number = &numbers->of_values[value];

	if (*number < 0)
	{
		if (activations->n == MAX_VALUES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("model has too many values to calibrate"),
					 errdetail("More than %d go into its products.", MAX_VALUES)));
		*number = activations->n++;
		activations->items[*number] = (Activation) {
			.name = onnx_string(graph->values[value].name), .value = value, .output = -1
		};
	}
	return &activations->items[*number];
}

static int
find_weight(Activations *activations, int tensor, Numbers *numbers)
{
	int		   *number = &numbers->of_tensors[tensor];

	if (*number < 0)
	{
		*number = activations->nweights++;
		activations->weights[*number] = (WeightInputs) {.tensor = tensor};
	}
	return *number;
}

static void
add_feed(Activations *activations, const Graph *graph, const GraphFeed *given,
		 Numbers *numbers)
{
	Activation *activation = find_activation(activations, graph, given->value, numbers);
	Feed	   *feed;

	if (given->weight < 0)
		return;
	feed = palloc(sizeof(Feed));
	feed->weight = find_weight(activations, given->weight, numbers);
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
	Numbers		numbers;
	int			n;

	if (graph == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has no graph, so nothing says how to compute with it"),
				 errhint("set_graph() gives one to the weights of a network; ONNX files have theirs.")));
	feeds = graph_feeds(graph, &n);
	activations->context = CurrentMemoryContext;
	activations->model = model;
	activations->items = palloc(MAX_VALUES * sizeof(Activation));
	activations->weights = palloc_extended(Max((Size) model->ntensors, 1) * sizeof(WeightInputs),
										   MCXT_ALLOC_HUGE);
	numbers.of_values = no_numbers(graph->nvalues);
	numbers.of_tensors = no_numbers(model->ntensors);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_feed(activations, graph, &feeds[i], &numbers);
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

/* Where the inputs of a weight are in a tensor: step elements of each. */
typedef struct Features
{
	int64		ninputs;
	int64		step;
	double	   *squares;
} Features;

/* False when the tensor has not the weight's inputs. */
static bool
find_features(Activations *activations, const Feed *feed, const TensorShape *shape,
			  Features *features)
{
	int			axis = feed->axis < 0 ? shape->ndim - 1 : feed->axis;
	WeightInputs *inputs = &activations->weights[feed->weight];

	if (axis < 0 || axis >= shape->ndim || shape->dims[axis] == 0 ||
		shape->dims[axis] % feed->groups != 0)
		return false;
	features->ninputs = shape->dims[axis] / feed->groups;
	features->step = 1;
	for (int i = axis + 1; i < shape->ndim; i++)
		features->step *= shape->dims[i];
	if (inputs->squares == NULL)
	{
		inputs->n = features->ninputs;
		inputs->squares = MemoryContextAllocExtended(activations->context,
													 inputs->n * sizeof(double),
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	}
	features->squares = inputs->squares;
	return inputs->n == features->ninputs;
}

/* Inputs come one after another, those of each group anew. */
static void
add_squares(const Features *features, const float *values, int64 first, int64 n)
{
	int64		input = first / features->step % features->ninputs;
	int64		left = features->step - first % features->step;

	for (int64 i = 0; i < n; i++)
	{
		features->squares[input] += (double) values[i] * values[i];
		if (--left > 0)
			continue;
		left = features->step;
		if (++input == features->ninputs)
			input = 0;
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

		elements_to_floats(tensor->shape.type, tensor->data, first, n, values,
						   utf8_to_server(activation->name));
		CHECK_FOR_INTERRUPTS();
		add_range(activation, values, n);
		for (const Feed *feed = activation->feeds; feed != NULL; feed = feed->next)
		{
			CHECK_FOR_INTERRUPTS(); /* a value may be used any number of times */
			if (find_features(activations, feed, &tensor->shape, &features))
				add_squares(&features, values, first, n);
		}
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
