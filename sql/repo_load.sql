-- Models that come in parts.
\set VERBOSITY terse
SET client_min_messages TO warning;
-- Other tests begin loads, too.
ALTER SEQUENCE modelopt_private.load_id RESTART 1001;
CREATE ROLE load_maker;
CREATE ROLE load_other;
CREATE ROLE load_team;
GRANT load_team TO load_maker;

-- ---------- who may, and what can be begun ----------
SET ROLE load_maker;
SELECT modelopt.begin_load('parts', '[]');
RESET ROLE;
SELECT modelopt.grant_create('load_maker');
SET ROLE load_maker;
\set begin 'SELECT modelopt.begin_load(''parts'', '
:begin '{"w": 1}');
:begin '[{"name": "w", "dtype": "f32"}]');
:begin '[{"name": 1, "dtype": "f32", "shape": []}]');
:begin '["w"]');
:begin '[{"name": "w", "dtype": "float32", "shape": [1]}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [1.5]}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [-1]}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [4294967296, 4294967296]}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [[1]]}]');
:begin '[{"name": "", "dtype": "f32", "shape": [1]}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [1]}, {"name": "w", "dtype": "f32", "shape": [1]}]');
:begin '[{"name": "v", "dtype": "f32", "shape": [1], "tied_to": "w"}, {"name": "w", "dtype": "f32", "shape": [1]}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [1]}, {"name": "v", "dtype": "f64", "shape": [1], "tied_to": "w"}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [1]}, {"name": "v", "dtype": "f32", "shape": [2], "tied_to": "w"}]');
:begin '[{"name": "w", "dtype": "f32", "shape": [1]}, {"name": "v", "dtype": "f32", "shape": [1], "tied_to": ["w"]}]');
SELECT modelopt.begin_load('parts', jsonb_build_array(jsonb_build_object('name', 'w', 'dtype', 'f32', 'shape', array_fill(1, ARRAY[33]))));
SELECT modelopt.begin_load('parts', '[]', '[]');
SELECT modelopt.begin_load('no good', '[]');
SELECT modelopt.begin_load('parts#1', '[]');
SELECT modelopt.begin_load('parts', NULL) IS NULL;
SELECT count(*) FROM modelopt.loads;

-- ---------- parts ----------
-- 1, 2, 3, 4 as floats; a boolean mask; five nibbles, the last byte half used;
-- a scalar; nothing at all; and a tensor that is another one's.
SELECT modelopt.begin_load('parts', '[{"name": "w", "dtype": "f32", "shape": [2, 2]}, {"name": "mask", "dtype": "bool", "shape": [3]},
    {"name": "tiny", "dtype": "u4", "shape": [5]}, {"name": "größe", "dtype": "i64", "shape": []},
    {"name": "nothing", "dtype": "f32", "shape": [0, 7]}, {"name": "head", "dtype": "f32", "shape": [4], "tied_to": "w"}]',
    '{"made": "by hand"}') AS load \gset
SELECT * FROM modelopt.load_status(:load);
SELECT modelopt.finish_load(:load);
SELECT modelopt.put_part(:load, 'w', 6, '\x0040000040400000');
SELECT modelopt.put_part(:load, 'mask', 0, '\x010002');
SELECT modelopt.put_part(:load, 'tiny', 0, '\x2143f5');
SELECT modelopt.put_part(:load, 'größe', 0, '\xfeffffffffffffff');
SELECT tensor, present, missing FROM modelopt.load_status(:load);
SELECT modelopt.put_part(:load, 'w', 0, '\x0000803f000000');         -- overlaps
SELECT modelopt.put_part(:load, 'w', 5, '\x00');
SELECT modelopt.put_part(:load, 'w', 7, '\x00');
SELECT modelopt.put_part(:load, 'w', 13, '\x00');
SELECT modelopt.put_part(:load, 'w', 14, '\x804000');                -- beyond the end
SELECT modelopt.put_part(:load, 'w', -1, '\x00');
SELECT modelopt.put_part(:load, 'w', 0, '');
SELECT modelopt.put_part(:load, 'nothing', 0, '\x00');
SELECT modelopt.put_part(:load, 'head', 0, '\x00');
SELECT modelopt.put_part(:load, 'nowhere', 0, '\x00');
SELECT modelopt.put_part(:load + 1, 'w', 0, '\x00');
SELECT modelopt.put_part(:load, 'w', 0, '\xffffffffffff');           -- wrong, and put again below
SELECT modelopt.put_part(:load, 'w', 14, '\x8040');
SELECT modelopt.put_part(:load, 'w', 0, '\x0000803f0000');
SELECT modelopt.finish_load(:load);                                  -- no booleans
SELECT modelopt.put_part(:load, 'mask', 0, '\x010001');
SELECT modelopt.finish_load(:load);                                  -- nor nibbles
SELECT modelopt.put_part(:load, 'tiny', 0, '\x214305');
SELECT id = :load AS same, target, role, tensors, bytes, present, last_put_at > began_at AS later FROM modelopt.loads;

-- Only who began it goes on with it, and members of that role.
SET ROLE load_other;
SELECT * FROM modelopt.load_status(:load);
SELECT modelopt.put_part(:load, 'w', 0, '\x0000803f0000');
SELECT modelopt.finish_load(:load);
SELECT modelopt.abort_load(:load);
SELECT count(*) FROM modelopt.loads;
RESET ROLE;
SELECT count(*) FROM modelopt.loads;
SET ROLE load_maker;
SELECT modelopt.finish_load(:load, 'in parts', params => '{"lr": 1}', tags => '{"from": "here"}', metrics => '{"auc": 0.5}');
SELECT modelopt.finish_load(:load);
SELECT version, author, message, params, metrics FROM modelopt.log('parts');
SELECT name, dtype, shape, encoding FROM tensors(modelopt.get('parts'));
SELECT name, tensor(modelopt.get('parts'), name) FROM tensors(modelopt.get('parts'));
SELECT model_metadata(modelopt.get('parts')), num_parameters(modelopt.get('parts'));   -- a tie counts once
SELECT count(*) FROM modelopt.loads;

-- The same model, made otherwise, is the same version; parts of one byte each.
SELECT modelopt.begin_load('parts', '[{"name": "a", "dtype": "f32", "shape": [2]}]') AS load \gset
SELECT count(modelopt.put_part(:load, 'a', i, substr('\x0000803f00000040'::bytea, i::integer + 1, 1))) FROM generate_series(7, 0, -1) i;
SELECT modelopt.finish_load(:load, 'byte by byte', expected => 'parts#1', relation => 'distilled');
SELECT modelopt.get('parts') = model_agg('a', '{1,2}');
SELECT modelopt.begin_load('parts/main', '[{"name": "a", "dtype": "f32", "shape": [2]}]') AS load \gset
SELECT modelopt.put_part(:load, 'a', 0, '\x0000803f00000040');
SET client_min_messages TO notice;
SELECT modelopt.finish_load(:load, 'the same again');
SET client_min_messages TO warning;
SELECT count(*) FROM modelopt.loads;
-- Somebody was faster.
SELECT modelopt.begin_load('parts', '[{"name": "a", "dtype": "f32", "shape": []}]') AS load \gset
SELECT modelopt.put_part(:load, 'a', 0, '\x00000000');
SELECT modelopt.finish_load(:load, expected => 'parts#1');
SELECT modelopt.finish_load(:load, expected => 'parts#2');
SELECT version, message, relation FROM modelopt.log('parts');

-- What was allowed at the beginning may be no more at the end.
RESET ROLE;
SELECT modelopt.commit('shared', model_agg('w', '{1}'));
SELECT modelopt.grant_write('shared', 'load_team');
SET ROLE load_other;
SELECT modelopt.begin_load('shared', '[]');
SET ROLE load_team;
SELECT modelopt.begin_load('shared', '[{"name": "w", "dtype": "f32", "shape": [1]}]') AS load \gset
SET ROLE load_maker;
SELECT modelopt.put_part(:load, 'w', 0, '\x00000040');
RESET ROLE;
SELECT modelopt.revoke('shared', 'load_team', 'write');
SET ROLE load_maker;
SELECT modelopt.finish_load(:load);
SELECT modelopt.abort_load(:load);
SELECT modelopt.abort_load(:load);
SELECT count(*) FROM modelopt.loads;
-- Everything together or nothing.
BEGIN;
SELECT modelopt.begin_load('parts', '[{"name": "a", "dtype": "f32", "shape": [2]}]') AS load \gset
SELECT modelopt.put_part(:load, 'a', 0, '\x0000803f00000041');
SAVEPOINT s;
SELECT modelopt.finish_load(:load);
ROLLBACK TO s;
SELECT missing FROM modelopt.load_status(:load);
SELECT modelopt.finish_load(:load);
COMMIT;
SELECT modelopt.tensor('parts', 'a');
SELECT modelopt.load('parts', '/nowhere');

RESET ROLE;
SELECT modelopt.load('parts', '/nowhere');
SELECT operation, details - 'load' AS details FROM modelopt.audit WHERE model = '' AND operation LIKE '%load' ORDER BY number LIMIT 4;
SELECT count(*) FROM modelopt.audit_verify();
-- The rows of a load may have been restored from anywhere.
BEGIN;
SELECT modelopt.begin_load('parts', '[{"name": "w", "dtype": "f32", "shape": [1]},
    {"name": "v", "dtype": "f32", "shape": [1], "tied_to": "w"}]') AS load \gset
SELECT modelopt.put_part(:load, 'w', 0, '\x0000803f');
SAVEPOINT s;
UPDATE modelopt_private.load_tensor SET tied_to = 1000000000 WHERE load_id = :load AND name = 'v';
SELECT modelopt.finish_load(:load);
ROLLBACK TO s;
UPDATE modelopt_private.load_tensor SET tied_to = 0 WHERE load_id = :load AND name = 'v';
SELECT modelopt.finish_load(:load);
ROLLBACK;
SELECT modelopt.drop('parts'), modelopt.drop('shared');
SELECT modelopt.revoke(NULL, 'load_maker');
DROP ROLE load_maker, load_other, load_team;
