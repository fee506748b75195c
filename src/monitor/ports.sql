-- Which input or output of its model a feature is.

-- Values that a row has of an input or output: those of all dimensions but the
-- first, or of all when the model takes no rows; 0 of what is no tensor, and null
-- when the graph does not tell.
CREATE FUNCTION modelopt_private.port_width(dtype text, shape text[], takes_whole boolean) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
    width numeric := 1;
BEGIN
    IF dtype ~ '[(]' OR dtype = 'opaque' THEN
        RETURN 0;
    ELSIF dtype IS NULL OR shape IS NULL THEN
        RETURN NULL;
    END IF;
    FOR i IN CASE WHEN takes_whole AND cardinality(shape) = 1 THEN 1 ELSE 2 END .. cardinality(shape) LOOP
        IF shape[i] IS NULL OR shape[i] !~ '^[0-9]{1,10}$' OR width > 2147483647 THEN
            RETURN NULL;
        END IF;
        width := width * shape[i]::bigint;
    END LOOP;
    RETURN CASE WHEN width <= 2147483647 THEN width END;
END
$$;

-- An input or output of a model, and a feature of a reference with the column of the
-- query that it is of: an array is a column with a feature for each element.
CREATE TYPE modelopt_private.port AS (name text, dtype text, width bigint, shown text);
CREATE TYPE modelopt_private.feature_column AS (number integer, name text, "column" text, kind text, categories text[]);

-- In order; none of a model without a graph.
CREATE FUNCTION modelopt_private.ports(tree_id bigint, of_outputs boolean) RETURNS modelopt_private.port[]
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(array_agg(ROW(p.name, p.dtype, modelopt_private.port_width(p.dtype, p.shape, p.alone),
        p.name || coalesce(' ' || p.dtype, '') || coalesce('[' || array_to_string(p.shape, ', ', '?') || ']', ''))::modelopt_private.port ORDER BY p.number), '{}')
    FROM (SELECT u.*, count(*) OVER () = 1 AS alone
          FROM (SELECT i.* FROM @extschema@.inputs(modelopt_private.open_tree(tree_id, '[]')) WITH ORDINALITY i (name, dtype, shape, number)
                WHERE NOT of_outputs
                UNION ALL
                SELECT o.* FROM @extschema@.outputs(modelopt_private.open_tree(tree_id, '[]')) WITH ORDINALITY o (name, dtype, shape, number)
                WHERE of_outputs) u) p
$$;

CREATE FUNCTION modelopt_private.feature_columns(features jsonb, of_outputs boolean) RETURNS modelopt_private.feature_column[]
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT coalesce(array_agg(ROW(f.number, f.name, regexp_replace(f.name, '\[[0-9]+\]$', ''), f.kind, f.categories)::modelopt_private.feature_column
        ORDER BY abs(f.number::bigint)), '{}')
    FROM jsonb_to_recordset(features) f (number integer, name text, kind text, categories text[])
    WHERE sign(f.number) = CASE WHEN of_outputs THEN -1 ELSE 1 END
$$;

CREATE FUNCTION modelopt_private.report_misfit(problem text, hint text, ports modelopt_private.port[], columns modelopt_private.feature_column[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value', HINT = hint,
        DETAIL = format('The model has %s; the reference has %s.',
            (SELECT string_agg(p.shown, ', ') FROM unnest(ports) p),
            (SELECT string_agg(c.name, ', ') FROM unnest(columns[:20]) c) || CASE WHEN cardinality(columns) > 20 THEN ', ...' ELSE '' END);
END
$$;

-- The port of each column where columns are called like the ports of a model that has
-- several, as predict_rows() has it; null when none is.  SQL makes names small, so case
-- matters only where it tells ports apart.
CREATE FUNCTION modelopt_private.ports_by_name(ports modelopt_private.port[], columns modelopt_private.feature_column[], what text) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    hint constant text := format('Call all columns like %ss of the model, with AS, or none: then they go in order.', what);
    folded constant boolean := (SELECT count(DISTINCT lower(p.name)) = count(*) FROM unnest(ports) p);
    found bigint[];
    missing text;
BEGIN
    IF cardinality(ports) < 2 THEN
        RETURN NULL;
    END IF;
    SELECT array_agg((SELECT min(p.number) FROM unnest(ports) WITH ORDINALITY p (name, dtype, width, shown, number)
                      WHERE p.name = c."column" OR (folded AND lower(p.name) = lower(c."column"))) ORDER BY c.place)
    INTO found FROM unnest(columns) WITH ORDINALITY c (number, name, "column", kind, categories, place);
    IF array_remove(found, NULL) = '{}' THEN
        RETURN NULL;
    END IF;
    IF array_position(found, NULL) IS NOT NULL THEN
        PERFORM report_misfit(format('column "%s" is no %s of the model, though others are', columns[array_position(found, NULL)]."column", what), hint, ports, columns);
    END IF;
    SELECT p.name INTO missing FROM unnest(ports) WITH ORDINALITY p (name, dtype, width, shown, number)
    WHERE p.number <> ALL (found) AND p.width IS DISTINCT FROM 0 AND (what = 'input' OR (p.width IS NULL AND p.number < ANY (found)))
    ORDER BY p.number LIMIT 1;
    IF missing IS NOT NULL THEN
        PERFORM report_misfit(format('no column is called like the %s "%s" of the model, though others are', what, missing), hint, ports, columns);
    END IF;
    RETURN found;
END
$$;

-- How many values each port has, where columns are the values of all ports in order: one
-- of which the graph does not tell has the rest.  Of outputs some at the end may be left out.
CREATE FUNCTION modelopt_private.widths_by_place(ports modelopt_private.port[], columns modelopt_private.feature_column[], what text) RETURNS bigint[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    given constant bigint := abs(columns[cardinality(columns)].number::bigint);
    widths bigint[] := ARRAY(SELECT p.width FROM unnest(ports) p);
    known constant bigint := (SELECT coalesce(sum(w), 0) FROM unnest(widths) w);
    unknown constant integer := (SELECT count(*) FILTER (WHERE w IS NULL) FROM unnest(widths) w);
BEGIN
    IF unknown = 1 AND given > known THEN
        widths[array_position(widths, NULL)] := given - known;
    ELSIF unknown > 1 OR given = known OR (what = 'output' AND given IN (
            SELECT sum(w.width) OVER (ORDER BY w.number) FROM unnest(widths) WITH ORDINALITY w (width, number)
            WHERE w.number < coalesce(array_position(widths, NULL), w.number + 1))) THEN
        NULL;
    ELSE
        PERFORM report_misfit(format('the reference has %s %ss, and the model has %s%s', given, what, CASE WHEN unknown > 0 THEN 'more than ' END, known),
            format('Its columns are the %ss of the model in their order; an array is as many as it has elements.', what), ports, columns);
    END IF;
    RETURN widths;
END
$$;

CREATE FUNCTION modelopt_private.check_kind(feature modelopt_private.feature_column, port modelopt_private.port, what text,
    ports modelopt_private.port[], columns modelopt_private.feature_column[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF port.dtype = 'string' AND feature.kind = 'numeric' THEN
        PERFORM report_misfit(format('%s "%s" has texts, and column "%s" of the reference numbers', what, port.name, feature.name),
            'Cast the column to text.', ports, columns);
    ELSIF port.dtype <> 'string' AND feature.kind = 'categorical' AND EXISTS (
            SELECT FROM unnest(feature.categories) c WHERE c !~* '^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?\s*$') THEN
        PERFORM report_misfit(format('%s "%s" has numbers, and column "%s" of the reference texts', what, port.name, feature.name),
            'The column is to be as the model has it: a number for each category, for example.', ports, columns);
    END IF;
END
$$;

-- Where each feature of one side of a reference is in a model: what its number is to be,
-- its port and which value of a row there.  Raises when they do not fit.
CREATE FUNCTION modelopt_private.fit_features(tree_id bigint, features jsonb, of_outputs boolean)
    RETURNS TABLE (number integer, fitted integer, port text, "position" bigint)
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    what constant text := CASE WHEN of_outputs THEN 'output' ELSE 'input' END;
    columns constant modelopt_private.feature_column[] := feature_columns(features, of_outputs);
    ports constant modelopt_private.port[] := ports(tree_id, of_outputs);
    owners bigint[];
    widths bigint[];
    owner bigint;
    place bigint;
    counted bigint;
BEGIN
    IF cardinality(ports) = 0 OR cardinality(columns) = 0 THEN
        RETURN QUERY SELECT c.number, c.number, NULL::text, NULL::bigint FROM unnest(columns) c;
        RETURN;
    END IF;
    owners := ports_by_name(ports, columns, what);
    IF owners IS NULL THEN
        widths := widths_by_place(ports, columns, what);
    ELSE
        SELECT array_agg(coalesce(p.width, cardinality(array_positions(owners, p.number))) ORDER BY p.number)
        INTO widths FROM unnest(ports) WITH ORDINALITY p (name, dtype, width, shown, number);
    END IF;
    FOR i IN 1 .. cardinality(columns) LOOP
        number := columns[i].number;
        IF owners IS NOT NULL THEN
            owner := owners[i];
            "position" := cardinality(array_positions(owners[:i], owner));
            counted := cardinality(array_positions(owners, owner));
            IF counted <> widths[owner] THEN
                PERFORM report_misfit(format('%s "%s" has %s values, and the reference has %s', what, ports[owner].name, widths[owner], counted),
                    'An array is as many features as it has elements.', ports, columns);
            END IF;
            fitted := sign(number) * ((SELECT coalesce(sum(w), 0) FROM unnest(widths[:owner - 1]) w) + "position");
        ELSE
            place := abs(number::bigint);
            SELECT w.number, place - w.before INTO owner, "position"
            FROM (SELECT u.number, u.width, sum(u.width) OVER (ORDER BY u.number) - u.width AS before
                  FROM unnest(widths) WITH ORDINALITY u (width, number)
                  WHERE u.number < coalesce(array_position(widths, NULL), u.number + 1)) w
            WHERE place > w.before AND place <= w.before + w.width;
            fitted := number;
        END IF;
        port := ports[owner].name;
        PERFORM check_kind(columns[i], ports[owner], what, ports, columns);
        RETURN NEXT;
    END LOOP;
END
$$;

-- The features of a reference with their places in the model of a tree.
CREATE FUNCTION modelopt_private.fitted_features(tree_id bigint, features jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    SELECT jsonb_agg(CASE WHEN f.number IS NULL THEN u.feature
        ELSE u.feature || jsonb_build_object('number', f.fitted, 'port', f.port, 'position', f."position") END)
    FROM jsonb_array_elements(features) u (feature)
        LEFT JOIN (SELECT * FROM modelopt_private.fit_features(tree_id, features, false)
                   UNION ALL
                   SELECT * FROM modelopt_private.fit_features(tree_id, features, true)) f ON f.number = (u.feature->>'number')::integer
$$;
