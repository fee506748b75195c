-- Predictions as JSON: what is given wrongly, and values that are no tensors.
-- All types and operators are the conformance test's.

CREATE SCHEMA serve_json;
SET search_path = serve_json, public;
\set SHOW_CONTEXT never
\set mlp `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
CREATE TABLE zoo AS SELECT model_read(decode(:'mlp', 'base64')) AS m;
CREATE FUNCTION ones(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(array_fill(1, ARRAY[n, 64])) $$;

-- The same numbers as predict(), whichever way the input is given.
SELECT predict_json(m, jsonb_build_object('pixels', ones(2))) = jsonb_build_object('scores', to_jsonb(predict(m, array_fill(1, ARRAY[2, 64])))) AS by_name,
    predict_json(m, ones(2)) = predict_json(m, jsonb_build_object('pixels', ones(2))) AS without,
    predict_json(m, jsonb_build_object('pixels', jsonb_build_object('shape', '[2, 64]'::jsonb, 'data', to_jsonb(array_fill(1, ARRAY[128])))))
        = predict_json(m, ones(2)) AS flat,
    predict_json(m, to_jsonb(array_fill(true, ARRAY[2, 64]))) = predict_json(m, ones(2)) AS booleans
FROM zoo;
SELECT predict_json(m, '{"pixels": {"shape": [0, 64], "data": []}}') FROM zoo;
SELECT predict_json(m, jsonb_build_array(jsonb_set(ones(1) -> 0, '{5}', '"NaN"'))) -> 'scores' -> 0 -> 0 AS nan FROM zoo;
SELECT predict_json(m, jsonb_build_array(jsonb_set(ones(1) -> 0, '{5}', '"-Infinity"'))) @> '{"scores": [["Infinity"]]}'
    OR predict_json(m, jsonb_build_array(jsonb_set(ones(1) -> 0, '{5}', '"-Infinity"'))) @> '{"scores": [["NaN"]]}' AS infinite FROM zoo;
SELECT predict_json(null::model, '{}'), predict_json(m, null) FROM zoo;

SELECT predict_json(m, '{}') FROM zoo;
SELECT predict_json(m, '1') FROM zoo;
SELECT predict_json(m, '[]') FROM zoo;
SELECT predict_json(m, '{"pixel": [[1]]}') FROM zoo;
SELECT predict_json(m, jsonb_build_object('pixels', ones(1), 'mask', 1)) FROM zoo;
SELECT predict_json(m, '{"pixels": 1}') FROM zoo;
SELECT predict_json(m, '{"pixels": [1, 2]}') FROM zoo;
SELECT predict_json(m, '{"pixels": [[1, 2]]}') FROM zoo;
SELECT predict_json(m, '{"pixels": [[1, 2], [3]]}') FROM zoo;
SELECT predict_json(m, '{"pixels": [[1, 2], 3]}') FROM zoo;
SELECT predict_json(m, '{"pixels": [[1, [2]]]}') FROM zoo;
SELECT predict_json(m, '{"pixels": [[1, null]]}') FROM zoo;
SELECT predict_json(m, '{"pixels": [[1, "two"]]}') FROM zoo;
SELECT predict_json(m, '{"pixels": [[1, {"a": 2}]]}') FROM zoo;
SELECT predict_json(m, '{"pixels": {"shape": [1, 64]}}') FROM zoo;
SELECT predict_json(m, '{"pixels": {"shape": [1, 64], "data": [1]}}') FROM zoo;
SELECT predict_json(m, '{"pixels": {"shape": [1, "x"], "data": [1]}}') FROM zoo;
SELECT predict_json(m, '{"pixels": {"shape": [-1, -64], "data": [1]}}') FROM zoo;
SELECT predict_json(m, '{"pixels": {"shape": [4294967296, 4294967296], "data": []}}') FROM zoo;
SELECT predict_json(m, ('{"pixels": ' || repeat('[', 40) || '1' || repeat(']', 40) || '}')::jsonb) FROM zoo;
SELECT predict_json(m, jsonb_set(ones(1), '{0,0}', '1e400')) FROM zoo;

-- Sequences, maps and optional values, in both modes: what scikit-learn and ONNX
-- Runtime give.
CREATE TABLE cases ("case" text, model text, inputs jsonb, outputs jsonb);
\copy cases FROM 'test/data/values.csv' WITH (FORMAT csv, HEADER)
\set strings `base64 < test/data/iris_strings.onnx | tr -d '\n'`
\set numbers `base64 < test/data/iris_numbers.onnx | tr -d '\n'`
\set floats `base64 < test/data/sequence_f32.onnx | tr -d '\n'`
\set texts `base64 < test/data/sequence_string.onnx | tr -d '\n'`
\set optional `base64 < test/data/optional.onnx | tr -d '\n'`
\set map `base64 < test/data/map.onnx | tr -d '\n'`
\set dictionaries `base64 < test/data/dictionaries.onnx | tr -d '\n'`
\set tree_classifier `base64 < test/data/tree_classifier.onnx | tr -d '\n'`
\set tree_regressor `base64 < test/data/tree_regressor.onnx | tr -d '\n'`
CREATE TABLE models AS SELECT name AS model, model_read(decode(data, 'base64')) AS m
FROM (VALUES ('iris_strings.onnx', :'strings'), ('iris_numbers.onnx', :'numbers'), ('sequence_f32.onnx', :'floats'),
    ('sequence_string.onnx', :'texts'), ('optional.onnx', :'optional'), ('map.onnx', :'map'), ('dictionaries.onnx', :'dictionaries'),
    ('tree_classifier.onnx', :'tree_classifier'), ('tree_regressor.onnx', :'tree_regressor')) t (name, data);

-- The numbers in a value, and all else of it.
CREATE FUNCTION numbers(value jsonb) RETURNS float8[] LANGUAGE sql AS $$
    SELECT array_agg(n::float8 ORDER BY k) FROM jsonb_path_query(value, 'strict $.**') WITH ORDINALITY t (n, k) WHERE jsonb_typeof(n) = 'number' $$;
CREATE FUNCTION rest(value jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(value::text, '(?<![\w"])-?\d[\d.e-]*(?![\w"])', '#', 'g') $$;
CREATE FUNCTION differences(a float8[], b float8[]) RETURNS float8 LANGUAGE sql AS $$
    SELECT coalesce(max(abs(x - y)), 0) FROM unnest(a, b) t (x, y) $$;
SELECT "case", rest(found) = rest(outputs) AS same, cardinality(numbers(found)) IS NOT DISTINCT FROM cardinality(numbers(outputs)) AS as_many,
    differences(numbers(found), numbers(outputs)) < 1e-6 AS near
FROM (SELECT "case", outputs, predict_json(m, inputs) AS found FROM cases JOIN models USING (model)) t ORDER BY 1;
SET modelopt.run_mode = inprocess;
SELECT "case", rest(found) = rest(outputs) AS same, cardinality(numbers(found)) IS NOT DISTINCT FROM cardinality(numbers(outputs)) AS as_many,
    differences(numbers(found), numbers(outputs)) < 1e-6 AS near
FROM (SELECT "case", outputs, predict_json(m, inputs) AS found FROM cases JOIN models USING (model)) t ORDER BY 1;
RESET modelopt.run_mode;
SELECT predict_json(m, '{"tensor": [1, 2], "sequence": [[5], {"shape": [0], "data": []}, [6, 7]]}') FROM models WHERE model = 'optional.onnx';
SELECT predict_json(m, '{"parts": [[1, "NaN"], ["Infinity"]], "more": [0]}') FROM models WHERE model = 'sequence_f32.onnx';
-- More parts than fit a page, and their order.
SELECT predict_json(m, jsonb_build_object('parts', parts, 'more', '["last"]'::jsonb)) -> 'longer' = parts || '[["last"]]' AS long
FROM models, (SELECT jsonb_agg(jsonb_build_array(repeat('x', i % 70), i::text) ORDER BY i) FROM generate_series(1, 10000) i) t (parts)
WHERE model = 'sequence_string.onnx';

-- The class, and its probability out of the map.
SELECT "case", row - 1 AS row, (c).label = outputs #>> ARRAY['output_label', (row - 1)::text] AS same,
    abs((c).probability - (outputs -> 'output_probability' -> (row - 1)::int ->> (c).label)::float8) < 1e-6 AS near
FROM (SELECT "case", outputs, row, classify(m, (SELECT array_agg(v::real) FROM jsonb_array_elements_text(x) v)) AS c
    FROM cases JOIN models USING (model), jsonb_array_elements(inputs -> 'X') WITH ORDINALITY t (x, row) WHERE "case" LIKE '% labels') t
ORDER BY 1, 2;
-- Trees have no tensors, and give labels, probabilities and values.
SELECT model, num_parameters(m), (SELECT array_agg(DISTINCT op_type) FROM nodes(m) WHERE op_type LIKE 'Tree%') AS trees FROM models WHERE model LIKE 'tree%' ORDER BY 1;
SELECT (c).label = outputs #>> ARRAY['label', (row - 1)::text] AS label, (c).probability = (SELECT max(p::real) FROM jsonb_array_elements_text(outputs -> 'probabilities' -> (row - 1)::int) p) AS probability
FROM (SELECT outputs, row, classify(m, replace(replace(x::text, '[', '{'), ']', '}')) AS c
    FROM cases JOIN models USING (model), jsonb_array_elements(inputs -> 'X') WITH ORDINALITY t (x, row) WHERE "case" = 'tree_classifier') t;
SELECT classify(m, '{5.1, 3.5, 1.4}') FROM models WHERE model = 'tree_regressor.onnx';
SELECT predict(m, '{5.1, 3.5, 1.4}'), outputs #>> '{variable,0,0}' AS as_in_python FROM models JOIN cases USING (model) WHERE model = 'tree_regressor.onnx';
-- Labels are in the order of the keys.
SELECT model, (classify(m, '{6.1, 2.8, 4.9, 1.7}'::real[], '{a,b,c}')).label FROM models WHERE model LIKE 'iris%' ORDER BY 1;
SELECT classify(m, '{6.1, 2.8, 4.9, 1.7}'::real[], '{a,b}') FROM models WHERE model = 'iris_strings.onnx';
SELECT classify(m, '{1, 2}'::real[]) FROM models WHERE model = 'optional.onnx';
-- How good they are, by what classify() says of each row.
CREATE TABLE flowers AS SELECT x, (classify(m, x)).label AS species, row_number() OVER () AS id
FROM models, (VALUES ('{5.1, 3.5, 1.4, 0.2}'::real[]), ('{6, 2.9, 4.5, 1.5}'), ('{6.9, 3.1, 5.4, 2.1}'), ('{6.1, 2.8, 4.9, 1.7}')) v (x) WHERE model = 'iris_strings.onnx';
UPDATE flowers SET species = (SELECT species FROM flowers WHERE id = 1) WHERE id = 4;
SELECT metric, CASE metric WHEN 'accuracy' THEN value = 0.75 WHEN 'log_loss' THEN abs(value - (SELECT avg(-ln(p::float8)) FROM
    (SELECT predict_json(m, jsonb_build_array(to_jsonb(x))) -> 'output_probability' -> 0 ->> species FROM flowers) f (p))) < 1e-6 END AS as_expected, n
FROM models, evaluate(m, 'SELECT x, species FROM flowers') WHERE model = 'iris_strings.onnx' AND metric IN ('accuracy', 'log_loss', 'null_rows');
SELECT metric, value FROM models, evaluate(m, 'SELECT x, species::text FROM flowers', metrics => '{accuracy}') WHERE model = 'iris_numbers.onnx';
SELECT metric, value FROM models, evaluate(m, 'SELECT x, id FROM flowers', task => 'regression') WHERE model = 'iris_strings.onnx';
SELECT predict(m, '{6.1, 2.8, 4.9, 1.7}'::real[]) FROM models WHERE model = 'iris_numbers.onnx';
SELECT predict(m, '{5.9, 3, 4.2, 1.5}'), (classify(m, '{5.9, 3, 4.2, 1.5}')).label FROM models WHERE model = 'iris_numbers.onnx';
SELECT (classify(m, '{5.9, 3, 4.2, 1.5}')).label FROM models WHERE model = 'iris_numbers.onnx';
SELECT predict(m, '{6.1, 2.8, 4.9, 1.7}'::real[], 'output_probability') FROM models WHERE model = 'iris_numbers.onnx';

SELECT predict(m, '{1, 2}'::real[]) FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": 1, "more": []}') FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": {"shape": [0], "data": []}, "more": []}') FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": null, "more": []}') FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": [[1], null], "more": [2]}') FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": [[1], [[2]]], "more": [2]}') FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": [[1], ["x"]], "more": [2]}') FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": [[1], [1e300]], "more": [2]}') FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"parts": [[1], [2]], "more": [2]}') FROM models WHERE model = 'sequence_string.onnx';
SELECT predict_json(m, '{"tensor": null}') FROM models WHERE model = 'optional.onnx';
SELECT predict_json(m, '{"tensor": [[1]], "sequence": null}') FROM models WHERE model = 'optional.onnx';
SELECT predict_json(m, jsonb_build_object('parts', (SELECT jsonb_agg(0) FROM generate_series(1, 1048577)), 'more', '[2]'::jsonb))
FROM models WHERE model = 'sequence_f32.onnx';
SELECT predict_json(m, '{"words": {}, "maps": [{}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": [1], "maps": [{"1": 2}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {"ham": [1]}, "maps": [{"1": 2}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {"ham": "x"}, "maps": [{"1": 2}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {"ham": null}, "maps": [{"1": 2}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {}, "maps": [{"one": 2}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {}, "maps": [{"9223372036854775808": 2}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {}, "maps": [{"1": 2, "01": 3}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {}, "maps": [{"-9223372036854775808": 2}]}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"words": {}, "maps": []}') FROM models WHERE model = 'map.onnx';
SELECT predict_json(m, '{"amount": 3}') FROM models WHERE model = 'dictionaries.onnx';
SELECT predict(m, '{1}'::real[]) FROM models WHERE model = 'dictionaries.onnx';
SET modelopt.max_output_bytes = '64kB';
SELECT predict_json(m, jsonb_build_object('parts', (SELECT jsonb_agg('[1]'::jsonb) FROM generate_series(1, 300)), 'more', '[2]'::jsonb))
FROM models WHERE model = 'sequence_f32.onnx';
RESET modelopt.max_output_bytes;
DROP SCHEMA serve_json CASCADE;
