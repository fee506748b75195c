/*
 * json.c
 *		Whether text is JSON that jsonb takes.
 *
 * The readers write metadata and the server's JSON parser is not here, so this
 * is a second opinion on their text: RFC 8259, valid UTF-8, no \u0000 and no
 * lone surrogate, and not so deep that the server's parser would mind.
 */
#include "postgres.h"

#include "harness.h"

/* The server goes deeper, as far as max_stack_depth lets it. */
#define MAX_DEPTH 512

static const char *
skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* The value of \uXXXX, or -1. */
static int
unicode_escape(const char *p)
{
	char		digits[5] = {0};

	if (p[0] != '\\' || p[1] != 'u' ||
		strspn(p + 2, "0123456789abcdefABCDEF") < 4)
		return -1;
	memcpy(digits, p + 2, 4);
	return (int) strtol(digits, NULL, 16);
}

/* What comes after an escape, or NULL. */
static const char *
skip_escape(const char *p)
{
	int			value;

	if (p[1] != 'u')
		return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) ? p + 2 : NULL;
	value = unicode_escape(p);
	if (value <= 0 || (value >= 0xdc00 && value < 0xe000))
		return NULL;
	if (value < 0xd800 || value >= 0xe000)
		return p + 6;
	value = unicode_escape(p + 6);
	return value >= 0xdc00 && value < 0xe000 ? p + 12 : NULL;
}

/* What comes after a string, or NULL. */
static const char *
skip_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (p != NULL && *p != '"')
	{
		if ((unsigned char) *p < 0x20)
			return NULL;
		p = *p == '\\' ? skip_escape(p) : p + 1;
	}
	return p != NULL ? p + 1 : NULL;
}

/* What comes after at least one digit, or NULL. */
static const char *
skip_digits(const char *p)
{
	size_t		n = strspn(p, "0123456789");

	return n > 0 ? p + n : NULL;
}

static const char *
skip_number(const char *p)
{
	if (*p == '-')
		p++;
	p = *p == '0' ? p + 1 : skip_digits(p);
	if (p != NULL && *p == '.')
		p = skip_digits(p + 1);
	if (p != NULL && (*p == 'e' || *p == 'E'))
		p = skip_digits(p + 1 + (p[1] == '+' || p[1] == '-'));
	return p;
}

static const char *
skip_word(const char *p)
{
	static const char *const words[] = {"true", "false", "null"};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strncmp(p, words[i], strlen(words[i])) == 0)
			return p + strlen(words[i]);
	}
	return NULL;
}

static const char *skip_value(const char *p, int depth);

/* What comes after an array or an object, or NULL. */
static const char *
skip_container(const char *p, int depth)
{
	bool		is_object = *p == '{';
	char		end = is_object ? '}' : ']';

	p = skip_blanks(p + 1);
	if (*p == end)
		return p + 1;
	for (;;)
	{
		if (is_object)
		{
			p = skip_string(p);
			p = p != NULL ? skip_blanks(p) : NULL;
			if (p == NULL || *p++ != ':')
				return NULL;
		}
		p = skip_value(skip_blanks(p), depth + 1);
		if (p == NULL)
			return NULL;
		p = skip_blanks(p);
		if (*p == end)
			return p + 1;
		if (*p++ != ',')
			return NULL;
		p = skip_blanks(p);
	}
}

static const char *
skip_value(const char *p, int depth)
{
	if (depth > MAX_DEPTH)
		return NULL;
	if (*p == '{' || *p == '[')
		return skip_container(p, depth);
	if (*p == '"')
		return skip_string(p);
	if (*p == '-' || (*p >= '0' && *p <= '9'))
		return skip_number(p);
	return skip_word(p);
}

void
harness_check_json(const char *text, char first)
{
	const char *end;

	if (!server_utf8_is_valid(text, strlen(text)))
		server_die("JSON text is not valid UTF-8");
	end = *text == first ? skip_value(text, 0) : NULL;
	if (end == NULL || *skip_blanks(end) != '\0')
		server_die("not the JSON text that it should be: %.1000s", text);
}
