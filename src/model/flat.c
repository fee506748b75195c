/*
 * flat.c
 *		A model as bytes: the flat form.
 *
 * This is what lies in a table, in a dump and on the wire, so it never
 * changes for a given version byte.  All numbers are little endian; offsets
 * count from the varlena's length word.
 *
 *		header			FLAT_HEADER_SIZE bytes, struct FlatHeader; with the
 *						flag FLAT_HAS_GRAPH eight more: the graph's size
 *		directory		npayloads x struct FlatPayload, then for each tensor
 *						struct FlatTensor, dimensions (int64 each), name,
 *						zeros up to a multiple of 8
 *		metadata		JSON text of an object, UTF-8
 *		recipe			JSON text of an array, UTF-8
 *		graph			if there is one
 *		payloads		each at the next multiple of MODEL_ALIGNMENT, zeros
 *						between; the last one ends the value
 *
 * Everything up to the payloads is the manifest, and what does not need
 * weights reads no more.  There is one flat form of a model with given
 * encodings: payloads lie in the order of their first use, each is used, and
 * no hole holds anything but zeros.
 */
#include "postgres.h"

#include "compat.h"

#include "kernel/kernel.h"
#include "mb/pg_wchar.h"
#include "model/model.h"

#ifdef WORDS_BIGENDIAN
#error "modelopt stores models in the byte order of the machine, which must be little endian"
#endif

#define FLAT_MAGIC		"mdlo"
#define FLAT_HAS_GRAPH	0x01

typedef struct FlatHeader
{
	int32		varlena_length;
	char		magic[4];
	uint8		version;
	uint8		flags;
	uint16		reserved;		/* 0 */
	uint32		ntensors;
	uint32		npayloads;
	uint32		directory_size;
	uint32		metadata_size;
	uint32		recipe_size;
	uint64		total_size;		/* varlena_length's bytes included */
	uint8		digest[MODEL_DIGEST_LENGTH];

	uint64		graph_size;		/* with FLAT_HAS_GRAPH */
} FlatHeader;

typedef struct FlatPayload
{
	uint64		stored;
	int64		count;
	uint8		dtype;
	uint8		encoding;
	uint8		zero[14];
	uint8		digest[MODEL_DIGEST_LENGTH];
} FlatPayload;

typedef struct FlatTensor
{
	uint32		payload;
	uint16		name_length;
	uint8		ndim;
	uint8		zero;
} FlatTensor;

StaticAssertDecl(offsetof(FlatHeader, graph_size) == FLAT_HEADER_SIZE,
				 "flat header");
StaticAssertDecl(sizeof(FlatHeader) == FLAT_HEADER_MAX, "flat header");
StaticAssertDecl(sizeof(FlatPayload) == 64, "flat payload entry");
StaticAssertDecl(sizeof(FlatTensor) == 8, "flat tensor entry");

static inline uint64
align_up(uint64 n, uint64 alignment)
{
	return (n + alignment - 1) & ~(alignment - 1);
}

static void
report_corrupt(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid model value"),
			 errdetail("%s", detail)));
}

/* Bytes of the header. */
static uint64
header_size(bool has_graph)
{
	return has_graph ? sizeof(FlatHeader) : FLAT_HEADER_SIZE;
}

/* ---------- writing ---------- */

static uint64
tensor_entry_size(const Tensor *tensor)
{
	return sizeof(FlatTensor) +
		align_up(tensor->ndim * sizeof(int64) + strlen(tensor->name), 8);
}

static uint64
directory_size(const Model *model)
{
	uint64		size = model->npayloads * sizeof(FlatPayload);

	for (int i = 0; i < model->ntensors; i++)
		size += tensor_entry_size(&model->tensors[i]);
	return size;
}

uint64
model_flat_size(const Model *model)
{
	uint64		size = header_size(model->graph != NULL) +
		directory_size(model) + strlen(model->metadata) +
		strlen(model->recipe) + model->graph_size;

	for (int i = 0; i < model->npayloads; i++)
		size = align_up(size, MODEL_ALIGNMENT) + model->payloads[i]->stored;
	return size;
}

static char *
write_payload_entry(char *dst, Payload *payload)
{
	FlatPayload entry = {0};

	entry.stored = payload->stored;
	entry.count = payload->count;
	entry.dtype = payload->dtype;
	entry.encoding = payload->encoding;
	memcpy(entry.digest, payload_digest(payload), MODEL_DIGEST_LENGTH);
	memcpy(dst, &entry, sizeof(entry));
	return dst + sizeof(entry);
}

static char *
write_tensor_entry(char *dst, const Tensor *tensor)
{
	FlatTensor	entry = {0};
	uint64		size = tensor_entry_size(tensor);
	size_t		dims_size = tensor->ndim * sizeof(int64);

	entry.payload = tensor->payload;
	entry.name_length = strlen(tensor->name);
	entry.ndim = tensor->ndim;
	memset(dst, 0, size);
	memcpy(dst, &entry, sizeof(entry));
	memcpy(dst + sizeof(entry), tensor->dims, dims_size);
	memcpy(dst + sizeof(entry) + dims_size, tensor->name, entry.name_length);
	return dst + size;
}

/* What a reader relies on; a transformation that breaks it must not store. */
static void
check_payload_order(const Model *model)
{
	int			next = 0;

	for (int i = 0; i < model->ntensors; i++)
	{
		if (model->tensors[i].payload > next)
			elog(ERROR, "payloads are not in the order of their first use");
		if (model->tensors[i].payload == next)
			next++;
	}
	if (next != model->npayloads)
		elog(ERROR, "model has a payload that no tensor uses");
}

void
model_flatten(Model *model, char *dst)
{
	FlatHeader	header = {0};
	uint64		position;
	char	   *next = dst + header_size(model->graph != NULL);

	check_payload_order(model);
	memcpy(header.magic, FLAT_MAGIC, sizeof(header.magic));
	header.version = FLAT_VERSION;
	header.flags = model->graph != NULL ? FLAT_HAS_GRAPH : 0;
	header.ntensors = model->ntensors;
	header.npayloads = model->npayloads;
	header.directory_size = directory_size(model);
	header.metadata_size = strlen(model->metadata);
	header.recipe_size = strlen(model->recipe);
	header.total_size = model_flat_size(model);
	memcpy(header.digest, model_digest(model), MODEL_DIGEST_LENGTH);
	header.graph_size = model->graph_size;
	memcpy(dst, &header, next - dst);
	SET_VARSIZE(dst, header.total_size);

	for (int i = 0; i < model->npayloads; i++)
		next = write_payload_entry(next, model->payloads[i]);
	for (int i = 0; i < model->ntensors; i++)
		next = write_tensor_entry(next, &model->tensors[i]);
	memcpy(next, model->metadata, header.metadata_size);
	next += header.metadata_size;
	memcpy(next, model->recipe, header.recipe_size);
	next += header.recipe_size;
	if (model->graph != NULL)
		memcpy(next, model->graph, model->graph_size);
	next += model->graph_size;

	position = next - dst;
	for (int i = 0; i < model->npayloads; i++)
	{
		uint64		aligned = align_up(position, MODEL_ALIGNMENT);

		memset(dst + position, 0, aligned - position);
		payload_copy_stored(model->payloads[i], dst + aligned);
		position = aligned + model->payloads[i]->stored;
	}
	Assert(position == header.total_size);
}

/* ---------- reading ---------- */

static bool
has_graph(const FlatHeader *header)
{
	return (header->flags & FLAT_HAS_GRAPH) != 0;
}

/* The directory. */
static const char *
directory_start(const FlatHeader *header, const char *flat)
{
	return flat + header_size(has_graph(header));
}

/* Header that has been checked, as far as it can be by itself. */
static void
read_header(FlatHeader *header, const char *flat, uint64 available)
{
	if (available < FLAT_HEADER_SIZE)
		report_corrupt("It is too short for a header.");
	memcpy(header, flat, FLAT_HEADER_SIZE);
	header->graph_size = 0;
	if (memcmp(header->magic, FLAT_MAGIC, sizeof(header->magic)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid model value"),
				 errdetail("It does not start with the bytes \"mdlo\"."),
				 memcmp(header->magic, "bWRs", 4) == 0 ?
				 errhint("A value in its text form is cast as in '...'::model.") :
				 errhint("To read a checkpoint use model_read(bytea).")));
	if (header->version != FLAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model value has version %d, and this modelopt reads version %d",
						header->version, FLAT_VERSION),
				 errhint("Update the extension's library to the one that wrote the value.")));
	if ((header->flags & ~FLAT_HAS_GRAPH) != 0 || header->reserved != 0)
		report_corrupt("Its header sets flags that this version does not define.");
	if (has_graph(header))
	{
		if (available < sizeof(FlatHeader))
			report_corrupt("It is too short for a header.");
		memcpy(&header->graph_size, flat + FLAT_HEADER_SIZE,
			   sizeof(header->graph_size));
		if (header->graph_size > MODEL_MAX_GRAPH)
			report_corrupt("Its graph is too large.");
	}
	if (header->ntensors > MODEL_MAX_TENSORS ||
		header->npayloads > header->ntensors)
		report_corrupt("Its header announces too many tensors or payloads.");
	if (header->directory_size < (uint64) header->npayloads * sizeof(FlatPayload))
		report_corrupt("Its directory is too short.");
	if (header->metadata_size > MODEL_MAX_METADATA ||
		header->recipe_size > MODEL_MAX_METADATA)
		report_corrupt("Its metadata or its recipe is too large.");
}

/* Cannot overflow: numbers below 2^32. */
static uint64
manifest_end(const FlatHeader *header)
{
	return header_size(has_graph(header)) + header->directory_size +
		header->metadata_size + header->recipe_size + header->graph_size;
}

uint64
flat_manifest_end(const char *flat, uint64 available)
{
	FlatHeader	header;

	read_header(&header, flat, available);
	return manifest_end(&header);
}

void
flat_digest(const char *flat, uint64 available, uint8 *digest)
{
	FlatHeader	header;

	read_header(&header, flat, available);
	memcpy(digest, header.digest, MODEL_DIGEST_LENGTH);
}

static void
check_payload_entry(const FlatPayload *entry)
{
	static const uint8 zero[sizeof(entry->zero)] = {0};
	const char *mismatch;

	if (memcmp(entry->zero, zero, sizeof(zero)) != 0)
		report_corrupt("A payload's entry has something in its reserved bytes.");
	mismatch = payload_mismatch(entry->dtype, entry->encoding, entry->count,
								entry->stored);
	if (mismatch != NULL)
		report_corrupt(mismatch);
}

/* Reads the payload table; payloads must end exactly at the value's end. */
static void
parse_payloads(Model *model, const FlatHeader *header, const char *flat,
			   struct LazySource *toast)
{
	const char *next = directory_start(header, flat);
	uint64		end = manifest_end(header);
	uint64		total = header->total_size;

	for (uint32 i = 0; i < header->npayloads; i++)
	{
		FlatPayload entry;
		Payload    *payload;
		uint64		start = align_up(end, MODEL_ALIGNMENT);
		int			index;

		memcpy(&entry, next, sizeof(entry));
		next += sizeof(entry);
		check_payload_entry(&entry);
		if (start > total || entry.stored > total - start)
			report_corrupt("A payload reaches past the end.");
		if (toast != NULL)
			index = model_lazy_payload(model, entry.dtype, entry.encoding,
										  entry.count, entry.stored, toast,
										  start);
		else
		{
			if (!kernel_is_zero(flat + end, start - end))
				report_corrupt("There is something between two payloads.");
			index = model_borrow_payload(model, entry.dtype, entry.encoding,
										 entry.count, entry.stored,
										 flat + start);
		}
		payload = model->payloads[index];
		payload->has_digest = true;
		memcpy(payload->digest, entry.digest, MODEL_DIGEST_LENGTH);
		end = start + entry.stored;
	}
	if (end != total)
		report_corrupt("There are bytes after the last payload.");
}

/* What model_add_tensor refuses too, as an error of the value. */
static void
check_tensor(const Model *model, const FlatTensor *entry, const int64 *dims,
			 const char *name)
{
	const Payload *payload = model->payloads[entry->payload];
	int64		count;

	if (entry->name_length == 0 || entry->name_length > MODEL_MAX_NAME ||
		!pg_verify_mbstr(PG_UTF8, name, entry->name_length, true))
		report_corrupt("A tensor's name is empty, too long or not valid UTF-8.");
	if (!shape_count(entry->ndim, dims, &count) ||
		count != payload->count)
		report_corrupt("A tensor's shape does not have the number of elements of its payload.");
	if (encoding_has_blocks(payload->encoding) && entry->ndim > 0 &&
		dims[entry->ndim - 1] % encoding_block_elements(payload->encoding) != 0)
		report_corrupt("A quantized tensor's rows are not whole blocks.");
}

/* Reads one tensor entry; returns where the next one starts. */
static const char *
parse_tensor(Model *model, const char *next, const char *end,
			 uint32 *payloads_used)
{
	FlatTensor	entry;
	int64		dims[MODEL_MAX_DIMS];
	uint64		dims_size,
				size;

	if (end - next < (ptrdiff_t) sizeof(entry))
		report_corrupt("Its directory is too short.");
	memcpy(&entry, next, sizeof(entry));
	next += sizeof(entry);
	dims_size = entry.ndim * sizeof(int64);
	size = align_up(dims_size + entry.name_length, 8);
	if (entry.ndim > MODEL_MAX_DIMS || entry.zero != 0 || end - next < size)
		report_corrupt("A tensor's entry in the directory is wrong.");
	if (entry.payload > *payloads_used || entry.payload >= model->npayloads)
		report_corrupt("Payloads are not in the order of their first use.");
	if (entry.payload == *payloads_used)
		(*payloads_used)++;
	if (!kernel_is_zero(next + dims_size + entry.name_length,
						size - dims_size - entry.name_length))
		report_corrupt("There is something after a tensor's name.");
	memcpy(dims, next, dims_size);
	check_tensor(model, &entry, dims, next + dims_size);
	model_add_tensor(model, next + dims_size, entry.name_length, entry.ndim,
					 dims, entry.payload);
	return next + size;
}

static void
parse_tensors(Model *model, const FlatHeader *header, const char *flat)
{
	const char *start = directory_start(header, flat);
	const char *next = start + header->npayloads * sizeof(FlatPayload);
	const char *end = start + header->directory_size;
	uint32		payloads_used = 0;

	for (uint32 i = 0; i < header->ntensors; i++)
		next = parse_tensor(model, next, end, &payloads_used);
	if (next != end)
		report_corrupt("Its directory is longer than its tensors.");
	if (payloads_used != header->npayloads)
		report_corrupt("A payload is used by no tensor.");
	model_check_names(model, ERRCODE_INVALID_BINARY_REPRESENTATION);
}

/* A copy of JSON text, as far as it can be checked without a JSON parser. */
static char *
parse_json_text(const char *json, uint32 size, char first, char last)
{
	char	   *copy;

	if (size < 2 || json[0] != first || json[size - 1] != last ||
		!pg_verify_mbstr(PG_UTF8, json, size, true))
		report_corrupt("Its metadata or its recipe is not JSON text.");
	copy = palloc(size + 1);
	memcpy(copy, json, size);
	copy[size] = '\0';
	return copy;
}

static void
parse_texts(Model *model, const FlatHeader *header, const char *flat)
{
	const char *metadata = directory_start(header, flat) +
		header->directory_size;
	const char *recipe = metadata + header->metadata_size;
	char	   *json;

	json = parse_json_text(metadata, header->metadata_size, '{', '}');
	model_set_metadata(model, json);
	pfree(json);
	json = parse_json_text(recipe, header->recipe_size, '[', ']');
	model_set_recipe(model, json);
	pfree(json);
	if (has_graph(header))
		model_set_graph(model, recipe + header->recipe_size,
						header->graph_size);
}

Model *
model_parse(MemoryContext parent, const char *flat, uint64 available,
			uint64 total, struct LazySource *toast)
{
	FlatHeader	header;
	Model	   *model;

	read_header(&header, flat, available);
	if (header.total_size != total)
		report_corrupt("Its size is not the one that its header announces.");
	if (manifest_end(&header) > available)
		report_corrupt("It is too short for its manifest.");
	if (toast == NULL && available < total)
		report_corrupt("It is too short for its payloads.");

	model = model_create(parent);
	parse_payloads(model, &header, flat, toast);
	parse_tensors(model, &header, flat);
	parse_texts(model, &header, flat);
	memcpy(model->digest, header.digest, MODEL_DIGEST_LENGTH);
	model->has_digest = true;
	return model;
}

/* ---------- bytes from outside ---------- */

void
model_verify(Model *model)
{
	uint8		digest[MODEL_DIGEST_LENGTH];

	for (int i = 0; i < model->npayloads; i++)
	{
		Payload    *payload = model->payloads[i];

		const char *problem = encoding_verify(payload);

		if (problem != NULL)
			report_corrupt(problem);
		memcpy(digest, payload->digest, MODEL_DIGEST_LENGTH);
		payload->has_digest = false;
		if (memcmp(digest, payload_digest(payload), MODEL_DIGEST_LENGTH) != 0)
			report_corrupt("A payload does not have the digest that the directory says.");
	}
	memcpy(digest, model->digest, MODEL_DIGEST_LENGTH);
	model->has_digest = false;
	if (memcmp(digest, model_digest(model), MODEL_DIGEST_LENGTH) != 0)
		report_corrupt("It does not have the digest that its header says.");
}
