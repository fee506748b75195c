/*
 * digest.c
 *		What makes two models the same: SHA-256 over decoded content.
 *
 * A payload's digest covers its decoded bytes, so the same weights have the
 * same digest however they are encoded.  A model's digest covers names,
 * dtypes, shapes, payload digests and metadata, in order; which tensors share
 * a payload and the recipe are not content.  Both layouts are part of the
 * format: they never change.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "model/model.h"

/* Bytes hashed between looks for interrupts. */
#define HASH_STEP	(1024 * 1024)

StaticAssertDecl(MODEL_DIGEST_LENGTH == PG_SHA256_DIGEST_LENGTH,
				 "a digest is a SHA-256");

static void
check_hash(int result)
{
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256")));
}

static pg_cryptohash_ctx *
hash_begin(void)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	check_hash(pg_cryptohash_init(hash));
	return hash;
}

static void
hash_add(pg_cryptohash_ctx *hash, const void *data, uint64 length)
{
	const uint8 *bytes = data;

	for (uint64 done = 0; done < length; done += HASH_STEP)
	{
		CHECK_FOR_INTERRUPTS();
		check_hash(pg_cryptohash_update(hash, bytes + done,
										Min((uint64) HASH_STEP,
											length - done)));
	}
}

static void
hash_end(pg_cryptohash_ctx *hash, uint8 *digest)
{
	check_hash(pg_cryptohash_final(hash, digest, MODEL_DIGEST_LENGTH));
	pg_cryptohash_free(hash);
}

const uint8 *
payload_digest(Payload *payload)
{
	pg_cryptohash_ctx *hash;
	PayloadReader *reader;
	const void *elements;
	int64		n;

	if (payload->has_digest)
		return payload->digest;

	/* Every chunk but the last has an even number of elements, so packed
	 * ones hash as they lie. */
	reader = payload_reader_create(payload);
	hash = hash_begin();
	while ((n = payload_reader_next(reader, &elements)) > 0)
		hash_add(hash, elements, dtype_bytes(payload->dtype, n));
	hash_end(hash, payload->digest);
	payload_reader_free(reader);
	payload->has_digest = true;
	return payload->digest;
}

const uint8 *
model_digest(Model *model)
{
	pg_cryptohash_ctx *hash;
	uint32		metadata_size = strlen(model->metadata);

	if (model->has_digest)
		return model->digest;
	for (int i = 0; i < model->npayloads; i++)
		payload_digest(model->payloads[i]);

	hash = hash_begin();
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];
		const Payload *payload = tensor_payload(model, tensor);
		uint32		name_length = strlen(tensor->name);
		uint8		type[2] = {payload->dtype, tensor->ndim};

		hash_add(hash, &name_length, sizeof(name_length));
		hash_add(hash, tensor->name, name_length);
		hash_add(hash, type, sizeof(type));
		hash_add(hash, tensor->dims, tensor->ndim * sizeof(int64));
		hash_add(hash, payload->digest, MODEL_DIGEST_LENGTH);
	}
	hash_add(hash, &metadata_size, sizeof(metadata_size));
	hash_add(hash, model->metadata, metadata_size);
	if (model->graph != NULL)
	{
		hash_add(hash, &model->graph_size, sizeof(model->graph_size));
		hash_add(hash, model->graph, model->graph_size);
	}
	hash_end(hash, model->digest);
	model->has_digest = true;
	return model->digest;
}
