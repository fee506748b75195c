/*
 * fuzz_graph.c
 *		libFuzzer target: architectures and hostile graphs, and cuts of both.
 *
 * An input is first the text of an architecture, for a model of a few layers.
 * What becomes a graph must be one whose shapes fit.  Then the input is the
 * graph of a stored model, which may come from anybody, with tensors that fit
 * it.  Either is gone through, and loses nodes, dead nodes or layers in one of
 * many ways, by its bytes; what comes out must have a graph that can be gone
 * through again.
 */
#include "postgres.h"

#include "graph/graph.h"
#include "harness.h"
#include "model/model_sql.h"
#include "transform/cut.h"
#include "transform/cut_layers.h"
#include "transform/prune.h"

/* Elements of a tensor at most; larger ones are left to the other tests. */
#define MAX_ELEMENTS 4096

/* To use a model; those of a stored graph follow those of a text. */
#define WAYS 12

typedef struct Job
{
	const char *data;
	size_t		size;
	Model	   *model;			/* of the attempt that is being made */
	int			way;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---------- what needs a server ---------- */

/* Layers by name and metadata are jsonb's, and not what is tested here. */
ModelLayer *
model_layers(const Model *model, int *nlayers)
{
	*nlayers = 0;
	return NULL;
}

ModelLayer *
model_layers_named(const Model *model, const char *const *names, int *nlayers)
{
	*nlayers = 0;
	return NULL;
}

bool
model_is_embedding_name(const char *name)
{
	return false;
}

char *
layer_plan_metadata(const LayerPlan *plan)
{
	return pstrdup("{}");
}

const char *
prune_method_name(PruneMethod method)
{
	return "";
}

/* ---------- models ---------- */

static void
add_tensor(Model *model, const char *name, DType dtype, int ndim,
		   const int64 *dims)
{
	int64		count = 1;
	int			payload;

	for (int i = 0; i < ndim; i++)
		count *= dims[i];
	payload = model_new_payload(model, dtype, ENCODING_DENSE, count,
								dtype_bytes(dtype, count));
	memset(model->payloads[payload]->bytes, 0, dtype_bytes(dtype, count));
	for (int64 i = 0; dtype == DTYPE_F32 && i < count; i++)
	{
		float		value = (float) (i * 7 % 5) - 1;

		memcpy(model->payloads[payload]->bytes + 4 * i, &value, sizeof(value));
	}
	model_add_tensor(model, name, strlen(name), ndim, dims, payload);
}

/* Layers for architectures: each kind, in sizes that go together. */
static Model *
layers_model(void)
{
	static const struct
	{
		const char *name;
		int			ndim;
		int64		dims[4];
	}			tensors[] =
	{
		{"l.weight", 2, {6, 4}}, {"l.bias", 1, {6}},
		{"s.weight", 2, {6, 6}}, {"s.bias", 1, {6}},
		{"b.0.weight", 2, {6, 6}}, {"b.1.weight", 2, {6, 6}},
		{"e.weight", 2, {5, 6}}, {"n.weight", 1, {6}}, {"n.bias", 1, {6}},
		{"a.in_proj_weight", 2, {18, 6}}, {"a.in_proj_bias", 1, {18}},
		{"a.out_proj.weight", 2, {6, 6}},
		{"c.weight", 4, {6, 3, 3, 3}}, {"c.bias", 1, {6}},
		{"d.weight", 4, {6, 1, 3, 3}}, {"g.weight", 4, {6, 2, 1, 1}},
		{"bn.weight", 1, {6}}, {"bn.bias", 1, {6}},
		{"bn.running_mean", 1, {6}}, {"bn.running_var", 1, {6}},
		{"w.weight", 3, {6, 2, 3}},
	};
	Model	   *model = model_create(CurrentMemoryContext);

	for (int i = 0; i < (int) lengthof(tensors); i++)
		add_tensor(model, tensors[i].name, DTYPE_F32, tensors[i].ndim,
				   tensors[i].dims);
	return model;
}

/* Tensors for a graph's initializers; false when one is too large. */
static bool
add_initializers(Model *model, OnnxBytes graph)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;

	while (onnx_next(&reader, GRAPH_INITIALIZER, &field))
	{
		OnnxTensor	tensor;

		onnx_scan_tensor(&tensor, onnx_bytes(&field));
		if (tensor.type->dtype == DTYPE_INVALID)
			continue;
		if (tensor.count > MAX_ELEMENTS || tensor.name.size > MODEL_MAX_NAME)
			return false;
		add_tensor(model, onnx_string(tensor.name), tensor.type->dtype,
				   tensor.ndim, tensor.dims);
	}
	return true;
}

/* ---------- cuts ---------- */

/* What comes out is a model again, whose graph is like any other. */
static void
check_model(Model *model)
{
	uint64		size;

	(void) harness_flatten(model, &size);
	graph_analyze(graph_read(model));
}

static void
cut_nodes(const Model *model, int way)
{
	CutPlan    *plan = cut_plan_create(model);
	CutRequest	request = {
		.method = way % 3 == 0 ? CUT_L2 : way % 3 == 1 ? CUT_RANDOM : CUT_L1,
		.is_global = way % 2 == 1,
		.fraction = 0.5,
		.round_to = 1 + way % 2,
		.patterns = {.verb = "cut nodes of"},
	};

	cut_plan_choose(plan, &request.patterns);
	cut_plan_check(plan);
	cut_measure(plan, &request);
	cut_choose(plan, &request);
	check_model(cut_apply(plan));
}

static void
cut_dead(const Model *model)
{
	CutPlan    *plan = cut_plan_create(model);

	(void) cut_find_dead(plan);
	check_model(cut_apply(plan));
}

static void
cut_layers(const Model *model, int way)
{
	LayerPlan  *plan = layer_plan_create(model);

	if (way % 2 == 0)
	{
		layer_plan_check(plan);
		layer_plan_measure(plan);
		layer_plan_cut_fraction(plan, 0.5);
	}
	else
		layer_plan_name(plan, way % 4 == 1 ? "b.[0-1]" : "?");
	check_model(layer_plan_apply(plan));
}

/* Each as a statement of its own, for it may raise. */
static void
use_model(void *arg)
{
	Job		   *job = arg;
	Model	   *model = layers_model();
	Architecture *architecture = architecture_create();
	const bool *used;
	OnnxBytes	graph;

	if (job->way < WAYS)
	{
		architecture_read(architecture, pnstrdup(job->data, job->size));
		graph = architecture_build(model, architecture, &used);
		model_set_graph(model, graph.data, graph.size);
	}
	else
	{
		model = model_create(CurrentMemoryContext);
		model_set_graph(model, job->data, job->size);
		if (!add_initializers(model, onnx_get(onnx_model_graph(model),
											  MODEL_GRAPH)))
			return;
	}
	switch (job->way % WAYS)
	{
		case 0:
			graph_analyze(graph_read(model));
			break;
		case 1:
			cut_dead(model);
			break;
		case 2:
		case 3:
		case 4:
		case 5:
		case 6:
		case 7:
			cut_nodes(model, job->way);
			break;
		default:
			cut_layers(model, job->way);
			break;
	}
}

static void
build_text(void *arg)
{
	Job		   *job = arg;
	Architecture *architecture = architecture_create();
	const bool *used;

	architecture_read(architecture, pnstrdup(job->data, job->size));
	(void) architecture_build(layers_model(), architecture, &used);
}

/* ---------- the target ---------- */

static uint32
choose(const uint8_t *data, size_t size)
{
	uint32		sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = sum * 31 + data[i];
	return sum >> 4;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Job			job = {.size = size};
	bool		is_text;
	bool		is_graph;

	harness_begin(data, size);
	job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
	is_text = server_utf8_is_valid(job.data, size) &&
		harness_attempt(build_text, &job);
	if (is_text && !harness_attempt(use_model, &job))
		server_die("a graph that was built does not fit: %s",
				   server_error_text());
	job.way = WAYS;
	is_graph = !is_text && harness_attempt(use_model, &job);
	job.way = (is_text ? 0 : WAYS) + 1 + choose(data, size) % (WAYS - 1);
	if (is_text || is_graph)
		(void) harness_attempt(use_model, &job);
	harness_end();
	harness_outcome(is_text || is_graph);
	return 0;
}
