/*
 * operators.h
 *		What the files share that know ONNX's operators.
 *
 * Private to src/graph.  An operator is a function that says, for a node, what
 * shapes come out and which places of its outputs belong to which places of
 * its inputs.  An operator that is not in the tables, or of which a node makes
 * a use that is not understood, is doubtful: nothing that it touches can go.
 */
#ifndef MODELOPT_OPERATORS_H
#define MODELOPT_OPERATORS_H

#include "graph/graph.h"

/* Integers of a value are known up to so many. */
#define GRAPH_MAX_INTS		64

/* Places of all axes together. */
#define GRAPH_MAX_PLACES	(16 * 1024 * 1024)
#define GRAPH_FREE_PLACES	(2 * 1024 * 1024)	/* that no weight need justify */

/* Runs, products, patches and copies of a graph, of each kind, and integers of
 * all values together: small graphs could ask for very many. */
#define GRAPH_MAX_ENTRIES	(4 * 1024 * 1024)

/* What an output is where inputs are zero. */
typedef enum GraphZero
{
	ZERO_NEVER,					/* nothing is known of it */
	ZERO_ALL,					/* zero where all inputs are */
	ZERO_ANY,					/* zero where any input is */
} GraphZero;

typedef struct GraphOperator
{
	const char *name;
	void		(*apply) (Graph *graph, int node);
	GraphZero	zero;
	bool		is_activation;	/* element by element, and nothing else */
} GraphOperator;

/* The operator of that name, or NULL (operators.c). */
extern const GraphOperator *graph_operator(OnnxBytes name);

/* ---------- what operators are made of (graph_places.c) ---------- */

/* A value of a node, or -1 when it is left out. */
static inline int
node_input(const Graph *graph, int node, int i)
{
	const GraphNode *n = &graph->nodes[node];

	return i < n->ninputs ? n->inputs[i] : -1;
}

static inline int
node_output(const Graph *graph, int node, int i)
{
	const GraphNode *n = &graph->nodes[node];

	return i < n->noutputs ? n->outputs[i] : -1;
}

/* The rank of a value, UNKNOWN for one that is left out. */
static inline int
value_rank(const Graph *graph, int value)
{
	return value >= 0 ? graph->values[value].rank : UNKNOWN;
}

/* An axis counted from the end where negative; UNKNOWN when there is none. */
static inline int
graph_axis(int rank, int64 axis)
{
	if (rank == UNKNOWN || axis < -rank || axis >= rank)
		return UNKNOWN;
	return axis < 0 ? axis + rank : axis;
}

/* Raises 54000: what it has more of than so many. */
pg_noreturn extern void graph_too_large(int most, const char *what);

/* Raises 22023: shapes do not fit at a node; the rest of a sentence. */
pg_noreturn extern void graph_misfit(const Graph *graph, int node,
									 const char *problem);

/* The node is not understood: nothing that it takes or makes can go. */
extern void graph_doubt(Graph *graph, int node);

/* graph_read.c */
extern void graph_set_rank(Graph *graph, GraphValue *value, int rank);

/* Says what shape an output has; raises when it is known otherwise. */
extern void graph_set_shape(Graph *graph, int node, int output, int rank,
							const int64 *dims);

/* The same for one size, which becomes known of both or is checked. */
extern void graph_set_dim(Graph *graph, int node, int value, int axis,
						  int64 size);
extern void graph_same_dim(Graph *graph, int node, int a, int axis_a, int b,
						   int axis_b);

/* The first place of an axis; initializers get theirs when somebody asks.
 * UNKNOWN when there is none. */
extern int	graph_places(Graph *graph, int value, int axis);

/* Gives an axis of known size places. */
extern void graph_make_places(Graph *graph, int value, int axis);

/*
 * Joins n places of two axes, from a start on, where both have places; those
 * of one are fixed when the other has none.  Sizes are the caller's to check.
 */
extern void graph_join(Graph *graph, int node, int a, int axis_a, int64 start_a,
					   int b, int axis_b, int64 start_b, int64 n);

/* Gives an axis of an output places if an input's has some: before more than
 * one input is derived from, lest the first ones be forgotten. */
extern void graph_offer(Graph *graph, int input, int axis_in, int output,
						int axis_out);

/*
 * So many places of an output's axis are those of an input's, each from a
 * start on: it gets places if the input has some.  Or all of the axis, which
 * has the same size.
 */
extern void graph_derive(Graph *graph, int node, int input, int axis_in,
						 int64 start_in, int output, int axis_out,
						 int64 start_out, int64 n);
extern void graph_derive_axis(Graph *graph, int node, int input, int axis_in,
							  int output, int axis_out);

/* The same for n pairs of places, i / in_per of the input and i / out_per of
 * the output, each from a start on. */
extern void graph_derive_blocks(Graph *graph, int node, int input,
								int axis_in, int64 start_in, int in_per,
								int output, int axis_out, int64 start_out,
								int out_per, int64 n);

/* Says that an axis stays, or that other places have a say in what comes out
 * for those of it. */
extern void graph_pin(Graph *graph, int value, int axis, PinKind kind,
					  int node);
extern void graph_mix(Graph *graph, int value, int axis);

/* The size of an axis is an integer of a value. */
extern void graph_copy_size(Graph *graph, int ints, int index, int value,
							int axis);

/* Pins both axes of each pair of these that do not have the same places. */
extern void graph_pin_copies(Graph *graph);

/* Numbers that have to follow from how many of n places are left: an integer
 * of a value, or of an attribute. */
extern void graph_follow_integer(Graph *graph, int ints, int index, int value,
								 int axis, int64 start, int64 n);
extern void graph_follow_attribute(Graph *graph, int node,
								   const char *attribute, int index,
								   int value, int axis, int64 start, int64 n);

extern GraphProduct *graph_add_product(Graph *graph, int node);

/*
 * Notes a product y = x w, where w's axes are of the value that the node takes.
 * All places have been joined by then.  When w is no weight, all that is known
 * is that each output depends on all inputs.  (operators_linear.c)
 */
extern void graph_note_product(Graph *graph, int node, int x, int x_axis, int w,
							   int in_axis, int out_axis, int y, int y_axis,
							   int groups, int bias);

/* ---------- integers (graph_ints.c) ---------- */

/* Finds what integers a node makes. */
extern void graph_find_ints(Graph *graph, int node);

/* What is known of a value's integers; NULL when not all of them are. */
extern const GraphInts *graph_known_ints(Graph *graph, int value);

/* The same, also when only some are known. */
extern const GraphInts *graph_some_ints(Graph *graph, int value);

/* ---------- families of operators ---------- */

extern void apply_elementwise(Graph *graph, int node);
extern void apply_instance_norm(Graph *graph, int node);
extern void apply_local_norm(Graph *graph, int node);
extern void apply_batch_norm(Graph *graph, int node);
extern void apply_layer_norm(Graph *graph, int node);
extern void apply_group_norm(Graph *graph, int node);
extern void apply_softmax(Graph *graph, int node);
extern void apply_reduce(Graph *graph, int node);
extern void apply_arg(Graph *graph, int node);
extern void apply_quantize(Graph *graph, int node);
extern void apply_constant(Graph *graph, int node);
extern void apply_nothing(Graph *graph, int node);

extern void apply_gemm(Graph *graph, int node);
extern void apply_matmul(Graph *graph, int node);
extern void apply_conv(Graph *graph, int node);
extern void apply_conv_transpose(Graph *graph, int node);
extern void apply_pool(Graph *graph, int node);
extern void apply_global_pool(Graph *graph, int node);
extern void apply_gather(Graph *graph, int node);

extern void apply_reshape(Graph *graph, int node);
extern void apply_flatten(Graph *graph, int node);
extern void apply_transpose(Graph *graph, int node);
extern void apply_squeeze(Graph *graph, int node);
extern void apply_unsqueeze(Graph *graph, int node);
extern void apply_concat(Graph *graph, int node);
extern void apply_split(Graph *graph, int node);
extern void apply_slice(Graph *graph, int node);
extern void apply_expand(Graph *graph, int node);
extern void apply_shape(Graph *graph, int node);
extern void apply_size(Graph *graph, int node);
extern void apply_pad(Graph *graph, int node);

#endif							/* MODELOPT_OPERATORS_H */
