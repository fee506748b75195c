/*
 * cut_layers_metadata_sql.c
 *		What a model's metadata says of layers, after some were cut.
 *
 * Configurations count blocks ("num_hidden_layers": 12, "llama.block_count": 32)
 * and keep lists with an entry for each.  A reader that finds another number of
 * blocks refuses the file, so both follow.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut_layers.h"
#include "utils/numeric.h"

#define KINDS_KEY "layer_kinds"

/* An object that counts the blocks of a stack that lost some. */
typedef struct Count
{
	int			stack;
	int			before;
	int			after;
	const char *key_prefix;		/* of keys with dots, up to the last one */
} Count;

/* ---------- counts ---------- */

static int
blocks_left(const LayerPlan *plan, int stack)
{
	return plan->stacks[stack].nblocks -
		plan->stacks[stack].before[plan->stacks[stack].nblocks];
}

static bool
is_block_cut(const LayerPlan *plan, int stack, int index)
{
	return plan->stacks[stack].before[index + 1] > plan->stacks[stack].before[index];
}

/* Keys that count blocks, by what follows their last dot. */
static bool
is_count_key(const char *key)
{
	static const char *const names[] = {
		"block_count", "decoder_layers", "depth", "encoder_layers", "n_layer",
		"n_layers", "num_blocks", "num_decoder_layers", "num_encoder_layers",
		"num_hidden_layers", "num_layers",
	};
	const char *dot = strrchr(key, '.');

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(dot != NULL ? dot + 1 : key, names[i]) == 0)
			return true;
	}
	return false;
}

/* Whether a key and a stack are of different halves of a model. */
static bool
contradicts(const char *key, const char *prefix)
{
	bool		key_decoder = strstr(key, "decoder") != NULL;
	bool		key_encoder = strstr(key, "encoder") != NULL;

	return (key_decoder && strstr(prefix, "encoder") != NULL) ||
		(key_encoder && strstr(prefix, "decoder") != NULL);
}

static char *
value_to_key(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The number that a value is, or -1. */
static int
value_to_count(const JsonbValue *value)
{
	bool		has_error = false;
	int			n;

	if (value->type != jbvNumeric)
		return -1;
	n = numeric_int4_opt_error(value->val.numeric, &has_error);
	return has_error ? -1 : n;
}

static bool
match_count(const LayerPlan *plan, const char *key, int number, Count *count)
{
	if (number < 1 || !is_count_key(key))
		return false;
	for (int i = 0; i < plan->nstacks; i++)
	{
		const char *dot = strrchr(key, '.');

		if (plan->stacks[i].nblocks != number ||
			blocks_left(plan, i) == number ||
			contradicts(key, utf8_to_server(plan->stacks[i].prefix)))
			continue;
		count->stack = i;
		count->before = number;
		count->after = blocks_left(plan, i);
		count->key_prefix = dot != NULL ? pnstrdup(key, dot + 1 - key) : "";
		return true;
	}
	return false;
}

/* The count that an object has among its members. */
static bool
find_count(const LayerPlan *plan, JsonbContainer *object, Count *count)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *key = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = value_to_key(&value);
		else if (token == WJB_VALUE &&
				 match_count(plan, key, value_to_count(&value), count))
			return true;
	}
	return false;
}

/* ---------- putting it together ---------- */

static void put_container(const LayerPlan *plan, JsonbParseState **state,
						  JsonbContainer *container, bool is_kinds);

static void
put_value(const LayerPlan *plan, JsonbParseState **state,
		  JsonbIteratorToken token, JsonbValue *value, bool is_kinds)
{
	if (value->type == jbvBinary)
		put_container(plan, state, value->val.binary.data, is_kinds);
	else
		pushJsonbValue(state, token, value);
}

/* An entry for each block. */
static void
put_list(const LayerPlan *plan, JsonbParseState **state,
		 JsonbContainer *array, const Count *count)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			index = 0;

	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && !is_block_cut(plan, count->stack, index++))
			put_value(plan, state, WJB_ELEM, &value, false);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static bool
is_list(const JsonbValue *value, const char *key, const Count *count)
{
	return value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data) &&
		JsonContainerSize(value->val.binary.data) == count->before &&
		strncmp(key, count->key_prefix, strlen(count->key_prefix)) == 0;
}

static void
put_member(const LayerPlan *plan, JsonbParseState **state, const char *key,
		   JsonbValue *value, const Count *count)
{
	Count		own;
	JsonbValue	number;

	if (count != NULL && is_list(value, key, count))
		put_list(plan, state, value->val.binary.data, count);
	else if (match_count(plan, key, value_to_count(value), &own))
	{
		number.type = jbvNumeric;
		number.val.numeric = int64_to_numeric(own.after);
		pushJsonbValue(state, WJB_VALUE, &number);
	}
	else
		put_value(plan, state, WJB_VALUE, value, strcmp(key, KINDS_KEY) == 0);
}

/* The key that names a layer, after the cut; false when it has gone. */
static bool
rename_key(const LayerPlan *plan, JsonbValue *key)
{
	char	   *name = value_to_key(key);
	const char *renamed = layer_new_name(plan,
										 pg_server_to_any(name, strlen(name),
														  PG_UTF8));

	if (renamed == NULL)
		return false;
	key->val.string.val = unconstify(char *, utf8_to_server(renamed));
	key->val.string.len = strlen(key->val.string.val);
	return true;
}

/* Returns the object when it is the outermost one. */
static JsonbValue *
put_object(const LayerPlan *plan, JsonbParseState **state,
		   JsonbContainer *object, bool is_kinds)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;
	Count		count;
	bool		has_count = find_count(plan, object, &count);
	char	   *key = NULL;
	bool		is_gone = false;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			key = value_to_key(&value);
			is_gone = is_kinds && !rename_key(plan, &value);
			if (!is_gone)
				pushJsonbValue(state, WJB_KEY, &value);
		}
		else if (token == WJB_VALUE && !is_gone)
			put_member(plan, state, key, &value, has_count ? &count : NULL);
	}
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
put_container(const LayerPlan *plan, JsonbParseState **state,
			  JsonbContainer *container, bool is_kinds)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (JsonContainerIsObject(container))
	{
		(void) put_object(plan, state, container, is_kinds);
		return;
	}
	iterator = JsonbIteratorInit(container);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			put_value(plan, state, WJB_ELEM, &value, false);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

char *
layer_plan_metadata(const LayerPlan *plan)
{
	Jsonb	   *metadata = json_text_to_jsonb(plan->model->metadata);
	JsonbParseState *state = NULL;

	return jsonb_to_json_text(JsonbValueToJsonb(put_object(plan, &state,
														   &metadata->root,
														   false)));
}
