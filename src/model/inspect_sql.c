/*
 * inspect_sql.c
 *		SQL functions that tell what a model has: tensors, counts, sizes.
 *
 * All but stats and sparsity read the manifest only, so they take as long for
 * a large model as for a small one.
 */
#include "postgres.h"

#include "kernel/kernel.h"
#include "model/model_sql.h"
#include "utils/memutils.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_tensors);
PG_FUNCTION_INFO_V1(modelopt_stats);
PG_FUNCTION_INFO_V1(modelopt_num_parameters);
PG_FUNCTION_INFO_V1(modelopt_model_size);
PG_FUNCTION_INFO_V1(modelopt_sparsity);
PG_FUNCTION_INFO_V1(modelopt_model_digest);
PG_FUNCTION_INFO_V1(modelopt_model_info);

/* For each payload the first tensor over it. */
static int *
first_tensors(const Model *model)
{
	int		   *first = palloc(model->npayloads * sizeof(int));

	for (int i = model->ntensors - 1; i >= 0; i--)
		first[model->tensors[i].payload] = i;
	return first;
}

/* ---------- tensors ---------- */

static void
put_tensor(ReturnSetInfo *result, const Model *model, const Tensor *tensor,
		   const Tensor *first)
{
	const Payload *payload = tensor_payload(model, tensor);
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = PointerGetDatum(utf8_to_text(tensor->name));
	values[1] = CStringGetTextDatum(dtype_name(payload->dtype));
	values[2] = PointerGetDatum(tensor_shape_array(tensor));
	values[3] = Int64GetDatum(payload->count);
	values[4] = Int64GetDatum((int64) payload->stored);
	values[5] = CStringGetTextDatum(encoding_info(payload->encoding)->name);
	if (first == tensor)
		nulls[6] = true;
	else
		values[6] = PointerGetDatum(utf8_to_text(first->name));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
modelopt_tensors(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	int		   *first = first_tensors(model);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_context;
	MemoryContext old_context;

	InitMaterializedSRF(fcinfo, 0);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "tensors row",
										ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(row_context);
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];

		CHECK_FOR_INTERRUPTS();
		put_tensor(result, model, tensor,
				   &model->tensors[first[tensor->payload]]);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
	return (Datum) 0;
}

/* ---------- stats ---------- */

/* Feeds elements block by block, so that converted ones stay in the cache. */
static void
add_elements(KernelStats *stats, DType dtype, const void *elements, int64 n)
{
	union
	{
		float		f32[KERNEL_STATS_BLOCK];
		double		f64[KERNEL_STATS_BLOCK];
	}			block;

	for (int64 done = 0; done < n; done += KERNEL_STATS_BLOCK)
	{
		int64		m = Min(n - done, KERNEL_STATS_BLOCK);

		/* A float holds every value of 16 bits. */
		if (dtype_bits(dtype) <= 16)
		{
			dtype_to_float(dtype, elements, done, m, block.f32);
			kernel_stats_f32(stats, block.f32, m);
		}
		else
		{
			dtype_to_double(dtype, elements, done, m, block.f64);
			kernel_stats_f64(stats, block.f64, m);
		}
	}
}

static void
measure_payload(Payload *payload, KernelStats *stats)
{
	PayloadReader *reader = payload_reader_create(payload);
	const void *elements;
	int64		n;

	kernel_stats_init(stats);
	while ((n = payload_reader_next(reader, &elements)) > 0)
	{
		if (payload->dtype == DTYPE_F32)
			kernel_stats_f32(stats, elements, n);
		else if (payload->dtype == DTYPE_F64)
			kernel_stats_f64(stats, elements, n);
		else
			add_elements(stats, payload->dtype, elements, n);
	}
	payload_reader_free(reader);
	kernel_stats_finish(stats);
}

static void
put_stats(ReturnSetInfo *result, const Tensor *tensor,
		  const Payload *payload, const KernelStats *stats)
{
	double		moments[6];		/* in the order of the columns */
	bool		finite = stats->count > 0;
	Datum		values[13];
	bool		nulls[13] = {false};

	moments[0] = stats->min;
	moments[1] = stats->max;
	moments[2] = stats->mean;
	moments[3] = sqrt(stats->m2 / (stats->count - 1));
	moments[4] = stats->l1;
	moments[5] = sqrt(stats->squares);

	values[0] = PointerGetDatum(utf8_to_text(tensor->name));
	values[1] = CStringGetTextDatum(dtype_name(payload->dtype));
	values[2] = Int64GetDatum(payload->count);
	for (int i = 0; i < lengthof(moments); i++)
	{
		values[3 + i] = Float8GetDatum(moments[i]);
		nulls[3 + i] = !finite;
	}
	nulls[6] = stats->count < 2;	/* one number has no sample deviation */
	values[9] = Int64GetDatum(stats->zeros);
	values[10] = Int64GetDatum(stats->nans);
	values[11] = Int64GetDatum(stats->infinities);
	values[12] = Float8GetDatum((double) stats->zeros / payload->count);
	nulls[12] = payload->count == 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
modelopt_stats(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	KernelStats **measured = palloc0(model->npayloads * sizeof(KernelStats *));
	MemoryContext row_context;
	MemoryContext old_context;

	InitMaterializedSRF(fcinfo, 0);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "stats row",
										ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];
		Payload    *payload = tensor_payload(model, tensor);
		KernelStats **stats = &measured[tensor->payload];

		if (*stats == NULL)
		{
			*stats = palloc(sizeof(KernelStats));
			measure_payload(payload, *stats);
		}
		old_context = MemoryContextSwitchTo(row_context);
		put_stats(result, tensor, payload, *stats);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	MemoryContextDelete(row_context);
	return (Datum) 0;
}

/* ---------- single numbers ---------- */

Datum
modelopt_num_parameters(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(model_parameters(PG_GETARG_MODEL(0)));
}

Datum
modelopt_model_size(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) model_flat_size(PG_GETARG_MODEL(0)));
}

Datum
modelopt_sparsity(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	int64		parameters = model_parameters(model);

	if (parameters == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8((double) model_zeros(model) / parameters);
}

Datum
modelopt_model_digest(PG_FUNCTION_ARGS)
{
	uint8		digest[MODEL_DIGEST_LENGTH];

	datum_model_digest(PG_GETARG_DATUM(0), digest);
	PG_RETURN_TEXT_P(cstring_to_text(model_digest_hex(digest)));
}

/* ---------- model_info ---------- */

/* What the tensors of one dtype, or of one encoding, add up to. */
typedef struct Tally
{
	int64		tensors;
	int64		parameters;
	int64		bytes;
} Tally;

static void
tally_tensor(Tally *tally, const Payload *payload, bool first)
{
	tally->tensors++;
	if (first)
	{
		tally->parameters += payload->count;
		tally->bytes += payload->stored;
	}
}

static void
append_tally(StringInfo out, const char *name, const Tally *tally, bool *any)
{
	if (tally->tensors == 0)
		return;
	appendStringInfo(out,
					 "%s\"%s\": {\"tensors\": " INT64_FORMAT
					 ", \"parameters\": " INT64_FORMAT
					 ", \"bytes\": " INT64_FORMAT "}",
					 *any ? ", " : "", name, tally->tensors,
					 tally->parameters, tally->bytes);
	*any = true;
}

/* Objects that say how many tensors have each dtype and each encoding. */
static void
append_tallies(StringInfo out, const Model *model)
{
	Tally		dtypes[PG_UINT8_MAX + 1] = {{0}};
	Tally		encodings[NUM_ENCODINGS] = {{0}};
	int		   *first = first_tensors(model);
	bool		any = false;

	for (int i = 0; i < model->ntensors; i++)
	{
		const Tensor *tensor = &model->tensors[i];
		const Payload *payload = tensor_payload(model, tensor);
		bool		is_first = first[tensor->payload] == i;

		tally_tensor(&dtypes[payload->dtype], payload, is_first);
		tally_tensor(&encodings[payload->encoding], payload, is_first);
	}

	appendStringInfoString(out, "\"dtypes\": {");
	for (int i = 0; i < lengthof(dtypes); i++)
	{
		if (dtype_info(i) != NULL)
			append_tally(out, dtype_name(i), &dtypes[i], &any);
	}
	appendStringInfoString(out, "}, \"encodings\": {");
	any = false;
	for (int i = 0; i < lengthof(encodings); i++)
		append_tally(out, encoding_info(i)->name, &encodings[i], &any);
	appendStringInfoChar(out, '}');
}

static void
append_metadata_keys(StringInfo out, const Model *model)
{
	Jsonb	   *metadata = json_text_to_jsonb(model->metadata);
	JsonbIterator *walk = JsonbIteratorInit(&metadata->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	bool		any = false;

	appendStringInfoString(out, "\"metadata_keys\": [");
	token = JsonbIteratorNext(&walk, &item, false);
	while ((token = JsonbIteratorNext(&walk, &item, true)) != WJB_DONE)
	{
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(item.val.string.val, item.val.string.len);
		key = pg_server_to_any(key, strlen(key), PG_UTF8);
		if (any)
			appendStringInfoString(out, ", ");
		json_append_string(out, key, strlen(key));
		any = true;
	}
	appendStringInfoChar(out, ']');
}

Datum
modelopt_model_info(PG_FUNCTION_ARGS)
{
	Model	   *model = PG_GETARG_MODEL(0);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json,
					 "{\"format_version\": %d, \"digest\": \"%s\""
					 ", \"tensors\": %d, \"parameters\": " INT64_FORMAT
					 ", \"bytes\": " UINT64_FORMAT ", ",
					 FLAT_VERSION, model_digest_hex(model_digest(model)),
					 model->ntensors, model_parameters(model),
					 model_flat_size(model));
	append_tallies(&json, model);
	appendStringInfoString(&json, ", ");
	append_metadata_keys(&json, model);
	appendStringInfo(&json, ", \"recipe\": %s}", model->recipe);
	PG_RETURN_JSONB_P(json_text_to_jsonb(json.data));
}
