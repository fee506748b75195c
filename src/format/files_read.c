/*
 * files_read.c
 *		Files of the server, read whole or in pieces.
 *
 * Owns the rule which files a model file may name: it may have been made by
 * anybody, and whoever loads it may read more than that person could.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/files.h"
#include "format/printable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "model/progress.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* Read between two looks for interrupts. */
#define STEP_BYTES	((uint64) 4 * 1024 * 1024)

typedef struct OpenFile
{
	const char *path;
	int			fd;
	uint64		size;
} OpenFile;

typedef struct FileInput
{
	Input		input;			/* must be first */
	OpenFile	file;
} FileInput;

typedef struct FileSiblings
{
	Siblings	siblings;		/* must be first */
	char	   *directory;
	char	   *homes[2];		/* where they may lie, without links */
	char	   *name;			/* of the one that is open, or NULL */
	OpenFile	file;
} FileSiblings;

/* ---------- one file ---------- */

/* A path as it may stand in an error; a part of it may come from a file. */
static const char *
shown(const char *path)
{
	int			length = strlen(path);

	if (pg_verify_mbstr(GetDatabaseEncoding(), path, length, true))
		return path;
	return printable_bytes(path, length);
}

static void
report_open_failure(const char *path)
{
	bool		refused = errno == ENOENT || errno == EACCES;

	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not open file \"%s\" for reading: %m",
					shown(path)),
			 refused ?
			 errhint("The server reads this file as its own user; relative paths start in its data directory. A client sends bytes with model_read.") : 0));
}

/* Opening a pipe would wait for a writer, so what it is comes first. */
static void
check_regular(const char *path, const struct stat *status)
{
	if (S_ISDIR(status->st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a directory", shown(path))));
	if (!S_ISREG(status->st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", shown(path))));
}

static void
open_file(const char *path, OpenFile *file)
{
	struct stat status;

	if (stat(path, &status) != 0)
		report_open_failure(path);
	check_regular(path, &status);
	file->path = path;
	file->fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (file->fd < 0)
		report_open_failure(path);
	if (fstat(file->fd, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", shown(path))));
	check_regular(path, &status);
	file->size = status.st_size;
}

static void
close_file(OpenFile *file)
{
	if (CloseTransientFile(file->fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m",
						shown(file->path))));
}

/* The caller has compared the range with the file's size. */
static void
read_range(const OpenFile *file, uint64 offset, uint64 n, char *dst)
{
	while (n > 0)
	{
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		pgstat_report_wait_start(WAIT_EVENT_COPY_FILE_READ);
		done = pread(file->fd, dst, Min(n, STEP_BYTES), offset);
		pgstat_report_wait_end();
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\": %m",
							shown(file->path))));
		if (done == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" became shorter while it was read",
							shown(file->path))));
		progress_add(done);
		dst += done;
		offset += done;
		n -= done;
	}
}

static void
read_input(Input *input, uint64 offset, uint64 n, char *dst)
{
	read_range(&((FileInput *) input)->file, offset, n, dst);
}

Input *
files_open(const char *path)
{
	FileInput  *input = palloc0(sizeof(FileInput));

	open_file(path, &input->file);
	input->input.size = input->file.size;
	input->input.read = read_input;
	input->input.context = CurrentMemoryContext;
	return &input->input;
}

void
files_close(Input *file)
{
	close_file(&((FileInput *) file)->file);
	if (file->data != NULL)
		pfree(unconstify(char *, file->data));
	pfree(file);
}

/* ---------- files beside it ---------- */

static void
refuse_name(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("model file names a file that is not beside it"),
			 errdetail("The name is \"%s\".",
					   printable_bytes(name, strlen(name)))));
}

/* A relative path that goes down only. */
static void
check_name(const char *name)
{
	const char *part = name;

	if (name[0] == '\0' || strlen(name) >= MAXPGPATH ||
		strchr(name, '\\') != NULL)
		refuse_name(name);
	for (;;)
	{
		size_t		length = strcspn(part, "/");

		if (length == 0 || (length == 2 && memcmp(part, "..", 2) == 0))
			refuse_name(name);
		if (part[length] == '\0')
			return;
		part += length + 1;
	}
}

static bool
lies_in(const char *path, const char *directory)
{
	size_t		length = strlen(directory);

	/* Only the root ends with a slash. */
	if (length > 0 && directory[length - 1] == '/')
		return true;
	return strncmp(path, directory, length) == 0 && path[length] == '/';
}

/*
 * Where a name leads to, links followed.  A link may lead into the directory
 * that the model file itself is a link into, as it does in the caches of
 * download tools, but nowhere else.
 */
static char *
resolve_name(const FileSiblings *beside, const char *name)
{
	char	   *path = psprintf("%s/%s", beside->directory, name);
	char		resolved[PATH_MAX];

	check_name(name);
	if (realpath(path, resolved) == NULL)
		report_open_failure(path);
	if (!lies_in(resolved, beside->homes[0]) &&
		!lies_in(resolved, beside->homes[1]))
		refuse_name(name);
	pfree(path);
	return pstrdup(resolved);
}

/* Opens a file, unless it is the one that was used last. */
static OpenFile *
find_sibling(Siblings *siblings, const char *name)
{
	FileSiblings *beside = (FileSiblings *) siblings;
	char	   *path;

	if (beside->name != NULL && strcmp(beside->name, name) == 0)
		return &beside->file;
	path = resolve_name(beside, name);
	if (beside->name != NULL)
	{
		pfree(beside->name);
		beside->name = NULL;
		close_file(&beside->file);
		pfree(unconstify(char *, beside->file.path));
	}
	open_file(path, &beside->file);
	beside->name = pstrdup(name);
	return &beside->file;
}

static uint64
sibling_size(Siblings *siblings, const char *name)
{
	return find_sibling(siblings, name)->size;
}

static void
sibling_read(Siblings *siblings, const char *name, uint64 offset, uint64 n,
			 char *dst)
{
	const OpenFile *file = find_sibling(siblings, name);

	if (offset > file->size || n > file->size - offset)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("model file names bytes that are not there"),
				 errdetail("File \"%s\" has " UINT64_FORMAT " bytes, and " UINT64_FORMAT " from byte " UINT64_FORMAT " on are named.",
						   shown(file->path), file->size, n, offset)));
	read_range(file, offset, n, dst);
}

/* The directory of a path, as it is written. */
static char *
directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return pstrdup(".");
	return pnstrdup(path, slash > path ? slash - path : 1);
}

static char *
resolve(const char *path)
{
	char		resolved[PATH_MAX];

	if (realpath(path, resolved) == NULL)
		report_open_failure(path);
	return pstrdup(resolved);
}

Siblings *
files_open_siblings(const char *path)
{
	FileSiblings *beside = palloc0(sizeof(FileSiblings));

	beside->siblings.size = sibling_size;
	beside->siblings.read = sibling_read;
	beside->directory = directory_of(path);
	beside->homes[0] = resolve(beside->directory);
	beside->homes[1] = directory_of(resolve(path));
	return &beside->siblings;
}

void
files_close_siblings(Siblings *siblings)
{
	FileSiblings *beside = (FileSiblings *) siblings;

	if (beside->name != NULL)
		close_file(&beside->file);
	pfree(beside);
}
