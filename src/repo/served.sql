-- Versions to run: what serving asks for, which needs no right to weights.

CREATE FUNCTION modelopt_private.served(ref text, OUT model_id bigint, OUT version integer, OUT tree_id bigint,
        OUT digest bytea)
    LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
    AS $$
DECLARE
    wanted modelopt_private.version := find_version(ref, 'usage');
BEGIN
    PERFORM require_content(wanted.id);
    SELECT wanted.model_id, wanted.version, wanted.tree_id, wanted.digest
        INTO served.model_id, served.version, served.tree_id, served.digest;
END
$$;
