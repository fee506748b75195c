/*
 * value.c
 *		Values that go into a model and come out of it, in memory.
 */
#include "serve/value.h"

#include <string.h>

int
element_bits(int type)
{
	static const unsigned char bits[] = {
		[ELEMENT_F32] = 32,[ELEMENT_U8] = 8,[ELEMENT_I8] = 8,
		[ELEMENT_U16] = 16,[ELEMENT_I16] = 16,[ELEMENT_I32] = 32,
		[ELEMENT_I64] = 64,[ELEMENT_BOOL] = 8,[ELEMENT_F16] = 16,
		[ELEMENT_F64] = 64,[ELEMENT_U32] = 32,[ELEMENT_U64] = 64,
		[ELEMENT_BF16] = 16,[ELEMENT_F8E4M3FN] = 8,
		[ELEMENT_F8E4M3FNUZ] = 8,[ELEMENT_F8E5M2] = 8,
		[ELEMENT_F8E5M2FNUZ] = 8,[ELEMENT_U4] = 4,[ELEMENT_I4] = 4,
	};

	return type > 0 && type < (int) sizeof(bits) ? bits[type] : 0;
}

bool
shape_elements(const TensorShape *shape, int64_t *count)
{
	int64_t		n = 1;

	if (shape->ndim < 0 || shape->ndim > ORT_MAX_DIMS)
		return false;
	for (int i = 0; i < shape->ndim; i++)
		if (shape->dims[i] < 0 ||
			__builtin_mul_overflow(n, shape->dims[i], &n))
			return false;
	*count = n;
	return true;
}

bool
elements_bytes(int type, int64_t count, uint64_t *bytes)
{
	uint64_t	bits;

	if (element_bits(type) == 0 ||
		__builtin_mul_overflow((uint64_t) count, (uint64_t) element_bits(type), &bits))
		return false;
	*bytes = bits / 8 + (bits % 8 != 0);
	return true;
}

void
shape_of_parts(TensorShape *shape, int64_t count)
{
	shape->type = ELEMENT_VALUE;
	shape->ndim = 1;
	shape->dims[0] = count;
}

/* ---------- places ---------- */

/* Whether there can be so many elements in so many bytes. */
static bool
elements_fit(int type, int64_t count, uint64_t bytes)
{
	uint64_t	needed;

	if (type == ELEMENT_STRING)
		return (uint64_t) count < bytes / sizeof(uint64_t);
	if (type == ELEMENT_VALUE)
		return (uint64_t) count <= bytes / sizeof(PlacedTensor);
	return elements_bytes(type, count, &needed) && needed == bytes;
}

/* Each number is taken once, and what is looked at is the copy, which a compiler
 * is not to do without. */
bool
placed_read(const PlacedTensor *placed, char *memory, uint64_t size,
			ServedTensor *found)
{
	PlacedTensor copy;
	int64_t		count;

	memcpy(&copy, placed, sizeof(copy));
	__asm__ volatile("" : : "r" (&copy) : "memory");
	memset(found, 0, sizeof(*found));
	if (copy.shape.type == ELEMENT_NONE)
		return true;
	if (!shape_elements(&copy.shape, &count) ||
		copy.offset > size || copy.bytes > size - copy.offset ||
		copy.offset != PLACE_ALIGN(copy.offset) ||
		!elements_fit(copy.shape.type, count, copy.bytes))
		return false;
	found->shape = copy.shape;
	found->bytes = copy.bytes;
	found->data = memory + copy.offset;
	return true;
}

void
placed_write(const ServedTensor *value, const char *memory, PlacedTensor *placed)
{
	placed->shape.type = value->shape.type;
	placed->shape.ndim = value->shape.ndim;
	memcpy(placed->shape.dims, value->shape.dims,
		   value->shape.ndim * sizeof(int64_t));
	placed->bytes = value->bytes;
	placed->offset = value->data == NULL ? 0 : (const char *) value->data - memory;
}

bool
value_part(const ServedTensor *whole, int64_t i, ServedTensor *part)
{
	const PlacedTensor *parts = whole->data;
	int64_t		count;

	return whole->shape.type == ELEMENT_VALUE &&
		shape_elements(&whole->shape, &count) && i >= 0 && i < count &&
		placed_read(&parts[i], whole->data, whole->bytes, part);
}
