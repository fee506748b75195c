/*
 * cut_gather.c
 *		Copies what stays of a tensor when indexes along its dimensions go.
 *
 * A tensor is looked at as rows, each of which goes as a whole or loses the
 * same elements: those of the last dimension that loses some, with all that
 * lies behind it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut.h"

/* Elements that are collected before they are handed to the builder. */
#define BATCH PAYLOAD_CHUNK

/* Runs of fewer elements are short; and at most so many are listed. */
#define SHORT_RUN	32
#define MAX_INDEXES (1024 * 1024)

/* Rows that are looked at between two looks for interrupts. */
#define STRETCH 1024

/* Neighbours that stay. */
typedef struct Run
{
	int64		start;			/* in the row */
	int64		n;
} Run;

typedef struct Cutter
{
	int			width;			/* bytes of an element */
	int64		row;			/* elements of one */
	int64		nruns;			/* of what stays of a row */
	Run		   *runs;
	int64		nindexes;		/* or its elements one by one */
	uint32	   *indexes;		/* NULL when runs are long */
	int			nouter;			/* dimensions before */
	const int64 *dims;
	uint8	   *const *keep;
	PayloadBuilder *builder;
	char	   *batch;
	int64		nbatch;			/* elements in it */
} Cutter;

/* ---------- rows ---------- */

/* Runs of the dimension that cuts rows, in elements. */
static void
find_runs(Cutter *cutter, const uint8 *keep, int64 n, int64 inner)
{
	cutter->row = n * inner;
	cutter->runs = palloc_extended(Max(n / 2 + 1, 1) * sizeof(Run),
								   MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < n;)
	{
		int64		start = i;

		if (!keep[i])
		{
			i++;
			continue;
		}
		while (i < n && keep[i])
			i++;
		cutter->runs[cutter->nruns].start = start * inner;
		cutter->runs[cutter->nruns++].n = (i - start) * inner;
	}
}

static void
flush(Cutter *cutter)
{
	payload_builder_append(cutter->builder, cutter->batch, cutter->nbatch);
	cutter->nbatch = 0;
}

/* A long run, in as many batches as it takes. */
static void
put_run(Cutter *cutter, const char *elements, int64 n)
{
	while (n > 0)
	{
		int64		part = Min(n, BATCH - cutter->nbatch);

		memcpy(cutter->batch + cutter->nbatch * cutter->width, elements,
			   part * cutter->width);
		cutter->nbatch += part;
		elements += part * cutter->width;
		n -= part;
		if (cutter->nbatch == BATCH)
		{
			CHECK_FOR_INTERRUPTS();
			flush(cutter);
		}
	}
}

/* Elements one by one, where runs are so short that their ends could not be
 * foreseen. */
#define DEFINE_PICK(type) \
static void \
pick_##type(type *to, const type *row, const uint32 *indexes, int64 n) \
{ \
	for (int64 i = 0; i < n; i++) \
		to[i] = row[indexes[i]]; \
}

DEFINE_PICK(uint8)
DEFINE_PICK(uint16)
DEFINE_PICK(uint32)
DEFINE_PICK(uint64)

/* Elements of a payload are aligned to their width. */
static void
pick(const Cutter *cutter, const char *row, const uint32 *indexes, int64 n)
{
	char	   *to = cutter->batch + cutter->nbatch * cutter->width;

	switch (cutter->width)
	{
		case 1:
			pick_uint8((uint8 *) to, (const uint8 *) row, indexes, n);
			break;
		case 2:
			pick_uint16((uint16 *) to, (const uint16 *) row, indexes, n);
			break;
		case 4:
			pick_uint32((uint32 *) to, (const uint32 *) row, indexes, n);
			break;
		default:
			pick_uint64((uint64 *) to, (const uint64 *) row, indexes, n);
			break;
	}
}

static void
put_row(Cutter *cutter, const char *row)
{
	for (int64 done = 0; done < cutter->nindexes;)
	{
		int64		part = Min(cutter->nindexes - done, BATCH - cutter->nbatch);

		pick(cutter, row, cutter->indexes + done, part);
		cutter->nbatch += part;
		done += part;
		if (cutter->nbatch == BATCH)
		{
			CHECK_FOR_INTERRUPTS();
			flush(cutter);
		}
	}
	for (int64 i = 0; i < cutter->nruns && cutter->indexes == NULL; i++)
		put_run(cutter, row + cutter->runs[i].start * cutter->width,
				cutter->runs[i].n);
}

/* Runs become indexes when they are short. */
static void
find_indexes(Cutter *cutter, int64 kept)
{
	int64		n = 0;

	if (kept / cutter->nruns >= SHORT_RUN || cutter->row > PG_UINT32_MAX ||
		kept > MAX_INDEXES)
		return;
	cutter->indexes = palloc(kept * sizeof(uint32));
	for (int64 i = 0; i < cutter->nruns; i++)
	{
		for (int64 j = 0; j < cutter->runs[i].n; j++)
			cutter->indexes[n++] = (uint32) (cutter->runs[i].start + j);
	}
	cutter->nindexes = n;
}

/* Whether the row of that number stays. */
static bool
row_stays(const Cutter *cutter, int64 number)
{
	for (int i = cutter->nouter; i-- > 0;)
	{
		if (cutter->keep[i] != NULL &&
			!cutter->keep[i][number % cutter->dims[i]])
			return false;
		number /= cutter->dims[i];
	}
	return true;
}

/* ---------- a payload ---------- */

static int64
count_kept(const uint8 *keep, int64 n)
{
	int64		kept = 0;

	for (int64 i = 0; keep != NULL && i < n; i++)
		kept += keep[i];
	return keep != NULL ? kept : n;
}

int
cut_gather(Model *out, Payload *payload, int ndim, const int64 *dims,
		   uint8 *const *keep)
{
	Cutter		cutter = {.width = dtype_bits(payload->dtype) / 8,.dims = dims,
	.keep = keep};
	int64		inner = 1;
	int64		nrows = 1;
	int64		count = 1;
	int			last = ndim - 1;
	char	   *copy;
	const char *elements;

	if (cutter.width == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot cut tensors of dtype %s",
						dtype_name(payload->dtype)),
				 errhint("Cut the model before it is quantized.")));
	while (keep[last] == NULL)
		inner *= dims[last--];
	cutter.nouter = last;
	for (int i = 0; i < ndim; i++)
		count *= count_kept(keep[i], dims[i]);
	for (int i = 0; i < last; i++)
		nrows *= dims[i];
	cutter.builder = payload_builder_create(out, payload->dtype, count, -1);
	if (count > 0)
	{
		find_runs(&cutter, keep[last], dims[last], inner);
		find_indexes(&cutter, count_kept(keep[last], dims[last]) * inner);
		cutter.batch = palloc(BATCH * cutter.width);
		elements = payload_dense(payload, &copy);
		for (int64 i = 0; i < nrows; i++)
		{
			if (i % STRETCH == 0)
				CHECK_FOR_INTERRUPTS();
			if (row_stays(&cutter, i))
				put_row(&cutter, elements + i * cutter.row * cutter.width);
		}
		if (cutter.nbatch > 0)
			flush(&cutter);
		if (copy != NULL)
			pfree(copy);
		pfree(cutter.batch);
		pfree(cutter.runs);
		if (cutter.indexes != NULL)
			pfree(cutter.indexes);
	}
	return payload_builder_finish(cutter.builder);
}
