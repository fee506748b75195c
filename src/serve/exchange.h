/*
 * exchange.h
 *		The memory that a backend and its runner share, and the rules of it.
 *
 * The backend writes a request, raises Exchange.request and wakes the runner;
 * the runner writes the answer, raises Exchange.answer to the same number and
 * wakes the backend.  There is one request at a time.  Who waits says so, and
 * is woken by a byte through the socket; who does not is not, so that a short
 * run costs no system call on either side.
 *
 * A model's bytes come as a file descriptor through the socket, with the byte
 * that wakes.  All else is in this memory: after the struct, a part for what
 * goes in, and one for what comes out.  Neither side trusts it more than it
 * must: the runner may have been taken over by a model, so the backend takes
 * each number once and checks the copy.
 *
 * Pure C without the server; shared by both programs.
 */
#ifndef MODELOPT_SERVE_EXCHANGE_H
#define MODELOPT_SERVE_EXCHANGE_H

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "serve/ort.h"

#define EXCHANGE_MAX_MODELS 256 /* loaded at once */

/* What the runner finds open when it starts. */
#define RUNNER_SOCKET	3
#define RUNNER_MEMORY	4

typedef enum ExchangeCommand
{
	EXCHANGE_LOAD = 1,			/* number, threads; a file descriptor comes */
	EXCHANGE_UNLOAD,			/* number */
	EXCHANGE_RUN,				/* number, inputs */
} ExchangeCommand;

typedef struct Exchange
{
	atomic_uint request;
	atomic_uint answer;
	atomic_uint runner_waits;
	atomic_uint backend_waits;
	atomic_uint terminate;		/* the request that is to end early */

	/* the request */
	uint32_t	command;
	uint32_t	number;			/* of the model, among those of the backend */
	uint32_t	threads;
	uint64_t	size;			/* of the model that comes */
	uint64_t	max_output;		/* bytes of what comes out */

	/* the answer */
	uint32_t	good;
	uint32_t	noutputs;
	uint64_t	bytes;			/* of the ports of a loaded model */
	Problem		problem;

	PlacedTensor inputs[ORT_MAX_PORTS]; /* in the parts */
	PlacedTensor outputs[ORT_MAX_PORTS];
} Exchange;

/* Where the parts start, and where the memory ends: it is reserved, and taken
 * as it is used. */
#define EXCHANGE_PART	((uint64_t) 1 << 30)
#define EXCHANGE_INPUTS ((uint64_t) 1 << 20)
#define EXCHANGE_OUTPUTS (EXCHANGE_INPUTS + EXCHANGE_PART)
#define EXCHANGE_SIZE	(EXCHANGE_OUTPUTS + EXCHANGE_PART)

_Static_assert(sizeof(Exchange) <= EXCHANGE_INPUTS, "the struct fits before the parts");

/* How long to look again and again before waiting: about what a small model
 * takes, and less than what it takes to wait and be woken. */
#define EXCHANGE_SPIN_NS	50000

static inline void
exchange_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static inline int64_t
exchange_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Whether a counter becomes another number soon.  Whoever else wants this
 * processor, perhaps the one that is waited for, gets it in between. */
static inline bool
exchange_spin(atomic_uint *counter, unsigned old)
{
	int64_t		end = exchange_clock() + EXCHANGE_SPIN_NS;

	do
	{
		for (int i = 0; i < 32; i++)
		{
			if (atomic_load_explicit(counter, memory_order_acquire) != old)
				return true;
			exchange_pause();
		}
		sched_yield();
	} while (exchange_clock() < end);
	return false;
}

#endif							/* MODELOPT_SERVE_EXCHANGE_H */
