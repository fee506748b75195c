-- What there is of formats, and choosing among them.

\x
SELECT * FROM model_formats();
\x

-- Each is found by its bytes, and writes what it reads.
CREATE TEMP TABLE written AS
SELECT format, model_write(m, format) AS bytes
FROM model_formats(), (SELECT model_agg('w', '{{1,-2},{0.5,3}}') AS m) s WHERE format <> 'onnx';
SELECT format, model_read(bytes) = model_read(bytes, format) AS found,
       tensor(model_read(bytes), (SELECT name FROM tensors(model_read(bytes)))) AS values
FROM written ORDER BY format;
-- One format's bytes are no other's.
SELECT model_read(bytes, 'onnx') FROM written WHERE format = 'safetensors';
SELECT model_read(bytes, 'safetensors') FROM written WHERE format = 'gguf';
SELECT model_read(bytes, 'gguf') FROM written WHERE format = 'npy';
SELECT model_read(bytes, 'npy') FROM written WHERE format = 'npz';
SELECT model_read(bytes, 'npz') FROM written WHERE format = 'pytorch';
SELECT model_read(bytes, 'pytorch') FROM written WHERE format = 'gguf';

-- A key chooses among the entries of a checkpoint; no other format has any.
SELECT model_read(bytes, key => 'weights') FROM written WHERE format = 'safetensors';
SELECT model_read(bytes, key => '') FROM written WHERE format = 'gguf';
SELECT model_read(bytes, key => 'w') FROM written WHERE format = 'npz';
SELECT model_read(bytes, 'npy', 'array') FROM written WHERE format = 'npy';
SELECT model_read(bytes, 'onnx', 'w') FROM written WHERE format = 'npy';
SELECT model_read(bytes, key => '') = model_read(bytes) AS pytorch FROM written WHERE format = 'pytorch';

-- The default is PyTorch's; null in, null out.
SELECT model_write(m) = model_write(m, 'pytorch') AS pytorch, model_write(NULL, 'npz') IS NULL AS nothing,
       model_write(m, NULL) IS NULL AS no_format
FROM (SELECT model_agg('w', '{{1,-2},{0.5,3}}') AS m) s;

-- Tensors of floats in another type, which only GGUF does.
SELECT d.dtype, t.dtype AS becomes, encoding, bytes
FROM unnest('{f32,f16,bf16,q8_0,q4_0}'::text[]) d (dtype),
     (SELECT model_agg('w', ARRAY[data]) AS m FROM (SELECT array_agg(i::real) AS data FROM generate_series(1, 64) i) d) s,
     tensors(model_read(model_write(m, 'gguf', d.dtype))) t;
SELECT model_write(model_agg('w', '{{1}}'), 'gguf', 'q9_9');
SELECT model_write(model_agg('w', '{{1}}'), 'npz', 'f16');
SELECT model_write(model_agg('w', '{{1}}'), 'keras');
SELECT model_write(model_agg('w', '{{1}}'), 'onnx');

-- ---------- hints ----------

\set VERBOSITY default
-- Names that people use for formats.
SELECT model_write(model_agg('w', '{1}'), 'pt');
SELECT model_read('\x00', 'torch');
SELECT model_write(model_agg('w', '{1}'), 'onyx');
SELECT model_write(model_agg('w', '{1}'), 'npz', dtype => 'f16');
-- Which file it was; this one lies in the data directory.
SELECT model_load('PG_VERSION');
SELECT model_load('no/such/file');
-- What NumPy has not.
SELECT model_write(model_read(set_byte('\x0000000000000000', 0, length(header)) || convert_to(header, 'UTF8') || '\x803f', 'safetensors'), 'npz')
FROM (VALUES ('{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}')) v (header);
