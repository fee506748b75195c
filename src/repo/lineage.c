/*
 * lineage.c
 *		How far versions are from one of them.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/hsearch.h"

PG_FUNCTION_INFO_V1(modelopt_steps_from);

typedef struct Reached
{
	int64		version_id;		/* the key */
	int32		steps;
} Reached;

static int64 *
ids_of(ArrayType *array, int *n)
{
	if (ARR_NDIM(array) > 1 || ARR_HASNULL(array))
		elog(ERROR, "edges of history are arrays of one dimension");
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return (int64 *) ARR_DATA_PTR(array);
}

static void
put_steps(ReturnSetInfo *result, const Reached *reached)
{
	Datum		values[2] = {Int64GetDatum(reached->version_id), Int32GetDatum(reached->steps)};
	bool		nulls[2] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * steps_from(start, sources, targets): for all that edges lead to from start,
 * the fewest edges that do.  Edges come in an order in which no edge to a
 * version follows one from it, so one pass is enough, however many ways there
 * are.
 */
Datum
modelopt_steps_from(PG_FUNCTION_ARGS)
{
	int64		start = PG_GETARG_INT64(0);
	int			nsources;
	int			ntargets;
	int64	   *sources = ids_of(PG_GETARG_ARRAYTYPE_P(1), &nsources);
	int64	   *targets = ids_of(PG_GETARG_ARRAYTYPE_P(2), &ntargets);
	HASHCTL		control = {
		.keysize = sizeof(int64),
		.entrysize = sizeof(Reached),
		.hcxt = CurrentMemoryContext,
	};
	HTAB	   *known = hash_create("reached versions", 256, &control,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	Reached    *reached;
	HASH_SEQ_STATUS walk;
	bool		found;

	InitMaterializedSRF(fcinfo, 0);
	reached = hash_search(known, &start, HASH_ENTER, &found);
	reached->steps = 0;
	for (int i = 0; i < nsources && i < ntargets; i++)
	{
		int32		steps;

		CHECK_FOR_INTERRUPTS();
		reached = hash_search(known, &sources[i], HASH_FIND, NULL);
		if (reached == NULL)
			continue;
		steps = reached->steps + 1;
		reached = hash_search(known, &targets[i], HASH_ENTER, &found);
		if (!found || steps < reached->steps)
			reached->steps = steps;
	}
	hash_seq_init(&walk, known);
	while ((reached = hash_seq_search(&walk)) != NULL)
		put_steps((ReturnSetInfo *) fcinfo->resultinfo, reached);
	return (Datum) 0;
}
