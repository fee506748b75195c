-- What is different between two versions, or two models.

CREATE FUNCTION @extschema@.diff(a @extschema@.model, b @extschema@.model, unchanged boolean DEFAULT false,
    OUT tensor text, OUT status text, OUT renamed_from text, OUT dtype_a text, OUT dtype_b text,
    OUT shape_a bigint[], OUT shape_b bigint[], OUT elements bigint, OUT changed bigint, OUT changed_pct double precision,
    OUT not_finite bigint, OUT max_abs double precision, OUT l2 double precision, OUT rel_l2 double precision,
    OUT cosine double precision, OUT sparsity_a double precision, OUT sparsity_b double precision,
    OUT bytes_a bigint, OUT bytes_b bigint)
    RETURNS SETOF record
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 100
    AS 'MODULE_PATHNAME', 'modelopt_diff';
COMMENT ON FUNCTION @extschema@.diff(@extschema@.model, @extschema@.model, boolean) IS
    'how model b differs from model a, a row for each tensor: status is added, removed, renamed (the same dtype, shape and elements under another name), reshaped, retyped, modified or, if asked for, unchanged. changed counts elements with other bits (of two dtypes: with other values); max_abs, l2 (of the difference), rel_l2 (l2 / l2 of a) and cosine are about pairs of finite elements, of which not_finite were left out, null where there are no pairs or they would divide by zero; sparsity is the fraction of zeros, null where nobody counted them. Tensors with equal digests are not read';

-- The two versions of a comparison: with mode ... the first one is what both
-- come from.
CREATE FUNCTION modelopt_private.compared(a text, b text, mode text, privilege text,
    OUT older modelopt_private.version, OUT newer modelopt_private.version)
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    base bigint;
BEGIN
    older := find_version(a, privilege);
    newer := find_version(b, privilege);
    IF mode = '..' THEN
        RETURN;
    ELSIF mode IS DISTINCT FROM '...' THEN
        RAISE EXCEPTION 'unrecognized mode of comparison "%"', mode
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Modes are ".." (from a to b) and "..." (from what both come from to b).';
    END IF;
    base := common_ancestor(older.id, newer.id);
    IF base IS NULL THEN
        RAISE EXCEPTION '"%" and "%" do not come from one version', a, b
            USING ERRCODE = 'undefined_object', HINT = 'Mode ".." compares any two versions.';
    END IF;
    SELECT * INTO older FROM version v WHERE v.id = base;
    PERFORM require(older.model_id, privilege);
    IF privilege = 'read' THEN
        PERFORM require_content(older.id);
    END IF;
END
$$;

-- What the objects of a version cost here that another one does not have; the
-- first tensor with an object pays.
CREATE FUNCTION modelopt_private.added_costs(older_tree bigint, newer_tree bigint) RETURNS TABLE (tensor text, bytes bigint)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT e.name, CASE
        WHEN row_number() OVER (PARTITION BY e.object_id ORDER BY e.number) > 1
            OR e.object_id IN (SELECT o.object_id FROM modelopt_private.tree_entry o WHERE o.tree_id = older_tree)
        THEN 0 ELSE o.stored_bytes END
    FROM modelopt_private.tree_entry e JOIN modelopt_private.object o ON o.id = e.object_id
    WHERE e.tree_id = newer_tree
$$;

CREATE FUNCTION modelopt_private.diff(a text, b text, unchanged boolean DEFAULT false, mode text DEFAULT '..',
    OUT tensor text, OUT status text, OUT renamed_from text, OUT dtype_a text, OUT dtype_b text,
    OUT shape_a bigint[], OUT shape_b bigint[], OUT elements bigint, OUT changed bigint, OUT changed_pct double precision,
    OUT not_finite bigint, OUT max_abs double precision, OUT l2 double precision, OUT rel_l2 double precision,
    OUT cosine double precision, OUT sparsity_a double precision, OUT sparsity_b double precision,
    OUT bytes_a bigint, OUT bytes_b bigint, OUT delta_bytes bigint)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    pair record := compared(a, b, mode, 'read');
BEGIN
    RETURN QUERY
    SELECT d.tensor, d.status, d.renamed_from, d.dtype_a, d.dtype_b, d.shape_a, d.shape_b, d.elements, d.changed, d.changed_pct,
        d.not_finite, d.max_abs, d.l2, d.rel_l2, d.cosine, d.sparsity_a, d.sparsity_b, d.bytes_a, d.bytes_b, c.bytes
    FROM @extschema@.diff(open_tree((pair.older).tree_id, '[]'), open_tree((pair.newer).tree_id, '[]'), unchanged)
            WITH ORDINALITY d (tensor, status, renamed_from, dtype_a, dtype_b, shape_a, shape_b, elements, changed, changed_pct,
                not_finite, max_abs, l2, rel_l2, cosine, sparsity_a, sparsity_b, bytes_a, bytes_b, number)
        LEFT JOIN added_costs((pair.older).tree_id, (pair.newer).tree_id) c ON c.tensor = d.tensor AND d.status <> 'removed'
    ORDER BY d.number;
END
$$;
COMMENT ON FUNCTION modelopt_private.diff(text, text, boolean, text) IS
    'how version b differs from version a, as diff(model, model) says it, and delta_bytes: what the tensor costs in the repository, coded as it is, 0 where a has it already. With mode ... it is not a but what both come from. Needs read on both models';

CREATE FUNCTION modelopt_private.diff_stat(a text, b text, mode text DEFAULT '..',
    OUT tensors_a integer, OUT tensors_b integer, OUT added bigint, OUT removed bigint, OUT renamed bigint, OUT reshaped bigint,
    OUT retyped bigint, OUT modified bigint, OUT unchanged bigint, OUT elements bigint, OUT changed numeric,
    OUT changed_pct double precision, OUT max_abs double precision, OUT l2 double precision, OUT rel_l2 double precision,
    OUT sparsity_a double precision, OUT sparsity_b double precision, OUT raw_bytes_a bigint, OUT raw_bytes_b bigint,
    OUT delta_bytes numeric)
    RETURNS record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    pair record := compared(a, b, mode, 'read');
    tree_a modelopt_private.tree;
    tree_b modelopt_private.tree;
    norm double precision;
    compared_elements numeric;
BEGIN
    SELECT * INTO tree_a FROM tree t WHERE t.id = (pair.older).tree_id;
    SELECT * INTO tree_b FROM tree t WHERE t.id = (pair.newer).tree_id;
    SELECT count(*) FILTER (WHERE d.status = 'added'), count(*) FILTER (WHERE d.status = 'removed'),
        count(*) FILTER (WHERE d.status = 'renamed'), count(*) FILTER (WHERE d.status = 'reshaped'),
        count(*) FILTER (WHERE d.status = 'retyped'), count(*) FILTER (WHERE d.status = 'modified'),
        count(*) FILTER (WHERE d.status = 'unchanged'),
        coalesce(sum(d.changed), 0), sum(d.elements) FILTER (WHERE d.changed IS NOT NULL),
        max(d.max_abs), sqrt(sum(d.l2 ^ 2)), coalesce(sum(d.delta_bytes), 0),
        sqrt(sum(o.l2 ^ 2) FILTER (WHERE d.changed IS NOT NULL))
    INTO added, removed, renamed, reshaped, retyped, modified, unchanged, changed, compared_elements, max_abs, l2, delta_bytes, norm
    FROM diff(version_name((pair.older).id), version_name((pair.newer).id), unchanged => true) d
        LEFT JOIN tree_entry e ON e.tree_id = tree_a.id AND e.name = coalesce(d.renamed_from, d.tensor)
        LEFT JOIN object o ON o.id = e.object_id;
    tensors_a := tree_a.tensors;
    tensors_b := tree_b.tensors;
    elements := tree_b.parameters;
    changed_pct := 100 * changed / nullif(compared_elements, 0);
    rel_l2 := CASE WHEN l2 = 0 THEN 0 ELSE l2 / nullif(norm, 0) END;
    sparsity_a := tree_a.zeros::double precision / nullif(tree_a.parameters, 0);
    sparsity_b := tree_b.zeros::double precision / nullif(tree_b.parameters, 0);
    raw_bytes_a := tree_a.raw_bytes;
    raw_bytes_b := tree_b.raw_bytes;
END
$$;
COMMENT ON FUNCTION modelopt_private.diff_stat(text, text, text) IS
    'what modelopt.diff() of two versions adds up to: tensors of each status, elements of b, how many changed (in percent of those that have a partner), the largest distance, the Euclidean length of the whole difference and its ratio to that of the same tensors of a, sparsity and raw bytes of both models, and what is new in b costs in the repository. Needs read on both models';

-- ---------- what is said about versions ----------

-- The members of a JSON object, and those of the objects in it, with the way
-- to each.
CREATE FUNCTION modelopt_private.json_leaves(document jsonb) RETURNS TABLE (path text[], value jsonb)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    WITH RECURSIVE node (path, value) AS (
        SELECT ARRAY[m.key], m.value FROM jsonb_each(document) m
        UNION ALL
        SELECT node.path || m.key, m.value
        FROM node, LATERAL jsonb_each(CASE jsonb_typeof(node.value) WHEN 'object' THEN node.value ELSE '{}' END) m)
    SELECT node.path, node.value FROM node
    WHERE jsonb_typeof(node.value) <> 'object' OR node.value = '{}'
$$;

CREATE FUNCTION modelopt_private.change_status(has_a boolean, has_b boolean, same boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN NOT has_a THEN 'added' WHEN NOT has_b THEN 'removed' WHEN same THEN 'unchanged' ELSE 'modified' END
$$;

CREATE FUNCTION modelopt_private.params_diff(a text, b text, unchanged boolean DEFAULT false, mode text DEFAULT '..',
    OUT param text, OUT status text, OUT value_a jsonb, OUT value_b jsonb)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    pair record := compared(a, b, mode, 'usage');
BEGIN
    RETURN QUERY
    SELECT array_to_string(coalesce(x.path, y.path), '.'), s.status, x.value, y.value
    FROM json_leaves((pair.older).params) x FULL JOIN json_leaves((pair.newer).params) y ON y.path = x.path,
        LATERAL change_status(x.path IS NOT NULL, y.path IS NOT NULL, x.value = y.value) s (status)
    WHERE params_diff.unchanged OR s.status <> 'unchanged'
    ORDER BY coalesce(x.path, y.path);
END
$$;
COMMENT ON FUNCTION modelopt_private.params_diff(text, text, boolean, text) IS
    'parameters that are different between two versions, with their values; those in nested objects have names with dots';

CREATE FUNCTION modelopt_private.last_metrics(wanted bigint) RETURNS TABLE (name text, dataset text, value double precision)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT DISTINCT ON (m.name, m.dataset) m.name, m.dataset, m.value
    FROM modelopt_private.metric m WHERE m.version_id = wanted
    ORDER BY m.name, m.dataset, m.id DESC
$$;

CREATE FUNCTION modelopt_private.metrics_diff(a text, b text, unchanged boolean DEFAULT false, mode text DEFAULT '..',
    OUT metric text, OUT dataset text, OUT status text, OUT value_a double precision, OUT value_b double precision,
    OUT change double precision)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    pair record := compared(a, b, mode, 'usage');
BEGIN
    RETURN QUERY
    SELECT coalesce(x.name, y.name), coalesce(x.dataset, y.dataset), s.status, x.value, y.value, y.value - x.value
    FROM last_metrics((pair.older).id) x
        FULL JOIN last_metrics((pair.newer).id) y ON y.name = x.name AND y.dataset = x.dataset,
        LATERAL change_status(x.name IS NOT NULL, y.name IS NOT NULL, x.value = y.value) s (status)
    WHERE metrics_diff.unchanged OR s.status <> 'unchanged'
    ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION modelopt_private.metrics_diff(text, text, boolean, text) IS
    'metrics that are different between two versions, by the value that was recorded last for each name and dataset';
