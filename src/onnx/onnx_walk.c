/*
 * onnx_walk.c
 *		Walks all messages of a ModelProto, without recursion.
 *
 * Every field of every message is held against the tables: its kind, whether
 * it may come again, whether its text is UTF-8.  Readers of protocol buffers
 * differ in what they make of a field that comes twice and in what they know,
 * and what one of them reads here must be what all others read later.
 */
#include "postgres.h"

#include <limits.h>

#include "onnx/onnx_check.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

/* Fields, or packed numbers, between two looks for interrupts. */
#define STRETCH 65536

/* Parts of a path that an error shows at most, from each end. */
#define PATH_ENDS 6

/* Bytes of a name that an error shows. */
#define MAX_QUOTED 64

/* ---------- errors ---------- */

/* Which one of the fields of its number it is that the walk is at. */
static int
field_index(const OnnxFrame *frame)
{
	PbReader	reader = onnx_reader(frame->content);
	PbField		field;
	int			index = 0;

	while (onnx_next(&reader, frame->field.number, &field) &&
		   field.start < frame->field.start)
		index++;
	return index;
}

/* Like "graph.node[3].attribute[0]"; the middle of a long one is left out. */
static char *
walk_path(const OnnxWalk *walk)
{
	StringInfoData path;

	initStringInfo(&path);
	for (int i = 0; i < walk->depth - 1; i++)
	{
		const OnnxFrame *frame = &walk->frames[i];

		if (i >= PATH_ENDS && i < walk->depth - 1 - PATH_ENDS)
		{
			appendStringInfoString(&path, i == PATH_ENDS ? "..." : "");
			continue;
		}
		appendStringInfo(&path, "%s%s", i > 0 ? "." : "", frame->info->name);
		if (frame->info->repeated)
			appendStringInfo(&path, "[%d]", field_index(frame));
	}
	return path.len > 0 ? path.data : pstrdup("The model");
}

void
onnx_fail(const OnnxWalk *walk, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid ONNX model"),
			 errdetail("%s %s.", walk_path(walk), detail)));
	pg_unreachable();
}

void
onnx_unsupported(const OnnxWalk *walk, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("unsupported ONNX model"),
			 errdetail("%s %s.", walk_path(walk), detail)));
	pg_unreachable();
}

void
onnx_limit(const OnnxWalk *walk, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("ONNX model is too large"),
			 errdetail("%s %s.", walk_path(walk), detail)));
	pg_unreachable();
}

void
onnx_refuse_external(const OnnxWalk *walk)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("external data is not allowed in a stored model"),
			 errdetail("%s keeps its elements in another file.",
					   walk_path(walk)),
			 errhint("model_load reads a file together with those beside it. torch.onnx.export writes one file with external_data=False.")));
	pg_unreachable();
}

const char *
onnx_quote(OnnxBytes name)
{
	int			length = Min(name.size, MAX_QUOTED);
	char	   *cut;

	/* Text that may not have been checked, and cut between characters. */
	while (length > 0 && length < name.size &&
		   ((uint8) name.data[length] & 0xc0) == 0x80)
		length--;
	if (length == 0)
		return "\"\"";
	if (!pg_verify_mbstr(PG_UTF8, name.data, length, true))
		return "that is no text";
	cut = pnstrdup(name.data, length);
	return psprintf("\"%s%s\"", pg_any_to_server(cut, length, PG_UTF8),
					length < name.size ? "..." : "");
}

/* ---------- the fields of a message ---------- */

static void
fail_field(OnnxWalk *walk, const PbField *field, const char *problem)
{
	OnnxFrame  *frame = onnx_frame(walk);
	const OnnxFieldInfo *info = onnx_field(frame->message, field->number);

	onnx_fail(walk, info != NULL ?
			  psprintf("has a field %s that %s", info->name, problem) :
			  psprintf("has a field %u that %s", field->number, problem));
}

/* Integers one after another. */
static void
check_packed(OnnxWalk *walk, const PbField *field)
{
	PbReader	reader = pb_content(field);
	uint64		value;
	int			n = 0;

	while (reader.at < reader.end)
	{
		if (++n % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		if (!pb_next_varint(&reader, &value))
			fail_field(walk, field, "has a damaged number");
	}
}

static void
check_text(OnnxWalk *walk, const PbField *field)
{
	if (field->size > INT_MAX)
		onnx_limit(walk, "has a text that is too long");
	if (!pg_verify_mbstr(PG_UTF8, field->size > 0 ? field->data : "",
						 (int) field->size, true))
		fail_field(walk, field, "is not valid UTF-8");
}

/* Numbers that may come more than once may also come packed. */
static void
check_number(OnnxWalk *walk, const PbField *field, const OnnxFieldInfo *info)
{
	static const struct
	{
		PbWire		wire;
		int			size;		/* 0 when it varies */
	}			numbers[] = {
		[ONNX_INTEGER] = {PB_VARINT, 0},
		[ONNX_FLOAT] = {PB_FIXED32, 4},
		[ONNX_DOUBLE] = {PB_FIXED64, 8},
	};

	if (field->wire == numbers[info->kind].wire)
		return;
	if (field->wire != PB_BYTES || !info->repeated)
		fail_field(walk, field, "is not of its kind");
	if (info->kind == ONNX_INTEGER)
		check_packed(walk, field);
	else if (field->size % numbers[info->kind].size != 0)
		fail_field(walk, field, "has a damaged number");
}

static void
check_kind(OnnxWalk *walk, const PbField *field, const OnnxFieldInfo *info)
{
	if (info->kind <= ONNX_DOUBLE)
		check_number(walk, field, info);
	else if (field->wire != PB_BYTES)
		fail_field(walk, field, "is not of its kind");
	else if (info->kind == ONNX_TEXT)
		check_text(walk, field);
}

static void
check_unknown(OnnxWalk *walk, const PbField *field)
{
	const OnnxMessageInfo *message = &onnx_messages[onnx_frame(walk)->message];

	if (message->unknown == ONNX_KEEP_UNKNOWN ||
		(message->unknown == ONNX_KEEP_NUMBERS && field->wire != PB_BYTES))
		return;
	onnx_unsupported(walk, psprintf("has field %u, which this version does not know of a %s",
									field->number, message->name));
}

/* All fields of the message that is being walked, but not what is in them. */
static void
check_fields(OnnxWalk *walk)
{
	OnnxFrame  *frame = onnx_frame(walk);
	const OnnxFieldInfo *first = onnx_messages[frame->message].fields;
	PbReader	reader = onnx_reader(frame->content);
	PbField		field;
	uint32		seen = 0;
	int			n = 0;

	while (pb_next(&reader, &field))
	{
		const OnnxFieldInfo *info = onnx_field(frame->message, field.number);

		if (++n % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		if (info == NULL)
		{
			check_unknown(walk, &field);
			continue;
		}
		if (!info->repeated)
		{
			uint32		bit = (uint32) 1 << (info - first);

			if (seen & bit)
				fail_field(walk, &field, "comes twice");
			seen |= bit;
		}
		check_kind(walk, &field, info);
	}
	if (reader.problem != NULL)
		onnx_fail(walk, psprintf("is damaged at byte " UINT64_FORMAT ": %s",
								 (uint64) (reader.at - walk->frames[0].content.data),
								 reader.problem));
}

/* ---------- the walk ---------- */

static void
enter(OnnxWalk *walk, OnnxMessage message, OnnxBytes content)
{
	OnnxFrame  *frame;

	if (walk->depth == ONNX_MAX_DEPTH)
		onnx_limit(walk, psprintf("has messages in it that are more than %d deep",
								  ONNX_MAX_DEPTH));
	walk->depth++;
	frame = onnx_frame(walk);
	memset(frame, 0, sizeof(OnnxFrame));
	frame->message = message;
	frame->content = content;
	frame->reader = onnx_reader(content);
	check_fields(walk);
	onnx_begin(walk);
}

void
onnx_walk(OnnxWalk *walk, OnnxBytes model)
{
	int			n = 0;

	walk->depth = 0;
	enter(walk, ONNX_MODEL, model);
	while (walk->depth > 0)
	{
		OnnxFrame  *frame = onnx_frame(walk);

		if (++n % STRETCH == 0)
			CHECK_FOR_INTERRUPTS();
		if (!pb_next(&frame->reader, &frame->field))
		{
			onnx_end(walk);
			walk->depth--;
			continue;
		}
		frame->info = onnx_field(frame->message, frame->field.number);
		if (frame->info != NULL && frame->info->kind == ONNX_SUBMESSAGE)
			enter(walk, frame->info->message, onnx_bytes(&frame->field));
	}
}
