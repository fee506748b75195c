-- What may go from a model, tried out.

CREATE SCHEMA serve_optimize;
SET search_path = serve_optimize, public;
\set SHOW_CONTEXT never
\set VERBOSITY default
\set mlp `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
CREATE TABLE zoo (name text PRIMARY KEY, m model);
INSERT INTO zoo VALUES ('mlp', model_read(decode(:'mlp', 'base64')));
CREATE TABLE lines (line text);
\copy lines FROM 'test/data/digits_test.csv' WITH (DELIMITER E'\x01')
CREATE TABLE digits AS
SELECT row_number() OVER () AS id, n[1]::int AS label, (SELECT array_agg((v / 16)::real ORDER BY i) FROM unnest(n[2:]::real[]) WITH ORDINALITY u (v, i)) AS pixels
FROM (SELECT string_to_array(line, ',') FROM lines WHERE line NOT LIKE 'label%') v (n);
-- How many of a hundred a model reads.
CREATE FUNCTION accuracy(m model) RETURNS double precision LANGUAGE sql STABLE AS
$$ SELECT count(*) FILTER (WHERE (classify(m, pixels)).label = label::text) / 100.0::float8 FROM digits $$;

-- ---------- sensitivity ----------

SELECT layer, tensor FROM zoo, layer_tensors(m);
CREATE TABLE sensitive AS SELECT s.* FROM zoo, sensitivity(m, 'SELECT pixels, label FROM digits', amounts => '{0,0.5,0.9}') s;
SELECT layer, amount, value = accuracy(prune(m, amount, include => ARRAY[layer || '.weight'])) AS value, baseline = accuracy(m) AS baseline,
    "drop" = baseline - value AS "drop"
FROM zoo, sensitive;
SELECT every(value = baseline) AS nothing_gone, every("drop" = 0) FROM sensitive WHERE amount = 0;
-- A loss is worse when it is more.
SELECT layer, "drop" = value - baseline AS "drop", value > baseline AS worse
FROM zoo, sensitivity(m, 'SELECT pixels, label FROM digits', 'random', '{0.9}', 'log_loss') s;
SELECT sensitivity(m, 'SELECT pixels, label FROM digits', 'none') FROM zoo;
SELECT sensitivity(m, 'SELECT pixels, label FROM digits', amounts => '{1.5}') FROM zoo;
SELECT sensitivity(m, 'SELECT pixels, label FROM digits', metric => 'none') FROM zoo;
SELECT sensitivity(m, 'SELECT pixels, label FROM digits', NULL) FROM zoo;
SELECT sensitivity(m, NULL) FROM zoo;

-- ---------- optimize ----------

CREATE TABLE tried AS SELECT o.* FROM zoo, optimize(m, 'SELECT pixels, label FROM digits', max_drop => 0.02, tries => 3) o;
SELECT step, measured, value = accuracy(m) AS value, "drop", bytes = model_size(m) AS bytes, parameters = num_parameters(m) AS parameters, kept
FROM zoo, tried WHERE step = 0;
-- Whatever was kept is within the drop, and smaller than what was kept before.
SELECT every("drop" <= 0.02 + 1e-9) AS within, every(bytes < before) AS smaller, count(*) > 1 AS some
FROM (SELECT *, lag(bytes) OVER (ORDER BY step) AS before FROM tried WHERE kept) k;
-- What is not evaluated is not smaller.
SELECT every((value IS NULL) = ("drop" IS NULL)) AS drops, every(value IS NOT NULL OR bytes >= best) AS unevaluated
FROM (SELECT *, min(bytes) FILTER (WHERE kept) OVER (ORDER BY step) AS best FROM tried) t;
-- Nothing is tried twice, and nothing is committed.
SELECT count(*) = count(DISTINCT recipe) AS distinct_ones, count(version) AS versions FROM tried;
-- A recipe says what was made.
CREATE FUNCTION cook(m model, recipe text) RETURNS model LANGUAGE plpgsql AS
$$ DECLARE cooked model; BEGIN EXECUTE 'SELECT ' || recipe || ' FROM (SELECT $1) s (m)' INTO cooked USING m; RETURN cooked; END $$;
SET client_min_messages = warning;
SELECT every(model_size(c) = bytes) AS bytes, every(num_parameters(c) = parameters) AS parameters, every(value IS NULL OR value = accuracy(c)) AS value
FROM zoo, tried, cook(m, recipe) c WHERE kept OR step % 3 = 0;
RESET client_min_messages;
SELECT array_agg(DISTINCT substring(recipe FROM '^\w+')) AS kinds FROM tried;
-- The least drop is none, and then what is as good stays.
SELECT every("drop" <= 1e-9) AS none FROM zoo, optimize(m, 'SELECT pixels, label FROM digits', max_drop => 0, tries => 1) WHERE kept;
-- What is quantized already is so again, and says so.
SELECT every(recipe LIKE '%, requantize => true)') AS again FROM zoo, optimize(quantize(m, 'int8'), 'SELECT pixels, label FROM digits', tries => 1)
WHERE recipe LIKE 'quantize(%';
-- A regression has another metric, and a loss is worse when it is more.
SELECT measured, every("drop" <= 0.001 + 1e-9) AS within
FROM set_graph((SELECT model_agg(name, data) FROM (VALUES ('a.weight', '{{1,0,0,0},{0,1,0,0},{0,0,1,0},{0,0,0,0.001}}'::real[]), ('b.weight', '{{1,1,1,1}}')) v (name, data)), 'a:linear b:linear') m,
    optimize(m, 'SELECT i % 3, i % 5, i % 7, i % 11, i % 3 + i % 5 + i % 7 + 0.001 * (i % 11) FROM generate_series(1, 50) i', 0.001, 'speed', tries => 3) WHERE kept GROUP BY measured;
SELECT step, recipe, measured, "drop" = value - first_value(value) OVER (ORDER BY step) AS more, kept
FROM set_graph((SELECT model_agg(name, data) FROM (VALUES ('a.weight', '{{1,0,0,0},{0,1,0,0},{0,0,1,0},{0,0,0,0.001}}'::real[]), ('b.weight', '{{1,1,1,1}}')) v (name, data)), 'a:linear b:linear') m,
    optimize(m, 'SELECT i % 3, i % 5, i % 7, i % 11, i % 3 + i % 5 + i % 7 + 0.001 * (i % 11) FROM generate_series(1, 50) i', 0.1, 'speed', 'mae', tries => 3);
-- For speed nodes go.
SELECT every(recipe = 'm' OR recipe LIKE 'cut_nodes(%') AS nodes, (array_agg(parameters ORDER BY step DESC) FILTER (WHERE kept))[1] < max(parameters) AS fewer
FROM zoo, optimize(m, 'SELECT pixels, label FROM digits', 0.05, 'speed', metric => 'f1', tries => 3);
-- A schema in the path has its own idea of what these are called.
CREATE FUNCTION quantize(m model, dtype text, scheme text, granularity text, affine boolean, group_size integer, axis integer, reduce_range boolean,
    include text[], exclude text[], requantize boolean, activation_ranges jsonb) RETURNS model LANGUAGE sql AS 'SELECT m';
SELECT recipe FROM zoo, public.optimize(m, 'SELECT pixels, label FROM digits', tries => 1) WHERE step = 1;
DROP FUNCTION quantize(model, text, text, text, boolean, integer, integer, boolean, text[], text[], boolean, jsonb);

-- ---------- into the repository ----------

SELECT modelopt.commit('so_digits', m, 'as trained') FROM zoo;
SELECT count(version) AS committed, count(*) > 3 AS tried FROM optimize('so_digits', 'SELECT pixels, label FROM digits', tries => 1, dry_run => true);
SELECT version, step = max(step) FILTER (WHERE kept) OVER () AS last_kept
FROM optimize('so_digits', 'SELECT pixels, label FROM digits', 0.02, tries => 2, message => 'smaller') ORDER BY version LIMIT 1;
SELECT version, message, relation, params -> 'optimize' ->> 'of' AS of, (params #>> '{optimize,max_drop}')::float8 AS max_drop,
    params #>> '{optimize,query}' AS query, jsonb_array_length(params #> '{optimize,tried}') > 3 AS tried
FROM modelopt.versions WHERE model = 'so_digits' ORDER BY version;
SELECT name, value = accuracy(modelopt.get('so_digits')) AS measured, value >= accuracy(modelopt.get('so_digits#1')) - 0.02 - 1e-9 AS within
FROM modelopt.metrics WHERE model = 'so_digits';
SELECT model_size(modelopt.get('so_digits')) < model_size(modelopt.get('so_digits#1')) AS smaller;
-- Nothing smaller is nothing new.
SELECT count(version) FROM optimize('so_digits', 'SELECT pixels, label FROM digits', 0, 'speed', tries => 1);
SELECT count(*) FROM sensitivity('so_digits#1', 'SELECT pixels, label FROM digits', amounts => '{0.5}');
-- Branches are committed to, too.
SELECT modelopt.branch('so_digits', 'side', 'so_digits#1');
SELECT max(version) AS version FROM optimize('so_digits/side', 'SELECT pixels, label FROM digits', 0.02, tries => 1);
SELECT modelopt.resolve('so_digits/side');
-- Also to one that starts with it, and from any version.
SELECT max(version) AS version FROM optimize('so_digits#1', 'SELECT pixels, label FROM digits', 0.02, tries => 1, branch => 'small');
SELECT b.version, b.parent, b.relation, modelopt.resolve('so_digits/small') FROM modelopt.log('so_digits/small') b;
SELECT optimize('so_digits#1', 'SELECT pixels, label FROM digits', 0.02, tries => 1, branch => 'small');
SELECT max(version) AS version FROM optimize('so_digits/small', 'SELECT pixels, label FROM digits', 0, 'speed', tries => 1, branch => 'small');

CREATE ROLE so_reader;
CREATE ROLE so_writer;
GRANT USAGE ON SCHEMA serve_optimize TO so_reader, so_writer;
GRANT SELECT ON digits TO so_reader;
SELECT modelopt.grant_read('so_digits', 'so_reader');
SELECT modelopt.grant_write('so_digits', 'so_writer');
SET ROLE so_reader;
SELECT optimize('so_digits', 'SELECT pixels, label FROM digits');
SELECT count(*) > 1 AS tried FROM optimize('so_digits#1', 'SELECT pixels, label FROM digits', tries => 1, dry_run => true);
SET ROLE so_writer;
-- Not the weights, and not the digits.
SELECT optimize('so_digits', 'SELECT pixels, label FROM digits');
RESET ROLE;
SELECT modelopt.grant_read('so_digits', 'so_writer');
SET ROLE so_writer;
SELECT optimize('so_digits', 'SELECT pixels, label FROM digits');
RESET ROLE;

-- ---------- errors ----------

SELECT optimize('so_digits@champion', 'SELECT pixels, label FROM digits');
SELECT optimize('so_digits#1', 'SELECT pixels, label FROM digits');
SELECT optimize(NULL::text, 'SELECT pixels, label FROM digits');
SELECT optimize('so_none', 'SELECT pixels, label FROM digits');
SELECT optimize(m, 'SELECT pixels, label FROM digits', target => 'cost') FROM zoo;
SELECT optimize(m, 'SELECT pixels, label FROM digits', max_drop => -1) FROM zoo;
SELECT optimize(m, 'SELECT pixels, label FROM digits', max_drop => 'NaN') FROM zoo;
SELECT optimize(m, 'SELECT pixels, label FROM digits', tries => 0) FROM zoo;
SELECT optimize(m, 'SELECT pixels, label FROM digits', tries => NULL) FROM zoo;
SELECT optimize(m, 'SELECT pixels, label FROM digits', metric => 'none') FROM zoo;
SELECT optimize(m, 'SELECT pixels, label FROM digits WHERE false') FROM zoo;
SELECT optimize(NULL::model, 'SELECT pixels, label FROM digits');
-- What is told is where the query failed, and where it was called from.
\set SHOW_CONTEXT always
SELECT optimize('so_digits', 'SELECT pixels, labl FROM digits');
SELECT optimize(m, 'SELECT pixels, 1 / (label - label) FROM digits') FROM zoo;
SELECT sensitivity('so_digits', 'SELECT pixels, labl FROM digits');
SELECT sensitivity(m, 'SELECT pixels, label FROM digits', amounts => '{1.5}') FROM zoo;
SELECT calibrate('so_digits', 'SELECT piksels FROM digits');
SELECT optimize('so_digits@champion', 'SELECT pixels, label FROM digits');
DO $$ BEGIN PERFORM optimize('so_none', 'SELECT pixels, label FROM digits'); END $$;
\set SHOW_CONTEXT never
-- It ends when it is told to.
SET statement_timeout = '200ms';
SELECT optimize(m, 'SELECT pixels, label FROM digits, generate_series(1, 1000000)') FROM zoo;
RESET statement_timeout;

DROP OWNED BY so_reader, so_writer;
DROP ROLE so_reader, so_writer;
SELECT modelopt.drop('so_digits');
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA serve_optimize CASCADE;
