/*
 * json_scan.h
 *		JSON text taken apart from left to right, without recursion.
 *
 * Private to src/format, for headers that come from anybody.  The server's own
 * parsers take the last of two equal keys, or read numbers that others read
 * otherwise; here the caller says what comes next, and everything else is an
 * error that names the place.
 */
#ifndef MODELOPT_JSON_SCAN_H
#define MODELOPT_JSON_SCAN_H

#include "compat.h"

#include "lib/stringinfo.h"

typedef struct JsonScan
{
	const char *data;			/* known to be UTF-8 without NUL */
	size_t		size;
	size_t		at;				/* next byte */
	const char *what;			/* for errors: "safetensors file" */
} JsonScan;

/* Raises 22P03 with a detail and the place; detail is a whole sentence
 * without its full stop. */
pg_noreturn extern void json_scan_fail(const JsonScan *scan, const char *detail);

/* Takes a punctuation mark, or tells whether it comes; white space before it
 * is skipped. */
extern void json_scan_expect(JsonScan *scan, char mark);
extern bool json_scan_accept(JsonScan *scan, char mark);

/* Whether a string comes. */
extern bool json_scan_is_string(JsonScan *scan);

/* Takes a string and appends it, unescaped, to out.  Raises for U+0000 and
 * lone surrogates. */
extern void json_scan_string(JsonScan *scan, StringInfo out);

/* Takes a number of decimal digits without sign, fraction or exponent, of at
 * most 2^48. */
extern int64 json_scan_integer(JsonScan *scan);

/* Takes a value of any kind, however deep, and makes nothing of it. */
extern void json_scan_skip(JsonScan *scan);

/* Raises unless only white space is left. */
extern void json_scan_end(JsonScan *scan);

#endif							/* MODELOPT_JSON_SCAN_H */
