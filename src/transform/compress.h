/*
 * compress.h
 *		What the files that compress share.
 *
 * Private to src/transform.  compress_sql.c reads the arguments and has the
 * table of methods; each method is a file: compress_cluster.c,
 * compress_lowrank.c, compress_lossless.c, compress_bound.c (max_error).
 */
#ifndef MODELOPT_COMPRESS_H
#define MODELOPT_COMPRESS_H

#include "kernel/kernel.h"
#include "model/codebook.h"
#include "transform/encode.h"

typedef struct CompressRequest
{
	Patterns	patterns;
	int			rank;			/* lowrank; 0 when energy says it */
	double		energy;
	int			bits;			/* cluster */
	double		max_error;		/* bound */
} CompressRequest;

extern const char *compress_cluster(const EncodeTarget *target,
									const void *request, Model *out);
extern const char *compress_lowrank(const EncodeTarget *target,
									const void *request, Model *out);
extern const char *compress_lossless(const EncodeTarget *target,
									 const void *request, Model *out);
extern const char *compress_bound(const EncodeTarget *target,
								  const void *request, Model *out);

/* ---------- palettes (palette.c) ---------- */

/* The elements of a payload as floats, for several passes; all of them
 * finite. */
typedef struct Line
{
	const EncodeTarget *target;
	const char *elements;		/* dense */
	char	   *decoded;		/* what they are in, unless where they lie */
	float	   *floats;			/* a piece of them, converted */
	float		min;
	float		max;
	int64		zeros;			/* of either sign */
} Line;

#define LINE_PIECE 16384		/* elements at once */

/* Raises 22023 when an element is not finite. */
extern void line_open(Line *line, const EncodeTarget *target);
extern void line_close(Line *line);

/* What spreads the range over so many bins of a histogram. */
extern float line_scale(const Line *line, size_t nbins);

/* n elements from first on, at most a piece. */
extern const float *line_piece(Line *line, int64 first, int64 n);

/* The values that a payload's elements are to become, in order. */
typedef struct Palette
{
	int			n;
	double		values[CODEBOOK_MAX];
} Palette;

/* Rounds values to the dtype and drops those that become equal. */
extern void palette_round(Palette *palette, DType dtype);

/* Makes zero one of the values, of which there must be fewer than a codebook
 * can have. */
extern void palette_add_zero(Palette *palette);

/* Bytes of a payload whose elements are in a palette of n values. */
extern uint64 palette_stored(const Payload *payload, int n);

/* Makes the payload: every element becomes the nearest value, the lower one of
 * two. */
extern void palette_encode(Line *line, const Palette *palette, Model *out);

/* The elements themselves, when they are at most limit different ones and so
 * lose nothing; false otherwise, without a payload. */
extern bool palette_encode_exact(const EncodeTarget *target, int limit,
								 Model *out, const char **why);

#endif							/* MODELOPT_COMPRESS_H */
