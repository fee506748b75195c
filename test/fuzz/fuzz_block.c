/*
 * fuzz_block.c
 *		libFuzzer target: coded blocks of the repository, as they may come back
 *		from a damaged table, and from the encoder.
 *
 * An input's first bytes say what the cells are and how many; the rest is a
 * coded block, which is decoded twice into memory with something else in it
 * before: it is refused both times, or gives the same cells.  Or the rest is
 * cells, which are encoded with and without a base: what comes out must be
 * they, and with one byte changed it may be anything but must do no harm.
 */
#include "postgres.h"

#include "harness.h"
#include "repo/block.h"
#include "utils/memutils.h"

#define HEADER_BYTES	5

typedef struct Job
{
	const uint8 *data;			/* after the header */
	size_t		size;
	CellLayout	layout;
	Size		bytes;			/* of the block */
	bool		has_base;
	bool		encode;
	uint8		change;			/* of a byte of what was encoded */
	uint8		before;			/* what is in the memory for cells */
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_header(Job *job, const uint8_t *data)
{
	static const KernelNumber numbers[] = {KERNEL_UNSIGNED, KERNEL_SIGNED, KERNEL_FLOAT};

	job->layout.width = 1 << (data[0] & 3);
	job->layout.number = numbers[(data[0] >> 2 & 3) % lengthof(numbers)];
	job->has_base = (data[0] & 0x10) != 0;
	job->encode = (data[0] & 0x20) != 0;
	job->change = data[1];
	job->bytes = (data[2] | data[3] << 8 | data[4] << 16) % (OBJECT_BLOCK_BYTES + 1);
	if ((data[0] & 0x40) == 0)
		job->bytes %= 4096;		/* most blocks are small, or nothing else would be tried */
	if (job->layout.number == KERNEL_FLOAT && job->layout.width == 1)
		job->layout.number = KERNEL_SIGNED;
	job->bytes -= job->bytes % job->layout.width;
	job->layout.bytes = job->bytes;
}

/* Coders are kept, as a reader keeps one for all blocks: what one block leaves
 * in it must not matter to the next. */
static BlockCoder *
get_coder(const Job *job)
{
	static BlockCoder *coders[9][3];
	BlockCoder **coder = &coders[job->layout.width][job->layout.number];

	if (TopMemoryContext == NULL)
		server_memory_init();
	if (*coder == NULL)
	{
		MemoryContextSwitchTo(TopMemoryContext);
		*coder = block_coder_create(job->layout);
	}
	return *coder;
}

/* Exactly as large, so that the sanitizer sees what goes beyond. */
static char *
buffer(size_t size)
{
	char	   *bytes = malloc(size > 0 ? size : 1);

	if (bytes == NULL)
		server_die("malloc of %zu bytes failed", size);
	return bytes;
}

/* Cells from the input, from a place on, repeated as often as it takes. */
static char *
make_cells(const Job *job, size_t first)
{
	char	   *cells = buffer(job->bytes);
	size_t		step;

	if (job->size == 0)
		memset(cells, 0, job->bytes);
	else
		for (size_t done = 0; done < job->bytes; done += step)
		{
			first %= job->size;
			step = Min(job->bytes - done, job->size - first);
			memcpy(cells + done, job->data + first, step);
			first = 0;
		}
	return cells;
}

/* Whatever was in the memory before. */
static bool
decode(Job *job, const char *base, const char *coded, size_t size, char *cells)
{
	memset(cells, job->before, job->bytes);
	return block_decode(get_coder(job), cells, base, job->bytes, coded, size);
}

/* ---------- from a table ---------- */

static bool
decode_input(Job *job, const char *base)
{
	char	   *coded = buffer(job->size);
	char	   *cells = buffer(job->bytes);
	char	   *again = buffer(job->bytes);
	bool		good = false;

	memcpy(coded, job->data, job->size);
	if (job->size <= block_coded_bound() &&
		(base != NULL || !block_needs_base(coded, job->size)))
	{
		good = decode(job, base, coded, job->size, cells);
		job->before = ~job->before;
		if (decode(job, base, coded, job->size, again) != good)
			server_die("a block is refused only sometimes");
		if (good && memcmp(cells, again, job->bytes) != 0)
			server_die("a block is decoded in two ways");
	}
	free(coded);
	free(cells);
	free(again);
	return good;
}

/* ---------- from the encoder ---------- */

static void
encode_input(Job *job, const char *base)
{
	char	   *cells = make_cells(job, 0);
	char	   *decoded = buffer(job->bytes);
	const void *coded;
	Size		size = block_encode(get_coder(job), cells, base, job->bytes,
									&coded);
	char	   *copy = buffer(size);

	if (size > block_coded_bound())
		server_die("a coded block is larger than blocks can be");
	memcpy(copy, coded, size);
	if (base == NULL && block_needs_base(copy, size))
		server_die("a block needs a base that it was not given");
	if (!decode(job, base, copy, size, decoded) ||
		memcmp(decoded, cells, job->bytes) != 0)
		server_die("a block is not what was encoded");
	if (size > 0)
		copy[job->change * 7 % size] ^= job->change;
	if (base != NULL || !block_needs_base(copy, size))
		(void) decode(job, base, copy, size, decoded);
	free(copy);
	free(decoded);
	free(cells);
}

/* ---------- the target ---------- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Job			job = {0};
	char	   *base = NULL;
	bool		good = true;

	if (size < HEADER_BYTES)
		return 0;
	read_header(&job, data);
	job.data = data + HEADER_BYTES;
	job.size = size - HEADER_BYTES;
	if (job.has_base)
		base = make_cells(&job, 1);
	if (job.encode)
		encode_input(&job, base);
	else
		good = decode_input(&job, base);
	free(base);
	harness_outcome(good);
	return 0;
}
