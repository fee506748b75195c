/*
 * engine.c
 *		What goes wrong in the runtime, as errors.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "serve/engine.h"

/* The runtime's words may quote names of a model, in any bytes. */
static const char *
runtime_text(const char *words)
{
	int			length = strlen(words);
	int			valid = pg_encoding_verifymbstr(PG_UTF8, words, length);
	char	   *clean = pnstrdup(words, valid);

	for (char *c = clean; *c != '\0'; c++)
		if ((unsigned char) *c < ' ')
			*c = ' ';
	return pg_any_to_server(clean, strlen(clean), PG_UTF8);
}

static bool
is_about_memory(const char *words)
{
	return strstr(words, "allocate") != NULL || strstr(words, "bad_alloc") != NULL ||
		strstr(words, "out of memory") != NULL || strstr(words, "arena") != NULL;
}

void
engine_failed(const char *doing, const Problem *problem)
{
	const char *words = runtime_text(problem->text);
	bool		is_output = strstr(words, "max_output_bytes") != NULL;

	ereport(ERROR,
			(errcode(is_output ? ERRCODE_PROGRAM_LIMIT_EXCEEDED :
					 ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("could not %s model", doing),
			 problem->code != 0 ? errdetail("ONNX Runtime says: %s", words) :
			 errdetail("The reason is: %s.", words),
			 is_output ?
			 errhint("Predict fewer rows at once (batch_size); modelopt.max_output_bytes bounds what a run gives.") :
			 is_about_memory(words) ?
			 errhint("Predict fewer rows at once (batch_size); modelopt.run_memory_limit bounds the memory of the runtime.") : 0));
}

void
engine_missing(const Problem *problem)
{
	if (serve_library[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("modelopt.onnxruntime_library is empty, so there is nothing to run models with"),
				 errhint("It is a path of the library of ONNX Runtime 1.17 or later, or a name that the system's loader finds.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("could not open ONNX Runtime in \"%s\"", serve_library),
			 errdetail("%s", runtime_text(problem->text)),
			 errhint("Running models needs the library of ONNX Runtime 1.17 or later; modelopt.onnxruntime_library says where it is.")));
}
