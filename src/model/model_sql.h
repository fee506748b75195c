/*
 * model_sql.h
 *		What the files with SQL functions on models share: the border between
 *		the database's strings and a model's UTF-8, and rows of results.
 */
#ifndef MODELOPT_MODEL_SQL_H
#define MODELOPT_MODEL_SQL_H

#include "compat.h"

#include "mb/pg_wchar.h"
#include "model/model.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

/* A text argument as a NUL-terminated UTF-8 string. */
static inline char *
text_to_utf8(const text *t)
{
	char	   *s = text_to_cstring(t);

	return pg_server_to_any(s, strlen(s), PG_UTF8);
}

/* A model's string as text in the database's encoding; raises when it has
 * characters that the encoding lacks. */
static inline text *
utf8_to_text(const char *s)
{
	return cstring_to_text(pg_any_to_server(s, strlen(s), PG_UTF8));
}

/* A model's string in the database's encoding, for messages. */
static inline const char *
utf8_to_server(const char *s)
{
	return pg_any_to_server(s, strlen(s), PG_UTF8);
}

/* A model's JSON text as jsonb, and back as canonical text.  (model_sql.c) */
extern Jsonb *json_text_to_jsonb(const char *json);
extern char *jsonb_to_json_text(Jsonb *jsonb);

/* One object with the keys of two; the second's count.  (model_sql.c) */
extern char *json_text_merge(const char *object, const char *changes);

/* A digest as people write it.  (model_sql.c) */
extern char *model_digest_hex(const uint8 *digest);

/* The tensor of that name; raises 42704 with a hint when there is none.
 * (model_sql.c) */
extern int	model_lookup_tensor(const Model *model, const text *name);

/* A shape as bigint[].  (model_sql.c) */
extern ArrayType *tensor_shape_array(const Tensor *tensor);

/* ---------- layers (layers.c) ---------- */

/* Tensors that share their names up to the last dot. */
typedef struct ModelLayer
{
	const char *name;			/* UTF-8, without the dot; "" if there is none */
	int			ntensors;
	const int  *tensors;		/* indexes in the model, in its order */
	const char *kind;			/* "Linear", ... in the database's encoding; NULL
								 * when unknown */
	bool		kind_is_stated; /* by the metadata */
} ModelLayer;

/* The layers of a model in the order of their first tensors. */
extern ModelLayer *model_layers(const Model *model, int *nlayers);

/* The same where somebody else knows the layer of each tensor. */
extern ModelLayer *model_layers_named(const Model *model,
									  const char *const *names, int *nlayers);

/* Whether what follows the last dot is what people call tables of tokens and
 * positions: it has a word like "embed" between underscores. */
extern bool model_is_embedding_name(const char *name);

#endif							/* MODELOPT_MODEL_SQL_H */
