/*
 * safetensors_write.c
 *		Writes a model as the reference's serialize does.
 *
 * Tensors are sorted by alignment and name, the header is compact JSON padded
 * with spaces to 8 bytes.  The format has no ties: every name gets elements
 * of its own.
 */
#include "postgres.h"

#include "format/json_scan.h"
#include "format/safetensors.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

typedef struct Entry
{
	const Tensor *tensor;
	Payload    *payload;
	int			rank;			/* of its dtype; larger ones come first */
	uint64		size;
} Entry;

/* ---------- what is written, in which order ---------- */

static int
dtype_rank(const Tensor *tensor, DType dtype)
{
	for (int i = 0; i < safetensors_ndtypes; i++)
	{
		if (safetensors_dtypes[i].dtype == dtype)
			return i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("safetensors has no tensors of dtype %s",
					dtype_name(dtype)),
			 errdetail("Tensor \"%s\" has this dtype.",
					   pg_any_to_server(tensor->name, strlen(tensor->name),
										PG_UTF8)),
			 errhint("Store its elements in a tensor of 8 or more bits.")));
	return -1;
}

static int
compare_entries(const void *a, const void *b)
{
	const Entry *left = a;
	const Entry *right = b;

	if (left->rank != right->rank)
		return right->rank - left->rank;
	return strcmp(left->tensor->name, right->tensor->name);
}

static Entry *
sort_entries(const Model *model)
{
	Entry	   *entries = palloc(Max(model->ntensors, 1) * sizeof(Entry));

	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];
		Payload    *payload = tensor_payload(model, tensor);

		if (strcmp(tensor->name, SAFETENSORS_METADATA) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("safetensors cannot have a tensor named \"%s\"",
							SAFETENSORS_METADATA)));
		entries[i].tensor = tensor;
		entries[i].payload = payload;
		entries[i].rank = dtype_rank(tensor, payload->dtype);
		entries[i].size = dtype_bytes(payload->dtype, payload->count);
	}
	qsort(entries, model->ntensors, sizeof(Entry), compare_entries);
	return entries;
}

/* ---------- metadata ---------- */

/*
 * Puts those members of an object that are strings, in their order, as the
 * header's own; nothing when there are none.
 */
static void
put_strings(StringInfo out, JsonScan *scan)
{
	StringInfoData key;
	StringInfoData value;
	int			n = 0;

	if (json_scan_accept(scan, '}'))
		return;
	initStringInfo(&key);
	initStringInfo(&value);
	do
	{
		resetStringInfo(&key);
		resetStringInfo(&value);
		json_scan_string(scan, &key);
		json_scan_expect(scan, ':');
		if (!json_scan_is_string(scan))
		{
			json_scan_skip(scan);
			continue;
		}
		json_scan_string(scan, &value);
		appendStringInfoString(out, n++ > 0 ? "," : "\"" SAFETENSORS_METADATA "\":{");
		json_append_string(out, key.data, key.len);
		appendStringInfoChar(out, ':');
		json_append_string(out, value.data, value.len);
	} while (json_scan_accept(scan, ','));
	if (n > 0)
		appendStringInfoChar(out, '}');
}

/* What such a file had, or else what the transformers library asks of files
 * with PyTorch's names. */
static void
put_metadata(StringInfo out, const Model *model)
{
	JsonScan	scan = {model->metadata, strlen(model->metadata), 0,
	"metadata of a model"};
	StringInfoData key;

	initStringInfo(&key);
	json_scan_expect(&scan, '{');
	if (!json_scan_accept(&scan, '}'))
	{
		do
		{
			resetStringInfo(&key);
			json_scan_string(&scan, &key);
			json_scan_expect(&scan, ':');
			if (strcmp(key.data, SAFETENSORS_KEY) == 0)
			{
				if (json_scan_accept(&scan, '{'))
					put_strings(out, &scan);
				return;
			}
			json_scan_skip(&scan);
		} while (json_scan_accept(&scan, ','));
	}
	appendStringInfoString(out, "\"" SAFETENSORS_METADATA "\":{\"format\":\"pt\"}");
}

/* ---------- the file ---------- */

static void
put_entry(StringInfo out, const Entry *entry, uint64 begin)
{
	json_append_string(out, entry->tensor->name, strlen(entry->tensor->name));
	appendStringInfo(out, ":{\"dtype\":\"%s\",\"shape\":[",
					 safetensors_dtypes[entry->rank].name);
	for (int i = 0; i < entry->tensor->ndim; i++)
		appendStringInfo(out, i > 0 ? "," INT64_FORMAT : INT64_FORMAT,
						 entry->tensor->dims[i]);
	appendStringInfo(out, "],\"data_offsets\":[" UINT64_FORMAT "," UINT64_FORMAT "]}",
					 begin, begin + entry->size);
}

/* Returns how many bytes of elements the header announces. */
static uint64
put_header(StringInfo out, const Model *model, const Entry *entries)
{
	uint64		at = 0;

	appendStringInfoChar(out, '{');
	put_metadata(out, model);
	for (int i = 0; i < model->ntensors; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (out->len > 1)
			appendStringInfoChar(out, ',');
		put_entry(out, &entries[i], at);
		at += entries[i].size;
		if (out->len > SAFETENSORS_MAX_HEADER - 8)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("model has too many tensors for safetensors"),
					 errdetail("The format's header can have %d bytes.",
							   SAFETENSORS_MAX_HEADER)));
	}
	appendStringInfoChar(out, '}');
	while (out->len % 8 != 0)
		appendStringInfoChar(out, ' ');
	return at;
}

void
safetensors_write(Model *model, Sink *sink)
{
	Entry	   *entries = sort_entries(model);
	StringInfoData header;
	char		length[8];
	uint64		elements;
	uint64		at;

	initStringInfo(&header);
	elements = put_header(&header, model, entries);
	for (int i = 0; i < 8; i++)
		length[i] = (char) ((uint64) header.len >> (8 * i));

	at = 8 + (uint64) header.len;
	sink->start(sink, at + elements);
	sink->put(sink, 0, length, 8);
	sink->put(sink, 8, header.data, header.len);
	for (int i = 0; i < model->ntensors; i++)
	{
		sink_put_payload(sink, at, entries[i].payload);
		at += entries[i].size;
	}
	pfree(header.data);
	pfree(entries);
}
