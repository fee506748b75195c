/*
 * model.h
 *		The value: a machine-learning model as PostgreSQL sees it.
 *
 * This is the ground floor.  It owns what a model is (tensors, payloads,
 * metadata, recipe), how it is laid out as bytes (the flat form), how it
 * travels between functions (an expanded object whose payloads may still lie
 * in a TOAST table), and its digest.  It must not know who made a model or
 * what is done to it: no file format, no transformation.
 *
 * Ownership, in four rules:
 *	 - A Model lives in a memory context of its own; deleting that context
 *	   frees it.  Names, shapes and metadata are in that context.
 *	 - A Payload is reference-counted and may be held by many models, so a
 *	   transformation copies nothing that it does not change.  It is born into
 *	   a model, and models let go of theirs when their context goes.
 *	 - A Payload that more than one model holds is never written to.
 *	 - Tensors that share a Payload are tied, and stay tied.
 *
 * All strings in a model are UTF-8, whatever the database's encoding is;
 * the SQL functions convert at the border (see model_sql.h).
 */
#ifndef MODELOPT_MODEL_H
#define MODELOPT_MODEL_H

#include "postgres.h"

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/expandeddatum.h"
#include "utils/palloc.h"

/* Limits that hold for every model, wherever it came from. */
#define MODEL_MAX_NAME		1024	/* bytes of a tensor's name */
#define MODEL_MAX_DIMS		32	/* dimensions of a tensor */
#define MODEL_MAX_TENSORS	100000
#define MODEL_MAX_METADATA	(16 * 1024 * 1024)	/* bytes of JSON text */
#define MODEL_MAX_GRAPH		(64 * 1024 * 1024)	/* bytes */

#define MODEL_DIGEST_LENGTH 32	/* SHA-256 */
#define MODEL_ALIGNMENT		64	/* of payloads, and of sparse values */

/* ---------- element types (dtype.c) ---------- */

/* The numbers are part of the flat form: never renumber, only add. */
typedef enum DType
{
	DTYPE_INVALID = 0,
	DTYPE_F64 = 1,
	DTYPE_F32 = 2,
	DTYPE_F16 = 3,
	DTYPE_BF16 = 4,
	DTYPE_F8E4M3 = 5,			/* the "fn" kind: no infinities */
	DTYPE_F8E5M2 = 6,
	DTYPE_I64 = 7,
	DTYPE_I32 = 8,
	DTYPE_I16 = 9,
	DTYPE_I8 = 10,
	DTYPE_U64 = 11,
	DTYPE_U32 = 12,
	DTYPE_U16 = 13,
	DTYPE_U8 = 14,
	DTYPE_BOOL = 15,			/* a byte that is 0 or 1 */
	DTYPE_I4 = 16,				/* two to a byte, low nibble first */
	DTYPE_U4 = 17,
	DTYPE_F8E4M3FNUZ = 18,		/* neither infinities nor -0, whose code is NaN */
	DTYPE_F8E5M2FNUZ = 19,
	DTYPE_F8E8M0 = 20,			/* an exponent: the scale of a block */
} DType;

typedef enum DTypeKind
{
	DTYPE_KIND_FLOAT,
	DTYPE_KIND_SIGNED,
	DTYPE_KIND_UNSIGNED,
	DTYPE_KIND_BOOL,
	DTYPE_KIND_POWER,			/* powers of two: no sign, no zero */
} DTypeKind;

typedef struct DTypeInfo
{
	const char *name;			/* as SQL shows it: "f32" */
	int			bits;			/* of one element: 64, 32, 16, 8 or 4 */
	DTypeKind	kind;
} DTypeInfo;

/* NULL when the number is no dtype. */
extern const DTypeInfo *dtype_info(int dtype);
extern const char *dtype_name(DType dtype);
extern int	dtype_bits(DType dtype);
extern bool dtype_is_float(DType dtype);

/* Whether zero can be said, which then has bits that are all 0; and whether
 * -0 is another one. */
extern bool dtype_has_zero(DType dtype);
extern bool dtype_has_negative_zero(DType dtype);

/* Bytes that count elements take when stored densely; count must be >= 0 and
 * already known to fit (see shape_count). */
extern uint64 dtype_bytes(DType dtype, int64 count);

/* Converts elements to double, exactly where a double can (all but large
 * 64-bit integers).  src points at element 0; first must be even for 4-bit
 * types. */
extern void dtype_to_double(DType dtype, const void *src, int64 first,
							int64 n, double *dst);

/* The same into float, rounded to nearest even. */
extern void dtype_to_float(DType dtype, const void *src, int64 first,
						   int64 n, float *dst);

/* Stores floats as dtype, rounded to nearest even.  Returns the index of the
 * first value that the dtype has nothing like (integers: fraction, range, NaN;
 * powers of two: 0 and below), or -1 when all went in. */
extern int64 dtype_from_float(DType dtype, const float *src, int64 n,
							  void *dst);

/* ---------- encodings (encoding.c) ---------- */

/*
 * The numbers are part of the flat form: never renumber, only add.  Those from
 * ENCODING_Q4_0 to ENCODING_Q6_K are ggml's blocks of quantized floats, of dtype
 * f32, whose number of elements is a multiple of the block's.
 */
typedef enum Encoding
{
	ENCODING_DENSE = 0,
	ENCODING_SPARSE = 1,		/* bitmask, then the values that are not +0 */
	ENCODING_Q4_0 = 2,
	ENCODING_Q4_1 = 3,
	ENCODING_Q5_0 = 4,
	ENCODING_Q5_1 = 5,
	ENCODING_Q8_0 = 6,
	ENCODING_Q4_K = 7,
	ENCODING_Q5_K = 8,
	ENCODING_Q6_K = 9,
	ENCODING_AFFINE = 10,		/* small integers with scales: affine.h */
	ENCODING_CODEBOOK = 11,		/* a few values, and which: codebook.h */
	ENCODING_LOWRANK = 12,		/* a product of two matrices: lowrank.h */
	ENCODING_PLANES = 13,		/* packed without loss: planes.h */
} Encoding;

#define NUM_ENCODINGS (ENCODING_PLANES + 1)

typedef struct EncodingInfo
{
	const char *name;			/* as SQL shows it: "dense" */
	int			block;			/* the kernel's kind of block, or -1 */
	bool		lossy;			/* what was encoded were other elements */
} EncodingInfo;

/* NULL when the number is no encoding. */
extern const EncodingInfo *encoding_info(int encoding);
extern bool encoding_has_blocks(Encoding encoding);

/* Why there is no payload of such a dtype, encoding, number of elements and
 * encoded size, whatever these numbers are, as a sentence; NULL when there is. */
extern const char *payload_mismatch(int dtype, int encoding, int64 count,
									uint64 stored);

/* For encodings with blocks: elements of one, and bytes of count elements,
 * which must be whole blocks. */
extern int	encoding_block_elements(Encoding encoding);
extern uint64 encoding_blocks_size(Encoding encoding, int64 count);

/* ---------- model, tensor, payload (model.c) ---------- */

typedef enum PayloadSource
{
	PAYLOAD_OWNED,				/* bytes is ours, freed with the payload */
	PAYLOAD_BORROWED,			/* bytes lies in a datum that outlives the model */
	PAYLOAD_LAZY,				/* read from elsewhere when somebody asks */
} PayloadSource;

struct LazySource;

typedef struct Payload
{
	int			refcount;		/* models that hold it */
	DType		dtype;
	Encoding	encoding;
	PayloadSource source;
	bool		has_digest;
	int64		count;			/* elements, when decoded */
	int64		zeros;			/* among them, of either sign; -1 until counted */
	uint64		stored;			/* bytes of the encoded form */
	char	   *bytes;			/* the encoded form; NULL while lazy */
	void	   *allocation;		/* what bytes is in, if owned */
	struct LazySource *lazy;	/* where it lies, while lazy */
	dlist_node	lazy_node;		/* in the list of that source */
	uint64		lazy_offset;	/* where there; the source knows what it means */
	uint8		digest[MODEL_DIGEST_LENGTH];	/* of the decoded bytes */
} Payload;

typedef struct Tensor
{
	const char *name;			/* NUL-terminated UTF-8, unique in the model */
	int			ndim;
	const int64 *dims;
	int			payload;		/* index into Model.payloads */
} Tensor;

#define MODEL_MAGIC 0x6d646c6f

typedef struct Model
{
	ExpandedObjectHeader hdr;	/* must be first */
	int			magic;
	MemoryContext context;		/* holds this struct and all but payloads */
	const char *metadata;		/* canonical JSON text of an object */
	const char *recipe;			/* JSON text of an array: how it was made */
	const char *graph;			/* what computes with the tensors, or NULL */
	uint64		graph_size;		/* bytes */
	int			ntensors;
	int			tensors_allocated;
	Tensor	   *tensors;		/* in the order of the source */
	int			npayloads;
	int			payloads_allocated;
	Payload   **payloads;		/* in the order of first use */
	bool		has_digest;
	uint8		digest[MODEL_DIGEST_LENGTH];
} Model;

/* An empty model in a new child context of parent. */
extern Model *model_create(MemoryContext parent);

/* Frees a model before its context goes. */
extern void model_free(Model *model);

/*
 * A new payload of "stored" bytes, uninitialised, owned by nobody but this
 * model: fill bytes at once.  There is room for MODEL_ALIGNMENT bytes after
 * the end, for vector stores.  Returns its index.
 */
extern int	model_new_payload(Model *model, DType dtype, Encoding encoding,
							  int64 count, uint64 stored);

/*
 * Says that all bytes of a new payload are there.  From now on they may lie in
 * a temporary file, as a lazy payload's, when there are too many in memory.
 * (spill.c)
 */
extern void payload_complete(Payload *payload);

/* Kilobytes of payloads in memory from which on they go into files. */
extern int	payload_spill_above;

#define PAYLOAD_SPILL_ABOVE (1024 * 1024)

/* The context that payloads and their bytes are in. */
extern MemoryContext payload_memory(void);

/* Memory for that many bytes of elements, and MODEL_ALIGNMENT more. */
extern char *model_alloc_bytes(MemoryContext context, uint64 bytes);

/* A payload whose bytes somebody else keeps for as long as the model lives. */
extern int	model_borrow_payload(Model *model, DType dtype, Encoding encoding,
								 int64 count, uint64 stored,
								 const char *bytes);

/* Lets this model hold a payload of another one; borrowed bytes are copied.
 * Returns its index here. */
extern int	model_share_payload(Model *model, Payload *payload);

/* A payload that a source has, at an offset that the source knows. */
extern int	model_lazy_payload(Model *model, DType dtype,
							   Encoding encoding, int64 count,
							   uint64 stored, struct LazySource *source,
							   uint64 offset);

/*
 * Adds a tensor over a payload.  Name and shape are copied.  Raises when the
 * name is empty, too long or no UTF-8, when the rank is too large, or when
 * the shape does not have the payload's number of elements.  That names are
 * unique is model_check_names' to say, once, at the end.
 */
extern void model_add_tensor(Model *model, const char *name, int name_length,
							 int ndim, const int64 *dims, int payload);

/* Raises that SQLSTATE, with the name, when two tensors have the same name. */
extern void model_check_names(const Model *model, int sqlstate);

/* Adds the tensors of another model, over payloads with the same indexes. */
extern void model_add_tensors_of(Model *model, const Model *like);

/* The tensors of a model by name, and the one of a name, or NULL. */
extern const Tensor **model_sort_tensors(const Model *model);
extern const Tensor *model_find_sorted(const Tensor **sorted, int n,
									   const char *name);

/* Index of a tensor, or -1. */
extern int	model_find_tensor(const Model *model, const char *name);

/* Takes metadata and recipe over from another model, as text. */
extern void model_set_metadata(Model *model, const char *json);
extern void model_set_recipe(Model *model, const char *json);

/*
 * A copy of the bytes becomes the model's graph.  They are an ONNX model
 * without the elements of its initializers; what they mean is src/format's.
 */
extern void model_set_graph(Model *model, const char *graph, uint64 size);

/* Adds a step (JSON text of an object, UTF-8) to the end of the recipe. */
extern void model_append_recipe(Model *model, const char *json);

/* A new model with the same metadata, recipe and graph and no tensors. */
extern Model *model_create_like(MemoryContext parent, const Model *like);

/* A model that shares every payload of another one. */
extern Model *model_copy(MemoryContext parent, const Model *like);

/* Elements of a shape; false when one is negative or the product overflows
 * what a model can hold. */
extern bool shape_count(int ndim, const int64 *dims, int64 *count);

#define tensor_payload(model, tensor) ((model)->payloads[(tensor)->payload])

/* Elements over all payloads, tied ones counted once. */
extern int64 model_parameters(const Model *model);

/* Of all payloads, decoded; as many as an int64 can count. */
extern int64 model_raw_bytes(const Model *model);

/* What is wrong with the bytes of a payload, all of them in memory: for those
 * from outside.  (encoding.c) */
extern const char *encoding_verify(const Payload *payload);

/* ---------- reading payloads (payload.c) ---------- */

/* Elements that a reader hands out at once: a multiple of 64, and small
 * enough that a chunk and what is made of it stay in a core's own cache. */
#define PAYLOAD_CHUNK 32768

/*
 * Walks the decoded elements of a payload from first to last, whatever its
 * encoding and wherever its bytes lie.  Needs memory for a chunk, not for the
 * payload.  Checks for interrupts.
 */
typedef struct PayloadReader PayloadReader;

extern PayloadReader *payload_reader_create(Payload *payload);

/*
 * The next elements (at most PAYLOAD_CHUNK, always that many but for the
 * last chunk), or 0 at the end.  *elements stays valid until the next call.
 * Raises 22P03 when the payload's bytes cannot be what its encoding says.
 */
extern int64 payload_reader_next(PayloadReader *reader, const void **elements);
extern void payload_reader_free(PayloadReader *reader);

/* Brings bytes that lie elsewhere (borrowed, lazy) into memory of ours, or
 * into a file of ours when that is too much of it. */
extern void payload_own(Payload *payload);

/* Copies the whole encoded form to dst, wherever it lies. */
extern void payload_copy_stored(Payload *payload, char *dst);

/* Copies n bytes of the encoded form, from an offset on. */
extern void payload_copy_part(Payload *payload, uint64 offset, uint64 n,
							  char *dst);

/* Decodes the whole payload densely into dst (dtype_bytes long). */
extern void payload_decode(Payload *payload, char *dst);

/* All elements in memory, one after another: where they lie, or else decoded
 * into *copy, in the current context, for the caller to free. */
extern const char *payload_dense(Payload *payload, char **copy);

/* One element of a payload that has blocks. */
extern float payload_block_element(Payload *payload, int64 index);

/* Sparse layout: bytes of the mask with padding, i.e. where values start. */
extern uint64 sparse_mask_size(int64 count);

/* How many values a sparse payload stores. */
extern int64 sparse_value_count(const Payload *payload);

/*
 * Builds a payload from chunks of dense elements, in order, storing it sparse
 * when that is smaller and dense otherwise.
 */
typedef struct PayloadBuilder PayloadBuilder;

/* Bytes of what a builder makes of so many elements. */
extern uint64 payload_built_size(DType dtype, int64 count, int64 nonzero);

/* nonzero is an upper bound on elements that are not +0, or -1 if unknown. */
extern PayloadBuilder *payload_builder_create(Model *model, DType dtype,
											  int64 count, int64 nonzero);

/* n must be a multiple of 64 in every call but the last. */
extern void payload_builder_append(PayloadBuilder *builder,
								   const void *elements, int64 n);

/* Returns the payload's index in the model; frees the builder. */
extern int	payload_builder_finish(PayloadBuilder *builder);

/* ---------- zeros (zeros.c) ---------- */

/* Elements that are zero, -0 included; counted once and kept.  A dtype without
 * a zero has none, though bits that are all 0 are left out of its sparse
 * payloads too. */
extern int64 payload_zeros(Payload *payload);

/* The same of n elements that start at a byte. */
extern int64 elements_zeros(DType dtype, const void *elements, int64 n);

/* The same over all payloads, tied ones counted once. */
extern int64 model_zeros(const Model *model);

/* ---------- digest (digest.c) ---------- */

/* SHA-256 of the decoded bytes; computed once and kept. */
extern const uint8 *payload_digest(Payload *payload);

/* SHA-256 over names, dtypes, shapes, payload digests, metadata and graph. */
extern const uint8 *model_digest(Model *model);

/* ---------- flat form (flat.c) ---------- */

/* Bytes of the varlena, length word included; may exceed what a datum can
 * hold. */
extern uint64 model_flat_size(const Model *model);

/* Writes exactly model_flat_size bytes, length word included.  Computes the
 * digests that are missing. */
extern void model_flatten(Model *model, char *dst);

/* Where a flat form's manifest ends, counted from the length word; raises
 * 22P03 when the header is not one.  available counts the bytes present,
 * length word included. */
extern uint64 flat_manifest_end(const char *flat, uint64 available);

/* The digest in a flat form's header. */
extern void flat_digest(const char *flat, uint64 available, uint8 *digest);

#define FLAT_VERSION	1
#define FLAT_HEADER_SIZE 72		/* with the varlena's length word */
#define FLAT_HEADER_MAX (FLAT_HEADER_SIZE + 8)	/* with a graph's size */

/*
 * Reads header and manifest, validated whole.  flat points at the varlena's
 * length word; available bytes of it are present, of total in all.  Payloads
 * are borrowed from flat when toast is NULL (then all must be present),
 * otherwise left in toast.
 */
extern Model *model_parse(MemoryContext parent, const char *flat,
						  uint64 available, uint64 total,
						  struct LazySource *toast);

/* Checks what model_parse takes on trust from our own storage: payload
 * contents, padding and every digest.  For bytes from outside. */
extern void model_verify(Model *model);

/* ---------- not in memory yet (lazy.c, toast.c) ---------- */

/* Ties a lazy payload to its source, which goes with the last one.  How a
 * source is made is lazy.h's. */
extern void lazy_source_attach(struct LazySource *source, Payload *payload);
extern void lazy_source_detach(Payload *payload);

/* Lets a source go that no payload was attached to. */
extern void lazy_source_release_unused(struct LazySource *source);

/* Reads bytes of a lazy payload's encoded form.  Raises a clear error when the
 * source has gone with its transaction. */
extern void lazy_read(const Payload *payload, uint64 offset, uint64 length,
					  char *dst);

/* Whether a lazy payload's elements can be read without its encoded form, as
 * those of a sparse one are then; and reads some. */
extern bool lazy_has_elements(const Payload *payload);
extern void lazy_read_elements(const Payload *payload, int64 first, int64 n,
							   void *dst);
extern void lazy_source_init(void); /* once, from _PG_init */

/* A datum that lies in a TOAST table.  pointer is an uncompressed on-disk TOAST
 * pointer; a payload's offset counts from the varlena's length word. */
extern struct LazySource *toast_source_create(const struct varlena *pointer);

/* Reads bytes of the datum itself, likewise. */
extern void toast_source_read(struct LazySource *source, uint64 offset,
							  uint64 length, char *dst);

/* ---------- datums (expanded.c) ---------- */

/*
 * The model of a datum, for reading: the expanded object itself, or a Model
 * in the current context that borrows from the datum or reads it from TOAST
 * when asked.  Valid for as long as the datum and the current context.
 */
extern Model *DatumGetModel(Datum datum);

/* The digest alone, reading no more of the datum than it needs. */
extern void datum_model_digest(Datum datum, uint8 *digest);

/* Hands a model over to the caller's expression as an expanded object. */
extern Datum ModelGetDatum(Model *model);

#define PG_GETARG_MODEL(n)	DatumGetModel(PG_GETARG_DATUM(n))
#define PG_RETURN_MODEL(m)	return ModelGetDatum(m)

/* ---------- JSON text (json_text.c) ---------- */

/* Appends a JSON string literal; s is UTF-8 of the given length. */
extern void json_append_string(StringInfo out, const char *s, int length);

/* Appends a JSON number, or a string for NaN and infinities. */
extern void json_append_double(StringInfo out, double value);

#endif							/* MODELOPT_MODEL_H */
