-- Cutting edges, and the nodes that are dead afterwards.  Expected values are
-- torch's (cut.csv, test/data/make_cut.py).

CREATE SCHEMA cut_edges;
SET search_path = cut_edges, public;
\set SHOW_CONTEXT never
\set mlp `base64 < test/data/digits_mlp.pth | tr -d '\n'`
CREATE TABLE models (name text PRIMARY KEY, m model);
INSERT INTO models SELECT 'bare', model_read(decode(:'mlp', 'base64'));
INSERT INTO models SELECT 'mlp', set_graph(m, 'layer1:linear relu layer2:linear relu layer3:linear') FROM models WHERE name = 'bare';
CREATE TABLE expected ("case" text, tensor text, shape bigint[], sha256 text);
\copy expected FROM 'test/data/cut.csv' WITH (FORMAT csv, HEADER)
CREATE TABLE expected_nodes ("case" text, layer text, indexes int[]);
\copy expected_nodes FROM 'test/data/cut_nodes.csv' WITH (FORMAT csv, HEADER)
CREATE FUNCTION sums(m model) RETURNS TABLE (tensor text, shape bigint[], sha256 text) LANGUAGE sql AS
$$
SELECT t.name, t.shape, (SELECT encode(sha256(string_agg(float4send(v), '' ORDER BY at)), 'hex') FROM unnest(tensor(m, t.name)) WITH ORDINALITY u (v, at))
FROM tensors(m) t
$$;

INSERT INTO models SELECT 'mlp_edges_0.9', cut_edges(m, 0.9) FROM models WHERE name = 'mlp';
INSERT INTO models SELECT 'mlp_dead_0.9', cut_edges(m, 0.9, dead_nodes => true) FROM models WHERE name = 'mlp';
SELECT e."case", count(*) AS tensors, bool_and(s.shape = e.shape) AS shapes, bool_and(s.sha256 = e.sha256) AS bits
FROM models, sums(m) s JOIN expected e USING (tensor) WHERE e."case" = models.name GROUP BY 1 ORDER BY 1;
SELECT t.name, t.shape, encoding FROM models, tensors(m) t WHERE models.name = 'mlp_edges_0.9';
SELECT layer, nodes, cut, d.indexes = e.indexes AS expected, stays_because FROM models, cut_dead_nodes_dry_run(m) d LEFT JOIN expected_nodes e USING (layer)
WHERE name = 'mlp_edges_0.9' AND coalesce(e."case", 'mlp_dead_0.9') = 'mlp_dead_0.9';

-- One machinery: the same as pruning, under another name.
SELECT cut_edges(m, 0.7) = prune(m, 0.7) AS global, cut_edges(m, 0.7, scope => 'layer') = prune(m, 0.7, scope => 'layer') AS layer,
       cut_edges(m, 0.5, include => '{layer2*}') = prune(m, 0.5, include => '{layer2*}') AS included FROM models WHERE name = 'mlp';
SELECT count(*), bool_and(a = b) AS same FROM models, cut_edges_dry_run(m, 0.6, exclude => '{layer1*}') a JOIN LATERAL prune_dry_run(m, 0.6, exclude => '{layer1*}') b USING (name)
WHERE models.name = 'mlp';
SELECT cut_edges(m, 0.5, 'l2') = prune(m, 0.5, 'l2') AS l2, cut_edges(m, 0.5, 'random', seed => 7) = prune(m, 0.5, 'random', seed => 7) AS random,
       cut_edges(m, 0.5, 'random', seed => 7) <> cut_edges(m, 0.5, 'random', seed => 8) AS other,
       (SELECT sum(pruned) FROM cut_edges_dry_run(m, 0.5, 'random', include => '{layer1*}')) AS half_of_2048 FROM models WHERE name = 'mlp';
SELECT model_metadata(cut_edges(m, 0.5, 'random', seed => 7)) #> '{recipe,1,arguments}' AS arguments FROM models WHERE name = 'mlp';
-- Models without a graph have edges too.
SELECT sparsity(cut_edges(m, 0.5)) > 0.48 AS sparse FROM models WHERE name = 'bare';

-- Dead nodes go once; when there are none, the model is as it was.
SELECT cut_dead_nodes(m) = m AS same, model_metadata(cut_dead_nodes(m)) = model_metadata(m) AS same_recipe FROM models WHERE name IN ('mlp', 'mlp_dead_0.9');
SELECT model_metadata(m) -> 'recipe' FROM models WHERE name = 'mlp_dead_0.9';
SELECT node_cutting_rate(a.m, b.m) = 16 / 58.0 AS rate FROM models a, models b WHERE a.name = 'mlp' AND b.name = 'mlp_dead_0.9';

-- A layer whose nodes are all dead keeps one.
SELECT t.name, t.shape FROM models, tensors(cut_dead_nodes(model_set(m, 'layer3.weight', array_fill(0::real, '{10,16}')))) t WHERE models.name = 'mlp';
-- A bias is something; without it the node is always zero.
SELECT layer, indexes FROM models, cut_dead_nodes_dry_run(prune(m, 1, include => '{layer1.weight}')) WHERE name = 'mlp' AND cut > 0;
SELECT layer, cut FROM models, cut_dead_nodes_dry_run(prune(m, 1, include => '{layer1.weight,layer1.bias}')) WHERE name = 'mlp' AND cut > 0;

-- Refusals.
SELECT cut_edges(m) FROM models WHERE name = 'mlp';
SELECT cut_edges(m, 2) FROM models WHERE name = 'mlp';
SELECT cut_edges(m, 0.5, scope => 'tensor') FROM models WHERE name = 'mlp';
SELECT cut_edges(m, NULL) FROM models WHERE name = 'mlp';
SELECT cut_edges(m, 0.5, 'threshold') FROM models WHERE name = 'mlp';
SELECT cut_edges(m, 0.5, seed => 1) FROM models WHERE name = 'mlp';
SELECT cut_edges(m, 0.5, include => '{nothing}') FROM models WHERE name = 'mlp';
SELECT cut_dead_nodes(m) FROM models WHERE name = 'bare';
SELECT cut_edges(m, 0.5, dead_nodes => true) FROM models WHERE name = 'bare';
SELECT cut_edges(NULL, 0.5) IS NULL AS null_model, cut_dead_nodes(NULL) IS NULL AS null_model_too;

DROP SCHEMA cut_edges CASCADE;
