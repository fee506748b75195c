/*
 * drift_query.c
 *		Values of the columns of a query.
 *
 * The query is the caller's and runs as the caller: this is no function of the
 * repository, and the repository's owner is not who runs it.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "monitor/drift_query.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include <math.h>

#define FETCH_ROWS 1000
#define MAX_VALUES INT64CONST(100000000)
#define TEXT_VALUES 8			/* what a text counts as among these */

static bool
is_number(Oid type)
{
	return type == BOOLOID || type == INT2OID || type == INT4OID || type == INT8OID ||
		type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID;
}

static double
number_of(Oid type, Datum value)
{
	switch (type)
	{
		case BOOLOID:
			return DatumGetBool(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		default:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
	}
}

static void
make_room(DriftValues *feature)
{
	int64		room = Max(feature->room * 2, 1024);
	Size		width = feature->categorical ? sizeof(char *) : sizeof(double);
	void	   *values = feature->categorical ? (void *) feature->texts : (void *) feature->numbers;

	if (feature->n < feature->room)
		return;
	values = values == NULL ? MemoryContextAllocHuge(CurrentMemoryContext, room * width) :
		repalloc_huge(values, room * width);
	if (feature->categorical)
		feature->texts = values;
	else
		feature->numbers = values;
	feature->room = room;
}

static void
add_number(DriftValues *feature, double value, bool isnull)
{
	if (isnull)
		feature->extras[DRIFT_NULLS].count++;
	else if (!isfinite(value))
		feature->extras[DRIFT_NOT_FINITE].count++;
	else
	{
		make_room(feature);
		feature->numbers[feature->n++] = value;
	}
}

static void
add_text(DriftValues *feature, FmgrInfo *output, Datum value, bool isnull)
{
	char	   *category;

	if (isnull)
	{
		feature->extras[DRIFT_NULLS].count++;
		return;
	}
	category = OutputFunctionCall(output, value);
	if (strlen(category) > DRIFT_MAX_TEXT)
	{
		feature->long_texts++;
		pfree(category);
		return;
	}
	make_room(feature);
	feature->texts[feature->n++] = category;
}

static void
begin_array(DriftColumn *column, int n)
{
	column->nfeatures = n;
	column->features = palloc0(Max(n, 1) * sizeof(DriftValues));
	for (int i = 0; i < n; i++)
	{
		column->features[i].name = psprintf("%s[%d]", column->name, i + 1);
		column->features[i].extras[DRIFT_NULLS].count = column->null_rows;
	}
}

static void
add_array(DriftColumn *column, Datum value, bool isnull)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int16		length;
	bool		byval;
	char		align;

	if (isnull)
	{
		if (column->nfeatures < 0)
			column->null_rows++;
		for (int i = 0; i < column->nfeatures; i++)
			add_number(&column->features[i], 0, true);
		return;
	}
	array = DatumGetArrayTypeP(value);
	get_typlenbyvalalign(column->element, &length, &byval, &align);
	deconstruct_array(array, column->element, length, byval, align, &elements, &nulls, &n);
	if (column->nfeatures < 0)
		begin_array(column, n);
	if (n != column->nfeatures)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays of column \"%s\" have different lengths", column->name),
				 errdetail("There are %d and %d.", column->nfeatures, n)));
	for (int i = 0; i < n; i++)
		add_number(&column->features[i],
				   nulls[i] ? 0 : number_of(column->element, elements[i]), nulls[i]);
	pfree(elements);
	pfree(nulls);
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

static void
add_value(DriftColumn *column, Datum value, bool isnull)
{
	if (OidIsValid(column->element))
		add_array(column, value, isnull);
	else if (column->features[0].categorical)
		add_text(&column->features[0], &column->output, value, isnull);
	else
		add_number(&column->features[0], isnull ? 0 : number_of(column->type, value), isnull);
}

/* A name is how a feature is spoken of in thresholds and views. */
static void
check_name(TupleDesc description, int column)
{
	const char *name = NameStr(TupleDescAttr(description, column)->attname);

	if (strcmp(name, "?column?") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column %d of the query of a reference has no name", column + 1),
				 errhint("Name it with AS: features are called like columns.")));
	for (int i = 0; i < column; i++)
		if (strcmp(NameStr(TupleDescAttr(description, i)->attname), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("columns %d and %d of the query of a reference are both called \"%s\"",
							i + 1, column + 1, name),
					 errhint("Name them apart with AS: features are called like columns.")));
}

static DriftColumn *
make_columns(TupleDesc description)
{
	DriftColumn	   *columns = palloc0(Max(description->natts, 1) * sizeof(DriftColumn));

	for (int i = 0; i < description->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(description, i);
		DriftColumn	   *column = &columns[i];
		Oid			element;

		check_name(description, i);
		column->name = pstrdup(NameStr(attribute->attname));
		column->type = getBaseType(attribute->atttypid);
		element = get_element_type(column->type);
		column->nfeatures = -1;
		if (OidIsValid(element) && is_number(element))
			column->element = element;
		else
		{
			begin_array(column, 1);
			column->features[0].name = column->name;
			column->features[0].categorical = !is_number(column->type);
			if (column->features[0].categorical)
			{
				Oid			output;
				bool		is_varlena;

				getTypeOutputInfo(column->type, &output, &is_varlena);
				fmgr_info(output, &column->output);
			}
		}
	}
	return columns;
}

static void
check_size(const DriftColumn *columns, int ncolumns, int64 rows)
{
	int64		features = 0;
	int64		values = 0;

	for (int i = 0; i < ncolumns; i++)
	{
		int			n = Max(columns[i].nfeatures, 0);
		bool		is_text = n == 1 && columns[i].features[0].categorical;

		features += n;
		values += rows * (is_text ? TEXT_VALUES : n);
	}
	if (features > monitor_drift_max_features)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%lld features are too many for a reference", (long long) features),
				 errdetail("The setting modelopt.drift_max_features allows %d.", monitor_drift_max_features)));
	if (values > MAX_VALUES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%lld rows of %lld features are too many for a reference",
						(long long) rows, (long long) features),
				 errhint("A reference of fewer rows is as good: max_rows says how many.")));
}

/* Adds the rows that SPI has fetched; what is kept of them is in the context. */
static void
add_rows(DriftColumn *columns, MemoryContext context)
{
	TupleDesc	description = SPI_tuptable->tupdesc;
	MemoryContext old_context = MemoryContextSwitchTo(context);

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		for (int i = 0; i < description->natts; i++)
		{
			bool		isnull;
			Datum		value = SPI_getbinval(SPI_tuptable->vals[row], description, i + 1, &isnull);

			add_value(&columns[i], value, isnull);
		}
	}
	MemoryContextSwitchTo(old_context);
}

DriftColumn *
drift_run_query(const char *query, int64 max_rows, int *ncolumns)
{
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan;
	Portal		portal;
	DriftColumn	   *columns;
	int64		rows = 0;

	SPI_connect();
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query of a reference must give rows"),
				 errhint("It is one SELECT, whose columns are the features of the model in their order.")));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	MemoryContextSwitchTo(context);
	columns = make_columns(portal->tupDesc);
	*ncolumns = portal->tupDesc->natts;
	while (rows < max_rows)
	{
		SPI_cursor_fetch(portal, true, (long) Min(FETCH_ROWS, max_rows - rows));
		if (SPI_processed == 0)
			break;
		rows += SPI_processed;
		add_rows(columns, context);
		SPI_freetuptable(SPI_tuptable);
		check_size(columns, *ncolumns, rows);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
	if (rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query of a reference gave no rows")));
	return columns;
}
