/*
 * gguf_json.c
 *		A walk over a model's metadata, and base64.
 */
#include "postgres.h"

#include "format/gguf.h"

/* ---------- JSON text ---------- */

const char *
gguf_json_skip_blanks(const char *p)
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
gguf_json_skip_value(const char *p)
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
gguf_json_accept(const char **p, char mark)
{
	const char *next = gguf_json_skip_blanks(*p);

	if (*next != mark)
		return false;
	*p = gguf_json_skip_blanks(next + 1);
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
gguf_json_string(const char **p, StringInfo out)
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
gguf_json_member(const char *object, const char *key)
{
	const char *p = object;
	size_t		length = strlen(key);

	if (!gguf_json_accept(&p, '{'))
		return NULL;
	while (*p == '"')
	{
		const char *name = p + 1;
		const char *end = end_of_string(name);

		p = *end == '\0' ? end : end + 1;
		if (!gguf_json_accept(&p, ':'))
			return NULL;
		if ((size_t) (end - name) == length && memcmp(name, key, length) == 0)
			return p;
		p = gguf_json_skip_value(p);
		(void) gguf_json_accept(&p, ',');
	}
	return NULL;
}

/* ---------- base64 ---------- */

static const char digits[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
gguf_put_base64(StringInfo out, const char *bytes, uint64 n)
{
	for (uint64 i = 0; i < n; i += 3)
	{
		uint32		group = (uint32) (uint8) bytes[i] << 16;
		char		base64[4] = {'=', '=', '=', '='};

		if (i + 1 < n)
			group |= (uint32) (uint8) bytes[i + 1] << 8;
		if (i + 2 < n)
			group |= (uint8) bytes[i + 2];
		base64[0] = digits[group >> 18];
		base64[1] = digits[group >> 12 & 0x3f];
		if (i + 1 < n)
			base64[2] = digits[group >> 6 & 0x3f];
		if (i + 2 < n)
			base64[3] = digits[group & 0x3f];
		appendBinaryStringInfo(out, base64, 4);
	}
}

static int
digit_value(char c)
{
	const char *found = c != '\0' ? strchr(digits, c) : NULL;

	return found != NULL ? (int) (found - digits) : -1;
}

/* A group of four digits, of which the last ones may be "=" and then stand for
 * nothing. */
static bool
get_group(StringInfo out, const char *base64, int ndigits)
{
	uint32		group = 0;

	for (int i = 0; i < 4; i++)
	{
		int			value = i < ndigits ? digit_value(base64[i]) : 0;

		if (value < 0)
			return false;
		group = group << 6 | (uint32) value;
	}
	for (int i = 0; i < ndigits - 1; i++)
		appendStringInfoChar(out, (char) (group >> (16 - 8 * i) & 0xff));

	/* What is left over must be zero, so that bytes have one text. */
	return ndigits == 4 || (group & (0xffffff >> 8 * (ndigits - 1))) == 0;
}

bool
gguf_get_base64(StringInfo out, const char *base64, size_t length)
{
	if (length % 4 != 0)
		return false;
	for (size_t i = 0; i < length; i += 4)
	{
		int			ndigits = 4;

		if (i + 4 == length && base64[i + 3] == '=')
			ndigits = base64[i + 2] == '=' ? 2 : 3;
		if (!get_group(out, base64 + i, ndigits))
			return false;
	}
	return true;
}
