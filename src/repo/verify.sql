-- Whether the repository is what was put into it.

-- What is wrong with an object's content, or null; raises when it cannot be read.
CREATE FUNCTION modelopt_private.object_problem(object_id bigint) RETURNS text
    LANGUAGE C STABLE STRICT COST 100000
    AS 'MODULE_PATHNAME', 'modelopt_object_problem';

-- What is wrong with a tree's manifest, or null; raises when it cannot be read.
CREATE FUNCTION modelopt_private.tree_problem(tree_id bigint) RETURNS text
    LANGUAGE C STABLE STRICT COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_tree_problem';

-- What is wrong with an object's rows of parts, or null.  All but the last are
-- as long as the first, so that counting them is enough, and the index has that.
CREATE FUNCTION modelopt_private.parts_problem(wanted bigint) RETURNS text
    LANGUAGE sql STABLE STRICT
    AS $$
    SELECT CASE
        WHEN o.raw_bytes IS NULL THEN 'It is not there.'
        WHEN found.first > 0 OR found.last <> found.parts - 1
            OR found.parts <> ceil(o.stored_bytes / coalesce(octet_length(head.data), 1)::numeric)
            THEN 'Parts are missing, or there are too many.' END
    FROM (VALUES (wanted)) given (id)
        LEFT JOIN modelopt_private.object o ON o.id = given.id
        LEFT JOIN modelopt_private.part head ON head.object_id = given.id AND head.number = 0,
        LATERAL (SELECT count(*) AS parts, coalesce(min(p.number), 0) AS first, coalesce(max(p.number), -1) AS last
                 FROM modelopt_private.part p WHERE p.object_id = given.id) found
$$;

-- What is wrong with the sums in a tree's row, or null.
CREATE FUNCTION modelopt_private.sums_problem(wanted bigint) RETURNS text
    LANGUAGE sql STABLE STRICT
    AS $$
    SELECT 'Its bytes or zeros are not those of its tensors.'
    FROM modelopt_private.tree t,
        LATERAL (SELECT coalesce(sum(d.raw_bytes), 0) AS raw_bytes, coalesce(sum(d.zeros), 0) AS zeros
                 FROM (SELECT DISTINCT ON (e.payload) o.raw_bytes, o.zeros
                       FROM modelopt_private.tree_entry e JOIN modelopt_private.object o ON o.id = e.object_id
                       WHERE e.tree_id = t.id) d) found
    WHERE t.id = wanted AND (t.raw_bytes <> found.raw_bytes OR t.zeros <> found.zeros)
$$;

-- What is wrong, or why nobody can tell.
CREATE FUNCTION modelopt_private.problem_of(what text, id bigint, deep boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    detail text;
BEGIN
    IF what = 'tree' THEN
        RETURN coalesce(tree_problem(id), sums_problem(id));
    END IF;
    RETURN coalesce(parts_problem(id), CASE WHEN deep THEN object_problem(id) END);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN format('It cannot be read: %s.', concat_ws('; ', sqlerrm, nullif(rtrim(detail, '.'), '')));
END
$$;

-- Versions that are not what their digests say, or come from nothing.
CREATE FUNCTION modelopt_private.version_problems(ids bigint[]) RETURNS TABLE (what text, name text, problem text, versions text[])
    LANGUAGE sql STABLE
    AS $$
    SELECT 'version', f.name, f.problem, ARRAY[f.name]
    FROM (
        SELECT modelopt_private.version_name(v.id), 'Its digest is not that of its content, parents and message.'
        FROM modelopt_private.version v
        WHERE v.id = ANY (ids) AND v.digest <> modelopt_private.version_digest(v, ARRAY(
            SELECT p.parent_id FROM modelopt_private.version_parent p WHERE p.version_id = v.id ORDER BY p.number))
        UNION ALL
        SELECT modelopt_private.version_name(p.version_id), 'A version that it comes from is not there.'
        FROM modelopt_private.version_parent p
        WHERE p.version_id = ANY (ids) AND NOT EXISTS (SELECT FROM modelopt_private.version v WHERE v.id = p.parent_id)
        UNION ALL
        SELECT modelopt_private.version_name(v.id), 'Its content was given up, and some of it is still there.'
        FROM modelopt_private.version v JOIN modelopt_private.tree t ON t.id = v.tree_id
        WHERE v.id = ANY (ids) AND t.forgotten_at IS NOT NULL AND (t.metadata_id IS NOT NULL OR t.graph_id IS NOT NULL
            OR EXISTS (SELECT FROM modelopt_private.tree_entry e WHERE e.tree_id = t.id))) f (name, problem)
$$;

-- Numbers of versions that are missing, and references to nothing.
CREATE FUNCTION modelopt_private.model_problems(ids bigint[]) RETURNS TABLE (what text, name text, problem text, versions text[])
    LANGUAGE sql STABLE
    AS $$
    SELECT 'version', m.name || '#' || n, 'It is not there.', ARRAY[m.name || '#' || n]
    FROM modelopt_private.named_model m, generate_series(1, m.next_version - 1) n
    WHERE m.id = ANY (ids) AND NOT EXISTS (SELECT FROM modelopt_private.version v WHERE v.model_id = m.id AND v.version = n)
    UNION ALL
    SELECT 'version', modelopt_private.version_name(v.id), 'Its number is yet to be given.', ARRAY[modelopt_private.version_name(v.id)]
    FROM modelopt_private.named_model m JOIN modelopt_private.version v ON v.model_id = m.id
    WHERE m.id = ANY (ids) AND v.version >= m.next_version
    UNION ALL
    SELECT r.kind, m.name || CASE r.kind WHEN 'branch' THEN '/' WHEN 'tag' THEN ':' ELSE '@' END || r.name,
        'It points to no version of the model.', '{}'
    FROM modelopt_private.named_model m JOIN modelopt_private.ref r ON r.model_id = m.id
    WHERE m.id = ANY (ids) AND NOT EXISTS (SELECT FROM modelopt_private.version v WHERE v.id = r.version_id AND v.model_id = m.id)
$$;

-- What is wrong with trees and objects, and which of the versions have that.
CREATE FUNCTION modelopt_private.content_problems(ids bigint[], trees bigint[], objects bigint[], deep boolean)
    RETURNS TABLE (what text, name text, problem text, versions text[])
    LANGUAGE sql STABLE
    AS $$
    SELECT 'tree', t.id::text, t.problem, ARRAY(
        SELECT modelopt_private.version_name(v.id) FROM modelopt_private.version v
        WHERE v.tree_id = t.id AND v.id = ANY (ids) ORDER BY v.id)
    FROM (SELECT u.id, modelopt_private.problem_of('tree', u.id, deep) FROM unnest(trees) u (id)) t (id, problem)
    WHERE t.problem IS NOT NULL
    UNION ALL
    SELECT 'object', concat_ws(': ', o.id, (
            SELECT string_agg(DISTINCT e.name, ', ') FROM modelopt_private.tree_entry e
            WHERE e.object_id = o.id AND e.tree_id = ANY (trees))), o.problem, ARRAY(
        SELECT modelopt_private.version_name(v.id) FROM modelopt_private.version v
            JOIN modelopt_private.tree t ON t.id = v.tree_id
        WHERE v.id = ANY (ids) AND (o.id IN (t.metadata_id, t.graph_id)
            OR EXISTS (SELECT FROM modelopt_private.tree_entry e WHERE e.tree_id = t.id AND e.object_id = o.id)) ORDER BY v.id)
    FROM (SELECT u.id, modelopt_private.problem_of('object', u.id, deep) FROM unnest(objects) u (id)) o (id, problem)
    WHERE o.problem IS NOT NULL
$$;

CREATE FUNCTION modelopt_private.verify(ref text DEFAULT NULL, deep boolean DEFAULT true,
    OUT what text, OUT name text, OUT problem text, OUT versions text[])
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    ids bigint[];
    models bigint[] := '{}';
    trees bigint[];
    objects bigint[];
    began integer;
BEGIN
    IF ref IS NULL THEN
        PERFORM require_owner_of_all();
        ids := ARRAY(SELECT v.id FROM version v);
        models := ARRAY(SELECT m.id FROM named_model m);
        objects := ARRAY(SELECT o.id FROM object o ORDER BY o.id);
    ELSE
        ids := ARRAY(SELECT v.id FROM versions_of(ref, 'usage') v);
        IF names_model(ref) THEN
            models := ARRAY[(find_model(ref, 'usage')).id];
        END IF;
    END IF;
    trees := ARRAY(SELECT DISTINCT t.id FROM version v JOIN tree t ON t.id = v.tree_id
                   WHERE v.id = ANY (ids) AND t.forgotten_at IS NULL ORDER BY t.id);
    objects := coalesce(objects, ARRAY(SELECT with_bases(ARRAY(SELECT objects_of(trees))) ORDER BY 1));

    began := begin_progress('verify', 'content', 'objects', cardinality(trees) + CASE WHEN coalesce(deep, true) THEN cardinality(objects) ELSE 0 END);
    RETURN QUERY SELECT * FROM model_problems(models);
    RETURN QUERY SELECT * FROM version_problems(ids);
    RETURN QUERY SELECT * FROM content_problems(ids, trees, objects, coalesce(deep, true));
    PERFORM end_progress(began);
    IF ref IS NULL THEN
        RETURN QUERY SELECT 'part', o.id::text, 'It belongs to no object.', '{}'::text[] FROM orphans() o (id);
    END IF;
END
$$;
COMMENT ON FUNCTION modelopt_private.verify(text, boolean) IS
    'what of a version, or, given just a model''s name, of the model, or, given null, of everything, is not what was put into the repository: no rows when all is well. Computes the digests of versions and manifests anew, looks for numbers, parents and parts that are missing, and, if deep, decodes every tensor and computes its digest';
