/*
 * json_walk.c
 *		A walk over a model's metadata.
 */
#include "postgres.h"

#include "format/json_walk.h"

const char *
json_walk_skip_blanks(const char *p)
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

const char *
json_walk_skip_value(const char *p)
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

bool
json_walk_accept(const char **p, char mark)
{
	const char *next = json_walk_skip_blanks(*p);

	if (*next != mark)
		return false;
	*p = json_walk_skip_blanks(next + 1);
	return true;
}

/* The character that an escape stands for, after the backslash.  jsonb writes
 * no other ones than those of one byte. */
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
	appendStringInfoChar(out, (char) value);
	return value > 0 && value < 0x80;
}

bool
json_walk_string(const char **p, StringInfo out)
{
	const char *next = *p;

	if (*next++ != '"')
		return false;
	for (;;)
	{
		const char *start = next;

		while (*next != '"' && *next != '\\' && *next != '\0')
			next++;
		appendBinaryStringInfo(out, start, (int) (next - start));
		if (*next == '\0')
			return false;
		if (*next++ == '"')
			break;
		if (*next == '\0' || !put_escape(out, &next))
			return false;
	}
	*p = next;
	return true;
}

const char *
json_walk_member(const char *object, const char *key)
{
	const char *p = object;
	size_t		length = strlen(key);

	if (!json_walk_accept(&p, '{'))
		return NULL;
	while (*p == '"')
	{
		const char *name = p + 1;
		const char *end = end_of_string(name);

		p = *end == '\0' ? end : end + 1;
		if (!json_walk_accept(&p, ':'))
			return NULL;
		if ((size_t) (end - name) == length && memcmp(name, key, length) == 0)
			return p;
		p = json_walk_skip_value(p);
		(void) json_walk_accept(&p, ',');
	}
	return NULL;
}
