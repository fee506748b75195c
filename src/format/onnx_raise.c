/*
 * onnx_raise.c
 *		A graph with operators of a later version.
 *
 * Floats of 8 bits came with version 19 of ONNX's operators, and most networks
 * are exported with 17 or 18.  What changed in between: reductions take their
 * axes as an input, Split is told how many parts there are, and others got
 * attributes and types that nobody has used.
 */
#include "postgres.h"

#include "format/onnx_raise.h"

#define OPSET_LEAST		17		/* that can be raised */
#define OPSET_REDUCE	18		/* in which reductions changed */
#define IR_VERSION		9		/* that came with it */

/* Those that had their axes as an attribute before. */
static bool
reduces_by_attribute(OnnxBytes node)
{
	static const char *const reductions[] = {
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
		"ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"
	};

	return ONNX_IS_ONE_OF(onnx_operator(node), reductions) &&
		onnx_attribute_first(node, "axes", PG_INT64_MIN) != PG_INT64_MIN;
}

bool
onnx_can_raise(const OnnxSurvey *survey)
{
	PbReader	reader = onnx_reader(survey->graph);
	PbField		field;

	if (survey->opset < OPSET_LEAST || survey->has_nested || survey->has_functions)
		return false;
	while (survey->opset < OPSET_REDUCE && onnx_next(&reader, GRAPH_NODE, &field))
		if (reduces_by_attribute(onnx_bytes(&field)))
			return false;
	return true;
}

static void
put_import(StringInfo out, OnnxBytes import)
{
	StringInfoData message;

	initStringInfo(&message);
	onnx_put_text(&message, OPERATOR_SET_DOMAIN,
				  onnx_string(onnx_get(import, OPERATOR_SET_DOMAIN)));
	onnx_put_integer(&message, OPERATOR_SET_VERSION, ONNX_OPSET_FLOAT8);
	onnx_put_message(out, MODEL_OPSET_IMPORT, &message);
	pfree(message.data);
}

bool
onnx_raise_field(const PbField *field, StringInfo out)
{
	if (field->number == MODEL_IR_VERSION && field->value < IR_VERSION)
	{
		onnx_put_integer(out, MODEL_IR_VERSION, IR_VERSION);
		return true;
	}
	if (field->number != MODEL_OPSET_IMPORT ||
		onnx_domain(onnx_get(onnx_bytes(field), OPERATOR_SET_DOMAIN)).size > 0)
		return false;
	put_import(out, onnx_bytes(field));
	return true;
}

static int
count_names(OnnxBytes node, uint32 number)
{
	PbReader	reader = onnx_reader(node);
	PbField		field;
	int			n = 0;

	while (onnx_next(&reader, number, &field))
		n++;
	return n;
}

/* A Split into equal parts. */
bool
onnx_raise_node(OnnxBytes node, StringInfo out)
{
	if (!onnx_equals(onnx_operator(node), "Split") || count_names(node, NODE_INPUT) > 1 ||
		onnx_attribute(node, "num_outputs", 0) != 0)
		return false;
	appendBinaryStringInfo(out, node.data, (int) node.size);
	onnx_put_attribute(out, "num_outputs", count_names(node, NODE_OUTPUT));
	return true;
}
