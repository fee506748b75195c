"""
safetensors files and indexes, built from the format's specification.

Nothing of the extension is used.  Most are those of the hostile regression
tests; the indexes name the shards that are in fuzz_safetensors.c.
"""
import json
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "hostile"))
import safetensorfiles  # noqa: E402

LARGEST = 65536
WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1,
          "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4,
          "F64": 8, "I64": 8, "U64": 8}
FIRST, SECOND = "x-1.safetensors", "x-2.safetensors"
PLACES = {"a": FIRST, "b": FIRST, "c": SECOND}


def build(tensors, metadata=None):
    """A file of (name, dtype, shape), filled with ones."""
    header = {}
    if metadata is not None:
        header["__metadata__"] = metadata
    at = 0
    for name, dtype, shape in tensors:
        size = WIDTHS[dtype]
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\1" * at


def valid():
    yield "nothing", build([])
    yield "dtypes", build([(dtype, dtype, [2, 3]) for dtype in WIDTHS])
    yield "shapes", build([("scalar", "F32", []), ("empty", "F64", [2, 0, 3]),
                           ("deep", "U8", [1] * 32), ("row", "I16", [1, 4])])
    yield "metadata", build([("w", "F32", [2])],
                            {"format": "pt", "": "\"\\/\n\u91cd", "a": ""})
    yield "index", json.dumps({"metadata": {"total_size": 6},
                               "weight_map": PLACES}).encode()
    yield "index_wrong_size", json.dumps(
        {"weight_map": PLACES, "metadata": {"total_size": 7}}).encode()
    yield "index_other_order", json.dumps(
        {"weight_map": {name: PLACES[name] for name in "cba"}}).encode()
    yield "index_rich", json.dumps(
        {"metadata": {"total_size": 6.0, "more": [{}, [], {"a": [1, None]}]},
         "other": [True, -1.5e3, "x", {"weight_map": {}}],
         "weight_map": PLACES}, indent=2).encode()
    yield "index_of_nothing", b' {"weight_map": {}}'
    yield "index_of_one", json.dumps({"weight_map": {"c": SECOND}}).encode()
    for name, case in cases():
        if case.expect[0].startswith(("accepted", "w 4")):
            yield name, case.wrap(case.data)


def invalid():
    for what, places in (
            ("missing", {"a": FIRST}),
            ("more", dict(PLACES, d=SECOND)),
            ("elsewhere", dict(PLACES, c=FIRST)),
            ("no_file", {"c": "y.safetensors"}),
            ("path", {"c": "../x-2.safetensors"}),
            ("folder", {"c": "x/x-2.safetensors"}),
            ("hidden", {"c": ".safetensors"}),
            ("no_name", {"c": ""}),
            ("torch", {"c": "x.bin"}),
            ("number", {"c": 1})):
        yield "index_" + what, json.dumps({"weight_map": places}).encode()
    text = json.dumps({"weight_map": PLACES}).encode()
    yield "index_twice", text.replace(b'"b"', b'"a"')
    yield "index_escaped_twice", text.replace(b'"b"', b'"\\u0061"')
    yield "index_two_maps", text[:-1] + b', "weight_map": {}}'
    yield "index_cut", text[:-1]
    yield "index_longer", text + b"x"
    yield "index_inside", b'{"x": ' + text + b"}"
    yield "index_ends_in_number", b'{"metadata":{"total_size":12'
    yield "index_deep", b'{"x":' + b"[" * 5000 + b',"weight_map":1}'
    for name, case in cases():
        if not case.expect[0].startswith(("accepted", "w 4")):
            yield name, case.wrap(case.data)


def cases():
    """The hostile cases that are read with no more than their bytes."""
    for i, case in enumerate(safetensorfiles.cases()):
        if (not isinstance(case, str) and not case.sql
                and "index" not in case.comment
                and len(case.wrap(case.data)) <= LARGEST):
            yield "case%03d" % i, case
