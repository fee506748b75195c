"""Messages of ONNX in the wire form of protocol buffers, right or wrong.

Functions with a message's name make one of it: bytes, to be put into another
with sub().  What they are given as bytes goes in as it is."""

import struct

FLOAT, UINT8, INT8, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE = 1, 2, 3, 6, 7, 8, 9, 10, 11
UINT32, UINT64, COMPLEX64, FNUZ, UINT4, INT4, INT2 = 12, 13, 14, 18, 21, 22, 26


def varint(value):
    value %= 2 ** 64
    out = b''
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def sub(field, data):
    """A field of bytes: text, or a message."""
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def subs(field, items):
    return b''.join(sub(field, item) for item in items)


def fixed32(field, value):
    return varint(field << 3 | 5) + struct.pack('<f', value)


def entry(key, value):
    return sub(1, key) + sub(2, value)


def tensor(name='w', data_type=FLOAT, dims=(2,), raw=None, more=b''):
    """TensorProto; raw is raw_data, more are further fields."""
    out = b''.join(number(1, dim) for dim in dims) + number(2, data_type)
    out += sub(8, name) if name is not None else b''
    out += sub(9, raw) if raw is not None else b''
    return out + more


def floats(*values):
    return struct.pack('<%df' % len(values), *values)


def sparse(values, indices, dims):
    return sub(1, values) + sub(2, indices) + b''.join(number(3, dim) for dim in dims)


def external(path, offset=None, length=None, location=1):
    """Fields of a TensorProto whose elements are in another file."""
    out = sub(13, entry('location', path))
    out += sub(13, entry('offset', str(offset))) if offset is not None else b''
    out += sub(13, entry('length', str(length))) if length is not None else b''
    return out + (number(14, location) if location is not None else b'')


KINDS = {'f': (2, 1), 'i': (3, 2), 's': (4, 3), 't': (5, 4), 'g': (6, 5), 'floats': (7, 6),
         'ints': (8, 7), 'strings': (9, 8), 'tensors': (10, 9), 'graphs': (11, 10),
         'sparse': (22, 11), 'sparses': (23, 12), 'tp': (14, 13), 'tps': (15, 14)}


def attribute(name, kind, value, type_number=None):
    field, expected = KINDS[kind]
    data = fixed32(field, value) if isinstance(value, float) else (
        number(field, value) if isinstance(value, int) else sub(field, value))
    return sub(1, name) + data + number(20, expected if type_number is None else type_number)


def node(op='Add', ins=('x', 'w'), outs=('y',), attributes=(), domain=None, more=b''):
    out = subs(1, ins) + subs(2, outs)
    out += sub(4, op) if op is not None else b''
    out += subs(5, attributes)
    return out + (sub(7, domain) if domain is not None else b'') + more


def dimension(dim):
    return sub(2, dim) if isinstance(dim, str) else number(1, dim)


def tensor_type(data_type=FLOAT, shape=(2,)):
    return sub(1, number(1, data_type) + sub(2, subs(1, map(dimension, shape))))


def value(name, kind=None):
    return sub(1, name) + sub(2, tensor_type() if kind is None else kind)


def graph(nodes=None, initializers=None, ins=('x',), outs=('y',), more=b'', name='g'):
    nodes = [node()] if nodes is None else nodes
    initializers = [tensor(raw=floats(1, 2))] if initializers is None else initializers
    return (subs(1, nodes) + sub(2, name) + subs(5, initializers) +
            subs(11, (value(i) if isinstance(i, str) else i for i in ins)) +
            subs(12, (value(o) if isinstance(o, str) else o for o in outs)) + more)


def opset(domain='', version=15):
    return (sub(1, domain) if domain else b'') + number(2, version)


def function(name, nodes, domain='f', ins=('a',), outs=('b',), more=b''):
    return (sub(1, name) + subs(4, ins) + subs(5, outs) + subs(7, nodes) +
            sub(9, opset()) + sub(9, opset('f', 1)) + sub(10, domain) + more)


def model(inner=None, ir_version=8, opsets=None, functions=(), more=b''):
    """ModelProto."""
    out = number(1, ir_version) if ir_version is not None else b''
    out += subs(8, [opset()] if opsets is None else opsets)
    out += sub(7, graph() if inner is None else inner)
    return out + subs(25, functions) + more
