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

/* Finite values are taken so many at a time. */
#define CHUNK 64

/* Values that wait to be counted, of inputs or of outputs. */
#define WAITING_VALUES 2048

/* Showing what was counted at the end of each transaction may take one part in so
 * many of the time. */
#define FLUSH_SHARE 200

static MonitorDrift *pending = NULL;	/* a list */
static MonitorDrift *full = NULL;	/* more rows would not find room to wait */
static int64 last_flush = 0;	/* of the monotonic clock */
static int64 flush_took = 0;	/* nanoseconds */

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
collect(MonitorDrift *drift, Feature *feature, const double *values, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (feature->nvalues == PENDING_VALUES)
			add_collected(drift, feature);
		feature->values[feature->nvalues++] = values[i];
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
count_categories(Feature *feature, const double *values, int n)
{
	for (int i = 0; i < n; i++)
		feature->cells[category_of_number(feature, values[i])].count++;
}

static void
count_numbers(Feature *feature, const double *values, int n)
{
	DriftCell  *extras = &feature->cells[feature->bins];
	int64		below = 0;
	int64		above = 0;
	int64_t		bins[CHUNK];

	kernel_drift_bins(feature->edges, feature->nedges, values, n, bins);
	for (int i = 0; i < n; i++)
	{
		DriftCell  *cell = &feature->cells[bins[i]];

		cell->count++;
		cell->sum += values[i];
		below += values[i] < feature->minimum;
		above += values[i] > feature->maximum;
	}
	extras[DRIFT_BELOW].count += below;
	extras[DRIFT_ABOVE].count += above;
}

/* A chunk of finite values. */
static void
take(MonitorDrift *drift, Feature *feature, const double *values, int n)
{
	if (feature->collecting)
		collect(drift, feature, values, n);
	else if (feature->categorical)
		count_categories(feature, values, n);
	else
		count_numbers(feature, values, n);
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

/* There is something to be added to shared memory. */
static void
note_pending(MonitorDrift *drift)
{
	if (drift->is_pending)
		return;
	drift->is_pending = true;
	drift->next_pending = pending;
	pending = drift;
}

/* Made twice, for each width of float. */
static pg_attribute_always_inline void
observe_column(MonitorDrift *drift, Feature *feature, const void *values, bool wide,
			   const bool *nulls, int64 rows, int columns, int column)
{
	DriftCell  *extras = &feature->cells[feature->bins];
	double		chunk[CHUNK];
	int			n = 0;

	for (int64 i = column; i < rows * columns; i += columns)
	{
		chunk[n] = wide ? ((const double *) values)[i] : ((const float *) values)[i];
		if (nulls != NULL && nulls[i])
			extras[DRIFT_NULLS].count++;
		else if (!isfinite(chunk[n]))
			extras[DRIFT_NOT_FINITE].count++;
		else if (++n == CHUNK)
		{
			take(drift, feature, chunk, n);
			n = 0;
		}
	}
	take(drift, feature, chunk, n);
}

static pg_attribute_always_inline void
observe(MonitorDrift *drift, bool outputs, int first, const void *values, bool wide,
		const bool *nulls, int64 rows, int columns)
{
	if (drift->wanted > 0)
		grow_collected(drift, outputs, first + columns - 1);
	for (int column = 0; column < columns; column++)
	{
		Feature    *feature = find_feature(drift, outputs, first + column, false);

		if (feature != NULL)
			observe_column(drift, feature, values, wide, nulls, rows, columns, column);
	}
}

static void
observe_floats(MonitorDrift *drift, bool outputs, int first, const float *values,
			   const bool *nulls, int64 rows, int columns)
{
	observe(drift, outputs, first, values, false, nulls, rows, columns);
}

/* ---------- waiting ---------- */

/*
 * Who predicts row by row does not have, each time anew, what counting needs in
 * the processor's caches: a line or more of each feature.  So rows wait until
 * there are some.
 */

static WaitingRows *
waiting_rows(MonitorDrift *drift, bool outputs)
{
	return outputs ? &drift->waiting_outputs : &drift->waiting_inputs;
}

static void
count_waiting(MonitorDrift *drift, bool outputs)
{
	WaitingRows *waiting = waiting_rows(drift, outputs);

	if (waiting->rows == 0)
		return;
	observe_floats(drift, outputs, 1, waiting->values, NULL, waiting->rows, waiting->columns);
	waiting->rows = 0;
}

static void
count_all_waiting(MonitorDrift *drift)
{
	count_waiting(drift, false);
	count_waiting(drift, true);
	if (full == drift)
		full = NULL;
}

/* Returns false when rows are too many to wait. */
static bool
let_wait(MonitorDrift *drift, bool outputs, const float *values, int64 rows, int columns)
{
	WaitingRows *waiting = waiting_rows(drift, outputs);
	int64		n = rows * columns;

	if (n > WAITING_VALUES / 2)
		return false;
	if (waiting->values == NULL)
		waiting->values = MemoryContextAlloc(drift_context, WAITING_VALUES * sizeof(float));
	if (columns != waiting->columns || waiting->rows * columns + n > WAITING_VALUES)
		count_waiting(drift, outputs);
	memcpy(waiting->values + waiting->rows * columns, values, n * sizeof(float));
	waiting->columns = columns;
	waiting->rows += rows;
	if (waiting->rows * columns + n > WAITING_VALUES)
		full = drift;
	return true;
}

void
drift_count_full(void)
{
	if (full != NULL)
		count_all_waiting(full);
}

void
monitor_observe_floats(MonitorDrift *drift, bool outputs, int first, const float *values,
					   const bool *nulls, int64 rows, int columns)
{
	if (first > 1 || nulls != NULL || drift->wanted > 0 ||
		!let_wait(drift, outputs, values, rows, columns))
		observe_floats(drift, outputs, first, values, nulls, rows, columns);
	note_pending(drift);
}

void
monitor_observe_doubles(MonitorDrift *drift, bool outputs, int first, const double *values,
						const bool *nulls, int64 rows, int columns)
{
	observe(drift, outputs, first, values, true, nulls, rows, columns);
	note_pending(drift);
}

/* While they are collected, features are those that came before. */
void
monitor_observe_missing(MonitorDrift *drift)
{
	for (int i = 0; i < drift->ninputs; i++)
	{
		Feature    *feature = &drift->inputs[i];

		if (feature->has_room)
			feature->cells[feature->bins + DRIFT_NULLS].count++;
	}
	note_pending(drift);
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
	note_pending(drift);
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

	count_all_waiting(drift);
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

/* Features have a lock each, so where transactions follow one another quickly,
 * some wait for the next. */
static bool
is_too_soon(int64 clock)
{
	return clock - last_flush < Min(flush_took * FLUSH_SHARE,
									monitor_flush_interval * INT64CONST(1000000));
}

void
drift_flush(bool wait)
{
	MonitorDrift *drift = pending;
	int64		clock;
	TimestampTz now;

	if (drift == NULL)
		return;
	clock = monitor_clock();
	if (!wait && is_too_soon(clock))
		return;
	now = GetCurrentTimestamp();
	pending = NULL;
	while (drift != NULL)
	{
		MonitorDrift *next = drift->next_pending;

		drift->is_pending = false;
		if (!flush_reference(drift, now, wait))
			note_pending(drift);
		drift = next;
	}
	last_flush = monitor_clock();
	flush_took = last_flush - clock;
}
