-- The type: text and binary form, casts, equality and hashing, storage.

CREATE TABLE small AS
    SELECT model_agg(name, data ORDER BY name) AS m
    FROM (VALUES ('a', '{{1,2},{3,4}}'::real[]), ('b', '{0.5}')) t (name, data);

-- The flat form, field by field, as the documentation of src/model/flat.c
-- gives it.
CREATE FUNCTION u(bytes bytea, at int, size int) RETURNS bigint
    LANGUAGE sql IMMUTABLE AS
$$ SELECT sum(get_byte(bytes, at + i)::bigint << (8 * i))
   FROM generate_series(0, size - 1) i $$;

SELECT convert_from(substr(f, 1, 4), 'UTF8') AS magic,
       u(f, 4, 1) AS version,
       u(f, 8, 4) AS tensors, u(f, 12, 4) AS payloads,
       u(f, 16, 4) AS directory, u(f, 20, 4) AS metadata, u(f, 24, 4) AS recipe,
       u(f, 28, 8) = length(f) + 4 AS size_right,
       (length(f) + 4) % 64 = 4 AS ends_with_last_payload
FROM small, CAST(m AS bytea) f;

-- Payloads lie at multiples of 64, counted from the length word.
SELECT encode(substr(f, 321 - 4, 16), 'hex') AS first_payload,
       encode(substr(f, 385 - 4, 4), 'hex') AS second_payload,
       length(f)
FROM small, CAST(m AS bytea) f;

-- The digest is what its definition says: SHA-256 over names, dtypes, shapes,
-- digests of the payloads and metadata.
SELECT model_digest(m) =
       encode(sha256('\x01000000' || 'a'::bytea || '\x0202' ||
                     '\x02000000000000000200000000000000' ||
                     sha256('\x0000803f000000400000404000008040') ||
                     '\x01000000' || 'b'::bytea || '\x0201' ||
                     '\x0100000000000000' || sha256('\x0000003f') ||
                     '\x02000000' || '{}'::bytea), 'hex') AS digest_right
FROM small;

-- Text, binary and bytea carry all of it.
SELECT m::text::model = m AS text, model(bytea(m)) = m AS bytea,
       m::text = translate(encode(bytea(m), 'base64'), E'\n', '') AS is_base64,
       model_send(m) = bytea(m) AS is_binary
FROM small;

-- Casts are explicit.
CREATE TABLE refuses (m model);
INSERT INTO refuses SELECT bytea(m) FROM small;
SELECT length(m) FROM small;

-- Equality and hashing go by content, never by encoding or history.
CREATE TABLE zoo (name text, m model);
INSERT INTO zoo SELECT 'small', m FROM small;
INSERT INTO zoo SELECT 'same', m::text::model FROM small;
INSERT INTO zoo
    SELECT 'other value', model_agg(name, data ORDER BY name)
    FROM (VALUES ('a', '{{1,2},{3,5}}'::real[]), ('b', '{0.5}')) t (name, data);
INSERT INTO zoo
    SELECT 'other name', model_agg(name, data ORDER BY name)
    FROM (VALUES ('a', '{{1,2},{3,4}}'::real[]), ('c', '{0.5}')) t (name, data);
INSERT INTO zoo
    SELECT 'other shape', model_agg(name, data ORDER BY name)
    FROM (VALUES ('a', '{1,2,3,4}'::real[]), ('b', '{0.5}')) t (name, data);
INSERT INTO zoo
    SELECT 'other order', model_agg(name, data ORDER BY name DESC)
    FROM (VALUES ('a', '{{1,2},{3,4}}'::real[]), ('b', '{0.5}')) t (name, data);
INSERT INTO zoo
    SELECT 'other metadata', model_set_metadata(m, '{"by": "hand"}') FROM small;
INSERT INTO zoo VALUES ('nothing', NULL);

SELECT name, zoo.m = small.m AS eq, zoo.m <> small.m AS ne,
       model_hash(zoo.m) = model_hash(small.m) AS same_hash,
       model_hash_extended(zoo.m, 7) = model_hash_extended(small.m, 7) AS same_extended
FROM zoo, small ORDER BY name;
SELECT count(*) FROM (SELECT DISTINCT m FROM zoo) d;
SELECT count(*) FROM (SELECT m FROM zoo EXCEPT SELECT m FROM small) d;
SELECT count(*), min(name) FROM zoo GROUP BY m ORDER BY 1 DESC, 2;
SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT a.name, b.name FROM zoo a JOIN zoo b ON a.m = b.m;
SELECT a.name, b.name FROM zoo a JOIN zoo b ON a.m = b.m
WHERE a.name < b.name;
RESET enable_mergejoin;
RESET enable_nestloop;
CREATE INDEX ON zoo USING hash (m);
-- The extended hash with seed 0 agrees with the plain one, as the server asks.
SELECT bool_and((model_hash_extended(m, 0) & 4294967295)::bit(32) =
                model_hash(m)::bigint::bit(32)) AS consistent
FROM zoo WHERE m IS NOT NULL;
-- There is no order.
SELECT m FROM zoo ORDER BY m;

-- A pruned model is stored sparse and decompresses to an equal one.
SELECT prune(m, 0.9, scope => 'tensor') = decompress(prune(m, 0.9, scope => 'tensor')) AS equal
FROM (SELECT model_agg('w', data) AS m
      FROM (SELECT array_agg(x ORDER BY x)::real[] AS data
            FROM (SELECT array_agg(i * 100 + j ORDER BY j) AS x
                  FROM generate_series(1, 40) j, generate_series(1, 40) i
                  GROUP BY i) r) a) big;

-- A large one is read from TOAST piece by piece; the storage is EXTERNAL, so
-- that no compression gets in the way.
SELECT typstorage, typalign FROM pg_type WHERE typname = 'model';
CREATE TABLE large (id int, m model);
INSERT INTO large
    SELECT 1, model_agg('w' || t, data ORDER BY t)
    FROM (SELECT t, array_agg(((i * t % 1000 - 500) / 8.0)::real ORDER BY i) AS data
          FROM generate_series(1, 5) t, generate_series(1, 60000) i GROUP BY t) d (t, data);
SELECT model_size(m), pg_column_size(m) FROM large;
SELECT m = model(bytea(m)) AS equal FROM large;
INSERT INTO large SELECT 2, model_set(m, 'w3', array_fill(0.0::real, '{60000}')) FROM large;
SELECT id, (SELECT sum(zeros) FROM stats(m)) AS zeros, model_size(m) FROM large ORDER BY id;

-- A function's result may have weights that are still in the table: here all
-- but w1.  (Outside of functions PL/pgSQL itself would load them.)
CREATE FUNCTION with_ones(int) RETURNS model LANGUAGE plpgsql AS
$$
DECLARE
    stored model;
BEGIN
    SELECT m INTO stored FROM large WHERE id = $1;
    RETURN model_set(stored, 'w1', array_fill(1.0::real, '{60000}'));
END
$$;

-- What was not read before a COMMIT is loaded for after it.
CREATE PROCEDURE keeps_weights() LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    v := with_ones(2);
    DELETE FROM large WHERE id = 2;
    COMMIT;
    RAISE NOTICE 'w2 is still there: %', (tensor(v, 'w2'))[1:3];
    ROLLBACK;
    RAISE NOTICE 'and after a rollback: %', (tensor(v, 'w2'))[1:3];
END
$$;
CALL keeps_weights();

-- What was not read in a block that failed is gone, and says so; what was made
-- there is not.
CREATE TABLE touched (id int PRIMARY KEY);
CREATE PROCEDURE loses_weights() LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    BEGIN
        INSERT INTO touched VALUES (1);
        v := with_ones(1);
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE 'w1 was made: %', (tensor(v, 'w1'))[1:3];
    END;
    RAISE NOTICE 'never shown: %', (tensor(v, 'w2'))[1:3];
END
$$;
CALL loses_weights();

-- The same after the rollback of a transaction.
CREATE PROCEDURE rolls_back() LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    v := with_ones(1);
    ROLLBACK;
    RAISE NOTICE 'w1 was made: %', (tensor(v, 'w1'))[1:3];
    RAISE NOTICE 'never shown: %', (tensor(v, 'w2'))[1:3];
END
$$;
CALL rolls_back();

-- A block that succeeds hands its weights to the one around it.
CREATE PROCEDURE passes_on() LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    BEGIN
        v := with_ones(1);
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE 'does not happen';
    END;
    RAISE NOTICE 'w2 is there: %', (tensor(v, 'w2'))[1:3];
END
$$;
CALL passes_on();

-- A holdable cursor outlives its transaction.
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id, model_set(m, 'w1', array_fill(1.0::real, '{60000}')) AS m FROM large;
COMMIT;
FETCH c \gset
CLOSE c;
SELECT (tensor(:'m', 'w2'))[1:3];

-- A subtransaction that fails takes its own weights with it and no others.
CREATE PROCEDURE loses_some() LANGUAGE plpgsql AS
$$
DECLARE
    kept model;
    lost model;
BEGIN
    kept := with_ones(1);
    BEGIN
        INSERT INTO touched VALUES (1);
        lost := with_ones(1);
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE 'w2 is there: %', (tensor(kept, 'w2'))[1:3];
    END;
    RAISE NOTICE 'never shown: %', (tensor(lost, 'w2'))[1:3];
END
$$;
CALL loses_some();

-- A block that had written nothing when it read the model cannot have written
-- the model: its weights outlive it, and so one can try and then do otherwise.
INSERT INTO touched VALUES (7);
CREATE FUNCTION tries_again() RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    BEGIN
        v := with_ones(1);
        INSERT INTO touched VALUES (7);
    EXCEPTION WHEN unique_violation THEN
        RETURN format('w1 was made: %s, w2 is there: %s', (tensor(v, 'w1'))[1:3], (tensor(v, 'w2'))[1:3]);
    END;
END
$$;
SELECT tries_again();

-- A manifest larger than what is read of a value at first, and tensors without
-- elements among those that are loaded at a COMMIT.
CREATE TABLE many (m model);
INSERT INTO many
    SELECT model_agg('tensor' || i, CASE WHEN i % 10 = 0 THEN '{}' ELSE array_fill(i::real, '{60}') END ORDER BY i)
    FROM generate_series(1, 500) i;
SELECT pg_column_size(m) > 65536 AS out_of_line, length(name) FROM many, tensors(m) WHERE name = 'tensor500';
SELECT (tensor(m, 'tensor499'))[60], tensor(m, 'tensor500') FROM many;
CREATE FUNCTION stored_many() RETURNS model LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    SELECT m INTO v FROM many;
    RETURN model_set(v, 'tensor1', array_fill(0.5::real, '{60}'));
END
$$;
CREATE PROCEDURE keeps_many() LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    v := stored_many();
    DELETE FROM many;
    COMMIT;
    RAISE NOTICE '% % % %', (tensor(v, 'tensor1'))[60], tensor(v, 'tensor10'), (tensor(v, 'tensor499'))[60], num_parameters(v);
END
$$;
CALL keeps_many();

-- What truncates, rewrites or drops the table takes the weights with it.
CREATE PROCEDURE loses_table(command text) LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    CREATE TABLE many2 AS SELECT m FROM large WHERE id = 1;
    ALTER TABLE many2 ADD number int;
    COMMIT;
    v := of_many2();
    EXECUTE command;
    BEGIN
        RAISE NOTICE 'w2 is there: %', (tensor(v, 'w2'))[1:3];
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        RAISE NOTICE '%', SQLERRM;
    END;
END
$$;
CREATE FUNCTION of_many2() RETURNS model LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    SELECT m INTO v FROM many2;
    RETURN model_set(v, 'w1', array_fill(1.0::real, '{60000}'));
END
$$;
CALL loses_table('DELETE FROM many2');
DROP TABLE many2;
CALL loses_table('TRUNCATE many2');
DROP TABLE many2;
CALL loses_table('ALTER TABLE many2 ALTER number TYPE text');
DROP TABLE many2;
CALL loses_table('DROP TABLE many2');
-- That is no reason not to commit.
CREATE PROCEDURE commits_without() LANGUAGE plpgsql AS
$$
DECLARE
    v model;
BEGIN
    CREATE TABLE many2 AS SELECT m FROM large WHERE id = 1;
    COMMIT;
    v := of_many2();
    DROP TABLE many2;
    COMMIT;
    RAISE NOTICE 'w1 was made: %', (tensor(v, 'w1'))[1:3];
    RAISE NOTICE 'never shown: %', (tensor(v, 'w2'))[1:3];
END
$$;
CALL commits_without();

-- A model of nothing: no tensors, no metadata, and then much of that.
SELECT model('mdlo'::bytea || '\x01000000' || '\x0000000000000000' || '\x00000000' || '\x0200000002000000' || '\x4c00000000000000' ||
             sha256('\x02000000' || '{}'::bytea) || '{}'::bytea || '[]'::bytea) AS nothing \gset
SELECT num_parameters(:'nothing'), sparsity(:'nothing'), model_size(:'nothing'), model_metadata(:'nothing'),
       (SELECT count(*) FROM tensors(:'nothing')) AS tensors, (SELECT count(*) FROM layers(:'nothing')) AS layers,
       (SELECT count(*) FROM stats(:'nothing')) AS stats, decompress(:'nothing') = :'nothing'::model AS decompressed,
       model_read(model_write(:'nothing', 'pytorch')) = :'nothing'::model AS written;
INSERT INTO many SELECT model_set_metadata(:'nothing', jsonb_build_object('note', repeat('x', 100000)));
SELECT num_parameters(m), length(model_metadata(m) ->> 'note'), model_size(m) FROM many;
BEGIN;
SELECT num_parameters(m) FROM many;
ROLLBACK;

-- Through a file, in the binary form.
CREATE TABLE back (name text, m model);
\copy zoo TO 'results/models.binary' (FORMAT binary)
\copy back FROM 'results/models.binary' (FORMAT binary)
SELECT count(*) AS rows, count(*) FILTER (WHERE zoo.m = back.m) AS equal FROM zoo JOIN back USING (name);

-- A hash index finds them.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_seqscan = off;
-- (18 says of a node that there was no other.)
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;
SELECT line FROM plan('SELECT name FROM small JOIN zoo USING (m)') line WHERE line !~ 'Disabled';
SELECT name FROM small JOIN zoo USING (m) ORDER BY name;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_seqscan;

-- Partitioning by hash, domains, arrays and composites work as for any type.
CREATE TABLE parts (m model) PARTITION BY HASH (m);
CREATE TABLE parts0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT m FROM zoo WHERE m IS NOT NULL;
SELECT count(*) FROM parts;
SELECT num_parameters((ARRAY(SELECT m FROM zoo WHERE name = 'small'))[1]);
CREATE DOMAIN tiny AS model CHECK (num_parameters(VALUE) < 5);
SELECT m::tiny FROM small;
SELECT num_parameters(:'nothing'::tiny);
CREATE TYPE version AS (number int, m model);
SELECT num_parameters((v).m), (v).number FROM (SELECT ROW(1, m)::version FROM small) t (v);
SELECT (v::text::version).m = m AS same FROM (SELECT ROW(1, m)::version, m FROM small) t (v, m);

-- Doors that are not opened with a key.
SELECT ''::model;
SELECT 'not base64!'::model;
-- Names of the repository, of which some could be base64.
SELECT tensors('fraud');
SELECT * FROM layers('fraud@champion');
SELECT * FROM report('mnist/v2', 'fraud#1');
SELECT 'AAAA'::model;
SELECT 'AAAA AAAA AA'::model;
SELECT (m::text || '    ')::model FROM small;
SELECT (m::text || 'AAAA')::model FROM small;
SELECT ('AA==' || m::text)::model FROM small;
SELECT '\x00'::bytea::model;

DROP TABLE small, refuses, zoo, back, large, many, parts;
DROP PROCEDURE keeps_weights, loses_weights, loses_some, loses_table, keeps_many, commits_without, rolls_back, passes_on;
DROP FUNCTION u, with_ones, stored_many, of_many2;
DROP DOMAIN tiny;
DROP TYPE version;
