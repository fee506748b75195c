-- prune: unstructured methods, amounts, scopes, targets, recipes, dry runs.
\set VERBOSITY terse

-- ---------- vectors of PyTorch's own tests ----------

CREATE TEMP TABLE torch AS
SELECT model_agg(name, data) AS m
FROM (VALUES ('w', '{{1,2,3,4},{-4,-3,-2,-1}}'::real[])) v (name, data);

-- two of eight, and two of what remains
SELECT tensor(prune_count(m, 2), 'w') FROM torch;
SELECT tensor(prune_count(prune_count(m, 2), 2, "of" => 'remaining'), 'w') FROM torch;
-- half twice is a half, of the remaining it is three quarters
SELECT tensor(prune(prune(m, 0.5), 0.5), 'w') FROM torch;
SELECT tensor(prune(prune(m, 0.5), 0.5, "of" => 'remaining'), 'w') FROM torch;
-- four over two tensors: of equal ones the first tensor's go first
SELECT tensor(p, 'w') AS w, tensor(p, 'v') AS v
FROM (SELECT prune_count(model_agg(name, data ORDER BY place), 4) AS p
      FROM (VALUES (1, 'w', '{{1,2,3,4},{-4,-3,-2,-1}}'::real[]),
                   (2, 'v', '{{0,0.1,-2}}')) v (place, name, data)) s;
-- an exact count although magnitudes are the same: 14 of 70
SELECT sum((v = 0)::int) FROM unnest(tensor(prune((
    SELECT model_agg('w', data) FROM (
        SELECT array_agg(line ORDER BY i) AS data FROM (
            SELECT i, array_agg(CASE (i * 7 + j) % 2 WHEN 0 THEN 2 ELSE -2 END::real ORDER BY j) AS line
            FROM generate_series(0, 9) i, generate_series(0, 6) j GROUP BY i) l) d), 0.2), 'w')) v;

-- ---------- amounts ----------

CREATE FUNCTION ones(rows int, columns int) RETURNS model LANGUAGE sql
    AS $$ SELECT model_agg('w', array_fill(1::real, ARRAY[rows, columns])) $$;

CREATE FUNCTION gone(m model) RETURNS bigint LANGUAGE sql
    AS $$ SELECT sum(zeros)::bigint FROM stats(m) $$;

-- halves go to the even number
SELECT n, gone(prune(ones(1, n), 0.5)) FROM generate_series(1, 11, 2) n;
-- 0.29 x 100 is 28.999..., 0.4 x 17 is 6.8
SELECT gone(prune(ones(10, 10), 0.29)) AS "29", gone(prune(ones(1, 17), 0.4)) AS "7",
       gone(prune(ones(1, 15), 1)) AS "15", gone(prune_count(ones(1, 15), 1)) AS "1",
       gone(prune(ones(1, 15), 0)) AS "0";
-- all magnitudes are the same: the first ones go
SELECT tensor(prune(ones(3, 3), 0.5), 'w');
-- nothing to do changes nothing, and is noted
SELECT prune(m, 0) = m AS same, model_metadata(prune(m, 0)) -> 'recipe' -> 0 ->> 'function' AS noted FROM torch;
SELECT tensor(prune(m, 1), 'w') FROM torch;
SELECT prune(NULL, 0.5) IS NULL AS prune, prune_count(NULL, 1) IS NULL AS count,
       (SELECT count(*) FROM prune_dry_run(NULL, 0.5)) AS dry_run;
-- null stands for the default
SELECT prune(m, 0.5, method => NULL, scope => NULL, norm => NULL, "of" => NULL,
             include => NULL, exclude => NULL, seed => NULL) = prune(m, 0.5) AS same FROM torch;

-- ---------- numbers that are none ----------

-- zeros of both signs first, subnormals, infinities, NaN last; what goes becomes +0
CREATE TEMP TABLE odd AS
SELECT model_agg('w', ARRAY['{NaN,Infinity,-1e-45,-0,1,-Infinity,0,1e-45}'::real[]]) AS m;
SELECT k, tensor(prune_count(m, k), 'w') FROM odd, generate_series(0, 8) k;
-- zeros that do not count stay as they are, sign and all
SELECT k, tensor(prune_count(m, k, "of" => 'remaining'), 'w') FROM odd, generate_series(0, 6) k;
SELECT pruned, sparsity_after FROM odd, prune_dry_run(m, count => 2, "of" => 'remaining');
SELECT tensor(prune(m, 'Infinity', method => 'threshold'), 'w') AS infinity,
       tensor(prune(m, 1, method => 'threshold'), 'w') AS one,
       tensor(prune(m, 0, method => 'threshold'), 'w') AS nothing FROM odd;

-- ---------- against SQL's own ranking, on a trained network ----------

\set digits `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set dtypes `base64 < test/data/dtypes.pth | tr -d '\n'`
\set tied `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.pth | tr -d '\n'`
CREATE TEMP TABLE zoo (name text PRIMARY KEY, m model);
INSERT INTO zoo VALUES
    ('digits', model_read(decode(:'digits', 'base64'))),
    ('dtypes', model_read(decode(:'dtypes', 'base64'))),
    ('tied', model_read(decode(:'tied', 'base64'))),
    ('cnn', model_read(decode(:'cnn', 'base64')));

-- Weights of a model, one a row.
CREATE FUNCTION weights(m model, OUT place bigint, OUT name text, OUT i bigint, OUT v real)
    RETURNS SETOF record LANGUAGE sql AS $$
    SELECT t.place, t.name, e.i, e.v
    FROM tensors(m) WITH ORDINALITY t (name, dtype, shape, parameters, bytes, encoding, tied_to, place),
         unnest(tensor(m, t.name)) WITH ORDINALITY e (v, i)
$$;

-- How many weights differ from what a ranking says; the layers' biases are
-- left alone.
CREATE FUNCTION wrongly_pruned(m model, amount float8, scope text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE (CASE WHEN rank <= round(amount * n) THEN 0 ELSE w.v END) <> p.v)
           + abs(count(*) - 2720)
    FROM (SELECT *, row_number() OVER (PARTITION BY grp ORDER BY abs(v), place, i) AS rank,
                 count(*) OVER (PARTITION BY grp) AS n
          FROM (SELECT *, CASE scope WHEN 'global' THEN '' ELSE name END AS grp FROM weights(m)) g
          WHERE name LIKE '%weight') w
         JOIN weights(prune(m, amount, scope => scope)) p USING (name, i)
$$;
SELECT amount, wrongly_pruned(m, amount, 'global') AS global, wrongly_pruned(m, amount, 'tensor') AS tensor
FROM zoo, unnest('{0, 0.01, 0.123, 0.3333, 0.5, 0.9, 1}'::float8[]) amount WHERE name = 'digits';
-- A layer has one weight unless biases are named too.
SELECT prune(m, 0.3, scope => 'layer') = prune(m, 0.3, scope => 'tensor') AS same,
       prune(m, 0.3, method => 'l2') = prune(m, 0.3) AS l2_is_l1 FROM zoo WHERE name = 'digits';
SELECT s.name, zeros, parameters FROM zoo, stats(prune(m, 0.25, scope => 'layer', include =>
    '{layer1.weight,layer1.bias,layer3.bias,layer3.weight}')) s WHERE zoo.name = 'digits';
-- 42.5 goes to the even number
SELECT sum(zeros) FILTER (WHERE name LIKE 'layer1%') AS "520",
       sum(zeros) FILTER (WHERE name LIKE 'layer3%') AS "42"
FROM (SELECT s.* FROM zoo, stats(prune(m, 0.25, scope => 'layer', include =>
    '{layer1.weight,layer1.bias,layer3.bias,layer3.weight}')) s WHERE zoo.name = 'digits') s;

-- ---------- random ----------

SELECT prune(m, 0.5, method => 'random') = prune(m, 0.5, method => 'random', seed => 0) AS again,
       prune(m, 0.5, method => 'random', seed => 1) = prune(m, 0.5, method => 'random', seed => 2) AS other_seed
FROM zoo WHERE name = 'digits';
SELECT scope, name, zeros FROM zoo, unnest('{global,layer,tensor}'::text[]) scope,
    LATERAL (SELECT sum(zeros) AS zeros FROM stats(prune(m, 0.3, method => 'random', scope => scope, seed => -7))) s
WHERE name = 'digits';
-- of the remaining: what was zero stays so and does not count
SELECT gone(p) AS "4 + 2", (SELECT bool_and(v = 0 OR i > 4) FROM weights(p)) AS zeros_stay
FROM (SELECT prune_count(model_agg('w', '{{0,0,0,0},{1,2,3,4}}'), 2, method => 'random', "of" => 'remaining') AS p) s;
-- every element has the same chance: 2000 draws of 3 of 12 hit each about 500 times
SELECT count(*) AS elements, bool_and(hits BETWEEN 400 AND 600) AS fair
FROM (SELECT i, count(*) FILTER (WHERE v = 0) AS hits
      FROM generate_series(1, 2000) seed, LATERAL weights(prune_count(ones(3, 4), 3, method => 'random', seed => seed)) w
      GROUP BY i) s;

-- ---------- many weights: found by a sample ----------

CREATE TEMP TABLE large AS
SELECT model_agg('w', data) AS m FROM (
    SELECT ARRAY[array_agg((CASE WHEN i % 5 = 0 THEN 0.25 ELSE sin(i::float8 * i) * (i % 997) END)::real ORDER BY i)] AS data
    FROM generate_series(1, 300000) i) s;
-- ranked by SQL: a fifth of the magnitudes are the same
CREATE TEMP TABLE ranked AS
SELECT i, v, row_number() OVER (ORDER BY abs(v), i) AS rank FROM large, weights(m);
SELECT k, count(*) FILTER (WHERE p.v <> CASE WHEN rank <= k THEN 0 ELSE r.v END) AS wrong
FROM large, unnest('{1, 3000, 149999, 150000, 240000, 299999, 300000}'::bigint[]) k,
     LATERAL weights(prune_count(m, k)) p, ranked r WHERE r.i = p.i
GROUP BY k ORDER BY k;
-- within the run of equal ones, at its ends and in its middle
SELECT k - smaller AS of_equal_ones, count(*) FILTER (WHERE p.v <> CASE WHEN rank <= k THEN 0 ELSE r.v END) AS wrong
FROM large, (SELECT count(*) FILTER (WHERE abs(v) < 0.25) AS smaller FROM ranked) s,
     LATERAL unnest(ARRAY[smaller, smaller + 1, smaller + 30000, smaller + 59999, smaller + 60000]) k,
     LATERAL weights(prune_count(m, k)) p, ranked r WHERE r.i = p.i
GROUP BY k, smaller ORDER BY k;
-- sparse input is ranked as dense input is, by value and at random
SELECT prune(prune(m, 0.6), 0.9) = prune(decompress(prune(m, 0.6)), 0.9) AS l1,
       prune(prune(m, 0.6), 0.9) = prune(m, 0.9) AS in_two_steps,
       prune(prune(m, 0.6), 0.7, method => 'random', seed => 3)
           = prune(decompress(prune(m, 0.6)), 0.7, method => 'random', seed => 3) AS random,
       gone(prune(prune(m, 0.6), 0.25, method => 'random', "of" => 'remaining')) AS "180000 + 30000"
FROM large;

-- ---------- which tensors ----------

-- By default: floating point, two dimensions or more, no embeddings and
-- nothing that is tied to one.
SELECT zoo.name, string_agg(target || ' ' || parameters, ', ' ORDER BY place) AS targets
FROM zoo, LATERAL (SELECT name AS target, parameters, row_number() OVER () AS place FROM prune_dry_run(m, 0.5)) d
WHERE zoo.name IN ('digits', 'cnn', 'tied') GROUP BY zoo.name ORDER BY zoo.name;
SELECT t.name, shape, tied_to FROM zoo, tensors(m) t WHERE zoo.name = 'tied' AND (t.name ~ 'embed' OR tied_to IS NOT NULL);

CREATE FUNCTION targets(m model, include text[] DEFAULT '{}', exclude text[] DEFAULT '{}') RETURNS text LANGUAGE sql
    AS $$ SELECT string_agg(name, ' ' ) FROM prune_dry_run(m, 0.5, include => include, exclude => exclude) $$;
SELECT pattern, targets(m, ARRAY[pattern]) FROM zoo,
    unnest('{*,*weight,layer?.weight,layer1.*,?ayer*3*t,layer1.bias,layer2.weight}'::text[]) pattern WHERE name = 'digits';
SELECT targets(m, '{layer3.weight,layer1.weight,layer1.bias}') AS in_order_of_the_model,
       targets(m, exclude => '{layer2*}') AS without, targets(m, '{*}', '{layer1.weight,*3*}') AS both
FROM zoo WHERE name = 'digits';
-- A tied tensor goes by either name, and is pruned once for both.
SELECT targets(m, '{output.weight}') AS output, targets(m, '{embed.weight,output.weight}') AS both,
       targets(m, '{embed.weight,up.weight}', '{output.weight}') AS excluded FROM zoo WHERE name = 'tied';
SELECT tensor(p, 'embed.weight') = tensor(p, 'output.weight') AS alike, gone(p) = 2 * gone_once AS counted_twice_by_stats,
       (SELECT count(*) FROM tensors(p) WHERE tied_to IS NOT NULL) AS tied
FROM (SELECT prune(m, 0.5, include => '{output.weight}') AS p,
             (SELECT pruned FROM prune_dry_run(m, 0.5, include => '{output.weight}')) AS gone_once
      FROM zoo WHERE name = 'tied') s;
-- What torch.nn.utils.prune keeps beside a pruned weight is no weight.
SELECT targets(model_agg(name, '{{1,2}}')) FROM unnest('{a.weight_orig,a.weight_mask,b.weight_mask}'::text[]) name;
-- Characters count, not bytes.
SELECT targets(model_agg('größe', '{{1,2}}'), '{gr??e}');
-- No tensor to prune: said, and the same model.
SELECT prune(m, 0.5) = m AS same FROM (SELECT model_agg('bias', '{1,2,3}') AS m) s;
SELECT count(*) FROM prune_dry_run((SELECT model_agg('bias', '{1,2,3}')), 0.5);
-- Nor has an empty one any element.
SELECT prune(m, 0.5, include => '{none}') = m AS same FROM (SELECT model_agg('none', '{}') AS m) s;
SELECT * FROM prune_dry_run((SELECT model_agg('none', '{}')), 0.5, include => '{none}');

-- ---------- dtypes ----------

-- Each alone, and in one ranking; integers only by name, as any number.
SELECT d.name, parameters, pruned, sparsity_after FROM zoo, prune_dry_run(m, 0.5, scope => 'tensor', include =>
    ARRAY(SELECT t.name FROM tensors(m) t WHERE parameters > 1)) d WHERE zoo.name = 'dtypes';
-- All patterns of the 8-bit floats: half of each tensor goes, zeros first and
-- NaN last, also where its bits are those of -0 elsewhere.  Exponents, which have no zero, stay.
\set dtypes2 `base64 < test/data/dtypes2.pth | tr -d '\n'`
CREATE TEMP TABLE eight AS SELECT model_read(decode(:'dtypes2', 'base64')) AS m;
SELECT d.name, parameters, pruned, sparsity_before * 256 AS before, sparsity_after * 256 AS after FROM eight, prune_dry_run(m, 0.5, scope => 'tensor') d;
SELECT s.name, zeros, nan FROM eight, stats(prune(m, 0.5, scope => 'tensor')) s WHERE s.name LIKE 'float%';
SELECT tensor(m, 'float8_e8m0fnu') = tensor(prune(m, 1), 'float8_e8m0fnu') AS same FROM eight;

-- ---------- what it says ----------

-- A dry run says what prune does.
SELECT d.name, pruned, sparsity_before = b.sparsity AS before, sparsity_after = a.sparsity AS after,
       bytes_before = tb.bytes AS bytes, bytes_after = ta.bytes AS bytes_after,
       abs(max_error - (SELECT max(abs(w.v)) FROM weights(m) w JOIN weights(p) q USING (place, i) WHERE w.name = d.name AND w.v <> q.v)) < 1e-9 AS max_error
FROM (SELECT m, prune(m, 0.5) AS p FROM zoo WHERE name = 'digits') z (m, p), prune_dry_run(m, 0.5) d
    JOIN LATERAL stats(m) b USING (name) JOIN LATERAL stats(p) a USING (name)
    JOIN LATERAL tensors(m) tb USING (name) JOIN LATERAL tensors(p) ta USING (name);
-- By hand: 1, 2 and 3 of 1 to 6 go, sqrt(14 / 6).
SELECT * FROM prune_dry_run((SELECT model_agg('w', '{{1,-2,3},{-4,5,6}}')), 0.5);
SELECT * FROM prune_dry_run((SELECT model_agg('w', '{{0,-2,3},{-4,5,6}}')), count => 2);
SELECT max_error, rms_error FROM prune_dry_run((SELECT model_agg('w', '{{NaN,2}}')), 1);
SELECT max_error, rms_error FROM prune_dry_run((SELECT model_agg('w', '{{Infinity,2}}')), 1);

-- The recipe has the arguments that are not the default, and what came of it.
SELECT jsonb_pretty(model_metadata(prune(m, 0.5)) -> 'recipe') FROM torch;
SELECT step ->> 'function' AS function, step -> 'arguments' AS arguments
FROM torch, unnest(ARRAY[
    prune(m, 0.25, method => 'random', scope => 'layer', seed => 7, "of" => 'remaining'),
    prune_count(m, 3, scope => 'tensor', include => '{w}'),
    prune(m, 2.5, method => 'threshold', exclude => '{}'),
    prune(m, 0.5, method => 'ln_structured', dim => -1, norm => 'Infinity'),
    prune_count(m, 1, method => 'random_structured', seed => 3),
    prune(m, method => 'n:m', n => 2, m_of => 4, dim => 1),
    prune(m, method => 'mask', mask => m)]) p, LATERAL (SELECT model_metadata(p) -> 'recipe' -> 0) s (step);
-- It grows step by step, and no step changes the digest by itself.
SELECT jsonb_array_length(model_metadata(prune(prune(m, 0.5), 0.5)) -> 'recipe') AS steps,
       model_digest(prune(prune(m, 0.5), 0.5)) = model_digest(prune(m, 0.5)) AS same FROM torch;

-- ---------- rates ----------

SELECT pruning_rate(m, prune(m, 0.5)), pruning_rate(m, prune_count(m, 8)), pruning_rate(m, m),
       pruning_rate(prune(m, 0.5), m) AS grown, pruning_rate(prune(m, 1), m) AS of_nothing FROM torch;
SELECT compression_rate(m, p) = (model_size(m) - model_size(p))::float8 / model_size(m) AS exact,
       compression_rate(m, p) BETWEEN 0.7 AND 0.8 AS plausible,
       compression_rate(p, m) AS grown, compression_rate(m, m) AS none,
       compression_rate(NULL, m) IS NULL AND pruning_rate(m, NULL) IS NULL AS nulls
FROM (SELECT m, prune(m, 0.9) AS p FROM zoo WHERE name = 'digits') s;
-- zeros of the original are no weights: 2 of 4 go, then 1 of 2
SELECT pruning_rate(a, b) AS half, pruning_rate(b, c) AS half_of_it, pruning_rate(a, c) AS three_quarters
FROM (SELECT model_agg('w', '{{1,2},{3,4}}') AS a, model_agg('w', '{{0,2},{-0,4}}') AS b, model_agg('w', '{{0,0},{0,4}}') AS c) s;

-- ---------- where it is stored ----------

-- Half of the weights are stored sparse, fewer are not worth a mask.
SELECT amount, encoding, bytes FROM unnest('{0, 0.03, 0.05, 0.5, 1}'::float8[]) amount,
    LATERAL tensors(prune(ones(32, 32), amount)) t;
-- In a table, with the rest of the model shared.
CREATE TEMP TABLE stored AS SELECT m FROM zoo WHERE name = 'cnn';
UPDATE stored SET m = prune(m, 0.5);
SELECT stored.m = prune(zoo.m, 0.5) AS same, pruning_rate(zoo.m, stored.m) > 0.4 AS pruned FROM stored, zoo WHERE name = 'cnn';

DROP FUNCTION targets, wrongly_pruned, weights, gone, ones;
