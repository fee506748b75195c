"""
NumPy's files, built from the format's specification.

Nothing of the extension is used, and no numpy.  Headers and archives are those
of the hostile regression tests, and more of them that must be read.
"""
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "hostile"))
import npzs  # noqa: E402
from ziparchive import Record, build, deflate_stored  # noqa: E402

LARGEST = 65536
CODES = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h",
         "i1": "b", "u8": "Q", "u4": "I", "u2": "H", "u1": "B", "b1": "?"}


def array(dtype, shape, order="<", fortran=False, version=1):
    count = 1
    for n in shape:
        count *= n
    values = [i % 2 if dtype == "b1" else i % 100 for i in range(count)]
    elements = struct.pack("%s%d%s" % (order.replace("|", "<"), count,
                                       CODES[dtype]), *values)
    text = "{'descr': '%s%s', 'fortran_order': %s, 'shape': %s, }" % (
        order, dtype, fortran, tuple(shape))
    start = 11 if version == 1 else 13
    text += " " * (-(start + len(text)) % 64) + "\n"
    return npzs.npy(text, bytes([version, 0]), elements=elements)


def arrays():
    for dtype in CODES:
        for order in "<>":
            yield dtype + order, array(dtype, (2, 3), order)
        yield dtype + "F", array(dtype, (2, 3, 2), "|", fortran=True)
    yield "scalar", array("f4", ())
    yield "vector", array("i8", (3,))
    yield "nothing", array("f8", (2, 0, 3), fortran=True)
    yield "deep", array("u1", (1,) * 31 + (2,), fortran=True)
    yield "columns", array("u2", (1, 5, 1), ">", fortran=True)
    yield "version2", array("f2", (5,), version=2)
    yield "version3", array("f2", (5,), version=3)


def valid():
    members = []
    for name, data in arrays():
        yield name.replace("<", "L").replace(">", "B"), data
        members.append(Record(name + ".npy", data))
        members.append(Record("z/" + name + ".npy", data, method=8,
                              stored=deflate_stored(data)))
    for i in range(0, len(members), 10):
        yield "archive%d" % i, build(members[i:i + 10])
    yield "empty_archive", build([])
    for name, case in cases():
        if case.expect[0].startswith(("accepted", "array 4")):
            yield name, case.wrap(case.data)


def invalid():
    for name, case in cases():
        if not case.expect[0].startswith(("accepted", "array 4")):
            yield name, case.wrap(case.data)


def cases():
    """The hostile cases that are read with no more than their bytes."""
    for i, case in enumerate(npzs.cases()):
        if (not isinstance(case, str) and not case.sql
                and "check_crc" not in case.call
                and len(case.wrap(case.data)) <= LARGEST):
            yield "case%03d" % i, case
