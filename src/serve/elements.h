/*
 * elements.h
 *		Values of SQL as elements of tensors, and back.
 *
 * Private to src/serve.
 */
#ifndef MODELOPT_SERVE_ELEMENTS_H
#define MODELOPT_SERVE_ELEMENTS_H

#include "postgres.h"

#include "model/model.h"
#include "serve/ort.h"
#include "utils/array.h"

/* Values in memory, one after another, in C's types. */
typedef enum SourceKind
{
	SOURCE_F32,
	SOURCE_F64,
	SOURCE_I16,
	SOURCE_I32,
	SOURCE_I64,
	SOURCE_BOOL,
	SOURCE_NUMERIC,				/* of Datum */
	SOURCE_TEXT,				/* of Datum */
} SourceKind;

/* How values of an SQL type are read; raises 42804 when they are nothing that
 * a tensor could have. */
extern SourceKind source_kind(Oid type);

/* Bytes of one such value. */
extern int	source_width(SourceKind kind);

/* Puts a value where so many bytes are. */
extern void source_store(SourceKind kind, Datum value, void *dst);

/* One value that is no text, of many. */
extern double source_as_double(SourceKind kind, const void *values, int64 i);

/* The values of an array. */
typedef struct ArraySource
{
	SourceKind	kind;
	int64		count;
	const char *values;
	const bool *nulls;			/* NULL when none is */
} ArraySource;

extern void source_of_array(ArraySource *source, ArrayType *array);

/*
 * Writes n values, no texts, as elements of a type that is no string.  Returns
 * the index of the first one that does not fit, or -1.  Raises 0A000 when there
 * is no way to write such elements; name is the input's.
 */
extern int64 elements_write(SourceKind kind, const void *values, int64 n,
							int type, void *dst, const char *name);

/* In words, that a value does not fit. */
extern char *elements_complaint(SourceKind kind, const void *values, int64 i,
								int type, const char *name);

/* The element type's name, as tensors() has it. */
extern const char *element_name(int type);

/* The same type of a tensor in a model, or DTYPE_INVALID. */
extern DType element_dtype(int type);

/* Reads elements as floats; raises 22003 where a float is not the same number,
 * but for doubles, which are rounded; name is the output's. */
extern void elements_to_floats(int type, const void *elements, int64 first,
							   int64 n, float *dst, const char *name);

/* A string element, which is copied; raises when there is none, or its bytes
 * are no text. */
extern char *string_element(const ServedTensor *tensor, int64 count, int64 i);

#endif							/* MODELOPT_SERVE_ELEMENTS_H */
