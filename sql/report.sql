-- report, and pruning by weights and activations; sums are computed here.
SET extra_float_digits = 0;
CREATE FUNCTION matrix(n int, width int, formula text) RETURNS real[] LANGUAGE plpgsql AS
$$
DECLARE
    result real[];
BEGIN
    EXECUTE format('SELECT array_agg(r ORDER BY i) FROM (SELECT i, array_agg((%s)::real ORDER BY j) r
        FROM generate_series(0, %s) i, generate_series(0, %s) j GROUP BY i) x', formula, n - 1, width - 1) INTO result;
    RETURN result;
END
$$;
CREATE FUNCTION elements(m model, name text) RETURNS TABLE (i int, j int, x real) LANGUAGE sql AS
$$ SELECT i, j, t[i][j] FROM (SELECT tensor(m, name) AS t) x, generate_subscripts(t, 1) i, generate_subscripts(t, 2) j $$;
CREATE TABLE pair AS SELECT a, prune(quantize(a, 'int8', include => '{p}'), 0.25, include => '{q}') AS b
FROM (SELECT model_agg(name, data ORDER BY name) AS a FROM (VALUES ('p', matrix(30, 40, '(i * 40 + j) % 97 / 10.0 - 4')), ('q', matrix(20, 40, '(i * 40 + j) % 89 / 10.0 - 3')), ('r', '{1, 2, 0}'::real[])) v (name, data)) x;

SELECT name, encoding, parameters_before, parameters_after, bytes_before, bytes_after, max_error > 0 AS error, snr FROM pair, report(a, b)
WHERE name IS NULL OR name = 'r';
-- Each number by its definition, and the totals over all.
SELECT name, r.max_error = s.most AS max_error, abs(r.rel_l2 - s.relative) < 1e-12 AS rel_l2, abs(r.snr + 20 * log(s.relative)) < 1e-9 AS snr,
    abs(r.sparsity_before - s.zeros_before) < 1e-12 AS sparsity_before, abs(r.sparsity_after - s.zeros_after) < 1e-12 AS sparsity_after,
    r.compression_rate = greatest(0, (r.bytes_before - r.bytes_after)::float8 / r.bytes_before) AS compression,
    abs(r.pruning_rate - greatest(0, (s.zeros_after - s.zeros_before) / (1 - s.zeros_before))) < 1e-12 AS pruning
FROM pair, report(a, b) r JOIN LATERAL (SELECT max(abs(e.x::float8 - f.x)) AS most, sqrt(sum((e.x::float8 - f.x) ^ 2) / sum(e.x::float8 ^ 2)) AS relative,
        avg((e.x = 0)::int) AS zeros_before, avg((f.x = 0)::int) AS zeros_after
    FROM elements(a, r.name) e JOIN elements(b, r.name) f USING (i, j)) s ON true WHERE name IN ('p', 'q');
SELECT r.bytes_before = model_size(a) AND r.bytes_after = model_size(b) AS bytes, r.compression_rate = compression_rate(a, b) AS compression, r.pruning_rate = pruning_rate(a, b) AS pruning,
    abs(r.sparsity_after - sparsity(b)) < 1e-12 AS sparsity, r.max_error = (SELECT max(max_error) FROM report(a, b) WHERE name IS NOT NULL) AS max_error
FROM pair, report(a, b) r WHERE name IS NULL;
-- Tensors that only one side has, or that have other shapes: totals have no
-- errors then, since those of the rest would pass for the model's.
SELECT name, parameters_before, parameters_after, max_error, rel_l2, snr, compression_rate, pruning_rate
FROM report((SELECT model_agg(n, d ORDER BY n) FROM (VALUES ('a', '{{1, 2}}'::real[]), ('b', '{{3, 4}}'), ('c', '{{0, 0}}')) v (n, d)),
    (SELECT model_agg(n, d ORDER BY n) FROM (VALUES ('b', '{{3}, {4}}'::real[]), ('c', '{{0, 0}}'), ('d', '{{5, NaN}}')) v (n, d)));
SELECT name, max_error, rel_l2, snr FROM report((SELECT model_agg('x', '{{1, NaN, Infinity}, {-Infinity, 2, 3}}'::real[])), (SELECT model_agg('x', '{{1, NaN, Infinity}, {-Infinity, 2, 3}}'::real[])));
SELECT name, max_error, rel_l2, snr FROM report((SELECT model_agg('x', '{{1, 2, 3}}'::real[])), (SELECT model_agg('x', '{{1, NaN, 3}}'::real[])));
SELECT name, max_error, rel_l2, snr FROM report((SELECT model_agg('x', '{{1, 2, 3}}'::real[])), (SELECT model_agg('x', '{{1, Infinity, 3}}'::real[])));
SELECT count(*) FROM report(NULL, (SELECT a FROM pair));
-- Integers and numbers without dimensions, which a graph computes with, are no weights: errors of all are those of the rest.
CREATE FUNCTION exported(weights text) RETURNS model LANGUAGE sql AS
$$ SELECT model_read(set_byte('\x0000000000000000'::bytea, 0, length(header)) || convert_to(header, 'UTF8') || '\xffffffffffffff7f0000000000000080ffff7fff'::bytea || decode(weights, 'hex'))
FROM (SELECT '{"ends":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"mask":{"dtype":"F32","shape":[],"data_offsets":[16,20]},"w":{"dtype":"F32","shape":[2],"data_offsets":[20,28]}}' AS header) h $$;
-- 1 and 2, and 1 and 2.5: 0.5 / sqrt(5).
SELECT name, max_error, rel_l2, round(snr::numeric, 6) AS snr, round(-20 * log(0.5 / sqrt(5))::numeric, 6) AS expected
FROM report(exported('0000803f00000040'), exported('0000803f00002040'));
SELECT tensor(exported('0000803f00002040'), 'w');
DROP FUNCTION exported;

-- ---------- weights and activations ----------

-- In each row the smallest products of magnitude and norm go, the first of
-- equal ones before the others; a third of 7 is 2.
CREATE TABLE wanda AS SELECT model_agg(name, data ORDER BY name) AS m, '{"w": [1, 2, 0.5, 3, 1, 1, 0], "conv": [2, 1]}'::jsonb AS norms
FROM (VALUES ('w', matrix(5, 7, '(i * 7 + j) * 5 % 11 - 5'))) v (name, data);
CREATE FUNCTION expected(m model, norms real[], k int) RETURNS TABLE (i int, j int, x real) LANGUAGE sql AS
$$ SELECT i, j, CASE WHEN row_number() OVER (PARTITION BY i ORDER BY abs(x) * norms[j], j) <= k THEN 0 ELSE x END FROM elements(m, 'w') $$;
SELECT amount, count(*) FILTER (WHERE e.x <> f.x) AS others FROM wanda, (VALUES (0, 0), (0.3, 2), (0.34, 2), (0.5, 3), (1, 7)) v (amount, k),
    prune(m, amount, 'wanda', activation_norms => norms) p, expected(m, '{1, 2, 0.5, 3, 1, 1, 0}', k) e JOIN elements(p, 'w') f USING (i, j) GROUP BY amount ORDER BY amount;
SELECT count(*) FILTER (WHERE e.x <> f.x) AS others FROM wanda, prune_count(m, 4, 'wanda', activation_norms => norms) p, expected(m, '{1, 2, 0.5, 3, 1, 1, 0}', 4) e JOIN elements(p, 'w') f USING (i, j);
-- Two of every three; what is left over stays.
SELECT tensor(p, 'w') FROM wanda, prune(m, method => 'wanda', n => 2, m_of => 3, activation_norms => norms) p;
-- Inputs in the first dimension, as in matrices that are multiplied from the right.
SELECT prune(t, 0.4, 'wanda', dim => 0, activation_norms => '{"w": [1, 2, 3, 4, 5]}') = t2 AS same
FROM (SELECT model_agg('w', matrix(5, 7, '(j * 7 + i * 3) % 13 - 6')) AS t) a,
    (SELECT model_agg('w', (SELECT array_agg(r ORDER BY i) FROM (SELECT i, array_agg(x ORDER BY j) r FROM (
        SELECT i, j, CASE WHEN row_number() OVER (PARTITION BY j ORDER BY abs(x) * i, i) <= 2 THEN 0::real ELSE x END AS x
        FROM (SELECT i + 1 AS i, j, ((j * 7 + i * 3) % 13 - 6)::real AS x FROM generate_series(0, 4) i, generate_series(0, 6) j) y) z GROUP BY i) u)) AS t2) b;
SELECT step -> 'arguments' AS arguments, step #> '{rates, pruned}' AS pruned FROM wanda, jsonb_array_elements(model_metadata(prune(m, 0.3, 'wanda', activation_norms => norms)) -> 'recipe') step;
SELECT name, pruned, sparsity_after FROM wanda, prune_dry_run(m, 0.3, 'wanda', activation_norms => norms);

CREATE FUNCTION refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE query;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
\x
SELECT call, refusal(format('SELECT %s FROM wanda', call)) FROM unnest(ARRAY[
    'prune(m, 0.5, ''wanda'')',
    'prune(m, method => ''wanda'', activation_norms => norms)',
    'prune(m, 0.5, activation_norms => norms)',
    'prune(m, 0.5, ''wanda'', n => 2, m_of => 4, activation_norms => norms)',
    'prune(m, method => ''wanda'', n => 2, activation_norms => norms)',
    'prune(m, 0.5, ''wanda'', "of" => ''remaining'', activation_norms => norms)',
    'prune(m, 0.5, ''wanda'', ''layer'', activation_norms => norms)',
    'prune(m, 0.5, ''wanda'', dim => 2, activation_norms => norms)',
    'prune(m, 0.5, ''wanda'', dim => 0, activation_norms => norms)',
    'prune(m, 0.5, ''wanda'', activation_norms => ''[1]'')',
    'prune(m, 0.5, ''wanda'', activation_norms => ''{"v": [1]}'')',
    'prune(m, 0.5, ''wanda'', activation_norms => ''{"w": 1}'')',
    'prune(m, 0.5, ''wanda'', activation_norms => ''{"w": [1, 2]}'')',
    'prune(m, 0.5, ''wanda'', activation_norms => ''{"w": [1, 2, 3, 4, 5, 6, -7]}'')',
    'prune(m, 0.5, ''wanda'', activation_norms => ''{"w": [1, 2, 3, 4, 5, 6, "7"]}'')',
    'prune(m, 0.5, ''wanda'', activation_norms => ''{"w": [1, 2, 3, 4, 5, 6, 1e39]}'')',
    'prune_count(m, 8, ''wanda'', activation_norms => norms)'
]) call;
\x
DROP TABLE pair, wanda;
DROP FUNCTION matrix, elements, expected, refusal;
