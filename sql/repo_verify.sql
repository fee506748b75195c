-- What was damaged is found, and nobody gets other weights: each kind of damage
-- is done as a superuser, looked for, read, and undone.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION modelopt CASCADE;
CREATE EXTENSION modelopt;

\set q8_0 `base64 < test/data/digits_mlp_q8_0.gguf | tr -d '\n'`
\set onnx `base64 < test/data/digits_mlp.onnx | tr -d '\n'`

-- a differs little from version to version, and is coded so; z is sparse.
CREATE FUNCTION net(number integer) RETURNS model LANGUAGE sql AS $$
    SELECT model_set_metadata(model_agg(name, data ORDER BY name), '{"made": "here"}')
    FROM (VALUES ('a', (SELECT array_agg(ARRAY[sin(i) + number * 1e-4, cos(i) - number * 1e-4]::real[]) FROM generate_series(1, 1500) i)),
        ('z', (SELECT array_agg((CASE WHEN i % 10 = 0 THEN i + number ELSE 0 END)::real) FROM generate_series(1, 3000) i))) t (name, data) $$;
SELECT modelopt.commit('net', net(1), 'first'), modelopt.commit('net', net(2), 'second', params => '{"lr": 1}');
SELECT modelopt.commit('net', prune(modelopt.get('net'), 0.5), 'pruned');
SELECT modelopt.alias('net', 'champion', 'net#2');
SELECT modelopt.commit('q8', model_read(decode(:'q8_0', 'base64')), 'quantized');
SELECT modelopt.commit('graph', model_read(decode(:'onnx', 'base64')), 'with a graph');
SELECT DISTINCT encoding FROM modelopt_private.object ORDER BY 1;

SELECT * FROM modelopt.verify();
SELECT * FROM modelopt.verify(deep => false);
SELECT * FROM modelopt.verify('net');
SELECT * FROM modelopt.verify('net#2');
SELECT * FROM modelopt.verify('net@champion', deep => false);

-- Their objects, by what they are called below.
CREATE FUNCTION object_of(version integer, tensor text) RETURNS bigint LANGUAGE sql AS
$$ SELECT e.object_id FROM modelopt_private.tree_entry e JOIN modelopt_private.version v ON v.tree_id = e.tree_id
   WHERE v.id = $1 AND e.name = tensor $$;
SELECT object_of(1, 'a') AS a1, object_of(1, 'z') AS z1, object_of(2, 'a') AS a2 \gset
SELECT id = :a2 AS a2, base_id = :a1 AS on_a1, depth FROM modelopt_private.object WHERE id IN (:a1, :a2) ORDER BY depth;

-- ---------- one damage after the other ----------

-- All of a version's weights and names, in two ways.
CREATE FUNCTION contents(ref text) RETURNS text LANGUAGE sql AS
$$ SELECT md5(string_agg(t.name || t.shape::text || modelopt.tensor(ref, t.name)::text, ',' ORDER BY t.name)
        || (SELECT md5(model_metadata(m)::text) FROM modelopt.get(ref) m))
   FROM tensors(modelopt.get(ref)) t $$;
CREATE TABLE original AS SELECT ref, contents(ref) AS contents FROM unnest('{net#1,net#2,net#3,q8,graph}'::text[]) ref;

-- Does damage, and returns how it was read, what verify found, and undoes it.
CREATE FUNCTION damage(doing text, VARIADIC refs text[], OUT read text[], OUT deep text[], OUT shallow boolean)
    LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
BEGIN
    BEGIN
        EXECUTE 'SET LOCAL session_replication_role = replica';
        EXECUTE replace(replace(replace(doing, 'A1', object_of(1, 'a')::text), 'Z1', object_of(1, 'z')::text), 'A2', object_of(2, 'a')::text);
        EXECUTE 'SET LOCAL session_replication_role = origin';
        FOREACH wanted IN ARRAY refs LOOP
            BEGIN
                read := read || CASE WHEN contents(wanted) = (SELECT o.contents FROM original o WHERE o.ref = wanted)
                    THEN 'same' ELSE 'WRONG' END;
            EXCEPTION WHEN OTHERS THEN
                read := read || sqlstate;
            END;
        END LOOP;
        deep := ARRAY(SELECT DISTINCT v.what FROM modelopt.verify() v ORDER BY 1);
        shallow := EXISTS (SELECT FROM modelopt.verify(deep => false));
        RAISE EXCEPTION 'undone' USING ERRCODE = 'ZZZZZ';
    EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
        NULL;
    END;
END
$$;
SELECT * FROM damage('SELECT 1', 'net#1', 'net#2', 'net#3', 'q8', 'graph');

-- Every bit of a byte, every byte of the parts of a, in both versions.  What is
-- read is what was written, or an error; and verify finds just what cannot be read.
SET search_path = public, modelopt_private;
SELECT object_id = :a2 AS a2, count(*) > 1 AS parts FROM part WHERE object_id IN (:a1, :a2) GROUP BY 1 ORDER BY 1;
CREATE FUNCTION flip(object text, byte integer, bits integer) RETURNS text LANGUAGE sql AS
$$ SELECT format('UPDATE modelopt_private.part SET data = set_byte(data, %1$s, get_byte(data, %1$s) # %2$s) WHERE object_id = %3$s AND number = 0', byte, bits, object) $$;
CREATE FUNCTION flipped(object text, byte integer, ref text, weights real[], OUT read text, OUT seen boolean)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE flip(object, byte, 1 << byte % 8);
    BEGIN
        read := CASE WHEN modelopt.tensor(ref, 'a') = weights THEN 'same' ELSE 'WRONG' END;
    EXCEPTION WHEN OTHERS THEN
        read := sqlstate;
    END;
    seen := EXISTS (SELECT FROM modelopt.verify(ref));
    EXECUTE flip(object, byte, 1 << byte % 8);
END
$$;
CREATE TABLE flips AS
SELECT f.read, f.seen, 'XX001' = f.read AS unreadable
FROM (VALUES (:'a1', 'net#1', modelopt.tensor('net#1', 'a')), (:'a2', 'net#2', modelopt.tensor('net#2', 'a'))) o (object, ref, weights),
    generate_series(0, 119) n, flipped(object, n, ref, weights) f;
SELECT read IN ('same', 'XX001') AS good, seen = unreadable AS agree, count(*) FROM flips GROUP BY 1, 2;
SELECT read, count(*) > 200 AS most FROM flips GROUP BY read HAVING read <> 'same';
-- What is coded against an object suffers with it.
SELECT * FROM damage(flip('A1', 1000, 255), 'net#1', 'net#2', 'net#3', 'q8');

CREATE TABLE damages (number serial, doing text, refs text[]);
INSERT INTO damages (doing, refs) VALUES
    ('DELETE FROM part WHERE object_id = A1 AND number = 0', '{net#1,net#2}'),
    ('DELETE FROM part WHERE object_id = A1 AND number > 0', '{net#1,net#2}'),
    ('DELETE FROM part WHERE object_id = A1', '{net#1,net#2}'),
    ('UPDATE part SET data = substr(data, 1, octet_length(data) - 1) WHERE object_id = A1 AND number = 0', '{net#1}'),
    ('UPDATE part SET data = '''' WHERE object_id = A1', '{net#1}'),
    ('UPDATE part SET number = number + 1 WHERE object_id = Z1', '{net#1}'),
    ('INSERT INTO part VALUES (Z1, (SELECT count(*) FROM part WHERE object_id = Z1), ''more'')', '{net#1}'),
    ('INSERT INTO part VALUES (77, 0, ''nobody''''s'')', '{net#1}'),
    ('UPDATE object SET digest = set_byte(digest, 0, get_byte(digest, 0) # 1) WHERE id = A1', '{net#1}'),
    ('UPDATE object SET digest = ''short'' WHERE id = A1', '{net#1}'),
    ('UPDATE object SET content = set_byte(content, 31, get_byte(content, 31) # 128) WHERE id = A1', '{net#1}'),
    ('UPDATE object SET content = '''' WHERE id = A1', '{net#1}'),
    ('UPDATE object SET dtype = dtype + 1 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET dtype = -1 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET dtype = 16 WHERE id = Z1', '{net#1}'),
    ('UPDATE object SET dtype = 32767 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET encoding = 1 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET encoding = 5 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET encoding = 99 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET encoding = 0 WHERE encoding > 1', '{q8}'),
    ('UPDATE object SET count = count + 1 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET count = 9223372036854775807 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET count = -1 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET count = 0, form_bytes = 0 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET count = 1000000000000, form_bytes = 4000000000000 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET form_bytes = form_bytes - 1 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET form_bytes = -5 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET form_bytes = form_bytes / 2 WHERE encoding > 1', '{q8}'),
    ('UPDATE object SET raw_bytes = raw_bytes + 1 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET stored_bytes = stored_bytes + 10000 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET base_id = NULL WHERE id = A2', '{net#2}'),
    ('UPDATE object SET base_id = A2 WHERE id = A2', '{net#2}'),
    ('UPDATE object SET base_id = A2, depth = 5 WHERE id = A1', '{net#1,net#2}'),
    ('UPDATE object SET base_id = Z1 WHERE id = A2', '{net#2}'),
    ('UPDATE object SET base_id = 123456 WHERE id = A2', '{net#2}'),
    ('UPDATE object SET depth = 0 WHERE id = A2', '{net#2}'),
    ('UPDATE object SET depth = -32768 WHERE id = A2', '{net#2}'),
    ('UPDATE object SET depth = 32767 WHERE id = A2', '{net#2}'),
    ('UPDATE object SET blocks = '''' WHERE id = A1', '{net#1}'),
    ('UPDATE object SET blocks = blocks || ''\x00'' WHERE id = A1', '{net#1}'),
    ('UPDATE object SET blocks = set_byte(blocks, 0, get_byte(blocks, 0) # 1) WHERE id = A1', '{net#1}'),
    ('UPDATE object SET blocks = ''\xffffffff00000000'' WHERE id = A1', '{net#1}'),
    ('UPDATE object SET blocks = ''\x0000000000000000'' WHERE id = A1', '{net#1}'),
    ('UPDATE object SET blocks = set_byte(blocks, 7, get_byte(blocks, 7) # 1) WHERE id = A1', '{net#1}'),
    ('UPDATE object SET zeros = zeros + 1 WHERE id = Z1', '{net#1}'),
    ('UPDATE object SET minimum = 0 WHERE id = A1', '{net#1}'),
    ('UPDATE object SET maximum = NULL WHERE id = A1', '{net#1}'),
    ('DELETE FROM object WHERE id = A1', '{net#1,net#2}'),
    ('UPDATE tree SET digest = set_byte(digest, 5, get_byte(digest, 5) # 4) WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET digest = ''short'' WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET model_digest = set_byte(model_digest, 5, get_byte(model_digest, 5) # 4) WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET model_digest = '''' WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET metadata_id = NULL WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET metadata_id = A1 WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET metadata_id = 1234 WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET graph_id = A1 WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET graph_id = NULL WHERE graph_id IS NOT NULL', '{graph}'),
    ('UPDATE tree SET graph_id = metadata_id WHERE graph_id IS NOT NULL', '{graph}'),
    ('UPDATE tree SET tensors = tensors + 1 WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET tensors = -1 WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET parameters = parameters + 1 WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET zeros = zeros + 1 WHERE id = 1', '{net#1}'),
    ('UPDATE tree SET raw_bytes = raw_bytes + 1 WHERE id = 1', '{net#1}'),
    ('DELETE FROM tree WHERE id = 1', '{net#1}'),
    ('UPDATE tree_entry SET name = ''b'' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET name = '''' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET name = repeat(''x'', 2000) WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET shape = ''{2,1500}'' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET shape = ''{}'' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET shape = ''{-3000}'' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET shape = ''{NULL}'' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET shape = ''{{3000}}'' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET shape = ''{4294967296,4294967296,4294967296}'' WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET shape = array_fill(1::bigint, ARRAY[40]) WHERE tree_id = 1 AND name = ''a''', '{net#1}'),
    ('UPDATE tree_entry SET payload = payload + 1 WHERE tree_id = 1', '{net#1}'),
    ('UPDATE tree_entry SET payload = -1 WHERE tree_id = 1', '{net#1}'),
    ('UPDATE tree_entry SET payload = 0 WHERE tree_id = 1', '{net#1}'),
    ('UPDATE tree_entry SET object_id = A1 + Z1 - object_id WHERE tree_id = 1', '{net#1}'),
    ('UPDATE tree_entry SET object_id = A2 WHERE object_id = A1', '{net#1}'),
    ('DELETE FROM tree_entry WHERE tree_id = 1 AND name = ''z''', '{net#1}'),
    ('INSERT INTO tree_entry SELECT tree_id, 3, 2, object_id, shape, ''more'' FROM tree_entry WHERE tree_id = 1 AND name = ''z''', '{net#1}'),
    ('UPDATE version SET message = message || ''!'' WHERE id = 2', '{net#2}'),
    ('UPDATE version SET author = ''somebody'' WHERE id = 2', '{net#2}'),
    ('UPDATE version SET params = ''{"lr": 2}'' WHERE id = 2', '{net#2}'),
    ('UPDATE version SET committed_at = committed_at - interval ''1 us'' WHERE id = 2', '{net#2}'),
    ('UPDATE version SET full_recipe = ''[]'' WHERE id = 3', '{net#3}'),
    ('UPDATE version SET digest = set_byte(digest, 1, get_byte(digest, 1) # 1) WHERE id = 2', '{net#2}'),
    ('UPDATE version SET version = 10 WHERE id = 2', '{net#1}'),
    ('DELETE FROM version WHERE id = 2', '{net#1,net#3}'),
    ('DELETE FROM version_parent WHERE version_id = 2', '{net#2}'),
    ('UPDATE version_parent SET parent_id = 4 WHERE version_id = 2', '{net#2}'),
    ('UPDATE named_model SET next_version = next_version + 1 WHERE name = ''net''', '{net#2}'),
    ('UPDATE named_model SET next_version = 1 WHERE name = ''net''', '{net#2}'),
    ('UPDATE ref SET version_id = 4 WHERE name = ''champion''', '{net#2}'),
    ('UPDATE ref SET version_id = 444 WHERE name = ''champion''', '{net#2}'),
    ('UPDATE tree SET forgotten_at = now() WHERE id = 1', '{net#1}');
-- The recipe of net#3 is in its row, which is read as it is; verify sees that.
SELECT d.doing, f.* FROM damages d, damage(d.doing, VARIADIC d.refs) f ORDER BY d.number;
-- Of a version another content than it was committed with.
SELECT * FROM damage('UPDATE version SET tree_id = 2 WHERE id = 1', 'net#1');
-- All is as it was.
SELECT * FROM modelopt.verify();
SELECT bool_and(contents = contents(ref)) FROM original;

-- ---------- what is said ----------

BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE part SET data = set_byte(data, 1000, get_byte(data, 1000) # 255) WHERE object_id = :a1 AND number = 0;
DELETE FROM version WHERE id = 2;
UPDATE tree_entry SET name = 'other' WHERE tree_id = 1 AND name = 'z';
SELECT * FROM modelopt.verify('net');
SELECT * FROM modelopt.verify('net#3');
SELECT * FROM modelopt.verify('q8');
ROLLBACK;
BEGIN;
UPDATE tree_entry SET name = 'other' WHERE tree_id = 1 AND name = 'z';
\set VERBOSITY default
SELECT num_parameters(modelopt.get('net#1'));
ROLLBACK;
BEGIN;
UPDATE part SET data = set_byte(data, 1000, get_byte(data, 1000) # 255) WHERE object_id = :a1 AND number = 0;
SELECT modelopt.tensor('net#1', 'a');
ROLLBACK;
\set VERBOSITY terse
-- A reading after one that failed is no less careful.
BEGIN;
UPDATE object SET depth = 8 WHERE id = :a1;
DO $$
DECLARE
    m model := modelopt.get('net#2');
    detail text;
BEGIN
    FOR i IN 1 .. 2 LOOP
        BEGIN
            PERFORM tensor(m, 'a');
            RAISE WARNING 'it was read';
        EXCEPTION WHEN data_corrupted THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            RAISE WARNING '%', detail;
        END;
    END LOOP;
END
$$;
ROLLBACK;
-- Nor does a circle of bases keep repack busy forever.
BEGIN;
UPDATE object SET base_id = :a2 WHERE id = :a1;
SELECT base_below(:a2, 0);
ROLLBACK;
RESET search_path;

-- ---------- who may ----------

CREATE ROLE rv_user;
SELECT modelopt.grant_usage('net', 'rv_user');
SET ROLE rv_user;
SELECT count(*) FROM modelopt.verify('net');
SELECT * FROM modelopt.verify('q8');
SELECT * FROM modelopt.verify();
RESET ROLE;
SELECT * FROM modelopt.verify('nothing');
SELECT * FROM modelopt.verify('net#17');
SELECT modelopt.revoke('net', 'rv_user');
DROP ROLE rv_user;
