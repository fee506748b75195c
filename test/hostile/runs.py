#!/usr/bin/env python3
"""Models that are read, and do harm when they run, as SQL: rows for a table
runs (number, name, data, inputs, expect, timeout) that test/t/200_serve_hostile.pl
goes through.

expect is a regular expression for what becomes of predict_json: "ok" and the
outputs, or an SQLSTATE and the message.  Where ONNX leaves open what an operator
does with such input, an answer and an error are both right, and the session has
to live; ANY stands for that.  timeout is a statement_timeout in milliseconds, of
models that would run for minutes."""

import json
import struct

from onnxbuild import (
    BOOL, FLOAT, INT8, INT32, INT64, STRING, UINT8, UINT32, attribute, entry, external, graph, model, node, number,
    opset, sub, subs, tensor, tensor_type, value, varint)
from onnxfiles import places

INT16, UINT16, UINT64 = 5, 4, 13
ML, MICROSOFT = 'ai.onnx.ml', 'com.microsoft'
FAILS = '38000 '
ANY = 'ok|38000 '

RUNS = []


def run(name, data, inputs, expect, timeout=0):
    RUNS.append((name, data, inputs, expect, timeout))


# ---------- models in few words ----------

def any_shape(data_type):
    return sub(1, number(1, data_type))


def ports(**types):
    return [value(name, kind if isinstance(kind, bytes) else any_shape(kind)) for name, kind in types.items()]


def computing(nodes, ins, outs, initializers=(), version=15, **rest):
    opsets = [opset(version=version), opset(ML, 3), opset(MICROSOFT, 1)]
    return model(graph(nodes, initializers, ports(**ins), ports(**outs)), opsets=opsets, **rest)


def ints(name, *values, data_type=INT64, dims=None):
    letter = {INT64: 'q', INT32: 'i', INT8: 'b', UINT8: 'B'}[data_type]
    return tensor(name, data_type, (len(values),) if dims is None else dims,
                  struct.pack('<%d%s' % (len(values), letter), *values))


def reals(name, *values, dims=None):
    return tensor(name, FLOAT, (len(values),) if dims is None else dims, struct.pack('<%df' % len(values), *values))


def strings(name, *values):
    return tensor(name, STRING, (len(values),), more=subs(6, values))


def list_attribute(name, kind, *values):
    """Of floats, ints or strings, one field each."""
    field, type_number = {'floats': (7, 6), 'ints': (8, 7), 'strings': (9, 8)}[kind]
    if kind == 'floats':
        data = b''.join(varint(field << 3 | 5) + struct.pack('<f', v) for v in values)
    elif kind == 'ints':
        data = b''.join(number(field, v) for v in values)
    else:
        data = subs(field, values)
    return sub(1, name) + data + number(20, type_number)


def operator(name, op, ins, inputs, expect, attributes=(), types=None, out=FLOAT, domain=None, version=15,
             initializers=(), noutputs=1):
    """A model of one node, whose inputs are floats unless types says otherwise."""
    given = [i for i in ins if i in inputs]
    outs = ['y'] + ['y%d' % i for i in range(1, noutputs)]
    run(name, computing([node(op, ins, outs, attributes, domain)],
                        {i: (types or {}).get(i, FLOAT) for i in given}, {'y': out}, initializers, version),
        inputs, expect)


# ---------- arithmetic that processors refuse ----------

def division():
    kinds = {'int8': INT8, 'int16': INT16, 'int32': INT32, 'int64': INT64,
             'uint8': UINT8, 'uint16': UINT16, 'uint32': UINT32, 'uint64': UINT64}
    for op in ('Div', 'Mod'):
        for name, kind in kinds.items():
            operator('%s of %s by zero' % (op, name), op, ['x', 'd'], {'x': [7, 8], 'd': [0, 2]}, FAILS,
                     types={'x': kind, 'd': kind}, out=kind)
        for bits in (8, 16, 32, 64):
            kind = kinds['int%d' % bits]
            operator('%s of the least int%d by -1' % (op, bits), op, ['x', 'd'],
                     {'x': [-2 ** (bits - 1)], 'd': [-1]}, ANY, types={'x': kind, 'd': kind}, out=kind)
    run('Div by zero of constants, which loading computes',
        computing([node('Div', ['a', 'b'], ['c']), node('Add', ['x', 'c'], ['y'])], {'x': INT32}, {'y': INT32},
                  [ints('a', 7, data_type=INT32), ints('b', 0, data_type=INT32)]), {'x': [1]}, FAILS)
    run('Div of the least int64 by -1 of constants',
        computing([node('Div', ['a', 'b'], ['c']), node('Add', ['x', 'c'], ['y'])], {'x': INT64}, {'y': INT64},
                  [ints('a', -2 ** 63), ints('b', -1)]), {'x': [1]}, ANY)
    for op in ('DepthToSpace', 'SpaceToDepth'):
        operator(op + ' with blocks of 0', op, ['x'], {'x': [[[[1, 2], [3, 4]]]]}, FAILS,
                 [attribute('blocksize', 'i', 0)])
    operator('Conv in 0 groups', 'Conv', ['x', 'w'], {'x': [[[1, 2, 3]]], 'w': [[[1]]]}, FAILS, [attribute('group', 'i', 0)])
    operator('Conv with strides of 0', 'Conv', ['x', 'w'], {'x': [[[1, 2, 3]]], 'w': [[[1]]]}, FAILS,
             [list_attribute('strides', 'ints', 0)])
    operator('Attention of 0 heads', 'Attention', ['x', 'w', 'b'],
             {'x': [[[1, 2]]], 'w': [[1] * 6, [1] * 6], 'b': [0] * 6}, FAILS, [attribute('num_heads', 'i', 0)],
             domain=MICROSOFT)


# ---------- more memory than there is ----------

def memory():
    def made(name, nodes, inputs, expect, types, initializers=(), out=FLOAT):
        run(name, computing(nodes, types, {'y': out}, initializers), inputs, expect)

    filled = [node('ConstantOfShape', ['n'], ['y'])]
    made('ConstantOfShape of 32 GB', filled, {'n': [2 ** 33]}, FAILS, {'n': INT64})
    made('ConstantOfShape of more than 2^63 bytes', filled, {'n': [2 ** 62, 8]}, FAILS, {'n': INT64})
    made('ConstantOfShape of less than nothing', filled, {'n': [-1]}, FAILS, {'n': INT64})
    made('ConstantOfShape of more than an output may have', filled, {'n': [100 * 2 ** 20]}, '54000 ', {'n': INT64})
    made('ConstantOfShape of 32 GB, which loading computes',
         [node('ConstantOfShape', ['n'], ['c']), node('ReduceSum', ['c'], ['s']), node('Add', ['x', 's'], ['y'])],
         {'x': [1]}, FAILS, {'x': FLOAT}, [ints('n', 2 ** 33)])
    made('Tensors of 64 MB without an end, which loading computes',
         [node('ConstantOfShape', ['n'], ['c0'])] + [node('Neg', ['c%d' % i], ['c%d' % (i + 1)]) for i in range(200)] +
         [node('Sum', ['c%d' % i for i in range(200)], ['s']), node('Add', ['x', 's'], ['y'])],
         {'x': [1]}, ANY + '|54000 ', {'x': FLOAT}, [ints('n', 2 ** 24)])
    made('Range of 8 GB', [node('Range', ['a', 'b', 'd'], ['y'])], {'a': 0, 'b': 2 ** 30, 'd': 1}, FAILS,
         {name: tensor_type(INT64, ()) for name in 'abd'}, out=INT64)
    made('Range of steps of 0', [node('Range', ['a', 'b', 'd'], ['y'])], {'a': 0, 'b': 2 ** 30, 'd': 0}, ANY,
         {name: tensor_type(INT64, ()) for name in 'abd'}, out=INT64)
    made('Tile to 40 GB', [node('Tile', ['x', 'n'], ['y'])], {'x': [1, 2], 'n': [5 * 10 ** 9]}, FAILS, {'x': FLOAT, 'n': INT64})
    made('Expand to 40 GB', [node('Expand', ['x', 'n'], ['y'])], {'x': [1], 'n': [10 ** 10]}, FAILS, {'x': FLOAT, 'n': INT64})
    made('Pad to 40 GB', [node('Pad', ['x', 'n'], ['y'])], {'x': [1], 'n': [10 ** 10, 0]}, FAILS, {'x': FLOAT, 'n': INT64})
    made('Pad of less than there is', [node('Pad', ['x', 'n'], ['y'])], {'x': [1, 2], 'n': [-9, -9]}, ANY,
         {'x': FLOAT, 'n': INT64})
    made('Resize to 40 GB', [node('Resize', ['x', '', 's'], ['y'])], {'x': [[[[1, 2], [3, 4]]]], 's': [1, 1, 5e4, 5e4]}, FAILS,
         {'x': FLOAT, 's': FLOAT})
    made('OneHot of 16 GB', [node('OneHot', ['x', 'd', 'v'], ['y'])], {'x': [0, 1], 'd': 2 ** 31, 'v': [0, 1]}, FAILS,
         {'x': INT64, 'd': tensor_type(INT64, ()), 'v': FLOAT})
    made('Outer product of 40 GB', [node('MatMul', ['a', 'b'], ['y'])],
         {'a': [[0]] * 100000, 'b': [[0] * 100000]}, FAILS, {'a': FLOAT, 'b': FLOAT})


# ---------- time ----------

def time():
    body = graph([node('Identity', ['going'], ['on']), node('Add', ['v', 'v'], ['w'])], (),
                 ports(i=tensor_type(INT64, ()), going=tensor_type(BOOL, ()), v=FLOAT), ports(on=tensor_type(BOOL, ()), w=FLOAT), name='body')
    run('A Loop without an end',
        computing([node('Loop', ['', 'go', 'x'], ['y'], [attribute('body', 'g', body)])], {'x': FLOAT}, {'y': FLOAT},
                  [tensor('go', BOOL, (), b'\1')]),
        {'x': [1]}, '57014 ', 300)
    # 10^12 comparisons in one call of one operator, which looks at nothing else.
    run('A MaxPool of minutes',
        computing([node('ConstantOfShape', ['n'], ['x']),
                   node('MaxPool', ['x'], ['p'], [list_attribute('kernel_shape', 'ints', 1000, 1000)]),
                   node('ReduceMax', ['p'], ['y'])], {'n': INT64}, {'y': FLOAT}),
        {'n': [1, 1, 2000, 2000]}, '57014 ', 300)
    run('A MatMul of seconds',
        computing([node('ConstantOfShape', ['n'], ['x']), node('MatMul', ['x', 'x'], ['p']), node('ReduceMax', ['p'], ['y'])],
                  {'n': INT64}, {'y': FLOAT}),
        {'n': [8, 2000, 2000]}, '57014 ', 100)


# ---------- operators that are told of what is not there ----------

def indexes():
    x2 = {'x': [[1, 2], [3, 4]]}
    integer = {'i': INT64}
    operator('Gather beyond the end', 'Gather', ['x', 'i'], dict(x2, i=[100]), FAILS, types=integer)
    operator('Gather before the start', 'Gather', ['x', 'i'], dict(x2, i=[-100]), FAILS, types=integer)
    operator('Gather far beyond', 'Gather', ['x', 'i'], dict(x2, i=[2 ** 62]), FAILS, types=integer)
    operator('Gather along no axis', 'Gather', ['x', 'i'], dict(x2, i=[0]), FAILS, [attribute('axis', 'i', 9)], integer)
    operator('GatherElements beyond', 'GatherElements', ['x', 'i'], dict(x2, i=[[9, -9]]), FAILS, types=integer)
    operator('GatherND beyond', 'GatherND', ['x', 'i'], dict(x2, i=[[9, -9]]), FAILS, types=integer)
    operator('ScatterElements beyond', 'ScatterElements', ['x', 'i', 'u'], dict(x2, i=[[9, -9]], u=[[1, 1]]), FAILS, types=integer)
    operator('ScatterND beyond', 'ScatterND', ['x', 'i', 'u'], dict(x2, i=[[2 ** 40, 0]], u=[1]), FAILS, types=integer)
    operator('ScatterND of more updates than indices', 'ScatterND', ['x', 'i', 'u'], dict(x2, i=[[0, 0]], u=[1, 2, 3]), FAILS,
             types=integer)
    operator('MaxUnpool beyond', 'MaxUnpool', ['x', 'i'], {'x': [[[[1, 2]]]], 'i': [[[[2 ** 40, -5]]]]}, FAILS,
             [list_attribute('kernel_shape', 'ints', 1, 2), list_attribute('strides', 'ints', 1, 2)], integer)
    for batch in (99, -5):
        operator('RoiAlign in picture %d' % batch, 'RoiAlign', ['x', 'r', 'i'],
                 {'x': [[[[1, 2], [3, 4]]]], 'r': [[0, 0, 1, 1]], 'i': [batch]}, FAILS, types=integer, version=16)
        operator('CropAndResize in picture %d' % batch, 'CropAndResize', ['x', 'r', 'i', 's'],
                 {'x': [[[[1, 2], [3, 4]]]], 'r': [[0, 0, 1, 1]], 'i': [batch], 's': [1, 1]}, FAILS,
                 types={'i': INT32, 's': INT32}, domain=MICROSOFT)
    operator('ReverseSequence of longer ones', 'ReverseSequence', ['x', 'i'], dict(x2, i=[2 ** 40, -3]), FAILS, types=integer)
    operator('Slice in steps of 0', 'Slice', ['x', 'a', 'b', 'c', 'i'], dict(x2, a=[0], b=[2], c=[0], i=[0]), FAILS,
             types={'a': INT64, 'b': INT64, 'c': INT64, 'i': INT64})
    operator('TopK of more than there are', 'TopK', ['x', 'i'], dict(x2, i=[10 ** 9]), FAILS, types=integer, noutputs=2)
    operator('TopK of less than none', 'TopK', ['x', 'i'], dict(x2, i=[-1]), FAILS, types=integer, noutputs=2)
    operator('Reshape to another size', 'Reshape', ['x', 'i'], dict(x2, i=[2 ** 40, 2 ** 40]), FAILS, types=integer)
    operator('Reshape to -1 twice', 'Reshape', ['x', 'i'], dict(x2, i=[-1, -1]), FAILS, types=integer)
    operator('Transpose by one axis twice', 'Transpose', ['x'], x2, FAILS, [list_attribute('perm', 'ints', 0, 0)])
    operator('ArrayFeatureExtractor beyond', 'ArrayFeatureExtractor', ['x', 'i'], dict(x2, i=[10 ** 9]), FAILS, types=integer,
             domain=ML)
    operator('NonMaxSuppression of boxes that are none', 'NonMaxSuppression', ['b', 's', 'i'],
             {'b': [[['NaN', 'Infinity', '-Infinity', 0]]], 's': [[['NaN']]], 'i': [2 ** 40]}, ANY, types=integer, out=INT64)
    operator('Embeddings beyond', 'Gather', ['w', 'x'], {'x': [5]}, FAILS, types={'x': INT64},
             initializers=[reals('w', 1, 2, 3, 4, dims=(2, 2))])


def shapes():
    image = {'x': [[[[1, 2], [3, 4]]]]}
    operator('Conv of a kernel of another rank', 'Conv', ['x', 'w'], dict(image, w=[[[1, 1]]]), FAILS)
    operator('Conv of a kernel that is larger', 'Conv', ['x', 'w'], dict(image, w=[[[[1] * 9] * 9]]), FAILS)
    operator('Conv with dilations of another rank', 'Conv', ['x', 'w'], dict(image, w=[[[[1]]]]), ANY,
             [list_attribute('dilations', 'ints', 1, 1, 1)])
    operator('Conv with another kernel_shape', 'Conv', ['x', 'w'], dict(image, w=[[[[1]]]]), FAILS,
             [list_attribute('kernel_shape', 'ints', 2, 2)])
    operator('Conv with padding of 2^40', 'Conv', ['x', 'w'], dict(image, w=[[[[1]]]]), FAILS,
             [list_attribute('pads', 'ints', 2 ** 40, 2 ** 40, 2 ** 40, 2 ** 40)])
    operator('Conv with padding of -9', 'Conv', ['x', 'w'], dict(image, w=[[[[1]]]]), FAILS,
             [list_attribute('pads', 'ints', -9, -9, -9, -9)])
    operator('ConvTranspose to 2^40', 'ConvTranspose', ['x', 'w'], dict(image, w=[[[[1]]]]), FAILS,
             [list_attribute('output_shape', 'ints', 2 ** 40, 2 ** 40)])
    for equation in ('ij,jk->zz', 'ij->', '((', 'i...j,', 'ij,jk,kl->il', '1,2->3', 'i' * 5000):
        operator('Einsum of "%s"' % equation[:12], 'Einsum', ['x', 'w'], {'x': [[1, 2]], 'w': [[1], [2]]}, FAILS,
                 [attribute('equation', 's', equation)])
    operator('Col2Im of blocks that do not fit', 'Col2Im', ['x', 'a', 'b'],
             {'x': [[[1, 2, 3]]], 'a': [1000, 1000], 'b': [7, 7]}, FAILS, types={'a': INT64, 'b': INT64}, version=18)
    operator('Col2Im of blocks of 0', 'Col2Im', ['x', 'a', 'b'], {'x': [[[1, 2, 3]]], 'a': [1, 3], 'b': [0, 0]}, FAILS,
             types={'a': INT64, 'b': INT64}, version=18)
    for mode in ('cubic', 'linear', 'nearest'):
        for scale in ('NaN', 'Infinity', '-1', '1e-30'):
            number_ = scale if scale[0].isalpha() else float(scale)
            operator('Resize by %s, %s' % (scale, mode), 'Resize', ['x', '', 's'], dict(image, s=[1, 1, number_, number_]), ANY,
                     [attribute('mode', 's', mode)])
    operator('LayerNormalization along no axis', 'LayerNormalization', ['x', 'w'], {'x': [[1, 2]], 'w': [1, 1]}, FAILS,
             [attribute('axis', 'i', 7)], version=17)
    operator('Split into more than there is', 'Split', ['x', 'i'], {'x': [1, 2], 'i': [5, -3]}, FAILS, types={'i': INT64},
             noutputs=2)
    operator('LSTM of weights that do not fit', 'LSTM', ['x', 'w', 'r'],
             {'x': [[[1, 2]]], 'w': [[[1]]], 'r': [[[1]]]}, FAILS, [attribute('hidden_size', 'i', 1000)])
    operator('MatMulNBits of weights that do not fit', 'MatMulNBits', ['x', 'w', 's'],
             {'x': [[1] * 64], 'w': [[[1] * 16]], 's': [1]}, FAILS,
             [attribute('K', 'i', 64), attribute('N', 'i', 4096), attribute('bits', 'i', 4), attribute('block_size', 'i', 32)],
             types={'w': UINT8}, domain=MICROSOFT)


def tables():
    """Operators whose attributes are tables that point into each other."""
    x = {'x': [[1, 2, 3]]}

    def svm(name, expect, **fields):
        given = dict(coefficients=[1.0, 1.0], support_vectors=[1.0] * 6, vectors_per_class=[1, 1], rho=[0.5],
                     kernel_params=[0.1, 0.0, 3.0])
        given.update(fields)
        attributes = [list_attribute(key, 'ints' if key == 'vectors_per_class' else 'floats', *values)
                      for key, values in given.items()]
        operator('SVMClassifier with ' + name, 'SVMClassifier', ['x'], x, expect,
                 attributes + [list_attribute('classlabels_ints', 'ints', 0, 1), attribute('kernel_type', 's', 'RBF')],
                 out=INT64, domain=ML, noutputs=2)

    svm('tables that fit', 'ok')
    svm('few coefficients', FAILS, coefficients=[1.0])
    svm('few vectors', FAILS, support_vectors=[1.0])
    svm('more vectors of a class than there are', FAILS, vectors_per_class=[1000, 1000])
    svm('less than no vectors of a class', FAILS, vectors_per_class=[-5, 7])
    svm('no rho', FAILS, rho=[])

    def tree(name, expect, **fields):
        given = dict(nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
                     nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], nodes_values=[0.5, 0.0, 0.0],
                     nodes_modes=['BRANCH_LEQ', 'LEAF', 'LEAF'],
                     target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0])
        given.update(fields)
        kinds = {'nodes_values': 'floats', 'target_weights': 'floats', 'nodes_modes': 'strings'}
        operator('TreeEnsembleRegressor with ' + name, 'TreeEnsembleRegressor', ['x'], x, expect,
                 [list_attribute(key, kinds.get(key, 'ints'), *values) for key, values in given.items()] +
                 [attribute('n_targets', 'i', 1)], domain=ML)

    tree('a tree', 'ok')
    tree('a node that leads to itself', FAILS, nodes_truenodeids=[0, 0, 0], nodes_falsenodeids=[0, 0, 0])
    tree('two nodes that lead to each other', FAILS, nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
         nodes_modes=['BRANCH_LEQ', 'BRANCH_LEQ', 'LEAF'])
    tree('nodes that are not there', FAILS, nodes_truenodeids=[900, 0, 0], nodes_falsenodeids=[-7, 0, 0])
    tree('few values', FAILS, nodes_values=[0.5])
    tree('features that are not there', ANY, nodes_featureids=[10 ** 6, 0, 0])
    tree('features before the first', ANY, nodes_featureids=[-10 ** 6, 0, 0])
    tree('targets that are not there', FAILS, target_ids=[0, 1000])
    tree('leaves that are not there', FAILS, target_nodeids=[1, 99])

    operator('LinearClassifier with few coefficients', 'LinearClassifier', ['x'], x, FAILS,
             [list_attribute('coefficients', 'floats', 1.0), list_attribute('intercepts', 'floats', 0.0, 0.0),
              list_attribute('classlabels_ints', 'ints', 0, 1)], out=INT64, domain=ML, noutputs=2)
    operator('Scaler of another width', 'Scaler', ['x'], x, ANY,
             [list_attribute('offset', 'floats', 0.0, 0.0), list_attribute('scale', 'floats', 1.0, 1.0)], domain=ML)
    operator('Imputer of another width', 'Imputer', ['x'], x, ANY,
             [list_attribute('imputed_value_floats', 'floats', 0.0, 0.0), attribute('replaced_value_float', 'f', 1.0)], domain=ML)
    operator('LabelEncoder with more keys than values', 'LabelEncoder', ['x'], {'x': [5]}, FAILS,
             [list_attribute('keys_int64s', 'ints', 1, 2, 3, 5), list_attribute('values_floats', 'floats', 1.0)],
             types={'x': INT64}, domain=ML)
    operator('TfIdfVectorizer with pools that are not there', 'TfIdfVectorizer', ['x'], {'x': [1, 2, 3]}, FAILS,
             [attribute('mode', 's', 'TF'), attribute('min_gram_length', 'i', 1), attribute('max_gram_length', 'i', 9),
              attribute('max_skip_count', 'i', 2 ** 40), list_attribute('ngram_counts', 'ints', 0, 99999),
              list_attribute('ngram_indexes', 'ints', 0, 2 ** 40), list_attribute('pool_int64s', 'ints', 1, 2)],
             types={'x': INT64})


# ---------- what is no number ----------

def kinds():
    echo = [node('Identity', ['s'], ['y'])]
    for what, text in (('a zero byte', b'a\0b'), ('bytes that are no UTF-8', b'\xff\xfe'), ('half a character', b'\xe2\x82'),
                       ('a surrogate', b'\xed\xa0\x80')):
        run('A string with ' + what, computing(echo, {}, {'y': STRING}, [strings('s', text)]), {}, '22021 |22P05 |38000 |22P03 ')
    run('Strings', computing([node('Identity', ['x'], ['y'])], {'x': STRING}, {'y': STRING}),
        {'x': ['a', '', '"quoted" \\']}, r'ok \{"y": \["a", "", "\\"quoted\\" \\\\"\]\}')
    run('Texts for two thousand million rows',
        computing([node('Identity', ['x'], ['y'])], {'x': tensor_type(STRING, (2000000000, 1))}, {'y': STRING}),
        {'x': [['a']]}, '22023 ')
    run('A label that no double is',
        computing([node('Identity', ['x'], ['y']), node('ArgMax', ['x'], ['n'], [attribute('axis', 'i', 1), attribute('keepdims', 'i', 0)]),
                   node('ArrayFeatureExtractor', ['classes', 'n'], ['label'], domain=ML)],
                  {'x': tensor_type(FLOAT, (1, 2))}, {'y': FLOAT, 'label': INT64}, [ints('classes', 1, 2 ** 53 + 1)]),
        {'x': [[0.25, 0.75]]}, r'ok \{"y": \[\[0.25, 0.75\]\], "label": \[\[9007199254740993\]\]\}')
    sequence = sub(4, sub(1, any_shape(FLOAT)))
    optional = sub(9, sub(1, any_shape(FLOAT)))
    run('A sequence comes out', computing([node('SequenceConstruct', ['x', 'x'], ['y'])], {'x': FLOAT}, {'y': sequence}),
        {'x': [1]}, r'ok \{"y": \[\[1\], \[1\]\]\}')
    run('A sequence goes in', computing([node('SequenceLength', ['x'], ['y'])], {'x': sequence}, {'y': INT64}),
        {'x': [[1]]}, r'ok \{"y": 1\}')
    run('An optional value comes out', computing([node('Optional', ['x'], ['y'])], {'x': FLOAT}, {'y': optional}),
        {'x': [1]}, r'ok \{"y": (\[1\]|null)\}')
    pairs = sub(4, sub(1, sub(5, number(1, INT64) + sub(2, any_shape(FLOAT)))))
    run('Maps come out', computing([node('ZipMap', ['x'], ['y'], [list_attribute('classlabels_int64s', 'ints', 1, 2)], ML)],
                                   {'x': FLOAT}, {'y': pairs}), {'x': [[0.5, 0.5]]}, r'ok \{"y": \[\{"1": 0.5, "2": 0.5\}\]\}')


def promises():
    run('One number is promised, and a million come',
        computing([node('Expand', ['x', 'n'], ['e']), node('ReduceSum', ['e'], ['s']), node('Identity', ['e'], ['y'])],
                  {'x': FLOAT, 'n': INT64}, {'y': tensor_type(FLOAT, (1,)), 's': FLOAT}),
        {'x': [1], 'n': [1000000]}, ANY)
    run('Nothing comes', computing([node('Identity', ['x'], ['y'])], {'x': tensor_type(FLOAT, ('n',))}, {'y': FLOAT}),
        {'x': []}, r'ok \{"y": \{"data": \[\], "shape": \[0\]\}\}')
    run('No inputs and a scalar', computing([node('Identity', ['c'], ['y'])], {}, {'y': FLOAT}, [reals('c', 2.5, dims=())]),
        {}, r'ok \{"y": 2\.5\}')


def callers():
    """Inputs that are not what the model takes."""
    numbers = computing([node('Identity', ['x'], ['y'])], {'x': tensor_type(FLOAT, (2,))}, {'y': FLOAT})
    wrong = '22|42'
    for what, inputs in (('text for a number', {'x': ['a', 'b']}), ('another rank', {'x': [[1, 2]]}), ('another shape', {'x': [1, 2, 3]}),
                         ('a scalar', {'x': 1}), ('another name', {'z': [1, 2]}), ('a name too many', {'x': [1, 2], 'z': [1]}),
                         ('nothing', {}), ('null', {'x': None}), ('null among numbers', {'x': [1, None]}),
                         ('ragged rows', {'x': [[1], [1, 2]]}), ('rows and numbers', {'x': [1, [2]]}), ('an object', {'x': {'a': 1}}),
                         ('rows without a name', [[1, 2]]), ('a text', 'x'), ('an object in an array', {'x': [{}, {}]}),
                         ('a number beyond floats', {'x': [1e300, 1]})):
        run('The caller gives ' + what, numbers, inputs, wrong)
    deep = 1
    for _ in range(200):
        deep = [deep]
    run('The caller gives 200 dimensions', numbers, {'x': deep}, wrong)
    for name, kind, bad in (('uint8', UINT8, 300), ('uint8', UINT8, -1), ('int64', INT64, 1.5), ('int64', INT64, 2 ** 63),
                            ('int64', INT64, -2 ** 63 - 1), ('uint64', UINT64, 2 ** 64), ('int8', INT8, -129)):
        run('The caller gives %s for %s' % (bad, name), computing([node('Identity', ['x'], ['y'])], {'x': kind}, {'y': kind}),
            {'x': [bad]}, wrong)
    run('NaN and infinities pass', computing([node('Identity', ['x'], ['y'])], {'x': FLOAT}, {'y': FLOAT}),
        {'x': ['NaN', 'Infinity', '-Infinity']}, r'ok \{"y": \["NaN", "Infinity", "-Infinity"\]\}')
    run('The ends of int64 pass', computing([node('Identity', ['x'], ['y'])], {'x': INT64}, {'y': INT64}),
        {'x': [-2 ** 63, 2 ** 63 - 1]}, r'ok \{"y": \[-9223372036854775808, 9223372036854775807\]\}')


# ---------- ways out of the model ----------

def ways_out():
    for path in ('PG_VERSION', '/etc/passwd', '../PG_VERSION', '*/_ORT_MEM_ADDR_/*'):
        for what, place in places():
            kind = INT64 if what.startswith('ind') else FLOAT
            run('Elements of "%s" as the %s' % (path, what), place(tensor('q', kind, more=external(path, 4096, 8))), {'x': [1, 2]},
                '22P03 .*external data')
    run('An operator of a library', computing([node('Evil', ['x'], ['y'], domain='evil')], {'x': FLOAT}, {'y': FLOAT}), {'x': [1]},
        '38000 |0A000 |22P03 ')
    run('An operator that is not there', computing([node('Evil', ['x'], ['y'])], {'x': FLOAT}, {'y': FLOAT}), {'x': [1]}, FAILS)
    run('A compiled part in a file',
        computing([node('EPContext', ['x'], ['y'], [attribute('embed_mode', 'i', 0), attribute('ep_cache_context', 's', '/etc/passwd')],
                        MICROSOFT)], {'x': FLOAT}, {'y': FLOAT}), {'x': [1]}, '38000 |0A000 |22P03 ')
    run('Settings in the metadata',
        computing([node('Identity', ['x'], ['y'])], {'x': FLOAT}, {'y': FLOAT},
                  more=sub(14, entry('ort_config', '{"session_options": {"enable_profiling": 1}}'))), {'x': [1]}, r'ok \{"y": \[1\]\}')
    run('A chain of 20000 nodes',
        computing([node('Neg', ['x' if i == 0 else 'v%d' % i], ['y' if i == 19999 else 'v%d' % (i + 1)]) for i in range(20000)],
                  {'x': FLOAT}, {'y': FLOAT}), {'x': [1]}, r'ok \{"y": \[1\]\}')


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def main():
    for part in (division, memory, time, indexes, shapes, tables, kinds, promises, callers, ways_out):
        part()
    for i, (name, data, inputs, expect, timeout) in enumerate(RUNS, 1):
        print("INSERT INTO runs VALUES (%d, %s, '\\x%s', %s, %s, %d);"
              % (i, quoted(name), data.hex(), quoted(json.dumps(inputs)), quoted(expect), timeout))


main()
