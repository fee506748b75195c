/*
 * call.h
 *		Where in a query a model is called.
 *
 * What is to run is found once for all rows of a statement.  Private to
 * src/serve.
 */
#ifndef MODELOPT_SERVE_CALL_H
#define MODELOPT_SERVE_CALL_H

#include "compat.h"

#include "serve/serve.h"
#include "utils/array.h"

/* The model of an argument that is a model, or a text with a name; as long as
 * the function's call. */
extern Target *call_target(FunctionCallInfo fcinfo, int argument);

/* The features of an argument that is an array, or a text with one, which is
 * read as the model's input is. */
extern ArrayType *call_features(FunctionCallInfo fcinfo, int argument,
								const Session *session);

#endif							/* MODELOPT_SERVE_CALL_H */
