/*
 * pytorch_choose.c
 *		Which part of a checkpoint holds the weights.
 *
 * Owns the rule: the caller's key if there is one, else the only entry of the
 * usual names that holds a dict of tensors, else everything.  Does not look
 * further down than it must.
 */
#include "postgres.h"

#include "format/pytorch.h"
#include "miscadmin.h"

#define LISTED_KEYS		12

/* The entries that training scripts keep weights under. */
static const char *const usual_keys[] = {
	"state_dict", "model_state_dict", "model", "module", "net", "params",
	"params_ema", "ema", "weights",
};

/* ---------- modules ---------- */

bool
pytorch_is_module(const Pickle *pickle, PickleRef ref, PickleRef *state)
{
	static const char *const attributes[] = {
		"_parameters", "_buffers", "_modules",
	};

	if (pickle_kind(pickle, ref) != PICKLE_OBJECT)
		return false;
	*state = pickle_node(pickle, ref)->state;
	if (*state == PICKLE_NOWHERE || pickle_kind(pickle, *state) != PICKLE_DICT)
		return false;
	for (int i = 0; i < lengthof(attributes); i++)
	{
		PickleRef	value = pickle_find(pickle, *state, attributes[i],
										strlen(attributes[i]));

		if (value == PICKLE_NOWHERE ||
			pickle_kind(pickle, value) != PICKLE_DICT)
			return false;
	}
	return true;
}

void
pytorch_refuse_module(const Pickle *pickle, PickleRef ref)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("checkpoint is a pickled module of class \"%s\"",
					pickle_type_name(pickle, ref)),
			 errdetail("It names Python classes, which are never run here; the weights can be read past them."),
			 errhint("Use allow_modules => true, or save the module's state_dict().")));
	pg_unreachable();
}

/* ---------- the usual entries ---------- */

static bool
has_tensor(const Pickle *pickle, PickleRef dict)
{
	const PickleNode *node = pickle_node(pickle, dict);
	uint32		cell = node->u.items.first;

	for (uint32 i = 0; i < node->u.items.count; i++)
	{
		if (pytorch_is_tensor(pickle, pickle->cells[cell].value))
			return true;
		cell = pickle->cells[cell].next;
	}
	return false;
}

static bool
holds_weights(const PytorchReader *reader, PickleRef ref)
{
	PickleRef	dict;
	PickleRef	state;

	if (pickle_as_dict(reader->pickle, ref, &dict))
		return has_tensor(reader->pickle, dict);
	return reader->options->allow_modules &&
		pytorch_is_module(reader->pickle, ref, &state);
}

static PytorchChoice
choose_whole(const PytorchReader *reader)
{
	PytorchChoice choice = {.node = reader->pickle->root,.key = ""};

	return choice;
}

static void
report_several(const char *first, const char *all)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("checkpoint holds several sets of weights: %s", all),
			 errhint("Choose one, as in key => '%s', or read all of them with key => ''.",
					 first)));
}

static PytorchChoice
choose_usual(const PytorchReader *reader)
{
	const Pickle *pickle = reader->pickle;
	PytorchChoice choice = choose_whole(reader);
	PickleRef	dict;
	StringInfoData found;
	int			n = 0;

	if (!pickle_as_dict(pickle, pickle->root, &dict))
		return choice;
	initStringInfo(&found);
	for (int i = 0; i < lengthof(usual_keys); i++)
	{
		PickleRef	value = pickle_find(pickle, dict, usual_keys[i],
										strlen(usual_keys[i]));

		if (value == PICKLE_NOWHERE || !holds_weights(reader, value))
			continue;
		appendStringInfo(&found, n > 0 ? ", \"%s\"" : "\"%s\"", usual_keys[i]);
		if (n++ == 0)
		{
			choice.node = value;
			choice.key = usual_keys[i];
			choice.key_length = strlen(usual_keys[i]);
		}
	}
	if (n > 1)
		report_several(choice.key, found.data);
	return choice;
}

/* ---------- the caller's key ---------- */

/* The item of a list that a key of digits means, or PICKLE_NOWHERE. */
static PickleRef
find_item(const Pickle *pickle, PickleRef list, const char *key, size_t length)
{
	const PickleNode *node = pickle_node(pickle, list);
	uint32		cell = node->u.items.first;
	uint32		index = 0;

	if (length == 0 || length > 9)
		return PICKLE_NOWHERE;
	for (size_t i = 0; i < length; i++)
	{
		if (key[i] < '0' || key[i] > '9')
			return PICKLE_NOWHERE;
		index = index * 10 + (key[i] - '0');
	}
	if (index >= node->u.items.count)
		return PICKLE_NOWHERE;
	while (index-- > 0)
		cell = pickle->cells[cell].next;
	return pickle->cells[cell].value;
}

/* The value that a dict has under the integer that a key spells, as names of
 * tensors do, or PICKLE_NOWHERE. */
static PickleRef
find_number(const Pickle *pickle, PickleRef dict, const char *key,
			size_t length)
{
	const PickleNode *node = pickle_node(pickle, dict);
	uint32		cell = node->u.items.first;
	PickleRef	found = PICKLE_NOWHERE;
	char		digits[24];

	if (length >= sizeof(digits))
		return PICKLE_NOWHERE;
	for (uint32 i = 0; i < node->u.items.count; i++)
	{
		const PickleNode *candidate = pickle_node(pickle,
												  pickle->cells[cell].key);

		if (candidate->kind == PICKLE_INT &&
			snprintf(digits, sizeof(digits), INT64_FORMAT,
					 candidate->u.integer) == length &&
			memcmp(digits, key, length) == 0)
			found = pickle->cells[cell].value;
		cell = pickle->cells[cell].next;
	}
	return found;
}

static PickleRef
find_entry(const Pickle *pickle, PickleRef container, const char *key,
		   size_t length)
{
	PickleRef	items;
	PickleRef	found;

	if (pickle_as_dict(pickle, container, &items))
	{
		found = pickle_find(pickle, items, key, length);
		return found != PICKLE_NOWHERE ? found :
			find_number(pickle, items, key, length);
	}
	if (pickle_as_list(pickle, container, &items))
		return find_item(pickle, items, key, length);
	return PICKLE_NOWHERE;
}

static void
report_no_entry(const Pickle *pickle, const char *key)
{
	StringInfoData keys;
	PickleRef	dict;
	uint32		cell;
	int			listed = 0;

	initStringInfo(&keys);
	if (pickle_as_dict(pickle, pickle->root, &dict))
	{
		cell = pickle_node(pickle, dict)->u.items.first;
		for (uint32 i = 0; i < pickle_node(pickle, dict)->u.items.count; i++)
		{
			PickleRef	ref = pickle->cells[cell].key;

			cell = pickle->cells[cell].next;
			if (pickle_kind(pickle, ref) != PICKLE_STRING)
				continue;
			if (listed++ == LISTED_KEYS)
			{
				appendStringInfoString(&keys, ", ...");
				break;
			}
			appendStringInfo(&keys, listed > 1 ? ", \"%s\"" : "\"%s\"",
							 printable_bytes(pickle_text(pickle, ref),
											 pickle_node(pickle, ref)->u.text.length));
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("checkpoint has no entry \"%s\"",
					printable_bytes(key, strlen(key))),
			 listed > 0 ? errhint("It has the entries %s.", keys.data) : 0));
}

/*
 * Follows a dotted path.  Keys may have dots themselves, so at each step the
 * longest key that is there is the one meant.
 */
static PytorchChoice
choose_path(const PytorchReader *reader, const char *key)
{
	PytorchChoice choice = choose_whole(reader);
	const char *rest = key;

	choice.key = key;
	choice.key_length = strlen(key);
	for (;;)
	{
		size_t		length = strlen(rest);
		PickleRef	next;

		while ((next = find_entry(reader->pickle, choice.node, rest,
								  length)) == PICKLE_NOWHERE)
		{
			CHECK_FOR_INTERRUPTS();
			/* back to before the last dot */
			while (length > 0 && rest[length - 1] != '.')
				length--;
			if (length == 0)
				report_no_entry(reader->pickle, key);
			length--;
		}
		choice.node = next;
		rest += length;
		if (*rest == '\0')
			return choice;
		rest++;					/* the dot */
	}
}

PytorchChoice
pytorch_choose(const PytorchReader *reader)
{
	const char *key = reader->options->key;

	if (key == NULL)
		return choose_usual(reader);
	if (key[0] == '\0')
		return choose_whole(reader);
	return choose_path(reader, key);
}
