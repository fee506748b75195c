/*
 * pickle_calls.c
 *		What becomes of the globals that a pickle names, and of calls to them.
 *
 * Owns the rule of what is refused: a global that the caller's table refuses
 * may not even be named, one that it does not have may be named and
 * instantiated, which makes an inert node, and a function that it does not
 * have may be called only if the caller allows it, which makes such a node
 * too.  Nothing runs in any case.
 */
#include "postgres.h"

#include "format/pickle_machine.h"
#include "format/printable.h"

/* ---------- refusal ---------- */

pg_noreturn static void
report_call(const Machine *machine, const char *module, size_t module_length,
			const char *name, size_t name_length)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("checkpoint calls \"%s.%s\", which is not a tensor constructor",
					printable_bytes(module, module_length),
					printable_bytes(name, name_length)),
			 errdetail("Nothing was run. The call is at byte %zu of %s.",
					   machine->opcode_at, machine->pickle->options->where),
			 errhint("If the file comes from somebody you trust, save the weights alone with torch.save(model.state_dict(), path).")));
	pg_unreachable();
}

/* ---------- globals ---------- */

/* Index in the caller's table, or -1. */
static int
find_global(const PickleOptions *options, const char *module,
			size_t module_length, const char *name, size_t name_length)
{
	for (int i = 0; i < options->nglobals; i++)
	{
		const PickleGlobal *global = &options->globals[i];

		if (strlen(global->module) != module_length ||
			memcmp(global->module, module, module_length) != 0)
			continue;
		if (global->name == NULL ||
			(strlen(global->name) == name_length &&
			 memcmp(global->name, name, name_length) == 0))
			return i;
	}
	return -1;
}

static void
push_global(Machine *machine, size_t module, size_t module_length,
			size_t name, size_t name_length)
{
	const PickleOptions *options = machine->pickle->options;
	PickleNode *node;
	PickleRef	ref;
	int			entry;

	if (module_length > MACHINE_MAX_LINE || name_length > MACHINE_MAX_LINE)
		machine_fail(machine, "names a global in too many letters");
	entry = find_global(options, machine->data + module, module_length,
						machine->data + name, name_length);
	if (entry >= 0 && options->globals[entry].role == PICKLE_ROLE_REFUSED)
		report_call(machine, machine->data + module, module_length,
					machine->data + name, name_length);

	ref = machine_new_node(machine, PICKLE_GLOBAL);
	node = machine_node(machine, ref);
	node->u.global.module = module;
	node->u.global.module_length = module_length;
	node->u.global.name = name;
	node->u.global.name_length = name_length;
	node->u.global.entry = entry;
	machine_push(machine, ref);
}

void
run_global(Machine *machine, const Operand *operand)
{
	push_global(machine, operand->offset, operand->length,
				operand->offset2, operand->length2);
}

void
run_stack_global(Machine *machine, const Operand *operand)
{
	PickleRef	name = machine_pop(machine);
	PickleRef	module = machine_pop(machine);
	const PickleNode *name_node = machine_node(machine, name);
	const PickleNode *module_node = machine_node(machine, module);

	if (name_node->kind != PICKLE_STRING || module_node->kind != PICKLE_STRING)
		machine_fail(machine, "names a global by something that is no string");
	push_global(machine, module_node->u.text.offset,
				module_node->u.text.length, name_node->u.text.offset,
				name_node->u.text.length);
}

static void
report_call_of(const Machine *machine, const PickleNode *global)
{
	report_call(machine, machine->data + global->u.global.module,
				global->u.global.module_length,
				machine->data + global->u.global.name,
				global->u.global.name_length);
}

/* INST and OBJ call a class the way that old classes were called, which no
 * torch ever writes; they are read only to say what they would have called. */
void
run_inst(Machine *machine, const Operand *operand)
{
	report_call(machine, machine->data + operand->offset, operand->length,
				machine->data + operand->offset2, operand->length2);
}

void
run_obj(Machine *machine, const Operand *operand)
{
	uint32		start = machine_pop_mark(machine);

	if (start < machine->depth &&
		machine_node(machine, machine->stack[start])->kind == PICKLE_GLOBAL)
		report_call_of(machine, machine_node(machine, machine->stack[start]));
	machine_fail(machine, "calls something that is no global");
}

/* ---------- calls ---------- */

/* Adds what dict() or set() is made from: nothing, a dict, or a list (of
 * pairs, for a dict). */
static void
fill_container(Machine *machine, PickleRef container, PickleRef source)
{
	bool		is_dict = machine_node(machine, container)->kind == PICKLE_DICT;
	PickleKind	from = (PickleKind) machine_node(machine, source)->kind;
	uint32		cell = machine_node(machine, source)->u.items.first;
	uint32		count = machine_node(machine, source)->u.items.count;

	if (from != PICKLE_LIST && from != PICKLE_TUPLE &&
		!(from == PICKLE_DICT && is_dict))
		machine_fail(machine, "makes a dict or set from something else");
	for (uint32 i = 0; i < count; i++)
	{
		PickleCell	item = machine->pickle->cells[cell];
		PickleRef	pair[2];

		cell = item.next;
		if (!is_dict)
			machine_add_item(machine, container, PICKLE_NOWHERE, item.value);
		else if (from == PICKLE_DICT)
			machine_set_item(machine, container, item.key, item.value);
		else if (pickle_tuple(machine->pickle, item.value, pair, 2) == 2)
			machine_set_item(machine, container, pair[0], pair[1]);
		else
			machine_fail(machine, "makes a dict from something that is no pair");
	}
}

static void
push_container(Machine *machine, PickleKind kind, PickleRef arguments)
{
	PickleRef	ref = machine_new_node(machine, kind);
	PickleRef	argument;
	uint32		n = pickle_tuple(machine->pickle, arguments, &argument, 1);

	/* defaultdict's one argument is a global: what makes missing values */
	if (n > 1)
		machine_fail(machine, "makes a dict or set from several things");
	if (n == 1 && machine_node(machine, argument)->kind != PICKLE_GLOBAL)
		fill_container(machine, ref, argument);
	machine_push(machine, ref);
}

static void
push_call(Machine *machine, PickleKind kind, PickleRef callable,
		  PickleRef arguments)
{
	PickleRef	ref = machine_new_node(machine, kind);

	machine_node(machine, ref)->u.call.callable = callable;
	machine_node(machine, ref)->u.call.arguments = arguments;
	machine_push(machine, ref);
}

/* REDUCE calls a function, NEWOBJ makes an instance of a class without
 * calling its constructor, so an unknown class is harmless there. */
void
run_call(Machine *machine, const Operand *operand)
{
	bool		is_new = operand->opcode == 0x81;
	PickleRef	arguments = machine_pop(machine);
	PickleRef	callable = machine_pop(machine);
	const PickleGlobal *known = pickle_known_global(machine->pickle, callable);
	PickleKind	kind = (PickleKind) machine_node(machine, callable)->kind;

	if (machine_node(machine, arguments)->kind != PICKLE_TUPLE)
		machine_fail(machine, "calls with arguments that are no tuple");
	if (kind == PICKLE_PERSISTENT && is_new)
		push_call(machine, PICKLE_OBJECT, callable, arguments);
	else if (kind != PICKLE_GLOBAL)
		machine_fail(machine, "calls something that is no global");
	else if (known == NULL)
	{
		if (!is_new && !machine->pickle->options->allow_unknown)
			report_call_of(machine, machine_node(machine, callable));
		push_call(machine, PICKLE_OBJECT, callable, arguments);
	}
	else if (known->role == PICKLE_ROLE_CALL)
		push_call(machine, PICKLE_CALL, callable, arguments);
	else if (known->role == PICKLE_ROLE_VALUE)
		push_call(machine, PICKLE_OBJECT, callable, arguments);
	else if (known->role == PICKLE_ROLE_DICT)
		push_container(machine, PICKLE_DICT, arguments);
	else if (known->role == PICKLE_ROLE_SET)
		push_container(machine, PICKLE_SET, arguments);
	else
		report_call_of(machine, machine_node(machine, callable));
}
