-- Cutting nodes.  What is left is compared with what torch leaves (cut.csv,
-- test/data/make_cut.py); the interop tests compute with the results.

CREATE SCHEMA cut_nodes;
SET search_path = cut_nodes, public;
\set SHOW_CONTEXT never
\set mlp `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.pth | tr -d '\n'`
\set cnn_onnx `base64 < test/data/digits_cnn.onnx | tr -d '\n'`
\set mlp_onnx `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
\set tied `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set functions `base64 < test/data/graph_functions.onnx | tr -d '\n'`
SET client_min_messages = warning;
CREATE TABLE models (name text PRIMARY KEY, m model);
INSERT INTO models SELECT name, model_read(decode(base64, 'base64'))
FROM (VALUES ('bare', :'mlp'), ('bare_cnn', :'cnn'), ('cnn_onnx', :'cnn_onnx'), ('mlp_onnx', :'mlp_onnx'), ('bare_tied', :'tied'), ('functions', :'functions')) v (name, base64);
INSERT INTO models SELECT 'mlp', set_graph(m, 'layer1:linear relu layer2:linear relu layer3:linear') FROM models WHERE name = 'bare';
INSERT INTO models SELECT 'cnn', set_graph(m, 'input(1x8x8) conv1:conv2d(padding=1) bn1:batchnorm relu maxpool(2) conv2:conv2d(padding=1) bn2:batchnorm relu
    maxpool(2) flatten fc:linear') FROM models WHERE name = 'bare_cnn';
INSERT INTO models SELECT 'tied', set_graph(m, 'embed:embedding attention:attention(2) add(embed) norm1:layernorm up:linear relu down:linear add(norm1)
    norm2:layernorm output:linear') FROM models WHERE name = 'bare_tied';
RESET client_min_messages;

CREATE TABLE expected ("case" text, tensor text, shape bigint[], sha256 text);
\copy expected FROM 'test/data/cut.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE expected_nodes ("case" text, layer text, indexes int[]);
\copy expected_nodes FROM 'test/data/cut_nodes.csv' WITH (FORMAT csv, HEADER)
CREATE FUNCTION sums(m model) RETURNS TABLE (tensor text, shape bigint[], sha256 text) LANGUAGE sql AS
$$
SELECT t.name, t.shape, (SELECT encode(sha256(string_agg(float4send(v), '' ORDER BY at)), 'hex') FROM unnest(tensor(m, t.name)) WITH ORDINALITY u (v, at))
FROM tensors(m) t
$$;

-- ---------- what is left, to the bit ----------

CREATE TABLE cut ("case" text PRIMARY KEY, m model);
INSERT INTO cut SELECT 'mlp_0.3', cut_nodes(m, 0.3) FROM models WHERE name = 'mlp';
INSERT INTO cut SELECT 'mlp_l1_0.5', cut_nodes(m, 0.5, method => 'l1') FROM models WHERE name = 'mlp';
INSERT INTO cut SELECT 'mlp_count_5', cut_nodes_count(m, 5) FROM models WHERE name = 'mlp';
INSERT INTO cut SELECT 'mlp_round_8', cut_nodes(m, 0.3, round_to => 8) FROM models WHERE name = 'mlp';
INSERT INTO cut SELECT 'cnn_0.5', cut_nodes(m, 0.5) FROM models WHERE name = 'cnn';
INSERT INTO cut SELECT 'cnn_bn_scale', cut_nodes(m, 0.25, method => 'bn_scale') FROM models WHERE name = 'cnn';
SELECT cut."case", count(*) AS tensors, bool_and(s.shape = e.shape) AS shapes, bool_and(s.sha256 = e.sha256) AS bits
FROM cut, sums(m) s JOIN expected e USING (tensor) WHERE e."case" = cut."case" GROUP BY 1 ORDER BY 1;
SELECT "case", count(*) AS tensors FROM cut, tensors(m) GROUP BY 1 ORDER BY 1;
SELECT c.name, count(*) AS layers, bool_and(d.indexes = e.indexes AND d.cut = cardinality(e.indexes)) AS same_nodes
FROM (SELECT 'mlp_0.3', d.* FROM models, cut_nodes_dry_run(m, 0.3) d WHERE name = 'mlp'
      UNION ALL SELECT 'mlp_l1_0.5', d.* FROM models, cut_nodes_dry_run(m, 0.5, 'l1') d WHERE name = 'mlp'
      UNION ALL SELECT 'mlp_count_5', d.* FROM models, cut_nodes_dry_run(m, count => 5) d WHERE name = 'mlp'
      UNION ALL SELECT 'cnn_0.5', d.* FROM models, cut_nodes_dry_run(m, 0.5) d WHERE name = 'cnn'
      UNION ALL SELECT 'cnn_bn_scale', d.* FROM models, cut_nodes_dry_run(m, 0.25, 'bn_scale') d WHERE name = 'cnn') c (name, layer, "group", nodes, cut, indexes, why)
     CROSS JOIN LATERAL (SELECT c.indexes, c.cut) d JOIN expected_nodes e ON e."case" = c.name AND e.layer = c.layer
GROUP BY 1 ORDER BY 1;

-- The same from PyTorch's own export of the network, whose weights are the same.
SELECT bool_and(a.indexes = b.indexes) AS same, count(*) FROM models x, cut_nodes_dry_run(x.m, 0.3) a, models y, cut_nodes_dry_run(y.m, 0.3) b
WHERE x.name = 'mlp' AND y.name = 'mlp_onnx' AND a.layer = b.layer;
-- (The export of the other one has its batch norms folded into the convolutions.)
SELECT d.layer, "group", nodes, cut, stays_because FROM models, cut_nodes_dry_run(m, 0.5) d WHERE name = 'cnn_onnx';
SELECT t.name, t.shape FROM models, tensors(cut_nodes(m, 0.5)) t WHERE models.name = 'cnn_onnx' ORDER BY t.name COLLATE "C";

-- ---------- the graph follows ----------

SELECT "case", o.name, o.shape FROM cut, outputs(m) o ORDER BY 1;
SELECT n.op_type, attributes FROM cut, nodes(m) n WHERE "case" = 'cnn_0.5' AND op_type = 'Conv';
SELECT model_read(model_write(m, 'onnx')) IS NOT NULL AS comes_back, count(*) FROM cut GROUP BY m IS NULL, 1;
-- Input and output stay what they were, and what is not touched is the same.
SELECT (tensor(a.m, 'layer3.bias') = tensor(b.m, 'layer3.bias')) AS last_bias FROM cut a, models b WHERE a."case" = 'mlp_0.3' AND b.name = 'mlp';

-- ---------- recipe and rates ----------

SELECT model_metadata(m) #> '{recipe,1}' FROM cut WHERE "case" = 'mlp_count_5';
SELECT model_metadata(cut_nodes(m, 0.1, 'random', 'global', 2, '{layer*}', '{layer2}', 5)) #> '{recipe,1,arguments}' FROM models WHERE name = 'mlp';
-- 15 of 58 nodes, and of the 48 that may go.
SELECT node_cutting_rate(a.m, b.m), layer_cutting_rate(a.m, b.m), 15.0 / 58 AS expected FROM models a, cut b WHERE a.name = 'mlp' AND b."case" = 'mlp_0.3';
-- By names where there is no graph.
SELECT node_cutting_rate(a.m, model_read(model_write(b.m))) = 15.0 / 58 AS by_names FROM models a, cut b WHERE a.name = 'bare' AND b."case" = 'mlp_0.3';
SELECT node_cutting_rate(b.m, a.m) AS never_negative, node_cutting_rate(a.m, NULL) IS NULL AS strict FROM models a, cut b WHERE a.name = 'mlp' AND b."case" = 'mlp_0.3';

-- ---------- amounts ----------

-- Nothing, in which case the model is the same but for its recipe.
SELECT cut_nodes(m, 0) = m AS same, cut_nodes_count(m, 0) = m AS same_count FROM models WHERE name = 'mlp';
-- Exactly so many, half to even, and one node stays of a layer.
SELECT amount, array_agg(cut ORDER BY layer) FROM models, unnest('{0, 0.03, 0.05, 0.1, 0.5, 0.9, 0.99}'::float8[]) amount, cut_nodes_dry_run(m, amount)
WHERE name = 'mlp' GROUP BY 1 ORDER BY 1;
-- Of all layers together: exactly so many of 48, and every layer keeps one.
SELECT amount, sum(cut), min(nodes - cut), round((48 * amount)::numeric) AS expected
FROM models, unnest('{0.1, 0.5, 0.9, 0.95, 0.99}'::float8[]) amount, cut_nodes_dry_run(m, amount, scope => 'global') WHERE name = 'mlp' GROUP BY 1 ORDER BY 1;
SELECT sum(cut), min(nodes - cut) FROM models, cut_nodes_dry_run(m, count => 46, scope => 'global') WHERE name = 'mlp';
-- What stays is the nearest multiple, one at least, and all where there are fewer.
SELECT round_to, array_agg(nodes - cut ORDER BY layer) AS stay FROM models, unnest('{1, 2, 5, 8, 16, 30, 64}'::int[]) round_to, cut_nodes_dry_run(m, 0.4, round_to => round_to)
WHERE name = 'mlp' AND stays_because IS NULL GROUP BY 1 ORDER BY 1;

-- Random: by the seed, and by nothing else.
SELECT a.indexes = b.indexes AS same, a.indexes <> c.indexes AS other FROM models, cut_nodes_dry_run(m, 0.5, 'random', seed => 1) a,
    cut_nodes_dry_run(m, 0.5, 'random', seed => 1, include => '{layer1}') b, cut_nodes_dry_run(m, 0.5, 'random', seed => 2) c
WHERE name = 'mlp' AND a.layer = 'layer1' AND b.layer = a.layer AND c.layer = a.layer;

-- ---------- which layers ----------

SELECT d.* FROM models, cut_nodes_dry_run(m, 0.1) d WHERE name = 'mlp';
SELECT layer, cut, stays_because FROM models, cut_nodes_dry_run(m, 0.1, include => '{layer1}') d WHERE name = 'mlp';
SELECT layer, cut, stays_because FROM models, cut_nodes_dry_run(m, 0.1, include => '{layer?.weight}', exclude => '{*2}') d WHERE name = 'mlp';
-- Outputs, when they are named.
SELECT o.shape FROM models, outputs(cut_nodes_count(m, 3, include => '{layer3}')) o WHERE models.name = 'mlp';
SELECT t.name, t.shape FROM models, tensors(cut_nodes_count(m, 3, include => '{layer3}')) t WHERE models.name = 'mlp';

-- ---------- what goes together ----------

-- A table that is read as tokens and written as scores is one tensor, and
-- stays one; the residual stream, and heads as they are.
SELECT layer, "group", nodes, cut, stays_because FROM models, cut_nodes_dry_run(m, 0.5) WHERE name = 'tied';
SELECT t.name, t.shape, t.tied_to FROM models, tensors(cut_nodes(m, 0.5)) t WHERE models.name = 'tied';
SELECT layer, indexes FROM models, cut_nodes_dry_run(m, 0.5, include => '{attention}') WHERE name = 'tied' AND cut > 0;

-- ---------- sparse and other encodings ----------

SELECT bool_and(s.sha256 = e.sha256) AS bits FROM models, sums(cut_nodes(prune(m, 0.3, include => '{layer3.weight}', method => 'random'), 0.3, include => '{layer1}')) s,
    sums(cut_nodes(decompress(prune(m, 0.3, include => '{layer3.weight}', method => 'random')), 0.3, include => '{layer1}')) e
WHERE models.name = 'mlp' AND s.tensor = e.tensor;
SELECT sparsity(prune(cut_nodes(m, 0.3), 0.5)) > 0.45 AS composes, jsonb_array_length(model_metadata(prune(cut_nodes(m, 0.3), 0.5)) -> 'recipe') AS steps FROM models WHERE name = 'mlp';

SELECT q.encoding, count(*), min(steps) FROM models, quantize(prune(cut_nodes(m, 0.3), 0.5), 'int8') c, tensors(c) q,
    jsonb_array_length(model_metadata(c) -> 'recipe') steps WHERE models.name = 'mlp' GROUP BY 1 ORDER BY 1;

-- Quantized tensors are decoded, and that is said.
SELECT t.name, t.shape, encoding FROM models, tensors(cut_nodes(set_graph(model_read(model_write(m, 'gguf', 'q8_0')), 'layer1:linear relu layer2:linear'), 0.3)) t
WHERE models.name = 'mlp';

-- NaN matters most.
SELECT d.indexes @> ARRAY[8] AS goes FROM models, cut_nodes_dry_run(m, 0.9) d WHERE name = 'mlp' AND layer = 'layer1';
CREATE FUNCTION with_nan(m model) RETURNS model LANGUAGE plpgsql AS
$$
DECLARE
    w real[] = tensor(m, 'layer1.weight');
BEGIN
    w[9][1] = 'NaN';
    RETURN model_set(m, 'layer1.weight', w);
END
$$;
SELECT d.indexes @> ARRAY[8] AS goes FROM models, cut_nodes_dry_run(with_nan(m), 0.9) d WHERE name = 'mlp' AND layer = 'layer1';

-- ---------- refusals ----------

SELECT cut_nodes(m, 0.5) FROM models WHERE name = 'bare';
SELECT cut_nodes(m) FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 1.5) FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 'NaN') FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, -0.1) FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 1) FROM models WHERE name = 'mlp';
SELECT cut_nodes_count(m, 16) FROM models WHERE name = 'mlp';
SELECT cut_nodes_count(m, 47, scope => 'global') FROM models WHERE name = 'mlp';
SELECT cut_nodes_count(m, -1) FROM models WHERE name = 'mlp';
SELECT cut_nodes_count(m, NULL) FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, 'l3') FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, scope => 'all') FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, round_to => 0) FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, seed => 3) FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, 'bn_scale') FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, include => '{nothing}') FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, exclude => '{no*}') FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, include => ARRAY[NULL]) FROM models WHERE name = 'mlp';
SELECT cut_nodes(m, 0.5, exclude => '{layer1,layer2}') FROM models WHERE name = 'mlp';
SELECT * FROM models, cut_nodes_dry_run(m, 0.5, count => 3) WHERE name = 'mlp';
SELECT cut_nodes(NULL, 0.5) IS NULL AS null_model;
-- An operator that is not understood is named, unless its neighbours stay.
\set unknown `base64 < test/data/graph_unknown.onnx | tr -d '\n'`
INSERT INTO models SELECT 'unknown', model_read(decode(:'unknown', 'base64'));
SELECT d.* FROM models, cut_nodes_dry_run(m, 0.5, exclude => '{second}') d WHERE name = 'unknown';
SELECT cut_nodes(m, 0.5) FROM models WHERE name = 'unknown';
SELECT t.name, t.shape FROM models, tensors(cut_nodes(m, 0.5, exclude => '{second}')) t WHERE models.name = 'unknown';
SELECT cut_nodes(m, 0.5, include => '{second.weight}') FROM models WHERE name = 'unknown';
-- A dry run says what is the matter with each layer instead.
SELECT layer, nodes, cut, stays_because FROM models, cut_nodes_dry_run(m, 0.5) WHERE name = 'unknown';
SELECT layer, cut, stays_because FROM models, cut_nodes_dry_run(m, 0.5, include => '{second.weight}') WHERE name = 'unknown';
SELECT cut_nodes(m, 0) FROM (SELECT set_graph(model_agg('a.weight', '{{1,2},{3,4}}'), 'a:linear')) x (m);
SELECT d.* FROM (SELECT set_graph(model_agg('a.weight', '{{1,2},{3,4}}'), 'a:linear')) x (m), cut_nodes_dry_run(m, 0) d;
-- Functions of a model are not understood either, and this one has no layers.
SELECT cut_nodes(m, 0.5) FROM models WHERE name = 'functions';

-- ---------- a graph that says twice what a value is ----------

-- Of the hidden value first the two dimensions that it has, and then three
-- hundred: those that it has follow the cut, and all others are left alone.
CREATE FUNCTION field(number int, content bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT decode(lpad(to_hex(number << 3 | 2), 2, '0') || to_hex(length(content) & 127 | 128) || lpad(to_hex(length(content) >> 7), 2, '0'), 'hex') || content $$;
CREATE FUNCTION value(name text, dims bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(1, name::bytea) || field(2, field(1, '\x0801' || field(2, dims))) $$;
CREATE FUNCTION weight(name text, n int, rows int, columns int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(5, decode('08' || lpad(to_hex(rows), 2, '0') || '08' || lpad(to_hex(columns), 2, '0') || '1001', 'hex') || field(8, name::bytea) ||
       field(9, (SELECT string_agg(decode(CASE WHEN i % n = 0 THEN '00000000' ELSE '0000803f' END, 'hex'), '') FROM generate_series(0, rows * columns - 1) i))) $$;
CREATE TABLE twice AS
SELECT model_read('\x0808' || field(7,
        field(1, field(1, 'x') || field(1, 'w1') || field(2, 'h') || field(4, 'MatMul')) ||
        field(1, field(1, 'h') || field(1, 'w2') || field(2, 'y') || field(4, 'MatMul')) ||
        field(2, 'g') || weight('w1', 4, 3, 4) || weight('w2', 9, 4, 2) ||
        field(11, value('x', field(1, '\x0801') || field(1, '\x0803'))) ||
        field(12, value('y', field(1, '\x0801') || field(1, '\x0802'))) ||
        field(13, value('h', field(1, '\x0801') || field(1, '\x0804'))) ||
        field(13, value('h', decode(repeat(encode(field(1, '\x0807'), 'hex'), 300), 'hex')))) ||
    field(8, '\x100d'), 'onnx') AS m;
SELECT t.name, t.shape FROM twice, tensors(cut_nodes(m, 0.5)) t ORDER BY t.name;
SELECT position(decode(repeat(encode(field(1, '\x0807'), 'hex'), 298), 'hex') IN model_write(cut_nodes(m, 0.5), 'onnx')) > 0 AS left_alone
FROM twice;

-- An Identity of two values, of which the first is smaller than what comes out:
-- its zeros are not those of a weight, and no node is dead by them.
CREATE TABLE broadcast AS
SELECT model_read('\x0808' || field(7,
        field(1, field(1, 'x') || field(1, 'w1') || field(2, 'unused') || field(4, 'MatMul')) ||
        field(1, field(1, 'v') || field(1, 'w1') || field(2, 'w') || field(4, 'Identity')) ||
        field(1, field(1, 'x') || field(1, 'w') || field(2, 'h') || field(4, 'MatMul')) ||
        field(1, field(1, 'h') || field(1, 'w2') || field(2, 'y') || field(4, 'MatMul')) ||
        field(2, 'g') || weight('w1', 4, 3, 4) || weight('w2', 9, 4, 2) || weight('v', 1, 1, 4) ||
        field(11, value('x', field(1, '\x0801') || field(1, '\x0803'))) ||
        field(12, value('y', field(1, '\x0801') || field(1, '\x0802')))) ||
    field(8, '\x100d'), 'onnx') AS m;
SELECT d.layer, d.nodes, d.cut, d.stays_because FROM broadcast, cut_dead_nodes_dry_run(m) d;

DROP SCHEMA cut_nodes CASCADE;
