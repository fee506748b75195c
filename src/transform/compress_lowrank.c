/*
 * compress_lowrank.c
 *		Matrices as products of two thin ones: the truncated singular value
 *		decomposition.
 *
 * The squares of a matrix's singular values are the eigenvalues of its product
 * with its own transpose, on the side where that is smaller.  In double
 * precision this loses nothing that matters here: what is below 1e-8 of the
 * largest singular value is cut off anyway.  Only as many eigenvectors are made
 * as are kept.  Elements of 64 bits are worked on as multiples of a power of two
 * near the largest of them, lest their squares be infinite or 0.
 *
 * The work is cut into panels and blocks, because a library cannot be
 * interrupted: between two looks for interrupts it takes a panel of PANEL
 * columns, or a block of BLOCK.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "model/lowrank.h"
#include "transform/compress.h"
#include "transform/lapack.h"

#define PANEL 32
#define BLOCK 256

/* The largest matrix of eigenvectors, as LAPACK counts in int. */
#define MOST_ROWS 32768

/* Of more vectors the making orthogonal would take longer than all else. */
#define MOST_ITERATED 512

typedef struct Factoring
{
	const EncodeTarget *target;
	const CompressRequest *request;
	const Lapack *lapack;
	const char *elements;		/* dense, rows x columns */
	char	   *decoded;
	int			rows;
	int			columns;
	bool		tall;			/* columns are the smaller side */
	int			n;				/* of it */
	int			rank;
	int			exponent;		/* elements are worked on times 2^-exponent */
	double	   *gram;			/* n x n; later the reflectors */
	double	   *diagonal;
	double	   *beside;			/* the diagonal */
	double	   *tau;
	double	   *values;			/* eigenvalues, largest last */
	double	   *vectors;		/* n x rank */
} Factoring;

static const double one = 1;
static const double minus_one = -1;

static double *
new_doubles(int64 n)
{
	return (double *) model_alloc_bytes(CurrentMemoryContext,
										Max(n, 1) * sizeof(double));
}

pg_noreturn static void
report_lapack(const char *routine, int info)
{
	elog(ERROR, "LAPACK routine %s failed with %d", routine, info);
	pg_unreachable();
}

/* ---------- elements ---------- */

/* Elements from one on as doubles; all of them finite. */
static void
get_elements(Factoring *f, int64 start, int64 n, double *dst)
{
	double		scale = ldexp(1, -f->exponent);

	dtype_to_double(f->target->payload->dtype, f->elements, start, n, dst);
	for (int64 i = 0; i < n; i++)
	{
		if (!isfinite(dst[i]))
			encode_check_finite(f->target, false);
		dst[i] *= scale;
	}
}

/* Rows first to first + n - 1. */
static void
get_rows(Factoring *f, int first, int n, double *dst)
{
	get_elements(f, (int64) first * f->columns, (int64) n * f->columns, dst);
}

/* Columns first to first + n - 1 of all rows, a row after another. */
static void
get_columns(Factoring *f, int first, int n, double *dst)
{
	for (int i = 0; i < f->rows; i++)
		get_elements(f, (int64) i * f->columns + first, n, dst + (int64) i * n);
}

/* The largest magnitude of an element, and the first element that has it. */
static double
find_largest(Factoring *f, int64 *index)
{
	double	   *row = new_doubles(f->columns);
	double		largest = 0;

	*index = 0;
	for (int i = 0; i < f->rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		get_rows(f, i, 1, row);
		for (int j = 0; j < f->columns; j++)
		{
			if (fabs(row[j]) <= largest)
				continue;
			largest = fabs(row[j]);
			*index = (int64) i * f->columns + j;
		}
	}
	pfree(row);
	return largest;
}

/* Of smaller dtypes all squares are in the range of doubles. */
static void
find_exponent(Factoring *f)
{
	int64		index;
	int			exponent;

	if (f->target->payload->dtype != DTYPE_F64)
		return;
	(void) frexp(find_largest(f, &index), &exponent);
	/* For denormal numbers the power itself would be infinite. */
	f->exponent = Max(exponent, DBL_MIN_EXP);
}

/* ---------- eigenvalues ---------- */

/* The product with the transpose, lower half, block by block.  A matrix in the
 * order of rows is its transpose to Fortran. */
static void
make_gram(Factoring *f)
{
	int			longer = f->tall ? f->rows : f->columns;
	double	   *block = new_doubles((int64) f->n * BLOCK);

	f->gram = new_doubles((int64) f->n * f->n);
	memset(f->gram, 0, (size_t) f->n * f->n * sizeof(double));
	for (int first = 0; first < longer; first += BLOCK)
	{
		int			k = Min(BLOCK, longer - first);

		CHECK_FOR_INTERRUPTS();
		if (f->tall)
			get_rows(f, first, k, block);
		else
			get_columns(f, first, k, block);
		f->lapack->dsyrk("L", f->tall ? "N" : "T", &f->n, &k, &one, block,
						 f->tall ? &f->n : &k, &one, f->gram, &f->n);
	}
	pfree(block);
}

/* Orthogonal transformation to a tridiagonal matrix, panel by panel. */
static void
tridiagonalize(Factoring *f)
{
	int			n = f->n;
	int			done = 0;
	int			rest;
	int			info = 0;
	int			panel = PANEL;
	int			work_size = Max(n, 64) * 2 * PANEL;
	double	   *work = new_doubles(work_size);
	double	   *corner;

	f->diagonal = new_doubles(n);
	f->beside = new_doubles(n);
	f->tau = new_doubles(n);
	for (; n - done > 2 * PANEL; done += PANEL)
	{
		int			left = n - done;
		int			after = left - PANEL;

		CHECK_FOR_INTERRUPTS();
		corner = f->gram + (int64) done * n + done;
		f->lapack->dlatrd("L", &left, &panel, corner, &n, f->beside + done,
						  f->tau + done, work, &left);
		f->lapack->dsyr2k("L", "N", &after, &panel, &minus_one,
						  corner + PANEL, &n, work + PANEL, &left, &one,
						  corner + (int64) PANEL * n + PANEL, &n);
		for (int j = 0; j < PANEL; j++)
		{
			double	   *column = corner + (int64) j * n + j;

			f->diagonal[done + j] = column[0];
			column[1] = f->beside[done + j];
		}
	}
	rest = n - done;
	corner = f->gram + (int64) done * n + done;
	f->lapack->dsytrd("L", &rest, corner, &n, f->diagonal + done,
					  f->beside + done, f->tau + done, work, &work_size, &info);
	if (info != 0)
		report_lapack("dsytrd", info);
	pfree(work);
}

static void
find_values(Factoring *f)
{
	double	   *beside = new_doubles(f->n);
	int			info = 0;

	f->values = new_doubles(f->n);
	memcpy(f->values, f->diagonal, f->n * sizeof(double));
	memcpy(beside, f->beside, (f->n - 1) * sizeof(double));
	f->lapack->dsterf(&f->n, f->values, beside, &info);
	if (info != 0)
		report_lapack("dsterf", info);
	for (int i = 0; i < f->n; i++)
		f->values[i] = Max(f->values[i], 0);
	pfree(beside);
}

/* The smallest rank with that share of the energy, or the one asked for. */
static int
choose_rank(const Factoring *f)
{
	double		total = 0;
	double		kept = 0;
	int			rank = 0;

	if (f->request->rank > 0)
		return Min(f->request->rank, f->n);
	for (int i = 0; i < f->n; i++)
		total += f->values[i];
	while (rank < f->n && kept < f->request->energy * total)
		kept += f->values[f->n - ++rank];
	return rank;
}

/* ---------- eigenvectors ---------- */

/* By inverse iteration from the eigenvalues that are known; false where it does not
 * converge.  Neighbours that are close are made orthogonal one after another. */
static bool
iterate_vectors(Factoring *f)
{
	int			n = f->n;
	int			info = 0;
	double	   *work = new_doubles(5 * (int64) n);
	int		   *integers = palloc(4 * (Size) n * sizeof(int));
	int		   *blocks = integers + n;
	int		   *ends = integers + 2 * n;
	int		   *failed = integers + 3 * n;

	/* All of the matrix is one block. */
	for (int i = 0; i < f->rank; i++)
		blocks[i] = 1;
	ends[0] = n;
	f->lapack->dstein(&n, f->diagonal, f->beside, &f->rank, f->values + n - f->rank,
					  blocks, ends, f->vectors, &n, work, integers, failed, &info);
	pfree(work);
	pfree(integers);
	if (info < 0)
		report_lapack("dstein", info);
	return info == 0;
}

/* By relatively robust representations, which never fail, and are independent of
 * how close neighbours are, but find the eigenvalues once more. */
static void
represent_vectors(Factoring *f)
{
	int			n = f->n;
	int			first = n - f->rank + 1;
	int			found = 0;
	int			info = 0;
	int			tryrac = 1;
	int			work_size = 18 * n;
	int			integers_size = 10 * n;
	double	   *work = new_doubles(work_size);
	int		   *integers = palloc(integers_size * sizeof(int));
	int		   *support = palloc(2 * n * sizeof(int));
	double	   *values = new_doubles(n);

	f->lapack->dstemr("V", "I", &n, f->diagonal, f->beside, &one, &one,
					  &first, &n, &found, values, f->vectors, &n, &f->rank,
					  support, &tryrac, work, &work_size, integers,
					  &integers_size, &info);
	if (info != 0 || found != f->rank)
		report_lapack("dstemr", info);
	pfree(work);
	pfree(integers);
	pfree(support);
	pfree(values);
}

/* Of the largest eigenvalues, the smallest of them first. */
static void
find_vectors(Factoring *f)
{
	int			n = f->n;
	int			info = 0;
	int			work_size = 64 * BLOCK;
	double	   *work;

	f->vectors = new_doubles((int64) n * f->rank);
	CHECK_FOR_INTERRUPTS();
	if (f->rank > MOST_ITERATED || !iterate_vectors(f))
		represent_vectors(f);
	work = new_doubles(work_size);
	for (int done = 0; done < f->rank; done += BLOCK)
	{
		int			k = Min(BLOCK, f->rank - done);

		CHECK_FOR_INTERRUPTS();
		f->lapack->dormtr("L", "L", "N", &n, &k, f->gram, &n, f->tau,
						  f->vectors + (int64) done * n, &n, work, &work_size,
						  &info);
		if (info != 0)
			report_lapack("dormtr", info);
	}
	pfree(work);
}

/* Turns the vectors so that the largest one comes first. */
static void
order_vectors(Factoring *f)
{
	for (int i = 0; i < f->rank / 2; i++)
	{
		double	   *a = f->vectors + (int64) i * f->n;
		double	   *b = f->vectors + (int64) (f->rank - 1 - i) * f->n;

		for (int j = 0; j < f->n; j++)
		{
			double		swap = a[j];

			a[j] = b[j];
			b[j] = swap;
		}
	}
}

/* ---------- factors ---------- */

/* A column of the left factor has a singular value in it, which may be larger
 * than any number of the dtype. */
static void
check_fits(Factoring *f, double number)
{
	DType		dtype = f->target->payload->dtype;
	float		narrow = (float) number;
	char		element[sizeof(double)];
	int64		index;

	if (dtype != DTYPE_F64)
	{
		(void) dtype_from_float(dtype, &narrow, 1, element);
		dtype_to_double(dtype, element, 0, 1, &number);
	}
	if (isfinite(number))
		return;
	(void) find_largest(f, &index);
	encode_too_large(f->target, index, "a product of two matrices");
}

/* Stores doubles as elements. */
static void
store(const Factoring *f, const double *src, int64 n, char *dst)
{
	float		stage[1024];

	if (f->target->payload->dtype == DTYPE_F64)
	{
		memcpy(dst, src, n * sizeof(double));
		return;
	}
	for (int64 done = 0; done < n; done += lengthof(stage))
	{
		int64		m = Min(n - done, (int64) lengthof(stage));

		for (int64 i = 0; i < m; i++)
			stage[i] = (float) src[done + i];
		(void) dtype_from_float(f->target->payload->dtype, stage, m,
								dst + dtype_bytes(f->target->payload->dtype, done));
	}
}

/* The other side's factor: elements times vectors, longer x rank, a row after
 * another. */
static double *
multiply(Factoring *f)
{
	int			longer = f->tall ? f->rows : f->columns;
	double	   *product = new_doubles((int64) longer * f->rank);
	double	   *block = new_doubles((int64) f->n * BLOCK);
	double		zero = 0;

	for (int first = 0; first < longer; first += BLOCK)
	{
		int			k = Min(BLOCK, longer - first);

		CHECK_FOR_INTERRUPTS();
		if (f->tall)
			get_rows(f, first, k, block);
		else
			get_columns(f, first, k, block);
		f->lapack->dgemm("T", f->tall ? "N" : "T", &f->rank, &k, &f->n, &one,
						 f->vectors, &f->n, block, f->tall ? &f->n : &k, &zero,
						 product + (int64) first * f->rank, &f->rank);
	}
	pfree(block);
	return product;
}

/*
 * Left and right factor as they are stored: left has the singular values, and
 * in each of its columns the largest magnitude is positive.
 */
static void
put_factors(Factoring *f, const Lowrank *lowrank, char *payload)
{
	double	   *product = multiply(f);
	int64		longer = f->tall ? f->rows : f->columns;
	double	   *line = new_doubles(Max(longer, f->n));
	double	   *left = new_doubles((int64) f->rows * f->rank);

	for (int k = 0; k < f->rank; k++)
	{
		const double *vector = f->vectors + (int64) k * f->n;
		double		value = sqrt(f->values[f->n - 1 - k]);
		double		largest = 0;
		double		sign;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < f->rows; i++)
		{
			double	   *each = &left[(int64) i * f->rank + k];

			*each = f->tall ? product[(int64) i * f->rank + k] :
				vector[i] * value;
			if (fabs(*each) > fabs(largest))
				largest = *each;
		}
		sign = largest < 0 ? -1 : 1;
		for (int i = 0; i < f->rows; i++)
		{
			double	   *each = &left[(int64) i * f->rank + k];

			*each = ldexp(sign * *each, f->exponent);
		}
		check_fits(f, ldexp(largest, f->exponent));
		for (int j = 0; j < f->columns; j++)
			line[j] = sign * (f->tall ? vector[j] :
							  value > 0 ? product[(int64) j * f->rank + k] / value : 0);
		store(f, line, f->columns, payload + lowrank->right_at +
			  dtype_bytes(lowrank->dtype, (int64) k * f->columns));
	}
	store(f, left, (int64) f->rows * f->rank, payload + lowrank->left_at);
	pfree(product);
	pfree(line);
	pfree(left);
}

/* ---------- a payload ---------- */

static const char *
factor(Factoring *f, Model *out)
{
	Payload    *payload = f->target->payload;
	Lowrank		lowrank = {.dtype = payload->dtype, .rows = f->rows,
	.columns = f->columns};
	char	   *bytes;

	find_exponent(f);
	make_gram(f);
	tridiagonalize(f);
	find_values(f);
	f->rank = choose_rank(f);
	if (f->rank == 0)
		return "it has rank 0";
	lowrank.rank = f->rank;
	if (!lowrank_plan(&lowrank))
		return "it would become too small to be stored as low-rank";
	if (lowrank.stored >= payload->stored)
		return "it would not become smaller";
	find_vectors(f);
	order_vectors(f);
	bytes = encode_new_payload(out, payload->dtype, ENCODING_LOWRANK,
							   payload->count, lowrank.stored);
	lowrank_put_header(&lowrank, bytes);
	put_factors(f, &lowrank, bytes);
	return NULL;
}

const char *
compress_lowrank(const EncodeTarget *target, const void *arg, Model *out)
{
	const CompressRequest *request = arg;
	const Tensor *tensor = target->tensor;
	Payload    *payload = target->payload;
	Factoring	f = {.target = target, .request = request};
	int64		rows;
	int64		columns;

	if (tensor->ndim < 2 || payload->count == 0)
		return "it is no matrix";
	encode_refuse_lossy(target, "factorize", "Decompress the model first.");
	rows = tensor->dims[0];
	columns = payload->count / rows;
	if (Min(rows, columns) > MOST_ROWS || Max(rows, columns) > PG_INT32_MAX / 64)
		return "it is too large a matrix to be factorized";
	f.lapack = lapack_get();
	f.rows = (int) rows;
	f.columns = (int) columns;
	f.tall = rows >= columns;
	f.n = (int) Min(rows, columns);

	/* A rank that does not save needs no decomposition. */
	if (request->rank > 0 &&
		Min(request->rank, f.n) * (rows + columns) >= payload->count)
		return "it would not become smaller";
	f.elements = payload_dense(payload, &f.decoded);
	return factor(&f, out);
}
