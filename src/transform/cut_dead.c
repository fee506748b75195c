/*
 * cut_dead.c
 *		Nodes that cannot change any output.
 *
 * Two things make a node dead: all weights that read it are zero (or those of
 * them that are not are of dead nodes), or what it computes is always zero.  Both
 * follow from weights that are zero, as long as what flows is finite.  Zeros
 * are followed forward through the graph, place by place; then nodes that an
 * output can hear of are followed back, unit by unit.
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"
#include "transform/cut.h"
#include "transform/prune.h"

/*
 * Which weights are not zero, for each output and input.  Products that take
 * the same payload in the same way share the bits.
 */
typedef struct Connections
{
	Payload    *payload;
	int64		nout;
	int64		nin;
	int64		out_run;		/* elements from an output to the next one */
	int64		in_run;
	uint8	   *bits;			/* NULL when nothing is known, and any may be */
} Connections;

/*
 * Bytes of all of them at most: as many as there are parameters, and some for
 * a small model.  A weight needs an eighth of that for each way it is taken.
 */
#define BITS_ALLOWANCE	(64 * 1024)

typedef struct Search
{
	CutPlan    *plan;
	Connections **connections;	/* of each product */
	bool	   *is_zero;		/* places that are always zero */
	bool	   *is_live;		/* units that an output can hear of */
} Search;

static inline bool
is_connected(const Connections *c, int64 out, int64 in)
{
	int64		at = out * c->nin + in;

	return c->bits == NULL || (c->bits[at / 8] >> (at % 8)) & 1;
}

/* ---------- weights ---------- */

static int64
run_of(const GraphValue *value, int axis)
{
	int64		run = 1;

	for (int i = axis + 1; i < value->rank; i++)
		run *= value->dims[i];
	return run;
}

/* Calls back for each element that is not zero. */
typedef void (*VisitElement) (int64 index, void *arg);

static void
visit_nonzero(Payload *payload, VisitElement visit, void *arg)
{
	double	   *x = palloc(PRUNE_BLOCK * sizeof(double));
	PruneReader reader;
	const void *elements;
	int64		first;
	int64		n;

	prune_reader_init(&reader, payload);
	while ((n = prune_reader_next(&reader, &elements, &first)) > 0)
	{
		dtype_to_double(payload->dtype, elements, 0, n, x);
		for (int64 i = 0; i < n; i++)
		{
			if (x[i] != 0)		/* NaN is not */
				visit(first + i, arg);
		}
	}
	pfree(x);
}

static void
visit_pair(int64 index, void *arg)
{
	Connections *c = arg;
	int64		at = index / c->out_run % c->nout * c->nin +
		index / c->in_run % c->nin;

	c->bits[at / 8] |= 1 << (at % 8);
}

static Payload *
payload_of(const Search *search, const GraphValue *value)
{
	const Model *model = search->plan->model;

	return tensor_payload(model, &model->tensors[value->tensor]);
}

/* How a product takes its weight, which the bits follow from. */
static Connections
describe(const Search *search, const GraphProduct *product)
{
	const GraphValue *weight = &search->plan->graph->values[product->weight];
	Connections c = {0};

	if (!product->is_lookup && !product->is_shifted)
		c.payload = payload_of(search, weight);
	c.nout = weight->dims[product->out_axis];
	c.nin = weight->dims[product->in_axis];
	c.out_run = run_of(weight, product->out_axis);
	c.in_run = run_of(weight, product->in_axis);
	return c;
}

static int
compare_connections(const void *a, const void *b)
{
	/* There are no gaps between the members. */
	return memcmp(*(Connections *const *) a, *(Connections *const *) b,
				  offsetof(Connections, bits));
}

static void
find_bits(Connections *c, int64 *allowed)
{
	int64		bytes = c->nout * c->nin / 8 + 1;

	if (c->payload == NULL || c->payload->count == 0)
		return;
	*allowed -= bytes;
	if (*allowed < 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("graph of the model takes its weights in too many ways"),
				 errdetail("Dead nodes are found with a bit for each pair of an output and an input of a weight, and these have more bytes than the model has parameters.")));
	c->bits = palloc_extended(bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	visit_nonzero(c->payload, visit_pair, c);
}

static void
find_connections(Search *search)
{
	const Graph *graph = search->plan->graph;
	int			n = graph->nproducts;
	int64		allowed = model_parameters(graph->model) + BITS_ALLOWANCE;
	Connections *all = palloc_extended(Max(n, 1) * sizeof(Connections),
									   MCXT_ALLOC_HUGE);
	Connections **sorted = palloc_extended(Max(n, 1) * sizeof(Connections *),
										   MCXT_ALLOC_HUGE);
	Connections *first = NULL;

	search->connections = palloc_extended(Max(n, 1) * sizeof(Connections *),
										  MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		all[i] = describe(search, &graph->products[i]);
		sorted[i] = &all[i];
	}
	qsort(sorted, n, sizeof(Connections *), compare_connections);
	for (int i = 0; i < n; i++)
	{
		if (first == NULL || compare_connections(&first, &sorted[i]) != 0)
		{
			first = sorted[i];
			find_bits(first, &allowed);
		}
		search->connections[sorted[i] - all] = first;
	}
	pfree(sorted);
}

/* ---------- zeros ---------- */

typedef struct Slices
{
	bool	   *is_zero;
	int64		n;
	int64		run;
} Slices;

static void
visit_slice(int64 index, void *arg)
{
	Slices	   *slices = arg;

	slices->is_zero[index / slices->run % slices->n] = false;
}

/* Vectors, such as biases, and what is one but for sizes of 1. */
static void
find_zero_vector(Search *search, const GraphValue *value)
{
	for (int axis = 0; axis < value->rank; axis++)
	{
		Slices		slices = {NULL, value->dims[axis], run_of(value, axis)};
		int			first = value->places[axis];

		if (first == UNKNOWN ||
			payload_of(search, value)->count != value->dims[axis])
			continue;
		slices.is_zero = search->is_zero + first;
		memset(slices.is_zero, true, slices.n);
		visit_nonzero(payload_of(search, value), visit_slice, &slices);
	}
}

/* Whether nothing is added to an output of a product. */
static bool
has_no_bias(const Search *search, const GraphProduct *product, int64 out)
{
	const GraphValue *bias;
	int			last;

	if (product->bias < 0)
		return true;
	bias = &search->plan->graph->values[product->bias];
	last = bias->rank - 1;
	if (bias->tensor < 0 || last < 0 || bias->places[last] == UNKNOWN ||
		bias->dims[last] != product->ny)
		return false;
	return search->is_zero[bias->places[last] + out];
}

static void
find_zero_product(Search *search, int index)
{
	const GraphProduct *product = &search->plan->graph->products[index];
	const Connections *c = search->connections[index];

	if (product->y == UNKNOWN || c->bits == NULL || c->nout != product->ny)
		return;
	for (int64 out = 0; out < product->ny; out++)
	{
		int64		group = out / (product->ny / product->groups);
		bool		is_zero = has_no_bias(search, product, out);

		CHECK_FOR_INTERRUPTS();
		for (int64 in = 0; in < c->nin && is_zero; in++)
			is_zero = !is_connected(c, out, in) ||
				(product->x != UNKNOWN &&
				 search->is_zero[product->x + group * c->nin + in]);
		search->is_zero[product->y + out] = is_zero;
	}
}

/* Whether an output of the run is made of all inputs, and not of one of them: of
 * a part of an axis that is put together only one input has a say. */
static bool
is_of_all(const Search *search, const GraphRun *run, const GraphNode *node)
{
	const GraphValue *y = &search->plan->graph->values[node->outputs[0]];

	if (node->op->apply == apply_elementwise)
		return true;
	for (int axis = 0; axis < y->rank && node->op->apply == apply_concat; axis++)
	{
		if (y->places[axis] == run->to && y->dims[axis] == run->n)
			return true;
	}
	return false;
}

/* An input without places along the axis is some number. */
static void
take_back_zeros(Search *search, int first_run, int end, const GraphNode *node,
				int ninputs)
{
	const GraphRun *runs = search->plan->graph->runs;

	for (int i = first_run; i < end; i++)
	{
		int			same = 0;

		CHECK_FOR_INTERRUPTS();
		if (!is_of_all(search, &runs[i], node))
			continue;
		for (int j = first_run; j < end; j++)
			same += runs[j].to == runs[i].to;
		if (same == ninputs)
			continue;
		for (int j = 0; j < runs[i].n; j++)
			search->is_zero[runs[i].to + j / runs[i].to_per] = false;
	}
}

/* Pairs of places that a run has for one of its outputs are told apart only by
 * how many there are, so the outputs are set first and then taken back. */
static void
find_zero_runs(Search *search, int first_run, int end, const GraphNode *node)
{
	const GraphRun *runs = search->plan->graph->runs;
	GraphZero	zero = node->op->zero;
	int			ninputs = 0;

	if (zero == ZERO_NEVER)
		return;
	for (int i = 0; i < node->ninputs; i++)
		ninputs += node->inputs[i] >= 0;
	for (int i = first_run; i < end; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < runs[i].n; j++)
			search->is_zero[runs[i].to + j / runs[i].to_per] = zero == ZERO_ALL;
	}
	for (int i = first_run; i < end; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < runs[i].n; j++)
		{
			bool		from = search->is_zero[runs[i].from + j / runs[i].from_per];
			bool	   *to = &search->is_zero[runs[i].to + j / runs[i].to_per];

			*to = zero == ZERO_ALL ? *to && from : *to || from;
		}
	}
	if (zero == ZERO_ALL && ninputs > 1)
		take_back_zeros(search, first_run, end, node, ninputs);
}

static void
find_zeros(Search *search)
{
	const Graph *graph = search->plan->graph;
	int			run = 0;
	int			product = 0;

	for (int i = 0; i < graph->nvalues; i++)
	{
		if (graph->values[i].tensor >= 0)
			find_zero_vector(search, &graph->values[i]);
	}
	/* Runs and products are in the order of their nodes. */
	for (int i = 0; i < graph->nnodes; i++)
	{
		int			first = run;

		CHECK_FOR_INTERRUPTS();
		while (run < graph->nruns && graph->runs[run].node == i)
			run++;
		if (run > first)
			find_zero_runs(search, first, run, &graph->nodes[i]);
		for (; product < graph->nproducts && graph->products[product].node == i;
			 product++)
			find_zero_product(search, product);
	}
}

/* ---------- what is heard of ---------- */

/* Marks the inputs that an output takes; true when one is new. */
static bool
mark_inputs(Search *search, int index, int64 out)
{
	Graph	   *graph = search->plan->graph;
	const GraphProduct *product = &graph->products[index];
	const Connections *c = search->connections[index];
	int64		group = out / (product->ny / product->groups);
	bool		changed = false;

	for (int64 in = 0; in < c->nin; in++)
	{
		int			place = product->x + group * c->nin + in;
		int			unit = graph_unit(graph, place);

		if (search->is_live[unit] || search->is_zero[place] ||
			!is_connected(c, out, in))
			continue;
		search->is_live[unit] = true;
		changed = true;
	}
	return changed;
}

static bool
mark_product(Search *search, int index)
{
	Graph	   *graph = search->plan->graph;
	const GraphProduct *product = &graph->products[index];
	bool		changed = false;

	if (product->x == UNKNOWN)
		return false;
	for (int64 out = 0; out < product->ny; out++)
	{
		CHECK_FOR_INTERRUPTS();
		if (product->y == UNKNOWN ||
			search->is_live[graph_unit(graph, product->y + out)])
			changed |= mark_inputs(search, index, out);
	}
	return changed;
}

static void
find_live(Search *search)
{
	Graph	   *graph = search->plan->graph;
	bool		changed = true;

	for (int i = 0; i < graph->nplaces; i++)
	{
		int			unit = graph_unit(graph, i);

		if (graph->pin[unit] != PIN_NONE || graph->is_mixed[unit])
			search->is_live[unit] = true;
	}
	/* Backward, once and once more to see that it is all: a unit that comes
	 * again further on, as in a residual stream, takes another round. */
	while (changed)
	{
		changed = false;
		for (int i = graph->nproducts; i-- > 0;)
			changed |= mark_product(search, i);
	}
}

/* ---------- what goes ---------- */

int64
cut_find_dead(CutPlan *plan)
{
	static const Patterns all = {.verb = "cut nodes of"};
	Graph	   *graph = plan->graph;
	int			nplaces = Max(graph->nplaces, 1);
	Search		search = {plan};
	int64		ncut = 0;

	search.is_zero = palloc_extended(nplaces, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	search.is_live = palloc_extended(nplaces, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	find_connections(&search);
	find_zeros(&search);
	find_live(&search);

	cut_plan_choose(plan, &all);
	for (int i = 0; i < plan->ngroups; i++)
	{
		CutGroup   *group = &plan->groups[i];

		for (int j = 0; j < group->nunits && group->ncut < group->nunits - 1; j++)
		{
			if (search.is_live[group->units[j]])
				continue;
			plan->is_cut[group->units[j]] = true;
			group->ncut++;
		}
		ncut += group->ncut;
	}
	return ncut - cut_keep_some(plan);
}
