/*
 * pytorch_read.c
 *		Checkpoints that torch.save wrote: the zip layout, and how reading goes.
 *
 * The layout is that of caffe2/serialize/inline_container.cc and
 * torch/serialization.py: one directory, in it data.pkl (the object), data/0,
 * data/1 ... (the storages), version, and since 2.1 byteorder.  Other
 * archives that torch makes are told apart here and refused by name.
 */
#include "postgres.h"

#include "format/pytorch.h"
#include "format/zip.h"

#define MIN_VERSION			1
#define MAX_VERSION			10	/* kMaxSupportedFileFormatVersion */
#define MAX_KEY_DIGITS		20
#define MAX_NODES			(4 * 1024 * 1024)
#define MIN_NODES			(64 * 1024)
#define NODES_PER_BYTE		4	/* more than any deflated pickle has */

/* The functions' own part of a reader of a zip archive. */
typedef struct ZipContainer
{
	const ZipArchive *zip;
	const char *root;			/* with the slash at its end */
} ZipContainer;

/* ---------- what all files share ---------- */

void
pytorch_fail(const char *detail,...)
{
	StringInfoData message;
	int			needed;

	initStringInfo(&message);
	do
	{
		va_list		args;

		va_start(args, detail);
		needed = appendStringInfoVA(&message, detail, args);
		va_end(args);
		if (needed > 0)
			enlargeStringInfo(&message, needed);
	} while (needed > 0);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid PyTorch checkpoint"),
			 errdetail("%s", message.data)));
	pg_unreachable();
}

uint64
pytorch_budget(const PytorchReader *reader)
{
	return (uint64) reader->size * PYTORCH_AMPLIFICATION +
		PYTORCH_AMPLIFICATION_FREE;
}

const Pickle *
pytorch_parse_pickle(const PytorchReader *reader, const char *data,
					 size_t size, const char *where)
{
	PickleOptions *options = palloc0(sizeof(PickleOptions));

	options->where = where;
	options->globals = pytorch_globals;
	options->nglobals = pytorch_nglobals;
	options->allow_unknown = reader->options->allow_modules;
	options->max_nodes = Min((uint64) MAX_NODES,
							 (uint64) reader->size * NODES_PER_BYTE +
							 MIN_NODES);
	return pickle_parse(data, size, options);
}

/* ---------- records ---------- */

static const ZipEntry *
find_record(const ZipContainer *container, const char *name)
{
	char	   *path = psprintf("%s%s", container->root, name);
	const ZipEntry *entry = zip_find(container->zip, path);

	pfree(path);
	return entry;
}

/* A record that is a line of text, NUL-terminated and without its end; NULL
 * when there is none or it is no short line. */
static char *
read_line(const PytorchReader *reader, const ZipEntry *entry)
{
	const char *bytes;
	char	   *line;
	size_t		length = entry->size;

	if (length > 64)
		return NULL;
	bytes = zip_read(entry, reader->options->check_crc);
	if (length > 0 && bytes[length - 1] == '\n')
		length--;
	line = pnstrdup(bytes, length);
	return strlen(line) == length ? line : NULL;
}

/* ---------- storages ---------- */

static bool
is_number(const char *s, uint32 length)
{
	if (length == 0 || length > MAX_KEY_DIGITS)
		return false;
	for (uint32 i = 0; i < length; i++)
	{
		if (s[i] < '0' || s[i] > '9')
			return false;
	}
	return true;
}

static uint64
find_zip_storage(PytorchReader *reader, PytorchStorage *storage,
				 uint64 *inflated)
{
	const ZipContainer *container = reader->container;
	const ZipEntry *entry;
	char		name[sizeof("data/") + MAX_KEY_DIGITS];

	if (!is_number(storage->key, storage->key_length))
		pytorch_fail("Storage key \"%s\" is no number.",
					 printable_bytes(storage->key, storage->key_length));
	snprintf(name, sizeof(name), "data/%.*s", (int) storage->key_length,
			 storage->key);
	entry = find_record(container, name);
	if (entry == NULL)
		pytorch_fail("The archive has no record \"%s\".", name);
	storage->record = entry;
	*inflated = entry->method == ZIP_STORED ? 0 : entry->size;
	return entry->size;
}

static void
open_zip_storage(PytorchReader *reader, PytorchStorage *storage)
{
	storage->bytes = zip_read(storage->record, reader->options->check_crc);
}

static void
close_zip_storage(PytorchReader *reader, PytorchStorage *storage)
{
	zip_release(storage->record, storage->bytes);
	storage->bytes = NULL;
}

static void
copy_zip_storage(PytorchReader *reader, const PytorchStorage *storage,
				 char *dst)
{
	zip_copy(storage->record, reader->options->check_crc, dst);
}

/* ---------- the archive ---------- */

/* What else an archive may be, by a record that gives it away. */
static const struct
{
	const char *record;			/* under the root, or at the top */
	bool		at_top;
	const char *what;
	const char *hint;
}			other_archives[] = {
	{"constants.pkl", false, "a TorchScript archive",
	"Load it with torch.jit.load and save its state_dict() with torch.save."},
	{"model.json", true, "a TorchScript archive of PyTorch 1.0",
	"Load it with torch.jit.load and save its state_dict() with torch.save."},
	{"archive_format", false, "an exported program (.pt2)",
	"Load it with torch.export.load and save its state_dict with torch.save."},
	{"serialized_exported_program.json", true, "an exported program (.pt2)",
	"Load it with torch.export.load and save its state_dict with torch.save."},
	{"MAR-INF/MANIFEST.json", true, "a TorchServe model archive (.mar)",
	"Unpack it and read the checkpoint inside."},
};

static void
refuse_other_archives(const ZipContainer *container)
{
	for (int i = 0; i < lengthof(other_archives); i++)
	{
		const ZipEntry *entry = other_archives[i].at_top ?
			zip_find(container->zip, other_archives[i].record) :
			find_record(container, other_archives[i].record);

		if (entry != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot read %s", other_archives[i].what),
					 errdetail("The archive has a record \"%s\".",
							   other_archives[i].record),
					 errhint("%s", other_archives[i].hint)));
	}
}

/* The directory that the first record is in, with its slash. */
static const char *
find_root(const ZipArchive *zip)
{
	const ZipEntry *first = &zip->entries[0];
	const char *slash;

	slash = memchr(first->name, '/', first->name_length);
	if (slash == NULL)
		return "";
	return pnstrdup(first->name, slash - first->name + 1);
}

static void
check_version(const PytorchReader *reader, const ZipContainer *container)
{
	const ZipEntry *entry = find_record(container, ".data/version");
	const char *line;
	int			version;

	if (entry == NULL)
		entry = find_record(container, "version");
	if (entry == NULL)
		pytorch_fail("The archive has no record \"version\".");
	line = read_line(reader, entry);
	if (line == NULL || strlen(line) > 9 || !is_number(line, strlen(line)))
		pytorch_fail("The record \"version\" is no number.");
	version = atoi(line);
	if (version < MIN_VERSION || version > MAX_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("checkpoint layout of version %d is not supported",
						version),
				 errdetail("Versions %d to %d are read.", MIN_VERSION,
						   MAX_VERSION)));
}

/* Whether elements are big endian; archives without the record are little. */
static bool
read_byteorder(const PytorchReader *reader, const ZipContainer *container)
{
	const ZipEntry *entry = find_record(container, "byteorder");
	const char *line;

	if (entry == NULL)
		return false;
	line = read_line(reader, entry);
	if (line != NULL && strcmp(line, "big") == 0)
		return true;
	if (line == NULL || strcmp(line, "little") != 0)
		pytorch_fail("The record \"byteorder\" is neither \"little\" nor \"big\".");
	return false;
}

/* An archive that is none of torch's, or is something else that is known. */
static void
report_no_pickle(const PytorchReader *reader, const ZipContainer *container)
{
	uint64		n = Min(reader->size, FORMAT_HEAD);
	const char *look = format_describe(input_view(reader->input, 0, n), n);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("zip archive is no PyTorch checkpoint"),
			 errdetail("It has no record \"%sdata.pkl\".",
					   printable_bytes(container->root,
									   strlen(container->root))),
			 strcmp(look, "a zip archive") == 0 ? 0 :
			 errhint("The bytes look like %s.", look)));
}

static void
parse_zip_pickle(PytorchReader *reader, const ZipContainer *container)
{
	const ZipEntry *entry = find_record(container, "data.pkl");

	if (entry == NULL)
		report_no_pickle(reader, container);
	if (entry->size > pytorch_budget(reader))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("checkpoint would grow too much when it is read"),
				 errdetail("Its data.pkl would take " UINT64_FORMAT " bytes.",
						   entry->size)));
	reader->pickle = pytorch_parse_pickle(reader,
										  zip_read(entry,
												   reader->options->check_crc),
										  entry->size, "data.pkl");
	if (reader->pickle->size != entry->size)
		pytorch_fail("data.pkl goes on after its pickle.");
}

static void
open_zip(PytorchReader *reader)
{
	ZipContainer *container = palloc(sizeof(ZipContainer));

	container->zip = zip_open_input(reader->input);
	container->root = find_root(container->zip);
	refuse_other_archives(container);
	parse_zip_pickle(reader, container);
	check_version(reader, container);
	reader->swap = read_byteorder(reader, container);
	reader->container = container;
	reader->find_storage = find_zip_storage;
	reader->open_storage = open_zip_storage;
	reader->close_storage = close_zip_storage;
	reader->copy_storage = copy_zip_storage;
	pytorch_collect_storages(reader);
}

/* ---------- reading ---------- */

static bool
is_zip(const char *data, size_t size)
{
	return size >= 4 && (memcmp(data, "PK\003\004", 4) == 0 ||
						 memcmp(data, "PK\005\006", 4) == 0);
}

static bool
pytorch_detect(const char *data, size_t size)
{
	return is_zip(data, size) || pytorch_is_legacy(data, size);
}

static void
report_skipped(const PytorchChoice *choice, int64 skipped)
{
	const char *key = printable_bytes(choice->key, choice->key_length);

	ereport(NOTICE,
			(errmsg_plural("skipped " INT64_FORMAT " tensor outside of entry \"%s\" of the checkpoint",
						   "skipped " INT64_FORMAT " tensors outside of entry \"%s\" of the checkpoint",
						   (unsigned long) skipped, skipped, key),
			 errhint("key => '' reads them too.")));
}

static void
open_container(PytorchReader *reader)
{
	uint64		n = Min(reader->size, FORMAT_HEAD);
	const char *head = input_view(reader->input, 0, n);

	if (is_zip(head, n))
		open_zip(reader);
	else if (pytorch_is_legacy(head, n))
	{
		reader->data = input_load(reader->input);
		pytorch_open_legacy(reader);
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("not a PyTorch checkpoint"),
				 errdetail("The bytes look like %s.",
						   format_describe(head, n))));
}

static Model *
pytorch_read(Input *input, const ReadOptions *options)
{
	PytorchReader reader = {
		.input = input,.size = input->size,.options = options
	};
	PytorchWeights weights = {0};
	PytorchChoice choice;
	Model	   *model;
	int64		skipped;

	open_container(&reader);
	choice = pytorch_choose(&reader);
	pytorch_flatten(&reader, &choice, &weights);

	model = model_create(CurrentMemoryContext);
	model_set_metadata(model, pytorch_metadata(&reader, &choice, &weights,
											   &skipped));
	pytorch_load_weights(&reader, &weights, model);
	if (skipped > 0)
		report_skipped(&choice, skipped);
	return model;
}

const Format format_pytorch = {
	.name = "pytorch",
	.extensions = ".pt .pth ",
	.detect = pytorch_detect,
	.read_input = pytorch_read,
	.write = pytorch_write,
	.has_entries = true,
	.reads = "zip and legacy layout of torch.save: state_dicts, checkpoints that nest one, whole modules if asked for",
	.writes = "one flat state_dict that torch.load(weights_only=True) opens",
	.keeps = "names, order, ties, module versions; other entries of a checkpoint as metadata",
	.refuses = "classes and code, TorchScript, torch.export; complex, quantized, sparse and nested tensors, floats of 4 bits",
};
