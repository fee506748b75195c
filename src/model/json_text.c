/*
 * json_text.c
 *		Writing JSON text in UTF-8.
 *
 * For readers that collect metadata and transformations that leave a recipe.
 * The server's own escape_json writes into the database's encoding; a model's
 * text is UTF-8 everywhere.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "model/model.h"

void
json_append_string(StringInfo out, const char *s, int length)
{
	static const char escaped[] = "\"\\\b\f\n\r\t";
	static const char escapes[] = "\"\\bfnrt";

	appendStringInfoChar(out, '"');
	for (int i = 0; i < length; i++)
	{
		unsigned char c = s[i];
		const char *found = c == '\0' ? NULL : strchr(escaped, c);

		if (found != NULL)
		{
			appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, escapes[found - escaped]);
		}
		else if (c < 0x20)
			appendStringInfo(out, "\\u%04x", c);
		else
			appendStringInfoChar(out, c);
	}
	appendStringInfoChar(out, '"');
}

void
json_append_double(StringInfo out, double value)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (isnan(value))
		appendStringInfoString(out, "\"NaN\"");
	else if (isinf(value))
		appendStringInfoString(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else
	{
		double_to_shortest_decimal_buf(value, digits);
		appendStringInfoString(out, digits);
	}
}
