/*
 * onnx_native_rows.c
 *		Groups as rows of a matrix.
 *
 * ONNX's own operator has groups along one dimension, from version 21 on.
 * Groups of a convolution's weights run over several, and most graphs are older.
 * Their codes are a matrix all the same: its rows are the weight's, in groups, or
 * the groups themselves, and a scale for each row is older than groups are.
 * What is decoded then takes the tensor's shape.
 *
 * Where rows of the weight are no whole groups, each is filled up with zeros,
 * which a Slice takes away again.
 */
#include "postgres.h"

#include "format/onnx_native.h"
#include "kernel/kernel.h"
#include "miscadmin.h"

#define OPSET_SLICE		10		/* a Slice between numbers that are inputs */

/* Codes that are filled up at once. */
#define PIECE_CODES		(64 * 1024)

/* ---------- nodes ---------- */

/* An initializer of integers; returns its name. */
static const char *
add_integers(OnnxNative *native, const OnnxSurvey *survey, const char *suffix,
			 int n, const int64 *values)
{
	int64		count = n;
	OnnxPart   *part = onnx_native_part(native, survey, suffix, DTYPE_I64, 1,
										&count);

	part->source = ONNX_FROM_MEMORY;
	part->bytes = palloc(n * sizeof(int64));
	memcpy(part->bytes, values, n * sizeof(int64));
	return native->part_names[native->nparts - 1];
}

static void
put_reshape(OnnxNative *native, const OnnxSurvey *survey, const char *input,
			const char *output, const char *suffix, int n, const int64 *dims)
{
	OnnxNode	node = {.op_type = "Reshape", .domain = "", .ninputs = 2,
	.output = output};

	node.inputs[0] = input;
	node.inputs[1] = add_integers(native, survey, suffix, n, dims);
	onnx_put_node(&native->nodes, &node);
}

/* Takes away what rows were filled up with. */
static const char *
put_slice(OnnxNative *native, const OnnxSurvey *survey, const char *input)
{
	const int64 start = 0;
	const int64 axis = 1;
	const char *output = onnx_new_name(survey, native->name, "_sliced");
	OnnxNode	node = {.op_type = "Slice", .domain = "", .ninputs = 4,
	.output = output};

	node.inputs[0] = input;
	node.inputs[1] = add_integers(native, survey, "_start", 1, &start);
	node.inputs[2] = add_integers(native, survey, "_end", 1, &native->row);
	node.inputs[3] = add_integers(native, survey, "_axis", 1, &axis);
	onnx_put_node(&native->nodes, &node);
	return output;
}

/* Codes, scales and zero points, and what decodes them; returns its name. */
static const char *
put_dequantize(OnnxNative *native, const OnnxSurvey *survey,
			   const int64 *codes, int nscale_dims, const int64 *scales_dims,
			   char *scales)
{
	const Affine *affine = &native->affine;
	bool		in_groups = nscale_dims == 2;
	const char *output = onnx_new_name(survey, native->name, "_decoded");
	OnnxNode	node = {.op_type = "DequantizeLinear", .output = output};
	OnnxPart   *part;
	StringInfoData attributes;

	part = onnx_native_part(native, survey, "_quantized", affine->codes, 2,
							codes);
	part->source = native->padded == native->row ? ONNX_FROM_STORED :
		ONNX_FROM_ROWS;
	part->offset = affine->codes_at;
	part = onnx_native_part(native, survey, "_scale", native->payload->dtype,
							nscale_dims, scales_dims);
	part->source = ONNX_FROM_MEMORY;
	part->bytes = scales;
	if (affine->has_zeros)
	{
		part = onnx_native_part(native, survey, "_zero_point", affine->codes,
								nscale_dims, scales_dims);
		part->source = ONNX_FROM_STORED;
		part->offset = affine->zeros_at;
	}
	node.domain = native->microsoft ? ONNX_MICROSOFT : "";
	node.ninputs = native->nparts;
	for (int i = 0; i < native->nparts; i++)
		node.inputs[i] = native->part_names[i];
	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "axis", in_groups ? 1 : 0);
	if (in_groups)
		onnx_put_attribute(&attributes, "block_size",
						   Min(affine->group, affine->axis));
	node.attributes = attributes.data;
	node.attributes_size = attributes.len;
	onnx_put_node(&native->nodes, &node);
	return output;
}

/* ---------- the two forms ---------- */

/* Rows of the weight, with groups. */
static const char *
put_groups(OnnxNative *native, const OnnxSurvey *survey, char *scales)
{
	int64		rows = native->affine.count / native->row;
	int64		codes[2] = {rows, native->row};
	int64		dims[2] = {rows, native->affine.nscales / rows};

	native->padded = native->row;
	return put_dequantize(native, survey, codes, 2, dims, scales);
}

/* Groups that are rows. */
static const char *
put_rows(OnnxNative *native, const OnnxSurvey *survey, char *scales)
{
	const Affine *affine = &native->affine;
	int64		width = Min(affine->group, native->row);
	int64		rows = affine->count / native->row;
	int64		codes[2] = {affine->nscales, width};
	int64		filled[2] = {rows, affine->nscales / rows * width};
	const char *value;

	native->padded = filled[1];
	native->microsoft = survey->opset < ONNX_OPSET_AXIS ||
		dtype_bits(affine->codes) != 8 ||
		(native->payload->dtype == DTYPE_F16 && survey->opset < ONNX_OPSET_HALF);
	value = put_dequantize(native, survey, codes, 1, &affine->nscales, scales);
	if (native->padded > native->row)
	{
		const char *padded = onnx_new_name(survey, native->name, "_padded");

		put_reshape(native, survey, value, padded, "_rows", 2, filled);
		value = put_slice(native, survey, padded);
	}
	return value;
}

OnnxNative *
onnx_native_in_rows(OnnxNative *native, const OnnxSurvey *survey,
					const Tensor *tensor)
{
	const Affine *affine = &native->affine;
	const char *value;
	char	   *scales;

	if (affine->group == 0 || affine->inner != 1 ||
		survey->opset < OPSET_SLICE)
		return NULL;
	scales = onnx_native_scales(native, native->payload->dtype);
	if (scales == NULL)
		return NULL;
	native->row = affine->axis;
	native->microsoft = false;
	value = survey->opset >= ONNX_OPSET_BLOCKS ?
		put_groups(native, survey, scales) : put_rows(native, survey, scales);
	put_reshape(native, survey, value, native->name, "_shape", tensor->ndim,
				tensor->dims);
	return native;
}

/* ---------- codes ---------- */

/* Codes from one on, a byte each. */
static void
unpack(const char *src, bool narrow, int64 first, int64 n, uint8 *dst)
{
	if (!narrow)
	{
		memcpy(dst, src + first, n);
		return;
	}
	for (int64 i = first; i < first + n; i++)
		*dst++ = ((uint8) src[i / 2] >> (i % 2 * 4)) & 0x0f;
}

/* An even number of rows at once, which start and end with a byte in both
 * forms. */
void
onnx_native_put_rows(const OnnxNative *native, Sink *sink, uint64 at)
{
	const Affine *affine = &native->affine;
	bool		narrow = dtype_bits(affine->codes) == 4;
	int64		nrows = affine->count / native->row;
	int64		most = Min(Max(PIECE_CODES / native->padded / 2 * 2, 2), nrows);
	char	   *stored = model_alloc_bytes(CurrentMemoryContext,
										   dtype_bytes(affine->codes, most * native->row));
	uint8	   *codes = (uint8 *) model_alloc_bytes(CurrentMemoryContext,
													most * native->padded);
	uint8	   *packed = narrow ?
		(uint8 *) model_alloc_bytes(CurrentMemoryContext,
									dtype_bytes(affine->codes, most * native->padded)) : codes;

	memset(codes, 0, most * native->padded);
	for (int64 first = 0; first < nrows; first += most)
	{
		int64		rows = Min(most, nrows - first);
		int64		n = rows * native->padded;

		CHECK_FOR_INTERRUPTS();
		payload_copy_part(native->payload, affine->codes_at +
						  dtype_bytes(affine->codes, first * native->row),
						  dtype_bytes(affine->codes, rows * native->row),
						  stored);
		for (int64 i = 0; i < rows; i++)
			unpack(stored, narrow, i * native->row, native->row,
				   codes + i * native->padded);
		if (narrow)
			kernel_pack_nibbles(packed, codes, n);
		sink->put(sink, at + dtype_bytes(affine->codes, first * native->padded),
				  packed, dtype_bytes(affine->codes, n));
	}
	pfree(stored);
	pfree(codes);
	if (narrow)
		pfree(packed);
}
