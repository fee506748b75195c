/*
 * zip_write.c
 *		Writes zip archives of stored records.
 *
 * Owns the layout: local headers padded so that contents are aligned, a
 * directory in the same order, an end record.  Does not know what the records
 * mean.  The numbers in headers never need 64 bits, because a bytea ends
 * before 32 bits do, but the number of records may need more than 16.
 */
#include "postgres.h"

#include <zlib.h>

#include "format/zip.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define LOCAL_SIZE			30
#define CENTRAL_SIZE		46
#define END_SIZE			22
#define END64_SIZE			76	/* with the locator */

#define VERSION				20	/* of the format, times ten */
#define VERSION_ZIP64		45
#define FLAG_UTF8			0x0800
#define DATE				0x0021	/* 1980-01-01: the same every time */

/* torch.save pads with an extra field of this kind, and so do we. */
#define EXTRA_PADDING		0x4246	/* "FB" */
#define EXTRA_SIZE			4	/* before its contents */
#define PADDING_BYTE		'Z'

/* Where sizes stop growing, so that sums of them cannot overflow. */
#define FAR_TOO_LARGE		(UINT64CONST(1) << 62)

/* Copied and summed between two looks for interrupts: small enough to be in
 * the cache for the second of them. */
#define STEP_BYTES			((uint64) 256 * 1024)

typedef struct ZipRecord
{
	const char *name;
	int			name_length;
	int			padding;		/* bytes of the extra field */
	uint64		offset;			/* of the local header */
	uint64		size;
	uLong		crc;
} ZipRecord;

struct ZipWriter
{
	ZipRecord  *records;
	int			nrecords;
	int			allocated;
	uint64		directory;		/* where it will start */
	uint64		directory_size;
	struct varlena *result;
	char	   *start;			/* of the archive in it */
	int			current;		/* record that is being filled, or -1 */
	uint64		filled;			/* bytes of it */
};

/* ---------- layout ---------- */

ZipWriter *
zip_writer_create(void)
{
	ZipWriter  *writer = palloc0(sizeof(ZipWriter));

	writer->allocated = 16;
	writer->records = palloc(writer->allocated * sizeof(ZipRecord));
	writer->current = -1;
	return writer;
}

/* Offset of a record's contents. */
static uint64
contents_offset(const ZipRecord *record)
{
	return record->offset + LOCAL_SIZE + record->name_length + EXTRA_SIZE +
		record->padding;
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
	record->crc = crc32(0, Z_NULL, 0);
	record->padding = 0;
	record->padding = (int) (-contents_offset(record) % ZIP_ALIGNMENT);

	writer->directory = Min(contents_offset(record) + Min(size, FAR_TOO_LARGE),
							FAR_TOO_LARGE);
	writer->directory_size += CENTRAL_SIZE + record->name_length;
}

static bool
needs_zip64(const ZipWriter *writer)
{
	return writer->nrecords >= PG_UINT16_MAX;
}

uint64
zip_writer_size(const ZipWriter *writer)
{
	return writer->directory + writer->directory_size + END_SIZE +
		(needs_zip64(writer) ? END64_SIZE : 0);
}

/* ---------- contents ---------- */

void
zip_writer_start(ZipWriter *writer)
{
	uint64		size = zip_writer_size(writer);

	if (size > MaxAllocSize - VARHDRSZ)
		elog(ERROR, "zip archive of " UINT64_FORMAT " bytes is too large for a bytea",
			 size);
	writer->result = palloc(size + VARHDRSZ);
	SET_VARSIZE(writer->result, size + VARHDRSZ);
	writer->start = VARDATA(writer->result);
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
	char	   *to = writer->start + contents_offset(record) + writer->filled;

	if (n > record->size - writer->filled)
		elog(ERROR, "zip record \"%s\" has more bytes than announced",
			 record->name);
	for (uint64 done = 0; done < n; done += STEP_BYTES)
	{
		uint64		step = Min(STEP_BYTES, n - done);

		CHECK_FOR_INTERRUPTS();
		memcpy(to + done, from + done, step);
		record->crc = crc32(record->crc, (const Bytef *) to + done,
							(uInt) step);
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

/* From the version needed to the length of the name: what the local header
 * and the directory have in common. */
static char *
put_common(char *p, const ZipRecord *record)
{
	p = put_u16(p, VERSION);
	p = put_u16(p, FLAG_UTF8);
	p = put_u16(p, ZIP_STORED);
	p = put_u16(p, 0);			/* time */
	p = put_u16(p, DATE);
	p = put_u32(p, (uint32) record->crc);
	p = put_u32(p, (uint32) record->size);
	p = put_u32(p, (uint32) record->size);
	return put_u16(p, record->name_length);
}

static void
put_local(char *p, const ZipRecord *record)
{
	p = put_u32(p, 0x04034b50);
	p = put_common(p, record);
	p = put_u16(p, EXTRA_SIZE + record->padding);
	p = put_bytes(p, record->name, record->name_length);
	p = put_u16(p, EXTRA_PADDING);
	p = put_u16(p, record->padding);
	memset(p, PADDING_BYTE, record->padding);
}

static char *
put_central(char *p, const ZipRecord *record)
{
	p = put_u32(p, 0x02014b50);
	p = put_u16(p, VERSION);	/* made by */
	p = put_common(p, record);
	p = put_u16(p, 0);			/* extra field */
	p = put_u16(p, 0);			/* comment */
	p = put_u16(p, 0);			/* disk */
	p = put_u16(p, 0);			/* attributes, internal */
	p = put_u32(p, 0);			/* and external */
	p = put_u32(p, (uint32) record->offset);
	return put_bytes(p, record->name, record->name_length);
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
	p = put_u32(p, (uint32) writer->directory_size);
	p = put_u32(p, (uint32) writer->directory);
	return put_u16(p, 0);		/* comment */
}

struct varlena *
zip_writer_finish(ZipWriter *writer)
{
	struct varlena *result = writer->result;
	char	   *p = writer->start + writer->directory;

	check_filled(writer);
	if (writer->current != writer->nrecords - 1)
		elog(ERROR, "zip archive has fewer records than announced");
	for (int i = 0; i < writer->nrecords; i++)
	{
		put_local(writer->start + writer->records[i].offset,
				  &writer->records[i]);
		p = put_central(p, &writer->records[i]);
	}
	if (needs_zip64(writer))
		p = put_end64(p, writer);
	p = put_end(p, writer);
	Assert(p == writer->start + zip_writer_size(writer));

	pfree(writer->records);
	pfree(writer);
	return result;
}
