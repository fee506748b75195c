/*
 * cut_layer_names.c
 *		Layers and blocks by their names: which there are, which are meant, and
 *		what they are called when others have gone.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut_layers.h"
#include "transform/targets.h"

/* Numbers of blocks have at most so many digits. */
#define MAX_DIGITS 6

/* ---------- names ---------- */

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

/* A numbered part of a tensor's name, and what is before it: where it lies,
 * since a long name has very many prefixes. */
typedef struct Numbered
{
	const char *name;
	int			length;			/* of the prefix, without the last dot */
	int			number;
} Numbered;

/* As strcmp orders the prefixes. */
static int
compare_prefixes(const char *a, int a_length, const char *b, int b_length)
{
	int			order = memcmp(a, b, Min(a_length, b_length));

	return order != 0 ? order : a_length - b_length;
}

static int
compare_numbered(const void *a, const void *b)
{
	const Numbered *left = a;
	const Numbered *right = b;
	int			order = compare_prefixes(left->name, left->length,
										 right->name, right->length);

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
				found[*n].name = name;
				found[*n].length = part - name - 1;
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

	plan->stacks = palloc_extended(Max(n, 1) * sizeof(CutStack),
								   MCXT_ALLOC_HUGE);
	for (int i = 0; i < n;)
	{
		const Numbered *first = &found[i];
		int			next = 0;
		bool		has_gap = false;

		CHECK_FOR_INTERRUPTS();
		for (; i < n && compare_prefixes(found[i].name, found[i].length,
										 first->name, first->length) == 0; i++)
		{
			has_gap |= found[i].number > next;
			if (found[i].number == next)
				next++;
		}
		if (has_gap || next < 2)
			continue;
		plan->stacks[plan->nstacks].prefix = pnstrdup(first->name, first->length);
		plan->stacks[plan->nstacks++].nblocks = next;
	}
	pfree(found);
}

static int
compare_stack(const void *a, const void *b)
{
	const Numbered *wanted = a;
	const char *prefix = ((const CutStack *) b)->prefix;

	return compare_prefixes(wanted->name, wanted->length, prefix,
							strlen(prefix));
}

/* The stack whose prefix a name begins with, so many bytes of it. */
static int
find_stack(const LayerPlan *plan, const char *name, int length)
{
	const Numbered key = {name, length, 0};
	const CutStack *found = bsearch(&key, plan->stacks, plan->nstacks,
									sizeof(CutStack), compare_stack);

	return found != NULL ? found - plan->stacks : -1;
}

/* ---------- layers and blocks ---------- */

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
			int			stack = find_stack(plan, name, part - name - 1);

			if (stack >= 0)
			{
				layers[*n].name = pnstrdup(name, end - name);
				layers[*n].first = tensor;
				layers[*n].stack = stack;
				layers[(*n)++].index = number;
			}
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
	{
		CHECK_FOR_INTERRUPTS();
		add_names(plan, i, layers, &n);
	}
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
	plan->choices = palloc_extended((kept + 1) * sizeof(LayerChoice),
									MCXT_ALLOC_HUGE);
	for (int i = 0; i < kept; i++)
	{
		if (*layers[i].name != '\0')
			add_choice(plan, layers[i].name, layers[i].stack, layers[i].index);
	}
	pfree(layers);
}

/* Whether a module has a weight itself, and not only in modules under it. */
static bool
has_weight(const LayerPlan *plan, const Tensor **sorted, const char *module)
{
	static const char *const leaves[] = {"weight", "in_proj_weight"};

	for (int i = 0; i < (int) lengthof(leaves); i++)
	{
		char	   *name = psprintf("%s.%s", module, leaves[i]);
		bool		found = model_find_sorted(sorted, plan->model->ntensors,
											  name) != NULL;

		pfree(name);
		if (found)
			return true;
	}
	return false;
}

/* A layer is a module that has a weight, with all that is under it: the
 * projection of an attention is none of its own. */
static void
join_parts(LayerPlan *plan)
{
	const Tensor **sorted = model_sort_tensors(plan->model);

	for (int i = 0; i < plan->model->ntensors; i++)
	{
		const char *name = plan->names[i];

		CHECK_FOR_INTERRUPTS();
		for (const char *dot = strchr(name, '.'); dot != NULL;
			 dot = strchr(dot + 1, '.'))
		{
			char	   *module = pnstrdup(name, dot - name);

			if (has_weight(plan, sorted, module))
			{
				plan->names[i] = module;
				break;
			}
			pfree(module);
		}
	}
	pfree(sorted);
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
	join_parts(plan);
	find_stacks(plan);
	find_choices(plan);
	layer_sort_names(plan);
	layer_list_tensors(plan);
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

/* The layer that a module is a part of, or NULL. */
static const char *
whole_of(const LayerPlan *plan, const char *name)
{
	for (int i = 0; i < plan->model->ntensors; i++)
	{
		if (*name != '\0' && layer_is_under(plan->model->tensors[i].name, name) &&
			layer_is_under(name, plan->names[i]))
			return plan->names[i];
	}
	return NULL;
}

static void
report_part(const char *name, const char *whole)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot cut layer \"%s\"", utf8_to_server(name)),
			 errdetail("It is a part of layer \"%s\".", utf8_to_server(whole))));
}

/* A name in full may be that of any module, also of one with several layers. */
static void
name_module(LayerPlan *plan, const char *name)
{
	LayerChoice *choice = layer_find(plan, name, strlen(name));
	bool		found = choice != NULL;

	for (int i = 0; i < plan->model->ntensors && !found; i++)
		found = *name != '\0' && layer_is_under(plan->names[i], name);
	if (!found)
	{
		const char *whole = whole_of(plan, name);

		if (whole != NULL)
			report_part(name, whole);
		report_unknown(name);
	}
	if (choice == NULL)
	{
		plan->choices = repalloc_huge(plan->choices,
									  (plan->nchoices + 1) * sizeof(LayerChoice));
		choice = add_choice(plan, pstrdup(name), -1, 0);
		layer_sort_names(plan);
		layer_list_own(plan, choice);
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
	/* No name is so long: there may be ranges in it without end. */
	if (from > to || strlen(pattern) > MODEL_MAX_NAME)
		report_unknown(pattern);
	for (int i = from; i <= to; i++)
	{
		char	   *each = psprintf("%.*s%d%s", (int) (open - pattern), pattern,
									i, open + length);

		CHECK_FOR_INTERRUPTS();
		layer_plan_name(plan, each);
		pfree(each);
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

/* ---------- new names ---------- */

void
layer_plan_number(LayerPlan *plan)
{
	for (int i = 0; i < plan->nstacks; i++)
	{
		CHECK_FOR_INTERRUPTS();
		plan->stacks[i].before = palloc0((plan->stacks[i].nblocks + 1) * sizeof(int));
	}
	for (int i = 0; i < plan->nchoices; i++)
	{
		const LayerChoice *choice = &plan->choices[i];

		if (choice->is_cut && choice->stack >= 0)
			plan->stacks[choice->stack].before[choice->index + 1] = 1;
	}
	for (int i = 0; i < plan->nstacks; i++)
	{
		for (int j = 0; j < plan->stacks[i].nblocks; j++)
			plan->stacks[i].before[j + 1] += plan->stacks[i].before[j];
	}
}

/* How many blocks are cut that come before that number, of those under the
 * beginning of a name. */
static int
count_cut_before(const LayerPlan *plan, const char *name, int length, int number)
{
	int			stack = find_stack(plan, name, length);

	return stack < 0 ? 0 :
		plan->stacks[stack].before[Min(number, plan->stacks[stack].nblocks)];
}

static bool
is_cut_name(const LayerPlan *plan, const char *name)
{
	const char *rest = name;
	const LayerChoice *choice;

	while ((choice = layer_above(plan, name, &rest)) != NULL)
	{
		if (choice->is_cut)
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
	/* Most names stay, and need no memory. */
	if (strcmp(out.data, name) != 0)
		return out.data;
	pfree(out.data);
	return name;
}
