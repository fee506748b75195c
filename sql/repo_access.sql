-- Who may do what: every function and view of the schema modelopt, for every
-- kind of role.  A function or view that this test does not know makes it fail.
SET client_min_messages = warning;
CREATE ROLE ra_nobody;
CREATE ROLE ra_user;
CREATE ROLE ra_reader;
CREATE ROLE ra_writer;
CREATE ROLE ra_admin;
CREATE ROLE ra_owner;
CREATE ROLE ra_creator;
CREATE ROLE ra_group;
CREATE ROLE ra_member IN ROLE ra_group;
CREATE ROLE ra_stranger NOINHERIT IN ROLE ra_group;
CREATE ROLE ra_passing;
GRANT CREATE ON SCHEMA public TO ra_nobody, ra_reader, ra_owner;

-- The weights have numbers that are found when they get out.
SELECT modelopt.grant_create('ra_owner');
SET ROLE ra_owner;
SELECT modelopt.commit('secret', model_agg(name, data ORDER BY name), 'secret message', params => '{"of": "secret"}')
FROM (VALUES ('bias', '{31337.5}'::real[]), ('weight', '{{31337.25,-31337.125},{0,31337.75}}')) v (name, data);
SELECT modelopt.commit('secret', prune(modelopt.get('secret'), 0.4), 'secret pruned', metrics => '{"auc": 0.5}');
SELECT modelopt.alias('secret', 'champion', 'secret#1', reason => 'secret reason');
SELECT modelopt.alias('secret', 'champion', 'secret#2');
SELECT modelopt.rollback('secret', 'champion');
SELECT modelopt.branch('secret', 'side', 'secret#1');
SELECT modelopt.tag('secret#1', 'v1', 'secret tag');
SELECT modelopt.protect('secret', 'guarded*', '{ra_owner}');
SELECT modelopt.set_reference('secret#2', 'SELECT 42 AS secret_feature');
SELECT modelopt.grant_usage('secret', 'ra_user');
SELECT modelopt.grant_read('secret', 'ra_reader');
SELECT modelopt.grant_write('secret', 'ra_writer');
SELECT modelopt.grant_admin('secret', 'ra_admin');
CREATE TABLE ra_table (id integer PRIMARY KEY, m model);
SELECT modelopt.track('ra_table', 'm', prefix => 'ra-rows');
INSERT INTO ra_table SELECT 1, model_agg('w', '{31337.5}');
UPDATE ra_table SET m = (SELECT model_agg('w', '{31337.25}'));
SET ROLE ra_writer;
SELECT modelopt.begin_load('secret', '[{"name": "w", "dtype": "f32", "shape": [1]}]') AS load \gset
SELECT modelopt.put_part(:load, 'w', 0, '\x0000803f');
RESET ROLE;
SELECT modelopt.grant_create('ra_creator');
-- The public key of RFC 8032, 7.1, test 3.
SELECT modelopt.register_key('rfc', '\xfc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');

-- ---------- functions ----------

-- needs: what a role must have on the model, with create for the right to
-- create models, table for the owner of the tracked table, load for who began
-- the load and all for the owner of the extension; none: anybody may.
-- allowed: the SQLSTATE for those who may.
CREATE TABLE verb (function regprocedure PRIMARY KEY, call text, needs text, allowed text DEFAULT '00000');
GRANT SELECT ON verb TO PUBLIC;
INSERT INTO verb (function, call, needs) VALUES
    ('modelopt.owns_extension()', 'owns_extension()', 'none'),
    ('modelopt.has_privilege(text,text)', 'has_privilege(''secret'', ''read'')', 'none'),
    ('modelopt.grant_usage(text,text)', 'grant_usage(''secret'', ''ra_nobody'')', 'admin'),
    ('modelopt.grant_read(text,text)', 'grant_read(''secret'', ''ra_nobody'')', 'admin'),
    ('modelopt.grant_write(text,text)', 'grant_write(''secret'', ''ra_nobody'')', 'admin'),
    ('modelopt.grant_admin(text,text)', 'grant_admin(''secret'', ''ra_nobody'')', 'admin'),
    ('modelopt.grant_create(text)', 'grant_create(''ra_nobody'')', 'all'),
    ('modelopt.revoke(text,text,text)', 'revoke(''secret'', ''ra_user'')', 'admin'),
    ('modelopt.audit_verify(text,jsonb)', 'audit_verify(''secret'')', 'usage'),
    ('modelopt.audit_digest()', 'audit_digest()', 'all'),
    ('modelopt.resolve(text)', 'resolve(''secret@champion'')', 'usage'),
    ('modelopt.resolve_at(text,text,timestamptz)', 'resolve_at(''secret'', ''champion'', now())', 'usage'),
    ('modelopt.branch(text,text,text)', 'branch(''secret'', ''new'')', 'write'),
    ('modelopt.tag(text,text,text)', 'tag(''secret#1'', ''new'')', 'write'),
    ('modelopt.alias(text,text,text,text,text)', 'alias(''secret'', ''new'', ''secret#1'')', 'write'),
    ('modelopt.promote(text,text,text)', 'promote(''secret@champion'', ''new'')', 'write'),
    ('modelopt.unalias(text,text,text)', 'unalias(''secret'', ''champion'')', 'write'),
    ('modelopt.unbranch(text,text,text)', 'unbranch(''secret'', ''side'')', 'write'),
    ('modelopt.untag(text,text,text)', 'untag(''secret'', ''v1'')', 'admin'),
    ('modelopt.reset(text,text,text,text,text)', 'reset(''secret'', ''main'', ''secret#1'')', 'write'),
    ('modelopt.set_default_branch(text,text)', 'set_default_branch(''secret'', ''side'')', 'admin'),
    ('modelopt.rollback(text,text,text,integer)', 'rollback(''secret'', ''main'')', 'write'),
    ('modelopt.roll_forward(text,text,text,integer)', 'roll_forward(''secret'', ''champion'')', 'write'),
    ('modelopt.protect(text,text,text[],text)', 'protect(''secret'', ''c*'', ''{ra_user}'')', 'admin'),
    ('modelopt.unprotect(text,text,text)', 'unprotect(''secret'', ''guarded*'')', 'admin'),
    ('modelopt.commit(text,model,text,text,text,jsonb,jsonb,jsonb,text,text[],boolean)',
        'commit(''secret'', (SELECT model_agg(''w'', ''{1}'')), ''new'')', 'write'),
    ('modelopt.log_metric(text,text,double precision,text,bigint)', 'log_metric(''secret'', ''f1'', 0.25)', 'write'),
    ('modelopt.get(text)', 'get(''secret'')', 'read'),
    ('modelopt.tensor(text,text)', 'tensor(''secret'', ''bias'')', 'read'),
    ('modelopt.register(text,text,jsonb)', 'register(''new'')', 'create'),
    ('modelopt.describe(text,text,jsonb)', 'describe(''secret'', ''new'')', 'write'),
    ('modelopt.rename(text,text)', 'rename(''secret'', ''new'')', 'admin'),
    ('modelopt.set_owner(text,text)', 'set_owner(''secret'', current_user)', 'admin'),
    ('modelopt.copy(text,text,text)', 'copy(''secret'', ''new'')', 'read create'),
    ('modelopt.archive(text,text)', 'archive(''secret'')', 'admin'),
    ('modelopt.unarchive(text)', 'unarchive(''secret'')', 'admin'),
    ('modelopt.drop(text,text)', 'drop(''secret'')', 'admin'),
    ('modelopt.show(text)', 'show(''secret'')', 'usage'),
    ('modelopt.log(text,bigint,timestamptz)', 'log(''secret'')', 'usage'),
    ('modelopt.register_key(text,bytea)',
        'register_key(''new'', ''\xec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf'')', 'all'),
    ('modelopt.revoke_key(text,text)', 'revoke_key(''rfc'')', 'all'),
    ('modelopt.manifest(text)', 'manifest(''secret'')', 'read'),
    ('modelopt.verify_signature(text,text)', 'verify_signature(''secret'')', 'usage'),
    ('modelopt.sync_sequences()', 'sync_sequences()', 'all'),
    ('modelopt.is_ancestor(text,text)', 'is_ancestor(''secret#1'', ''secret#2'')', 'usage'),
    ('modelopt.merge_base(text,text)', 'merge_base(''secret#1'', ''secret#2'')', 'usage'),
    ('modelopt.lineage(text,boolean)', 'lineage(''secret'')', 'usage'),
    ('modelopt.blame(text)', 'blame(''secret'')', 'usage'),
    ('modelopt.diff(text,text,boolean,text)', 'diff(''secret#1'', ''secret#2'')', 'read'),
    ('modelopt.diff_stat(text,text,text)', 'diff_stat(''secret#1'', ''secret#2'')', 'read'),
    ('modelopt.params_diff(text,text,boolean,text)', 'params_diff(''secret#1'', ''secret#2'')', 'usage'),
    ('modelopt.metrics_diff(text,text,boolean,text)', 'metrics_diff(''secret#1'', ''secret#2'')', 'usage'),
    ('modelopt.merge(text,text,text,double precision[],double precision,double precision,jsonb,text,text,text)',
        'merge(''secret/side'', ''secret#2'')', 'read write'),
    ('modelopt.merge_dry_run(text,text,text,double precision[],double precision,double precision,jsonb,text)',
        'merge_dry_run(''secret/side'', ''secret#2'')', 'usage'),
    ('modelopt.revert(text,text,text,integer,text)', 'revert(''secret#2'')', 'write'),
    ('modelopt.trackings(oid[])', 'trackings()', 'none'),
    ('modelopt.track(regclass,name,text,name,text)', 'track(''ra_table'', ''m'')', 'table'),
    ('modelopt.untrack(regclass)', 'untrack(''ra_table'')', 'table'),
    ('modelopt.tracked_row(regclass,jsonb)', 'tracked_row(''ra_table'', ''1'')', 'table'),
    ('modelopt.restore_row(regclass,jsonb,integer)', 'restore_row(''ra_table'', ''1''::jsonb, 1)', 'table'),
    ('modelopt.restore_row(regclass,text,integer)', 'restore_row(''ra_table'', ''1''::text, 1)', 'table'),
    ('modelopt.restore_row(regclass,bigint,integer)', 'restore_row(''ra_table'', 1, 1)', 'table');
-- Nobody can make a signature in here; repo_sign has some.
INSERT INTO verb VALUES
    ('modelopt.sign(text,text,bytea)', 'sign(''secret'', ''rfc'', ''\x00'')', 'write', '22023'),
    ('modelopt.track_row()', 'track_row()', 'none', '42804'),
    ('modelopt.track_table()', 'track_table()', 'none', '42804');

INSERT INTO verb VALUES
    ('modelopt.retention(text,integer,interval)', 'retention(''secret'', keep_last => 100)', 'admin'),
    ('modelopt.gc(boolean,interval,bigint)', 'gc(dry_run => false)', 'all'),
    ('modelopt.size(text)', 'size(''secret'')', 'usage'),
    ('modelopt.repack(text,integer)', 'repack(''secret'')', 'admin'),
    ('modelopt.verify(text,boolean)', 'verify(''secret'')', 'usage'),
    ('modelopt.begin_load(text,jsonb,jsonb)', 'begin_load(''secret'', ''[]'')', 'write'),
    ('modelopt.put_part(bigint,text,bigint,bytea)', format('put_part(%s, ''w'', 0, ''\x0000803f'')', :load), 'load'),
    ('modelopt.load_status(bigint)', format('load_status(%s)', :load), 'load'),
    ('modelopt.finish_load(bigint,text,text,jsonb,jsonb,jsonb,text,text[],boolean)', format('finish_load(%s)', :load), 'load'),
    ('modelopt.abort_load(bigint)', format('abort_load(%s)', :load), 'load');
INSERT INTO verb VALUES
    ('modelopt.load(text,text,text,text,text,boolean,boolean,text,text,jsonb,jsonb,jsonb,text,text[],boolean)',
        'load(''secret'', ''/nowhere'')', 'all', '58P01'),
    ('modelopt.cached_models()', 'cached_models()', 'none', '00000');

-- Statistics are there where the library was preloaded.
INSERT INTO verb (function, call, needs, allowed)
SELECT s.function::regprocedure, s.call, s.needs, CASE WHEN i.preloaded THEN '00000' ELSE '55000' END
FROM modelopt.stat_info i, (VALUES
    ('modelopt.stat_entries(boolean)', 'stat_entries(true)', 'none'),
    ('modelopt.stat_activity()', 'stat_activity()', 'none'),
    ('modelopt.stat_progress()', 'stat_progress()', 'none'),
    ('modelopt.stat_drift()', 'stat_drift()', 'none'),
    ('modelopt.stat_drift_bins()', 'stat_drift_bins()', 'none'),
    ('modelopt.snapshot_stats(interval)', 'snapshot_stats()', 'all'),
    ('modelopt.reset_drift(text)', 'reset_drift(''secret#2'')', 'admin'),
    ('modelopt.reset_stats(text,integer,name,name,boolean)', 'reset_stats(''secret'')', 'admin')) s (function, call, needs);
INSERT INTO verb VALUES
    ('modelopt.stat_info()', 'stat_info()', 'none'),
    ('modelopt.stat_versions()', 'stat_versions()', 'none'),
    ('modelopt.profile(text,bigint,boolean)', 'profile(''SELECT 1 AS x'')', 'none'),
    ('modelopt.set_reference(text,text,text,bigint)', 'set_reference(''secret#1'', ''SELECT 1 AS x'')', 'write'),
    ('modelopt.put_reference(text,jsonb,text)', 'put_reference(''secret#1'', (SELECT jsonb_agg(p) FROM modelopt.profile(''SELECT 1 AS x'') p))', 'write'),
    ('modelopt.set_reference_from_serving(text,integer)', 'set_reference_from_serving(''secret#1'')', 'write'),
    ('modelopt.copy_reference(text,text)', 'copy_reference(''secret#2'', ''secret#1'')', 'write'),
    ('modelopt.drop_reference(text)', 'drop_reference(''secret#2'')', 'write'),
    ('modelopt.set_reference_to_previous(text,boolean)', 'set_reference_to_previous(''secret#2'')', 'write'),
    ('modelopt.set_drift_threshold(text,text,double precision,double precision,text,boolean)',
        'set_drift_threshold(''secret'', ''psi'', 0.1, 0.3)', 'write'),
    ('modelopt.histogram_buckets(bigint[])', 'histogram_buckets(array_fill(1::bigint, ARRAY[218]))', 'none'),
    ('modelopt.histogram_cumulative(bigint[],integer)', 'histogram_cumulative(array_fill(1::bigint, ARRAY[218]), 8)', 'none'),
    ('modelopt.report_html(text)', 'report_html(''secret'')', 'usage'),
    ('modelopt.histogram_bounds()', 'histogram_bounds()', 'none'),
    ('modelopt.histogram_percentile(bigint[],double precision[])',
        'histogram_percentile(array_fill(1::bigint, ARRAY[218]), ''{0.5}'')', 'none');

SELECT p.oid::regprocedure AS "function that this test does not know"
FROM pg_proc p
WHERE p.pronamespace = 'modelopt'::regnamespace AND NOT EXISTS (SELECT FROM verb v WHERE v.function = p.oid)
ORDER BY 1;

CREATE TABLE actor (role name PRIMARY KEY, privileges text);
INSERT INTO actor VALUES
    ('ra_nobody', 'none'),
    ('ra_user', 'none usage'),
    ('ra_reader', 'none usage read'),
    ('ra_writer', 'none usage write load'),
    ('ra_admin', 'none usage read write admin'),
    ('ra_owner', 'none usage read write admin create table'),
    ('ra_creator', 'none create'),
    (current_user, 'none usage read write admin create table load all');

-- Calls as a role, and undoes what was done.
CREATE FUNCTION attempt(role name, call text, OUT state text, OUT result text, OUT audited bigint)
    LANGUAGE plpgsql
    AS $$
DECLARE
    before bigint := (SELECT count(*) FROM modelopt_private.audit);
    detail text;
    hint text;
    context text;
BEGIN
    state := '00000';
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE format('SELECT string_agg(t::text, '' '') FROM modelopt.%s t', call) INTO result;
    RESET ROLE;
    audited := (SELECT count(*) FROM modelopt_private.audit) - before;
    RAISE EXCEPTION USING ERRCODE = 'ZZ000';
EXCEPTION
    WHEN SQLSTATE 'ZZ000' THEN
        NULL;
    WHEN OTHERS THEN
        state := SQLSTATE;
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
        result := concat_ws(E'\n', SQLERRM, detail, hint, context);
END
$$;
CREATE TABLE attempted AS
SELECT a.role, a.privileges, v.*, t.state, t.result, t.audited
FROM actor a, verb v, attempt(a.role, v.call) t;

SELECT role, function, state, result
FROM attempted
WHERE state <> CASE WHEN string_to_array(needs, ' ') <@ string_to_array(privileges, ' ') THEN allowed ELSE '42501' END
ORDER BY 1, 2::text;
-- Numbers, and their bytes, in hexadecimal and in base64 of any alignment.
SELECT role, function, result
FROM attempted
WHERE NOT 'read' = ANY (string_to_array(privileges, ' ')) AND result ~ '31337\.|[048]0d[23]f4[4c]6|0[/v]RG|[PL]0R|[TS]9E';
SELECT function AS "gives weights to who may read"
FROM attempted
WHERE role = 'ra_reader' AND result ~ '31337\.|[048]0d[23]f4[4c]6|0[/v]RG|[PL]0R|[TS]9E' AND function::text ~ '\.(get|tensor)\(' ORDER BY 1;
-- What writes leaves its row, but for the parts of a load, which its end tells of,
-- and for what is done every hour.
SELECT a.function, a.audited
FROM attempted a JOIN pg_proc p ON p.oid = a.function
WHERE a.role = current_user AND a.state = '00000' AND (p.provolatile = 'v') <> (a.audited > 0) AND p.proname NOT IN ('put_part', 'snapshot_stats');

-- ---------- views ----------

CREATE TABLE seen (view regclass, role name, rows bigint);
DO $$
DECLARE
    wanted record;
    found_rows bigint;
BEGIN
    FOR wanted IN
        SELECT c.oid::regclass AS view, a.role
        FROM pg_class c, actor a
        WHERE c.relnamespace = 'modelopt'::regnamespace AND c.relkind = 'v'
    LOOP
        EXECUTE format('SET LOCAL ROLE %I', wanted.role);
        BEGIN
            EXECUTE format('SELECT count(*) FROM %s v WHERE v::text ~ ''secret''', wanted.view) INTO found_rows;
        EXCEPTION WHEN object_not_in_prerequisite_state THEN
            found_rows := 0;            -- statistics, and the library was not preloaded
        END;
        RESET ROLE;
        INSERT INTO seen VALUES (wanted.view, wanted.role, found_rows);
    END LOOP;
END
$$;
SELECT view, role, rows FROM seen WHERE role IN ('ra_nobody', 'ra_creator') AND rows > 0;
SELECT view FROM seen WHERE role = 'ra_user' AND rows = 0 AND view::text !~ '\.(stat_(?!references)|prom_)' ORDER BY view::text;
SELECT a.view, a.role FROM seen a JOIN seen u USING (view) WHERE u.role = 'ra_user' AND a.rows < u.rows AND a.role NOT IN ('ra_nobody', 'ra_creator');
SELECT c.oid::regclass AS "view that leaks" FROM pg_class c
WHERE relnamespace = 'modelopt'::regnamespace AND relkind = 'v' AND NOT coalesce(reloptions, '{}') && '{security_barrier=true,security_barrier}'
ORDER BY 1;

-- A function that costs nothing does not get to see rows before they are checked.
SET ROLE ra_nobody;
CREATE FUNCTION leak(row_text text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
    IF row_text ~ 'secret' THEN
        RAISE EXCEPTION 'leaked %', row_text;
    END IF;
    RETURN true;
END
$$;
RESET ROLE;
CREATE FUNCTION leaks(role name, view regclass) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    found_rows bigint;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE format('SELECT count(*) FROM %s v WHERE leak(v::text)', view) INTO found_rows;
    RESET ROLE;
    RETURN false;
EXCEPTION
    WHEN raise_exception THEN
        RETURN true;
    WHEN object_not_in_prerequisite_state THEN
        RETURN false;
END
$$;
SELECT view FROM seen WHERE role = 'ra_nobody' AND leaks(role, view);
SELECT count(*) > 5 AS "views show it to those who may" FROM seen WHERE role = 'ra_user' AND leaks(role, view);

-- ---------- past the gates ----------

SELECT p.oid::regprocedure AS "private, and anybody may call it"
FROM pg_proc p WHERE p.pronamespace = 'modelopt_private'::regnamespace AND has_function_privilege('ra_admin', p.oid, 'EXECUTE');
SELECT c.oid::regclass AS "private, and anybody may read it"
FROM pg_class c
WHERE c.relnamespace = 'modelopt_private'::regnamespace AND c.relkind = 'r'
    AND has_table_privilege('ra_admin', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');
SELECT c.oid::regclass AS "private, and anybody may count with it"
FROM pg_class c
WHERE c.relnamespace = 'modelopt_private'::regnamespace
    AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege('ra_admin', c.oid, 'USAGE, SELECT, UPDATE') END;
SELECT has_schema_privilege('ra_admin', 'modelopt_private', 'USAGE, CREATE') AS private, has_schema_privilege('ra_admin', 'modelopt', 'CREATE') AS create,
    has_schema_privilege('ra_nobody', 'modelopt', 'USAGE') AS usage;
ANALYZE modelopt_private.object, modelopt_private.version, modelopt_private.part;
SELECT count(*) > 0 AS superuser FROM pg_stats WHERE schemaname = 'modelopt_private';
SET ROLE ra_admin;
SELECT count(*) AS admin FROM pg_stats WHERE schemaname = 'modelopt_private';
SELECT count(*) FROM modelopt_private.part;
EXPLAIN (COSTS OFF) SELECT count(*) FROM modelopt_private.version;
SELECT modelopt_private.caller();
RESET ROLE;

-- Who calls is not known in workers, behind no gate.
SELECT p.oid::regprocedure AS "asks who calls in a worker"
FROM pg_proc p
WHERE NOT EXISTS (SELECT FROM verb v JOIN pg_proc g ON g.oid = v.function WHERE g.proname = p.proname AND g.proargtypes = p.proargtypes)
    AND p.pronamespace = 'modelopt_private'::regnamespace AND p.proparallel = 's'
    AND p.prosrc ~ '\m(caller|caller_is|may|may_create|require|require_owner_of_all|owns_extension|find_model|find_version|find_own_version|find_digest)\(';

-- ---------- who it is that calls ----------

CREATE FUNCTION try(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE query INTO result;
    RETURN coalesce(result, 'done');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

-- Through a group, with and without INHERIT.
SELECT modelopt.grant_read('secret', 'ra_group');
SET ROLE ra_member;
SELECT try('SELECT modelopt.tensor(''secret#1'', ''bias'')') AS member;
SET ROLE ra_stranger;
SELECT try('SELECT modelopt.tensor(''secret#1'', ''bias'')') AS does_not_inherit;
SET ROLE ra_group;
SELECT try('SELECT modelopt.tensor(''secret#1'', ''bias'')') AS the_group;
RESET ROLE;
SELECT modelopt.revoke('secret', 'ra_group', 'usage') AS other_privilege;
SELECT modelopt.revoke('secret', 'ra_group', 'read');
SET ROLE ra_member;
SELECT try('SELECT modelopt.tensor(''secret#1'', ''bias'')') AS member;
RESET ROLE;

-- Everybody.
SELECT modelopt.grant_usage('secret', 'public');
SET ROLE ra_nobody;
SELECT modelopt.has_privilege('secret', 'usage') AS usage, modelopt.has_privilege('secret', 'read') AS read;
SELECT modelopt.resolve('secret');
RESET ROLE;
SELECT modelopt.revoke('secret', 'public');
SET ROLE ra_nobody;
SELECT modelopt.has_privilege('secret', 'usage');

-- A function runs with the rights of whom it says, and no others.
SET ROLE ra_reader;
CREATE FUNCTION lend() RETURNS model LANGUAGE sql SECURITY DEFINER AS $$ SELECT modelopt.get('secret#1') $$;
SET ROLE ra_nobody;
SELECT tensor(lend(), 'bias') AS lent;
SELECT try('SELECT modelopt.get(''secret'')') AS own;
CREATE FUNCTION take() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN PERFORM modelopt.grant_admin('secret', 'ra_nobody'); RETURN modelopt.tensor('secret#1', 'bias'); END $$;
RESET ROLE;
SELECT try('SELECT take()') AS called_by_superuser;
-- What superusers do to others' tables runs as their owners.
SET ROLE ra_nobody;
CREATE FUNCTION take(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM modelopt.tensor('secret#1', 'bias'); PERFORM modelopt.grant_admin('secret', 'ra_nobody'); RETURN 1; END $$;
CREATE TABLE trap (i integer);
CREATE MATERIALIZED VIEW trap_view AS SELECT modelopt.tensor('secret#1', 'bias') WITH NO DATA;
CREATE VIEW window_view AS SELECT modelopt.tensor('secret#1', 'bias');
GRANT SELECT ON window_view TO ra_user;
RESET ROLE;
SELECT try('REFRESH MATERIALIZED VIEW trap_view') AS refreshed;
INSERT INTO trap VALUES (1);
SELECT try('CREATE INDEX ON trap (take(i))') AS indexed;
SET ROLE ra_user;
SELECT try('SELECT * FROM window_view') AS in_a_view;
RESET ROLE;
SELECT modelopt.has_privilege('secret', 'read') AS mine, (SELECT count(*) FROM modelopt.privileges WHERE role = 'ra_nobody') AS theirs;

-- ---------- roundabout ----------

-- A version of another model as a parent opens no way to it.
SET ROLE ra_creator;
SELECT try('SELECT modelopt.commit(''mine'', model_agg(''w'', ''{1}''), ''mine'', parents => ''{secret#1}'')') AS no_usage;
RESET ROLE;
SELECT modelopt.grant_usage('secret', 'ra_creator');
SET ROLE ra_creator;
SELECT modelopt.commit('mine', model_agg('w', '{1}'), 'mine', parents => '{secret#1}');
SELECT modelopt.resolve('mine~1'), modelopt.resolve('mine@previous');
SELECT try(format('SELECT modelopt.%s', call)) AS refused
FROM unnest(ARRAY['get(''mine~'')', 'get(''mine~~0'')', 'get(''mine@previous'')', 'tensor(''mine#1~1'', ''bias'')', 'manifest(''mine~1'')', 'copy(''mine~1'', ''thine'')']) call;
SELECT try('SELECT modelopt.get(''sha256:' || digest || '~1'')') AS by_digest FROM modelopt.versions WHERE model = 'mine';
SELECT regexp_replace(try('SELECT modelopt.get(''sha256:' || d || ''')'), '[0-9a-f]{64}', '...') AS by_digest
FROM modelopt.versions, unnest(ARRAY[digest, model_digest]) d WHERE model = 'secret' AND version = 1;
SELECT version, message FROM modelopt.log('mine');
SELECT try('SELECT modelopt.merge(''mine'', ''secret#1'')') AS merged, try('SELECT modelopt.merge(''mine'', ''mine~1'', ''theirs'')') AS merged,
    try('SELECT modelopt.revert(''mine#1'')') AS reverted, try('SELECT count(*) FROM modelopt.diff(''mine~1'', ''mine'')') AS diff,
    try('SELECT count(*) FROM modelopt.diff(''mine'', ''secret'', mode => ''...'')') AS diff;
RESET ROLE;
SELECT modelopt.revoke('secret', 'ra_creator');
SET ROLE ra_creator;
SELECT version, message, parent FROM modelopt.log('mine');
-- Neither do workers, who do not know who calls.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;
SET enable_indexscan = off;
SELECT version, message FROM modelopt.log('mine');
SELECT count(*) FROM modelopt.models WHERE name = 'secret';
RESET ROLE;
\c -
-- Nor settings that change what functions mean.
SET client_min_messages = warning;
SET ROLE ra_creator;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET search_path = pg_temp, public;
CREATE FUNCTION pg_temp.may(bigint, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pg_temp.caller() RETURNS text LANGUAGE sql AS 'SELECT ''postgres''::text';
SELECT public.try('SELECT modelopt.get(''secret'')') AS refused;
SELECT public.try('SELECT modelopt.register(''with space'')') AS refused;
SELECT public.try('SELECT modelopt.register(''classes'')') AS made;
\c -
SET client_min_messages = warning;

-- ---------- names of roles ----------

-- Grants are to names: they outlive a role, and serve the next of its name.
SELECT modelopt.grant_read('secret', 'ra_passing');
DROP ROLE ra_passing;
SELECT model, role, privilege, role_exists FROM modelopt.privileges WHERE role IN ('ra_passing', 'ra_reader') ORDER BY 2;
CREATE ROLE ra_passing;
SET ROLE ra_passing;
SELECT modelopt.has_privilege('secret', 'read') AS inherited;
RESET ROLE;
SELECT model, modelopt.revoke(model, role) FROM modelopt.privileges WHERE role = 'ra_passing';
DROP ROLE ra_passing;
CREATE ROLE ra_passing;
SET ROLE ra_passing;
SELECT modelopt.has_privilege('secret', 'usage') AS inherited;
RESET ROLE;
SELECT try('SELECT modelopt.grant_read(''secret'', ''ra_missing'')');
SELECT try('SELECT modelopt.has_privilege(''secret'', ''dance'')');
SELECT try('SELECT modelopt.revoke(''secret'', ''ra_reader'', ''dance'')');
SELECT modelopt.has_privilege('missing', 'read');
-- Those whose owner is gone are administered by the owner of the extension.
SELECT modelopt.abort_load(:load);
DROP OWNED BY ra_nobody, ra_reader, ra_owner;
DROP ROLE ra_nobody, ra_user, ra_reader, ra_writer, ra_admin, ra_owner, ra_creator, ra_member, ra_stranger, ra_group, ra_passing;
SELECT modelopt.set_owner(name, current_user) FROM modelopt.models WHERE owner = 'ra_owner' AND name <> 'mine';
SELECT DISTINCT role_exists FROM modelopt.privileges;
SELECT modelopt.drop('mine'), modelopt.drop('classes'), modelopt.drop('secret'), modelopt.drop('ra-rows.1');
SELECT modelopt.revoke(NULL, 'ra_owner'), modelopt.revoke(NULL, 'ra_creator');
SELECT count(*) FROM modelopt.audit_verify();
DROP TABLE verb, actor, attempted, seen;
DROP FUNCTION attempt, leaks, try;

-- ---------- the script of the extension ----------

-- In a schema where somebody made operators that fit better than the server's,
-- neither the script nor the views call them.
DROP EXTENSION modelopt CASCADE;
CREATE SCHEMA trap;
CREATE FUNCTION trap.spring(oid, regnamespace) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = regnamespace, FUNCTION = trap.spring);
CREATE FUNCTION trap.spring(double precision, bigint) RETURNS double precision LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END';
CREATE OPERATOR trap./ (LEFTARG = double precision, RIGHTARG = bigint, FUNCTION = trap.spring);
CREATE EXTENSION modelopt SCHEMA trap;
SELECT modelopt.commit('m', trap.model_agg('w', '{1,0}'));
SELECT sparsity FROM modelopt.versions;
DROP EXTENSION modelopt CASCADE;
DROP SCHEMA trap CASCADE;
CREATE EXTENSION modelopt;
