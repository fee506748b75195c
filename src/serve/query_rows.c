/*
 * query_rows.c
 *		Rows of a user's query through a model, a batch at a time.
 */
#include "postgres.h"

#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "serve/invocation.h"
#include "serve/query_rows.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"

/* ---------- which columns are features ---------- */

static FeatureColumn
feature_column(TupleDesc columns, int attribute)
{
	FeatureColumn column = {.attribute = attribute};
	Oid			type = getBaseType(SPI_gettypeid(columns, attribute));
	Oid			element = get_element_type(type);

	column.is_array = OidIsValid(element);
	column.type = column.is_array ? element : type;
	column.kind = source_kind(column.type);
	return column;
}

/* Columns that are called like the inputs of a model with several go there;
 * those of which none is go in the order that they have. */
static void
sort_by_inputs(const Session *session, TupleDesc columns, FeatureColumn *features,
			   int n)
{
	FeatureColumn *sorted = palloc0(n * sizeof(FeatureColumn));
	const char *other = NULL;
	int			found = 0;

	if (session->ninputs < 2 || session->ninputs != n)
		return;
	for (int i = 0; i < n; i++)
	{
		char	   *name = SPI_fname(columns, features[i].attribute);
		int			input = rows_find_input(session, name);

		if (input < 0 || sorted[input].attribute != 0)
			other = name;
		else
		{
			sorted[input] = features[i];
			found++;
		}
	}
	if (found == 0)
		return;
	if (other != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" is no input of the model, though others are", other),
				 errdetail("The model takes %s.", describe_ports(session->inputs, session->ninputs)),
				 errhint("Call all columns like inputs, with AS, or none: then they go in order.")));
	memcpy(features, sorted, n * sizeof(FeatureColumn));
}

static void
find_features(QueryRows *query, int before, int after)
{
	TupleDesc	columns = query->portal->tupDesc;
	int			n = columns->natts - before - after;

	query->layout = before > 0 ? "The first column is the id of a row, and the others are its features." :
		after > 0 ? "The last column is the label of a row, and the others are its features." :
		"All columns are features.";
	if (n < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query gives no features"),
				 errdetail_plural("It has %d column.", "It has %d columns.",
								  columns->natts, columns->natts),
				 errhint("%s", query->layout)));
	query->ncolumns = n;
	query->columns = palloc(n * sizeof(FeatureColumn));
	for (int i = 0; i < n; i++)
		query->columns[i] = feature_column(columns, before + 1 + i);
	sort_by_inputs(target_session(query->target), columns, query->columns, n);
}

QueryRows *
query_rows_open(Target *target, const char *text_of_query, int before,
				int after, int batch_size, bool keeps_bad_rows)
{
	QueryRows  *query = palloc0(sizeof(QueryRows));

	query->context = CurrentMemoryContext;
	query->now.context = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt batch of rows",
											   ALLOCSET_DEFAULT_SIZES);
	query->ahead.context = AllocSetContextCreate(CurrentMemoryContext,
												 "modelopt next batch of rows",
												 ALLOCSET_DEFAULT_SIZES);
	query->target = target;
	query->batch_size = batch_size;
	query->keeps_bad_rows = keeps_bad_rows;
	if (strspn(text_of_query, " \t\r\n;") == strlen(text_of_query))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query is empty")));
	query->portal = SPI_cursor_open_with_args(NULL, text_of_query, 0, NULL, NULL,
											  NULL, true, 0);
	/* Between two batches other code may run, which is not to close it. */
	PinPortal(query->portal);
	if (query->portal->tupDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query gives no rows")));
	find_features(query, before, after);
	return query;
}

Oid
query_rows_type(const QueryRows *query, int attribute)
{
	return SPI_gettypeid(query->portal->tupDesc, attribute);
}

/* ---------- a row ---------- */

/* The values of a row, which may be of any width in arrays. */
typedef struct RowValues
{
	ArraySource *sources;		/* of each column */
	RowPart    *parts;			/* likewise */
	bool		has_null;
} RowValues;

static void
read_row(const QueryRows *query, TupleDesc columns, HeapTuple row, RowValues *values)
{
	values->has_null = false;
	for (int i = 0; i < query->ncolumns; i++)
	{
		FeatureColumn *column = &query->columns[i];
		ArraySource *source = &values->sources[i];
		bool		is_null;
		Datum		value = SPI_getbinval(row, columns, column->attribute, &is_null);

		values->has_null |= is_null;
		if (is_null)
		{
			*source = (ArraySource) {column->kind, 0, NULL, NULL};
			continue;
		}
		if (column->is_array)
		{
			ArrayType  *array = DatumGetArrayTypeP(value);

			source_of_array(source, array);
			values->parts[i] = rows_array_part(array);
		}
		else
		{
			char	   *place = palloc(sizeof(Datum));

			source_store(column->kind, value, place);
			*source = (ArraySource) {column->kind, 1, place, NULL};
			values->parts[i] = (RowPart) {1, 0, NULL};
		}
		for (int64 k = 0; source->nulls != NULL && k < source->count; k++)
			values->has_null |= source->nulls[k];
	}
}

/*
 * How many features a column with no array is: as many as in rows before, or as
 * the model says; 0 when neither tells.
 */
static int64
null_width(const QueryRows *query, int column)
{
	const Session *session;
	const Port *port;
	int64		width = 1;

	if (!query->columns[column].is_array)
		return 1;
	/* Its session may be at work. */
	if (query->batch != NULL)
		return query->batch->ninputs == query->ncolumns ? query->batch->inputs[column].width : 0;
	session = target_session(query->target);
	if (session->ninputs != query->ncolumns)
		return 0;
	port = &session->inputs[column];
	for (int i = 1; i < port->ndim; i++)
		if (port->dims[i] < 0 || pg_mul_s64_overflow(width, port->dims[i], &width) ||
			width > PG_INT32_MAX)
			return 0;
	return width;
}

/* A row with a null, which does not go into the model. */
static void
observe_nulls(const QueryRows *query, const RowValues *values)
{
	int64		first = 1;

	invocation_count(MONITOR_NULL_INPUTS, 1);
	if (!invocation_is_compared())
		return;
	if (query->ncolumns == 1 && values->sources[0].values == NULL)
	{
		invocation_observe_missing();
		return;
	}
	for (int i = 0; i < query->ncolumns; i++)
	{
		const ArraySource *source = &values->sources[i];
		int64		width = source->values != NULL ? source->count : null_width(query, i);

		/* What comes after one that is null may be any feature. */
		if (source->values == NULL && width == 0)
			return;
		invocation_observe_nulls(first, source, 0, width);
		first += width;
	}
}

static char *
put_row(QueryRows *query, int row, const RowValues *values)
{
	int64		at = 0;

	for (int i = 0; i < query->ncolumns; i++)
	{
		const ArraySource *source = &values->sources[i];
		char	   *problem = rows_put(query->batch, row, at, source->kind,
									   source->values, source->count);

		if (problem != NULL)
			return problem;
		at += source->count;
	}
	return NULL;
}

/* ---------- a batch ---------- */

/* Raises, or keeps why the row has no prediction. */
static void
refuse_row(QueryRows *query, QueryBatch *batch, int row, const char *problem)
{
	if (!query->keeps_bad_rows)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", problem),
				 errdetail("It is row " INT64_FORMAT " of the query.", batch->done + row + 1),
				 query->hint != NULL ? errhint("%s", query->hint) : 0));
	invocation_count(MONITOR_REJECTED_ROWS, 1);
	batch->problems[row] = MemoryContextStrdup(batch->context, problem);
}

/* ---------- what may fail ---------- */

/*
 * Does a work that may raise an error of that code because of the row at hand;
 * returns then what is wrong, and else NULL.
 */
static char *
attempt(QueryRows *query, int sqlstate, void (*work) (QueryRows *query, void *argument),
		void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *volatile problem = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(query, argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		/* Nobody else ends it: not even the end of the transaction. */
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != sqlstate)
			ReThrowError(error);
		problem = error->detail == NULL ? pstrdup(error->message) :
			psprintf("%s: %s", error->message, error->detail);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return problem;
}

/* The first row that the model takes says what all are like. */
static void
prepare(QueryRows *query, void *argument)
{
	const RowValues *values = argument;
	Session    *session = target_session(query->target);
	MemoryContext previous;

	/* Raises where what it takes is freed soon, as there may be many such rows. */
	(void) rows_prepare(session, values->parts, query->ncolumns, query->layout);
	previous = MemoryContextSwitchTo(query->context);
	query->batch = rows_prepare(session, values->parts, query->ncolumns, query->layout);
	MemoryContextSwitchTo(previous);
}

/* What is wrong with a row, or NULL. */
static char *
check_row(QueryRows *query, RowValues *values)
{
	if (query->batch != NULL)
		return rows_misfit(query->batch, values->parts, query->ncolumns);
	if (query->keeps_bad_rows)
		return attempt(query, ERRCODE_INVALID_PARAMETER_VALUE, prepare, values);
	prepare(query, values);
	return NULL;
}

/* Rows that may go into the model, and the values of each. */
static void
read_rows(QueryRows *query, QueryBatch *batch)
{
	MemoryContext previous = MemoryContextSwitchTo(batch->context);
	Size		n = (Size) batch->nrows * query->ncolumns;
	ArraySource *sources = palloc_extended(n * sizeof(ArraySource), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	RowPart    *parts = palloc_extended(n * sizeof(RowPart), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	batch->values = palloc0(batch->nrows * sizeof(RowValues));
	batch->good = palloc(batch->nrows * sizeof(int));
	batch->problems = palloc0(batch->nrows * sizeof(char *));
	batch->ngood = 0;
	for (int i = 0; i < batch->nrows; i++)
	{
		RowValues  *values = &batch->values[i];
		char	   *problem;

		CHECK_FOR_INTERRUPTS();
		values->sources = sources + (Size) i * query->ncolumns;
		values->parts = parts + (Size) i * query->ncolumns;
		read_row(query, batch->rows->tupdesc, batch->rows->vals[i], values);
		if (values->has_null)
		{
			observe_nulls(query, values);
			continue;
		}
		problem = check_row(query, values);
		if (problem != NULL)
			refuse_row(query, batch, i, problem);
		else
			batch->good[batch->ngood++] = i;
	}
	MemoryContextSwitchTo(previous);
}

/* Also while the model runs on the rows before. */
static void
fetch_ahead(QueryRows *query)
{
	QueryBatch *batch = &query->ahead;

	batch->done = query->now.done + query->now.nrows;
	SPI_cursor_fetch(query->portal, true, query->batch_size);
	batch->rows = SPI_tuptable;
	batch->nrows = SPI_processed;
	if (batch->nrows > 0)
		read_rows(query, batch);
	query->is_ahead = true;
}

/* Lets go of the rows at work and turns to the next ones; false when there are no
 * more. */
static bool
turn_to_next(QueryRows *query)
{
	QueryBatch	last = query->now;

	if (last.rows != NULL)
		SPI_freetuptable(last.rows);
	last.rows = NULL;
	MemoryContextReset(last.context);
	if (!query->is_ahead)
		fetch_ahead(query);
	query->now = query->ahead;
	query->ahead = last;
	query->is_ahead = false;
	return query->now.nrows > 0;
}

/* ---------- runs ---------- */

/* Good rows from one on that do not fit leave them. */
static void
take_out(QueryBatch *batch, int first)
{
	int			kept = first;

	for (int i = first; i < batch->ngood; i++)
		if (batch->problems[batch->good[i]] == NULL)
			batch->good[kept++] = batch->good[i];
	batch->ngood = kept;
}

/* Begins a run of good rows; false when some of them do not fit. */
static bool
begin_run(QueryRows *query, int first, int n)
{
	QueryBatch *batch = &query->now;
	bool		all_fit = true;

	rows_begin(query->batch, target_session(query->target), n);
	for (int i = 0; i < n; i++)
	{
		int			row = batch->good[first + i];
		char	   *problem = put_row(query, i, &batch->values[row]);

		if (problem == NULL)
			continue;
		refuse_row(query, batch, row, problem);
		all_fit = false;
	}
	return all_fit;
}

/* A run of good rows. */
typedef struct SomeRows
{
	int			first;
	int			most;
	int			n;				/* that went through the model */
} SomeRows;

/* Rows of the next run; those that do not fit have left when it returns. */
static void
run_some(QueryRows *query, void *argument)
{
	SomeRows   *rows = argument;

	for (;;)
	{
		int			n = rows_limit(query->batch, Min(rows->most, query->now.ngood - rows->first));

		if (n == 0)
			return;
		if (begin_run(query, rows->first, n))
		{
			rows_run(query->batch);
			rows->n = n;
			return;
		}
		take_out(&query->now, rows->first);
	}
}

/* Where the model may fail on rows, one that it fails on is looked for one by
 * one. */
static int
run_next(QueryRows *query, int first, int *most)
{
	SomeRows	rows = {first, *most, 0};
	char	   *problem = NULL;

	if (query->keeps_bad_rows)
		problem = attempt(query, ERRCODE_EXTERNAL_ROUTINE_EXCEPTION, run_some, &rows);
	else
		run_some(query, &rows);
	if (problem == NULL)
		return rows.n;
	if (*most == 1)
	{
		refuse_row(query, &query->now, query->now.good[first], problem);
		take_out(&query->now, first);
	}
	*most = 1;
	return 0;
}

static void
run_one_by_one(QueryRows *query, TakeOutputs take, void *argument)
{
	int			most = PG_INT32_MAX;

	for (int first = 0; first < query->now.ngood;)
	{
		int			n = run_next(query, first, &most);

		if (n > 0)
			take(query, first, n, argument);
		first += n;
	}
}

/* A run of all good rows, while which the next ones are fetched. */
typedef struct WholeBatch
{
	QueryRows  *query;
	TakeOutputs take;
	void	   *argument;
} WholeBatch;

static void
fetch_meanwhile(void *argument)
{
	fetch_ahead(((WholeBatch *) argument)->query);
}

static void
take_whole(void *argument)
{
	WholeBatch *whole = argument;
	QueryBatch *batch = &whole->query->now;
	MemoryContext previous = MemoryContextSwitchTo(batch->context);

	whole->take(whole->query, 0, batch->ngood, whole->argument);
	MemoryContextSwitchTo(previous);
}

static void
run_whole(QueryRows *query, TakeOutputs take, void *argument)
{
	WholeBatch	whole = {query, take, argument};

	if (!begin_run(query, 0, query->now.ngood))
		elog(ERROR, "a row that does not fit was not refused");
	rows_run_beside(query->batch, fetch_meanwhile, take_whole, &whole);
}

bool
query_rows_next(QueryRows *query, TakeOutputs take, void *argument)
{
	MemoryContext previous;
	int			ngood;

	if (!turn_to_next(query))
		return false;
	previous = MemoryContextSwitchTo(query->now.context);
	ngood = query->now.ngood;
	if (ngood > 0 && !query->keeps_bad_rows && rows_limit(query->batch, ngood) == ngood)
		run_whole(query, take, argument);
	else
		run_one_by_one(query, take, argument);
	MemoryContextSwitchTo(previous);
	return true;
}

void
query_rows_close(QueryRows *query)
{
	UnpinPortal(query->portal);
	SPI_cursor_close(query->portal);
}
