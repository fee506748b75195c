/*
 * prune_targets.c
 *		The payloads that are to be pruned.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/prune.h"

static PruneTarget *
make_target(const Model *model, int index)
{
	const Tensor *tensor = &model->tensors[index];
	PruneTarget *target = palloc0(sizeof(PruneTarget));

	target->tensor = index;
	target->index = tensor->payload;
	target->payload = tensor_payload(model, tensor);
	target->name = tensor->name;
	target->ndim = tensor->ndim;
	target->dims = tensor->dims;
	if (dtype_bits(target->payload->dtype) < 8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot prune tensor \"%s\" of dtype %s",
						utf8_to_server(tensor->name),
						dtype_name(target->payload->dtype)),
				 errhint("Prune the model before it is quantized.")));
	if (!dtype_has_zero(target->payload->dtype))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot prune tensor \"%s\" of dtype %s",
						utf8_to_server(tensor->name),
						dtype_name(target->payload->dtype)),
				 errdetail("This dtype has no zero.")));
	return target;
}

PruneTarget **
prune_targets(const Model *source, const PruneRequest *request, int *ntargets)
{
	int		   *chosen = target_choose(source, &request->patterns);
	PruneTarget **targets = palloc(Max(source->npayloads, 1) *
								   sizeof(PruneTarget *));

	*ntargets = 0;
	for (int i = 0; i < source->npayloads; i++)
	{
		if (chosen[i] >= 0)
			targets[(*ntargets)++] = make_target(source, chosen[i]);
	}
	pfree(chosen);
	return targets;
}
