/*
 * drift_observe.c
 *		Counting what versions are given, and what they give.
 *
 * Values are counted in memory of this backend and added to shared memory now and
 * then.
 */
#include "postgres.h"

#include "compat.h"

#include "monitor/drift_reference.h"
#include "utils/memutils.h"

#include <math.h>

/* Values of a feature that wait to be collected. */
#define PENDING_VALUES 256

/* Rows, of inputs or of outputs, that are shown at the end of a transaction. */
#define SHOWN_ROWS 64

static MonitorDrift *pending = NULL;	/* a list */
static int64 pending_rows = 0;
static int64 last_flush = 0;	/* of the monotonic clock */

/* ---------- observing ---------- */

/*
 * Whether a feature has a place again that it had.  Somebody who saw no reference
 * may have taken it: one whose snapshot is older, or who dropped the reference and
 * was rolled back.
 */
static bool
take_room_again(MonitorDrift *drift, Feature *feature)
{
	if (!drift_stale)
		drift_take_room(drift, feature, 1);
	else
		feature->has_room = false;
	return feature->has_room;
}

static bool
try_to_add(const DriftKey *key, const Feature *feature)
{
	return feature->categorical ? drift_add_texts(key, feature->texts, feature->cells) :
		drift_add_values(key, feature->values, feature->nvalues, feature->cells);
}

static void
add_collected(MonitorDrift *drift, Feature *feature)
{
	DriftKey	key = drift_feature_key(drift, feature);

	if (!try_to_add(&key, feature) && take_room_again(drift, feature))
		(void) try_to_add(&key, feature);
	feature->nvalues = 0;
	if (feature->categorical)
		feature->texts->n = feature->texts->others = 0;
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
			add_collected(drift, feature);
		feature->values[feature->nvalues++] = value;
	}
}

static void
collect_text(DriftTexts *texts, const char *value, int length)
{
	DriftText  *added;

	for (int i = 0; i < texts->n; i++)
	{
		DriftText  *seen = &texts->text[i];

		if (seen->length == length && memcmp(seen->text, value, length) == 0)
		{
			seen->count++;
			return;
		}
	}
	if (length > DRIFT_MAX_TEXT || texts->n == DRIFT_TEXTS)
	{
		texts->others++;
		return;
	}
	added = &texts->text[texts->n++];
	added->count = 1;
	added->length = length;
	memcpy(added->text, value, length);
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
	MemoryContext old_context = MemoryContextSwitchTo(drift_context);
	Feature    *grown;

	n = Min(n, monitor_drift_max_features);
	if (n <= *count)
	{
		MemoryContextSwitchTo(old_context);
		return;
	}
	grown = palloc0(n * sizeof(Feature));
	if (*count > 0)
	{
		memcpy(grown, *features, *count * sizeof(Feature));
		pfree(*features);
	}
	*features = grown;
	*count = n;
	MemoryContextSwitchTo(old_context);
}

/* Whether a feature has texts or values shows when the first one comes. */
static void
begin_collecting(MonitorDrift *drift, Feature *feature, int number, bool is_text)
{
	feature->number = number;
	feature->collecting = true;
	feature->categorical = is_text;
	if (is_text)
		feature->texts = MemoryContextAllocZero(drift_context, sizeof(DriftTexts));
	else
		feature->values = MemoryContextAlloc(drift_context, PENDING_VALUES * sizeof(double));
	drift_take_room(drift, feature, 1);
}

/* The feature, or NULL when nothing is known of it. */
static Feature *
find_feature(MonitorDrift *drift, bool outputs, int number, bool is_text)
{
	Feature    *feature;

	if (number < 1 || number > (outputs ? drift->noutputs : drift->ninputs))
		return NULL;
	feature = &(outputs ? drift->outputs : drift->inputs)[number - 1];
	if (drift->wanted > 0 && feature->number == 0)
		begin_collecting(drift, feature, outputs ? -number : number, is_text);
	if (!feature->has_room || (is_text && !feature->categorical) ||
		(!is_text && feature->categorical && feature->collecting))
		return NULL;
	return feature;
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
		Feature    *feature = find_feature(drift, outputs, first + column, false); \
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
	Feature    *feature;

	if (drift->wanted > 0)
		grow_collected(drift, outputs, number);
	feature = find_feature(drift, outputs, number, true);
	if (feature == NULL)
		return;
	if (value == NULL)
		feature->cells[feature->bins + DRIFT_NULLS].count++;
	else if (feature->collecting)
		collect_text(feature->texts, value, length);
	else
		feature->cells[category_of_text(feature, value, length)].count++;
	count_rows(drift, 1);
}

/* ---------- to shared memory ---------- */

/* Returns whether nothing is left. */
static bool
flush_feature(MonitorDrift *drift, Feature *feature, TimestampTz now, bool wait)
{
	DriftKey	key = drift_feature_key(drift, feature);
	int			cells = feature->bins + DRIFT_EXTRAS;
	bool		busy = false;

	if (!feature->has_room)
		return true;
	if (feature->collecting)
	{
		add_collected(drift, feature);
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
