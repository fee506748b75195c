/*
 * encoding_lowrank.c
 *		A matrix as the product of two thin ones: lowrank.h.
 *
 * Elements are made a few rows at a time, however chunks cut them.  The right
 * matrix takes part in every row and stays in memory; the left one is read
 * along.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "miscadmin.h"
#include "model/encoding.h"
#include "model/lowrank.h"

#define KIND "low-rank"

typedef struct LowrankHeader
{
	int64		rows;
	int64		columns;
	int64		rank;
	uint8		zero[40];
} LowrankHeader;

StaticAssertDecl(sizeof(LowrankHeader) == MODEL_ALIGNMENT, "low-rank header");

/* ---------- layout ---------- */

bool
lowrank_plan(Lowrank *lowrank)
{
	int64		sides;

	if (!dtype_is_float(lowrank->dtype) || lowrank->rows <= 0 ||
		lowrank->columns <= 0 || lowrank->rank <= 0 ||
		lowrank->rows > PG_INT32_MAX || lowrank->columns > PG_INT32_MAX ||
		lowrank->rank > Min(lowrank->rows, lowrank->columns))
		return false;
	/* No product overflows: numbers below 2^31. */
	sides = lowrank->rows + lowrank->columns;
	lowrank->count = lowrank->rows * lowrank->columns;
	if (lowrank->count > PG_INT64_MAX / 16 ||
		lowrank->count / LOWRANK_MAX_RATIO > lowrank->rank * sides)
		return false;
	lowrank->left_at = sizeof(LowrankHeader);
	lowrank->right_at = lowrank->left_at +
		dtype_bytes(lowrank->dtype, lowrank->rows * lowrank->rank);
	lowrank->stored = lowrank->right_at +
		dtype_bytes(lowrank->dtype, lowrank->rank * lowrank->columns);
	return true;
}

void
lowrank_put_header(const Lowrank *lowrank, char *payload)
{
	LowrankHeader header = {0};

	header.rows = lowrank->rows;
	header.columns = lowrank->columns;
	header.rank = lowrank->rank;
	memcpy(payload, &header, sizeof(header));
}

static const char *
parse_header(const LowrankHeader *header, const Payload *payload,
			 Lowrank *lowrank)
{
	if (!kernel_is_zero(header->zero, sizeof(header->zero)))
		return "A low-rank payload's header is wrong.";
	lowrank->dtype = payload->dtype;
	lowrank->rows = header->rows;
	lowrank->columns = header->columns;
	lowrank->rank = header->rank;
	if (!lowrank_plan(lowrank) || lowrank->count != payload->count ||
		lowrank->stored != payload->stored)
		return "A low-rank payload's header does not fit its size.";
	return NULL;
}

void
lowrank_get_header(Payload *payload, Lowrank *lowrank)
{
	LowrankHeader header;
	const char *problem;

	payload_copy_part(payload, 0, sizeof(header), (char *) &header);
	problem = parse_header(&header, payload, lowrank);
	if (problem != NULL)
		encoding_corrupt(KIND, problem);
}

/* ---------- checking ---------- */

static const char *
check_size(DType dtype, int64 count, uint64 stored)
{
	if (!dtype_is_float(dtype) || count == 0 ||
		stored <= sizeof(LowrankHeader) || stored >= dtype_bytes(dtype, count) ||
		dtype_bytes(dtype, count) / LOWRANK_MAX_RATIO > stored)
		return "A low-rank payload's size or dtype does not fit its number of elements.";
	return NULL;
}

static const char *
verify(const Payload *payload)
{
	LowrankHeader header;
	Lowrank		lowrank;

	memcpy(&header, payload->bytes, sizeof(header));
	return parse_header(&header, payload, &lowrank);
}

/* ---------- reading ---------- */

/* Rows that are made at once. */
#define STRIP KERNEL_MULTIPLY_ROWS

/* Columns likewise, of a row that is longer. */
#define STRIP_COLUMNS 4096

typedef struct LowrankReader
{
	Lowrank		lowrank;
	Payload    *payload;
	bool		wide;			/* doubles, for f64; else floats */
	void	   *right;			/* whole, converted */
	void	   *left;			/* of a strip of rows, converted */
	char	   *stored_left;	/* the same as it is stored */
	void	   *product;		/* of a strip, rows x columns */
	int64		row;			/* first one of the strip */
	int64		rows;			/* that the strip has */
	int64		column;			/* first one of the strip */
	int64		columns;
	int64		taken;			/* elements of the strip handed out */
	char	   *chunk;
} LowrankReader;

static size_t
width(const LowrankReader *reader)
{
	return reader->wide ? sizeof(double) : sizeof(float);
}

/* Stored elements as the products are computed. */
static void
convert(const LowrankReader *reader, const char *src, int64 n, void *dst)
{
	if (reader->wide)
		memcpy(dst, src, n * sizeof(double));
	else
		dtype_to_float(reader->lowrank.dtype, src, 0, n, dst);
}

static void *
begin(Payload *payload)
{
	LowrankReader *reader = palloc0(sizeof(LowrankReader));
	Lowrank    *lowrank = &reader->lowrank;
	int64		largest = Min(payload->count, PAYLOAD_CHUNK);
	const char *stored;
	char	   *copy;
	int64		n;

	lowrank_get_header(payload, lowrank);
	reader->payload = payload;
	reader->wide = payload->dtype == DTYPE_F64;
	n = lowrank->rank * lowrank->columns;
	stored = stream_part(payload, lowrank->right_at,
						 dtype_bytes(lowrank->dtype, n), &copy);
	reader->right = model_alloc_bytes(CurrentMemoryContext, n * width(reader));
	convert(reader, stored, n, reader->right);
	if (copy != NULL)
		pfree(copy);
	n = STRIP * lowrank->rank;
	reader->left = model_alloc_bytes(CurrentMemoryContext, n * width(reader));
	reader->stored_left = model_alloc_bytes(CurrentMemoryContext,
											dtype_bytes(lowrank->dtype, n));
	reader->product = palloc(STRIP * STRIP_COLUMNS * width(reader));
	reader->chunk = palloc(largest * sizeof(double));
	return reader;
}

/* Rows are short or their strip is one row: elements of a strip are in the
 * order of the payload. */
static void
next_strip(LowrankReader *reader)
{
	const Lowrank *lowrank = &reader->lowrank;

	reader->column += reader->columns;
	if (reader->rows == 0 || reader->column >= lowrank->columns)
	{
		reader->row += reader->rows;
		reader->rows = lowrank->columns > STRIP_COLUMNS ? 1 :
			Min(STRIP, lowrank->rows - reader->row);
		reader->column = 0;
		payload_copy_part(reader->payload, lowrank->left_at +
						  dtype_bytes(lowrank->dtype,
									  reader->row * lowrank->rank),
						  dtype_bytes(lowrank->dtype,
									  reader->rows * lowrank->rank),
						  reader->stored_left);
		convert(reader, reader->stored_left, reader->rows * lowrank->rank,
				reader->left);
	}
	reader->columns = Min(STRIP_COLUMNS, lowrank->columns - reader->column);
	reader->taken = 0;
	if (reader->wide)
		kernel_multiply_f64(reader->product, reader->left,
							(double *) reader->right + reader->column,
							reader->rows, lowrank->rank, reader->columns,
							lowrank->columns);
	else
		kernel_multiply_f32(reader->product, reader->left,
							(float *) reader->right + reader->column,
							reader->rows, lowrank->rank, reader->columns,
							lowrank->columns);
}

static const void *
next(void *state, int64 n)
{
	LowrankReader *reader = state;
	DType		dtype = reader->lowrank.dtype;

	for (int64 done = 0; done < n;)
	{
		int64		left = reader->rows * reader->columns - reader->taken;
		int64		m = Min(n - done, left);
		char	   *dst = reader->chunk + dtype_bytes(dtype, done);
		const char *src;

		if (left == 0)
		{
			CHECK_FOR_INTERRUPTS();
			next_strip(reader);
			continue;
		}
		src = (const char *) reader->product + reader->taken * width(reader);
		if (reader->wide)
			memcpy(dst, src, m * sizeof(double));
		else
			(void) dtype_from_float(dtype, (const float *) src, m, dst);
		reader->taken += m;
		done += m;
	}
	return reader->chunk;
}

static void
end(void *state)
{
	LowrankReader *reader = state;

	pfree(reader->right);
	pfree(reader->left);
	pfree(reader->stored_left);
	pfree(reader->product);
	pfree(reader->chunk);
	pfree(reader);
}

const EncodingMethods encoding_lowrank = {
	check_size, verify, begin, next, end
};
