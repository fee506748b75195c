/*
 * verify.c
 *		Whether objects and trees are what their rows say.
 *
 * A function here says in a sentence what is wrong, or returns null.  What
 * cannot be read at all raises, as it does for everybody; the SQL beside this
 * file makes a problem of that too.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "kernel/kernel.h"
#include "model/lazy.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "repo/object.h"
#include "repo/tree.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(modelopt_object_problem);
PG_FUNCTION_INFO_V1(modelopt_tree_problem);

/* ---------- objects ---------- */

typedef struct ObjectRow
{
	int			dtype;
	int			encoding;
	int64		count;
	int64		form_bytes;
	int64		raw_bytes;
	uint8		digest[MODEL_DIGEST_LENGTH];
	uint8		content[MODEL_DIGEST_LENGTH];
	bool		has_range;		/* of finite elements */
	int64		zeros;
	double		minimum;
	double		maximum;
} ObjectRow;

static Datum
get_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
						 isnull);
}

static bool
get_digest(int column, uint8 *digest)
{
	bool		isnull;
	bytea	   *bytes = DatumGetByteaPP(get_value(column, &isnull));

	if (VARSIZE_ANY_EXHDR(bytes) != MODEL_DIGEST_LENGTH)
		return false;
	memcpy(digest, VARDATA_ANY(bytes), MODEL_DIGEST_LENGTH);
	return true;
}

/* Returns what is wrong with the row itself. */
static const char *
read_row(int64 object_id, ObjectRow *row)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(object_id)};
	bool		isnull;

	SPI_execute_with_args("SELECT dtype, encoding, count, form_bytes, digest, content, zeros, minimum, maximum, raw_bytes "
						  "FROM modelopt_private.object WHERE id = $1",
						  1, types, values, NULL, true, 1);
	if (SPI_processed != 1)
		return "It is not there.";
	row->dtype = DatumGetInt16(get_value(1, &isnull));
	row->encoding = DatumGetInt16(get_value(2, &isnull));
	row->count = DatumGetInt64(get_value(3, &isnull));
	row->form_bytes = DatumGetInt64(get_value(4, &isnull));
	if (!get_digest(5, row->digest) || !get_digest(6, row->content))
		return "A digest has another length.";
	row->zeros = DatumGetInt64(get_value(7, &isnull));
	if (isnull)
		row->zeros = -1;
	row->minimum = DatumGetFloat8(get_value(8, &isnull));
	row->maximum = DatumGetFloat8(get_value(9, &isnull));
	row->has_range = !isnull;
	row->raw_bytes = DatumGetInt64(get_value(10, &isnull));
	return payload_mismatch(row->dtype, row->encoding, row->count,
							row->form_bytes);
}

/* Statistics whose value depends on no order of additions. */
static bool
statistics_differ(Payload *payload, const ObjectRow *row)
{
	PayloadReader *reader = payload_reader_create(payload);
	double	   *numbers = palloc(PAYLOAD_CHUNK * sizeof(double));
	KernelStats stats;
	const void *elements;
	int64		n;

	kernel_stats_init(&stats);
	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		dtype_to_double(payload->dtype, elements, 0, n, numbers);
		kernel_stats_f64(&stats, numbers, n);
	}
	kernel_stats_finish(&stats);
	payload_reader_free(reader);
	pfree(numbers);
	return stats.zeros != row->zeros || (stats.count > 0) != row->has_range ||
		(row->has_range &&
		 (stats.min != row->minimum || stats.max != row->maximum));
}

static const char *
object_problem(int64 object_id)
{
	ObjectRow	row;
	const char *problem = read_row(object_id, &row);
	Model	   *model;
	Payload    *payload;
	uint8		digest[MODEL_DIGEST_LENGTH];

	if (problem != NULL)
		return problem;
	if (row.raw_bytes != dtype_bytes(row.dtype, row.count))
		return "Its bytes are not those of its elements.";
	model = model_create(CurrentMemoryContext);
	(void) model_lazy_payload(model, row.dtype, row.encoding, row.count,
							  row.form_bytes, object_source_create(), object_id);
	payload = model->payloads[0];
	if (memcmp(payload_digest(payload), row.content, MODEL_DIGEST_LENGTH) != 0)
		return "Its content has another digest.";
	object_digest(payload, digest);
	if (memcmp(digest, row.digest, MODEL_DIGEST_LENGTH) != 0)
		return "Its identity has another digest.";
	if (statistics_differ(payload, &row))
		return "Its statistics are not those of its content.";
	return NULL;
}

/* ---------- trees ---------- */

static const char *
tree_problem(int64 tree_id)
{
	Model	   *model = tree_read(CurrentMemoryContext, tree_id, "[]");
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(tree_id)};
	int64		parameters = model_parameters(model);
	uint8		(*objects)[MODEL_DIGEST_LENGTH];
	uint8		expected[MODEL_DIGEST_LENGTH];
	uint8		digest[MODEL_DIGEST_LENGTH];
	bool		isnull;

	SPI_execute_with_args("SELECT digest, parameters FROM modelopt_private.tree WHERE id = $1",
						  1, types, values, NULL, true, 1);
	if (!get_digest(1, expected))
		return "Its digest has another length.";
	if (DatumGetInt64(get_value(2, &isnull)) != parameters)
		return "It has another number of parameters.";

	SPI_execute_with_args("SELECT e.payload, o.digest FROM modelopt_private.tree_entry e "
						  "JOIN modelopt_private.object o ON o.id = e.object_id "
						  "WHERE e.tree_id = $1",
						  1, types, values, NULL, true, 0);
	objects = palloc0(((Size) model->npayloads + 1) * MODEL_DIGEST_LENGTH);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		int			payload = DatumGetInt32(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		bytea	   *bytes = DatumGetByteaPP(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));

		if (payload < 0 || payload >= model->npayloads ||
			VARSIZE_ANY_EXHDR(bytes) != MODEL_DIGEST_LENGTH)
			return "An object's digest has another length.";
		memcpy(objects[payload], VARDATA_ANY(bytes), MODEL_DIGEST_LENGTH);
	}
	tree_digest(model, objects, digest);
	if (memcmp(digest, expected, MODEL_DIGEST_LENGTH) != 0)
		return "Its objects have another digest.";
	return NULL;
}

/* ---------- functions ---------- */

/* What a check of something by its id found, as a result. */
static Datum
check(FunctionCallInfo fcinfo, const char *(*find_problem) (int64 id))
{
	const char *problem;

	SPI_connect();
	problem = find_problem(PG_GETARG_INT64(0));
	SPI_finish();
	progress_add(1);
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

Datum
modelopt_object_problem(PG_FUNCTION_ARGS)
{
	return check(fcinfo, object_problem);
}

Datum
modelopt_tree_problem(PG_FUNCTION_ARGS)
{
	return check(fcinfo, tree_problem);
}
