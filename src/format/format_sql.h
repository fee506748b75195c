/*
 * format_sql.h
 *		What the functions that read and write models share.
 *
 * Private to src/format.
 */
#ifndef MODELOPT_FORMAT_SQL_H
#define MODELOPT_FORMAT_SQL_H

#include "fmgr.h"
#include "format/format.h"

/* Arguments 1 to 4 of model_read and model_load. */
extern void format_get_options(FunctionCallInfo fcinfo, ReadOptions *options);

/* Reads an input in the format that argument 1 names. */
extern Model *format_read_chosen(FunctionCallInfo fcinfo, Input *input,
								 const ReadOptions *options);

/* The argument that says as which type tensors of floats are written, or
 * NULL. */
extern const char *format_get_dtype(FunctionCallInfo fcinfo, int argument);

#endif							/* MODELOPT_FORMAT_SQL_H */
