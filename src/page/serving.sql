-- What a page says of how a model is used: latency and drift.

-- Latencies of one version, by powers of two of time; where p50 and p99 are.
CREATE FUNCTION modelopt_private.page_latency_plot(version integer, calls bigint, histogram bigint[], p50 double precision, p99 double precision) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL RESTRICTED
    AS $$
    WITH bucket AS (
        SELECT b.number, b.count, bounds.ms FROM unnest(histogram, modelopt_private.histogram_bounds()) WITH ORDINALITY b (count, le, number),
            LATERAL (SELECT coalesce(nullif(b.le, 'Infinity'), 2 ^ 17 * 1.1)) bounds (ms)
    ), span AS (
        SELECT greatest(min(number) - 4, 1) AS first, least(max(number) + 3, 218) AS last FROM bucket WHERE count > 0
    ), shown AS (
        SELECT array_agg(b.count::double precision ORDER BY b.number) AS counts, max(b.count) AS highest, min(b.ms) / 2 ^ 0.125 AS low, max(b.ms) AS high
        FROM bucket b, span s WHERE b.number BETWEEN s.first AND s.last)
    SELECT modelopt_private.plot_figure('latency' || version, 304, 148, format('#%s, %s call%s', version, modelopt_private.page_count(calls), CASE WHEN calls > 1 THEN 's' END),
        format('Latencies of version %s: half of them up to %s, 99 %% up to %s.', version, modelopt_private.page_time(p50), modelopt_private.page_time(p99)),
        modelopt_private.plot_columns(s.counts, s.highest, 8, 24, 288, 100, 1, 'mark') || modelopt_private.plot_base(8, 124, 288)
        || modelopt_private.plot_label(8, 140, 'start', modelopt_private.page_time(s.low)) || modelopt_private.plot_label(296, 140, 'end', modelopt_private.page_time(s.high))
        || (SELECT string_agg(format('<path class="rule" d="M%s 20V124"/>', modelopt_private.plot_at(x.x))
                || modelopt_private.plot_label(x.x, x.y, CASE WHEN x.x < 60 THEN 'start' WHEN x.x > 244 THEN 'end' ELSE 'middle' END, m.name || ' ' || modelopt_private.page_time(m.ms), 'value'), '')
            FROM (VALUES ('p50', p50, 14), ('p99', p99, 14)) m (name, ms, y),
                LATERAL (SELECT 8 + 288 * ln(m.ms / s.low) / nullif(ln(s.high / s.low), 0), m.y) x (x, y)
            WHERE m.name = 'p99' OR ln(p99 / p50) / nullif(ln(s.high / s.low), 0) > 0.4))
    FROM shown s
$$;

CREATE FUNCTION modelopt_private.page_latency(target modelopt_private.named_model) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    headers constant text[] := '{Version,#Calls,#Rows,#Errors,#Mean,#p50,#p90,#p99,#Longest,#Cache hits,Last call (UTC),Counted since (UTC)}';
    plots text;
    rows text;
BEGIN
    SELECT string_agg(page_row(headers, '#' || e.version, page_count(e.calls), page_count(e.rows), page_count(e.errors), page_time(e.mean_time),
            page_time(e.p50_time), page_time(e.p90_time), page_time(e.p99_time), page_time(e.max_time),
            page_percent(e.cache_hits::double precision / nullif(e.cache_lookups, 0)), page_moment(e.last_call), page_moment(e.stats_since)), E'\n' ORDER BY e.version DESC)
    INTO rows FROM stat_entries(false) e WHERE e.model_id = target.id AND e.model_name = target.name;
    IF rows IS NULL THEN
        RETURN '<p>No version was asked for a prediction since counting began.</p>';
    END IF;
    SELECT string_agg(page_latency_plot(e.version, e.calls, e.histogram, e.p50_time, e.p99_time), '' ORDER BY e.version DESC)
    INTO plots FROM (
        SELECT * FROM stat_entries(false) s WHERE s.model_id = target.id AND s.model_name = target.name AND s.p99_time > 0 ORDER BY s.calls DESC LIMIT 6) e;
    RETURN coalesce('<div class="plots">' || plots || '</div>', '') || page_table('Versions that were asked', headers, rows);
END
$$;

-- A feature's bins: columns are what comes now, the line is the reference.
CREATE FUNCTION modelopt_private.page_drift_plot(id text, version integer, feature text, shares double precision[], ref_shares double precision[],
    first_bin text, last_bin text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT modelopt_private.plot_figure(id, 304, 128, format('#%s %s', version, modelopt_private.page_short(feature, 60)),
        format('Shares of %s bins, from %s to %s: columns are now, the line is the reference; the table of bins has the numbers.', cardinality(shares), first_bin, last_bin),
        modelopt_private.plot_columns(shares, s.highest, 8, 8, 288, 96, 2, 'mark') || modelopt_private.plot_base(8, 104, 288)
        || modelopt_private.plot_outline(ref_shares, s.highest, 8, 8, 288, 96, 'outline')
        || modelopt_private.plot_label(8, 121, 'start', first_bin) || modelopt_private.plot_label(296, 121, 'end', last_bin))
    FROM (SELECT greatest(max(v), 1e-9) AS highest FROM unnest(shares || ref_shares) v) s
$$;

CREATE FUNCTION modelopt_private.page_bin(low double precision, high double precision, category text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN category IS NOT NULL THEN modelopt_private.page_short(category, 24)
        WHEN low IS NULL AND high IS NULL THEN 'all'
        WHEN low IS NULL THEN 'up to ' || modelopt_private.page_number(high)
        WHEN high IS NULL THEN 'above ' || modelopt_private.page_number(low)
        ELSE modelopt_private.page_number(low) || ' to ' || modelopt_private.page_number(high) END
$$;

CREATE FUNCTION modelopt_private.page_status(status text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
    SELECT format('<span class="%s">%s</span>', CASE status WHEN 'ok' THEN 'good' WHEN 'warn' THEN 'warn' WHEN 'drift' THEN 'bad' ELSE 'soft' END, replace(status, '_', ' '))
$$;

CREATE FUNCTION modelopt_private.page_drift(target modelopt_private.named_model) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
    AS $$
DECLARE
    headers constant text[] := ARRAY['Feature', 'Version', 'Status', '#Rows', '#<abbr title="population stability index">PSI</abbr>', '#Its noise',
        '#<abbr title="Jensen-Shannon distance">JS</abbr>', '#<abbr title="Kolmogorov-Smirnov distance">KS</abbr>',
        '#<abbr title="Wasserstein distance, in standard deviations">W<sub>1</sub></abbr>', '#Mean then', '#Mean now', 'Why'];
    bin_headers constant text[] := '{Feature,Version,Bin,#Then,#Now,#Part of PSI}';
    shown constant integer := 100;
    plots text;
    rows text;
    bins text;
BEGIN
    SELECT string_agg(page_row(headers, page_short(coalesce(d.feature, 'all'), 200), '#' || d.version, page_status(d.status), page_count(d.n), page_number(d.psi),
            page_number(d.psi_noise_floor), page_number(d.js), page_number(d.ks), page_number(d.wasserstein), page_number(d.mean_ref), page_number(d.mean_cur), page_text(d.reason)),
            E'\n' ORDER BY d.psi DESC NULLS LAST, d.version DESC, d.feature)
    INTO rows FROM (SELECT * FROM stat_drift() s WHERE s.model_id = target.id ORDER BY s.psi DESC NULLS LAST, s.version DESC, s.feature LIMIT shown) d;
    IF rows IS NULL THEN
        RETURN '<p>No version has a reference; <code>modelopt.set_reference()</code> gives it one.</p>';
    END IF;
    WITH worst AS MATERIALIZED (
        SELECT s.version, s.feature, row_number() OVER (ORDER BY s.psi DESC, s.version DESC, s.feature) AS place
        FROM stat_drift() s WHERE s.model_id = target.id AND s.n > 0 AND s.psi IS NOT NULL ORDER BY place LIMIT 6
    ), bin AS MATERIALIZED (
        SELECT w.place, b.*, page_bin(b.low, b.high, b.category) AS name
        FROM worst w JOIN stat_drift_bins() b ON b.model_id = target.id AND b.version = w.version AND b.feature = w.feature
    ), plotted AS (
        SELECT page_drift_plot('drift' || b.place, b.version, b.feature, array_agg(b.share ORDER BY b.bin), array_agg(b.ref_share ORDER BY b.bin),
            (array_agg(b.name ORDER BY b.bin))[1], (array_agg(b.name ORDER BY b.bin DESC))[1]) AS plot, b.place
        FROM bin b WHERE b.share IS NOT NULL AND b.ref_share IS NOT NULL GROUP BY b.place, b.version, b.feature)
    SELECT (SELECT string_agg(p.plot, '' ORDER BY p.place) FROM plotted p),
        (SELECT string_agg(page_row(bin_headers, page_short(b.feature, 200), '#' || b.version, b.name, coalesce(page_percent(b.ref_share), page_count(b.ref_count)),
            coalesce(page_percent(b.share), page_count(b.count)), page_number(b.psi_part)), E'\n' ORDER BY b.place, b.bin) FROM bin b)
    INTO plots, bins;
    RETURN coalesce('<p class="soft">Columns are what comes now, the line is the reference.</p><div class="plots">' || plots || '</div>', '')
        || page_table('Features, those that moved most first', headers, rows)
        || coalesce('<details><summary>Bins of what is plotted</summary>' || page_table('Shares of bins, then and now', bin_headers, bins) || '</details>', '');
END
$$;
