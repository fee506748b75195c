-- Writing PyTorch checkpoints.  What torch itself makes of them is shown by
-- the interop tests; here are the bytes, against the formats' own rules.

CREATE SCHEMA pytorch_write;
SET search_path = pytorch_write, public;
SET bytea_output = 'hex';

-- A second opinion on zip archives: little-endian numbers, the CRC bit by bit,
-- and a walk over the directory that compares it with the local headers.
CREATE FUNCTION u(bytes bytea, at bigint, size int) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS
$$ SELECT sum(get_byte(bytes, at::int + i)::bigint << (8 * i))
   FROM generate_series(0, size - 1) i $$;

CREATE FUNCTION crc(bytes bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    crc bigint := 4294967295;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        FOR bit IN 1 .. 8 LOOP
            crc := (crc >> 1) # (CASE WHEN crc & 1 = 1 THEN 3988292384 ELSE 0 END);
        END LOOP;
    END LOOP;
    RETURN crc # 4294967295;
END
$$;

CREATE FUNCTION records(zip bytea)
    RETURNS TABLE (name text, size bigint, starts_at bigint, header_right boolean, contents bytea)
    LANGUAGE plpgsql AS
$$
DECLARE
    ends bigint := length(zip) - 22;
    at bigint := u(zip, ends + 16, 4);
    header bigint;
BEGIN
    IF substr(zip, ends::int + 1, 4) <> 'PK\005\006' OR at + u(zip, ends + 12, 4) <> ends THEN
        RAISE 'no end of a zip archive';
    END IF;
    FOR i IN 1 .. u(zip, ends + 10, 2) LOOP
        IF substr(zip, at::int + 1, 4) <> 'PK\001\002' THEN
            RAISE 'no entry of a directory at %', at;
        END IF;
        header := u(zip, at + 42, 4);
        size := u(zip, at + 24, 4);
        name := convert_from(substr(zip, at::int + 47, u(zip, at + 28, 2)::int), 'UTF8');
        starts_at := header + 30 + u(zip, header + 26, 2) + u(zip, header + 28, 2);
        contents := substr(zip, starts_at::int + 1, size::int);
        -- From "version needed" to the length of the name both say the same,
        -- and the CRC is that of the contents.
        header_right := substr(zip, header::int + 1, 4) = 'PK\003\004' AND
            substr(zip, header::int + 5, 24) = substr(zip, at::int + 7, 24) AND
            substr(zip, header::int + 31, length(name)) = convert_to(name, 'UTF8') AND
            u(zip, at + 16, 4) = crc(contents) AND u(zip, at + 20, 4) = size;
        RETURN NEXT;
        at := at + 46 + u(zip, at + 28, 2);
    END LOOP;
END
$$;

CREATE FUNCTION pickle(zip bytea) RETURNS text LANGUAGE sql AS
$$ SELECT encode(contents, 'escape') FROM records(zip) WHERE name = 'archive/data.pkl' $$;

-- The vector that every CRC-32 is checked with.
SELECT to_hex(crc('123456789')) AS crc;

-- A small model, byte by byte: the records, and the pickle's opcodes.
CREATE TABLE models (name text, m model, written bytea);
INSERT INTO models
    SELECT 'small', model_agg(name, data ORDER BY o), NULL
    FROM (VALUES (1, 'fc.weight', '{{1,2,3},{4,5,6}}'::real[]), (2, 'fc.bias', '{0.5}')) t (o, name, data);
UPDATE models SET written = model_write(m, 'pytorch');
SELECT r.name, size, starts_at, starts_at % 64 AS misaligned, header_right, contents
FROM models, records(written) r
WHERE r.name <> 'archive/data.pkl';
SELECT replace(pickle(written), E'\n', '|') FROM models;
SELECT substr(written, 1, 10) AS local_header, substr(written, 11, 4) AS date,
       substr(written, 47, 4) AS padding_field
FROM models;

-- Real checkpoints: each is as torch has it, is written alike each time, and
-- comes back the same, metadata and all.
\set digits_mlp `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set digits_mlp_deflated `base64 < test/data/digits_mlp_deflated.pth | tr -d '\n'`
\set digits_mlp_legacy `base64 < test/data/digits_mlp_legacy.pth | tr -d '\n'`
\set tied_transformer `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set dtypes `base64 < test/data/dtypes.pth | tr -d '\n'`
\set dtypes2 `base64 < test/data/dtypes2.pth | tr -d '\n'`
\set views `base64 < test/data/views.pth | tr -d '\n'`
\set shapes `base64 < test/data/shapes.pth | tr -d '\n'`
TRUNCATE models;
INSERT INTO models
    SELECT name, model_read(decode(data, 'base64')), NULL
    FROM (VALUES ('digits_mlp', :'digits_mlp'), ('digits_mlp_deflated', :'digits_mlp_deflated'),
                 ('digits_mlp_legacy', :'digits_mlp_legacy'), ('tied_transformer', :'tied_transformer'),
                 ('dtypes', :'dtypes'), ('dtypes2', :'dtypes2'), ('views', :'views')) t (name, data);
UPDATE models SET written = model_write(m, 'pytorch');
SELECT name, model_read(written) = m AS same,
       model_write(m, 'pytorch') = written AS again,
       model_write(model_read(written), 'pytorch') = written AS twice,
       (SELECT count(*) FROM tensors(m)) AS tensors,
       (SELECT count(*) FROM records(written) r WHERE r.name LIKE 'archive/data/%') AS storages,
       (SELECT bool_and(header_right AND starts_at % 64 = 0) FROM records(written)) AS archive_right
FROM models ORDER BY name;

-- Whatever container a model came in, it goes out in the same one.
SELECT count(DISTINCT written) FROM models WHERE name LIKE 'digits_mlp%';

-- Entries that are no tensors are metadata, and are not written.
SELECT model_metadata(m) -> 'pytorch' ? 'entries' AS entries_read,
       model_metadata(model_read(model_write(m, 'pytorch'))) -> 'pytorch' ? 'entries' AS entries_written
FROM (SELECT model_read(decode(:'shapes', 'base64')) AS m) s;
SELECT a.name, a.dtype, a.shape, b.name IS NOT NULL AS came_back
FROM (SELECT model_read(decode(:'shapes', 'base64')) AS m) s,
     tensors(m) a LEFT JOIN tensors(model_read(model_write(m, 'pytorch'))) b USING (name, dtype, shape);

-- Each dtype has its storage class; those that came with PyTorch 2 have none,
-- so their tensors carry the dtype.
CREATE FUNCTION globals(zip bytea) RETURNS SETOF text LANGUAGE sql AS
$$ SELECT DISTINCT g[1] || '.' || g[2]
   FROM regexp_matches(pickle(zip), 'c(collections|torch|torch\.[a-z_]+)\n([A-Za-z0-9_]+)\n', 'g') g
   ORDER BY 1 $$;
SELECT name, globals(written) FROM models WHERE name IN ('dtypes', 'dtypes2') ORDER BY 1, 2;
SELECT substring(replace(pickle(written), E'\n', '|') FROM 'ctorch\._utils.*?tR') AS first_tensor
FROM models WHERE name = 'dtypes2';

-- Sparse tensors are written densely: zeros are zeros.
SELECT (SELECT string_agg(DISTINCT encoding, ', ') FROM tensors(pruned)) AS encodings,
       length(model_write(pruned, 'pytorch')) = length(written) AS as_long,
       model_read(model_write(pruned, 'pytorch')) = pruned AS same,
       model_write(pruned, 'pytorch') = model_write(decompress(pruned), 'pytorch') AS alike
FROM (SELECT prune(m, 0.9) AS pruned, written FROM models WHERE name = 'digits_mlp') p;

-- The versions of modules go back where torch looks for them...
CREATE FUNCTION versions(metadata jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT substr(p, strpos(p, ')RtRs') + 5)
   FROM (SELECT replace(pickle(model_write(model_set_metadata(model_agg('w', '{1}'::real[]), metadata),
                                           'pytorch')), E'\n', '|')) t (p) $$;
SELECT versions('{}');
SELECT versions('{"note": "_metadata", "pytorch": {"key": "}", "_metadata": {"": {"version": 1}, "bn": {"version": 2}}}}');
SELECT versions('{"pytorch": {"_metadata": {}}}');
SELECT versions('{"pytorch": {"_metadata": {"a": {}, "b": {"n": null, "t": true, "f": false, "s": "text"}}}}');
SELECT versions('{"pytorch": {"_metadata": {"a\"b\\c/\u00e9\t\u001f": {"x": 255, "y": 256, "z": 65536}}}}');
SELECT versions('{"pytorch": {"_metadata": {"a": {"x": -1, "y": 2147483648, "z": -9223372036854775808}}}}');
-- ... but nothing that torch would not have put there.
SELECT v, versions(v) = '.' AS left_out
FROM unnest(ARRAY['{"pytorch": 1}', '{"pytorch": []}', '{"pytorch": {"_metadata": 1}}', '{"pytorch": {"_metadata": []}}',
                  '{"pytorch": {"_metadata": {"a": 1}}}', '{"pytorch": {"_metadata": {"a": []}}}',
                  '{"pytorch": {"_metadata": {"a": {"x": 1.5}}}}', '{"pytorch": {"_metadata": {"a": {"x": 1.0}}}}',
                  '{"pytorch": {"_metadata": {"a": {"x": []}}}}', '{"pytorch": {"_metadata": {"a": {"x": {}}}}}',
                  '{"pytorch": {"_metadata": {"a": {"x": 9223372036854775808}}}}',
                  '{"x": {"_metadata": {"a": {}}}}', '{"_metadata": {"a": {}}}']::jsonb[]) v;

-- As many records as need the zip64 end record.
SELECT num_parameters(m), model_read(written) = m AS same,
       substr(written, length(written) - 97, 4) AS end64, substr(written, length(written) - 41, 4) AS locator,
       u(written, length(written) - 98 + 32, 8) AS records, u(written, length(written) - 22 + 10, 2) AS saturated
FROM (SELECT m, model_write(m, 'pytorch') AS written
      FROM (SELECT model_agg('t' || i, ARRAY[i]::real[] ORDER BY i) AS m FROM generate_series(1, 65532) i) a) w;
-- One less does not.
SELECT model_read(written) = m AS same,
       u(written, length(written) - 22 + 10, 2) AS records, substr(written, length(written) - 41, 4) = 'PK\006\007' AS locator
FROM (SELECT m, model_write(m, 'pytorch') AS written
      FROM (SELECT model_agg('t' || i, ARRAY[i]::real[] ORDER BY i) AS m FROM generate_series(1, 65531) i) a) w;

-- What cannot be written.  Models of these kinds are put together from their
-- flat form: one tensor "w" of one dimension.
CREATE FUNCTION little(value bigint, size int) RETURNS bytea LANGUAGE sql AS
$$ SELECT string_agg(set_byte('\x00', 0, (value >> (8 * i) & 255)::int), '' ORDER BY i)
   FROM generate_series(0, size - 1) i $$;
CREATE FUNCTION flat(dtype int, encoding int, count bigint, stored bytea, digest bytea) RETURNS bytea LANGUAGE sql AS
$$ SELECT 'mdlo'::bytea || '\x01000000' || little(1, 4) || little(1, 4) || little(88, 4) || little(2, 4) || little(2, 4) ||
          little(192 + length(stored), 8) ||
          sha256('\x01000000'::bytea || 'w'::bytea || little(dtype, 1) || '\x01' || little(count, 8) || digest ||
                 '\x02000000'::bytea || '{}'::bytea) ||
          little(length(stored), 8) || little(count, 8) || little(dtype, 1) || little(encoding, 1) ||
          little(0, 14) || digest ||
          little(0, 4) || '\x01000100' || little(count, 8) || 'w'::bytea || little(0, 7) ||
          '{}'::bytea || '[]'::bytea || little(0, 28) || stored $$;

SELECT (tensors(m)).* FROM (SELECT flat(2, 0, 1, '\x0000803f', sha256('\x0000803f'))::model) t (m);
SELECT model_write(flat(16, 0, 3, '\x2101', sha256('\x2101'))::model, 'pytorch');
SELECT model_write(flat(17, 0, 3, '\x2101', sha256('\x2101'))::model, 'pytorch');
SELECT model_write(m, 'onnxx') FROM models LIMIT 1;
SELECT model_write(m, NULL) IS NULL, model_write(NULL, 'pytorch') IS NULL FROM models LIMIT 1;

-- A sparse gigabyte of zeros is small here, but no bytea can hold it dense.
SELECT model_write(flat(1, 1, 134217728, decode(repeat('00', 16777216), 'hex'),
                        '\x49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14')::model, 'pytorch');

RESET search_path;
RESET bytea_output;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA pytorch_write CASCADE;
RESET client_min_messages;
