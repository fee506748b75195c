"""
ONNX models with what the ONNX project's own test set lacks: initializers of
every type in every field, graphs in graphs, functions, sparse initializers,
attributes of every kind.
"""
import struct

import numpy
import onnx
from onnx import helper, numpy_helper, TensorProto

# Our names of element types.
TYPE_NAMES = {
    1: "f32", 2: "u8", 3: "i8", 4: "u16", 5: "i16", 6: "i32", 7: "i64",
    8: "string", 9: "bool", 10: "f16", 11: "f64", 12: "u32", 13: "u64",
    14: "complex64", 15: "complex128", 16: "bf16", 17: "f8e4m3",
    18: "f8e4m3fnuz", 19: "f8e5m2", 20: "f8e5m2fnuz", 21: "u4", 22: "i4",
    23: "f4e2m1", 24: "f8e8m0", 25: "u2", 26: "i2"}

# Bytes of an element in raw_data, and the field that has elements singly.
SIZES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4,
         13: 8, 14: 8, 15: 16, 16: 2, 17: 1, 18: 1, 19: 1, 20: 1, 24: 1}
LETTERS = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "B",
           10: "H", 11: "d", 12: "I", 13: "Q", 14: "f", 15: "d", 16: "H",
           17: "B", 18: "B", 19: "B", 20: "B", 24: "B"}
FIELDS = {"f": "float_data", "d": "double_data", "q": "int64_data",
          "I": "uint64_data", "Q": "uint64_data"}


def some_bytes(data_type, count):
    """Elements with all kinds of bits in them."""
    size = SIZES[data_type] * count
    if data_type == 9:
        return bytes(i % 3 == 0 for i in range(size))
    data = bytearray((i * 89 + 7) % 256 for i in range(size))
    if data_type in (1, 11, 14, 15):    # no NaN, which float_data may change
        width = 4 if data_type in (1, 14) else 8
        for i in range(width - 1, size, width):
            data[i] = 0x3f if i % 2 else 0xbf
    return bytes(data)


def tensor(name, data_type, shape, typed=False):
    count = int(numpy.prod(shape)) if shape else 1
    raw = some_bytes(data_type, count)
    t = TensorProto(name=name, data_type=data_type, dims=shape)
    if not typed:
        t.raw_data = raw
        return t
    letter = LETTERS[data_type]
    values = struct.unpack("<%d%s" % (len(raw) // struct.calcsize(letter),
                                      letter), raw)
    getattr(t, FIELDS.get(letter, "int32_data")).extend(values)
    return t


def value(name, data_type=1, shape=None):
    return helper.make_tensor_value_info(name, data_type, shape)


def model(graph, ir_version=8, opset=15, **options):
    options.setdefault("opset_imports", [helper.make_opsetid("", opset)])
    made = helper.make_model(graph, **options)
    made.ir_version = ir_version
    return made


def identity(name, initializers, **options):
    """A graph that gives out each initializer as it is."""
    nodes = [helper.make_node("Identity", [t.name], [t.name + ".out"])
             for t in initializers]
    outputs = [value(t.name + ".out", t.data_type, list(t.dims))
               for t in initializers]
    return helper.make_graph(nodes, name, [], outputs, initializers,
                             **options)


def typed_and_raw():
    for data_type in sorted(SIZES):
        ir_version, opset = ((12, 24) if data_type == 24 else
                             (9, 19) if data_type > 16 else (8, 15))
        if onnx.IR_VERSION < ir_version:
            continue
        pair = [tensor("raw", data_type, [3, 5]),
                tensor("typed", data_type, [3, 5], typed=True),
                tensor("scalar", data_type, [], typed=True),
                tensor("empty", data_type, [0, 4]),
                tensor("without", data_type, [2, 0], typed=True)]
        yield TYPE_NAMES[data_type], model(identity("types", pair),
                                           ir_version, opset)


def four_bits():
    if onnx.IR_VERSION < 10:
        return
    tensors = []
    for name, data_type in (("u", 21), ("i", 22)):
        for count in (4, 5):
            t = TensorProto(name=name + str(count), data_type=data_type,
                            dims=[count])
            t.raw_data = bytes([0x1f, 0x82, 0x0c][:(count + 1) // 2])
            tensors.append(t)
    yield "four_bits", model(identity("four bits", tensors), 10, 21)


def strings():
    t = TensorProto(name="words", data_type=TensorProto.STRING, dims=[2])
    t.string_data.extend([b"one", b"\xff two"])
    numbers = tensor("numbers", 1, [2])
    yield "strings", model(identity("strings", [t, numbers]))


def perceptron(typed):
    rng = numpy.random.RandomState(1)
    weights = [numpy_helper.from_array(
        rng.randn(*shape).astype("float32"), name)
        for name, shape in (("w1", (4, 8)), ("b1", (8,)), ("w2", (8, 3)))]
    if typed:
        weights = [helper.make_tensor(
            t.name, t.data_type, t.dims,
            numpy_helper.to_array(t).reshape(-1).tolist()) for t in weights]
    nodes = [helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], alpha=1.0),
             helper.make_node("Relu", ["h"], ["r"], name="relu"),
             helper.make_node("MatMul", ["r", "w2"], ["y"])]
    graph = helper.make_graph(
        nodes, "perceptron", [value("x", shape=["batch", 4])],
        [value("y", shape=["batch", 3])], weights,
        value_info=[value("h", shape=["batch", 8])], doc_string="a docstring")
    made = model(graph, producer_name="a test", producer_version="1.0",
                 doc_string="of two layers", model_version=3,
                 domain="example.org")
    helper.set_model_props(made, {"author": "nobody", "größe": "重み"})
    return made


def perceptrons():
    yield "perceptron_raw", perceptron(False)
    yield "perceptron_typed", perceptron(True)
    old = perceptron(False)
    old.ir_version = 3
    for t in old.graph.initializer:
        old.graph.input.append(value(t.name, t.data_type, list(t.dims)))
    yield "ir_version_3", old


def nested():
    """If in If, whose branches have initializers and constants."""
    def branch(name, number, inner=None):
        constant = helper.make_node(
            "Constant", [], [name + ".c"],
            value=numpy_helper.from_array(numpy.float32([number] * 3)))
        nodes = [constant, helper.make_node("Add", [name + ".c", name + ".w"],
                                            [name + ".s"]),
                 helper.make_node("Add", [name + ".s", "outer"],
                                  [name + ".y"])]
        if inner:
            nodes[-1:] = inner
        return helper.make_graph(
            nodes, name, [], [value(nodes[-1].output[0], shape=[3])],
            [tensor(name + ".w", 1, [3], typed=number > 2)])

    inner = helper.make_node("If", ["flag"], ["inner.y"], name="inner",
                             then_branch=branch("c", 3.0),
                             else_branch=branch("d", 4.0))
    node = helper.make_node("If", ["flag"], ["y"], name="outer if",
                            then_branch=branch("a", 1.0),
                            else_branch=branch("b", 2.0, [inner]))
    graph = helper.make_graph(
        [node], "nested", [value("flag", 9, [])], [value("y", shape=[3])],
        [tensor("outer", 1, [3])])
    yield "nested", model(graph)


def sparse():
    values = helper.make_tensor("s", 1, [2], [1.5, -2.5])
    indices = helper.make_tensor("s.indices", 7, [2], [1, 5])
    node = helper.make_node("Add", ["x", "s"], ["y"])
    graph = helper.make_graph([node], "sparse", [value("x", shape=[2, 3])],
                              [value("y", shape=[2, 3])])
    graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, indices, [2, 3]))
    yield "sparse", model(graph)


def attributes():
    """A node with an attribute of every kind."""
    few = numpy_helper.from_array(numpy.arange(6.0).reshape(2, 3), "few")
    many = numpy_helper.from_array(numpy.arange(100), "many")
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])], "inner", [],
        [value("z")])
    node = helper.make_node(
        "Anything", ["x", "", "x"], ["y", ""], domain="example.org",
        f=0.1, i=-7, s="text", b=b"\xff\x00", t=few, g=inner, fs=[0.5, 1e30],
        ints=list(range(-3, 4)), long=list(range(1000)), ss=["a", "b"],
        ts=[few, many], gs=[inner], doc_string="all")
    graph = helper.make_graph(
        [node], "attributes", [value("x")], [value("y")],
        [tensor("unused", 10, [2, 2])])
    yield "attributes", model(graph, opset_imports=[
        helper.make_opsetid("", 15), helper.make_opsetid("example.org", 2)])


def map_type(key, value_type):
    made = onnx.TypeProto()
    made.map_type.key_type = key
    made.map_type.value_type.CopyFrom(value_type)
    return made


def values():
    """Inputs of every type and shape there is."""
    tensor_type = helper.make_tensor_type_proto
    kinds = {
        "scalar": tensor_type(1, []), "unranked": tensor_type(11, None),
        "named": tensor_type(7, ["n", 3, None]),
        "text": tensor_type(8, [1]),
        "sequence": helper.make_sequence_type_proto(tensor_type(1, None)),
        "optional": helper.make_optional_type_proto(tensor_type(9, [2])),
        "map": map_type(7, tensor_type(1, None))}
    inputs = [helper.make_value_info(name, kind)
              for name, kind in kinds.items()]
    outputs = [helper.make_value_info(name + ".out", kind)
               for name, kind in kinds.items()]
    nodes = [helper.make_node("Identity", [name], [name + ".out"])
             for name in kinds]
    yield "values", model(helper.make_graph(nodes, "values", inputs, outputs))


def functions():
    if not hasattr(helper, "make_function"):
        return
    double = helper.make_function(
        "example.org", "Double", ["a"], ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 15)])
    times4 = helper.make_function(
        "example.org", "Times4", ["a"], ["c"],
        [helper.make_node("Double", ["a"], ["b"], domain="example.org"),
         helper.make_node("Double", ["b"], ["c"], domain="example.org")],
        [helper.make_opsetid("", 15), helper.make_opsetid("example.org", 1)])
    nodes = [helper.make_node("Times4", ["x"], ["t"], domain="example.org"),
             helper.make_node("Mul", ["t", "w"], ["y"])]
    graph = helper.make_graph(
        nodes, "functions", [value("x", shape=[3])], [value("y", shape=[3])],
        [tensor("w", 1, [3], typed=True)])
    yield "functions", model(
        graph, functions=[double, times4],
        opset_imports=[helper.make_opsetid("", 15),
                       helper.make_opsetid("example.org", 1)])


def models():
    """(name, bytes of the file)"""
    for family in (typed_and_raw, four_bits, strings, perceptrons, nested,
                   sparse, attributes, values, functions):
        for name, made in family():
            yield name, made.SerializeToString()
