-- Graphs, names and metadata that nobody's exporter writes: what they say is
-- understood or left alone, and they get no more memory than they have a right
-- to (test/t/115_graph_memory.pl measures it).

CREATE SCHEMA graph_crafted;
SET search_path = graph_crafted, public;
\set SHOW_CONTEXT never

-- Messages of ONNX: a field with bytes, and the parts of a model.
CREATE FUNCTION varint(n int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT string_agg(set_byte('\x00', 0, (n >> 7 * i & 127) | CASE WHEN n >> 7 * (i + 1) > 0 THEN 128 ELSE 0 END), '' ORDER BY i)
   FROM generate_series(0, 3) i WHERE i = 0 OR n >> 7 * i > 0 $$;
CREATE FUNCTION field(number int, content bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT varint(number << 3 | 2) || varint(length(content)) || content $$;
CREATE FUNCTION field(number int, content text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(number, convert_to(content, 'UTF8')) $$;
CREATE FUNCTION node(op text, inputs text, outputs text, attributes bytea DEFAULT '') RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(1, (SELECT string_agg(field(1, x), '' ORDER BY at) FROM regexp_split_to_table(inputs, ' ') WITH ORDINALITY u (x, at) WHERE inputs <> '')
       || (SELECT string_agg(field(2, x), '' ORDER BY at) FROM regexp_split_to_table(outputs, ' ') WITH ORDINALITY u (x, at)) || field(4, op) || attributes) $$;
CREATE FUNCTION node_of_none(op text, outputs text, attributes bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(1, field(2, outputs) || field(4, op) || attributes) $$;
-- An attribute that is an integer, or integers of at most 127.
CREATE FUNCTION attribute(name text, value int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(5, field(1, name) || '\x18' || varint(value) || '\xa00102') $$;
CREATE FUNCTION attribute(name text, value int[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(5, field(1, name) || field(8, (SELECT string_agg(varint(v), '' ORDER BY at) FROM unnest(value) WITH ORDINALITY u (v, at))) || '\xa00107') $$;
CREATE FUNCTION constant(name text, value int[]) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT node_of_none('Constant', name, attribute('value_ints', value)) $$;
-- A value of floats; sizes are numbers or names.
CREATE FUNCTION value(number int, name text, dims text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(number, field(1, name) || field(2, field(1, '\x0801'::bytea || field(2, (
       SELECT string_agg(field(1, CASE WHEN d ~ '^\d' THEN '\x08'::bytea || varint(d::int) ELSE field(2, d) END), '' ORDER BY at)
       FROM regexp_split_to_table(dims, ' ') WITH ORDINALITY u (d, at)))))) $$;
CREATE FUNCTION weight(name text, rows int, columns int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(5, '\x08'::bytea || varint(rows) || '\x08' || varint(columns) || '\x1001' || field(8, name) ||
       field(9, decode(repeat('0000803f', rows * columns), 'hex'))) $$;
CREATE FUNCTION onnx(graph bytea) RETURNS model LANGUAGE sql IMMUTABLE AS
$$ SELECT model_read('\x0808' || field(7, graph || field(2, 'g')) || field(8, '\x1012'::bytea), 'onnx') $$;

-- ---------- integers ----------

-- 7 / 2 * 2, computed by floats: 7 elements are reshaped to 7, not to 6.
SELECT d.layer, d.nodes, d.stays_because FROM cut_dead_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || constant('seven', '{7}') || constant('two', '{2}') ||
    node('Cast', 'seven', 'seven_float', attribute('to', 1)) || node('Cast', 'two', 'two_float', attribute('to', 1)) ||
    node('Div', 'seven_float two_float', 'half') || node('Mul', 'half two_float', 'whole') ||
    node('Cast', 'whole', 'shape', attribute('to', 7)) || node('Reshape', 'h shape', 'y') ||
    weight('w', 3, 7) || value(11, 'x', '1 3') || value(12, 'y', '7'))) d;
-- The first row of [[1, 7], [7, 1]] is a shape of two dimensions.
SELECT d.layer, d.nodes, d.stays_because FROM cut_dead_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || constant('a', '{1, 7}') || constant('b', '{7, 1}') || constant('one', '{1}') ||
    node_of_none('Constant', 'first', attribute('value_int', 0)) ||
    node('Unsqueeze', 'a one', 'a2') || node('Unsqueeze', 'b one', 'b2') || node('Concat', 'a2 b2', 'rows', attribute('axis', 1)) ||
    node('Gather', 'rows first', 'shape') || node('Reshape', 'h shape', 'y') ||
    weight('w', 3, 7) || value(11, 'x', '1 3') || value(12, 'y', '1 7'))) d;

-- ---------- sizes that are not known ----------

-- Nodes must not go from what is expanded to a size that comes with the input,
CREATE TABLE expanded AS SELECT onnx(
    node('MatMul', 'x w', 'h') || node('Shape', 'z', 'shape') || node('Expand', 'h shape', 'e') || node('MatMul', 'e v', 'y') ||
    weight('w', 3, 4) || weight('v', 4, 2) || value(11, 'x', '1 3') || value(11, 'z', 'a b') || value(12, 'y', 'a 2')) AS m;
SELECT d.layer, d.nodes, d.stays_because FROM expanded, cut_dead_nodes_dry_run(m) d;
-- nor from what is added to something that is in part as long as the input,
SELECT d.layer, d.nodes, d.stays_because FROM cut_dead_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || node('Concat', 'h z', 'c', attribute('axis', 1)) || node('MatMul', 'x u', 'e') ||
    node('Add', 'c e', 'sum') || node('MatMul', 'sum v', 'y') ||
    weight('w', 3, 4) || weight('u', 3, 6) || weight('v', 6, 2) ||
    value(11, 'x', '1 3') || value(11, 'z', '1 k') || value(13, 'c', '1 6') || value(12, 'y', '1 2'))) d;
-- nor from what is flattened to a size that has a name, whatever its number.
SELECT d.layer, d.nodes, d.stays_because FROM cut_dead_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || node('Transpose', 'h', 't', attribute('perm', '{1, 0}'::int[])) ||
    node('Shape', 'z', 'shape', attribute('start', 8) || attribute('end', 9)) || node('Reshape', 't shape', 'y') ||
    weight('w', 3, 5) || value(11, 'z', 'a b c d e f g h i') || value(11, 'x', 'n 3') || value(12, 'y', 'm'))) d;

-- ---------- branches of which only some can lose nodes ----------

-- Whichever comes first: what is put together, multiplied in stacks, or looked
-- at by a window before somebody adds it.
CREATE FUNCTION zeros(name text, type int, dims int[], bytes int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT field(5, coalesce((SELECT string_agg('\x08' || varint(d), ''::bytea ORDER BY at) FROM unnest(dims) WITH ORDINALITY u (d, at)), '') ||
       '\x10' || varint(type) || field(8, name) || field(9, decode(repeat('00', bytes), 'hex'))) $$;
SELECT inputs, d.layer, d.stays_because FROM unnest('{b h,h b}'::text[]) inputs, cut_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || node('Concat', inputs, 'c', attribute('axis', 1)) || node('MatMul', 'c v', 'y') ||
    weight('w', 3, 4) || weight('v', 4, 2) || value(11, 'x', '1 2 3') || value(11, 'b', '1 2 4') || value(12, 'y', '1 4 2')), 0) d;
SELECT inputs, d.layer, d.stays_because FROM unnest('{b t,t b}'::text[]) inputs, cut_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || node('Transpose', 'h', 't', attribute('perm', '{2, 0, 1}'::int[])) || node('MatMul', inputs, 'p') ||
    node('ReduceSum', 'p', 'y', attribute('axes', '{0}'::int[])) ||
    weight('w', 3, 4) || value(11, 'x', '2 2 3') || value(11, 'b', '4 2 2') || value(12, 'y', '1 2 2')), 0) d;
SELECT d.layer, d.stays_because FROM cut_nodes_dry_run(onnx(
    node('MaxPool', 'c', 'p', attribute('kernel_shape', '{2, 2}'::int[])) || node('MatMul', 'x w', 'h') || node('Add', 'h c', 's') ||
    node('ReduceSum', 's', 'y', attribute('axes', '{3}'::int[])) || weight('w', 3, 4) || zeros('c', 1, '{1, 1, 2, 4}', 32) ||
    value(11, 'x', '1 1 2 3') || value(12, 'y', '1 1 2 1') || value(12, 'p', '1 1 1 3')), 0) d;

-- A window slides over places in their order: here over two nodes of w.
SELECT d.layer, d.nodes, d.stays_because FROM cut_nodes_dry_run(onnx(
    node('MatMul', 'w x', 'h') || node('Transpose', 'h', 't', attribute('perm', '{0, 2, 1}'::int[])) || node('Conv', 't k', 'c', attribute('pads', '{1, 1}'::int[])) ||
    node('ReduceSum', 'c', 'y', attribute('axes', '{1}'::int[])) || weight('w', 2, 3) || zeros('k', 1, '{1, 1, 3}', 12) ||
    value(11, 'x', '1 3 1') || value(12, 'y', '1 1 2')), 0) d;

-- The first node is all that a slice takes, and stays, though it would go first.
CREATE TABLE sliced AS SELECT onnx(constant('zero', '{0}') || constant('one', '{1}') || constant('four', '{4}') ||
    node('MatMul', 'x w', 'h') || node('Slice', 'h zero one one', 'a') || node('Slice', 'h one four one', 'b') ||
    node('MatMul', 'a u', 'au') || node('MatMul', 'b v', 'bv') || node('Add', 'au bv', 'y') ||
    weight('w', 3, 4) || weight('u', 1, 2) || weight('v', 3, 2) || value(11, 'x', '1 3') || value(12, 'y', '1 2')) AS m;
SELECT amount, d.layer, d.indexes FROM sliced, unnest('{0.25,0.5,0.75}'::float8[]) amount, cut_nodes_dry_run(m, amount) d WHERE d.layer = 'w';
SELECT t.name, t.shape FROM sliced, tensors(cut_nodes(m, 0.75)) t;
SELECT cut_nodes_count(m, 1) FROM sliced;

-- ---------- what is dead ----------

-- No output takes nodes of h by themselves, but they count: in how many there
-- are, and in the statistics of a picture.
CREATE FUNCTION dead(nodes bytea) RETURNS TABLE (layer text, cut int) LANGUAGE sql AS
$$ SELECT d.layer, d.cut FROM cut_dead_nodes_dry_run(onnx(node('MatMul', 'x w', 'h') || nodes || weight('w', 3, 4) || zeros('v', 1, '{4, 2}', 32) ||
       zeros('ones', 1, '{1}', 4) || value(11, 'x', '1 3') || value(12, 'y', '1 2'))) d $$;
SELECT how, d.* FROM (VALUES (0, 'nothing', node('Identity', 'h', 'i') || node('MatMul', 'i v', 'y')),
    (1, 'Shape', node('MatMul', 'h v', 'p') || node('Shape', 'h', 's') || node('Cast', 's', 'f', attribute('to', 1)) || node('Mul', 'p f', 'y')),
    (2, 'Size', node('MatMul', 'h v', 'p') || node('Size', 'h', 's') || node('Cast', 's', 'f', attribute('to', 1)) || node('Mul', 'p f', 'y')),
    (3, 'InstanceNormalization', constant('one', '{1}') || node('Unsqueeze', 'h one', 'h3') || node('InstanceNormalization', 'h3 ones ones', 'n') ||
        node('Squeeze', 'n one', 'n2') || node('MatMul', 'n2 v', 'y'))) x (at, how, nodes), dead(nodes) d WHERE d.layer <> 'v' ORDER BY at;

-- The first feature of h is always 0, but that of b, which lies beside it, is
-- not: neither is the node of v that takes nothing else.
SELECT d.layer, d.nodes, d.indexes FROM cut_dead_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || node('Concat', 'h b', 'c', attribute('axis', 1)) || node('MatMul', 'c v', 'z') || node('MatMul', 'z u', 'y') ||
    field(5, '\x080308021001' || field(8, 'w') || field(9, decode(repeat('000000000000803f', 3), 'hex'))) ||
    field(5, '\x080208021001' || field(8, 'v') || field(9, '\x0000803f00000000000000000000803f'::bytea)) ||
    weight('u', 2, 2) || value(11, 'x', '1 2 3') || value(11, 'b', '1 2 2') || value(12, 'y', '1 4 2'))) d;
-- Codes of 0 are -128, and none of these weights is 0; without zero points they
-- all are, and only the node that a layer keeps at least is left.
CREATE TABLE coded AS SELECT zero_point, onnx(
    node('DequantizeLinear', 'codes scale' || CASE WHEN zero_point > 0 THEN ' zero' ELSE '' END, 'w') || node('MatMul', 'x w', 'h') || node('MatMul', 'h v', 'y') ||
    zeros('codes', 2, '{3, 4}', 12) || field(5, '\x1001' || field(8, 'scale') || field(9, '\x0000803f'::bytea)) ||
    field(5, '\x1002' || field(8, 'zero') || field(9, set_byte('\x00', 0, zero_point))) || weight('v', 4, 2) ||
    value(11, 'x', '1 3') || value(12, 'y', '1 2')) AS m FROM unnest('{0,128}'::int[]) zero_point;
SELECT zero_point, d.layer, d.nodes, d.cut FROM coded, cut_dead_nodes_dry_run(m) d ORDER BY 1, 2;
-- Nor can nodes be ranked by codes, whose scales may differ.
SELECT cut_nodes(m, 0.5) FROM coded WHERE zero_point = 0;
SELECT method, d.layer, d.cut, d.stays_because FROM coded, unnest('{l2,bn_scale}'::text[]) method, cut_nodes_dry_run(m, method => method, count => 2) d WHERE zero_point = 0;
SELECT t.name, t.shape FROM coded, tensors(cut_nodes(m, 0.5, method => 'random')) t WHERE zero_point = 0;

-- ---------- limits ----------

-- More axes than any value has.
SELECT d.layer, d.stays_because FROM cut_nodes_dry_run(onnx(
    node('MatMul', 'x w', 'h') || node('ReduceMean', 'h', 'y', attribute('axes', array_fill(0, '{4097}'))) ||
    weight('w', 3, 4) || value(11, 'x', '1 3') || value(12, 'y', '1 1')), 0) d;
-- As many groups as a number can say: of a weight without elements, none of
-- which would have to be looked at as often as there are groups.
SELECT cut_nodes(onnx(node('Conv', 'x w', 'y', field(5, field(1, 'group') || '\x18ffffffff07' || '\xa00102')) || zeros('w', 1, '{0, 1000, 1}', 0) ||
    value(11, 'x', 'n c l') || value(12, 'y', 'n c l')), 0.5);
SELECT d.layer, d.nodes, d.stays_because FROM cut_nodes_dry_run(onnx(
    node('Conv', 'x w', 'y', attribute('group', 100000)) || zeros('w', 1, '{100000, 1000000, 0}', 0) ||
    value(11, 'x', 'n c l') || value(12, 'y', 'n c l')), 0) d;

-- So many Identities of 64 integers.
CREATE FUNCTION identities(n int) RETURNS model LANGUAGE sql AS
$$ SELECT onnx(constant('i10000', array_fill(1, '{64}')) ||
       (SELECT convert_to(string_agg(format(E'\n\x1a\n\x06i%s\x12\x06i%s"\x08Identity', 10000 + i - 1, 10000 + i), '' ORDER BY i), 'UTF8') FROM generate_series(1, n) i) ||
       node('MatMul', 'x w', 'y') || weight('w', 3, 4) || value(11, 'x', '1 3') || value(12, 'y', '1 4')) $$;
SELECT count(*) FROM cut_dead_nodes_dry_run(identities(1000));
SELECT count(*) FROM cut_dead_nodes_dry_run(identities(65536));

-- Seventeen weights over the same zeros, each in another shape.
\set tied `cat test/data/tied_shapes.model`
CREATE TABLE tied AS SELECT set_graph(:'tied'::model, 'input(1) l0:linear ' || string_agg(CASE i WHEN 1 THEN 's1:concat(input, input) ' ELSE
    format('s%s:concat(s%s, s%s) ', i, i - 1, i - 1) END || format('l%s:linear(from=s%s) ', i, i), '' ORDER BY i)) AS m FROM generate_series(1, 16) i;
SELECT cut_nodes(m, 0.5) FROM tied;
SELECT cut_dead_nodes(m) FROM tied;
-- One weight, however often it is taken, has its bits once.
SELECT d.cut, count(*) FROM cut_dead_nodes_dry_run(onnx(
    (SELECT string_agg(node('MatMul', 'x w', 'y' || i), '' ORDER BY i) FROM generate_series(1, 300) i) ||
    weight('w', 300, 300) || value(11, 'x', '1 300') || value(12, 'y1', '1 300'))) d GROUP BY 1 ORDER BY 1;

-- ---------- names ----------

CREATE FUNCTION refusal(query text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
    EXECUTE query;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || left(SQLERRM, 60);
END
$$;
CREATE TABLE blocks AS SELECT model_agg(name, array_fill(1::real, '{2, 2}') ORDER BY name) AS m FROM unnest('{a.0.weight,a.1.weight,a.2.weight,b.0.0.weight,b.0.1.weight}'::text[]) name;
SELECT t.name FROM blocks, tensors(cut_layers(m, 'a.[0-1]')) t;
SELECT refusal($$SELECT cut_layers(m, 'a.[1-3]') FROM blocks$$);
-- Parts of names that are empty.
SELECT d.layer, d.tensors, d.cut, d.new_name FROM (SELECT model_agg(name, array_fill(1::real, '{2, 2}') ORDER BY name) AS m
    FROM unnest('{.0.weight,.1.weight,a..0.weight,a..1.weight,b.,.weight}'::text[]) name) x, cut_layers_dry_run(m, 0.5) d;
-- Ranges without end.
SELECT refusal(format('SELECT cut_layers(m, %L) FROM blocks', 'a.' || repeat('[0-0]', 30000)));

-- ---------- architectures ----------

CREATE TABLE conv AS SELECT model_agg(name, data ORDER BY name) AS m FROM (VALUES
    ('c.weight', array_fill(1::real, '{2, 1, 3, 3}')), ('c.bias', array_fill(1::real, '{3}'))) v (name, data);
SELECT set_graph(m, 'c:conv2d') FROM conv;
SELECT set_graph(m, 'c:conv2d leaky_relu(1e39)') FROM conv;

SET client_min_messages = warning;
DROP SCHEMA graph_crafted CASCADE;
