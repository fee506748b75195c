/*
 * bare.c
 *		What ONNX Runtime's C API takes by itself, to compare serving with.
 *
 *	bare LIBRARY MODEL COLUMNS
 *
 * loads a model of one input, rows of so many floats, and one output, and then
 * obeys lines of its input, each with a line of seconds:
 *
 *	run ROWS TIMES		runs a batch of so many rows so many times
 *	load				reads the file, makes a session, and runs one row
 *
 * The session has one thread and is set up as it comes otherwise.  Knows the
 * places of functions from src/serve, and shares no code with it: one input
 * tensor is made for all runs, and what comes out is looked at and let go.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/ort_api.h"

#define FLOAT 1

static struct
{
#define MEMBER(slot, result, name, arguments) result (*name) arguments;
	ORT_FUNCTIONS(MEMBER)
#undef MEMBER
}			api;

static OrtEnv *env;
static OrtAllocator *allocator;
static OrtMemoryInfo *memory;

typedef struct Loaded
{
	OrtSession *session;
	char	   *input;
	char	   *output;
} Loaded;

static void
die(const char *what)
{
	fprintf(stderr, "bare: %s\n", what);
	exit(1);
}

static void
must(OrtStatus *status)
{
	if (status != NULL)
		die(api.GetErrorMessage(status));
}

static void *
must_have(void *pointer)
{
	if (pointer == NULL)
		die("out of memory");
	return pointer;
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void
ignore_log(void *param, int severity, const char *category, const char *id,
		   const char *place, const char *message)
{
}

static void
open_library(const char *path)
{
	void	   *handle;
	OrtApiBase *(*get_base) (void);
	const void *const *table;

	setenv("ORT_DISABLE_TELEMETRY", "1", 1);
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		die(dlerror());
	*(void **) &get_base = dlsym(handle, "OrtGetApiBase");
	table = get_base()->GetApi(ORT_API_VERSION);
#define BIND(slot, result, name, arguments) \
	memcpy(&api.name, &table[slot], sizeof(void *));
	ORT_FUNCTIONS(BIND)
#undef BIND
	must(api.CreateEnvWithCustomLogger(ignore_log, NULL, ORT_LOG_ERROR, "bare", &env));
	must(api.GetAllocatorWithDefaultOptions(&allocator));
	must(api.CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR, ORT_MEMORY_DEFAULT, &memory));
}

static char *
read_file(const char *path, size_t *size)
{
	FILE	   *file = fopen(path, "rb");
	char	   *bytes;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0)
		die("the model's file cannot be read");
	*size = ftell(file);
	rewind(file);
	bytes = must_have(malloc(*size));
	if (fread(bytes, 1, *size, file) != *size)
		die("the model's file cannot be read");
	fclose(file);
	return bytes;
}

static Loaded
load(const char *path)
{
	Loaded		loaded;
	OrtSessionOptions *options;
	size_t		size;
	char	   *bytes = read_file(path, &size);

	must(api.CreateSessionOptions(&options));
	must(api.SetIntraOpNumThreads(options, 1));
	must(api.CreateSessionFromArray(env, bytes, size, options, &loaded.session));
	must(api.SessionGetInputName(loaded.session, 0, allocator, &loaded.input));
	must(api.SessionGetOutputName(loaded.session, 0, allocator, &loaded.output));
	api.ReleaseSessionOptions(options);
	free(bytes);
	return loaded;
}

static void
unload(Loaded *loaded)
{
	must(api.AllocatorFree(allocator, loaded->input));
	must(api.AllocatorFree(allocator, loaded->output));
	api.ReleaseSession(loaded->session);
}

static double
run(const Loaded *loaded, int64_t rows, int64_t columns, long times)
{
	int64_t		shape[] = {rows, columns};
	float	   *numbers = must_have(malloc(rows * columns * sizeof(float)));
	OrtValue   *input;
	float		sum = 0;
	double		began;

	for (int64_t i = 0; i < rows * columns; i++)
		numbers[i] = (float) (i % 7) - 3;
	must(api.CreateTensorWithDataAsOrtValue(memory, numbers, rows * columns * sizeof(float),
											shape, 2, FLOAT, &input));
	began = now();
	for (long i = 0; i < times; i++)
	{
		const OrtValue *in = input;
		OrtValue   *out = NULL;
		void	   *result;

		must(api.Run(loaded->session, NULL, (const char *const *) &loaded->input, &in, 1,
					 (const char *const *) &loaded->output, 1, &out));
		must(api.GetTensorMutableData(out, &result));
		sum += *(float *) result;
		api.ReleaseValue(out);
	}
	began = now() - began;
	api.ReleaseValue(input);
	free(numbers);
	if (sum != sum)
		die("the model made no numbers");
	return began;
}

int
main(int argc, char **argv)
{
	Loaded		loaded;
	char		line[100];
	int64_t		columns;

	if (argc != 4)
		die("usage: bare LIBRARY MODEL COLUMNS");
	columns = atoi(argv[3]);
	open_library(argv[1]);
	loaded = load(argv[2]);
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		long		rows,
					times;
		double		seconds;

		if (sscanf(line, "run %ld %ld", &rows, &times) == 2)
			seconds = run(&loaded, rows, columns, times);
		else
		{
			double		began = now();
			Loaded		again = load(argv[2]);

			run(&again, 1, columns, 1);
			seconds = now() - began;
			unload(&again);
		}
		printf("%.9f\n", seconds);
		fflush(stdout);
	}
	return 0;
}
