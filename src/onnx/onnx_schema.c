/*
 * onnx_schema.c
 *		The messages of ONNX and their fields, as of IR version 14.
 *
 * Numbers and kinds are those of the public specification.  What is not here
 * is unknown, and each message says what becomes of fields that are: where a
 * tensor could hide, which whatever runs the model may look for in a file,
 * nothing of which that cannot be told is kept.
 */
#include "postgres.h"

#include "onnx/onnx.h"

#define ONE(number, kind, name)	{number, kind, false, 0, name}
#define MANY(number, kind, name)	{number, kind, true, 0, name}
#define ONE_OF(number, message, name)	{number, ONNX_SUBMESSAGE, false, message, name}
#define MANY_OF(number, message, name)	{number, ONNX_SUBMESSAGE, true, message, name}

static const OnnxFieldInfo model_fields[] = {
	ONE(MODEL_IR_VERSION, ONNX_INTEGER, "ir_version"),
	ONE(MODEL_PRODUCER_NAME, ONNX_TEXT, "producer_name"),
	ONE(MODEL_PRODUCER_VERSION, ONNX_TEXT, "producer_version"),
	ONE(MODEL_DOMAIN, ONNX_TEXT, "domain"),
	ONE(MODEL_MODEL_VERSION, ONNX_INTEGER, "model_version"),
	ONE(6, ONNX_BLOB, "doc_string"),
	ONE_OF(MODEL_GRAPH, ONNX_GRAPH, "graph"),
	MANY_OF(MODEL_OPSET_IMPORT, ONNX_OPERATOR_SET, "opset_import"),
	MANY_OF(MODEL_METADATA_PROPS, ONNX_STRING_ENTRY, "metadata_props"),
	MANY_OF(MODEL_TRAINING_INFO, ONNX_TRAINING_INFO, "training_info"),
	MANY_OF(MODEL_FUNCTIONS, ONNX_FUNCTION, "functions"),
	MANY_OF(26, ONNX_DEVICES, "configuration"),
};

static const OnnxFieldInfo graph_fields[] = {
	MANY_OF(GRAPH_NODE, ONNX_NODE, "node"),
	ONE(GRAPH_NAME, ONNX_TEXT, "name"),
	MANY_OF(GRAPH_INITIALIZER, ONNX_TENSOR, "initializer"),
	ONE(10, ONNX_BLOB, "doc_string"),
	MANY_OF(GRAPH_INPUT, ONNX_VALUE_INFO, "input"),
	MANY_OF(GRAPH_OUTPUT, ONNX_VALUE_INFO, "output"),
	MANY_OF(GRAPH_VALUE_INFO, ONNX_VALUE_INFO, "value_info"),
	MANY_OF(14, ONNX_ANNOTATION, "quantization_annotation"),
	MANY_OF(GRAPH_SPARSE_INITIALIZER, ONNX_SPARSE_TENSOR, "sparse_initializer"),
	MANY_OF(16, ONNX_STRING_ENTRY, "metadata_props"),
};

static const OnnxFieldInfo node_fields[] = {
	MANY(NODE_INPUT, ONNX_TEXT, "input"),
	MANY(NODE_OUTPUT, ONNX_TEXT, "output"),
	ONE(NODE_NAME, ONNX_TEXT, "name"),
	ONE(NODE_OP_TYPE, ONNX_TEXT, "op_type"),
	MANY_OF(NODE_ATTRIBUTE, ONNX_ATTRIBUTE, "attribute"),
	ONE(6, ONNX_BLOB, "doc_string"),
	ONE(NODE_DOMAIN, ONNX_TEXT, "domain"),
	ONE(NODE_OVERLOAD, ONNX_TEXT, "overload"),
	MANY_OF(9, ONNX_STRING_ENTRY, "metadata_props"),
	MANY_OF(10, ONNX_NODE_DEVICES, "device_configurations"),
};

static const OnnxFieldInfo attribute_fields[] = {
	ONE(ATTRIBUTE_NAME, ONNX_TEXT, "name"),
	ONE(ATTRIBUTE_F, ONNX_FLOAT, "f"),
	ONE(ATTRIBUTE_I, ONNX_INTEGER, "i"),
	ONE(ATTRIBUTE_S, ONNX_BLOB, "s"),
	ONE_OF(ATTRIBUTE_T, ONNX_TENSOR, "t"),
	ONE_OF(ATTRIBUTE_G, ONNX_GRAPH, "g"),
	MANY(ATTRIBUTE_FLOATS, ONNX_FLOAT, "floats"),
	MANY(ATTRIBUTE_INTS, ONNX_INTEGER, "ints"),
	MANY(ATTRIBUTE_STRINGS, ONNX_BLOB, "strings"),
	MANY_OF(ATTRIBUTE_TENSORS, ONNX_TENSOR, "tensors"),
	MANY_OF(ATTRIBUTE_GRAPHS, ONNX_GRAPH, "graphs"),
	ONE(13, ONNX_BLOB, "doc_string"),
	ONE_OF(ATTRIBUTE_TP, ONNX_TYPE, "tp"),
	MANY_OF(ATTRIBUTE_TYPE_PROTOS, ONNX_TYPE, "type_protos"),
	ONE(ATTRIBUTE_TYPE, ONNX_INTEGER, "type"),
	ONE(ATTRIBUTE_REF_ATTR_NAME, ONNX_TEXT, "ref_attr_name"),
	ONE_OF(ATTRIBUTE_SPARSE_TENSOR, ONNX_SPARSE_TENSOR, "sparse_tensor"),
	MANY_OF(ATTRIBUTE_SPARSE_TENSORS, ONNX_SPARSE_TENSOR, "sparse_tensors"),
};

static const OnnxFieldInfo tensor_fields[] = {
	MANY(TENSOR_DIMS, ONNX_INTEGER, "dims"),
	ONE(TENSOR_DATA_TYPE, ONNX_INTEGER, "data_type"),
	ONE_OF(TENSOR_SEGMENT, ONNX_SEGMENT, "segment"),
	MANY(TENSOR_FLOAT_DATA, ONNX_FLOAT, "float_data"),
	MANY(TENSOR_INT32_DATA, ONNX_INTEGER, "int32_data"),
	MANY(TENSOR_STRING_DATA, ONNX_BLOB, "string_data"),
	MANY(TENSOR_INT64_DATA, ONNX_INTEGER, "int64_data"),
	ONE(TENSOR_NAME, ONNX_TEXT, "name"),
	ONE(TENSOR_RAW_DATA, ONNX_BLOB, "raw_data"),
	MANY(TENSOR_DOUBLE_DATA, ONNX_DOUBLE, "double_data"),
	MANY(TENSOR_UINT64_DATA, ONNX_INTEGER, "uint64_data"),
	ONE(12, ONNX_BLOB, "doc_string"),
	MANY_OF(TENSOR_EXTERNAL_DATA, ONNX_STRING_ENTRY, "external_data"),
	ONE(TENSOR_DATA_LOCATION, ONNX_INTEGER, "data_location"),
	MANY_OF(16, ONNX_STRING_ENTRY, "metadata_props"),
};

static const OnnxFieldInfo sparse_tensor_fields[] = {
	ONE_OF(SPARSE_VALUES, ONNX_TENSOR, "values"),
	ONE_OF(SPARSE_INDICES, ONNX_TENSOR, "indices"),
	MANY(SPARSE_DIMS, ONNX_INTEGER, "dims"),
};

static const OnnxFieldInfo function_fields[] = {
	ONE(FUNCTION_NAME, ONNX_TEXT, "name"),
	MANY(FUNCTION_INPUT, ONNX_TEXT, "input"),
	MANY(FUNCTION_OUTPUT, ONNX_TEXT, "output"),
	MANY(6, ONNX_TEXT, "attribute"),
	MANY_OF(7, ONNX_NODE, "node"),
	ONE(8, ONNX_BLOB, "doc_string"),
	MANY_OF(FUNCTION_OPSET_IMPORT, ONNX_OPERATOR_SET, "opset_import"),
	ONE(FUNCTION_DOMAIN, ONNX_TEXT, "domain"),
	MANY_OF(11, ONNX_ATTRIBUTE, "attribute_proto"),
	MANY_OF(12, ONNX_VALUE_INFO, "value_info"),
	ONE(FUNCTION_OVERLOAD, ONNX_TEXT, "overload"),
	MANY_OF(14, ONNX_STRING_ENTRY, "metadata_props"),
};

static const OnnxFieldInfo training_info_fields[] = {
	ONE_OF(1, ONNX_GRAPH, "initialization"),
	ONE_OF(2, ONNX_GRAPH, "algorithm"),
	MANY_OF(3, ONNX_STRING_ENTRY, "initialization_binding"),
	MANY_OF(4, ONNX_STRING_ENTRY, "update_binding"),
};

static const OnnxFieldInfo value_info_fields[] = {
	ONE(VALUE_NAME, ONNX_TEXT, "name"),
	ONE_OF(VALUE_TYPE, ONNX_TYPE, "type"),
	ONE(3, ONNX_BLOB, "doc_string"),
	MANY_OF(4, ONNX_STRING_ENTRY, "metadata_props"),
};

static const OnnxFieldInfo type_fields[] = {
	ONE_OF(TYPE_TENSOR, ONNX_TENSOR_TYPE, "tensor_type"),
	ONE_OF(TYPE_SEQUENCE, ONNX_ELEMENT_TYPE, "sequence_type"),
	ONE_OF(TYPE_MAP, ONNX_MAP_TYPE, "map_type"),
	ONE(TYPE_DENOTATION, ONNX_TEXT, "denotation"),
	ONE_OF(TYPE_OPAQUE, ONNX_OPAQUE_TYPE, "opaque_type"),
	ONE_OF(TYPE_SPARSE_TENSOR, ONNX_TENSOR_TYPE, "sparse_tensor_type"),
	ONE_OF(TYPE_OPTIONAL, ONNX_ELEMENT_TYPE, "optional_type"),
};

static const OnnxFieldInfo tensor_type_fields[] = {
	ONE(TYPE_ELEMENT, ONNX_INTEGER, "elem_type"),
	ONE_OF(TYPE_SHAPE, ONNX_SHAPE, "shape"),
};

static const OnnxFieldInfo element_type_fields[] = {
	ONE_OF(TYPE_ELEMENT, ONNX_TYPE, "elem_type"),
};

static const OnnxFieldInfo map_type_fields[] = {
	ONE(MAP_KEY, ONNX_INTEGER, "key_type"),
	ONE_OF(MAP_VALUE, ONNX_TYPE, "value_type"),
};

static const OnnxFieldInfo opaque_type_fields[] = {
	ONE(1, ONNX_TEXT, "domain"),
	ONE(2, ONNX_TEXT, "name"),
};

static const OnnxFieldInfo shape_fields[] = {
	MANY_OF(SHAPE_DIM, ONNX_DIMENSION, "dim"),
};

static const OnnxFieldInfo dimension_fields[] = {
	ONE(DIMENSION_VALUE, ONNX_INTEGER, "dim_value"),
	ONE(DIMENSION_PARAM, ONNX_TEXT, "dim_param"),
	ONE(3, ONNX_TEXT, "denotation"),
};

static const OnnxFieldInfo operator_set_fields[] = {
	ONE(OPERATOR_SET_DOMAIN, ONNX_TEXT, "domain"),
	ONE(OPERATOR_SET_VERSION, ONNX_INTEGER, "version"),
};

static const OnnxFieldInfo string_entry_fields[] = {
	ONE(ENTRY_KEY, ONNX_TEXT, "key"),
	ONE(ENTRY_VALUE, ONNX_TEXT, "value"),
};

static const OnnxFieldInfo annotation_fields[] = {
	ONE(1, ONNX_TEXT, "tensor_name"),
	MANY_OF(2, ONNX_STRING_ENTRY, "quant_parameter_tensor_names"),
};

static const OnnxFieldInfo segment_fields[] = {
	ONE(1, ONNX_INTEGER, "begin"),
	ONE(2, ONNX_INTEGER, "end"),
};

static const OnnxFieldInfo devices_fields[] = {
	ONE(1, ONNX_TEXT, "name"),
	ONE(2, ONNX_INTEGER, "num_devices"),
	MANY(3, ONNX_TEXT, "device"),
};

static const OnnxFieldInfo node_devices_fields[] = {
	ONE(1, ONNX_TEXT, "configuration_id"),
	MANY_OF(2, ONNX_SHARDING, "sharding_spec"),
	ONE(3, ONNX_INTEGER, "pipeline_stage"),
};

static const OnnxFieldInfo sharding_fields[] = {
	ONE(1, ONNX_TEXT, "tensor_name"),
	MANY(2, ONNX_INTEGER, "device"),
	MANY_OF(3, ONNX_DEVICE_GROUP, "index_to_device_group_map"),
	MANY_OF(4, ONNX_SHARDED_DIM, "sharded_dim"),
};

static const OnnxFieldInfo device_group_fields[] = {
	ONE(1, ONNX_INTEGER, "key"),
	MANY(2, ONNX_INTEGER, "value"),
};

static const OnnxFieldInfo sharded_dim_fields[] = {
	ONE(1, ONNX_INTEGER, "axis"),
	MANY_OF(2, ONNX_SIMPLE_SHARDED_DIM, "simple_sharding"),
};

static const OnnxFieldInfo simple_sharded_dim_fields[] = {
	ONE(1, ONNX_INTEGER, "dim_value"),
	ONE(2, ONNX_TEXT, "dim_param"),
	ONE(3, ONNX_INTEGER, "num_shards"),
};

#define MESSAGE(id, name, unknown, fields) \
	[id] = {name, unknown, fields, lengthof(fields)}

const OnnxMessageInfo onnx_messages[] = {
	MESSAGE(ONNX_MODEL, "ModelProto", ONNX_KEEP_NUMBERS, model_fields),
	MESSAGE(ONNX_GRAPH, "GraphProto", ONNX_KEEP_NUMBERS, graph_fields),
	MESSAGE(ONNX_NODE, "NodeProto", ONNX_KEEP_NUMBERS, node_fields),
	MESSAGE(ONNX_ATTRIBUTE, "AttributeProto", ONNX_REFUSE_UNKNOWN, attribute_fields),
	MESSAGE(ONNX_TENSOR, "TensorProto", ONNX_REFUSE_UNKNOWN, tensor_fields),
	MESSAGE(ONNX_SPARSE_TENSOR, "SparseTensorProto", ONNX_REFUSE_UNKNOWN, sparse_tensor_fields),
	MESSAGE(ONNX_FUNCTION, "FunctionProto", ONNX_KEEP_NUMBERS, function_fields),
	MESSAGE(ONNX_TRAINING_INFO, "TrainingInfoProto", ONNX_REFUSE_UNKNOWN, training_info_fields),
	MESSAGE(ONNX_VALUE_INFO, "ValueInfoProto", ONNX_KEEP_UNKNOWN, value_info_fields),
	MESSAGE(ONNX_TYPE, "TypeProto", ONNX_KEEP_UNKNOWN, type_fields),
	MESSAGE(ONNX_TENSOR_TYPE, "TypeProto.Tensor", ONNX_KEEP_UNKNOWN, tensor_type_fields),
	MESSAGE(ONNX_ELEMENT_TYPE, "TypeProto.Sequence", ONNX_KEEP_UNKNOWN, element_type_fields),
	MESSAGE(ONNX_MAP_TYPE, "TypeProto.Map", ONNX_KEEP_UNKNOWN, map_type_fields),
	MESSAGE(ONNX_OPAQUE_TYPE, "TypeProto.Opaque", ONNX_KEEP_UNKNOWN, opaque_type_fields),
	MESSAGE(ONNX_SHAPE, "TensorShapeProto", ONNX_KEEP_UNKNOWN, shape_fields),
	MESSAGE(ONNX_DIMENSION, "TensorShapeProto.Dimension", ONNX_KEEP_UNKNOWN, dimension_fields),
	MESSAGE(ONNX_OPERATOR_SET, "OperatorSetIdProto", ONNX_KEEP_UNKNOWN, operator_set_fields),
	MESSAGE(ONNX_STRING_ENTRY, "StringStringEntryProto", ONNX_KEEP_NUMBERS, string_entry_fields),
	MESSAGE(ONNX_ANNOTATION, "TensorAnnotation", ONNX_KEEP_UNKNOWN, annotation_fields),
	MESSAGE(ONNX_SEGMENT, "TensorProto.Segment", ONNX_REFUSE_UNKNOWN, segment_fields),
	MESSAGE(ONNX_DEVICES, "DeviceConfigurationProto", ONNX_KEEP_UNKNOWN, devices_fields),
	MESSAGE(ONNX_NODE_DEVICES, "NodeDeviceConfigurationProto", ONNX_KEEP_UNKNOWN, node_devices_fields),
	MESSAGE(ONNX_SHARDING, "ShardingSpecProto", ONNX_KEEP_UNKNOWN, sharding_fields),
	MESSAGE(ONNX_DEVICE_GROUP, "IntIntListEntryProto", ONNX_KEEP_UNKNOWN, device_group_fields),
	MESSAGE(ONNX_SHARDED_DIM, "ShardedDimProto", ONNX_KEEP_UNKNOWN, sharded_dim_fields),
	MESSAGE(ONNX_SIMPLE_SHARDED_DIM, "SimpleShardedDimProto", ONNX_KEEP_UNKNOWN, simple_sharded_dim_fields),
};

const OnnxFieldInfo *
onnx_field(OnnxMessage message, uint32 number)
{
	const OnnxMessageInfo *info = &onnx_messages[message];

	for (int i = 0; i < info->nfields; i++)
	{
		if (info->fields[i].number == number)
			return &info->fields[i];
	}
	return NULL;
}

/* ---------- pieces of a message ---------- */

bool
onnx_next(PbReader *reader, uint32 number, PbField *field)
{
	while (pb_next(reader, field))
	{
		if (field->number == number)
			return true;
	}
	return false;
}

OnnxIntegers
onnx_integers(OnnxBytes message, uint32 number)
{
	return (OnnxIntegers) {.fields = onnx_reader(message),.number = number};
}

bool
onnx_next_integer(OnnxIntegers *integers, int64 *value)
{
	PbField		field;
	uint64		packed;

	for (;;)
	{
		if (pb_next_varint(&integers->packed, &packed))
		{
			*value = (int64) packed;
			return true;
		}
		if (!onnx_next(&integers->fields, integers->number, &field))
			return false;
		if (field.wire == PB_VARINT)
		{
			integers->packed = (PbReader) {0};
			*value = (int64) field.value;
			return true;
		}
		integers->packed = pb_content(&field);
	}
}

OnnxBytes
onnx_get(OnnxBytes message, uint32 number)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	OnnxBytes	none = {NULL, 0};

	while (onnx_next(&reader, number, &field))
	{
		if (field.wire == PB_BYTES)
			return onnx_bytes(&field);
	}
	return none;
}

int64
onnx_get_integer(OnnxBytes message, uint32 number)
{
	PbReader	reader = onnx_reader(message);
	PbField		field;

	while (onnx_next(&reader, number, &field))
	{
		if (field.wire == PB_VARINT)
			return (int64) field.value;
	}
	return 0;
}

int
onnx_compare(OnnxBytes a, OnnxBytes b)
{
	uint64		common = Min(a.size, b.size);
	int			order = common > 0 ? memcmp(a.data, b.data, common) : 0;

	if (order != 0 || a.size == b.size)
		return order;
	return a.size < b.size ? -1 : 1;
}

bool
onnx_equals(OnnxBytes a, const char *s)
{
	return a.size == strlen(s) && (a.size == 0 || memcmp(a.data, s, a.size) == 0);
}

bool
onnx_is_one_of(OnnxBytes a, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (onnx_equals(a, names[i]))
			return true;
	return false;
}

char *
onnx_string(OnnxBytes bytes)
{
	return bytes.size > 0 ? pnstrdup(bytes.data, bytes.size) : pstrdup("");
}

OnnxBytes
onnx_domain(OnnxBytes domain)
{
	if (onnx_equals(domain, "ai.onnx"))
		domain.size = 0;
	return domain;
}
