-- What values inside of a model are like.  What calibrate() looks at, SQL
-- computes too.

CREATE SCHEMA serve_calibrate;
SET search_path = serve_calibrate, public;
\set SHOW_CONTEXT never
\set mlp `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.onnx | tr -d '\n'`
CREATE TABLE zoo (name text PRIMARY KEY, m model);
INSERT INTO zoo SELECT name, model_read(decode(base64, 'base64')) FROM (VALUES ('mlp', :'mlp'), ('cnn', :'cnn')) v (name, base64);

CREATE TABLE lines (line text);
\copy lines FROM 'test/data/digits_test.csv' WITH (DELIMITER E'\x01')
CREATE TABLE digits AS
SELECT row_number() OVER () AS id, n[1]::int AS label, (SELECT array_agg((v / 16)::real ORDER BY i) FROM unnest(n[2:]::real[]) WITH ORDINALITY u (v, i)) AS pixels
FROM (SELECT string_to_array(line, ',') FROM lines WHERE line NOT LIKE 'label%') v (n);

CREATE FUNCTION near(a double precision, b double precision) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT abs(a - b) <= 1e-5 * greatest(abs(b), 1) $$;
CREATE FUNCTION linear_relu(m model, layer text, x double precision[]) RETURNS double precision[] LANGUAGE sql STABLE AS
$$
SELECT array_agg(greatest(b + (SELECT sum(w[i][j] * x[j]) FROM generate_subscripts(x, 1) j), 0) ORDER BY i)
FROM tensor(m, layer || '.weight') w, unnest(tensor(m, layer || '.bias')) WITH ORDINALITY u (b, i)
$$;

-- Of a perceptron: its input, and what the two layers within give.
CREATE TABLE seen AS
SELECT 'pixels' AS value, 'layer1.weight' AS weight, id, pixels::float8[] AS x FROM digits WHERE id <= 30
UNION ALL SELECT '/Relu_output_0', 'layer2.weight', id, linear_relu(m, 'layer1', pixels::float8[]) FROM zoo, digits WHERE name = 'mlp' AND id <= 30;
INSERT INTO seen SELECT '/Relu_1_output_0', 'layer3.weight', id, linear_relu(m, 'layer2', x) FROM zoo, seen WHERE name = 'mlp' AND value = '/Relu_output_0';
CREATE TABLE calibrated AS SELECT c.* FROM zoo, calibrate(m, 'SELECT pixels FROM digits WHERE id <= 30') c WHERE name = 'mlp';
SELECT key, near((r.value ->> 0)::float8, s.min) AS min, near((r.value ->> 1)::float8, s.max) AS max, n
FROM calibrated, jsonb_each(activation_ranges) r FULL JOIN (SELECT value AS key, min(v), max(v) FROM seen, unnest(x) v GROUP BY value) s USING (key)
ORDER BY key;
SELECT w.key, count(*), bool_and(near(norm::float8, s.norm_of_x)) AS norms
FROM calibrated CROSS JOIN LATERAL jsonb_each(activation_norms) w CROSS JOIN LATERAL jsonb_array_elements_text(w.value) WITH ORDINALITY u (norm, i)
    LEFT JOIN (SELECT weight, j, sqrt(avg(v * v)) AS norm_of_x FROM seen, unnest(x) WITH ORDINALITY y (v, j) GROUP BY weight, j) s ON s.weight = w.key AND s.j = i
GROUP BY w.key ORDER BY w.key;
-- The same in other batches, and what is not a row does not count.
SELECT c.activation_ranges = d.activation_ranges AS ranges, c.n AS n,
    (SELECT bool_and(near(a::float8, b::float8)) FROM ROWS FROM (jsonb_array_elements_text(c.activation_norms -> 'layer1.weight'), jsonb_array_elements_text(d.activation_norms -> 'layer1.weight')) u (a, b)) AS norms
FROM calibrated c, zoo, calibrate(m, 'SELECT CASE WHEN id <= 30 THEN pixels END FROM digits WHERE id <= 40', batch_size => 7) d WHERE name = 'mlp';

-- A convolution, of pictures with two channels of nine numbers, the first
-- picture having 1 to 18 and the second twice these: all positions of a row add
-- up, and all groups.
CREATE TABLE pictures AS SELECT i AS id, (SELECT array_agg((i * j)::real ORDER BY j) FROM generate_series(1, 18) j) AS pixels FROM generate_series(1, 2) i;
CREATE TABLE conv AS
SELECT 'plain' AS name, set_graph(model_agg('c.weight', '{{{{1,1,1},{0,0,0},{1,1,1}},{{1,1,1},{0,0,0},{1,1,1}}}}'), 'input(2x3x3) c:conv2d(padding=1)') AS m
UNION ALL SELECT 'groups', set_graph(model_agg('c.weight', '{{{{1,1,1},{0,0,0},{1,1,1}}},{{{1,1,1},{0,0,0},{1,1,1}}}}'), 'input(2x3x3) c:conv2d(padding=1, groups=2)');
SELECT name, activation_ranges, n FROM conv, calibrate(m, 'SELECT pixels FROM pictures') ORDER BY name DESC;
SELECT name, bool_and(near(norm::float8, CASE name
    WHEN 'plain' THEN (SELECT sqrt(sum((1 + 4) * j * j) / 2.0) FROM generate_series(9 * i - 8, 9 * i) j)
    ELSE (SELECT sqrt(sum((1 + 4) * j * j) / 2.0) FROM generate_series(1, 18) j) END)) AS norms, count(*)
FROM conv, calibrate(m, 'SELECT pixels FROM pictures'), jsonb_array_elements_text(activation_norms -> 'c.weight') WITH ORDINALITY u (norm, i)
GROUP BY name ORDER BY name DESC;
-- Values and weights of a network that was exported.
SELECT r.key, r.value ->> 0 AS least FROM zoo, calibrate(m, 'SELECT pixels FROM digits') c, jsonb_each(activation_ranges) r WHERE name = 'cnn' ORDER BY 1;
SELECT w.key, jsonb_array_length(w.value) FROM zoo, calibrate(m, 'SELECT pixels FROM digits') c, jsonb_each(activation_norms) w WHERE name = 'cnn' ORDER BY 1;
-- A model that is quantized already is looked at as it computes.
SELECT near((c.activation_ranges #>> '{/Relu_output_0,1}')::float8, (q.activation_ranges #>> '{/Relu_output_0,1}')::float8) AS the_same,
    abs((c.activation_ranges #>> '{/Relu_output_0,1}')::float8 - (q.activation_ranges #>> '{/Relu_output_0,1}')::float8) < 0.1 AS about
FROM zoo, calibrated c, calibrate(quantize(m, 'int8', activation_ranges => c.activation_ranges), 'SELECT pixels FROM digits WHERE id <= 30') q WHERE name = 'mlp';

-- A transformer, which has matrices that are multiplied from the right, and
-- products of two values; the graph says which dimension is that of inputs.
CREATE FUNCTION noise(seed int, VARIADIC dims int[]) RETURNS real[] LANGUAGE sql IMMUTABLE AS
$$
SELECT CASE cardinality(dims) WHEN 1 THEN (SELECT array_agg((((i * seed * 37 + seed) % 41) / 20.0 - 1)::real ORDER BY i) FROM generate_series(1, dims[1]) i)
ELSE (SELECT array_agg(x ORDER BY j) FROM (SELECT j, array_agg((((i * 31 + j * 17 * seed + seed) % 41) / 20.0 - 1)::real ORDER BY i) AS x
    FROM generate_series(1, dims[1]) j, generate_series(1, dims[2]) i GROUP BY j) rows) END
$$;
CREATE TABLE transformer AS
SELECT set_graph(model_agg(name, data), 'embed:embedding attn:attention(heads=2) add(embed) n:layernorm up:linear gelu down:linear') AS m
FROM (VALUES ('embed.weight', noise(1, 11, 8)), ('attn.in_proj_weight', noise(2, 24, 8)), ('attn.in_proj_bias', noise(3, 24)),
    ('attn.out_proj.weight', noise(4, 8, 8)), ('attn.out_proj.bias', noise(5, 8)), ('n.weight', noise(6, 8)), ('n.bias', noise(7, 8)),
    ('up.weight', noise(8, 12, 8)), ('up.bias', noise(9, 12)), ('down.weight', noise(10, 5, 12)), ('down.bias', noise(11, 5))) v (name, data);
SELECT w.key, jsonb_array_length(w.value), t.shape
FROM transformer, calibrate(m, 'SELECT ARRAY[1, 2, i % 11, i * i % 11] FROM generate_series(1, 20) i'), jsonb_each(activation_norms) w
    JOIN tensors((SELECT m FROM transformer)) t ON t.name = w.key ORDER BY 1;
SELECT count(*) AS ranges, bool_and((r.value ->> 0)::float8 <= (r.value ->> 1)::float8) AS in_order
FROM transformer, calibrate(m, 'SELECT ARRAY[1, 2, i % 11, i * i % 11] FROM generate_series(1, 20) i'), jsonb_each(activation_ranges) r;
SELECT count(*) FROM transformer, calibrate(m, 'SELECT ARRAY[1, 2, i % 11, i * i % 11] FROM generate_series(1, 20) i') c,
    tensors(prune(m, 0.5, 'wanda', exclude => '{embed.weight}', activation_norms => c.activation_norms)) t;
-- Quantized to floats of 8 bits it computes what the numbers would in floats.
SELECT d, dtypes, every(abs(a - b) < 1e-4) AS same
FROM transformer, unnest('{fp8_e4m3,fp8_e5m2}'::text[]) d, quantize(m, d) q,
    LATERAL (SELECT set_graph(model_agg(t.name, tensor(q, t.name)), 'embed:embedding attn:attention(heads=2) add(embed) n:layernorm up:linear gelu down:linear') AS f,
        count(*) FILTER (WHERE dtype LIKE 'f8%') AS dtypes FROM tensors(q) t) w,
    unnest(predict(q, ARRAY[1, 2, 7, 10]), predict(f, ARRAY[1, 2, 7, 10])) u (a, b) GROUP BY d, dtypes ORDER BY d;

-- ---------- what it is for ----------

-- Half of the digits calibrate, the others tell what it was good for.
CREATE TABLE trained AS
SELECT name, m, c.* FROM zoo, calibrate(m, 'SELECT pixels FROM digits WHERE id <= 50') c;
CREATE TABLE losses AS
SELECT name, what, value AS loss
FROM trained t, LATERAL (VALUES
    ('as it was', m),
    ('static', quantize(m, 'int8', activation_ranges => t.activation_ranges)),
    ('static, one wide range', quantize(m, 'int8', activation_ranges => (SELECT jsonb_object_agg(key, '[-100, 100]'::jsonb) FROM jsonb_each(t.activation_ranges)))),
    ('static, ranges of pixels', quantize(m, 'int8', activation_ranges => (SELECT jsonb_object_agg(key, '[0, 1]'::jsonb) FROM jsonb_each(t.activation_ranges)))),
    ('wanda', prune(m, 0.5, 'wanda', activation_norms => t.activation_norms)),
    ('wanda without norms', prune(m, 0.5, 'wanda', activation_norms => (SELECT jsonb_object_agg(key, (SELECT jsonb_agg(1) FROM jsonb_array_elements(value))) FROM jsonb_each(t.activation_norms)))),
    ('l1 in each tensor', prune(m, 0.5, scope => 'tensor'))) v (what, s),
    evaluate(s, 'SELECT pixels, label FROM digits WHERE id > 50', metrics => '{log_loss}') e
WHERE metric = 'log_loss';
SELECT a.name, a.what, b.what AS naive, a.loss < b.loss AS better
FROM losses a JOIN losses b USING (name)
WHERE (a.what, b.what) IN (('static', 'static, one wide range'), ('static', 'static, ranges of pixels'), ('wanda', 'wanda without norms'), ('wanda', 'l1 in each tensor'))
ORDER BY 1, 2, 3;
SELECT a.name, abs(a.loss - b.loss) < 0.01 AS static_costs_little
FROM losses a JOIN losses b USING (name) WHERE a.what = 'static' AND b.what = 'as it was' ORDER BY 1;

-- ---------- by name, and errors ----------

SELECT modelopt.commit('sc_digits', m, 'digits') FROM zoo WHERE name = 'mlp';
SELECT n FROM calibrate('sc_digits', 'SELECT pixels FROM digits');
CREATE ROLE sc_user;
GRANT USAGE ON SCHEMA serve_calibrate TO sc_user;
GRANT SELECT ON digits TO sc_user;
SELECT modelopt.grant_usage('sc_digits', 'sc_user');
SET ROLE sc_user;
SELECT count(*) FROM evaluate('sc_digits', 'SELECT pixels, label FROM digits');
SELECT n FROM calibrate('sc_digits', 'SELECT pixels FROM digits');
RESET ROLE;
SELECT calibrate(m, 'SELECT pixels FROM digits', batch_size => 0) FROM zoo WHERE name = 'mlp';
SELECT calibrate(m, 'SELECT label FROM digits') FROM zoo WHERE name = 'mlp';
SELECT calibrate(m, 'SELECT pixels FROM nowhere') FROM zoo WHERE name = 'mlp';
SELECT calibrate(m, NULL) IS NULL AS nothing FROM zoo WHERE name = 'mlp';
SELECT calibrate(m, 'SELECT pixels FROM digits WHERE false') FROM zoo WHERE name = 'mlp';
SELECT calibrate(m, 'SELECT NULL::real[] FROM digits') FROM zoo WHERE name = 'mlp';
SELECT calibrate(m, '') FROM zoo WHERE name = 'mlp';
SELECT calibrate(model_agg('w', '{1}'), 'SELECT pixels FROM digits');
SELECT calibrate(model_set(m, 'layer1.bias', array_fill('Infinity'::real, '{32}')), 'SELECT pixels FROM digits') FROM zoo WHERE name = 'mlp';
-- More products than a run could show.
SELECT calibrate(m, 'SELECT 1') FROM (SELECT set_graph(model_agg('l' || i || '.weight', '{{1}}' ORDER BY i), string_agg('l' || i || ':linear', ' ' ORDER BY i)) AS m
    FROM generate_series(1, 600) i) deep;

DROP OWNED BY sc_user;
DROP ROLE sc_user;
SELECT modelopt.drop('sc_digits');
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA serve_calibrate CASCADE;
