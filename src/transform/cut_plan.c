/*
 * cut_plan.c
 *		Which layers of a model have nodes that could go, and with whose.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut.h"

/* ---------- layers and groups ---------- */

static void
find_layers(CutPlan *plan)
{
	const Graph *graph = plan->graph;
	const char **names = graph_layer_names(graph);

	plan->layers = palloc(Max(graph->nproducts, 1) * sizeof(CutLayer));
	for (int i = 0; i < graph->nproducts; i++)
	{
		const GraphProduct *product = &graph->products[i];
		CutLayer   *layer;

		if (product->y == UNKNOWN || product->ny < 1)
			continue;
		layer = &plan->layers[plan->nlayers++];
		layer->name = names[graph->values[product->weight].tensor];
		layer->product = i;
		layer->first = product->y;
		layer->n = (int) product->ny;
		layer->group = -1;
	}
}

static int
find_root(const int *parent, int i)
{
	while (parent[i] != i)
		i = parent[i];
	return i;
}

/* Layers that have a unit in common are of one group. */
static void
find_groups(CutPlan *plan)
{
	Graph	   *graph = plan->graph;
	int		   *owner = palloc_extended(Max(graph->nplaces, 1) * sizeof(int),
										MCXT_ALLOC_HUGE);
	int		   *parent = palloc(Max(plan->nlayers, 1) * sizeof(int));

	for (int i = 0; i < graph->nplaces; i++)
		owner[i] = -1;
	for (int i = 0; i < plan->nlayers; i++)
	{
		const CutLayer *layer = &plan->layers[i];

		CHECK_FOR_INTERRUPTS();
		parent[i] = i;
		for (int j = 0; j < layer->n; j++)
		{
			int			unit = graph_unit(graph, layer->first + j);

			if (owner[unit] < 0)
				owner[unit] = i;
			else
			{
				int			a = find_root(parent, owner[unit]);
				int			b = find_root(parent, i);

				parent[Max(a, b)] = Min(a, b);
			}
		}
	}
	plan->groups = palloc0(Max(plan->nlayers, 1) * sizeof(CutGroup));
	for (int i = 0; i < plan->nlayers; i++)
	{
		int			root = find_root(parent, i);

		if (root == i)
		{
			plan->groups[plan->ngroups].first_layer = i;
			plan->layers[i].group = plan->ngroups++;
		}
		else
			plan->layers[i].group = plan->layers[root].group;
	}
	pfree(owner);
	pfree(parent);
}

CutPlan *
cut_plan_create(const Model *model)
{
	CutPlan    *plan = palloc0(sizeof(CutPlan));

	plan->model = model;
	plan->graph = graph_read(model);
	if (plan->graph == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model has no graph, and its nodes cannot be told"),
				 errhint("set_graph(m, 'layer1:linear relu layer2:linear') gives it one; models that are read from ONNX have one.")));
	graph_analyze(plan->graph);
	plan->is_cut = palloc_extended(Max(plan->graph->nplaces, 1),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	find_layers(plan);
	find_groups(plan);
	return plan;
}

/* ---------- choice ---------- */

static bool
layer_matches(const CutPlan *plan, const CutLayer *layer, const char *pattern)
{
	const Graph *graph = plan->graph;
	int			weight = graph->products[layer->product].weight;
	const char *tensor = graph->model->tensors[graph->values[weight].tensor].name;

	return pattern_matches(layer->name, pattern) ||
		pattern_matches(tensor, pattern);
}

static void
apply_pattern(CutPlan *plan, const char *pattern, bool chosen)
{
	bool		found = false;

	for (int i = 0; i < plan->nlayers; i++)
	{
		CutGroup   *group = &plan->groups[plan->layers[i].group];

		if (!layer_matches(plan, &plan->layers[i], pattern))
			continue;
		found = true;
		group->is_chosen = chosen;
		group->is_named |= chosen && !pattern_has_wildcard(pattern);
	}
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model has no layer with nodes that matches \"%s\"",
						utf8_to_server(pattern)),
				 errhint("cut_nodes_dry_run(m, 0) lists the layers.")));
}

static void
add_units(CutPlan *plan, CutGroup *group, const CutLayer *layer, bool *is_seen)
{
	Graph	   *graph = plan->graph;

	for (int i = 0; i < layer->n; i++)
	{
		int			unit = graph_unit(graph, layer->first + i);
		PinKind		pin = graph->pin[unit];

		if (is_seen[unit])
			continue;
		is_seen[unit] = true;
		if (pin > group->pin)
		{
			group->pin = pin;
			group->pin_node = graph->pin_node[unit];
		}
		if (pin == PIN_NONE || (pin == PIN_OUTPUT && group->is_named))
			group->units[group->nunits++] = unit;
	}
}

static void
find_units(CutPlan *plan)
{
	bool	   *is_seen = palloc_extended(Max(plan->graph->nplaces, 1),
										  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int64	   *room = palloc0(Max(plan->ngroups, 1) * sizeof(int64));

	for (int i = 0; i < plan->nlayers; i++)
		room[plan->layers[i].group] += plan->layers[i].n;
	for (int i = 0; i < plan->ngroups; i++)
		plan->groups[i].units = palloc_extended(room[i] * sizeof(int),
												MCXT_ALLOC_HUGE);
	for (int i = 0; i < plan->nlayers; i++)
		add_units(plan, &plan->groups[plan->layers[i].group],
				  &plan->layers[i], is_seen);
	pfree(is_seen);
	pfree(room);
}

const char *
cut_group_reason(const CutPlan *plan, const CutGroup *group)
{
	if (group->problem != NULL)
		return group->problem;
	switch (group->pin)
	{
		case PIN_NONE:
			return "it has no nodes";
		case PIN_OUTPUT:
			return "they are outputs of the model";
		case PIN_FIXED:
			return "they are tied to an input of the model or to a size that the graph fixes";
		case PIN_DOUBT:
			return psprintf("what node %s does with them is not known",
							graph_node_title(plan->graph, group->pin_node));
	}
	return "";
}

/* Whether cut_nodes could not do what was asked for. */
static bool
is_refused(const CutGroup *group)
{
	return group->is_chosen &&
		(group->pin == PIN_DOUBT || (group->is_named && group->nunits == 0) ||
		 group->problem != NULL);
}

void
cut_plan_choose(CutPlan *plan, const Patterns *patterns)
{
	for (int i = 0; i < plan->ngroups; i++)
		plan->groups[i].is_chosen = patterns->ninclude == 0;
	for (int i = 0; i < patterns->ninclude; i++)
		apply_pattern(plan, patterns->include[i], true);
	for (int i = 0; i < patterns->nexclude; i++)
		apply_pattern(plan, patterns->exclude[i], false);
	find_units(plan);
}

void
cut_plan_check(const CutPlan *plan)
{
	for (int i = 0; i < plan->ngroups; i++)
	{
		const CutGroup *group = &plan->groups[i];
		bool		in_doubt = group->pin == PIN_DOUBT;

		if (is_refused(group))
			ereport(ERROR,
					(errcode(in_doubt ? ERRCODE_FEATURE_NOT_SUPPORTED :
							 ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot cut nodes of layer \"%s\"",
							utf8_to_server(plan->layers[group->first_layer].name)),
					 errdetail("Its nodes cannot go: %s.",
							   cut_group_reason(plan, group)),
					 in_doubt ?
					 errhint("exclude leaves layers as they are.") : 0));
	}
}

void
cut_plan_check_ranked(const CutPlan *plan)
{
	for (int i = 0; i < plan->ngroups; i++)
	{
		const CutGroup *group = &plan->groups[i];

		if (group->is_chosen && group->problem != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("nodes of layer \"%s\" cannot be ranked",
							utf8_to_server(plan->layers[group->first_layer].name)),
					 errdetail("By the method asked for they cannot: %s.",
							   group->problem),
					 errhint("exclude leaves layers as they are, and method random takes any.")));
	}
}

void
cut_plan_leave_refused(CutPlan *plan)
{
	for (int i = 0; i < plan->ngroups; i++)
	{
		CutGroup   *group = &plan->groups[i];

		group->is_left |= is_refused(group);
		group->is_chosen &= !group->is_left;
	}
}
