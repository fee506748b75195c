/*
 * pickle.c
 *		A machine that reads Python pickles and executes nothing.
 *
 * Owns the walk over opcodes, the stack, and the arena of nodes and cells.
 * Reads what torch.save writes in protocols 2 to 5 and refuses the rest.  Does
 * not know what any global means (see PickleOptions), and has no way to look
 * one up.
 *
 * Memory is bounded by the input: an opcode makes at most two nodes, items
 * are made by what was pushed, and each array is capped by max_nodes.  There
 * is no recursion.
 */
#include "postgres.h"

#include "format/pickle_machine.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define INTERRUPT_STEP	65536	/* opcodes */

/* ---------- errors ---------- */

void
machine_fail(const Machine *machine, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid pickle in checkpoint"),
			 errdetail("The opcode at byte %zu of %s %s.",
					   machine->opcode_at, machine->pickle->options->where,
					   what)));
	pg_unreachable();
}

/* ---------- memory ---------- */

/* Makes room for one more element, by doubling, up to what the input can
 * justify: an element for each of its bytes, unless containers are copied. */
void *
machine_grow(const Machine *machine, void *array, uint32 *allocated, uint32 used,
	 size_t width)
{
	uint32		limit = machine->pickle->options->max_nodes;
	uint64		wanted;

	if (used < *allocated)
		return array;
	if (used >= limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("pickle in checkpoint has too many objects"),
				 errdetail("There are more than %u objects in %s, which its size does not justify.",
						   limit, machine->pickle->options->where)));
	wanted = Max((uint64) *allocated * 2, 64);
	if (used < machine->size + 64)
		wanted = Min(wanted, (uint64) machine->size + 64);
	wanted = Min(wanted, (uint64) limit);
	*allocated = (uint32) wanted;
	if (array == NULL)
		return MemoryContextAllocHuge(CurrentMemoryContext, wanted * width);
	return repalloc_huge(array, wanted * width);
}

PickleRef
machine_new_node(Machine *machine, PickleKind kind)
{
	Pickle	   *pickle = machine->pickle;

	pickle->nodes = machine_grow(machine, pickle->nodes, &machine->nodes_allocated,
						 pickle->nnodes, sizeof(PickleNode));
	memset(&pickle->nodes[pickle->nnodes], 0, sizeof(PickleNode));
	pickle->nodes[pickle->nnodes].kind = kind;
	return pickle->nnodes++;
}

void
machine_add_item(Machine *machine, PickleRef container, PickleRef key,
		 PickleRef value)
{
	Pickle	   *pickle = machine->pickle;
	PickleNode *node = machine_node(machine, container);
	uint32		cell;

	pickle->cells = machine_grow(machine, pickle->cells, &machine->cells_allocated,
						 pickle->ncells, sizeof(PickleCell));
	cell = pickle->ncells++;
	pickle->cells[cell].key = key;
	pickle->cells[cell].value = value;
	pickle->cells[cell].next = 0;
	if (node->u.items.count == 0)
		node->u.items.first = cell;
	else
		pickle->cells[node->u.items.last].next = cell;
	node->u.items.last = cell;
	node->u.items.count++;
}

/* ---------- stack ---------- */

void
machine_push(Machine *machine, PickleRef ref)
{
	machine->stack = machine_grow(machine, machine->stack, &machine->stack_allocated,
						  machine->depth, sizeof(PickleRef));
	machine->stack[machine->depth++] = ref;
}

uint32
machine_available(const Machine *machine)
{
	uint32		fence = machine->nmarks > 0 ?
		machine->marks[machine->nmarks - 1] : 0;

	return machine->depth - fence;
}

PickleRef
machine_pop(Machine *machine)
{
	if (machine_available(machine) == 0)
		machine_fail(machine, "takes more from the stack than there is");
	return machine->stack[--machine->depth];
}

PickleRef
machine_top(const Machine *machine)
{
	if (machine_available(machine) == 0)
		machine_fail(machine, "takes more from the stack than there is");
	return machine->stack[machine->depth - 1];
}

uint32
machine_pop_mark(Machine *machine)
{
	if (machine->nmarks == 0)
		machine_fail(machine, "needs a mark, and there is none");
	return machine->marks[--machine->nmarks];
}

/* ---------- operands ---------- */

/* The next n bytes; an opcode may not reach over the end of its frame. */
static const uint8 *
take(Machine *machine, uint64 n)
{
	size_t		end = machine->frame_end != 0 ?
		machine->frame_end : machine->size;
	const uint8 *bytes = (const uint8 *) machine->data + machine->position;

	if (n > end - machine->position)
		machine_fail(machine, "reaches over the end");
	machine->position += n;
	return bytes;
}

/* A little-endian number of n bytes. */
static uint64
take_number(Machine *machine, int n)
{
	const uint8 *bytes = take(machine, n);
	uint64		number = 0;

	for (int i = n; i-- > 0;)
		number = number << 8 | bytes[i];
	return number;
}

static double
take_real(Machine *machine)
{
	const uint8 *bytes = take(machine, 8);
	uint64		bits = 0;
	double		real;

	for (int i = 0; i < 8; i++)
		bits = bits << 8 | bytes[i];
	memcpy(&real, &bits, sizeof(real));
	return real;
}

/* A line of text, without its end. */
static void
take_line(Machine *machine, size_t *offset, size_t *length)
{
	size_t		left = machine->size - machine->position;
	const char *start = machine->data + machine->position;
	const char *end = memchr(start, '\n', Min(left, MACHINE_MAX_LINE + 1));

	if (end == NULL)
		machine_fail(machine, "has a line of text without an end");
	*offset = machine->position;
	*length = end - start;
	(void) take(machine, *length + 1);
}

static void
take_operand(Machine *machine, OperandKind kind, Operand *operand)
{
	static const uint8 length_size[] = {
		[OPERAND_BYTES_1] = 1,[OPERAND_BYTES_4] = 4,[OPERAND_BYTES_8] = 8,
	};

	switch (kind)
	{
		case OPERAND_NONE:
			break;
		case OPERAND_U1:
			operand->number = take_number(machine, 1);
			break;
		case OPERAND_U2:
			operand->number = take_number(machine, 2);
			break;
		case OPERAND_I4:
			operand->number = (int64) (int32) take_number(machine, 4);
			break;
		case OPERAND_U4:
			operand->number = take_number(machine, 4);
			break;
		case OPERAND_U8:
			operand->number = take_number(machine, 8);
			break;
		case OPERAND_F8:
			operand->real = take_real(machine);
			break;
		case OPERAND_BYTES_1:
		case OPERAND_BYTES_4:
		case OPERAND_BYTES_8:
			operand->length = take_number(machine, length_size[kind]);
			operand->offset = machine->position;
			(void) take(machine, operand->length);
			break;
		case OPERAND_LINES:
			take_line(machine, &operand->offset, &operand->length);
			take_line(machine, &operand->offset2, &operand->length2);
			break;
	}
}

/* ---------- running ---------- */

static void
run_opcode(Machine *machine)
{
	Operand		operand = {0};
	const Opcode *opcode;

	machine->opcode_at = machine->position;
	operand.opcode = *take(machine, 1);
	opcode = &pickle_opcodes[operand.opcode];
	if (opcode->run == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid pickle in checkpoint"),
				 errdetail("Byte %zu of %s, 0x%02x, is no opcode that torch.save writes.",
						   machine->opcode_at,
						   machine->pickle->options->where, operand.opcode)));
	take_operand(machine, opcode->operand, &operand);
	if (machine->position == machine->frame_end)
		machine->frame_end = 0;
	opcode->run(machine, &operand);
}

/* The nodes that every pickle has, and the place of index 0. */
static void
make_common_nodes(Machine *machine)
{
	Pickle	   *pickle = machine->pickle;

	(void) machine_new_node(machine, PICKLE_NONE);
	if (machine_new_node(machine, PICKLE_NONE) != NODE_NONE ||
		machine_new_node(machine, PICKLE_BOOL) != NODE_FALSE ||
		machine_new_node(machine, PICKLE_BOOL) != NODE_TRUE ||
		machine_new_node(machine, PICKLE_TUPLE) != NODE_EMPTY_TUPLE)
		elog(ERROR, "common nodes are out of order");
	pickle->nodes[NODE_TRUE].u.integer = 1;
	pickle->cells = machine_grow(machine, pickle->cells,
								 &machine->cells_allocated, 0,
								 sizeof(PickleCell));
	pickle->ncells = 1;
}

Pickle *
pickle_parse(const char *data, size_t size, const PickleOptions *options)
{
	Pickle	   *pickle = palloc0(sizeof(Pickle));
	Machine    *machine = palloc0(sizeof(Machine));

	pickle->data = data;
	pickle->options = options;
	machine->pickle = pickle;
	machine->data = data;
	machine->size = size;
	if (size > PG_UINT32_MAX)
		machine_fail(machine, "starts more bytes than can be counted");
	if (size == 0 || (uint8) data[0] != 0x80)
		machine_fail(machine, "does not say the protocol, as all but the oldest ones do");

	make_common_nodes(machine);
	while (!machine->stopped)
	{
		if (machine->opcodes++ % INTERRUPT_STEP == 0)
			CHECK_FOR_INTERRUPTS();
		run_opcode(machine);
	}
	if (machine->frame_end != 0)
		machine_fail(machine, "stops before its frame does");
	pickle->size = machine->position;
	if (machine->stack != NULL)
		pfree(machine->stack);
	if (machine->memo != NULL)
		pfree(machine->memo);
	pfree(machine);
	return pickle;
}
