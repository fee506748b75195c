/*
 * onnx_show.c
 *		Types, shapes and attributes of a graph, for people to see.
 *
 * Everything here has been checked (onnx_model_graph).
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "format/onnx.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* Elements up to which lists and tensors are shown. */
#define MAX_SHOWN 64

/* ---------- types ---------- */

static const char *
element_type(int64 number)
{
	const OnnxType *type = onnx_type(number);

	if (number == 0)
		return "unknown";
	return type != NULL ? type->name : psprintf("type " INT64_FORMAT, number);
}

/* What is written before the innermost type, and after it. */
typedef struct Nesting
{
	StringInfoData before;
	int			depth;
} Nesting;

/* The type in a sequence, an optional value or a map, which is noted. */
static OnnxBytes
unwrap(Nesting *nesting, OnnxBytes type)
{
	static const struct
	{
		uint32		number;
		uint32		inner;
		const char *name;
	}			wraps[] = {
		{TYPE_SEQUENCE, TYPE_ELEMENT, "sequence"},
		{TYPE_OPTIONAL, TYPE_ELEMENT, "optional"},
		{TYPE_MAP, MAP_VALUE, "map"},
	};

	for (int i = 0; i < lengthof(wraps); i++)
	{
		OnnxBytes	wrap = onnx_get(type, wraps[i].number);

		if (wrap.data == NULL)
			continue;
		appendStringInfo(&nesting->before, "%s(", wraps[i].name);
		if (wraps[i].number == TYPE_MAP)
			appendStringInfo(&nesting->before, "%s, ",
							 element_type(onnx_get_integer(wrap, MAP_KEY)));
		nesting->depth++;
		return onnx_get(wrap, wraps[i].inner);
	}
	type.data = NULL;
	return type;
}

/* A type that has no other in it. */
static void
put_innermost(StringInfo out, OnnxBytes type)
{
	OnnxBytes	tensor = onnx_get(type, TYPE_TENSOR);
	OnnxBytes	sparse = onnx_get(type, TYPE_SPARSE_TENSOR);
	OnnxBytes	opaque = onnx_get(type, TYPE_OPAQUE);

	if (tensor.data != NULL)
		appendStringInfoString(out, element_type(onnx_get_integer(tensor, TYPE_ELEMENT)));
	else if (sparse.data != NULL)
		appendStringInfo(out, "sparse(%s)",
						 element_type(onnx_get_integer(sparse, TYPE_ELEMENT)));
	else if (opaque.data != NULL)
		appendStringInfoString(out, "opaque");
	else
		appendStringInfoString(out, "unknown");
}

char *
onnx_show_type(OnnxBytes type)
{
	Nesting		nesting = {.depth = 0};
	OnnxBytes	inner;

	if (type.data == NULL)
		return NULL;
	initStringInfo(&nesting.before);
	while ((inner = unwrap(&nesting, type)).data != NULL)
		type = inner;
	put_innermost(&nesting.before, type);
	for (int i = 0; i < nesting.depth; i++)
		appendStringInfoChar(&nesting.before, ')');
	return nesting.before.data;
}

OnnxBytes
onnx_shape(OnnxBytes type)
{
	OnnxBytes	tensor = onnx_get(type, TYPE_TENSOR);

	if (tensor.data == NULL)
		tensor = onnx_get(type, TYPE_SPARSE_TENSOR);
	return onnx_get(tensor, TYPE_SHAPE);
}

char *
onnx_show_dimension(OnnxBytes dimension)
{
	PbReader	reader = onnx_reader(dimension);
	PbField		field;

	while (pb_next(&reader, &field))
	{
		if (field.number == DIMENSION_VALUE)
			return psprintf(INT64_FORMAT, (int64) field.value);
		if (field.number == DIMENSION_PARAM && field.size > 0)
			return onnx_string(onnx_bytes(&field));
	}
	return NULL;
}

/* ---------- pieces of JSON ---------- */

void
onnx_show_key(StringInfo out, const char *key)
{
	appendStringInfo(out, "%s\"%s\": ",
					 out->data[out->len - 1] == '{' ? "" : ", ", key);
}

void
onnx_show_text(StringInfo out, OnnxBytes bytes)
{
	json_append_string(out, bytes.size > 0 ? bytes.data : "", bytes.size);
}

/* A string of bytes, which is an object when it is no text. */
static void
put_string(StringInfo out, OnnxBytes bytes)
{
	if (bytes.size == 0 ||
		pg_verify_mbstr(PG_UTF8, bytes.data, bytes.size, true))
	{
		onnx_show_text(out, bytes);
		return;
	}
	appendStringInfo(out, "{\"type\": \"bytes\", \"size\": " UINT64_FORMAT "}",
					 bytes.size);
}

/* The shortest digits that are this float. */
static void
put_float(StringInfo out, float value)
{
	char		digits[FLOAT_SHORTEST_DECIMAL_LEN];

	if (isnan(value) || isinf(value))
	{
		json_append_double(out, value);
		return;
	}
	float_to_shortest_decimal_buf(value, digits);
	appendStringInfoString(out, digits);
}

static void
put_shape(StringInfo out, const OnnxTensor *tensor)
{
	onnx_show_key(out, "shape");
	appendStringInfoChar(out, '[');
	for (uint64 i = 0; i < tensor->ndim; i++)
		appendStringInfo(out, i > 0 ? ", " INT64_FORMAT : INT64_FORMAT,
						 tensor->dims[i]);
	appendStringInfoChar(out, ']');
}

static void
put_string_key(StringInfo out, const char *key, const char *value)
{
	onnx_show_key(out, key);
	json_append_string(out, value, strlen(value));
}

/* ---------- tensors ---------- */

static void
put_number(StringInfo out, DType dtype, const char *elements, int64 i,
		   double value)
{
	if (dtype == DTYPE_I64)
		appendStringInfo(out, INT64_FORMAT,
						 (int64) pb_fixed64(elements + 8 * i));
	else if (dtype == DTYPE_U64)
		appendStringInfo(out, UINT64_FORMAT, pb_fixed64(elements + 8 * i));
	else if (dtype == DTYPE_BOOL)
		appendStringInfoString(out, value != 0 ? "true" : "false");
	else if (dtype == DTYPE_F64)
		json_append_double(out, value);
	else
		put_float(out, (float) value);
}

/* Elements of a tensor that has few; nothing for one that has more, or whose
 * elements a model could not have. */
static void
put_values(StringInfo out, const OnnxTensor *tensor)
{
	DType		dtype = tensor->type->dtype;
	char		elements[MAX_SHOWN * sizeof(double)];
	double		values[MAX_SHOWN];

	if (dtype == DTYPE_INVALID || tensor->count > MAX_SHOWN ||
		onnx_read_elements(tensor, elements) != NULL)
		return;
	dtype_to_double(dtype, elements, 0, tensor->count, values);
	onnx_show_key(out, "values");
	appendStringInfoChar(out, '[');
	for (int64 i = 0; i < tensor->count; i++)
	{
		appendStringInfoString(out, i > 0 ? ", " : "");
		put_number(out, dtype, elements, i, values[i]);
	}
	appendStringInfoChar(out, ']');
}

static void
put_tensor(StringInfo out, OnnxBytes message)
{
	OnnxTensor	tensor;

	onnx_scan_tensor(&tensor, message);
	appendStringInfoChar(out, '{');
	put_string_key(out, "type", "tensor");
	put_string_key(out, "dtype", tensor.type->name);
	put_shape(out, &tensor);
	put_values(out, &tensor);
	appendStringInfoChar(out, '}');
}

static void
put_sparse_tensor(StringInfo out, OnnxBytes message)
{
	OnnxTensor	values;
	OnnxTensor	shape;

	onnx_scan_tensor(&values, onnx_get(message, SPARSE_VALUES));
	onnx_scan_shape(&shape, message, SPARSE_DIMS);
	appendStringInfoChar(out, '{');
	put_string_key(out, "type", "sparse_tensor");
	put_string_key(out, "dtype",
				   values.type != NULL ? values.type->name : "unknown");
	put_shape(out, &shape);
	onnx_show_key(out, "count");
	appendStringInfo(out, INT64_FORMAT "}", values.count);
}

/* ---------- other values of attributes ---------- */

static void
put_graph(StringInfo out, OnnxBytes graph)
{
	PbReader	reader = onnx_reader(graph);
	PbField		field;
	int64		nodes = 0;

	while (onnx_next(&reader, GRAPH_NODE, &field))
		nodes++;
	appendStringInfoChar(out, '{');
	put_string_key(out, "type", "graph");
	onnx_show_key(out, "name");
	onnx_show_text(out, onnx_get(graph, GRAPH_NAME));
	onnx_show_key(out, "nodes");
	appendStringInfo(out, INT64_FORMAT "}", nodes);
}

static void
put_type(StringInfo out, OnnxBytes type)
{
	appendStringInfoChar(out, '{');
	put_string_key(out, "type", "type");
	put_string_key(out, "dtype", onnx_show_type(type));
	appendStringInfoChar(out, '}');
}

/* One value of a field that is not packed. */
static void
put_value(StringInfo out, const PbField *field)
{
	OnnxBytes	bytes = onnx_bytes(field);
	uint32		bits = (uint32) field->value;
	float		number;

	switch (field->number)
	{
		case ATTRIBUTE_F:
		case ATTRIBUTE_FLOATS:
			memcpy(&number, &bits, sizeof(number));
			put_float(out, number);
			break;
		case ATTRIBUTE_I:
		case ATTRIBUTE_INTS:
			appendStringInfo(out, INT64_FORMAT, (int64) field->value);
			break;
		case ATTRIBUTE_S:
		case ATTRIBUTE_STRINGS:
			put_string(out, bytes);
			break;
		case ATTRIBUTE_T:
		case ATTRIBUTE_TENSORS:
			put_tensor(out, bytes);
			break;
		case ATTRIBUTE_SPARSE_TENSOR:
		case ATTRIBUTE_SPARSE_TENSORS:
			put_sparse_tensor(out, bytes);
			break;
		case ATTRIBUTE_G:
		case ATTRIBUTE_GRAPHS:
			put_graph(out, bytes);
			break;
		default:
			put_type(out, bytes);
			break;
	}
}

/* ---------- lists ---------- */

/* The value at the start of packed ones. */
static bool
next_packed(PbReader *packed, PbField *field)
{
	if (packed->at >= packed->end)
		return false;
	if (field->number == ATTRIBUTE_INTS)
		return pb_next_varint(packed, &field->value);
	field->value = pb_fixed32(packed->at);
	packed->at += 4;
	return true;
}

static bool
is_packed(const PbField *field)
{
	return field->wire == PB_BYTES && (field->number == ATTRIBUTE_INTS ||
									   field->number == ATTRIBUTE_FLOATS);
}

/* Up to MAX_SHOWN values are put; all are counted. */
static int64
put_values_of(StringInfo out, OnnxBytes attribute, uint32 number)
{
	PbReader	reader = onnx_reader(attribute);
	PbField		field;
	int64		n = 0;

	while (onnx_next(&reader, number, &field))
	{
		PbReader	packed = pb_content(&field);
		bool		one_by_one = !is_packed(&field);

		if (n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		while (one_by_one || next_packed(&packed, &field))
		{
			if (n < MAX_SHOWN)
			{
				appendStringInfoString(out, n > 0 ? ", " : "");
				put_value(out, &field);
			}
			n++;
			if (one_by_one)
				break;
		}
	}
	return n;
}

/* An array, or how long one is that has too many values to show. */
static void
put_list(StringInfo out, OnnxBytes attribute, uint32 number)
{
	int			start = out->len;
	int64		n;

	appendStringInfoChar(out, '[');
	n = put_values_of(out, attribute, number);
	if (n <= MAX_SHOWN)
	{
		appendStringInfoChar(out, ']');
		return;
	}
	out->len = start;
	appendStringInfoChar(out, '{');
	put_string_key(out, "type", onnx_field(ONNX_ATTRIBUTE, number)->name);
	onnx_show_key(out, "count");
	appendStringInfo(out, INT64_FORMAT "}", n);
}

/* ---------- attributes ---------- */

/* The field that has an attribute's value, by its type. */
static const uint32 value_fields[] = {
	[ONNX_ATTRIBUTE_FLOAT] = ATTRIBUTE_F,
	[ONNX_ATTRIBUTE_INT] = ATTRIBUTE_I,
	[ONNX_ATTRIBUTE_STRING] = ATTRIBUTE_S,
	[ONNX_ATTRIBUTE_TENSOR] = ATTRIBUTE_T,
	[ONNX_ATTRIBUTE_GRAPH] = ATTRIBUTE_G,
	[ONNX_ATTRIBUTE_FLOATS] = ATTRIBUTE_FLOATS,
	[ONNX_ATTRIBUTE_INTS] = ATTRIBUTE_INTS,
	[ONNX_ATTRIBUTE_STRINGS] = ATTRIBUTE_STRINGS,
	[ONNX_ATTRIBUTE_TENSORS] = ATTRIBUTE_TENSORS,
	[ONNX_ATTRIBUTE_GRAPHS] = ATTRIBUTE_GRAPHS,
	[ONNX_ATTRIBUTE_SPARSE_TENSOR] = ATTRIBUTE_SPARSE_TENSOR,
	[ONNX_ATTRIBUTE_SPARSE_TENSORS] = ATTRIBUTE_SPARSE_TENSORS,
	[ONNX_ATTRIBUTE_TYPE_PROTO] = ATTRIBUTE_TP,
	[ONNX_ATTRIBUTE_TYPE_PROTOS] = ATTRIBUTE_TYPE_PROTOS,
};

static void
put_attribute(StringInfo out, OnnxBytes attribute)
{
	int64		type = onnx_get_integer(attribute, ATTRIBUTE_TYPE);
	uint32		number = value_fields[type];
	OnnxBytes	reference = onnx_get(attribute, ATTRIBUTE_REF_ATTR_NAME);
	PbReader	reader = onnx_reader(attribute);
	PbField		field;

	onnx_show_text(out, onnx_get(attribute, ATTRIBUTE_NAME));
	appendStringInfoString(out, ": ");
	if (reference.size > 0)
	{
		appendStringInfoString(out, "{\"type\": \"reference\", \"to\": ");
		onnx_show_text(out, reference);
		appendStringInfoChar(out, '}');
	}
	else if (onnx_field(ONNX_ATTRIBUTE, number)->repeated)
		put_list(out, attribute, number);
	else if (onnx_next(&reader, number, &field))
		put_value(out, &field);
	else
		appendStringInfoString(out, "null");
}

void
onnx_show_attributes(StringInfo out, OnnxBytes node)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	int			n = 0;

	appendStringInfoChar(out, '{');
	while (onnx_next(&reader, NODE_ATTRIBUTE, &field))
	{
		CHECK_FOR_INTERRUPTS();
		appendStringInfoString(out, n++ > 0 ? ", " : "");
		put_attribute(out, onnx_bytes(&field));
	}
	appendStringInfoChar(out, '}');
}
