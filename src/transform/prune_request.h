/*
 * prune_request.h
 *		SQL arguments of prune, prune_count and prune_dry_run.
 */
#ifndef MODELOPT_PRUNE_REQUEST_H
#define MODELOPT_PRUNE_REQUEST_H

#include "transform/prune.h"

/* Places of the arguments, which the three functions share. */
typedef enum PruneArgument
{
	PRUNE_ARG_MODEL,
	PRUNE_ARG_AMOUNT,			/* prune_count: the count */
	PRUNE_ARG_METHOD,
	PRUNE_ARG_SCOPE,
	PRUNE_ARG_DIM,
	PRUNE_ARG_NORM,
	PRUNE_ARG_N,
	PRUNE_ARG_M_OF,
	PRUNE_ARG_OF,
	PRUNE_ARG_INCLUDE,
	PRUNE_ARG_EXCLUDE,
	PRUNE_ARG_SEED,
	PRUNE_ARG_MASK,
	PRUNE_ARG_NORMS,
	PRUNE_ARG_COUNT,			/* prune_dry_run: instead of the amount */
} PruneArgument;

/*
 * Reads and checks the arguments but the model; count_argument says which one
 * is a count, or is negative.  Null stands for the default.  Raises 22023 for
 * what has no meaning, alone or together.
 */
extern PruneRequest *prune_request_read(FunctionCallInfo fcinfo,
										int count_argument);

#endif							/* MODELOPT_PRUNE_REQUEST_H */
