/*
 * value.h
 *		Values that go into a model and come out of it, in memory.
 *
 * Most are tensors.  A sequence is laid out as a tensor whose elements are
 * values: their places come first, and what is there follows.  A map is such a
 * pair of its keys and its values, and an optional value is there or has no
 * type at all.  Which of these a value is, its port says (ort.h).
 *
 * Owns the layout and its checks.  Pure C without the server, for both
 * programs.
 */
#ifndef MODELOPT_SERVE_VALUE_H
#define MODELOPT_SERVE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORT_MAX_DIMS	32

/* Element types, with ONNX's numbers. */
typedef enum ElementType
{
	ELEMENT_NONE = 0,
	ELEMENT_F32 = 1,
	ELEMENT_U8 = 2,
	ELEMENT_I8 = 3,
	ELEMENT_U16 = 4,
	ELEMENT_I16 = 5,
	ELEMENT_I32 = 6,
	ELEMENT_I64 = 7,
	ELEMENT_STRING = 8,
	ELEMENT_BOOL = 9,
	ELEMENT_F16 = 10,
	ELEMENT_F64 = 11,
	ELEMENT_U32 = 12,
	ELEMENT_U64 = 13,
	ELEMENT_BF16 = 16,
	ELEMENT_F8E4M3FN = 17,
	ELEMENT_F8E4M3FNUZ = 18,
	ELEMENT_F8E5M2 = 19,
	ELEMENT_F8E5M2FNUZ = 20,
	ELEMENT_U4 = 21,
	ELEMENT_I4 = 22,
	/* Ours: the elements are values. */
	ELEMENT_VALUE = 1 << 16,
} ElementType;

/* Bits of an element, or 0 for strings and what has no number here. */
extern int	element_bits(int type);

typedef struct TensorShape
{
	int32_t		type;			/* ElementType; ELEMENT_NONE where nothing is */
	int32_t		ndim;
	int64_t		dims[ORT_MAX_DIMS];
} TensorShape;

/*
 * A value in this process.  Elements lie one after another, in C's order; of
 * strings there are count + 1 offsets (uint64) from the end of the offsets,
 * and then their bytes.
 */
typedef struct ServedTensor
{
	TensorShape shape;
	uint64_t	bytes;
	void	   *data;
} ServedTensor;

/* A value that lies in a memory which others have somewhere else: of a run in
 * the part that is shared, and of a value in the one that it is an element of. */
typedef struct PlacedTensor
{
	TensorShape shape;
	uint64_t	offset;			/* from the start of that memory */
	uint64_t	bytes;
} PlacedTensor;

/* Where values start: elements are numbers of 64 bits at most, and the rest is
 * for the runtime's fast paths. */
#define PLACE_ALIGN(offset) (((offset) + 63) & ~(uint64_t) 63)

/* Elements of a shape; false when it is none or they are too many. */
extern bool shape_elements(const TensorShape *shape, int64_t *count);

/* Bytes of so many elements that are numbers; false when they are too many or
 * the type has no number here. */
extern bool elements_bytes(int type, int64_t count, uint64_t *bytes);

/* Finds what lies in a memory of that size, of which nothing is believed, and
 * which may change meanwhile.  False when it is no value in there. */
extern bool placed_read(const PlacedTensor *placed, char *memory, uint64_t size,
						ServedTensor *found);

/* Says where a value is that lies in a memory; dims beyond ndim stay as they
 * are. */
extern void placed_write(const ServedTensor *value, const char *memory,
						 PlacedTensor *placed);

/* Gives a value the shape of one with that many elements which are values. */
extern void shape_of_parts(TensorShape *shape, int64_t count);

/* An element that is a value, likewise unbelieved. */
extern bool value_part(const ServedTensor *whole, int64_t i, ServedTensor *part);

#endif							/* MODELOPT_SERVE_VALUE_H */
