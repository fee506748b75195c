-- Cutting layers.  That what is left computes what the smaller network does is
-- checked by the interop tests; here are names, shapes and refusals.

CREATE SCHEMA cut_layers;
SET search_path = cut_layers, public;
\set SHOW_CONTEXT never

-- Four blocks of two layers each, every weight of block n being n + 1, and one
-- layer before and one after them.
CREATE TABLE models (name text PRIMARY KEY, m model);
INSERT INTO models
SELECT 'bare', model_set_metadata(model_agg(name, data ORDER BY at),
    '{"config": {"num_hidden_layers": 4, "hidden_size": 4, "layer_types": ["a", "b", "c", "d"], "other": [1, 2, 3, 4, 5]},
      "gguf": {"metadata": {"llama.block_count": 4, "llama.heads": [8, 8, 4, 2], "tokenizer.tokens": ["w", "x", "y", "z"]}, "types": [1, 2, 3, 4]},
      "decoder_layers": 4, "n_layer": 12, "layer_kinds": {"encoder.layer.1.up": "Linear", "encoder.layer.3.down": "Linear", "first": "Linear"}}')
FROM (
    SELECT 1, 'first.weight', '{{1,1},{1,1},{1,1},{1,1}}'::real[]
    UNION ALL SELECT 2, 'first.bias', '{0,0,0,0}'
    UNION ALL SELECT 10 + 4 * n, format('encoder.layer.%s.up.weight', n), array_fill((n + 1)::real, '{6,4}') FROM generate_series(0, 3) n
    UNION ALL SELECT 11 + 4 * n, format('encoder.layer.%s.down.weight', n), array_fill((n + 1)::real, '{4,6}') FROM generate_series(0, 3) n
    UNION ALL SELECT 100, 'last.weight', '{{1,1,1,1},{1,1,1,1},{1,1,1,1}}'
    UNION ALL SELECT 101, 'square.weight', '{{1,2,3},{4,5,6},{7,8,9}}') v (at, name, data);
INSERT INTO models SELECT 'graph', set_graph(m, 'first:linear b0:relu
    encoder.layer.0.up:linear relu encoder.layer.0.down:linear b1:add(b0)
    encoder.layer.1.up:linear relu encoder.layer.1.down:linear b2:add(b1)
    encoder.layer.2.up:linear relu encoder.layer.2.down:linear b3:add(b2)
    encoder.layer.3.up:linear relu encoder.layer.3.down:linear add(b3) last:linear square:linear') FROM models WHERE name = 'bare';

SELECT d.* FROM models, cut_layers_dry_run(m, 'encoder.layer.1') d WHERE name = 'graph';
SELECT d.layer, stays_because FROM models, cut_layers_dry_run(m, '{}'::text[]) d WHERE name = 'bare' AND stays_because IS NOT NULL;

-- ---------- names, and what is left ----------

-- Blocks by name; the others are renumbered, and each keeps its weights.
CREATE FUNCTION left_of(m model) RETURNS text LANGUAGE sql AS
$$
SELECT string_agg(format('%s=%s', regexp_replace(t.name, 'encoder.layer.', ''), (SELECT max FROM stats(m) s WHERE s.name = t.name)), ' ') FROM tensors(m) t WHERE t.name LIKE 'encoder%'
$$;
SELECT name, left_of(cut_layers(m, '{encoder.layer.0,encoder.layer.2}')) FROM models ORDER BY name;
SELECT name, left_of(cut_layers(m, 'encoder.layer.[1-3]')) FROM models ORDER BY name;
SELECT name, left_of(cut_layers(m, 'encoder.layer.?')) FROM models ORDER BY name;
SELECT name, left_of(cut_layers(m, ARRAY['encoder.*.3'])) FROM models ORDER BY name;
SELECT left_of(cut_layers(m, 'encoder')) FROM models WHERE name = 'graph';
SELECT t.name FROM models, tensors(cut_layers(m, 'square')) t WHERE models.name = 'graph';
SELECT t.name FROM models, tensors(cut_layers(m, 'square')) t WHERE models.name = 'bare';
SELECT cut_layers(m, '{}'::text[]) = m AS nothing FROM models;
SELECT name, cut_layers(m, '{}') = m AS nothing FROM models ORDER BY name;

-- The graph closes the gap, and the output keeps its name.
SELECT n.op_type, inputs, outputs FROM models, nodes(cut_layers(m, 'encoder.layer.[1-3]')) n WHERE models.name = 'graph';
SELECT n.op_type, inputs, outputs FROM models, nodes(cut_layers(m, '{encoder.layer.?,square}')) n WHERE models.name = 'graph';
SELECT o.* FROM models, outputs(cut_layers(m, 'square')) o WHERE models.name = 'graph';
SELECT cut_layers(cut_layers(m, 'encoder.layer.0'), 'encoder.layer.0') = cut_layers(m, 'encoder.layer.[0-1]') AS one_by_one FROM models WHERE name = 'graph';

-- Untouched tensors are shared, and the metadata follows.
SELECT model_metadata(cut_layers(m, '{encoder.layer.1,encoder.layer.2}')) - 'recipe' FROM models WHERE name = 'graph';
SELECT model_metadata(cut_layers(m, '{encoder.layer.1,encoder.layer.2}')) #> '{recipe,1}' FROM models WHERE name = 'graph';
SELECT layer_cutting_rate(m, cut_layers(m, '{encoder.layer.1,encoder.layer.2}')) = 4 / 11.0 AS graph FROM models;

-- ---------- by importance ----------

SELECT amount, left_of(cut_layers(m, amount)) FROM models, unnest('{0, 0.25, 0.5, 0.6, 0.9, 1}'::float8[]) amount WHERE name = 'graph';
SELECT left_of(cut_layers(m, 0.25, method => 'importance')), model_metadata(cut_layers(m, 0.25)) #> '{recipe,0,arguments}' FROM models WHERE name = 'bare';
SELECT left_of(cut_layers(m, 0.5, 'similarity', '{"encoder.layer.0": 0.2, "encoder.layer.1": 0.99, "encoder.layer.2": 0.5, "encoder.layer.3": 0.7}')) FROM models WHERE name = 'graph';
-- Only layers that are told about, and can go.
SELECT left_of(cut_layers(m, 1, 'similarity', '{"encoder.layer.2": 0.5, "first": 1}')) FROM models WHERE name = 'graph';
SELECT layer, importance, cut FROM models, cut_layers_dry_run(m, 0.5) WHERE name = 'graph' AND layer ~ '\d$';

-- Whatever the cut would raise for, the dry run says.
SELECT layer, cut, new_name, stays_because FROM models, cut_layers_dry_run(m, '{first,encoder.layer.0.up,encoder.layer.1,square}') WHERE name = 'graph' AND layer !~ '[23]';
SELECT layer, cut, stays_because FROM models, cut_layers_dry_run(m, 'encoder') WHERE name = 'bare' AND layer ~ 'encoder(.layer.0)?$';
SELECT layer, cut, stays_because FROM models, cut_layers_dry_run(m, 0) WHERE name = 'bare' AND layer !~ '[123]';
-- Norms are not ranked, and where nothing can go there are rows all the same.
SELECT layer, cut, stays_because FROM cut_layers_dry_run((SELECT model_agg(name, data) FROM (VALUES ('a.weight', '{{1,2},{3,4}}'::real[]), ('n.weight', '{1,2}'), ('b.weight', '{{1,2}}')) v (name, data)), 1);
SELECT layer, cut, stays_because FROM cut_layers_dry_run((SELECT model_agg('b.weight', '{{1,2}}')), 0);

-- ---------- what a layer is ----------

-- A module that has a weight, with all that is under it: attention is one.
CREATE TABLE attention AS
SELECT model_agg(name, data) AS m FROM (VALUES ('attn.in_proj_weight', array_fill(1::real, '{6,2}')), ('attn.in_proj_bias', array_fill(1::real, '{6}')),
    ('attn.out_proj.weight', '{{1,2},{3,4}}'), ('attn.out_proj.bias', '{1,2}'), ('up.weight', '{{1,2},{3,4}}')) v (name, data);
SELECT d.* FROM attention, cut_layers_dry_run(m, 0.5) d;
SELECT d.layer, tensors, stays_because FROM attention, cut_layers_dry_run(set_graph(m, 'attn:attention(1) up:linear'), 0) d;
SELECT t.name FROM attention, tensors(cut_layers(set_graph(m, 'attn:attention(1) up:linear'), 'attn')) t;
SELECT cut_layers(m, 'attn.out_proj') FROM attention;

-- ---------- refusals ----------

SELECT cut_layers(m, 'first') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 'first') FROM models WHERE name = 'bare';
SELECT cut_layers(m, 'encoder.layer.0.up') FROM models WHERE name = 'graph';
SELECT cut_layers(m, '{encoder.layer.0.up,encoder.layer.0.down}') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 'encoder') FROM models WHERE name = 'bare';
SELECT cut_layers(m, 'encoder.layer.4') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 'encoder.layer.[3-4]') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 'encoder.layer.[3-1]') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 'nothing*') FROM models WHERE name = 'graph';
SELECT cut_layers(m, '') FROM models WHERE name = 'graph';
SELECT cut_layers(m, '{a') FROM models WHERE name = 'graph';
SELECT cut_layers(m, ARRAY['first', NULL]) FROM models WHERE name = 'graph';
SELECT cut_layers(m, NULL::text) FROM models WHERE name = 'graph';
SELECT cut_layers(m, NULL::float8) FROM models WHERE name = 'graph';
SELECT cut_layers(m, 2) FROM models WHERE name = 'graph';
SELECT cut_layers(m, 0.5, 'size') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 0.5, 'similarity') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 0.5, similarity => '{}') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 0.5, 'similarity', '[]') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 0.5, 'similarity', '{"first": "x"}') FROM models WHERE name = 'graph';
SELECT cut_layers(m, 0.5, 'similarity', '{}') FROM models WHERE name = 'graph';
SELECT cut_layers(NULL, 'a') IS NULL AS null_model, cut_layers(NULL, 0.5) IS NULL AS null_model_too;
-- Blocks that differ cannot stand for each other without a graph.
SELECT cut_layers(model_agg(name, data), 'b.1') FROM (VALUES ('b.0.w', '{{1,2},{3,4}}'::real[]), ('b.1.w', '{{1,2}}')) v (name, data);
-- Something has to be left.
SELECT cut_layers(model_agg(name, data), 1) FROM (VALUES ('b.0.w', '{{1,2},{3,4}}'::real[]), ('b.1.w', '{{1,2},{3,4}}')) v (name, data);
-- A layer that comes again, with another one in between, and one whose result
-- is the model's output.
SELECT cut_layers(set_graph(model_agg(name, data), 'a:linear b:linear a:linear'), 'b') IS NOT NULL AS ok
FROM (VALUES ('a.weight', '{{1,2},{3,4}}'::real[]), ('b.weight', '{{1,2},{3,4}}')) v (name, data);
SELECT cut_layers(set_graph(model_agg(name, data), 'a:linear b:linear a:linear'), 'a')
FROM (VALUES ('a.weight', '{{1,2},{3,4}}'::real[]), ('b.weight', '{{1,2},{3,4}}')) v (name, data);
SELECT cut_layers(set_graph(model_agg(name, data), 'a:linear b:linear'), '{a,b}') FROM (VALUES ('a.weight', '{{1,2},{3,4}}'::real[]), ('b.weight', '{{1,2},{3,4}}')) v (name, data);

-- Numbers with a gap, as of layers between activations, are names and stay.
SELECT t.name FROM (SELECT cut_layers(model_agg(name, data ORDER BY name), 'net.2') FROM (VALUES ('net.0.weight', '{{1,2},{3,4}}'::real[]), ('net.2.weight', '{{1,2},{3,4}}'),
    ('net.4.weight', '{{1,2},{3,4}}')) v (name, data)) x (m), tensors(m) t;

DROP SCHEMA cut_layers CASCADE;
