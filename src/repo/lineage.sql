-- Where versions, and the tensors in them, come from.

-- All that comes from a version, and it itself; step by step, as ancestors().
CREATE FUNCTION modelopt_private.descendants(start bigint) RETURNS TABLE (id bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    WITH RECURSIVE known (id) AS (
        SELECT start
        UNION
        SELECT p.version_id
        FROM known, LATERAL (
            SELECT p.version_id FROM modelopt_private.version_parent p WHERE p.parent_id = known.id OFFSET 0) p)
    SELECT known.id FROM known
$$;

-- For all that edges lead to, the fewest that do; edges to a version come
-- before those from it.
CREATE FUNCTION modelopt_private.steps_from(start bigint, sources bigint[], targets bigint[])
    RETURNS TABLE (id bigint, steps integer)
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_steps_from';

-- The tensors of a version, and which version last set each.
CREATE FUNCTION modelopt_private.blame_tensors(start bigint)
    RETURNS TABLE (tensor text, number integer, version_id bigint)
    LANGUAGE C STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'modelopt_blame_tensors';

-- ---------- ancestors ----------

CREATE FUNCTION modelopt_private.is_ancestor(ancestor text, descendant text) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    older modelopt_private.version := find_version(ancestor, 'usage');
    newer modelopt_private.version := find_version(descendant, 'usage');
BEGIN
    RETURN older.id <= newer.id AND EXISTS (SELECT FROM ancestors(newer.id) a WHERE a.id = older.id);
END
$$;
COMMENT ON FUNCTION modelopt_private.is_ancestor(text, text) IS
    'whether the second version comes from the first one, or is it';

-- A common ancestor is as near as can be when none of its children is one
-- too, because whatever a common ancestor comes from is one.
CREATE FUNCTION modelopt_private.best_common_ancestors(a bigint, b bigint) RETURNS TABLE (id bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    WITH common AS MATERIALIZED (
        SELECT x.id FROM modelopt_private.ancestors(a) x JOIN modelopt_private.ancestors(b) y ON y.id = x.id)
    SELECT c.id FROM common c
    WHERE NOT EXISTS (
        SELECT FROM modelopt_private.version_parent p JOIN common child ON child.id = p.version_id
        WHERE p.parent_id = c.id)
$$;

-- The newest of them, or null.
CREATE FUNCTION modelopt_private.common_ancestor(a bigint, b bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT max(id) FROM modelopt_private.best_common_ancestors(a, b) $$;

CREATE FUNCTION modelopt_private.merge_base(a text, b text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    base bigint := common_ancestor((find_version(a, 'usage')).id, (find_version(b, 'usage')).id);
BEGIN
    IF NOT may((SELECT v.model_id FROM version v WHERE v.id = base), 'usage') THEN
        RETURN NULL;
    END IF;
    RETURN version_name(base);
END
$$;
COMMENT ON FUNCTION modelopt_private.merge_base(text, text) IS
    'the version, as name#number, that two versions both come from and that is nearest to them: a common ancestor that no other common ancestor comes from (the newest, if merges left several); null when there is none, or in a model that the current role may not see';

-- ---------- lineage ----------

CREATE FUNCTION modelopt_private.lineage(ref text, descendants boolean DEFAULT false,
    OUT depth integer, OUT version text, OUT relation text, OUT parent text,
    OUT committed_at timestamptz, OUT author text, OUT message text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    start modelopt_private.version := find_version(ref, 'usage');
BEGIN
    RETURN QUERY
    WITH reached AS MATERIALIZED (
        SELECT a.id FROM ancestors(start.id) a WHERE NOT lineage.descendants
        UNION ALL
        SELECT d.id FROM descendants(start.id) d WHERE lineage.descendants
    ), edge AS MATERIALIZED (
        SELECT p.version_id, p.parent_id, p.number, p.relation
        FROM version_parent p JOIN reached child ON child.id = p.version_id JOIN reached older ON older.id = p.parent_id
    ), distance AS (
        SELECT s.id, s.steps
        FROM (SELECT coalesce(array_agg(e.version_id ORDER BY e.version_id DESC), '{}') AS children,
                  coalesce(array_agg(e.parent_id ORDER BY e.version_id DESC), '{}') AS parents FROM edge e) up,
            LATERAL steps_from(start.id, up.children, up.parents) s
        WHERE NOT lineage.descendants
        UNION ALL
        SELECT s.id, s.steps
        FROM (SELECT coalesce(array_agg(e.parent_id ORDER BY e.version_id), '{}') AS parents,
                  coalesce(array_agg(e.version_id ORDER BY e.version_id), '{}') AS children FROM edge e) down,
            LATERAL steps_from(start.id, down.parents, down.children) s
        WHERE lineage.descendants
    ), visible AS MATERIALIZED (
        SELECT m.id, m.name
        FROM named_model m
        WHERE m.id IN (SELECT v.model_id FROM reached r JOIN version v ON v.id = r.id) AND may(m.id, 'usage'))
    SELECT d.steps, seen.name || '#' || v.version, coalesce(e.relation, v.relation),
        seen_parent.name || '#' || p.version, v.committed_at, v.author, v.message
    FROM distance d
        JOIN version v ON v.id = d.id
        JOIN visible seen ON seen.id = v.model_id
        LEFT JOIN edge e ON e.version_id = v.id
        LEFT JOIN version p ON p.id = e.parent_id
        LEFT JOIN visible seen_parent ON seen_parent.id = p.model_id
    WHERE d.steps > 0 OR NOT lineage.descendants
    ORDER BY d.steps, v.id DESC, e.number;
END
$$;
COMMENT ON FUNCTION modelopt_private.lineage(text, boolean) IS
    'what a version comes from, across models, or with descendants what comes from it: a row for each version and parent of it, where version is the relation (pruned, quantized, finetune, merge, derived, ...) of parent; depth counts the steps from the reference, 0 for the version itself, whose descendants begin at 1. Versions of models that the current role may not see are left out, and as parents null';

-- ---------- blame ----------

CREATE FUNCTION modelopt_private.blame(ref text,
    OUT tensor text, OUT version text, OUT author text, OUT committed_at timestamptz, OUT message text, OUT relation text,
    OUT boundary boolean)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    start modelopt_private.version := find_version(ref, 'usage');
BEGIN
    PERFORM require_content(start.id);
    RETURN QUERY
    WITH blamed AS MATERIALIZED (
        SELECT * FROM blame_tensors(start.id)
    ), seen AS MATERIALIZED (
        SELECT v.id, m.name || '#' || v.version AS name, v.author, v.committed_at, v.message, v.relation,
            EXISTS (
                SELECT FROM version_parent p JOIN version parent ON parent.id = p.parent_id JOIN tree t ON t.id = parent.tree_id
                WHERE p.version_id = v.id AND t.forgotten_at IS NOT NULL) AS boundary
        FROM version v JOIN named_model m ON m.id = v.model_id
        WHERE v.id IN (SELECT b.version_id FROM blamed b) AND may(m.id, 'usage'))
    SELECT b.tensor, s.name, s.author, s.committed_at, s.message, s.relation, s.boundary
    FROM blamed b LEFT JOIN seen s ON s.id = b.version_id
    ORDER BY b.number;
END
$$;
COMMENT ON FUNCTION modelopt_private.blame(text) IS
    'which version last set each tensor of a version, and who, when and why: followed back through the first parent that has the same elements in the same shape under the same name. boundary: the content of a parent of that version is gone, so the tensor may be older. Null where that is a version of a model that the current role may not see; reads no weights';
