/*
 * zip.h
 *		Zip archives, read with distrust and written for others.
 *
 * Private to src/format.  The directory reader is ours because the libraries
 * at hand allocate by what an archive promises; inflate is zlib's, which can be
 * interrupted, and the CRC is libdeflate's, which is several times as fast.
 * The layout is that of PKWARE's APPNOTE.TXT.
 */
#ifndef MODELOPT_ZIP_H
#define MODELOPT_ZIP_H

#include "compat.h"

#define ZIP_STORED		0
#define ZIP_DEFLATED	8

/* More than torch can need for a model of MODEL_MAX_TENSORS. */
#define ZIP_MAX_ENTRIES	200000
#define ZIP_MAX_NAME	512		/* bytes */

/* Where the contents of records start is a multiple of this. */
#define ZIP_ALIGNMENT	64

/* ---------- reading (zip.c) ---------- */

struct Input;

typedef struct ZipEntry
{
	const char *name;			/* not NUL-terminated; UTF-8 */
	int			name_length;
	int			method;			/* ZIP_STORED or ZIP_DEFLATED */
	uint32		crc;
	uint64		stored;			/* bytes in the archive */
	uint64		size;			/* bytes once inflated */
	uint64		start;			/* of its contents, in the input */
	struct Input *input;
} ZipEntry;

typedef struct ZipArchive
{
	int			nentries;		/* at least one */
	ZipEntry   *entries;		/* in the order of the central directory */
	const ZipEntry **by_name;	/* the same, sorted by name */
} ZipArchive;

/*
 * Reads and checks the whole directory, and each local header against it.
 * What it accepts means the same to every reader that goes by the directory:
 * nothing comes before or after the archive, no two entries have one name or
 * share bytes.  Raises 22P03, 0A000 for a method of compression other than
 * deflate, 54000 for an entry that announces more than deflate can make of
 * its bytes.  The archive is palloc'ed in the current context, and its entries
 * point to the input.
 */
extern ZipArchive *zip_open_input(struct Input *input);

/* The same for bytes in memory, to which it points. */
extern ZipArchive *zip_open(const char *data, size_t size);

/* The entry of that name, or NULL. */
extern const ZipEntry *zip_find(const ZipArchive *zip, const char *name);

/*
 * The bytes of an entry: where they are when they are stored in memory, else
 * in a new buffer in the current context.  That buffer has entry->size bytes,
 * which may be a thousand times what is stored: bounding their sum is the
 * caller's business.  Raises 22P03 when the CRC is wrong and check_crc is on,
 * or when inflating does not give exactly the size announced.
 */
extern const char *zip_read(const ZipEntry *entry, bool check_crc);
extern void zip_release(const ZipEntry *entry, const char *contents);

/* The same into dst, which has room for entry->size bytes, in one pass. */
extern void zip_copy(const ZipEntry *entry, bool check_crc, char *dst);

/*
 * The same in pieces: as many reads as one likes, of entry->size bytes in all,
 * and then finish, which is where the CRC is looked at.  In the current
 * context; finish frees it, and so does an error.
 */
typedef struct ZipReader ZipReader;

extern ZipReader *zip_reader_create(const ZipEntry *entry, bool check_crc);
extern void zip_reader_read(ZipReader *reader, char *dst, uint64 n);
extern void zip_reader_finish(ZipReader *reader);

/* What is wrong with the name of an entry ("has a name that ..."), or NULL. */
extern const char *zip_name_problem(const char *name, int length);

/* ---------- writing (zip_write.c) ---------- */

struct Sink;

/*
 * An archive of stored records, put into a sink.  Their sizes are announced
 * first, so that the sink knows the whole; then each is begun and filled, in
 * order.  Equal records make equal bytes.
 */
typedef struct ZipWriter ZipWriter;

extern ZipWriter *zip_writer_create(struct Sink *sink);

/* Announces the next record.  The name (UTF-8, no problem with it) is not
 * copied. */
extern void zip_writer_announce(ZipWriter *writer, const char *name,
								uint64 size);

/* Starts the sink, once all records are announced. */
extern void zip_writer_start(ZipWriter *writer);

/* Begins the next record, and appends to it.  Check for interrupts. */
extern void zip_writer_begin(ZipWriter *writer);
extern void zip_writer_append(ZipWriter *writer, const void *bytes, uint64 n);

/* Writes headers and directory; frees the writer. */
extern void zip_writer_finish(ZipWriter *writer);

#endif							/* MODELOPT_ZIP_H */
