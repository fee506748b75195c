/*
 * pytorch_write_metadata.c
 *		Module versions, from a model's metadata into the pickle.
 *
 * A state_dict carries, beside its tensors, an attribute _metadata: for each
 * module a dict with the version of its layout.  The reader keeps it in the
 * metadata as pytorch._metadata, and here it goes back, so that torch does not
 * take a new layout for an old one (batch norm would lose its counter).
 *
 * The rest of the metadata is not torch's and is not written.  Nor is a
 * _metadata that torch did not write: whoever set it may have put anything in
 * it, and torch trusts what it finds.
 */
#include "postgres.h"

#include "common/int.h"
#include "format/json_walk.h"
#include "format/pytorch_write.h"
#include "miscadmin.h"

/* ---------- values into opcodes ---------- */

/* A string, from its opening quote; leaves *p after the closing one. */
static bool
put_json_string(StringInfo out, const char **p)
{
	StringInfoData string;
	bool		good;

	initStringInfo(&string);
	good = json_walk_string(p, &string);
	if (good)
		pytorch_put_string(out, string.data, string.len);
	pfree(string.data);
	return good;
}

/* An integer of 64 bits; torch 1.13 refuses to load other numbers. */
static bool
put_json_int(StringInfo out, const char **p)
{
	const char *next = *p;
	bool		negative = (*next == '-');
	int64		value = 0;

	if (negative)
		next++;
	if (*next < '0' || *next > '9')
		return false;
	for (; *next >= '0' && *next <= '9'; next++)
	{
		int			digit = *next - '0';

		if (pg_mul_s64_overflow(value, 10, &value) ||
			pg_add_s64_overflow(value, negative ? -digit : digit, &value))
			return false;
	}
	if (*next == '.' || *next == 'e' || *next == 'E')
		return false;
	pytorch_put_int(out, value);
	*p = next;
	return true;
}

static bool
put_word(StringInfo out, const char **p, const char *word, char opcode)
{
	size_t		length = strlen(word);

	if (strncmp(*p, word, length) != 0)
		return false;
	appendStringInfoChar(out, opcode);
	*p += length;
	return true;
}

/* A value that is no container. */
static bool
put_scalar(StringInfo out, const char **p)
{
	if (**p == '"')
		return put_json_string(out, p);
	return put_word(out, p, "null", 'N') ||
		put_word(out, p, "true", '\x88') ||
		put_word(out, p, "false", '\x89') ||
		put_json_int(out, p);
}

/*
 * Puts the members of an object, from its opening brace, into the dict on top
 * of the stack; leaves *p after the closing one.  Like all of these, returns
 * false when there is something that does not belong there.
 */
static bool
put_members(StringInfo out, const char **p,
			bool (*put_value) (StringInfo out, const char **p))
{
	if (!json_walk_accept(p, '{'))
		return false;
	while (**p == '"')
	{
		CHECK_FOR_INTERRUPTS();
		if (!put_json_string(out, p) || !json_walk_accept(p, ':') ||
			!put_value(out, p))
			return false;
		appendStringInfoChar(out, 's');
		(void) json_walk_accept(p, ',');
	}
	*p = json_walk_skip_blanks(*p);
	if (**p != '}')
		return false;
	(*p)++;
	return true;
}

/* What _metadata has for a module: a dict of scalars. */
static bool
put_module(StringInfo out, const char **p)
{
	appendStringInfoChar(out, '}');
	return put_members(out, p, put_scalar);
}

void
pytorch_put_module_versions(StringInfo out, const char *metadata)
{
	const char *pytorch = json_walk_member(metadata, "pytorch");
	const char *versions = pytorch ? json_walk_member(pytorch, "_metadata") : NULL;
	int			start = out->len;

	if (versions == NULL)
		return;
	appendStringInfoChar(out, '}');
	pytorch_put_string(out, "_metadata", strlen("_metadata"));
	pytorch_put_ordered_dict(out);
	if (put_members(out, &versions, put_module))
		appendStringInfoString(out, "sb");
	else
	{
		out->len = start;
		out->data[start] = '\0';
	}
}
