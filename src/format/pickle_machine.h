/*
 * pickle_machine.h
 *		What the files of the pickle machine share.
 *
 * pickle.c runs opcodes one after the other and owns the memory,
 * pickle_opcodes.c does what each of them says, pickle_calls.c decides what
 * becomes of globals and calls, pickle_nodes.c looks at the result.
 */
#ifndef MODELOPT_PICKLE_MACHINE_H
#define MODELOPT_PICKLE_MACHINE_H

#include "compat.h"

#include "format/pickle.h"

#define MACHINE_MAX_MARKS	1000	/* Python's own recursion ends there */
#define MACHINE_MAX_LINE	255	/* of a module or a global */

/* Nodes that every pickle has, so that one-byte opcodes need no new one. */
enum
{
	NODE_NONE = 1,
	NODE_FALSE,
	NODE_TRUE,
	NODE_EMPTY_TUPLE,
};

typedef struct Machine
{
	Pickle	   *pickle;
	const char *data;
	size_t		size;
	size_t		position;		/* of the next byte */
	size_t		opcode_at;		/* of the opcode that runs, for errors */
	size_t		frame_end;		/* 0 outside of frames */
	bool		stopped;
	uint64		opcodes;		/* run so far */
	uint32		nodes_allocated;
	uint32		cells_allocated;
	PickleRef  *stack;
	uint32		depth;
	uint32		stack_allocated;
	uint32		marks[MACHINE_MAX_MARKS];	/* depth of the stack at each */
	int			nmarks;
	PickleRef  *memo;
	uint32		memo_size;
	uint32		memo_allocated;
} Machine;

/* What follows an opcode. */
typedef enum OperandKind
{
	OPERAND_NONE,
	OPERAND_U1,
	OPERAND_U2,
	OPERAND_I4,
	OPERAND_U4,
	OPERAND_U8,
	OPERAND_F8,					/* big endian */
	OPERAND_BYTES_1,			/* a length of 1 byte, then the bytes */
	OPERAND_BYTES_4,
	OPERAND_BYTES_8,
	OPERAND_LINES,				/* two lines of text */
} OperandKind;

typedef struct Operand
{
	uint8		opcode;
	uint64		number;
	double		real;
	size_t		offset;			/* of bytes, or of the first line */
	size_t		length;
	size_t		offset2;		/* of the second line */
	size_t		length2;
} Operand;

typedef struct Opcode
{
	void		(*run) (Machine *machine, const Operand *operand);
	OperandKind operand;
} Opcode;

extern const Opcode pickle_opcodes[256];

/* ---------- pickle.c ---------- */

/* Raises 22P03; what goes on after "The opcode at byte N of X". */
pg_noreturn extern void machine_fail(const Machine *machine, const char *what);

/* Makes room for one more element of an array. */
extern void *machine_grow(const Machine *machine, void *array,
						  uint32 *allocated, uint32 used, size_t width);

extern PickleRef machine_new_node(Machine *machine, PickleKind kind);

/* Adds an item to the end of a container. */
extern void machine_add_item(Machine *machine, PickleRef container,
							 PickleRef key, PickleRef value);

extern void machine_push(Machine *machine, PickleRef ref);

/* Items that may be popped: a mark fences off what is below it. */
extern uint32 machine_available(const Machine *machine);
extern PickleRef machine_pop(Machine *machine);
extern PickleRef machine_top(const Machine *machine);

/* Removes the last mark; returns where the items after it start. */
extern uint32 machine_pop_mark(Machine *machine);

/* Valid until the next node is made. */
static inline PickleNode *
machine_node(Machine *machine, PickleRef ref)
{
	return &machine->pickle->nodes[ref];
}

/* ---------- pickle_opcodes.c ---------- */

/* Adds an item to a dict, whose key must be fit to be one. */
extern void machine_set_item(Machine *machine, PickleRef dict, PickleRef key,
							 PickleRef value);

/* ---------- pickle_calls.c ---------- */

extern void run_global(Machine *machine, const Operand *operand);
extern void run_stack_global(Machine *machine, const Operand *operand);
extern void run_inst(Machine *machine, const Operand *operand);
extern void run_obj(Machine *machine, const Operand *operand);
extern void run_call(Machine *machine, const Operand *operand);

#endif							/* MODELOPT_PICKLE_MACHINE_H */
