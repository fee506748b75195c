/*
 * layers.c
 *		The layers of a model, as far as its tensors' names tell them.
 *
 * A layer is what shares a name up to the last dot, which is how PyTorch names
 * the parameters and buffers of a module.  What kind of layer it is stands in
 * the metadata when the source said so ("layer_kinds"), and is otherwise
 * recognized by names and shapes; a layer that looks like no known one has no
 * kind, rather than a guessed one.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "utils/memutils.h"

/* A tensor and how much of its name is its layer's. */
typedef struct Member
{
	const char *name;
	int			prefix;			/* bytes before the last dot; 0 without one */
	int			tensor;			/* index in the model */
} Member;

/* By layer, and in it by the order in the model. */
static int
compare_members(const void *a, const void *b)
{
	const Member *left = a;
	const Member *right = b;
	int			order = memcmp(left->name, right->name,
							   Min(left->prefix, right->prefix));

	if (order == 0)
		order = left->prefix - right->prefix;
	if (order == 0)
		order = left->tensor - right->tensor;
	return order;
}

static Member *
sorted_members(const Model *model, const char *const *names)
{
	Member	   *members = palloc(Max(model->ntensors, 1) * sizeof(Member));

	for (int i = 0; i < model->ntensors; i++)
	{
		const char *name = model->tensors[i].name;
		const char *dot = strrchr(name, '.');

		members[i].name = name;
		members[i].prefix = dot == NULL ? 0 : dot - name;
		if (names != NULL)
		{
			members[i].name = names[i];
			members[i].prefix = strlen(names[i]);
		}
		members[i].tensor = i;
	}
	qsort(members, model->ntensors, sizeof(Member), compare_members);
	return members;
}

/* ---------- kinds ---------- */

/* The layer's tensor of that name after the last dot, or NULL. */
static const Tensor *
find_member(const Model *model, const ModelLayer *layer, const char *leaf)
{
	size_t		prefix = strlen(layer->name);

	for (int i = 0; i < layer->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[layer->tensors[i]];
		const char *own = tensor->name;

		if (strncmp(own, layer->name, prefix) == 0 && own[prefix] == '.')
			own += prefix + 1;
		if (strcmp(own, leaf) == 0)
			return tensor;
	}
	return NULL;
}

bool
model_is_embedding_name(const char *name)
{
	static const char *const words[] = {
		"emb", "embd", "embed", "embeds", "embedding", "embeddings",
		"wte", "wpe", "position", "positions"
	};
	const char *dot = strrchr(name, '.');
	char	   *lower = pstrdup(dot == NULL ? name : dot + 1);
	char	   *rest = lower;
	char	   *word;
	bool		found = false;

	for (char *c = lower; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	while (!found && (word = strsep(&rest, "_")) != NULL)
	{
		for (int i = 0; i < (int) lengthof(words) && !found; i++)
			found = strcmp(word, words[i]) == 0;
	}
	pfree(lower);
	return found;
}

/*
 * Recurrent layers differ in how many gates' weights lie above each other.
 * The suffix tells those of one step ("") from whole layers ("_l0").
 */
static const char *
recurrent_kind(const Model *model, const ModelLayer *layer, const char *suffix,
			   const char *const kinds[3])
{
	const Tensor *input = find_member(model, layer,
									  psprintf("weight_ih%s", suffix));
	const Tensor *hidden = find_member(model, layer,
									   psprintf("weight_hh%s", suffix));

	if (input == NULL || hidden == NULL || input->ndim != 2 ||
		hidden->ndim != 2 || input->dims[0] != hidden->dims[0])
		return NULL;

	/* Only an LSTM can project its hidden state. */
	if (find_member(model, layer, psprintf("weight_hr%s", suffix)) != NULL)
		return kinds[0];
	if (hidden->dims[1] == 0 || hidden->dims[0] % hidden->dims[1] != 0)
		return NULL;
	switch (hidden->dims[0] / hidden->dims[1])
	{
		case 4:
			return kinds[0];
		case 3:
			return kinds[1];
		case 1:
			return kinds[2];
		default:
			return NULL;
	}
}

static const char *
weight_kind(const Model *model, const ModelLayer *layer)
{
	const Tensor *weight = find_member(model, layer, "weight");
	const Tensor *bias = find_member(model, layer, "bias");

	if (weight == NULL)
		return NULL;
	switch (weight->ndim)
	{
		case 1:
			if (bias != NULL && bias->ndim == 1 &&
				bias->dims[0] == weight->dims[0])
				return "LayerNorm";
			return NULL;
		case 2:
			return model_is_embedding_name(layer->name) ? "Embedding" : "Linear";
		case 3:
			return "Conv1d";
		case 4:
			return "Conv2d";
		case 5:
			return "Conv3d";
		default:
			return NULL;
	}
}

static const char *
recognized_kind(const Model *model, const ModelLayer *layer)
{
	static const char *const whole[] = {"LSTM", "GRU", "RNN"};
	static const char *const cells[] = {"LSTMCell", "GRUCell", "RNNCell"};
	const char *kind;

	if (find_member(model, layer, "running_mean") != NULL)
		return "BatchNorm";
	if (find_member(model, layer, "in_proj_weight") != NULL)
		return "MultiheadAttention";
	kind = recurrent_kind(model, layer, "_l0", whole);
	if (kind == NULL)
		kind = recurrent_kind(model, layer, "", cells);
	if (kind == NULL)
		kind = weight_kind(model, layer);
	return kind;
}

/* The metadata's object of layers' kinds, or NULL. */
static JsonbContainer *
stated_kinds(const Model *model)
{
	Jsonb	   *metadata = json_text_to_jsonb(model->metadata);
	JsonbValue *kinds;

	if (!JB_ROOT_IS_OBJECT(metadata))
		return NULL;
	kinds = getKeyJsonValueFromContainer(&metadata->root, "layer_kinds",
										 strlen("layer_kinds"), NULL);
	if (kinds == NULL || kinds->type != jbvBinary ||
		!JsonContainerIsObject(kinds->val.binary.data))
		return NULL;
	return kinds->val.binary.data;
}

/* What the metadata says of a layer, or NULL. */
static const char *
stated_kind(JsonbContainer *kinds, const ModelLayer *layer)
{
	const char *name = utf8_to_server(layer->name);
	JsonbValue *kind;

	if (kinds == NULL)
		return NULL;
	kind = getKeyJsonValueFromContainer(kinds, name, strlen(name), NULL);
	if (kind == NULL || kind->type != jbvString)
		return NULL;
	return pnstrdup(kind->val.string.val, kind->val.string.len);
}

/* ---------- layers ---------- */

/* By first appearance in the model. */
static int
compare_layers(const void *a, const void *b)
{
	return ((const ModelLayer *) a)->tensors[0] -
		((const ModelLayer *) b)->tensors[0];
}

static bool
same_layer(const Member *a, const Member *b)
{
	return a->prefix == b->prefix && memcmp(a->name, b->name, a->prefix) == 0;
}

ModelLayer *
model_layers(const Model *model, int *nlayers)
{
	return model_layers_named(model, NULL, nlayers);
}

ModelLayer *
model_layers_named(const Model *model, const char *const *names, int *nlayers)
{
	Member	   *members = sorted_members(model, names);
	ModelLayer *layers = palloc(Max(model->ntensors, 1) * sizeof(ModelLayer));
	int		   *tensors = palloc(Max(model->ntensors, 1) * sizeof(int));
	JsonbContainer *kinds = stated_kinds(model);
	int			n = 0;

	for (int i = 0; i < model->ntensors; i++)
	{
		tensors[i] = members[i].tensor;
		if (i == 0 || !same_layer(&members[i - 1], &members[i]))
		{
			layers[n].name = pnstrdup(members[i].name, members[i].prefix);
			layers[n].tensors = &tensors[i];
			layers[n].ntensors = 0;
			n++;
		}
		layers[n - 1].ntensors++;
	}
	pfree(members);
	qsort(layers, n, sizeof(ModelLayer), compare_layers);

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		layers[i].kind = stated_kind(kinds, &layers[i]);
		layers[i].kind_is_stated = layers[i].kind != NULL;
		if (layers[i].kind == NULL)
			layers[i].kind = recognized_kind(model, &layers[i]);
	}
	*nlayers = n;
	return layers;
}
