/*
 * runner.c
 *		The program modelopt_runner: runs models for one backend, apart from it.
 *
 * A model may crash the runtime, loop, or ask for all memory there is, and a
 * backend that dies takes the whole server down for a moment; this program may
 * die at any time.  The backend starts it with an empty environment and two
 * open files, a socket and the shared memory (exchange.h).  It locks itself in
 * (prison.c) before it sees a model, and goes with its backend.
 *
 *	modelopt_runner PARENT LIBRARY MEMORY
 *
 * PARENT is the backend's process number, LIBRARY the path of ONNX Runtime and
 * MEMORY a limit in bytes.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "serve/exchange.h"
#include "serve/ports.h"
#include "serve/runner/prison.h"

static Exchange *exchange;
static bool spins;

static OrtModel *models[EXCHANGE_MAX_MODELS];

/* ---------- terminating ---------- */

/* The model that runs, or NULL, under the lock. */
static OrtModel *running;
static unsigned running_request;
static pthread_mutex_t running_lock = PTHREAD_MUTEX_INITIALIZER;

static void
start_running(OrtModel *model, unsigned request)
{
	pthread_mutex_lock(&running_lock);
	running = model;
	running_request = request;
	if (atomic_load(&exchange->terminate) == request)
		ort_terminate(model);
	pthread_mutex_unlock(&running_lock);
}

static void
end_running(OrtModel *model)
{
	pthread_mutex_lock(&running_lock);
	running = NULL;
	ort_resume(model);
	pthread_mutex_unlock(&running_lock);
}

/* A thread that waits for the backend to want a request's end. */
static void *
watch_terminate(void *unused)
{
	unsigned	seen = 0;

	for (;;)
	{
		unsigned	wanted = atomic_load(&exchange->terminate);

		if (wanted == seen)
		{
			syscall(SYS_futex, &exchange->terminate, FUTEX_WAIT, seen, NULL, NULL, 0);
			continue;
		}
		seen = wanted;
		pthread_mutex_lock(&running_lock);
		if (running != NULL && running_request == wanted)
			ort_terminate(running);
		pthread_mutex_unlock(&running_lock);
	}
	return NULL;
}

/* ---------- requests ---------- */

static int	sent_file = -1;

/* Takes what woke us from the socket, with the file that may come along. */
static void
take_message(void)
{
	char		byte;
	struct iovec part = {&byte, 1};
	union
	{
		char		bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	}			control;
	struct msghdr message = {.msg_iov = &part,.msg_iovlen = 1,
	.msg_control = control.bytes,.msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header;
	ssize_t		n;

	do
	{
		n = recvmsg(RUNNER_SOCKET, &message, 0);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		_exit(0);				/* the backend has gone */
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_type == SCM_RIGHTS)
	{
		if (sent_file >= 0)
			close(sent_file);
		memcpy(&sent_file, CMSG_DATA(header), sizeof(int));
	}
}

static unsigned
wait_for_request(unsigned last)
{
	while (atomic_load_explicit(&exchange->request, memory_order_acquire) == last)
	{
		if (spins && exchange_spin(&exchange->request, last))
			break;
		atomic_store(&exchange->runner_waits, 1);
		if (atomic_load(&exchange->request) == last)
			take_message();
		atomic_store(&exchange->runner_waits, 0);
	}
	return atomic_load_explicit(&exchange->request, memory_order_acquire);
}

static void
answer(unsigned request, bool good)
{
	exchange->good = good;
	atomic_store(&exchange->answer, request);
	if (atomic_exchange(&exchange->backend_waits, 0) != 0)
		(void) !send(RUNNER_SOCKET, "a", 1, MSG_NOSIGNAL);
}

static bool
fail(const char *text)
{
	exchange->problem.code = 0;
	snprintf(exchange->problem.text, sizeof(exchange->problem.text), "%s", text);
	return false;
}

static void
unload(unsigned number)
{
	if (models[number] != NULL)
		ort_unload(models[number]);
	models[number] = NULL;
}

static bool
load(unsigned number)
{
	OrtModel   *model;
	void	   *bytes;
	uint64_t	size;

	unload(number);
	while (sent_file < 0)
		take_message();
	bytes = mmap(NULL, exchange->size, PROT_READ, MAP_PRIVATE, sent_file, 0);
	close(sent_file);
	sent_file = -1;
	if (bytes == MAP_FAILED)
		return fail("cannot map the model");
	model = ort_load(bytes, exchange->size, exchange->threads, &exchange->problem);
	munmap(bytes, exchange->size);
	if (model == NULL)
		return false;
	models[number] = model;
	size = ports_size(model);
	if (size > EXCHANGE_PART)
		return fail("the names of inputs and outputs are too long");
	ports_pack(model, (char *) exchange + EXCHANGE_OUTPUTS);
	exchange->bytes = size;
	return true;
}

static bool
run(unsigned number, unsigned request)
{
	static ServedTensor inputs[ORT_MAX_PORTS];
	static ServedTensor outputs[ORT_MAX_PORTS];
	MemoryPlace place = {{memory_take}, (char *) exchange + EXCHANGE_OUTPUTS, 0, exchange->max_output};
	OrtModel   *model = models[number];
	const Port *ports;
	bool		good;
	int			n;

	if (model == NULL)
		return fail("there is no such model");
	n = ort_ports(model, false, &ports);
	for (int i = 0; i < n; i++)
	{
		const PlacedTensor *tensor = &exchange->inputs[i];

		inputs[i].shape.type = tensor->shape.type;
		inputs[i].shape.ndim = tensor->shape.ndim;
		memcpy(inputs[i].shape.dims, tensor->shape.dims,
			   tensor->shape.ndim * sizeof(int64_t));
		inputs[i].bytes = tensor->bytes;
		inputs[i].data = (char *) exchange + EXCHANGE_INPUTS + tensor->offset;
	}
	start_running(model, request);
	good = ort_run(model, inputs, outputs, &place.place, &exchange->problem);
	end_running(model);
	if (!good)
		return false;
	n = ort_ports(model, true, &ports);
	for (int i = 0; i < n; i++)
		placed_write(&outputs[i], (char *) exchange + EXCHANGE_OUTPUTS,
					 &exchange->outputs[i]);
	exchange->noutputs = n;
	return true;
}

static bool
obey(unsigned request)
{
	if (exchange->number >= EXCHANGE_MAX_MODELS)
		return fail("there is no such model");
	switch (exchange->command)
	{
		case EXCHANGE_LOAD:
			return load(exchange->number);
		case EXCHANGE_UNLOAD:
			unload(exchange->number);
			return true;
		case EXCHANGE_RUN:
			return run(exchange->number, request);
	}
	return fail("there is no such command");
}

/* ---------- the program ---------- */

static bool
start(const char *library, uint64_t memory)
{
	pthread_t	watcher;

	if (!prison_limit(memory))
		return fail("cannot set limits");
	if (!ort_open(library, memory, &exchange->problem))
		return false;
	if (pthread_create(&watcher, NULL, watch_terminate, NULL) != 0)
		return fail("cannot start a thread");
	if (!prison_close())
		return fail("cannot lock the program in");
	return true;
}

int
main(int argc, char **argv)
{
	unsigned	request = 1;
	bool		good;

	if (argc != 4)
		return 2;
	prison_follow(atoi(argv[1]));
	exchange = mmap(NULL, EXCHANGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
					RUNNER_MEMORY, 0);
	if (exchange == MAP_FAILED)
		return 3;
	close(RUNNER_MEMORY);
	spins = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	good = start(argv[2], strtoull(argv[3], NULL, 10));
	answer(request, good);
	while (good)
	{
		request = wait_for_request(request);
		answer(request, obey(request));
	}
	return 1;
}
