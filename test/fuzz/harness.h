/*
 * harness.h
 *		What the targets share: attempts, buffers, and checks of results.
 */
#ifndef FUZZ_HARNESS_H
#define FUZZ_HARNESS_H

#include "postgres.h"

#include "format/format.h"
#include "model/model.h"
#include "server.h"

/*
 * Bytes as a function in the server gets them.  OFFSET says where they lie
 * after an address that is a multiple of 16: a bytea's start at an odd address
 * when it is short, a model's length word at a multiple of 8.
 */
#define HARNESS_BYTEA_OFFSET	5
#define HARNESS_MODEL_OFFSET	8

extern char *harness_copy(const void *data, size_t size, int offset);

/* A buffer; like a copy it lives until harness_end. */
extern char *harness_buffer(size_t size, int offset);

/* Around each input.  Memory is limited from begin on, and none may be left
 * at the end. */
extern void harness_begin(const void *data, size_t size);
extern void harness_end(void);

/*
 * Runs a function as a statement of its own, in a new memory context; false
 * when it raised.  Afterwards the context is deleted, and the run is at its
 * end when something is left.  Some attempts are made twice more, once to fail
 * at an allocation or a look for interrupts, which must not leave anything
 * either, and once to end as the first did.
 */
typedef void (*HarnessFunction) (void *arg);

extern bool harness_attempt(HarnessFunction function, void *arg);

/*
 * Says what became of an input.  With FUZZ_MUST_READ in the environment the
 * run is at its end when a reader has refused one, with FUZZ_MUST_REFUSE when
 * it has not: that is how the seeds are checked.
 */
extern void harness_outcome(bool was_read);

/* Ends the run when text is no JSON value that starts with first, or one that
 * jsonb does not take (json.c). */
extern void harness_check_json(const char *text, char first);

/* The model as bytes, in a buffer. */
extern char *harness_flatten(Model *model, uint64 *size);

/* ---------- written.c ---------- */

/* Reads a model: bytes in memory, or of a file, by whether they are odd. */
extern Model *harness_read(const Format *format, const char *data,
						   size_t size, const ReadOptions *options);

/* A model as a file, in a buffer: through a sink, each byte once, and the same
 * as a value. */
extern char *harness_write(const Format *format, Model *model, size_t *size);

/* Ends the run unless two models have the same tensors, bit for bit, and in
 * the same order or in any. */
extern void harness_compare_tensors(Model *expected, Model *actual,
									bool same_order);

/* ---------- payloads.c ---------- */

/* Reads every element of every payload in all ways there are.  Raises what
 * the readers of payloads raise. */
extern void harness_read_payloads(Model *model);

/* Builds every payload anew from its elements, in all ways there are, and
 * packs them with every variant of the kernel that runs here.  The elements
 * must come out as they went in. */
extern void harness_rebuild_payloads(Model *model);

#endif							/* FUZZ_HARNESS_H */
