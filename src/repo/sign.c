/*
 * sign.c
 *		Ed25519: public keys in the forms that people have them in, and whether
 *		a signature is one of some bytes.
 *
 * Owns the dealings with OpenSSL, whose objects live within one function each:
 * nothing is raised before they are freed.  It must not know what is signed,
 * and there is nothing here that a private key could be given to.
 */
#include "postgres.h"

#include "compat.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(modelopt_ed25519_key);
PG_FUNCTION_INFO_V1(modelopt_ed25519_verify);

#define KEY_LENGTH			32
#define SIGNATURE_LENGTH	64

/* No form of an Ed25519 key is anywhere near as long. */
#define MAX_KEY_TEXT		4096

/*
 * The encodings of points of small order, but for the sign bit: for a key that
 * is one of them, anybody can make signatures, and some fit every message.
 */
static const uint8 small_order_points[][KEY_LENGTH] = {
	/* 0: order 4 */
	{0},
	/* 1: order 1 */
	{1},
	/* order 8 */
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
		0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
	0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	/* order 8 */
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
		0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
	0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	/* p - 1: order 2 */
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	/* p, which is 0 */
	{0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	/* p + 1, which is 1 */
	{0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

static bool
has_small_order(const uint8 *key)
{
	uint8		point[KEY_LENGTH];

	memcpy(point, key, KEY_LENGTH);
	point[KEY_LENGTH - 1] &= 0x7f;
	for (int i = 0; i < lengthof(small_order_points); i++)
		if (memcmp(point, small_order_points[i], KEY_LENGTH) == 0)
			return true;
	return false;
}

/* ---------- keys ---------- */

/* A key's raw form; false when it is no Ed25519 key.  Frees it. */
static bool
take_raw(EVP_PKEY *key, uint8 *raw)
{
	size_t		length = KEY_LENGTH;
	bool		good = key != NULL &&
		EVP_PKEY_id(key) == EVP_PKEY_ED25519 &&
		EVP_PKEY_get_raw_public_key(key, raw, &length) == 1 &&
		length == KEY_LENGTH;

	EVP_PKEY_free(key);
	return good;
}

static bool
read_der(const uint8 *bytes, int n, uint8 *raw)
{
	const uint8 *end = bytes;
	EVP_PKEY   *key = d2i_PUBKEY(NULL, &end, n);

	if (end != bytes + n)
	{
		EVP_PKEY_free(key);
		return false;
	}
	return take_raw(key, raw);
}

/* Without it OpenSSL would ask at the terminal, and a server waits there. */
static int
no_passphrase(char *buffer, int size, int for_writing, void *data)
{
	return -1;
}

static bool
read_pem(const uint8 *bytes, int n, uint8 *raw)
{
	BIO		   *bio = BIO_new_mem_buf(bytes, n);
	EVP_PKEY   *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);

	BIO_free(bio);
	return take_raw(key, raw);
}

static bool
has_text(const bytea *bytes, const char *wanted)
{
	char	   *start = pnstrdup(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));

	return strstr(start, wanted) != NULL;
}

/* The raw form of a public key that is given raw, as PEM or as DER. */
Datum
modelopt_ed25519_key(PG_FUNCTION_ARGS)
{
	bytea	   *given = PG_GETARG_BYTEA_PP(0);
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(given);
	int			n = VARSIZE_ANY_EXHDR(given);
	bytea	   *result = palloc(KEY_LENGTH + VARHDRSZ);
	uint8	   *raw = (uint8 *) VARDATA(result);
	bool		good;

	SET_VARSIZE(result, KEY_LENGTH + VARHDRSZ);
	if (n <= MAX_KEY_TEXT && has_text(given, "PRIVATE KEY"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this is a private key, and a public key is wanted"),
				 errdetail("Private keys have no place in a database: whoever signs keeps theirs."),
				 errhint("\"openssl pkey -in key.pem -pubout\" writes the public key.")));
	if (n == KEY_LENGTH)
	{
		memcpy(raw, bytes, KEY_LENGTH);
		good = true;
	}
	else
		good = n <= MAX_KEY_TEXT && (read_der(bytes, n, raw) || read_pem(bytes, n, raw));
	ERR_clear_error();
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bytes are no Ed25519 public key"),
				 errhint("It may have 32 bytes, or be a SubjectPublicKeyInfo in PEM or DER, as \"openssl pkey -pubout\" writes it.")));
	if (has_small_order(raw))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key is a point of small order"),
				 errdetail("Anybody could sign for it.")));
	PG_RETURN_BYTEA_P(result);
}

/* ---------- signatures ---------- */

typedef enum Verdict
{
	VERDICT_GOOD,
	VERDICT_BAD,
	VERDICT_UNAVAILABLE,		/* this OpenSSL does no Ed25519 */
} Verdict;

static Verdict
verify(const uint8 *key_bytes, const uint8 *signature, const uint8 *message, size_t n)
{
	Verdict		verdict = VERDICT_UNAVAILABLE;
	EVP_PKEY   *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
												  key_bytes, KEY_LENGTH);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (key != NULL && context != NULL &&
		EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1)
		verdict = EVP_DigestVerify(context, signature, SIGNATURE_LENGTH,
								   message, n) == 1 ? VERDICT_GOOD : VERDICT_BAD;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return verdict;
}

/* Whether a signature of those bytes was made with the private key that
 * belongs to a raw public key. */
Datum
modelopt_ed25519_verify(PG_FUNCTION_ARGS)
{
	bytea	   *key = PG_GETARG_BYTEA_PP(0);
	bytea	   *message = PG_GETARG_BYTEA_PP(1);
	bytea	   *signature = PG_GETARG_BYTEA_PP(2);
	Verdict		verdict;

	if (VARSIZE_ANY_EXHDR(key) != KEY_LENGTH ||
		VARSIZE_ANY_EXHDR(signature) != SIGNATURE_LENGTH)
		PG_RETURN_BOOL(false);
	verdict = verify((uint8 *) VARDATA_ANY(key), (uint8 *) VARDATA_ANY(signature),
					 (uint8 *) VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message));
	if (verdict == VERDICT_UNAVAILABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the OpenSSL library of this server does not verify Ed25519 signatures")));
	PG_RETURN_BOOL(verdict == VERDICT_GOOD);
}
