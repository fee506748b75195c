/*
 * compress_bound.c
 *		The smallest encoding whose elements stay within a distance.
 *
 * Three kinds compete.  A palette for a bound is the fewest intervals of twice
 * its width that hold all elements, found from left to right; each becomes its
 * middle.  Integers with scales are tried as they come, smallest first.  What
 * comes out of these is measured, so that whatever is chosen keeps the bound.
 * What loses nothing keeps any.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "transform/compress.h"
#include "transform/difference.h"
#include "transform/quantize.h"

#define BINS 65536

/* ---------- intervals ---------- */

static KernelExtremes *
find_extremes(Line *line)
{
	int64		count = line->target->payload->count;
	KernelExtremes *bins = palloc(BINS * sizeof(KernelExtremes));
	float		scale = line_scale(line, BINS);

	for (int i = 0; i < BINS; i++)
	{
		bins[i].min = INFINITY;
		bins[i].max = -INFINITY;
	}
	for (int64 done = 0; done < count; done += LINE_PIECE)
	{
		int64		n = Min(count - done, LINE_PIECE);

		CHECK_FOR_INTERRUPTS();
		kernel_histogram_extremes(line_piece(line, done, n), n, line->min,
								  scale, bins, BINS);
	}
	return bins;
}

/*
 * Covers the elements by intervals of that width, bin by bin; false when more
 * are needed than a palette has.  If there are zeros, what is near enough to
 * them becomes zero.
 */
static bool
cover(const KernelExtremes *bins, double width, bool has_zero,
	  Palette *palette)
{
	double		low = 0;
	double		high = 0;
	bool		open = false;

	palette->n = 0;
	for (int i = 0; i <= BINS; i++)
	{
		bool		last = i == BINS;

		if (!last && bins[i].min > bins[i].max)
			continue;
		if (!last && has_zero && bins[i].min >= -width / 2 &&
			bins[i].max <= width / 2)
			continue;
		if (open && !last && bins[i].max - low <= width)
		{
			high = bins[i].max;
			continue;
		}
		if (open)
		{
			if (palette->n == CODEBOOK_MAX - 1)
				return false;
			palette->values[palette->n++] = (low + high) / 2;
		}
		if (!last)
		{
			low = bins[i].min;
			high = bins[i].max;
			open = true;
			if (high - low > width)
				return false;
		}
	}
	if (has_zero)
		palette_add_zero(palette);
	return true;
}

/* ---------- candidates ---------- */

/* Integers with scales, smallest first. */
static const struct
{
	QuantizeType type;
	QuantizeGranularity granularity;
	int			group;
}			integers[] = {
	{{"int4", QUANTIZE_INTEGER, DTYPE_I4}, QUANTIZE_PER_CHANNEL, 0},
	{{"int4", QUANTIZE_INTEGER, DTYPE_I4}, QUANTIZE_PER_GROUP, 128},
	{{"int4", QUANTIZE_INTEGER, DTYPE_I4}, QUANTIZE_PER_GROUP, 32},
	{{"int8", QUANTIZE_INTEGER, DTYPE_I8}, QUANTIZE_PER_CHANNEL, 0},
	{{"int8", QUANTIZE_INTEGER, DTYPE_I8}, QUANTIZE_PER_GROUP, 32},
	{{"int16", QUANTIZE_INTEGER, DTYPE_I16}, QUANTIZE_PER_CHANNEL, 0},
};

/* The smaller one of two models of one payload, the best so far at first. */
static void
keep_smaller(Model **best, Model *trial)
{
	bool		is_better = *best == NULL ||
		trial->payloads[0]->stored < (*best)->payloads[0]->stored;
	Model	   *other = is_better ? *best : trial;

	if (is_better)
		*best = trial;
	if (other != NULL)
		model_free(other);
}

/* Whether the only payload of a model is within the bound. */
static bool
is_within(const EncodeTarget *target, Model *trial, double bound)
{
	Difference	difference;

	measure_difference(target->payload, trial->payloads[0], &difference);
	return difference.max <= bound;
}

/* How much a value may move when it is rounded to the dtype, as a fraction. */
static double
rounding_of(DType dtype)
{
	switch (dtype)
	{
		case DTYPE_F16:
			return 0x1p-11;
		case DTYPE_BF16:
			return 0x1p-8;
		case DTYPE_F8E4M3:
			return 0x1p-4;
		case DTYPE_F8E5M2:
			return 0x1p-3;
		default:
			return 0x1p-24;
	}
}

static void
try_palette(Line *line, const CompressRequest *request, Palette *palette,
			Model **best)
{
	Payload    *payload = line->target->payload;
	double		largest = Max(fabs(line->min), fabs(line->max));
	double		width = 2 * (request->max_error -
							 largest * rounding_of(payload->dtype));
	KernelExtremes *bins;
	Model	   *trial;
	bool		found;

	/* Bins wider than the intervals cannot be covered. */
	if (width * BINS < (double) line->max - line->min)
		return;
	bins = find_extremes(line);
	found = cover(bins, width, line->zeros > 0, palette);
	pfree(bins);
	if (!found)
		return;
	palette_round(palette, payload->dtype);
	if (palette_stored(payload, palette->n) >= payload->stored)
		return;
	trial = model_create(CurrentMemoryContext);
	palette_encode(line, palette, trial);
	if (is_within(line->target, trial, request->max_error))
		keep_smaller(best, trial);
	else
		model_free(trial);
}

/* Few different elements, or bytes that are packed. */
static void
try_exact(const EncodeTarget *target, Model **best)
{
	Model	   *palette = model_create(CurrentMemoryContext);
	Model	   *packed = model_create(CurrentMemoryContext);
	const char *why;

	if (palette_encode_exact(target, CODEBOOK_MAX, palette, &why) && why == NULL)
		keep_smaller(best, palette);
	else
		model_free(palette);
	if (compress_lossless(target, NULL, packed) == NULL)
		keep_smaller(best, packed);
	else
		model_free(packed);
}

/* Replaces the best by integers when some are smaller and within. */
static void
try_integers(const EncodeTarget *target, const CompressRequest *request,
			 Model **best)
{
	for (int i = 0; i < lengthof(integers); i++)
	{
		QuantizeRequest quantize = {.type = &integers[i].type,
			.granularity = integers[i].granularity,
		.group = integers[i].group};
		Model	   *trial = model_create(CurrentMemoryContext);

		if (quantize_affine(target, &quantize, trial) == NULL &&
			(*best == NULL ||
			 trial->payloads[0]->stored < (*best)->payloads[0]->stored) &&
			is_within(target, trial, request->max_error))
		{
			keep_smaller(best, trial);
			return;
		}
		model_free(trial);
	}
}

const char *
compress_bound(const EncodeTarget *target, const void *arg, Model *out)
{
	const CompressRequest *request = arg;
	Model	   *best = NULL;
	Palette		palette;
	Line		line;

	if (target->payload->count == 0)
		return "it has no elements";
	encode_refuse_lossy(target, "compress", "Decompress the model first.");
	line_open(&line, target);
	try_palette(&line, request, &palette, &best);
	line_close(&line);
	try_exact(target, &best);
	try_integers(target, request, &best);
	if (best == NULL)
		return "no smaller encoding is as close";
	model_share_payload(out, best->payloads[0]);
	model_free(best);
	return NULL;
}
