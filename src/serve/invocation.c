/*
 * invocation.c
 *		What is told about an invocation while it is served.
 */
#include "postgres.h"

#include "model/model_sql.h"
#include "serve/invocation.h"

#include <math.h>

Invocation *invocation = NULL;

Datum
invocation_run(FunctionCallInfo fcinfo, Datum (*work) (FunctionCallInfo fcinfo))
{
	Invocation *const outer = invocation;
	Invocation	own;
	Datum		result;

	if (!monitor_enabled())
		return work(fcinfo);
	own.drift = NULL;
	monitor_begin(&own.call);
	invocation = &own;
	PG_TRY();
	{
		monitor_enter(&own.call, MONITOR_LOAD);
		result = work(fcinfo);
		monitor_end(&own.call);
	}
	PG_CATCH();
	{
		invocation = outer;
		monitor_fail(&own.call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	invocation = outer;
	return result;
}

void
invocation_of(const Target *target)
{
	if (invocation == NULL)
		return;
	invocation->call.runtime = serve_run_mode == RUN_ISOLATED ? MONITOR_RUNNER : MONITOR_INPROCESS;
	if (!target->is_version)
		return;
	monitor_subject(&invocation->call, target->version.model_id, target->version.version);
	invocation->drift = monitor_find_drift(target->version.model_id, target->version.version);
}

/* ---------- drift ---------- */

static void
observe_strings(bool outputs, int first, const ServedTensor *tensor, int64 rows,
				int64 columns)
{
	const uint64 *offsets = tensor->data;
	int64		count;

	(void) shape_elements(&tensor->shape, &count);
	for (int64 i = 0; i < rows * columns; i++)
	{
		/* Those that go in were laid out here, each with a zero at its end. */
		char	   *string = outputs ? string_element(tensor, count, i) :
			pstrdup((const char *) (offsets + count + 1) + offsets[i]);

		monitor_observe_text(invocation->drift, outputs, first + i % columns, string, strlen(string));
		pfree(string);
	}
}

static void
observe_numbers(bool outputs, int first, const ServedTensor *tensor, int64 rows,
				int64 columns)
{
	double	   *values = palloc(columns * sizeof(double));

	for (int64 row = 0; row < rows; row++)
	{
		dtype_to_double(element_dtype(tensor->shape.type), tensor->data, row * columns,
						columns, values);
		monitor_observe_doubles(invocation->drift, outputs, first, values, NULL, 1, columns);
	}
	pfree(values);
}

/* What is packed below a byte starts at a byte only where rows do. */
void
invocation_observe(bool outputs, int first, const ServedTensor *tensor, int64 rows,
				   int64 columns)
{
	int			type = tensor->shape.type;

	if (!invocation_is_compared() || columns < 1 || columns > PG_INT32_MAX - first)
		return;
	if (type == ELEMENT_F32)
		monitor_observe_floats(invocation->drift, outputs, first, tensor->data, NULL, rows, columns);
	else if (type == ELEMENT_STRING)
		observe_strings(outputs, first, tensor, rows, columns);
	else if (element_bits(type) >= 8)
		observe_numbers(outputs, first, tensor, rows, columns);
}

/* Whether a value is missing, or all of them are. */
static bool
is_null(const ArraySource *source, int64 i)
{
	return source->values == NULL || (source->nulls != NULL && source->nulls[i]);
}

static void
observe_nullable_texts(int first, const ArraySource *source, int64 start, int64 width)
{
	for (int64 i = 0; i < width; i++)
	{
		const char *value = is_null(source, start + i) ? NULL :
			text_to_utf8(DatumGetTextPP(((const Datum *) source->values)[start + i]));

		monitor_observe_text(invocation->drift, false, first + i, value,
							 value == NULL ? 0 : strlen(value));
	}
}

static void
observe_nullable_numbers(int first, const ArraySource *source, int64 start, int64 width)
{
	double	   *values = palloc(Max(width, 1) * sizeof(double));
	bool	   *nulls = palloc(Max(width, 1));

	for (int64 i = 0; i < width; i++)
	{
		nulls[i] = is_null(source, start + i);
		values[i] = nulls[i] ? 0 : source_as_double(source->kind, source->values, start + i);
	}
	monitor_observe_doubles(invocation->drift, false, first, values, nulls, 1, width);
	pfree(values);
	pfree(nulls);
}

void
invocation_observe_nulls(int64 first, const ArraySource *source, int64 start, int64 width)
{
	if (!invocation_is_compared() || first > MONITOR_MAX_FEATURES)
		return;
	/* What else there is has no reference, and a model may claim any width. */
	width = Min(width, MONITOR_MAX_FEATURES - first + 1);
	if (source->kind == SOURCE_TEXT)
		observe_nullable_texts(first, source, start, width);
	else
		observe_nullable_numbers(first, source, start, width);
}

void
invocation_observe_missing(void)
{
	if (invocation_is_compared())
		monitor_observe_missing(invocation->drift);
}
