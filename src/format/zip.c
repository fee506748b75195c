/*
 * zip.c
 *		Reads zip archives that may be hostile.
 *
 * Owns the directory: where it is, what it says, and whether what it says is
 * so.  zip_open proves every invariant before any content is touched; after
 * it the accessors cannot run out of bounds.  Contents are zip_inflate.c's,
 * and what the records mean is not known here.
 *
 * An archive can say the same thing in several places (the end record and its
 * zip64 twin, the directory and the local headers), and readers differ in
 * which they believe.  That is how one file looks harmless to a scanner and
 * loads as another, so here all of them must agree.
 */
#include "postgres.h"

#include "format/format.h"
#include "format/printable.h"
#include "format/zip.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define END_SIZE			22
#define END64_SIZE			56
#define LOCATOR_SIZE		20
#define CENTRAL_SIZE		46
#define LOCAL_SIZE			30

/* Where the end record is, with the longest comment, and its locator. */
#define TAIL_SIZE	((uint64) LOCATOR_SIZE + END_SIZE + PG_UINT16_MAX)

#define END_SIGNATURE		0x06054b50
#define END64_SIGNATURE		0x06064b50
#define LOCATOR_SIGNATURE	0x07064b50
#define CENTRAL_SIGNATURE	0x02014b50
#define LOCAL_SIGNATURE		0x04034b50

#define EXTRA_ZIP64			0x0001

/* General purpose flags that may be set: the two that say how hard deflate
 * tried, descriptor, UTF-8. */
#define FLAG_ENCRYPTED		0x0001
#define FLAG_PATCH			0x0020
#define FLAG_STRONG			0x0040
#define FLAG_MASKED			0x2000
#define FLAG_DESCRIPTOR		0x0008
#define FLAGS_ALLOWED		0x080e

/* Deflate makes at most 258 bytes of two bits. */
#define DEFLATE_MAX_RATIO	1032

#define INTERRUPT_STEP		1000	/* entries */

/* What the end records say, once they agree. */
typedef struct ZipEnd
{
	uint64		nentries;
	uint64		size;			/* of the directory */
	uint64		offset;			/* of the directory */
} ZipEnd;

/* What the directory and a local header both say of an entry. */
typedef struct ZipHeader
{
	int			flags;
	int			method;
	uint32		crc;
	uint64		stored;
	uint64		size;
	int			name_length;
	int			extra_length;
	const uint8 *name;
	const uint8 *extra;
} ZipHeader;

/* Bytes that an entry takes in the archive, with its local header. */
typedef struct ZipRange
{
	uint64		start;
	uint64		end;
	const ZipEntry *entry;
} ZipRange;

/* ---------- numbers ---------- */

static inline uint32
get_u16(const uint8 *p)
{
	return p[0] | (uint32) p[1] << 8;
}

static inline uint32
get_u32(const uint8 *p)
{
	return get_u16(p) | get_u16(p + 2) << 16;
}

static inline uint64
get_u64(const uint8 *p)
{
	return get_u32(p) | (uint64) get_u32(p + 4) << 32;
}

/* ---------- errors ---------- */

/* What is wrong is a whole sentence. */
pg_noreturn static void
archive_fail(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid zip archive"),
			 errdetail("%s", what)));
	pg_unreachable();
}

/* What is wrong goes on after the entry's name. */
pg_noreturn static void
entry_fail(const char *name, int length, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid zip archive"),
			 errdetail("Entry \"%s\" %s.", printable_bytes(name, length),
					   what)));
	pg_unreachable();
}

/* ---------- the end records ---------- */

/*
 * Where the end record starts, in the last bytes of the archive.  It is found
 * from the end, because a comment may follow it; that comment must end where
 * the archive ends, and must not hold a second end record.
 */
static size_t
find_end(const uint8 *data, size_t size)
{
	size_t		first = size - Min(size, (size_t) END_SIZE + PG_UINT16_MAX);
	size_t		found = size;
	bool		misplaced = false;

	for (size_t at = first; at + END_SIZE <= size; at++)
	{
		if (data[at] != 'P' || get_u32(data + at) != END_SIGNATURE)
			continue;
		if (at + END_SIZE + get_u16(data + at + 20) != size)
			misplaced = true;
		else if (found < size)
			archive_fail("It has two end records.");
		else
			found = at;
	}
	if (found == size)
		archive_fail(misplaced ?
					 "Its end record does not end where the archive does." :
					 "It has no end record: the end may be missing.");
	return found;
}

/* Takes a number of the zip64 end record, which must be the plain one's
 * unless that says that it is too small to hold it. */
static void
take_zip64(uint64 *value, uint64 saturated, uint64 value64)
{
	if (*value != saturated && *value != value64)
		archive_fail("Its end record and its zip64 end record disagree.");
	*value = value64;
}

/* Reads the zip64 end record that the locator points to, which is at a place
 * in the input; returns where it starts. */
static uint64
read_end64(Input *input, const uint8 *locator, uint64 place, ZipEnd *end)
{
	uint64		at = get_u64(locator + 8);
	uint8		end64[END64_SIZE];

	if (get_u32(locator + 4) != 0 || get_u32(locator + 16) > 1)
		archive_fail("It is one part of several.");
	memset(end64, 0, sizeof(end64));
	if (place >= END64_SIZE && at <= place - END64_SIZE)
		input_copy(input, at, sizeof(end64), (char *) end64);
	if (get_u32(end64) != END64_SIGNATURE)
		archive_fail("Its zip64 end record is not where the locator says.");
	if (get_u64(end64 + 4) != place - at - 12)
		archive_fail("Its zip64 end record does not end where the locator begins.");
	if (get_u32(end64 + 16) != 0 || get_u32(end64 + 20) != 0 ||
		get_u64(end64 + 24) != get_u64(end64 + 32))
		archive_fail("It is one part of several.");
	take_zip64(&end->nentries, PG_UINT16_MAX, get_u64(end64 + 32));
	take_zip64(&end->size, PG_UINT32_MAX, get_u64(end64 + 40));
	take_zip64(&end->offset, PG_UINT32_MAX, get_u64(end64 + 48));
	return at;
}

/* Reads the end records and checks where the directory lies. */
static void
read_end(Input *input, ZipEnd *end)
{
	uint64		n = Min(input->size, TAIL_SIZE);
	uint64		start = input->size - n;
	const uint8 *tail = (const uint8 *) input_view(input, start, n);
	size_t		found = find_end(tail, n);
	const uint8 *plain = tail + found;
	uint64		limit = start + found;	/* where the directory must end */

	if (get_u16(plain + 4) != 0 || get_u16(plain + 6) != 0 ||
		get_u16(plain + 8) != get_u16(plain + 10))
		archive_fail("It is one part of several.");
	end->nentries = get_u16(plain + 10);
	end->size = get_u32(plain + 12);
	end->offset = get_u32(plain + 16);

	if (found >= LOCATOR_SIZE &&
		get_u32(plain - LOCATOR_SIZE) == LOCATOR_SIGNATURE)
		limit = read_end64(input, plain - LOCATOR_SIZE, limit - LOCATOR_SIZE,
						   end);
	else if (end->nentries == PG_UINT16_MAX ||
			 end->size == PG_UINT32_MAX || end->offset == PG_UINT32_MAX)
		archive_fail("It has no zip64 end record, but its end record needs one.");

	if (end->offset > limit || end->size != limit - end->offset)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid zip archive"),
				 errdetail("Its directory of " UINT64_FORMAT " bytes at byte " UINT64_FORMAT " does not end at byte " UINT64_FORMAT ", where the end record begins.",
						   end->size, end->offset, limit)));
	input_release(input, (const char *) tail);
	if (end->nentries == 0 || end->nentries > end->size / CENTRAL_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid zip archive"),
				 errdetail("It cannot have " UINT64_FORMAT " entries in a directory of " UINT64_FORMAT " bytes.",
						   end->nentries, end->size)));
	if (end->nentries > ZIP_MAX_ENTRIES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("zip archive has too many entries"),
				 errdetail("It has " UINT64_FORMAT ", and at most %d are read.",
						   end->nentries, ZIP_MAX_ENTRIES)));
}

/* ---------- one entry ---------- */

const char *
zip_name_problem(const char *name, int length)
{
	if (length > ZIP_MAX_NAME)
		return "has a name that is too long";
	if (!pg_verify_mbstr(PG_UTF8, name, length, true))
		return "has a name that is not valid UTF-8";

	/* We never write files, but whoever unpacks the archive would. */
	if (name[0] == '/' || memchr(name, '\\', length) != NULL ||
		(length > 1 && name[1] == ':'))
		return "has a name that is no relative path";
	for (int i = 0; i + 1 < length; i++)
	{
		if (name[i] == '.' && name[i + 1] == '.' &&
			(i == 0 || name[i - 1] == '/') &&
			(i + 2 == length || name[i + 2] == '/'))
			return "has a name that leaves its directory";
	}
	return NULL;
}

static void
check_name(const char *name, int length)
{
	const char *problem;

	if (length == 0)
		archive_fail("An entry has an empty name.");
	problem = zip_name_problem(name, length);
	if (problem != NULL)
		entry_fail(name, length, problem);
}

static void
check_flags(const char *name, int length, int flags)
{
	if (flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED))
		entry_fail(name, length, "is encrypted");
	if (flags & FLAG_PATCH)
		entry_fail(name, length, "is a patch of another file");
	if (flags & ~FLAGS_ALLOWED)
		entry_fail(name, length, "has flags that mean nothing");
}

/*
 * Reads the numbers that 32 bits were too few for.  fields are in the order
 * of the extra field; only those that are saturated are in it.
 */
static void
read_zip64_extra(const ZipHeader *header, uint64 **fields, int nfields)
{
	const uint8 *next = header->extra;
	const uint8 *end = next + header->extra_length;
	const uint8 *zip64 = NULL;
	uint32		left = 0;

	while (end - next >= 4)
	{
		uint32		length = get_u16(next + 2);

		if (length > end - next - 4)
			break;
		if (get_u16(next) == EXTRA_ZIP64)
		{
			if (zip64 != NULL)
				break;
			zip64 = next + 4;
			left = length;
		}
		next += 4 + length;
	}
	if (next != end)
		entry_fail((const char *) header->name, header->name_length,
				   "has an extra field that is cut off or there twice");

	for (int i = 0; i < nfields; i++)
	{
		if (*fields[i] != PG_UINT32_MAX)
			continue;
		if (left < 8)
			entry_fail((const char *) header->name, header->name_length,
					   "has no zip64 field, but needs one");
		*fields[i] = get_u64(zip64);
		zip64 += 8;
		left -= 8;
	}
}

/* Checks what can be known of an entry without its local header. */
static void
check_entry(const ZipEntry *entry)
{
	if (entry->method != ZIP_STORED && entry->method != ZIP_DEFLATED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("unsupported compression method %d in zip archive",
						entry->method),
				 errdetail("Entry \"%s\" uses it.",
						   printable_bytes(entry->name, entry->name_length)),
				 errhint("Records can be stored (0) or deflated (8).")));
	if (entry->method == ZIP_STORED && entry->size != entry->stored)
		entry_fail(entry->name, entry->name_length,
				   "is stored, but has two different sizes");
	if (entry->name[entry->name_length - 1] == '/' && entry->size != 0)
		entry_fail(entry->name, entry->name_length,
				   "is a directory, but has contents");
	if (entry->method == ZIP_DEFLATED &&
		entry->size / DEFLATE_MAX_RATIO > entry->stored)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("zip archive announces more than it can hold"),
				 errdetail("Entry \"%s\" of " UINT64_FORMAT " bytes cannot be inflated to " UINT64_FORMAT " bytes.",
						   printable_bytes(entry->name, entry->name_length),
						   entry->stored, entry->size)));
}

/*
 * Reads the local header at an offset and checks that it says what the
 * directory says.  Fills in where the contents and the whole entry are.
 */
static void
read_local(Input *input, uint64 offset, uint64 limit, ZipEntry *entry,
		   ZipRange *range)
{
	uint8		p[LOCAL_SIZE];
	const char *names;			/* name and extra field */
	ZipHeader	local;
	uint64		body;			/* bytes of both */
	bool		later;			/* a descriptor after the contents has it */
	uint64	   *fields[2] = {&local.size, &local.stored};

	memset(p, 0, sizeof(p));
	if (limit >= LOCAL_SIZE && offset <= limit - LOCAL_SIZE)
		input_copy(input, offset, sizeof(p), (char *) p);
	if (get_u32(p) != LOCAL_SIGNATURE)
		entry_fail(entry->name, entry->name_length,
				   "is not where the directory says");
	local.flags = get_u16(p + 6);
	local.method = get_u16(p + 8);
	local.crc = get_u32(p + 14);
	local.stored = get_u32(p + 18);
	local.size = get_u32(p + 22);
	local.name_length = get_u16(p + 26);
	local.extra_length = get_u16(p + 28);

	body = (uint64) local.name_length + local.extra_length;
	if (limit - offset - LOCAL_SIZE < body ||
		limit - offset - LOCAL_SIZE - body < entry->stored)
		entry_fail(entry->name, entry->name_length,
				   "reaches into the directory");
	names = input_view(input, offset + LOCAL_SIZE, body);
	local.name = (const uint8 *) names;
	local.extra = local.name + local.name_length;
	if (local.name_length != entry->name_length ||
		memcmp(local.name, entry->name, local.name_length) != 0)
		entry_fail(entry->name, entry->name_length,
				   "has another name in its own header");
	check_flags(entry->name, entry->name_length, local.flags);
	if (local.method != entry->method)
		entry_fail(entry->name, entry->name_length,
				   "has another method of compression in its own header");
	if (local.size == PG_UINT32_MAX || local.stored == PG_UINT32_MAX)
		read_zip64_extra(&local, fields, lengthof(fields));

	later = (local.flags & FLAG_DESCRIPTOR) != 0;
	if ((local.size != entry->size && !(later && local.size == 0)) ||
		(local.stored != entry->stored && !(later && local.stored == 0)))
		entry_fail(entry->name, entry->name_length,
				   "has another size in its own header");
	if (local.crc != entry->crc && !(later && local.crc == 0))
		entry_fail(entry->name, entry->name_length,
				   "has another CRC in its own header");

	input_release(input, names);
	entry->input = input;
	entry->start = offset + LOCAL_SIZE + body;
	range->start = offset;
	range->end = entry->start + entry->stored;
	range->entry = entry;
}

/*
 * Reads one entry of the directory, of which "left" bytes are there, and its
 * local header, which lies before limit.  Returns how many bytes it takes.
 */
static uint64
read_central(Input *input, const uint8 *p, uint64 left, uint64 limit,
			 ZipEntry *entry, ZipRange *range)
{
	ZipHeader	header;
	uint64		offset;
	uint64		length;
	uint64	   *fields[3] = {&header.size, &header.stored, &offset};

	if (left < CENTRAL_SIZE || get_u32(p) != CENTRAL_SIGNATURE)
		archive_fail("Its directory has fewer entries than the end record says.");
	header.flags = get_u16(p + 8);
	header.stored = get_u32(p + 20);
	header.size = get_u32(p + 24);
	header.name_length = get_u16(p + 28);
	header.extra_length = get_u16(p + 30);
	header.name = p + CENTRAL_SIZE;
	header.extra = header.name + header.name_length;
	offset = get_u32(p + 42);
	length = (uint64) CENTRAL_SIZE + header.name_length +
		header.extra_length + get_u16(p + 32);
	if (length > left)
		archive_fail("An entry of its directory is cut off.");

	entry->name = (const char *) header.name;
	entry->name_length = header.name_length;
	check_name(entry->name, entry->name_length);
	check_flags(entry->name, entry->name_length, header.flags);
	if (get_u16(p + 34) != 0)
		entry_fail(entry->name, entry->name_length,
				   "is in another part of the archive");
	read_zip64_extra(&header, fields, lengthof(fields));
	entry->method = get_u16(p + 10);
	entry->crc = get_u32(p + 16);
	entry->stored = header.stored;
	entry->size = header.size;
	check_entry(entry);
	read_local(input, offset, limit, entry, range);
	return length;
}

/* ---------- entries against each other ---------- */

static int
compare_ranges(const void *a, const void *b)
{
	const ZipRange *left = a;
	const ZipRange *right = b;

	if (left->start != right->start)
		return left->start < right->start ? -1 : 1;
	return 0;
}

/*
 * Entries that share bytes are how a small archive holds a huge one, and
 * bytes before the first entry how it is also something else.
 */
static void
check_ranges(ZipRange *ranges, int n)
{
	qsort(ranges, n, sizeof(ZipRange), compare_ranges);
	if (ranges[0].start != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid zip archive"),
				 errdetail("It has " UINT64_FORMAT " bytes before its first entry.",
						   ranges[0].start)));
	for (int i = 1; i < n; i++)
	{
		const ZipEntry *entry = ranges[i].entry;

		if (ranges[i].start < ranges[i - 1].end)
			entry_fail(entry->name, entry->name_length,
					   "overlaps another entry");
	}
}

static int
compare_strings(const char *a, size_t a_length, const char *b, size_t b_length)
{
	int			order = memcmp(a, b, Min(a_length, b_length));

	if (order != 0 || a_length == b_length)
		return order;
	return a_length < b_length ? -1 : 1;
}

static int
compare_entries(const void *a, const void *b)
{
	const ZipEntry *left = *(const ZipEntry *const *) a;
	const ZipEntry *right = *(const ZipEntry *const *) b;

	return compare_strings(left->name, left->name_length,
						   right->name, right->name_length);
}

static void
sort_names(ZipArchive *zip)
{
	zip->by_name = palloc(zip->nentries * sizeof(ZipEntry *));
	for (int i = 0; i < zip->nentries; i++)
		zip->by_name[i] = &zip->entries[i];
	qsort(zip->by_name, zip->nentries, sizeof(ZipEntry *), compare_entries);
	for (int i = 1; i < zip->nentries; i++)
	{
		if (compare_entries(&zip->by_name[i - 1], &zip->by_name[i]) == 0)
			entry_fail(zip->by_name[i]->name, zip->by_name[i]->name_length,
					   "is there twice");
	}
}

/* ---------- the archive ---------- */

ZipArchive *
zip_open_input(Input *input)
{
	ZipArchive *zip = palloc(sizeof(ZipArchive));
	const uint8 *directory;		/* stays: the names are in it */
	ZipRange   *ranges;
	ZipEnd		end;
	uint64		done = 0;

	read_end(input, &end);
	directory = (const uint8 *) input_view(input, end.offset, end.size);
	zip->nentries = (int) end.nentries;
	zip->entries = palloc(zip->nentries * sizeof(ZipEntry));
	ranges = palloc(zip->nentries * sizeof(ZipRange));
	for (int i = 0; i < zip->nentries; i++)
	{
		if (i % INTERRUPT_STEP == 0)
			CHECK_FOR_INTERRUPTS();
		done += read_central(input, directory + done, end.size - done,
							 end.offset, &zip->entries[i], &ranges[i]);
	}
	if (done != end.size)
		archive_fail("Its directory has more entries than the end record says.");
	check_ranges(ranges, zip->nentries);
	pfree(ranges);
	sort_names(zip);
	return zip;
}

ZipArchive *
zip_open(const char *data, size_t size)
{
	return zip_open_input(input_of_bytes(data, size));
}

const ZipEntry *
zip_find(const ZipArchive *zip, const char *name)
{
	size_t		length = strlen(name);
	int			low = 0;
	int			high = zip->nentries;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const ZipEntry *entry = zip->by_name[middle];
		int			order = compare_strings(name, length, entry->name,
											entry->name_length);

		if (order == 0)
			return entry;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
