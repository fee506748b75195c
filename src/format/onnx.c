/*
 * onnx.c
 *		The ONNX format: detection.
 */
#include "postgres.h"

#include "format/onnx.h"

/* Fields that are looked at before the graph. */
#define MAX_FIELDS 64

static bool
is_field(const PbField *field)
{
	const OnnxFieldInfo *info = onnx_field(ONNX_MODEL, field->number);

	return info != NULL &&
		field->wire == (info->kind == ONNX_INTEGER ? PB_VARINT : PB_BYTES);
}

/*
 * There is no magic number, but a few fields in a row that a ModelProto can
 * have, and two of which it must have, are no accident.  The graph, where
 * weights are, may be cut short.
 */
bool
onnx_detect(const char *data, size_t size)
{
	PbReader	reader = pb_reader(data, size);
	PbField		field = {0};
	bool		has_version = false;
	bool		has_more = false;

	for (int i = 0; i < MAX_FIELDS; i++)
	{
		bool		complete = pb_next(&reader, &field);

		if (!complete && reader.problem == NULL)
			break;
		if (!complete)
			return has_version && field.number == MODEL_GRAPH &&
				field.wire == PB_BYTES;
		if (!is_field(&field))
			return false;
		has_version |= field.number == MODEL_IR_VERSION;
		has_more |= field.number == MODEL_GRAPH ||
			field.number == MODEL_OPSET_IMPORT;
	}
	return has_version && has_more;
}

const Format format_onnx = {
	.name = "onnx",
	.extensions = ".onnx ",
	.detect = onnx_detect,
	.read = onnx_read,
	.write = onnx_write,
	.reads = "models of IR 3 to 14, elements in any form; with model_load also external data beside the model, wherever in it",
	.writes = "models that were read from ONNX, with the tensors that they have now; with model_save external data from 2 GB on",
	.keeps = "the graph whole, with tensors of types that models do not have",
	.refuses = "training information, fields unknown to the specification, external data in values or outside of the model's folder",
};
