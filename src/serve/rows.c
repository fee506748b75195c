/*
 * rows.c
 *		Rows of features through a model.
 */
#include "postgres.h"

#include "compat.h"

#include "common/int.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "serve/rows.h"
#include "utils/builtins.h"

/* ---------- in words ---------- */

static const char *
server_text(const char *utf8)
{
	return pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
}

static void
describe_dims(StringInfo out, const Port *port)
{
	for (int i = 0; i < port->ndim; i++)
	{
		if (i > 0)
			appendStringInfoString(out, ", ");
		if (port->dims[i] >= 0)
			appendStringInfo(out, INT64_FORMAT, port->dims[i]);
		else if (port->symbols[i][0] != '\0')
			appendStringInfoString(out, server_text(port->symbols[i]));
		else
			appendStringInfoChar(out, '?');
	}
}

/* As outputs() shows it, and with dimensions.  Of what is in another type, none
 * may just not be known. */
static void
describe_type(StringInfo out, const Port *port)
{
	switch (port->kind)
	{
		case PORT_TENSOR:
			appendStringInfoString(out, element_name(port->type));
			if (port->ndim == 0 && port->name == NULL)
				return;
			appendStringInfoChar(out, '[');
			describe_dims(out, port);
			appendStringInfoChar(out, ']');
			return;
		case PORT_SEQUENCE:
			appendStringInfoString(out, "sequence(");
			break;
		case PORT_MAP:
			appendStringInfo(out, "map(%s, ", element_name(port->type));
			break;
		case PORT_OPTIONAL:
			appendStringInfoString(out, "optional(");
			break;
		default:
			appendStringInfoString(out, "(of another kind)");
			return;
	}
	describe_type(out, port->of);
	appendStringInfoChar(out, ')');
}

char *
describe_ports(const Port *ports, int n)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoString(&out, ", ");
		appendStringInfo(&out, "%s ", server_text(ports[i].name));
		describe_type(&out, &ports[i]);
	}
	return out.data;
}

pg_noreturn static void
takes_other_rows(const Session *session, int64 width)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model does not take rows of " INT64_FORMAT " features", width),
			 errdetail("It takes %s.", describe_ports(session->inputs, session->ninputs)),
			 errhint("A row has the values of all inputs, without the first dimension. predict_json() takes inputs of any shape.")));
}

/* ---------- what a batch looks like ---------- */

/* Elements of a row of an input; *unknown is the dimension that may be any,
 * or 0 when all are known.  False when there are several. */
static bool
row_width(const Port *port, int64 *width, int *unknown)
{
	*width = 1;
	*unknown = 0;
	for (int i = 1; i < port->ndim; i++)
	{
		if (port->dims[i] < 0 && *unknown != 0)
			return false;
		if (port->dims[i] < 0)
			*unknown = i;
		else if (pg_mul_s64_overflow(*width, port->dims[i], width))
			return false;
	}
	return true;
}

static void
check_port(const Session *session, const Port *port)
{
	if (port->kind != PORT_TENSOR)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("input \"%s\" is no tensor", server_text(port->name)),
				 errdetail("The model takes %s.", describe_ports(port, 1)),
				 errhint("predict_json() takes sequences and optional values.")));
	if (port->type != ELEMENT_STRING && element_bits(port->type) < 8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("input \"%s\" cannot be given", server_text(port->name)),
				 errdetail("Its elements are %s.", element_name(port->type))));
}

static int
fixed_rows(const Session *session)
{
	for (int i = 0; i < session->ninputs; i++)
		if (session->inputs[i].ndim > 0 && session->inputs[i].dims[0] > 0)
			return Min(session->inputs[i].dims[0], PG_INT32_MAX);
	return 0;
}

/* A model may take one vector, or a scalar, and no rows of them; several
 * vectors are columns. */
static bool
takes_whole(const Session *session, int64 width)
{
	const Port *port = session->inputs;

	return session->ninputs == 1 &&
		(port->ndim == 0 || (port->ndim == 1 && (port->dims[0] > 0 || width != 1)));
}

static void
prepare_whole(RowBatch *batch)
{
	const Port *port = batch->session->inputs;
	RowInput   *input = &batch->inputs[0];

	batch->whole = true;
	batch->fixed = 0;
	input->width = batch->width;
	if (port->ndim == 0 ? batch->width != 1 :
		(port->dims[0] >= 0 && port->dims[0] != batch->width))
		takes_other_rows(batch->session, batch->width);
	input->shape.dims[0] = batch->width;
}

bool
rows_match_dims(const Port *port, const int *dims)
{
	for (int i = 1; i < port->ndim; i++)
		if (port->dims[i] >= 0 && port->dims[i] != dims[i - 1])
			return false;
	return true;
}

/* The rest of a row's values are the one's that has an open dimension. */
static void
prepare_rows(RowBatch *batch, const int *dims)
{
	Session    *session = batch->session;
	int64		known = 0;
	RowInput   *open = NULL;
	int			open_dimension = 0;

	for (int i = 0; i < session->ninputs; i++)
	{
		const Port *port = &session->inputs[i];
		RowInput   *input = &batch->inputs[i];
		int			unknown = 0;

		if (port->ndim == 0 || (port->dims[0] >= 0 && port->dims[0] != batch->fixed))
			takes_other_rows(session, batch->width);
		input->first = known;
		if (dims != NULL && rows_match_dims(port, dims))
		{
			for (int d = 1; d < port->ndim; d++)
				input->shape.dims[d] = dims[d - 1];
			input->width = batch->width;
		}
		else if (!row_width(port, &input->width, &unknown) ||
				 (unknown != 0 && session->ninputs > 1))
			takes_other_rows(session, batch->width);
		if (unknown != 0)
		{
			open = input;
			open_dimension = unknown;
		}
		if (pg_add_s64_overflow(known, input->width, &known))
			takes_other_rows(session, batch->width);
	}
	if (open != NULL && known > 0 && batch->width % known == 0)
	{
		open->shape.dims[open_dimension] = batch->width / known;
		open->width = known = batch->width;
	}
	if (known != batch->width)
		takes_other_rows(session, batch->width);
}

RowBatch *
rows_prepare(Session *session, int64 width, const int *dims)
{
	RowBatch   *batch = palloc0(sizeof(RowBatch));

	batch->session = session;
	batch->ninputs = session->ninputs;
	batch->noutputs = session->noutputs;
	batch->width = width;
	batch->fixed = fixed_rows(session);
	batch->inputs = palloc0(Max(session->ninputs, 1) * sizeof(RowInput));
	for (int i = 0; i < session->ninputs; i++)
	{
		const Port *port = &session->inputs[i];

		check_port(session, port);
		batch->inputs[i].shape.type = port->type;
		batch->inputs[i].shape.ndim = port->ndim;
		memcpy(batch->inputs[i].shape.dims, port->dims, port->ndim * sizeof(int64));
	}
	if (session->ninputs == 0)
		takes_other_rows(session, width);
	if (takes_whole(session, width))
		prepare_whole(batch);
	else
		prepare_rows(batch, dims);
	return batch;
}

/* ---------- a batch ---------- */

int
rows_limit(const RowBatch *batch, int wanted)
{
	return batch->whole ? 1 : batch->fixed > 0 ? Min(wanted, batch->fixed) : wanted;
}

/* A model that was loaded anew in between takes what it took before, unless the
 * runner has been taken over. */
static void
set_session(RowBatch *batch, Session *session)
{
	if (session->ninputs != batch->ninputs || session->noutputs != batch->noutputs)
		elog(ERROR, "model runner says now that the model takes something else");
	batch->session = session;
}

void
rows_begin(RowBatch *batch, Session *session, int nrows)
{
	set_session(batch, session);
	batch->nrows = nrows;
	batch->batch = batch->fixed > 0 ? batch->fixed : nrows;
	session_begin(session);
	for (int i = 0; i < session->ninputs; i++)
	{
		RowInput   *input = &batch->inputs[i];
		int64		count;
		uint64		bytes;

		if (!batch->whole)
			input->shape.dims[0] = batch->batch;
		if (!shape_elements(&input->shape, &count))
			takes_other_rows(session, batch->width);
		if (input->shape.type == ELEMENT_STRING)
		{
			input->texts = palloc_extended(Max(nrows * input->width, 1) * sizeof(Datum),
										   MCXT_ALLOC_HUGE);
			continue;
		}
		if (!elements_bytes(input->shape.type, count, &bytes))
			takes_other_rows(session, batch->width);
		input->data = session_input(session, i, &input->shape, bytes);
		if (batch->batch > nrows)
			memset(input->data, 0, bytes);
	}
}

static void
put_texts(RowInput *input, int64 at, SourceKind kind, const void *values,
		  int64 n, const char *name)
{
	if (kind != SOURCE_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("input \"%s\" takes texts", server_text(name)),
				 errhint("Cast its values to text.")));
	memcpy(&input->texts[at], values, n * sizeof(Datum));
}

void
rows_refuse(const char *complaint)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s", complaint)));
}

char *
rows_put(RowBatch *batch, int row, int64 at, SourceKind kind,
		 const void *values, int64 n)
{
	const char *next = values;

	for (int i = 0; n > 0 && i < batch->session->ninputs; i++)
	{
		RowInput   *input = &batch->inputs[i];
		int64		inside = at - input->first;
		int64		length;
		int64		element;

		if (inside < 0 || inside >= input->width)
			continue;
		length = Min(n, input->width - inside);
		element = row * input->width + inside;
		if (input->texts != NULL)
			put_texts(input, element, kind, next, length, batch->session->inputs[i].name);
		else
		{
			const char *name = batch->session->inputs[i].name;
			int64		bad = elements_write(kind, next, length, input->shape.type,
											 input->data + element * (element_bits(input->shape.type) / 8),
											 name);

			if (bad >= 0)
				return elements_complaint(kind, next, bad, input->shape.type,
										  server_text(name));
		}
		next += length * source_width(kind);
		at += length;
		n -= length;
	}
	return NULL;
}

/* Strings have no place of their own before their lengths are known.  Each ends
 * with a zero, for the runtime; those of padding are all the one after the
 * last, which is empty. */
static void
lay_out_texts(RowBatch *batch, int i)
{
	RowInput   *input = &batch->inputs[i];
	int64		given = batch->nrows * input->width;
	uint64		total = 1;
	int64		count;
	char	  **utf8 = palloc_extended(Max(given, 1) * sizeof(char *), MCXT_ALLOC_HUGE);
	uint64	   *offsets;
	char	   *dst;

	(void) shape_elements(&input->shape, &count);
	for (int64 k = 0; k < given; k++)
	{
		char	   *string = TextDatumGetCString(input->texts[k]);

		CHECK_FOR_INTERRUPTS();
		utf8[k] = pg_server_to_any(string, strlen(string), PG_UTF8);
		total += strlen(utf8[k]) + 1;
	}
	offsets = session_input(batch->session, i, &input->shape,
							(count + 1) * sizeof(uint64) + total);
	dst = (char *) (offsets + count + 1);
	offsets[0] = 0;
	for (int64 k = 0; k < given; k++)
	{
		uint64		length = strlen(utf8[k]) + 1;

		memcpy(dst + offsets[k], utf8[k], length);
		offsets[k + 1] = offsets[k] + length;
	}
	dst[offsets[given]] = '\0';
	for (int64 k = given; k < count; k++)
		offsets[k + 1] = offsets[given];
	pfree(utf8);
	pfree(input->texts);
	input->texts = NULL;
}

static void
lay_out_all_texts(RowBatch *batch)
{
	for (int i = 0; i < batch->session->ninputs; i++)
		if (batch->inputs[i].texts != NULL)
			lay_out_texts(batch, i);
}

/* Rows in the first dimension, or 0 when it counts none. */
static int
counted_rows(const RowBatch *batch)
{
	return batch->whole ? 0 : batch->batch;
}

void
rows_run(RowBatch *batch)
{
	lay_out_all_texts(batch);
	session_run(batch->session, counted_rows(batch), batch->nrows);
}

void
rows_run_beside(RowBatch *batch, void (*meanwhile) (void *argument),
				void (*take) (void *argument), void *argument)
{
	lay_out_all_texts(batch);
	session_run_beside(batch->session, counted_rows(batch), batch->nrows,
					   meanwhile, take, argument);
}

/* ---------- outputs ---------- */

int
rows_find_output(const Session *session, const char *name)
{
	for (int i = 0; i < session->noutputs; i++)
		if (name == NULL ? session->outputs[i].kind == PORT_TENSOR :
			strcmp(session->outputs[i].name, name) == 0)
			return i;
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model gives no tensor")));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("model has no output \"%s\"", server_text(name)),
			 errdetail("It gives %s.", describe_ports(session->outputs, session->noutputs))));
}

/* A single row may have an output of any shape; of many each has its part. */
void
rows_output(const RowBatch *batch, int i, RowOutput *output)
{
	const ServedTensor *tensor = session_output(batch->session, i);
	const TensorShape *shape = &tensor->shape;

	output->port = &batch->session->outputs[i];
	output->tensor = tensor;
	if (output->port->kind != PORT_TENSOR || shape->type == ELEMENT_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" is no tensor", server_text(output->port->name)),
				 errhint("Name another output. The model gives %s.",
						 describe_ports(batch->session->outputs, batch->session->noutputs))));
	(void) shape_elements(shape, &output->count);
	if (!batch->whole && shape->ndim > 0 && shape->dims[0] == batch->batch)
		output->width = batch->batch == 0 ? 0 : output->count / batch->batch;
	else if (batch->batch == 1)
		output->width = output->count;
	else
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("output \"%s\" has not a row for each row of the input",
						server_text(output->port->name)),
				 errdetail("The model was given %d rows.", batch->batch),
				 errhint("predict_json() gives outputs as they are.")));
}
