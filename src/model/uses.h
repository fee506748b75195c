/*
 * uses.h
 *		What a model's graph does with its tensors.
 *
 * The ground floor says what is asked, and modelopt.c who answers: graphs are
 * read on the floor above, and transformations, which ask, are on that one too
 * and know no reader.
 */
#ifndef MODELOPT_USES_H
#define MODELOPT_USES_H

#include "model/model.h"

/* The dimensions of a weight, when all nodes that take it agree. */
typedef struct TensorUse
{
	bool		known;
	int			outputs;		/* the one that a scale for each output is for */
	int			inputs;			/* the one that is summed over; -1: all but the
								 * first */
} TensorUse;

typedef struct UsesProvider
{
	/* One for each tensor of the model, in the current context; NULL when it
	 * has no graph. */
	TensorUse  *(*tensor_uses) (const Model *model);

	/* The first of some names that no value has which nodes of the graph take
	 * and which is no tensor; NULL when all are such values. */
	const char *(*missing_value) (const Model *model,
								  const char *const *names, int nnames);
} UsesProvider;

extern UsesProvider uses_provider;

#endif							/* MODELOPT_USES_H */
