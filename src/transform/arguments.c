/*
 * arguments.c
 *		SQL arguments that transformations have in common.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "transform/arguments.h"
#include "utils/array.h"

int
argument_word(FunctionCallInfo fcinfo, int argument, const char *what,
			  const char *const *words, int nwords, int otherwise)
{
	char	   *word;
	StringInfoData hint;

	if (PG_ARGISNULL(argument))
		return otherwise;
	word = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	initStringInfo(&hint);
	for (int i = 0; i < nwords; i++)
	{
		if (strcmp(word, words[i]) == 0)
			return i;
		appendStringInfo(&hint, "%s%s", i == 0 ? "" : i == nwords - 1 ? " and " : ", ",
						 words[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", what, word),
			 errhint("There are %s.", hint.data)));
	return otherwise;			/* not reached */
}

/* An array of patterns, or none, in UTF-8. */
static char **
read_patterns(FunctionCallInfo fcinfo, int argument, const char *what,
			  int *npatterns)
{
	Datum	   *items;
	bool	   *nulls;
	char	  **patterns;

	*npatterns = 0;
	if (PG_ARGISNULL(argument))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), TEXTOID, -1, false,
					  TYPALIGN_INT, &items, &nulls, npatterns);
	patterns = palloc(Max(*npatterns, 1) * sizeof(char *));
	for (int i = 0; i < *npatterns; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a pattern to %s must not be null", what)));
		patterns[i] = text_to_utf8(DatumGetTextPP(items[i]));
	}
	return patterns;
}

void
argument_patterns(FunctionCallInfo fcinfo, int include, int exclude,
				  const char *verb, Patterns *patterns)
{
	patterns->verb = verb;
	patterns->include = read_patterns(fcinfo, include, "include",
									  &patterns->ninclude);
	patterns->exclude = read_patterns(fcinfo, exclude, "exclude",
									  &patterns->nexclude);
}
