/*
 * activations.h
 *		Values inside of a graph, as they were seen while it ran.
 *
 * Private to src/serve.
 */
#ifndef MODELOPT_SERVE_ACTIVATIONS_H
#define MODELOPT_SERVE_ACTIVATIONS_H

#include "graph/graph.h"
#include "serve/rows.h"
#include "utils/jsonb.h"

typedef struct Activations Activations;

/*
 * Those that go into the products of a model.  Returns in *shown a model that
 * gives them as further outputs.  Allocates in the current context.
 */
extern Activations *activations_of(const Model *model, Model **shown);

/* Looks at the run of a batch of that model. */
extern void activations_look(Activations *activations, const RowBatch *batch);

/* {"name": [least, greatest]}, and for weights {"name": [norm of an input, ...]},
 * of all that were looked at. */
extern Jsonb *activations_ranges(const Activations *activations);
extern Jsonb *activations_norms(const Activations *activations);

#endif							/* MODELOPT_SERVE_ACTIVATIONS_H */
