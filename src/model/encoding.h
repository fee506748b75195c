/*
 * encoding.h
 *		What the files of the encodings share.
 *
 * Private to src/model.  An encoding is an entry in the table of encoding.c:
 * a few functions that check, verify and read payloads of that kind, in a file
 * of their own.  Whoever adds one writes such a file and a line of the table.
 */
#ifndef MODELOPT_ENCODING_H
#define MODELOPT_ENCODING_H

#include "compat.h"

#include "model/model.h"

/*
 * The functions of an encoding.  Problems are sentences for an error's detail,
 * NULL when there is none.
 */
typedef struct EncodingMethods
{
	/* What is wrong with a payload of that many elements and bytes; what it
	 * stores is not at hand. */
	const char *(*check_size) (DType dtype, int64 count, uint64 stored);

	/* What is wrong with the bytes, all of them at hand; reading has to stand
	 * the same bytes unverified.  NULL when any will do. */
	const char *(*verify) (const Payload *payload);

	/*
	 * Reading: a state for a payload, the next n elements (a whole chunk, or
	 * what is left at the end), and the end.  open and next may raise
	 * 22P03.
	 */
	void	   *(*open) (Payload *payload);
	const void *(*next) (void *state, int64 n);
	void		(*close) (void *state);
} EncodingMethods;

extern const EncodingMethods *encoding_methods(Encoding encoding);

extern const EncodingMethods encoding_dense;
extern const EncodingMethods encoding_sparse;
extern const EncodingMethods encoding_blocks;
extern const EncodingMethods encoding_affine;
extern const EncodingMethods encoding_codebook;
extern const EncodingMethods encoding_lowrank;
extern const EncodingMethods encoding_planes;

/* What is wrong with elements that lie one after another (encoding_dense.c). */
extern const char *elements_problem(DType dtype, const char *elements,
									int64 count);

/* Raises 22P03 for a payload that cannot be what it says: "quantized tensor is
 * corrupt", with a detail. */
pg_noreturn extern void encoding_corrupt(const char *kind, const char *detail);

/* ---------- bytes of a payload, in order (stream.c) ---------- */

typedef struct ByteStream
{
	Payload    *payload;
	uint64		position;		/* of the next byte, in the payload */
	uint64		end;
	char	   *window;			/* bytes of a lazy payload, or NULL */
	uint64		window_start;
	uint64		window_end;
} ByteStream;

/* Bytes of lazy payloads fetched at once, and copied between looks for interrupts. */
#define WINDOW_BYTES	(1024 * 1024)

extern void stream_init(ByteStream *stream, Payload *payload, uint64 start,
						uint64 end);

/* The next n bytes, which must be there: at most half a window.  They stay
 * valid until the next call. */
extern const char *stream_take(ByteStream *stream, uint64 n);
extern void stream_free(ByteStream *stream);

/* A part of a payload in memory: where it is, or else a copy in *copy, to be
 * freed. */
extern const char *stream_part(Payload *payload, uint64 offset, uint64 n,
							   char **copy);

#endif							/* MODELOPT_ENCODING_H */
