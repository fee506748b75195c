/*
 * cut_report.h
 *		What is said of nodes that are cut: in the recipe and in dry runs.
 */
#ifndef MODELOPT_CUT_REPORT_H
#define MODELOPT_CUT_REPORT_H

#include "transform/cut.h"

/* Adds the keys "nodes", the indexes that went by layer, and "rates" to a step
 * of the recipe; out is the model without them. */
extern void cut_append_nodes(StringInfo step, const CutPlan *plan,
							 const Model *out);

/* A row for each layer: layer, group, nodes, cut, indexes, stays_because. */
extern void cut_put_layers(FunctionCallInfo fcinfo, const CutPlan *plan);

#endif							/* MODELOPT_CUT_REPORT_H */
