/*
 * zip_write.c
 *		Writes zip archives of stored records.
 *
 * Owns the layout: local headers padded so that contents are aligned, a
 * directory in the same order, an end record, and zip64's additions where a
 * number outgrows its field.  Does not know what the records mean.
 */
#include "postgres.h"

#include <libdeflate.h>

#include "format/format.h"
#include "format/zip.h"
#include "miscadmin.h"

#define LOCAL_SIZE			30
#define CENTRAL_SIZE		46
#define END_SIZE			22
#define END64_SIZE			76	/* with the locator */

#define VERSION				20	/* of the format, times ten */
#define VERSION_ZIP64		45
#define FLAG_UTF8			0x0800
#define DATE				0x0021	/* 1980-01-01: the same every time */

#define EXTRA_SIZE			4	/* of an extra field, before its contents */
#define EXTRA_ZIP64			0x0001

/* torch.save pads with an extra field of this kind, and so do we. */
#define EXTRA_PADDING		0x4246	/* "FB" */
#define PADDING_BYTE		'Z'

/* Where sizes stop growing, so that sums of them cannot overflow. */
#define FAR_TOO_LARGE		(UINT64CONST(1) << 62)

/* Put and summed between two looks for interrupts: small enough to be in the
 * cache for the second of them. */
#define STEP_BYTES			((uint64) 256 * 1024)

typedef struct ZipRecord
{
	const char *name;
	int			name_length;
	int			padding;		/* bytes of the extra field */
	uint64		offset;			/* of the local header */
	uint64		size;
	uint32		crc;
} ZipRecord;

struct ZipWriter
{
	Sink	   *sink;
	ZipRecord  *records;
	int			nrecords;
	int			allocated;
	int			longest;		/* header, in bytes */
	uint64		directory;		/* where it will start */
	uint64		directory_size;
	int			current;		/* record that is being filled, or -1 */
	uint64		filled;			/* bytes of it */
};

/* ---------- layout ---------- */

ZipWriter *
zip_writer_create(Sink *sink)
{
	ZipWriter  *writer = palloc0(sizeof(ZipWriter));

	writer->sink = sink;
	writer->allocated = 16;
	writer->records = palloc(writer->allocated * sizeof(ZipRecord));
	writer->current = -1;
	return writer;
}

/* Whether a number does not fit its field of 32 bits, of which the largest
 * value says that it is in a zip64 field instead. */
static bool
is_long(uint64 number)
{
	return number >= PG_UINT32_MAX;
}

/* Bytes of the zip64 fields: both sizes in the local header, and those that
 * are needed in the directory. */
static int
local_zip64_size(const ZipRecord *record)
{
	return is_long(record->size) ? EXTRA_SIZE + 16 : 0;
}

static int
central_zip64_size(const ZipRecord *record)
{
	int			size = (is_long(record->size) ? 16 : 0) +
		(is_long(record->offset) ? 8 : 0);

	return size > 0 ? EXTRA_SIZE + size : 0;
}

/* Bytes of the local header and what belongs to it. */
static int
local_size(const ZipRecord *record)
{
	return LOCAL_SIZE + record->name_length + local_zip64_size(record) +
		EXTRA_SIZE + record->padding;
}

static int
central_size(const ZipRecord *record)
{
	return CENTRAL_SIZE + record->name_length + central_zip64_size(record);
}

/* Offset of a record's contents. */
static uint64
contents_offset(const ZipRecord *record)
{
	return record->offset + local_size(record);
}

void
zip_writer_announce(ZipWriter *writer, const char *name, uint64 size)
{
	ZipRecord  *record;

	if (writer->nrecords == writer->allocated)
	{
		writer->allocated *= 2;
		writer->records = repalloc(writer->records,
								   writer->allocated * sizeof(ZipRecord));
	}
	record = &writer->records[writer->nrecords++];
	record->name = name;
	record->name_length = strlen(name);
	record->offset = writer->directory;
	record->size = size;
	record->crc = 0;
	record->padding = 0;
	record->padding = (int) (-contents_offset(record) % ZIP_ALIGNMENT);

	writer->longest = Max(writer->longest, local_size(record));
	writer->longest = Max(writer->longest, central_size(record));
	writer->directory = Min(contents_offset(record) + Min(size, FAR_TOO_LARGE),
							FAR_TOO_LARGE);
	writer->directory_size += central_size(record);
}

static bool
needs_zip64(const ZipWriter *writer)
{
	return writer->nrecords >= PG_UINT16_MAX || is_long(writer->directory) ||
		is_long(writer->directory_size);
}

/* ---------- contents ---------- */

void
zip_writer_start(ZipWriter *writer)
{
	writer->sink->start(writer->sink,
						writer->directory + writer->directory_size + END_SIZE +
						(needs_zip64(writer) ? END64_SIZE : 0));
}

static void
check_filled(const ZipWriter *writer)
{
	if (writer->current >= 0 &&
		writer->filled != writer->records[writer->current].size)
		elog(ERROR, "zip record \"%s\" does not have its announced size",
			 writer->records[writer->current].name);
}

void
zip_writer_begin(ZipWriter *writer)
{
	check_filled(writer);
	if (++writer->current >= writer->nrecords)
		elog(ERROR, "zip archive has more records than announced");
	writer->filled = 0;
}

void
zip_writer_append(ZipWriter *writer, const void *bytes, uint64 n)
{
	ZipRecord  *record = &writer->records[writer->current];
	const char *from = bytes;
	uint64		at = contents_offset(record) + writer->filled;

	if (n > record->size - writer->filled)
		elog(ERROR, "zip record \"%s\" has more bytes than announced",
			 record->name);
	for (uint64 done = 0; done < n; done += STEP_BYTES)
	{
		uint64		step = Min(STEP_BYTES, n - done);

		CHECK_FOR_INTERRUPTS();
		writer->sink->put(writer->sink, at + done, from + done, step);
		record->crc = libdeflate_crc32(record->crc, from + done, step);
	}
	writer->filled += n;
}

/* ---------- headers ---------- */

static char *
put_u16(char *p, uint32 value)
{
	p[0] = (char) (value & 0xff);
	p[1] = (char) (value >> 8 & 0xff);
	return p + 2;
}

static char *
put_u32(char *p, uint32 value)
{
	return put_u16(put_u16(p, value & 0xffff), value >> 16);
}

static char *
put_u64(char *p, uint64 value)
{
	return put_u32(put_u32(p, (uint32) value), (uint32) (value >> 32));
}

static char *
put_bytes(char *p, const char *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

/* A number, or the mark that it is in a zip64 field. */
static char *
put_u32_or_mark(char *p, uint64 value)
{
	return put_u32(p, is_long(value) ? PG_UINT32_MAX : (uint32) value);
}

/* From the version needed to the length of the name: what the local header
 * and the directory have in common. */
static char *
put_common(char *p, const ZipRecord *record)
{
	p = put_u16(p, central_zip64_size(record) > 0 ? VERSION_ZIP64 : VERSION);
	p = put_u16(p, FLAG_UTF8);
	p = put_u16(p, ZIP_STORED);
	p = put_u16(p, 0);			/* time */
	p = put_u16(p, DATE);
	p = put_u32(p, record->crc);
	p = put_u32_or_mark(p, record->size);
	p = put_u32_or_mark(p, record->size);
	return put_u16(p, record->name_length);
}

static char *
put_zip64_sizes(char *p, const ZipRecord *record)
{
	return put_u64(put_u64(p, record->size), record->size);
}

static void
put_local(char *p, const ZipRecord *record)
{
	int			zip64 = local_zip64_size(record);

	p = put_u32(p, 0x04034b50);
	p = put_common(p, record);
	p = put_u16(p, zip64 + EXTRA_SIZE + record->padding);
	p = put_bytes(p, record->name, record->name_length);
	if (zip64 > 0)
	{
		p = put_u16(p, EXTRA_ZIP64);
		p = put_u16(p, zip64 - EXTRA_SIZE);
		p = put_zip64_sizes(p, record);
	}
	p = put_u16(p, EXTRA_PADDING);
	p = put_u16(p, record->padding);
	memset(p, PADDING_BYTE, record->padding);
}

static void
put_central(char *p, const ZipRecord *record)
{
	int			zip64 = central_zip64_size(record);

	p = put_u32(p, 0x02014b50);
	p = put_u16(p, zip64 > 0 ? VERSION_ZIP64 : VERSION);	/* made by */
	p = put_common(p, record);
	p = put_u16(p, zip64);		/* extra fields */
	p = put_u16(p, 0);			/* comment */
	p = put_u16(p, 0);			/* disk */
	p = put_u16(p, 0);			/* attributes, internal */
	p = put_u32(p, 0);			/* and external */
	p = put_u32_or_mark(p, record->offset);
	p = put_bytes(p, record->name, record->name_length);
	if (zip64 > 0)
	{
		p = put_u16(p, EXTRA_ZIP64);
		p = put_u16(p, zip64 - EXTRA_SIZE);
		if (is_long(record->size))
			p = put_zip64_sizes(p, record);
		if (is_long(record->offset))
			p = put_u64(p, record->offset);
	}
}

/* The zip64 end record and the locator that points to it. */
static char *
put_end64(char *p, const ZipWriter *writer)
{
	p = put_u32(p, 0x06064b50);
	p = put_u64(p, 44);			/* bytes of it that follow */
	p = put_u16(p, VERSION_ZIP64);	/* made by */
	p = put_u16(p, VERSION_ZIP64);	/* needed */
	p = put_u32(p, 0);			/* disk */
	p = put_u32(p, 0);			/* disk of the directory */
	p = put_u64(p, writer->nrecords);	/* on this disk */
	p = put_u64(p, writer->nrecords);
	p = put_u64(p, writer->directory_size);
	p = put_u64(p, writer->directory);

	p = put_u32(p, 0x07064b50);
	p = put_u32(p, 0);			/* disk */
	p = put_u64(p, writer->directory + writer->directory_size);
	return put_u32(p, 1);		/* disks */
}

static char *
put_end(char *p, const ZipWriter *writer)
{
	uint32		nrecords = Min(writer->nrecords, PG_UINT16_MAX);

	p = put_u32(p, 0x06054b50);
	p = put_u16(p, 0);			/* disk */
	p = put_u16(p, 0);			/* disk of the directory */
	p = put_u16(p, nrecords);	/* on this disk */
	p = put_u16(p, nrecords);
	p = put_u32_or_mark(p, writer->directory_size);
	p = put_u32_or_mark(p, writer->directory);
	return put_u16(p, 0);		/* comment */
}

void
zip_writer_finish(ZipWriter *writer)
{
	Sink	   *sink = writer->sink;
	char	   *header = palloc(Max(writer->longest, 1));
	char		end[END64_SIZE + END_SIZE];
	char	   *p = end;
	uint64		at = writer->directory;

	check_filled(writer);
	if (writer->current != writer->nrecords - 1)
		elog(ERROR, "zip archive has fewer records than announced");
	for (int i = 0; i < writer->nrecords; i++)
	{
		const ZipRecord *record = &writer->records[i];

		CHECK_FOR_INTERRUPTS();
		put_local(header, record);
		sink->put(sink, record->offset, header, local_size(record));
		put_central(header, record);
		sink->put(sink, at, header, central_size(record));
		at += central_size(record);
	}
	if (needs_zip64(writer))
		p = put_end64(p, writer);
	p = put_end(p, writer);
	sink->put(sink, at, end, p - end);

	pfree(header);
	pfree(writer->records);
	pfree(writer);
}
