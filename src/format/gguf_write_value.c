/*
 * gguf_write_value.c
 *		Values of a GGUF file's metadata from JSON; gguf.h says how they lie
 *		there.
 */
#include "postgres.h"

#include <math.h>

#include "format/gguf.h"
#include "miscadmin.h"

/* What values are put into. */
typedef struct Writer
{
	StringInfo	out;
	StringInfoData string;		/* the last one that was unescaped */
} Writer;

void
gguf_put_u32(StringInfo out, uint32 value)
{
	appendBinaryStringInfo(out, (const char *) &value, sizeof(value));
}

static void
put_u64(StringInfo out, uint64 value)
{
	appendBinaryStringInfo(out, (const char *) &value, sizeof(value));
}

void
gguf_put_string(StringInfo out, const char *string, size_t length)
{
	put_u64(out, length);
	appendBinaryStringInfo(out, string, (int) length);
}

/* Takes a string, unescaped, into writer->string. */
static bool
take_string(Writer *writer, const char **p)
{
	resetStringInfo(&writer->string);
	return json_walk_string(p, &writer->string);
}

/* ---------- single values ---------- */

/* A whole number and its sign; leaves *p after it. */
static bool
take_integer(const char **p, bool *negative, uint64 *magnitude)
{
	const char *next = *p;
	uint64		value = 0;

	*negative = (*next == '-');
	if (*negative)
		next++;
	if (*next < '0' || *next > '9')
		return false;
	for (; *next >= '0' && *next <= '9'; next++)
	{
		uint64		digit = *next - '0';

		if (value > (PG_UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (*next == '.' || *next == 'e' || *next == 'E')
		return false;
	*magnitude = value;
	*p = next;
	return true;
}

static bool
put_integer(StringInfo out, GgufKind kind, const char **p)
{
	int			width = gguf_kinds[kind].width;
	uint64		limit = PG_UINT64_MAX >> (64 - 8 * width);
	uint64		magnitude;
	bool		negative;

	if (!take_integer(p, &negative, &magnitude))
		return false;
	if (gguf_kinds[kind].is_signed)
		limit = limit / 2 + (negative ? 1 : 0);
	else if (negative && magnitude > 0)
		return false;
	if (magnitude > limit)
		return false;
	if (negative)
		magnitude = -magnitude;
	appendBinaryStringInfo(out, (const char *) &magnitude, width);
	return true;
}

/* The bits of a NaN, as hexadecimal digits. */
static bool
put_nan_bits(StringInfo out, const char *digits, int width)
{
	char	   *end;
	uint64		bits;
	double		value;

	if (strspn(digits, "0123456789abcdef") != 2 * width ||
		strlen(digits) != 2 * width)
		return false;
	bits = strtoull(digits, &end, 16);
	if (width == sizeof(float))
	{
		uint32		narrow = (uint32) bits;
		float		f;

		memcpy(&f, &narrow, sizeof(f));
		value = f;
	}
	else
		memcpy(&value, &bits, sizeof(value));
	appendBinaryStringInfo(out, (const char *) &bits, width);
	return isnan(value);
}

/* A float as text: what strtod takes, but only in digits. */
static bool
put_decimal(StringInfo out, GgufKind kind, const char *decimal)
{
	char	   *end;
	double		f64 = 0;
	float		f32 = 0;

	if (strspn(decimal, "0123456789+-.eE") != strlen(decimal) ||
		*decimal == '\0')
		return false;
	if (kind == GGUF_F32)
		f32 = strtof(decimal, &end);
	else
		f64 = strtod(decimal, &end);
	if (*end != '\0' || isinf(f32) || isinf(f64))
		return false;
	appendBinaryStringInfo(out, kind == GGUF_F32 ? (const char *) &f32 :
						   (const char *) &f64, gguf_kinds[kind].width);
	return true;
}

static bool
put_float(Writer *writer, GgufKind kind, const char **p)
{
	StringInfo	out = writer->out;
	const char *word;
	uint64		sign;
	uint64		infinity;

	if (**p != '"')
	{
		size_t		length = strspn(*p, "0123456789+-.eE");

		resetStringInfo(&writer->string);
		appendBinaryStringInfo(&writer->string, *p, (int) length);
		*p += length;
		return put_decimal(out, kind, writer->string.data);
	}
	if (!take_string(writer, p))
		return false;
	word = writer->string.data;
	if (strncmp(word, "NaN:", 4) == 0)
		return put_nan_bits(out, word + 4, gguf_kinds[kind].width);

	sign = word[0] == '-' ? 1 : 0;
	if (strcmp(word, "NaN") == 0)
		infinity = kind == GGUF_F32 ? 0x7fc00000 : UINT64CONST(0x7ff8000000000000);
	else if (strcmp(word + sign, "Infinity") == 0)
		infinity = kind == GGUF_F32 ? 0x7f800000 | sign << 31 :
			UINT64CONST(0x7ff0000000000000) | sign << 63;
	else
		return put_decimal(out, kind, word);
	appendBinaryStringInfo(out, (const char *) &infinity,
						   gguf_kinds[kind].width);
	return true;
}

static bool
put_bool(StringInfo out, const char **p)
{
	if (strncmp(*p, "true", 4) == 0)
	{
		appendStringInfoChar(out, 1);
		*p += 4;
		return true;
	}
	if (strncmp(*p, "false", 5) == 0)
	{
		appendStringInfoChar(out, 0);
		*p += 5;
		return true;
	}
	return false;
}

/* {"base64": "..."}, decoded into writer->string. */
static bool
take_bytes(Writer *writer, const char **p)
{
	StringInfoData base64;
	bool		good;

	if (!json_walk_accept(p, '{') || !take_string(writer, p) ||
		strcmp(writer->string.data, "base64") != 0 ||
		!json_walk_accept(p, ':') || !take_string(writer, p))
		return false;
	base64 = writer->string;
	initStringInfo(&writer->string);
	good = gguf_get_base64(&writer->string, base64.data, base64.len);
	pfree(base64.data);
	return good && json_walk_accept(p, '}');
}

static bool
put_scalar(Writer *writer, GgufKind kind, const char **p)
{
	StringInfo	out = writer->out;

	if (kind == GGUF_STRING)
	{
		if (**p == '{' ? !take_bytes(writer, p) : !take_string(writer, p))
			return false;
		gguf_put_string(out, writer->string.data, writer->string.len);
		return true;
	}
	if (kind == GGUF_BOOL)
		return put_bool(out, p);
	if (kind == GGUF_F32 || kind == GGUF_F64)
		return put_float(writer, kind, p);
	return put_integer(out, kind, p);
}

/* ---------- arrays ---------- */

/* Bytes that stand for the items of an array. */
static bool
put_packed_array(Writer *writer, GgufKind kind, const char **p)
{
	int			width = gguf_kinds[kind].width;
	StringInfo	out = writer->out;

	if (width == 0 || !take_bytes(writer, p) || writer->string.len % width != 0)
		return false;
	for (int i = 0; kind == GGUF_BOOL && i < writer->string.len; i++)
	{
		if (writer->string.data[i] != 0 && writer->string.data[i] != 1)
			return false;
	}
	put_u64(out, writer->string.len / width);
	appendBinaryStringInfo(out, writer->string.data, writer->string.len);
	return true;
}

static bool
put_array(Writer *writer, GgufKind kind, const char **p)
{
	StringInfo	out = writer->out;
	int			start = out->len;
	uint64		n = 0;

	if (**p == '{')
		return put_packed_array(writer, kind, p);
	if (!json_walk_accept(p, '['))
		return false;
	put_u64(out, n);
	while (**p != ']')
	{
		CHECK_FOR_INTERRUPTS();
		if (n > 0 && !json_walk_accept(p, ','))
			return false;
		if (!put_scalar(writer, kind, p))
			return false;
		n++;
	}
	(*p)++;
	memcpy(out->data + start, &n, sizeof(n));
	return true;
}

bool
gguf_put_value(StringInfo out, GgufKind kind, bool is_array, const char *json)
{
	Writer		writer = {.out = out};
	const char *p = json;
	bool		good;

	initStringInfo(&writer.string);
	good = is_array ? put_array(&writer, kind, &p) :
		put_scalar(&writer, kind, &p);
	pfree(writer.string.data);
	return good;
}

/* ---------- values without a type ---------- */

/* The usual type of a number that has not been given one. */
static bool
guess_number(const char *p, GgufKind *kind)
{
	bool		negative;
	uint64		magnitude;

	if (!take_integer(&p, &negative, &magnitude))
		*kind = GGUF_F32;
	else if (!negative && magnitude <= PG_UINT32_MAX)
		*kind = GGUF_U32;
	else if (magnitude <= (uint64) PG_INT32_MAX + 1)
		*kind = GGUF_I32;
	else if (magnitude <= (uint64) PG_INT64_MAX + (negative ? 1 : 0))
		*kind = GGUF_I64;
	else
		*kind = GGUF_U64;
	return true;
}

static bool
guess_scalar(const char *p, GgufKind *kind)
{
	if (*p == '"' || *p == '{')
		*kind = GGUF_STRING;
	else if (*p == 't' || *p == 'f')
		*kind = GGUF_BOOL;
	else if (*p == '-' || (*p >= '0' && *p <= '9'))
		return guess_number(p, kind);
	else
		return false;
	return true;
}

/* The type that two items of an array have in common. */
static GgufKind
common_kind(GgufKind a, GgufKind b)
{
	if (a == b)
		return a;
	if (a == GGUF_F32 || b == GGUF_F32)
		return GGUF_F32;
	return GGUF_I64;
}

/* For arrays of numbers as lists alone; what does not fit is found later. */
static bool
guess_items(const char *p, GgufKind *kind)
{
	bool		any = false;

	if (!json_walk_accept(&p, '['))
		return false;
	while (*p != ']' && *p != '\0')
	{
		GgufKind	item;

		CHECK_FOR_INTERRUPTS();
		if (!guess_scalar(p, &item))
			return false;
		*kind = any ? common_kind(*kind, item) : item;
		any = true;
		p = json_walk_skip_value(p);
		(void) json_walk_accept(&p, ',');
	}
	return any;
}

bool
gguf_guess_kind(const char *json, GgufKind *kind, bool *is_array)
{
	*is_array = *json == '[';
	return *is_array ? guess_items(json, kind) : guess_scalar(json, kind);
}
