/*
 * quantize_ranges.c
 *		Ranges of activations, as somebody measured them.
 */
#include "postgres.h"

#include <math.h>

#include "model/model_sql.h"
#include "transform/quantize.h"
#include "utils/fmgrprotos.h"

pg_noreturn static void
report_ranges(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 name == NULL ?
			 errmsg("activation ranges must be a JSON object") :
			 errmsg("range of activation \"%s\" is wrong", name),
			 errhint("It is like {\"x\": [-1.5, 3]}: for each value of the graph the least and the greatest.")));
	pg_unreachable();
}

static float
get_bound(const JsonbValue *array, int place, const char *name)
{
	JsonbValue *item = getIthJsonbValueFromContainer(array->val.binary.data,
													 place);
	float		bound;

	if (item == NULL || item->type != jbvNumeric)
		report_ranges(name);
	bound = (float) DatumGetFloat8(DirectFunctionCall1(numeric_float8,
													   NumericGetDatum(item->val.numeric)));
	if (!isfinite(bound))
		report_ranges(name);
	return bound;
}

static void
read_range(const JsonbValue *array, const char *name, QuantizeRange *range)
{
	if (array->type != jbvBinary ||
		!JsonContainerIsArray(array->val.binary.data) ||
		JsonContainerSize(array->val.binary.data) != 2)
		report_ranges(name);
	range->name = pg_server_to_any(name, strlen(name), PG_UTF8);
	range->min = get_bound(array, 0, name);
	range->max = get_bound(array, 1, name);
	if (range->min > range->max)
		report_ranges(name);
}

QuantizeRanges *
quantize_ranges_read(FunctionCallInfo fcinfo, const QuantizeRequest *request)
{
	QuantizeRanges *ranges;
	Jsonb	   *jsonb;
	JsonbIterator *walk;
	JsonbIteratorToken token;
	JsonbValue	item;
	char	   *name = NULL;

	if (PG_ARGISNULL(QUANTIZE_ARG_ACTIVATION_RANGES))
		return NULL;
	if (request->type->kind != QUANTIZE_INTEGER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dtype \"%s\" does not take activation ranges",
						request->type->name)));
	jsonb = PG_GETARG_JSONB_P(QUANTIZE_ARG_ACTIVATION_RANGES);
	if (!JB_ROOT_IS_OBJECT(jsonb))
		report_ranges(NULL);
	ranges = palloc0(sizeof(QuantizeRanges));
	ranges->items = palloc(Max(JB_ROOT_COUNT(jsonb), 1) * sizeof(QuantizeRange));
	walk = JsonbIteratorInit(&jsonb->root);
	(void) JsonbIteratorNext(&walk, &item, false);
	while ((token = JsonbIteratorNext(&walk, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(item.val.string.val, item.val.string.len);
		else if (token == WJB_VALUE)
			read_range(&item, name, &ranges->items[ranges->n++]);
	}
	return ranges;
}

void
quantize_activation(const QuantizeRange *range, float *scale, float *zero)
{
	static const QuantizeType uint8_type = {"uint8", QUANTIZE_INTEGER, DTYPE_U8};
	QuantizeRequest request = {.type = &uint8_type, .affine = true};

	if (!quantize_parameters(&request, DTYPE_F32, Min(range->min, 0),
							 Max(range->max, 0), scale, zero))
		report_ranges(utf8_to_server(range->name));
}
