/*
 * tree_sql.c
 *		Trees and objects as functions, for the repository's own SQL.
 */
#include "postgres.h"

#include "compat.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "model/model_sql.h"
#include "repo/object.h"
#include "repo/tree.h"

PG_FUNCTION_INFO_V1(modelopt_store_model);
PG_FUNCTION_INFO_V1(modelopt_open_tree);
PG_FUNCTION_INFO_V1(modelopt_rewrite_object);

Datum
modelopt_store_model(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	StoredTree	tree;
	TupleDesc	columns;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PreventCommandIfReadOnly("storing a model");
	SPI_connect();
	tree = tree_write(model, PG_GETARG_INT64(1));
	SPI_finish();
	values[0] = Int64GetDatum(tree.id);
	values[1] = Int64GetDatum(tree.new_bytes);
	values[2] = Int64GetDatum(tree.stored_bytes);
	values[3] = PointerGetDatum(utf8_to_text(model->recipe));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}

Datum
modelopt_open_tree(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *recipe = text_to_utf8(PG_GETARG_TEXT_PP(1));
	Model	   *model;

	SPI_connect();
	model = tree_read(context, PG_GETARG_INT64(0), recipe);
	SPI_finish();
	PG_RETURN_MODEL(model);
}

Datum
modelopt_rewrite_object(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("repacking a model");
	SPI_connect();
	object_rewrite(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	SPI_finish();
	PG_RETURN_VOID();
}
