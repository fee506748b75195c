-- Graphs from a short text, and layers.  That the graphs compute what PyTorch
-- does is checked by the interop tests; here is what they look like, and what is
-- refused.

CREATE SCHEMA graph;
SET search_path = graph, public;
\set mlp `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.pth | tr -d '\n'`
\set tied `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set mlp_onnx `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
\set functions `base64 < test/data/graph_functions.onnx | tr -d '\n'`
CREATE TABLE models (name text PRIMARY KEY, m model);
INSERT INTO models SELECT name, model_read(decode(base64, 'base64'))
FROM (VALUES ('mlp', :'mlp'), ('cnn', :'cnn'), ('tied', :'tied'), ('mlp_onnx', :'mlp_onnx'), ('functions', :'functions')) v (name, base64);

-- ---------- what a graph is ----------

INSERT INTO models SELECT 'mlp_graph', set_graph(m, 'layer1:linear relu layer2:linear relu layer3:linear softmax') FROM models WHERE name = 'mlp';
SELECT i.* FROM models, inputs(m) i WHERE models.name = 'mlp_graph';
SELECT o.* FROM models, outputs(m) o WHERE models.name = 'mlp_graph';
SELECT n.name, op_type, inputs, outputs, attributes FROM models, nodes(m) n WHERE models.name = 'mlp_graph';
SELECT model_metadata(m) -> 'recipe' FROM models WHERE name = 'mlp_graph';

-- Nothing but the graph is new: tensors are the same, and the file comes back
-- as the same model.
SELECT set_graph(b.m, 'layer1:linear') <> b.m AS differs,
       (SELECT array_agg(x ORDER BY x) FROM stats(a.m) x) = (SELECT array_agg(x ORDER BY x) FROM stats(b.m) x) AS tensors
FROM models a, models b WHERE a.name = 'mlp_graph' AND b.name = 'mlp';
WITH back AS (SELECT m, model_read(model_write(m, 'onnx')) AS again FROM models WHERE name = 'mlp_graph')
SELECT (SELECT array_agg(n) FROM nodes(m) n) = (SELECT array_agg(n) FROM nodes(again) n) AS nodes,
       (SELECT array_agg(s) FROM stats(m) s) = (SELECT array_agg(s) FROM stats(again) s) AS tensors FROM back;
SELECT m::text::model = m AS same FROM models WHERE name = 'mlp_graph';

-- The same as jsonb; blanks are free.
SELECT set_graph(m, '[{"op": "linear", "name": "layer1"}, "relu", {"op": "linear", "name": "layer2"}, "relu layer3:linear", {"op": "softmax", "axis": -1}]'::jsonb)
       = set_graph(m, E'\n layer1:linear\trelu\n\nlayer2:linear  relu layer3:linear softmax( axis = -1 ) ') AS same
FROM models WHERE name = 'mlp';
-- A literal of JSON is text to PostgreSQL, and JSON to us.
SELECT j = t AS same, model_metadata(j) -> 'recipe' = model_metadata(b) -> 'recipe' AS same_recipe
FROM models, set_graph(m, ' [{"op": "linear", "name": "layer1"}, "relu"]') j, set_graph(m, '[{"op": "linear", "name": "layer1"}, "relu"]'::jsonb) b,
    set_graph(m, 'layer1:linear relu') t WHERE models.name = 'mlp';

-- Names of values are all different, whatever steps and tensors are called.
SELECT n.name, n.outputs FROM models, nodes(set_graph(m, 'layer1:linear relu relu_2:relu relu_2:tanh layer2:linear')) n WHERE models.name = 'mlp';
SELECT n.name, n.outputs FROM (SELECT model_agg(name, array_fill(1::real, '{2, 2}')) AS m FROM unnest('{a.weight,/a/Gemm_output_0,output}'::text[]) name) x,
    nodes(set_graph(m, 'a:linear relu')) n;

-- Shapes are inferred: a picture of any size, where the convolution says so.
INSERT INTO models SELECT 'cnn_graph', set_graph(m, 'input(1x8x8) conv1:conv2d(padding=1) bn1:batchnorm relu maxpool(2)
    conv2:conv2d(padding=same) bn2:batchnorm relu maxpool(2x2, stride=2) flatten dropout(0.5) fc:linear') FROM models WHERE name = 'cnn';
SELECT i.* FROM models, inputs(m) i WHERE models.name = 'cnn_graph';
SELECT i.* FROM models, inputs(set_graph(m, 'conv1:conv2d relu global_avgpool')) i WHERE models.name = 'cnn';
SELECT o.* FROM models, outputs(set_graph(m, 'conv1:conv2d(stride=2, dilation=1x2) silu avgpool(3, padding=1)')) o WHERE models.name = 'cnn';
SELECT n.op_type, n.attributes FROM models, nodes(m) n WHERE models.name = 'cnn_graph' AND n.op_type IN ('Conv', 'MaxPool', 'BatchNormalization');

-- Tokens, residual additions by name, attention.
SELECT n.op_type, count(*) FROM models, nodes(set_graph(m, 'embed:embedding attention:attention(heads=2) add(embed) norm1:layernorm
    up:linear gelu down:linear add(norm1) norm2:layernorm output:linear')) n WHERE models.name = 'tied' GROUP BY 1 ORDER BY 1;
SELECT i.* FROM models, inputs(set_graph(m, 'embed:embedding norm1:layernorm')) i WHERE models.name = 'tied';
SELECT o.* FROM models, outputs(set_graph(m, 'embed:embedding norm1:layernorm up:linear u:relu from_norm:tanh(from=norm1) concat(u, axis=-1)')) o
WHERE models.name = 'tied';

-- ---------- layers ----------

SELECT l.* FROM models, layers(m) l WHERE models.name = 'mlp_onnx';
SELECT l.* FROM models, layers(m) l WHERE models.name = 'cnn_graph';
SELECT l.* FROM models, layers(set_graph(m, 'embed:embedding attention:attention(2) norm1:layernorm')) l WHERE models.name = 'tied';
-- A name without a dot belongs to the node that takes it.
SELECT l.name, kind, l.tensors FROM models, layers(m) l WHERE models.name = 'functions';

-- ---------- refusals ----------

\set SHOW_CONTEXT never
CREATE FUNCTION refusal(model text, architecture text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    message text;
    detail text;
    hint text;
BEGIN
    PERFORM set_graph(m, architecture) FROM models WHERE name = model;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', SQLSTATE || ': ' || message || '.', nullif(detail, ''), nullif(left(hint, 60), ''));
END
$$;
INSERT INTO models SELECT 'half', quantize(m, 'fp16') FROM models WHERE name = 'mlp';
INSERT INTO models SELECT 'all', model_read(model_write(m, 'gguf', 'f32')) FROM models WHERE name = 'half';
SELECT refusal('mlp', architecture) FROM unnest(ARRAY['', '   ', 'input(64)', 'dropout', 'layer1:linaer', ':linear', 'layer1:', 'linear', 'nothing:linear',
    'layer1:linear layer3:linear', 'relu', 'flatten layer1:linear', 'layer1:layernorm', 'layer1:linear(', 'layer1:linear(,)', 'layer1:linear(3)', 'layer1:linear(heads=3)',
    'layer1:linear(from=nobody)', 'layer1:linear(from=input, from=input)', 'layer1:linear relu(from=)', 'layer1:linear input(64)', 'input relu',
    'input(32) layer1:linear', 'input(0) layer1:linear', 'input(64x) layer1:linear', 'input(1x1x1x1x1x1x1x1x1) relu', 'input(-3) relu',
    'input(99999999999) relu', 'layer1:linear softmax(2)', 'layer1:linear softmax(a)', 'layer1:linear softmax(axis=1, axis=1)',
    'layer1:linear add', 'layer1:linear a:relu layer2:linear add(a)', 'layer1:linear layer2:linear concat(layer1, axis=0)', 'layer1:linear maxpool(2)',
    'layer1:linear leaky_relu(-1)', 'layer1:linear leaky_relu(nan)', 'layer1:linear global_avgpool', 'layer1:conv2d', 'layer1:batchnorm',
    'input(3x4) layer1:linear', 'layer1:attention(2)', 'layer1:linear layer1:embedding']) architecture;
SELECT refusal('cnn', architecture) FROM unnest(ARRAY['conv1:conv2d conv1:conv2d', 'conv1:conv2d(groups=3)', 'conv1:conv2d(stride=0)', 'conv1:conv2d(stride=1x1x1)',
    'conv1:conv2d(padding=same, stride=2)', 'conv1:conv2d maxpool', 'input(1x2x2) conv1:conv2d', 'conv1:conv1d', 'conv1:conv2d bn2:batchnorm', 'bn1:layernorm',
    'input(1x8x8) conv1:conv2d(padding=1) a:relu maxpool(2) add(a)', 'conv1:conv2d a:relu flatten add(a)']) architecture;
SELECT refusal('tied', architecture) FROM unnest(ARRAY['embed:embedding attention:attention', 'embed:embedding attention:attention(3)', 'embed:embedding relu(from=input)',
    'embed:embedding add(input)', 'embed:embedding embed:embedding', 'embed:embedding norm1:layernorm(eps=x)']) architecture;
SELECT refusal('mlp', architecture) FROM unnest(ARRAY['layer1:Linear', 'layer1:linear ReLU', 'layer1:linear, relu', 'conv1:conv2d(padding=1), relu', 'layer1:linear MaxPool2d(2)',
    'layer1:linear LeakyReLU', 'layer1:MultiheadAttention', '[{"op": "Linear", "name": "layer1"}]', '["layer1:linear"', '{"op": "linear"}', '[]']) architecture;
-- A graph computes with one dtype.
SELECT refusal('half', 'layer1:linear relu');
SELECT refusal('all', 'layer1:linear relu layer2:linear relu layer3:linear');
SELECT refusal('mlp', 'layer1:linear' || repeat(' relu', 5000));
SELECT refusal('mlp', 'layer1:linear' || repeat(' ', 1100000));

-- What is not used is said, but for counters of batch norms.
SELECT count(*) FROM models, nodes(set_graph(m, 'layer1:linear')) WHERE models.name = 'mlp';
SELECT count(*) FROM models, nodes(set_graph(m, 'conv1:conv2d bn1:batchnorm')) WHERE models.name = 'cnn';
SELECT count(*) FROM models, nodes(set_graph(m, 'conv1:conv2d bn1:batchnorm conv2:conv2d bn2:batchnorm global_maxpool flatten')) WHERE models.name = 'cnn';

-- jsonb that is none.
SELECT set_graph(m, '{"op": "relu"}'::jsonb) FROM models WHERE name = 'mlp';
SELECT set_graph(m, '"relu"'::jsonb) FROM models WHERE name = 'mlp';
SELECT set_graph(m, '[1]'::jsonb) FROM models WHERE name = 'mlp';
SELECT set_graph(m, '[{"name": "layer1"}]'::jsonb) FROM models WHERE name = 'mlp';
SELECT set_graph(m, '[{"op": 1}]'::jsonb) FROM models WHERE name = 'mlp';
SELECT set_graph(m, '[{"op": "linear", "name": "layer1", "from": true}]'::jsonb) FROM models WHERE name = 'mlp';
SELECT set_graph(m, '[{"op": "linear", "name": "layer1", "from": [[]]}]'::jsonb) FROM models WHERE name = 'mlp';
SELECT set_graph(NULL::model, 'relu') IS NULL AS null_model;
SELECT set_graph(m, NULL::text) FROM models WHERE name = 'mlp';
SELECT set_graph(m, NULL::jsonb) FROM models WHERE name = 'mlp';

-- Types that do not compute together: this format keeps biases as f32.
SELECT set_graph(model_read(model_write(m, 'gguf', 'f16')), 'layer1:linear') FROM models WHERE name = 'mlp';
-- Blocks of quantized floats are floats.
SELECT o.* FROM models, outputs(set_graph(model_read(model_write(m, 'gguf', 'q8_0')), 'layer1:linear relu layer2:linear')) o
WHERE models.name = 'mlp';

-- The literal is text, not jsonb.
SELECT pg_typeof(set_graph(m, '[]'::jsonb)) FROM models WHERE name = 'mlp';

DROP SCHEMA graph CASCADE;
