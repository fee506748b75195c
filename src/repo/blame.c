/*
 * blame.c
 *		Which version last set each tensor.
 *
 * All tensors of a version start there, and each goes back to the first parent
 * that has the same object under the same name and in the same shape; where
 * there is none, that version set it.  Tensors travel together, a query a
 * version, until all are settled, and no weights are read.  Versions are taken
 * by falling ids: no version is older than its parents.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_blame_tensors);

/* A tensor of the version that was asked about. */
typedef struct BlamedTensor
{
	char	   *name;
	int			number;			/* in the order of the model */
	int64		object_id;
	ArrayType  *shape;
	int64		version_id;		/* where it is, and in the end who set it */
	struct BlamedTensor *next;	/* that is at the same version */
} BlamedTensor;

/* A version that tensors are at. */
typedef struct Stop
{
	int64		version_id;
	int64		tree_id;
	BlamedTensor *tensors;
} Stop;

typedef struct Blame
{
	MemoryContext context;		/* of what lasts */
	int			ntensors;
	BlamedTensor *tensors;		/* by name */
	int			nstops;
	int			stops_allocated;
	Stop	   *stops;
	SPIPlanPtr	parents;
	SPIPlanPtr	entries;
} Blame;

static const char select_tensors[] =
"SELECT e.name, e.number, e.object_id, e.shape "
"FROM modelopt_private.version v JOIN modelopt_private.tree_entry e ON e.tree_id = v.tree_id "
"WHERE v.id = $1";

static const char select_parents[] =
"SELECT v.id, v.tree_id "
"FROM modelopt_private.version_parent p JOIN modelopt_private.version v ON v.id = p.parent_id "
"WHERE p.version_id = $1 ORDER BY p.number";

static const char select_entries[] =
"SELECT e.name, e.number, e.object_id, e.shape FROM modelopt_private.tree_entry e "
"WHERE e.tree_id = $1";

static Datum
get_value(SPITupleTable *table, uint64 row, int column)
{
	bool		isnull;

	return SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);
}

static SPIPlanPtr
prepare(const char *query, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(query, nargs, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare a query of blame");
	return plan;
}

/* Stays in the current context, which SPI would leave for one that lasts. */
static void
run(SPIPlanPtr plan, Datum *values)
{
	MemoryContext context = CurrentMemoryContext;

	if (SPI_execute_plan(plan, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run a query of blame");
	MemoryContextSwitchTo(context);
}

/* ---------- tensors ---------- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const BlamedTensor *) a)->name,
				  ((const BlamedTensor *) b)->name);
}

static void
read_tensors(Blame *blame, int64 version_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(version_id)};
	MemoryContext old;

	run(prepare(select_tensors, 1, types), values);
	old = MemoryContextSwitchTo(blame->context);
	blame->ntensors = SPI_processed;
	blame->tensors = palloc_extended((SPI_processed + 1) * sizeof(BlamedTensor),
									 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		BlamedTensor *tensor = &blame->tensors[row];

		tensor->name = TextDatumGetCString(get_value(SPI_tuptable, row, 1));
		tensor->number = DatumGetInt32(get_value(SPI_tuptable, row, 2));
		tensor->object_id = DatumGetInt64(get_value(SPI_tuptable, row, 3));
		tensor->shape = DatumGetArrayTypePCopy(get_value(SPI_tuptable, row, 4));
		tensor->version_id = version_id;
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
	qsort(blame->tensors, blame->ntensors, sizeof(BlamedTensor),
		  compare_names);
}

/* The tensor that a row of a parent's tree is the same as, if it is still at
 * that version. */
static BlamedTensor *
find_same(Blame *blame, int64 version_id, SPITupleTable *table, uint64 row)
{
	BlamedTensor key = {.name = TextDatumGetCString(get_value(table, row, 1))};
	BlamedTensor *tensor = bsearch(&key, blame->tensors, blame->ntensors,
								   sizeof(BlamedTensor), compare_names);
	ArrayType  *shape = DatumGetArrayTypeP(get_value(table, row, 4));

	if (tensor == NULL || tensor->version_id != version_id ||
		tensor->object_id != DatumGetInt64(get_value(table, row, 3)) ||
		VARSIZE(tensor->shape) != VARSIZE(shape) ||
		memcmp(tensor->shape, shape, VARSIZE(shape)) != 0)
		return NULL;
	return tensor;
}

/* ---------- stops ---------- */

static Stop *
find_stop(Blame *blame, int64 version_id, int64 tree_id)
{
	Stop	   *stop;

	for (int i = 0; i < blame->nstops; i++)
	{
		if (blame->stops[i].version_id == version_id)
			return &blame->stops[i];
	}
	if (blame->nstops == blame->stops_allocated)
	{
		blame->stops_allocated *= 2;
		blame->stops = repalloc(blame->stops,
								blame->stops_allocated * sizeof(Stop));
	}
	stop = &blame->stops[blame->nstops++];
	stop->version_id = version_id;
	stop->tree_id = tree_id;
	stop->tensors = NULL;
	return stop;
}

/* Takes the newest stop out. */
static Stop
take_newest(Blame *blame)
{
	int			newest = 0;
	Stop		stop;

	for (int i = 1; i < blame->nstops; i++)
	{
		if (blame->stops[i].version_id > blame->stops[newest].version_id)
			newest = i;
	}
	stop = blame->stops[newest];
	blame->stops[newest] = blame->stops[--blame->nstops];
	return stop;
}

/* ---------- moving ---------- */

/* Marks the tensors that a parent has too as being there. */
static void
mark_same(Blame *blame, const Stop *from, const Stop *to)
{
	Datum		values[1] = {Int64GetDatum(to->tree_id)};

	run(blame->entries, values);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		BlamedTensor *tensor = find_same(blame, from->version_id,
										 SPI_tuptable, row);

		if (tensor != NULL)
			tensor->version_id = to->version_id;
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Moves the tensors that were marked. */
static void
move_marked(Stop *from, Stop *to)
{
	BlamedTensor *tensor = from->tensors;

	from->tensors = NULL;
	while (tensor != NULL)
	{
		BlamedTensor *next = tensor->next;
		Stop	   *stop = tensor->version_id == to->version_id ? to : from;

		tensor->next = stop->tensors;
		stop->tensors = tensor;
		tensor = next;
	}
}

static void
move_to_parents(Blame *blame, Stop *from)
{
	Datum		values[1] = {Int64GetDatum(from->version_id)};
	SPITupleTable *parents;
	uint64		nparents;

	run(blame->parents, values);
	parents = SPI_tuptable;
	nparents = SPI_processed;
	for (uint64 row = 0; row < nparents && from->tensors != NULL; row++)
	{
		int64		parent_id = DatumGetInt64(get_value(parents, row, 1));
		Stop	   *to;

		if (parent_id >= from->version_id)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("history of the model repository is damaged"),
					 errdetail("A version is older than its parent.")));
		to = find_stop(blame, parent_id,
					   DatumGetInt64(get_value(parents, row, 2)));
		mark_same(blame, from, to);
		move_marked(from, to);
	}
	SPI_freetuptable(parents);
}

/* ---------- all of it ---------- */

static void
start_at(Blame *blame, int64 version_id)
{
	Stop	   *stop;

	read_tensors(blame, version_id);
	blame->stops_allocated = 16;
	blame->stops = MemoryContextAlloc(blame->context, 16 * sizeof(Stop));
	stop = find_stop(blame, version_id, 0);
	for (int i = 0; i < blame->ntensors; i++)
	{
		blame->tensors[i].next = stop->tensors;
		stop->tensors = &blame->tensors[i];
	}
}

static void
settle(Blame *blame, int64 version_id)
{
	Oid			types[1] = {INT8OID};
	MemoryContext step_context;
	MemoryContext old;

	blame->parents = prepare(select_parents, 1, types);
	blame->entries = prepare(select_entries, 1, types);
	start_at(blame, version_id);
	step_context = AllocSetContextCreate(CurrentMemoryContext, "blame step",
										 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(step_context);
	while (blame->nstops > 0)
	{
		Stop		stop = take_newest(blame);

		CHECK_FOR_INTERRUPTS();
		if (stop.tensors != NULL)
			move_to_parents(blame, &stop);
		MemoryContextReset(step_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(step_context);
}

static void
put_rows(ReturnSetInfo *result, const Blame *blame)
{
	for (int i = 0; i < blame->ntensors; i++)
	{
		const BlamedTensor *tensor = &blame->tensors[i];
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = PointerGetDatum(cstring_to_text(tensor->name));
		values[1] = Int32GetDatum(tensor->number);
		values[2] = Int64GetDatum(tensor->version_id);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		pfree(DatumGetPointer(values[0]));
	}
}

Datum
modelopt_blame_tensors(PG_FUNCTION_ARGS)
{
	Blame		blame = {.context = CurrentMemoryContext};

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	settle(&blame, PG_GETARG_INT64(0));
	SPI_finish();
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, &blame);
	return (Datum) 0;
}
