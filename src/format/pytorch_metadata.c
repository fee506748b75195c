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

#include <math.h>

#include "format/pytorch.h"
#include "mb/pg_wchar.h"

/* Room for entries, and for _metadata; what jsonb makes of them must fit. */
#define MAX_ENTRIES		(MODEL_MAX_METADATA / 4)
#define MAX_KEY			1024
#define MAX_LONG		64		/* bytes of an integer */

/* Digits that jsonb may write for a double whose exponent is large. */
#define MAX_DIGITS		350

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
	const PytorchReader *reader;
	const Pickle *pickle;
	PickleRef	weights;		/* the node that became the model */
	StringInfoData out;
	int			digits;			/* that jsonb may write more than out has */
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

/* ---------- scalars ---------- */

/* Writes text that is ASCII and needs no escapes. */
static void
append_plain(StringInfo out, const char *s)
{
	json_append_string(out, s, strlen(s));
}

static void
append_type(StringInfo out, const char *type)
{
	appendStringInfoString(out, "{\"type\": ");
	append_plain(out, type);
	appendStringInfoChar(out, '}');
}

static void
append_type_of(Writer *writer, PickleRef ref)
{
	char	   *type = pickle_type_name(writer->pickle, ref);

	append_type(&writer->out, type);
	pfree(type);
}

/* Text that is valid UTF-8 and has no NUL, which JSON in the server lacks. */
static bool
is_json_text(const Pickle *pickle, PickleRef ref)
{
	const PickleNode *node = pickle_node(pickle, ref);

	return node->u.text.length <= MAX_ENTRIES &&
		pg_verify_mbstr(PG_UTF8, pickle_text(pickle, ref),
						node->u.text.length, true);
}

static void
append_text(Writer *writer, PickleRef ref)
{
	const PickleNode *node = pickle_node(writer->pickle, ref);

	if (node->kind == PICKLE_STRING && is_json_text(writer->pickle, ref))
		json_append_string(&writer->out, pickle_text(writer->pickle, ref),
						   node->u.text.length);
	else
		appendStringInfo(&writer->out,
						 "{\"type\": \"%s\", \"length\": %u}",
						 node->kind == PICKLE_STRING ? "str" : "bytes",
						 node->u.text.length);
}

static void
append_real(Writer *writer, double value)
{
	if (fabs(value) > 1e20 || (value != 0 && fabs(value) < 1e-20))
		writer->digits += MAX_DIGITS;
	json_append_double(&writer->out, value);
}

/* An integer of more than 64 bits: two's complement, little endian. */
static void
append_long(Writer *writer, PickleRef ref)
{
	const PickleNode *node = pickle_node(writer->pickle, ref);
	const uint8 *bytes = (const uint8 *) pickle_text(writer->pickle, ref);
	int			length = node->u.text.length;
	bool		negative = bytes[length - 1] & 0x80;
	uint8		magnitude[MAX_LONG];
	char		digits[MAX_LONG * 3];	/* log10(256) < 3 */
	int			ndigits = 0;
	int			carry = negative;

	for (int i = 0; i < length; i++)
	{
		carry += negative ? (uint8) ~bytes[i] : bytes[i];
		magnitude[i] = carry & 0xff;
		carry >>= 8;
	}
	do
	{
		int			remainder = 0;

		for (int i = length; i-- > 0;)
		{
			remainder = remainder << 8 | magnitude[i];
			magnitude[i] = remainder / 10;
			remainder %= 10;
		}
		digits[ndigits++] = '0' + remainder;
		while (length > 0 && magnitude[length - 1] == 0)
			length--;
	} while (length > 0);

	if (negative)
		appendStringInfoChar(&writer->out, '-');
	while (ndigits > 0)
		appendStringInfoChar(&writer->out, digits[--ndigits]);
}

/* A tensor that is no weight: its dtype and shape. */
static void
append_tensor(Writer *writer, PickleRef ref)
{
	StringInfo	out = &writer->out;
	const char *dtype;
	int			ndim;
	int64		dims[MODEL_MAX_DIMS];

	writer->tensors++;
	if (!pytorch_describe_tensor(writer->pickle, ref, &dtype, &ndim, dims))
	{
		append_type(out, "tensor");
		return;
	}
	appendStringInfo(out, "{\"type\": \"tensor\", \"dtype\": \"%s\", \"shape\": [",
					 dtype);
	for (int i = 0; i < ndim; i++)
		appendStringInfo(out, i > 0 ? ", " INT64_FORMAT : INT64_FORMAT,
						 dims[i]);
	appendStringInfoString(out, "]}");
}

static void
append_scalar(Writer *writer, PickleRef ref)
{
	const PickleNode *node = pickle_node(writer->pickle, ref);

	if (pytorch_is_tensor(writer->pickle, ref))
	{
		append_tensor(writer, ref);
		return;
	}
	switch ((PickleKind) node->kind)
	{
		case PICKLE_NONE:
			appendStringInfoString(&writer->out, "null");
			break;
		case PICKLE_BOOL:
			appendStringInfoString(&writer->out,
								   node->u.integer ? "true" : "false");
			break;
		case PICKLE_INT:
			appendStringInfo(&writer->out, INT64_FORMAT, node->u.integer);
			break;
		case PICKLE_LONG:
			if (node->u.text.length <= MAX_LONG)
				append_long(writer, ref);
			else
				append_type(&writer->out, "int");
			break;
		case PICKLE_FLOAT:
			append_real(writer, node->u.real);
			break;
		case PICKLE_STRING:
		case PICKLE_BYTES:
			append_text(writer, ref);
			break;
		default:
			append_type_of(writer, ref);
			break;
	}
}

/* ---------- containers ---------- */

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
			 !is_json_text(pickle, key)))
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
		append_text(writer, key);
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

	pytorch_count_visit(writer->pickle, &writer->visits);
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
	int			digits = writer->digits;
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
	appendStringInfoString(&writer->out, "{\"type\": ");
	append_plain(&writer->out, pickle_type_name(writer->pickle, ref));
	appendStringInfoString(&writer->out, ", \"omitted\": \"too large\"}");
}

/* One entry of the checkpoint. */
static void
write_entry(Writer *writer, const PickleCell *entry, bool in_weights,
			uint32 *written)
{
	int			start = writer->out.len;
	Outcome		outcome;

	pytorch_count_visit(writer->pickle, &writer->visits);
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

	writer->reader = reader;
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
