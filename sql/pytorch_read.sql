-- Reading PyTorch checkpoints.  Files of test/data are compared with what torch
-- found in them (sums.csv), and what no torch at hand writes is pickled here.
-- What attacks the reader is in the tests called hostile.

CREATE SCHEMA pytorch_read;
SET search_path = pytorch_read, public;

-- ---------- files that torch wrote ----------
CREATE TABLE files (name text PRIMARY KEY, data bytea);
\set mlp `base64 < test/data/digits_mlp.pth | tr -d '\n'`
\set mlp_legacy `base64 < test/data/digits_mlp_legacy.pth | tr -d '\n'`
\set mlp_legacy_big `base64 < test/data/digits_mlp_legacy_big_endian.pth | tr -d '\n'`
\set mlp_deflated `base64 < test/data/digits_mlp_deflated.pth | tr -d '\n'`
\set mlp2 `base64 < test/data/digits_mlp2.pth | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.pth | tr -d '\n'`
\set cnn_module `base64 < test/data/digits_cnn_module.pth | tr -d '\n'`
\set logistic_module `base64 < test/data/digits_logistic_module_legacy.pth | tr -d '\n'`
\set transformer `base64 < test/data/tied_transformer.pth | tr -d '\n'`
\set dtypes `base64 < test/data/dtypes.pth | tr -d '\n'`
\set dtypes_legacy `base64 < test/data/dtypes_legacy.pth | tr -d '\n'`
\set dtypes_big `base64 < test/data/dtypes_big_endian.pth | tr -d '\n'`
\set dtypes2 `base64 < test/data/dtypes2.pth | tr -d '\n'`
\set views `base64 < test/data/views.pth | tr -d '\n'`
\set views_legacy `base64 < test/data/views_legacy.pth | tr -d '\n'`
\set protocol4 `base64 < test/data/protocol4.pth | tr -d '\n'`
\set shapes `base64 < test/data/shapes.pth | tr -d '\n'`
\set torchscript `base64 < test/data/torchscript.pt | tr -d '\n'`
\set exported `base64 < test/data/exported.pt2 | tr -d '\n'`
INSERT INTO files
SELECT name, decode(base64, 'base64')
FROM (VALUES ('digits_mlp.pth', :'mlp'), ('digits_mlp_legacy.pth', :'mlp_legacy'),
             ('digits_mlp_legacy_big_endian.pth', :'mlp_legacy_big'), ('digits_mlp_deflated.pth', :'mlp_deflated'),
             ('digits_mlp2.pth', :'mlp2'), ('digits_cnn.pth', :'cnn'), ('digits_cnn_module.pth', :'cnn_module'),
             ('digits_logistic_module_legacy.pth', :'logistic_module'), ('tied_transformer.pth', :'transformer'),
             ('dtypes.pth', :'dtypes'), ('dtypes_legacy.pth', :'dtypes_legacy'), ('dtypes_big_endian.pth', :'dtypes_big'),
             ('dtypes2.pth', :'dtypes2'), ('views.pth', :'views'), ('views_legacy.pth', :'views_legacy'),
             ('protocol4.pth', :'protocol4'), ('shapes.pth', :'shapes'), ('torchscript.pt', :'torchscript'),
             ('exported.pt2', :'exported')) v (name, base64);

-- Names, order, dtypes, shapes and every bit are what torch says: the digest
-- of a tensor is taken from the flat form, which the cast checks whole.
CREATE TABLE sums (id serial, file text, tensor text, dtype text, shape bigint[], finite_sum float8, not_finite int, sha256 text);
\copy sums (file, tensor, dtype, shape, finite_sum, not_finite, sha256) FROM 'test/data/sums.csv' WITH (FORMAT csv, HEADER)
\copy sums (file, tensor, dtype, shape, finite_sum, not_finite, sha256) FROM 'test/data/sums2.csv' WITH (FORMAT csv, HEADER)
CREATE FUNCTION u(bytes bytea, at int, size int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT sum(get_byte(bytes, at + i)::bigint << (8 * i)) FROM generate_series(0, size - 1) i $$;
CREATE FUNCTION digests(m model) RETURNS TABLE (tensor text, sha256 text) LANGUAGE plpgsql AS
$$
DECLARE
    flat bytea = bytea(model(bytea(m)));
    at int = 68 + 64 * u(flat, 12, 4);
    name_length int;
    dims_size int;
BEGIN
    FOR i IN 1 .. u(flat, 8, 4) LOOP
        name_length = u(flat, at + 4, 2);
        dims_size = 8 * get_byte(flat, at + 6);
        tensor = convert_from(substr(flat, at + 8 + dims_size + 1, name_length), 'UTF8');
        sha256 = encode(substr(flat, 68 + 64 * u(flat, at, 4)::int + 32 + 1, 32), 'hex');
        RETURN NEXT;
        at = at + 8 + (dims_size + name_length + 7) / 8 * 8;
    END LOOP;
END
$$;
CREATE FUNCTION names(m model) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(name, ' ' ORDER BY i) FROM tensors(m) WITH ORDINALITY t (name, a, b, c, d, e, f, i) $$;
CREATE TABLE models AS
SELECT name, model_read(data, key => '', allow_modules => true) AS m FROM files WHERE name LIKE '%.pth';
SELECT s.file, string_agg(s.tensor, ' ' ORDER BY s.id) = names((SELECT m FROM models WHERE name = s.file)) AS names,
       count(*) AS tensors, bool_and(s.dtype = t.dtype AND s.shape = t.shape) AS shapes, bool_and(s.sha256 = d.sha256) AS bits
FROM models, tensors(m) t, digests(m) d, sums s
WHERE models.name = s.file AND t.name = s.tensor AND d.tensor = s.tensor
GROUP BY s.file ORDER BY s.file;

-- Whatever a checkpoint is packed in, what is in it is the same.
SELECT what, count(*) AS files, count(DISTINCT model_digest(m)) AS models
FROM models, regexp_match(name, 'digits_mlp|dtypes(?!2)|views|protocol4') AS r, coalesce(nullif(r[1], 'protocol4'), 'views') AS what
WHERE r IS NOT NULL GROUP BY what ORDER BY what;

-- Equal views of one storage are tied; what sees it otherwise has its own.
SELECT t.name, t.shape, t.tied_to FROM models s, tensors(m) t WHERE s.name = 'views.pth';
SELECT t.name, t.tied_to FROM models s, tensors(m) t WHERE s.name = 'tied_transformer.pth' AND tied_to IS NOT NULL;
SELECT b[1][1] AS base, d[1:3] AS diagonal, p[1][1:2][1:3] AS permuted,
       t[2][1] = b[1][2] AND t[8][6] = b[6][8] AS transposed, r = b[3:5] AS rows, c = b[1:6][4:7] AS columns,
       e[1] = b[1][2] AND e[2] = b[1][5] AND e[16] = b[6][7] AS every_third, x[1:1] = x[4:4] AND x[1:1] = b[2:2] AS expanded, s[1] = b[4][5] AS element
FROM models, LATERAL (SELECT tensor(m, 'base'), tensor(m, 'diagonal'), tensor(m, 'permuted'), tensor(m, 'transposed'),
                             tensor(m, 'rows'), tensor(m, 'columns'), tensor(m, 'every_third'), tensor(m, 'expanded'),
                             tensor(m, 'element')) v (b, d, p, t, r, c, e, x, s)
WHERE name = 'views.pth';

-- Nothing and a single number.
SELECT t.name, t.dtype, t.shape, tensor(m, t.name) FROM models s, tensors(m) t
WHERE s.name = 'shapes.pth' AND t.parameters <= 1;

-- ---------- which part ----------
-- The entry of a usual name is found, and skipped tensors are mentioned.
SELECT names(model_read(data)), model_metadata(model_read(data)) #>> '{pytorch,key}' AS key
FROM files WHERE name = 'digits_cnn.pth';
SET client_min_messages = warning;
SELECT model_read(data, key => 'state_dict') = model_read(data) AS same, model_read(data, key => NULL) = model_read(data) AS same
FROM files WHERE name = 'digits_cnn.pth';
-- Any other is named by the path to it, items of lists by their number.
SELECT k, names(model_read(data, key => k)), model_metadata(model_read(data, key => k)) #>> '{pytorch,key}' AS key
FROM files, unnest('{optimizer.state.0,optimizer.state.3.momentum_buffer,state_dict.bn1.bias}'::text[]) k
WHERE name = 'digits_cnn.pth';
SELECT k, names(model_read(data, key => k))
FROM files, unnest('{nested,nested.inner,nested.list,nested.list.1,scalar,naïve.Gewicht.重み}'::text[]) k
WHERE name = 'shapes.pth';
-- '' is all of it, as above.
SELECT model_read(data, key => '') = m AS same FROM files JOIN models USING (name) WHERE name = 'digits_cnn.pth';

-- Shows an error whole, or the tensors and metadata that were read.
CREATE FUNCTION try(data bytea, format text DEFAULT 'auto', key text DEFAULT NULL, allow_modules boolean DEFAULT false,
                    check_crc boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
    message text;
    detail text;
    hint text;
    m model;
BEGIN
    m = model_read(data, format, key, allow_modules, check_crc);
    RETURN concat_ws(' ', (SELECT string_agg(name || ' ' || dtype || tensor(m, name)::text, ' ') FROM tensors(m)),
                     nullif(model_metadata(m), '{}'));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, nullif(detail, ''), nullif(hint, ''));
END
$$;
SELECT try(data, key => k)
FROM files, unnest('{optimiser,state_dict.fc.weights,optimizer.state.8,epoch,args,args.classes.99,args.classes.1x,args.classes.}'::text[]) k
WHERE name = 'digits_cnn.pth';

-- ---------- modules ----------
SELECT try(data) FROM files WHERE name LIKE '%module%' ORDER BY name;
SELECT name, names(m), model_metadata(m) -> 'layer_kinds' AS kinds FROM models WHERE name LIKE '%module%' ORDER BY name;
SELECT l.name, l.kind, l.tensors FROM models s, layers(m) l WHERE s.name = 'digits_cnn_module.pth';
-- The module has the weights of the checkpoint of the same training.
SELECT bool_and(a.sha256 = b.sha256), count(*)
FROM digests((SELECT m FROM models WHERE name = 'digits_cnn_module.pth')) a
JOIN digests((SELECT model_read(data) FROM files WHERE name = 'digits_cnn.pth')) b USING (tensor);
-- State_dicts say which version of a layout they have.
SELECT model_metadata(m) #> '{pytorch,_metadata}' AS versions FROM models WHERE name = 'digits_mlp.pth';

-- ---------- what is no tensor ----------
SELECT jsonb_pretty(model_metadata(model_read(data)) #> '{pytorch,entries}' #- '{optimizer,state}' #- '{args,classes}') AS entries
FROM files WHERE name = 'digits_cnn.pth';
SELECT p.key, p.value -> 'momentum_buffer' AS momentum_buffer
FROM files, jsonb_each(model_metadata(model_read(data)) #> '{pytorch,entries,optimizer,state}') p WHERE name = 'digits_cnn.pth';
SELECT model_metadata(m) #> '{pytorch,entries,args,classes}' AS classes FROM models WHERE name = 'digits_cnn.pth';
SELECT model_metadata(m) -> 'pytorch' -> 'entries' AS entries FROM models WHERE name = 'shapes.pth';

-- ---------- other archives, and other things ----------
SELECT name, try(data) FROM files WHERE name NOT LIKE '%.pth' ORDER BY name;
SELECT encode(substr(bytes, 1, 12), 'escape') AS start, try(bytes)
FROM unnest(ARRAY['', 'mdlo', 'GGUF', 'lmgg', '....ORTM', '....TFL3', '\x894844460d0a1a0a', '\x934e554d5059', 'PYTORCH1',
                  decode(repeat('00', 257), 'hex') || 'ustar', '\x1f8b', 'BZh', '\xfd377a585a00', '\x28b52ffd',
                  '\x377abcaf271c', 'Rar!', 'version https://git-lfs.github.com/spec/v1', '%PDF-', '\x7f454c46',
                  E'\\012 <!DocType HTML>', '<HTML lang="en">', '\x02000000000000007b7d', '\x080812', '\x08073a', '\x080142',
                  '\x80045d', E' \\011{"a": 1}', 'hello', 'P', '\x03000000000000007b7d', '\x080012', '\x80065d']::bytea[]) bytes;
SELECT try(bytes, format => 'pytorch') FROM unnest(ARRAY['\x080812', 'hello']::bytea[]) bytes;
SELECT try('x', format => f) FROM unnest('{onnx,PyTorch,"",pytorch}'::text[]) f;
SELECT model_read(NULL) IS NULL AND model_read(NULL, NULL, NULL, NULL, NULL) IS NULL AS nothing;
SELECT try('x', format => NULL), try('x', allow_modules => NULL), try('x', check_crc => NULL);
-- A named format reads what the search for it finds.
SELECT model_read(data, 'pytorch') = model_read(data) AS same FROM files WHERE name IN ('digits_mlp.pth', 'views_legacy.pth');

-- A record that does not have its CRC is refused, unless CRCs are not to be
-- checked: byte 4000 lies in the first storage.
CREATE VIEW damaged AS SELECT set_byte(data, 4000, get_byte(data, 4000) # 1) AS data FROM files WHERE name = 'digits_mlp.pth';
SELECT model_read(data) FROM damaged;
\echo :LAST_ERROR_SQLSTATE
SELECT string_agg(tensor, ' ') AS differs
FROM damaged, digests(model_read(data, check_crc => false)) a JOIN sums s USING (tensor)
WHERE s.file = 'digits_mlp.pth' AND a.sha256 <> s.sha256;

-- ---------- checkpoints that no torch at hand writes ----------
CREATE FUNCTION le(value bigint, size int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(set_byte('\x00', 0, (value >> (8 * i) & 255)::int), '' ORDER BY i)
   FROM generate_series(0, size - 1) i $$;

-- Pickle opcodes from JSON.  An object whose only key starts with "!" is what
-- JSON does not have:
--   !tuple [item, ...]  !set [item, ...]  !dict [[key, value], ...]  !bytes "hex"
--   !global "module name"  !call [callable, argument, ...]
--   !new [class, argument, ...], which runs no constructor
--   !state [object, state]  !items [object, key, value, ...]  !appends and !adds [object, item, ...]
--   !id [part, ...] of something kept elsewhere
--   !put [number, value] and !get number, the memo  !raw "hex", opcodes
--   !tensor {function, class, key, place, count, view, offset, shape, strides, more}
CREATE FUNCTION opcodes(v json, put bytea DEFAULT '') RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS
$$
DECLARE
    v_text text = v #>> '{}';
    w json;
    key text;
BEGIN
    CASE json_typeof(v)
        WHEN 'null' THEN RETURN 'N' || put;
        WHEN 'boolean' THEN RETURN CASE v_text WHEN 'true' THEN '\x88'::bytea ELSE '\x89' END;
        WHEN 'number' THEN
            IF v_text ~ '[.e]' THEN
                RETURN 'G' || float8send(v_text::float8);
            END IF;
            RETURN '\x8a08' || le(v_text::bigint, 8);
        WHEN 'string' THEN RETURN 'X' || le(octet_length(convert_to(v_text, 'UTF8')), 4) || convert_to(v_text, 'UTF8') || put;
        WHEN 'array' THEN RETURN ']' || put || '(' || items(v) || 'e';
        ELSE
    END CASE;
    SELECT e.key, e.value INTO key, w FROM json_each(v) e LIMIT 1;
    CASE key
        WHEN '!tuple' THEN RETURN '(' || items(w) || 't' || put;
        WHEN '!set' THEN RETURN '\x8f' || put || '(' || items(w) || '\220';
        WHEN '!dict' THEN RETURN '}' || put || '(' || (SELECT string_agg(items(pair), '') FROM json_array_elements(w) pair) || 'u';
        WHEN '!bytes' THEN RETURN 'B' || le(length(w #>> '{}') / 2, 4) || decode(w #>> '{}', 'hex');
        WHEN '!global' THEN RETURN 'c' || convert_to(replace(w #>> '{}', ' ', E'\n') || E'\n', 'UTF8') || put;
        WHEN '!call' THEN RETURN opcodes(w -> 0) || '(' || items(w, 1) || 'tR' || put;
        WHEN '!new' THEN RETURN opcodes(w -> 0) || '(' || items(w, 1) || 't\201' || put;
        WHEN '!state' THEN RETURN opcodes(w -> 0, put) || opcodes(w -> 1) || 'b';
        WHEN '!items' THEN RETURN opcodes(w -> 0, put) || '(' || items(w, 1) || 'u';
        WHEN '!appends' THEN RETURN opcodes(w -> 0, put) || '(' || items(w, 1) || 'e';
        WHEN '!adds' THEN RETURN opcodes(w -> 0, put) || '(' || items(w, 1) || '\220';
        WHEN '!id' THEN RETURN '(' || items(w) || 'tQ' || put;
        WHEN '!put' THEN RETURN opcodes(w -> 1, 'q' || le((w ->> 0)::int, 1));
        WHEN '!get' THEN RETURN 'h' || le((w #>> '{}')::int, 1);
        WHEN '!raw' THEN RETURN decode(w #>> '{}', 'hex');
        WHEN '!tensor' THEN RETURN tensor_opcodes(w) || put;
        ELSE RETURN '}' || put || '(' || coalesce((SELECT string_agg(opcodes(to_json(e.key)) || opcodes(e.value), '')
                                                   FROM json_each(v) e), '') || 'u';
    END CASE;
END
$$;
CREATE FUNCTION items(v json, skipped int DEFAULT 0) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(string_agg(opcodes(e), '' ORDER BY i), '')
   FROM json_array_elements(v) WITH ORDINALITY u (e, i) WHERE i > skipped $$;
-- A storage of four floats seen as a vector, but for what is said otherwise.
CREATE FUNCTION tensor_opcodes(v json) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT opcodes(json_build_object('!global', coalesce(v ->> 'function', 'torch._utils _rebuild_tensor_v2'))) || '(' ||
       coalesce(opcodes(v -> 'storage'),
                '(' || opcodes('"storage"') || opcodes(json_build_object('!global', coalesce(v ->> 'class', 'torch FloatStorage'))) ||
                opcodes(coalesce(v -> 'key', '"0"')) || opcodes(coalesce(v -> 'place', '"cpu"')) ||
                opcodes(coalesce(v -> 'count', '4')) || coalesce(opcodes(v -> 'view'), '') || 'tQ') ||
       opcodes(coalesce(v -> 'offset', '0')) ||
       opcodes(coalesce(v -> 'shape', '{"!tuple": [4]}')) || opcodes(coalesce(v -> 'strides', '{"!tuple": [1]}')) ||
       CASE WHEN v -> 'more' IS NULL THEN '\x89' || opcodes('{"!call": [{"!global": "collections OrderedDict"}]}')
            ELSE items(v -> 'more') END || 'tR' $$;
CREATE FUNCTION pickle(v json) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT '\x8002' || opcodes(v) || '.' $$;

-- The legacy layout: magic number, protocol 1001, system, object, keys of
-- storages, storages.  There is one of the floats 1 to 4.
CREATE FUNCTION legacy(object bytea, keys json DEFAULT '["0"]',
                       storages bytea DEFAULT '\x04000000000000000000803f000000400000404000008040') RETURNS bytea
LANGUAGE sql IMMUTABLE AS
$$ SELECT '\x80028a0a6cfc9c46f9206aa850192e'::bytea || '\x80024de9032e' || pickle('{"little_endian": true}') || object || pickle(keys) || storages $$;
CREATE FUNCTION saved(object json) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN object::text ~ '!tensor' THEN legacy(pickle(object)) ELSE legacy(pickle(object), '[]', '') END $$;

-- A zip archive without CRCs.  An entry with a number in "inflated" says that
-- it is deflated and grows to that size.
CREATE FUNCTION zip(names text[], contents bytea[], inflated bigint[] DEFAULT '{}') RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    entries bytea = '';
    directory bytea = '';
    header bytea;
BEGIN
    FOR i IN 1 .. cardinality(names) LOOP
        header = '\x14000000' || le(CASE WHEN inflated[i] IS NULL THEN 0 ELSE 8 END, 2) || le(0, 8) ||
            le(length(contents[i]), 4) || le(coalesce(inflated[i], length(contents[i])), 4) || le(length(names[i]), 2) || le(0, 2);
        directory = directory || 'PK\001\002\024\000'::bytea || header || le(0, 10) || le(length(entries), 4) || names[i]::bytea;
        entries = entries || 'PK\003\004'::bytea || header || names[i]::bytea || contents[i];
    END LOOP;
    RETURN entries || directory || 'PK\005\006'::bytea || le(0, 4) || le(cardinality(names), 2) || le(cardinality(names), 2) ||
        le(length(directory), 4) || le(length(entries), 4) || le(0, 2);
END
$$;
CREATE FUNCTION archive(object json, names text[] DEFAULT '{}', contents bytea[] DEFAULT '{}') RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT zip('{a/data.pkl,a/data/0,a/version}' || names,
              ARRAY[pickle(object), '\x0000803f000000400000404000008040', '3\012'] || contents) $$;

-- ---------- constructors of tensors ----------
SELECT try(saved('{"w": {"!tensor": {}}}')), try(archive('{"w": {"!tensor": {}}}'));
SELECT try(CASE WHEN v::text ~ 'Untyped' THEN archive(v) ELSE saved(v) END)
FROM unnest(ARRAY[
    -- offset, shape, strides; none of them
    '{"a": {"!tensor": {"offset": 1, "shape": {"!tuple": [3]}}}, "b": {"!tensor": {"shape": {"!tuple": [2, 2]}, "strides": {"!tuple": [1, 2]}}}}',
    '{"a": {"!tensor": {"offset": 3, "shape": {"!tuple": []}, "strides": {"!tuple": []}}}, "b": {"!tensor": {"shape": {"!tuple": [2, 3]}, "strides": {"!tuple": [2, 0]}}}}',
    '{"nothing": {"!tensor": {"offset": 99, "shape": {"!tuple": [0, 3]}, "strides": {"!tuple": [3, 1]}}}}',
    -- older files: a function of four arguments, and persistent ids of views
    '{"w": {"!tensor": {"function": "torch._utils _rebuild_tensor", "more": []}}}',
    '{"w": {"!tensor": {"view": null}}, "v": {"!tensor": {"view": {"!tuple": ["v", 1, 2]}, "shape": {"!tuple": [2]}}},
      "u": {"!tensor": {"view": {"!tuple": ["v", 1, 2]}, "offset": 1, "shape": {"!tuple": [1]}}}}',
    -- Parameters and subclasses are looked through
    '{"w": {"!call": [{"!global": "torch._utils _rebuild_parameter"}, {"!tensor": {}}, true, {}]}}',
    '{"w": {"!call": [{"!global": "torch._utils _rebuild_parameter_with_state"}, {"!tensor": {}}, true, {}, {}]}}',
    '{"w": {"!call": [{"!global": "torch.nn.parameter Parameter"}, {"!tensor": {}}, false]}}',
    '{"w": {"!call": [{"!global": "torch._tensor _rebuild_from_type_v2"}, {"!global": "torch._utils _rebuild_parameter"}, {"!global": "torch.nn.parameter Buffer"},
             {"!tuple": [{"!tensor": {}}, true, {}]}, {}]}}',
    -- a storage of a graphics card
    '{"w": {"!tensor": {"class": "torch.cuda FloatStorage", "place": "cuda:0"}}}',
    -- dtypes of their own over untyped storages, which count bytes
    '{"w": {"!tensor": {"class": "torch.storage UntypedStorage", "count": 16, "function": "torch._utils _rebuild_tensor_v3",
                        "shape": {"!tuple": [2]}, "more": [false, {}, {"!global": "torch uint16"}]}}}',
    '{"w": {"!tensor": {"class": "torch UntypedStorage", "count": 16, "function": "torch._utils _rebuild_tensor_v3",
                        "offset": 1, "shape": {"!tuple": [1]}, "more": [false, {}, {"!global": "torch bfloat16"}, {"other": false}]}}}',
    '{"w": {"!tensor": {"class": "torch UntypedStorage", "count": 16, "offset": 2}}}',
    -- attributes of a tensor that do not change it
    '{"w": {"!tensor": {"more": [false, {}, {"other": true}]}}}', '{"w": {"!tensor": {"more": [false, {}, null]}}}',
    -- a tensor alone, a list, and what other containers there are
    '{"!tensor": {}}',
    '[{"!put": [1, {"!tensor": {}}]}, {"!tuple": [7, {"!get": 1}]}]',
    '{"!dict": [[-7, {"!tensor": {}}]]}',
    '{"!call": [{"!global": "collections OrderedDict"}, [["a", {"!tensor": {}}]]]}',
    '{"!call": [{"!global": "collections OrderedDict"}, {"!tuple": [{"!tuple": ["a", {"!tensor": {}}]}]}]}',
    '{"!items": [{"!call": [{"!global": "collections defaultdict"}, {"!global": "builtins list"}]}, "a", {"!tensor": {}}]}',
    '{"!items": [{"!new": [{"!global": "easydict EasyDict"}]}, "a", {"!tensor": {}}]}',
    '{"!appends": [{"!new": [{"!global": "m Pair"}]}, {"!tensor": {}}]}',
    -- nothing
    '{}', '{"!call": [{"!global": "collections OrderedDict"}]}', '[]']::json[]) v;
-- Views of elements of every width: a matrix and its transpose.
SELECT class, tensor(m, 'a') AS a, tensor(m, 't') AS t
FROM (VALUES ('CharStorage', 1), ('ShortStorage', 2), ('IntStorage', 4), ('LongStorage', 8)) f (class, width),
     model_read(zip('{a/data.pkl,a/data/0,a/version}',
                    ARRAY[pickle(format('{"a": {"!tensor": {"class": "torch %s", "count": 6, "shape": {"!tuple": [2, 3]}, "strides": {"!tuple": [3, 1]}}},
                                          "t": {"!tensor": {"class": "torch %1$s", "count": 6, "shape": {"!tuple": [3, 2]}, "strides": {"!tuple": [1, 3]}}}}', class)::json),
                          (SELECT string_agg(le(i, width), '' ORDER BY i) FROM generate_series(1, 6) i), '3']), check_crc => false) m;
-- A view of more than a megabyte is gathered in slices.
SELECT shape, tensor(m, 'w') = ARRAY[[array_fill(1, '{300000}'), array_fill(2, '{300000}'), array_fill(3, '{300000}')],
                                     [array_fill(2, '{300000}'), array_fill(3, '{300000}'), array_fill(4, '{300000}')]]::real[] AS right
FROM model_read(saved('{"w": {"!tensor": {"shape": {"!tuple": [2, 3, 300000]}, "strides": {"!tuple": [1, 1, 0]}}}}')) m, tensors(m);
-- Where two keys make one name, neither is lost in silence.
SELECT try(saved(v)) FROM unnest(ARRAY['{"!dict": [["1", {"!tensor": {}}], [1, {"!tensor": {}}]]}',
                                       '{"!dict": [["w", {"!tensor": {}}], ["w", {"!tensor": {}}]]}',
                                       '{"a": {"b": {"!tensor": {}}}, "a.b": {"!tensor": {}}}']::json[]) v;
-- Elements of a big-endian machine are turned round; bools and bytes are not.
SELECT try(zip('{a/data.pkl,a/data/0,a/version,a/byteorder}',
               ARRAY[pickle(format('{"w": {"!tensor": {"class": "torch %s", "count": %s, "shape": {"!tuple": [%s]}}}}', class, n, n)::json),
                     bytes, '3', 'big\012']))
FROM (VALUES ('DoubleStorage', 1, '\x3ff8000000000000'::bytea), ('FloatStorage', 2, '\x3fc0000080000000'), ('HalfStorage', 2, '\x3e008000'),
             ('LongStorage', 1, '\xfffffffffffffffe'), ('IntStorage', 2, '\xfffffffe00000001'), ('ShortStorage', 2, '\xfffe0001'),
             ('CharStorage', 2, '\xfe01'), ('BoolStorage', 2, '\x0100')) v (class, n, bytes);
-- Names of records: a directory of any name or none, and where versions were.
SELECT try(zip(ARRAY[root || 'data.pkl', root || '.data/version', root || 'data/0', root || 'byteorder'],
               ARRAY[pickle('{"w": {"!tensor": {}}}'), '10', '\x0000803f000000400000404000008040', 'little']))
FROM unnest('{"",x/,data/}'::text[]) root;

-- ---------- which part, again ----------
SELECT k, try(saved(v), key => k)
FROM (VALUES (NULL, '{"model": {"w": {"!tensor": {}}}, "epoch": 3}'::json),
             (NULL, '{"net": {"a": {"w": {"!tensor": {}}}}}'),
             (NULL, '{"ema": 0.999, "params": {"w": {"!tensor": {}}}}'),
             (NULL, '{"model": {"w": {"!tensor": {}}}, "state_dict": {"w": {"!tensor": {}}}, "ema": {"w": {"!tensor": {}}}, "epoch": 3}'),
             ('model', '{"model": {"w": {"!tensor": {}}}, "model.x": {"v": {"!tensor": {}}}}'),
             ('model.x', '{"model": {"w": {"!tensor": {}}}, "model.x": {"v": {"!tensor": {}}}}'),
             ('model.x.v', '{"model": {"w": {"!tensor": {}}}, "model.x": {"v": {"!tensor": {}}}}'),
             ('model.x.w', '{"model": {"w": {"!tensor": {}}}, "model.x": {"v": {"!tensor": {}}}}'),
             ('a.', '{"a": {"": {"w": {"!tensor": {}}}}}'),
             ('.a', '{"": {"a": {"w": {"!tensor": {}}}}}'),
             ('7.-1', '{"!dict": [[7, {"!dict": [[-1, [{"!tensor": {}}]]]}]]}'),
             ('7', '{"!dict": [[7, [{"!tensor": {"shape": {"!tuple": [1]}}}]], ["7", [{"!tensor": {}}]]]}'),
             ('07', '{"!dict": [[7, [{"!tensor": {}}]]]}'),
             ('1', '[0, {"w": {"!tensor": {}}}]'),
             ('2', '[0, {"w": {"!tensor": {}}}]'),
             ('1234567890', '[0, {"w": {"!tensor": {}}}]'),
             ('x', '{"!tensor": {}}'),
             ('x', '{"!dict": [[1, 1], ["a\"b", 1], ["b", 1], ["c", 1], ["d", 1], ["e", 1], ["f", 1], ["g", 1], ["h", 1], ["i", 1], ["j", 1], ["k", 1], ["l", 1], ["m", 1]]}')
     ) v (k, v);

-- ---------- modules, again ----------
CREATE FUNCTION module(class text, parameters text DEFAULT '{}', buffers text DEFAULT '{}', modules text DEFAULT '{}',
                       more text DEFAULT '"training": true') RETURNS text LANGUAGE sql AS
$$ SELECT format('{"!state": [{"!new": [{"!global": "%s"}]}, {"_parameters": %s, "_buffers": %s, "_modules": %s, %s}]}',
                 class, parameters, buffers, modules, more) $$;
-- Names and order are those of state_dict(); what is None has none, and what is
-- not persistent is left out.
SELECT try(saved(module('net Net', '{"a": {"!tensor": {}}, "none": null}',
                        '{"stats": {"!tensor": {}}, "mask": {"!tensor": {}}}',
                        format('{"sub": %s, "gone": null}', module('net Outer.Inner', '{"b": {"!tensor": {}}}')),
                        '"_non_persistent_buffers_set": {"!set": ["mask"]}')::json), allow_modules => true);
-- Modules in a checkpoint: found by the usual names when they are allowed.
SELECT try(saved(v::json)), try(saved(v::json), allow_modules => true)
FROM unnest(ARRAY[format('{"model": %s, "epoch": 3}', module('net Net', '{"w": {"!tensor": {}}}')),
                  format('[%s]', module('net Net', '{"w": {"!tensor": {}}}')),
                  module('net Empty'),
                  -- before PyTorch 1.5 all buffers were persistent
                  module('net Old', '{}', '{"b": {"!tensor": {}}}'),
                  format('{"!dict": [["", %s], [{"!raw": "5801000000ff"}, %1$s]]}', module('net Empty')),
                  -- functions that are not known are not run, and named
                  '{"w": {"!tensor": {}}, "x": {"!call": [{"!global": "net make"}, 1]}}',
                  '{"w": {"!tensor": {}}, "x": {"!call": [{"!global": "os system"}, "true"]}}',
                  -- no modules: their attributes are not what modules have
                  '{"w": {"!tensor": {}}, "x": {"!state": [{"!new": [{"!global": "net Net"}]}, {"_parameters": {}, "_buffers": {}}]}}',
                  '{"w": {"!tensor": {}}, "x": {"!state": [{"!new": [{"!global": "net Net"}]}, {"_parameters": {}, "_buffers": {}, "_modules": 1}]}}',
                  '{"w": {"!tensor": {}}, "x": {"!state": [{"!new": [{"!global": "net Net"}]}, [1]]}}',
                  -- the legacy layout keeps classes outside, with their source
                  '{"!state": [{"!new": [{"!id": ["module", {"!global": "net Net"}, "net.py", "class Net: pass"]}]}, {"_parameters": {"w": {"!tensor": {}}}, "_buffers": {}, "_modules": {}}]}'
                  ]) v;

-- ---------- metadata ----------
CREATE FUNCTION entry(v text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT model_metadata(model_read(archive(format('{"w": {"!tensor": {}}, "x": %s}', v)::json), check_crc => false)) #> '{pytorch,entries,x}' $$;
SELECT v, entry(v)
FROM unnest(ARRAY[
    'null', 'true', 'false', '0', '-1', '9223372036854775807', '-9223372036854775808', '{"!raw": "8a09000000000000000001"}',
    '{"!raw": "8a09ffffffffffffffff00"}', '{"!raw": "8a09ffffffffffffff7fff"}', '{"!raw": "8a00"}', '{"!raw": "8a01ff"}',
    '{"!raw": "4b07"}', '{"!raw": "4d0100"}', '{"!raw": "4affffffff"}',
    '1.5', '-0.0', '0.1', '-2.5e-10', '{"!raw": "477ff0000000000000"}', '{"!raw": "47fff0000000000000"}', '{"!raw": "477ff8000000000000"}',
    '""', '"naïve \" \\ / 重み"', '"tab\tline\nreturn\r\u0001"', '{"!raw": "5803000000610062"}', '{"!raw": "5801000000ff"}', '{"!raw": "55026162"}',
    '{"!bytes": ""}', '{"!bytes": "00ff"}', '{"!call": [{"!global": "_codecs encode"}, "é\u00e9a", "latin1"]}', '{"!call": [{"!global": "builtins bytes"}]}',
    '{"!call": [{"!global": "__builtin__ bytes"}, 3]}', '{"!call": [{"!global": "builtins bytearray"}, {"!bytes": "00"}]}',
    '[]', '{}', '{"!tuple": []}', '{"!tuple": [1, [2, {"a": [3]}]]}', '{"!set": ["a", "b"]}', '{"!call": [{"!global": "builtins frozenset"}, [1, 2]]}',
    '{"!dict": [[1, "one"], [-2, "two"], ["three", 3]]}', '{"!dict": [["a", 1], ["a", 2]]}', '{"!dict": [[{"!tuple": [1]}, 1]]}', '{"!dict": [[null, 1]]}',
    '{"!dict": [[{"!raw": "580100000000"}, 1]]}', '{"a": {"!dict": [[1.5, 1]]}}',
    '{"!call": [{"!global": "collections Counter"}, {"a": 2}]}', '{"!call": [{"!global": "builtins dict"}, [["a", 1]]]}',
    '{"!items": [{"!new": [{"!global": "m Config"}]}, "lr", 0.1]}', '{"!appends": [{"!new": [{"!global": "m Schedule"}]}, 1, 2]}', '{"!adds": [{"!new": [{"!global": "m Tags"}]}, "a", "b"]}',
    '{"!new": [{"!global": "m Config"}]}', '{"!state": [{"!new": [{"!global": "m \"Größe\""}]}, {"a": 1}]}',
    '{"!call": [{"!global": "torch Size"}, {"!tuple": [1, 2]}]}', '{"!call": [{"!global": "torch device"}, "cpu"]}',
    '{"!call": [{"!global": "datetime datetime"}, {"!bytes": "07e80101000000000000"}]}', '{"!call": [{"!global": "pathlib PosixPath"}, "a"]}',
    '{"!global": "torch float32"}', '{"!global": "m function"}', '[{"!put": [1, [1]]}, {"!get": 1}]'
    ]) v;
-- Integers of up to 64 bytes are written out, larger ones are named.
SELECT entry(format('{"!raw": "8a%s%s"}', lpad(to_hex(n), 2, '0'), repeat('00', n - 1) || '01'))::text = trunc(2::numeric ^ (8 * (n - 1)))::text AS exact
FROM unnest('{9,16,33,64}'::int[]) n;
SELECT entry(format('{"!raw": "8a40%s80"}', repeat('00', 63)))::text = trunc(- 2::numeric ^ 511)::text AS exact,
       entry(format('{"!raw": "8a41%s"}', repeat('01', 65))) AS larger;
SELECT v, entry(v)::text::float8 = v::float8 AS exact FROM unnest('{1e300,5e-324,1.7976931348623157e308,0.30000000000000004}'::text[]) v;
-- Scalars of NumPy, whose bytes protocol 2 writes as text.
SELECT code, entry(format('{"!call": [{"!global": "numpy.%s scalar"},
                             {"!state": [{"!call": [{"!global": "numpy dtype"}, "%s", false, true]}, {"!tuple": [3, "%s", null, null, null, -1, -1, 0]}]}, %s]}',
                          module, code, byteorder, bytes))
FROM (VALUES ('core.multiarray', 'f8', '<', '{"!bytes": "000000000000f83f"}'), ('core.multiarray', 'f4', '<', '{"!bytes": "cdcccc3d"}'),
             ('core.multiarray', 'f2', '<', '{"!bytes": "003e"}'), ('_core.multiarray', 'i8', '<', '{"!bytes": "ffffffffffffff7f"}'),
             ('core.multiarray', 'i4', '<', '{"!bytes": "feffffff"}'), ('core.multiarray', 'i2', '<', '{"!bytes": "feff"}'),
             ('core.multiarray', 'i1', '|', '{"!bytes": "fe"}'), ('core.multiarray', 'u8', '<', '{"!bytes": "ffffffffffffffff"}'),
             ('core.multiarray', 'u4', '<', '{"!bytes": "ffffffff"}'), ('core.multiarray', 'u2', '<', '{"!bytes": "ffff"}'),
             ('core.multiarray', 'u1', '|', '{"!bytes": "ff"}'), ('core.multiarray', 'b1', '|', '{"!bytes": "01"}'),
             ('core.multiarray', 'b1', '|', '{"!bytes": "00"}'), ('core.multiarray', 'f8', '<', '{"!bytes": "000000000000f07f"}'),
             ('core.multiarray', 'f4', '<', '{"!call": [{"!global": "_codecs encode"}, "Í\u00cc\u00cc=", "latin1"]}'),
             ('core.multiarray', 'f8', '>', '{"!bytes": "3ff8000000000000"}'), ('core.multiarray', 'f8', '<', '{"!bytes": "3ff8"}'),
             ('core.multiarray', 'c8', '<', '{"!bytes": "0000803f00000000"}'), ('core.multiarray', 'O8', '|', '1')) v (module, code, byteorder, bytes);
-- Tensors elsewhere in the checkpoint.
SELECT v, model_metadata(model_read(archive(format('{"model": {"w": {"!tensor": {}}}, "x": %s}', v)::json), check_crc => false)) #> '{pytorch,entries,x}' AS entry
FROM unnest(ARRAY['{"!tensor": {}}', '[{"!tensor": {"shape": {"!tuple": [2, 2]}, "strides": {"!tuple": [2, 1]}}}]',
                  '{"!tensor": {"class": "torch ComplexFloatStorage", "key": "1"}}',
                  '{"!tensor": {"class": "torch UntypedStorage", "key": "1", "function": "torch._utils _rebuild_tensor_v3", "more": [false, {}, {"!global": "torch float8_e5m2"}]}}',
                  '{"!tensor": {"function": "torch._utils _rebuild_tensor_v3", "more": [false, {}, {"!global": "torch float7"}]}}',
                  '{"!tensor": {"class": "torch UntypedStorage", "key": "1"}}',
                  '{"!tensor": {"shape": 4}}', '{"!tensor": {"storage": 4}}', '{"!call": [{"!global": "torch._utils _rebuild_tensor_v2"}, 1]}',
                  '{"!call": [{"!global": "torch._utils _rebuild_qtensor"}, 1]}', '{"!call": [{"!global": "torch._utils _rebuild_parameter"}, 1]}',
                  '{"!call": [{"!global": "torch FloatTensor"}]}', '{"!put": [1, [1, {"!get": 1}]]}', '{"!put": [1, {"a": {"!get": 1}}]}']) v;
-- What is too large is left out, and the rest stays.
SELECT model_metadata(model_read(saved(format('{"w": {"!tensor": {}}, "a": 1, "text": "%s", "texts": ["%s", "%s"], "quoted": %s, "numbers": [1e300%s], "b": [2]}',
                                              repeat('x', 4194305), repeat('x', 3000000), repeat('y', 3000000),
                                              format('{"!appends": [{"!new": [{"!global": "m Größe\"\\"}]}, "%s", "%s"]}',
                                                     repeat('x', 3000000), repeat('y', 3000000)), repeat(', 1e300', 12000))::json))) #> '{pytorch,entries}' AS entries;
SELECT model_metadata(model_read(saved(format('[{"!tensor": {}}, "%s", "%s"]', repeat('x', 3000000), repeat('y', 3000000))::json))) AS metadata;
-- Versions of modules, if they are a state_dict's.
SELECT model_metadata(model_read(saved(format('{"!state": [{"w": {"!tensor": {}}}, %s]}', v)::json)))
FROM unnest(ARRAY['{"_metadata": {"": {"version": 1}}}', '{"_metadata": {}}', '{"other": 1}', '[1]',
                  '{"_metadata": {"": {"version": {"!tensor": {}}}}}', format('{"_metadata": ["%s", "%s"]}', repeat('x', 3000000), repeat('y', 3000000))]) v;

-- ---------- what is refused ----------
-- Archives of torch that are no checkpoints, by the record that gives them away.
SELECT try(zip(ARRAY[record], ARRAY['x'::bytea]))
FROM unnest('{a/constants.pkl,model.json,a/archive_format,serialized_exported_program.json,MAR-INF/MANIFEST.json,a/data.txt,data.pkl/x}'::text[]) record;
-- Records that are missing or say what they must not.
SELECT try(zip(names, ARRAY[pickle('{"w": {"!tensor": {}}}'), contents]))
FROM (VALUES ('{a/data.pkl,a/data/0}'::text[], '\x00'::bytea), ('{a/data.pkl,a/version}', ''), ('{a/data.pkl,a/version}', 'three'),
             ('{a/data.pkl,a/version}', '-3'), ('{a/data.pkl,a/version}', '0'), ('{a/data.pkl,a/version}', '11'),
             ('{a/data.pkl,a/.data/version}', '999999999'), ('{a/data.pkl,a/version}', '9999999999'), ('{a/data.pkl,a/version}', '3\0123'),
             ('{a/data.pkl,a/version}', repeat('0', 65)::bytea), ('{a/data.pkl,a/version}', '3\000'), ('{a/data.pkl,b/version}', '3'),
             ('{a/data.pkl,a/version}', '3\012')) v (names, contents);
SELECT try(archive('{"w": {"!tensor": {}}}', '{a/byteorder}', ARRAY[contents])) FROM unnest('{"",Little,middle}'::bytea[]) contents;
SELECT try(zip('{a/data.pkl,a/version}', ARRAY[pickle('{}') || '.', '3']));
-- What grows out of proportion, before it does.
SELECT try(zip('{a/data.pkl,a/version}', ARRAY[decode(repeat('00', 20000), 'hex'), '3'], '{20000000}'));
SELECT try(zip('{a/data.pkl,a/data/0,a/version}',
               ARRAY[pickle('{"w": {"!tensor": {"count": 5000000, "shape": {"!tuple": [1]}}}}'), decode(repeat('00', 20000), 'hex'), '3'], '{NULL,20000000}'));
SELECT try(saved('{"w": {"!tensor": {"shape": {"!tuple": [5000000]}, "strides": {"!tuple": [0]}}}}'));
SELECT try(saved(format('[%s]', string_agg(format('{"!tensor": {"shape": {"!tuple": [%s]}, "strides": {"!tuple": [0]}}}', i), ', '))::json))
FROM generate_series(1000000, 1000005) i;

-- The legacy layout.
SELECT try(stream)
FROM (SELECT '\x80028a0a6cfc9c46f9206aa850192e'::bytea AS magic, '\x80024de9032e'::bytea AS protocol, pickle('{}') AS system,
             pickle('{"w": {"!tensor": {}}}') AS object, pickle('["0"]') AS keys,
             '\x0400000000000000'::bytea AS count, '\x0000803f000000400000404000008040'::bytea AS elements) f,
     unnest(ARRAY[magic || protocol || system || object || keys || count || elements,
                  magic || '\x80024de8032e' || system, magic || pickle('"1001"') || system,
                  magic || protocol || pickle('[]'),
                  magic || protocol || system || object || pickle('"0"') || count || elements,
                  magic || protocol || system || object || pickle('[0]') || count || elements,
                  magic || protocol || system || object || pickle('["1"]') || count || elements,
                  magic || protocol || system || object || pickle('["0", "0"]') || count || elements || count || elements,
                  magic || protocol || system || object || pickle('[]'),
                  magic || protocol || system || object || keys,
                  magic || protocol || system || object || keys || '\x04000000000000',
                  magic || protocol || system || object || keys || '\x0500000000000000' || elements,
                  magic || protocol || system || object || keys || count || substr(elements, 1, 15),
                  magic || protocol || system || object || keys || count || elements || '\x00',
                  '\x800495' || le(13, 8) || substr(magic, 3) || protocol || system || object || keys || count || elements]) stream;

-- Storages.
SELECT try(archive(v))
FROM unnest(ARRAY['{"w": {"!tensor": {"key": "x"}}}', '{"w": {"!tensor": {"key": ""}}}', '{"w": {"!tensor": {"key": "000000000000000000000"}}}',
                  '{"w": {"!tensor": {"key": "1"}}}', '{"w": {"!tensor": {"count": 3, "shape": {"!tuple": [3]}}}}',
                  '{"w": {"!tensor": {"class": "torch DoubleStorage"}}}', '{"w": {"!tensor": {"count": -1}}}',
                  '{"w": {"!tensor": {"count": 9223372036854775807}}}', '{"w": {"!tensor": {"class": "torch FloatStore"}}}',
                  '{"w": {"!tensor": {"class": "torch float32"}}}', '{"w": {"!tensor": {"key": 0}}}', '{"w": {"!tensor": {"place": null}}}',
                  '{"w": {"!tensor": {"count": 4.0}}}', '{"x": {"!id": ["storage", "0"]}}', '{"x": {"!id": ["storage", {"!global": "torch FloatStorage"}, "0", "cpu", 4, null, 1]}}',
                  '{"x": {"!id": ["stored", {"!global": "torch FloatStorage"}, "0", "cpu", 4]}}', '{"x": {"!id": ["storage", "torch.FloatStorage", "0", "cpu", 4]}}',
                  '{"x": {"!id": ["module", "net.Net", "", ""]}}', '{"x": {"!id": []}}',
                  '{"v": {"!tensor": {}}, "w": {"!tensor": {"count": 3}}}', '{"v": {"!tensor": {}}, "w": {"!tensor": {"class": "torch IntStorage"}}}',
                  '{"w": {"!tensor": {"place": "meta"}}}', '{"v": {"!tensor": {}}, "w": {"!tensor": {"place": "meta"}}}',
                  '{"w": {"!tensor": {"storage": {"!id": ["module", {"!global": "m C"}, "", ""]}}}}', '{"w": {"!tensor": {"storage": 4}}}']::json[]) v;
-- Bools are 0 or 1.
SELECT try(legacy(pickle('{"w": {"!tensor": {"class": "torch BoolStorage"}}}'), '["0"]', '\x0400000000000000' || bytes))
FROM unnest('{"\\x00010001","\\x00010002","\\xff000000"}'::bytea[]) bytes;

-- Views.
SELECT try(saved(v))
FROM unnest(ARRAY['{"w": {"!tensor": {"offset": 1}}}', '{"w": {"!tensor": {"shape": {"!tuple": [5]}}}}', '{"w": {"!tensor": {"strides": {"!tuple": [2]}}}}',
                  '{"w": {"!tensor": {"shape": {"!tuple": [3, 3]}, "strides": {"!tuple": [1, 1]}}}}',
                  '{"w": {"!tensor": {"shape": {"!tuple": [3]}, "strides": {"!tuple": [9223372036854775807]}}}}',
                  '{"w": {"!tensor": {"shape": {"!tuple": [2, 2]}, "strides": {"!tuple": [9223372036854775807, 1]}}}}',
                  '{"w": {"!tensor": {"offset": 9223372036854775807, "shape": {"!tuple": []}, "strides": {"!tuple": []}}}}',
                  '{"w": {"!tensor": {"offset": -1}}}', '{"w": {"!tensor": {"offset": "0"}}}', '{"w": {"!tensor": {"offset": 0.0}}}',
                  '{"w": {"!tensor": {"shape": [4]}}}', '{"w": {"!tensor": {"shape": {"!tuple": [-4]}}}}', '{"w": {"!tensor": {"shape": {"!tuple": ["4"]}}}}',
                  '{"w": {"!tensor": {"strides": [1]}}}', '{"w": {"!tensor": {"strides": {"!tuple": [-1]}}}}', '{"w": {"!tensor": {"strides": {"!tuple": []}}}}',
                  '{"w": {"!tensor": {"strides": {"!tuple": [1, 1]}}}}',
                  '{"w": {"!tensor": {"shape": {"!tuple": [4611686018427387904]}, "strides": {"!tuple": [0]}}}}',
                  '{"w": {"!tensor": {"shape": {"!tuple": [0, 4294967296, 4294967296]}, "strides": {"!tuple": [0, 0, 0]}}}}',
                  '{"w": {"!tensor": {"view": 4}}}', '{"w": {"!tensor": {"view": {"!tuple": ["v", 0]}}}}', '{"w": {"!tensor": {"view": {"!tuple": ["v", "0", 4]}}}}',
                  '{"w": {"!tensor": {"view": {"!tuple": ["v", 0, 4.0]}}}}', '{"w": {"!tensor": {"view": {"!tuple": ["v", -1, 4]}}}}',
                  '{"w": {"!tensor": {"view": {"!tuple": ["v", 0, -1]}}}}', '{"w": {"!tensor": {"view": {"!tuple": ["v", 5, 0]}}}}',
                  '{"w": {"!tensor": {"view": {"!tuple": ["v", 1, 4]}}}}', '{"w": {"!tensor": {"view": {"!tuple": ["v", 1, 3]}}}}',
                  '{"w": {"!tensor": {"more": []}}}', '{"w": {"!tensor": {"more": [false, {}, {}, 1]}}}',
                  '{"w": {"!tensor": {"function": "torch._utils _rebuild_tensor"}}}', '{"w": {"!tensor": {"function": "torch._utils _rebuild_tensor_v3"}}}',
                  '{"w": {"!call": [{"!global": "torch._utils _rebuild_parameter"}]}}', '{"w": {"!call": [{"!global": "torch._utils _rebuild_parameter"}, 1]}}',
                  '{"w": {"!call": [{"!global": "torch._tensor _rebuild_from_type_v2"}, {"!global": "torch._utils _rebuild_tensor_v2"}, {"!global": "m T"}]}}',
                  '{"w": {"!call": [{"!global": "torch._tensor _rebuild_from_type_v2"}, {"!global": "m f"}, {"!global": "m T"}, {"!tuple": []}, {}]}}',
                  '{"w": {"!call": [{"!global": "torch._tensor _rebuild_from_type_v2"}, {"!global": "torch._utils _rebuild_tensor_v2"}, {"!global": "m T"}, 1, {}]}}',
                  '{"w": {"!tensor": {"more": [false, {}, {"conj": true}]}}}', '{"w": {"!tensor": {"more": [false, {}, {"neg": false}]}}}']::json[]) v;
SELECT try(saved(format('{"w": {"!tensor": {"shape": {"!tuple": [4%s]}, "strides": {"!tuple": [1%s]}}}}', repeat(', 1', n - 1), repeat(', 1', n - 1))::json))
FROM unnest('{33,200}'::int[]) n;
SELECT array_length(shape, 1) AS dimensions, parameters
FROM tensors(model_read(saved(format('{"w": {"!tensor": {"shape": {"!tuple": [4%s]}, "strides": {"!tuple": [1%s]}}}}', repeat(', 1', 31), repeat(', 1', 31))::json)));
-- A Parameter of a Parameter of a Parameter ...
SELECT n, try(saved((repeat('{"!call": [{"!global": "torch._utils _rebuild_parameter"}, ', n) || '{"!tensor": {}}' || repeat(']}', n))::json)) FROM unnest('{7,8}'::int[]) n;

-- Kinds and dtypes of tensors that models do not have.
SELECT try(archive(format('{"w": {"!call": [{"!global": "%s"}, 1, 2, 3]}}', f)::json))
FROM unnest('{torch._utils _rebuild_qtensor,torch._utils _rebuild_sparse_tensor,torch._utils _rebuild_sparse_csr_tensor,torch._utils _rebuild_meta_tensor_no_storage,torch._utils _rebuild_nested_tensor,torch FloatTensor}'::text[]) f;
SELECT try(archive(format('{"w": {"!tensor": {"class": "torch %s"}}}', class)::json))
FROM unnest('{ComplexFloatStorage,ComplexDoubleStorage,QInt8Storage,QUInt8Storage,QInt32Storage,QUInt4x2Storage,QUInt2x4Storage}'::text[]) class;
SELECT try(archive(format('{"w": {"!tensor": {"class": "torch UntypedStorage", "count": 16, "function": "torch._utils _rebuild_tensor_v3",
                                               "shape": {"!tuple": [%s]}, "offset": %s, "more": [false, {}, {"!global": "torch %s"}%s]}}}', n, start, dtype, more)::json))
FROM (VALUES ('float8_e4m3fnuz', 1, 0, ''), ('float8_e5m2fnuz', 1, 0, ''), ('float8_e8m0fnu', 1, 0, ''), ('float4_e2m1fn_x2', 1, 0, ''), ('complex32', 1, 0, ''),
             ('bits8', 1, 0, ''), ('float128', 1, 0, ''), ('Size', 1, 0, ''), ('float32', 5, 0, ''), ('float64', 1, 2, ''), ('float64', 1, 1, ', {"neg": true}'),
             ('float64', 1, 1, ', {}, 1'), ('float64', 1, 1, ', {}'), ('int8', 16, 0, '')) v (dtype, n, start, more);
SELECT try(zip('{a/data.pkl,a/data/0,a/version}',
               ARRAY[pickle('{"w": {"!tensor": {"class": "torch UntypedStorage", "count": 6, "function": "torch._utils _rebuild_tensor_v3",
                                                "shape": {"!tuple": [1]}, "more": [false, {}, {"!global": "torch float32"}]}}}'), '\x0000803f0000', '3']));

-- Containers: names, nesting, sharing.
SELECT try(saved(v))
FROM unnest(ARRAY['{"x": 1}', '{"!call": [{"!global": "collections OrderedDict"}, {}, {}]}', '[1, "x"]', '"x"', 'null', '{"!call": [{"!global": "torch Size"}]}', '{"!dict": [[{"!tuple": [1]}, {"!tensor": {}}]]}',
                  '{"a": {"!dict": [[null, {"b": {"!tensor": {}}}]]}}', '{"!dict": [[1.5, 2], ["w", {"!tensor": {}}]]}', '{"": {"!tensor": {}}}',
                  '{"!dict": [[{"!raw": "5801000000ff"}, {"!tensor": {}}]]}', '{"!dict": [[{"!raw": "580100000000"}, {"!tensor": {}}]]}',
                  '{"!put": [1, [{"!tensor": {}}, {"!get": 1}]]}', '{"!put": [1, {"a": {"b": {"!get": 1}}}]}']::json[]) v;
SELECT n, try(saved(format('{"%s": {"!tensor": {}}}', repeat('é', n))::json)) LIKE '%f32%' AS good FROM unnest('{512,513}'::int[]) n;
SELECT n, key, regexp_replace(try(saved(format('{"%s": %s}', repeat('n', n), v)::json)), 'n{9,}', '...')
FROM unnest('{1022,1023,1024,1025}'::int[]) n, (VALUES ('n...', '{"!tensor": {}}'), ('n....w', '{"w": {"!tensor": {}}}')) f (key, v) ORDER BY n, key;
SELECT n, replace(try(saved((repeat('[', n) || '{"!tensor": {}}' || repeat(']', n))::json)), '0.0.0.0', '...') FROM unnest('{64,65}'::int[]) n;
-- Thirty lists, each of which holds the one before it twice.
SELECT try(saved(format('[{"!tensor": {}}, %s]',
                        (SELECT string_agg(format('{"!put": [%s, [%s]]}', i, CASE i WHEN 1 THEN '1' ELSE format('{"!get": %s}, {"!get": %1$s}', i - 1) END), ', ' ORDER BY i)
                         FROM generate_series(1, 30) i))::json));
-- Too many tensors, and too many modules with long names.
SELECT try(legacy('\x80025d28'::bytea || opcodes('{"!put": [1, {"!tensor": {}}]}') || decode(repeat('6801', 100000), 'hex') || 'e.'));
SELECT try(legacy('\x80027d28'::bytea || opcodes(format('{"!put": [1, "%s"]}', repeat('n', 1000))::json) || 'N' ||
                  decode(repeat(encode('\x6801' || opcodes(module('net Net')::json), 'hex'), 17000), 'hex') || 'u.', '[]', ''),
           allow_modules => true);
-- A model in a checkpoint of everything: what is skipped is counted.
SET client_min_messages = notice;
SELECT try(saved('{"model": {"w": {"!tensor": {}}}, "x": [{"!tensor": {}}]}'));
SELECT try(saved(format('{"model": {"w": {"!tensor": {}}}, "x": ["%s", "%s", [{"!tensor": {}}, {"!tensor": {}}]]}', repeat('x', 3000000), repeat('y', 3000000))::json));
RESET client_min_messages;

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA pytorch_read CASCADE;
