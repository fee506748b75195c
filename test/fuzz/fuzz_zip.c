/*
 * fuzz_zip.c
 *		libFuzzer target: the reader of zip archives.
 *
 * An input is an archive.  Its directory is read, then every entry, with and
 * without a look at the CRC.  What the directory promises to its callers is
 * checked: entries lie in the archive and share no bytes, each is found by its
 * name, and their contents are what zlib makes of them in one piece.
 */
#include "postgres.h"

#include <zlib.h>

#include "format/zip.h"
#include "harness.h"

/* What may be inflated in all, as the caller has to see to: see
 * PYTORCH_AMPLIFICATION. */
#define BUDGET(size) (16 * (uint64) (size) + 16 * 1024 * 1024)

typedef struct Job
{
	const char *data;
	size_t		size;
	int			entry;			/* to be read */
	bool		check_crc;
	int			nentries;		/* that there are */
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
lies_inside(const Job *job, const char *bytes, uint64 length)
{
	return bytes >= job->data && bytes <= job->data + job->size &&
		length <= (uint64) (job->data + job->size - bytes);
}

static int
compare_start(const void *a, const void *b)
{
	const ZipEntry *left = a;
	const ZipEntry *right = b;

	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	return (left->stored > right->stored) - (left->stored < right->stored);
}

/* Between the contents of two entries there is at least a header. */
static void
check_disjoint(const ZipArchive *zip)
{
	size_t		size = zip->nentries * sizeof(ZipEntry);
	ZipEntry   *sorted = palloc(size);

	memcpy(sorted, zip->entries, size);
	qsort(sorted, zip->nentries, sizeof(ZipEntry), compare_start);
	for (int i = 1; i < zip->nentries; i++)
	{
		if (sorted[i].start < sorted[i - 1].start + sorted[i - 1].stored + 30)
			server_die("two entries share bytes");
	}
	pfree(sorted);
}

static void
check_directory(void *arg)
{
	Job		   *job = arg;
	ZipArchive *zip = zip_open(job->data, job->size);

	for (int i = 0; i < zip->nentries; i++)
	{
		const ZipEntry *entry = &zip->entries[i];
		char	   *name = pnstrdup(entry->name, entry->name_length);

		if (!lies_inside(job, entry->name, entry->name_length) ||
			!lies_inside(job, job->data + entry->start, entry->stored))
			server_die("entry %d does not lie in the archive", i);
		if (!server_utf8_is_valid(entry->name, entry->name_length))
			server_die("entry %d has a name that is no text", i);
		if (zip_find(zip, name) != entry)
			server_die("entry %d is not found by its name", i);
		if (entry->method == ZIP_STORED && entry->size != entry->stored)
			server_die("entry %d is stored and has two sizes", i);
	}
	check_disjoint(zip);
	if (zip_find(zip, "\xff no such name") != NULL)
		server_die("an entry is found that is not there");
	job->nentries = zip->nentries;
}

/* What zlib makes of an entry at once; false when it is not as announced. */
static bool
inflate_at_once(const ZipEntry *entry, char *dst)
{
	z_stream	stream = {0};
	char		nothing;
	int			result;

	stream.next_in = (z_const Bytef *) entry->input->data + entry->start;
	stream.avail_in = (uInt) entry->stored;
	stream.next_out = (Bytef *) (entry->size > 0 ? dst : &nothing);
	stream.avail_out = (uInt) entry->size;
	if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
		server_die("zlib cannot inflate");
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return result == Z_STREAM_END && stream.total_out == entry->size &&
		stream.avail_in == 0;
}

static void
read_entry(void *arg)
{
	Job		   *job = arg;
	ZipArchive *zip = zip_open(job->data, job->size);
	const ZipEntry *entry = &zip->entries[job->entry];
	const char *contents;
	char	   *expected;

	if (entry->method == ZIP_DEFLATED && entry->size > BUDGET(job->size))
		return;
	contents = zip_read(entry, job->check_crc);
	if (job->check_crc &&
		crc32(0, (const Bytef *) contents, (uInt) entry->size) != entry->crc)
		server_die("entry %d has another CRC than its header", job->entry);
	if (entry->method == ZIP_STORED)
	{
		if (contents != job->data + entry->start)
			server_die("entry %d is stored and not where it lies", job->entry);
		return;
	}
	expected = harness_buffer(entry->size, 0);
	if (!inflate_at_once(entry, expected))
		server_die("entry %d is inflated, which zlib refuses", job->entry);
	if (entry->size > 0 && memcmp(contents, expected, entry->size) != 0)
		server_die("entry %d is inflated to something else", job->entry);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Job			job = {.size = size};
	bool		all = true;

	harness_begin(data, size);
	job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
	if (!harness_attempt(check_directory, &job))
		all = false;
	for (job.entry = 0; job.entry < Min(job.nentries, 8); job.entry++)
	{
		job.check_crc = false;
		if (harness_attempt(read_entry, &job))
			job.check_crc = true;
		if (!harness_attempt(read_entry, &job))
			all = false;
	}
	harness_outcome(all);
	harness_end();
	return 0;
}
