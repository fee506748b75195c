/*
 * pickle.h
 *		A machine that reads Python pickles and executes nothing.
 *
 * Private to src/format.  Running a pickle gives a graph of nodes: numbers,
 * strings, containers, and records of which global would have been called with
 * which arguments.  No global is ever looked up anywhere but in the table that
 * the caller hands over; what calls mean is the caller's to say.
 *
 * Nodes are named by their index, strings are views into the input, and both
 * live until the context in which the pickle was parsed goes.  The graph may
 * have cycles and may share nodes: whoever walks it must bound the walk.
 */
#ifndef MODELOPT_PICKLE_H
#define MODELOPT_PICKLE_H

#include "postgres.h"

/* Protocols before 2 are text and have opcodes of their own. */
#define PICKLE_MIN_PROTOCOL		2
#define PICKLE_MAX_PROTOCOL		5

/* Index of a node; 0 is no node. */
typedef uint32 PickleRef;

#define PICKLE_NOWHERE ((PickleRef) 0)

typedef enum PickleKind
{
	PICKLE_NONE = 1,
	PICKLE_BOOL,
	PICKLE_INT,
	PICKLE_LONG,				/* an integer of more than 64 bits */
	PICKLE_FLOAT,
	PICKLE_STRING,
	PICKLE_BYTES,
	PICKLE_TUPLE,
	PICKLE_LIST,
	PICKLE_DICT,
	PICKLE_SET,
	PICKLE_GLOBAL,				/* a name: module and attribute */
	PICKLE_CALL,				/* a call of a global that the caller knows */
	PICKLE_OBJECT,				/* an instance of what the caller does not know */
	PICKLE_PERSISTENT,			/* something kept outside of the pickle */
} PickleKind;

/* What may be done with a global. */
typedef enum PickleRole
{
	PICKLE_ROLE_NAME,			/* mentioned, never called */
	PICKLE_ROLE_CALL,			/* a call of it is a PICKLE_CALL */
	PICKLE_ROLE_VALUE,			/* a call of it is harmless: PICKLE_OBJECT */
	PICKLE_ROLE_DICT,			/* a call of it makes a dict */
	PICKLE_ROLE_SET,			/* ... a set */
	PICKLE_ROLE_REFUSED,		/* must not even be mentioned */
} PickleRole;

typedef struct PickleGlobal
{
	const char *module;
	const char *name;			/* NULL for all names of the module */
	PickleRole	role;
	int			group;			/* the caller's own */
	int			value;			/* likewise */
} PickleGlobal;

typedef struct PickleNode
{
	uint8		kind;			/* PickleKind */
	PickleRef	state;			/* what BUILD gave it */
	union
	{
		int64		integer;	/* PICKLE_INT, PICKLE_BOOL */
		double		real;
		struct
		{
			uint32		offset; /* in the input */
			uint32		length;
		}			text;		/* PICKLE_STRING, PICKLE_BYTES, PICKLE_LONG */
		struct
		{
			uint32		first;	/* cell */
			uint32		last;
			uint32		count;
		}			items;		/* PICKLE_TUPLE, _LIST, _DICT, _SET */
		struct
		{
			uint32		module; /* offsets in the input */
			uint32		name;
			uint8		module_length;
			uint8		name_length;
			int16		entry;	/* in the caller's table, or -1 */
		}			global;
		struct
		{
			PickleRef	callable;	/* GLOBAL or PERSISTENT */
			PickleRef	arguments;	/* TUPLE */
			PickleRef	items;	/* DICT or LIST of a subclass of these */
		}			call;		/* PICKLE_CALL, PICKLE_OBJECT */
		struct
		{
			PickleRef	id;
			uint32		tag;	/* the caller's own */
		}			persistent;
	}			u;
} PickleNode;

/* A place in a container. */
typedef struct PickleCell
{
	PickleRef	key;			/* in a dict */
	PickleRef	value;
	uint32		next;			/* cell, or 0 */
} PickleCell;

typedef struct PickleOptions
{
	const char *where;			/* what the bytes are called in errors */
	const PickleGlobal *globals;
	int			nglobals;
	bool		allow_unknown;	/* calls of unknown globals make objects */
	uint32		max_nodes;		/* also bounds cells, memo and stack */
} PickleOptions;

typedef struct Pickle
{
	const char *data;
	size_t		size;			/* of the pickle: up to and with its STOP */
	const PickleOptions *options;
	PickleNode *nodes;			/* from 1 */
	uint32		nnodes;			/* one more than the last index */
	PickleCell *cells;			/* from 1 */
	uint32		ncells;
	PickleRef	root;
} Pickle;

/*
 * Runs one pickle at the start of data, in the current context.  Raises 22P03
 * when it is malformed or calls what it must not, 0A000 for a protocol that
 * is not read here, 54000 when it outgrows max_nodes.
 * options must live as long as the result.
 */
extern Pickle *pickle_parse(const char *data, size_t size,
							const PickleOptions *options);

static inline const PickleNode *
pickle_node(const Pickle *pickle, PickleRef ref)
{
	Assert(ref > 0 && ref < pickle->nnodes);
	return &pickle->nodes[ref];
}

static inline PickleKind
pickle_kind(const Pickle *pickle, PickleRef ref)
{
	return (PickleKind) pickle_node(pickle, ref)->kind;
}

/* The bytes of a PICKLE_STRING, PICKLE_BYTES or PICKLE_LONG. */
static inline const char *
pickle_text(const Pickle *pickle, PickleRef ref)
{
	return pickle->data + pickle_node(pickle, ref)->u.text.offset;
}

/* The caller's table entry of a PICKLE_GLOBAL, or of the global that a
 * PICKLE_CALL calls; NULL when there is none. */
extern const PickleGlobal *pickle_known_global(const Pickle *pickle,
											   PickleRef ref);

/* Whether a node is the string s. */
extern bool pickle_is_string(const Pickle *pickle, PickleRef ref,
							 const char *s);

/* Whether a node is a dict, or an instance of a subclass of dict; *dict is
 * then the node that has the items. */
extern bool pickle_as_dict(const Pickle *pickle, PickleRef ref,
						   PickleRef *dict);

/* The same for lists and tuples. */
extern bool pickle_as_list(const Pickle *pickle, PickleRef ref,
						   PickleRef *list);

/* The value that a dict has under a string, or PICKLE_NOWHERE. */
extern PickleRef pickle_find(const Pickle *pickle, PickleRef dict,
							 const char *key, size_t length);

/* The items of a tuple or list, at most max of them; returns how many it has,
 * or 0 for anything else. */
extern uint32 pickle_tuple(const Pickle *pickle, PickleRef tuple,
						   PickleRef *items, uint32 max);

/*
 * The dotted name of what a node is an instance of ("torch.nn.Linear",
 * "list"), for messages and metadata: printable ASCII, palloc'ed.
 */
extern char *pickle_type_name(const Pickle *pickle, PickleRef ref);

/* The class alone ("Linear"), likewise. */
extern char *pickle_class_name(const Pickle *pickle, PickleRef ref);

#endif							/* MODELOPT_PICKLE_H */
