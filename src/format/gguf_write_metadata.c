/*
 * gguf_write_metadata.c
 *		Metadata of a GGUF file from a model's; gguf.h says how it lies there.
 *
 * What was read from a file gives the same bytes again.  Keys that somebody
 * added have no type yet and get the usual one; keys that somebody removed are
 * not written.
 */
#include "postgres.h"

#include "compat.h"

#include "format/gguf.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

typedef struct Member
{
	char	   *key;
	const char *value;			/* JSON text */
	bool		is_written;
} Member;

typedef struct Writer
{
	GgufMetadata *metadata;
	const GgufAdditions *additions;
	Member	   *members;		/* of the object, sorted by key */
	int			nmembers;
	StringInfoData string;		/* the last one that was unescaped */
} Writer;

pg_noreturn static void
refuse(const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("metadata of the model cannot be written in a GGUF file"),
			 errdetail("%s", problem)));
	pg_unreachable();
}

pg_noreturn static void
refuse_key(const char *key, const char *problem)
{
	refuse(psprintf("Key \"%s\" of \"" GGUF_KEY "\" %s.",
					pg_any_to_server(key, strlen(key), PG_UTF8), problem));
}

/* Takes a string, unescaped, into writer->string. */
static bool
take_string(Writer *writer, const char **p)
{
	resetStringInfo(&writer->string);
	return json_walk_string(p, &writer->string);
}

/* ---------- keys ---------- */

static void
put_key(Writer *writer, const char *key)
{
	if (!gguf_is_key(key, strlen(key)))
		refuse_key(key, "is not made of letters, digits, underscores, hyphens and dots");
	gguf_put_string(&writer->metadata->bytes, key, strlen(key));
	writer->metadata->nkeys++;
}

static void
note_alignment(Writer *writer, const char *key, GgufKind kind, bool is_array)
{
	uint32		alignment;

	if (strcmp(key, GGUF_ALIGNMENT_KEY) != 0)
		return;
	if (kind != GGUF_U32 || is_array)
		refuse_key(key, "is not of type u32");
	memcpy(&alignment, writer->metadata->bytes.data +
		   writer->metadata->bytes.len - sizeof(alignment),
		   sizeof(alignment));
	if (!gguf_is_alignment(alignment))
		refuse_key(key, psprintf("is not a power of two from 8 to %d",
								 GGUF_MAX_ALIGNMENT));
	writer->metadata->alignment = alignment;
}

static void
put_u32_key(Writer *writer, const char *key, uint32 value)
{
	put_key(writer, key);
	gguf_put_u32(&writer->metadata->bytes, GGUF_U32);
	gguf_put_u32(&writer->metadata->bytes, value);
}

/* Keys that follow from how tensors are written now. */
static bool
put_file_type(Writer *writer, const char *key)
{
	if (writer->additions->file_type < 0 ||
		strcmp(key, "general.file_type") != 0)
		return false;
	put_u32_key(writer, key, (uint32) writer->additions->file_type);
	return true;
}

static void
put_member(Writer *writer, const Member *member, GgufKind kind, bool is_array)
{
	StringInfo	out = &writer->metadata->bytes;

	if (put_file_type(writer, member->key))
		return;
	put_key(writer, member->key);
	if (is_array)
		gguf_put_u32(out, GGUF_ARRAY);
	gguf_put_u32(out, kind);
	if (!gguf_put_value(out, kind, is_array, member->value))
		refuse_key(member->key, psprintf("has a value that is no %s%s",
										 is_array ? "array of " : "",
										 gguf_kinds[kind].name));
	note_alignment(writer, member->key, kind, is_array);
}

static void
put_untyped(Writer *writer, const Member *member)
{
	GgufKind	kind;
	bool		is_array;

	if (!gguf_guess_kind(member->value, &kind, &is_array))
		refuse_key(member->key, "has a value that tells no type");
	put_member(writer, member, kind, is_array);
}

/* ---------- what the model has ---------- */

static int
compare_members(const void *a, const void *b)
{
	return strcmp(((const Member *) a)->key, ((const Member *) b)->key);
}

static Member *
find_member(const Writer *writer, const char *key)
{
	Member		wanted = {.key = unconstify(char *, key)};

	return bsearch(&wanted, writer->members, writer->nmembers, sizeof(Member),
				   compare_members);
}

static void
index_members(Writer *writer, const char *object)
{
	const char *p = object;
	int			allocated = 16;

	writer->members = palloc(allocated * sizeof(Member));
	if (object == NULL || !json_walk_accept(&p, '{'))
		refuse("There is no object \"metadata\" in \"" GGUF_KEY "\".");
	while (*p == '"')
	{
		Member	   *member;

		if (writer->nmembers == allocated)
		{
			allocated *= 2;
			writer->members = repalloc_huge(writer->members,
											allocated * sizeof(Member));
		}
		member = &writer->members[writer->nmembers++];
		if (!take_string(writer, &p) || !json_walk_accept(&p, ':'))
			refuse("It is not JSON.");
		member->key = pstrdup(writer->string.data);
		member->value = p;
		member->is_written = false;
		p = json_walk_skip_value(p);
		(void) json_walk_accept(&p, ',');
	}
	qsort(writer->members, writer->nmembers, sizeof(Member), compare_members);
}

static void
free_members(Writer *writer)
{
	for (int i = 0; i < writer->nmembers; i++)
		pfree(writer->members[i].key);
	pfree(writer->members);
}

/* "u8" or "u8[]". */
static GgufKind
kind_of_name(const char *key, const char *name, bool *is_array)
{
	size_t		length = strlen(name);

	*is_array = length > 2 && strcmp(name + length - 2, "[]") == 0;
	if (*is_array)
		length -= 2;
	for (int i = 0; i < GGUF_NKINDS; i++)
	{
		if (i != GGUF_ARRAY && strlen(gguf_kinds[i].name) == length &&
			strncmp(gguf_kinds[i].name, name, length) == 0)
			return (GgufKind) i;
	}
	refuse_key(key, "has a type that GGUF does not know");
}

/* An item of the list of types: ["key", "type"]. */
static void
put_typed(Writer *writer, const char **p)
{
	Member	   *member;
	GgufKind	kind;
	bool		is_array;

	if (!json_walk_accept(p, '[') || !take_string(writer, p) ||
		!json_walk_accept(p, ','))
		refuse("\"types\" of \"" GGUF_KEY "\" is not a list of pairs of strings.");
	member = find_member(writer, writer->string.data);
	if (!take_string(writer, p) || !json_walk_accept(p, ']'))
		refuse("\"types\" of \"" GGUF_KEY "\" is not a list of pairs of strings.");
	if (member == NULL)
		return;
	if (member->is_written)
		refuse_key(member->key, "has two types");
	kind = kind_of_name(member->key, writer->string.data, &is_array);
	put_member(writer, member, kind, is_array);
	member->is_written = true;
}

static void
put_what_is_there(Writer *writer, const char *gguf)
{
	const char *version = json_walk_member(gguf, "version");
	const char *types = json_walk_member(gguf, "types");

	if (version != NULL && *version == '2')
		writer->metadata->version = 2;
	index_members(writer, json_walk_member(gguf, "metadata"));
	if (types != NULL && json_walk_accept(&types, '['))
	{
		while (*types == '[')
		{
			CHECK_FOR_INTERRUPTS();
			put_typed(writer, &types);
			(void) json_walk_accept(&types, ',');
		}
	}
	for (int i = 0; i < writer->nmembers; i++)
	{
		if (!writer->members[i].is_written)
			put_untyped(writer, &writer->members[i]);
	}
}

/* What is not there yet. */
static void
put_additions(Writer *writer)
{
	static const char file_type[] = "general.file_type";
	static const char version[] = "general.quantization_version";

	if (find_member(writer, file_type) == NULL)
		(void) put_file_type(writer, file_type);
	if (writer->additions->is_quantized &&
		find_member(writer, version) == NULL)
		put_u32_key(writer, version, 2);
}

bool
gguf_has_metadata(const Model *model)
{
	const char *gguf = json_walk_member(model->metadata, GGUF_KEY);

	return gguf != NULL && *gguf == '{';
}

void
gguf_write_metadata(const Model *model, const GgufAdditions *additions,
					GgufMetadata *metadata)
{
	Writer		writer = {.metadata = metadata,.additions = additions};

	metadata->version = GGUF_VERSION;
	metadata->nkeys = 0;
	metadata->alignment = GGUF_ALIGNMENT;
	initStringInfo(&metadata->bytes);
	initStringInfo(&writer.string);
	if (gguf_has_metadata(model))
		put_what_is_there(&writer, json_walk_member(model->metadata, GGUF_KEY));
	else
		index_members(&writer, "{}");
	if (additions->architecture != NULL)
	{
		put_key(&writer, "general.architecture");
		gguf_put_u32(&metadata->bytes, GGUF_STRING);
		gguf_put_string(&metadata->bytes, additions->architecture,
				   strlen(additions->architecture));
	}
	put_additions(&writer);
	free_members(&writer);
	pfree(writer.string.data);
}
