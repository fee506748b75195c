/*
 * toast.c
 *		Payloads that are still in a TOAST table.
 *
 * Knows the server's table access; until when a datum's rows can be read is
 * lazy.c's to know.
 */
#include "postgres.h"

#include "compat.h"

#include "access/detoast.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "model/lazy.h"
#include "utils/rel.h"

/* Bytes fetched between looks for interrupts. */
#define FETCH_BYTES		(4 * 1024 * 1024)

typedef struct ToastSource
{
	LazySource	source;			/* must be first */
	struct varatt_external pointer;
	Oid			filenode;		/* of the table, once it was read */
} ToastSource;

/* Opens the TOAST table; NULL when it is gone or has other files by now. */
static Relation
open_table(ToastSource *toast)
{
	Relation	rel = try_relation_open(toast->pointer.va_toastrelid,
										AccessShareLock);

	if (rel == NULL)
		return NULL;
	if (!OidIsValid(toast->filenode))
		toast->filenode = rel->rd_rel->relfilenode;
	if (toast->filenode == rel->rd_rel->relfilenode)
		return rel;
	relation_close(rel, AccessShareLock);
	return NULL;
}

static const char *
table_gone(LazySource *source)
{
	Relation	rel = open_table((ToastSource *) source);

	if (rel == NULL)
		return "the table has been truncated, rewritten or dropped";
	relation_close(rel, AccessShareLock);
	return NULL;
}

/* Offsets count from the varlena's length word, but those within a TOASTed
 * datum do not. */
static void
fetch(Relation rel, ToastSource *toast, uint64 offset, uint64 length,
	  char *dst)
{
	/* The access method writes behind a length word that it leaves alone. */
	struct varlena *result = (struct varlena *) (dst - VARHDRSZ);

	table_relation_fetch_toast_slice(rel, toast->pointer.va_valueid,
									 VARATT_EXTERNAL_GET_EXTSIZE(toast->pointer),
									 offset - VARHDRSZ, length, result);
}

static void
fetch_all(ToastSource *toast, uint64 offset, uint64 length, char *dst)
{
	Relation	rel = open_table(toast);

	for (uint64 done = 0; done < length; done += FETCH_BYTES)
	{
		CHECK_FOR_INTERRUPTS();
		fetch(rel, toast, offset + done,
			  Min((uint64) FETCH_BYTES, length - done), dst + done);
	}
	relation_close(rel, AccessShareLock);
}

static void
read_payload(LazySource *source, const Payload *payload, uint64 offset,
			 uint64 length, char *dst)
{
	fetch_all((ToastSource *) source, payload->lazy_offset + offset, length,
			  dst);
}

static void
release_nothing(LazySource *source)
{
}

static const LazyMethods toast_methods = {
	.transactional = true,
	.gone = table_gone,
	.read = read_payload,
	.release = release_nothing,
};

LazySource *
toast_source_create(const struct varlena *pointer)
{
	ToastSource *toast = (ToastSource *) lazy_source_create(sizeof(ToastSource),
															&toast_methods);

	VARATT_EXTERNAL_GET_POINTER(toast->pointer, pointer);
	return &toast->source;
}

void
toast_source_read(LazySource *source, uint64 offset, uint64 length, char *dst)
{
	lazy_source_check(source);
	fetch_all((ToastSource *) source, offset, length, dst);
}
