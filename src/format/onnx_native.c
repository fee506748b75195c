/*
 * onnx_native.c
 *		Encoded tensors as ONNX has them.
 *
 * What ONNX can say without another rounding is said: smaller floats and a Cast,
 * integers with scales and a DequantizeLinear, and where the model is older than
 * groups are in ONNX, the MatMulNBits of ONNX Runtime, or groups as rows
 * (onnx_native_rows.c).  All else is decoded.
 */
#include "postgres.h"

#include "format/onnx_native.h"
#include "format/onnx_raise.h"
#include "kernel/kernel.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define LEAST_BLOCK		16		/* of MatMulNBits */

/* Codes of a column that are packed at once; even. */
#define COLUMN_STRETCH	65536

static OnnxNative *
create(const Tensor *tensor, Payload *payload)
{
	OnnxNative *native = palloc0(sizeof(OnnxNative));

	native->name = tensor->name;
	native->payload = payload;
	initStringInfo(&native->nodes);
	return native;
}

OnnxPart *
onnx_native_part(OnnxNative *native, const OnnxSurvey *survey,
				 const char *suffix, DType dtype, int ndim, const int64 *dims)
{
	OnnxPart   *part = &native->parts[native->nparts];
	char	   *name = onnx_new_name(survey, native->name, suffix);
	int64		count = 1;

	native->part_names[native->nparts++] = name;
	for (int i = 0; i < ndim; i++)
		count *= dims[i];
	initStringInfo(&part->head);
	onnx_put_tensor_head(&part->head, name, dtype, ndim, dims);
	part->size = dtype_bytes(dtype, count);
	return part;
}

/* ---------- smaller floats ---------- */

/* Whether floats of one dtype hold those of another. */
static bool
is_wider(DType dtype, DType other)
{
	return dtype_is_float(dtype) && dtype_is_float(other) &&
		dtype_bits(dtype) > dtype_bits(other);
}

static OnnxNative *
cast(const OnnxSurvey *survey, const Tensor *tensor, Payload *payload,
	 DType graph_dtype)
{
	OnnxNative *native = create(tensor, payload);
	OnnxNode	node = {.op_type = "Cast", .domain = "", .ninputs = 1,
	.output = tensor->name};
	StringInfoData attributes;

	native->raises = dtype_bits(payload->dtype) == 8 && survey->opset < ONNX_OPSET_FLOAT8;
	if (native->raises && !onnx_can_raise(survey))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tensor \"%s\" of dtype %s cannot be written to this ONNX graph",
						pg_any_to_server(tensor->name, strlen(tensor->name), PG_UTF8),
						dtype_name(payload->dtype)),
				 errdetail("Its operators are of version " INT64_FORMAT ", floats of 8 bits take %d, and not all that it has is the same there.",
						   (int64) survey->opset, ONNX_OPSET_FLOAT8),
				 errhint("Export the model with opset %d or later, or quantize it to fp16, bf16 or integers.",
						 ONNX_OPSET_FLOAT8)));
	onnx_native_part(native, survey, "_stored", payload->dtype, tensor->ndim,
			 tensor->dims)->source = ONNX_FROM_ELEMENTS;
	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "to", onnx_type_of(graph_dtype));
	node.inputs[0] = native->part_names[0];
	node.attributes = attributes.data;
	node.attributes_size = attributes.len;
	onnx_put_node(&native->nodes, &node);
	return native;
}

/* ---------- scales ---------- */

/* The dimension that scales go along; ndim for none, -1 when it is no
 * dimension of the tensor. */
static int
find_axis(const Tensor *tensor, const Affine *affine)
{
	int64		inner = 1;

	if (affine->nscales == 1)
		return tensor->ndim;
	for (int i = tensor->ndim; i-- > 0;)
	{
		if (inner == affine->inner && tensor->dims[i] == affine->axis)
			return i;
		inner *= tensor->dims[i];
	}
	return -1;
}

char *
onnx_native_scales(const OnnxNative *native, DType dtype)
{
	int64		n = native->affine.nscales;
	float	   *scales = affine_scales(native->payload, &native->affine);
	float	   *back;
	char	   *stored;

	if (dtype == DTYPE_F32)
		return (char *) scales;
	stored = model_alloc_bytes(CurrentMemoryContext, dtype_bytes(dtype, n));
	back = (float *) model_alloc_bytes(CurrentMemoryContext, n * sizeof(float));
	(void) dtype_from_float(dtype, scales, n, stored);
	dtype_to_float(dtype, stored, 0, n, back);
	if (memcmp(scales, back, n * sizeof(float)) != 0)
	{
		pfree(stored);
		stored = NULL;
	}
	pfree(scales);
	pfree(back);
	return stored;
}

static char *
get_stored(Payload *payload, uint64 offset, uint64 n)
{
	char	   *bytes = model_alloc_bytes(CurrentMemoryContext, n);

	payload_copy_part(payload, offset, n, bytes);
	return bytes;
}

/* ---------- DequantizeLinear ---------- */

/* Since when ONNX's own operator has what the tensor asks for. */
static int
needed_opset(const OnnxNative *native, const Tensor *tensor, int axis)
{
	bool		narrow = dtype_bits(native->affine.codes) != 8;

	if (narrow || (native->affine.group > 0 && axis < tensor->ndim))
		return ONNX_OPSET_BLOCKS;
	if (native->payload->dtype == DTYPE_F16)
		return ONNX_OPSET_HALF;
	return axis < tensor->ndim ? ONNX_OPSET_AXIS : 10;
}

static void
put_dequantize(OnnxNative *native, int axis, int ndim)
{
	OnnxNode	node = {.op_type = "DequantizeLinear", .output = native->name,
	.ninputs = native->nparts};
	StringInfoData attributes;

	initStringInfo(&attributes);
	node.domain = native->microsoft ? ONNX_MICROSOFT : "";
	for (int i = 0; i < native->nparts; i++)
		node.inputs[i] = native->part_names[i];
	if (axis < ndim)
		onnx_put_attribute(&attributes, "axis", axis);
	if (axis < ndim && native->affine.group > 0)
		onnx_put_attribute(&attributes, "block_size", native->affine.group);
	node.attributes = attributes.data;
	node.attributes_size = attributes.len;
	onnx_put_node(&native->nodes, &node);
}

/* Dimensions of the scales; returns how many. */
static int
scale_dims(const Tensor *tensor, const Affine *affine, int axis, int64 *dims)
{
	if (axis == tensor->ndim)
		return 0;
	if (affine->group == 0)
	{
		dims[0] = affine->axis;
		return 1;
	}
	memcpy(dims, tensor->dims, tensor->ndim * sizeof(int64));
	dims[axis] = (affine->axis - 1) / affine->group + 1;
	return tensor->ndim;
}

static OnnxNative *
dequantize(OnnxNative *native, const OnnxSurvey *survey, const Tensor *tensor)
{
	const Affine *affine = &native->affine;
	Payload    *payload = native->payload;
	int			axis = find_axis(tensor, affine);
	int64		dims[MODEL_MAX_DIMS];
	int			ndim;
	int			opset;
	char	   *scales;
	OnnxPart   *part;

	if (axis < 0)
		return NULL;
	opset = needed_opset(native, tensor, axis);
	native->microsoft = survey->opset < opset;
	if (native->microsoft && affine->group > 0 && axis < tensor->ndim)
		return NULL;
	scales = onnx_native_scales(native, payload->dtype);
	if (scales == NULL)
		return NULL;

	part = onnx_native_part(native, survey, "_quantized", affine->codes, tensor->ndim,
					tensor->dims);
	part->source = ONNX_FROM_STORED;
	part->offset = affine->codes_at;
	ndim = scale_dims(tensor, affine, axis, dims);
	part = onnx_native_part(native, survey, "_scale", payload->dtype, ndim, dims);
	part->source = ONNX_FROM_MEMORY;
	part->bytes = scales;
	if (affine->has_zeros)
	{
		part = onnx_native_part(native, survey, "_zero_point", affine->codes, ndim,
						dims);
		part->source = ONNX_FROM_MEMORY;
		part->bytes = get_stored(payload, affine->zeros_at, part->size);
	}
	put_dequantize(native, axis, tensor->ndim);
	return native;
}

/* ---------- MatMulNBits ---------- */

/* Whether a node can take the blocks, and the tensor's rows are what it sums
 * over. */
static bool
can_multiply(const OnnxUse *use, bool *transposed)
{
	OnnxBytes	operator = onnx_operator(use->node);

	*transposed = false;
	if (use->input != 1)
		return false;
	if (onnx_equals(operator, "MatMul"))
		return true;
	*transposed = onnx_attribute(use->node, "transB", 0) != 0;
	return onnx_equals(operator, "Gemm") &&
		onnx_attribute(use->node, "transA", 0) == 0 &&
		onnx_attribute_float(use->node, "alpha", 1) == 1 &&
		onnx_attribute_float(use->node, "beta", 1) == 1;
}

static bool
can_all_multiply(const OnnxSurvey *survey, OnnxBytes name, bool *transposed)
{
	int			n;
	const OnnxUse *uses = onnx_uses_of(survey, name, &n);

	for (int i = 0; i < n; i++)
	{
		bool		each;

		if (!can_multiply(&uses[i], &each) || (i > 0 && each != *transposed))
			return false;
		*transposed = each;
	}
	return n > 0 && !survey->has_nested && !onnx_is_output(survey, name);
}

/* What a Transpose makes of a matrix, when nothing else takes it; else no
 * bytes. */
static OnnxBytes
find_turned(const OnnxSurvey *survey, OnnxBytes name)
{
	OnnxBytes	none = {NULL, 0};
	int			n;
	const OnnxUse *uses = onnx_uses_of(survey, name, &n);

	if (n != 1 || !onnx_equals(onnx_operator(uses->node), "Transpose") ||
		onnx_attribute_first(uses->node, "perm", 1) != 1 ||
		onnx_is_output(survey, name))
		return none;
	return onnx_get(uses->node, NODE_OUTPUT);
}

/* Whether all nodes that take the tensor, or what a Transpose makes of it, can
 * take blocks instead. */
static bool
find_takers(OnnxNative *native, const OnnxSurvey *survey,
			const OnnxActivations *activations)
{
	OnnxBytes	name = {native->name, strlen(native->name)};
	OnnxBytes	turned = find_turned(survey, name);

	native->taken_as = turned.size > 0 ? turned : name;
	if (onnx_activation(activations, native->taken_as) != NULL ||
		!can_all_multiply(survey, native->taken_as, &native->transposed))
		return false;
	if (turned.size > 0)
		native->transposed = !native->transposed;
	return true;
}

static int64
blocks_of(const OnnxNative *native)
{
	return (native->rows - 1) / native->affine.group + 1;
}

/* Whether it is two-dimensional, with groups along what is summed over. */
static bool
fits_blocks(OnnxNative *native, const OnnxSurvey *survey,
			const OnnxActivations *activations, const Tensor *tensor)
{
	const Affine *affine = &native->affine;
	int			summed;

	if (tensor->ndim != 2 || affine->group < LEAST_BLOCK ||
		(affine->group & (affine->group - 1)) != 0 ||
		dtype_bits(affine->codes) > 8 ||
		!find_takers(native, survey, activations))
		return false;
	summed = native->transposed ? 1 : 0;
	native->rows = tensor->dims[summed];
	native->columns = tensor->dims[1 - summed];
	return affine->axis == native->rows &&
		affine->inner == (native->transposed ? 1 : native->columns);
}

/* From rows of groups to a row of groups for each column. */
static void
turn(const OnnxNative *native, const char *src, int width, char *dst)
{
	int64		blocks = blocks_of(native);

	for (int64 n = 0; n < native->columns; n++)
	{
		for (int64 k = 0; k < blocks; k++)
			memcpy(dst + (n * blocks + k) * width,
				   src + (native->transposed ? n * blocks + k :
						  k * native->columns + n) * width, width);
	}
}

/* Codes as bytes, unsigned. */
static void
unsigned_codes(const OnnxNative *native, const char *src, int64 first,
			   int64 n, uint8 *dst)
{
	DType		codes = native->affine.codes;
	bool		narrow = dtype_bits(codes) == 4;
	bool		is_signed = codes == DTYPE_I4 || codes == DTYPE_I8;

	for (int64 i = 0; i < n; i++)
	{
		int64		at = first + i;

		dst[i] = narrow ? ((uint8) src[at / 2] >> (at % 2 * 4)) & 0x0f :
			(uint8) src[at];
	}
	if (is_signed)
		kernel_flip(dst, n, narrow ? 0x08 : 0x80);
}

/* Zero points of all blocks; of four bits, a column's start at a byte. */
static char *
block_zeros(const OnnxNative *native, uint64 *size)
{
	const Affine *affine = &native->affine;
	int64		blocks = blocks_of(native);
	int			bits = dtype_bits(affine->codes);
	int64		row = (blocks * bits + 7) / 8;
	char	   *stored = get_stored(native->payload, affine->zeros_at,
									dtype_bytes(affine->codes, affine->nscales));
	uint8	   *zeros = (uint8 *) model_alloc_bytes(CurrentMemoryContext,
													affine->nscales);
	uint8	   *turned = (uint8 *) model_alloc_bytes(CurrentMemoryContext,
													 affine->nscales);
	char	   *packed;

	unsigned_codes(native, stored, 0, affine->nscales, zeros);
	turn(native, (char *) zeros, 1, (char *) turned);
	*size = row * native->columns;
	packed = model_alloc_bytes(CurrentMemoryContext, *size);
	for (int64 n = 0; n < native->columns; n++)
	{
		if (bits == 4)
			kernel_pack_nibbles((uint8 *) packed + n * row,
								turned + n * blocks, blocks);
		else
			memcpy(packed + n * row, turned + n * blocks, blocks);
	}
	pfree(stored);
	pfree(zeros);
	pfree(turned);
	return packed;
}

/* Without zero points the middle is zero. */
static OnnxNative *
in_blocks(OnnxNative *native, const OnnxSurvey *survey,
		  const OnnxActivations *activations, const Tensor *tensor)
{
	const Affine *affine = &native->affine;
	DType		dtype = native->payload->dtype;
	int			bits = dtype_bits(affine->codes);
	int64		blocks;
	int64		dims[3];
	char	   *scales;
	OnnxPart   *part;

	if (!fits_blocks(native, survey, activations, tensor))
		return NULL;
	scales = onnx_native_scales(native, dtype);
	if (scales == NULL)
		return NULL;
	native->in_blocks = native->microsoft = true;
	blocks = blocks_of(native);
	dims[0] = native->columns;
	dims[1] = blocks;
	dims[2] = affine->group * bits / 8;
	onnx_native_part(native, survey, "_quantized", DTYPE_U8, 3, dims)->source =
		ONNX_FROM_BLOCKS;

	dims[0] = native->columns * blocks;
	part = onnx_native_part(native, survey, "_scale", dtype, 1, dims);
	part->source = ONNX_FROM_MEMORY;
	part->bytes = model_alloc_bytes(CurrentMemoryContext, part->size);
	turn(native, scales, dtype_bits(dtype) / 8, part->bytes);
	pfree(scales);
	if (affine->has_zeros)
	{
		uint64		size;
		char	   *zeros = block_zeros(native, &size);

		dims[0] = size;
		part = onnx_native_part(native, survey, "_zero_point", DTYPE_U8, 1, dims);
		part->source = ONNX_FROM_MEMORY;
		part->bytes = zeros;
	}
	return native;
}

/* Codes first to first + n - 1 of a column; behind its end there are zeros. */
static void
get_column(const OnnxNative *native, const char *stored, int64 column,
		   int64 first, int64 n, uint8 *codes)
{
	int64		own = Max(Min(n, native->rows - first), 0);

	if (native->transposed)
		unsigned_codes(native, stored, column * native->rows + first, own, codes);
	else
		for (int64 i = 0; i < own; i++)
			unsigned_codes(native, stored,
						   (first + i) * native->columns + column, 1, codes + i);
	memset(codes + own, 0, n - own);
}

/* The codes of a column after another, the last block of each filled up. */
static void
put_blocks(const OnnxNative *native, Sink *sink, uint64 at)
{
	const Affine *affine = &native->affine;
	int			bits = dtype_bits(affine->codes);
	int64		padded = blocks_of(native) * affine->group;
	char	   *stored = get_stored(native->payload, affine->codes_at,
									dtype_bytes(affine->codes, affine->count));
	uint8	   *codes = palloc(COLUMN_STRETCH);
	char	   *packed = palloc(COLUMN_STRETCH);

	for (int64 column = 0; column < native->columns; column++)
	{
		for (int64 first = 0; first < padded; first += COLUMN_STRETCH)
		{
			int64		n = Min(padded - first, COLUMN_STRETCH);
			int64		bytes = n * bits / 8;

			CHECK_FOR_INTERRUPTS();
			get_column(native, stored, column, first, n, codes);
			if (bits == 4)
				kernel_pack_nibbles((uint8 *) packed, codes, n);
			else
				memcpy(packed, codes, n);
			sink->put(sink, at, packed, bytes);
			at += bytes;
		}
	}
	pfree(stored);
	pfree(codes);
	pfree(packed);
}

void
onnx_native_replace(const OnnxNative *native, const OnnxSurvey *survey,
					OnnxBytes node, char **inputs, int ninputs, StringInfo out)
{
	char	   *output = onnx_string(onnx_get(node, NODE_OUTPUT));
	bool		adds = onnx_equals(onnx_operator(node), "Gemm") && ninputs > 2 &&
		inputs[2][0] != '\0';
	char	   *product = adds ? onnx_new_name(survey, output, "_product") : output;
	OnnxNode	multiply = {.op_type = "MatMulNBits", .domain = ONNX_MICROSOFT,
	.output = product, .ninputs = 1 + native->nparts};
	OnnxNode	add = {.op_type = "Add", .domain = "", .output = output,
	.ninputs = 2};
	StringInfoData attributes;

	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "K", native->rows);
	onnx_put_attribute(&attributes, "N", native->columns);
	onnx_put_attribute(&attributes, "bits", dtype_bits(native->affine.codes));
	onnx_put_attribute(&attributes, "block_size", native->affine.group);
	multiply.attributes = attributes.data;
	multiply.attributes_size = attributes.len;
	multiply.inputs[0] = inputs[0];
	for (int i = 0; i < native->nparts; i++)
		multiply.inputs[1 + i] = native->part_names[i];
	onnx_put_node(out, &multiply);
	if (!adds)
		return;
	add.inputs[0] = product;
	add.inputs[1] = inputs[2];
	onnx_put_node(out, &add);
}

/* ---------- the choice ---------- */

static OnnxNative *
affine_native(const OnnxSurvey *survey, const OnnxActivations *activations,
			  const Tensor *tensor, Payload *payload)
{
	OnnxNative *native = create(tensor, payload);
	OnnxNative *found;

	affine_get_header(payload, &native->affine);
	found = dequantize(native, survey, tensor);
	if (found == NULL)
		found = in_blocks(native, survey, activations, tensor);
	return found != NULL ? found : onnx_native_in_rows(native, survey, tensor);
}

OnnxNative *
onnx_native(const OnnxSurvey *survey, const OnnxActivations *activations,
			const Tensor *tensor, Payload *payload, DType graph_dtype)
{
	OnnxBytes	name = {tensor->name, strlen(tensor->name)};

	/* An input can be given by the caller, and is made by no node. */
	if (onnx_is_input(survey, name))
		return NULL;
	if (payload->dtype != graph_dtype)
		return is_wider(graph_dtype, payload->dtype) ?
			cast(survey, tensor, payload, graph_dtype) : NULL;
	if (payload->encoding == ENCODING_AFFINE &&
		(payload->dtype == DTYPE_F32 || payload->dtype == DTYPE_F16))
		return affine_native(survey, activations, tensor, payload);
	return NULL;
}

static void
put_stored(const OnnxNative *native, const OnnxPart *part, Sink *sink,
		   uint64 at)
{
	const uint64 stretch = 256 * 1024;
	char	   *buffer = palloc(Min(stretch, part->size));

	for (uint64 done = 0; done < part->size; done += stretch)
	{
		uint64		n = Min(stretch, part->size - done);

		CHECK_FOR_INTERRUPTS();
		payload_copy_part(native->payload, part->offset + done, n, buffer);
		sink->put(sink, at + done, buffer, n);
	}
	pfree(buffer);
}

void
onnx_native_put(const OnnxNative *native, const OnnxPart *part, Sink *sink,
				uint64 at)
{
	switch (part->source)
	{
		case ONNX_FROM_ELEMENTS:
			sink_put_payload(sink, at, native->payload);
			break;
		case ONNX_FROM_STORED:
			put_stored(native, part, sink, at);
			break;
		case ONNX_FROM_MEMORY:
			sink->put(sink, at, part->bytes, part->size);
			break;
		case ONNX_FROM_BLOCKS:
			put_blocks(native, sink, at);
			break;
		case ONNX_FROM_ROWS:
			onnx_native_put_rows(native, sink, at);
			break;
	}
}
