-- Drift: what models are given now, against what they were made for.

CREATE FUNCTION modelopt_private.reference_changed() RETURNS trigger
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'modelopt_reference_changed';
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON modelopt_private.drift_reference
    FOR EACH ROW EXECUTE FUNCTION modelopt_private.reference_changed();
ALTER TABLE modelopt_private.drift_reference ENABLE ALWAYS TRIGGER changed;

CREATE FUNCTION modelopt_private.read_drift(OUT reference_id bigint, OUT number integer, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT counts bigint[], OUT sums double precision[], OUT previous_counts bigint[], OUT previous_sums double precision[]) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_read_drift';
CREATE FUNCTION modelopt_private.read_drift_windows(reference bigint, OUT reference_id bigint, OUT number integer, OUT window_start timestamptz,
    OUT window_end timestamptz, OUT counts bigint[], OUT sums double precision[], OUT previous_counts bigint[], OUT previous_sums double precision[])
    RETURNS SETOF record
    LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_read_drift_windows';
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

-- Features of drift_feature, as profile() makes them, with their places in the model.
-- Those that were collected are called like these.
CREATE FUNCTION modelopt_private.add_features(reference bigint, features jsonb, named boolean) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    counted bigint;
BEGIN
    INSERT INTO drift_feature (reference_id, number, name, kind, edges, categories, counts, sums, mean, deviation, minimum, maximum, port, "position")
    SELECT reference, f.number,
        CASE WHEN named THEN f.name ELSE coalesce(f.port || CASE WHEN count(*) OVER (PARTITION BY f.port, sign(f.number)) > 1 THEN format('[%s]', f."position") ELSE '' END,
            CASE WHEN f.number > 0 THEN 'input' ELSE 'output' END || abs(f.number)) END,
        f.kind, f.edges, f.categories, f.counts, f.sums, f.mean, f.deviation, f.minimum, f.maximum, f.port, f."position"
    FROM jsonb_to_recordset(features) f (number integer, name text, kind text, edges double precision[], categories text[],
        counts bigint[], sums double precision[], mean double precision, deviation double precision, minimum double precision,
        maximum double precision, port text, "position" bigint);
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

-- A reference of features that are known; told is what the audit says beside that.
CREATE FUNCTION modelopt_private.add_reference(target modelopt_private.version, source text, query text, features jsonb, told jsonb DEFAULT '{}') RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    few constant integer := 100;
    made bigint := make_reference(target, source, query, 0, NULL);
    counted bigint;
BEGIN
    PERFORM require_content(target.id);
    counted := add_features(made, fitted_features(target.tree_id, features), true);
    UPDATE drift_reference r SET rows = counted WHERE r.id = made;
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'set reference',
        jsonb_build_object('version', target.version, 'source', source, 'query', query, 'rows', counted,
            'features', jsonb_array_length(features)) || told);
    IF counted < few THEN
        RAISE NOTICE 'the reference of version "%" has few rows: %', version_name(target.id), counted
            USING HINT = format('With fewer than %s, only a large drift can be told from chance.', few);
    END IF;
    RETURN counted;
END
$$;

CREATE FUNCTION modelopt_private.put_reference(ref text, features jsonb, query text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN add_reference(find_version(ref, 'write'), 'training', query, features);
END
$$;
COMMENT ON FUNCTION modelopt_private.put_reference(text, jsonb, text) IS
    'gives a version a reference that was made before or elsewhere: an array of the rows of modelopt.profile(), as JSON objects; returns its rows. Features must fit the model as those of modelopt.set_reference()';

-- What a reference was made of is for who may read or write its model.
CREATE FUNCTION modelopt_private.copy_reference(from_ref text, to_ref text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.version := find_version(to_ref, 'write');
    origin modelopt_private.version := find_version(from_ref, 'usage');
    reference modelopt_private.drift_reference;
    counted bigint;
BEGIN
    IF NOT may(origin.model_id, 'write') THEN
        PERFORM require(origin.model_id, 'read');
    END IF;
    SELECT * INTO reference FROM drift_reference r WHERE r.version_id = origin.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version "%" has no reference', version_name(origin.id) USING ERRCODE = 'undefined_object',
            HINT = 'The view modelopt.stat_references has those that there are.';
    ELSIF reference.rows IS NULL THEN
        RAISE EXCEPTION 'the reference of version "%" is being collected', version_name(origin.id)
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'modelopt.set_reference_from_serving() makes it when its rows have come.';
    END IF;
    counted := add_reference(target, reference.source, reference.query,
        (SELECT jsonb_agg(to_jsonb(f) - '{reference_id,port,position}'::text[]) FROM drift_feature f WHERE f.reference_id = reference.id),
        jsonb_build_object('copied_from', version_name(origin.id)));
    UPDATE drift_reference r SET previous = true WHERE r.version_id = target.id AND reference.previous;
    RETURN counted;
END
$$;
COMMENT ON FUNCTION modelopt_private.copy_reference(text, text) IS
    'compares a version with what another one is compared with: gives the second the reference of the first, for example after a commit; returns its rows. Features must fit the model as those of modelopt.set_reference(). For those with the privilege write on the model, and on that of the first version read or write';

CREATE FUNCTION modelopt_private.begin_reference(target modelopt_private.version, rows integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM make_reference(target, 'serving', NULL, NULL, rows);
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'collect reference',
        jsonb_build_object('version', target.version, 'rows', rows));
END
$$;

-- What a model was given fits it, however it was given.
CREATE FUNCTION modelopt_private.fitted_collected(tree_id bigint, features jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN fitted_features(tree_id, features);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN features;
END
$$;

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
        PERFORM begin_reference(target, rows);
        RETURN 0;
    END IF;
    SELECT jsonb_agg(to_jsonb(c)), coalesce(min((SELECT sum(u) FROM unnest(c.counts) u)), 0)
    INTO features, counted FROM read_collected(collecting.id) c;
    IF counted >= collecting.wanted_rows THEN
        PERFORM require_content(target.id);
        PERFORM add_features(collecting.id, fitted_collected(target.tree_id, features), false);
        UPDATE drift_reference r SET rows = counted, wanted_rows = NULL, set_by = caller(), set_at = clock_timestamp()
        WHERE r.id = collecting.id;
    END IF;
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'set reference',
        jsonb_build_object('version', target.version, 'source', 'serving', 'rows', counted, 'done', counted >= collecting.wanted_rows));
    RETURN counted;
END
$$;
COMMENT ON FUNCTION modelopt_private.set_reference_from_serving(text, integer) IS
    'begins to collect what a version is given, and when it is called again once as many rows have come, makes them its reference; returns the rows collected so far. Values are kept in shared memory until then, of texts the first hundred different ones. Features are called like the inputs and outputs of the model, x[1], x[2], ... where one has several values in a row, or without a graph input1, input2, ..., output1, ...';

CREATE FUNCTION modelopt_private.set_reference_to_previous(ref text, previous boolean DEFAULT true) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.version := find_version(ref, 'write');
    counted bigint;
BEGIN
    IF coalesce(previous, true) AND NOT EXISTS (SELECT FROM drift_reference r WHERE r.version_id = target.id) THEN
        PERFORM begin_reference(target, 1000);
    END IF;
    UPDATE drift_reference r SET previous = coalesce(set_reference_to_previous.previous, true) WHERE r.version_id = target.id
    RETURNING coalesce(r.rows, 0) INTO counted;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version "%" has no reference', version_name(target.id) USING ERRCODE = 'undefined_object',
            HINT = 'modelopt.set_reference() or modelopt.set_reference_from_serving() makes one.';
    END IF;
    PERFORM add_audit(target.model_id, (SELECT name FROM named_model WHERE id = target.model_id), 'set reference',
        jsonb_build_object('version', target.version, 'previous', coalesce(previous, true)));
    RETURN counted;
END
$$;
COMMENT ON FUNCTION modelopt_private.set_reference_to_previous(text, boolean) IS
    'compares what a version is given with what it was given before: the newest windows that have modelopt.drift_min_rows rows with those before them. The version''s reference says which bins are counted; with previous => false it is what is compared with again. For a version without one the first 1000 rows are collected, as modelopt.set_reference_from_serving() does, which makes the bins when it is called again; returns the rows that the bins are made of, 0 when they are yet to be';

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
