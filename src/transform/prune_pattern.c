/*
 * prune_pattern.c
 *		Pruning by what an element is, not by a count: below a threshold,
 *		among its neighbours (n:m), where a mask says so.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/prune.h"

/* ---------- threshold ---------- */

void
prune_threshold(PruneTarget *target, const PruneRequest *request, Model *out)
{
	Payload    *payload = target->payload;
	PruneWriter *writer = prune_writer_create(out, -1, target);
	double	   *values = palloc(PRUNE_BLOCK * sizeof(double));
	uint8	   *keep = palloc(PRUNE_BLOCK);
	PruneReader reader;
	const void *elements;
	int64		first;
	int64		n;

	prune_reader_init(&reader, payload);
	while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
	{
		dtype_to_double(payload->dtype, elements, 0, n, values);
		kernel_keep_from(values, n, request->threshold, keep);
		prune_writer_append(writer, elements, keep, n);
	}
	prune_writer_finish(writer);
	pfree(values);
	pfree(keep);
}

/* ---------- mask ---------- */

static bool
same_shape(const PruneTarget *target, const Tensor *tensor)
{
	return target->ndim == tensor->ndim &&
		memcmp(target->dims, tensor->dims,
			   target->ndim * sizeof(int64)) == 0;
}

static Payload *
mask_of(const PruneTarget *target, const PruneRequest *request)
{
	const Tensor *tensor = model_find_sorted(request->masks,
											 request->mask->ntensors,
											 target->name);

	if (tensor == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mask has no tensor named \"%s\"",
						utf8_to_server(target->name)),
				 errhint("Tensors without a mask can be left out with exclude.")));
	if (!same_shape(target, tensor))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mask of tensor \"%s\" does not have its shape",
						utf8_to_server(target->name))));
	return tensor_payload(request->mask, tensor);
}

void
prune_mask(PruneTarget *target, const PruneRequest *request, Model *out)
{
	Payload    *mask = mask_of(target, request);
	PruneWriter *writer = prune_writer_create(out, -1, target);
	double	   *values = palloc(PRUNE_BLOCK * sizeof(double));
	uint8	   *keep = palloc(PRUNE_BLOCK);
	PruneReader reader;
	PruneReader mask_reader;
	const void *elements;
	const void *mask_elements;
	int64		first;
	int64		n;

	/* Both have as many elements, so their blocks are alike. */
	prune_reader_init(&reader, target->payload);
	prune_reader_init(&mask_reader, mask);
	while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
	{
		prune_reader_next(&mask_reader, &mask_elements, &first);
		dtype_to_double(mask->dtype, mask_elements, 0, n, values);
		kernel_keep_nonzero(values, n, keep);
		prune_writer_append(writer, elements, keep, n);
	}
	prune_reader_next(&mask_reader, &mask_elements, &first);
	prune_writer_finish(writer);
	pfree(values);
	pfree(keep);
}

/* ---------- n of every m ---------- */

/* A tensor as outer x size x run elements, size being the dimension's. */
typedef struct Groups
{
	DType		dtype;
	const char *elements;
	int64		outer;
	int64		size;
	int64		run;
	int			n;
	int			m;
	int			width;			/* of keys */
	uint64	   *keys;			/* of so many groups at once */
	uint8	   *tile;			/* what stays of those */
	uint8	   *keep;			/* of the tensor */
} Groups;

/* Groups of neighbours in memory: count of them, from an element on. */
static void
keep_in_row(Groups *groups, int64 start, int64 count)
{
	for (int64 done = 0; done < count; done += KERNEL_PATTERN_GROUPS)
	{
		int64		n = Min(count - done, KERNEL_PATTERN_GROUPS);
		int64		first = start + done * groups->m;

		CHECK_FOR_INTERRUPTS();
		prune_magnitude_keys(groups->dtype, groups->elements, first,
							 n * groups->m, groups->width, groups->keys);
		kernel_keep_largest(groups->keys, groups->width, n, groups->m, 1,
							groups->n, groups->m, groups->keep + first);
	}
}

/* As many groups as a run has elements, each with one element in each of m
 * runs that follow one another. */
static void
keep_across_runs(Groups *groups, int64 start)
{
	for (int64 done = 0; done < groups->run; done += KERNEL_PATTERN_GROUPS)
	{
		int64		n = Min(groups->run - done, KERNEL_PATTERN_GROUPS);

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < groups->m; j++)
			prune_magnitude_keys(groups->dtype, groups->elements,
								 start + done + j * groups->run, n,
								 groups->width,
								 (char *) groups->keys + j * n * groups->width);
		kernel_keep_largest(groups->keys, groups->width, n, 1, n, groups->n,
							groups->m, groups->tile);
		for (int j = 0; j < groups->m; j++)
			memcpy(groups->keep + start + done + j * groups->run,
				   groups->tile + j * n, n);
	}
}

static void
choose_in_groups(Groups *groups)
{
	int64		whole = groups->size / groups->m;

	/* Rows without a remainder are one long row. */
	if (groups->run == 1 && groups->size % groups->m == 0)
	{
		keep_in_row(groups, 0, groups->outer * whole);
		return;
	}
	for (int64 i = 0; i < groups->outer; i++)
	{
		int64		start = i * groups->size * groups->run;

		if (groups->run == 1)
			keep_in_row(groups, start, whole);
		else
			for (int64 j = 0; j < whole; j++)
				keep_across_runs(groups, start + j * groups->m * groups->run);
	}
}

static void
groups_init(Groups *groups, const PruneTarget *target,
			const PruneRequest *request)
{
	Payload    *payload = target->payload;
	int			dim = prune_dimension(target, request, 1);

	groups->dtype = payload->dtype;
	groups->outer = groups->run = 1;
	groups->size = target->dims[dim];
	for (int i = 0; i < dim; i++)
		groups->outer *= target->dims[i];
	for (int i = dim + 1; i < target->ndim; i++)
		groups->run *= target->dims[i];
	groups->n = request->n;
	groups->m = request->m;
	groups->width = prune_key_width(payload->dtype);
	groups->keys = palloc(KERNEL_PATTERN_GROUPS * request->m * groups->width);
	groups->tile = palloc(KERNEL_PATTERN_GROUPS * request->m);
	groups->keep = palloc_extended(payload->count, MCXT_ALLOC_HUGE);
	memset(groups->keep, 1, payload->count);
}

void
prune_n_m(PruneTarget *target, const PruneRequest *request, Model *out)
{
	Payload    *payload = target->payload;
	Groups		groups;
	char	   *decoded;

	groups_init(&groups, target, request);
	if (groups.size < groups.m)
		ereport(NOTICE,
				(errmsg("tensor \"%s\" stays as it is",
						utf8_to_server(target->name)),
				 errdetail("It has no %d neighbours along the dimension: only " INT64_FORMAT ".",
						   groups.m, groups.size)));
	groups.elements = payload_dense(payload, &decoded);
	if (payload->count > 0)
		choose_in_groups(&groups);
	prune_write_kept(target, groups.elements, groups.keep, out);
	if (decoded != NULL)
		pfree(decoded);
	pfree(groups.keys);
	pfree(groups.tile);
	pfree(groups.keep);
}
