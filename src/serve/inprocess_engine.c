/*
 * inprocess_engine.c
 *		ONNX Runtime in the backend itself.
 *
 * For models that are trusted, and the last microseconds: a model that crashes
 * the runtime here takes the server down.  The runtime looks at its flag to
 * stop only between nodes, so a thread that watches for interrupts raises that
 * flag.  The thread takes no signals and calls nothing of the server.
 */
#include "postgres.h"

#include "compat.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "miscadmin.h"
#include "serve/engine.h"
#include "serve/ports.h"
#include "utils/memutils.h"

#define WATCH_US		5000	/* between looks for interrupts */
#define WATCH_IDLE		400		/* looks without a run before it sleeps */

static struct
{
	bool		open;
	bool		poisoned;		/* an error jumped out of the runtime */
	char	   *runtime;		/* the library that is open */
	int			memory_limit;	/* kilobytes */
	OrtModel   *models[EXCHANGE_MAX_MODELS];
	char	   *inputs;			/* EXCHANGE_PART bytes, taken as used */
	char	   *outputs;
	uint64		outputs_used;	/* at most, since they were trimmed */
	char	   *ports;			/* of the model loaded last */

	/* the run that was asked for last */
	OrtModel   *model;
	const ServedTensor *tensors;
}			local;

/* ---------- the thread that watches for interrupts ---------- */

static struct
{
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool		started;
	bool		asleep;
	OrtModel   *running;
	bool		stopped;		/* what runs was asked to stop */
}			watch = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

static void *
watch_interrupts(void *unused)
{
	int			idle = 0;

	pthread_mutex_lock(&watch.lock);
	for (;;)
	{
		if (watch.running != NULL)
		{
			idle = 0;
			if (InterruptPending && !watch.stopped)
				ort_terminate(watch.running);
			watch.stopped |= InterruptPending;
		}
		else if (++idle > WATCH_IDLE)
		{
			watch.asleep = true;
			while (watch.running == NULL)
				pthread_cond_wait(&watch.wake, &watch.lock);
			watch.asleep = false;
			idle = 0;
		}
		pthread_mutex_unlock(&watch.lock);
		usleep(WATCH_US);
		pthread_mutex_lock(&watch.lock);
	}
	return NULL;
}

static void
start_watching(void)
{
	pthread_t	thread;
	sigset_t	all,
				previous;
	int			result;

	if (watch.started)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &previous);
	result = pthread_create(&thread, NULL, watch_interrupts, NULL);
	pthread_sigmask(SIG_SETMASK, &previous, NULL);
	if (result != 0)
	{
		errno = result;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a thread: %m")));
	}
	watch.started = true;
}

static void
watch_run(OrtModel *model)
{
	pthread_mutex_lock(&watch.lock);
	watch.running = model;
	watch.stopped = false;
	if (watch.asleep)
		pthread_cond_signal(&watch.wake);
	pthread_mutex_unlock(&watch.lock);
}

/* The model runs no more; whether it was asked to stop, which may well have
 * been too late for this run, and must not be for the next one. */
static bool
end_watch(OrtModel *model)
{
	bool		stopped;

	pthread_mutex_lock(&watch.lock);
	watch.running = NULL;
	stopped = watch.stopped;
	if (stopped)
		ort_resume(model);
	pthread_mutex_unlock(&watch.lock);
	return stopped;
}

/* ---------- the engine ---------- */

static char *
reserve(void)
{
	void	   *start = mmap(NULL, EXCHANGE_PART, PROT_READ | PROT_WRITE,
							 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not reserve memory for tensors: %m")));
	return start;
}

static void
refuse_poisoned(void)
{
	if (local.poisoned)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ONNX Runtime is not usable any more in this session"),
				 errdetail("A model made it fail while it ran in the server's process."),
				 errhint("Start another session, and run that model with modelopt.run_mode = isolated.")));
}

static bool
inprocess_start(void)
{
	Problem		problem;

	refuse_poisoned();
	if (local.open)
	{
		if (local.memory_limit != serve_memory_limit)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("modelopt.run_memory_limit cannot change any more in this session"),
					 errdetail("ONNX Runtime is open in the server's process with a limit of %d kB.",
							   local.memory_limit),
					 errhint("Start another session, or set the limit back.")));
		if (strcmp(local.runtime, serve_library) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("another library of ONNX Runtime is open in this session"),
					 errdetail("It is \"%s\".", local.runtime),
					 errhint("Start another session.")));
		return true;
	}
	start_watching();
	if (local.inputs == NULL)
		local.inputs = reserve();
	if (local.outputs == NULL)
		local.outputs = reserve();
	if (!ort_open(serve_library, (uint64) serve_memory_limit * 1024, &problem))
		engine_missing(&problem);
	local.runtime = MemoryContextStrdup(TopMemoryContext, serve_library);
	local.memory_limit = serve_memory_limit;
	local.open = true;
	return false;
}

static void
inprocess_unload(uint32 number)
{
	if (local.models[number] != NULL && !local.poisoned)
		ort_unload(local.models[number]);
	local.models[number] = NULL;
}

/*
 * The server raises an error in its handler of SIGFPE, which then jumps out of
 * the runtime and leaves it in no state to be used again.
 */
static bool
guarded_run(OrtModel *model, const ServedTensor *inputs, ServedTensor *outputs,
			TensorPlace *place, bool *stopped, Problem *problem)
{
	volatile bool good = false;

	watch_run(model);
	PG_TRY();
	{
		good = ort_run(model, inputs, outputs, place, problem);
	}
	PG_CATCH();
	{
		local.poisoned = true;
		(void) end_watch(model);
		PG_RE_THROW();
	}
	PG_END_TRY();
	*stopped = end_watch(model);
	return good;
}

static const char *
inprocess_load(uint32 number, int file, uint64 size, int threads,
			   uint64 *ports_size_out)
{
	Problem		problem;
	OrtModel   *volatile model = NULL;
	sigset_t	signals;
	void	   *bytes;

	inprocess_unload(number);
	bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
	if (bytes == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map a model: %m")));
	(void) sigprocmask(SIG_SETMASK, NULL, &signals);
	PG_TRY();
	{
		model = ort_load(bytes, size, threads, &problem);
	}
	PG_CATCH();
	{
		local.poisoned = true;
		(void) sigprocmask(SIG_SETMASK, &signals, NULL);
		munmap(bytes, size);
		PG_RE_THROW();
	}
	PG_END_TRY();
	munmap(bytes, size);
	if (model == NULL)
		engine_failed("load", &problem);
	local.models[number] = model;
	*ports_size_out = ports_size(model);
	if (local.ports != NULL)
		pfree(local.ports);
	local.ports = NULL;
	local.ports = MemoryContextAlloc(TopMemoryContext, *ports_size_out);
	ports_pack(model, local.ports);
	return local.ports;
}

static char *
inprocess_inputs(void)
{
	return local.inputs;
}

/* Nothing runs beside the backend: it does when the outputs are wanted. */
static void
inprocess_send(uint32 number, const ServedTensor *inputs, int ninputs)
{
	local.model = local.models[number];
	local.tensors = inputs;
}

static void
inprocess_abandon(void)
{
}

static int
inprocess_receive(ServedTensor *outputs)
{
	OrtModel   *model = local.model;
	MemoryPlace place = {{memory_take}, local.outputs, 0, Min((uint64) serve_max_output * 1024, EXCHANGE_PART)};
	const Port *ports;
	Problem		problem;
	bool		good;
	bool		stopped;

	refuse_poisoned();
	do
	{
		place.used = 0;
		good = guarded_run(model, local.tensors, outputs, &place.place, &stopped, &problem);
		local.outputs_used = Max(local.outputs_used, place.used);
		CHECK_FOR_INTERRUPTS();
		/* What interrupted it may have asked for something else than its end. */
	} while (!good && stopped && INTERRUPTS_CAN_BE_PROCESSED());
	if (!good)
		engine_failed("run", &problem);
	return ort_ports(model, true, &ports);
}

static void
give_back(char *part, uint64 used, uint64 above)
{
	if (used > above)
		(void) madvise(part + above, EXCHANGE_PART - above, MADV_DONTNEED);
}

static void
inprocess_trim(uint64 inputs, uint64 above)
{
	give_back(local.inputs, inputs, above);
	give_back(local.outputs, local.outputs_used, above);
	local.outputs_used = 0;
}

const Engine engine_inprocess = {
	inprocess_start, inprocess_load, inprocess_unload, inprocess_inputs,
	inprocess_send, inprocess_receive, inprocess_abandon, inprocess_trim
};
