-- Labels: which output is one, what classes are called, and those of a table.
-- classes.csv has what scikit-learn says.

CREATE SCHEMA serve_classes;
SET search_path = serve_classes, public;
\set SHOW_CONTEXT never
\set VERBOSITY default
\set linear `base64 < test/data/labels_linear.onnx | tr -d '\n'`
\set lookup `base64 < test/data/labels_lookup.onnx | tr -d '\n'`
\set columns `base64 < test/data/labels_columns.onnx | tr -d '\n'`
\set counted `base64 < test/data/counted.onnx | tr -d '\n'`
\set pairs `base64 < test/data/pairs.onnx | tr -d '\n'`
\set zipmap `base64 < test/data/iris_strings.onnx | tr -d '\n'`
CREATE TABLE models AS SELECT name AS model, model_read(decode(data, 'base64')) AS m
FROM (VALUES ('labels_linear.onnx', :'linear'), ('labels_lookup.onnx', :'lookup'), ('labels_columns.onnx', :'columns'),
    ('counted', :'counted'), ('pairs', :'pairs'), ('zipmap', :'zipmap')) v (name, data);
CREATE TABLE expected (model text, row int, label text, probability float8);
\copy expected FROM 'test/data/classes.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE flowers (row int, x real[]);
INSERT INTO flowers VALUES (1, '{5.1,3.5,1.4,0.2}'), (2, '{6,2.9,4.5,1.5}'), (3, '{6.9,3.1,5.4,2.1}'), (4, '{6.1,2.8,4.9,1.7}');
CREATE TABLE payments (row int, amount real, country text);
INSERT INTO payments VALUES (1, 15, 'de'), (2, 550, 'us'), (3, 320, 'fr');

-- ---------- an output with several dimensions for a row ----------

SELECT predict(m, '{1,2,3}') AS row, predict(m, '{{1,2,3},{4,5,6}}') AS rows, predict(m, '{{1,2},{null,3}}') AS with_null FROM models WHERE model = 'pairs';
SELECT to_jsonb(predict(m, '{{1,2,3},{4,5,6}}')) = predict_json(m, '[[1,2,3],[4,5,6]]') -> 'pairs' AS as_json FROM models WHERE model = 'pairs';
SELECT p.* FROM models, predict_rows(m, 'VALUES (1, ARRAY[1,2,3]), (2, null), (3, ARRAY[4,5,6])') p WHERE model = 'pairs';
SELECT p.* FROM models, predict_rows(m, 'VALUES (1, ARRAY[1,2,3]), (2, ARRAY[4,5,6])', batch_size => 1) p WHERE model = 'pairs';
SELECT predict_batch(m, x) OVER (ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM models, (VALUES ('{1,2}'::real[]), ('{3,4}')) v (x) WHERE model = 'pairs';
SELECT classify(m, '{1,2,3}') FROM models WHERE model = 'pairs';
SELECT evaluate(m, 'SELECT 1, 2, 3, 0') FROM models WHERE model = 'pairs';
SELECT metric, value FROM models, evaluate(m, 'SELECT 1, 2, ARRAY[1, 10, 2, 21]') WHERE model = 'pairs';
-- Of more dimensions than an array has.
CREATE FUNCTION deep(dims text) RETURNS model LANGUAGE sql AS $$
    SELECT set_graph(model_agg('c', '{1}'), 'input(' || dims || ') relu') $$;
SET client_min_messages = warning;
SELECT array_ndims(predict(deep('1x1x1x1x1x1'), '{2}')) AS of_a_row;
SELECT predict(deep('1x1x1x1x1x1x1'), '{2}');
SELECT predict(deep('1x1x1x1x1x1'), '{{2},{3}}');
RESET client_min_messages;

-- ---------- what is a label ----------

-- An integer beside scores is none, unless a classifier makes it.
SELECT c.* FROM models, classify(m, '{1,3}') c WHERE model = 'counted';
SELECT c.* FROM models, classify(m, '{1,3}', '{ham,spam}') c WHERE model = 'counted';
SELECT c.* FROM models, classify(m, '{1,3}', output => 'sum') c WHERE model = 'counted';
SELECT classify(m, '{1,3}', output => 'n') FROM models WHERE model = 'counted';
SELECT classify(m, '{1,3}', output => 'parts') FROM models WHERE model = 'counted';
SELECT evaluate(m, 'SELECT 1, 3, 0', output => 'parts') FROM models WHERE model = 'counted';
SELECT predict(m, '{1,3}', output => 'parts') FROM models WHERE model = 'counted';
SELECT classify(m, '{1,3}', output => 'none') FROM models WHERE model = 'counted';
SELECT classify(m, '{6,2.9,4.5,1.5}', output => 'label') FROM models WHERE model = 'labels_linear.onnx';
SELECT model, row, (c).label = label AS label, abs((c).probability - probability) < 1e-5 AS near
FROM (SELECT e.*, classify(m, x) AS c FROM expected e JOIN models USING (model) JOIN flowers USING (row) WHERE model <> 'labels_columns.onnx') t ORDER BY 1, 2;

-- ---------- a table ----------

SELECT e.model, count(*), bool_and(c.label = e.label) AS label, bool_and(abs(c.probability - e.probability) < 1e-5) AS near, count(error) AS errors
FROM models, classify_rows(m, 'SELECT row, x FROM flowers', batch_size => 3) c JOIN expected e ON row = id
WHERE e.model = models.model AND e.model IN ('labels_linear.onnx', 'labels_lookup.onnx') GROUP BY 1 ORDER BY 1;
SELECT c.id, c.label = e.label AS label, abs(c.probability - e.probability) < 1e-5 AS near
FROM models, classify_rows(m, 'SELECT row, amount, country FROM payments') c JOIN expected e ON row = id
WHERE e.model = models.model AND e.model = 'labels_columns.onnx';
SELECT id, label FROM models, classify_rows(m, $$SELECT country || row, country, amount FROM payments$$, id_type => null::text) WHERE model = 'labels_columns.onnx';
SELECT c.id, c.label, abs(c.probability - e.probability) < 1e-5 AS near FROM models, classify_rows(m, 'SELECT row, x FROM flowers') c JOIN expected e ON row = id
WHERE models.model = 'zipmap' AND e.model = 'labels_linear.onnx';
SELECT id, label, error FROM models, classify_rows(m, $$VALUES ('a', '{6,2.9,4.5,1.5}'::real[]), ('b', null), ('c', '{1,2}')$$, id_type => null::text, labels => '{x,y,null}', on_error => 'null') WHERE model = 'labels_linear.onnx';
SELECT modelopt.commit('sc_iris', m, 'irises') FROM models WHERE model = 'labels_linear.onnx';
SELECT id, label FROM classify_rows('sc_iris', 'SELECT row, x FROM flowers', labels => '{x,y,z}');
SELECT id, label FROM classify_rows('sc_iris', 'SELECT row::text, x FROM flowers', id_type => null::text, output => 'probabilities');
SELECT classify_rows('sc_iris', 'SELECT row, x FROM flowers', labels => '{x,y}');
SELECT classify_rows('sc_iris', 'SELECT row, x FROM flowers', labels => '{x,y,x}');
SELECT classify_rows('sc_iris', 'SELECT row, x FROM flowers', output => 'label');
SELECT classify_rows('sc_iris', 'SELECT row, x FROM flowers', batch_size => 0);
SELECT classify_rows('sc_iris', null);
CREATE ROLE sc_user;
GRANT USAGE ON SCHEMA serve_classes TO sc_user;
SET ROLE sc_user;
SELECT classify_rows('sc_iris', 'SELECT 1, 2, 3, 4, 5');
RESET ROLE;
SELECT modelopt.grant_usage('sc_iris', 'sc_user');
SET ROLE sc_user;
SELECT id, label FROM classify_rows('sc_iris', 'SELECT 1, 2, 3, 4, 5');
SELECT classify_rows('sc_iris', 'SELECT row, x FROM flowers');
RESET ROLE;
SELECT modelopt.drop('sc_iris');
DROP OWNED BY sc_user;
DROP ROLE sc_user;

-- ---------- names of classes in evaluate() ----------

CREATE VIEW labelled AS SELECT model, row, x, CASE row WHEN 4 THEN CASE model WHEN 'labels_linear.onnx' THEN 'setosa' ELSE '30' END ELSE label END AS label
FROM expected JOIN flowers USING (row) WHERE model <> 'labels_columns.onnx';
SELECT model, value AS accuracy FROM models, evaluate(m, format('SELECT x, label FROM labelled WHERE model = %L', model), metrics => '{accuracy}')
WHERE model IN ('labels_linear.onnx', 'labels_lookup.onnx') AND metric = 'accuracy' ORDER BY 1;
SELECT v AS type, a.value AS accuracy FROM models, (VALUES ('bigint'), ('float8'), ('numeric'), ('numeric(6,2)')) t (v),
    evaluate(m, format($$SELECT x, label::%s FROM labelled WHERE model = 'labels_lookup.onnx'$$, v), metrics => '{accuracy}') a
WHERE model = 'labels_lookup.onnx' AND metric = 'accuracy';
-- As scikit-learn computes it.
SELECT abs(value - (SELECT avg(-ln(probability)) FROM expected WHERE model = 'labels_lookup.onnx')) < 1e-5 AS log_loss
FROM models, evaluate(m, $$SELECT x, label FROM expected JOIN flowers USING (row) WHERE model = 'labels_lookup.onnx'$$, metrics => '{log_loss}') WHERE model = 'labels_lookup.onnx' AND metric = 'log_loss';
SELECT value AS renamed FROM models, evaluate(m, $$SELECT x, CASE label WHEN 'setosa' THEN 'a' WHEN 'versicolor' THEN 'b' ELSE 'c' END FROM labelled WHERE model = 'labels_linear.onnx'$$, labels => '{a,b,c}', metrics => '{accuracy}')
WHERE model = 'labels_linear.onnx' AND metric = 'accuracy';
SELECT value AS columns FROM models, evaluate(m, $$SELECT amount, country, CASE row WHEN 1 THEN 'ham' ELSE 'spam' END FROM payments$$) WHERE model = 'labels_columns.onnx' AND metric = 'accuracy';
-- True is the second one of two.
SELECT value AS booleans FROM models, evaluate(m, 'SELECT amount, country, row > 1 FROM payments') WHERE model = 'labels_columns.onnx' AND metric = 'accuracy';
SELECT evaluate(m, 'SELECT x, 1 FROM flowers') FROM models WHERE model = 'labels_lookup.onnx';
SELECT evaluate(m, $$SELECT x, 'rose' FROM flowers$$) FROM models WHERE model = 'labels_linear.onnx';

-- ---------- what is given wrongly ----------

SELECT predict_rows(m, 'SELECT 1, x FROM flowers', output => 'output_probability') FROM models WHERE model = 'zipmap';
-- Without an id, or a label.
SELECT predict_rows(m, 'SELECT 1, 3') FROM models WHERE model = 'counted';
SELECT evaluate(m, 'SELECT 1, 3') FROM models WHERE model = 'counted';
SELECT predict_rows(m, $$SELECT 1, 'de'::text$$) FROM models WHERE model = 'labels_columns.onnx';
SELECT predict_rows(m, 'SELECT 0.4068, 1, 2') FROM models WHERE model = 'counted';
SELECT predict_rows(m, 'SELECT 4.5::float8, 1, 2') FROM models WHERE model = 'counted';
SELECT p.* FROM models, predict_rows(m, 'SELECT 4::float8, 1, 2', output => 'sum') p WHERE model = 'counted';
SELECT classify(m, '{{1,2},{3,4}}') FROM models WHERE model = 'counted';
SELECT predict(m, array['1', '2']) FROM models WHERE model = 'counted';
SELECT predict(set_graph(model_agg('c.weight', '{{{{1}}}}'), 'c:conv2d'), '{1,2,3,4}');
SELECT set_graph(model_agg('c.weight', '{{{{1}}}}'), 'c:conv2d(strides=2)');
SELECT set_graph(model_agg('c.weight', '{{{{1}}}}'), 'c:conv2d relu(axis=2)');
-- A model of scikit-learn as a pickle.
SELECT model_read('\x800263736b6c6561726e2e64756d6d790a44756d6d79436c61737369666965720a29817d7100622e');
SELECT modelopt.commit('sc_counted', m, 'counted') FROM models WHERE model = 'counted';
CREATE ROLE sc_user;
SELECT modelopt.grant_usage('sc_counted', 'sc_user');
SET ROLE sc_user;
SELECT optimize('sc_counted', 'SELECT 1, 2, 0');
RESET ROLE;
SELECT modelopt.grant_read('sc_counted', 'sc_user');
SET ROLE sc_user;
SELECT optimize('sc_counted', 'SELECT 1, 2, 0');
RESET ROLE;
SELECT modelopt.drop('sc_counted');
DROP ROLE sc_user;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA serve_classes CASCADE;
