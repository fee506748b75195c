/*
 * fuzz_pickle.c
 *		libFuzzer target: the pickle machine, and all that looks at its nodes.
 *
 * An input is a pickle.  It is run with calls of unknown globals refused, and
 * with them allowed.  The nodes that come out must hang together: every
 * reference names a node, every text lies in the pickle, every chain of items
 * is as long as it says.
 */
#include "postgres.h"

#include "format/pickle.h"
#include "format/pytorch.h"
#include "harness.h"

typedef struct Job
{
	const char *data;
	size_t		size;
	bool		allow_unknown;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---------- the nodes ---------- */

static void
check_ref(const Pickle *pickle, PickleRef ref, bool may_be_nowhere)
{
	if (ref >= pickle->nnodes || (ref == PICKLE_NOWHERE && !may_be_nowhere))
		server_die("a node refers to node %u of %u", ref, pickle->nnodes);
}

static void
check_range(const Pickle *pickle, uint64 offset, uint64 length)
{
	if (offset > pickle->size || length > pickle->size - offset)
		server_die("a node has " UINT64_FORMAT " bytes at " UINT64_FORMAT " of a pickle of %zu",
				   length, offset, pickle->size);
}

static void
check_items(const Pickle *pickle, const PickleNode *node)
{
	uint32		cell = node->u.items.first;

	for (uint32 i = 0; i < node->u.items.count; i++)
	{
		if (cell == 0 || cell >= pickle->ncells)
			server_die("a container has cell %u of %u", cell, pickle->ncells);
		check_ref(pickle, pickle->cells[cell].value, false);
		check_ref(pickle, pickle->cells[cell].key,
				  node->kind != PICKLE_DICT);
		if (i + 1 == node->u.items.count && cell != node->u.items.last)
			server_die("a container does not end with its last cell");
		cell = pickle->cells[cell].next;
	}
	if (node->u.items.count > 0 && cell != 0)
		server_die("a container goes on after its last cell");
}

static void
check_node(const Pickle *pickle, PickleRef ref)
{
	const PickleNode *node = pickle_node(pickle, ref);

	check_ref(pickle, node->state, true);
	switch ((PickleKind) node->kind)
	{
		case PICKLE_NONE:
		case PICKLE_BOOL:
		case PICKLE_INT:
		case PICKLE_FLOAT:
			break;
		case PICKLE_LONG:
		case PICKLE_STRING:
		case PICKLE_BYTES:
			check_range(pickle, node->u.text.offset, node->u.text.length);
			break;
		case PICKLE_TUPLE:
		case PICKLE_LIST:
		case PICKLE_DICT:
		case PICKLE_SET:
			check_items(pickle, node);
			break;
		case PICKLE_GLOBAL:
			check_range(pickle, node->u.global.module,
						node->u.global.module_length);
			check_range(pickle, node->u.global.name,
						node->u.global.name_length);
			if (node->u.global.entry >= pytorch_nglobals)
				server_die("a global has an entry that is not in the table");
			break;
		case PICKLE_CALL:
		case PICKLE_OBJECT:
			check_ref(pickle, node->u.call.callable, false);
			check_ref(pickle, node->u.call.arguments, false);
			check_ref(pickle, node->u.call.items, true);
			break;
		case PICKLE_PERSISTENT:
			check_ref(pickle, node->u.persistent.id, false);
			break;
		default:
			server_die("a node is of kind %d", node->kind);
	}
}

/* A call of what the caller did not allow must not have become a node. */
static void
check_call(const Pickle *pickle, PickleRef ref, bool allow_unknown)
{
	const PickleGlobal *global = pickle_known_global(pickle, ref);

	if (global != NULL && global->role == PICKLE_ROLE_REFUSED)
		server_die("a node stands for a global that is refused");
	if (pickle_kind(pickle, ref) == PICKLE_CALL &&
		(global == NULL || global->role != PICKLE_ROLE_CALL))
		server_die("a call of a global that is no constructor");
}

static void
look_at(const Pickle *pickle, PickleRef ref)
{
	StringInfoData out;
	PickleRef	other;
	PickleRef	items[4];
	char	   *type = pickle_type_name(pickle, ref);

	if (!server_utf8_is_valid(type, strlen(type)))
		server_die("the name of a type is no text");
	pfree(type);
	pfree(pickle_class_name(pickle, ref));
	(void) pickle_tuple(pickle, ref, items, lengthof(items));
	(void) pickle_as_list(pickle, ref, &other);
	if (pickle_as_dict(pickle, ref, &other))
		(void) pickle_find(pickle, other, "state_dict", strlen("state_dict"));
	(void) pytorch_is_module(pickle, ref, &other);

	/* Containers are not scalars, but those that do not fit JSON are
	 * described by the same function. */
	initStringInfo(&out);
	(void) pytorch_append_scalar(pickle, ref, &out);
	harness_check_json(out.data, out.data[0]);
	pfree(out.data);
}

/* ---------- the target ---------- */

static void
read_pickle(void *arg)
{
	const Job  *job = arg;
	PickleOptions options = {
		.where = "the input",
		.globals = pytorch_globals,
		.nglobals = pytorch_nglobals,
		.allow_unknown = job->allow_unknown,
		.max_nodes = 4 * job->size + 64 * 1024,
	};
	Pickle	   *pickle = pickle_parse(job->data, job->size, &options);

	if (pickle->size == 0 || pickle->size > job->size)
		server_die("the pickle ends after %zu of %zu bytes", pickle->size,
				   job->size);
	if (pickle->nnodes > options.max_nodes + 1 ||
		pickle->ncells > options.max_nodes + 1)
		server_die("the pickle has %u nodes and %u cells", pickle->nnodes,
				   pickle->ncells);
	check_ref(pickle, pickle->root, false);
	for (PickleRef ref = 1; ref < pickle->nnodes; ref++)
		check_node(pickle, ref);
	for (PickleRef ref = 1; ref < pickle->nnodes; ref++)
	{
		check_call(pickle, ref, job->allow_unknown);
		look_at(pickle, ref);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Job			job = {.size = size};
	bool		strict;

	harness_begin(data, size);
	job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
	strict = harness_attempt(read_pickle, &job);
	job.allow_unknown = true;
	if (!harness_attempt(read_pickle, &job) && strict)
		server_die("a pickle is refused only when more is allowed: %s",
				   server_error_text());
	harness_outcome(strict);
	harness_end();
	return 0;
}
