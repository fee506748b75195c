/*
 * graph_layers.c
 *		The layers of a model that has a graph.
 *
 * A layer is what shares a name up to the last dot.  Exporters give some
 * tensors names of their own ("onnx::MatMul_12"); those belong to the layer
 * that the node which takes them is called by ("/fc1/MatMul").
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"
#include "model/model_sql.h"

/* Operators that hand a tensor on without computing with it. */
static bool
hands_on(const GraphNode *node)
{
	static const char *const names[] = {
		"Cast", "DequantizeLinear", "Identity", "Reshape", "Squeeze",
		"Transpose", "Unsqueeze",
	};

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (node->op != NULL && strcmp(node->op->name, names[i]) == 0)
			return true;
	}
	return false;
}

/* For each tensor the first node that computes with it, or -1. */
static int *
find_users(const Graph *graph)
{
	int		   *users = palloc(Max(graph->model->ntensors, 1) * sizeof(int));
	int		   *source = palloc_extended(Max(graph->nvalues, 1) * sizeof(int),
										 MCXT_ALLOC_HUGE);

	for (int i = 0; i < graph->model->ntensors; i++)
		users[i] = -1;
	for (int i = 0; i < graph->nvalues; i++)
		source[i] = graph->values[i].tensor;
	for (int i = 0; i < graph->nnodes; i++)
	{
		const GraphNode *node = &graph->nodes[i];

		if (i % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < node->ninputs; j++)
		{
			int			value = node->inputs[j];

			if (value < 0 || source[value] < 0)
				continue;
			if (hands_on(node) && j == 0 && node->noutputs == 1 &&
				node->outputs[0] >= 0)
				source[node->outputs[0]] = source[value];
			else if (users[source[value]] < 0)
				users[source[value]] = i;
		}
	}
	pfree(source);
	return users;
}

/* "/layers.0/fc1/MatMul" is layers.0.fc1; NULL when that leaves nothing, or the
 * name is longer than a tensor's, of which the node may take many. */
static char *
layer_of_node(const GraphNode *node)
{
	char	   *name;
	char	   *slash;

	if (node->name.size > MODEL_MAX_NAME)
		return NULL;
	name = onnx_string(node->name);
	slash = strrchr(name, '/');
	if (*name == '/')
		name++;
	if (slash != NULL && slash >= name)
		*slash = '\0';
	for (char *c = name; *c != '\0'; c++)
	{
		if (*c == '/')
			*c = '.';
	}
	return *name != '\0' ? name : NULL;
}

static const char *
layer_name(const Graph *graph, int tensor, int user)
{
	const char *name = graph->model->tensors[tensor].name;
	const char *dot = strrchr(name, '.');
	char	   *of_node = NULL;

	if (dot != NULL)
		return pnstrdup(name, dot - name);
	if (user >= 0)
		of_node = layer_of_node(&graph->nodes[user]);
	return of_node != NULL ? of_node : name;
}

static const char **
layer_names(const Graph *graph, const int *users)
{
	const Model *model = graph->model;
	const char **names = palloc(Max(model->ntensors, 1) * sizeof(char *));

	for (int i = 0; i < model->ntensors; i++)
		names[i] = layer_name(graph, i, users[i]);
	return names;
}

const char **
graph_layer_names(const Graph *graph)
{
	return layer_names(graph, find_users(graph));
}

/* ---------- kinds ---------- */

static const struct
{
	const char *op_type;
	const char *kind;
	int			weight;			/* the input that says how many dimensions there
								 * are, when the kind depends on it */
}			kinds[] =
{
	{"BatchNormalization", "BatchNorm", 0},
	{"Conv", "Conv", 1},
	{"ConvTranspose", "ConvTranspose", 1},
	{"Gather", "Embedding", 0},
	{"Gemm", "Linear", 0},
	{"GroupNormalization", "GroupNorm", 0},
	{"GRU", "GRU", 0},
	{"InstanceNormalization", "InstanceNorm", 0},
	{"LayerNormalization", "LayerNorm", 0},
	{"LSTM", "LSTM", 0},
	{"MatMul", "Linear", 0},
	{"PRelu", "PReLU", 0},
	{"RNN", "RNN", 0},
};

static const char *
kind_of_node(const Graph *graph, const GraphNode *node)
{
	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		int			weight = kinds[i].weight;

		if (!node->is_standard || !onnx_equals(node->op_type, kinds[i].op_type))
			continue;
		if (weight == 0)
			return kinds[i].kind;
		if (weight < node->ninputs && node->inputs[weight] >= 0 &&
			graph->values[node->inputs[weight]].rank > 2)
			return psprintf("%s%dd", kinds[i].kind,
							graph->values[node->inputs[weight]].rank - 2);
	}
	return NULL;
}

/* What the graph computes with a layer's tensors; names know better what is
 * made of several nodes. */
static void
set_kind(const Graph *graph, const int *users, ModelLayer *layer)
{
	static const char *const parts[] = {"Linear", "Embedding", "LayerNorm"};
	bool		may_change = layer->kind == NULL ||
		strncmp(layer->kind, "Conv", 4) == 0;

	for (int i = 0; i < (int) lengthof(parts) && !may_change; i++)
		may_change = strcmp(layer->kind, parts[i]) == 0;
	for (int i = 0; i < layer->ntensors && may_change; i++)
	{
		int			user = users[layer->tensors[i]];
		const char *kind = user < 0 ? NULL :
			kind_of_node(graph, &graph->nodes[user]);

		if (kind == NULL)
			continue;
		layer->kind = kind;
		return;
	}
}

ModelLayer *
graph_layers(const Model *model, int *nlayers)
{
	Graph	   *graph = graph_read(model);
	ModelLayer *layers;
	int		   *users;

	if (graph == NULL)
		return model_layers(model, nlayers);
	users = find_users(graph);
	layers = model_layers_named(model, layer_names(graph, users), nlayers);
	for (int i = 0; i < *nlayers; i++)
	{
		if (!layers[i].kind_is_stated)
			set_kind(graph, users, &layers[i]);
	}
	return layers;
}

/* ---------- nodes ---------- */

static int64
count_by_graph(const Model *model)
{
	Graph	   *graph = graph_read(model);
	int64		n = 0;

	graph_analyze(graph);
	for (int i = 0; i < graph->nproducts; i++)
	{
		if (graph->products[i].y != UNKNOWN)
			n += graph->products[i].ny;
	}
	return n;
}

/* Whether a tensor is the weight that makes its layer's nodes, and along which
 * dimension; -1 when it is not. */
static int
node_dimension(const ModelLayer *layer, const Tensor *tensor)
{
	const char *dot = strrchr(tensor->name, '.');
	const char *leaf = dot != NULL ? dot + 1 : tensor->name;

	if (layer->kind == NULL)
		return -1;
	if (strcmp(leaf, "in_proj_weight") == 0 && tensor->ndim == 2)
		return 0;
	if (strcmp(leaf, "weight") != 0)
		return -1;
	if (strcmp(layer->kind, "Embedding") == 0)
		return tensor->ndim == 2 ? 1 : -1;
	if (strcmp(layer->kind, "Linear") == 0)
		return tensor->ndim == 2 ? 0 : -1;
	return strncmp(layer->kind, "Conv", 4) == 0 && tensor->ndim > 2 ? 0 : -1;
}

static int64
count_by_names(const Model *model)
{
	int			nlayers;
	ModelLayer *layers = model_layers(model, &nlayers);
	int64		n = 0;

	for (int i = 0; i < nlayers; i++)
	{
		for (int j = 0; j < layers[i].ntensors; j++)
		{
			const Tensor *tensor = &model->tensors[layers[i].tensors[j]];
			int			dim = node_dimension(&layers[i], tensor);

			/* Shapes without elements promise any size. */
			if (dim >= 0 && tensor_payload(model, tensor)->count > 0)
				n += tensor->dims[dim];
		}
	}
	return n;
}

int64
graph_count_nodes(const Model *model, bool by_graph)
{
	return by_graph ? count_by_graph(model) : count_by_names(model);
}
