/*
 * object.c
 *		What an object is: its identity and its cells.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "port/pg_crc32c.h"
#include "repo/object.h"

CellLayout
cell_layout(DType dtype, Encoding encoding, int64 count, uint64 form_bytes)
{
	static const KernelNumber numbers[] = {
		[DTYPE_KIND_FLOAT] = KERNEL_FLOAT,
		[DTYPE_KIND_SIGNED] = KERNEL_SIGNED,
		[DTYPE_KIND_UNSIGNED] = KERNEL_UNSIGNED,
		[DTYPE_KIND_BOOL] = KERNEL_UNSIGNED,
		[DTYPE_KIND_POWER] = KERNEL_UNSIGNED,
	};
	CellLayout	layout = {1, KERNEL_UNSIGNED, form_bytes};

	if (object_is_plain(encoding))
	{
		layout.bytes = dtype_bytes(dtype, count);
		if (dtype_bits(dtype) >= 8)
		{
			layout.width = dtype_bits(dtype) / 8;
			layout.number = numbers[dtype_info(dtype)->kind];
		}
	}
	return layout;
}

uint32
object_block_crc(const void *cells, Size bytes)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, cells, bytes);
	FIN_CRC32C(crc);
	return crc;
}

static void
check_hash(int result)
{
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256")));
}

/* The bytes of a payload whose encoding is part of its identity. */
static void
hash_form(pg_cryptohash_ctx *hash, Payload *payload)
{
	uint64		n;
	char	   *buffer = palloc(OBJECT_BLOCK_BYTES);

	for (uint64 done = 0; done < payload->stored; done += n)
	{
		n = Min(payload->stored - done, (uint64) OBJECT_BLOCK_BYTES);
		payload_copy_part(payload, done, n, buffer);
		check_hash(pg_cryptohash_update(hash, (uint8 *) buffer, n));
	}
	pfree(buffer);
}

void
object_digest(Payload *payload, uint8 *digest)
{
	const uint8 *content = payload_digest(payload);
	bool		plain = object_is_plain(payload->encoding);
	uint8		type[2] = {payload->dtype, plain ? ENCODING_DENSE : payload->encoding};
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	PG_TRY();
	{
		check_hash(pg_cryptohash_init(hash));
		check_hash(pg_cryptohash_update(hash, type, sizeof(type)));
		check_hash(pg_cryptohash_update(hash, content, MODEL_DIGEST_LENGTH));
		if (!plain)
			hash_form(hash, payload);
		check_hash(pg_cryptohash_final(hash, digest, MODEL_DIGEST_LENGTH));
	}
	PG_FINALLY();
	{
		pg_cryptohash_free(hash);
	}
	PG_END_TRY();
}
