/*
 * stream.c
 *		The bytes of a payload in order, wherever they lie.
 *
 * Encodings read through this, and so do not know where lazy payloads come from.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "model/encoding.h"

void
stream_init(ByteStream *stream, Payload *payload, uint64 start, uint64 end)
{
	stream->payload = payload;
	stream->position = start;
	stream->end = end;
	stream->window = NULL;
	stream->window_start = stream->window_end = start;
	if (payload->source == PAYLOAD_LAZY)
		stream->window = palloc(WINDOW_BYTES + MODEL_ALIGNMENT);
}

const char *
stream_take(ByteStream *stream, uint64 n)
{
	uint64		start = stream->position;

	Assert(start + n <= stream->end && n <= WINDOW_BYTES);
	stream->position += n;

	/* Somebody may have loaded the payload since the last call. */
	if (stream->payload->source != PAYLOAD_LAZY)
		return stream->payload->bytes + start;

	if (start + n > stream->window_end)
	{
		uint64		length = Min((uint64) WINDOW_BYTES, stream->end - start);

		lazy_read(stream->payload, start, length, stream->window);
		stream->window_start = start;
		stream->window_end = start + length;
	}
	return stream->window + (start - stream->window_start);
}

void
stream_free(ByteStream *stream)
{
	if (stream->window != NULL)
		pfree(stream->window);
}

const char *
stream_part(Payload *payload, uint64 offset, uint64 n, char **copy)
{
	*copy = NULL;
	if (payload->source != PAYLOAD_LAZY)
		return payload->bytes + offset;
	*copy = model_alloc_bytes(CurrentMemoryContext, n);
	payload_copy_part(payload, offset, n, *copy);
	return *copy;
}
