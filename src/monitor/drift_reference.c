/*
 * drift_reference.c
 *		The references of versions that this backend serves.
 *
 * A reference is read once, when a version is served first, and again after
 * somebody changed one: the table's invalidation says so, on a standby too.
 * What is counted by one is drift_observe.c's.
 */
#include "postgres.h"

#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "monitor/drift_reference.h"
#include "repo/repo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include <math.h>

/* Columns of drift_reference and drift_feature. */
enum
{
	REFERENCE_ID = 1,
	REFERENCE_MODEL_ID = 3,
	REFERENCE_VERSION = 4,
	REFERENCE_WANTED_ROWS = 8,
	FEATURE_REFERENCE_ID = 1,
	FEATURE_NUMBER = 2,
	FEATURE_KIND = 4,
	FEATURE_EDGES = 5,
	FEATURE_CATEGORIES = 6,
	FEATURE_MINIMUM = 11,
	FEATURE_MAXIMUM = 12,
	FEATURE_COLUMNS = 12,
};

/*
 * Who serves keeps a reference while an invocation lasts, within which others
 * are made: so what is read anew leaves the old ones until the transaction ends.
 */
MemoryContext drift_context = NULL;
static MemoryContext retired = NULL;	/* parent of contexts that are left */
static bool has_retired = false;
static HTAB *references = NULL;
static MonitorDrift *latest = NULL; /* which the next invocation is likely of */
static Oid	reference_table = InvalidOid;
bool		drift_stale = false;
static double sampled = 1;		/* of the next invocation to be looked at */

/* ---------- reading ---------- */

/* Texts that are served are UTF-8; what cannot be said there is none of them. */
static Category
make_category(const char *name)
{
	Category	category;
	char	   *end;

	category.name = drift_convert(name, strlen(name), GetDatabaseEncoding(), PG_UTF8);
	if (category.name == NULL)
		category.name = pstrdup(name);
	category.length = (int) strlen(category.name);
	category.number = strtod(name, &end);
	if (end == name || *end != '\0')
		category.number = NAN;
	return category;
}

static void
report_damaged(int64 reference)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("drift reference %lld is damaged", (long long) reference),
			 errhint("modelopt.drop_reference() removes it.")));
}

static void
read_edges(Feature *feature, ArrayType *array, int64 reference)
{
	Datum	   *values;
	int			n;

	if (array_contains_nulls(array))
		report_damaged(reference);
	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, NULL, &n);
	if (n >= DRIFT_MAX_BINS)
		report_damaged(reference);
	feature->nedges = n;
	feature->edges = palloc(Max(n, 1) * sizeof(double));
	for (int i = 0; i < n; i++)
		feature->edges[i] = DatumGetFloat8(values[i]);
	feature->bins = n + 1;
}

static void
read_categories(Feature *feature, ArrayType *array, int64 reference)
{
	Datum	   *values;
	int			n;

	if (array_contains_nulls(array))
		report_damaged(reference);
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	if (n > DRIFT_MAX_CATEGORIES)
		report_damaged(reference);
	feature->ncategories = n;
	feature->categories = palloc(Max(n, 1) * sizeof(Category));
	for (int i = 0; i < n; i++)
		feature->categories[i] = make_category(TextDatumGetCString(values[i]));
	feature->bins = n + 1;
}

static void
read_feature(MonitorDrift *drift, HeapTuple row, TupleDesc columns)
{
	Datum		values[FEATURE_COLUMNS];
	bool		nulls[FEATURE_COLUMNS];
	Feature		feature = {0};
	int			place;

	/* Columns that were added later do not matter. */
	for (int i = 0; i < FEATURE_COLUMNS; i++)
		values[i] = heap_getattr(row, i + 1, columns, &nulls[i]);
	feature.number = DatumGetInt32(values[FEATURE_NUMBER - 1]);
	feature.categorical = strcmp(TextDatumGetCString(values[FEATURE_KIND - 1]), "categorical") == 0;
	if (feature.categorical)
		read_categories(&feature, DatumGetArrayTypeP(values[FEATURE_CATEGORIES - 1]), drift->reference);
	else
		read_edges(&feature, DatumGetArrayTypeP(values[FEATURE_EDGES - 1]), drift->reference);
	feature.minimum = nulls[FEATURE_MINIMUM - 1] ? -INFINITY : DatumGetFloat8(values[FEATURE_MINIMUM - 1]);
	feature.maximum = nulls[FEATURE_MAXIMUM - 1] ? INFINITY : DatumGetFloat8(values[FEATURE_MAXIMUM - 1]);

	place = abs(feature.number) - 1;
	if (feature.number > 0 && place < drift->ninputs)
		drift->inputs[place] = feature;
	else if (feature.number < 0 && place < drift->noutputs)
		drift->outputs[place] = feature;
}

/* Calls something for each row of drift_feature of the reference. */
static void
scan_features(MonitorDrift *drift,
			  void (*visit) (MonitorDrift *drift, HeapTuple row, TupleDesc columns))
{
	Relation	table = table_open(repo_relation("drift_feature"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, FEATURE_REFERENCE_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(drift->reference));
	scan = systable_beginscan(table, repo_relation("drift_feature_pkey"), true, NULL, 1, &key);
	while ((row = systable_getnext(scan)) != NULL)
		visit(drift, row, RelationGetDescr(table));
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

static void
count_feature(MonitorDrift *drift, HeapTuple row, TupleDesc columns)
{
	bool		isnull;
	int			number = DatumGetInt32(heap_getattr(row, FEATURE_NUMBER, columns, &isnull));

	if (number > 0 && number <= monitor_drift_max_features)
		drift->ninputs = Max(drift->ninputs, number);
	else if (number < 0 && number >= -monitor_drift_max_features)
		drift->noutputs = Max(drift->noutputs, -number);
}

/* The row of the version in drift_reference, if there is one. */
static void
read_reference(MonitorDrift *drift)
{
	Relation	table = table_open(repo_relation("drift_reference"), AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	row;

	reference_table = RelationGetRelid(table);
	ScanKeyInit(&keys[0], REFERENCE_MODEL_ID, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(drift->served.model_id));
	ScanKeyInit(&keys[1], REFERENCE_VERSION, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(drift->served.version));
	scan = systable_beginscan(table, repo_relation("drift_reference_served"), true, NULL, 2, keys);
	row = systable_getnext(scan);
	if (row != NULL)
	{
		bool		isnull;
		Datum		wanted;

		drift->reference = DatumGetInt64(heap_getattr(row, REFERENCE_ID, RelationGetDescr(table), &isnull));
		wanted = heap_getattr(row, REFERENCE_WANTED_ROWS, RelationGetDescr(table), &isnull);
		drift->wanted = isnull ? 0 : DatumGetInt32(wanted);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

DriftKey
drift_feature_key(const MonitorDrift *drift, const Feature *feature)
{
	DriftKey	key = {MyDatabaseId, feature->number, drift->reference};

	return key;
}

void
drift_take_room(MonitorDrift *drift, Feature *features, int n)
{
	for (int i = 0; i < n; i++)
	{
		Feature    *feature = &features[i];
		DriftKey	key = drift_feature_key(drift, feature);

		if (feature->number == 0)
			continue;
		feature->has_room = feature->collecting ?
			drift_make_slot(&key, feature->categorical ? DRIFT_HAS_TEXTS : DRIFT_HAS_VALUES, drift->wanted) :
			drift_make_slot(&key, DRIFT_HAS_COUNTS, feature->bins + DRIFT_EXTRAS);
	}
}

static void
load_reference(MonitorDrift *drift)
{
	read_reference(drift);
	if (drift->reference == 0 || drift->wanted > 0)
		return;
	scan_features(drift, count_feature);
	drift->inputs = palloc0(Max(drift->ninputs, 1) * sizeof(Feature));
	drift->outputs = palloc0(Max(drift->noutputs, 1) * sizeof(Feature));
	scan_features(drift, read_feature);
	drift_take_room(drift, drift->inputs, drift->ninputs);
	drift_take_room(drift, drift->outputs, drift->noutputs);
}

/* ---------- finding ---------- */

static void
at_invalidation(Datum argument, Oid relation)
{
	if (relation == InvalidOid || relation == reference_table)
		drift_stale = true;
}

static void
begin_anew(void)
{
	HASHCTL		layout = {
		.keysize = sizeof(DriftVersion),
		.entrysize = sizeof(MonitorDrift),
	};

	drift_flush(true);
	latest = NULL;
	if (drift_context != NULL)
	{
		MemoryContextSetParent(drift_context, retired);
		has_retired = true;
	}
	drift_context = AllocSetContextCreate(TopMemoryContext, "modelopt drift", ALLOCSET_DEFAULT_SIZES);
	layout.hcxt = drift_context;
	references = hash_create("modelopt drift references", 16, &layout,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	drift_stale = false;
}

static void
prepare(void)
{
	if (retired == NULL)
	{
		retired = AllocSetContextCreate(TopMemoryContext, "modelopt retired drift", ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(at_invalidation, (Datum) 0);
		drift_stale = true;
	}
	if (drift_stale)
		begin_anew();
}

void
drift_at_transaction_end(void)
{
	if (!has_retired)
		return;
	drift_flush(true);
	MemoryContextReset(retired);
	has_retired = false;
}

static void
load(MonitorDrift *drift)
{
	MemoryContext old_context = MemoryContextSwitchTo(drift_context);
	DriftVersion served = drift->served;

	/* An earlier attempt may have failed half-way. */
	memset(drift, 0, sizeof(MonitorDrift));
	drift->served = served;
	load_reference(drift);
	drift->loaded = true;
	MemoryContextSwitchTo(old_context);
}

/* Whether this invocation is one of those that are looked at. */
static bool
is_sampled(void)
{
	sampled += monitor_drift_sample_rate;
	if (sampled < 1)
		return false;
	sampled -= 1;
	return true;
}

static MonitorDrift *
find_loaded(int64 model_id, int32 version)
{
	DriftVersion served = {model_id, version, 0};
	MonitorDrift *drift;
	bool		found;

	drift = hash_search(references, &served, HASH_ENTER, &found);
	if (!found)
		drift->loaded = false;
	if (!drift->loaded)
		load(drift);
	return drift;
}

MonitorDrift *
monitor_do_find_drift(int64 model_id, int32 version)
{
	prepare();
	if (latest == NULL || latest->served.model_id != model_id || latest->served.version != version)
		latest = find_loaded(model_id, version);
	return latest->reference != 0 && is_sampled() ? latest : NULL;
}
