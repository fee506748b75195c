/*
 * encoding.c
 *		The ways in which payloads store their elements.
 *
 * Owns the list of encodings: their names, and which functions check, verify
 * and read them.  The layouts are those files' own.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/encoding.h"

typedef struct EncodingEntry
{
	EncodingInfo info;
	const EncodingMethods *methods;
} EncodingEntry;

/* Indexed by Encoding. */
static const EncodingEntry encodings[] = {
	[ENCODING_DENSE] = {{"dense", -1, false}, &encoding_dense},
	[ENCODING_SPARSE] = {{"sparse", -1, false}, &encoding_sparse},
	[ENCODING_Q4_0] = {{"q4_0", KERNEL_BLOCK_Q4_0, true}, &encoding_blocks},
	[ENCODING_Q4_1] = {{"q4_1", KERNEL_BLOCK_Q4_1, true}, &encoding_blocks},
	[ENCODING_Q5_0] = {{"q5_0", KERNEL_BLOCK_Q5_0, true}, &encoding_blocks},
	[ENCODING_Q5_1] = {{"q5_1", KERNEL_BLOCK_Q5_1, true}, &encoding_blocks},
	[ENCODING_Q8_0] = {{"q8_0", KERNEL_BLOCK_Q8_0, true}, &encoding_blocks},
	[ENCODING_Q4_K] = {{"q4_k", KERNEL_BLOCK_Q4_K, true}, &encoding_blocks},
	[ENCODING_Q5_K] = {{"q5_k", KERNEL_BLOCK_Q5_K, true}, &encoding_blocks},
	[ENCODING_Q6_K] = {{"q6_k", KERNEL_BLOCK_Q6_K, true}, &encoding_blocks},
	[ENCODING_AFFINE] = {{"affine", -1, true}, &encoding_affine},
	[ENCODING_CODEBOOK] = {{"codebook", -1, true}, &encoding_codebook},
	[ENCODING_LOWRANK] = {{"lowrank", -1, true}, &encoding_lowrank},
	[ENCODING_PLANES] = {{"planes", -1, false}, &encoding_planes},
};

StaticAssertDecl(lengthof(encodings) == NUM_ENCODINGS, "encodings");

const EncodingInfo *
encoding_info(int encoding)
{
	if (encoding < 0 || encoding >= (int) lengthof(encodings))
		return NULL;
	return &encodings[encoding].info;
}

const EncodingMethods *
encoding_methods(Encoding encoding)
{
	return encodings[encoding].methods;
}

void
encoding_corrupt(const char *kind, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("%s tensor is corrupt", kind),
			 errdetail("%s", detail)));
	pg_unreachable();
}

/* ---------- checking ---------- */

static const char *
check_blocks(Encoding encoding, DType dtype, int64 count, uint64 stored)
{
	if (dtype != DTYPE_F32 ||
		count % encoding_block_elements(encoding) != 0 ||
		stored != encoding_blocks_size(encoding, count))
		return "A quantized payload's size or dtype does not fit its number of elements.";
	return NULL;
}

const char *
payload_mismatch(int dtype, int encoding, int64 count, uint64 stored)
{
	if (dtype_info(dtype) == NULL)
		return "A payload has an unknown dtype.";
	if (count < 0 || count > PG_INT64_MAX / 16)
		return "A payload has an impossible number of elements.";
	if (encoding_info(encoding) == NULL)
		return "A payload has an unknown encoding.";
	if (encoding_has_blocks(encoding))
		return check_blocks(encoding, dtype, count, stored);
	return encodings[encoding].methods->check_size(dtype, count, stored);
}

const char *
encoding_verify(const Payload *payload)
{
	const EncodingMethods *methods = encodings[payload->encoding].methods;

	return methods->verify == NULL ? NULL : methods->verify(payload);
}

/* ---------- blocks ---------- */

bool
encoding_has_blocks(Encoding encoding)
{
	return encodings[encoding].info.block >= 0;
}

int
encoding_block_elements(Encoding encoding)
{
	return kernel_block_elements(encodings[encoding].info.block);
}

uint64
encoding_blocks_size(Encoding encoding, int64 count)
{
	int			kind = encodings[encoding].info.block;

	Assert(count % kernel_block_elements(kind) == 0);
	return (uint64) count / kernel_block_elements(kind) *
		kernel_block_bytes(kind);
}
