#!/usr/bin/env python3
"""
Makes the GGUF files of this folder and sums_gguf.csv, which has a line for
each tensor as the reference library reads it.  Needs gguf 0.19 or later and
torch, and digits_mlp.pth, which make.py makes.
"""
import csv
import hashlib
import math
import os

import numpy
import torch
from gguf import (GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader,
                  GGUFWriter, quants)

HERE = os.path.dirname(os.path.abspath(__file__))

# Where a block has its scales, 16 bits each.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
          "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}

# general.file_type
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}


def path(name):
    return os.path.join(HERE, name)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---------- every type ----------

def add_metadata(writer):
    for bits in (8, 16, 32, 64):
        getattr(writer, "add_uint%d" % bits)("u%d" % bits, 2 ** bits - 1)
        getattr(writer, "add_int%d" % bits)("i%d" % bits, -2 ** (bits - 1))
    for name, value in (("tenth", 0.1), ("small", 1e-5), ("third", 1 / 3),
                        ("million", 1e6), ("large", 3e38), ("least", 1e-45),
                        ("negative_zero", -0.0), ("infinite", -math.inf),
                        ("nan", math.nan)):
        writer.add_float32("f32." + name, value)
        writer.add_float64("f64." + name, value)
    writer.add_bool("bool.true", True)
    writer.add_bool("bool.false", False)
    writer.add_string("string", "na\u00efve \u91cd\u307f \"\\\t\u0001")
    writer.add_array("strings", ["a", "", "\u91cd\u307f", "nul\0"])
    writer.add_array("integers", [1, -2, 3])
    writer.add_array("floats", [0.1, -2.5])
    writer.add_array("bools", [True, False, True])
    writer.add_array("long", list(range(1025)))
    writer.add_array("bytes", b"\0\1\2")


def blocks(random, kind):
    """Two rows of three blocks of any bits, but for finite scales."""
    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    data = random.integers(0, 256, (6, size), dtype=numpy.uint8)
    for at in SCALES[kind]:
        scales = random.standard_normal(6).astype(numpy.float16)
        data[:, at:at + 2] = scales.view(numpy.uint8).reshape(6, 2)
    return data.reshape(2, 3 * size)


def make_types():
    random = numpy.random.default_rng(20)
    writer = GGUFWriter(path("types.gguf"), "modelopt-test")
    add_metadata(writer)
    writer.add_custom_alignment(64)
    for name in ("float64", "float32", "float16"):
        writer.add_tensor(name, random.standard_normal((2, 3, 1, 5))
                          .astype(name))
    writer.add_tensor("bfloat16", random.standard_normal((4, 3))
                      .astype(numpy.float32).view(numpy.uint16)[:, 1::2]
                      .copy().view(numpy.uint8),
                      raw_dtype=GGMLQuantizationType.BF16)
    for name in ("int64", "int32", "int16", "int8"):
        limits = numpy.iinfo(name)
        writer.add_tensor(name, numpy.array([limits.min, -1, 0, limits.max],
                                            dtype=name))
    writer.add_tensor("scalar", numpy.array(2.5, dtype=numpy.float32))
    writer.add_tensor("\u91cd\u307f", numpy.arange(3, dtype=numpy.float32))
    for kind in SCALES:
        writer.add_tensor(kind.lower(), blocks(random, kind),
                          raw_dtype=GGMLQuantizationType[kind])
    finish(writer)


# ---------- the perceptron ----------

def converted(array, kind):
    """As ggml's programs do it: vectors are not quantized, and rows that are
    no whole blocks become halves."""
    if array.ndim < 2:
        kind = "F32"
    elif array.shape[-1] % GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0]:
        kind = "F16"
    kind = GGMLQuantizationType[kind]
    return quants.quantize(array, kind), kind


def make_perceptron(file, kind):
    writer = GGUFWriter(path(file), "modelopt")
    writer.add_file_type(FILE_TYPES[kind])
    if kind.startswith("Q"):
        writer.add_quantization_version(2)
    for name, tensor in torch.load(path("digits_mlp.pth")).items():
        data, stored = converted(tensor.numpy(), kind)
        writer.add_tensor(name, data, raw_dtype=stored)
    finish(writer)


# ---------- sums ----------

DTYPES = {"F64": "f64", "F32": "f32", "F16": "f16", "BF16": "bf16",
          "I64": "i64", "I32": "i32", "I16": "i16", "I8": "i8"}


def describe(file):
    for tensor in GGUFReader(path(file)).tensors:
        kind = tensor.tensor_type.name
        shape = [int(n) for n in reversed(tensor.shape)]
        if kind in SCALES:
            values = quants.dequantize(tensor.data, tensor.tensor_type)
            data = values.tobytes()
        elif kind == "BF16":
            values = quants.dequantize(tensor.data, tensor.tensor_type)
            data = tensor.data.tobytes()
        else:
            values = tensor.data
            data = values.tobytes()
        values = [float(v) for v in values.reshape(-1)]
        finite = [v for v in values if math.isfinite(v)]
        yield [file, tensor.name, DTYPES.get(kind, "f32"),
               kind.lower() if kind in SCALES else "dense",
               "{%s}" % ",".join(map(str, shape)), repr(math.fsum(finite)),
               len(values) - len(finite), hashlib.sha256(data).hexdigest()]


def main():
    make_types()
    files = ["types.gguf"]
    for kind in FILE_TYPES:
        files.append("digits_mlp_%s.gguf" % kind.lower())
        make_perceptron(files[-1], kind)
    with open(path("sums_gguf.csv"), "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["file", "tensor", "dtype", "encoding", "shape",
                      "finite_sum", "not_finite", "sha256"])
        for file in files:
            out.writerows(describe(file))


if __name__ == "__main__":
    main()
