/*
 * ort.c
 *		The binding to ONNX Runtime.
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

#include "serve/ort_api.h"

/* The oldest library whose optimizer keeps to the allocator's limit. */
#define FIRST_BOUNDED_OPTIMIZER 24

static struct
{
#define MEMBER(slot, result, name, arguments) result (*name) arguments;
	ORT_FUNCTIONS(MEMBER)
#undef MEMBER
}			api;

static struct
{
	OrtEnv	   *env;
	OrtMemoryInfo *memory;
	OrtAllocator *allocator;	/* the default one, for names and strings */
	const char *version;
	int			minor;
}			runtime;

struct OrtModel
{
	OrtSession *session;
	OrtRunOptions *options;
	int			ninputs;
	int			noutputs;
	Port	   *ports;			/* inputs, then outputs */
	const char **names;			/* of the ports */
	OrtValue  **values;			/* likewise, during a run */
};

/* ---------- failures ---------- */

static bool
fail(Problem *problem, const char *text)
{
	problem->code = 0;
	snprintf(problem->text, sizeof(problem->text), "%s", text);
	return false;
}

/* Whether a call went well; frees its status. */
static bool
succeeded(OrtStatus *status, Problem *problem)
{
	if (status == NULL)
		return true;
	problem->code = api.GetErrorCode(status);
	snprintf(problem->text, sizeof(problem->text), "%s",
			 api.GetErrorMessage(status));
	api.ReleaseStatus(status);
	return false;
}

/* ---------- sizes ---------- */

int
element_bits(int type)
{
	static const unsigned char bits[] = {
		[ELEMENT_F32] = 32,[ELEMENT_U8] = 8,[ELEMENT_I8] = 8,
		[ELEMENT_U16] = 16,[ELEMENT_I16] = 16,[ELEMENT_I32] = 32,
		[ELEMENT_I64] = 64,[ELEMENT_BOOL] = 8,[ELEMENT_F16] = 16,
		[ELEMENT_F64] = 64,[ELEMENT_U32] = 32,[ELEMENT_U64] = 64,
		[ELEMENT_BF16] = 16,[ELEMENT_F8E4M3FN] = 8,
		[ELEMENT_F8E4M3FNUZ] = 8,[ELEMENT_F8E5M2] = 8,
		[ELEMENT_F8E5M2FNUZ] = 8,[ELEMENT_U4] = 4,[ELEMENT_I4] = 4,
	};

	return type > 0 && type < (int) sizeof(bits) ? bits[type] : 0;
}

bool
shape_elements(const TensorShape *shape, int64_t *count)
{
	int64_t		n = 1;

	if (shape->ndim < 0 || shape->ndim > ORT_MAX_DIMS)
		return false;
	for (int i = 0; i < shape->ndim; i++)
		if (shape->dims[i] < 0 ||
			__builtin_mul_overflow(n, shape->dims[i], &n))
			return false;
	*count = n;
	return true;
}

bool
elements_bytes(int type, int64_t count, uint64_t *bytes)
{
	uint64_t	bits;

	if (element_bits(type) == 0 ||
		__builtin_mul_overflow((uint64_t) count, (uint64_t) element_bits(type), &bits))
		return false;
	*bytes = bits / 8 + (bits % 8 != 0);
	return true;
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
		return fail(problem, dlerror());
	*(void **) &get_base = dlsym(handle, "OrtGetApiBase");
	if (get_base == NULL)
		return fail(problem, "it is not ONNX Runtime: it has no function OrtGetApiBase");
	base = get_base();
	runtime.version = base->GetVersionString();
	if (sscanf(runtime.version, "1.%d", &runtime.minor) != 1 ||
		runtime.minor < ORT_API_VERSION)
	{
		snprintf(problem->text, sizeof(problem->text),
				 "its version is %s, and at least 1.%d is needed",
				 runtime.version, ORT_API_VERSION);
		problem->code = 0;
		return false;
	}
	table = base->GetApi(ORT_API_VERSION);
	if (table == NULL)
		return fail(problem, "it has not the version of the API that it should have");
#define BIND(slot, result, name, arguments) \
	memcpy(&api.name, &table[slot], sizeof(void *));
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

	if (!succeeded(api.CreateArenaCfgV2(keys, values, 2, &config), problem))
		return false;
	good = succeeded(api.CreateCpuMemoryInfo(ORT_ARENA_ALLOCATOR,
											 ORT_MEMORY_DEFAULT, &arena), problem) &&
		succeeded(api.CreateAndRegisterAllocator(runtime.env, arena, config), problem);
	if (arena != NULL)
		api.ReleaseMemoryInfo(arena);
	api.ReleaseArenaCfg(config);
	return good;
}

static bool
make_environment(uint64_t memory_limit, Problem *problem)
{
	OrtEnv	   *env;
	Problem		ignored;

	if (!succeeded(api.CreateEnvWithCustomLogger(ignore_log, NULL, ORT_LOG_ERROR,
												 "modelopt", &env), problem))
		return false;
	runtime.env = env;
	(void) succeeded(api.DisableTelemetryEvents(env), &ignored);
	return make_allocator(memory_limit, problem) &&
		succeeded(api.GetAllocatorWithDefaultOptions(&runtime.allocator), problem) &&
		succeeded(api.CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR,
										  ORT_MEMORY_DEFAULT, &runtime.memory), problem);
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
	if (runtime.memory == NULL)
		good = bind_library(library, problem) &&
			make_environment(memory_limit, problem);
	restore_signals(&signals);
	return good;
}

const char *
ort_version(void)
{
	return runtime.version;
}

/* ---------- loading ---------- */

static bool
describe_tensor(const OrtTypeInfo *info, Port *port, Problem *problem)
{
	const OrtTensorInfo *tensor;
	const char *symbols[ORT_MAX_DIMS];	/* belong to the type, which goes */
	size_t		ndim;

	if (!succeeded(api.CastTypeInfoToTensorInfo(info, &tensor), problem) ||
		!succeeded(api.GetTensorElementType(tensor, &port->type), problem) ||
		!succeeded(api.GetDimensionsCount(tensor, &ndim), problem))
		return false;
	if (ndim > ORT_MAX_DIMS)
		return fail(problem, "a tensor of the model has too many dimensions");
	port->ndim = ndim;
	port->dims = calloc(ndim + 1, sizeof(int64_t));
	port->symbols = calloc(ndim + 1, sizeof(char *));
	if (port->dims == NULL || port->symbols == NULL)
		return fail(problem, "out of memory");
	if (!succeeded(api.GetDimensions(tensor, port->dims, ndim), problem) ||
		!succeeded(api.GetSymbolicDimensions(tensor, symbols, ndim), problem))
		return false;
	for (size_t i = 0; i < ndim; i++)
	{
		port->symbols[i] = strdup(symbols[i] != NULL ? symbols[i] : "");
		if (port->symbols[i] == NULL)
			return fail(problem, "out of memory");
	}
	return true;
}

static bool
describe_port(const OrtModel *model, bool output, int i, Port *port,
			  Problem *problem)
{
	OrtTypeInfo *info;
	char	   *name;
	bool		good;

	if (!succeeded((output ? api.SessionGetOutputName : api.SessionGetInputName)
				   (model->session, i, runtime.allocator, &name), problem))
		return false;
	port->name = strdup(name);
	(void) succeeded(api.AllocatorFree(runtime.allocator, name), problem);
	if (port->name == NULL)
		return fail(problem, "out of memory");
	if (!succeeded((output ? api.SessionGetOutputTypeInfo : api.SessionGetInputTypeInfo)
				   (model->session, i, &info), problem))
		return false;
	good = succeeded(api.GetOnnxTypeFromTypeInfo(info, &port->kind), problem) &&
		(port->kind != PORT_TENSOR || describe_tensor(info, port, problem));
	api.ReleaseTypeInfo(info);
	return good;
}

static bool
describe_ports(OrtModel *model, Problem *problem)
{
	size_t		ninputs,
				noutputs;

	if (!succeeded(api.SessionGetInputCount(model->session, &ninputs), problem) ||
		!succeeded(api.SessionGetOutputCount(model->session, &noutputs), problem))
		return false;
	if (ninputs > ORT_MAX_PORTS || noutputs > ORT_MAX_PORTS)
		return fail(problem, "the model has too many inputs or outputs");
	model->ports = calloc(ninputs + noutputs + 1, sizeof(Port));
	model->names = calloc(ninputs + noutputs + 1, sizeof(char *));
	model->values = calloc(ninputs + noutputs + 1, sizeof(OrtValue *));
	if (model->ports == NULL || model->names == NULL || model->values == NULL)
		return fail(problem, "out of memory");
	model->ninputs = ninputs;
	model->noutputs = noutputs;
	for (int i = 0; i < model->ninputs + model->noutputs; i++)
	{
		bool		output = i >= model->ninputs;

		if (!describe_port(model, output, output ? i - model->ninputs : i,
						   &model->ports[i], problem))
			return false;
		model->names[i] = model->ports[i].name;
	}
	return true;
}

static bool
set_up(OrtSessionOptions *options, int threads, Problem *problem)
{
	return succeeded(api.SetSessionExecutionMode(options, ORT_SEQUENTIAL), problem) &&
		succeeded(api.SetIntraOpNumThreads(options, threads), problem) &&
		succeeded(api.SetInterOpNumThreads(options, 1), problem) &&
		succeeded(api.SetSessionLogSeverityLevel(options, ORT_LOG_ERROR), problem) &&
		succeeded(api.SetSessionGraphOptimizationLevel(options,
													   runtime.minor < FIRST_BOUNDED_OPTIMIZER ?
													   ORT_OPTIMIZE_NOTHING : ORT_OPTIMIZE_EXTENDED), problem) &&
		succeeded(api.AddSessionConfigEntry(options, "session.load_model_format", "ONNX"), problem) &&
		succeeded(api.AddSessionConfigEntry(options, "session.use_env_allocators", "1"), problem) &&
		succeeded(api.AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"), problem);
}

static bool
create_session(OrtModel *model, const void *bytes, size_t size, int threads,
			   Problem *problem)
{
	OrtSessionOptions *options;
	bool		good;

	if (!succeeded(api.CreateSessionOptions(&options), problem))
		return false;
	good = set_up(options, threads, problem) &&
		succeeded(api.CreateSessionFromArray(runtime.env, bytes, size, options,
											 &model->session), problem);
	api.ReleaseSessionOptions(options);
	return good && succeeded(api.CreateRunOptions(&model->options), problem);
}

OrtModel *
ort_load(const void *bytes, size_t size, int threads, Problem *problem)
{
	OrtModel   *model = calloc(1, sizeof(OrtModel));
	sigset_t	signals;
	bool		good;

	if (model == NULL)
	{
		fail(problem, "out of memory");
		return NULL;
	}
	block_signals(threads, &signals);
	good = create_session(model, bytes, size, threads, problem) &&
		describe_ports(model, problem);
	restore_signals(&signals);
	if (good)
		return model;
	ort_unload(model);
	return NULL;
}

static void
free_port(Port *port)
{
	free((void *) port->name);
	if (port->symbols != NULL)
		for (int i = 0; i < port->ndim; i++)
			free((void *) port->symbols[i]);
	free(port->symbols);
	free(port->dims);
}

void
ort_unload(OrtModel *model)
{
	if (model->ports != NULL)
		for (int i = 0; i < model->ninputs + model->noutputs; i++)
			free_port(&model->ports[i]);
	free(model->ports);
	free(model->names);
	free(model->values);
	if (model->options != NULL)
		api.ReleaseRunOptions(model->options);
	if (model->session != NULL)
		api.ReleaseSession(model->session);
	free(model);
}

int
ort_ports(const OrtModel *model, bool outputs, const Port **ports)
{
	*ports = outputs ? model->ports + model->ninputs : model->ports;
	return outputs ? model->noutputs : model->ninputs;
}

/* ---------- running ---------- */

static bool
fill_strings(OrtValue *value, const ServedTensor *tensor, int64_t count,
			 Problem *problem)
{
	const uint64_t *offsets = tensor->data;
	const char *bytes = (const char *) (offsets + count + 1);
	const char **strings = calloc(count + 1, sizeof(char *));
	bool		good;

	if (strings == NULL)
		return fail(problem, "out of memory");
	for (int64_t i = 0; i < count; i++)
		strings[i] = bytes + offsets[i];
	good = succeeded(api.FillStringTensor(value, strings, count), problem);
	free(strings);
	return good;
}

static bool
make_input(const ServedTensor *tensor, OrtValue **value, Problem *problem)
{
	const TensorShape *shape = &tensor->shape;
	int64_t		count;

	if (!shape_elements(shape, &count))
		return fail(problem, "an input has no shape");
	if (shape->type != ELEMENT_STRING)
		return succeeded(api.CreateTensorWithDataAsOrtValue(runtime.memory,
															tensor->data,
															tensor->bytes,
															shape->dims, shape->ndim,
															shape->type, value), problem);
	return succeeded(api.CreateTensorAsOrtValue(runtime.allocator, shape->dims,
												shape->ndim, shape->type, value), problem) &&
		fill_strings(*value, tensor, count, problem);
}

/* The runtime gives offsets without the last one, which is where all end. */
static bool
take_strings(OrtValue *value, int64_t count, ServedTensor *tensor,
			 TensorPlace *place, Problem *problem)
{
	size_t		length;
	uint64_t	head;
	uint64_t   *offsets;

	if (!succeeded(api.GetStringTensorDataLength(value, &length), problem))
		return false;
	if (__builtin_mul_overflow((uint64_t) count + 1, sizeof(uint64_t), &head) ||
		__builtin_add_overflow(head, (uint64_t) length, &tensor->bytes))
		return fail(problem, "an output is too large");
	offsets = tensor->data = place->take(place, tensor->bytes);
	if (offsets == NULL)
		return fail(problem, "an output is larger than modelopt.max_output_bytes allows");
	offsets[count] = length;
	return count == 0 ||
		succeeded(api.GetStringTensorContent(value, (char *) offsets + head,
											 length, (size_t *) offsets, count), problem);
}

static bool
take_elements(OrtValue *value, int64_t count, ServedTensor *tensor,
			  TensorPlace *place, Problem *problem)
{
	void	   *data;

	if (!elements_bytes(tensor->shape.type, count, &tensor->bytes))
		return fail(problem, "an output has elements of a type that is not supported");
	if (!succeeded(api.GetTensorMutableData(value, &data), problem))
		return false;
	tensor->data = place->take(place, tensor->bytes);
	if (tensor->data == NULL)
		return fail(problem, "an output is larger than modelopt.max_output_bytes allows");
	if (tensor->bytes > 0)
		memcpy(tensor->data, data, tensor->bytes);
	return true;
}

static bool
read_shape(OrtValue *value, TensorShape *shape, Problem *problem)
{
	OrtTensorInfo *info;
	size_t		ndim = 0;
	bool		good;

	if (!succeeded(api.GetTensorTypeAndShape(value, &info), problem))
		return false;
	good = succeeded(api.GetTensorElementType(info, &shape->type), problem) &&
		succeeded(api.GetDimensionsCount(info, &ndim), problem);
	if (good && ndim > ORT_MAX_DIMS)
		good = fail(problem, "an output has too many dimensions");
	shape->ndim = ndim;
	good = good && succeeded(api.GetDimensions(info, shape->dims, ndim), problem);
	api.ReleaseTensorTypeAndShapeInfo(info);
	return good;
}

static bool
take_output(OrtValue *value, ServedTensor *tensor, TensorPlace *place,
			Problem *problem)
{
	int			kind = 0;
	int64_t		count;

	memset(tensor, 0, sizeof(*tensor));
	if (value == NULL)
		return true;
	if (!succeeded(api.GetValueType(value, &kind), problem))
		return false;
	if (kind != PORT_TENSOR)
		return true;
	if (!read_shape(value, &tensor->shape, problem))
		return false;
	if (!shape_elements(&tensor->shape, &count))
		return fail(problem, "an output is too large");
	if (tensor->shape.type == ELEMENT_STRING)
		return take_strings(value, count, tensor, place, problem);
	return take_elements(value, count, tensor, place, problem);
}

bool
ort_run(OrtModel *model, const ServedTensor *inputs, ServedTensor *outputs,
		TensorPlace *place, Problem *problem)
{
	OrtValue  **in = model->values;
	OrtValue  **out = in + model->ninputs;
	bool		good = true;

	for (int i = 0; good && i < model->ninputs; i++)
		good = make_input(&inputs[i], &in[i], problem);
	good = good && succeeded(api.Run(model->session, model->options, model->names,
									 (const OrtValue *const *) in, model->ninputs,
									 model->names + model->ninputs, model->noutputs, out), problem);
	for (int i = 0; good && i < model->noutputs; i++)
		good = take_output(out[i], &outputs[i], place, problem);
	for (int i = 0; i < model->ninputs + model->noutputs; i++)
	{
		if (in[i] != NULL)
			api.ReleaseValue(in[i]);
		in[i] = NULL;
	}
	return good;
}

void
ort_terminate(OrtModel *model)
{
	Problem		ignored;

	(void) succeeded(api.RunOptionsSetTerminate(model->options), &ignored);
}

void
ort_resume(OrtModel *model)
{
	Problem		ignored;

	(void) succeeded(api.RunOptionsUnsetTerminate(model->options), &ignored);
}
