-- What may go from a model: tried out, on rows of a table.
--
-- Written in SQL because it is: what is tried are calls of functions that
-- anybody can call.  Everything runs with the caller's rights, and under the
-- caller's search_path, for the query's names are looked up there; so functions
-- are called by schema and name here.  What people call are gates (search_sql.c)
-- to those of the functions that have their names.

CREATE FUNCTION @extschema@.metric_drop(metric text, value double precision, baseline double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT CASE WHEN metric IN ('log_loss', 'mse', 'mae') THEN value - baseline ELSE baseline - value END $$;
COMMENT ON FUNCTION @extschema@.metric_drop(text, double precision, double precision) IS
    'by how much a value of one of evaluate()''s metrics is worse than another: less than 0 when it is better';

-- ---------- sensitivity ----------

CREATE FUNCTION modelopt_private.sensitivity(model @extschema@.model, query text, method text DEFAULT 'l1',
        amounts double precision[] DEFAULT '{0.25,0.5,0.75,0.9}', metric text DEFAULT NULL, task text DEFAULT 'auto',
        labels text[] DEFAULT NULL, output text DEFAULT NULL, scores text DEFAULT 'auto',
        OUT layer text, OUT amount double precision, OUT value double precision, OUT baseline double precision,
        OUT "drop" double precision) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET client_min_messages = warning
    AS $$
#variable_conflict use_variable
DECLARE
    measured text;
    weights text[];
    pruned @extschema@.model;
BEGIN
    IF method IS NULL OR amounts IS NULL THEN
        RAISE EXCEPTION 'method and amounts must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT e.metric, e.value INTO measured, baseline
    FROM @extschema@.evaluate(model, query, task, labels, CASE WHEN metric IS NOT NULL THEN ARRAY[metric] END, output, scores) e
    WHERE metric IS NOT NULL OR e.metric IN ('accuracy', 'r2');
    FOR layer, weights IN
        SELECT l.layer, pg_catalog.array_agg(l.tensor ORDER BY l.number)
        FROM @extschema@.layer_tensors(model) WITH ORDINALITY l (layer, tensor, number)
            JOIN @extschema@.prune_dry_run(model, 0) p ON p.name = l.tensor
        GROUP BY l.layer ORDER BY pg_catalog.min(l.number)
    LOOP
        FOREACH amount IN ARRAY amounts LOOP
            pruned := @extschema@.prune(model, amount, method, include => weights);
            SELECT e.value INTO value
            FROM @extschema@.evaluate(pruned, query, task, labels, ARRAY[measured], output, scores) e
            WHERE e.metric = measured;
            "drop" := @extschema@.metric_drop(measured, value, baseline);
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION modelopt_private.sensitivity(@extschema@.model, text, text, double precision[], text, text, text[], text, text) IS
    'how much worse a model becomes on the rows of a query when weights of one layer alone are pruned: for each layer that has weights prune() would take, and each of the amounts, the value of a metric then, the baseline''s, and the drop, by which it is worse (less than 0 when it is better). method is one of prune() that needs but an amount. metric: default accuracy, or r2 of a regression. The query and the other arguments are those of evaluate()';

CREATE FUNCTION modelopt_private.sensitivity(model text, query text, method text DEFAULT 'l1',
        amounts double precision[] DEFAULT '{0.25,0.5,0.75,0.9}', metric text DEFAULT NULL, task text DEFAULT 'auto',
        labels text[] DEFAULT NULL, output text DEFAULT NULL, scores text DEFAULT 'auto',
        OUT layer text, OUT amount double precision, OUT value double precision, OUT baseline double precision,
        OUT "drop" double precision) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL UNSAFE
    AS $$ SELECT * FROM @extschema@.sensitivity(modelopt.get(model), query, method, amounts, metric, task, labels, output, scores) $$;
COMMENT ON FUNCTION modelopt_private.sensitivity(text, text, text, double precision[], text, text, text[], text, text) IS
    'the same with a version of the repository, by a reference; needs the privilege read';

-- ---------- optimize ----------

-- Takes a step on a model and, of the ways to store what comes out, the
-- smallest.  Step and ways are expressions, with %s for the model and then the
-- amount.  What would not be smaller than the best so far is not evaluated.
CREATE FUNCTION @extschema@.optimize_try(model @extschema@.model, shape text, step text, amount double precision, ways text[],
        target text, below bigint, query text, metric text, baseline double precision, max_drop double precision,
        task text, labels text[], output text, scores text,
        OUT recipe text, OUT value double precision, OUT "drop" double precision, OUT bytes bigint, OUT parameters bigint,
        OUT kept boolean)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    AS $$
#variable_conflict use_variable
DECLARE
    shaped @extschema@.model;
    stored @extschema@.model;
    smallest @extschema@.model;
    way text;
BEGIN
    kept := false;
    recipe := pg_catalog.format(step, shape, amount);
    EXECUTE 'SELECT ' || pg_catalog.format(step, '$1', amount) INTO shaped USING model;
    FOREACH way IN ARRAY ways LOOP
        EXECUTE 'SELECT ' || pg_catalog.format(way, '$1') INTO stored USING shaped;
        IF bytes IS NULL OR @extschema@.model_size(stored) < bytes THEN
            recipe := pg_catalog.format(way, pg_catalog.format(step, shape, amount));
            smallest := stored;
            bytes := @extschema@.model_size(stored);
        END IF;
    END LOOP;
    parameters := @extschema@.num_parameters(smallest);
    IF below IS NULL OR (CASE target WHEN 'size' THEN bytes ELSE parameters END) < below THEN
        SELECT e.value INTO value
        FROM @extschema@.evaluate(smallest, query, task, labels, ARRAY[metric], output, scores) e
        WHERE e.metric = optimize_try.metric;
        "drop" := @extschema@.metric_drop(metric, value, baseline);
        -- A difference of fractions is seldom exact: 0.93 - 0.92 is more than 0.01.
        kept := coalesce("drop" <= max_drop + 1e-9, false);
    END IF;
EXCEPTION
    -- It cannot be done to this model, or the runtime does not take what came out.
    WHEN feature_not_supported OR invalid_parameter_value OR undefined_object OR external_routine_exception THEN
        bytes := NULL;
        parameters := NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.optimize_try(@extschema@.model, text, text, double precision, text[], text, bigint, text, text,
    double precision, double precision, text, text[], text, text) IS 'part of optimize()';

-- What a kind of step can be done to: names of layers or tensors that lose
-- something together.
CREATE FUNCTION @extschema@.optimize_units(model @extschema@.model, kind text) RETURNS SETOF text[]
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 20
    AS $$
BEGIN
    IF kind = 'prune' THEN
        RETURN QUERY SELECT pg_catalog.array_agg(l.tensor ORDER BY l.number)
            FROM @extschema@.layer_tensors(model) WITH ORDINALITY l (layer, tensor, number)
                JOIN @extschema@.prune_dry_run(model, 0) p ON p.name = l.tensor
            GROUP BY l.layer ORDER BY pg_catalog.min(l.number);
    ELSE
        RETURN QUERY SELECT pg_catalog.array_agg(c.layer ORDER BY c.number)
            FROM @extschema@.cut_nodes_dry_run(model, 0.5) WITH ORDINALITY
                c (layer, "group", nodes, cut, indexes, stays_because, number)
            WHERE c.stays_because IS NULL GROUP BY c."group" ORDER BY pg_catalog.min(c.number);
    END IF;
EXCEPTION
    WHEN feature_not_supported OR invalid_parameter_value THEN
        NULL;                   -- a graph that cut_nodes() does not understand
END
$$;
COMMENT ON FUNCTION @extschema@.optimize_units(@extschema@.model, text) IS 'part of optimize()';

CREATE FUNCTION modelopt_private.optimize(model @extschema@.model, query text, max_drop double precision DEFAULT 0.01,
        target text DEFAULT 'size', metric text DEFAULT NULL, tries integer DEFAULT 4, task text DEFAULT 'auto',
        labels text[] DEFAULT NULL, output text DEFAULT NULL, scores text DEFAULT 'auto',
        OUT step integer, OUT recipe text, OUT measured text, OUT value double precision, OUT "drop" double precision,
        OUT bytes bigint, OUT parameters bigint, OUT kept boolean, OUT version integer) RETURNS SETOF record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 50
    SET client_min_messages = warning
    AS $$
#variable_conflict use_variable
DECLARE
    -- Nothing, where the recipe's functions are found without.
    prefix text := CASE WHEN (SELECT pg_catalog.bool_and(pg_catalog.pg_function_is_visible(p.oid)) FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = '@extschema@'::pg_catalog.regnamespace AND p.proname IN ('quantize', 'cut_nodes', 'prune'))
        THEN '' ELSE '@extschema@.' END;
    again text := CASE WHEN EXISTS (SELECT FROM @extschema@.tensors(model) t WHERE t.encoding NOT IN ('dense', 'sparse'))
        THEN ', requantize => true' ELSE '' END;
    rounded text;
    ways text[] := '{%s}';
    way text;
    kind text;
    shaped @extschema@.model := model;
    shape text := 'm';
    halves jsonb;
    half jsonb;
    chosen bigint;
    before text;
    a_step text;
    baseline double precision;
    best bigint;
    low double precision;
    high double precision;
    amount double precision;
    accepted double precision;
BEGIN
    IF max_drop IS NULL OR tries IS NULL OR target IS NULL THEN
        RAISE EXCEPTION 'max_drop, target and tries must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF target NOT IN ('size', 'speed') THEN
        RAISE EXCEPTION 'unknown target "%"', target USING ERRCODE = 'invalid_parameter_value', HINT = 'It is size or speed.';
    END IF;
    IF max_drop < 0 OR max_drop = 'NaN' OR tries NOT BETWEEN 1 AND 20 THEN
        RAISE EXCEPTION 'max_drop must be a number from 0 on, and tries must be from 1 to 20' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT e.metric, e.value INTO measured, value
    FROM @extschema@.evaluate(model, query, task, labels, CASE WHEN metric IS NOT NULL THEN ARRAY[metric] END, output, scores) e
    WHERE metric IS NOT NULL OR e.metric IN ('accuracy', 'r2');
    IF value IS NULL THEN
        RAISE EXCEPTION 'query gives no rows that a metric could be measured on' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    step := 0;
    recipe := 'm';
    baseline := value;
    "drop" := 0;
    bytes := @extschema@.model_size(model);
    parameters := @extschema@.num_parameters(model);
    kept := true;
    best := CASE target WHEN 'size' THEN bytes ELSE parameters END;
    RETURN NEXT;

    -- A warning, as notices of what is tried are held back.
    rounded := (SELECT t.name FROM @extschema@.tensors(model) t WHERE t.encoding NOT IN ('dense', 'sparse', 'planes', 'lowrank') LIMIT 1);
    IF target = 'size' AND rounded IS NOT NULL THEN
        RAISE WARNING 'model is quantized already, and is rounded once more'
            USING DETAIL = pg_catalog.format('Tensor "%s" is one that is. A drop is against the model as it is now, not as it was before.', rounded),
                HINT = 'Optimize the model that it was made from.';
    END IF;

    -- Smaller numbers.
    FOREACH way IN ARRAY CASE target WHEN 'size' THEN ARRAY['int8', 'int4'] ELSE '{}' END LOOP
        way := pg_catalog.format('%squantize(%%s, %L%s)', prefix, way, again);
        SELECT t.* INTO recipe, value, "drop", bytes, parameters, kept
        FROM @extschema@.optimize_try(model, shape, '%s', NULL, ARRAY[way], target, best, query, measured, baseline, max_drop,
            task, labels, output, scores) t;
        IF kept THEN
            best := bytes;
            ways := ways || way;
        END IF;
        step := step + 1;
        RETURN NEXT;
    END LOOP;

    -- Fewer nodes, then more zeros.
    FOREACH kind IN ARRAY CASE target WHEN 'size' THEN ARRAY['cut_nodes', 'prune'] ELSE ARRAY['cut_nodes'] END LOOP
        -- Half of each unit alone tells which of them matter least.
        halves := '[]';
        FOR a_step IN
            SELECT pg_catalog.format('%s%s(%%s, %%s, include => %s)', prefix, kind,
                pg_catalog.replace(pg_catalog.quote_literal(u::text), '%', '%%'))
            FROM @extschema@.optimize_units(shaped, kind) u
        LOOP
            SELECT halves || pg_catalog.jsonb_build_array(pg_catalog.to_jsonb(t) || pg_catalog.jsonb_build_object('step', a_step)) INTO halves
            FROM @extschema@.optimize_try(shaped, shape, a_step, 0.5, ways, target, NULL, query, measured, baseline, max_drop,
                task, labels, output, scores) t;
        END LOOP;
        -- The first of these that is good enough and smaller is a step already.
        chosen := (SELECT h.n FROM pg_catalog.jsonb_array_elements(halves) WITH ORDINALITY h (h, n)
            WHERE (h.h ->> 'kept')::boolean AND (h.h ->> CASE target WHEN 'size' THEN 'bytes' ELSE 'parameters' END)::bigint < best
            ORDER BY (h.h ->> 'drop')::double precision, h.n LIMIT 1);
        halves := (SELECT pg_catalog.jsonb_agg(h.h || pg_catalog.jsonb_build_object('chosen', coalesce(h.n = chosen, false))
                ORDER BY h.n IS NOT DISTINCT FROM chosen DESC, (h.h ->> 'drop')::double precision, h.n)
            FROM pg_catalog.jsonb_array_elements(halves) WITH ORDINALITY h (h, n));
        FOR half IN SELECT h.h FROM pg_catalog.jsonb_array_elements(halves) h (h) LOOP
            recipe := half ->> 'recipe';
            value := half ->> 'value';
            "drop" := half ->> 'drop';
            bytes := half ->> 'bytes';
            parameters := half ->> 'parameters';
            kept := half ->> 'chosen';
            IF kept THEN
                best := CASE target WHEN 'size' THEN bytes ELSE parameters END;
            END IF;
            step := step + 1;
            RETURN NEXT;
        END LOOP;
        before := shape;
        FOR half IN SELECT h.h FROM pg_catalog.jsonb_array_elements(halves) h (h) WHERE h.h ->> 'drop' IS NOT NULL LOOP
            a_step := half ->> 'step';
            low := 0;
            high := 1;
            accepted := CASE WHEN (half ->> 'chosen')::boolean THEN 0.5 ELSE 0 END;
            -- Half of the same model is known; if it is good enough, more of it goes.
            IF shape = before AND (half ->> 'kept')::boolean THEN
                low := 0.5;
            ELSIF shape = before THEN
                high := 0.5;
            END IF;
            FOR i IN CASE WHEN shape = before THEN 2 ELSE 1 END .. tries LOOP
                amount := (low + high) / 2;
                SELECT t.* INTO recipe, value, "drop", bytes, parameters, kept
                FROM @extschema@.optimize_try(shaped, shape, a_step, amount, ways, target, best, query, measured, baseline, max_drop,
                    task, labels, output, scores) t;
                IF kept THEN
                    best := CASE target WHEN 'size' THEN bytes ELSE parameters END;
                    accepted := amount;
                END IF;
                -- What is not yet smaller may be so with more of the same.
                IF kept OR (value IS NULL AND bytes IS NOT NULL) THEN
                    low := amount;
                ELSE
                    high := amount;
                END IF;
                step := step + 1;
                RETURN NEXT;
            END LOOP;
            IF accepted > 0 THEN
                EXECUTE 'SELECT ' || pg_catalog.format(a_step, '$1', accepted) INTO shaped USING shaped;
                shape := pg_catalog.format(a_step, shape, accepted);
            END IF;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION modelopt_private.optimize(@extschema@.model, text, double precision, text, text, integer, text, text[], text, text) IS
    'looks for the smallest model whose metric on the rows of a query is worse by max_drop at most, and returns what was tried: the recipe (an expression on the model m), the value of the metric and its drop, stored bytes, parameters, and whether it was the best until then; the last one kept is the result. target size (stored bytes): first quantize to int8 and to int4; then cut_nodes layer by layer, then prune layer by layer, each with the kinds of numbers that were good enough, or none, whichever is smaller. Half of a layer alone is tried first, which sets the order, those that matter least first (and the first that is good enough is kept); then the fraction that goes is bisected, tries times, and what was accepted stays. A step that would not be smaller is not evaluated (no value) and is tried with more of it; one that the model or the runtime does not take has no bytes. target speed (parameters, which a node''s work goes by): only cut_nodes. metric: default accuracy, or r2 of a regression. The query and the other arguments are those of evaluate(). The query is run for each evaluation, under one snapshot. What is quantized already is rounded once more (requantize => true), of which a WARNING tells. version is null';

CREATE FUNCTION modelopt_private.optimize(name text, query text, max_drop double precision DEFAULT 0.01,
        target text DEFAULT 'size', metric text DEFAULT NULL, tries integer DEFAULT 4, task text DEFAULT 'auto',
        labels text[] DEFAULT NULL, output text DEFAULT NULL, scores text DEFAULT 'auto',
        dry_run boolean DEFAULT false, message text DEFAULT NULL, branch text DEFAULT NULL,
        OUT step integer, OUT recipe text, OUT measured text, OUT value double precision, OUT "drop" double precision,
        OUT bytes bigint, OUT parameters bigint, OUT kept boolean, OUT version integer) RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 50
    SET client_min_messages = warning
    AS $$
#variable_conflict use_variable
DECLARE
    start text := modelopt.resolve(name);
    model_name text := pg_catalog.regexp_replace(start, '#\d+$', '');
    starts_branch boolean := false;
    tried jsonb;
    best jsonb;
    optimized @extschema@.model;
BEGIN
    IF name IS NULL OR dry_run IS NULL THEN
        RAISE EXCEPTION 'name and dry_run must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    -- Before the long work rather than after it.
    IF NOT dry_run AND branch IS NULL AND name <> model_name AND NOT pg_catalog.starts_with(name, model_name || '/') THEN
        RAISE EXCEPTION 'cannot commit to "%"', name USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Commits go to a branch: give the name of a model, or name/branch, or the argument branch, or dry_run => true.';
    END IF;
    IF NOT dry_run AND NOT modelopt.has_privilege(model_name, 'write') THEN
        RAISE EXCEPTION 'permission denied for model "%"', model_name USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'The privilege "read" is needed to look for a smaller model, and "write" to commit what was found.',
            HINT = CASE WHEN modelopt.has_privilege(model_name, 'read') THEN 'dry_run => true commits nothing, and needs "read" alone.'
                ELSE 'dry_run => true commits nothing, and needs "read" alone, which its owner may grant with modelopt.grant_read().' END;
    END IF;
    IF NOT dry_run AND branch IS NOT NULL THEN
        starts_branch := NOT EXISTS (SELECT FROM modelopt.refs r WHERE r.model = model_name AND r.kind = 'branch' AND r.name = branch);
        IF NOT starts_branch AND modelopt.resolve(model_name || '/' || branch) <> start THEN
            RAISE EXCEPTION 'branch "%" of model "%" is not at version %', branch, model_name, pg_catalog.split_part(start, '#', 2)
                USING ERRCODE = '40M01', HINT = 'Optimize the head of the branch, or give the name of a new one.';
        END IF;
    END IF;
    SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(o) ORDER BY o.step) INTO tried
    FROM @extschema@.optimize(modelopt.get(start), query, max_drop, target, metric, tries, task, labels, output, scores) o;
    SELECT t.s INTO best FROM pg_catalog.jsonb_array_elements(tried) WITH ORDINALITY t (s, n)
    WHERE t.s @> '{"kept": true}' ORDER BY t.n DESC LIMIT 1;
    IF NOT dry_run AND best ->> 'recipe' <> 'm' THEN
        EXECUTE 'SELECT ' || (best ->> 'recipe') || ' FROM (SELECT $1) AS source (m)' INTO optimized USING modelopt.get(start);
        IF starts_branch THEN
            PERFORM modelopt.branch(model_name, branch, start);
        END IF;
        version := modelopt.commit(CASE WHEN branch IS NULL THEN name ELSE model_name END, optimized,
            coalesce(message, 'optimized for ' || target), branch, expected => start,
            params => pg_catalog.jsonb_build_object('optimize', pg_catalog.jsonb_build_object('query', query, 'target', target,
                'max_drop', max_drop, 'metric', best -> 'measured', 'baseline', tried -> 0 -> 'value', 'recipe', best -> 'recipe',
                'of', start, 'tried', tried)),
            metrics => pg_catalog.jsonb_build_object(best ->> 'measured', best -> 'value'));
    END IF;
    RETURN QUERY SELECT r.step, r.recipe, r.measured, r.value, r."drop", r.bytes, r.parameters, r.kept,
            CASE WHEN r.step = (best ->> 'step')::integer THEN version END
        FROM pg_catalog.jsonb_to_recordset(tried) AS r (step integer, recipe text, measured text, value double precision,
            "drop" double precision, bytes bigint, parameters bigint, kept boolean)
        ORDER BY r.step;
END
$$;
COMMENT ON FUNCTION modelopt_private.optimize(text, text, double precision, text, text, integer, text, text[], text, text, boolean, text, text) IS
    'the same with the head of a model of the repository, or of a branch (name/branch), and the result becomes the next version there, with its metric, and with what was tried in its params; version is its number, in the row of the result, or null when nothing was smaller. Needs the privileges read and write; raises 40M01 when somebody committed in the meantime. With branch it goes there, to a branch that is at the version which is optimized, or is started at it; then, and with dry_run, when nothing is committed, name may be any reference';

SELECT modelopt_private.publish(p.oid, '@extschema@', 'modelopt_search')
FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'modelopt_private'::pg_catalog.regnamespace
    AND p.proname IN ('sensitivity', 'optimize', 'calibrate')
ORDER BY p.oid;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA modelopt_private FROM PUBLIC;
