/*
 * json_inputs.c
 *		Values that a model takes, from JSON.
 *
 * All are read and measured first; then they are laid out where the run wants
 * them.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "model/model_sql.h"
#include "serve/json_values.h"
#include "serve/rows.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* ---------- tensors ---------- */

/* A sequence of more would hardly fit the memory of a run. */
#define MAX_PARTS	(1 << 20)

/* A value as it is found. */
typedef struct Given
{
	const Port *input;			/* what the model takes */
	const char *name;			/* of that, in the database's encoding */
	const Port *type;			/* of this value, which may be in the input's */
	TensorShape shape;
	uint64		bytes;			/* that it takes in memory */

	/* of a tensor */
	int			depth;			/* of the values; -1 before the first one */
	bool		is_known[ORT_MAX_DIMS]; /* dimensions that are */
	Datum	   *values;			/* numeric, or strings in UTF-8 */
	int64		count;
	int64		allocated;
	uint64		text_bytes;		/* of strings, with a zero each */

	/* of a sequence, as many as the shape says; of a map its keys and values */
	struct Given *parts;
} Given;

pg_noreturn static void
wrong_input(const Given *given, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("input \"%s\" %s", given->name, what),
			 errdetail("The model takes %s.", describe_ports(given->input, 1))));
}

static Datum
number_of_string(const Given *given, const JsonbValue *value)
{
	char	   *string = pnstrdup(value->val.string.val, value->val.string.len);

	if (strcmp(string, "NaN") != 0 && strcmp(string, "Infinity") != 0 &&
		strcmp(string, "-Infinity") != 0)
		wrong_input(given, psprintf("takes numbers, not \"%s\"",
									 pnstrdup(string, pg_mbcliplen(string, strlen(string), 32))));
	return DirectFunctionCall3(numeric_in, CStringGetDatum(string),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

/* For the runtime a string is UTF-8 and ends with a zero. */
static Datum
string_value(Given *given, const JsonbValue *value)
{
	char	   *string = pnstrdup(value->val.string.val, value->val.string.len);
	char	   *utf8 = pg_server_to_any(string, value->val.string.len, PG_UTF8);

	given->text_bytes += strlen(utf8) + 1;
	return CStringGetDatum(utf8);
}

static Datum
leaf_value(Given *given, const JsonbValue *value)
{
	bool		takes_text = given->type->type == ELEMENT_STRING;

	switch (value->type)
	{
		case jbvString:
			return takes_text ? string_value(given, value) : number_of_string(given, value);
		case jbvNumeric:
			if (takes_text)
				wrong_input(given, "takes strings, not numbers");
			return NumericGetDatum(value->val.numeric);
		case jbvBool:
			if (takes_text)
				wrong_input(given, "takes strings, not booleans");
			return DirectFunctionCall1(int4_numeric, Int32GetDatum(value->val.boolean));
		default:
			wrong_input(given, "has a null");
	}
}

static void
add_leaf(Given *given, int depth, const JsonbValue *value)
{
	if (given->depth >= 0 && given->depth != depth)
		wrong_input(given, "has arrays of different depths");
	given->depth = depth;
	if (given->count == given->allocated)
	{
		given->allocated = Max(2 * given->allocated, 8);
		given->values = given->values == NULL ?
			palloc_extended(given->allocated * sizeof(Datum), MCXT_ALLOC_HUGE) :
			repalloc_huge(given->values, given->allocated * sizeof(Datum));
	}
	given->values[given->count++] = leaf_value(given, value);
}

static void
enter_array(Given *given, int depth, int64 length)
{
	if (depth >= ORT_MAX_DIMS)
		wrong_input(given, "has too many dimensions");
	if (given->is_known[depth] && given->shape.dims[depth] != length)
		wrong_input(given, "has arrays of different lengths");
	given->is_known[depth] = true;
	given->shape.dims[depth] = length;
	given->shape.ndim = Max(given->shape.ndim, depth + 1);
}

static void
read_arrays(Given *given, JsonbContainer *arrays)
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
				enter_array(given, depth++, value.val.array.nElems);
		}
		else if (token == WJB_END_ARRAY)
			depth--;
		else if (token == WJB_ELEM)
			add_leaf(given, depth, &value);
		else
			wrong_input(given, "is no array of numbers or strings");
	}
	/* Arrays that are empty below ones that are not, say. */
	if (given->depth >= 0 && given->depth != given->shape.ndim)
		wrong_input(given, "has arrays of different depths");
}

/* {"shape": [2, 0], "data": []} */
static void
read_shaped(Given *given, JsonbContainer *object)
{
	JsonbValue	shape,
				data;
	TensorShape said = {0};
	int64		count;

	if (JsonContainerSize(object) != 2 ||
		getKeyJsonValueFromContainer(object, "shape", 5, &shape) == NULL ||
		getKeyJsonValueFromContainer(object, "data", 4, &data) == NULL ||
		shape.type != jbvBinary || !JsonContainerIsArray(shape.val.binary.data) ||
		data.type != jbvBinary || !JsonContainerIsArray(data.val.binary.data))
		wrong_input(given, "is neither arrays nor an object of shape and data");
	for (uint32 i = 0; i < JsonContainerSize(shape.val.binary.data); i++)
	{
		JsonbValue *dimension = getIthJsonbValueFromContainer(shape.val.binary.data, i);

		if (dimension->type != jbvNumeric || said.ndim == ORT_MAX_DIMS)
			wrong_input(given, "has a shape that is none");
		said.dims[said.ndim++] =
			DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(dimension->val.numeric)));
	}
	read_arrays(given, data.val.binary.data);
	if (given->shape.ndim > 1 || !shape_elements(&said, &count) || count != given->count)
		wrong_input(given, "has not the values that its shape says");
	given->shape = said;
}

static char *
repeated(char c, int n)
{
	char	   *out = palloc(n + 1);

	memset(out, c, n);
	out[n] = '\0';
	return out;
}

pg_noreturn static void
wrong_depth(const Given *given)
{
	int			n = given->shape.ndim;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_plural("input \"%s\" has %d dimension, not %d",
						   "input \"%s\" has %d dimensions, not %d", n,
						   given->name, n, given->type->ndim),
			 errdetail("The model takes %s.", describe_ports(given->input, 1)),
			 n < given->type->ndim ?
			 errhint("The first dimension counts rows: a single one is %s...%s.",
					 repeated('[', given->type->ndim), repeated(']', given->type->ndim)) : 0));
}

static void
check_shape(Given *given)
{
	const Port *port = given->type;

	/* To the runtime an input without a shape looks like a single number; what
	 * really is one it checks itself. */
	if (port->ndim != 0 && given->shape.ndim != port->ndim)
		wrong_depth(given);
	for (int i = 0; i < port->ndim; i++)
		if (port->dims[i] >= 0 && port->dims[i] != given->shape.dims[i])
			wrong_input(given, psprintf("has " INT64_FORMAT " for dimension %d, not " INT64_FORMAT,
										 given->shape.dims[i], i + 1, port->dims[i]));
	given->shape.type = port->type;
}

static void
read_tensor(Given *given, JsonbValue *value)
{
	if (value->type != jbvBinary)
		add_leaf(given, 0, value);
	else if (JsonContainerIsObject(value->val.binary.data))
		read_shaped(given, value->val.binary.data);
	else
		read_arrays(given, value->val.binary.data);
	check_shape(given);
}

static void
measure_tensor(Given *given)
{
	if (given->shape.type == ELEMENT_STRING)
		given->bytes = (given->count + 1) * sizeof(uint64) + given->text_bytes;
	else if (!elements_bytes(given->shape.type, given->count, &given->bytes))
		wrong_input(given, "has elements of a type that is not supported");
}

/* ---------- values with others in them ---------- */

static void read_value(Given *given, const Given *whole, const Port *type, JsonbValue *value);

static void
read_sequence(Given *given, JsonbValue *value)
{
	JsonbContainer *array = value->type == jbvBinary ? value->val.binary.data : NULL;
	JsonbIterator *iterator;
	JsonbValue	element;
	int			count;

	if (array == NULL || !JsonContainerIsArray(array))
		wrong_input(given, "is a sequence, for which an array is to be given");
	count = JsonContainerSize(array);
	if (count > MAX_PARTS)
		wrong_input(given, psprintf("is a sequence, and %d are too many for one", count));
	shape_of_parts(&given->shape, count);
	given->bytes = count * sizeof(PlacedTensor);
	given->parts = palloc_extended(Max(count, 1) * sizeof(Given), MCXT_ALLOC_HUGE);
	iterator = JsonbIteratorInit(array);
	(void) JsonbIteratorNext(&iterator, &element, true);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&iterator, &element, true);
		read_value(&given->parts[i], given, given->type->of, &element);
		given->bytes = PLACE_ALIGN(given->bytes) + given->parts[i].bytes;
	}
}

/* The keys of a map are a tensor, and its values another. */
static Given *
begin_column(Given *column, const Given *map, int type)
{
	Port	   *port = palloc0(sizeof(Port));

	port->kind = PORT_TENSOR;
	port->type = type;
	memset(column, 0, sizeof(*column));
	column->input = map->input;
	column->name = map->name;
	column->type = port;
	return column;
}

static void
end_column(Given *column)
{
	column->shape.type = column->type->type;
	column->shape.ndim = 1;
	column->shape.dims[0] = column->count;
	measure_tensor(column);
}

/* A key is said in one way alone, so that none is there twice. */
static void
add_key(Given *keys, const JsonbValue *key)
{
	JsonbValue	number = {.type = jbvNumeric};
	char	   *digits;
	int64		value;

	if (keys->type->type == ELEMENT_STRING)
	{
		add_leaf(keys, 0, key);
		return;
	}
	digits = pnstrdup(key->val.string.val, key->val.string.len);
	value = strtoll(digits, NULL, 10);
	if (strcmp(psprintf(INT64_FORMAT, value), digits) != 0)
		wrong_input(keys, psprintf("has keys that are integers, and not \"%s\"",
									pnstrdup(digits, pg_mbcliplen(digits, strlen(digits), 32))));
	number.val.numeric = DatumGetNumeric(DirectFunctionCall1(int8_numeric, Int64GetDatum(value)));
	add_leaf(keys, 0, &number);
}

static void
read_map(Given *given, JsonbValue *value)
{
	JsonbContainer *object = value->type == jbvBinary ? value->val.binary.data : NULL;
	const Port *of = given->type->of;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	next;
	Given	   *keys;
	Given	   *values;

	if (object == NULL || !JsonContainerIsObject(object))
		wrong_input(given, "is a map, for which an object is to be given");
	if (of->kind != PORT_TENSOR)
		wrong_input(given, "is a map to what cannot be given");
	given->parts = palloc(2 * sizeof(Given));
	keys = begin_column(&given->parts[0], given, given->type->type);
	values = begin_column(&given->parts[1], given, of->type);
	iterator = JsonbIteratorInit(object);
	while ((token = JsonbIteratorNext(&iterator, &next, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			add_key(keys, &next);
		else if (token == WJB_VALUE && next.type == jbvBinary)
			wrong_input(given, "has values that are no numbers or strings");
		else if (token == WJB_VALUE)
			add_leaf(values, 0, &next);
	}
	end_column(keys);
	end_column(values);
	shape_of_parts(&given->shape, 2);
	given->bytes = PLACE_ALIGN(2 * sizeof(PlacedTensor)) + keys->bytes;
	given->bytes = PLACE_ALIGN(given->bytes) + values->bytes;
}

/* Reads a value of a type, which is the input, or a part of the whole. */
static void
read_value(Given *given, const Given *whole, const Port *type, JsonbValue *value)
{
	memset(given, 0, sizeof(*given));
	given->input = whole == NULL ? type : whole->input;
	given->name = whole == NULL ? utf8_to_server(type->name) : whole->name;
	given->depth = -1;
	given->type = type;
	if (type->kind == PORT_OPTIONAL)
	{
		if (value->type == jbvNull)
			return;
		given->type = type = type->of;
	}
	if (type->kind == PORT_SEQUENCE)
		read_sequence(given, value);
	else if (type->kind == PORT_MAP)
		read_map(given, value);
	else if (type->kind == PORT_TENSOR)
	{
		read_tensor(given, value);
		measure_tensor(given);
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("input \"%s\" cannot be given", given->name),
				 errdetail("The model takes %s.", describe_ports(given->input, 1))));
}

/* ---------- into the model ---------- */

static void
put_strings(const Given *given, uint64 *offsets)
{
	char	   *dst = (char *) (offsets + given->count + 1);

	offsets[0] = 0;
	for (int64 i = 0; i < given->count; i++)
	{
		const char *string = DatumGetCString(given->values[i]);
		uint64		length = strlen(string) + 1;

		memcpy(dst + offsets[i], string, length);
		offsets[i + 1] = offsets[i] + length;
	}
}

/* Two to a byte, the low half first. */
static void
put_nibbles(const Given *given, uint8 *dst)
{
	int			least = given->shape.type == ELEMENT_I4 ? -8 : 0;

	for (int64 i = 0; i < given->count; i++)
	{
		int8		value;

		if (elements_write(SOURCE_NUMERIC, &given->values[i], 1, ELEMENT_I8, &value, given->name) >= 0 ||
			value < least || value > least + 15)
			rows_refuse(elements_complaint(SOURCE_NUMERIC, given->values, i,
										   given->shape.type, given->name));
		if (i % 2 == 0)
			dst[i / 2] = value & 15;
		else
			dst[i / 2] |= (value & 15) << 4;
	}
}

static void
put_numbers(const Given *given, void *dst)
{
	int64		bad = elements_write(SOURCE_NUMERIC, given->values, given->count,
									 given->shape.type, dst, given->name);

	if (bad >= 0)
		rows_refuse(elements_complaint(SOURCE_NUMERIC, given->values, bad,
									   given->shape.type, given->name));
}

static void put_value(const Given *given, char *dst);

static void
put_parts(const Given *given, char *dst)
{
	int64		count = given->shape.dims[0];
	uint64		at = count * sizeof(PlacedTensor);

	for (int64 i = 0; i < count; i++)
	{
		const Given *part = &given->parts[i];
		ServedTensor tensor = {part->shape, part->bytes};

		CHECK_FOR_INTERRUPTS();
		at = PLACE_ALIGN(at);
		tensor.data = dst + at;
		put_value(part, tensor.data);
		placed_write(&tensor, dst, (PlacedTensor *) dst + i);
		at += part->bytes;
	}
}

static void
put_value(const Given *given, char *dst)
{
	int			type = given->shape.type;

	if (type == ELEMENT_VALUE)
		put_parts(given, dst);
	else if (type == ELEMENT_STRING)
		put_strings(given, (uint64 *) dst);
	else if (type != ELEMENT_NONE && element_bits(type) < 8)
		put_nibbles(given, (uint8 *) dst);
	else if (type != ELEMENT_NONE)
		put_numbers(given, dst);
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
				 errdetail("The model takes %s.", describe_ports(session->inputs, session->ninputs)),
				 errhint("An object has a key for each input.")));
	return value;
}

/* When all inputs are there, what is more is too many. */
static void
refuse_others(const Session *session, Jsonb *inputs)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;

	if (!JsonContainerIsObject(&inputs->root) ||
		JsonContainerSize(&inputs->root) == (uint32) session->ninputs)
		return;
	iterator = JsonbIteratorInit(&inputs->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
		if (token == WJB_KEY &&
			rows_find_input(session, pnstrdup(key.val.string.val, key.val.string.len)) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("model has no input \"%s\"",
							pnstrdup(key.val.string.val, key.val.string.len)),
					 errdetail("It takes %s.", describe_ports(session->inputs, session->ninputs))));
}

/* Predictions that a first input is for, as its first dimension says. */
static int64
count_rows(const Given *given)
{
	return given->shape.type != ELEMENT_VALUE && given->shape.ndim > 0 ? given->shape.dims[0] : 0;
}

int64
json_give_inputs(Session *session, Jsonb *inputs)
{
	Given	   *given = palloc(Max(session->ninputs, 1) * sizeof(Given));

	for (int i = 0; i < session->ninputs; i++)
	{
		JsonbValue	value;

		read_value(&given[i], NULL, &session->inputs[i],
				   find_value(session, i, inputs, &value));
	}
	refuse_others(session, inputs);
	session_begin(session);
	for (int i = 0; i < session->ninputs; i++)
		put_value(&given[i], session_input(session, i, &given[i].shape, given[i].bytes));
	return session->ninputs > 0 ? count_rows(&given[0]) : 0;
}
