/*
 * rows_layout.c
 *		Where the values of a row go in the inputs of a model.
 *
 * A row is given whole, and then its values are those of all inputs one after
 * another, or in a part for each input.  What dimensions a model leaves open
 * the number of values says, or the shape of an array.  Owns these rules, and
 * the words for what a model takes; must not know where rows come from.
 */
#include "postgres.h"

#include "compat.h"

#include "common/int.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "model/model_sql.h"
#include "serve/rows.h"

/* ---------- in words ---------- */

/* Dimensions from one on. */
static void
describe_dims(StringInfo out, const Port *port, int first)
{
	for (int i = first; i < port->ndim; i++)
	{
		if (i > first)
			appendStringInfoString(out, ", ");
		if (port->dims[i] >= 0)
			appendStringInfo(out, INT64_FORMAT, port->dims[i]);
		else if (port->symbols[i][0] != '\0')
			appendStringInfoString(out, utf8_to_server(port->symbols[i]));
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
			describe_dims(out, port, 0);
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
		appendStringInfo(&out, "%s ", utf8_to_server(ports[i].name));
		describe_type(&out, &ports[i]);
	}
	return out.data;
}

char *
describe_array_dims(int ndim, const int *dims)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < ndim; i++)
		appendStringInfo(&out, "%s%d", i > 0 ? ", " : "[", dims[i]);
	appendStringInfoString(&out, ndim > 0 ? "]" : "[]");
	return out.data;
}

int
rows_find_input(const Session *session, const char *name)
{
	for (int i = 0; i < session->ninputs; i++)
		if (strcmp(utf8_to_server(session->inputs[i].name), name) == 0)
			return i;
	return -1;
}

/* ---------- what does not fit ---------- */

pg_noreturn static void
takes_other_rows(const RowBatch *batch)
{
	const Session *session = batch->session;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_plural("model does not take rows of %lld feature",
						   "model does not take rows of %lld features",
						   (unsigned long) batch->width, (long long) batch->width),
			 errdetail("It takes %s.", describe_ports(session->inputs, session->ninputs)),
			 errhint("A row has the values of all inputs, without the first dimension. predict_json() takes inputs of any shape.")));
}

pg_noreturn static void
takes_other_part(const RowBatch *batch, const Port *port, const RowPart *part)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_plural("input \"%s\" does not take rows of %lld feature",
						   "input \"%s\" does not take rows of %lld features",
						   (unsigned long) part->width, utf8_to_server(port->name),
						   (long long) part->width),
			 errdetail("The model takes %s.",
					   describe_ports(batch->session->inputs, batch->session->ninputs))));
}

/* Several dimensions are open, and the row is not of their number. */
pg_noreturn static void
needs_shape(const RowBatch *batch, const Port *port, const RowPart *part)
{
	StringInfoData shape;

	initStringInfo(&shape);
	describe_dims(&shape, port, 1);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 part->ndim < 2 ?
			 errmsg_plural("a row of %lld feature does not tell the shape of input \"%s\"",
						   "a row of %lld features does not tell the shape of input \"%s\"",
						   (unsigned long) part->width, (long long) part->width,
						   utf8_to_server(port->name)) :
			 errmsg("a row of the dimensions %s is none of input \"%s\"",
					describe_array_dims(part->ndim, part->dims), utf8_to_server(port->name)),
			 errdetail("The model takes %s.",
					   describe_ports(batch->session->inputs, batch->session->ninputs)),
			 errhint("Give a row as an array of %d dimensions: [%s].", port->ndim - 1, shape.data)));
}

/* Several inputs have a dimension open, which are not the same. */
pg_noreturn static void
needs_parts(const RowBatch *batch)
{
	const Session *session = batch->session;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg_plural("a row of %lld feature does not tell what each input takes of it",
						   "a row of %lld features does not tell what each input takes of it",
						   (unsigned long) batch->width, (long long) batch->width),
			 errdetail("The model takes %s.", describe_ports(session->inputs, session->ninputs)),
			 errhint("predict_rows() takes a column for each input, called like it; predict_json() takes all by name.")));
}

static void
check_port(const Port *port)
{
	if (port->kind != PORT_TENSOR)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("input \"%s\" is no tensor", utf8_to_server(port->name)),
				 errdetail("The model takes %s.", describe_ports(port, 1)),
				 errhint("predict_json() takes sequences, maps and optional values.")));
	if (port->type != ELEMENT_STRING && element_bits(port->type) < 8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("input \"%s\" cannot be given", utf8_to_server(port->name)),
				 errdetail("Its elements are %s.", element_name(port->type))));
}

/* ---------- one vector ---------- */

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
		takes_other_rows(batch);
	input->shape.dims[0] = batch->width;
}

/* ---------- rows ---------- */

static int
fixed_rows(const Session *session)
{
	for (int i = 0; i < session->ninputs; i++)
		if (session->inputs[i].ndim > 0 && session->inputs[i].dims[0] > 0)
			return Min(session->inputs[i].dims[0], PG_INT32_MAX);
	return 0;
}

bool
rows_match_dims(const Port *port, const int *dims)
{
	for (int i = 1; i < port->ndim; i++)
		if (port->dims[i] >= 0 && port->dims[i] != dims[i - 1])
			return false;
	return true;
}

/* The dimensions that an input leaves open. */
typedef struct OpenDims
{
	int64		known;			/* product of the others, but the first */
	int			n;
	int			first;			/* of them */
} OpenDims;

static OpenDims
open_dims(const RowBatch *batch, const Port *port)
{
	OpenDims	open = {1, 0, 0};

	for (int i = port->ndim - 1; i > 0; i--)
	{
		if (port->dims[i] < 0)
		{
			open.n++;
			open.first = i;
		}
		else if (pg_mul_s64_overflow(open.known, port->dims[i], &open.known))
			takes_other_rows(batch);
	}
	return open;
}

/* An input has a part of the row for itself. */
static void
fit_part(RowBatch *batch, int i, const RowPart *part)
{
	const Port *port = &batch->session->inputs[i];
	RowInput   *input = &batch->inputs[i];
	OpenDims	open = open_dims(batch, port);

	input->width = part->width;
	if (part->ndim > 1 && part->ndim == port->ndim - 1 && rows_match_dims(port, part->dims))
	{
		input->is_shaped = open.n > 0;
		for (int d = 1; d < port->ndim; d++)
			input->shape.dims[d] = part->dims[d - 1];
		return;
	}
	if (open.n > 1)
		needs_shape(batch, port, part);
	if (open.n == 0 ? part->width != open.known :
		open.known == 0 || part->width % open.known != 0)
	{
		if (batch->session->ninputs == 1)
			takes_other_rows(batch);
		takes_other_part(batch, port, part);
	}
	if (open.n == 1)
		input->shape.dims[open.first] = part->width / open.known;
}

/* A dimension that several inputs leave open is one for all of them when it has
 * a name, as the length of a text in a language model. */
static bool
same_dimension(const Port *a, int i, const Port *b, int j)
{
	return a == b || (a->symbols[i][0] != '\0' && strcmp(a->symbols[i], b->symbols[j]) == 0);
}

/* The row has the values of all inputs, one after another. */
static void
fit_whole_row(RowBatch *batch, const RowPart *row)
{
	const Session *session = batch->session;
	OpenDims   *open = palloc(session->ninputs * sizeof(OpenDims));
	int			first = -1;		/* input with an open dimension */
	int64		fixed = 0;		/* values that are not for such */
	int64		known = 0;		/* in those, for each step of the dimension */
	int64		size = 0;

	for (int i = 0; i < session->ninputs; i++)
	{
		const Port *port = &session->inputs[i];
		bool		is_open;

		open[i] = open_dims(batch, port);
		is_open = open[i].n > 0;
		if (open[i].n > 1)
			needs_shape(batch, port, row);
		if (is_open && first < 0)
			first = i;
		if (is_open && !same_dimension(&session->inputs[first], open[first].first, port, open[i].first))
			needs_parts(batch);
		if (pg_add_s64_overflow(is_open ? known : fixed, open[i].known, is_open ? &known : &fixed))
			takes_other_rows(batch);
	}
	if (first < 0 ? fixed != batch->width :
		fixed > batch->width || known == 0 || (batch->width - fixed) % known != 0)
		takes_other_rows(batch);
	if (first >= 0)
		size = (batch->width - fixed) / known;
	for (int i = 0; i < session->ninputs; i++)
	{
		batch->inputs[i].width = open[i].n == 0 ? open[i].known : open[i].known * size;
		if (open[i].n > 0)
			batch->inputs[i].shape.dims[open[i].first] = size;
	}
	pfree(open);
}

static void
prepare_rows(RowBatch *batch, const RowPart *parts, int nparts)
{
	Session    *session = batch->session;
	RowPart		row = {batch->width, 0, NULL};
	int64		first = 0;

	for (int i = 0; i < session->ninputs; i++)
	{
		const Port *port = &session->inputs[i];

		if (port->ndim == 0 || (port->dims[0] >= 0 && port->dims[0] != batch->fixed))
			takes_other_rows(batch);
	}
	if (nparts != session->ninputs)
		fit_whole_row(batch, nparts == 1 ? parts : &row);
	else
		for (int i = 0; i < session->ninputs; i++)
			fit_part(batch, i, &parts[i]);
	for (int i = 0; i < session->ninputs; i++)
	{
		batch->inputs[i].first = first;
		first += batch->inputs[i].width;
	}
}

RowBatch *
rows_prepare(Session *session, const RowPart *parts, int nparts)
{
	RowBatch   *batch = palloc0(sizeof(RowBatch));

	batch->session = session;
	batch->ninputs = session->ninputs;
	batch->noutputs = session->noutputs;
	for (int i = 0; i < nparts; i++)
		batch->width += parts[i].width;
	batch->fixed = fixed_rows(session);
	batch->inputs = palloc0(Max(session->ninputs, 1) * sizeof(RowInput));
	for (int i = 0; i < session->ninputs; i++)
	{
		const Port *port = &session->inputs[i];

		check_port(port);
		batch->inputs[i].name = pstrdup(port->name);
		batch->inputs[i].shape.type = port->type;
		batch->inputs[i].shape.ndim = port->ndim;
		memcpy(batch->inputs[i].shape.dims, port->dims, port->ndim * sizeof(int64));
	}
	if (session->ninputs == 0)
		takes_other_rows(batch);
	if (takes_whole(session, batch->width))
		prepare_whole(batch);
	else
		prepare_rows(batch, parts, nparts);
	return batch;
}

/* ---------- rows that follow ---------- */

RowPart
rows_array_part(ArrayType *array)
{
	return (RowPart) {ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)),
		ARR_NDIM(array), ARR_DIMS(array)};
}

static char *
misfit_part(const RowBatch *batch, int i, const RowPart *part)
{
	const RowInput *input = &batch->inputs[i];

	if (part->width != input->width)
		return psprintf("input \"%s\" has " INT64_FORMAT " features, not the " INT64_FORMAT " of rows before",
						utf8_to_server(input->name), part->width, input->width);
	for (int d = 1; input->is_shaped && d < input->shape.ndim; d++)
		if (part->ndim != input->shape.ndim - 1 || part->dims[d - 1] != input->shape.dims[d])
			return psprintf("input \"%s\" has the dimensions %s, not those of rows before",
							utf8_to_server(input->name), describe_array_dims(part->ndim, part->dims));
	return NULL;
}

char *
rows_misfit(const RowBatch *batch, const RowPart *parts, int nparts)
{
	char	   *problem = NULL;
	int64		width = 0;

	for (int i = 0; i < nparts; i++)
		width += parts[i].width;
	if (width != batch->width && (nparts == 1 || nparts != batch->ninputs))
		return psprintf("row has " INT64_FORMAT " features, not " INT64_FORMAT,
						width, batch->width);
	for (int i = 0; nparts == batch->ninputs && i < nparts && problem == NULL; i++)
		problem = misfit_part(batch, i, &parts[i]);
	return problem;
}
