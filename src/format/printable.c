/*
 * printable.c
 *		Bytes from files, as they may stand in errors.
 */
#include "postgres.h"

#include "format/printable.h"

#define MAX_SHOWN	64			/* bytes */

char *
printable_bytes(const char *s, size_t length)
{
	size_t		shown = Min(length, (size_t) MAX_SHOWN);
	char	   *out = palloc(shown * 4 + 4);
	char	   *next = out;

	for (size_t i = 0; i < shown; i++)
	{
		unsigned char c = s[i];

		if (c >= 0x20 && c < 0x7f && c != '\\')
			*next++ = c;
		else
			next += snprintf(next, 5, "\\x%02x", c);
	}
	strcpy(next, shown < length ? "..." : "");
	return out;
}
