/*
 * pytorch_flatten.c
 *		From nested containers and modules to a list of named tensors.
 *
 * Owns the names: the path of keys, joined by dots, as state_dict() of
 * torch/nn/modules/module.py has it, which for a pickled module is also the
 * order: its parameters, its persistent buffers, its submodules.
 *
 * The graph that a pickle makes may have cycles, and may share nodes so that
 * it has more paths than nodes.  The walk keeps its own stack of bounded
 * depth, and stops when it has taken many more steps than the pickle has
 * items.
 */
#include "postgres.h"

#include "format/pytorch.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define VISITS_PER_CELL		4
#define VISITS_FREE			1000
#define VISIT_TEXT			64		/* bytes that are as much as a visit */
#define VISIT_ITEMS			256		/* items to look through, likewise */
#define INTERRUPT_STEP		65536	/* visits */

/* A module's attributes, in the order of its state_dict. */
typedef enum Phase
{
	PHASE_PARAMETERS,
	PHASE_BUFFERS,
	PHASE_MODULES,
	PHASE_DONE,
} Phase;

/* A container that is being walked. */
typedef struct Frame
{
	PickleRef	node;
	bool		is_module;
	bool		is_list;
	bool		bad_name;		/* its path cannot name a tensor */
	Phase		phase;			/* of a module */
	PickleRef	state;			/* of a module */
	uint32		cell;			/* next item */
	uint32		left;			/* items not yet walked */
	uint32		index;			/* of the next item, in a list */
	int			name_length;	/* of the path to the container */
} Frame;

typedef struct Walk
{
	const PytorchReader *reader;
	const Pickle *pickle;
	PytorchWeights *weights;
	Frame		frames[PYTORCH_MAX_DEPTH];
	int			depth;
	StringInfoData path;
	uint64		visits;
} Walk;

/* Bytes of a string, or of one that stands for bytes in protocol 2. */
static uint32
text_length(const Pickle *pickle, PickleRef ref)
{
	const PickleNode *node = pickle_node(pickle, ref);
	PickleRef	argument;

	if (node->kind == PICKLE_OBJECT &&
		pickle_tuple(pickle, node->u.call.arguments, &argument, 1) > 0)
		node = pickle_node(pickle, argument);
	return node->kind == PICKLE_STRING ? node->u.text.length : 0;
}

void
pytorch_count_visit(const Pickle *pickle, PickleRef ref, uint64 *visits)
{
	const PickleNode *node = pickle_node(pickle, ref);
	uint64		before = *visits;

	/* Whether an object is a module shows by all of its attributes, and text
	 * is copied and checked wherever it is mentioned. */
	if (node->kind == PICKLE_OBJECT && node->state != PICKLE_NOWHERE &&
		pickle_kind(pickle, node->state) == PICKLE_DICT)
		*visits += pickle_node(pickle, node->state)->u.items.count;
	*visits += text_length(pickle, ref) / VISIT_TEXT;
	if (++*visits > (pickle->ncells + (uint64) pickle->size / VISIT_TEXT) *
		VISITS_PER_CELL + VISITS_FREE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("checkpoint is too entangled to be read"),
				 errdetail("Its containers hold each other in more ways than their number justifies.")));
	if (*visits / INTERRUPT_STEP != before / INTERRUPT_STEP)
		CHECK_FOR_INTERRUPTS();
}

/* ---------- names ---------- */

/* Appends a key to the path; false when it can be no part of a name. */
static bool
append_key(Walk *walk, const Frame *frame, PickleRef key)
{
	const PickleNode *node;

	if (walk->path.len > 0)
		appendStringInfoChar(&walk->path, '.');
	if (frame->is_list)
	{
		appendStringInfo(&walk->path, "%u", frame->index);
		return true;
	}
	node = pickle_node(walk->pickle, key);
	if (node->kind == PICKLE_INT)
	{
		appendStringInfo(&walk->path, INT64_FORMAT, node->u.integer);
		return true;
	}
	if (node->kind != PICKLE_STRING || node->u.text.length > MODEL_MAX_NAME)
		return false;
	appendBinaryStringInfo(&walk->path, pickle_text(walk->pickle, key),
						   node->u.text.length);
	return walk->path.len <= MODEL_MAX_NAME;
}

static void
report_bad_key(const Walk *walk)
{
	int			length = walk->frames[walk->depth - 1].name_length;

	pytorch_fail("A tensor %s%s%s has a key that is too long, or neither a string nor an integer.",
				 length > 0 ? "under \"" : "at the top",
				 printable_bytes(walk->path.data, length),
				 length > 0 ? "\"" : "");
}

/* What no model takes as the name of a tensor. */
static void
check_name(const Walk *walk)
{
	const char *path = walk->path.data;
	int			length = walk->path.len;

	if (length == 0)
		pytorch_fail("A tensor has an empty name.");
	if (memchr(path, '\0', length) != NULL)
		pytorch_fail("Tensor \"%s\" has a name with a zero byte.",
					 printable_bytes(path, length));
	if (!pg_verify_mbstr(PG_UTF8, path, length, true))
		pytorch_fail("Tensor \"%s\" has a name that is not valid UTF-8.",
					 printable_bytes(path, length));
}

/* ---------- weights ---------- */

static void
add_weight(Walk *walk, PickleRef tensor)
{
	PytorchWeights *weights = walk->weights;
	PytorchWeight *weight;

	check_name(walk);
	if (weights->count >= MODEL_MAX_TENSORS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("checkpoint has too many tensors"),
				 errdetail("A model can have at most %d tensors.",
						   MODEL_MAX_TENSORS)));
	if (weights->count == weights->allocated)
	{
		weights->allocated = Max(weights->allocated * 2, 64);
		weights->items = weights->count == 0 ?
			palloc(weights->allocated * sizeof(PytorchWeight)) :
			repalloc(weights->items,
					 weights->allocated * sizeof(PytorchWeight));
	}
	weight = &weights->items[weights->count++];
	weight->name = weights->names.len;
	weight->name_length = walk->path.len;
	weight->tensor = tensor;
	appendBinaryStringInfo(&weights->names, walk->path.data, walk->path.len);
}

/* Notes the class of the module that is at the path now. */
static void
add_layer_kind(Walk *walk, PickleRef module)
{
	StringInfo	kinds = &walk->weights->layer_kinds;
	char	   *class = pickle_class_name(walk->pickle, module);

	if (!pg_verify_mbstr(PG_UTF8, walk->path.data, walk->path.len, true))
		return;
	if (kinds->len > MODEL_MAX_METADATA)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("checkpoint has too many modules")));
	if (kinds->len > 0)
		appendStringInfoString(kinds, ", ");
	json_append_string(kinds, walk->path.data, walk->path.len);
	appendStringInfoString(kinds, ": ");
	json_append_string(kinds, class, strlen(class));
	pfree(class);
}

/* ---------- modules ---------- */

/* Points a module's frame at the dict of its phase. */
static void
start_phase(Walk *walk, Frame *frame)
{
	static const char *const attributes[] = {
		[PHASE_PARAMETERS] = "_parameters",
		[PHASE_BUFFERS] = "_buffers",
		[PHASE_MODULES] = "_modules",
	};
	const char *attribute = attributes[frame->phase];
	PickleRef	dict = pickle_find(walk->pickle, frame->state, attribute,
								   strlen(attribute));

	frame->cell = pickle_node(walk->pickle, dict)->u.items.first;
	frame->left = pickle_node(walk->pickle, dict)->u.items.count;
}

/* Whether a buffer is one that state_dict() leaves out.  Looking that up takes
 * time, too, when attributes are many. */
static bool
is_volatile_buffer(Walk *walk, const Frame *frame, PickleRef key)
{
	static const char *const attribute = "_non_persistent_buffers_set";
	const Pickle *pickle = walk->pickle;
	const PickleNode *name = pickle_node(pickle, key);
	const PickleNode *set;
	PickleRef	ref;
	uint32		cell;

	if (!frame->is_module || frame->phase != PHASE_BUFFERS)
		return false;
	walk->visits += pickle_node(pickle, frame->state)->u.items.count /
		VISIT_ITEMS;
	ref = pickle_find(pickle, frame->state, attribute, strlen(attribute));
	if (ref == PICKLE_NOWHERE || pickle_kind(pickle, ref) != PICKLE_SET ||
		name->kind != PICKLE_STRING)
		return false;
	CHECK_FOR_INTERRUPTS();
	set = pickle_node(pickle, ref);
	walk->visits += set->u.items.count / VISIT_ITEMS;
	cell = set->u.items.first;
	for (uint32 i = 0; i < set->u.items.count; i++)
	{
		const PickleNode *item = pickle_node(pickle,
											 pickle->cells[cell].value);

		if (item->kind == PICKLE_STRING &&
			item->u.text.length == name->u.text.length &&
			memcmp(pickle->data + item->u.text.offset,
				   pickle->data + name->u.text.offset,
				   name->u.text.length) == 0)
			return true;
		cell = pickle->cells[cell].next;
	}
	return false;
}

/* ---------- the walk ---------- */

static void
check_ancestors(const Walk *walk, PickleRef node)
{
	if (walk->depth >= PYTORCH_MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("checkpoint is nested too deeply"),
				 errdetail("Its containers and modules may be nested %d deep.",
						   PYTORCH_MAX_DEPTH)));
	for (int i = 0; i < walk->depth; i++)
	{
		if (walk->frames[i].node == node)
			pytorch_fail("A container or module is inside of itself, under \"%s\".",
						 printable_bytes(walk->path.data, walk->path.len));
	}
}

/* Starts on a container whose path is complete; false when it is none. */
static bool
enter(Walk *walk, PickleRef ref, bool bad_name)
{
	Frame		frame = {.bad_name = bad_name};
	PickleRef	items = ref;

	if (pytorch_is_module(walk->pickle, ref, &frame.state))
	{
		if (!walk->reader->options->allow_modules)
			pytorch_refuse_module(walk->pickle, ref);
		frame.is_module = true;
		if (!bad_name)
			add_layer_kind(walk, ref);
	}
	else if (pickle_as_list(walk->pickle, ref, &items))
		frame.is_list = true;
	else if (!pickle_as_dict(walk->pickle, ref, &items))
		return false;

	check_ancestors(walk, items);
	frame.node = items;
	frame.name_length = walk->path.len;
	if (frame.is_module)
		start_phase(walk, &frame);
	else
	{
		frame.cell = pickle_node(walk->pickle, items)->u.items.first;
		frame.left = pickle_node(walk->pickle, items)->u.items.count;
	}
	walk->frames[walk->depth++] = frame;
	return true;
}

/* One item of the container on top of the stack. */
static void
visit_item(Walk *walk)
{
	Frame	   *frame = &walk->frames[walk->depth - 1];
	PickleCell	item = walk->pickle->cells[frame->cell];
	bool		bad_name;

	pytorch_count_visit(walk->pickle, item.value, &walk->visits);
	frame->cell = item.next;
	frame->left--;
	if (frame->is_module && is_volatile_buffer(walk, frame, item.key))
		return;

	bad_name = frame->bad_name || !append_key(walk, frame, item.key);
	frame->index++;
	if (pytorch_is_tensor(walk->pickle, item.value))
	{
		if (bad_name)
			report_bad_key(walk);
		add_weight(walk, item.value);
	}
	else if (enter(walk, item.value, bad_name))
		return;
	walk->path.len = frame->name_length;
}

/* Ends the container on top of the stack, or the phase of a module. */
static void
leave(Walk *walk)
{
	Frame	   *frame = &walk->frames[walk->depth - 1];

	if (frame->is_module && frame->phase + 1 < PHASE_DONE)
	{
		frame->phase++;
		start_phase(walk, frame);
		return;
	}
	walk->depth--;
	walk->path.len = walk->depth > 0 ?
		walk->frames[walk->depth - 1].name_length : 0;
}

/* ---------- the result ---------- */

static bool
is_empty_container(const Pickle *pickle, PickleRef ref)
{
	PickleRef	items;
	PickleRef	state;

	if (pytorch_is_module(pickle, ref, &state))
		return true;
	return (pickle_as_dict(pickle, ref, &items) ||
			pickle_as_list(pickle, ref, &items)) &&
		pickle_node(pickle, items)->u.items.count == 0;
}

/* A checkpoint that has things and no tensors among them is a mistake, one
 * that is empty is a module without weights. */
static void
report_no_tensors(const Pickle *pickle, const PytorchChoice *choice)
{
	if (choice->key_length > 0)
		pytorch_fail("Its entry \"%s\", of type %s, holds no tensors.",
					 printable_bytes(choice->key, choice->key_length),
					 pickle_type_name(pickle, choice->node));
	pytorch_fail("The object in it, of type %s, holds no tensors.",
				 pickle_type_name(pickle, choice->node));
}

void
pytorch_flatten(const PytorchReader *reader, const PytorchChoice *choice,
				PytorchWeights *weights)
{
	Walk	   *walk = palloc0(sizeof(Walk));

	walk->reader = reader;
	walk->pickle = reader->pickle;
	walk->weights = weights;
	initStringInfo(&walk->path);
	initStringInfo(&weights->names);
	initStringInfo(&weights->layer_kinds);

	if (pytorch_is_tensor(walk->pickle, choice->node))
	{
		appendStringInfoString(&walk->path,
							   choice->key_length > 0 ? choice->key : "tensor");
		add_weight(walk, choice->node);
	}
	else if (enter(walk, choice->node, false))
	{
		while (walk->depth > 0)
		{
			if (walk->frames[walk->depth - 1].left > 0)
				visit_item(walk);
			else
				leave(walk);
		}
	}
	if (weights->count == 0 &&
		!is_empty_container(walk->pickle, choice->node))
		report_no_tensors(walk->pickle, choice);
	pfree(walk);
}
