/*
 * prune_structured.c
 *		Pruning whole slices of a tensor: those of the smallest norm, or at
 *		random.
 *
 * A slice is what shares an index along one dimension.  Its elements lie in
 * runs of equal length, as long as the dimensions behind it together.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "transform/prune.h"

/* The slices of a target. */
typedef struct Slices
{
	int64		n;
	int64		run;			/* neighbours in the same slice */
	double	   *norms;
	KernelNormRun open;			/* the run that blocks are in */
	uint8	   *nonzero;		/* whether any element is not zero */
	uint8	   *keep;
} Slices;

/* Part of a block that lies in one slice. */
typedef struct Run
{
	int64		slice;
	int64		n;
	bool		begins;			/* no earlier block has part of the run */
	bool		ends;			/* and no later one */
} Run;

/* The run that starts at place start of a block. */
static Run
run_at(const Slices *slices, int64 first, int64 start, int64 n)
{
	int64		index = first + start;
	int64		before = index % slices->run;
	Run			run;

	run.slice = index / slices->run % slices->n;
	run.n = Min(n - start, slices->run - before);
	run.begins = before == 0;
	run.ends = before + run.n == slices->run;
	return run;
}

static void
slices_init(Slices *slices, int ndim, const int64 *dims, int dim)
{
	slices->n = dims[dim];
	slices->run = 1;
	for (int i = dim + 1; i < ndim; i++)
		slices->run *= dims[i];
	slices->norms = palloc_extended(slices->n * sizeof(double),
									MCXT_ALLOC_HUGE);
	slices->nonzero = palloc_extended(slices->n,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	slices->keep = palloc_extended(slices->n, MCXT_ALLOC_HUGE);
}

static void
slices_free(Slices *slices)
{
	pfree(slices->norms);
	pfree(slices->nonzero);
	pfree(slices->keep);
}

/* ---------- norms ---------- */

static KernelNorm
kernel_norm(double norm)
{
	if (norm == 0)
		return KERNEL_NORM_0;
	if (norm == 1)
		return KERNEL_NORM_1;
	if (norm == 2)
		return KERNEL_NORM_2;
	if (isinf(norm))
		return norm > 0 ? KERNEL_NORM_MAX : KERNEL_NORM_MIN;
	return KERNEL_NORM_P;
}

/* Slices of which the block has a single element each, one after another. */
static void
add_row(Slices *slices, KernelNorm norm, double p, int64 slice,
		const double *x, int64 n)
{
	kernel_norm_add_each(norm, p, slices->norms + slice, x, n);
	for (int64 i = 0; i < n; i++)
		slices->nonzero[slice + i] |= x[i] != 0;
}

static void
add_run(Slices *slices, KernelNorm norm, double p, const Run *run,
		const double *x)
{
	double	   *sum = &slices->norms[run->slice];

	if (run->begins)
		kernel_norm_begin(norm, &slices->open);
	kernel_norm_add(norm, p, &slices->open, x, run->n);
	if (run->ends)
		*sum = kernel_norm_end(norm, &slices->open, *sum);
	for (int64 i = 0; i < run->n && !slices->nonzero[run->slice]; i++)
		slices->nonzero[run->slice] = x[i] != 0;
}

static void
measure_slices(Slices *slices, Payload *payload, double p)
{
	KernelNorm	norm = kernel_norm(p);
	double	   *x = palloc(PRUNE_BLOCK * sizeof(double));
	PruneReader reader;
	const void *elements;
	int64		first;
	int64		n;

	for (int64 i = 0; i < slices->n; i++)
		slices->norms[i] = kernel_norm_start(norm);
	prune_reader_init(&reader, payload);
	while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
	{
		dtype_to_double(payload->dtype, elements, 0, n, x);
		for (int64 start = 0; start < n;)
		{
			Run			run = run_at(slices, first, start, n);

			if (slices->run == 1)
			{
				run.n = Min(n - start, slices->n - run.slice);
				add_row(slices, norm, p, run.slice, x + start, run.n);
			}
			else
				add_run(slices, norm, p, &run, x + start);
			start += run.n;
		}
	}
	pfree(x);
}

void
prune_slice_norms(Payload *payload, int ndim, const int64 *dims, int dim,
				  double p, double *norms)
{
	Slices		slices;

	slices_init(&slices, ndim, dims, dim);
	measure_slices(&slices, payload, p);
	memcpy(norms, slices.norms, slices.n * sizeof(double));
	slices_free(&slices);
}

/* ---------- choice ---------- */

/* Makes keys in the place of the norms. */
static uint64 *
rank_slices(Slices *slices, const PruneTarget *target,
			const PruneRequest *request)
{
	uint64	   *keys = (uint64 *) slices->norms;

	if (request->method == PRUNE_RANDOM_STRUCTURED)
		kernel_random_keys(kernel_random_seed(request->seed, target->name),
						   0, slices->n, keys);
	else
		kernel_magnitude_keys_f64(slices->norms, slices->n, keys);
	return keys;
}

static void
choose_slices(Slices *slices, const PruneTarget *target,
			  const PruneRequest *request)
{
	uint64	   *keys = rank_slices(slices, target, request);
	int64		zeros = 0;

	if (request->amount.of_remaining)
	{
		/* Zero slices before all others, those of norm 0 among them. */
		for (int64 i = 0; i < slices->n; i++)
		{
			zeros += !slices->nonzero[i];
			keys[i] = !slices->nonzero[i] ? 0 :
				keys[i] + (keys[i] < PG_UINT64_MAX);
		}
	}
	prune_rank_units(keys, slices->n, sizeof(uint64),
					 prune_amount_of(&request->amount, slices->n, zeros,
									 "slices", target->name),
					 slices->keep);
	for (int64 i = 0; i < slices->n && request->amount.of_remaining; i++)
		slices->keep[i] |= !slices->nonzero[i];
}

/* ---------- result ---------- */

static void
keep_of_block(const Slices *slices, int64 first, int64 n, uint8 *keep)
{
	for (int64 start = 0; start < n;)
	{
		Run			run = run_at(slices, first, start, n);

		if (slices->run == 1)
		{
			run.n = Min(n - start, slices->n - run.slice);
			memcpy(keep + start, slices->keep + run.slice, run.n);
		}
		else
			memset(keep + start, slices->keep[run.slice], run.n);
		start += run.n;
	}
}

static void
write_slices(const Slices *slices, PruneTarget *target, Payload *payload,
			 Model *out)
{
	int64		kept = kernel_count_nonzero(slices->keep, slices->n, 1);
	int64		nonzero = payload->count / slices->n * kept;
	PruneWriter *writer = prune_writer_create(out, nonzero, target);
	uint8	   *keep = palloc(PRUNE_BLOCK);
	PruneReader reader;
	const void *elements;
	int64		first;
	int64		n;

	prune_reader_init(&reader, payload);
	while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
	{
		keep_of_block(slices, first, n, keep);
		prune_writer_append(writer, elements, keep, n);
	}
	prune_writer_finish(writer);
	pfree(keep);
}

/* The number of slices is a promise of the shape when there are no elements,
 * and no reason to take memory for them. */
static bool
prune_empty(PruneTarget *target, const PruneRequest *request, Model *out)
{
	if (target->payload->count > 0)
		return false;
	prune_amount_of(&request->amount, 0, 0, "slices", target->name);
	prune_writer_finish(prune_writer_create(out, 0, target));
	return true;
}

void
prune_structured(PruneTarget *target, const PruneRequest *request, Model *out)
{
	int			dim = prune_dimension(target, request, 0);
	Payload    *payload;
	Slices		slices;

	if (prune_empty(target, request, out))
		return;
	payload = prune_load(target->payload);
	slices_init(&slices, target->ndim, target->dims, dim);
	if (request->method == PRUNE_LN_STRUCTURED || request->amount.of_remaining)
		measure_slices(&slices, payload, request->norm);
	choose_slices(&slices, target, request);
	write_slices(&slices, target, payload, out);
	slices_free(&slices);
	prune_unload(target->payload, payload);
}
