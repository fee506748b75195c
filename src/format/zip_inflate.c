/*
 * zip_inflate.c
 *		The contents of zip entries: CRC checked and inflated.
 *
 * Owns zlib's state while it inflates.  Trusts zip_open's bounds, and nothing
 * that the entry says about its contents.
 */
#include "postgres.h"

#include <zlib.h>

#include "format/pickle.h"
#include "format/zip.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Worked on between two looks for interrupts. */
#define STEP_BYTES	((uint64) 1024 * 1024)

pg_noreturn static void
contents_fail(const ZipEntry *entry, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid zip archive"),
			 errdetail("Entry \"%s\" %s.",
					   pickle_printable(entry->name, entry->name_length),
					   what)));
	pg_unreachable();
}

static void
compare_crc(const ZipEntry *entry, uLong crc)
{
	if (crc == entry->crc)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid zip archive"),
			 errdetail("The contents of entry \"%s\" have CRC %08x, but its header says %08x.",
					   pickle_printable(entry->name, entry->name_length),
					   (unsigned int) crc, entry->crc),
			 errhint("The archive is damaged, or was written without CRCs; check_crc => false reads it anyway.")));
}

static void
check_stored(const ZipEntry *entry)
{
	uLong		crc = crc32(0, Z_NULL, 0);

	for (uint64 done = 0; done < entry->size; done += STEP_BYTES)
	{
		CHECK_FOR_INTERRUPTS();
		crc = crc32(crc, (const Bytef *) entry->data + done,
					(uInt) Min(STEP_BYTES, entry->size - done));
	}
	compare_crc(entry, crc);
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
	memset(stream, 0, sizeof(z_stream));
	stream->zalloc = allocate;
	stream->zfree = release;
	if (inflateInit2(stream, -MAX_WBITS) != Z_OK)
		elog(ERROR, "zlib %s cannot inflate", zlibVersion());
}

/*
 * Inflates at most n bytes to dst and says how many; *ended when the stream
 * has come to its end.  Input is handed over in pieces that zlib's 32-bit
 * counters can hold.
 */
static uint64
inflate_piece(z_stream *stream, const ZipEntry *entry, uint64 *consumed,
			  char *dst, uint64 n, bool *ended)
{
	int			result = Z_OK;

	stream->next_out = (Bytef *) dst;
	stream->avail_out = (uInt) n;
	while (stream->avail_out > 0 && result == Z_OK)
	{
		uInt		given = (uInt) Min(STEP_BYTES, entry->stored - *consumed);

		CHECK_FOR_INTERRUPTS();
		stream->next_in = (z_const Bytef *) entry->data + *consumed;
		stream->avail_in = given;
		result = inflate(stream, Z_NO_FLUSH);
		*consumed += given - stream->avail_in;
	}
	if (result == Z_BUF_ERROR)
		contents_fail(entry, "is cut off: its stream has no end");
	if (result != Z_OK && result != Z_STREAM_END)
		contents_fail(entry, "cannot be inflated");
	*ended = (result == Z_STREAM_END);
	return n - stream->avail_out;
}

/* Inflates all of an entry to dst, which has room for entry->size bytes;
 * returns the CRC of what came out. */
static uLong
inflate_entry(z_stream *stream, const ZipEntry *entry, char *dst)
{
	uLong		crc = crc32(0, Z_NULL, 0);
	uint64		consumed = 0;
	uint64		done = 0;
	bool		ended = false;
	char		beyond;

	while (!ended && done < entry->size)
	{
		uint64		n = inflate_piece(stream, entry, &consumed, dst + done,
									  Min(STEP_BYTES, entry->size - done),
									  &ended);

		crc = crc32(crc, (const Bytef *) dst + done, (uInt) n);
		done += n;
	}
	if (done < entry->size)
		contents_fail(entry, "inflates to less than it announces");

	/* The stream's end comes after its last byte. */
	if (!ended &&
		inflate_piece(stream, entry, &consumed, &beyond, 1, &ended) > 0)
		contents_fail(entry, "inflates to more than it announces");
	if (consumed != entry->stored)
		contents_fail(entry, "has bytes after the end of its stream");
	return crc;
}

const char *
zip_read(const ZipEntry *entry, bool check_crc)
{
	z_stream	stream;
	char	   *contents;
	uLong		crc;

	if (entry->method == ZIP_STORED)
	{
		if (check_crc)
			check_stored(entry);
		return entry->data;
	}

	contents = MemoryContextAllocHuge(CurrentMemoryContext,
									  Max(entry->size, 1));
	start_inflating(&stream);
	crc = inflate_entry(&stream, entry, contents);
	inflateEnd(&stream);
	if (check_crc)
		compare_crc(entry, crc);
	return contents;
}
