/*
 * lowrank.h
 *		The low-rank encoding: a matrix as the product of two thin ones.
 *
 *		header			64 bytes, see encoding_lowrank.c
 *		left			rows x rank, of the payload's dtype
 *		right			rank x columns, right after it
 *
 * An element is the sum of rank products, added in order in float (double for
 * f64), and rounded to the dtype at the end.
 */
#ifndef MODELOPT_LOWRANK_H
#define MODELOPT_LOWRANK_H

#include "model/model.h"

/* A payload is at most so many times smaller than its elements: what one has
 * to make of a few bytes has a bound. */
#define LOWRANK_MAX_RATIO	4096

typedef struct Lowrank
{
	DType		dtype;
	int64		rows;
	int64		columns;
	int64		rank;

	/* what follows from these */
	int64		count;			/* elements */
	uint64		left_at;		/* offsets in the payload */
	uint64		right_at;
	uint64		stored;			/* bytes of the payload */
} Lowrank;

/* Computes what follows; false when the numbers make no sense together. */
extern bool lowrank_plan(Lowrank *lowrank);

extern void lowrank_put_header(const Lowrank *lowrank, char *payload);

/* Reads and checks the header of a payload; raises 22P03. */
extern void lowrank_get_header(Payload *payload, Lowrank *lowrank);

#endif							/* MODELOPT_LOWRANK_H */
