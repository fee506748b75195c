/*
 * onnx_check_tensor.c
 *		What a TensorProto has to be, wherever in a ModelProto it is.
 */
#include "postgres.h"

#include "onnx/onnx_check.h"
#include "miscadmin.h"

/* Indexes between two looks for interrupts. */
#define STRETCH 65536

/* Whether the tensor that is being walked is one that a model has as its
 * own: an initializer of the graph, of a type that there is. */
static bool
is_taken(const OnnxWalk *walk, const OnnxTensor *tensor)
{
	return walk->depth == 3 &&
		walk->frames[0].info->number == MODEL_GRAPH &&
		walk->frames[1].info->number == GRAPH_INITIALIZER &&
		tensor->type->dtype != DTYPE_INVALID;
}

static void
check_type(const OnnxWalk *walk, const OnnxTensor *tensor)
{
	if (tensor->data_type == 0)
		onnx_fail(walk, "has no element type");
	if (tensor->type == NULL)
		onnx_unsupported(walk, psprintf("has elements of type " INT64_FORMAT,
										tensor->data_type));
	if (tensor->has_segment)
		onnx_unsupported(walk, "is a segment of a tensor");
	if (tensor->ndim > MODEL_MAX_DIMS)
		onnx_limit(walk, psprintf("has " UINT64_FORMAT " dimensions, and %d are allowed",
								  tensor->ndim, MODEL_MAX_DIMS));
	if (tensor->count < 0)
		onnx_fail(walk, "has a negative or too large dimension");
}

static void
check_raw(const OnnxWalk *walk, const OnnxTensor *tensor)
{
	if (tensor->type->bits == 0)
	{
		if (tensor->raw.size > 0)
			onnx_fail(walk, "is a tensor of strings and has raw_data");
	}
	else if (tensor->raw.size != onnx_raw_size(tensor))
		onnx_fail(walk, psprintf("has " UINT64_FORMAT " bytes of raw_data, and its type and shape need " UINT64_FORMAT,
								 tensor->raw.size, onnx_raw_size(tensor)));
}

static void
check_typed(const OnnxWalk *walk, const OnnxTensor *tensor)
{
	const OnnxType *type = tensor->type;

	if (type->field == 0)
		onnx_unsupported(walk, psprintf("has elements of %d bits that are not in raw_data",
										type->bits));
	if (tensor->typed != type->field)
		onnx_fail(walk, psprintf("has elements of type %s in %s", type->name,
								 onnx_field(ONNX_TENSOR, tensor->typed)->name));
	if (tensor->entries != (uint64) tensor->count * type->entries)
		onnx_fail(walk, psprintf("has " UINT64_FORMAT " numbers or strings, and its type and shape need " UINT64_FORMAT,
								 tensor->entries,
								 (uint64) tensor->count * type->entries));
}

static void
check_storage(const OnnxWalk *walk, const OnnxTensor *tensor)
{
	if (tensor->mixed)
		onnx_fail(walk, "has elements in two fields");
	if (tensor->entries > 0)
		check_typed(walk, tensor);
	else if (tensor->has_raw)
		check_raw(walk, tensor);
	else if (tensor->count > 0)
		onnx_fail(walk, "has no elements");
}

static void
check_external(OnnxWalk *walk, const OnnxTensor *tensor)
{
	OnnxExternal external;
	const char *problem;

	if (walk->place != ONNX_ANYWHERE)
		onnx_refuse_external(walk);
	if (tensor->type->bits == 0)
		onnx_fail(walk, "is a tensor of strings and has its elements in another file");
	if (tensor->entries > 0 || tensor->has_raw)
		onnx_fail(walk, "has elements here and in another file");
	problem = onnx_scan_external(tensor, &external);
	if (problem != NULL)
		onnx_fail(walk, problem);
	walk->is_scattered |= !is_taken(walk, tensor);
}

void
onnx_check_tensor(OnnxWalk *walk)
{
	OnnxTensor	tensor;

	onnx_scan_tensor(&tensor, onnx_frame(walk)->content);
	check_type(walk, &tensor);
	if (tensor.has_external)
	{
		check_external(walk, &tensor);
	}
	else if (walk->place == ONNX_TAKEN_OUT && is_taken(walk, &tensor))
	{
		if (tensor.entries > 0 || tensor.raw.size > 0)
			onnx_fail(walk, "has elements, which are not the model's");
	}
	else
		check_storage(walk, &tensor);
}

/* ---------- sparse tensors ---------- */

/* Where an element is: by its number, or by one number a dimension. */
static void
check_index(const OnnxWalk *walk, const OnnxTensor *dense, bool linear,
			int64 position, int64 index)
{
	int64		limit = linear ? dense->count :
		dense->dims[position % dense->ndim];

	if (index < 0 || index >= limit)
		onnx_fail(walk, "has an index that is not in the tensor");
}

static void
check_indices(const OnnxWalk *walk, const OnnxTensor *dense,
			  const OnnxTensor *indices)
{
	bool		linear = indices->ndim == 1;
	int64	   *numbers = palloc_extended(indices->count * sizeof(int64),
										  MCXT_ALLOC_HUGE);

	(void) onnx_read_elements(indices, (char *) numbers);
	for (int64 i = 0; i < indices->count; i++)
	{
		if (i % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		check_index(walk, dense, linear, i, numbers[i]);
	}
	pfree(numbers);
}

/* The tensors that it has have been checked by themselves.  Indices in another
 * file are looked at when they are here. */
void
onnx_check_sparse_tensor(OnnxWalk *walk)
{
	OnnxBytes	message = onnx_frame(walk)->content;
	OnnxTensor	values;
	OnnxTensor	indices;
	OnnxTensor	dense;

	onnx_scan_tensor(&values, onnx_get(message, SPARSE_VALUES));
	onnx_scan_tensor(&indices, onnx_get(message, SPARSE_INDICES));
	onnx_scan_shape(&dense, message, SPARSE_DIMS);
	if (dense.ndim > MODEL_MAX_DIMS)
		onnx_limit(walk, psprintf("has " UINT64_FORMAT " dimensions, and %d are allowed",
								  dense.ndim, MODEL_MAX_DIMS));
	if (dense.count < 0)
		onnx_fail(walk, "has a negative or too large dimension");
	if (values.ndim != 1 || values.count < 0 || values.count > dense.count)
		onnx_fail(walk, "has values that are no list of its elements");
	if (indices.type == NULL || indices.type->dtype != DTYPE_I64 ||
		indices.count < 0 || indices.ndim < 1 || indices.ndim > 2 ||
		indices.dims[0] != values.count ||
		(indices.ndim == 2 && indices.dims[1] != dense.ndim))
		onnx_fail(walk, "has indices that do not fit its values and dimensions");
	if (!indices.has_external)
		check_indices(walk, &dense, &indices);
}
