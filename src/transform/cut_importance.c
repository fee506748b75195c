/*
 * cut_importance.c
 *		How much nodes matter.
 *
 * A node's importance is what all weights that make it or take it add up to:
 * rows of the weights that compute it, columns of those that read it, scales of
 * norms in between.  Kernels of depthwise convolutions, biases and embeddings
 * have no say; that is how Torch-Pruning's magnitude importance has it.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "transform/cut.h"
#include "transform/prune.h"

typedef struct Measure
{
	CutPlan    *plan;
	double		power;			/* of magnitudes */
	bool	   *is_wanted;		/* units that are to be ranked */
	double	   *sums;			/* of units */
	bool	   *is_measured;	/* something was added */
	int		   *coded_by;		/* GraphProduct.coded_by of a weight, or -1 */
} Measure;

/* Whether any of so many places is of a unit that is to be ranked. */
static bool
is_wanted(const Measure *measure, int first, int64 n)
{
	for (int64 i = 0; first != UNKNOWN && i < n; i++)
	{
		if (measure->is_wanted[graph_unit(measure->plan->graph, first + i)])
			return true;
	}
	return false;
}

/* Adds what slices of a tensor along an axis have to the units of places,
 * which may be more often than there are slices. */
static void
add_slices(Measure *measure, int value, int axis, int first, int64 n)
{
	const Graph *graph = measure->plan->graph;
	const GraphValue *v = &graph->values[value];
	Payload    *payload = tensor_payload(graph->model,
										 &graph->model->tensors[v->tensor]);
	Payload    *loaded;
	double	   *norms;

	if (!is_wanted(measure, first, n) || v->dims[axis] == 0 ||
		payload->count == 0)
		return;
	norms = palloc_extended(v->dims[axis] * sizeof(double), MCXT_ALLOC_HUGE);
	loaded = prune_load(payload);
	prune_slice_norms(loaded, v->rank, v->dims, axis, measure->power, norms);
	prune_unload(payload, loaded);
	for (int64 i = 0; i < n; i++)
	{
		int			unit = graph_unit(measure->plan->graph, first + i);

		measure->sums[unit] += norms[i % v->dims[axis]];
		measure->is_measured[unit] = true;
	}
	pfree(norms);
}

/* ---------- both sides of a weight ---------- */

/* Columns that are worked on at once, so that their sums stay in the cache. */
#define SEGMENT 4096

/* A weight as a matrix, whose columns have so many elements each. */
typedef struct Matrix
{
	int64		nrows;
	int64		ncolumns;
	int64		run;
	double	   *rows;			/* sums */
	double	   *columns;
} Matrix;

static void
add_row(const Matrix *matrix, DType dtype, const char *elements, int64 row,
		bool squares, float *buffer)
{
	double		lanes[KERNEL_NORM_LANES] = {0};

	for (int64 done = 0; done < matrix->ncolumns; done += SEGMENT)
	{
		int64		n = Min(matrix->ncolumns - done, SEGMENT);
		int64		first = (row * matrix->ncolumns + done) * matrix->run;
		const float *x = (const float *) elements + first;

		if (dtype != DTYPE_F32)
		{
			dtype_to_float(dtype, elements, first, n * matrix->run, buffer);
			x = buffer;
		}
		kernel_norm_row(squares, x, n, matrix->run, lanes,
						matrix->columns + done);
	}
	for (int lane = 0; lane < KERNEL_NORM_LANES; lane++)
		matrix->rows[row] += lanes[lane];
}

/* Whether a weight can be taken for a matrix, and its elements for floats. */
static bool
is_matrix(const GraphValue *weight, const GraphProduct *product, DType dtype,
		  Matrix *matrix)
{
	if (product->out_axis + product->in_axis != 1 || dtype == DTYPE_F64 ||
		dtype_bits(dtype) < 8 || weight->dims[0] == 0 || weight->dims[1] == 0)
		return false;
	matrix->nrows = weight->dims[0];
	matrix->ncolumns = weight->dims[1];
	matrix->run = 1;
	for (int i = 2; i < weight->rank; i++)
		matrix->run *= weight->dims[i];
	return matrix->run > 0 && matrix->run <= SEGMENT;
}

static void
add_sums(Measure *measure, int first, int64 n, const double *sums, int64 nsums)
{
	for (int64 i = 0; first != UNKNOWN && i < n; i++)
	{
		int			unit = graph_unit(measure->plan->graph, first + i);

		measure->sums[unit] += sums[i % nsums];
		measure->is_measured[unit] = true;
	}
}

/* In one pass; false when the weight is no matrix. */
static bool
add_both_sides(Measure *measure, const GraphProduct *product)
{
	const Graph *graph = measure->plan->graph;
	const GraphValue *weight = &graph->values[product->weight];
	Payload    *payload = tensor_payload(graph->model,
										 &graph->model->tensors[weight->tensor]);
	Matrix		matrix;
	float	   *buffer = NULL;
	char	   *copy;
	const char *elements;
	bool		rows_are_outputs = product->out_axis == 0;

	if (!is_matrix(weight, product, payload->dtype, &matrix))
		return false;
	matrix.rows = palloc_extended(matrix.nrows * sizeof(double),
								  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	matrix.columns = palloc_extended(matrix.ncolumns * sizeof(double),
									 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (payload->dtype != DTYPE_F32)
		buffer = palloc_extended(Min(matrix.ncolumns, SEGMENT) * matrix.run *
								 sizeof(float), MCXT_ALLOC_HUGE);
	elements = payload_dense(payload, &copy);
	for (int64 row = 0; row < matrix.nrows; row++)
	{
		if (row % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		add_row(&matrix, payload->dtype, elements, row, measure->power == 2,
				buffer);
	}
	add_sums(measure, product->y, product->ny,
			 rows_are_outputs ? matrix.rows : matrix.columns,
			 weight->dims[product->out_axis]);
	add_sums(measure, product->x, product->nx,
			 rows_are_outputs ? matrix.columns : matrix.rows,
			 weight->dims[product->in_axis]);
	if (copy != NULL)
		pfree(copy);
	if (buffer != NULL)
		pfree(buffer);
	pfree(matrix.rows);
	pfree(matrix.columns);
	return true;
}

/* Codes of outputs with scales of their own do not compare. */
static void
note_coded(Measure *measure, int node, int first, int64 n)
{
	for (int64 i = 0; first != UNKNOWN && i < n; i++)
		measure->coded_by[graph_unit(measure->plan->graph, first + i)] = node;
}

static void
add_product(Measure *measure, const GraphProduct *product)
{
	const Graph *graph = measure->plan->graph;
	bool		is_depthwise = product->groups > 1 &&
		graph->values[product->weight].dims[product->in_axis] == 1;

	if (product->is_lookup || is_depthwise ||
		!(is_wanted(measure, product->y, product->ny) ||
		  is_wanted(measure, product->x, product->nx)))
		return;
	if (product->coded_by >= 0)
	{
		note_coded(measure, product->coded_by, product->y, product->ny);
		note_coded(measure, product->coded_by, product->x, product->nx);
		return;
	}
	if (add_both_sides(measure, product))
		return;
	add_slices(measure, product->weight, product->out_axis, product->y,
			   product->ny);
	add_slices(measure, product->weight, product->in_axis, product->x,
			   product->nx);
}

static bool
is_norm(const GraphNode *node, CutMethod method)
{
	static const char *const names[] = {
		"BatchNormalization", "LayerNormalization", "InstanceNormalization",
		"GroupNormalization",
	};
	int			n = method == CUT_BN_SCALE ? 1 : lengthof(names);

	for (int i = 0; i < n; i++)
	{
		if (node->is_standard && onnx_equals(node->op_type, names[i]))
			return true;
	}
	return false;
}

static void
add_norm(Measure *measure, const GraphNode *node)
{
	Graph	   *graph = measure->plan->graph;
	int			scale = node->ninputs > 1 ? node->inputs[1] : -1;

	if (scale < 0 || graph->values[scale].tensor < 0 ||
		graph->values[scale].rank != 1)
		return;
	add_slices(measure, scale, 0, graph->values[scale].places[0],
			   graph->values[scale].dims[0]);
}

/* Why nodes of a group do not compare, as a clause, or NULL. */
static const char *
ranking_problem(const Measure *measure, const CutGroup *group, CutMethod method)
{
	for (int i = 0; i < group->nunits; i++)
	{
		int			unit = group->units[i];

		if (method == CUT_BN_SCALE && !measure->is_measured[unit])
			return "they have no batch norm";
		if (measure->coded_by[unit] >= 0)
			return psprintf("their weights are codes, which node %s multiplies by scales",
							graph_node_title(measure->plan->graph,
											 measure->coded_by[unit]));
	}
	return NULL;
}

static void
measure_weights(Measure *measure, CutMethod method)
{
	Graph	   *graph = measure->plan->graph;

	for (int i = 0; i < graph->nproducts && method != CUT_BN_SCALE; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_product(measure, &graph->products[i]);
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_norm(&graph->nodes[i], method))
			add_norm(measure, &graph->nodes[i]);
	}
}

/* Random numbers follow a layer's name, whatever else the model has. */
static void
rank_at_random(CutPlan *plan, CutGroup *group, int64 seed)
{
	uint64		own = kernel_random_seed(seed, plan->layers[group->first_layer].name);

	for (int i = 0; i < group->nunits; i++)
	{
		uint64		key;

		kernel_random_keys(own, i, 1, &key);
		group->importance[i] = (double) (key >> 11);
	}
}

static void
measure_init(Measure *measure, CutPlan *plan, CutMethod method)
{
	int			nplaces = Max(plan->graph->nplaces, 1);

	measure->plan = plan;
	measure->power = method == CUT_L2 ? 2 : 1;
	measure->is_wanted = palloc_extended(nplaces, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	measure->is_measured = palloc_extended(nplaces, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	measure->sums = palloc_extended(nplaces * sizeof(double),
									MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	measure->coded_by = palloc_extended(nplaces * sizeof(int), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nplaces; i++)
		measure->coded_by[i] = -1;
	for (int i = 0; i < plan->ngroups; i++)
	{
		const CutGroup *group = &plan->groups[i];

		for (int j = 0; group->is_chosen && j < group->nunits; j++)
			measure->is_wanted[group->units[j]] = true;
	}
}

void
cut_measure(CutPlan *plan, const CutRequest *request)
{
	Measure		measure;

	measure_init(&measure, plan, request->method);
	if (request->method != CUT_RANDOM)
		measure_weights(&measure, request->method);
	for (int i = 0; i < plan->ngroups; i++)
	{
		CutGroup   *group = &plan->groups[i];

		if (!group->is_chosen)
			continue;
		group->importance = palloc_extended(Max(group->nunits, 1) * sizeof(double),
											MCXT_ALLOC_HUGE);
		for (int j = 0; j < group->nunits; j++)
			group->importance[j] = measure.sums[group->units[j]];
		if (request->method == CUT_RANDOM)
			rank_at_random(plan, group, request->seed);
		else
			group->problem = ranking_problem(&measure, group, request->method);
	}
	pfree(measure.is_wanted);
	pfree(measure.is_measured);
	pfree(measure.coded_by);
	pfree(measure.sums);
}
