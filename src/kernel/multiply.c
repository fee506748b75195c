/*
 * multiply.c
 *		Products of matrices that are the same on every machine.
 *
 * Each element of the result is added up in the order of the inner dimension,
 * product by product; how the rest is cut into tiles changes nothing.  A tile's
 * sums stay in registers.
 */
#include "kernel/kernel.h"

#define INLINE static inline __attribute__((always_inline))

#define TILE 64					/* columns */
#define GROUP 4					/* rows */

#define DEFINE_MULTIPLY(name, type) \
INLINE void \
name##_tile(type *restrict dst, const type *restrict left, \
			const type *restrict right, size_t rows, size_t inner, \
			size_t columns, size_t dst_step, size_t right_step) \
{ \
	type		sums[GROUP][TILE] = {{0}}; \
\
	for (size_t k = 0; k < inner; k++) \
		for (size_t i = 0; i < rows; i++) \
			for (size_t j = 0; j < columns; j++) \
				sums[i][j] += left[i * inner + k] * right[k * right_step + j]; \
	for (size_t i = 0; i < rows; i++) \
		for (size_t j = 0; j < columns; j++) \
			dst[i * dst_step + j] = sums[i][j]; \
} \
\
KERNEL_CLONES \
void \
name(type *restrict dst, const type *restrict left, \
	 const type *restrict right, size_t rows, size_t inner, size_t columns, \
	 size_t right_step) \
{ \
	size_t		j = 0; \
\
	for (; j + TILE <= columns; j += TILE) \
	{ \
		size_t		i = 0; \
\
		for (; i + GROUP <= rows; i += GROUP) \
			name##_tile(dst + i * columns + j, left + i * inner, right + j, \
						GROUP, inner, TILE, columns, right_step); \
		for (; i < rows; i++) \
			name##_tile(dst + i * columns + j, left + i * inner, right + j, \
						1, inner, TILE, columns, right_step); \
	} \
	for (size_t i = 0; i < rows && j < columns; i++) \
		name##_tile(dst + i * columns + j, left + i * inner, right + j, \
					1, inner, columns - j, columns, right_step); \
}

DEFINE_MULTIPLY(kernel_multiply_f32, float)
DEFINE_MULTIPLY(kernel_multiply_f64, double)
