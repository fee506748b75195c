/*
 * ort.c
 *		The binding to ONNX Runtime: the library, and models in it.
 *
 * One environment and one allocator in a process.  The settings are the ones
 * that leave a model the least room: no telemetry, no other format than
 * protocol buffers, no thread unless asked for, an allocator with a limit.
 */
#include "serve/ort.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/ort_inside.h"

/* The oldest library whose optimizer keeps to the allocator's limit. */
#define FIRST_BOUNDED_OPTIMIZER 24

OrtFunctions ort_api;
OrtRuntime	ort_runtime;

struct OrtModel
{
	OrtSession *session;
	OrtRunOptions *options;
	int			ninputs;
	int			noutputs;
	Port	   *ports;			/* inputs, then outputs */
	const char **names;			/* of the ports */
	const char **given;			/* of inputs that have a value, during a run */
	OrtValue  **values;			/* likewise, during a run */
};

/* ---------- failures ---------- */

bool
ort_fail(Problem *problem, const char *text)
{
	problem->code = 0;
	snprintf(problem->text, sizeof(problem->text), "%s", text);
	return false;
}

/* Whether a call went well; frees its status. */
bool
ort_succeeded(OrtStatus *status, Problem *problem)
{
	if (status == NULL)
		return true;
	problem->code = ort_api.GetErrorCode(status);
	snprintf(problem->text, sizeof(problem->text), "%s",
			 ort_api.GetErrorMessage(status));
	ort_api.ReleaseStatus(status);
	return false;
}

/* ---------- where outputs go ---------- */

void *
memory_take(TensorPlace *place, uint64_t bytes)
{
	MemoryPlace *output = (MemoryPlace *) place;
	uint64_t	start = PLACE_ALIGN(output->used);

	if (start > output->limit || bytes > output->limit - start)
		return NULL;
	output->used = start + bytes;
	return output->memory + start;
}

/* ---------- the library ---------- */

static void
ignore_log(void *param, int severity, const char *category, const char *id,
		   const char *place, const char *message)
{
}

static bool
bind_library(const char *library, Problem *problem)
{
	void	   *handle;
	OrtApiBase *(*get_base) (void);
	const OrtApiBase *base;
	const void *const *table;

	/* What the library reads when it starts. */
	setenv("ORT_DISABLE_TELEMETRY", "1", 1);
	unsetenv("ORT_LOAD_CONFIG_FROM_MODEL");

	handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		return ort_fail(problem, dlerror());
	*(void **) &get_base = dlsym(handle, "OrtGetApiBase");
	if (get_base == NULL)
		return ort_fail(problem, "it is not ONNX Runtime: it has no function OrtGetApiBase");
	base = get_base();
	ort_runtime.version = base->GetVersionString();
	if (sscanf(ort_runtime.version, "1.%d", &ort_runtime.minor) != 1 ||
		ort_runtime.minor < ORT_API_VERSION)
	{
		snprintf(problem->text, sizeof(problem->text),
				 "its version is %s, and at least 1.%d is needed",
				 ort_runtime.version, ORT_API_VERSION);
		problem->code = 0;
		return false;
	}
	table = base->GetApi(ORT_API_VERSION);
	if (table == NULL)
		return ort_fail(problem, "it has not the version of the API that it should have");
#define BIND(slot, result, name, arguments) \
	memcpy(&ort_api.name, &table[slot], sizeof(void *));
	ORT_FUNCTIONS(BIND)
#undef BIND
	return true;
}

/* An allocator for all sessions, which asks the system for what it needs and
 * gives out no more than a limit. */
static bool
make_allocator(uint64_t memory_limit, Problem *problem)
{
	const char *keys[] = {"max_mem", "arena_extend_strategy"};
	size_t		values[] = {memory_limit, 1};
	OrtArenaCfg *config;
	OrtMemoryInfo *arena = NULL;
	bool		good;

	if (!ort_succeeded(ort_api.CreateArenaCfgV2(keys, values, 2, &config), problem))
		return false;
	good = ort_succeeded(ort_api.CreateCpuMemoryInfo(ORT_ARENA_ALLOCATOR,
													 ORT_MEMORY_DEFAULT, &arena), problem) &&
		ort_succeeded(ort_api.CreateAndRegisterAllocator(ort_runtime.env, arena, config), problem);
	if (arena != NULL)
		ort_api.ReleaseMemoryInfo(arena);
	ort_api.ReleaseArenaCfg(config);
	return good;
}

static bool
make_environment(uint64_t memory_limit, Problem *problem)
{
	OrtEnv	   *env;
	Problem		ignored;

	if (!ort_succeeded(ort_api.CreateEnvWithCustomLogger(ignore_log, NULL, ORT_LOG_ERROR,
														 "modelopt", &env), problem))
		return false;
	ort_runtime.env = env;
	(void) ort_succeeded(ort_api.DisableTelemetryEvents(env), &ignored);
	return make_allocator(memory_limit, problem) &&
		ort_succeeded(ort_api.GetAllocatorWithDefaultOptions(&ort_runtime.allocator), problem) &&
		ort_succeeded(ort_api.CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR,
												  ORT_MEMORY_DEFAULT, &ort_runtime.memory), problem);
}

/*
 * The server's handlers must run on its own thread, so no other one may take
 * signals: those made in between inherit the mask.  A division that the
 * processor refuses happens on this thread when there are no others, and
 * the kernel would end the process for one that is blocked.
 */
static void
block_signals(int threads, sigset_t *previous)
{
	sigset_t	all;

	sigfillset(&all);
	if (threads == 1)
		sigdelset(&all, SIGFPE);
	pthread_sigmask(SIG_SETMASK, &all, previous);
}

static void
restore_signals(const sigset_t *previous)
{
	pthread_sigmask(SIG_SETMASK, previous, NULL);
}

bool
ort_open(const char *library, uint64_t memory_limit, Problem *problem)
{
	sigset_t	signals;
	bool		good = true;

	block_signals(0, &signals);
	if (ort_runtime.memory == NULL)
		good = bind_library(library, problem) &&
			make_environment(memory_limit, problem);
	restore_signals(&signals);
	return good;
}

const char *
ort_version(void)
{
	return ort_runtime.version;
}

/* ---------- loading ---------- */

static bool
describe_ports(OrtModel *model, Problem *problem)
{
	size_t		ninputs,
				noutputs;

	if (!ort_succeeded(ort_api.SessionGetInputCount(model->session, &ninputs), problem) ||
		!ort_succeeded(ort_api.SessionGetOutputCount(model->session, &noutputs), problem))
		return false;
	if (ninputs > ORT_MAX_PORTS || noutputs > ORT_MAX_PORTS)
		return ort_fail(problem, "the model has too many inputs or outputs");
	model->ports = calloc(ninputs + noutputs + 1, sizeof(Port));
	model->names = calloc(ninputs + noutputs + 1, sizeof(char *));
	model->given = calloc(ninputs + 1, sizeof(char *));
	model->values = calloc(ninputs + noutputs + 1, sizeof(OrtValue *));
	if (model->ports == NULL || model->names == NULL || model->given == NULL ||
		model->values == NULL)
		return ort_fail(problem, "out of memory");
	model->ninputs = ninputs;
	model->noutputs = noutputs;
	for (int i = 0; i < model->ninputs + model->noutputs; i++)
	{
		bool		output = i >= model->ninputs;

		if (!ort_describe_port(model->session, output, output ? i - model->ninputs : i,
							   &model->ports[i], problem))
			return false;
		model->names[i] = model->ports[i].name;
	}
	return true;
}

static bool
set_up(OrtSessionOptions *options, int threads, Problem *problem)
{
	return ort_succeeded(ort_api.SetSessionExecutionMode(options, ORT_SEQUENTIAL), problem) &&
		ort_succeeded(ort_api.SetIntraOpNumThreads(options, threads), problem) &&
		ort_succeeded(ort_api.SetInterOpNumThreads(options, 1), problem) &&
		ort_succeeded(ort_api.SetSessionLogSeverityLevel(options, ORT_LOG_ERROR), problem) &&
		ort_succeeded(ort_api.SetSessionGraphOptimizationLevel(options,
															   ort_runtime.minor < FIRST_BOUNDED_OPTIMIZER ?
															   ORT_OPTIMIZE_NOTHING : ORT_OPTIMIZE_EXTENDED), problem) &&
		ort_succeeded(ort_api.AddSessionConfigEntry(options, "session.load_model_format", "ONNX"), problem) &&
		ort_succeeded(ort_api.AddSessionConfigEntry(options, "session.use_env_allocators", "1"), problem) &&
		ort_succeeded(ort_api.AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"), problem);
}

bool
ort_create_session(const void *bytes, size_t size, int threads,
				   OrtSession **session, Problem *problem)
{
	OrtSessionOptions *options;
	bool		good;

	if (!ort_succeeded(ort_api.CreateSessionOptions(&options), problem))
		return false;
	good = set_up(options, threads, problem) &&
		ort_succeeded(ort_api.CreateSessionFromArray(ort_runtime.env, bytes, size, options,
													 session), problem);
	ort_api.ReleaseSessionOptions(options);
	return good;
}

OrtModel *
ort_load(const void *bytes, size_t size, int threads, Problem *problem)
{
	OrtModel   *model = calloc(1, sizeof(OrtModel));
	sigset_t	signals;
	bool		good;

	if (model == NULL)
	{
		ort_fail(problem, "out of memory");
		return NULL;
	}
	block_signals(threads, &signals);
	good = ort_create_session(bytes, size, threads, &model->session, problem) &&
		ort_succeeded(ort_api.CreateRunOptions(&model->options), problem) &&
		describe_ports(model, problem);
	restore_signals(&signals);
	if (good)
		return model;
	ort_unload(model);
	return NULL;
}

void
ort_unload(OrtModel *model)
{
	if (model->ports != NULL)
		for (int i = 0; i < model->ninputs + model->noutputs; i++)
			ort_free_port(&model->ports[i]);
	free(model->ports);
	free(model->names);
	free(model->given);
	free(model->values);
	if (model->options != NULL)
		ort_api.ReleaseRunOptions(model->options);
	if (model->session != NULL)
		ort_api.ReleaseSession(model->session);
	free(model);
}

int
ort_ports(const OrtModel *model, bool outputs, const Port **ports)
{
	*ports = outputs ? model->ports + model->ninputs : model->ports;
	return outputs ? model->noutputs : model->ninputs;
}

/* ---------- running ---------- */

/* The runtime takes an optional value that is absent for one that is not given. */
static bool
make_inputs(OrtModel *model, const ServedTensor *inputs, int *ngiven,
			Problem *problem)
{
	*ngiven = 0;
	for (int i = 0; i < model->ninputs; i++)
	{
		if (inputs[i].shape.type == ELEMENT_NONE)
			continue;
		model->given[*ngiven] = model->names[i];
		if (!ort_make_value(&inputs[i], &model->ports[i], &model->values[(*ngiven)++], problem))
			return false;
	}
	return true;
}

bool
ort_run(OrtModel *model, const ServedTensor *inputs, ServedTensor *outputs,
		TensorPlace *place, Problem *problem)
{
	OrtValue  **in = model->values;
	OrtValue  **out = in + model->ninputs;
	int			ngiven;
	bool		good;

	good = make_inputs(model, inputs, &ngiven, problem) &&
		ort_succeeded(ort_api.Run(model->session, model->options, model->given,
								  (const OrtValue *const *) in, ngiven,
								  model->names + model->ninputs, model->noutputs, out), problem);
	for (int i = 0; good && i < model->noutputs; i++)
		good = ort_take_value(out[i], &model->ports[model->ninputs + i],
							  &outputs[i], place, problem);
	for (int i = 0; i < model->ninputs + model->noutputs; i++)
	{
		if (in[i] != NULL)
			ort_api.ReleaseValue(in[i]);
		in[i] = NULL;
	}
	return good;
}

void
ort_terminate(OrtModel *model)
{
	Problem		ignored;

	(void) ort_succeeded(ort_api.RunOptionsSetTerminate(model->options), &ignored);
}

void
ort_resume(OrtModel *model)
{
	Problem		ignored;

	(void) ort_succeeded(ort_api.RunOptionsUnsetTerminate(model->options), &ignored);
}
