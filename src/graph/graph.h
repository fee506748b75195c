/*
 * graph.h
 *		Layers of a model and who feeds whom.
 *
 * The face of src/graph.  A model's graph is an ONNX ModelProto without the
 * elements of its initializers, which are the model's tensors.
 */
#ifndef MODELOPT_GRAPH_H
#define MODELOPT_GRAPH_H

#include "compat.h"

#include "model/model.h"
#include "onnx/onnx.h"

/* ---------- a graph in memory (graph_read.c) ---------- */

/* An element of a tensor of integers that stands in the graph as it is: of a
 * Constant's output, or of an initializer. */
typedef struct GraphLiteral
{
	int			value;			/* -1 when it stands nowhere */
	int			index;
} GraphLiteral;

/* The axis whose size an integer is, or is computed from. */
typedef struct GraphOrigin
{
	int			value;			/* -1 when there is none */
	int			axis;
	bool		is_computed;	/* and is not the size itself */
} GraphOrigin;

/* Integers that a value has, as far as they are known: shapes and the like. */
typedef struct GraphInts
{
	int			n;
	int64	   *values;
	bool	   *known;			/* else the value may be a name, as in dims */
	GraphLiteral *literals;		/* where they stand */
	GraphOrigin *origins;
	bool		is_wide;		/* i64, and not i32 */
} GraphInts;

/* A number of a dimension, a place or a node that is not known. */
#define UNKNOWN		(-1)

typedef struct GraphValue
{
	OnnxBytes	name;
	int			producer;		/* node, or -1 */
	int			tensor;			/* of the model, whose elements it has, or -1 */
	bool		is_input;		/* of the graph */
	bool		is_output;
	bool		is_captured;	/* a graph in a node uses it */
	bool		is_constant;	/* no input of the graph has a say in it */
	int			rank;			/* or UNKNOWN */
	int64	   *dims;			/* negative when not known: UNKNOWN, or a number
								 * below it that names the size */
	GraphInts  *ints;			/* NULL when none are known */
	int		   *places;			/* first one of each axis, or UNKNOWN; see below */
	int			doubt;			/* a node whose effect on it is not known, or -1 */

	/* what is to become of it, for graph_write */
	bool		is_removed;
	int			replacement;	/* the value that is used instead, or -1 */
	const char *new_name;		/* or NULL */
	const int64 *new_dims;		/* or NULL */
	const int64 *new_ints;		/* of a Constant or an initializer, or NULL */
} GraphValue;

typedef struct GraphAttribute
{
	const char *name;
	int			index;
	int64		value;
} GraphAttribute;

typedef struct GraphNode
{
	OnnxBytes	message;
	OnnxBytes	name;
	OnnxBytes	op_type;
	bool		is_standard;	/* an operator of ONNX itself */
	const struct GraphOperator *op; /* NULL when we do not know it */
	int			ninputs;
	int		   *inputs;			/* values; -1 for one that is left out */
	int			noutputs;
	int		   *outputs;
	bool		has_graphs;		/* in its attributes */
	int			choice;			/* among axes that a Reshape splits one into, the
								 * one whose places can go */
	int			chosen;			/* its number, or UNKNOWN */
	bool		has_more;		/* there are others to try */

	bool		is_removed;		/* for graph_write */
	int			nchanges;
	GraphAttribute *changes;	/* integers in attributes that become others */
} GraphNode;

/* Pairs of places: i / per of each, for i below n. */
typedef struct GraphRun
{
	int			node;
	int			from;			/* the first place of the input */
	int			from_per;
	int			to;				/* and of the output */
	int			to_per;
	int			n;
} GraphRun;

/*
 * A sum over inputs times weights: y[o] = sum of w[o][i] x[i], with o and i
 * counted in each of the groups, if there are any.
 */
typedef struct GraphProduct
{
	int			node;
	int			weight;			/* value; an initializer with a tensor */
	int			out_axis;		/* of the tensor */
	int			in_axis;
	int			groups;
	int			x;				/* first place of the input's axis, or UNKNOWN */
	int			y;				/* and of the output's */
	int64		nx;
	int64		ny;
	int			bias;			/* value, or -1 */
	bool		is_lookup;		/* an embedding: in_axis is chosen from */
	int			coded_by;		/* the DequantizeLinear whose codes the weight's
								 * elements are, or -1 */
	bool		is_shifted;		/* and a code of 0 may stand for another number */
} GraphProduct;

/* A number in the graph that is one of places: so many of n are left. */
typedef struct GraphPatch
{
	GraphLiteral literal;		/* what is to be changed, if the number stands in
								 * the graph and does not follow by itself */
	int			value;			/* that has the number, or -1 */
	int			node;			/* or else an attribute of a node */
	const char *attribute;
	int			index;			/* in the value or the attribute */
	int			first;			/* place, or UNKNOWN when n stays */
	int64		n;
} GraphPatch;

/* An axis whose size is the size of another one: their places have to be the
 * same, or none of both can go. */
typedef struct GraphCopy
{
	GraphOrigin origin;
	int			value;
	int			axis;
} GraphCopy;

typedef enum PinKind
{
	PIN_NONE,
	PIN_OUTPUT,					/* the model's output */
	PIN_FIXED,					/* what the graph fixes: an input, a shape */
	PIN_DOUBT,					/* an operator whose effect is not known */
} PinKind;

typedef struct Graph
{
	MemoryContext memory;		/* that all of it is in */
	const Model *model;
	OnnxBytes	message;		/* ModelProto, checked */
	int64		opset;
	int			nvalues;
	GraphValue *values;			/* sorted by name */
	int			nnames;			/* of sizes that the inputs have */
	OnnxBytes  *names;
	int			nnodes;
	GraphNode  *nodes;			/* in the order in which they compute */

	/* what values' integers are in, since the last walk over the nodes */
	MemoryContext ints_memory;
	int64		nints;

	/* places, once graph_analyze has been called */
	int			nplaces;
	int			places_allocated;
	int		   *parent;			/* of a forest that joins them */
	uint8	   *pin;			/* PinKind of a root */
	int		   *pin_node;		/* of PIN_DOUBT */
	bool	   *is_mixed;		/* of a root: other places have a say in what
								 * comes out for it */
	int			nruns;
	int			runs_allocated;
	GraphRun   *runs;
	int			nproducts;
	int			products_allocated;
	GraphProduct *products;
	int			npatches;
	int			patches_allocated;
	GraphPatch *patches;
	int			ncopies;
	int			copies_allocated;
	GraphCopy  *copies;
} Graph;

/*
 * The graph of a model in the current context, or NULL when it has none.
 * Raises 22P03 for a damaged one, and 22023 when the model's tensors are not
 * those of its graph.  What it points to, belongs to the model.
 */
extern Graph *graph_read(const Model *model);

/* The value of that name, or -1. */
extern int	graph_find(const Graph *graph, OnnxBytes name);

/* Attributes of a node.  Of integers *n says how many there are, or UNKNOWN for
 * so many that they are not read; NULL when there are none to be had. */
extern int64 graph_attribute_integer(const GraphNode *node, const char *name,
									 int64 otherwise);
extern int64 *graph_attribute_integers(const GraphNode *node,
									   const char *name, int *n);
extern OnnxBytes graph_attribute(const GraphNode *node, const char *name);

/* For errors: the node's name and operator, the value's name. */
extern const char *graph_node_title(const Graph *graph, int node);
extern const char *graph_value_title(const Graph *graph, int value);

/* ---------- places (graph_places.c, graph_walk.c, operators*.c) ---------- */

/*
 * A place is an index along an axis of a value: a neuron, a channel, or the
 * row of a weight that makes it.  Places that can only go together are joined;
 * what is joined is a unit.  Not all axes have places: those of which nothing
 * can go, like the batch or a picture's height, have none.
 *
 * graph_analyze goes through the nodes once, finds the shapes of all values,
 * makes places, joins them and pins those that cannot go.  Raises 22023 when
 * shapes do not fit, with the node.
 */
extern void graph_analyze(Graph *graph);

/* The place that stands for all that are joined with it. */
extern int	graph_unit(Graph *graph, int place);

/* ---------- layers (graph_layers.c) ---------- */

/* The layers of a model: by its graph where it has one, else by names. */
extern struct ModelLayer *graph_layers(const Model *model, int *nlayers);

/* Nodes that the layers of a model make: by its graph, or by the weights of
 * layers that are known by their names. */
extern int64 graph_count_nodes(const Model *model, bool by_graph);

/* The layer of each tensor of the graph's model, by name. */
extern const char **graph_layer_names(const Graph *graph);

/* ---------- changes (graph_write.c) ---------- */

/* The ModelProto with what the graph's values and nodes say of changes. */
extern OnnxBytes graph_write(const Graph *graph);

/* The ModelProto with another graph: the fields that put writes of the one that
 * it is given.  What comes out is checked. */
typedef void (*GraphPut) (StringInfo out, const Graph *graph, OnnxBytes message,
						  const void *argument);

extern OnnxBytes graph_rewrite(const Graph *graph, GraphPut put, const void *argument);

/* The value that is used instead of one, if it has been replaced. */
extern int	graph_final(const Graph *graph, int value);

/* ---------- what is multiplied (graph_observe.c) ---------- */

/* A value that goes into a MatMul, Gemm or Conv, and is computed from inputs. */
typedef struct GraphFeed
{
	int			value;
	int			weight;			/* tensor of the model that it is multiplied with,
								 * if it is known which of its features with
								 * which, or -1 */
	int			axis;			/* of features; -1 for the last one */
	int64		groups;			/* of features that have weights of their own */
} GraphFeed;

/* All of them, in the current context. */
extern GraphFeed *graph_feeds(const Graph *graph, int *n);

/* The ModelProto with values as further outputs, which they may not be yet. */
extern OnnxBytes graph_with_outputs(const Graph *graph, const int *values,
									int n);

/* ---------- a graph from a short text ---------- */

/* Steps, each an operator on what the one before it made; architecture.h has
 * the grammar.  All strings are UTF-8. */
typedef struct Architecture Architecture;

extern Architecture *architecture_create(void);

/* Adds the steps of a text.  Raises 22023 and 54000. */
extern void architecture_read(Architecture *architecture, const char *string);

/* Adds a step; name is NULL when it has none.  Then its options, the name being
 * NULL for the one that needs none.  Raise 22023 and 54000. */
extern struct Step *architecture_add(Architecture *architecture,
									 const char *name, const char *op);
extern void step_set(struct Step *step, const char *name, const char *value);

/*
 * The ModelProto of an architecture for a model's tensors, as PyTorch names
 * them and lays them out.  *used says for each tensor whether a step computes
 * with it.  Raises 22023 for what does not fit, and 42704 for a tensor that is
 * not there.
 */
extern OnnxBytes architecture_build(const Model *model,
									const Architecture *architecture,
									const bool **used);

#endif							/* MODELOPT_GRAPH_H */
