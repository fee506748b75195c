/*
 * pickle_nodes.c
 *		Looking at the nodes that a pickle made.
 *
 * Knows how nodes hang together and nothing of how they came to be.
 */
#include "postgres.h"

#include "format/pickle.h"
#include "format/printable.h"

const PickleGlobal *
pickle_known_global(const Pickle *pickle, PickleRef ref)
{
	const PickleNode *node = pickle_node(pickle, ref);

	if (node->kind == PICKLE_CALL || node->kind == PICKLE_OBJECT)
		node = pickle_node(pickle, node->u.call.callable);
	if (node->kind != PICKLE_GLOBAL || node->u.global.entry < 0)
		return NULL;
	return &pickle->options->globals[node->u.global.entry];
}

static bool
text_equals(const Pickle *pickle, PickleRef ref, const char *s, size_t length)
{
	const PickleNode *node = pickle_node(pickle, ref);

	return node->kind == PICKLE_STRING && node->u.text.length == length &&
		memcmp(pickle->data + node->u.text.offset, s, length) == 0;
}

bool
pickle_is_string(const Pickle *pickle, PickleRef ref, const char *s)
{
	return text_equals(pickle, ref, s, strlen(s));
}

/* The node with the items of a container of one of two kinds, or of an
 * instance of a subclass of these. */
static bool
as_container(const Pickle *pickle, PickleRef ref, PickleKind kind,
			 PickleKind other, PickleRef *items)
{
	const PickleNode *node = pickle_node(pickle, ref);

	if (node->kind == PICKLE_OBJECT && node->u.call.items != PICKLE_NOWHERE)
	{
		ref = node->u.call.items;
		node = pickle_node(pickle, ref);
	}
	*items = ref;
	return node->kind == kind || node->kind == other;
}

bool
pickle_as_dict(const Pickle *pickle, PickleRef ref, PickleRef *dict)
{
	return as_container(pickle, ref, PICKLE_DICT, PICKLE_DICT, dict);
}

bool
pickle_as_list(const Pickle *pickle, PickleRef ref, PickleRef *list)
{
	return as_container(pickle, ref, PICKLE_LIST, PICKLE_TUPLE, list);
}

PickleRef
pickle_find(const Pickle *pickle, PickleRef dict, const char *key,
			size_t length)
{
	const PickleNode *node = pickle_node(pickle, dict);
	uint32		cell = node->u.items.first;
	PickleRef	found = PICKLE_NOWHERE;

	Assert(node->kind == PICKLE_DICT);

	/* A key that is set twice has the last value. */
	for (uint32 i = 0; i < node->u.items.count; i++)
	{
		if (text_equals(pickle, pickle->cells[cell].key, key, length))
			found = pickle->cells[cell].value;
		cell = pickle->cells[cell].next;
	}
	return found;
}

uint32
pickle_tuple(const Pickle *pickle, PickleRef tuple, PickleRef *items,
			 uint32 max)
{
	const PickleNode *node = pickle_node(pickle, tuple);
	uint32		cell = node->u.items.first;

	if (node->kind != PICKLE_TUPLE && node->kind != PICKLE_LIST)
		return 0;
	for (uint32 i = 0; i < Min(node->u.items.count, max); i++)
	{
		items[i] = pickle->cells[cell].value;
		cell = pickle->cells[cell].next;
	}
	return node->u.items.count;
}

/* The global that a node names or is an instance of; NULL when none. */
static const PickleNode *
global_of(const Pickle *pickle, PickleRef ref)
{
	const PickleNode *node = pickle_node(pickle, ref);
	PickleRef	id[2];

	if (node->kind == PICKLE_CALL || node->kind == PICKLE_OBJECT)
		node = pickle_node(pickle, node->u.call.callable);

	/* torch once kept classes outside: ("module", class, file, source) */
	if (node->kind == PICKLE_PERSISTENT &&
		pickle_tuple(pickle, node->u.persistent.id, id, 2) >= 2)
		node = pickle_node(pickle, id[1]);
	return node->kind == PICKLE_GLOBAL ? node : NULL;
}

char *
pickle_type_name(const Pickle *pickle, PickleRef ref)
{
	static const char *const names[] = {
		[PICKLE_NONE] = "NoneType",[PICKLE_BOOL] = "bool",
		[PICKLE_INT] = "int",[PICKLE_LONG] = "int",[PICKLE_FLOAT] = "float",
		[PICKLE_STRING] = "str",[PICKLE_BYTES] = "bytes",
		[PICKLE_TUPLE] = "tuple",[PICKLE_LIST] = "list",
		[PICKLE_DICT] = "dict",[PICKLE_SET] = "set",
		[PICKLE_GLOBAL] = "global",[PICKLE_CALL] = "object",
		[PICKLE_OBJECT] = "object",[PICKLE_PERSISTENT] = "storage",
	};
	const PickleNode *global = global_of(pickle, ref);

	if (global == NULL)
		return pstrdup(names[pickle_kind(pickle, ref)]);
	return psprintf("%s.%s",
					printable_bytes(pickle->data + global->u.global.module,
									global->u.global.module_length),
					printable_bytes(pickle->data + global->u.global.name,
									global->u.global.name_length));
}

char *
pickle_class_name(const Pickle *pickle, PickleRef ref)
{
	const PickleNode *global = global_of(pickle, ref);
	const char *name;
	size_t		length;

	if (global == NULL)
		return pickle_type_name(pickle, ref);
	name = pickle->data + global->u.global.name;
	length = global->u.global.name_length;
	for (size_t i = length; i-- > 0;)
	{
		if (name[i] == '.')
			return printable_bytes(name + i + 1, length - i - 1);
	}
	return printable_bytes(name, length);
}
