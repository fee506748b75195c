/*
 * rows_table.h
 *		A table of what a model says about the rows of a query.
 *
 * The query's first column is the id, which comes back in the first column of
 * the result; the last one is what was wrong with a row, and those between are
 * the caller's.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_ROWS_TABLE_H
#define MODELOPT_SERVE_ROWS_TABLE_H

#include "compat.h"

#include "serve/query_rows.h"

/* Columns of the result. */
#define ROWS_TABLE_MAX_COLUMNS 4

typedef struct RowsTable
{
	/* the caller's */
	const char *name;			/* of the work */
	int			batch_size;		/* places of arguments; model and query come first */
	int			on_error;
	TakeOutputs take;			/* keeps what a run says */
	/* Fills the columns of a row between id and error, which are null; good is
	 * its number among those that went through the model. */
	void		(*put) (void *argument, int good, Datum *values, bool *nulls);
	void	   *argument;		/* of both */

	/* its own */
	ReturnSetInfo *result;
	QueryRows  *query;
	Oid			id_type;		/* of the result */
	FmgrInfo	id_in;			/* from text, when the query's is another */
	FmgrInfo	id_out;
	Oid			id_param;
	bool		casts_id;
	bool		widens_id;		/* from integer to bigint, as is common */
} RowsTable;

/* Raises when an argument that it takes is null, or wrong. */
extern void rows_table_check(FunctionCallInfo fcinfo, const RowsTable *table);

/* Runs the query of a function that returns such a table. */
extern void rows_table_run(FunctionCallInfo fcinfo, RowsTable *table, Target *target);

#endif							/* MODELOPT_SERVE_ROWS_TABLE_H */
