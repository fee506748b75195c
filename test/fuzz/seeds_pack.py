"""
Packed blocks, built from the description in src/kernel/pack_format.h, with
frames of zstd by their specification (RFC 8878), but for the magic number.
"""
import struct

RAW, CONSTANT, ZSTD, SPARSE = (bytes([method]) for method in range(4))


def three(number):
    return struct.pack("<I", number)[:3]


def raw(data):
    return RAW + data


def constant(byte):
    return CONSTANT + bytes([byte])


def sparse(byte, count, mask, values):
    return SPARSE + bytes([byte]) + three(count) + mask + values


def zstd(data):
    return ZSTD + three(len(data)) + data


def frame(size, *blocks):
    """Of blocks of one byte many times, or of bytes as they are."""
    out = struct.pack("<BI", 0xa0, size)
    for i, block in enumerate(blocks):
        last = i == len(blocks) - 1
        if isinstance(block, tuple):
            byte, times = block
            out += three(last | 1 << 1 | times << 3) + bytes([byte])
        else:
            out += three(last | len(block) << 3) + block
    return out


def block(size, *sections, width=0, number=0, values=None, version=1,
          tail=b"", masks=None):
    """The width is a logarithm."""
    masked = values is not None
    if masks is None:
        masks = int(masked)
    out = struct.pack("<BBI", version, width | number << 2 | masks << 4, size)
    if masked:
        out += struct.pack("<I", values)
    return out + b"".join(sections) + tail


def nested(depth):
    """A plane of 1024 zeros in so many sparse sections."""
    size = 1024 >> depth
    inner = raw(bytes(size))
    for _ in range(depth):
        inner = sparse(0, size, raw(b"\x55" * (2 * size // 8) or b"\1"), inner)
        size *= 2
    return block(1024, inner)


def valid():
    yield "empty", block(0, raw(b""))
    yield "raw", block(3, raw(b"abc"))
    yield "constant", block(1000, constant(7))
    yield "large", block(262144, constant(1))
    yield "zstd", block(300, zstd(frame(300, b"x" * 100, (5, 200))))
    yield "planes", block(12, constant(0), raw(b"abc"), constant(1),
                          raw(b"xyz"), width=2, number=1)
    yield "tail", block(11, constant(1), raw(b"abcde"), width=1, number=2,
                        tail=b"z")
    yield "wide", block(16, *[raw(bytes([i, i])) for i in range(8)], width=3)
    yield "masked", block(40, raw(b"\5\0\x08"), raw(b"abc"), constant(1),
                          width=1, number=2, values=3)
    yield "masked_empty", block(64, constant(0), raw(b""), raw(b""), width=1,
                                values=0)
    yield "masked_twice", block(
        40, raw(b"\5\0\x08"), struct.pack("<I", 1), raw(b"\4"), raw(b"a"),
        raw(b"b"), width=1, number=2, values=3, masks=2)
    yield "sparse", block(24, sparse(9, 3, raw(b"\1\2\x80"), raw(b"abc")))
    yield "sparse_zstd", block(512, sparse(
        1, 8, zstd(frame(64, (0, 63), b"\xff")), zstd(frame(8, (3, 8)))))
    yield "nested", nested(8)


def invalid():
    whole = frame(10, (5, 10))
    yield "nothing", b""
    yield "short_header", block(3, raw(b"abc"))[:5]
    yield "version", block(3, raw(b"abc"), version=2)
    yield "number", block(3, raw(b"abc"), number=3)
    yield "masks", block(2, raw(b""), *[
        struct.pack("<I", 0) + raw(b"")] * 2, raw(b""), raw(b""), width=1,
        values=0, masks=3)
    yield "flag", struct.pack("<BBI", 1, 1 << 6, 3) + raw(b"abc")
    yield "too_large", block(262145, constant(1))
    yield "raw_short", block(4, raw(b"abc"))
    yield "raw_long", block(2, raw(b"abc"))
    yield "raw_none", block(3)
    yield "behind", block(3, raw(b"abc"), tail=b"x")
    yield "constant_two", block(9, constant(1), constant(2))
    yield "constant_none", block(9, CONSTANT)
    yield "method", block(3, b"\4abc")
    yield "zstd_short", block(301, zstd(frame(300, (5, 300))))
    yield "zstd_long", block(299, zstd(frame(300, (5, 300))))
    yield "zstd_junk", block(10, zstd(whole + b"x"))
    yield "zstd_none", block(10, zstd(b""))
    yield "zstd_cut", block(10, zstd(whole)[:-1])
    yield "zstd_magic", block(10, zstd(b"\x28\xb5\x2f\xfd" + whole))
    yield "planes_missing", block(8, raw(b"abcd"), width=1)
    yield "tail_missing", block(11, constant(1), constant(2), width=1)
    yield "masked_more", block(4, raw(b"\7"), raw(b"abc"), constant(0),
                               width=1, values=3)
    yield "masked_fewer", block(40, raw(b"\5\0\x08"), raw(b"ab"), constant(1),
                                width=1, values=2)
    yield "masked_beyond", block(40, raw(b"\5\0\0"), raw(b"abc"), constant(1),
                                 width=1, values=3)
    yield "masked_padding", block(8, raw(b"\x11"), raw(b"ab"), constant(1),
                                  width=1, values=2)
    yield "masked_short", block(8, width=1, values=2)[:8]
    yield "sparse_fewer", block(24, sparse(9, 2, raw(b"\1\2\x80"), raw(b"ab")))
    yield "sparse_most", block(8, sparse(9, 5, raw(b"\x1f"), raw(b"abcde")))
    yield "sparse_padding", block(9, sparse(9, 1, raw(b"\0\x80"), raw(b"a")))
    yield "sparse_short", block(24, SPARSE + b"\0\0\0")
    yield "sparse_behind", block(24, sparse(9, 0, constant(0), raw(b"x")))
    yield "nested", nested(9)
