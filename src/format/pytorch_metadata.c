/*
 * pytorch_metadata.c
 *		What a checkpoint holds beside its weights, as JSON.
 *
 * The metadata of a model that was read has at most two members:
 *
 *	"pytorch": {
 *		"key":		 path of the entry that the weights came from,
 *		"entries":	 the checkpoint as nested objects and arrays, without the
 *					 weights,
 *		"_metadata": what state_dict() attaches to itself
 *	},
 *	"layer_kinds": {prefix: class name} of a pickled module
 *
 * and each is left out when there is nothing to say.  What JSON cannot hold is
 * described by an object with a member "type".  An entry of the checkpoint
 * that would be out of proportion is described too.
 */
#include "postgres.h"

#include "format/pytorch.h"

/* Room for entries, and for _metadata; what jsonb makes of them must fit. */
#define MAX_ENTRIES		(MODEL_MAX_METADATA / 4)
#define MAX_KEY			1024

typedef struct Frame
{
	PickleRef	node;
	bool		is_dict;
	bool		in_weights;		/* its tensors are weights of the model */
	bool		left_out;		/* some were left out */
	uint32		cell;			/* next item */
	uint32		left;			/* items not yet written */
	uint32		written;
	int			start;			/* in the output, before its separator */
} Frame;

typedef struct Writer
{
	const Pickle *pickle;
	PickleRef	weights;		/* the node that became the model */
	StringInfoData out;
	uint64		digits;			/* that jsonb may write more than out has */
	bool		muted;			/* the value at hand has outgrown its room */
	int			value_start;	/* in the output */
	Frame		frames[PYTORCH_MAX_DEPTH];
	int			depth;
	uint64		visits;
	int64		tensors;		/* described, not weights */
} Writer;

typedef enum Outcome
{
	WRITTEN,
	LEFT_OUT,					/* it holds nothing but weights */
	TOO_LARGE,
} Outcome;

/* ---------- containers ---------- */

static void
append_scalar(Writer *writer, PickleRef ref)
{
	if (pytorch_is_tensor(writer->pickle, ref))
		writer->tensors++;
	writer->digits += pytorch_append_scalar(writer->pickle, ref,
											&writer->out);
}

/* Whether all keys of a dict can be keys of a JSON object. */
static bool
has_json_keys(const Pickle *pickle, PickleRef dict)
{
	const PickleNode *node = pickle_node(pickle, dict);
	uint32		cell = node->u.items.first;

	for (uint32 i = 0; i < node->u.items.count; i++)
	{
		PickleRef	key = pickle->cells[cell].key;
		PickleKind	kind = pickle_kind(pickle, key);

		cell = pickle->cells[cell].next;
		if (kind != PICKLE_INT &&
			(kind != PICKLE_STRING ||
			 pickle_node(pickle, key)->u.text.length > MAX_KEY ||
			 !pytorch_is_json_text(pickle, key)))
			return false;
	}
	return true;
}

static void
append_key(Writer *writer, PickleRef key)
{
	if (pickle_kind(writer->pickle, key) == PICKLE_INT)
		appendStringInfo(&writer->out, "\"" INT64_FORMAT "\"",
						 pickle_node(writer->pickle, key)->u.integer);
	else
		append_scalar(writer, key);
	appendStringInfoString(&writer->out, ": ");
}

static bool
is_ancestor(const Writer *writer, PickleRef node)
{
	for (int i = 0; i < writer->depth; i++)
	{
		if (writer->frames[i].node == node)
			return true;
	}
	return false;
}

/* Starts on a dict, list, tuple or set; false when it is none that JSON can
 * nest here. */
static bool
enter(Writer *writer, PickleRef ref, bool in_weights, int start)
{
	const Pickle *pickle = writer->pickle;
	Frame		frame = {.in_weights = in_weights,.start = start};
	PickleRef	items = ref;

	if (pickle_as_dict(pickle, ref, &items))
	{
		if (!has_json_keys(pickle, items))
			return false;
		frame.is_dict = true;
	}
	else if (pickle_kind(pickle, ref) != PICKLE_SET &&
			 !pickle_as_list(pickle, ref, &items))
		return false;
	if (writer->depth >= PYTORCH_MAX_DEPTH || is_ancestor(writer, items))
		return false;
	frame.node = items;
	frame.cell = pickle_node(pickle, items)->u.items.first;
	frame.left = pickle_node(pickle, items)->u.items.count;
	appendStringInfoChar(&writer->out, frame.is_dict ? '{' : '[');
	writer->frames[writer->depth++] = frame;
	return true;
}

static void
truncate_output(Writer *writer, int length)
{
	writer->out.len = length;
	writer->out.data[length] = '\0';
}

/*
 * Ends the container on top of the stack.  One that held nothing but weights
 * is left out, as they are; returns whether it is there.
 */
static bool
leave(Writer *writer)
{
	Frame	   *frame = &writer->frames[--writer->depth];
	Frame	   *parent = writer->depth > 0 ? frame - 1 : NULL;
	bool		there = frame->written > 0 || !frame->left_out;

	if (there)
		appendStringInfoChar(&writer->out, frame->is_dict ? '}' : ']');
	else
		truncate_output(writer, frame->start);
	if (parent != NULL && there)
		parent->written++;
	else if (parent != NULL)
		parent->left_out = true;
	return there;
}

/* ---------- values ---------- */

/* Whether a node becomes weights where it stands. */
static bool
is_weight(const Writer *writer, PickleRef ref, bool in_weights)
{
	PickleRef	state;

	return in_weights &&
		(pytorch_is_tensor(writer->pickle, ref) ||
		 pytorch_is_module(writer->pickle, ref, &state));
}

/* Takes back a value that has outgrown its room.  What is left of it is only
 * walked, to count its tensors. */
static void
check_room(Writer *writer)
{
	if (writer->out.len + writer->digits > MAX_ENTRIES)
		writer->muted = true;
	if (!writer->muted)
		return;
	truncate_output(writer, writer->value_start);
	for (int i = 0; i < writer->depth; i++)
		writer->frames[i].start = writer->value_start;
}

/* The next item of the container on top of the stack. */
static void
write_item(Writer *writer)
{
	Frame	   *frame = &writer->frames[writer->depth - 1];
	PickleCell	item = writer->pickle->cells[frame->cell];
	bool		in_weights = frame->in_weights || item.value == writer->weights;
	int			start = writer->out.len;

	pytorch_count_visit(writer->pickle, item.value, &writer->visits);
	frame->cell = item.next;
	frame->left--;
	if (is_weight(writer, item.value, in_weights))
	{
		frame->left_out = true;
		return;
	}
	if (frame->written > 0)
		appendStringInfoString(&writer->out, ", ");
	if (frame->is_dict)
		append_key(writer, item.key);
	if (enter(writer, item.value, in_weights, start))
		return;
	append_scalar(writer, item.value);
	frame->written++;
}

/* A whole value.  One that is not written leaves no trace in the output. */
static Outcome
write_value(Writer *writer, PickleRef ref, bool in_weights)
{
	int			start = writer->out.len;
	uint64		digits = writer->digits;
	bool		there = true;

	if (is_weight(writer, ref, in_weights))
		return LEFT_OUT;
	writer->muted = false;
	writer->value_start = start;
	writer->depth = 0;
	if (!enter(writer, ref, in_weights, start))
		append_scalar(writer, ref);
	while (writer->depth > 0)
	{
		if (writer->frames[writer->depth - 1].left > 0)
			write_item(writer);
		else
			there = leave(writer);
		check_room(writer);
	}
	check_room(writer);
	if (!writer->muted)
		return there ? WRITTEN : LEFT_OUT;
	writer->digits = digits;
	return TOO_LARGE;
}

/* ---------- entries ---------- */

static void
append_omitted(Writer *writer, PickleRef ref)
{
	const char *class = pickle_class_name(writer->pickle, ref);

	appendStringInfoString(&writer->out, "{\"type\": ");
	json_append_string(&writer->out, class, strlen(class));
	appendStringInfoString(&writer->out, ", \"omitted\": \"too large\"}");
}

/* One entry of the checkpoint. */
static void
write_entry(Writer *writer, const PickleCell *entry, bool in_weights,
			uint32 *written)
{
	int			start = writer->out.len;
	Outcome		outcome;

	pytorch_count_visit(writer->pickle, entry->value, &writer->visits);
	if (*written > 0)
		appendStringInfoString(&writer->out, ", ");
	append_key(writer, entry->key);
	outcome = write_value(writer, entry->value,
						  in_weights || entry->value == writer->weights);
	if (outcome == LEFT_OUT)
	{
		truncate_output(writer, start);
		return;
	}
	if (outcome == TOO_LARGE)
		append_omitted(writer, entry->value);
	(*written)++;
}

/* The checkpoint without its weights, with each entry of its outermost dict
 * for itself. */
static void
write_entries(Writer *writer)
{
	const Pickle *pickle = writer->pickle;
	int			start = writer->out.len;
	bool		in_weights = pickle->root == writer->weights;
	PickleRef	dict;
	uint32		cell;
	uint32		written = 0;

	appendStringInfoString(&writer->out, "\"entries\": ");
	if (!pickle_as_dict(pickle, pickle->root, &dict) ||
		!has_json_keys(pickle, dict))
	{
		Outcome		outcome = write_value(writer, pickle->root, in_weights);

		if (outcome == TOO_LARGE)
			append_omitted(writer, pickle->root);
		else if (outcome == LEFT_OUT)
			truncate_output(writer, start);
		return;
	}

	appendStringInfoChar(&writer->out, '{');
	cell = pickle_node(pickle, dict)->u.items.first;
	for (uint32 i = 0; i < pickle_node(pickle, dict)->u.items.count; i++)
	{
		PickleCell	entry = pickle->cells[cell];

		cell = entry.next;
		write_entry(writer, &entry, in_weights, &written);
	}
	appendStringInfoChar(&writer->out, '}');
	if (written == 0)
		truncate_output(writer, start);
}

/* ---------- the result ---------- */

/* What state_dict() says about itself: versions of modules. */
static void
write_own_metadata(Writer *writer)
{
	static const char *const name = "_metadata";
	const Pickle *pickle = writer->pickle;
	PickleRef	state = pickle_node(pickle, writer->weights)->state;
	PickleRef	value;
	int			start = writer->out.len;

	if (state == PICKLE_NOWHERE || pickle_kind(pickle, state) != PICKLE_DICT)
		return;
	value = pickle_find(pickle, state, name, strlen(name));
	if (value == PICKLE_NOWHERE)
		return;
	if (start > 0)
		appendStringInfoString(&writer->out, ", ");
	appendStringInfo(&writer->out, "\"%s\": ", name);
	if (write_value(writer, value, false) != WRITTEN)
		truncate_output(writer, start);
}

char *
pytorch_metadata(const PytorchReader *reader, const PytorchChoice *choice,
				 const PytorchWeights *weights, int64 *skipped)
{
	Writer	   *writer = palloc0(sizeof(Writer));
	StringInfoData json;
	int			entries_start;

	writer->pickle = reader->pickle;
	writer->weights = choice->node;
	initStringInfo(&writer->out);
	if (choice->key_length > 0)
	{
		appendStringInfoString(&writer->out, "\"key\": ");
		json_append_string(&writer->out, choice->key, choice->key_length);
		appendStringInfoString(&writer->out, ", ");
	}
	entries_start = writer->out.len;
	write_entries(writer);
	*skipped = writer->tensors;
	if (writer->out.len == entries_start && entries_start > 0)
		truncate_output(writer, entries_start - 2);
	write_own_metadata(writer);

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	if (writer->out.len > 0)
		appendStringInfo(&json, "\"pytorch\": {%s}", writer->out.data);
	if (weights->layer_kinds.len > 0)
		appendStringInfo(&json, "%s\"layer_kinds\": {%s}",
						 json.len > 1 ? ", " : "", weights->layer_kinds.data);
	appendStringInfoChar(&json, '}');
	pfree(writer);
	return json.data;
}
