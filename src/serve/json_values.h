/*
 * json_values.h
 *		Values of a model as JSON.
 *
 * A tensor is nested arrays, as many deep as it has dimensions; a number that
 * JSON lacks is a string.  Where arrays cannot tell the shape, because a
 * dimension is 0, and wherever somebody likes, it is an object with shape and
 * data.  A sequence is an array of its elements, a map an object whose keys are
 * texts, integers among them, and an optional value is itself or null.  What an array is, the
 * model's types say.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_JSON_VALUES_H
#define MODELOPT_SERVE_JSON_VALUES_H

#include "serve/serve.h"
#include "utils/jsonb.h"

/* Gives a model all of its inputs, an object with a key for each, or the value
 * of the only one; returns the first one's first dimension, or 0.  Raises 22023
 * when the model does not take them. */
extern int64 json_give_inputs(Session *session, Jsonb *inputs);

/* What came out, an object with a key for each output. */
extern Datum json_of_outputs(const Session *session);

#endif							/* MODELOPT_SERVE_JSON_VALUES_H */
