/*
 * sink.c
 *		Writers' bytes as a value.
 *
 * Writers put bytes into a sink, so that one of them serves values and files:
 * a value has to be in memory as a whole and ends at a gigabyte, a file does
 * not.  What a sink to a file does is in files_write.c.
 */
#include "postgres.h"

#include "format/format.h"
#include "model/progress.h"
#include "utils/memutils.h"

typedef struct MemorySink
{
	Sink		sink;
	struct varlena *bytes;
	uint64		size;
} MemorySink;

static void
memory_start(Sink *sink, uint64 size)
{
	MemorySink *memory = (MemorySink *) sink;

	if (size > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model is too large to be written as a value of type bytea"),
				 errdetail("The file would have " UINT64_FORMAT " bytes, and a bytea can have at most %zu.",
						   size, (size_t) MaxAllocSize - VARHDRSZ),
				 errhint("Files have every element of a tensor, so that pruning does not make them smaller. Write it with model_save.")));
	memory->bytes = palloc(size + VARHDRSZ);
	SET_VARSIZE(memory->bytes, size + VARHDRSZ);
	memory->size = size;
}

static void
memory_put(Sink *sink, uint64 at, const void *bytes, uint64 n)
{
	MemorySink *memory = (MemorySink *) sink;

	Assert(at <= memory->size && n <= memory->size - at);
	if (n > 0)
		memcpy(VARDATA(memory->bytes) + at, bytes, n);
}

struct varlena *
sink_to_bytea(const Format *format, Model *model, const char *dtype)
{
	MemorySink	memory = {.sink = {memory_start, memory_put}};

	format_write(format, model, dtype, &memory.sink);
	return memory.bytes;
}

void
sink_put_zeros(Sink *sink, uint64 from, uint64 to)
{
	static const char zeros[1024] = {0};

	for (uint64 at = from; at < to; at += sizeof(zeros))
		sink->put(sink, at, zeros, Min(sizeof(zeros), to - at));
}

void
sink_put_payload(Sink *sink, uint64 at, Payload *payload)
{
	PayloadReader *reader = payload_reader_create(payload);
	const void *elements;
	int64		n;

	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		uint64		bytes = dtype_bytes(payload->dtype, n);

		sink->put(sink, at, elements, bytes);
		progress_add(bytes);
		at += bytes;
	}
	payload_reader_free(reader);
}
