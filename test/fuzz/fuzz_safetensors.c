/*
 * fuzz_safetensors.c
 *		libFuzzer target: safetensors files and indexes, to a model and back.
 *
 * An input is a file, or an index of the two shards that are beside it here:
 * one has the tensors "a" and "b", the other "c".  A model that comes out must
 * have metadata that jsonb takes, must not depend on what was in memory
 * before, and must pass for a model when its bytes come back from outside.
 * Written and read again it must be the same but for the order of tensors, and
 * so must be its strings; written once more it must be the same bytes.
 */
#include "postgres.h"

#include "format/safetensors.h"
#include "harness.h"

typedef struct Job
{
	const char *data;
	size_t		size;
	Siblings   *siblings;
	char	   *flat;			/* the model */
	uint64		flat_size;
	char	   *written;		/* the model as a file */
	size_t		written_size;
} Job;

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---------- files beside an index ---------- */

typedef struct Shard
{
	const char *name;
	const char *header;			/* and as many bytes as it announces */
	size_t		elements;
} Shard;

static const Shard shards[] = {
	{"x-1.safetensors",
		"{\"__metadata__\":{\"format\":\"pt\"},"
		"\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
	"\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[3,4]}}", 4},
	{"x-2.safetensors",
	"{\"c\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2},
};

static const Shard *
find_shard(const char *name)
{
	for (int i = 0; i < lengthof(shards); i++)
	{
		if (strcmp(shards[i].name, name) == 0)
			return &shards[i];
	}
	if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(name) ||
		strlen(name) > 255)
		server_die("a file is asked for by a path");
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("there is no file of that name")));
	return NULL;
}

static uint64
shard_size(Siblings *siblings, const char *name)
{
	const Shard *shard = find_shard(name);

	return 8 + strlen(shard->header) + shard->elements;
}

static void
shard_read(Siblings *siblings, const char *name, uint64 offset, uint64 n,
		   char *dst)
{
	const Shard *shard = find_shard(name);
	size_t		length = strlen(shard->header);
	size_t		size = 8 + length + shard->elements;
	char	   *bytes;

	if (offset > size || n > size - offset)
		server_die("bytes are read that a shard does not have");
	bytes = palloc(size);
	memset(bytes, 0, 8);
	bytes[0] = (char) (length & 0xff);
	bytes[1] = (char) (length >> 8);
	memcpy(bytes + 8, shard->header, length);
	memset(bytes + 8 + length, 1, shard->elements);
	memcpy(dst, bytes + offset, n);
	pfree(bytes);
}

/* ---------- reading ---------- */

static void
read_file(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.check_crc = true,.siblings = job->siblings};
	Model	   *model = harness_read(&format_safetensors, job->data, job->size, &options);

	if (!format_safetensors.detect(job->data, job->size))
		server_die("a file is read that is not detected");
	model_check_names(model, ERRCODE_INTERNAL_ERROR);
	harness_check_json(model->metadata, '{');
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

/* ---------- writing ---------- */

static void
write_file(void *arg)
{
	Job		   *job = arg;

	job->written = harness_write(&format_safetensors, parse_flat(job),
								 &job->written_size);
}

static void
read_written(void *arg)
{
	Job		   *job = arg;
	ReadOptions options = {.check_crc = true};
	Model	   *model = parse_flat(job);
	Model	   *again = harness_read(&format_safetensors, job->written,
												job->written_size, &options);
	size_t		size;
	char	   *written;

	harness_compare_tensors(model, again, false);
	if (strcmp(model->metadata, again->metadata) != 0)
		server_die("metadata %s is written as %s", model->metadata,
				   again->metadata);
	written = harness_write(&format_safetensors, again, &size);
	if (size != job->written_size || memcmp(written, job->written, size) != 0)
		server_die("a file that was written is written otherwise the second time");
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

/* ---------- the target ---------- */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Siblings	siblings = {shard_size, shard_read};
	Job			job = {.size = size,.siblings = &siblings};
	bool		was_read;

	harness_begin(data, size);
	job.data = harness_copy(data, size, HARNESS_BYTEA_OFFSET);
	was_read = harness_attempt(read_file, &job);
	if (was_read)
		check_model(&job);
	harness_end();
	harness_outcome(was_read);
	return 0;
}
