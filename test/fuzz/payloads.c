/*
 * payloads.c
 *		Reads and builds payloads in all ways there are, and compares.
 */
#include "postgres.h"

#include "harness.h"
#include "kernel/kernel.h"
#include "kernel/sparse_variants.h"

/* Elements up to which the kernel's variants are compared. */
#define MAX_COMPARED	4096

/* ---------- reading ---------- */

/* Adds up the elements as numbers, the way that statistics do. */
static void
read_numbers(DType dtype, const void *elements, int64 n, KernelStats *stats)
{
	static double numbers[PAYLOAD_CHUNK];
	static float floats[PAYLOAD_CHUNK];

	dtype_to_double(dtype, elements, 0, n, numbers);
	dtype_to_float(dtype, elements, 0, n, floats);
	kernel_stats_f64(stats, numbers, n);
}

static void
read_payload(Payload *payload)
{
	uint64		size = dtype_bytes(payload->dtype, payload->count);
	char	   *decoded = palloc_extended(size, MCXT_ALLOC_HUGE);
	PayloadReader *reader;
	KernelStats stats;
	const void *elements;
	int64		n;
	uint64		position = 0;

	payload_decode(payload, decoded);
	kernel_stats_init(&stats);
	reader = payload_reader_create(payload);
	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		uint64		bytes = dtype_bytes(payload->dtype, n);

		if (memcmp(decoded + position, elements, bytes) != 0)
			server_die("two ways of reading a payload differ");
		read_numbers(payload->dtype, elements, n, &stats);
		position += bytes;
	}
	payload_reader_free(reader);
	kernel_stats_finish(&stats);
	if (position != size)
		server_die("a payload has " UINT64_FORMAT " bytes, and " UINT64_FORMAT " were read",
				   size, position);
	if (payload_zeros(payload) > payload->count)
		server_die("a payload has more zeros than elements");
	pfree(decoded);
}

void
harness_read_payloads(Model *model)
{
	for (int i = 0; i < model->npayloads; i++)
		read_payload(model->payloads[i]);
	(void) model_parameters(model);
}

/* ---------- building ---------- */

/* Elements that the sparse encoding stores. */
static int64
count_values(Payload *payload)
{
	PayloadReader *reader = payload_reader_create(payload);
	const void *elements;
	int64		values = 0;
	int64		n;

	while ((n = payload_reader_next(reader, &elements)) > 0)
		values += kernel_count_nonzero(elements, n,
									   dtype_bits(payload->dtype) / 8);
	payload_reader_free(reader);
	return values;
}

/* nonzero as payload_builder_create takes it. */
static void
rebuild(Model *model, Payload *payload, int64 nonzero)
{
	PayloadBuilder *builder = payload_builder_create(model, payload->dtype,
													 payload->count, nonzero);
	PayloadReader *reader = payload_reader_create(payload);
	const void *elements;
	int64		n;
	int			index;
	Payload    *built;

	while ((n = payload_reader_next(reader, &elements)) > 0)
		payload_builder_append(builder, elements, n);
	payload_reader_free(reader);
	index = payload_builder_finish(builder);
	built = model->payloads[index];
	if (memcmp(payload_digest(built), payload_digest(payload),
			   MODEL_DIGEST_LENGTH) != 0)
		server_die("a payload that is built anew has other elements");
	if (built->stored > dtype_bytes(built->dtype, built->count))
		server_die("a payload is stored in more bytes than its elements have");
}

/* Packs with one variant into buffers of exactly the size, and unpacks. */
static void
compare_variant(const SparseVariant *variant, const char *dense, size_t n,
				int width, size_t nonzero)
{
	size_t		mask_size = (n + 7) / 8;
	size_t		size = nonzero * width;
	uint8	   *mask = palloc0(mask_size);
	char	   *values = palloc(size + MODEL_ALIGNMENT);
	char	   *exact = palloc(size);
	char	   *unpacked = palloc(n * width);

	if (variant->pack(dense, n, width, mask, values) != nonzero)
		server_die("variant %s packs another number of values", variant->name);
	memcpy(exact, values, size);
	if (variant->unpack(unpacked, n, width, mask, exact) != nonzero ||
		memcmp(unpacked, dense, n * width) != 0)
		server_die("variant %s unpacks something else", variant->name);
	pfree(mask);
	pfree(values);
	pfree(exact);
	pfree(unpacked);
}

static void
compare_variants(Payload *payload)
{
	int			width = dtype_bits(payload->dtype) / 8;
	char	   *dense;
	size_t		nonzero;

	if (payload->count > MAX_COMPARED)
		return;
	dense = palloc(payload->count * width);
	payload_decode(payload, dense);
	nonzero = kernel_count_nonzero(dense, payload->count, width);
	for (int i = 0; i < kernel_sparse_nvariants; i++)
	{
		if (kernel_sparse_variants[i]->supported())
			compare_variant(kernel_sparse_variants[i], dense, payload->count,
							width, nonzero);
	}
	pfree(dense);
}

void
harness_rebuild_payloads(Model *model)
{
	Model	   *built = model_create(CurrentMemoryContext);

	for (int i = 0; i < model->npayloads; i++)
	{
		Payload    *payload = model->payloads[i];

		rebuild(built, payload, -1);
		if (dtype_bits(payload->dtype) >= 8)
		{
			int64		values = count_values(payload);

			rebuild(built, payload, values);
			rebuild(built, payload, values + (payload->count - values) / 3);
			compare_variants(payload);
		}
	}
	model_free(built);
}
