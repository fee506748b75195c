/*
 * quantize_sql.c
 *		quantize and quantize_dry_run.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "transform/quantize.h"
#include "transform/recipe.h"

PG_FUNCTION_INFO_V1(modelopt_quantize);
PG_FUNCTION_INFO_V1(modelopt_quantize_dry_run);

static Encoder
make_encoder(const QuantizeRequest *request)
{
	Encoder		encoder = {
		.operation = "quantize",
		.patterns = request->patterns,
		.request = request,
	};

	switch (request->type->kind)
	{
		case QUANTIZE_INTEGER:
			encoder.encode = quantize_affine;
			break;
		case QUANTIZE_FLOAT:
			encoder.encode = quantize_float;
			break;
		case QUANTIZE_BLOCKS:
			encoder.encode = quantize_blocks;
			break;
	}
	return encoder;
}

/* ---------- recipe ---------- */

static void
append_integer_arguments(StringInfo out, const QuantizeRequest *request)
{
	if (request->scheme != QUANTIZE_ONNX)
		recipe_string(out, "scheme", quantize_scheme_name(request->scheme));
	recipe_string(out, "granularity",
				  quantize_granularity_name(request->granularity));
	recipe_key(out, "affine");
	appendStringInfoString(out, request->affine ? "true" : "false");
	if (request->granularity == QUANTIZE_PER_GROUP)
		recipe_integer(out, "group_size", request->group);
	if (request->has_axis)
		recipe_integer(out, "axis", request->axis);
	if (request->reduce_range)
	{
		recipe_key(out, "reduce_range");
		appendStringInfoString(out, "true");
	}
}

static void
add_recipe(Model *out, const QuantizeRequest *request,
		   const EncodeTotals *totals)
{
	StringInfoData step;

	initStringInfo(&step);
	appendStringInfoChar(&step, '{');
	recipe_string(&step, "function", "quantize");
	recipe_key(&step, "arguments");
	appendStringInfoChar(&step, '{');
	recipe_string(&step, "dtype", request->type->name);
	if (request->type->kind == QUANTIZE_INTEGER)
		append_integer_arguments(&step, request);
	recipe_patterns(&step, &request->patterns);
	if (request->requantize)
	{
		recipe_key(&step, "requantize");
		appendStringInfoString(&step, "true");
	}
	appendStringInfoChar(&step, '}');
	encode_append_rates(&step, totals);
	appendStringInfoChar(&step, '}');
	recipe_append(out, &step);
}

/* ---------- the graph ---------- */

static void
look_up_uses(QuantizeRequest *request, const Model *source)
{
	if (request->type->kind == QUANTIZE_INTEGER && !request->has_axis)
		request->uses = uses_provider.tensor_uses(source);
}

static void
check_values(const Model *source, const QuantizeRanges *ranges)
{
	const char **names = palloc(Max(ranges->n, 1) * sizeof(char *));
	const char *missing;

	if (source->graph == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model has no graph whose activations could be quantized")));
	for (int i = 0; i < ranges->n; i++)
		names[i] = ranges->items[i].name;
	missing = uses_provider.missing_value(source, names, ranges->n);
	if (missing != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("graph has no activation named \"%s\"",
						utf8_to_server(missing)),
				 errhint("inputs(model) and nodes(model) list the names; nodes must take the value, and it must not be a tensor.")));
}

/* Scales and zero points of activations, into the metadata, where the writer
 * finds them. */
static void
set_activations(Model *out, const QuantizeRanges *ranges)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"quantization\": {\"activations\": {");
	for (int i = 0; i < ranges->n; i++)
	{
		const QuantizeRange *range = &ranges->items[i];
		float		scale;
		float		zero;

		quantize_activation(range, &scale, &zero);
		recipe_key_of(&json, range->name);
		appendStringInfoChar(&json, '{');
		recipe_real(&json, "scale", scale);
		recipe_integer(&json, "zero_point", (int64) zero);
		appendStringInfoChar(&json, '}');
	}
	appendStringInfoString(&json, "}}}");
	model_set_metadata(out, json_text_merge(out->metadata, json.data));
	pfree(json.data);
}

/* ---------- functions ---------- */

Datum
modelopt_quantize(PG_FUNCTION_ARGS)
{
	QuantizeRequest *request;
	QuantizeRanges *ranges;
	Encoder		encoder;
	EncodeTotals totals;
	Model	   *source;
	Model	   *out;

	if (PG_ARGISNULL(QUANTIZE_ARG_MODEL))
		PG_RETURN_NULL();
	request = quantize_request_read(fcinfo);
	source = PG_GETARG_MODEL(QUANTIZE_ARG_MODEL);
	ranges = quantize_ranges_read(fcinfo, request);
	if (ranges != NULL)
		check_values(source, ranges);
	look_up_uses(request, source);
	encoder = make_encoder(request);
	out = encode_model(source, &encoder, &totals);
	if (ranges != NULL)
		set_activations(out, ranges);
	add_recipe(out, request, &totals);
	PG_RETURN_MODEL(out);
}

Datum
modelopt_quantize_dry_run(PG_FUNCTION_ARGS)
{
	QuantizeRequest *request;
	Encoder		encoder;
	Model	   *source;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(QUANTIZE_ARG_MODEL))
		return (Datum) 0;
	request = quantize_request_read(fcinfo);
	source = PG_GETARG_MODEL(QUANTIZE_ARG_MODEL);
	look_up_uses(request, source);
	encoder = make_encoder(request);
	encode_dry_run(fcinfo, source, &encoder);
	return (Datum) 0;
}
