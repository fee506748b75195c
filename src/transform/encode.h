/*
 * encode.h
 *		Transformations that give payloads another encoding, one by one.
 *
 * Private to src/transform.  Quantizing and compressing differ in what they
 * make of a payload, and share the rest: which payloads are meant, a model of
 * the results, a dry run of the same, and the recipe's rates.
 */
#ifndef MODELOPT_ENCODE_H
#define MODELOPT_ENCODE_H

#include "compat.h"

#include "fmgr.h"
#include "transform/targets.h"

/* What is to be encoded: a payload, and a tensor over it. */
typedef struct EncodeTarget
{
	Payload    *payload;
	const Tensor *tensor;
	int			index;			/* of the tensor in its model */
} EncodeTarget;

/*
 * Makes a payload in out of the target's and returns NULL; or, when it is to
 * stay as it is, makes none and says why, in a clause.  Temporary memory comes
 * from the current context.
 */
typedef const char *(*EncodeFunction) (const EncodeTarget *target,
									   const void *request, Model *out);

typedef struct Encoder
{
	const char *operation;		/* that progress is told of */
	Patterns	patterns;
	EncodeFunction encode;
	const void *request;
} Encoder;

/* What was done in all. */
typedef struct EncodeTotals
{
	int			encoded;		/* payloads */
	int			kept;			/* that were meant and stay */
	int64		parameters;		/* of the encoded ones */
	double		bytes_before;	/* of the same */
	double		bytes_after;
} EncodeTotals;

/* The model of the results, without a recipe, in the current context; a NOTICE
 * says when some payloads that were meant stay as they are. */
extern Model *encode_model(const Model *source, const Encoder *encoder,
						   EncodeTotals *totals);

/* A row for each payload that is meant: name, parameters, dtype, encoding,
 * bytes_before, bytes_after, max_error, rms_error, note. */
extern void encode_dry_run(FunctionCallInfo fcinfo, const Model *source,
						   const Encoder *encoder);

/* The bytes of a new payload in out, to be filled. */
extern char *encode_new_payload(Model *out, DType dtype, Encoding encoding,
								int64 count, uint64 stored);

/* Adds the key "rates" to a step of the recipe. */
extern void encode_append_rates(StringInfo out, const EncodeTotals *totals);

/* Goes through the payload once more when something is wrong with it: raises
 * 22023 for the first element that is not finite, or 22003 for one that is too
 * large for a float, if that is what they are to become. */
extern void encode_check_finite(const EncodeTarget *target, bool as_floats);

/* Raises 22003: the element of that index is too large for what. */
pg_noreturn extern void encode_too_large(const EncodeTarget *target,
										 int64 index, const char *what);

/* Why a payload stays as it is whose bytes would be no fewer. */
extern const char *encode_no_smaller(const EncodeTarget *target);

/* Raises 55000 when the payload's elements are approximations already. */
extern void encode_refuse_lossy(const EncodeTarget *target, const char *verb,
								const char *hint);

#endif							/* MODELOPT_ENCODE_H */
