/*
 * gguf.h
 *		What the files of the GGUF reader and writer share.
 *
 * Private to src/format, but for gguf_write_as.  A file is a header, typed
 * metadata, a list of tensors, and their elements, each tensor's padded to the
 * alignment: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * Metadata is kept as the model's metadata under the key "gguf":
 *
 *		{"version": 3,
 *		 "metadata": {"general.architecture": "llama", "llama.block_count": 2},
 *		 "types": [["general.architecture", "string"],
 *				   ["llama.block_count", "u32"]]}
 *
 * "types" has the keys in the order of the file.  Integers and booleans are
 * JSON's, floats are numbers with as many digits as bring back the same bits.
 * What JSON or jsonb would change is a string: "NaN", "NaN:7fc00001" (other
 * bits), "Infinity", "-0", and floats of many digits.  Strings that are not
 * UTF-8 or have a NUL, and long arrays of numbers, are {"base64": "..."}, the
 * bytes as they lie in the file.
 */
#ifndef MODELOPT_GGUF_H
#define MODELOPT_GGUF_H

#include "compat.h"

#include "format/format.h"
#include "format/json_walk.h"

#define GGUF_KEY			"gguf"
#define GGUF_VERSION		3		/* that is written; 2 is the same but older */
#define GGUF_ALIGNMENT_KEY	"general.alignment"
#define GGUF_ALIGNMENT		32		/* when the metadata does not say */
#define GGUF_MAX_ALIGNMENT	(1024 * 1024)
#define GGUF_MAX_DIMS		4
#define GGUF_MAX_NAME		63		/* bytes of a tensor's name */
#define GGUF_MAX_KEY		65535

/* Arrays of more numbers are kept as bytes. */
#define GGUF_MAX_LIST		1024

/* ---------- tensor types (gguf.c) ---------- */

typedef struct GgufType
{
	int			number;
	const char *name;			/* as ggml has it: "Q4_0" */
	DType		dtype;			/* DTYPE_INVALID when a model cannot have it */
	Encoding	encoding;
} GgufType;

/* NULL when there is no such type. */
extern const GgufType *gguf_type(uint32 number);
extern const GgufType *gguf_type_of(DType dtype, Encoding encoding);

/* Bytes of elements; count must be whole blocks. */
extern uint64 gguf_type_bytes(const GgufType *type, int64 count);

/* Elements of a row must be a multiple of this. */
extern int	gguf_type_block(const GgufType *type);

/* ---------- metadata types (gguf.c) ---------- */

/* The numbers are the format's. */
typedef enum GgufKind
{
	GGUF_U8,
	GGUF_I8,
	GGUF_U16,
	GGUF_I16,
	GGUF_U32,
	GGUF_I32,
	GGUF_F32,
	GGUF_BOOL,
	GGUF_STRING,
	GGUF_ARRAY,
	GGUF_U64,
	GGUF_I64,
	GGUF_F64,
	GGUF_NKINDS
} GgufKind;

typedef struct GgufKindInfo
{
	const char *name;			/* in the model's metadata: "u8" */
	int			width;			/* bytes of a value, 0 when they differ */
	bool		is_signed;		/* of integers */
} GgufKindInfo;

/* Indexed by GgufKind. */
extern const GgufKindInfo gguf_kinds[GGUF_NKINDS];

/* Whether a key consists of characters that keys may have. */
extern bool gguf_is_key(const char *key, size_t length);
extern bool gguf_is_alignment(uint64 alignment);
extern uint64 gguf_align(uint64 at, uint64 alignment);

/* ---------- reading ---------- */

extern bool gguf_detect(const char *data, size_t size);
extern Model *gguf_read(const char *data, size_t size,
						const ReadOptions *options);

/* Raises 22P03; detail is a sentence. */
pg_noreturn extern void gguf_fail(const char *detail);

/* Bytes taken one after the other. */
typedef struct GgufCursor
{
	const char *data;
	uint64		size;
	uint64		at;				/* next byte */
	const char *part;			/* of the file, for errors: "its header" */
} GgufCursor;

/* Each raises when fewer bytes are left. */
extern const char *gguf_take(GgufCursor *cursor, uint64 n);
extern uint32 gguf_take_u32(GgufCursor *cursor);
extern uint64 gguf_take_u64(GgufCursor *cursor);

/* Takes so many keys with their values, appends the JSON text of an object to
 * json, and returns the alignment.  gguf_read_metadata.c. */
extern uint64 gguf_read_metadata(GgufCursor *cursor, uint32 version,
								 uint64 nkeys, StringInfo json);

/* ---------- writing ---------- */

extern void gguf_write(Model *model, Sink *sink);

/*
 * Writes tensors of floats as another type: "f32", "f16", "bf16", "q8_0" or
 * "q4_0".  As ggml's own programs do it, tensors of one dimension become f32,
 * and those whose rows are no whole blocks f16.  Raises 22023 for another
 * name, 0A000 when a value does not fit.
 */
extern void gguf_write_as(Model *model, Sink *sink, const char *type);

/* What the writer puts into the metadata beside what is there. */
typedef struct GgufAdditions
{
	const char *architecture;	/* when the model is from no GGUF file */
	int			file_type;		/* -1 for none */
	bool		is_quantized;
} GgufAdditions;

typedef struct GgufMetadata
{
	uint32		version;
	uint64		nkeys;
	uint64		alignment;
	StringInfoData bytes;		/* as they lie in the file */
} GgufMetadata;

/* Whether the model's metadata has what a GGUF file had, and what this makes
 * of it; raises 22023 when somebody changed it into something that GGUF cannot
 * have.  gguf_write_metadata.c. */
extern bool gguf_has_metadata(const Model *model);
extern void gguf_write_metadata(const Model *model,
								const GgufAdditions *additions,
								GgufMetadata *metadata);

/* Appends a value without its type; false when the JSON text says no such
 * value.  gguf_write_value.c. */
extern bool gguf_put_value(StringInfo out, GgufKind kind, bool is_array,
						   const char *json);
extern void gguf_put_u32(StringInfo out, uint32 value);
extern void gguf_put_string(StringInfo out, const char *string, size_t length);

/* The usual type of a value that has not been given one; false when there is
 * none. */
extern bool gguf_guess_kind(const char *json, GgufKind *kind, bool *is_array);

/* ---------- base64 (gguf_base64.c) ---------- */

extern void gguf_put_base64(StringInfo out, const char *bytes, uint64 n);

/* Appends the bytes of base64 text; false when it is none. */
extern bool gguf_get_base64(StringInfo out, const char *base64, size_t length);

#endif							/* MODELOPT_GGUF_H */
