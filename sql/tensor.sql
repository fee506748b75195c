-- Tensors as arrays: every dtype out and in, shapes, ties, encodings, and
-- models made of arrays.  Values and bytes were computed with numpy and torch
-- (f16: numpy.float16, bf16 and f8: torch.Tensor.to, integers: int.to_bytes).

-- Models of dtypes that model_agg does not make, from bytes: the flat form of
-- tensors that all lie over one payload.
CREATE FUNCTION le(value bigint, size int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(set_byte('\x00', 0, (value >> (8 * i) & 255)::int), '' ORDER BY i)
   FROM generate_series(0, size - 1) i $$;
CREATE FUNCTION pad(bytes bytea, size int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT bytes || decode(repeat('00', (- length(bytes)) & (size - 1)), 'hex') $$;
CREATE FUNCTION flat(dtype int, shape bigint[], stored bytea,
                     names text[] = '{x}', decoded bytea = NULL,
                     metadata bytea = '{}', recipe bytea = '[]', decoded_sha256 bytea = NULL) RETURNS model
LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    dims bytea = coalesce((SELECT string_agg(le(d, 8), '' ORDER BY i)
                           FROM unnest(shape) WITH ORDINALITY u (d, i)), '');
    elements bigint = 1;
    digest bytea = coalesce(decoded_sha256, sha256(coalesce(decoded, stored)));
    directory bytea;
    content bytea = '';
    name text;
    body bytea;
    start int;
BEGIN
    FOR i IN 1 .. cardinality(shape) LOOP
        elements = elements * shape[i];
    END LOOP;
    directory = le(length(stored), 8) || le(elements, 8) || le(dtype, 1) ||
        le((coalesce(decoded, decoded_sha256) IS NOT NULL)::int, 1) || le(0, 14) || digest;
    FOREACH name IN ARRAY names LOOP
        directory = directory || le(0, 4) || le(length(name), 2) ||
            le(cardinality(shape), 1) || le(0, 1) || pad(dims || name::bytea, 8);
        content = content || le(length(name), 4) || name::bytea || le(dtype, 1) ||
            le(cardinality(shape), 1) || dims || digest;
    END LOOP;
    start = (72 + length(directory || metadata || recipe) + 63) / 64 * 64;
    body = 'mdlo'::bytea || '\x01000000' || le(cardinality(names), 4) || le(1, 4) ||
        le(length(directory), 4) || le(length(metadata), 4) || le(length(recipe), 4) ||
        le(start + length(stored), 8) || sha256(content || le(length(metadata), 4) || metadata) ||
        directory || metadata || recipe;
    RETURN model(body || decode(repeat('00', start - 4 - length(body)), 'hex') || stored);
END
$$;

-- The bytes of the last tensor.
CREATE FUNCTION stored(m model) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT encode(substr(bytea(m), (length(bytea(m)) - t.bytes + 1)::int), 'hex')
   FROM tensors(m) WITH ORDINALITY AS t (name, dtype, shape, parameters, bytes, encoding, tied_to, i)
   ORDER BY i DESC LIMIT 1 $$;

-- Every dtype out.
CREATE TABLE typed (id serial, m model);
INSERT INTO typed (m) VALUES
    -- 0.1, 1e40, 2^24 + 1, 2^-150
    (flat(1, '{4}', '\x9a9999999999b93fa55cc3f129633d4800000010000070410000000000009036')),
    -- -0, the smallest subnormal, NaN, -infinity
    (flat(2, '{4}', '\x00000080010000000000c07f000080ff')),
    -- 1/3, -0, the smallest subnormal, the largest, -infinity, NaN
    (flat(3, '{6}', '\x553500800100ff7b00fc007e')),
    -- 1/3, -0, the smallest subnormal, infinity, NaN
    (flat(4, '{5}', '\xab3e00800100807fc07f')),
    -- -0, the smallest subnormal, 1, 448, NaN
    (flat(5, '{5}', '\x8001387e7f')),
    -- -0, the smallest subnormal, 1, 57344, -infinity, NaN
    (flat(6, '{6}', '\x80013c7bfc7f')),
    (flat(7, '{3}', '\xffffffffffffffff0000000000000080ffffffffffffff7f')),
    (flat(8, '{3}', '\xffffffff00000080ffffff7f')),
    (flat(9, '{3}', '\xffff0080ff7f')),
    (flat(10, '{3}', '\xff807f')),
    (flat(11, '{2}', '\x0100000000000000ffffffffffffffff')),
    (flat(12, '{2}', '\x01000000ffffffff')),
    (flat(13, '{2}', '\x0100ffff')),
    (flat(14, '{2}', '\x01ff')),
    (flat(15, '{3}', '\x010001')),
    -- -1, -8, 7, and half a byte to spare
    (flat(16, '{3}', '\x8f07')),
    (flat(17, '{3}', '\x8f07')),
    -- NaN where -0 would be, the smallest subnormal, 1, the largest, 0
    (flat(18, '{5}', '\x8001407f00')),
    (flat(19, '{5}', '\x8001407f00')),
    -- 2^-127, 2^-126, 1, 2^127, NaN: no zero
    (flat(20, '{5}', '\x00017ffeff'));

SELECT t.dtype, t.bytes, tensor(m, 'x') FROM typed, tensors(m) t ORDER BY id;

-- Zeros of either sign, and elements of four bits.
SELECT t.dtype, s.zeros, t.parameters, sparsity(m) = s.zeros::float8 / t.parameters AS same, s.min, s.max
FROM typed, tensors(m) t, stats(m) s ORDER BY id;
SELECT t.dtype, sparsity(m), s.zeros, s.min, s.max, s.mean
FROM (VALUES (flat(16, '{5}', '\xf0700e')), (flat(17, '{5}', '\xf0700e'))) v (m), tensors(m) t, stats(m) s;
-- Bits that are all 0 are left out of a sparse tensor, whatever they stand for:
-- element 3 of 80 is 1, the others are 2^-127, of which none is a zero.
SELECT t.dtype, encoding, sparsity(m), s.zeros, s.nan, s.min, s.max, (tensor(m, 'x'))[3:4] AS two, decompress(m) = m AS same
FROM (SELECT flat(20, '{80}', '\x08' || decode(repeat('00', 63), 'hex') || '\x7f', decoded => '\x0000007f' || decode(repeat('00', 76), 'hex'))) v (m),
     tensors(m) t, stats(m) s;

-- Every dtype in, and what rounding to nearest even makes of ties and of what
-- is too large.
SELECT t.dtype, stored(model_set(flat(code, ARRAY[cardinality(data)], decode(repeat('00', size), 'hex')), 'x', data))
FROM (VALUES (1, 16, '{0.1,-0}'::real[]),
             (2, 16, '{0.1,-0,NaN,-Infinity}'),
             (3, 20, '{65519.996,65520,2049,2051,2.9802322e-08,4.4703484e-08,NaN,-Infinity,-0,1e-10}'),
             (4, 12, '{1.00390625,1.01171875,3.4e38,NaN,-0,1e-45}'),
             (5, 9, '{464,465,-Infinity,NaN,0.0009765625,0.0029296875,17,19,-0}'),
             (6, 9, '{61439,61440,-Infinity,NaN,7.6293945e-06,2.2888184e-05,9,11,-0}'),
             (7, 16, '{-9223372036854775808,16777216}'),
             (8, 8, '{-2147483648,2147483520}'),
             (9, 4, '{-32768,32767}'),
             (10, 3, '{-128,127,-0}'),
             (11, 8, '{18446742974197923840}'),
             (12, 4, '{4294967040}'),
             (13, 2, '{65535}'),
             (14, 1, '{255}'),
             (15, 2, '{0,1}'),
             (16, 3, '{-8,7,-1,0,3}'),
             (17, 2, '{15,0,9}'),
             (18, 9, '{248,247.9,-Infinity,NaN,0.00048828125,0.00146484375,17,19,-0}'),
             (19, 9, '{61440,61439,-Infinity,NaN,3.8146973e-06,1.1444092e-05,9,11,-0}'),
             (20, 6, '{1.5,1.4999999,2.6e38,NaN,1e-45,Infinity}')) v (code, size, data),
     tensors(flat(code, ARRAY[cardinality(data)], decode(repeat('00', size), 'hex'))) t
ORDER BY code;

-- What a dtype cannot hold.
CREATE FUNCTION try_set(m model, data real[]) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    message text;
    detail text;
BEGIN
    RETURN stored(model_set(m, 'x', data));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, nullif(detail, ''));
END
$$;
SELECT try_set(flat(code, ARRAY[cardinality(data)], decode(repeat('00', size), 'hex')), data)
FROM (VALUES (7, 8, '{9223372036854775808}'::real[]),
             (8, 8, '{0,2147483648}'),
             (9, 4, '{0,-32769}'),
             (10, 2, '{0,128}'),
             (10, 2, '{0,0.5}'),
             (10, 2, '{NaN,0}'),
             (11, 8, '{18446744073709551616}'),
             (12, 4, '{-1}'),
             (13, 2, '{65536}'),
             (14, 1, '{Infinity}'),
             (15, 2, '{0,2}'),
             (16, 1, '{0,8}'),
             (17, 1, '{-1,0}'),
             (20, 2, '{1,0}'),
             (20, 1, '{-0}'),
             (20, 3, '{NaN,1,-1}')) v (code, size, data);
-- The element is named by the subscripts that the array has.
SELECT try_set(flat(10, '{2,3}', '\x000000000000'), '{{1,2,3},{4,5,1000}}');
SELECT try_set(flat(10, '{2,3}', '\x000000000000'), '[0:1][-1:1]={{1,2,3},{4,5,1000}}');
-- Beyond the first chunk, too.
SELECT try_set(flat(10, '{40000}', decode(repeat('00', 40000), 'hex')),
               array_agg(CASE WHEN i = 33000 THEN 200 ELSE 0 END ORDER BY i)::real[])
FROM generate_series(1, 40000) i;

-- Shapes.
CREATE TABLE shaped AS
SELECT 'scalar' AS name, flat(2, '{}', '\x0000803f') AS m
UNION ALL SELECT 'matrix', flat(2, '{2,3}', '\x000000000000803f0000004000004040000080400000a040')
UNION ALL SELECT 'empty', flat(2, '{0}', '')
UNION ALL SELECT 'empty matrix', flat(2, '{0,3}', '')
UNION ALL SELECT 'rank 6', flat(2, '{1,1,2,1,1,1}', '\x0000803f00000040')
UNION ALL SELECT 'rank 7', flat(2, '{1,1,1,1,1,1,1}', '\x0000803f');
SELECT s.name, t.shape, tensor(m, 'x') FROM shaped s, tensors(m) t WHERE s.name <> 'rank 7';
SELECT tensor(m, 'x') FROM shaped WHERE name = 'rank 7';
\echo :LAST_ERROR_SQLSTATE
SELECT tensor(flat(16, '{134217728}', decode(repeat('00', 67108864), 'hex')), 'x');
SELECT name, tensor(model_set(m, 'x', data), 'x')
FROM shaped JOIN (VALUES ('scalar', '{7}'::real[]),
                         ('matrix', '{{9,8,7},{6,5,4}}'),
                         ('matrix', '[0:1][5:7]={{9,8,7},{6,5,4}}'),
                         ('empty', '{}'),
                         ('empty matrix', '{}'),
                         ('rank 6', '{{{{{{8}}},{{{9}}}}}}')) v (name, data) USING (name)
ORDER BY name, data;
SELECT name, try_set(m, data)
FROM shaped JOIN (VALUES ('scalar', '{7,8}'::real[]),
                         ('scalar', '{{7}}'),
                         ('scalar', '{}'),
                         ('matrix', '{9,8,7,6,5,4}'),
                         ('matrix', '{{9,8},{7,6},{5,4}}'),
                         ('matrix', '{}'),
                         ('matrix', '{{9,8,NULL},{6,5,4}}'),
                         ('empty matrix', '{1}'),
                         ('rank 7', '{1}')) v (name, data) USING (name)
ORDER BY name, data;
SELECT model_set(m, 'x', '{7,8}') FROM shaped WHERE name = 'scalar';
\echo :LAST_ERROR_SQLSTATE
-- A bitmap of nulls without a null in it is no null.
SELECT tensor(model_set(m, 'x', (array_append('{1,2}'::real[], NULL))[1:2]), 'x')
FROM (VALUES (flat(2, '{2}', '\x0000000000000000'))) v (m);

-- Names.
SELECT tensor(m, 'y') FROM shaped WHERE name = 'scalar';
\echo :LAST_ERROR_SQLSTATE
SELECT model_set(m, '', '{1}') FROM shaped WHERE name = 'scalar';
SELECT tensor(NULL, 'x') IS NULL AND model_set(NULL, 'x', '{1}') IS NULL AND model_set_metadata(NULL, '{}') IS NULL AS strict;
-- But not what a model would be lost by.
SELECT model_set(model_agg('x', '{1}'), NULL, '{1}');
SELECT model_set(model_agg('x', '{1}'), 'x', NULL);
SELECT model_set_metadata(model_agg('x', '{1}'), NULL);

-- Tied tensors change together, and stay tied.
CREATE TABLE tied AS
SELECT flat(2, '{2}', '\x0000803f00000040', '{embed.weight,head.weight}') AS m;
SELECT t.* FROM tied, tensors(m) t;
SELECT t.* FROM tied, layers(m) t;
SELECT num_parameters(m), num_parameters(model_set(m, 'head.weight', '{5,6}')) FROM tied;
SELECT tensor(s, 'embed.weight'), tensor(s, 'head.weight'), tensor(m, 'head.weight') AS before,
       (SELECT array_agg(tied_to) FROM tensors(s))
FROM tied, model_set(m, 'head.weight', '{5,6}') s;

-- Sparse ones are read like dense ones.  These are 64 elements of which the
-- mask has the second and the last.
CREATE TABLE sparse AS
SELECT flat(2, '{64}', pad('\x0200000000000080', 64) || '\x0000803f00000080', '{x}',
            le(0, 4) || '\x0000803f' || le(0, 244) || '\x00000080') AS m;
SELECT t.bytes, t.encoding, (tensor(m, 'x'))[2], (tensor(m, 'x'))[64], sparsity(m)
FROM sparse, tensors(m) t;
SELECT t.bytes, t.encoding, d = m AS equal, tensor(d, 'x') = tensor(m, 'x') AS same
FROM sparse, decompress(m) d, tensors(d) t;
-- What is put in is sparse again if that is smaller.
SELECT t.bytes, t.encoding, (tensor(s, 'x'))[3:4]
FROM sparse, model_set(m, 'x', array_fill(0::real, '{3}') || array_fill(9::real, '{10}') || array_fill(0::real, '{51}')) s,
     tensors(s) t;
SELECT t.bytes, t.encoding, (tensor(s, 'x'))[64]
FROM sparse, model_set(m, 'x', array_fill(9::real, '{64}')) s, tensors(s) t;
-- A dense one stays dense.
SELECT t.bytes, t.encoding FROM sparse, model_set(decompress(m), 'x', tensor(m, 'x')) s, tensors(s) t;
SELECT decompress(m) = m AS equal FROM typed WHERE id = 1;

-- model_agg: the order of the rows, the shapes of the arrays.
SELECT t.name, t.shape, tensor(m, t.name)
FROM (SELECT model_agg(name, data ORDER BY ord DESC) AS m
      FROM (VALUES (1, 'b', '{{1,2},{3,4}}'::real[]), (2, 'a', '{}'), (3, 'c', '[5:6]={7,8}'),
                   (4, 'deep', '{{{{{{1}}}}}}')) v (ord, name, data)) s, tensors(m) t;
SELECT model_agg(name, data) IS NULL AS none FROM (VALUES ('a', '{1}'::real[])) v (name, data) WHERE false;
SELECT g, num_parameters(model_agg(name, data) FILTER (WHERE name <> 'c'))
FROM (VALUES (1, 'a', '{1}'::real[]), (1, 'b', '{2,3}'), (2, 'c', '{4}'), (2, 'a', '{5}')) v (g, name, data)
GROUP BY g ORDER BY g;
-- The state goes on after each result.
SELECT name, num_parameters(model_agg(name, data) OVER (ORDER BY name))
FROM (VALUES ('a', '{1}'::real[]), ('b', '{2,3}'), ('c', '{4}')) v (name, data);
SELECT model_agg(name, '{1}') FROM (VALUES ('a'), (NULL)) v (name);
\echo :LAST_ERROR_SQLSTATE
SELECT model_agg('a', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT model_agg('a', '{1,NULL}');
\echo :LAST_ERROR_SQLSTATE
SELECT model_agg(name, '{1}') FROM (VALUES ('a'), ('b'), ('a')) v (name);
\echo :LAST_ERROR_SQLSTATE
SELECT model_agg('', '{1}');
SELECT length(name) FROM tensors((SELECT model_agg(repeat('é', 512), '{1}')));
SELECT model_agg(repeat('é', 512) || 'e', '{1}');
\echo :LAST_ERROR_SQLSTATE
SELECT num_parameters(model_agg('t' || i, '{1}')) FROM generate_series(1, 100000) i;
SELECT num_parameters(model_agg('t' || i, '{1}')) FROM generate_series(1, 100001) i;
\echo :LAST_ERROR_SQLSTATE
-- A model is as good as the table it came from.
SELECT bool_and(tensor(m, name) = data) AS kept
FROM (VALUES ('a', '{{1,2},{3,4}}'::real[]), ('b', '{0.5}')) v (name, data),
     (SELECT model_agg(name, data) AS m
      FROM (VALUES ('a', '{{1,2},{3,4}}'::real[]), ('b', '{0.5}')) v (name, data)) s;

-- What is not changed is shared: a large model with one tensor set again and
-- again is quick, and the other tensor is what it was.
DO $$
DECLARE
    m model = (SELECT model_agg('w' || t, array_fill(t::real, '{1000,1000}')) FROM generate_series(1, 2) t);
BEGIN
    m = model_set(m, 'w1', array_fill(7::real, '{1000,1000}'));
    FOR i IN 1 .. 3 LOOP
        m = model_set(m, 'w1', tensor(m, 'w1'));
    END LOOP;
    RAISE NOTICE '% % %', (tensor(m, 'w1'))[1][1], (tensor(m, 'w2'))[1000][1000], num_parameters(m);
END
$$;

-- Metadata: an object, whole.
SELECT model_metadata(model_agg('x', '{1}'));
SELECT model_metadata(model_set_metadata(m, '{"epoch": 3, "classes": ["no", "naïve 重み"], "a": {"b": null}}'))
FROM typed WHERE id = 1;
SELECT model_metadata(model_set_metadata(model_set_metadata(m, '{"a": 1}'), '{"b": 2}')) FROM typed WHERE id = 1;
SELECT model_set_metadata(m, '{"b": 1, "a": 2}') = model_set_metadata(m, '{"a": 2,   "b": 1}') AS equal,
       model_set_metadata(m, '{"a": 2}') = m AS changed
FROM typed WHERE id = 2;
SELECT model_set_metadata(m, '[1]') FROM typed WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE
SELECT model_set_metadata(m, '"text"') FROM typed WHERE id = 1;
SELECT model_set_metadata(m, jsonb_build_object('x', repeat('x', 16777216))) FROM typed WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE

-- The recipe is shown with it and stays what it is.
CREATE TABLE made AS
SELECT flat(2, '{1}', '\x0000803f', '{x}', NULL, '{"epoch": 3}', '[{"amount": 0.5, "function": "prune"}]') AS m;
SELECT model_metadata(m), model_info(m) -> 'recipe' AS recipe, model_info(m) -> 'metadata_keys' AS keys FROM made;
SELECT model_metadata(model_set_metadata(m, '{"by": "hand"}')),
       model_set_metadata(m, model_metadata(m)) = m AS same,
       model_metadata(model_set_metadata(m, model_metadata(m))) = model_metadata(m) AS same_recipe,
       model_metadata(model_set(m, 'x', '{2}')) = model_metadata(m) AS kept
FROM made;
SELECT model_set_metadata(m, '{"recipe": []}') FROM made;
\echo :LAST_ERROR_SQLSTATE
SELECT model_set_metadata(m, '{"recipe": "mine"}') FROM typed WHERE id = 1;
SELECT model_metadata(model_set_metadata(m, '{"recipe": [], "a": 1}')) FROM typed WHERE id = 1;

-- What is too large for a text is not for the other forms, what is too large
-- for those is not stored.  Sparse zeros are small: the digests are those of
-- 805306368 and 1073741824 zero bytes, by sha256sum.
SELECT length(bytea(m)) < 13000000 AS small, decompress(m)::text
FROM (SELECT flat(1, '{100663296}', decode(repeat('00', 12582912), 'hex'), '{x}',
                  decoded_sha256 => '\xd8492a624b5ded59e8a2185b0755f195a58642456e8387ba2817e46f1e05b358')) z (m);
\echo :LAST_ERROR_SQLSTATE
SELECT model_size(decompress(m)), bytea(decompress(m))
FROM (SELECT flat(1, '{134217728}', decode(repeat('00', 16777216), 'hex'), '{x}',
                  decoded_sha256 => '\x49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14')) z (m);
\echo :LAST_ERROR_SQLSTATE

DROP TABLE typed, shaped, tied, sparse, made;
DROP FUNCTION try_set, stored, flat, pad, le;
