/*
 * pytorch_legacy.c
 *		The layout of torch.save before PyTorch 1.6.
 *
 * A stream of five pickles (a magic number, a protocol number, a dict about
 * the system, the object, the list of storage keys) and then the storages in
 * the order of that list, each a 64-bit number of elements and the elements.
 *
 * The dict says which byte order the machine had that wrote the file, but the
 * storages are little endian all the same: torch's writeFileRaw turns them.
 */
#include "postgres.h"

#include "model/elements.h"
#include "format/pytorch.h"

#define PROTOCOL_VERSION	1001

/* Where the magic number may stand: after PROTO and, from protocol 4 on, a
 * FRAME. */
static const uint8 magic[] = {
	0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
	'.'
};

#define PROTO_SIZE	2
#define FRAME_SIZE	9

/* The storages of a stream, found one after the other. */
typedef struct Stream
{
	PytorchReader *reader;
	size_t		position;		/* in the input */
} Stream;

bool
pytorch_is_legacy(const char *data, size_t size)
{
	size_t		at = PROTO_SIZE;

	if (size < PROTO_SIZE + FRAME_SIZE + sizeof(magic) ||
		(uint8) data[0] != 0x80)
		return false;
	if ((uint8) data[PROTO_SIZE] == 0x95)
		at += FRAME_SIZE;
	return memcmp(data + at, magic, sizeof(magic)) == 0;
}

/* ---------- the pickles ---------- */

static const Pickle *
next_pickle(Stream *stream, const char *where)
{
	const PytorchReader *reader = stream->reader;
	const Pickle *pickle;

	pickle = pytorch_parse_pickle(reader, reader->data + stream->position,
								  reader->size - stream->position, where);
	stream->position += pickle->size;
	return pickle;
}

static void
check_protocol(Stream *stream)
{
	const Pickle *pickle = next_pickle(stream, "the protocol number");
	const PickleNode *number = pickle_node(pickle, pickle->root);

	if (number->kind != PICKLE_INT || number->u.integer != PROTOCOL_VERSION)
		pytorch_fail("The stream is not of protocol %d.", PROTOCOL_VERSION);
}

static void
check_system(Stream *stream)
{
	const Pickle *pickle = next_pickle(stream, "the dict about the system");

	if (pickle_kind(pickle, pickle->root) != PICKLE_DICT)
		pytorch_fail("What should be about the system is no dict.");
}

/* ---------- the storages ---------- */

/* The next storage of the stream: where its elements lie. */
static void
locate_storage(Stream *stream, PytorchStorage *storage)
{
	PytorchReader *reader = stream->reader;
	const uint8 *bytes = (const uint8 *) reader->data + stream->position;
	size_t		left = reader->size - stream->position;
	uint64		count = 0;
	uint64		size;

	if (left < sizeof(uint64))
		pytorch_fail("The stream ends before storage \"%s\".",
					 printable_bytes(storage->key, storage->key_length));
	for (int i = sizeof(uint64); i-- > 0;)
		count = count << 8 | bytes[i];
	left -= sizeof(uint64);
	if (count != (uint64) storage->count)
		pytorch_fail("Storage \"%s\" has " UINT64_FORMAT " elements in the stream, but " INT64_FORMAT " in the pickle.",
					 printable_bytes(storage->key, storage->key_length),
					 count, storage->count);
	size = count * storage->dtype->width;
	if (size > left)
		pytorch_fail("The stream ends inside of storage \"%s\".",
					 printable_bytes(storage->key, storage->key_length));
	storage->record = bytes + sizeof(uint64);
	stream->position += sizeof(uint64) + size;
}

static void
locate_storages(Stream *stream)
{
	PytorchReader *reader = stream->reader;
	const Pickle *keys = next_pickle(stream, "the list of storages");
	const PickleNode *list = pickle_node(keys, keys->root);
	uint32		cell = list->u.items.first;

	if (list->kind != PICKLE_LIST)
		pytorch_fail("What should be the list of storages is no list.");
	for (uint32 i = 0; i < list->u.items.count; i++)
	{
		PickleRef	key = keys->cells[cell].value;
		PytorchStorage *storage;

		cell = keys->cells[cell].next;
		if (pickle_kind(keys, key) != PICKLE_STRING)
			pytorch_fail("The list of storages has a key that is no string.");
		storage = pytorch_find_storage(reader, pickle_text(keys, key),
									   pickle_node(keys, key)->u.text.length);
		if (storage == NULL || storage->record != NULL)
			pytorch_fail("The list of storages has the key \"%s\", which %s.",
						 printable_bytes(pickle_text(keys, key),
										 pickle_node(keys, key)->u.text.length),
						 storage == NULL ? "no tensor uses" : "it had before");
		locate_storage(stream, storage);
	}
	if (stream->position != reader->size)
		pytorch_fail("The stream goes on after its last storage.");
}

/* ---------- the reader's functions ---------- */

static uint64
find_legacy_storage(PytorchReader *reader, PytorchStorage *storage,
					uint64 *inflated)
{
	if (storage->record == NULL)
		pytorch_fail("The stream has no storage \"%s\".",
					 printable_bytes(storage->key, storage->key_length));
	return (uint64) storage->count * storage->dtype->width;
}

static void
open_legacy_storage(PytorchReader *reader, PytorchStorage *storage)
{
	storage->bytes = storage->record;
}

static void
close_legacy_storage(PytorchReader *reader, PytorchStorage *storage)
{
	storage->bytes = NULL;
}

static void
copy_legacy_storage(PytorchReader *reader, const PytorchStorage *storage,
					char *dst)
{
	elements_copy(dst, storage->record,
				  (uint64) storage->count * storage->dtype->width);
}

void
pytorch_open_legacy(PytorchReader *reader)
{
	Stream		stream = {.reader = reader};

	/* The first pickle is the magic number, which pytorch_is_legacy saw. */
	(void) next_pickle(&stream, "the magic number");
	check_protocol(&stream);
	check_system(&stream);
	reader->pickle = next_pickle(&stream, "the saved object");
	reader->find_storage = find_legacy_storage;
	reader->open_storage = open_legacy_storage;
	reader->close_storage = close_legacy_storage;
	reader->copy_storage = copy_legacy_storage;
	pytorch_collect_storages(reader);
	locate_storages(&stream);
}
