/*
 * rows.h
 *		Rows of features through a model.
 *
 * Most models take a tensor whose first dimension counts rows, or several of
 * them, and give tensors that have a row for each.  A row here is all of a
 * model's inputs for one prediction, one after another.  Private to src/serve.
 */
#ifndef MODELOPT_SERVE_ROWS_H
#define MODELOPT_SERVE_ROWS_H

#include "serve/elements.h"
#include "serve/serve.h"

/* The part of a row that one input takes. */
typedef struct RowInput
{
	char	   *name;			/* UTF-8, as the database's encoding may lack it */
	TensorShape shape;			/* of a batch */
	int64		first;			/* in a row */
	int64		width;			/* elements of a row */
	bool		is_shaped;		/* dimensions are those of an array, and the
								 * number of its elements does not tell them */
	char	   *data;			/* of the batch; NULL for strings */
	Datum	   *texts;			/* of strings, until they are laid out; those
								 * of rows alone, without padding */
} RowInput;

typedef struct RowBatch
{
	Session    *session;
	int			ninputs;		/* of the session when it was prepared */
	int			noutputs;
	int64		width;			/* elements of a row */
	int			fixed;			/* rows that a batch must have, or 0 */
	bool		whole;			/* the input's only dimension is no rows */
	int			nrows;			/* in the batch at work */
	int			batch;			/* of them with padding */
	RowInput   *inputs;
} RowBatch;

/* What is given as a row, or for one of its inputs: an array, or a value,
 * which has no dimensions. */
typedef struct RowPart
{
	int64		width;
	int			ndim;
	const int  *dims;
} RowPart;

/*
 * Prepares for rows of such parts, which are the inputs' when they are as many
 * (rows_layout.c); allocates in the current context.  Raises 22023 and says
 * what the model takes when it does not take that.
 */
extern RowBatch *rows_prepare(Session *session, const RowPart *parts, int nparts);

extern RowPart rows_array_part(ArrayType *array);

/* In words, why a row is not like the one that it was prepared for, or NULL.
 * Looks at no session, which may be gone between two batches. */
extern char *rows_misfit(const RowBatch *batch, const RowPart *parts, int nparts);

/* Whether a row of an input may have these dimensions. */
extern bool rows_match_dims(const Port *port, const int *dims);

/* Rows that a run can have when somebody wants so many. */
extern int	rows_limit(const RowBatch *batch, int wanted);

/* Starts a batch of that many rows, at most rows_limit. */
extern void rows_begin(RowBatch *batch, Session *session, int nrows);

/* Puts n values from a place in a row on.  Texts must live until the run.
 * Returns NULL, or in words what does not fit. */
extern char *rows_put(RowBatch *batch, int row, int64 at, SourceKind kind,
					  const void *values, int64 n);

/* Raises that. */
pg_noreturn extern void rows_refuse(const char *complaint);

extern void rows_run(RowBatch *batch);

/* The same, as session_run_beside() has it. */
extern void rows_run_beside(RowBatch *batch, void (*meanwhile) (void *argument),
							void (*take) (void *argument), void *argument);

/* An output, which has as many elements for each row of the batch. */
typedef struct RowOutput
{
	const Port *port;
	const ServedTensor *tensor;
	int64		count;			/* elements in all */
	int64		width;			/* elements of a row */
} RowOutput;

/* The output of that name, or with NULL the first tensor; its number. */
extern int	rows_find_output(const Session *session, const char *name);

extern void rows_output(const RowBatch *batch, int i, RowOutput *output);

/* The number of the input of that name, in the database's encoding, or -1. */
extern int	rows_find_input(const Session *session, const char *name);

/* In words what a model takes, for errors: "x f32[N, 4], y i64[N]". */
extern char *describe_ports(const Port *ports, int n);

/* Likewise of an array: "[1, 8, 8]". */
extern char *describe_array_dims(int ndim, const int *dims);

#endif							/* MODELOPT_SERVE_ROWS_H */
