/*
 * cut_layers.h
 *		What the files share that cut layers out of models.
 *
 * Private to src/transform.  A layer is named by a prefix of its tensors'
 * names: a layer as layers() lists it, or a block of several that comes again
 * and again ("encoder.layer.3").  cut_layer_names.c knows names and blocks,
 * cut_layer_lookup.c finds them, cut_layers.c what can go, cut_region.c takes nodes out of the graph, and
 * cut_layers_metadata_sql.c has what the metadata counts follow.
 */
#ifndef MODELOPT_CUT_LAYERS_H
#define MODELOPT_CUT_LAYERS_H

#include "graph/graph.h"

/* Blocks that are numbered from 0 on without a gap, under one prefix. */
typedef struct CutStack
{
	const char *prefix;			/* without the last dot */
	int			nblocks;
	int		   *before;			/* how many of the first n are cut, for each n;
								 * see layer_plan_number */
} CutStack;

typedef struct LayerChoice
{
	const char *name;			/* UTF-8, without a dot at the end */
	int			stack;			/* -1 for what is no block */
	int			index;			/* in the stack */
	int			ntensors;
	int			room;			/* for tensors */
	int		   *tensors;
	int64		parameters;
	double		importance;		/* mean magnitude of the weights */
	const char *problem;		/* why it cannot go, or NULL; in the database's
								 * encoding */
	bool		is_cut;
} LayerChoice;

/* A name, so many bytes of it. */
typedef struct LayerName
{
	const char *name;
	size_t		length;
	int			choice;			/* of that name */
} LayerName;

typedef struct LayerPlan
{
	const Model *model;
	Graph	   *graph;			/* NULL when it has none */
	const char **names;			/* of the layer of each tensor */
	int			nstacks;
	CutStack   *stacks;
	int			nchoices;
	LayerChoice *choices;		/* blocks and layers, as the tensors come */
	LayerName  *sorted;			/* their names */
	int			nranked;		/* of which a fraction goes */
} LayerPlan;

/* ---------- cut_layer_names.c ---------- */

extern LayerPlan *layer_plan_create(const Model *model);

/* Cuts layers by names or patterns, in UTF-8; raises 42704 for one that matches
 * nothing. */
extern void layer_plan_name(LayerPlan *plan, const char *pattern);

/* Says what numbers blocks have after the cut, once it is known what goes. */
extern void layer_plan_number(LayerPlan *plan);

/* The name that a tensor, or a layer, has then; NULL if it goes. */
extern const char *layer_new_name(const LayerPlan *plan, const char *name);

/* ---------- cut_layer_lookup.c ---------- */

/* Whether a name is a prefix, or lies under it. */
extern bool layer_is_under(const char *name, const char *prefix);

/* Has layers found by name; after some were added, once more. */
extern void layer_sort_names(LayerPlan *plan);

/* The layer that the first bytes of a name are the name of, or NULL. */
extern LayerChoice *layer_find(const LayerPlan *plan, const char *name,
							   size_t length);

/* The next of the layers that a name lies under, itself among them, the
 * outermost one first, and then NULL; *rest is the name at first, and then what
 * of it has not been looked at. */
extern LayerChoice *layer_above(const LayerPlan *plan, const char *name,
								const char **rest);

/* Finds the tensors of all layers, or of one that was added. */
extern void layer_list_tensors(LayerPlan *plan);
extern void layer_list_own(const LayerPlan *plan, LayerChoice *choice);

/* ---------- cut_layers.c ---------- */

/* Says for each layer whether it can go by itself. */
extern void layer_plan_check(LayerPlan *plan);

/* Measures importance: the mean magnitude of weights. */
extern void layer_plan_measure(LayerPlan *plan);

/* Cuts the least important ones of those that can go, and says of the others
 * why they are not ranked. */
extern void layer_plan_cut_fraction(LayerPlan *plan, double fraction);

/* Raises 22023 when there were none to be ranked. */
extern void layer_plan_check_ranked(const LayerPlan *plan);

/* Has layers stay, and say why, that layer_plan_apply would raise for. */
extern void layer_plan_try(LayerPlan *plan);

/* A model of what stays, without a recipe.  Raises 22023 when the shapes of
 * what is left do not fit, with the layer and both shapes. */
extern Model *layer_plan_apply(LayerPlan *plan);

/* ---------- cut_region.c ---------- */

/*
 * Takes the nodes that compute with some tensors out of the graph, which
 * graph_analyze has gone through; is_mine has a byte for each tensor.  Returns
 * why that cannot be, as a clause, or NULL.  With "try" nothing is changed.
 */
extern const char *region_cut(Graph *graph, const bool *is_mine, bool try);

/* Removes nodes and initializers that nobody takes any more; is_mine as above,
 * of all that has been cut.  Returns why not, or NULL. */
extern const char *region_clean(Graph *graph, const bool *is_mine,
								bool *is_gone);

/* ---------- cut_layers_metadata_sql.c ---------- */

/* The metadata with layers' kinds renamed, and counts and lists of blocks
 * shortened. */
extern char *layer_plan_metadata(const LayerPlan *plan);

#endif							/* MODELOPT_CUT_LAYERS_H */
