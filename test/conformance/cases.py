"""
The cases of the ONNX project's test set: a model, inputs, and the outputs that
are expected of it, as numpy arrays; and these as the JSON that predict_json
takes and gives.

Read without the onnx package, which knows fewer element types than its files.
"""
import glob
import math
import os
import sys

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "interop"))
import onnx_wire  # noqa: E402

# Fields of GraphProto, ValueInfoProto, TypeProto, TensorProto; and those of
# SequenceProto and OptionalProto that hold a kind of values.
INITIALIZER, INPUT, OUTPUT = 5, 11, 12
VALUE_NAME, VALUE_TYPE = 1, 2
TENSOR_TYPE, SEQUENCE_TYPE, OPTIONAL_TYPE = 1, 4, 9
STRING_DATA = 6
SEQUENCE_TENSORS = 3
OPTIONAL_TENSOR, OPTIONAL_SEQUENCE = 3, 5
STRING = 8
BFLOAT16 = 16

NUMPY = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8",
         9: "?", 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8", BFLOAT16: "<u2"}


class Case:
    def __init__(self, name, model, folder):
        self.name = name
        self.model = model
        self.input_ports, self.output_ports = ports(model)
        self.files = {kind: [os.path.join(folder, "%s_%d.pb" % (kind, i))
                             for i in range(count(folder, kind))]
                      for kind in ("input", "output")}

    def inputs(self):
        """Names and values; a model's last inputs may be left out."""
        return self.values(self.input_ports, "input")

    def outputs(self):
        return self.values(self.output_ports, "output")

    def values(self, named, which):
        out = {}
        for (name, kind), path in zip(named, self.files[which]):
            with open(path, "rb") as f:
                out[name] = DECODE[kind](f.read())
        return out


def count(folder, kind):
    return len(glob.glob(os.path.join(folder, kind + "_*.pb")))


def read_cases(corpus):
    """All that are in a folder of the test set's layout."""
    for path in sorted(glob.glob(os.path.join(corpus, "*", "test_*",
                                              "model.onnx"))):
        folder = os.path.dirname(path)
        with open(path, "rb") as f:
            model = f.read()
        for data in sorted(glob.glob(os.path.join(folder, "test_data_set_*"))):
            name = os.path.relpath(folder, corpus)
            if not data.endswith("_0"):
                name += data[data.rindex("_"):]
            yield Case(name, model, data)


def field(message, wanted, default=b""):
    return next((value for number, _, value, _ in onnx_wire.fields(message)
                 if number == wanted), default)


def ports(model):
    """(name, kind of type) of the inputs that must be given, and of the
    outputs."""
    graph = field(model, onnx_wire.GRAPH)
    given, lists = set(), {INPUT: [], OUTPUT: []}
    for number, _, value, _ in onnx_wire.fields(graph):
        if number == INITIALIZER:
            given.add(onnx_wire.Tensor(value).name)
        elif number in lists:
            kind = next(kind for kind, _, _, _
                        in onnx_wire.fields(field(value, VALUE_TYPE)))
            lists[number].append((field(value, VALUE_NAME).decode(), kind))
    return ([port for port in lists[INPUT] if port[0] not in given],
            lists[OUTPUT])


def array(message):
    """Of a TensorProto.  Brain floats become single ones."""
    tensor = onnx_wire.Tensor(message)
    if tensor.type == STRING:
        strings = [value.decode() for number, _, value, _
                   in onnx_wire.fields(message) if number == STRING_DATA]
        return numpy.array(strings, dtype=object).reshape(tensor.shape)
    out = numpy.frombuffer(tensor.elements(), dtype=NUMPY[tensor.type])
    if tensor.type == BFLOAT16:
        out = (out.astype("<u4") << 16).view("<f4")
    return out.reshape(tensor.shape)


def sequence(message):
    """Of a SequenceProto, whose parts are tensors in all of the test set."""
    return [array(value) for number, _, value, _ in onnx_wire.fields(message)
            if number == SEQUENCE_TENSORS]


def optional(message):
    """Of an OptionalProto, or of what is in it, as some files have it."""
    whole = field(message, OPTIONAL_SEQUENCE, None)
    if whole is not None:
        return sequence(whole)
    part = field(message, OPTIONAL_TENSOR, None)
    return None if part is None else array(part)


DECODE = {TENSOR_TYPE: array, SEQUENCE_TYPE: sequence, OPTIONAL_TYPE: optional}


# ---------- JSON ----------

def to_json(value):
    """An array as nested lists, for json.dumps.  Without elements these would
    not say its whole shape."""
    if isinstance(value, list):
        return [to_json(part) for part in value]
    if isinstance(value, numpy.ndarray):
        if value.size == 0:
            return {"shape": list(value.shape), "data": []}
        return to_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return ("NaN" if math.isnan(value) else
                "Infinity" if value > 0 else "-Infinity")
    return value


def from_json(value, like):
    """Nested lists as a value of another one's kind and type.  What the type
    does not have is an error."""
    if like is None or value is None:
        return value
    if isinstance(like, list):
        # Where there are too many or too few, comparing says so.
        return [from_json(*pair) for pair in zip(value, like)] + \
            value[len(like):]
    shape = shape_of(value)
    if isinstance(value, dict):
        value, shape = value["data"], value["shape"]
    if like.dtype.kind == "O":
        kinds = (str,)
    elif like.dtype.kind == "b":
        kinds = (bool,)
    else:
        kinds = (int,) if like.dtype.kind in "iu" else (int, float, str)
    leaves = list(flatten(value))
    wrong = [leaf for leaf in leaves if type(leaf) not in kinds]
    if wrong:
        raise ValueError("%r in a tensor of %s" % (wrong[0], like.dtype))
    if like.dtype.kind == "f":
        leaves = [float(leaf) for leaf in leaves]
    return numpy.array(leaves, dtype=like.dtype).reshape(shape)


def flatten(value):
    if isinstance(value, list):
        for part in value:
            yield from flatten(part)
    else:
        yield value


def shape_of(value):
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


# ---------- comparing ----------

def difference(expected, actual):
    """What is different between two dicts of values, or ''; with the
    tolerances of the test set's own runner."""
    if list(expected) != list(actual):
        return "outputs %s, expected %s" % (list(actual), list(expected))
    for name, value in expected.items():
        found = unlike(value, actual[name])
        if found:
            return "%s: %s" % (name, found)
    return ""


def unlike(expected, actual):
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(expected) != len(actual):
            return "%r, expected %r" % (actual, expected)
        return next(filter(None, map(unlike, expected, actual)), "")
    if expected is None or not hasattr(actual, "dtype"):
        return "" if actual is expected else "%r, expected %r" % (actual,
                                                                  expected)
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return "%s %s, expected %s %s" % (actual.dtype, actual.shape,
                                          expected.dtype, expected.shape)
    try:
        if expected.dtype == object:
            numpy.testing.assert_array_equal(actual, expected)
        else:
            numpy.testing.assert_allclose(actual, expected, rtol=1e-3,
                                          atol=1e-7)
    except AssertionError as e:
        return " ".join(str(e).split())
    return ""
