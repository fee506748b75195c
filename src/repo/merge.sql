-- Two versions become one, and a version is undone: both are three-way merges
-- per tensor.  What is equal is known by objects, without weights.

-- The merged model; numbers are four for each tensor: weights of ours and of
-- theirs, density, lambda.
CREATE FUNCTION modelopt_private.merge_models(base @extschema@.model, ours @extschema@.model, theirs @extschema@.model,
    names text[], methods text[], numbers double precision[], graph text, step jsonb) RETURNS @extschema@.model
    LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 100000
    AS 'MODULE_PATHNAME', 'modelopt_merge_models';

-- ---------- methods ----------

-- Raises for an argument that its method does not take.
CREATE FUNCTION modelopt_private.refuse_merge_argument(method text, argument text, meant text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    RAISE EXCEPTION 'invalid % for method "%"', argument, method
        USING ERRCODE = 'invalid_parameter_value', DETAIL = meant;
END
$$;

-- The numbers of a method, with its defaults for those that are null.  Sides
-- that are chosen have none that matter.
CREATE FUNCTION modelopt_private.merge_numbers(method text, weights double precision[], density double precision,
    lambda double precision) RETURNS double precision[]
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
    chosen double precision[] := weights;
BEGIN
    IF method NOT IN ('ours', 'theirs', 'base', 'average', 'weighted', 'task_arithmetic', 'ties', 'slerp') THEN
        RAISE EXCEPTION 'unrecognized method of merging "%"', method
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Methods are ours, theirs, base, average, weighted, task_arithmetic, ties and slerp.';
    END IF;
    IF (weights IS NOT NULL AND method NOT IN ('weighted', 'task_arithmetic', 'ties', 'slerp'))
        OR (weights IS NULL AND method = 'weighted') THEN
        PERFORM refuse_merge_argument(method, 'weights', 'Methods weighted (which needs them), task_arithmetic, ties and slerp take weights.');
    END IF;
    IF density IS NOT NULL AND method <> 'ties' THEN
        PERFORM refuse_merge_argument(method, 'density', 'Method ties takes a density.');
    END IF;
    IF lambda IS NOT NULL AND method NOT IN ('task_arithmetic', 'ties') THEN
        PERFORM refuse_merge_argument(method, 'lambda', 'Methods task_arithmetic and ties take lambda.');
    END IF;
    IF weights IS NOT NULL AND (array_ndims(weights) IS DISTINCT FROM 1 OR cardinality(weights) <> 2
        OR EXISTS (SELECT FROM unnest(weights) w WHERE w IS NULL OR w IN ('NaN', 'Infinity', '-Infinity'))) THEN
        PERFORM refuse_merge_argument(method, 'weights', 'Two finite numbers are wanted, of the target and of the source.');
    END IF;
    IF NOT coalesce(density, 1) BETWEEN 0 AND 1 OR density = 0 THEN
        PERFORM refuse_merge_argument(method, 'density', 'It is more than 0 and at most 1.');
    END IF;
    IF coalesce(lambda, 1) IN ('NaN', 'Infinity', '-Infinity') THEN
        PERFORM refuse_merge_argument(method, 'lambda', 'It is a finite number.');
    END IF;
    chosen := coalesce(weights, ARRAY[1, 1]);
    IF method IN ('average', 'weighted', 'slerp') THEN
        IF chosen[1] + chosen[2] = 0 THEN
            PERFORM refuse_merge_argument(method, 'weights', 'Their sum is 0.');
        END IF;
        chosen := ARRAY[chosen[1] / (chosen[1] + chosen[2]), chosen[2] / (chosen[1] + chosen[2])];
    END IF;
    -- What the papers recommend where nothing else is known.
    RETURN chosen || ARRAY[coalesce(density, 0.2), coalesce(lambda, CASE method WHEN 'ties' THEN 1 ELSE 0.4 END)];
END
$$;

-- Methods by tensor, from {"pattern": "method", "pattern": {"method": ..., "weights": ...}}.
CREATE FUNCTION modelopt_private.merge_exceptions(per_tensor jsonb)
    RETURNS TABLE (pattern text, method text, numbers double precision[])
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
    spec record;
    unknown text;
BEGIN
    FOR spec IN
        SELECT e.key, CASE jsonb_typeof(e.value) WHEN 'string' THEN jsonb_build_object('method', e.value) ELSE e.value END AS value
        FROM jsonb_each(check_object(per_tensor, 'per_tensor')) e
    LOOP
        IF jsonb_typeof(spec.value) <> 'object' OR jsonb_typeof(spec.value -> 'method') IS DISTINCT FROM 'string' THEN
            RAISE EXCEPTION 'per_tensor has no method for "%"', spec.key
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'It looks like {"head.*": "ours", "*.weight": {"method": "ties", "density": 0.5}}.';
        END IF;
        SELECT k INTO unknown FROM jsonb_object_keys(spec.value) k WHERE k NOT IN ('method', 'weights', 'density', 'lambda') LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'per_tensor has an unrecognized key "%" for "%"', unknown, spec.key
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Keys are method, weights, density and lambda.';
        END IF;
        IF jsonb_typeof(coalesce(spec.value -> 'weights', '[]')) <> 'array'
            OR EXISTS (
                SELECT FROM (SELECT jsonb_path_query(spec.value, 'strict $.weights[*]', silent => true)
                    UNION ALL SELECT spec.value -> 'density' UNION ALL SELECT spec.value -> 'lambda') n (number)
                WHERE jsonb_typeof(n.number) <> 'number') THEN
            RAISE EXCEPTION 'per_tensor has no numbers for "%" where they are wanted', spec.key
                USING ERRCODE = 'invalid_parameter_value',
                    DETAIL = 'weights is an array of two numbers, density and lambda are numbers.';
        END IF;
        pattern := spec.key;
        method := spec.value ->> 'method';
        numbers := merge_numbers(method,
            CASE WHEN spec.value ? 'weights' THEN ARRAY(SELECT w::double precision FROM jsonb_array_elements_text(spec.value -> 'weights') w) END,
            (spec.value ->> 'density')::double precision, (spec.value ->> 'lambda')::double precision);
        RETURN NEXT;
    END LOOP;
END
$$;

-- Raises for a pattern that no tensor of the two versions has a name for.
CREATE FUNCTION modelopt_private.check_exceptions(per_tensor jsonb, ours_tree bigint, theirs_tree bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    unmatched text;
BEGIN
    SELECT e.pattern INTO unmatched
    FROM merge_exceptions(per_tensor) e
    WHERE NOT EXISTS (
        SELECT FROM tree_entry t WHERE t.tree_id IN (ours_tree, theirs_tree) AND matches(t.name, e.pattern))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'no tensor matches "%"', unmatched
            USING ERRCODE = 'undefined_object', DETAIL = 'per_tensor has a method for it.';
    END IF;
END
$$;

-- ---------- three ways ----------

-- What became of a tensor since the base; no base is like an empty one.
CREATE FUNCTION modelopt_private.tensor_status(base_object bigint, base_shape bigint[], base_dtype smallint,
    object bigint, shape bigint[], dtype smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN object IS NULL THEN CASE WHEN base_object IS NULL THEN NULL ELSE 'removed' END
        WHEN base_object IS NULL THEN 'added'
        WHEN base_object = object AND base_shape = shape THEN 'unchanged'
        WHEN base_shape <> shape THEN 'reshaped'
        WHEN base_dtype <> dtype THEN 'retyped'
        ELSE 'modified' END
$$;

-- The tensors of a tree, none for null.
CREATE FUNCTION modelopt_private.tree_tensors(wanted bigint)
    RETURNS TABLE (name text, number integer, object bigint, shape bigint[], dtype smallint, encoding smallint)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT e.name, e.number, e.object_id, e.shape, o.dtype, o.encoding
    FROM modelopt_private.tree_entry e JOIN modelopt_private.object o ON o.id = e.object_id
    WHERE e.tree_id = wanted
$$;

-- The names of a tree's tensors in order, null for null.
CREATE FUNCTION modelopt_private.tree_names(wanted bigint) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT array_agg(e.name ORDER BY e.number) FROM modelopt_private.tree_entry e WHERE e.tree_id = wanted $$;

-- Which side the result is on where only one side changed; where both did, why
-- their elements cannot be merged, alone and with those of the base.  dtypes to
-- 6, 18 and 19 are floats, and encodings from 2 on blocks of quantized ones.  The
-- order is theirs if ours is still that of the base, so that undoing the last
-- version makes just what was before.
CREATE FUNCTION modelopt_private.three_way(base_tree bigint, ours_tree bigint, theirs_tree bigint)
    RETURNS TABLE (tensor text, number bigint, ours text, theirs text, side text, obstacle text, base_obstacle text,
        in_base boolean, in_ours boolean, in_theirs boolean)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT name, row_number() OVER (ORDER BY CASE WHEN l.follow_theirs THEN t.number ELSE o.number END NULLS LAST, o.number, t.number, b.number),
        modelopt_private.tensor_status(b.object, b.shape, b.dtype, o.object, o.shape, o.dtype),
        modelopt_private.tensor_status(b.object, b.shape, b.dtype, t.object, t.shape, t.dtype),
        CASE
            WHEN (o.object, o.shape) IS NOT DISTINCT FROM (t.object, t.shape) THEN 'ours'
            WHEN (o.object, o.shape) IS NOT DISTINCT FROM (b.object, b.shape) THEN 'theirs'
            WHEN (t.object, t.shape) IS NOT DISTINCT FROM (b.object, b.shape) THEN 'ours' END,
        CASE
            WHEN o.object IS NULL OR t.object IS NULL THEN 'removed on one side and changed on the other'
            WHEN b.object IS NULL AND base_tree IS NOT NULL THEN 'added on both sides with different elements'
            WHEN o.shape <> t.shape THEN 'shapes are different'
            WHEN o.dtype <> t.dtype THEN 'dtypes are different'
            WHEN o.dtype > 6 AND o.dtype NOT IN (18, 19) THEN 'elements are no floating-point numbers'
            WHEN o.encoding > 1 OR t.encoding > 1 THEN 'elements are quantized in blocks' END,
        CASE
            WHEN b.object IS NULL THEN 'the method needs a common ancestor'
            WHEN b.shape <> o.shape THEN 'the common ancestor has another shape'
            WHEN b.dtype <> o.dtype THEN 'the common ancestor has another dtype' END,
        b.object IS NOT NULL, o.object IS NOT NULL, t.object IS NOT NULL
    FROM modelopt_private.tree_tensors(ours_tree) o
        FULL JOIN modelopt_private.tree_tensors(theirs_tree) t USING (name)
        FULL JOIN modelopt_private.tree_tensors(base_tree) b USING (name),
        (SELECT modelopt_private.tree_names(ours_tree) = modelopt_private.tree_names(base_tree) AS follow_theirs) l
$$;

-- What a merge makes of each tensor (null stands for the graph): a side, a
-- method, or removed; or why it cannot be merged.  Without a method all that
-- changed on both sides are conflicts.
CREATE FUNCTION modelopt_private.merge_plan(base_tree bigint, ours_tree bigint, theirs_tree bigint,
    method text, method_numbers double precision[], per_tensor jsonb,
    OUT number bigint, OUT tensor text, OUT ours text, OUT theirs text, OUT result text, OUT conflict text,
    OUT numbers double precision[])
    RETURNS SETOF record
    LANGUAGE sql STABLE
    AS $$
    WITH exception AS MATERIALIZED (
        SELECT e.* FROM modelopt_private.merge_exceptions(per_tensor) e
    ), chosen AS (
        SELECT w.*, coalesce(w.side, x.method, merge_plan.method) AS way, coalesce(x.numbers, method_numbers) AS numbers
        FROM modelopt_private.three_way(base_tree, ours_tree, theirs_tree) w
            LEFT JOIN LATERAL (
                SELECT e.method, e.numbers FROM exception e
                WHERE modelopt_private.matches(w.tensor, e.pattern)
                ORDER BY e.pattern = w.tensor DESC, length(e.pattern) DESC, e.pattern LIMIT 1) x ON w.side IS NULL
    ), judged AS (
        SELECT c.*, CASE
            WHEN c.way IN ('ours', 'theirs') THEN NULL
            WHEN c.way = 'base' THEN CASE WHEN base_tree IS NULL THEN c.base_obstacle END
            WHEN c.way IS NULL THEN coalesce(c.obstacle, 'changed on both sides')
            WHEN c.way IN ('task_arithmetic', 'ties') THEN coalesce(c.obstacle, c.base_obstacle)
            ELSE c.obstacle END AS conflict
        FROM chosen c)
    SELECT j.number, j.tensor, j.ours, j.theirs,
        CASE
            WHEN j.conflict IS NOT NULL THEN NULL
            WHEN (j.way = 'ours' AND NOT j.in_ours) OR (j.way = 'theirs' AND NOT j.in_theirs)
                OR (j.way = 'base' AND NOT j.in_base) THEN 'removed'
            ELSE j.way END,
        j.conflict, coalesce(j.numbers, '{0,0,0,0}')
    FROM judged j
    UNION ALL
    SELECT 0, NULL,
        CASE WHEN o.graph_id IS DISTINCT FROM b.graph_id THEN 'modified' ELSE 'unchanged' END,
        CASE WHEN t.graph_id IS DISTINCT FROM b.graph_id THEN 'modified' ELSE 'unchanged' END,
        g.side, CASE WHEN g.side IS NULL THEN 'graphs are different' END, '{0,0,0,0}'
    FROM modelopt_private.tree o JOIN modelopt_private.tree t ON t.id = theirs_tree
        LEFT JOIN modelopt_private.tree b ON b.id = base_tree,
        LATERAL (SELECT CASE
            WHEN o.graph_id IS NOT DISTINCT FROM t.graph_id THEN 'ours'
            WHEN b.id IS NOT NULL AND o.graph_id IS NOT DISTINCT FROM b.graph_id THEN 'theirs'
            WHEN b.id IS NOT NULL AND t.graph_id IS NOT DISTINCT FROM b.graph_id THEN 'ours'
            WHEN merge_plan.method IN ('ours', 'theirs') OR (merge_plan.method = 'base' AND b.id IS NOT NULL) THEN merge_plan.method
            END AS side) g
    WHERE o.id = ours_tree
    ORDER BY 1
$$;

-- Metadata is merged member by member, and never in conflict: what changed on
-- both sides is the preferred side's.
CREATE FUNCTION modelopt_private.merge_metadata(base jsonb, ours jsonb, theirs jsonb, preferred text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT coalesce(jsonb_object_agg(m.key, m.value) FILTER (WHERE m.value IS NOT NULL), '{}')
    FROM (
        SELECT k.key, CASE
            WHEN ours -> k.key IS NOT DISTINCT FROM base -> k.key THEN theirs -> k.key
            WHEN theirs -> k.key IS NOT DISTINCT FROM base -> k.key THEN ours -> k.key
            WHEN preferred = 'theirs' THEN theirs -> k.key
            WHEN preferred = 'base' THEN base -> k.key
            ELSE ours -> k.key END AS value
        FROM (SELECT jsonb_object_keys(base || ours || theirs)) k (key)) m
$$;

-- ---------- the merged version ----------

-- Raises when a plan has conflicts.
CREATE FUNCTION modelopt_private.check_conflicts(conflicts text[], what text, hint text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF cardinality(conflicts) > 0 THEN
        RAISE EXCEPTION 'cannot %: % conflict(s)', what, cardinality(conflicts)
            USING ERRCODE = '55M01',
                DETAIL = array_to_string(conflicts[:20], '; ')
                    || CASE WHEN cardinality(conflicts) > 20 THEN '; and others.' ELSE '.' END,
                HINT = hint;
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.open_metadata(wanted bigint) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$ SELECT coalesce(@extschema@.model_metadata(modelopt_private.open_tree(wanted, '[]')), '{}') $$;

-- Stores what a plan makes of three trees; step goes to the recipe of ours,
-- with how many tensors came from where.
CREATE FUNCTION modelopt_private.store_merged(what text, hint text, base_tree bigint, ours modelopt_private.version,
    theirs_tree bigint, method text, method_numbers double precision[], per_tensor jsonb, step jsonb,
    OUT tree_id bigint, OUT new_bytes bigint, OUT stored_bytes bigint, OUT recipe text)
    LANGUAGE plpgsql
    AS $$
DECLARE
    plan record;
    merged @extschema@.model;
    metadata jsonb;
    stored record;
BEGIN
    SELECT array_agg(coalesce('"' || p.tensor || '"', 'graph') || ': ' || p.conflict ORDER BY p.number)
            FILTER (WHERE p.conflict IS NOT NULL) AS conflicts,
        coalesce(array_agg(p.tensor ORDER BY p.number) FILTER (WHERE p.kept), '{}') AS names,
        coalesce(array_agg(p.result ORDER BY p.number) FILTER (WHERE p.kept), '{}') AS methods,
        coalesce(array_agg(p.numbers ORDER BY p.number) FILTER (WHERE p.kept), '{}') AS numbers,
        max(p.result) FILTER (WHERE p.number = 0) AS graph
    INTO plan
    FROM (SELECT q.*, q.number > 0 AND q.result <> 'removed' AS kept
          FROM merge_plan(base_tree, ours.tree_id, theirs_tree, method, method_numbers, per_tensor) q) p;
    PERFORM check_conflicts(plan.conflicts, what, hint);
    step := step || jsonb_build_object('rates', (
        SELECT jsonb_object_agg(m.method, m.tensors)
        FROM (SELECT u.method, count(*) AS tensors FROM unnest(plan.methods) u (method) GROUP BY u.method) m));
    metadata := merge_metadata(CASE WHEN base_tree IS NULL THEN '{}' ELSE open_metadata(base_tree) END,
        open_metadata(ours.tree_id), open_metadata(theirs_tree), method);
    merged := merge_models(CASE WHEN base_tree IS NOT NULL THEN open_tree(base_tree, '[]') END,
        open_tree(ours.tree_id, ours.full_recipe), open_tree(theirs_tree, '[]'),
        plan.names, plan.methods, plan.numbers, plan.graph, jsonb_strip_nulls(step));
    IF metadata <> @extschema@.model_metadata(merged) - 'recipe' THEN
        merged := @extschema@.model_set_metadata(merged, metadata);
    END IF;
    stored := store_model(merged, ours.tree_id);
    tree_id := stored.tree_id;
    new_bytes := stored.new_bytes;
    stored_bytes := stored.stored_bytes;
    recipe := stored.recipe;
END
$$;

-- Makes what was stored the next version of a branch, whose head must still be
-- what it was when the merging began.
CREATE FUNCTION modelopt_private.commit_merged(model_name text, branch text, head modelopt_private.version, stored record,
    parents bigint[], relation text, message text) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model := lock_model(model_name, 'write');
    added modelopt_private.version;
BEGIN
    PERFORM check_expected(version_name(head.id), ref_target(target.id, 'branch', branch),
        format('branch "%s" of model "%s"', branch, target.name));
    added.tree_id := stored.tree_id;
    added.message := message;
    added.full_recipe := stored.recipe;
    added.recipe := steps_since(stored.recipe::jsonb, head.full_recipe::jsonb);
    added.params := '{}';
    added.tags := '{}';
    added.new_bytes := stored.new_bytes;
    added.stored_bytes := stored.stored_bytes;
    added := add_version(target, branch, added, parents, array_fill(relation, ARRAY[cardinality(parents)]), relation);
    RETURN added.version;
END
$$;

-- The branch that something is merged into, and its head.
CREATE FUNCTION modelopt_private.merge_target(target text, privilege text,
    OUT model modelopt_private.named_model, OUT branch text, OUT head modelopt_private.version)
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    goal record := commit_target(target, NULL);
BEGIN
    model := find_model(goal.model_name, privilege);
    branch := coalesce(goal.branch_name, model.default_branch);
    SELECT * INTO head FROM version v WHERE v.id = ref_target(model.id, 'branch', branch);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'branch "%" of model "%" does not exist', branch, model.name USING ERRCODE = 'undefined_object';
    END IF;
END
$$;

-- The version that both come from: as given ('' is none), or the nearest.
CREATE FUNCTION modelopt_private.find_base(head modelopt_private.version, source modelopt_private.version, base text, privilege text)
    RETURNS modelopt_private.version
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    found_base modelopt_private.version;
BEGIN
    IF base = '' THEN
        RETURN NULL;
    ELSIF base IS NOT NULL THEN
        found_base := find_version(base, privilege);
    ELSE
        SELECT * INTO found_base FROM version v WHERE v.id = common_ancestor(head.id, source.id);
    END IF;
    IF found_base.id IS NULL THEN
        RAISE EXCEPTION '"%" and "%" do not come from one version', version_name(head.id), version_name(source.id)
            USING ERRCODE = 'undefined_object',
                HINT = 'Say with base => ''...'' what both come from, or with base => '''' that nothing is.';
    END IF;
    PERFORM require(found_base.model_id, privilege);
    PERFORM require_content(found_base.id, ', and base => ''...'' names another version to compare with');
    RETURN found_base;
END
$$;

-- ---------- merging ----------

-- Whether nothing but the branch has to move, or not even that.
CREATE FUNCTION modelopt_private.merge_without_merging(goal record, source modelopt_private.version, message text) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    base bigint := common_ancestor((goal.head).id, source.id);
    target modelopt_private.named_model;
BEGIN
    IF base = source.id THEN
        RAISE NOTICE 'branch "%" of model "%" has all of version % already', goal.branch, (goal.model).name, source.version;
        RETURN (goal.head).version;
    ELSIF base = (goal.head).id AND source.model_id = (goal.model).id THEN
        target := lock_model((goal.model).name, 'write');
        PERFORM check_expected(version_name((goal.head).id), ref_target(target.id, 'branch', goal.branch),
            format('branch "%s" of model "%s"', goal.branch, target.name));
        PERFORM move_ref(target, 'branch', goal.branch, source.id, 'fast-forward', message);
        RETURN source.version;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION modelopt_private.merge(target text, source text, method text DEFAULT NULL,
    weights double precision[] DEFAULT NULL, density double precision DEFAULT NULL, lambda double precision DEFAULT NULL,
    per_tensor jsonb DEFAULT '{}', message text DEFAULT NULL, base text DEFAULT NULL, expected text DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    goal record := merge_target(target, 'write');
    theirs modelopt_private.version := find_version(source, 'read');
    common modelopt_private.version;
    numbers double precision[];
    said text := coalesce(message, format('Merge %s into %s', version_name(theirs.id), goal.branch));
    result integer;
BEGIN
    IF method IS NOT NULL OR weights IS NOT NULL OR density IS NOT NULL OR lambda IS NOT NULL THEN
        numbers := merge_numbers(coalesce(method, ''), weights, density, lambda);
    END IF;
    PERFORM check_exceptions(per_tensor, (goal.head).tree_id, theirs.tree_id);
    PERFORM check_expected(expected, (goal.head).id, format('branch "%s" of model "%s"', goal.branch, (goal.model).name));
    IF base IS NULL THEN
        result := merge_without_merging(goal, theirs, said);
        IF result IS NOT NULL THEN
            RETURN result;
        END IF;
    END IF;
    common := find_base(goal.head, theirs, base, 'read');
    RETURN commit_merged((goal.model).name, goal.branch, goal.head,
        store_merged(format('merge %s into %s', version_name(theirs.id), version_name((goal.head).id)),
            'modelopt.merge_dry_run() shows them; method and per_tensor say what becomes of tensors that changed on both sides.',
            common.tree_id, goal.head, theirs.tree_id, method, numbers, per_tensor,
            jsonb_build_object('function', 'merge', 'arguments', jsonb_build_object('source', version_name(theirs.id),
                'base', version_name(common.id), 'method', method, 'weights', weights, 'density', density, 'lambda', lambda,
                'per_tensor', nullif(per_tensor, '{}')))),
        ARRAY[(goal.head).id, theirs.id], 'merge', said);
END
$$;
COMMENT ON FUNCTION modelopt_private.merge(text, text, text, double precision[], double precision, double precision, jsonb, text, text, text) IS
    'merges a version (source) into a branch (target: a name, or name/branch) tensor by tensor: what changed on one side since their common ancestor is taken from there, and what changed on both by method: ours (the target), theirs, base, average, weighted (weights of target and source, divided by their sum), slerp (likewise), task_arithmetic (lambda 0.4 if not given) or ties (density 0.2, lambda 1), for floating-point tensors of one dtype and shape; per_tensor has other methods for names, or patterns with * and ?, of which the longest counts. What is left is a conflict: SQLSTATE 55M01, and nothing is merged. base is another version to compare with, or '''' for none. Returns the number of the new version, whose parents are both; or of the source, when the branch only had to move there. With expected only if that is the branch''s head, else 40M01. Needs write on the target and read on the source';

CREATE FUNCTION modelopt_private.merge_dry_run(target text, source text, method text DEFAULT NULL,
    weights double precision[] DEFAULT NULL, density double precision DEFAULT NULL, lambda double precision DEFAULT NULL,
    per_tensor jsonb DEFAULT '{}', base text DEFAULT NULL,
    OUT tensor text, OUT ours text, OUT theirs text, OUT result text, OUT conflict text)
    RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    goal record := merge_target(target, 'usage');
    theirs_version modelopt_private.version := find_version(source, 'usage');
    common modelopt_private.version := find_base(goal.head, theirs_version, base, 'usage');
    numbers double precision[];
BEGIN
    IF method IS NOT NULL OR weights IS NOT NULL OR density IS NOT NULL OR lambda IS NOT NULL THEN
        numbers := merge_numbers(coalesce(method, ''), weights, density, lambda);
    END IF;
    PERFORM require_content(theirs_version.id);
    PERFORM check_exceptions(per_tensor, (goal.head).tree_id, theirs_version.tree_id);
    RETURN QUERY
    SELECT p.tensor, p.ours, p.theirs, p.result, p.conflict
    FROM merge_plan(common.tree_id, (goal.head).tree_id, theirs_version.tree_id, method, numbers, per_tensor) p
    WHERE p.conflict IS NOT NULL OR p.ours IS DISTINCT FROM 'unchanged' OR p.theirs IS DISTINCT FROM 'unchanged'
    ORDER BY p.number;
END
$$;
COMMENT ON FUNCTION modelopt_private.merge_dry_run(text, text, text, double precision[], double precision, double precision, jsonb, text) IS
    'what modelopt.merge() of the same arguments would do: for each tensor that changed since the common ancestor (and for the graph, with a null name) what became of it on both sides, and what the result is: a side, a method or removed; or why it is a conflict. Reads no weights';

-- ---------- reverting ----------

-- The parent that a version is undone towards.
CREATE FUNCTION modelopt_private.parent_to_revert(undone modelopt_private.version, parent integer) RETURNS modelopt_private.version
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    parents integer := (SELECT count(*) FROM version_parent p WHERE p.version_id = undone.id);
    found_parent modelopt_private.version;
BEGIN
    IF parents = 0 THEN
        RAISE EXCEPTION 'version "%" cannot be reverted', version_name(undone.id)
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = 'It is a first version: there is nothing before it.';
    ELSIF parents > 1 AND parent IS NULL THEN
        RAISE EXCEPTION 'version "%" has % parents', version_name(undone.id), parents
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say with parent => 1 that what came from the others is to go.';
    END IF;
    SELECT v.* INTO found_parent
    FROM version_parent p JOIN version v ON v.id = p.parent_id
    WHERE p.version_id = undone.id AND p.number = coalesce(parent, 1);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version "%" has no parent %', version_name(undone.id), parent
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It has %s.', parents);
    END IF;
    RETURN found_parent;
END
$$;

-- Undoing a version is merging what was before it into what is now, with the
-- version as what both come from.
CREATE FUNCTION modelopt_private.revert(ref text, branch text DEFAULT NULL, message text DEFAULT NULL,
    parent integer DEFAULT NULL, expected text DEFAULT NULL) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    undone modelopt_private.version := find_version(ref, 'write');
    before modelopt_private.version := parent_to_revert(undone, parent);
    model_name text := (SELECT m.name FROM named_model m WHERE m.id = undone.model_id);
    goal record := merge_target(model_name || coalesce('/' || branch, ''), 'write');
    stored record;
BEGIN
    IF before.model_id <> undone.model_id THEN
        PERFORM require(before.model_id, 'read');
    END IF;
    PERFORM require_content(undone.id), require_content(before.id);
    PERFORM check_expected(expected, (goal.head).id, format('branch "%s" of model "%s"', goal.branch, model_name));
    stored := store_merged(format('revert %s on branch "%s"', version_name(undone.id), goal.branch),
        'Tensors that changed again since then would lose that; modelopt.commit() can make any of them what it was.',
        undone.tree_id, goal.head, before.tree_id, NULL, NULL, '{}',
        jsonb_build_object('function', 'revert', 'arguments', jsonb_build_object('version', version_name(undone.id), 'parent', parent)));
    IF (SELECT t.model_digest FROM tree t WHERE t.id = stored.tree_id) = (SELECT t.model_digest FROM tree t WHERE t.id = (goal.head).tree_id) THEN
        RAISE NOTICE 'nothing of version % is left on branch "%" of "%", so there is no new version', undone.version, goal.branch, model_name;
        RETURN (goal.head).version;
    END IF;
    RETURN commit_merged(model_name, goal.branch, goal.head, stored, ARRAY[(goal.head).id], 'revert',
        coalesce(message, format('Revert "%s"', undone.message)));
END
$$;
COMMENT ON FUNCTION modelopt_private.revert(text, text, text, integer, text) IS
    'undoes one version with a new one on a branch (the default one if not given) of its model: tensors that it changed get what they were before it, in its first parent or, for a merge, in the one that parent says. Those that changed again since then are conflicts: SQLSTATE 55M01, and nothing is reverted. Returns the number of the new version; with expected only if that is the branch''s head, else 40M01';
