/*
 * tree.c
 *		What identifies a tree.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "repo/tree.h"

void
tree_digest(Model *model, uint8 (*objects)[MODEL_DIGEST_LENGTH],
			uint8 *digest)
{
	StringInfoData bytes;
	pg_cryptohash_ctx *hash;
	bool		good;

	initStringInfo(&bytes);
	appendBinaryStringInfo(&bytes, (const char *) model_digest(model),
						   MODEL_DIGEST_LENGTH);
	for (int i = 0; i < model->ntensors; i++)
	{
		int32		payload = model->tensors[i].payload;

		appendBinaryStringInfo(&bytes, (const char *) &payload, sizeof(payload));
		appendBinaryStringInfo(&bytes, (const char *) objects[payload],
							   MODEL_DIGEST_LENGTH);
	}
	hash = pg_cryptohash_create(PG_SHA256);
	good = hash != NULL && pg_cryptohash_init(hash) >= 0 &&
		pg_cryptohash_update(hash, (uint8 *) bytes.data, bytes.len) >= 0 &&
		pg_cryptohash_final(hash, digest, MODEL_DIGEST_LENGTH) >= 0;
	pg_cryptohash_free(hash);
	pfree(bytes.data);
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256")));
}
