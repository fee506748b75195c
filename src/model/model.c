/*
 * model.c
 *		Models, tensors, and who owns their payloads.
 *
 * Owns the life of a Model and of the Payloads that models share.  Does not
 * know how a model is laid out as bytes (flat.c) or what a payload's bytes
 * mean (payload.c).
 *
 * Payloads live in a memory context of the whole session, because they are
 * shared between models whose own contexts come and go in any order.  Nothing
 * leaks on an error all the same: a payload is born into a model, and a reset
 * callback on the model's context lets go of it.
 */
#include "postgres.h"

#ifndef WIN32
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "common/int.h"
#include "mb/pg_wchar.h"
#include "model/model.h"
#include "utils/memutils.h"

MemoryContext
payload_memory(void)
{
	static MemoryContext context = NULL;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "modelopt payloads",
										ALLOCSET_DEFAULT_SIZES);
	return context;
}

static void
payload_release(Payload *payload)
{
	Assert(payload->refcount > 0);
	if (--payload->refcount > 0)
		return;
	if (payload->source == PAYLOAD_LAZY)
		lazy_source_detach(payload);
	if (payload->allocation != NULL)
		pfree(payload->allocation);
	pfree(payload);
}

/* Runs when the model's context is reset or deleted. */
static void
model_release_payloads(void *arg)
{
	Model	   *model = arg;
	int			n = model->npayloads;

	model->npayloads = 0;
	for (int i = 0; i < n; i++)
		payload_release(model->payloads[i]);
}

Model *
model_create(MemoryContext parent)
{
	MemoryContext context;
	MemoryContextCallback *callback;
	Model	   *model;

	context = AllocSetContextCreate(parent, "model", ALLOCSET_SMALL_SIZES);
	model = MemoryContextAllocZero(context, sizeof(Model));
	model->magic = MODEL_MAGIC;
	model->context = context;
	model->metadata = "{}";
	model->recipe = "[]";

	callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	callback->func = model_release_payloads;
	callback->arg = model;
	MemoryContextRegisterResetCallback(context, callback);
	return model;
}

void
model_free(Model *model)
{
	MemoryContextDelete(model->context);
}

/* ---------- payloads ---------- */

/* Room for one more payload, made before the payload so that nothing can
 * fail between its birth and its entry into the model. */
static void
reserve_payload_slot(Model *model)
{
	if (model->npayloads < model->payloads_allocated)
		return;
	if (model->payloads_allocated == 0)
	{
		model->payloads_allocated = 16;
		model->payloads = MemoryContextAlloc(model->context,
											 16 * sizeof(Payload *));
	}
	else
	{
		model->payloads = repalloc(model->payloads,
								   2 * model->payloads_allocated * sizeof(Payload *));
		model->payloads_allocated *= 2;
	}
}

/* A payload without bytes, in the last slot of the model. */
static Payload *
add_payload(Model *model, DType dtype, Encoding encoding, int64 count,
			uint64 stored)
{
	Payload    *payload;

	reserve_payload_slot(model);
	payload = MemoryContextAllocZero(payload_memory(), sizeof(Payload));
	payload->refcount = 1;
	payload->dtype = dtype;
	payload->encoding = encoding;
	payload->count = count;
	payload->stored = stored;
	payload->zeros = -1;
	model->payloads[model->npayloads++] = payload;
	model->has_digest = false;
	return payload;
}

/* Buffers from this size on get huge pages, where there are any. */
#define HUGE_PAGES_FROM (4 * 1024 * 1024)

/*
 * The first touch of each page of fresh memory costs more than what pruning
 * does with it, and a huge page is touched once where small ones are 512
 * times.  Many kernels give them to those who ask; if not, nothing is lost.
 */
static void
ask_for_huge_pages(char *start, uint64 bytes)
{
#ifdef MADV_HUGEPAGE
	const uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
	uintptr_t	first = ((uintptr_t) start + page - 1) & ~(page - 1);
	uintptr_t	last = ((uintptr_t) start + bytes) & ~(page - 1);

	if (bytes >= HUGE_PAGES_FROM)
		(void) madvise((void *) first, last - first, MADV_HUGEPAGE);
#endif
}

char *
model_alloc_bytes(MemoryContext context, uint64 bytes)
{
	char	   *start;

	if (bytes > MaxAllocHugeSize - MODEL_ALIGNMENT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("tensor of " UINT64_FORMAT " bytes is too large",
						bytes)));
	bytes += MODEL_ALIGNMENT;
	start = MemoryContextAllocHuge(context, (Size) bytes);
	ask_for_huge_pages(start, bytes);
	return start;
}

static void
allocate_bytes(Payload *payload)
{
	payload->bytes = model_alloc_bytes(payload_memory(), payload->stored);
	payload->allocation = payload->bytes;
}

int
model_new_payload(Model *model, DType dtype, Encoding encoding, int64 count,
				  uint64 stored)
{
	Payload    *payload = add_payload(model, dtype, encoding, count, stored);

	payload->source = PAYLOAD_OWNED;
	allocate_bytes(payload);
	return model->npayloads - 1;
}

int
model_borrow_payload(Model *model, DType dtype, Encoding encoding,
					 int64 count, uint64 stored, const char *bytes)
{
	Payload    *payload = add_payload(model, dtype, encoding, count, stored);

	payload->source = PAYLOAD_BORROWED;
	payload->bytes = unconstify(char *, bytes);
	return model->npayloads - 1;
}

int
model_lazy_payload(Model *model, DType dtype, Encoding encoding,
					  int64 count, uint64 stored, struct LazySource *source,
					  uint64 offset)
{
	Payload    *payload = add_payload(model, dtype, encoding, count, stored);

	payload->source = PAYLOAD_LAZY;
	payload->lazy_offset = offset;
	lazy_source_attach(source, payload);
	return model->npayloads - 1;
}

int
model_share_payload(Model *model, Payload *payload)
{
	if (payload->source == PAYLOAD_BORROWED)
	{
		int			copy = model_new_payload(model, payload->dtype,
											 payload->encoding,
											 payload->count, payload->stored);
		Payload    *own = model->payloads[copy];

		payload_copy_stored(payload, own->bytes);
		own->zeros = payload->zeros;
		own->has_digest = payload->has_digest;
		memcpy(own->digest, payload->digest, MODEL_DIGEST_LENGTH);
		payload_complete(own);
		return copy;
	}
	reserve_payload_slot(model);
	payload->refcount++;
	model->payloads[model->npayloads++] = payload;
	model->has_digest = false;
	return model->npayloads - 1;
}

void
payload_own(Payload *payload)
{
	Payload		loaded = *payload;

	if (payload->source == PAYLOAD_OWNED)
		return;
	allocate_bytes(&loaded);
	PG_TRY();
	{
		payload_copy_stored(payload, loaded.bytes);
	}
	PG_CATCH();
	{
		pfree(loaded.allocation);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (payload->source == PAYLOAD_LAZY)
		lazy_source_detach(payload);
	payload->source = PAYLOAD_OWNED;
	payload->bytes = loaded.bytes;
	payload->allocation = loaded.allocation;
	payload_complete(payload);
}

/* ---------- tensors ---------- */

bool
shape_count(int ndim, const int64 *dims, int64 *count)
{
	int64		product = 1;
	bool		empty = false;

	/*
	 * The dimensions beside a zero count too: whoever computes strides
	 * multiplies them.
	 */
	for (int i = 0; i < ndim; i++)
	{
		if (dims[i] < 0)
			return false;
		if (dims[i] == 0)
			empty = true;
		else if (pg_mul_s64_overflow(product, dims[i], &product) ||
				 product > PG_INT64_MAX / 16)
			return false;
	}
	*count = empty ? 0 : product;
	return true;
}

static void
check_tensor_name(const char *name, int length)
{
	if (length == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("tensor has an empty name")));
	if (length > MODEL_MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("tensor name of %d bytes is too long", length),
				 errdetail("A tensor's name can have at most %d bytes.",
						   MODEL_MAX_NAME)));
	if (!pg_verify_mbstr(PG_UTF8, name, length, true))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("tensor name is not valid UTF-8")));
}

static char *
copy_string(MemoryContext context, const char *s, size_t length)
{
	char	   *copy = MemoryContextAlloc(context, length + 1);

	memcpy(copy, s, length);
	copy[length] = '\0';
	return copy;
}

static void
reserve_tensor_slot(Model *model)
{
	if (model->ntensors >= MODEL_MAX_TENSORS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model has too many tensors"),
				 errdetail("A model can have at most %d tensors.",
						   MODEL_MAX_TENSORS)));
	if (model->ntensors < model->tensors_allocated)
		return;
	if (model->tensors_allocated == 0)
	{
		model->tensors_allocated = 16;
		model->tensors = MemoryContextAlloc(model->context,
											16 * sizeof(Tensor));
	}
	else
	{
		model->tensors = repalloc(model->tensors,
								  2 * model->tensors_allocated * sizeof(Tensor));
		model->tensors_allocated *= 2;
	}
}

void
model_add_tensor(Model *model, const char *name, int name_length, int ndim,
				 const int64 *dims, int payload)
{
	Tensor	   *tensor;
	int64	   *own_dims;
	int64		count;

	Assert(payload >= 0 && payload < model->npayloads);
	check_tensor_name(name, name_length);
	if (ndim < 0 || ndim > MODEL_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("tensor has %d dimensions", ndim),
				 errdetail("A tensor can have at most %d dimensions.",
						   MODEL_MAX_DIMS)));
	if (!shape_count(ndim, dims, &count))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("tensor has a negative or too large dimension")));
	if (count != model->payloads[payload]->count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("tensor's shape has " INT64_FORMAT " elements, but its payload has " INT64_FORMAT,
						count, model->payloads[payload]->count)));

	reserve_tensor_slot(model);
	own_dims = MemoryContextAlloc(model->context,
								  Max(ndim, 1) * sizeof(int64));
	for (int i = 0; i < ndim; i++)
		own_dims[i] = dims[i];
	tensor = &model->tensors[model->ntensors];
	tensor->name = copy_string(model->context, name, name_length);
	tensor->ndim = ndim;
	tensor->dims = own_dims;
	tensor->payload = payload;
	model->ntensors++;
	model->has_digest = false;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(const Tensor *const *) a)->name,
				  (*(const Tensor *const *) b)->name);
}

const Tensor **
model_sort_tensors(const Model *model)
{
	const Tensor **sorted = palloc(Max(model->ntensors, 1) * sizeof(Tensor *));

	for (int i = 0; i < model->ntensors; i++)
		sorted[i] = &model->tensors[i];
	qsort(sorted, model->ntensors, sizeof(Tensor *), compare_names);
	return sorted;
}

const Tensor *
model_find_sorted(const Tensor **sorted, int n, const char *name)
{
	const Tensor key = {.name = name};
	const Tensor *wanted = &key;
	const Tensor **found = bsearch(&wanted, sorted, n, sizeof(Tensor *),
								   compare_names);

	return found == NULL ? NULL : *found;
}

void
model_check_names(const Model *model, int sqlstate)
{
	const Tensor **sorted = model_sort_tensors(model);

	for (int i = 1; i < model->ntensors; i++)
	{
		const char *name = sorted[i]->name;

		if (strcmp(sorted[i - 1]->name, name) == 0)
			ereport(ERROR,
					(errcode(sqlstate),
					 errmsg("model has two tensors named \"%s\"",
							pg_any_to_server(name, strlen(name), PG_UTF8))));
	}
	pfree(sorted);
}

int
model_find_tensor(const Model *model, const char *name)
{
	for (int i = 0; i < model->ntensors; i++)
	{
		if (strcmp(model->tensors[i].name, name) == 0)
			return i;
	}
	return -1;
}

int64
model_parameters(const Model *model)
{
	int64		total = 0;

	for (int i = 0; i < model->npayloads; i++)
	{
		if (pg_add_s64_overflow(total, model->payloads[i]->count, &total))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("number of parameters is out of range")));
	}
	return total;
}

int64
model_raw_bytes(const Model *model)
{
	int64		total = 0;

	for (int i = 0; i < model->npayloads; i++)
	{
		const Payload *payload = model->payloads[i];

		if (pg_add_s64_overflow(total, dtype_bytes(payload->dtype, payload->count), &total))
			return PG_INT64_MAX;
	}
	return total;
}

/* ---------- metadata, recipe, copies ---------- */

static const char *
copy_json(Model *model, const char *json, const char *what)
{
	size_t		length = strlen(json);

	if (length > MODEL_MAX_METADATA)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s of the model is too large", what),
				 errdetail("It has %zu bytes of JSON text, and at most %d are allowed.",
						   length, MODEL_MAX_METADATA)));
	return copy_string(model->context, json, length);
}

void
model_set_metadata(Model *model, const char *json)
{
	model->metadata = copy_json(model, json, "metadata");
	model->has_digest = false;
}

void
model_set_recipe(Model *model, const char *json)
{
	model->recipe = copy_json(model, json, "recipe");
}

void
model_set_graph(Model *model, const char *graph, uint64 size)
{
	char	   *copy;

	if (size > MODEL_MAX_GRAPH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("graph of the model is too large"),
				 errdetail("It has " UINT64_FORMAT " bytes without its initializers, and at most %d are allowed.",
						   size, MODEL_MAX_GRAPH)));
	copy = MemoryContextAlloc(model->context, size);
	memcpy(copy, graph, size);
	model->graph = copy;
	model->graph_size = size;
	model->has_digest = false;
}

void
model_append_recipe(Model *model, const char *json)
{
	StringInfoData out;
	size_t		length = strlen(model->recipe);

	Assert(length >= 2 && model->recipe[length - 1] == ']');
	initStringInfo(&out);
	appendBinaryStringInfo(&out, model->recipe, length - 1);
	if (length > 2)
		appendStringInfoString(&out, ", ");
	appendStringInfoString(&out, json);
	appendStringInfoChar(&out, ']');
	model_set_recipe(model, out.data);
	pfree(out.data);
}

Model *
model_create_like(MemoryContext parent, const Model *like)
{
	Model	   *model = model_create(parent);

	model_set_metadata(model, like->metadata);
	model_set_recipe(model, like->recipe);
	if (like->graph != NULL)
		model_set_graph(model, like->graph, like->graph_size);
	return model;
}

void
model_add_tensors_of(Model *model, const Model *like)
{
	for (int i = 0; i < like->ntensors; i++)
	{
		const Tensor *tensor = &like->tensors[i];

		model_add_tensor(model, tensor->name, strlen(tensor->name),
						 tensor->ndim, tensor->dims, tensor->payload);
	}
}

Model *
model_copy(MemoryContext parent, const Model *like)
{
	Model	   *model = model_create_like(parent, like);

	for (int i = 0; i < like->npayloads; i++)
		model_share_payload(model, like->payloads[i]);
	model_add_tensors_of(model, like);
	return model;
}
