"""
The flat form of a model taken apart, for what SQL does not show: the integers,
scales and zero points that a payload stores.  See src/model/flat.c and
src/model/affine.h.
"""
import struct

import numpy

AFFINE = 10
CODES = {10: numpy.int8, 14: numpy.uint8, 9: numpy.int16, 13: numpy.uint16}
I4, U4 = 16, 17


def align(at):
    return (at + 63) // 64 * 64


class Stored:
    """A payload as it lies there."""

    def __init__(self, dims, count, encoding, data):
        self.dims, self.count = dims, count
        self.encoding, self.data = encoding, data

    def numbers(self, codes, at, n):
        if codes not in (I4, U4):
            return numpy.frombuffer(self.data, CODES[codes], n, at).astype(int)
        packed = numpy.frombuffer(self.data, numpy.uint8, (n + 1) // 2, at)
        out = numpy.stack([packed & 15, packed >> 4], 1).reshape(-1)[:n]
        out = out.astype(int)
        return numpy.where(out > 7, out - 16, out) if codes == I4 else out

    def affine(self):
        """Integers in the tensor's shape, scales, zero points."""
        codes, has_zeros = self.data[0], self.data[1]
        axis, inner, group = struct.unpack_from("<qqq", self.data, 8)
        outer = self.count // (axis * inner)
        n = axis if group == 0 else outer * inner * ((axis - 1) // group + 1)
        scales = numpy.frombuffer(self.data, numpy.float32, n, 64)
        at = align(64 + 4 * n)
        zeros = numpy.zeros(n, int)
        if has_zeros:
            zeros = self.numbers(codes, at, n)
            bits = 4 if codes in (I4, U4) else 8 * CODES[codes]().itemsize
            at = align(at + (n * bits + 7) // 8)
        integers = self.numbers(codes, at, self.count).reshape(self.dims)
        return integers, scales, zeros


def read(data):
    """{name: Stored} of a model's bytes, which come without the length word."""
    data = bytes(4) + data
    ntensors, npayloads, directory, metadata, recipe = struct.unpack_from(
        "<IIIII", data, 12)
    at, payloads = 72, []
    for _ in range(npayloads):
        payloads.append(struct.unpack_from("<QqBB", data, at))
        at += 64
    tensors = []
    for _ in range(ntensors):
        payload, length, ndim, _ = struct.unpack_from("<IHBB", data, at)
        dims = struct.unpack_from("<%dq" % ndim, data, at + 8)
        name = data[at + 8 + 8 * ndim:at + 8 + 8 * ndim + length].decode()
        tensors.append((name, dims, payload))
        at += 8 + (8 * ndim + length + 7) // 8 * 8
    end, parts = 72 + directory + metadata + recipe, []
    for stored, _, _, _ in payloads:
        parts.append(data[align(end):align(end) + stored])
        end = align(end) + stored
    return {name: Stored(dims, payloads[p][1], payloads[p][3], parts[p])
            for name, dims, p in tensors}
