-- Statistics, for those who may see them.  Every column says its unit.

CREATE VIEW modelopt.stat_models WITH (security_barrier) AS
SELECT e.dbid, d.datname, e.userid, pg_get_userbyid(e.userid) AS usename, e.model_id, e.model_name, e.version, e.runtime,
    e.calls, e.rows, e.batches, e.errors, e.errors_input, e.errors_model, e.errors_canceled, e.errors_resource,
    e.total_time, e.min_time, e.max_time, e.mean_time, e.stddev_time, e.p50_time, e.p90_time, e.p95_time, e.p99_time,
    e.load_time, e.prepare_time, e.infer_time, e.cache_lookups, e.cache_hits, e.cache_evictions,
    e.model_bytes_read, e.input_bytes, e.output_bytes, e.null_inputs, e.rejected_rows,
    e.first_call, e.last_call, e.stats_since, e.minmax_stats_since
FROM modelopt.stat_entries(true) e LEFT JOIN pg_database d ON d.oid = e.dbid;
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
FROM modelopt.stat_entries(false) e, LATERAL modelopt.histogram_buckets(e.histogram) b;
COMMENT ON VIEW modelopt.stat_latency IS 'histogram of how long invocations of each model version took; buckets that have counted something';

CREATE VIEW modelopt.stat_info WITH (security_barrier) AS
SELECT i.* FROM modelopt.stat_info() i;
COMMENT ON VIEW modelopt.stat_info IS 'the statistics themselves, in one row: whether the library was preloaded, and without that nothing more; room, and what was lost';

CREATE VIEW modelopt.stat_activity WITH (security_barrier) AS
SELECT a.pid, a.dbid, d.datname, a.userid, pg_get_userbyid(a.userid) AS usename, a.model_id, a.model_name, a.version, a.phase, a.rows, a.started
FROM modelopt.stat_activity() a LEFT JOIN pg_database d ON d.oid = a.dbid;
COMMENT ON VIEW modelopt.stat_activity IS 'invocations of models that run right now';

CREATE VIEW modelopt.stat_drift WITH (security_barrier) AS
SELECT d.* FROM modelopt.stat_drift() d;
COMMENT ON VIEW modelopt.stat_drift IS 'how far what a version is given now is from its reference, feature by feature, in the newest windows that have modelopt.drift_min_rows rows; of models that the current role may see, in the order of their names, versions, inputs and outputs';

CREATE VIEW modelopt.stat_drift_summary WITH (security_barrier) AS
SELECT s.model_id, s.model_name, s.version, s.features, s.warned, s.drifted, s.share_drifted, s.worst_feature, s.worst_psi,
    CASE WHEN s.features = 0 THEN 'no_reference' WHEN s.sufficient = 0 THEN 'insufficient'
        WHEN s.share_drifted >= 0.5 OR s.output_drifted THEN 'drift' WHEN s.warned + s.drifted > 0 THEN 'warn' ELSE 'ok' END AS status
FROM (
    SELECT d.model_id, d.model_name, d.version, count(d.feature) AS features,
        count(*) FILTER (WHERE d.status = 'warn') AS warned, count(*) FILTER (WHERE d.status = 'drift') AS drifted,
        count(*) FILTER (WHERE d.status IN ('ok', 'warn', 'drift')) AS sufficient,
        count(*) FILTER (WHERE d.status = 'drift') / nullif(count(d.feature), 0)::double precision AS share_drifted,
        coalesce(bool_or(d.status = 'drift') FILTER (WHERE d.kind = 'output'), false) AS output_drifted,
        (array_agg(d.feature ORDER BY d.psi DESC NULLS LAST, d.feature))[1] AS worst_feature, max(d.psi) AS worst_psi
    FROM modelopt.stat_drift() d GROUP BY d.model_id, d.model_name, d.version) s;
COMMENT ON VIEW modelopt.stat_drift_summary IS 'drift of each version as a whole: it drifts when half of its features or an output do';

CREATE VIEW modelopt.stat_drift_bins WITH (security_barrier) AS
SELECT b.* FROM modelopt.stat_drift_bins() b;
COMMENT ON VIEW modelopt.stat_drift_bins IS 'why a feature drifts: each of its bins or categories, in the reference and now. These are data: for who may read or write the model, and members of pg_read_all_stats';

CREATE VIEW modelopt.stat_references WITH (security_barrier) AS
SELECT m.name AS model_name, r.version, r.source,
    CASE WHEN modelopt.has_privilege(m.name, 'read') OR modelopt.has_privilege(m.name, 'write') THEN r.query END AS query,
    r.rows, r.wanted_rows, r.set_by, r.set_at, r.previous
FROM modelopt_private.drift_reference r JOIN modelopt_private.named_model m ON m.id = r.model_id
WHERE modelopt.has_privilege(m.name, 'usage');
COMMENT ON VIEW modelopt.stat_references IS 'what versions are compared with, and where that is from';

CREATE VIEW modelopt.stat_history WITH (security_barrier) AS
SELECT h.taken_at, h.model_name, h.version, h.calls, h.rows, h.batches, h.errors, h.total_time, h.cache_lookups, h.cache_hits, h.stats_since, h.histogram
FROM modelopt_private.stat_history h LEFT JOIN modelopt_private.named_model m ON m.id = h.model_id
WHERE CASE WHEN m.id IS NULL THEN modelopt.owns_extension() ELSE modelopt.has_privilege(m.name, 'usage') END;
COMMENT ON VIEW modelopt.stat_history IS 'statistics as modelopt.snapshot_stats() found them: totals since stats_since, so that differences of rows are what happened between';

CREATE VIEW modelopt.stat_drift_history WITH (security_barrier) AS
SELECT h.taken_at, h.model_name, h.version, h.feature, h.window_start, h.window_end, h.n, h.psi, h.psi_noise_floor, h.js, h.wasserstein, h.ks, h.linf, h.status
FROM modelopt_private.drift_history h LEFT JOIN modelopt_private.named_model m ON m.id = h.model_id
WHERE CASE WHEN m.id IS NULL THEN modelopt.owns_extension() ELSE modelopt.has_privilege(m.name, 'usage') END;
COMMENT ON VIEW modelopt.stat_drift_history IS 'drift as modelopt.snapshot_stats() found it';

CREATE VIEW modelopt.stat_progress WITH (security_barrier) AS
SELECT p.pid, p.dbid, d.datname, p.userid, pg_get_userbyid(p.userid) AS usename, p.operation, p.phase, p.unit, p.done, p.total, p.started
FROM modelopt.stat_progress() p LEFT JOIN pg_database d ON d.oid = p.dbid;
COMMENT ON VIEW modelopt.stat_progress IS 'long work with models that runs right now: import, export, prune, quantize, compress, commit, gc, verify, predict_rows, evaluate, calibrate, sensitivity, optimize';

-- What columns of several views are.
DO $$
DECLARE
    described record;
BEGIN
    FOR described IN
        SELECT c.oid::regclass AS view, a.attname AS column, d.text
        FROM (VALUES
            ('dbid', 'database, as pg_database.oid'),
            ('datname', 'its name'),
            ('usename', 'name of the user'),
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
            ('drift_features', 'features of all databases that are looked at for drift'),
            ('drift_pages', 'pages of modelopt.drift_memory that they take'),
            ('drift_max_pages', 'pages there are'),
            ('drift_dropped', 'times that a feature found no room, and is not looked at, since stats_reset'),
            ('pid', 'process of the backend, as in pg_stat_activity'),
            ('phase', 'what it is at'),
            ('started', 'when it began'),
            ('operation', 'what is done'),
            ('unit', 'what done and total count: bytes, elements, rows, objects, versions or evaluations'),
            ('done', 'how much of it is done, in units'),
            ('total', 'how much there is, in units; null: nobody knows'),
            ('feature', 'the input or output'),
            ('kind', 'numeric, categorical, or output'),
            ('window_start', 'when the windows that were counted begin'),
            ('window_end', 'when they end'),
            ('port', 'the input of the model that it is in, of kind output the output; null: the model has no graph that tells'),
            ('position', 'which of the values of a row in that input or output it is, from 1'),
            ('reference_kind', 'what the reference is of: training (a query), serving, or previous (the windows before window_start)'),
            ('ref_rows', 'rows of the reference'),
            ('n', 'rows since window_start'),
            ('n_null', 'of these, nulls'),
            ('n_out_of_range', 'of these, below or above all of the reference, or not finite'),
            ('psi', 'population stability index of the bins, no unit: 0 is no difference'),
            ('psi_noise_floor', 'what psi is below of in 99 % of cases by chance alone, with n rows, ref_rows rows of the reference and so many features'),
            ('js', 'Jensen-Shannon distance of the bins, base 2, from 0 to 1'),
            ('wasserstein', 'Wasserstein distance, in standard deviations of the reference; of numbers, and null where the reference has always the same'),
            ('ks', 'greatest difference of the distribution functions, from 0 to 1; of numbers'),
            ('linf', 'greatest difference of a share, from 0 to 1; of categories'),
            ('mean_ref', 'mean of the reference, in the unit of the feature'),
            ('mean_cur', 'mean since window_start, in the unit of the feature'),
            ('mean_shift', 'their difference, in standard deviations of the reference'),
            ('null_rate_delta', 'difference of the shares of nulls, from 0 to 1'),
            ('out_of_range_rate', 'share of what is not null that is out of range, beyond that of the reference, from 0 to 1'),
            ('thresholds', 'by metric, from where on it is a warning (warn) and drift (alert), in the unit of the metric; source: default, set, or auto, found by so many windows before'),
            ('status', 'ok, warn, drift, insufficient (too few rows) or no_reference (it is being collected, or too few rows are in the windows before, or the version is served and only another one of its model has one: then there is no feature)'),
            ('reason', 'which thresholds were reached, or what is missing'),
            ('features', 'features with a reference'),
            ('warned', 'of these, with a warning'),
            ('drifted', 'of these, with drift'),
            ('share_drifted', 'drifted of features, from 0 to 1'),
            ('worst_feature', 'the one with the greatest psi'),
            ('worst_psi', 'and that'),
            ('bin', 'number of the bin'),
            ('low', 'above which values are in it, in the unit of the feature; null: no bound'),
            ('high', 'up to which, in the unit of the feature; null: no bound'),
            ('category', 'which category is in it, or other; all: of a number that was always the same in the reference; null, not finite, and of numbers below and above the reference: what is counted apart, the last two also in the first and the last bin'),
            ('ref_count', 'rows of the reference in it'),
            ('ref_share', 'their share, from 0 to 1'),
            ('share', 'share of rows since window_start in it, from 0 to 1'),
            ('psi_part', 'what it adds to psi'),
            ('source', 'training (a query) or serving'),
            ('query', 'the query, as it was given; null: for who may read or write the model'),
            ('wanted_rows', 'rows to be collected from serving; null when that is done'),
            ('previous', 'whether it says which bins are counted alone, and windows are compared with those before them'),
            ('set_by', 'who set it'),
            ('set_at', 'when'),
            ('taken_at', 'when'),
            ('histogram', 'counts of invocations in the buckets of modelopt.histogram_bounds()')) d (name, text)
            JOIN pg_attribute a ON a.attname = d.name AND a.attnum > 0
            JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'modelopt'::regnamespace AND c.relkind = 'v' AND c.relname ~ '^stat_'
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', described.view, described.column, described.text);
    END LOOP;
END
$$;
