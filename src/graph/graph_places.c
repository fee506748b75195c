/*
 * graph_places.c
 *		Places, and how they are joined.
 *
 * Joined places are trees in an array (union by the lower number, paths halved
 * on the way), so a unit is known by its root.
 */
#include "postgres.h"

#include "graph/operators.h"
#include "miscadmin.h"

void
graph_misfit(const Graph *graph, int node, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("shapes in the model's graph do not fit"),
			 errdetail("Node %s %s.", graph_node_title(graph, node), problem)));
	pg_unreachable();
}

void
graph_too_large(int most, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("graph of the model is too large"),
			 errdetail("It has more than %d %s.", most, what)));
	pg_unreachable();
}

/* Room for one more entry of an array, of which there are n. */
static void *
grow(Graph *graph, void *array, int n, int *allocated, size_t size)
{
	if (n < *allocated)
		return array;
	if (n >= GRAPH_MAX_ENTRIES)
		graph_too_large(GRAPH_MAX_ENTRIES, "relations between axes");
	*allocated = Max(64, 2 * n);
	if (array != NULL)
		return repalloc_huge(array, *allocated * size);
	return MemoryContextAlloc(graph->memory, *allocated * size);
}

/* ---------- shapes ---------- */

void
graph_set_dim(Graph *graph, int node, int value, int axis, int64 size)
{
	int64	   *dim = &graph->values[value].dims[axis];

	/* A name is better than nothing, and a number than a name. */
	if (*dim == UNKNOWN || (*dim < 0 && size >= 0))
		*dim = size;
	else if (*dim >= 0 && size >= 0 && *dim != size)
		graph_misfit(graph, node,
					 psprintf("has \"%s\" of size " INT64_FORMAT " along axis %d, and not " INT64_FORMAT,
							  graph_value_title(graph, value), *dim, axis,
							  size));
}

void
graph_same_dim(Graph *graph, int node, int a, int axis_a, int b, int axis_b)
{
	graph_set_dim(graph, node, a, axis_a, graph->values[b].dims[axis_b]);
	graph_set_dim(graph, node, b, axis_b, graph->values[a].dims[axis_a]);
}

void
graph_set_shape(Graph *graph, int node, int output, int rank,
				const int64 *dims)
{
	GraphValue *value;

	if (output < 0)
		return;
	value = &graph->values[output];
	if (rank > MODEL_MAX_DIMS)
		graph_misfit(graph, node, psprintf("makes %d dimensions", rank));
	if (value->rank == UNKNOWN)
		graph_set_rank(graph, value, rank);
	else if (value->rank != rank)
		graph_misfit(graph, node,
					 psprintf("makes %d dimensions, and \"%s\" has %d", rank,
							  graph_value_title(graph, output), value->rank));
	for (int i = 0; i < rank; i++)
		graph_set_dim(graph, node, output, i, dims[i]);
}

/* ---------- places ---------- */

int
graph_unit(Graph *graph, int place)
{
	int		   *parent = graph->parent;

	while (parent[place] != place)
	{
		parent[place] = parent[parent[place]];
		place = parent[place];
	}
	return place;
}

/* Sizes are only claimed, but for those of weights: a small model has no need
 * of many places. */
static int64
most_places(const Graph *graph)
{
	return Min(GRAPH_MAX_PLACES, GRAPH_FREE_PLACES + model_parameters(graph->model));
}

static void
grow_places(Graph *graph, int64 needed)
{
	int64		allocated = graph->places_allocated;

	if (needed <= allocated)
		return;
	if (needed > most_places(graph))
		graph_too_large(most_places(graph), "places along all axes");
	if (allocated == 0)
	{
		allocated = Max(needed, 1024);
		graph->parent = MemoryContextAlloc(graph->memory, allocated * sizeof(int));
		graph->pin = MemoryContextAlloc(graph->memory, allocated);
		graph->pin_node = MemoryContextAlloc(graph->memory, allocated * sizeof(int));
		graph->is_mixed = MemoryContextAlloc(graph->memory, allocated);
	}
	else
	{
		allocated = Max(needed, 2 * allocated);
		graph->parent = repalloc_huge(graph->parent, allocated * sizeof(int));
		graph->pin = repalloc_huge(graph->pin, allocated);
		graph->pin_node = repalloc_huge(graph->pin_node, allocated * sizeof(int));
		graph->is_mixed = repalloc_huge(graph->is_mixed, allocated);
	}
	graph->places_allocated = allocated;
}

void
graph_make_places(Graph *graph, int value, int axis)
{
	GraphValue *v = &graph->values[value];
	int64		n = v->dims[axis];

	if (v->places[axis] != UNKNOWN || n < 0)
		return;
	grow_places(graph, n > GRAPH_MAX_PLACES ? n : graph->nplaces + n);
	v->places[axis] = graph->nplaces;
	for (int64 i = 0; i < n; i++)
	{
		int			place = graph->nplaces++;

		graph->parent[place] = place;
		graph->pin[place] = PIN_NONE;
		graph->pin_node[place] = -1;
		graph->is_mixed[place] = false;
	}
}

int
graph_places(Graph *graph, int value, int axis)
{
	const GraphValue *v = &graph->values[value];

	if (v->tensor >= 0)
		graph_make_places(graph, value, axis);
	return v->places[axis];
}

static void
pin_unit(Graph *graph, int unit, PinKind kind, int node)
{
	if (kind <= graph->pin[unit])
		return;
	graph->pin[unit] = kind;
	graph->pin_node[unit] = node;
}

static void
unite(Graph *graph, int a, int b)
{
	int			kept;
	int			gone;

	a = graph_unit(graph, a);
	b = graph_unit(graph, b);
	if (a == b)
		return;
	kept = Min(a, b);
	gone = Max(a, b);
	graph->parent[gone] = kept;
	pin_unit(graph, kept, graph->pin[gone], graph->pin_node[gone]);
	graph->is_mixed[kept] |= graph->is_mixed[gone];
}

static void
pin_places(Graph *graph, int first, int64 n, PinKind kind, int node)
{
	CHECK_FOR_INTERRUPTS();
	for (int64 i = 0; i < n; i++)
		pin_unit(graph, graph_unit(graph, first + i), kind, node);
}

void
graph_pin(Graph *graph, int value, int axis, PinKind kind, int node)
{
	int			first;

	if (value < 0 || graph->values[value].rank == UNKNOWN)
		return;
	first = graph_places(graph, value, axis);
	if (first != UNKNOWN)
		pin_places(graph, first, graph->values[value].dims[axis], kind, node);
}

void
graph_mix(Graph *graph, int value, int axis)
{
	int			first = graph_places(graph, value, axis);

	CHECK_FOR_INTERRUPTS();
	if (first == UNKNOWN)
		return;
	for (int64 i = 0; i < graph->values[value].dims[axis]; i++)
		graph->is_mixed[graph_unit(graph, first + i)] = true;
}

/* Why an axis has no places. */
static void
pin_by_other(Graph *graph, int first, int64 n, int other)
{
	int			doubt = graph->values[other].doubt;

	pin_places(graph, first, n, doubt >= 0 ? PIN_DOUBT : PIN_FIXED, doubt);
}

/* ---------- runs ---------- */

static void
add_run(Graph *graph, int node, int from, int from_per, int to, int to_per,
		int64 n)
{
	GraphRun   *run;

	CHECK_FOR_INTERRUPTS();
	graph->runs = grow(graph, graph->runs, graph->nruns, &graph->runs_allocated,
					   sizeof(GraphRun));
	run = &graph->runs[graph->nruns++];
	run->node = node;
	run->from = from;
	run->from_per = from_per;
	run->to = to;
	run->to_per = to_per;
	run->n = (int) n;
	for (int64 i = 0; i < n; i++)
		unite(graph, from + i / from_per, to + i / to_per);
}

void
graph_join(Graph *graph, int node, int a, int axis_a, int64 start_a, int b,
		   int axis_b, int64 start_b, int64 n)
{
	int			first_a = graph_places(graph, a, axis_a);
	int			first_b = graph_places(graph, b, axis_b);

	CHECK_FOR_INTERRUPTS();
	if (first_a != UNKNOWN && first_b != UNKNOWN)
	{
		for (int64 i = 0; i < n; i++)
			unite(graph, first_a + start_a + i, first_b + start_b + i);
	}
	else if (first_a != UNKNOWN)
		pin_by_other(graph, first_a + start_a, n, b);
	else if (first_b != UNKNOWN)
		pin_by_other(graph, first_b + start_b, n, a);
}

void
graph_offer(Graph *graph, int input, int axis_in, int output, int axis_out)
{
	if (graph_places(graph, input, axis_in) != UNKNOWN)
		graph_make_places(graph, output, axis_out);
}

void
graph_derive(Graph *graph, int node, int input, int axis_in, int64 start_in,
			 int output, int axis_out, int64 start_out, int64 n)
{
	int			from = graph_places(graph, input, axis_in);
	int			to;

	graph_offer(graph, input, axis_in, output, axis_out);
	to = graph->values[output].places[axis_out];
	if (from != UNKNOWN && to != UNKNOWN)
		add_run(graph, node, from + start_in, 1, to + start_out, 1, n);
	else if (to != UNKNOWN)
		pin_by_other(graph, to + start_out, n, input);
	else if (from != UNKNOWN)	/* the output is of a size that is not known */
		pin_by_other(graph, from, graph->values[input].dims[axis_in], output);
}

void
graph_derive_axis(Graph *graph, int node, int input, int axis_in, int output,
				  int axis_out)
{
	graph_same_dim(graph, node, input, axis_in, output, axis_out);
	graph_derive(graph, node, input, axis_in, 0, output, axis_out, 0,
				 graph->values[output].dims[axis_out]);
}

void
graph_derive_blocks(Graph *graph, int node, int input, int axis_in,
					int64 start_in, int in_per, int output, int axis_out,
					int64 start_out, int out_per, int64 n)
{
	int			from = graph_places(graph, input, axis_in);

	if (from == UNKNOWN)
		return;
	graph_make_places(graph, output, axis_out);
	add_run(graph, node, from + start_in, in_per,
			graph->values[output].places[axis_out] + start_out, out_per, n);
}

/* ---------- numbers that follow ---------- */

static void
add_patch(Graph *graph, GraphPatch patch)
{
	graph->patches = grow(graph, graph->patches, graph->npatches,
						  &graph->patches_allocated, sizeof(GraphPatch));
	graph->patches[graph->npatches++] = patch;
}

void
graph_follow_integer(Graph *graph, int ints, int index, int value, int axis,
					 int64 start, int64 n)
{
	int			first = graph->values[value].places[axis];
	GraphPatch	patch = {.value = ints,.node = -1,.index = index,
	.first = first == UNKNOWN ? UNKNOWN : first + (int) start,.n = n};

	patch.literal = graph_some_ints(graph, ints)->literals[index];
	add_patch(graph, patch);
}

void
graph_follow_attribute(Graph *graph, int node, const char *attribute,
					   int index, int value, int axis, int64 start, int64 n)
{
	int			first = graph->values[value].places[axis];
	GraphPatch	patch = {{-1, 0}, -1, node, attribute, index, first + start, n};

	if (first != UNKNOWN)
		add_patch(graph, patch);
}

GraphProduct *
graph_add_product(Graph *graph, int node)
{
	GraphProduct *product;

	graph->products = grow(graph, graph->products, graph->nproducts,
						   &graph->products_allocated, sizeof(GraphProduct));
	product = &graph->products[graph->nproducts++];
	memset(product, 0, sizeof(GraphProduct));
	product->node = node;
	product->groups = 1;
	product->x = product->y = UNKNOWN;
	product->bias = product->coded_by = -1;
	return product;
}

void
graph_copy_size(Graph *graph, int ints, int index, int value, int axis)
{
	GraphOrigin origin = graph_some_ints(graph, ints)->origins[index];
	GraphCopy  *copy;

	if (origin.value < 0)
		return;
	graph->copies = grow(graph, graph->copies, graph->ncopies,
						 &graph->copies_allocated, sizeof(GraphCopy));
	copy = &graph->copies[graph->ncopies++];
	copy->origin = origin;
	copy->value = value;
	copy->axis = axis;
}

static bool
is_same_axis(Graph *graph, const GraphCopy *copy)
{
	const GraphValue *a = &graph->values[copy->origin.value];
	const GraphValue *b = &graph->values[copy->value];
	int			first_a = a->places[copy->origin.axis];
	int			first_b = b->places[copy->axis];
	int64		n = b->dims[copy->axis];

	if (first_a == UNKNOWN && first_b == UNKNOWN)
		return true;
	if (copy->origin.is_computed || first_a == UNKNOWN ||
		first_b == UNKNOWN || a->dims[copy->origin.axis] != n)
		return false;
	for (int64 i = 0; i < n; i++)
	{
		if (graph_unit(graph, first_a + i) != graph_unit(graph, first_b + i))
			return false;
	}
	return true;
}

void
graph_pin_copies(Graph *graph)
{
	for (int i = 0; i < graph->ncopies; i++)
	{
		const GraphCopy *copy = &graph->copies[i];

		CHECK_FOR_INTERRUPTS();
		if (is_same_axis(graph, copy))
			continue;
		graph_pin(graph, copy->origin.value, copy->origin.axis, PIN_FIXED, -1);
		graph_pin(graph, copy->value, copy->axis, PIN_FIXED, -1);
	}
}
