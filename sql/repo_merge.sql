-- Merging versions tensor by tensor, and reverting them.  Merged elements are
-- compared with arithmetic over the arrays in double precision.
\set SHOW_CONTEXT never

CREATE FUNCTION merge_model(VARIADIC parts text[]) RETURNS model LANGUAGE sql AS $$
    SELECT model_agg(parts[i], parts[i + 1]::real[] ORDER BY i) FROM generate_series(1, cardinality(parts), 2) i
$$;
CREATE FUNCTION merge_typed(header text, data bytea) RETURNS model LANGUAGE sql AS $$
    SELECT model_read(set_byte(decode(repeat('00', 8), 'hex'), 0, length(header)) || header::bytea || data, 'safetensors')
$$;
CREATE FUNCTION merge_refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
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
CREATE FUNCTION merge_elements(ref text) RETURNS TABLE (name text, data real[]) LANGUAGE sql AS $$
    SELECT t.name, tensor(m, t.name) FROM modelopt.get(ref) m, LATERAL tensors(m) t
$$;

-- ---------- three ways ----------

-- Everything that can become of a tensor on two sides.
SELECT modelopt.commit('merges', merge_model('same', '{0}', 'ours', '{1,1}', 'theirs', '{2,2}', 'both', '{3,3}', 'agreed', '{4}',
    'gone here', '{5}', 'gone there', '{6}', 'gone twice', '{7}'), 'base');
SELECT modelopt.branch('merges', 'exp');
SELECT modelopt.commit('merges', merge_model('same', '{0}', 'ours', '{1,10}', 'theirs', '{2,2}', 'both', '{3,30}', 'agreed', '{40}',
    'gone there', '{6}', 'new here', '{8}', 'new twice', '{9}'), 'ours');
SELECT modelopt.commit('merges/exp', merge_model('same', '{0}', 'ours', '{1,1}', 'theirs', '{2,20}', 'both', '{5,10}', 'agreed', '{40}',
    'gone here', '{5}', 'new there', '{{8}}', 'new twice', '{9}'), 'theirs');
SELECT * FROM modelopt.merge_dry_run('merges', 'merges/exp');
SELECT merge_refusal('SELECT modelopt.merge(''merges'', ''merges/exp'')');
SELECT * FROM modelopt.merge_dry_run('merges', 'merges/exp', 'average') WHERE tensor = 'both';
SELECT modelopt.merge('merges', 'merges/exp', 'average', expected => 'merges#2');
SELECT * FROM merge_elements('merges');
SELECT version, message, relation, parent FROM modelopt.log('merges', 1);
SELECT depth, version, relation, parent FROM modelopt.lineage('merges');
SELECT tensor, version FROM modelopt.blame('merges');
SELECT model_metadata(modelopt.get('merges')) -> 'recipe';
SELECT old_version, new_version, operation, reason FROM modelopt.reflog WHERE model = 'merges' ORDER BY at DESC LIMIT 1;
SELECT operation, details ->> 'after' AS after FROM modelopt.audit WHERE model = 'merges' ORDER BY number DESC LIMIT 1;

-- The branch that was merged is behind now, and gets there by a move; after
-- that there is nothing to do.
SELECT modelopt.merge('merges', 'merges/exp', 'average');
SELECT modelopt.merge('merges/exp', 'merges', expected => 'merges#3', message => 'catch up');
SELECT old_version, new_version, operation, reason FROM modelopt.reflog WHERE model = 'merges' ORDER BY at DESC LIMIT 1;
SELECT count(*) FROM modelopt.versions WHERE model = 'merges';

-- ---------- choosing sides ----------

-- Nothing is a conflict for those who choose a side.
SELECT modelopt.commit('merges_sides', merge_model('a', '{0}', 'gone', '{1}', 'gone too', '{2}', 'shape', '{3}', 'pattern.one', '{4}',
    'pattern.two', '{5}'), 'base');
SELECT modelopt.branch('merges_sides', 'exp');
SELECT modelopt.commit('merges_sides', merge_model('a', '{10}', 'gone', '{11}', 'shape', '{13}', 'added', '{1}', 'pattern.one', '{14}',
    'pattern.two', '{15}'), 'ours');
SELECT modelopt.commit('merges_sides/exp', merge_model('a', '{20}', 'gone too', '{22}', 'shape', '{2,3}', 'added', '{2}',
    'pattern.one', '{24}', 'pattern.two', '{25}'), 'theirs');
SELECT tensor, ours, theirs, result, conflict FROM modelopt.merge_dry_run('merges_sides', 'merges_sides/exp', 'average');
SELECT method, (SELECT string_agg(format('%s=%s', tensor, result), ' ') FROM modelopt.merge_dry_run('merges_sides', 'merges_sides/exp', method))
FROM unnest(ARRAY['ours', 'theirs', 'base']) method;
-- A tensor's name counts most, then the longest pattern.
SELECT tensor, result, conflict FROM modelopt.merge_dry_run('merges_sides', 'merges_sides/exp', 'ours',
    per_tensor => '{"*": "base", "pattern.*": "theirs", "pattern.one": {"method": "weighted", "weights": [1, 3]}, "pattern.on?": "base"}');
BEGIN;
SELECT modelopt.merge('merges_sides', 'merges_sides/exp', 'theirs', per_tensor => '{"pattern.one": {"method": "weighted", "weights": [1, 3]}, "a": "base"}');
SELECT * FROM merge_elements('merges_sides');
ROLLBACK;
BEGIN;
SELECT modelopt.merge('merges_sides', 'merges_sides/exp', 'base');
SELECT * FROM merge_elements('merges_sides');
ROLLBACK;
BEGIN;
SELECT modelopt.merge('merges_sides', 'merges_sides/exp', 'ours');
SELECT * FROM merge_elements('merges_sides');
ROLLBACK;

-- ---------- arithmetic ----------

CREATE TABLE merge_vectors AS
SELECT n, side, (SELECT array_agg((sin(i * 0.37) + CASE side WHEN 'base' THEN 0 WHEN 'ours' THEN 0.1 * sin(i * 3.1) ELSE 0.2 * cos(i * 1.3) END)::real
    ORDER BY i) FROM generate_series(1, n) i) AS data
FROM unnest(ARRAY[1, 3, 5, 100, 2048, 40000, 70001]) n, unnest(ARRAY['base', 'ours', 'theirs']) side;
SELECT modelopt.commit('merges_sum', (SELECT model_agg('t' || n, data ORDER BY n) FROM merge_vectors WHERE side = 'base'), 'base');
SELECT modelopt.branch('merges_sum', 'exp');
SELECT modelopt.commit('merges_sum', (SELECT model_agg('t' || n, data ORDER BY n) FROM merge_vectors WHERE side = 'ours'), 'ours');
SELECT modelopt.commit('merges_sum/exp', (SELECT model_agg('t' || n, data ORDER BY n) FROM merge_vectors WHERE side = 'theirs'), 'theirs');
-- Elements side by side; trimming ranks magnitudes of task vectors, rounded to
-- real, and of equal ones the first go.
CREATE TABLE merge_numbers AS
SELECT b.n, u.*, row_number() OVER (PARTITION BY b.n ORDER BY abs(u.o::float8 - u.b)::real DESC, i DESC) AS rank_o,
    row_number() OVER (PARTITION BY b.n ORDER BY abs(u.t::float8 - u.b)::real DESC, i DESC) AS rank_t
FROM merge_vectors b JOIN merge_vectors o USING (n) JOIN merge_vectors t USING (n),
    LATERAL unnest(b.data, o.data, t.data) WITH ORDINALITY u (b, o, t, i)
WHERE b.side = 'base' AND o.side = 'ours' AND t.side = 'theirs';
-- What a merge makes of the branch, which goes back afterwards.
CREATE TEMP TABLE merge_out (n integer, i bigint, x real);
CREATE FUNCTION merge_result(arguments text) RETURNS TABLE (n integer, i bigint, x real) LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE merge_out;
    EXECUTE format('SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', %s)', arguments);
    INSERT INTO merge_out SELECT substr(e.name, 2)::integer, u.i, u.x
    FROM merge_elements('merges_sum') e, LATERAL unnest(e.data) WITH ORDINALITY u (x, i);
    RETURN QUERY SELECT * FROM merge_out;
    PERFORM modelopt.reset('merges_sum', 'main', 'merges_sum#2');
END $$;
CREATE FUNCTION merge_check(arguments text, formula text) RETURNS TABLE (tensors bigint, elements bigint, wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT count(DISTINCT n), count(*), count(*) FILTER (WHERE x IS DISTINCT FROM (%s)::real)
        FROM merge_result(%L) JOIN merge_numbers USING (n, i)', formula, arguments);
END $$;
SELECT * FROM merge_check('''average''', '0.5::float8 * o + 0.5::float8 * t');
SELECT * FROM merge_check('''weighted'', ARRAY[3, 1]', '0.75::float8 * o + 0.25::float8 * t');
SELECT * FROM merge_check('''weighted'', ARRAY[3, -1]', '1.5::float8 * o - 0.5::float8 * t');
SELECT * FROM merge_check('''task_arithmetic''', 'b + 0.4::float8 * ((o::float8 - b) + (t::float8 - b))');
SELECT * FROM merge_check('''task_arithmetic'', ARRAY[1, 0.5], lambda => -0.25', 'b + -0.25::float8 * ((o::float8 - b) + 0.5::float8 * (t::float8 - b))');
-- TIES: elect the sign of the sum of what trimming left, and take the mean of
-- those that agree.
CREATE FUNCTION merge_ties(b float8, x float8, y float8, wx float8, wy float8, lambda float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT b + lambda * coalesce((CASE WHEN ax THEN x ELSE 0 END + CASE WHEN ay THEN y ELSE 0 END)
        / nullif(CASE WHEN ax THEN wx ELSE 0 END + CASE WHEN ay THEN wy ELSE 0 END, 0), 0)
    FROM (SELECT sign(x) = s AS ax, sign(y) = s AS ay FROM (SELECT CASE WHEN x + y >= 0 THEN 1 ELSE -1 END) e (s)) f
$$;
SELECT * FROM merge_check('''ties''', 'merge_ties(b, CASE WHEN rank_o <= greatest(floor(0.2::float8 * n), 1) THEN o::float8 - b ELSE 0 END,
    CASE WHEN rank_t <= greatest(floor(0.2::float8 * n), 1) THEN t::float8 - b ELSE 0 END, 1, 1, 1)');
SELECT * FROM merge_check('''ties'', ARRAY[2, 1], 0.6, 0.5', 'merge_ties(b, 2 * CASE WHEN rank_o <= greatest(floor(0.6::float8 * n), 1) THEN o::float8 - b ELSE 0 END,
    CASE WHEN rank_t <= greatest(floor(0.6::float8 * n), 1) THEN t::float8 - b ELSE 0 END, 2, 1, 0.5)');
SELECT * FROM merge_check('''ties'', density => 1', 'merge_ties(b, o::float8 - b, t::float8 - b, 1, 1, 1)');
-- slerp, by its angle; sums of squares have another order here, so not to the
-- last bit.
SELECT count(*), max(abs(x - (sin((1 - share) * angle) / sin(angle) * o + sin(share * angle) / sin(angle) * t))) < 1e-6 AS near
FROM (VALUES ('''slerp''', 0.5::float8), ('''slerp'', ARRAY[0.9, 0.1]', 0.1)) v (arguments, share),
    LATERAL merge_result(arguments) JOIN merge_numbers USING (n, i)
    JOIN (SELECT n, acos(sum(o::float8 * t) / sqrt(sum(o::float8 * o) * sum(t::float8 * t))) AS angle FROM merge_numbers GROUP BY n) angles USING (n)
WHERE n > 3 GROUP BY arguments, share;
-- Tensors of one number have no angle: the sum is linear.
SELECT bool_and(x = (0.5::float8 * o + 0.5::float8 * t)::real) FROM merge_result('''slerp''') JOIN merge_numbers USING (n, i) WHERE n = 1;

-- Infinities that nobody moved stay, NaN stays NaN, and half floats are rounded
-- from real: 1 and 1 + 2^-10 have the mean 1 + 2^-11, halfway, which goes to even.
SELECT modelopt.commit('merges_odd', merge_typed('{"f":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"h":{"dtype":"F16","shape":[2],"data_offsets":[16,20]},"d":{"dtype":"F64","shape":[1],"data_offsets":[20,28]}}',
    '\x0000807f000080ff0000803f0000803f003c003c000000000000f03f'), 'base');
SELECT modelopt.branch('merges_odd', 'exp');
SELECT modelopt.commit('merges_odd', merge_typed('{"f":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"h":{"dtype":"F16","shape":[2],"data_offsets":[16,20]},"d":{"dtype":"F64","shape":[1],"data_offsets":[20,28]}}',
    '\x0000807f000080ff0000c07f00004040013c003c010000000000f03f'), 'ours');
SELECT modelopt.commit('merges_odd/exp', merge_typed('{"f":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"h":{"dtype":"F16","shape":[2],"data_offsets":[16,20]},"d":{"dtype":"F64","shape":[1],"data_offsets":[20,28]}}',
    '\x0000807f000080ff0000803f0000a040003c0042030000000000f03f'), 'theirs');
CREATE FUNCTION merge_bytes(ref text) RETURNS text LANGUAGE sql AS $$
    SELECT encode(substr(b, length(b) - 27), 'hex') FROM model_write(modelopt.get(ref), 'safetensors') b
$$;
BEGIN;
SELECT modelopt.merge('merges_odd', 'merges_odd/exp', 'average');
SELECT merge_bytes('merges_odd');   -- inf, -inf, nan, 4; 1, 2; 1 + 2^-51
ROLLBACK;
BEGIN;
SELECT modelopt.merge('merges_odd', 'merges_odd/exp', 'task_arithmetic', lambda => 1);
SELECT merge_bytes('merges_odd');   -- inf, -inf, nan, 1 + 2 + 4 = 7; 1 + 2^-10, 3; 1 + 2^-50
ROLLBACK;
BEGIN;
SELECT modelopt.merge('merges_odd', 'merges_odd/exp', 'ties', density => 1);
SELECT merge_bytes('merges_odd');   -- inf, -inf, nan, 1 + 3 = 4; 1 + 2^-10, 3; 1 + 2^-51
ROLLBACK;

-- ---------- what cannot be merged by arithmetic ----------

SELECT modelopt.commit('merges_kinds', merge_typed('{"i":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"r":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', '\x0100000000000000'), 'base');
SELECT modelopt.branch('merges_kinds', 'exp');
SELECT modelopt.commit('merges_kinds', merge_typed('{"i":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"r":{"dtype":"F16","shape":[1],"data_offsets":[4,6]}}', '\x02000000003c'), 'ours');
SELECT modelopt.commit('merges_kinds/exp', merge_typed('{"i":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"r":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', '\x030000000000803f'), 'theirs');
SELECT * FROM modelopt.merge_dry_run('merges_kinds', 'merges_kinds/exp', 'average');
SELECT merge_refusal('SELECT modelopt.merge(''merges_kinds'', ''merges_kinds/exp'', ''average'')');
SELECT modelopt.merge('merges_kinds', 'merges_kinds/exp', 'average', per_tensor => '{"i": "theirs", "r": "ours"}');
SELECT name, dtype FROM tensors(modelopt.get('merges_kinds'));

-- ---------- without a common version, or with another ----------

SELECT modelopt.commit('merges_apart', merge_model('a', '{1,3}', 'mine', '{1}'), 'apart');
SELECT modelopt.commit('merges_else', merge_model('a', '{3,5}', 'yours', '{2}'), 'else');
SELECT merge_refusal('SELECT modelopt.merge(''merges_apart'', ''merges_else'', ''average'')');
SELECT * FROM modelopt.merge_dry_run('merges_apart', 'merges_else', 'ties', base => '');
SELECT modelopt.merge('merges_apart', 'merges_else', 'average', base => '');
SELECT * FROM merge_elements('merges_apart');
SELECT modelopt.merge_base('merges_apart', 'merges_else');
-- A model that comes from another one, and went on.
SELECT modelopt.commit('merges_fork', modelopt.get('merges_apart'), 'fork', parents => '{merges_apart}');
SELECT modelopt.commit('merges_fork', merge_model('a', '{2,5}', 'mine', '{1}', 'yours', '{2}'), 'on');
SELECT modelopt.merge('merges_apart', 'merges_fork');
SELECT * FROM merge_elements('merges_apart');
SELECT version, relation, parent FROM modelopt.lineage('merges_apart') WHERE depth = 0;
-- An explicit base.
SELECT tensor, ours, theirs, result FROM modelopt.merge_dry_run('merges_apart', 'merges_else', 'average', base => 'merges_apart#1');

-- ---------- metadata and ties ----------

SELECT modelopt.commit('merges_said', model_set_metadata(merge_model('a', '{1}'), '{"keep": 1, "ours": 1, "theirs": 1, "both": 1, "drop": 1}'), 'base');
SELECT modelopt.branch('merges_said', 'exp');
SELECT modelopt.commit('merges_said', model_set_metadata(merge_model('a', '{2}'), '{"keep": 1, "ours": 2, "theirs": 1, "both": 2}'), 'ours');
SELECT modelopt.commit('merges_said/exp', model_set_metadata(merge_model('a', '{4}'), '{"keep": 1, "ours": 1, "theirs": 3, "both": 3, "drop": 1, "new": 3}'), 'theirs');
BEGIN;
SELECT modelopt.merge('merges_said', 'merges_said/exp', 'average');
SELECT model_metadata(modelopt.get('merges_said')) - 'recipe';
ROLLBACK;
SELECT modelopt.merge('merges_said', 'merges_said/exp', 'theirs');
SELECT model_metadata(modelopt.get('merges_said')) - 'recipe';
-- Tied tensors stay tied.
\set transformer `base64 < test/data/tied_transformer.pth | tr -d '\n'`
SELECT modelopt.commit('merges_tied', model_read(decode(:'transformer', 'base64')), 'base');
SELECT name, tied_to FROM tensors(modelopt.get('merges_tied')) WHERE tied_to IS NOT NULL;
SELECT modelopt.branch('merges_tied', 'exp');
SELECT modelopt.commit('merges_tied', prune(modelopt.get('merges_tied'), 0.3, include => '{*}'), 'ours');
SELECT modelopt.commit('merges_tied/exp', prune(modelopt.get('merges_tied/exp'), 0.6, include => '{*}'), 'theirs');
SELECT modelopt.merge('merges_tied', 'merges_tied/exp', 'average');
SELECT t.name, t.tied_to, bool_and(u.x = (0.5::float8 * o + 0.5::float8 * th)::real) AS mean
FROM tensors(modelopt.get('merges_tied')) t,
    LATERAL unnest(modelopt.tensor('merges_tied', t.name), modelopt.tensor('merges_tied#2', t.name), modelopt.tensor('merges_tied#3', t.name)) u (x, o, th)
WHERE t.tied_to IS NOT NULL GROUP BY t.name, t.tied_to;

-- ---------- nobody reads what nobody merges ----------

BEGIN;
DELETE FROM modelopt_private.part WHERE object_id IN (
    SELECT e.object_id FROM modelopt_private.named_model m JOIN modelopt_private.version v ON v.model_id = m.id
        JOIN modelopt_private.tree_entry e USING (tree_id) WHERE m.name = 'merges' AND e.name IN ('same', 'theirs', 'ours'));
SELECT modelopt.reset('merges', 'main', 'merges#2'), modelopt.reset('merges', 'exp', 'merges#3');
SELECT modelopt.merge('merges', 'merges/exp', 'average');
SELECT modelopt.revert('merges', parent => 1);
ROLLBACK;

-- ---------- reverting ----------

SELECT modelopt.commit('reverts', merge_model('a', '{1}', 'b', '{2}', 'c', '{3}'), 'one');
SELECT modelopt.commit('reverts', merge_model('a', '{10}', 'b', '{2}', 'd', '{4}'), 'two');
SELECT modelopt.commit('reverts', merge_model('a', '{10}', 'b', '{20}', 'd', '{4}'), 'three');
-- Of version 2 goes what it did, and what came later stays.
SELECT modelopt.revert('reverts#2');
SELECT * FROM merge_elements('reverts');
SELECT version, message, relation, parent, recipe FROM modelopt.log('reverts', 1);
-- Again there is nothing to undo; the revert itself can be.
SELECT modelopt.revert('reverts#2');
SELECT modelopt.revert('reverts', message => 'after all', expected => 'reverts#4');
SELECT * FROM merge_elements('reverts');
SELECT modelopt.get('reverts#5') = modelopt.get('reverts#3') AS as_before;
-- What changed again since is a conflict, and nothing else is reverted.
SELECT modelopt.commit('reverts', merge_model('a', '{11}', 'b', '{20}', 'd', '{5}'), 'six');
SELECT merge_refusal('SELECT modelopt.revert(''reverts#2'')');
SELECT modelopt.branch('reverts', 'old', 'reverts#3');
SELECT modelopt.revert('reverts#2', branch => 'old');
SELECT * FROM merge_elements('reverts/old');
-- Of a merge, one parent's side.
SELECT modelopt.reset('merges', 'main', 'merges#4');
SELECT merge_refusal('SELECT modelopt.revert(''merges'')');
SELECT modelopt.revert('merges', parent => 2);
SELECT modelopt.get('merges') = modelopt.get('merges#3') AS as_the_branch;
-- Undoing the last version makes just what was before, order and metadata too.
SELECT modelopt.commit('reverts', model_set_metadata(merge_model('d', '{1}', 'e', '{7}', 'b', '{20}'), '{"epoch": 3}'), 'other order');
SELECT modelopt.revert('reverts');
SELECT modelopt.get('reverts') = modelopt.get('reverts~2') AS as_before;

-- ---------- refusals ----------

SELECT query, merge_refusal(query) FROM unnest(ARRAY[
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''best'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', weights => ARRAY[1, 2])',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''weighted'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''average'', ARRAY[1, 2])',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''weighted'', ARRAY[1, 2, 3])',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''weighted'', ARRAY[1, NULL])',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''weighted'', ARRAY[1, ''NaN'']::float8[])',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''weighted'', ARRAY[1, -1])',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''weighted'', ''{}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''average'', density => 0.5)',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''ties'', density => 0)',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''ties'', density => 1.5)',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''ties'', density => ''NaN'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''slerp'', lambda => 1)',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''ties'', lambda => ''Infinity'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''[]'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => NULL)',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"*": 1}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"*": {"weights": [1, 2]}}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"*": {"method": "ties", "size": 1}}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"*": {"method": "weighted", "weights": 1}}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"*": {"method": "ties", "density": "much"}}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"*": "best"}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"nothing.*": "ours"}'')',
    'SELECT modelopt.merge_dry_run(''merges_sum'', ''merges_sum/exp'', per_tensor => ''{"nothing.*": "ours"}'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/exp'', ''average'', expected => ''merges_sum#1'')',
    'SELECT modelopt.merge(''merges_sum#1'', ''merges_sum/exp'', ''average'')',
    'SELECT modelopt.merge(''merges_sum/no'', ''merges_sum/exp'', ''average'')',
    'SELECT modelopt.merge(''merges_sum'', ''merges_sum/no'', ''average'')',
    'SELECT modelopt.merge(''nothing'', ''merges_sum'', ''average'')',
    'SELECT modelopt.merge(NULL, ''merges_sum'', ''average'')',
    'SELECT modelopt.merge(''merges_sum'', NULL, ''average'')',
    'SELECT modelopt.revert(''reverts#1'')',
    'SELECT modelopt.revert(''reverts#2'', parent => 2)',
    'SELECT modelopt.revert(''reverts#2'', branch => ''no'')',
    'SELECT modelopt.revert(''reverts#3'', expected => ''reverts#1'')']) query;
SELECT count(*) FROM modelopt.versions WHERE model = 'merges_sum' AND relation <> 'merge';

-- ---------- who may ----------

CREATE ROLE regress_merge_writer;
GRANT EXECUTE ON FUNCTION merge_refusal(text) TO PUBLIC;
SELECT modelopt.grant_write('merges_said', 'regress_merge_writer'), modelopt.grant_usage('merges_else', 'regress_merge_writer'),
    modelopt.grant_usage('reverts', 'regress_merge_writer');
SET ROLE regress_merge_writer;
-- Weights of another model come in only for those who may read them.
SELECT query, merge_refusal(query) FROM unnest(ARRAY[
    'SELECT modelopt.merge(''merges_said'', ''merges_else'', ''average'', base => '''')',
    'SELECT modelopt.merge(''merges_else'', ''merges_else'', ''average'', base => '''')',
    'SELECT modelopt.revert(''reverts'')',
    'SELECT modelopt.merge(''merges_said'', ''merges_sum'', ''average'', base => '''')']) query;
SELECT count(*) FROM modelopt.merge_dry_run('merges_said', 'merges_else', base => '');
-- Undoing takes write alone.
SELECT modelopt.revert('merges_said', parent => 1);
RESET ROLE;
SELECT modelopt.grant_read('merges_else', 'regress_merge_writer');
SET ROLE regress_merge_writer;
SELECT modelopt.merge('merges_said', 'merges_else', 'theirs', base => '');
RESET ROLE;
SELECT modelopt.revoke('merges_said', 'regress_merge_writer'), modelopt.revoke('merges_else', 'regress_merge_writer'),
    modelopt.revoke('reverts', 'regress_merge_writer');
DROP ROLE regress_merge_writer;
