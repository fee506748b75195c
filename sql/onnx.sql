-- Reading and writing ONNX models, and looking into their graphs.  Files of
-- test/data were made with torch and the onnx package, and are compared with
-- what the latter finds in them (sums_onnx.csv).  What attacks the reader is in
-- hostile_onnx, elements in other files are in the TAP tests.

CREATE SCHEMA onnx;
SET search_path = onnx, public;

-- ---------- files of the reference ----------

CREATE TABLE files (name text PRIMARY KEY, data bytea);
\set mlp `base64 < test/data/digits_mlp.onnx | tr -d '\n'`
\set cnn `base64 < test/data/digits_cnn.onnx | tr -d '\n'`
\set types `base64 < test/data/types.onnx | tr -d '\n'`
\set nested `base64 < test/data/graph_nested.onnx | tr -d '\n'`
\set attributes `base64 < test/data/graph_attributes.onnx | tr -d '\n'`
\set values `base64 < test/data/graph_values.onnx | tr -d '\n'`
\set functions `base64 < test/data/graph_functions.onnx | tr -d '\n'`
\set sparse `base64 < test/data/graph_sparse.onnx | tr -d '\n'`
\set external `base64 < test/data/external.onnx | tr -d '\n'`
\set mlp_pth `base64 < test/data/digits_mlp.pth | tr -d '\n'`
INSERT INTO files
SELECT name, decode(base64, 'base64')
FROM (VALUES ('digits_mlp.onnx', :'mlp'), ('digits_cnn.onnx', :'cnn'), ('types.onnx', :'types'), ('graph_nested.onnx', :'nested'),
             ('graph_attributes.onnx', :'attributes'), ('graph_values.onnx', :'values'), ('graph_functions.onnx', :'functions'),
             ('graph_sparse.onnx', :'sparse'), ('external.onnx', :'external'), ('digits_mlp.pth', :'mlp_pth')) v (name, base64);
CREATE TABLE models AS SELECT name, model_read(data) AS m FROM files WHERE name NOT IN ('external.onnx', 'digits_mlp.pth');

-- Names, order, dtypes, shapes and every bit are what the onnx package says:
-- the digest of a tensor is taken from the flat form, which the cast checks
-- whole.  Strings and complex numbers stay in the graph.
CREATE TABLE sums (id serial, file text, tensor text, dtype text, shape bigint[], finite_sum float8, not_finite int, sha256 text);
\copy sums (file, tensor, dtype, shape, finite_sum, not_finite, sha256) FROM 'test/data/sums_onnx.csv' WITH (FORMAT csv, HEADER, ENCODING 'UTF8')
CREATE FUNCTION u(bytes bytea, at int, size int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT sum(get_byte(bytes, at + i)::bigint << (8 * i)) FROM generate_series(0, size - 1) i $$;
CREATE FUNCTION digests(m model) RETURNS TABLE (tensor text, sha256 text) LANGUAGE plpgsql AS
$$
DECLARE
    flat bytea = bytea(model(bytea(m)));
    header int = 68 + 8 * (get_byte(flat, 5) & 1);  -- with the graph's size
    at int = header + 64 * u(flat, 12, 4);
    name_length int;
    dims_size int;
BEGIN
    FOR i IN 1 .. u(flat, 8, 4) LOOP
        name_length = u(flat, at + 4, 2);
        dims_size = 8 * get_byte(flat, at + 6);
        tensor = convert_from(substr(flat, at + 8 + dims_size + 1, name_length), 'UTF8');
        sha256 = encode(substr(flat, header + 64 * u(flat, at, 4)::int + 32 + 1, 32), 'hex');
        RETURN NEXT;
        at = at + 8 + (dims_size + name_length + 7) / 8 * 8;
    END LOOP;
END
$$;
SELECT s.file, string_agg(s.tensor, ',' ORDER BY s.id) = string_agg(t.name, ',' ORDER BY t.at) AS names,
       count(*) AS tensors, bool_and(s.dtype = t.dtype AND s.shape = t.shape) AS shapes, bool_and(s.sha256 = d.sha256) AS bits
FROM models, tensors(m) WITH ORDINALITY t (name, dtype, shape, parameters, bytes, encoding, tied_to, at), digests(m) d, sums s
WHERE models.name = s.file AND t.name = s.tensor AND d.tensor = s.tensor
GROUP BY s.file ORDER BY s.file;
SELECT file, count(*) AS tensors FROM sums GROUP BY file ORDER BY file;
SELECT name, count(t) AS tensors FROM models LEFT JOIN tensors(m) t (tensor) ON true GROUP BY name ORDER BY name;

-- The explicit name, and one that does not fit.
SELECT model_read(data, 'onnx') = m AS same FROM files JOIN models USING (name) ORDER BY name;
SELECT model_read(data, 'pytorch') FROM files WHERE name = 'digits_mlp.onnx';
SELECT model_read(data, 'onnx') FROM files WHERE name = 'digits_mlp.pth';
-- A file that is cut short is still known as what it is.
SELECT model_read(substr(data, 1, 2000)) FROM files WHERE name = 'digits_mlp.onnx';
SELECT model_read(data) FROM files WHERE name = 'external.onnx';

-- The same weights as in the checkpoint that the model was exported from.
SELECT count(*) AS tensors, bool_and(a.sha256 = b.sha256) AS bits
FROM models, files, digests(m) a, digests(model_read(data)) b
WHERE models.name = 'digits_mlp.onnx' AND files.name = 'digits_mlp.pth' AND a.tensor = b.tensor;

-- ---------- what a model says of itself ----------

SELECT name, model_metadata(m) FROM models ORDER BY name;
\x
SELECT name, num_parameters(m), model_info(m) ->> 'tensors' AS tensors FROM models WHERE name LIKE 'digits%' ORDER BY name;
\x
SELECT models.name, i.* FROM models, inputs(m) i ORDER BY models.name, i.name COLLATE "C";
SELECT models.name, o.* FROM models, outputs(m) o WHERE models.name <> 'types.onnx' ORDER BY models.name, o.name COLLATE "C";
SELECT count(*), count(DISTINCT dtype) FROM models, outputs(m) WHERE models.name = 'types.onnx';
SELECT position, n.name, op_type, inputs, outputs, attributes FROM models, nodes(m) n WHERE models.name LIKE 'digits%' ORDER BY models.name, position;
SELECT name, key, value FROM models, nodes(m) n (pos, node), jsonb_each(attributes) WHERE name LIKE 'graph%' ORDER BY models.name, pos, key COLLATE "C";
SELECT name, op_type, domain, count(*) FROM models, nodes(m) n (pos, node) WHERE name NOT LIKE 'digits%' GROUP BY name, op_type, domain ORDER BY name, op_type COLLATE "C";

-- A model without a graph has none of it.
SELECT (SELECT count(*) FROM inputs(m)) AS inputs, (SELECT count(*) FROM outputs(m)) AS outputs, (SELECT count(*) FROM nodes(m)) AS nodes
FROM (SELECT model_agg('w', '{1}')) v (m);
SELECT model_write(model_agg('w', '{1}'), 'onnx');
\echo :SQLSTATE
SELECT * FROM inputs(NULL), outputs(NULL), nodes(NULL);

-- ---------- storing ----------

SELECT name, m::text::model = m AS text, m::bytea::model = m AS bytes, model_digest(m) = model_digest(m::text::model) AS digest
FROM models ORDER BY name;
-- Two graphs over the same weights are two models.
SELECT a.m = b.m AS same, model_digest(a.m) = model_digest(b.m) AS digest
FROM models a, model_read(overlay((SELECT data FROM files WHERE name = 'digits_mlp.onnx') PLACING '\x09' FROM 2)) b (m)
WHERE name = 'digits_mlp.onnx';
CREATE TABLE stored (name text, m model);
ALTER TABLE stored ALTER m SET STORAGE EXTERNAL;
INSERT INTO stored SELECT * FROM models;
SELECT name, stored.m = models.m AS same, (SELECT count(*) FROM nodes(stored.m)) AS nodes, model_write(stored.m, 'onnx') = model_write(models.m, 'onnx') AS written
FROM stored JOIN models USING (name) ORDER BY name;

-- ---------- writing ----------

-- Byte for byte the same, where elements were raw_data.
SELECT name, model_write(m, 'onnx') = data AS same, model_read(model_write(m, 'onnx')) = m AS again FROM files JOIN models USING (name) ORDER BY name;
-- Other elements become raw_data, which is 2 bytes and the elements for each
-- tensor here; nothing else changes: what is read and written again is the same.
SELECT model_write(model_read(model_write(m, 'onnx')), 'onnx') = model_write(m, 'onnx') AS same FROM models WHERE name = 'types.onnx';
-- Metadata is for people to see: the graph has it too, and is what counts.
SELECT model_write(model_set_metadata(m, '{"onnx": {"ir_version": 99}}'), 'onnx') = data AS same
FROM files JOIN models USING (name) WHERE name = 'digits_cnn.onnx';

-- Changed values: a file of the same size that differs where the tensor is.
CREATE FUNCTION changed(a bytea, b bytea) RETURNS TABLE (size bool, first int, last int) LANGUAGE sql AS
$$ SELECT length(a) = length(b), min(i), max(i) FROM generate_series(0, length(a) - 1) i WHERE get_byte(a, i) <> get_byte(b, i) $$;
SELECT c.size, c.last - c.first < 16 * 4 AS in_the_tensor, tensor(model_read(w), 'layer2.bias') = array_fill(0.5::real, '{16}') AS value
FROM models JOIN files USING (name), model_write(model_set(m, 'layer2.bias', array_fill(0.5::real, '{16}')), 'onnx') w, changed(data, w) c
WHERE name = 'digits_mlp.onnx';
-- Pruned: smaller here, whole there, and the graph is what it was.
SELECT p.m::bytea <> models.m::bytea AS differs, sum(t.bytes) FILTER (WHERE t.encoding = 'sparse') > 0 AS sparse,
       length(model_write(p.m, 'onnx')) = length(data) AS size, sparsity(again.m) = sparsity(p.m) AS zeros,
       bool_and(tensor(again.m, t.name) = tensor(p.m, t.name)) AS equal,
       (SELECT array_agg(n) FROM nodes(again.m) n) = (SELECT array_agg(n) FROM nodes(models.m) n) AS graph
FROM models JOIN files USING (name), prune(models.m, 0.9) p (m), model_read(model_write(p.m, 'onnx')) again (m), tensors(p.m) t
WHERE models.name = 'digits_mlp.onnx' GROUP BY p.m, models.m, data, again.m;
SELECT model_write(decompress(prune(m, 0.5)), 'onnx') = model_write(prune(m, 0.5), 'onnx') AS same FROM models WHERE name = 'digits_cnn.onnx';
-- Other formats take the tensors without the graph.
SELECT count(*) AS tensors, bool_and(a.sha256 = b.sha256) AS bits, (SELECT count(*) FROM nodes(again)) AS nodes
FROM models, model_read(model_write(m, 'pytorch')) again, digests(m) a, digests(again) b
WHERE name = 'digits_mlp.onnx' AND a.tensor = b.tensor GROUP BY again;

-- ---------- a stored graph may be anybody's ----------

-- A field of bytes in the wire form, of fewer than 128.
CREATE FUNCTION field(number int, content bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT set_byte('\x00', 0, number << 3 | 2) || set_byte('\x00', 0, length(content)) || content $$;
CREATE FUNCTION graph(content bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT '\x08084202100f' || field(7, content) $$;
-- An initializer of f32, as it stays in the graph.
CREATE FUNCTION initializer(name text, dims bytea, more bytea DEFAULT '\x4a00') RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(5, field(1, dims) || '\x1001' || field(8, name::bytea) || more) $$;
-- A flat form with a tensor w of two f32, 1 and 2, and a graph.
CREATE FUNCTION little(n bigint, bytes int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(string_agg(set_byte('\x00', 0, (n >> (8 * i))::int & 255), '' ORDER BY i), '') FROM generate_series(0, bytes - 1) i $$;
CREATE FUNCTION stored(graph bytea) RETURNS model LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    elements bytea = '\x0000803f00000040';
    padding bytea = little(0, 63 - (80 + 88 + 4 + length(graph) + 63) % 64);
BEGIN
    RETURN ('mdlo'::bytea || '\x01010000' || little(1, 4) || little(1, 4) || little(88, 4) || little(2, 4) || little(2, 4) ||
        little(172 + length(graph) + length(padding) + 8, 8) ||
        sha256('\x01000000'::bytea || 'w'::bytea || '\x0201' || little(2, 8) || sha256(elements) ||
               '\x02000000'::bytea || '{}'::bytea || little(length(graph), 8) || graph) ||
        little(length(graph), 8) || little(8, 8) || little(2, 8) || '\x0200' || little(0, 14) || sha256(elements) ||
        little(0, 4) || '\x01000100' || little(2, 8) || 'w'::bytea || little(0, 7) ||
        '{}'::bytea || '[]'::bytea || graph || padding || elements)::model;
END
$$;
-- As it should be; without a place for the elements one is found.
SELECT model_write(stored(graph(initializer('w', '\x02'))), 'onnx');
SELECT model_write(stored(graph(initializer('w', '\x02', ''))), 'onnx');
SELECT model_write(stored(graph(initializer('w', '\x02', '\x6200'))), 'onnx');
SELECT model_read(model_write(stored(graph(initializer('w', '\x02'))), 'onnx')) = model_set_metadata(stored(graph(initializer('w', '\x02'))),
    '{"onnx": {"ir_version": 8, "opset_import": {"ai.onnx": 15}}}') AS same;
-- Tensors that do not fit.
SELECT model_write(stored(graph(initializer('v', '\x02'))), 'onnx');
\echo :SQLSTATE
SELECT model_write(stored(graph(initializer('w', '\x03'))), 'onnx');
SELECT model_write(stored(graph(initializer('w', '\x0201'))), 'onnx');
SELECT model_write(stored(graph(initializer('w', '\x02') || initializer('v', '\x02'))), 'onnx');
SELECT model_write(stored(graph('')), 'onnx');
SELECT model_write(stored(graph(field(5, '\x08021010' || field(8, 'w')))), 'onnx');
-- No graph, and others that no reader would have made.
SELECT model_write(stored('\x'), 'onnx');
SELECT * FROM nodes(stored('\x0808'));
SELECT * FROM inputs(stored('\x08084202100f3aff'));
SELECT * FROM outputs(stored(graph(initializer('w', '\x02', field(9, '\x0000803f00000040')))));
SELECT model_write(stored(graph(initializer('w', '\x02', field(13, field(1, 'location') || field(2, 'PG_VERSION')) || '\x7001'))), 'onnx');
SELECT * FROM nodes(stored(graph(initializer('w', '\x02') || field(1, field(4, 'Add') || field(1, 'w') || field(1, 'x')))));
SELECT position, op_type, inputs, outputs FROM nodes(stored(graph(initializer('w', '\x02') || field(1, field(4, 'Add') || field(1, 'w') || field(1, 'w')))));

-- Zeros are small here, but files have them all: one tensor makes a file that
-- no bytea can hold, two make one that no reader of the format takes.
CREATE FUNCTION zeros(n int) RETURNS model LANGUAGE plpgsql IMMUTABLE AS
$$
DECLARE
    digest bytea = '\x49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14';   -- of 2^30 bytes
    names bytea[] = (SELECT array_agg(set_byte('\x00', 0, 64 + i)) FROM generate_series(1, n) i);
    graph bytea = graph((SELECT string_agg(field(5, '\x0880808040100b' || field(8, t) || '\x4a00'), '') FROM unnest(names) t));
    size int = 80 + 64 + 24 * n + 4 + length(graph);
    padding bytea = little(0, 63 - (size + 63) % 64);
BEGIN
    RETURN ('mdlo'::bytea || '\x01010000' || little(n, 4) || little(1, 4) || little(64 + 24 * n, 4) || little(2, 4) || little(2, 4) ||
        little(size + length(padding) + 16777216, 8) ||
        sha256((SELECT string_agg('\x01000000'::bytea || t || '\x0101' || little(134217728, 8) || digest, '') FROM unnest(names) t) ||
               '\x02000000'::bytea || '{}'::bytea || little(length(graph), 8) || graph) ||
        little(length(graph), 8) || little(16777216, 8) || little(134217728, 8) || '\x0101' || little(0, 14) || digest ||
        (SELECT string_agg(little(0, 4) || '\x01000100' || little(134217728, 8) || t || little(0, 7), '') FROM unnest(names) t) ||
        '{}'::bytea || '[]'::bytea || graph || padding || decode(repeat('00', 16777216), 'hex'))::model;
END
$$;
SELECT model_write(zeros(1), 'onnx');
\echo :SQLSTATE
SELECT model_write(zeros(2), 'onnx');
\echo :SQLSTATE

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA onnx CASCADE;
RESET client_min_messages;
