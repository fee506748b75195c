/*
 * expanded.c
 *		Models as datums: expanded objects, and how flat ones are opened.
 *
 * Owns the border between the server's values and Model.  A flat datum in
 * memory is opened in place; one in a TOAST table has only its manifest read,
 * and its payloads stay where they are until somebody wants them.
 */
#include "postgres.h"

#include "compat.h"

#include "access/detoast.h"
#include "model/model.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* The largest model that can be a row's value: a row has a header and other
 * columns besides, and is allocated in one piece. */
#define MAX_STORED			(MaxAllocSize - BLCKSZ)

/* A TOASTed datum smaller than this is fetched whole at once. */
#define LAZY_THRESHOLD		(64 * 1024)

/* What is fetched first of a larger one: enough for most manifests. */
#define FIRST_SLICE			(16 * 1024)

static Size
model_get_flat_size(ExpandedObjectHeader *eohptr)
{
	uint64		size = model_flat_size((Model *) eohptr);

	if (size > MAX_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model of " UINT64_FORMAT " bytes is too large for a stored value",
						size),
				 errdetail("A value can have at most %zu bytes.",
						   (size_t) MAX_STORED),
				 errhint("Make the model smaller before it is stored or cast.")));
	return (Size) size;
}

static void
model_flatten_into(ExpandedObjectHeader *eohptr, void *result,
				   Size allocated_size)
{
	Assert(allocated_size == model_flat_size((Model *) eohptr));
	model_flatten((Model *) eohptr, result);
}

static const ExpandedObjectMethods model_methods = {
	model_get_flat_size,
	model_flatten_into
};

Datum
ModelGetDatum(Model *model)
{
	/* An argument that is handed back as it came. */
	if (model->hdr.eoh_methods != NULL)
		return EOHPGetRODatum(&model->hdr);

	/* The new object may outlive the datum that bytes were borrowed from. */
	for (int i = 0; i < model->npayloads; i++)
	{
		if (model->payloads[i]->source == PAYLOAD_BORROWED)
			payload_own(model->payloads[i]);
	}
	EOH_init_header(&model->hdr, &model_methods, model->context);
	return EOHPGetRWDatum(&model->hdr);
}

/* Whether a datum can be read from its TOAST table bit by bit. */
static bool
is_lazy(const struct varlena *value)
{
	struct varatt_external pointer;

	if (!VARATT_IS_EXTERNAL_ONDISK(value) || !ActiveSnapshotSet())
		return false;
	VARATT_EXTERNAL_GET_POINTER(pointer, value);
	return !VARATT_EXTERNAL_IS_COMPRESSED(pointer) &&
		pointer.va_rawsize > LAZY_THRESHOLD;
}

static Model *
open_toasted(struct varlena *value)
{
	struct varatt_external pointer;
	struct LazySource *toast;
	uint64		total,
				available;
	char	   *flat;
	uint64		manifest;
	Model	   *model;

	VARATT_EXTERNAL_GET_POINTER(pointer, value);
	total = pointer.va_rawsize;
	toast = toast_source_create(value);

	available = Min(total, (uint64) FIRST_SLICE);
	flat = palloc(available);
	SET_VARSIZE(flat, total);
	toast_source_read(toast, VARHDRSZ, available - VARHDRSZ, flat + VARHDRSZ);
	manifest = flat_manifest_end(flat, available);
	if (manifest > available && manifest <= total)
	{
		flat = repalloc_huge(flat, manifest);
		toast_source_read(toast, available, manifest - available,
						  flat + available);
		available = manifest;
	}
	model = model_parse(CurrentMemoryContext, flat, available, total, toast);
	lazy_source_release_unused(toast);
	pfree(flat);
	return model;
}

Model *
DatumGetModel(Datum datum)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);

	if (VARATT_IS_EXTERNAL_EXPANDED(value))
	{
		Model	   *model = (Model *) DatumGetEOHP(datum);

		if (model->magic != MODEL_MAGIC)
			elog(ERROR, "expanded object is no model");
		return model;
	}
	if (is_lazy(value))
		return open_toasted(value);
	value = PG_DETOAST_DATUM(datum);
	return model_parse(CurrentMemoryContext, (char *) value, VARSIZE(value),
					   VARSIZE(value), NULL);
}

void
datum_model_digest(Datum datum, uint8 *digest)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);

	if (VARATT_IS_EXTERNAL_EXPANDED(value))
		memcpy(digest, model_digest(DatumGetModel(datum)),
			   MODEL_DIGEST_LENGTH);
	else
	{
		value = PG_DETOAST_DATUM_SLICE(datum, 0, FLAT_HEADER_MAX - VARHDRSZ);
		flat_digest((char *) value, VARSIZE(value), digest);
	}
}
