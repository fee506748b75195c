/*
 * elements.h
 *		Elements on their way from a file into a payload.
 *
 * For the readers of files.  All of these check for interrupts.
 */
#ifndef MODELOPT_ELEMENTS_H
#define MODELOPT_ELEMENTS_H

#include "postgres.h"

/* Copies n bytes of elements that are in row-major order. */
extern void elements_copy(char *dst, const char *src, uint64 n);

/*
 * Gathers a view of elements of width 1, 2, 4 or 8 into dst, densely and in
 * row-major order.  Strides count elements and are not negative, and there is
 * at least one dimension and one element.
 */
extern void elements_gather(char *dst, const char *src, int width, int ndim,
							const int64 *dims, const int64 *strides);

/* Turns the bytes of each element round, in n bytes of them. */
extern void elements_swap(char *elements, uint64 n, int width);

/* Whether n bytes are booleans: each is 0 or 1. */
extern bool elements_are_bool(const char *elements, uint64 n);

#endif							/* MODELOPT_ELEMENTS_H */
