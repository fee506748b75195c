/*
 * model_file.c
 *		A model as an ONNX file in memory.
 *
 * Written once, by the writer of the format, into memory that can be handed to
 * another process as it is.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/format.h"
#include "serve/model_file.h"
#include "utils/memutils.h"

/* The format's own limit: a message of protocol buffers. */
#define MAX_FILE	((uint64) PG_INT32_MAX)

typedef struct FileSink
{
	Sink		sink;
	int			file;
	char	   *start;
	uint64		size;
} FileSink;

static void
file_start(Sink *sink, uint64 size)
{
	FileSink   *target = (FileSink *) sink;
	void	   *start;

	if (size > MAX_FILE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model is too large to run"),
				 errdetail("As ONNX it would have " UINT64_FORMAT " bytes, and the format ends at 2 GB.", size),
				 errhint("quantize() makes it smaller.")));
	if (ftruncate(target->file, size) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not take memory for a model to run: %m")));
	start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, target->file, 0);
	if (start == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map memory for a model to run: %m")));
	target->start = start;
	target->size = size;
}

static void
file_put(Sink *sink, uint64 at, const void *bytes, uint64 n)
{
	FileSink   *target = (FileSink *) sink;

	Assert(at <= target->size && n <= target->size - at);
	if (n > 0)
		memcpy(target->start + at, bytes, n);
}

static void
close_file(void *argument)
{
	ModelFile  *file = argument;

	if (file->file >= 0)
		close(file->file);
	file->file = -1;
}

ModelFile *
model_file_create(Model *model)
{
	ModelFile  *file = palloc0(sizeof(ModelFile));
	FileSink	target = {.sink = {.start = file_start,.put = file_put,.is_passing = true}};

	if (model->graph == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has no graph, so nothing says how to compute with it"),
				 errhint("set_graph() gives one to the weights of a network; ONNX files have theirs.")));
	file->file = memfd_create("modelopt model", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (file->file < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not take memory for a model to run: %m")));
	file->callback.func = close_file;
	file->callback.arg = file;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &file->callback);

	target.file = file->file;
	PG_TRY();
	{
		format_write(&format_onnx, model, NULL, &target.sink);
	}
	PG_FINALLY();
	{
		if (target.start != NULL)
			munmap(target.start, target.size);
	}
	PG_END_TRY();
	file->size = target.size;
	(void) fcntl(file->file, F_ADD_SEALS,
				 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return file;
}

void
model_file_close(ModelFile *file)
{
	close_file(file);
}
