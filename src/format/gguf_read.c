/*
 * gguf_read.c
 *		Reads a GGUF file: header, list of tensors, then one copy of the
 *		elements.
 *
 * Takes what ggml takes, but for what its readers treat differently or crash
 * on: dimensions of zero elements, padding that is not zero, bytes after the
 * end, keys of other than plain characters.  Quantized tensors keep their
 * blocks.
 */
#include "postgres.h"

#include "model/elements.h"
#include "format/gguf.h"
#include "format/printable.h"
#include "kernel/kernel.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* What the least tensor and the least key need in a file. */
#define MIN_TENSOR_BYTES	25
#define MIN_KEY_BYTES		13

typedef struct Entry
{
	const char *name;			/* in the file */
	uint64		name_length;
	int			ndim;
	int64		dims[GGUF_MAX_DIMS];	/* row-major */
	const GgufType *type;
	int64		count;
	uint64		offset;			/* from the first tensor's elements */
	uint64		size;
} Entry;

void
gguf_fail(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid GGUF file"),
			 errdetail("%s", detail)));
	pg_unreachable();
}

static void
fail_entry(const Entry *entry, const char *problem)
{
	gguf_fail(psprintf("Tensor \"%s\" %s.",
					   printable_bytes(entry->name, entry->name_length),
					   problem));
}

/* ---------- bytes ---------- */

const char *
gguf_take(GgufCursor *cursor, uint64 n)
{
	const char *bytes = cursor->data + cursor->at;

	if (n > cursor->size - cursor->at)
		gguf_fail(psprintf("It ends within %s.", cursor->part));
	cursor->at += n;
	return bytes;
}

uint32
gguf_take_u32(GgufCursor *cursor)
{
	uint32		value;

	memcpy(&value, gguf_take(cursor, sizeof(value)), sizeof(value));
	return value;
}

uint64
gguf_take_u64(GgufCursor *cursor)
{
	uint64		value;

	memcpy(&value, gguf_take(cursor, sizeof(value)), sizeof(value));
	return value;
}

/* ---------- header ---------- */

static uint32
take_version(GgufCursor *cursor)
{
	uint32		version;

	if (!gguf_detect(cursor->data, cursor->size))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("not a GGUF file"),
				 errdetail("The bytes look like %s.",
						   format_describe(cursor->data, cursor->size))));
	gguf_take(cursor, 4);
	version = gguf_take_u32(cursor);
	if (version == 0)
		gguf_fail("Its version is 0.");
	if ((version & 0xffff) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("GGUF files of big-endian machines cannot be read"),
				 errhint("Convert the file with gguf-convert-endian of the Python package gguf.")));
	if (version != 2 && version != 3)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("GGUF version %u cannot be read", version),
				 errdetail("Versions 2 and 3 can.")));
	return version;
}

/* A number of things of at least so many bytes, which must be there. */
static uint64
take_count(GgufCursor *cursor, uint64 least, uint64 still_to_come,
		   const char *what)
{
	uint64		count = gguf_take_u64(cursor);
	uint64		left = cursor->size - cursor->at;

	if (left < still_to_come || count > (left - still_to_come) / least)
		gguf_fail(psprintf("It announces " UINT64_FORMAT " %s, for which it is too short.",
						   count, what));
	return count;
}

/* ---------- list of tensors ---------- */

static void
take_name(GgufCursor *cursor, Entry *entry)
{
	entry->name_length = gguf_take_u64(cursor);
	if (entry->name_length == 0)
		gguf_fail("A tensor has an empty name.");
	if (entry->name_length > GGUF_MAX_NAME)
		gguf_fail(psprintf("A tensor has a name of " UINT64_FORMAT " bytes, and the format allows %d.",
						   entry->name_length, GGUF_MAX_NAME));
	entry->name = gguf_take(cursor, entry->name_length);
	if (!pg_verify_mbstr(PG_UTF8, entry->name, (int) entry->name_length, true))
		fail_entry(entry, "has a name that is not valid UTF-8");
}

/* The file has the fastest dimension first. */
static void
take_shape(GgufCursor *cursor, Entry *entry)
{
	uint32		ndim = gguf_take_u32(cursor);

	if (ndim > GGUF_MAX_DIMS)
		fail_entry(entry, psprintf("has %u dimensions, and the format allows %d",
								   ndim, GGUF_MAX_DIMS));
	entry->ndim = (int) ndim;
	for (int i = entry->ndim; i-- > 0;)
	{
		uint64		size = gguf_take_u64(cursor);

		if (size == 0)
			fail_entry(entry, "has a dimension of size 0");
		if (size > PG_INT64_MAX)
			fail_entry(entry, "has a negative dimension");
		entry->dims[i] = (int64) size;
	}
	if (!shape_count(entry->ndim, entry->dims, &entry->count))
		fail_entry(entry, "has too many elements");
}

static void
take_type(GgufCursor *cursor, Entry *entry)
{
	uint32		number = gguf_take_u32(cursor);
	int64		row = entry->ndim > 0 ? entry->dims[entry->ndim - 1] : 1;

	entry->type = gguf_type(number);
	if (entry->type == NULL)
		fail_entry(entry, psprintf("has type %u, which the format does not know",
								   number));
	if (entry->type->dtype == DTYPE_INVALID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tensor \"%s\" has type %s, which a model cannot have",
						printable_bytes(entry->name, entry->name_length),
						entry->type->name)));
	if (row % gguf_type_block(entry->type) != 0)
		fail_entry(entry, psprintf("has rows of " INT64_FORMAT " elements, but %s has blocks of %d",
								   row, entry->type->name,
								   gguf_type_block(entry->type)));
	entry->size = gguf_type_bytes(entry->type, entry->count);
}

static Entry *
take_entries(GgufCursor *cursor, uint64 n)
{
	Entry	   *entries;

	if (n > MODEL_MAX_TENSORS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("GGUF file has too many tensors"),
				 errdetail("It has " UINT64_FORMAT ", and a model can have at most %d.",
						   n, MODEL_MAX_TENSORS)));
	entries = palloc(Max(n, 1) * sizeof(Entry));
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		take_name(cursor, &entries[i]);
		take_shape(cursor, &entries[i]);
		take_type(cursor, &entries[i]);
		entries[i].offset = gguf_take_u64(cursor);
	}
	return entries;
}

static int
compare_names(const void *a, const void *b)
{
	const Entry *left = *(const Entry *const *) a;
	const Entry *right = *(const Entry *const *) b;

	if (left->name_length != right->name_length)
		return left->name_length < right->name_length ? -1 : 1;
	return memcmp(left->name, right->name, left->name_length);
}

static void
check_names(const Entry *entries, uint64 n)
{
	const Entry **sorted = palloc(Max(n, 1) * sizeof(Entry *));

	for (uint64 i = 0; i < n; i++)
		sorted[i] = &entries[i];
	qsort(sorted, n, sizeof(Entry *), compare_names);
	for (uint64 i = 1; i < n; i++)
	{
		if (compare_names(&sorted[i - 1], &sorted[i]) == 0)
			fail_entry(sorted[i], "is there twice");
	}
	pfree(sorted);
}

/* ---------- elements ---------- */

/* What nobody reads must be zero, so that nothing can hide there. */
static void
check_padding(const GgufCursor *cursor, uint64 from, uint64 to)
{
	if (!kernel_is_zero(cursor->data + from, to - from))
		gguf_fail(psprintf("The padding from byte " UINT64_FORMAT " on is not zero.",
						   from));
}

/*
 * Each tensor starts where the one before it ends, padded, and the file ends
 * with the last one.  Returns where the first one starts.
 */
static uint64
check_places(const GgufCursor *cursor, const Entry *entries, uint64 n,
			 uint64 alignment)
{
	uint64		start = gguf_align(cursor->at, alignment);
	uint64		at = cursor->at;
	uint64		next = start;

	for (uint64 i = 0; i < n; i++)
	{
		const Entry *entry = &entries[i];

		if (entry->offset != next - start)
			fail_entry(entry, psprintf("starts at offset " UINT64_FORMAT ", but the one before it ends at " UINT64_FORMAT,
									   entry->offset, next - start));
		if (next > cursor->size || entry->size > cursor->size - next)
			fail_entry(entry, "ends behind the end of the file");
		check_padding(cursor, at, next);
		at = next + entry->size;
		next = gguf_align(at, alignment);
	}

	/* Some writers leave out the padding at the end. */
	if (next < cursor->size)
		gguf_fail(psprintf("Its tensors end at byte " UINT64_FORMAT " of " UINT64_FORMAT ".",
						   next, cursor->size));
	check_padding(cursor, at, cursor->size);
	return start;
}

static void
add_tensor(Model *model, const Entry *entry, const char *stored)
{
	int			payload = model_new_payload(model, entry->type->dtype,
											entry->type->encoding,
											entry->count, entry->size);

	elements_copy(model->payloads[payload]->bytes, stored, entry->size);
	payload_complete(model->payloads[payload]);
	model_add_tensor(model, entry->name, (int) entry->name_length,
					 entry->ndim, entry->dims, payload);
}

Model *
gguf_read(const char *data, size_t size, const ReadOptions *options)
{
	GgufCursor	cursor = {data, size, 0, "its header"};
	uint32		version = take_version(&cursor);
	uint64		ntensors = take_count(&cursor, MIN_TENSOR_BYTES, 8, "tensors");
	uint64		nkeys = take_count(&cursor, MIN_KEY_BYTES,
								   ntensors * MIN_TENSOR_BYTES,
								   "keys of metadata");
	StringInfoData json;
	uint64		alignment;
	Entry	   *entries;
	uint64		start;
	Model	   *model;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"" GGUF_KEY "\": ");
	cursor.part = "its metadata";
	alignment = gguf_read_metadata(&cursor, version, nkeys, &json);
	appendStringInfoChar(&json, '}');
	cursor.part = "its list of tensors";
	entries = take_entries(&cursor, ntensors);
	check_names(entries, ntensors);
	start = check_places(&cursor, entries, ntensors, alignment);

	model = model_create(CurrentMemoryContext);
	for (uint64 i = 0; i < ntensors; i++)
		add_tensor(model, &entries[i], data + start + entries[i].offset);
	model_set_metadata(model, json.data);
	pfree(json.data);
	pfree(entries);
	return model;
}
