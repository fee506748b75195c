/*
 * ancestry.c
 *		What a version comes from.
 *
 * A recursive query takes a step of the executor for each generation, which is
 * slow for thousands.  Here all edges of a model are read at once and walked
 * in memory; those of another model, when a parent is one of its versions.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(modelopt_ancestors);

typedef struct ParentEdge
{
	int64		parent;
	struct ParentEdge *next;			/* to the child's next parent */
} ParentEdge;

typedef struct VersionNode
{
	int64		id;				/* the key */
	bool		loaded;			/* its parents are known */
	bool		seen;			/* it is in the queue */
	ParentEdge	   *parents;
	ParentEdge	   *last_parent;
} VersionNode;

typedef struct Ancestry
{
	MemoryContext context;
	HTAB	   *nodes;
	int64	   *queue;			/* what was seen, in order */
	int64		nqueued;
	int64		room;
} Ancestry;

static VersionNode *
get_node(Ancestry *ancestry, int64 id)
{
	bool		found;
	VersionNode	   *node = hash_search(ancestry->nodes, &id, HASH_ENTER, &found);

	if (!found)
		memset((char *) node + sizeof(int64), 0, sizeof(VersionNode) - sizeof(int64));
	return node;
}

static void
add_edge(Ancestry *ancestry, VersionNode *node, int64 parent)
{
	ParentEdge	   *edge = MemoryContextAllocZero(ancestry->context, sizeof(ParentEdge));

	edge->parent = parent;
	if (node->last_parent == NULL)
		node->parents = edge;
	else
		node->last_parent->next = edge;
	node->last_parent = edge;
}

/* All edges of the model that has a version. */
static void
load_edges(Ancestry *ancestry, int64 version_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(version_id)};

	SPI_execute_with_args("SELECT v.id, p.parent_id FROM modelopt_private.version v "
						  "LEFT JOIN modelopt_private.version_parent p ON p.version_id = v.id "
						  "WHERE v.model_id = (SELECT w.model_id FROM modelopt_private.version w WHERE w.id = $1) "
						  "ORDER BY v.id, p.number",
						  1, types, values, NULL, true, 0);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		bool		isnull;
		VersionNode	   *node = get_node(ancestry, DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull)));
		Datum		parent = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull);

		node->loaded = true;
		if (!isnull)
			add_edge(ancestry, node, DatumGetInt64(parent));
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
enqueue(Ancestry *ancestry, int64 id)
{
	VersionNode	   *node = get_node(ancestry, id);

	if (node->seen)
		return;
	node->seen = true;
	if (ancestry->nqueued == ancestry->room)
	{
		ancestry->room *= 2;
		ancestry->queue = repalloc_huge(ancestry->queue, ancestry->room * sizeof(int64));
	}
	ancestry->queue[ancestry->nqueued++] = id;
}

static void
walk(Ancestry *ancestry, int64 start, bool first_only)
{
	enqueue(ancestry, start);
	for (int64 i = 0; i < ancestry->nqueued; i++)
	{
		VersionNode	   *node = get_node(ancestry, ancestry->queue[i]);

		CHECK_FOR_INTERRUPTS();
		if (!node->loaded)
		{
			load_edges(ancestry, node->id);
			node->loaded = true;	/* also if there is no such version */
		}
		for (ParentEdge *edge = node->parents; edge != NULL; edge = edge->next)
		{
			enqueue(ancestry, edge->parent);
			if (first_only)
				break;
		}
	}
}

Datum
modelopt_ancestors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Ancestry	ancestry = {.room = 1024};
	HASHCTL		control = {
		.keysize = sizeof(int64),
		.entrysize = sizeof(VersionNode),
	};

	InitMaterializedSRF(fcinfo, 0);
	ancestry.context = AllocSetContextCreate(CurrentMemoryContext,
											 "modelopt ancestry",
											 ALLOCSET_DEFAULT_SIZES);
	control.hcxt = ancestry.context;
	ancestry.nodes = hash_create("versions", 1024, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ancestry.queue = MemoryContextAlloc(ancestry.context,
										ancestry.room * sizeof(int64));
	SPI_connect();
	walk(&ancestry, PG_GETARG_INT64(0), PG_GETARG_BOOL(1));
	SPI_finish();
	for (int64 i = 0; i < ancestry.nqueued; i++)
	{
		const ParentEdge *edge = get_node(&ancestry, ancestry.queue[i])->parents;
		Datum		values[3] = {Int64GetDatum(ancestry.queue[i]), Int64GetDatum(i + 1)};
		bool		nulls[3] = {false, false, edge == NULL};

		if (edge != NULL)
			values[2] = Int64GetDatum(edge->parent);

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	MemoryContextDelete(ancestry.context);
	return (Datum) 0;
}
