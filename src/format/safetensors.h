/*
 * safetensors.h
 *		What the files of the safetensors reader and writer share.
 *
 * Private to src/format.  A file is the length of its header (8 bytes, little
 * endian), the header (JSON), and the tensors' elements without a hole:
 * https://github.com/huggingface/safetensors
 */
#ifndef MODELOPT_SAFETENSORS_H
#define MODELOPT_SAFETENSORS_H

#include "format/format.h"

/* The reference's limit. */
#define SAFETENSORS_MAX_HEADER 100000000

/* The key of the header under which strings are kept that are no tensor, and
 * the key of a model's metadata where they are then. */
#define SAFETENSORS_METADATA "__metadata__"
#define SAFETENSORS_KEY		 "safetensors"

typedef struct SafetensorsDType
{
	const char *name;
	DType		dtype;			/* DTYPE_INVALID when a model cannot have it */
} SafetensorsDType;

/* In the order in which the reference sorts tensors, last first. */
extern const SafetensorsDType safetensors_dtypes[];
extern const int safetensors_ndtypes;

/* A file, whose first byte belongs to the length of its header. */
extern Model *safetensors_read_file(Input *input);

/* Whether bytes look like the index of a model in several files, and the model
 * that it is the index of.  (safetensors_index.c) */
extern bool safetensors_is_index(const char *data, size_t size);
extern Model *safetensors_read_index(const char *data, size_t size,
									 const ReadOptions *options);

extern void safetensors_write(Model *model, Sink *sink);

#endif							/* MODELOPT_SAFETENSORS_H */
