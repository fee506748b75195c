/*
 * architecture.c
 *		Puts a ModelProto together from the steps of an architecture.
 *
 * Owns what the steps share: which tensors of the model are theirs, what is
 * known of each value's shape, names of values and nodes.  All tensors of the
 * model become initializers, those too that no step uses, so that nothing of
 * it is lost in an ONNX file.
 */
#include "postgres.h"

#include "graph/architecture.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* What onnx 1.12 and onnxruntime 1.12 read, and all that came later. */
#define IR_VERSION	8
#define OPSET		17

/* A node that is to be written; strings are UTF-8. */
typedef struct BuiltNode
{
	const char *name;
	const char *op_type;
	int			ninputs;
	const char **inputs;
	int			noutputs;
	const char **outputs;
	StringInfoData attributes;
} BuiltNode;

static const char *
server_string(const char *s)
{
	return pg_any_to_server(s, strlen(s), PG_UTF8);
}

/* ---------- tensors ---------- */

static const Tensor *
find_tensor(const Builder *builder, const char *name)
{
	return model_find_sorted(builder->sorted, builder->model->ntensors, name);
}

/* A value's name, which must be none of a tensor. */
static const char *
unused_name(const Builder *builder, const char *name)
{
	while (find_tensor(builder, name) != NULL)
		name = psprintf("%s_", name);
	return name;
}

/* All tensors that compute are of one type. */
static void
check_dtype(Builder *builder, const Step *step, const Tensor *tensor)
{
	DType		dtype = tensor_payload(builder->model, tensor)->dtype;

	if (builder->dtype_of == NULL)
	{
		if (!dtype_is_float(dtype))
			step_fail(step, psprintf("has a tensor \"%s\" of dtype %s, and computes with floats",
									 server_string(tensor->name),
									 dtype_name(dtype)));
		builder->dtype = dtype;
		builder->elem_type = onnx_type_of(dtype);
		builder->dtype_of = tensor->name;
	}
	else if (dtype != builder->dtype)
		step_fail_hint(step,
					   psprintf("has a tensor \"%s\" of dtype %s, and \"%s\" is of dtype %s",
								server_string(tensor->name), dtype_name(dtype),
								server_string(builder->dtype_of),
								dtype_name(builder->dtype)),
					   "A graph computes with one dtype: model_read(model_write(m, 'gguf', 'f32')) has all floats in it, and a graph that is set before quantize(m, 'fp16') stays.");
}

const Tensor *
builder_tensor(Builder *builder, const Step *step, const char *leaf,
			   bool optional)
{
	const Tensor *tensor;
	char	   *name;

	if (step->name == NULL)
		step_fail(step, psprintf("has no name, which is needed to find its tensors (\"name:%s\")",
								 step->op->name));
	name = psprintf("%s.%s", step->name, leaf);
	tensor = find_tensor(builder, name);
	if (tensor == NULL && optional)
		return NULL;
	if (tensor == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model has no tensor named \"%s\"", server_string(name)),
				 errdetail("Step %d of the architecture is \"%s:%s\".",
						   step->position, server_string(step->name),
						   step->op->name),
				 errhint("tensors(model) lists the names.")));
	check_dtype(builder, step, tensor);
	builder->used[tensor - builder->model->tensors] = true;
	return tensor;
}

void
builder_check_tensor(const Step *step, const Tensor *tensor, int rank)
{
	if (tensor->ndim != rank)
		step_fail(step, psprintf("has a tensor \"%s\" of %d dimensions, and it takes %d",
								 server_string(tensor->name), tensor->ndim,
								 rank));
}

/* ---------- values ---------- */

void
builder_check_rank(const Builder *builder, const Step *step, int rank)
{
	if (builder->current.rank != rank)
		step_fail(step, psprintf("takes %d dimensions and gets %d", rank,
								 builder->current.rank));
}

void
builder_expect(Builder *builder, const Step *step, int axis, int64 size)
{
	int64	   *dim = &builder->current.dims[axis];

	if (*dim < 0)
	{
		*dim = size;
		/* What a layer that comes first takes is known of the input. */
		if (builder->current.name == builder->input.name)
			builder->input.dims[axis] = size;
	}
	else if (*dim != size)
		step_fail(step, psprintf("takes " INT64_FORMAT " features and gets " INT64_FORMAT,
								 size, *dim));
}

/* The last step of that name counts; "input" is the model's input. */
const BuiltValue *
builder_value(Builder *builder, const Step *step, const char *name)
{
	for (int i = builder->nmade; i-- > 0;)
	{
		const char *other = builder->architecture->steps[i]->name;

		if (other != NULL && strcmp(other, name) == 0)
			return &builder->made[i];
	}
	if (strcmp(name, "input") == 0)
		return &builder->input;
	step_fail(step, psprintf("takes the output of \"%s\", which no step before it is called",
							 server_string(name)));
	return NULL;				/* not reached */
}

/* ---------- nodes ---------- */

static bool
is_title(const Builder *builder, const char *title, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(builder->titles[i], title) == 0)
			return true;
	}
	return false;
}

/* What steps and their values are called: by their names, if they can. */
static void
set_titles(Builder *builder)
{
	const Architecture *architecture = builder->architecture;

	builder->titles = palloc(architecture->nsteps * sizeof(char *));
	for (int i = 0; i < architecture->nsteps; i++)
	{
		const Step *step = architecture->steps[i];
		const char *title = step->name;

		CHECK_FOR_INTERRUPTS();
		if (title == NULL || is_title(builder, title, i))
			title = psprintf("%s_%d", title == NULL ? step->op->name : title,
							 step->position);
		while (is_title(builder, title, i))
			title = psprintf("%s_", title);
		builder->titles[i] = title;
	}
}

void
builder_node_many(Builder *builder, const Step *step, const char *op_type,
				  const char *const *inputs,
				  const StringInfoData *attributes, int noutputs,
				  const char **outputs)
{
	BuiltNode  *node;
	const char *title = builder->titles[step->position - 1];

	if (builder->nnodes == builder->nodes_allocated)
	{
		builder->nodes_allocated *= 2;
		builder->nodes = repalloc(builder->nodes,
								  builder->nodes_allocated * sizeof(BuiltNode));
	}
	node = &builder->nodes[builder->nnodes++];
	node->op_type = op_type;
	node->name = builder->nstep_nodes == 0 ? psprintf("/%s/%s", title, op_type) :
		psprintf("/%s/%s_%d", title, op_type, builder->nstep_nodes);
	builder->nstep_nodes++;
	for (node->ninputs = 0; inputs[node->ninputs] != NULL;)
		node->ninputs++;
	node->inputs = palloc(Max(node->ninputs, 1) * sizeof(char *));
	for (int i = 0; i < node->ninputs; i++)
		node->inputs[i] = inputs[i];
	node->noutputs = noutputs;
	node->outputs = palloc(noutputs * sizeof(char *));
	for (int i = 0; i < noutputs; i++)
		node->outputs[i] = outputs[i] =
			unused_name(builder, psprintf("%s_output_%d", node->name, i));
	initStringInfo(&node->attributes);
	if (attributes != NULL)
		onnx_put(&node->attributes, attributes->data, attributes->len);
}

const char *
builder_node(Builder *builder, const Step *step, const char *op_type,
			 const char *const *inputs, const StringInfoData *attributes)
{
	const char *output;

	builder_node_many(builder, step, op_type, inputs, attributes, 1, &output);
	return output;
}

/* ---------- attributes and constants ---------- */

/* A Constant node of a tensor's bytes; ndim is 0 or 1. */
static const char *
add_constant(Builder *builder, const Step *step, int elem_type, int ndim,
			 int64 count, const char *bytes, uint64 size)
{
	static const char *const no_inputs[] = {NULL};
	StringInfoData tensor;
	StringInfoData field;

	initStringInfo(&tensor);
	if (ndim == 1)
		onnx_put_integer(&tensor, TENSOR_DIMS, count);
	onnx_put_integer(&tensor, TENSOR_DATA_TYPE, elem_type);
	onnx_put_bytes(&tensor, TENSOR_RAW_DATA, bytes, size);
	initStringInfo(&field);
	onnx_put_attribute_tensor(&field, "value", &tensor);
	pfree(tensor.data);
	return builder_node(builder, step, "Constant", no_inputs, &field);
}

const char *
builder_number(Builder *builder, const Step *step, double value)
{
	char		bytes[sizeof(double)];
	float		single = (float) value;

	if (builder->dtype == DTYPE_F64)
		memcpy(bytes, &value, sizeof(value));
	else
		(void) dtype_from_float(builder->dtype, &single, 1, bytes);
	return add_constant(builder, step, builder->elem_type, 0, 1, bytes,
						dtype_bytes(builder->dtype, 1));
}

const char *
builder_integers(Builder *builder, const Step *step, int n,
				 const int64 *values)
{
	return add_constant(builder, step, onnx_type_of(DTYPE_I64), 1, n,
						(const char *) values, n * sizeof(int64));
}

/* ---------- the input ---------- */

/* What the first step that knows takes. */
static int
guess_rank(const Architecture *architecture)
{
	for (int i = 0; i < architecture->nsteps; i++)
	{
		const StepOperator *op = architecture->steps[i]->op;

		if (op->rank > 0)
			return op->rank;
		if (op->rank < 0)
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("architecture does not say what the model's input is"),
			 errhint("Begin with its shape, without the batch: input(3x32x32) or input(64).")));
	return 0;					/* not reached */
}

static void
set_input(Builder *builder)
{
	const Architecture *architecture = builder->architecture;
	const Step *first = architecture->steps[0];
	BuiltValue *input = &builder->input;

	input->name = unused_name(builder, "input");
	input->dims[0] = -1;
	if (strcmp(first->op->name, "input") == 0)
	{
		input->rank = first->shape.n + 1;
		for (int i = 0; i < first->shape.n; i++)
			input->dims[i + 1] = first->shape.values[i];
	}
	else
	{
		input->rank = guess_rank(architecture);
		for (int i = 1; i < input->rank; i++)
			input->dims[i] = -1;
	}
	builder->current = *input;
}

/* ---------- the steps ---------- */

static void
build_steps(Builder *builder)
{
	const Architecture *architecture = builder->architecture;

	for (int i = 0; i < architecture->nsteps; i++)
	{
		const Step *step = architecture->steps[i];

		CHECK_FOR_INTERRUPTS();
		if (step->op->nfrom == 1 && step->nfrom == 1)
			builder->current = *builder_value(builder, step, step->from[0]);
		if (builder->takes_tokens && strcmp(step->op->name, "embedding") != 0 &&
			builder->current.name == builder->input.name)
			step_fail(step, "takes the model's input, which is tokens");
		builder->nstep_nodes = 0;
		step->op->build(builder, step);
		builder->made[builder->nmade++] = builder->current;
	}
}

/* ---------- the messages ---------- */

static void
put_dims(StringInfo out, const BuiltValue *value, bool is_input)
{
	static const char *const names[] = {
		NULL, NULL, "sequence", "length", "height"
	};

	for (int i = 0; i < value->rank; i++)
	{
		StringInfoData dim;

		initStringInfo(&dim);
		if (value->dims[i] >= 0)
			onnx_put_integer(&dim, DIMENSION_VALUE, value->dims[i]);
		else if (i == 0)
			onnx_put_text(&dim, DIMENSION_PARAM, "batch");
		else if (is_input)
			onnx_put_text(&dim, DIMENSION_PARAM,
						  value->rank == 4 ? (i == 2 ? "height" : "width") :
						  value->rank < (int) lengthof(names) && i == value->rank - 1 ?
						  names[value->rank] : psprintf("dim_%d", i));
		onnx_put_message(out, SHAPE_DIM, &dim);
	}
}

static void
put_value(StringInfo graph, uint32 number, const char *name,
		  const BuiltValue *value, int elem_type)
{
	StringInfoData shape;
	StringInfoData tensor;
	StringInfoData type;
	StringInfoData info;

	initStringInfo(&shape);
	put_dims(&shape, value, number == GRAPH_INPUT);
	initStringInfo(&tensor);
	onnx_put_integer(&tensor, TYPE_ELEMENT, elem_type);
	onnx_put_message(&tensor, TYPE_SHAPE, &shape);
	initStringInfo(&type);
	onnx_put_message(&type, TYPE_TENSOR, &tensor);
	initStringInfo(&info);
	onnx_put_text(&info, VALUE_NAME, name);
	onnx_put_message(&info, VALUE_TYPE, &type);
	onnx_put_message(graph, number, &info);
}

/* The value that the last step made is the model's output. */
static const char *
value_name(const Builder *builder, const char *name, const char *output)
{
	return name == builder->current.name ? output : name;
}

static void
put_nodes(StringInfo graph, const Builder *builder, const char *output)
{
	for (int i = 0; i < builder->nnodes; i++)
	{
		const BuiltNode *node = &builder->nodes[i];
		StringInfoData out;

		CHECK_FOR_INTERRUPTS();
		initStringInfo(&out);
		for (int j = 0; j < node->ninputs; j++)
			onnx_put_text(&out, NODE_INPUT,
						  value_name(builder, node->inputs[j], output));
		for (int j = 0; j < node->noutputs; j++)
			onnx_put_text(&out, NODE_OUTPUT,
						  value_name(builder, node->outputs[j], output));
		onnx_put_text(&out, NODE_NAME, node->name);
		onnx_put_text(&out, NODE_OP_TYPE, node->op_type);
		onnx_put(&out, node->attributes.data, node->attributes.len);
		onnx_put_message(graph, GRAPH_NODE, &out);
		pfree(out.data);
	}
}

static void
put_initializers(StringInfo graph, const Model *model)
{
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];
		StringInfoData out;

		CHECK_FOR_INTERRUPTS();
		initStringInfo(&out);
		onnx_put_tensor_head(&out, tensor->name,
							 tensor_payload(model, tensor)->dtype,
							 tensor->ndim, tensor->dims);
		if (tensor_payload(model, tensor)->count > 0)
			onnx_put_bytes(&out, TENSOR_RAW_DATA, "", 0);
		onnx_put_message(graph, GRAPH_INITIALIZER, &out);
		pfree(out.data);
	}
}

static void
put_model(StringInfo out, const Builder *builder)
{
	const char *output = unused_name(builder, "output");
	StringInfoData graph;
	StringInfoData opset;

	initStringInfo(&graph);
	put_nodes(&graph, builder, output);
	onnx_put_text(&graph, GRAPH_NAME, "architecture");
	put_initializers(&graph, builder->model);
	put_value(&graph, GRAPH_INPUT, builder->input.name, &builder->input,
			  builder->takes_tokens ? onnx_type_of(DTYPE_I64) : builder->elem_type);
	put_value(&graph, GRAPH_OUTPUT, output, &builder->current,
			  builder->elem_type);

	initStringInfo(&opset);
	onnx_put_text(&opset, OPERATOR_SET_DOMAIN, "");
	onnx_put_integer(&opset, OPERATOR_SET_VERSION, OPSET);
	initStringInfo(out);
	onnx_put_integer(out, MODEL_IR_VERSION, IR_VERSION);
	onnx_put_text(out, MODEL_PRODUCER_NAME, "modelopt");
	onnx_put_message(out, MODEL_GRAPH, &graph);
	onnx_put_message(out, MODEL_OPSET_IMPORT, &opset);
	pfree(graph.data);
}

/* ---------- all of it ---------- */

static void
builder_init(Builder *builder, const Model *model,
			 const Architecture *architecture)
{
	memset(builder, 0, sizeof(Builder));
	builder->model = model;
	builder->architecture = architecture;
	builder->elem_type = onnx_type_of(DTYPE_F32);
	builder->dtype = DTYPE_F32;
	builder->sorted = model_sort_tensors(model);
	builder->used = palloc0(Max(model->ntensors, 1) * sizeof(bool));
	builder->nodes_allocated = 64;
	builder->nodes = palloc(builder->nodes_allocated * sizeof(BuiltNode));
	builder->made = palloc(architecture->nsteps * sizeof(BuiltValue));
	set_titles(builder);
}

OnnxBytes
architecture_build(const Model *model, const Architecture *architecture,
				   const bool **used)
{
	Builder		builder;
	StringInfoData out;
	OnnxBytes	bytes;

	if (architecture->nsteps == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("architecture has no steps")));
	builder_init(&builder, model, architecture);
	set_input(&builder);
	build_steps(&builder);
	if (builder.nnodes == 0 || builder.current.name == builder.input.name)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("architecture has no steps that compute")));
	put_model(&out, &builder);
	bytes.data = out.data;
	bytes.size = out.len;
	onnx_check(bytes, ONNX_TAKEN_OUT);
	*used = builder.used;
	return bytes;
}
