/*
 * zip_inflate.c
 *		The contents of zip entries: CRC checked and inflated.
 *
 * Owns zlib's state while it inflates.  Trusts zip_open's bounds, and nothing
 * that the entry says about its contents.
 */
#include "postgres.h"

#include <libdeflate.h>
#include <zlib.h>

#include "format/format.h"
#include "format/printable.h"
#include "format/zip.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Worked on between two looks for interrupts; what has just been summed is
 * still in the cache when it is copied. */
#define STEP_BYTES	((uint64) 1024 * 1024)

struct ZipReader
{
	const ZipEntry *entry;
	bool		check_crc;
	uint32		crc;			/* of what was read */
	uint64		done;			/* bytes of contents that were read */
	uint64		consumed;		/* bytes of the stream that they took */
	bool		ended;			/* the stream has */
	char	   *piece;			/* of it, when it is not in memory */
	z_stream	stream;
};

pg_noreturn static void
contents_fail(const ZipEntry *entry, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid zip archive"),
			 errdetail("Entry \"%s\" %s.",
					   printable_bytes(entry->name, entry->name_length),
					   what)));
	pg_unreachable();
}

static void
compare_crc(const ZipEntry *entry, uint32 crc)
{
	if (crc == entry->crc)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid zip archive"),
			 errdetail("The contents of entry \"%s\" have CRC %08x, but its header says %08x.",
					   printable_bytes(entry->name, entry->name_length),
					   crc, entry->crc),
			 errhint("The archive is damaged, or was written without CRCs; check_crc => false reads it anyway.")));
}

/* ---------- inflate ---------- */

/* zlib's memory is the current context's, so that errors free it. */
static voidpf
allocate(voidpf opaque, uInt items, uInt size)
{
	return palloc((Size) items * size);
}

static void
release(voidpf opaque, voidpf address)
{
	pfree(address);
}

/* A raw stream: zip has headers of its own. */
static void
start_inflating(z_stream *stream)
{
	stream->zalloc = allocate;
	stream->zfree = release;
	if (inflateInit2(stream, -MAX_WBITS) != Z_OK)
		elog(ERROR, "zlib %s cannot inflate", zlibVersion());
}

/* The next n bytes of the stream. */
static const char *
next_input(ZipReader *reader, uint64 n)
{
	Input	   *input = reader->entry->input;
	uint64		start = reader->entry->start + reader->consumed;

	if (input->data != NULL)
		return input->data + start;
	if (reader->piece == NULL)
		reader->piece = palloc(STEP_BYTES);
	input_copy(input, start, n, reader->piece);
	return reader->piece;
}

/*
 * Inflates at most n bytes to dst and says how many.  Input is handed over in
 * pieces that zlib's 32-bit counters can hold.
 */
static uint64
inflate_piece(ZipReader *reader, char *dst, uint64 n)
{
	const ZipEntry *entry = reader->entry;
	z_stream   *stream = &reader->stream;
	int			result = reader->ended ? Z_STREAM_END : Z_OK;

	stream->next_out = (Bytef *) dst;
	stream->avail_out = (uInt) n;
	while (stream->avail_out > 0 && result == Z_OK)
	{
		uInt		given = (uInt) Min(STEP_BYTES,
									   entry->stored - reader->consumed);

		CHECK_FOR_INTERRUPTS();
		stream->next_in = (z_const Bytef *) next_input(reader, given);
		stream->avail_in = given;
		result = inflate(stream, Z_NO_FLUSH);
		reader->consumed += given - stream->avail_in;
	}
	if (result == Z_BUF_ERROR)
		contents_fail(entry, "is cut off: its stream has no end");
	if (result != Z_OK && result != Z_STREAM_END)
		contents_fail(entry, "cannot be inflated");
	reader->ended = (result == Z_STREAM_END);
	return n - stream->avail_out;
}

/* The stream's end comes after its last byte. */
static void
check_end(ZipReader *reader)
{
	char		beyond;

	if (!reader->ended && inflate_piece(reader, &beyond, 1) > 0)
		contents_fail(reader->entry, "inflates to more than it announces");
	if (reader->consumed != reader->entry->stored)
		contents_fail(reader->entry, "has bytes after the end of its stream");
}

/* ---------- reading ---------- */

ZipReader *
zip_reader_create(const ZipEntry *entry, bool check_crc)
{
	ZipReader  *reader = palloc0(sizeof(ZipReader));

	reader->entry = entry;
	reader->check_crc = check_crc;
	if (entry->method == ZIP_DEFLATED)
		start_inflating(&reader->stream);
	return reader;
}

static void
read_step(ZipReader *reader, char *dst, uint64 n)
{
	if (reader->entry->method == ZIP_STORED)
		input_copy(reader->entry->input, reader->entry->start + reader->done,
				   n, dst);
	else if (inflate_piece(reader, dst, n) < n)
		contents_fail(reader->entry, "inflates to less than it announces");
	if (reader->check_crc)
		reader->crc = libdeflate_crc32(reader->crc, dst, n);
	reader->done += n;
}

void
zip_reader_read(ZipReader *reader, char *dst, uint64 n)
{
	Assert(n <= reader->entry->size - reader->done);
	for (uint64 at = 0; at < n; at += STEP_BYTES)
	{
		CHECK_FOR_INTERRUPTS();
		read_step(reader, dst + at, Min(STEP_BYTES, n - at));
	}
}

void
zip_reader_finish(ZipReader *reader)
{
	Assert(reader->done == reader->entry->size);
	if (reader->entry->method == ZIP_DEFLATED)
	{
		check_end(reader);
		inflateEnd(&reader->stream);
		if (reader->piece != NULL)
			pfree(reader->piece);
	}
	if (reader->check_crc)
		compare_crc(reader->entry, reader->crc);
	pfree(reader);
}

void
zip_copy(const ZipEntry *entry, bool check_crc, char *dst)
{
	ZipReader  *reader = zip_reader_create(entry, check_crc);

	zip_reader_read(reader, dst, entry->size);
	zip_reader_finish(reader);
}

static void
check_stored(const ZipEntry *entry, const char *contents)
{
	uint32		crc = 0;

	for (uint64 done = 0; done < entry->size; done += STEP_BYTES)
	{
		CHECK_FOR_INTERRUPTS();
		crc = libdeflate_crc32(crc, contents + done,
							   Min(STEP_BYTES, entry->size - done));
	}
	compare_crc(entry, crc);
}

/* Whether contents are where they can be pointed to. */
static bool
is_in_place(const ZipEntry *entry)
{
	return entry->method == ZIP_STORED && entry->input->data != NULL;
}

const char *
zip_read(const ZipEntry *entry, bool check_crc)
{
	char	   *contents;

	if (is_in_place(entry))
	{
		const char *stored = entry->input->data + entry->start;

		if (check_crc)
			check_stored(entry, stored);
		return stored;
	}
	contents = MemoryContextAllocHuge(CurrentMemoryContext,
									  Max(entry->size, 1));
	zip_copy(entry, check_crc, contents);
	return contents;
}

void
zip_release(const ZipEntry *entry, const char *contents)
{
	if (!is_in_place(entry))
		pfree(unconstify(char *, contents));
}
