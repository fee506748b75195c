-- Quantizing.  What is expected is computed here, by the formulas of the tools
-- in real arithmetic; the tools themselves are asked by the interop tests.
SET extra_float_digits = 1;
\set tied `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set mlp `base64 < test/data/digits_mlp.onnx | tr -d '\n'`

-- Numbers between -1.5 and 1.5 with three digits, in rows.
CREATE FUNCTION numbers(n int, width int, seed int DEFAULT 1) RETURNS real[] LANGUAGE sql IMMUTABLE AS
$$ SELECT array_agg(row_ ORDER BY i) FROM (
    SELECT i, array_agg(((((i * width + j) * 7919 + seed * 104729) % 3001 - 1500) / 1000.0)::real ORDER BY j) AS row_
    FROM generate_series(0, n - 1) i, generate_series(0, width - 1) j GROUP BY i) r $$;
CREATE TABLE zoo AS SELECT model_agg(name, data ORDER BY name) AS m FROM (VALUES
    ('a', numbers(20, 96)), ('b', numbers(7, 200, 5)), ('bias', '{1, 2, 3}'::real[]),
    ('half', (SELECT array_agg(r) FROM (SELECT array_agg((j % 5 * 0.25)::real) r FROM generate_series(0, 99) j, generate_series(0, 4) i GROUP BY i) x))) v (name, data);

-- The elements of a tensor with their rows.
CREATE FUNCTION elements(m model, name text) RETURNS TABLE (i int, j int, x real) LANGUAGE sql AS
$$ SELECT i, j, t[i][j] FROM (SELECT tensor(m, name) AS t) x, generate_subscripts(t, 1) i, generate_subscripts(t, 2) j $$;

-- How many elements are other than a formula has them: min and max are those
-- of the elements that share a scale, 0 included.
CREATE FUNCTION differ(m model, q model, formula text, share text) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT name, (%s)::real AS wanted, y FROM (
            SELECT *, least(min(x) OVER w, 0)::real AS lo, greatest(max(x) OVER w, 0)::real AS hi FROM (
                SELECT n.name, e.i, e.j, e.x, f.x AS y
                FROM (VALUES (''a''), (''b''), (''half'')) n (name), elements($1, name) e JOIN elements($2, name) f USING (i, j)) e
            WINDOW w AS (PARTITION BY name, %s)) r) s WHERE wanted <> y', formula, share) USING m, q INTO result;
    RETURN result;
END
$$;

-- Halves away from zero, and to even, as round of doubles has them.
CREATE FUNCTION away(x real) RETURNS real LANGUAGE sql IMMUTABLE AS $$ SELECT (sign(x) * floor(abs(x::float8) + 0.5))::real $$;
CREATE FUNCTION even(x real) RETURNS real LANGUAGE sql IMMUTABLE AS $$ SELECT round(x::float8)::real $$;


-- ONNX Runtime: symmetric and from the least to the greatest.
CREATE FUNCTION onnx(x real, lo real, hi real, levels int) RETURNS real LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN lo = hi THEN 0 ELSE greatest(least(even(x / s), levels / 2), -(levels + 1) / 2)::real * s END
   FROM (SELECT (2 * greatest(hi, -lo)::float8 / levels)::real AS s) z $$;
CREATE FUNCTION onnx_affine(x real, lo real, hi real, low int, high int) RETURNS real LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN lo = hi THEN 0 ELSE (least(greatest(even(x / s) + zero, low), high) - zero)::real * s END
   FROM (SELECT ((hi::float8 - lo::float8) / (high - low))::real AS s,
                round(low - lo::float8 / ((hi::float8 - lo::float8) / (high - low))) AS zero) z $$;
-- torch's observers.
CREATE FUNCTION torch(x real, lo real, hi real) RETURNS real LANGUAGE sql IMMUTABLE AS
$$ SELECT greatest(least(even(x * (1::real / s)), 127), -128)::real * s
   FROM (SELECT greatest(greatest(hi, -lo) / 127.5::real, 1.1920929e-07::real) AS s) z $$;
-- Groups of MatMulNBits; the scale has the sign of the extreme, which is the lowest of the codes.
CREATE FUNCTION groups(x real, lo real, hi real, half int) RETURNS real LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN lo = hi THEN 0 ELSE
          (least(greatest(away((x * (1::real / s)) + half::real), 0), 2 * half - 1) - half)::real * s END
   FROM (SELECT ((CASE WHEN hi > -lo THEN hi ELSE lo END) / -half::real)::real AS s) z $$;

-- How many elements differ: with a scale for each row, each column, the whole.
SELECT differ(m, quantize(m, 'int8'), 'onnx(x, lo, hi, 254)', 'i') AS rows,
    differ(m, quantize(m, 'int8', axis => 1), 'onnx(x, lo, hi, 254)', 'j') AS columns,
    differ(m, quantize(m, 'int8', axis => -2), 'onnx(x, lo, hi, 254)', 'i') AS rows_again,
    differ(m, quantize(m, 'int8', granularity => 'tensor'), 'onnx(x, lo, hi, 254)', '1') AS whole,
    differ(m, quantize(m, 'int16'), 'onnx(x, lo, hi, 65534)', 'i') AS int16,
    differ(m, quantize(m, 'int4', granularity => 'channel'), 'onnx(x, lo, hi, 15)', 'i') AS int4,
    differ(m, quantize(m, 'int8', reduce_range => true), 'onnx(x, lo, hi, 128)', 'i') AS reduced
FROM zoo;
SELECT differ(m, quantize(m, 'int8', affine => true), 'onnx_affine(x, lo, hi, -128, 127)', 'i') AS int8,
    differ(m, quantize(m, 'uint8'), 'onnx_affine(x, lo, hi, 0, 255)', 'i') AS uint8,
    differ(m, quantize(m, 'uint4', granularity => 'channel'), 'onnx_affine(x, lo, hi, 0, 15)', 'i') AS uint4,
    differ(m, quantize(m, 'uint8', affine => false, granularity => 'tensor'), 'onnx(x, lo, hi, 255)', '1') AS uint8_symmetric
FROM zoo;
SELECT differ(m, quantize(m, 'int8', 'torch'), 'torch(x, lo, hi)', 'i') AS rows,
    differ(m, quantize(m, 'int8', 'torch', 'tensor'), 'torch(x, lo, hi)', '1') AS whole
FROM zoo;
SELECT differ(m, quantize(m, 'int4'), 'groups(x, lo, hi, 8)', 'i, (j - 1) / 32') AS int4,
    differ(m, quantize(m, 'int4', group_size => 16, axis => 0), 'groups(x, lo, hi, 8)', '(i - 1) / 16, j') AS along_columns,
    differ(m, quantize(m, 'int8', group_size => 64), 'groups(x, lo, hi, 128)', 'i, (j - 1) / 64') AS int8
FROM zoo;

-- Smaller floats: the nearest one, the even one of two.
CREATE FUNCTION rounded(dtype text, data real[]) RETURNS real[] LANGUAGE sql AS
$$ SELECT tensor(quantize(model_agg('x', ARRAY[data]), dtype), 'x') $$;
SELECT rounded('fp16', '{2049, 2051, 0.1, 65519, 6e-8, 2e-8, -1e-30}') AS fp16,
    rounded('bf16', '{257, 259, 0.1, 3.38e38, -1e-30}') AS bf16,
    rounded('fp8_e4m3', '{17, 19, 0.1, 460, -0.0009}') AS e4m3,
    rounded('fp8_e5m2', '{9, 11, 0.1, 57344, -1e-30}') AS e5m2;

-- What they are then, and what it took; a dtype changes, an encoding does not
-- show.  What would not become smaller stays.
SELECT d.*, t.* FROM unnest('{int8, int4, fp16, q8_0, q4_0}'::text[]) d, zoo, quantize(m, d) q,
    LATERAL (SELECT name, dtype, shape, bytes, encoding FROM tensors(q)) t;
SELECT name, new_dtype, new_encoding, bytes_before, bytes_after, max_error < 0.1 AS close, rms_error <= max_error AS less, note
FROM zoo, quantize_dry_run(m, 'q8_0');
SELECT name, new_encoding, bytes_before, bytes_after, note FROM zoo, quantize_dry_run(prune(m, 0.95), 'int8');

-- A dry run says what is done: the differences, squared and summed up, too.
SELECT r.name, r.max_error = (SELECT max(abs(e.x - f.x)::float8) FROM elements(m, r.name) e JOIN elements(q, r.name) f USING (i, j)) AS most,
    abs(r.rms_error - (SELECT sqrt(avg((e.x::float8 - f.x) ^ 2)) FROM elements(m, r.name) e JOIN elements(q, r.name) f USING (i, j))) < 1e-12 AS rms,
    r.bytes_after = t.bytes AS bytes
FROM zoo, quantize(m, 'int8') q, quantize_dry_run(m, 'int8') r JOIN tensors(q) t USING (name);

-- Zeros stay zeros, whatever the type.
SELECT d, bool_and(f.x = 0) FROM unnest('{int8, uint8, int4, uint4, int16, uint16, fp16, bf16, fp8_e4m3, fp8_e5m2, q8_0, q4_0}'::text[]) d,
    zoo, prune(m, 0.6) p, quantize(p, d, exclude => '{half}') q, elements(p, 'a') e JOIN elements(q, 'a') f USING (i, j)
WHERE e.x = 0 GROUP BY d ORDER BY d;

-- A model of it is a value like any other: its content is what it decodes to,
-- in memory, stored, as text.
CREATE TABLE kept AS SELECT d, quantize(m, d, granularity => g) AS q
FROM zoo, (VALUES ('int8', 'channel'), ('uint8', 'tensor'), ('int4', 'group'), ('uint4', 'group'), ('int16', 'channel')) v (d, g);
SELECT d, decompress(q) = q AS decoded, q::text::model = q AS text, q::bytea::model::bytea = q::bytea AS bytes,
    model_digest(q) = model_digest(decompress(q)) AS digest, (SELECT bool_and(encoding = 'dense') FROM tensors(decompress(q))) AS dense,
    model_size(q) < model_size(decompress(q)) AS smaller
FROM kept ORDER BY d;
SELECT d, q = quantize(m, d, granularity => CASE d WHEN 'uint8' THEN 'tensor' WHEN 'int4' THEN 'group' WHEN 'uint4' THEN 'group' ELSE 'channel' END) AS same
FROM kept, zoo ORDER BY d;

-- Steps compose, and the recipe has them all; the next one works on what was decoded.
SELECT step ->> 'function' AS function, step -> 'arguments' AS arguments, step #> '{rates, tensors}' AS tensors
FROM zoo, jsonb_array_elements(model_metadata(quantize(prune(m, 0.5), 'int8')) -> 'recipe') step;
SELECT sparsity(prune(quantize(m, 'int8'), 0.5)) >= 0.49 AS pruned, model_set(quantize(m, 'int4'), 'b', numbers(7, 200, 5)) = model_set(m, 'a', tensor(quantize(m, 'int4'), 'a')) AS set_
FROM (SELECT model_agg(name, data ORDER BY name) AS m FROM (VALUES ('a', numbers(20, 96)), ('b', numbers(7, 200, 5))) v (name, data)) z;

-- Tied tensors are quantized once and stay tied.
SELECT name, encoding, tied_to FROM tensors(quantize(model_read(decode(:'tied', 'base64')), 'int8'))
WHERE tied_to IS NOT NULL OR name LIKE '%embed%' ORDER BY name;

-- Names and patterns; nothing to do.
SELECT name, encoding FROM zoo, tensors(quantize(m, 'int8', include => '{a, ?a*}'));
SELECT name, encoding FROM zoo, tensors(quantize(m, 'int8', include => '{*}', exclude => '{b}'));
SELECT quantize(m, 'int8', exclude => '{*}') = m AS same FROM zoo;
SELECT quantize(NULL, 'int8') IS NULL AS null_;

-- Once more.
SELECT encoding, max(bytes) FROM zoo, tensors(quantize(quantize(m, 'int8'), 'int4', requantize => true)) WHERE name = 'a' GROUP BY encoding;
-- Not where it would be larger than the codes that are there, whatever the dtype.
SELECT type, bool_and(t.encoding = q.encoding AND t.bytes = q.bytes) AS stays FROM zoo, unnest('{int16,fp16,bf16}'::text[]) type,
    LATERAL (SELECT quantize(m, 'int4') AS four) x, tensors(four) t JOIN LATERAL tensors(quantize(four, type, requantize => true)) q USING (name)
WHERE t.encoding = 'affine' GROUP BY type ORDER BY type;
SELECT d.note, count(*) FROM zoo, quantize_dry_run(quantize(m, 'int4'), 'bf16', requantize => true) d GROUP BY 1 ORDER BY 1;
-- Zeros that are left out of what is stored stay out.
SELECT b.encoding, b.bytes < a.bytes AS smaller FROM (SELECT prune(model_agg('x', numbers(64, 64)), 0.9) AS m) x, tensors(m) a, tensors(quantize(m, 'fp16')) b;

-- Refusals.
CREATE FUNCTION refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE query;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
CREATE TABLE odd AS SELECT model_agg(name, data ORDER BY name) AS m FROM (VALUES
    ('nan', ARRAY[array_fill(1::real, '{100}'), array_fill(2::real, '{99}') || 'NaN'::real]),
    ('inf', ARRAY[array_fill(1::real, '{100}'), '-Infinity'::real || array_fill(2::real, '{99}')]),
    ('large', ARRAY[array_fill(3e38::real, '{100}'), array_fill(-3e38::real, '{100}')]),
    ('block', array_fill(1e7::real, '{2, 32}')), ('four', numbers(4, 64))) v (name, data);
\x
SELECT call, refusal(format('SELECT %s FROM odd', call)) FROM unnest(ARRAY[
    'quantize(m, NULL)',
    'quantize(m, ''int5'')',
    'quantize(m, ''float16'')',
    'quantize(m, ''Float32'')',
    'quantize(m, ''int8'', ''tflite'')',
    'quantize(m, ''int8'', ''gguf'')',
    'quantize(m, ''q8_0'', ''onnx'')',
    'quantize(m, ''int8'', granularity => ''row'')',
    'quantize(m, ''int4'', ''torch'')',
    'quantize(m, ''int8'', ''torch'', group_size => 32)',
    'quantize(m, ''int16'', group_size => 32)',
    'quantize(m, ''int8'', granularity => ''channel'', group_size => 32)',
    'quantize(m, ''int4'', group_size => 0)',
    'quantize(m, ''int8'', granularity => ''tensor'', axis => 0)',
    'quantize(m, ''int8'', axis => 2, include => ''{four}'')',
    'quantize(m, ''int4'', reduce_range => true)',
    'quantize(m, ''fp16'', granularity => ''tensor'')',
    'quantize(m, ''fp16'', affine => true)',
    'quantize(m, ''bf16'', group_size => 32)',
    'quantize(m, ''bf16'', axis => 0)',
    'quantize(m, ''q4_0'', reduce_range => true)',
    'quantize(m, ''int8'', include => ''{five}'')',
    'quantize(m, ''int8'', include => ''{x*}'')',
    'quantize(m, ''int8'', include => ''{nan}'', granularity => ''tensor'')',
    'quantize(m, ''int8'', include => ''{inf}'', granularity => ''tensor'')',
    'quantize(m, ''fp16'', include => ''{nan}'')',
    'quantize(m, ''fp16'', include => ''{block}'')',
    'quantize(m, ''fp8_e4m3'', include => ''{block}'')',
    'quantize(m, ''bf16'', include => ''{inf}'')',
    'quantize(m, ''q8_0'', include => ''{block}'')',
    'quantize(m, ''int8'', ''torch'', ''tensor'', affine => true, include => ''{large}'')',
    'quantize(quantize(m, ''int8'', include => ''{four}''), ''int4'', include => ''{four}'')',
    'quantize(quantize(m, ''q8_0'', include => ''{four}''), ''fp16'', include => ''{four}'')',
    'quantize(m, ''int8'', include => ''{four}'', activation_ranges => ''{"x": [0, 1]}'')',
    'quantize(m, ''fp16'', include => ''{four}'', activation_ranges => ''{"x": [0, 1]}'')',
    'quantize(m, ''int8'', include => ''{four}'', activation_ranges => ''[]'')',
    'quantize(m, ''int8'', include => ''{four}'', activation_ranges => ''{"x": [1, 0]}'')',
    'quantize(m, ''int8'', include => ''{four}'', activation_ranges => ''{"x": [0]}'')',
    'quantize(m, ''int8'', include => ''{four}'', activation_ranges => ''{"x": [0, "1"]}'')'
]) call;
-- Numbers that are finite, and no floats: 1, and 1e300 ever after.
CREATE TABLE wide AS SELECT model_read('\x4800000000000000' || '{"x": {"dtype": "F64", "shape": [20, 30], "data_offsets": [0, 4800]}}   '::bytea ||
    decode('000000000000f03f' || repeat('9c7500883ce4377e', 599), 'hex'), 'safetensors') AS m;
SELECT call, refusal(format('SELECT %s FROM wide', call)) FROM unnest(ARRAY[
    'quantize(m, ''int8'')', 'quantize(m, ''fp16'')', 'compress(m, ''cluster'', bits => 4)', 'compress(m, max_error => 1)']) call;
DROP TABLE wide;
\x

CREATE TABLE mlp AS SELECT model_read(decode(:'mlp', 'base64')) AS m;
-- Graphs: scales are for outputs, wherever the operators have them; ranges
-- become scales and zero points by the same formula, and only values that nodes
-- take have any.
SELECT model_metadata(quantize(m, 'int8', activation_ranges => '{"pixels": [0, 1.02]}')) -> 'quantization' AS quantization
FROM mlp;
SELECT refusal($$ SELECT quantize(m, 'int8', activation_ranges => '{"nothing": [0, 1]}') FROM mlp $$);
SELECT n.name, op_type, n.inputs, n.outputs
FROM model_read(model_write(quantize((SELECT m FROM mlp), 'int8',
    activation_ranges => '{"pixels": [0, 1]}'), 'onnx')) m, nodes(m) n ORDER BY position;
SELECT t.name, dtype, shape FROM model_read(model_write(quantize((SELECT m FROM mlp), 'int4'), 'onnx')) m, tensors(m) t;
SELECT length(model_write(m, 'onnx')) > 2 * length(model_write(quantize(m, 'int8'), 'onnx')) AS smaller
FROM mlp;
-- Groups of a convolution, in a graph that is older than groups: 27 numbers are
-- two rows of 16, five of which a Slice takes away.
CREATE TABLE conv AS SELECT set_graph(model_agg('c.weight', d), 'c:conv2d') AS m
FROM (SELECT array_agg(array_fill(i::real, '{3,3,3}') ORDER BY i) FROM generate_series(1, 4) i) v (d);
SELECT n.name, op_type, domain, inputs, attributes FROM conv, nodes(model_read(model_write(quantize(m, 'int4', group_size => 16), 'onnx'))) n;
SELECT t.name, dtype, shape, CASE WHEN dtype = 'i64' OR t.name ~ 'scale' THEN tensor(q, t.name) END AS numbers
FROM conv, model_read(model_write(quantize(m, 'int4', group_size => 16), 'onnx')) q, tensors(q) t;
SELECT array_agg(v ORDER BY o) AS third_row FROM conv, unnest(tensor(model_read(model_write(quantize(m, 'int4', group_size => 16), 'onnx')), 'c.weight_quantized')) WITH ORDINALITY u (v, o) WHERE o BETWEEN 65 AND 96;
-- What ONNX does not have is decoded, and that is said.
SELECT length(model_write(compress(m, 'cluster', bits => 2), 'onnx')) > 0 AS written FROM mlp;
SELECT length(model_write(compress(m, 'cluster', bits => 2, include => '{layer1.weight}'), 'onnx')) > 0 AS written FROM mlp;
DROP TABLE conv;
-- Columns that are longer than what is written at once: 70000 codes, and 16 that
-- fill the last block up.
CREATE TABLE long AS SELECT q, model_read(model_write(q, 'onnx')) AS f FROM (
    SELECT quantize(set_graph(model_agg('l.weight', d), 'l:linear'), 'int4') AS q
    FROM (SELECT array_agg(r) FROM (SELECT array_agg((sin(i) * o)::real ORDER BY i) AS r FROM generate_series(1, 70000) i, generate_series(1, 2) o GROUP BY o) rows) v (d)) x;
SET enable_nestloop = off;
SELECT count(*) AS elements, bool_and(x = (code - 8)::real * scale) AS same FROM long,
    LATERAL (SELECT (o - 1) / 70000 AS r, (o - 1) % 70000 AS k, x FROM unnest(tensor(q, 'l.weight')) WITH ORDINALITY u (x, o)) e
    JOIN LATERAL (SELECT ((o - 1) * 2 + half) / 70016 AS r, ((o - 1) * 2 + half) % 70016 AS k, bytes::int >> 4 * half & 15 AS code
        FROM unnest(tensor(f, 'l.weight_quantized')) WITH ORDINALITY u (bytes, o), generate_series(0, 1) half) c USING (r, k)
    JOIN LATERAL (SELECT o - 1 AS block, scale FROM unnest(tensor(f, 'l.weight_scale')) WITH ORDINALITY u (scale, o)) s ON block = r * 2188 + k / 32;
RESET enable_nestloop;
DROP TABLE long;
-- Elsewhere it is decoded.
SELECT format, model_set_metadata(model_read(model_write(q, format)), '{}') = decompress(q) AS same
FROM zoo, quantize(m, 'int8') q, unnest('{safetensors, npz}'::text[]) format;

DROP TABLE zoo, kept, odd, mlp;
DROP FUNCTION numbers, elements, differ, away, even, onnx, onnx_affine, torch, groups, rounded, refusal;

-- Floats of 8 bits take operators of version 19, which a graph of 17 gets where
-- they do the same.
CREATE TABLE small AS SELECT set_graph(model_agg(n, d), 'l:linear') AS m FROM (VALUES ('l.weight', '{{1,2,3,4},{5,6,7,8}}'::real[])) t (n, d);
SELECT model_metadata(r) #> '{onnx,opset_import}' AS opset, model_metadata(r) #> '{onnx,ir_version}' AS ir, tensor(r, t.name), dtype
FROM small, model_read(model_write(quantize(m, 'fp8_e4m3'), 'onnx')) r, tensors(r) t;
SELECT op_type, attributes FROM (SELECT set_graph(model_agg(n, array_fill(0.5::real, s)), 'a:attention(heads=2)') AS m
        FROM (VALUES ('a.in_proj_weight', '{12,4}'::int[]), ('a.in_proj_bias', '{12}'), ('a.out_proj.weight', '{4,4}'), ('a.out_proj.bias', '{4}')) t (n, s)) a,
    nodes(model_read(model_write(quantize(m, 'fp8_e4m3'), 'onnx'))) WHERE op_type IN ('Split', 'Cast');
-- Older ones do not.
CREATE FUNCTION with_bytes(m model, was text, will_be text) RETURNS model LANGUAGE sql AS
$$ SELECT model_read(decode(replace(encode(model_write(m, 'onnx'), 'hex'), was, will_be), 'hex')) $$;
SELECT model_write(quantize(with_bytes(m, '42040a001011', '42040a00100f'), 'fp8_e4m3'), 'onnx') FROM small;
DROP FUNCTION with_bytes;
DROP TABLE small;
