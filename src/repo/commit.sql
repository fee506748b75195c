-- Versions come into being.

-- Stores the content of a model, coded against a tree (or 0), and its recipe.
CREATE FUNCTION modelopt_private.store_model(m model, base_tree bigint,
    OUT tree_id bigint, OUT new_bytes bigint, OUT stored_bytes bigint, OUT recipe text)
    LANGUAGE C STRICT COST 100000
    AS 'MODULE_PATHNAME', 'modelopt_store_model';

-- The model of a tree, whose weights are read when somebody asks.
CREATE FUNCTION modelopt_private.open_tree(tree_id bigint, recipe text) RETURNS model
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000
    AS 'MODULE_PATHNAME', 'modelopt_open_tree';

-- ---------- relations ----------

-- The steps of a recipe that come after those of another one.
CREATE FUNCTION modelopt_private.steps_since(recipe jsonb, earlier jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT coalesce(jsonb_agg(step ORDER BY number), '[]')
    FROM jsonb_array_elements(recipe) WITH ORDINALITY s (step, number)
    WHERE number > CASE
        WHEN (SELECT coalesce(jsonb_agg(f ORDER BY n), '[]')
              FROM jsonb_array_elements(recipe) WITH ORDINALITY h (f, n)
              WHERE n <= jsonb_array_length(earlier)) = earlier
        THEN jsonb_array_length(earlier) ELSE 0 END
$$;

-- What transformations make of a model in the words that people use for it.
CREATE FUNCTION modelopt_private.relation_of(steps jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT string_agg(relation, ', ' ORDER BY first)
    FROM (
        SELECT relation, min(number) AS first
        FROM jsonb_array_elements(steps) WITH ORDINALITY s (step, number),
            LATERAL (SELECT CASE
                WHEN step ->> 'function' LIKE 'prune%' THEN 'pruned'
                WHEN step ->> 'function' LIKE 'cut%' THEN 'cut'
                WHEN step ->> 'function' LIKE 'quantize%' THEN 'quantized'
                WHEN step ->> 'function' LIKE 'compress%' THEN 'compressed'
                WHEN step ->> 'function' LIKE 'merge%' THEN 'merge'
                ELSE step ->> 'function' END AS relation) r
        GROUP BY relation) relations
$$;

-- ---------- committing ----------

-- What identifies a version, for good.
CREATE FUNCTION modelopt_private.version_digest(v modelopt_private.version, parents bigint[]) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
    SELECT sha256(modelopt_private.canonical_json(jsonb_build_array(
        (SELECT encode(t.digest, 'hex') FROM modelopt_private.tree t WHERE t.id = v.tree_id),
        (SELECT coalesce(jsonb_agg(encode(p.digest, 'hex') ORDER BY given.number), '[]')
         FROM unnest(parents) WITH ORDINALITY given (id, number)
             JOIN modelopt_private.version p ON p.id = given.id),
        v.author, (extract(epoch FROM v.committed_at) * 1000000)::bigint, v.message, v.params, v.full_recipe,
        v.model_id, v.version)))
$$;

-- Adds a version to a model that is locked, and moves the branch to it.  What
-- the new row is not told here it finds in the session.
CREATE FUNCTION modelopt_private.add_version(target modelopt_private.named_model, branch text, v modelopt_private.version,
    parents bigint[], relations text[], operation text, reason text DEFAULT NULL) RETURNS modelopt_private.version
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE named_model m SET next_version = m.next_version + 1 WHERE m.id = target.id
    RETURNING m.next_version - 1 INTO v.version;
    v.id := nextval('modelopt_private.version_id');
    v.model_id := target.id;
    v.author := coalesce(v.author, caller());
    v.session_role := session_user;
    v.application := current_setting('application_name');
    v.client := host(inet_client_addr());
    v.transaction_id := pg_current_xact_id();
    v.committed_at := clock_timestamp();
    v.relation := coalesce(relations[1], 'first');
    v.digest := version_digest(v, parents);
    PERFORM share_versions(parents);
    INSERT INTO version VALUES (v.*);
    INSERT INTO version_parent (version_id, number, parent_id, relation)
    SELECT v.id, p.number, p.id, p.relation
    FROM unnest(parents, relations) WITH ORDINALITY p (id, relation, number);
    PERFORM move_ref(target, 'branch', branch, v.id, operation, coalesce(reason, v.message));
    RETURN v;
END
$$;

CREATE FUNCTION modelopt_private.check_may_create(name text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    IF NOT may_create() THEN
        RAISE EXCEPTION 'permission denied to create model "%"', name
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'The owner of the extension may grant it with modelopt.grant_create().';
    END IF;
END
$$;

-- Makes a model of that name for the caller (or for whom it acts); null when
-- there is one, maybe since just now.
CREATE FUNCTION modelopt_private.try_to_create_model(name text, description text DEFAULT '') RETURNS modelopt_private.named_model
    LANGUAGE plpgsql
    AS $$
DECLARE
    created modelopt_private.named_model;
BEGIN
    PERFORM check_name(name, 'model');
    PERFORM check_may_create(name);
    INSERT INTO named_model (name, owner, description)
    VALUES (try_to_create_model.name, authority(), coalesce(try_to_create_model.description, ''))
    ON CONFLICT DO NOTHING RETURNING * INTO created;
    IF FOUND THEN
        PERFORM add_audit(created.id, name, 'create', jsonb_build_object('owner', created.owner));
    END IF;
    RETURN created;
END
$$;

CREATE FUNCTION modelopt_private.create_model(name text, description text DEFAULT '') RETURNS modelopt_private.named_model
    LANGUAGE plpgsql
    AS $$
DECLARE
    created modelopt_private.named_model := try_to_create_model(name, description);
BEGIN
    IF created.id IS NULL THEN
        RAISE EXCEPTION 'model "%" exists already', name USING ERRCODE = 'duplicate_object';
    END IF;
    RETURN created;
END
$$;

-- The model of that name, for a caller that may write to it, or a new one.
CREATE FUNCTION modelopt_private.find_or_create_model(wanted_name text) RETURNS modelopt_private.named_model
    LANGUAGE plpgsql
    AS $$
DECLARE
    target modelopt_private.named_model;
BEGIN
    LOOP
        SELECT * INTO target FROM named_model n WHERE n.name = wanted_name;
        IF FOUND THEN
            PERFORM require(target.id, 'write');
            RETURN target;
        END IF;
        target := try_to_create_model(wanted_name);
        IF target.id IS NOT NULL THEN
            RETURN target;
        END IF;
    END LOOP;
END
$$;

-- The branch that a commit goes to: of a name, or of name/branch.
CREATE FUNCTION modelopt_private.commit_target(name text, branch text, OUT model_name text, OUT branch_name text)
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    parts record;
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION 'name of a model must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    parts := parse_ref(name);
    IF parts.kind NOT IN ('head', 'branch') OR parts.back > 0 OR (parts.kind = 'branch' AND branch IS NOT NULL) THEN
        RAISE EXCEPTION 'cannot commit to "%"', name
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Commits go to a branch: give the name of a model, or name/branch.';
    END IF;
    model_name := parts.model;
    branch_name := coalesce(branch, CASE parts.kind WHEN 'branch' THEN parts.name END);
END
$$;

-- Raises unless the caller may commit there; a model begins with its default
-- branch.
CREATE FUNCTION modelopt_private.check_commit_target(name text, branch text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    goal record := commit_target(name, branch);
    target modelopt_private.named_model;
BEGIN
    SELECT * INTO target FROM named_model m WHERE m.name = goal.model_name;
    IF FOUND THEN
        PERFORM require(target.id, 'write');
    ELSE
        PERFORM check_name(goal.model_name, 'model');
        PERFORM check_may_create(goal.model_name);
    END IF;
    IF coalesce(target.next_version, 1) = 1 AND goal.branch_name <> coalesce(target.default_branch, 'main') THEN
        RAISE EXCEPTION 'model "%" %', goal.model_name, CASE WHEN target.id IS NULL THEN 'does not exist' ELSE 'has no version yet' END
            USING ERRCODE = 'undefined_object',
                HINT = format('The first commit goes to the default branch: commit to "%s". What follows / is a branch.', goal.model_name);
    END IF;
END
$$;

-- The jsonb of an argument that must be an object.
CREATE FUNCTION modelopt_private.check_object(value jsonb, what text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF jsonb_typeof(value) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION '% must be a JSON object', what USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN value;
END
$$;

-- What a version is to its parents, as its author says it.
CREATE FUNCTION modelopt_private.check_relation(relation text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF relation !~ '^[a-z][a-z_ ,]{0,49}$' OR relation = 'first' THEN
        RAISE EXCEPTION 'invalid relation "%"', relation
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = 'It is a word in lower case, or some, of up to 50 letters in all; a version without parents is called "first".',
                HINT = 'Common ones are finetune, distilled, pruned, quantized and derived.';
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.check_metrics(metrics jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF EXISTS (SELECT FROM jsonb_each(check_object(metrics, 'metrics')) m WHERE jsonb_typeof(m.value) <> 'number') THEN
        RAISE EXCEPTION 'metrics must be numbers'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Other things to remember go into params or tags.';
    END IF;
    PERFORM m.value::text::double precision FROM jsonb_each(metrics) m;
END
$$;

CREATE FUNCTION modelopt_private.add_metrics(added modelopt_private.version, model_name text, metrics jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO metric (version_id, name, value, recorded_by)
    SELECT added.id, m.key, m.value::text::double precision, caller()
    FROM jsonb_each(metrics) m;
    IF FOUND THEN
        PERFORM add_audit(added.model_id, model_name, 'log metric', jsonb_build_object('version', added.version,
            'metrics', metrics, 'dataset', '', 'step', 0));
    END IF;
END
$$;

CREATE FUNCTION modelopt_private.commit(name text, m model, message text DEFAULT '', branch text DEFAULT NULL,
    expected text DEFAULT NULL, params jsonb DEFAULT '{}', metrics jsonb DEFAULT '{}', tags jsonb DEFAULT '{}',
    relation text DEFAULT NULL, parents text[] DEFAULT '{}', allow_empty boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    goal record := commit_target(name, branch);
    target modelopt_private.named_model;
    head modelopt_private.version;
    added modelopt_private.version;
    stored record;
    base_tree bigint := 0;
    further_parents bigint[];
    parent_ids bigint[] := '{}';
    relations text[] := '{}';
BEGIN
    IF m IS NULL THEN
        RAISE EXCEPTION 'model to be committed must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    added.params := check_object(params, 'params');
    added.tags := check_object(tags, 'tags');
    PERFORM check_metrics(metrics);
    PERFORM check_relation(relation);
    further_parents := ARRAY(SELECT (find_version(p, 'usage')).id FROM unnest(parents) WITH ORDINALITY o (p, n) ORDER BY n);
    PERFORM check_commit_target(name, branch);
    target := find_or_create_model(goal.model_name);
    goal.branch_name := coalesce(goal.branch_name, target.default_branch);

    -- The long work is done before the lock that makes others wait.
    SELECT v.tree_id INTO base_tree FROM version v WHERE v.id = ref_target(target.id, 'branch', goal.branch_name);
    stored := store_model(m, coalesce(base_tree, 0));

    target := lock_model(target.name, 'write');
    SELECT * INTO head FROM version v WHERE v.id = ref_target(target.id, 'branch', goal.branch_name);
    PERFORM check_expected(target, expected, head.id, format('branch "%s" of model "%s"', goal.branch_name, target.name));
    IF head.id IS NULL AND target.next_version > 1 THEN
        RAISE EXCEPTION 'branch "%" of model "%" does not exist', goal.branch_name, target.name
            USING ERRCODE = 'undefined_object', HINT = 'modelopt.branch() starts one.';
    END IF;
    IF NOT allow_empty AND (SELECT t.model_digest FROM tree t WHERE t.id = stored.tree_id)
        = (SELECT t.model_digest FROM tree t WHERE t.id = head.tree_id) THEN
        RAISE NOTICE 'model is the same as version % of "%", so there is no new version', head.version, target.name
            USING DETAIL = 'Its message, parameters, tags and metrics were not kept.',
                HINT = 'allow_empty => true makes a version all the same; modelopt.log_metric() adds metrics to the one that is there.';
        RETURN head.version;
    END IF;

    added.tree_id := stored.tree_id;
    added.message := coalesce(message, '');
    added.full_recipe := stored.recipe;
    added.recipe := steps_since(stored.recipe::jsonb, coalesce(head.full_recipe, '[]')::jsonb);
    added.new_bytes := stored.new_bytes;
    added.stored_bytes := stored.stored_bytes;
    IF head.id IS NOT NULL THEN
        parent_ids := ARRAY[head.id];
        relations := ARRAY[coalesce(relation, relation_of(added.recipe), 'update')];
    END IF;
    parent_ids := parent_ids || further_parents;
    relations := relations || array_fill(coalesce(relation, relation_of(added.recipe), 'derived'),
        ARRAY[cardinality(parent_ids) - cardinality(relations)]);
    added := add_version(target, goal.branch_name, added, parent_ids, relations, 'commit');
    PERFORM add_metrics(added, target.name, metrics);
    RETURN added.version;
END
$$;
COMMENT ON FUNCTION modelopt_private.commit(text, model, text, text, text, jsonb, jsonb, jsonb, text, text[], boolean) IS
    'makes a model the next version of a name (or name/branch), and the name, if it is new, a model that the caller owns; returns the version''s number. A model that is the same as the head makes no version, unless allow_empty: a notice says so, the head''s number is returned, and nothing is kept of the other arguments. With expected (a reference, or '''' for no version yet) only if that is the head, else SQLSTATE 40M01. relation says what the version is to its parent (finetune, distilled, ...), which is known for what was pruned, cut, quantized or compressed here; parents are further versions that it comes from';

CREATE FUNCTION modelopt_private.log_metric(ref text, name text, value double precision, dataset text DEFAULT '', step bigint DEFAULT 0) RETURNS void
    LANGUAGE plpgsql STRICT
    AS $$
DECLARE
    measured modelopt_private.version := find_version(ref, 'write');
BEGIN
    PERFORM share_versions(ARRAY[measured.id]);
    INSERT INTO metric (version_id, name, value, dataset, step, recorded_by)
    VALUES (measured.id, log_metric.name, log_metric.value, log_metric.dataset, log_metric.step, caller());
    PERFORM add_audit(measured.model_id, (SELECT n.name FROM named_model n WHERE n.id = measured.model_id), 'log metric',
        jsonb_build_object('version', measured.version, 'name', name, 'value', value::text, 'dataset', dataset, 'step', step));
END
$$;
COMMENT ON FUNCTION modelopt_private.log_metric(text, text, double precision, text, bigint) IS
    'adds a number that was measured later to a version, whose digest stays the same';

-- ---------- reading ----------

CREATE FUNCTION modelopt_private.get(ref text) RETURNS model
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    wanted modelopt_private.version := find_version(ref, 'read');
BEGIN
    RETURN open_tree(wanted.tree_id, wanted.full_recipe);
END
$$;
COMMENT ON FUNCTION modelopt_private.get(text) IS
    'the model of a version; its weights are read when something asks for them';

CREATE FUNCTION modelopt_private.tensor(ref text, name text) RETURNS real[]
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
    AS $$
BEGIN
    RETURN @extschema@.tensor(get(ref), name);
END
$$;
COMMENT ON FUNCTION modelopt_private.tensor(text, text) IS
    'one tensor of a version, of which no other is read';
