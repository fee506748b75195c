/*
 * liar.c
 *		A runner that has been taken over: it answers what it likes.
 *
 * Takes the place of modelopt_runner in a test.  The setting that names the
 * library of ONNX Runtime names the lie, which is told when a model is loaded
 * or run; what is no lie is one model, whose input and output are x and y, two
 * floats each, or with "strings", y is two strings, and with "maps", a sequence
 * of one map from two integers to two floats.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/exchange.h"

static Exchange *exchange;
static const char *lie;

static bool
tells(const char *name)
{
	return strcmp(lie, name) == 0;
}

static void
wait_for_request(unsigned last)
{
	char		byte;

	while (atomic_load(&exchange->request) == last)
	{
		atomic_store(&exchange->runner_waits, 1);
		if (tells("deaf ears"))
			usleep(50);
		else if (atomic_load(&exchange->request) == last && read(RUNNER_SOCKET, &byte, 1) <= 0)
			_exit(0);
	}
}

static void
answer(unsigned request)
{
	atomic_store(&exchange->answer, request);
	(void) !send(RUNNER_SOCKET, "a", 1, MSG_NOSIGNAL);
}

/* ---------- what a model takes and gives ---------- */

static char *packed;

static void
put(const void *bytes, size_t n)
{
	memcpy(packed, bytes, n);
	packed += n;
}

static void
put_int(int32_t value)
{
	put(&value, sizeof(value));
}

static void
put_name(const char *name)
{
	put_int(tells("a name that is longer than all") ? 1 << 29 : (int) strlen(name));
	put(name, strlen(name));
}

static void
put_tensor_type(int type, int ndim)
{
	int64_t		dim = 2;

	put_int(PORT_TENSOR);
	put_int(type);
	put_int(ndim);
	put(&dim, sizeof(dim));
	put_int(0);
}

/* A type in which there is another one. */
static void
put_wrap(int kind, int type)
{
	put_int(kind);
	put_int(type);
	put_int(0);
}

static void
put_output_type(void)
{
	if (tells("maps in types without an end"))
		for (int i = 0; i < 1000000; i++)
			put_wrap(PORT_SEQUENCE, 0);
	if (strstr(lie, "maps") != NULL)
	{
		put_wrap(PORT_SEQUENCE, 0);
		put_wrap(PORT_MAP, ELEMENT_I64);
	}
	if (tells("maps of a half type"))
		return;
	put_tensor_type(strstr(lie, "strings") != NULL ? ELEMENT_STRING : ELEMENT_F32, 1);
}

static void
load(void)
{
	static int	loads = 0;
	char	   *start = (char *) exchange + EXCHANGE_OUTPUTS;
	int			ninputs = tells("inputs from the fifth load on") && loads++ >= 4 ? 900 : 1;

	packed = start;
	put_int(tells("many inputs") ? 1 << 30 : tells("less than no inputs") ? -1 : ninputs);
	for (int i = 0; i < ninputs; i++)
	{
		put_name("x");
		put_tensor_type(ELEMENT_F32, tells("many dimensions") ? 33 : 1);
	}
	put_int(1);
	put_name(tells("a name that is no text") ? "\xff\xfe" : "y");
	put_output_type();
	if (tells("noise"))
		for (char *c = start; c < packed; c++)
			*c = random();
	exchange->bytes = packed - start;
	if (tells("ports without an end"))
		exchange->bytes = UINT64_MAX;
	if (tells("half of the ports"))
		exchange->bytes /= 2;
}

/* ---------- what comes out ---------- */

static void
put_strings(PlacedTensor *tensor, char *data)
{
	uint64_t	offsets[] = {0, 1, 2};

	if (tells("strings beyond the end"))
		offsets[2] = UINT64_C(1) << 40;
	if (tells("strings that end before they start"))
		offsets[1] = 100;
	if (tells("strings without room for them"))
		tensor->shape.dims[0] = INT64_C(1) << 60;
	memcpy(data, offsets, sizeof(offsets));
	memcpy(data + sizeof(offsets), "ab", 2);
	tensor->shape.type = ELEMENT_STRING;
	tensor->bytes = sizeof(offsets) + 2;
}

/* Makes a part of a value, at a place from its start. */
static void
put_part(PlacedTensor *part, int type, int64_t count, uint64_t bytes, uint64_t offset)
{
	memset(part, 0, sizeof(*part));
	part->shape.type = type;
	part->shape.ndim = 1;
	part->shape.dims[0] = count;
	part->bytes = bytes;
	part->offset = offset;
}

/* The sequence has its map after it, and the map its keys and values. */
static void
put_maps(PlacedTensor *tensor, char *data)
{
	const int64_t keys[] = {7, 8};
	const float values[] = {1, 2};
	const uint64_t map_at = PLACE_ALIGN(sizeof(PlacedTensor));
	const uint64_t keys_at = PLACE_ALIGN(2 * sizeof(PlacedTensor));
	PlacedTensor *sequence = (PlacedTensor *) data;
	PlacedTensor *map = (PlacedTensor *) (data + map_at);

	put_part(tensor, ELEMENT_VALUE, 1, map_at + keys_at + 64 + sizeof(values), 0);
	put_part(sequence, ELEMENT_VALUE, 2, keys_at + 64 + sizeof(values), map_at);
	put_part(&map[0], ELEMENT_I64, 2, sizeof(keys), keys_at);
	put_part(&map[1], ELEMENT_F32, 2, sizeof(values), keys_at + 64);
	memcpy((char *) map + keys_at, keys, sizeof(keys));
	memcpy((char *) map + keys_at + 64, values, sizeof(values));

	if (tells("maps without room for them"))
		tensor->shape.dims[0] = 1 << 20;
	if (tells("maps less than none"))
		tensor->shape.dims[0] = -1;
	if (tells("maps in a sequence of two dimensions"))
		tensor->shape.ndim = 2, tensor->shape.dims[1] = INT64_C(1) << 62;
	if (tells("maps that are numbers"))
		put_part(tensor, ELEMENT_F32, 2, sizeof(values), 0);
	if (tells("maps beyond the end"))
		sequence->offset = EXCHANGE_PART;
	if (tells("maps longer than the whole"))
		sequence->bytes += 64;
	if (tells("maps between places"))
		sequence->offset = 8;
	if (tells("maps in themselves"))
		sequence->offset = 0, sequence->bytes = tensor->bytes;
	if (tells("maps of nothing"))
		sequence->shape.type = ELEMENT_NONE;
	if (tells("maps of three parts"))
		put_part(sequence, ELEMENT_VALUE, 1 << 10, sequence->bytes, map_at);
	if (tells("maps of one part"))
		sequence->shape.dims[0] = 1;
	if (tells("maps with more keys than values"))
		put_part(&map[1], ELEMENT_F32, 1, sizeof(float), keys_at + 64);
	if (tells("maps with keys of another type"))
		map[0].shape.type = ELEMENT_U64;
	if (tells("maps with values of another type"))
		map[1].shape.type = ELEMENT_I32;
	if (tells("maps with less bytes than values"))
		map[1].bytes = 4;
}

static void
run(void)
{
	PlacedTensor *tensor = &exchange->outputs[0];
	char	   *data = (char *) exchange + EXCHANGE_OUTPUTS;
	float		numbers[] = {1, 2};

	memset(tensor, 0, sizeof(*tensor));
	tensor->shape.type = ELEMENT_F32;
	tensor->shape.ndim = 1;
	tensor->shape.dims[0] = 2;
	tensor->bytes = sizeof(numbers);
	memcpy(data, numbers, sizeof(numbers));
	exchange->noutputs = tells("many outputs") ? UINT32_MAX : tells("no outputs") ? 0 : 1;

	if (strstr(lie, "strings") != NULL && !tells("numbers for strings"))
		put_strings(tensor, data);
	if (strstr(lie, "maps") != NULL)
		put_maps(tensor, data);
	if (tells("a tensor beyond the end"))
		tensor->offset = EXCHANGE_PART;
	if (tells("a tensor before the start"))
		tensor->offset = -(uint64_t) 64;
	if (tells("a tensor between places"))
		tensor->offset = 1;
	if (tells("less bytes than elements"))
		tensor->shape.dims[0] = 1 << 30;
	if (tells("a shape that overflows"))
		tensor->shape.ndim = 2, tensor->shape.dims[0] = tensor->shape.dims[1] = INT64_C(1) << 62;
	if (tells("a shape below nothing"))
		tensor->shape.dims[0] = -2;
	if (tells("a shape of 1000 dimensions"))
		tensor->shape.ndim = 1000;
	if (tells("a type that is none"))
		tensor->shape.type = 1000;
	if (tells("parts for numbers"))
		tensor->shape.type = ELEMENT_VALUE, tensor->shape.dims[0] = 0;
	if (tells("bytes for numbers"))
		tensor->shape.type = ELEMENT_U8, tensor->shape.dims[0] = 8;
}

int
main(int argc, char **argv)
{
	unsigned	request = 1;

	lie = argc > 2 ? argv[2] : "";
	exchange = mmap(NULL, EXCHANGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, RUNNER_MEMORY, 0);
	if (exchange == MAP_FAILED)
		return 3;
	exchange->good = !tells("no library");
	memset(exchange->problem.text, 'x', sizeof(exchange->problem.text));
	answer(request);
	for (;;)
	{
		wait_for_request(request);
		request = atomic_load(&exchange->request);
		exchange->good = !tells("a failure without an end");
		if (tells("nothing"))
			pause();
		while (tells("messages without an end"))
			(void) !send(RUNNER_SOCKET, "a", 1, MSG_NOSIGNAL);
		if (tells("a closed socket"))
		{
			close(RUNNER_SOCKET);
			pause();
		}
		if (tells("another answer"))
			answer(request + 1000);
		if (exchange->command == EXCHANGE_LOAD)
			load();
		else
			run();
		answer(request);
	}
}
