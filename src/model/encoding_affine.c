/*
 * encoding_affine.c
 *		Integers with scales and zero points: affine.h.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "model/affine.h"
#include "model/encoding.h"

#define KIND "quantized"

typedef struct AffineHeader
{
	uint8		codes;
	uint8		has_zeros;
	uint8		zero[6];
	int64		axis;
	int64		inner;
	int64		group;
	uint8		zero2[32];
} AffineHeader;

StaticAssertDecl(sizeof(AffineHeader) == MODEL_ALIGNMENT, "affine header");

/* ---------- layout ---------- */

static uint64
align(uint64 n)
{
	return (n + MODEL_ALIGNMENT - 1) & ~(uint64) (MODEL_ALIGNMENT - 1);
}

static bool
is_code_dtype(int dtype)
{
	return dtype == DTYPE_I4 || dtype == DTYPE_U4 || dtype == DTYPE_I8 ||
		dtype == DTYPE_U8 || dtype == DTYPE_I16 || dtype == DTYPE_U16;
}

bool
affine_plan(Affine *affine)
{
	int64		outer;

	if (affine->count <= 0 || affine->axis <= 0 || affine->inner <= 0 ||
		affine->group < 0 || affine->group > affine->axis ||
		affine->axis > affine->count / affine->inner ||
		affine->count % (affine->axis * affine->inner) != 0)
		return false;
	outer = affine->count / (affine->axis * affine->inner);
	if (affine->group == 0)
		affine->nscales = affine->axis;
	else
		affine->nscales = outer * affine->inner *
			((affine->axis - 1) / affine->group + 1);
	affine->scales_at = sizeof(AffineHeader);
	affine->zeros_at = align(affine->scales_at +
							 affine->nscales * sizeof(float));
	affine->codes_at = affine->zeros_at;
	if (affine->has_zeros)
		affine->codes_at = align(affine->zeros_at +
								 dtype_bytes(affine->codes, affine->nscales));
	affine->stored = affine->codes_at + dtype_bytes(affine->codes,
													affine->count);
	return true;
}

/* Zeros from one offset to another. */
static void
put_padding(char *payload, uint64 from, uint64 to)
{
	memset(payload + from, 0, to - from);
}

void
affine_put_header(const Affine *affine, char *payload)
{
	AffineHeader header = {0};

	header.codes = affine->codes;
	header.has_zeros = affine->has_zeros;
	header.axis = affine->axis;
	header.inner = affine->inner;
	header.group = affine->group;
	memcpy(payload, &header, sizeof(header));
	put_padding(payload, affine->scales_at + affine->nscales * sizeof(float),
				affine->zeros_at);
	if (affine->has_zeros)
		put_padding(payload, affine->zeros_at +
					dtype_bytes(affine->codes, affine->nscales),
					affine->codes_at);
}

/* What is wrong with a header, or NULL. */
static const char *
parse_header(const AffineHeader *header, int64 count, uint64 stored,
			 Affine *affine)
{
	if (!is_code_dtype(header->codes) || header->has_zeros > 1 ||
		!kernel_is_zero(header->zero, sizeof(header->zero)) ||
		!kernel_is_zero(header->zero2, sizeof(header->zero2)))
		return "A quantized payload's header is wrong.";
	affine->codes = header->codes;
	affine->has_zeros = header->has_zeros;
	affine->count = count;
	affine->axis = header->axis;
	affine->inner = header->inner;
	affine->group = header->group;
	if (!affine_plan(affine) || affine->stored != stored)
		return "A quantized payload's header does not fit its size.";
	return NULL;
}

void
affine_get_header(Payload *payload, Affine *affine)
{
	AffineHeader header;
	const char *problem;

	payload_copy_part(payload, 0, sizeof(header), (char *) &header);
	problem = parse_header(&header, payload->count, payload->stored, affine);
	if (problem != NULL)
		encoding_corrupt(KIND, problem);
}

AffineRun
affine_run_at(const Affine *affine, int64 element)
{
	int64		within = affine->inner == 1 ? 0 : element % affine->inner;
	int64		place = element / affine->inner;
	int64		outer = place / affine->axis;
	AffineRun	run;

	place -= outer * affine->axis;
	if (affine->group == 0)
	{
		run.scale = place;
		run.step = affine->inner == 1;
		run.n = run.step ? affine->axis - place : affine->inner - within;
	}
	else
	{
		int64		groups = (affine->axis - 1) / affine->group + 1;
		int64		group = place / affine->group;
		int64		after = Min((group + 1) * affine->group, affine->axis);

		run.scale = (outer * groups + group) * affine->inner + within;
		run.step = affine->inner > 1;
		run.n = run.step ? affine->inner - within : after - place;
	}
	return run;
}

/* ---------- parameters ---------- */

float *
affine_scales(Payload *payload, const Affine *affine)
{
	char	   *scales = model_alloc_bytes(CurrentMemoryContext,
										   affine->nscales * sizeof(float));

	payload_copy_part(payload, affine->scales_at,
					  affine->nscales * sizeof(float), scales);
	return (float *) scales;
}

float *
affine_zeros(Payload *payload, const Affine *affine)
{
	float	   *zeros;
	char	   *packed;
	const char *src;

	zeros = (float *) model_alloc_bytes(CurrentMemoryContext,
										affine->nscales * sizeof(float));
	if (!affine->has_zeros)
	{
		memset(zeros, 0, affine->nscales * sizeof(float));
		return zeros;
	}
	src = stream_part(payload, affine->zeros_at,
					  dtype_bytes(affine->codes, affine->nscales), &packed);
	dtype_to_float(affine->codes, src, 0, affine->nscales, zeros);
	if (packed != NULL)
		pfree(packed);
	return zeros;
}

/* ---------- checking ---------- */

static const char *
check_size(DType dtype, int64 count, uint64 stored)
{
	if (!dtype_is_float(dtype) || count == 0 ||
		stored < sizeof(AffineHeader) || stored >= dtype_bytes(dtype, count))
		return "A quantized payload's size or dtype does not fit its number of elements.";
	return NULL;
}

static const char *
verify(const Payload *payload)
{
	AffineHeader header;
	Affine		affine;
	const char *problem;
	const float *scales;
	uint64		scales_end;

	memcpy(&header, payload->bytes, sizeof(header));
	problem = parse_header(&header, payload->count, payload->stored, &affine);
	if (problem != NULL)
		return problem;
	scales_end = affine.scales_at + affine.nscales * sizeof(float);
	if (!kernel_is_zero(payload->bytes + scales_end,
						affine.zeros_at - scales_end))
		return "A quantized payload has something after its scales.";
	scales = (const float *) (payload->bytes + affine.scales_at);
	for (int64 i = 0; i < affine.nscales; i++)
	{
		if (!isfinite(scales[i]))
			return "A quantized payload has a scale that is not finite.";
	}
	if (affine.has_zeros)
	{
		uint64		zeros_end = affine.zeros_at +
			dtype_bytes(affine.codes, affine.nscales);

		problem = elements_problem(affine.codes,
								   payload->bytes + affine.zeros_at,
								   affine.nscales);
		if (problem != NULL ||
			!kernel_is_zero(payload->bytes + zeros_end,
							affine.codes_at - zeros_end))
			return "A quantized payload has something after its zero points.";
	}
	return elements_problem(affine.codes, payload->bytes + affine.codes_at,
							affine.count);
}

/* ---------- reading ---------- */

typedef struct AffineReader
{
	Affine		affine;
	DType		dtype;
	int64		position;
	float	   *scales;
	float	   *zeros;			/* NULL when there are none */
	ByteStream	codes;
	float	   *floats;			/* a chunk, decoded */
	char	   *chunk;			/* the same as the dtype; NULL for f32 */
} AffineReader;

static void *
begin(Payload *payload)
{
	AffineReader *reader = palloc0(sizeof(AffineReader));
	int64		largest = Min(payload->count, PAYLOAD_CHUNK);

	affine_get_header(payload, &reader->affine);
	reader->dtype = payload->dtype;
	reader->scales = affine_scales(payload, &reader->affine);
	if (reader->affine.has_zeros)
		reader->zeros = affine_zeros(payload, &reader->affine);
	stream_init(&reader->codes, payload, reader->affine.codes_at,
				payload->stored);
	reader->floats = palloc(largest * sizeof(float) + MODEL_ALIGNMENT);
	if (payload->dtype != DTYPE_F32)
		reader->chunk = palloc(dtype_bytes(payload->dtype, largest) +
							   MODEL_ALIGNMENT);
	return reader;
}

static const void *
next(void *state, int64 n)
{
	AffineReader *reader = state;
	DType		codes = reader->affine.codes;

	dtype_to_float(codes, stream_take(&reader->codes, dtype_bytes(codes, n)),
				   0, n, reader->floats);
	for (int64 done = 0; done < n;)
	{
		AffineRun	run = affine_run_at(&reader->affine,
										reader->position + done);
		int64		length = Min(run.n, n - done);
		const float *zeros = reader->zeros == NULL ? NULL :
			reader->zeros + run.scale;

		kernel_affine_decode(reader->floats + done, length,
							 reader->scales + run.scale, zeros, run.step);
		done += length;
	}
	reader->position += n;
	if (reader->chunk == NULL)
		return reader->floats;
	(void) dtype_from_float(reader->dtype, reader->floats, n, reader->chunk);
	return reader->chunk;
}

static void
end(void *state)
{
	AffineReader *reader = state;

	stream_free(&reader->codes);
	pfree(reader->scales);
	if (reader->zeros != NULL)
		pfree(reader->zeros);
	if (reader->chunk != NULL)
		pfree(reader->chunk);
	pfree(reader->floats);
	pfree(reader);
}

const EncodingMethods encoding_affine = {
	check_size, verify, begin, next, end
};
