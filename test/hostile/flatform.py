"""The flat form of a model by hand: the layout that src/model/flat.c
describes, with each field open to a lie."""

import struct
from hashlib import sha256

HEADER, PAYLOAD, TENSOR = 68, 64, 8    # bytes; the length word is not in them
DTYPES = {'f64': 1, 'f32': 2, 'f16': 3, 'i64': 7, 'i8': 10, 'u8': 14, 'bool': 15, 'i4': 16}
DENSE, SPARSE, Q8_0, AFFINE, CODEBOOK, LOWRANK, PLANES = 0, 1, 6, 10, 11, 12, 13


class Payload:
    """Elements as they are stored, and, if that is sparse, as they are."""

    def __init__(self, dtype, count, stored, decoded=None, encoding=DENSE, digest=None):
        self.dtype = DTYPES.get(dtype, dtype)
        self.count = count
        self.stored = stored
        self.encoding = encoding
        self.digest = digest or sha256(stored if decoded is None else decoded).digest()

    def entry(self):
        return struct.pack('<Qq2B14x', len(self.stored), self.count, self.dtype, self.encoding) + self.digest


class Tensor:
    def __init__(self, name, dims, payload):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.dims = dims
        self.payload = payload

    def entry(self):
        body = struct.pack('<%dq' % len(self.dims), *self.dims) + self.name
        return struct.pack('<IHBB', self.payload, len(self.name), len(self.dims), 0) + body + bytes(-len(body) % 8)


def sparse(dtype, width, values, count):
    """A sparse payload of the values, {index: bytes}."""
    mask = bytearray((count + 511) // 512 * 64)
    decoded = bytearray(count * width)
    stored = b''
    for index in sorted(values):
        mask[index // 8] |= 1 << index % 8
        decoded[index * width:(index + 1) * width] = values[index]
        stored += values[index]
    return Payload(dtype, count, bytes(mask) + stored, bytes(decoded), SPARSE)


def packed(dtype, count, decoded, *blocks, sizes=None):
    """A payload in blocks, with the directory that says their sizes."""
    directory = b''.join(struct.pack('<I', size) for size in sizes or map(len, blocks))
    return Payload(dtype, count, directory + b''.join(blocks), decoded, PLANES)


def pad(data):
    return data + bytes(-len(data) % 64)


def packed_integers(numbers, bits):
    """Integers one after another, the lowest bits first."""
    word = 0
    for i, number in enumerate(numbers):
        word |= (number & (1 << bits) - 1) << i * bits
    return word.to_bytes(-(-len(numbers) * bits // 8), 'little')


def affine_bytes(codes, bits, code, scales, zeros, axis, inner, group):
    """The affine encoding, as src/model/affine.h has it."""
    out = struct.pack('<BB6xqqq32x', code, zeros is not None, axis, inner,
                      group)
    out += pad(struct.pack('<%df' % len(scales), *scales))
    if zeros is not None:
        out += pad(packed_integers(zeros, bits))
    return out + packed_integers(codes, bits)


def codebook_bytes(codes, bits, values, form='f'):
    """The codebook encoding, as src/model/codebook.h has it."""
    return (pad(struct.pack('<BBH60x', bits, 0, len(values)) +
                struct.pack('<%d%s' % (len(values), form), *values)) +
            packed_integers(codes, bits))


def lowrank_bytes(rows, columns, rank, left, right, form='f'):
    """The low-rank encoding, as src/model/lowrank.h has it."""
    return (struct.pack('<qqq40x', rows, columns, rank) + struct.pack(
        '<%d%s' % (len(left + right), form), *(left + right)))


def model_digest(payloads, tensors, metadata):
    data = b''
    for tensor in tensors:
        payload = payloads[tensor.payload]
        data += (struct.pack('<I', len(tensor.name)) + tensor.name + bytes([payload.dtype, len(tensor.dims)]) +
                 struct.pack('<%dq' % len(tensor.dims), *tensor.dims) + payload.digest)
    return sha256(data + struct.pack('<I', len(metadata)) + metadata).digest()


def build(payloads, tensors, metadata=b'{}', recipe=b'[]', digest=None):
    directory = b''.join(p.entry() for p in payloads) + b''.join(t.entry() for t in tensors)
    body = directory + metadata + recipe
    for payload in payloads:
        # Offsets count from the length word, which is not here.
        body += bytes(-(4 + HEADER + len(body)) % 64) + payload.stored
    if digest is None:
        digest = model_digest(payloads, tensors, metadata)
    return (b'mdlo\x01' + bytes(3) +
            struct.pack('<IIIIIQ', len(tensors), len(payloads), len(directory), len(metadata), len(recipe),
                        4 + HEADER + len(body)) + digest + body)
