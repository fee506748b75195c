#!/usr/bin/env python3
"""
Makes models that take or give other values than tensors: classifiers as
skl2onnx exports them, with the probabilities of each row in a map, a pipeline
that takes dictionaries, and graphs with sequences, maps and optional values.  Also values.csv, what they give: case,
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
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import (
    DictionaryType, FloatTensorType, StringTensorType)
from sklearn.datasets import load_iris
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

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


def maps(name):
    """Counts of words from a map, and a sequence of maps as it was; yields a
    case."""
    sequence = helper.make_sequence_type_proto
    words = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    numbers = sequence(helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("DictVectorizer", ["words"], ["counts"],
                              domain="ai.onnx.ml",
                              string_vocabulary=["ham", "spam"])],
            "values", [helper.make_value_info("words", words),
                       helper.make_value_info("maps", numbers)],
            [helper.make_tensor_value_info("counts", TensorProto.FLOAT, [1, 2]),
             helper.make_value_info("maps", numbers)]),
        ir_version=8, opset_imports=[helper.make_opsetid("", 18),
                                     helper.make_opsetid("ai.onnx.ml", 3)])
    save(model, name)
    some = [{"1": 2.5, "-9007199254740993": 0.5}, {"0": 1}]
    yield ("maps", name, {"words": {"spam": 3, "ham": 1.5, "eggs": 7},
                          "maps": some}, {"counts": [[1.5, 3]], "maps": some})


def vectorizer(name):
    """A pipeline of scikit-learn that takes dictionaries, as skl2onnx exports
    it; yields a case for each."""
    payments = [{"amount": 3.0, "abroad": 1.0}, {"amount": 1.0, "risk": 2.0},
                {"abroad": 5.0, "risk": 0.5}]
    net = make_pipeline(DictVectorizer(sparse=False), LinearRegression())
    net.fit(payments, [1.0, 2.0, 4.0])
    given = DictionaryType(StringTensorType([1]), FloatTensorType([1]))
    save(convert_sklearn(net, initial_types=[("X", given)], target_opset=17), name)
    for number, payment in enumerate([*payments, {"amount": 2.0, "other": 9.0}, {}]):
        yield ("dictionary %d" % (number + 1), name, {"X": payment},
               {"variable": net.predict([payment])[:, None].tolist()})


def trees(name, net):
    """A tree for the irises, whose species or petal widths it tells; yields
    a case."""
    features, numbers = load_iris(return_X_y=True)
    features = features.astype(numpy.float32)
    is_classifier = hasattr(net, "predict_proba")
    net.fit(features if is_classifier else features[:, :3],
            numpy.array(SPECIES)[numbers] if is_classifier else features[:, 3])
    flowers = numpy.array(FLOWERS, dtype=numpy.float32)
    flowers = flowers if is_classifier else flowers[:, :3]
    save(to_onnx(net, flowers[:1], target_opset=17, options={"zipmap": False}
                 if is_classifier else None), name)
    yield (name[:-len(".onnx")], name, {"X": flowers.tolist()}, {
        "label": net.predict(flowers).tolist(),
        "probabilities": net.predict_proba(flowers).tolist()}
        if is_classifier else {
            "variable": net.predict(flowers)[:, None].tolist()})


def make_tokens(name):
    """As a language model takes them: the sum of the tokens that the mask
    leaves, for each text of a batch."""
    shape = ["batch", "length"]
    save(helper.make_model(
        helper.make_graph(
            [helper.make_node("Mul", ["input_ids", "attention_mask"], ["left"]),
             helper.make_node("Constant", [], ["axes"], value_ints=[1]),
             helper.make_node("ReduceSum", ["left", "axes"], ["sum"], keepdims=0)],
            "tokens",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape),
             helper.make_tensor_value_info("attention_mask", TensorProto.INT64,
                                           shape)],
            [helper.make_tensor_value_info("sum", TensorProto.INT64,
                                           ["batch"])]),
        ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), name)


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
    make_texts("texts.onnx")
    make_tokens("tokens.onnx")
    make_columns("columns.onnx")
    cases = [
        *classifier("iris_strings.onnx", SPECIES),
        *classifier("iris_numbers.onnx", [2, 2 ** 53 + 1, 30]),
        *sequences("sequence_f32.onnx", TensorProto.FLOAT,
                   {"parts": [[1, 2], [], [0.5]], "no parts": []}),
        *sequences("sequence_string.onnx", TensorProto.STRING,
                   {"texts": [["", "ß"], ["a\"b"]], "no texts": []}),
        *optionals("optional.onnx"),
        *maps("map.onnx"),
        *vectorizer("dictionaries.onnx"),
        *trees("tree_classifier.onnx", DecisionTreeClassifier(
            max_depth=2, random_state=0)),
        *trees("tree_regressor.onnx", DecisionTreeRegressor(
            max_depth=2, random_state=0))]
    with open(path("values.csv"), "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["case", "model", "inputs", "outputs"])
        for case, name, inputs, outputs in cases:
            writer.writerow([case, name, json.dumps(inputs),
                             json.dumps(outputs)])


if __name__ == "__main__":
    main()
