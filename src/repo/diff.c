/*
 * diff.c
 *		How two models differ: which tensors, and how far apart their elements
 *		are.
 *
 * Elements of one dtype count as changed when their bits differ, so -0 is not
 * 0 and one NaN is not another; of two dtypes, when their values do, as
 * doubles.  Distances are about pairs of finite elements, in double precision
 * and in a fixed order.
 */
#include "postgres.h"

#include <math.h>

#include "kernel/kernel.h"
#include "repo/diff.h"

/* ---------- which tensors ---------- */

static bool
same_shape(const Tensor *a, const Tensor *b)
{
	return a->ndim == b->ndim &&
		memcmp(a->dims, b->dims, a->ndim * sizeof(int64)) == 0;
}

/* Whether both are known to have the same elements. */
static bool
known_equal(const Payload *a, const Payload *b)
{
	if (a == b)
		return true;
	return a->dtype == b->dtype && a->has_digest && b->has_digest &&
		memcmp(a->digest, b->digest, MODEL_DIGEST_LENGTH) == 0;
}

static TensorChange
change_of(const Tensor *before, const Payload *a, const Tensor *after,
		  const Payload *b)
{
	if (!same_shape(before, after))
		return TENSOR_RESHAPED;
	if (a->dtype != b->dtype)
		return TENSOR_RETYPED;
	return known_equal(a, b) ? TENSOR_UNCHANGED : TENSOR_MODIFIED;
}

/* ---------- renamed ---------- */

/* A tensor that the other model has no namesake of. */
typedef struct Orphan
{
	const Tensor *tensor;
	Payload    *payload;
	TensorDiff *diff;			/* where it goes to */
	bool		taken;
} Orphan;

/* By what has to be equal, then in the order of the model. */
static int
compare_content(const Orphan *a, const Orphan *b)
{
	int			order = memcmp(a->payload->digest, b->payload->digest,
							   MODEL_DIGEST_LENGTH);

	if (order == 0)
		order = a->payload->dtype - b->payload->dtype;
	if (order == 0)
		order = a->tensor->ndim - b->tensor->ndim;
	if (order == 0)
		order = memcmp(a->tensor->dims, b->tensor->dims,
					   a->tensor->ndim * sizeof(int64));
	return order;
}

static int
compare_orphans(const void *a, const void *b)
{
	const Orphan *x = a;
	const Orphan *y = b;
	int			order = compare_content(x, y);

	return order != 0 ? order : (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* The first orphan of that content that nobody took yet, or NULL. */
static Orphan *
take_orphan(Orphan *orphans, int n, const Orphan *wanted)
{
	int			low = 0;
	int			high = n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (compare_content(&orphans[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < n && compare_content(&orphans[low], wanted) == 0; low++)
	{
		if (!orphans[low].taken)
		{
			orphans[low].taken = true;
			return &orphans[low];
		}
	}
	return NULL;
}

/* Makes pairs of what was added and what was removed with the same content;
 * the removed one's diff is then nobody's. */
static void
find_renamed(Orphan *removed, int nremoved, Orphan *added, int nadded)
{
	if (nremoved == 0 || nadded == 0)
		return;
	for (int i = 0; i < nremoved; i++)
		payload_digest(removed[i].payload);
	for (int i = 0; i < nadded; i++)
		payload_digest(added[i].payload);
	qsort(removed, nremoved, sizeof(Orphan), compare_orphans);
	for (int i = 0; i < nadded; i++)
	{
		Orphan	   *found = take_orphan(removed, nremoved, &added[i]);

		if (found == NULL)
			continue;
		added[i].diff->change = TENSOR_RENAMED;
		added[i].diff->before = found->tensor;
		found->diff->before = NULL;
	}
}

/* ---------- all tensors ---------- */

/* Leaves out the diffs of removed tensors that were found elsewhere. */
static int
drop_empty(TensorDiff *diffs, int n)
{
	int			kept = 0;

	for (int i = 0; i < n; i++)
	{
		if (diffs[i].before != NULL || diffs[i].after != NULL)
			diffs[kept++] = diffs[i];
	}
	return kept;
}

static void
put_orphan(Orphan *orphan, Model *model, const Tensor *tensor,
		   TensorDiff *diff)
{
	orphan->tensor = tensor;
	orphan->payload = tensor_payload(model, tensor);
	orphan->diff = diff;
	orphan->taken = false;
}

TensorDiff *
diff_models(Model *before, Model *after, int *n)
{
	const Tensor **olds = model_sort_tensors(before);
	const Tensor **news = model_sort_tensors(after);
	int			room = Max(before->ntensors + after->ntensors, 1);
	TensorDiff *diffs = palloc0(room * sizeof(TensorDiff));
	Orphan	   *removed = palloc(room * sizeof(Orphan));
	Orphan	   *added = palloc(room * sizeof(Orphan));
	int			nremoved = 0;
	int			nadded = 0;
	int			ndiffs = 0;

	for (int i = 0; i < after->ntensors; i++)
	{
		TensorDiff *diff = &diffs[ndiffs++];

		diff->after = &after->tensors[i];
		diff->before = model_find_sorted(olds, before->ntensors,
										 diff->after->name);
		diff->change = TENSOR_ADDED;
		if (diff->before == NULL)
			put_orphan(&added[nadded++], after, diff->after, diff);
		else
			diff->change = change_of(diff->before,
									 tensor_payload(before, diff->before),
									 diff->after,
									 tensor_payload(after, diff->after));
	}
	for (int i = 0; i < before->ntensors; i++)
	{
		const Tensor *tensor = &before->tensors[i];

		if (model_find_sorted(news, after->ntensors, tensor->name) != NULL)
			continue;
		diffs[ndiffs].before = tensor;
		diffs[ndiffs].change = TENSOR_REMOVED;
		put_orphan(&removed[nremoved++], before, tensor, &diffs[ndiffs++]);
	}
	find_renamed(removed, nremoved, added, nadded);
	pfree(olds);
	pfree(news);
	pfree(removed);
	pfree(added);
	*n = drop_empty(diffs, ndiffs);
	return diffs;
}

/* ---------- elements ---------- */

/* Elements that are converted at once, to stay in the nearest cache. */
#define BLOCK KERNEL_STATS_BLOCK

/* Feeds elements that are no floats of 32 bits to the comparison. */
static void
add_converted(KernelComparison *comparison, DType first_dtype,
			  const void *first, DType second_dtype, const void *second,
			  int64 n, int64 *changed)
{
	double		x[BLOCK];
	double		y[BLOCK];

	for (int64 done = 0; done < n; done += BLOCK)
	{
		int64		m = Min(n - done, BLOCK);

		dtype_to_double(first_dtype, first, done, m, x);
		dtype_to_double(second_dtype, second, done, m, y);
		kernel_compare_f64(comparison, x, y, m);
		*changed += kernel_count_different(x, y, m, sizeof(double));
	}
}

/* Elements of one dtype with other bits. */
static int64
count_changed(DType dtype, const void *first, const void *second, int64 n)
{
	const uint8 *x = first;
	const uint8 *y = second;
	int64		changed = 0;

	if (dtype_bits(dtype) >= 8)
		return kernel_count_different(first, second, n, dtype_bits(dtype) / 8);
	for (int64 i = 0; i < n; i++)
		changed += ((x[i / 2] ^ y[i / 2]) >> (4 * (i % 2)) & 0x0f) != 0;
	return changed;
}

static int64
compare_chunk(KernelComparison *comparison, DType first_dtype,
			  const void *first, DType second_dtype, const void *second,
			  int64 n)
{
	int64		changed = 0;
	int64		changed_values = 0;

	if (first_dtype == second_dtype)
		changed = count_changed(first_dtype, first, second, n);
	if (first_dtype == DTYPE_F32 && second_dtype == DTYPE_F32)
		kernel_compare_f32(comparison, first, second, n);
	else
		add_converted(comparison, first_dtype, first, second_dtype, second, n,
					  &changed_values);
	return first_dtype == second_dtype ? changed : changed_values;
}

/* The zeros of a payload that is read to its end anyway, unless known. */
static void
add_zeros(int64 *zeros, const Payload *payload, const void *elements, int64 n)
{
	if (payload->zeros < 0)
		*zeros += elements_zeros(payload->dtype, elements, n);
}

static void
read_pairs(Payload *before, Payload *after, KernelComparison *comparison,
		   int64 *changed)
{
	PayloadReader *olds = payload_reader_create(before);
	PayloadReader *news = payload_reader_create(after);
	const void *old;
	const void *new;
	int64		old_zeros = 0;
	int64		new_zeros = 0;
	int64		n;

	while ((n = payload_reader_next(olds, &old)) > 0)
	{
		if (payload_reader_next(news, &new) != n)
			elog(ERROR, "payloads have different numbers of elements");
		*changed += compare_chunk(comparison, before->dtype, old,
								  after->dtype, new, n);
		add_zeros(&old_zeros, before, old, n);
		add_zeros(&new_zeros, after, new, n);
	}
	payload_reader_free(olds);
	payload_reader_free(news);
	if (before->zeros < 0)
		before->zeros = old_zeros;
	if (after->zeros < 0)
		after->zeros = new_zeros;
}

void
diff_elements(Payload *before, Payload *after, ElementDiff *diff)
{
	KernelComparison comparison;

	memset(diff, 0, sizeof(ElementDiff));
	diff->has_pairs = before->count == after->count;
	if (!diff->has_pairs || known_equal(before, after))
		return;
	kernel_compare_init(&comparison);
	read_pairs(before, after, &comparison, &diff->changed);
	kernel_compare_finish(&comparison);
	diff->is_read = true;
	diff->not_finite = before->count - comparison.count;
	diff->max_abs = comparison.max_abs;
	diff->l2 = sqrt(comparison.squares);
	diff->norm_before = sqrt(comparison.first_squares);
	diff->norm_after = sqrt(comparison.second_squares);
	diff->product = comparison.products;
}
