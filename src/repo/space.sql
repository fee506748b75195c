-- What models take, and taking it otherwise.

-- Whether a reference is just a model's name.
CREATE FUNCTION modelopt_private.names_model(ref text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT r.kind = 'head' AND r.back = 0 FROM modelopt_private.parse_ref(ref) r $$;

-- The versions that a reference is about: all of a model, if it is just the
-- model's name.
CREATE FUNCTION modelopt_private.versions_of(ref text, privilege text) RETURNS SETOF modelopt_private.version
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
BEGIN
    IF names_model(ref) THEN
        RETURN QUERY SELECT v.* FROM version v WHERE v.model_id = (find_model(ref, privilege)).id ORDER BY v.version;
    ELSE
        RETURN NEXT find_version(ref, privilege);
    END IF;
END
$$;

-- The objects of trees.
CREATE FUNCTION modelopt_private.objects_of(trees bigint[]) RETURNS SETOF bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT e.object_id FROM modelopt_private.tree_entry e WHERE e.tree_id = ANY (trees)
    UNION
    SELECT head.object_id
    FROM modelopt_private.tree t, LATERAL (VALUES (t.metadata_id), (t.graph_id)) head (object_id)
    WHERE t.id = ANY (trees) AND head.object_id IS NOT NULL
$$;

-- Objects and all that they are coded against.
CREATE FUNCTION modelopt_private.with_bases(objects bigint[]) RETURNS SETOF bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    WITH RECURSIVE needed (id) AS (
        SELECT unnest(objects)
        UNION
        SELECT o.base_id
        FROM needed JOIN modelopt_private.object o ON o.id = needed.id
        WHERE o.base_id IS NOT NULL)
    SELECT needed.id FROM needed
$$;

CREATE FUNCTION modelopt_private.size(ref text, OUT versions bigint, OUT objects bigint,
    OUT logical_bytes bigint, OUT stored_bytes bigint, OUT unique_bytes bigint, OUT shared_bytes bigint)
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT v.id FROM versions_of(ref, 'usage') v);
    trees bigint[];
    own bigint[];
    others bigint[];
BEGIN
    versions := cardinality(ids);
    trees := ARRAY(SELECT DISTINCT v.tree_id FROM version v WHERE v.id = ANY (ids));
    SELECT coalesce(sum(t.raw_bytes), 0) INTO logical_bytes
    FROM version v JOIN tree t ON t.id = v.tree_id WHERE v.id = ANY (ids);

    own := ARRAY(SELECT with_bases(ARRAY(SELECT objects_of(trees))));
    -- What others need of these: tensors of other versions, and bases of other objects.
    others := ARRAY(
        SELECT o.object_id
        FROM objects_of(ARRAY(SELECT v.tree_id FROM version v WHERE NOT v.id = ANY (ids))) o (object_id)
        WHERE o.object_id = ANY (own)
        UNION
        SELECT o.base_id FROM object o WHERE o.base_id = ANY (own) AND NOT o.id = ANY (own));
    others := ARRAY(SELECT with_bases(others));

    SELECT count(*), coalesce(sum(o.stored_bytes), 0),
        coalesce(sum(o.stored_bytes) FILTER (WHERE NOT o.id = ANY (others)), 0),
        coalesce(sum(o.stored_bytes) FILTER (WHERE o.id = ANY (others)), 0)
    INTO objects, stored_bytes, unique_bytes, shared_bytes
    FROM object o WHERE o.id = ANY (own);
END
$$;
COMMENT ON FUNCTION modelopt_private.size(text) IS
    'what a version takes, or, given just a model''s name, all of its versions: logical_bytes, of all tensors of all versions, decoded; stored_bytes, what they take in the repository, of which unique_bytes belong to nothing else and shared_bytes also to other versions';

-- Codes an object anew, against a base or (0) by itself.
CREATE FUNCTION modelopt_private.rewrite_object(object_id bigint, base_id bigint) RETURNS void
    LANGUAGE C STRICT
    AS 'MODULE_PATHNAME', 'modelopt_rewrite_object';

-- The nearest base of an object that has less than so many below it, or 0.
CREATE FUNCTION modelopt_private.base_below(object_id bigint, max_depth integer) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    WITH RECURSIVE chain (id, base_id, depth) AS (
        SELECT o.id, o.base_id, o.depth FROM modelopt_private.object o WHERE o.id = object_id
        UNION       -- which ends in a damaged circle too
        SELECT o.id, o.base_id, o.depth FROM chain JOIN modelopt_private.object o ON o.id = chain.base_id)
    SELECT coalesce((SELECT c.id FROM chain c WHERE c.depth < max_depth AND c.id <> object_id ORDER BY c.depth DESC LIMIT 1), 0)
$$;

-- Rewrites one object, if nobody else does or takes it.
CREATE FUNCTION modelopt_private.repack_object(wanted bigint, max_depth integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    base bigint;
BEGIN
    PERFORM FROM object o WHERE o.id = wanted AND o.depth > max_depth FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    base := base_below(wanted, max_depth);
    IF base <> 0 THEN
        PERFORM FROM object o WHERE o.id = base FOR KEY SHARE SKIP LOCKED;
        IF NOT FOUND THEN
            base := 0;
        END IF;
    END IF;
    PERFORM rewrite_object(wanted, base);
    RETURN true;
END
$$;

CREATE FUNCTION modelopt_private.repack(ref text, max_depth integer DEFAULT 0,
    OUT objects bigint, OUT bytes_before bigint, OUT bytes_after bigint)
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    found_versions modelopt_private.version[] := ARRAY(SELECT v FROM versions_of(ref, 'admin') v);
    rewritten bigint[] := '{}';
    next_id bigint;
BEGIN
    IF max_depth NOT BETWEEN 0 AND 8 THEN
        RAISE EXCEPTION 'max_depth must be between 0 and 8' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    bytes_before := 0;
    FOR next_id, bytes_after IN
        SELECT o.id, o.stored_bytes
        FROM objects_of(ARRAY(SELECT v.tree_id FROM unnest(found_versions) v)) own (id) JOIN object o ON o.id = own.id
        WHERE o.depth > max_depth ORDER BY o.depth, o.id
    LOOP
        IF repack_object(next_id, max_depth) THEN
            rewritten := rewritten || next_id;
            bytes_before := bytes_before + bytes_after;
        END IF;
    END LOOP;
    objects := cardinality(rewritten);
    SELECT coalesce(sum(o.stored_bytes), 0) INTO bytes_after FROM object o WHERE o.id = ANY (rewritten);
    PERFORM add_audit(m.id, m.name, 'repack', jsonb_build_object('ref', ref, 'max_depth', max_depth, 'objects', objects,
        'bytes_before', bytes_before, 'bytes_after', bytes_after))
    FROM named_model m WHERE m.id = found_versions[1].model_id;
END
$$;
COMMENT ON FUNCTION modelopt_private.repack(text, integer) IS
    'rewrites the tensors of a version, or, given just a model''s name, of all of its versions, that are coded against more than so many others in a row, against fewer: with max_depth 0 each by itself, which is read fastest. Changes no content and no digest, and disturbs nobody who reads; returns how many tensors it rewrote, and what they took before and take now';
