/*
 * metadata_sql.c
 *		A model's metadata as jsonb, and models without encodings.
 *
 * The recipe, which says how a model was made, is shown with the metadata and
 * cannot be set: only transformations add to it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "model/model_sql.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(modelopt_model_metadata);
PG_FUNCTION_INFO_V1(modelopt_model_set_metadata);
PG_FUNCTION_INFO_V1(modelopt_decompress);

#define RECIPE_KEY "recipe"

Datum
modelopt_model_metadata(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	Jsonb	   *metadata = json_text_to_jsonb(model->metadata);
	Jsonb	   *recipe = json_text_to_jsonb(model->recipe);
	char	   *object;

	if (JB_ROOT_COUNT(recipe) == 0)
		PG_RETURN_JSONB_P(metadata);
	object = psprintf("{\"%s\": %s}", RECIPE_KEY, model->recipe);
	PG_RETURN_DATUM(DirectFunctionCall2(jsonb_concat,
										JsonbPGetDatum(metadata),
										JsonbPGetDatum(json_text_to_jsonb(object))));
}

/* The argument without its recipe, which must be the model's. */
static Jsonb *
without_recipe(Jsonb *metadata, const Model *model)
{
	JsonbValue *given = getKeyJsonValueFromContainer(&metadata->root,
													 RECIPE_KEY,
													 strlen(RECIPE_KEY),
													 NULL);
	Jsonb	   *recipe;

	if (given == NULL)
		return metadata;
	recipe = json_text_to_jsonb(model->recipe);
	if (compareJsonbContainers(&JsonbValueToJsonb(given)->root,
							   &recipe->root) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("recipe of a model cannot be set"),
				 errdetail("The metadata has a key \"%s\" that is not the model's recipe.",
						   RECIPE_KEY),
				 errhint("Leave the key out: the model keeps its recipe.")));
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete,
											  JsonbPGetDatum(metadata),
											  CStringGetTextDatum(RECIPE_KEY)));
}

Datum
modelopt_model_set_metadata(PG_FUNCTION_ARGS)
{
	Model	   *model;
	Jsonb	   *metadata;
	Model	   *out;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("metadata of a model must not be null"),
				 errhint("An empty object, '{}', takes all of it away but the recipe.")));
	model = PG_GETARG_MODEL(0);
	metadata = PG_GETARG_JSONB_P(1);
	if (!JB_ROOT_IS_OBJECT(metadata))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("metadata of a model must be a JSON object")));
	metadata = without_recipe(metadata, model);
	out = model_copy(CurrentMemoryContext, model);
	model_set_metadata(out, jsonb_to_json_text(metadata));
	PG_RETURN_MODEL(out);
}

/* ---------- decompress ---------- */

static bool
is_dense(const Model *model)
{
	for (int i = 0; i < model->npayloads; i++)
	{
		if (model->payloads[i]->encoding != ENCODING_DENSE)
			return false;
	}
	return true;
}

/* A dense payload of the same elements, with the same digest. */
static void
add_decoded(Model *model, Payload *payload)
{
	int			index = model_new_payload(model, payload->dtype,
										  ENCODING_DENSE, payload->count,
										  dtype_bytes(payload->dtype,
													  payload->count));
	Payload    *decoded = model->payloads[index];

	payload_decode(payload, decoded->bytes);
	payload_complete(decoded);
	decoded->zeros = payload->zeros;
	decoded->has_digest = payload->has_digest;
	memcpy(decoded->digest, payload->digest, MODEL_DIGEST_LENGTH);
}

Datum
modelopt_decompress(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	Model	   *out;

	if (is_dense(model))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));

	out = model_create_like(CurrentMemoryContext, model);
	for (int i = 0; i < model->npayloads; i++)
	{
		if (model->payloads[i]->encoding == ENCODING_DENSE)
			model_share_payload(out, model->payloads[i]);
		else
			add_decoded(out, model->payloads[i]);
	}
	model_add_tensors_of(out, model);
	PG_RETURN_MODEL(out);
}
