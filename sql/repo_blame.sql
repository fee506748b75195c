-- Where versions and their tensors come from: blame, lineage, common ancestors.
\set SHOW_CONTEXT never

CREATE FUNCTION blame_model(VARIADIC parts text[]) RETURNS model LANGUAGE sql AS $$
    SELECT model_agg(parts[i], parts[i + 1]::real[] ORDER BY i) FROM generate_series(1, cardinality(parts), 2) i
$$;
CREATE FUNCTION blame_refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
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

-- ---------- one line ----------

SELECT modelopt.commit('blames', blame_model('a', '{1}', 'b', '{2}', 'c', '{3}'), 'first');
SELECT modelopt.commit('blames', blame_model('a', '{1}', 'b', '{20}', 'c', '{3}'), 'b changes');
SELECT modelopt.commit('blames', blame_model('c', '{{3}}', 'a', '{1}', 'b', '{20}', 'd', '{1}'), 'c gets a shape, d is added, the order is new');
SELECT modelopt.commit('blames', blame_model('c', '{{3}}', 'a', '{10}', 'b', '{2}', 'd', '{1}'), 'a changes, b goes back');
SELECT modelopt.commit('blames', blame_model('c', '{{3}}', 'a', '{1}', 'b', '{2}', 'd', '{1}'), 'a goes back');
SELECT tensor, version, message, relation, author = current_user AS by_me, committed_at <= clock_timestamp() AS before_now
FROM modelopt.blame('blames');
SELECT tensor, version FROM modelopt.blame('blames#2');
SELECT tensor, version FROM modelopt.blame('blames#1');

-- ---------- merges ----------

-- A tensor that came through a merge was set where its branch set it; what the
-- merge made new is its own.
SELECT modelopt.branch('blames', 'left', 'blames#1'), modelopt.branch('blames', 'right', 'blames#1');
SELECT modelopt.commit('blames/left', blame_model('a', '{5}', 'b', '{2}', 'c', '{3}'), 'left sets a');
SELECT modelopt.commit('blames/right', blame_model('a', '{1}', 'b', '{6}', 'c', '{3}'), 'right sets b');
SELECT modelopt.commit('blames/left', blame_model('a', '{5}', 'b', '{6}', 'c', '{7}'), 'by hand', parents => '{blames/right}');
SELECT tensor, version, message FROM modelopt.blame('blames/left');
SELECT depth, version, relation, parent, message FROM modelopt.lineage('blames/left');
SELECT depth, version, relation, parent, message FROM modelopt.lineage('blames#1', descendants => true);
SELECT depth, version, relation, parent FROM modelopt.lineage('blames#6', descendants => true);
SELECT count(*) FROM modelopt.lineage('blames', descendants => true);

-- ---------- across models ----------

SELECT modelopt.commit('blames_small', prune_count(modelopt.get('blames/left'), 1, include => '{a}'), 'pruned', parents => '{blames/left}');
SELECT modelopt.commit('blames_small', blame_model('a', '{9}', 'b', '{6}', 'c', '{7}'), 'tuned', relation => 'finetune');
SELECT depth, version, relation, parent FROM modelopt.lineage('blames_small');
SELECT tensor, version, relation FROM modelopt.blame('blames_small');
SELECT depth, version, relation, parent FROM modelopt.lineage('blames#7', descendants => true);

-- ---------- common ancestors ----------

SELECT a, b, modelopt.merge_base(a, b), modelopt.is_ancestor(a, b), modelopt.is_ancestor(b, a)
FROM (VALUES ('blames', 'blames'), ('blames#2', 'blames#5'), ('blames#6', 'blames#7'), ('blames/left', 'blames/right'),
    ('blames', 'blames/left'), ('blames', 'blames_small'), ('blames_small', 'blames/right')) pairs (a, b);
-- Two branches that merged each other have two best ancestors, and the newest
-- counts.
SELECT modelopt.commit('blames_cross', blame_model('a', '{1}'), '1');
SELECT modelopt.branch('blames_cross', 'other');
SELECT modelopt.commit('blames_cross', blame_model('a', '{2}'), '2');
SELECT modelopt.commit('blames_cross/other', blame_model('a', '{3}'), '3');
SELECT modelopt.commit('blames_cross', blame_model('a', '{4}'), '4', parents => '{blames_cross#3}');
SELECT modelopt.commit('blames_cross/other', blame_model('a', '{5}'), '5', parents => '{blames_cross#2}');
SELECT modelopt.merge_base('blames_cross', 'blames_cross/other');
-- The shortest way counts for depth, and each edge comes once.
SELECT modelopt.commit('blames_cross', blame_model('a', '{6}'), '6', parents => '{blames_cross#1}');
SELECT depth, version, parent FROM modelopt.lineage('blames_cross');
SELECT depth, version, parent FROM modelopt.lineage('blames_cross#1', true);
-- Nothing in common.
SELECT modelopt.merge_base('blames', 'blames_cross') IS NULL AS none, modelopt.is_ancestor('blames#1', 'blames_cross');

-- ---------- a long history ----------

DO $$
BEGIN
    PERFORM modelopt.commit('blames_long', blame_model('fixed', '{0}', 'a', '{0}', 'b', '{0}', 'c', '{0}'), '0');
    FOR i IN 1..300 LOOP
        PERFORM modelopt.commit('blames_long', blame_model('fixed', '{0}', 'a', format('{%s}', i / 100), 'b', format('{%s}', i / 7),
            'c', format('{%s}', i)), i::text);
    END LOOP;
END $$;
-- The last i with another value than before, by arithmetic: 300, 7 * 42, 300, and never.
SELECT tensor, message, version FROM modelopt.blame('blames_long');
SELECT count(*), max(depth), count(parent) FROM modelopt.lineage('blames_long');
SELECT modelopt.merge_base('blames_long~299', 'blames_long');

-- ---------- no weights are read ----------

BEGIN;
DELETE FROM modelopt_private.part;
SELECT count(version) FROM modelopt.blame('blames_small');
SELECT count(*) FROM modelopt.lineage('blames_small');
ROLLBACK;

-- ---------- who may ----------

CREATE ROLE regress_blame_user;
SELECT modelopt.grant_usage('blames_small', 'regress_blame_user');
GRANT EXECUTE ON FUNCTION blame_refusal(text) TO PUBLIC;
SET ROLE regress_blame_user;
-- What is another model's is left out.
SELECT tensor, version, author IS NULL AS no_author, message FROM modelopt.blame('blames_small');
SELECT depth, version, relation, parent FROM modelopt.lineage('blames_small');
SELECT modelopt.is_ancestor('blames_small#1', 'blames_small'), modelopt.merge_base('blames_small#1', 'blames_small');
SELECT query, blame_refusal(query) FROM unnest(ARRAY[
    'SELECT * FROM modelopt.blame(''blames'')',
    'SELECT * FROM modelopt.lineage(''blames'')',
    'SELECT modelopt.is_ancestor(''blames#1'', ''blames_small'')',
    'SELECT modelopt.merge_base(''blames'', ''blames_small'')',
    'SELECT * FROM modelopt.diff(''blames_small#1'', ''blames_small#2'')']) query;
RESET ROLE;
SELECT modelopt.grant_usage('blames', 'regress_blame_user');
SET ROLE regress_blame_user;
SELECT count(*), count(parent) FROM modelopt.lineage('blames_small');
SELECT tensor, version FROM modelopt.blame('blames_small');
RESET ROLE;
SELECT modelopt.revoke('blames', 'regress_blame_user'), modelopt.revoke('blames_small', 'regress_blame_user');
DROP ROLE regress_blame_user;

-- ---------- refusals ----------

SELECT query, blame_refusal(query) FROM unnest(ARRAY[
    'SELECT * FROM modelopt.blame(''blames#99'')',
    'SELECT * FROM modelopt.lineage(''nothing'')',
    'SELECT modelopt.is_ancestor(''blames'', ''#'')']) query;
