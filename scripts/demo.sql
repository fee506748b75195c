-- The story that "make demo" shows.  The server has digits_mlp.pth in its data
-- folder: a perceptron trained on scikit-learn's handwritten digits, saved by
-- torch.save; digits_mlp.onnx: the same, exported with its graph; and
-- digits_test.csv: a hundred digits that it never saw.  The variable runs says
-- whether there is ONNX Runtime, which models run in.

\set ECHO none
\pset footer off
\pset null '-'
-- Few digits, so that rows fit a screen.
SET extra_float_digits = -10;
\set ECHO queries

\echo
\echo '==== A PyTorch checkpoint becomes a value ===='
\echo

CREATE EXTENSION modelopt;

CREATE TABLE zoo (name text PRIMARY KEY, m model);

INSERT INTO zoo
SELECT 'digits', model_read(pg_read_binary_file('digits_mlp.pth'));

\echo
\echo '==== What is in it: tensors, layers, statistics of the weights ===='
\echo

SELECT t.name, dtype, shape, parameters, bytes, encoding FROM zoo, tensors(m) t;

SELECT l.* FROM zoo, layers(m) l;

SELECT s.name, min, max, mean, stddev, l2, zeros, sparsity FROM zoo, stats(m) s;

SELECT num_parameters(m), model_size(m), sparsity(m) FROM zoo;

SELECT jsonb_pretty(model_info(m)) AS model_info FROM zoo;

\set ECHO none
SET extra_float_digits = -1;
\set ECHO queries
\echo
\echo '==== One tensor is an array, out and in ===='
\echo

SELECT (tensor(m, 'layer1.weight'))[1:2][3:6] FROM zoo;

SELECT tensor(model_set(m, 'layer3.bias', array_fill(0.5::real, '{10}')), 'layer3.bias') FROM zoo;

\echo
\echo '==== Half of the weights go ===='
\echo

INSERT INTO zoo SELECT 'digits, pruned', m FROM zoo WHERE name = 'digits';

UPDATE zoo SET m = prune(m, 0.5) WHERE name = 'digits, pruned';

SELECT t.name, encoding, bytes FROM zoo, tensors(m) t WHERE zoo.name = 'digits, pruned';

SELECT a.name, b.name, pruning_rate(a.m, b.m), compression_rate(a.m, b.m)
FROM zoo a, zoo b WHERE a.name = 'digits' AND b.name = 'digits, pruned';

SELECT jsonb_pretty(model_metadata(m) -> 'recipe') AS recipe FROM zoo WHERE name = 'digits, pruned';

\echo
\echo '==== What did it cost?  The data is next to the model: ask it ===='
\echo

CREATE TABLE digits AS
SELECT row_number() OVER () AS id, fields[1]::int AS label, fields[2:]::real[] AS pixels
FROM regexp_split_to_table(pg_read_file('digits_test.csv'), E'\n') line,
     string_to_array(trim(line), ',') fields
WHERE line ~ '^\d';

CREATE FUNCTION linear(m model, layer text, x real[]) RETURNS real[] LANGUAGE sql AS $$
    SELECT array_agg(b[i] + (SELECT sum(w[i][j] * x[j]) FROM generate_subscripts(w, 2) j) ORDER BY i)
    FROM tensor(m, layer || '.weight') w, tensor(m, layer || '.bias') b, generate_subscripts(w, 1) i
$$;

CREATE FUNCTION relu(x real[]) RETURNS real[] LANGUAGE sql AS $$
    SELECT array_agg(greatest(v, 0) ORDER BY i) FROM unnest(x) WITH ORDINALITY u (v, i)
$$;

CREATE FUNCTION read_digit(m model, pixels real[]) RETURNS int LANGUAGE sql AS $$
    SELECT array_position(y, (SELECT max(v) FROM unnest(y) v)) - 1
    FROM (SELECT array_agg((p / 16)::real) FROM unnest(pixels) p) input (x),
         linear(m, 'layer1', x) a, linear(m, 'layer2', relu(a)) b, linear(m, 'layer3', relu(b)) y
$$;

SELECT amount, sparsity(p), model_size(p) AS bytes,
       (SELECT count(*) FILTER (WHERE read_digit(p, pixels) = label) FROM digits) AS digits_read_of_100
FROM zoo, unnest('{0, 0.3, 0.5, 0.7, 0.9}'::float8[]) amount, prune(m, amount) p
WHERE name = 'digits';

\echo
\echo '==== Whole neurons go, and the tensors become smaller ===='
\echo

CREATE TEMP TABLE graphs AS
SELECT set_graph(m, 'layer1:linear relu layer2:linear relu layer3:linear') AS m FROM zoo WHERE name = 'digits';
SELECT layer, nodes, cut, indexes, stays_because FROM graphs, cut_nodes_dry_run(m, 0.25);

SELECT amount, node_cutting_rate(m, c) AS nodes_gone, num_parameters(c) AS parameters, model_size(c) AS bytes,
       (SELECT count(*) FILTER (WHERE read_digit(c, pixels) = label) FROM digits) AS digits_read_of_100
FROM graphs, unnest('{0, 0.1, 0.25, 0.5}'::float8[]) amount, cut_nodes(m, amount) c;

-- Nodes that lost all connections go without changing what is computed.
SELECT num_parameters(p) AS parameters, num_parameters(d) AS without_dead_nodes,
       (SELECT bool_and(read_digit(p, pixels) = read_digit(d, pixels)) FROM digits) AS reads_the_same
FROM graphs, cut_edges(m, 0.8) p, cut_dead_nodes(p) d;

\echo
\echo '==== And back: a file that torch.load opens ===='
\echo

SELECT name, length(file) AS bytes, model_read(file) = m AS reads_back_equal
FROM zoo, model_write(m, 'pytorch') file;

\echo
\echo '==== Other formats: an ONNX model has its graph with it ===='
\echo

INSERT INTO zoo SELECT 'with a graph', model_load('digits_mlp.onnx');

SELECT i.* FROM zoo, inputs(m) i WHERE zoo.name = 'with a graph';

SELECT position, op_type, inputs, outputs FROM zoo, nodes(m) WHERE zoo.name = 'with a graph';

SELECT format, length(model_write(prune(m, 0.5), format)) AS bytes
FROM zoo, unnest('{onnx,safetensors,gguf,npz,pytorch}'::text[]) format WHERE name = 'with a graph';

SELECT format, extensions FROM model_formats();

\echo
\echo '==== Integers of 8 bits, few values, products: smaller, and what it cost ===='
\echo

SELECT what, model_size(s) AS bytes, compression_rate(m, s),
       (SELECT max_error FROM report(m, s) WHERE name IS NULL) AS max_error,
       (SELECT count(*) FILTER (WHERE read_digit(s, pixels) = label) FROM digits) AS digits_read_of_100
FROM zoo, LATERAL (VALUES ('quantize int8', quantize(m, 'int8')), ('quantize int4', quantize(m, 'int4', group_size => 32)),
    ('prune, then int8', quantize(prune(m, 0.3), 'int8')), ('compress cluster', compress(m, 'cluster', bits => 4)),
    ('compress lossless', compress(m, 'lossless'))) smaller (what, s)
WHERE name = 'digits';

\if :runs
\echo
\echo '==== What each of them costs: the model runs where the data is ===='
\echo

CREATE VIEW holdout AS
SELECT (SELECT array_agg((p / 16)::real) FROM unnest(pixels) p) AS pixels, label, id FROM digits;

SELECT e.* FROM zoo, evaluate(m, 'SELECT pixels, label FROM holdout') e WHERE name = 'with a graph';

\set ECHO none
SET client_min_messages = warning;
\set ECHO queries
SELECT what, model_size(s) AS bytes, num_parameters(s) AS parameters, accuracy, log_loss
FROM zoo, calibrate(m, 'SELECT pixels FROM holdout') c, LATERAL (VALUES
    (1, 'as trained', m), (2, 'prune half', prune(m, 0.5)), (3, 'prune half, wanda', prune(m, 0.5, 'wanda', activation_norms => c.activation_norms)),
    (4, 'prune 2 of 4', prune(m, method => 'n:m', n => 2, m_of => 4)), (5, 'cut a quarter of layer1''s nodes', cut_nodes(m, 0.25, include => '{layer1}')),
    (6, 'cut half of all nodes', cut_nodes(m, 0.5)), (7, 'quantize int8', quantize(m, 'int8')),
    (8, 'quantize int8, activations too', quantize(m, 'int8', activation_ranges => c.activation_ranges)),
    (9, 'quantize int4', quantize(m, 'int4', group_size => 32)), (10, 'compress cluster, 8 values', compress(m, 'cluster', bits => 3)),
    (11, 'compress lowrank', compress(m, 'lowrank', energy => 0.9))) v (number, what, s),
    LATERAL (SELECT max(value) FILTER (WHERE metric = 'accuracy') AS accuracy, max(value) FILTER (WHERE metric = 'log_loss') AS log_loss
             FROM evaluate(s, 'SELECT pixels, label FROM holdout')) e
WHERE name = 'with a graph' ORDER BY number;
\set ECHO none
RESET client_min_messages;
\set ECHO queries
\endif

\echo
\echo '==== A name, versions, and what each of them is ===='
\echo

SELECT modelopt.commit('digits', m, 'as trained', params => '{"lr": 1e-3}', metrics => '{"accuracy": 0.93}') AS version
FROM zoo WHERE name = 'digits';

SELECT modelopt.commit('digits', prune(modelopt.get('digits'), 0.5), 'half of the weights') AS version;

SELECT version, author, message, relation, parent, sparsity, raw_bytes, new_bytes, stored_bytes FROM modelopt.log('digits');

SELECT tensor, status, changed_pct, rel_l2, sparsity_a, sparsity_b, delta_bytes FROM modelopt.diff('digits#1', 'digits#2');

SELECT tensor, version, author, message FROM modelopt.blame('digits');

\echo
\echo '==== What is in production, and back to what was ===='
\echo

SELECT modelopt.alias('digits', 'champion', 'digits#1', reason => 'the first one');

SELECT modelopt.alias('digits', 'champion', 'digits#2', reason => 'as good, and half of the size');

SELECT count(*) FILTER (WHERE read_digit(modelopt.get('digits@champion'), pixels) = label) AS digits_read_of_100 FROM digits;

SELECT modelopt.rollback('digits', 'champion', reason => 'p99 doubled') AS champion;

SELECT name, old_version, new_version, operation, reason, actor FROM modelopt.reflog WHERE kind = 'alias' ORDER BY at;

SELECT number, operation, details ->> 'after' AS after, left(hash, 16) AS hash FROM modelopt.audit ORDER BY number;

SELECT * FROM modelopt.audit_verify();

\if :runs
\echo
\echo '==== Predictions, next to the data ===='
\echo

-- The champion gets a graph, so that it can run.
SELECT modelopt.commit('reader', m, 'with its graph') AS version FROM zoo WHERE name = 'with a graph';
SELECT modelopt.alias('reader', 'champion', 'reader#1', reason => 'reads well');

SELECT id, h.label AS truth, c.* FROM holdout h, classify('reader@champion', pixels) c LIMIT 3;

SELECT id, prediction[1:3] AS first_scores FROM predict_rows('reader@champion', 'SELECT id, pixels FROM holdout') LIMIT 3;

SELECT count(*) FILTER (WHERE (classify('reader@champion', pixels)).label = label::text) AS digits_read_of_100 FROM holdout;

SELECT * FROM evaluate('reader@champion', 'SELECT pixels, label FROM holdout');

\echo
\echo '==== What the versions do, and whether their input is still what it was ===='
\echo

SELECT modelopt.set_reference('reader@champion', 'SELECT pixels FROM holdout') AS rows;

-- The same digits, and then all of them with the light on.
SELECT count(*) FROM predict_rows('reader@champion', 'SELECT id, pixels FROM holdout, generate_series(1, 5)');
SELECT count(*) FROM predict_rows('reader@champion', 'SELECT id, ARRAY(SELECT p + 0.5 FROM unnest(pixels) p) FROM holdout, generate_series(1, 5)');

SELECT model_name, version, calls, rows, errors, round(mean_time::numeric, 3) AS mean_ms, round(p99_time::numeric, 3) AS p99_ms, cache_hits
FROM modelopt.stat_models ORDER BY 1, 2;

SELECT status, count(*) AS features, round(max(psi)::numeric, 2) AS most_psi, round(max(psi_noise_floor)::numeric, 2) AS noise_floor
FROM modelopt.stat_drift WHERE model_name = 'reader' GROUP BY status ORDER BY status;

-- All of it on one page, to open in a browser: psql -At -c "SELECT modelopt.report_html('reader')" > reader.html
SELECT length(modelopt.report_html('reader')) > 10000 AS page;

\echo
\echo '==== So it can be asked what may go, and take that ===='
\echo

SELECT layer, amount, value AS accuracy, "drop" FROM zoo, sensitivity(m, 'SELECT pixels, label FROM holdout') WHERE name = 'with a graph';

SELECT modelopt.commit('smaller', m, 'as trained') AS version FROM zoo WHERE name = 'with a graph';

SELECT step, recipe, value, "drop", bytes, version
FROM optimize('smaller', 'SELECT pixels, label FROM holdout', max_drop => 0.01) WHERE kept;

SELECT version, message, relation FROM modelopt.log('smaller');
\endif
