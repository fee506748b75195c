-- compress(m, 'lossless'): the same elements in fewer bytes.
\set VERBOSITY terse
SET client_min_messages = warning;

-- A file in the format of safetensors with one tensor of elements in bytes.
CREATE FUNCTION one(dtype text, n bigint, data bytea) RETURNS model LANGUAGE sql AS
$$
    SELECT model_read('\x8000000000000000'::bytea || convert_to(rpad(format(
        '{"x":{"dtype":"%s","shape":[%s],"data_offsets":[0,%s]}}', dtype, n, length(data)), 128), 'UTF8') || data)
$$;

-- Numbers that are near a normal distribution, and always the same.
CREATE FUNCTION weights(seed int, n int) RETURNS real[] LANGUAGE sql AS
$$
    SELECT array_agg((((a & 255) + (a >> 8 & 255) + (a >> 16 & 255) + (a >> 24 & 255) - 510) + (b & 1048575) / 1048576.0) * 0.0001
                     ORDER BY i)::real[]
    FROM (SELECT i, hashint8extended(i, seed) AS a, hashint8extended(i, seed + 1) AS b FROM generate_series(1, n) i) h
$$;

CREATE TABLE net (name text, m model);
INSERT INTO net
SELECT 'drawn', model_agg(name, data ORDER BY place)
FROM (VALUES (1, 'bias', weights(1, 10)), (2, 'weight', weights(2, 300000)), (3, 'ones', array_fill(1::real, ARRAY[200000])),
             (4, 'nothing', '{}'), (5, 'one', '{1}'), (6, 'zeros', array_fill(0::real, ARRAY[200000]))) t (place, name, data);
INSERT INTO net SELECT 'pruned', prune(m, 0.5, include => '{weight}') FROM net WHERE name = 'drawn';
INSERT INTO net SELECT 'bf16', quantize(m, 'bf16', include => '{weight}') FROM net WHERE name = 'drawn';
INSERT INTO net SELECT 'fp16', quantize(m, 'fp16', include => '{weight}') FROM net WHERE name = 'drawn';
INSERT INTO net SELECT 'int8', quantize(model_agg('w', ARRAY[weights(4, 4096), weights(5, 4096)]), 'int8');
CREATE TABLE packed AS SELECT name, compress(m, 'lossless') AS m FROM net;

-- ---------- nothing changes ----------

SELECT name, p.m = n.m AS equal, model_digest(p.m) = model_digest(n.m) AS digest, model_size(p.m) < model_size(n.m) AS smaller,
       decompress(p.m) = n.m AS decompressed, p.m::bytea::model = n.m AS bytes, p.m::text::model = n.m AS text
FROM net n JOIN packed p USING (name) ORDER BY name;
-- Small tensors stay, and so do those whose elements were rounded.
SELECT p.name, t.name, t.dtype, t.encoding, tensor(p.m, t.name) = tensor(n.m, t.name) AS same
FROM net n JOIN packed p USING (name), tensors(p.m) WITH ORDINALITY t ORDER BY p.name, t.ordinality;
-- Also while the weights are in the table, and where they were not asked for before.
SELECT tensor(m, 'weight') = weights(2, 300000) FROM packed WHERE name = 'drawn';
SELECT sparsity(m), num_parameters(m) FROM packed WHERE name = 'pruned';

-- Every dtype; here are all patterns of 16 bits and of 32 many, then zeros, and
-- an odd number of elements.
CREATE FUNCTION patterns() RETURNS bytea LANGUAGE sql AS
$$
    SELECT decode(string_agg(lpad(to_hex(hashint8extended(i, 7) & 65535), 4, '0') || lpad(to_hex(i), 4, '0'), '' ORDER BY i) ||
                  repeat('00', 1000000), 'hex')
    FROM generate_series(0, 65535) i
$$;
SELECT s.dtype, encoding, m = p AS equal, m = p::bytea::model AS bytes, t.bytes < length(data) AS smaller
FROM (SELECT dtype, data, one(dtype, length(data) / width, data) AS m FROM (
          SELECT dtype, width, substr(patterns(), 1, 1200000 - width) AS data
          FROM (VALUES ('F64', 8), ('F32', 4), ('F16', 2), ('BF16', 2), ('I64', 8), ('I32', 4), ('I16', 2), ('I8', 1), ('U8', 1),
                       ('F8_E4M3', 1), ('F8_E5M2', 1)) v (dtype, width)) d) s,
     LATERAL (SELECT compress(m, 'lossless') AS p) c, tensors(p) t ORDER BY 1;
SELECT encoding, m = p AS equal FROM one('BOOL', 100001, decode(repeat('0001010001000000', 12500) || '01', 'hex')) m,
     LATERAL (SELECT compress(m, 'lossless') AS p) c, tensors(p);

-- ---------- how small ----------

-- What is constant goes but for a thousandth; of weights the exponents shrink,
-- and where half are zeros they and a mask are left out.
SELECT p.name, t.name, t.bytes < share * width * t.parameters AS small
FROM (VALUES ('drawn', 'weight', 0.88, 4), ('bf16', 'weight', 0.72, 2), ('fp16', 'weight', 0.90, 2), ('pruned', 'weight', 0.48, 4),
             ('drawn', 'ones', 0.002, 4), ('drawn', 'zeros', 0.002, 4)) v (model, tensor, share, width)
JOIN packed p ON p.name = v.model, tensors(p.m) t WHERE t.name = v.tensor ORDER BY 1, 2;
-- No few bytes stand for more than a thousand times as many.
SELECT bool_and(t.bytes >= t.parameters * 4 / 1024) FROM packed, tensors(m) t WHERE t.encoding = 'planes' AND t.dtype = 'f32';

-- ---------- with others ----------

-- The recipe says it; a packed model is pruned, quantized and compressed like any other.
SELECT model_info(m) -> 'recipe' -> -1 -> 'arguments', (model_info(m) -> 'encodings' -> 'planes' ->> 'tensors')::int FROM packed WHERE name = 'drawn';
SELECT prune(p.m, 0.7, include => '{weight}') = prune(n.m, 0.7, include => '{weight}') AS pruned,
       quantize(p.m, 'int8', include => '{weight}') = quantize(n.m, 'int8', include => '{weight}') AS quantized
FROM net n JOIN packed p USING (name) WHERE name = 'drawn';
SELECT model_read(model_write(p.m, 'safetensors')) = model_read(model_write(n.m, 'safetensors')) FROM net n JOIN packed p USING (name) WHERE name = 'drawn';
SET client_min_messages = notice;
SELECT compress(m, 'lossless') = m FROM packed WHERE name = 'pruned';
SELECT compress(m, 'lossless', exclude => '{weight}') = m FROM net WHERE name = 'drawn';
SELECT compress(model_read('\x0200000000000000' || '{}'::bytea, 'safetensors'), 'lossless') IS NULL AS null_;
SELECT compress(m, 'lossless', bits => 4) FROM net WHERE name = 'drawn';
SELECT compress(m, 'lossless', max_error => 0.1) FROM net WHERE name = 'drawn';
SET client_min_messages = warning;
SELECT name, new_dtype, new_encoding, bytes_after < bytes_before AS smaller, max_error_found, rms_error, note
FROM net, compress_dry_run(m, 'lossless') d (tensor, parameters, new_dtype, new_encoding, bytes_before, bytes_after, max_error_found, rms_error, note)
WHERE net.name = 'drawn';

-- ---------- bytes from outside ----------

-- Whatever byte of a block or of the directory changes, it is refused or the
-- same model; never something else.
CREATE FUNCTION attempt(data bytea, expected model) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
    RETURN CASE WHEN data::model = expected THEN 'the same' ELSE 'another model' END;
EXCEPTION WHEN invalid_binary_representation THEN
    RETURN 'refused';
END
$$;
SELECT DISTINCT result
FROM (SELECT m, p, p::bytea AS data FROM (SELECT m, compress(m, 'lossless') AS p FROM (SELECT model_agg('w', weights(9, 3000)) AS m) w) c) s, tensors(p) t,
     LATERAL (SELECT attempt(set_byte(data, at::int, get_byte(data, at::int) # (1 << at::int % 8)), m) AS result
              FROM generate_series(length(data) - t.bytes, length(data) - 1) at) a
WHERE result <> 'the same';
SELECT attempt(substr(data, 1, length(data) - n), m)
FROM (SELECT m, compress(m, 'lossless')::bytea AS data FROM (SELECT model_agg('w', weights(9, 3000)) AS m) n) p, generate_series(1, 3) n;

RESET client_min_messages;
DROP TABLE net, packed;
DROP FUNCTION one, weights, patterns, attempt;
