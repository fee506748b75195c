/*
 * targets.c
 *		Which payloads of a model are to be transformed.
 *
 * Owns the rule what a weight is when nobody names one, and the patterns by
 * which tensors are included and excluded.  Does not know what is done to
 * them.
 */
#include "postgres.h"

#include "graph/graph.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/targets.h"

/* ---------- patterns ---------- */

bool
pattern_has_wildcard(const char *pattern)
{
	return strpbrk(pattern, "*?") != NULL;
}

/*
 * Matches all of a name: * stands for any characters, ? for one.  Only the
 * last * needs to be remembered, since an earlier one that took more would
 * leave less for the rest.
 */
bool
pattern_matches(const char *name, const char *pattern)
{
	const char *after_star = NULL;
	const char *retry = NULL;

	while (*name != '\0')
	{
		if (*pattern == '*')
		{
			after_star = ++pattern;
			retry = name;
		}
		else if (*pattern == '?')
		{
			name += pg_utf_mblen((const unsigned char *) name);
			pattern++;
		}
		else if (*pattern == *name)
		{
			name++;
			pattern++;
		}
		else if (after_star != NULL)
		{
			retry += pg_utf_mblen((const unsigned char *) retry);
			name = retry;
			pattern = after_star;
		}
		else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* Whether tensors have names that start with this and a dot. */
static bool
is_layer(const Model *model, const char *name)
{
	size_t		length = strlen(name);

	for (int i = 0; i < model->ntensors; i++)
	{
		if (strncmp(model->tensors[i].name, name, length) == 0 &&
			model->tensors[i].name[length] == '.')
			return true;
	}
	return false;
}

static void
report_unmatched(const Model *model, const Patterns *patterns,
				 const char *pattern, bool matches_others)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 pattern_has_wildcard(pattern) ?
			 errmsg("no tensor to %s matches \"%s\"", patterns->verb,
					utf8_to_server(pattern)) :
			 errmsg("model has no tensor named \"%s\"",
					utf8_to_server(pattern)),
			 matches_others ?
			 errhint("Wildcards choose among floating-point tensors of two or more dimensions%s; others have to be named in full.",
					 patterns->embeddings ? "" : " that are no embeddings") :
			 is_layer(model, pattern) ?
			 errhint("Its tensors are \"%s.*\".", utf8_to_server(pattern)) :
			 errhint("tensors(model) lists the names.")));
}

/* ---------- weights ---------- */

/* Marks the payloads of embeddings: those of layers of that kind, and
 * parameters that are called so themselves. */
static void
find_embeddings(const Model *model, bool *embedding)
{
	int			nlayers;
	ModelLayer *layers = graph_layers(model, &nlayers);

	for (int i = 0; i < nlayers; i++)
	{
		bool		is_embedding = layers[i].kind != NULL &&
			strncmp(layers[i].kind, "Embedding", strlen("Embedding")) == 0;

		for (int j = 0; j < layers[i].ntensors; j++)
		{
			const Tensor *tensor = &model->tensors[layers[i].tensors[j]];

			if (is_embedding || model_is_embedding_name(tensor->name))
				embedding[tensor->payload] = true;
		}
	}
}

/*
 * Marks masks of torch.nn.utils.prune, which keeps X as X_orig and X_mask
 * until somebody removes the pruning.
 */
static void
find_masks(const Model *model, bool *mask)
{
	static const char suffix[] = "_mask";
	const Tensor **sorted = model_sort_tensors(model);

	for (int i = 0; i < model->ntensors; i++)
	{
		const char *name = model->tensors[i].name;
		int			length = (int) strlen(name) - (int) strlen(suffix);

		if (length > 0 && strcmp(name + length, suffix) == 0 &&
			model_find_sorted(sorted, model->ntensors,
							  psprintf("%.*s_orig", length, name)) != NULL)
			mask[model->tensors[i].payload] = true;
	}
	pfree(sorted);
}

/* For each payload, whether it is a weight that needs no name: it floats, some
 * tensor over it has two dimensions, and none is a mask or, unless they are
 * wanted, an embedding. */
static bool *
find_weights(const Model *model, const Patterns *patterns)
{
	bool	   *weight = palloc0(Max(model->npayloads, 1));
	bool	   *other = palloc0(Max(model->npayloads, 1));

	if (patterns->all)
	{
		memset(weight, true, model->npayloads);
		return weight;
	}
	if (!patterns->embeddings)
		find_embeddings(model, other);
	find_masks(model, other);
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		if (tensor->ndim >= 2 && !other[tensor->payload] &&
			dtype_is_float(tensor_payload(model, tensor)->dtype))
			weight[tensor->payload] = true;
	}
	pfree(other);
	return weight;
}

/* ---------- choice ---------- */

/* chosen[] has the first chosen tensor for each payload, or -1. */

static bool
is_weight(const Model *model, const bool *weight, const Patterns *patterns,
		  int tensor)
{
	return weight[model->tensors[tensor].payload] &&
		(patterns->all || model->tensors[tensor].ndim >= 2);
}

static void
choose(const Model *model, int tensor, int *chosen)
{
	int		   *first = &chosen[model->tensors[tensor].payload];

	if (*first < 0)
		*first = tensor;
}

/* Weights by the first tensor over them that has two dimensions. */
static void
choose_weights(const Model *model, const bool *weight,
			   const Patterns *patterns, int *chosen)
{
	for (int i = 0; i < model->ntensors; i++)
	{
		if (is_weight(model, weight, patterns, i))
			choose(model, i, chosen);
	}
}

static void
choose_by_pattern(const Model *model, const bool *weight,
				  const Patterns *patterns, const char *pattern, int *chosen)
{
	bool		wild = pattern_has_wildcard(pattern) &&
		model_find_tensor(model, pattern) < 0;
	bool		found = false;
	bool		matches_others = false;

	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		CHECK_FOR_INTERRUPTS();
		if (wild ? !pattern_matches(tensor->name, pattern) :
			strcmp(tensor->name, pattern) != 0)
			continue;
		if (wild && !is_weight(model, weight, patterns, i))
		{
			matches_others = true;
			continue;
		}
		found = true;
		choose(model, i, chosen);
	}
	if (!found)
		report_unmatched(model, patterns, pattern, matches_others);
}

/* A tensor that is tied to an excluded one is excluded with it. */
static void
exclude_by_pattern(const Model *model, const Patterns *patterns,
				   const char *pattern, int *chosen)
{
	bool		found = false;

	for (int i = 0; i < model->ntensors; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!pattern_matches(model->tensors[i].name, pattern))
			continue;
		found = true;
		chosen[model->tensors[i].payload] = -1;
	}
	if (!found)
		report_unmatched(model, patterns, pattern, false);
}

int *
target_choose(const Model *model, const Patterns *patterns)
{
	bool	   *weight = find_weights(model, patterns);
	int		   *chosen = palloc(Max(model->npayloads, 1) * sizeof(int));

	for (int i = 0; i < model->npayloads; i++)
		chosen[i] = -1;
	if (patterns->ninclude == 0)
		choose_weights(model, weight, patterns, chosen);
	for (int i = 0; i < patterns->ninclude; i++)
		choose_by_pattern(model, weight, patterns, patterns->include[i],
						  chosen);
	for (int i = 0; i < patterns->nexclude; i++)
		exclude_by_pattern(model, patterns, patterns->exclude[i], chosen);
	pfree(weight);
	return chosen;
}
