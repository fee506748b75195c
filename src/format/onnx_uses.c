/*
 * onnx_uses.c
 *		What a graph does with a model's tensors, for those who quantize.
 *
 * Knows of a few operators which dimension of a weight has outputs and which
 * inputs.
 */
#include "postgres.h"

#include "format/onnx_survey.h"
#include "model/uses.h"

/* What a node does with a tensor of so many dimensions. */
static TensorUse
use_of_node(const OnnxUse *use, int ndim)
{
	OnnxBytes	operator = onnx_operator(use->node);
	TensorUse	found = {false, 0, -1};

	if (onnx_equals(operator, "MatMul") && ndim >= 2)
	{
		bool		right = use->input == 1;

		found.outputs = right ? ndim - 1 : ndim - 2;
		found.inputs = right ? ndim - 2 : ndim - 1;
		found.known = true;
	}
	else if (onnx_equals(operator, "Gemm") && use->input == 1 && ndim == 2)
	{
		found.outputs = onnx_attribute(use->node, "transB", 0) != 0 ? 0 : 1;
		found.inputs = 1 - found.outputs;
		found.known = true;
	}
	else if (onnx_equals(operator, "Conv") && use->input == 1)
		found.known = true;
	else if (onnx_equals(operator, "ConvTranspose") && use->input == 1 &&
			 ndim >= 2)
	{
		found.outputs = 1;
		found.inputs = 0;
		found.known = true;
	}
	else if (onnx_equals(operator, "Gather") && use->input == 0 && ndim == 2)
	{
		found.inputs = 1;
		found.known = true;
	}
	return found;
}

/* What all nodes agree on. */
static TensorUse
use_of_tensor(const OnnxSurvey *survey, const Tensor *tensor)
{
	OnnxBytes	name = {tensor->name, strlen(tensor->name)};
	TensorUse	common = {false, 0, -1};
	int			n;
	const OnnxUse *uses = onnx_uses_of(survey, name, &n);

	for (int i = 0; i < n; i++)
	{
		TensorUse	each = use_of_node(&uses[i], tensor->ndim);

		if (i == 0)
			common = each;
		else if (each.known != common.known ||
				 each.outputs != common.outputs ||
				 each.inputs != common.inputs)
			common.known = false;
	}
	return common;
}

static OnnxSurvey *
survey_model(const Model *model)
{
	OnnxBytes	message = onnx_model_graph(model);

	return message.data == NULL ? NULL : onnx_survey(message);
}

TensorUse *
onnx_tensor_uses(const Model *model)
{
	OnnxSurvey *survey = survey_model(model);
	TensorUse  *uses;

	if (survey == NULL)
		return NULL;
	uses = palloc(Max(model->ntensors, 1) * sizeof(TensorUse));
	for (int i = 0; i < model->ntensors; i++)
		uses[i] = use_of_tensor(survey, &model->tensors[i]);
	return uses;
}

const char *
onnx_missing_value(const Model *model, const char *const *names, int nnames)
{
	OnnxSurvey *survey = survey_model(model);

	for (int i = 0; i < nnames; i++)
	{
		OnnxBytes	name = {names[i], strlen(names[i])};
		int			n;

		if (survey == NULL)
			return names[i];
		(void) onnx_uses_of(survey, name, &n);
		if (n == 0 || model_find_tensor(model, names[i]) >= 0)
			return names[i];
	}
	return NULL;
}
