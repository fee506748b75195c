/*
 * part.h
 *		The bytes of objects, as rows.
 */
#ifndef MODELOPT_PART_H
#define MODELOPT_PART_H

#include "utils/snapshot.h"

/* Writes the bytes of one object, in order. */
typedef struct PartWriter PartWriter;

extern PartWriter *part_writer_create(int64 object_id);
extern void part_writer_append(PartWriter *writer, const void *bytes,
							   Size n);

/* Writes what is left, frees the writer, makes the rows visible to what
 * follows in the transaction, and returns the bytes in all. */
extern uint64 part_writer_finish(PartWriter *writer);

/* Reads n bytes of an object from an offset on; raises XX001 when they are
 * not there. */
extern void parts_read(int64 object_id, Snapshot snapshot, uint64 offset,
					   Size n, char *dst);

#endif							/* MODELOPT_PART_H */
