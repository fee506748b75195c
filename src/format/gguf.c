/*
 * gguf.c
 *		The GGUF format: types, keys, detection.
 */
#include "postgres.h"

#include "format/gguf.h"

#define UNSUPPORTED	DTYPE_INVALID, ENCODING_DENSE

/* By number; those without dtype are known by name only.  Some have been
 * removed from ggml, and their numbers are not used again. */
static const GgufType types[] = {
	{0, "F32", DTYPE_F32, ENCODING_DENSE},
	{1, "F16", DTYPE_F16, ENCODING_DENSE},
	{2, "Q4_0", DTYPE_F32, ENCODING_Q4_0},
	{3, "Q4_1", DTYPE_F32, ENCODING_Q4_1},
	{4, "Q4_2", UNSUPPORTED},
	{5, "Q4_3", UNSUPPORTED},
	{6, "Q5_0", DTYPE_F32, ENCODING_Q5_0},
	{7, "Q5_1", DTYPE_F32, ENCODING_Q5_1},
	{8, "Q8_0", DTYPE_F32, ENCODING_Q8_0},
	{9, "Q8_1", UNSUPPORTED},
	{10, "Q2_K", UNSUPPORTED},
	{11, "Q3_K", UNSUPPORTED},
	{12, "Q4_K", DTYPE_F32, ENCODING_Q4_K},
	{13, "Q5_K", DTYPE_F32, ENCODING_Q5_K},
	{14, "Q6_K", DTYPE_F32, ENCODING_Q6_K},
	{15, "Q8_K", UNSUPPORTED},
	{16, "IQ2_XXS", UNSUPPORTED},
	{17, "IQ2_XS", UNSUPPORTED},
	{18, "IQ3_XXS", UNSUPPORTED},
	{19, "IQ1_S", UNSUPPORTED},
	{20, "IQ4_NL", UNSUPPORTED},
	{21, "IQ3_S", UNSUPPORTED},
	{22, "IQ2_S", UNSUPPORTED},
	{23, "IQ4_XS", UNSUPPORTED},
	{24, "I8", DTYPE_I8, ENCODING_DENSE},
	{25, "I16", DTYPE_I16, ENCODING_DENSE},
	{26, "I32", DTYPE_I32, ENCODING_DENSE},
	{27, "I64", DTYPE_I64, ENCODING_DENSE},
	{28, "F64", DTYPE_F64, ENCODING_DENSE},
	{29, "IQ1_M", UNSUPPORTED},
	{30, "BF16", DTYPE_BF16, ENCODING_DENSE},
	{31, "Q4_0_4_4", UNSUPPORTED},
	{32, "Q4_0_4_8", UNSUPPORTED},
	{33, "Q4_0_8_8", UNSUPPORTED},
	{34, "TQ1_0", UNSUPPORTED},
	{35, "TQ2_0", UNSUPPORTED},
	{36, "IQ4_NL_4_4", UNSUPPORTED},
	{37, "IQ4_NL_4_8", UNSUPPORTED},
	{38, "IQ4_NL_8_8", UNSUPPORTED},
	{39, "MXFP4", UNSUPPORTED},
	{40, "NVFP4", UNSUPPORTED},
	{41, "Q1_0", UNSUPPORTED},
	{42, "Q2_0", UNSUPPORTED},
};

const GgufKindInfo gguf_kinds[GGUF_NKINDS] = {
	[GGUF_U8] = {"u8", 1, false},
	[GGUF_I8] = {"i8", 1, true},
	[GGUF_U16] = {"u16", 2, false},
	[GGUF_I16] = {"i16", 2, true},
	[GGUF_U32] = {"u32", 4, false},
	[GGUF_I32] = {"i32", 4, true},
	[GGUF_F32] = {"f32", 4, false},
	[GGUF_BOOL] = {"bool", 1, false},
	[GGUF_STRING] = {"string", 0, false},
	[GGUF_ARRAY] = {"array", 0, false},
	[GGUF_U64] = {"u64", 8, false},
	[GGUF_I64] = {"i64", 8, true},
	[GGUF_F64] = {"f64", 8, false},
};

/* ---------- tensor types ---------- */

const GgufType *
gguf_type(uint32 number)
{
	if (number >= lengthof(types))
		return NULL;
	Assert(types[number].number == number);
	return &types[number];
}

const GgufType *
gguf_type_of(DType dtype, Encoding encoding)
{
	for (int i = 0; i < lengthof(types); i++)
	{
		if (types[i].dtype == dtype && types[i].encoding == encoding)
			return &types[i];
	}
	return NULL;
}

int
gguf_type_block(const GgufType *type)
{
	return encoding_has_blocks(type->encoding) ?
		encoding_block_elements(type->encoding) : 1;
}

uint64
gguf_type_bytes(const GgufType *type, int64 count)
{
	return encoding_has_blocks(type->encoding) ?
		encoding_blocks_size(type->encoding, count) :
		dtype_bytes(type->dtype, count);
}

/* ---------- keys and places ---------- */

bool
gguf_is_key(const char *key, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (!((key[i] >= 'a' && key[i] <= 'z') ||
			  (key[i] >= 'A' && key[i] <= 'Z') ||
			  (key[i] >= '0' && key[i] <= '9') ||
			  key[i] == '_' || key[i] == '.' || key[i] == '-'))
			return false;
	}
	return length >= 1 && length <= GGUF_MAX_KEY;
}

bool
gguf_is_alignment(uint64 alignment)
{
	return alignment >= 8 && alignment <= GGUF_MAX_ALIGNMENT &&
		(alignment & (alignment - 1)) == 0;
}

uint64
gguf_align(uint64 at, uint64 alignment)
{
	return (at + alignment - 1) & ~(alignment - 1);
}

/* ---------- the format ---------- */

bool
gguf_detect(const char *data, size_t size)
{
	return size >= 4 && memcmp(data, "GGUF", 4) == 0;
}

const Format format_gguf = {
	.name = "gguf",
	.extensions = ".gguf ",
	.detect = gguf_detect,
	.read = gguf_read,
	.write = gguf_write,
	.write_as = gguf_write_as,
	.reads = "versions 2 and 3: f32 f16 bf16 f64 i8 to i64, and the blocks q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k",
	.writes = "what was read, to the byte; others as their dtypes, or by dtype as f32, f16, bf16, q8_0 or q4_0",
	.keeps = "metadata with types, blocks as they are",
	.refuses = "other block types, version 1, big-endian files",
};
