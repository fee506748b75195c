/*
 * layers_sql.c
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

PG_FUNCTION_INFO_V1(modelopt_layers);

/* A tensor and how much of its name is its layer's. */
typedef struct Member
{
	const char *name;
	int			prefix;			/* bytes before the last dot; 0 without one */
	int			tensor;			/* index in the model */
} Member;

/* Neighbours in the sorted members. */
typedef struct Layer
{
	Member	   *members;
	int			nmembers;
} Layer;

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

/* By first appearance in the model. */
static int
compare_layers(const void *a, const void *b)
{
	return ((const Layer *) a)->members[0].tensor -
		((const Layer *) b)->members[0].tensor;
}

static Member *
sorted_members(const Model *model)
{
	Member	   *members = palloc(model->ntensors * sizeof(Member));

	for (int i = 0; i < model->ntensors; i++)
	{
		const char *name = model->tensors[i].name;
		const char *dot = strrchr(name, '.');

		members[i].name = name;
		members[i].prefix = dot == NULL ? 0 : dot - name;
		members[i].tensor = i;
	}
	qsort(members, model->ntensors, sizeof(Member), compare_members);
	return members;
}

/* The layers in the order of their first tensors. */
static Layer *
find_layers(const Model *model, int *nlayers)
{
	Member	   *members = sorted_members(model);
	Layer	   *layers = palloc(model->ntensors * sizeof(Layer));
	int			n = 0;

	for (int i = 0; i < model->ntensors; i++)
	{
		Member	   *member = &members[i];

		if (i > 0 && member->prefix == member[-1].prefix &&
			memcmp(member->name, member[-1].name, member->prefix) == 0)
			layers[n - 1].nmembers++;
		else
		{
			layers[n].members = member;
			layers[n].nmembers = 1;
			n++;
		}
	}
	qsort(layers, n, sizeof(Layer), compare_layers);
	*nlayers = n;
	return layers;
}

/* ---------- kinds ---------- */

/* The layer's tensor of that name after the last dot, or NULL. */
static const Tensor *
find_member(const Model *model, const Layer *layer, const char *leaf)
{
	for (int i = 0; i < layer->nmembers; i++)
	{
		const Member *member = &layer->members[i];
		const char *own = member->name + member->prefix;

		if (*own == '.')
			own++;
		if (strcmp(own, leaf) == 0)
			return &model->tensors[member->tensor];
	}
	return NULL;
}

/* Whether the last part of the layer's name is one that embeddings have. */
static bool
is_named_embedding(const char *layer)
{
	const char *dot = strrchr(layer, '.');
	const char *part = dot == NULL ? layer : dot + 1;
	char		lower[MODEL_MAX_NAME + 1];
	int			n = 0;

	for (; *part != '\0'; part++)
		lower[n++] = pg_ascii_tolower((unsigned char) *part);
	lower[n] = '\0';
	return strstr(lower, "embed") != NULL || strstr(lower, "embd") != NULL ||
		strcmp(lower, "wte") == 0 || strcmp(lower, "wpe") == 0;
}

/*
 * Recurrent layers differ in how many gates' weights lie above each other.
 * The suffix tells those of one step ("") from whole layers ("_l0").
 */
static const char *
recurrent_kind(const Model *model, const Layer *layer, const char *suffix,
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
weight_kind(const Model *model, const Layer *layer, const char *name)
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
			return is_named_embedding(name) ? "Embedding" : "Linear";
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
recognized_kind(const Model *model, const Layer *layer, const char *name)
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
		kind = weight_kind(model, layer, name);
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

/* What the metadata says of a layer, or NULL.  Both are in the database's
 * encoding. */
static text *
stated_kind(JsonbContainer *kinds, const char *name)
{
	JsonbValue *kind;

	if (kinds == NULL)
		return NULL;
	kind = getKeyJsonValueFromContainer(kinds, name, strlen(name), NULL);
	if (kind == NULL || kind->type != jbvString)
		return NULL;
	return cstring_to_text_with_len(kind->val.string.val,
									kind->val.string.len);
}

/* ---------- layers ---------- */

/* Counts and sizes; a payload counts in the first layer that has it. */
static void
measure_layer(const Model *model, const Layer *layer, bool *counted,
			  int64 *parameters, int64 *bytes)
{
	*parameters = 0;
	*bytes = 0;
	for (int i = 0; i < layer->nmembers; i++)
	{
		const Tensor *tensor = &model->tensors[layer->members[i].tensor];

		if (counted[tensor->payload])
			continue;
		counted[tensor->payload] = true;
		*parameters += tensor_payload(model, tensor)->count;
		*bytes += tensor_payload(model, tensor)->stored;
	}
}

static void
put_layer(ReturnSetInfo *result, const Model *model, const Layer *layer,
		  JsonbContainer *kinds, bool *counted)
{
	char	   *name = pnstrdup(layer->members[0].name,
								layer->members[0].prefix);
	text	   *kind = stated_kind(kinds, utf8_to_server(name));
	int64		parameters,
				bytes;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (kind == NULL)
	{
		const char *recognized = recognized_kind(model, layer, name);

		kind = recognized == NULL ? NULL : cstring_to_text(recognized);
	}
	measure_layer(model, layer, counted, &parameters, &bytes);

	values[0] = PointerGetDatum(utf8_to_text(name));
	values[1] = PointerGetDatum(kind);
	nulls[1] = kind == NULL;
	values[2] = Int32GetDatum(layer->nmembers);
	values[3] = Int64GetDatum(parameters);
	values[4] = Int64GetDatum(bytes);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
modelopt_layers(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	JsonbContainer *kinds = stated_kinds(model);
	bool	   *counted = palloc0(model->npayloads * sizeof(bool));
	int			nlayers;
	Layer	   *layers = find_layers(model, &nlayers);
	MemoryContext row_context;
	MemoryContext old_context;

	InitMaterializedSRF(fcinfo, 0);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "layers row",
										ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(row_context);
	for (int i = 0; i < nlayers; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_layer(result, model, &layers[i], kinds, counted);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
	return (Datum) 0;
}
