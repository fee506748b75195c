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

#include <limits.h>

#include "model/model.h"

/*
 * The files beside the one that is read, for formats that spread over several.
 * A name comes from that file, so it may be anybody's: a relative path that
 * stays in its directory, or else 22P03 is raised; 58P01 when there is none.
 */
typedef struct Siblings
{
	uint64		(*size) (struct Siblings *siblings, const char *name);
	void		(*read) (struct Siblings *siblings, const char *name,
						 uint64 offset, uint64 n, char *dst);
} Siblings;

/* What the caller of a reader may choose. */
typedef struct ReadOptions
{
	const char *key;			/* entry of a checkpoint that holds the weights,
								 * UTF-8; "" for the whole; NULL to find it */
	bool		allow_modules;	/* walk pickled nn.Modules symbolically */
	bool		check_crc;		/* refuse records whose CRC is wrong */
	Siblings   *siblings;		/* NULL when the bytes come from no file */
} ReadOptions;

/*
 * The bytes that a reader reads.  Those of a file are not all in memory: a
 * reader takes what it wants, and what it was given once is not looked at
 * again, because the file may change.
 */
typedef struct Input
{
	uint64		size;
	const char *data;			/* all of them, or NULL: then read gets some */
	MemoryContext context;		/* where they are brought */
	void		(*read) (struct Input *input, uint64 offset, uint64 n,
						 char *dst);
} Input;

/* Bytes in memory.  (input.c) */
extern Input *input_of_bytes(const char *data, size_t size);

/* Copies bytes, which must be there. */
extern void input_copy(Input *input, uint64 offset, uint64 n, char *dst);

/* The same where they are, or in a copy in the current context until they are
 * released. */
extern const char *input_view(Input *input, uint64 offset, uint64 n);
extern void input_release(const Input *input, const char *view);

/* Brings all of them into memory, for good. */
extern const char *input_load(Input *input);

/*
 * Where a writer puts its bytes: it says once how many they are, and then puts
 * each of them once, in any order.  Looking for interrupts between is the
 * writer's business.
 */
typedef struct Sink
{
	void		(*start) (struct Sink *sink, uint64 size);
	void		(*put) (struct Sink *sink, uint64 at, const void *bytes,
						uint64 n);

	/*
	 * Starts a file of that size beside this one, at most once, which comes to
	 * be together with it; *name is what it is called there, in UTF-8.  NULL
	 * where there can be none.
	 */
	struct Sink *(*start_beside) (struct Sink *sink, uint64 size,
								  const char **name);

	bool		is_passing;		/* nobody keeps the file, nor need know what it
								 * has no form for */
} Sink;

typedef struct Format
{
	const char *name;			/* as SQL calls it */
	const char *extensions;		/* of file names, with a space after each:
								 * ".pt .pth " */

	/* Whether the bytes look like this format; cheap, reads few of them. */
	bool		(*detect) (const char *data, size_t size);

	/*
	 * Makes a model in a child context of the current one, or raises.  What
	 * else is allocated in the current one is the caller's to free.  One of
	 * the two is there: read_input takes memory for a tensor and not for the
	 * whole, and then FORMAT_HEAD bytes are what detect looks at.
	 */
	Model	   *(*read) (const char *data, size_t size,
						 const ReadOptions *options);
	Model	   *(*read_input) (Input *input, const ReadOptions *options);

	/* Puts the file into a sink, or raises; NULL for a format that is only
	 * read. */
	void		(*write) (Model *model, Sink *sink);

	/* The same with tensors of floats in another type; NULL for a format that
	 * writes them as they are. */
	void		(*write_as) (Model *model, Sink *sink, const char *dtype);

	bool		has_entries;	/* ReadOptions.key says which one to read */

	/* For people, see model_formats(). */
	const char *reads;
	const char *writes;
	const char *keeps;
	const char *refuses;
} Format;

/* Puts a model into a sink; dtype is NULL for tensors as they are.  Raises
 * 0A000 and 22023 when the format cannot. */
extern void format_write(const Format *format, Model *model,
						 const char *dtype, Sink *sink);

extern const Format format_pytorch;
extern const Format format_safetensors;
extern const Format format_onnx;
extern const Format format_gguf;
extern const Format format_npz;
extern const Format format_npy;

/* The formats, in the order of detection, and NULL after the last. */
extern const Format *const formats[];

/* The format of that name, or raises 22023 with the list of names. */
extern const Format *format_by_name(const char *name);

/* The format that the bytes are in; raises 22P03 and says what they look like
 * when it is none of ours. */
extern const Format *format_detect(const char *data, size_t size);

/* Bytes at the beginning that tell formats apart. */
#define FORMAT_HEAD ((uint64) 128 * 1024)

/* The same of an input, and its model. */
extern const Format *format_detect_input(Input *input);
extern Model *format_read_input(const Format *format, Input *input,
								const ReadOptions *options);

/* In words, for errors: "an ONNX model", "a tar archive", ... */
extern const char *format_describe(const char *data, size_t size);

/* Whether that is more than "nothing known". */
extern bool format_is_recognized(const char *data, size_t size);

/* The format that a file's name says, or NULL. */
extern const Format *format_by_extension(const char *path);

/* ---------- settings ---------- */

/* Kilobytes of an ONNX file from which on elements go to a second file, where
 * there can be one (onnx_write.c). */
#define ONNX_MAX_THRESHOLD	(INT_MAX / 1024)
extern int	onnx_external_data_threshold;

/* ---------- sink.c ---------- */

/* What format_write puts, as a bytea in the current context; raises 54000 when
 * it is too large for one. */
extern struct varlena *sink_to_bytea(const Format *format, Model *model,
									 const char *dtype);

/* Puts bytes that are zero. */
extern void sink_put_zeros(Sink *sink, uint64 from, uint64 to);

/* Puts all elements of a payload, decoded. */
extern void sink_put_payload(Sink *sink, uint64 at, Payload *payload);

#endif							/* MODELOPT_FORMAT_H */
