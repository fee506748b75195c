-- Pages for people: how text and numbers are written in them.
--
-- What people wrote gets into a page by page_text() and page_short() alone.  All
-- else is ASCII.

CREATE FUNCTION modelopt_private.page_text(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT replace(replace(replace(replace(replace(
        -- Characters that no page may have; breaks of lines are spaces anyway.
        regexp_replace(value, '[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]', '?', 'g'),
        '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
$$;

-- So much of a text as there is room for: people may write any amount of it.
CREATE FUNCTION modelopt_private.page_short(value text, characters integer) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT CASE WHEN length(value) <= characters THEN modelopt_private.page_text(value)
        ELSE modelopt_private.page_text(left(value, characters - 1)) || '&hellip;' END
$$;

CREATE FUNCTION modelopt_private.page_count(value numeric) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT ltrim(to_char(value, '999,999,999,999,999,999,990')) $$;

-- Four digits, of numbers of any size.
CREATE FUNCTION modelopt_private.page_number(value double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT CASE WHEN value = 0 THEN '0'
        WHEN value IN ('NaN', 'Infinity', '-Infinity') THEN value::text
        WHEN abs(value) >= 1e7 OR abs(value) < 1e-4 THEN replace(trim(to_char(value, '9.99EEEE')), 'e+', 'e')
        ELSE trim_scale(round(value::numeric, greatest(0, 3 - floor(log(abs(value)))::integer)))::text END
$$;

CREATE FUNCTION modelopt_private.page_unit(value double precision, step double precision, units text[]) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT CASE WHEN u.n > 1 THEN trim_scale(round((value / step ^ (u.n - 1))::numeric, CASE WHEN value / step ^ (u.n - 1) < 99.95 THEN 1 ELSE 0 END))::text
        ELSE modelopt_private.page_number(value) END || ' ' || units[u.n]
    FROM (SELECT least(cardinality(units), 1 + coalesce(floor(log(nullif(greatest(value, 1), 0)) / log(step::numeric))::integer, 0)) AS n) u
$$;

CREATE FUNCTION modelopt_private.page_bytes(value bigint) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT modelopt_private.page_unit(value, 1000, '{B,kB,MB,GB,TB,PB}') $$;

-- Milliseconds, in the unit that fits.
CREATE FUNCTION modelopt_private.page_time(ms double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT CASE WHEN ms >= 1000 THEN modelopt_private.page_number(round((ms / 1000)::numeric, 2)::double precision) || ' s'
        WHEN ms >= 1 THEN trim_scale(round(ms::numeric, CASE WHEN ms < 10 THEN 2 ELSE 1 END))::text || ' ms'
        ELSE trim_scale(round((ms * 1000)::numeric, 1))::text || ' &micro;s' END
$$;

CREATE FUNCTION modelopt_private.page_percent(fraction double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT to_char(100 * fraction, 'FM990.0') || ' %' $$;

-- In UTC, which a column or a sentence says.
CREATE FUNCTION modelopt_private.page_moment(value timestamptz) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    AS $$
    SELECT format('<time datetime="%s">%s</time>', to_char(value AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        to_char(value AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
$$;

-- A table; of headers, those that begin with # are of columns of numbers.
CREATE FUNCTION modelopt_private.page_table(caption text, headers text[], rows text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT format(E'<div class="wide" role="region" aria-label="%1$s" tabindex="0"><table>\n<caption>%1$s</caption>\n<thead><tr>%2$s</tr></thead>\n<tbody>\n%3$s\n</tbody></table></div>\n',
        caption, string_agg(format('<th scope="col"%s>%s</th>', CASE WHEN h.name LIKE '#%' THEN ' class="n"' END, ltrim(h.name, '#')), '' ORDER BY h.number), rows)
    FROM unnest(headers) WITH ORDINALITY h (name, number)
$$;

-- A row of it: the first cell is its header; cells are pages' text already.
CREATE FUNCTION modelopt_private.page_row(headers text[], VARIADIC cells text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT '<tr>' || string_agg(CASE WHEN c.number = 1 THEN '<th scope="row">' || coalesce(c.cell, '') || '</th>'
        ELSE format('<td%s>%s</td>', CASE WHEN headers[c.number] LIKE '#%' THEN ' class="n"' END, coalesce(c.cell, '&ndash;')) END, '' ORDER BY c.number) || '</tr>'
    FROM unnest(cells) WITH ORDINALITY c (cell, number)
$$;
