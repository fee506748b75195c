/*
 * protobuf.c
 *		Reads and writes the wire form of protocol buffers.
 */
#include "postgres.h"

#include "onnx/protobuf.h"

static bool
fail(PbReader *reader, const char *problem)
{
	reader->problem = problem;
	return false;
}

/* ---------- reading ---------- */

bool
pb_next_varint(PbReader *reader, uint64 *value)
{
	uint64		result = 0;

	for (int i = 0; i < PB_MAX_VARINT && reader->at < reader->end; i++)
	{
		uint8		byte = *reader->at++;

		/* The tenth byte has room for one bit. */
		if (i == PB_MAX_VARINT - 1 && byte > 1)
			return fail(reader, "a number has more than 64 bits");
		result |= (uint64) (byte & 0x7f) << (7 * i);
		if (byte < 0x80)
		{
			*value = result;
			return true;
		}
	}
	return fail(reader, "a number is cut short");
}

uint32
pb_fixed32(const char *data)
{
	uint32		value = 0;

	for (int i = 4; i-- > 0;)
		value = value << 8 | (uint8) data[i];
	return value;
}

uint64
pb_fixed64(const char *data)
{
	return (uint64) pb_fixed32(data + 4) << 32 | pb_fixed32(data);
}

static bool
next_tag(PbReader *reader, PbField *field)
{
	uint64		tag;

	if (!pb_next_varint(reader, &tag))
		return false;
	/* Others read a tag as 32 bits, whatever comes after them. */
	if (tag > PG_UINT32_MAX || reader->at - field->start > 5)
		return fail(reader, "a field's number is too large");
	field->number = tag >> 3;
	if (field->number == 0)
		return fail(reader, "a field has number 0");
	field->wire = tag & 7;
	return true;
}

static bool
take_bytes(PbReader *reader, uint64 size, const char **data)
{
	if (size > reader->end - reader->at)
		return fail(reader, "a field reaches past the end of what it is in");
	*data = reader->at;
	reader->at += size;
	return true;
}

static bool
next_value(PbReader *reader, PbField *field)
{
	const char *data;

	switch (field->wire)
	{
		case PB_VARINT:
			return pb_next_varint(reader, &field->value);
		case PB_FIXED64:
			if (!take_bytes(reader, 8, &data))
				return false;
			field->value = pb_fixed64(data);
			return true;
		case PB_BYTES:
			return pb_next_varint(reader, &field->size) &&
				take_bytes(reader, field->size, &field->data);
		case PB_FIXED32:
			if (!take_bytes(reader, 4, &data))
				return false;
			field->value = pb_fixed32(data);
			return true;
	}
	return fail(reader, "a field is a group or of an unknown kind");
}

bool
pb_next(PbReader *reader, PbField *field)
{
	if (reader->problem != NULL || reader->at >= reader->end)
		return false;
	field->start = reader->at;
	field->value = 0;
	field->data = NULL;
	field->size = 0;
	if (!next_tag(reader, field) || !next_value(reader, field))
		return false;
	field->end = reader->at;
	return true;
}

uint64
pb_count_varints(const char *data, uint64 size)
{
	uint64		count = 0;

	for (uint64 i = 0; i < size; i++)
		count += (uint8) data[i] < 0x80;
	return count;
}

/* ---------- writing ---------- */

int
pb_varint_size(uint64 value)
{
	int			size = 1;

	while (value >= 0x80)
	{
		value >>= 7;
		size++;
	}
	return size;
}

char *
pb_put_varint(char *dst, uint64 value)
{
	while (value >= 0x80)
	{
		*dst++ = (char) (value | 0x80);
		value >>= 7;
	}
	*dst++ = (char) value;
	return dst;
}

int
pb_header_size(uint32 number, uint64 size)
{
	return pb_varint_size((uint64) number << 3) + pb_varint_size(size);
}

char *
pb_put_header(char *dst, uint32 number, uint64 size)
{
	return pb_put_varint(pb_put_varint(dst, (uint64) number << 3 | PB_BYTES),
						 size);
}
