/*
 * canonical_json.c
 *		JSON as bytes that are the same everywhere, for hashes and signatures.
 *
 * The text of a jsonb depends on the database's encoding: so do its strings
 * and even the order of its keys, which are sorted by their bytes there.  The
 * canonical form is UTF-8, has no white space, and its keys are in the order
 * of their UTF-8 bytes; a number is written with the digits that it was given
 * with.  It is part of what hashes and signatures mean: it never changes.
 */
#include "postgres.h"

#include "compat.h"

#include "mb/pg_wchar.h"
#include "model/model.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(modelopt_canonical_json);

typedef struct Member
{
	char	   *key;			/* UTF-8 */
	int			length;
	JsonbValue	value;
} Member;

static void append_container(StringInfo out, JsonbContainer *container);

/* The string in UTF-8, and its length there. */
static char *
string_to_utf8(const JsonbValue *string, int *length)
{
	char	   *server = pnstrdup(string->val.string.val, string->val.string.len);
	char	   *utf8 = pg_server_to_any(server, string->val.string.len, PG_UTF8);

	*length = strlen(utf8);
	return utf8;
}

static void
append_value(StringInfo out, const JsonbValue *value)
{
	char	   *digits;
	char	   *utf8;
	int			length;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			digits = DatumGetCString(DirectFunctionCall1(numeric_out,
														 NumericGetDatum(value->val.numeric)));
			appendStringInfoString(out, digits);
			pfree(digits);
			break;
		case jbvString:
			utf8 = string_to_utf8(value, &length);
			json_append_string(out, utf8, length);
			pfree(utf8);
			break;
		case jbvBinary:
			append_container(out, value->val.binary.data);
			break;
		default:
			elog(ERROR, "unexpected kind of JSON value: %d", (int) value->type);
	}
}

static void
append_array(StringInfo out, JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		first = true;

	appendStringInfoChar(out, '[');
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		append_value(out, &value);
	}
	appendStringInfoChar(out, ']');
}

static int
compare_members(const void *a, const void *b)
{
	const Member *x = a;
	const Member *y = b;
	int			order = memcmp(x->key, y->key, Min(x->length, y->length));

	return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

static void
append_object(StringInfo out, JsonbContainer *object)
{
	int			n = JsonContainerSize(object);
	Member	   *members = palloc_extended((n + 1) * sizeof(Member), MCXT_ALLOC_HUGE);
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	n = 0;
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			members[n].key = string_to_utf8(&value, &members[n].length);
		else if (token == WJB_VALUE)
			members[n++].value = value;
	}
	qsort(members, n, sizeof(Member), compare_members);

	appendStringInfoChar(out, '{');
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		json_append_string(out, members[i].key, members[i].length);
		appendStringInfoChar(out, ':');
		append_value(out, &members[i].value);
	}
	appendStringInfoChar(out, '}');
	pfree(members);
}

static void
append_container(StringInfo out, JsonbContainer *container)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (JsonContainerIsScalar(container))
	{
		JsonbValue	value;

		if (!JsonbExtractScalar(container, &value))
			elog(ERROR, "JSON value is no scalar");
		append_value(out, &value);
	}
	else if (JsonContainerIsArray(container))
		append_array(out, container);
	else
		append_object(out, container);
}

Datum
modelopt_canonical_json(PG_FUNCTION_ARGS)
{
	Jsonb	   *json = PG_GETARG_JSONB_P(0);
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	append_container(&out, &json->root);
	SET_VARSIZE(out.data, out.len);
	PG_RETURN_BYTEA_P((bytea *) out.data);
}
