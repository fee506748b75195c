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

/* Short runs, for which a call of memcpy would take longer than the copy. */
#define DEFINE_PUT_ROW(type) \
static void \
put_row_##type(Cutter *cutter, const char *row) \
{ \
	const type *from = (const type *) row; \
	type	   *to = (type *) cutter->batch + cutter->nbatch; \
\
	for (int64 i = 0; i < cutter->nruns; i++) \
	{ \
		const type *start = from + cutter->runs[i].start; \
		int64		n = cutter->runs[i].n; \
\
		for (int64 j = 0; j < n; j++) \
			*to++ = start[j]; \
	} \
	cutter->nbatch = to - (type *) cutter->batch; \
}

DEFINE_PUT_ROW(uint8)
DEFINE_PUT_ROW(uint16)
DEFINE_PUT_ROW(uint32)
DEFINE_PUT_ROW(uint64)

static void
put_row(Cutter *cutter, const char *row, int64 kept)
{
	/* Elements of a payload are aligned to their width. */
	if (kept / cutter->nruns < 32 && kept <= BATCH - cutter->nbatch)
	{
		switch (cutter->width)
		{
			case 1:
				put_row_uint8(cutter, row);
				break;
			case 2:
				put_row_uint16(cutter, row);
				break;
			case 4:
				put_row_uint32(cutter, row);
				break;
			default:
				put_row_uint64(cutter, row);
				break;
		}
		if (cutter->nbatch == BATCH)
			flush(cutter);
		return;
	}
	for (int64 i = 0; i < cutter->nruns; i++)
		put_run(cutter, row + cutter->runs[i].start * cutter->width,
				cutter->runs[i].n);
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
	int64		kept_of_row;
	int			last = ndim - 1;
	char	   *copy;
	const char *elements;
	int			result;

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
		kept_of_row = count_kept(keep[last], dims[last]) * inner;
		cutter.batch = palloc(BATCH * cutter.width);
		elements = payload_dense(payload, &copy);
		for (int64 i = 0; i < nrows; i++)
		{
			if (i % STRETCH == 0)
				CHECK_FOR_INTERRUPTS();
			if (row_stays(&cutter, i))
				put_row(&cutter, elements + i * cutter.row * cutter.width,
						kept_of_row);
		}
		if (cutter.nbatch > 0)
			flush(&cutter);
		if (copy != NULL)
			pfree(copy);
		pfree(cutter.batch);
		pfree(cutter.runs);
	}
	result = payload_builder_finish(cutter.builder);
	return result;
}
