-- The audit: what its rows say, and that nothing is done to them unnoticed.
SET client_min_messages = warning;
CREATE ROLE rt_auditor;
CREATE ROLE rt_other;
SELECT modelopt.commit('audited', model_agg('w', '{1,2}'), 'as trained', metrics => '{"auc": 0.5}');
SELECT modelopt.commit('audited', model_agg('w', '{1,3}'), 'better');
SELECT modelopt.alias('audited', 'champion', 'audited#1', reason => 'passes');
SELECT modelopt.rollback('audited', 'main', reason => 'p99 doubled');
SELECT modelopt.grant_usage('audited', 'rt_auditor');
SELECT modelopt.protect('audited', 'c*', '{rt_auditor}');
SELECT modelopt.protect('audited', 'c*', '{rt_auditor,rt_other}');
SELECT modelopt.unprotect('audited', 'c*');
SELECT modelopt.describe('audited', 'for the audit');
SELECT modelopt.revoke('audited', 'rt_auditor');
SELECT modelopt.register('other', 'another one');
SELECT modelopt.grant_create('rt_auditor');

-- Actions with their arguments, and with what was before.
SELECT model, number, operation, details - 'digest' - 'owner' AS details
FROM modelopt.audit WHERE model IN ('audited', 'other') ORDER BY model, number;
SELECT operation, details FROM modelopt.audit WHERE model = '' AND details ->> 'role' = 'rt_auditor';
SELECT bool_and(actor = current_user AND session_role = session_user AND application = current_setting('application_name')
    AND client IS NOT DISTINCT FROM host(inet_client_addr()) AND at BETWEEN now() - interval '1 hour' AND clock_timestamp()) AS who_and_when
FROM modelopt.audit WHERE model IN ('audited', 'other');
-- What was moved to is known by its digest.
SELECT a.number, v.version FROM modelopt.audit a JOIN modelopt.versions v ON v.digest = a.details ->> 'digest'
WHERE a.model = 'audited' ORDER BY 1;
-- What was undone is not audited.
BEGIN;
SELECT modelopt.alias('audited', 'gone', 'audited#1');
ROLLBACK;
SELECT count(*) FROM modelopt.audit WHERE details ->> 'name' = 'gone';
-- What could be known beforehand is refused before weights are written.
\set SHOW_CONTEXT never
SELECT last_value AS objects FROM modelopt_private.object_id \gset
SELECT modelopt.commit('audited', model_agg('w', '{9}'), params => '[]');
SELECT modelopt.commit('audited', model_agg('w', '{9}'), tags => NULL);
SELECT modelopt.commit('audited', model_agg('w', '{9}'), metrics => '{"auc": "high"}');
SELECT last_value = :objects AS nothing_written FROM modelopt_private.object_id;
\set SHOW_CONTEXT errors
-- A commit that changes nothing keeps no metrics, and audits none.  Those that are
-- kept have all of their digits, whatever the session wants to see.
BEGIN;
SET LOCAL extra_float_digits = -15;
SELECT modelopt.commit('audited', modelopt.get('audited'), metrics => '{"auc": 0.75}');
SELECT modelopt.log_metric('audited', 'f1', 0.25);
SELECT details FROM modelopt.audit WHERE model = 'audited' AND operation = 'log metric' ORDER BY number;
ROLLBACK;
SELECT count(*) FROM modelopt.audit_verify();

-- ---------- hashes ----------

-- A hash can be made by hand, from what anybody who sees the view sees.
SELECT hash = encode(sha256(convert_to('["' || lag(hash, 1, '') OVER (PARTITION BY model ORDER BY number) || '",' || chain || ',' || number || ','
    || (extract(epoch FROM at) * 1000000)::bigint || ',"' || actor || '","' || session_role || '","' || application || '",'
    || coalesce('"' || client || '"', 'null') || ',"' || operation || '","' || model || '",'
    || '{"description":"another one","tags":{}}' || ']', 'UTF8')), 'hex') AS as_documented
FROM (SELECT a.*, m.id AS chain FROM modelopt.audit a JOIN modelopt_private.named_model m ON m.name = a.model WHERE model = 'other') a
ORDER BY number OFFSET 1;

-- Canonical JSON.
SELECT given, convert_from(modelopt_private.canonical_json(given::jsonb), 'UTF8') AS canonical
FROM unnest(ARRAY['{"b": 1, "aa": 2, "a": 3}', '[]', '{}', '[1, [2, {"x": []}], null, true, false]', '1.50', '1e3', '-0', '"a"', 'null',
    '"\u0001\b\f\n\r\t\"\\/\u007f"', '{"é": 1, "z": 2, "zz": 3}', '[{"a": {"b": {"c": [0.10]}}}]', '{"": ""}', '{"€": "😀"}',
    '12345678901234567890.12345678901234567890']) given;
-- Settings do not matter.
CREATE TEMP TABLE hashes AS SELECT a.model_id, a.number, modelopt_private.audit_hash(a, '\x00') AS hash FROM modelopt_private.audit a;
SET TimeZone = 'Asia/Kathmandu';
SET DateStyle = 'German';
SET bytea_output = 'escape';
SET extra_float_digits = -15;
SET IntervalStyle = 'iso_8601';
SELECT bool_and(h.hash = modelopt_private.audit_hash(a, '\x00')) AS same FROM modelopt_private.audit a JOIN hashes h USING (model_id, number);
SELECT count(*) FROM modelopt.audit_verify();
RESET ALL;
SET client_min_messages = warning;

-- ---------- nobody changes it by mistake ----------

CREATE FUNCTION try(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE query;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''));
END
$$;
SELECT format(change, name) AS change, try(format(change, name))
FROM unnest('{audit,version,version_parent,reflog,signature}'::text[]) name,
    unnest('{TRUNCATE modelopt_private.%s CASCADE}'::text[]) change
UNION ALL
SELECT change, try(change) FROM unnest(ARRAY[
    'UPDATE modelopt_private.audit SET actor = ''nobody''',
    'DELETE FROM modelopt_private.audit',
    'UPDATE modelopt_private.version SET message = ''''',
    'DELETE FROM modelopt_private.version',
    'UPDATE modelopt_private.reflog SET reason = ''''',
    'DELETE FROM modelopt_private.reflog',
    'UPDATE modelopt_private.version_parent SET relation = ''''',
    'DELETE FROM modelopt_private.version_parent']) change;

-- ---------- nor unnoticed ----------

SELECT modelopt.audit_digest() AS digest \gset
SELECT (:'digest'::jsonb -> 'chains' -> 0) ?& '{chain,number,hash}' AS digest;
CREATE FUNCTION tamper(change text, digest jsonb DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    found_text text[];
BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    EXECUTE change;
    PERFORM set_config('session_replication_role', 'origin', true);
    found_text := ARRAY(SELECT concat_ws(': ', model_name, CASE WHEN model_name <> '' THEN number END, problem) FROM modelopt.audit_verify(digest => tamper.digest));
    RAISE EXCEPTION SQLSTATE 'ZZ000';
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
    RETURN QUERY SELECT unnest(CASE found_text WHEN '{}' THEN '{nothing}' ELSE found_text END);
END
$$;
CREATE VIEW chain AS
SELECT a.* FROM modelopt_private.audit a JOIN modelopt_private.named_model m ON m.id = a.model_id WHERE m.name = 'audited';
CREATE FUNCTION head() RETURNS bigint LANGUAGE sql AS $$ SELECT max(number) FROM chain $$;
CREATE FUNCTION id() RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM modelopt_private.named_model WHERE name = 'audited' $$;
-- Makes all hashes of a chain fit, as somebody might who may write.
CREATE FUNCTION rehash() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    link modelopt_private.audit;
    previous bytea := '';
BEGIN
    FOR link IN SELECT * FROM modelopt_private.audit WHERE model_id = id() ORDER BY number LOOP
        previous := modelopt_private.audit_hash(link, previous);
        UPDATE modelopt_private.audit SET hash = previous WHERE model_id = link.model_id AND number = link.number;
    END LOOP;
    UPDATE modelopt_private.audit_head SET number = head(), hash = previous WHERE model_id = id();
END
$$;
SELECT title, found
FROM (VALUES
    (0, 'nothing', 'SELECT 1'),
    (1, 'actor', 'UPDATE modelopt_private.audit SET actor = ''x'' WHERE model_id = id() AND number = 1'),
    (2, 'session role', 'UPDATE modelopt_private.audit SET session_role = ''x'' WHERE model_id = id() AND number = 5'),
    (3, 'time', 'UPDATE modelopt_private.audit SET at = at + interval ''1 us'' WHERE model_id = id() AND number = 5'),
    (4, 'operation', 'UPDATE modelopt_private.audit SET operation = ''x'' WHERE model_id = id() AND number = 5'),
    (5, 'name', 'UPDATE modelopt_private.audit SET model_name = ''x'' WHERE model_id = id() AND number = 5'),
    (6, 'application', 'UPDATE modelopt_private.audit SET application = application || ''x'' WHERE model_id = id() AND number = 5'),
    (7, 'client', 'UPDATE modelopt_private.audit SET client = ''::1'' WHERE model_id = id() AND number = 5'),
    (8, 'details', 'UPDATE modelopt_private.audit SET details = details || ''{"reason": "none"}'' WHERE model_id = id() AND number = 5'),
    (9, 'last', 'UPDATE modelopt_private.audit SET details = ''{}'' WHERE model_id = id() AND number = head()'),
    (10, 'hash', 'UPDATE modelopt_private.audit SET hash = sha256(hash) WHERE model_id = id() AND number = 5'),
    (11, 'with a hash that fits', 'UPDATE modelopt_private.audit a SET actor = ''x'', hash = modelopt_private.audit_hash(
        ROW(a.model_id, a.number, a.at, ''x'', a.session_role, a.application, a.client, a.operation, a.model_name, a.details, ''''),
        (SELECT hash FROM chain WHERE number = 4)) WHERE model_id = id() AND number = 5'),
    (12, 'first gone', 'DELETE FROM modelopt_private.audit WHERE model_id = id() AND number = 1'),
    (13, 'one gone', 'DELETE FROM modelopt_private.audit WHERE model_id = id() AND number = 5'),
    (14, 'some gone', 'DELETE FROM modelopt_private.audit WHERE model_id = id() AND number IN (5, 6, 7)'),
    (15, 'last gone', 'DELETE FROM modelopt_private.audit WHERE model_id = id() AND number = head()'),
    (16, 'all gone', 'DELETE FROM modelopt_private.audit WHERE model_id = id()'),
    (17, 'one gone and the others moved up', 'DELETE FROM modelopt_private.audit WHERE model_id = id() AND number = 5;
        UPDATE modelopt_private.audit SET number = number - 1 WHERE model_id = id() AND number > 5'),
    (18, 'two swapped', 'UPDATE modelopt_private.audit SET number = -5 WHERE model_id = id() AND number = 5;
        UPDATE modelopt_private.audit SET number = 5 WHERE model_id = id() AND number = 6;
        UPDATE modelopt_private.audit SET number = 6 WHERE model_id = id() AND number = -5'),
    (19, 'one added', 'INSERT INTO modelopt_private.audit SELECT model_id, head() + 1, at, actor, session_role, application, client, operation, model_name, details, hash
        FROM chain WHERE number = 5'),
    (20, 'one before the first', 'INSERT INTO modelopt_private.audit SELECT model_id, 0, at, actor, session_role, application, client, operation, model_name, details, hash
        FROM chain WHERE number = 1'),
    (21, 'one of another model', 'UPDATE modelopt_private.audit SET model_id = (SELECT id FROM modelopt_private.named_model WHERE name = ''other''), number = 3
        WHERE model_id = id() AND number = head()'),
    (22, 'of what concerns no model', 'UPDATE modelopt_private.audit SET details = details || ''{"role": "x"}'' WHERE model_id = 0 AND details ->> ''role'' = ''rt_auditor'''),
    (23, 'head', 'UPDATE modelopt_private.audit_head SET hash = ''\x00'' WHERE model_id = id()'),
    (24, 'head gone', 'DELETE FROM modelopt_private.audit_head WHERE model_id = id()'),
    (25, 'chain and head gone', 'DELETE FROM modelopt_private.audit WHERE model_id = id(); DELETE FROM modelopt_private.audit_head WHERE model_id = id()'),
    (26, 'last gone and head moved', 'DELETE FROM modelopt_private.audit WHERE model_id = id() AND number = head(); SELECT rehash()'),
    (27, 'rewritten whole', 'UPDATE modelopt_private.audit SET actor = ''x'' WHERE model_id = id() AND number = 5; SELECT rehash()'),
    (27, 'message of a version', 'UPDATE modelopt_private.version SET message = ''x'' WHERE model_id = id() AND version = 2'),
    (27, 'parent of a version', 'DELETE FROM modelopt_private.version_parent WHERE version_id = (SELECT id FROM modelopt_private.version
        WHERE model_id = id() AND version = 2)'),
    (28, 'message and digest of a version', 'UPDATE modelopt_private.version v SET message = ''x'', digest = modelopt_private.version_digest(
        ROW(v.id, v.digest, v.model_id, v.version, v.tree_id, ''x'', v.author, v.session_role, v.application, v.client, v.transaction_id, v.committed_at,
            v.relation, v.recipe, v.full_recipe, v.params, v.tags, v.new_bytes, v.stored_bytes), modelopt_private.parents_of(v.id)) WHERE model_id = id() AND version = 2'),
    (29, 'reference', 'UPDATE modelopt_private.ref SET version_id = (SELECT id FROM modelopt_private.version WHERE model_id = id() AND version = 2)
        WHERE model_id = id() AND name = ''champion'''),
    (30, 'new reference', 'INSERT INTO modelopt_private.ref SELECT model_id, kind, ''x'', version_id FROM modelopt_private.ref
        WHERE model_id = id() AND name = ''champion'''),
    (31, 'model nobody created', 'INSERT INTO modelopt_private.named_model (id, name, owner) VALUES (-1, ''forged'', ''x'')')
) t (number, title, change), tamper(change) found
ORDER BY number, title;
-- What was rewritten whole shows by a digest that was made before.
SELECT title, found
FROM (VALUES
    (0, 'nothing', 'SELECT 1'),
    (1, 'last gone and head moved', 'DELETE FROM modelopt_private.audit WHERE model_id = id() AND number = head(); SELECT rehash()'),
    (2, 'rewritten whole', 'UPDATE modelopt_private.audit SET actor = ''x'' WHERE model_id = id() AND number = 5; SELECT rehash()'),
    (3, 'chain of no model gone', 'DELETE FROM modelopt_private.audit WHERE model_id = 0; DELETE FROM modelopt_private.audit_head WHERE model_id = 0')
) t (number, title, change), tamper(change, :'digest') found
ORDER BY number;
-- The repository goes on, and the digest stays good.
SELECT modelopt.alias('audited', 'challenger', 'audited#2');
SELECT modelopt.rename('audited', 'renamed');
SELECT modelopt.drop('other');
SELECT * FROM modelopt.audit_verify(digest => :'digest');
SELECT * FROM modelopt.audit_verify('renamed', :'digest');
SELECT try('SELECT modelopt.audit_verify(digest => ''{"chains": 1}'')'), try('SELECT modelopt.audit_verify(digest => ''[]'')');
SELECT model, number, operation FROM modelopt.audit WHERE model = 'other' ORDER BY number;

-- ---------- who sees it ----------

SET ROLE rt_auditor;
SELECT count(*) FROM modelopt.audit;
SELECT try('SELECT modelopt.audit_verify()'), try('SELECT modelopt.audit_verify(''renamed'')'), try('SELECT modelopt.audit_digest()');
RESET ROLE;
SELECT modelopt.grant_usage('renamed', 'rt_auditor');
SET ROLE rt_auditor;
SELECT count(*) FILTER (WHERE model IN ('audited', 'renamed')) > 5 AS of_the_model, count(*) FILTER (WHERE model NOT IN ('audited', 'renamed')) AS of_others
FROM modelopt.audit;
SELECT count(*) FROM modelopt.audit_verify('renamed');
RESET ROLE;

SELECT modelopt.drop('renamed');
SELECT modelopt.revoke(NULL, 'rt_auditor');
SELECT count(*) FROM modelopt.audit_verify();
DROP VIEW chain CASCADE;
DROP FUNCTION try, tamper, head, id, rehash;
DROP ROLE rt_auditor, rt_other;
