/*
 * onnx_metadata.c
 *		What an ONNX model says of itself, as metadata for people to see.
 *
 * The graph has all of it and is what is written; changed metadata changes
 * nothing there.
 */
#include "postgres.h"

#include "format/onnx.h"

/* A field that is text, when there is one. */
static void
put_text(StringInfo out, OnnxBytes message, uint32 number)
{
	OnnxBytes	bytes = onnx_get(message, number);

	if (bytes.size == 0)
		return;
	onnx_show_key(out, onnx_field(ONNX_MODEL, number)->name);
	onnx_show_text(out, bytes);
}

static void
put_integer(StringInfo out, OnnxBytes message, uint32 number)
{
	int64		value = onnx_get_integer(message, number);

	if (value == 0)
		return;
	onnx_show_key(out, onnx_field(ONNX_MODEL, number)->name);
	appendStringInfo(out, INT64_FORMAT, value);
}

/* An object of what the messages of a repeated field have. */
static void
put_object(StringInfo out, OnnxBytes message, uint32 number,
		   void (*put_entry) (StringInfo out, OnnxBytes entry))
{
	PbReader	reader = onnx_reader(message);
	PbField		field;
	bool		any = false;

	while (onnx_next(&reader, number, &field))
	{
		if (!any)
		{
			onnx_show_key(out, onnx_field(ONNX_MODEL, number)->name);
			appendStringInfoChar(out, '{');
		}
		else
			appendStringInfoString(out, ", ");
		put_entry(out, onnx_bytes(&field));
		any = true;
	}
	if (any)
		appendStringInfoChar(out, '}');
}

static void
put_operator_set(StringInfo out, OnnxBytes entry)
{
	OnnxBytes	domain = onnx_domain(onnx_get(entry, OPERATOR_SET_DOMAIN));

	if (domain.size > 0)
		onnx_show_text(out, domain);
	else
		appendStringInfoString(out, "\"ai.onnx\"");
	appendStringInfo(out, ": " INT64_FORMAT,
					 onnx_get_integer(entry, OPERATOR_SET_VERSION));
}

static void
put_string_entry(StringInfo out, OnnxBytes entry)
{
	onnx_show_text(out, onnx_get(entry, ENTRY_KEY));
	appendStringInfoString(out, ": ");
	onnx_show_text(out, onnx_get(entry, ENTRY_VALUE));
}

char *
onnx_metadata(OnnxBytes model)
{
	OnnxBytes	graph = onnx_get(model, MODEL_GRAPH);
	OnnxBytes	name = onnx_get(graph, GRAPH_NAME);
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"onnx\": {");
	put_integer(&out, model, MODEL_IR_VERSION);
	put_text(&out, model, MODEL_PRODUCER_NAME);
	put_text(&out, model, MODEL_PRODUCER_VERSION);
	put_text(&out, model, MODEL_DOMAIN);
	put_integer(&out, model, MODEL_MODEL_VERSION);
	if (name.size > 0)
	{
		onnx_show_key(&out, "graph_name");
		onnx_show_text(&out, name);
	}
	put_object(&out, model, MODEL_OPSET_IMPORT, put_operator_set);
	put_object(&out, model, MODEL_METADATA_PROPS, put_string_entry);
	appendStringInfoString(&out, "}}");
	return out.data;
}
