/*
 * safetensors_read.c
 *		Reads a safetensors file: header, then one copy of the elements.
 *
 * Takes what the reference takes, but for what it lets pass that readers
 * understand differently: equal keys, unknown fields, numbers that are not
 * plain integers.
 */
#include "postgres.h"

#include "common/int.h"
#include "model/elements.h"
#include "format/json_scan.h"
#include "format/safetensors.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define WHAT "safetensors file"

/* Room for strings that are no tensor; what jsonb makes of them must fit. */
#define MAX_METADATA (MODEL_MAX_METADATA / 4)

typedef struct Entry
{
	char	   *name;
	const SafetensorsDType *dtype;
	int			ndim;
	int64	   *dims;
	int64		count;			/* elements */
	uint64		begin;			/* bytes from the first element */
	uint64		end;
} Entry;

typedef struct Header
{
	JsonScan	scan;
	int			nentries;
	int			allocated;
	Entry	   *entries;		/* in the order of the header */
	bool		has_metadata;
	StringInfoData metadata;	/* JSON text of an object */
	StringInfoData string;		/* the last one that was scanned */
} Header;

static void
report_invalid(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid " WHAT),
			 errdetail("%s", detail)));
}

static void
report_entry(const Entry *entry, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid " WHAT),
			 errdetail("Tensor \"%s\" %s.",
					   pg_any_to_server(entry->name, strlen(entry->name),
										PG_UTF8), problem)));
}

/* ---------- one entry ---------- */

static const char *
scan_string(Header *header)
{
	resetStringInfo(&header->string);
	json_scan_string(&header->scan, &header->string);
	return header->string.data;
}

static void
scan_dtype(Header *header, Entry *entry)
{
	const char *name = scan_string(header);

	for (int i = 0; i < safetensors_ndtypes; i++)
	{
		if (strcmp(name, safetensors_dtypes[i].name) == 0)
			entry->dtype = &safetensors_dtypes[i];
	}
	if (entry->dtype == NULL)
		report_entry(entry, "has a dtype that the format does not know");
	if (entry->dtype->dtype == DTYPE_INVALID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("tensor \"%s\" has dtype %s, which a model cannot have",
						pg_any_to_server(entry->name, strlen(entry->name),
										 PG_UTF8), name)));
}

static void
scan_shape(Header *header, Entry *entry)
{
	int64		dims[MODEL_MAX_DIMS];

	json_scan_expect(&header->scan, '[');
	if (!json_scan_accept(&header->scan, ']'))
	{
		do
		{
			if (entry->ndim == MODEL_MAX_DIMS)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("tensor has too many dimensions"),
						 errdetail("A tensor can have at most %d dimensions.",
								   MODEL_MAX_DIMS)));
			dims[entry->ndim++] = json_scan_integer(&header->scan);
		} while (json_scan_accept(&header->scan, ','));
		json_scan_expect(&header->scan, ']');
	}
	entry->dims = palloc(Max(entry->ndim, 1) * sizeof(int64));
	memcpy(entry->dims, dims, entry->ndim * sizeof(int64));
}

static void
scan_offsets(Header *header, Entry *entry)
{
	json_scan_expect(&header->scan, '[');
	entry->begin = json_scan_integer(&header->scan);
	json_scan_expect(&header->scan, ',');
	entry->end = json_scan_integer(&header->scan);
	json_scan_expect(&header->scan, ']');
}

/* The elements that the shape has must fill the bytes that are announced. */
static void
check_size(Entry *entry)
{
	if (!shape_count(entry->ndim, entry->dims, &entry->count))
		report_entry(entry, "has too many elements");
	if (entry->end < entry->begin ||
		entry->end - entry->begin != dtype_bytes(entry->dtype->dtype,
												 entry->count))
		report_entry(entry, "has data_offsets that do not fit its dtype and shape");
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]} */
static void
scan_entry(Header *header, Entry *entry)
{
	bool		has_shape = false;
	bool		has_offsets = false;

	json_scan_expect(&header->scan, '{');
	do
	{
		const char *field = scan_string(header);
		bool		is_dtype = strcmp(field, "dtype") == 0;
		bool		is_shape = strcmp(field, "shape") == 0;
		bool		is_offsets = strcmp(field, "data_offsets") == 0;

		json_scan_expect(&header->scan, ':');
		if ((is_dtype && entry->dtype != NULL) || (is_shape && has_shape) ||
			(is_offsets && has_offsets))
			report_entry(entry, "has a field twice");
		if (is_dtype)
			scan_dtype(header, entry);
		else if (is_shape)
			scan_shape(header, entry);
		else if (is_offsets)
			scan_offsets(header, entry);
		else
			report_entry(entry, "has a field that is not dtype, shape or data_offsets");
		has_shape |= is_shape;
		has_offsets |= is_offsets;
	} while (json_scan_accept(&header->scan, ','));
	json_scan_expect(&header->scan, '}');
	if (entry->dtype == NULL || !has_shape || !has_offsets)
		report_entry(entry, "lacks dtype, shape or data_offsets");
	check_size(entry);
}

/* ---------- the header ---------- */

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Raises when a string comes twice. */
static void
check_unique(char **strings, int n, const char *detail)
{
	qsort(strings, n, sizeof(char *), compare_strings);
	for (int i = 1; i < n; i++)
	{
		if (strcmp(strings[i - 1], strings[i]) == 0)
			report_invalid(psprintf("%s \"%s\" comes twice.", detail,
									pg_any_to_server(strings[i],
													 strlen(strings[i]),
													 PG_UTF8)));
	}
}

/* Strings by strings, which go into the metadata as they are. */
static void
scan_metadata(Header *header)
{
	StringInfo	out = &header->metadata;
	char	  **keys = palloc(16 * sizeof(char *));
	int			allocated = 16;
	int			nkeys = 0;

	if (header->has_metadata)
		report_invalid("Key \"" SAFETENSORS_METADATA "\" comes twice.");
	header->has_metadata = true;
	json_scan_expect(&header->scan, '{');
	if (json_scan_accept(&header->scan, '}'))
		return;
	do
	{
		if (nkeys == allocated)
			keys = repalloc(keys, (allocated *= 2) * sizeof(char *));
		keys[nkeys++] = pstrdup(scan_string(header));
		appendStringInfoString(out, nkeys > 1 ? ", " : "");
		json_append_string(out, header->string.data, header->string.len);
		json_scan_expect(&header->scan, ':');
		appendStringInfoString(out, ": ");
		scan_string(header);
		json_append_string(out, header->string.data, header->string.len);
		if (out->len > MAX_METADATA)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("metadata of a " WHAT " is too large"),
					 errdetail("At most %d bytes are kept.", MAX_METADATA)));
	} while (json_scan_accept(&header->scan, ','));
	json_scan_expect(&header->scan, '}');
	check_unique(keys, nkeys, "Metadata");
}

static Entry *
add_entry(Header *header, const char *name)
{
	Entry	   *entry;

	if (header->nentries >= MODEL_MAX_TENSORS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg(WHAT " has too many tensors"),
				 errdetail("A model can have at most %d tensors.",
						   MODEL_MAX_TENSORS)));
	if (header->nentries == header->allocated)
	{
		header->allocated *= 2;
		header->entries = repalloc(header->entries,
								   header->allocated * sizeof(Entry));
	}
	entry = &header->entries[header->nentries++];
	memset(entry, 0, sizeof(Entry));
	entry->name = pstrdup(name);
	return entry;
}

static void
check_names(const Header *header)
{
	char	  **names = palloc(Max(header->nentries, 1) * sizeof(char *));

	for (int i = 0; i < header->nentries; i++)
		names[i] = header->entries[i].name;
	check_unique(names, header->nentries, "Tensor");
	pfree(names);
}

static void
scan_header(Header *header)
{
	json_scan_expect(&header->scan, '{');
	if (!json_scan_accept(&header->scan, '}'))
	{
		do
		{
			const char *key = scan_string(header);
			bool		is_metadata = strcmp(key, SAFETENSORS_METADATA) == 0;
			Entry	   *entry = is_metadata ? NULL : add_entry(header, key);

			CHECK_FOR_INTERRUPTS();
			json_scan_expect(&header->scan, ':');
			if (is_metadata)
				scan_metadata(header);
			else
				scan_entry(header, entry);
		} while (json_scan_accept(&header->scan, ','));
		json_scan_expect(&header->scan, '}');
	}
	json_scan_end(&header->scan);
	check_names(header);
}

/* ---------- the file ---------- */

static uint64
header_length(Input *input)
{
	uint64		size = input->size;
	uint64		length = 0;
	uint8		bytes[8];

	if (size < 8)
		report_invalid("It has fewer than 8 bytes.");
	input_copy(input, 0, sizeof(bytes), (char *) bytes);
	for (int i = 8; i-- > 0;)
		length = length << 8 | bytes[i];
	if (length > SAFETENSORS_MAX_HEADER)
		report_invalid(psprintf("Its header of " UINT64_FORMAT " bytes is larger than the %d that the format allows.",
								length, SAFETENSORS_MAX_HEADER));
	if (length > size - 8)
		report_invalid(psprintf("It announces a header of " UINT64_FORMAT " bytes, and " UINT64_FORMAT " follow.",
								length, size - 8));
	return length;
}

static int
compare_begin(const void *a, const void *b)
{
	const Entry *left = *(Entry *const *) a;
	const Entry *right = *(Entry *const *) b;

	if (left->begin != right->begin)
		return left->begin < right->begin ? -1 : 1;
	if (left->end != right->end)
		return left->end < right->end ? -1 : 1;
	return 0;
}

/* Every byte belongs to one tensor, so that nothing can hide between them. */
static void
check_coverage(const Header *header, uint64 size)
{
	Entry	  **sorted = palloc(Max(header->nentries, 1) * sizeof(Entry *));
	uint64		at = 0;

	for (int i = 0; i < header->nentries; i++)
		sorted[i] = &header->entries[i];
	qsort(sorted, header->nentries, sizeof(Entry *), compare_begin);
	for (int i = 0; i < header->nentries; i++)
	{
		if (sorted[i]->begin > at)
			report_entry(sorted[i], "does not start where the one before it ends");
		if (sorted[i]->begin < at)
			report_entry(sorted[i], "overlaps the one before it");
		at = sorted[i]->end;
		if (at > size)
			report_entry(sorted[i], "ends behind the end of the file");
	}
	if (at != size)
		report_invalid(psprintf("Its tensors end at byte " UINT64_FORMAT " of " UINT64_FORMAT ".",
								at, size));
	pfree(sorted);
}

static void
add_tensor(Model *model, const Entry *entry, Input *input, uint64 start)
{
	uint64		size = entry->end - entry->begin;
	int			payload = model_new_payload(model, entry->dtype->dtype,
											ENCODING_DENSE, entry->count,
											size);

	char	   *elements = model->payloads[payload]->bytes;

	input_copy(input, start + entry->begin, size, elements);
	if (entry->dtype->dtype == DTYPE_BOOL && !elements_are_bool(elements, size))
		report_entry(entry, "has a boolean that is neither 0 nor 1");
	payload_complete(model->payloads[payload]);
	model_add_tensor(model, entry->name, strlen(entry->name), entry->ndim,
					 entry->dims, payload);
}

Model *
safetensors_read_file(Input *input)
{
	uint64		length = header_length(input);
	const char *json = input_view(input, 8, length);
	Header		header = {.scan = {json, length, 0, WHAT}};
	Model	   *model;

	if (length == 0 || json[0] != '{')
		report_invalid("Its header does not start with \"{\".");
	if (!pg_verify_mbstr(PG_UTF8, json, length, true))
		report_invalid("Its header is not valid UTF-8.");

	header.allocated = 16;
	header.entries = palloc(header.allocated * sizeof(Entry));
	initStringInfo(&header.metadata);
	initStringInfo(&header.string);
	scan_header(&header);
	check_coverage(&header, input->size - 8 - length);
	input_release(input, json);

	model = model_create(CurrentMemoryContext);
	for (int i = 0; i < header.nentries; i++)
		add_tensor(model, &header.entries[i], input, 8 + length);
	model_set_metadata(model, psprintf("{\"" SAFETENSORS_KEY "\": {%s}}",
									   header.metadata.data));
	return model;
}
