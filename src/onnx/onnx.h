/*
 * onnx.h
 *		ModelProto, the message that an ONNX file and a model's graph are.
 *
 * The face of src/onnx, for those that read files (src/format) and those that
 * work on graphs (src/graph).  Owns the fields of the messages, taking them
 * apart, and checking them; what a node computes is src/graph's.  The wire form
 * is protocol buffers: https://onnx.ai/onnx/repo-docs/IR.html
 *
 * A model that is read has the initializers of its graph as tensors, and as
 * its graph all of the file but their elements: fields with elements are left
 * out, and an empty raw_data stays where there was one.  Writing puts the
 * elements back.  Initializers whose elements a model cannot have (strings,
 * complex numbers, unusual floats) stay in the graph, as do tensors that are
 * attributes, or initializers of a nested graph.
 *
 * A stored model's graph may come from anybody, as every part of it, so
 * whoever uses one has it checked by onnx_check first.
 */
#ifndef MODELOPT_ONNX_H
#define MODELOPT_ONNX_H

#include "model/model.h"
#include "onnx/protobuf.h"

/* ---------- messages and their fields (onnx_schema.c) ---------- */

typedef enum OnnxMessage
{
	ONNX_MODEL,
	ONNX_GRAPH,
	ONNX_NODE,
	ONNX_ATTRIBUTE,
	ONNX_TENSOR,
	ONNX_SPARSE_TENSOR,
	ONNX_FUNCTION,
	ONNX_TRAINING_INFO,
	ONNX_VALUE_INFO,
	ONNX_TYPE,
	ONNX_TENSOR_TYPE,
	ONNX_ELEMENT_TYPE,			/* of sequences and optional values */
	ONNX_MAP_TYPE,
	ONNX_OPAQUE_TYPE,
	ONNX_SHAPE,
	ONNX_DIMENSION,
	ONNX_OPERATOR_SET,
	ONNX_STRING_ENTRY,
	ONNX_ANNOTATION,
	ONNX_SEGMENT,
	ONNX_DEVICES,				/* that a model is configured for */
	ONNX_NODE_DEVICES,
	ONNX_SHARDING,
	ONNX_DEVICE_GROUP,
	ONNX_SHARDED_DIM,
	ONNX_SIMPLE_SHARDED_DIM,
} OnnxMessage;

typedef enum OnnxKind
{
	ONNX_INTEGER,
	ONNX_FLOAT,
	ONNX_DOUBLE,
	ONNX_TEXT,					/* UTF-8 without NUL */
	ONNX_BLOB,					/* any bytes */
	ONNX_SUBMESSAGE,
} OnnxKind;

/* What becomes of a field that is not in the tables: a newer ONNX may have
 * it, and whatever runs the model may understand it. */
typedef enum OnnxUnknown
{
	ONNX_REFUSE_UNKNOWN,
	ONNX_KEEP_NUMBERS,			/* which can hide no tensor */
	ONNX_KEEP_UNKNOWN,
} OnnxUnknown;

typedef struct OnnxFieldInfo
{
	int			number;
	OnnxKind	kind;
	bool		repeated;
	OnnxMessage message;		/* of ONNX_SUBMESSAGE */
	const char *name;
} OnnxFieldInfo;

typedef struct OnnxMessageInfo
{
	const char *name;
	OnnxUnknown unknown;
	const OnnxFieldInfo *fields;
	int			nfields;
} OnnxMessageInfo;

extern const OnnxMessageInfo onnx_messages[];

/* Field numbers, for as many as are used by name. */
enum
{
	MODEL_IR_VERSION = 1, MODEL_PRODUCER_NAME = 2, MODEL_PRODUCER_VERSION = 3,
	MODEL_DOMAIN = 4, MODEL_MODEL_VERSION = 5, MODEL_GRAPH = 7,
	MODEL_OPSET_IMPORT = 8, MODEL_METADATA_PROPS = 14,
	MODEL_TRAINING_INFO = 20, MODEL_FUNCTIONS = 25,

	GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11,
	GRAPH_OUTPUT = 12, GRAPH_VALUE_INFO = 13, GRAPH_SPARSE_INITIALIZER = 15,

	NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP_TYPE = 4,
	NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7, NODE_OVERLOAD = 8,

	ATTRIBUTE_NAME = 1, ATTRIBUTE_F = 2, ATTRIBUTE_I = 3, ATTRIBUTE_S = 4,
	ATTRIBUTE_T = 5, ATTRIBUTE_G = 6, ATTRIBUTE_FLOATS = 7,
	ATTRIBUTE_INTS = 8, ATTRIBUTE_STRINGS = 9, ATTRIBUTE_TENSORS = 10,
	ATTRIBUTE_GRAPHS = 11, ATTRIBUTE_TP = 14, ATTRIBUTE_TYPE_PROTOS = 15,
	ATTRIBUTE_TYPE = 20, ATTRIBUTE_REF_ATTR_NAME = 21,
	ATTRIBUTE_SPARSE_TENSOR = 22, ATTRIBUTE_SPARSE_TENSORS = 23,

	TENSOR_DIMS = 1, TENSOR_DATA_TYPE = 2, TENSOR_SEGMENT = 3,
	TENSOR_FLOAT_DATA = 4, TENSOR_INT32_DATA = 5, TENSOR_STRING_DATA = 6,
	TENSOR_INT64_DATA = 7, TENSOR_NAME = 8, TENSOR_RAW_DATA = 9,
	TENSOR_DOUBLE_DATA = 10, TENSOR_UINT64_DATA = 11,
	TENSOR_EXTERNAL_DATA = 13, TENSOR_DATA_LOCATION = 14,

	SPARSE_VALUES = 1, SPARSE_INDICES = 2, SPARSE_DIMS = 3,

	FUNCTION_NAME = 1, FUNCTION_INPUT = 4, FUNCTION_OUTPUT = 5,
	FUNCTION_OPSET_IMPORT = 9, FUNCTION_DOMAIN = 10, FUNCTION_OVERLOAD = 13,

	VALUE_NAME = 1, VALUE_TYPE = 2,

	TYPE_TENSOR = 1, TYPE_SEQUENCE = 4, TYPE_MAP = 5, TYPE_DENOTATION = 6,
	TYPE_OPAQUE = 7, TYPE_SPARSE_TENSOR = 8, TYPE_OPTIONAL = 9,
	TYPE_ELEMENT = 1, TYPE_SHAPE = 2, MAP_KEY = 1, MAP_VALUE = 2,
	SHAPE_DIM = 1, DIMENSION_VALUE = 1, DIMENSION_PARAM = 2,

	OPERATOR_SET_DOMAIN = 1, OPERATOR_SET_VERSION = 2,
	ENTRY_KEY = 1, ENTRY_VALUE = 2,
};

/* AttributeProto.AttributeType. */
enum
{
	ONNX_ATTRIBUTE_FLOAT = 1, ONNX_ATTRIBUTE_INT = 2,
	ONNX_ATTRIBUTE_STRING = 3, ONNX_ATTRIBUTE_TENSOR = 4,
	ONNX_ATTRIBUTE_GRAPH = 5, ONNX_ATTRIBUTE_FLOATS = 6,
	ONNX_ATTRIBUTE_INTS = 7, ONNX_ATTRIBUTE_STRINGS = 8,
	ONNX_ATTRIBUTE_TENSORS = 9, ONNX_ATTRIBUTE_GRAPHS = 10,
	ONNX_ATTRIBUTE_SPARSE_TENSOR = 11, ONNX_ATTRIBUTE_SPARSE_TENSORS = 12,
	ONNX_ATTRIBUTE_TYPE_PROTO = 13, ONNX_ATTRIBUTE_TYPE_PROTOS = 14,
};

/* The field of that number, or NULL. */
extern const OnnxFieldInfo *onnx_field(OnnxMessage message, uint32 number);

/* ---------- pieces of a message (onnx_schema.c) ---------- */

/* Bytes in the file: a name, or a message. */
typedef struct OnnxBytes
{
	const char *data;			/* NULL when there are none */
	uint64		size;
} OnnxBytes;

/* The first field of that number with bytes; none when there is none. */
extern OnnxBytes onnx_get(OnnxBytes message, uint32 number);

/* The same for a number, 0 when there is none. */
extern int64 onnx_get_integer(OnnxBytes message, uint32 number);

/* Takes the next field of that number; false at the end. */
extern bool onnx_next(PbReader *reader, uint32 number, PbField *field);

/* The integers of all fields of one number, each of which has one or, packed,
 * several. */
typedef struct OnnxIntegers
{
	PbReader	fields;
	PbReader	packed;
	uint32		number;
} OnnxIntegers;

extern OnnxIntegers onnx_integers(OnnxBytes message, uint32 number);
extern bool onnx_next_integer(OnnxIntegers *integers, int64 *value);

static inline OnnxBytes
onnx_bytes(const PbField *field)
{
	OnnxBytes	bytes = {field->data, field->size};

	return bytes;
}

static inline PbReader
onnx_reader(OnnxBytes message)
{
	return pb_reader(message.data, message.size);
}

/* By bytes, and shorter ones first where they start alike. */
extern int	onnx_compare(OnnxBytes a, OnnxBytes b);
extern bool onnx_equals(OnnxBytes a, const char *s);
extern bool onnx_is_one_of(OnnxBytes a, const char *const *names, int n);
#define ONNX_IS_ONE_OF(a, names) onnx_is_one_of(a, names, lengthof(names))

/* NUL-terminated copy. */
extern char *onnx_string(OnnxBytes bytes);

/* Bytes as they may stand in an error: quoted, cut, in the database's encoding
 * (onnx_walk.c). */
extern const char *onnx_quote(OnnxBytes name);

/* A domain's name: "ai.onnx" is the long form of "". */
extern OnnxBytes onnx_domain(OnnxBytes domain);

/* ---------- tensors (onnx_tensor.c) ---------- */

typedef struct OnnxType
{
	const char *name;			/* as SQL shows it */
	int			bits;			/* of an element in raw_data; 0 for strings */
	DType		dtype;			/* DTYPE_INVALID when a model cannot have it */
	int			field;			/* of TensorProto that has elements singly, or 0 */
	int			entries;		/* in it for an element */
} OnnxType;

/* The element type of that number, or NULL. */
extern const OnnxType *onnx_type(int64 number);

/* The number of a model's dtype. */
extern int	onnx_type_of(DType dtype);

typedef struct OnnxTensor
{
	OnnxBytes	message;
	OnnxBytes	name;
	int64		data_type;
	const OnnxType *type;		/* NULL when there is no such type */
	uint64		ndim;			/* may be more than there is room for */
	int64		dims[MODEL_MAX_DIMS];
	int64		count;			/* elements, or -1 when there cannot be so many */
	bool		has_raw;
	OnnxBytes	raw;
	uint32		typed;			/* the field that has elements singly, or 0 */
	uint64		entries;		/* in it */
	bool		mixed;			/* elements are in more than one field */
	bool		has_segment;
	bool		has_external;	/* or says that it has */
	int64		location;		/* data_location */
} OnnxTensor;

/* Takes a message apart; what is wrong with it is for onnx_check to say. */
extern void onnx_scan_tensor(OnnxTensor *tensor, OnnxBytes message);

/* Whether field number is one of those that have elements. */
extern bool onnx_is_elements(uint32 number);

/* The same for the dimensions alone that a field of a message has. */
extern void onnx_scan_shape(OnnxTensor *tensor, OnnxBytes message,
							uint32 number);

/* Bytes of the elements in raw_data. */
extern uint64 onnx_raw_size(const OnnxTensor *tensor);

/* Copies the elements of a tensor that a model can have, onnx_raw_size bytes;
 * returns what is wrong with them, or NULL. */
extern const char *onnx_read_elements(const OnnxTensor *tensor, char *dst);

/* The same for elements that were copied from elsewhere. */
extern const char *onnx_check_bytes(const OnnxTensor *tensor,
									const char *elements);

/* ---------- elements in other files (onnx_tensor.c) ---------- */

typedef struct OnnxExternal
{
	OnnxBytes	path;
	uint64		offset;
	uint64		length;
	bool		has_length;
} OnnxExternal;

/* Raises 22P03 with a tensor's name and what is wrong with it. */
extern void onnx_report_tensor(const OnnxTensor *tensor, const char *problem);

/* TensorProto.DataLocation. */
#define ONNX_EXTERNAL 1

/* Where a tensor's elements are; returns what is wrong, or NULL. */
extern const char *onnx_scan_external(const OnnxTensor *tensor,
									  OnnxExternal *external);

/* ---------- writing messages (onnx_build.c) ---------- */

/* Raises 54000 when so many more bytes are beyond what a graph may have. */
extern void onnx_reserve(const StringInfoData *out, uint64 size);

/* Appends bytes as they are. */
extern void onnx_put(StringInfo out, const char *data, uint64 size);

/* Append a field. */
extern void onnx_put_bytes(StringInfo out, uint32 number, const char *data,
						   uint64 size);
extern void onnx_put_text(StringInfo out, uint32 number, const char *string);
extern void onnx_put_message(StringInfo out, uint32 number,
							 const StringInfoData *message);
extern void onnx_put_integer(StringInfo out, uint32 number, int64 value);
extern void onnx_put_float(StringInfo out, uint32 number, float value);

/* Append an attribute to the fields of a NodeProto. */
extern void onnx_put_attribute(StringInfo out, const char *name, int64 value);
extern void onnx_put_attribute_integers(StringInfo out, const char *name,
										int n, const int64 *values);
extern void onnx_put_attribute_float(StringInfo out, const char *name,
									 float value);
extern void onnx_put_attribute_tensor(StringInfo out, const char *name,
									  const StringInfoData *tensor);

/* Append the fields of a TensorProto but its elements. */
extern void onnx_put_tensor_head(StringInfo out, const char *name,
								 DType dtype, int ndim, const int64 *dims);

/* ---------- checking (onnx_check.c) ---------- */

/* Where the elements of the graph's initializers are. */
typedef enum OnnxPlace
{
	ONNX_IN_MODEL,				/* in the bytes */
	ONNX_ANYWHERE,				/* there, or in other files, as any tensor's */
	ONNX_TAKEN_OUT,				/* nowhere: they are tensors of a model */
} OnnxPlace;

/*
 * Checks all of a ModelProto: the wire form, fields that are unknown or come
 * twice, every tensor wherever it is, names, attributes, functions.  Raises
 * 22P03 for what is wrong, 0A000 for what is not supported, and 54000 beyond
 * the limits, with the place.  Returns whether tensors that stay in the graph
 * have their elements in other files, where they cannot be looked at.
 */
extern bool onnx_check(OnnxBytes model, OnnxPlace place);

/* The graph of a model, whose elements are taken out, checked; no bytes when
 * it has none. */
extern OnnxBytes onnx_model_graph(const Model *model);

#endif							/* MODELOPT_ONNX_H */
