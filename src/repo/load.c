/*
 * load.c
 *		Models that come in parts.
 *
 * A load's tensors are lazy payloads whose bytes are in the rows of the table
 * "load_part": so a model of any size is committed straight from what the
 * client sent, block by block.  That every byte is there once is the SQL
 * function finish_load's to find out.
 */
#include "postgres.h"

#include "compat.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/lazy.h"
#include "model/model_sql.h"
#include "repo/repo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(modelopt_tensor_bytes);
PG_FUNCTION_INFO_V1(modelopt_open_load);

/* Columns of the table "load_part". */
enum
{
	PART_LOAD = 1,
	PART_TENSOR,
	PART_FIRST_BYTE,
	PART_DATA,
};

/* A payload's offset is its tensor's number. */
typedef struct LoadSource
{
	LazySource	source;			/* must be first */
	Oid			table;
	int64		load_id;
} LoadSource;

/* ---------- parts ---------- */

/* Copies what a part has of the bytes from offset on, of which at most n are
 * wanted; returns how many it had. */
static uint64
copy_part(Relation table, HeapTuple row, uint64 offset, uint64 n, char *dst)
{
	TupleDesc	columns = RelationGetDescr(table);
	bool		isnull;
	int64		first = DatumGetInt64(heap_getattr(row, PART_FIRST_BYTE, columns, &isnull));
	Datum		data = heap_getattr(row, PART_DATA, columns, &isnull);
	uint64		size = toast_raw_datum_size(data) - VARHDRSZ;
	uint64		skip = offset - first;
	struct varlena *slice;

	if (skip >= size)
		return 0;
	n = Min(n, size - skip);
	slice = PG_DETOAST_DATUM_SLICE(data, skip, n);
	memcpy(dst, VARDATA_ANY(slice), n);
	if ((Pointer) slice != DatumGetPointer(data))
		pfree(slice);
	return n;
}

/* The same of the part that begins last before or at offset. */
static uint64
copy_from_part(LoadSource *load, Relation table, Relation key,
			   uint64 tensor, uint64 offset, uint64 n, char *dst)
{
	ScanKeyData bounds[3];
	SysScanDesc scan;
	HeapTuple	row;
	uint64		copied = 0;

	ScanKeyInit(&bounds[0], PART_LOAD, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(load->load_id));
	ScanKeyInit(&bounds[1], PART_TENSOR, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum((int32) tensor));
	ScanKeyInit(&bounds[2], PART_FIRST_BYTE, BTLessEqualStrategyNumber,
				F_INT8LE, Int64GetDatum((int64) offset));
	scan = systable_beginscan_ordered(table, key, load->source.snapshot, 3,
									  bounds);
	row = systable_getnext_ordered(scan, BackwardScanDirection);
	if (row != NULL)
		copied = copy_part(table, row, offset, n, dst);
	systable_endscan_ordered(scan);
	return copied;
}

static void
read_parts(LazySource *source, const Payload *payload, uint64 offset,
		   uint64 length, char *dst)
{
	LoadSource *load = (LoadSource *) source;
	Relation	table = table_open(load->table, AccessShareLock);
	Relation	key = index_open(repo_relation("load_part_pkey"), AccessShareLock);

	while (length > 0)
	{
		uint64		copied = copy_from_part(load, table, key,
											payload->lazy_offset, offset,
											length, dst);

		CHECK_FOR_INTERRUPTS();
		if (copied == 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("load " INT64_FORMAT " is not complete",
							load->load_id)));
		offset += copied;
		dst += copied;
		length -= copied;
	}
	index_close(key, AccessShareLock);
	table_close(table, AccessShareLock);
}

static const char *
loads_gone(LazySource *source)
{
	if (repo_has_relation("load_part", ((LoadSource *) source)->table))
		return NULL;
	return "the model repository has been dropped";
}

static void
release_nothing(LazySource *source)
{
}

static const LazyMethods load_methods = {
	.transactional = true,
	.gone = loads_gone,
	.read = read_parts,
	.release = release_nothing,
};

/* ---------- tensors ---------- */

static DType
find_dtype(const char *name)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = DTYPE_INVALID + 1; dtype_info(i) != NULL; i++)
	{
		if (strcmp(dtype_info(i)->name, name) == 0)
			return i;
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 dtype_info(i)->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized dtype \"%s\"", name),
			 errhint("Dtypes are %s.", names.data)));
}

/* Elements of a shape. */
static int64
count_elements(ArrayType *shape)
{
	int64		count;

	if (ARR_NDIM(shape) > 1 || ARR_HASNULL(shape) ||
		!shape_count(ARR_NDIM(shape) == 0 ? 0 : ARR_DIMS(shape)[0],
					 (const int64 *) ARR_DATA_PTR(shape), &count))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid shape of a tensor"),
				 errdetail("A shape is a list of dimensions, none of them negative, which may not have more elements than memory could.")));
	return count;
}

Datum
modelopt_tensor_bytes(PG_FUNCTION_ARGS)
{
	DType		dtype = find_dtype(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_INT64(dtype_bytes(dtype, count_elements(PG_GETARG_ARRAYTYPE_P(1))));
}

/* Columns of the query for tensors. */
enum
{
	TENSOR_NAME = 1,
	TENSOR_DTYPE,
	TENSOR_SHAPE,
	TENSOR_NUMBER,
	TENSOR_TIED_TO,
};

static const char select_tensors[] =
"SELECT name, dtype, shape, number, tied_to FROM modelopt_private.load_tensor "
"WHERE load_id = $1 ORDER BY number";

/* Tensors are numbered from 1 on, and those that have elements of their own
 * come before those that are tied to them. */
static void
add_tensor(Model *model, LazySource *source, uint64 row, int *payloads)
{
	HeapTuple	tuple = SPI_tuptable->vals[row];
	TupleDesc	columns = SPI_tuptable->tupdesc;
	bool		isnull;
	char	   *name = text_to_utf8(DatumGetTextPP(SPI_getbinval(tuple, columns, TENSOR_NAME, &isnull)));
	DType		dtype = find_dtype(SPI_getvalue(tuple, columns, TENSOR_DTYPE));
	ArrayType  *shape = DatumGetArrayTypeP(SPI_getbinval(tuple, columns, TENSOR_SHAPE, &isnull));
	int64		count = count_elements(shape);
	int32		number = DatumGetInt32(SPI_getbinval(tuple, columns, TENSOR_NUMBER, &isnull));
	int32		tied_to = DatumGetInt32(SPI_getbinval(tuple, columns, TENSOR_TIED_TO, &isnull));

	if (isnull)
		payloads[row] = model_lazy_payload(model, dtype, ENCODING_DENSE, count,
										   dtype_bytes(dtype, count), source,
										   number);
	else
	{
		if (tied_to < 1 || (uint64) tied_to > row)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("tensor \"%s\" is tied to one that does not come before it",
							utf8_to_server(name))));
		payloads[row] = payloads[tied_to - 1];
		if (model->payloads[payloads[row]]->dtype != dtype)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("tensor \"%s\" has another dtype than the one it is tied to",
							utf8_to_server(name))));
	}
	model_add_tensor(model, name, strlen(name),
					 ARR_NDIM(shape) == 0 ? 0 : ARR_DIMS(shape)[0],
					 (const int64 *) ARR_DATA_PTR(shape), payloads[row]);
}

static Model *
open_load(MemoryContext context, int64 load_id, Jsonb *metadata)
{
	Model	   *model = model_create(context);
	LoadSource *source;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(load_id)};
	int		   *payloads;

	model_set_metadata(model, jsonb_to_json_text(metadata));
	SPI_execute_with_args(select_tensors, 1, types, values, NULL, true, 0);
	payloads = palloc_extended((SPI_processed + 1) * sizeof(int),
							   MCXT_ALLOC_HUGE);
	source = (LoadSource *) lazy_source_create(sizeof(LoadSource), &load_methods);
	source->table = repo_relation("load_part");
	source->load_id = load_id;
	for (uint64 row = 0; row < SPI_processed; row++)
		add_tensor(model, &source->source, row, payloads);
	lazy_source_release_unused(&source->source);
	model_check_names(model, ERRCODE_INVALID_PARAMETER_VALUE);
	return model;
}

/* ---------- what came from outside ---------- */

static bool
has_valid_elements(Payload *payload)
{
	uint64		bytes = dtype_bytes(payload->dtype, payload->count);
	PayloadReader *reader;
	const void *elements;
	int64		n;
	bool		valid = true;
	uint8		last;

	if (dtype_bits(payload->dtype) == 4 && payload->count % 2 != 0)
	{
		payload_copy_part(payload, bytes - 1, 1, (char *) &last);
		return (last >> 4) == 0;
	}
	if (payload->dtype != DTYPE_BOOL)
		return true;
	reader = payload_reader_create(payload);
	while (valid && (n = payload_reader_next(reader, &elements)) > 0)
		valid = kernel_is_bool(elements, n);
	payload_reader_free(reader);
	return valid;
}

static void
check_elements(Model *model)
{
	for (int i = 0; i < model->ntensors; i++)
	{
		if (!has_valid_elements(tensor_payload(model, &model->tensors[i])))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("tensor \"%s\" has elements that its dtype does not have",
							utf8_to_server(model->tensors[i].name))));
	}
}

Datum
modelopt_open_load(PG_FUNCTION_ARGS)
{
	Model	   *model;
	MemoryContext context = CurrentMemoryContext;

	SPI_connect();
	model = open_load(context, PG_GETARG_INT64(0), PG_GETARG_JSONB_P(1));
	SPI_finish();
	if (PG_GETARG_BOOL(2))
		check_elements(model);
	PG_RETURN_MODEL(model);
}
