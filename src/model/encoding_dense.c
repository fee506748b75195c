/*
 * encoding_dense.c
 *		Elements as they are.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/encoding.h"

typedef struct Dense
{
	DType		dtype;
	ByteStream	elements;
} Dense;

static const char *
check_size(DType dtype, int64 count, uint64 stored)
{
	if (stored != dtype_bytes(dtype, count))
		return "A dense payload's size does not fit its number of elements.";
	return NULL;
}

/* Elements that the dtype does not have: bools beyond 0 and 1, and a nibble
 * after the last one. */
const char *
elements_problem(DType dtype, const char *elements, int64 count)
{
	if (dtype == DTYPE_BOOL &&
		!kernel_is_bool((const uint8 *) elements, count))
		return "A bool tensor has an element that is neither 0 nor 1.";
	if (dtype_bits(dtype) == 4 && count % 2 != 0 &&
		((uint8) elements[count / 2] >> 4) != 0)
		return "A packed tensor has something after its last element.";
	return NULL;
}

static const char *
verify(const Payload *payload)
{
	return elements_problem(payload->dtype, payload->bytes, payload->count);
}

static void *
begin(Payload *payload)
{
	Dense	   *dense = palloc(sizeof(Dense));

	dense->dtype = payload->dtype;
	stream_init(&dense->elements, payload, 0, payload->stored);
	return dense;
}

static const void *
next(void *state, int64 n)
{
	Dense	   *dense = state;

	return stream_take(&dense->elements, dtype_bytes(dense->dtype, n));
}

static void
end(void *state)
{
	Dense	   *dense = state;

	stream_free(&dense->elements);
	pfree(dense);
}

const EncodingMethods encoding_dense = {
	check_size, verify, begin, next, end
};
