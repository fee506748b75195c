-- Statistics of models: who may see and reset them.
--
-- Numbers are anybody's to see, as those of statements are.  Of which model they
-- are is for who has a privilege on it, and members of pg_read_all_stats.

-- Raises unless the library was preloaded, which functions that may find nothing
-- to count ask first.
CREATE FUNCTION modelopt_private.require_preloaded() RETURNS void
    LANGUAGE C STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_require_preloaded';

-- What a model counted goes with it.
CREATE FUNCTION modelopt_private.model_dropped() RETURNS trigger
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'modelopt_model_dropped';
CREATE TRIGGER dropped AFTER DELETE ON modelopt_private.named_model
    FOR EACH ROW EXECUTE FUNCTION modelopt_private.model_dropped();

-- Whether there is no such model, whose statistics go then, if it was dropped where nobody noticed.
CREATE FUNCTION modelopt_private.forget_if_dropped(model_id bigint) RETURNS boolean
    LANGUAGE C STRICT PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_forget_if_dropped';

-- All of it: of each user, or of all users together (userid is null then).
-- Times are in milliseconds, sizes in bytes.
CREATE FUNCTION modelopt_private.read_stat_entries(by_user boolean,
    OUT dbid oid, OUT userid oid, OUT model_id bigint, OUT version integer, OUT runtime text,
    OUT calls bigint, OUT rows bigint, OUT batches bigint,
    OUT errors bigint, OUT errors_input bigint, OUT errors_model bigint, OUT errors_canceled bigint, OUT errors_resource bigint,
    OUT total_time double precision, OUT min_time double precision, OUT max_time double precision,
    OUT mean_time double precision, OUT stddev_time double precision,
    OUT p50_time double precision, OUT p90_time double precision, OUT p95_time double precision, OUT p99_time double precision,
    OUT load_time double precision, OUT prepare_time double precision, OUT infer_time double precision,
    OUT cache_lookups bigint, OUT cache_hits bigint, OUT cache_evictions bigint,
    OUT model_bytes_read bigint, OUT input_bytes bigint, OUT output_bytes bigint,
    OUT null_inputs bigint, OUT rejected_rows bigint,
    OUT first_call timestamptz, OUT last_call timestamptz, OUT stats_since timestamptz, OUT minmax_stats_since timestamptz,
    OUT histogram bigint[]) RETURNS SETOF record
    LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_read_stat_entries';

CREATE FUNCTION modelopt_private.reads_all_stats() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$ SELECT pg_catalog.pg_has_role(modelopt_private.authority()::name, 'pg_read_all_stats', 'USAGE') $$;

-- Models of this database that the authority may know of, by number.
CREATE FUNCTION modelopt_private.known_models() RETURNS TABLE (id bigint, name text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT m.id, m.name FROM modelopt_private.named_model m
    WHERE modelopt_private.reads_all_stats() OR modelopt_private.may(m.id, 'usage')
$$;

-- Versions of these models; referred_to: by a branch, tag or alias.
CREATE FUNCTION modelopt_private.stat_versions(OUT model_name text, OUT version integer, OUT parameters bigint, OUT raw_bytes bigint,
    OUT referred_to boolean) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT m.name, v.version, t.parameters, t.raw_bytes, EXISTS (SELECT FROM modelopt_private.ref r WHERE r.version_id = v.id)
    FROM modelopt_private.known_models() m
        JOIN modelopt_private.version v ON v.model_id = m.id
        JOIN modelopt_private.tree t ON t.id = v.tree_id
$$;
COMMENT ON FUNCTION modelopt_private.stat_versions() IS
    'versions of models that the current role may see, as one with usage on them or as one of pg_read_all_stats; what the view modelopt.prom_info is made of';

CREATE FUNCTION modelopt_private.stat_entries(by_user boolean,
    OUT dbid oid, OUT userid oid, OUT model_id bigint, OUT model_name text, OUT version integer, OUT runtime text,
    OUT calls bigint, OUT rows bigint, OUT batches bigint,
    OUT errors bigint, OUT errors_input bigint, OUT errors_model bigint, OUT errors_canceled bigint, OUT errors_resource bigint,
    OUT total_time double precision, OUT min_time double precision, OUT max_time double precision,
    OUT mean_time double precision, OUT stddev_time double precision,
    OUT p50_time double precision, OUT p90_time double precision, OUT p95_time double precision, OUT p99_time double precision,
    OUT load_time double precision, OUT prepare_time double precision, OUT infer_time double precision,
    OUT cache_lookups bigint, OUT cache_hits bigint, OUT cache_evictions bigint,
    OUT model_bytes_read bigint, OUT input_bytes bigint, OUT output_bytes bigint,
    OUT null_inputs bigint, OUT rejected_rows bigint,
    OUT first_call timestamptz, OUT last_call timestamptz, OUT stats_since timestamptz, OUT minmax_stats_since timestamptz,
    OUT histogram bigint[]) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT PARALLEL RESTRICTED
    AS $$
    SELECT e.dbid, e.userid, CASE WHEN told.told THEN e.model_id END, m.name, CASE WHEN told.told THEN e.version END, e.runtime,
        e.calls, e.rows, e.batches, e.errors, e.errors_input, e.errors_model, e.errors_canceled, e.errors_resource,
        e.total_time, e.min_time, e.max_time, e.mean_time, e.stddev_time, e.p50_time, e.p90_time, e.p95_time, e.p99_time,
        e.load_time, e.prepare_time, e.infer_time, e.cache_lookups, e.cache_hits, e.cache_evictions,
        e.model_bytes_read, e.input_bytes, e.output_bytes, e.null_inputs, e.rejected_rows,
        e.first_call, e.last_call, e.stats_since, e.minmax_stats_since, e.histogram
    FROM modelopt_private.read_stat_entries(by_user) e
        CROSS JOIN (SELECT oid, modelopt_private.reads_all_stats() AS reads_all
                    FROM pg_catalog.pg_database WHERE datname = current_database()) here
        LEFT JOIN modelopt_private.known_models() m ON m.id = e.model_id AND e.dbid = here.oid
        CROSS JOIN LATERAL (SELECT e.model_id = 0 OR m.id IS NOT NULL OR here.reads_all) told (told)
    WHERE e.model_id = 0 OR m.id IS NOT NULL OR e.dbid <> here.oid OR NOT modelopt_private.forget_if_dropped(e.model_id)
$$;
COMMENT ON FUNCTION modelopt_private.stat_entries(boolean) IS
    'what the views modelopt.stat_models, of each user, and modelopt.stat_summary, of all of them together, are made of, with the histogram of latencies, whose bounds are modelopt.histogram_bounds()';

CREATE FUNCTION modelopt_private.stat_info(OUT preloaded boolean, OUT entries bigint, OUT max_entries bigint, OUT dealloc bigint, OUT dropped bigint,
    OUT evicted_calls bigint, OUT evicted_rows bigint, OUT evicted_errors bigint, OUT stats_reset timestamptz, OUT loaded_from_file boolean,
    OUT shared_bytes bigint, OUT drift_features bigint, OUT drift_pages bigint, OUT drift_max_pages bigint, OUT drift_dropped bigint) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_stat_info';
COMMENT ON FUNCTION modelopt_private.stat_info() IS 'what the view modelopt.stat_info shows';

CREATE FUNCTION modelopt_private.read_activity(OUT pid integer, OUT dbid oid, OUT userid oid, OUT model_id bigint, OUT version integer,
    OUT phase text, OUT rows bigint, OUT started timestamptz) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_read_activity';

CREATE FUNCTION modelopt_private.stat_activity(OUT pid integer, OUT dbid oid, OUT userid oid, OUT model_id bigint, OUT model_name text, OUT version integer,
    OUT phase text, OUT rows bigint, OUT started timestamptz) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT a.pid, a.dbid, a.userid, CASE WHEN told.told THEN a.model_id END, m.name, CASE WHEN told.told THEN a.version END,
        a.phase, a.rows, a.started
    FROM modelopt_private.read_activity() a
        CROSS JOIN (SELECT oid, modelopt_private.reads_all_stats() AS reads_all
                    FROM pg_catalog.pg_database WHERE datname = current_database()) here
        LEFT JOIN modelopt_private.known_models() m ON m.id = a.model_id AND a.dbid = here.oid
        CROSS JOIN LATERAL (SELECT a.model_id = 0 OR m.id IS NOT NULL OR here.reads_all) told (told)
$$;
COMMENT ON FUNCTION modelopt_private.stat_activity() IS 'what the view modelopt.stat_activity shows';

-- ---------- progress ----------

-- For functions that are no C: what begin_progress returns is for end_progress.
CREATE FUNCTION modelopt_private.begin_progress(operation text, phase text, unit text, total bigint) RETURNS integer
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'modelopt_begin_progress';
CREATE FUNCTION modelopt_private.progress_phase(phase text) RETURNS void
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'modelopt_progress_phase';
CREATE FUNCTION modelopt_private.end_progress(began integer) RETURNS void
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'modelopt_end_progress';

CREATE FUNCTION modelopt_private.stat_progress(OUT pid integer, OUT dbid oid, OUT userid oid, OUT operation text, OUT phase text, OUT unit text,
    OUT done bigint, OUT total bigint, OUT started timestamptz) RETURNS SETOF record
    LANGUAGE C VOLATILE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_read_progress';
COMMENT ON FUNCTION modelopt_private.stat_progress() IS 'what the view modelopt.stat_progress shows';

-- ---------- histograms ----------

CREATE FUNCTION modelopt_private.histogram_percentile(buckets bigint[], fractions double precision[]) RETURNS double precision[]
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_histogram_percentile';
COMMENT ON FUNCTION modelopt_private.histogram_percentile(bigint[], double precision[]) IS
    'the latencies, in milliseconds, that these fractions of what a histogram has counted do not exceed, such as {0.5,0.99}; null of one that is empty. Histograms of several versions, users or servers are added up count by count first';

CREATE FUNCTION modelopt_private.histogram_bounds() RETURNS double precision[]
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_histogram_bounds';
COMMENT ON FUNCTION modelopt_private.histogram_bounds() IS
    'the upper bounds, in milliseconds, of the buckets of a histogram of latencies: eight an octave, from a microsecond to two minutes; the last has none';

CREATE FUNCTION modelopt_private.histogram_cumulative(buckets bigint[], step integer DEFAULT 1) RETURNS bigint[]
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_histogram_cumulative';
COMMENT ON FUNCTION modelopt_private.histogram_cumulative(bigint[], integer) IS
    'how many of what a histogram has counted took no longer than the first bound, the one that is step further, and so on: with 8, bounds are powers of two of a second, from 2^-20 to 2^7';

CREATE FUNCTION modelopt_private.histogram_buckets(buckets bigint[], OUT le_ms double precision, OUT count bigint, OUT cumulative bigint)
    RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 20
    AS 'MODULE_PATHNAME', 'modelopt_histogram_buckets';
COMMENT ON FUNCTION modelopt_private.histogram_buckets(bigint[]) IS
    'the buckets of a histogram of latencies that have counted something: their upper bound in milliseconds, what they have counted, and that and all that was faster';

-- ---------- forgetting ----------

CREATE FUNCTION modelopt_private.reset_entries(dbid oid, userid oid, model_id bigint, version integer, minmax_only boolean) RETURNS timestamptz
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'modelopt_reset_entries';

-- Numbers of models begin anew with the extension, and so do their statistics.
CREATE FUNCTION modelopt_private.forget_database() RETURNS void
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'modelopt_forget_database';
SELECT modelopt_private.forget_database();

CREATE FUNCTION modelopt_private.reset_stats(model text DEFAULT NULL, version integer DEFAULT NULL, role name DEFAULT NULL,
    database name DEFAULT NULL, minmax_only boolean DEFAULT false) RETURNS timestamptz
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model;
    target_user oid;
    target_database oid;
    reset_at timestamptz;
BEGIN
    IF model IS NULL THEN
        PERFORM require_owner_of_all();
        IF version IS NOT NULL THEN
            RAISE EXCEPTION 'a version is of a model' USING ERRCODE = 'invalid_parameter_value', HINT = 'Say which: model => ''...''.';
        END IF;
    ELSE
        target := find_model(model, 'admin');
        IF database IS DISTINCT FROM NULL AND database <> current_database() THEN
            RAISE EXCEPTION 'models of another database are reset in that database' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        database := current_database();
    END IF;
    IF role IS NOT NULL THEN
        target_user := role::regrole;
    END IF;
    IF database IS NOT NULL THEN
        SELECT d.oid INTO target_database FROM pg_database d WHERE d.datname = database;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'database "%" does not exist', database USING ERRCODE = 'undefined_database';
        END IF;
    END IF;
    reset_at := reset_entries(target_database, target_user, target.id, version, coalesce(minmax_only, false));
    PERFORM add_audit(coalesce(target.id, 0), coalesce(target.name, ''), 'reset statistics',
        jsonb_build_object('version', version, 'role', role, 'database', database, 'minmax_only', minmax_only));
    RETURN reset_at;
END
$$;
COMMENT ON FUNCTION modelopt_private.reset_stats(text, integer, name, name, boolean) IS
    'forgets what was counted: of one version of a model, of a model, of a role, of a database, or of everything, or with minmax_only only the shortest and longest times; returns when. Everything is also what modelopt.stat_info says was lost; what was counted of features is for modelopt.reset_drift(). Resetting a model is for those with the privilege admin on it, the rest for the owner of the extension';
