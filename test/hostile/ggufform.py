"""GGUF files by hand: the layout of the specification, with each field open
to a lie."""

import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: 'B', I8: 'b', U16: 'H', I16: 'h', U32: 'I', I32: 'i', F32: 'f', BOOL: 'B',
           U64: 'Q', I64: 'q', F64: 'd'}

# By name: number, elements and bytes of a block.
TYPES = {'F32': (0, 1, 4), 'F16': (1, 1, 2), 'Q4_0': (2, 32, 18), 'Q4_1': (3, 32, 20),
         'Q5_0': (6, 32, 22), 'Q5_1': (7, 32, 24), 'Q8_0': (8, 32, 34), 'Q4_K': (12, 256, 144),
         'Q5_K': (13, 256, 176), 'Q6_K': (14, 256, 210), 'I8': (24, 1, 1), 'I16': (25, 1, 2),
         'I32': (26, 1, 4), 'I64': (27, 1, 8), 'F64': (28, 1, 8), 'BF16': (30, 1, 2)}


def u32(n):
    return struct.pack('<I', n & 0xffffffff)


def u64(n):
    return struct.pack('<Q', n & 0xffffffffffffffff)


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return u64(len(data)) + data


def value(kind, what):
    """A value without its type; bytes are taken as they are."""
    if isinstance(what, bytes) and kind != STRING:
        return what
    return string(what) if kind == STRING else struct.pack('<' + FORMATS[kind], what)


def key(name, kind, what):
    """A key with a value; a list becomes an array of that kind."""
    if isinstance(what, list):
        return string(name) + u32(ARRAY) + array(kind, what)
    return string(name) + u32(kind) + value(kind, what)


def array(kind, items):
    return u32(kind) + u64(len(items)) + b''.join(value(kind, item) for item in items)


def up(n, alignment):
    return -(-n // alignment) * alignment


def ramp(n):
    """Bytes of every kind."""
    return bytes((i * 37 + 11) % 251 for i in range(n))


class Tensor:
    """Dimensions are row-major, as a model has them; lies are fields of the
    list of tensors."""

    def __init__(self, name, dims, kind='F32', data=None, **lies):
        number, elements, size = TYPES[kind]
        count = 1
        for dim in dims:
            count *= dim
        self.name = name
        self.dims = dims
        self.number = number
        self.data = ramp(count // elements * size) if data is None else data
        self.lies = lies

    def entry(self, offset):
        dims = self.lies.get('shape', self.dims)
        return (self.lies.get('raw_name', string(self.name)) +
                u32(self.lies.get('ndim', len(dims))) + b''.join(u64(dim) for dim in reversed(dims)) +
                u32(self.lies.get('type', self.number)) + u64(self.lies.get('offset', offset)))


def build(keys=(), tensors=(), alignment=32, version=3, magic=b'GGUF', ntensors=None, nkeys=None,
          last_padding=True, padding=b'\0'):
    out = magic + u32(version) + u64(len(tensors) if ntensors is None else ntensors)
    out += u64(len(keys) if nkeys is None else nkeys) + b''.join(keys)
    offset = 0
    for tensor in tensors:
        out += tensor.entry(offset)
        offset += up(len(tensor.data), alignment)
    out += padding * (up(len(out), alignment) - len(out))
    for i, tensor in enumerate(tensors):
        out += tensor.data
        if last_padding or i + 1 < len(tensors):
            out += padding * (up(len(tensor.data), alignment) - len(tensor.data))
    return out
