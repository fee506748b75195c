/*
 * architecture.h
 *		What the files share that make a graph of a short text.
 *
 * Private to src/graph.  A text is a list of steps, each an operator on what
 * the one before it made:
 *
 *		step      = [name ":"] operator ["(" argument {"," argument} ")"]
 *		argument  = [option "="] value
 *
 * The name of a step is the prefix of its tensors ("layer1" of layer1.weight),
 * and what later steps call its output by.  architecture_text.c reads the text,
 * architecture_ops.c knows the operators, architecture.c puts a ModelProto
 * together.
 */
#ifndef MODELOPT_ARCHITECTURE_H
#define MODELOPT_ARCHITECTURE_H

#include "graph/graph.h"

#define ARCHITECTURE_MAX_STEPS	4096
#define ARCHITECTURE_MAX_TEXT	(1024 * 1024)	/* bytes */
#define STEP_MAX_INTS			8	/* of an option */
#define STEP_MAX_FROM			64

/* What a step may be told, bits of StepOperator.options. */
typedef enum StepOption
{
	STEP_FROM = 1 << 0,			/* names of the steps whose outputs it takes */
	STEP_SHAPE = 1 << 1,
	STEP_KERNEL = 1 << 2,
	STEP_STRIDE = 1 << 3,
	STEP_PADDING = 1 << 4,
	STEP_DILATION = 1 << 5,
	STEP_GROUPS = 1 << 6,
	STEP_HEADS = 1 << 7,
	STEP_EPS = 1 << 8,
	STEP_ALPHA = 1 << 9,
	STEP_AXIS = 1 << 10,
} StepOption;

typedef struct StepInts
{
	int			n;
	int64		values[STEP_MAX_INTS];	/* -1 for one that is not known */
} StepInts;

struct Builder;
struct Step;

typedef struct StepOperator
{
	const char *name;
	uint32		options;		/* that it takes */
	uint32		main;			/* the one that comes without its name, or 0 */
	int			nfrom;			/* inputs at most */
	int			rank;			/* of the model's input when it comes first; 0 if
								 * the next step is to say */
	const char *onnx;			/* what it is in ONNX, when one node does it */
	void		(*build) (struct Builder *builder, const struct Step *step);
} StepOperator;

/* Strings are UTF-8. */
typedef struct Step
{
	const StepOperator *op;
	const char *name;			/* NULL when it has none */
	int			position;		/* from 1 on */
	uint32		given;			/* options */
	int			nfrom;
	const char *from[STEP_MAX_FROM];
	StepInts	shape;
	StepInts	kernel;
	StepInts	stride;
	StepInts	padding;
	StepInts	dilation;
	bool		same_padding;
	int64		groups;
	int64		heads;
	int64		axis;
	double		eps;
	double		alpha;
} Step;

struct Architecture
{
	int			nsteps;
	int			allocated;
	Step	  **steps;
};

/* The operator of that name, or NULL; for hints, what somebody calls so who
 * comes from elsewhere, and all of them. */
extern const StepOperator *step_operator(const char *name);
extern const StepOperator *step_operator_like(const char *name);
extern const char *step_operator_names(void);

/* Raises 22023: what is wrong with a step, the rest of a sentence; and what to
 * do about it. */
pg_noreturn extern void step_fail(const Step *step, const char *problem);
pg_noreturn extern void step_fail_hint(const Step *step, const char *problem,
									   const char *hint);

/* ---------- building (architecture.c) ---------- */

/* A value of the graph that is being made. */
typedef struct BuiltValue
{
	const char *name;
	int			rank;
	int64		dims[MODEL_MAX_DIMS];	/* -1 for one that is not known */
} BuiltValue;

typedef struct Builder
{
	const Model *model;
	const Architecture *architecture;
	const char **titles;		/* of the steps: no two are the same */
	const Tensor **sorted;		/* the model's tensors by name */
	bool	   *used;			/* by a step; indexed as the model's tensors */
	int			elem_type;		/* of the values, ONNX's number */
	DType		dtype;
	const char *dtype_of;		/* the tensor that says so, or NULL */
	bool		takes_tokens;	/* the model's input is integers */
	int			nnodes;
	int			nodes_allocated;
	struct BuiltNode *nodes;
	int			nstep_nodes;	/* of the step that is being built */
	BuiltValue	input;
	BuiltValue	current;		/* what the step takes, and then what it made */
	BuiltValue *made;			/* by each step so far */
	int			nmade;
} Builder;

/* A tensor of the step's layer; NULL when it is optional and not there. */
extern const Tensor *builder_tensor(Builder *builder, const Step *step,
									const char *leaf, bool optional);

/* Raises 22023 unless the tensor, or the current value, has so many
 * dimensions. */
extern void builder_check_tensor(const Step *step, const Tensor *tensor,
								 int rank);
extern void builder_check_rank(const Builder *builder, const Step *step,
							   int rank);

/* Raises when the current value does not have so many along an axis, or takes
 * that as known. */
extern void builder_expect(Builder *builder, const Step *step, int axis,
						   int64 size);

/* The output of an earlier step. */
extern const BuiltValue *builder_value(Builder *builder, const Step *step,
									   const char *name);

/*
 * Adds a node; the names of its inputs end with NULL, and attributes are
 * fields of a NodeProto, or NULL.  Returns the name of its output.
 */
extern const char *builder_node(Builder *builder, const Step *step,
								const char *op_type,
								const char *const *inputs,
								const StringInfoData *attributes);

/* The same with more outputs; names are put into outputs. */
extern void builder_node_many(Builder *builder, const Step *step,
							  const char *op_type, const char *const *inputs,
							  const StringInfoData *attributes, int noutputs,
							  const char **outputs);

/* Constants: a number of the values' type, and integers in one dimension. */
extern const char *builder_number(Builder *builder, const Step *step,
								  double value);
extern const char *builder_integers(Builder *builder, const Step *step, int n,
									const int64 *values);

#endif							/* MODELOPT_ARCHITECTURE_H */
