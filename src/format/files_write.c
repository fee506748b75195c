/*
 * files_write.c
 *		Files of the server, written whole or not at all.
 *
 * Owns the temporary file: it is gone after an error, a cancelled query or a
 * terminated session.  Only a crash of the server or of the machine can leave
 * one, whose name starts with ".modelopt-" and ends with ".tmp".
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/files.h"
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
	mode_t		mode;
	int			fd;
	uint64		size;
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

/* A name that nobody has, in the same directory: only there can a file be
 * renamed in one step. */
static char *
temporary_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	uint64		number;

	if (!pg_strong_random(&number, sizeof(number)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random numbers")));
	return psprintf("%.*s.modelopt-%016llx.tmp", (int) (slash + 1 - path),
					path, (unsigned long long) number);
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
	FileSink   *file = (FileSink *) DatumGetPointer(arg);

	(void) unlink(file->temporary);
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
}

/* Makes the new name outlive a crash; it is too late for an error. */
static void
sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char	   *directory = pnstrdup(path, Max(slash - path, 1));

	(void) fsync_fname_ext(directory, true, true, WARNING);
	pfree(directory);
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

uint64
files_write(const char *path, const Format *format, Model *model,
			const char *dtype)
{
	FileSink	file = {.sink = {file_start, file_put},.path = path};

	check_target(&file);
	create_temporary(&file);
	PG_ENSURE_ERROR_CLEANUP(remove_temporary, PointerGetDatum(&file));
	{
		format_write(format, model, dtype, &file.sink);
		finish(&file);
	}
	PG_END_ENSURE_ERROR_CLEANUP(remove_temporary, PointerGetDatum(&file));
	sync_directory(path);
	pfree(file.temporary);
	return file.size;
}
