/*
 * zeros.c
 *		How much of a model is zero.
 *
 * A float is zero when its value is, so -0 counts here although the sparse
 * encoding stores it as a value.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/model.h"

int64
elements_zeros(DType dtype, const void *elements, int64 n)
{
	const uint8 *packed = elements;
	int64		zeros = 0;

	if (!dtype_has_zero(dtype))
		return 0;
	if (dtype_has_negative_zero(dtype))
		return kernel_count_zero_floats(elements, n, dtype_bits(dtype) / 8);
	if (dtype_bits(dtype) >= 8)
		return n - kernel_count_nonzero(elements, n, dtype_bits(dtype) / 8);
	for (int64 i = 0; i < n; i++)
		zeros += ((packed[i / 2] >> (4 * (i % 2))) & 0x0f) == 0;
	return zeros;
}

int64
payload_zeros(Payload *payload)
{
	PayloadReader *reader;
	const void *elements;
	int64		zeros = 0;
	int64		n;

	if (payload->zeros >= 0)
		return payload->zeros;
	reader = payload_reader_create(payload);
	while ((n = payload_reader_next(reader, &elements)) > 0)
		zeros += elements_zeros(payload->dtype, elements, n);
	payload_reader_free(reader);
	payload->zeros = zeros;
	return zeros;
}

int64
model_zeros(const Model *model)
{
	int64		zeros = 0;

	for (int i = 0; i < model->npayloads; i++)
		zeros += payload_zeros(model->payloads[i]);
	return zeros;
}
