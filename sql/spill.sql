-- Payloads in temporary files: models are the same wherever their bytes lie.
\set VERBOSITY terse
CREATE TABLE made AS
SELECT model_agg(name, data ORDER BY name) AS m FROM (
    SELECT 'w' || t AS name, array_agg(ARRAY[(hashint4(i * t) / 2147483648.0)::real, (i % 7)::real]) AS data
    FROM generate_series(1, 4) t, generate_series(1, 20000) i GROUP BY t
    UNION ALL SELECT 'small', '{1,2,3}') s;
INSERT INTO made SELECT prune(m, 0.6) FROM made;
CREATE TABLE net AS
SELECT set_graph(model_agg(name, data ORDER BY name), 'a:linear relu b:linear') AS g FROM (
    SELECT 'a.weight' AS name, array_agg(ARRAY[(hashint4(i) / 2147483648.0)::real, (i % 7)::real] ORDER BY i) AS data FROM generate_series(1, 20000) i
    UNION ALL SELECT 'b.weight', ARRAY[x, x] FROM (SELECT array_agg(sin(i)::real ORDER BY i) AS x FROM generate_series(1, 20000) i) s) t;
SHOW modelopt.spill_above;
\set VERBOSITY sqlstate
SET modelopt.spill_above = -1;
\set VERBOSITY default

-- What is done, with everything in memory and with nothing in it that is
-- large: 160 kB a tensor.
CREATE FUNCTION done() RETURNS TABLE (what text, digest text) LANGUAGE sql SET client_min_messages = warning AS $$
    SELECT 'pruned', model_digest(prune(m, 0.5)) FROM made
    UNION ALL SELECT 'pruned by tensor', model_digest(prune(m, 0.5, scope => 'tensor')) FROM made
    UNION ALL SELECT 'pruned 2:4', model_digest(prune(m, method => 'n:m', n => 2, m_of => 4, dim => 0)) FROM made
    UNION ALL SELECT 'pruned at random', model_digest(prune(m, 0.5, method => 'random', seed => 1)) FROM made
    UNION ALL SELECT 'pruned rows', model_digest(prune(m, 0.5, method => 'ln_structured', dim => 0)) FROM made
    UNION ALL SELECT 'pruned twice', model_digest(prune(prune(m, 0.3), 0.5)) FROM made
    UNION ALL SELECT 'decompressed', model_digest(decompress(m)) FROM made
    UNION ALL SELECT 'quantized ' || dtype, md5(bytea(quantize(prune(m, 0.3), dtype, granularity => CASE WHEN dtype <> 'fp16' THEN 'tensor' END))) FROM made, unnest('{int8,uint8,int16,fp16}'::text[]) dtype
    UNION ALL SELECT 'quantized and pruned', model_digest(prune(quantize(m, 'int8', granularity => 'tensor'), 0.5)) FROM made
    UNION ALL SELECT 'quantized, written', md5(model_write(quantize(m, 'int8', granularity => 'tensor'), 'npz')) FROM made
    UNION ALL SELECT 'clustered', md5(bytea(compress(prune(m, 0.3), 'cluster', bits => 8))) FROM made
    UNION ALL SELECT 'within', md5(bytea(compress(prune(m, 0.3), max_error => 0.01))) FROM made
    UNION ALL SELECT 'packed', md5(bytea(compress(prune(m, 0.3), 'lossless'))) FROM made
    UNION ALL SELECT 'packed and pruned', model_digest(prune(compress(m, 'lossless'), 0.5)) FROM made
    UNION ALL SELECT 'packed and pruned by tensor', model_digest(prune(compress(m, 'lossless'), 0.5, scope => 'tensor')) FROM made
    UNION ALL SELECT 'reported', md5(string_agg(r::text, ',')) FROM made, report(prune(m, 0.3), quantize(m, 'int16', granularity => 'tensor')) r
    UNION ALL SELECT 'cut', md5(bytea(cut_nodes(g, 0.3))) FROM net
    UNION ALL SELECT 'cut and written', md5(model_write(quantize(cut_nodes(g, 0.3), 'int8', granularity => 'tensor'), 'onnx')) FROM net
    UNION ALL SELECT 'changed', model_digest(model_set(prune(m, 0.5), 'small', '{3,2,1}')) FROM made
    UNION ALL SELECT 'set', model_digest(model_set(prune(m, 0.5), 'w1', tensor(m, 'w2'))) FROM made
    UNION ALL SELECT 'flat', md5(bytea(prune(m, 0.5))) FROM made
    UNION ALL SELECT 'text', md5(prune(m, 0.5)::text) FROM made
    UNION ALL SELECT 'elements', md5(tensor(prune(m, 0.5), 'w3')::text) FROM made
    UNION ALL SELECT 'statistics', md5(string_agg(s::text, ',')) FROM made, stats(prune(m, 0.5)) s
    UNION ALL SELECT 'sparsity', sparsity(prune(m, 0.5))::text FROM made
    UNION ALL SELECT format, md5(model_write(prune(m, 0.5), format)) FROM made, unnest('{safetensors,pytorch,npz}'::text[]) format
    UNION ALL SELECT format || ' read', model_digest(model_read(model_write(m, format))) FROM made, unnest('{safetensors,pytorch,npz}'::text[]) format
$$;
CREATE TABLE in_memory AS SELECT * FROM done();
SELECT count(*) FROM pg_ls_tmpdir();
SET modelopt.spill_above = 0;
SELECT * FROM in_memory EXCEPT ALL SELECT * FROM done();
SELECT count(*), count(DISTINCT digest) > 20 AS different FROM in_memory;
SELECT count(*) FROM pg_ls_tmpdir();

-- Files last as long as models do: beyond the transaction, the subtransaction
-- and the function that made them, and not longer.
DO $$
DECLARE
    original model := (SELECT made.m FROM made LIMIT 1);
    m model := prune(original, 0.5);
    other model;
    digest text := model_digest(m);
    bytes text := md5(bytea(m));
BEGIN
    RAISE NOTICE '% files', (SELECT count(*) FROM pg_ls_tmpdir());
    COMMIT;
    ASSERT model_digest(m) = digest AND md5(bytea(m)) = bytes;
    BEGIN
        m := prune(m, 0.7);
        digest := model_digest(m);
        bytes := md5(bytea(m));
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
    ASSERT model_digest(m) = digest AND md5(bytea(m)) = bytes;
    ROLLBACK;
    ASSERT model_digest(m) = digest AND md5(bytea(m)) = bytes;
    other := model_set(m, 'small', '{0,0,0}');
    m := NULL;
    ASSERT tensor(other, 'small') = '{0,0,0}' AND num_parameters(other) = 160003;
END
$$;
SELECT count(*) FROM pg_ls_tmpdir();
SELECT count(prune(m, 0.5)), 1 / (count(*) - 2) FROM made;
SELECT count(*) FROM pg_ls_tmpdir();
CREATE TABLE kept AS SELECT prune(m, 0.5) AS m FROM made;
SELECT count(*) FROM pg_ls_tmpdir();
SELECT count(*) FROM kept, in_memory WHERE what = 'pruned' AND model_digest(m) = digest;
-- What is read when a transaction ends goes into files as well.
DO $$
DECLARE
    m model := (SELECT kept.m FROM kept LIMIT 1);
BEGIN
    m := model_set(m, 'small', '{9,9,9}');
    COMMIT;
    TRUNCATE kept;
    RAISE NOTICE '% files', (SELECT count(*) FROM pg_ls_tmpdir());
    ASSERT num_parameters(prune(m, 0.1)) = 160003;
END
$$;
SELECT count(*) FROM pg_ls_tmpdir();

SET temp_file_limit = '100kB';
\set VERBOSITY sqlstate
SELECT model_digest(prune(m, 0.5)) FROM made LIMIT 1;
\set VERBOSITY default
SELECT count(*) FROM pg_ls_tmpdir();
RESET temp_file_limit;

-- From the repository.
SELECT modelopt.commit('spilled', (SELECT m FROM made LIMIT 1));
SELECT modelopt.commit('spilled', prune(modelopt.get('spilled'), 0.5));
SELECT model_digest(modelopt.get('spilled')) = (SELECT digest FROM in_memory WHERE what = 'pruned' LIMIT 1) AS same;
SELECT modelopt.drop('spilled');

-- In parallel workers, too.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(set_config(name, 'on', false)) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT count(*) FROM (SELECT model_digest(prune(m, 0.5)) AS digest FROM made) p JOIN in_memory USING (digest) WHERE what = 'pruned';
SELECT count(*) FROM pg_ls_tmpdir();
DROP TABLE made, net, in_memory, kept;
DROP FUNCTION done;
