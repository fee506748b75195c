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

/* ---------- arguments ---------- */

static void
append_key(StringInfo out, const char *key)
{
	if (out->data[out->len - 1] != '{')
		appendStringInfoString(out, ", ");
	appendStringInfo(out, "\"%s\": ", key);
}

static void
append_string(StringInfo out, const char *key, const char *value)
{
	append_key(out, key);
	json_append_string(out, value, strlen(value));
}

static void
append_integer(StringInfo out, const char *key, int64 value)
{
	append_key(out, key);
	appendStringInfo(out, INT64_FORMAT, value);
}

static void
append_real(StringInfo out, const char *key, double value)
{
	append_key(out, key);
	json_append_double(out, value);
}

static void
append_patterns(StringInfo out, const char *key, int npatterns,
				char **patterns)
{
	if (npatterns == 0)
		return;
	append_key(out, key);
	for (int i = 0; i < npatterns; i++)
	{
		appendStringInfoString(out, i == 0 ? "[" : ", ");
		json_append_string(out, patterns[i], strlen(patterns[i]));
	}
	appendStringInfoChar(out, ']');
}

/* The mask itself is too large to be kept. */
static void
append_mask(StringInfo out, Model *mask)
{
	append_string(out, "mask", model_digest_hex(model_digest(mask)));
}

static void
append_arguments(StringInfo out, const PruneRequest *request)
{
	const PruneAmount *amount = &request->amount;

	append_key(out, "arguments");
	appendStringInfoChar(out, '{');
	if (amount->is_count)
		append_integer(out, "count", amount->count);
	else if (request->method == PRUNE_THRESHOLD)
		append_real(out, "amount", request->threshold);
	else if (request->method != PRUNE_N_M && request->method != PRUNE_MASK)
		append_real(out, "amount", amount->fraction);
	if (request->method != PRUNE_L1)
		append_string(out, "method", prune_method_name(request->method));
	if (request->scope != PRUNE_SCOPE_GLOBAL)
		append_string(out, "scope", prune_scope_name(request->scope));
	if (request->has_dim)
		append_integer(out, "dim", request->dim);
	if (request->norm != 2)
		append_real(out, "norm", request->norm);
	if (request->method == PRUNE_N_M)
	{
		append_integer(out, "n", request->n);
		append_integer(out, "m_of", request->m);
	}
	if (amount->of_remaining)
		append_string(out, "of", "remaining");
	append_patterns(out, "include", request->ninclude, request->include);
	append_patterns(out, "exclude", request->nexclude, request->exclude);
	if (request->seed != 0)
		append_integer(out, "seed", request->seed);
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
	append_key(out, "rates");
	appendStringInfoChar(out, '{');
	append_integer(out, "tensors", ntargets);
	append_integer(out, "parameters", parameters);
	append_integer(out, "pruned", selected);
	if (nonzero_before > 0)
		append_real(out, "pruning_rate",
					(double) (nonzero_before - nonzero_after) / nonzero_before);
	if (bytes_before > 0)
		append_real(out, "compression_rate",
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
	append_string(&step, "function",
				  request->amount.is_count ? "prune_count" : "prune");
	append_arguments(&step, request);
	append_rates(&step, targets, ntargets);
	appendStringInfoChar(&step, '}');

	/* Metadata is kept as jsonb writes it. */
	model_append_recipe(out, jsonb_to_json_text(json_text_to_jsonb(step.data)));
	pfree(step.data);
}
