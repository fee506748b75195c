#!/usr/bin/env python3
"""
Makes the ONNX files of this folder and sums_onnx.csv, which has a line for each
initializer as the onnx package reads it.  Needs torch 2.x, onnx 1.19 or later,
ml_dtypes, and the .pth files that make.py makes.
"""
import csv
import hashlib
import math
import os
import sys
import warnings

import numpy
import onnx
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "interop")]
import digits_nets  # noqa: E402
import onnx_models  # noqa: E402

# Types whose elements a model cannot have stay in the graph.
KEPT = {8, 14, 15}


def path(name):
    return os.path.join(HERE, name)


def save(model, name):
    with open(path(name), "wb") as f:
        f.write(model.SerializeToString())


def export(net, file, axes, *inputs):
    warnings.simplefilter("ignore")
    net.eval()
    torch.onnx.export(net, inputs, path(file), dynamo=False, opset_version=17,
                      input_names=["pixels"], output_names=["scores"],
                      dynamic_axes={"pixels": {0: axes}, "scores": {0: axes}})


def make_networks():
    mlp = digits_nets.DigitsMLP()
    mlp.load_state_dict(torch.load(path("digits_mlp.pth")))
    export(mlp, "digits_mlp.onnx", "batch", torch.zeros(1, 64))
    cnn = digits_nets.DigitsCNN()
    cnn.load_state_dict(torch.load(path("digits_cnn.pth"))["state_dict"])
    export(cnn, "digits_cnn.onnx", "batch", torch.zeros(1, 64))


def make_types():
    """An initializer of each type in each field, in one graph."""
    tensors = []
    for data_type in sorted(onnx_models.SIZES):
        name = onnx_models.TYPE_NAMES[data_type]
        tensors += [onnx_models.tensor(name + ".raw", data_type, [3, 2]),
                    onnx_models.tensor(name + ".typed", data_type, [3, 2],
                                       typed=True)]
    for _, model in onnx_models.four_bits():
        tensors += model.graph.initializer
    for _, model in onnx_models.strings():
        tensors += model.graph.initializer
    tensors += [onnx_models.tensor("scalar", 1, [], typed=True),
                onnx_models.tensor("empty", 7, [2, 0, 3]),
                onnx_models.tensor("gr\u00f6\u00dfe.\u91cd\u307f", 11, [1])]
    graph = onnx_models.identity("every type", tensors)
    save(onnx_models.model(graph, 12, 24), "types.onnx")


def make_graphs():
    made = dict(pair for family in (
        onnx_models.nested, onnx_models.sparse, onnx_models.attributes,
        onnx_models.values, onnx_models.functions) for pair in family())
    for name in ("nested", "attributes", "values", "functions", "sparse"):
        save(made[name], "graph_%s.onnx" % name)


def make_external():
    """Weights of the perceptron in a file beside it, from page to page."""
    model = onnx.load(path("digits_mlp.onnx"))
    onnx.save_model(model, path("external.onnx"), save_as_external_data=True,
                    all_tensors_to_one_file=True, location="external.bin",
                    size_threshold=100)
    os.chmod(path("external.bin"), 0o644)


def tensors_of(message):
    """Every tensor in a message, however deep."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        repeated = value if field.is_repeated else [value]
        for item in repeated:
            if isinstance(item, onnx.TensorProto):
                yield item
            else:
                yield from tensors_of(item)


def make_scattered():
    """Graphs whose tensors have their elements in one file beside them,
    wherever in a graph they are; and those that were not raw_data before,
    whole."""
    data = b""
    for name in ("nested", "attributes", "functions", "sparse"):
        model = onnx.load(path("graph_%s.onnx" % name))
        tensors = [t for t in tensors_of(model) if name in ("functions", "sparse")
                   or t.HasField("raw_data")]
        if name in ("functions", "sparse"):
            for t in tensors:
                array = onnx.numpy_helper.to_array(t)
                t.CopyFrom(onnx.numpy_helper.from_array(array, t.name))
            save(model, "whole_%s.onnx" % name)
        for t in tensors:
            data += b"\xee" * (-len(data) % 16)
            onnx.external_data_helper.set_external_data(
                t, "scattered.bin", len(data), len(t.raw_data))
            data += t.raw_data
            t.ClearField("raw_data")
        save(model, "scattered_%s.onnx" % name)
    with open(path("scattered.bin"), "wb") as f:
        f.write(data)


def describe(file):
    model = onnx.load(path(file))
    for t in model.graph.initializer:
        if t.data_type in KEPT:
            continue
        array = onnx.numpy_helper.to_array(t)
        packed = onnx.numpy_helper.from_array(array).raw_data
        values = array.astype("float64").reshape(-1).tolist()
        finite = [v for v in values if math.isfinite(v)]
        yield [file, t.name, onnx_models.TYPE_NAMES[t.data_type],
               "{%s}" % ",".join(map(str, t.dims)), repr(math.fsum(finite)),
               len(values) - len(finite), hashlib.sha256(packed).hexdigest()]


def main():
    make_networks()
    make_types()
    make_graphs()
    make_external()
    make_scattered()
    with open(path("sums_onnx.csv"), "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["file", "tensor", "dtype", "shape", "finite_sum",
                      "not_finite", "sha256"])
        for file in ("digits_mlp.onnx", "digits_cnn.onnx", "types.onnx",
                     "graph_nested.onnx", "graph_functions.onnx"):
            out.writerows(describe(file))


if __name__ == "__main__":
    main()
