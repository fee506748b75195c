/*
 * drift_reference.c
 *		The references of versions that this backend serves.
 *
 * A reference is read once, when a version is served first, and again after
 * somebody changed one: the table's invalidation says so, on a standby too.
 * Values are counted here and added to shared memory now and then.
 */
#include "postgres.h"

#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "monitor/drift.h"
#include "repo/repo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include <math.h>

/* Values of a feature that wait to be collected. */
#define PENDING_VALUES 256

/* Rows, of inputs or of outputs, that are shown at the end of a transaction. */
#define SHOWN_ROWS 64

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

typedef struct Category
{
	char	   *name;
	int			length;
	double		number;			/* or NaN */
} Category;

typedef struct Feature
{
	int32		number;			/* as in DriftKey */
	bool		categorical;
	bool		collecting;
	bool		has_room;		/* in shared memory */
	int			bins;
	int			nedges;
	double	   *edges;
	int			ncategories;
	Category   *categories;
	double		minimum;
	double		maximum;
	DriftCell	cells[DRIFT_MAX_CELLS]; /* not added yet; when collecting, only
										 * extras, from 0 on */
	int			nvalues;		/* collected and not added yet */
	double	   *values;
} Feature;

/* Hashed as bytes: unused is always 0. */
typedef struct DriftVersion
{
	int64		model_id;
	int32		version;
	int32		unused;
} DriftVersion;

struct MonitorDrift
{
	DriftVersion served;		/* where the hash table looks */
	bool		loaded;
	int64		reference;		/* 0: there is none */
	int			wanted;			/* rows to collect, or 0 */
	int64		pending_rows;
	MonitorDrift *next_pending; /* of those that have some */
	int			ninputs;
	int			noutputs;
	Feature    *inputs;
	Feature    *outputs;
};

/*
 * Who serves keeps a reference while an invocation lasts, within which others
 * are made: so what is read anew leaves the old ones until the transaction ends.
 */
static MemoryContext context = NULL;	/* of references */
static MemoryContext retired = NULL;	/* parent of contexts that are left */
static bool has_retired = false;
static HTAB *references = NULL;
static MonitorDrift *pending = NULL;	/* a list */
static Oid	reference_table = InvalidOid;
static bool stale = false;
static int64 pending_rows = 0;
static int64 last_flush = 0;	/* of the monotonic clock */
static double sampled = 1;		/* of the next invocation to be looked at */

/* ---------- reading ---------- */

static Category
make_category(const char *name)
{
	Category	category;
	char	   *end;

	category.name = pstrdup(name);
	category.length = (int) strlen(name);
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

static DriftKey
feature_key(const MonitorDrift *drift, const Feature *feature)
{
	DriftKey	key = {MyDatabaseId, feature->number, drift->reference};

	return key;
}

static void
take_room(MonitorDrift *drift, Feature *features, int n, int wanted)
{
	for (int i = 0; i < n; i++)
	{
		Feature    *feature = &features[i];
		DriftKey	key = feature_key(drift, feature);

		if (feature->number == 0)
			continue;
		feature->has_room = feature->collecting ?
			drift_make_slot(&key, 0, wanted) :
			drift_make_slot(&key, feature->bins + DRIFT_EXTRAS, 0);
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
	take_room(drift, drift->inputs, drift->ninputs, 0);
	take_room(drift, drift->outputs, drift->noutputs, 0);
}

/* ---------- finding ---------- */

static void
at_invalidation(Datum argument, Oid relation)
{
	if (relation == InvalidOid || relation == reference_table)
		stale = true;
}

static void
begin_anew(void)
{
	HASHCTL		layout = {
		.keysize = sizeof(DriftVersion),
		.entrysize = sizeof(MonitorDrift),
	};

	drift_flush(true);
	pending = NULL;
	pending_rows = 0;
	if (context != NULL)
	{
		MemoryContextSetParent(context, retired);
		has_retired = true;
	}
	context = AllocSetContextCreate(TopMemoryContext, "modelopt drift", ALLOCSET_DEFAULT_SIZES);
	layout.hcxt = context;
	references = hash_create("modelopt drift references", 16, &layout,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	stale = false;
}

static void
prepare(void)
{
	if (retired == NULL)
	{
		retired = AllocSetContextCreate(TopMemoryContext, "modelopt retired drift", ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(at_invalidation, (Datum) 0);
		stale = true;
	}
	if (stale)
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
	MemoryContext old_context = MemoryContextSwitchTo(context);
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

MonitorDrift *
monitor_do_find_drift(int64 model_id, int32 version)
{
	DriftVersion served = {model_id, version, 0};
	MonitorDrift *drift;
	bool		found;

	prepare();
	drift = hash_search(references, &served, HASH_ENTER, &found);
	if (!found)
		drift->loaded = false;
	if (!drift->loaded)
		load(drift);
	return drift->reference != 0 && is_sampled() ? drift : NULL;
}

/* ---------- observing ---------- */

/*
 * Whether a feature has a place again that it had.  Somebody who saw no reference
 * may have taken it: one whose snapshot is older, or who dropped the reference and
 * was rolled back.
 */
static bool
take_room_again(MonitorDrift *drift, Feature *feature)
{
	if (!stale)
		take_room(drift, feature, 1, drift->wanted);
	else
		feature->has_room = false;
	return feature->has_room;
}

static void
add_values(MonitorDrift *drift, Feature *feature)
{
	DriftKey	key = feature_key(drift, feature);

	if (!drift_add_values(&key, feature->values, feature->nvalues, feature->cells) &&
		take_room_again(drift, feature))
		(void) drift_add_values(&key, feature->values, feature->nvalues, feature->cells);
	feature->nvalues = 0;
	memset(feature->cells, 0, sizeof(feature->cells));
}

static void
collect(MonitorDrift *drift, Feature *feature, double value, bool isnull)
{
	if (isnull)
		feature->cells[DRIFT_NULLS].count++;
	else if (!isfinite(value))
		feature->cells[DRIFT_NOT_FINITE].count++;
	else
	{
		if (feature->nvalues == PENDING_VALUES)
			add_values(drift, feature);
		feature->values[feature->nvalues++] = value;
	}
}

static int
category_of_number(const Feature *feature, double value)
{
	for (int i = 0; i < feature->ncategories; i++)
	{
		if (feature->categories[i].number == value)
			return i;
	}
	return feature->ncategories;
}

static int
category_of_text(const Feature *feature, const char *category, int length)
{
	for (int i = 0; i < feature->ncategories; i++)
	{
		if (feature->categories[i].length == length &&
			memcmp(feature->categories[i].name, category, length) == 0)
			return i;
	}
	return feature->ncategories;
}

static void
count_value(Feature *feature, double value, bool isnull)
{
	DriftCell  *extras = &feature->cells[feature->bins];
	DriftCell  *cell;

	if (isnull)
	{
		extras[DRIFT_NULLS].count++;
		return;
	}
	if (!isfinite(value))
	{
		extras[DRIFT_NOT_FINITE].count++;
		return;
	}
	if (feature->categorical)
	{
		feature->cells[category_of_number(feature, value)].count++;
		return;
	}
	cell = &feature->cells[kernel_drift_bin(feature->edges, feature->nedges, value)];
	cell->count++;
	cell->sum += value;
	extras[DRIFT_BELOW].count += value < feature->minimum;
	extras[DRIFT_ABOVE].count += value > feature->maximum;
}

/* Features that serving has more of than was known: as many as it shows. */
static void
grow_collected(MonitorDrift *drift, bool outputs, int n)
{
	Feature   **features = outputs ? &drift->outputs : &drift->inputs;
	int		   *count = outputs ? &drift->noutputs : &drift->ninputs;
	MemoryContext old_context = MemoryContextSwitchTo(context);
	Feature    *grown;

	n = Min(n, monitor_drift_max_features);
	if (n <= *count)
	{
		MemoryContextSwitchTo(old_context);
		return;
	}
	grown = palloc0(n * sizeof(Feature));
	if (*count > 0)
		memcpy(grown, *features, *count * sizeof(Feature));
	for (int i = *count; i < n; i++)
	{
		grown[i].number = outputs ? -(i + 1) : i + 1;
		grown[i].collecting = true;
		grown[i].values = palloc(PENDING_VALUES * sizeof(double));
	}
	take_room(drift, grown + *count, n - *count, drift->wanted);
	*features = grown;
	*count = n;
	MemoryContextSwitchTo(old_context);
}

/* The feature, or NULL when nothing is known of it. */
static Feature *
find_feature(MonitorDrift *drift, bool outputs, int number)
{
	Feature    *features = outputs ? drift->outputs : drift->inputs;
	int			n = outputs ? drift->noutputs : drift->ninputs;

	if (number < 1 || number > n || !features[number - 1].has_room)
		return NULL;
	return &features[number - 1];
}

static void
count_rows(MonitorDrift *drift, int64 rows)
{
	if (drift->pending_rows == 0)
	{
		drift->next_pending = pending;
		pending = drift;
	}
	drift->pending_rows += rows;
	pending_rows += rows;
}

static void
observe(MonitorDrift *drift, Feature *feature, double value, bool isnull)
{
	if (feature->collecting)
		collect(drift, feature, value, isnull);
	else
		count_value(feature, value, isnull);
}

/* One loop for each width of float. */
#define OBSERVE(type) \
	if (drift->wanted > 0) \
		grow_collected(drift, outputs, first + columns - 1); \
	for (int column = 0; column < columns; column++) \
	{ \
		Feature    *feature = find_feature(drift, outputs, first + column); \
		\
		for (int64 row = 0; feature != NULL && row < rows; row++) \
		{ \
			int64		place = row * columns + column; \
			\
			observe(drift, feature, (double) ((const type *) values)[place], \
					nulls != NULL && nulls[place]); \
		} \
	} \
	count_rows(drift, rows)

void
monitor_observe_floats(MonitorDrift *drift, bool outputs, int first, const float *values,
					   const bool *nulls, int64 rows, int columns)
{
	OBSERVE(float);
}

void
monitor_observe_doubles(MonitorDrift *drift, bool outputs, int first, const double *values,
						const bool *nulls, int64 rows, int columns)
{
	OBSERVE(double);
}

void
monitor_observe_text(MonitorDrift *drift, bool outputs, int number, const char *value, int length)
{
	Feature    *feature = drift->wanted > 0 ? NULL : find_feature(drift, outputs, number);

	if (feature == NULL || !feature->categorical)
		return;
	if (value == NULL)
		feature->cells[feature->bins + DRIFT_NULLS].count++;
	else
		feature->cells[category_of_text(feature, value, length)].count++;
	count_rows(drift, 1);
}

/* ---------- to shared memory ---------- */

/* Returns whether nothing is left. */
static bool
flush_feature(MonitorDrift *drift, Feature *feature, TimestampTz now, bool wait)
{
	DriftKey	key = feature_key(drift, feature);
	int			cells = feature->bins + DRIFT_EXTRAS;
	bool		busy = false;

	if (!feature->has_room)
		return true;
	if (feature->collecting)
	{
		add_values(drift, feature);
		return true;
	}
	if (!drift_add(&key, feature->cells, cells, now, wait, &busy))
	{
		if (busy)
			return false;
		/* If the reference is gone indeed, what was counted goes too. */
		if (take_room_again(drift, feature))
			(void) drift_add(&key, feature->cells, cells, now, true, &busy);
	}
	memset(feature->cells, 0, sizeof(feature->cells));
	return true;
}

static bool
flush_reference(MonitorDrift *drift, TimestampTz now, bool wait)
{
	bool		done = true;

	for (int i = 0; i < drift->ninputs; i++)
		done &= flush_feature(drift, &drift->inputs[i], now, wait);
	for (int i = 0; i < drift->noutputs; i++)
		done &= flush_feature(drift, &drift->outputs[i], now, wait);
	return done;
}

bool
drift_has_pending(void)
{
	return pending != NULL;
}

/* Few rows are worth no lock for each feature: they wait for more. */
void
drift_flush(bool wait)
{
	MonitorDrift *drift = pending;
	TimestampTz now;
	int64		clock;

	if (drift == NULL)
		return;
	clock = monitor_clock();
	if (!wait && pending_rows < SHOWN_ROWS &&
		clock - last_flush < monitor_flush_interval * INT64CONST(1000000))
		return;
	now = GetCurrentTimestamp();
	pending = NULL;
	pending_rows = 0;
	while (drift != NULL)
	{
		MonitorDrift *next = drift->next_pending;
		int64		rows = drift->pending_rows;

		drift->pending_rows = 0;
		if (!flush_reference(drift, now, wait))
			count_rows(drift, rows);
		drift = next;
	}
	last_flush = clock;
}
