/*
 * shared.c
 *		Settings of the monitor, and its shared memory.
 *
 * Memory is taken when the server starts with the library preloaded, and never
 * grows.  Where it is not, there are settings, and nothing is counted.
 */
#include "postgres.h"

#include "compat.h"

#include "miscadmin.h"
#include "monitor/drift.h"
#include "postmaster/autovacuum.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#define TRANCHE "modelopt"

int			monitor_track = MONITOR_TRACK_TOP;
bool		monitor_track_timing = true;
bool		monitor_track_users = true;
int			monitor_stat_max = 1000;
bool		monitor_stat_save = true;
int			monitor_flush_interval = 1000;
bool		monitor_drift_enabled = true;
double		monitor_drift_sample_rate = 1;
int			monitor_drift_window = 3600;
int			monitor_drift_windows = 24;
int			monitor_drift_memory = 8192;
int			monitor_drift_min_rows = 500;
int			monitor_drift_max_features = 256;
int			monitor_drift_bins = 10;

bool		monitor_preloaded = false;
MonitorShared *monitor_shared = NULL;
HTAB	   *monitor_entries = NULL;
StatVictim *monitor_victims = NULL;
PaddedActivitySlot *monitor_slots = NULL;

static shmem_startup_hook_type previous_startup = NULL;
#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_request = NULL;
#endif

static const struct config_enum_entry track_options[] = {
	{"none", MONITOR_TRACK_NONE, false},
	{"top", MONITOR_TRACK_TOP, false},
	{"all", MONITOR_TRACK_ALL, false},
	{NULL, 0, false}
};

/* ---------- settings ---------- */

/* What sizes shared memory can be set where there is none, to no effect. */
static GucContext
at_start(void)
{
	return process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SUSET;
}

static void
define_drift_settings(void)
{
	DefineCustomBoolVariable("modelopt.drift",
							 "Whether what models are given is compared with their references.", NULL,
							 &monitor_drift_enabled, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomRealVariable("modelopt.drift_sample_rate",
							 "Fraction of invocations that are looked at for drift.", NULL,
							 &monitor_drift_sample_rate, 1, 0, 1, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.drift_window",
							"Length of the windows that drift is looked for in.",
							"What was counted is forgotten when it changes.",
							&monitor_drift_window, 3600, 1, 30 * 86400, PGC_SIGHUP,
							GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.drift_windows",
							"Windows that are kept beside the current one.", NULL,
							&monitor_drift_windows, 24, 1, 1000, at_start(), 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.drift_memory",
							"Shared memory for counts of features.", NULL,
							&monitor_drift_memory, 8192, 256, 4 * 1024 * 1024, at_start(),
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.drift_min_rows",
							"Rows below which nobody can tell whether there is drift.", NULL,
							&monitor_drift_min_rows, 500, 1, INT_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.drift_max_features",
							"Inputs and outputs of a model that are looked at.", NULL,
							&monitor_drift_max_features, 256, 1, MONITOR_MAX_FEATURES, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.drift_bins",
							"Bins that the values of a number are put into, when a reference is made.", NULL,
							&monitor_drift_bins, 10, DRIFT_MIN_BINS, DRIFT_MAX_BINS, PGC_USERSET, 0,
							NULL, NULL, NULL);
}

static void
define_settings(void)
{
	DefineCustomEnumVariable("modelopt.track",
							 "Which invocations of models are counted.",
							 "top leaves out those that another invocation makes.",
							 &monitor_track, MONITOR_TRACK_TOP, track_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("modelopt.track_timing",
							 "Whether invocations of models are timed.", NULL,
							 &monitor_track_timing, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("modelopt.track_users",
							 "Whether statistics of models are kept for each user.", NULL,
							 &monitor_track_users, true, at_start(), 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.stat_max",
							"Entries of model versions that there is room for.",
							"The least used ones are evicted.",
							&monitor_stat_max, 1000, 100, 100000, at_start(), 0,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("modelopt.stat_save",
							 "Whether statistics of models are kept when the server is stopped.", NULL,
							 &monitor_stat_save, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("modelopt.stat_flush_interval",
							"How often a session shows what it counts while a transaction runs.", NULL,
							&monitor_flush_interval, 1000, 0, 60000, PGC_SUSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
}

/* ---------- memory ---------- */

/* Before 15 the server counts backends after libraries are loaded. */
static int
backend_slots(void)
{
#if PG_VERSION_NUM >= 150000
	return MaxBackends;
#else
	return MaxConnections + autovacuum_max_workers + 1 +
		max_worker_processes + max_wal_senders;
#endif
}

static Size
table_bytes(void)
{
	return hash_estimate_size(monitor_stat_max, sizeof(StatEntry));
}

static Size
victims_bytes(void)
{
	return mul_size(monitor_stat_max, sizeof(StatVictim));
}

static Size
slots_bytes(void)
{
	return mul_size(backend_slots(), sizeof(PaddedActivitySlot));
}

static Size
all_bytes(void)
{
	Size		bytes = MAXALIGN(sizeof(MonitorShared));

	bytes = add_size(bytes, table_bytes());
	bytes = add_size(bytes, MAXALIGN(victims_bytes()));
	bytes = add_size(bytes, drift_bytes());
	bytes = add_size(bytes, MAXALIGN(progress_bytes(backend_slots())));
	return add_size(bytes, MAXALIGN(slots_bytes()));
}

static void
request_memory(void)
{
#if PG_VERSION_NUM >= 150000
	if (previous_request != NULL)
		previous_request();
#endif
	RequestAddinShmemSpace(all_bytes());
	RequestNamedLWLockTranche(TRANCHE, 2);
}

static void
clear_shared(void)
{
	memset(monitor_shared, 0, sizeof(MonitorShared));
	monitor_shared->stats_lock = &GetNamedLWLockTranche(TRANCHE)[0].lock;
	monitor_shared->entry_tranche = LWLockNewTrancheId();
	monitor_shared->bytes = all_bytes();
	monitor_shared->slots = backend_slots();
	monitor_shared->totals.stats_reset = GetCurrentTimestamp();
	stat_numbers_clear(&monitor_shared->totals.evicted);
	memset(monitor_slots, 0, slots_bytes());
}

static void
take_memory(void)
{
	HASHCTL		layout = {.keysize = sizeof(StatKey), .entrysize = sizeof(StatEntry)};
	bool		found;

	if (previous_startup != NULL)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	monitor_victims = ShmemInitStruct("modelopt victims", victims_bytes(), &found);
	monitor_slots = ShmemInitStruct("modelopt activity", slots_bytes(), &found);
	monitor_entries = ShmemInitHash("modelopt statistics", monitor_stat_max,
									monitor_stat_max, &layout, HASH_ELEM | HASH_BLOBS);
	monitor_shared = ShmemInitStruct("modelopt", sizeof(MonitorShared), &found);
	if (!found)
		clear_shared();
	clock_init();
	progress_take_memory(monitor_shared->slots);
	drift_take_memory(&GetNamedLWLockTranche(TRANCHE)[1].lock);
	LWLockRelease(AddinShmemInitLock);
	LWLockRegisterTranche(monitor_shared->entry_tranche, "modelopt_entry");
	monitor_preloaded = true;

	if (!IsUnderPostmaster)
		on_shmem_exit(saved_write, (Datum) 0);
	if (!found)
		saved_load();
}

void
monitor_require_preloaded(void)
{
	if (!monitor_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("modelopt must be loaded with shared_preload_libraries to count anything"),
				 errhint("Add modelopt to shared_preload_libraries in postgresql.conf and restart the server; modelopt.stat_info says whether that is done.")));
}

void
monitor_init(void)
{
	define_settings();
	define_drift_settings();
	if (!process_shared_preload_libraries_in_progress)
		return;
#if PG_VERSION_NUM >= 150000
	previous_request = shmem_request_hook;
	shmem_request_hook = request_memory;
#else
	request_memory();
#endif
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = take_memory;
	pending_init();
	drops_init();
	progress_init();
}
