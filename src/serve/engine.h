/*
 * engine.h
 *		What runs models: the runner, or the runtime in this process.
 *
 * Private to src/serve.  Both are used in the same way: bytes of an ONNX model
 * are loaded under a number, and tensors lie in memory that the engine gives.
 * All raise errors with SQLSTATE 38000 for what the model did, and others for
 * what is wrong around it.
 */
#ifndef MODELOPT_SERVE_ENGINE_H
#define MODELOPT_SERVE_ENGINE_H

#include "compat.h"
#include "serve/exchange.h"
#include "serve/serve.h"

typedef struct Engine
{
	/* Makes it ready; false when what was loaded before is gone. */
	bool		(*start) (void);

	/* Loads the bytes of a file in memory; returns packed ports, which are
	 * there until the next call. */
	const char *(*load) (uint32 number, int file, uint64 size, int threads,
						 uint64 *ports_size);
	void		(*unload) (uint32 number);

	/* Where tensors of the next run go, EXCHANGE_PART bytes. */
	char	   *(*inputs) (void);

	/* Starts a run.  Until it has ended or been abandoned, nothing else may be
	 * asked for, and inputs stay as they are. */
	void		(*send) (uint32 number, const ServedTensor *inputs, int ninputs);

	/* Waits for its end; fills outputs, of which there is room for
	 * ORT_MAX_PORTS. */
	int			(*receive) (ServedTensor *outputs);

	/* Ends it: nobody wants the outputs any more. */
	void		(*abandon) (void);

	/* Gives memory of large tensors back, but for so many bytes of inputs and as
	 * many of outputs; inputs had that many at most. */
	void		(*trim) (uint64 inputs, uint64 above);
} Engine;

extern const Engine engine_runner;	/* runner_engine.c */
extern const Engine engine_inprocess;	/* inprocess_engine.c */

/* Raises what the runtime said.  (engine.c) */
pg_noreturn extern void engine_failed(const char *doing, const Problem *problem);

/* Raises that there is no runtime. */
pg_noreturn extern void engine_missing(const Problem *problem);

#endif							/* MODELOPT_SERVE_ENGINE_H */
