/*
 * input.c
 *		Bytes that are read: in memory, or in a file and asked for bit by bit.
 */
#include "postgres.h"

#include "model/elements.h"
#include "format/format.h"
#include "model/progress.h"
#include "utils/memutils.h"

Input *
input_of_bytes(const char *data, size_t size)
{
	Input	   *input = palloc0(sizeof(Input));

	input->data = data;
	input->size = size;
	return input;
}

static char *
allocate(MemoryContext context, uint64 n)
{
	if (n > MaxAllocHugeSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("file of " UINT64_FORMAT " bytes is too large", n)));
	return MemoryContextAllocHuge(context, Max(n, 1));
}

void
input_copy(Input *input, uint64 offset, uint64 n, char *dst)
{
	Assert(offset <= input->size && n <= input->size - offset);
	if (input->data != NULL)
	{
		elements_copy(dst, input->data + offset, n);
		progress_add(n);
	}
	else
		input->read(input, offset, n, dst);
}

const char *
input_view(Input *input, uint64 offset, uint64 n)
{
	char	   *copy;

	Assert(offset <= input->size && n <= input->size - offset);
	if (input->data != NULL)
		return input->data + offset;
	copy = allocate(CurrentMemoryContext, n);
	input->read(input, offset, n, copy);
	return copy;
}

void
input_release(const Input *input, const char *view)
{
	if (input->data == NULL)
		pfree(unconstify(char *, view));
}

const char *
input_load(Input *input)
{
	char	   *all;

	if (input->data == NULL)
	{
		all = allocate(input->context, input->size);
		input->read(input, 0, input->size, all);
		input->data = all;
	}
	return input->data;
}
