/*
 * merge.c
 *		A merged model, tensor by tensor, as a plan says.
 *
 * What is taken over is shared, not copied, and stays unread.  Tensors that are
 * tied in the models that they come from, and become the same, stay tied.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/merge.h"
#include "utils/memutils.h"

/* A payload that was merged, to be found again by a tensor tied to it. */
typedef struct MergedPayload
{
	int			theirs;			/* payloads of the other models; -1 for none */
	int			base;
	MergeStep	step;
	int			result;			/* in the merged model; -1 when unused */
} MergedPayload;

typedef struct Source
{
	Model	   *model;
	const Tensor **sorted;
	int		   *shared;			/* for each payload its index in the merged model,
								 * or -1 */
} Source;

typedef struct Merger
{
	const MergePlan *plan;
	Source		base;
	Source		ours;
	Source		theirs;
	MergedPayload *merged;		/* the last one for each payload of ours */
	Model	   *out;
} Merger;

static void
open_source(Source *source, Model *model)
{
	source->model = model;
	if (model == NULL)
		return;
	source->sorted = model_sort_tensors(model);
	source->shared = palloc(Max(model->npayloads, 1) * sizeof(int));
	for (int i = 0; i < model->npayloads; i++)
		source->shared[i] = -1;
}

static const Tensor *
find_tensor(const Source *source, const char *name)
{
	const Tensor *tensor = NULL;

	if (source->model != NULL)
		tensor = model_find_sorted(source->sorted, source->model->ntensors, name);
	if (tensor == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model to merge has no tensor named \"%s\"",
						utf8_to_server(name))));
	return tensor;
}

static void
add_tensor(Merger *merger, const Tensor *like, int payload)
{
	model_add_tensor(merger->out, like->name, strlen(like->name), like->ndim,
					 like->dims, payload);
}

/* ---------- as it is in one of them ---------- */

static void
take_tensor(Merger *merger, Source *source, const char *name)
{
	const Tensor *tensor = find_tensor(source, name);
	int		   *shared = &source->shared[tensor->payload];

	if (*shared < 0)
		*shared = model_share_payload(merger->out,
									  tensor_payload(source->model, tensor));
	add_tensor(merger, tensor, *shared);
}

/* ---------- of both ---------- */

static bool
same_step(const MergeStep *a, const MergeStep *b)
{
	return a->method == b->method && a->weight_ours == b->weight_ours &&
		a->weight_theirs == b->weight_theirs && a->density == b->density &&
		a->lambda == b->lambda;
}

/* Raises when tensors cannot be merged element by element. */
static void
check_alike(const Source *a, const Tensor *x, const Source *b,
			const Tensor *y)
{
	DType		dtype = tensor_payload(a->model, x)->dtype;

	if (dtype == tensor_payload(b->model, y)->dtype && dtype_is_float(dtype) &&
		x->ndim == y->ndim &&
		memcmp(x->dims, y->dims, x->ndim * sizeof(int64)) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tensor \"%s\" cannot be merged", utf8_to_server(x->name)),
			 errdetail("Floating-point tensors of one dtype and shape can.")));
}

static void
merge_tensor(Merger *merger, const char *name, const MergeStep *step)
{
	const Tensor *ours = find_tensor(&merger->ours, name);
	const Tensor *theirs = find_tensor(&merger->theirs, name);
	const Tensor *base = NULL;
	MergedPayload *last = &merger->merged[ours->payload];
	int			base_payload = -1;

	check_alike(&merger->ours, ours, &merger->theirs, theirs);
	if (step->method >= MERGE_TASK_ARITHMETIC)
	{
		base = find_tensor(&merger->base, name);
		check_alike(&merger->ours, ours, &merger->base, base);
		base_payload = base->payload;
	}
	if (last->result < 0 || last->theirs != theirs->payload ||
		last->base != base_payload || !same_step(&last->step, step))
	{
		last->result = merge_payloads(merger->out,
									  base == NULL ? NULL : tensor_payload(merger->base.model, base),
									  tensor_payload(merger->ours.model, ours),
									  tensor_payload(merger->theirs.model, theirs),
									  step);
		last->theirs = theirs->payload;
		last->base = base_payload;
		last->step = *step;
	}
	add_tensor(merger, ours, last->result);
}

/* ---------- all tensors ---------- */

static void
add_planned(Merger *merger, int i)
{
	const char *name = merger->plan->names[i];
	const MergeStep *step = &merger->plan->steps[i];

	switch (step->method)
	{
		case MERGE_OURS:
			take_tensor(merger, &merger->ours, name);
			break;
		case MERGE_THEIRS:
			take_tensor(merger, &merger->theirs, name);
			break;
		case MERGE_BASE:
			take_tensor(merger, &merger->base, name);
			break;
		default:
			merge_tensor(merger, name, step);
	}
}

Model *
merge_models(MemoryContext parent, const MergePlan *plan)
{
	Merger		merger = {.plan = plan};
	Model	   *out = model_create(parent);

	merger.out = out;
	open_source(&merger.base, plan->base);
	open_source(&merger.ours, plan->ours);
	open_source(&merger.theirs, plan->theirs);
	merger.merged = palloc(Max(plan->ours->npayloads, 1) * sizeof(MergedPayload));
	for (int i = 0; i < plan->ours->npayloads; i++)
		merger.merged[i].result = -1;
	model_set_metadata(out, plan->ours->metadata);
	model_set_recipe(out, plan->ours->recipe);
	if (plan->graph != NULL && plan->graph->graph != NULL)
		model_set_graph(out, plan->graph->graph, plan->graph->graph_size);
	for (int i = 0; i < plan->ntensors; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_planned(&merger, i);
	}
	return out;
}
