/*
 * graph.h
 *		Layers of a model and who feeds whom.
 *
 * The face of src/graph.  A model's graph is an ONNX ModelProto without the
 * elements of its initializers, which are the model's tensors.
 */
#ifndef MODELOPT_GRAPH_H
#define MODELOPT_GRAPH_H

#include "compat.h"

#include "model/model.h"
#include "onnx/onnx.h"

/* ---------- a graph from a short text ---------- */

/* Steps, each an operator on what the one before it made; architecture.h has
 * the grammar.  All strings are UTF-8. */
typedef struct Architecture Architecture;

extern Architecture *architecture_create(void);

/* Adds the steps of a text.  Raises 22023 and 54000. */
extern void architecture_read(Architecture *architecture, const char *string);

/* Adds a step; name is NULL when it has none.  Then its options, the name being
 * NULL for the one that needs none.  Raise 22023 and 54000. */
extern struct Step *architecture_add(Architecture *architecture,
									 const char *name, const char *op);
extern void step_set(struct Step *step, const char *name, const char *value);

/*
 * The ModelProto of an architecture for a model's tensors, as PyTorch names
 * them and lays them out.  *used says for each tensor whether a step computes
 * with it.  Raises 22023 for what does not fit, and 42704 for a tensor that is
 * not there.
 */
extern OnnxBytes architecture_build(const Model *model,
									const Architecture *architecture,
									const bool **used);

#endif							/* MODELOPT_GRAPH_H */
