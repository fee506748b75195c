/*
 * settings.c
 *		The settings of serving.
 *
 * What decides which code runs, and how much of the machine it gets, is the
 * superuser's.
 */
#include "postgres.h"

#include <limits.h>

#include "serve/exchange.h"
#include "serve/serve.h"
#include "utils/guc.h"

char	   *serve_library;
int			serve_run_mode = RUN_ISOLATED;
int			serve_memory_limit = 1024 * 1024;
int			serve_cache_size = 256 * 1024;
int			serve_threads = 1;
int			serve_max_output = 256 * 1024;

static const struct config_enum_entry run_modes[] = {
	{"isolated", RUN_ISOLATED, false},
	{"inprocess", RUN_INPROCESS, false},
	{NULL, 0, false}
};

void
serve_define_settings(void)
{
	DefineCustomStringVariable("modelopt.onnxruntime_library",
							   "Library of ONNX Runtime, which runs models.",
							   "A path, or a name that the system's loader finds.",
							   &serve_library, "libonnxruntime.so.1", PGC_SUSET, 0,
							   NULL, NULL, NULL);
	DefineCustomEnumVariable("modelopt.run_mode",
							 "Where models run: in a process of their own, or in the server's.",
							 "In the server's, a model that crashes the runtime crashes the server.",
							 &serve_run_mode, RUN_ISOLATED, run_modes, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.run_memory_limit",
							"Memory that the models of a session may take to run.",
							NULL,
							&serve_memory_limit, 1024 * 1024,
							64 * 1024, MAX_KILOBYTES, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.cache_size",
							"Size of the models that a session keeps loaded.",
							"The model in use is kept whatever its size.",
							&serve_cache_size, 256 * 1024,
							0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.threads",
							"Threads that a model computes with.",
							NULL,
							&serve_threads, 1, 1, 64, PGC_USERSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.max_output_bytes",
							"Size of the outputs of a run.",
							NULL,
							&serve_max_output, 256 * 1024,
							1, EXCHANGE_PART / 1024, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
}
