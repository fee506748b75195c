-- Compressing.  What is expected follows from how the models are made.
SET extra_float_digits = 1;
CREATE FUNCTION elements(m model, name text) RETURNS TABLE (i int, j int, x real) LANGUAGE sql AS
$$ SELECT i, j, t[i][j] FROM (SELECT tensor(m, name) AS t) x, generate_subscripts(t, 1) i, generate_subscripts(t, 2) j $$;
-- A matrix by a formula of the places i and j.
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

CREATE FUNCTION one(data real[]) RETURNS model LANGUAGE sql IMMUTABLE AS $$ SELECT model_agg('x', data) $$;

-- ---------- clusters ----------

-- Two heaps, far from each other: their means.
SELECT count(DISTINCT f.x) AS values, count(*) FILTER (WHERE abs(f.x - mean) > 1e-6 * mean) AS others
FROM one(matrix(8, 65, 'j % 2 * 10 + (i + j) % 5 * 0.25 + 1')) m, compress(m, 'cluster', bits => 1) c,
    (SELECT x > 5 AS upper_, avg(x::float8) AS mean FROM one(matrix(8, 65, 'j % 2 * 10 + (i + j) % 5 * 0.25 + 1')) m, elements(m, 'x') GROUP BY 1) means,
    elements(m, 'x') e JOIN elements(c, 'x') f USING (i, j) WHERE upper_ = (e.x > 5);
-- Few values are kept as they are; the bits are as many as they need.
SELECT bits, t.encoding, t.bytes, m = c AS same FROM one(matrix(8, 64, '(i * 64 + j) % 11 - 5')) m,
    unnest('{4, 5, 8}'::int[]) bits, compress(m, 'cluster', bits => bits) c, tensors(c) t;
-- Of all cuts of these numbers into two, this one has the least squared error.
CREATE TABLE spread AS SELECT model_agg('x', matrix(4, 250, '((i * 250 + j) * (i * 250 + j)) % 1009 / 100.0 + 0.5')) AS m;
SELECT abs(min(cut.error) - min(found.error)) < 1e-3 AS least
FROM (SELECT (var_pop(x::float8) FILTER (WHERE x <= limit_) * count(*) FILTER (WHERE x <= limit_) +
              var_pop(x::float8) FILTER (WHERE x > limit_) * count(*) FILTER (WHERE x > limit_)) AS error
      FROM spread, elements(m, 'x'), (SELECT DISTINCT x AS limit_ FROM spread, elements(m, 'x')) l GROUP BY limit_) cut,
     (SELECT sum((e.x::float8 - f.x) ^ 2) AS error FROM spread, compress(m, 'cluster', bits => 1) c, elements(m, 'x') e JOIN elements(c, 'x') f USING (i, j)) found;
-- Every element has the nearest of the values.
SELECT bits, count(*) FILTER (WHERE abs(e.x::float8 - f.x) > (SELECT min(abs(e.x::float8 - v)) FROM unnest(vs) v)) AS farther, cardinality(vs) <= 1 << bits AS enough
FROM spread, unnest('{1, 2, 3, 4, 6}'::int[]) bits, compress(m, 'cluster', bits => bits) c, elements(m, 'x') e JOIN elements(c, 'x') f USING (i, j),
    LATERAL (SELECT array_agg(DISTINCT x) AS vs FROM elements(c, 'x')) v GROUP BY bits, vs ORDER BY bits;
-- More bits, less error; and zeros stay zeros.
SELECT bool_and(rms < before) FROM (SELECT bits, rms_error AS rms, lag(rms_error, 1, 1e9) OVER (ORDER BY bits) AS before
    FROM spread, unnest('{1, 2, 3, 4, 5, 6, 7}'::int[]) bits, compress_dry_run(m, 'cluster', bits => bits)) x;
SELECT bits, bool_and(f.x = 0) FROM spread, prune(m, 0.4) p, unnest('{1, 2, 4}'::int[]) bits, compress(p, 'cluster', bits => bits) c,
    elements(p, 'x') e JOIN elements(c, 'x') f USING (i, j) WHERE e.x = 0 GROUP BY bits ORDER BY bits;

-- ---------- products of two matrices ----------

-- Of rank 2 by its making.
CREATE TABLE thin AS SELECT model_agg(name, data ORDER BY name) AS m FROM (VALUES
    ('tall', matrix(60, 40, '(i + 1) * (j - 20) / 100.0 + (i % 7) * (j % 3)')),
    ('wide', matrix(40, 60, '(j + 1) * (i - 20) / 100.0 + (j % 7) * (i % 3)'))) v (name, data);
SELECT r.name, r.encoding, r.bytes_after = 64 + 2 * 100 * 4 AS bytes, r.rel_l2 < 1e-6 AS same
FROM thin, compress(m, 'lowrank', energy => 0.9999999999) c, report(m, c) r WHERE r.name IS NOT NULL;
SELECT r.name, r.bytes_after = 64 + 100 * 4 AS bytes, r.rel_l2 BETWEEN 0.01 AND 0.99 AS less FROM thin, compress(m, 'lowrank', rank => 1) c, report(m, c) r WHERE r.name IS NOT NULL;
-- A diagonal's singular values are known: 1 to 20.  The squared error is what is cut off, and the energy decides how much.
CREATE TABLE diagonal AS SELECT model_agg('d', matrix(20, 30, 'CASE WHEN i = j THEN i + 1 ELSE 0 END')) AS m;
SELECT energy, t.bytes = 64 + r * 50 * 4 AS rank, abs(error - (SELECT coalesce(sum(k * k), 0) FROM generate_series(1, 20 - r) k)) < 1e-3 AS error
FROM diagonal, (VALUES (0.13, 1), (0.14, 2), (0.5, 5), (0.7, 7)) v (energy, r),
    compress(decompress(m), 'lowrank', energy => energy) c, tensors(c) t,
    LATERAL (SELECT sum((e.x::float8 - f.x) ^ 2) AS error FROM elements(m, 'd') e JOIN elements(c, 'd') f USING (i, j)) y ORDER BY r;
-- Where it does not save it is not done; nor for what is no matrix, or nothing.
SELECT name, new_encoding, note FROM diagonal, compress_dry_run(decompress(m), 'lowrank', energy => 0.95);
SELECT name, new_encoding, note FROM compress_dry_run(one(matrix(2, 2, '1')), 'lowrank', rank => 1);
SELECT name, new_encoding, note FROM (SELECT model_agg(n, d ORDER BY n) AS m FROM (VALUES ('v', '{1, 2, 3}'::real[]), ('z', matrix(9, 9, '0'))) v (n, d)) x,
    compress_dry_run(m, 'lowrank', energy => 0.5, include => '{v, z}');

-- ---------- the smallest within a bound ----------

CREATE TABLE bounded AS SELECT bound, encoding, bytes, c, m FROM spread, unnest('{3, 1.003, 0.303, 0.1, 0.03, 0.01, 0.001, 0.0001}'::float8[]) bound,
    compress(m, max_error => bound) c, tensors(c) t;
SELECT bound, encoding, bytes, (SELECT max(abs(e.x::float8 - f.x)) <= bound FROM elements(m, 'x') e JOIN elements(c, 'x') f USING (i, j)) AS within FROM bounded ORDER BY bound DESC;
SELECT bool_and(bytes >= before) FROM (SELECT bytes, lag(bytes, 1, 0) OVER (ORDER BY bound DESC) AS before FROM bounded) x;
-- What loses nothing keeps any bound: eleven values that lie nowhere near a grid.
SELECT d.new_encoding, d.bytes_after = t.bytes AS as_clustered, d.max_error_found FROM one(matrix(8, 64, 'exp((i * 64 + j) % 11)')) m,
    compress_dry_run(m, max_error => 1e-30) d, tensors(compress(m, 'cluster', bits => 4)) t;
-- As few values as there can be: every interval of twice the bound holds what it can.
WITH RECURSIVE x AS (SELECT x::float8 FROM spread, elements(m, 'x')),
    cover AS (SELECT min(x) AS start FROM x UNION ALL SELECT (SELECT min(x) FROM x WHERE x > start + 2.006) FROM cover WHERE start IS NOT NULL)
SELECT count(start) = (SELECT count(DISTINCT f.x) FROM bounded, elements(c, 'x') f WHERE bound = 1.003) AS fewest FROM cover;

-- ---------- values like any others ----------

CREATE TABLE kept (how text, m model);
INSERT INTO kept SELECT 'cluster', compress(m, 'cluster', bits => 3) FROM spread;
INSERT INTO kept SELECT 'lowrank', compress(m, 'lowrank', rank => 2) FROM thin;
INSERT INTO kept SELECT 'bound', compress(m, max_error => 0.05) FROM spread;
SELECT how, decompress(m) = m AS decoded, m::text::model = m AS text, m::bytea::model::bytea = m::bytea AS bytes,
    model_digest(m) = model_digest(decompress(m)) AS digest, model_size(m) < model_size(decompress(m)) AS smaller FROM kept ORDER BY how;
SELECT how, step -> 'function' AS function, step -> 'arguments' AS arguments FROM kept, jsonb_array_elements(model_metadata(m) -> 'recipe') step ORDER BY how;
SELECT how, model_read(model_write(m, 'safetensors')) = model_set_metadata(decompress(m), model_metadata(model_read(model_write(m, 'safetensors')))) AS written FROM kept ORDER BY how;
SELECT how, abs(sparsity(prune(m, 0.5)) - 0.5) < 0.02 AS pruned FROM kept ORDER BY how;
SELECT compress(NULL, 'cluster', bits => 2) IS NULL AS null_;

-- ---------- refusals ----------

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
CREATE TABLE odd AS SELECT model_agg(name, data ORDER BY name) AS m FROM (VALUES
    ('nan', matrix(40, 40, 'CASE WHEN i = 3 AND j = 4 THEN ''NaN''::real ELSE i * j + 1 END')),
    ('inf', matrix(40, 30, 'CASE WHEN i = 39 AND j = 29 THEN ''-Infinity''::real ELSE i * j + 1 END'))) v (name, data);
\x
SELECT call, refusal(format('SELECT %s FROM odd, spread s', call)) FROM unnest(ARRAY[
    'compress(s.m)',
    'compress(s.m, ''zip'')',
    'compress(s.m, ''cluster'')',
    'compress(s.m, ''cluster'', bits => 0)',
    'compress(s.m, ''cluster'', bits => 9)',
    'compress(s.m, ''cluster'', bits => 4, rank => 2)',
    'compress(s.m, ''cluster'', bits => 4, energy => 0.5)',
    'compress(s.m, ''cluster'', bits => 4, max_error => 0.5)',
    'compress(s.m, ''lowrank'')',
    'compress(s.m, ''lowrank'', rank => 0)',
    'compress(s.m, ''lowrank'', rank => 1, energy => 0.5)',
    'compress(s.m, ''lowrank'', energy => 0)',
    'compress(s.m, ''lowrank'', energy => 1.01)',
    'compress(s.m, ''lowrank'', energy => ''NaN'')',
    'compress(s.m, ''lowrank'', rank => 1, bits => 4)',
    'compress(s.m, max_error => 0)',
    'compress(s.m, max_error => ''NaN'')',
    'compress(s.m, max_error => 0.1, bits => 4)',
    'compress(s.m, ''cluster'', bits => 4, include => ''{y}'')',
    'compress(s.m, ''cluster'', bits => 4, exclude => ''{y*}'')',
    'compress(odd.m, ''cluster'', bits => 4, include => ''{nan}'')',
    'compress(odd.m, ''cluster'', bits => 4, include => ''{inf}'')',
    'compress(odd.m, ''lowrank'', rank => 2, include => ''{nan}'')',
    'compress(odd.m, ''lowrank'', rank => 2, include => ''{inf}'')',
    'compress(odd.m, max_error => 1, include => ''{nan}'')',
    'compress(quantize(s.m, ''int8''), ''cluster'', bits => 4)',
    'compress(quantize(s.m, ''int8''), ''lowrank'', rank => 1)',
    'compress(compress(s.m, ''cluster'', bits => 4), max_error => 0.1)',
    'quantize(compress(s.m, ''cluster'', bits => 4), ''int8'')'
]) call;
\x
-- Numbers of 64 bits whose squares are 0 or infinite: powers of two make no
-- difference, but for what would not be a number itself.
CREATE FUNCTION wide(exponent int) RETURNS model LANGUAGE sql AS
$$ SELECT model_read('\x4800000000000000' || '{"x": {"dtype": "F64", "shape": [20, 30], "data_offsets": [0, 4800]}}   '::bytea ||
       (SELECT string_agg((SELECT string_agg(substr(s, b, 1), '' ORDER BY b DESC) FROM generate_series(1, 8) b), '' ORDER BY i, j)
        FROM generate_series(0, 19) i, generate_series(0, 29) j,
        LATERAL (SELECT float8send((1 + i * 0.25) * (2 - j * 0.0625) * 2::float8 ^ exponent) AS s) x), 'safetensors') $$;
SELECT exponent, t.encoding, t.bytes, r.error < 1e-12 AS same
FROM unnest('{0, 1010, 700, -700, -1020}'::int[]) exponent, LATERAL (SELECT wide(exponent) AS m, compress(wide(exponent), 'lowrank', energy => 0.99) AS c) x,
    tensors(c) t, LATERAL (SELECT max_error_found / 2::float8 ^ exponent AS error FROM compress_dry_run(m, 'lowrank', rank => 1)) r;
SELECT refusal('SELECT compress(wide(1020), ''lowrank'', rank => 1)');
SELECT refusal($$SELECT compress(one(matrix(100, 100, 'CASE WHEN i = 2 AND j = 3 THEN 3e38 ELSE 2e38 END')), 'lowrank', rank => 1)$$);
DROP FUNCTION wide;
DROP TABLE spread, thin, diagonal, bounded, kept, odd;
DROP FUNCTION elements, matrix, one, refusal;
