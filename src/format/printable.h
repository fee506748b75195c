/*
 * printable.h
 *		Bytes from files, as they may stand in errors.
 *
 * Private to src/format.
 */
#ifndef MODELOPT_PRINTABLE_H
#define MODELOPT_PRINTABLE_H

#include "postgres.h"

/* A copy of bytes that is fit for messages in every encoding: printable ASCII,
 * escaped, cut when long. */
extern char *printable_bytes(const char *s, size_t length);

#endif							/* MODELOPT_PRINTABLE_H */
