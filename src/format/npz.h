/*
 * npz.h
 *		What the files of the NumPy readers and writers share.
 *
 * Private to src/format.  An .npy file is a header (Python's notation of a
 * dict) and an array's elements, an .npz file is a zip archive of them:
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
#ifndef MODELOPT_NPZ_H
#define MODELOPT_NPZ_H

#include "compat.h"

#include "format/format.h"

/* The name that the array of an .npy file gets. */
#define NPY_NAME			"array"
#define NPY_SUFFIX			".npy"
#define NPY_SIGNATURE		"\223NUMPY"
#define NPY_SIGNATURE_SIZE	6

/* Bytes before the dict, at most. */
#define NPY_PREAMBLE		12

/* numpy reads no longer headers either. */
#define NPY_MAX_HEADER		10000

typedef struct NpyDType
{
	const char *name;			/* numpy's, without byte order: "f4" */
	DType		dtype;
} NpyDType;

extern const NpyDType npy_dtypes[];
extern const int npy_ndtypes;

/* What the header of an array says. */
typedef struct NpyHeader
{
	const NpyDType *dtype;
	bool		swap;			/* elements are big endian */
	bool		fortran_order;	/* the first index changes fastest */
	int			ndim;
	int64		dims[MODEL_MAX_DIMS];
	int64		count;			/* elements */
	uint64		start;			/* bytes before the dict */
	uint64		size;			/* bytes before the first element */
} NpyHeader;

/* Where an array is, for errors. */
typedef struct NpyPlace
{
	const char *file;			/* "npz file" */
	const char *name;			/* the array's, UTF-8 */
} NpyPlace;

/* Raises 22P03; what is wrong goes on after the array's name. */
pg_noreturn extern void npy_fail(const NpyPlace *place, const char *problem);

/*
 * Read the header of an array of so many bytes (npz_header.c): first from up to
 * NPY_PREAMBLE bytes at its start how large it is, which is all that is known
 * then, and then from the header the rest.  Checks that the elements that it
 * announces are what follows.
 */
extern void npy_read_preamble(const NpyPlace *place, const char *data,
							  uint64 size, NpyHeader *header);
extern void npy_read_header(const NpyPlace *place, const char *data,
							uint64 size, NpyHeader *header);

/* Appends the header that numpy writes, or raises 0A000 when numpy has no
 * such arrays.  (npz_header.c) */
extern void npy_put_header(StringInfo out, const Model *model,
						   const Tensor *tensor);

extern Model *npz_read(Input *input, const ReadOptions *options);
extern Model *npy_read(Input *input, const ReadOptions *options);

extern void npz_write(Model *model, Sink *sink);
extern void npy_write(Model *model, Sink *sink);

#endif							/* MODELOPT_NPZ_H */
