"""
Models in the flat form, built from its description in src/model/flat.c.

Nothing of the extension is used, so that a seed that is read is a check of
the layout and of its digests.
"""
import hashlib
import struct

import seeds_pack

DTYPES = {"f64": (1, 64), "f32": (2, 32), "f16": (3, 16), "bf16": (4, 16),
          "f8e4m3": (5, 8), "f8e5m2": (6, 8), "i64": (7, 64), "i32": (8, 32),
          "i16": (9, 16), "i8": (10, 8), "u64": (11, 64), "u32": (12, 32),
          "u16": (13, 16), "u8": (14, 8), "bool": (15, 8), "i4": (16, 4),
          "u4": (17, 4), "f8e4m3fnuz": (18, 8), "f8e5m2fnuz": (19, 8),
          "f8e8m0": (20, 8)}
DENSE, SPARSE, Q8_0, AFFINE, CODEBOOK, LOWRANK, PLANES = 0, 1, 6, 10, 11, 12, 13
ALIGNMENT = 64
HEADER = 72


def up(n, alignment):
    return -(-n // alignment) * alignment


class Payload:
    """Elements, given as their bytes, to be stored in an encoding."""

    def __init__(self, dtype, elements, count=None, encoding=DENSE):
        self.code, self.bits = DTYPES[dtype]
        self.elements = elements
        self.count = len(elements) * 8 // self.bits if count is None else count
        self.encoding = encoding
        self.digest = hashlib.sha256(elements).digest()
        self.stored = elements if encoding == DENSE else self.sparse()

    def sparse(self):
        """A mask, bit i of byte i / 8 for an element with a bit set, padded,
        and those elements."""
        width = self.bits // 8
        mask = bytearray(up(-(-self.count // 8), ALIGNMENT))
        values = bytearray()
        for i in range(self.count):
            element = self.elements[i * width:(i + 1) * width]
            if any(element):
                mask[i // 8] |= 1 << i % 8
                values += element
        return bytes(mask + values)

    def entry(self):
        return struct.pack("<QqBB14x32s", len(self.stored), self.count,
                           self.code, self.encoding, self.digest)


def quantized(blocks):
    """Blocks of 32 integers whose scale is 0.5, in 16 bits."""
    integers = [i * 37 % 256 - 128 for i in range(32 * blocks)]
    payload = Payload("f32", struct.pack("<%df" % len(integers),
                                         *(i / 2 for i in integers)))
    payload.encoding = Q8_0
    payload.stored = b"".join(
        b"\x00\x38" + struct.pack("<32b", *integers[i:i + 32])
        for i in range(0, len(integers), 32))
    return payload


def packed(dtype, elements, *blocks):
    """Elements in blocks that are made elsewhere (seeds_pack), with their
    directory and what has to follow them."""
    payload = Payload(dtype, elements)
    payload.encoding = PLANES
    payload.stored = struct.pack("<%dI" % len(blocks), *map(len, blocks)) + \
        b"".join(blocks)
    payload.stored += bytes(max(0, len(elements) // 1024 -
                                len(payload.stored)))
    return payload


def packed_constant(dtype, byte, size):
    """One byte as often as that."""
    return packed(dtype, bytes([byte]) * size, *[
        seeds_pack.block(n, seeds_pack.constant(byte))
        for n in [262144] * (size // 262144) + [size % 262144] if n])


def packed_floats():
    """Four floats of which one is not zero, and packed bools."""
    numbers = struct.pack("<16f", *([0.0] * 15 + [-1.5]))
    turned = struct.pack("<I", 0xbfc00000 << 1 & 0xffffffff | 1)
    return packed("f32", numbers, seeds_pack.block(
        64, seeds_pack.raw(b"\0\x80"),
        *[seeds_pack.raw(turned[i:i + 1]) for i in (3, 2, 1, 0)], width=2,
        number=2, values=1))


def pad(data):
    return data + bytes(-len(data) % 64)


def packed_integers(numbers, bits):
    """Integers one after another, the lowest bits first."""
    word = 0
    for i, number in enumerate(numbers):
        word |= (number & (1 << bits) - 1) << i * bits
    return word.to_bytes(-(-len(numbers) * bits // 8), "little")


def affine_bytes(codes, bits, code, scales, zeros, axis, inner, group):
    """The affine encoding, as src/model/affine.h has it."""
    out = struct.pack("<BB6xqqq32x", code, zeros is not None, axis, inner,
                      group)
    out += pad(struct.pack("<%df" % len(scales), *scales))
    if zeros is not None:
        out += pad(packed_integers(zeros, bits))
    return out + packed_integers(codes, bits)


def codebook_bytes(codes, bits, values, form="f"):
    """The codebook encoding, as src/model/codebook.h has it."""
    return (pad(struct.pack("<BBH60x", bits, 0, len(values)) +
                struct.pack("<%d%s" % (len(values), form), *values)) +
            packed_integers(codes, bits))


def lowrank_bytes(rows, columns, rank, left, right, form="f"):
    """The low-rank encoding, as src/model/lowrank.h has it."""
    return (struct.pack("<qqq40x", rows, columns, rank) + struct.pack(
        "<%d%s" % (len(left + right), form), *(left + right)))


def encoded(dtype, form, elements, encoding, stored):
    payload = Payload(dtype, struct.pack("<%d%s" % (len(elements), form),
                                         *elements))
    payload.encoding = encoding
    payload.stored = stored
    return payload


def affine(code="i8", zeros=False, channels=8, each=20, group=0):
    """Rows of integers; scales are powers of two, so that products are
    exact."""
    code, bits = DTYPES[code]
    low = 0 if code in (14, 17) else -(1 << bits - 1)
    codes = [(i * 37 + 5) % (1 << bits) + low for i in range(channels * each)]
    per = group or each
    n = channels * -(-each // per) if group else channels
    scales = [2.0 ** (i % 5 - 3) for i in range(n)]
    points = [low + i % 3 for i in range(n)] if zeros else None
    elements = []
    for i, number in enumerate(codes):
        row, place = divmod(i, each)
        which = row * -(-each // per) + place // per if group else row
        elements.append((number - (points[which] if zeros else 0)) *
                        scales[which])
    return encoded("f32", "f", elements, AFFINE, affine_bytes(
        codes, bits, code, scales, points, each if group else channels,
        1 if group else each, group))


def codebook(bits=3, count=301):
    values = [i * 0.5 - 1 for i in range(min(1 << bits, 100))]
    codes = [i * 7 % len(values) for i in range(count)]
    return encoded("f32", "f", [values[c] for c in codes], CODEBOOK,
                   codebook_bytes(codes, bits, values))


def lowrank(rows=12, columns=30, rank=2):
    left = [float(i % 7 - 3) for i in range(rows * rank)]
    right = [float(i % 5) for i in range(rank * columns)]
    elements = [sum(left[i * rank + k] * right[k * columns + j]
                    for k in range(rank))
                for i in range(rows) for j in range(columns)]
    return encoded("f32", "f", elements, LOWRANK,
                   lowrank_bytes(rows, columns, rank, left, right))


def tensor_entry(name, shape, payload):
    name = name.encode()
    rest = struct.pack("<%dq" % len(shape), *shape) + name
    return (struct.pack("<IHBB", payload, len(name), len(shape), 0) + rest +
            bytes(up(len(rest), 8) - len(rest)))


def model_digest(tensors, payloads, metadata):
    digest = hashlib.sha256()
    for name, shape, index in tensors:
        payload = payloads[index]
        name = name.encode()
        digest.update(struct.pack("<I", len(name)) + name)
        digest.update(bytes([payload.code, len(shape)]))
        digest.update(struct.pack("<%dq" % len(shape), *shape))
        digest.update(payload.digest)
    digest.update(struct.pack("<I", len(metadata)) + metadata)
    return digest.digest()


def build(tensors, metadata=b"{}", recipe=b"[]", header=(), wrong=()):
    """tensors: (name, shape, Payload); one that comes again is tied.  What
    header has goes into the header instead of what belongs there, and what
    wrong has are indexes of payloads, by tensor, to be written instead."""
    payloads = []
    indexed = []
    for name, shape, payload in tensors:
        if payload not in payloads:
            payloads.append(payload)
        indexed.append((name, shape, payloads.index(payload)))
    directory = b"".join(p.entry() for p in payloads)
    wrong = dict(wrong)
    directory += b"".join(
        tensor_entry(name, shape, wrong.get(i, index))
        for i, (name, shape, index) in enumerate(indexed))
    body = directory + metadata + recipe
    for payload in payloads:
        size = HEADER + len(body)
        body += bytes(up(size, ALIGNMENT) - size) + payload.stored
    total = HEADER + len(body)
    fields = {"length": total << 2, "magic": b"mdlo", "version": 1, "flags": 0,
              "reserved": 0, "ntensors": len(indexed),
              "npayloads": len(payloads), "directory": len(directory),
              "metadata": len(metadata), "recipe": len(recipe),
              "total": total,
              "digest": model_digest(indexed, payloads, metadata)}
    fields.update(header)
    return struct.pack("<I4sBBHIIIIIQ32s", *fields.values()) + body


def ramp(dtype, count):
    """Elements with every kind of byte in them, or bools."""
    size = -(-count * DTYPES[dtype][1] // 8)
    if dtype == "bool":
        return bytes(i % 3 == 0 for i in range(size))
    data = bytearray((i * 37 + 11) % 256 for i in range(size))
    if dtype in ("i4", "u4") and count % 2:
        data[-1] &= 0x0f
    return bytes(data)


def sprinkled(dtype, count, every):
    """Elements of which most are zero."""
    width = DTYPES[dtype][1] // 8
    data = bytearray(count * width)
    for i in range(0, count, every):
        data[i * width] = 1 + (i % 200 if dtype != "bool" else 0)
    return bytes(data)


def valid():
    yield "nothing", build([])
    for dtype in DTYPES:
        yield "dense_" + dtype, build(
            [("w", (3, 5), Payload(dtype, ramp(dtype, 15), 15))])
    for dtype in ("f64", "f32", "bf16", "u8", "bool"):
        yield "sparse_" + dtype, build(
            [("w", (30, 20), Payload(dtype, sprinkled(dtype, 600, 17),
                                     encoding=SPARSE))])
    # more elements than are read at once
    yield "sparse_long", build(
        [("w", (33001,), Payload("u8", sprinkled("u8", 33001, 997),
                                 encoding=SPARSE))])
    shared = Payload("f32", ramp("f32", 6))
    yield "packed", build([("a", (4, 4), packed_floats()),
                           ("b", (999,), packed_constant("bool", 1, 999)),
                           ("c", (500, 4), packed_constant("i4", 0x71, 1000))])
    yield "tied", build([("a", (2, 3), shared), ("b", (6,), shared),
                         ("c", (), Payload("f16", b"\x00\x3c")),
                         ("d", (3, 2), shared)])
    yield "empty", build([("e", (0, 4), Payload("f64", b"")),
                          ("f", (2, 0), Payload("i4", b"", 0)),
                          ("g", (1,) * 32, Payload("u8", b"\x07"))])
    yield "texts", build(
        [("naïve.重み", (1,), Payload("i8", b"\xff"))],
        '{"pytorch": {"key": "重み"}}'.encode(),
        b'[{"step": "prune", "amount": 0.5}]')
    yield "many", build([("t%03d" % i, (2,), Payload("u16", b"abcd"[:4]))
                         for i in range(40)])


    for name, payload in (
            ("i8", affine()), ("i4", affine("i4", channels=5, each=33)),
            ("u8", affine("u8", True)), ("groups", affine("i4", each=40,
                                                          group=16)),
            ("u4_groups", affine("u4", True, each=37, group=16)),
            ("i16", affine("i16", channels=2, each=99)),
            ("codebook", codebook()), ("codebook_1", codebook(1, 999)),
            ("codebook_8", codebook(8, 900)), ("lowrank", lowrank()),
            ("lowrank_tall", lowrank(90, 4, 1))):
        yield "encoded_" + name, build([("w", (payload.count,), payload)])


def slow():
    for name, payload in (("affine", affine("u4", True, 400, 100)),
                          ("codebook", codebook(5, 40000)),
                          ("lowrank", lowrank(9, 5000, 2))):
        yield name + "_long", build([("w", (payload.count,), payload)])
    yield "sparse_longer", build(
        [("w", (70001,), Payload("bf16", sprinkled("bf16", 70001, 97),
                                 encoding=SPARSE))])
    yield "sparse_zeros", build(
        [("w", (40000,), Payload("f64", bytes(320000), encoding=SPARSE))])
    yield "quantized", build([("w", (3, 64), quantized(6))])
    yield "packed_long", build(
        [("w", (300000, 2), packed_constant("f16", 3, 1200000))])
    yield "quantized_long", build([("w", (1025, 32), quantized(1025))])
    yield "dense_long", build(
        [("w", (33001,), Payload("i4", ramp("i4", 33001), 33001))])


def invalid():
    dense = Payload("f32", ramp("f32", 6))
    plain = [("a", (2, 3), dense)]
    good = build(plain)
    yield "digest", good[:-1] + bytes([good[-1] ^ 1])
    yield "cut", good[:-1]
    yield "longer", good + b"\0"
    yield "header_only", good[:HEADER]
    for field, value in (("version", 2), ("flags", 1),
                         ("reserved", 1), ("ntensors", 2), ("npayloads", 2),
                         ("directory", 2 ** 32 - 1), ("metadata", 2 ** 31),
                         ("recipe", 2 ** 32 - 1), ("total", 2 ** 63),
                         ("ntensors", 2 ** 32 - 1)):
        yield "%s_%s" % (field, value), build(plain, header={field: value})
    yield "magic", build(plain, header={"magic": b"mdlO"})
    yield "no_digest", build(plain, header={"digest": bytes(32)})
    yield "no_object", build(plain, b"[]")
    yield "no_array", build(plain, b"{}", b"{}")
    yield "no_text", build(plain, b'{"\xff": 1}')
    two = [("a", (6,), dense), ("b", (6,), dense)]
    for index in (1, 2, 2 ** 31, 2 ** 32 - 1):
        yield "payload_%d" % index, build(two, wrong={1: index})
    yield "first_payload", build(two, wrong={0: 1})
    yield "two_names", build([("a", (6,), dense), ("a", (6,), dense)])
    yield "other_shape", build([("a", (2, 2), dense)])
    yield "negative", build([("a", (-2, -3), dense)])
    yield "no_name", build([("", (6,), dense)])
    yield "rank", build([("a", (1,) * 33, Payload("u8", b"\1"))])
    yield "bool", build([("a", (2,), Payload("bool", b"\1\2"))])
    yield "nibble", build([("a", (1,), Payload("u4", b"\x1f", 1))])
    sparse = Payload("u8", sprinkled("u8", 600, 17), encoding=SPARSE)
    for name, stored in (("mask_tail", b"\xff" * 76 + sparse.stored[76:]),
                         ("value_zero", sparse.stored[:-1] + b"\0"),
                         ("value_missing", sparse.stored[:-1]),
                         ("no_mask", sparse.stored[:64])):
        other = Payload("u8", sparse.elements, encoding=SPARSE)
        other.stored = stored
        yield "sparse_" + name, build([("a", (600,), other)])
    block = seeds_pack.block(999, seeds_pack.constant(1))
    for name, wrong in (
            ("bool", packed_constant("bool", 2, 999)),
            ("nothing", packed("u8", b"")),
            ("large", packed("u8", bytes(3), seeds_pack.block(
                3, seeds_pack.raw(bytes(3))))),
            ("size", packed("u8", b"\1" * 999, block + b"x")),
            ("other", packed("u8", b"\1" * 998, block)),
            ("more", packed("u8", b"\1" * 999, block, block)),
            ("missing", packed("u8", b"\1" * 262145, seeds_pack.block(
                262144, seeds_pack.constant(1)))),
            ("padding", packed_constant("u8", 1, 999999))):
        if name == "padding":
            wrong.stored = wrong.stored[:-1] + b"\1"
        yield "packed_" + name, build([("a", (wrong.count,), wrong)])
    for name, at, byte in (("longer", 0, 255), ("shorter", 0, 7),
                           ("block", 4, 2)):
        wrong = packed("u8", b"\1" * 999, block)
        stored = bytearray(wrong.stored)
        stored[at] = byte
        wrong.stored = bytes(stored)
        yield "packed_" + name, build([("a", (999,), wrong)])
    few = packed_constant("u8", 1, 999999)
    few.stored = few.stored[:-1]
    yield "packed_few", build([("a", (999999,), few)])
    yield "quantized_rows", build([("a", (4, 16), quantized(2))])
    half = quantized(1)
    half.code = DTYPES["f16"][0]
    yield "quantized_f16", build([("a", (32,), half)])
    cut = quantized(2)
    cut.stored = cut.stored[:-1]
    yield "quantized_cut", build([("a", (64,), cut)])
    for make in (affine, codebook, lowrank):
        payload = make()
        for name, at, byte in (("header", 63, 1), ("kind", 0, 200),
                               ("shape", 8, 77)):
            other = make()
            other.stored = (payload.stored[:at] + bytes([byte]) +
                            payload.stored[at + 1:])
            yield "%s_%s" % (make.__name__, name), build(
                [("a", (payload.count,), other)])
        other = make()
        other.stored = payload.stored[:-4]
        yield make.__name__ + "_cut", build([("a", (payload.count,), other)])
