/*
 * difference.h
 *		How far the elements of one payload are from those of another.
 */
#ifndef MODELOPT_DIFFERENCE_H
#define MODELOPT_DIFFERENCE_H

#include "model/model.h"

typedef struct Difference
{
	double		max;			/* largest |a - b|; NaN if one is NaN */
	double		errors;			/* sum of (a - b)^2 */
	double		squares;		/* sum of a^2 */
} Difference;

/* Both have as many elements; dtypes may differ. */
extern void measure_difference(Payload *a, Payload *b, Difference *difference);

#endif							/* MODELOPT_DIFFERENCE_H */
