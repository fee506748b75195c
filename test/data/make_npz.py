#!/usr/bin/python3
"""
Makes the NumPy files of this folder and sums_npz.csv, which has a line for
each array as numpy reads it.  Needs numpy and torch (Debian's do), and
digits_mlp.pth, which make.py makes.  numpy gives the members of its archives
a fixed date, so a second run with the same numpy and zlib gives the same bytes.
"""
import csv
import hashlib
import math
import os
import zipfile

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))

NAMES = {"f8": "f64", "f4": "f32", "f2": "f16", "i8": "i64", "i4": "i32",
         "i2": "i16", "i1": "i8", "u8": "u64", "u4": "u32", "u2": "u16",
         "u1": "u8", "b1": "bool"}

# Bits that a careless reader changes: NaNs with payloads, infinities, -0, the
# smallest subnormal, the largest and the smallest normal number.
FLOAT_EDGES = {
    "f8": [0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000000,
           0xFFF0000000000000, 0x8000000000000000, 0, 1,
           0x7FEFFFFFFFFFFFFF, 0x0010000000000000],
    "f4": [0x7FC00000, 0xFFC00001, 0x7F800000, 0xFF800000, 0x80000000, 0, 1,
           0x7F7FFFFF, 0x00800000],
    "f2": [0x7E00, 0xFE01, 0x7C00, 0xFC00, 0x8000, 0, 1, 0x7BFF, 0x0400]}


def path(name):
    return os.path.join(HERE, name)


def edges(dtype):
    """A matrix of 3 by 4 of a dtype, little endian."""
    kind = numpy.dtype(dtype)
    if kind.kind == "b":
        values = numpy.array([1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1], "u1")
        return values.view("b1").reshape(3, 4)
    if kind.kind == "f":
        bits = FLOAT_EDGES[dtype]
        ordinary = numpy.array([0.5, -3.25, 100], "<" + dtype)
        both = numpy.array(bits, "<u" + dtype[1]).tobytes() + ordinary.tobytes()
        return numpy.frombuffer(both, "<" + dtype).reshape(3, 4)
    limits = numpy.iinfo(kind)
    values = [limits.min, limits.max, 0, 1, limits.max // 3, 7, 2, 3, 5, 8, 13,
              21]
    return numpy.array(values, "<" + dtype).reshape(3, 4)


def all_arrays():
    arrays = {}
    for dtype in NAMES:
        little = edges(dtype)
        arrays[dtype] = little
        # not by astype, which may make another NaN of a NaN
        big = little.byteswap().view(little.dtype.newbyteorder(">"))
        arrays[dtype + "_big"] = big
        arrays[dtype + "_fortran"] = numpy.asfortranarray(little)
    cube = numpy.arange(2 * 3 * 4 * 5, dtype="<f4").reshape(2, 3, 4, 5)
    arrays["cube"] = cube
    arrays["cube_fortran"] = numpy.asfortranarray(cube)
    arrays["cube_fortran_big"] = numpy.asfortranarray(cube.astype(">f4"))
    arrays["scalar"] = numpy.array(2.5)
    arrays["vector"] = numpy.arange(3, dtype="<i2")
    arrays["vector_of_one"] = numpy.array([7], "<u2")
    arrays["empty"] = numpy.zeros(0, "<f4")
    arrays["empty_middle"] = numpy.asfortranarray(numpy.zeros((2, 0, 3), "<f8"))
    arrays["column"] = numpy.asfortranarray(numpy.ones((4, 1), "<f4"))
    arrays["na\u00efve/\u91cd\u307f"] = numpy.array([1, 2], "<f4")
    return arrays


def write_versions(name):
    """An archive whose members have headers of all versions, the last one of
    them deflated."""
    with zipfile.ZipFile(path(name), "w") as archive:
        for major in (1, 2, 3):
            info = zipfile.ZipInfo("version%d.npy" % major)
            if major == 3:
                info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as member:
                numpy.lib.format.write_array(
                    member, numpy.arange(major, dtype="<f4"), (major, 0))


def finite_sum(array):
    values = [float(x) for x in array.reshape(-1)]
    finite = [x for x in values if math.isfinite(x)]
    return math.fsum(finite), len(values) - len(finite)


def describe(file):
    """Lines for sums_npz.csv."""
    found = numpy.load(path(file), allow_pickle=False)
    arrays = found.items() if file.endswith(".npz") else [("array", found)]
    for name, array in arrays:
        little = array.dtype.newbyteorder("<")
        plain = array if array.dtype == little else array.byteswap().view(little)
        total, odd = finite_sum(plain)
        yield [file, name, NAMES[little.str[1:]],
               "{%s}" % ",".join(str(n) for n in array.shape), repr(total), odd,
               hashlib.sha256(numpy.ascontiguousarray(plain).tobytes()).hexdigest()]


def main():
    weights = torch.load(path("digits_mlp.pth"))
    numpy.savez(path("digits_mlp.npz"),
                **{name: t.numpy() for name, t in weights.items()})
    numpy.savez_compressed(path("arrays.npz"), **all_arrays())
    write_versions("versions.npz")
    numpy.save(path("fortran_big.npy"), numpy.asfortranarray(
        numpy.linspace(0, 1, 60, dtype=">f8").reshape(3, 4, 5)))
    with open(path("sums_npz.csv"), "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["file", "tensor", "dtype", "shape", "finite_sum",
                      "not_finite", "sha256"])
        for file in ("digits_mlp.npz", "arrays.npz", "versions.npz",
                     "fortran_big.npy"):
            out.writerows(describe(file))


if __name__ == "__main__":
    main()
