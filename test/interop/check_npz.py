"""
NumPy's files against numpy: those of test/data and arrays made on the spot,
read, written and compared bit for bit in both directions.
"""
import base64
import io
import os
import shutil
import tempfile
import zipfile

import numpy
import torch

import libzip
from harness import (
    DatabaseError, back, check, data_bytes, quote, scalar, skip, store)

DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1",
          "b1")
SHAPES = ((), (1,), (0,), (3,), (2, 3), (4, 1), (2, 0, 3), (2, 3, 4, 5),
          (1, 2, 1, 3, 1, 2, 1))


def saved(arrays, compressed=False):
    out = io.BytesIO()
    (numpy.savez_compressed if compressed else numpy.savez)(out, **arrays)
    return out.getvalue()


def saved_one(array):
    out = io.BytesIO()
    numpy.save(out, array)
    return out.getvalue()


def written(name, expression="m", form="npz"):
    return base64.b64decode(scalar(
        "SELECT encode(model_write(%s, %s), 'base64') FROM interop.models "
        "WHERE name = %s;" % (expression, quote(form), quote(name))))


def loaded(data):
    """The arrays of an archive, or of one array, by their names in order."""
    found = numpy.load(io.BytesIO(data), allow_pickle=False)
    if isinstance(found, numpy.ndarray):
        return {"array": found}
    return {name: found[name] for name in found.files}


def plain(array):
    """The same elements, little endian and in C's order."""
    little = array.dtype.newbyteorder("<")
    if array.dtype != little:
        array = array.byteswap().view(little)
    return numpy.asarray(array, order="C")


def difference(expected, actual):
    if list(expected) != list(actual):
        return "names %s, expected %s" % (list(actual), list(expected))
    for name, a in expected.items():
        a, b = plain(a), actual[name]
        if a.dtype.str != b.dtype.str or a.shape != b.shape:
            return "%s is %s %s, expected %s %s" % (
                name, b.dtype.str, b.shape, a.dtype.str, a.shape)
        if a.tobytes() != b.tobytes():
            return "%s has other elements" % name
        if not b.flags.c_contiguous:
            return "%s is not in C's order" % name
    return ""


def compare(what, data, expected=None):
    """Reads bytes, writes them in both formats, and compares with numpy."""
    expected = loaded(data) if expected is None else expected
    store("npz", data)
    ours = written("npz")
    found = difference(expected, loaded(ours))
    check(not found, "%s: numpy finds the same in what is written" % what,
          found)
    with zipfile.ZipFile(io.BytesIO(ours)) as archive:
        wrong = [name for name, array in expected.items()
                 if archive.read(name + ".npy") != saved_one(plain(array))]
    check(not wrong, "%s: its members are what numpy.save writes" % what,
          wrong)
    store("again", ours)
    same = scalar("SELECT a.m = b.m FROM interop.models a, interop.models b "
                  "WHERE a.name = 'npz' AND b.name = 'again';")
    check(same == "t", "%s: read again it is the same model" % what)


# ---------- reading and writing ----------

def check_files():
    for file in ("digits_mlp.npz", "arrays.npz", "versions.npz",
                 "fortran_big.npy"):
        compare(file, data_bytes(file))


def random_arrays(rng):
    for dtype in DTYPES:
        for order in "<>":
            for fortran in (False, True):
                for shape in SHAPES:
                    count = int(numpy.prod(shape, dtype=int))
                    width = int(dtype[1])
                    if dtype == "b1":
                        raw = rng.integers(0, 2, count, dtype="u1").tobytes()
                    else:
                        raw = rng.bytes(count * width)
                    array = numpy.frombuffer(raw, order + dtype).reshape(shape)
                    if fortran:
                        array = numpy.asfortranarray(array).reshape(shape, order="F")
                    yield ("%s%s%s %s" % ({"<": "little ", ">": "big "}[order],
                                          "fortran " if fortran else "", dtype,
                                          shape), array)


def check_random():
    arrays = dict(random_arrays(numpy.random.default_rng(3)))
    compare("%d random arrays" % len(arrays), saved(arrays))
    compare("%d random arrays, deflated" % len(arrays), saved(arrays, True))


def check_large():
    """Longer than the pieces that are copied at a time."""
    rng = numpy.random.default_rng(4)
    for shape in ((1000, 1003), (3, 1000003), (300000, 7), (17, 19, 23, 29),
                  (1000003,)):
        array = rng.standard_normal(shape).astype(">f4")
        for turned in (array, numpy.asfortranarray(array)):
            store("npz", saved_one(turned))
            found = loaded(written("npz", form="npy"))["array"]
            check(found.tobytes() == plain(array).tobytes(),
                  "%s%s: elements are in their places"
                  % (shape, " fortran" if turned.flags.fnc else ""))


def check_many():
    arrays = {"a%d" % i: numpy.array([i], "<i4") for i in range(3000)}
    compare("3000 arrays", saved(arrays))


def check_headers():
    """Headers of all versions, and as older and other programs write them."""
    array = numpy.arange(6, dtype="<f4").reshape(2, 3)
    for major in (1, 2, 3):
        out = io.BytesIO()
        numpy.lib.format.write_array(out, array, (major, 0))
        compare("version %d" % major, out.getvalue())
    for text in ("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }",
                 "{'shape':(2,3),'fortran_order':False,'descr':'<f4'}",
                 '{"descr": "<f4", "fortran_order": False, "shape": (2, 3)}'):
        header = text.encode() + b" " * 5 + b"\n"
        data = (b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header
                + array.tobytes())
        compare(text, data, {"array": array})


def check_from_torch():
    for file in ("digits_mlp.pth", "views.pth", "tied_transformer.pth"):
        store("torch", data_bytes(file))
        tensors = torch.load(io.BytesIO(data_bytes(file)), weights_only=True)
        found = difference({name: t.numpy() for name, t in tensors.items()},
                           loaded(written("torch")))
        check(not found, "%s: numpy finds in it what torch does" % file, found)
        store("npz", written("torch"))
        returned = back("npz")
        wrong = [name for name, t in tensors.items()
                 if not torch.equal(t, returned[name])]
        check(not wrong and list(returned) == list(tensors),
              "%s: torch finds the same once it was an npz file" % file, wrong)


def check_libzip():
    """A second opinion on the archives, from the zip library of Debian."""
    if libzip.missing:
        skip("libzip reads npz files", libzip.missing)
        return
    store("npz", data_bytes("arrays.npz"))
    data = written("npz")
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        expected = [(i.filename, z.read(i)) for i in z.infolist()]
    check(libzip.read(data, consistency=True) == expected,
          "libzip finds an npz file consistent and reads the same")


# ---------- what is refused ----------

def check_refused():
    arrays = [
        ("Python objects", numpy.array([{}, 1], dtype=object), "22P03"),
        ("text", numpy.array(["a"]), "0A000"),
        ("bytes", numpy.array([b"a"]), "0A000"),
        ("complex numbers", numpy.array([1j]), "0A000"),
        ("dates", numpy.array([1], "M8[s]"), "0A000"),
        ("intervals", numpy.array([1], "m8[s]"), "0A000"),
        ("fields", numpy.zeros(2, [("a", "f4"), ("b", "i2")]), "0A000"),
        ("long doubles", numpy.array([1], "g"), "0A000")]
    for what, array, state in arrays:
        try:
            store("refused", saved({"good": numpy.zeros(1), "bad": array}))
            check(False, "%s are refused" % what)
        except DatabaseError as e:
            check(e.sqlstate == state and '"bad"' in str(e),
                  "%s are refused by name" % what, e)


# ---------- files ----------

def check_server_files():
    """model_save and model_load, where the server sees our files."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o777)
    try:
        path = os.path.join(folder, "arrays.npz")
        store("npz", data_bytes("arrays.npz"))
        size = scalar("SELECT model_save(m, %s) FROM interop.models "
                      "WHERE name = 'npz';" % quote(path))
        with open(path, "rb") as f:
            data = f.read()
        check(len(data) == int(size) and data == written("npz"),
              "model_save writes what model_write makes")
        out = os.path.join(folder, "mine.npz")
        numpy.savez(out, **loaded(data))
        os.chmod(out, 0o644)
        same = scalar("SELECT model_load(%s) = m FROM interop.models "
                      "WHERE name = 'npz';" % quote(out))
        check(same == "t", "model_load reads what numpy.savez wrote")
    finally:
        shutil.rmtree(folder)


CHECKS = [("npz: files", check_files), ("npz: random arrays", check_random),
          ("npz: large arrays", check_large), ("npz: many", check_many),
          ("npz: headers", check_headers), ("npz: torch", check_from_torch),
          ("npz: libzip", check_libzip), ("npz: refused", check_refused),
          ("npz: server's files", check_server_files)]
