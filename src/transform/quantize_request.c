/*
 * quantize_request.c
 *		Arguments of quantize and quantize_dry_run: reading them, and what has
 *		no meaning.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/arguments.h"
#include "transform/quantize.h"

/* ---------- names ---------- */

static const QuantizeType types[] = {
	{"int8", QUANTIZE_INTEGER, DTYPE_I8},
	{"uint8", QUANTIZE_INTEGER, DTYPE_U8},
	{"int4", QUANTIZE_INTEGER, DTYPE_I4},
	{"uint4", QUANTIZE_INTEGER, DTYPE_U4},
	{"int16", QUANTIZE_INTEGER, DTYPE_I16},
	{"uint16", QUANTIZE_INTEGER, DTYPE_U16},
	{"fp16", QUANTIZE_FLOAT, DTYPE_F16},
	{"bf16", QUANTIZE_FLOAT, DTYPE_BF16},
	{"fp8_e4m3", QUANTIZE_FLOAT, DTYPE_F8E4M3},
	{"fp8_e5m2", QUANTIZE_FLOAT, DTYPE_F8E5M2},
	{"q8_0", QUANTIZE_BLOCKS, DTYPE_F32, ENCODING_Q8_0},
	{"q4_0", QUANTIZE_BLOCKS, DTYPE_F32, ENCODING_Q4_0},
};

/* What others call them. */
static const struct
{
	const char *alias;
	const char *name;
}			aliases[] =
{
	{"i8", "int8"}, {"qint8", "int8"}, {"u8", "uint8"}, {"quint8", "uint8"},
	{"i4", "int4"}, {"u4", "uint4"}, {"i16", "int16"}, {"u16", "uint16"},
	{"f16", "fp16"}, {"float16", "fp16"}, {"half", "fp16"},
	{"bfloat16", "bf16"},
	{"f8e4m3", "fp8_e4m3"}, {"float8_e4m3fn", "fp8_e4m3"},
	{"f8e5m2", "fp8_e5m2"}, {"float8_e5m2", "fp8_e5m2"},
	{"q8", "q8_0"}, {"q4", "q4_0"},
};

static const char *const wide[] = {"f32", "fp32", "float32", "float", "f64", "float64", "double"};

/* Indexed by QuantizeScheme. */
static const char *const scheme_names[] = {"onnx", "torch", "gguf"};

/* Indexed by QuantizeGranularity. */
static const char *const granularity_names[] = {"tensor", "channel", "group"};

#define DEFAULT_GROUP 32
#define MAX_GROUP 65536

const char *
quantize_scheme_name(QuantizeScheme scheme)
{
	return scheme_names[scheme];
}

const char *
quantize_granularity_name(QuantizeGranularity granularity)
{
	return granularity_names[granularity];
}

/* Raises for names that others have, and for types that are not smaller. */
static void
check_alias(const char *word)
{
	for (int i = 0; i < (int) lengthof(aliases); i++)
	{
		if (pg_strcasecmp(word, aliases[i].alias) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown dtype to quantize to: \"%s\"", word),
					 errhint("It is called \"%s\" here.", aliases[i].name)));
	}
	for (int i = 0; i < (int) lengthof(wide); i++)
	{
		if (pg_strcasecmp(word, wide[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot quantize to \"%s\", which is no smaller type", word),
					 errhint("decompress(m) has plain numbers again; smaller floats are \"fp16\" and \"bf16\".")));
	}
}

static const QuantizeType *
read_type(FunctionCallInfo fcinfo)
{
	const char *names[lengthof(types)];

	for (int i = 0; i < lengthof(types); i++)
		names[i] = types[i].name;
	if (PG_ARGISNULL(QUANTIZE_ARG_DTYPE))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("dtype to quantize to must not be null")));
	check_alias(text_to_cstring(PG_GETARG_TEXT_PP(QUANTIZE_ARG_DTYPE)));
	return &types[argument_word(fcinfo, QUANTIZE_ARG_DTYPE,
								"dtype to quantize to:", names,
								lengthof(names), 0)];
}

/* ---------- what goes together ---------- */

static void
report_needless(const QuantizeRequest *request, const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("dtype \"%s\" does not take %s", request->type->name,
					argument)));
}

/* ggml's names for integers of its own. */
static void
read_scheme(QuantizeRequest *request, FunctionCallInfo fcinfo)
{
	request->scheme = argument_word(fcinfo, QUANTIZE_ARG_SCHEME, "scheme",
									scheme_names, lengthof(scheme_names),
									request->type->kind == QUANTIZE_BLOCKS ?
									QUANTIZE_GGUF : QUANTIZE_ONNX);
	if (request->type->kind == QUANTIZE_FLOAT)
		return;
	if ((request->scheme == QUANTIZE_GGUF) ==
		(request->type->kind == QUANTIZE_BLOCKS))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("scheme \"%s\" has no dtype \"%s\"",
					scheme_names[request->scheme], request->type->name),
			 errhint("Scheme gguf has q8_0 and q4_0, the others have integers.")));
}

static void
read_granularity(QuantizeRequest *request, FunctionCallInfo fcinfo)
{
	bool		small = dtype_bits(request->type->dtype) == 4;
	bool		has_group = !PG_ARGISNULL(QUANTIZE_ARG_GROUP_SIZE);

	request->granularity =
		argument_word(fcinfo, QUANTIZE_ARG_GRANULARITY, "granularity",
					  granularity_names, lengthof(granularity_names),
					  has_group || (small && request->scheme == QUANTIZE_ONNX) ?
					  QUANTIZE_PER_GROUP : QUANTIZE_PER_CHANNEL);
	if (request->granularity != QUANTIZE_PER_GROUP)
	{
		if (has_group)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("granularity \"%s\" does not take a group size",
							granularity_names[request->granularity])));
		return;
	}
	request->group = has_group ? PG_GETARG_INT32(QUANTIZE_ARG_GROUP_SIZE) :
		DEFAULT_GROUP;
	if (request->group < 1 || request->group > MAX_GROUP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("group size %d is not between 1 and %d",
						request->group, MAX_GROUP)));
}

/* What a tool does not do has no codes to agree with. */
static void
check_scheme(const QuantizeRequest *request)
{
	int			bits = dtype_bits(request->type->dtype);

	if (request->scheme == QUANTIZE_TORCH &&
		(bits != 8 || request->granularity == QUANTIZE_PER_GROUP))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("scheme \"torch\" has integers of 8 bits, for tensors and channels"),
				 errhint("Scheme onnx has other integers, and groups.")));
	if (request->granularity == QUANTIZE_PER_GROUP && bits == 16)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("groups have integers of 4 or 8 bits"),
				 errhint("Granularities tensor and channel have 16.")));
	if (request->reduce_range &&
		(bits != 8 || request->scheme != QUANTIZE_ONNX ||
		 request->granularity == QUANTIZE_PER_GROUP))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a reduced range is for integers of 8 bits of scheme onnx, for tensors and channels")));
}

static void
read_integer(QuantizeRequest *request, FunctionCallInfo fcinfo)
{
	request->affine = PG_ARGISNULL(QUANTIZE_ARG_AFFINE) ?
		request->type->name[0] == 'u' : PG_GETARG_BOOL(QUANTIZE_ARG_AFFINE);
	request->has_axis = !PG_ARGISNULL(QUANTIZE_ARG_AXIS);
	if (request->has_axis)
		request->axis = PG_GETARG_INT32(QUANTIZE_ARG_AXIS);
	request->reduce_range = !PG_ARGISNULL(QUANTIZE_ARG_REDUCE_RANGE) &&
		PG_GETARG_BOOL(QUANTIZE_ARG_REDUCE_RANGE);
	read_granularity(request, fcinfo);
	if (request->has_axis && request->granularity == QUANTIZE_PER_TENSOR)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("granularity \"tensor\" does not take an axis")));
	check_scheme(request);
}

static void
refuse_integer_arguments(const QuantizeRequest *request,
						 FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(QUANTIZE_ARG_GRANULARITY))
		report_needless(request, "a granularity");
	if (!PG_ARGISNULL(QUANTIZE_ARG_AFFINE))
		report_needless(request, "affine");
	if (!PG_ARGISNULL(QUANTIZE_ARG_GROUP_SIZE))
		report_needless(request, "a group size");
	if (!PG_ARGISNULL(QUANTIZE_ARG_AXIS))
		report_needless(request, "an axis");
	if (!PG_ARGISNULL(QUANTIZE_ARG_REDUCE_RANGE) &&
		PG_GETARG_BOOL(QUANTIZE_ARG_REDUCE_RANGE))
		report_needless(request, "a reduced range");
}

QuantizeRequest *
quantize_request_read(FunctionCallInfo fcinfo)
{
	QuantizeRequest *request = palloc0(sizeof(QuantizeRequest));

	request->type = read_type(fcinfo);
	read_scheme(request, fcinfo);
	if (request->type->kind == QUANTIZE_INTEGER)
		read_integer(request, fcinfo);
	else
		refuse_integer_arguments(request, fcinfo);
	request->requantize = !PG_ARGISNULL(QUANTIZE_ARG_REQUANTIZE) &&
		PG_GETARG_BOOL(QUANTIZE_ARG_REQUANTIZE);
	request->patterns.embeddings = true;
	argument_patterns(fcinfo, QUANTIZE_ARG_INCLUDE, QUANTIZE_ARG_EXCLUDE,
					  "quantize", &request->patterns);
	return request;
}
