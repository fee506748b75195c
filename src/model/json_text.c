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
	appendStringInfoChar(out, '"');
	for (int i = 0; i < length; i++)
	{
		unsigned char c = s[i];

		if (c == '"' || c == '\\')
		{
			appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, c);
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
