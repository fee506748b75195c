/*
 * entries.c
 *		The numbers of model versions in shared memory.
 *
 * An entry of a version that nobody used for long is evicted when there is no
 * room, and what it had counted is added to the totals, so that sums over
 * everything never go back.
 */
#include "postgres.h"

#include "compat.h"

#include "monitor/shared.h"
#include "utils/memutils.h"

#define USAGE_DECAY 0.99
#define EVICTED_PERCENT 5
#define MIN_EVICTED 10

/* ---------- numbers ---------- */

void
stat_numbers_clear(StatNumbers *numbers)
{
	memset(numbers, 0, sizeof(StatNumbers));
	numbers->min = PG_INT64_MAX;
	numbers->max = -1;
}

/* Means and squares are joined as Chan, Golub and LeVeque do it. */
static void
merge_times(StatNumbers *into, const StatNumbers *from)
{
	double		n = (double) into->timed + (double) from->timed;
	double		delta = from->mean - into->mean;

	if (from->timed > 0)
	{
		into->mean += delta * (double) from->timed / n;
		into->squares += from->squares +
			delta * delta * (double) into->timed * (double) from->timed / n;
	}
	into->timed += from->timed;
	into->min = Min(into->min, from->min);
	into->max = Max(into->max, from->max);
}

void
stat_numbers_merge(StatNumbers *into, const StatNumbers *from,
				   int first_bucket, int last_bucket)
{
	for (int i = 0; i < MONITOR_COUNTERS; i++)
		into->counts[i] += from->counts[i];
	merge_times(into, from);
	for (int i = first_bucket; i <= last_bucket; i++)
		into->buckets[i] += from->buckets[i];
}

static void
merge_all_numbers(StatNumbers *into, const StatNumbers *from)
{
	stat_numbers_merge(into, from, 0, KERNEL_LATENCY_BUCKETS - 1);
}

/* ---------- room ---------- */

/* All of these hold the lock exclusively. */

static void
remove_entry(StatEntry *entry)
{
	merge_all_numbers(&monitor_shared->totals.evicted, &entry->data.numbers);
	(void) hash_search(monitor_entries, &entry->key, HASH_REMOVE, NULL);
}

static int
compare_victims(const void *a, const void *b)
{
	const StatVictim *left = a;
	const StatVictim *right = b;

	if (left->usage != right->usage)
		return left->usage < right->usage ? -1 : 1;
	if (left->last_call != right->last_call)
		return left->last_call < right->last_call ? -1 : 1;
	return 0;
}

/* Removes the least used entries, and lets all others age. */
static void
evict(void)
{
	HASH_SEQ_STATUS scan;
	StatEntry  *entry;
	int			entries = 0;
	int			wanted;

	hash_seq_init(&scan, monitor_entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		entry->data.usage *= USAGE_DECAY;
		monitor_victims[entries].usage = entry->data.usage;
		monitor_victims[entries].last_call = entry->data.last_call;
		monitor_victims[entries++].entry = entry;
	}
	qsort(monitor_victims, entries, sizeof(StatVictim), compare_victims);
	wanted = Max(MIN_EVICTED, entries * EVICTED_PERCENT / 100);
	for (int i = 0; i < entries && wanted > 0; i++)
	{
		if (activity_has(&monitor_victims[i].entry->key))
			continue;
		remove_entry(monitor_victims[i].entry);
		wanted--;
	}
	monitor_shared->totals.dealloc++;
}

/* Returns NULL when there is no room and none can be made. */
static StatEntry *
make_entry(const StatKey *key)
{
	StatEntry  *entry = hash_search(monitor_entries, key, HASH_FIND, NULL);
	bool		found;

	if (entry != NULL)
		return entry;
	if (hash_get_num_entries(monitor_entries) >= monitor_stat_max)
		evict();
	if (hash_get_num_entries(monitor_entries) >= monitor_stat_max)
		return NULL;
	entry = hash_search(monitor_entries, key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
		return NULL;
	LWLockInitialize(&entry->lock, monitor_shared->entry_tranche);
	memset(&entry->data, 0, sizeof(StatData));
	entry->data.key = *key;
	stat_numbers_clear(&entry->data.numbers);
	return entry;
}

/* ---------- adding ---------- */

static void
add_batch(StatEntry *entry, const StatBatch *batch)
{
	StatData   *data = &entry->data;

	if (data->since == 0)
	{
		data->since = batch->first_call;
		data->minmax_since = batch->first_call;
	}
	if (data->first_call == 0 || batch->first_call < data->first_call)
		data->first_call = batch->first_call;
	data->last_call = Max(data->last_call, batch->last_call);
	if (batch->runtime != MONITOR_NO_RUNTIME)
		data->runtime = batch->runtime;
	data->usage += 1;
	stat_numbers_merge(&data->numbers, &batch->numbers, batch->first_bucket,
					   batch->last_bucket);
}

static bool
acquire(LWLock *lock, LWLockMode mode, bool wait)
{
	if (!wait)
		return LWLockConditionalAcquire(lock, mode);
	LWLockAcquire(lock, mode);
	return true;
}

static bool
add_to_new(const StatKey *key, const StatBatch *batch, bool wait)
{
	StatEntry  *entry;

	if (!acquire(monitor_shared->stats_lock, LW_EXCLUSIVE, wait))
		return false;
	entry = make_entry(key);
	if (entry != NULL)
		add_batch(entry, batch);
	else
	{
		monitor_shared->totals.dropped++;
		stat_numbers_merge(&monitor_shared->totals.evicted, &batch->numbers,
						   batch->first_bucket, batch->last_bucket);
	}
	LWLockRelease(monitor_shared->stats_lock);
	return true;
}

bool
stat_add(const StatKey *key, const StatBatch *batch, bool wait)
{
	StatEntry  *entry;
	bool		done;

	if (!acquire(monitor_shared->stats_lock, LW_SHARED, wait))
		return false;
	entry = hash_search(monitor_entries, key, HASH_FIND, NULL);
	done = entry != NULL && acquire(&entry->lock, LW_EXCLUSIVE, wait);
	if (done)
	{
		add_batch(entry, batch);
		LWLockRelease(&entry->lock);
	}
	LWLockRelease(monitor_shared->stats_lock);
	if (entry == NULL)
		done = add_to_new(key, batch, wait);
	return done;
}

bool
stat_restore(const StatData *data)
{
	StatEntry  *entry = NULL;

	LWLockAcquire(monitor_shared->stats_lock, LW_EXCLUSIVE);
	if (hash_get_num_entries(monitor_entries) < monitor_stat_max)
		entry = make_entry(&data->key);
	if (entry != NULL)
		entry->data = *data;
	else
		merge_all_numbers(&monitor_shared->totals.evicted, &data->numbers);
	LWLockRelease(monitor_shared->stats_lock);
	return entry != NULL;
}

/* ---------- reading ---------- */

/* Returns how many there are, or -1 when there are more than fit. */
static int
copy_entries(StatData *copies, int room)
{
	HASH_SEQ_STATUS scan;
	StatEntry  *entry;
	int			n = 0;

	LWLockAcquire(monitor_shared->stats_lock, LW_SHARED);
	if (hash_get_num_entries(monitor_entries) > room)
	{
		LWLockRelease(monitor_shared->stats_lock);
		return -1;
	}
	hash_seq_init(&scan, monitor_entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		LWLockAcquire(&entry->lock, LW_SHARED);
		copies[n++] = entry->data;
		LWLockRelease(&entry->lock);
	}
	LWLockRelease(monitor_shared->stats_lock);
	return n;
}

static StatData *
copy_all_entries(int *count)
{
	for (;;)
	{
		/* Nothing may be allocated under the lock, so this is a guess. */
		int			room = hash_get_num_entries(monitor_entries) + 16;
		StatData   *copies = MemoryContextAllocHuge(CurrentMemoryContext,
													(Size) room * sizeof(StatData));

		*count = copy_entries(copies, room);
		if (*count >= 0)
			return copies;
		pfree(copies);
	}
}

static int
compare_keys(const void *a, const void *b)
{
	const StatKey *left = &(*(StatData *const *) a)->key;
	const StatKey *right = &(*(StatData *const *) b)->key;

	if (left->database != right->database)
		return left->database < right->database ? -1 : 1;
	if (left->model_id != right->model_id)
		return left->model_id < right->model_id ? -1 : 1;
	if (left->version != right->version)
		return left->version < right->version ? -1 : 1;
	if (left->user != right->user)
		return left->user < right->user ? -1 : 1;
	return 0;
}

static void
merge_entry(StatData *into, const StatData *from)
{
	stat_numbers_merge(&into->numbers, &from->numbers, 0, KERNEL_LATENCY_BUCKETS - 1);
	if (from->last_call > into->last_call && from->runtime != MONITOR_NO_RUNTIME)
		into->runtime = from->runtime;
	into->first_call = Min(into->first_call, from->first_call);
	into->last_call = Max(into->last_call, from->last_call);
	into->since = Min(into->since, from->since);
	into->minmax_since = Max(into->minmax_since, from->minmax_since);
}

/* Joins what is of the same version, and returns how many are left. */
static int
join_users(StatData **entries, int count)
{
	int			joined = 0;

	for (int i = 0; i < count; i++)
	{
		StatKey    *last = joined > 0 ? &entries[joined - 1]->key : NULL;
		StatKey    *key = &entries[i]->key;

		key->user = InvalidOid;
		if (last != NULL && memcmp(last, key, sizeof(StatKey)) == 0)
			merge_entry(entries[joined - 1], entries[i]);
		else
			entries[joined++] = entries[i];
	}
	return joined;
}

StatData **
stat_copy_all(bool by_user, int *count)
{
	StatData   *copies = copy_all_entries(count);
	StatData  **entries = palloc_extended((Size) Max(*count, 1) * sizeof(StatData *), MCXT_ALLOC_HUGE);

	for (int i = 0; i < *count; i++)
		entries[i] = &copies[i];
	qsort(entries, *count, sizeof(StatData *), compare_keys);
	if (!by_user)
		*count = join_users(entries, *count);
	return entries;
}

/* ---------- forgetting ---------- */

static bool
in_scope(const StatKey *key, const StatScope *scope)
{
	return (!OidIsValid(scope->database) || key->database == scope->database) &&
		(!OidIsValid(scope->user) || key->user == scope->user) &&
		(scope->any_model || key->model_id == scope->model_id) &&
		(scope->version <= 0 || key->version == scope->version);
}

static void
reset_minmax(StatData *data, TimestampTz now)
{
	data->numbers.min = PG_INT64_MAX;
	data->numbers.max = -1;
	data->minmax_since = now;
}

TimestampTz
stat_reset(const StatScope *scope, bool minmax_only)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		all = !OidIsValid(scope->database) && !OidIsValid(scope->user) &&
		scope->any_model && scope->version <= 0;
	HASH_SEQ_STATUS scan;
	StatEntry  *entry;

	LWLockAcquire(monitor_shared->stats_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, monitor_entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!in_scope(&entry->key, scope))
			continue;
		if (minmax_only)
			reset_minmax(&entry->data, now);
		else
			(void) hash_search(monitor_entries, &entry->key, HASH_REMOVE, NULL);
	}
	if (all && !minmax_only)
	{
		memset(&monitor_shared->totals, 0, sizeof(StatTotals));
		stat_numbers_clear(&monitor_shared->totals.evicted);
		monitor_shared->totals.stats_reset = now;
	}
	LWLockRelease(monitor_shared->stats_lock);
	return now;
}

void
stat_drop_model(Oid database, int64 model_id)
{
	StatScope	scope = {.database = database, .model_id = model_id};
	HASH_SEQ_STATUS scan;
	StatEntry  *entry;

	LWLockAcquire(monitor_shared->stats_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, monitor_entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (in_scope(&entry->key, &scope))
			remove_entry(entry);
	}
	LWLockRelease(monitor_shared->stats_lock);
}
