"""
Packed blocks, built from the description in src/kernel/pack_format.h, with
frames of zstd by their specification (RFC 8878).
"""
import struct

RAW, CONSTANT, ZSTD, SPARSE = range(4)


def section(method, data):
    return struct.pack("<BI", method, len(data)) + data


def raw(data):
    return section(RAW, data)


def constant(byte):
    return section(CONSTANT, bytes([byte]))


def sparse(byte, count, mask, values):
    return section(SPARSE, struct.pack("<BI", byte, count) + mask + values)


def frame(size, *blocks):
    """Of blocks of one byte many times, or of bytes as they are."""
    out = struct.pack("<IBI", 0xFD2FB528, 0xa0, size)
    for i, block in enumerate(blocks):
        last = i == len(blocks) - 1
        if isinstance(block, tuple):
            byte, times = block
            header, body = last | 1 << 1 | times << 3, bytes([byte])
        else:
            header, body = last | len(block) << 3, block
        out += struct.pack("<I", header)[:3] + body
    return section(ZSTD, out)


def block(size, *sections, width=1, number=0, values=None, version=1,
          tail=b""):
    masked = values is not None
    count = values if masked else size // width
    return struct.pack("<BBBBII", version, width, number, masked, size,
                       count) + b"".join(sections) + tail


def nested(depth):
    """A plane of 1024 zeros in so many sparse sections."""
    size, inner = 1024 >> depth, None
    inner = raw(bytes(size))
    for _ in range(depth):
        mask = b"\x55" * (2 * size // 8)
        inner = sparse(0, size, raw(mask), inner)
        size *= 2
    return block(1024, inner)


def valid():
    yield "empty", block(0, raw(b""))
    yield "raw", block(3, raw(b"abc"))
    yield "constant", block(1000, constant(7))
    yield "large", block(262144, constant(1))
    yield "zstd", block(300, frame(300, b"x" * 100, (5, 200)))
    yield "planes", block(12, constant(0), raw(b"abc"), constant(1),
                          raw(b"xyz"), width=4, number=1)
    yield "tail", block(11, constant(1), raw(b"abcde"), width=2, number=2,
                        tail=b"z")
    yield "wide", block(16, *[raw(bytes([i, i])) for i in range(8)], width=8)
    yield "masked", block(40, raw(b"\5\0\x08"), raw(b"abc"), constant(1),
                          width=2, number=2, values=3)
    yield "masked_empty", block(64, constant(0), raw(b""), raw(b""), width=2,
                                values=0)
    yield "sparse", block(24, sparse(9, 3, raw(b"\1\2\x80"), raw(b"abc")))
    yield "sparse_zstd", block(
        512, sparse(1, 8, frame(64, (0, 63), b"\xff"), frame(8, (3, 8))))
    yield "nested", nested(8)


def invalid():
    yield "nothing", b""
    yield "short_header", block(3, raw(b"abc"))[:11]
    yield "version", block(3, raw(b"abc"), version=2)
    yield "width", block(3, raw(b"abc"), width=3)
    yield "width_zero", struct.pack("<BBBBII", 1, 0, 0, 0, 3, 3) + raw(b"abc")
    yield "number", block(3, raw(b"abc"), number=3)
    yield "masked_flag", struct.pack("<BBBBII", 1, 1, 0, 2, 3, 3) + raw(b"abc")
    yield "too_large", block(262145, constant(1))
    yield "count", struct.pack("<BBBBII", 1, 1, 0, 0, 3, 2) + raw(b"abc")
    yield "raw_short", block(4, raw(b"abc"))
    yield "raw_long", block(2, raw(b"abc"))
    yield "raw_cut", block(3, raw(b"abc"))[:-1]
    yield "behind", block(3, raw(b"abc"), tail=b"x")
    yield "constant_two", block(9, section(CONSTANT, b"ab"))
    yield "constant_none", block(9, section(CONSTANT, b""))
    yield "method", block(3, section(4, b"abc"))
    yield "section_size", block(3, struct.pack("<BI", RAW, 2**32 - 1) + b"abc")
    yield "zstd_short", block(301, frame(300, (5, 300)))
    yield "zstd_long", block(299, frame(300, (5, 300)))
    yield "zstd_twice", block(20, section(
        ZSTD, frame(10, (5, 10))[5:] + frame(10, (5, 10))[5:]))
    yield "zstd_junk", block(10, section(ZSTD, frame(10, (5, 10))[5:] + b"x"))
    yield "zstd_none", block(10, section(ZSTD, b""))
    yield "planes_missing", block(8, raw(b"abcd"), width=2)
    yield "tail_missing", block(11, constant(1), constant(2), width=2)
    yield "masked_more", block(4, raw(b"\7"), raw(b"abc"), constant(0),
                               width=2, values=3)
    yield "masked_fewer", block(40, raw(b"\5\0\x08"), raw(b"ab"),
                                constant(1), width=2, values=2)
    yield "masked_beyond", block(40, raw(b"\5\0\0"), raw(b"abc"),
                                 constant(1), width=2, values=3)
    yield "masked_padding", block(8, raw(b"\x11"), raw(b"ab"), constant(1),
                                  width=2, values=2)
    yield "sparse_fewer", block(24, sparse(9, 2, raw(b"\1\2\x80"), raw(b"ab")))
    yield "sparse_most", block(8, sparse(9, 5, raw(b"\x1f"), raw(b"abcde")))
    yield "sparse_padding", block(9, sparse(9, 1, raw(b"\0\x80"), raw(b"a")))
    yield "sparse_short", block(24, section(SPARSE, b"\0\0\0"))
    yield "sparse_behind", block(24, section(
        SPARSE, struct.pack("<BI", 9, 0) + constant(0) + raw(b"") + b"x"))
    yield "nested", nested(9)
