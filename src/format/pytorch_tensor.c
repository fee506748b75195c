/*
 * pytorch_tensor.c
 *		Tensors as torch pickles them: constructors and their arguments.
 *
 * Knows the functions of torch/_utils.py that a checkpoint calls to rebuild a
 * tensor, and reads their arguments into a view of a storage: dtype, offset,
 * shape, strides, all checked against the storage's size.  Does not touch the
 * storage's bytes.
 */
#include "postgres.h"

#include "common/int.h"
#include "format/pytorch.h"

/* Parameters around subclasses around ... that are looked through. */
#define MAX_WRAPPERS	8

/* A constructor that was found inside of its wrappers. */
typedef struct Constructor
{
	PytorchTensorKind kind;
	PickleRef	arguments;
} Constructor;

/* Arguments that the functions take that rebuild dense tensors. */
static const struct
{
	uint8		min;
	uint8		max;
}			arity[] = {
	[PYTORCH_REBUILD_V1] = {4, 4},
	[PYTORCH_REBUILD_V2] = {6, 7},
	[PYTORCH_REBUILD_V3] = {7, 8},
};

#define MAX_ARGUMENTS	8
#define MAX_METADATA	16		/* entries; torch writes two */

/* Places in the arguments of the functions that are read. */
enum
{
	ARGUMENT_STORAGE,
	ARGUMENT_OFFSET,
	ARGUMENT_SIZE,
	ARGUMENT_STRIDE,
	ARGUMENT_METADATA_V2 = 6,
	ARGUMENT_DTYPE_V3 = 6,
	ARGUMENT_METADATA_V3 = 7,
};

/* ---------- constructors ---------- */

/* What a global has to say about a tensor, or NULL. */
static const PickleGlobal *
tensor_global(const Pickle *pickle, PickleRef ref)
{
	const PickleGlobal *global = pickle_known_global(pickle, ref);

	return global != NULL && global->group == PYTORCH_TENSOR ? global : NULL;
}

bool
pytorch_is_tensor(const Pickle *pickle, PickleRef ref)
{
	return pickle_kind(pickle, ref) == PICKLE_CALL &&
		tensor_global(pickle, ref) != NULL;
}

/* Looks through Parameters and subclasses; false when what is inside is no
 * tensor. */
static bool
unwrap(const Pickle *pickle, PickleRef ref, Constructor *constructor)
{
	PickleRef	arguments;
	const PickleGlobal *global;
	PickleRef	items[3];
	uint32		n;

	if (!pytorch_is_tensor(pickle, ref))
		return false;
	global = tensor_global(pickle, ref);
	arguments = pickle_node(pickle, ref)->u.call.arguments;
	for (int depth = 0; depth < MAX_WRAPPERS; depth++)
	{
		constructor->kind = (PytorchTensorKind) global->value;
		constructor->arguments = arguments;
		n = pickle_tuple(pickle, arguments, items, lengthof(items));
		if (constructor->kind == PYTORCH_PARAMETER)
		{
			if (n < 1 || !pytorch_is_tensor(pickle, items[0]))
				return false;
			global = tensor_global(pickle, items[0]);
			arguments = pickle_node(pickle, items[0])->u.call.arguments;
		}
		else if (constructor->kind == PYTORCH_SUBCLASS)
		{
			if (n < 3 || pickle_kind(pickle, items[0]) != PICKLE_GLOBAL ||
				tensor_global(pickle, items[0]) == NULL ||
				pickle_kind(pickle, items[2]) != PICKLE_TUPLE)
				return false;
			global = tensor_global(pickle, items[0]);
			arguments = items[2];
		}
		else
			return true;
	}
	return false;
}

/* ---------- errors ---------- */

static const char *
weight_name(const PytorchWeights *weights, int weight)
{
	return printable_bytes(weights->names.data + weights->items[weight].name,
						   weights->items[weight].name_length);
}

pg_noreturn static void
fail(const PytorchWeights *weights, int weight, const char *what)
{
	pytorch_fail("Tensor \"%s\" %s.", weight_name(weights, weight), what);
}

static void
refuse(const PytorchWeights *weights, int weight, const char *what,
	   const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("tensor \"%s\" %s", weight_name(weights, weight), what),
			 errhint("%s", hint)));
}

/* Tensors that a model cannot have; raises, or returns when it can. */
static void
refuse_kind(const PytorchWeights *weights, int weight, PytorchTensorKind kind)
{
	static const char *const densify =
	"Make the tensor dense with to_dense() before it is saved.";
	static const char *const dequantize =
	"Make it a floating tensor with dequantize() before it is saved.";
	static const char *const materialize =
	"Save the model from a device that holds its weights.";
	static const char *const plain =
	"Save a plain tensor, as state_dict() of an ordinary module has them.";

	switch (kind)
	{
		case PYTORCH_QUANTIZED:
			refuse(weights, weight, "is quantized", dequantize);
			break;
		case PYTORCH_SPARSE:
			refuse(weights, weight, "has a sparse layout", densify);
			break;
		case PYTORCH_META:
			refuse(weights, weight, "is on the meta device, without data",
				   materialize);
			break;
		case PYTORCH_OTHER_TENSOR:
			refuse(weights, weight, "is of a kind that models do not have",
				   plain);
			break;
		default:
			break;
	}
}

/* ---------- arguments ---------- */

/* A tuple of at most MODEL_MAX_DIMS integers that are not negative; returns how
 * many, or -1. */
static int
read_integers(const Pickle *pickle, PickleRef tuple, int64 *values)
{
	const PickleNode *node = pickle_node(pickle, tuple);
	uint32		cell = node->u.items.first;

	if (node->kind != PICKLE_TUPLE || node->u.items.count > MODEL_MAX_DIMS)
		return -1;
	for (uint32 i = 0; i < node->u.items.count; i++)
	{
		const PickleNode *value = pickle_node(pickle,
											  pickle->cells[cell].value);

		if (value->kind != PICKLE_INT || value->u.integer < 0)
			return -1;
		values[i] = value->u.integer;
		cell = pickle->cells[cell].next;
	}
	return node->u.items.count;
}

/* A dict of metadata may be shared by all tensors, and is looked through for
 * each of them. */
static bool
has_much_metadata(const Pickle *pickle, PickleRef metadata)
{
	return pickle_kind(pickle, metadata) == PICKLE_DICT &&
		pickle_node(pickle, metadata)->u.items.count > MAX_METADATA;
}

/* Whether a view is conjugated or negated, which its bytes do not show.  The
 * key is enough: torch does not look at its value. */
static bool
is_lazy(const Pickle *pickle, PickleRef metadata)
{
	static const char *const bits[] = {"conj", "neg"};

	if (pickle_kind(pickle, metadata) != PICKLE_DICT)
		return false;
	for (int i = 0; i < lengthof(bits); i++)
	{
		if (pickle_find(pickle, metadata, bits[i],
						strlen(bits[i])) != PICKLE_NOWHERE)
			return true;
	}
	return false;
}

static const PytorchDtype *
read_dtype(const Pickle *pickle, PickleRef ref)
{
	const PickleGlobal *global = pickle_kind(pickle, ref) == PICKLE_GLOBAL ?
		pickle_known_global(pickle, ref) : NULL;

	if (global == NULL || global->group != PYTORCH_DTYPE)
		return NULL;
	return &pytorch_dtypes[global->value];
}

/* ---------- views ---------- */

/* The part of a storage that a persistent id stands for, in elements of the
 * storage: all of it, but in files from before 0.4, which have views. */
static void
read_storage(const PytorchReader *reader, const PytorchWeights *weights,
			 int weight, PickleRef ref, PytorchView *view, int64 *start,
			 int64 *length)
{
	const Pickle *pickle = reader->pickle;
	PickleRef	id[6];
	PickleRef	part[3];
	uint32		n;

	if (pickle_kind(pickle, ref) != PICKLE_PERSISTENT)
		fail(weights, weight, "has no storage");
	n = pickle_tuple(pickle, pickle_node(pickle, ref)->u.persistent.id, id,
					 lengthof(id));
	if (n < 5 || !pickle_is_string(pickle, id[0], "storage"))
		fail(weights, weight, "has no storage");
	view->storage = pytorch_find_storage(reader, pickle_text(pickle, id[2]),
										 pickle_node(pickle, id[2])->u.text.length);
	Assert(view->storage != NULL);
	*start = 0;
	*length = view->storage->count;
	if (n < 6 || pickle_kind(pickle, id[5]) == PICKLE_NONE)
		return;

	/* (key, offset, size) */
	if (pickle_tuple(pickle, id[5], part, 3) != 3 ||
		pickle_kind(pickle, part[1]) != PICKLE_INT ||
		pickle_kind(pickle, part[2]) != PICKLE_INT)
		fail(weights, weight, "has a malformed view of its storage");
	*start = pickle_node(pickle, part[1])->u.integer;
	*length = pickle_node(pickle, part[2])->u.integer;
	if (*start < 0 || *length < 0 || *start > view->storage->count ||
		*length > view->storage->count - *start)
		fail(weights, weight, "views more than its storage has");
}

/* Raises unless all elements lie among the first length of the storage. */
static void
check_bounds(const PytorchWeights *weights, int weight,
			 const PytorchView *view, int64 length)
{
	int64		last = view->offset;

	if (view->count == 0)
		return;
	for (int i = 0; i < view->ndim; i++)
	{
		int64		span;

		if (pg_mul_s64_overflow(view->dims[i] - 1, view->strides[i], &span) ||
			pg_add_s64_overflow(last, span, &last))
			fail(weights, weight, "reaches over the end of its storage");
	}
	if (last >= length)
		fail(weights, weight, "reaches over the end of its storage");
}

/* Brings a storage's elements to elements of the view's dtype. */
static void
convert_units(const PytorchWeights *weights, int weight,
			  const PytorchView *view, int64 *start, int64 *length)
{
	int			from = view->storage->dtype->width;
	int			to = view->dtype->width;

	if (from == to)
		return;
	if (*length > PG_INT64_MAX / 16 || *start > PG_INT64_MAX / 16 ||
		*start * from % to != 0 || *length * from % to != 0)
		fail(weights, weight, "does not divide its storage into elements");
	*start = *start * from / to;
	*length = *length * from / to;
}

static void
read_shape(const PytorchReader *reader, const PytorchWeights *weights,
		   int weight, const PickleRef *arguments, PytorchView *view)
{
	const PickleNode *sizes = pickle_node(reader->pickle,
										  arguments[ARGUMENT_SIZE]);
	int64	   *shape = palloc(2 * MODEL_MAX_DIMS * sizeof(int64));

	if (sizes->kind == PICKLE_TUPLE && sizes->u.items.count > MODEL_MAX_DIMS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("tensor \"%s\" has %u dimensions",
						weight_name(weights, weight), sizes->u.items.count),
				 errdetail("A tensor can have at most %d dimensions.",
						   MODEL_MAX_DIMS)));
	view->ndim = read_integers(reader->pickle, arguments[ARGUMENT_SIZE],
							   shape);
	if (view->ndim < 0)
		fail(weights, weight, "has a shape that is no tuple of sizes");
	if (read_integers(reader->pickle, arguments[ARGUMENT_STRIDE],
					  shape + view->ndim) != view->ndim)
		fail(weights, weight, "has strides that do not fit its shape");
	if (!shape_count(view->ndim, shape, &view->count))
		fail(weights, weight, "has too large a shape");
	shape = repalloc(shape, Max(2 * view->ndim, 1) * sizeof(int64));
	view->dims = shape;
	view->strides = shape + view->ndim;
}

/* The dtype of a view, which must be one that models have. */
static void
read_view_dtype(const PytorchReader *reader, const PytorchWeights *weights,
				int weight, const Constructor *constructor,
				const PickleRef *arguments, PytorchView *view)
{
	view->dtype = view->storage->dtype;
	if (constructor->kind == PYTORCH_REBUILD_V3)
		view->dtype = read_dtype(reader->pickle,
								 arguments[ARGUMENT_DTYPE_V3]);
	if (view->dtype == NULL)
		fail(weights, weight, "has no dtype that torch has");
	if (view->dtype->dtype == DTYPE_INVALID)
		refuse(weights, weight,
			   psprintf("is of torch's dtype %s, which models do not have",
						view->dtype->name),
			   "Convert it to another dtype before it is saved.");
}

void
pytorch_read_view(const PytorchReader *reader, const PytorchWeights *weights,
				  int weight, PytorchView *view)
{
	const Pickle *pickle = reader->pickle;
	PickleRef	arguments[MAX_ARGUMENTS];
	Constructor constructor;
	const PickleNode *offset;
	int64		start;
	int64		length;
	uint32		n;
	uint32		metadata;

	if (!unwrap(pickle, weights->items[weight].tensor, &constructor))
		fail(weights, weight, "is a Parameter or subclass of no tensor");
	refuse_kind(weights, weight, constructor.kind);
	n = pickle_tuple(pickle, constructor.arguments, arguments, MAX_ARGUMENTS);
	if (n < arity[constructor.kind].min || n > arity[constructor.kind].max)
		fail(weights, weight, "is rebuilt with a wrong number of arguments");

	read_storage(reader, weights, weight, arguments[ARGUMENT_STORAGE], view,
				 &start, &length);
	read_view_dtype(reader, weights, weight, &constructor, arguments, view);
	if (view->storage->is_meta)
		refuse_kind(weights, weight, PYTORCH_META);
	metadata = constructor.kind == PYTORCH_REBUILD_V3 ?
		ARGUMENT_METADATA_V3 : ARGUMENT_METADATA_V2;
	if (n > metadata && has_much_metadata(pickle, arguments[metadata]))
		fail(weights, weight, "has more metadata than torch knows of");
	if (n > metadata && is_lazy(pickle, arguments[metadata]))
		refuse(weights, weight, "is a lazily conjugated or negated view",
			   "Save a copy of it, made with resolve_conj() or resolve_neg().");

	offset = pickle_node(pickle, arguments[ARGUMENT_OFFSET]);
	if (offset->kind != PICKLE_INT || offset->u.integer < 0)
		fail(weights, weight, "has an offset that is no number from 0 on");
	view->offset = offset->u.integer;
	read_shape(reader, weights, weight, arguments, view);
	convert_units(weights, weight, view, &start, &length);
	check_bounds(weights, weight, view, length);

	/* The offset of a view without elements means nothing. */
	view->offset = view->count == 0 ? 0 : start + view->offset;
}

/* ---------- description ---------- */

bool
pytorch_describe_tensor(const Pickle *pickle, PickleRef ref,
						const char **dtype, int *ndim, int64 *dims)
{
	PickleRef	arguments[MAX_ARGUMENTS];
	PickleRef	id[2];
	Constructor constructor;
	const PickleNode *storage;
	const PickleGlobal *global;
	const PytorchDtype *known;

	if (!unwrap(pickle, ref, &constructor) ||
		constructor.kind > PYTORCH_REBUILD_V3)
		return false;
	if (pickle_tuple(pickle, constructor.arguments, arguments,
					 MAX_ARGUMENTS) < arity[constructor.kind].min)
		return false;
	if (constructor.kind == PYTORCH_REBUILD_V3)
		known = read_dtype(pickle, arguments[ARGUMENT_DTYPE_V3]);
	else
	{
		storage = pickle_node(pickle, arguments[ARGUMENT_STORAGE]);
		if (storage->kind != PICKLE_PERSISTENT ||
			pickle_tuple(pickle, storage->u.persistent.id, id, 2) < 2)
			return false;
		global = pickle_known_global(pickle, id[1]);
		known = global != NULL && global->group == PYTORCH_STORAGE ?
			&pytorch_dtypes[global->value] : NULL;
	}
	if (known == NULL)
		return false;
	*dtype = known->dtype != DTYPE_INVALID ?
		dtype_name(known->dtype) : known->name;
	*ndim = read_integers(pickle, arguments[ARGUMENT_SIZE], dims);
	return *ndim >= 0;
}
