/*
 * load_sql.c
 *		model_load and model_save.
 *
 * Who may do what with files of the server is what COPY and
 * pg_read_binary_file say of them, and so is what a path means.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "format/files.h"
#include "format/format_sql.h"
#include "format/printable.h"
#include "miscadmin.h"
#include "model/model_sql.h"
#include "utils/acl.h"

/* Room for the temporary name beside a path. */
#define MAX_PATH (MAXPGPATH - 64)

static void
check_may_read(void)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to load a model from a file"),
				 errdetail("Only roles with privileges of the \"%s\" role may read files of the server.",
						   "pg_read_server_files"),
				 errhint("Anyone can send the bytes of a file to model_read.")));
}

static void
check_may_write(void)
{
	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to save a model to a file"),
				 errdetail("Only roles with privileges of the \"%s\" role may write files of the server.",
						   "pg_write_server_files"),
				 errhint("Anyone can get the bytes of a file from model_write.")));
}

static char *
get_path(const text *argument)
{
	char	   *path = text_to_cstring(argument);

	canonicalize_path(path);
	if (strlen(path) >= MAX_PATH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("path of a file is too long")));
	return path;
}

/* Which file it was that could not be read. */
static void
add_file_context(void *path)
{
	errcontext("model file \"%s\"", (const char *) path);
}

PG_FUNCTION_INFO_V1(modelopt_load);
Datum
modelopt_load(PG_FUNCTION_ARGS)
{
	char	   *path;
	Input	   *file;
	ReadOptions options;
	Model	   *model;
	ErrorContextCallback where = {
		.previous = error_context_stack,
		.callback = add_file_context,
	};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	check_may_read();
	format_get_options(fcinfo, &options);
	path = get_path(PG_GETARG_TEXT_PP(0));
	file = files_open(path);
	options.siblings = files_open_siblings(path);
	where.arg = printable_bytes(path, strlen(path));
	error_context_stack = &where;
	model = format_read_chosen(fcinfo, file, &options);
	error_context_stack = where.previous;
	files_close_siblings(options.siblings);
	files_close(file);
	PG_RETURN_MODEL(model);
}

/* ---------- saving ---------- */

static char *
list_extensions(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; formats[i] != NULL; i++)
	{
		if (formats[i]->extensions != NULL)
			appendStringInfoString(&list, formats[i]->extensions);
	}
	if (list.len > 0)
		list.data[list.len - 1] = '\0';
	return list.data;
}

static const Format *
choose_format(FunctionCallInfo fcinfo, const char *path)
{
	const Format *format;

	if (!PG_ARGISNULL(2))
		return format_by_name(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	format = format_by_extension(path);
	if (format == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the name of file \"%s\" does not say in which format to write it",
						path),
				 errhint("Give the format, or a name that ends in one of: %s.",
						 list_extensions())));
	return format;
}

PG_FUNCTION_INFO_V1(modelopt_save);
Datum
modelopt_save(PG_FUNCTION_ARGS)
{
	char	   *path;
	const Format *format;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	check_may_write();
	path = get_path(PG_GETARG_TEXT_PP(1));

	/* COPY refuses it too, lest files land among the database's own. */
	if (!is_absolute_path(path))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("relative path not allowed for model_save")));
	format = choose_format(fcinfo, path);
	PG_RETURN_INT64(files_write(path, format, PG_GETARG_MODEL(0),
								format_get_dtype(fcinfo, 3)));
}
