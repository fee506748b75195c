/*
 * ports.c
 *		What a loaded model takes and gives, as bytes.
 *
 * A port is its name and its type.  A type is its kind, element type and rank,
 * then dimensions and the names of these, and then the type that is in it, if
 * its kind has one; a name is a length and bytes.  One routine walks them for
 * counting and for writing.
 */
#include "serve/ports.h"

#include <string.h>

typedef struct Packer
{
	char	   *dst;			/* NULL: count only */
	uint64_t	at;
} Packer;

static void
put(Packer *packer, const void *bytes, size_t n)
{
	if (packer->dst != NULL && n > 0)
		memcpy(packer->dst + packer->at, bytes, n);
	packer->at += n;
}

static void
put_int(Packer *packer, int32_t value)
{
	put(packer, &value, sizeof(value));
}

static void
put_name(Packer *packer, const char *name)
{
	size_t		length = strlen(name);

	put_int(packer, length);
	put(packer, name, length);
}

static void
put_type(Packer *packer, const Port *port)
{
	put_int(packer, port->kind);
	put_int(packer, port->type);
	put_int(packer, port->ndim);
	put(packer, port->dims, port->ndim * sizeof(int64_t));
	for (int d = 0; d < port->ndim; d++)
		put_name(packer, port->symbols[d]);
	if (port->of != NULL)
		put_type(packer, port->of);
}

static void
put_ports(Packer *packer, const OrtModel *model, bool outputs)
{
	const Port *ports;
	int			n = ort_ports(model, outputs, &ports);

	put_int(packer, n);
	for (int i = 0; i < n; i++)
	{
		put_name(packer, ports[i].name);
		put_type(packer, &ports[i]);
	}
}

uint64_t
ports_size(const OrtModel *model)
{
	Packer		packer = {NULL, 0};

	put_ports(&packer, model, false);
	put_ports(&packer, model, true);
	return packer.at;
}

void
ports_pack(const OrtModel *model, char *dst)
{
	Packer		packer = {dst, 0};

	put_ports(&packer, model, false);
	put_ports(&packer, model, true);
}

/* ---------- reading ---------- */

typedef struct Unpacker
{
	const char *bytes;
	uint64_t	size;
	PortsAllocator allocate;
} Unpacker;

static bool
get(Unpacker *unpacker, void *dst, uint64_t n)
{
	if (n > unpacker->size)
		return false;
	if (n > 0)
		memcpy(dst, unpacker->bytes, n);
	unpacker->bytes += n;
	unpacker->size -= n;
	return true;
}

static bool
get_int(Unpacker *unpacker, int32_t *value, int32_t most)
{
	return get(unpacker, value, sizeof(*value)) && *value >= 0 && *value <= most;
}

static bool
get_name(Unpacker *unpacker, const char **name)
{
	int32_t		length;
	char	   *copy;

	if (!get_int(unpacker, &length, INT32_MAX - 1) || (uint64_t) length > unpacker->size)
		return false;
	copy = unpacker->allocate(length + 1);
	copy[length] = '\0';
	*name = copy;
	return get(unpacker, copy, length);
}

static bool
get_type(Unpacker *unpacker, int depth, Port *port)
{
	if (!get_int(unpacker, &port->kind, INT32_MAX) ||
		!get_int(unpacker, &port->type, INT32_MAX) ||
		!get_int(unpacker, &port->ndim, ORT_MAX_DIMS))
		return false;
	port->dims = unpacker->allocate((port->ndim + 1) * sizeof(int64_t));
	port->symbols = unpacker->allocate((port->ndim + 1) * sizeof(char *));
	if (!get(unpacker, port->dims, port->ndim * sizeof(int64_t)))
		return false;
	for (int d = 0; d < port->ndim; d++)
		if (!get_name(unpacker, &port->symbols[d]))
			return false;
	port->of = NULL;
	if (!port_is_wrap(port->kind))
		return true;
	if (depth == PORT_MAX_DEPTH)
		return false;
	port->of = unpacker->allocate(sizeof(Port));
	port->of->name = NULL;
	return get_type(unpacker, depth + 1, port->of);
}

static bool
get_ports(Unpacker *unpacker, Port **ports, int *n)
{
	int32_t		count;

	if (!get_int(unpacker, &count, ORT_MAX_PORTS))
		return false;
	*ports = unpacker->allocate((count + 1) * sizeof(Port));
	for (*n = 0; *n < count; (*n)++)
		if (!get_name(unpacker, &(*ports)[*n].name) ||
			!get_type(unpacker, 0, &(*ports)[*n]))
			return false;
	return true;
}

bool
ports_unpack(const char *bytes, uint64_t size, PortsAllocator allocate,
			 Port **inputs, int *ninputs, Port **outputs, int *noutputs)
{
	Unpacker	unpacker = {bytes, size, allocate};

	return get_ports(&unpacker, inputs, ninputs) &&
		get_ports(&unpacker, outputs, noutputs) && unpacker.size == 0;
}
