/*
 * gguf_base64.c
 *		Bytes as base64 text, and back.
 */
#include "postgres.h"

#include "format/gguf.h"

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
