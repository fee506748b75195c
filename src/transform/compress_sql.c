/*
 * compress_sql.c
 *		compress and compress_dry_run.
 *
 * Owns the table of methods.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/arguments.h"
#include "transform/compress.h"
#include "transform/recipe.h"

PG_FUNCTION_INFO_V1(modelopt_compress);
PG_FUNCTION_INFO_V1(modelopt_compress_dry_run);

/* Places of the arguments. */
typedef enum CompressArgument
{
	ARG_MODEL,
	ARG_METHOD,
	ARG_RANK,
	ARG_ENERGY,
	ARG_BITS,
	ARG_MAX_ERROR,
	ARG_INCLUDE,
	ARG_EXCLUDE,
} CompressArgument;

/* ---------- methods ---------- */

typedef struct CompressMethod
{
	const char *name;
	const char *verb;			/* for errors and notices */
	EncodeFunction encode;

	/* For all tensors by default, or for weights. */
	bool		all;

	/* Reads the arguments that are the method's own, if there are any. */
	void		(*read) (FunctionCallInfo fcinfo, CompressRequest *request);
	void		(*append) (StringInfo out, const CompressRequest *request);
} CompressMethod;

static void
read_lowrank(FunctionCallInfo fcinfo, CompressRequest *request)
{
	if (PG_ARGISNULL(ARG_RANK) == PG_ARGISNULL(ARG_ENERGY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"lowrank\" needs either a rank or an energy"),
				 errhint("energy => 0.95 keeps that fraction of the sum of squares.")));
	if (!PG_ARGISNULL(ARG_RANK))
	{
		request->rank = PG_GETARG_INT32(ARG_RANK);
		if (request->rank < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("rank %d is not positive", request->rank)));
		return;
	}
	request->energy = PG_GETARG_FLOAT8(ARG_ENERGY);
	if (!(request->energy > 0 && request->energy <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("energy %.15g is not between 0 and 1",
						request->energy)));
}

static void
append_lowrank(StringInfo out, const CompressRequest *request)
{
	if (request->rank > 0)
		recipe_integer(out, "rank", request->rank);
	else
		recipe_real(out, "energy", request->energy);
}

static void
read_cluster(FunctionCallInfo fcinfo, CompressRequest *request)
{
	if (PG_ARGISNULL(ARG_BITS))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"cluster\" needs bits"),
				 errhint("bits => 4 lets the weights of a tensor have 16 values.")));
	request->bits = PG_GETARG_INT32(ARG_BITS);
	if (request->bits < 1 || request->bits > CODEBOOK_MAX_BITS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bits %d are not between 1 and %d", request->bits,
						CODEBOOK_MAX_BITS)));
}

static void
append_cluster(StringInfo out, const CompressRequest *request)
{
	recipe_integer(out, "bits", request->bits);
}

static void
read_bound(FunctionCallInfo fcinfo, CompressRequest *request)
{
	request->max_error = PG_GETARG_FLOAT8(ARG_MAX_ERROR);
	if (!(request->max_error > 0) || request->max_error > 1e300)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("largest error %.15g is not a positive number",
						request->max_error)));
}

static void
append_bound(StringInfo out, const CompressRequest *request)
{
	recipe_real(out, "max_error", request->max_error);
}

static const CompressMethod methods[] = {
	{"lowrank", "factorize", compress_lowrank, false, read_lowrank,
	append_lowrank},
	{"cluster", "cluster", compress_cluster, false, read_cluster,
	append_cluster},
	{"lossless", "pack", compress_lossless, true, NULL, NULL},
};

/* Without a method: whatever stays within max_error. */
static const CompressMethod bound = {
	NULL, "compress", compress_bound, false, read_bound, append_bound
};

/* ---------- arguments ---------- */

static const CompressMethod *
choose_method(FunctionCallInfo fcinfo)
{
	const char *names[lengthof(methods)];
	bool		bounded = !PG_ARGISNULL(ARG_MAX_ERROR);

	for (int i = 0; i < lengthof(methods); i++)
		names[i] = methods[i].name;
	if (!PG_ARGISNULL(ARG_METHOD))
	{
		int			method = argument_word(fcinfo, ARG_METHOD, "method", names,
										   lengthof(names), 0);

		if (bounded)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("method \"%s\" does not take max_error",
							names[method]),
					 errhint("With max_error alone, the encoding is chosen tensor by tensor.")));
		return &methods[method];
	}
	if (!bounded)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("neither a method nor max_error says how to compress")));
	return &bound;
}

/* An argument that a method does not look at is an error, not ignored. */
static void
refuse_needless(FunctionCallInfo fcinfo, const CompressMethod *method)
{
	static const struct
	{
		int			argument;
		const char *name;
		EncodeFunction encode;
	}			owners[] = {
		{ARG_RANK, "a rank", compress_lowrank},
		{ARG_ENERGY, "an energy", compress_lowrank},
		{ARG_BITS, "bits", compress_cluster},
	};

	for (int i = 0; i < lengthof(owners); i++)
	{
		if (PG_ARGISNULL(owners[i].argument) ||
			method->encode == owners[i].encode)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 method == &bound ?
				 errmsg("max_error does not take %s", owners[i].name) :
				 errmsg("method \"%s\" does not take %s", method->name,
						owners[i].name)));
	}
}

static const CompressMethod *
read_request(FunctionCallInfo fcinfo, CompressRequest *request,
			 Encoder *encoder)
{
	const CompressMethod *method = choose_method(fcinfo);

	memset(request, 0, sizeof(*request));
	refuse_needless(fcinfo, method);
	if (method->read != NULL)
		method->read(fcinfo, request);
	request->patterns.embeddings = true;
	request->patterns.all = method->all;
	argument_patterns(fcinfo, ARG_INCLUDE, ARG_EXCLUDE, method->verb,
					  &request->patterns);
	encoder->operation = "compress";
	encoder->patterns = request->patterns;
	encoder->encode = method->encode;
	encoder->request = request;
	return method;
}

/* ---------- functions ---------- */

static void
add_recipe(Model *out, const CompressMethod *method,
		   const CompressRequest *request, const EncodeTotals *totals)
{
	StringInfoData step;

	initStringInfo(&step);
	appendStringInfoChar(&step, '{');
	recipe_string(&step, "function", "compress");
	recipe_key(&step, "arguments");
	appendStringInfoChar(&step, '{');
	if (method->name != NULL)
		recipe_string(&step, "method", method->name);
	if (method->append != NULL)
		method->append(&step, request);
	recipe_patterns(&step, &request->patterns);
	appendStringInfoChar(&step, '}');
	encode_append_rates(&step, totals);
	appendStringInfoChar(&step, '}');
	recipe_append(out, &step);
}

Datum
modelopt_compress(PG_FUNCTION_ARGS)
{
	const CompressMethod *method;
	CompressRequest request;
	Encoder		encoder;
	EncodeTotals totals;
	Model	   *out;

	if (PG_ARGISNULL(ARG_MODEL))
		PG_RETURN_NULL();
	method = read_request(fcinfo, &request, &encoder);
	out = encode_model(PG_GETARG_MODEL(ARG_MODEL), &encoder, &totals);
	add_recipe(out, method, &request, &totals);
	PG_RETURN_MODEL(out);
}

Datum
modelopt_compress_dry_run(PG_FUNCTION_ARGS)
{
	CompressRequest request;
	Encoder		encoder;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(ARG_MODEL))
		return (Datum) 0;
	(void) read_request(fcinfo, &request, &encoder);
	encode_dry_run(fcinfo, PG_GETARG_MODEL(ARG_MODEL), &encoder);
	return (Datum) 0;
}
