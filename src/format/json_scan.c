/*
 * json_scan.c
 *		A strict scanner of JSON text.
 */
#include "postgres.h"

#include "format/json_scan.h"
#include "mb/pg_wchar.h"

/* No length or offset that is meant is larger. */
#define MAX_INTEGER ((int64) 1 << 48)

void
json_scan_fail(const JsonScan *scan, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid %s", scan->what),
			 errdetail("%s at byte %zu of its JSON text.", detail, scan->at)));
	pg_unreachable();
}

static void
skip_space(JsonScan *scan)
{
	while (scan->at < scan->size &&
		   (scan->data[scan->at] == ' ' || scan->data[scan->at] == '\t' ||
			scan->data[scan->at] == '\n' || scan->data[scan->at] == '\r'))
		scan->at++;
}

bool
json_scan_accept(JsonScan *scan, char mark)
{
	skip_space(scan);
	if (scan->at >= scan->size || scan->data[scan->at] != mark)
		return false;
	scan->at++;
	return true;
}

void
json_scan_expect(JsonScan *scan, char mark)
{
	if (!json_scan_accept(scan, mark))
	{
		char		detail[] = "There is no \"?\"";

		detail[13] = mark;
		json_scan_fail(scan, detail);
	}
}

void
json_scan_end(JsonScan *scan)
{
	skip_space(scan);
	if (scan->at < scan->size)
		json_scan_fail(scan, "Something follows the JSON object");
}

/* ---------- numbers ---------- */

int64
json_scan_integer(JsonScan *scan)
{
	int64		value = 0;
	size_t		start;

	skip_space(scan);
	start = scan->at;
	while (scan->at < scan->size && scan->data[scan->at] >= '0' &&
		   scan->data[scan->at] <= '9')
	{
		value = value * 10 + (scan->data[scan->at] - '0');
		if (value > MAX_INTEGER)
			json_scan_fail(scan, "A number is too large");
		scan->at++;
	}
	if (scan->at == start)
		json_scan_fail(scan, "There is no number of decimal digits");
	if (scan->data[start] == '0' && scan->at - start > 1)
		json_scan_fail(scan, "A number starts with 0");
	return value;
}

/* ---------- strings ---------- */

bool
json_scan_is_string(JsonScan *scan)
{
	skip_space(scan);
	return scan->at < scan->size && scan->data[scan->at] == '"';
}

/* Four hexadecimal digits. */
static pg_wchar
scan_code_unit(JsonScan *scan)
{
	pg_wchar	unit = 0;

	for (int i = 0; i < 4; i++)
	{
		char		c = scan->at < scan->size ? scan->data[scan->at] : '\0';

		if (c >= '0' && c <= '9')
			unit = unit << 4 | (pg_wchar) (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			unit = unit << 4 | (pg_wchar) ((c | 0x20) - 'a' + 10);
		else
			json_scan_fail(scan, "An escape has no four hexadecimal digits");
		scan->at++;
	}
	return unit;
}

/* What follows \u: a character, or the halves of one. */
static void
scan_unicode_escape(JsonScan *scan, StringInfo out)
{
	pg_wchar	c = scan_code_unit(scan);
	unsigned char utf8[8];

	if (is_utf16_surrogate_first(c))
	{
		pg_wchar	second = 0;

		if (scan->size - scan->at > 2 && scan->data[scan->at] == '\\' &&
			scan->data[scan->at + 1] == 'u')
		{
			scan->at += 2;
			second = scan_code_unit(scan);
		}
		if (!is_utf16_surrogate_second(second))
			json_scan_fail(scan, "An escape is half of a character");
		c = surrogate_pair_to_codepoint(c, second);
	}
	else if (is_utf16_surrogate_second(c))
		json_scan_fail(scan, "An escape is half of a character");
	if (c == 0)
		json_scan_fail(scan, "A string has the character U+0000");
	unicode_to_utf8(c, utf8);
	appendBinaryStringInfo(out, (const char *) utf8, pg_utf_mblen(utf8));
}

static void
scan_escape(JsonScan *scan, StringInfo out)
{
	static const char escapes[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	char		c = scan->at < scan->size ? scan->data[scan->at] : '\0';
	const char *found = c == '\0' ? NULL : strchr(escapes, c);

	scan->at++;
	if (c == 'u')
		scan_unicode_escape(scan, out);
	else if (found != NULL)
		appendStringInfoChar(out, meanings[found - escapes]);
	else
		json_scan_fail(scan, "A string has an unknown escape");
}

void
json_scan_string(JsonScan *scan, StringInfo out)
{
	json_scan_expect(scan, '"');
	for (;;)
	{
		size_t		start = scan->at;

		while (scan->at < scan->size && scan->data[scan->at] != '"' &&
			   scan->data[scan->at] != '\\' &&
			   (unsigned char) scan->data[scan->at] >= 0x20)
			scan->at++;
		appendBinaryStringInfo(out, scan->data + start, scan->at - start);
		if (scan->at >= scan->size)
			json_scan_fail(scan, "A string does not end");
		if ((unsigned char) scan->data[scan->at] < 0x20)
			json_scan_fail(scan, "A string has a control character");
		if (scan->data[scan->at++] == '"')
			return;
		scan_escape(scan, out);
	}
}

/* ---------- values that nobody wants ---------- */

static void
skip_string(JsonScan *scan)
{
	StringInfoData string;

	initStringInfo(&string);
	json_scan_string(scan, &string);
	pfree(string.data);
}

static bool
is_word(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		c == '+' || c == '-' || c == '.';
}

/* A number, true, false or null: taken for what it looks like. */
static void
skip_word(JsonScan *scan)
{
	size_t		start = scan->at;

	while (scan->at < scan->size && is_word(scan->data[scan->at]))
		scan->at++;
	if (scan->at == start)
		json_scan_fail(scan, "There is no value");
}

/* Takes the key of an object's member and the colon after it. */
static void
skip_key(JsonScan *scan)
{
	skip_string(scan);
	json_scan_expect(scan, ':');
}

void
json_scan_skip(JsonScan *scan)
{
	StringInfoData ends;		/* marks that end what is open, the innermost
								 * last */

	initStringInfo(&ends);
	do
	{
		bool		is_object = json_scan_accept(scan, '{');

		if (is_object || json_scan_accept(scan, '['))
		{
			char		end = is_object ? '}' : ']';

			if (!json_scan_accept(scan, end))
			{
				appendStringInfoChar(&ends, end);
				if (is_object)
					skip_key(scan);
				continue;
			}
		}
		else if (json_scan_is_string(scan))
			skip_string(scan);
		else
			skip_word(scan);

		while (ends.len > 0 && !json_scan_accept(scan, ','))
			json_scan_expect(scan, ends.data[--ends.len]);
		if (ends.len > 0 && ends.data[ends.len - 1] == '}')
			skip_key(scan);
	} while (ends.len > 0);
	pfree(ends.data);
}
