/*
 * saved.c
 *		Statistics while the server is stopped.
 *
 * A clean shutdown writes them to a file, which the next start reads and removes:
 * so a crash loses them, no backup and no standby gets them, and nothing is ever
 * counted twice.  A file that is not as it was written is not believed.
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "monitor/drift.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include <unistd.h>

#define SAVED_FILE "pg_stat/modelopt.stat"
#define SAVED_TEMPORARY SAVED_FILE ".tmp"

#define SAVED_MAGIC 0x4D4F5354
#define SAVED_FORMAT 2

typedef struct SavedHeader
{
	uint32		magic;
	uint32		format;
	uint32		server;			/* major version */
	uint32		entry_bytes;
	uint32		totals_bytes;
	uint32		entries;
	uint32		drift_bytes;	/* of a page, and what is beside */
	uint32		drift_slots;
} SavedHeader;

typedef struct SavedFile
{
	FILE	   *file;
	pg_crc32c	crc;
} SavedFile;

/* ---------- writing ---------- */

static bool
put(void *file, const void *bytes, Size n)
{
	SavedFile  *saved = file;

	COMP_CRC32C(saved->crc, bytes, n);
	return fwrite(bytes, 1, n, saved->file) == n;
}

static SavedHeader
make_header(uint32 entries, uint32 drift_slots)
{
	SavedHeader header;

	memset(&header, 0, sizeof(header));
	header.magic = SAVED_MAGIC;
	header.format = SAVED_FORMAT;
	header.server = PG_VERSION_NUM / 10000;
	header.entry_bytes = sizeof(StatData);
	header.totals_bytes = sizeof(StatTotals);
	header.entries = entries;
	header.drift_bytes = drift_saved_bytes();
	header.drift_slots = drift_slots;
	return header;
}

static bool
put_entries(SavedFile *saved)
{
	HASH_SEQ_STATUS scan;
	StatEntry  *entry;

	hash_seq_init(&scan, monitor_entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!put(saved, &entry->data, sizeof(StatData)))
		{
			hash_seq_term(&scan);
			return false;
		}
	}
	return true;
}

static bool
put_all(SavedFile *saved)
{
	SavedHeader header = make_header(hash_get_num_entries(monitor_entries), drift_saved_slots());
	bool		good;

	INIT_CRC32C(saved->crc);
	good = put(saved, &header, sizeof(header)) &&
		put(saved, &monitor_shared->totals, sizeof(StatTotals)) &&
		put_entries(saved) && drift_save(put, saved);
	FIN_CRC32C(saved->crc);
	return good &&
		fwrite(&saved->crc, 1, sizeof(pg_crc32c), saved->file) == sizeof(pg_crc32c);
}

static void
report_unwritable(void)
{
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write file \"%s\": %m", SAVED_TEMPORARY)));
}

/* When the postmaster exits; all others are gone. */
void
saved_write(int code, Datum argument)
{
	SavedFile	saved;
	bool		good;

	if (code != 0 || monitor_shared == NULL || !monitor_stat_save)
		return;
	saved.file = AllocateFile(SAVED_TEMPORARY, PG_BINARY_W);
	if (saved.file == NULL)
	{
		report_unwritable();
		return;
	}
	good = put_all(&saved);
	if (FreeFile(saved.file) != 0 || !good)
	{
		report_unwritable();
		unlink(SAVED_TEMPORARY);
		return;
	}
	(void) durable_rename(SAVED_TEMPORARY, SAVED_FILE, LOG);
}

/* ---------- reading ---------- */

static bool
get(void *file, void *bytes, Size n)
{
	SavedFile  *saved = file;

	if (fread(bytes, 1, n, saved->file) != n)
		return false;
	COMP_CRC32C(saved->crc, bytes, n);
	return true;
}

static bool
header_fits(const SavedHeader *header)
{
	SavedHeader expected = make_header(header->entries, header->drift_slots);

	expected.drift_bytes = header->drift_bytes;
	return memcmp(header, &expected, sizeof(expected)) == 0;
}

/* Reads what there is before the checksum, for nothing but that. */
static bool
skip_rest(SavedFile *saved)
{
	char		bytes[8192];
	off_t		place = ftello(saved->file);
	off_t		left;

	if (fseeko(saved->file, 0, SEEK_END) != 0)
		return false;
	left = ftello(saved->file) - place - (off_t) sizeof(pg_crc32c);
	if (fseeko(saved->file, place, SEEK_SET) != 0)
		return false;
	while (left > 0)
	{
		Size		n = Min(left, (off_t) sizeof(bytes));

		if (!get(saved, bytes, n))
			return false;
		left -= n;
	}
	return true;
}

/* Counts of features are lost when modelopt.drift_windows has changed. */
static bool
get_drift(SavedFile *saved, const SavedHeader *header, bool restore)
{
	if (header->drift_bytes != drift_saved_bytes())
		return skip_rest(saved);
	return drift_restore(get, saved, header->drift_slots, restore);
}

/* Reads all of the file, and does something with the entries of one that is known
 * to be whole. */
static bool
get_all(SavedFile *saved, StatTotals *totals, bool restore)
{
	SavedHeader header;
	StatData	data;
	pg_crc32c	crc;

	INIT_CRC32C(saved->crc);
	if (!get(saved, &header, sizeof(header)) || !header_fits(&header) ||
		!get(saved, totals, sizeof(StatTotals)))
		return false;
	for (uint32 i = 0; i < header.entries; i++)
	{
		if (!get(saved, &data, sizeof(StatData)))
			return false;
		if (restore)
			(void) stat_restore(&data);
	}
	if (!get_drift(saved, &header, restore))
		return false;
	FIN_CRC32C(saved->crc);
	return fread(&crc, 1, sizeof(crc), saved->file) == sizeof(crc) &&
		EQ_CRC32C(crc, saved->crc) && fgetc(saved->file) == EOF;
}

void
saved_load(void)
{
	SavedFile	saved;
	StatTotals	totals;
	bool		good;

	saved.file = AllocateFile(SAVED_FILE, PG_BINARY_R);
	if (saved.file == NULL)
	{
		if (errno != ENOENT)
			ereport(LOG,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m", SAVED_FILE)));
		return;
	}
	/* Once to see that it is whole, and once for what is in it. */
	good = monitor_stat_save && get_all(&saved, &totals, false);
	if (good)
	{
		monitor_shared->totals = totals;
		good = fseek(saved.file, 0, SEEK_SET) == 0 && get_all(&saved, &totals, true);
		monitor_shared->loaded = good;
	}
	else if (monitor_stat_save)
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("ignoring invalid statistics of models in file \"%s\"", SAVED_FILE)));
	FreeFile(saved.file);
	unlink(SAVED_FILE);
}
