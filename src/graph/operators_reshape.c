/*
 * operators_reshape.c
 *		Reshape and Flatten: which axes of the output belong to which of the
 *		input.
 *
 * Elements stay in their order, so axes fall into segments, of the input and
 * of the output, that have the same elements.
 */
#include "postgres.h"

#include "graph/operators.h"

/* ---------- segments ---------- */

/* Axes of the input and the output that have the same elements between them,
 * in the same order. */
typedef struct Segment
{
	int			in;				/* first axis */
	int			nin;
	int			out;
	int			nout;
} Segment;

static void
pin_segment(Graph *graph, int x, int y, const Segment *segment)
{
	for (int i = 0; i < segment->nin; i++)
		graph_pin(graph, x, segment->in + i, PIN_FIXED, -1);
	for (int i = 0; i < segment->nout; i++)
		graph_pin(graph, y, segment->out + i, PIN_FIXED, -1);
}

/* Whether all places of an axis are fixed anyway, or it has none. */
static bool
is_fixed(Graph *graph, int value, int axis)
{
	int			first = graph_places(graph, value, axis);
	int64		n = graph->values[value].dims[axis];

	if (first == UNKNOWN)
		return true;
	for (int64 i = 0; i < n; i++)
	{
		if (graph->pin[graph_unit(graph, first + i)] == PIN_NONE)
			return false;
	}
	return true;
}

/* Elements of the axes from one to before another; UNKNOWN if too many. */
static int64
elements(const int64 *dims, int from, int to)
{
	int64		product = 1;

	for (int i = from; i < to; i++)
	{
		if (dims[i] < 0 || dims[i] > PG_INT32_MAX ||
			(product *= dims[i]) > PG_INT32_MAX)
			return UNKNOWN;
	}
	return product;
}

/*
 * Many axes become one: a place of one of them becomes a block in each round
 * of those before it.  The others are fixed.
 */
static void
merge_axes(Graph *graph, int node, int x, int y, const Segment *segment)
{
	const int64 *dims = graph->values[x].dims;
	int			end = segment->in + segment->nin;
	int			kept = UNKNOWN;
	int64		before;
	int64		after;
	int64		whole;
	int64		n;

	for (int i = segment->in; i < end && kept == UNKNOWN; i++)
	{
		if (dims[i] != 1 && !is_fixed(graph, x, i))
			kept = i;
	}
	for (int i = segment->in; i < end; i++)
	{
		if (i != kept)
			graph_pin(graph, x, i, PIN_FIXED, -1);
	}
	if (kept == UNKNOWN)
	{
		pin_segment(graph, x, y, segment);
		return;
	}
	n = dims[kept];
	before = elements(dims, segment->in, kept);
	after = elements(dims, kept + 1, end);
	/* Sizes that are not known follow from the whole, when they come last. */
	whole = graph->values[y].dims[segment->out];
	if (after == UNKNOWN && before == 1 && n > 0 && whole > 0 && whole % n == 0)
		after = whole / n;
	if (before == UNKNOWN || after < 1 || after > GRAPH_MAX_PLACES ||
		before * n > GRAPH_MAX_PLACES || before * n * after != whole)
	{
		pin_segment(graph, x, y, segment);
		return;
	}
	graph_make_places(graph, y, segment->out);
	for (int64 i = 0; i < before; i++)
		graph_derive_blocks(graph, node, x, kept, 0, (int) after, y,
							segment->out, i * n * after, 1, n * after);
}

/* The axis of that number among those that are more than 1. */
static int
choose_axis(GraphNode *node, const int64 *dims, const Segment *segment)
{
	int			chosen = UNKNOWN;
	int			n = 0;

	for (int i = segment->out; i < segment->out + segment->nout; i++)
	{
		if (dims[i] != 1 && n++ <= node->choice)
			chosen = i;
	}
	node->has_more = n > node->choice + 1;
	return chosen;
}

/*
 * One axis becomes many: one of them takes its places in blocks, as heads do of
 * a width; the others are fixed.  It is the first one, or when that turns out to
 * be fixed, as that of queries, keys and values is, the next one.
 */
static void
split_axis(Graph *graph, int node, int x, int y, const Segment *segment)
{
	const int64 *dims = graph->values[y].dims;
	int			end = segment->out + segment->nout;
	int			chosen = choose_axis(&graph->nodes[node], dims, segment);
	int64		before;
	int64		block;

	graph->nodes[node].chosen = UNKNOWN;
	if (chosen == UNKNOWN || graph_places(graph, x, segment->in) == UNKNOWN)
	{
		pin_segment(graph, x, y, segment);
		return;
	}
	before = elements(dims, segment->out, chosen);
	block = elements(dims, chosen + 1, end);
	if (before < 1 || block < 1 ||
		elements(dims, segment->out, end) != graph->values[x].dims[segment->in])
	{
		pin_segment(graph, x, y, segment);
		return;
	}
	for (int64 i = 0; i < before; i++)
		graph_derive_blocks(graph, node, x, segment->in,
							i * block * dims[chosen], 1, y, chosen, 0,
							(int) block, block * dims[chosen]);
	graph->nodes[node].chosen = chosen;
}

static void
relate_segment(Graph *graph, int node, int x, int y, const Segment *segment)
{
	if (segment->nin == 1 && segment->nout == 1)
	{
		if (graph->values[x].dims[segment->in] < 0 ||
			graph->values[y].dims[segment->out] < 0)
			pin_segment(graph, x, y, segment);
		else
			graph_derive_axis(graph, node, x, segment->in, y, segment->out);
	}
	else if (segment->nout == 1)
		merge_axes(graph, node, x, y, segment);
	else if (segment->nin == 1)
		split_axis(graph, node, x, y, segment);
	else
		pin_segment(graph, x, y, segment);
}

/* Segments between the axes that are alike at both ends. */
static void
relate_middle(Graph *graph, int node, int x, int y, Segment all)
{
	const int64 *in = graph->values[x].dims;
	const int64 *out = graph->values[y].dims;
	Segment		segment = {all.in, 0, all.out, 0};
	int			in_end = all.in + all.nin;
	int			out_end = all.out + all.nout;
	int64		product_in = 1;
	int64		product_out = 1;

	for (int i = all.in; i < in_end; i++)
	{
		if (in[i] < 0 || in[i] > PG_INT32_MAX)
		{
			relate_segment(graph, node, x, y, &all);
			return;
		}
	}
	for (int i = all.out; i < out_end; i++)
	{
		if (out[i] < 0 || out[i] > PG_INT32_MAX)
		{
			relate_segment(graph, node, x, y, &all);
			return;
		}
	}
	while (segment.in + segment.nin < in_end ||
		   segment.out + segment.nout < out_end)
	{
		if (segment.in + segment.nin < in_end &&
			(product_in <= product_out ||
			 segment.out + segment.nout == out_end))
			product_in *= in[segment.in + segment.nin++];
		else
			product_out *= out[segment.out + segment.nout++];
		if (product_in > PG_INT32_MAX || product_out > PG_INT32_MAX ||
			product_in == 0 || product_out == 0)
		{
			pin_segment(graph, x, y, &all);
			return;
		}
		if (product_in != product_out || segment.nin == 0 || segment.nout == 0)
			continue;
		/* Axes of size 1 at the end belong to the last segment. */
		while (segment.in + segment.nin < in_end &&
			   in[segment.in + segment.nin] == 1)
			segment.nin++;
		while (segment.out + segment.nout < out_end &&
			   out[segment.out + segment.nout] == 1)
			segment.nout++;
		relate_segment(graph, node, x, y, &segment);
		segment.in += segment.nin;
		segment.out += segment.nout;
		segment.nin = segment.nout = 0;
		product_in = product_out = 1;
	}
	if (segment.nin > 0 || segment.nout > 0)
		graph_misfit(graph, node, "makes another number of elements than it takes");
}

/*
 * Which axes belong to which, of a value whose elements are only counted
 * anew.  copied says of the output's first axes that they are the input's.
 */
static void
relate_reshape(Graph *graph, int node, int x, int y, const bool *copied)
{
	const GraphValue *in = &graph->values[x];
	const GraphValue *out = &graph->values[y];
	Segment		middle = {0, in->rank, 0, out->rank};

	/* Alike from the end on; sizes must be known to be alike. */
	while (middle.nin > 0 && middle.nout > 0 &&
		   in->dims[middle.nin - 1] >= 0 &&
		   in->dims[middle.nin - 1] == out->dims[middle.nout - 1])
	{
		Segment		same = {--middle.nin, 1, --middle.nout, 1};

		relate_segment(graph, node, x, y, &same);
	}
	while (middle.nin > 0 && middle.nout > 0 &&
		   (copied[middle.out] || (in->dims[middle.in] != UNKNOWN &&
								   in->dims[middle.in] == out->dims[middle.out])))
	{
		Segment		same = {middle.in++, 1, middle.out++, 1};

		middle.nin--;
		middle.nout--;
		relate_segment(graph, node, x, y, &same);
	}
	if (middle.nin > 0 && middle.nout > 0)
		relate_middle(graph, node, x, y, middle);
	else
		pin_segment(graph, x, y, &middle);
}

/* ---------- Reshape ---------- */

/*
 * What is left for the -1 of a shape: the input's elements by those of the
 * other sizes.  Sizes that have only a name cancel each other, and one of them
 * may be all that is left.
 */
static int64
size_left(const GraphValue *in, const int64 *dims, int n, int left)
{
	bool		is_used[MODEL_MAX_DIMS] = {false};
	int64		product = 1;
	int64		name = 0;

	for (int i = 0; i < n; i++)
	{
		int			j = 0;

		if (i == left || dims[i] >= 0)
			continue;
		while (j < in->rank && (is_used[j] || in->dims[j] != dims[i]))
			j++;
		if (dims[i] == UNKNOWN || j == in->rank)
			return UNKNOWN;
		is_used[j] = true;
	}
	for (int j = 0; j < in->rank; j++)
	{
		if (is_used[j])
			continue;
		if (in->dims[j] < 0 && (name != 0 || in->dims[j] == UNKNOWN))
			return UNKNOWN;
		if (in->dims[j] < 0)
			name = in->dims[j];
		else if (in->dims[j] > PG_INT32_MAX ||
				 (product *= in->dims[j]) > PG_INT32_MAX)
			return UNKNOWN;
	}
	for (int i = 0; i < n; i++)
	{
		if (i == left || dims[i] < 0)
			continue;
		if (dims[i] == 0 || product % dims[i] != 0)
			return UNKNOWN;
		product /= dims[i];
	}
	if (name == 0)
		return product;
	return product == 1 ? name : UNKNOWN;
}

/* The output's sizes, as far as the wanted shape tells: 0 is the input's, -1
 * what is left.  False when nothing is known. */
static bool
reshaped_dims(const GraphValue *in, const GraphInts *shape, int64 *dims,
			  bool *copied)
{
	int			left = UNKNOWN;

	if (shape->n > MODEL_MAX_DIMS)
		return false;
	for (int i = 0; i < shape->n; i++)
	{
		copied[i] = shape->known[i] && shape->values[i] == 0;
		if (copied[i] && i >= in->rank)
			return false;
		if (shape->known[i] && shape->values[i] < 0)
		{
			left = i;
			dims[i] = UNKNOWN;
		}
		else if (copied[i])
			dims[i] = in->dims[i];
		else
			dims[i] = shape->known[i] || shape->values[i] < UNKNOWN ?
				shape->values[i] : UNKNOWN;
	}
	if (left != UNKNOWN)
		dims[left] = size_left(in, dims, shape->n, left);
	return true;
}

void
apply_reshape(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	const GraphInts *shape = graph_some_ints(graph, node_input(graph, node, 1));
	int64		dims[MODEL_MAX_DIMS];
	bool		copied[MODEL_MAX_DIMS] = {false};

	if (value_rank(graph, x) == UNKNOWN || y < 0 || shape == NULL ||
		graph_attribute_integer(&graph->nodes[node], "allowzero", 0) != 0 ||
		!reshaped_dims(&graph->values[x], shape, dims, copied))
	{
		graph_doubt(graph, node);
		return;
	}
	graph_set_shape(graph, node, y, shape->n, dims);
	relate_reshape(graph, node, x, y, copied);
	for (int i = 0; i < shape->n; i++)
	{
		graph_copy_size(graph, node_input(graph, node, 1), i, y, i);
		if (shape->known[i] && shape->values[i] > 0)
			graph_follow_integer(graph, node_input(graph, node, 1), i, y, i, 0,
								 shape->values[i]);
	}
}

/* ---------- Flatten ---------- */

/* The axes before one become the first, the others the second. */
void
apply_flatten(Graph *graph, int node)
{
	int			x = node_input(graph, node, 0);
	int			y = node_output(graph, node, 0);
	int			rank = value_rank(graph, x);
	int64		axis = graph_attribute_integer(&graph->nodes[node], "axis", 1);
	int64		dims[2];
	Segment		first = {0, 0, 0, 1};
	Segment		second = {0, 0, 1, 1};

	if (axis < 0 && rank != UNKNOWN)
		axis += rank;
	if (rank == UNKNOWN || y < 0 || axis < 0 || axis > rank)
	{
		graph_doubt(graph, node);
		return;
	}
	dims[0] = elements(graph->values[x].dims, 0, axis);
	dims[1] = elements(graph->values[x].dims, axis, rank);
	graph_set_shape(graph, node, y, 2, dims);
	first.nin = axis;
	second.in = axis;
	second.nin = rank - axis;
	relate_segment(graph, node, x, y, &first);
	relate_segment(graph, node, x, y, &second);
}
