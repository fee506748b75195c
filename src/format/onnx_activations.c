/*
 * onnx_activations.c
 *		Activations that are quantized, too.
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "format/json_walk.h"
#include "format/onnx_activations.h"
#include "miscadmin.h"

/* Versions of ONNX's operators from which on there are the two. */
#define OPSET_QUANTIZE 10

/* ---------- metadata ---------- */

static const char *
find_object(const Model *model)
{
	const char *quantization = json_walk_member(model->metadata,
												"quantization");

	return quantization == NULL ? NULL :
		json_walk_member(quantization, "activations");
}

bool
onnx_has_activations(const Model *model)
{
	return find_object(model) != NULL;
}

pg_noreturn static void
report_metadata(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("metadata of the model says wrongly how activations are quantized"),
			 errdetail("Under \"quantization\", \"activations\", each has a positive scale and a zero_point from 0 to 255.")));
	pg_unreachable();
}

static double
get_number(const char *object, const char *key)
{
	const char *value = json_walk_member(object, key);
	char		digits[64];
	size_t		length;
	char	   *end;
	double		number;

	length = value == NULL ? 0 : strspn(value, "0123456789+-.eE");
	if (length == 0 || length >= sizeof(digits))
		report_metadata();
	memcpy(digits, value, length);
	digits[length] = '\0';
	number = strtod(digits, &end);
	if (*end != '\0')
		report_metadata();
	return number;
}

static void
read_activation(OnnxActivation *activation, const char *object)
{
	double		zero = get_number(object, "zero_point");

	activation->scale = (float) get_number(object, "scale");
	if (!(activation->scale > 0) || !isfinite(activation->scale) ||
		!(zero >= 0 && zero <= 255) || zero != rint(zero))
		report_metadata();
	activation->zero = (uint8) zero;
}

/* ---------- making them ---------- */

static int
compare(const void *a, const void *b)
{
	return onnx_compare(((const OnnxActivation *) a)->name,
						((const OnnxActivation *) b)->name);
}

static void
set_names(OnnxActivation *activation, const OnnxSurvey *survey)
{
	char	   *name = onnx_string(activation->name);

	activation->scale_name = onnx_new_name(survey, name, "_scale");
	activation->zero_name = onnx_new_name(survey, name, "_zero_point");
	activation->quantized = onnx_new_name(survey, name, "_quantized");
	activation->dequantized = onnx_new_name(survey, name, "_dequantized");
	pfree(name);
}

/* Layers may have been cut off, with values that the metadata still has. */
static bool
is_used(const OnnxSurvey *survey, OnnxBytes name)
{
	int			n;

	(void) onnx_uses_of(survey, name, &n);
	return n > 0;
}

OnnxActivations *
onnx_activations(const Model *model, OnnxSurvey *survey)
{
	OnnxActivations *activations = palloc0(sizeof(OnnxActivations));
	const char *p = find_object(model);
	int			allocated = 16;

	activations->microsoft = survey->opset < OPSET_QUANTIZE;
	activations->items = palloc(allocated * sizeof(OnnxActivation));
	if (!json_walk_accept(&p, '{'))
		report_metadata();
	while (*p == '"')
	{
		OnnxActivation *each;
		StringInfoData name;

		CHECK_FOR_INTERRUPTS();
		if (activations->n == allocated)
			activations->items = repalloc(activations->items,
										  (allocated *= 2) * sizeof(OnnxActivation));
		each = &activations->items[activations->n];
		initStringInfo(&name);
		if (!json_walk_string(&p, &name) || !json_walk_accept(&p, ':'))
			report_metadata();
		each->name.data = name.data;
		each->name.size = name.len;
		read_activation(each, p);
		p = json_walk_skip_value(p);
		(void) json_walk_accept(&p, ',');
		if (is_used(survey, each->name) &&
			model_find_tensor(model, name.data) < 0)
		{
			set_names(each, survey);
			activations->n++;
		}
	}
	qsort(activations->items, activations->n, sizeof(OnnxActivation), compare);
	return activations;
}

const OnnxActivation *
onnx_activation(const OnnxActivations *activations, OnnxBytes name)
{
	OnnxActivation key = {.name = name};

	if (activations == NULL || name.size == 0)
		return NULL;
	return bsearch(&key, activations->items, activations->n,
				   sizeof(OnnxActivation), compare);
}

/* ---------- writing them ---------- */

void
onnx_put_activation_nodes(const OnnxActivations *activations,
						  const OnnxActivation *activation, StringInfo out)
{
	OnnxNode	node = {.ninputs = 3};

	node.domain = activations->microsoft ? ONNX_MICROSOFT : "";
	node.op_type = "QuantizeLinear";
	node.inputs[0] = onnx_string(activation->name);
	node.inputs[1] = activation->scale_name;
	node.inputs[2] = activation->zero_name;
	node.output = activation->quantized;
	onnx_put_node(out, &node);
	node.op_type = "DequantizeLinear";
	node.inputs[0] = activation->quantized;
	node.output = activation->dequantized;
	onnx_put_node(out, &node);
}

static void
put_scalar(StringInfo out, const char *name, DType dtype, const void *value)
{
	StringInfoData tensor;

	initStringInfo(&tensor);
	onnx_put_tensor_head(&tensor, name, dtype, 0, NULL);
	onnx_put_bytes(&tensor, TENSOR_RAW_DATA, value, dtype_bytes(dtype, 1));
	onnx_put_bytes(out, GRAPH_INITIALIZER, tensor.data, tensor.len);
	pfree(tensor.data);
}

void
onnx_put_activation_tensors(const OnnxActivation *activation, StringInfo out)
{
	put_scalar(out, activation->scale_name, DTYPE_F32, &activation->scale);
	put_scalar(out, activation->zero_name, DTYPE_U8, &activation->zero);
}
