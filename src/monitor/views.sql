-- Statistics, for those who may see them.  Every column says its unit.

CREATE VIEW modelopt.stat_models WITH (security_barrier) AS
SELECT e.dbid, e.userid, e.model_id, e.model_name, e.version, e.runtime,
    e.calls, e.rows, e.batches, e.errors, e.errors_input, e.errors_model, e.errors_canceled, e.errors_resource,
    e.total_time, e.min_time, e.max_time, e.mean_time, e.stddev_time, e.p50_time, e.p90_time, e.p95_time, e.p99_time,
    e.load_time, e.prepare_time, e.infer_time, e.cache_lookups, e.cache_hits, e.cache_evictions,
    e.model_bytes_read, e.input_bytes, e.output_bytes, e.null_inputs, e.rejected_rows,
    e.first_call, e.last_call, e.stats_since, e.minmax_stats_since
FROM modelopt.stat_entries(true) e;
COMMENT ON VIEW modelopt.stat_models IS 'what each model version did for each user, since stats_since; which model it is, for those who may see it';

CREATE VIEW modelopt.stat_summary WITH (security_barrier) AS
SELECT e.dbid, e.model_id, e.model_name, e.version, e.runtime,
    e.calls, e.rows, e.batches, e.errors, e.errors_input, e.errors_model, e.errors_canceled, e.errors_resource,
    e.total_time, e.min_time, e.max_time, e.mean_time, e.stddev_time, e.p50_time, e.p90_time, e.p95_time, e.p99_time,
    e.load_time, e.prepare_time, e.infer_time, e.cache_lookups, e.cache_hits, e.cache_evictions,
    e.model_bytes_read, e.input_bytes, e.output_bytes, e.null_inputs, e.rejected_rows,
    e.first_call, e.last_call, e.stats_since, e.minmax_stats_since
FROM modelopt.stat_entries(false) e;
COMMENT ON VIEW modelopt.stat_summary IS 'what each model version did for all users together; percentiles are of all their invocations';

CREATE VIEW modelopt.stat_latency WITH (security_barrier) AS
SELECT e.dbid, e.model_id, e.model_name, e.version, b.le_ms, b.count, b.cumulative
FROM modelopt.stat_entries(false) e,
    LATERAL (SELECT u.le_ms, u.count, sum(u.count) OVER (ORDER BY u.le_ms)::bigint AS cumulative
             FROM unnest(modelopt.histogram_bounds(), e.histogram) u (le_ms, count)) b
WHERE b.count > 0;
COMMENT ON VIEW modelopt.stat_latency IS 'histogram of how long invocations of each model version took; buckets that have counted something';

CREATE VIEW modelopt.stat_info WITH (security_barrier) AS
SELECT i.* FROM modelopt.stat_info() i;
COMMENT ON VIEW modelopt.stat_info IS 'the statistics themselves, in one row: whether the library was preloaded, and without that nothing more; room, and what was lost';

CREATE VIEW modelopt.stat_activity WITH (security_barrier) AS
SELECT a.* FROM modelopt.stat_activity() a;
COMMENT ON VIEW modelopt.stat_activity IS 'invocations of models that run right now';

-- What columns of several views are.
DO $$
DECLARE
    described record;
BEGIN
    FOR described IN
        SELECT c.oid::regclass AS view, a.attname AS column, d.text
        FROM (VALUES
            ('dbid', 'database, as pg_database.oid'),
            ('userid', 'user who ran it, as pg_authid.oid; null when modelopt.track_users is off'),
            ('model_id', 'number of the model; 0: a value that is in no repository; null: not yours to see'),
            ('model_name', 'the model; null: none, of another database, dropped, or not yours to see'),
            ('version', 'number of the version; 0: of no version'),
            ('runtime', 'what ran it last: runner (a process of its own) or inprocess'),
            ('calls', 'invocations that returned'),
            ('rows', 'predictions made'),
            ('batches', 'runs of the runtime'),
            ('errors', 'invocations that failed'),
            ('errors_input', 'of these, for what they were given: SQLSTATE class 22 or 42'),
            ('errors_model', 'of these, for any other reason'),
            ('errors_canceled', 'of these, canceled or timed out: SQLSTATE 57014'),
            ('errors_resource', 'of these, for lack of memory, disk or connections: SQLSTATE class 53'),
            ('total_time', 'time of invocations that returned, in milliseconds'),
            ('min_time', 'shortest of them since minmax_stats_since, in milliseconds'),
            ('max_time', 'longest of them since minmax_stats_since, in milliseconds'),
            ('mean_time', 'their mean, in milliseconds'),
            ('stddev_time', 'their population standard deviation, in milliseconds'),
            ('p50_time', 'what half of them did not exceed, in milliseconds, by the histogram'),
            ('p90_time', 'what 90 % of them did not exceed, in milliseconds, by the histogram'),
            ('p95_time', 'what 95 % of them did not exceed, in milliseconds, by the histogram'),
            ('p99_time', 'what 99 % of them did not exceed, in milliseconds, by the histogram'),
            ('load_time', 'of total_time, until a session could run, in milliseconds'),
            ('prepare_time', 'of total_time, from arguments to tensors, in milliseconds'),
            ('infer_time', 'of total_time, in the runtime and back to values, in milliseconds'),
            ('cache_lookups', 'times a session was looked for in the cache'),
            ('cache_hits', 'times it was there'),
            ('cache_evictions', 'sessions of other models that had to make room'),
            ('model_bytes_read', 'model read to make sessions, in bytes'),
            ('input_bytes', 'tensors that went in, in bytes'),
            ('output_bytes', 'tensors that came out, in bytes'),
            ('null_inputs', 'rows with a null in a feature'),
            ('rejected_rows', 'rows that did not fit the model'),
            ('first_call', 'when an invocation ended first'),
            ('last_call', 'when an invocation ended last'),
            ('stats_since', 'when counting began'),
            ('minmax_stats_since', 'when min_time and max_time began'),
            ('le_ms', 'upper bound of the bucket, in milliseconds'),
            ('count', 'invocations in the bucket'),
            ('cumulative', 'invocations in it and all faster ones'),
            ('preloaded', 'whether modelopt is in shared_preload_libraries, without which nothing is counted'),
            ('entries', 'model versions, of each user, with statistics'),
            ('max_entries', 'room for them: modelopt.stat_max'),
            ('dealloc', 'times that the least used ones were evicted'),
            ('dropped', 'batches of invocations that found no room; their numbers are in evicted_...'),
            ('evicted_calls', 'calls of entries that are gone, so that sums never go back'),
            ('evicted_rows', 'rows of entries that are gone'),
            ('evicted_errors', 'errors of entries that are gone'),
            ('stats_reset', 'when everything was reset last, or lost by a crash'),
            ('loaded_from_file', 'whether statistics were kept over the last restart'),
            ('shared_bytes', 'shared memory taken, in bytes'),
            ('pid', 'process of the backend, as in pg_stat_activity'),
            ('phase', 'what it is at'),
            ('started', 'when it began')) d (name, text)
            JOIN pg_attribute a ON a.attname = d.name AND a.attnum > 0
            JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'modelopt'::regnamespace AND c.relkind = 'v' AND c.relname ~ '^stat_'
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', described.view, described.column, described.text);
    END LOOP;
END
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA modelopt TO PUBLIC;
