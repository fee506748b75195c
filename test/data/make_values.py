#!/usr/bin/env python3
"""
Makes models that take or give other values than tensors: classifiers as
skl2onnx exports them, with the probabilities of each row in a map, and graphs
with a sequence and optional values.  Also values.csv, what they give: case,
model, inputs and outputs as JSON, of scikit-learn for the classifiers, of ONNX
Runtime and arithmetic for the others.

Needs onnx 1.18, skl2onnx 1.20, scikit-learn 1.9 and onnxruntime.
"""
import csv
import json
import os

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIES = ["setosa", "versicolor", "virginica"]
# What it is for every case: a flower of each species, and one in between.
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5], [6.9, 3.1, 5.4, 2.1],
           [6.1, 2.8, 4.9, 1.7]]


def path(name):
    return os.path.join(HERE, name)


def save(model, name):
    onnx.checker.check_model(model)
    with open(path(name), "wb") as f:
        f.write(model.SerializeToString())


def classifier(name, labels):
    """Trained on the irises, with the given labels; yields a case."""
    features, numbers = load_iris(return_X_y=True)
    features = features.astype(numpy.float32)
    net = LogisticRegression(max_iter=1000)
    net.fit(features, numpy.array(labels)[numbers])
    save(to_onnx(net, features[:1], target_opset=17,
                 options={"zipmap": True}), name)
    flowers = numpy.array(FLOWERS, dtype=numpy.float32)
    found = net.predict_proba(flowers)
    yield labels[0].__class__.__name__ + " labels", name, {"X": flowers.tolist()}, {
        "output_label": net.predict(flowers).tolist(),
        "output_probability": [
            {str(label): float(p) for label, p in zip(net.classes_, row)}
            for row in found]}


def value(name, element, *wraps):
    """A port of a graph: a tensor of one dimension in these types."""
    type_of = helper.make_tensor_type_proto(element, ["n"])
    for wrap in reversed(wraps):
        type_of = wrap(type_of)
    return helper.make_value_info(name, type_of)


def graph(name, nodes, inputs, outputs, opset=18):
    model = helper.make_model(
        helper.make_graph(nodes, "values", inputs, outputs), ir_version=8,
        opset_imports=[helper.make_opsetid("", opset)])
    save(model, name)


def run(name, inputs):
    """By ONNX Runtime's Python module."""
    session = onnxruntime.InferenceSession(
        path(name), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def plain(found):
    if isinstance(found, list):
        return [plain(part) for part in found]
    if isinstance(found, numpy.ndarray) and found.size == 0:
        return {"shape": list(found.shape), "data": []}
    return found.tolist() if hasattr(found, "tolist") else found


def array(element, values):
    return numpy.array(values, dtype=helper.tensor_dtype_to_np_dtype(element))


def sequences(name, element, rows):
    """A sequence and a tensor more, how many there were, and one of none;
    yields cases."""
    sequence = helper.make_sequence_type_proto
    graph(name, [helper.make_node("SequenceEmpty", [], ["none"],
                                  dtype=element),
                 helper.make_node("SequenceLength", ["parts"], ["count"]),
                 helper.make_node("SequenceInsert", ["parts", "more"],
                                  ["longer"])],
          [value("parts", element, sequence), value("more", element)],
          [value("longer", element, sequence),
           helper.make_tensor_value_info("count", TensorProto.INT64, []),
           value("none", element, sequence)])
    for case, parts in rows.items():
        parts = [array(element, part) for part in parts]
        more = array(element, [parts[0][0]] if parts else [])
        given = {"parts": parts, "more": more}
        found = run(name, given)
        assert plain(found["longer"]) == plain(parts + [more])
        yield (case, name, {key: plain(part) for key, part in given.items()},
               {key: plain(part) for key, part in found.items()})


def optionals(name):
    """Whether an optional tensor and an optional sequence are there; the
    second comes out again."""
    sequence = helper.make_sequence_type_proto
    optional = helper.make_optional_type_proto
    graph(name, [helper.make_node("OptionalHasElement", ["tensor"],
                                  ["has_tensor"]),
                 helper.make_node("OptionalHasElement", ["sequence"],
                                  ["has_sequence"]),
                 helper.make_node("Identity", ["sequence"], ["same"])],
          [value("tensor", TensorProto.FLOAT, optional),
           value("sequence", TensorProto.INT64, optional, sequence)],
          [helper.make_tensor_value_info("has_tensor", TensorProto.BOOL, []),
           helper.make_tensor_value_info("has_sequence", TensorProto.BOOL, []),
           value("same", TensorProto.INT64, optional, sequence)])
    for case, tensor, parts in [("absent", None, None),
                                ("tensor", [1, 2.5], None),
                                ("sequence", None, [[1], [2, 3]]),
                                ("empty sequence", None, [])]:
        yield (case, name, {"tensor": tensor, "sequence": parts},
               {"has_tensor": tensor is not None,
                "has_sequence": parts is not None, "same": parts})


def make_map(name):
    """Takes a map, which nothing is given as."""
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("DictVectorizer", ["words"], ["counts"],
                              domain="ai.onnx.ml",
                              string_vocabulary=["ham", "spam"])],
            "values",
            [helper.make_value_info("words", helper.make_map_type_proto(
                TensorProto.STRING, helper.make_tensor_type_proto(
                    TensorProto.FLOAT, [])))],
            [helper.make_tensor_value_info("counts", TensorProto.FLOAT,
                                           [1, 2])]),
        ir_version=8, opset_imports=[helper.make_opsetid("", 18),
                                     helper.make_opsetid("ai.onnx.ml", 3)])
    save(model, name)


def make_texts(name):
    """A text for each row, which comes out again."""
    save(helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["word"], ["same"])], "texts",
            [helper.make_tensor_value_info("word", TensorProto.STRING,
                                           ["rows", 1])],
            [helper.make_tensor_value_info("same", TensorProto.STRING,
                                           ["rows", 1])]),
        ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), name)


def make_columns(name):
    """Takes columns of several types by name, one of which has three values."""
    def column(which, element, *shape):
        return helper.make_tensor_value_info(which, element, ["rows", *shape])

    save(helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["word"], ["same"]),
             helper.make_node("Concat", ["age", "pixels"], ["scores"], axis=1),
             helper.make_node("Cast", ["Amount"], ["whole"], to=TensorProto.INT64)],
            "columns",
            [column("age", TensorProto.FLOAT, 1), column("Amount", TensorProto.DOUBLE, 1),
             column("word", TensorProto.STRING, 1), column("pixels", TensorProto.FLOAT, 3)],
            [column("same", TensorProto.STRING, 1), column("scores", TensorProto.FLOAT, 4),
             column("whole", TensorProto.INT64, 1)]),
        ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), name)


def main():
    make_map("map.onnx")
    make_texts("texts.onnx")
    make_columns("columns.onnx")
    cases = [
        *classifier("iris_strings.onnx", SPECIES),
        *classifier("iris_numbers.onnx", [2, 2 ** 53 + 1, 30]),
        *sequences("sequence_f32.onnx", TensorProto.FLOAT,
                   {"parts": [[1, 2], [], [0.5]], "no parts": []}),
        *sequences("sequence_string.onnx", TensorProto.STRING,
                   {"texts": [["", "ß"], ["a\"b"]], "no texts": []}),
        *optionals("optional.onnx")]
    with open(path("values.csv"), "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["case", "model", "inputs", "outputs"])
        for case, name, inputs, outputs in cases:
            writer.writerow([case, name, json.dumps(inputs),
                             json.dumps(outputs)])


if __name__ == "__main__":
    main()
