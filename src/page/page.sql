-- A model on one page.

CREATE FUNCTION modelopt_private.page_section(id text, title text, content text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT format(E'<section aria-labelledby="%s"><h2 id="%s">%s</h2>\n%s</section>\n', id, id, title, content) $$;

CREATE FUNCTION modelopt_private.page_facts(VARIADIC facts text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT '<dl>' || string_agg(format('<div><dt>%s</dt><dd>%s</dd></div>', facts[i], coalesce(facts[i + 1], '&ndash;')), '' ORDER BY i) || E'</dl>\n'
    FROM generate_series(1, cardinality(facts), 2) i
$$;

CREATE FUNCTION modelopt_private.page_summary(target modelopt_private.named_model, wanted modelopt_private.version, counted boolean) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    content modelopt_private.tree;
    served record;
    drift text;
BEGIN
    SELECT * INTO content FROM tree t WHERE t.id = wanted.tree_id;
    IF counted THEN
        SELECT coalesce(sum(e.calls), 0) AS calls, coalesce(sum(e.errors), 0) AS errors, max(e.p99_time) FILTER (WHERE e.version = wanted.version) AS p99 INTO served
        FROM stat_entries(false) e WHERE e.model_id = target.id AND e.model_name = target.name;
        SELECT page_status(CASE WHEN bool_or(d.status = 'drift') THEN 'drift' WHEN bool_or(d.status = 'warn') THEN 'warn'
            WHEN bool_or(d.status = 'ok') THEN 'ok' ELSE min(d.status) END)
        INTO drift FROM stat_drift() d WHERE d.model_id = target.id;
    ELSE
        SELECT NULL::numeric AS calls, NULL::numeric AS errors, NULL::double precision AS p99 INTO served;
    END IF;
    RETURN page_facts('Versions', page_count((SELECT count(*) FROM version v WHERE v.model_id = target.id)), 'Parameters', page_count(content.parameters),
        'Size', page_bytes(content.raw_bytes) || '<small>decoded</small>', 'Repository', page_bytes((size(target.name)).stored_bytes) || '<small>all versions</small>',
        'Sparsity', page_percent(content.zeros::double precision / nullif(content.parameters, 0)),
        'Calls', page_count(served.calls) || format('<small>%s failed</small>', page_count(served.errors)), 'p99', page_time(served.p99) || format('<small>of #%s</small>', wanted.version),
        'Drift', drift);
END
$$;

CREATE FUNCTION modelopt_private.report_html(name text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
    AS $$
DECLARE
    target modelopt_private.named_model := find_model(name, 'usage');
    wanted modelopt_private.version;
    counted boolean := (SELECT i.preloaded FROM stat_info() i);
    uncounted constant text := '<p>The library is not in <code>shared_preload_libraries</code>, so nothing is counted.</p>';
    title text := page_text(target.name);
BEGIN
    SELECT v.* INTO wanted FROM ref r JOIN version v ON v.id = r.version_id
    WHERE r.model_id = target.id AND r.kind = 'branch' AND r.name = target.default_branch;
    RETURN format(E'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''; base-uri ''none''; form-action ''none''">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Model %s</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n', title, page_style())
        || format(E'<header>\n<h1>%s</h1>\n<p class="soft">%s</p>\n%s</header>\n', title,
            concat_ws(' &middot; ', 'owned by ' || page_text(target.owner), 'branch ' || page_text(target.default_branch) || coalesce(' at #' || wanted.version, ''),
                'archived ' || page_moment(target.archived_at)),
            coalesce('<p>' || page_short(nullif(target.description, ''), 2000) || E'</p>\n', ''))
        || page_summary(target, wanted, counted)
        || page_section('versions', 'Versions', page_history(target, wanted.version))
        || page_section('weights', coalesce('Weights of #' || wanted.version, 'Weights'),
            CASE WHEN wanted.id IS NULL THEN '<p>There is no version on the default branch.</p>'
                WHEN NOT may(target.id, 'read') THEN '<p>Tensors and how their weights are spread are for those with the privilege <code>read</code> on the model.</p>'
                WHEN (SELECT t.forgotten_at FROM tree t WHERE t.id = wanted.tree_id) IS NOT NULL THEN '<p>The content of this version is gone.</p>'
                ELSE page_tensors(wanted.tree_id) END)
        || page_section('latency', 'Latency', CASE WHEN counted THEN page_latency(target) ELSE uncounted END)
        || page_section('drift', 'Drift', CASE WHEN counted THEN page_drift(target) ELSE uncounted END)
        || format(E'<footer>As %s saw it in database %s at %s UTC; modelopt %s.</footer>\n</main>\n</body>\n</html>\n', page_text(authority()), page_text(current_database()),
            page_moment(now()), (SELECT page_text(e.extversion) FROM pg_extension e WHERE e.extname = 'modelopt'));
END
$$;
COMMENT ON FUNCTION modelopt_private.report_html(text) IS
    'a model on one page of HTML, which needs nothing else: versions and where they come from, sizes, sparsity, latency and drift, and for those with the privilege read the tensors of the default branch''s last version with histograms of their weights, which it reads. Needs usage on the model';
