/*
 * query_rows.h
 *		Rows of a user's query through a model, a batch at a time.
 *
 * The query runs with the rights of who calls, through a cursor, so that
 * memory does not follow the number of rows.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_QUERY_ROWS_H
#define MODELOPT_SERVE_QUERY_ROWS_H

#include "executor/spi.h"
#include "serve/rows.h"

/* A column with features: a value, or an array of them. */
typedef struct FeatureColumn
{
	int			attribute;		/* number in the query's row, from 1 */
	Oid			type;			/* of a value */
	SourceKind	kind;
	bool		is_array;
} FeatureColumn;

/* Rows that were fetched together. */
typedef struct QueryBatch
{
	MemoryContext context;		/* of what follows, but the rows themselves */
	SPITupleTable *rows;		/* all of them */
	int			nrows;
	int			ngood;			/* of them those that go into the model */
	int		   *good;			/* which */
	char	  **problems;		/* of each row, or NULL */
	struct RowValues *values;	/* of each row */
	int64		done;			/* rows before these */
} QueryBatch;

typedef struct QueryRows
{
	Target	   *target;
	Portal		portal;
	int			batch_size;
	int			ncolumns;		/* with features */
	FeatureColumn *columns;
	MemoryContext context;		/* of this struct */
	RowBatch   *batch;			/* prepared with the first row */
	bool		keeps_bad_rows; /* rather than raising */
	const char *hint;			/* for who raises, or NULL */

	QueryBatch	now;			/* at work */
	QueryBatch	ahead;			/* fetched while the model runs on those */
	bool		is_ahead;
} QueryRows;

/*
 * Opens a query whose columns but the first `before` and the last `after` are
 * features; SPI must be connected.  Raises when it has none, or when they are
 * no features of the model.
 */
extern QueryRows *query_rows_open(Target *target, const char *query,
								  int before, int after, int batch_size,
								  bool keeps_bad_rows);

/* The type of a column that is no feature, from 1. */
extern Oid	query_rows_type(const QueryRows *query, int attribute);

/*
 * Fetches the next rows and runs the model on those without nulls and
 * problems.  take is called after each run, with the outputs in query->batch,
 * for n of the good rows from one on.  False when there are no more rows.
 * Resets what the last batch had.
 */
typedef void (*TakeOutputs) (QueryRows *query, int first, int n, void *argument);

extern bool query_rows_next(QueryRows *query, TakeOutputs take, void *argument);

extern void query_rows_close(QueryRows *query);

#endif							/* MODELOPT_SERVE_QUERY_ROWS_H */
