/*
 * harness.c
 *		What the targets share: see harness.h.
 */
#include "postgres.h"

#include "harness.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* What an input may cost: a generous bound on what the readers promise. */
#define MEMORY_FACTOR	64
#define MEMORY_FREE		((size_t) 64 * 1024 * 1024)

/* An attempt out of so many is repeated to fail somewhere. */
#define FAILING_ATTEMPTS 4

#define MAX_BUFFERS		64

static void *buffers[MAX_BUFFERS];
static int	nbuffers = 0;

/* Decides what is done beyond the plain run; the same for the same input. */
static uint64 dice = 0;

/* ---------- buffers ---------- */

char *
harness_buffer(size_t size, int offset)
{
	char	   *buffer = malloc(size + offset);

	if (buffer == NULL || nbuffers == MAX_BUFFERS)
		server_die("no room for a buffer of %zu bytes", size);
	buffers[nbuffers++] = buffer;
	return buffer + offset;
}

char *
harness_copy(const void *data, size_t size, int offset)
{
	char	   *copy = harness_buffer(size, offset);

	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

/* ---------- inputs ---------- */

void
harness_begin(const void *data, size_t size)
{
	const uint8 *bytes = data;

	if (TopMemoryContext == NULL)
		server_memory_init();
	server_memory_limit = MEMORY_FACTOR * size + MEMORY_FREE;
	dice = size;
	for (size_t i = 0; i < size; i++)
		dice = (dice ^ bytes[i]) * UINT64CONST(0x100000001b3);
}

void
harness_end(void)
{
	while (nbuffers > 0)
		free(buffers[--nbuffers]);
}

void
harness_outcome(bool was_read)
{
	if (!was_read && getenv("FUZZ_MUST_READ") != NULL)
		server_die("what must be read is refused: %s", server_error_text());
	if (was_read && getenv("FUZZ_MUST_REFUSE") != NULL)
		server_die("what must be refused is read");
}

/* ---------- attempts ---------- */

/* Errors that say something about the bytes, or about the part of them that
 * was asked for. */
static bool
is_about_bytes(int code)
{
	return code == ERRCODE_INVALID_BINARY_REPRESENTATION ||
		code == ERRCODE_INVALID_TEXT_REPRESENTATION ||
		code == ERRCODE_FEATURE_NOT_SUPPORTED ||
		code == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		code == ERRCODE_INVALID_PARAMETER_VALUE ||
		code == ERRCODE_UNDEFINED_OBJECT;
}

static bool
run(HarnessFunction function, void *arg, uint64 fail_at)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "attempt",
												  ALLOCSET_DEFAULT_SIZES);
	volatile bool done = false;
	int			hashes;

	MemoryContextSwitchTo(context);
	server_events_reset(fail_at);
	PG_TRY();
	{
		function(arg);
		done = true;
	}
	PG_CATCH();
	{
		if (fail_at == 0 && !is_about_bytes(server_error_code()))
			server_die("an SQLSTATE that is not about the bytes: %s",
					   server_error_text());
	}
	PG_END_TRY();
	if (done && CurrentMemoryContext != context)
		server_die("the current memory context was changed");
	MemoryContextSwitchTo(TopMemoryContext);

	hashes = server_hashes_release();
	if (done && hashes > 0)
		server_die("%d hashes were left open", hashes);
	MemoryContextDelete(context);
	if (server_live_chunks() != 0)
		server_die("%zu chunks outlived their statement",
				   server_live_chunks());
	return done;
}

bool
harness_attempt(HarnessFunction function, void *arg)
{
	bool		done = run(function, arg, 0);
	uint64		events = server_events();

	dice = (dice + events) * UINT64CONST(0xbf58476d1ce4e5b9);
	dice ^= dice >> 29;
	if (dice % FAILING_ATTEMPTS == 0 && events > 0)
	{
		(void) run(function, arg, 1 + (dice >> 8) % events);

		/* It may have come to its end before: what is made once for the
		 * whole session was there already. */
		server_events_reset(0);
		if (run(function, arg, 0) != done)
			server_die("a statement ends otherwise after one that failed");
	}
	server_events_reset(0);
	return done;
}

/* ---------- models ---------- */

char *
harness_flatten(Model *model, uint64 *size)
{
	char	   *flat;

	*size = model_flat_size(model);
	flat = harness_buffer(*size, HARNESS_MODEL_OFFSET);
	model_flatten(model, flat);
	return flat;
}
