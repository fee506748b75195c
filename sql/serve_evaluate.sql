-- How good models are.  What evaluate() computes, SQL computes too, from what
-- predict() gives.

CREATE SCHEMA serve_evaluate;
SET search_path = serve_evaluate, public;
\set SHOW_CONTEXT never
\set VERBOSITY default
\set mlp `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
CREATE TABLE zoo (name text PRIMARY KEY, m model);
INSERT INTO zoo VALUES ('mlp', model_read(decode(:'mlp', 'base64')));
INSERT INTO zoo SELECT 'line', set_graph(model_agg(name, data), 'fc:linear')
FROM (VALUES ('fc.weight', '{{2,-1}}'::real[]), ('fc.bias', '{0.3}')) v (name, data);
INSERT INTO zoo SELECT 'plane', set_graph(model_agg(name, data), 'fc:linear')
FROM (VALUES ('fc.weight', '{{2,-1},{0.25,3}}'::real[]), ('fc.bias', '{0.5,0}')) v (name, data);
INSERT INTO zoo SELECT 'half', set_graph(model_agg(name, data), 'fc:linear sigmoid')
FROM (VALUES ('fc.weight', '{{2,-1}}'::real[]), ('fc.bias', '{0.3}')) v (name, data);
INSERT INTO zoo SELECT 'soft', set_graph(model_agg(name, data), 'fc:linear softmax')
FROM (VALUES ('fc.weight', '{{2,-1},{0.25,3},{0,0}}'::real[]), ('fc.bias', '{0.5,0,1}')) v (name, data);

CREATE TABLE lines (line text);
\copy lines FROM 'test/data/digits_test.csv' WITH (DELIMITER E'\x01')
CREATE TABLE digits AS
SELECT row_number() OVER () AS id, n[1]::int AS label, (SELECT array_agg((v / 16)::real ORDER BY i) FROM unnest(n[2:]::real[]) WITH ORDINALITY u (v, i)) AS pixels
FROM (SELECT string_to_array(line, ',') FROM lines WHERE line NOT LIKE 'label%') v (n);
-- Points with ties among scores: halves, that floats have exactly.
CREATE TABLE points AS
SELECT i AS id, (i * 7 % 11) / 2.0::real - 2 AS x, (i * 5 % 7) / 2.0::real - 1 AS y, (i * 7 + i / 5) % 3 AS third, (i * 3 % 8) / 4.0 AS amount
FROM generate_series(1, 60) i;

CREATE FUNCTION near(a double precision, b double precision) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT abs(a - b) <= 1e-6 * greatest(abs(b), 1) $$;

-- The definitions, plainly.  A row has scores, from the first class on, and a
-- label.
CREATE TYPE scored AS (id int, scores double precision[], label int);
CREATE FUNCTION best(scores double precision[]) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT array_position(scores, (SELECT max(v) FROM unnest(scores) v)) - 1 $$;
CREATE FUNCTION softmax(scores double precision[]) RETURNS double precision[] LANGUAGE sql IMMUTABLE AS
$$ SELECT array_agg(exp(v) / (SELECT sum(exp(w)) FROM unnest(scores) w) ORDER BY i) FROM unnest(scores) WITH ORDINALITY u (v, i) $$;
CREATE FUNCTION expected(rows scored[]) RETURNS TABLE (metric text, value double precision) LANGUAGE sql STABLE AS
$$
WITH r AS (SELECT best(scores) AS guess, label, scores FROM unnest(rows)),
class AS (SELECT i - 1 AS c FROM generate_series(1, cardinality(rows[1].scores)) i),
f1 AS (SELECT c, count(*) FILTER (WHERE guess = c AND label = c) AS hits, count(*) FILTER (WHERE guess = c) AS guesses, count(*) FILTER (WHERE label = c) AS labels
    FROM r, class GROUP BY c),
auc AS (SELECT c, avg(CASE WHEN a.scores[c + 1] > b.scores[c + 1] THEN 1.0 WHEN a.scores[c + 1] = b.scores[c + 1] THEN 0.5 ELSE 0 END) AS area
    FROM class, r a, r b WHERE a.label = c AND b.label <> c GROUP BY c)
SELECT 'accuracy', avg((guess = label)::int)::double precision FROM r
UNION ALL SELECT 'f1', avg(2.0 * hits / (guesses + labels)) FROM f1 WHERE guesses + labels > 0
UNION ALL SELECT 'auc', avg(area) FROM auc
UNION ALL SELECT 'log_loss', avg(-ln(scores[label + 1])) FROM r
$$;

-- ---------- classes ----------

-- Logits of ten classes.
SELECT e.metric, near(e.value, x.value), e.n
FROM zoo, evaluate(m, 'SELECT pixels, label FROM digits') e LEFT JOIN
    expected((SELECT array_agg((id, softmax(predict(m, pixels)::float8[]), label)::scored) FROM zoo, digits WHERE name = 'mlp')) x USING (metric)
WHERE name = 'mlp';
-- Probabilities of three classes, with ties; and in small batches.
CREATE TABLE soft AS
SELECT array_agg((id, predict(m, ARRAY[x, y]::real[])::float8[], third)::scored) AS rows FROM zoo, points WHERE name = 'soft';
SELECT e.metric, near(e.value, x.value), e.n, near(e.value, f.value) AS in_batches
FROM soft, zoo, evaluate(m, 'SELECT x, y, third FROM points') e JOIN evaluate((SELECT m FROM zoo WHERE name = 'soft'), 'SELECT x, y, third FROM points', batch_size => 7) f USING (metric)
    JOIN expected((SELECT rows FROM soft)) x USING (metric)
WHERE name = 'soft';
-- One score is the second class's: a probability, or a logit, for labels that
-- are boolean, or named.
CREATE TABLE half AS
SELECT array_agg((id, ARRAY[1 - p[1], p[1]]::float8[], (amount > 0.8)::int)::scored) AS rows FROM zoo, points, predict(m, ARRAY[x, y]::real[]) p WHERE name = 'half';
SELECT e.metric, near(e.value, x.value) AS probability, near(l.value, x.value) AS logit, near(n.value, x.value) AS named
FROM zoo, evaluate(m, 'SELECT x, y, amount > 0.8 FROM points') e
    JOIN evaluate((SELECT m FROM zoo WHERE name = 'line'), 'SELECT x, y, amount > 0.8 FROM points') l USING (metric)
    JOIN evaluate((SELECT m FROM zoo WHERE name = 'line'), $$SELECT x, y, CASE WHEN amount > 0.8 THEN 'much' ELSE 'little' END FROM points$$, labels => '{little,much}') n USING (metric)
    JOIN expected((SELECT rows FROM half)) x USING (metric)
WHERE name = 'half';
-- Whether a number between 0 and 1 is one or the other, the graph knows.
SELECT name, (predict(m, '{0.1,0.1}'))[1] AS score, c.* FROM zoo, classify(m, '{0.1,0.1}') c WHERE name IN ('line', 'half') ORDER BY name;
SELECT name, abs(value - ln(1 + exp(-0.4))) < 1e-6 AS logistic FROM zoo, evaluate(m, 'SELECT 0.1, 0.1, true', metrics => '{log_loss}') WHERE name IN ('line', 'half') AND metric = 'log_loss' ORDER BY name;
-- What is no number is no class; a name is of one class.
SELECT name, c.* FROM zoo, classify(m, '{NaN,0}') c WHERE name <> 'mlp' ORDER BY name;
SELECT name, c.* FROM zoo, classify(m, '{Infinity,0}') c WHERE name <> 'mlp' ORDER BY name;
SELECT c.* FROM zoo, classify(m, '{NaN,0}', '{no,yes}') c WHERE name = 'half';
SELECT classify(m, '{0,0}', '{no,yes,no}') FROM zoo WHERE name = 'soft';
SELECT (classify(m, '{0,0}', '{no,yes,NULL}')).label IS NULL AS nameless FROM zoo WHERE name = 'soft';
-- A half is the second class's.
SELECT value FROM zoo, evaluate(model_set(m, 'fc.bias', '{0}'), 'SELECT 0, 0, true', metrics => '{accuracy}') WHERE name = 'half' AND metric = 'accuracy';
-- A number with a name is that class, whatever the number.
SELECT a.value = b.value AS the_same
FROM zoo, evaluate(m, 'SELECT x, y, third FROM points', metrics => '{accuracy}') a,
    evaluate(m, 'SELECT x, y, 10 * third FROM points', labels => '{0,10,20}', metrics => '{accuracy}') b
WHERE name = 'soft' AND a.metric = b.metric AND a.metric = 'accuracy';
-- Nobody's guess is better than chance when all scores are the same.
SELECT metric, value FROM zoo, evaluate(model_set(m, 'fc.weight', '{{0,0}}'), 'SELECT x, y, amount > 0.8 FROM points', metrics => '{auc}') WHERE name = 'half';
-- Where a probability is 0 or 1, the logarithm is that of what floats can tell
-- from it, as in scikit-learn.
SELECT round(value::numeric, 4) AS log_loss, round(-ln(1.1920929e-07), 4) AS of_an_epsilon
FROM zoo, evaluate(m, 'SELECT 1000, 0, false', metrics => '{log_loss}') WHERE name = 'half' AND metric = 'log_loss';
-- The least memory sorts in files.
SET work_mem = '64kB';
SELECT near(e.value, x.value) FROM soft, zoo, evaluate(m, 'SELECT x, y, third FROM points, generate_series(1, 300)', metrics => '{auc}') e JOIN
    expected((SELECT rows FROM soft)) x USING (metric)
WHERE name = 'soft';
-- The files are there longer than a subtransaction of the query, in which the run that is going is waited for.
CREATE FUNCTION careful(x numeric) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    PERFORM predict(m, ARRAY[x, x]) FROM zoo WHERE name = 'line';
    RETURN x;
EXCEPTION WHEN division_by_zero THEN
    RETURN 0;
END $$;
SELECT near(e.value, x.value) FROM soft, zoo, evaluate(m, 'SELECT careful(x::numeric), y, third FROM points, generate_series(1, 300)', metrics => '{auc}', batch_size => 100) e JOIN
    expected((SELECT rows FROM soft)) x USING (metric)
WHERE name = 'soft';
RESET work_mem;

-- ---------- values ----------

CREATE TABLE line AS SELECT amount::float8 AS y, (predict(m, ARRAY[x, y]::real[]))[1]::float8 AS p FROM zoo, points WHERE name = 'line';
CREATE VIEW line_expected AS
SELECT 'r2' AS metric, 1 - sum((y - p) ^ 2) / ((count(*) - 1) * var_samp(y)) AS value FROM line
UNION ALL SELECT 'mse', avg((y - p) ^ 2) FROM line
UNION ALL SELECT 'mae', avg(abs(y - p)) FROM line;
SELECT e.metric, near(e.value, x.value), e.n
FROM zoo, evaluate(m, 'SELECT x, y, amount FROM points') e LEFT JOIN line_expected x USING (metric) WHERE name = 'line';
-- Several values: the mean over them.
SELECT metric, near(e.value, (a.value + b.value) / 2)
FROM zoo, evaluate(m, 'SELECT x, y, ARRAY[amount, third] FROM points') e JOIN
    evaluate((SELECT set_graph(model_agg(name, data), 'fc:linear') FROM (VALUES ('fc.weight', '{{2,-1}}'::real[]), ('fc.bias', '{0.5}')) v (name, data)),
        'SELECT x, y, amount FROM points') a USING (metric) JOIN
    evaluate((SELECT set_graph(model_agg(name, data), 'fc:linear') FROM (VALUES ('fc.weight', '{{0.25,3}}'::real[]), ('fc.bias', '{0}')) v (name, data)),
        'SELECT x, y, third FROM points') b USING (metric)
WHERE name = 'plane' AND metric <> 'null_rows';
-- What is always the same is predicted, or not.
SELECT metric, value FROM zoo, evaluate(m, 'SELECT 0.5, 0.3, 1 FROM points') WHERE name = 'line' AND metric = 'r2';
SELECT metric, value FROM zoo, evaluate(m, 'SELECT x, y, 1.5 FROM points') WHERE name = 'line' AND metric = 'r2';

-- ---------- rows that are none ----------

SELECT metric, value IS NOT NULL AS has_value, CASE WHEN metric = 'null_rows' THEN value END AS nulls, n
FROM zoo, evaluate(m, 'SELECT nullif(x, 0), y, nullif(third, 2) FROM points') WHERE name = 'soft';
SELECT count(*) FILTER (WHERE x = 0 OR third = 2) AS nulls, count(*) AS n FROM points;
SELECT metric, value, n FROM zoo, evaluate(m, 'SELECT x, y, ARRAY[amount, null] FROM points') WHERE name = 'plane';
SELECT metric, value, n FROM zoo, evaluate(m, 'SELECT x, y, third FROM points WHERE false') WHERE name = 'soft';
SELECT metric, value, n FROM zoo, evaluate(m, 'SELECT x, y, 1 FROM points', metrics => '{auc}') WHERE name = 'soft';
-- No class, and no number.
SELECT metric, value, n FROM zoo, evaluate(model_set(m, 'fc.bias', '{NaN,0,1}'), 'SELECT x, y, third FROM points') WHERE name = 'soft';

-- ---------- by name ----------

SELECT modelopt.commit('se_soft', m, 'soft') FROM zoo WHERE name = 'soft';
CREATE ROLE se_user;
CREATE ROLE se_nobody;
GRANT USAGE ON SCHEMA serve_evaluate TO se_user, se_nobody;
GRANT SELECT ON points TO se_user;
SELECT modelopt.grant_usage('se_soft', 'se_user');
SET ROLE se_user;
SELECT count(*) FROM evaluate('se_soft', 'SELECT x, y, third FROM points');
-- The query runs with the rights of who calls.
SELECT count(*) FROM evaluate('se_soft', 'SELECT 1, 1, label FROM digits');
SET ROLE se_nobody;
SELECT count(*) FROM evaluate('se_soft', 'SELECT 1, 1, 0');
RESET ROLE;

-- ---------- errors ----------

SELECT evaluate(m, 'SELECT x, y, third + 1 FROM points') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, 0.5 FROM points') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, $$SELECT x, y, 'a' FROM points$$) FROM zoo WHERE name = 'soft';
SELECT evaluate(m, $$SELECT x, y, 'a' FROM points$$, labels => '{a,b}') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, $$SELECT x, y, 'd' FROM points$$, labels => '{a,b,c}') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, $$SELECT x, y, 'a' FROM points$$, labels => '{a,b,a}') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, $$SELECT x, y, 'a' FROM points$$, labels => '{a,b,null}') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, ARRAY[1, 2] FROM points', task => 'classification') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, ARRAY[1, 2] FROM points') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, true FROM points', task => 'regression') FROM zoo WHERE name = 'line';
SELECT evaluate(m, 'SELECT x, y, third FROM points', metrics => '{mse}') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, third FROM points', metrics => '{precision}') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, third FROM points', task => 'ranking') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, third FROM points', scores => 'odds') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, third FROM points', batch_size => 0) FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, y, third FROM points', output => 'none') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, NULL) FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT third FROM points') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'SELECT x, x, y, third FROM points') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'DELETE FROM points') FROM zoo WHERE name = 'soft';
SELECT evaluate(m, 'DELETE FROM points RETURNING x, y, third') FROM zoo WHERE name = 'soft';
-- Scores that only look like probabilities at first, where the graph does not tell.
SELECT evaluate(set_graph(m, 'fc:linear relu'), 'SELECT x / 100, y / 100 , x > 2 FROM (VALUES (1.0, 1.0), (400, 1)) v (x, y)', batch_size => 1) FROM zoo WHERE name = 'line';
SELECT metric FROM zoo, evaluate(m, 'SELECT x / 100, y / 100, x > 2 FROM (VALUES (1.0, 1.0), (400, 1)) v (x, y)', batch_size => 1, scores => 'logits') WHERE name = 'line';

DROP OWNED BY se_user, se_nobody;
DROP ROLE se_user, se_nobody;
SELECT modelopt.drop('se_soft');
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA serve_evaluate CASCADE;
