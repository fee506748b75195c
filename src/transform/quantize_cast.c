/*
 * quantize_cast.c
 *		Smaller floats, and ggml's blocks, of a payload.
 *
 * Both go through the elements once, as floats, and lose nothing silently: what
 * is not finite, or too large for what it is to become, is an error.
 */
#include "postgres.h"

#include <math.h>

#include "transform/quantize.h"

/* What is converted, a chunk each. */
typedef struct Stage
{
	float		floats[PAYLOAD_CHUNK];
	char		converted[PAYLOAD_CHUNK * sizeof(float)];
} Stage;

static const float *
as_floats(DType dtype, const void *elements, int64 n, Stage *stage)
{
	if (dtype == DTYPE_F32)
		return elements;
	dtype_to_float(dtype, elements, 0, n, stage->floats);
	return stage->floats;
}

/* ---------- floats ---------- */

/* Halfway from the largest number to the next one there would be: from there
 * on rounding leaves the type. */
static float
overflow_of(DType dtype)
{
	switch (dtype)
	{
		case DTYPE_F16:
			return 65520.0f;
		case DTYPE_BF16:
			return 0x1.ffp127f;
		case DTYPE_F8E4M3:
			return 464.0f;
		default:
			return 61440.0f;	/* f8e5m2 */
	}
}

/* Raises for the first element that is not finite or too large. */
static void
check_range(const EncodeTarget *target, const QuantizeType *type,
			const float *x, int64 first, int64 n)
{
	float		overflow = overflow_of(type->dtype);
	float		min = 0;
	float		max = 0;

	kernel_range(x, n, &min, &max);
	if (-min < overflow && max < overflow)
		return;
	encode_check_finite(target, false);
	for (int64 i = 0; i < n; i++)
	{
		if (!(fabsf(x[i]) < overflow))
			encode_too_large(target, first + i, type->name);
	}
}

const char *
quantize_float(const EncodeTarget *target, const void *arg, Model *out)
{
	const QuantizeRequest *request = arg;
	const QuantizeType *type = request->type;
	Payload    *payload = target->payload;
	PayloadReader *reader;
	PayloadBuilder *builder;
	Model	   *trial;
	Stage	   *stage;
	bool		is_smaller;
	const void *elements;
	int64		first = 0;
	int64		n;

	if (dtype_bits(payload->dtype) <= dtype_bits(type->dtype) ||
		payload->count == 0)
		return "it would not become smaller";
	if (!request->requantize)
		encode_refuse_lossy(target, "quantize",
							"With requantize => true it is quantized once more.");
	stage = palloc(sizeof(Stage));
	trial = model_create(CurrentMemoryContext);
	builder = payload_builder_create(trial, type->dtype, payload->count, -1);
	reader = payload_reader_create(payload);
	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		const float *x = as_floats(payload->dtype, elements, n, stage);

		check_range(target, type, x, first, n);
		(void) dtype_from_float(type->dtype, x, n, stage->converted);
		payload_builder_append(builder, stage->converted, n);
		first += n;
	}
	payload_reader_free(reader);
	(void) payload_builder_finish(builder);
	pfree(stage);
	/* What has another encoding may be smaller as it is. */
	is_smaller = trial->payloads[0]->stored < payload->stored;
	if (is_smaller)
		model_share_payload(out, trial->payloads[0]);
	model_free(trial);
	return is_smaller ? NULL : "it would not become smaller";
}

/* ---------- blocks ---------- */

/* The first block that cannot be encoded among n elements. */
static void
report_block(const EncodeTarget *target, const QuantizeType *type,
			 const float *x, int64 first, int64 n, Stage *stage)
{
	int			kind = encoding_info(type->encoding)->block;
	int			size = kernel_block_elements(kind);

	encode_check_finite(target, true);
	for (int64 i = 0; i < n; i += size)
	{
		if (!kernel_block_encode(kind, stage->converted, x + i, 1))
			encode_too_large(target, first + i, "the scale of its block");
	}
	elog(ERROR, "a block cannot be encoded, and all of its elements can");
}

const char *
quantize_blocks(const EncodeTarget *target, const void *arg, Model *out)
{
	const QuantizeRequest *request = arg;
	const QuantizeType *type = request->type;
	const Tensor *tensor = target->tensor;
	Payload    *payload = target->payload;
	int			kind = encoding_info(type->encoding)->block;
	int			size = encoding_block_elements(type->encoding);
	int64		row = tensor->ndim > 0 ? tensor->dims[tensor->ndim - 1] : 1;
	PayloadReader *reader;
	Stage	   *stage;
	const void *elements;
	char	   *dst;
	int64		first = 0;
	int64		n;

	if (payload->count == 0 || row % size != 0)
		return "its rows are not whole blocks";
	if (!request->requantize)
		encode_refuse_lossy(target, "quantize",
							"With requantize => true it is quantized once more.");
	if (encoding_blocks_size(type->encoding, payload->count) >= payload->stored)
		return encode_no_smaller(target);
	dst = encode_new_payload(out, DTYPE_F32, type->encoding, payload->count,
							 encoding_blocks_size(type->encoding,
												  payload->count));
	stage = palloc(sizeof(Stage));
	reader = payload_reader_create(payload);
	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		const float *x = as_floats(payload->dtype, elements, n, stage);

		if (!kernel_block_encode(kind, dst, x, n / size))
			report_block(target, type, x, first, n, stage);
		dst += encoding_blocks_size(type->encoding, n);
		first += n;
	}
	payload_reader_free(reader);
	pfree(stage);
	return NULL;
}
