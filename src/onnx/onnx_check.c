/*
 * onnx_check.c
 *		What each message of a ModelProto has to be, beyond its wire form.
 *
 * The rules are those of the specification and of onnx.checker, as far as two
 * readers could otherwise take the same bytes for different models, or could
 * be led to read what is not there.  No tensor anywhere in a model may have its
 * elements in another file: whatever runs the model would open it.  Only a file
 * with others beside it may name those, and then they become part of the model.
 */
#include "postgres.h"

#include <limits.h>

#include "onnx/onnx_check.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* ---------- operator sets ---------- */

static void
add_import(OnnxWalk *walk, OnnxImports *imports, OnnxBytes message)
{
	OnnxBytes	domain = onnx_domain(onnx_get(message, OPERATOR_SET_DOMAIN));
	int64		version = onnx_get_integer(message, OPERATOR_SET_VERSION);

	if (version < 1 || version > INT_MAX)
		onnx_fail(walk, psprintf("imports operator set %s of version " INT64_FORMAT,
								 onnx_quote(domain), version));
	for (int i = 0; i < imports->n; i++)
	{
		if (onnx_compare(imports->domains[i], domain) != 0)
			continue;
		if (imports->versions[i] != version)
			onnx_fail(walk, psprintf("imports operator set %s in two versions",
									 onnx_quote(domain)));
		return;
	}
	if (imports->n == ONNX_MAX_IMPORTS)
		onnx_limit(walk, psprintf("imports more than %d operator sets",
								  ONNX_MAX_IMPORTS));
	imports->domains[imports->n] = domain;
	imports->versions[imports->n++] = version;
}

static void
take_imports(OnnxWalk *walk, OnnxImports *imports, uint32 number)
{
	PbReader	reader = onnx_reader(onnx_frame(walk)->content);
	PbField		field;

	imports->n = 0;
	while (onnx_next(&reader, number, &field))
	{
		CHECK_FOR_INTERRUPTS();
		add_import(walk, imports, onnx_bytes(&field));
	}
}

static bool
is_imported(const OnnxImports *imports, OnnxBytes domain)
{
	for (int i = 0; i < imports->n; i++)
	{
		if (onnx_compare(imports->domains[i], domain) == 0)
			return true;
	}
	return false;
}

/* ---------- model ---------- */

/* Strings by strings, of which no key comes twice. */
static void
check_metadata(OnnxWalk *walk)
{
	PbReader	reader = onnx_reader(onnx_frame(walk)->content);
	PbField		field;
	uint64		size = 0;
	int			n = 0;
	int			allocated = 16;
	OnnxBytes  *keys = palloc(allocated * sizeof(OnnxBytes));

	while (onnx_next(&reader, MODEL_METADATA_PROPS, &field))
	{
		size += field.end - field.start;
		if (size > ONNX_MAX_METADATA)
			onnx_limit(walk, psprintf("has more than %d bytes of metadata",
									  ONNX_MAX_METADATA));
		if (n == allocated)
			keys = repalloc(keys, (allocated *= 2) * sizeof(OnnxBytes));
		keys[n++] = onnx_get(onnx_bytes(&field), ENTRY_KEY);
	}
	onnx_check_unique(walk, keys, n, "has metadata %s twice");
	pfree(keys);
}

static void
begin_model(OnnxWalk *walk)
{
	OnnxBytes	model = onnx_frame(walk)->content;
	int64		version = onnx_get_integer(model, MODEL_IR_VERSION);
	PbReader	reader = onnx_reader(model);
	PbField		field;

	if (version < ONNX_MIN_IR || version > ONNX_MAX_IR)
		onnx_unsupported(walk, psprintf("has IR version " INT64_FORMAT ", and versions %d to %d are read",
										version, ONNX_MIN_IR, ONNX_MAX_IR));
	if (onnx_get(model, MODEL_GRAPH).data == NULL)
		onnx_fail(walk, "has no graph");
	if (onnx_next(&reader, MODEL_TRAINING_INFO, &field))
		onnx_unsupported(walk, "has training_info, with graphs to train it by");
	take_imports(walk, &walk->imports, MODEL_OPSET_IMPORT);
	if (walk->imports.n == 0)
		onnx_fail(walk, "imports no operator sets");
	check_metadata(walk);
}

/* ---------- graphs and functions ---------- */

/* Names that fields of a message have in a field of their own. */
static void
add_names(OnnxWalk *walk, uint32 number, OnnxEvent event, uint32 name_number)
{
	PbReader	reader = onnx_reader(onnx_frame(walk)->content);
	PbField		field;

	while (onnx_next(&reader, number, &field))
	{
		OnnxBytes	name = onnx_get(onnx_bytes(&field), name_number);

		if (name.size == 0)
			onnx_fail(walk, psprintf("has an %s without a name",
									 event == ONNX_INPUT ? "input" :
									 event == ONNX_INITIALIZER ? "initializer" : "output"));
		onnx_names_add(walk->names, event, name);
	}
}

static void
add_sparse_names(OnnxWalk *walk)
{
	PbReader	reader = onnx_reader(onnx_frame(walk)->content);
	PbField		field;

	while (onnx_next(&reader, GRAPH_SPARSE_INITIALIZER, &field))
	{
		OnnxBytes	values = onnx_get(onnx_bytes(&field), SPARSE_VALUES);
		OnnxBytes	name = onnx_get(values, TENSOR_NAME);

		if (name.size == 0)
			onnx_fail(walk, "has an initializer without a name");
		onnx_names_add(walk->names, ONNX_INITIALIZER, name);
	}
}

/* Names that fields of a message are. */
static void
add_plain_names(OnnxWalk *walk, uint32 number, OnnxEvent event)
{
	PbReader	reader = onnx_reader(onnx_frame(walk)->content);
	PbField		field;

	while (onnx_next(&reader, number, &field))
		onnx_names_add(walk->names, event, onnx_bytes(&field));
}

static void
open_scope(OnnxWalk *walk)
{
	OnnxBytes	none = {NULL, 0};

	onnx_names_add(walk->names, ONNX_OPEN, none);
}

static void
close_scope(OnnxWalk *walk)
{
	OnnxBytes	none = {NULL, 0};

	onnx_names_add(walk->names, ONNX_CLOSE, none);
}

static void
begin_graph(OnnxWalk *walk)
{
	OnnxBytes	none = {NULL, 0};

	if (++walk->ngraphs > ONNX_MAX_GRAPHS)
		onnx_limit(walk, psprintf("is more than %d graphs deep",
								  ONNX_MAX_GRAPHS));
	if (walk->depth == 2)
		onnx_functions_begin(walk->functions, none);
	open_scope(walk);
	add_names(walk, GRAPH_INPUT, ONNX_INPUT, VALUE_NAME);
	add_names(walk, GRAPH_INITIALIZER, ONNX_INITIALIZER, TENSOR_NAME);
	add_sparse_names(walk);
}

static void
end_graph(OnnxWalk *walk)
{
	add_names(walk, GRAPH_OUTPUT, ONNX_RESULT, VALUE_NAME);
	close_scope(walk);
	walk->ngraphs--;
}

static void
begin_function(OnnxWalk *walk)
{
	OnnxBytes	function = onnx_frame(walk)->content;

	if (onnx_get(function, FUNCTION_NAME).size == 0)
		onnx_fail(walk, "has no name");
	onnx_functions_begin(walk->functions, function);
	take_imports(walk, &walk->function_imports, FUNCTION_OPSET_IMPORT);
	walk->in_function = true;
	open_scope(walk);
	add_plain_names(walk, FUNCTION_INPUT, ONNX_INPUT);
}

static void
end_function(OnnxWalk *walk)
{
	add_plain_names(walk, FUNCTION_OUTPUT, ONNX_RESULT);
	close_scope(walk);
	walk->in_function = false;
}

/* ---------- nodes ---------- */

/* Operators that bring something to run, or to read, from outside. */
static void
check_operator(OnnxWalk *walk, OnnxBytes op_type, OnnxBytes domain)
{
	if (op_type.size == 0)
		onnx_fail(walk, "has no op_type");
	if (onnx_equals(op_type, "EPContext"))
		onnx_unsupported(walk, "is an EPContext, a graph compiled for some device");
	if ((op_type.size >= 4 && memcmp(op_type.data, "ATen", 4) == 0) ||
		(op_type.size >= 8 && memcmp(op_type.data, "PythonOp", 8) == 0))
		onnx_unsupported(walk, psprintf("is an operator %s, which is PyTorch's own",
										onnx_quote(op_type)));
	if (!is_imported(&walk->imports, domain) &&
		!(walk->in_function && is_imported(&walk->function_imports, domain)))
		onnx_fail(walk, psprintf("is of operator set %s, which is not imported",
								 onnx_quote(domain)));
}

static void
check_attribute_names(OnnxWalk *walk)
{
	PbReader	reader = onnx_reader(onnx_frame(walk)->content);
	PbField		field;
	OnnxBytes	few[16];
	OnnxBytes  *names = few;
	int			allocated = lengthof(few);
	int			n = 0;

	while (onnx_next(&reader, NODE_ATTRIBUTE, &field))
	{
		if (n == allocated)
		{
			allocated *= 2;
			if (names == few)
			{
				names = palloc(allocated * sizeof(OnnxBytes));
				memcpy(names, few, sizeof(few));
			}
			else
				names = repalloc_huge(names, allocated * sizeof(OnnxBytes));
		}
		names[n++] = onnx_get(onnx_bytes(&field), ATTRIBUTE_NAME);
	}
	onnx_check_unique(walk, names, n, "has attribute %s twice");
	if (names != few)
		pfree(names);
}

static void
begin_node(OnnxWalk *walk)
{
	OnnxBytes	node = onnx_frame(walk)->content;

	if (++walk->nnodes > ONNX_MAX_NODES)
		onnx_limit(walk, psprintf("is one of more than %d nodes",
								  ONNX_MAX_NODES));
	check_operator(walk, onnx_get(node, NODE_OP_TYPE),
				   onnx_domain(onnx_get(node, NODE_DOMAIN)));
	check_attribute_names(walk);
	onnx_functions_add_node(walk->functions, node);
	add_plain_names(walk, NODE_INPUT, ONNX_USE);
}

/* The type that an attribute is of when it has a field. */
static int
attribute_type(uint32 number)
{
	switch (number)
	{
		case ATTRIBUTE_F:
			return ONNX_ATTRIBUTE_FLOAT;
		case ATTRIBUTE_I:
			return ONNX_ATTRIBUTE_INT;
		case ATTRIBUTE_S:
			return ONNX_ATTRIBUTE_STRING;
		case ATTRIBUTE_T:
			return ONNX_ATTRIBUTE_TENSOR;
		case ATTRIBUTE_G:
			return ONNX_ATTRIBUTE_GRAPH;
		case ATTRIBUTE_FLOATS:
			return ONNX_ATTRIBUTE_FLOATS;
		case ATTRIBUTE_INTS:
			return ONNX_ATTRIBUTE_INTS;
		case ATTRIBUTE_STRINGS:
			return ONNX_ATTRIBUTE_STRINGS;
		case ATTRIBUTE_TENSORS:
			return ONNX_ATTRIBUTE_TENSORS;
		case ATTRIBUTE_GRAPHS:
			return ONNX_ATTRIBUTE_GRAPHS;
		case ATTRIBUTE_SPARSE_TENSOR:
			return ONNX_ATTRIBUTE_SPARSE_TENSOR;
		case ATTRIBUTE_SPARSE_TENSORS:
			return ONNX_ATTRIBUTE_SPARSE_TENSORS;
		case ATTRIBUTE_TP:
			return ONNX_ATTRIBUTE_TYPE_PROTO;
		case ATTRIBUTE_TYPE_PROTOS:
			return ONNX_ATTRIBUTE_TYPE_PROTOS;
		default:
			return 0;
	}
}

static void
begin_attribute(OnnxWalk *walk)
{
	OnnxBytes	attribute = onnx_frame(walk)->content;
	int64		type = onnx_get_integer(attribute, ATTRIBUTE_TYPE);
	PbReader	reader = onnx_reader(attribute);
	PbField		field;

	if (onnx_get(attribute, ATTRIBUTE_NAME).size == 0)
		onnx_fail(walk, "has no name");
	if (type < 1 || type > ONNX_ATTRIBUTE_TYPE_PROTOS)
		onnx_fail(walk, psprintf("has type " INT64_FORMAT, type));
	while (pb_next(&reader, &field))
	{
		int			found = attribute_type(field.number);

		if (found != 0 && found != type)
			onnx_fail(walk, "has a value that is not of its type");
	}
	if (!walk->in_function &&
		onnx_get(attribute, ATTRIBUTE_REF_ATTR_NAME).size > 0)
		onnx_fail(walk, "refers to an attribute of a function, and is in none");
}

/* ---------- types ---------- */

/* Fields of which a message may have one. */
static void
check_choice(OnnxWalk *walk, const uint32 *numbers, int n)
{
	PbReader	reader = onnx_reader(onnx_frame(walk)->content);
	PbField		field;
	int			found = 0;

	while (pb_next(&reader, &field))
	{
		for (int i = 0; i < n; i++)
			found += field.number == numbers[i];
	}
	if (found > 1)
		onnx_fail(walk, "is of two kinds at once");
}

static void
begin_type(OnnxWalk *walk)
{
	static const uint32 kinds[] = {
		TYPE_TENSOR, TYPE_SEQUENCE, TYPE_MAP, TYPE_OPAQUE,
		TYPE_SPARSE_TENSOR, TYPE_OPTIONAL,
	};

	check_choice(walk, kinds, lengthof(kinds));
}

static void
begin_dimension(OnnxWalk *walk)
{
	static const uint32 kinds[] = {DIMENSION_VALUE, DIMENSION_PARAM};

	check_choice(walk, kinds, lengthof(kinds));
}

/* ---------- all of it ---------- */

void
onnx_begin(OnnxWalk *walk)
{
	switch (onnx_frame(walk)->message)
	{
		case ONNX_MODEL:
			begin_model(walk);
			break;
		case ONNX_GRAPH:
			begin_graph(walk);
			break;
		case ONNX_FUNCTION:
			begin_function(walk);
			break;
		case ONNX_NODE:
			begin_node(walk);
			break;
		case ONNX_ATTRIBUTE:
			begin_attribute(walk);
			break;
		case ONNX_TENSOR:
			onnx_check_tensor(walk);
			break;
		case ONNX_TYPE:
			begin_type(walk);
			break;
		case ONNX_DIMENSION:
			begin_dimension(walk);
			break;
		default:
			break;
	}
}

void
onnx_end(OnnxWalk *walk)
{
	switch (onnx_frame(walk)->message)
	{
		case ONNX_GRAPH:
			end_graph(walk);
			break;
		case ONNX_FUNCTION:
			end_function(walk);
			break;
		case ONNX_NODE:
			add_plain_names(walk, NODE_OUTPUT, ONNX_MAKE);
			break;
		case ONNX_SPARSE_TENSOR:
			onnx_check_sparse_tensor(walk);
			break;
		default:
			break;
	}
}

bool
onnx_check(OnnxBytes model, OnnxPlace place)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "check of an ONNX model",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	OnnxWalk   *walk = palloc0(sizeof(OnnxWalk));
	bool		is_scattered;

	if (model.size > INT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("ONNX model is too large"),
				 errdetail("A file of the format can have at most %d bytes.",
						   INT_MAX)));
	walk->place = place;
	walk->names = onnx_names_create();
	walk->functions = onnx_functions_create(model);
	onnx_walk(walk, model);
	onnx_names_check(walk->names);
	onnx_functions_check(walk->functions);
	is_scattered = walk->is_scattered;
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return is_scattered;
}

OnnxBytes
onnx_model_graph(const Model *model)
{
	OnnxBytes	graph = {model->graph, model->graph_size};

	if (graph.data != NULL)
		(void) onnx_check(graph, ONNX_TAKEN_OUT);
	return graph;
}
