/*
 * ort_values.c
 *		The binding to ONNX Runtime: values in its hands, and out of them.
 */
#include <stdlib.h>
#include <string.h>

#include "serve/ort_inside.h"

/* What the keys of a map are, and its values. */
static const Port any_tensor = {.kind = PORT_TENSOR};

/* ---------- in ---------- */

static bool
fill_strings(OrtValue *value, const ServedTensor *tensor, int64_t count,
			 Problem *problem)
{
	const uint64_t *offsets = tensor->data;
	const char *bytes = (const char *) (offsets + count + 1);
	const char **strings = calloc(count + 1, sizeof(char *));
	bool		good;

	if (strings == NULL)
		return ort_fail(problem, "out of memory");
	for (int64_t i = 0; i < count; i++)
		strings[i] = bytes + offsets[i];
	good = ort_succeeded(ort_api.FillStringTensor(value, strings, count), problem);
	free(strings);
	return good;
}

static bool
make_tensor(const ServedTensor *tensor, OrtValue **value, Problem *problem)
{
	const TensorShape *shape = &tensor->shape;
	int64_t		count;

	if (!shape_elements(shape, &count))
		return ort_fail(problem, "an input has no shape");
	if (shape->type != ELEMENT_STRING)
		return ort_succeeded(ort_api.CreateTensorWithDataAsOrtValue(ort_runtime.memory,
																	tensor->data,
																	tensor->bytes,
																	shape->dims, shape->ndim,
																	shape->type, value), problem);
	return ort_succeeded(ort_api.CreateTensorAsOrtValue(ort_runtime.allocator, shape->dims,
														shape->ndim, shape->type, value), problem) &&
		fill_strings(*value, tensor, count, problem);
}

/* Element types have lower numbers. */
#define MAX_TYPES	64

/* The C API makes no sequence without elements, but a model does that has one
 * node, SequenceEmpty.  It is loaded once in the process for each type. */
static OrtSession *
find_empty_maker(int type, Problem *problem)
{
	static OrtSession *makers[MAX_TYPES];
	const unsigned char model[] = {
		0x08, 6,				/* IR version */
		0x3a, 56,				/* graph */
		0x0a, 32,				/* its node */
		0x12, 1, 'y',
		0x22, 13, 'S', 'e', 'q', 'u', 'e', 'n', 'c', 'e', 'E', 'm', 'p', 't', 'y',
		0x2a, 12, 0x0a, 5, 'd', 't', 'y', 'p', 'e', 0x18, type, 0xa0, 1, 2,
		0x12, 5, 'e', 'm', 'p', 't', 'y',	/* its name */
		0x62, 13,				/* its output */
		0x0a, 1, 'y',
		0x12, 8, 0x22, 6, 0x0a, 4, 0x0a, 2, 0x08, type,
		0x42, 2, 0x10, 11,		/* version of the operators */
	};

	if (makers[type] == NULL &&
		!ort_create_session(model, sizeof(model), 1, &makers[type], problem))
		return NULL;
	return makers[type];
}

static bool
make_empty_sequence(const Port *port, OrtValue **value, Problem *problem)
{
	const char *output = "y";
	OrtSession *maker;

	if (port->of->kind != PORT_TENSOR || port->of->type <= 0 || port->of->type >= MAX_TYPES)
		return ort_fail(problem, "an input is a sequence of what cannot be given");
	maker = find_empty_maker(port->of->type, problem);
	return maker != NULL &&
		ort_succeeded(ort_api.Run(maker, NULL, NULL, NULL, 0, &output, 1, value), problem);
}

/* Makes the elements of a sequence, or of a map its keys and its values, which
 * are tensors; those that are made are to be released, whatever becomes of the
 * others. */
static bool
make_parts(const ServedTensor *whole, const Port *port, OrtValue **parts,
		   int64_t count, Problem *problem)
{
	const Port *of = port->kind == PORT_MAP ? &any_tensor : port->of;

	for (int64_t i = 0; i < count; i++)
	{
		ServedTensor part;

		if (!value_part(whole, i, &part))
			return ort_fail(problem, "an input is not laid out as its type says");
		if (!ort_make_value(&part, of, &parts[i], problem))
			return false;
	}
	return true;
}

static void
release_parts(OrtValue **parts, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		if (parts[i] != NULL)
			ort_api.ReleaseValue(parts[i]);
	free(parts);
}

static bool
make_of_parts(const ServedTensor *whole, const Port *port, OrtValue **value,
			  Problem *problem)
{
	int64_t		count = whole->shape.dims[0];
	OrtValue  **parts;
	bool		good;

	if (count == 0)
		return make_empty_sequence(port, value, problem);
	parts = calloc(count, sizeof(OrtValue *));
	if (parts == NULL)
		return ort_fail(problem, "out of memory");
	good = make_parts(whole, port, parts, count, problem) &&
		ort_succeeded(ort_api.CreateValue((const OrtValue *const *) parts, count,
										  port->kind, value), problem);
	release_parts(parts, count);
	return good;
}

bool
ort_make_value(const ServedTensor *tensor, const Port *port, OrtValue **value,
			   Problem *problem)
{
	switch (port->kind)
	{
		case PORT_TENSOR:
			return make_tensor(tensor, value, problem);
		case PORT_SEQUENCE:
		case PORT_MAP:
			return make_of_parts(tensor, port, value, problem);
		case PORT_OPTIONAL:
			return ort_make_value(tensor, port->of, value, problem);
	}
	return ort_fail(problem, "an input is of a kind that cannot be given");
}

/* ---------- out ---------- */

static bool
take_place(ServedTensor *tensor, TensorPlace *place, Problem *problem)
{
	tensor->data = place->take(place, tensor->bytes);
	return tensor->data != NULL ||
		ort_fail(problem, "an output is larger than modelopt.max_output_bytes allows");
}

/* The runtime gives offsets without the last one, which is where all end. */
static bool
take_strings(OrtValue *value, int64_t count, ServedTensor *tensor,
			 TensorPlace *place, Problem *problem)
{
	size_t		length;
	uint64_t	head;
	uint64_t   *offsets;

	if (!ort_succeeded(ort_api.GetStringTensorDataLength(value, &length), problem))
		return false;
	if (__builtin_mul_overflow((uint64_t) count + 1, sizeof(uint64_t), &head) ||
		__builtin_add_overflow(head, (uint64_t) length, &tensor->bytes))
		return ort_fail(problem, "an output is too large");
	if (!take_place(tensor, place, problem))
		return false;
	offsets = tensor->data;
	offsets[count] = length;
	return count == 0 ||
		ort_succeeded(ort_api.GetStringTensorContent(value, (char *) offsets + head,
													 length, (size_t *) offsets, count), problem);
}

static bool
take_elements(OrtValue *value, int64_t count, ServedTensor *tensor,
			  TensorPlace *place, Problem *problem)
{
	void	   *data;

	if (!elements_bytes(tensor->shape.type, count, &tensor->bytes))
		return ort_fail(problem, "an output has elements of a type that is not supported");
	if (!ort_succeeded(ort_api.GetTensorMutableData(value, &data), problem))
		return false;
	if (!take_place(tensor, place, problem))
		return false;
	if (tensor->bytes > 0)
		memcpy(tensor->data, data, tensor->bytes);
	return true;
}

static bool
read_shape(OrtValue *value, TensorShape *shape, Problem *problem)
{
	OrtTensorInfo *info;
	size_t		ndim = 0;
	bool		good;

	if (!ort_succeeded(ort_api.GetTensorTypeAndShape(value, &info), problem))
		return false;
	good = ort_succeeded(ort_api.GetTensorElementType(info, &shape->type), problem) &&
		ort_succeeded(ort_api.GetDimensionsCount(info, &ndim), problem);
	if (good && ndim > ORT_MAX_DIMS)
		good = ort_fail(problem, "an output has too many dimensions");
	shape->ndim = ndim;
	good = good && ort_succeeded(ort_api.GetDimensions(info, shape->dims, ndim), problem);
	ort_api.ReleaseTensorTypeAndShapeInfo(info);
	return good;
}

static bool
take_tensor(OrtValue *value, ServedTensor *tensor, TensorPlace *place,
			Problem *problem)
{
	int64_t		count;

	if (!read_shape(value, &tensor->shape, problem))
		return false;
	if (!shape_elements(&tensor->shape, &count))
		return ort_fail(problem, "an output is too large");
	if (tensor->shape.type == ELEMENT_STRING)
		return take_strings(value, count, tensor, place, problem);
	return take_elements(value, count, tensor, place, problem);
}

/* A part of a sequence, or of a map its keys or its values, which are tensors.
 * What is taken for it makes the whole longer. */
static bool
take_part(OrtValue *value, const Port *port, int64_t i, ServedTensor *whole,
		  TensorPlace *place, Problem *problem)
{
	ServedTensor taken;
	OrtValue   *part;
	bool		good;

	if (!ort_succeeded(ort_api.GetValue(value, i, ort_runtime.allocator, &part), problem))
		return false;
	good = ort_take_value(part, port->kind == PORT_MAP ? &any_tensor : port->of,
						  &taken, place, problem);
	if (part != NULL)
		ort_api.ReleaseValue(part);
	if (!good)
		return false;
	placed_write(&taken, whole->data, (PlacedTensor *) whole->data + i);
	if (taken.data != NULL)
		whole->bytes = (char *) taken.data + taken.bytes - (char *) whole->data;
	return true;
}

static bool
take_parts(OrtValue *value, const Port *port, ServedTensor *whole,
		   TensorPlace *place, Problem *problem)
{
	size_t		count = 2;

	if (port->kind == PORT_SEQUENCE &&
		!ort_succeeded(ort_api.GetValueCount(value, &count), problem))
		return false;
	if (__builtin_mul_overflow(count, sizeof(PlacedTensor), &whole->bytes))
		return ort_fail(problem, "an output is too large");
	shape_of_parts(&whole->shape, count);
	if (!take_place(whole, place, problem))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!take_part(value, port, i, whole, place, problem))
			return false;
	return true;
}

bool
ort_take_value(OrtValue *value, const Port *port, ServedTensor *tensor,
			   TensorPlace *place, Problem *problem)
{
	int			is_there = 1;

	memset(tensor, 0, sizeof(*tensor));
	if (value == NULL)
		return true;
	switch (port->kind)
	{
		case PORT_TENSOR:
			return take_tensor(value, tensor, place, problem);
		case PORT_SEQUENCE:
		case PORT_MAP:
			return take_parts(value, port, tensor, place, problem);
		case PORT_OPTIONAL:
			if (!ort_succeeded(ort_api.HasValue(value, &is_there), problem))
				return false;
			return !is_there || ort_take_value(value, port->of, tensor, place, problem);
	}
	return true;
}
