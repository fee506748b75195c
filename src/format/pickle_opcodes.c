/*
 * pickle_opcodes.c
 *		What each opcode of a pickle does, but for globals and calls.
 *
 * Owns the table of opcodes.  Operands have been read and checked against the
 * input when an opcode runs; what it takes from the stack is its own to check.
 */
#include "postgres.h"

#include "format/pickle_machine.h"

/* ---------- scalars ---------- */

static void
run_none(Machine *machine, const Operand *operand)
{
	machine_push(machine, NODE_NONE);
}

static void
run_bool(Machine *machine, const Operand *operand)
{
	machine_push(machine, operand->opcode == 0x88 ? NODE_TRUE : NODE_FALSE);
}

static void
push_integer(Machine *machine, int64 value)
{
	PickleRef	ref = machine_new_node(machine, PICKLE_INT);

	machine_node(machine, ref)->u.integer = value;
	machine_push(machine, ref);
}

static void
run_int(Machine *machine, const Operand *operand)
{
	push_integer(machine, (int64) operand->number);
}

static void
push_text(Machine *machine, PickleKind kind, const Operand *operand)
{
	PickleRef	ref = machine_new_node(machine, kind);

	machine_node(machine, ref)->u.text.offset = operand->offset;
	machine_node(machine, ref)->u.text.length = operand->length;
	machine_push(machine, ref);
}

/* Two's complement, little endian, as few bytes as it takes. */
static void
run_long(Machine *machine, const Operand *operand)
{
	const uint8 *bytes = (const uint8 *) machine->data + operand->offset;
	uint64		value = 0;

	if (operand->length > 8)
	{
		push_text(machine, PICKLE_LONG, operand);
		return;
	}
	if (operand->length > 0 && bytes[operand->length - 1] & 0x80)
		value = ~UINT64CONST(0);
	for (size_t i = operand->length; i-- > 0;)
		value = value << 8 | bytes[i];
	push_integer(machine, (int64) value);
}

static void
run_float(Machine *machine, const Operand *operand)
{
	PickleRef	ref = machine_new_node(machine, PICKLE_FLOAT);

	machine_node(machine, ref)->u.real = operand->real;
	machine_push(machine, ref);
}

static void
run_string(Machine *machine, const Operand *operand)
{
	push_text(machine, PICKLE_STRING, operand);
}

static void
run_bytes(Machine *machine, const Operand *operand)
{
	push_text(machine, PICKLE_BYTES, operand);
}

/* ---------- containers ---------- */

static void
run_mark(Machine *machine, const Operand *operand)
{
	if (machine->nmarks >= MACHINE_MAX_MARKS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("pickle in checkpoint is nested too deeply"),
				 errdetail("There are more than %d open marks in %s.",
						   MACHINE_MAX_MARKS, machine->pickle->options->where)));
	machine->marks[machine->nmarks++] = machine->depth;
}

static void
run_pop(Machine *machine, const Operand *operand)
{
	if (machine_available(machine) == 0 && machine->nmarks > 0)
		machine->nmarks--;
	else
		(void) machine_pop(machine);
}

static void
run_empty(Machine *machine, const Operand *operand)
{
	switch (operand->opcode)
	{
		case ')':
			machine_push(machine, NODE_EMPTY_TUPLE);
			break;
		case ']':
			machine_push(machine, machine_new_node(machine, PICKLE_LIST));
			break;
		case '}':
			machine_push(machine, machine_new_node(machine, PICKLE_DICT));
			break;
		default:
			machine_push(machine, machine_new_node(machine, PICKLE_SET));
			break;
	}
}

/* Makes a container of all items from start on. */
static void
push_collected(Machine *machine, PickleKind kind, uint32 start)
{
	PickleRef	ref = machine_new_node(machine, kind);

	for (uint32 i = start; i < machine->depth; i++)
		machine_add_item(machine, ref, PICKLE_NOWHERE, machine->stack[i]);
	machine->depth = start;
	machine_push(machine, ref);
}

static void
run_tuple(Machine *machine, const Operand *operand)
{
	push_collected(machine, PICKLE_TUPLE, machine_pop_mark(machine));
}

static void
run_short_tuple(Machine *machine, const Operand *operand)
{
	uint32		n = operand->opcode - 0x85 + 1;

	if (machine_available(machine) < n)
		machine_fail(machine, "takes more from the stack than there is");
	push_collected(machine, PICKLE_TUPLE, machine->depth - n);
}

static void
run_frozenset(Machine *machine, const Operand *operand)
{
	push_collected(machine, PICKLE_SET, machine_pop_mark(machine));
}

/*
 * The node that takes the items put into target.  An instance of an unknown
 * class may be a subclass of dict or list, so it gets one when it needs it.
 */
static PickleRef
items_holder(Machine *machine, PickleRef target, PickleKind wanted)
{
	PickleRef	holder = target;

	if (machine_node(machine, target)->kind == PICKLE_OBJECT)
	{
		if (wanted == PICKLE_SET)
			wanted = PICKLE_LIST;
		holder = machine_node(machine, target)->u.call.items;
		if (holder == PICKLE_NOWHERE)
		{
			holder = machine_new_node(machine, wanted);
			machine_node(machine, target)->u.call.items = holder;
		}
	}
	if (machine_node(machine, holder)->kind != wanted)
		machine_fail(machine, "adds items to something that takes none");
	return holder;
}

static void
run_append(Machine *machine, const Operand *operand)
{
	PickleRef	item = machine_pop(machine);

	machine_add_item(machine, items_holder(machine, machine_top(machine), PICKLE_LIST),
			 PICKLE_NOWHERE, item);
}

/* APPENDS and ADDITEMS. */
static void
run_appends(Machine *machine, const Operand *operand)
{
	uint32		start = machine_pop_mark(machine);
	uint32		end = machine->depth;
	PickleRef	holder;

	machine->depth = start;
	holder = items_holder(machine, machine_top(machine),
						  operand->opcode == 'e' ? PICKLE_LIST : PICKLE_SET);
	for (uint32 i = start; i < end; i++)
		machine_add_item(machine, holder, PICKLE_NOWHERE, machine->stack[i]);
}

void
machine_set_item(Machine *machine, PickleRef dict, PickleRef key, PickleRef value)
{
	PickleKind	kind = (PickleKind) machine_node(machine, key)->kind;

	if (kind == PICKLE_LIST || kind == PICKLE_DICT || kind == PICKLE_SET)
		machine_fail(machine, "uses a list, dict or set as a key");
	machine_add_item(machine, dict, key, value);
}

static void
run_setitem(Machine *machine, const Operand *operand)
{
	PickleRef	value = machine_pop(machine);
	PickleRef	key = machine_pop(machine);

	machine_set_item(machine, items_holder(machine, machine_top(machine), PICKLE_DICT),
			 key, value);
}

static void
run_setitems(Machine *machine, const Operand *operand)
{
	uint32		start = machine_pop_mark(machine);
	uint32		end = machine->depth;
	PickleRef	holder;

	if ((end - start) % 2 != 0)
		machine_fail(machine, "has a key without a value");
	machine->depth = start;
	holder = items_holder(machine, machine_top(machine), PICKLE_DICT);
	for (uint32 i = start; i < end; i += 2)
		machine_set_item(machine, holder, machine->stack[i], machine->stack[i + 1]);
}

/* ---------- memo ---------- */

static void
run_get(Machine *machine, const Operand *operand)
{
	if (operand->number >= machine->memo_size ||
		machine->memo[operand->number] == PICKLE_NOWHERE)
		machine_fail(machine, "gets from the memo what nobody put there");
	machine_push(machine, machine->memo[operand->number]);
}

static void
put_memo(Machine *machine, uint64 index)
{
	PickleRef	ref = machine_top(machine);

	/* Pythons number the memo from 0 on, once for each object at most. */
	if (index >= machine->opcodes)
		machine_fail(machine, "puts into the memo at an index that is too large");
	while (machine->memo_size <= index)
	{
		machine->memo = machine_grow(machine, machine->memo,
							 &machine->memo_allocated, machine->memo_size,
							 sizeof(PickleRef));
		machine->memo[machine->memo_size++] = PICKLE_NOWHERE;
	}
	machine->memo[index] = ref;
}

static void
run_put(Machine *machine, const Operand *operand)
{
	put_memo(machine, operand->number);
}

static void
run_memoize(Machine *machine, const Operand *operand)
{
	put_memo(machine, machine->memo_size);
}

/* ---------- state and framing ---------- */

static void
run_build(Machine *machine, const Operand *operand)
{
	PickleRef	state = machine_pop(machine);
	PickleNode *target = machine_node(machine, machine_top(machine));

	if (target->kind != PICKLE_DICT && target->kind != PICKLE_OBJECT)
		machine_fail(machine, "sets the state of something that has none");
	if (target->state != PICKLE_NOWHERE)
		machine_fail(machine, "sets the state of an object for the second time");
	target->state = state;
}

static void
run_persistent(Machine *machine, const Operand *operand)
{
	PickleRef	id = machine_pop(machine);
	PickleRef	ref = machine_new_node(machine, PICKLE_PERSISTENT);

	machine_node(machine, ref)->u.persistent.id = id;
	machine_push(machine, ref);
}

static void
run_proto(Machine *machine, const Operand *operand)
{
	if (machine->opcode_at != 0)
		machine_fail(machine, "says the protocol, which only the first one may");
	if (operand->number < PICKLE_MIN_PROTOCOL ||
		operand->number > PICKLE_MAX_PROTOCOL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("pickle protocol %d is not supported",
						(int) operand->number),
				 errdetail("Protocols %d to %d are read.",
						   PICKLE_MIN_PROTOCOL, PICKLE_MAX_PROTOCOL)));
}

static void
run_frame(Machine *machine, const Operand *operand)
{
	if (machine->frame_end != 0)
		machine_fail(machine, "starts a frame inside of a frame");
	if (operand->number > machine->size - machine->position)
		machine_fail(machine, "starts a frame that ends after the end");
	if (operand->number > 0)
		machine->frame_end = machine->position + operand->number;
}

static void
run_stop(Machine *machine, const Operand *operand)
{
	machine->pickle->root = machine_pop(machine);
	if (machine->depth != 0 || machine->nmarks != 0)
		machine_fail(machine, "stops with items left on the stack");
	machine->stopped = true;
}

/* ---------- opcodes ---------- */

const Opcode pickle_opcodes[256] = {
	['('] = {run_mark, OPERAND_NONE},
	[')'] = {run_empty, OPERAND_NONE},
	['.'] = {run_stop, OPERAND_NONE},
	['0'] = {run_pop, OPERAND_NONE},
	['B'] = {run_bytes, OPERAND_BYTES_4},
	['C'] = {run_bytes, OPERAND_BYTES_1},
	['G'] = {run_float, OPERAND_F8},
	['J'] = {run_int, OPERAND_I4},
	['K'] = {run_int, OPERAND_U1},
	['M'] = {run_int, OPERAND_U2},
	['N'] = {run_none, OPERAND_NONE},
	['Q'] = {run_persistent, OPERAND_NONE},
	['R'] = {run_call, OPERAND_NONE},
	['T'] = {run_string, OPERAND_BYTES_4},
	['U'] = {run_string, OPERAND_BYTES_1},
	['X'] = {run_string, OPERAND_BYTES_4},
	[']'] = {run_empty, OPERAND_NONE},
	['a'] = {run_append, OPERAND_NONE},
	['b'] = {run_build, OPERAND_NONE},
	['c'] = {run_global, OPERAND_LINES},
	['e'] = {run_appends, OPERAND_NONE},
	['h'] = {run_get, OPERAND_U1},
	['i'] = {run_inst, OPERAND_LINES},
	['j'] = {run_get, OPERAND_U4},
	['o'] = {run_obj, OPERAND_NONE},
	['q'] = {run_put, OPERAND_U1},
	['r'] = {run_put, OPERAND_U4},
	['s'] = {run_setitem, OPERAND_NONE},
	['t'] = {run_tuple, OPERAND_NONE},
	['u'] = {run_setitems, OPERAND_NONE},
	['}'] = {run_empty, OPERAND_NONE},
	[0x80] = {run_proto, OPERAND_U1},
	[0x81] = {run_call, OPERAND_NONE},
	[0x85] = {run_short_tuple, OPERAND_NONE},
	[0x86] = {run_short_tuple, OPERAND_NONE},
	[0x87] = {run_short_tuple, OPERAND_NONE},
	[0x88] = {run_bool, OPERAND_NONE},
	[0x89] = {run_bool, OPERAND_NONE},
	[0x8a] = {run_long, OPERAND_BYTES_1},
	[0x8b] = {run_long, OPERAND_BYTES_4},
	[0x8c] = {run_string, OPERAND_BYTES_1},
	[0x8d] = {run_string, OPERAND_BYTES_8},
	[0x8e] = {run_bytes, OPERAND_BYTES_8},
	[0x8f] = {run_empty, OPERAND_NONE},
	[0x90] = {run_appends, OPERAND_NONE},
	[0x91] = {run_frozenset, OPERAND_NONE},
	[0x93] = {run_stack_global, OPERAND_NONE},
	[0x94] = {run_memoize, OPERAND_NONE},
	[0x95] = {run_frame, OPERAND_U8},
};
