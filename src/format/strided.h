/*
 * strided.h
 *		Copies of tensors whose elements are not in row-major order.
 *
 * Private to src/format.
 */
#ifndef MODELOPT_STRIDED_H
#define MODELOPT_STRIDED_H

#include "postgres.h"

/*
 * Gathers a view of elements of width 1, 2, 4 or 8 into dst, densely and in
 * row-major order.  Strides count elements and are not negative, and there is
 * at least one dimension and one element.  Checks for interrupts.
 */
extern void strided_copy(char *dst, const char *src, int width, int ndim,
						 const int64 *dims, const int64 *strides);

#endif							/* MODELOPT_STRIDED_H */
