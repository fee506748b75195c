-- Differences between versions: which tensors, how far apart, what they cost.
-- Distances are compared with sums over the arrays in double precision.
\set SHOW_CONTEXT never

-- A model of tensors in order: name, array, name, array, ...
CREATE FUNCTION diff_model(VARIADIC parts text[]) RETURNS model LANGUAGE sql AS $$
    SELECT model_agg(parts[i], parts[i + 1]::real[] ORDER BY i) FROM generate_series(1, cardinality(parts), 2) i
$$;
-- A model of a safetensors file's header and data, for other dtypes.
CREATE FUNCTION diff_typed(header text, data bytea) RETURNS model LANGUAGE sql AS $$
    SELECT model_read(set_byte(decode(repeat('00', 8), 'hex'), 0, length(header)) || header::bytea || data, 'safetensors')
$$;
CREATE FUNCTION diff_refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
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

-- ---------- statuses ----------

SELECT modelopt.commit('diffs', diff_model('same', '{1,2}', 'changed', '{3,4}', 'gone', '{5}', 'old', '{6,7,8}', 'flat', '{1,2,3,4}',
    'grown', '{1}'), 'a', params => '{"lr": 0.1, "optimizer": {"name": "sgd", "momentum": 0.9}, "seed": 1}', metrics => '{"auc": 0.5, "loss": 2}');
SELECT modelopt.commit('diffs', diff_model('new', '{6,7,8}', 'same', '{1,2}', 'changed', '{3,0}', 'flat', '{{1,2},{3,9}}',
    'grown', '{1,1}', 'more', '{0,0,0,1}'), 'b', params => '{"lr": 0.2, "optimizer": {"name": "sgd", "nesterov": true}, "seed": 1}',
    metrics => '{"auc": 0.75, "f1": 0.25}');

SELECT tensor, status, renamed_from, dtype_a, dtype_b, shape_a, shape_b, elements FROM modelopt.diff('diffs#1', 'diffs#2');
SELECT tensor, changed, changed_pct, not_finite, max_abs, l2, round(rel_l2::numeric, 12) AS rel_l2, round(cosine::numeric, 12) AS cosine,
    sparsity_a, sparsity_b, bytes_a, bytes_b FROM modelopt.diff('diffs#1', 'diffs#2', unchanged => true);
-- By arithmetic: lengths 5 and 3, distance 4, inner product 9; squares 30 and 95, distance 5, inner product 50.
SELECT 4 / 5.0 AS changed_rel_l2, 9 / (5 * 3.0) AS changed_cosine, round((5 / sqrt(30::numeric)), 12) AS flat_rel_l2,
    round((1 + 4 + 9 + 4 * 9) / sqrt(30 * (1 + 4 + 9 + 81)::numeric), 12) AS flat_cosine;
-- Backwards, what was added was removed.
SELECT tensor, status, renamed_from FROM modelopt.diff('diffs#2', 'diffs#1');
SELECT count(*) FROM modelopt.diff('diffs', 'diffs');

-- ---------- many elements ----------

CREATE TABLE diff_pairs AS
SELECT n, (SELECT array_agg((sin(i * 1.7) * n)::real ORDER BY i) FROM generate_series(1, n) i) AS a,
    (SELECT array_agg(CASE WHEN i % 3 = 0 THEN (sin(i * 1.7) * n)::real ELSE (cos(i * 0.3) * n)::real END ORDER BY i) FROM generate_series(1, n) i) AS b
FROM unnest(ARRAY[1, 7, 8, 9, 2047, 2048, 2049, 40000, 65536, 100001]) n;
SELECT modelopt.commit('diffs_many', (SELECT model_agg('t' || n, a ORDER BY n) FROM diff_pairs), 'a');
SELECT modelopt.commit('diffs_many', (SELECT model_agg('t' || n, b ORDER BY n) FROM diff_pairs), 'b');
CREATE TABLE diff_expected AS
SELECT n, count(*) FILTER (WHERE x <> y) AS changed, max(abs(y::float8 - x::float8)) AS max_abs,
    sqrt(sum((y::float8 - x::float8) ^ 2)) AS l2, sqrt(sum((y::float8 - x::float8) ^ 2) / sum(x::float8 ^ 2)) AS rel_l2,
    sum(x::float8 * y) / sqrt(sum(x::float8 ^ 2) * sum(y::float8 ^ 2)) AS cosine
FROM diff_pairs, LATERAL unnest(a, b) u (x, y) GROUP BY n;
SELECT n, d.elements = n AND d.changed = e.changed AND d.max_abs = e.max_abs AS exact,
    abs(d.l2 / e.l2 - 1) < 1e-12 AND abs(d.rel_l2 / e.rel_l2 - 1) < 1e-12 AND abs(d.cosine - e.cosine) < 1e-12 AS near
FROM diff_expected e LEFT JOIN modelopt.diff('diffs_many#1', 'diffs_many#2', unchanged => true) d ON d.tensor = 't' || n
ORDER BY n;
-- All of it: what the tensors add up to.
SELECT s.modified, s.changed = e.changed AND s.max_abs = e.max_abs AND s.elements = e.elements AS exact, abs(s.l2 / e.l2 - 1) < 1e-12 AS near,
    abs(s.rel_l2 - e.l2 / e.norm) < 1e-12 AS rel_near, abs(s.changed_pct - 100.0 * e.changed / e.elements) < 1e-9 AS pct_near
FROM modelopt.diff_stat('diffs_many#1', 'diffs_many#2') s,
    (SELECT sum(changed) AS changed, max(max_abs) AS max_abs, sqrt(sum(l2 ^ 2)) AS l2, sum(n) AS elements,
         (SELECT sqrt(sum(x::float8 ^ 2)) FROM diff_pairs p, LATERAL unnest(p.a) x) AS norm FROM diff_expected) e;

-- ---------- numbers that are none ----------

-- NaN equals itself by its bits, and -0 is not 0; distances are of finite pairs.
SELECT tensor, changed, not_finite, max_abs, l2, cosine, sparsity_a, sparsity_b
FROM diff(diff_model('a', '{NaN,1,Infinity,-Infinity,0,3}', 'b', '{NaN,NaN}', 'z', '{0,0}', 'zero', '{0,0}', 'e', '{}', 'huge', '{3e38,-3e38}'),
    diff_model('a', '{NaN,NaN,Infinity,Infinity,-0,7}', 'b', '{NaN,1}', 'z', '{-0,0}', 'zero', '{2,0}', 'e', '{}', 'huge', '{-3e38,3e38}'),
    unchanged => true);

-- ---------- other dtypes ----------

-- f16 1, 2 becomes f32 1, 2.5; i8 -1, 3 becomes i8 -1, 7 (other bits), u8 255 is
-- not i8 -1; bf16 1, -2 becomes 1, -4; f64 needs all its digits; bool.
SELECT tensor, status, dtype_a, dtype_b, changed, not_finite, max_abs, l2
FROM diff(
    diff_typed('{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"i":{"dtype":"I8","shape":[2],"data_offsets":[4,6]},"u":{"dtype":"U8","shape":[1],"data_offsets":[6,7]},"o":{"dtype":"BOOL","shape":[1],"data_offsets":[7,8]}}',
        '\x003c0040ff03ff00'),
    diff_typed('{"h":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"i":{"dtype":"I8","shape":[2],"data_offsets":[8,10]},"u":{"dtype":"I8","shape":[1],"data_offsets":[10,11]},"o":{"dtype":"BOOL","shape":[1],"data_offsets":[11,12]}}',
        '\x0000803f00002040ff07ff01'));
SELECT tensor, status, changed, max_abs, l2
FROM diff(
    diff_typed('{"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"d":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}}',
        '\x803f00c0000000000000f03f'),
    diff_typed('{"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"d":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}}',
        '\x803f80c0010000000000f03f'));

-- ---------- encodings ----------

-- Sparse and dense tensors of the same elements are the same.
CREATE TABLE diff_pruned AS SELECT diff_model('w', '{{1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,5}}') AS dense;
SELECT count(*) FROM diff_pruned, diff(dense, prune(dense, 0.0));
SELECT t.encoding, d.changed, d.max_abs, d.l2, d.sparsity_a, d.sparsity_b
FROM diff_pruned p, LATERAL prune_count(p.dense, 31) m, LATERAL tensors(m) t, LATERAL diff(p.dense, m) d;

-- ---------- cost ----------

-- Tensors cost what their objects do; tied and known ones nothing.
SELECT modelopt.commit('diffs_cost', diff_model('a', '{1,2,3}', 'b', '{4,5,6}'), 'a');
SELECT modelopt.commit('diffs_cost', diff_model('a', '{1,2,3}', 'b', '{7,5,6}', 'c', '{7,5,6}', 'd', '{1,2,3}'), 'b');
SELECT d.tensor, d.delta_bytes > 0 AS costs, d.delta_bytes = v.stored_bytes AS all_of_it
FROM modelopt.diff('diffs_cost#1', 'diffs_cost#2', unchanged => true) d, modelopt.log('diffs_cost', 1) v;
SELECT s.tensors_a, s.tensors_b, s.added, s.modified, s.unchanged, s.elements, s.delta_bytes = v.stored_bytes AS cost, s.raw_bytes_a, s.raw_bytes_b
FROM modelopt.diff_stat('diffs_cost#1', 'diffs_cost#2') s, modelopt.log('diffs_cost', 1) v;

-- ---------- from what both come from ----------

SELECT modelopt.branch('diffs', 'side', 'diffs#1');
SELECT modelopt.commit('diffs/side', diff_model('same', '{1,2}', 'changed', '{3,4}', 'gone', '{5}', 'old', '{6,7,8}', 'flat', '{1,2,3,4}',
    'grown', '{2}'), 'side', params => '{"lr": 0.1}');
SELECT tensor, status, max_abs FROM modelopt.diff('diffs#2', 'diffs/side', mode => '...');
SELECT modified, unchanged FROM modelopt.diff_stat('diffs#2', 'diffs/side', mode => '...');

-- ---------- params and metrics ----------

SELECT * FROM modelopt.params_diff('diffs#1', 'diffs#2');
SELECT * FROM modelopt.params_diff('diffs#1', 'diffs#2', unchanged => true);
SELECT param, status FROM modelopt.params_diff('diffs#2', 'diffs/side', mode => '...');
SELECT * FROM modelopt.metrics_diff('diffs#1', 'diffs#2');
-- The value that was recorded last counts; datasets are apart.
SELECT modelopt.log_metric('diffs#2', 'auc', 1), modelopt.log_metric('diffs#2', 'auc', 0.25, 'test'), modelopt.log_metric('diffs#2', 'loss', 2);
SELECT * FROM modelopt.metrics_diff('diffs#1', 'diffs#2', unchanged => true);

-- ---------- what is equal is not read ----------

BEGIN;
DELETE FROM modelopt_private.part WHERE object_id IN (
    SELECT e.object_id FROM modelopt_private.named_model m JOIN modelopt_private.version v ON v.model_id = m.id
        JOIN modelopt_private.tree_entry e USING (tree_id) WHERE m.name = 'diffs' AND e.name IN ('same', 'old', 'new', 'gone', 'more'));
SELECT tensor, status, sparsity_a, sparsity_b FROM modelopt.diff('diffs#1', 'diffs#2', unchanged => true);
SELECT status, max_abs FROM modelopt.diff('diffs#1', 'diffs/side');
ROLLBACK;

-- ---------- refusals ----------

CREATE ROLE regress_diff_reader;
CREATE ROLE regress_diff_user;
SELECT modelopt.grant_usage('diffs', 'regress_diff_user'), modelopt.grant_read('diffs', 'regress_diff_reader');
GRANT EXECUTE ON FUNCTION diff_refusal(text) TO PUBLIC;
SELECT query, diff_refusal(query) FROM unnest(ARRAY[
    'SELECT modelopt.diff(''diffs#1'', ''nothing'')',
    'SELECT modelopt.diff(''diffs#1'', ''diffs#99'')',
    'SELECT modelopt.diff(''diffs#1'', ''diffs#2'', mode => ''.'')',
    'SELECT modelopt.diff(''diffs#1'', ''diffs_many#2'', mode => ''...'')',
    'SELECT modelopt.params_diff(''diffs#1'', ''diffs_many#2'', mode => ''...'')']) query;
SELECT modelopt.diff('diffs#1', NULL) IS NULL AS nothing;
SET ROLE regress_diff_user;
SELECT query, diff_refusal(query) FROM unnest(ARRAY[
    'SELECT modelopt.diff(''diffs#1'', ''diffs#2'')',
    'SELECT modelopt.diff(''diffs#1'', ''diffs#2'', true, ''...'')',
    'SELECT modelopt.diff_stat(''diffs#1'', ''diffs#2'')',
    'SELECT modelopt.params_diff(''diffs#1'', ''diffs#2'')',
    'SELECT modelopt.metrics_diff(''diffs#1'', ''diffs#2'')',
    'SELECT modelopt.diff(''diffs_many#1'', ''diffs_many#2'')',
    'SELECT modelopt_private.diff(''diffs#1'', ''diffs#2'', false, ''..'')']) query;
SET ROLE regress_diff_reader;
SELECT count(*) FROM modelopt.diff('diffs#1', 'diffs#2');
SELECT modified FROM modelopt.diff_stat('diffs#1', 'diffs#2');
SELECT diff_refusal('SELECT modelopt.diff(''diffs#1'', ''diffs_many#2'')');
RESET ROLE;
SELECT modelopt.revoke('diffs', 'regress_diff_user'), modelopt.revoke('diffs', 'regress_diff_reader');
DROP ROLE regress_diff_user;
DROP ROLE regress_diff_reader;
