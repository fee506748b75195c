-- Reading and writing GGUF files.  Files of test/data were written by the
-- reference library, and are compared with what it found in them
-- (sums_gguf.csv).  What attacks the reader is in hostile_gguf.

CREATE SCHEMA gguf;
SET search_path = gguf, public;

-- ---------- files of the reference ----------

CREATE TABLE files (name text PRIMARY KEY, data bytea);
\set types `base64 < test/data/types.gguf | tr -d '\n'`
\set f32 `base64 < test/data/digits_mlp_f32.gguf | tr -d '\n'`
\set f16 `base64 < test/data/digits_mlp_f16.gguf | tr -d '\n'`
\set bf16 `base64 < test/data/digits_mlp_bf16.gguf | tr -d '\n'`
\set q8_0 `base64 < test/data/digits_mlp_q8_0.gguf | tr -d '\n'`
\set q4_0 `base64 < test/data/digits_mlp_q4_0.gguf | tr -d '\n'`
\set mlp_pth `base64 < test/data/digits_mlp.pth | tr -d '\n'`
INSERT INTO files
SELECT name, decode(base64, 'base64')
FROM (VALUES ('types.gguf', :'types'), ('digits_mlp_f32.gguf', :'f32'), ('digits_mlp_f16.gguf', :'f16'),
             ('digits_mlp_bf16.gguf', :'bf16'), ('digits_mlp_q8_0.gguf', :'q8_0'), ('digits_mlp_q4_0.gguf', :'q4_0'),
             ('digits_mlp.pth', :'mlp_pth')) v (name, base64);

-- Names, order, dtypes, encodings, shapes and every decoded bit are what the
-- reference says: the digest of a tensor is taken from the flat form, which
-- the cast checks whole.
CREATE TABLE sums (id serial, file text, tensor text, dtype text, encoding text, shape bigint[], finite_sum float8, not_finite int, sha256 text);
\copy sums (file, tensor, dtype, encoding, shape, finite_sum, not_finite, sha256) FROM 'test/data/sums_gguf.csv' WITH (FORMAT csv, HEADER, ENCODING 'UTF8')
CREATE FUNCTION u(bytes bytea, at int, size int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT sum(get_byte(bytes, at + i)::bigint << (8 * i)) FROM generate_series(0, size - 1) i $$;
CREATE FUNCTION digests(m model) RETURNS TABLE (tensor text, sha256 text) LANGUAGE plpgsql AS
$$
DECLARE
    flat bytea = bytea(model(bytea(m)));
    at int = 68 + 64 * u(flat, 12, 4);
    name_length int;
    dims_size int;
BEGIN
    FOR i IN 1 .. u(flat, 8, 4) LOOP
        name_length = u(flat, at + 4, 2);
        dims_size = 8 * get_byte(flat, at + 6);
        tensor = convert_from(substr(flat, at + 8 + dims_size + 1, name_length), 'UTF8');
        sha256 = encode(substr(flat, 68 + 64 * u(flat, at, 4)::int + 32 + 1, 32), 'hex');
        RETURN NEXT;
        at = at + 8 + (dims_size + name_length + 7) / 8 * 8;
    END LOOP;
END
$$;
CREATE TABLE models AS SELECT name, model_read(data) AS m FROM files WHERE name LIKE '%.gguf';
SELECT s.file, string_agg(s.tensor, ',' ORDER BY s.id) = string_agg(t.name, ',' ORDER BY t.at) AS names,
       count(*) AS tensors, bool_and(s.dtype = t.dtype AND s.shape = t.shape) AS shapes,
       bool_and(s.encoding = t.encoding) AS encodings, bool_and(s.sha256 = d.sha256) AS bits
FROM models, tensors(m) WITH ORDINALITY t (name, dtype, shape, parameters, bytes, encoding, tied_to, at), digests(m) d, sums s
WHERE models.name = s.file AND t.name = s.tensor AND d.tensor = s.tensor
GROUP BY s.file ORDER BY s.file;
-- A block of 32 elements has 18, 20, 22, 24 or 34 bytes, one of 256 has 144,
-- 176 or 210.
SELECT t.name, encoding, parameters, bytes FROM models, tensors(m) t WHERE models.name = 'types.gguf' AND encoding <> 'dense';
SELECT model_info(m) -> 'dtypes' -> 'f32' -> 'tensors' AS f32, model_info(m) -> 'encodings' AS encodings
FROM models WHERE name = 'digits_mlp_q8_0.gguf';

-- Statistics see what is decoded: the sums of the reference.
SELECT s.name, s.parameters, s.nan + s.inf AS not_finite, abs(s.mean * s.parameters - r.finite_sum) < 1e-12 * s.l1 AS sum
FROM models, stats(m) s JOIN sums r ON r.tensor = s.name
WHERE models.name = r.file AND r.file = 'types.gguf' AND r.encoding <> 'dense';

-- ---------- metadata ----------

SELECT key, value FROM models, jsonb_each(model_metadata(m) #> '{gguf,metadata}')
WHERE name = 'types.gguf' AND key <> 'long' ORDER BY key COLLATE "C";
SELECT model_metadata(m) #> '{gguf,version}' AS version, jsonb_array_length(model_metadata(m) #> '{gguf,types}') AS keys,
       (SELECT string_agg(i ->> 0 || ' ' || (i ->> 1), ', ' ORDER BY n)
        FROM jsonb_array_elements(model_metadata(m) #> '{gguf,types}') WITH ORDINALITY e (i, n) WHERE n <= 3 OR i ->> 1 LIKE '%[]') AS types
FROM models WHERE name = 'types.gguf';
-- The array of 1025 numbers of 32 bits is kept as bytes.
SELECT length(bytes), (SELECT bool_and(u(bytes, 4 * i, 4) = i) FROM generate_series(0, 1024) i) AS numbers
FROM models, decode(model_metadata(m) #>> '{gguf,metadata,long,base64}', 'base64') bytes WHERE name = 'types.gguf';
SELECT name, model_metadata(m) #> '{gguf,metadata}' AS metadata FROM models WHERE name <> 'types.gguf' ORDER BY name;

-- ---------- what was read is written again, to the byte ----------

SELECT name, length(data) = length(written) AS length, data = written AS bytes
FROM models JOIN files USING (name), model_write(m, 'gguf') written ORDER BY name;
-- Also when it went through a dump.
SELECT name, data = model_write(m::text::model, 'gguf') AS bytes FROM models JOIN files USING (name) ORDER BY name;

-- By hand: files of metadata alone, with floats of any bits.
CREATE FUNCTION le(n bigint, size int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(substr(int8send(n), i, 1), '' ORDER BY i DESC) FROM generate_series(9 - size, 8) i $$;
CREATE FUNCTION str(s bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT le(length(s), 8) || s $$;
CREATE FUNCTION file(VARIADIC keys bytea[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT bytes || decode(repeat('00', -length(bytes) & 31), 'hex')
   FROM (SELECT 'GGUF\003\000\000\000'::bytea || le(0, 8) || le(cardinality(keys), 8) || string_agg(k, '' ORDER BY n)
         FROM unnest(keys) WITH ORDINALITY u (k, n)) f (bytes) $$;
CREATE FUNCTION f32(bits text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT str(('f' || bits)::bytea) || le(6, 4) || le(('x' || bits)::bit(32)::bigint, 4) $$;
CREATE FUNCTION f64(bits text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT str(('d' || bits)::bytea) || le(12, 4) || le(('x' || bits)::bit(64)::bigint, 8) $$;
CREATE FUNCTION same(data bytea) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN model_write(model_read(data), 'gguf') = data THEN 'same: ' ELSE 'other: ' END || (model_metadata(model_read(data)) #> '{gguf,metadata}') $$;
SELECT same(file(f32('00000000'), f32('80000000'), f32('3f800000'), f32('bf8ccccd'), f32('00000001'), f32('7f7fffff'), f32('7f800000'),
                 f32('ff800000'), f32('7fc00000'), f32('ffc00000'), f32('7f800001'), f32('ffffffff'), f32('3727c5ac'), f32('4b800001')));
SELECT same(file(f64('0000000000000000'), f64('8000000000000000'), f64('3ff0000000000000'), f64('3fb999999999999a'), f64('0000000000000001'),
                 f64('7fefffffffffffff'), f64('7ff0000000000000'), f64('fff0000000000000'), f64('7ff8000000000000'), f64('fff8000000000000'),
                 f64('7ff0000000000001'), f64('3e112e0be826d694'), f64('3e112e0be826d695'), f64('430c6bf526340000'), f64('430c6bf526340001')));
-- Every float of 32 bits whose bits are a multiple of 2^18 and a prime more.
SELECT count(*), bool_and(same(data) LIKE 'same: %') AS same FROM (
    SELECT file(str('a') || le(9, 4) || le(6, 4) || le(count(*), 8) || string_agg(le((i::bigint << 18) + 104729, 4), '' ORDER BY i)) AS data
    FROM generate_series(0, 16383) i GROUP BY i / 512) f;
-- A key without values, one of each type, an empty array of strings, and
-- strings that are not text.
SELECT same(file(str('s') || le(8, 4) || str(''), str('a') || le(9, 4) || le(8, 4) || le(0, 8), str('b') || le(9, 4) || le(7, 4) || le(0, 8),
                 str('c') || le(9, 4) || le(8, 4) || le(3, 8) || str('\xff') || str('a') || str('\x0001fe02'), str('d') || le(8, 4) || str('\x00')));

-- ---------- weights that are quantized ----------

-- They are the same weights, in blocks or not, so the digest is the same; the
-- casts keep the blocks.
SELECT name, model_digest(m) = model_digest(decompress(m)) AS digest, m = decompress(m) AS equal,
       (SELECT count(*) FROM tensors(decompress(m)) WHERE encoding <> 'dense') AS blocks_left,
       (SELECT count(*) FROM tensors(m::text::model) WHERE encoding LIKE 'q%') AS blocks,
       model_size(m) < model_size(decompress(m)) AS smaller
FROM models ORDER BY name;
-- What is pruned is stored as floats, and the rest keeps its blocks.
SELECT name, dtype, encoding FROM tensors((SELECT prune(m, 0.5, include => '{layer1.weight}') FROM models WHERE name = 'digits_mlp_q8_0.gguf'));
-- Pruning them is pruning what they are decoded to, in every way there is.
SELECT method, amount, scope, model_digest(prune(m, amount, method, scope, seed => CASE method WHEN 'random' THEN 1 END)) = model_digest(prune(decompress(m), amount, method, scope, seed => CASE method WHEN 'random' THEN 1 END)) AS same
FROM models, (VALUES ('l1', 0.3, 'global'), ('l1', 0.7, 'layer'), ('random', 0.4, 'global')) v (method, amount, scope) WHERE name = 'types.gguf';
SELECT model_digest(prune(m, method => 'n:m', n => 2, m_of => 4)) = model_digest(prune(decompress(m), method => 'n:m', n => 2, m_of => 4)) AS n_of_m
FROM models WHERE name = 'types.gguf';
-- A tensor that is set is stored as floats.
SELECT name, encoding FROM tensors((SELECT model_set(m, 'layer2.weight', tensor(m, 'layer2.weight')) FROM models WHERE name = 'digits_mlp_q4_0.gguf'))
WHERE name LIKE '%weight';

-- 129 rows of 320 elements, more than are decoded at once: the scale 0.5 (3800)
-- and 32 numbers from -16 to 15, so that each number comes 1290 times, the mean
-- is -0.5 / 2, and the magnitudes of a block sum up to 256 / 2 and their squares
-- to 2736 / 4.
CREATE TABLE large (m model);
ALTER TABLE large ALTER m SET STORAGE EXTERNAL;
INSERT INTO large
SELECT model_read('GGUF\003\000\000\000'::bytea || le(1, 8) || le(0, 8) || str('w') || le(2, 4) || le(320, 8) || le(129, 8) || le(8, 4) || le(0, 8) ||
                  decode(repeat('00', 31), 'hex') || decode(repeat('0038' || encode(block, 'hex'), 1290) || repeat('00', 12), 'hex'))
FROM (SELECT string_agg(substr(int2send((i & 255)::int2), 2, 1), '' ORDER BY i) FROM generate_series(-16, 15) i) b (block);
SELECT dtype, shape, bytes, encoding FROM large, tensors(m);
SELECT parameters, min, max, mean, zeros, l1, l2 = sqrt(1290 * 2736 / 4.0) AS l2 FROM large, stats(m);
SELECT sparsity(m), num_parameters(m), model_digest(m) = model_digest(decompress(m)) AS digest FROM large;
SELECT (tensor(m, 'w'))[129:129][289:] FROM large;
SELECT sparsity(prune(m, 0.25)), encoding FROM large, tensors(prune(m, 0.25));
SELECT length(model_write(m, 'gguf')), model_read(model_write(m, 'gguf')) = m AS same FROM large;

-- ---------- models from elsewhere ----------

CREATE FUNCTION listing(m model) RETURNS TABLE (n bigint, name text, dtype text, shape bigint[], encoding text, sha256 text) LANGUAGE sql AS
$$ SELECT row_number() OVER (), t.name, t.dtype, t.shape, t.encoding, d.sha256 FROM tensors(m) t JOIN digests(m) d ON t.name = d.tensor $$;
-- The checkpoint becomes what the reference wrote, but for the key that says
-- which type it has.
SELECT model_metadata(again) AS metadata, (SELECT bool_and(l = r) FROM listing(m) l FULL JOIN listing(again) r USING (n)) AS same,
       (SELECT bool_and(l = r) FROM listing(f32) l FULL JOIN listing(again) r USING (n)) AS same_as_reference
FROM (SELECT model_read(data) AS m FROM files WHERE name = 'digits_mlp.pth') p,
     (SELECT m AS f32 FROM models WHERE name = 'digits_mlp_f32.gguf') r, LATERAL (SELECT model_read(model_write(m, 'gguf'))) w (again);
-- Quantized weights go to other formats as the floats they decode to.
SELECT format, count(*), count(*) FILTER (WHERE l.encoding <> r.encoding) AS decoded, bool_and(l.sha256 = r.sha256) AS same
FROM models, (VALUES ('pytorch'), ('safetensors'), ('npz')) v (format), LATERAL (SELECT model_read(model_write(m, format))) w (again),
     LATERAL (SELECT l.encoding, r.encoding, l.sha256, r.sha256 FROM listing(m) l FULL JOIN listing(again) r USING (name)) c (a, b, c, d),
     LATERAL (SELECT a AS encoding, c AS sha256) l, LATERAL (SELECT b AS encoding, d AS sha256) r
WHERE models.name = 'digits_mlp_q8_0.gguf' GROUP BY format ORDER BY format;
-- Without the metadata of their file they get what the format asks for.
SELECT model_metadata(again) AS metadata, again = model_set_metadata(m, model_metadata(again)) AS same
FROM models, LATERAL (SELECT model_read(model_write(model_set_metadata(m, '{}'), 'gguf'))) w (again) WHERE name = 'digits_mlp_q4_0.gguf';
-- Sparse ones are written with all their elements.
SELECT l.encoding AS before, r.encoding AS after, l.sha256 = r.sha256 AS same
FROM (SELECT prune(m, 0.9) AS m FROM models WHERE name = 'digits_mlp_f32.gguf') p, listing(m) l JOIN listing(model_read(model_write(m, 'gguf'))) r USING (name)
WHERE name = 'layer1.weight';

-- ---------- floats as another type ----------

-- Converted here is what the reference converts, to the byte, from a checkpoint
-- and from a GGUF file, of which the keys that tell the type change with it.
SELECT dtype, model_write(pth, 'gguf', dtype) = data AS from_pytorch, model_write(m, 'gguf', dtype) = data AS from_gguf
FROM (SELECT model_read(data) AS pth FROM files WHERE name = 'digits_mlp.pth') p, (SELECT m FROM models WHERE name = 'digits_mlp_f32.gguf') g,
     (VALUES ('f32'), ('f16'), ('bf16'), ('q8_0'), ('q4_0')) v (dtype) JOIN files ON name = 'digits_mlp_' || dtype || '.gguf';
-- Blocks of the type that is asked for stay as they are, others are decoded.
SELECT model_write(m, 'gguf', 'q4_0') = data AS same, model_write(m, 'gguf', 'f32') = model_write(decompress(m), 'gguf', 'f32') AS decoded
FROM models JOIN files USING (name) WHERE name = 'digits_mlp_q4_0.gguf';
SELECT t.name, dtype, encoding FROM models, tensors(model_read(model_write(m, 'gguf', 'q8_0'))) t WHERE models.name = 'types.gguf';
-- By hand: the scale of q8_0 is the largest magnitude / 127, that of q4_0 the
-- value of the largest magnitude / -8, which is 1 here.
CREATE FUNCTION row_of_32(data float4[]) RETURNS model LANGUAGE sql AS
$$ SELECT model_agg('w', ARRAY[data || array_fill(0::float4, ARRAY[32 - cardinality(data)])]) $$;
SELECT (tensor(model_read(model_write(row_of_32('{0,127,-127,63.4,63.6,-0.5,0.4}'), 'gguf', 'q8_0')), 'w'))[:][:8] AS q8_0,
       (tensor(model_read(model_write(row_of_32('{-8,7,8,0.4,-0.6,-7.4,3.5}'), 'gguf', 'q4_0')), 'w'))[:][:8] AS q4_0;

-- ---------- what the format cannot hold ----------

CREATE FUNCTION refused(m model) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    detail text;
BEGIN
    PERFORM model_write(m, 'gguf');
    RETURN 'written';
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || '. ' || detail;
END
$$;
\pset format unaligned
\pset tuples_only on
-- A tensor of a safetensors file, of which there is one of each dtype.
CREATE FUNCTION of(name text, dtype text, shape text, size int) RETURNS model LANGUAGE sql AS
$$ SELECT model_read(le(octet_length(h), 8) || convert_to(h, 'UTF8') || decode(repeat('00', size), 'hex'))
   FROM (SELECT format('{"%s":{"dtype":"%s","shape":%s,"data_offsets":[0,%s]}}', name, dtype, shape, size)) t (h) $$;
SELECT refused(of('w', dtype, '[4]', 4 * size))
FROM (VALUES ('F32', 4), ('F16', 2), ('BF16', 2), ('F64', 8), ('I8', 1), ('I16', 2), ('I32', 4), ('I64', 8),
             ('U8', 1), ('U16', 2), ('U32', 4), ('U64', 8), ('BOOL', 1), ('F8_E4M3', 1), ('F8_E5M2', 1),
             ('F8_E4M3FNUZ', 1), ('F8_E5M2FNUZ', 1), ('F8_E8M0', 1)) v (dtype, size);
SELECT refused(of('w', 'F32', '[1,1,1,1]', 4));
SELECT refused(of('w', 'F32', '[1,1,1,1,1]', 4));
SELECT refused(of('w', 'F32', '[3,0]', 0));
SELECT refused(of('w', 'F32', '[]', 4));
SELECT refused(of(repeat('n', 63), 'F32', '[1]', 4));
SELECT refused(of(repeat('n', 64), 'F32', '[1]', 4));
SELECT refused(of(repeat('ü', 32), 'F32', '[1]', 4));
-- Blocks cannot hold what is not finite, nor what is too large for a scale of 16
-- bits, and nothing becomes infinite; vectors and integers stay as they are.
CREATE FUNCTION refused(m model, dtype text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    detail text;
BEGIN
    PERFORM model_write(m, 'gguf', dtype);
    RETURN 'written';
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || '. ' || detail;
END
$$;
SELECT value, refused(row_of_32(ARRAY[value]), 'q8_0'), refused(row_of_32(ARRAY[value]), 'q4_0'), refused(row_of_32(ARRAY[value]), 'f16'),
       refused(model_set(of('w', 'F32', '[1]', 4), 'w', ARRAY[value]), 'q8_0')
FROM (VALUES ('1'::float4), ('NaN'), ('Infinity'), ('-Infinity'), ('1e7'), ('1e6'), ('65519'), ('65520')) s (value);
SELECT refused(of('w', dtype, '[2,32]', 64 * size), 'q8_0') FROM (VALUES ('F8_E4M3', 1), ('F64', 8), ('I16', 2), ('U8', 1), ('BOOL', 1), ('F8_E5M2FNUZ', 1), ('F8_E8M0', 1)) v (dtype, size);
SELECT refused(of('w', 'F32', '[32]', 128), 'q2_k');

-- ---------- metadata that somebody set ----------

CREATE FUNCTION with_keys(metadata jsonb, types jsonb DEFAULT '[]') RETURNS model LANGUAGE sql AS
$$ SELECT model_set_metadata(of('w', 'F32', '[1]', 4), jsonb_build_object('gguf', jsonb_build_object('metadata', metadata, 'types', types))) $$;
CREATE FUNCTION written(metadata jsonb, types jsonb DEFAULT '[]') RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN r = 'written' THEN (model_metadata(model_read(model_write(m, 'gguf'))) -> 'gguf')::text ELSE r END
   FROM with_keys(metadata, types) m, refused(m) r $$;
-- What has a type keeps it and its place; other keys come after, in alphabetical
-- order, with the usual types.
SELECT written('{"b": 1, "a": 2, "c": "x"}', '[["c", "string"], ["b", "u8"]]');
SELECT written('{"string": "s", "true": true, "u32": 4294967295, "i32": -1, "i64": -2147483649, "big": 4294967296, "u64": 18446744073709551615,
                 "float": 0.5, "strings": ["a"], "bools": [true, false], "u32s": [1, 2], "i64s": [1, -1], "floats": [1, 0.5], "bytes": {"base64": "AP8="}}');
-- Keys whose value is gone are not written, and types alone write nothing.
SELECT written('{}', '[["a", "u8"], ["b", "string[]"]]');
SELECT written('{"general.alignment": 8, "a": "NaN"}', '[["general.alignment", "u32"], ["a", "f32"]]');
SELECT written('{"a": 7}', '[["a", "f64"]]');
SELECT written(value, '[["a", "u8"]]') FROM (VALUES ('{"a": 255}'::jsonb), ('{"a": 256}'), ('{"a": -1}'), ('{"a": 1.5}'), ('{"a": "1"}'), ('{"a": null}'), ('{"a": [1]}'), ('{"a": true}')) v (value);
SELECT written(value, '[["a", "i8"]]') FROM (VALUES ('{"a": 127}'::jsonb), ('{"a": 128}'), ('{"a": -128}'), ('{"a": -129}')) v (value);
SELECT written(value, '[["a", "i64"]]') FROM (VALUES ('{"a": 9223372036854775807}'::jsonb), ('{"a": 9223372036854775808}'), ('{"a": -9223372036854775808}'), ('{"a": 99999999999999999999999}')) v (value);
SELECT written(value, '[["a", "f32"]]') FROM (VALUES ('{"a": 1e39}'::jsonb), ('{"a": "Infinity"}'), ('{"a": "-NaN"}'), ('{"a": "NaN:7f800000"}'), ('{"a": "NaN:7f8"}'), ('{"a": "0x1p3"}'), ('{"a": ""}'), ('{"a": "1e3"}')) v (value);
SELECT written(value, '[["a", "bool[]"]]') FROM (VALUES ('{"a": []}'::jsonb), ('{"a": [true, 1]}'), ('{"a": {"base64": "AQA="}}'), ('{"a": {"base64": "Ag=="}}'), ('{"a": {"base64": "AQ"}}'), ('{"a": {"hex": "01"}}')) v (value);
SELECT written(value, '[["a", "string"]]') FROM (VALUES ('{"a": {"base64": "AB=="}}'::jsonb), ('{"a": {"base64": "A==="}}'), ('{"a": {"base64": "AA==AA=="}}'), ('{"a": 1}'), ('{"a": ["x"]}')) v (value);
SELECT written('{"a": null}');
SELECT written('{"a": []}');
SELECT written('{"a": [1, "x"]}');
SELECT written('{"a": [[1]]}');
SELECT written('{"no key": 1}');
SELECT written('{"": 1}');
SELECT written('{"a": 1}', '[["a", "u9"]]');
SELECT written('{"a": 1}', '[["a", "array"]]');
SELECT written('{"a": 1}', '[["a", "u8"], ["a", "u16"]]');
SELECT written('{"a": 1}', '[["a"]]');
SELECT written('{"general.alignment": 7}');
SELECT written('{"general.alignment": 8}', '[["general.alignment", "u64"]]');
SELECT written('[]');
SELECT refused(model_set_metadata(m, '{"gguf": {}}')) FROM of('w', 'F32', '[1]', 4) m;
-- Something else under that key is none of ours.
SELECT model_metadata(model_read(model_write(model_set_metadata(m, '{"gguf": 7}'), 'gguf'))) FROM of('w', 'F32', '[1]', 4) m;
\pset format aligned
\pset tuples_only off

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA gguf CASCADE;
RESET client_min_messages;
