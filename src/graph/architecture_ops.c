/*
 * architecture_ops.c
 *		The operators of an architecture, as PyTorch computes them, in ONNX.
 *
 * A linear layer's weight lies as [out, in], a convolution's as [out,
 * in / groups, ...], attention's as PyTorch's MultiheadAttention keeps them.
 * To add an operator, add a line to the table at the end.
 */
#include "postgres.h"

#include <math.h>

#include "graph/architecture.h"

#define CURRENT (builder->current.name)

/* A bias has an element for each row of its weight. */
static void
check_bias(const Step *step, const Tensor *bias, int64 n)
{
	if (bias != NULL && (bias->ndim != 1 || bias->dims[0] != n))
		step_fail(step, "has a bias that does not fit its weight");
}

/* ---------- operators without tensors ---------- */

static void
build_input(Builder *builder, const Step *step)
{
	if (step->position != 1)
		step_fail(step, "is not the first step");
	if (step->shape.n == 0)
		step_fail(step, "has no shape");
}

/* At inference there is nothing to be done. */
static void
build_nothing(Builder *builder, const Step *step)
{
}

static void
build_unary(Builder *builder, const Step *step)
{
	const char *inputs[] = {CURRENT, NULL};

	CURRENT = builder_node(builder, step, step->op->onnx, inputs, NULL);
}

static void
build_leaky_relu(Builder *builder, const Step *step)
{
	const char *inputs[] = {CURRENT, NULL};
	StringInfoData attributes;

	initStringInfo(&attributes);
	onnx_put_attribute_float(&attributes, "alpha", (float) step->alpha);
	CURRENT = builder_node(builder, step, "LeakyRelu", inputs, &attributes);
}

/* 0.5 x (1 + erf(x / sqrt(2))) */
static void
build_gelu(Builder *builder, const Step *step)
{
	const char *x = CURRENT;
	const char *root[] = {x, builder_number(builder, step, M_SQRT2), NULL};
	const char *erf_of[] = {builder_node(builder, step, "Div", root, NULL), NULL};
	const char *one[] = {builder_node(builder, step, "Erf", erf_of, NULL),
	builder_number(builder, step, 1), NULL};
	const char *times[] = {x, builder_node(builder, step, "Add", one, NULL), NULL};
	const char *half[] = {builder_node(builder, step, "Mul", times, NULL),
	builder_number(builder, step, 0.5), NULL};

	CURRENT = builder_node(builder, step, "Mul", half, NULL);
}

static void
build_silu(Builder *builder, const Step *step)
{
	const char *x[] = {CURRENT, NULL};
	const char *times[] = {CURRENT, builder_node(builder, step, "Sigmoid", x, NULL), NULL};

	CURRENT = builder_node(builder, step, "Mul", times, NULL);
}

/* An axis of the current value, counted from the start. */
static int
step_axis(const Builder *builder, const Step *step)
{
	int			rank = builder->current.rank;

	if (step->axis < -rank || step->axis >= rank)
		step_fail(step, psprintf("is along axis " INT64_FORMAT ", and gets %d dimensions",
								 step->axis, rank));
	return step->axis < 0 ? step->axis + rank : step->axis;
}

static void
build_softmax(Builder *builder, const Step *step)
{
	const char *inputs[] = {CURRENT, NULL};
	StringInfoData attributes;

	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "axis", step_axis(builder, step));
	CURRENT = builder_node(builder, step, "Softmax", inputs, &attributes);
}

static void
build_flatten(Builder *builder, const Step *step)
{
	const char *inputs[] = {CURRENT, NULL};
	StringInfoData attributes;
	int64		features = 1;

	for (int i = 1; i < builder->current.rank; i++)
	{
		int64		dim = builder->current.dims[i];

		/* What is larger is not known. */
		features = features < 0 || dim < 0 || features > PG_INT32_MAX ||
			dim > PG_INT32_MAX ? -1 : features * dim;
	}
	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "axis", 1);
	CURRENT = builder_node(builder, step, "Flatten", inputs, &attributes);
	builder->current.rank = 2;
	builder->current.dims[1] = features;
}

/* ---------- windows that slide: convolution and pools ---------- */

/* Sizes for each dimension: one for all, or as many as there are. */
static void
spread(const Step *step, const char *what, const StepInts *given,
	   int64 otherwise, int n, int64 *sizes)
{
	if (given->n > 1 && given->n != n)
		step_fail(step, psprintf("has %d numbers for %s, and %d dimensions",
								 given->n, what, n));
	for (int i = 0; i < n; i++)
		sizes[i] = given->n == 0 ? otherwise :
			given->values[given->n == 1 ? 0 : i];
}

typedef struct Window
{
	int			n;				/* dimensions */
	int64		kernel[MODEL_MAX_DIMS];
	int64		stride[MODEL_MAX_DIMS];
	int64		dilation[MODEL_MAX_DIMS];
	int64		pads[2 * MODEL_MAX_DIMS];	/* all befores, all afters */
} Window;

/* Same padding is what keeps the size, its odd half behind. */
static void
set_padding(const Step *step, Window *window)
{
	if (!step->same_padding)
	{
		spread(step, "padding", &step->padding, 0, window->n, window->pads);
		for (int i = 0; i < window->n; i++)
			window->pads[window->n + i] = window->pads[i];
		return;
	}
	for (int i = 0; i < window->n; i++)
	{
		int64		total = window->dilation[i] * (window->kernel[i] - 1);

		if (window->stride[i] != 1)
			step_fail(step, "has same padding and a stride, which do not go together");
		window->pads[i] = total / 2;
		window->pads[window->n + i] = total - total / 2;
	}
}

/* Sizes after the window has slid over the current value. */
static void
slide(Builder *builder, const Step *step, const Window *window)
{
	for (int i = 0; i < window->n; i++)
	{
		int64	   *dim = &builder->current.dims[i + 2];
		int64		span = window->dilation[i] * (window->kernel[i] - 1) + 1;

		if (*dim < 0)
			continue;
		*dim = *dim + window->pads[i] + window->pads[window->n + i] - span;
		if (*dim < 0)
			step_fail(step, "has a window that is larger than what it gets");
		*dim = *dim / window->stride[i] + 1;
	}
}

static void
put_window(StringInfo attributes, const Window *window)
{
	onnx_put_attribute_integers(attributes, "kernel_shape", window->n,
								window->kernel);
	onnx_put_attribute_integers(attributes, "strides", window->n, window->stride);
	onnx_put_attribute_integers(attributes, "pads", 2 * window->n, window->pads);
}

static void
build_conv(Builder *builder, const Step *step)
{
	const Tensor *weight = builder_tensor(builder, step, "weight", false);
	const Tensor *bias = builder_tensor(builder, step, "bias", true);
	const char *inputs[] = {CURRENT, weight->name,
	bias != NULL ? bias->name : NULL, NULL};
	int			n = step->op->rank - 2;
	Window		window = {.n = n};
	StringInfoData attributes;

	builder_check_tensor(step, weight, n + 2);
	check_bias(step, bias, weight->dims[0]);
	builder_check_rank(builder, step, n + 2);
	if (weight->dims[0] % step->groups != 0 ||
		weight->dims[1] > PG_INT32_MAX / step->groups)
		step_fail(step, psprintf("has " INT64_FORMAT " groups, which do not fit its weight",
								 step->groups));
	builder_expect(builder, step, 1, weight->dims[1] * step->groups);
	for (int i = 0; i < n; i++)
	{
		window.kernel[i] = weight->dims[i + 2];
		if (window.kernel[i] < 1 || window.kernel[i] > PG_INT16_MAX)
			step_fail(step, "has a weight without elements, or too large a window");
	}
	spread(step, "stride", &step->stride, 1, n, window.stride);
	spread(step, "dilation", &step->dilation, 1, n, window.dilation);
	set_padding(step, &window);
	slide(builder, step, &window);

	initStringInfo(&attributes);
	put_window(&attributes, &window);
	onnx_put_attribute_integers(&attributes, "dilations", n, window.dilation);
	onnx_put_attribute(&attributes, "group", step->groups);
	CURRENT = builder_node(builder, step, "Conv", inputs, &attributes);
	builder->current.dims[1] = weight->dims[0];
}

/* Averages count the padding in, as PyTorch's do. */
static void
build_pool(Builder *builder, const Step *step)
{
	const char *inputs[] = {CURRENT, NULL};
	int			n = builder->current.rank - 2;
	Window		window = {.n = n};
	StringInfoData attributes;

	if (n < 1)
		step_fail(step, psprintf("takes three or more dimensions and gets %d",
								 builder->current.rank));
	if (step->kernel.n == 0)
		step_fail(step, "does not say how large its window is");
	spread(step, "kernel", &step->kernel, 1, n, window.kernel);
	spread(step, "stride", step->stride.n > 0 ? &step->stride : &step->kernel,
		   1, n, window.stride);
	for (int i = 0; i < n; i++)
		window.dilation[i] = 1;
	set_padding(step, &window);
	slide(builder, step, &window);

	initStringInfo(&attributes);
	put_window(&attributes, &window);
	if (strcmp(step->op->onnx, "AveragePool") == 0)
		onnx_put_attribute(&attributes, "count_include_pad", 1);
	CURRENT = builder_node(builder, step, step->op->onnx, inputs, &attributes);
}

static void
build_global_pool(Builder *builder, const Step *step)
{
	if (builder->current.rank < 3)
		step_fail(step, psprintf("takes three or more dimensions and gets %d",
								 builder->current.rank));
	build_unary(builder, step);
	for (int i = 2; i < builder->current.rank; i++)
		builder->current.dims[i] = 1;
}

/* ---------- linear and normalization ---------- */

/* x times the transpose of a weight, plus the bias. */
static void
multiply(Builder *builder, const Step *step, const char *weight,
		 const char *bias)
{
	const char *transposed[] = {weight, NULL};
	const char *product[] = {CURRENT, NULL, NULL};
	const char *sum[] = {NULL, bias, NULL};
	StringInfoData attributes;
	int64		order[] = {1, 0};

	initStringInfo(&attributes);
	onnx_put_attribute_integers(&attributes, "perm", 2, order);
	product[1] = builder_node(builder, step, "Transpose", transposed,
							  &attributes);
	CURRENT = builder_node(builder, step, "MatMul", product, NULL);
	sum[0] = CURRENT;
	if (bias != NULL)
		CURRENT = builder_node(builder, step, "Add", sum, NULL);
}

static void
build_linear(Builder *builder, const Step *step)
{
	const Tensor *weight = builder_tensor(builder, step, "weight", false);
	const Tensor *bias = builder_tensor(builder, step, "bias", true);
	const char *bias_name = bias != NULL ? bias->name : NULL;
	int			last = builder->current.rank - 1;

	builder_check_tensor(step, weight, 2);
	check_bias(step, bias, weight->dims[0]);
	if (last < 1)
		step_fail(step, "takes two or more dimensions and gets one");
	builder_expect(builder, step, last, weight->dims[1]);
	if (last == 1)
	{
		const char *inputs[] = {CURRENT, weight->name, bias_name, NULL};
		StringInfoData attributes;

		initStringInfo(&attributes);
		onnx_put_attribute(&attributes, "transB", 1);
		CURRENT = builder_node(builder, step, "Gemm", inputs, &attributes);
	}
	else
		multiply(builder, step, weight->name, bias_name);
	builder->current.dims[last] = weight->dims[0];
}

static void
build_batchnorm(Builder *builder, const Step *step)
{
	static const char *const leaves[] = {
		"weight", "bias", "running_mean", "running_var"
	};
	const char *inputs[6] = {CURRENT};
	StringInfoData attributes;

	if (builder->current.rank < 2)
		step_fail(step, "takes two or more dimensions and gets one");
	for (int i = 0; i < 4; i++)
	{
		const Tensor *tensor = builder_tensor(builder, step, leaves[i], false);

		builder_check_tensor(step, tensor, 1);
		builder_expect(builder, step, 1, tensor->dims[0]);
		inputs[i + 1] = tensor->name;
	}
	initStringInfo(&attributes);
	onnx_put_attribute_float(&attributes, "epsilon", (float) step->eps);
	CURRENT = builder_node(builder, step, "BatchNormalization", inputs,
						   &attributes);
}

static void
build_layernorm(Builder *builder, const Step *step)
{
	const Tensor *weight = builder_tensor(builder, step, "weight", false);
	const Tensor *bias = builder_tensor(builder, step, "bias", true);
	const char *inputs[] = {CURRENT, weight->name,
	bias != NULL ? bias->name : NULL, NULL};
	int			first = builder->current.rank - weight->ndim;
	StringInfoData attributes;

	if (first < 1 || weight->ndim < 1)
		step_fail(step, psprintf("normalizes %d dimensions and gets %d",
								 weight->ndim, builder->current.rank));
	if (bias != NULL && (bias->ndim != weight->ndim ||
						 memcmp(bias->dims, weight->dims,
								bias->ndim * sizeof(int64)) != 0))
		step_fail(step, "has a bias that does not fit its weight");
	for (int i = 0; i < weight->ndim; i++)
		builder_expect(builder, step, first + i, weight->dims[i]);
	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "axis", -weight->ndim);
	onnx_put_attribute_float(&attributes, "epsilon", (float) step->eps);
	CURRENT = builder_node(builder, step, "LayerNormalization", inputs,
						   &attributes);
}

static void
build_embedding(Builder *builder, const Step *step)
{
	const Tensor *weight = builder_tensor(builder, step, "weight", false);
	const char *inputs[] = {weight->name, CURRENT, NULL};

	builder_check_tensor(step, weight, 2);
	if (builder->current.name != builder->input.name)
		step_fail(step, "takes tokens, which only the model's input is");
	builder->takes_tokens = true;
	CURRENT = builder_node(builder, step, "Gather", inputs, NULL);
	builder->current.dims[builder->current.rank++] = weight->dims[1];
}

/* ---------- attention ---------- */

static const char *
transpose(Builder *builder, const Step *step, const char *x,
		  const int64 *order)
{
	const char *inputs[] = {x, NULL};
	StringInfoData attributes;

	initStringInfo(&attributes);
	onnx_put_attribute_integers(&attributes, "perm", 4, order);
	return builder_node(builder, step, "Transpose", inputs, &attributes);
}

/* [batch, sequence, width] to heads: [batch, heads, sequence, size], or with
 * the last two exchanged. */
static const char *
take_heads(Builder *builder, const Step *step, const char *x, int64 size,
		   bool exchanged)
{
	static const int64 straight[] = {0, 2, 1, 3};
	static const int64 turned[] = {0, 2, 3, 1};
	int64		shape[] = {0, 0, -1, size};
	const char *inputs[] = {x, builder_integers(builder, step, 4, shape), NULL};

	return transpose(builder, step,
					 builder_node(builder, step, "Reshape", inputs, NULL),
					 exchanged ? turned : straight);
}

/* softmax(q k / sqrt(size)) v, for each head. */
static const char *
attend(Builder *builder, const Step *step, const char *const *parts,
	   int64 size)
{
	const char *q = take_heads(builder, step, parts[0], size, false);
	const char *k = take_heads(builder, step, parts[1], size, true);
	const char *v = take_heads(builder, step, parts[2], size, false);
	const char *scale[] = {q, builder_number(builder, step, 1 / sqrt(size)), NULL};
	const char *scores[] = {builder_node(builder, step, "Mul", scale, NULL), k, NULL};
	const char *softmax[] = {builder_node(builder, step, "MatMul", scores, NULL), NULL};
	const char *weighted[] = {NULL, v, NULL};
	StringInfoData attributes;

	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "axis", -1);
	weighted[0] = builder_node(builder, step, "Softmax", softmax, &attributes);
	return builder_node(builder, step, "MatMul", weighted, NULL);
}

/* Self-attention as of PyTorch's MultiheadAttention with batch_first. */
static void
build_attention(Builder *builder, const Step *step)
{
	static const int64 back[] = {0, 2, 1, 3};
	int64		shape[] = {0, 0, -1};
	const Tensor *in = builder_tensor(builder, step, "in_proj_weight", false);
	const Tensor *in_bias = builder_tensor(builder, step, "in_proj_bias", true);
	const Tensor *out = builder_tensor(builder, step, "out_proj.weight", false);
	const Tensor *out_bias = builder_tensor(builder, step, "out_proj.bias", true);
	const char *whole[] = {NULL, NULL};
	const char *merged[] = {NULL, NULL, NULL};
	const char *parts[3];
	StringInfoData attributes;
	int64		width;

	if ((step->given & STEP_HEADS) == 0)
		step_fail(step, "does not say how many heads it has");
	builder_check_tensor(step, in, 2);
	builder_check_tensor(step, out, 2);
	builder_check_rank(builder, step, 3);
	width = out->dims[1];
	if (in->dims[0] % 3 != 0 || in->dims[0] / 3 != width || width < 1 ||
		width % step->heads != 0)
		step_fail(step, psprintf("has " INT64_FORMAT " heads, which do not fit tensors \"in_proj_weight\" and \"out_proj.weight\"",
								 step->heads));
	check_bias(step, in_bias, in->dims[0]);
	check_bias(step, out_bias, out->dims[0]);
	builder_expect(builder, step, 2, in->dims[1]);

	multiply(builder, step, in->name, in_bias != NULL ? in_bias->name : NULL);
	whole[0] = CURRENT;
	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "axis", -1);
	builder_node_many(builder, step, "Split", whole, &attributes, 3, parts);
	merged[0] = transpose(builder, step,
						  attend(builder, step, parts, width / step->heads),
						  back);
	merged[1] = builder_integers(builder, step, 3, shape);
	CURRENT = builder_node(builder, step, "Reshape", merged, NULL);
	multiply(builder, step, out->name, out_bias != NULL ? out_bias->name : NULL);
	builder->current.dims[2] = out->dims[0];
}

/* ---------- what joins branches ---------- */

/* The values that the step names; with one of them, the current one first. */
static int
take_values(Builder *builder, const Step *step, const BuiltValue **values,
			const char **names)
{
	int			n = 0;

	if (step->nfrom == 0)
		step_fail(step, "does not say whose output it takes");
	if (step->nfrom == 1)
		values[n++] = &builder->current;
	for (int i = 0; i < step->nfrom; i++)
		values[n++] = builder_value(builder, step, step->from[i]);
	for (int i = 0; i < n; i++)
	{
		if (builder->takes_tokens && values[i]->name == builder->input.name)
			step_fail(step, "takes the model's input, which is tokens");
		if (values[i]->rank != values[0]->rank)
			step_fail(step, psprintf("joins values of %d and of %d dimensions",
									 values[0]->rank, values[i]->rank));
		names[i] = values[i]->name;
	}
	names[n] = NULL;
	return n;
}

/* Sizes must be the same along an axis; the known one of two counts. */
static void
join_dim(const Step *step, const BuiltValue *value, int axis, int64 *dim)
{
	if (*dim < 0)
		*dim = value->dims[axis];
	else if (value->dims[axis] >= 0 && value->dims[axis] != *dim)
		step_fail(step, psprintf("joins sizes " INT64_FORMAT " and " INT64_FORMAT " along axis %d",
								 *dim, value->dims[axis], axis));
}

static void
build_add(Builder *builder, const Step *step)
{
	const BuiltValue *values[STEP_MAX_FROM + 1];
	const char *names[STEP_MAX_FROM + 2];
	int			n = take_values(builder, step, values, names);
	BuiltValue	sum = *values[0];

	for (int i = 1; i < n; i++)
	{
		const char *inputs[] = {sum.name, names[i], NULL};

		for (int axis = 0; axis < sum.rank; axis++)
			join_dim(step, values[i], axis, &sum.dims[axis]);
		sum.name = builder_node(builder, step, "Add", inputs, NULL);
	}
	builder->current = sum;
}

static void
build_concat(Builder *builder, const Step *step)
{
	const BuiltValue *values[STEP_MAX_FROM + 1];
	const char *names[STEP_MAX_FROM + 2];
	int			n = take_values(builder, step, values, names);
	BuiltValue	whole = *values[0];
	StringInfoData attributes;
	int			along;

	builder->current.rank = whole.rank;
	along = step_axis(builder, step);
	for (int i = 1; i < n; i++)
	{
		for (int axis = 0; axis < whole.rank; axis++)
		{
			if (axis != along)
				join_dim(step, values[i], axis, &whole.dims[axis]);
			else if (whole.dims[axis] >= 0 && values[i]->dims[axis] >= 0 &&
					 whole.dims[axis] < PG_INT32_MAX)
				whole.dims[axis] += values[i]->dims[axis];
			else
				whole.dims[axis] = -1;
		}
	}
	initStringInfo(&attributes);
	onnx_put_attribute(&attributes, "axis", along);
	whole.name = builder_node(builder, step, "Concat", names, &attributes);
	builder->current = whole;
}

/* ---------- the table ---------- */

#define WINDOW_OPTIONS (STEP_FROM | STEP_STRIDE | STEP_PADDING)
#define CONV_OPTIONS (WINDOW_OPTIONS | STEP_DILATION | STEP_GROUPS)
#define POOL_OPTIONS (WINDOW_OPTIONS | STEP_KERNEL)

static const StepOperator operators[] = {
	{"input", STEP_SHAPE, STEP_SHAPE, 0, -1, NULL, build_input},
	{"linear", STEP_FROM, 0, 1, 2, NULL, build_linear},
	{"conv1d", CONV_OPTIONS, 0, 1, 3, NULL, build_conv},
	{"conv2d", CONV_OPTIONS, 0, 1, 4, NULL, build_conv},
	{"conv3d", CONV_OPTIONS, 0, 1, 5, NULL, build_conv},
	{"batchnorm", STEP_FROM | STEP_EPS, 0, 1, 0, NULL, build_batchnorm},
	{"layernorm", STEP_FROM | STEP_EPS, 0, 1, 0, NULL, build_layernorm},
	{"embedding", STEP_FROM, 0, 1, 2, NULL, build_embedding},
	{"attention", STEP_FROM | STEP_HEADS, STEP_HEADS, 1, 3, NULL, build_attention},
	{"relu", STEP_FROM, 0, 1, 0, "Relu", build_unary},
	{"gelu", STEP_FROM, 0, 1, 0, NULL, build_gelu},
	{"silu", STEP_FROM, 0, 1, 0, NULL, build_silu},
	{"tanh", STEP_FROM, 0, 1, 0, "Tanh", build_unary},
	{"sigmoid", STEP_FROM, 0, 1, 0, "Sigmoid", build_unary},
	{"leaky_relu", STEP_FROM | STEP_ALPHA, STEP_ALPHA, 1, 0, NULL, build_leaky_relu},
	{"softmax", STEP_FROM | STEP_AXIS, STEP_AXIS, 1, 0, NULL, build_softmax},
	{"dropout", STEP_FROM | STEP_ALPHA, STEP_ALPHA, 1, 0, NULL, build_nothing},
	{"flatten", STEP_FROM, 0, 1, -1, NULL, build_flatten},
	{"maxpool", POOL_OPTIONS, STEP_KERNEL, 1, -1, "MaxPool", build_pool},
	{"avgpool", POOL_OPTIONS, STEP_KERNEL, 1, -1, "AveragePool", build_pool},
	{"global_maxpool", STEP_FROM, 0, 1, -1, "GlobalMaxPool", build_global_pool},
	{"global_avgpool", STEP_FROM, 0, 1, -1, "GlobalAveragePool", build_global_pool},
	{"add", STEP_FROM, STEP_FROM, STEP_MAX_FROM, 0, NULL, build_add},
	{"concat", STEP_FROM | STEP_AXIS, STEP_FROM, STEP_MAX_FROM, -1, NULL, build_concat},
};

const StepOperator *
step_operator(const char *name)
{
	for (int i = 0; i < (int) lengthof(operators); i++)
	{
		if (strcmp(operators[i].name, name) == 0)
			return &operators[i];
	}
	return NULL;
}

/* PyTorch's names, in small letters and without a number of dimensions. */
static const struct
{
	const char *alias;
	const char *name;
}			aliases[] =
{
	{"conv", "conv2d"}, {"multiheadattention", "attention"},
	{"leakyrelu", "leaky_relu"}, {"swish", "silu"},
	{"adaptiveavgpool", "global_avgpool"},
	{"adaptivemaxpool", "global_maxpool"}, {"cat", "concat"},
	{"dense", "linear"}, {"gemm", "linear"},
};

const StepOperator *
step_operator_like(const char *name)
{
	char	   *small = pstrdup(name);
	size_t		length = strlen(small);

	for (char *c = small; *c != '\0'; c++)
	{
		if (*c >= 'A' && *c <= 'Z')
			*c += 'a' - 'A';
	}
	if (step_operator(small) != NULL)
		return step_operator(small);
	if (length > 2 && small[length - 1] == 'd' && strchr("123", small[length - 2]) != NULL)
		small[length - 2] = '\0';
	for (int i = 0; i < (int) lengthof(aliases); i++)
	{
		if (strcmp(aliases[i].alias, small) == 0)
			return step_operator(aliases[i].name);
	}
	return step_operator(small);
}

const char *
step_operator_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < (int) lengthof(operators); i++)
		appendStringInfo(&names, "%s%s", i == 0 ? "" :
						 i == lengthof(operators) - 1 ? " and " : ", ",
						 operators[i].name);
	return names.data;
}
