/*
 * pytorch.h
 *		What the files of the PyTorch reader and writer share.
 *
 * Private to src/format.  Reading goes in steps, each whole before the next:
 * the container is opened (pytorch_read.c for zip archives, pytorch_legacy.c
 * for streams), its pickle is run (pickle.c), the weights in the result are
 * chosen and named (pytorch_choose.c, pytorch_flatten.c), the rest becomes
 * metadata (pytorch_metadata.c), the weights' views of storages are checked
 * (pytorch_tensor.c), and then they are copied (pytorch_load.c).
 */
#ifndef MODELOPT_PYTORCH_H
#define MODELOPT_PYTORCH_H

#include "compat.h"

#include "format/format.h"
#include "format/pickle.h"
#include "format/printable.h"

/* What is made of the input may be this many times as large, plus a constant:
 * enough for honest views and deflated archives, too little for a bomb. */
#define PYTORCH_AMPLIFICATION		16
#define PYTORCH_AMPLIFICATION_FREE	(UINT64CONST(16) * 1024 * 1024)

/* Nesting of containers and modules that is followed. */
#define PYTORCH_MAX_DEPTH			64

/* ---------- pytorch_globals.c: what a checkpoint may mention ---------- */

typedef enum PytorchGroup
{
	PYTORCH_OTHER = 0,
	PYTORCH_TENSOR,				/* value is a PytorchTensorKind */
	PYTORCH_STORAGE,			/* value indexes pytorch_dtypes */
	PYTORCH_DTYPE,				/* likewise */
	PYTORCH_BYTES,				/* a call of it makes bytes from text */
	PYTORCH_NUMPY_SCALAR,		/* (dtype, bytes) */
} PytorchGroup;

typedef enum PytorchTensorKind
{
	PYTORCH_REBUILD_V1,			/* (storage, offset, size, stride) */
	PYTORCH_REBUILD_V2,			/* ... requires_grad, hooks, metadata */
	PYTORCH_REBUILD_V3,			/* ... with a dtype before the metadata */
	PYTORCH_PARAMETER,			/* (tensor, ...) */
	PYTORCH_SUBCLASS,			/* (function, type, arguments, state) */
	PYTORCH_QUANTIZED,
	PYTORCH_SPARSE,
	PYTORCH_META,
	PYTORCH_OTHER_TENSOR,
} PytorchTensorKind;

typedef struct PytorchDtype
{
	const char *name;			/* as torch calls it: "float32"; NULL for the
								 * bytes of an untyped storage */
	DType		dtype;			/* DTYPE_INVALID when models have no such */
	int			width;			/* bytes of an element */
} PytorchDtype;

extern const PytorchDtype pytorch_dtypes[];
extern const PickleGlobal pytorch_globals[];
extern const int pytorch_nglobals;

/* ---------- a checkpoint that is being read ---------- */

/* A storage, which several tensors may view. */
typedef struct PytorchStorage
{
	const char *key;			/* in the pickle, not NUL-terminated */
	uint32		key_length;
	const PytorchDtype *dtype;
	int64		count;			/* elements; bytes when untyped */
	bool		is_meta;		/* was saved without data */
	bool		found;			/* its record is there and has its size */
	int			views;			/* weights that have still to be copied */
	const char *bytes;			/* while open */
	const void *record;			/* the container's own */
} PytorchStorage;

typedef struct PytorchReader PytorchReader;

struct PytorchReader
{
	Input	   *input;
	const char *data;			/* all of it, for a legacy one */
	size_t		size;
	const ReadOptions *options;
	const Pickle *pickle;		/* of the object that was saved */
	bool		swap;			/* elements have the other byte order */
	PytorchStorage *storages;	/* sorted by key */
	int			nstorages;

	/*
	 * What differs between containers.  find_storage raises when there is no
	 * record of the storage, and returns how many bytes it has; *inflated is
	 * what opening it will allocate.  open_storage sets bytes; copy_storage is
	 * for one that needs not be open, because all of it is wanted once.
	 */
	uint64		(*find_storage) (PytorchReader *reader,
								 PytorchStorage *storage, uint64 *inflated);
	void		(*open_storage) (PytorchReader *reader,
								 PytorchStorage *storage);
	void		(*close_storage) (PytorchReader *reader,
								  PytorchStorage *storage);
	void		(*copy_storage) (PytorchReader *reader,
								 const PytorchStorage *storage, char *dst);
	const void *container;		/* the functions' own */
};

/* A tensor that is to be a weight of the model. */
typedef struct PytorchWeight
{
	uint32		name;			/* offset in PytorchWeights.names */
	uint32		name_length;
	PickleRef	tensor;
} PytorchWeight;

typedef struct PytorchWeights
{
	PytorchWeight *items;
	int			count;
	int			allocated;
	StringInfoData names;		/* one after the other */
	StringInfoData layer_kinds; /* members of a JSON object: which class of
								 * module has which prefix */
} PytorchWeights;

/* Which part of the checkpoint becomes the model. */
typedef struct PytorchChoice
{
	PickleRef	node;			/* a state_dict, list, module or tensor */
	const char *key;			/* path to it, UTF-8; "" for the whole */
	int			key_length;
} PytorchChoice;

/* Raises 22P03 "invalid PyTorch checkpoint" with a detail. */
pg_noreturn extern void pytorch_fail(const char *detail,...)
			pg_attribute_printf(1, 2);

/* How many bytes, or elements, may be made of the input. */
extern uint64 pytorch_budget(const PytorchReader *reader);

/* Reads the pickle of the object that was saved. */
extern const Pickle *pytorch_parse_pickle(const PytorchReader *reader,
										  const char *data, size_t size,
										  const char *where);

/* ---------- pytorch_legacy.c ---------- */

extern bool pytorch_is_legacy(const char *data, size_t size);
extern void pytorch_open_legacy(PytorchReader *reader);

/* ---------- pytorch_choose.c ---------- */

extern PytorchChoice pytorch_choose(const PytorchReader *reader);

/* Whether a node is a pickled nn.Module; *state is then its attributes. */
extern bool pytorch_is_module(const Pickle *pickle, PickleRef ref,
							  PickleRef *state);

/* Raises 0A000 and says how to read the module. */
pg_noreturn extern void pytorch_refuse_module(const Pickle *pickle,
											   PickleRef ref);

/* ---------- pytorch_flatten.c ---------- */

/* The weights under the choice, in order, named by their path. */
extern void pytorch_flatten(const PytorchReader *reader,
							const PytorchChoice *choice,
							PytorchWeights *weights);

/* Counts a walk's step to a node; raises 54000 when the pickle's sharing makes
 * the walk much longer than the pickle. */
extern void pytorch_count_visit(const Pickle *pickle, PickleRef ref,
								uint64 *visits);

/* ---------- pytorch_metadata.c ---------- */

/* JSON text of what is not a weight; *skipped counts the tensors in it. */
extern char *pytorch_metadata(const PytorchReader *reader,
							  const PytorchChoice *choice,
							  const PytorchWeights *weights, int64 *skipped);

/* ---------- pytorch_scalar.c ---------- */

/* Appends what is no container, or is not to be walked into.  Returns how
 * many digits jsonb may write beyond those. */
extern uint64 pytorch_append_scalar(const Pickle *pickle, PickleRef ref,
									StringInfo out);

/* Whether a node is a string that JSON in the server can hold: valid UTF-8,
 * no U+0000, and not huge. */
extern bool pytorch_is_json_text(const Pickle *pickle, PickleRef ref);

/* ---------- pytorch_tensor.c ---------- */

/* What a weight sees of a storage. */
typedef struct PytorchView
{
	PytorchStorage *storage;
	const PytorchDtype *dtype;
	int64		offset;			/* elements of dtype */
	int64		count;
	int			ndim;
	const int64 *dims;
	const int64 *strides;		/* elements */
} PytorchView;

/* Whether a node is a tensor or a Parameter. */
extern bool pytorch_is_tensor(const Pickle *pickle, PickleRef ref);

/* Reads a weight's view, checked against the size that the pickle gives the
 * storage; raises 22P03, 0A000 or 54000 with the name. */
extern void pytorch_read_view(const PytorchReader *reader,
							  const PytorchWeights *weights, int weight,
							  PytorchView *view);

/* Dtype and shape of a tensor that is only described; false when it has
 * neither in the usual place.  dims has room for MODEL_MAX_DIMS. */
extern bool pytorch_describe_tensor(const Pickle *pickle, PickleRef ref,
									const char **dtype, int *ndim,
									int64 *dims);

/* ---------- pytorch_load.c ---------- */

/* Fills storages from all persistent ids of the pickle. */
extern void pytorch_collect_storages(PytorchReader *reader);

/* The storage of that key, or NULL. */
extern PytorchStorage *pytorch_find_storage(const PytorchReader *reader,
											const char *key, uint32 length);

/* Checks the weights' views and copies them into the model. */
extern void pytorch_load_weights(PytorchReader *reader,
								 const PytorchWeights *weights, Model *model);

/* ---------- pytorch_write.c ---------- */

extern void pytorch_write(Model *model, Sink *sink);

#endif							/* MODELOPT_PYTORCH_H */
