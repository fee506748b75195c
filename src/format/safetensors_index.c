/*
 * safetensors_index.c
 *		Reads a model that is spread over several safetensors files.
 *
 * Its index is JSON text that says which tensor is in which file ("shard")
 * beside it: {"metadata": {...}, "weight_map": {tensor: shard, ...}}.  A shard
 * has the tensors that the index places there and no others.
 */
#include "postgres.h"

#include "format/json_scan.h"
#include "format/printable.h"
#include "format/safetensors.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define WHAT		"safetensors index"
#define WEIGHT_MAP	"weight_map"
#define SUFFIX		".safetensors"
#define MAX_SHARD	255			/* bytes of a shard's name */

/* What is searched for the key that tells an index from other JSON text. */
#define DETECT_BYTES ((size_t) 64 * 1024)

typedef struct Entry
{
	char	   *name;			/* of a tensor */
	char	   *shard;
	const Tensor *tensor;		/* once the shard is read */
	Payload    *payload;
} Entry;

typedef struct ShardIndex
{
	JsonScan	scan;
	int			nentries;
	int			allocated;
	Entry	   *entries;		/* in the order of the index */
	bool		has_map;
	int64		total_size;		/* -1 when it is not told */
	StringInfoData string;		/* the last one that was scanned */
} ShardIndex;

static const char *
to_server(const char *s)
{
	return pg_any_to_server(s, strlen(s), PG_UTF8);
}

static void
report_invalid(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid " WHAT),
			 errdetail("%s", detail)));
}

/* ---------- the index ---------- */

bool
safetensors_is_index(const char *data, size_t size)
{
	static const char key[] = "\"" WEIGHT_MAP "\"";
	size_t		length = strlen(key);
	size_t		limit = Min(size, DETECT_BYTES);
	size_t		at = 0;

	while (at < limit && (data[at] == ' ' || data[at] == '\t' ||
						  data[at] == '\n' || data[at] == '\r'))
		at++;
	if (at == limit || data[at] != '{')
		return false;
	for (; at + length <= limit; at++)
	{
		if (data[at] == '"' && memcmp(data + at, key, length) == 0)
			return true;
	}
	return false;
}

static const char *
scan_string(ShardIndex *index)
{
	resetStringInfo(&index->string);
	json_scan_string(&index->scan, &index->string);
	return index->string.data;
}

/* The name of a file, never a path to one. */
static void
check_shard(const char *shard)
{
	size_t		length = strlen(shard);
	size_t		suffix = strlen(SUFFIX);

	if (length == 0 || length > MAX_SHARD ||
		strspn(shard, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != length)
		report_invalid(psprintf("Shard \"%s\" has a name that is none of a file beside the index.",
								printable_bytes(shard, length)));
	if (length <= suffix ||
		strcmp(shard + length - suffix, SUFFIX) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot read an index of files that are not safetensors"),
				 errdetail("It names \"%s\".", shard),
				 errhint("Read each file by itself.")));
}

static Entry *
add_entry(ShardIndex *index)
{
	Entry	   *entry;

	if (index->nentries >= MODEL_MAX_TENSORS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg(WHAT " has too many tensors"),
				 errdetail("A model can have at most %d tensors.",
						   MODEL_MAX_TENSORS)));
	if (index->nentries == index->allocated)
	{
		index->allocated *= 2;
		index->entries = repalloc(index->entries,
								  index->allocated * sizeof(Entry));
	}
	entry = &index->entries[index->nentries++];
	memset(entry, 0, sizeof(Entry));
	return entry;
}

static void
scan_map(ShardIndex *index)
{
	if (index->has_map)
		report_invalid("Key \"" WEIGHT_MAP "\" comes twice.");
	index->has_map = true;
	json_scan_expect(&index->scan, '{');
	if (json_scan_accept(&index->scan, '}'))
		return;
	do
	{
		Entry	   *entry = add_entry(index);

		CHECK_FOR_INTERRUPTS();
		entry->name = pstrdup(scan_string(index));
		json_scan_expect(&index->scan, ':');
		entry->shard = pstrdup(scan_string(index));
		check_shard(entry->shard);
	} while (json_scan_accept(&index->scan, ','));
	json_scan_expect(&index->scan, '}');
}

/* The number that was scanned from begin on, or -1 when it is something else:
 * in the wild there are strings and floats. */
static int64
plain_number(const JsonScan *scan, size_t begin)
{
	JsonScan	number = *scan;

	for (size_t at = begin; at < scan->at; at++)
	{
		char		c = scan->data[at];

		if ((c < '0' || c > '9') && strchr(" \t\r\n", c) == NULL)
			return -1;
	}
	number.at = begin;
	return scan->at - begin > 16 ? -1 : json_scan_integer(&number);
}

/* Of the metadata only the sum of sizes says something about the shards. */
static void
scan_metadata(ShardIndex *index)
{
	JsonScan   *scan = &index->scan;

	if (!json_scan_accept(scan, '{'))
	{
		json_scan_skip(scan);
		return;
	}
	if (json_scan_accept(scan, '}'))
		return;
	do
	{
		bool		is_size = strcmp(scan_string(index), "total_size") == 0;
		size_t		begin;

		json_scan_expect(scan, ':');
		begin = scan->at;
		json_scan_skip(scan);
		if (is_size)
			index->total_size = plain_number(scan, begin);
	} while (json_scan_accept(scan, ','));
	json_scan_expect(scan, '}');
}

static void
scan_index(ShardIndex *index)
{
	JsonScan   *scan = &index->scan;

	json_scan_expect(scan, '{');
	do
	{
		const char *key = scan_string(index);
		bool		is_map = strcmp(key, WEIGHT_MAP) == 0;
		bool		is_metadata = strcmp(key, "metadata") == 0;

		json_scan_expect(scan, ':');
		if (is_map)
			scan_map(index);
		else if (is_metadata)
			scan_metadata(index);
		else
			json_scan_skip(scan);
	} while (json_scan_accept(scan, ','));
	json_scan_expect(scan, '}');
	json_scan_end(scan);
	if (!index->has_map)
		report_invalid("It has no key \"" WEIGHT_MAP "\".");
}

/* ---------- entries against each other ---------- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(Entry *const *) a)->name, (*(Entry *const *) b)->name);
}

static int
compare_shards(const void *a, const void *b)
{
	int			order = strcmp((*(Entry *const *) a)->shard,
							   (*(Entry *const *) b)->shard);

	return order != 0 ? order : compare_names(a, b);
}

/* The entries by shard, and by name among those of one shard. */
static Entry **
sort_entries(ShardIndex *index)
{
	Entry	  **sorted = palloc(Max(index->nentries, 1) * sizeof(Entry *));

	for (int i = 0; i < index->nentries; i++)
		sorted[i] = &index->entries[i];
	qsort(sorted, index->nentries, sizeof(Entry *), compare_names);
	for (int i = 1; i < index->nentries; i++)
	{
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			report_invalid(psprintf("Tensor \"%s\" comes twice.",
									to_server(sorted[i]->name)));
	}
	qsort(sorted, index->nentries, sizeof(Entry *), compare_shards);
	return sorted;
}

/* ---------- shards ---------- */

static void
add_shard_context(void *arg)
{
	errcontext("shard \"%s\"", (const char *) arg);
}

/* The tensors of a shard and the entries that name it must be the same; both
 * are unique. */
static void
match_shard(Model *shard, Entry **entries, int n)
{
	for (int i = 0; i < shard->ntensors; i++)
	{
		const Tensor *tensor = &shard->tensors[i];
		Entry		wanted = {.name = unconstify(char *, tensor->name)};
		Entry	   *key = &wanted;
		Entry	  **found = bsearch(&key, entries, n, sizeof(Entry *),
									compare_names);

		if (found == NULL)
			report_invalid(psprintf("Shard \"%s\" has tensor \"%s\", which the index does not place there.",
									entries[0]->shard,
									to_server(tensor->name)));
		(*found)->tensor = tensor;
		(*found)->payload = tensor_payload(shard, tensor);
	}
	for (int i = 0; i < n; i++)
	{
		if (entries[i]->tensor == NULL)
			report_invalid(psprintf("Shard \"%s\" has no tensor \"%s\", which the index places there.",
									entries[i]->shard,
									to_server(entries[i]->name)));
	}
}

/* A shard as an input. */
typedef struct ShardInput
{
	Input		input;			/* must be first */
	Siblings   *siblings;
	const char *name;
} ShardInput;

static void
read_bytes(Input *input, uint64 offset, uint64 n, char *dst)
{
	ShardInput *shard = (ShardInput *) input;

	shard->siblings->read(shard->siblings, shard->name, offset, n, dst);
}

/* Reads the shard that n entries name. */
static Model *
read_shard(Entry **entries, int n, const ReadOptions *options)
{
	ShardInput	file = {
		.input = {.read = read_bytes,.context = CurrentMemoryContext},
		.siblings = options->siblings,
		.name = entries[0]->shard,
	};
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = add_shard_context,
		.arg = unconstify(char *, file.name),
	};
	Model	   *shard;

	file.input.size = file.siblings->size(file.siblings, file.name);
	error_context_stack = &context;
	shard = safetensors_read_file(&file.input);
	error_context_stack = context.previous;
	match_shard(shard, entries, n);
	return shard;
}

/* Strings that the shards have beside tensors are the same everywhere, or
 * else those of the first one have to do. */
static void
merge_metadata(Model *model, const Model *shard, bool is_first,
			   bool *differs)
{
	if (is_first)
		model_set_metadata(model, shard->metadata);
	else if (!*differs && strcmp(model->metadata, shard->metadata) != 0)
	{
		*differs = true;
		ereport(NOTICE,
				(errmsg("shards have different metadata"),
				 errdetail("That of the first shard is kept.")));
	}
}

static void
read_shards(ShardIndex *index, Model *model, const ReadOptions *options)
{
	Entry	  **sorted = sort_entries(index);
	Model	  **shards = palloc(Max(index->nentries, 1) * sizeof(Model *));
	int			nshards = 0;
	bool		differs = false;

	for (int first = 0, last; first < index->nentries; first = last)
	{
		last = first + 1;
		while (last < index->nentries &&
			   strcmp(sorted[first]->shard, sorted[last]->shard) == 0)
			last++;
		shards[nshards] = read_shard(sorted + first, last - first, options);
		merge_metadata(model, shards[nshards], nshards == 0, &differs);
		nshards++;
	}
	for (int i = 0; i < index->nentries; i++)
	{
		const Entry *entry = &index->entries[i];
		int			payload = model_share_payload(model, entry->payload);

		model_add_tensor(model, entry->name, strlen(entry->name),
						 entry->tensor->ndim, entry->tensor->dims, payload);
	}
	while (nshards > 0)
		model_free(shards[--nshards]);
	pfree(shards);
	pfree(sorted);
}

/* Who writes an index often gets the sum wrong, so it is only remarked. */
static void
check_total(const ShardIndex *index, const Model *model)
{
	uint64		total = 0;

	for (int i = 0; i < model->npayloads; i++)
		total += model->payloads[i]->stored;
	if (index->total_size >= 0 && (uint64) index->total_size != total)
		ereport(NOTICE,
				(errmsg("index announces " INT64_FORMAT " bytes of tensors, but its shards have " UINT64_FORMAT,
						index->total_size, total)));
}

Model *
safetensors_read_index(const char *data, size_t size,
					   const ReadOptions *options)
{
	ShardIndex		index = {.scan = {data, size, 0, WHAT},.total_size = -1};
	Model	   *model;

	if (options->siblings == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an index alone is no model"),
				 errdetail("The bytes say which safetensors files have the tensors."),
				 errhint("Read it with model_load, from the folder where these files are.")));
	if (size > SAFETENSORS_MAX_HEADER)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg(WHAT " is too large"),
				 errdetail("It has %zu bytes, and at most %d are read.",
						   size, SAFETENSORS_MAX_HEADER)));
	if (!pg_verify_mbstr(PG_UTF8, data, size, true))
		report_invalid("It is not valid UTF-8.");

	index.allocated = 16;
	index.entries = palloc(index.allocated * sizeof(Entry));
	initStringInfo(&index.string);
	scan_index(&index);

	model = model_create(CurrentMemoryContext);
	model_set_metadata(model, "{\"" SAFETENSORS_KEY "\": {}}");
	read_shards(&index, model, options);
	check_total(&index, model);
	return model;
}
