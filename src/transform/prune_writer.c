/*
 * prune_writer.c
 *		Makes a new payload of what stays, and counts what was done.
 *
 * Every method of pruning ends here, so that what a pruned element becomes
 * (+0) and what is reported of it is said once.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/progress.h"
#include "transform/prune.h"

struct PruneWriter
{
	PruneTarget *target;
	DType		dtype;
	int			width;			/* bytes of an element */
	PayloadBuilder *builder;	/* NULL in a dry run */
	Model	   *out;
	int64		values;			/* elements that are not +0 afterwards */
	char		after[PRUNE_BLOCK * sizeof(double)];
	double		before[PRUNE_BLOCK];	/* dry run */
};

PruneWriter *
prune_writer_create(Model *out, int64 nonzero, PruneTarget *target)
{
	PruneWriter *writer = palloc0(sizeof(PruneWriter));
	Payload    *payload = target->payload;

	writer->target = target;
	writer->dtype = payload->dtype;
	writer->width = dtype_bits(payload->dtype) / 8;
	writer->out = out;
	if (out != NULL)
		writer->builder = payload_builder_create(out, payload->dtype,
												 payload->count, nonzero);
	target->result = -1;
	target->selected = 0;
	target->zeros_before = 0;
	target->zeros_after = 0;
	target->max_error = 0;
	target->squared_error = 0;
	return writer;
}

/* What goes is the error: all of the element. */
static void
measure_errors(PruneWriter *writer, const void *elements, const uint8 *keep,
			   int64 n)
{
	PruneTarget *target = writer->target;

	dtype_to_double(writer->dtype, elements, 0, n, writer->before);
	for (int64 i = 0; i < n; i++)
	{
		double		error = keep[i] ? 0 : fabs(writer->before[i]);

		if (error > target->max_error || isnan(error))
			target->max_error = error;
		target->squared_error += error * error;
	}
}

void
prune_writer_append(PruneWriter *writer, const void *elements,
					const uint8 *keep, int64 n)
{
	PruneTarget *target = writer->target;
	KernelKept	counts = {0};

	Assert(n <= PRUNE_BLOCK);
	kernel_apply_keep(writer->after, elements, keep, n, writer->width,
					  dtype_has_negative_zero(writer->dtype), &counts);
	target->selected += n - counts.kept;
	target->zeros_before += counts.zeros_before;
	target->zeros_after += counts.zeros_after;
	progress_add(n);
	if (writer->builder != NULL)
		payload_builder_append(writer->builder, writer->after, n);
	else
	{
		writer->values += kernel_count_nonzero(writer->after, n, writer->width);
		measure_errors(writer, elements, keep, n);
	}
}

void
prune_writer_finish(PruneWriter *writer)
{
	PruneTarget *target = writer->target;

	if (writer->builder != NULL)
	{
		target->result = payload_builder_finish(writer->builder);
		target->stored_after = writer->out->payloads[target->result]->stored;
	}
	else
		target->stored_after = payload_built_size(writer->dtype,
												  target->payload->count,
												  writer->values);
	pfree(writer);
}

void
prune_write_kept(PruneTarget *target, const char *elements, const uint8 *keep,
				 Model *out)
{
	DType		dtype = target->payload->dtype;
	int64		count = target->payload->count;
	PruneWriter *writer =
		prune_writer_create(out, kernel_count_nonzero(keep, count, 1), target);

	for (int64 done = 0; done < count; done += PRUNE_BLOCK)
	{
		CHECK_FOR_INTERRUPTS();
		prune_writer_append(writer, elements + dtype_bytes(dtype, done),
							keep + done, Min(count - done, PRUNE_BLOCK));
	}
	prune_writer_finish(writer);
}
