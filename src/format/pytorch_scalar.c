/*
 * pytorch_scalar.c
 *		Single values of a checkpoint as JSON.
 *
 * Numbers are exact, and what JSON cannot hold (bytes, strings with U+0000,
 * objects of Python) is described by an object with a member "type".  Values
 * of NumPy, which training scripts keep as often as Python's own, are read
 * from the bytes that they are pickled with.
 */
#include "postgres.h"

#include <math.h>

#include "format/pytorch.h"
#include "mb/pg_wchar.h"

#define MAX_LONG		64		/* bytes of an integer */
#define MAX_TEXT		(MODEL_MAX_METADATA / 4)

/* Digits that jsonb may write for a double whose exponent is large. */
#define MAX_DIGITS		350

/* Writes an object that only says what something is. */
static void
append_type(StringInfo out, const char *type)
{
	appendStringInfoString(out, "{\"type\": ");
	json_append_string(out, type, strlen(type));
	appendStringInfoChar(out, '}');
}

static void
append_length(StringInfo out, const char *type, uint32 length)
{
	appendStringInfo(out, "{\"type\": \"%s\", \"length\": %u}", type, length);
}

/* ---------- text and bytes ---------- */

bool
pytorch_is_json_text(const Pickle *pickle, PickleRef ref)
{
	const PickleNode *node = pickle_node(pickle, ref);

	return node->kind == PICKLE_STRING && node->u.text.length <= MAX_TEXT &&
		pg_verify_mbstr(PG_UTF8, pickle_text(pickle, ref),
						node->u.text.length, true);
}

static void
append_text(const Pickle *pickle, PickleRef ref, StringInfo out)
{
	uint32		length = pickle_node(pickle, ref)->u.text.length;

	if (pytorch_is_json_text(pickle, ref))
		json_append_string(out, pickle_text(pickle, ref), length);
	else
		append_length(out, "str", length);
}

/*
 * Bytes, as protocol 2 writes them: encode(text, "latin1"), where each
 * character is a byte; or bytes() when there are none.  Copies at most room
 * bytes and returns how many there are, or -1 when it is no such call.
 */
static int64
decode_bytes(const Pickle *pickle, PickleRef ref, uint8 *bytes, int room)
{
	const PickleNode *node = pickle_node(pickle, ref);
	const PickleGlobal *global = pickle_known_global(pickle, ref);
	const uint8 *next;
	const uint8 *end;
	PickleRef	argument;
	int64		n = 0;

	if (node->kind == PICKLE_BYTES)
	{
		memcpy(bytes, pickle_text(pickle, ref),
			   Min(node->u.text.length, (uint32) room));
		return node->u.text.length;
	}
	if (node->kind != PICKLE_OBJECT || global == NULL ||
		global->group != PYTORCH_BYTES)
		return -1;
	if (pickle_tuple(pickle, node->u.call.arguments, &argument, 1) == 0)
		return 0;
	if (pickle_kind(pickle, argument) != PICKLE_STRING)
		return -1;
	next = (const uint8 *) pickle_text(pickle, argument);
	end = next + pickle_node(pickle, argument)->u.text.length;

	/* Of what is too long in any case, the exact length does not matter. */
	if (room > 0 && end - next > 2 * room)
		return end - next;
	for (; next < end; n++)
	{
		uint8		byte = *next++;

		if (byte >= 0x80 && next < end)
			byte = (uint8) (byte << 6) | (*next++ & 0x3f);
		if (n < room)
			bytes[n] = byte;
	}
	return n;
}

/* ---------- numbers ---------- */

/* Returns how many digits jsonb may write beyond those. */
static uint64
append_real(StringInfo out, double value)
{
	json_append_double(out, value);
	if (isfinite(value) && value != 0 &&
		(fabs(value) > 1e20 || fabs(value) < 1e-20))
		return MAX_DIGITS;
	return 0;
}

/* An integer of more than 64 bits: two's complement, little endian. */
static void
append_long(const Pickle *pickle, PickleRef ref, StringInfo out)
{
	const PickleNode *node = pickle_node(pickle, ref);
	const uint8 *bytes = (const uint8 *) pickle_text(pickle, ref);
	int			length = node->u.text.length;
	bool		negative = bytes[length - 1] & 0x80;
	uint8		magnitude[MAX_LONG];
	char		digits[MAX_LONG * 3];	/* log10(256) < 3 */
	int			ndigits = 0;
	int			carry = negative;

	for (int i = 0; i < length; i++)
	{
		carry += negative ? (uint8) ~bytes[i] : bytes[i];
		magnitude[i] = carry & 0xff;
		carry >>= 8;
	}
	do
	{
		int			remainder = 0;

		for (int i = length; i-- > 0;)
		{
			remainder = remainder << 8 | magnitude[i];
			magnitude[i] = remainder / 10;
			remainder %= 10;
		}
		digits[ndigits++] = '0' + remainder;
		while (length > 0 && magnitude[length - 1] == 0)
			length--;
	} while (length > 0);

	if (negative)
		appendStringInfoChar(out, '-');
	while (ndigits > 0)
		appendStringInfoChar(out, digits[--ndigits]);
}

/*
 * A scalar of NumPy: scalar(dtype(code, ...), bytes), with the code "f8" and
 * the like, in little endian as all but relics are.  False when it is none of
 * the plain numbers.
 */
static bool
append_numpy(const Pickle *pickle, PickleRef ref, StringInfo out,
			 uint64 *digits)
{
	static const struct
	{
		const char *code;
		DType		dtype;
	}			codes[] = {
		{"f8", DTYPE_F64}, {"f4", DTYPE_F32}, {"f2", DTYPE_F16},
		{"i8", DTYPE_I64}, {"i4", DTYPE_I32}, {"i2", DTYPE_I16},
		{"i1", DTYPE_I8}, {"u8", DTYPE_U64}, {"u4", DTYPE_U32},
		{"u2", DTYPE_U16}, {"u1", DTYPE_U8}, {"b1", DTYPE_BOOL},
	};
	const PickleGlobal *global = pickle_known_global(pickle, ref);
	PickleRef	arguments[2];
	PickleRef	state[2];
	PickleRef	code;
	const PickleNode *dtype;
	uint8		bytes[8] = {0};
	double		value;
	int			i;

	/* The global by itself is known, too, and has no arguments. */
	if (pickle_kind(pickle, ref) != PICKLE_OBJECT ||
		global == NULL || global->group != PYTORCH_NUMPY_SCALAR ||
		pickle_tuple(pickle, pickle_node(pickle, ref)->u.call.arguments,
					 arguments, 2) != 2)
		return false;
	dtype = pickle_node(pickle, arguments[0]);
	if (dtype->kind != PICKLE_OBJECT || dtype->state == PICKLE_NOWHERE ||
		pickle_tuple(pickle, dtype->u.call.arguments, &code, 1) < 1 ||
		pickle_tuple(pickle, dtype->state, state, 2) < 2 ||
		pickle_is_string(pickle, state[1], ">"))
		return false;
	for (i = 0; i < lengthof(codes); i++)
	{
		if (pickle_is_string(pickle, code, codes[i].code))
			break;
	}
	if (i == lengthof(codes) ||
		decode_bytes(pickle, arguments[1], bytes, sizeof(bytes)) !=
		dtype_bits(codes[i].dtype) / 8)
		return false;

	dtype_to_double(codes[i].dtype, bytes, 0, 1, &value);
	if (codes[i].dtype == DTYPE_BOOL)
		appendStringInfoString(out, bytes[0] ? "true" : "false");
	else if (codes[i].dtype == DTYPE_I64 || codes[i].dtype == DTYPE_U64)
	{
		uint64		integer;

		memcpy(&integer, bytes, sizeof(integer));
		if (codes[i].dtype == DTYPE_I64)
			appendStringInfo(out, INT64_FORMAT, (int64) integer);
		else
			appendStringInfo(out, UINT64_FORMAT, integer);
	}
	else
		*digits += append_real(out, value);
	return true;
}

/* ---------- all values ---------- */

/* A tensor that is no weight: its dtype and shape. */
static void
append_tensor(const Pickle *pickle, PickleRef ref, StringInfo out)
{
	const char *dtype;
	int			ndim;
	int64		dims[MODEL_MAX_DIMS];

	if (!pytorch_describe_tensor(pickle, ref, &dtype, &ndim, dims))
	{
		append_type(out, "tensor");
		return;
	}
	appendStringInfo(out, "{\"type\": \"tensor\", \"dtype\": \"%s\", \"shape\": [",
					 dtype);
	for (int i = 0; i < ndim; i++)
		appendStringInfo(out, i > 0 ? ", " INT64_FORMAT : INT64_FORMAT,
						 dims[i]);
	appendStringInfoString(out, "]}");
}

static void
append_object(const Pickle *pickle, PickleRef ref, StringInfo out,
			  uint64 *digits)
{
	uint8		unused;
	int64		length = decode_bytes(pickle, ref, &unused, 0);
	char	   *type;

	if (length >= 0)
		append_length(out, "bytes", length);
	else if (pytorch_is_tensor(pickle, ref))
		append_tensor(pickle, ref, out);
	else if (!append_numpy(pickle, ref, out, digits))
	{
		type = pickle_type_name(pickle, ref);
		append_type(out, type);
		pfree(type);
	}
}

uint64
pytorch_append_scalar(const Pickle *pickle, PickleRef ref, StringInfo out)
{
	const PickleNode *node = pickle_node(pickle, ref);
	uint64		digits = 0;

	switch ((PickleKind) node->kind)
	{
		case PICKLE_NONE:
			appendStringInfoString(out, "null");
			break;
		case PICKLE_BOOL:
			appendStringInfoString(out, node->u.integer ? "true" : "false");
			break;
		case PICKLE_INT:
			appendStringInfo(out, INT64_FORMAT, node->u.integer);
			break;
		case PICKLE_LONG:
			if (node->u.text.length <= MAX_LONG)
				append_long(pickle, ref, out);
			else
				append_type(out, "int");
			break;
		case PICKLE_FLOAT:
			digits = append_real(out, node->u.real);
			break;
		case PICKLE_STRING:
			append_text(pickle, ref, out);
			break;
		default:
			append_object(pickle, ref, out, &digits);
			break;
	}
	return digits;
}
