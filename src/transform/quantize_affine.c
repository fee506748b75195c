/*
 * quantize_affine.c
 *		Integers with scales and zero points, of a payload.
 *
 * Works slab by slab: a slab is the shortest stretch of elements that has all
 * of those that its scales are for.  Where slabs are short, ranges are found
 * and codes are made while the elements are in the cache; one that is the whole
 * tensor is read twice.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/quantize.h"

/* Elements converted and encoded at once. */
#define PIECE 16384

typedef struct Quantizer
{
	const EncodeTarget *target;
	const QuantizeRequest *request;
	int64		base;			/* the slab's first scale */
	int64		nscales;		/* and how many it has */
	QuantizeCodes codes;
	Affine		affine;
	const char *elements;		/* of the payload, dense */
	float	   *floats;			/* a piece as floats, unless they are */
	char	   *payload;		/* what is made */
	float	   *scales;			/* in it */
	float	   *zeros;			/* as the rule computes with them */
	float	   *mins;			/* of the slab's scales */
	float	   *maxs;

	/* codes of four bits wait here for their neighbours */
	uint8	   *waiting;
	int64		nwaiting;
	int64		packed;			/* codes that are in their place */
} Quantizer;

/* ---------- elements ---------- */

static const float *
piece(Quantizer *quantizer, int64 first, int64 n)
{
	DType		dtype = quantizer->target->payload->dtype;

	if (dtype == DTYPE_F32)
		return (const float *) quantizer->elements + first;
	dtype_to_float(dtype, quantizer->elements, first, n, quantizer->floats);
	return quantizer->floats;
}

/* Elements of the slab that the element starts. */
static int64
slab_at(const Affine *affine, int64 first)
{
	int64		outer = affine->count / (affine->axis * affine->inner);

	if (affine->group > 0)
	{
		int64		place = first / affine->inner % affine->axis;

		return Min(affine->group, affine->axis - place) * affine->inner;
	}
	return outer == 1 ? affine->inner : affine->count;
}

/* Scales of a slab; those of the next one follow. */
static int64
scales_of_slab(const Affine *affine)
{
	int64		outer = affine->count / (affine->axis * affine->inner);

	if (affine->group > 0)
		return affine->inner;
	return outer == 1 ? 1 : affine->axis;
}

/* Elements of the slab from one on whose scales lie in a row. */
static inline AffineRun
run_in_slab(const Quantizer *quantizer, int64 element, int64 most)
{
	AffineRun	run = {most, quantizer->base, 0};

	if (quantizer->nscales > 1)
	{
		run = affine_run_at(&quantizer->affine, element);
		run.n = Min(run.n, most);
	}
	return run;
}

/* ---------- ranges ---------- */

static void
find_ranges(Quantizer *quantizer, int64 first, int64 n)
{
	for (int64 done = 0; done < n;)
	{
		int64		m = Min(n - done, PIECE);
		const float *x = piece(quantizer, first + done, m);

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < m;)
		{
			AffineRun	run = run_in_slab(quantizer, first + done + i, m - i);
			float	   *min = quantizer->mins + (run.scale - quantizer->base);
			float	   *max = quantizer->maxs + (run.scale - quantizer->base);

			if (run.step == 0)
				kernel_range(x + i, run.n, min, max);
			else
				kernel_range_each(x + i, run.n, min, max);
			i += run.n;
		}
		done += m;
	}
}

static void
set_scales(Quantizer *quantizer, int64 first)
{
	DType		dtype = quantizer->target->payload->dtype;

	for (int64 i = 0; i < quantizer->nscales; i++)
	{
		float		min = quantizer->mins[i];
		float		max = quantizer->maxs[i];

		if (!isfinite(min) || !isfinite(max))
		{
			encode_check_finite(quantizer->target, true);
			elog(ERROR, "range is not finite, and all elements are");
		}
		if (!quantize_parameters(quantizer->request, dtype, min, max,
								 &quantizer->scales[quantizer->base + i],
								 &quantizer->zeros[quantizer->base + i]))
			encode_too_large(quantizer->target, first,
							 "the scale of its neighbours");
	}
}

/* ---------- codes ---------- */

/* Where the next n codes belong. */
static void *
code_room(Quantizer *quantizer, int64 first, int64 n)
{
	const Affine *affine = &quantizer->affine;

	if (dtype_bits(affine->codes) == 4)
		return quantizer->waiting + quantizer->nwaiting;
	return quantizer->payload + affine->codes_at +
		dtype_bytes(affine->codes, first);
}

/* Packs what waits; an odd one goes on waiting, unless it is the last. */
static void
pack_waiting(Quantizer *quantizer)
{
	const Affine *affine = &quantizer->affine;
	int64		n = quantizer->nwaiting;
	uint8	   *dst = (uint8 *) quantizer->payload + affine->codes_at +
		quantizer->packed / 2;

	if (quantizer->packed + n < affine->count)
		n -= n % 2;
	kernel_pack_nibbles(dst, quantizer->waiting, n);
	quantizer->packed += n;
	quantizer->nwaiting -= n;
	quantizer->waiting[0] = quantizer->waiting[n];
}

static void
make_codes(Quantizer *quantizer, int64 first, int64 n)
{
	const QuantizeCodes *codes = &quantizer->codes;
	int			bits = dtype_bits(quantizer->affine.codes);

	for (int64 done = 0; done < n;)
	{
		int64		m = Min(n - done, PIECE);
		const float *x = piece(quantizer, first + done, m);
		char	   *dst = code_room(quantizer, first + done, m);

		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < m;)
		{
			AffineRun	run = run_in_slab(quantizer, first + done + i, m - i);

			kernel_affine_encode(codes->rule, dst + i * (bits == 16 ? 2 : 1),
								 bits == 16 ? 2 : 1, x + i, run.n,
								 quantizer->scales + run.scale,
								 quantizer->zeros + run.scale, run.step,
								 codes->low, codes->high);
			i += run.n;
		}
		if (codes->flip != 0)
			kernel_flip((uint8 *) dst, m, codes->flip);
		if (bits == 4)
		{
			quantizer->nwaiting += m;
			if (quantizer->nwaiting >= PIECE)
				pack_waiting(quantizer);
		}
		done += m;
	}
}

static void
quantize_slab(Quantizer *quantizer, int64 first, int64 n)
{
	for (int64 i = 0; i < quantizer->nscales; i++)
		quantizer->mins[i] = quantizer->maxs[i] = 0;
	find_ranges(quantizer, first, n);
	set_scales(quantizer, first);
	make_codes(quantizer, first, n);
	quantizer->base += quantizer->nscales;
}

/* Zero points as the codes' dtype has them. */
static void
put_zeros(Quantizer *quantizer)
{
	const Affine *affine = &quantizer->affine;

	if (!affine->has_zeros)
		return;
	for (int64 i = 0; i < affine->nscales; i++)
		quantizer->zeros[i] -= quantizer->codes.flip;
	if (dtype_from_float(affine->codes, quantizer->zeros, affine->nscales,
						 quantizer->payload + affine->zeros_at) >= 0)
		elog(ERROR, "zero point is out of range");
}

/* ---------- layout ---------- */

int
quantize_axis(const EncodeTarget *target, const QuantizeRequest *request)
{
	const Tensor *tensor = target->tensor;
	bool		grouped = request->granularity == QUANTIZE_PER_GROUP;
	int			axis = request->axis;

	if (!request->has_axis)
	{
		const TensorUse *use = request->uses == NULL ? NULL :
			&request->uses[target->index];

		if (use != NULL && use->known)
			return grouped ? use->inputs : use->outputs;
		return grouped ? -1 : 0;
	}
	if (axis < 0)
		axis += tensor->ndim;
	if (axis < 0 || axis >= tensor->ndim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tensor \"%s\" has no dimension %d",
						utf8_to_server(tensor->name), request->axis),
				 errhint("Its dimensions are 0 to %d, or -%d to -1 counted from the end.",
						 tensor->ndim - 1, tensor->ndim)));
	return axis;
}

/*
 * What the elements share scales along: outputs, which are the first dimension
 * of weights unless somebody knows better, for channels; and for groups the
 * inputs, which are the others.
 */
static void
choose_layout(const EncodeTarget *target, const QuantizeRequest *request,
			  Affine *affine)
{
	const Tensor *tensor = target->tensor;
	int64		count = target->payload->count;
	int			axis;

	affine->count = count;
	affine->axis = count;
	affine->inner = 1;
	affine->group = count;
	if (request->granularity == QUANTIZE_PER_TENSOR || tensor->ndim == 0)
		return;

	affine->group = 0;
	axis = quantize_axis(target, request);
	if (request->granularity == QUANTIZE_PER_GROUP && axis < 0)
	{
		/* All inputs of an output in a row. */
		affine->axis = tensor->ndim > 1 ? count / Max(tensor->dims[0], 1) : count;
		affine->group = Min(request->group, affine->axis);
		return;
	}
	affine->axis = tensor->dims[axis];
	for (int i = axis + 1; i < tensor->ndim; i++)
		affine->inner *= tensor->dims[i];
	if (request->granularity == QUANTIZE_PER_GROUP)
		affine->group = Min(request->group, affine->axis);
}

const char *
quantize_affine(const EncodeTarget *target, const void *arg, Model *out)
{
	const QuantizeRequest *request = arg;
	Payload    *payload = target->payload;
	Quantizer	quantizer = {.target = target, .request = request};
	Affine	   *affine = &quantizer.affine;
	char	   *decoded;

	if (payload->count == 0)
		return "it has no elements";
	if (!request->requantize)
		encode_refuse_lossy(target, "quantize",
							"With requantize => true it is quantized once more.");
	quantizer.codes = quantize_codes(request);
	affine->codes = request->type->dtype;
	affine->has_zeros = quantizer.codes.has_zeros;
	choose_layout(target, request, affine);
	if (!affine_plan(affine))
		elog(ERROR, "elements of a tensor do not fit its shape");
	if (affine->stored >= payload->stored)
		return encode_no_smaller(target);

	quantizer.elements = payload_dense(payload, &decoded);
	quantizer.floats = palloc(PIECE * sizeof(float));
	quantizer.payload = encode_new_payload(out, payload->dtype,
										   ENCODING_AFFINE, payload->count,
										   affine->stored);
	quantizer.scales = (float *) (quantizer.payload + affine->scales_at);
	quantizer.zeros = (float *) model_alloc_bytes(CurrentMemoryContext,
												  affine->nscales * sizeof(float));
	quantizer.nscales = scales_of_slab(affine);
	quantizer.mins = (float *) model_alloc_bytes(CurrentMemoryContext,
												 quantizer.nscales * sizeof(float));
	quantizer.maxs = (float *) model_alloc_bytes(CurrentMemoryContext,
												 quantizer.nscales * sizeof(float));
	quantizer.waiting = palloc(2 * PIECE + 1);

	affine_put_header(affine, quantizer.payload);
	for (int64 first = 0; first < payload->count;)
	{
		int64		n = slab_at(affine, first);

		quantize_slab(&quantizer, first, n);
		first += n;
	}
	if (dtype_bits(affine->codes) == 4)
		pack_waiting(&quantizer);
	put_zeros(&quantizer);
	if (decoded != NULL)
		pfree(decoded);
	return NULL;
}
