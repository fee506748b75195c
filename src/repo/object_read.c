/*
 * object_read.c
 *		Reading the cells of objects.
 *
 * A reader knows where each block of its object ends, and keeps the last block
 * that it decoded.  A block that is a difference is decoded after the same
 * block of the object's base, and so on down, at most OBJECT_MAX_DEPTH times.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "miscadmin.h"
#include "repo/block.h"
#include "repo/part.h"
#include "repo/repo.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Columns of the table "object" that a reader needs. */
enum
{
	OBJECT_ID = 1,
	OBJECT_DTYPE = 4,
	OBJECT_ENCODING = 5,
	OBJECT_COUNT = 6,
	OBJECT_FORM_BYTES = 7,
	OBJECT_BASE_ID = 10,
	OBJECT_DEPTH = 11,
	OBJECT_BLOCKS = 12,
};

struct ObjectReader
{
	MemoryContext context;
	Snapshot	snapshot;
	int64		id;
	CellLayout	layout;
	int			depth;
	bool		is_base;		/* whose cells are checked with those that they are
								 * a part of */
	int64		base_id;		/* or 0 */
	ObjectReader *base;			/* once a block needed it */
	BlockCoder *coder;			/* one for all bases, whose layouts are equal */
	int64		nblocks;
	uint64	   *ends;			/* of the coded blocks */
	uint32	   *crcs;			/* of their cells */
	char	   *coded;
	char	   *cells;			/* of the block that was decoded last */
	int64		decoded;		/* which it is, or -1 */
};

static void
report_damaged(int64 object_id, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("object " INT64_FORMAT " of the model repository is damaged",
					object_id),
			 errdetail_internal("%s", detail),
			 errhint("modelopt.verify() lists the versions that are damaged.")));
}

/* ---------- opening ---------- */

/* A column of the object's row, which must not be null. */
static Datum
get_column(const ObjectReader *reader, TupleDesc columns, HeapTuple row,
		   int column)
{
	bool		isnull;
	Datum		value = heap_getattr(row, column, columns, &isnull);

	if (isnull)
		report_damaged(reader->id, "A column is null.");
	return value;
}

static void
read_layout(ObjectReader *reader, TupleDesc columns, HeapTuple row)
{
	int			dtype = DatumGetInt16(get_column(reader, columns, row, OBJECT_DTYPE));
	int			encoding = DatumGetInt16(get_column(reader, columns, row, OBJECT_ENCODING));
	int64		count = DatumGetInt64(get_column(reader, columns, row, OBJECT_COUNT));
	int64		form_bytes = DatumGetInt64(get_column(reader, columns, row, OBJECT_FORM_BYTES));

	if (dtype_info(dtype) == NULL || encoding_info(encoding) == NULL ||
		count < 0 || count > PG_INT64_MAX / 8 || form_bytes < 0)
		report_damaged(reader->id, "Its row has numbers that mean nothing.");
	reader->layout = cell_layout(dtype, encoding, count, form_bytes);
}

/* Where blocks end, from their sizes, and what their cells must be. */
static void
read_blocks(ObjectReader *reader, Datum value)
{
	bytea	   *blocks = DatumGetByteaPP(value);
	uint64		end = 0;

	reader->nblocks = (reader->layout.bytes + OBJECT_BLOCK_BYTES - 1) / OBJECT_BLOCK_BYTES;
	if (VARSIZE_ANY_EXHDR(blocks) != reader->nblocks * sizeof(ObjectBlock))
		report_damaged(reader->id, "Its list of blocks does not fit its size.");
	reader->ends = palloc_extended((reader->nblocks + 1) * sizeof(uint64),
								   MCXT_ALLOC_HUGE);
	reader->crcs = palloc_extended((reader->nblocks + 1) * sizeof(uint32),
								   MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < reader->nblocks; i++)
	{
		ObjectBlock block;

		memcpy(&block, VARDATA_ANY(blocks) + i * sizeof(block), sizeof(block));
		if (block.size > block_coded_bound())
			report_damaged(reader->id, "A block is larger than blocks can be.");
		end += block.size;
		reader->ends[i] = end;
		reader->crcs[i] = block.crc;
	}
}

static void
read_row(ObjectReader *reader, TupleDesc columns, HeapTuple row)
{
	bool		isnull;

	read_layout(reader, columns, row);
	reader->depth = DatumGetInt16(get_column(reader, columns, row, OBJECT_DEPTH));
	reader->base_id = DatumGetInt64(heap_getattr(row, OBJECT_BASE_ID, columns, &isnull));
	if (isnull)
		reader->base_id = 0;
	read_blocks(reader, get_column(reader, columns, row, OBJECT_BLOCKS));
}

static void
find_row(ObjectReader *reader)
{
	Relation	table = table_open(repo_relation("object"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, OBJECT_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(reader->id));
	scan = systable_beginscan(table, repo_relation("object_pkey"), true,
							  reader->snapshot, 1, &key);
	row = systable_getnext(scan);
	if (!HeapTupleIsValid(row))
		report_damaged(reader->id, "Its row is not there.");
	read_row(reader, RelationGetDescr(table), row);
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

/* coder is NULL for an object that is nobody's base. */
static ObjectReader *
open_object(int64 object_id, Snapshot snapshot, BlockCoder *coder)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "modelopt object",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ObjectReader *reader = palloc0(sizeof(ObjectReader));
	uint64		largest;

	reader->context = context;
	reader->snapshot = snapshot;
	reader->id = object_id;
	reader->decoded = -1;
	find_row(reader);
	largest = Min(reader->layout.bytes, (uint64) OBJECT_BLOCK_BYTES);
	reader->is_base = coder != NULL;
	reader->coder = coder != NULL ? coder : block_coder_create(reader->layout);
	reader->coded = palloc(block_coded_bound());
	reader->cells = palloc(largest + MODEL_ALIGNMENT);
	MemoryContextSwitchTo(old);
	return reader;
}

ObjectReader *
object_reader_create(int64 object_id, Snapshot snapshot)
{
	return open_object(object_id, snapshot, NULL);
}

void
object_reader_free(ObjectReader *reader)
{
	MemoryContextDelete(reader->context);
}

int64
object_reader_id(const ObjectReader *reader)
{
	return reader->id;
}

int
object_reader_depth(const ObjectReader *reader)
{
	return reader->depth;
}

CellLayout
object_reader_layout(const ObjectReader *reader)
{
	return reader->layout;
}

/* ---------- blocks ---------- */

/* A damaged repository may have a base that is not older, so depths are
 * compared: a circle would be read forever. */
static void
open_base(ObjectReader *reader)
{
	MemoryContext old;
	ObjectReader *base;

	if (reader->base != NULL)
		return;
	if (reader->base_id == 0)
		report_damaged(reader->id, "A block has no base.");
	old = MemoryContextSwitchTo(reader->context);
	base = open_object(reader->base_id, reader->snapshot, reader->coder);
	MemoryContextSwitchTo(old);
	if (base->depth >= reader->depth ||
		base->layout.width != reader->layout.width ||
		base->layout.number != reader->layout.number)
		report_damaged(reader->id, "Its base does not fit.");

	/* Not before: the reader lives on when somebody catches the error. */
	reader->base = base;
}

static const char *decode_block(ObjectReader *reader, int64 block);

/* The cells of the base in a block's place. */
static const char *
base_cells(ObjectReader *reader, int64 block, Size bytes)
{
	open_base(reader);
	if (block * OBJECT_BLOCK_BYTES + bytes > reader->base->layout.bytes)
		report_damaged(reader->id, "Its base is too short.");
	return decode_block(reader->base, block);
}

static Size
block_bytes(const ObjectReader *reader, int64 block)
{
	return Min((uint64) OBJECT_BLOCK_BYTES,
			   reader->layout.bytes - (uint64) block * OBJECT_BLOCK_BYTES);
}

static void
decode_block_into(ObjectReader *reader, int64 block, char *cells)
{
	uint64		start = block > 0 ? reader->ends[block - 1] : 0;
	Size		size = reader->ends[block] - start;
	Size		bytes = block_bytes(reader, block);
	const char *base = NULL;

	CHECK_FOR_INTERRUPTS();
	parts_read(reader->id, reader->snapshot, start, size, reader->coded);
	if (block_needs_base(reader->coded, size))
		base = base_cells(reader, block, bytes);
	if (!block_decode(reader->coder, cells, base, bytes, reader->coded, size))
		report_damaged(reader->id, "A block cannot be decoded.");
	if (!reader->is_base && object_block_crc(cells, bytes) != reader->crcs[block])
		report_damaged(reader->id, "A block is not what was written.");
}

static const char *
decode_block(ObjectReader *reader, int64 block)
{
	if (reader->decoded != block)
	{
		reader->decoded = -1;
		decode_block_into(reader, block, reader->cells);
		reader->decoded = block;
	}
	return reader->cells;
}

void
object_reader_read(ObjectReader *reader, uint64 offset, uint64 n, char *dst)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);

	if (offset > reader->layout.bytes || n > reader->layout.bytes - offset)
		report_damaged(reader->id, "It is shorter than the tensor.");
	while (n > 0)
	{
		int64		block = offset / OBJECT_BLOCK_BYTES;
		Size		skip = offset % OBJECT_BLOCK_BYTES;
		Size		bytes = block_bytes(reader, block);
		Size		step = Min(n, bytes - skip);

		/* Whole blocks go where they are wanted without a copy. */
		if (step == bytes && reader->decoded != block)
			decode_block_into(reader, block, dst);
		else
			memcpy(dst, decode_block(reader, block) + skip, step);
		offset += step;
		dst += step;
		n -= step;
	}
	MemoryContextSwitchTo(old);
}
