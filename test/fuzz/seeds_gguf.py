"""
GGUF files, built from the format's specification.

Nothing of the extension is used.  The builder is the one of the hostile
regression tests.
"""
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "hostile"))
from ggufform import (  # noqa: E402
    ARRAY, BOOL, F32, F64, FORMATS, I8, I64, STRING, TYPES, U8, U32, U64,
    Tensor, array, build, key, ramp, string, u32, u64)

ARCHITECTURE = key("general.architecture", STRING, "llama")


def all_keys():
    """A key of every type, one value and an array."""
    keys = [ARCHITECTURE]
    for kind in sorted(FORMATS) + [STRING]:
        one = {F32: 0.1, F64: 1 / 3, BOOL: 1, STRING: "naïve 重み"}.get(kind, 7)
        keys.append(key("one.%d" % kind, kind, one))
        keys.append(key("many.%d" % kind, kind, [one, one, one]))
        keys.append(key("none.%d" % kind, kind, []))
    return keys


def floats():
    """Floats that need care: signs, NaNs, infinities, the smallest, the
    largest."""
    for i, bits in enumerate((0, 1 << 31, 0x7f800000, 0xff800000, 0x7fc00000,
                              0xffc00000, 0x7f800001, 1, 0x7f7fffff,
                              0x3f800000, 0x2edbe6ff, 0x58635fa9, 0x58635faa)):
        yield key("f32.%d" % i, F32, struct.pack("<I", bits))
    for i, bits in enumerate((0, 1 << 63, 0x7ff << 52, 0xfff << 52,
                              0x7ff8 << 48, 0xfff8 << 48, (0x7ff << 52) + 1, 1,
                              0x7fefffffffffffff, 0x3ff0000000000000,
                              0x430c6bf526340000, 0x430c6bf52633ffff)):
        yield key("f64.%d" % i, F64, struct.pack("<Q", bits))


def valid():
    yield "nothing", build()
    yield "unpadded", build()[:24]
    yield "keys", build(all_keys())
    yield "floats", build(list(floats()))
    yield "long_arrays", build(
        [key("numbers", I8, [i % 100 - 50 for i in range(1025)]),
         key("bools", BOOL, [i % 2 for i in range(1025)]),
         key("list", U8, [3] * 1024)])
    yield "strings", build(
        [key("no_utf8", STRING, b"\xff\xfe"), key("nul", STRING, b"a\0b"),
         key("control", STRING, b"\1\n\"\\/\x7f"),
         key("mixed", STRING, ["a", b"\x80", "", b"\0"])])
    for kind, (_, elements, _) in TYPES.items():
        yield "tensor_" + kind, build(
            [ARCHITECTURE], [Tensor("w", (3, 2 * elements), kind)])
    yield "version2", build([ARCHITECTURE], [Tensor("w", (2, 3))], version=2)
    yield "aligned", build([key("general.alignment", U32, 8)],
                           [Tensor("a", (3,), "I8"), Tensor("b", (5,), "I8")],
                           alignment=8)
    yield "aligned4096", build([key("general.alignment", U32, 4096)],
                               [Tensor("a", (3,), "I8")], alignment=4096)
    yield "last_padding", build([], [Tensor("a", (3,)), Tensor("b", (1,))],
                                last_padding=False)
    yield "shapes", build([], [Tensor("scalar", ()), Tensor("one", (1,)),
                               Tensor("four", (2, 1, 3, 2)),
                               Tensor("重み", (1, 1, 64), "Q8_0")])
    yield "many", build([], [Tensor("t%d" % i, (2,), "F16")
                             for i in range(40)])
    # more elements than are read at once
    yield "long", build([], [Tensor("w", (129, 256), "Q4_0"),
                             Tensor("v", (130, 256), "Q6_K")])


def invalid():
    good = build([ARCHITECTURE], [Tensor("w", (2, 3))])
    yield "empty", b""
    yield "magic", build(magic=b"GGUE")
    for version in (0, 1, 4, 0x03000000):
        yield "version%d" % version, build(version=version)
    yield "tensors", build(ntensors=2 ** 60)
    yield "tensors_negative", build(ntensors=-1)
    yield "keys", build(nkeys=2 ** 60)
    yield "cut", good[:-32]
    yield "longer", good + b"\0"
    yield "hidden", good[:-1] + b"\1"
    yield "key_empty", build([key("", U8, 1)])
    yield "key_characters", build([key("a b", U8, 1)])
    yield "key_twice", build([key("a", U8, 1), key("a", U8, 2)])
    yield "key_type", build([string("a") + u32(13) + u64(0)])
    yield "bool", build([key("a", BOOL, 2)])
    yield "nested", build([string("a") + u32(ARRAY) + u32(ARRAY) + u64(1) +
                           array(U8, [1])])
    yield "array", build([string("a") + u32(ARRAY) + u32(U64) + u64(2 ** 61)])
    yield "alignment", build([key("general.alignment", U32, 12)])
    yield "alignment_type", build([key("general.alignment", I64, 32)])
    yield "name_empty", build([], [Tensor("", (1,))])
    yield "name_long", build([], [Tensor("x" * 64, (1,))])
    yield "name_twice", build([], [Tensor("x", (1,)), Tensor("x", (1,))])
    yield "rank", build([], [Tensor("x", (1, 1, 1, 1, 1))])
    yield "zero", build([], [Tensor("x", (0,))])
    yield "overflow", build([], [Tensor("x", (1,), shape=(2 ** 32, 2 ** 32))])
    yield "type", build([], [Tensor("x", (1,), type=43)])
    yield "type_q2_k", build([], [Tensor("x", (256,), "Q4_K", type=10)])
    yield "row", build([], [Tensor("x", (2, 32), "Q4_0", shape=(4, 16))])
    yield "offset", build([], [Tensor("x", (1,)), Tensor("y", (1,), offset=0)])
    yield "short", build([], [Tensor("x", (9,), data=ramp(32))])
