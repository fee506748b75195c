-- What a session has loaded.

CREATE FUNCTION modelopt.cached_models(OUT digest text, OUT source text, OUT run_mode text, OUT threads integer,
        OUT bytes bigint, OUT runs bigint, OUT loaded_at timestamptz, OUT last_run timestamptz) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_cached_models';
COMMENT ON FUNCTION modelopt.cached_models() IS
    'the models that this session has loaded to run, the last used one first; what modelopt.model_cache shows';

CREATE VIEW modelopt.model_cache WITH (security_barrier) AS SELECT * FROM modelopt.cached_models();
COMMENT ON VIEW modelopt.model_cache IS
    'models that this session has loaded to run, the last used one first; digest: of the version, or of a value''s content; source: version or value; bytes: as an ONNX file; runs: of the runtime. modelopt.cache_size bounds the sum of bytes';
GRANT SELECT ON modelopt.model_cache TO PUBLIC;
