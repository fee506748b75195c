-- Reading and writing NumPy's files.  Those of test/data were written by numpy,
-- and are compared with what it found in them (sums_npz.csv).  What attacks
-- the reader is in hostile_npz.

CREATE SCHEMA npz;
SET search_path = npz, public;

-- ---------- files of numpy ----------

CREATE TABLE files (name text PRIMARY KEY, data bytea);
\set mlp `base64 < test/data/digits_mlp.npz | tr -d '\n'`
\set arrays `base64 < test/data/arrays.npz | tr -d '\n'`
\set versions `base64 < test/data/versions.npz | tr -d '\n'`
\set fortran_big `base64 < test/data/fortran_big.npy | tr -d '\n'`
\set mlp_pth `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set tied_pth `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set dtypes2 `base64 < test/data/dtypes2.pth | tr -d '\n'`
INSERT INTO files
SELECT name, decode(base64, 'base64')
FROM (VALUES ('digits_mlp.npz', :'mlp'), ('arrays.npz', :'arrays'), ('versions.npz', :'versions'),
             ('fortran_big.npy', :'fortran_big'), ('digits_mlp.pth', :'mlp_pth'), ('tied_transformer.pth', :'tied_pth'),
             ('dtypes2.pth', :'dtypes2')) v (name, base64);

-- Names, order, dtypes, shapes and every bit are what numpy says: the digest
-- of a tensor is taken from the flat form, which the cast checks whole.
CREATE TABLE sums (id serial, file text, tensor text, dtype text, shape bigint[], finite_sum float8, not_finite int, sha256 text);
\copy sums (file, tensor, dtype, shape, finite_sum, not_finite, sha256) FROM 'test/data/sums_npz.csv' WITH (FORMAT csv, HEADER, ENCODING 'UTF8')
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
CREATE TABLE models AS SELECT name, model_read(data) AS m FROM files;
SELECT s.file, string_agg(s.tensor, ',' ORDER BY s.id) = string_agg(t.name, ',' ORDER BY t.at) AS names,
       count(*) AS tensors, bool_and(s.dtype = t.dtype AND s.shape = t.shape) AS shapes, bool_and(s.sha256 = d.sha256) AS bits
FROM models, tensors(m) WITH ORDINALITY t (name, dtype, shape, parameters, bytes, encoding, tied_to, at), digests(m) d, sums s
WHERE models.name = s.file AND t.name = s.tensor AND d.tensor = s.tensor
GROUP BY s.file ORDER BY s.file;
-- There is nothing in such a file but arrays.
SELECT name, model_metadata(m), count(tied_to) AS tied, array_agg(DISTINCT encoding) AS encodings
FROM models, tensors(m) t (tensor) WHERE name LIKE '%.np_' GROUP BY name, model_metadata(m) ORDER BY name;
-- Values in their places: numpy.arange(120) in Fortran's order, big endian,
-- and 60 steps from 0 to 1.
SELECT c = f AS fortran, c = b AS big, c[2][3][4][5] AS last, c[1][2][1][1] AS twenty, c[2][1][1][1] AS sixty
FROM models, LATERAL (SELECT tensor(m, 'cube'), tensor(m, 'cube_fortran'), tensor(m, 'cube_fortran_big')) v (c, f, b)
WHERE name = 'arrays.npz';
SELECT name, a[1][1][1:3], a[2][1][1:2], a[3][4][5] FROM models, tensor(m, 'array') a WHERE name = 'fortran_big.npy';
SELECT t.name, dtype, shape, tensor(m, t.name) FROM models s, tensors(m) t
WHERE s.name = 'arrays.npz' AND (parameters < 3 OR t.name IN ('vector', 'column'));
-- The same weights as PyTorch's checkpoint of them.
SELECT count(*) AS tensors, bool_and(a.sha256 = b.sha256) AS bits
FROM models p, models n, digests(p.m) a, digests(n.m) b
WHERE p.name = 'digits_mlp.pth' AND n.name = 'digits_mlp.npz' AND a.tensor = b.tensor;

-- The explicit names, and those that do not fit.
SELECT name, model_read(data, right(name, 3)) = m AS same FROM files JOIN models USING (name) WHERE name LIKE '%.np_' ORDER BY name;
SELECT model_read(data, 'npy') FROM files WHERE name = 'digits_mlp.npz';
SELECT model_read(data, 'npz') FROM files WHERE name = 'fortran_big.npy';
SELECT model_read(data, 'npz') FROM files WHERE name = 'digits_mlp.pth';
SELECT model_read(data, 'pytorch') FROM files WHERE name = 'digits_mlp.npz';
SELECT model_read('', 'npz');
-- numpy writes no arrays as an archive without members; only the name tells
-- which of the formats that are zip archives it is.
SELECT model_info(model_read(data, 'npz')) -> 'tensors' AS tensors, model_write(model_read(data, 'npz'), 'npz') = data AS same
FROM (VALUES ('\x504b0506000000000000000000000000000000000000'::bytea)) v (data);
SELECT model_read('\x504b0506000000000000000000000000000000000000');

-- ---------- writing ----------

-- What is read again is the same, and each member is what numpy.save writes:
-- the whole file, when it wrote one, and the members of a stored archive.
SELECT name, model_read(model_write(m, 'npz')) = m AS same
FROM models WHERE name LIKE '%.np_' ORDER BY name;
SELECT encode(substr(file, 1, 128), 'escape') AS header, length(file) AS size
FROM (SELECT model_write(model_agg('w', '{{1,2,3},{4,5,6}}'), 'npy')) v (file);
-- Members of an archive, from its directory.
CREATE FUNCTION members(file bytea) RETURNS TABLE (name text, at int, contents bytea) LANGUAGE plpgsql AS
$$
DECLARE
    entry int = u(file, length(file) - 22 + 16, 4);
    local int;
BEGIN
    FOR i IN 1 .. u(file, length(file) - 22 + 10, 2) LOOP
        name = convert_from(substr(file, entry + 47, u(file, entry + 28, 2)::int), 'UTF8');
        local = u(file, entry + 42, 4);
        at = local + 30 + u(file, local + 26, 2) + u(file, local + 28, 2);
        contents = substr(file, at + 1, u(file, entry + 20, 4)::int);
        RETURN NEXT;
        entry = entry + 46 + u(file, entry + 28, 2) + u(file, entry + 30, 2) + u(file, entry + 32, 2);
    END LOOP;
END
$$;
SELECT ours.name, ours.at % 64 = 0 AS aligned, ours.contents = theirs.contents AS same
FROM files JOIN models USING (name), members(data) theirs, members(model_write(m, 'npz')) ours
WHERE files.name = 'digits_mlp.npz' AND ours.name = theirs.name;
SELECT name, m = again AS same, model_write(m, 'npy') = contents AS member
FROM (SELECT model_agg('array', '{1,2,3}')) v (m), model_read(model_write(m, 'npy')) again, members(model_write(m, 'npz'));
-- What a header says of shapes; a row of a letter each for dtypes.
SELECT members.name, convert_from(substr(contents, 11, 70), 'UTF8') AS header
FROM models, members(model_write(m, 'npz'))
WHERE models.name = 'arrays.npz' AND members.name IN ('scalar.npy', 'vector.npy', 'empty_middle.npy', 'cube_fortran_big.npy');
SELECT string_agg(convert_from(substr(contents, 22, 3), 'UTF8'), ' ' ORDER BY members.name)
FROM models, members(model_write(m, 'npz')) WHERE models.name = 'arrays.npz' AND members.name LIKE '__.npy';
-- Ties are not in the format: what was one is two that are equal.  Metadata
-- is not, either.
SELECT t.name, t.tied_to FROM models, model_read(model_write(m, 'npz')) again, tensors(again) t
WHERE models.name = 'tied_transformer.pth' AND t.name IN ('embed.weight', 'output.weight');
SELECT model_metadata(model_read(model_write(model_set_metadata(model_agg('w', '{1}'), '{"a": 1}'), 'npz')));
-- A sparse tensor is written whole.
SELECT sum(bytes) FILTER (WHERE encoding = 'sparse') > 0 AS sparse, sparsity(again) = sparsity(m) AS zeros,
       length(model_write(m, 'npz')) = length(model_write(decompress(m), 'npz')) AS size
FROM (SELECT prune(m, 0.9) FROM models WHERE name = 'digits_mlp.npz') p (m), model_read(model_write(m, 'npz')) again,
     tensors(m)
GROUP BY m, again;

-- What the formats cannot have.
SELECT model_write(m, 'npy') FROM models WHERE name = 'digits_mlp.npz';
SELECT model_write(m, 'npz') FROM models WHERE name = 'dtypes2.pth';
CREATE FUNCTION try(m model) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    detail text;
BEGIN
    RETURN length(model_write(m, 'npz')) || ' bytes';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || '. ' || regexp_replace(detail, 'w{20,}', 'www');
END
$$;
SELECT try(model_agg(name, '{1}')) FROM unnest(ARRAY['../w', '/w', E'a\\b', 'c:w', 'a/../b', '..', repeat('w', 509)]) WITH ORDINALITY t (name, i)
GROUP BY i ORDER BY i;
SELECT model_read(file) = m AS same FROM (SELECT model_agg(repeat('w', 508), '{1}')) v (m), model_write(m, 'npz') file;
SELECT string_agg(name, ' ') FROM (SELECT model_agg(name, '{1}') FROM unnest('{a..b,...,"a b",a/b,.npy,w.npy}'::text[]) name) v (m),
       tensors(model_read(model_write(m, 'npz')));
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
SELECT try(flat(dtype, 0, 3, decode(repeat('00', size), 'hex'), sha256(decode(repeat('00', size), 'hex')))::model)
FROM (VALUES (4, 6), (5, 3), (6, 3), (16, 2), (17, 2), (18, 3), (19, 3), (20, 3)) v (dtype, size);
-- A sparse gigabyte of zeros is small here, but no bytea can hold it dense.
SELECT model_write(flat(1, 1, 134217728, decode(repeat('00', 16777216), 'hex'),
                        '\x49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14')::model, 'npz');

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA npz CASCADE;
RESET client_min_messages;
