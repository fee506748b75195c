/*
 * model_sql.c
 *		What the files with SQL functions on models share.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "model/model_sql.h"
#include "utils/fmgrprotos.h"

Jsonb *
json_text_to_jsonb(const char *json)
{
	char	   *server = pg_any_to_server(json, strlen(json), PG_UTF8);

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(server)));
}

char *
jsonb_to_json_text(Jsonb *jsonb)
{
	char	   *server = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	return pg_server_to_any(server, strlen(server), PG_UTF8);
}

char *
json_text_merge(const char *object, const char *changes)
{
	Datum		merged = DirectFunctionCall2(jsonb_concat,
											 JsonbPGetDatum(json_text_to_jsonb(object)),
											 JsonbPGetDatum(json_text_to_jsonb(changes)));

	return jsonb_to_json_text(DatumGetJsonbP(merged));
}

char *
model_digest_hex(const uint8 *digest)
{
	char	   *hex = palloc(2 * MODEL_DIGEST_LENGTH + 1);

	hex[hex_encode((const char *) digest, MODEL_DIGEST_LENGTH, hex)] = '\0';
	return hex;
}

int
model_lookup_tensor(const Model *model, const text *name)
{
	char	   *wanted = text_to_utf8(name);
	int			index = model_find_tensor(model, wanted);

	if (index < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model has no tensor named \"%s\"",
						utf8_to_server(wanted)),
				 errhint("tensors(model) lists the names.")));
	return index;
}

ArrayType *
tensor_shape_array(const Tensor *tensor)
{
	Datum		dims[MODEL_MAX_DIMS];

	for (int i = 0; i < tensor->ndim; i++)
		dims[i] = Int64GetDatum(tensor->dims[i]);
	return construct_array(dims, tensor->ndim, INT8OID, sizeof(int64),
						   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}
