/*
 * onnx_functions.c
 *		Functions of a model: which calls which.
 *
 * A node whose operator is a function of the model stands for the function's
 * nodes.  Whoever runs the model puts them in its place, which does not end
 * for a function that calls itself, and takes 2^n nodes for n functions each
 * of which calls the next one twice.
 */
#include "postgres.h"

#include "onnx/onnx_check.h"
#include "miscadmin.h"

/* Not a number of nodes. */
#define UNCOUNTED	(-1)
#define COUNTING	(-2)

typedef struct Function
{
	OnnxBytes	domain;
	OnnxBytes	name;
	OnnxBytes	overload;
	int			first_node;		/* of its own, in nodes */
	int			nnodes;
	int64		expanded;		/* nodes that a call stands for */
} Function;

typedef struct OnnxFunctions
{
	int			nfunctions;		/* with the graph, which has no name */
	int			allocated;
	Function   *functions;
	int			nnodes;
	int			nodes_allocated;
	OnnxBytes  *nodes;
} OnnxFunctions;

/* A function whose nodes are being counted. */
typedef struct Count
{
	Function   *function;
	int			next;			/* of its nodes */
	int64		sum;			/* of those before */
} Count;

/* Keeps nodes only for models that have functions at all. */
OnnxFunctions *
onnx_functions_create(OnnxBytes model)
{
	OnnxFunctions *functions;
	PbReader	reader = onnx_reader(model);
	PbField		field;

	if (!onnx_next(&reader, MODEL_FUNCTIONS, &field))
		return NULL;
	functions = palloc0(sizeof(OnnxFunctions));
	functions->allocated = 16;
	functions->functions = palloc(functions->allocated * sizeof(Function));
	functions->nodes_allocated = 64;
	functions->nodes = palloc(functions->nodes_allocated * sizeof(OnnxBytes));
	return functions;
}

void
onnx_functions_begin(OnnxFunctions *functions, OnnxBytes message)
{
	Function   *function;

	if (functions == NULL)
		return;
	if (functions->nfunctions > ONNX_MAX_FUNCTIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("ONNX model is too large"),
				 errdetail("It has more than %d functions.",
						   ONNX_MAX_FUNCTIONS)));
	if (functions->nfunctions == functions->allocated)
	{
		functions->allocated *= 2;
		functions->functions = repalloc(functions->functions,
										functions->allocated * sizeof(Function));
	}
	function = &functions->functions[functions->nfunctions++];
	memset(function, 0, sizeof(Function));
	function->first_node = functions->nnodes;
	function->expanded = UNCOUNTED;
	if (message.data != NULL)
	{
		function->domain = onnx_domain(onnx_get(message, FUNCTION_DOMAIN));
		function->name = onnx_get(message, FUNCTION_NAME);
		function->overload = onnx_get(message, FUNCTION_OVERLOAD);
	}
}

void
onnx_functions_add_node(OnnxFunctions *functions, OnnxBytes node)
{
	if (functions == NULL || functions->nfunctions == 0)
		return;
	if (functions->nnodes == functions->nodes_allocated)
	{
		functions->nodes_allocated *= 2;
		functions->nodes = repalloc(functions->nodes,
									functions->nodes_allocated * sizeof(OnnxBytes));
	}
	functions->nodes[functions->nnodes++] = node;
	functions->functions[functions->nfunctions - 1].nnodes++;
}

/* ---------- who is called ---------- */

static int
compare_functions(const void *a, const void *b)
{
	const Function *left = a;
	const Function *right = b;
	int			order = onnx_compare(left->domain, right->domain);

	if (order == 0)
		order = onnx_compare(left->name, right->name);
	if (order == 0)
		order = onnx_compare(left->overload, right->overload);
	return order;
}

static void
fail_function(const Function *function, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid ONNX model"),
			 errdetail("Function %s of domain %s %s.",
					   onnx_quote(function->name),
					   onnx_quote(function->domain), problem)));
}

/* The function that a node calls, or NULL. */
static Function *
called_function(const OnnxFunctions *functions, OnnxBytes node)
{
	Function	key;

	key.domain = onnx_domain(onnx_get(node, NODE_DOMAIN));
	key.name = onnx_get(node, NODE_OP_TYPE);
	key.overload = onnx_get(node, NODE_OVERLOAD);
	return bsearch(&key, functions->functions, functions->nfunctions,
				   sizeof(Function), compare_functions);
}

/* ---------- counting nodes ---------- */

/* Adds what a node stands for to the sum of the one that is being counted;
 * returns the function that is to be counted before, if there is one. */
static Function *
add_node(const OnnxFunctions *functions, Count *count)
{
	int			node = count->function->first_node + count->next;
	Function   *called = called_function(functions, functions->nodes[node]);

	if (called != NULL && called->expanded == UNCOUNTED)
		return called;
	if (called != NULL && called->expanded == COUNTING)
		fail_function(called, "calls itself");
	count->sum += called != NULL ? called->expanded : 1;
	if (count->sum > ONNX_MAX_NODES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("ONNX model is too large"),
				 errdetail("Its functions expand to more than %d nodes.",
						   ONNX_MAX_NODES)));
	count->next++;
	return NULL;
}

static void
push(Count *stack, int *depth, Function *function)
{
	Count	   *count = &stack[(*depth)++];

	function->expanded = COUNTING;
	count->function = function;
	count->next = 0;
	count->sum = 0;
}

/* Counts a function and all that it calls; none is on the stack twice. */
static void
count_function(const OnnxFunctions *functions, Count *stack,
			   Function *function)
{
	int			depth = 0;
	int			n = 0;

	push(stack, &depth, function);
	while (depth > 0)
	{
		Count	   *count = &stack[depth - 1];

		if (++n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (count->next == count->function->nnodes)
		{
			count->function->expanded = count->sum;
			depth--;
		}
		else
		{
			Function   *called = add_node(functions, count);

			if (called != NULL)
				push(stack, &depth, called);
		}
	}
}

void
onnx_functions_check(OnnxFunctions *functions)
{
	Count	   *stack;
	int			n;

	if (functions == NULL)
		return;
	n = functions->nfunctions;
	qsort(functions->functions, n, sizeof(Function), compare_functions);
	for (int i = 1; i < n; i++)
	{
		if (compare_functions(&functions->functions[i - 1],
							  &functions->functions[i]) == 0)
			fail_function(&functions->functions[i], "comes twice");
	}
	stack = palloc(n * sizeof(Count));
	for (int i = 0; i < n; i++)
	{
		if (functions->functions[i].expanded == UNCOUNTED)
			count_function(functions, stack, &functions->functions[i]);
	}
	pfree(stack);
}
