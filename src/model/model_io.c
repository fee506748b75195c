/*
 * model_io.c
 *		The SQL type: text and binary form, casts, equality and hashing.
 *
 * Text is the base64 of the flat form without its length word, the binary
 * form and the cast to bytea are the same bytes as they are.  Whatever comes
 * in through one of these doors may have been made by anybody, so it is
 * checked to the last bit before it becomes a value; what our own tables hold
 * was checked then.
 */
#include "postgres.h"

#include "model/model_sql.h"

#include "common/base64.h"
#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/memutils.h"

/* Bytes coded between looks for interrupts; a multiple of 3. */
#define CODING_STEP		(3 * 1024 * 1024)

/* ---------- the door ---------- */

/* Whether a number has an exponent.  jsonb would write all of its digits, and
 * there may be a hundred thousand of them. */
static bool
has_exponent(const char *json)
{
	bool		in_string = false;

	for (const char *next = json; *next != '\0'; next++)
	{
		if (*next == '"')
			in_string = !in_string;
		else if (in_string && *next == '\\' && next[1] != '\0')
			next++;
		else if (!in_string && (*next == 'e' || *next == 'E') &&
				 next > json && next[-1] >= '0' && next[-1] <= '9')
			return true;
	}
	return false;
}

/* Metadata and recipe must be JSON as jsonb writes it, so that equal metadata
 * is equal text. */
static void
verify_json(const char *json, const char *what)
{
	if (has_exponent(json) ||
		strcmp(jsonb_to_json_text(json_text_to_jsonb(json)), json) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid model value"),
				 errdetail("Its %s is not JSON in the form that jsonb writes.",
						   what)));
}

/* Checks a flat form from outside, length word in place. */
static void
verify_flat(struct varlena *flat)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "model verification",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Model	   *model = model_parse(context, (char *) flat, VARSIZE(flat),
									VARSIZE(flat), NULL);

	model_verify(model);
	verify_json(model->metadata, "metadata");
	verify_json(model->recipe, "recipe");
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/* The flat form of a datum, wherever it is. */
static struct varlena *
flat_of_datum(Datum datum)
{
	return PG_DETOAST_DATUM(datum);
}

/* ---------- text ---------- */

/* Characters of names and references, though names may have others too; and how
 * many of them a text form always exceeds. */
#define REFERENCE_CHARACTERS \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./#@:~^"
#define MAX_REFERENCE 64

StaticAssertDecl(MAX_REFERENCE / 4 * 3 < FLAT_HEADER_SIZE - VARHDRSZ, "text forms are longer");

static bool
looks_like_reference(const char *input)
{
	size_t		length = strspn(input, REFERENCE_CHARACTERS);

	return length > 0 && length <= MAX_REFERENCE && input[length] == '\0';
}

static void
report_not_base64(const char *input)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type model"),
			 errdetail("The text form of a model is base64 without spaces, as the type itself writes it."),
			 looks_like_reference(input) ?
			 errhint("Of a model in the repository modelopt.get('%s') is the value.", input) :
			 errhint("To read a checkpoint use model_read(bytea).")));
}

PG_FUNCTION_INFO_V1(modelopt_in);
Datum
modelopt_in(PG_FUNCTION_ARGS)
{
	const char *input = PG_GETARG_CSTRING(0);
	size_t		length = strlen(input);
	size_t		size;
	struct varlena *flat;
	char	   *next;

	/* The decoder would take what follows an early end for something else, and a
	 * name of four letters for three bytes. */
	if (length % 4 != 0 || length == 0 || looks_like_reference(input) ||
		memchr(input, '=', length - 2) != NULL)
		report_not_base64(input);
	size = length / 4 * 3;
	flat = palloc(VARHDRSZ + size);
	next = VARDATA(flat);
	for (size_t done = 0; done < length; done += CODING_STEP / 3 * 4)
	{
		int			step = Min(length - done, (size_t) CODING_STEP / 3 * 4);
		int			decoded;

		CHECK_FOR_INTERRUPTS();
		decoded = pg_b64_decode(input + done, step, (CodedByte *) next,
								VARHDRSZ + size - (next - (char *) flat));
		if (decoded < 0 ||
			(decoded != step / 4 * 3 && done + step != length))
			report_not_base64(input);
		next += decoded;
	}
	SET_VARSIZE(flat, next - (char *) flat);
	verify_flat(flat);
	PG_RETURN_POINTER(flat);
}

PG_FUNCTION_INFO_V1(modelopt_out);
Datum
modelopt_out(PG_FUNCTION_ARGS)
{
	struct varlena *flat = flat_of_datum(PG_GETARG_DATUM(0));
	size_t		size = VARSIZE(flat) - VARHDRSZ;
	size_t		room = (size + 2) / 3 * 4 + 1;
	char	   *out;
	char	   *next;

	if (room > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model of %zu bytes is too large for its text form",
						size),
				 errdetail("Its base64 would take %zu bytes, and a text can have at most %zu.",
						   room, (size_t) MaxAllocSize),
				 errhint("Use the binary form: COPY with FORMAT binary, or a cast to bytea.")));
	out = palloc(room);
	next = out;
	for (size_t done = 0; done < size; done += CODING_STEP)
	{
		int			coded;

		CHECK_FOR_INTERRUPTS();
		coded = pg_b64_encode((const CodedByte *) VARDATA(flat) + done,
							  Min(size - done, (size_t) CODING_STEP),
							  next, room - (next - out));
		if (coded < 0)
			elog(ERROR, "base64 does not fit its buffer");
		next += coded;
	}
	*next = '\0';
	PG_RETURN_CSTRING(out);
}

/* ---------- binary and bytea ---------- */

PG_FUNCTION_INFO_V1(modelopt_recv);
Datum
modelopt_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int			size = buffer->len - buffer->cursor;
	struct varlena *flat = palloc((Size) VARHDRSZ + size);

	SET_VARSIZE(flat, (Size) VARHDRSZ + size);
	pq_copymsgbytes(buffer, VARDATA(flat), size);
	verify_flat(flat);
	PG_RETURN_POINTER(flat);
}

PG_FUNCTION_INFO_V1(modelopt_send);
Datum
modelopt_send(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(flat_of_datum(PG_GETARG_DATUM(0)));
}

PG_FUNCTION_INFO_V1(modelopt_from_bytea);
Datum
modelopt_from_bytea(PG_FUNCTION_ARGS)
{
	struct varlena *flat = PG_GETARG_BYTEA_P(0);

	/* A bytea in a row starts at any multiple of 4, a model does not. */
	if ((uintptr_t) flat % MAXIMUM_ALIGNOF != 0)
		flat = PG_GETARG_BYTEA_P_COPY(0);
	verify_flat(flat);
	PG_RETURN_POINTER(flat);
}

PG_FUNCTION_INFO_V1(modelopt_to_bytea);
Datum
modelopt_to_bytea(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(flat_of_datum(PG_GETARG_DATUM(0)));
}

/* ---------- equality and hashing, by digest ---------- */

static bool
models_equal(FunctionCallInfo fcinfo)
{
	uint8		a[MODEL_DIGEST_LENGTH];
	uint8		b[MODEL_DIGEST_LENGTH];

	datum_model_digest(PG_GETARG_DATUM(0), a);
	datum_model_digest(PG_GETARG_DATUM(1), b);
	return memcmp(a, b, MODEL_DIGEST_LENGTH) == 0;
}

PG_FUNCTION_INFO_V1(modelopt_eq);
Datum
modelopt_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(models_equal(fcinfo));
}

PG_FUNCTION_INFO_V1(modelopt_ne);
Datum
modelopt_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!models_equal(fcinfo));
}

PG_FUNCTION_INFO_V1(modelopt_hash);
Datum
modelopt_hash(PG_FUNCTION_ARGS)
{
	uint8		digest[MODEL_DIGEST_LENGTH];

	datum_model_digest(PG_GETARG_DATUM(0), digest);
	return hash_any(digest, MODEL_DIGEST_LENGTH);
}

PG_FUNCTION_INFO_V1(modelopt_hash_extended);
Datum
modelopt_hash_extended(PG_FUNCTION_ARGS)
{
	uint8		digest[MODEL_DIGEST_LENGTH];

	datum_model_digest(PG_GETARG_DATUM(0), digest);
	return hash_any_extended(digest, MODEL_DIGEST_LENGTH, PG_GETARG_INT64(1));
}
