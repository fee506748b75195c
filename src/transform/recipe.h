/*
 * recipe.h
 *		Writing what was done to a model.
 *
 * Private to src/transform.  A step is JSON text that is put together key by
 * key, between braces of the caller's.
 */
#ifndef MODELOPT_RECIPE_H
#define MODELOPT_RECIPE_H

#include "transform/targets.h"

/* A key, with a comma before it where one is due, and for the value to
 * follow. */
extern void recipe_key(StringInfo out, const char *key);

/* The same for a key that is any string of a model. */
extern void recipe_key_of(StringInfo out, const char *name);
extern void recipe_string(StringInfo out, const char *key, const char *value);
extern void recipe_integer(StringInfo out, const char *key, int64 value);
extern void recipe_real(StringInfo out, const char *key, double value);

/* include and exclude, where there are any. */
extern void recipe_patterns(StringInfo out, const Patterns *patterns);

/* Adds the finished step to a model's recipe; frees it. */
extern void recipe_append(Model *out, StringInfo step);

#endif							/* MODELOPT_RECIPE_H */
