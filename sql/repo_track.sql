-- Tracked tables: each change of a model in a user's table is a version.
\set VERBOSITY terse
SET client_min_messages TO warning;
CREATE ROLE track_owner;
CREATE ROLE track_writer;
CREATE ROLE track_reader;
CREATE SCHEMA zoo AUTHORIZATION track_owner;
GRANT USAGE ON SCHEMA zoo TO track_writer, track_reader;

-- A model with one tensor w.
CREATE FUNCTION made(VARIADIC real[]) RETURNS model LANGUAGE sql IMMUTABLE AS $$ SELECT model_agg('w', $1) $$;
-- A model's history in short: version, author, message, weights; the newest last.
CREATE FUNCTION history(ref text) RETURNS TABLE (version integer, author text, message text, w real[], parent text)
    LANGUAGE sql AS $$
    SELECT l.version, l.author, l.message, modelopt.tensor(split_part(ref, '@', 1) || '#' || l.version, 'w'), l.parent
    FROM modelopt.log(ref) l ORDER BY l.version $$;

-- ---------- who may ----------
SET ROLE track_owner;
CREATE TABLE zoo.nets (id integer PRIMARY KEY, note text, weights model, hits integer DEFAULT 0);
INSERT INTO zoo.nets VALUES (1, 'first', made(1, 2)), (2, 'none yet', NULL);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON zoo.nets TO track_writer;
SELECT modelopt.track('zoo.nets', 'weights');       -- may create no models
RESET ROLE;
SELECT modelopt.grant_create('track_owner');
SET ROLE track_writer;
SELECT modelopt.track('zoo.nets', 'weights');       -- not the owner
SET ROLE track_owner;
SELECT modelopt.track('zoo.nets', 'weights', key => 'id', message_column => 'note');
SELECT * FROM modelopt.tracked;
SELECT * FROM modelopt.tracked_rows;
SELECT * FROM history('zoo.nets.1');
SELECT modelopt.track('zoo.nets', 'weights', key => 'id', message_column => 'note');    -- again: nothing to do
SELECT modelopt.track('zoo.nets', 'weights');

-- ---------- every change, by whom it was made ----------
SET ROLE track_writer;
INSERT INTO zoo.nets VALUES (3, 'three', made(3)), (4, 'four', made(4)), (5, 'nothing', NULL);
-- Several changes in one transaction, in one statement, and of one row.
BEGIN;
UPDATE zoo.nets SET weights = made(3, 1), note = 'once';
UPDATE zoo.nets SET weights = made(3, 2), note = 'twice' WHERE id = 3;
UPDATE zoo.nets SET weights = made(3, 3), note = 'three times' WHERE id = 3;
SAVEPOINT s;
UPDATE zoo.nets SET weights = made(666) WHERE id = 3;
ROLLBACK TO s;
COMMIT;
BEGIN;
UPDATE zoo.nets SET weights = made(667);
ROLLBACK;
-- What changes no model is no version.
UPDATE zoo.nets SET hits = hits + 1, note = 'hit';
UPDATE zoo.nets SET weights = weights;
UPDATE zoo.nets SET weights = made(3, 3) WHERE id = 3;
-- Nor may the writer commit by another way, or get what it made.
SELECT modelopt.commit('zoo.nets.3', made(1));
SELECT modelopt.get('zoo.nets.3');
SET ROLE track_owner;
SELECT model, owner, versions FROM modelopt.tracked_rows JOIN modelopt.models ON name = model ORDER BY model;
SELECT * FROM history('zoo.nets.1');
SELECT * FROM history('zoo.nets.2');
SELECT * FROM history('zoo.nets.3');
SELECT version, tags FROM modelopt.versions WHERE model = 'zoo.nets.3' ORDER BY version;
SELECT operation, actor, old_version, new_version, reason FROM modelopt.reflog WHERE model = 'zoo.nets.3' ORDER BY at;
-- Other ways of writing.
INSERT INTO zoo.nets VALUES (3, 'upsert', made(3, 4)), (6, 'inserted', made(6))
    ON CONFLICT (id) DO UPDATE SET note = excluded.note, weights = excluded.weights;
WITH changed AS (UPDATE zoo.nets SET weights = made(4, 5), note = 'with' WHERE id = 4 RETURNING id)
DELETE FROM zoo.nets USING changed WHERE nets.id = 5;
SELECT * FROM history('zoo.nets.4');
COPY zoo.nets (id, note) FROM stdin;
7	no model
\.
-- The branch is the row's alone, as long as it is tracked.
SELECT modelopt.commit('zoo.nets.3', made(1));
SELECT modelopt.reset('zoo.nets.3', 'main', 'zoo.nets.3#1');
SELECT modelopt.rollback('zoo.nets.3', 'main');
SELECT modelopt.branch('zoo.nets.3', 'experiment');
SELECT modelopt.commit('zoo.nets.3/experiment', made(9, 9), 'elsewhere');
SELECT modelopt.alias('zoo.nets.3', 'champion', 'zoo.nets.3#2');

-- ---------- rows come and go ----------
SELECT clock_timestamp() AS before_deletion \gset
DELETE FROM zoo.nets WHERE id = 6;
UPDATE zoo.nets SET weights = NULL WHERE id = 4;
SELECT name, head, versions FROM modelopt.models WHERE name IN ('zoo.nets.4', 'zoo.nets.6') ORDER BY name;
SELECT modelopt.get('zoo.nets.6') IS NULL;
SELECT modelopt.tensor('zoo.nets.6@deleted', 'w');
SELECT modelopt.resolve_at('zoo.nets.6', 'main', now() - interval '1 day') IS NULL AS before,
    modelopt.resolve_at('zoo.nets.6', 'main', :'before_deletion') AS "then",
    modelopt.resolve_at('zoo.nets.6', 'main', clock_timestamp()) IS NULL AS now;
INSERT INTO zoo.nets VALUES (6, 'is back', made(6, 6));
UPDATE zoo.nets SET weights = made(4, 5), note = 'as it was' WHERE id = 4;
SELECT * FROM history('zoo.nets.6');
SELECT * FROM history('zoo.nets.4');
SELECT operation, old_version, new_version FROM modelopt.reflog WHERE model = 'zoo.nets.4' AND kind = 'branch' ORDER BY at;

-- A key that changes takes the model along, aliases and all.
UPDATE zoo.nets SET id = 30 WHERE id = 3;
SELECT modelopt.resolve('zoo.nets.30@champion');
SELECT modelopt.get('zoo.nets.3');
-- Also onto a key that another row had.
DELETE FROM zoo.nets WHERE id = 6;
UPDATE zoo.nets SET id = 6, weights = made(30, 6), note = 'moved' WHERE id = 30;
SELECT version, message, w FROM history('zoo.nets.6') WHERE version > 4;
SELECT * FROM history('zoo.nets.6!1@deleted');
SELECT modelopt.tensor('zoo.nets.6', 'w');
UPDATE zoo.nets SET id = id + 100;
SELECT key, model FROM modelopt.tracked_rows WHERE prefix = 'zoo.nets' ORDER BY model;
UPDATE zoo.nets SET id = id - 100;

TRUNCATE zoo.nets;
SELECT name, head FROM modelopt.models WHERE name LIKE 'zoo.nets.%' ORDER BY name;
INSERT INTO zoo.nets VALUES (1, 'after truncation', made(1, 1));
SELECT version, message, parent FROM history('zoo.nets.1');

-- ---------- restoring ----------
SELECT modelopt.restore_row('zoo.nets', '1', 1);
SELECT weights = made(1, 2) AS restored FROM zoo.nets;
SELECT modelopt.restore_row('zoo.nets', '{"id": 1}'::jsonb, 1);    -- is that already
SELECT modelopt.restore_row('zoo.nets', '1'::jsonb, 2);
SELECT modelopt.restore_row('zoo.nets', 1, 1), modelopt.restore_row('zoo.nets', 1, 2);
SELECT version, message, w FROM history('zoo.nets.1');
SHOW modelopt.row_message;
SELECT modelopt.restore_row('zoo.nets', '1', 99);
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT modelopt.restore_row('zoo.nets', '77', 1);
SELECT modelopt.restore_row('zoo.nets', '2', 1);            -- the row is gone
SELECT modelopt.restore_row('zoo.nets', 30, 1);             -- it has another key now
SELECT modelopt.restore_row('zoo.nets', '{"key": 1}'::jsonb, 1);
\set VERBOSITY terse
SELECT modelopt.restore_row('zoo.nets', 'one', 1);
SELECT modelopt.restore_row('pg_class', '1', 1);
-- With the privileges of who restores, on the table and on the model.
SET ROLE track_writer;
SELECT modelopt.restore_row('zoo.nets', '1', 1);
SET ROLE track_owner;
SELECT modelopt.grant_read('zoo.nets.1', 'track_reader'), modelopt.grant_read('zoo.nets.1', 'track_writer');
SET ROLE track_reader;
SELECT modelopt.restore_row('zoo.nets', '1', 1);
SELECT modelopt.untrack('zoo.nets');
SET ROLE track_writer;
SELECT modelopt.restore_row('zoo.nets', '1', 1);
SELECT version, author, w FROM history('zoo.nets.1') ORDER BY version DESC LIMIT 1;
-- Triggers of the table see who it is, and the search_path of that role.
SET ROLE track_owner;
CREATE FUNCTION zoo.watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'user %, search_path %', current_user, current_setting('search_path');
    RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE UPDATE ON zoo.nets FOR EACH ROW EXECUTE FUNCTION zoo.watch();
SET ROLE track_writer;
SELECT modelopt.restore_row('zoo.nets', '1', 2);
SET ROLE track_owner;
DROP TRIGGER watch ON zoo.nets;

-- ---------- in the order in which it happened ----------
-- A trigger of the user's that changes what other rows of the same statement
-- have, before those have been recorded.
CREATE TABLE zoo.chain (id integer PRIMARY KEY, weights model, touched boolean);
SELECT modelopt.track('zoo.chain', 'weights');
CREATE FUNCTION zoo.answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 1 AND pg_trigger_depth() = 1 THEN
        UPDATE zoo.chain SET weights = public.made(20) WHERE id = 2;
        UPDATE zoo.chain SET weights = public.made(21) WHERE id = 2;
        UPDATE zoo.chain SET weights = public.made(3) WHERE id = 3;     -- back to what it was
        UPDATE zoo.chain SET weights = public.made(44) WHERE id = 4;    -- away and back to
        UPDATE zoo.chain SET weights = public.made(40, 0) WHERE id = 4; -- what the statement made it
        UPDATE zoo.chain SET touched = true WHERE id = 5;               -- no change of a model
        DELETE FROM zoo.chain WHERE id = 6;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER "0_before_ours" AFTER UPDATE ON zoo.chain FOR EACH ROW EXECUTE FUNCTION zoo.answer();
INSERT INTO zoo.chain SELECT i, public.made(i) FROM generate_series(1, 6) i;
UPDATE zoo.chain SET weights = public.made(10 * id, 0);
SELECT model, version, w FROM modelopt.tracked_rows, LATERAL history(CASE model WHEN 'zoo.chain.6' THEN model || '@deleted' ELSE model END)
WHERE prefix = 'zoo.chain' ORDER BY model, version;
DROP TRIGGER "0_before_ours" ON zoo.chain;
-- What a trigger makes of a row that it is not asked about.
UPDATE zoo.chain SET weights = made(1, 2, 3, 4) WHERE id = 1;
CREATE FUNCTION zoo.clip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.weights := public.model_set(NEW.weights, 'w', '{1,2,0,0}');
    RETURN NEW;
END $$;
CREATE TRIGGER clip BEFORE UPDATE ON zoo.chain FOR EACH ROW EXECUTE FUNCTION zoo.clip();
UPDATE zoo.chain SET touched = true WHERE id = 1;
SELECT version, w, l.relation FROM history('zoo.chain.1') JOIN modelopt.log('zoo.chain.1') l USING (version) ORDER BY version;
DROP TRIGGER clip ON zoo.chain;
-- While the trigger is disabled nothing is recorded, and the branch is free;
-- the next change records what was missed.
ALTER TABLE zoo.chain DISABLE TRIGGER USER;
UPDATE zoo.chain SET weights = made(100) WHERE id = 1;
DELETE FROM zoo.chain WHERE id = 3;
INSERT INTO zoo.chain VALUES (7, made(7));
SELECT enabled FROM modelopt.tracked WHERE prefix = 'zoo.chain';
SELECT modelopt.commit('zoo.chain.1', made(55), 'while nobody looked');
ALTER TABLE zoo.chain ENABLE TRIGGER USER;
UPDATE zoo.chain SET weights = made(101) WHERE id = 1;
SELECT version, message, w FROM history('zoo.chain.1');
SELECT modelopt.track('zoo.chain', 'weights');
SELECT name, head FROM modelopt.models WHERE name LIKE 'zoo.chain.%' ORDER BY name;

-- ---------- keys ----------
CREATE DOMAIN zoo.code AS text CHECK (VALUE <> 'refused');
CREATE TYPE zoo.size AS ENUM ('small', 'big');
CREATE TABLE zoo."Odd.table" ("A key" zoo.code, day date, size zoo.size, stamp timestamptz, weights model,
    CONSTRAINT odd_key UNIQUE ("A key", day, size, stamp));
SELECT modelopt.track('zoo."Odd.table"', 'weights');
SELECT modelopt.track('zoo."Odd.table"', 'weights', 'A key, day, size, stamp');
ALTER TABLE zoo."Odd.table" ADD PRIMARY KEY (stamp, size, day, "A key");
SELECT modelopt.track('zoo."Odd.table"', 'weights', 'A key, day, size, stamp');
SET datestyle TO 'German, DMY';
SET timezone TO 'Asia/Tokyo';
INSERT INTO zoo."Odd.table" VALUES ('', '31.12.2025', 'small', '2026-01-01 00:00+00', made(0)),
    (E'a b/c#d@e:f~g%h,i!\n', '31.12.2025', 'big', '2026-01-01 00:00+00', made(1)),
    ('größe', '01.02.2026', 'big', '2026-01-01 00:00+00', made(2)),
    (repeat('long', 60), '01.02.2026', 'big', '2026-01-01 00:00+00', made(3)),
    (repeat('long', 60) || '!', '01.02.2026', 'big', '2026-01-01 00:00+00', made(4)),
    (E'it''s "quoted" \\ $1 %s', '01.02.2026', 'big', '2026-01-01 00:00+00', made(5));
SET timezone TO 'UTC';
SET datestyle TO 'ISO, MDY';
UPDATE zoo."Odd.table" SET weights = made(9, 9);
SELECT model, versions FROM modelopt.tracked_rows JOIN modelopt.models ON name = model WHERE prefix LIKE 'zoo.Odd%' ORDER BY model COLLATE "C";
SELECT modelopt.restore_row('zoo."Odd.table"', jsonb_build_object('A key', E'it''s "quoted" \\ $1 %s', 'day', '2026-02-01', 'size', 'big', 'stamp', '2026-01-01 09:00+09'), 1);
SELECT count(*), min("A key") FROM zoo."Odd.table" WHERE weights = made(5);
SELECT condition FROM modelopt.tracked_row('zoo."Odd.table"', '{"A key": "", "day": "2025-12-31", "size": "small", "stamp": "2026-01-01"}');
-- What is no key.
CREATE TABLE zoo.unfit (id integer UNIQUE, part integer NOT NULL, low integer NOT NULL, many integer[] NOT NULL UNIQUE,
    wide zoo.code[] NOT NULL UNIQUE, later integer NOT NULL UNIQUE DEFERRABLE, weights model, name text);
CREATE UNIQUE INDEX ON zoo.unfit (part) WHERE part > 0;
CREATE UNIQUE INDEX ON zoo.unfit (abs(low));
SELECT modelopt.track('zoo.unfit', 'weights');
SELECT modelopt.track('zoo.unfit', 'weights', 'id');
SELECT modelopt.track('zoo.unfit', 'weights', 'part');
SELECT modelopt.track('zoo.unfit', 'weights', 'low');
SELECT modelopt.track('zoo.unfit', 'weights', 'many');
SELECT modelopt.track('zoo.unfit', 'weights', 'wide');
SELECT modelopt.track('zoo.unfit', 'weights', 'later');
SELECT modelopt.track('zoo.unfit', 'weights', 'nowhere');
SELECT modelopt.track('zoo.unfit', 'weights', 'later, later');
SELECT modelopt.track('zoo.unfit', 'name', 'many');
SELECT modelopt.track('zoo.unfit', 'nowhere', 'many');
SELECT modelopt.track('zoo.unfit', 'ctid', 'many');
SELECT modelopt.track(NULL, 'weights');
SELECT modelopt.track('zoo.nets', 'weights', message_column => 'nowhere');
CREATE TEMP TABLE fleeting (id integer PRIMARY KEY, weights model);
CREATE VIEW zoo.seen AS SELECT * FROM zoo.chain;
SELECT modelopt.track('fleeting', 'weights');
SELECT modelopt.track('zoo.seen', 'weights');
DROP TABLE fleeting;
SELECT modelopt.untrack('zoo.unfit');

-- ---------- names that are taken ----------
RESET ROLE;
SELECT modelopt.commit('zoo.taken.1', made(0), 'of somebody else');
SET ROLE track_owner;
SELECT modelopt.commit('zoo.taken.2', made(0), 'of the same owner');
CREATE TABLE zoo.taken (id integer PRIMARY KEY, weights model);
INSERT INTO zoo.taken VALUES (1, made(1)), (2, made(2));
SELECT modelopt.track('zoo.taken', 'weights', prefix => 'zoo.nets');
SELECT modelopt.track('zoo.taken', 'weights', prefix => 'no good');
SELECT modelopt.track('zoo.taken', 'weights');
SELECT key, model FROM modelopt.tracked_rows WHERE prefix = 'zoo.taken' ORDER BY key;
SELECT version, message, w FROM history('zoo.taken.2');
-- Triggers are what modelopt.track() makes, and commit what the table's owner may.
SET ROLE track_writer;
CREATE TABLE pg_temp.mine (id integer PRIMARY KEY, weights model);
CREATE TRIGGER forged AFTER INSERT ON pg_temp.mine FOR EACH ROW EXECUTE FUNCTION modelopt.track_row('zoo.nets');
INSERT INTO pg_temp.mine VALUES (1, made(1));
CREATE TRIGGER forged_table AFTER UPDATE OF weights, id OR TRUNCATE ON pg_temp.mine FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table('zoo.nets', '1');
INSERT INTO pg_temp.mine VALUES (1, made(1));
TRUNCATE pg_temp.mine;
SELECT modelopt.track_row();
SELECT modelopt.track_table();
CREATE TRIGGER forged_before BEFORE INSERT ON pg_temp.mine FOR EACH ROW EXECUTE FUNCTION modelopt.track_row('zoo.nets');
INSERT INTO pg_temp.mine VALUES (1, made(1));
DROP TABLE pg_temp.mine;
SET ROLE track_owner;
SELECT name, head FROM modelopt.models WHERE name = 'zoo.nets.1';

-- ---------- names that are bait ----------
-- What somebody called like a row, or has under the table's prefix, gets nothing
-- of what the table has, also when the table's owner may write it.
RESET ROLE;
SELECT modelopt.grant_create('track_writer');
CREATE SCHEMA lair AUTHORIZATION track_writer;
SET ROLE track_writer;
SELECT modelopt.commit('zoo.prey.1', made(0), 'bait');
SELECT modelopt.grant_admin('zoo.prey.1', 'track_owner');
CREATE TABLE lair.early (id integer PRIMARY KEY, weights model);
SELECT modelopt.track('lair.early', 'weights', prefix => 'zoo.prey');
INSERT INTO lair.early VALUES (2, made(0));
SELECT modelopt.grant_admin('zoo.prey.2', 'track_owner');
DROP TABLE lair.early;
SET ROLE track_owner;
CREATE TABLE zoo.prey (id integer PRIMARY KEY, weights model);
INSERT INTO zoo.prey VALUES (1, made(11)), (2, made(12));
SELECT modelopt.track('zoo.prey', 'weights');
SET ROLE track_writer;
CREATE TABLE lair.forged (id integer PRIMARY KEY, weights model);
CREATE TRIGGER forged AFTER INSERT OR UPDATE OR DELETE ON lair.forged FOR EACH ROW EXECUTE FUNCTION modelopt.track_row('zoo.prey');
CREATE TRIGGER forged_table AFTER UPDATE OF weights, id OR TRUNCATE ON lair.forged FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table('zoo.prey', '1');
INSERT INTO lair.forged VALUES (1, made(0)), (3, made(0));
SELECT modelopt.grant_admin('zoo.prey.3', 'track_owner');
SET ROLE track_owner;
INSERT INTO zoo.prey VALUES (3, made(13));
UPDATE zoo.prey SET weights = made(14) WHERE id = 1;
-- Arguments that no trigger of modelopt.track() has disturb nobody.
SET ROLE track_writer;
CREATE TRIGGER no_arguments AFTER UPDATE OF weights, id ON lair.forged FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table();
CREATE TRIGGER no_number AFTER UPDATE OF weights, id ON lair.forged FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table('zoo.prey', 'ü');
CREATE TRIGGER huge_number AFTER UPDATE OF weights, id ON lair.forged FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table('zoo.prey', '2147483647');
CREATE TRIGGER too_many AFTER UPDATE OF weights, id ON lair.forged FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table('zoo.prey', '2');
CREATE TRIGGER three AFTER UPDATE OF weights, id ON lair.forged FOR EACH STATEMENT EXECUTE FUNCTION modelopt.track_table('zoo.prey', '1', '1');
SET ROLE track_owner;
SELECT * FROM modelopt.tracked WHERE prefix = 'zoo.prey' ORDER BY relation::text;
SELECT modelopt.track('zoo.prey', 'weights');
-- Nor does what they do to theirs reach the table's.
SET ROLE track_writer;
DELETE FROM lair.forged;
SET ROLE track_owner;
SELECT r.key, r.model, m.owner, h.version, h.message, h.w
FROM modelopt.tracked_rows r JOIN modelopt.models m ON m.name = r.model, history(r.model || '@last') h
WHERE r.prefix = 'zoo.prey' ORDER BY r.key, r.model, h.version;
SELECT modelopt.restore_row('zoo.prey', '1', 1);
SELECT modelopt.untrack('zoo.prey');
SELECT key, model FROM modelopt.tracked_rows WHERE prefix = 'zoo.prey' ORDER BY key, model;

-- ---------- tables change ----------
SET ROLE track_owner;
ALTER TABLE zoo.nets RENAME TO networks;
ALTER TABLE zoo.networks RENAME weights TO w;
ALTER TABLE zoo.networks RENAME id TO number;
ALTER TABLE zoo.networks RENAME note TO words;
UPDATE zoo.networks SET w = made(8, 8), words = 'all names are new';
SELECT * FROM modelopt.tracked WHERE prefix = 'zoo.nets';
SELECT version, message, w FROM history('zoo.nets.1') ORDER BY version DESC LIMIT 1;
SELECT modelopt.restore_row('zoo.networks', '1', 1);
ALTER TABLE zoo.networks ALTER number TYPE bigint;
ALTER TABLE zoo.networks DROP COLUMN words;
ALTER TABLE zoo.networks DROP COLUMN hits;
UPDATE zoo.networks SET w = made(8, 9);
-- Another table may have the old name, but not the old models' names.
CREATE TABLE zoo.nets (id integer PRIMARY KEY, weights model);
SELECT modelopt.track('zoo.nets', 'weights');
SELECT modelopt.track('zoo.nets', 'weights', prefix => 'zoo.new_nets');
-- Dropped against all advice: no change gets lost in silence.
ALTER TABLE zoo.networks DROP COLUMN words CASCADE;
UPDATE zoo.networks SET w = made(0);
SELECT modelopt.untrack('zoo.networks');
UPDATE zoo.networks SET w = made(0);
SELECT modelopt.commit('zoo.nets.1', made(7), 'a model like any other');
SELECT modelopt.untrack('zoo.networks');
-- Tracked again, the history goes on.
SELECT modelopt.track('zoo.networks', 'w', prefix => 'zoo.nets');
SELECT version, message, w FROM history('zoo.nets.1') ORDER BY version DESC LIMIT 2;
-- A table that is gone leaves its models behind.
DROP TABLE zoo.networks;
SELECT modelopt.commit('zoo.nets.1', made(70), 'the table is gone');
CREATE TABLE zoo.networks (id integer PRIMARY KEY, w model);
INSERT INTO zoo.networks VALUES (1, made(71));
SELECT modelopt.track('zoo.networks', 'w', prefix => 'zoo.nets');
SELECT version, message, w FROM history('zoo.nets.1') ORDER BY version DESC LIMIT 2;

-- ---------- partitions ----------
CREATE TABLE zoo.parted (region text, id integer GENERATED ALWAYS AS IDENTITY, weights model, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE zoo.parted_eu PARTITION OF zoo.parted FOR VALUES IN ('eu');
-- The columns of this one lie in other places.
CREATE TABLE zoo.parted_us (junk integer, weights model, more integer, id integer NOT NULL, region text NOT NULL);
ALTER TABLE zoo.parted_us DROP junk, DROP more;
ALTER TABLE zoo.parted ATTACH PARTITION zoo.parted_us FOR VALUES IN ('us');
INSERT INTO zoo.parted (region, weights) VALUES ('eu', made(1)), ('us', made(2));
SELECT modelopt.track('zoo.parted_eu', 'weights');
SELECT modelopt.track('zoo.parted', 'weights');
INSERT INTO zoo.parted (region, weights) VALUES ('eu', made(3)), ('us', made(4));
INSERT INTO zoo.parted_us (region, id, weights) OVERRIDING SYSTEM VALUE VALUES ('us', 5, made(5));
UPDATE zoo.parted SET weights = made(6, 6) WHERE id IN (1, 4);
UPDATE zoo.parted_us SET weights = made(7, 7) WHERE id = 5;
SELECT key, model, version, w FROM modelopt.tracked_rows, LATERAL history(model) WHERE prefix = 'zoo.parted' ORDER BY key, version;
SELECT modelopt.restore_row('zoo.parted', '{"region": "us", "id": 5}', 1);
SELECT modelopt.restore_row('zoo.parted', '["us", 5]', 2), modelopt.restore_row('zoo.parted', '["us", 5]'::jsonb, 1);
SELECT key, modelopt.restore_row('zoo.parted', key, 1) FROM unnest(ARRAY['["eu", 1]']) key;
\set VERBOSITY default
SELECT modelopt.restore_row('zoo.parted', 'us', 1);
\set VERBOSITY terse
SELECT modelopt.restore_row('zoo.parted', '["us"]', 1);
SELECT modelopt.restore_row('zoo.parted', '["us", 5, 6]', 1);
SELECT modelopt.restore_row('zoo.parted', '5', 1);
SELECT modelopt.restore_row('zoo.parted', 5, 1);
DELETE FROM zoo.parted WHERE region = 'eu' AND id = 1;
\set VERBOSITY default
SELECT modelopt.restore_row('zoo.parted', '["eu", 1]', 1);
\set VERBOSITY terse
INSERT INTO zoo.parted (region, id, weights) OVERRIDING SYSTEM VALUE VALUES ('eu', '1', modelopt.get('zoo.parted.eu,1#1'));
-- A partition that is made later is tracked too.
CREATE TABLE zoo.parted_asia PARTITION OF zoo.parted FOR VALUES IN ('asia');
INSERT INTO zoo.parted (region, weights) VALUES ('asia', made(8));
-- A row that moves to another partition is deleted in one and inserted in the other.
UPDATE zoo.parted SET region = 'asia' WHERE id = 1;
TRUNCATE zoo.parted_us;
SELECT model, head FROM modelopt.tracked_rows JOIN modelopt.models ON name = model WHERE prefix = 'zoo.parted' ORDER BY model;
-- Attached and detached rows are recorded by their next change or by track().
CREATE TABLE zoo.parted_africa (region text NOT NULL, id integer NOT NULL, weights model);
INSERT INTO zoo.parted_africa VALUES ('africa', 100, made(1)), ('africa', 101, made(2));
ALTER TABLE zoo.parted ATTACH PARTITION zoo.parted_africa FOR VALUES IN ('africa');
ALTER TABLE zoo.parted DETACH PARTITION zoo.parted_eu;
UPDATE zoo.parted SET weights = made(9) WHERE id = 100;
UPDATE zoo.parted_eu SET weights = made(10);
SELECT modelopt.track('zoo.parted', 'weights');
TRUNCATE zoo.parted_africa;
SELECT model, head, versions FROM modelopt.tracked_rows JOIN modelopt.models ON name = model WHERE prefix = 'zoo.parted' ORDER BY model;
SELECT version, message, w FROM history('zoo.parted.africa,100@deleted');
TRUNCATE zoo.parted_eu;
SELECT modelopt.untrack('zoo.parted');
SELECT modelopt.untrack('zoo.parted_eu');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE '00_modelopt%' AND tgrelid::regclass::text LIKE 'zoo.parted%';

-- The audit's chains are whole after all this, and heads are what rows have.
RESET ROLE;
SELECT count(*) FROM modelopt.audit_verify();
SELECT operation, details FROM modelopt.audit WHERE model = '' AND operation LIKE '%track' AND details ->> 'table' LIKE 'zoo.%' ORDER BY number LIMIT 2;
DROP SCHEMA zoo CASCADE;
DROP FUNCTION history, made;
DROP SCHEMA lair CASCADE;
SELECT modelopt.revoke(NULL, 'track_owner'), modelopt.revoke(NULL, 'track_writer');
DROP ROLE track_writer, track_reader, track_owner;
