-- Drift as it is, and was.

-- The mean of what is in bins, by their counts and sums; null of none.  What is served
-- may be such that SQL's own arithmetic would raise.
CREATE FUNCTION modelopt_private.drift_mean(counts bigint[], sums double precision[]) RETURNS double precision
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_drift_mean';

-- What is counted of each feature now, and what that is compared with: the reference,
-- or the windows before.
CREATE FUNCTION modelopt_private.compared_features(OUT reference_id bigint, OUT model_id bigint, OUT version integer, OUT number integer, OUT name text,
    OUT kind text, OUT port text, OUT "position" bigint, OUT edges double precision[], OUT categories text[], OUT deviation double precision,
    OUT reference_kind text, OUT window_start timestamptz, OUT window_end timestamptz, OUT ref_counts bigint[], OUT ref_sums double precision[],
    OUT ref_mean double precision, OUT counts bigint[], OUT sums double precision[], OUT features integer) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT r.id, r.model_id, r.version, f.number, f.name, f.kind, f.port, f."position", f.edges, f.categories,
        CASE WHEN f.kind = 'numeric' THEN coalesce(f.deviation, 0) END,
        CASE WHEN r.previous THEN 'previous' ELSE r.source END, d.window_start, d.window_end,
        CASE WHEN r.previous THEN coalesce(d.previous_counts, none.counts) ELSE f.counts END,
        CASE WHEN r.previous THEN coalesce(d.previous_sums, none.sums) ELSE f.sums END,
        CASE WHEN NOT r.previous THEN f.mean WHEN f.kind = 'numeric' THEN modelopt_private.drift_mean(d.previous_counts, d.previous_sums) END,
        coalesce(d.counts, none.counts), coalesce(d.sums, none.sums), (count(*) OVER (PARTITION BY r.id))::integer
    FROM modelopt_private.drift_reference r
        JOIN modelopt_private.drift_feature f ON f.reference_id = r.id
        LEFT JOIN modelopt_private.read_drift() d ON d.reference_id = r.id AND d.number = f.number AND cardinality(d.counts) = cardinality(f.counts)
        CROSS JOIN LATERAL (
            SELECT array_fill(0::bigint, ARRAY[cardinality(f.counts)]), array_fill(0::double precision, ARRAY[cardinality(f.counts)])) none (counts, sums)
$$;

CREATE FUNCTION modelopt_private.drift_values(OUT reference_id bigint, OUT model_id bigint, OUT model_name text, OUT version integer, OUT number integer,
    OUT feature text, OUT kind text, OUT port text, OUT "position" bigint, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT reference_kind text, OUT ref_rows bigint, OUT n bigint, OUT n_null bigint, OUT n_out_of_range bigint, OUT psi double precision,
    OUT psi_noise_floor double precision, OUT js double precision, OUT wasserstein double precision, OUT ks double precision, OUT linf double precision,
    OUT mean_ref double precision, OUT mean_cur double precision, OUT mean_shift double precision,
    OUT null_rate_delta double precision, OUT out_of_range_rate double precision) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT c.reference_id, m.id, m.name, c.version, c.number, c.name, CASE WHEN c.number < 0 THEN 'output' ELSE c.kind END, c.port, c."position",
        c.window_start, c.window_end, c.reference_kind, x.ref_rows, x.n, x.n_null, x.n_out_of_range, x.psi, x.psi_noise_floor,
        x.js, x.wasserstein, x.ks, x.linf, c.ref_mean, x.mean_cur, x.mean_shift,
        x.null_rate_delta, x.out_of_range_rate
    FROM modelopt_private.compared_features() c
        JOIN modelopt_private.known_models() m ON m.id = c.model_id
        CROSS JOIN LATERAL modelopt_private.drift_distances(c.ref_counts, c.ref_sums, c.counts, c.sums, c.ref_mean, c.deviation, c.features) x
$$;

-- For each feature of models that want it, what a threshold is by the windows before:
-- those without drift or warning by what else holds.  Of an owner's absurd deviation
-- distances can be so large that their squares are an error, which would be everybody's.
CREATE FUNCTION modelopt_private.found_thresholds(OUT reference_id bigint, OUT number integer, OUT found jsonb) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    WITH wanted AS MATERIALIZED (
        SELECT r.id, r.model_id, r.previous FROM modelopt_private.drift_reference r
        WHERE r.model_id IN (SELECT t.model_id FROM modelopt_private.drift_threshold t WHERE t.warn IS NULL)
    ), windows AS (
        SELECT r.id, r.model_id, f.number, f.name, w.counts, w.sums, f.mean, CASE WHEN f.kind = 'numeric' THEN coalesce(f.deviation, 0) END AS deviation,
            (SELECT count(*) FROM modelopt_private.drift_feature o WHERE o.reference_id = r.id)::integer AS features,
            CASE WHEN r.previous THEN lag(w.counts, 1, array_fill(0::bigint, ARRAY[cardinality(w.counts)])) OVER older ELSE f.counts END AS ref_counts,
            CASE WHEN r.previous THEN lag(w.sums, 1, w.sums) OVER older ELSE f.sums END AS ref_sums
        FROM wanted r
            CROSS JOIN LATERAL modelopt_private.read_drift_windows(r.id) w
            JOIN modelopt_private.drift_feature f ON f.reference_id = r.id AND f.number = w.number AND cardinality(f.counts) = cardinality(w.counts)
        WINDOW older AS (PARTITION BY r.id, f.number ORDER BY w.window_start)
    )
    SELECT v.id, v.number, jsonb_object_agg(v.metric, jsonb_build_object('windows', v.n, 'threshold', v.threshold))
    FROM (
        SELECT w.id, w.number, u.metric, count(*) AS n, avg(u.value) + 3 * coalesce(stddev_samp(u.value), 0) AS threshold
        FROM windows w
            CROSS JOIN LATERAL modelopt_private.drift_distances(w.ref_counts, w.ref_sums, w.counts, w.sums, w.mean, w.deviation, w.features) x
            CROSS JOIN LATERAL modelopt_private.drift_findings(w.model_id, w.name, x.psi, x.psi_noise_floor, x.js, x.wasserstein, x.ks, x.linf,
                x.null_rate_delta, x.out_of_range_rate, x.n, NULL) f
            CROSS JOIN LATERAL (VALUES ('psi', x.psi), ('js', x.js), ('wasserstein', x.wasserstein), ('ks', x.ks), ('linf', x.linf),
                ('null_rate', x.null_rate_delta), ('out_of_range', x.out_of_range_rate)) u (metric, value)
        WHERE f.level IS NULL AND x.ref_rows > 0 AND u.value < 1e100
        GROUP BY w.id, w.number, u.metric) v
    GROUP BY v.id, v.number
$$;

-- Versions whose reference is being collected, and those that are served and have none
-- though another version of their model has one.
CREATE FUNCTION modelopt_private.uncompared_versions() RETURNS TABLE (id bigint, name text, version integer, reference_kind text, reason text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT m.id, m.name, r.version, CASE WHEN r.previous THEN 'previous' ELSE r.source END, format('%s rows are being collected', r.wanted_rows)
    FROM modelopt_private.drift_reference r JOIN modelopt_private.known_models() m ON m.id = r.model_id
    WHERE r.wanted_rows IS NOT NULL
    UNION ALL
    SELECT e.model_id, e.model_name, e.version, NULL,
        format('only other versions have a reference: SELECT modelopt.copy_reference(%L, %L) takes over that of version %s',
            e.model_name || '#' || other.version, e.model_name || '#' || e.version, other.version)
    FROM modelopt_private.stat_entries(false) e
        CROSS JOIN LATERAL (SELECT max(r.version) FROM modelopt_private.drift_reference r WHERE r.model_id = e.model_id AND r.rows IS NOT NULL) other (version)
    WHERE e.model_name IS NOT NULL AND other.version IS NOT NULL
        AND NOT EXISTS (SELECT FROM modelopt_private.drift_reference r WHERE r.model_id = e.model_id AND r.version = e.version)
$$;

CREATE FUNCTION modelopt_private.stat_drift(OUT model_id bigint, OUT model_name text, OUT version integer, OUT feature text, OUT kind text,
    OUT port text, OUT "position" bigint, OUT window_start timestamptz, OUT window_end timestamptz, OUT reference_kind text, OUT ref_rows bigint,
    OUT n bigint, OUT n_null bigint, OUT n_out_of_range bigint, OUT psi double precision, OUT psi_noise_floor double precision,
    OUT js double precision, OUT wasserstein double precision, OUT ks double precision, OUT linf double precision,
    OUT mean_ref double precision, OUT mean_cur double precision, OUT mean_shift double precision,
    OUT null_rate_delta double precision, OUT out_of_range_rate double precision, OUT thresholds jsonb, OUT status text, OUT reason text) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT modelopt_private.require_preloaded();
    WITH found AS MATERIALIZED (SELECT * FROM modelopt_private.found_thresholds())
    SELECT u.model_id, u.model_name, u.version, u.feature, u.kind, u.port, u."position", u.window_start, u.window_end, u.reference_kind, u.ref_rows,
        u.n, u.n_null, u.n_out_of_range, u.psi, u.psi_noise_floor, u.js, u.wasserstein, u.ks, u.linf,
        u.mean_ref, u.mean_cur, u.mean_shift, u.null_rate_delta, u.out_of_range_rate, u.thresholds, u.status, u.reason
    FROM (
        SELECT v.*, f.thresholds,
            CASE WHEN v.n < needed.rows THEN 'insufficient' WHEN v.reference_kind = 'previous' AND v.ref_rows < needed.rows THEN 'no_reference'
                WHEN f.level = 2 THEN 'drift' WHEN f.level = 1 THEN 'warn' ELSE 'ok' END AS status,
            CASE WHEN v.n < needed.rows THEN format('%s rows of at least %s', v.n, needed.rows)
                WHEN v.reference_kind = 'previous' AND v.ref_rows < needed.rows THEN format('%s rows of at least %s in the windows before', v.ref_rows, needed.rows)
                ELSE f.reason END AS reason
        FROM modelopt_private.drift_values() v
            LEFT JOIN found ON found.reference_id = v.reference_id AND found.number = v.number
            CROSS JOIN LATERAL (SELECT current_setting('modelopt.drift_min_rows')::bigint) needed (rows)
            CROSS JOIN LATERAL modelopt_private.drift_findings(v.model_id, v.feature, v.psi, v.psi_noise_floor, v.js, v.wasserstein, v.ks, v.linf,
                v.null_rate_delta, v.out_of_range_rate, v.n, found.found) f
        UNION ALL
        SELECT NULL, m.id, m.name, m.version, NULL, NULL, NULL, NULL, NULL, NULL, NULL, m.reference_kind,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            'no_reference', m.reason
        FROM modelopt_private.uncompared_versions() m) u
    ORDER BY u.model_name, u.version, u.number < 0, abs(u.number)
$$;
COMMENT ON FUNCTION modelopt_private.stat_drift() IS 'what the view modelopt.stat_drift shows';

-- Edges are quantiles and categories are values of the data that the reference
-- was made of, which may be nobody's to see who only predicts.
CREATE FUNCTION modelopt_private.models_of_known_data() RETURNS TABLE (id bigint, name text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT m.id, m.name FROM modelopt_private.named_model m
    WHERE modelopt_private.reads_all_stats() OR modelopt_private.may(m.id, 'read') OR modelopt_private.may(m.id, 'write')
$$;

CREATE FUNCTION modelopt_private.stat_drift_bins(OUT model_id bigint, OUT model_name text, OUT version integer, OUT feature text, OUT bin integer,
    OUT low double precision, OUT high double precision, OUT category text, OUT ref_count bigint, OUT count bigint,
    OUT ref_share double precision, OUT share double precision, OUT psi_part double precision) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT modelopt_private.require_preloaded();
    SELECT m.id, m.name, f.version, f.name, b.bin::integer,
        CASE WHEN f.kind = 'numeric' AND b.bin <= bins.n THEN f.edges[b.bin - 1] END,
        CASE WHEN f.kind = 'numeric' AND b.bin <= bins.n THEN f.edges[b.bin] END,
        CASE WHEN b.bin > bins.n THEN (ARRAY['null', 'not finite', 'below the reference', 'above the reference'])[b.bin - bins.n]
            WHEN f.kind = 'categorical' THEN coalesce(f.categories[b.bin], 'other')
            WHEN bins.n = 1 THEN 'all' END,
        b.ref_count, b.count,
        CASE WHEN b.bin <= bins.n THEN b.ref_count / nullif(bins.ref_total, 0)::double precision END,
        CASE WHEN b.bin <= bins.n THEN b.count / nullif(bins.total, 0)::double precision END,
        CASE WHEN b.bin <= bins.n AND bins.total > 0 AND bins.ref_total > 0 THEN (q.share - p.share) * ln(q.share / p.share) END
    FROM modelopt_private.compared_features() f
        JOIN modelopt_private.models_of_known_data() m ON m.id = f.model_id
        -- Once for each feature, and not for each bin: so there is an OFFSET.
        CROSS JOIN LATERAL (
            SELECT cardinality(f.counts) - 4 AS n, (SELECT sum(c)::double precision FROM unnest(f.ref_counts[:cardinality(f.counts) - 4]) c) AS ref_total,
                (SELECT sum(c)::double precision FROM unnest(f.counts[:cardinality(f.counts) - 4]) c) AS total OFFSET 0) bins
        CROSS JOIN LATERAL unnest(f.ref_counts, f.counts) WITH ORDINALITY b (ref_count, count, bin)
        CROSS JOIN LATERAL (SELECT (b.ref_count + 0.5) / (bins.ref_total + 0.5 * bins.n)) p (share)
        CROSS JOIN LATERAL (SELECT (b.count + 0.5) / (bins.total + 0.5 * bins.n)) q (share)
    WHERE b.bin <= bins.n + CASE f.kind WHEN 'numeric' THEN 4 ELSE 2 END
$$;
COMMENT ON FUNCTION modelopt_private.stat_drift_bins() IS 'what the view modelopt.stat_drift_bins shows';

-- ---------- forgetting, and keeping ----------

CREATE FUNCTION modelopt_private.reset_drift(ref text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.version;
    reference bigint;
BEGIN
    IF ref IS NULL THEN
        PERFORM require_owner_of_all();
        PERFORM clear_drift(0);
        PERFORM add_audit(0, '', 'reset drift', '{}');
        RETURN;
    END IF;
    target := find_version(ref, 'admin');
    SELECT r.id INTO reference FROM drift_reference r WHERE r.version_id = target.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version "%" has no reference', version_name(target.id) USING ERRCODE = 'undefined_object';
    END IF;
    PERFORM clear_drift(reference);
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'reset drift',
        jsonb_build_object('version', target.version));
END
$$;
COMMENT ON FUNCTION modelopt_private.reset_drift(text) IS
    'forgets what was counted against the reference of a version, or of all; the references stay, and so does drift_dropped of modelopt.stat_info, which is the server''s and goes with modelopt.reset_stats(). For those with the privilege admin on the model, or for the owner of the extension';

CREATE FUNCTION modelopt_private.snapshot_stats(keep interval DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    now_at timestamptz := clock_timestamp();
    kept bigint;
    kept_drift bigint;
BEGIN
    PERFORM require_owner_of_all();
    INSERT INTO stat_history (taken_at, model_id, model_name, version, calls, rows, batches, errors, total_time, cache_lookups, cache_hits, stats_since, histogram)
    SELECT now_at, e.model_id, e.model_name, e.version, e.calls, e.rows, e.batches, e.errors, e.total_time, e.cache_lookups, e.cache_hits, e.stats_since, e.histogram
    FROM stat_entries(false) e WHERE e.model_name IS NOT NULL;
    GET DIAGNOSTICS kept = ROW_COUNT;
    INSERT INTO drift_history (taken_at, model_id, model_name, version, feature, window_start, window_end, n, psi, psi_noise_floor, js, wasserstein, ks, linf, status)
    SELECT now_at, d.model_id, d.model_name, d.version, d.feature, d.window_start, d.window_end, d.n, d.psi, d.psi_noise_floor, d.js, d.wasserstein, d.ks, d.linf, d.status
    FROM stat_drift() d WHERE d.n > 0;
    GET DIAGNOSTICS kept_drift = ROW_COUNT;
    DELETE FROM stat_history h WHERE h.taken_at < now_at - keep;
    DELETE FROM drift_history h WHERE h.taken_at < now_at - keep;
    RETURN kept + kept_drift;
END
$$;
COMMENT ON FUNCTION modelopt_private.snapshot_stats(interval) IS
    'adds the statistics and the drift of now to modelopt.stat_history and modelopt.stat_drift_history, which a dump keeps, and removes what is older than keep; returns how many rows it added. For the owner of the extension, from a scheduler such as pg_cron';
