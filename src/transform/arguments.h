/*
 * arguments.h
 *		SQL arguments that transformations have in common.
 */
#ifndef MODELOPT_ARGUMENTS_H
#define MODELOPT_ARGUMENTS_H

#include "fmgr.h"
#include "transform/targets.h"

/*
 * The place of a word among those that an argument can be; otherwise if it is
 * null.  Raises 22023, with what is asked for and the words, for another one.
 */
extern int	argument_word(FunctionCallInfo fcinfo, int argument,
						  const char *what, const char *const *words,
						  int nwords, int otherwise);

/* Arrays of patterns, null for none; verb is for errors. */
extern void argument_patterns(FunctionCallInfo fcinfo, int include,
							  int exclude, const char *verb,
							  Patterns *patterns);

#endif							/* MODELOPT_ARGUMENTS_H */
