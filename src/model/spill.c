/*
 * spill.c
 *		Payloads that would be too much memory, in temporary files.
 *
 * Owns the bound on the memory of a session's payloads: one that is complete
 * while there is more of it than the setting allows goes into a file of its
 * own, and is read from there like any other lazy payload.  So a model of any
 * size is made with memory for the tensors that are in work.
 *
 * A file outlives the transaction, as the payload may, and is closed, which
 * removes it, with the payload.  It counts for temp_file_limit.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "model/lazy.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* Smaller payloads stay in memory: files are not worth it. */
#define SPILL_MINIMUM	((uint64) 64 * 1024)

/* Read or written between two looks for interrupts. */
#define STEP_BYTES		((uint64) 1024 * 1024)

int			payload_spill_above = PAYLOAD_SPILL_ABOVE;

typedef struct SpillSource
{
	LazySource	source;			/* must be first */
	File		file;			/* 0 when there is none yet */
} SpillSource;

static const char *
never_gone(LazySource *source)
{
	return NULL;
}

static void
read_file(LazySource *source, const Payload *payload, uint64 offset,
		  uint64 length, char *dst)
{
	while (length > 0)
	{
		int			done;

		CHECK_FOR_INTERRUPTS();
		done = FileRead(((SpillSource *) source)->file, dst,
						(int) Min(length, STEP_BYTES), (off_t) offset,
						WAIT_EVENT_BUFFILE_READ);
		if (done < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read a tensor from a temporary file: %m")));
		if (done == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("temporary file of a tensor is too short")));
		offset += done;
		dst += done;
		length -= done;
	}
}

static void
close_file(LazySource *source)
{
	SpillSource *spill = (SpillSource *) source;

	if (spill->file > 0)
		FileClose(spill->file);
}

static const LazyMethods spill_methods = {
	.transactional = false,
	.gone = never_gone,
	.read = read_file,
	.release = close_file,
};

static void
write_file(File file, const char *bytes, uint64 size)
{
	for (uint64 offset = 0; offset < size;)
	{
		int			done;

		CHECK_FOR_INTERRUPTS();
		errno = 0;
		done = FileWrite(file, unconstify(char *, bytes) + offset,
						 (int) Min(size - offset, STEP_BYTES), (off_t) offset,
						 WAIT_EVENT_BUFFILE_WRITE);
		if (done <= 0)
		{
			/* Nothing written and no reason told: the disk is full. */
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write a tensor to a temporary file: %m"),
					 errhint("Memory for tensors is bounded by the setting modelopt.spill_above.")));
		}
		offset += done;
	}
}

/* The payload stays as it is when this raises. */
static void
spill(Payload *payload)
{
	SpillSource *target = (SpillSource *) lazy_source_create(sizeof(SpillSource),
															 &spill_methods);

	PG_TRY();
	{
		target->file = OpenTemporaryFile(true);
		write_file(target->file, payload->bytes, payload->stored);
	}
	PG_CATCH();
	{
		lazy_source_release_unused(&target->source);
		PG_RE_THROW();
	}
	PG_END_TRY();
	pfree(payload->allocation);
	payload->allocation = NULL;
	payload->bytes = NULL;
	payload->source = PAYLOAD_LAZY;
	payload->lazy_offset = 0;
	lazy_source_attach(&target->source, payload);
}

void
payload_complete(Payload *payload)
{
	if (payload->source == PAYLOAD_OWNED &&
		payload->stored >= SPILL_MINIMUM &&
		MemoryContextMemAllocated(payload_memory(), false) >
		(Size) payload_spill_above * 1024)
		spill(payload);
}
