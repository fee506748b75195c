/*
 * onnx_check.h
 *		What the files share that check a ModelProto.
 *
 * Private to them.  The walk (onnx_walk.c) goes through all messages and
 * calls onnx_begin and onnx_end around each (onnx_check.c, onnx_check_tensor.c);
 * names of values and functions are looked at when the walk is over
 * (onnx_names.c, onnx_functions.c).
 */
#ifndef MODELOPT_ONNX_CHECK_H
#define MODELOPT_ONNX_CHECK_H

#include "compat.h"

#include "onnx/onnx.h"

#define ONNX_MIN_IR			3
#define ONNX_MAX_IR			14
#define ONNX_MAX_DEPTH		100 /* messages in each other */
#define ONNX_MAX_GRAPHS		30	/* graphs in each other */
#define ONNX_MAX_NODES		200000	/* with functions expanded */
#define ONNX_MAX_NAMES		2000000 /* of their inputs and outputs */
#define ONNX_MAX_FUNCTIONS	10000
#define ONNX_MAX_IMPORTS	256 /* operator sets */
#define ONNX_MAX_METADATA	(1024 * 1024)	/* bytes of metadata_props */

/* ---------- the walk (onnx_walk.c) ---------- */

typedef struct OnnxFrame
{
	OnnxMessage message;
	OnnxBytes	content;
	PbReader	reader;			/* behind the field that is being walked */
	PbField		field;
	const OnnxFieldInfo *info;	/* of field */
} OnnxFrame;

typedef struct OnnxImports
{
	int			n;
	OnnxBytes	domains[ONNX_MAX_IMPORTS];
	int64		versions[ONNX_MAX_IMPORTS];
} OnnxImports;

typedef struct OnnxWalk
{
	OnnxPlace	place;
	int			depth;			/* frames */
	int			ngraphs;		/* graphs among them */
	bool		in_function;	/* one of them is a function */
	bool		is_scattered;	/* what onnx_check returns */
	int			nnodes;			/* so far */
	OnnxImports imports;
	OnnxImports function_imports;
	struct OnnxNames *names;
	struct OnnxFunctions *functions;
	OnnxFrame	frames[ONNX_MAX_DEPTH];
} OnnxWalk;

/* The message that is being walked. */
#define onnx_frame(walk)	(&(walk)->frames[(walk)->depth - 1])

/*
 * Calls onnx_begin and onnx_end around each message: when the fields that it
 * has itself have been checked, but not those of messages in it.
 */
extern void onnx_walk(OnnxWalk *walk, OnnxBytes model);
extern void onnx_begin(OnnxWalk *walk);
extern void onnx_end(OnnxWalk *walk);

/* Raise with the place; detail is the rest of a sentence, without its full
 * stop. */
pg_noreturn extern void onnx_fail(const OnnxWalk *walk, const char *detail);
pg_noreturn extern void onnx_unsupported(const OnnxWalk *walk, const char *detail);
pg_noreturn extern void onnx_limit(const OnnxWalk *walk, const char *detail);
pg_noreturn extern void onnx_refuse_external(const OnnxWalk *walk);

/* Check the tensor that is being walked: when it begins, and a sparse one when
 * it ends (onnx_check_tensor.c). */
extern void onnx_check_tensor(OnnxWalk *walk);
extern void onnx_check_sparse_tensor(OnnxWalk *walk);

/* ---------- names of values (onnx_names.c) ---------- */

typedef enum OnnxEvent
{
	ONNX_OPEN,					/* a graph or a function */
	ONNX_CLOSE,
	ONNX_INPUT,
	ONNX_INITIALIZER,
	ONNX_USE,
	ONNX_MAKE,
	ONNX_RESULT,
} OnnxEvent;

extern struct OnnxNames *onnx_names_create(void);
extern void onnx_names_add(struct OnnxNames *names, OnnxEvent event,
						   OnnxBytes name);

/* Raises 22P03 when a value is made twice, or used and not made before. */
extern void onnx_names_check(struct OnnxNames *names);

/* Raises 22P03 when two names are equal; problem has a %s for the name. */
extern void onnx_check_unique(const OnnxWalk *walk, OnnxBytes *names, int n,
							  const char *problem);

/* ---------- functions of a model (onnx_functions.c) ---------- */

/* NULL for a model that has none. */
extern struct OnnxFunctions *onnx_functions_create(OnnxBytes model);

/* Begins a function, or the graph when there is no message. */
extern void onnx_functions_begin(struct OnnxFunctions *functions,
								 OnnxBytes function);
extern void onnx_functions_add_node(struct OnnxFunctions *functions,
									OnnxBytes node);

/* Raises when functions call themselves, or expand to too many nodes. */
extern void onnx_functions_check(struct OnnxFunctions *functions);

#endif							/* MODELOPT_ONNX_CHECK_H */
