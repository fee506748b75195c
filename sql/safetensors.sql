-- Reading and writing safetensors files.  Files of test/data were written by
-- the reference library, and are compared with what it found in them
-- (sums_safetensors.csv).  What attacks the reader is in hostile_safetensors,
-- models in several files are in the TAP tests.

CREATE SCHEMA safetensors;
SET search_path = safetensors, public;

-- ---------- files of the reference ----------

CREATE TABLE files (name text PRIMARY KEY, data bytea);
\set mlp `base64 < test/data/digits_mlp.safetensors | tr -d '\n'`
\set dtypes `base64 < test/data/dtypes.safetensors | tr -d '\n'`
\set nothing `base64 < test/data/nothing.safetensors | tr -d '\n'`
\set first `base64 < test/data/digits_mlp-00001-of-00002.safetensors | tr -d '\n'`
\set second `base64 < test/data/digits_mlp-00002-of-00002.safetensors | tr -d '\n'`
\set index `base64 < test/data/digits_mlp.safetensors.index.json | tr -d '\n'`
\set mlp_pth `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set tied_pth `base64 < test/data/tied_transformer.pth | tr -d '\n'`
INSERT INTO files
SELECT name, decode(base64, 'base64')
FROM (VALUES ('digits_mlp.safetensors', :'mlp'), ('dtypes.safetensors', :'dtypes'), ('nothing.safetensors', :'nothing'),
             ('digits_mlp-00001-of-00002.safetensors', :'first'), ('digits_mlp-00002-of-00002.safetensors', :'second'),
             ('digits_mlp.safetensors.index.json', :'index'), ('digits_mlp.pth', :'mlp_pth'),
             ('tied_transformer.pth', :'tied_pth')) v (name, base64);

-- Names, order, dtypes, shapes and every bit are what the reference says: the
-- digest of a tensor is taken from the flat form, which the cast checks whole.
CREATE TABLE sums (id serial, file text, tensor text, dtype text, shape bigint[], finite_sum float8, not_finite int, sha256 text);
\copy sums (file, tensor, dtype, shape, finite_sum, not_finite, sha256) FROM 'test/data/sums_safetensors.csv' WITH (FORMAT csv, HEADER, ENCODING 'UTF8')
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
CREATE TABLE models AS SELECT name, model_read(data) AS m FROM files WHERE name LIKE '%.safetensors';
SELECT s.file, string_agg(s.tensor, ',' ORDER BY s.id) = string_agg(t.name, ',' ORDER BY t.at) AS names,
       count(*) AS tensors, bool_and(s.dtype = t.dtype AND s.shape = t.shape) AS shapes, bool_and(s.sha256 = d.sha256) AS bits
FROM models, tensors(m) WITH ORDINALITY t (name, dtype, shape, parameters, bytes, encoding, tied_to, at), digests(m) d, sums s
WHERE models.name = s.file AND t.name = s.tensor AND d.tensor = s.tensor
GROUP BY s.file ORDER BY s.file;
SELECT model_info(m) -> 'tensors' AS tensors, model_metadata(m) FROM models WHERE name = 'nothing.safetensors';
-- Nothing is tied and nothing is sparse in such a file.
SELECT count(tied_to) AS tied, array_agg(DISTINCT encoding) FROM models, tensors(m);

-- The explicit name, and one that does not fit.
SELECT model_read(data, 'safetensors') = m AS same FROM files JOIN models USING (name) ORDER BY name;
SELECT model_read(data, 'pytorch') FROM files WHERE name = 'digits_mlp.safetensors';
SELECT model_read(data, 'safetensors') FROM files WHERE name = 'digits_mlp.pth';
-- The index of a model in several files is read with these, by model_load.
SELECT model_read(data) FROM files WHERE name LIKE '%.json';
SELECT model_read(data, 'safetensors') FROM files WHERE name LIKE '%.json';

-- ---------- metadata ----------

SELECT name, model_metadata(m) FROM models WHERE name <> 'nothing.safetensors' ORDER BY name;
CREATE FUNCTION header(file bytea) RETURNS jsonb LANGUAGE sql AS
$$ SELECT convert_from(substr(file, 9, u(file, 0, 8)::int), 'UTF8')::jsonb $$;
SELECT name, header(data) -> '__metadata__' = header(model_write(m, 'safetensors')) -> '__metadata__' AS kept
FROM files JOIN models USING (name) ORDER BY name;
-- A model from elsewhere is marked as transformers wants it; what is no string
-- cannot be kept, and nothing can be said that way.
SELECT metadata, header(model_write(model_set_metadata(m, metadata), 'safetensors')) - 'w' AS header
FROM (SELECT model_agg('w', '{1}')) v (m),
     unnest(ARRAY['{}', '{"safetensors": {}}', '{"safetensors": {"a": "b", "n": 1, "o": {"a": "c"}, "l": ["d"]}, "a": "e"}',
                  '{"safetensors": "x"}', '{"pytorch": {"key": "x"}}']::jsonb[]) metadata;

-- ---------- writing ----------

-- Byte for byte what the reference wrote, but where it has several strings
-- that are no tensors: it writes those in random order.
SELECT name, model_write(m, 'safetensors') = data AS same FROM files JOIN models USING (name) WHERE name <> 'dtypes.safetensors' ORDER BY name;
SELECT model_read(model_write(m, 'safetensors')) = m AS same, length(data) = length(model_write(m, 'safetensors')) AS size
FROM files JOIN models USING (name) WHERE name = 'dtypes.safetensors';
-- The example of the reference's own test of serialization.
SELECT model_write(model_set_metadata(model_agg('attn.0', array_fill(0, '{1,2,3}')), '{"safetensors": {}}'), 'safetensors') =
       '\x4000000000000000' || '{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}'::bytea ||
       decode(repeat('00', 24), 'hex') AS same;
-- Wide dtypes first, then by name; the header is padded to 8 bytes.
SELECT convert_from(substr(file, 9, u(file, 0, 8)::int), 'UTF8') || '|' AS header, length(file) - 8 - u(file, 0, 8) AS elements
FROM (SELECT model_write(model_set_metadata(model_agg(name, ARRAY[1]::real[]), '{"safetensors": {}}'), 'safetensors')
      FROM unnest('{b,ab,"q\"\\/ü"}'::text[]) name) v (file);
SELECT string_agg(t.name, ' ') FROM models, tensors(model_read(model_write(m, 'safetensors'))) t WHERE models.name = 'dtypes.safetensors';
-- Ties are not in the format: what was one is two that are equal.
SELECT t.name, t.tied_to FROM files, model_read(data) m, model_read(model_write(m, 'safetensors')) again, tensors(again) t
WHERE files.name = 'tied_transformer.pth' AND t.name IN ('embed.weight', 'output.weight');
SELECT tensor(again, 'embed.weight') = tensor(m, 'output.weight') AS equal
FROM files, model_read(data) m, model_read(model_write(m, 'safetensors')) again WHERE name = 'tied_transformer.pth';
-- A sparse tensor is written whole.
SELECT sum(bytes) FILTER (WHERE encoding = 'sparse') > 0 AS sparse, sparsity(again) = sparsity(m) AS zeros,
       length(model_write(m, 'safetensors')) = length(model_write(decompress(m), 'safetensors')) AS size
FROM (SELECT prune(m, 0.9) FROM models WHERE name = 'digits_mlp.safetensors') p (m), model_read(model_write(m, 'safetensors')) again,
     tensors(m)
GROUP BY m, again;
-- From PyTorch's format to this one and back nothing changes but the order.
SELECT count(*) AS tensors, bool_and(a.sha256 = b.sha256) AS bits
FROM files, model_read(data) m,
     model_read(model_write(model_read(model_write(m, 'safetensors')), 'pytorch')) again, digests(m) a, digests(again) b
WHERE name = 'digits_mlp.pth' AND a.tensor = b.tensor;

-- What the format cannot have.
SELECT model_write(model_agg('__metadata__', '{1}'), 'safetensors');
-- A flat form with one tensor w, whose payload is as told.
CREATE FUNCTION little(n bigint, bytes int) RETURNS bytea LANGUAGE sql AS
$$ SELECT coalesce(string_agg(set_byte('\x00', 0, (n >> (8 * i))::int & 255), '' ORDER BY i), '') FROM generate_series(0, bytes - 1) i $$;
CREATE FUNCTION flat(dtype int, encoding int, count bigint, stored bytea, digest bytea) RETURNS bytea LANGUAGE sql AS
$$ SELECT 'mdlo'::bytea || '\x01000000' || little(1, 4) || little(1, 4) || little(88, 4) || little(2, 4) || little(2, 4) ||
          little(192 + length(stored), 8) ||
          sha256('\x01000000'::bytea || 'w'::bytea || little(dtype, 1) || '\x01' || little(count, 8) || digest ||
                 '\x02000000'::bytea || '{}'::bytea) ||
          little(length(stored), 8) || little(count, 8) || little(dtype, 1) || little(encoding, 1) ||
          little(0, 14) || digest ||
          little(0, 4) || '\x01000100' || little(count, 8) || 'w'::bytea || little(0, 7) ||
          '{}'::bytea || '[]'::bytea || little(0, 28) || stored $$;
SELECT model_write(flat(16, 0, 3, '\x2101', sha256('\x2101'))::model, 'safetensors');
SELECT model_write(flat(17, 0, 3, '\x2101', sha256('\x2101'))::model, 'safetensors');
-- A sparse gigabyte of zeros is small here, but no bytea can hold it dense.
SELECT model_write(flat(1, 1, 134217728, decode(repeat('00', 16777216), 'hex'),
                        '\x49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14')::model, 'safetensors');

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA safetensors CASCADE;
RESET client_min_messages;
