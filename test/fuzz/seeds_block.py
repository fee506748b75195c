"""
Seeds for fuzz_block: a header of five bytes (see there), then cells for the
encoder or a coded block.
"""
import struct

ENCODE, BASE, LARGE = 0x20, 0x10, 0x40
WIDTHS = {1: 0, 2: 1, 4: 2, 8: 3}
UNSIGNED, SIGNED, FLOAT = 0, 4, 8


def header(flags, width, number, size, change=1):
    return struct.pack("<BB", flags | WIDTHS[width] | number, change) + \
        struct.pack("<I", size)[:3]


def floats(n):
    return struct.pack("<%df" % n, *(1 / (i + 1) for i in range(n)))


def valid():
    """Whatever is encoded must come out again."""
    contents = {"zeros": bytes(64), "floats": floats(300),
                "bytes": bytes(range(256)), "few": bytes(70) + b"\1\2\3",
                "nothing": b""}
    for name, data in contents.items():
        for width in WIDTHS:
            for number in (UNSIGNED, SIGNED, FLOAT):
                for flags in (ENCODE, ENCODE | BASE):
                    yield ("%s.%d.%d.%d" % (name, width, number, flags),
                           header(flags, width, number, 2400) + data)
    yield "large", header(ENCODE | LARGE, 4, FLOAT, 262144) + floats(999)
    yield "empty", header(ENCODE, 4, FLOAT, 0)
    yield "base", header(BASE, 4, FLOAT, 400)


def invalid():
    """Coded blocks that are none."""
    for flags in range(8, 256, 31):
        yield "flags%d" % flags, header(BASE, 4, FLOAT, 400) + bytes([flags]) + bytes(40)
    for plan in (0, 1, 2, 3, 4):
        yield "cut%d" % plan, header(BASE, 4, FLOAT, 400) + bytes([plan])
        yield "ones%d" % plan, header(BASE, 4, FLOAT, 400) + bytes([plan]) + b"\xff" * 60
    yield "no_base", header(0, 4, FLOAT, 400)
