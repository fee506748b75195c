/*
 * scores.c
 *		What the numbers are that a model gives, as its graph tells.
 *
 * A single number between 0 and 1 may be a probability, as a Sigmoid makes it,
 * or a logit, or a value; the operator that makes it knows which.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "serve/scores.h"

/* Nodes in a row that only give on what they take. */
#define MAX_STEPS	16

OnnxBytes
scores_find_maker(OnnxBytes graph, OnnxBytes value)
{
	PbReader	nodes = onnx_reader(graph);
	PbField		node;

	while (value.size > 0 && onnx_next(&nodes, GRAPH_NODE, &node))
	{
		PbReader	outputs = onnx_reader(onnx_bytes(&node));
		PbField		output;

		CHECK_FOR_INTERRUPTS();
		while (onnx_next(&outputs, NODE_OUTPUT, &output))
			if (onnx_compare(onnx_bytes(&output), value) == 0)
				return onnx_bytes(&node);
	}
	return (OnnxBytes) {NULL, 0};
}

/* What makes the first input of a node that a node makes: of a sum with a bias
 * what the bias is added to. */
static OnnxBytes
find_maker_of_input(OnnxBytes graph, OnnxBytes node)
{
	PbReader	inputs = onnx_reader(node);
	PbField		input;
	OnnxBytes	maker = {NULL, 0};

	/* Nodes of a hostile graph may have any number. */
	for (int i = 0; i < 2 && maker.data == NULL && onnx_next(&inputs, NODE_INPUT, &input); i++)
		maker = scores_find_maker(graph, onnx_bytes(&input));
	return maker;
}

/* Some trees and lines have a function of their own for what they give. */
static bool
has_post_transform(OnnxBytes node)
{
	PbReader	attributes = onnx_reader(node);
	PbField		attribute;

	while (onnx_next(&attributes, NODE_ATTRIBUTE, &attribute))
		if (onnx_equals(onnx_get(onnx_bytes(&attribute), ATTRIBUTE_NAME), "post_transform"))
			return !onnx_equals(onnx_get(onnx_bytes(&attribute), ATTRIBUTE_S), "NONE");
	return false;
}

ScoreSource
scores_source(OnnxBytes graph, const char *output)
{
	static const char *const passing[] = {
		"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Add"
	};
	static const char *const products[] = {"MatMul", "Gemm", "Conv"};
	static const char *const regressions[] = {
		"LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor"
	};
	OnnxBytes	node = scores_find_maker(graph, (OnnxBytes) {output, strlen(output)});

	if (label_maker(graph, output).data != NULL)
		return LABEL_OF_CLASSIFIER;
	for (int i = 0; i < MAX_STEPS && node.data != NULL; i++)
	{
		OnnxBytes	operator = onnx_get(node, NODE_OP_TYPE);

		if (ONNX_IS_ONE_OF(operator, products))
			return SCORES_OF_PRODUCT;
		if (ONNX_IS_ONE_OF(operator, regressions))
			return has_post_transform(node) ? SCORES_OF_ANYTHING : SCORES_OF_REGRESSION;
		if (!ONNX_IS_ONE_OF(operator, passing))
			break;
		node = find_maker_of_input(graph, node);
	}
	return SCORES_OF_ANYTHING;
}
