-- The 8-bit floats without -0 and the bare exponents in the repository: kept,
-- counted, compared and merged.
\set VERBOSITY terse
SET client_min_messages TO warning;

-- Two tensors of a safetensors file, of elements from bytes.
CREATE FUNCTION two(dtype text, first bytea, second bytea) RETURNS model LANGUAGE sql AS $$
    SELECT model_read(set_byte(decode(repeat('00', 8), 'hex'), 0, length(h)) || h::bytea || first || second, 'safetensors')
    FROM format('{"a":{"dtype":"%1$s","shape":[%2$s],"data_offsets":[0,%2$s]},"b":{"dtype":"%1$s","shape":[%3$s],"data_offsets":[%2$s,%4$s]}}',
        dtype, length(first), length(second), length(first || second)) h
$$;

-- Half of a long tensor is bits that are 0, and the next version differs in one
-- element of another one.  70000 codes in turn have each of the first 112 of
-- them 274 times, so 0 too; neither NaN nor 2^-127 is a zero.
CREATE TABLE kept AS
SELECT 'r8_' || lower(dtype) AS name, two(dtype, half || codes, codes) AS before, two(dtype, half || codes, '\x81' || substr(codes, 2)) AS after
FROM unnest('{F8_E4M3FNUZ,F8_E5M2FNUZ,F8_E8M0}'::text[]) dtype, decode(repeat('00', 70000), 'hex') half,
     (SELECT decode(string_agg(lpad(to_hex(i % 256), 2, '0'), '' ORDER BY i), 'hex') FROM generate_series(0, 69999) i) c (codes);
SELECT modelopt.commit(name, before, 'before') FROM kept;
SELECT modelopt.commit(name, after, 'after') FROM kept;
SELECT name, modelopt.get(name || '#1') = before AS before, modelopt.get(name || '#2') = after AS after FROM kept;
SELECT model, version, sparsity * 210000 AS zeros FROM modelopt.versions WHERE model LIKE 'r8_%' ORDER BY model, version;
SELECT name, d.tensor, changed, not_finite, max_abs, sparsity_a * elements AS zeros_a, sparsity_b * elements AS zeros_b
FROM kept, modelopt.diff(name || '#1', name || '#2') d ORDER BY name;
SELECT kept.name, v.* FROM kept, modelopt.verify(kept.name) v;

-- 2 and 3 make 2.5; exponents, which round 3 to 4, are not merged, but somebody's are taken.
CREATE TABLE merged AS
SELECT 'm8_' || lower(dtype) AS name, two(dtype, '\x40', '\x40') AS base FROM unnest('{F8_E4M3FNUZ,F8_E5M2FNUZ,F8_E8M0}'::text[]) dtype;
SELECT modelopt.commit(name, base), modelopt.branch(name, 'other') FROM merged;
SELECT modelopt.commit(name, model_set(base, 'a', '{2}')), modelopt.commit(name || '/other', model_set(base, 'a', '{3}')) FROM merged;
SELECT name, d.tensor, result, conflict FROM merged, modelopt.merge_dry_run(name, name || '/other', 'average') d WHERE d.tensor = 'a' ORDER BY name;
SELECT modelopt.merge(name, name || '/other', CASE WHEN name = 'm8_f8_e8m0' THEN 'theirs' ELSE 'average' END) FROM merged;
SELECT name, tensor(modelopt.get(name), 'a') FROM merged;

DROP TABLE kept, merged;
DROP FUNCTION two;
