/*
 * tree_write.c
 *		A model's content becomes rows: objects that are new, and a tree.
 *
 * Objects are inserted in the order of their digests, whatever order their
 * tensors have, so that two transactions that store the same tensors wait for
 * each other and do not deadlock.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "repo/object.h"
#include "repo/tree.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

typedef struct TreePayload
{
	uint8		digest[MODEL_DIGEST_LENGTH];	/* the object's */
	Payload    *payload;
	const char *name;			/* of the first tensor that has it, or NULL */
	int64		object_id;		/* 0 until it is known */
	int64		base_id;		/* 0 when there is none */
	int64		zeros;
} TreePayload;

typedef struct TreeWriter
{
	Model	   *model;
	int			npayloads;		/* the model's, then its metadata and graph */
	TreePayload *payloads;
	TreePayload *metadata;		/* among them, or NULL */
	TreePayload *graph;
	StoredTree	result;
} TreeWriter;

/* ---------- what there is to store ---------- */

static TreePayload *
add_payload(TreeWriter *writer, Payload *payload)
{
	TreePayload *entry = &writer->payloads[writer->npayloads++];

	entry->payload = payload;
	object_digest(payload, entry->digest);
	return entry;
}

/* Text of the model itself is stored like a tensor of bytes. */
static TreePayload *
add_bytes(TreeWriter *writer, Model *scratch, const char *bytes, uint64 n)
{
	int			index = model_borrow_payload(scratch, DTYPE_U8, ENCODING_DENSE,
											 n, n, bytes);

	return add_payload(writer, scratch->payloads[index]);
}

static void
list_payloads(TreeWriter *writer)
{
	Model	   *model = writer->model;
	Model	   *scratch = model_create(CurrentMemoryContext);

	writer->payloads = palloc_extended((model->npayloads + 2) * sizeof(TreePayload),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < model->npayloads; i++)
		add_payload(writer, model->payloads[i]);
	for (int i = model->ntensors - 1; i >= 0; i--)
		writer->payloads[model->tensors[i].payload].name = model->tensors[i].name;
	if (strcmp(model->metadata, "{}") != 0)
		writer->metadata = add_bytes(writer, scratch, model->metadata,
									 strlen(model->metadata));
	if (model->graph != NULL)
		writer->graph = add_bytes(writer, scratch, model->graph,
								  model->graph_size);
}

/* ---------- objects that are there ---------- */

static Datum
digest_datum(const uint8 *digest)
{
	bytea	   *value = palloc(MODEL_DIGEST_LENGTH + VARHDRSZ);

	SET_VARSIZE(value, MODEL_DIGEST_LENGTH + VARHDRSZ);
	memcpy(VARDATA(value), digest, MODEL_DIGEST_LENGTH);
	return PointerGetDatum(value);
}

static int
compare_payloads(const void *a, const void *b)
{
	const TreePayload *const *x = a;
	const TreePayload *const *y = b;

	return memcmp((*x)->digest, (*y)->digest, MODEL_DIGEST_LENGTH);
}

/* The payloads in the order of their digests. */
static TreePayload **
sort_payloads(TreeWriter *writer)
{
	TreePayload **sorted = palloc_extended((writer->npayloads + 1) * sizeof(TreePayload *),
										   MCXT_ALLOC_HUGE);

	for (int i = 0; i < writer->npayloads; i++)
		sorted[i] = &writer->payloads[i];
	qsort(sorted, writer->npayloads, sizeof(TreePayload *), compare_payloads);
	return sorted;
}

static Datum
get_value(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row],
									  SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? (Datum) 0 : value;
}

/*
 * Objects that are there are locked, so that gc leaves them alone until the
 * tree that refers to them is there too.  Rows come in the order of digests,
 * as the payloads do.
 */
static void
find_objects(TreeWriter *writer, TreePayload **sorted)
{
	Datum	   *digests = palloc_extended((writer->npayloads + 1) * sizeof(Datum),
										  MCXT_ALLOC_HUGE);
	Oid			types[1] = {BYTEAARRAYOID};
	Datum		values[1];
	int			next = 0;

	for (int i = 0; i < writer->npayloads; i++)
		digests[i] = digest_datum(sorted[i]->digest);
	values[0] = PointerGetDatum(construct_array(digests, writer->npayloads,
												BYTEAOID, -1, false, TYPALIGN_INT));
	SPI_execute_with_args("SELECT id, digest, zeros FROM modelopt_private.object "
						  "WHERE digest = ANY ($1) ORDER BY digest FOR KEY SHARE",
						  1, types, values, NULL, false, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		const char *digest = VARDATA_ANY(DatumGetByteaPP(get_value(row, 2)));

		while (next < writer->npayloads &&
			   memcmp(sorted[next]->digest, digest, MODEL_DIGEST_LENGTH) < 0)
			next++;
		for (; next < writer->npayloads &&
			 memcmp(sorted[next]->digest, digest, MODEL_DIGEST_LENGTH) == 0; next++)
		{
			sorted[next]->object_id = DatumGetInt64(get_value(row, 1));
			sorted[next]->zeros = DatumGetInt64(get_value(row, 3));
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/* ---------- bases ---------- */

typedef struct NamedPayload
{
	char		name[MODEL_MAX_NAME + 1];	/* the key */
	TreePayload *payload;
} NamedPayload;

/* New payloads by the names of their tensors. */
static HTAB *
index_new_payloads(TreeWriter *writer)
{
	HASHCTL		control = {
		.keysize = MODEL_MAX_NAME + 1,
		.entrysize = sizeof(NamedPayload),
		.hcxt = CurrentMemoryContext,
	};
	HTAB	   *index = hash_create("new tensors", 64, &control,
									HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);

	for (int i = 0; i < writer->npayloads; i++)
	{
		TreePayload *payload = &writer->payloads[i];
		bool		found;

		if (payload->object_id == 0 && payload->name != NULL)
			((NamedPayload *) hash_search(index, payload->name, HASH_ENTER,
										  &found))->payload = payload;
	}
	return index;
}

/* The names of tensors that are new. */
static Datum
new_names(TreeWriter *writer)
{
	Datum	   *names = palloc_extended((writer->npayloads + 1) * sizeof(Datum),
										MCXT_ALLOC_HUGE);
	int			n = 0;

	for (int i = 0; i < writer->npayloads; i++)
	{
		if (writer->payloads[i].object_id == 0 && writer->payloads[i].name != NULL)
			names[n++] = PointerGetDatum(utf8_to_text(writer->payloads[i].name));
	}
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Finds the objects that new tensors had in an older tree, and locks them, so
 * that gc leaves them alone until there are others that need them. */
static void
find_bases(TreeWriter *writer, int64 base)
{
	HTAB	   *index;
	Oid			types[2] = {INT8OID, TEXTARRAYOID};
	Datum		values[2] = {Int64GetDatum(base)};

	if (base == 0)
		return;
	index = index_new_payloads(writer);
	if (hash_get_num_entries(index) > 0)
	{
		values[1] = new_names(writer);
		SPI_execute_with_args("SELECT e.name, o.id FROM modelopt_private.tree_entry e "
							  "JOIN modelopt_private.object o ON o.id = e.object_id "
							  "WHERE e.tree_id = $1 AND e.name = ANY ($2) ORDER BY o.digest FOR KEY SHARE OF o",
							  2, types, values, NULL, false, 0);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			char	   *name = text_to_utf8(DatumGetTextPP(get_value(row, 1)));
			NamedPayload *entry = hash_search(index, name, HASH_FIND, NULL);

			if (entry != NULL)
				entry->payload->base_id = DatumGetInt64(get_value(row, 2));
			pfree(name);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	hash_destroy(index);
}

/* ---------- writing ---------- */

static void
write_objects(TreeWriter *writer, TreePayload **sorted)
{
	for (int i = 0; i < writer->npayloads; i++)
	{
		TreePayload *entry = sorted[i];
		StoredObject object;

		if (entry->object_id != 0)
		{
			progress_add(dtype_bytes(entry->payload->dtype, entry->payload->count));
			continue;
		}
		if (i > 0 && compare_payloads(&sorted[i - 1], &entry) == 0)
		{
			entry->object_id = sorted[i - 1]->object_id;
			entry->zeros = sorted[i - 1]->zeros;
			continue;
		}
		object = object_write(entry->payload, entry->digest, entry->base_id);
		entry->object_id = object.id;
		entry->zeros = object.zeros;
		if (object.is_new)
		{
			writer->result.new_bytes += dtype_bytes(entry->payload->dtype,
													entry->payload->count);
			writer->result.stored_bytes += object.stored_bytes;
		}
	}
}

/* The tree's digest, as a new value. */
static Datum
digest_of_tree(TreeWriter *writer)
{
	int			n = writer->model->npayloads;
	uint8		(*objects)[MODEL_DIGEST_LENGTH] = palloc(((Size) n + 1) * MODEL_DIGEST_LENGTH);
	uint8		digest[MODEL_DIGEST_LENGTH];

	for (int i = 0; i < n; i++)
		memcpy(objects[i], writer->payloads[i].digest, MODEL_DIGEST_LENGTH);
	tree_digest(writer->model, objects, digest);
	pfree(objects);
	return digest_datum(digest);
}

static int64
sum_zeros(TreeWriter *writer)
{
	int64		zeros = 0;

	for (int i = 0; i < writer->model->npayloads; i++)
		zeros += writer->payloads[i].zeros;
	return zeros;
}

/* Makes a tree that gc has forgotten one that has content, of the same values
 * as a new one; false when another transaction was faster. */
static bool
fill_tree(Oid *types, Datum *values, const char *nulls)
{
	SPI_execute_with_args("UPDATE modelopt_private.tree SET metadata_id = $3, graph_id = $4, forgotten_at = NULL "
						  "WHERE digest = $1 AND forgotten_at IS NOT NULL",
						  4, types, values, nulls, false, 0);
	return SPI_processed == 1;
}

/* False when there is such a tree. */
static bool
insert_tree(Oid *types, Datum *values, const char *nulls)
{
	SPI_execute_with_args("INSERT INTO modelopt_private.tree "
						  "(digest, model_digest, metadata_id, graph_id, tensors, parameters, zeros, raw_bytes) "
						  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (digest) DO NOTHING RETURNING id",
						  8, types, values, nulls, false, 0);
	return SPI_processed == 1;
}

/* The tree that was there, and whether it is forgotten; false when gc has taken
 * it meanwhile. */
static bool
find_tree(Oid *types, Datum *values)
{
	CHECK_FOR_INTERRUPTS();
	SPI_execute_with_args("SELECT id, forgotten_at IS NOT NULL FROM modelopt_private.tree "
						  "WHERE digest = $1 FOR KEY SHARE",
						  1, types, values, NULL, false, 1);
	return SPI_processed == 1;
}

/* True when the tree's entries are to be written. */
static bool
write_tree(TreeWriter *writer)
{
	Model	   *model = writer->model;
	Oid			types[8] = {BYTEAOID, BYTEAOID, INT8OID, INT8OID, INT4OID, INT8OID, INT8OID, INT8OID};
	Datum		values[8];
	char		nulls[8];
	bool		is_new;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = digest_of_tree(writer);
	values[1] = digest_datum(model_digest(model));
	values[2] = Int64GetDatum(writer->metadata ? writer->metadata->object_id : 0);
	values[3] = Int64GetDatum(writer->graph ? writer->graph->object_id : 0);
	values[4] = Int32GetDatum(model->ntensors);
	values[5] = Int64GetDatum(model_parameters(model));
	values[6] = Int64GetDatum(sum_zeros(writer));
	values[7] = Int64GetDatum(model_raw_bytes(model));
	nulls[2] = writer->metadata ? ' ' : 'n';
	nulls[3] = writer->graph ? ' ' : 'n';
	do
		is_new = insert_tree(types, values, nulls);
	while (!is_new && !find_tree(types, values));
	writer->result.id = DatumGetInt64(get_value(0, 1));
	return is_new ||
		(DatumGetBool(get_value(0, 2)) && fill_tree(types, values, nulls));
}

static Datum
shape_text(const Tensor *tensor)
{
	StringInfoData shape;

	initStringInfo(&shape);
	appendStringInfoChar(&shape, '{');
	for (int i = 0; i < tensor->ndim; i++)
		appendStringInfo(&shape, "%s" INT64_FORMAT, i > 0 ? "," : "", tensor->dims[i]);
	appendStringInfoChar(&shape, '}');
	return PointerGetDatum(cstring_to_text_with_len(shape.data, shape.len));
}

static void
write_entries(TreeWriter *writer)
{
	const Model *model = writer->model;
	int			n = model->ntensors;
	Size		size = (n + 1) * sizeof(Datum);
	Datum	   *columns[4];
	Oid			types[5] = {INT8OID, TEXTARRAYOID, INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID};
	Datum		values[5];

	for (int i = 0; i < lengthof(columns); i++)
		columns[i] = palloc(size);
	for (int i = 0; i < n; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		columns[0][i] = PointerGetDatum(utf8_to_text(tensor->name));
		columns[1][i] = Int32GetDatum(tensor->payload);
		columns[2][i] = Int64GetDatum(writer->payloads[tensor->payload].object_id);
		columns[3][i] = shape_text(tensor);
	}
	values[0] = Int64GetDatum(writer->result.id);
	values[1] = PointerGetDatum(construct_array(columns[0], n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(columns[1], n, INT4OID, 4, true, TYPALIGN_INT));
	values[3] = PointerGetDatum(construct_array(columns[2], n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[4] = PointerGetDatum(construct_array(columns[3], n, TEXTOID, -1, false, TYPALIGN_INT));
	SPI_execute_with_args("INSERT INTO modelopt_private.tree_entry (tree_id, number, name, payload, object_id, shape) "
						  "SELECT $1, t.number, t.name, t.payload, t.object_id, t.shape::bigint[] "
						  "FROM unnest($2, $3, $4, $5) WITH ORDINALITY t (name, payload, object_id, shape, number)",
						  5, types, values, NULL, false, 0);
}

StoredTree
tree_write(Model *model, int64 base)
{
	TreeWriter	writer = {.model = model};
	TreePayload **sorted;
	int			began;

	began = progress_begin("commit", "bytes", model_raw_bytes(model));
	progress_phase("digest");
	list_payloads(&writer);
	sorted = sort_payloads(&writer);
	find_objects(&writer, sorted);
	find_bases(&writer, base);
	progress_phase("write");
	write_objects(&writer, sorted);
	progress_end(began);
	if (write_tree(&writer))
		write_entries(&writer);
	return writer.result;
}
