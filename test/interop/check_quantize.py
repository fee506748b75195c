"""
Quantizing and compressing, against the tools whose formulas they are: torch's
observers, ONNX Runtime's quantizers, the gguf package; numpy's singular values
and k-means; and ONNX files with quantized tensors, run by ONNX Runtime.
"""
import base64
import io
import itertools
import json
import os
import tempfile

import numpy
import torch

import flatform
from harness import DatabaseError, check, data_bytes, digits, scalar, skip

try:
    import gguf
except ImportError:
    gguf = None
try:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnx
    import onnx.version_converter
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.capi import _pybind_state
    from onnxruntime.quantization.quant_utils import quantize_data
except ImportError:
    onnxruntime = None

RECENT = int(torch.__version__.split(".")[0]) > 1


# ---------- through the database ----------

def npz(tensors):
    out = io.BytesIO()
    numpy.savez(out, **tensors)
    return out.getvalue()


def model_of(data):
    return "(SELECT model_read(decode('%s', 'hex')) AS m) x" % data.hex()


def fetch(expression, data):
    return base64.b64decode(scalar(
        "SELECT encode(%s, 'base64') FROM %s;" % (expression, model_of(data))))


def stored(expression, tensors):
    return flatform.read(fetch("(%s)::bytea" % expression, npz(tensors)))


def arrays(expression, tensors):
    return dict(numpy.load(io.BytesIO(
        fetch("model_write(%s, 'npz')" % expression, npz(tensors)))))


# ---------- what is quantized ----------

def weights(seed, halves=True):
    random = numpy.random.default_rng(seed)
    out = {
        "normal": random.standard_normal((37, 53)) * 0.02,
        "one side": random.random((16, 3, 3, 3)) * 3 + 1,
        "zeros": numpy.zeros((4, 400)),
        "small": random.standard_normal((64, 64)) * 1e-7,
        "subnormal": random.standard_normal((30, 64)) * 1e-41,
        "large": random.standard_normal((30, 64)) * 1e37,
        "ties": numpy.round(random.standard_normal((50, 64)) * 8) / 4}
    out["zeros"][1, 5] = 3
    out["one side"][3] *= -1
    out = {name: x.astype(numpy.float32) for name, x in out.items()}
    if halves:
        out["halves"] = (random.standard_normal((40, 50)) * 0.02).astype(
            numpy.float16)
        out["small halves"] = (random.standard_normal((40, 50)) * 1e-4).astype(
            numpy.float16)
    return out


def channels(x, axis):
    """Indexes of what shares a scale."""
    if axis is None:
        return [Ellipsis]
    return [tuple([slice(None)] * (axis % x.ndim) + [i])
            for i in range(x.shape[axis])]


def compare(entry, x, axis, quantizer):
    """What is different from what quantizer(part, channel) says, or ''."""
    integers, scales, zeros = entry.affine()
    for i, part in enumerate(channels(x, axis)):
        expected, scale, zero = quantizer(x[part], i)
        if numpy.float32(scale) != scales[i] or int(zero) != zeros[i]:
            return "channel %d: scale %r, zero %d, expected %r, %d" % (
                i, scales[i], zeros[i], scale, zero)
        wrong = (integers[part] != expected).sum()
        if wrong:
            return "channel %d: %d integers" % (i, wrong)
    return ""


def check_all(what, cases, tensors, quantizer_of):
    """Cases are (arguments of quantize, axis, case for quantizer_of)."""
    wrong, n = [], 0
    for arguments, axis, case in cases:
        found = stored("quantize(m, %s)" % arguments, tensors)
        for name, x in tensors.items():
            if found[name].encoding != flatform.AFFINE:
                continue
            n += 1
            problem = compare(found[name], x, axis, quantizer_of(case, x))
            if problem:
                wrong.append("%s %s: %s" % (arguments, name, problem))
    check(n > len(tensors) and not wrong, "%s: %d tensors, every bit"
          % (what, n), "\n".join(wrong[:20]))


# ---------- torch ----------

def torch_quantizer(case, x):
    dtype, affine, axis = case
    weight = torch.tensor(x)
    if axis is None:
        observer = torch.ao.quantization.MinMaxObserver(
            dtype=dtype, qscheme=torch.per_tensor_affine if affine
            else torch.per_tensor_symmetric)
        observer(weight)
        scale, zero = observer.calculate_qparams()
        quantized = torch.quantize_per_tensor(weight, float(scale), int(zero),
                                              dtype)
    else:
        observer = torch.ao.quantization.PerChannelMinMaxObserver(
            ch_axis=axis, dtype=dtype, qscheme=torch.per_channel_affine
            if affine else torch.per_channel_symmetric)
        observer(weight)
        scale, zero = observer.calculate_qparams()
        quantized = torch.quantize_per_channel(weight, scale, zero, axis,
                                               dtype)
    integers = quantized.int_repr().numpy().astype(int)
    scale, zero = scale.reshape(-1).numpy(), zero.reshape(-1).numpy()
    parts = channels(x, axis)
    for i, part in enumerate(parts if RECENT else []):
        place = x[part] * (numpy.float32(1) / scale[i])
        near = abs(abs(place - numpy.trunc(place)) - 0.5) < 1e-4
        low = -128 if dtype == torch.qint8 else 0
        rounded = numpy.clip(numpy.rint(place).astype(int) + zero[i], low,
                             low + 255)
        integers[part] = numpy.where(near, rounded, integers[part])
    return lambda part, i: (integers[parts[i]], scale[i], zero[i])


def check_torch():
    """Recent versions add the zero point before they round, which differs where
    an element is nearly in the middle of two; the formula is that of 1.13."""
    cases = [("%r, 'torch', %r, %s%s" % (
        name, "tensor" if axis is None else "channel",
        "true" if affine else "false",
        "" if axis is None else ", axis => %d" % axis), axis,
        (dtype, affine, axis))
        for name, dtype in (("int8", torch.qint8), ("uint8", torch.quint8))
        for affine in (False, True) for axis in (None, 0, 1)]
    check_all("quantized as torch does", cases,
              weights(2, halves=False), torch_quantizer)


def check_torch_floats():
    random = numpy.random.default_rng(4)
    bits = random.integers(0, 2 ** 32, 200000, dtype=numpy.uint32)
    x = bits.view(numpy.float32)
    for name, dtype, largest in (
            ("fp16", "float16", 65504), ("bf16", "bfloat16", 3.3895314e38),
            ("fp8_e4m3", "float8_e4m3fn", 448),
            ("fp8_e5m2", "float8_e5m2", 57344)):
        if not hasattr(torch, dtype):
            skip("floats as %s" % name, "this torch has no such dtype")
            continue
        kept = x[numpy.isfinite(x) & (abs(x) <= largest)]
        kept = kept[:len(kept) // 100 * 100].reshape(-1, 100)
        expected = torch.tensor(kept).to(getattr(torch, dtype))
        data = fetch("model_write(quantize(m, %r), 'pytorch')" % name,
                     npz({"x": kept}))
        found = torch.load(io.BytesIO(data), weights_only=True)["x"]
        check(found.dtype == expected.dtype and torch.equal(
            found.view(torch.uint8) if RECENT else found.float(),
            expected.view(torch.uint8) if RECENT else expected.float()),
            "%d floats as %s" % (kept.size, name))


# ---------- ONNX Runtime's quantizers ----------

def onnx_quantizer(case, _):
    kind, affine, reduced = case

    def quantizer(part, _):
        with numpy.errstate(all="ignore"):
            zero, scale, integers = quantize_data(part, kind, not affine,
                                                  reduced)
        return integers.astype(int), scale, zero
    return quantizer


def check_onnx_channels():
    kinds = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8,
             "int16": TensorProto.INT16, "uint16": TensorProto.UINT16,
             "int4": TensorProto.INT4, "uint4": TensorProto.UINT4}
    cases = []
    for name, affine, reduced, axis in itertools.product(
            kinds, (False, True), (False, True), (None, 0, -1)):
        if reduced and not name.endswith("8"):
            continue
        arguments = "%r, granularity => %r, affine => %s, reduce_range => %s%s" % (
            name, "tensor" if axis is None else "channel", affine, reduced,
            "" if axis is None else ", axis => %d" % axis)
        cases.append((arguments, axis, (kinds[name], affine, reduced)))
    check_all("quantized as onnxruntime.quantization does", cases, weights(1),
              onnx_quantizer)


def groups_by_reference(x, bits, group, symmetric):
    """Integers, scales and zero points of MatMulNBits for rows of inputs."""
    weight = numpy.ascontiguousarray(x.T)
    rows, columns = weight.shape
    blocks = (rows + group - 1) // group
    packed = numpy.zeros((columns, blocks, group * bits // 8), numpy.uint8)
    scales = numpy.zeros(columns * blocks, x.dtype)
    zeros = numpy.zeros((columns, (blocks * bits + 7) // 8), numpy.uint8)
    function = (_pybind_state.quantize_matmul_4bits if bits == 4
                else _pybind_state.quantize_matmul_8bits)
    function(packed, weight, scales, zeros, group, columns, rows, symmetric)
    if bits == 4:
        packed = numpy.stack([packed & 15, packed >> 4], -1)
        zeros = numpy.stack([zeros & 15, zeros >> 4], -1)
    integers = packed.reshape(columns, -1)[:, :rows].astype(int)
    zeros = zeros.reshape(columns, -1)[:, :blocks].astype(int)
    if symmetric:
        zeros[:] = 1 << (bits - 1)
    return integers, scales.astype(numpy.float32), zeros.reshape(-1)


def check_onnx_groups():
    """But for groups so small that the reciprocal of their scale overflows,
    which there makes any integers."""
    tensors = {name: x for name, x in weights(3).items()
               if x.ndim == 2 and name != "subnormal"}
    wrong, n = [], 0
    for name, affine, group in itertools.product(
            ("int4", "uint4", "int8", "uint8"), (False, True), (16, 32, 128)):
        bits = int(name[-1])
        found = stored("quantize(m, %r, group_size => %d, affine => %s)"
                       % (name, group, affine), tensors)
        offset = 1 << (bits - 1) if name[0] == "i" else 0
        for key, x in tensors.items():
            expected = groups_by_reference(x, bits, group, not affine)
            integers, scales, zeros = found[key].affine()
            n += 1
            if not ((integers == expected[0] - offset).all()
                    and (scales == expected[1]).all()
                    and (zeros == expected[2] - offset).all()):
                wrong.append((name, affine, group, key))
    check(not wrong, "groups as MatMulNBits' quantizer has them: %d tensors, "
          "every bit" % n, wrong)


# ---------- the gguf package ----------

def check_gguf():
    random = numpy.random.default_rng(5)
    x = (random.standard_normal((300, 128)) * 0.3).astype(numpy.float32)
    for name in ("Q8_0", "Q4_0"):
        kind = gguf.GGMLQuantizationType[name]
        data = fetch("model_write(quantize(m, %r), 'gguf')" % name.lower(),
                     npz({"x": x}))
        with tempfile.NamedTemporaryFile() as f:
            f.write(data)
            f.flush()
            tensor = gguf.GGUFReader(f.name).tensors[0]
            same = (tensor.tensor_type == kind and tensor.data.tobytes() ==
                    gguf.quants.quantize(x, kind).tobytes())
        check(same, "%s: the blocks of the gguf package" % name)
        back = arrays("quantize(m, %r)" % name.lower(), {"x": x})["x"]
        check((back == gguf.quants.dequantize(
            gguf.quants.quantize(x, kind), kind).reshape(x.shape)).all(),
            "%s: what they stand for" % name)


# ---------- numpy ----------

def check_lowrank():
    random = numpy.random.default_rng(6)
    tensors = {
        "square": random.standard_normal((90, 90)),
        "wide": random.standard_normal((64, 300)).astype(numpy.float32),
        "tall": random.standard_normal((300, 64)).astype(numpy.float32),
        "kernels": random.standard_normal((40, 8, 3, 3)).astype(numpy.float32),
        "thin": (random.standard_normal((96, 7)) @ random.standard_normal(
            (7, 200))).astype(numpy.float32),
        # At 0.99 of the energy more vectors than are found by iteration.
        "thick": numpy.linalg.qr(random.standard_normal((1200, 540)))[0]
        @ random.standard_normal((540, 1200)),
        "equal": numpy.kron(numpy.eye(7), numpy.ones((30, 30))),
        "halves": random.standard_normal((100, 80)).astype(numpy.float16)}
    tolerance = {numpy.float64: 1e-9, numpy.float32: 1e-5, numpy.float16: 1e-2}
    wrong = []
    for energy in (0.3, 0.6, 0.9, 0.99):
        found = arrays("compress(m, 'lowrank', energy => %g)" % energy, tensors)
        for name, x in tensors.items():
            matrix = x.reshape(len(x), -1).astype(float)
            values = numpy.linalg.svd(matrix, compute_uv=False) ** 2
            kept = numpy.cumsum(values) / values.sum()
            rank = int(numpy.searchsorted(kept, energy)) + 1
            error = numpy.linalg.norm(
                matrix - found[name].reshape(matrix.shape).astype(float)) ** 2
            saves = rank * sum(matrix.shape) < matrix.size
            expected = (1 - kept[rank - 1]) * values.sum() if saves else 0
            slack = tolerance[x.dtype.type] * values.sum()
            if abs(error - expected) > slack:
                wrong.append((energy, name, rank, error, expected))
    check(not wrong, "low rank: the error is that of numpy's singular values",
          wrong)


def lloyd(x, k, random):
    """The squared error of k-means from a random start."""
    means = numpy.sort(random.choice(x, k, replace=False))
    for _ in range(50):
        which = numpy.searchsorted((means[1:] + means[:-1]) / 2, x)
        counts = numpy.bincount(which, minlength=k)
        sums = numpy.bincount(which, x, minlength=k)
        means = numpy.where(counts > 0, sums / numpy.maximum(counts, 1), means)
        means.sort()
    which = numpy.searchsorted((means[1:] + means[:-1]) / 2, x)
    return ((x - means[which]) ** 2).sum()


def check_cluster():
    random = numpy.random.default_rng(7)
    tensors = {"normal": random.standard_normal((100, 120)),
               "heaps": random.integers(0, 5, (100, 120)) * 3 +
               random.random((100, 120)),
               "skewed": random.exponential(1, (100, 120))}
    tensors = {name: x.astype(numpy.float32) for name, x in tensors.items()}
    wrong = []
    for bits in (1, 2, 3, 4, 5):
        found = arrays("compress(m, 'cluster', bits => %d)" % bits, tensors)
        for name, x in tensors.items():
            flat = x.reshape(-1).astype(float)
            ours = ((flat - found[name].reshape(-1)) ** 2).sum()
            theirs = min(lloyd(flat, 1 << bits, random) for _ in range(20))
            if ours > theirs * (1 + 1e-4):
                wrong.append((bits, name, ours, theirs))
    check(not wrong, "clusters: no start of k-means finds better ones", wrong)


# ---------- ONNX files that run ----------

def perceptron(kind, opset, dtype):
    """A model of that kind of node, and inputs."""
    random = numpy.random.default_rng(8)
    element = (TensorProto.FLOAT if dtype == numpy.float32
               else TensorProto.FLOAT16)
    shapes = {"MatMul": [(73, 123), (123, 40)],
              "Gemm": [(123, 73), (123,), (40, 123), (40,)],
              "Conv": [(16, 3, 3, 3), (16,)]}[kind]
    tensors = [(random.standard_normal(s) * 0.1).astype(dtype) for s in shapes]
    if kind == "MatMul":
        nodes = [helper.make_node("MatMul", ["x", "w0"], ["h"]),
                 helper.make_node("Relu", ["h"], ["r"]),
                 helper.make_node("MatMul", ["r", "w1"], ["y"])]
    elif kind == "Gemm":
        nodes = [helper.make_node("Gemm", ["x", "w0", "w1"], ["h"], transB=1),
                 helper.make_node("Relu", ["h"], ["r"]),
                 helper.make_node("Gemm", ["r", "w2", "w3"], ["y"], transB=1)]
    else:
        nodes = [helper.make_node("Conv", ["x", "w0", "w1"], ["h"]),
                 helper.make_node("Relu", ["h"], ["y"])]
    shape = ["n", 3, 9, 9] if kind == "Conv" else ["n", 73]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info(
            "y", element, ["n", 16, 7, 7] if kind == "Conv" else ["n", 40])],
        [numpy_helper.from_array(t, "w%d" % i) for i, t in enumerate(tensors)])
    model = helper.make_model(graph, opset_imports=[
        helper.make_opsetid("", opset)])
    model.ir_version = 8 if opset < 20 else 10
    x = random.standard_normal([4] + shape[1:]).astype(dtype)
    return model.SerializeToString(), x


def run(data, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        data, options, providers=["CPUExecutionProvider"]).run(None, feeds)


QUANTIZED = [("quantize(m, 'int8')", 0.45),
             ("quantize(m, 'int8', granularity => 'tensor')", 0.45),
             ("quantize(m, 'uint8')", 0.5), ("quantize(m, 'int4')", 1.01),
             ("quantize(m, 'uint4', group_size => 16)", 1.01),
             ("quantize(m, 'int4', granularity => 'channel')", 0.4),
             ("quantize(m, 'int16')", 0.7),
             ("quantize(m, 'int8', group_size => 32)", 1.01),
             ("quantize(prune(m, 0.5), 'int8')", 0.45),
             ("quantize(m, 'fp16')", 0.62)]


def check_onnx_run():
    """The file with integers computes what the one with floats does, as far as
    the runtime's own way of multiplying does."""
    for kind, opset in itertools.product(("MatMul", "Gemm", "Conv"),
                                         (11, 13, 17, 21)):
        wrong = []
        for (expression, most), dtype in itertools.product(
                QUANTIZED, (numpy.float32, numpy.float16)):
            if dtype == numpy.float16 and "fp16" in expression:
                continue
            data, x = perceptron(kind, opset, dtype)
            native = fetch("model_write(%s, 'onnx')" % expression, data)
            decoded = fetch("model_write(decompress(%s), 'onnx')"
                            % expression, data)
            onnx.checker.check_model(native)
            ours = run(native, {"x": x})[0].astype(float)
            theirs = run(decoded, {"x": x})[0].astype(float)
            share = len(native) / len(data)
            if abs(ours - theirs).max() > 0.03 * abs(theirs).max():
                wrong.append((expression, dtype.__name__, "differs"))
            if dtype == numpy.float32 and kind != "Conv" and share > most:
                wrong.append((expression, "has %.2f of the bytes" % share))
        check(not wrong, "ONNX Runtime runs a quantized %s of version %d"
              % (kind, opset), wrong)


def told_nets():
    """PyTorch's tensors, what set_graph is told of them, and an input."""
    torch.manual_seed(11)
    text = torch.nn.ModuleDict({
        "embed": torch.nn.Embedding(50, 40), "n1": torch.nn.LayerNorm(40),
        "attn": torch.nn.MultiheadAttention(40, 4, batch_first=True),
        "up": torch.nn.Linear(40, 88), "down": torch.nn.Linear(88, 40),
        "head": torch.nn.Linear(40, 64)})
    yield ("text", text, "embed:embedding n1:layernorm attn:attention(4) "
           "x:add(embed) up:linear gelu down:linear add(x) head:linear",
           numpy.arange(14).reshape(2, 7) * 3)
    image = torch.nn.ModuleDict({
        "c1": torch.nn.Conv2d(3, 16, 3), "c2": torch.nn.Conv2d(16, 25, 3),
        "c3": torch.nn.Conv2d(25, 65, 1, groups=5),
        "fc": torch.nn.Linear(65, 10)})
    yield ("image", image, "c1:conv2d relu c2:conv2d relu c3:conv2d(groups=5) "
           "global_avgpool flatten fc:linear",
           numpy.random.default_rng(12).standard_normal(
               (2, 3, 9, 9)).astype(numpy.float32))


def weights_left(native, net):
    """Names of weights that an ONNX file has as floats."""
    sizes = {name: t.numel() for name, t in net.state_dict().items()
             if t.dim() > 1}
    return [i.name for i in onnx.load_from_string(native).graph.initializer
            if i.name in sizes]


def check_onnx_told():
    """Groups of models that set_graph gave a graph of version 17: all weights
    are written as integers, and a second graph of version 21 of the same."""
    for name, net, architecture, x in told_nets():
        out = io.BytesIO()
        torch.save(net.state_dict(), out)
        graph = "set_graph(m, '%s')" % architecture
        made = fetch("model_write(%s, 'onnx')" % graph, out.getvalue())
        later = onnx.version_converter.convert_version(
            onnx.load_from_string(made), 21)
        later.ir_version = 10
        for opset, data, model in ((17, out.getvalue(), graph),
                                   (21, later.SerializeToString(), "m")):
            wrong = []
            for expression in (
                    "quantize(%s, 'int4')", "quantize(%s, 'uint4')",
                    "quantize(%s, 'int4', group_size => 16)",
                    "quantize(%s, 'uint4', group_size => 7)",
                    "quantize(%s, 'int8', group_size => 32)",
                    "quantize(%s, 'uint8', group_size => 5)"):
                expression = expression % model
                native = fetch("model_write(%s, 'onnx')" % expression, data)
                decoded = fetch("model_write(decompress(%s), 'onnx')"
                                % expression, data)
                onnx.checker.check_model(native)
                ours = run(native, {"input": x})[0]
                theirs = run(decoded, {"input": x})[0]
                if abs(ours - theirs).max() > 1e-2 * abs(theirs).max():
                    wrong.append((expression, abs(ours - theirs).max()))
                if weights_left(native, net):
                    wrong.append((expression, weights_left(native, net)))
                if len(native) > 0.75 * len(decoded):
                    wrong.append((expression, len(native), len(decoded)))
            check(not wrong, "ONNX Runtime runs groups of the %s of version %d"
                  % (name, opset), wrong)


def floats8(model, name):
    """The same model with its matrices and filters as PyTorch rounds them."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim > 1 and array.dtype == numpy.float32:
            rounded = torch.from_numpy(array.copy()).to(getattr(torch, name))
            tensor.CopyFrom(numpy_helper.from_array(rounded.float().numpy(),
                                                    tensor.name))
    return model.SerializeToString()


def check_onnx_float8():
    """Weights of 8 bits in graphs of older operators, where these do the same
    as those of version 19."""
    dtypes = {"fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}
    if not all(hasattr(torch, name) for name in dtypes.values()):
        skip("floats of 8 bits", "this torch has none")
        return
    models = [("%s of version %d" % (kind, opset),
               *perceptron(kind, opset, numpy.float32))
              for kind in ("MatMul", "Conv") for opset in (17, 18, 19)]
    for name, net, architecture, x in told_nets():
        out = io.BytesIO()
        torch.save(net.state_dict(), out)
        models.append((name, fetch("model_write(set_graph(m, '%s'), 'onnx')"
                                   % architecture, out.getvalue()), x))
    for what, data, x in models:
        wrong = []
        for dtype, theirs in dtypes.items():
            native = fetch("model_write(quantize(m, '%s'), 'onnx')" % dtype,
                           data)
            onnx.checker.check_model(native, full_check=True)
            feed = onnx.load_from_string(data).graph.input[0].name
            ours = run(native, {feed: x})[0]
            wanted = run(floats8(onnx.load_from_string(data), theirs),
                         {feed: x})[0]
            if abs(ours - wanted).max() > 1e-5 * abs(wanted).max():
                wrong.append((dtype, abs(ours - wanted).max()))
        check(not wrong, "ONNX Runtime runs floats of 8 bits: %s" % what,
              wrong)
    data, x = perceptron("MatMul", 17, numpy.float32)
    model = onnx.load_from_string(data)
    model.graph.node[1].CopyFrom(
        helper.make_node("ReduceMax", ["h"], ["r"], axes=[1]))
    try:
        fetch("model_write(quantize(m, 'fp8_e4m3'), 'onnx')",
              model.SerializeToString())
        check(False, "a reduction of version 17 stays", "it was raised")
    except DatabaseError as e:
        check(e.sqlstate == "0A000", "a reduction of version 17 stays", e)


def check_onnx_products():
    """A weight that a Transpose turns goes into MatMulNBits without it."""
    name, net, architecture, x = next(told_nets())
    out = io.BytesIO()
    torch.save(net.state_dict(), out)
    native = fetch("model_write(quantize(set_graph(m, '%s'), 'int4'), 'onnx')"
                   % architecture, out.getvalue())
    nodes = onnx.load_from_string(native).graph.node
    counts = {kind: sum(node.op_type == kind for node in nodes)
              for kind in ("MatMulNBits", "MatMul", "DequantizeLinear")}
    turned = [node for node in nodes if node.op_type == "Transpose"
              and len(node.attribute[0].ints) == 2]
    check(counts == {"MatMulNBits": 5, "MatMul": 2, "DequantizeLinear": 1}
          and not turned, "products of turned weights are MatMulNBits", counts)


def ranges_of(data, name, x):
    """Between which numbers the values that nodes take lie."""
    model = onnx.load_from_string(data)
    taken = {i for node in model.graph.node for i in node.input}
    made = [o for node in model.graph.node for o in node.output]
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(o)
                              for o in made if o not in known)
    values = run(model.SerializeToString(), {name: x})
    out = {name: [float(x.min()), float(x.max())]}
    for value, array in zip(model.graph.output, values):
        if value.name in taken and array.dtype == numpy.float32:
            out[value.name] = [float(array.min()), float(array.max())]
    return out


def check_onnx_digits():
    """Digits are read as well by the quantized models."""
    images, labels = digits()
    images, labels = images.numpy(), labels.numpy()
    for file in ("digits_mlp.onnx", "digits_cnn.onnx"):
        data = data_bytes(file)
        before = (run(data, {"pixels": images})[0].argmax(1) == labels).sum()
        ranges = json.dumps(ranges_of(data, "pixels", images))
        for expression in (
                "quantize(m, 'int8')", "quantize(m, 'int4')",
                "quantize(m, 'fp16')",
                "quantize(m, 'int8', activation_ranges => '%s')" % ranges,
                "quantize(m, 'uint8', granularity => 'tensor', "
                "activation_ranges => '%s')" % ranges):
            native = fetch("model_write(%s, 'onnx')" % expression, data)
            onnx.checker.check_model(native)
            after = (run(native, {"pixels": images})[0].argmax(1) ==
                     labels).sum()
            check(after >= before - 3 and len(native) < len(data),
                  "%s, %s: reads %d of 100 digits, %d before"
                  % (file, expression[:40], after, before))
        operators = {node.op_type for node in onnx.load_from_string(
            native).graph.node}
        check("QuantizeLinear" in operators,
              "%s: activations are quantized, too" % file)


def check_onnx_apart():
    """Quantized models in two files compute the same as in one."""
    images, _ = digits()
    feeds = {"pixels": images.numpy()}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        for i, expression in enumerate((
                "quantize(m, 'int8')", "quantize(m, 'int4', group_size => 16)",
                "quantize(m, 'fp16')")):
            data = data_bytes("digits_mlp.onnx")
            path = os.path.join(folder, "%d.onnx" % i)
            try:
                scalar("SET modelopt.onnx_external_data_threshold = 0;"
                       "SELECT model_save(%s, '%s') FROM %s;"
                       % (expression, path, model_of(data)))
            except DatabaseError as e:
                if e.sqlstate not in ("58P01", "42501"):
                    raise
                skip(expression, "the server cannot write files of this host")
                return
            whole = fetch("model_write(%s, 'onnx')" % expression, data)
            onnx.checker.check_model(path)
            beside = [f for f in os.listdir(folder)
                      if f.startswith("%d.onnx." % i)]
            check(len(beside) == 1 and os.path.getsize(path) < len(whole) and
                  (run(path, feeds)[0] == run(whole, feeds)[0]).all(),
                  "%s: computes the same in two files" % expression)


def needs(module, name, function):
    if module is None:
        return lambda: skip(function.__name__.replace("_", " "),
                            "this Python has no package " + name)
    return function


CHECKS = [
    ("quantize: torch", check_torch),
    ("quantize: torch's floats", check_torch_floats),
    ("quantize: ONNX Runtime's integers",
     needs(onnxruntime, "onnxruntime", check_onnx_channels)),
    ("quantize: ONNX Runtime's groups",
     needs(onnxruntime, "onnxruntime", check_onnx_groups)),
    ("quantize: blocks", needs(gguf, "gguf", check_gguf)),
    ("compress: singular values", check_lowrank),
    ("compress: k-means", check_cluster),
    ("ONNX: quantized models run",
     needs(onnxruntime, "onnxruntime", check_onnx_run)),
    ("ONNX: groups of models with a told graph",
     needs(onnxruntime, "onnxruntime", check_onnx_told)),
    ("ONNX: floats of 8 bits in older graphs",
     needs(onnxruntime, "onnxruntime", check_onnx_float8)),
    ("ONNX: products in blocks",
     needs(onnxruntime, "onnxruntime", check_onnx_products)),
    ("ONNX: digits", needs(onnxruntime, "onnxruntime", check_onnx_digits)),
    ("ONNX: quantized models in two files",
     needs(onnxruntime, "onnxruntime", check_onnx_apart))]
