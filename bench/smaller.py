"""
Quantizing and compressing, against the tools that one would use instead:
torch, ONNX Runtime's quantizers, the gguf package, scikit-learn.  Those that
this Python does not have are left out, and named.
"""
import os

import numpy
import torch

from harness import alternate, timed

try:
    from onnx import TensorProto
    from onnxruntime.capi import _pybind_state
    from onnxruntime.quantization.quant_utils import quantize_data
except ImportError:
    quantize_data = None
try:
    from gguf import GGMLQuantizationType, quants
except ImportError:
    quants = None
try:
    from sklearn.cluster import KMeans
except ImportError:
    KMeans = None

EDGE = 2048
SMALL = 1024                    # of the matrix that takes others long


def weights(millions):
    random = numpy.random.default_rng(1)
    n = max(1, millions * 1000000 // EDGE ** 2)
    return {"w%d" % i: (random.standard_normal((EDGE, EDGE)) * 0.02).astype(
        numpy.float32) for i in range(n)}


# ---------- by other tools ----------

def torch_channels(tensors):
    out = []
    for w in tensors:
        observer = torch.ao.quantization.PerChannelMinMaxObserver(
            ch_axis=0, dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric)
        observer(w)
        scale, zero = observer.calculate_qparams()
        out.append(torch.quantize_per_channel(w, scale, zero, 0, torch.qint8))
    return out


def torch_tensors(tensors):
    out = []
    for w in tensors:
        observer = torch.ao.quantization.MinMaxObserver(dtype=torch.quint8)
        observer(w)
        scale, zero = observer.calculate_qparams()
        out.append(torch.quantize_per_tensor(w, float(scale), int(zero),
                                             torch.quint8))
    return out


def onnx_tensors(arrays):
    return [quantize_data(w, TensorProto.INT8, True) for w in arrays]


def onnx_channels(arrays):
    """As its quantizer goes through a weight."""
    return [[quantize_data(row, TensorProto.INT8, True) for row in w]
            for w in arrays]


def onnx_groups(arrays):
    out = []
    for w in arrays:
        columns, rows = w.shape
        blocks = rows // 32
        packed = numpy.zeros((columns, blocks, 16), numpy.uint8)
        scales = numpy.zeros(columns * blocks, numpy.float32)
        zeros = numpy.zeros((columns, blocks // 2), numpy.uint8)
        _pybind_state.quantize_matmul_4bits(
            packed, numpy.ascontiguousarray(w.T), scales, zeros, 32, columns,
            rows, True)
        out.append((packed, scales))
    return out


def gguf_blocks(arrays, kind):
    return [quants.quantize(w, GGMLQuantizationType[kind]) for w in arrays]


# ---------- measuring ----------

class Smaller:
    def __init__(self, bench, millions):
        self.bench = bench
        self.arrays = list(weights(millions).values())
        self.tensors = [torch.from_numpy(w) for w in self.arrays]
        self.matrix = self.arrays[0][:SMALL, :SMALL].copy()
        self.save("smaller.npz", weights(millions))
        self.save("matrix.npz", {"w": self.matrix})

    def save(self, name, tensors):
        path = os.path.join(self.bench.folder, name)
        numpy.savez(path, **tensors)
        os.chmod(path, 0o644)

    def ours(self, expression, file="smaller.npz"):
        return lambda: self.bench.session.seconds_within(
            "m := model_read(pg_read_binary_file('%s'))" % file, expression)

    def add(self, expression, against, other, file="smaller.npz", faster=5,
            of=""):
        ours, theirs = alternate(self.bench.repeats,
                                 self.ours(expression, file),
                                 lambda: timed(other))
        self.bench.report.add(expression + of, ours, against, theirs,
                              faster=faster)

    def integers(self):
        self.add("quantize(m, 'int8', 'torch')",
                 "torch observer, quantize_per_channel",
                 lambda: torch_channels(self.tensors))
        self.add("quantize(m, 'uint8', 'torch', 'tensor')",
                 "torch observer, quantize_per_tensor",
                 lambda: torch_tensors(self.tensors))
        if quantize_data is None:
            return ["onnxruntime"]
        self.add("quantize(m, 'int8')",
                 "onnxruntime quantize_data, each row",
                 lambda: onnx_channels(self.arrays))
        self.add("quantize(m, 'int8', granularity => 'tensor')",
                 "onnxruntime quantize_data",
                 lambda: onnx_tensors(self.arrays))
        self.add("quantize(m, 'int4')", "onnxruntime quantize_matmul_4bits",
                 lambda: onnx_groups(self.arrays))
        return []

    def floats(self):
        for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
            self.add("quantize(m, '%s')" % name, "torch .to(%s)" % dtype,
                     lambda: [w.to(dtype) for w in self.tensors], faster=None)

    def blocks(self):
        if quants is None:
            return ["gguf"]
        for kind in ("Q8_0", "Q4_0"):
            self.add("quantize(m, '%s')" % kind.lower(), "gguf quantize",
                     lambda: gguf_blocks(self.arrays, kind))
        return []

    def clusters(self):
        if KMeans is None:
            return ["sklearn"]
        points = self.matrix.reshape(-1, 1)
        for bits in (4, 6):
            self.add("compress(m, 'cluster', bits => %d)" % bits,
                     "sklearn KMeans",
                     lambda: KMeans(1 << bits, n_init=1,
                                    random_state=0).fit(points),
                     "matrix.npz", of=", 1 million")
        return []

    def products(self):
        matrix = torch.from_numpy(self.matrix)
        self.add("compress(m, 'lowrank', rank => 64)",
                 "torch.linalg.svd",
                 lambda: torch.linalg.svd(matrix, full_matrices=False),
                 "matrix.npz", of=", 1024 x 1024")
        self.add("compress(m, 'lowrank', energy => 0.7)",
                 "torch.linalg.svd",
                 lambda: torch.linalg.svd(matrix, full_matrices=False),
                 "matrix.npz", of=", 1024 x 1024")

    def memory(self):
        """Of a backend that quantizes a stored model and stores it."""
        size = sum(w.nbytes for w in self.arrays)
        self.bench.session.run(
            "CREATE TABLE large (m model); INSERT INTO large VALUES"
            " (model_read(pg_read_binary_file('smaller.npz')));")
        for expression in ("quantize(m, 'int8')",
                           "compress(m, 'cluster', bits => 4)",
                           "compress(m, 'lowrank', rank => 64)"):
            peak = self.bench.peak("UPDATE large SET m = %s;" % expression)
            self.bench.report.add_limit(
                "peak memory: UPDATE, " + expression, peak / size, "models",
                2.2)
            self.bench.session.run(
                "TRUNCATE large; INSERT INTO large VALUES"
                " (model_read(pg_read_binary_file('smaller.npz')));")


def run(bench, millions):
    smaller = Smaller(bench, millions)
    missing = smaller.integers()
    smaller.floats()
    missing += smaller.blocks()
    missing += smaller.clusters()
    smaller.products()
    smaller.memory()
    if missing:
        print("Without %s: this Python does not have them."
              % ", ".join(missing))
