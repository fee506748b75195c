-- Drift: what models are given now, against what they were made for.

CREATE FUNCTION modelopt_private.reference_changed() RETURNS trigger
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'modelopt_reference_changed';
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON modelopt_private.drift_reference
    FOR EACH ROW EXECUTE FUNCTION modelopt_private.reference_changed();
ALTER TABLE modelopt_private.drift_reference ENABLE ALWAYS TRIGGER changed;

CREATE FUNCTION modelopt_private.read_drift(OUT reference_id bigint, OUT number integer, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT counts bigint[], OUT sums double precision[]) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_read_drift';
CREATE FUNCTION modelopt_private.read_collected(reference bigint, OUT number integer, OUT name text, OUT kind text, OUT edges double precision[],
    OUT categories text[], OUT counts bigint[], OUT sums double precision[], OUT mean double precision, OUT deviation double precision,
    OUT minimum double precision, OUT maximum double precision) RETURNS SETOF record
    LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_read_collected';
CREATE FUNCTION modelopt_private.clear_drift(reference bigint) RETURNS void
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'modelopt_clear_drift';
CREATE FUNCTION modelopt_private.keep_drift(reference_ids bigint[], database_ids oid[]) RETURNS void
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'modelopt_keep_drift';
CREATE FUNCTION modelopt_private.drift_distances(reference_counts bigint[], reference_sums double precision[], counts bigint[], sums double precision[],
    mean double precision, deviation double precision, features integer,
    OUT ref_rows bigint, OUT n bigint, OUT n_null bigint, OUT n_out_of_range bigint, OUT psi double precision, OUT psi_noise_floor double precision,
    OUT js double precision, OUT wasserstein double precision, OUT ks double precision, OUT linf double precision, OUT mean_cur double precision,
    OUT mean_shift double precision, OUT null_rate_delta double precision, OUT out_of_range_rate double precision) RETURNS record
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_drift_distances';

-- ---------- references ----------

-- Features of drift_feature, as profile() makes them.
CREATE FUNCTION modelopt_private.add_features(reference bigint, features jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    counted bigint;
BEGIN
    INSERT INTO drift_feature (reference_id, number, name, kind, edges, categories, counts, sums, mean, deviation, minimum, maximum)
    SELECT reference, f.number, f.name, f.kind, f.edges, f.categories, f.counts, f.sums, f.mean, f.deviation, f.minimum, f.maximum
    FROM jsonb_to_recordset(features) f (number integer, name text, kind text, edges double precision[], categories text[],
        counts bigint[], sums double precision[], mean double precision, deviation double precision, minimum double precision,
        maximum double precision);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a reference has at least one feature' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT max((SELECT sum(c) FROM unnest(f.counts) WITH ORDINALITY u (c, i) WHERE i <= cardinality(f.counts) - 2)) INTO counted
    FROM drift_feature f WHERE f.reference_id = reference;
    RETURN counted;
EXCEPTION
    WHEN check_violation OR not_null_violation OR unique_violation THEN
        RAISE EXCEPTION 'features of a reference are not as modelopt.profile() makes them'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = SQLERRM;
END
$$;

-- Of references that are gone, counts go when somebody makes a new one.
CREATE FUNCTION modelopt_private.make_reference(target modelopt_private.version, source text, query text, counted bigint, wanted integer) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM share_versions(ARRAY[target.id]);
    INSERT INTO drift_reference (version_id, model_id, version, source, query, rows, wanted_rows, set_by)
    VALUES (target.id, target.model_id, target.version, source, query, counted, wanted, caller())
    ON CONFLICT (version_id) DO NOTHING
    RETURNING id INTO made;
    IF made IS NULL THEN
        RAISE EXCEPTION 'version "%" has a reference', version_name(target.id)
            USING ERRCODE = 'duplicate_object', HINT = 'modelopt.drop_reference() removes it.';
    END IF;
    PERFORM keep_drift(ARRAY(SELECT r.id FROM drift_reference r), ARRAY(SELECT d.oid FROM pg_database d));
    RETURN made;
END
$$;

CREATE FUNCTION modelopt_private.put_reference(ref text, features jsonb, query text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.version := find_version(ref, 'write');
    made bigint := make_reference(target, 'training', query, 0, NULL);
    counted bigint := add_features(made, features);
BEGIN
    UPDATE drift_reference r SET rows = counted WHERE r.id = made;
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'set reference',
        jsonb_build_object('version', target.version, 'source', 'training', 'query', query, 'rows', counted,
            'features', jsonb_array_length(features)));
    RETURN counted;
END
$$;
COMMENT ON FUNCTION modelopt_private.put_reference(text, jsonb, text) IS
    'gives a version a reference that was made before or elsewhere: an array of the rows of modelopt.profile(), as JSON objects; returns its rows';

CREATE FUNCTION modelopt_private.set_reference_from_serving(ref text, rows integer DEFAULT 1000) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.version := find_version(ref, 'write');
    collecting modelopt_private.drift_reference;
    features jsonb;
    counted bigint;
BEGIN
    IF rows IS NULL OR rows NOT BETWEEN 100 AND 1000000 THEN
        RAISE EXCEPTION 'a reference from serving takes at least 100 rows, and at most a million' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO collecting FROM drift_reference r WHERE r.version_id = target.id FOR UPDATE;
    IF collecting.id IS NULL OR collecting.wanted_rows IS NULL THEN
        PERFORM make_reference(target, 'serving', NULL, NULL, rows);
        PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'collect reference',
            jsonb_build_object('version', target.version, 'rows', rows));
        RETURN 0;
    END IF;
    SELECT jsonb_agg(to_jsonb(c)), coalesce(min((SELECT sum(u) FROM unnest(c.counts) u)), 0)
    INTO features, counted FROM read_collected(collecting.id) c;
    IF counted >= collecting.wanted_rows THEN
        PERFORM add_features(collecting.id, features);
        UPDATE drift_reference r SET rows = counted, wanted_rows = NULL, set_by = caller(), set_at = clock_timestamp()
        WHERE r.id = collecting.id;
    END IF;
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'set reference',
        jsonb_build_object('version', target.version, 'source', 'serving', 'rows', counted, 'done', counted >= collecting.wanted_rows));
    RETURN counted;
END
$$;
COMMENT ON FUNCTION modelopt_private.set_reference_from_serving(text, integer) IS
    'begins to collect what a version is given, and when it is called again once as many rows have come, makes them its reference; returns the rows collected so far. Values are kept in shared memory until then, and features are called input1, input2, ..., output1, ...';

CREATE FUNCTION modelopt_private.drop_reference(ref text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.version := find_version(ref, 'write');
BEGIN
    DELETE FROM drift_reference r WHERE r.version_id = target.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version "%" has no reference', version_name(target.id) USING ERRCODE = 'undefined_object';
    END IF;
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'drop reference',
        jsonb_build_object('version', target.version));
END
$$;
COMMENT ON FUNCTION modelopt_private.drop_reference(text) IS 'removes the reference of a version, and what was counted against it';

-- ---------- thresholds ----------

-- Where warning and drift begin unless somebody says otherwise.
CREATE FUNCTION modelopt_private.default_thresholds() RETURNS TABLE (metric text, warn double precision, alert double precision)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    VALUES ('psi', 0.1::double precision, 0.2::double precision), ('js', 0.1, 0.2), ('wasserstein', 0.1, 0.25), ('ks', 0.1, 0.2),
        ('linf', 0.05, 0.1), ('null_rate', 0.01, 0.05), ('out_of_range', 0.01, 0.05)
$$;

CREATE FUNCTION modelopt_private.set_drift_threshold(model text, metric text, warn double precision, alert double precision, feature text DEFAULT '')
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := find_model(model, 'write');
BEGIN
    IF metric IS NULL OR metric NOT IN (SELECT d.metric FROM default_thresholds() d) THEN
        RAISE EXCEPTION 'unrecognized metric "%"', metric
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Metrics are psi, js, wasserstein, ks, linf, null_rate and out_of_range.';
    END IF;
    IF (warn IS NULL) <> (alert IS NULL) OR warn < 0 OR NOT alert >= warn THEN
        RAISE EXCEPTION 'alert must not be below warn, nor warn below 0' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Without both, the defaults hold again.';
    END IF;
    PERFORM share_model(target);
    DELETE FROM drift_threshold t WHERE t.model_id = target.id AND t.feature = coalesce(set_drift_threshold.feature, '') AND t.metric = set_drift_threshold.metric;
    IF warn IS NOT NULL THEN
        INSERT INTO drift_threshold VALUES (target.id, coalesce(feature, ''), metric, warn, alert);
    END IF;
    PERFORM add_audit(target.id, target.name, 'set drift threshold',
        jsonb_build_object('feature', feature, 'metric', metric, 'warn', warn, 'alert', alert));
END
$$;
COMMENT ON FUNCTION modelopt_private.set_drift_threshold(text, text, double precision, double precision, text) IS
    'sets from where on a metric (psi, js, wasserstein, ks, linf, null_rate or out_of_range) of a feature, or of all, is a warning and from where on it is drift; with nulls the defaults hold again';

-- ---------- what there is ----------

CREATE FUNCTION modelopt_private.drift_values(OUT model_id bigint, OUT model_name text, OUT version integer, OUT number integer, OUT feature text,
    OUT kind text, OUT window_start timestamptz, OUT window_end timestamptz, OUT reference_kind text, OUT ref_rows bigint,
    OUT n bigint, OUT n_null bigint, OUT n_out_of_range bigint, OUT psi double precision, OUT psi_noise_floor double precision,
    OUT js double precision, OUT wasserstein double precision, OUT ks double precision, OUT linf double precision,
    OUT mean_ref double precision, OUT mean_cur double precision, OUT mean_shift double precision,
    OUT null_rate_delta double precision, OUT out_of_range_rate double precision) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT m.id, m.name, r.version, f.number, f.name, CASE WHEN f.number < 0 THEN 'output' ELSE f.kind END,
        d.window_start, d.window_end, r.source, x.ref_rows, x.n, x.n_null, x.n_out_of_range, x.psi, x.psi_noise_floor,
        x.js, x.wasserstein, x.ks, x.linf, f.mean, x.mean_cur, x.mean_shift,
        x.null_rate_delta, x.out_of_range_rate
    FROM modelopt_private.drift_reference r
        JOIN modelopt_private.known_models() m ON m.id = r.model_id
        JOIN modelopt_private.drift_feature f ON f.reference_id = r.id
        LEFT JOIN modelopt_private.read_drift() d ON d.reference_id = r.id AND d.number = f.number
            AND cardinality(d.counts) = cardinality(f.counts)
        CROSS JOIN LATERAL (SELECT count(*)::integer FROM modelopt_private.drift_feature o WHERE o.reference_id = r.id) features (count)
        CROSS JOIN LATERAL modelopt_private.drift_distances(f.counts, f.sums,
            coalesce(d.counts, array_fill(0::bigint, ARRAY[cardinality(f.counts)])),
            coalesce(d.sums, array_fill(0::double precision, ARRAY[cardinality(f.counts)])),
            f.mean, CASE WHEN f.kind = 'numeric' THEN coalesce(f.deviation, 0) END, features.count) x
$$;

-- What of a feature is above what: its reasons, worst first, with 2 for drift
-- and 1 for a warning.
CREATE FUNCTION modelopt_private.drift_findings(wanted_model bigint, wanted_feature text, psi double precision, psi_noise_floor double precision,
    js double precision, wasserstein double precision, ks double precision, linf double precision,
    null_rate_delta double precision, out_of_range_rate double precision, n bigint,
    OUT level integer, OUT reason text) RETURNS record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT max(f.level), string_agg(f.reason, '; ' ORDER BY f.level DESC, f.reason)
    FROM (
        SELECT CASE
                WHEN v.value >= t.alert AND CASE WHEN v.metric IN ('null_rate', 'out_of_range') THEN n * v.value >= 20
                    ELSE psi > psi_noise_floor END THEN CASE WHEN v.decides THEN 2 ELSE 1 END
                WHEN v.value >= t.warn AND CASE WHEN v.metric IN ('null_rate', 'out_of_range') THEN n * v.value >= 20
                    ELSE psi > psi_noise_floor END THEN 1 END AS level,
            format('%s %s is at least %s', v.metric, round(v.value::numeric, 4),
                CASE WHEN v.value >= t.alert THEN t.alert ELSE t.warn END) AS reason
        FROM (VALUES ('psi', psi, true), ('js', js, false), ('wasserstein', wasserstein, false), ('ks', ks, false), ('linf', linf, false),
                ('null_rate', null_rate_delta, true), ('out_of_range', out_of_range_rate, true)) v (metric, value, decides)
            JOIN LATERAL (
                SELECT c.warn, c.alert
                FROM (SELECT o.warn, o.alert, CASE o.feature WHEN '' THEN 1 ELSE 0 END AS rank FROM modelopt_private.drift_threshold o
                      WHERE o.model_id = wanted_model AND o.metric = v.metric AND o.feature IN ('', wanted_feature)
                      UNION ALL
                      SELECT d.warn, d.alert, 2 FROM modelopt_private.default_thresholds() d WHERE d.metric = v.metric) c
                ORDER BY c.rank LIMIT 1) t ON true) f
    WHERE f.level IS NOT NULL
$$;

CREATE FUNCTION modelopt_private.stat_drift(OUT model_id bigint, OUT model_name text, OUT version integer, OUT feature text, OUT kind text,
    OUT window_start timestamptz, OUT window_end timestamptz, OUT reference_kind text, OUT ref_rows bigint,
    OUT n bigint, OUT n_null bigint, OUT n_out_of_range bigint, OUT psi double precision, OUT psi_noise_floor double precision,
    OUT js double precision, OUT wasserstein double precision, OUT ks double precision, OUT linf double precision,
    OUT mean_ref double precision, OUT mean_cur double precision, OUT mean_shift double precision,
    OUT null_rate_delta double precision, OUT out_of_range_rate double precision, OUT status text, OUT reason text) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT modelopt_private.require_preloaded();
    SELECT v.model_id, v.model_name, v.version, v.feature, v.kind, v.window_start, v.window_end, v.reference_kind, v.ref_rows,
        v.n, v.n_null, v.n_out_of_range, v.psi, v.psi_noise_floor, v.js, v.wasserstein, v.ks, v.linf,
        v.mean_ref, v.mean_cur, v.mean_shift, v.null_rate_delta, v.out_of_range_rate,
        CASE WHEN v.n < needed.rows THEN 'insufficient' WHEN f.level = 2 THEN 'drift' WHEN f.level = 1 THEN 'warn' ELSE 'ok' END,
        CASE WHEN v.n < needed.rows THEN format('%s rows of at least %s', v.n, needed.rows) ELSE f.reason END
    FROM modelopt_private.drift_values() v
        CROSS JOIN LATERAL (SELECT current_setting('modelopt.drift_min_rows')::bigint) needed (rows)
        CROSS JOIN LATERAL modelopt_private.drift_findings(v.model_id, v.feature, v.psi, v.psi_noise_floor, v.js, v.wasserstein, v.ks, v.linf,
            v.null_rate_delta, v.out_of_range_rate, v.n) f
    UNION ALL
    SELECT m.id, m.name, r.version, NULL, NULL, NULL, NULL, r.source, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        'no_reference', format('%s rows are being collected', r.wanted_rows)
    FROM modelopt_private.drift_reference r JOIN modelopt_private.known_models() m ON m.id = r.model_id
    WHERE r.wanted_rows IS NOT NULL
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
    SELECT m.id, m.name, r.version, f.name, b.bin::integer,
        CASE WHEN f.kind = 'numeric' AND b.bin <= bins.n THEN f.edges[b.bin - 1] END,
        CASE WHEN f.kind = 'numeric' AND b.bin <= bins.n THEN f.edges[b.bin] END,
        CASE WHEN b.bin > bins.n THEN (ARRAY['null', 'not finite'])[b.bin - bins.n]
            WHEN f.kind = 'categorical' THEN coalesce(f.categories[b.bin], 'other') END,
        b.ref_count, coalesce(b.count, 0),
        CASE WHEN b.bin <= bins.n THEN b.ref_count / nullif(bins.ref_total, 0)::double precision END,
        CASE WHEN b.bin <= bins.n THEN coalesce(b.count, 0) / nullif(bins.total, 0)::double precision END,
        CASE WHEN b.bin <= bins.n AND bins.total > 0 THEN (q.share - p.share) * ln(q.share / p.share) END
    FROM modelopt_private.drift_reference r
        JOIN modelopt_private.models_of_known_data() m ON m.id = r.model_id
        JOIN modelopt_private.drift_feature f ON f.reference_id = r.id
        LEFT JOIN modelopt_private.read_drift() d ON d.reference_id = r.id AND d.number = f.number
            AND cardinality(d.counts) = cardinality(f.counts)
        CROSS JOIN LATERAL (
            SELECT cardinality(f.counts) - 4 AS n, (SELECT sum(c) FROM unnest(f.counts[:cardinality(f.counts) - 4]) c) AS ref_total,
                (SELECT sum(c) FROM unnest(d.counts[:cardinality(f.counts) - 4]) c) AS total) bins
        CROSS JOIN LATERAL unnest(f.counts, d.counts) WITH ORDINALITY b (ref_count, count, bin)
        CROSS JOIN LATERAL (SELECT (b.ref_count + 0.5) / (bins.ref_total + 0.5 * bins.n)) p (share)
        CROSS JOIN LATERAL (SELECT (coalesce(b.count, 0) + 0.5) / (bins.total + 0.5 * bins.n)) q (share)
    WHERE b.bin <= bins.n + 2
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
    'forgets what was counted against the reference of a version, or of all; the references stay. For those with the privilege admin on the model, or for the owner of the extension';

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
