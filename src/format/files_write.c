/*
 * files_write.c
 *		Files of the server, written whole or not at all.
 *
 * Owns the temporary file: it is gone after an error, a cancelled query or a
 * terminated session.  Only a crash of the server or of the machine can leave
 * one, whose name starts with ".modelopt-" and ends with ".tmp".
 *
 * A format may put a part of its bytes into a second file.  Two files cannot be
 * replaced at once, so the second one has a name that no file had before and
 * is there, on disk, before the first one takes its place: whoever opens the
 * first one, old or new, finds the second one that belongs to it.  The second
 * file of a model that is replaced stays, because others may have copied the
 * first.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/string.h"
#include "format/files.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/wait_event.h"

/* Written between two looks for interrupts. */
#define STEP_BYTES	((uint64) 4 * 1024 * 1024)

/* Of a new file, as COPY makes them; one that is replaced hands on its own. */
#define NEW_FILE_MODE	(S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH)

#define TEMPORARY_TRIES	16

typedef struct FileSink
{
	Sink		sink;			/* must be first */
	const char *path;
	char	   *temporary;
	bool		is_renamed;		/* the temporary file has got its name */
	mode_t		mode;
	int			fd;
	uint64		size;
	struct FileSink *beside;	/* the second file, or NULL */
} FileSink;

/* ---------- before and after ---------- */

/* Looks at what has the name already. */
static void
check_target(FileSink *file)
{
	struct stat status;

	file->mode = NEW_FILE_MODE;
	if (stat(file->path, &status) != 0)
	{
		if (errno == ENOENT)
			return;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", file->path)));
	}
	if (S_ISDIR(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a directory", file->path)));
	if (!S_ISREG(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", file->path)));
	file->mode = status.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
}

static unsigned long long
random_number(void)
{
	uint64		number;

	if (!pg_strong_random(&number, sizeof(number)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random numbers")));
	return number;
}

/* Bytes of a path before the file's own name. */
static int
directory_length(const char *path)
{
	return (int) (strrchr(path, '/') + 1 - path);
}

/* A name that nobody has, in the same directory: only there can a file be
 * renamed in one step. */
static char *
temporary_name(const char *path)
{
	return psprintf("%.*s.modelopt-%016llx.tmp", directory_length(path), path,
					random_number());
}

static void
create_temporary(FileSink *file)
{
	for (int i = 0; i < TEMPORARY_TRIES; i++)
	{
		file->temporary = temporary_name(file->path);
		file->fd = OpenTransientFilePerm(file->temporary,
										 O_CREAT | O_EXCL | O_WRONLY | PG_BINARY,
										 S_IRUSR | S_IWUSR);
		if (file->fd >= 0 || errno != EEXIST)
			break;
	}
	if (file->fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", file->path)));
}

/* Runs after an error, and when the session ends before the file is done. */
static void
remove_temporary(int code, Datum arg)
{
	const FileSink *file = (const FileSink *) DatumGetPointer(arg);
	const FileSink *beside = file->beside;

	/* Interrupts may still come when everything is done. */
	if (file->is_renamed)
		return;
	(void) unlink(file->temporary);
	if (beside != NULL)
		(void) unlink(beside->is_renamed ? beside->path : beside->temporary);
}

/* Makes a new name outlive a crash; it is too late for an error. */
static void
sync_directory(const char *path)
{
	char	   *directory = pnstrdup(path, Max(directory_length(path) - 1, 1));

	(void) fsync_fname_ext(directory, true, true, WARNING);
	pfree(directory);
}

/* The new file takes the place of the old one once it is on disk. */
static void
finish(FileSink *file)
{
	if (fchmod(file->fd, file->mode) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not set permissions of file \"%s\": %m",
						file->path)));
	if (pg_fsync(file->fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not fsync file \"%s\": %m", file->path)));
	if (CloseTransientFile(file->fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", file->path)));
	if (rename(file->temporary, file->path) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rename file \"%s\" to \"%s\": %m",
						file->temporary, file->path)));
	file->is_renamed = true;
	sync_directory(file->path);
}

/* ---------- the sink ---------- */

static void
file_start(Sink *sink, uint64 size)
{
	((FileSink *) sink)->size = size;
}

static void
file_put(Sink *sink, uint64 at, const void *bytes, uint64 n)
{
	FileSink   *file = (FileSink *) sink;
	const char *next = bytes;

	while (n > 0)
	{
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		errno = 0;
		pgstat_report_wait_start(WAIT_EVENT_COPY_FILE_WRITE);
		done = pwrite(file->fd, next, Min(n, STEP_BYTES), at);
		pgstat_report_wait_end();
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
		{
			/* Nothing written and no reason told: the disk is full. */
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write to file \"%s\": %m",
							file->path)));
		}
		next += done;
		at += done;
		n -= done;
	}
}

/* ---------- the second file ---------- */

/* The model says its name in UTF-8, to whoever reads it on whatever system. */
static void
check_is_portable(const char *path, const char *name)
{
	if (strchr(name, '\\') != NULL ||
		(GetDatabaseEncoding() != PG_UTF8 && !pg_is_ascii(name)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("a file beside \"%s\" cannot be named in it", path),
				 errdetail("The model is too large for one file, and the name of a second one would have a backslash, or characters that are not in UTF-8."),
				 errhint("Choose a name of letters, digits and dots.")));
}

static Sink *
file_start_beside(Sink *sink, uint64 size, const char **name)
{
	FileSink   *file = (FileSink *) sink;
	FileSink   *beside = palloc0(sizeof(FileSink));

	Assert(file->beside == NULL);
	beside->sink.start = file_start;
	beside->sink.put = file_put;
	beside->path = psprintf("%s.%016llx.data", file->path, random_number());
	beside->mode = file->mode;
	beside->size = size;
	*name = beside->path + directory_length(beside->path);
	check_is_portable(file->path, *name);
	create_temporary(beside);
	file->beside = beside;
	return &beside->sink;
}

/* ---------- both ---------- */

static void
finish_all(FileSink *file)
{
	if (file->beside != NULL)
		finish(file->beside);
	finish(file);
}

uint64
files_write(const char *path, const Format *format, Model *model,
			const char *dtype)
{
	FileSink	file = {
		.sink = {file_start, file_put, file_start_beside},
		.path = path
	};

	check_target(&file);
	create_temporary(&file);
	PG_ENSURE_ERROR_CLEANUP(remove_temporary, PointerGetDatum(&file));
	{
		format_write(format, model, dtype, &file.sink);
		finish_all(&file);
	}
	PG_END_ENSURE_ERROR_CLEANUP(remove_temporary, PointerGetDatum(&file));
	if (file.beside == NULL)
		return file.size;
	ereport(NOTICE,
			(errmsg("weights of the model are in file \"%s\"",
					file.beside->path),
			 errdetail("The model names this file, which has to stay beside it.")));
	return file.size + file.beside->size;
}
