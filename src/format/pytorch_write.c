/*
 * pytorch_write.c
 *		Writes a model as torch.save writes a state_dict.
 *
 * Owns the pickle of tensors and the records around it; the archive is
 * zip_write.c's, and module versions are pytorch_write_metadata.c's.  What is
 * written is what torch.load(weights_only=True) takes: an OrderedDict of
 * contiguous tensors in the model's order, of which tied ones share a
 * storage.  No opcode is used that torch 1.13 does not know, and nothing is
 * memoized, so a reader's memory does not grow with the number of tensors.
 *
 * Encodings are not torch's: sparse payloads are written densely.
 */
#include "postgres.h"

#include "format/pytorch.h"
#include "format/pytorch_write.h"
#include "format/zip.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#define ROOT			"archive/"
#define DATA_PREFIX		ROOT "data/"

/* A storage is written for each payload that a tensor uses. */
#define NO_STORAGE		(-1)

typedef struct TorchStorage
{
	DType		dtype;
	const char *class;			/* of typed storages, or NULL */
	const char *torch_dtype;	/* of untyped ones, which came later */
} TorchStorage;

static const TorchStorage torch_storages[] = {
	{DTYPE_F64, "DoubleStorage", NULL},
	{DTYPE_F32, "FloatStorage", NULL},
	{DTYPE_F16, "HalfStorage", NULL},
	{DTYPE_BF16, "BFloat16Storage", NULL},
	{DTYPE_I64, "LongStorage", NULL},
	{DTYPE_I32, "IntStorage", NULL},
	{DTYPE_I16, "ShortStorage", NULL},
	{DTYPE_I8, "CharStorage", NULL},
	{DTYPE_U8, "ByteStorage", NULL},
	{DTYPE_BOOL, "BoolStorage", NULL},
	{DTYPE_F8E4M3, NULL, "float8_e4m3fn"},
	{DTYPE_F8E5M2, NULL, "float8_e5m2"},
	{DTYPE_F8E4M3FNUZ, NULL, "float8_e4m3fnuz"},
	{DTYPE_F8E5M2FNUZ, NULL, "float8_e5m2fnuz"},
	{DTYPE_F8E8M0, NULL, "float8_e8m0fnu"},
	{DTYPE_U16, NULL, "uint16"},
	{DTYPE_U32, NULL, "uint32"},
	{DTYPE_U64, NULL, "uint64"},
};

/* Which payloads are written, and under which key. */
typedef struct StorageMap
{
	int		   *keys;			/* of each payload, or NO_STORAGE */
	int		   *payloads;		/* of each key */
	int			count;
} StorageMap;

/* ---------- what is written ---------- */

static const TorchStorage *
find_torch_storage(DType dtype)
{
	for (size_t i = 0; i < lengthof(torch_storages); i++)
	{
		if (torch_storages[i].dtype == dtype)
			return &torch_storages[i];
	}
	return NULL;
}

/* Numbers the payloads in the order in which tensors use them. */
static void
map_storages(const Model *model, StorageMap *map)
{
	map->keys = palloc(Max(model->npayloads, 1) * sizeof(int));
	map->payloads = palloc(Max(model->npayloads, 1) * sizeof(int));
	map->count = 0;
	for (int i = 0; i < model->npayloads; i++)
		map->keys[i] = NO_STORAGE;

	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];
		DType		dtype = tensor_payload(model, tensor)->dtype;

		if (find_torch_storage(dtype) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("PyTorch has no tensors of dtype %s",
							dtype_name(dtype)),
					 errdetail("Tensor \"%s\" has this dtype.",
							   pg_any_to_server(tensor->name,
												strlen(tensor->name),
												PG_UTF8)),
					 errhint("Store its elements in a tensor of 8 or more bits.")));
		if (map->keys[tensor->payload] != NO_STORAGE)
			continue;
		map->keys[tensor->payload] = map->count;
		map->payloads[map->count++] = tensor->payload;
	}
}

/* ---------- the pickle ---------- */

void
pytorch_put_string(StringInfo out, const char *s, size_t length)
{
	uint8		header[5] = {'X', length & 0xff, length >> 8 & 0xff,
	length >> 16 & 0xff, length >> 24 & 0xff};

	appendBinaryStringInfo(out, (const char *) header, sizeof(header));
	appendBinaryStringInfo(out, s, length);
}

/* The shortest of the four opcodes that hold an integer. */
void
pytorch_put_int(StringInfo out, int64 value)
{
	uint8		bytes[10];
	int			length = 0;
	uint64		rest = (uint64) value;
	int			width;

	if (value >= 0 && value <= PG_UINT8_MAX)
	{
		bytes[length++] = 'K';
		width = 1;
	}
	else if (value >= 0 && value <= PG_UINT16_MAX)
	{
		bytes[length++] = 'M';
		width = 2;
	}
	else if (value >= PG_INT32_MIN && value <= PG_INT32_MAX)
	{
		bytes[length++] = 'J';
		width = 4;
	}
	else
	{
		bytes[length++] = 0x8a; /* LONG1 */
		bytes[length++] = width = 8;
	}
	for (int i = 0; i < width; i++, rest >>= 8)
		bytes[length++] = rest & 0xff;
	appendBinaryStringInfo(out, (const char *) bytes, length);
}

void
pytorch_put_ordered_dict(StringInfo out)
{
	appendStringInfoString(out, "ccollections\nOrderedDict\n)R");
}

/* A tuple of a shape or of strides; MARK and TUPLE serve every length. */
static void
put_numbers(StringInfo out, const int64 *numbers, int n)
{
	appendStringInfoChar(out, '(');
	for (int i = 0; i < n; i++)
		pytorch_put_int(out, numbers[i]);
	appendStringInfoChar(out, 't');
}

/* Row-major strides, as torch counts them: an empty dimension is one. */
static void
put_strides(StringInfo out, const Tensor *tensor)
{
	int64		strides[MODEL_MAX_DIMS];
	int64		stride = 1;

	for (int i = tensor->ndim - 1; i >= 0; i--)
	{
		strides[i] = stride;
		stride *= Max(tensor->dims[i], 1);	/* shape_count has multiplied it */
	}
	put_numbers(out, strides, tensor->ndim);
}

/* The persistent id of a storage: ("storage", class, key, place, count). */
static void
put_storage(StringInfo out, const Payload *payload, int key)
{
	const TorchStorage *torch = find_torch_storage(payload->dtype);
	char		digits[12];
	int64		count = payload->count;

	appendStringInfoChar(out, '(');
	pytorch_put_string(out, "storage", 7);
	if (torch->class != NULL)
		appendStringInfo(out, "ctorch\n%s\n", torch->class);
	else
	{
		appendStringInfoString(out, "ctorch.storage\nUntypedStorage\n");
		count = (int64) dtype_bytes(payload->dtype, count);
	}
	pytorch_put_string(out, digits, snprintf(digits, sizeof(digits), "%d", key));
	pytorch_put_string(out, "cpu", 3);
	pytorch_put_int(out, count);
	appendStringInfoString(out, "tQ");
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks), or
 * _v3 with a dtype at the end, for storages without one. */
static void
put_tensor(StringInfo out, const Model *model, const Tensor *tensor,
		   const StorageMap *map)
{
	const Payload *payload = tensor_payload(model, tensor);
	const TorchStorage *torch = find_torch_storage(payload->dtype);

	appendStringInfo(out, "ctorch._utils\n_rebuild_tensor_v%d\n(",
					 torch->class != NULL ? 2 : 3);
	put_storage(out, payload, map->keys[tensor->payload]);
	pytorch_put_int(out, 0);
	put_numbers(out, tensor->dims, tensor->ndim);
	put_strides(out, tensor);
	appendStringInfoChar(out, '\x89');	/* False */
	pytorch_put_ordered_dict(out);
	if (torch->class == NULL)
		appendStringInfo(out, "ctorch\n%s\n", torch->torch_dtype);
	appendStringInfoString(out, "tR");
}

static void
put_state_dict(StringInfo out, const Model *model, const StorageMap *map)
{
	appendStringInfoString(out, "\x80\x02");	/* protocol 2 */
	pytorch_put_ordered_dict(out);
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		CHECK_FOR_INTERRUPTS();
		pytorch_put_string(out, tensor->name, strlen(tensor->name));
		put_tensor(out, model, tensor, map);
		appendStringInfoChar(out, 's');
	}
	pytorch_put_module_versions(out, model->metadata);
	appendStringInfoChar(out, '.');
}

/* ---------- the records ---------- */

static void
announce_records(ZipWriter *writer, const Model *model, const StorageMap *map,
				 uint64 pickle_size)
{
	zip_writer_announce(writer, ROOT "data.pkl", pickle_size);
	zip_writer_announce(writer, ROOT "byteorder", strlen("little"));
	for (int i = 0; i < map->count; i++)
	{
		const Payload *payload = model->payloads[map->payloads[i]];

		zip_writer_announce(writer, psprintf(DATA_PREFIX "%d", i),
							dtype_bytes(payload->dtype, payload->count));
	}
	zip_writer_announce(writer, ROOT "version", strlen("3\n"));
}

static void
write_payload(ZipWriter *writer, Payload *payload)
{
	PayloadReader *reader = payload_reader_create(payload);
	const void *elements;
	int64		n;

	zip_writer_begin(writer);
	while ((n = payload_reader_next(reader, &elements)) > 0)
		zip_writer_append(writer, elements, dtype_bytes(payload->dtype, n));
	payload_reader_free(reader);
}

void
pytorch_write(Model *model, Sink *sink)
{
	ZipWriter  *writer = zip_writer_create(sink);
	StringInfoData pickle;
	StorageMap	map;

	map_storages(model, &map);
	initStringInfo(&pickle);
	put_state_dict(&pickle, model, &map);
	announce_records(writer, model, &map, pickle.len);

	zip_writer_start(writer);
	zip_writer_begin(writer);
	zip_writer_append(writer, pickle.data, pickle.len);
	pfree(pickle.data);
	zip_writer_begin(writer);
	zip_writer_append(writer, "little", strlen("little"));
	for (int i = 0; i < map.count; i++)
		write_payload(writer, model->payloads[map.payloads[i]]);
	zip_writer_begin(writer);
	zip_writer_append(writer, "3\n", strlen("3\n"));
	zip_writer_finish(writer);
}
