/*
 * encode.c
 *		Gives payloads of a model another encoding, one by one.
 *
 * Owns the order of work: payload after payload, each with memory of its own
 * that goes before the next one's comes.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "model/model_sql.h"
#include "model/progress.h"
#include "transform/difference.h"
#include "transform/encode.h"
#include "transform/recipe.h"
#include "utils/memutils.h"

/* ---------- targets ---------- */

static EncodeTarget
make_target(const Model *source, int tensor)
{
	EncodeTarget target;

	target.index = tensor;
	target.tensor = &source->tensors[tensor];
	target.payload = tensor_payload(source, target.tensor);
	return target;
}

static void
notice_nothing(const Encoder *encoder)
{
	ereport(NOTICE,
			(errmsg("model has no tensors to %s", encoder->patterns.verb),
			 encoder->patterns.nexclude > 0 ?
			 errhint("Those that would be meant are excluded.") :
			 encoder->patterns.all ? 0 :
			 errhint("Only floating-point tensors of two or more dimensions are meant unless include names others in full.")));
}

/* ---------- a model ---------- */

/* Tensors that are named in a notice. */
#define MOST_NAMED	5

static void
name_kept(StringInfo kept, int n, const char *name, const char *why)
{
	if (n <= MOST_NAMED)
		appendStringInfo(kept, "%s\"%s\": %s.", n > 1 ? "\n" : "", utf8_to_server(name), why);
	else if (n == MOST_NAMED + 1)
		appendStringInfoString(kept, "\n...");
}

static void
notice_kept(const Encoder *encoder, int n, const char *kept)
{
	ereport(NOTICE,
			(errmsg_plural("%d tensor stays as it is",
						   "%d tensors stay as they are",
						   n, n),
			 errdetail("%s", kept),
			 n > MOST_NAMED ? errhint("%s_dry_run() has them all.", encoder->operation) : 0));
}

static int64
chosen_bytes(const Model *source, const int *chosen)
{
	int64		bytes = 0;

	for (int i = 0; i < source->npayloads; i++)
	{
		if (chosen[i] >= 0)
			bytes += dtype_bytes(source->payloads[i]->dtype, source->payloads[i]->count);
	}
	return bytes;
}

Model *
encode_model(const Model *source, const Encoder *encoder,
			 EncodeTotals *totals)
{
	Model	   *out = model_create_like(CurrentMemoryContext, source);
	int		   *chosen = target_choose(source, &encoder->patterns);
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt encode",
											   ALLOCSET_DEFAULT_SIZES);
	StringInfoData kept;
	int			began = progress_begin(encoder->operation, "bytes", chosen_bytes(source, chosen));

	memset(totals, 0, sizeof(*totals));
	initStringInfo(&kept);
	for (int i = 0; i < source->npayloads; i++)
	{
		Payload    *payload = source->payloads[i];
		const char *why = NULL;

		CHECK_FOR_INTERRUPTS();
		if (chosen[i] >= 0)
		{
			EncodeTarget target = make_target(source, chosen[i]);
			MemoryContext old = MemoryContextSwitchTo(work);

			why = encoder->encode(&target, encoder->request, out);
			MemoryContextSwitchTo(old);
			if (why != NULL)
				name_kept(&kept, ++totals->kept, target.tensor->name, why);
			MemoryContextReset(work);
			progress_add(dtype_bytes(payload->dtype, payload->count));
		}
		if (chosen[i] < 0 || why != NULL)
			model_share_payload(out, payload);
		if (why == NULL && chosen[i] >= 0)
		{
			totals->encoded++;
			totals->parameters += payload->count;
			totals->bytes_before += payload->stored;
			totals->bytes_after += out->payloads[i]->stored;
			payload_complete(out->payloads[i]);
		}
	}
	progress_end(began);
	MemoryContextDelete(work);
	model_add_tensors_of(out, source);
	if (totals->encoded + totals->kept == 0)
		notice_nothing(encoder);
	if (totals->kept > 0)
		notice_kept(encoder, totals->kept, kept.data);
	pfree(kept.data);
	return out;
}

char *
encode_new_payload(Model *out, DType dtype, Encoding encoding, int64 count,
				   uint64 stored)
{
	int			index = model_new_payload(out, dtype, encoding, count, stored);

	return out->payloads[index]->bytes;
}

/* ---------- dry run ---------- */

static void
put_row(ReturnSetInfo *result, const EncodeTarget *target, Payload *after,
		const char *why)
{
	Payload    *payload = target->payload;
	int64		count = payload->count;
	Difference	difference;
	Datum		values[9];
	bool		nulls[9] = {false};

	measure_difference(payload, after, &difference);
	values[0] = PointerGetDatum(utf8_to_text(target->tensor->name));
	values[1] = Int64GetDatum(count);
	values[2] = CStringGetTextDatum(dtype_name(after->dtype));
	values[3] = CStringGetTextDatum(encoding_info(after->encoding)->name);
	values[4] = Int64GetDatum((int64) payload->stored);
	values[5] = Int64GetDatum((int64) after->stored);
	values[6] = Float8GetDatum(difference.max);
	values[7] = Float8GetDatum(sqrt(difference.errors / Max(count, 1)));
	if (count == 0)
		nulls[6] = nulls[7] = true;
	if (why == NULL)
		nulls[8] = true;
	else
		values[8] = CStringGetTextDatum(why);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void
encode_dry_run(FunctionCallInfo fcinfo, const Model *source,
			   const Encoder *encoder)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int		   *chosen = target_choose(source, &encoder->patterns);
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "modelopt encode",
											   ALLOCSET_DEFAULT_SIZES);
	bool		any = false;

	for (int i = 0; i < source->npayloads; i++)
	{
		MemoryContext old;
		EncodeTarget target;
		Model	   *out;
		const char *why;

		if (chosen[i] < 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		any = true;
		target = make_target(source, chosen[i]);
		old = MemoryContextSwitchTo(work);
		out = model_create(work);
		why = encoder->encode(&target, encoder->request, out);
		put_row(result, &target,
				why == NULL ? out->payloads[0] : target.payload, why);
		MemoryContextSwitchTo(old);
		MemoryContextReset(work);
	}
	MemoryContextDelete(work);
	if (!any)
		notice_nothing(encoder);
}

/* ---------- recipe ---------- */

void
encode_append_rates(StringInfo out, const EncodeTotals *totals)
{
	recipe_key(out, "rates");
	appendStringInfoChar(out, '{');
	recipe_integer(out, "tensors", totals->encoded);
	recipe_integer(out, "parameters", totals->parameters);
	if (totals->kept > 0)
		recipe_integer(out, "kept", totals->kept);
	if (totals->bytes_before > 0)
		recipe_real(out, "compression_rate",
					(totals->bytes_before - totals->bytes_after) /
					totals->bytes_before);
	appendStringInfoChar(out, '}');
}

/* ---------- errors ---------- */

static void
report_not_finite(const EncodeTarget *target, int64 index, double element)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tensor \"%s\" has an element that is %s",
					utf8_to_server(target->tensor->name),
					isnan(element) ? "not a number" : "infinite"),
			 errdetail("It is the element of index " INT64_FORMAT " of " INT64_FORMAT ".",
					   index, target->payload->count),
			 errhint("The tensor can be left out with exclude.")));
}

void
encode_check_finite(const EncodeTarget *target, bool as_floats)
{
	PayloadReader *reader = payload_reader_create(target->payload);
	double	   *x = palloc(PAYLOAD_CHUNK * sizeof(double));
	const void *elements;
	int64		first = 0;
	int64		n;

	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		dtype_to_double(target->payload->dtype, elements, 0, n, x);
		for (int64 i = 0; i < n; i++)
		{
			if (!isfinite(x[i]))
				report_not_finite(target, first + i, x[i]);
			if (as_floats && !isfinite((float) x[i]))
				encode_too_large(target, first + i, "a float of 32 bits");
		}
		first += n;
	}
	payload_reader_free(reader);
	pfree(x);
}

void
encode_too_large(const EncodeTarget *target, int64 index, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("tensor \"%s\" has an element that is too large for %s",
					utf8_to_server(target->tensor->name), what),
			 errdetail("It is the element of index " INT64_FORMAT " of " INT64_FORMAT ".",
					   index, target->payload->count),
			 errhint("The tensor can be left out with exclude.")));
	pg_unreachable();
}

const char *
encode_no_smaller(const EncodeTarget *target)
{
	return target->payload->encoding == ENCODING_SPARSE ?
		"it is stored sparse, which is smaller" :
		"it would not become smaller";
}

void
encode_refuse_lossy(const EncodeTarget *target, const char *verb,
					const char *hint)
{
	int			encoding = target->payload->encoding;
	const EncodingInfo *info = encoding_info(encoding);
	bool		is_quantized = encoding != ENCODING_LOWRANK &&
		encoding != ENCODING_CODEBOOK;

	if (!info->lossy)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s tensor \"%s\" again", verb,
					utf8_to_server(target->tensor->name)),
			 errdetail("Its encoding is %s: its elements have been rounded before.",
					   info->name),
			 errhint("%s", is_quantized ? hint : "Decompress the model first.")));
}
