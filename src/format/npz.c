/*
 * npz.c
 *		NumPy's formats: dtypes, detection.
 */
#include "postgres.h"

#include "format/npz.h"

const NpyDType npy_dtypes[] = {
	{"f8", DTYPE_F64},
	{"f4", DTYPE_F32},
	{"f2", DTYPE_F16},
	{"i8", DTYPE_I64},
	{"i4", DTYPE_I32},
	{"i2", DTYPE_I16},
	{"i1", DTYPE_I8},
	{"u8", DTYPE_U64},
	{"u4", DTYPE_U32},
	{"u2", DTYPE_U16},
	{"u1", DTYPE_U8},
	{"b1", DTYPE_BOOL},
};

const int	npy_ndtypes = lengthof(npy_dtypes);

/*
 * A zip archive whose first entry is an array.  Those that PyTorch writes
 * start with other entries, and the reader refuses an archive that goes on
 * with anything but arrays.
 */
static bool
npz_detect(const char *data, size_t size)
{
	const size_t local_size = 30;
	const size_t suffix = strlen(NPY_SUFFIX);
	size_t		length;

	if (size < local_size || memcmp(data, "PK\003\004", 4) != 0)
		return false;
	length = (uint8) data[26] | (size_t) (uint8) data[27] << 8;
	return length >= suffix && length <= size - local_size &&
		memcmp(data + local_size + length - suffix, NPY_SUFFIX, suffix) == 0;
}

static bool
npy_detect(const char *data, size_t size)
{
	return size >= NPY_SIGNATURE_SIZE &&
		memcmp(data, NPY_SIGNATURE, NPY_SIGNATURE_SIZE) == 0;
}

const Format format_npz = {
	.name = "npz",
	.extensions = ".npz ",
	.detect = npz_detect,
	.read_input = npz_read,
	.write = npz_write,
	.reads = "stored and deflated archives of .npy",
	.writes = "stored archives, C order",
	.keeps = "names",
	.refuses = "object arrays, complex numbers, strings, dates, records",
};

const Format format_npy = {
	.name = "npy",
	.extensions = ".npy ",
	.detect = npy_detect,
	.read_input = npy_read,
	.write = npy_write,
	.reads = "one array, which becomes the tensor \"array\"",
	.writes = "a model of one tensor",
	.keeps = "nothing but the array",
	.refuses = "object arrays, complex numbers, strings, dates, records",
};
