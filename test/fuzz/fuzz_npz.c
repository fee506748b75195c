/*
 * fuzz_npz.c
 *		libFuzzer target: NumPy's files, from bytes to a model and back.
 *
 * An input is an archive of arrays or one array; zip_mutator.c mutates what is
 * in archives.  A model that comes out must not depend on what was in memory
 * before, must pass for a model when its bytes come back from outside, and
 * must be the same when it is written and read again.
 */
#include "postgres.h"

#include "harness.h"

static const Format *const all[] = {&format_npz, &format_npy};

typedef struct Job
{
	const char *data;
	size_t		size;
	const Format *format;
	bool		check_crc;
	char	   *flat;			/* the model */
	uint64		flat_size;
	char	   *written;		/* the model as a file */
	size_t		written_size;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_file(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.check_crc = job->check_crc};
	Model	   *model = harness_read(job->format, job->data, job->size, &options);

	if (!job->format->detect(job->data, job->size) && model->ntensors > 0)
		server_die("a file is read that is not detected");
	if (strcmp(model->metadata, "{}") != 0)
		server_die("arrays have metadata");
	harness_read_payloads(model);
	job->flat = harness_flatten(model, &job->flat_size);
}

/* Reads once more into memory that was filled with something else. */
static void
check_determinism(const Job *job)
{
	Job			again = *job;
	uint8		fill = server_memory_fill;
	bool		done;

	server_memory_fill = (uint8) ~fill;
	done = harness_attempt(read_file, &again);
	server_memory_fill = fill;
	if (!done || again.flat_size != job->flat_size ||
		memcmp(again.flat, job->flat, job->flat_size) != 0)
		server_die("a file gives another model the second time");
}

static Model *
parse_flat(const Job *job)
{
	return model_parse(CurrentMemoryContext, job->flat, job->flat_size,
					   job->flat_size, NULL);
}

static void
verify_flat(void *arg)
{
	Job		   *job = arg;
	Model	   *model = parse_flat(job);
	uint64		size;
	char	   *flat;

	model_verify(model);
	flat = harness_flatten(model, &size);
	if (size != job->flat_size || memcmp(flat, job->flat, size) != 0)
		server_die("a model that was read is stored in two ways");
}

static void
write_file(void *arg)
{
	Job		   *job = arg;

	job->written = harness_write(job->format, parse_flat(job),
								 &job->written_size);
}

static void
read_written(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.check_crc = true};
	Model	   *model = harness_read(job->format, job->written, job->written_size,
										  &options);

	harness_compare_tensors(parse_flat(job), model, true);
}

static void
check_model(Job *job)
{
	check_determinism(job);
	if (!harness_attempt(verify_flat, job))
		server_die("a model that was read cannot be stored: %s",
				   server_error_text());
	if (!harness_attempt(write_file, job))
		server_die("a model that was read cannot be written: %s",
				   server_error_text());
	if (!harness_attempt(read_written, job))
		server_die("a file that was written cannot be read: %s",
				   server_error_text());
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Job			job = {.size = size};
	bool		was_read = false;

	for (int i = 0; i < lengthof(all) * 2; i++)
	{
		harness_begin(data, size);
		job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
		job.format = all[i / 2];
		job.check_crc = i % 2 == 0;
		if (harness_attempt(read_file, &job))
		{
			if (job.check_crc)
				was_read = true;
			check_model(&job);
		}
		harness_end();
	}
	harness_outcome(was_read);
	return 0;
}
