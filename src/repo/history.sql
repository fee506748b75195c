-- Looking at history.

-- A version and all that it comes from, in the order of a walk over its parents,
-- or over first parents only; each with its first parent.
CREATE FUNCTION modelopt_private.ancestors(start bigint, first_only boolean DEFAULT false)
    RETURNS TABLE (id bigint, number bigint, parent_id bigint)
    LANGUAGE C STABLE STRICT PARALLEL SAFE ROWS 1000
    AS 'MODULE_PATHNAME', 'modelopt_ancestors';

CREATE FUNCTION modelopt_private.log(ref text, max_count bigint DEFAULT NULL, since timestamptz DEFAULT NULL,
    OUT version integer, OUT committed_at timestamptz, OUT author text, OUT message text, OUT relation text, OUT parent text,
    OUT parameters bigint, OUT sparsity double precision, OUT raw_bytes bigint, OUT new_bytes bigint, OUT stored_bytes bigint,
    OUT params jsonb, OUT metrics jsonb, OUT refs text[], OUT recipe jsonb, OUT digest text, OUT forgotten boolean)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
DECLARE
    start modelopt_private.version := find_version(ref, 'usage');
BEGIN
    RETURN QUERY
    WITH shown AS MATERIALIZED (
        SELECT v.*, a.parent_id
        FROM ancestors(start.id) a
            JOIN version v ON v.id = a.id
        WHERE (since IS NULL OR v.committed_at >= since)
            AND (v.model_id = start.model_id OR may(v.model_id, 'usage'))
        ORDER BY v.committed_at DESC, v.id DESC
        LIMIT max_count)
    SELECT v.version, v.committed_at, v.author, v.message, v.relation, parent_model.name || '#' || pv.version,
        t.parameters, t.zeros::double precision / nullif(t.parameters, 0), t.raw_bytes, v.new_bytes, v.stored_bytes,
        v.params, coalesce(measured.metrics, '{}'), coalesce(named.refs, '{}'), v.recipe, encode(v.digest, 'hex'),
        t.forgotten_at IS NOT NULL
    FROM shown v
        JOIN tree t ON t.id = v.tree_id
        LEFT JOIN version pv ON pv.id = v.parent_id
        LEFT JOIN named_model parent_model ON parent_model.id = pv.model_id
        LEFT JOIN (
            SELECT m.version_id, jsonb_object_agg(m.name, m.value ORDER BY m.id) AS metrics
            FROM metric m WHERE m.version_id IN (SELECT s.id FROM shown s)
            GROUP BY m.version_id) measured ON measured.version_id = v.id
        LEFT JOIN (
            SELECT r.version_id, array_agg(CASE r.kind WHEN 'branch' THEN '/' WHEN 'tag' THEN ':' ELSE '@' END || r.name
                ORDER BY r.kind, r.name) AS refs
            FROM ref r WHERE r.version_id IN (SELECT s.id FROM shown s)
            GROUP BY r.version_id) named ON named.version_id = v.id
    ORDER BY v.committed_at DESC, v.id DESC;
END
$$;
COMMENT ON FUNCTION modelopt_private.log(text, bigint, timestamptz) IS
    'a version and all that it comes from, as far as the current role may see it, the newest first. raw_bytes: of all tensors, decoded; new_bytes: of those that came with this version; stored_bytes: what these take in the repository; forgotten: gc took the version''s content';
