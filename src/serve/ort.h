/*
 * ort.h
 *		ONNX Runtime: models that are loaded, and runs of them.
 *
 * Pure C without the server, because it is linked into both the runner program
 * and the server's library.  Owns the runtime's handles and how it is set up;
 * must not know where bytes come from, nor what becomes of a failure: every
 * function that can fail fills a Problem and returns false or NULL.  Nothing
 * here calls back into the server, and nothing jumps out of the runtime.
 */
#ifndef MODELOPT_SERVE_ORT_H
#define MODELOPT_SERVE_ORT_H

#include "serve/value.h"

#define ORT_MAX_PORTS	1024	/* inputs, or outputs, of a model */
#define ORT_MAX_TEXT	2000

typedef struct Problem
{
	int			code;			/* the runtime's, or 0 when it is ours */
	char		text[ORT_MAX_TEXT];
} Problem;

/* Where outputs go: memory for that many bytes, or NULL when there is none.
 * What is taken later lies behind what is taken before, at a place as
 * PLACE_ALIGN has it.  May not jump away. */
typedef struct TensorPlace
{
	void	   *(*take) (struct TensorPlace *place, uint64_t bytes);
} TensorPlace;

/* A place that is a memory of fixed size, filled from its start on. */
typedef struct MemoryPlace
{
	TensorPlace place;			/* with memory_take */
	char	   *memory;
	uint64_t	used;
	uint64_t	limit;
} MemoryPlace;

extern void *memory_take(TensorPlace *place, uint64_t bytes);

/* Kinds of values, with the runtime's numbers. */
typedef enum PortKind
{
	PORT_TENSOR = 1,
	PORT_SEQUENCE = 2,
	PORT_MAP = 3,
	PORT_OPTIONAL = 6,
} PortKind;

#define PORT_MAX_DEPTH	8		/* of a type in types */

/* What a model takes or gives, or a type in one of these. */
typedef struct Port
{
	const char *name;			/* NULL inside */
	int32_t		kind;			/* PortKind, or one that has nothing here */
	int32_t		type;			/* ElementType, of a tensor or a map's keys */
	int32_t		ndim;			/* of a tensor */
	int64_t    *dims;			/* -1 where it may be any */
	const char **symbols;		/* names of dimensions, "" for none */
	struct Port *of;			/* what a sequence, a map or an optional value has
								 * in it, else NULL */
} Port;

/* Whether values of a kind have others in them. */
extern bool port_is_wrap(int kind);

/* The element type that values have, or ELEMENT_NONE where there are none. */
extern int	port_element_type(const Port *port);

typedef struct OrtModel OrtModel;

/*
 * Opens the library, once in a process: later calls need the same arguments.
 * Threads that the runtime starts here take no signals.  memory_limit bounds
 * what its allocator gives out; 0 for no bound.
 */
extern bool ort_open(const char *library, uint64_t memory_limit,
					 Problem *problem);

/* The version of the open library. */
extern const char *ort_version(void);

/* Loads an ONNX model, of which nothing is needed afterwards. */
extern OrtModel *ort_load(const void *bytes, size_t size, int threads,
						  Problem *problem);
extern void ort_unload(OrtModel *model);

extern int	ort_ports(const OrtModel *model, bool outputs,
					  const Port **ports);

/*
 * Runs a model once with all of its inputs, in its order.  Fills all outputs,
 * whose data lies in the place's memory; one that is absent, or of a kind that
 * has nothing here, has the type ELEMENT_NONE.
 */
extern bool ort_run(OrtModel *model, const ServedTensor *inputs,
					ServedTensor *outputs, TensorPlace *place,
					Problem *problem);

/* Makes a run that is under way fail soon; from another thread or a signal's
 * handler's place.  In effect until ort_resume. */
extern void ort_terminate(OrtModel *model);
extern void ort_resume(OrtModel *model);

#endif							/* MODELOPT_SERVE_ORT_H */
