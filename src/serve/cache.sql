-- What a session has loaded.

CREATE FUNCTION modelopt.cached_models(OUT digest text, OUT source text, OUT run_mode text, OUT threads integer,
        OUT bytes bigint, OUT runs bigint, OUT loaded_at timestamptz, OUT last_run timestamptz) RETURNS SETOF record
    LANGUAGE C STABLE PARALLEL RESTRICTED
    AS 'MODULE_PATHNAME', 'modelopt_cached_models';
COMMENT ON FUNCTION modelopt.cached_models() IS
    'the models that this session has loaded to run, the last used one first; what modelopt.model_cache shows';

-- A version has a name for who may see it; a content may have many, or none.
CREATE VIEW modelopt.model_cache WITH (security_barrier) AS
SELECT v.model AS model_name, v.version, c.digest, c.source, c.run_mode, c.threads, c.bytes, c.runs, c.loaded_at, c.last_run
FROM modelopt.cached_models() c LEFT JOIN modelopt.versions v ON c.source = 'version' AND v.digest = c.digest
ORDER BY c.last_run DESC NULLS LAST;
COMMENT ON VIEW modelopt.model_cache IS
    'models that this session has loaded to run, the last used one first; modelopt.cache_size bounds the sum of bytes';
COMMENT ON COLUMN modelopt.model_cache.model_name IS 'the model of the repository; null: a value, or a model that is gone, or is not yours to see any more';
COMMENT ON COLUMN modelopt.model_cache.version IS 'number of the version; null where model_name is';
COMMENT ON COLUMN modelopt.model_cache.digest IS 'SHA-256 of the version, or of the content of a value';
COMMENT ON COLUMN modelopt.model_cache.source IS 'version (of the repository) or value (of type model)';
COMMENT ON COLUMN modelopt.model_cache.run_mode IS 'where it runs: isolated (a process of its own) or inprocess';
COMMENT ON COLUMN modelopt.model_cache.threads IS 'threads that it computes with';
COMMENT ON COLUMN modelopt.model_cache.bytes IS 'its size as an ONNX file, in bytes; what the runtime takes is about as much and more';
COMMENT ON COLUMN modelopt.model_cache.runs IS 'runs of the runtime since it was loaded; one may be of many rows';
COMMENT ON COLUMN modelopt.model_cache.loaded_at IS 'when it was loaded';
COMMENT ON COLUMN modelopt.model_cache.last_run IS 'when it ran last; null: not yet';
GRANT SELECT ON modelopt.model_cache TO PUBLIC;
