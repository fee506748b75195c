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
 * it, and torch trusts what it finds.  The text is known to be JSON, but the
 * walk never goes beyond its terminating NUL if it is not.
 */
#include "postgres.h"

#include "common/int.h"
#include "format/pytorch_write.h"
#include "miscadmin.h"

/* ---------- finding a member ---------- */

static const char *
skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;
	return p;
}

/* The quote that ends the string which starts after p, or the final NUL. */
static const char *
end_of_string(const char *p)
{
	while (*p != '"' && *p != '\0')
		p += (*p == '\\' && p[1] != '\0') ? 2 : 1;
	return p;
}

/* What comes after a value. */
static const char *
skip_value(const char *p)
{
	int			depth = 0;

	for (; *p != '\0'; p++)
	{
		if (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
			break;
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		else if (*p == '"')
		{
			p = end_of_string(p + 1);
			if (*p == '\0')
				break;
		}
	}
	return p;
}

/* The value that an object has under a key (without characters that JSON
 * escapes), or NULL. */
static const char *
find_member(const char *object, const char *key)
{
	const char *p = skip_blanks(object);
	size_t		length = strlen(key);

	if (*p != '{')
		return NULL;
	p = skip_blanks(p + 1);
	while (*p == '"')
	{
		const char *name = p + 1;
		const char *end = end_of_string(name);

		p = skip_blanks(*end == '\0' ? end : end + 1);
		if (*p != ':')
			return NULL;
		p = skip_blanks(p + 1);
		if ((size_t) (end - name) == length && memcmp(name, key, length) == 0)
			return p;
		p = skip_value(p);
		if (*p == ',')
			p = skip_blanks(p + 1);
	}
	return NULL;
}

/* ---------- values into opcodes ---------- */

/* The character that an escape stands for, after the backslash; false when it
 * needs more than a byte, as jsonb never writes it. */
static bool
put_escape(StringInfo out, const char **p)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	const char *found = **p != '\0' ? strchr(names, **p) : NULL;
	int			value = 0;

	if (found != NULL)
	{
		appendStringInfoChar(out, values[found - names]);
		(*p)++;
		return true;
	}
	if (*(*p)++ != 'u')
		return false;
	for (int i = 0; i < 4; i++, (*p)++)
	{
		if (**p >= '0' && **p <= '9')
			value = value * 16 + (**p - '0');
		else if (**p >= 'a' && **p <= 'f')
			value = value * 16 + (**p - 'a' + 10);
		else
			return false;
	}
	appendStringInfoChar(out, value);
	return value > 0 && value < 0x80;
}

/* A string, from its opening quote; leaves *p after the closing one. */
static bool
put_json_string(StringInfo out, const char **p)
{
	StringInfoData string;
	const char *next = *p + 1;
	bool		good = true;

	initStringInfo(&string);
	while (good && *next != '"' && *next != '\0')
	{
		if (*next == '\\')
		{
			next++;
			good = put_escape(&string, &next);
		}
		else
			appendStringInfoChar(&string, *next++);
	}
	good = good && *next == '"';
	if (good)
	{
		pytorch_put_string(out, string.data, string.len);
		*p = next + 1;
	}
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
	if (**p != '{')
		return false;
	*p = skip_blanks(*p + 1);
	while (**p == '"')
	{
		CHECK_FOR_INTERRUPTS();
		if (!put_json_string(out, p))
			return false;
		*p = skip_blanks(*p);
		if (**p != ':')
			return false;
		*p = skip_blanks(*p + 1);
		if (!put_value(out, p))
			return false;
		appendStringInfoChar(out, 's');
		*p = skip_blanks(*p);
		if (**p == ',')
			*p = skip_blanks(*p + 1);
	}
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
	const char *pytorch = find_member(metadata, "pytorch");
	const char *versions = pytorch ? find_member(pytorch, "_metadata") : NULL;
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
