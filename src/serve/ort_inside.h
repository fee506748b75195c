/*
 * ort_inside.h
 *		What the files of the binding to ONNX Runtime share.
 *
 * Private to src/serve/ort*.c.
 */
#ifndef MODELOPT_SERVE_ORT_INSIDE_H
#define MODELOPT_SERVE_ORT_INSIDE_H

#include "serve/ort.h"
#include "serve/ort_api.h"

typedef struct OrtFunctions
{
#define MEMBER(slot, result, name, arguments) result (*name) arguments;
	ORT_FUNCTIONS(MEMBER)
#undef MEMBER
} OrtFunctions;

typedef struct OrtRuntime
{
	OrtEnv	   *env;
	OrtMemoryInfo *memory;
	OrtAllocator *allocator;	/* the default one, for names and strings */
	const char *version;
	int			minor;
} OrtRuntime;

extern OrtFunctions ort_api;
extern OrtRuntime ort_runtime;

/* ---------- ort.c ---------- */

/* Says in a problem what went wrong; false. */
extern bool ort_fail(Problem *problem, const char *text);

/* Whether a call went well; frees its status. */
extern bool ort_succeeded(OrtStatus *status, Problem *problem);

extern bool ort_create_session(const void *bytes, size_t size, int threads,
							   OrtSession **session, Problem *problem);

/* ---------- ort_ports.c ---------- */

extern bool ort_describe_port(const OrtSession *session, bool output, int i,
							  Port *port, Problem *problem);
extern void ort_free_port(Port *port);

/* ---------- ort_values.c ---------- */

/* A value as the runtime has it, to be released; it may lie in the same memory,
 * which must stay as long. */
extern bool ort_make_value(const ServedTensor *tensor, const Port *port,
						   OrtValue **value, Problem *problem);

/* The other way: what the runtime gave, NULL for nothing, into a place. */
extern bool ort_take_value(OrtValue *value, const Port *port,
						   ServedTensor *tensor, TensorPlace *place,
						   Problem *problem);

#endif							/* MODELOPT_SERVE_ORT_INSIDE_H */
