/*
 * protobuf.h
 *		The wire form of protocol buffers: fields, one after another.
 *
 * Nothing is copied and nothing is allocated: a field points into the bytes
 * that it was read from.  What the fields of a message mean is the caller's:
 * https://protobuf.dev/programming-guides/encoding/
 */
#ifndef MODELOPT_PROTOBUF_H
#define MODELOPT_PROTOBUF_H

#include "postgres.h"

/* How a field's value is written.  Groups, 3 and 4, are refused. */
typedef enum PbWire
{
	PB_VARINT = 0,
	PB_FIXED64 = 1,
	PB_BYTES = 2,
	PB_FIXED32 = 5,
} PbWire;

#define PB_MAX_FIELD	((1 << 29) - 1)
#define PB_MAX_VARINT	10		/* bytes */

typedef struct PbField
{
	uint32		number;
	PbWire		wire;
	uint64		value;			/* of all but PB_BYTES */
	const char *data;			/* of PB_BYTES */
	uint64		size;
	const char *start;			/* all of the field, from its tag on */
	const char *end;
} PbField;

typedef struct PbReader
{
	const char *at;
	const char *end;
	const char *problem;		/* what is wrong with the bytes, or NULL */
} PbReader;

static inline PbReader
pb_reader(const char *data, uint64 size)
{
	PbReader	reader = {data, size > 0 ? data + size : data, NULL};

	return reader;
}

/* The content of a field of PB_BYTES. */
static inline PbReader
pb_content(const PbField *field)
{
	return pb_reader(field->data, field->size);
}

/* Takes the next field; false at the end, and at a problem. */
extern bool pb_next(PbReader *reader, PbField *field);

/* Takes a varint, as packed ones follow each other; false likewise. */
extern bool pb_next_varint(PbReader *reader, uint64 *value);

/* How many varints follow each other to the end of the bytes; the last one
 * may be cut short. */
extern uint64 pb_count_varints(const char *data, uint64 size);

/* Little-endian numbers. */
extern uint32 pb_fixed32(const char *data);
extern uint64 pb_fixed64(const char *data);

/* Writing: bytes of a varint, and a varint; returns what comes after it. */
extern int	pb_varint_size(uint64 value);
extern char *pb_put_varint(char *dst, uint64 value);

/* The same for the tag and the length of a field of PB_BYTES. */
extern int	pb_header_size(uint32 number, uint64 size);
extern char *pb_put_header(char *dst, uint32 number, uint64 size);

#endif							/* MODELOPT_PROTOBUF_H */
