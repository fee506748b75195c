-- Predictions as JSON: what is given wrongly.  All types and operators are
-- the conformance test's.

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
DROP SCHEMA serve_json CASCADE;
