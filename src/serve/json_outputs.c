/*
 * json_outputs.c
 *		Values that a model gives, as JSON.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "model/model_sql.h"
#include "serve/elements.h"
#include "serve/json_values.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

/* ---------- tensors ---------- */

/* With as many digits as a float has. */
static void
put_float(StringInfo out, float value)
{
	char		digits[FLOAT_SHORTEST_DECIMAL_LEN];

	if (!isfinite(value))
	{
		json_append_double(out, value);
		return;
	}
	float_to_shortest_decimal_buf(value, digits);
	appendStringInfoString(out, digits);
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
			json_append_double(out, ((const double *) tensor->data)[i]);
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
		put_float(out, value);
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

static void
put_tensor(StringInfo out, const ServedTensor *tensor)
{
	int64		count;

	if (shape_elements(&tensor->shape, &count) && count > 0)
		put_arrays(out, tensor, count);
	else
		put_shaped(out, &tensor->shape);
}

/* ---------- values with others in them ---------- */

static void put_value(StringInfo out, const Port *port, const ServedTensor *value);

static void
put_sequence(StringInfo out, const Port *port, const ServedTensor *sequence)
{
	int			type = port_element_type(port->of);

	appendStringInfoChar(out, '[');
	for (int64 i = 0; i < sequence->shape.dims[0]; i++)
	{
		ServedTensor part;

		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			appendStringInfoChar(out, ',');
		session_part(sequence, i, type, &part);
		put_value(out, port->of, &part);
	}
	appendStringInfoChar(out, ']');
}

static void
put_map(StringInfo out, const Port *port, const ServedTensor *map)
{
	const char *quote = port->type == ELEMENT_STRING ? "" : "\"";
	ServedTensor keys,
				values;
	int64		count = session_map(port, map, &keys, &values);

	appendStringInfoChar(out, '{');
	for (int64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		appendStringInfoString(out, i > 0 ? "," : "");
		appendStringInfoString(out, quote);
		put_element(out, &keys, count, i);
		appendStringInfoString(out, quote);
		appendStringInfoChar(out, ':');
		put_element(out, &values, count, i);
	}
	appendStringInfoChar(out, '}');
}

static void
put_value(StringInfo out, const Port *port, const ServedTensor *value)
{
	if (value->shape.type == ELEMENT_NONE)
		appendStringInfoString(out, "null");
	else if (port->kind == PORT_OPTIONAL)
		put_value(out, port->of, value);
	else if (port->kind == PORT_SEQUENCE)
		put_sequence(out, port, value);
	else if (port->kind == PORT_MAP)
		put_map(out, port, value);
	else
		put_tensor(out, value);
}

Datum
json_of_outputs(const Session *session)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < session->noutputs; i++)
	{
		if (i > 0)
			appendStringInfoChar(&out, ',');
		escape_json(&out, utf8_to_server(session->outputs[i].name));
		appendStringInfoChar(&out, ':');
		put_value(&out, &session->outputs[i], session_output(session, i));
	}
	appendStringInfoChar(&out, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}
