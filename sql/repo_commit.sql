-- What commits keep, and what they refuse.
\set SHOW_CONTEXT never

CREATE FUNCTION commit_refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE query;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

-- ---------- a model that is the same as the head ----------

SELECT modelopt.commit('commits', model_agg('w', '{1,2}'), 'first', params => '{"lr": 1}', tags => '{"team": "a"}', metrics => '{"auc": 0.5}');
SELECT modelopt.commit('commits', model_agg('w', '{1,2}'), 'again', params => '{"lr": 2}', tags => '{"team": "b"}', metrics => '{"auc": 0.75}');
-- Nothing came of it.
SELECT version, message, params, tags FROM modelopt.versions WHERE model = 'commits';
SELECT version, name, value FROM modelopt.metrics WHERE model = 'commits';
SELECT count(*) FROM modelopt.audit WHERE model = 'commits' AND operation IN ('commit', 'log metric');
SELECT modelopt.log_metric('commits', 'auc', 0.75);
SELECT modelopt.commit('commits', model_agg('w', '{1,2}'), 'all the same', metrics => '{"auc": 1}', allow_empty => true);
SELECT version, message, metrics FROM modelopt.log('commits');
-- Its arguments are looked at all the same, and also before anything is made.
SELECT query, commit_refusal(format('SELECT modelopt.commit(%s)', query)) FROM unnest(ARRAY[
    '''commits'', model_agg(''w'', ''{1,2}''), params => ''[]''',
    '''commits'', model_agg(''w'', ''{1,2}''), tags => ''1''',
    '''commits'', model_agg(''w'', ''{1,2}''), metrics => ''[1]''',
    '''commits'', model_agg(''w'', ''{1,2}''), metrics => ''{"auc": "high"}''',
    '''commits'', model_agg(''w'', ''{1,2}''), parents => ''{nothing}''']) query;

-- ---------- where a model begins ----------

SELECT modelopt.register('commits_empty');
SELECT query, commit_refusal('SELECT modelopt.' || query) FROM unnest(ARRAY[
    'commit(''commits_new/side'', model_agg(''w'', ''{1}''))',
    'commit(''commits_new'', model_agg(''w'', ''{1}''), branch => ''typo'')',
    'commit(''commits_empty/side'', model_agg(''w'', ''{1}''))',
    'begin_load(''commits_new/side'', ''[{"name": "w", "dtype": "f32", "shape": [1]}]'')',
    'load(''commits_new'', ''no/file'', branch => ''side'')',
    'load(''commits_new/side'', ''no/file'')']) query;
SELECT count(*) FROM modelopt.models WHERE name LIKE 'commits\_%';
SELECT modelopt.commit('commits_new/main', model_agg('w', '{1}')), modelopt.commit('commits_empty', model_agg('w', '{1}'));
SELECT commit_refusal('SELECT modelopt.commit(''commits_new/side'', model_agg(''w'', ''{2}''))');
SELECT name, head FROM modelopt.models WHERE name LIKE 'commits\_%' ORDER BY name;
-- A load whose model was dropped meanwhile.
SELECT modelopt.branch('commits_new', 'side');
SELECT modelopt.begin_load('commits_new/side', '[]') AS load \gset
SELECT modelopt.drop('commits_new');
SELECT commit_refusal(format('SELECT modelopt.finish_load(%s)', :load));
SELECT modelopt.abort_load(:load);

-- ---------- relations ----------

SELECT modelopt.commit('commits', model_agg('w', '{1,3}'), relation => 'finetune');
SELECT modelopt.commit('commits', model_agg('w', '{1,4}'), relation => 'pruned, fine_tuned again');
SELECT version, relation FROM modelopt.log('commits', 2);
SELECT relation, commit_refusal(format('SELECT modelopt.commit(''commits'', model_agg(''w'', ''{1,5}''), relation => %L)', relation))
FROM unnest(ARRAY['', 'first', 'Finetune', 'v2', ' ', E'two\nlines', repeat('a', 51)]) relation;

-- ---------- references ----------

SELECT ref, commit_refusal(format('SELECT modelopt.resolve(%L)', ref))
FROM unnest(ARRAY['sha256:ee', 'sha256:EEEEEE', 'sha256:', 'commits^', 'commits#2^', 'commits^^', 'commits~9', 'commits#1~', 'commits@latest',
    'commits:latest', 'commits@none', 'commits#x', '', 'a b']) ref;
-- Where the model is given, its name need not come again.
SELECT modelopt.branch('commits', 'side', '#2'), modelopt.alias('commits', 'champion', '#1', expected => ''),
    modelopt.reset('commits', 'side', '@champion', expected => '#2'), modelopt.alias('commits', 'champion', '/main', expected => '#1');
SELECT modelopt.commit('commits', model_agg('w', '{1,6}'), expected => '#4');
SELECT query, commit_refusal('SELECT modelopt.' || query) FROM unnest(ARRAY[
    'alias(''commits'', ''champion'', ''3'')',
    'reset(''commits'', ''side'', ''#77'')',
    'commit(''commits'', model_agg(''w'', ''{7}''), expected => ''#4'')',
    'commit(''commits'', model_agg(''w'', ''{7}''), expected => ''5'')',
    'branch(''commits'', ''with^'')',
    'alias(''commits'', ''with space'', ''#1'')',
    'tag(''commits'', ''a#b'')']) query;

-- An alias that points there already does not move.
SELECT modelopt.alias('commits', 'champion', '#4', 'again'), modelopt.promote('commits#4', 'champion');
SELECT old_version, new_version, operation, reason FROM modelopt.reflog WHERE model = 'commits' AND kind = 'alias';
SELECT modelopt.rollback('commits', 'champion');
SELECT query, commit_refusal('SELECT modelopt.' || query) FROM unnest(ARRAY[
    'rollback(''commits'', ''champion'')',
    'rollback(''commits'', ''champion'', steps => 2)',
    'roll_forward(''commits'', ''champion'', steps => 2)',
    'roll_forward(''commits'', ''side'')']) query;

-- ---------- files ----------

\set SHOW_CONTEXT errors
SELECT modelopt.load('commits', 'PG_VERSION');
SELECT modelopt.load('commits', 'no/such/file');

-- ---------- where it happened ----------

-- It is told where the caller was, and not where the repository was.
CREATE FUNCTION commit_caller(ref text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM modelopt.alias('commits', 'champion', ref);
END $$;
SELECT modelopt.alias('commits', 'champion', '#77');
SELECT commit_caller('#77');
SELECT commit_caller('commits@none');
-- The caller is who it was, and settings are what they were.
SELECT commit_refusal('SELECT commit_caller(''#77'')'), current_user = session_user AS same, current_setting('search_path');
