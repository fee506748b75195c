/*
 * rows_table.c
 *		A table of what a model says about the rows of a query.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "parser/parse_coerce.h"
#include "serve/rows_table.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* ---------- ids ---------- */

static void
prepare_id(RowsTable *table)
{
	Oid			given = query_rows_type(table->query, 1);
	Oid			function;
	bool		is_varlena;

	table->id_type = TupleDescAttr(table->result->setDesc, 0)->atttypid;
	table->casts_id = given != table->id_type;
	table->widens_id = given == INT4OID && table->id_type == INT8OID;
	if (!table->casts_id || table->widens_id)
		return;
	if (table->id_type == INT8OID && TypeCategory(given) != TYPCATEGORY_NUMERIC)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("ids of type %s are no bigints", format_type_be(given)),
				 errdetail("The first column of the query is the id."),
				 errhint("Say of which type ids are: id_type => null::%s.", format_type_be(given))));
	getTypeOutputInfo(given, &function, &is_varlena);
	fmgr_info(function, &table->id_out);
	getTypeInputInfo(table->id_type, &function, &table->id_param);
	fmgr_info(function, &table->id_in);
}

static Datum
convert_id(RowsTable *table, Datum id)
{
	char	   *written;

	if (!table->casts_id)
		return id;
	if (table->widens_id)
		return Int64GetDatum(DatumGetInt32(id));
	written = OutputFunctionCall(&table->id_out, id);
	if (table->id_type == INT8OID && strspn(written, "-0123456789") != strlen(written))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("id %s is no bigint", written),
				 errdetail("The first column of the query is the id, and the others are features."),
				 errhint("Put an id before the features: row_number() OVER () makes one.")));
	return InputFunctionCall(&table->id_in, written,
							 table->id_param, -1);
}

/* ---------- rows ---------- */

/* A row of the query; good is its number among good ones, or -1. */
static void
put_row(RowsTable *table, int row, int good)
{
	QueryRows  *query = table->query;
	TupleDesc	columns = table->result->setDesc;
	int			last = columns->natts - 1;
	Datum		values[ROWS_TABLE_MAX_COLUMNS] = {0};
	bool		nulls[ROWS_TABLE_MAX_COLUMNS];

	Assert(columns->natts <= ROWS_TABLE_MAX_COLUMNS);
	memset(nulls, true, sizeof(nulls));
	values[0] = SPI_getbinval(query->now.rows->vals[row], query->now.rows->tupdesc, 1, &nulls[0]);
	if (!nulls[0])
		values[0] = convert_id(table, values[0]);
	if (good >= 0)
		table->put(table->argument, good, values, nulls);
	nulls[last] = query->now.problems[row] == NULL;
	if (!nulls[last])
		values[last] = CStringGetTextDatum(query->now.problems[row]);
	tuplestore_putvalues(table->result->setResult, columns, values, nulls);
}

static void
put_batch(RowsTable *table)
{
	QueryBatch *batch = &table->query->now;
	MemoryContext previous = MemoryContextSwitchTo(batch->context);
	int			next = 0;

	for (int row = 0; row < batch->nrows; row++)
	{
		bool		is_good = next < batch->ngood && batch->good[next] == row;

		put_row(table, row, is_good ? next++ : -1);
	}
	MemoryContextSwitchTo(previous);
}

/* ---------- the function ---------- */

static bool
keeps_bad_rows(const char *on_error)
{
	if (strcmp(on_error, "null") == 0)
		return true;
	if (strcmp(on_error, "error") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown on_error \"%s\"", on_error),
				 errhint("It is error or null.")));
	return false;
}

void
rows_table_check(FunctionCallInfo fcinfo, const RowsTable *table)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(table->batch_size) ||
		PG_ARGISNULL(table->on_error))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model, query, batch_size and on_error must not be null")));
	if (PG_GETARG_INT32(table->batch_size) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be at least 1")));
}

void
rows_table_run(FunctionCallInfo fcinfo, RowsTable *table, Target *target)
{
	int			work;

	InitMaterializedSRF(fcinfo, 0);
	table->result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	table->query = query_rows_open(target, text_to_cstring(PG_GETARG_TEXT_PP(1)), 1, 0,
								   PG_GETARG_INT32(table->batch_size),
								   keeps_bad_rows(text_to_cstring(PG_GETARG_TEXT_PP(table->on_error))));
	table->query->hint = "on_error => 'null' goes on with the other rows.";
	prepare_id(table);
	work = progress_begin(table->name, "rows", 0);
	while (query_rows_next(table->query, table->take, table->argument))
	{
		put_batch(table);
		progress_add(table->query->now.nrows);
	}
	progress_end(work);
	query_rows_close(table->query);
	SPI_finish();
}
