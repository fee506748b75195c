/*
 * files.h
 *		Models in files of the server.
 *
 * Private to src/format.  Formats know nothing of files: a reader gets bytes
 * and perhaps a way to those of other files, a writer gets a sink.  Privileges
 * are load_sql.c's to check.
 */
#ifndef MODELOPT_FILES_H
#define MODELOPT_FILES_H

#include "format/format.h"

/* A regular file, to be read.  Closing it is for the end; an error closes it
 * too. */
extern Input *files_open(const char *path);
extern void files_close(Input *file);

/* The files beside one.  Closing it is for the end; an error closes it too. */
extern Siblings *files_open_siblings(const char *path);
extern void files_close_siblings(Siblings *siblings);

/*
 * Writes a model to a file, which is there whole or not at all: it is written
 * under another name beside it, and takes the place of what has its name when
 * it is on disk.  Returns the number of bytes, of both where it took a second
 * one.
 */
extern uint64 files_write(const char *path, const Format *format,
						  Model *model, const char *dtype);

#endif							/* MODELOPT_FILES_H */
