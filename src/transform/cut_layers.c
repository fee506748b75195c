/*
 * cut_layers.c
 *		Which layers there are, which of them can go, and a model without them.
 *
 * With a graph, a layer can go when what it takes and what it gives have the
 * same shape.  Without one, tensors tell: a block can go when another one of
 * its stack has the same tensors, a layer when it gives as many features as it
 * takes.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut_layers.h"
#include "transform/prune.h"
#include "utils/float.h"

/* Numbers of blocks have at most so many digits. */
#define MAX_DIGITS 6

/* ---------- names ---------- */

/* Whether a name is a prefix, or lies under it. */
static bool
is_under(const char *name, const char *prefix)
{
	size_t		length = strlen(prefix);

	return strncmp(name, prefix, length) == 0 &&
		(name[length] == '\0' || name[length] == '.');
}

bool
layer_has_tensor(const LayerPlan *plan, const LayerChoice *choice, int tensor)
{
	return is_under(plan->model->tensors[tensor].name, choice->name) ||
		is_under(plan->names[tensor], choice->name);
}

/* The number that a part of a name is, or -1; end is behind it. */
static int
block_number(const char *part, const char *end)
{
	int			number = 0;

	if (end == part || end - part > MAX_DIGITS ||
		(*part == '0' && end - part > 1))
		return -1;
	for (; part < end; part++)
	{
		if (*part < '0' || *part > '9')
			return -1;
		number = number * 10 + (*part - '0');
	}
	return number;
}

/* ---------- stacks ---------- */

/* A numbered part of a tensor's name. */
typedef struct Numbered
{
	const char *prefix;
	int			number;
} Numbered;

static int
compare_numbered(const void *a, const void *b)
{
	const Numbered *left = a;
	const Numbered *right = b;
	int			order = strcmp(left->prefix, right->prefix);

	return order != 0 ? order : left->number - right->number;
}

/* All numbered parts of all names; *n says how many. */
static Numbered *
find_numbered(const LayerPlan *plan, int *n)
{
	int			allocated = 64;
	Numbered   *found = palloc(allocated * sizeof(Numbered));

	*n = 0;
	for (int i = 0; i < plan->model->ntensors; i++)
	{
		const char *name = plan->names[i];
		const char *part = name;

		CHECK_FOR_INTERRUPTS();
		while (*part != '\0')
		{
			const char *end = part + strcspn(part, ".");
			int			number = block_number(part, end);

			if (number >= 0 && part > name)
			{
				if (*n == allocated)
					found = repalloc_huge(found, (allocated *= 2) * sizeof(Numbered));
				found[*n].prefix = pnstrdup(name, part - name - 1);
				found[(*n)++].number = number;
			}
			part = *end == '.' ? end + 1 : end;
		}
	}
	qsort(found, *n, sizeof(Numbered), compare_numbered);
	return found;
}

/* Prefixes whose numbers are 0, 1, 2 ..., two of them at least. */
static void
find_stacks(LayerPlan *plan)
{
	int			n;
	Numbered   *found = find_numbered(plan, &n);

	plan->stacks = palloc(Max(n, 1) * sizeof(CutStack));
	for (int i = 0; i < n;)
	{
		const char *prefix = found[i].prefix;
		int			next = 0;
		bool		has_gap = false;

		for (; i < n && strcmp(found[i].prefix, prefix) == 0; i++)
		{
			has_gap |= found[i].number > next;
			if (found[i].number == next)
				next++;
		}
		if (has_gap || next < 2)
			continue;
		plan->stacks[plan->nstacks].prefix = prefix;
		plan->stacks[plan->nstacks++].nblocks = next;
	}
	pfree(found);
}

static int
compare_stack(const void *a, const void *b)
{
	return strcmp(((const CutStack *) a)->prefix, ((const CutStack *) b)->prefix);
}

static int
find_stack(const LayerPlan *plan, const char *prefix)
{
	const CutStack key = {prefix, 0};
	const CutStack *found = bsearch(&key, plan->stacks, plan->nstacks,
									sizeof(CutStack), compare_stack);

	return found != NULL ? found - plan->stacks : -1;
}

/* ---------- layers and blocks ---------- */

static LayerChoice *
find_choice(const LayerPlan *plan, const char *name)
{
	for (int i = 0; i < plan->nchoices; i++)
	{
		if (strcmp(plan->choices[i].name, name) == 0)
			return &plan->choices[i];
	}
	return NULL;
}

static LayerChoice *
add_choice(LayerPlan *plan, const char *name, int stack, int index)
{
	LayerChoice *choice = &plan->choices[plan->nchoices++];

	memset(choice, 0, sizeof(LayerChoice));
	choice->name = name;
	choice->stack = stack;
	choice->index = index;
	return choice;
}

/* Names of layers in the order of their tensors, each once. */
typedef struct NamedLayer
{
	const char *name;
	int			first;			/* tensor */
	int			stack;
	int			index;
} NamedLayer;

static int
compare_layer_names(const void *a, const void *b)
{
	const NamedLayer *left = a;
	const NamedLayer *right = b;
	int			order = strcmp(left->name, right->name);

	return order != 0 ? order : left->first - right->first;
}

static int
compare_layer_places(const void *a, const void *b)
{
	const NamedLayer *left = a;
	const NamedLayer *right = b;

	if (left->first != right->first)
		return left->first - right->first;
	/* A block before the layers in it. */
	return (int) strlen(left->name) - (int) strlen(right->name);
}

/* A layer's name, and those of the blocks that it is in. */
static void
add_names(const LayerPlan *plan, int tensor, NamedLayer *layers, int *n)
{
	const char *name = plan->names[tensor];
	const char *part = name;

	layers[*n].name = name;
	layers[*n].first = tensor;
	layers[*n].stack = -1;
	layers[(*n)++].index = 0;
	while (*part != '\0')
	{
		const char *end = part + strcspn(part, ".");
		int			number = part > name ? block_number(part, end) : -1;

		if (number >= 0)
		{
			char	   *prefix = pnstrdup(name, part - name - 1);
			int			stack = find_stack(plan, prefix);

			if (stack >= 0)
			{
				layers[*n].name = pnstrdup(name, end - name);
				layers[*n].first = tensor;
				layers[*n].stack = stack;
				layers[(*n)++].index = number;
			}
			pfree(prefix);
		}
		part = *end == '.' ? end + 1 : end;
	}
}

/* Parts of a name that may be numbers. */
static int64
count_parts(const LayerPlan *plan)
{
	int64		n = 0;

	for (int i = 0; i < plan->model->ntensors; i++)
	{
		n++;
		for (const char *c = plan->names[i]; *c != '\0'; c++)
			n += *c == '.';
	}
	return n;
}

static void
find_choices(LayerPlan *plan)
{
	int64		room = Max(count_parts(plan), 1);
	NamedLayer *layers = palloc_extended(room * sizeof(NamedLayer), MCXT_ALLOC_HUGE);
	int			n = 0;
	int			kept = 0;

	for (int i = 0; i < plan->model->ntensors; i++)
		add_names(plan, i, layers, &n);
	qsort(layers, n, sizeof(NamedLayer), compare_layer_names);
	for (int i = 0; i < n; i++)
	{
		if (kept > 0 && strcmp(layers[kept - 1].name, layers[i].name) == 0)
		{
			/* A layer that is a block, too. */
			if (layers[kept - 1].stack < 0)
			{
				layers[kept - 1].stack = layers[i].stack;
				layers[kept - 1].index = layers[i].index;
			}
			continue;
		}
		layers[kept++] = layers[i];
	}
	qsort(layers, kept, sizeof(NamedLayer), compare_layer_places);
	plan->choices = palloc((kept + 1) * sizeof(LayerChoice));
	for (int i = 0; i < kept; i++)
	{
		if (*layers[i].name != '\0')
			add_choice(plan, layers[i].name, layers[i].stack, layers[i].index);
	}
	pfree(layers);
}

static void
count_tensors(LayerPlan *plan, LayerChoice *choice)
{
	for (int i = 0; i < plan->model->ntensors; i++)
	{
		if (!layer_has_tensor(plan, choice, i))
			continue;
		choice->ntensors++;
		choice->parameters += tensor_payload(plan->model,
											 &plan->model->tensors[i])->count;
	}
}

LayerPlan *
layer_plan_create(const Model *model)
{
	LayerPlan  *plan = palloc0(sizeof(LayerPlan));

	plan->model = model;
	plan->graph = graph_read(model);
	if (plan->graph != NULL)
	{
		graph_analyze(plan->graph);
		plan->names = graph_layer_names(plan->graph);
	}
	else
	{
		plan->names = palloc(Max(model->ntensors, 1) * sizeof(char *));
		for (int i = 0; i < model->ntensors; i++)
		{
			const char *name = model->tensors[i].name;
			const char *dot = strrchr(name, '.');

			plan->names[i] = dot != NULL ? pnstrdup(name, dot - name) : "";
		}
	}
	find_stacks(plan);
	find_choices(plan);
	for (int i = 0; i < plan->nchoices; i++)
	{
		CHECK_FOR_INTERRUPTS();
		count_tensors(plan, &plan->choices[i]);
	}
	return plan;
}

/* ---------- by name ---------- */

static void
report_unknown(const char *pattern)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model has no layer that matches \"%s\"",
					utf8_to_server(pattern)),
			 errhint("cut_layers_dry_run(m, 0) lists the layers.")));
}

/* A name in full may be that of any module, also of one with several layers. */
static void
name_module(LayerPlan *plan, const char *name)
{
	LayerChoice *choice = find_choice(plan, name);
	bool		found = choice != NULL;

	for (int i = 0; i < plan->model->ntensors && !found; i++)
		found = *name != '\0' && is_under(plan->names[i], name);
	if (!found)
		report_unknown(name);
	if (choice == NULL)
	{
		plan->choices = repalloc(plan->choices,
								 (plan->nchoices + 1) * sizeof(LayerChoice));
		choice = add_choice(plan, pstrdup(name), -1, 0);
		count_tensors(plan, choice);
	}
	choice->is_cut = true;
}

/* "a.[3-5]" is a.3, a.4 and a.5; false when there is no range in it. */
static bool
name_range(LayerPlan *plan, const char *pattern)
{
	const char *open = strchr(pattern, '[');
	int			from;
	int			to;
	int			length = 0;

	if (open == NULL ||
		sscanf(open, "[%6d-%6d]%n", &from, &to, &length) != 2 || length == 0)
		return false;
	if (from > to || to - from > MODEL_MAX_TENSORS)
		report_unknown(pattern);
	for (int i = from; i <= to; i++)
	{
		CHECK_FOR_INTERRUPTS();
		layer_plan_name(plan, psprintf("%.*s%d%s", (int) (open - pattern),
									   pattern, i, open + length));
	}
	return true;
}

void
layer_plan_name(LayerPlan *plan, const char *pattern)
{
	bool		found = false;

	if (name_range(plan, pattern))
		return;
	if (!pattern_has_wildcard(pattern))
	{
		name_module(plan, pattern);
		return;
	}
	for (int i = 0; i < plan->nchoices; i++)
	{
		if (!pattern_matches(plan->choices[i].name, pattern))
			continue;
		plan->choices[i].is_cut = true;
		found = true;
	}
	if (!found)
		report_unknown(pattern);
}

/* ---------- without a graph ---------- */

/* The tensor of the same name in another block, or NULL. */
static const Tensor *
twin_tensor(const LayerPlan *plan, const Tensor **sorted,
			const LayerChoice *choice, const char *other, int tensor)
{
	const char *name = plan->model->tensors[tensor].name;

	return model_find_sorted(sorted, plan->model->ntensors,
							  psprintf("%s%s", other,
									   name + strlen(choice->name)));
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
	if (other->ntensors != choice->ntensors)
		return false;
	for (int i = 0; i < plan->model->ntensors; i++)
	{
		const Tensor *twin;

		if (!layer_has_tensor(plan, choice, i))
			continue;
		twin = twin_tensor(plan, sorted, choice, other->name, i);
		if (twin == NULL || !same_shape(twin, &plan->model->tensors[i]))
			return false;
	}
	return true;
}

static const char *
block_problem(const LayerPlan *plan, const LayerChoice *choice)
{
	const Tensor **sorted = model_sort_tensors(plan->model);
	bool		found = false;

	for (int i = 0; i < plan->nchoices && !found; i++)
	{
		const LayerChoice *other = &plan->choices[i];

		found = other != choice && other->stack == choice->stack &&
			is_twin(plan, sorted, choice, other);
	}
	pfree(sorted);
	return found ? NULL :
		"no other block of its stack has tensors of the same shapes, and the model has no graph that would tell more";
}

/* Of a layer's weight, as PyTorch lays it out. */
static const char *
weight_problem(const LayerPlan *plan, const LayerChoice *choice)
{
	int			tensor = model_find_tensor(plan->model,
										   psprintf("%s.weight", choice->name));
	const Tensor *weight = tensor >= 0 ? &plan->model->tensors[tensor] : NULL;

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
	bool	   *is_mine = palloc(Max(plan->model->ntensors, 1));

	for (int i = 0; i < plan->model->ntensors; i++)
		is_mine[i] = layer_has_tensor(plan, choice, i);
	return is_mine;
}

static const char *
choice_problem(const LayerPlan *plan, const LayerChoice *choice)
{
	const char *problem;
	bool	   *is_mine;

	if (plan->graph == NULL)
		return choice->stack >= 0 ? block_problem(plan, choice) :
			weight_problem(plan, choice);
	is_mine = tensors_of(plan, choice);
	problem = region_cut(plan->graph, is_mine, true);
	pfree(is_mine);
	return problem;
}

void
layer_plan_check(LayerPlan *plan)
{
	for (int i = 0; i < plan->nchoices; i++)
	{
		CHECK_FOR_INTERRUPTS();
		plan->choices[i].problem = choice_problem(plan, &plan->choices[i]);
	}
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

		for (int j = 0; j < model->ntensors; j++)
		{
			const Payload *payload = tensor_payload(model, &model->tensors[j]);

			if (model->tensors[j].ndim < 2 || !dtype_is_float(payload->dtype) ||
				!layer_has_tensor(plan, choice, j))
				continue;
			sum += sums[j];
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
	if (choice->problem != NULL || isnan(choice->importance))
		return false;
	if (!blocks)
		return true;
	if (choice->stack < 0)
		return false;
	for (int i = 0; i < plan->nchoices; i++)
	{
		const LayerChoice *other = &plan->choices[i];

		if (other != choice && other->stack >= 0 && other->problem == NULL &&
			is_under(choice->name, other->name))
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

void
layer_plan_cut_fraction(LayerPlan *plan, double fraction)
{
	LayerChoice **candidates = palloc((plan->nchoices + 1) * sizeof(LayerChoice *));
	int			n = 0;
	int			k;

	for (int blocks = 1; blocks >= 0 && n == 0; blocks--)
	{
		for (int i = 0; i < plan->nchoices; i++)
		{
			if (is_candidate(plan, &plan->choices[i], blocks == 1))
				candidates[n++] = &plan->choices[i];
		}
	}
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model has no layers that can be cut"),
				 errhint("cut_layers_dry_run says what is the matter with each; a graph, which set_graph gives, may tell more.")));
	k = (int) rint(fraction * n);
	qsort(candidates, n, sizeof(LayerChoice *), compare_importance);
	for (int i = 0; i < k; i++)
		candidates[i]->is_cut = true;
	pfree(candidates);
}

/* ---------- new names ---------- */

/* Whether a block that is cut has that number and prefix; counts those before
 * it. */
static int
count_cut_before(const LayerPlan *plan, const char *name, size_t prefix,
				 int number)
{
	int			n = 0;

	for (int i = 0; i < plan->nchoices; i++)
	{
		const LayerChoice *choice = &plan->choices[i];
		const char *other;

		if (!choice->is_cut || choice->stack < 0 || choice->index >= number)
			continue;
		other = plan->stacks[choice->stack].prefix;
		n += strlen(other) == prefix && strncmp(other, name, prefix) == 0;
	}
	return n;
}

static bool
is_cut_name(const LayerPlan *plan, const char *name)
{
	for (int i = 0; i < plan->nchoices; i++)
	{
		if (plan->choices[i].is_cut && is_under(name, plan->choices[i].name))
			return true;
	}
	return false;
}

const char *
layer_new_name(const LayerPlan *plan, const char *name)
{
	StringInfoData out;
	const char *part = name;

	if (is_cut_name(plan, name))
		return NULL;
	initStringInfo(&out);
	while (*part != '\0')
	{
		const char *end = part + strcspn(part, ".");
		int			number = part > name ? block_number(part, end) : -1;
		int			before = number < 0 ? 0 :
			count_cut_before(plan, name, part - name - 1, number);

		if (before > 0)
			appendStringInfo(&out, "%d", number - before);
		else
			appendBinaryStringInfo(&out, part, end - part);
		if (*end == '.')
			appendStringInfoChar(&out, '.');
		part = *end == '.' ? end + 1 : end;
	}
	return out.data;
}

/* ---------- the model ---------- */

static void
report_misfit(const LayerChoice *choice, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot cut layer \"%s\"", utf8_to_server(choice->name)),
			 errdetail("Layer \"%s\" cannot go: %s.",
					   utf8_to_server(choice->name), problem)));
}

/* Cuts the layers one by one, those in a block that goes with it. */
static void
cut_graph(LayerPlan *plan, bool *is_gone)
{
	bool	   *is_mine = palloc0(Max(plan->model->ntensors, 1));
	LayerChoice *last = NULL;
	const char *problem;

	for (int i = 0; i < plan->nchoices; i++)
	{
		LayerChoice *choice = &plan->choices[i];
		bool	   *own;
		bool		is_inner = false;

		for (int j = 0; j < plan->nchoices; j++)
			is_inner |= j != i && plan->choices[j].is_cut &&
				is_under(choice->name, plan->choices[j].name);
		if (!choice->is_cut || is_inner)
			continue;
		own = tensors_of(plan, choice);
		problem = region_cut(plan->graph, own, false);
		if (problem != NULL)
			report_misfit(choice, problem);
		for (int j = 0; j < plan->model->ntensors; j++)
			is_mine[j] |= own[j];
		pfree(own);
		last = choice;
	}
	if (last == NULL)
		return;
	problem = region_clean(plan->graph, is_mine, is_gone);
	if (problem != NULL)
		report_misfit(last, problem);
	pfree(is_mine);
}

static void
cut_names(LayerPlan *plan, bool *is_gone)
{
	for (int i = 0; i < plan->nchoices; i++)
	{
		LayerChoice *choice = &plan->choices[i];
		const char *problem;

		if (!choice->is_cut)
			continue;
		problem = choice_problem(plan, choice);
		if (problem != NULL)
			report_misfit(choice, problem);
		for (int j = 0; j < plan->model->ntensors; j++)
			is_gone[j] |= layer_has_tensor(plan, choice, j);
	}
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
	Model	   *out;

	if (plan->graph != NULL)
		cut_graph(plan, is_gone);
	else
		cut_names(plan, is_gone);
	for (int i = 0; i < model->ntensors; i++)
	{
		const char *name = layer_new_name(plan, model->tensors[i].name);

		names[i] = name != NULL ? name : model->tensors[i].name;
		is_gone[i] |= name == NULL;
	}
	out = assemble(plan, is_gone, names);
	if (plan->graph != NULL)
		set_graph(plan, out, names);
	model_set_metadata(out, layer_plan_metadata(plan));
	return out;
}
