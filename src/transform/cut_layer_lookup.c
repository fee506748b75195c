/*
 * cut_layer_lookup.c
 *		Which layers and blocks a name lies under, and which tensors they have.
 *
 * A model of experts has tens of thousands of both, so nobody goes through all
 * of the ones for each of the others.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "transform/cut_layers.h"

/* Whether a name is a prefix, or lies under it. */
bool
layer_is_under(const char *name, const char *prefix)
{
	size_t		length = strlen(prefix);

	return strncmp(name, prefix, length) == 0 &&
		(name[length] == '\0' || name[length] == '.');
}

/* ---------- by name ---------- */

static int
compare_names(const void *a, const void *b)
{
	const LayerName *left = a;
	const LayerName *right = b;
	int			order = memcmp(left->name, right->name,
							   Min(left->length, right->length));

	if (order != 0 || left->length == right->length)
		return order;
	return left->length < right->length ? -1 : 1;
}

void
layer_sort_names(LayerPlan *plan)
{
	if (plan->sorted != NULL)
		pfree(plan->sorted);
	plan->sorted = palloc_extended(Max(plan->nchoices, 1) * sizeof(LayerName),
								   MCXT_ALLOC_HUGE);
	for (int i = 0; i < plan->nchoices; i++)
	{
		plan->sorted[i].name = plan->choices[i].name;
		plan->sorted[i].length = strlen(plan->choices[i].name);
		plan->sorted[i].choice = i;
	}
	qsort(plan->sorted, plan->nchoices, sizeof(LayerName), compare_names);
}

LayerChoice *
layer_find(const LayerPlan *plan, const char *name, size_t length)
{
	const LayerName key = {name, length, 0};
	const LayerName *found = bsearch(&key, plan->sorted, plan->nchoices,
									 sizeof(LayerName), compare_names);

	return found != NULL ? &plan->choices[found->choice] : NULL;
}

LayerChoice *
layer_above(const LayerPlan *plan, const char *name, const char **rest)
{
	while (*rest != NULL)
	{
		const char *end = *rest + strcspn(*rest, ".");
		LayerChoice *found = layer_find(plan, name, end - name);

		*rest = *end == '.' ? end + 1 : NULL;
		if (found != NULL)
			return found;
	}
	return NULL;
}

/* ---------- tensors ---------- */

static void
add_tensor(LayerChoice *choice, int tensor)
{
	if (choice->ntensors == choice->room)
	{
		choice->room = Max(4, 2 * choice->room);
		choice->tensors = choice->tensors == NULL ?
			palloc(choice->room * sizeof(int)) :
			repalloc(choice->tensors, choice->room * sizeof(int));
	}
	choice->tensors[choice->ntensors++] = tensor;
}

/* A tensor is of the layers that its own name lies under, and of those that its
 * layer's does, which the graph may call otherwise. */
static void
add_to_layers(LayerPlan *plan, int tensor)
{
	const char *name = plan->model->tensors[tensor].name;
	const char *layer = plan->names[tensor];
	const char *rest = name;
	LayerChoice *choice;

	while ((choice = layer_above(plan, name, &rest)) != NULL)
		add_tensor(choice, tensor);
	if (layer_is_under(name, layer))
		return;
	rest = layer;
	while ((choice = layer_above(plan, layer, &rest)) != NULL)
	{
		if (!layer_is_under(name, choice->name))
			add_tensor(choice, tensor);
	}
}

static void
count_parameters(const LayerPlan *plan, LayerChoice *choice)
{
	for (int i = 0; i < choice->ntensors; i++)
		choice->parameters += tensor_payload(plan->model,
											 &plan->model->tensors[choice->tensors[i]])->count;
}

void
layer_list_tensors(LayerPlan *plan)
{
	for (int i = 0; i < plan->model->ntensors; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_to_layers(plan, i);
	}
	for (int i = 0; i < plan->nchoices; i++)
		count_parameters(plan, &plan->choices[i]);
}

void
layer_list_own(const LayerPlan *plan, LayerChoice *choice)
{
	for (int i = 0; i < plan->model->ntensors; i++)
	{
		if (layer_is_under(plan->model->tensors[i].name, choice->name) ||
			layer_is_under(plan->names[i], choice->name))
			add_tensor(choice, i);
	}
	count_parameters(plan, choice);
}
