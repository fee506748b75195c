-- What a page says of a model's versions.

-- The versions a page is about: the newest, as many as it has room for.
CREATE FUNCTION modelopt_private.page_versions(target modelopt_private.named_model, at_most integer)
    RETURNS TABLE (id bigint, version integer, parent_id bigint, parent text, relation text, message text, author text, committed_at timestamptz,
        refs text[], parameters bigint, sparsity double precision, raw_bytes bigint, coded_bytes bigint, stored_bytes bigint, metrics text, steps text)
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    SELECT v.id, v.version, p.parent_id, CASE WHEN modelopt_private.may(older.model_id, 'usage') THEN modelopt_private.version_name(older.id) END,
        v.relation, v.message, v.author, v.committed_at,
        ARRAY(SELECT CASE r.kind WHEN 'branch' THEN '/' WHEN 'tag' THEN ':' ELSE '@' END || r.name
            FROM modelopt_private.ref r WHERE r.version_id = v.id ORDER BY r.kind, r.name),
        t.parameters, t.zeros::double precision / nullif(t.parameters, 0), t.raw_bytes,
        -- Of content that is gone nobody knows it any more.
        (SELECT sum(o.form_bytes)::bigint FROM modelopt_private.object o
            WHERE o.id IN (SELECT e.object_id FROM modelopt_private.tree_entry e WHERE e.tree_id = t.id)),
        v.stored_bytes, (SELECT string_agg(format('%s %s', m.name || coalesce(' of ' || nullif(m.dataset, ''), ''), modelopt_private.page_number(m.value)), ', ' ORDER BY m.name, m.dataset)
            FROM modelopt_private.last_metrics(v.id) m),
        (SELECT string_agg(format('%s(%s)', s.step ->> 'function', (SELECT string_agg(a.key || ' => ' || a.value, ', ' ORDER BY a.key)
            FROM jsonb_each_text(CASE jsonb_typeof(s.step -> 'arguments') WHEN 'object' THEN s.step -> 'arguments' ELSE '{}' END) a)), ', ' ORDER BY s.number)
            FROM jsonb_array_elements(v.recipe) WITH ORDINALITY s (step, number))
    FROM modelopt_private.version v
        JOIN modelopt_private.tree t ON t.id = v.tree_id
        LEFT JOIN modelopt_private.version_parent p ON p.version_id = v.id AND p.number = 1
        LEFT JOIN modelopt_private.version older ON older.id = p.parent_id
    WHERE v.model_id = target.id
    ORDER BY v.version DESC LIMIT at_most
$$;

-- Which version comes from which, newest on top: a version goes on in the lane
-- of the one that it comes from unless another one did already.
CREATE FUNCTION modelopt_private.page_lineage(target modelopt_private.named_model, head integer) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    lanes bigint[] := '{}';             -- the last version in each
    places jsonb := '{}';               -- of versions: lane and row
    edges text := '';
    dots text := '';
    names text := '';
    next_version record;
    lane integer;
    total integer := (SELECT count(*) FROM page_versions(target, 40));
    at_row integer := total;
    x double precision;
    y double precision;
    older record;
    widest integer := 1;
BEGIN
    FOR next_version IN SELECT * FROM page_versions(target, 40) ORDER BY version LOOP
        at_row := at_row - 1;
        lane := coalesce(array_position(lanes, next_version.parent_id), cardinality(lanes) + 1);
        lanes[lane] := next_version.id;
        lane := least(lane, 5);
        widest := greatest(widest, lane);
        places := places || jsonb_build_object(next_version.id::text, jsonb_build_array(lane, at_row));
    END LOOP;
    FOR next_version IN SELECT * FROM page_versions(target, 40) ORDER BY version LOOP
        x := 16 * (places -> next_version.id::text ->> 0)::integer - 4;
        y := 14 + 28 * (places -> next_version.id::text ->> 1)::integer;
        FOR older IN
            SELECT 16 * (places -> p.parent_id::text ->> 0)::integer - 4 AS x, 14 + 28 * (places -> p.parent_id::text ->> 1)::integer AS y
            FROM version_parent p WHERE p.version_id = next_version.id AND places ? p.parent_id::text
        LOOP
            edges := edges || format('<path class="edge" d="M%s %sC%s %s %s %s %s %s"/>', older.x, older.y, older.x, older.y - 20, x, y + 20, x, y);
        END LOOP;
        dots := dots || format('<circle class="%s" cx="%s" cy="%s" r="5"/>', CASE WHEN next_version.version = head THEN 'head' ELSE 'dot' END, x, y);
        names := names || plot_label(16 * widest + 8, y + 4, 'start', format('#%s %s', next_version.version,
            page_short(concat_ws(' ', nullif(next_version.relation, 'initial'), nullif(array_to_string(next_version.refs, ' '), '')), 36 - 2 * widest)), 'name');
    END LOOP;
    RETURN plot_figure('lineage', 304, 28 * total, 'Lineage' || CASE WHEN head IS NULL THEN '' ELSE format(', default branch at #%s', head) END,
        'Which version comes from which, the newest on top; the table of versions says the same.', edges || dots || names);
END
$$;

-- Of the metrics that most versions have.
CREATE FUNCTION modelopt_private.page_metrics(target modelopt_private.named_model) RETURNS text
    LANGUAGE sql STABLE PARALLEL RESTRICTED
    AS $$
    WITH shown AS MATERIALIZED (
        SELECT v.id, v.version FROM modelopt_private.version v WHERE v.model_id = target.id ORDER BY v.version DESC LIMIT 60
    ), measured AS MATERIALIZED (
        SELECT s.version, m.name || coalesce(' of ' || nullif(m.dataset, ''), '') AS name, m.value
        FROM shown s, LATERAL modelopt_private.last_metrics(s.id) m WHERE abs(m.value) < 'Infinity'
    ), common AS (
        SELECT m.name, row_number() OVER (ORDER BY count(*) DESC, m.name) AS place FROM measured m GROUP BY m.name ORDER BY place LIMIT 2)
    SELECT coalesce(string_agg(modelopt_private.plot_dots('metric' || c.place, modelopt_private.page_short(c.name, 40), seen.versions, seen.numbers), '' ORDER BY c.place), '')
    FROM common c, LATERAL (
        SELECT array_agg(s.version ORDER BY s.version) AS versions, array_agg(m.value ORDER BY s.version) AS numbers
        FROM shown s LEFT JOIN measured m ON m.version = s.version AND m.name = c.name) seen
$$;

CREATE FUNCTION modelopt_private.page_history(target modelopt_private.named_model, head integer) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    headers constant text[] := '{Version,From,What was done,Names,Message,Author,Committed (UTC),#Parameters,#Sparsity,#Decoded,#Coded,#Added here,Metrics}';
    shown constant integer := 200;
    total bigint := (SELECT count(*) FROM version v WHERE v.model_id = target.id);
    plots text;
    rows text;
BEGIN
    IF total = 0 THEN
        RETURN '<p>There are no versions yet.</p>';
    END IF;
    SELECT plot_versions('size', 'Size as coded; behind it, decoded', array_agg(v.version ORDER BY v.version), array_agg(v.coded_bytes::double precision ORDER BY v.version),
            array_agg(coalesce(page_bytes(v.coded_bytes), '') ORDER BY v.version), array_agg(v.raw_bytes::double precision ORDER BY v.version))
        || plot_versions('stored', 'Added to the repository', array_agg(v.version ORDER BY v.version), array_agg(v.stored_bytes::double precision ORDER BY v.version),
            array_agg(page_bytes(v.stored_bytes) ORDER BY v.version))
        || plot_versions('sparsity', 'Sparsity, of 100 %', array_agg(v.version ORDER BY v.version), array_agg(coalesce(v.sparsity, 0) ORDER BY v.version),
            array_agg(page_percent(coalesce(v.sparsity, 0)) ORDER BY v.version), whole => 1)
    INTO plots FROM page_versions(target, 60) v;
    SELECT string_agg(page_row(headers, '#' || v.version, page_text(coalesce(v.parent, '')), page_short(concat_ws(': ', v.relation, v.steps), 300),
        (SELECT string_agg(format('<span class="ref">%s</span>', page_text(r)), '' ORDER BY number) FROM unnest(v.refs) WITH ORDINALITY u (r, number)),
        page_short(v.message, 500), page_text(v.author), page_moment(v.committed_at), page_count(v.parameters), page_percent(v.sparsity),
        page_bytes(v.raw_bytes), page_bytes(v.coded_bytes), page_bytes(v.stored_bytes), page_short(v.metrics, 500)), E'\n' ORDER BY v.version DESC)
    INTO rows FROM page_versions(target, shown) v;
    RETURN '<div class="plots">' || page_lineage(target, head) || plots || page_metrics(target) || '</div>'
        || page_table(CASE WHEN total > shown THEN format('The newest %s of %s versions', shown, page_count(total)) ELSE 'All versions' END, headers, rows);
END
$$;
