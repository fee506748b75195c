/*
 * lanes.h
 *		Sums over numbers whose order does not depend on the machine.
 *
 * Private to the kernels that add up.  Floating-point addition depends on its
 * order, so a block is added in a fixed number of lanes, four to a quad, and
 * blocks are added up with what rounding loses kept beside (Neumaier).  A
 * vector register of any width adds lanes in that very order.
 */
#ifndef MODELOPT_LANES_H
#define MODELOPT_LANES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* A size that compilers handle well on every machine. */
typedef double Quad __attribute__((vector_size(32)));
typedef float QuadF32 __attribute__((vector_size(16)));
typedef int64_t QuadBits __attribute__((vector_size(32)));

typedef enum Width
{
	WIDTH_F32,
	WIDTH_F64,
} Width;

/* Vectors go by pointer: by value, how depends on the instruction set. */
INLINE void
load_quad(Quad *quad, const void *x, size_t i, Width width)
{
	if (width == WIDTH_F32)
	{
		QuadF32		narrow;

		memcpy(&narrow, (const float *) x + i, sizeof(narrow));
		*quad = __builtin_convertvector(narrow, Quad);
	}
	else
		memcpy(quad, (const double *) x + i, sizeof(*quad));
}

INLINE double
load_one(const void *x, size_t i, Width width)
{
	if (width == WIDTH_F32)
		return ((const float *) x)[i];
	return ((const double *) x)[i];
}

/* Adds a term and keeps what the addition lost. */
static inline void
add_compensated(double *sum, double *lost, double term)
{
	double		total = *sum + term;

	if (fabs(*sum) >= fabs(term))
		*lost += (*sum - total) + term;
	else
		*lost += (term - total) + *sum;
	*sum = total;
}

/* A sum that overflowed has lost everything, and is infinite. */
static inline double
restored(double sum, double lost)
{
	return isfinite(sum) ? sum + lost : sum;
}

#endif							/* MODELOPT_LANES_H */
