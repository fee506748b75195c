-- prune: every refusal, with its SQLSTATE, text and hint.

CREATE FUNCTION refusal(query text) RETURNS text LANGUAGE plpgsql AS $$
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

CREATE TABLE refused AS
SELECT model_agg(name, data ORDER BY place) AS m
FROM (VALUES (1, 'a.weight', '{{1,2,3},{4,5,6}}'::real[]), (2, 'a.bias', '{0,8}'), (3, 'embed', '{{1},{2}}'),
             (4, 'c.weight', '{{0,0}}')) v (place, name, data);

\x
SELECT call, refusal(format('SELECT %s FROM refused', call)) FROM unnest(ARRAY[
    -- amounts
    'prune(m)',
    'prune(m, NULL)',
    'prune(m, -0.1)',
    'prune(m, 1.0000001)',
    'prune(m, ''NaN'')',
    'prune(m, method => ''ln_structured'')',
    'prune(m, method => ''threshold'')',
    'prune(m, -1, method => ''threshold'')',
    'prune(m, ''NaN'', method => ''threshold'')',
    'prune_count(m, NULL)',
    'prune_count(m, -1)',
    'prune_count(m, 9)',
    'prune_count(m, 8, "of" => ''remaining'')',
    'prune_count(m, 3, scope => ''tensor'')',
    'prune_count(m, 3, scope => ''layer'', exclude => ''{a*}'')',
    'prune_count(m, 3, scope => ''layer'', include => ''{a.bias}'')',
    'prune_count(m, 3, method => ''ln_structured'')',
    'prune_count(m, 1, method => ''threshold'')',
    'prune_count(m, 1, method => ''n:m'', n => 1, m_of => 2)',
    'prune_count(m, 1, method => ''mask'', mask => m)',
    'prune_dry_run(m)',
    'prune_dry_run(m, 0.5, count => 1)',
    -- words
    'prune(m, 0.5, method => ''L1'')',
    'prune(m, 0.5, scope => ''locally'')',
    'prune(m, 0.5, "of" => ''rest'')',
    'prune(m, 1, method => ''threshold'', "of" => ''remaining'')',
    'prune(m, 0.5, method => ''ln_structured'', scope => ''layer'')',
    -- what a method does not look at
    'prune(m, 0.5, dim => 0)',
    'prune(m, 0.5, norm => 1)',
    'prune(m, 0.5, n => 2)',
    'prune(m, 0.5, mask => m)',
    'prune(m, 0.5, seed => 1)',
    'prune(m, 0.5, method => ''n:m'', n => 1, m_of => 2)',
    'prune(m, 0.5, method => ''mask'', mask => m)',
    -- slices
    'prune(m, 0.5, method => ''ln_structured'', dim => 2)',
    'prune(m, 0.5, method => ''ln_structured'', dim => -3)',
    'prune(m, 0.5, method => ''ln_structured'', norm => -1)',
    'prune(m, 0.5, method => ''ln_structured'', norm => ''NaN'')',
    'prune(m, 0.5, method => ''random_structured'', include => ''{a.bias}'')',
    -- n of every m
    'prune(m, method => ''n:m'')',
    'prune(m, method => ''n:m'', n => 2)',
    'prune(m, method => ''n:m'', n => 0, m_of => 4)',
    'prune(m, method => ''n:m'', n => 4, m_of => 4)',
    'prune(m, method => ''n:m'', n => 1, m_of => 65)',
    'prune(m, method => ''n:m'', n => 1, m_of => 2, include => ''{a.bias}'')',
    -- masks
    'prune(m, method => ''mask'')',
    'prune(m, method => ''mask'', mask => (SELECT model_agg(''a.weight'', ''{{1,2,3},{4,5,6}}'')))',
    'prune(m, method => ''mask'', mask => (SELECT model_agg(''a.weight'', ''{{1,2},{3,4},{5,6}}'')))',
    -- names and patterns
    'prune(m, 0.5, include => ''{b.weight}'')',
    'prune(m, 0.5, include => ''{b.*}'')',
    'prune(m, 0.5, include => ''{*bias}'')',
    'prune(m, 0.5, include => ''{emb*}'')',
    'prune(m, 0.5, exclude => ''{b.weight}'')',
    'prune(m, 0.5, exclude => ''{b.*}'')',
    'prune(m, 0.5, include => ''{""}'')',
    'prune(m, 0.5, include => ''{NULL}'')',
    'prune(m, 0.5, exclude => ''{NULL}'')'
    ]) call;
\x

-- A tensor of four i4 elements, as a flat form.
\x
SELECT refusal($$SELECT prune(decode(replace('
6d646c6f010000000100000001000000600000000200000002000000c200000000000000a4bd1629f8c3d705b2a2af6d4a48aeb0e75e7a
27472060a1456eab658cfa47e502000000000000000400000000000000100000000000000000000000000000003a103a4e5729ad68c02a
678ae39accfbc0ae208096437401b7ceab63cca0622f00000000010002000200000000000000020000000000000077000000000000007b
7d5b5d00000000000000000000000000000000000000001234', E'\n', ''), 'hex')::model, 0.5, include => '{w}')$$);
\x

-- A tensor that has no zero, as a safetensors file.
\x
SELECT refusal($$SELECT prune(model_read('\x4000000000000000'::bytea || '{"scale":{"dtype":"F8_E8M0","shape":[2,2],"data_offsets":[0,4]}}' || '\x7f808182'), 0.5, include => '{scale}')$$);
\x

-- Nothing half done: an error leaves the row as it was.
DO $$
BEGIN
    UPDATE refused SET m = prune(m, method => 'n:m', n => 1, m_of => 2, include => '{a.weight,a.bias}');
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE '%', SQLERRM;
END $$;
SELECT m = (SELECT model_agg(name, data ORDER BY place)
            FROM (VALUES (1, 'a.weight', '{{1,2,3},{4,5,6}}'::real[]), (2, 'a.bias', '{0,8}'), (3, 'embed', '{{1},{2}}'),
                         (4, 'c.weight', '{{0,0}}')) v (place, name, data)) AS unchanged FROM refused;

DROP TABLE refused;
DROP FUNCTION refusal;

-- ---------- hints ----------

\set VERBOSITY default
SELECT prune(model_agg('layer1.w', '{{1}}'), mask => model_agg('layer1.w', '{{0}}'));
SELECT prune(model_agg('layer1.w', '{{1}}'), 1, include => '{layer1}');
SELECT prune(model_agg('layer1.w', '{{1}}'), 1, include => '{layer1.*}', exclude => '{layer}');
