/*
 * recipe.c
 *		Writing what was done to a model.
 *
 * A step of the recipe has the function, the arguments that are not the
 * default, so that it can be repeated, and the rates that it reached.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/recipe.h"

void
recipe_key(StringInfo out, const char *key)
{
	if (out->data[out->len - 1] != '{')
		appendStringInfoString(out, ", ");
	appendStringInfo(out, "\"%s\": ", key);
}

void
recipe_key_of(StringInfo out, const char *name)
{
	if (out->data[out->len - 1] != '{')
		appendStringInfoString(out, ", ");
	json_append_string(out, name, strlen(name));
	appendStringInfoString(out, ": ");
}

void
recipe_string(StringInfo out, const char *key, const char *value)
{
	recipe_key(out, key);
	json_append_string(out, value, strlen(value));
}

void
recipe_integer(StringInfo out, const char *key, int64 value)
{
	recipe_key(out, key);
	appendStringInfo(out, INT64_FORMAT, value);
}

void
recipe_real(StringInfo out, const char *key, double value)
{
	recipe_key(out, key);
	json_append_double(out, value);
}

static void
append_list(StringInfo out, const char *key, int npatterns, char **patterns)
{
	if (npatterns == 0)
		return;
	recipe_key(out, key);
	for (int i = 0; i < npatterns; i++)
	{
		appendStringInfoString(out, i == 0 ? "[" : ", ");
		json_append_string(out, patterns[i], strlen(patterns[i]));
	}
	appendStringInfoChar(out, ']');
}

void
recipe_patterns(StringInfo out, const Patterns *patterns)
{
	append_list(out, "include", patterns->ninclude, patterns->include);
	append_list(out, "exclude", patterns->nexclude, patterns->exclude);
}

void
recipe_append(Model *out, StringInfo step)
{
	/* Metadata is kept as jsonb writes it. */
	model_append_recipe(out, jsonb_to_json_text(json_text_to_jsonb(step->data)));
	pfree(step->data);
}
