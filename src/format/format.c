/*
 * format.c
 *		The formats there are, and what bytes look like that are in none.
 *
 * The one place that knows all formats by name.  What is told apart here
 * beyond them is what people have at hand when they look for a checkpoint.
 */
#include "postgres.h"

#include "format/format.h"
#include "model/progress.h"

const Format *const formats[] = {
	&format_npz,				/* before pytorch: both are zip archives */
	&format_npy,
	&format_pytorch,
	&format_safetensors,
	&format_gguf,
	&format_onnx,
	NULL,
};

/* ---------- formats by name and by content ---------- */

static char *
list_formats(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; formats[i] != NULL; i++)
		appendStringInfo(&names, i > 0 ? ", %s" : "%s", formats[i]->name);
	return names.data;
}

/* What somebody meant who wrote "pt" or "torch", or NULL. */
static const Format *
guess_format(const char *name)
{
	for (int i = 0; formats[i] != NULL; i++)
	{
		if (name[0] != '\0' && strstr(formats[i]->name, name) != NULL)
			return formats[i];
	}
	return format_by_extension(psprintf("name.%s", name));
}

const Format *
format_by_name(const char *name)
{
	const Format *guess;

	for (int i = 0; formats[i] != NULL; i++)
	{
		if (strcmp(formats[i]->name, name) == 0)
			return formats[i];
	}
	guess = guess_format(name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown model format \"%s\"", name),
			 guess != NULL ?
			 errhint("Perhaps you mean \"%s\". The formats are: %s.",
					 guess->name, list_formats()) :
			 errhint("The formats are: %s.", list_formats())));
	return NULL;
}

const Format *
format_by_extension(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	const char *extension = strrchr(name, '.');
	char	   *wanted;

	/* A name that only starts with a dot has none. */
	if (extension == NULL || extension == name || extension[1] == '\0' ||
		strchr(extension, ' ') != NULL)
		return NULL;
	wanted = psprintf("%s ", extension);
	for (int i = 0; formats[i] != NULL; i++)
	{
		if (formats[i]->extensions != NULL &&
			strstr(formats[i]->extensions, wanted) != NULL)
			return formats[i];
	}
	return NULL;
}

/* Of ONNX its own writer says what it decodes, which depends on the graph. */
static bool
is_decoded(const Format *format, const Payload *payload)
{
	return encoding_info(payload->encoding)->lossy && format != &format_onnx &&
		!(format == &format_gguf && encoding_has_blocks(payload->encoding));
}

/* A file that is larger than the model was should be no surprise. */
static void
notice_decoded(const Format *format, const Model *model)
{
	int			n = 0;

	for (int i = 0; i < model->ntensors; i++)
		n += is_decoded(format, tensor_payload(model, &model->tensors[i]));
	if (n > 0)
		ereport(NOTICE,
				(errmsg_plural("%d tensor is written decoded, as format \"%s\" has no such encoding",
							   "%d tensors are written decoded, as format \"%s\" has no such encoding",
							   n, n, format->name),
				 errhint("The file is as large as that of plain tensors.")));
}

void
format_write(const Format *format, Model *model, const char *dtype,
			 Sink *sink)
{
	int			began;

	if (format->write == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("models cannot be written in format \"%s\"",
						format->name)));
	if (dtype == NULL)
		notice_decoded(format, model);
	began = progress_begin("export", "bytes", model_raw_bytes(model));
	if (dtype == NULL)
		format->write(model, sink);
	else if (format->write_as != NULL)
		format->write_as(model, sink, dtype);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("format \"%s\" cannot convert tensors",
						format->name),
				 errhint("Leave dtype out, or write the model as gguf.")));
	progress_end(began);
}

/* ---------- other things ---------- */

/* Bytes at a fixed place. */
typedef struct Signature
{
	int			offset;
	int			length;
	const char *bytes;
	const char *what;
	const char *hint;
} Signature;

static const Signature signatures[] = {
	{0, 4, "mdlo", "a value of type model", "Cast it, as in bytes::model."},
	{0, 4, "GGUF", "a GGUF model", NULL},
	{0, 4, "lmgg", "a GGML model", NULL},
	{4, 4, "ORTM", "an ONNX Runtime model", NULL},
	{4, 4, "TFL3", "a TensorFlow Lite model", NULL},
	{0, 8, "\211HDF\r\n\032\n", "an HDF5 file, as Keras writes", NULL},
	{0, 6, "\223NUMPY", "a NumPy array", NULL},
	{0, 8, "PYTORCH1", "a checkpoint of a preview of PyTorch", NULL},
	{257, 5, "ustar", "a tar archive", "Unpack it and read the checkpoint inside."},
	{0, 2, "\037\213", "gzip-compressed data", "Decompress it first."},
	{0, 3, "BZh", "bzip2-compressed data", "Decompress it first."},
	{0, 6, "\3757zXZ\0", "xz-compressed data", "Decompress it first."},
	{0, 4, "\050\265\057\375", "zstd-compressed data", "Decompress it first."},
	{0, 6, "7z\274\257\047\034", "a 7z archive", "Unpack it and read the checkpoint inside."},
	{0, 4, "Rar!", "a RAR archive", "Unpack it and read the checkpoint inside."},
	{0, 4, "PK\003\004", "a zip archive", NULL},
	{0, 4, "PK\005\006", "an empty zip archive", NULL},
	{0, 23, "version https://git-lfs", "a Git LFS pointer", "Fetch the file itself with git lfs pull."},
	{0, 5, "%PDF-", "a PDF document", NULL},
	{0, 4, "\177ELF", "a program", NULL},
};

static bool
has_bytes(const char *data, size_t size, size_t offset, const char *bytes,
		  size_t length)
{
	return size >= offset && size - offset >= length &&
		memcmp(data + offset, bytes, length) == 0;
}

/* Whether text, after white space and in any case, starts like this. */
static bool
starts_with_text(const char *data, size_t size, const char *prefix)
{
	size_t		start = 0;

	while (start < size && strchr(" \t\r\n", data[start]) != NULL &&
		   data[start] != '\0')
		start++;
	return size - start >= strlen(prefix) &&
		pg_strncasecmp(data + start, prefix, strlen(prefix)) == 0;
}

static bool
is_pickle(const char *data, size_t size)
{
	return size >= 2 && (uint8) data[0] == 0x80 && data[1] >= 2 &&
		data[1] <= 5;
}

static const Signature unknown = {.what = "nothing known"};

static const Signature *
recognize(const char *data, size_t size)
{
	static const Signature nothing = {.what = "nothing: there are no bytes"};
	static const Signature html = {.what = "an HTML page",
	.hint = "Download the file itself, not the page about it."};
	static const Signature onnx = {.what = "an ONNX model"};
	static const Signature pickle = {.what = "a bare pickle",
	.hint = "Save the weights with torch.save(model.state_dict(), path)."};
	static const Signature json = {.what = "JSON text"};
	static const Signature npz = {.what = "an archive of NumPy arrays"};
	static const Signature safetensors = {.what = "a safetensors file"};

	if (size == 0)
		return &nothing;
	if (format_npz.detect(data, size))
		return &npz;
	for (int i = 0; i < lengthof(signatures); i++)
	{
		if (has_bytes(data, size, signatures[i].offset, signatures[i].bytes,
					  signatures[i].length))
			return &signatures[i];
	}
	if (starts_with_text(data, size, "<!doctype html") ||
		starts_with_text(data, size, "<html"))
		return &html;
	if (format_onnx.detect(data, size))
		return &onnx;
	if (is_pickle(data, size))
		return &pickle;
	if (format_safetensors.detect(data, size))
		return &safetensors;
	if (starts_with_text(data, size, "{"))
		return &json;
	return &unknown;
}

const char *
format_describe(const char *data, size_t size)
{
	return recognize(data, size)->what;
}

bool
format_is_recognized(const char *data, size_t size)
{
	return recognize(data, size) != &unknown;
}

const Format *
format_detect(const char *data, size_t size)
{
	const Signature *look;

	for (int i = 0; formats[i] != NULL; i++)
	{
		if (formats[i]->detect(data, size))
			return formats[i];
	}
	look = recognize(data, size);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("bytes are in no model format that can be read"),
			 errdetail("They look like %s.", look->what),
			 look->hint != NULL ? errhint("%s", look->hint) :
			 errhint("The formats are: %s.", list_formats())));
	return NULL;
}

const Format *
format_detect_input(Input *input)
{
	const char *head = input_view(input, 0, Min(input->size, FORMAT_HEAD));
	const Format *found = NULL;

	for (int i = 0; formats[i] != NULL && found == NULL; i++)
	{
		if (formats[i]->read_input != NULL &&
			formats[i]->detect(head, input->size))
			found = formats[i];
	}
	input_release(input, head);
	if (found != NULL)
		return found;
	return format_detect(input_load(input), input->size);
}

Model *
format_read_input(const Format *format, Input *input,
				  const ReadOptions *options)
{
	if (format->read_input != NULL)
		return format->read_input(input, options);
	return format->read(input_load(input), input->size, options);
}
