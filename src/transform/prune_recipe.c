/*
 * prune_recipe.c
 *		What a pruned model says of how it was made.
 *
 * A step of the recipe has the function, the arguments that are not the
 * default, so that it can be repeated, and the rates that it reached.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/prune.h"
#include "transform/recipe.h"

/* ---------- arguments ---------- */

/* The mask itself is too large to be kept. */
static void
append_mask(StringInfo out, Model *mask)
{
	recipe_string(out, "mask", model_digest_hex(model_digest(mask)));
}

static void
append_arguments(StringInfo out, const PruneRequest *request)
{
	const PruneAmount *amount = &request->amount;

	recipe_key(out, "arguments");
	appendStringInfoChar(out, '{');
	if (amount->is_count)
		recipe_integer(out, "count", amount->count);
	else if (request->method == PRUNE_THRESHOLD)
		recipe_real(out, "amount", request->threshold);
	else if (request->m == 0 && request->method != PRUNE_MASK)
		recipe_real(out, "amount", amount->fraction);
	if (request->method != PRUNE_L1)
		recipe_string(out, "method", prune_method_name(request->method));
	if (request->scope != PRUNE_SCOPE_GLOBAL)
		recipe_string(out, "scope", prune_scope_name(request->scope));
	if (request->has_dim)
		recipe_integer(out, "dim", request->dim);
	if (request->norm != 2)
		recipe_real(out, "norm", request->norm);
	if (request->m > 0)
	{
		recipe_integer(out, "n", request->n);
		recipe_integer(out, "m_of", request->m);
	}
	if (amount->of_remaining)
		recipe_string(out, "of", "remaining");
	recipe_patterns(out, &request->patterns);
	if (request->seed != 0)
		recipe_integer(out, "seed", request->seed);
	if (request->mask != NULL)
		append_mask(out, request->mask);
	appendStringInfoChar(out, '}');
}

/* ---------- rates ---------- */

/* Of the tensors that were to be pruned, as the SQL functions of these names
 * have it for whole models. */
static void
append_rates(StringInfo out, PruneTarget **targets, int ntargets)
{
	int64		parameters = 0;
	int64		selected = 0;
	int64		nonzero_before = 0;
	int64		nonzero_after = 0;
	double		bytes_before = 0;
	double		bytes_after = 0;

	for (int i = 0; i < ntargets; i++)
	{
		const PruneTarget *target = targets[i];

		parameters += target->payload->count;
		selected += target->selected;
		nonzero_before += target->payload->count - target->zeros_before;
		nonzero_after += target->payload->count - target->zeros_after;
		bytes_before += target->payload->stored;
		bytes_after += target->stored_after;
	}
	recipe_key(out, "rates");
	appendStringInfoChar(out, '{');
	recipe_integer(out, "tensors", ntargets);
	recipe_integer(out, "parameters", parameters);
	recipe_integer(out, "pruned", selected);
	if (nonzero_before > 0)
		recipe_real(out, "pruning_rate",
					(double) (nonzero_before - nonzero_after) / nonzero_before);
	if (bytes_before > 0)
		recipe_real(out, "compression_rate",
					Max(0, (bytes_before - bytes_after) / bytes_before));
	appendStringInfoChar(out, '}');
}

void
prune_add_recipe(Model *out, const PruneRequest *request,
				 PruneTarget **targets, int ntargets)
{
	StringInfoData step;

	initStringInfo(&step);
	appendStringInfoChar(&step, '{');
	recipe_string(&step, "function", request->function);
	append_arguments(&step, request);
	append_rates(&step, targets, ntargets);
	appendStringInfoChar(&step, '}');

	recipe_append(out, &step);
}
