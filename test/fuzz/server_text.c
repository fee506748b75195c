/*
 * server_text.c
 *		StringInfo, formatted output, UTF-8, numbers and sorting.
 *
 * Formatting is the C library's, whose arguments the sanitizers look at.  The
 * database's encoding is UTF-8, so converting is checking.
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "server.h"
#include "utils/memutils.h"

#undef vsnprintf
#undef snprintf
#undef vsprintf
#undef sprintf
#undef qsort

/* ---------- formatted output ---------- */

int
pg_vsnprintf(char *str, size_t count, const char *fmt, va_list args)
{
	return vsnprintf(str, count, fmt, args);
}

int
pg_snprintf(char *str, size_t count, const char *fmt,...)
{
	va_list		args;
	int			length;

	va_start(args, fmt);
	length = vsnprintf(str, count, fmt, args);
	va_end(args);
	return length;
}

char *
psprintf(const char *fmt,...)
{
	va_list		args;
	int			length;
	char	   *text;

	va_start(args, fmt);
	length = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = palloc(length + 1);
	va_start(args, fmt);
	vsnprintf(text, length + 1, fmt, args);
	va_end(args);
	return text;
}

/* ---------- StringInfo ---------- */

void
initStringInfo(StringInfo str)
{
	str->maxlen = 1024;
	str->data = palloc(str->maxlen);
	resetStringInfo(str);
}

StringInfo
makeStringInfo(void)
{
	StringInfo	str = palloc(sizeof(StringInfoData));

	initStringInfo(str);
	return str;
}

void
resetStringInfo(StringInfo str)
{
	str->data[0] = '\0';
	str->len = 0;
	str->cursor = 0;
}

/* As the server does it: doubling, up to the largest chunk. */
void
enlargeStringInfo(StringInfo str, int needed)
{
	int			wanted;

	if (needed < 0)
		elog(ERROR, "invalid string enlargement request size: %d", needed);
	if ((Size) needed >= MaxAllocSize - (Size) str->len)
		elog(ERROR, "cannot enlarge string buffer containing %d bytes by %d more bytes",
			 str->len, needed);
	needed += str->len + 1;
	if (needed <= str->maxlen)
		return;
	wanted = 2 * str->maxlen;
	while (needed > wanted)
		wanted = 2 * wanted;
	wanted = Min(wanted, (int) MaxAllocSize);
	str->data = repalloc(str->data, wanted);
	str->maxlen = wanted;
}

void
appendBinaryStringInfoNT(StringInfo str,
#if PG_VERSION_NUM >= 160000
						 const void *data,
#else
						 const char *data,
#endif
						 int datalen)
{
	enlargeStringInfo(str, datalen);
	memcpy(str->data + str->len, data, datalen);
	str->len += datalen;
}

void
appendBinaryStringInfo(StringInfo str,
#if PG_VERSION_NUM >= 160000
					   const void *data,
#else
					   const char *data,
#endif
					   int datalen)
{
	appendBinaryStringInfoNT(str, data, datalen);
	str->data[str->len] = '\0';
}

void
appendStringInfoString(StringInfo str, const char *s)
{
	appendBinaryStringInfo(str, s, strlen(s));
}

void
appendStringInfoChar(StringInfo str, char ch)
{
	if (str->len + 1 >= str->maxlen)
		enlargeStringInfo(str, 1);
	str->data[str->len++] = ch;
	str->data[str->len] = '\0';
}

void
appendStringInfoSpaces(StringInfo str, int count)
{
	for (int i = 0; i < count; i++)
		appendStringInfoChar(str, ' ');
}

/* Returns 0, or how much room it needs. */
int
appendStringInfoVA(StringInfo str, const char *fmt, va_list args)
{
	int			room = str->maxlen - str->len;
	int			length;

	if (room < 16)
		return 32;
	length = vsnprintf(str->data + str->len, room, fmt, args);
	if (length < room)
	{
		str->len += length;
		return 0;
	}
	str->data[str->len] = '\0';
	return length + 1;
}

void
appendStringInfo(StringInfo str, const char *fmt,...)
{
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(str, fmt, args);
		va_end(args);
		if (needed == 0)
			return;
		enlargeStringInfo(str, needed);
	}
}

/* ---------- UTF-8 ---------- */

/* Bytes of the character at the start of s, or 0 when it is none (RFC 3629,
 * table 3-7 of the Unicode standard), or is U+0000. */
static size_t
utf8_character(const unsigned char *s, size_t left)
{
	unsigned char first = s[0];
	unsigned char low = 0x80;
	unsigned char high = 0xbf;
	size_t		length;

	if (first < 0x80)
		return first != 0 ? 1 : 0;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (left < length)
		return 0;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
	{
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

bool
server_utf8_is_valid(const char *s, size_t length)
{
	for (size_t i = 0; i < length;)
	{
		size_t		step = utf8_character((const unsigned char *) s + i,
										  length - i);

		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

/* The bytes of a character by those who know where it starts. */
int
pg_utf_mblen(const unsigned char *s)
{
	if (*s < 0x80)
		return 1;
	return *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
}

unsigned char *
unicode_to_utf8(pg_wchar c, unsigned char *utf8string)
{
	static const uint8 marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
	int			length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		server_die("%X is no character", c);
	for (int i = length; i-- > 1; c >>= 6)
		utf8string[i] = (uint8) (0x80 | (c & 0x3f));
	utf8string[0] = (uint8) (length == 1 ? c : marks[length] | c);
	return utf8string;
}

bool
pg_verify_mbstr(int encoding, const char *mbstr, int len, bool noError)
{
	if (encoding != PG_UTF8)
		server_die("encoding %d is checked", encoding);
	if (server_utf8_is_valid(mbstr, len))
		return true;
	if (!noError)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("invalid byte sequence for encoding \"UTF8\"")));
	return false;
}

char *
pg_any_to_server(const char *s, int len, int encoding)
{
	(void) pg_verify_mbstr(encoding, s, len, false);
	return unconstify(char *, s);
}

char *
pg_server_to_any(const char *s, int len, int encoding)
{
	if (encoding != PG_UTF8)
		server_die("text is converted to encoding %d", encoding);
	return unconstify(char *, s);
}

int
GetDatabaseEncoding(void)
{
	return PG_UTF8;
}

/* ---------- comparing and sorting ---------- */

unsigned char
pg_ascii_tolower(unsigned char ch)
{
	return ch >= 'A' && ch <= 'Z' ? ch + 'a' - 'A' : ch;
}

int
pg_strncasecmp(const char *s1, const char *s2, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		int			order = pg_ascii_tolower(s1[i]) - pg_ascii_tolower(s2[i]);

		if (order != 0 || s1[i] == '\0')
			return order;
	}
	return 0;
}

void
pg_qsort(void *base, size_t nel, size_t elsize,
		 int (*cmp) (const void *, const void *))
{
	if (nel > 1)
		qsort(base, nel, elsize, cmp);
}

/* ---------- numbers ---------- */

/* As few digits as read back the same. */
int
float_to_shortest_decimal_buf(float f, char *result)
{
	int			length = 0;

	for (int digits = 6; digits <= 9; digits++)
	{
		length = snprintf(result, FLOAT_SHORTEST_DECIMAL_LEN, "%.*g", digits,
						  f);
		if (strtof(result, NULL) == f)
			break;
	}
	return length;
}

int
double_to_shortest_decimal_buf(double f, char *result)
{
	int			length = 0;

	for (int digits = 15; digits <= 17; digits++)
	{
		length = snprintf(result, DOUBLE_SHORTEST_DECIMAL_LEN, "%.*g", digits,
						  f);
		if (strtod(result, NULL) == f)
			break;
	}
	return length;
}
