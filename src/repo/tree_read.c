/*
 * tree_read.c
 *		The model of a version, whose weights stay where they are.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "model/lazy.h"
#include "model/model_sql.h"
#include "repo/object.h"
#include "repo/tree.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Columns of the query for a tree's entries. */
enum
{
	ENTRY_NAME = 1,
	ENTRY_SHAPE,
	ENTRY_PAYLOAD,
	ENTRY_OBJECT,
	ENTRY_DTYPE,
	ENTRY_ENCODING,
	ENTRY_COUNT,
	ENTRY_FORM_BYTES,
	ENTRY_CONTENT,
	ENTRY_ZEROS,
};

static const char select_entries[] =
"SELECT e.name, e.shape, e.payload, o.id, o.dtype, o.encoding, o.count, o.form_bytes, o.content, o.zeros "
"FROM modelopt_private.tree_entry e JOIN modelopt_private.object o ON o.id = e.object_id "
"WHERE e.tree_id = $1 ORDER BY e.number";

static const char select_tree[] =
"SELECT metadata_id, graph_id, tensors, model_digest FROM modelopt_private.tree WHERE id = $1";

static void
report_damaged(int64 tree_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("tree " INT64_FORMAT " of the model repository is damaged",
					tree_id),
			 errhint("modelopt.verify() lists the versions that are damaged.")));
}

static Datum
get_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

static void
select_by_tree(const char *query, int64 tree_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(tree_id)};

	if (SPI_execute_with_args(query, 1, types, values, NULL, true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not read a tree");
}

/* ---------- tensors ---------- */

static void
set_digest(uint8 *digest, Datum value)
{
	bytea	   *bytes = DatumGetByteaPP(value);

	if (VARSIZE_ANY_EXHDR(bytes) == MODEL_DIGEST_LENGTH)
		memcpy(digest, VARDATA_ANY(bytes), MODEL_DIGEST_LENGTH);
}

/* The payload of an entry, which is new unless an earlier tensor has it. */
static int
add_payload(Model *model, LazySource *source, uint64 row)
{
	bool		isnull;
	int			number = DatumGetInt32(get_value(row, ENTRY_PAYLOAD, &isnull));
	int			dtype = DatumGetInt16(get_value(row, ENTRY_DTYPE, &isnull));
	int			encoding = DatumGetInt16(get_value(row, ENTRY_ENCODING, &isnull));
	Payload    *payload;
	int64		zeros;

	if (number < model->npayloads)
		return number;
	if (number > model->npayloads || dtype_info(dtype) == NULL ||
		encoding_info(encoding) == NULL)
		return -1;
	number = model_lazy_payload(model, dtype, encoding,
								DatumGetInt64(get_value(row, ENTRY_COUNT, &isnull)),
								DatumGetInt64(get_value(row, ENTRY_FORM_BYTES, &isnull)),
								source,
								DatumGetInt64(get_value(row, ENTRY_OBJECT, &isnull)));
	payload = model->payloads[number];
	set_digest(payload->digest, get_value(row, ENTRY_CONTENT, &isnull));
	payload->has_digest = true;
	zeros = DatumGetInt64(get_value(row, ENTRY_ZEROS, &isnull));
	if (!isnull && zeros >= 0 && zeros <= payload->count)
		payload->zeros = zeros;
	return number;
}

static void
add_tensors(Model *model, int64 tree_id)
{
	LazySource *source = object_source_create();

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool		isnull;
		char	   *name = text_to_utf8(DatumGetTextPP(get_value(row, ENTRY_NAME, &isnull)));
		ArrayType  *shape = DatumGetArrayTypeP(get_value(row, ENTRY_SHAPE, &isnull));
		int			payload = add_payload(model, source, row);

		if (payload < 0 || ARR_NDIM(shape) > 1 || ARR_HASNULL(shape))
			report_damaged(tree_id);
		model_add_tensor(model, name, strlen(name),
						 ARR_NDIM(shape) == 0 ? 0 : ARR_DIMS(shape)[0],
						 (const int64 *) ARR_DATA_PTR(shape), payload);
	}
	lazy_source_release_unused(source);
}

/* ---------- metadata and graph ---------- */

/* The bytes of an object, in the current context, with a NUL behind them. */
static char *
read_object_bytes(int64 object_id, uint64 limit, uint64 *n)
{
	ObjectReader *reader = object_reader_create(object_id, GetActiveSnapshot());
	char	   *bytes;

	*n = object_reader_layout(reader).bytes;
	if (*n > limit)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("object " INT64_FORMAT " of the model repository is damaged",
						object_id)));
	bytes = palloc(*n + 1);
	object_reader_read(reader, 0, *n, bytes);
	bytes[*n] = '\0';
	object_reader_free(reader);
	return bytes;
}

static void
read_head(Model *model, int64 tree_id, int *ntensors)
{
	bool		isnull;
	int64		metadata;
	int64		graph;
	bool		no_metadata;
	bool		no_graph;
	uint64		n;

	select_by_tree(select_tree, tree_id);
	if (SPI_processed != 1)
		report_damaged(tree_id);
	metadata = DatumGetInt64(get_value(0, 1, &no_metadata));
	graph = DatumGetInt64(get_value(0, 2, &no_graph));
	*ntensors = DatumGetInt32(get_value(0, 3, &isnull));
	if (!no_metadata)
		model_set_metadata(model, read_object_bytes(metadata, MODEL_MAX_METADATA, &n));
	if (!no_graph)
	{
		char	   *bytes = read_object_bytes(graph, MODEL_MAX_GRAPH, &n);

		model_set_graph(model, bytes, n);
	}
}

Model *
tree_read(MemoryContext context, int64 tree_id, const char *recipe)
{
	Model	   *model = model_create(context);
	int			ntensors;

	read_head(model, tree_id, &ntensors);
	select_by_tree(select_entries, tree_id);
	if (SPI_processed != ntensors)
		report_damaged(tree_id);
	add_tensors(model, tree_id);
	model_set_recipe(model, recipe);
	return model;
}
