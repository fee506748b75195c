-- What exporters scrape: a view for each family of metrics, whose columns are
-- named as Prometheus has it (base units, totals that only grow), so that an
-- exporter's file is a SELECT of everything.  Labels are the database, the model
-- and its version; models that the role may not see are left out.

CREATE VIEW modelopt.prom_predict WITH (security_barrier) AS
SELECT current_database() AS datname, e.model_name AS model, e.version::text AS version,
    e.calls AS calls_total, e.rows AS rows_total, e.batches AS batches_total,
    bounds.seconds AS duration_seconds, modelopt.histogram_cumulative(e.histogram, 8) AS duration_seconds_bucket,
    e.total_time / 1000 AS duration_seconds_sum,
    (modelopt.histogram_cumulative(e.histogram, 217))[2] AS duration_seconds_count,    -- of the first bucket, and of all 218
    e.input_bytes AS input_bytes_total, e.output_bytes AS output_bytes_total,
    e.null_inputs AS null_inputs_total, e.rejected_rows AS rejected_rows_total,
    extract(epoch FROM e.last_call)::double precision AS last_call_timestamp_seconds
FROM modelopt.stat_entries(false) e
    CROSS JOIN (SELECT array_agg(2::double precision ^ power ORDER BY power) AS seconds FROM generate_series(-20, 7) power) bounds
WHERE e.model_name IS NOT NULL;
COMMENT ON VIEW modelopt.prom_predict IS 'metrics modelopt_predict_...: invocations of each version, with a histogram whose buckets are powers of two';

CREATE VIEW modelopt.prom_errors WITH (security_barrier) AS
SELECT current_database() AS datname, e.model_name AS model, e.version::text AS version, c.class, c.errors_total
FROM modelopt.stat_entries(false) e,
    LATERAL (VALUES ('input', e.errors_input), ('model', e.errors_model), ('canceled', e.errors_canceled), ('resource', e.errors_resource)) c (class, errors_total)
WHERE e.model_name IS NOT NULL;
COMMENT ON VIEW modelopt.prom_errors IS 'metric modelopt_predict_errors_total: invocations that failed, by class';

CREATE VIEW modelopt.prom_phases WITH (security_barrier) AS
SELECT current_database() AS datname, e.model_name AS model, e.version::text AS version, p.phase, p.ms / 1000 AS phase_seconds_total
FROM modelopt.stat_entries(false) e,
    LATERAL (VALUES ('load', e.load_time), ('prepare', e.prepare_time), ('infer', e.infer_time)) p (phase, ms)
WHERE e.model_name IS NOT NULL;
COMMENT ON VIEW modelopt.prom_phases IS 'metric modelopt_predict_phase_seconds_total: time of invocations that returned, by phase';

CREATE VIEW modelopt.prom_cache WITH (security_barrier) AS
SELECT current_database() AS datname, e.model_name AS model, e.version::text AS version, e.cache_lookups AS cache_lookups_total,
    e.cache_hits AS cache_hits_total, e.cache_evictions AS cache_evictions_total, e.model_bytes_read AS read_bytes_total
FROM modelopt.stat_entries(false) e
WHERE e.model_name IS NOT NULL;
COMMENT ON VIEW modelopt.prom_cache IS 'metrics modelopt_model_...: the cache of sessions, and what was read to fill it';

CREATE VIEW modelopt.prom_drift WITH (security_barrier) AS
SELECT current_database() AS datname, d.model_name AS model, d.version::text AS version, d.feature, s.metric, s.score
FROM (SELECT v.*, row_number() OVER (PARTITION BY v.model_id, v.version ORDER BY v.kind = 'output' DESC, v.psi DESC NULLS LAST, v.feature) AS place
      FROM modelopt.stat_drift() v WHERE v.feature IS NOT NULL) d,
    LATERAL (VALUES ('psi', d.psi), ('psi_noise_floor', d.psi_noise_floor), ('js', d.js), ('wasserstein', d.wasserstein), ('ks', d.ks), ('linf', d.linf),
        ('null_rate_delta', d.null_rate_delta), ('out_of_range_rate', d.out_of_range_rate)) s (metric, score)
WHERE (d.kind = 'output' OR d.place <= 20) AND s.score IS NOT NULL;
COMMENT ON VIEW modelopt.prom_drift IS 'metric modelopt_drift_score: distances of outputs, and of the 20 features of a version with the greatest psi';

CREATE VIEW modelopt.prom_drift_summary WITH (security_barrier) AS
SELECT current_database() AS datname, d.model_name AS model, d.version::text AS version,
    coalesce(max(d.n), 0) AS window_rows, count(d.feature) AS features,
    count(*) FILTER (WHERE d.status = 'drift') AS drifted_features, count(*) FILTER (WHERE d.status = 'warn') AS warned_features,
    coalesce(count(*) FILTER (WHERE d.status = 'drift') / nullif(count(d.feature), 0)::double precision, 0) AS drifted_ratio
FROM modelopt.stat_drift() d
GROUP BY d.model_name, d.version;
COMMENT ON VIEW modelopt.prom_drift_summary IS 'metrics modelopt_drift_...: how many features of each version drift';

CREATE VIEW modelopt.prom_info WITH (security_barrier) AS
SELECT current_database() AS datname, v.model_name AS model, v.version::text AS version, coalesce(e.runtime, '') AS runtime,
    CASE WHEN v.referred_to THEN 'true' ELSE 'false' END AS active, 1 AS info, v.parameters, v.raw_bytes AS bytes
FROM modelopt.stat_versions() v
    LEFT JOIN modelopt.stat_entries(false) e ON e.model_name = v.model_name AND e.version = v.version
WHERE v.referred_to OR e.calls IS NOT NULL;
COMMENT ON VIEW modelopt.prom_info IS 'metrics modelopt_model_info, _parameters and _bytes: versions that a reference points to or that were served; active says which of them a reference points to';

CREATE VIEW modelopt.prom_stat WITH (security_barrier) AS
SELECT i.entries, i.max_entries, i.dealloc AS dealloc_total, i.dropped AS dropped_total, i.drift_dropped AS drift_dropped_total,
    i.evicted_calls AS evicted_calls_total, i.evicted_errors AS evicted_errors_total,
    extract(epoch FROM i.stats_reset)::double precision AS reset_timestamp_seconds, i.shared_bytes
FROM modelopt.stat_info() i
WHERE i.preloaded;
COMMENT ON VIEW modelopt.prom_stat IS 'metrics modelopt_stat_...: the statistics themselves';

DO $$
DECLARE
    described record;
BEGIN
    FOR described IN
        SELECT c.oid::regclass AS view, a.attname AS column, d.text
        FROM (VALUES
            ('datname', 'label: the database'),
            ('model', 'label: the model'),
            ('version', 'label: its version'),
            ('class', 'label: of errors: input, model, canceled or resource'),
            ('phase', 'label: load, prepare or infer'),
            ('feature', 'label: the input or output'),
            ('metric', 'label: which distance'),
            ('runtime', 'label: what ran it last'),
            ('active', 'label: whether a branch, tag or alias points to it'),
            ('calls_total', 'counter: invocations that returned'),
            ('rows_total', 'counter: predictions'),
            ('batches_total', 'counter: runs of the runtime'),
            ('duration_seconds', 'upper bounds of the buckets, in seconds'),
            ('duration_seconds_bucket', 'counter: invocations not slower than each'),
            ('duration_seconds_sum', 'counter: their time, in seconds'),
            ('duration_seconds_count', 'counter: all of them'),
            ('input_bytes_total', 'counter: tensors that went in, in bytes'),
            ('output_bytes_total', 'counter: tensors that came out, in bytes'),
            ('null_inputs_total', 'counter: rows with a null in a feature'),
            ('rejected_rows_total', 'counter: rows that did not fit the model'),
            ('last_call_timestamp_seconds', 'gauge: when an invocation ended last, in seconds since 1970'),
            ('errors_total', 'counter: invocations that failed'),
            ('phase_seconds_total', 'counter: time in the phase, in seconds'),
            ('cache_lookups_total', 'counter: times a session was looked for'),
            ('cache_hits_total', 'counter: times it was there'),
            ('cache_evictions_total', 'counter: sessions of other models that had to make room'),
            ('read_bytes_total', 'counter: model read to make sessions, in bytes'),
            ('score', 'gauge: the distance; its unit is that of the metric in modelopt.stat_drift'),
            ('window_rows', 'gauge: rows that were counted'),
            ('features', 'gauge: features with a reference'),
            ('drifted_features', 'gauge: of these, with drift'),
            ('warned_features', 'gauge: of these, with a warning'),
            ('drifted_ratio', 'gauge: share of features that drift, from 0 to 1'),
            ('info', 'gauge: always 1'),
            ('parameters', 'gauge: elements of all tensors'),
            ('bytes', 'gauge: of these, in bytes'),
            ('entries', 'gauge: entries of statistics'),
            ('max_entries', 'gauge: room for them'),
            ('dealloc_total', 'counter: evictions'),
            ('dropped_total', 'counter: batches of invocations that found no room'),
            ('drift_dropped_total', 'counter: features that found no room'),
            ('evicted_calls_total', 'counter: calls of entries that are gone'),
            ('evicted_errors_total', 'counter: errors of entries that are gone'),
            ('reset_timestamp_seconds', 'gauge: when everything was reset last, in seconds since 1970'),
            ('shared_bytes', 'gauge: shared memory, in bytes')) d (name, text)
            JOIN pg_attribute a ON a.attname = d.name AND a.attnum > 0
            JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'modelopt'::regnamespace AND c.relkind = 'v' AND c.relname ~ '^prom_'
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', described.view, described.column, described.text);
    END LOOP;
END
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA modelopt TO PUBLIC;
