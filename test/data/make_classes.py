#!/usr/bin/env python3
"""
Makes classifiers as skl2onnx exports them without maps (zipmap off), whose
labels are other than the numbers of classes, and graphs of which an output
only looks like a label, or has several dimensions for a row.  Also
classes.csv, what scikit-learn says: model, row, label and probability.

Needs onnx 1.18, skl2onnx 1.20, scikit-learn and pandas.
"""
import csv
import os

import numpy
import onnx
import pandas
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = os.path.dirname(os.path.abspath(__file__))
# The same as those of make_values.py.
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5], [6.9, 3.1, 5.4, 2.1],
           [6.1, 2.8, 4.9, 1.7]]


def save(model, name):
    onnx.checker.check_model(model)
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(model.SerializeToString())


def answers(name, net, rows):
    """What it says of rows, as lines of the table."""
    labels = net.predict(rows)
    chances = net.predict_proba(rows).max(axis=1)
    for i, (label, chance) in enumerate(zip(labels, chances)):
        yield name, i + 1, label, float(chance)


def flowers(name, net, names):
    features, numbers = load_iris(return_X_y=True)
    features = features.astype(numpy.float32)
    net.fit(features, numpy.array(names)[numbers])
    save(to_onnx(net, features[:1], target_opset=17,
                 options={"zipmap": False}), name)
    yield from answers(name, net, numpy.array(FLOWERS, dtype=numpy.float32))


def columns(name):
    """Columns of numbers and of texts, an input each."""
    table = pandas.DataFrame({
        "amount": numpy.float32([10, 20, 30, 400, 500, 600]),
        "country": ["de", "fr", "de", "us", "us", "fr"]})
    net = make_pipeline(
        ColumnTransformer([("numbers", StandardScaler(), ["amount"]),
                           ("texts", OneHotEncoder(), ["country"])]),
        LogisticRegression())
    net.fit(table, ["ham", "ham", "ham", "spam", "spam", "spam"])
    save(to_onnx(net, table[:1], target_opset=17,
                 options={"zipmap": False}), name)
    yield from answers(name, net, pandas.DataFrame(
        {"amount": numpy.float32([15, 550, 320]), "country": ["de", "us", "fr"]}))


def graph(name, nodes, inputs, outputs, initializers=()):
    save(helper.make_model(
        helper.make_graph(nodes, "classes", inputs, outputs, initializers),
        ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), name)


def make_counted(name):
    """Logits, an integer of each row that is no label, and a sequence."""
    graph(name, [helper.make_node("Identity", ["x"], ["logits"]),
                 helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0),
                 helper.make_node("Cast", ["sum"], ["n"], to=TensorProto.INT64),
                 helper.make_node("SequenceConstruct", ["x"], ["parts"])],
          [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
          [helper.make_tensor_value_info("n", TensorProto.INT64, ["batch"]),
           helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
           helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch"]),
           helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, ["batch", 2])],
          [numpy_helper.from_array(numpy.int64([1]), "axes")])


def make_pairs(name):
    """Of each number of a row that number and ten times it."""
    graph(name, [helper.make_node("Unsqueeze", ["x", "axes"], ["column"]),
                 helper.make_node("Mul", ["column", "scale"], ["pairs"])],
          [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length"])],
          [helper.make_tensor_value_info("pairs", TensorProto.FLOAT, ["batch", "length", 2])],
          [numpy_helper.from_array(numpy.int64([2]), "axes"),
           numpy_helper.from_array(numpy.float32([1, 10]), "scale")])


def main():
    make_counted("counted.onnx")
    make_pairs("pairs.onnx")
    rows = [*flowers("labels_linear.onnx", LogisticRegression(max_iter=1000),
                     ["setosa", "versicolor", "virginica"]),
            *flowers("labels_lookup.onnx", GaussianNB(), [30, 10, 20]),
            *columns("labels_columns.onnx")]
    with open(os.path.join(HERE, "classes.csv"), "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["model", "row", "label", "probability"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
