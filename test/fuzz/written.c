/*
 * written.c
 *		What readers get, what writers put into a sink, and what is read of
 *		it again.
 */
#include "postgres.h"

#include "harness.h"

/* ---------- reading ---------- */

/* Bytes that are in memory all the same, but only this file knows. */
typedef struct FileInput
{
	Input		input;			/* must be first */
	const char *bytes;
} FileInput;

static void
read_bytes(Input *input, uint64 offset, uint64 n, char *dst)
{
	server_event();
	if (offset > input->size || n > input->size - offset)
		server_die("bytes " UINT64_FORMAT " to " UINT64_FORMAT " of a file of " UINT64_FORMAT " are read",
				   offset, offset + n, input->size);
	memcpy(dst, ((FileInput *) input)->bytes + offset, n);
}

Model *
harness_read(const Format *format, const char *data, size_t size,
			 const ReadOptions *options)
{
	FileInput	file = {
		.input = {
			.size = size,.read = read_bytes,.context = CurrentMemoryContext
		},
		.bytes = data,
	};

	return format_read_input(format, size % 2 == 0 ? &file.input :
							 input_of_bytes(data, size), options);
}

/* ---------- writing ---------- */

typedef struct BufferSink
{
	Sink		sink;			/* must be first */
	char	   *bytes;
	uint8	   *seen;			/* for each byte whether it was put */
	uint64		size;
	uint64		filled;
} BufferSink;

static void
buffer_start(Sink *sink, uint64 size)
{
	BufferSink *buffer = (BufferSink *) sink;

	if (buffer->bytes != NULL)
		server_die("a writer says twice how large a file is");
	buffer->bytes = harness_buffer(size, HARNESS_BYTEA_OFFSET);
	buffer->seen = (uint8 *) harness_buffer(size, 0);
	memset(buffer->seen, 0, size);
	buffer->size = size;
}

static void
buffer_put(Sink *sink, uint64 at, const void *bytes, uint64 n)
{
	BufferSink *buffer = (BufferSink *) sink;

	if (buffer->bytes == NULL || at > buffer->size || n > buffer->size - at)
		server_die("a writer puts bytes behind the end of the file");
	for (uint64 i = 0; i < n; i++)
	{
		if (buffer->seen[at + i]++ != 0)
			server_die("a writer puts byte " UINT64_FORMAT " twice", at + i);
	}
	if (n > 0)
		memcpy(buffer->bytes + at, bytes, n);
	buffer->filled += n;
}

char *
harness_write(const Format *format, Model *model, size_t *size)
{
	BufferSink	buffer = {.sink = {buffer_start, buffer_put}};
	struct varlena *bytes;

	format->write(model, &buffer.sink);
	if (buffer.bytes == NULL || buffer.filled != buffer.size)
		server_die("a writer leaves something out");
	bytes = sink_to_bytea(format, model, NULL);
	if (VARSIZE(bytes) - VARHDRSZ != buffer.size ||
		memcmp(VARDATA(bytes), buffer.bytes, buffer.size) != 0)
		server_die("a value and a file are written differently");
	pfree(bytes);
	*size = buffer.size;
	return buffer.bytes;
}

/* A tensor by its name: writers may sort. */
void
harness_compare_tensors(Model *expected, Model *actual, bool same_order)
{
	if (expected->ntensors != actual->ntensors)
		server_die("%d tensors are written as %d", expected->ntensors,
				   actual->ntensors);
	for (int i = 0; i < expected->ntensors; i++)
	{
		const Tensor *left = &expected->tensors[i];
		int			j = same_order ? i : model_find_tensor(actual, left->name);
		const Tensor *right = &actual->tensors[Max(j, 0)];
		Payload    *from = tensor_payload(expected, left);
		Payload    *to = tensor_payload(actual, right);

		if (j < 0 || strcmp(left->name, right->name) != 0 ||
			left->ndim != right->ndim ||
			(left->ndim > 0 && memcmp(left->dims, right->dims,
									  left->ndim * sizeof(int64)) != 0))
			server_die("tensor %d is written as another one", i);
		if (from->dtype != to->dtype ||
			memcmp(payload_digest(from), payload_digest(to),
				   MODEL_DIGEST_LENGTH) != 0)
			server_die("the elements of tensor %d are written as others", i);
	}
}
