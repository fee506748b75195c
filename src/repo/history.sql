-- Looking at history.

-- A version and what it comes from, as far back as first parents go.
CREATE FUNCTION modelopt_private.first_parents(start bigint) RETURNS TABLE (id bigint, number bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    WITH RECURSIVE line (id, number) AS (
        SELECT start, 1::bigint
        UNION ALL
        SELECT p.parent_id, line.number + 1
        FROM line JOIN modelopt_private.version_parent p ON p.version_id = line.id AND p.number = 1)
    SELECT line.id, line.number FROM line
$$;

-- A version and all that it comes from.  OFFSET 0 keeps the planner from a join
-- that reads all versions in each step.
CREATE FUNCTION modelopt_private.ancestors(start bigint) RETURNS TABLE (id bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    WITH RECURSIVE known (id) AS (
        SELECT start
        UNION
        SELECT p.parent_id
        FROM known, LATERAL (
            SELECT p.parent_id FROM modelopt_private.version_parent p WHERE p.version_id = known.id OFFSET 0) p)
    SELECT known.id FROM known
$$;

CREATE FUNCTION modelopt_private.log(ref text, max_count bigint DEFAULT NULL, since timestamptz DEFAULT NULL,
    OUT version integer, OUT committed_at timestamptz, OUT author text, OUT message text, OUT relation text, OUT parent text,
    OUT parameters bigint, OUT sparsity double precision, OUT raw_bytes bigint, OUT new_bytes bigint, OUT stored_bytes bigint,
    OUT params jsonb, OUT metrics jsonb, OUT refs text[], OUT recipe jsonb, OUT digest text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
DECLARE
    start modelopt_private.version := find_version(ref, 'usage');
BEGIN
    RETURN QUERY
    SELECT v.version, v.committed_at, v.author, v.message, v.relation, version_name(p.parent_id),
        t.parameters, t.zeros::double precision / nullif(t.parameters, 0), t.raw_bytes, v.new_bytes, v.stored_bytes,
        v.params, coalesce(measured.metrics, '{}'), coalesce(named.refs, '{}'), v.recipe, encode(v.digest, 'hex')
    FROM (SELECT a.id FROM ancestors(start.id) a) a
        JOIN version v ON v.id = a.id
        JOIN tree t ON t.id = v.tree_id
        LEFT JOIN version_parent p ON p.version_id = v.id AND p.number = 1
        LEFT JOIN (
            SELECT DISTINCT ON (m.version_id) m.version_id, jsonb_object_agg(m.name, m.value) OVER (PARTITION BY m.version_id
                ORDER BY m.id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS metrics
            FROM metric m) measured ON measured.version_id = v.id
        LEFT JOIN (
            SELECT r.version_id, array_agg(CASE r.kind WHEN 'branch' THEN '/' WHEN 'tag' THEN ':' ELSE '@' END || r.name
                ORDER BY r.kind, r.name) AS refs
            FROM ref r GROUP BY r.version_id) named ON named.version_id = v.id
    WHERE since IS NULL OR v.committed_at >= since
    ORDER BY v.committed_at DESC, v.id DESC
    LIMIT max_count;
END
$$;
COMMENT ON FUNCTION modelopt_private.log(text, bigint, timestamptz) IS
    'a version and all that it comes from, the newest first. raw_bytes: of all tensors, decoded; new_bytes: of those that came with this version; stored_bytes: what these take in the repository';
