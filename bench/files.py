"""
The same weights in files of several formats, written without the libraries
of those formats, which are not everywhere.
"""
import json
import struct

import numpy


def write_safetensors(path, weights):
    header, at = {}, 0
    for name, w in weights.items():
        size = 4 * w.numel()
        header[name] = {"dtype": "F32", "shape": list(w.shape),
                        "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for w in weights.values():
            f.write(w.numpy())


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def head(field, size):
    """Of a field of so many bytes."""
    return varint(field << 3 | 2) + varint(size)


def text(field, s):
    return head(field, len(s)) + s.encode()


def write_onnx(path, weights):
    """Weights as initializers of a graph that hands the first one out."""
    parts = []
    for name, w in weights.items():
        start = (b"".join(number(1, d) for d in w.shape) + number(2, 1) +
                 text(8, name) + head(9, 4 * w.numel()))
        parts += [head(5, len(start) + 4 * w.numel()) + start, w.numpy()]
    first = next(iter(weights))
    node = text(1, first) + text(2, "out") + text(4, "Identity")
    kind = number(1, 1)
    value = text(1, "out") + head(2, len(head(1, len(kind)) + kind)) + \
        head(1, len(kind)) + kind
    before = head(1, len(node)) + node + text(2, "bench")
    after = head(12, len(value)) + value
    size = len(before) + len(after) + sum(memoryview(p).nbytes for p in parts)
    opset = text(1, "") + number(2, 13)
    with open(path, "wb") as f:
        f.write(number(1, 7) + head(7, size) + before)
        for part in parts:
            f.write(part)
        f.write(after + head(8, len(opset)) + opset)


def write_npz(path, weights):
    numpy.savez(path, **{name: w.numpy() for name, w in weights.items()})
