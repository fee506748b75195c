-- What a page says of weights, to those who may read them.

CREATE FUNCTION modelopt_private.tensor_histogram(m @extschema@.model, tensor text, low double precision, high double precision, bins integer) RETURNS bigint[]
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000
    AS 'MODULE_PATHNAME', 'modelopt_tensor_histogram';

CREATE FUNCTION modelopt_private.page_histogram(id text, name text, counts bigint[], low double precision, high double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT modelopt_private.plot(id, 184, 52, 'Histogram of ' || modelopt_private.page_short(name, 200),
        format('From %s to %s; most are between %s and %s.', modelopt_private.page_number(low), modelopt_private.page_number(high),
            modelopt_private.page_number(low + (high - low) * (top.bin - 1) / cardinality(counts)), modelopt_private.page_number(low + (high - low) * top.bin / cardinality(counts))),
        modelopt_private.plot_columns(counts::double precision[], top.highest, 0, 2, 184, 34, 0.8, 'mark') || modelopt_private.plot_base(0, 36, 184)
        || modelopt_private.plot_label(0, 49, 'start', modelopt_private.page_number(low))
        || modelopt_private.plot_label(184, 49, 'end', modelopt_private.page_number(high)))
    FROM (SELECT max(c) AS highest, array_position(counts, max(c)) AS bin FROM unnest(counts) c) top
$$;

-- The largest tensors of a tree; those that share their content, one histogram.
CREATE FUNCTION modelopt_private.page_tensors(wanted_tree bigint) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    headers constant text[] := '{Tensor,Type,Shape,#Elements,#Size,#Stored,#Zeros,#Mean,#Least,#Greatest,How they are spread}';
    shown constant integer := 200;
    total bigint := (SELECT count(*) FROM tree_entry e WHERE e.tree_id = wanted_tree);
    weights constant @extschema@.model := open_tree(wanted_tree, '[]');
    rows text;
BEGIN
    WITH entry AS MATERIALIZED (
        SELECT e.number, e.name, e.shape, o.*
        FROM tree_entry e JOIN object o ON o.id = e.object_id
        WHERE e.tree_id = wanted_tree ORDER BY o.count DESC, e.number LIMIT shown
    ), counted AS MATERIALIZED (
        SELECT o.id, CASE WHEN o.minimum < o.maximum AND abs(o.minimum) < 'Infinity' AND abs(o.maximum) < 'Infinity'
            THEN tensor_histogram(weights, o.name, o.minimum, o.maximum, bins.n) END AS counts
        FROM (SELECT DISTINCT ON (e.id) e.id, e.name, e.minimum, e.maximum, e.count - coalesce(e.zeros, 0) AS count FROM entry e ORDER BY e.id, e.number) o,
            -- As many as a few values fill (Rice's rule), and the plot has room for.
            LATERAL (SELECT least(46, ceil(2 * cbrt(greatest(o.count, 1))))::integer AS n) bins)
    SELECT string_agg(page_row(headers, page_short(e.name, 200), t.dtype || CASE WHEN t.encoding <> 'dense' THEN ', ' || t.encoding ELSE '' END,
            coalesce(nullif(array_to_string(e.shape, ' &times; '), ''), 'scalar'), page_count(e.count), page_bytes(e.raw_bytes), page_bytes(e.stored_bytes),
            page_percent(e.zeros::double precision / nullif(e.count, 0)), page_number(e.mean), page_number(e.minimum), page_number(e.maximum),
            page_histogram('tensor' || e.number, e.name, c.counts, e.minimum, e.maximum)), E'\n' ORDER BY e.number)
    INTO rows
    FROM entry e JOIN counted c ON c.id = e.id JOIN @extschema@.tensors(weights) t ON t.name = e.name;
    RETURN page_table(CASE WHEN total > shown THEN format('The largest %s of %s tensors; plots leave zeros out', shown, page_count(total)) ELSE 'All tensors; plots leave zeros out' END, headers, coalesce(rows, ''));
END
$$;
