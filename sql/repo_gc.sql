-- Giving space back: what keeps the content of a version, and what goes.
\set VERBOSITY terse
SET client_min_messages = warning;
DROP EXTENSION modelopt CASCADE;
CREATE EXTENSION modelopt;

-- A model with one tensor of 1000 floats, unlike those of other numbers; near
-- ones are coded against each other.
CREATE FUNCTION net(number integer) RETURNS model LANGUAGE sql AS
$$ SELECT model_agg('w', (SELECT array_agg((sin(i) + number * 1e-4)::real) FROM generate_series(1, 1000) i)) $$;
-- Whether a version still is that model.
CREATE FUNCTION is_net(ref text, number integer) RETURNS boolean LANGUAGE sql AS $$ SELECT modelopt.get(ref) = net(number) $$;
-- What gc says that it would do and what it then does must be the same.
CREATE FUNCTION collect(grace interval DEFAULT '0', max_objects bigint DEFAULT NULL) RETURNS TABLE (what text, count bigint, same boolean)
    LANGUAGE plpgsql AS $$
DECLARE
    would text[] := ARRAY(SELECT g::text FROM modelopt.gc(true, grace, max_objects) g);
    did text[] := ARRAY(SELECT g::text FROM modelopt.gc(false, grace, max_objects) g);
BEGIN
    RETURN QUERY
    SELECT split_part(trim(d, '()'), ',', 1), split_part(trim(d, '()'), ',', 2)::bigint, w = d
    FROM unnest(would, did) u (w, d);
END
$$;
CREATE FUNCTION forgotten(model text) RETURNS integer[] LANGUAGE sql AS
$$ SELECT coalesce(array_agg(v.version ORDER BY v.version), '{}') FROM modelopt.versions v WHERE v.model = $1 AND v.forgotten_at IS NOT NULL $$;

SELECT * FROM modelopt.gc(dry_run => false, grace => '0');

-- ---------- what keeps content ----------

-- All that a reference comes from, when there is no policy.
SELECT max(modelopt.commit('net', net(i), 'version ' || i)) FROM generate_series(1, 8) i;
SELECT * FROM collect();
-- What a branch leaves behind is kept for the grace.
SELECT modelopt.reset('net', 'main', 'net#4', reason => 'back');
SELECT count FROM modelopt.gc() WHERE what = 'versions';
SELECT count FROM modelopt.gc(grace => '0') WHERE what = 'versions';
-- A tag, an alias, a branch, and where an alias can be rolled back and forward.
SELECT modelopt.tag('net#5', 'five');
SELECT modelopt.alias('net', 'champion', 'net#6');
SELECT modelopt.alias('net', 'champion', 'net#7');
SELECT modelopt.alias('net', 'champion', 'net#4');
SELECT modelopt.rollback('net', 'champion', steps => 2);
-- So 1 to 4 are in the branch, 5 is tagged, 6 is the champion, which can go forward to 7: 8 goes.
SELECT what, count, bytes FROM modelopt.gc(grace => '0') WHERE what IN ('versions', 'trees', 'objects');
SELECT digest AS digest8 FROM modelopt.versions WHERE version = 8 \gset
SELECT sum(stored_bytes) AS before FROM modelopt_private.object \gset
SELECT bytes AS freed FROM modelopt.gc(grace => '0') WHERE what = 'parts' \gset
SELECT * FROM collect();
SELECT forgotten('net');
SELECT :before - :freed = (SELECT sum(octet_length(data)) FROM modelopt_private.part) AS freed;
SELECT * FROM collect();
SELECT is_net('net#' || i, i) FROM generate_series(1, 7) i;
SELECT modelopt.roll_forward('net', 'champion'), modelopt.roll_forward('net', 'champion'), modelopt.rollback('net', 'champion', steps => 2);
SELECT * FROM modelopt.verify();

-- ---------- content that is gone ----------

-- History is whole: the row, its number, its digest, what it was.
SELECT version, message, parameters, raw_bytes, parent FROM modelopt.log('net#8', 2);
SELECT digest = :'digest8' AS same FROM modelopt.versions WHERE version = 8;
SELECT modelopt.resolve('net@last'), modelopt.resolve('sha256:' || :'digest8');
SELECT old_version, new_version FROM modelopt.reflog WHERE new_version = 8 OR old_version = 8;
-- What needs it says so.
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT modelopt.get('net#8');
\set VERBOSITY terse
SELECT modelopt.tensor('net@last', 'w');
SELECT modelopt.alias('net', 'champion', 'net#8');
SELECT modelopt.tag('net#8', 'eight');
SELECT modelopt.branch('net', 'eight', 'net#8');
SELECT modelopt.reset('net', 'main', 'net#8');
SELECT modelopt.rollback('net', 'main');
SELECT modelopt.copy('net#8', 'copy');
SELECT * FROM modelopt.diff('net#7', 'net#8');
SELECT modelopt.revert('net#8');
SELECT modelopt_private.open_tree(tree_id, '[]') FROM modelopt_private.version WHERE version = 8;
\echo :LAST_ERROR_SQLSTATE
-- The same model again brings it back, under both numbers.
SELECT modelopt.commit('net', net(8), 'eight again');
SELECT forgotten('net'), is_net('net#8', 8), is_net('net#9', 8);
SELECT * FROM modelopt.verify();

-- ---------- bases stay ----------

SELECT max(modelopt.commit('chain', net(100 + i), 'version ' || i)) FROM generate_series(1, 3) i;
SELECT modelopt.retention('chain', keep_last => 1);
-- The tensors of 1 and 2 are what that of 3 is coded against.
SELECT depth FROM modelopt_private.object o JOIN modelopt_private.tree_entry e ON e.object_id = o.id
    JOIN modelopt_private.version v ON v.tree_id = e.tree_id WHERE v.version = 3 AND v.message = 'version 3'
    AND v.model_id = (SELECT id FROM modelopt_private.named_model WHERE name = 'chain');
SELECT * FROM collect();
SELECT forgotten('chain'), is_net('chain', 103);
SELECT objects, bytes_after > bytes_before AS larger FROM modelopt.repack('chain');
SELECT * FROM collect();
SELECT is_net('chain', 103);
SELECT * FROM modelopt.verify();

-- ---------- forks stay ----------

-- What branches come from is what merging them takes.
SELECT max(modelopt.commit('fork', net(300 + i), 'base ' || i)) FROM generate_series(1, 3) i;
SELECT modelopt.branch('fork', 'side');
SELECT modelopt.commit('fork/side', net(310), 'theirs'), modelopt.commit('fork', net(311), 'ours'), modelopt.commit('fork', net(312), 'ours');
SELECT modelopt.retention('fork', keep_last => 1);
SELECT * FROM collect() WHERE what = 'versions';
SELECT version, message, forgotten FROM modelopt.log('fork');
SELECT modelopt.merge('fork', 'fork/side', 'average');
-- Branches that were merged fork where they met last, and a third one where it left.
SELECT modelopt.branch('fork', 'third', 'fork#3'), modelopt.commit('fork', net(313), 'more'), modelopt.commit('fork/side', net(314), 'more');
SELECT modelopt.retention('fork', keep_last => 1);
SELECT modelopt.unbranch('fork', 'third');
SELECT modelopt.retention('fork', keep_last => 1);
SELECT * FROM collect() WHERE what = 'versions';
SELECT modelopt.merge_base('fork', 'fork/side'), forgotten('fork');
SELECT modelopt.merge('fork', 'fork/side', 'average');
SELECT * FROM modelopt.verify();
-- A tensor whose earlier history is gone may be older than it seems.
SELECT tensor, version, boundary FROM modelopt.blame('fork#4');
SELECT tensor, version, boundary FROM modelopt.blame('fork');
-- Tags are no branches: what they come from may be gone when they are to be merged.
SELECT max(modelopt.commit('lost', net(320 + i), 'version ' || i)) FROM generate_series(1, 2) i;
SELECT modelopt.branch('lost', 'side', 'lost#1'), modelopt.commit('lost/side', net(323), 'theirs'), modelopt.tag('lost/side', 'tagged');
SELECT modelopt.unbranch('lost', 'side');
SELECT modelopt.retention('lost', keep_last => 1);
SELECT * FROM collect() WHERE what = 'versions';
\set VERBOSITY default
SELECT modelopt.merge('lost', 'lost:tagged', 'average');
SELECT * FROM modelopt.blame('lost#1');
\set VERBOSITY terse
SELECT * FROM modelopt.merge_dry_run('lost', 'lost:tagged');
SELECT * FROM modelopt.diff('lost', 'lost:tagged', mode => '...');
SELECT tensor, version, boundary FROM modelopt.blame('lost:tagged');
SELECT modelopt.drop('lost');
SELECT tensor, status FROM modelopt.diff('fork', 'fork/side');

-- ---------- shared content ----------

-- What another model has stays, and is unique to it then.
SELECT modelopt.commit('twin', net(8), 'the same as net#8');
SELECT unique_bytes, shared_bytes > 0 AS shared FROM modelopt.size('twin');
SELECT modelopt.commit('twin', net(9), 'its own');
SELECT s.versions, s.objects, s.logical_bytes, s.stored_bytes = s.unique_bytes + s.shared_bytes AS sum,
    (SELECT stored_bytes FROM modelopt_private.object ORDER BY id DESC LIMIT 1) = s.unique_bytes AS own FROM modelopt.size('twin') s;
SELECT modelopt.drop('twin');
SELECT * FROM collect();
SELECT is_net('net#8', 8);

-- ---------- policies ----------

SELECT max(modelopt.commit('kept', net(200 + i), 'version ' || i)) FROM generate_series(1, 10) i;
SELECT modelopt.tag('kept#1', 'first');
SELECT modelopt.alias('kept', 'champion', 'kept#' || i) FROM generate_series(2, 5) i;
SELECT modelopt.branch('kept', 'side', 'kept#7');
-- The last two of each branch, the tag, and two places of the alias: 3 goes, and 2, and 8.
SELECT modelopt.retention('kept', keep_last => 2);
SELECT modelopt.retention('kept', keep_last => 3);
-- What is younger than an hour: all of them.
SELECT modelopt.retention('kept', keep_for => '1 hour');
SET session_replication_role = replica;
UPDATE modelopt_private.version SET committed_at = committed_at - interval '1 day' * (10 - version)
WHERE model_id = (SELECT id FROM modelopt_private.named_model WHERE name = 'kept');
UPDATE modelopt_private.reflog SET at = at - interval '20 days'
WHERE model_id = (SELECT id FROM modelopt_private.named_model WHERE name = 'kept');
RESET session_replication_role;
SELECT modelopt.retention('kept', keep_for => '1 hour');
SELECT modelopt.retention('kept', keep_for => '2 days 12 hours');
SELECT modelopt.retention('kept', keep_last => 4, keep_for => '2 days 12 hours');
SELECT name, keep_last, keep_for FROM modelopt.models WHERE keep_last IS NOT NULL ORDER BY name;
-- Moves count, too.
UPDATE modelopt_private.reflog SET reason = 'this is refused';
SET session_replication_role = replica;
UPDATE modelopt_private.reflog SET at = clock_timestamp() - interval '1 day' WHERE new_version_id =
    (SELECT v.id FROM modelopt_private.version v JOIN modelopt_private.named_model m ON m.id = v.model_id WHERE m.name = 'kept' AND version = 3);
RESET session_replication_role;
SELECT modelopt.retention('kept', keep_for => '2 days 12 hours');
-- The grace of gc comes on top; with nothing, all are kept again.
SELECT count FROM modelopt.gc(grace => '4 days 12 hours') WHERE what = 'versions';
SELECT count FROM modelopt.gc(grace => '0') WHERE what = 'versions';
SELECT modelopt.retention('kept');
SELECT details FROM modelopt.audit WHERE model = 'kept' AND operation = 'retention' ORDER BY number DESC LIMIT 2;

-- ---------- a few at a time ----------

SELECT modelopt.drop('kept');
SELECT what, count, same FROM collect(max_objects => 4);
SELECT what, count, same FROM collect(max_objects => 0) WHERE what = 'objects';
SELECT what, count, same FROM collect(max_objects => 4) WHERE what = 'objects';
SELECT what, count, same FROM collect() WHERE what = 'objects';
SELECT * FROM modelopt.verify();

-- ---------- loads and orphans ----------

INSERT INTO modelopt_private.load (target, role, metadata, began_at)
VALUES ('stale', current_user, '{}', now() - interval '9 days'), ('fresh', current_user, '{}', now() - interval '6 days'),
    ('slow', current_user, '{}', now() - interval '9 days');
INSERT INTO modelopt_private.load_tensor SELECT id, 1, 'w', 'f32', '{100}', 400 FROM modelopt_private.load;
INSERT INTO modelopt_private.load_part
SELECT id, 1, 0, decode(repeat('00', 100), 'hex'), began_at + CASE target WHEN 'slow' THEN interval '5 days' ELSE '0' END FROM modelopt_private.load;
INSERT INTO modelopt_private.part SELECT 1000000, n, '\x0102' FROM generate_series(0, 4) n;
SELECT what, name, problem FROM modelopt.verify();
SELECT what, count, bytes FROM modelopt.gc(grace => '0');
SELECT what, count FROM modelopt.gc(grace => '10 days') WHERE what = 'loads';
SELECT * FROM collect();
SELECT target FROM modelopt_private.load ORDER BY id;
SELECT modelopt.abort_load(id) FROM modelopt_private.load;
SELECT * FROM modelopt.verify();

-- ---------- who may, and what is refused ----------

SELECT operation, details FROM modelopt.audit WHERE operation = 'gc' AND details -> 'forgotten' IS NOT NULL ORDER BY number;
SELECT * FROM modelopt.audit_verify();
CREATE ROLE rg_writer;
CREATE ROLE rg_admin;
SELECT modelopt.grant_write('net', 'rg_writer'), modelopt.grant_admin('net', 'rg_admin');
SET ROLE rg_writer;
SELECT * FROM modelopt.gc();
SELECT modelopt.retention('net', keep_last => 1);
SELECT modelopt.repack('net');
SELECT versions FROM modelopt.size('net');
SET ROLE rg_admin;
SELECT * FROM modelopt.gc();
SELECT modelopt.retention('net', keep_last => 1);
SELECT objects FROM modelopt.repack('net#3', 8);
SELECT modelopt.retention('chain', keep_last => 1);
SELECT * FROM modelopt.size('chain');
SELECT modelopt.retention('net');
RESET ROLE;
SELECT modelopt.retention('net', keep_last => 0);
SELECT modelopt.retention('net', keep_for => '-1 day');
SELECT modelopt.retention('net', keep_for => '1000000 years');
SELECT modelopt.retention('nothing');
SELECT modelopt.gc(grace => '-1 s');
SELECT modelopt.gc(dry_run => NULL);
SELECT modelopt.gc(max_objects => -1);
SELECT modelopt.repack('net', 9);
SELECT modelopt.repack('net', -1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM modelopt.gc();
SELECT modelopt.gc(dry_run => false);
ROLLBACK;
-- Nobody deletes history by hand, whatever was collected.
DELETE FROM modelopt_private.version;
DELETE FROM modelopt_private.reflog;

SELECT modelopt.revoke('net', 'rg_writer'), modelopt.revoke('net', 'rg_admin');
DROP ROLE rg_writer, rg_admin;
