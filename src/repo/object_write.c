/*
 * object_write.c
 *		Payloads become objects.
 *
 * One pass over the payload's elements counts what lists and comparisons want
 * to know, codes block after block, and writes them as rows; memory is needed
 * for a block.  The object's own row comes last, when everything about it is
 * known.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "model/progress.h"
#include "repo/block.h"
#include "repo/part.h"
#include "repo/repo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

typedef struct ObjectWriter
{
	MemoryContext context;		/* of everything here; SPI leaves it */
	Payload    *payload;
	CellLayout	layout;
	BlockCoder *coder;
	ObjectReader *base;			/* or NULL */
	bool		base_used;
	PartWriter *parts;
	char	   *cells;			/* of the block that is being filled */
	Size		filled;
	char	   *base_cells;
	uint64		coded;			/* cells' bytes that are coded */
	ObjectBlock *blocks;		/* that are coded */
	int64		nblocks;
	KernelStats stats;
	double	   *numbers;		/* a chunk of elements, to be counted */
} ObjectWriter;

/* ---------- the base ---------- */

/* A base has to have the same kind of cells, and not too many bases below. */
static ObjectReader *
open_base(int64 base, CellLayout layout)
{
	ObjectReader *reader;
	CellLayout	theirs;

	if (base == 0)
		return NULL;
	reader = object_reader_create(base, GetActiveSnapshot());
	theirs = object_reader_layout(reader);
	if (theirs.width == layout.width && theirs.number == layout.number &&
		object_reader_depth(reader) < OBJECT_MAX_DEPTH)
		return reader;
	object_reader_free(reader);
	return NULL;
}

/* The base's cells in the place of the block that was filled, or NULL. */
static const char *
base_of_block(ObjectWriter *writer)
{
	if (writer->base == NULL ||
		writer->coded + writer->filled > object_reader_layout(writer->base).bytes)
		return NULL;
	object_reader_read(writer->base, writer->coded, writer->filled,
					   writer->base_cells);
	return writer->base_cells;
}

/* ---------- cells ---------- */

static void
write_block(ObjectWriter *writer)
{
	const void *coded;
	Size		size;

	CHECK_FOR_INTERRUPTS();
	size = block_encode(writer->coder, writer->cells, base_of_block(writer),
						writer->filled, &coded);
	writer->base_used |= block_needs_base(coded, size);
	part_writer_append(writer->parts, coded, size);
	writer->blocks[writer->nblocks].size = size;
	writer->blocks[writer->nblocks++].crc = object_block_crc(writer->cells,
															 writer->filled);
	writer->coded += writer->filled;
	writer->filled = 0;
}

static void
write_cells(ObjectWriter *writer, const char *cells, Size n)
{
	while (n > 0)
	{
		Size		step = Min(n, OBJECT_BLOCK_BYTES - writer->filled);

		memcpy(writer->cells + writer->filled, cells, step);
		writer->filled += step;
		cells += step;
		n -= step;
		if (writer->filled == OBJECT_BLOCK_BYTES)
			write_block(writer);
	}
}

/* Elements are counted as what they stand for, whatever they are stored as. */
static void
count_elements(ObjectWriter *writer, const void *elements, int64 n)
{
	if (writer->payload->dtype == DTYPE_F32)
		kernel_stats_f32(&writer->stats, elements, n);
	else
	{
		dtype_to_double(writer->payload->dtype, elements, 0, n, writer->numbers);
		kernel_stats_f64(&writer->stats, writer->numbers, n);
	}
}

static void
write_elements(ObjectWriter *writer, bool as_cells)
{
	PayloadReader *reader = payload_reader_create(writer->payload);
	const void *elements;
	int64		n;

	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		count_elements(writer, elements, n);
		progress_add(dtype_bytes(writer->payload->dtype, n));
		if (as_cells)
			write_cells(writer, elements,
						dtype_bytes(writer->payload->dtype, n));
	}
	payload_reader_free(reader);
	kernel_stats_finish(&writer->stats);
}

/* An encoding is kept as it is, byte for byte. */
static void
write_form(ObjectWriter *writer)
{
	Payload    *payload = writer->payload;
	char	   *buffer = palloc(OBJECT_BLOCK_BYTES);
	uint64		n;

	for (uint64 done = 0; done < payload->stored; done += n)
	{
		n = Min(payload->stored - done, (uint64) OBJECT_BLOCK_BYTES);
		payload_copy_part(payload, done, n, buffer);
		write_cells(writer, buffer, n);
	}
	pfree(buffer);
}

static void
write_payload(ObjectWriter *writer)
{
	bool		plain = object_is_plain(writer->payload->encoding);

	write_elements(writer, plain);
	if (!plain)
		write_form(writer);
	if (writer->filled > 0)
		write_block(writer);
}

/* ---------- the object's row ---------- */

static Datum
make_bytea(const void *bytes, Size n)
{
	bytea	   *value = palloc(n + VARHDRSZ);

	SET_VARSIZE(value, n + VARHDRSZ);
	memcpy(VARDATA(value), bytes, n);
	return PointerGetDatum(value);
}

static int64
base_id_of(const ObjectWriter *writer)
{
	return writer->base_used ? object_reader_id(writer->base) : 0;
}

static int
depth_of(const ObjectWriter *writer)
{
	return writer->base_used ? object_reader_depth(writer->base) + 1 : 0;
}

/* Statistics are about finite elements; there may be none. */
static char
null_without(bool known)
{
	return known ? ' ' : 'n';
}

static const char insert_object[] =
"INSERT INTO modelopt_private.object (id, digest, content, dtype, encoding, count, form_bytes, "
"  raw_bytes, stored_bytes, base_id, depth, blocks, zeros, minimum, maximum, mean, l2) "
"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) "
"ON CONFLICT (digest) DO NOTHING";

#define OBJECT_COLUMNS 17

/* False when another transaction had inserted the same object. */
static bool
insert_row(ObjectWriter *writer, int64 id, const uint8 *digest,
		   uint64 stored_bytes)
{
	Oid			types[OBJECT_COLUMNS] = {
		INT8OID, BYTEAOID, BYTEAOID, INT2OID, INT2OID, INT8OID, INT8OID,
		INT8OID, INT8OID, INT8OID, INT2OID, BYTEAOID, INT8OID, FLOAT8OID,
		FLOAT8OID, FLOAT8OID, FLOAT8OID
	};
	const Payload *payload = writer->payload;
	Encoding	encoding = object_encoding(payload->encoding);
	uint64		raw_bytes = dtype_bytes(payload->dtype, payload->count);
	const KernelStats *stats = &writer->stats;
	bool		finite = stats->count > 0;
	Datum		values[OBJECT_COLUMNS] = {
		Int64GetDatum(id),
		make_bytea(digest, MODEL_DIGEST_LENGTH),
		make_bytea(payload->digest, MODEL_DIGEST_LENGTH),
		Int16GetDatum(payload->dtype),
		Int16GetDatum(encoding),
		Int64GetDatum(payload->count),
		Int64GetDatum(encoding == ENCODING_DENSE ? raw_bytes : payload->stored),
		Int64GetDatum(raw_bytes),
		Int64GetDatum(stored_bytes),
		Int64GetDatum(base_id_of(writer)),
		Int16GetDatum(depth_of(writer)),
		make_bytea(writer->blocks, writer->nblocks * sizeof(ObjectBlock)),
		Int64GetDatum(stats->zeros),
		Float8GetDatum(stats->min),
		Float8GetDatum(stats->max),
		Float8GetDatum(stats->mean),
		Float8GetDatum(sqrt(stats->squares)),
	};
	char		nulls[OBJECT_COLUMNS];

	memset(nulls, ' ', sizeof(nulls));
	nulls[9] = null_without(writer->base_used);
	for (int i = 13; i < OBJECT_COLUMNS; i++)
		nulls[i] = null_without(finite);
	if (SPI_execute_with_args(insert_object, OBJECT_COLUMNS, types, values,
							  nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not insert an object");
	return SPI_processed == 1;
}

static void
delete_parts(int64 object_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(object_id)};

	SPI_execute_with_args("DELETE FROM modelopt_private.part WHERE object_id = $1",
						  1, types, values, NULL, false, 0);
}

/* The object that another transaction inserted, locked as in find_objects; 0
 * when gc has taken it meanwhile. */
static int64
find_theirs(const uint8 *digest)
{
	Oid			types[1] = {BYTEAOID};
	Datum		values[1] = {make_bytea(digest, MODEL_DIGEST_LENGTH)};
	bool		isnull;
	int64		id = 0;

	CHECK_FOR_INTERRUPTS();
	SPI_execute_with_args("SELECT id FROM modelopt_private.object WHERE digest = $1 FOR KEY SHARE",
						  1, types, values, NULL, false, 1);
	if (SPI_processed > 0)
		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return id;
}

/* Makes the object what is found under the digest, or finds who was faster;
 * our rows of parts are of no use then. */
static void
insert_or_find(ObjectWriter *writer, StoredObject *object, const uint8 *digest)
{
	int64		theirs = 0;

	do
		object->is_new = insert_row(writer, object->id, digest,
									object->stored_bytes);
	while (!object->is_new && (theirs = find_theirs(digest)) == 0);
	if (object->is_new)
		return;
	delete_parts(object->id);
	object->id = theirs;
}

/* A writer of cells like these, coded against a base or (0) not.  Its context
 * becomes the current one. */
static ObjectWriter *
open_writer(CellLayout layout, int64 base)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "modelopt object writer",
												  ALLOCSET_DEFAULT_SIZES);
	ObjectWriter *writer;
	int64		nblocks = (layout.bytes + OBJECT_BLOCK_BYTES - 1) / OBJECT_BLOCK_BYTES;

	MemoryContextSwitchTo(context);
	writer = palloc0(sizeof(ObjectWriter));
	writer->context = context;
	writer->layout = layout;
	writer->coder = block_coder_create(layout);
	writer->base = open_base(base, layout);
	writer->cells = palloc(OBJECT_BLOCK_BYTES + MODEL_ALIGNMENT);
	if (writer->base != NULL)
		writer->base_cells = palloc(OBJECT_BLOCK_BYTES + MODEL_ALIGNMENT);
	writer->blocks = palloc_extended((nblocks + 1) * sizeof(ObjectBlock),
									 MCXT_ALLOC_HUGE);
	return writer;
}

StoredObject
object_write(Payload *payload, const uint8 *digest, int64 base)
{
	MemoryContext old = CurrentMemoryContext;
	StoredObject object = {0};
	ObjectWriter *writer;

	(void) payload_digest(payload);
	writer = open_writer(cell_layout(payload->dtype, payload->encoding,
									 payload->count, payload->stored), base);
	writer->payload = payload;
	writer->numbers = palloc(PAYLOAD_CHUNK * sizeof(double));
	kernel_stats_init(&writer->stats);

	object.id = nextval_internal(repo_relation("object_id"), false);
	writer->parts = part_writer_create(object.id);
	write_payload(writer);
	object.stored_bytes = part_writer_finish(writer->parts);
	object.zeros = writer->stats.zeros;
	insert_or_find(writer, &object, digest);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(writer->context);
	return object;
}

/* ---------- the same object, coded otherwise ---------- */

static void
copy_cells(ObjectWriter *writer, ObjectReader *reader)
{
	uint64		bytes = writer->layout.bytes;
	char	   *buffer = palloc(OBJECT_BLOCK_BYTES + MODEL_ALIGNMENT);
	uint64		n;

	for (uint64 done = 0; done < bytes; done += n)
	{
		n = Min(bytes - done, (uint64) OBJECT_BLOCK_BYTES);
		object_reader_read(reader, done, n, buffer);
		write_cells(writer, buffer, n);
	}
	if (writer->filled > 0)
		write_block(writer);
}

static void
update_row(ObjectWriter *writer, int64 id, uint64 stored_bytes)
{
	Oid			types[5] = {INT8OID, INT8OID, INT8OID, INT2OID, BYTEAOID};
	Datum		values[5] = {
		Int64GetDatum(id),
		Int64GetDatum(stored_bytes),
		Int64GetDatum(base_id_of(writer)),
		Int16GetDatum(depth_of(writer)),
		make_bytea(writer->blocks, writer->nblocks * sizeof(ObjectBlock)),
	};

	if (SPI_execute_with_args("UPDATE modelopt_private.object SET stored_bytes = $2, "
							  "base_id = nullif($3, 0), depth = $4, blocks = $5 WHERE id = $1",
							  5, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update an object");
}

/* The old rows go first, since the new ones have their keys, and are read all
 * the same: by the snapshot from before. */
void
object_rewrite(int64 object_id, int64 base)
{
	MemoryContext old = CurrentMemoryContext;
	ObjectReader *reader = object_reader_create(object_id, GetActiveSnapshot());
	ObjectWriter *writer = open_writer(object_reader_layout(reader), base);

	delete_parts(object_id);
	MemoryContextSwitchTo(writer->context);
	writer->parts = part_writer_create(object_id);
	copy_cells(writer, reader);
	update_row(writer, object_id, part_writer_finish(writer->parts));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(writer->context);
	object_reader_free(reader);
}
