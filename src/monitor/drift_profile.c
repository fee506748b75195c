/*
 * drift_profile.c
 *		What features are like: the makings of a reference.
 *
 * They are made of values that a query gives or that were served.
 */
#include "postgres.h"

#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "monitor/drift_query.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include <math.h>

PG_FUNCTION_INFO_V1(modelopt_profile);
PG_FUNCTION_INFO_V1(modelopt_read_collected);

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

/* What a feature is like: a row of drift_feature. */
typedef struct DriftProfile
{
	bool		categorical;
	int			nedges;
	double		edges[DRIFT_MAX_BINS];
	int			ncategories;
	char	   *categories[DRIFT_MAX_CATEGORIES];
	int			bins;
	DriftCell	cells[DRIFT_MAX_CELLS];
	int64		count;			/* finite values, which the rest is of */
	double		mean;
	double		deviation;
	double		minimum;
	double		maximum;
} DriftProfile;

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
	profile->mean = profile->minimum;
	/* Of what is always the same, sums would only have what they round. */
	if (profile->minimum == profile->maximum)
		return;
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

/* Sorts the values. */
static void
profile_numbers(DriftProfile *profile, double *values, int64 n,
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

/* Sorts the tallies. */
static void
profile_tallies(DriftProfile *profile, Tally *tallies, int64 distinct, int64 others,
				const DriftCell extras[DRIFT_EXTRAS])
{
	memset(profile, 0, sizeof(DriftProfile));
	profile->categorical = true;
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
	memcpy(&profile->cells[profile->bins], extras, DRIFT_EXTRAS * sizeof(DriftCell));
}

static void
profile_texts(DriftProfile *profile, DriftValues *feature)
{
	Tally	   *tallies = MemoryContextAllocHuge(CurrentMemoryContext,
												 (feature->n + 1) * sizeof(Tally));
	int64		distinct = 0;

	qsort(feature->texts, feature->n, sizeof(char *), compare_texts);
	for (int64 i = 0; i < feature->n; i++)
	{
		if (i == 0 || strcmp(feature->texts[i], feature->texts[i - 1]) != 0)
			tallies[distinct++] = (Tally) {feature->texts[i], 0};
		tallies[distinct - 1].count++;
	}
	profile_tallies(profile, tallies, distinct, feature->long_texts, feature->extras);
	pfree(tallies);
}

char *
drift_convert(const char *string, int length, int from, int to)
{
	char	   *source = pnstrdup(string, length);
	int			room = length * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;
	Oid			conversion;

	if (from == to || from == PG_SQL_ASCII || to == PG_SQL_ASCII)
		return pg_verify_mbstr(from == PG_SQL_ASCII ? to : from, source, length, true) ? source : NULL;
	conversion = FindDefaultConversionProc(from, to);
	if (!OidIsValid(conversion) || !pg_verify_mbstr(from, source, length, true))
		return NULL;
	converted = palloc(room);
	if (pg_do_encoding_conversion_buf(conversion, from, to, (unsigned char *) source, length,
									  (unsigned char *) converted, room, true) < length)
		return NULL;
	return converted;
}

/* Texts of models are UTF-8, unless they are no texts at all; what cannot be said
 * in the database's encoding is among the others. */
static void
profile_collected_texts(DriftProfile *profile, const DriftTexts *texts,
						const DriftCell extras[DRIFT_EXTRAS])
{
	Tally		tallies[DRIFT_TEXTS];
	int			n = 0;
	int64		others = texts->others;

	for (int i = 0; i < texts->n; i++)
	{
		const DriftText *seen = &texts->text[i];
		char	   *category = drift_convert(seen->text, seen->length, PG_UTF8, GetDatabaseEncoding());

		if (category != NULL)
			tallies[n++] = (Tally) {category, seen->count};
		else
			others += seen->count;
	}
	profile_tallies(profile, tallies, n, others, extras);
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
	nulls[PROFILE_NAME] = name == NULL;
	if (name != NULL)
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

/* profile(query, max_rows, outputs) */
Datum
modelopt_profile(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64		max_rows = PG_GETARG_INT64(1);
	bool		is_output = PG_GETARG_BOOL(2);
	DriftColumn *columns;
	int			ncolumns;
	int			number = 0;

	if (max_rows <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must be positive")));
	InitMaterializedSRF(fcinfo, 0);
	columns = drift_run_query(query, max_rows, &ncolumns);
	for (int i = 0; i < ncolumns; i++)
	{
		for (int j = 0; j < columns[i].nfeatures; j++)
		{
			DriftValues *feature = &columns[i].features[j];
			DriftProfile profile;

			if (feature->categorical)
				profile_texts(&profile, feature);
			else
				profile_numbers(&profile, feature->numbers, feature->n, feature->extras, is_output);
			number++;
			put_profile((ReturnSetInfo *) fcinfo->resultinfo, is_output ? -number : number,
						feature->name, &profile);
		}
	}
	return (Datum) 0;
}

/* ---------- values that were served ---------- */

/* False when nothing was. */
static bool
profile_collected(DriftProfile *profile, const DriftKey *key)
{
	DriftTexts *texts = palloc(sizeof(DriftTexts));
	DriftCell	extras[DRIFT_EXTRAS];
	double	   *values;
	int			n = -1;
	bool		are_texts = drift_copy_texts(key, texts, extras);

	if (are_texts)
		profile_collected_texts(profile, texts, extras);
	else if ((n = drift_copy_values(key, &values, extras)) >= 0)
	{
		profile_numbers(profile, values, n, extras, key->feature < 0);
		pfree(values);
	}
	pfree(texts);
	return are_texts || n >= 0;
}

/* read_collected(reference): the same of what was collected for it, which has no
 * names.  Features of types that are not looked at leave gaps. */
Datum
modelopt_read_collected(PG_FUNCTION_ARGS)
{
	int64		reference = PG_GETARG_INT64(0);

	monitor_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	drift_flush(true);
	for (int number = -monitor_drift_max_features; number <= monitor_drift_max_features; number++)
	{
		DriftKey	key = {MyDatabaseId, number, reference};
		DriftProfile profile;

		CHECK_FOR_INTERRUPTS();
		if (number != 0 && profile_collected(&profile, &key))
			put_profile((ReturnSetInfo *) fcinfo->resultinfo, number, NULL, &profile);
	}
	return (Datum) 0;
}
