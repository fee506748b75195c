/*
 * cut.h
 *		What the files share that cut nodes, layers and edges out of models.
 *
 * Private to src/transform.  A node is a neuron, a channel or a head: what a
 * layer computes one of.  Which of them can only go together the graph says
 * (places and units in graph.h).  cut_plan.c finds the groups of layers that
 * lose nodes together, cut_importance.c ranks their nodes, cut_choose.c says
 * which go, and cut_apply.c makes a model of what stays.
 */
#ifndef MODELOPT_CUT_H
#define MODELOPT_CUT_H

#include "graph/graph.h"
#include "transform/targets.h"

typedef enum CutMethod
{
	CUT_L2,						/* sum of squares */
	CUT_L1,						/* sum of magnitudes */
	CUT_RANDOM,
	CUT_BN_SCALE,				/* magnitude of a batch norm's scale */
} CutMethod;

typedef struct CutRequest
{
	CutMethod	method;
	bool		is_global;		/* nodes of all layers are ranked together */
	bool		is_count;
	double		fraction;
	int64		count;
	int64		round_to;		/* what stays is a multiple of it */
	int64		seed;
	Patterns	patterns;		/* of layers or tensors */
} CutRequest;

/* A weight that makes nodes: the sum over a layer's inputs, or a lookup. */
typedef struct CutLayer
{
	const char *name;
	int			product;		/* of the graph */
	int			first;			/* place of its first node */
	int			n;
	int			group;
} CutLayer;

/* Layers whose nodes are joined. */
typedef struct CutGroup
{
	int			first_layer;
	bool		is_chosen;
	bool		is_named;		/* in full: its outputs may be the model's */
	bool		is_left;		/* chosen, and left as it could not be cut */
	PinKind		pin;			/* the worst that its units have */
	int			pin_node;
	int			nunits;			/* that may go */
	int		   *units;
	double	   *importance;
	const char *problem;		/* why they cannot be ranked, as a clause; or NULL */
	int64		ncut;
} CutGroup;

typedef struct CutPlan
{
	const Model *model;
	Graph	   *graph;
	int			nlayers;
	CutLayer   *layers;			/* in the order in which they compute */
	int			ngroups;
	CutGroup   *groups;
	bool	   *is_cut;			/* units, by the place that stands for them */
} CutPlan;

/* ---------- cut_plan.c ---------- */

/* The layers of a model that could lose nodes; raises 22023 when it has no
 * graph. */
extern CutPlan *cut_plan_create(const Model *model);

/* Chooses groups and the units of them that may go; raises 42704 for patterns
 * that match nothing. */
extern void cut_plan_choose(CutPlan *plan, const Patterns *patterns);

/* Raises 22023 for layers that were named and cannot lose nodes, and 0A000
 * where an operator is not understood. */
extern void cut_plan_check(const CutPlan *plan);

/* The same for layers whose nodes cannot be ranked, when they are measured. */
extern void cut_plan_check_ranked(const CutPlan *plan);

/* Leaves layers as they are that these would raise for. */
extern void cut_plan_leave_refused(CutPlan *plan);

/* Why a group has no nodes that may go, as a clause. */
extern const char *cut_group_reason(const CutPlan *plan,
									const CutGroup *group);

static inline bool
cut_is_cut(const CutPlan *plan, int place)
{
	return plan->is_cut[graph_unit(plan->graph, place)];
}

/* ---------- cut_importance.c, cut_choose.c ---------- */

extern void cut_measure(CutPlan *plan, const CutRequest *request);

/* Says how many nodes may go in all, and which do. */
extern int64 cut_allowed(const CutPlan *plan);
extern void cut_choose(CutPlan *plan, const CutRequest *request);

/* Has a node stay of each axis that would lose all of its own; returns how
 * many. */
extern int64 cut_keep_some(CutPlan *plan);

/* ---------- cut_dead.c ---------- */

/* Has the nodes go that cannot change any output, but for one of each layer;
 * returns how many. */
extern int64 cut_find_dead(CutPlan *plan);

/* ---------- cut_apply.c, cut_gather.c ---------- */

/* A model of what stays, without a recipe. */
extern Model *cut_apply(CutPlan *plan);

/* A payload of the elements that stay: keep has for each dimension a byte for
 * each index, or NULL where all stay.  Returns its index in out. */
extern int	cut_gather(Model *out, Payload *payload, int ndim,
					   const int64 *dims, uint8 *const *keep);

#endif							/* MODELOPT_CUT_H */
