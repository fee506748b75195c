/*
 * object.h
 *		Payloads as the repository keeps them.
 *
 * An object's payload is a row of cells: the elements of dense, sparse and
 * packed payloads, in the dense order (so that all are coded against each
 * other), and the bytes of all other encodings.  Blocks have the same number
 * of cells, but for the last.
 */
#ifndef MODELOPT_OBJECT_H
#define MODELOPT_OBJECT_H

#include "kernel/kernel.h"
#include "model/model.h"
#include "utils/snapshot.h"

#define OBJECT_BLOCK_BYTES	KERNEL_PACK_BLOCK

/* Deltas to deltas to ...; beyond this, an object is stored by itself. */
#define OBJECT_MAX_DEPTH	8

/* What an object's row tells of each of its blocks. */
typedef struct ObjectBlock
{
	uint32		size;			/* coded */
	uint32		crc;			/* CRC-32C of its cells */
} ObjectBlock;

typedef struct CellLayout
{
	int			width;			/* bytes of a cell, a divisor of bytes */
	KernelNumber number;		/* what they mean */
	uint64		bytes;			/* of all cells */
} CellLayout;

/* Whether only the content of such a payload is kept, not how it was stored. */
static inline bool
object_is_plain(Encoding encoding)
{
	return encoding == ENCODING_DENSE || encoding == ENCODING_SPARSE ||
		encoding == ENCODING_PLANES;
}

/*
 * What a payload of an object is encoded as when it is read: a packed one comes
 * back dense, since the repository packs by itself; all others as they were.
 */
static inline Encoding
object_encoding(Encoding encoding)
{
	return encoding == ENCODING_PLANES ? ENCODING_DENSE : encoding;
}

/* form_bytes is the size of the encoded payload.  (object.c) */
extern CellLayout cell_layout(DType dtype, Encoding encoding, int64 count,
							  uint64 form_bytes);

extern uint32 object_block_crc(const void *cells, Size bytes);

/* The identity of what a payload would be stored as. */
extern void object_digest(Payload *payload, uint8 *digest);

/* ---------- reading (object_read.c) ---------- */

typedef struct ObjectReader ObjectReader;

/* Opens an object for reading by a snapshot, which must outlive the reader;
 * raises XX001 when it is not there.  Everything is in a context of its own
 * below the current one. */
extern ObjectReader *object_reader_create(int64 object_id, Snapshot snapshot);

/* Copies a range of the cells' bytes; raises XX001 when they are not those
 * that were written. */
extern void object_reader_read(ObjectReader *reader, uint64 offset, uint64 n,
							   char *dst);
extern int64 object_reader_id(const ObjectReader *reader);
extern int	object_reader_depth(const ObjectReader *reader);
extern CellLayout object_reader_layout(const ObjectReader *reader);
extern void object_reader_free(ObjectReader *reader);

/* ---------- writing (object_write.c) ---------- */

/* What became of a payload that was put into the repository. */
typedef struct StoredObject
{
	int64		id;
	bool		is_new;
	uint64		stored_bytes;	/* when new */
	int64		zeros;			/* elements; 0 where nobody counts them */
} StoredObject;

/*
 * Stores a payload of that identity, which has no object yet as far as anybody
 * knows.  base is an object that it may be coded against, or 0.  Finds, in the
 * end, that another transaction was faster, and takes its object then.
 */
extern StoredObject object_write(Payload *payload, const uint8 *digest,
								 int64 base);

/*
 * Codes an object that is there anew, against a base or (0) by itself.  The
 * caller has locked both, so that nobody else does and the base stays.
 */
extern void object_rewrite(int64 object_id, int64 base);

/* ---------- models of objects (object_source.c) ---------- */

/* A source of lazy payloads, whose offsets are objects' ids, that reads by
 * the active snapshot. */
extern struct LazySource *object_source_create(void);

#endif							/* MODELOPT_OBJECT_H */
