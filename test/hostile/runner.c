/*
 * runner.c
 *		A runner that a model has taken over: it takes the place of
 *		modelopt_runner and answers whatever harms the backend most.
 *
 * What it does is the name of the library that it is to open:
 *
 *	flood	sends forever and never answers a run
 *	deaf	never takes a message, and always says that it waits for one
 *	counts	says it gave 2^31 outputs
 *	past	gives a tensor that reaches past the end of the memory
 *	other	gives bytes where it had said there would be doubles
 *	text	gives bytes where it had said there would be strings
 *	ports	says that the names of its ports are longer than what it sent
 *	grows	has many more inputs when it loads a model for the fifth time
 *	good	none of this: x f32[N, 2] to y f32[N], all ones
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/exchange.h"

static Exchange *exchange;
static const char *mode;
static int	loads;

static bool
is(const char *name)
{
	return strcmp(mode, name) == 0;
}

static void *
flood(void *unused)
{
	for (;;)
		send(RUNNER_SOCKET, "a", 1, MSG_NOSIGNAL);
	return NULL;
}

static char *
put_int(char *at, int32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static char *
put_name(char *at, const char *name)
{
	at = put_int(at, strlen(name));
	memcpy(at, name, strlen(name));
	return at + strlen(name);
}

/* A tensor of two dimensions, or of one. */
static char *
put_port(char *at, const char *name, int type, int ndim)
{
	int64_t		dims[] = {-1, 2};

	at = put_name(at, name);
	at = put_int(at, PORT_TENSOR);
	at = put_int(at, type);
	at = put_int(at, ndim);
	memcpy(at, dims, ndim * sizeof(int64_t));
	at += ndim * sizeof(int64_t);
	for (int i = 0; i < ndim; i++)
		at = put_name(at, "");
	return at;
}

static void
load(void)
{
	char	   *start = (char *) exchange + EXCHANGE_OUTPUTS;
	char	   *at = start;
	char	   *last;
	int			ninputs = is("grows") && loads++ >= 4 ? 900 : 1;

	at = put_int(at, ninputs);
	for (int i = 0; i < ninputs; i++)
		at = put_port(at, "x", ELEMENT_F32, 2);
	at = put_int(at, 1);
	last = at;
	at = put_port(at, "y", is("other") ? ELEMENT_F64 : is("text") ? ELEMENT_STRING : ELEMENT_F32, 1);
	if (is("ports"))
		put_int(last, 0x7ffffffe);
	exchange->bytes = at - start;
}

static void
run(void)
{
	PlacedTensor *y = &exchange->outputs[0];
	int64_t		rows = exchange->inputs[0].shape.dims[0];
	bool		is_bytes = is("other") || is("text");
	float	   *ones = (float *) ((char *) exchange + EXCHANGE_OUTPUTS);

	exchange->noutputs = is("counts") ? 0x80000000 : 1;
	y->shape.type = is_bytes ? ELEMENT_U8 : ELEMENT_F32;
	y->shape.ndim = 1;
	y->shape.dims[0] = rows;
	y->bytes = rows * (is_bytes ? 1 : sizeof(float));
	/* Eight times as many bytes would not be there. */
	y->offset = is_bytes ? exchange->max_output - 64 : 0;
	if (is("past"))
		y->offset = EXCHANGE_PART - 64 + ((uint64_t) 1 << 40);
	for (int64_t i = 0; i < rows; i++)
		if (is_bytes)
			((char *) exchange)[EXCHANGE_OUTPUTS + y->offset + i] = 1;
		else
			ones[i] = 1;
	if (is("flood"))
		for (;;)
			pause();
}

int
main(int argc, char **argv)
{
	unsigned	request = 1;
	pthread_t	thread;

	mode = argv[2];
	exchange = mmap(NULL, EXCHANGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, RUNNER_MEMORY, 0);
	if (is("flood"))
		pthread_create(&thread, NULL, flood, NULL);
	exchange->good = 1;
	for (;;)
	{
		atomic_store(&exchange->answer, request);
		send(RUNNER_SOCKET, "a", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (atomic_store(&exchange->runner_waits, 1), atomic_load(&exchange->request) == request)
		{
			char		byte;

			if (is("deaf"))
				usleep(50);
			else if (recv(RUNNER_SOCKET, &byte, 1, 0) <= 0)
				return 0;
			if (getppid() != atoi(argv[1]))
				return 0;
		}
		request = atomic_load(&exchange->request);
		if (exchange->command == EXCHANGE_LOAD)
			load();
		else if (exchange->command == EXCHANGE_RUN)
			run();
		exchange->good = 1;
	}
}
