/*
 * json_walk.h
 *		A walk over a model's metadata.
 *
 * Private to src/format.  The text is known to be JSON in the form that jsonb
 * writes; should it not be, no function goes beyond its final NUL, and those
 * that return bool return false.
 */
#ifndef MODELOPT_JSON_WALK_H
#define MODELOPT_JSON_WALK_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* What comes after blanks, or after a value. */
extern const char *json_walk_skip_blanks(const char *p);
extern const char *json_walk_skip_value(const char *p);

/* Takes the mark if it comes next, blanks before and after it skipped. */
extern bool json_walk_accept(const char **p, char mark);

/* Appends what a string says to out. */
extern bool json_walk_string(const char **p, StringInfo out);

/* The value that an object has under a key, or NULL. */
extern const char *json_walk_member(const char *object, const char *key);

#endif							/* MODELOPT_JSON_WALK_H */
