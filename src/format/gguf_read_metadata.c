/*
 * gguf_read_metadata.c
 *		The metadata of a GGUF file as JSON text; gguf.h says how.
 *
 * The text is bounded by what a model can have, and what is appended to it is
 * checked first, so a file cannot make more of it than that.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "format/gguf.h"
#include "format/printable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* Magnitudes that jsonb writes with few digits, beside zero. */
#define LEAST_NUMBER	1e-9
#define MOST_NUMBER		1e15

typedef struct Key
{
	const char *name;			/* in the file */
	uint64		length;
} Key;

typedef struct Reader
{
	GgufCursor *cursor;
	const Key  *key;			/* that is read */
	StringInfo	values;			/* members of an object, so far */
	StringInfoData types;		/* items of an array, so far */
	uint64		alignment;
} Reader;

static void
fail_key(const Key *key, const char *problem)
{
	gguf_fail(psprintf("Metadata key \"%s\" %s.",
					   printable_bytes(key->name, key->length), problem));
}

/* Raises unless so many more characters of text can be appended. */
static void
reserve(const Reader *reader, uint64 n)
{
	if (n > MODEL_MAX_METADATA ||
		reader->values->len + reader->types.len + n > MODEL_MAX_METADATA)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("metadata of the GGUF file is too large"),
				 errdetail("As JSON text it has more than the %d bytes that a model can have.",
						   MODEL_MAX_METADATA)));
}

/* ---------- single values ---------- */

/* Digits of a finite number, quoted where jsonb would write it otherwise. */
static void
put_digits(StringInfo out, double value, const char *digits)
{
	double		magnitude = fabs(value);

	if (magnitude == 0 ? !signbit(value) :
		(magnitude >= LEAST_NUMBER && magnitude < MOST_NUMBER))
		appendStringInfoString(out, digits);
	else
		appendStringInfo(out, "\"%s\"", digits);
}

static void
put_f32(StringInfo out, const char *bytes)
{
	char		digits[FLOAT_SHORTEST_DECIMAL_LEN];
	uint32		bits;
	float		value;

	memcpy(&bits, bytes, sizeof(bits));
	memcpy(&value, bytes, sizeof(value));
	if (bits == 0x7fc00000)
		appendStringInfoString(out, "\"NaN\"");
	else if (isnan(value))
		appendStringInfo(out, "\"NaN:%08x\"", bits);
	else if (isinf(value))
		appendStringInfoString(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else
	{
		float_to_shortest_decimal_buf(value, digits);
		put_digits(out, value, digits);
	}
}

static void
put_f64(StringInfo out, const char *bytes)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];
	uint64		bits;
	double		value;

	memcpy(&bits, bytes, sizeof(bits));
	memcpy(&value, bytes, sizeof(value));
	if (bits == UINT64CONST(0x7ff8000000000000))
		appendStringInfoString(out, "\"NaN\"");
	else if (isnan(value))
		appendStringInfo(out, "\"NaN:%08x%08x\"", (uint32) (bits >> 32),
						 (uint32) bits);
	else if (isinf(value))
		appendStringInfoString(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else
	{
		double_to_shortest_decimal_buf(value, digits);
		put_digits(out, value, digits);
	}
}

static void
put_integer(StringInfo out, GgufKind kind, const char *bytes)
{
	int			width = gguf_kinds[kind].width;
	uint64		bits = 0;

	memcpy(&bits, bytes, width);
	if (gguf_kinds[kind].is_signed)
	{
		int			unused = 64 - 8 * width;

		/* Extends the sign. */
		appendStringInfo(out, INT64_FORMAT, (int64) (bits << unused) >> unused);
	}
	else
		appendStringInfo(out, UINT64_FORMAT, bits);
}

/* A value of fixed width. */
static void
put_number(Reader *reader, GgufKind kind, const char *bytes)
{
	StringInfo	out = reader->values;

	reserve(reader, DOUBLE_SHORTEST_DECIMAL_LEN + 2);
	if (kind == GGUF_BOOL)
	{
		if (bytes[0] != 0 && bytes[0] != 1)
			fail_key(reader->key, "has a boolean that is neither 0 nor 1");
		appendStringInfoString(out, bytes[0] ? "true" : "false");
	}
	else if (kind == GGUF_F32)
		put_f32(out, bytes);
	else if (kind == GGUF_F64)
		put_f64(out, bytes);
	else
		put_integer(out, kind, bytes);
}

/* {"base64": "..."} */
static void
put_bytes(Reader *reader, const char *bytes, uint64 n)
{
	reserve(reader, n);			/* or else the next one overflows */
	reserve(reader, n / 3 * 4 + 20);
	appendStringInfoString(reader->values, "{\"base64\": \"");
	gguf_put_base64(reader->values, bytes, n);
	appendStringInfoString(reader->values, "\"}");
}

static void
take_string(Reader *reader)
{
	uint64		n = gguf_take_u64(reader->cursor);
	const char *string = gguf_take(reader->cursor, n);

	reserve(reader, n + 2);
	if (pg_verify_mbstr(PG_UTF8, string, (int) n, true))
		json_append_string(reader->values, string, (int) n);
	else
		put_bytes(reader, string, n);
}

/* ---------- arrays ---------- */

/* Many numbers, as bytes. */
static void
put_numbers(Reader *reader, GgufKind kind, const char *bytes, uint64 n)
{
	if (kind == GGUF_BOOL)
	{
		for (uint64 i = 0; i < n; i++)
		{
			if (bytes[i] != 0 && bytes[i] != 1)
				fail_key(reader->key, "has a boolean that is neither 0 nor 1");
		}
	}
	put_bytes(reader, bytes, n * gguf_kinds[kind].width);
}

static void
take_array(Reader *reader, GgufKind kind)
{
	GgufCursor *cursor = reader->cursor;
	uint64		n = gguf_take_u64(cursor);
	int			width = gguf_kinds[kind].width;
	uint64		left = cursor->size - cursor->at;

	/* A string needs the bytes of its length. */
	if (n > left / (width > 0 ? width : sizeof(uint64)))
		fail_key(reader->key, psprintf("has an array of " UINT64_FORMAT " items, for which the file is too short",
									   n));
	if (width > 0 && n > GGUF_MAX_LIST)
	{
		put_numbers(reader, kind, gguf_take(cursor, n * width), n);
		return;
	}
	appendStringInfoChar(reader->values, '[');
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			appendStringInfoString(reader->values, ", ");
		if (width > 0)
			put_number(reader, kind, gguf_take(cursor, width));
		else
			take_string(reader);
	}
	appendStringInfoChar(reader->values, ']');
}

/* ---------- keys ---------- */

static void
take_key(GgufCursor *cursor, Key *key)
{
	key->length = gguf_take_u64(cursor);
	if (key->length == 0 || key->length > GGUF_MAX_KEY)
		gguf_fail(psprintf("It has a metadata key of " UINT64_FORMAT " bytes, and the format allows 1 to %d.",
						   key->length, GGUF_MAX_KEY));
	key->name = gguf_take(cursor, key->length);
	if (!gguf_is_key(key->name, key->length))
		fail_key(key, "has other characters than letters, digits, underscores, hyphens and dots");
}

static GgufKind
take_kind(const Reader *reader)
{
	uint32		kind = gguf_take_u32(reader->cursor);

	if (kind >= GGUF_NKINDS)
		fail_key(reader->key, psprintf("has values of type %u, which the format does not know",
									   kind));
	return (GgufKind) kind;
}

/* Padding is computed with it, so it must be what everybody can compute. */
static void
take_alignment(Reader *reader, GgufKind kind)
{
	const GgufCursor *cursor = reader->cursor;
	uint32		alignment;

	if (reader->key->length != strlen(GGUF_ALIGNMENT_KEY) ||
		memcmp(reader->key->name, GGUF_ALIGNMENT_KEY,
			   reader->key->length) != 0)
		return;
	if (kind != GGUF_U32)
		fail_key(reader->key, "is not of type u32");
	memcpy(&alignment, cursor->data + cursor->at - sizeof(alignment),
		   sizeof(alignment));
	if (!gguf_is_alignment(alignment))
		fail_key(reader->key, psprintf("is %u, which is not a power of two from 8 to %d",
									   alignment, GGUF_MAX_ALIGNMENT));
	reader->alignment = alignment;
}

/* "key": value, and its type for the list. */
static void
take_value(Reader *reader)
{
	const Key  *key = reader->key;
	GgufKind	kind = take_kind(reader);
	GgufKind	items = kind == GGUF_ARRAY ? take_kind(reader) : kind;

	if (items == GGUF_ARRAY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("GGUF metadata with arrays of arrays cannot be read"),
				 errdetail("Metadata key \"%s\" has one.",
						   printable_bytes(key->name, key->length))));
	reserve(reader, 2 * key->length + 32);
	appendStringInfo(&reader->types, "%s[\"%.*s\", \"%s%s\"]",
					 reader->types.len > 0 ? ", " : "",
					 (int) key->length, key->name, gguf_kinds[items].name,
					 kind == GGUF_ARRAY ? "[]" : "");
	json_append_string(reader->values, key->name, (int) key->length);
	appendStringInfoString(reader->values, ": ");
	if (kind == GGUF_ARRAY)
		take_array(reader, items);
	else if (kind == GGUF_STRING)
		take_string(reader);
	else
		put_number(reader, kind,
				   gguf_take(reader->cursor, gguf_kinds[kind].width));
	take_alignment(reader, kind);
}

static int
compare_keys(const void *a, const void *b)
{
	const Key  *left = a;
	const Key  *right = b;

	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return memcmp(left->name, right->name, left->length);
}

static void
check_unique(Key *keys, uint64 n)
{
	qsort(keys, n, sizeof(Key), compare_keys);
	for (uint64 i = 1; i < n; i++)
	{
		if (compare_keys(&keys[i - 1], &keys[i]) == 0)
			fail_key(&keys[i], "is there twice");
	}
}

uint64
gguf_read_metadata(GgufCursor *cursor, uint32 version, uint64 nkeys,
				   StringInfo json)
{
	Reader		reader = {
		.cursor = cursor,.values = json,.alignment = GGUF_ALIGNMENT
	};
	Key		   *keys = palloc_extended(Max(nkeys, 1) * sizeof(Key),
									   MCXT_ALLOC_HUGE);

	initStringInfo(&reader.types);
	appendStringInfo(json, "{\"version\": %u, \"metadata\": {", version);
	for (uint64 i = 0; i < nkeys; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			appendStringInfoString(json, ", ");
		take_key(cursor, &keys[i]);
		reader.key = &keys[i];
		take_value(&reader);
	}
	check_unique(keys, nkeys);
	pfree(keys);
	appendStringInfoString(json, "}, \"types\": [");
	appendBinaryStringInfo(json, reader.types.data, reader.types.len);
	appendStringInfoString(json, "]}");
	pfree(reader.types.data);
	return reader.alignment;
}
