/*
 * palette.c
 *		Payloads whose elements become a few values.
 *
 * Owns how elements find their values; which values there are is for whoever
 * compresses.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "transform/compress.h"

/* ---------- elements as floats ---------- */

const float *
line_piece(Line *line, int64 first, int64 n)
{
	DType		dtype = line->target->payload->dtype;

	if (dtype == DTYPE_F32)
		return (const float *) line->elements + first;
	dtype_to_float(dtype, line->elements, first, n, line->floats);
	return line->floats;
}

void
line_open(Line *line, const EncodeTarget *target)
{
	int64		count = target->payload->count;

	line->target = target;
	line->elements = payload_dense(target->payload, &line->decoded);
	line->floats = palloc(LINE_PIECE * sizeof(float));
	line->zeros = 0;
	for (int64 done = 0; done < count; done += LINE_PIECE)
	{
		int64		n = Min(count - done, LINE_PIECE);
		const float *x = line_piece(line, done, n);

		CHECK_FOR_INTERRUPTS();
		if (done == 0)
			line->min = line->max = x[0];
		kernel_range(x, n, &line->min, &line->max);
		if (!isfinite(line->min) || !isfinite(line->max))
			encode_check_finite(target, true);
		line->zeros += kernel_count_zero_floats(x, n, sizeof(float));
	}
}

float
line_scale(const Line *line, size_t nbins)
{
	double		width = (double) line->max - (double) line->min;
	float		scale = width > 0 ? (float) (nbins / width) : 0;

	/* All of a range as narrow as this goes to the first bin. */
	return isfinite(scale) ? scale : 0;
}

void
line_close(Line *line)
{
	pfree(line->floats);
	if (line->decoded != NULL)
		pfree(line->decoded);
}

/* ---------- layout ---------- */

static int
bits_for(int n)
{
	int			bits = 1;

	while (1 << bits < n)
		bits++;
	return bits;
}

static Codebook
plan(const Payload *payload, int n)
{
	Codebook	codebook = {.dtype = payload->dtype, .count = payload->count,
	.bits = bits_for(n), .nvalues = n};

	if (!codebook_plan(&codebook))
		elog(ERROR, "palette of %d values is impossible", n);
	return codebook;
}

uint64
palette_stored(const Payload *payload, int n)
{
	return plan(payload, n).stored;
}

/* ---------- values ---------- */

/* A value as an element of the dtype, and what that stands for. */
static double
round_to(DType dtype, double value, char *element)
{
	float		narrow = (float) value;
	double		back;

	(void) dtype_from_float(dtype, &narrow, 1, element);
	dtype_to_double(dtype, element, 0, 1, &back);
	return back;
}

void
palette_round(Palette *palette, DType dtype)
{
	double		element;
	int			n = 0;

	for (int i = 0; i < palette->n; i++)
	{
		double		value = round_to(dtype, palette->values[i],
									 (char *) &element);

		if (n == 0 || value > palette->values[n - 1])
			palette->values[n++] = value;
	}
	palette->n = n;
}

void
palette_add_zero(Palette *palette)
{
	int			place = 0;

	while (place < palette->n && palette->values[place] < 0)
		place++;
	if (place < palette->n && palette->values[place] == 0)
		return;
	memmove(&palette->values[place + 1], &palette->values[place],
			(palette->n - place) * sizeof(double));
	palette->values[place] = 0;
	palette->n++;
}

/* Floats beyond a limit are nearer to the value after it. */
static void
set_limits(const Palette *palette, KernelAssigner *assigner)
{
	float		limits[CODEBOOK_MAX];

	for (int i = 0; i + 1 < palette->n; i++)
	{
		double		middle = (palette->values[i] + palette->values[i + 1]) / 2;

		limits[i] = (float) middle;
		if ((double) limits[i] > middle)
			limits[i] = nextafterf(limits[i], -INFINITY);
	}
	kernel_assign_init(assigner, limits, palette->n - 1);
}

void
palette_encode(Line *line, const Palette *palette, Model *out)
{
	Payload    *payload = line->target->payload;
	Codebook	codebook = plan(payload, palette->n);
	char	   *bytes = encode_new_payload(out, payload->dtype,
										   ENCODING_CODEBOOK, payload->count,
										   codebook.stored);
	char	   *dst = bytes + codebook.codes_at;
	uint8	   *codes = palloc(LINE_PIECE);
	KernelAssigner *assigner = palloc(sizeof(KernelAssigner));

	set_limits(palette, assigner);
	codebook_put_header(&codebook, bytes);
	for (int i = 0; i < palette->n; i++)
		(void) round_to(payload->dtype, palette->values[i],
						bytes + codebook.values_at +
						dtype_bytes(payload->dtype, i));
	for (int64 done = 0; done < payload->count; done += LINE_PIECE)
	{
		int64		n = Min(payload->count - done, LINE_PIECE);

		CHECK_FOR_INTERRUPTS();
		kernel_assign(assigner, codes, line_piece(line, done, n), n);
		kernel_pack_bits(dst, codes, n, codebook.bits);
		dst += n / 8 * codebook.bits;
	}
	pfree(assigner);
	pfree(codes);
}

/* ---------- few different elements ---------- */

#define SLOTS (4 * CODEBOOK_MAX)

/* Different elements, as their bits. */
typedef struct Distinct
{
	int			width;			/* bytes of an element */
	int			limit;
	int			n;
	uint64		elements[CODEBOOK_MAX];
	int16		slots[SLOTS];	/* places in elements, or -1 */
	uint64		last;			/* the last one asked for, and its place */
	int			last_place;
} Distinct;

static void
distinct_init(Distinct *distinct, int width, int limit)
{
	distinct->width = width;
	distinct->limit = limit;
	distinct->n = 0;
	distinct->last_place = -1;
	for (int i = 0; i < SLOTS; i++)
		distinct->slots[i] = -1;
}

/* The place of an element, which is added when it is new; -1 when there are
 * too many. */
static int
distinct_place(Distinct *distinct, uint64 element)
{
	uint32		slot = (uint32) ((element * UINT64CONST(0x9e3779b97f4a7c15)) >> 32) % SLOTS;

	if (element == distinct->last && distinct->last_place >= 0)
		return distinct->last_place;
	while (distinct->slots[slot] >= 0 &&
		   distinct->elements[distinct->slots[slot]] != element)
		slot = (slot + 1) % SLOTS;
	if (distinct->slots[slot] < 0)
	{
		if (distinct->n == distinct->limit)
			return -1;
		distinct->elements[distinct->n] = element;
		distinct->slots[slot] = distinct->n++;
	}
	distinct->last = element;
	distinct->last_place = distinct->slots[slot];
	return distinct->last_place;
}

/* Places of all elements; false when there are too many different ones. */
static bool
find_places(Distinct *distinct, const char *elements, int64 first, int64 n,
			uint8 *places)
{
	for (int64 i = 0; i < n; i++)
	{
		uint64		element = 0;
		int			place;

		memcpy(&element, elements + (first + i) * distinct->width,
			   distinct->width);
		place = distinct_place(distinct, element);
		if (place < 0)
			return false;
		places[i] = place;
	}
	return true;
}

static bool
is_distinct(Distinct *distinct, const char *elements, int64 count,
			uint8 *places)
{
	for (int64 done = 0; done < count; done += LINE_PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		if (!find_places(distinct, elements, done,
						 Min(count - done, LINE_PIECE), places))
			return false;
	}
	return true;
}

/* Makes the payload of the elements that were found. */
static void
encode_distinct(Distinct *distinct, const Payload *payload, const char *elements,
				uint8 *places, Model *out)
{
	Codebook	codebook = plan(payload, distinct->n);
	char	   *bytes;
	char	   *dst;

	bytes = encode_new_payload(out, payload->dtype, ENCODING_CODEBOOK,
							   payload->count, codebook.stored);
	codebook_put_header(&codebook, bytes);
	for (int i = 0; i < distinct->n; i++)
		memcpy(bytes + codebook.values_at + i * distinct->width,
			   &distinct->elements[i], distinct->width);
	dst = bytes + codebook.codes_at;
	for (int64 done = 0; done < payload->count; done += LINE_PIECE)
	{
		int64		n = Min(payload->count - done, LINE_PIECE);

		CHECK_FOR_INTERRUPTS();
		(void) find_places(distinct, elements, done, n, places);
		kernel_pack_bits(dst, places, n, codebook.bits);
		dst += n / 8 * codebook.bits;
	}
}

bool
palette_encode_exact(const EncodeTarget *target, int limit, Model *out,
					 const char **why)
{
	Payload    *payload = target->payload;
	Distinct   *distinct = palloc(sizeof(Distinct));
	uint8	   *places = palloc(LINE_PIECE);
	char	   *decoded;
	const char *elements = payload_dense(payload, &decoded);
	bool		found;

	distinct_init(distinct, dtype_bits(payload->dtype) / 8, limit);
	found = is_distinct(distinct, elements, payload->count, places);
	*why = NULL;
	if (found && palette_stored(payload, distinct->n) >= payload->stored)
		*why = "it would not become smaller";
	else if (found)
		encode_distinct(distinct, payload, elements, places, out);
	if (decoded != NULL)
		pfree(decoded);
	pfree(distinct);
	pfree(places);
	return found;
}
