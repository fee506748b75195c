/*
 * format_sql.c
 *		model_read, model_write and model_formats.
 */
#include "postgres.h"

#include "format/format_sql.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "utils/memutils.h"

static const Format *
choose_format(const text *name, Input *input)
{
	char	   *wanted = text_to_cstring(name);

	if (strcmp(wanted, "auto") == 0)
		return format_detect_input(input);
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

void
format_get_options(FunctionCallInfo fcinfo, ReadOptions *options)
{
	refuse_null_arguments(fcinfo);
	memset(options, 0, sizeof(ReadOptions));
	options->key = PG_ARGISNULL(2) ? NULL : text_to_utf8(PG_GETARG_TEXT_PP(2));
	options->allow_modules = PG_GETARG_BOOL(3);
	options->check_crc = PG_GETARG_BOOL(4);
}

/* What reading takes is gone with a context of its own; the model stays. */
static Model *
read_model(const Format *format, Input *input, const ReadOptions *options)
{
	MemoryContext old_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(old_context,
												  "reading of a model",
												  ALLOCSET_DEFAULT_SIZES);
	int			began = progress_begin("import", "bytes", input->size);
	Model	   *model;

	MemoryContextSwitchTo(context);
	model = format_read_input(format, input, options);
	progress_end(began);
	canonicalize_metadata(model);
	MemoryContextSetParent(model->context, old_context);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return model;
}

Model *
format_read_chosen(FunctionCallInfo fcinfo, Input *input,
				   const ReadOptions *options)
{
	const Format *format = choose_format(PG_GETARG_TEXT_PP(1), input);

	if (options->key != NULL && !format->has_entries)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("files of format \"%s\" have no entries to choose by key",
						format->name),
				 errhint("Leave key out.")));
	return read_model(format, input, options);
}

PG_FUNCTION_INFO_V1(modelopt_read);
Datum
modelopt_read(PG_FUNCTION_ARGS)
{
	bytea	   *data;
	ReadOptions options;
	Model	   *model;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	format_get_options(fcinfo, &options);
	data = PG_GETARG_BYTEA_PP(0);
	model = format_read_chosen(fcinfo,
							   input_of_bytes(VARDATA_ANY(data),
											  VARSIZE_ANY_EXHDR(data)),
							   &options);
	PG_FREE_IF_COPY(data, 0);
	PG_RETURN_MODEL(model);
}

PG_FUNCTION_INFO_V1(modelopt_write);
Datum
modelopt_write(PG_FUNCTION_ARGS)
{
	const Format *format;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	format = format_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_BYTEA_P(sink_to_bytea(format, PG_GETARG_MODEL(0),
									format_get_dtype(fcinfo, 2)));
}

const char *
format_get_dtype(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/* ---------- what there is ---------- */

static Datum
text_or_null(const char *s, bool *null)
{
	*null = s == NULL;
	return s == NULL ? (Datum) 0 : CStringGetTextDatum(s);
}

PG_FUNCTION_INFO_V1(modelopt_formats);
Datum
modelopt_formats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; formats[i] != NULL; i++)
	{
		const Format *format = formats[i];
		Datum		values[6];
		bool		nulls[6];
		char	   *extensions = pstrdup(format->extensions);

		/* A space follows each. */
		extensions[strlen(extensions) - 1] = '\0';
		values[0] = text_or_null(format->name, &nulls[0]);
		values[1] = text_or_null(extensions, &nulls[1]);
		values[2] = text_or_null(format->reads, &nulls[2]);
		values[3] = text_or_null(format->writes, &nulls[3]);
		values[4] = text_or_null(format->keeps, &nulls[4]);
		values[5] = text_or_null(format->refuses, &nulls[5]);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
