/*
 * gguf_write.c
 *		Writes a model as a GGUF file.
 *
 * A model that was read from such a file gives the same bytes again; one from
 * elsewhere gets the metadata that the format asks for.  The format has no
 * ties: every name gets elements of its own.
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "format/gguf.h"
#include "kernel/kernel.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* What models from elsewhere say of themselves. */
#define ARCHITECTURE "modelopt"

/* Bytes put at once where they are copied or converted first. */
#define STRETCH		((uint64) 256 * 1024)

/* What tensors of floats are to become. */
typedef struct Target
{
	const char *name;
	DType		dtype;
	Encoding	encoding;
	int			file_type;		/* general.file_type of ggml's programs */
} Target;

static const Target targets[] = {
	{"f32", DTYPE_F32, ENCODING_DENSE, 0},
	{"f16", DTYPE_F16, ENCODING_DENSE, 1},
	{"bf16", DTYPE_BF16, ENCODING_DENSE, 32},
	{"q8_0", DTYPE_F32, ENCODING_Q8_0, 7},
	{"q4_0", DTYPE_F32, ENCODING_Q4_0, 2},
};

typedef struct Entry
{
	const Tensor *tensor;
	Payload    *payload;
	const GgufType *type;
	uint64		offset;			/* from the first tensor's elements */
} Entry;

static char *
printable_name(const Tensor *tensor)
{
	return pg_any_to_server(tensor->name, strlen(tensor->name), PG_UTF8);
}

/* ---------- what is written as what ---------- */

static const Target *
target_by_name(const char *name)
{
	for (int i = 0; i < lengthof(targets); i++)
	{
		if (strcmp(targets[i].name, name) == 0)
			return &targets[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tensors of GGUF files cannot be written as \"%s\"", name),
			 errhint("The types are: f32, f16, bf16, q8_0, q4_0.")));
	return NULL;
}

/* The type that a tensor has in the model. */
static const GgufType *
own_type(const Tensor *tensor, const Payload *payload)
{
	Encoding	encoding = encoding_has_blocks(payload->encoding) ?
		payload->encoding : ENCODING_DENSE;
	const GgufType *type = gguf_type_of(payload->dtype, encoding);

	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("GGUF has no tensors of dtype %s",
						dtype_name(payload->dtype)),
				 errdetail("Tensor \"%s\" has this dtype.",
						   printable_name(tensor)),
				 dtype_is_float(payload->dtype) ?
				 errhint("Choose the type that tensors of floats are written in, such as f16.") : 0));
	return type;
}

static const GgufType *
choose_type(const Tensor *tensor, const Payload *payload, const Target *target)
{
	int64		row = tensor->ndim > 0 ? tensor->dims[tensor->ndim - 1] : 1;
	const GgufType *type;

	if (target == NULL || !dtype_is_float(payload->dtype))
		return own_type(tensor, payload);
	if (tensor->ndim < 2)
		return gguf_type_of(DTYPE_F32, ENCODING_DENSE);
	type = gguf_type_of(target->dtype, target->encoding);
	if (row % gguf_type_block(type) != 0)
		return gguf_type_of(DTYPE_F16, ENCODING_DENSE);
	return type;
}

static void
check_tensor(const Entry *entry)
{
	const Tensor *tensor = entry->tensor;
	int			row_blocks = gguf_type_block(entry->type);

	if (strlen(tensor->name) > GGUF_MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("GGUF has no tensors with names of %zu bytes",
						strlen(tensor->name)),
				 errdetail("Tensor \"%s\" has such a name, and at most %d bytes are allowed.",
						   printable_name(tensor), GGUF_MAX_NAME)));
	if (tensor->ndim > GGUF_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("GGUF has no tensors of %d dimensions", tensor->ndim),
				 errdetail("Tensor \"%s\" has so many, and at most %d are allowed.",
						   printable_name(tensor), GGUF_MAX_DIMS)));
	if (entry->payload->count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("GGUF has no tensors without elements"),
				 errdetail("Tensor \"%s\" has none.", printable_name(tensor))));
	if (row_blocks > 1 && tensor->dims[tensor->ndim - 1] % row_blocks != 0)
		elog(ERROR, "rows of quantized tensor \"%s\" are not whole blocks",
			 printable_name(tensor));
}

/* Returns how many bytes the elements take, with padding. */
static uint64
make_entries(const Model *model, const Target *target, uint64 alignment,
			 Entry *entries)
{
	uint64		at = 0;

	for (int i = 0; i < model->ntensors; i++)
	{
		Entry	   *entry = &entries[i];

		entry->tensor = &model->tensors[i];
		entry->payload = tensor_payload(model, entry->tensor);
		entry->type = choose_type(entry->tensor, entry->payload, target);
		check_tensor(entry);
		entry->offset = at;
		at = gguf_align(at + gguf_type_bytes(entry->type,
											 entry->payload->count),
						alignment);
	}
	return at;
}

static bool
has_blocks(const Model *model, const Target *target)
{
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		if (encoding_has_blocks(choose_type(tensor,
											tensor_payload(model, tensor),
											target)->encoding))
			return true;
	}
	return false;
}

/* ---------- header ---------- */

static void
put_number(StringInfo out, uint64 value, int width)
{
	appendBinaryStringInfo(out, (const char *) &value, width);
}

static void
put_entry(StringInfo out, const Entry *entry)
{
	const Tensor *tensor = entry->tensor;
	int			length = strlen(tensor->name);

	put_number(out, length, 8);
	appendBinaryStringInfo(out, tensor->name, length);
	put_number(out, tensor->ndim, 4);
	for (int i = tensor->ndim; i-- > 0;)
		put_number(out, tensor->dims[i], 8);
	put_number(out, entry->type->number, 4);
	put_number(out, entry->offset, 8);
}

/* Everything before the elements, padding included. */
static void
put_header(StringInfo out, const Model *model, const GgufMetadata *metadata,
		   const Entry *entries)
{
	appendStringInfoString(out, "GGUF");
	put_number(out, metadata->version, 4);
	put_number(out, model->ntensors, 8);
	put_number(out, metadata->nkeys, 8);
	appendBinaryStringInfo(out, metadata->bytes.data, metadata->bytes.len);
	for (int i = 0; i < model->ntensors; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_entry(out, &entries[i]);
	}
	while (out->len % metadata->alignment != 0)
		appendStringInfoChar(out, '\0');
}

/* ---------- elements ---------- */

/* The blocks as they are. */
static void
put_stored(Sink *sink, uint64 at, Payload *payload)
{
	char	   *buffer = palloc(Min(STRETCH, payload->stored));

	for (uint64 done = 0; done < payload->stored; done += STRETCH)
	{
		uint64		n = Min(STRETCH, payload->stored - done);

		CHECK_FOR_INTERRUPTS();
		payload_copy_part(payload, done, n, buffer);
		sink->put(sink, at + done, buffer, n);
	}
	pfree(buffer);
}

pg_noreturn static void
refuse_element(const Entry *entry, const char *element)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("tensor \"%s\" cannot be written as %s",
					printable_name(entry->tensor), entry->type->name),
			 errdetail("It has an element that is %s.", element)));
	pg_unreachable();
}

static int64
count_infinities(DType dtype, const void *elements, int64 n, double *stage)
{
	int64		infinities = 0;

	dtype_to_double(dtype, elements, 0, n, stage);
	for (int64 i = 0; i < n; i++)
		infinities += isinf(stage[i]) ? 1 : 0;
	return infinities;
}

/* What elements are converted in, a chunk each. */
typedef struct Stage
{
	float		floats[PAYLOAD_CHUNK];
	double		doubles[PAYLOAD_CHUNK];
	char		converted[PAYLOAD_CHUNK * sizeof(float)];
} Stage;

/* Raises when an element does not fit; infinities may stay what they are where
 * there is such a thing. */
static void
convert_elements(const Entry *entry, const void *elements, int64 n,
				 Stage *stage)
{
	const GgufType *type = entry->type;
	DType		from = entry->payload->dtype;

	dtype_to_float(from, elements, 0, n, stage->floats);
	if (encoding_has_blocks(type->encoding))
	{
		if (!kernel_block_encode(encoding_info(type->encoding)->block,
								 stage->converted, stage->floats,
								 n / gguf_type_block(type)))
			refuse_element(entry, "infinite, not a number, or too large");
		return;
	}
	(void) dtype_from_float(type->dtype, stage->floats, n, stage->converted);
	if (count_infinities(type->dtype, stage->converted, n, stage->doubles) !=
		count_infinities(from, elements, n, stage->doubles))
		refuse_element(entry, "too large");
}

static void
put_converted(Sink *sink, uint64 at, const Entry *entry)
{
	PayloadReader *reader = payload_reader_create(entry->payload);
	Stage	   *stage = palloc(sizeof(Stage));
	const void *elements;
	int64		n;

	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		uint64		bytes = gguf_type_bytes(entry->type, n);

		convert_elements(entry, elements, n, stage);
		sink->put(sink, at, stage->converted, bytes);
		at += bytes;
	}
	pfree(stage);
	payload_reader_free(reader);
}

static void
put_elements(Sink *sink, uint64 at, const Entry *entry)
{
	const Payload *payload = entry->payload;

	if (encoding_has_blocks(payload->encoding) &&
		payload->encoding == entry->type->encoding)
		put_stored(sink, at, entry->payload);
	else if (payload->dtype == entry->type->dtype &&
			 !encoding_has_blocks(entry->type->encoding))
		sink_put_payload(sink, at, entry->payload);
	else
		put_converted(sink, at, entry);
}

static void
write_file(Model *model, Sink *sink, const Target *target)
{
	GgufAdditions additions = {.file_type = -1};
	GgufMetadata metadata;
	Entry	   *entries = palloc(Max(model->ntensors, 1) * sizeof(Entry));
	StringInfoData header;
	uint64		size;

	if (!gguf_has_metadata(model))
		additions.architecture = ARCHITECTURE;
	if (target != NULL)
		additions.file_type = target->file_type;
	if (target != NULL || additions.architecture != NULL)
		additions.is_quantized = has_blocks(model, target);
	gguf_write_metadata(model, &additions, &metadata);
	size = make_entries(model, target, metadata.alignment, entries);
	initStringInfo(&header);
	put_header(&header, model, &metadata, entries);

	sink->start(sink, header.len + size);
	sink->put(sink, 0, header.data, header.len);
	for (int i = 0; i < model->ntensors; i++)
	{
		uint64		at = header.len + entries[i].offset;
		uint64		end = at + gguf_type_bytes(entries[i].type,
											   entries[i].payload->count);

		put_elements(sink, at, &entries[i]);
		sink_put_zeros(sink, end, gguf_align(end, metadata.alignment));
	}
	pfree(header.data);
	pfree(metadata.bytes.data);
	pfree(entries);
}

void
gguf_write(Model *model, Sink *sink)
{
	write_file(model, sink, NULL);
}

void
gguf_write_as(Model *model, Sink *sink, const char *type)
{
	write_file(model, sink, target_by_name(type));
}
