-- Where warning and drift begin.

CREATE FUNCTION modelopt_private.default_thresholds() RETURNS TABLE (metric text, warn double precision, alert double precision)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    VALUES ('psi', 0.1::double precision, 0.2::double precision), ('js', 0.1, 0.2), ('wasserstein', 0.1, 0.25), ('ks', 0.1, 0.2),
        ('linf', 0.05, 0.1), ('null_rate', 0.01, 0.05), ('out_of_range', 0.01, 0.05)
$$;

-- Raises when no reference of the model has such a feature.
CREATE FUNCTION modelopt_private.check_feature(target modelopt_private.named_model, feature text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    known constant text[] := ARRAY(SELECT DISTINCT f.name FROM drift_feature f JOIN drift_reference r ON r.id = f.reference_id
                                   WHERE r.model_id = target.id ORDER BY f.name);
BEGIN
    IF feature = ANY (known) THEN
        RETURN;
    ELSIF known = '{}' THEN
        RAISE EXCEPTION 'model "%" has no feature "%"', target.name, feature USING ERRCODE = 'undefined_object',
            DETAIL = 'No version of it has a reference.', HINT = 'modelopt.set_reference() makes one.';
    END IF;
    RAISE EXCEPTION 'model "%" has no feature "%"', target.name, feature USING ERRCODE = 'undefined_object',
        DETAIL = format('The features of its references are %s.',
            array_to_string(known[:30], ', ') || CASE WHEN cardinality(known) > 30 THEN format(' and %s more', cardinality(known) - 30) ELSE '' END),
        HINT = 'modelopt.stat_drift has them. Without a feature the threshold is that of all.';
END
$$;

CREATE FUNCTION modelopt_private.set_drift_threshold(model text, metric text, warn double precision DEFAULT NULL, alert double precision DEFAULT NULL,
    feature text DEFAULT '', auto boolean DEFAULT false)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := find_model(model, 'write');
    wanted_feature constant text := coalesce(feature, '');
    wanted_metric constant text := lower(metric);
    is_set constant boolean := auto OR warn IS NOT NULL;
    replaced boolean;
BEGIN
    IF wanted_metric IS NULL OR wanted_metric NOT IN (SELECT d.metric FROM default_thresholds() d) THEN
        RAISE EXCEPTION 'unrecognized metric "%"', metric
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Metrics are psi, js, wasserstein, ks, linf, null_rate and out_of_range.';
    END IF;
    IF auto AND (warn IS NOT NULL OR alert IS NOT NULL) THEN
        RAISE EXCEPTION 'a threshold that is found has no numbers' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Say auto, or warn and alert.';
    END IF;
    IF (warn IS NULL) <> (alert IS NULL) THEN
        RAISE EXCEPTION '% is missing', CASE WHEN warn IS NULL THEN 'warn' ELSE 'alert' END USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Say from where on the metric is a warning (warn) and from where on it is drift (alert). Without both, the defaults hold again.';
    END IF;
    IF warn < 0 OR NOT alert >= warn THEN
        RAISE EXCEPTION 'alert must not be below warn, nor warn below 0' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Without both, the defaults hold again.';
    END IF;
    PERFORM share_model(target);
    DELETE FROM drift_threshold t WHERE t.model_id = target.id AND t.feature = wanted_feature AND t.metric = wanted_metric;
    replaced := FOUND;
    -- A threshold of a feature that is no more can go.
    IF wanted_feature <> '' AND (is_set OR NOT replaced) THEN
        PERFORM check_feature(target, wanted_feature);
    END IF;
    IF is_set THEN
        INSERT INTO drift_threshold VALUES (target.id, wanted_feature, wanted_metric, warn, alert);
    END IF;
    PERFORM add_audit(target.id, target.name, 'set drift threshold',
        jsonb_build_object('feature', feature, 'metric', wanted_metric, 'warn', warn, 'alert', alert) || CASE WHEN auto THEN '{"auto": true}' ELSE '{}' END::jsonb);
END
$$;
COMMENT ON FUNCTION modelopt_private.set_drift_threshold(text, text, double precision, double precision, text, boolean) IS
    'sets from where on a metric (psi, js, wasserstein, ks, linf, null_rate or out_of_range) of a feature, or of all, is a warning (warn) and from where on it is drift (alert); with auto both are the mean of the metric over the last 24 windows without drift or warning, but not those that are judged, and three standard deviations more, once there are five such windows; with none of these the defaults hold again. The column thresholds of modelopt.stat_drift has what holds';

-- What holds for a metric of a feature, that of the feature before that of the model;
-- found is what windows before have, or null.
CREATE FUNCTION modelopt_private.threshold(wanted_model bigint, wanted_feature text, wanted_metric text, found double precision)
    RETURNS TABLE (warn double precision, alert double precision, source text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT c.warn, c.alert, c.source
    FROM (SELECT coalesce(o.warn, found) AS warn, coalesce(o.alert, found) AS alert, CASE WHEN o.warn IS NULL THEN 'auto' ELSE 'set' END AS source,
              CASE o.feature WHEN '' THEN 1 ELSE 0 END AS rank
          FROM modelopt_private.drift_threshold o
          WHERE o.model_id = wanted_model AND o.metric = wanted_metric AND o.feature IN ('', wanted_feature)
          UNION ALL
          SELECT d.warn, d.alert, 'default', 2 FROM modelopt_private.default_thresholds() d WHERE d.metric = wanted_metric) c
    WHERE c.warn IS NOT NULL
    ORDER BY c.rank LIMIT 1
$$;

-- What of a feature is above what: its reasons, worst first, with 2 for drift and 1
-- for a warning; and the thresholds.  found has for each metric the threshold that
-- windows before have, and of how many it is.
CREATE FUNCTION modelopt_private.drift_findings(wanted_model bigint, wanted_feature text, psi double precision, psi_noise_floor double precision,
    js double precision, wasserstein double precision, ks double precision, linf double precision,
    null_rate_delta double precision, out_of_range_rate double precision, n bigint, found jsonb)
    RETURNS TABLE (level integer, reason text, thresholds jsonb)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT max(f.level), string_agg(f.reason, '; ' ORDER BY f.level DESC, f.reason) FILTER (WHERE f.level IS NOT NULL),
        jsonb_object_agg(f.metric, f.threshold)
    FROM (
        SELECT v.metric,
            CASE WHEN NOT counts THEN NULL
                WHEN v.value >= t.alert AND v.decides THEN 2
                WHEN v.value >= t.warn THEN 1 END AS level,
            format('%s %s is at least %s', v.metric, round(v.value::numeric, 4),
                CASE WHEN t.source = 'auto' THEN format('%s, found by %s windows', round(t.alert::numeric, 4), w.windows)
                    WHEN v.value >= t.alert THEN t.alert::text ELSE t.warn::text END) AS reason,
            jsonb_strip_nulls(jsonb_build_object('warn', t.warn, 'alert', t.alert, 'source', t.source, 'windows', w.windows)) AS threshold
        FROM (VALUES ('psi', psi, true), ('js', js, false), ('wasserstein', wasserstein, false), ('ks', ks, false), ('linf', linf, false),
                ('null_rate', null_rate_delta, true), ('out_of_range', out_of_range_rate, true)) v (metric, value, decides)
            CROSS JOIN LATERAL (SELECT CASE WHEN v.metric IN ('null_rate', 'out_of_range') THEN n * v.value >= 20 ELSE psi > psi_noise_floor END) c (counts)
            CROSS JOIN LATERAL (SELECT (found->v.metric->>'windows')::integer, (found->v.metric->>'threshold')::double precision) w (windows, threshold)
            CROSS JOIN LATERAL modelopt_private.threshold(wanted_model, wanted_feature, v.metric, CASE WHEN w.windows >= 5 THEN w.threshold END) t) f
$$;
