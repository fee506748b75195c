/*
 * format_sql.c
 *		model_read and model_write.
 */
#include "postgres.h"

#include "format/format.h"
#include "model/model_sql.h"

static const Format *
choose_format(const text *name, const char *data, size_t size)
{
	char	   *wanted = text_to_cstring(name);

	if (strcmp(wanted, "auto") == 0)
		return format_detect(data, size);
	return format_by_name(wanted);
}

/* Metadata in the form that jsonb writes, so that equal metadata is equal
 * text. */
static void
canonicalize_metadata(Model *model)
{
	model_set_metadata(model,
					   jsonb_to_json_text(json_text_to_jsonb(model->metadata)));
}

static void
refuse_null_arguments(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {
		[1] = "format",[3] = "allow_modules",[4] = "check_crc",
	};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (names[i] != NULL && PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", names[i])));
	}
}

PG_FUNCTION_INFO_V1(modelopt_read);
Datum
modelopt_read(PG_FUNCTION_ARGS)
{
	bytea	   *data;
	const char *bytes;
	size_t		size;
	ReadOptions options;
	const Format *format;
	Model	   *model;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	refuse_null_arguments(fcinfo);
	data = PG_GETARG_BYTEA_PP(0);
	bytes = VARDATA_ANY(data);
	size = VARSIZE_ANY_EXHDR(data);
	format = choose_format(PG_GETARG_TEXT_PP(1), bytes, size);
	options.key = PG_ARGISNULL(2) ? NULL : text_to_utf8(PG_GETARG_TEXT_PP(2));
	options.allow_modules = PG_GETARG_BOOL(3);
	options.check_crc = PG_GETARG_BOOL(4);

	model = format->read(bytes, size, &options);
	canonicalize_metadata(model);
	PG_FREE_IF_COPY(data, 0);
	PG_RETURN_MODEL(model);
}

PG_FUNCTION_INFO_V1(modelopt_write);
Datum
modelopt_write(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	const Format *format = format_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));

	if (format->write == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("models cannot be written in format \"%s\"",
						format->name)));
	PG_RETURN_BYTEA_P(format->write(model));
}
