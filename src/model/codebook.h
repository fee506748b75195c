/*
 * codebook.h
 *		The codebook encoding: a few values, and for each element which.
 *
 *		header			64 bytes, see encoding_codebook.c
 *		values			1 to 256, of the payload's dtype, zeros up to the next
 *						multiple of MODEL_ALIGNMENT
 *		codes			of 1 to 8 bits, one after another from the lowest bit of
 *						each byte on, zeros after the last
 */
#ifndef MODELOPT_CODEBOOK_H
#define MODELOPT_CODEBOOK_H

#include "model/model.h"

#define CODEBOOK_MAX_BITS	8
#define CODEBOOK_MAX		(1 << CODEBOOK_MAX_BITS)

typedef struct Codebook
{
	DType		dtype;
	int64		count;			/* elements */
	int			bits;			/* of a code */
	int			nvalues;		/* at most 2^bits */

	/* what follows from these */
	uint64		values_at;		/* offsets in the payload */
	uint64		codes_at;
	uint64		stored;			/* bytes of the payload */
} Codebook;

/* Computes what follows; false when the numbers make no sense together. */
extern bool codebook_plan(Codebook *codebook);

/* Writes the header and zeros the padding. */
extern void codebook_put_header(const Codebook *codebook, char *payload);

/* Reads and checks the header of a payload; raises 22P03. */
extern void codebook_get_header(Payload *payload, Codebook *codebook);

#endif							/* MODELOPT_CODEBOOK_H */
