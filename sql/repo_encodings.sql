-- What is quantized, clustered, factorized or packed in the repository: encodings
-- that round are kept byte for byte, and of what is packed without loss, the
-- content.
\set VERBOSITY terse
SET client_min_messages TO warning;

-- Numbers near a normal distribution, and always the same; and a model of them.
CREATE FUNCTION drawn(seed int, rows int, columns int) RETURNS real[] LANGUAGE sql AS $$
    SELECT array_agg(row ORDER BY i) FROM (
        SELECT i, array_agg((((h & 255) + (h >> 8 & 255) + (h >> 16 & 255) + (h >> 24 & 255) - 510) * 0.0001)::real ORDER BY j) AS row
        FROM generate_series(1, rows) i, generate_series(1, columns) j, hashint8extended(i * 100000 + j, seed) h GROUP BY i) r
$$;
CREATE FUNCTION encodings(m model) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', name, dtype, encoding, bytes), ', ' ORDER BY n) FROM tensors(m) WITH ORDINALITY t (name, dtype, shape, elements, bytes, encoding, tied_to, n)
$$;
CREATE TABLE source AS
SELECT model_agg(name, data ORDER BY place) AS m
FROM (VALUES (1, 'up', drawn(1, 300, 384)), (2, 'down', drawn(2, 384, 96)), (3, 'bias', drawn(3, 1, 384))) t (place, name, data);
-- Products of thin matrices, which are of that rank.
CREATE TABLE thin AS
SELECT model_agg('w', (SELECT array_agg(row ORDER BY i) FROM (
    SELECT i, array_agg((i % 7 - 3 + (i % 5) * (j % 3))::real ORDER BY j) AS row FROM generate_series(1, 120) i, generate_series(1, 90) j GROUP BY i) r)) AS m;

CREATE TABLE kept (name text, m model);
INSERT INTO kept
SELECT 'enc_' || dtype, quantize(m, dtype) FROM source, unnest('{int8,uint8,int4,int16,q8_0,q4_0,bf16,fp8_e4m3}'::text[]) dtype
UNION ALL SELECT 'enc_group', quantize(m, 'int8', group_size => 96) FROM source
UNION ALL SELECT 'enc_cluster', compress(m, 'cluster', bits => 3) FROM source
UNION ALL SELECT 'enc_lowrank', compress(m, 'lowrank', rank => 2) FROM thin
UNION ALL SELECT 'enc_pruned', quantize(prune(m, 0.5), 'int8') FROM source
UNION ALL SELECT 'enc_small', prune(m, 0.9) FROM source;

-- ---------- as they were ----------

SELECT count(modelopt.commit(name, m)) FROM kept;
SELECT name, g = m AS equal, encodings(g) = encodings(m) AS encoded, g::bytea = m::bytea AS bytes, encodings(g)
FROM kept, modelopt.get(name) g ORDER BY name COLLATE "C";
-- Once more is nothing new.
SELECT name FROM kept, modelopt.commit(name, m) version WHERE version <> 1;
-- What they are decoded to is another object, and an equal model.
SELECT modelopt.get('enc_int8') = decompress(m) AS equal, encodings(decompress(modelopt.get('enc_int8'))) = encodings(decompress(m)) AS dense
FROM kept WHERE name = 'enc_int8';

-- ---------- compared ----------

SELECT modelopt.commit('encs', m, 'as drawn') FROM source;
SELECT modelopt.commit('encs', quantize(modelopt.get('encs'), 'int8'), 'quantized');
SELECT modelopt.commit('encs', compress(modelopt.get('encs#1'), 'cluster', bits => 3), 'clustered');
SELECT version, message, stored_bytes < raw_bytes / 2 AS small FROM modelopt.log('encs') ORDER BY version;
-- Distances are those of the elements, as report() has them.
SELECT d.tensor, d.bytes_a, d.bytes_b, d.max_abs = r.max_error AS max, abs(d.rel_l2 / r.rel_l2 - 1) < 1e-9 AS l2
FROM modelopt.diff('encs#1', 'encs#2') d, report(modelopt.get('encs#1'), modelopt.get('encs#2')) r WHERE r.name = d.tensor;
SELECT tensor, version FROM modelopt.blame('encs') ORDER BY tensor;
SELECT v.* FROM modelopt.verify('encs') v;

-- ---------- packed without loss ----------

-- The content is there already.
SELECT modelopt.commit('packed', m) FROM source;
SELECT sum(stored_bytes) AS before FROM modelopt_private.object \gset
SELECT modelopt.commit('packed', compress(m, 'lossless')) FROM source;
SELECT count(*) AS versions FROM modelopt.log('packed');
SELECT sum(stored_bytes) - :before AS more FROM modelopt_private.object;
-- What comes packed first is kept dense.
CREATE TABLE later AS
SELECT compress(model_agg(name, data ORDER BY place), 'lossless') AS m
FROM (VALUES (1, 'w', drawn(11, 500, 300)), (2, 'few', drawn(12, 2, 2))) t (place, name, data);
SELECT encodings(m) ~ 'planes' AS is_packed FROM later;
SELECT modelopt.commit('packed_first', m) FROM later;
SELECT g = m AS equal, encodings(g) = encodings(decompress(m)) AS dense, encodings(g) FROM later, modelopt.get('packed_first') g;
SELECT modelopt.commit('packed_first', decompress(m)) FROM later;
SELECT count(*) AS versions FROM modelopt.log('packed_first');
-- And so is a child of what is there, as the difference.
SELECT modelopt.commit('packed_first', compress(prune(m, 0.5), 'lossless')) FROM later;
SELECT g = prune(m, 0.5) AS equal FROM later, modelopt.get('packed_first') g;
SELECT v.* FROM unnest('{packed,packed_first}'::text[]) name, modelopt.verify(name) v;

-- ---------- space ----------

-- A row that changes is a difference to the codes before, until repack stores it by itself.
CREATE TABLE chain AS
SELECT quantize(m, 'int8') AS before, quantize(model_set(m, 'up', (SELECT array_agg(CASE WHEN i = 7 THEN doubled ELSE row END ORDER BY i)
    FROM (SELECT i, (SELECT array_agg(x[i][j] ORDER BY j) FROM generate_series(1, 384) j) AS row,
                 (SELECT array_agg(x[i][j] * x[i][1] ORDER BY j) FROM generate_series(1, 384) j) AS doubled
          FROM (SELECT tensor(m, 'up') AS x) t, generate_series(1, 300) i) r)), 'int8') AS after FROM source;
SELECT modelopt.commit('chain', before), modelopt.commit('chain', after) FROM chain;
SELECT version, new_bytes, stored_bytes < 2000 AS few FROM modelopt.log('chain') WHERE version = 2;
SELECT model, objects, bytes_after > bytes_before AS larger
FROM unnest('{chain,packed_first,enc_lowrank}'::text[]) model, modelopt.repack(model);
SELECT modelopt.get('chain#1')::bytea = before::bytea AS before, modelopt.get('chain#2')::bytea = after::bytea AS after FROM chain;
SELECT count(*) FROM kept, modelopt.get(name) g WHERE NOT (g = m AND g::bytea = m::bytea);
SELECT modelopt.drop(name) FROM kept WHERE name IN ('enc_uint8', 'enc_int4');
-- The objects of both that are nobody else's.
SELECT count >= 6 AS gone FROM modelopt.gc(dry_run => false, grace => '0') WHERE what = 'objects';
SELECT count(*) FROM kept, modelopt.get(name) g WHERE name NOT IN ('enc_uint8', 'enc_int4') AND NOT (g = m AND g::bytea = m::bytea);
SELECT modelopt.get('encs#3') = compress(m, 'cluster', bits => 3) AS clustered, modelopt.get('encs#2') = quantize(m, 'int8') AS quantized FROM source;
SELECT v.* FROM modelopt.models m, modelopt.verify(m.name) v WHERE m.name LIKE 'enc%' OR m.name IN ('packed', 'packed_first', 'chain');

DROP TABLE source, thin, kept, later, chain;
DROP FUNCTION drawn, encodings;
