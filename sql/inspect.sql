-- What a model has: tensors, layers, statistics, sizes, summary.  Figures of
-- checkpoints were computed with torch and numpy from the same files.

CREATE TABLE models (name text PRIMARY KEY, m model);
\set mlp `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.pth | tr -d '\n'`
\set transformer `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set dtypes `base64 < test/data/dtypes.pth | tr -d '\n'`
\set dtypes2 `base64 < test/data/dtypes2.pth | tr -d '\n'`
\set shapes `base64 < test/data/shapes.pth | tr -d '\n'`
INSERT INTO models VALUES
    ('mlp', model_read(decode(:'mlp', 'base64'))),
    ('cnn', model_read(decode(:'cnn', 'base64'))),
    ('transformer', model_read(decode(:'transformer', 'base64'))),
    ('dtypes', model_read(decode(:'dtypes', 'base64'))),
    ('dtypes2', model_read(decode(:'dtypes2', 'base64'))),
    ('shapes', model_read(decode(:'shapes', 'base64')));

-- Tensors, in the order of the file.
SELECT t.* FROM models s, tensors(m) t WHERE s.name = 'mlp';
SELECT t.* FROM models s, tensors(m) t WHERE s.name = 'cnn';
SELECT t.* FROM models s, tensors(m) t WHERE s.name = 'transformer';
SELECT t.* FROM models s, tensors(m) t WHERE s.name = 'dtypes';
SELECT t.* FROM models s, tensors(m) t WHERE s.name = 'dtypes2';
SELECT t.* FROM models s, tensors(m) t WHERE s.name = 'shapes';

-- Layers.
SELECT l.* FROM models s, layers(m) l WHERE s.name = 'mlp';
SELECT l.* FROM models s, layers(m) l WHERE s.name = 'cnn';
SELECT l.* FROM models s, layers(m) l WHERE s.name = 'transformer';

-- Numbers of the whole; tied tensors count once.
SELECT name, num_parameters(m), sparsity(m), model_size(m) = length(bytea(m)) + 4 AS size_right,
       (SELECT sum(parameters) FROM tensors(m)) AS untied, (SELECT sum(parameters) FROM layers(m)) AS of_layers
FROM models ORDER BY name;

-- Statistics, to eight digits; the deviation is that of a sample.
CREATE FUNCTION digits(x float8) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN x IN ('Infinity', '-Infinity', 'NaN') THEN x::text
               ELSE trim(to_char(x, '9.9999999EEEE')) END $$;
SELECT t.name, parameters, digits(min) AS min, digits(max) AS max, digits(mean) AS mean,
       digits(stddev) AS stddev, digits(l1) AS l1, digits(l2) AS l2, zeros, nan, inf, t.sparsity
FROM models s, stats(m) t WHERE s.name = 'mlp';
SELECT t.name, t.dtype, digits(min) AS min, digits(max) AS max, digits(mean) AS mean,
       digits(stddev) AS stddev, digits(l1) AS l1, digits(l2) AS l2, zeros, nan, inf
FROM models s, stats(m) t WHERE s.name IN ('dtypes', 'dtypes2') ORDER BY s.name, t.dtype;

-- All of them against the server's own arithmetic on numeric.
SELECT s.name, count(*) AS tensors,
       bool_and(t.min = o.min AND t.max = o.max AND t.zeros = o.zeros) AS exact,
       max(abs(t.mean - o.mean) / (o.l1 / o.n)) < 1e-14 AS mean,
       max(abs(t.stddev / nullif(o.stddev, 0) - 1)) < 1e-13 AS stddev,
       max(abs(t.l1 / o.l1 - 1)) < 1e-14 AS l1,
       max(abs(t.l2 / o.l2 - 1)) < 1e-14 AS l2
FROM models s, stats(m) t,
     LATERAL (SELECT count(*) AS n, min(x), max(x), sum((x = 0)::int) AS zeros,
                     avg(x::numeric)::float8 AS mean, stddev_samp(x::numeric)::float8 AS stddev,
                     sum(abs(x::numeric))::float8 AS l1, sqrt(sum(x::numeric ^ 2))::float8 AS l2
              FROM (SELECT unnest(tensor(m, t.name))::float8) u (x)) o
WHERE s.name IN ('mlp', 'cnn', 'transformer') AND t.dtype = 'f32' AND o.l1 > 0
GROUP BY s.name ORDER BY s.name;

-- A tensor that is tied has the statistics of the one that it is tied to.
SELECT count(DISTINCT (min, max, mean, stddev, l1, l2)) FROM models s, stats(m) t
WHERE s.name = 'transformer' AND t.name IN ('embed.weight', 'output.weight');

-- What is not finite is counted and left out; -0 is zero; what is not there is
-- null.
SELECT t.* FROM (SELECT model_agg(name, data ORDER BY name) AS m
                 FROM (VALUES ('a finite', '{1,NaN,2,Infinity,3,-Infinity,NaN}'::real[]),
                              ('b none', '{NaN,Infinity,-Infinity}'),
                              ('c one', '{5}'),
                              ('d one of two', '{NaN,-5}'),
                              ('e empty', '{}'),
                              ('f zeros', '{-0,0,-0}'),
                              ('g half', '{0,1,-0,-1}'),
                              ('h equal', '{0.1,0.1,0.1,0.1,0.1,0.1,0.1}'),
                              ('i subnormal', '{1e-45,-1e-45}'),
                              ('j large', '{3.4028235e+38,3.4028235e+38,-3.4028235e+38}'),
                              ('k close', '{16777216,16777214,16777215}')) v (name, data)) s,
     stats(m) t;
SELECT sparsity(model_agg('x', '{}')) IS NULL AS none, sparsity(model_agg('x', '{0,-0,NaN,1}'));

-- Many elements: 1 to n, whose mean is (n + 1) / 2 and whose sample variance
-- is n (n + 1) / 12, with something not finite here and there.
SELECT n, t.parameters = n + 3 AS parameters, mean = (n + 1) / 2.0 AS mean,
       abs(stddev ^ 2 / (n * (n + 1) / 12.0) - 1) < 1e-14 AS stddev,
       l1 = n * (n + 1) / 2.0 AS l1, abs(l2 ^ 2 / (n * (n + 1) * (2 * n + 1) / 6.0) - 1) < 1e-14 AS l2,
       min, max, nan, inf
FROM unnest('{2,15,16,17,2047,2048,2049,32767,32768,70000}'::float8[]) n,
     LATERAL (SELECT model_agg('x', data) AS m
              FROM (SELECT array_agg(x::real ORDER BY i * 7919 % 70001)
                    FROM (SELECT i, i::float8 FROM generate_series(1, n::int) i
                          UNION ALL VALUES (70000, 'NaN'::float8), (3, '-Infinity'), (4999, 'Infinity')) u (i, x)) d (data)) s,
     stats(m) t;

-- Kinds of layers, by names and shapes; what looks like nothing known has none.
SELECT l.name, l.kind, l.tensors
FROM (SELECT model_agg(name, array_fill(0::real, shape) ORDER BY ord) AS m
      FROM (SELECT row_number() OVER () AS ord, v.*
            FROM (VALUES ('wte.weight', '{8,4}'::int[]), ('h.0.ln.weight', '{4}'), ('h.0.ln.bias', '{4}'),
                         ('h.0.mlp.weight', '{8,4}'), ('h.0.mlp.bias', '{8}'), ('h.0.rms.weight', '{4}'),
                         ('model.embed_tokens.weight', '{8,4}'), ('token_embd.weight', '{8,4}'),
                         ('Embedding.weight', '{8,4}'), ('embeddings.dense.weight', '{8,4}'),
                         ('patch_embed.weight', '{8,3,2,2}'),
                         ('c1.weight', '{2,3,4}'), ('c2.weight', '{2,3,4,5}'), ('c3.weight', '{2,3,1,1,1}'),
                         ('c4.weight', '{2,3,1,1,1,1}'),
                         ('bn.weight', '{4}'), ('bn.bias', '{4}'), ('bn.running_mean', '{4}'), ('bn.running_var', '{4}'),
                         ('lstm.weight_ih_l0', '{16,3}'), ('lstm.weight_hh_l0', '{16,4}'),
                         ('gru.weight_ih_l0', '{12,3}'), ('gru.weight_hh_l0', '{12,4}'),
                         ('rnn.weight_ih_l0', '{4,3}'), ('rnn.weight_hh_l0', '{4,4}'),
                         ('projected.weight_ih_l0', '{16,3}'), ('projected.weight_hh_l0', '{16,2}'), ('projected.weight_hr_l0', '{2,4}'),
                         ('cell.weight_ih', '{16,3}'), ('cell.weight_hh', '{16,4}'),
                         ('odd.weight_ih_l0', '{8,3}'), ('odd.weight_hh_l0', '{8,4}'),
                         ('odder.weight_ih_l0', '{9,3}'), ('odder.weight_hh_l0', '{9,4}'),
                         ('attention.in_proj_weight', '{12,4}'), ('attention.in_proj_bias', '{12}'),
                         ('attention.out_proj.weight', '{4,4}'),
                         ('scale.weight', '{4}'), ('scale.bias', '{3}'), ('other.alpha', '{4}'),
                         ('temperature', '{1}'), ('weightless.bias', '{4}'),
                         ('h.0.mlp.extra', '{1}')) v (name, shape)) n) s,
     layers(m) l;

-- The metadata has the last word, where it is a word.
SELECT l.name, l.kind
FROM (SELECT model_set_metadata(model_agg(name, array_fill(0::real, shape)),
                                '{"layer_kinds": {"": "Root", "a": "Linear8bit", "b": 7, "a.c": null}}') AS m
      FROM (VALUES ('x', '{1}'::int[]), ('a.weight', '{2,2}'), ('b.weight', '{2,2}'), ('a.c.weight', '{2,2}')) v (name, shape)) s,
     layers(m) l;
SELECT l.name, l.kind
FROM (SELECT model_set_metadata(model_agg('a.weight', '{{1}}'), '{"layer_kinds": ["a"]}') AS m) s, layers(m) l;

-- Summary.
SELECT jsonb_pretty(model_info(m) - 'digest') FROM models WHERE name = 'transformer';
SELECT model_info(m) -> 'dtypes' AS dtypes FROM models WHERE name = 'dtypes';
SELECT model_info(model_set_metadata(model_agg('x', '{1}'), '{"epoch": 3, "a \" key": {"b": 1}}')) -> 'metadata_keys';
SELECT name, model_info(m) ->> 'digest' = model_digest(m) AS digest, model_digest(m) ~ '^[0-9a-f]{64}$' AS hex
FROM models ORDER BY name;

-- Digests of expanded and of stored values are the same, and follow content.
SELECT model_digest(model_agg('x', '{1,2}')) = model_digest(bytea(model_agg('x', '{1,2}'))::model) AS same,
       model_digest(model_agg('x', '{1,2}')) = model_digest(model_agg('x', '{1,3}')) AS other;

-- No weights are read where none are needed: of a value of a thousand blocks,
-- only a few are touched.
CREATE TABLE large AS
SELECT model_agg('layer' || i || '.weight', data) AS m
FROM (SELECT array_agg((i % 1000 / 7.0)::real) FROM generate_series(1, 250000) i) d (data), generate_series(1, 8) i;
CREATE FUNCTION blocks(query text) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
    RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END
$$;
SELECT model_size(m) / 8192 AS blocks FROM large;
SELECT query, blocks(query) < 100 AS few
FROM (VALUES ('SELECT * FROM large, tensors(m)'), ('SELECT * FROM large, layers(m)'),
             ('SELECT num_parameters(m), model_size(m) FROM large'),
             ('SELECT model_info(m), model_digest(m), model_metadata(m) FROM large'),
             ('SELECT tensor(m, ''layer3.weight'') FROM large'),
             ('SELECT sparsity(m) FROM large')) v (query);
-- Stored out of line or in memory, the elements are the same.
SELECT count(*), bool_and(a = b) AS same FROM large, stats(m) a JOIN stats(decompress(model(bytea(m)))) b USING (name);

-- NULL in, NULL or nothing out.
SELECT num_parameters(NULL) IS NULL AND model_size(NULL) IS NULL AND sparsity(NULL) IS NULL AND
       model_info(NULL) IS NULL AND model_digest(NULL) IS NULL AND decompress(NULL) IS NULL AS strict;
SELECT * FROM tensors(NULL);

DROP TABLE models, large;
DROP FUNCTION digits, blocks;
