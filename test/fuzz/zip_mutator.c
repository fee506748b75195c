/*
 * zip_mutator.c
 *		Mutates what is in a zip archive, and the archive around it.
 *
 * A byte that changes in an archive is stopped by a CRC or by a header that
 * says otherwise, so that mutants would seldom get to what is inside.  Two
 * mutants of three are therefore made by taking an archive apart, changing one
 * member (most often data.pkl), and putting it together again with sizes,
 * CRCs and offsets that fit.  The archive is written from scratch here, in all
 * the forms that writers use: stored or deflated, sizes before or behind the
 * contents, zip64 or not, with or without padding.
 */
#include "postgres.h"

#include <zlib.h>

#include "format/zip.h"
#include "harness.h"

#define MAX_MEMBERS		24
#define MAX_CONTENTS	65536

typedef struct Member
{
	char		name[ZIP_MAX_NAME + 8];
	size_t		name_length;
	uint8	   *data;			/* room for MAX_CONTENTS */
	size_t		size;
	int			method;
} Member;

typedef struct Archive
{
	const char *data;			/* that is taken apart */
	size_t		size;
	int			count;
	Member		members[MAX_MEMBERS];
} Archive;

/* How an archive is put together. */
typedef struct Layout
{
	bool		descriptors;	/* sizes and CRC come after the contents */
	bool		zip64_fields;
	bool		zip64_end;
	int			alignment;		/* of the contents; 1 for none */
	int			junk;			/* bytes after a deflated stream */
} Layout;

typedef struct Output
{
	uint8	   *data;
	size_t		size;
	size_t		room;			/* 0 once it did not suffice */
} Output;

size_t		LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t		LLVMFuzzerCustomMutator(uint8_t *data, size_t size,
									size_t max_size, unsigned int seed);

static uint64 random_state;

static uint32
random_below(uint32 n)
{
	random_state = random_state * UINT64CONST(6364136223846793005) +
		UINT64CONST(1442695040888963407);
	return (uint32) (random_state >> 33) % n;
}

/* ---------- taking apart ---------- */

static void
take_apart(void *arg)
{
	Archive    *archive = arg;
	ZipArchive *zip = zip_open(archive->data, archive->size);

	archive->count = 0;
	for (int i = 0; i < Min(zip->nentries, MAX_MEMBERS); i++)
	{
		const ZipEntry *entry = &zip->entries[i];
		Member	   *member = &archive->members[archive->count];

		if (entry->size > MAX_CONTENTS)
			continue;
		memcpy(member->name, entry->name, entry->name_length);
		member->name_length = entry->name_length;
		if (member->data == NULL)
			member->data = (uint8 *) harness_buffer(MAX_CONTENTS, 0);
		memcpy(member->data, zip_read(entry, false), entry->size);
		member->size = entry->size;
		member->method = entry->method;
		archive->count++;
	}
}

/* ---------- changing ---------- */

/* The member with the pickle, or any. */
static Member *
choose_member(Archive *archive)
{
	static const char *const wanted = "data.pkl";
	size_t		length = strlen(wanted);

	for (int i = 0; i < archive->count && random_below(3) > 0; i++)
	{
		Member	   *member = &archive->members[i];

		if (member->name_length >= length &&
			memcmp(member->name + member->name_length - length, wanted,
				   length) == 0)
			return member;
	}
	return &archive->members[random_below(archive->count)];
}

static void
swap_members(Archive *archive)
{
	Member	   *a = &archive->members[random_below(archive->count)];
	Member	   *b = &archive->members[random_below(archive->count)];
	Member		kept = *a;

	*a = *b;
	*b = kept;
}

static void
change(Archive *archive)
{
	Member	   *member = choose_member(archive);

	switch (random_below(16))
	{
		case 0:
			member->name_length =
				LLVMFuzzerMutate((uint8 *) member->name, member->name_length,
								 sizeof(member->name));
			break;
		case 1:
			member->method = member->method == ZIP_STORED ?
				ZIP_DEFLATED : ZIP_STORED;
			break;
		case 2:
			swap_members(archive);
			break;
		case 3:
			if (archive->count > 1)
			{
				*member = archive->members[--archive->count];
				archive->members[archive->count].data = NULL;
			}
			break;
		default:
			member->size = LLVMFuzzerMutate(member->data, member->size,
											MAX_CONTENTS);
			break;
	}
}

/* ---------- putting together ---------- */

static void
put(Output *out, const void *bytes, size_t n)
{
	if (n > out->room - out->size)
	{
		out->room = out->size = 0;
		return;
	}
	if (n > 0)
		memcpy(out->data + out->size, bytes, n);
	out->size += n;
}

/* A number of n bytes, little endian. */
static void
put_number(Output *out, uint64 number, int n)
{
	uint8		bytes[8];

	for (int i = 0; i < n; i++)
		bytes[i] = (uint8) (number >> (8 * i));
	put(out, bytes, n);
}

/* The contents as they are stored; returns how many bytes they have. */
static size_t
pack(const Member *member, uint8 *packed, size_t room)
{
	z_stream	stream = {0};
	size_t		size;

	if (member->method != ZIP_DEFLATED)
	{
		if (member->size > 0)
			memcpy(packed, member->data, member->size);
		return member->size;
	}
	stream.next_in = member->data;
	stream.avail_in = (uInt) member->size;
	stream.next_out = packed;
	stream.avail_out = (uInt) room;
	if (deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK ||
		deflate(&stream, Z_FINISH) != Z_STREAM_END)
		server_die("zlib cannot deflate");
	size = stream.total_out;
	deflateEnd(&stream);
	return size;
}

/* The part of a header that a local one and the directory share. */
static void
put_common(Output *out, const Layout *layout, const Member *member, uint32 crc,
		   uint64 stored, uint64 size, size_t extra)
{
	put_number(out, layout->zip64_fields ? 45 : 20, 2);
	put_number(out, layout->descriptors ? 0x0808 : 0x0800, 2);
	put_number(out, member->method, 2);
	put_number(out, 0, 4);		/* time and date */
	put_number(out, crc, 4);
	put_number(out, layout->zip64_fields ? PG_UINT32_MAX : stored, 4);
	put_number(out, layout->zip64_fields ? PG_UINT32_MAX : size, 4);
	put_number(out, member->name_length, 2);
	put_number(out, extra, 2);
}

static void
put_zip64(Output *out, uint64 size, uint64 stored)
{
	put_number(out, 0x0001, 2);
	put_number(out, 16, 2);
	put_number(out, size, 8);
	put_number(out, stored, 8);
}

static void
put_local(Output *out, const Layout *layout, const Member *member,
		  const uint8 *packed, size_t stored, uint32 crc)
{
	bool		later = layout->descriptors;
	size_t		zip64 = layout->zip64_fields ? 20 : 0;
	size_t		start = out->size + 30 + member->name_length + zip64;
	size_t		padding = layout->alignment - 1 -
		(start + 3) % layout->alignment;

	put_number(out, 0x04034b50, 4);
	put_common(out, layout, member, later ? 0 : crc, later ? 0 : stored,
			   later ? 0 : member->size,
			   zip64 + (layout->alignment > 1 ? 4 + padding : 0));
	put(out, member->name, member->name_length);
	if (layout->zip64_fields)
		put_zip64(out, later ? 0 : member->size, later ? 0 : stored);
	if (layout->alignment > 1)
	{
		static const uint8 zeros[64] = {0};

		put_number(out, 0x4246, 2); /* as torch pads */
		put_number(out, padding, 2);
		put(out, zeros, padding);
	}
	put(out, packed, stored);
	if (later)
	{
		put_number(out, 0x08074b50, 4);
		put_number(out, crc, 4);
		put_number(out, stored, layout->zip64_fields ? 8 : 4);
		put_number(out, member->size, layout->zip64_fields ? 8 : 4);
	}
}

static void
put_end(Output *out, const Layout *layout, int count, uint64 directory)
{
	uint64		end = out->size;
	bool		zip64 = layout->zip64_end;

	if (zip64)
	{
		put_number(out, 0x06064b50, 4);
		put_number(out, 44, 8);
		put_number(out, 45 << 16 | 45, 4);
		put_number(out, 0, 8);
		put_number(out, count, 8);
		put_number(out, count, 8);
		put_number(out, end - directory, 8);
		put_number(out, directory, 8);
		put_number(out, 0x07064b50, 4);
		put_number(out, 0, 4);
		put_number(out, end, 8);
		put_number(out, 1, 4);
	}
	put_number(out, 0x06054b50, 4);
	put_number(out, 0, 4);
	put_number(out, zip64 ? PG_UINT16_MAX : count, 2);
	put_number(out, zip64 ? PG_UINT16_MAX : count, 2);
	put_number(out, zip64 ? PG_UINT32_MAX : end - directory, 4);
	put_number(out, zip64 ? PG_UINT32_MAX : directory, 4);
	put_number(out, 0, 2);
}

static void
put_together(Output *out, const Layout *layout, const Archive *archive)
{
	static uint8 packed[MAX_CONTENTS + 1024];
	uint64		offsets[MAX_MEMBERS];
	size_t		stored[MAX_MEMBERS];
	uint32		crcs[MAX_MEMBERS];
	uint64		directory;

	for (int i = 0; i < archive->count; i++)
	{
		const Member *member = &archive->members[i];

		offsets[i] = out->size;
		crcs[i] = (uint32) crc32(0, member->data, (uInt) member->size);
		stored[i] = pack(member, packed, sizeof(packed));
		if (member->method == ZIP_DEFLATED)
		{
			memset(packed + stored[i], 0, layout->junk);
			stored[i] += layout->junk;
		}
		put_local(out, layout, member, packed, stored[i], crcs[i]);
	}
	directory = out->size;
	for (int i = 0; i < archive->count; i++)
	{
		const Member *member = &archive->members[i];

		put_number(out, 0x02014b50, 4);
		put_number(out, 45, 2);
		put_common(out, layout, member, crcs[i], stored[i], member->size,
				   layout->zip64_fields ? 20 : 0);
		put_number(out, 0, 2);	/* comment */
		put_number(out, 0, 2);	/* disk */
		put_number(out, 0, 6);	/* attributes */
		put_number(out, offsets[i], 4);
		put(out, member->name, member->name_length);
		if (layout->zip64_fields)
			put_zip64(out, member->size, stored[i]);
	}
	put_end(out, layout, archive->count, directory);
}

/* ---------- the mutator ---------- */

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
						unsigned int seed)
{
	static Archive archive;
	Layout		layout;
	Output		out;
	bool		opened;

	random_state = seed * UINT64CONST(0x9e3779b97f4a7c15) + 1;
	if (random_below(3) == 0)
		return LLVMFuzzerMutate(data, size, max_size);

	harness_begin(data, size);
	memset(&archive, 0, sizeof(archive));
	archive.data = harness_copy(data, size, 0);
	archive.size = size;
	opened = harness_attempt(take_apart, &archive);
	if (opened && archive.count > 0)
	{
		change(&archive);
		layout.descriptors = random_below(3) == 0;
		layout.zip64_fields = random_below(3) == 0;
		layout.zip64_end = random_below(3) == 0;
		layout.alignment = random_below(3) == 0 ? 64 : 1;
		layout.junk = random_below(16) == 0 ? 3 : 0;
		out.data = (uint8 *) harness_buffer(max_size, 0);
		out.size = 0;
		out.room = max_size;
		put_together(&out, &layout, &archive);
		if (out.room > 0)
		{
			memcpy(data, out.data, out.size);
			harness_end();
			return out.size;
		}
	}
	harness_end();
	return LLVMFuzzerMutate(data, size, max_size);
}
