/*
 * server_hash.c
 *		SHA-256 (FIPS 180-4) behind the server's interface.
 *
 * Written out here so that the fuzzers need no library for it, and so that
 * digests are checked against another implementation than the server's; the
 * seeds' digests come from a third.  Open hashes are in a list, because an
 * error leaves them to the end of the transaction.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "server.h"

struct pg_cryptohash_ctx
{
	pg_cryptohash_ctx *next;	/* in the list of those that are open */
	uint32		state[8];
	uint64		length;			/* bytes so far */
	uint8		block[64];
};

static pg_cryptohash_ctx *open_hashes = NULL;

static const uint32 constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static const uint32 initial_state[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
};

static inline uint32
rotate(uint32 x, int n)
{
	return x >> n | x << (32 - n);
}

static void
compress(uint32 *state, const uint8 *block)
{
	uint32		w[64];
	uint32		s[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32) block[4 * i] << 24 | (uint32) block[4 * i + 1] << 16 |
			(uint32) block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
			(rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
			(rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, state, sizeof(s));
	for (int i = 0; i < 64; i++)
	{
		uint32		t1 = s[7] + constants[i] + w[i] +
			(rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
			((s[4] & s[5]) ^ (~s[4] & s[6]));
		uint32		t2 =
			(rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
			((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(uint32));
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

pg_cryptohash_ctx *
pg_cryptohash_create(pg_cryptohash_type type)
{
	pg_cryptohash_ctx *hash;

	if (type != PG_SHA256)
		server_die("hash of type %d is wanted", type);
	hash = malloc(sizeof(pg_cryptohash_ctx));
	if (hash == NULL)
		server_die("no memory for a hash");
	hash->next = open_hashes;
	open_hashes = hash;
	return hash;
}

int
pg_cryptohash_init(pg_cryptohash_ctx *hash)
{
	memcpy(hash->state, initial_state, sizeof(hash->state));
	hash->length = 0;
	return 0;
}

int
pg_cryptohash_update(pg_cryptohash_ctx *hash, const uint8 *data, size_t len)
{
	while (len > 0)
	{
		size_t		used = hash->length % 64;
		size_t		step = Min(len, 64 - used);

		memcpy(hash->block + used, data, step);
		hash->length += step;
		data += step;
		len -= step;
		if (hash->length % 64 == 0)
			compress(hash->state, hash->block);
	}
	return 0;
}

int
pg_cryptohash_final(pg_cryptohash_ctx *hash, uint8 *dest, size_t len)
{
	uint64		bits = hash->length * 8;
	uint8		end[8];
	uint8		byte = 0x80;

	if (len < PG_SHA256_DIGEST_LENGTH)
		return -1;
	pg_cryptohash_update(hash, &byte, 1);
	byte = 0;
	while (hash->length % 64 != 56)
		pg_cryptohash_update(hash, &byte, 1);
	for (int i = 0; i < 8; i++)
		end[i] = bits >> (56 - 8 * i);
	pg_cryptohash_update(hash, end, sizeof(end));
	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		dest[i] = hash->state[i / 4] >> (24 - 8 * (i % 4));
	return 0;
}

void
pg_cryptohash_free(pg_cryptohash_ctx *hash)
{
	pg_cryptohash_ctx **link = &open_hashes;

	if (hash == NULL)
		return;
	while (*link != hash)
	{
		if (*link == NULL)
			server_die("a hash is freed that is not open");
		link = &(*link)->next;
	}
	*link = hash->next;
	free(hash);
}

int
server_hashes_release(void)
{
	int			released = 0;

	while (open_hashes != NULL)
	{
		pg_cryptohash_free(open_hashes);
		released++;
	}
	return released;
}
