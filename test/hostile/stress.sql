-- Damages what is in the table "sample" and reads it; see test/hostile/stress.
-- Variables of psql: rounds, seed, large (whether to try a gigabyte, too).

\set ON_ERROR_STOP on
SET client_min_messages = error;

-- ---------- samples ----------

-- Checkpoints, and what they are as values.  Flat forms are mutated both as
-- they come in and as a broken disk would have them.
ALTER TABLE sample ADD kind text DEFAULT 'checkpoint';
ALTER TABLE sample ADD id serial;

-- Sparse values, tied ones, 4-bit ones.
CREATE FUNCTION read_sample(data bytea) RETURNS model LANGUAGE plpgsql AS
$$
BEGIN
    RETURN model_read(data, allow_modules => true);
EXCEPTION WHEN feature_not_supported THEN
    RETURN NULL;
END
$$;
CREATE TABLE flat AS SELECT name, read_sample(bytes) AS m FROM sample;
INSERT INTO flat SELECT name || ', pruned', prune(m, 0.8) FROM flat
    WHERE EXISTS (SELECT FROM tensors(m) WHERE dtype = 'f32' AND cardinality(shape) > 1);
INSERT INTO sample (name, bytes, kind) SELECT name, m::bytea, kind FROM flat, (VALUES ('flat'), ('stored')) k (kind)
    WHERE m IS NOT NULL;

-- ---------- reading ----------

-- Any bytes as a value, unchecked: what a broken disk does.
CREATE FUNCTION unchecked(bytea) RETURNS model IMMUTABLE STRICT LANGUAGE internal AS 'byteasend';

-- What is accepted must be usable, and survive a dump.
CREATE FUNCTION check_model(m model) RETURNS void LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM FROM tensors(m);
    PERFORM FROM stats(m);
    PERFORM model_info(m);
    IF m::bytea::model <> m OR m::text::model <> m THEN
        RAISE 'a model is not what its flat form is';
    END IF;
    BEGIN
        PERFORM model_write(m, 'pytorch');
    EXCEPTION WHEN feature_not_supported OR program_limit_exceeded THEN
    END;
END
$$;

CREATE FUNCTION use_model(m model, tensor text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    query text;
    worst text := 'accepted';
BEGIN
    FOREACH query IN ARRAY ARRAY['SELECT count(*) FROM tensors($1)', 'SELECT count(*) FROM stats($1)',
        'SELECT count(*) FROM layers($1)', 'SELECT model_info($1)', 'SELECT model_metadata($1)',
        'SELECT $1 = $1', 'SELECT tensor($1, $2)', 'SELECT model_write($1, ''pytorch'')', 'SELECT decompress($1)',
        'SELECT prune($1, 0.5)', 'SELECT prune($1, 0.5, ''ln_structured'')', 'SELECT prune($1, method => ''mask'', mask => $1)',
        'SELECT prune($1, 0.3, ''random'', ''tensor'')', 'SELECT prune_dry_run($1, 0.5)']
    LOOP
        BEGIN
            EXECUTE query USING m, tensor;
        EXCEPTION WHEN others THEN
            worst := SQLSTATE;
            IF worst NOT IN ('22P03', '0A000', '22P02', '22P05', '22023', '22003', '42704', '54000', '54001') THEN
                RETURN worst || ' ' || SQLERRM || ' of ' || query;
            END IF;
        END;
    END LOOP;
    RETURN worst;
END
$$;

CREATE FUNCTION attempt(kind text, data bytea, tensor text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
    IF kind = 'stored' THEN
        RETURN use_model(unchecked(data), tensor);
    ELSIF kind = 'flat' THEN
        PERFORM check_model(data::model);
    ELSE
        PERFORM check_model(model_read(data, key => CASE WHEN length(data) % 2 = 0 THEN '' END,
                                       allow_modules => true, check_crc => false));
    END IF;
    RETURN 'accepted';
EXCEPTION WHEN others THEN
    RETURN SQLSTATE || CASE WHEN kind = 'flat' AND SQLSTATE IN ('22P03', '22P02', '22P05', '22003', '0A000', '54000', '54001') OR
        kind = 'checkpoint' AND SQLSTATE IN ('22P03', '0A000', '54000', '22023') THEN '' ELSE ' ' || SQLERRM END;
END
$$;

-- ---------- damage ----------

CREATE FUNCTION any_of(n bigint) RETURNS int LANGUAGE sql VOLATILE AS
$$ SELECT floor(random() * n)::int $$;

-- Somewhere in the data; where headers and directories are, more often.
CREATE FUNCTION any_place(size int) RETURNS int LANGUAGE sql VOLATILE AS
$$ SELECT CASE any_of(4) WHEN 0 THEN any_of(size)
                         WHEN 1 THEN size - 1 - any_of(least(size, 2000))
                         ELSE any_of(least(size, 2000)) END $$;

CREATE FUNCTION damage(data bytea, other bytea) RETURNS bytea LANGUAGE plpgsql VOLATILE AS
$$
DECLARE
    -- numbers that programs stumble over, little endian
    numbers bytea[] := ARRAY['\x00', '\x01', '\x7f', '\x80', '\xff', '\xffff', '\x0080', '\xff7f', '\xffffffff', '\x00000080',
        '\xffffff7f', '\x00000000', '\xffffffffffffffff', '\x0000000000000080', '\xffffffffffffff7f', '\x0000000000000000',
        '\x0000000000000040', '\x0000000001000000'];
    number bytea;
    size int;
    place int;
    n int;
BEGIN
    FOR i IN 0 .. any_of(3) LOOP
        size := length(data);
        CONTINUE WHEN size = 0;
        place := any_place(size);
        n := 1 + any_of(32);
        CASE any_of(8)
        WHEN 0, 1, 2 THEN
            n := place * 8 + any_of(8);
            data := set_bit(data, n, 1 - get_bit(data, n));
        WHEN 3 THEN
            number := numbers[1 + any_of(cardinality(numbers))];
            data := overlay(data PLACING substr(number, 1, size - place) FROM place + 1);
        WHEN 4 THEN
            data := substr(data, 1, place) || substr(data, place + n + 1);
        WHEN 5 THEN
            data := substr(data, 1, place + n) || substr(data, place + 1);
        WHEN 6 THEN
            data := overlay(data PLACING substr(other, any_place(length(other)) + 1, n) FROM place + 1 FOR least(n, size - place));
        ELSE
            data := overlay(data PLACING substr(data, any_place(size) + 1, n) FROM place + 1 FOR least(n, size - place));
        END CASE;
    END LOOP;
    RETURN data;
END
$$;

-- ---------- rounds ----------

CREATE TABLE result (kind text, state text, name text, data bytea);

-- Virtual memory at its peak, in kilobytes, where the system tells.
CREATE FUNCTION peak() RETURNS bigint LANGUAGE plpgsql AS
$$
BEGIN
    RETURN substring(pg_read_file('/proc/self/status') FROM 'VmPeak:\s+(\d+)');
EXCEPTION WHEN others THEN
    RETURN NULL;
END
$$;

CREATE FUNCTION note(s sample, damaged bytea) RETURNS void LANGUAGE plpgsql AS
$$
DECLARE
    name text := (SELECT t.name FROM flat f, tensors(f.m) t WHERE f.name = s.name LIMIT 1);
    state text := attempt(s.kind, damaged, coalesce(name, 'none'));
BEGIN
    -- What was a clean error, or was none, is counted; of the rest the bytes are kept.
    INSERT INTO result VALUES (s.kind, state, s.name, CASE WHEN state LIKE '% %' THEN damaged END);
END
$$;

-- Cut off after each of the bytes, or after some where there are many.
CREATE PROCEDURE cut_off(places int) LANGUAGE plpgsql AS
$$
DECLARE
    s sample;
BEGIN
    FOR s IN SELECT * FROM sample ORDER BY id LOOP
        PERFORM note(s, substr(s.bytes, 1, n)) FROM generate_series(0, length(s.bytes) - 1, 1 + length(s.bytes) / places) n;
        COMMIT;
    END LOOP;
END
$$;

CREATE PROCEDURE damage_all(rounds int, seed int) LANGUAGE plpgsql AS
$$
DECLARE
    s sample;
    other sample;
    samples int := (SELECT max(id) FROM sample);
BEGIN
    PERFORM setseed(seed / 2147483647.0);
    FOR i IN 1 .. rounds LOOP
        SELECT * INTO s FROM sample WHERE id = 1 + i % samples;
        SELECT * INTO other FROM sample WHERE id = 1 + any_of(samples);
        PERFORM note(s, damage(s.bytes, other.bytes));
        IF i % 1000 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
END
$$;

-- What is whole comes first: it allocates what a backend allocates once.
DO $$ BEGIN PERFORM note(sample, bytes) FROM sample; END $$;
SELECT coalesce(peak(), 0) AS peak_before \gset
CALL cut_off(:rounds / 50 + 1);
CALL damage_all(:rounds, :seed);
SELECT coalesce(peak(), 0) AS peak_after \gset

\if :large
-- As much as a value can hold, of None and of nothing known.
CREATE FUNCTION gigabyte(head bytea) RETURNS bytea LANGUAGE sql AS
$$ SELECT head || convert_to(repeat('N', 1073741816 - length(head)), 'UTF8') $$;
INSERT INTO result SELECT kind, attempt(kind, gigabyte(head), ''), 'a gigabyte' FROM (VALUES
    ('checkpoint', ''::bytea), ('checkpoint', 'PK\003\004'), ('flat', ''), ('flat', 'mdlo'),
    ('checkpoint', (SELECT substr(bytes, 1, position('N'::bytea IN bytes)) FROM sample
                    WHERE name = 'digits_mlp_legacy.pth' AND kind = 'checkpoint'))) large (kind, head);
DO $$ BEGIN PERFORM repeat('A', 1073741816)::model; EXCEPTION WHEN invalid_binary_representation THEN END $$;
\endif

SELECT kind, left(state, 100), count(*) FROM result GROUP BY 1, 2 ORDER BY 1, 2;
SELECT 'unclean: ' || kind || ', ' || name || ', ' || state || ', ' || encode(data, 'base64') FROM result WHERE state LIKE '% %' LIMIT 5;
SELECT 'memory grew by ' || (:peak_after - :peak_before) / 1024 || ' megabytes' WHERE :peak_after - :peak_before > 64 * 1024;
SELECT count(*) FILTER (WHERE state NOT LIKE '% %') || ' passed, ' ||
    count(*) FILTER (WHERE state LIKE '% %') + (:peak_after - :peak_before > 64 * 1024)::int || ' failed' FROM result;
