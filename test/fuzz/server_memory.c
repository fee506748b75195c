/*
 * server_memory.c
 *		Memory contexts and palloc, one block of malloc's for each chunk.
 *
 * A chunk has a header before it, poisoned except while this file looks at
 * it, and the address sanitizer's red zone after it.  Chunks are aligned to 8
 * bytes and never to 16, as the server's are at worst.  A chunk that is
 * resized moves.  The total over all contexts is held against
 * server_memory_limit.
 */
#include "postgres.h"

#include <sanitizer/asan_interface.h>

#include "nodes/memnodes.h"
#include "server.h"
#include "utils/memutils.h"

#define CHUNK_MAGIC UINT64CONST(0x6b6e756863636f6c)

typedef struct ServerContext ServerContext;

typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *previous;
	ServerContext *context;
	size_t		size;
	uint64		magic;
} Chunk;

StaticAssertDecl(sizeof(Chunk) % 16 == 8, "chunks are to be aligned to 8 only");

struct ServerContext
{
	MemoryContextData header;	/* must be first */
	Chunk	   *chunks;
};

/* What a chunk costs the server beside its bytes. */
#define CHUNK_COST 16

MemoryContext TopMemoryContext = NULL;
MemoryContext CurrentMemoryContext = NULL;
MemoryContext ErrorContext = NULL;
size_t		server_memory_limit = 0;
uint8		server_memory_fill = 0xbe;

static size_t live_bytes = 0;
static size_t live_chunks = 0;

/* ---------- chunks ---------- */

static void
open_chunk(Chunk *chunk)
{
	if (chunk != NULL)
		ASAN_UNPOISON_MEMORY_REGION(chunk, sizeof(Chunk));
}

static void
close_chunk(Chunk *chunk)
{
	if (chunk != NULL)
		ASAN_POISON_MEMORY_REGION(chunk, sizeof(Chunk));
}

/* The chunk of a pointer, opened. */
static Chunk *
chunk_of(void *pointer)
{
	Chunk	   *chunk = (Chunk *) ((char *) pointer - sizeof(Chunk));

	if (pointer == NULL)
		server_die("pfree or repalloc of NULL");
	open_chunk(chunk);
	if (chunk->magic != CHUNK_MAGIC)
		server_die("pfree or repalloc of what palloc did not give");
	return chunk;
}

static void
check_limit(size_t size)
{
	if (server_memory_limit == 0)
		return;
	if (size > server_memory_limit ||
		live_bytes + size > server_memory_limit)
		server_die("%zu bytes are allocated and %zu more wanted, but the input justifies no more than %zu",
				   live_bytes, size, server_memory_limit);
}

static void *
new_chunk(MemoryContext context, size_t size)
{
	ServerContext *server = (ServerContext *) context;
	Chunk	   *chunk;

	if (context == NULL)
		server_die("allocation in no context");
	server_event();
	check_limit(size);
	chunk = malloc(sizeof(Chunk) + size);
	if (chunk == NULL)
		server_die("malloc of %zu bytes failed", size);
	chunk->next = server->chunks;
	chunk->previous = NULL;
	chunk->context = server;
	chunk->size = size;
	chunk->magic = CHUNK_MAGIC;
	if (server->chunks != NULL)
	{
		open_chunk(server->chunks);
		server->chunks->previous = chunk;
		close_chunk(server->chunks);
	}
	server->chunks = chunk;
	live_bytes += size + CHUNK_COST;
	live_chunks++;
	memset(chunk + 1, server_memory_fill, size);
	close_chunk(chunk);
	return (char *) chunk + sizeof(Chunk);
}

/* Frees an opened chunk. */
static void
free_chunk(Chunk *chunk)
{
	open_chunk(chunk->next);
	open_chunk(chunk->previous);
	if (chunk->next != NULL)
		chunk->next->previous = chunk->previous;
	if (chunk->previous != NULL)
		chunk->previous->next = chunk->next;
	else
		chunk->context->chunks = chunk->next;
	close_chunk(chunk->next);
	close_chunk(chunk->previous);
	live_bytes -= chunk->size + CHUNK_COST;
	live_chunks--;
	chunk->magic = 0;
	free(chunk);
}

size_t
server_live_chunks(void)
{
	return live_chunks;
}

/* ---------- palloc ---------- */

/* Sizes that the server refuses; an input must not get so far. */
static void
check_size(Size size, bool huge)
{
	if (huge ? !AllocHugeSizeIsValid(size) : !AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	void	   *pointer;

	check_size(size, (flags & MCXT_ALLOC_HUGE) != 0);
	pointer = new_chunk(context, size);
	if (flags & MCXT_ALLOC_ZERO)
		memset(pointer, 0, size);
	return pointer;
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, 0);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_ZERO);
}

void *MemoryContextAllocZeroAligned(MemoryContext context, Size size);

void *
MemoryContextAllocZeroAligned(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_ZERO);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void *
palloc_extended(Size size, int flags)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, flags);
}

static void *
resize(void *pointer, Size size, bool huge)
{
	Chunk	   *chunk = chunk_of(pointer);
	MemoryContext context = &chunk->context->header;
	size_t		old_size = chunk->size;
	void	   *moved;

	close_chunk(chunk);
	check_size(size, huge);
	moved = new_chunk(context, size);
	memcpy(moved, pointer, Min(old_size, size));
	pfree(pointer);
	return moved;
}

void *
repalloc(void *pointer, Size size)
{
	return resize(pointer, size, false);
}

void *
repalloc_huge(void *pointer, Size size)
{
	return resize(pointer, size, true);
}

void
pfree(void *pointer)
{
	free_chunk(chunk_of(pointer));
}

/* ---------- contexts ---------- */

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name,
							  Size minContextSize, Size initBlockSize,
							  Size maxBlockSize)
{
	ServerContext *context;

	if (parent == NULL && TopMemoryContext != NULL)
		server_die("context \"%s\" without a parent", name);
	server_event();
	context = calloc(1, sizeof(ServerContext));
	if (context == NULL)
		server_die("no memory for a context");
	context->header.type = T_AllocSetContext;
	context->header.name = name;
	context->header.parent = parent;
	if (parent != NULL)
	{
		context->header.nextchild = parent->firstchild;
		if (parent->firstchild != NULL)
			parent->firstchild->prevchild = &context->header;
		parent->firstchild = &context->header;
	}
	return &context->header;
}

/* Callbacks run last in, first out, each once. */
static void
run_callbacks(MemoryContext context)
{
	MemoryContextCallback *callback;

	while ((callback = context->reset_cbs) != NULL)
	{
		context->reset_cbs = callback->next;
		callback->func(callback->arg);
	}
}

static void
free_chunks(ServerContext *context)
{
	while (context->chunks != NULL)
	{
		Chunk	   *chunk = context->chunks;

		open_chunk(chunk);
		free_chunk(chunk);
	}
}

void
MemoryContextDeleteChildren(MemoryContext context)
{
	while (context->firstchild != NULL)
		MemoryContextDelete(context->firstchild);
}

void
MemoryContextReset(MemoryContext context)
{
	MemoryContextDeleteChildren(context);
	run_callbacks(context);
	free_chunks((ServerContext *) context);
}

void
MemoryContextDelete(MemoryContext context)
{
	if (context == TopMemoryContext || context == CurrentMemoryContext)
		server_die("context \"%s\" is deleted while it is in use",
				   context->name);
	MemoryContextReset(context);
	if (context->prevchild != NULL)
		context->prevchild->nextchild = context->nextchild;
	else
		context->parent->firstchild = context->nextchild;
	if (context->nextchild != NULL)
		context->nextchild->prevchild = context->prevchild;
	free(context);
}

void
MemoryContextRegisterResetCallback(MemoryContext context,
								   MemoryContextCallback *callback)
{
	callback->next = context->reset_cbs;
	context->reset_cbs = callback;
}

void
server_memory_init(void)
{
	TopMemoryContext = AllocSetContextCreateInternal(NULL, "top", 0, 0, 0);
	ErrorContext = AllocSetContextCreateInternal(TopMemoryContext, "error",
												 0, 0, 0);
	CurrentMemoryContext = TopMemoryContext;
}

/* ---------- strings in contexts ---------- */

char *
MemoryContextStrdup(MemoryContext context, const char *string)
{
	size_t		size = strlen(string) + 1;

	return memcpy(MemoryContextAlloc(context, size), string, size);
}

char *
pstrdup(const char *in)
{
	return MemoryContextStrdup(CurrentMemoryContext, in);
}

char *
pnstrdup(const char *in, Size len)
{
	size_t		length = strnlen(in, len);
	char	   *copy = palloc(length + 1);

	memcpy(copy, in, length);
	copy[length] = '\0';
	return copy;
}
