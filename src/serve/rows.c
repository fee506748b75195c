/*
 * rows.c
 *		Rows of features through a model.
 */
#include "postgres.h"

#include "compat.h"

#include "mb/pg_wchar.h"
#include "model/model_sql.h"
#include "serve/rows.h"
#include "utils/builtins.h"

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
			session_refuse_inputs();
		if (input->shape.type == ELEMENT_STRING)
		{
			input->texts = palloc_extended(Max(nrows * input->width, 1) * sizeof(Datum),
										   MCXT_ALLOC_HUGE);
			continue;
		}
		if (!elements_bytes(input->shape.type, count, &bytes))
			session_refuse_inputs();
		input->data = session_input(session, i, &input->shape, bytes);
		if (batch->batch > nrows)
			memset(input->data, 0, bytes);
	}
}

/* Texts go into inputs of texts alone, and only texts do. */
static void
check_kind(const RowBatch *batch, int i, SourceKind kind)
{
	bool		takes_texts = batch->inputs[i].texts != NULL;

	if (takes_texts == (kind == SOURCE_TEXT))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("input \"%s\" takes %s", utf8_to_server(batch->inputs[i].name),
					takes_texts ? "texts" : "numbers, not texts"),
			 errdetail("The model takes %s.", describe_ports(batch->session->inputs, batch->ninputs)),
			 batch->ninputs > 1 ? errhint("predict_rows() takes a column of its own type for each input.") :
			 takes_texts ? errhint("Cast its values to text.") : 0));
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
		check_kind(batch, i, kind);
		if (input->texts != NULL)
			memcpy(&input->texts[element], next, length * sizeof(Datum));
		else
		{
			int64		bad = elements_write(kind, next, length, input->shape.type,
											 input->data + element * (element_bits(input->shape.type) / 8),
											 input->name);

			if (bad >= 0)
				return elements_complaint(kind, next, bad, input->shape.type,
										  utf8_to_server(input->name));
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
			 errmsg("model has no output \"%s\"", utf8_to_server(name)),
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
				 errmsg("output \"%s\" is no tensor", utf8_to_server(output->port->name)),
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
						utf8_to_server(output->port->name)),
				 errdetail("The model was given %d rows.", batch->batch),
				 errhint("predict_json() gives outputs as they are.")));
}
