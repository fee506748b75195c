/*
 * drift_profile.c
 *		What features are like: the makings of a reference.
 *
 * Runs a query of the caller's, as the caller: this is no function of the
 * repository, and the repository's owner is not who runs it.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "monitor/drift.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_profile);
PG_FUNCTION_INFO_V1(modelopt_read_collected);

#define FETCH_ROWS 1000
#define MAX_CATEGORY_BYTES 255	/* longer ones are among the others */
#define MAX_VALUES INT64CONST(100000000)
#define TEXT_VALUES 8			/* what a text counts as among these */
#define OUTPUT_BINS 10

/* Columns of profile() and read_collected(). */
enum
{
	PROFILE_NUMBER = 0,
	PROFILE_NAME,
	PROFILE_KIND,
	PROFILE_EDGES,
	PROFILE_CATEGORIES,
	PROFILE_COUNTS,
	PROFILE_SUMS,
	PROFILE_MEAN,
	PROFILE_DEVIATION,
	PROFILE_MINIMUM,
	PROFILE_MAXIMUM,
	PROFILE_COLUMNS
};

/* One feature while its values are collected. */
typedef struct Collected
{
	char	   *name;
	bool		categorical;
	int64		n;
	int64		room;
	double	   *numbers;
	char	  **texts;
	DriftCell	extras[DRIFT_EXTRAS];
	int64		long_texts;
} Collected;

/* A column of the query: one feature, or an array of as many as its first value
 * has. */
typedef struct Column
{
	char	   *name;
	Oid			type;
	Oid			element;		/* of an array of numbers, or InvalidOid */
	FmgrInfo	output;			/* of what is no number */
	int			nfeatures;		/* -1: not known yet */
	Collected  *features;
	int64		null_rows;		/* before it was */
} Column;

/* ---------- profiles ---------- */

static int
compare_doubles(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	CHECK_FOR_INTERRUPTS();
	return (left > right) - (left < right);
}

/* Whether what a model gives are numbers of a few classes. */
static bool
are_classes(const double *sorted, int64 n)
{
	int			distinct = 0;

	for (int64 i = 0; i < n; i++)
	{
		if (sorted[i] != rint(sorted[i]) || fabs(sorted[i]) > 1e9)
			return false;
		if ((i == 0 || sorted[i] != sorted[i - 1]) && ++distinct > DRIFT_MAX_CATEGORIES)
			return false;
	}
	return n > 0;
}

static void
count_classes(DriftProfile *profile, const double *sorted, int64 n)
{
	profile->categorical = true;
	for (int64 i = 0; i < n; i++)
	{
		if (i == 0 || sorted[i] != sorted[i - 1])
			profile->categories[profile->ncategories++] = psprintf("%.0f", sorted[i]);
		profile->cells[profile->ncategories - 1].count++;
	}
	profile->bins = profile->ncategories + 1;
}

static void
summarize(DriftProfile *profile, const double *sorted, int64 n)
{
	double		sum = 0;
	double		squares = 0;

	profile->count = n;
	if (n == 0)
		return;
	profile->minimum = sorted[0];
	profile->maximum = sorted[n - 1];
	for (int64 i = 0; i < n; i++)
		sum += sorted[i];
	profile->mean = sum / (double) n;
	for (int64 i = 0; i < n; i++)
		squares += (sorted[i] - profile->mean) * (sorted[i] - profile->mean);
	profile->deviation = sqrt(squares / (double) n);
}

static void
count_numbers(DriftProfile *profile, const double *sorted, int64 n, bool is_output)
{
	if (is_output && n > 0 && sorted[0] >= 0 && sorted[n - 1] <= 1)
	{
		/* Probabilities. */
		profile->nedges = OUTPUT_BINS - 1;
		for (int i = 0; i < profile->nedges; i++)
			profile->edges[i] = (double) (i + 1) / OUTPUT_BINS;
	}
	else
		profile->nedges = kernel_drift_edges(sorted, n, monitor_drift_bins, profile->edges);
	profile->bins = profile->nedges + 1;
	for (int64 i = 0; i < n; i++)
	{
		DriftCell  *cell = &profile->cells[kernel_drift_bin(profile->edges, profile->nedges, sorted[i])];

		cell->count++;
		cell->sum += sorted[i];
	}
}

void
drift_profile_numbers(DriftProfile *profile, double *values, int64 n,
					  const DriftCell extras[DRIFT_EXTRAS], bool is_output)
{
	memset(profile, 0, sizeof(DriftProfile));
	qsort(values, n, sizeof(double), compare_doubles);
	summarize(profile, values, n);
	if (is_output && are_classes(values, n))
		count_classes(profile, values, n);
	else
		count_numbers(profile, values, n, is_output);
	memcpy(&profile->cells[profile->bins], extras, DRIFT_EXTRAS * sizeof(DriftCell));
}

typedef struct Tally
{
	char	   *text;
	int64		count;
} Tally;

static int
compare_texts(const void *a, const void *b)
{
	CHECK_FOR_INTERRUPTS();
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The most frequent first; of the same frequency, in order of bytes. */
static int
compare_tallies(const void *a, const void *b)
{
	const Tally *left = a;
	const Tally *right = b;

	if (left->count != right->count)
		return left->count > right->count ? -1 : 1;
	return strcmp(left->text, right->text);
}

static void
profile_texts(DriftProfile *profile, Collected *feature)
{
	Tally	   *tallies = MemoryContextAllocHuge(CurrentMemoryContext,
												 (feature->n + 1) * sizeof(Tally));
	int64		distinct = 0;
	int64		others = feature->long_texts;

	memset(profile, 0, sizeof(DriftProfile));
	profile->categorical = true;
	qsort(feature->texts, feature->n, sizeof(char *), compare_texts);
	for (int64 i = 0; i < feature->n; i++)
	{
		if (i == 0 || strcmp(feature->texts[i], feature->texts[i - 1]) != 0)
			tallies[distinct++] = (Tally) {feature->texts[i], 0};
		tallies[distinct - 1].count++;
	}
	qsort(tallies, distinct, sizeof(Tally), compare_tallies);
	for (int64 i = 0; i < distinct; i++)
	{
		if (i < DRIFT_MAX_CATEGORIES)
		{
			profile->categories[i] = tallies[i].text;
			profile->cells[i].count = tallies[i].count;
		}
		else
			others += tallies[i].count;
	}
	profile->ncategories = (int) Min(distinct, DRIFT_MAX_CATEGORIES);
	profile->cells[profile->ncategories].count = others;
	profile->bins = profile->ncategories + 1;
	memcpy(&profile->cells[profile->bins], feature->extras, sizeof(feature->extras));
	pfree(tallies);
}

/* ---------- as rows ---------- */

static Datum
float_array(const double *values, int n)
{
	Datum		datums[DRIFT_MAX_CELLS];

	for (int i = 0; i < n; i++)
		datums[i] = Float8GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, FLOAT8OID, sizeof(float8),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
put_cells(const DriftProfile *profile, Datum *values)
{
	int			n = profile->bins + DRIFT_EXTRAS;
	Datum		counts[DRIFT_MAX_CELLS];
	double		sums[DRIFT_MAX_CELLS];

	for (int i = 0; i < n; i++)
	{
		counts[i] = Int64GetDatum(profile->cells[i].count);
		sums[i] = profile->cells[i].sum;
	}
	values[PROFILE_COUNTS] = PointerGetDatum(construct_array(counts, n, INT8OID, sizeof(int64),
															 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[PROFILE_SUMS] = float_array(sums, n);
}

static void
put_profile(ReturnSetInfo *result, int number, const char *name, const DriftProfile *profile)
{
	Datum		categories[DRIFT_MAX_CATEGORIES];
	Datum		values[PROFILE_COLUMNS];
	bool		nulls[PROFILE_COLUMNS] = {false};
	bool		has_numbers = !profile->categorical && profile->count > 0;

	values[PROFILE_NUMBER] = Int32GetDatum(number);
	values[PROFILE_NAME] = CStringGetTextDatum(name);
	values[PROFILE_KIND] = CStringGetTextDatum(profile->categorical ? "categorical" : "numeric");
	values[PROFILE_EDGES] = float_array(profile->edges, profile->nedges);
	for (int i = 0; i < profile->ncategories; i++)
		categories[i] = CStringGetTextDatum(profile->categories[i]);
	values[PROFILE_CATEGORIES] = PointerGetDatum(construct_array(categories, profile->ncategories,
																 TEXTOID, -1, false, TYPALIGN_INT));
	put_cells(profile, values);
	for (int i = PROFILE_MEAN; i <= PROFILE_MAXIMUM; i++)
		nulls[i] = !has_numbers;
	values[PROFILE_MEAN] = Float8GetDatum(profile->mean);
	values[PROFILE_DEVIATION] = Float8GetDatum(profile->deviation);
	values[PROFILE_MINIMUM] = Float8GetDatum(profile->minimum);
	values[PROFILE_MAXIMUM] = Float8GetDatum(profile->maximum);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ---------- values of a query ---------- */

static bool
is_number(Oid type)
{
	return type == BOOLOID || type == INT2OID || type == INT4OID || type == INT8OID ||
		type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID;
}

static double
number_of(Oid type, Datum value)
{
	switch (type)
	{
		case BOOLOID:
			return DatumGetBool(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		default:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
	}
}

static void
make_room(Collected *feature)
{
	int64		room = Max(feature->room * 2, 1024);
	Size		width = feature->categorical ? sizeof(char *) : sizeof(double);
	void	   *values = feature->categorical ? (void *) feature->texts : (void *) feature->numbers;

	if (feature->n < feature->room)
		return;
	values = values == NULL ? MemoryContextAllocHuge(CurrentMemoryContext, room * width) :
		repalloc_huge(values, room * width);
	if (feature->categorical)
		feature->texts = values;
	else
		feature->numbers = values;
	feature->room = room;
}

static void
add_number(Collected *feature, double value, bool isnull)
{
	if (isnull)
		feature->extras[DRIFT_NULLS].count++;
	else if (!isfinite(value))
		feature->extras[DRIFT_NOT_FINITE].count++;
	else
	{
		make_room(feature);
		feature->numbers[feature->n++] = value;
	}
}

static void
add_text(Collected *feature, FmgrInfo *output, Datum value, bool isnull)
{
	char	   *category;

	if (isnull)
	{
		feature->extras[DRIFT_NULLS].count++;
		return;
	}
	category = OutputFunctionCall(output, value);
	if (strlen(category) > MAX_CATEGORY_BYTES)
	{
		feature->long_texts++;
		pfree(category);
		return;
	}
	make_room(feature);
	feature->texts[feature->n++] = category;
}

static void
begin_array(Column *column, int n)
{
	column->nfeatures = n;
	column->features = palloc0(Max(n, 1) * sizeof(Collected));
	for (int i = 0; i < n; i++)
	{
		column->features[i].name = psprintf("%s[%d]", column->name, i + 1);
		column->features[i].extras[DRIFT_NULLS].count = column->null_rows;
	}
}

static void
add_array(Column *column, Datum value, bool isnull)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int16		length;
	bool		byval;
	char		align;

	if (isnull)
	{
		if (column->nfeatures < 0)
			column->null_rows++;
		for (int i = 0; i < column->nfeatures; i++)
			add_number(&column->features[i], 0, true);
		return;
	}
	array = DatumGetArrayTypeP(value);
	get_typlenbyvalalign(column->element, &length, &byval, &align);
	deconstruct_array(array, column->element, length, byval, align, &elements, &nulls, &n);
	if (column->nfeatures < 0)
		begin_array(column, n);
	if (n != column->nfeatures)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays of column \"%s\" have different lengths", column->name),
				 errdetail("There are %d and %d.", column->nfeatures, n)));
	for (int i = 0; i < n; i++)
		add_number(&column->features[i],
				   nulls[i] ? 0 : number_of(column->element, elements[i]), nulls[i]);
	pfree(elements);
	pfree(nulls);
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

static void
add_value(Column *column, Datum value, bool isnull)
{
	if (OidIsValid(column->element))
		add_array(column, value, isnull);
	else if (column->features[0].categorical)
		add_text(&column->features[0], &column->output, value, isnull);
	else
		add_number(&column->features[0], isnull ? 0 : number_of(column->type, value), isnull);
}

static Column *
make_columns(TupleDesc description)
{
	Column	   *columns = palloc0(Max(description->natts, 1) * sizeof(Column));

	for (int i = 0; i < description->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(description, i);
		Column	   *column = &columns[i];
		Oid			element;

		column->name = pstrdup(NameStr(attribute->attname));
		column->type = getBaseType(attribute->atttypid);
		element = get_element_type(column->type);
		column->nfeatures = -1;
		if (OidIsValid(element) && is_number(element))
			column->element = element;
		else
		{
			begin_array(column, 1);
			column->features[0].name = column->name;
			column->features[0].categorical = !is_number(column->type);
			if (column->features[0].categorical)
			{
				Oid			output;
				bool		is_varlena;

				getTypeOutputInfo(column->type, &output, &is_varlena);
				fmgr_info(output, &column->output);
			}
		}
	}
	return columns;
}

static void
check_size(const Column *columns, int ncolumns, int64 rows)
{
	int64		features = 0;
	int64		values = 0;

	for (int i = 0; i < ncolumns; i++)
	{
		int			n = Max(columns[i].nfeatures, 0);
		bool		is_text = n == 1 && columns[i].features[0].categorical;

		features += n;
		values += rows * (is_text ? TEXT_VALUES : n);
	}
	if (features > monitor_drift_max_features)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%lld features are too many for a reference", (long long) features),
				 errdetail("The setting modelopt.drift_max_features allows %d.", monitor_drift_max_features)));
	if (values > MAX_VALUES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%lld rows of %lld features are too many for a reference",
						(long long) rows, (long long) features),
				 errhint("A reference of fewer rows is as good: max_rows says how many.")));
}

/* Adds the rows that SPI has fetched; what is kept of them is in the context. */
static void
add_rows(Column *columns, MemoryContext context)
{
	TupleDesc	description = SPI_tuptable->tupdesc;
	MemoryContext old_context = MemoryContextSwitchTo(context);

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		for (int i = 0; i < description->natts; i++)
		{
			bool		isnull;
			Datum		value = SPI_getbinval(SPI_tuptable->vals[row], description, i + 1, &isnull);

			add_value(&columns[i], value, isnull);
		}
	}
	MemoryContextSwitchTo(old_context);
}

static Column *
run_query(const char *query, int64 max_rows, int *ncolumns)
{
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan;
	Portal		portal;
	Column	   *columns;
	int64		rows = 0;

	SPI_connect();
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query of a reference must give rows"),
				 errhint("It is one SELECT, whose columns are the features of the model in their order.")));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	MemoryContextSwitchTo(context);
	columns = make_columns(portal->tupDesc);
	*ncolumns = portal->tupDesc->natts;
	while (rows < max_rows)
	{
		SPI_cursor_fetch(portal, true, (long) Min(FETCH_ROWS, max_rows - rows));
		if (SPI_processed == 0)
			break;
		rows += SPI_processed;
		add_rows(columns, context);
		SPI_freetuptable(SPI_tuptable);
		check_size(columns, *ncolumns, rows);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
	if (rows == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query of a reference gave no rows")));
	return columns;
}

/* profile(query, max_rows, outputs) */
Datum
modelopt_profile(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64		max_rows = PG_GETARG_INT64(1);
	bool		is_output = PG_GETARG_BOOL(2);
	Column	   *columns;
	int			ncolumns;
	int			number = 0;

	if (max_rows <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be positive")));
	InitMaterializedSRF(fcinfo, 0);
	columns = run_query(query, max_rows, &ncolumns);
	for (int i = 0; i < ncolumns; i++)
	{
		for (int j = 0; j < columns[i].nfeatures; j++)
		{
			Collected  *feature = &columns[i].features[j];
			DriftProfile profile;

			if (feature->categorical)
				profile_texts(&profile, feature);
			else
				drift_profile_numbers(&profile, feature->numbers, feature->n, feature->extras, is_output);
			number++;
			put_profile((ReturnSetInfo *) fcinfo->resultinfo, is_output ? -number : number,
						feature->name, &profile);
		}
	}
	return (Datum) 0;
}

/* ---------- values that were served ---------- */

/* read_collected(reference): the same of what was collected for it. */
Datum
modelopt_read_collected(PG_FUNCTION_ARGS)
{
	int64		reference = PG_GETARG_INT64(0);

	monitor_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	drift_flush(true);
	for (int sign = 1; sign >= -1; sign -= 2)
	{
		for (int number = 1;; number++)
		{
			DriftKey	key = {MyDatabaseId, sign * number, reference};
			DriftCell	extras[DRIFT_EXTRAS];
			DriftProfile profile;
			double	   *values;
			int			n = drift_copy_values(&key, &values, extras);

			if (n < 0)
				break;
			CHECK_FOR_INTERRUPTS();
			drift_profile_numbers(&profile, values, n, extras, sign < 0);
			put_profile((ReturnSetInfo *) fcinfo->resultinfo, sign * number,
						psprintf("%s%d", sign < 0 ? "output" : "input", number), &profile);
			pfree(values);
		}
	}
	return (Datum) 0;
}
