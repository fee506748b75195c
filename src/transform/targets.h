/*
 * targets.h
 *		Which payloads of a model a transformation is for.
 *
 * Private to src/transform, and shared by all that take patterns include and
 * exclude.
 */
#ifndef MODELOPT_TARGETS_H
#define MODELOPT_TARGETS_H

#include "model/model.h"

/* Names of tensors, or patterns with * and ?, in UTF-8. */
typedef struct Patterns
{
	const char *verb;			/* what is done to them: "prune" */
	bool		embeddings;		/* are among the default ones */
	bool		all;			/* tensors of any dtype and shape are */
	int			ninclude;
	char	  **include;
	int			nexclude;
	char	  **exclude;
} Patterns;

/*
 * For each payload the first chosen tensor over it, or -1 where none is.  By
 * default floating-point tensors of two or more dimensions that are no
 * embeddings unless they are wanted, or all; patterns with wildcards choose among them,
 * names in full may be any tensor.  Raises 42704 for a pattern that matches nothing.
 */
extern int *target_choose(const Model *model, const Patterns *patterns);

/* Whether a pattern is more than a name, and whether it matches all of one. */
extern bool pattern_has_wildcard(const char *pattern);
extern bool pattern_matches(const char *name, const char *pattern);

#endif							/* MODELOPT_TARGETS_H */
