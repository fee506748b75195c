-- Plots of a page: SVG whose colours are the page's, each with a title and a
-- description; what they show is in a table beside them too.

-- A coordinate.
CREATE FUNCTION modelopt_private.plot_at(value double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT trim_scale(round(value::numeric, 1))::text $$;

-- A plot of the page; title and description are pages' text already, and so is
-- what is in it.  The identifier is the page's own.
CREATE FUNCTION modelopt_private.plot(id text, width integer, height integer, title text, description text, content text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT format(E'<svg role="img" aria-labelledby="%1$s-t %1$s-d" viewBox="0 0 %2$s %3$s" width="%2$s" height="%3$s"><title id="%1$s-t">%4$s</title><desc id="%1$s-d">%5$s</desc>%6$s</svg>',
        id, width, height, title, description, content)
$$;

-- A plot with its title above it.
CREATE FUNCTION modelopt_private.plot_figure(id text, width integer, height integer, title text, description text, content text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT format(E'<figure><figcaption>%s</figcaption>%s</figure>\n', title, modelopt_private.plot(id, width, height, title, description, content))
$$;

CREATE FUNCTION modelopt_private.plot_label(x double precision, y double precision, anchor text, label text, class text DEFAULT 'label') RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT format('<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>', class, modelopt_private.plot_at(x), modelopt_private.plot_at(y), anchor, label)
$$;

-- Columns side by side in a box, as one path; what is not zero is seen.
CREATE FUNCTION modelopt_private.plot_columns(heights double precision[], highest double precision, x double precision, y double precision,
    width double precision, height double precision, gap double precision, class text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT format('<path class="%s" d="%s"/>', class, coalesce(string_agg(format('M%s %sv%sh%sv%sz',
        modelopt_private.plot_at(x + (h.number - 1) * step.width + gap / 2), modelopt_private.plot_at(y + height),
        modelopt_private.plot_at(-tall.tall), modelopt_private.plot_at(step.width - gap), modelopt_private.plot_at(tall.tall)), '' ORDER BY h.number), ''))
    FROM unnest(heights) WITH ORDINALITY h (value, number)
        CROSS JOIN (SELECT width / cardinality(heights) AS width) step
        CROSS JOIN LATERAL (SELECT greatest(1, height * h.value / nullif(highest, 0)) AS tall) tall
    WHERE h.value > 0
$$;

-- The same as the line along their tops.
CREATE FUNCTION modelopt_private.plot_outline(heights double precision[], highest double precision, x double precision, y double precision,
    width double precision, height double precision, class text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT format('<path class="%s" d="M%s %s%sV%s"/>', class, modelopt_private.plot_at(x), modelopt_private.plot_at(y + height),
        string_agg(format('V%sH%s', modelopt_private.plot_at(y + height - height * h.value / nullif(highest, 0)), modelopt_private.plot_at(x + h.number * step.width)), '' ORDER BY h.number),
        modelopt_private.plot_at(y + height))
    FROM unnest(heights) WITH ORDINALITY h (value, number) CROSS JOIN (SELECT width / cardinality(heights) AS width) step
$$;

CREATE FUNCTION modelopt_private.plot_base(x double precision, y double precision, width double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT format('<path class="axis" d="M%s %sh%s"/>', modelopt_private.plot_at(x), modelopt_private.plot_at(y), modelopt_private.plot_at(width)) $$;

-- Below the axis: the first and the last version with their numbers.
CREATE FUNCTION modelopt_private.plot_ends(versions integer[], written text[], step double precision) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT modelopt_private.plot_label(8, 140, 'start', format('#%s %s', versions[1], written[1]))
        || CASE WHEN n > 1 THEN modelopt_private.plot_label(greatest(8 + n * step, 200), 140, 'end', format('#%s %s', versions[n], written[n])) ELSE '' END
    FROM cardinality(versions) n
$$;

-- A number of each version, as a figure of columns, and another one, not below
-- it, behind: the greatest is written above its column, and the first and the
-- last below.  Columns are as high as they are of the greatest, or of a whole.
CREATE FUNCTION modelopt_private.plot_versions(id text, title text, versions integer[], numbers double precision[], written text[],
    behind double precision[] DEFAULT NULL, whole double precision DEFAULT NULL) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    WITH shown AS (
        SELECT cardinality(versions) AS n, coalesce(whole, (SELECT max(v) FROM unnest(numbers || behind) v)) AS highest,
            coalesce(array_position(numbers, (SELECT max(v) FROM unnest(numbers) v)), cardinality(versions)) AS top, 288.0 / greatest(cardinality(versions), 4) AS step,
            least(8, 288.0 / greatest(cardinality(versions), 4) * 0.3) AS gap)
    SELECT modelopt_private.plot_figure(id, 304, 148, title,
        format('%s of versions %s to %s: at most %s, and %s in the last one.', title, versions[1], versions[s.n], written[s.top], written[s.n]),
        coalesce(modelopt_private.plot_columns(behind, s.highest, 8, 24, s.step * s.n, 100, s.gap, 'pale'), '')
        || modelopt_private.plot_columns(numbers, s.highest, 8, 24, s.step * s.n, 100, s.gap, 'mark')
        || modelopt_private.plot_base(8, 124, 288)
        || modelopt_private.plot_label(8 + (s.top - 0.5) * s.step, 120 - 100 * coalesce(numbers[s.top] / nullif(s.highest, 0), 0),
            CASE WHEN (s.top - 0.5) * s.step < 32 THEN 'start' WHEN (s.top - 0.5) * s.step > 256 THEN 'end' ELSE 'middle' END, written[s.top], 'value')
        || modelopt_private.plot_ends(versions, written, s.step))
    FROM shown s
    WHERE s.n > 0
$$;

-- A number of each version that has one, as dots between the least and the
-- greatest, which are written beside.
CREATE FUNCTION modelopt_private.plot_dots(id text, title text, versions integer[], numbers double precision[]) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    WITH shown AS (
        SELECT cardinality(versions) AS n, max(v) AS highest, min(v) AS lowest, 288.0 / greatest(cardinality(versions), 4) AS step FROM unnest(numbers) v
    ), dot AS (
        SELECT u.number, u.v, 8 + (u.number - 0.5) * s.step AS x, 112 - 84 * coalesce((u.v - s.lowest) / nullif(s.highest - s.lowest, 0), 0.5) AS y
        FROM shown s, unnest(numbers) WITH ORDINALITY u (v, number) WHERE u.v IS NOT NULL)
    SELECT modelopt_private.plot_figure(id, 304, 148, title,
        format('%s of versions %s to %s: from %s to %s.', title, versions[1], versions[s.n], modelopt_private.page_number(s.lowest), modelopt_private.page_number(s.highest)),
        modelopt_private.plot_base(8, 124, 288)
        || (SELECT format('<path class="edge" d="M%s"/>', string_agg(modelopt_private.plot_at(d.x) || ' ' || modelopt_private.plot_at(d.y), 'L' ORDER BY d.number))
                || string_agg(format('<circle class="dot" cx="%s" cy="%s" r="4"/>', modelopt_private.plot_at(d.x), modelopt_private.plot_at(d.y)), '' ORDER BY d.number) FROM dot d)
        || (SELECT string_agg(modelopt_private.plot_label(d.x, d.y - 10, CASE WHEN d.x < 32 THEN 'start' WHEN d.x > 272 THEN 'end' ELSE 'middle' END, modelopt_private.page_number(d.v), 'value'), '')
            FROM (SELECT DISTINCT ON (e.v) e.* FROM dot e WHERE e.v IN (s.lowest, s.highest) ORDER BY e.v, e.number) d)
        || modelopt_private.plot_ends(versions, ARRAY(SELECT coalesce(modelopt_private.page_number(v), '') FROM unnest(numbers) v), s.step))
    FROM shown s
$$;
