/*
 * cut_layers.c
 *		Which layers can go, and a model without them.
 *
 * With a graph, a layer can go when what it takes and what it gives have the
 * same shape.  Without one, tensors tell: a block can go when another one of
 * its stack has the same tensors, a layer when it gives as many features as it
 * takes.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut_layers.h"
#include "transform/prune.h"
#include "utils/float.h"

/* ---------- without a graph ---------- */

/* The tensor of the same name in another block, or NULL. */
static const Tensor *
twin_tensor(const LayerPlan *plan, const Tensor **sorted,
			const LayerChoice *choice, const char *other, int tensor)
{
	char	   *name = psprintf("%s%s", other,
								plan->model->tensors[tensor].name +
								strlen(choice->name));
	const Tensor *twin = model_find_sorted(sorted, plan->model->ntensors, name);

	pfree(name);
	return twin;
}

static bool
same_shape(const Tensor *a, const Tensor *b)
{
	return a->ndim == b->ndim &&
		memcmp(a->dims, b->dims, a->ndim * sizeof(int64)) == 0;
}

/* Whether another block has the same tensors in the same shapes. */
static bool
is_twin(const LayerPlan *plan, const Tensor **sorted,
		const LayerChoice *choice, const LayerChoice *other)
{
	CHECK_FOR_INTERRUPTS();
	if (other->ntensors != choice->ntensors)
		return false;
	for (int i = 0; i < choice->ntensors; i++)
	{
		const Tensor *twin = twin_tensor(plan, sorted, choice, other->name,
										 choice->tensors[i]);

		if (twin == NULL || !same_shape(twin, &plan->model->tensors[choice->tensors[i]]))
			return false;
	}
	return true;
}

static const char *
block_problem(const LayerPlan *plan, const Tensor **sorted,
			  const LayerChoice *choice)
{
	bool		found = false;

	for (int i = 0; i < plan->nchoices && !found; i++)
	{
		const LayerChoice *other = &plan->choices[i];

		found = other != choice && other->stack == choice->stack &&
			is_twin(plan, sorted, choice, other);
	}
	return found ? NULL :
		"no other block of its stack has tensors of the same shapes, and the model has no graph that would tell more";
}

/* Of a layer's weight, as PyTorch lays it out. */
static const char *
weight_problem(const LayerPlan *plan, const Tensor **sorted,
			   const LayerChoice *choice)
{
	char	   *name = psprintf("%s.weight", choice->name);
	const Tensor *weight = model_find_sorted(sorted, plan->model->ntensors, name);

	pfree(name);
	if (weight == NULL || weight->ndim == 0 ||
		model_is_embedding_name(choice->name))
		return "what it takes and gives cannot be told from its tensors, and the model has no graph";
	if (weight->ndim > 1 && weight->dims[0] != weight->dims[1])
		return psprintf("it takes " INT64_FORMAT " features and gives " INT64_FORMAT,
						weight->dims[1], weight->dims[0]);
	return NULL;
}

/* ---------- what can go ---------- */

static bool *
tensors_of(const LayerPlan *plan, const LayerChoice *choice)
{
	bool	   *is_mine = palloc0(Max(plan->model->ntensors, 1));

	for (int i = 0; i < choice->ntensors; i++)
		is_mine[choice->tensors[i]] = true;
	return is_mine;
}

static const char *
choice_problem(const LayerPlan *plan, const Tensor **sorted,
			   const LayerChoice *choice)
{
	const char *problem;
	bool	   *is_mine;

	if (plan->graph == NULL)
		return choice->stack >= 0 ? block_problem(plan, sorted, choice) :
			weight_problem(plan, sorted, choice);
	is_mine = tensors_of(plan, choice);
	problem = region_cut(plan->graph, is_mine, true);
	pfree(is_mine);
	return problem;
}

void
layer_plan_check(LayerPlan *plan)
{
	const Tensor **sorted = model_sort_tensors(plan->model);

	for (int i = 0; i < plan->nchoices; i++)
	{
		CHECK_FOR_INTERRUPTS();
		plan->choices[i].problem = choice_problem(plan, sorted, &plan->choices[i]);
	}
	pfree(sorted);
}

/* ---------- importance ---------- */

/* Sums of the magnitudes of a payload, NaN and infinities as they are. */
static double
sum_magnitudes(Payload *payload)
{
	double		sum;
	Payload    *loaded;

	if (payload->count == 0)
		return 0;
	loaded = prune_load(payload);
	prune_slice_norms(loaded, 2, (const int64[]) {1, payload->count}, 0, 1,
					  &sum);
	prune_unload(payload, loaded);
	return sum;
}

void
layer_plan_measure(LayerPlan *plan)
{
	const Model *model = plan->model;
	double	   *sums = palloc0(Max(model->ntensors, 1) * sizeof(double));

	for (int i = 0; i < model->ntensors; i++)
	{
		Payload    *payload = tensor_payload(model, &model->tensors[i]);

		if (model->tensors[i].ndim >= 2 && dtype_is_float(payload->dtype))
			sums[i] = sum_magnitudes(payload);
	}
	for (int i = 0; i < plan->nchoices; i++)
	{
		LayerChoice *choice = &plan->choices[i];
		double		sum = 0;
		double		n = 0;

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < choice->ntensors; j++)
		{
			const Tensor *tensor = &model->tensors[choice->tensors[j]];
			const Payload *payload = tensor_payload(model, tensor);

			if (tensor->ndim < 2 || !dtype_is_float(payload->dtype))
				continue;
			sum += sums[choice->tensors[j]];
			n += payload->count;
		}
		choice->importance = n > 0 ? sum / n : get_float8_nan();
	}
	pfree(sums);
}

/* Blocks are what goes by itself, but for blocks in blocks; where there are
 * none, layers with weights. */
static bool
is_candidate(const LayerPlan *plan, const LayerChoice *choice, bool blocks)
{
	const char *rest = choice->name;
	const LayerChoice *other;

	if (choice->problem != NULL || isnan(choice->importance))
		return false;
	if (!blocks)
		return true;
	if (choice->stack < 0)
		return false;
	while ((other = layer_above(plan, choice->name, &rest)) != choice)
	{
		if (other->stack >= 0 && other->problem == NULL)
			return false;
	}
	return true;
}

static int
compare_importance(const void *a, const void *b)
{
	const LayerChoice *left = *(LayerChoice *const *) a;
	const LayerChoice *right = *(LayerChoice *const *) b;

	if (left->importance != right->importance)
		return left->importance < right->importance ? -1 : 1;
	return left < right ? -1 : 1;
}

/* Blocks, or layers where there are none; returns how many. */
static int
find_candidates(const LayerPlan *plan, LayerChoice **candidates, bool *blocks)
{
	int			n = 0;

	for (*blocks = true;; *blocks = false)
	{
		for (int i = 0; i < plan->nchoices; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (is_candidate(plan, &plan->choices[i], *blocks))
				candidates[n++] = &plan->choices[i];
		}
		if (n > 0 || !*blocks)
			return n;
	}
}

/* Why layers that could go are not among those of which a fraction goes. */
static void
explain_others(LayerPlan *plan, bool blocks)
{
	for (int i = 0; i < plan->nchoices; i++)
	{
		LayerChoice *choice = &plan->choices[i];

		CHECK_FOR_INTERRUPTS();
		if (choice->problem == NULL && !is_candidate(plan, choice, blocks))
			choice->problem = isnan(choice->importance) ?
				"it has nothing to be ranked by" :
				choice->stack < 0 ? "only blocks are ranked, and it is none" :
				"only whole blocks are ranked, and it lies in one";
	}
}

void
layer_plan_cut_fraction(LayerPlan *plan, double fraction)
{
	LayerChoice **candidates = palloc_extended((plan->nchoices + 1) * sizeof(LayerChoice *),
											   MCXT_ALLOC_HUGE);
	bool		blocks;
	int			n = find_candidates(plan, candidates, &blocks);
	int			k = (int) rint(fraction * n);

	qsort(candidates, n, sizeof(LayerChoice *), compare_importance);
	for (int i = 0; i < k; i++)
		candidates[i]->is_cut = true;
	plan->nranked = n;
	explain_others(plan, blocks);
	pfree(candidates);
}

void
layer_plan_check_ranked(const LayerPlan *plan)
{
	if (plan->nranked == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model has no layers that can be cut"),
				 errhint("cut_layers_dry_run(m, 0) says what is the matter with each; a graph, which set_graph gives, may tell more.")));
}

/* ---------- the model ---------- */

static void
report_misfit(const LayerChoice *choice)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot cut layer \"%s\"", utf8_to_server(choice->name)),
			 errdetail("Layer \"%s\" cannot go: %s.",
					   utf8_to_server(choice->name), choice->problem)));
}

static bool
is_in_cut_block(const LayerPlan *plan, const LayerChoice *choice)
{
	const char *rest = choice->name;
	const LayerChoice *other;

	while ((other = layer_above(plan, choice->name, &rest)) != choice)
	{
		if (other->is_cut)
			return true;
	}
	return false;
}

/* A layer stays after all; the first one of them is kept. */
static void
refuse(LayerChoice *choice, const char *problem, const LayerChoice **first)
{
	choice->is_cut = false;
	choice->problem = problem;
	if (*first == NULL)
		*first = choice;
}

/* Cuts the layers one by one, those in a block that goes with it. */
static const LayerChoice *
cut_graph(LayerPlan *plan, bool *is_gone)
{
	bool	   *is_mine = palloc0(Max(plan->model->ntensors, 1));
	LayerChoice *last = NULL;
	const LayerChoice *refused = NULL;
	const char *problem;

	for (int i = 0; i < plan->nchoices; i++)
	{
		LayerChoice *choice = &plan->choices[i];
		bool	   *own;

		CHECK_FOR_INTERRUPTS();
		if (!choice->is_cut || is_in_cut_block(plan, choice))
			continue;
		own = tensors_of(plan, choice);
		problem = region_cut(plan->graph, own, false);
		if (problem != NULL)
			refuse(choice, problem, &refused);
		else
		{
			for (int j = 0; j < plan->model->ntensors; j++)
				is_mine[j] |= own[j];
			last = choice;
		}
		pfree(own);
	}
	if (last != NULL)
	{
		problem = region_clean(plan->graph, is_mine, is_gone);
		if (problem != NULL)
			refuse(last, problem, &refused);
	}
	pfree(is_mine);
	return refused;
}

static const LayerChoice *
cut_names(LayerPlan *plan, bool *is_gone)
{
	const Tensor **sorted = model_sort_tensors(plan->model);
	const LayerChoice *refused = NULL;

	for (int i = 0; i < plan->nchoices; i++)
	{
		LayerChoice *choice = &plan->choices[i];
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		if (!choice->is_cut)
			continue;
		problem = choice_problem(plan, sorted, choice);
		if (problem != NULL)
		{
			refuse(choice, problem, &refused);
			continue;
		}
		for (int j = 0; j < choice->ntensors; j++)
			is_gone[choice->tensors[j]] = true;
	}
	pfree(sorted);
	return refused;
}

/* Marks the tensors that go; returns the first layer that cannot. */
static const LayerChoice *
cut_chosen(LayerPlan *plan, bool *is_gone)
{
	return plan->graph != NULL ? cut_graph(plan, is_gone) :
		cut_names(plan, is_gone);
}

void
layer_plan_try(LayerPlan *plan)
{
	bool	   *is_gone = palloc0(Max(plan->model->ntensors, 1));

	(void) cut_chosen(plan, is_gone);
	layer_plan_number(plan);
	pfree(is_gone);
}

static void
check_left(const Model *model, const bool *is_gone)
{
	int			n = 0;

	for (int i = 0; i < model->ntensors; i++)
		n += !is_gone[i];
	if (n == 0 && model->ntensors > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cut all layers of a model"),
				 errdetail("No tensor would be left.")));
}

/* Payloads that stay, in the order of the model, and tensors over them. */
static Model *
assemble(const LayerPlan *plan, const bool *is_gone, const char **names)
{
	const Model *model = plan->model;
	Model	   *out = model_create_like(CurrentMemoryContext, model);
	int		   *payloads = palloc(Max(model->npayloads, 1) * sizeof(int));

	for (int i = 0; i < model->npayloads; i++)
		payloads[i] = -1;
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];
		int		   *payload = &payloads[tensor->payload];

		CHECK_FOR_INTERRUPTS();
		if (is_gone[i])
			continue;
		if (*payload < 0)
			*payload = model_share_payload(out, model->payloads[tensor->payload]);
		model_add_tensor(out, names[i], strlen(names[i]), tensor->ndim,
						 tensor->dims, *payload);
	}
	pfree(payloads);
	model_check_names(out, ERRCODE_INVALID_PARAMETER_VALUE);
	return out;
}

static void
set_graph(LayerPlan *plan, Model *out, const char **names)
{
	Graph	   *graph = plan->graph;
	OnnxBytes	bytes;

	for (int i = 0; i < graph->nvalues; i++)
	{
		GraphValue *value = &graph->values[i];
		int			tensor = value->tensor;

		if (tensor >= 0 && !value->is_removed &&
			strcmp(names[tensor], plan->model->tensors[tensor].name) != 0)
			value->new_name = names[tensor];
	}
	bytes = graph_write(graph);
	model_set_graph(out, bytes.data, bytes.size);
	graph_analyze(graph_read(out));
}

Model *
layer_plan_apply(LayerPlan *plan)
{
	const Model *model = plan->model;
	bool	   *is_gone = palloc0(Max(model->ntensors, 1));
	const char **names = palloc0(Max(model->ntensors, 1) * sizeof(char *));
	const LayerChoice *refused = cut_chosen(plan, is_gone);
	Model	   *out;

	if (refused != NULL)
		report_misfit(refused);
	layer_plan_number(plan);
	for (int i = 0; i < model->ntensors; i++)
	{
		const char *name;

		CHECK_FOR_INTERRUPTS();
		name = layer_new_name(plan, model->tensors[i].name);
		names[i] = name != NULL ? name : model->tensors[i].name;
		is_gone[i] |= name == NULL;
	}
	check_left(model, is_gone);
	out = assemble(plan, is_gone, names);
	if (plan->graph != NULL)
		set_graph(plan, out, names);
	model_set_metadata(out, layer_plan_metadata(plan));
	return out;
}
