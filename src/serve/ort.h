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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORT_MAX_DIMS	32
#define ORT_MAX_PORTS	1024	/* inputs, or outputs, of a model */
#define ORT_MAX_TEXT	2000

typedef struct Problem
{
	int			code;			/* the runtime's, or 0 when it is ours */
	char		text[ORT_MAX_TEXT];
} Problem;

/* Element types, with ONNX's numbers. */
typedef enum ElementType
{
	ELEMENT_NONE = 0,
	ELEMENT_F32 = 1,
	ELEMENT_U8 = 2,
	ELEMENT_I8 = 3,
	ELEMENT_U16 = 4,
	ELEMENT_I16 = 5,
	ELEMENT_I32 = 6,
	ELEMENT_I64 = 7,
	ELEMENT_STRING = 8,
	ELEMENT_BOOL = 9,
	ELEMENT_F16 = 10,
	ELEMENT_F64 = 11,
	ELEMENT_U32 = 12,
	ELEMENT_U64 = 13,
	ELEMENT_BF16 = 16,
	ELEMENT_F8E4M3FN = 17,
	ELEMENT_F8E4M3FNUZ = 18,
	ELEMENT_F8E5M2 = 19,
	ELEMENT_F8E5M2FNUZ = 20,
	ELEMENT_U4 = 21,
	ELEMENT_I4 = 22,
} ElementType;

/* Bits of an element, or 0 for strings and what has no number here. */
extern int	element_bits(int type);

/*
 * A tensor that goes in or out.  Elements lie one after another, in C's order;
 * of strings there are count + 1 offsets (uint64) from the end of the offsets,
 * and then their bytes.
 */
typedef struct TensorShape
{
	int32_t		type;			/* ElementType */
	int32_t		ndim;
	int64_t		dims[ORT_MAX_DIMS];
} TensorShape;

typedef struct ServedTensor
{
	TensorShape shape;
	uint64_t	bytes;
	void	   *data;
} ServedTensor;

/* Elements of a shape; false when it is none or they are too many. */
extern bool shape_elements(const TensorShape *shape, int64_t *count);

/* Bytes of so many elements that are no strings; false when they are too many
 * or the type has no number here. */
extern bool elements_bytes(int type, int64_t count, uint64_t *bytes);

/* Where the elements of outputs go: memory for that many bytes, or NULL when
 * there is none.  May not jump away. */
typedef struct TensorPlace
{
	void	   *(*take) (struct TensorPlace *place, uint64_t bytes);
} TensorPlace;

/* What a model takes or gives. */
typedef struct Port
{
	const char *name;
	int32_t		kind;			/* 1 for a tensor; else sequence, map, ... */
	int32_t		type;			/* ElementType, of a tensor */
	int32_t		ndim;
	int64_t    *dims;			/* -1 where it may be any */
	const char **symbols;		/* names of dimensions, "" for none */
} Port;

#define PORT_TENSOR 1

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
 * whose data lies in the place's memory; one that is no tensor, or is absent,
 * has the type ELEMENT_NONE.
 */
extern bool ort_run(OrtModel *model, const ServedTensor *inputs,
					ServedTensor *outputs, TensorPlace *place,
					Problem *problem);

/* Makes a run that is under way fail soon; from another thread or a signal's
 * handler's place.  In effect until ort_resume. */
extern void ort_terminate(OrtModel *model);
extern void ort_resume(OrtModel *model);

#endif							/* MODELOPT_SERVE_ORT_H */
