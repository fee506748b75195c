/*
 * part.c
 *		The bytes of objects, as rows.
 *
 * Owns the table "part".  An object's bytes are cut into rows that fill a page
 * each, inserted many at a time as COPY does it: a WAL record and an index
 * entry a page.  Compared with TOAST, which has four of both a page, at
 * 400 MB of incompressible bytes: see doc/storage.md.
 */
#include "postgres.h"

#include "compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "repo/part.h"
#include "repo/repo.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Columns of a part. */
enum
{
	PART_OBJECT = 1,
	PART_NUMBER,
	PART_DATA,
	PART_COLUMNS = PART_DATA
};

/*
 * What of a page is left for the data of one row: the tuple's header is
 * followed by the key and the data's length word.  The number is that of pages
 * of 8 kB on a 64-bit machine, and the same on others: a dump may be restored
 * there, and readers find a byte by it.
 */
#define PART_BYTES	8120

StaticAssertDecl(PART_BYTES + VARHDRSZ + sizeof(int32) + sizeof(int64) +
				 MAXALIGN(SizeofHeapTupleHeader) <= MaxHeapTupleSize,
				 "a part fits into a page, which must have 8 kB");

/* Rows inserted at once. */
#define PART_BATCH	64

struct PartWriter
{
	MemoryContext context;
	int64		object_id;
	uint64		written;		/* bytes in rows that are complete */
	int32		next_number;
	int			nrows;			/* complete, not inserted */
	int			filled;			/* bytes in the row after them */
	char	   *rows;			/* PART_BATCH varlenas */
	Relation	table;
	Relation	key;
	IndexInfo  *key_info;
	BulkInsertState bulk;
	TupleTableSlot *slots[PART_BATCH];
};

#define ROW_SPACE MAXALIGN(PART_BYTES + VARHDRSZ)

Oid
repo_relation(const char *name)
{
	Oid			schema = get_namespace_oid("modelopt_private", true);
	Oid			relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the model repository has no table \"%s\"", name),
				 errhint("It belongs to the extension modelopt, which must be installed whole.")));
	return relation;
}

bool
repo_has_relation(const char *name, Oid relation)
{
	Oid			schema = get_namespace_oid("modelopt_private", true);

	return OidIsValid(schema) && get_relname_relid(name, schema) == relation;
}

/* ---------- writing ---------- */

PartWriter *
part_writer_create(int64 object_id)
{
	PartWriter *writer = palloc0(sizeof(PartWriter));

	writer->context = AllocSetContextCreate(CurrentMemoryContext,
											"modelopt parts",
											ALLOCSET_SMALL_SIZES);
	writer->object_id = object_id;
	writer->rows = palloc(PART_BATCH * ROW_SPACE);
	writer->table = table_open(repo_relation("part"), RowExclusiveLock);
	writer->key = index_open(repo_relation("part_pkey"), RowExclusiveLock);
	writer->key_info = BuildIndexInfo(writer->key);
	writer->bulk = GetBulkInsertState();
	for (int i = 0; i < PART_BATCH; i++)
		writer->slots[i] = table_slot_create(writer->table, NULL);
	return writer;
}

static char *
row_at(PartWriter *writer, int i)
{
	return writer->rows + (Size) i * ROW_SPACE;
}

static void
fill_slot(PartWriter *writer, int i)
{
	TupleTableSlot *slot = writer->slots[i];

	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, PART_COLUMNS);
	slot->tts_values[PART_OBJECT - 1] = Int64GetDatum(writer->object_id);
	slot->tts_values[PART_NUMBER - 1] = Int32GetDatum(writer->next_number++);
	slot->tts_values[PART_DATA - 1] = PointerGetDatum(row_at(writer, i));
	ExecStoreVirtualTuple(slot);
}

static void
insert_key(PartWriter *writer, TupleTableSlot *slot)
{
	index_insert(writer->key, slot->tts_values, slot->tts_isnull,
				 &slot->tts_tid, writer->table, UNIQUE_CHECK_YES, false,
				 writer->key_info);
}

static void
insert_rows(PartWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(writer->context);

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < writer->nrows; i++)
		fill_slot(writer, i);
	table_multi_insert(writer->table, writer->slots, writer->nrows,
					   GetCurrentCommandId(true), 0, writer->bulk);
	for (int i = 0; i < writer->nrows; i++)
	{
		slot_getallattrs(writer->slots[i]);
		insert_key(writer, writer->slots[i]);
		ExecClearTuple(writer->slots[i]);
	}
	writer->nrows = 0;
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->context);
}

static void
complete_row(PartWriter *writer)
{
	SET_VARSIZE(row_at(writer, writer->nrows), writer->filled + VARHDRSZ);
	writer->written += writer->filled;
	writer->filled = 0;
	if (++writer->nrows == PART_BATCH)
		insert_rows(writer);
}

void
part_writer_append(PartWriter *writer, const void *bytes, Size n)
{
	const char *next = bytes;

	while (n > 0)
	{
		Size		step = Min(n, (Size) (PART_BYTES - writer->filled));

		memcpy(VARDATA(row_at(writer, writer->nrows)) + writer->filled, next,
			   step);
		writer->filled += step;
		next += step;
		n -= step;
		if (writer->filled == PART_BYTES)
			complete_row(writer);
	}
}

uint64
part_writer_finish(PartWriter *writer)
{
	uint64		written;

	if (writer->filled > 0)
		complete_row(writer);
	if (writer->nrows > 0)
		insert_rows(writer);
	table_finish_bulk_insert(writer->table, 0);
	FreeBulkInsertState(writer->bulk);
	for (int i = 0; i < PART_BATCH; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	index_close(writer->key, NoLock);
	table_close(writer->table, NoLock);
	written = writer->written;
	MemoryContextDelete(writer->context);
	pfree(writer->rows);
	pfree(writer);
	CommandCounterIncrement();
	return written;
}

/* ---------- reading ---------- */

static void
report_missing(int64 object_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("object " INT64_FORMAT " of the model repository is incomplete",
					object_id),
			 errhint("modelopt.verify() lists the versions that are damaged.")));
}

/* Copies what of a row lies in the range; rows must come one after the
 * other.  Returns the bytes copied. */
static Size
copy_row(Relation table, HeapTuple row, int32 number, uint64 offset, Size n,
		 char *dst)
{
	TupleDesc	columns = RelationGetDescr(table);
	bool		isnull;
	struct varlena *data;
	Size		skip = offset % PART_BYTES;
	Size		present;

	if (DatumGetInt32(heap_getattr(row, PART_NUMBER, columns, &isnull)) != number)
		return 0;
	data = (struct varlena *) DatumGetPointer(heap_getattr(row, PART_DATA, columns, &isnull));
	present = VARSIZE_ANY_EXHDR(data);
	if (VARATT_IS_EXTENDED(data) && !VARATT_IS_SHORT(data))
		return 0;
	if (present <= skip)
		return 0;
	n = Min(n, present - skip);
	memcpy(dst, VARDATA_ANY(data) + skip, n);
	return n;
}

void
parts_read(int64 object_id, Snapshot snapshot, uint64 offset, Size n,
		   char *dst)
{
	Relation	table = table_open(repo_relation("part"), AccessShareLock);
	Relation	key = index_open(repo_relation("part_pkey"), AccessShareLock);
	int32		number = offset / PART_BYTES;
	ScanKeyData bounds[2];
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&bounds[0], PART_OBJECT, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(object_id));
	ScanKeyInit(&bounds[1], PART_NUMBER, BTGreaterEqualStrategyNumber,
				F_INT4GE, Int32GetDatum(number));
	scan = systable_beginscan_ordered(table, key, snapshot, 2, bounds);
	while (n > 0 &&
		   (row = systable_getnext_ordered(scan, ForwardScanDirection)) != NULL)
	{
		Size		copied = copy_row(table, row, number++, offset, n, dst);

		if (copied == 0)
			break;
		offset += copied;
		dst += copied;
		n -= copied;
	}
	systable_endscan_ordered(scan);
	index_close(key, AccessShareLock);
	table_close(table, AccessShareLock);
	if (n > 0)
		report_missing(object_id);
}
