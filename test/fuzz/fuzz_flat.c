/*
 * fuzz_flat.c
 *		libFuzzer target: the flat form, as from outside and as from a table.
 *
 * An input is a model's bytes; the length word is set to what it would be.
 *
 * As from outside it is parsed and verified, which is what model_recv does;
 * what passes must give exactly the same bytes again, and must stand being
 * written in each format.  As from a table it is
 * parsed without being verified, once with its payloads at hand and once with
 * them elsewhere: there the payloads may hold anything, and reading them may
 * raise but must not do harm.
 *
 * Digests would stop most mutants, so the mutator mends them, and the sizes in
 * the header, in three mutants of four.
 */
#include "postgres.h"

#include "format/format.h"
#include "harness.h"
#include "utils/memutils.h"

/* Places in the flat form: see src/model/flat.c. */
#define TOTAL_OFFSET			32
#define DIGEST_OFFSET			40
#define PAYLOAD_SIZE			64
#define PAYLOAD_DIGEST_OFFSET	32

typedef struct Job
{
	const char *flat;
	size_t		size;
	char	   *mended;			/* for the mutator */
	const char *manifest;		/* a copy without the payloads */
	uint64		manifest_size;
	struct LazySource *toast;	/* where the payloads are */
	char	   *again;			/* the flat form that was written */
	uint64		again_size;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t		LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t		LLVMFuzzerCustomMutator(uint8_t *data, size_t size,
									size_t max_size, unsigned int seed);

/* ---------- as from outside ---------- */

static void
read_outside(void *arg)
{
	Job		   *job = arg;
	Model	   *model = model_parse(CurrentMemoryContext, job->flat, job->size,
									job->size, NULL);
	Model	   *copy;
	Model	   *shared;

	model_verify(model);
	harness_read_payloads(model);
	job->again = harness_flatten(model, &job->again_size);
	if (job->again_size != job->size ||
		memcmp(job->again, job->flat, job->size) != 0)
		server_die("a flat form of %zu bytes is written as another of " UINT64_FORMAT,
				   job->size, job->again_size);

	/* The digests in it are what is computed afresh, too. */
	copy = model_copy(CurrentMemoryContext, model);
	for (int i = 0; i < copy->npayloads; i++)
		copy->payloads[i]->has_digest = false;
	copy->has_digest = false;
	if (memcmp(model_digest(copy), job->flat + DIGEST_OFFSET,
			   MODEL_DIGEST_LENGTH) != 0)
		server_die("a copy of the model has another digest");
	for (int i = 0; i < model->ntensors; i++)
	{
		if (model_find_tensor(model, model->tensors[i].name) != i)
			server_die("a tensor is not found by its name");
	}
	model_free(model);
	shared = model_copy(CurrentMemoryContext, copy);
	model_free(copy);
	harness_read_payloads(shared);
	harness_rebuild_payloads(shared);
}

/* Writers get models with any metadata that is JSON, and this may be none. */
static void
write_formats(void *arg)
{
	Job		   *job = arg;
	Model	   *model = model_parse(CurrentMemoryContext, job->flat, job->size,
									job->size, NULL);

	for (int i = 0; formats[i] != NULL; i++)
	{
		if (formats[i]->write != NULL)
			(void) sink_to_bytea(formats[i], model, NULL);
	}
}

/* ---------- as from a table ---------- */

static void
read_borrowed(void *arg)
{
	Job		   *job = arg;
	Model	   *model = model_parse(CurrentMemoryContext, job->flat, job->size,
									job->size, NULL);
	char	   *again = harness_flatten(model, &job->again_size);

	if (job->again_size != job->size ||
		memcmp(again, job->flat, job->size) != 0)
		server_die("a flat form with its digests taken over is written as another");
	harness_read_payloads(model);
}

/* Reads the manifest alone, then the payloads from elsewhere. */
static void
read_toasted(void *arg)
{
	Job		   *job = arg;
	Model	   *model = model_parse(CurrentMemoryContext, job->manifest,
									job->manifest_size, job->size,
									job->toast);
	Model	   *shared;

	harness_read_payloads(model);
	job->again = harness_flatten(model, &job->again_size);
	shared = model_copy(CurrentMemoryContext, model);
	for (int i = 0; i < model->npayloads; i++)
		payload_own(model->payloads[i]);
	if (server_toast_users(job->toast) != 0)
		server_die("a payload is still attached after it was loaded");
	model_free(model);
	harness_read_payloads(shared);
}

static void
find_manifest(void *arg)
{
	Job		   *job = arg;

	job->manifest_size = flat_manifest_end(job->flat, job->size);
}

static void
read_elsewhere(Job *job, bool borrowed)
{
	bool		done;

	if (!harness_attempt(find_manifest, job) || job->manifest_size > job->size)
		return;
	job->manifest = harness_copy(job->flat, job->manifest_size,
								 HARNESS_MODEL_OFFSET);
	job->toast = server_toast_create(job->flat, job->size);
	done = harness_attempt(read_toasted, job);
	if (server_toast_users(job->toast) != 0)
		server_die("a payload is still attached after its statement");
	server_toast_free(job->toast);
	if (borrowed && !done)
		server_die("payloads cannot be read from elsewhere: %s",
				   server_error_text());

	/* Padding between payloads is looked at only when it is at hand. */
	if (borrowed && (job->again_size != job->size ||
					 memcmp(job->again, job->flat, job->size) != 0))
		server_die("payloads from elsewhere are written as others");
}

/* ---------- the target ---------- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *flat;
	Job			job = {.size = size};
	bool		verified;
	bool		borrowed;

	if (size < VARHDRSZ || size > MaxAllocSize)
		return -1;
	harness_begin(data, size);
	job.flat = flat = harness_copy(data, size, HARNESS_MODEL_OFFSET);
	SET_VARSIZE(flat, size);
	verified = harness_attempt(read_outside, &job);
	borrowed = harness_attempt(read_borrowed, &job);
	if (verified && !borrowed)
		server_die("a model that is verified cannot be read: %s",
				   server_error_text());
	read_elsewhere(&job, borrowed);
	if (verified)
		(void) harness_attempt(write_formats, &job);
	harness_outcome(verified);
	harness_end();
	return 0;
}

/* ---------- the mutator ---------- */

/* Puts the digests that a model has into its bytes, as far as it can be
 * parsed and decoded. */
static void
mend_digests(void *arg)
{
	Job		   *job = arg;
	Model	   *model = model_parse(CurrentMemoryContext, job->flat, job->size,
									job->size, NULL);
	char	   *entry = job->mended + FLAT_HEADER_SIZE;

	for (int i = 0; i < model->npayloads; i++, entry += PAYLOAD_SIZE)
	{
		model->payloads[i]->has_digest = false;
		memcpy(entry + PAYLOAD_DIGEST_OFFSET,
			   payload_digest(model->payloads[i]), MODEL_DIGEST_LENGTH);
	}
	model->has_digest = false;
	memcpy(job->mended + DIGEST_OFFSET, model_digest(model),
		   MODEL_DIGEST_LENGTH);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
						unsigned int seed)
{
	Job			job = {0};
	uint64		total;

	size = LLVMFuzzerMutate(data, size, max_size);
	if (seed % 4 == 0 || size < FLAT_HEADER_SIZE)
		return size;
	total = size;
	memcpy(data + TOTAL_OFFSET, &total, sizeof(total));
	harness_begin(data, size);
	job.size = size;
	job.flat = harness_copy(data, size, HARNESS_MODEL_OFFSET);
	job.mended = harness_copy(data, size, HARNESS_MODEL_OFFSET);
	(void) harness_attempt(mend_digests, &job);
	memcpy(data, job.mended, size);
	harness_end();
	return size;
}
