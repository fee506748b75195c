/*
 * predict_json_sql.c
 *		predict_json(): tensors of any type and shape, as JSON.
 *
 * A tensor is nested arrays, as many deep as it has dimensions; a number that
 * JSON lacks is a string.  Where arrays cannot tell the shape, because a
 * dimension is 0, and wherever somebody likes, it is an object with shape and
 * data.
 */
#include "postgres.h"

#include "common/int.h"
#include "common/shortest_dec.h"
#include "model/model_sql.h"
#include "serve/call.h"
#include "serve/invocation.h"
#include "serve/rows.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_predict_json);

/* ---------- from JSON ---------- */

/* A tensor's values as they are found. */
typedef struct Leaves
{
	const Port *port;
	const char *name;			/* in the database's encoding */
	TensorShape shape;
	int			depth;			/* of the values; -1 before the first one */
	bool		is_known[ORT_MAX_DIMS]; /* dimensions that are */
	Datum	   *values;			/* numeric or text */
	int64		count;
	int64		allocated;
} Leaves;

pg_noreturn static void
wrong_input(const Leaves *leaves, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("input \"%s\" %s", leaves->name, what),
			 errdetail("The model takes %s.", describe_ports(leaves->port, 1))));
}

static Datum
number_of_string(const Leaves *leaves, const JsonbValue *value)
{
	char	   *string = pnstrdup(value->val.string.val, value->val.string.len);

	if (strcmp(string, "NaN") != 0 && strcmp(string, "Infinity") != 0 &&
		strcmp(string, "-Infinity") != 0)
		wrong_input(leaves, psprintf("takes numbers, not \"%s\"",
									 pnstrdup(string, pg_mbcliplen(string, strlen(string), 32))));
	return DirectFunctionCall3(numeric_in, CStringGetDatum(string),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static Datum
leaf_value(const Leaves *leaves, const JsonbValue *value)
{
	bool		takes_text = leaves->port->type == ELEMENT_STRING;

	switch (value->type)
	{
		case jbvString:
			if (takes_text)
				return PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
																value->val.string.len));
			return number_of_string(leaves, value);
		case jbvNumeric:
			if (takes_text)
				wrong_input(leaves, "takes strings, not numbers");
			return NumericGetDatum(value->val.numeric);
		case jbvBool:
			if (takes_text)
				wrong_input(leaves, "takes strings, not booleans");
			return DirectFunctionCall1(int4_numeric, Int32GetDatum(value->val.boolean));
		default:
			wrong_input(leaves, "has a null");
	}
}

static void
add_leaf(Leaves *leaves, int depth, const JsonbValue *value)
{
	if (leaves->depth >= 0 && leaves->depth != depth)
		wrong_input(leaves, "has arrays of different depths");
	leaves->depth = depth;
	if (leaves->count == leaves->allocated)
	{
		leaves->allocated = Max(2 * leaves->allocated, 64);
		leaves->values = leaves->values == NULL ?
			palloc_extended(leaves->allocated * sizeof(Datum), MCXT_ALLOC_HUGE) :
			repalloc_huge(leaves->values, leaves->allocated * sizeof(Datum));
	}
	leaves->values[leaves->count++] = leaf_value(leaves, value);
}

static void
enter_array(Leaves *leaves, int depth, int64 length)
{
	if (depth >= ORT_MAX_DIMS)
		wrong_input(leaves, "has too many dimensions");
	if (leaves->is_known[depth] && leaves->shape.dims[depth] != length)
		wrong_input(leaves, "has arrays of different lengths");
	leaves->is_known[depth] = true;
	leaves->shape.dims[depth] = length;
	leaves->shape.ndim = Max(leaves->shape.ndim, depth + 1);
}

static void
read_arrays(Leaves *leaves, JsonbContainer *arrays)
{
	JsonbIterator *iterator = JsonbIteratorInit(arrays);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			depth = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_BEGIN_ARRAY)
		{
			if (!value.val.array.rawScalar)
				enter_array(leaves, depth++, value.val.array.nElems);
		}
		else if (token == WJB_END_ARRAY)
			depth--;
		else if (token == WJB_ELEM)
			add_leaf(leaves, depth, &value);
		else
			wrong_input(leaves, "is no array of numbers or strings");
	}
	/* Arrays that are empty below ones that are not, say. */
	if (leaves->depth >= 0 && leaves->depth != leaves->shape.ndim)
		wrong_input(leaves, "has arrays of different depths");
}

/* {"shape": [2, 0], "data": []} */
static void
read_shaped(Leaves *leaves, JsonbContainer *object)
{
	JsonbValue	shape,
				data;
	TensorShape given = {0};
	int64		count;

	if (JsonContainerSize(object) != 2 ||
		getKeyJsonValueFromContainer(object, "shape", 5, &shape) == NULL ||
		getKeyJsonValueFromContainer(object, "data", 4, &data) == NULL ||
		shape.type != jbvBinary || !JsonContainerIsArray(shape.val.binary.data) ||
		data.type != jbvBinary || !JsonContainerIsArray(data.val.binary.data))
		wrong_input(leaves, "is neither arrays nor an object of shape and data");
	for (uint32 i = 0; i < JsonContainerSize(shape.val.binary.data); i++)
	{
		JsonbValue *dimension = getIthJsonbValueFromContainer(shape.val.binary.data, i);

		if (dimension->type != jbvNumeric || given.ndim == ORT_MAX_DIMS)
			wrong_input(leaves, "has a shape that is none");
		given.dims[given.ndim++] =
			DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(dimension->val.numeric)));
	}
	read_arrays(leaves, data.val.binary.data);
	if (leaves->shape.ndim > 1 || !shape_elements(&given, &count) || count != leaves->count)
		wrong_input(leaves, "has not the values that its shape says");
	leaves->shape = given;
}

static void
check_shape(Leaves *leaves)
{
	const Port *port = leaves->port;

	/* To the runtime an input without a shape looks like a single number; what
	 * really is one it checks itself. */
	if (port->ndim != 0 && leaves->shape.ndim != port->ndim)
		wrong_input(leaves, psprintf("has %d dimensions, not %d", leaves->shape.ndim, port->ndim));
	for (int i = 0; i < port->ndim; i++)
		if (port->dims[i] >= 0 && port->dims[i] != leaves->shape.dims[i])
			wrong_input(leaves, psprintf("has " INT64_FORMAT " for dimension %d, not " INT64_FORMAT,
										 leaves->shape.dims[i], i + 1, port->dims[i]));
	leaves->shape.type = port->type;
}

static void
read_leaves(Leaves *leaves, const Port *port, JsonbValue *value)
{
	memset(leaves, 0, sizeof(*leaves));
	leaves->port = port;
	leaves->name = utf8_to_server(port->name);
	leaves->depth = -1;
	if (port->kind != PORT_TENSOR)
		wrong_input(leaves, "is no tensor, and cannot be given");
	if (value->type != jbvBinary)
		add_leaf(leaves, 0, value);
	else if (JsonContainerIsObject(value->val.binary.data))
		read_shaped(leaves, value->val.binary.data);
	else
		read_arrays(leaves, value->val.binary.data);
	check_shape(leaves);
}

/* ---------- into the model ---------- */

static void
give_strings(Session *session, int i, const Leaves *leaves)
{
	uint64		total = 0;
	uint64	   *offsets;
	char	  **strings = palloc_extended((leaves->count + 1) * sizeof(char *), MCXT_ALLOC_HUGE);
	char	   *dst;

	for (int64 k = 0; k < leaves->count; k++)
	{
		char	   *string = TextDatumGetCString(leaves->values[k]);

		strings[k] = pg_server_to_any(string, strlen(string), PG_UTF8);
		total += strlen(strings[k]) + 1;
	}
	offsets = session_input(session, i, &leaves->shape,
							(leaves->count + 1) * sizeof(uint64) + total);
	dst = (char *) (offsets + leaves->count + 1);
	offsets[0] = 0;
	for (int64 k = 0; k < leaves->count; k++)
	{
		uint64		length = strlen(strings[k]) + 1;

		memcpy(dst + offsets[k], strings[k], length);
		offsets[k + 1] = offsets[k] + length;
	}
}

/* Two to a byte, the low half first. */
static void
give_nibbles(const Leaves *leaves, uint8 *dst)
{
	int			least = leaves->shape.type == ELEMENT_I4 ? -8 : 0;

	for (int64 i = 0; i < leaves->count; i++)
	{
		int8		value;

		if (elements_write(SOURCE_NUMERIC, &leaves->values[i], 1, ELEMENT_I8, &value, leaves->name) >= 0 ||
			value < least || value > least + 15)
			rows_refuse(elements_complaint(SOURCE_NUMERIC, leaves->values, i,
										   leaves->shape.type, leaves->name));
		if (i % 2 == 0)
			dst[i / 2] = value & 15;
		else
			dst[i / 2] |= (value & 15) << 4;
	}
}

static void
give_input(Session *session, int i, const Leaves *leaves)
{
	uint64		bytes;
	void	   *dst;
	int64		bad;

	if (leaves->shape.type == ELEMENT_STRING)
	{
		give_strings(session, i, leaves);
		return;
	}
	if (!elements_bytes(leaves->shape.type, leaves->count, &bytes))
		wrong_input(leaves, "has elements of a type that is not supported");
	dst = session_input(session, i, &leaves->shape, bytes);
	if (element_bits(leaves->shape.type) < 8)
	{
		give_nibbles(leaves, dst);
		return;
	}
	bad = elements_write(SOURCE_NUMERIC, leaves->values, leaves->count,
						 leaves->shape.type, dst, leaves->name);
	if (bad >= 0)
		rows_refuse(elements_complaint(SOURCE_NUMERIC, leaves->values, bad,
									   leaves->shape.type, leaves->name));
}

/* The value of an input; a model with one may have it without its name. */
static JsonbValue *
find_value(const Session *session, int i, Jsonb *inputs, JsonbValue *found)
{
	const char *name = utf8_to_server(session->inputs[i].name);
	JsonbValue *value;

	if (!JsonContainerIsObject(&inputs->root))
	{
		if (session->ninputs != 1 || JsonContainerIsScalar(&inputs->root))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("inputs must be an object with a key for each"),
					 errdetail("The model takes %s.", describe_ports(session->inputs, session->ninputs))));
		found->type = jbvBinary;
		found->val.binary.data = &inputs->root;
		found->val.binary.len = VARSIZE(inputs) - VARHDRSZ;
		return found;
	}
	value = getKeyJsonValueFromContainer(&inputs->root, name, strlen(name), found);
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("input \"%s\" is missing", name),
				 errdetail("The model takes %s.", describe_ports(session->inputs, session->ninputs))));
	return value;
}

/* Gives all of them; returns the first one's first dimension, or 0. */
static int64
give_inputs(Session *session, Jsonb *inputs)
{
	Leaves	   *leaves = palloc(Max(session->ninputs, 1) * sizeof(Leaves));

	for (int i = 0; i < session->ninputs; i++)
	{
		JsonbValue	value;

		read_leaves(&leaves[i], &session->inputs[i],
					find_value(session, i, inputs, &value));
	}
	if (JsonContainerIsObject(&inputs->root) &&
		JsonContainerSize(&inputs->root) != (uint32) session->ninputs)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model does not take all of these inputs"),
				 errdetail("It takes %s.", describe_ports(session->inputs, session->ninputs))));
	session_begin(session);
	for (int i = 0; i < session->ninputs; i++)
		give_input(session, i, &leaves[i]);
	return session->ninputs > 0 && leaves[0].shape.ndim > 0 ? leaves[0].shape.dims[0] : 0;
}

/* ---------- to JSON ---------- */

static void
put_float(StringInfo out, double value, bool is_double)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (isnan(value))
		appendStringInfoString(out, "\"NaN\"");
	else if (isinf(value))
		appendStringInfoString(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else
	{
		if (is_double)
			double_to_shortest_decimal_buf(value, digits);
		else
			float_to_shortest_decimal_buf(value, digits);
		appendStringInfoString(out, digits);
	}
}

static void
put_element(StringInfo out, const ServedTensor *tensor, int64 count, int64 i)
{
	int			type = tensor->shape.type;
	double		value;

	switch (type)
	{
		case ELEMENT_STRING:
			escape_json(out, string_element(tensor, count, i));
			return;
		case ELEMENT_I64:
			appendStringInfo(out, INT64_FORMAT, ((const int64 *) tensor->data)[i]);
			return;
		case ELEMENT_U64:
			appendStringInfo(out, UINT64_FORMAT, ((const uint64 *) tensor->data)[i]);
			return;
		case ELEMENT_BOOL:
			appendStringInfoString(out, ((const bool *) tensor->data)[i] ? "true" : "false");
			return;
		case ELEMENT_F64:
			put_float(out, ((const double *) tensor->data)[i], true);
			return;
	}
	if (element_dtype(type) == DTYPE_INVALID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives elements of a type that is not supported")));
	if (element_bits(type) < 8)
	{
		double		pair[2];

		dtype_to_double(element_dtype(type), tensor->data, i & ~(int64) 1,
						Min(2, count - (i & ~(int64) 1)), pair);
		value = pair[i & 1];
	}
	else
		dtype_to_double(element_dtype(type), tensor->data, i, 1, &value);
	if (dtype_is_float(element_dtype(type)))
		put_float(out, value, false);
	else
		appendStringInfo(out, "%.0f", value);
}

static void
put_arrays(StringInfo out, const ServedTensor *tensor, int64 count)
{
	const TensorShape *shape = &tensor->shape;

	for (int64 i = 0; i < count; i++)
	{
		int64		stride = count;

		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			appendStringInfoChar(out, ',');
		for (int d = 0; d < shape->ndim; d++)
		{
			if (i % stride == 0)
				appendStringInfoChar(out, '[');
			stride /= shape->dims[d];
		}
		put_element(out, tensor, count, i);
		stride = count;
		for (int d = 0; d < shape->ndim; d++)
		{
			if ((i + 1) % stride == 0)
				appendStringInfoChar(out, ']');
			stride /= shape->dims[d];
		}
	}
}

static void
put_shaped(StringInfo out, const TensorShape *shape)
{
	appendStringInfoString(out, "{\"shape\":[");
	for (int d = 0; d < shape->ndim; d++)
		appendStringInfo(out, "%s" INT64_FORMAT, d > 0 ? "," : "", shape->dims[d]);
	appendStringInfoString(out, "],\"data\":[]}");
}

static Datum
outputs_to_jsonb(const Session *session)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < session->noutputs; i++)
	{
		const ServedTensor *tensor = session_output(session, i);
		int64		count;

		if (i > 0)
			appendStringInfoChar(&out, ',');
		escape_json(&out, utf8_to_server(session->outputs[i].name));
		appendStringInfoChar(&out, ':');
		if (tensor->shape.type == ELEMENT_NONE)
			appendStringInfoString(&out, "null");
		else if (shape_elements(&tensor->shape, &count) && count > 0)
			put_arrays(&out, tensor, count);
		else
			put_shaped(&out, &tensor->shape);
	}
	appendStringInfoChar(&out, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}

/* predict_json(model or name, inputs) */
static Datum
predict_json(FunctionCallInfo fcinfo)
{
	Jsonb	   *inputs = PG_GETARG_JSONB_P(1);
	Session    *session = target_session(call_target(fcinfo, 0));
	int64		rows = give_inputs(session, inputs);

	session_run(session, rows, rows > 0 ? rows : 1);
	return outputs_to_jsonb(session);
}

Datum
modelopt_predict_json(PG_FUNCTION_ARGS)
{
	return invocation_run(fcinfo, predict_json);
}
