/*
 * pytorch_load.c
 *		From storages in a checkpoint to payloads in a model.
 *
 * Owns the table of storages, which weights are tied (the same view of the
 * same storage), the bound on what may be made of the input, and the one copy
 * of the bytes.  Everything is checked before the first payload is made.
 */
#include "postgres.h"

#include "model/elements.h"
#include "format/pytorch.h"

#define MAX_KEY		255		/* bytes; torch's own are short numbers */

/* ---------- the table of storages ---------- */

static int
compare_keys(const char *a, uint32 a_length, const char *b, uint32 b_length)
{
	int			order = memcmp(a, b, Min(a_length, b_length));

	if (order != 0)
		return order;
	return (a_length > b_length) - (a_length < b_length);
}

static int
compare_storages(const void *a, const void *b)
{
	const PytorchStorage *left = a;
	const PytorchStorage *right = b;

	return compare_keys(left->key, left->key_length,
						right->key, right->key_length);
}

PytorchStorage *
pytorch_find_storage(const PytorchReader *reader, const char *key,
					 uint32 length)
{
	PytorchStorage wanted = {.key = key,.key_length = length};

	return bsearch(&wanted, reader->storages, reader->nstorages,
				   sizeof(PytorchStorage), compare_storages);
}

/*
 * Reads a persistent id: ("storage", class, key, location, elements), and
 * where in it a view lies in the legacy layout.  False when it is the id of a
 * module's class, which that layout has too.
 */
static bool
read_persistent_id(const PytorchReader *reader, PickleRef ref,
				   PytorchStorage *storage)
{
	const Pickle *pickle = reader->pickle;
	PickleRef	tuple = pickle_node(pickle, ref)->u.persistent.id;
	const PickleGlobal *class;
	PickleRef	id[6];
	uint32		n = pickle_kind(pickle, tuple) == PICKLE_TUPLE ?
		pickle_tuple(pickle, tuple, id, lengthof(id)) : 0;

	if (n == 4 && pickle_is_string(pickle, id[0], "module") &&
		pickle_kind(pickle, id[1]) == PICKLE_GLOBAL)
		return false;
	if (n < 5 || n > 6 || !pickle_is_string(pickle, id[0], "storage") ||
		pickle_kind(pickle, id[1]) != PICKLE_GLOBAL ||
		pickle_kind(pickle, id[2]) != PICKLE_STRING ||
		pickle_kind(pickle, id[3]) != PICKLE_STRING ||
		pickle_kind(pickle, id[4]) != PICKLE_INT)
		pytorch_fail("A persistent id is none of a storage.");
	class = pickle_known_global(pickle, id[1]);
	if (class == NULL || class->group != PYTORCH_STORAGE)
		pytorch_fail("A storage is of the class \"%s\", which torch does not have.",
					 pickle_type_name(pickle, id[1]));

	memset(storage, 0, sizeof(*storage));
	storage->key = pickle_text(pickle, id[2]);
	storage->key_length = pickle_node(pickle, id[2])->u.text.length;
	if (storage->key_length > MAX_KEY)
		pytorch_fail("Storage key \"%s\" is too long.",
					 printable_bytes(storage->key, storage->key_length));
	storage->dtype = &pytorch_dtypes[class->value];
	storage->count = pickle_node(pickle, id[4])->u.integer;
	storage->is_meta = pickle_is_string(pickle, id[3], "meta");
	if (storage->count < 0 ||
		storage->count > PG_INT64_MAX / storage->dtype->width)
		pytorch_fail("Storage \"%s\" has an impossible number of elements.",
					 printable_bytes(storage->key, storage->key_length));
	return true;
}

/* Makes one of all entries with the same key, which must agree. */
static void
merge_storages(PytorchReader *reader)
{
	PytorchStorage *storages = reader->storages;
	int			kept = 0;

	for (int i = 0; i < reader->nstorages; i++)
	{
		PytorchStorage *last = kept > 0 ? &storages[kept - 1] : NULL;

		if (last == NULL || compare_storages(last, &storages[i]) != 0)
		{
			storages[kept++] = storages[i];
			continue;
		}
		if (last->dtype != storages[i].dtype ||
			last->count != storages[i].count)
			pytorch_fail("Storage \"%s\" has several types or sizes.",
						 printable_bytes(last->key, last->key_length));
		last->is_meta |= storages[i].is_meta;
	}
	reader->nstorages = kept;
}

void
pytorch_collect_storages(PytorchReader *reader)
{
	const Pickle *pickle = reader->pickle;
	int			n = 0;

	for (PickleRef ref = 1; ref < pickle->nnodes; ref++)
		n += pickle_kind(pickle, ref) == PICKLE_PERSISTENT;
	reader->storages = palloc_extended(Max(n, 1) * sizeof(PytorchStorage),
									   MCXT_ALLOC_HUGE);
	reader->nstorages = 0;
	for (PickleRef ref = 1; ref < pickle->nnodes; ref++)
	{
		if (pickle_kind(pickle, ref) == PICKLE_PERSISTENT &&
			read_persistent_id(reader, ref,
							   &reader->storages[reader->nstorages]))
			reader->nstorages++;
	}
	qsort(reader->storages, reader->nstorages, sizeof(PytorchStorage),
		  compare_storages);
	merge_storages(reader);
}

/* ---------- ties ---------- */

typedef struct LoadItem
{
	PytorchView view;
	int			weight;
	int			owner;			/* first weight with the same view */
	int			payload;		/* in the model, of an owner */
} LoadItem;

static int
compare_numbers(int64 a, int64 b)
{
	return (a > b) - (a < b);
}

/* Orders views so that equal ones are neighbours. */
static int
compare_views(const PytorchView *a, const PytorchView *b)
{
	int			order;

	if ((order = compare_numbers(a->storage - b->storage, 0)) != 0 ||
		(order = compare_numbers(a->dtype - b->dtype, 0)) != 0 ||
		(order = compare_numbers(a->offset, b->offset)) != 0 ||
		(order = compare_numbers(a->ndim, b->ndim)) != 0)
		return order;
	for (int i = 0; i < a->ndim; i++)
	{
		if ((order = compare_numbers(a->dims[i], b->dims[i])) != 0 ||
			(order = compare_numbers(a->strides[i], b->strides[i])) != 0)
			return order;
	}
	return 0;
}

static int
compare_items(const void *a, const void *b)
{
	const LoadItem *left = *(const LoadItem *const *) a;
	const LoadItem *right = *(const LoadItem *const *) b;
	int			order = compare_views(&left->view, &right->view);

	return order != 0 ? order : compare_numbers(left->weight, right->weight);
}

static void
find_ties(LoadItem *items, int count)
{
	LoadItem  **sorted = palloc(Max(count, 1) * sizeof(LoadItem *));

	for (int i = 0; i < count; i++)
		sorted[i] = &items[i];
	qsort(sorted, count, sizeof(LoadItem *), compare_items);
	for (int i = 0; i < count; i++)
	{
		if (i > 0 &&
			compare_views(&sorted[i - 1]->view, &sorted[i]->view) == 0)
			sorted[i]->owner = sorted[i - 1]->owner;
		else
			sorted[i]->owner = sorted[i]->weight;
	}
	pfree(sorted);
}

/* ---------- checks before the first payload ---------- */

static void
report_too_large(const PytorchReader *reader)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("checkpoint would grow too much when it is read"),
			 errdetail("Its tensors would take more than " UINT64_FORMAT " bytes, which its %zu bytes do not justify.",
					   pytorch_budget(reader), reader->size)));
}

/* Adds to what will be allocated; raises when that is out of proportion. */
static void
spend(const PytorchReader *reader, uint64 *spent, uint64 bytes)
{
	uint64		budget = pytorch_budget(reader);

	if (bytes > budget || *spent > budget - bytes)
		report_too_large(reader);
	*spent += bytes;
}

/* Finds the record of a storage, once. */
static void
check_storage(PytorchReader *reader, PytorchStorage *storage, uint64 *spent)
{
	uint64		inflated = 0;
	uint64		size;

	if (storage->found)
		return;
	size = reader->find_storage(reader, storage, &inflated);
	if (size != (uint64) storage->count * storage->dtype->width)
		pytorch_fail("Storage \"%s\" has " UINT64_FORMAT " bytes in the archive, but " UINT64_FORMAT " in the pickle.",
					 printable_bytes(storage->key, storage->key_length),
					 size, (uint64) storage->count * storage->dtype->width);
	spend(reader, spent, inflated);
	storage->found = true;
}

static void
check_items(PytorchReader *reader, LoadItem *items, int count)
{
	uint64		spent = 0;

	for (int i = 0; i < count; i++)
	{
		const PytorchView *view = &items[i].view;

		if (items[i].owner != i)
			continue;
		check_storage(reader, view->storage, &spent);
		spend(reader, &spent, dtype_bytes(view->dtype->dtype, view->count));
		view->storage->views++;
	}
}

/* ---------- copying ---------- */

static bool
is_contiguous(const PytorchView *view)
{
	int64		expected = 1;

	for (int i = view->ndim; i-- > 0;)
	{
		if (view->dims[i] != 1 && view->strides[i] != expected)
			return false;
		expected *= view->dims[i];
	}
	return true;
}

/* Whether a view is all there is of a storage that is wanted only once. */
static bool
is_whole(const PytorchView *view)
{
	const PytorchStorage *storage = view->storage;

	return storage->bytes == NULL && storage->views == 1 &&
		view->offset == 0 && is_contiguous(view) &&
		view->count * view->dtype->width == storage->count * storage->dtype->width;
}

static void
copy_view(PytorchReader *reader, const PytorchView *view, char *dst)
{
	PytorchStorage *storage = view->storage;
	const char *src;

	if (storage->bytes == NULL)
		reader->open_storage(reader, storage);
	src = storage->bytes + view->offset * view->dtype->width;
	if (is_contiguous(view))
		elements_copy(dst, src, dtype_bytes(view->dtype->dtype, view->count));
	else if (view->count > 0)
		elements_gather(dst, src, view->dtype->width, view->ndim, view->dims,
						view->strides);
	if (storage->views == 1)
		reader->close_storage(reader, storage);
}

/* Turns bytes round where they have to be, and looks at bools. */
static void
finish_elements(const PytorchReader *reader, const PytorchWeights *weights,
				const LoadItem *item, char *bytes, uint64 size)
{
	int			width = item->view.dtype->width;
	const PytorchWeight *weight = &weights->items[item->weight];

	if (reader->swap && width > 1)
		elements_swap(bytes, size, width);
	if (item->view.dtype->dtype == DTYPE_BOOL &&
		!elements_are_bool(bytes, size))
		pytorch_fail("Tensor \"%s\" is of dtype bool and has a byte that is neither 0 nor 1.",
					 printable_bytes(weights->names.data + weight->name,
									 weight->name_length));
}

static void
load_payload(PytorchReader *reader, const PytorchWeights *weights,
			 LoadItem *item, Model *model)
{
	const PytorchView *view = &item->view;
	uint64		size = dtype_bytes(view->dtype->dtype, view->count);
	char	   *dst;

	item->payload = model_new_payload(model, view->dtype->dtype,
									  ENCODING_DENSE, view->count, size);
	dst = model->payloads[item->payload]->bytes;
	if (is_whole(view))
		reader->copy_storage(reader, view->storage, dst);
	else
		copy_view(reader, view, dst);
	view->storage->views--;
	finish_elements(reader, weights, item, dst, size);
	payload_complete(model->payloads[item->payload]);
}

void
pytorch_load_weights(PytorchReader *reader, const PytorchWeights *weights,
					 Model *model)
{
	int			count = weights->count;
	LoadItem   *items = palloc_extended(Max(count, 1) * sizeof(LoadItem),
										MCXT_ALLOC_HUGE);

	for (int i = 0; i < count; i++)
	{
		items[i].weight = i;
		pytorch_read_view(reader, weights, i, &items[i].view);
	}
	find_ties(items, count);
	check_items(reader, items, count);

	for (int i = 0; i < count; i++)
	{
		const PytorchWeight *weight = &weights->items[i];
		const PytorchView *view = &items[i].view;

		if (items[i].owner == i)
			load_payload(reader, weights, &items[i], model);
		model_add_tensor(model, weights->names.data + weight->name,
						 weight->name_length, view->ndim, view->dims,
						 items[items[i].owner].payload);
	}
	model_check_names(model, ERRCODE_INVALID_BINARY_REPRESENTATION);
}
