/*
 * affine.h
 *		The affine encoding: small integers, scales and zero points.
 *
 * An element is (code - zero point) * scale, computed in float with one
 * rounding and then rounded to the dtype.  Which elements share a scale is said
 * by looking at the payload as outer x axis x inner elements: those with the
 * same place along the axis (a channel), or those of "group" neighbours along
 * the axis that agree in the other two.  A payload of one scale is a single
 * group.
 *
 * All of it is in the payload, which so needs no shape to be decoded:
 *
 *		header			64 bytes, see encoding_affine.c
 *		scales			f32 each
 *		zero points		if any, in the codes' dtype
 *		codes			packed as that dtype's elements
 *
 * each at the next multiple of MODEL_ALIGNMENT, zeros between.
 */
#ifndef MODELOPT_AFFINE_H
#define MODELOPT_AFFINE_H

#include "model/model.h"

typedef struct Affine
{
	DType		codes;			/* i4, u4, i8, u8, i16 or u16 */
	bool		has_zeros;		/* zero points; if not, all are 0 */
	int64		count;			/* elements */
	int64		axis;			/* places along the axis */
	int64		inner;			/* neighbours at the same place */
	int64		group;			/* places that share a scale; 0: a channel
								 * shares it, wherever it is */

	/* what follows from these */
	int64		nscales;
	uint64		scales_at;		/* offsets in the payload */
	uint64		zeros_at;
	uint64		codes_at;
	uint64		stored;			/* bytes of the payload */
} Affine;

/* Computes what follows; false when the numbers make no sense together. */
extern bool affine_plan(Affine *affine);

/* Writes the header and zeros the padding. */
extern void affine_put_header(const Affine *affine, char *payload);

/* Reads and checks the header of a payload; raises 22P03. */
extern void affine_get_header(Payload *payload, Affine *affine);

/* Elements from one on that lie in a row and whose scales do, too. */
typedef struct AffineRun
{
	int64		n;
	int64		scale;			/* index of the first one's */
	int			step;			/* to the next one's: 0 or 1 */
} AffineRun;

extern AffineRun affine_run_at(const Affine *affine, int64 element);

/* Scales and, unless NULL is given, zero points as floats (nscales each), into
 * the current context. */
extern float *affine_scales(Payload *payload, const Affine *affine);
extern float *affine_zeros(Payload *payload, const Affine *affine);

#endif							/* MODELOPT_AFFINE_H */
