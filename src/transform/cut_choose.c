/*
 * cut_choose.c
 *		How many nodes go, and which.
 *
 * Exactly as many as are asked for go, those of the smallest importance, and of
 * equal ones the first.  Each layer keeps at least one, and so does each part
 * that is taken of one.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "model/model_sql.h"
#include "transform/cut.h"

/* A node in the order in which nodes go. */
typedef struct Rank
{
	uint64		key;
	int			group;
	int			index;			/* of the unit in its group */
} Rank;

static int
compare_ranks(const void *a, const void *b)
{
	const Rank *left = a;
	const Rank *right = b;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	if (left->group != right->group)
		return left->group - right->group;
	return left->index - right->index;
}

/* Importance as a key whose order is that of numbers, NaN last. */
static uint64
key_of(double importance)
{
	uint64		key;

	kernel_magnitude_keys_f64(&importance, 1, &key);
	return key;
}

/* Importances of different layers compare when they are in terms of their
 * mean. */
static double
mean_importance(const CutGroup *group)
{
	double		sum = 0;

	for (int i = 0; i < group->nunits; i++)
		sum += group->importance[i];
	return sum / Max(group->nunits, 1);
}

static int64
rank_group(const CutGroup *group, int index, bool is_relative, Rank *ranks)
{
	double		mean = is_relative ? mean_importance(group) : 1;

	for (int i = 0; i < group->nunits; i++)
	{
		ranks[i].key = key_of(mean > 0 && isfinite(mean) ?
							  group->importance[i] / mean :
							  group->importance[i]);
		ranks[i].group = index;
		ranks[i].index = i;
	}
	return group->nunits;
}

/* ---------- how many ---------- */

static void
report_too_many(int64 wanted, int64 n, int64 allowed, const char *layer)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 layer != NULL ?
			 errmsg("cannot cut " INT64_FORMAT " of " INT64_FORMAT " nodes of layer \"%s\"",
					wanted, n, utf8_to_server(layer)) :
			 errmsg("cannot cut " INT64_FORMAT " of " INT64_FORMAT " nodes",
					wanted, n),
			 errdetail("Each layer keeps at least one node."),
			 errhint("At most " INT64_FORMAT " can go.", allowed)));
}

/* So many of n go, where at most some may.  A fraction below 1 never asks for
 * more. */
static int64
amount_of(const CutRequest *request, int64 n, int64 allowed,
		  const char *layer)
{
	int64		wanted = request->is_count ? request->count :
		(int64) rint(request->fraction * (double) n);

	if (wanted > allowed && (request->is_count || request->fraction >= 1))
		report_too_many(wanted, n, allowed, layer);
	return Min(wanted, allowed);
}

/* What stays becomes the nearest multiple, one at least. */
static int64
rounded(const CutRequest *request, int64 n, int64 cut)
{
	int64		kept = n - cut;
	int64		to = request->round_to;

	if (to <= 1)
		return cut;
	kept = kept / to * to + (2 * (kept % to) >= to ? to : 0);
	kept = Min(Max(kept, Min(to, n)), n);
	return n - kept;
}

/* ---------- which ---------- */

static void
cut_lowest(CutPlan *plan, int index, int64 ncut, Rank *ranks)
{
	CutGroup   *group = &plan->groups[index];

	rank_group(group, index, false, ranks);
	qsort(ranks, group->nunits, sizeof(Rank), compare_ranks);
	for (int64 i = 0; i < ncut; i++)
		plan->is_cut[group->units[ranks[i].index]] = true;
	group->ncut = ncut;
}

/* Counts how many go of each group when all are ranked together; the last one
 * of a group never goes. */
static void
count_globally(CutPlan *plan, const CutRequest *request, Rank *ranks)
{
	int64		n = 0;
	int64		ngroups = 0;
	int64		left;

	for (int i = 0; i < plan->ngroups; i++)
	{
		if (!plan->groups[i].is_chosen || plan->groups[i].nunits == 0)
			continue;
		n += rank_group(&plan->groups[i], i, true, ranks + n);
		ngroups++;
	}
	qsort(ranks, n, sizeof(Rank), compare_ranks);
	left = amount_of(request, n, n - ngroups, NULL);
	for (int64 i = 0; i < n && left > 0; i++)
	{
		CutGroup   *group = &plan->groups[ranks[i].group];

		if (group->ncut == group->nunits - 1)
			continue;
		group->ncut++;
		left--;
	}
}

/* The importance of each unit, by the place that stands for it. */
static double *
spread_importance(const CutPlan *plan)
{
	double	   *spread = palloc_extended(Max(plan->graph->nplaces, 1) * sizeof(double),
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (int i = 0; i < plan->ngroups; i++)
	{
		const CutGroup *group = &plan->groups[i];

		for (int j = 0; j < group->nunits && group->importance != NULL; j++)
			spread[group->units[j]] = group->importance[j];
	}
	return spread;
}

/* The most important unit of an axis, the last one of equal ones; UNKNOWN when
 * some of them stay anyway. */
static int
last_to_go(const CutPlan *plan, const double *importance, int first, int64 n)
{
	int			last = UNKNOWN;

	for (int64 i = 0; i < n; i++)
	{
		int			unit = graph_unit(plan->graph, first + i);

		if (!plan->is_cut[unit])
			return UNKNOWN;
		if (last == UNKNOWN || key_of(importance[unit]) >= key_of(importance[last]))
			last = unit;
	}
	return last;
}

int64
cut_keep_some(CutPlan *plan)
{
	const Graph *graph = plan->graph;
	double	   *importance = spread_importance(plan);
	int64		nkept = 0;

	for (int i = 0; i < graph->nvalues; i++)
	{
		const GraphValue *value = &graph->values[i];

		CHECK_FOR_INTERRUPTS();
		for (int axis = 0; axis < value->rank; axis++)
		{
			int			last = value->places[axis] == UNKNOWN ? UNKNOWN :
				last_to_go(plan, importance, value->places[axis], value->dims[axis]);

			if (last == UNKNOWN)
				continue;
			plan->is_cut[last] = false;
			nkept++;
		}
	}
	pfree(importance);
	return nkept;
}

int64
cut_allowed(const CutPlan *plan)
{
	int64		total = 0;

	for (int i = 0; i < plan->ngroups; i++)
	{
		if (plan->groups[i].is_chosen)
			total += plan->groups[i].nunits;
	}
	return total;
}

void
cut_choose(CutPlan *plan, const CutRequest *request)
{
	int64		total = cut_allowed(plan);
	Rank	   *ranks = palloc_extended(Max(total, 1) * sizeof(Rank),
										MCXT_ALLOC_HUGE);

	if (request->is_global)
		count_globally(plan, request, ranks);
	for (int i = 0; i < plan->ngroups; i++)
	{
		CutGroup   *group = &plan->groups[i];
		int64		ncut = group->ncut;

		if (!group->is_chosen || group->nunits == 0)
			continue;
		if (!request->is_global)
			ncut = amount_of(request, group->nunits, group->nunits - 1,
							 plan->layers[group->first_layer].name);
		cut_lowest(plan, i, rounded(request, group->nunits, ncut), ranks);
	}
	pfree(ranks);
	if (cut_keep_some(plan) > 0 && request->is_count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cut so many nodes"),
				 errdetail("Nothing would be left of a part of a layer that the graph takes by itself."),
				 errhint("cut_nodes, with a fraction, keeps a node of each part.")));
}
