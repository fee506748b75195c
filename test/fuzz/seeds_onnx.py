"""
ONNX models, built as the hostile tests build them (test/hostile/onnxbuild.py).
"""
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "hostile"))
from onnxbuild import (  # noqa: E402
    attribute, entry, external, fixed32, floats, function, graph, model, node,
    number, opset, sparse, sub, tensor, value, varint)

# Bytes of an element in raw_data, by number of its type.
SIZES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4,
         13: 8, 14: 8, 15: 16, 16: 2, 17: 1, 18: 1, 19: 1, 20: 1, 24: 1}


def with_tensors(*tensors, **options):
    return model(graph(initializers=[tensor(raw=floats(1, 2))]
                       + list(tensors), **options))


def valid():
    yield "plain", model()
    for data_type, size in SIZES.items():
        yield "raw_%d" % data_type, with_tensors(
            tensor("t", data_type, (3,), bytes([1, 0, 1] * size)))
    for data_type, field, data in (
            (1, 4, floats(3, 4, 5)), (6, 5, b"\1\2\3"), (9, 5, b"\1\0\1"),
            (16, 5, varint(65535) * 3), (3, 5, varint(-128) * 3),
            (7, 7, varint(-1) * 3), (11, 10, bytes(24)), (12, 11, b"\1\2\3"),
            (13, 11, varint(-1) * 3)):
        yield "typed_%d" % data_type, with_tensors(
            tensor("t", data_type, (3,), more=sub(field, data)))
    yield "unpacked", with_tensors(
        tensor("t", 1, (2,), more=fixed32(4, 1.5) + fixed32(4, 2.5)))
    yield "strings", with_tensors(
        tensor("t", 8, (2,), more=sub(6, "one") + sub(6, b"\xff")))
    yield "four_bits", with_tensors(tensor("t", 22, (3,), b"\x21\x0f"),
                                    tensor("u", 21, (2, 2), b"\x21\x43"))
    yield "empty", with_tensors(tensor("t", 1, (2, 0)),
                                tensor("u", 1, (0,), b""), tensor("s", 1, (),
                                                                  floats(1)))
    yield "external", with_tensors(
        tensor("t", 1, (4,), more=external("w", 0, 16)),
        tensor("u", 9, (64,), more=external("w")),
        tensor("v", 2, (3,), more=external("w", 8, 3)))
    outside = tensor("q", 1, (4,), more=external("w", 16, 16))
    yield "scattered", model(
        graph([node("If", ["x"], ["y"], [attribute("then_branch", "g", graph(
            [node("Constant", [], ["z"], [attribute("value", "t", outside)])],
            [tensor("s", 9, (4,), more=external("w", 60, 4))], (), ("z",)))])],
              []),
        opsets=[opset(), opset("f", 1)],
        functions=[function("F", [node("Constant", [], ["b"], [
            attribute("values", "tensors", outside)])])])
    index = tensor("i", 7, (2,), struct.pack("<2q", 0, 3))
    yield "sparse", model(graph(more=sub(15, sparse(
        tensor("s", raw=floats(1, 2)), index, (4,)))))
    attributes = [
        attribute("f", "f", 0.5), attribute("i", "i", -3),
        attribute("s", "s", "text"), attribute("b", "s", b"\xff"),
        attribute("t", "t", tensor("", 1, (2,), floats(1, 2))),
        attribute("g", "g", graph([node("Identity", ["x"], ["z"])], [], (),
                                  ("z",))),
        attribute("fs", "floats", floats(1, 2, 3)),
        attribute("is", "ints", b"\1\2" + varint(-1)),
        attribute("long", "ints", b"\1" * 100),
        attribute("ss", "strings", "x"),
        attribute("ts", "tensors", tensor("q", 7, (1,), bytes(8))),
        attribute("sp", "sparse", sparse(tensor("s", raw=floats(1, 2)), index,
                                         (4,))),
        attribute("tp", "tp", sub(4, sub(1, sub(1, number(1, 1)))))]
    yield "attributes", model(graph([node(attributes=attributes)]))
    yield "functions", model(
        graph([node("F", ["x"], ["y"], domain="f")], []),
        opsets=[opset(), opset("f", 1)],
        functions=[function("F", [node("G", ["a"], ["b"], domain="f")]),
                   function("G", [node("Add", ["a", "a"], ["b"], [
                       sub(1, "q") + number(20, 2) + sub(21, "r")])])])
    yield "texts", model(more=sub(2, "maker") + sub(3, "1.0") + sub(4, "d")
                         + number(5, 3) + sub(6, b"\xff\0")
                         + sub(14, entry("k", "v")))
    yield "values", model(graph(
        [node("Identity", ["x"], ["y"])], [],
        ins=[value("x"), value("a", sub(1, number(1, 7))), sub(1, "b"),
             value("c", sub(5, number(1, 7) + sub(2, sub(1, number(1, 1)))))]))
    yield "unknown", model(more=number(99, 1))


def invalid():
    yield "nothing", b""
    yield "cut", model()[:-1]
    yield "two_graphs", model(more=sub(7, graph()))
    yield "unknown", model(more=sub(99, "x"))
    yield "group", model(more=b"\x23\x24")
    yield "no_operator_sets", model(opsets=[])
    yield "short", with_tensors(tensor("t", raw=floats(1)))
    yield "two_fields", with_tensors(tensor("t", raw=floats(1, 2),
                                            more=sub(4, floats(1, 2))))
    yield "outside", with_tensors(tensor("t", more=external("v", 0, 8)))
    yield "behind", with_tensors(tensor("t", more=external("w", 60, 8)))
    yield "twice", with_tensors(tensor(raw=floats(1, 2)))
    yield "circle", model(graph([node(ins=("y", "x"))]))
    yield "itself", model(functions=[function("F", [node(
        "F", ["a"], ["b"], domain="f")])], opsets=[opset(), opset("f", 1)])
    yield "training", model(more=sub(20, b""))
