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
"SELECT metadata_id, graph_id, tensors, model_digest, forgotten_at IS NOT NULL "
"FROM modelopt_private.tree WHERE id = $1";

static void
report_damaged(int64 tree_id, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("tree " INT64_FORMAT " of the model repository is damaged",
					tree_id),
			 errdetail_internal("%s", detail),
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
set_digest(uint8 *digest, Datum value, int64 tree_id)
{
	bytea	   *bytes = DatumGetByteaPP(value);

	if (VARSIZE_ANY_EXHDR(bytes) != MODEL_DIGEST_LENGTH)
		report_damaged(tree_id, "A digest has another length.");
	memcpy(digest, VARDATA_ANY(bytes), MODEL_DIGEST_LENGTH);
}

/* The payload of an entry, which is new unless an earlier tensor has it. */
static int
add_payload(Model *model, LazySource *source, uint64 row, int64 tree_id)
{
	bool		isnull;
	int			number = DatumGetInt32(get_value(row, ENTRY_PAYLOAD, &isnull));
	int			dtype = DatumGetInt16(get_value(row, ENTRY_DTYPE, &isnull));
	int			encoding = DatumGetInt16(get_value(row, ENTRY_ENCODING, &isnull));
	int64		count = DatumGetInt64(get_value(row, ENTRY_COUNT, &isnull));
	int64		form_bytes = DatumGetInt64(get_value(row, ENTRY_FORM_BYTES, &isnull));
	const char *mismatch = payload_mismatch(dtype, encoding, count, form_bytes);
	Payload    *payload;
	int64		zeros;

	if (number < 0 || number > model->npayloads)
		report_damaged(tree_id, "Its payloads are numbered otherwise.");
	if (number < model->npayloads)
		return number;
	if (mismatch != NULL)
		report_damaged(tree_id, mismatch);
	number = model_lazy_payload(model, dtype, encoding, count, form_bytes,
								source,
								DatumGetInt64(get_value(row, ENTRY_OBJECT, &isnull)));
	payload = model->payloads[number];
	set_digest(payload->digest, get_value(row, ENTRY_CONTENT, &isnull), tree_id);
	payload->has_digest = true;
	zeros = DatumGetInt64(get_value(row, ENTRY_ZEROS, &isnull));
	if (!isnull && zeros >= 0 && zeros <= payload->count)
		payload->zeros = zeros;
	return number;
}

/* What model_add_tensor refuses too, as an error of the tree. */
static void
check_tensor(const Model *model, const char *name, ArrayType *shape,
			 int payload, int64 tree_id)
{
	int			ndim = ARR_NDIM(shape) == 0 ? 0 : ARR_DIMS(shape)[0];
	int64		count;

	if (ARR_NDIM(shape) > 1 || ARR_HASNULL(shape) || ndim > MODEL_MAX_DIMS ||
		!shape_count(ndim, (const int64 *) ARR_DATA_PTR(shape), &count) ||
		count != model->payloads[payload]->count)
		report_damaged(tree_id, "A tensor's shape does not fit its number of elements.");
	if (name[0] == '\0' || strlen(name) > MODEL_MAX_NAME)
		report_damaged(tree_id, "A tensor's name is empty or too long.");
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
		int			payload = add_payload(model, source, row, tree_id);

		check_tensor(model, name, shape, payload, tree_id);
		model_add_tensor(model, name, strlen(name),
						 ARR_NDIM(shape) == 0 ? 0 : ARR_DIMS(shape)[0],
						 (const int64 *) ARR_DATA_PTR(shape), payload);
	}
	lazy_source_release_unused(source);
}

/* ---------- metadata and graph ---------- */

/* The bytes of an object, in the current context, with a NUL behind them. */
static char *
read_object_bytes(int64 object_id, uint64 limit, int64 tree_id, uint64 *n)
{
	ObjectReader *reader = object_reader_create(object_id, GetActiveSnapshot());
	char	   *bytes;

	*n = object_reader_layout(reader).bytes;
	if (*n > limit)
		report_damaged(tree_id, "Its metadata or its graph is too large.");
	bytes = palloc(*n + 1);
	object_reader_read(reader, 0, *n, bytes);
	bytes[*n] = '\0';
	object_reader_free(reader);
	return bytes;
}

/* What there is to know of a tree but its tensors. */
typedef struct TreeHead
{
	int			ntensors;
	uint8		model_digest[MODEL_DIGEST_LENGTH];
} TreeHead;

static void
report_forgotten(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("content of the version is gone"),
			 errdetail("No reference and no retention policy kept it, and gc freed its space."),
			 errhint("Committing the same model again brings it back.")));
}

static void
read_head(Model *model, int64 tree_id, TreeHead *head)
{
	bool		isnull;
	int64		metadata;
	int64		graph;
	bool		no_metadata;
	bool		no_graph;
	uint64		n;

	select_by_tree(select_tree, tree_id);
	if (SPI_processed != 1)
		report_damaged(tree_id, "Its row is not there.");
	if (DatumGetBool(get_value(0, 5, &isnull)))
		report_forgotten();
	metadata = DatumGetInt64(get_value(0, 1, &no_metadata));
	graph = DatumGetInt64(get_value(0, 2, &no_graph));
	head->ntensors = DatumGetInt32(get_value(0, 3, &isnull));
	set_digest(head->model_digest, get_value(0, 4, &isnull), tree_id);
	if (!no_metadata)
		model_set_metadata(model, read_object_bytes(metadata, MODEL_MAX_METADATA, tree_id, &n));
	if (!no_graph)
	{
		char	   *bytes = read_object_bytes(graph, MODEL_MAX_GRAPH, tree_id, &n);

		model_set_graph(model, bytes, n);
	}
}

Model *
tree_read(MemoryContext context, int64 tree_id, const char *recipe)
{
	Model	   *model = model_create(context);
	TreeHead	head;

	read_head(model, tree_id, &head);
	select_by_tree(select_entries, tree_id);
	if (SPI_processed != head.ntensors)
		report_damaged(tree_id, "It has another number of tensors.");
	add_tensors(model, tree_id);
	model_set_recipe(model, recipe);

	/* Payloads have digests, so this reads no weights. */
	if (memcmp(model_digest(model), head.model_digest, MODEL_DIGEST_LENGTH) != 0)
		report_damaged(tree_id, "Its tensors, metadata and graph have another digest.");
	return model;
}
