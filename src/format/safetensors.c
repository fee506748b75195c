/*
 * safetensors.c
 *		The safetensors format: dtypes, detection, one file or several.
 */
#include "postgres.h"

#include "format/safetensors.h"

const SafetensorsDType safetensors_dtypes[] = {
	{"BOOL", DTYPE_BOOL},
	{"F4", DTYPE_INVALID},
	{"F6_E2M3", DTYPE_INVALID},
	{"F6_E3M2", DTYPE_INVALID},
	{"U8", DTYPE_U8},
	{"I8", DTYPE_I8},
	{"F8_E5M2", DTYPE_F8E5M2},
	{"F8_E4M3", DTYPE_F8E4M3},
	{"F8_E8M0", DTYPE_F8E8M0},
	{"F8_E4M3FNUZ", DTYPE_F8E4M3FNUZ},
	{"F8_E5M2FNUZ", DTYPE_F8E5M2FNUZ},
	{"I16", DTYPE_I16},
	{"U16", DTYPE_U16},
	{"F16", DTYPE_F16},
	{"BF16", DTYPE_BF16},
	{"I32", DTYPE_I32},
	{"U32", DTYPE_U32},
	{"F32", DTYPE_F32},
	{"C64", DTYPE_INVALID},
	{"F64", DTYPE_F64},
	{"I64", DTYPE_I64},
	{"U64", DTYPE_U64},
};

const int	safetensors_ndtypes = lengthof(safetensors_dtypes);

/* Whether bytes start with a header that fits in them. */
static bool
is_file(const char *data, size_t size)
{
	uint64		length = 0;

	if (size < 10 || data[8] != '{')
		return false;
	for (int i = 8; i-- > 0;)
		length = length << 8 | (uint8) data[i];
	return length <= size - 8;
}

static bool
safetensors_detect(const char *data, size_t size)
{
	return is_file(data, size) || safetensors_is_index(data, size);
}

static Model *
safetensors_read(Input *input, const ReadOptions *options)
{
	uint64		n = Min(input->size, FORMAT_HEAD);
	const char *head = input_view(input, 0, n);
	bool		is_model = is_file(head, input->size);

	if (!is_model && safetensors_is_index(head, input->size))
		return safetensors_read_index(input_load(input), input->size, options);
	if (!is_model && format_is_recognized(head, n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("not a safetensors file"),
				 errdetail("The bytes look like %s.",
						   format_describe(head, n))));
	input_release(input, head);

	/* If it is none, what is wrong with its header. */
	return safetensors_read_file(input);
}

const Format format_safetensors = {
	.name = "safetensors",
	.extensions = ".safetensors ",
	.detect = safetensors_detect,
	.read_input = safetensors_read,
	.write = safetensors_write,
	.reads = "single files; with model_load also those that an index.json lists",
	.writes = "as the reference library does",
	.keeps = "names, __metadata__",
	.refuses = "complex numbers, floats of 4 and 6 bits; holes, overlaps, names that come twice",
};
