/*
 * object_source.c
 *		Payloads of models that lie in the repository.
 *
 * A model that was got has lazy payloads, which are read here when somebody
 * asks; until when they can be is lazy.c's.  The object that was read last
 * stays open, since payloads are read piece after piece.
 */
#include "postgres.h"

#include "model/lazy.h"
#include "repo/object.h"
#include "repo/repo.h"
#include "utils/memutils.h"

typedef struct ObjectSource
{
	LazySource	source;			/* must be first */
	MemoryContext context;
	ObjectReader *reader;		/* or NULL */
	Oid			table;			/* of objects, when the source was made */
} ObjectSource;

static const char *
repository_gone(LazySource *source)
{
	if (repo_has_relation("object", ((ObjectSource *) source)->table))
		return NULL;
	return "the model repository has been dropped";
}

static ObjectReader *
open_reader(ObjectSource *source, int64 object_id)
{
	MemoryContext old;

	if (source->reader != NULL &&
		object_reader_id(source->reader) == object_id)
		return source->reader;
	if (source->context == NULL)
		source->context = AllocSetContextCreate(TopMemoryContext,
												"modelopt lazy objects",
												ALLOCSET_SMALL_SIZES);
	source->reader = NULL;
	MemoryContextReset(source->context);
	old = MemoryContextSwitchTo(source->context);
	source->reader = object_reader_create(object_id, source->source.snapshot);
	MemoryContextSwitchTo(old);
	return source->reader;
}

/* The sparse form of a payload, whole, from its cells. */
static void
read_sparse(ObjectReader *reader, const Payload *payload, char *dst)
{
	int			width = dtype_bits(payload->dtype) / 8;
	uint64		used = sparse_mask_size(payload->count);
	char	   *cells = palloc(PAYLOAD_CHUNK * width + MODEL_ALIGNMENT);
	char	   *values = palloc(PAYLOAD_CHUNK * width + MODEL_ALIGNMENT);
	uint8	   *mask = palloc(PAYLOAD_CHUNK / 8);

	memset(dst, 0, used);
	for (int64 done = 0; done < payload->count; done += PAYLOAD_CHUNK)
	{
		int64		n = Min(payload->count - done, PAYLOAD_CHUNK);
		Size		size;

		object_reader_read(reader, done * width, n * width, cells);
		size = kernel_sparse_pack(cells, n, width, mask, values) * width;
		if (size > payload->stored - used)
			break;
		memcpy(dst + done / 8, mask, (n + 7) / 8);
		memcpy(dst + used, values, size);
		used += size;
	}
	if (used != payload->stored)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("object " INT64_FORMAT " of the model repository is damaged",
						object_reader_id(reader)),
				 errdetail("It has another number of zeros than its row says."),
				 errhint("modelopt.verify() lists the versions that are damaged.")));
	pfree(mask);
	pfree(values);
	pfree(cells);
}

static void
read_object(LazySource *source, const Payload *payload, uint64 offset,
			uint64 length, char *dst)
{
	ObjectReader *reader = open_reader((ObjectSource *) source,
									   payload->lazy_offset);

	if (payload->encoding != ENCODING_SPARSE)
		object_reader_read(reader, offset, length, dst);
	else if (offset == 0 && length == payload->stored)
		read_sparse(reader, payload, dst);
	else
		elog(ERROR, "a sparse payload of the repository is read whole or by elements");
}

static void
read_object_elements(LazySource *source, const Payload *payload, int64 first,
					 int64 n, void *dst)
{
	object_reader_read(open_reader((ObjectSource *) source,
								   payload->lazy_offset),
					   dtype_bytes(payload->dtype, first),
					   dtype_bytes(payload->dtype, n), dst);
}

static void
release_reader(LazySource *source)
{
	MemoryContext context = ((ObjectSource *) source)->context;

	if (context != NULL)
		MemoryContextDelete(context);
}

static const LazyMethods object_methods = {
	.transactional = true,
	.gone = repository_gone,
	.read = read_object,
	.read_elements = read_object_elements,
	.release = release_reader,
};

LazySource *
object_source_create(void)
{
	Oid			table = repo_relation("object");
	ObjectSource *source = (ObjectSource *) lazy_source_create(sizeof(ObjectSource),
															   &object_methods);

	source->table = table;
	return &source->source;
}
