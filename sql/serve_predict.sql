-- Predictions.  What the perceptron computes, SQL computes too.

CREATE SCHEMA serve_predict;
SET search_path = serve_predict, public;
\set SHOW_CONTEXT never
\set mlp `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
\set bare `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set bare_cnn `base64 < test/data/digits_cnn.pth | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.onnx | tr -d '\n'`
\set VERBOSITY default
CREATE TABLE zoo (name text PRIMARY KEY, m model);
INSERT INTO zoo SELECT name, model_read(decode(base64, 'base64'))
FROM (VALUES ('mlp', :'mlp'), ('cnn', :'cnn'), ('bare', :'bare'), ('bare_cnn', :'bare_cnn')) v (name, base64);
INSERT INTO zoo SELECT 'image', set_graph(m, 'input(1x8x8) conv1:conv2d(padding=1) bn1:batchnorm relu maxpool(2) conv2:conv2d(padding=1) bn2:batchnorm relu
    maxpool(2) flatten fc:linear') FROM zoo WHERE name = 'bare_cnn';

CREATE TABLE lines (line text);
\copy lines FROM 'test/data/digits_test.csv' WITH (DELIMITER E'\x01')
CREATE TABLE digits AS
SELECT row_number() OVER () AS id, n[1]::int AS label, n[2:]::real[] AS pixels
FROM (SELECT string_to_array(line, ',') FROM lines WHERE line NOT LIKE 'label%') v (n);

-- relu(W x + b), and without the relu.
CREATE FUNCTION linear(m model, layer text, x double precision[]) RETURNS double precision[] LANGUAGE sql STABLE AS
$$
SELECT array_agg(b + (SELECT sum(w[i][j] * x[j]) FROM generate_subscripts(x, 1) j) ORDER BY i)
FROM tensor(m, layer || '.weight') w, unnest(tensor(m, layer || '.bias')) WITH ORDINALITY u (b, i)
$$;
CREATE FUNCTION relu(x double precision[]) RETURNS double precision[] LANGUAGE sql IMMUTABLE AS
$$ SELECT array_agg(greatest(v, 0) ORDER BY i) FROM unnest(x) WITH ORDINALITY u (v, i) $$;
CREATE TABLE expected AS
SELECT id, label, pixels, linear(m, 'layer3', relu(linear(m, 'layer2', relu(linear(m, 'layer1', pixels::float8[]))))) AS scores
FROM digits, zoo WHERE name = 'mlp' AND id <= 20;
CREATE FUNCTION near(a real[], b double precision[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT array_length(a, 1) = array_length(b, 1) AND bool_and(abs(x - y) <= 1e-5 * greatest(abs(y), 10)) FROM unnest(a, b) u (x, y) $$;

-- A row, from a value and by name; features of any type of numbers.
SELECT count(*), bool_and(near(predict(m, pixels), scores)) FROM expected, zoo WHERE name = 'mlp';
SELECT modelopt.commit('digits', m, 'as trained') FROM zoo WHERE name = 'mlp';
SELECT bool_and(near(predict('digits', pixels), scores)) AS by_name,
    bool_and(near(predict('digits#1', pixels::float8[]), scores)) AS double, bool_and(near(predict('digits', pixels::int[]), scores)) AS int,
    bool_and(near(predict('digits', pixels::bigint[]), scores)) AS bigint, bool_and(near(predict('digits', pixels::smallint[]), scores)) AS smallint,
    bool_and(near(predict('digits', pixels::numeric[]), scores)) AS numeric
FROM expected;
-- In the server's process, and with more threads.
SET modelopt.run_mode = inprocess;
SELECT bool_and(near(predict('digits', pixels), scores)) FROM expected;
RESET modelopt.run_mode;
SET modelopt.threads = 2;
SELECT bool_and(near(predict('digits', pixels), scores)) FROM expected;
RESET modelopt.threads;
-- Weights alone, with a graph of ours.
SELECT bool_and(near(predict(set_graph(m, 'layer1:linear relu layer2:linear relu layer3:linear'), pixels), scores))
FROM expected, zoo WHERE name = 'bare';
SELECT predict(m, ARRAY[1, 2]) FROM zoo WHERE name = 'bare';

-- Rows: an array of them, nulls among them, and none.
SELECT count(*), bool_and(near(ARRAY(SELECT unnest(p[e.id:e.id][:])), e.scores))
FROM (SELECT predict('digits', array_agg(pixels ORDER BY id)) FROM expected) r (p), expected e;
SELECT array_dims(p), p[1][1] IS NULL AS null_row, near(ARRAY(SELECT unnest(p[2:2][:])), scores) AS other_row
FROM expected, predict('digits', ARRAY[array_fill(null::real, ARRAY[64]), pixels]) p WHERE id = 1;
SELECT predict('digits', null::real[]) IS NULL AS no_features, predict(null::model, '{1}'::real[]) IS NULL AS no_model,
    predict('digits', array_fill(null::real, ARRAY[64])) IS NULL AS null_features,
    (predict('digits', array_fill('NaN'::real, ARRAY[64])))[1] AS nan;

-- An image in its own shape, as rows of it, and flat, gives the same.
SELECT count(*), bool_and(predict(m, pixels) = predict(m, image)) AS flat, bool_and(predict(m, image) = ARRAY(SELECT unnest(predict(m, ARRAY[image]))))
    AS batch, count(*) FILTER (WHERE predict(m, pixels) @> ARRAY[(SELECT max(v) FROM unnest(predict(m, pixels)) v)]) AS scored
FROM zoo, (SELECT pixels, ARRAY[ARRAY(SELECT pixels[8 * r + 1:8 * r + 8] FROM generate_series(0, 7) r ORDER BY r)] AS image
    FROM digits WHERE id <= 5) d WHERE name = 'image';

-- A model that leaves its picture's sizes open takes arrays of that shape; the
-- mean is what it gives.
CREATE TABLE open_cnn AS SELECT set_graph(model_agg('c.weight', '{{{{1}}}}'), 'input(1x?x?) c:conv2d global_avgpool flatten') AS m;
SELECT predict(m, ARRAY[[[1,2,3],[4,5,6]]]) AS picture, predict(m, ARRAY[[[[1,2],[3,4]]],[[[5,6],[7,8]]]]) AS pictures FROM open_cnn;
SELECT p.* FROM open_cnn, predict_rows(m, 'VALUES (1, ARRAY[[[1,2,3],[4,5,6]]]), (2, ARRAY[[[7,8],[9,10],[11,12]]]), (3, ARRAY[[[0,0,6],[0,0,6]]])', on_error => 'null') p;
SELECT predict_batch(m, x) OVER (ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM open_cnn, (VALUES (ARRAY[[[1,2,3],[4,5,6]]]), (ARRAY[[[0,0,6],[0,0,6]]])) v (x);
SELECT predict_batch(m, x) OVER (ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM open_cnn, (VALUES (ARRAY[[[1,2,3],[4,5,6]]]), (ARRAY[[[0,6],[0,6],[1,1]]])) v (x);
SELECT predict(m, array_fill(1::real, ARRAY[64])) FROM open_cnn;
SELECT predict(m, ARRAY[[1, 2], [3, 4]]) FROM open_cnn;
SELECT predict(m, ARRAY[[[1]],[[2]]]) FROM open_cnn;
SELECT * FROM open_cnn, predict_rows(m, 'VALUES (1, ARRAY[1, 2, 3, 4])');
SELECT * FROM open_cnn, predict_rows(m, 'VALUES (1, ARRAY[[[1]],[[2]]])');
SELECT classify(m, ARRAY[1, 2]) FROM open_cnn;

-- Several inputs: tokens and their mask, whose sum comes out.
\set tokens `base64 < test/data/tokens.onnx | tr -d '\n'`
CREATE TABLE tokens AS SELECT model_read(decode(:'tokens', 'base64')) AS m;
CREATE TABLE texts (id int, ids int[], mask int[]);
INSERT INTO texts VALUES (1, '{5,6,7}', '{1,1,0}'), (2, '{1,2,3}', '{1,1,1}'), (3, '{9,9,9}', '{0,0,1}');
SELECT p.* FROM tokens, predict_rows(m, 'SELECT id, mask AS attention_mask, ids AS input_ids FROM texts') p;
SELECT p.* FROM tokens, predict_rows(m, 'SELECT id, ids, mask FROM texts') p;
-- The query runs another model, for which this one has to go.
SET modelopt.cache_size = 0;
SELECT p.* FROM tokens, predict_rows(m, $$SELECT id, ids, mask FROM texts WHERE predict('digits', array_fill(id, ARRAY[64])) IS NOT NULL$$, batch_size => 1) p;
RESET modelopt.cache_size;
SELECT id, predict(m, ids || mask), predict_json(m, jsonb_build_object('input_ids', ARRAY[ids], 'attention_mask', ARRAY[mask])) FROM tokens, texts;
SELECT predict(m, ARRAY[[5,6,7,1,1,0],[1,2,3,1,1,1]]) FROM tokens;
SELECT p.* FROM tokens, predict_rows(m, $$VALUES (1, ARRAY[1,2], ARRAY[1,1]), (2, ARRAY[1,2,3], ARRAY[1]), (3, ARRAY[1,2,3], ARRAY[1,1,1])$$, on_error => 'null') p;
SELECT p.* FROM tokens, predict_rows(m, $$VALUES (1, ARRAY[1,2,3], ARRAY[1,1])$$) p;
SELECT predict(m, ARRAY[1, 2, 3]) FROM tokens;
SELECT predict(m, ARRAY['a', 'b']) FROM tokens;
SELECT * FROM tokens, predict_rows(m, 'SELECT id, mask AS attention_mask, ids FROM texts');
SELECT predict_json(m, '{"input_ids": [1, 2], "attention_mask": [1, 1]}') FROM tokens;
SELECT predict_json(m, '{"input_ids": 1, "attention_mask": [[1, 1]]}') FROM tokens;
SELECT predict_json(m, '{"input_ids": [[1, 2]], "attention_mask": [[1, 1]], "token_type_ids": [[0, 0]]}') FROM tokens;
SELECT predict_json(m, '{"input_ids": [[1, 2]]}') FROM tokens;
SELECT predict_json(m, '[[1, 2]]') FROM tokens;

-- A literal needs no type.
SELECT predict('digits', pixels::text) = predict('digits', pixels) AS text, predict(m, pixels::text, 'scores') = predict('digits', pixels) AS value,
    (classify('digits', pixels::text)).label = (classify(m, pixels)).label AS label FROM digits, zoo WHERE id = 1 AND name = 'mlp';
SELECT predict(m, '{5,6,7,1,1,0}'), predict(m, '{{1,2,1,1},{3,4,1,0}}') FROM tokens;
SELECT predict(m, '{9223372036854775807,1}') FROM tokens;
SELECT predict(m, '{-9223372036854775808,1}') FROM tokens;
SELECT predict('digits', '{1,2}');
SELECT predict('digits', '1,2');
SELECT predict('digits', '{one,two}');
SELECT (classify('digits', '{1,2}')).label;
SELECT predict('digits', NULL) IS NULL AS nothing, predict(NULL, '{1}') IS NULL AS no_model;

-- What to give, and what comes back.
SELECT * FROM inputs('digits');
SELECT * FROM outputs('digits#1');
SELECT inputs('digits#7');

-- Labels.
SELECT count(*) FILTER (WHERE label::text = (classify('digits', pixels)).label) AS right_ones FROM digits;
SELECT label, (classify('digits', pixels, labels => '{zero,one,two,three,four,five,six,seven,eight,nine}')).* FROM digits WHERE id <= 3;
SELECT bool_and(abs((classify('digits', pixels)).probability - (SELECT 1 / sum(exp(greatest(s - top, -100))) FROM unnest(p) s,
    (SELECT max(s) AS top FROM unnest(p) s) t)) < 1e-6) AS softmax FROM (SELECT pixels, predict('digits', pixels)::float8[] AS p FROM digits) v;
SELECT classify('digits', pixels, labels => '{ham,spam}') FROM digits WHERE id = 1;

-- A table.
SELECT count(*), bool_and(near(prediction, scores)) FROM predict_rows('digits', 'SELECT id, pixels FROM digits ORDER BY id') p JOIN expected USING (id);
SELECT count(*), bool_and(near(prediction, scores)) FROM zoo, predict_rows(m, 'SELECT id, pixels FROM digits', batch_size => 7) p JOIN expected USING (id)
WHERE name = 'mlp';
SELECT pg_typeof(id), id, prediction IS NULL AS is_null, error
FROM predict_rows('digits', $$VALUES ('a', array_fill(1, ARRAY[64])), ('b', array_fill(1, ARRAY[63])), ('c', null)$$,
    id_type => null::text, on_error => 'null');
SELECT * FROM predict_rows('digits', $$VALUES (1, array_fill(1, ARRAY[64])), (2, array_fill(1, ARRAY[63]))$$);
SELECT * FROM predict_rows('digits', 'SELECT ''a''::text, pixels FROM digits');
SELECT * FROM predict_rows('digits', 'SELECT 1');
SELECT * FROM predict_rows('digits', ' ; ');
SELECT * FROM predict_rows('digits', 'SELECT 1, now()');
SELECT * FROM predict_rows('digits', 'SELECT 1, ''x''::text');
SELECT * FROM predict_rows('digits', 'DELETE FROM digits');
SELECT * FROM predict_rows('digits', 'SELECT 1, 2; SELECT 3');
SELECT * FROM predict_rows('digits', 'SELECT id, pixels FROM digits', batch_size => 0);
SELECT * FROM predict_rows('digits', 'SELECT id, pixels FROM digits', on_error => 'skip');
SELECT * FROM predict_rows('digits', null);

-- A window.
SELECT count(*), bool_and(b = p) FROM (SELECT predict('digits', pixels) AS p,
    predict_batch('digits', pixels) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 9 FOLLOWING) AS b FROM digits) v;
SELECT count(*), count(b), bool_and(b = p) FROM (SELECT predict(m, x) AS p,
    predict_batch(m, x) OVER (PARTITION BY name, id % 3 ORDER BY id ROWS BETWEEN CURRENT ROW AND 255 FOLLOWING) AS b
    FROM zoo, (SELECT id, CASE WHEN id % 10 <> 0 THEN pixels END AS x FROM digits) d WHERE name IN ('mlp', 'cnn')) v;
SELECT predict_batch('digits', pixels) FROM digits;
SELECT predict_batch('digits', pixels) OVER () FROM digits;
SELECT predict_batch('digits', pixels) FILTER (WHERE id > 1) OVER (ROWS BETWEEN CURRENT ROW AND 9 FOLLOWING) FROM digits;
SELECT predict_batch(m, pixels) OVER (ROWS BETWEEN CURRENT ROW AND 9 FOLLOWING) FROM zoo, digits WHERE name IN ('mlp', 'cnn');
SELECT predict_batch('digits', CASE WHEN id = 2 THEN '{1}' ELSE pixels END) OVER (ROWS BETWEEN CURRENT ROW AND 9 FOLLOWING) FROM digits;

-- Errors.
SELECT predict('digits', ARRAY[1, 2, 3]);
SELECT predict('digits', ARRAY[[[1]]]);
SELECT predict('digits', ARRAY['a']);
SELECT predict('digits', ARRAY[now()]);
SELECT predict('digits', array_fill(1, ARRAY[64]), output => 'logits');
SELECT predict('nothing', ARRAY[1]);
SELECT predict('digits@nobody', ARRAY[1]);

-- What is loaded.
SELECT model_name, version, source, run_mode, threads, runs > 0 AS ran, bytes > 10000 AS bytes, loaded_at <= last_run AS loaded FROM modelopt.model_cache WHERE source = 'version';
SELECT count(*) AS of_values, count(model_name) AS names FROM modelopt.model_cache WHERE source = 'value';
SET modelopt.cache_size = 0;
SELECT predict(m, pixels) IS NOT NULL FROM zoo, digits WHERE name = 'mlp' AND id = 1;
SELECT source, count(*) FROM modelopt.model_cache GROUP BY source;
RESET modelopt.cache_size;

-- A row that the model does not take is reported wherever it is, also as the first.
SELECT id, prediction IS NOT NULL AS predicted, error FROM predict_rows('digits',
    $$SELECT 1, ARRAY[1, 2]::real[] UNION ALL SELECT 2, NULL UNION ALL SELECT 3, ARRAY[1]::real[]
      UNION ALL (SELECT 4, pixels FROM digits WHERE id = 1) UNION ALL SELECT 5, ARRAY[1, 2]::real[]$$, on_error => 'null');
SELECT count(*), count(error) FROM predict_rows('digits', 'SELECT i, i FROM generate_series(1, 3000) i', on_error => 'null');
-- Many rows that do not fit cost no more than others.
SELECT count(*), count(prediction), count(error), min(error) FROM predict_rows('digits',
    $$SELECT id, CASE WHEN i % 2 = 0 THEN array_fill(1e300::float8, ARRAY[64]) ELSE pixels::float8[] END
      FROM digits, generate_series(1, 40) i$$, batch_size => 20000, on_error => 'null');

-- What is undone when the model fails on a row is a subtransaction, so the query has no workers.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(prediction) FROM predict_rows('digits', 'SELECT id, pixels FROM digits', on_error => 'null') JOIN digits USING (id);
-- What is the fault of no row ends the statement, and nothing else.
SELECT * FROM predict_rows('digits', 'SELECT id, pixels::text[] FROM digits', on_error => 'null');
SELECT count(*) FROM digits;
SET statement_timeout = '100ms';
SELECT count(*) FROM predict_rows('digits', 'SELECT i, pixels FROM digits, generate_series(1, 1000000) i', on_error => 'null');
RESET statement_timeout;
SELECT count(*) FROM digits;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- Functions that run between two batches cannot close the query.
CREATE FUNCTION closes(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CLOSE ALL'; RETURN true; END $$;
CREATE DOMAIN closing AS bigint CHECK (closes(VALUE));
\set VERBOSITY sqlstate
SELECT count(*) FROM predict_rows('digits', 'SELECT id, pixels FROM digits', id_type => NULL::closing, batch_size => 50);
\set VERBOSITY default

-- The next rows are fetched while the model runs, by queries that may make predictions of their own, or fail.
SELECT count(*), bool_and(near(prediction, scores)) FROM predict_rows('digits', $$SELECT id, digits.pixels FROM digits JOIN expected USING (id), zoo
    WHERE name = 'cnn' AND near(predict('digits', digits.pixels), scores) AND predict(m, digits.pixels) IS NOT NULL$$, batch_size => 16) JOIN expected USING (id);
SELECT count(*), bool_and(near(p.prediction, scores)) FROM predict_rows('digits', $$SELECT r.id, pixels FROM predict_rows('digits',
    'SELECT id, pixels FROM digits', batch_size => 10) r JOIN digits USING (id)$$, batch_size => 16) p JOIN expected USING (id);
SELECT count(*) FROM predict_rows('digits', 'SELECT id, CASE WHEN 1 / (id - 50) < 2 THEN pixels END FROM digits', batch_size => 7);
SELECT count(*), bool_and(near(prediction, scores)) FROM predict_rows('digits', 'SELECT id, pixels FROM digits', batch_size => 7) JOIN expected USING (id);
CREATE FUNCTION forgives(pixels real[]) RETURNS real[] LANGUAGE plpgsql AS $$
    BEGIN PERFORM predict('digits', pixels); RETURN pixels; EXCEPTION WHEN external_routine_exception OR program_limit_exceeded THEN RETURN pixels; END $$;
SET modelopt.max_output_bytes = '1kB';
SELECT count(*) FROM predict_rows('digits', 'SELECT id, CASE WHEN id > 26 THEN forgives(pixels) ELSE pixels END FROM digits ORDER BY id', batch_size => 26);
RESET modelopt.max_output_bytes;

-- Outputs have their bound.
SET modelopt.max_output_bytes = '1kB';
SELECT count(*) FROM predict_rows('digits', 'SELECT id, pixels FROM digits', batch_size => 25);
SELECT count(*) FROM predict_rows('digits', 'SELECT id, pixels FROM digits', batch_size => 26);
RESET modelopt.max_output_bytes;

-- The library.
SET modelopt.onnxruntime_library = '/nowhere/libonnxruntime.so';
SELECT predict('digits', ARRAY[1]);
SET modelopt.onnxruntime_library = '';
SELECT predict('digits', ARRAY[1]);
SET modelopt.onnxruntime_library = 'libz.so.1';
SELECT predict('digits', ARRAY[1]);
RESET modelopt.onnxruntime_library;
SELECT bool_and(near(predict('digits', pixels), scores)) FROM expected;
CREATE ROLE serve_nobody;
SET ROLE serve_nobody;
SET modelopt.onnxruntime_library = '/tmp/evil.so';
SET modelopt.run_mode = inprocess;
SET modelopt.run_memory_limit = '1GB';
SET modelopt.max_output_bytes = '1GB';
RESET ROLE;

-- The right to use a model is none to its weights.
CREATE ROLE serve_user;
GRANT USAGE ON SCHEMA serve_predict TO serve_user;
GRANT SELECT ON digits TO serve_user;
SET ROLE serve_user;
SELECT predict('digits', pixels) FROM digits WHERE id = 1;
SELECT inputs('digits');
RESET ROLE;
SELECT modelopt.grant_usage('digits', 'serve_user');
SET ROLE serve_user;
SELECT predict('digits', pixels) IS NOT NULL AS predicts FROM digits WHERE id = 1;
SELECT count(*) FROM predict_rows('digits', 'SELECT id, pixels FROM digits');
SELECT i.name AS input, o.name AS output FROM inputs('digits') i, outputs('digits') o;
SELECT modelopt.get('digits');
SELECT count(*) FROM predict_rows('digits', 'SELECT 1, scores FROM expected');
RESET ROLE;
SELECT modelopt.revoke('digits', 'serve_user');
SET ROLE serve_user;
SELECT count(*) > 0 AS loaded, count(model_name) AS names FROM modelopt.model_cache WHERE source = 'version';
RESET ROLE;
DROP OWNED BY serve_user;
DROP ROLE serve_user, serve_nobody;

-- An alias that moves is another model for the next statement, not for this one.
SELECT modelopt.commit('digits', prune(m, 1.0), 'all zeros') FROM zoo WHERE name = 'mlp';
SELECT modelopt.alias('digits', 'champion', 'digits#1');
CREATE FUNCTION moves(features real[]) RETURNS real[] LANGUAGE plpgsql AS
$$
DECLARE
    p real[];
BEGIN
    p := predict('digits@champion', features);
    PERFORM modelopt.alias('digits', 'champion', 'digits#2');
    RETURN ARRAY[p[1], (predict('digits@champion', features))[1]];
END
$$;
SELECT (p)[1] <> (p)[2] AS moved FROM (SELECT moves(pixels) AS p FROM digits WHERE id = 1) v;
SELECT count(DISTINCT predict('digits@champion', pixels)) AS distinct_ones FROM digits;
DROP SCHEMA serve_predict CASCADE;
SELECT modelopt.drop('digits');
