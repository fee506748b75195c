#!/usr/bin/python3
"""
Makes graph_unknown.onnx: three layers, of which the second feeds an operator
that nobody knows.  Needs onnx 1.12 or later.
"""
import os

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    rng = numpy.random.RandomState(3)
    weights = [numpy_helper.from_array(
        rng.randn(*shape).astype("float32"), name + ".weight")
        for name, shape in (("first", (4, 8)), ("second", (8, 6)),
                            ("third", (6, 3)))]
    nodes = [helper.make_node("MatMul", ["x", "first.weight"], ["a"]),
             helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("MatMul", ["b", "second.weight"], ["c"]),
             helper.make_node("Wonder", ["c"], ["d"], name="nobody knows",
                              domain="example.org"),
             helper.make_node("MatMul", ["d", "third.weight"], ["y"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "unknown", [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, ["n", 3])], weights,
        value_info=[value("d", TensorProto.FLOAT, ["n", 6])])
    model = helper.make_model(graph, opset_imports=[
        helper.make_opsetid("", 15), helper.make_opsetid("example.org", 1)])
    model.ir_version = 8
    with open(os.path.join(HERE, "graph_unknown.onnx"), "wb") as f:
        f.write(model.SerializeToString())


if __name__ == "__main__":
    main()
