/*
 * onnx_tensor.c
 *		TensorProto: element types, where elements are, and decoding them.
 *
 * Elements come as raw_data, little endian, or singly in a repeated field of
 * numbers whose kind depends on the element type.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/elements.h"
#include "onnx/onnx.h"
#include "miscadmin.h"

/* Fields and numbers read between two looks for interrupts. */
#define STRETCH 65536

/* Bytes copied or counted likewise. */
#define COPY_STRETCH ((uint64) 4 * 1024 * 1024)

/* Indexed by TensorProto.DataType. */
static const OnnxType types[] = {
	[1] = {"f32", 32, DTYPE_F32, TENSOR_FLOAT_DATA, 1},
	[2] = {"u8", 8, DTYPE_U8, TENSOR_INT32_DATA, 1},
	[3] = {"i8", 8, DTYPE_I8, TENSOR_INT32_DATA, 1},
	[4] = {"u16", 16, DTYPE_U16, TENSOR_INT32_DATA, 1},
	[5] = {"i16", 16, DTYPE_I16, TENSOR_INT32_DATA, 1},
	[6] = {"i32", 32, DTYPE_I32, TENSOR_INT32_DATA, 1},
	[7] = {"i64", 64, DTYPE_I64, TENSOR_INT64_DATA, 1},
	[8] = {"string", 0, DTYPE_INVALID, TENSOR_STRING_DATA, 1},
	[9] = {"bool", 8, DTYPE_BOOL, TENSOR_INT32_DATA, 1},
	[10] = {"f16", 16, DTYPE_F16, TENSOR_INT32_DATA, 1},
	[11] = {"f64", 64, DTYPE_F64, TENSOR_DOUBLE_DATA, 1},
	[12] = {"u32", 32, DTYPE_U32, TENSOR_UINT64_DATA, 1},
	[13] = {"u64", 64, DTYPE_U64, TENSOR_UINT64_DATA, 1},
	[14] = {"complex64", 64, DTYPE_INVALID, TENSOR_FLOAT_DATA, 2},
	[15] = {"complex128", 128, DTYPE_INVALID, TENSOR_DOUBLE_DATA, 2},
	[16] = {"bf16", 16, DTYPE_BF16, TENSOR_INT32_DATA, 1},
	[17] = {"f8e4m3", 8, DTYPE_F8E4M3, TENSOR_INT32_DATA, 1},
	[18] = {"f8e4m3fnuz", 8, DTYPE_F8E4M3FNUZ, TENSOR_INT32_DATA, 1},
	[19] = {"f8e5m2", 8, DTYPE_F8E5M2, TENSOR_INT32_DATA, 1},
	[20] = {"f8e5m2fnuz", 8, DTYPE_F8E5M2FNUZ, TENSOR_INT32_DATA, 1},
	[21] = {"u4", 4, DTYPE_U4, 0, 0},
	[22] = {"i4", 4, DTYPE_I4, 0, 0},
	[23] = {"f4e2m1", 4, DTYPE_INVALID, 0, 0},
	[24] = {"f8e8m0", 8, DTYPE_F8E8M0, TENSOR_INT32_DATA, 1},
	[25] = {"u2", 2, DTYPE_INVALID, 0, 0},
	[26] = {"i2", 2, DTYPE_INVALID, 0, 0},
};

const OnnxType *
onnx_type(int64 number)
{
	if (number <= 0 || number >= lengthof(types))
		return NULL;
	return &types[number];
}

int
onnx_type_of(DType dtype)
{
	int			number = 1;

	while (types[number].dtype != dtype)
		number++;
	return number;
}

bool
onnx_is_elements(uint32 number)
{
	switch (number)
	{
		case TENSOR_FLOAT_DATA:
		case TENSOR_INT32_DATA:
		case TENSOR_STRING_DATA:
		case TENSOR_INT64_DATA:
		case TENSOR_RAW_DATA:
		case TENSOR_DOUBLE_DATA:
		case TENSOR_UINT64_DATA:
			return true;
		default:
			return false;
	}
}

uint64
onnx_raw_size(const OnnxTensor *tensor)
{
	uint64		count = tensor->count;
	int			bits = tensor->type->bits;

	/* No count is larger than 2^59: no product overflows. */
	return bits < 8 ? (count * bits + 7) / 8 : count * (bits / 8);
}

/* ---------- taking a message apart ---------- */

static void
scan_dims(OnnxTensor *tensor, const PbField *field)
{
	PbReader	packed = pb_content(field);
	uint64		dim = field->value;
	bool		more = field->wire == PB_VARINT;

	while (more || pb_next_varint(&packed, &dim))
	{
		if (tensor->ndim < MODEL_MAX_DIMS)
			tensor->dims[tensor->ndim] = (int64) dim;
		tensor->ndim++;
		more = false;
	}
}

static void
finish_shape(OnnxTensor *tensor)
{
	if (tensor->ndim > MODEL_MAX_DIMS ||
		!shape_count(tensor->ndim, tensor->dims, &tensor->count))
		tensor->count = -1;
}

void
onnx_scan_shape(OnnxTensor *tensor, OnnxBytes message, uint32 number)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;

	memset(tensor, 0, sizeof(OnnxTensor));
	while (onnx_next(&reader, number, &field))
		scan_dims(tensor, &field);
	finish_shape(tensor);
}

static uint64
count_packed(const char *data, uint64 size)
{
	uint64		count = 0;

	for (uint64 done = 0; done < size; done += COPY_STRETCH)
	{
		CHECK_FOR_INTERRUPTS();
		count += pb_count_varints(data + done, Min(COPY_STRETCH, size - done));
	}
	return count;
}

/* Elements that one field has: all of them when packed. */
static uint64
count_entries(const PbField *field)
{
	if (field->wire != PB_BYTES || field->number == TENSOR_STRING_DATA)
		return 1;
	if (field->number == TENSOR_FLOAT_DATA)
		return field->size / 4;
	if (field->number == TENSOR_DOUBLE_DATA)
		return field->size / 8;
	return count_packed(field->data, field->size);
}

static void
scan_elements(OnnxTensor *tensor, const PbField *field)
{
	uint64		entries = count_entries(field);

	if (entries == 0)
		return;
	if (tensor->entries > 0 && tensor->typed != field->number)
		tensor->mixed = true;
	tensor->typed = field->number;
	tensor->entries += entries;
}

void
onnx_scan_tensor(OnnxTensor *tensor, OnnxBytes message)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	int			n = 0;

	memset(tensor, 0, sizeof(OnnxTensor));
	tensor->message = message;
	while (pb_next(&reader, &field))
	{
		if (++n % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		if (field.number == TENSOR_DIMS)
			scan_dims(tensor, &field);
		else if (field.number == TENSOR_DATA_TYPE)
			tensor->data_type = (int64) field.value;
		else if (field.number == TENSOR_NAME)
			tensor->name = onnx_bytes(&field);
		else if (field.number == TENSOR_RAW_DATA)
		{
			tensor->has_raw = true;
			tensor->raw = onnx_bytes(&field);
		}
		else if (onnx_is_elements(field.number))
			scan_elements(tensor, &field);
		else if (field.number == TENSOR_SEGMENT)
			tensor->has_segment = true;
		else if (field.number == TENSOR_EXTERNAL_DATA)
			tensor->has_external = true;
		else if (field.number == TENSOR_DATA_LOCATION)
			tensor->location = (int64) field.value;
	}
	tensor->has_external |= tensor->location != 0;
	tensor->mixed |= tensor->has_raw && tensor->entries > 0;
	tensor->type = onnx_type(tensor->data_type);
	finish_shape(tensor);
}

/* ---------- elements that come singly ---------- */

/* Where decoded elements go. */
typedef struct Decoder
{
	DType		dtype;
	int			width;			/* bytes of an element */
	char	   *next;
} Decoder;

/*
 * Puts a number from a field of integers; false when the type cannot hold it.
 * Fields of 32 bits are read as everybody does, the upper half ignored.
 */
static bool
put_integer(Decoder *decoder, uint64 value)
{
	int64		low = (int32) (uint32) value;
	bool		fits = true;

	switch (decoder->dtype)
	{
		case DTYPE_I8:
			fits = low >= PG_INT8_MIN && low <= PG_INT8_MAX;
			break;
		case DTYPE_I16:
			fits = low >= PG_INT16_MIN && low <= PG_INT16_MAX;
			break;
		case DTYPE_BOOL:
			fits = low == 0 || low == 1;
			break;
		case DTYPE_U8:
		case DTYPE_F8E4M3:
		case DTYPE_F8E5M2:
		case DTYPE_F8E4M3FNUZ:
		case DTYPE_F8E5M2FNUZ:
		case DTYPE_F8E8M0:
			fits = low >= 0 && low <= PG_UINT8_MAX;
			break;
		case DTYPE_U16:
		case DTYPE_F16:
		case DTYPE_BF16:
			fits = low >= 0 && low <= PG_UINT16_MAX;
			break;
		case DTYPE_U32:
			fits = value <= PG_UINT32_MAX;
			break;
		default:				/* as wide as the field */
			break;
	}
	/* Little endian: the low bytes come first. */
	memcpy(decoder->next, &value, decoder->width);
	decoder->next += decoder->width;
	return fits;
}

static bool
put_integers(Decoder *decoder, const PbField *field)
{
	PbReader	packed = pb_content(field);
	uint64		value;
	int			n = 0;

	if (field->wire == PB_VARINT)
		return put_integer(decoder, field->value);
	while (pb_next_varint(&packed, &value))
	{
		if (++n % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		if (!put_integer(decoder, value))
			return false;
	}
	return true;
}

/* Floats have in the field the bytes that they have here. */
static void
put_floats(Decoder *decoder, const PbField *field)
{
	if (field->wire == PB_BYTES)
	{
		elements_copy(decoder->next, field->data, field->size);
		decoder->next += field->size;
		return;
	}
	memcpy(decoder->next, &field->value, decoder->width);
	decoder->next += decoder->width;
}

static const char *
decode_typed(const OnnxTensor *tensor, char *dst)
{
	PbReader	reader = onnx_reader(tensor->message);
	Decoder		decoder = {tensor->type->dtype, tensor->type->bits / 8, dst};
	PbField		field;
	int			n = 0;

	while (onnx_next(&reader, tensor->typed, &field))
	{
		if (++n % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		if (tensor->typed == TENSOR_FLOAT_DATA ||
			tensor->typed == TENSOR_DOUBLE_DATA)
		{
			if (field.wire != PB_BYTES || field.size > 0)
				put_floats(&decoder, &field);
		}
		else if (!put_integers(&decoder, &field))
			return "has an element that its type cannot hold";
	}
	Assert(decoder.next - dst == dtype_bytes(decoder.dtype, tensor->count));
	return NULL;
}

/* ---------- elements as bytes ---------- */

const char *
onnx_check_bytes(const OnnxTensor *tensor, const char *elements)
{
	DType		dtype = tensor->type->dtype;
	uint64		size = onnx_raw_size(tensor);

	if (dtype == DTYPE_INVALID)
		return NULL;
	if (dtype == DTYPE_BOOL && !elements_are_bool(elements, size))
		return "has a boolean that is neither 0 nor 1";
	if (dtype_bits(dtype) == 4 && tensor->count % 2 != 0 &&
		((uint8) elements[size - 1] & 0xf0) != 0)
		return "has something in the unused half of its last byte";
	return NULL;
}

void
onnx_report_tensor(const OnnxTensor *tensor, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid ONNX model"),
			 errdetail("Tensor %s %s.", onnx_quote(tensor->name), problem)));
}

const char *
onnx_read_elements(const OnnxTensor *tensor, char *dst)
{
	Assert(!tensor->has_external);
	if (tensor->entries > 0)
		return decode_typed(tensor, dst);
	elements_copy(dst, tensor->raw.data, tensor->raw.size);
	return onnx_check_bytes(tensor, dst);
}

/* ---------- elements in other files ---------- */

/* A number of decimal digits; false when it is none or does not fit. */
static bool
parse_number(OnnxBytes digits, uint64 *number)
{
	uint64		value = 0;

	if (digits.size == 0 || digits.size > 18)
		return false;
	for (uint64 i = 0; i < digits.size; i++)
	{
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return false;
		value = value * 10 + (digits.data[i] - '0');
	}
	*number = value;
	return true;
}

const char *
onnx_scan_external(const OnnxTensor *tensor, OnnxExternal *external)
{
	PbReader	reader = onnx_reader(tensor->message);
	PbField		field;
	bool		has_offset = false;

	memset(external, 0, sizeof(OnnxExternal));
	if (tensor->location != ONNX_EXTERNAL)
		return "names another file, but not as the place of its elements";
	while (onnx_next(&reader, TENSOR_EXTERNAL_DATA, &field))
	{
		OnnxBytes	key = onnx_get(onnx_bytes(&field), ENTRY_KEY);
		OnnxBytes	value = onnx_get(onnx_bytes(&field), ENTRY_VALUE);

		if (onnx_equals(key, "location") && external->path.size == 0)
			external->path = value;
		else if (onnx_equals(key, "offset") && !has_offset &&
				 parse_number(value, &external->offset))
			has_offset = true;
		else if (onnx_equals(key, "length") && !external->has_length &&
				 parse_number(value, &external->length))
			external->has_length = true;
		else if (!onnx_equals(key, "checksum"))
			return "has external_data that is no location, offset or length, or has one twice";
	}
	if (external->path.size == 0)
		return "has elements in another file and does not name it";
	if (external->has_length && external->length != onnx_raw_size(tensor))
		return "has an external_data length that does not fit its type and shape";
	return NULL;
}
