/*
 * ort_ports.c
 *		The binding to ONNX Runtime: what a model takes and gives.
 */
#include <stdlib.h>
#include <string.h>

#include "serve/ort_inside.h"

bool
port_is_wrap(int kind)
{
	return kind == PORT_SEQUENCE || kind == PORT_MAP || kind == PORT_OPTIONAL;
}

int
port_element_type(const Port *port)
{
	while (port->kind == PORT_OPTIONAL)
		port = port->of;
	if (port->kind == PORT_TENSOR)
		return port->type;
	return port_is_wrap(port->kind) ? ELEMENT_VALUE : ELEMENT_NONE;
}

/* ---------- types ---------- */

static bool
describe_tensor(const OrtTypeInfo *info, Port *port, Problem *problem)
{
	const OrtTensorInfo *tensor;
	const char *symbols[ORT_MAX_DIMS];	/* belong to the type, which goes */
	size_t		ndim;

	if (!ort_succeeded(ort_api.CastTypeInfoToTensorInfo(info, &tensor), problem) ||
		!ort_succeeded(ort_api.GetTensorElementType(tensor, &port->type), problem) ||
		!ort_succeeded(ort_api.GetDimensionsCount(tensor, &ndim), problem))
		return false;
	if (ndim > ORT_MAX_DIMS)
		return ort_fail(problem, "a tensor of the model has too many dimensions");
	port->ndim = ndim;
	port->dims = calloc(ndim + 1, sizeof(int64_t));
	port->symbols = calloc(ndim + 1, sizeof(char *));
	if (port->dims == NULL || port->symbols == NULL)
		return ort_fail(problem, "out of memory");
	if (!ort_succeeded(ort_api.GetDimensions(tensor, port->dims, ndim), problem) ||
		!ort_succeeded(ort_api.GetSymbolicDimensions(tensor, symbols, ndim), problem))
		return false;
	for (size_t i = 0; i < ndim; i++)
	{
		port->symbols[i] = strdup(symbols[i] != NULL ? symbols[i] : "");
		if (port->symbols[i] == NULL)
			return ort_fail(problem, "out of memory");
	}
	return true;
}

/* The type in another one, to be released. */
static bool
inner_type(const OrtTypeInfo *info, Port *port, OrtTypeInfo **inner, Problem *problem)
{
	const OrtSequenceInfo *sequence;
	const OrtMapInfo *map;
	const OrtOptionalInfo *optional;

	switch (port->kind)
	{
		case PORT_SEQUENCE:
			return ort_succeeded(ort_api.CastTypeInfoToSequenceTypeInfo(info, &sequence), problem) &&
				ort_succeeded(ort_api.GetSequenceElementType(sequence, inner), problem);
		case PORT_MAP:
			return ort_succeeded(ort_api.CastTypeInfoToMapTypeInfo(info, &map), problem) &&
				ort_succeeded(ort_api.GetMapKeyType(map, &port->type), problem) &&
				ort_succeeded(ort_api.GetMapValueType(map, inner), problem);
		default:
			return ort_succeeded(ort_api.CastTypeInfoToOptionalTypeInfo(info, &optional), problem) &&
				ort_succeeded(ort_api.GetOptionalContainedTypeInfo(optional, inner), problem);
	}
}

static bool
describe_type(const OrtTypeInfo *info, int depth, Port *port, Problem *problem)
{
	OrtTypeInfo *inner;
	bool		good;

	if (!ort_succeeded(ort_api.GetOnnxTypeFromTypeInfo(info, &port->kind), problem))
		return false;
	if (port->kind == PORT_TENSOR)
		return describe_tensor(info, port, problem);
	if (!port_is_wrap(port->kind))
		return true;
	if (depth == PORT_MAX_DEPTH)
		return ort_fail(problem, "a type of the model has too many others in it");
	port->of = calloc(1, sizeof(Port));
	if (port->of == NULL)
		return ort_fail(problem, "out of memory");
	if (!inner_type(info, port, &inner, problem))
		return false;
	good = describe_type(inner, depth + 1, port->of, problem);
	ort_api.ReleaseTypeInfo(inner);
	return good;
}

/* ---------- ports ---------- */

bool
ort_describe_port(const OrtSession *session, bool output, int i, Port *port,
				  Problem *problem)
{
	OrtTypeInfo *info;
	char	   *name;
	bool		good;

	if (!ort_succeeded((output ? ort_api.SessionGetOutputName : ort_api.SessionGetInputName)
					   (session, i, ort_runtime.allocator, &name), problem))
		return false;
	port->name = strdup(name);
	(void) ort_succeeded(ort_api.AllocatorFree(ort_runtime.allocator, name), problem);
	if (port->name == NULL)
		return ort_fail(problem, "out of memory");
	if (!ort_succeeded((output ? ort_api.SessionGetOutputTypeInfo : ort_api.SessionGetInputTypeInfo)
					   (session, i, &info), problem))
		return false;
	good = describe_type(info, 0, port, problem);
	ort_api.ReleaseTypeInfo(info);
	return good;
}

void
ort_free_port(Port *port)
{
	free((void *) port->name);
	if (port->symbols != NULL)
		for (int i = 0; i < port->ndim; i++)
			free((void *) port->symbols[i]);
	free(port->symbols);
	free(port->dims);
	if (port->of != NULL)
		ort_free_port(port->of);
	free(port->of);
}
