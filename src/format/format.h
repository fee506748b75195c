/*
 * format.h
 *		Readers and writers of the formats that people keep models in.
 *
 * Each format is one spoke that makes a Model from bytes or bytes from a
 * Model and knows no other spoke.  Bytes are hostile: every length, offset,
 * count and product is checked against what is really there before it is
 * used, and nothing in them is ever executed.
 */
#ifndef MODELOPT_FORMAT_H
#define MODELOPT_FORMAT_H

#include "model/model.h"

/* What the caller of a reader may choose. */
typedef struct ReadOptions
{
	const char *key;			/* entry of a checkpoint that holds the weights,
								 * UTF-8; "" for the whole; NULL to find it */
	bool		allow_modules;	/* walk pickled nn.Modules symbolically */
	bool		check_crc;		/* refuse records whose CRC is wrong */
} ReadOptions;

typedef struct Format
{
	const char *name;			/* as SQL calls it */

	/* Whether the bytes look like this format; cheap, reads few of them. */
	bool		(*detect) (const char *data, size_t size);

	/* Makes a model in a child context of the current one, or raises. */
	Model	   *(*read) (const char *data, size_t size,
						 const ReadOptions *options);

	/* Makes a bytea in the current context, or raises. */
	struct varlena *(*write) (Model *model);
} Format;

extern const Format format_pytorch;

/* The formats, in the order of detection, and NULL after the last. */
extern const Format *const formats[];

/* The format of that name, or raises 22023 with the list of names. */
extern const Format *format_by_name(const char *name);

/* The format that the bytes are in; raises 22P03 and says what they look like
 * when it is none of ours. */
extern const Format *format_detect(const char *data, size_t size);

/* In words, for errors: "an ONNX model", "a tar archive", ... */
extern const char *format_describe(const char *data, size_t size);

#endif							/* MODELOPT_FORMAT_H */
